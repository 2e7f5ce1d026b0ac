-- status.lua: the status of a node over UDP (PROTOCOL A.8, B.10): asking another node, and answering. An answer is
-- never longer than a request of our kind, which is padded for it, and at most three times as long as one of the
-- original's. A node with TLS has no datagrams: it asks over an edge, made for the question if there is none.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local options = require "chaski.options"
local states = require "chaski.state"

local methods = core.node_methods

states.tables("searched", "leaders") -- topic -> when; topic -> id
states.tables "only_asked" -- numbers of edges that were made for a question, and for nothing else since
states.field("status_pending", function()
  return { count = 0 }
end)

local ENVELOPE = 61 -- bytes of an answer's datagram beside its data
local PAD = 256 -- bytes added to a request: room for the answer about one topic
local PENDING_MAX = 1024 -- questions under way
local ANSWER_MAX = 1200 -- over an edge: as much as a datagram may hold (PROTOCOL B.10)
local AMPLIFICATION = 3 -- RFC 9000 section 8.1 grants as much to an address not yet validated

local schema = {
  { name = "timeout", kind = options.seconds(0, 1e9), default = 1.5 },
  { name = "topic", kind = options.text(1, 4096) },
}

--- Send the question by datagram, or over an edge to the address. The second result, if there is one, is an edge that
--- was made for it.
local function ask(node, question, data, timeout)
  local ip, port = question.ip, question.port
  if not node.tls then
    data.pad = core.bin(("\0"):rep(PAD))
    return core.send_datagram(node, "status", data, ip, port)
  end
  local edge, made = node:get_edge(ip, port), nil
  if not edge then
    local err
    edge, err = core.connect(node, (ip:find ":" and "[%s]:%d" or "%s:%d"):format(ip, port), { timeout = timeout })
    if not edge then return nil, err end
    made = edge.dialled and edge or nil -- else the peer has dialled meanwhile, and wants it
    if made then core.node_state(node).only_asked[made.number] = true end
  end
  question.ip, question.port = edge.ip, edge.port
  local ok, err = core.write(node, "status", data, { edge = edge })
  return ok, ok and made or err
end

--- Ask the node at a numeric ip and port. The answer is a table: name, paired (topic -> boolean), serving,
--- reconnecting; with `topic` of that topic only.
function methods:request_status(ip, port, given)
  given = options.check("node:request_status", schema, given)
  if type(ip) ~= "string" or not core.numeric(ip) then
    error(("node:request_status: expected a numeric address, got %s"):format(options.describe(ip)), 2)
  end
  if math.type(port) ~= "integer" or port < 1 or port > 65535 then
    error(("node:request_status: expected a port 1..65535, got %s"):format(options.describe(port)), 2)
  end
  local pending = core.node_state(self).status_pending
  if pending.count >= PENDING_MAX then return nil, core.new_error("full", "node:request_status: too many questions") end
  local id = core.uuid()
  local question, made = { ip = ip, port = port }, nil
  pending[id], pending.count = question, pending.count + 1
  local _ <close> = setmetatable({}, {
    __close = function()
      pending[id], pending.count = nil, pending.count - 1
      if made and core.node_state(self).only_asked[made.number] then made:close() end
    end,
  })
  local ok, result = ask(self, question, { id = id, topic = given.topic }, given.timeout)
  if not ok then return nil, result end
  made = result
  question.waiter = core.waiter "node:request_status"
  local answer = question.answer or core.park(given.timeout)
  if answer then return answer end
  return nil, core.new_error("timeout", ("node:request_status %s:%d: no answer"):format(ip, port))
end

local function receive_response(node, data, ip, port)
  local pending = core.node_state(node).status_pending
  local question = type(data.id) == "string" and pending[data.id]
  if type(question) ~= "table" or question.ip ~= ip or question.port ~= port then return end
  question.answer = data
  if question.waiter then core.wake(question.waiter, data) end
end

--- Topics in the order in which they matter to somebody who asks without naming one.
local function topics_by_interest(node, searched)
  local topics = node.subscriptions
  table.sort(topics, function(a, b)
    local at_a, at_b = searched[a] or 0, searched[b] or 0
    if at_a ~= at_b then return at_a > at_b end
    return a < b
  end)
  return topics
end

--- What the script adds, and what everybody asks for. An error in it is the script's: the peer is answered all the
--- same.
local function summary(node, id)
  local state = core.node_state(node)
  local answer = { id = id, name = node.name, serving = node.running, reconnecting = next(state.redialling) ~= nil }
  local extra = state.options.status_extra
  if not extra then return answer end
  local ok, pairs_of = xpcall(extra, function(err)
    core.report_error(err, "status_extra")
    return err
  end, node)
  for key, value in pairs(ok and type(pairs_of) == "table" and pairs_of or {}) do
    if answer[key] == nil then answer[key] = value end
  end
  return answer
end

local function fits(answer, budget)
  local bytes = core.pack(answer)
  return bytes and #bytes <= budget
end

--- The answer in at most budget bytes; nil when not even its id has room.
local function answer_to(node, data, budget)
  local state, answer = core.node_state(node), summary(node, data.id)
  answer.paired = core.map {}
  if not fits(answer, budget) then answer = { id = data.id, paired = core.map {} } end
  if not fits(answer, budget) then return nil end
  local one = type(data.topic) == "string" and data.topic
  for _, topic in ipairs(one and { one } or topics_by_interest(node, state.searched)) do
    if core.subscribed(node, topic) then
      answer.paired[topic] = node:paired_for(topic)
      answer.leader = one and state.leaders[topic] or nil
    end
    if not fits(answer, budget) then
      answer.paired[topic], answer.leader = nil, nil
      break
    end
  end
  return answer
end

--- `size` is the whole datagram's: what its sender spent.
local function receive_status(node, data, size, ip, port)
  if type(data.id) ~= "string" or #data.id > 64 then return end
  local most = type(data.pad) == "string" and size or AMPLIFICATION * size
  local answer = answer_to(node, data, math.min(most, core.limit(node, "datagram_max")) - ENVELOPE)
  if answer then core.send_datagram(node, "response", answer, ip, port) end
end

--- The same over an edge, where the peer is known: nothing need be padded.
core.handle_protocol("status", function(node, data, edge)
  if type(data.id) ~= "string" or #data.id > 64 then return end
  core.write(node, "response", answer_to(node, data, ANSWER_MAX), { edge = edge })
end)
core.handle_protocol("response", function(node, data, edge)
  receive_response(node, data, edge.ip, edge.port)
end)

core.on_everywhere("edge_closed", function(node, edge)
  core.node_state(node).only_asked[edge.number] = nil
end)

core.on_everywhere("datagram", function(node, message, ip, port)
  local command = message.command
  if command ~= "status" and command ~= "response" then return end
  local data = core.table_of(node, message)
  if not data then return end
  if command == "status" then
    receive_status(node, data, message.wire_size, ip, port)
  else
    receive_response(node, data, ip, port)
  end
end)
