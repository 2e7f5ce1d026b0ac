-- init.lua: discovery (PROTOCOL A.7, B.8): a request walks over edges until a node that shares the topic dials back
-- with a report. Here is what every policy needs: whom to believe, what was seen, what may be dialled; who to accept,
-- and to whom a request goes on, is the policy's to say (policy.lua, walk.lua). What keeps the members of a topic one
-- group is in group.lua.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local group = require "chaski.discovery.group"
local guard = require "chaski.discovery.guard"
local options = require "chaski.options"
local policies = require "chaski.discovery.policy"
local requests = require "chaski.discovery.request"
local states = require "chaski.state"

local methods = core.node_methods

local REPLAYED_MAX, REPLAY_SECONDS = 8, 120 -- requests of one topic that a bystander tells a newcomer of
local REMEMBERED_MAX = 256 -- topics a bystander remembers requests of
local CONCURRENCY = 32 -- requests that a policy may think about at once
local SIZE_MAX = 7168 -- bytes of a request's data: a report of it, at most 8 KiB, has to hold it

local M = {}

-- --- searching -------------------------------------------------------------------------------------------------------

local function sharing_edge(node, topic)
  for _, edge in ipairs(node.edges) do
    if edge:is_subscribed(topic) then return edge end
  end
end

--- Send a request for the search over the edges the policy chooses; one id for all of them.
local function send_request(node, search)
  local id, edges = core.uuid(), {}
  core.node_state(node).discovery.seen:check(id)
  for _, edge in ipairs(search.edges) do
    if edge.live then edges[#edges + 1] = edge end
  end
  for _, edge in ipairs(policies.ask_edges(node, "choose", search.topic, edges)) do
    local data = requests.new(node, search, edge, id)
    if core.write(node, "discovery", data, { edge = edge }) then search.sent = search.sent + 1 end
  end
end

local function found(node, search, edge)
  local state = core.node_state(node)
  search.found = edge
  edge.paired = true
  state.paired[search.topic] = true
  policies.ask(node, "on_pair", search.topic, edge, search.on_pair)
  if search.finished then search.finished() end
end

local function stop_search(node, search)
  local searches = core.node_state(node).discovery.searches
  if searches[search.topic] == search then searches[search.topic] = nil end
end

--- Begin a search for topic; it is stopped where its variable, or search.stop, is closed.
function M.search(node, topic, given)
  local state = core.node_state(node)
  local search = setmetatable({ topic = topic, sent = 0 }, {
    __close = function(search)
      stop_search(node, search)
    end,
  })
  search.edges, search.start, search.on_pair, search.again = given.edges, given.start, given.on_pair, given.again
  search.leader = group.leader(node, topic)
  state.discovery.searches[topic] = search
  state.searched[topic] = core.now()
  send_request(node, search)
  return search
end

local schema = {
  { name = "node", kind = { expected = "an edge", test = policies.is_edge } },
  { name = "on_pair", kind = options.one_of("none", "disconnect"), default = "none" },
  { name = "timeout", kind = options.seconds(0, 1e9), default = 10 },
}

local function search_anew(node, searches)
  for _, search in ipairs(searches) do
    if not search.found then
      search.again, search.leader = true, group.leader(node, search.topic)
      send_request(node, search)
    end
  end
end

--- Wait until every search has found its edge, the node stops, or the time is over. A policy may have requests that
--- nobody has answered start anew meanwhile.
local function wait_for(node, searches, timeout)
  local waiter, left, deadline = nil, 0, core.now() + timeout
  local again = core.node_state(node).discovery.policy.again or math.huge
  local function finished()
    left = left - 1
    if left == 0 and waiter then core.wake(waiter) end
  end
  for _, search in ipairs(searches) do
    search.finished = finished
    if not search.found then left = left + 1 end
  end
  while left > 0 do
    waiter = core.waiter "node:discovery"
    core.park(math.min(again, math.max(deadline - core.now(), 0)))
    waiter = nil
    if left == 0 or core.now() >= deadline then return end
    search_anew(node, searches)
  end
end

--- Leave the node the search began at, unless it is one we have paired with.
local function leave(start)
  if start and start.live and not start.paired then start:close() end
end

local function failure(code, text)
  return nil, core.new_error(code, "node:discovery: " .. text)
end

--- The edges a search begins at, or nil, err.
local function starting_edges(node, edge)
  if node.root then return failure("forbidden", "a root never pairs") end
  if not node.running then return failure("stopped", "the node is stopped") end
  if edge and edge.node ~= node then error("node:discovery: option 'node': the edge is another node's", 3) end
  local edges = edge and { edge.live and edge or nil } or node.edges
  if #edges == 0 then return failure("no_edge", "there is no live edge to search by") end
  return edges
end

--- A search for each topic that no edge shares, in the order of the topics; what is shared goes into result.
local function begin(node, edges, given, result)
  local state, searches, start = core.node_state(node), {}, edges[1]
  for _, topic in ipairs(node.subscriptions) do
    local edge = sharing_edge(node, topic)
    if edge then
      edge.paired, state.paired[topic], result[topic] = true, true, edge
    else
      state.paired[topic] = false
      group.remember_way(node, topic, start, given.on_pair)
      searches[#searches + 1] = M.search(node, topic, { on_pair = given.on_pair, start = start, edges = edges })
    end
    group.join(node, topic)
  end
  return setmetatable(searches, {
    __close = function()
      for _, search in ipairs(searches) do
        stop_search(node, search)
      end
    end,
  })
end

--- What was found goes into result; the topics nobody answered are returned.
local function conclude(node, searches, result)
  local state, alone = core.node_state(node), {}
  for _, search in ipairs(searches) do
    local topic = search.topic
    local edge = search.found or sharing_edge(node, topic) -- found, or come to by a search beside this one
    result[topic] = edge
    if core.subscribed(node, topic) then state.paired[topic] = true end
    if not edge then alone[#alone + 1] = topic end
  end
  return alone
end

local function none_sent(searches)
  for _, search in ipairs(searches) do
    if search.sent > 0 or search.found then return false end
  end
  return #searches > 0
end

--- Search a peer for each topic of the node that no edge shares. Returns a table topic -> edge of what was found, and
--- the list of topics for which nobody answered: the node is then the first of its kind there. nil, err when it could
--- not search.
---@param given { node: chaski.edge?, on_pair: "none"|"disconnect"?, timeout: number? }? timeout: seconds
function methods:discovery(given)
  given = options.check("node:discovery", schema, given)
  local edges, err = starting_edges(self, given.node)
  if not edges then return nil, err end
  local result = {}
  local searches <close> = begin(self, edges, given, result)
  if none_sent(searches) then return failure("refused", "the policy chose no edge, or none took the request") end
  wait_for(self, searches, given.timeout)
  if not self.running then return failure("stopped", "the node was stopped") end
  local alone = conclude(self, searches, result)
  if #alone < #searches and given.on_pair == "disconnect" then leave(edges[1]) end
  if #alone == 0 then return result end
  return result, alone
end

-- --- being asked -----------------------------------------------------------------------------------------------------

local function edge_to(node, request)
  for _, edge in ipairs(node.edges) do
    if request.origin_id and edge.id == request.origin_id then return edge end
  end
  return node:get_edge(request.origin_ip, request.origin_port)
end

--- Does the origin, asked by datagram, still want to be paired, with us?
local function still_wanted(node, request, ip, port)
  local status = node:request_status(ip, port, { topic = request.topic })
  if not status then return nil end
  if type(status.paired) ~= "table" then return false end
  local paired = status.paired[request.topic]
  if paired == false then return true end
  return paired == true and type(status.leader) == "string" and status.leader ~= group.leader(node, request.topic)
end

local function report_of(node, request)
  local report = {}
  for key, value in pairs(request.data) do
    report[key] = value
  end
  report.leader, report.on_edge = group.leader(node, request.topic), nil
  return report
end

--- Tell an origin we have an edge to. Its address was not the sender's choice, but its wish may be: a node of our kind
--- knows by `on_edge` that this is no reason to close the edge, the original would not and is asked first.
local function pair_on(node, request, edge)
  if not edge:is_subscribed(request.topic) then return end
  if edge.protocol == 0 and not still_wanted(node, request, edge.ip, edge.port) then return end
  local report = report_of(node, request)
  report.on_edge = true
  if not node:connect(edge.address, { paired = request.topic, report = report }) then return end
  group.introduce(node, request.topic, edge)
end

--- A dial carries one report, the last one; and when both have dialled, what the losing connection carried is lost. Our
--- kind hears a report twice without harm.
local function report_again(node, request, report, edge)
  report.paired, report.on_edge = request.topic, true
  core.write(node, "report_paired", report, { edge = edge })
end

--- Dial an origin we have no edge to, if it is worth a dial: asked first, as the request may name anybody.
local function dial_back(node, request)
  local address = guard.address(node, request.origin_ip, request.origin_port)
  if not address or not guard.may_ask(node, address) then return end
  local wanted = still_wanted(node, request, request.origin_ip, request.origin_port)
  if wanted == nil then return guard.silent(node, address) end
  if not wanted or not guard.may_dial(node, address) then return end
  local _ <close> = guard.dialling(node)
  local report = report_of(node, request)
  local edge = node:connect(address, { paired = request.topic, report = report })
  guard.dialled(node, address, edge ~= nil)
  if not edge then return end
  if edge.protocol > 0 then report_again(node, request, report, edge) end
  group.introduce(node, request.topic, edge)
end

--- Pair with the origin of a request: dial back and report, or report on the edge that is there.
local function pair_with(node, request)
  local edge = edge_to(node, request)
  if edge then return pair_on(node, request, edge) end
  return dial_back(node, request)
end

--- Is this node one that pairs with who searches the topic?
local function willing(node, request, from)
  if node.root or not core.subscribed(node, request.topic) then return false end
  local searches = core.node_state(node).discovery.searches
  if not node:paired_for(request.topic) and not searches[request.topic] then return false end
  local leader = group.leader(node, request.topic)
  if request.leader == leader then return false end
  request.meeting = request.again and leader == node.id
  return policies.ask(node, "accept", request, from) == true
end

local function visited(request, edge)
  for _, name in ipairs(request.visited) do
    if name == edge.name then return true end
  end
  return edge.name == request.previous_node or edge.name == request.origin_name or edge.id == request.origin_id
end

local function forward(node, request, from)
  if request.ttl <= 1 or requests.went_by(node, request) then return end
  local edges = {}
  for _, edge in ipairs(node.edges) do
    if edge ~= from and not visited(request, edge) then edges[#edges + 1] = edge end
  end
  if #edges == 0 then return end
  local data = requests.forwarded(node, request)
  for _, edge in ipairs(policies.ask_edges(node, "forward", request, edges)) do
    core.write(node, "discovery", data, { edge = edge })
  end
end

--- Make room for another topic: the one nobody has searched for longest goes.
local function forget_one(remembered)
  local oldest
  for topic, list in pairs(remembered) do
    local before = oldest and list[1].at - remembered[oldest][1].at or -1
    if before < 0 or (before == 0 and topic < oldest) then oldest = topic end -- not in the table's order: runs repeat
  end
  remembered[oldest] = nil
end

local function remember(node, topic, list)
  local discovery = core.node_state(node).discovery
  if not discovery.remembered[topic] then
    if discovery.topics >= REMEMBERED_MAX then
      forget_one(discovery.remembered)
    else
      discovery.topics = discovery.topics + 1
    end
  end
  discovery.remembered[topic] = list
end

--- A bystander remembers who searched a topic lately, and tells its neighbour who searches it now: so two that come to
--- the same root, or to roots that know each other, one after the other meet all the same.
local function replay(node, request, edge)
  local list, now = core.node_state(node).discovery.remembered[request.topic] or {}, core.now()
  local fresh, neighbour = { { request = request, at = now } }, edge.id == request.origin_id
  for _, each in ipairs(list) do
    local known = each.request.origin_id == request.origin_id
    if not known and now - each.at < REPLAY_SECONDS and #fresh < REPLAYED_MAX then
      fresh[#fresh + 1] = each
      if neighbour and each.request.ttl > 1 and each.request.leader ~= request.leader then
        core.write(node, "discovery", requests.forwarded(node, each.request), { edge = edge })
      end
    end
  end
  remember(node, request.topic, fresh)
end

local function is_own(node, request)
  return request.origin_id == node.id or (request.origin_ip == node.ip and request.origin_port == node.port)
end

local function receive_discovery(node, data, edge, size)
  local discovery = core.node_state(node).discovery
  local request = size <= SIZE_MAX and requests.parse(data)
  if not request or is_own(node, request) or discovery.seen:has(request.id, request) then return end
  if not guard.may_come(node, edge) then return end
  discovery.seen:check(request.id, request)
  if willing(node, request, edge) then
    core.spawn_in(node, "discovery", pair_with, node, request)
    return
  end
  if request.origin_id then replay(node, request, edge) end
  forward(node, request, edge)
end

--- A report that answers no search: of another group, or of one more finder. That one's connection is one too many, if
--- it was made for the report.
local function receive_unasked(node, topic, data, edge)
  if type(data.leader) == "string" and data.leader ~= group.leader(node, topic) then
    edge.paired = true -- another group of the same topic: one from now on
  elseif not edge.paired and not edge.dialled and data.on_edge ~= true then
    return edge:close()
  end
  group.introduce(node, topic, edge)
end

local function receive_report(node, data, edge)
  local topic = data.paired
  if type(topic) ~= "string" or not core.subscribed(node, topic) then return edge:close "protocol" end
  if not edge:is_subscribed(topic) then return edge:close "protocol" end -- it has nothing to pair
  local search = core.node_state(node).discovery.searches[topic]
  if not search or search.found then return receive_unasked(node, topic, data, edge) end
  found(node, search, edge)
  group.introduce(node, topic, edge)
end

-- --- set-up ----------------------------------------------------------------------------------------------------------

states.field("discovery", function(state)
  local discovery = { policy = state.discovery_policy, searches = {}, remembered = {}, topics = 0 }
  return guard.install(state.node, discovery)
end)

group.search = M.search
core.handle_protocol("discovery", receive_discovery, { concurrency = CONCURRENCY })
core.handle_protocol("report_paired", receive_report)

--- Nobody waits for what a stopped node searched.
core.on_everywhere("stopped", function(node)
  local discovery = rawget(core.node_state(node), "discovery")
  if not discovery then return end -- it has never searched, nor been asked
  local searches, topics = discovery.searches, {}
  discovery.searches = {}
  for topic in pairs(searches) do
    topics[#topics + 1] = topic
  end
  table.sort(topics) -- so that simulations repeat
  for _, topic in ipairs(topics) do
    local search = searches[topic]
    if search.finished and not search.found then search.finished() end
  end
end)

--- The node's policy, as its option says.
function M.install(node, policy)
  core.node_state(node).discovery_policy = policies.resolve(policy)
end

return M
