-- policy.lua: what the options that take a policy share: the name of a module instead of it, and asking it. A policy is
-- a script's own: what it raises is reported, and it has then said nothing.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local options = require "chaski.options"

local M = {}

--- The policy that an option of chaski.node says: a table, or the name of a module that is one. Raises when there is no
--- such module.
---@param option string
---@param policy table|string
---@return table
function M.load(option, policy)
  if type(policy) ~= "string" then return policy end
  local found, module = pcall(require, policy)
  if not found then
    local why = tostring(module):match "^[^\n]*" -- what follows are the places that were searched
    options.raise(("chaski.node: option '%s': %s"):format(option, why:gsub(":$", "")))
  elseif type(module) ~= "table" then
    options.raise(("chaski.node: option '%s': the module '%s' is no table"):format(option, policy))
  end
  return module
end

local function is_cancel(err)
  return type(err) == "table" and err.code == "cancelled"
end

--- What fn(...) of a policy says; nil when it raises.
---@param where string
---@param fn function
function M.ask(where, fn, ...)
  local ok, answer = xpcall(fn, function(err)
    if not is_cancel(err) then core.report_error(err, where) end
    return err
  end, ...)
  if ok then return answer end
  if is_cancel(answer) then error(answer, 0) end
  return nil
end

return M
