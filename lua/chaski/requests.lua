-- requests.lua: asking another node to call a function, and the functions it may call (PROTOCOL A.9, B.9). Only what
-- was registered with node:serve can be called; nothing is looked up by name elsewhere.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local limiter = require "chaski.limiter"
local new_handle = require "chaski.handle"
local options = require "chaski.options"
local states = require "chaski.state"

local methods = core.node_methods

states.tables("served", "requests", "edge_calls") -- callback -> function; id -> question; edge's number -> calls
states.field("calls", function()
  return 0
end)
states.field("calls_max", function(state)
  return core.limit(state.node, "requests_max")
end)
states.field("edge_calls_max", function(state)
  return core.limit(state.node, "requests_per_edge")
end)
states.field("call_rates", function(state)
  return limiter.of_edges(state, core.limit(state.node, "request_rate"))
end)

local NAME_MAX, MESSAGE_MAX = 64, 512 -- bytes of what errors say

local function is_edge(value)
  local meta = type(value) == "userdata" and getmetatable(value)
  return meta and meta.__name == "chaski.edge"
end

local schema = {
  { name = "timeout", kind = options.seconds(0, 1e9), default = 5 },
  { name = "edge", kind = { expected = "an edge", test = is_edge } },
}

--- Let peers call fn(kwargs, edge) as `callback`. What it returns is the answer; nil and a reason, or an error raised,
--- is an error for who asks, with code "failed". Returns a handle with remove().
function methods:serve(callback, fn)
  if type(callback) ~= "string" or callback == "" then
    error(("node:serve: expected the name of a callback, got %s"):format(options.describe(callback)), 2)
  end
  if type(fn) ~= "function" then error(("node:serve: expected a function, got %s"):format(options.describe(fn)), 2) end
  local served = core.node_state(self).served
  served[callback] = fn
  return new_handle("serve " .. callback, function()
    if served[callback] == fn then served[callback] = nil end
  end)
end

--- What is the protocol's among data of the application: a str, also where strings are sent as bin.
local function as_str(state, value)
  return state.options.strings == "bin" and core.str(value) or value
end

-- --- asking ----------------------------------------------------------------------------------------------------------

--- A question under way: { id =, callback =, waiter =, pending = the node's, asked = edge -> true }.
local Question = {}

function Question:__close()
  self.pending[self.id] = nil
end

local function finish(question, ok, value)
  question.pending[question.id] = nil
  core.wake(question.waiter, ok, value)
end

--- One of those asked has failed, or is gone; the question has, when nobody is left.
local function fail_one(question, edge, err)
  local asked = question.asked
  if not asked[edge] then return end
  asked[edge] = nil
  if next(asked) == nil then finish(question, false, err) end
end

--- The error of a write, as one of the request.
local function reword(where, edge, err)
  if err.code == "no_edge" then
    return core.new_error("no_edge", ("%s: the edge to %s has ended"):format(where, edge.name))
  end
  local written = "node:write request_udp"
  local text = err.message
  if text:sub(1, #written) == written then text = where .. text:sub(#written + 1) end
  return core.new_error(err.code, text)
end

--- Why nobody could be asked, or nil.
local function ask(node, question, data, edges)
  local why, failed
  for _, edge in ipairs(edges) do
    local ok, err = core.write(node, "request_udp", data, { edge = edge }, true)
    if ok then
      question.asked[edge] = true
    else
      why, failed = err, edge
    end
  end
  if next(question.asked) then return nil end
  local where = "node:request " .. question.callback
  return why and reword(where, failed, why) or core.new_error("no_edge", where .. ": there is no live edge")
end

--- As a map, whatever it is.
local function arguments_of(kwargs)
  if kwargs and rawlen(kwargs) == 0 and not getmetatable(kwargs) then return kwargs end
  local arguments = core.map {}
  for key, value in pairs(kwargs or {}) do
    arguments[key] = value
  end
  return arguments
end

--- Ask one edge, or all (the first answer counts), to call `callback` with the table kwargs. Returns the answer, or
--- nil, err with code timeout, no_edge, lost, or what the answering node says: unknown_callback, failed, busy.
function methods:request(callback, kwargs, given)
  if type(callback) ~= "string" or callback == "" then
    error(("node:request: expected the name of a callback, got %s"):format(options.describe(callback)), 2)
  end
  if kwargs ~= nil and type(kwargs) ~= "table" then
    error(("node:request: expected a table of arguments, got %s"):format(options.describe(kwargs)), 2)
  end
  given = options.check("node:request", schema, given)
  local state = core.node_state(self)
  local question <close> = setmetatable({
    id = core.new_id(self),
    callback = callback,
    waiter = core.waiter "node:request",
    pending = state.requests,
    asked = {},
  }, Question)
  question.pending[question.id] = question
  local data = {
    id = as_str(state, question.id),
    callback = as_str(state, callback),
    kwargs = arguments_of(kwargs),
  }
  local err = ask(self, question, data, given.edge and { given.edge } or self.edges)
  if err then return nil, err end
  local ok, value = core.park(given.timeout)
  if ok then
    if value == core.null then return nil end
    return value
  end
  return nil, ok == nil and core.new_error("timeout", ("node:request %s: no answer"):format(callback)) or value
end

local function receive_response(node, data, edge, _, message)
  local id = data.id
  local question = type(id) == "string" and core.node_state(node).requests[id]
  if not question or not question.asked[edge] then return end
  local failure = data.error
  if type(failure) ~= "table" then return finish(question, true, message.data.response) end
  local code = type(failure.code) == "string" and failure.code:sub(1, NAME_MAX) or "failed"
  local why = type(failure.message) == "string" and failure.message:sub(1, MESSAGE_MAX) or code
  fail_one(question, edge, core.new_error(code, ("node:request at %s: %s"):format(edge.name, why)))
end

-- --- answering -------------------------------------------------------------------------------------------------------

--- The original would take an answer with an error for the answer: it gets none.
local function refuse(node, edge, data, code, message)
  if edge.protocol == 0 then return end
  core.write(node, "response_udp", {
    id = data.id,
    callback = data.callback:sub(1, NAME_MAX),
    response = core.null,
    error = { code = code, message = message:sub(1, MESSAGE_MAX) },
  }, { edge = edge })
end

local function answer(node, edge, data, response)
  local state = core.node_state(node)
  local sent, err = core.write(node, "response_udp", {
    id = as_str(state, data.id),
    callback = as_str(state, data.callback),
    kwargs = data.kwargs,
    response = response == nil and core.null or response,
  }, { edge = edge }, true)
  if not sent and edge.live then refuse(node, edge, data, "failed", tostring(err)) end
end

local function is_cancel(err)
  return type(err) == "table" and err.code == "cancelled"
end

local function count(state, number, change)
  state.calls = state.calls + change
  local left = (state.edge_calls[number] or 0) + change
  state.edge_calls[number] = left > 0 and left or nil
end

local function call(node, edge, data, fn)
  local state, number = core.node_state(node), edge.number
  count(state, number, 1)
  local ok, response, why = xpcall(fn, function(err)
    if not is_cancel(err) then core.report_error(err, "callback " .. data.callback) end
    return err
  end, data.kwargs, edge)
  count(state, number, -1)
  if not edge.live then return end
  local failed = ok and response == nil and why ~= nil -- nil, err: as everything that can fail says it
  if not ok or (failed and edge.protocol > 0) then
    refuse(node, edge, data, "failed", tostring(failed and why or response))
  else
    answer(node, edge, data, response)
  end
end

--- The limit that one call more from this edge would break, or nil. Who calls what never returns does not take the
--- others' room.
local function limit_met(state, number)
  if state.calls >= state.calls_max then return "requests_max" end
  if (state.edge_calls[number] or 0) >= state.edge_calls_max then return "requests_per_edge" end
  return not state.call_rates:take(number) and "request_rate" or nil
end

local function receive_request(node, data, edge, _, message)
  local state = core.node_state(node)
  if type(data.id) ~= "string" or #data.id > 64 or type(data.callback) ~= "string" then return end
  data.kwargs = message.data.kwargs
  if type(data.kwargs) ~= "table" then data.kwargs = core.map {} end
  local fn = state.served[data.callback]
  local limit = limit_met(state, edge.number)
  if limit then
    core.limit_hit(node, limit)
    return refuse(node, edge, data, "busy", "too many calls")
  end
  if not fn then
    local text = "no callback '%s' is served here"
    return refuse(node, edge, data, "unknown_callback", text:format(data.callback:sub(1, NAME_MAX)))
  end
  core.spawn_in(node, "callback " .. data.callback, call, node, edge, data, fn)
end

core.handle_protocol("request_udp", receive_request)
core.handle_protocol("response_udp", receive_response)

core.on_everywhere("edge_closed", function(node, edge, reason)
  local requests, ids = core.node_state(node).requests, {}
  for id in pairs(requests) do
    ids[#ids + 1] = id
  end
  if #ids == 0 then return end
  local lost = core.new_error("lost", ("node:request: the edge to %s ended (%s)"):format(edge.name, reason))
  table.sort(ids) -- some order that is always the same, so that simulations repeat
  for _, id in ipairs(ids) do
    if requests[id] then fail_one(requests[id], edge, lost) end
  end
end)
