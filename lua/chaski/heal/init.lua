-- init.lua: healing: a node keeps a passive list of peers beside its edges (list.lua), which neighbours tell each other
-- (exchange.lua), and when it has lost edges it makes new ones from it (repair.lua). Whom and how many is a policy's to
-- say (passive.lua); without the option `heal` none of this exists. Here: the option, and the turns of it all.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local exchange = require "chaski.heal.exchange"
local guard = require "chaski.discovery.guard"
local list = require "chaski.heal.list"
local neighbours = require "chaski.heal.neighbours"
local options = require "chaski.options"
local passive = require "chaski.heal.passive"
local policies = require "chaski.policy"
local repair = require "chaski.heal.repair"

local TURN = 1 -- seconds
local SOON = 2 -- seconds within which a new neighbour is asked what it knows

local schema = {
  { name = "active", kind = options.integer(1, 1000), default = 5 },
  { name = "passive", kind = options.integer(1, 30), default = 30 },
  { name = "share", kind = options.integer(1, 30), default = 15 },
  { name = "network", kind = options.integer(1, 30), default = 3 },
  { name = "period", kind = options.seconds(0.5, 86400), default = 10 },
  { name = "patience", kind = options.seconds(0, 3600), default = 3 },
  { name = "probe", kind = options.seconds(1, 86400), default = 30 },
  { name = "floor", kind = options.func, default = passive.floor },
  { name = "choose", kind = options.func, default = passive.choose },
  { name = "accept", kind = options.func, default = passive.accept },
}

local M = {}

-- --- what the node loses ---------------------------------------------------------------------------------------------

--- Has one of the two ended the edge because it wanted to? Not: it was lost, or the peer has stopped.
local function is_wanted(edge, reason)
  return reason == "closed" or reason == "duplicate" or (reason == "goodbye" and edge.detail ~= "stopped")
end

--- A peer that is a neighbour no longer: one it may come back to. A lost one is dialled again by who dialled it. Where
--- it can be dialled is its own word, so it counts as told by the peer.
local function remember(node, heal, edge, wanted)
  if edge.protocol == 0 or not guard.address(node, edge.ip, edge.port) then return end
  local entry = heal.list:add(edge.name, edge.ip, edge.port, core.now(), exchange.source_of(heal, edge))
  entry.left, entry.tried = wanted, core.now()
  if not wanted then entry.failed = math.max(entry.failed, 1) end
end

local function key_of(edge)
  return edge.id ~= "" and edge.id or edge.address
end

--- The node is to have fewer edges than it had: it has ended this one itself, or the peer has, and was counted when it
--- came. A peer that comes when some are missing, and goes again, does not make that right.
local function is_one_less(heal, edge, reason)
  local key = key_of(edge)
  local counted = heal.counted[key]
  heal.counted[key] = counted and reason == "duplicate" or nil -- of two edges to it one is left
  return not heal.made[edge.number] and (counted or reason == "closed")
end

local function closed(node, heal, edge, reason)
  if not edge.was_live then return end
  local wanted = is_wanted(edge, reason)
  if wanted and is_one_less(heal, edge, reason) then heal.had = math.max(heal.had - 1, 0) end
  if not node:get_edge(edge.ip, edge.port) then remember(node, heal, edge, wanted) end
end

-- --- turns -----------------------------------------------------------------------------------------------------------

local function exchange_with_one(node, heal)
  if core.now() < heal.next_exchange then return end
  heal.next_exchange = core.now() + heal.policy.period * (0.75 + core.random() / 2)
  local edges = neighbours.of(node)
  if #edges > 0 then exchange.shuffle(node, heal, edges[core.random(#edges)]) end
end

local function live(node, heal)
  while true do
    core.sleep(TURN * (0.75 + core.random() / 2))
    exchange_with_one(node, heal)
    repair.repair(node, heal)
    repair.probe(node, heal)
    repair.trim(node, heal)
  end
end

local function count(node, heal, edge)
  local have = #neighbours.of(node)
  if have <= heal.had then return end
  heal.had, heal.counted[key_of(edge)] = have, true
end

--- An edge has become live: its peer is passive no longer.
local function opened(node, heal, edge)
  exchange.opened(node, heal, edge)
  count(node, heal, edge)
  local entry = heal.list:find(edge.name, edge.ip, edge.port)
  if entry then heal.list:remove(entry) end
  if not heal.live then
    heal.live = true
    core.spawn_in(node, "heal", live, node, heal)
  end
  if not edge.dialled then return end
  core.sleep(SOON * core.random())
  if not heal.made[edge.number] then exchange.shuffle(node, heal, edge) end
end

-- --- set-up ----------------------------------------------------------------------------------------------------------

local function read_option(option)
  if option == true then return options.check("chaski.node", schema, {}) end
  return options.check("chaski.node: option 'heal'", schema, policies.load("heal", option))
end

--- What a node's status says of it; nil without healing.
function M.status(node)
  local heal = core.node_state(node).heal
  if not heal then return nil end
  return {
    passive = #heal.list.entries,
    faded = #heal.list:select(list.is_faded),
    floor = heal.floor,
    dials = heal.dials,
    repaired = heal.repaired,
    refused = heal.refused,
    ignored = heal.ignored,
  }
end

function M.install(node, option)
  if not option then return end
  local policy = read_option(option)
  local heal = { policy = policy, list = list.new(policy), had = 0, counted = {}, next_exchange = 0 }
  heal.target = math.max(1, math.min(policy.active, node.max_connections))
  core.node_state(node).heal = heal
  node:on("edge_closed", function(edge, reason)
    closed(node, heal, edge, reason)
  end)
  exchange.install(node, heal)
  repair.install(node, heal)
  node:on("edge_open", function(edge)
    opened(node, heal, edge)
  end)
  node:on("stopped", function()
    heal.live, heal.had, heal.counted = false, 0, {}
  end)
end

return M
