-- events.lua: node:on. Each call of a listener is a task of the node; an error in it is logged and told to
-- "handler_error", and the others go on.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local new_handle = require "chaski.handle"
local options = require "chaski.options"

local events = core.events()
local known = {}
for _, event in ipairs(events) do
  known[event] = true
end

local function is_cancel(err)
  return type(err) == "table" and err.code == "cancelled"
end

local everywhere = {} ---@type table<string, function[]>

--- Let the runtime itself listen: fn(node, ...) is called at every node made from now on, before its own listeners.
function core.on_everywhere(event, fn)
  everywhere[event] = everywhere[event] or {}
  table.insert(everywhere[event], fn)
  core.listen_everywhere(event)
end

local emit

--- Call a listener; the traceback is taken where the error is.
local function run_listener(node, where, event, fn, ...)
  local ok, failure = xpcall(fn, function(err)
    if not is_cancel(err) then core.report_error(err, where) end
    return err
  end, ...)
  if ok or is_cancel(failure) or event == "handler_error" then return end
  emit(node, "handler_error", failure, where)
end

emit = function(node, event, ...)
  local listeners = core.node_state(node).listeners[event]
  local where = "listener of " .. event
  for _, fn in ipairs(everywhere[event] or {}) do
    core.spawn_in(node, where, run_listener, node, where, event, fn, node, ...)
  end
  for _, fn in ipairs(listeners and table.move(listeners, 1, #listeners, 1, {}) or {}) do
    core.spawn_in(node, where, run_listener, node, where, event, fn, ...)
  end
end
core.set_dispatch(emit)
core.emit = emit

local function remove(list, item)
  for i, each in ipairs(list) do
    if each == item then return table.remove(list, i) end
  end
end

local function check_event(event)
  if known[event] then return end
  local hint = type(event) == "string" and options.suggestion(event, events) or ""
  error(("node:on: unknown event '%s'%s"):format(tostring(event), hint), 3)
end

function core.node_methods:on(event, fn)
  check_event(event)
  if type(fn) ~= "function" then error(("node:on: expected a function, got %s"):format(options.describe(fn)), 2) end
  local listeners = core.node_state(self).listeners
  local list = listeners[event] or {}
  listeners[event] = list
  local function listener(...)
    return fn(...)
  end
  list[#list + 1] = listener
  core.listen_event(self, event, true)
  return new_handle(event, function()
    remove(list, listener)
    if #list == 0 then core.listen_event(self, event, false) end
  end)
end
