-- node.lua: chaski.node{...}, and the fields a node composes: paired, status and the like.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local options = require "chaski.options"
local discovery = require "chaski.discovery"
local heal = require "chaski.heal"
local introspect = require "chaski.introspect"
local reconnect = require "chaski.reconnect"
local secure = require "chaski.secure"
local states = require "chaski.state"
require "chaski.requests"
require "chaski.status"

local methods, fields = core.node_methods, core.node_fields

states.tables("listeners", "paired") -- event -> functions; topic -> boolean

local function is_paired(node, state, topic)
  local paired = state.paired[topic]
  if paired == nil then return state.options.paired or node.root end
  return paired
end

--- Topic -> paired, of every topic subscribed to. A node is paired for none of those it was not told of.
local function paired_map(node)
  local state, map = core.node_state(node), {}
  for _, topic in ipairs(node.subscriptions) do
    map[topic] = is_paired(node, state, topic)
  end
  return map
end

function methods:paired_for(topic)
  if type(topic) ~= "string" then
    error(("node:paired_for: expected a topic, got %s"):format(options.describe(topic)), 2)
  end
  return core.subscribed(self, topic) and is_paired(self, core.node_state(self), topic)
end

--- True if the node has a subscription and every one is paired.
function fields.paired(node)
  local map = paired_map(node)
  for _, paired in pairs(map) do
    if not paired then return false end
  end
  return next(map) ~= nil
end

function fields.messages_pool(node)
  return core.node_pool(node)
end

function fields.max_connections(node)
  return core.node_state(node).options.max_connections
end

function fields.reconnections(node)
  return core.node_state(node).options.reconnections
end

--- "ip:port" that others may dial.
local own_address = fields.address
function fields.address(node)
  local address, told = own_address(node), core.node_state(node).options.advertise
  if not address or not told then return address end
  return (told:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(told, node.port)
end

local function add_extra(answer, extra, node)
  for key, value in pairs(extra and extra(node) or {}) do
    answer[key] = value
  end
  return answer
end

function fields.status(node)
  local state = core.node_state(node)
  local answer = {
    name = node.name,
    id = node.id,
    address = node.address,
    paired = paired_map(node),
    serving = node.running,
    reconnecting = next(state.redialling) ~= nil,
    edges = node.edge_count,
    counters = node.ledger,
    limits = node.limits,
    tls = secure.status(node),
    heal = heal.status(node),
  }
  return add_extra(answer, state.options.status_extra, node)
end

--- True if what goes over the node's edges is encrypted and both ends are who they say they are.
function fields.tls(node)
  return core.tls_counters(node) ~= nil
end

--- A node, which runs when this returns. nil, err when its port is taken, say.
---@param given chaski.node_options?
---@return chaski.node?, chaski.error?
local function new(given)
  local checked = options.check_node(given)
  secure.check(checked, 2)
  local state = states.new(checked)
  local ok, node, err = pcall(core.new_node, checked, state)
  if not ok then options.raise(tostring(node)) end -- what does not fit together, says the core
  if not node then return nil, err end
  state.node = node
  ok, err = secure.install(node, checked)
  if not ok then return nil, err end
  if checked.reconnections > 0 then reconnect.install(node, checked.reconnect) end
  if checked.introspect then introspect.install(node) end
  discovery.install(node, checked.discovery)
  heal.install(node, checked.heal)
  if #checked.subscriptions > 0 then
    ok, err = node:subscribe(checked.subscriptions)
    if not ok then return nil, err end
  end
  if not checked.run then return node end
  ok, err = node:run()
  if not ok then return nil, err end
  return node
end

return new
