-- request.lua: what a discovery says, checked: a table we can rely on, made of what came over the wire.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"

local TTL_MAX, VISITED_MAX, NAME_MAX, TOPIC_MAX = 64, 64, 64, 256 -- RELIABILITY T14

---@class chaski.discovery.request
---@field id string? discovery_id: told by our kind
---@field topic string
---@field origin_ip string
---@field origin_port integer
---@field origin_name string
---@field origin_id string? node id of the origin
---@field leader string? id of the leader of the origin's group
---@field again boolean the origin has searched before
---@field meeting boolean? it has, and this node leads a group of the topic that is not the origin's
---@field previous_node string
---@field visited string[] names, the first the origin's
---@field ttl integer 1..64
---@field data table as received
local M = {}

local function text(value, most)
  return type(value) == "string" and #value <= most
end

--- A ttl as it may be: 1..64, whatever larger number it was. nil for anything else.
local function clamped(ttl)
  if not math.type(ttl) or ttl < 1 or ttl ~= ttl then return nil end
  return math.tointeger(ttl >= TTL_MAX and TTL_MAX or ttl)
end

local function names(value)
  if type(value) ~= "table" or #value > VISITED_MAX then return nil end
  local list = {}
  for i, name in ipairs(value) do
    if not text(name, NAME_MAX) then return nil end
    list[i] = name
  end
  return list
end

--- nil when the data is not a discovery, or its ttl has run out.
---@return chaski.discovery.request?
function M.parse(data)
  if type(data) ~= "table" then return nil end
  local ttl, port, visited = clamped(data.ttl), data.origin_port, names(data.visited)
  if not ttl or not visited or math.type(port) ~= "integer" or port < 1 or port > 65535 then return nil end
  if not text(data.origin_ip, 255) or not text(data.origin_name, 256) then return nil end
  if not text(data.previous_node, 256) then return nil end
  if not text(data.origin_subscription, TOPIC_MAX) or data.origin_subscription == "" then return nil end
  return {
    id = text(data.discovery_id, NAME_MAX) and data.discovery_id or nil,
    topic = data.origin_subscription,
    origin_ip = data.origin_ip,
    origin_port = port,
    origin_name = data.origin_name,
    origin_id = text(data.origin_id, NAME_MAX) and data.origin_id or nil,
    leader = text(data.leader, NAME_MAX) and data.leader or nil,
    again = data.again == true,
    previous_node = data.previous_node,
    visited = visited,
    ttl = ttl,
    data = data,
  }
end

--- The host that this edge's peer may dial us at.
local function advertised(node, edge)
  local told = core.node_state(node).options.advertise
  if told then return told end
  if node.ip ~= "0.0.0.0" and node.ip ~= "::" then return node.ip end
  return core.address(edge.local_address).host
end

--- The data of a request of the node's own.
function M.new(node, search, edge, id)
  local root = search.start
  return {
    origin_ip = advertised(node, edge),
    origin_port = node.port,
    origin_name = node.name,
    previous_node = node.name,
    visited = core.array { node.name },
    on_pair = search.on_pair,
    root_ip = root and root.ip or "",
    root_port = root and root.port or 0,
    origin_subscription = search.topic,
    ttl = node.ttl,
    discovery_id = id,
    origin_id = node.id,
    leader = search.leader,
    again = search.again,
  }
end

--- Has a request without an id, which may come back after it was forgotten, been here?
function M.went_by(node, request)
  if request.id then return false end
  for _, name in ipairs(request.visited) do
    if name == node.name then return true end
  end
  return false
end

--- The data as it goes on from this node: unknown keys stay.
function M.forwarded(node, request)
  local data = {}
  for key, value in pairs(request.data) do
    data[key] = value
  end
  local visited = core.array {}
  for i, name in ipairs(request.visited) do
    visited[i] = name
  end
  if #visited < VISITED_MAX then visited[#visited + 1] = node.name end
  data.visited, data.previous_node, data.ttl = visited, node.name, request.ttl - 1
  return data
end

return M
