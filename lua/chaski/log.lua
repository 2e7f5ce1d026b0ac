-- log.lua: chaski.log.info(format, ...) and the like. Nothing is formatted that is not written.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local options = require "chaski.options"

local order = { error = 1, warn = 2, info = 3, debug = 4, trace = 5 }

local function text_of(level, text, ...)
  if select("#", ...) == 0 then return tostring(text) end
  local ok, formatted = pcall(string.format, tostring(text), ...)
  if not ok then options.raise(("chaski.log.%s: %s"):format(level, formatted)) end
  return formatted
end

---@type chaski.log
local M = {}
for level, number in pairs(order) do
  M[level] = function(text, ...)
    if number <= order[core.log_level()] then core.log(level, "", text_of(level, text, ...)) end
  end
end

function M.level(level)
  if level ~= nil and not order[level] then
    local text = "chaski.log.level: expected 'error', 'warn', 'info', 'debug' or 'trace', got %s"
    options.raise(text:format(options.describe(level)))
  end
  return core.log_level(level)
end

return M
