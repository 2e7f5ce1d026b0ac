-- repair.lua: dialling peers of the passive list: to have enough edges again, and now and then to one that nobody has
-- heard of for long, as it may be in another part of what was one network. SPDX-License-Identifier: MIT
local core = require "chaski.core"
local exchange = require "chaski.heal.exchange"
local guard = require "chaski.discovery.guard"
local list = require "chaski.heal.list"
local neighbours = require "chaski.heal.neighbours"
local policies = require "chaski.policy"

local AGAIN = 60 -- seconds until the same peer is dialled again
local ANSWER = 5 -- seconds a peer has to say whether we may stay; one without healing never does, and does not mind
local FIRST = 0.5 -- seconds between rounds of a repair at first,
local GROWTH = 1.5 -- growing by this
local MOST, MOST_URGENT = 60, 2 -- up to that
local AFTERMATH = 60 -- seconds since a repair began in which the rest of the list is tried too, if much of it was dead
local SPARE = 3 -- edges beyond those it may have before a node ends any

local M = {}

-- --- one dial --------------------------------------------------------------------------------------------------------

--- Does the peer take us as a neighbour?
local function may_stay(node, heal, edge, urgent)
  if edge.protocol == 0 then return true end
  local waiter = core.waiter "heal"
  heal.waiters[edge.number] = waiter
  local _ <close> = setmetatable({}, {
    __close = function()
      heal.waiters[edge.number] = nil
    end,
  })
  if not exchange.join(node, heal, edge, urgent) then return false end
  local answer = core.park(ANSWER)
  return answer ~= "refused"
end

local function keep_or_leave(node, heal, edge, urgent)
  if not edge.live then return false end
  heal.made[edge.number] = true
  if may_stay(node, heal, edge, urgent) then return edge.live end
  if edge.live then edge:close() end
  return false
end

local function count_dial(heal)
  heal.dialling = heal.dialling + 1
  return setmetatable({}, {
    __close = function()
      heal.dialling = heal.dialling - 1
    end,
  })
end

--- Dial an entry, whose name the peer must have if there are certificates, and stay if we may.
local function dial(node, heal, entry, address, urgent)
  local _ <close> = count_dial(heal)
  local _ <close> = guard.dialling(node)
  local edge = node:connect(entry.name .. "@" .. address)
  entry.failed = edge and 0 or entry.failed + 1
  heal.failed = heal.failed + (edge and 0 or 1)
  local stays = edge and (not edge.dialled or keep_or_leave(node, heal, edge, urgent))
  guard.dialled(node, address, stays)
  if not stays then return end
  heal.repaired, heal.delay = heal.repaired + 1, FIRST
end

--- Begin to dial one of these, the policy's choice. False when there is none, or too many dials are under way.
local function dial_one(node, heal, candidates, urgent)
  if #candidates == 0 then return false end
  local entry = policies.ask("heal policy: choose", heal.policy.choose, node, candidates)
  if type(entry) ~= "table" or heal.list:find(entry.name, entry.ip, entry.port) ~= entry then return false end
  local address = guard.address(node, entry.ip, entry.port)
  if guard.left_alone(node, address) then
    entry.tried = core.now() -- by a discovery, say
    return true
  end
  if not guard.may_dial(node, address) then return false end
  entry.tried = core.now()
  heal.dials = heal.dials + 1
  core.spawn_in(node, "heal", dial, node, heal, entry, address, urgent)
  return true
end

-- --- rounds ----------------------------------------------------------------------------------------------------------

--- Entries that may be dialled now: fresh, or faded.
local function candidates_of(heal, faded)
  local now = core.now()
  return heal.list:select(function(entry)
    return now - entry.tried >= AGAIN and list.is_faded(entry) == faded
  end)
end

--- Dial as many as are missing, fresh ones first.
local function round(node, heal, missing, urgent)
  for _ = 1, missing do
    local candidates = candidates_of(heal, false)
    if #candidates == 0 then candidates = candidates_of(heal, true) end
    if not dial_one(node, heal, candidates, urgent) then return end
  end
end

--- The floor the policy says: an integer, or none.
local function floor_of(node, heal)
  local floor = policies.ask("heal policy: floor", heal.policy.floor, node, heal.had, heal.target)
  return math.type(floor) and math.min(floor, heal.target) or 0
end

local function enough(heal)
  heal.below, heal.delay, heal.next_round = nil, FIRST, core.now()
end

--- Where most peers turned out to be dead, the few that live may be in parts, each node of which has enough edges: the
--- rest of the list is tried as well, for those who need one.
local function look_for_needy(node, heal)
  local began = heal.began
  if not began or core.now() - began.at > AFTERMATH then return end
  if 2 * (heal.failed - began.failed) <= heal.dials - began.dials then return end
  for _ = 1, 2 do
    dial_one(node, heal, candidates_of(heal, false), false)
  end
end

local function too_few(heal, now)
  heal.below = heal.below or now
  if not heal.began or now - heal.began.at > AFTERMATH then
    heal.began = { at = now, dials = heal.dials, failed = heal.failed }
  end
end

--- Repair if the node has had too few edges for a while.
function M.repair(node, heal)
  local now, count, floor = core.now(), #neighbours.of(node), floor_of(node, heal)
  heal.floor = floor
  if count >= floor then
    enough(heal)
    return look_for_needy(node, heal)
  end
  too_few(heal, now)
  if now - heal.below < heal.policy.patience or now < heal.next_round then return end
  local urgent = 2 * count < floor
  round(node, heal, heal.target - count - heal.dialling, urgent)
  heal.next_round = now + heal.delay * (0.75 + core.random() / 2)
  heal.delay = math.min(heal.delay * GROWTH, urgent and MOST_URGENT or MOST)
end

--- Now and then one that nobody has heard of.
function M.probe(node, heal)
  local now = core.now()
  if now < heal.next_probe then return end
  heal.next_probe = now + heal.policy.probe * (0.75 + core.random() / 2)
  if heal.floor < 1 or (#neighbours.of(node) > node.max_connections and not node.root) then return end
  local candidates = {}
  for _, entry in ipairs(candidates_of(heal, true)) do
    if not entry.left then candidates[#candidates + 1] = entry end
  end
  dial_one(node, heal, candidates, true)
end

--- When what was lost is back as well, edges of repairs end, one a turn: those whose peer can do without.
function M.trim(node, heal)
  local edges = neighbours.of(node)
  if #edges <= math.max(node.max_connections, heal.target) + SPARE then return end
  for _, edge in ipairs(edges) do
    if heal.made[edge.number] and (heal.counts[edge.number] or 0) > heal.target then return edge:close() end
  end
end

-- --- set-up ----------------------------------------------------------------------------------------------------------

function M.install(node, heal)
  heal.waiters, heal.made = {}, {} -- by the number of the edge
  heal.dialling, heal.dials, heal.failed, heal.repaired, heal.floor = 0, 0, 0, 0, 0
  heal.delay, heal.next_round, heal.next_probe = FIRST, 0, 0
  function heal.joined(edge, accepted)
    local waiter = heal.waiters[edge.number]
    heal.waiters[edge.number] = nil
    if waiter then core.wake(waiter, accepted and "accepted" or "refused") end
  end
  node:on("edge_closed", function(edge)
    heal.joined(edge, false)
    heal.made[edge.number] = nil
  end)
end

return M
