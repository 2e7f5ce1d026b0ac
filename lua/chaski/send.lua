-- send.lua: sending with a serializer of the script's own, and waiting while every edge is full.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local options = require "chaski.options"

local methods = core.node_methods

--- What is to be packed for data: itself, or the bytes of the node's serializer. nil, err when that fails.
local function encode(node, data)
  local serializer = core.node_state(node).options.serializer
  if not serializer then return true, data end
  local ok, bytes = pcall(serializer, data)
  if not ok then return nil, core.new_error("serialize", "serializer: " .. tostring(bytes)) end
  if type(bytes) ~= "string" then
    return nil, core.new_error("serialize", ("serializer: expected a string, got a %s"):format(type(bytes)))
  end
  return true, core.bin(bytes)
end

local function publish_slowly(node, topic, data, given)
  local ok, value = encode(node, data)
  if not ok then return nil, value end
  local sent, err = core.try_publish(node, topic, value, given)
  while not sent and err.code == "full" do
    core.wait_drained(node)
    sent, err = core.try_publish(node, topic, value, given)
  end
  if sent then core.breathe(node) end
  return sent, err
end

methods.publish = core.make_publish(publish_slowly)

function methods:try_publish(topic, data, given)
  local ok, value = encode(self, data)
  if not ok then return nil, value end
  return core.try_publish(self, topic, value, given)
end

function methods:write(command, data, given)
  local ok, value = encode(self, data)
  if not ok then return nil, value end
  return core.write(self, command, value, given, true)
end

function methods:send_udp_message(command, data, ip, port)
  local where = "node:send_udp_message"
  if type(ip) ~= "string" or not core.numeric(ip) then
    options.raise(("%s: expected a numeric ip, got %s"):format(where, options.describe(ip)))
  elseif math.type(port) ~= "integer" or port < 1 or port > 65535 then
    options.raise(("%s: expected a port 1..65535, got %s"):format(where, options.describe(port)))
  end
  local ok, value = encode(self, data)
  if not ok then return nil, value end
  return core.send_datagram(self, command, value, ip, port, true)
end

--- Is there a frame whose data are as this node would send them?
local function has_own_bytes(message)
  return not core.made_by_hand[message] and not core.message_assigned(message)
end

function methods:propagate(message, edge)
  options.expect_object("node:propagate", "chaski.message", "a message", message)
  if has_own_bytes(message) then return core.propagate(self, message, edge) end
  local ok, value = encode(self, message.data)
  if not ok then return nil, value end
  return core.propagate(self, message, edge, true, value)
end

function methods:serialize_message(message)
  options.expect_object("node:serialize_message", "chaski.message", "a message", message)
  local frame = has_own_bytes(message) and core.original_frame(message)
  if frame then return frame end
  local ok, value = encode(self, message.data)
  if not ok then return nil, value end
  ok, frame = pcall(core.build_frame, message:totable(), value, core.node_state(self).options.strings)
  if not ok then return nil, core.new_error("serialize", "node:serialize_message: " .. tostring(frame)) end
  return frame
end

--- The bytes of a value, by the node's serializer or chaski.pack. nil, err when that fails.
function methods:serializer(value)
  local given = core.node_state(self).options
  local bytes, err
  if given.serializer then
    local ok
    ok, bytes = pcall(given.serializer, value)
    if not ok then err = bytes end
  else
    bytes, err = core.pack(value, { strings = given.strings })
  end
  if not err and type(bytes) == "string" then return bytes end
  err = err or ("expected a string, got a %s"):format(type(bytes))
  return nil, core.new_error("serialize", "node:serializer: " .. tostring(err))
end

--- The value of bytes, by the node's deserializer or chaski.unpack; the bytes themselves, and the error, when that
--- fails.
function methods:deserializer(bytes)
  if type(bytes) ~= "string" then error(("node:deserializer: expected a string, got %s"):format(type(bytes)), 2) end
  local given = core.node_state(self).options
  local ok, value, err = true
  if given.deserializer then
    ok, value = pcall(given.deserializer, bytes)
  else
    value, err = core.unpack(bytes, { strings = given.strings })
  end
  if ok and not err then return value end
  return bytes, core.new_error("malformed_data", "node:deserializer: " .. tostring(err or value))
end

function methods.uuid()
  return core.uuid()
end
