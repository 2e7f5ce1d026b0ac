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
  if not subscription then error(why, 3) end -- add is not called as a tail call
  return subscription
end

function methods:subscribe(topics, handler, given)
  local where = "node:subscribe"
  if type(handler) == "table" and given == nil then
    handler, given = nil, handler
  end
  topics = check_topics(where, topics)
  if handler ~= nil then check_function(where, handler) end
  given = options.check(where, options.subscription, given)
  return (add(self, topics, handler or "passive", given))
end

function methods:unsubscribe(topics)
  for _, topic in ipairs(check_topics("node:unsubscribe", topics)) do
    core.unsubscribe(self, topic)
    core.node_state(self).paired[topic] = nil
  end
end

function methods:handle(command, handler, given)
  local where = "node:handle"
  if type(command) ~= "string" then
    error(("%s: expected the name of a command, got %s"):format(where, describe(command)), 2)
  end
  check_function(where, handler)
  given = options.check(where, options.subscription, given)
  given.command = true
  return (add(self, { command }, handler, given))
end

function methods:messages(topics, given)
  local where = "node:messages"
  topics = check_topics(where, topics)
  given = options.check(where, messages_schema, given)
  local subscription = add(self, topics, "pull", given)
  local function step()
    local message, edge = core.next_message(subscription, given.timeout)
    if message == nil then subscription:remove() end
    return message, edge
  end
  return step, nil, nil, subscription
end
