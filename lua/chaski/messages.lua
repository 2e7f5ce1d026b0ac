-- messages.lua: how a node takes messages: subscribe, unsubscribe, handle, and the pull style, node:messages.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local options = require "chaski.options"

local methods = core.node_methods
local describe = options.describe

local messages_schema = {
  { name = "timeout", kind = options.seconds(0, 1e9) },
  { name = "overflow", kind = options.subscription[3].kind },
  { name = "inbox", kind = options.subscription[4].kind },
}

local function check_topics(where, topics)
  if not options.strings.test(topics) then
    error(("%s: expected a topic or a list of topics, got %s"):format(where, describe(topics)), 3)
  end
  return options.list(topics)
end

local function check_function(where, fn)
  if type(fn) ~= "function" then error(("%s: expected a function, got %s"):format(where, describe(fn)), 3) end
end

--- Make a subscription, with what the node's options say of those that were not given.
local function add(node, topics, handler, given)
  local state = core.node_state(node)
  given.overflow = given.overflow or state.options.inbox_overflow
  if given.paired ~= nil then
    for _, topic in ipairs(topics) do
      state.paired[topic] = given.paired
    end
  end
  local subscription, why = core.subscribe(node, topics, handler, given)
  if subscription then return subscription end
  if type(why) == "table" then return nil, why end
  error(why, 3) -- add is not called as a tail call
end

function methods:subscribe(topics, handler, given)
  local where = "node:subscribe"
  if type(handler) == "table" and given == nil then
    handler, given = nil, handler
  end
  topics = check_topics(where, topics)
  if handler ~= nil then check_function(where, handler) end
  given = options.check(where, options.subscription, given)
  local subscription, err = add(self, topics, handler or "passive", given)
  return subscription, err
end

function methods:unsubscribe(topics)
  for _, topic in ipairs(check_topics("node:unsubscribe", topics)) do
    core.unsubscribe(self, topic)
    core.node_state(self).paired[topic] = nil
  end
end

local COMMAND_MAX = 64 -- bytes: CHASKI_COMMAND_MAX of src/core/message.h

-- Commands of the protocol, which lua/chaski and the core handle.
local reserved = {
  handshake = true,
  handshake_back = true,
  ping = true,
  pong = true,
  subscriptions = true,
  forbidden = true,
  discovery = true,
  report_paired = true,
  request_udp = true,
  response_udp = true,
  leader = true,
  heal = true,
  revocations = true,
  ack = true,
}

local function check_command(where, command)
  if type(command) ~= "string" then
    error(("%s: expected the name of a command, got %s"):format(where, describe(command)), 3)
  elseif #command < 1 or #command > COMMAND_MAX then
    error(("%s: expected a command of 1..%d bytes, got %s"):format(where, COMMAND_MAX, describe(command)), 3)
  end
  if reserved[command] then error(("%s: command '%s' is one of the protocol's"):format(where, command), 3) end
end

function methods:handle(command, handler, given)
  local where = "node:handle"
  check_command(where, command)
  if command == "ChaskiMessage" then
    error(("%s: command 'ChaskiMessage' is what publish sends: subscribe to its topics"):format(where), 2)
  end
  check_function(where, handler)
  given = options.check(where, options.subscription, given)
  given.command = true
  return (add(self, { command }, handler, given))
end

local add_propagation_command = methods.add_propagation_command

function methods:add_propagation_command(command)
  check_command("node:add_propagation_command", command)
  return add_propagation_command(self, command)
end

local function data_of(message)
  return message.data
end

--- The data of a message of the protocol's if it is a table, nil if it is anything else or cannot be decoded. Its
--- strings are strings, whatever the node's option `strings` makes of the application's.
local function table_of(node, message)
  local ok, data = pcall(data_of, message)
  if not ok or type(data) ~= "table" then return nil end
  if core.node_state(node).options.strings == "auto" then return data end
  return core.unpack(message.bytes)
end
core.table_of = table_of

--- The edge to the same peer that is live: when both have dialled, what came by the losing connection is its edge's.
local function living(node, edge)
  if edge.live or edge.id == "" then return edge end
  for _, each in ipairs(node.edges) do
    if each.id == edge.id then return each end
  end
  return edge
end

--- Handle a command of the protocol's own at one node: receive(node, data, edge, size, message). Data that is no table
--- is ignored.
function core.handle_at(node, command, receive, concurrency)
  add(node, { command }, function(message, edge)
    local data = table_of(node, message)
    if data then receive(node, data, living(node, edge), message.size, message) end
  end, { command = true, concurrency = concurrency or 1 })
end

local protocol = {} ---@type table<string, { receive: function, concurrency: integer?, wanted: function? }>

--- Handle it at every node, or those of which wanted(node) says so. A node has the handler from the first such command
--- on: most never need it.
---@param given { concurrency: integer?, wanted: (fun(node: chaski.node): boolean)? }?
function core.handle_protocol(command, receive, given)
  given = given or {}
  protocol[command] = { receive = receive, concurrency = given.concurrency, wanted = given.wanted }
end

core.set_find_handler(function(node, command)
  local handler = protocol[command]
  if not handler or (handler.wanted and not handler.wanted(node)) then return false end
  core.handle_at(node, command, handler.receive, handler.concurrency)
  return true
end)

function methods:messages(topics, given)
  local where = "node:messages"
  topics = check_topics(where, topics)
  given = options.check(where, messages_schema, given)
  local subscription, err = add(self, topics, "pull", given)
  if not subscription then error(err, 2) end -- nothing a loop could look at
  local function step()
    local message, edge = core.next_message(subscription, given.timeout)
    if message == nil then subscription:remove() end
    return message, edge
  end
  return step, nil, nil, subscription
end
