-- exchange.lua: what neighbours tell each other for healing: the command `heal` { kind, edges, peers, and more },
-- only between peers of our kind. kind "shuffle": entries for entries, the answer is "peers"; "join": the sender has
-- dialled in a repair and wants to stay, the answer is "joined". peers: a list of { name, ip, port, age }, age in
-- seconds since somebody had an edge to that node. And "walk": who shuffles is told of at random over `ttl` hops, as
-- else few would know a node with few edges. SPDX-License-Identifier: MIT
local core = require "chaski.core"
local guard = require "chaski.discovery.guard"
local limiter = require "chaski.limiter"
local list = require "chaski.heal.list"
local neighbours = require "chaski.heal.neighbours"
local policies = require "chaski.policy"

local COMMAND = "heal"
local ACTIVE, PASSIVE = 2, 6 -- neighbours, and entries of the list, that are told at once
local WALK = 4 -- hops
local PEERS_MAX = 16 -- a message that tells of more is ignored
local RATE, BURST = 1, 6 -- messages a second from one edge
local WALK_RATE, WALK_BURST = 0.2, 4 -- of these "walk": what one sends here is told on under our name
local SILENT, SELDOM = 3, 0.9 -- questions without an answer, and the part of the further ones that is left out
local AGE_MAX = 86400 -- seconds
local NAME_MAX = 64

local M = {}

-- --- telling ---------------------------------------------------------------------------------------------------------

--- Up to count of a list, which is used up.
local function some(from, count)
  local taken = {}
  while #from > 0 and #taken < count do
    taken[#taken + 1] = table.remove(from, core.random(#from))
  end
  return taken
end

local function add_neighbours(node, but, peers)
  local others = {}
  for _, edge in ipairs(neighbours.of(node)) do
    if edge ~= but and edge.protocol > 0 and core.numeric(edge.ip) then others[#others + 1] = edge end
  end
  for _, edge in ipairs(some(others, ACTIVE)) do
    peers[#peers + 1] = { name = edge.name, ip = edge.ip, port = edge.port, age = 0 }
  end
end

local function add_entries(heal, but, peers)
  local fresh = heal.list:select(function(entry)
    return not list.is_faded(entry) and entry.name ~= but.name
  end)
  for _, entry in ipairs(some(fresh, PASSIVE)) do
    local age = math.max(0, math.floor(core.now() - entry.heard))
    peers[#peers + 1] = { name = entry.name, ip = entry.ip, port = entry.port, age = age }
  end
end

local function tell(node, heal, edge, data)
  data.edges, data.peers = #neighbours.of(node), core.array {}
  add_neighbours(node, edge, data.peers)
  add_entries(heal, edge, data.peers)
  return core.write(node, COMMAND, data, { edge = edge })
end

local function ask(node, heal, edge, data)
  if not edge.live then return false end -- nobody would clear what is noted of it
  heal.asked[edge.number] = (heal.asked[edge.number] or 0) + 1
  return tell(node, heal, edge, data)
end

--- Entries for entries with this neighbour. One that never answers has no healing, and is seldom asked.
function M.shuffle(node, heal, edge)
  if not edge.live or edge.suspended or edge.protocol == 0 then return end
  if (heal.asked[edge.number] or 0) >= SILENT and core.random() < SELDOM then return end
  ask(node, heal, edge, { kind = "shuffle" })
end

--- Ask the neighbour whether this edge may stay: its answer comes to heal.joined(edge, accepted).
function M.join(node, heal, edge, urgent)
  return ask(node, heal, edge, { kind = "join", urgent = urgent })
end

-- --- hearing ---------------------------------------------------------------------------------------------------------

local function is_own(node, peer)
  return peer.name == node.name or (peer.ip == node.ip and peer.port == node.port)
end

--- An entry as it may be told: a name and an address that this node may dial.
local function valid(node, peer)
  if type(peer) ~= "table" or type(peer.name) ~= "string" or type(peer.ip) ~= "string" then return false end
  if #peer.name < 1 or #peer.name > NAME_MAX or math.type(peer.port) ~= "integer" then return false end
  if math.type(peer.age) ~= "integer" or peer.age < 0 or peer.age > AGE_MAX then return false end
  if peer.port > 65535 or is_own(node, peer) then return false end
  local address = guard.address(node, peer.ip, peer.port)
  local read = address and core.address(peer.name .. "@" .. address)
  return read ~= nil and read.name == peer.name and read.host == peer.ip
end

--- Who tells us: the share of one peer is also that of all its connections. Noted as the edge comes: where it is from
--- cannot be seen when it is lost.
local function source_of(node, edge)
  if edge.id ~= "" and (node.tls or neighbours.is_local(edge)) then return edge.id end
  return neighbours.remote_host(edge)
end

function M.opened(node, heal, edge)
  if edge.live then heal.sources[edge.number] = source_of(node, edge) end
end

--- Of an edge that may be over.
function M.source_of(heal, edge)
  return heal.sources[edge.number] or neighbours.UNKNOWN
end

local function take(node, heal, edge, peers)
  local source = M.source_of(heal, edge)
  for _, peer in ipairs(peers) do
    if not valid(node, peer) then
      heal.ignored = heal.ignored + 1
    elseif not node:get_edge(peer.ip, peer.port) then
      heal.list:add(peer.name, peer.ip, peer.port, core.now() - peer.age, source)
    end
  end
end

--- Tell one other neighbour of the peer.
local function walk_on(node, from, peer, ttl)
  local others = {}
  for _, edge in ipairs(neighbours.of(node)) do
    if edge ~= from and edge.protocol > 0 and edge.name ~= peer.name then others[#others + 1] = edge end
  end
  local edge = some(others, 1)[1]
  if not edge then return end
  local data = { kind = "walk", edges = #neighbours.of(node), ttl = ttl, peers = core.array { peer } }
  core.write(node, COMMAND, data, { edge = edge })
end

local receivers = {}

function receivers.shuffle(node, heal, edge)
  tell(node, heal, edge, { kind = "peers" })
  if not core.numeric(edge.ip) then return end
  walk_on(node, edge, { name = edge.name, ip = edge.ip, port = edge.port, age = 0 }, WALK - 1)
end

function receivers.walk(node, _, edge, data)
  local ttl, peer = data.ttl, data.peers[1]
  if #data.peers ~= 1 or math.type(ttl) ~= "integer" or ttl < 1 or ttl >= WALK or not valid(node, peer) then return end
  walk_on(node, edge, { name = peer.name, ip = peer.ip, port = peer.port, age = peer.age }, ttl - 1)
end

function receivers.join(node, heal, edge, data)
  local join = { urgent = data.urgent == true, edges = data.edges }
  local accepted = policies.ask("heal policy: accept", heal.policy.accept, node, join, edge) == true
  if not accepted then heal.refused = heal.refused + 1 end
  tell(node, heal, edge, { kind = "joined", accepted = accepted })
end

function receivers.peers() end

function receivers.joined(_, heal, edge, data)
  heal.joined(edge, data.accepted == true)
end

local answers = { peers = true, joined = true }

--- Was this asked for? Then one answer less is awaited.
local function is_answer(heal, edge)
  local asked = heal.asked[edge.number] or 0
  heal.asked[edge.number] = asked > 1 and asked - 1 or nil
  return asked > 0
end

local function well_formed(data)
  if type(data.kind) ~= "string" or not receivers[data.kind] then return false end
  if type(data.peers) ~= "table" or #data.peers > PEERS_MAX then return false end
  return math.type(data.edges) == "integer" and data.edges >= 0
end

local function in_measure(heal, data, edge)
  if data.kind == "walk" and not heal.walks:take(edge.number) then return false end
  return heal.rates:take(edge.number)
end

local function receive(node, data, edge)
  local heal = core.node_state(node).heal
  local good = edge.live and well_formed(data) and in_measure(heal, data, edge)
  if not good or (answers[data.kind] and not is_answer(heal, edge)) then
    heal.ignored = heal.ignored + 1
    return
  end
  heal.counts[edge.number] = data.edges
  take(node, heal, edge, data.peers)
  receivers[data.kind](node, heal, edge, data)
end

core.handle_protocol(COMMAND, receive, {
  wanted = function(node)
    return core.node_state(node).heal ~= nil
  end,
})

--- What this file keeps for a node that heals.
function M.install(node, heal)
  local state = core.node_state(node)
  heal.rates, heal.walks = limiter.of_edges(state, RATE, BURST), limiter.of_edges(state, WALK_RATE, WALK_BURST)
  heal.asked, heal.counts, heal.sources = {}, {}, {} -- by the number of the edge
  heal.ignored, heal.refused = 0, 0
  node:on("edge_closed", function(edge)
    heal.asked[edge.number], heal.counts[edge.number], heal.sources[edge.number] = nil, nil, nil
  end)
end

return M
