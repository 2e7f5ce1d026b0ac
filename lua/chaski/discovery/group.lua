-- group.lua: what keeps the members of a topic one group. Searches that begin at the same moment end in islands: each
-- finds somebody, and nobody searches any more. So each group has a leader, its member with the smallest id, which
-- everyone learns from beacons that run over the group's edges; a leader searches again at growing intervals, and a
-- group that meets another with a smaller leader becomes part of it. The same heals partitions.
--
-- Beacon: the command `leader` { topic, leader, seq }, only to peers of our kind. A leader counts seq up, from the time
-- of its start, so that its beacons are news after a restart too; a member passes a beacon on when it is news. A leader
-- not heard of for a while is dead: its last seq is remembered, so that an old beacon that still goes round does not
-- raise it. A leader that hears of a seq of its own that it has not sent yet goes on from there.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local limiter = require "chaski.limiter"
local states = require "chaski.state"

local BEACON = 2 -- seconds between beacons
local DEAD = 7 -- seconds of silence after which a leader is
local SEARCH_FIRST, SEARCH_MOST = 1, 60 -- seconds between a leader's searches: doubling
local SEARCH_TIMEOUT = 2 -- seconds one of them waits
local BURIED_MAX = 64 -- dead leaders remembered, of one topic
local BEACONS_RATE, BEACONS_BURST = 100, 400 -- a second from one edge: each may be passed on to the whole group
local AHEAD = 86400 -- seconds a seq may be ahead of our clock: one beyond it could not be outdone by its owner

local M = {} ---@type { search: function } discovery's, which it puts here

states.tables("groups", "ways") -- topic -> group; topic -> where the first search began
states.field("beacons", function(state)
  return limiter.of_edges(state, BEACONS_RATE, BEACONS_BURST)
end)

local function group_of(node, topic)
  return core.node_state(node).groups[topic]
end

--- Id of the leader of the node's group; the node's own before it has one.
function M.leader(node, topic)
  local group = group_of(node, topic)
  return group and group.leader or node.id
end

local function tell(node, topic, edge)
  local group = group_of(node, topic)
  if not group or not edge.live or edge.protocol == 0 then return end
  core.write(node, "leader", { topic = topic, leader = group.leader, seq = group.seq }, { edge = edge })
end

local function tell_all(node, topic, but)
  for _, edge in ipairs(node.edges) do
    if edge ~= but and edge:is_subscribed(topic) then tell(node, topic, edge) end
  end
end

local function follow(node, topic, leader, seq)
  local group = group_of(node, topic)
  group.leader, group.seq, group.heard = leader, seq, core.now()
  core.node_state(node).leaders[topic] = leader
end

--- The node leads its group, as far as it knows.
local function lead(node, topic)
  local group = group_of(node, topic)
  group.own_seq = group.own_seq + 1
  follow(node, topic, node.id, group.own_seq)
end

-- --- searching again -------------------------------------------------------------------------------------------------

--- The way back to where the first search began, for a node that left it.
function M.remember_way(node, topic, edge, on_pair)
  core.node_state(node).ways[topic] = { address = edge.dialled_address or edge.address, on_pair = on_pair }
end

local function search_again(node, topic)
  local state = core.node_state(node)
  local way, visit = state.ways[topic], nil
  if way and not node:is_connected_to(way.address) then visit = node:connect(way.address) end
  if node.edge_count == 0 or state.discovery.searches[topic] then return end
  do
    local _ <close> = M.search(node, topic, { on_pair = "none", edges = node.edges, again = true })
    core.sleep(SEARCH_TIMEOUT)
  end
  if visit and visit.live and not visit.paired and way.on_pair == "disconnect" then visit:close() end
end

--- Remember the leader's last seq; the oldest of too many is forgotten.
local function bury(group)
  local buried, order = group.buried, group.burials
  if not buried[group.leader] then
    if #order >= BURIED_MAX then buried[table.remove(order, 1)] = nil end
    order[#order + 1] = group.leader
  end
  buried[group.leader] = group.seq
end

-- --- life ------------------------------------------------------------------------------------------------------------

local function turn(node, topic, group)
  local now = core.now()
  if group.leader ~= node.id then
    if now - group.heard < DEAD then return end
    bury(group)
    group.interval, group.next_search = SEARCH_FIRST, now
  end
  lead(node, topic)
  tell_all(node, topic)
  if now < group.next_search then return end
  group.interval = math.min(group.interval * 2, SEARCH_MOST)
  group.next_search = now + group.interval * (0.75 + core.random() / 2)
  core.spawn_in(node, "discovery", search_again, node, topic)
end

--- The node has left the groups of topics it no longer subscribes to.
local function forget_left(node, state)
  for topic in pairs(state.groups) do
    if not core.subscribed(node, topic) then
      state.groups[topic], state.ways[topic], state.leaders[topic], state.searched[topic] = nil, nil, nil, nil
    end
  end
end

--- Beacons and searches of all groups of the node, as long as it runs and has any.
local function live(node)
  local state = core.node_state(node)
  while node.running and next(state.groups) do
    core.sleep(BEACON * (0.75 + core.random() / 2))
    forget_left(node, state)
    for _, topic in ipairs(node.subscriptions) do
      local group = state.groups[topic]
      if group and node.running then turn(node, topic, group) end
    end
  end
  state.groups_live = false
end

--- The node is a member of topic's group, at first of one of its own.
function M.join(node, topic)
  local state = core.node_state(node)
  if not state.groups[topic] then
    state.groups[topic] = {
      own_seq = core.timestamp_now().sec,
      buried = {},
      burials = {},
      interval = SEARCH_FIRST,
      next_search = core.now() + SEARCH_FIRST * (1 + core.random()),
    }
    lead(node, topic)
  end
  if state.groups_live then return end
  state.groups_live = true
  core.spawn_in(node, "discovery", live, node)
end

--- This edge joins its peer's group and ours.
function M.introduce(node, topic, edge)
  M.join(node, topic)
  tell(node, topic, edge)
end

local function valid(node, data, edge)
  local topic, leader, seq = data.topic, data.leader, data.seq
  if type(topic) ~= "string" or type(leader) ~= "string" or leader == "" or #leader > 64 then return false end
  if math.type(seq) ~= "integer" or seq < 0 or seq > core.timestamp_now().sec + AHEAD then return false end
  return not node.root and core.subscribed(node, topic) and edge:is_subscribed(topic)
end

local function receive(node, data, edge)
  local topic, leader, seq = data.topic, data.leader, data.seq
  if not valid(node, data, edge) or not core.node_state(node).beacons:take(edge.number) then return end
  M.join(node, topic)
  local group = group_of(node, topic)
  if leader == node.id then
    group.own_seq = math.max(group.own_seq, seq)
    return
  end
  local buried = group.buried[leader]
  if buried and seq <= buried then
    core.write(node, "leader", { topic = topic, leader = leader, seq = buried }, { edge = edge })
  elseif leader < group.leader or (leader == group.leader and seq > group.seq) then
    follow(node, topic, leader, seq)
    tell_all(node, topic, edge)
  elseif leader > group.leader or seq < group.seq then
    tell(node, topic, edge)
  end
end

core.handle_protocol("leader", receive)

core.on_everywhere("stopped", function(node)
  core.node_state(node).groups_live = false
end)

return M
