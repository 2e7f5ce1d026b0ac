-- sub.lua: chaski sub: print the messages of topics as they come. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local convert = require "chaski.cli.convert"
local core = require "chaski.core"
local data = require "chaski.cli.data"
local session = require "chaski.cli.session"

local M = { summary = "Print messages of topics as they come." }

M.epilog = "Topics are taken literally: there are no wildcards."

function M.define(command)
  command:option("-t --topic", "Topic; may be repeated."):argname("TOPIC"):count("+"):convert(convert.topic "-t")
  command:option("-C --count", "End after so many messages."):argname("COUNT"):convert(convert.count("-C", 1))
  command:flag("-v --verbose", "The topic before each message.")
  session.add_timeout(command, "End after this time, with exit code 4; default: never.")
  session.add_json(command)
  session.add_connection(command)
end

local function read(message)
  local ok, value = pcall(function()
    return message.data
  end)
  return ok and value or nil, not ok and tostring(value) or nil
end

local function as_json(message, edge, value, why)
  return data.json {
    topic = message.topic,
    data = value == nil and core.null or value,
    error = why,
    from = edge.name,
    timestamp = message.timestamp and tostring(message.timestamp),
    uuid = message.uuid,
    ttl = message.ttl,
  }
end

local function as_text(message, value, why, verbose)
  local text = why and "(" .. why .. ")" or data.text(value)
  return verbose and data.safe(message.topic) .. " " .. text or text
end

--- Who knows MQTT or NATS may wait for long for what never matches.
local function warn_of_wildcards(topics)
  for _, topic in ipairs(topics) do
    if topic:find("*", 1, true) or ("." .. topic .. "."):find "[./][#+>][./]" then
      session.complain(("the topic '%s' is taken literally: there are no wildcards"):format(topic))
    end
  end
end

--- Ends the task that waits, with a reason.
local function ending()
  local waiter, reason
  return function(why)
    reason = reason or why
    if waiter then core.wake(waiter) end
  end, function(timeout)
    while not reason do
      waiter = core.waiter "sub"
      local _, err = core.park(timeout)
      if err then reason = "timeout" end
    end
    return reason
  end
end

function M.run(args)
  warn_of_wildcards(args.topic)
  local finish, wait = ending()
  local node = session.node(args)
  local left, denied, reason = args.count, nil, nil
  session.try(node:subscribe(args.topic, function(message, edge)
    if left == 0 then return end
    local value, why = read(message)
    session.print(args.json and as_json(message, edge, value, why) or as_text(message, value, why, args.verbose))
    if left then left = left - 1 end
    if left == 0 then finish "done" end
  end))
  node:on("forbidden", function(edge, right, topic)
    denied = ("%s does not allow: %s '%s'"):format(edge.name, right, topic)
    finish "denied"
  end)
  node:on("edge_closed", function(_, why, detail)
    if why == "stopped" then return end -- by a signal
    reason = detail and detail ~= "" and detail or why
    finish "closed"
  end)
  local started = chaski.now()
  local edge = session.connect(node, args)
  local ended = wait(args.timeout and math.max(args.timeout - (chaski.now() - started), 0))
  if ended == "timeout" then session.exit(session.codes.timeout) end
  if ended == "denied" then session.fail(denied, "denied") end
  if ended == "closed" then
    session.fail(("the edge to %s has ended: %s"):format(edge.name, reason), "no_connection")
  end
  session.exit(0)
end

return M
