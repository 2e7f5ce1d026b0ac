-- log.lua: chaski.log.info(format, ...) and the like. Nothing is formatted that is not written.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"

local order = { error = 1, warn = 2, info = 3, debug = 4, trace = 5 }

local function text_of(text, ...)
  if select("#", ...) == 0 then return tostring(text) end
  return tostring(text):format(...)
end

local M = {}
for level, number in pairs(order) do
  M[level] = function(text, ...)
    if number <= order[core.log_level()] then core.log(level, "", text_of(text, ...)) end
  end
end

--- The level up to which lines are written; with an argument, set it.
---@param level "error"|"warn"|"info"|"debug"|"trace"|nil
---@return string
function M.level(level)
  return core.log_level(level)
end

return M
