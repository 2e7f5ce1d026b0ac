-- init.lua: discovery (PROTOCOL A.7, B.8): a request walks over edges until a node that shares the topic dials back with a
-- report. Here is what every policy needs: whom to believe, what was seen, what may be dialled; who to accept, and to whom
-- a request goes on, is the policy's to say (walk.lua). What keeps the members of a topic one group is in group.lua.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local group = require "chaski.discovery.group"
local guard = require "chaski.discovery.guard"
local options = require "chaski.options"
local requests = require "chaski.discovery.request"
local walk = require "chaski.discovery.walk"

local methods = core.node_methods

local REPLAYED_MAX, REPLAY_SECONDS = 8, 120 -- requests that a bystander tells a newcomer of
local ROOT_TOPIC = "@"

local M = {}

-- --- policy -----------------------------------------------------------------------------------------------------------

local function resolve(policy)
  if type(policy) == "string" then policy = require(policy) end
  return setmetatable({}, {
    __index = function(_, name)
      return policy[name] or walk[name]
    end,
  })
end

--- What the policy says; `refusal` when it raises, or says something that cannot be.
local function ask(node, name, refusal, ...)
  local fn = core.node_state(node).discovery.policy[name]
  if not fn then return refusal end
  local ok, answer = xpcall(fn, function(err)
    core.report_error(err, "discovery policy: " .. name)
    return err
  end, node, ...)
  if not ok or (type(refusal) == "table" and type(answer) ~= "table") then return refusal end
  return answer
end

-- --- searching --------------------------------------------------------------------------------------------------------

local function sharing_edge(node, topic)
  for _, edge in ipairs(node.edges) do
    if edge:is_subscribed(topic) then return edge end
  end
end

--- Send a request for the search over the edges the policy chooses; one id for all of them.
local function send_request(node, search, edges)
  local id = core.uuid()
  core.node_state(node).discovery.seen:check(id)
  for _, edge in ipairs(ask(node, "choose", {}, search.topic, edges)) do
    if edge.live then
      local data = requests.new(node, search, edge, id)
      if core.write(node, "discovery", data, { edge = edge }) then search.sent = search.sent + 1 end
    end
  end
end

local function found(node, search, edge)
  local state = core.node_state(node)
  search.found = edge
  edge.paired = true
  state.paired[search.topic] = true
  ask(node, "on_pair", nil, search.topic, edge, search.on_pair)
  if search.finished then search.finished() end
end

--- Begin a search for topic. finished() is called when an edge is found.
function M.search(node, topic, given)
  local state = core.node_state(node)
  local search = { topic = topic, on_pair = given.on_pair, start = given.start, sent = 0, finished = given.finished }
  search.leader = group.leader(node, topic)
  state.discovery.searches[topic] = search
  state.searched[topic] = core.now()
  send_request(node, search, given.edges)
  return search
end

local function stop_search(node, search)
  local searches = core.node_state(node).discovery.searches
  if searches[search.topic] == search then searches[search.topic] = nil end
end
M.stop_search = stop_search

local function is_edge(value)
  local meta = type(value) == "userdata" and getmetatable(value)
  return meta and meta.__name == "chaski.edge"
end

local schema = {
  { name = "node", kind = { expected = "an edge", test = is_edge } },
  { name = "on_pair", kind = options.one_of("none", "disconnect"), default = "none" },
  { name = "timeout", kind = options.seconds(0, 1e9), default = 10 },
}

--- Wait until every search has found its edge, or the time is over.
local function wait_for(searches, timeout)
  local waiter, left = nil, 0
  for _, search in ipairs(searches) do
    if not search.found then left = left + 1 end
    search.finished = function()
      left = left - 1
      if left == 0 and waiter then core.wake(waiter) end
    end
  end
  if left == 0 then return end
  waiter = core.waiter()
  core.park(timeout)
end

--- Leave the node the search began at, unless it is one we have paired with.
local function leave(start)
  if start and start.live and not start.paired then start:close() end
end

--- Search a peer for each topic of the node that no edge shares. Returns a table topic -> edge of what was found, and the list
--- of topics for which nobody answered: the node is then the first of its kind there. nil, err when it could not search.
---@param given { node: chaski.edge?, on_pair: "none"|"disconnect"?, timeout: number? }? timeout: seconds
function methods:discovery(given)
  given = options.check("node:discovery", schema, given)
  if self.root then return nil, core.new_error("forbidden", "node:discovery: a root never pairs") end
  local edges = given.node and { given.node } or self.edges
  if not self.running then return nil, core.new_error("stopped", "node:discovery: the node is stopped") end
  if #edges == 0 then return nil, core.new_error("no_edge", "node:discovery: there is no edge to search by") end
  local state, result, searches = core.node_state(self), {}, {}
  local start = edges[1]
  for _, topic in ipairs(self.subscriptions) do
    local edge = sharing_edge(self, topic)
    if edge then
      edge.paired, state.paired[topic], result[topic] = true, true, edge
    else
      state.paired[topic] = false
      group.remember_way(self, topic, start, given.on_pair)
      searches[#searches + 1] = M.search(self, topic, { on_pair = given.on_pair, start = start, edges = edges })
    end
    group.join(self, topic)
  end
  wait_for(searches, given.timeout)
  local alone, left = {}, false
  for _, search in ipairs(searches) do
    stop_search(self, search)
    state.paired[search.topic] = true
    result[search.topic] = search.found
    if search.found then left = true
    else alone[#alone + 1] = search.topic end
  end
  if left and given.on_pair == "disconnect" then leave(start) end
  if #alone == 0 then return result end
  return result, alone
end

-- --- being asked ------------------------------------------------------------------------------------------------------

local function edge_to(node, request)
  for _, edge in ipairs(node.edges) do
    if request.origin_id and edge.id == request.origin_id then return edge end
  end
  return node:get_edge(request.origin_ip, request.origin_port)
end

--- Does the origin, asked by datagram, still want to be paired, with us?
local function still_wanted(node, request)
  local status = node:request_status(request.origin_ip, request.origin_port, { topic = request.topic })
  if not status or type(status.paired) ~= "table" then return false end
  local paired = status.paired[request.topic]
  if paired == false then return true end
  return paired == true and type(status.leader) == "string" and status.leader ~= group.leader(node, request.topic)
end

--- Pair with the origin of a request: dial back and report, or report on the edge that is there.
local function pair_with(node, request)
  local edge = edge_to(node, request)
  local address = edge and edge.address
  if not edge then
    address = guard.address(node, request)
    if not address or not still_wanted(node, request) then return end
    if edge_to(node, request) == nil and not guard.may_dial(node, address) then return end
  end
  local report = {}
  for key, value in pairs(request.data) do
    report[key] = value
  end
  report.leader = group.leader(node, request.topic)
  local reached = node:connect(address, { paired = request.topic, report = report })
  guard.dialled(node, address, reached ~= nil)
  if reached then group.introduce(node, request.topic, reached) end
end

--- Is this node one that pairs with who searches the topic?
local function willing(node, request)
  local state = core.node_state(node)
  if node.root or not core.subscribed(node, request.topic) then return false end
  if not node:paired_for(request.topic) and not state.discovery.searches[request.topic] then return false end
  if request.leader and request.leader == group.leader(node, request.topic) then return false end
  return ask(node, "accept", false, request, state.discovery.from) == true
end

local function visited(request, edge)
  for _, name in ipairs(request.visited) do
    if name == edge.name then return true end
  end
  return edge.name == request.previous_node or edge.name == request.origin_name or edge.id == request.origin_id
end

local function forward(node, request, from)
  if request.ttl <= 1 then return end
  local edges = {}
  for _, edge in ipairs(node.edges) do
    if edge ~= from and not visited(request, edge) then edges[#edges + 1] = edge end
  end
  if #edges == 0 then return end
  local data = requests.forwarded(node, request)
  for _, edge in ipairs(ask(node, "forward", {}, request, edges)) do
    if edge.live then core.write(node, "discovery", data, { edge = edge }) end
  end
end

--- A bystander remembers who searched a topic lately, and tells its neighbour who searches it now: so two that come to
--- the same root one after the other meet all the same.
local function replay(node, request, edge)
  local remembered = core.node_state(node).discovery.remembered
  local list, now = remembered[request.topic] or {}, core.now()
  local fresh = { { request = request, at = now, origin = request.origin_id } }
  for _, each in ipairs(list) do
    local known = each.origin == request.origin_id
    if not known and now - each.at < REPLAY_SECONDS and #fresh < REPLAYED_MAX then
      fresh[#fresh + 1] = each
      if each.request.ttl > 1 then core.write(node, "discovery", requests.forwarded(node, each.request), { edge = edge }) end
    end
  end
  remembered[request.topic] = fresh
end

local function is_own(node, request)
  return request.origin_id == node.id or (request.origin_ip == node.ip and request.origin_port == node.port)
end

local function receive_discovery(node, data, edge)
  local discovery = core.node_state(node).discovery
  local request = requests.parse(data)
  if not request or is_own(node, request) or not discovery.rates:take(edge.number) then return end
  if discovery.seen:check(request.id, request) then return end
  discovery.from = edge
  if willing(node, request) then
    core.spawn_in(node, "discovery", pair_with, node, request)
    return
  end
  if request.origin_id and edge.id == request.origin_id then replay(node, request, edge) end
  forward(node, request, edge)
end

local function receive_report(node, data, edge)
  local topic = data.paired
  local state = core.node_state(node)
  if type(topic) ~= "string" or not core.subscribed(node, topic) then return edge:close "protocol" end
  local search = state.discovery.searches[topic]
  local leader = group.leader(node, topic)
  if search and not search.found then
    found(node, search, edge)
  elseif type(data.leader) == "string" and data.leader ~= leader then
    edge.paired = true -- another group of the same topic: one from now on
  elseif not edge.paired and not edge.dialled then
    return edge:close() -- it answers nothing we asked
  end
  group.introduce(node, topic, edge)
end

-- --- set-up -----------------------------------------------------------------------------------------------------------

local function handler(node, receive)
  return function(message, edge)
    if type(message.data) == "table" then receive(node, message.data, edge) end
  end
end

function M.install(node, policy)
  local state = core.node_state(node)
  state.discovery = { policy = resolve(policy), searches = {}, remembered = {} }
  guard.install(state.discovery)
  node:handle("discovery", handler(node, receive_discovery))
  node:handle("report_paired", handler(node, receive_report))
  group.install(node, M)
end

return M
