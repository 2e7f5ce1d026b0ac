-- tasks.lua: ways to use tasks: every.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local new_handle = require "chaski.handle"

local M = {}

local function report(err)
  if not (type(err) == "table" and err.code == "cancelled") then core.report_error(err, "every") end
  return err
end

local function again_and_again(seconds, fn, stopped)
  while not stopped() do
    core.sleep(seconds)
    if not stopped() then xpcall(fn, report) end
  end
end

--- Call fn in a task of its own each time so many seconds have passed since its last call ended. An error is logged and the
--- next call comes. Until remove().
---@param seconds number
---@param fn fun()
---@return chaski.handle
function M.every(seconds, fn)
  if type(seconds) ~= "number" or not (seconds >= 0) then error("chaski.every: expected seconds, not negative", 2) end
  if type(fn) ~= "function" then error("chaski.every: expected a function", 2) end
  local over = false
  local task = core.spawn(again_and_again, seconds, fn, function()
    return over
  end)
  return new_handle("every", function()
    over = true
    if task.status == "parked" then task:cancel() end
  end)
end

return M
