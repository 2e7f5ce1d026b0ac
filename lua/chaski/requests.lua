-- requests.lua: asking another node to call a function, and the functions it may call (PROTOCOL A.9, B.9). Only what
-- was registered with node:serve can be called; nothing is looked up by name elsewhere. What each request needs is done
-- in C (src/lua/request.c, src/lua/serve.c): here is what is rare.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local limiter = require "chaski.limiter"
local new_handle = require "chaski.handle"
local options = require "chaski.options"
local states = require "chaski.state"

local methods = core.node_methods

states.tables "served" -- callback -> function
states.field("call_rates", function(state)
  return limiter.of_edges(state, core.limit(state.node, "request_rate"))
end)

local function is_edge(value)
  return options.is_a(value, "chaski.edge")
end

local schema = {
  { name = "timeout", kind = options.seconds(0, 1e9), default = 5 },
  { name = "edge", kind = { expected = "an edge", test = is_edge } },
}

-- --- asking ----------------------------------------------------------------------------------------------------------

--- The options of a request: timeout, edge. Raises what is wrong with its arguments, without the line.
local function check(callback, kwargs, given)
  if type(callback) ~= "string" or callback == "" then
    error(("node:request: expected the name of a callback, got %s"):format(options.describe(callback)), 0)
  end
  if kwargs ~= nil and type(kwargs) ~= "table" then
    error(("node:request: expected a table of arguments, got %s"):format(options.describe(kwargs)), 0)
  end
  given = options.check("node:request", schema, given)
  return given.timeout, given.edge
end

--- kwargs as a map, whatever it is.
local function arguments_of(kwargs)
  local arguments = core.map {}
  for key, value in pairs(kwargs or {}) do
    arguments[key] = value
  end
  return arguments
end

--- A request as core.write would be told to write it, for who stands in for that: the edges that took it, and why one
--- did not.
local function ask_by_hand(id, node, callback, kwargs, only)
  local data, asked, why = { id = id, callback = callback, kwargs = kwargs }, {}, nil
  for _, edge in ipairs(only and { only } or node.edges) do
    local ok, err = core.write(node, "request_udp", data, { edge = edge }, true)
    if ok then
      asked[#asked + 1] = edge
    else
      why = err
    end
  end
  return asked, why
end

--- Ask one edge, or all (the first answer counts), to call `callback` with the table kwargs. Returns the answer, or
--- nil, err with code timeout, no_edge, lost, or what the answering node says: unknown_callback, failed, busy.
methods.request = core.make_request(check, arguments_of, ask_by_hand)

core.on_everywhere("edge_closed", core.fail_requests)

-- --- answering -------------------------------------------------------------------------------------------------------

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

core.set_serving(function(node)
  local state = core.node_state(node)
  return state.served, state.call_rates.buckets
end)
