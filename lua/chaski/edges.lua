-- edges.lua: what a node can ask and do about its edges as a whole, and methods of an edge that are its node's.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local options = require "chaski.options"

local methods, fields = core.node_methods, core.node_fields
local edge_methods, edge_fields = core.edge_methods, core.edge_fields

local is_a = options.is_a

local function sorted(getter)
  return function(object)
    local list = getter(object)
    table.sort(list)
    return list
  end
end
edge_fields.subscriptions = sorted(edge_fields.subscriptions)
fields.subscriptions = sorted(fields.subscriptions)

local ping_schema = {
  { name = "size", kind = options.integer(0, 1048576), default = 0 },
  { name = "timeout", kind = options.seconds(0, 1e9) },
  { name = "latency_update", kind = options.boolean, default = true },
  { name = "delay", kind = options.seconds(0, 1e9), default = 0 },
}

--- Check the options and wait for their delay; what is left is for the core.
local function prepare(where, given)
  given = options.check(where, ping_schema, given)
  if given.delay > 0 then core.sleep(given.delay) end
  given.delay = nil
  return given
end

--- Ping every edge at once: edge -> round trip in ms, of those that answered.
local function ping_all(node, given)
  local tasks, answers = {}, {}
  for i, edge in ipairs(node.edges) do
    tasks[i] = core.spawn(function()
      answers[edge] = core.ping_edge(node, edge, given)
    end)
  end
  for _, task in ipairs(tasks) do
    task:join()
  end
  return answers
end

function methods:ping(edge, given)
  if is_a(edge, "chaski.edge") then return core.ping_edge(self, edge, prepare("node:ping", given)) end
  if edge ~= nil and type(edge) ~= "table" then
    error(("node:ping: expected an edge or options, got %s"):format(options.describe(edge)), 2)
  end
  given = prepare("node:ping", edge or given)
  return ping_all(self, given)
end

function edge_methods:ping(given)
  return core.ping_edge(self.node, self, prepare("edge:ping", given))
end

local handshake_schema = {
  { name = "delay", kind = options.seconds(0, 1e9), default = 0 },
  { name = "response", kind = options.boolean, default = false },
}

--- The handshake is the runtime's, once for each connection: on a live edge it would be a goodbye. So this only says
--- how things stand: nil, err with code "live", or "no_edge" when the edge has ended (connect again).
function methods:handshake(edge, given)
  local where = "node:handshake"
  options.expect_object(where, "chaski.edge", "an edge", edge)
  given = options.check(where, handshake_schema, given)
  if given.delay > 0 then core.sleep(given.delay) end
  if edge.live and edge.node == self then
    return nil, core.new_error("live", where .. ": the edge to " .. edge.name .. " is live: its handshake is complete")
  end
  return nil, core.new_error("no_edge", where .. ": there is no such live edge: connect again")
end

local function expect_address(where, value, port)
  local good = type(value) == "string" and (port == nil or math.type(port) == "integer")
  if good then return end
  local wrong = type(value) == "string" and "port " .. options.describe(port) or options.describe(value)
  error(("%s: expected an edge, 'ip:port', or ip and port, got %s"):format(where, wrong), 3)
end

function methods:close_connection(edge, port)
  if not is_a(edge, "chaski.edge") then
    expect_address("node:close_connection", edge, port)
    edge = self:get_edge(edge, port)
  end
  if edge and edge.live and edge.node == self then return edge:close() end
  return nil, core.new_error("no_edge", "node:close_connection: there is no such live edge")
end

local connect_schema = {
  { name = "timeout", kind = options.seconds(0, 1e9) },
  { name = "paired", kind = options.text(1, 4096) },
  { name = "report", kind = options.table },
  { name = "discovery", kind = options.boolean, default = false },
  { name = "discovery_timeout", kind = options.seconds(0, 1e9), default = 10 },
}

--- With `paired` or `report` it is a dial-back: a report_paired goes first.
local function dial_back(node, address, given)
  local report = core.map {}
  for key, value in pairs(given.report or {}) do
    report[key] = value
  end
  report.paired = given.paired or report.paired
  local edge, err = core.connect(node, address, { timeout = given.timeout }, report)
  if edge then edge.paired = true end
  return edge, err
end

--- The edge is wanted, whoever else asked for it (see status.lua).
local function want(node, edge, err)
  if edge then core.node_state(node).only_asked[edge.number] = nil end
  return edge, err
end

--- Is there a topic that a discovery would search?
local function has_unpaired(node)
  for _, topic in ipairs(node.subscriptions) do
    if not node:paired_for(topic) then return true end
  end
  return false
end

local function joined(ip, port)
  if type(ip) ~= "string" then
    error(("node:connect: expected an ip before the port, got %s"):format(options.describe(ip)), 3)
  end
  return (ip:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(ip, port)
end

local function expect_peer(address)
  if type(address) == "string" or is_a(address, "chaski.node") then return end
  options.raise(("node:connect: expected 'host:port' or a node, got %s"):format(options.describe(address)))
end

--- The edge that is there after a discovery: the one it began at, or, when that was left, one that it has found.
local function remaining(node, edge, found)
  if edge.live then return edge end
  for _, topic in ipairs(node.subscriptions) do
    if found[topic] and found[topic].live then return found[topic] end
  end
  return edge
end

--- connect(address or node [, options]) or connect(ip, port [, options]).
function methods:connect(address, given, more)
  if math.type(given) == "integer" then
    address, given = joined(address, given), more
  end
  expect_peer(address)
  if given == nil then return want(self, core.connect(self, address)) end
  given = options.check("node:connect", connect_schema, given)
  if given.paired or given.report then return want(self, dial_back(self, address, given)) end
  local edge, err = want(self, core.connect(self, address, { timeout = given.timeout }))
  if not edge or not given.discovery or not has_unpaired(self) then return edge, err end
  local searched
  searched, err = self:discovery { node = edge, on_pair = "disconnect", timeout = given.discovery_timeout }
  if not searched then return nil, err end
  return remaining(self, edge, searched)
end

local function has_edge_to_id(node, id)
  for _, edge in ipairs(node.edges) do
    if edge.id == id then return true end
  end
  return false
end

function methods:is_connected_to(peer)
  if is_a(peer, "chaski.edge") then return peer.live and peer.node == self end
  if is_a(peer, "chaski.node") then return has_edge_to_id(self, peer.id) end
  expect_address("node:is_connected_to", peer)
  return self:get_edge(peer) ~= nil
end

function methods:remove_duplicated_connections()
  local seen, removed = {}, 0
  for _, edge in ipairs(self.edges) do
    local key = edge.id ~= "" and edge.id or edge.address
    if seen[key] then
      edge:close "duplicate"
      removed = removed + 1
    end
    seen[key] = true
  end
  return removed
end
