--- The log: log.info(fmt, ...) and its sisters error, warn, debug, trace; log.level reads and sets the level up to which
-- lines are written; log.named(who) is a log whose lines carry a name.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"

local levels = { error = 1, warn = 2, info = 3, debug = 4, trace = 5 }

-- A format without arguments is the text itself, so that a "%" in it does no harm.
local function text_of(format, ...)
  if select("#", ...) == 0 then return tostring(format) end
  return format:format(...)
end

local Log = {}

function Log:__index(key)
  if key == "level" then return core.log_level() end
end

function Log:__newindex(key, value)
  if key ~= "level" then error(("log: there is no field '%s' to set"):format(tostring(key)), 2) end
  if not levels[value] then
    error(("log.level must be error, warn, info, debug or trace, got %s"):format(tostring(value)), 2)
  end
  core.log_level(value)
end

local function new(who)
  local log = {}
  for name, level in pairs(levels) do
    log[name] = function(format, ...)
      if level <= levels[core.log_level()] then core.log(name, who, text_of(format, ...)) end
    end
  end
  return setmetatable(log, Log)
end

local log = new ""
rawset(log, "named", function(who) return new(tostring(who)) end)
return log
