-- send.lua: sending with a serializer of the script's own, and waiting while every edge is full.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"

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
  return core.write(self, command, value, given)
end

function methods:send_udp_message(command, data, ip, port)
  return core.send_datagram(self, command, data, ip, port)
end

function methods:propagate(message, edge)
  if not core.message_assigned(message) then return core.propagate(self, message, edge) end
  local ok, value = encode(self, message.data)
  if not ok then return nil, value end
  return core.propagate(self, message, edge, true, value)
end

function methods:serialize_message(message)
  local frame = core.original_frame(message)
  if frame then return frame end
  local ok, value = encode(self, message.data)
  if not ok then return nil, value end
  return core.build_frame(message:totable(), value)
end

--- The bytes of a value, by the node's serializer or chaski.pack. nil, err when that fails.
function methods:serializer(value)
  local own = core.node_state(self).options.serializer
  local ok, bytes, err = pcall(own or core.pack, value)
  if ok and type(bytes) == "string" then return bytes end
  local why = ok and (err or ("expected a string, got a %s"):format(type(bytes))) or bytes
  return nil, core.new_error("serialize", "node:serializer: " .. tostring(why))
end

--- The value of bytes, by the node's deserializer or chaski.unpack; the bytes themselves, and the error, when that
--- fails.
function methods:deserializer(bytes)
  if type(bytes) ~= "string" then error(("node:deserializer: expected a string, got %s"):format(type(bytes)), 2) end
  local own = core.node_state(self).options.deserializer
  local ok, value, err = pcall(own or core.unpack, bytes)
  if ok and (own or not err) then return value end
  return bytes, core.new_error("malformed_data", "node:deserializer: " .. tostring(ok and err or value))
end

function methods.uuid()
  return core.uuid()
end
