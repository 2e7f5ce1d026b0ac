-- raw.lua: a bare TCP client for the specs of bad input: it sends whatever bytes a spec wants, and can behave as a node
-- of the original just long enough to become an edge. SPDX-License-Identifier: MIT
local uv = require "luv"
local chaski = require "chaski"
local core = require "chaski.core"
local helper = require "spec.helper"

local M = {}

local text = { strings = "str" }

local function packed(value)
  return assert(chaski.pack(value, text))
end

--- A whole frame of a topic in its wire form and these bytes of data.
function M.frame_of(topic, data)
  return (">I4I4"):pack(#data, #topic) .. topic .. data
end

--- A frame whose envelope is right; `data` are the bytes that stand where its data should, last as we send them.
-- With `middle` true they stand before other keys, as the original sends them.
function M.frame(command, topic, data, middle)
  local head = packed "command" .. packed(command) .. packed "topic" .. packed(topic)
  local rest = packed "ttl" .. packed(64) .. packed "uuid" .. packed(chaski.uuid())
  local value = packed "data" .. data
  return M.frame_of(packed(topic), "\x85" .. head .. (middle and value .. rest or rest .. value))
end

--- A command of the protocol with its data, a table.
function M.command(command, data)
  return M.frame(command, "All", packed(chaski.map(data)))
end

local Raw = {}
Raw.__index = Raw

local function wake(raw)
  local waiter = raw.waiter
  raw.waiter = nil
  if waiter then core.wake(waiter) end
end

--- Wait until condition(); an error says what did not come.
function Raw:until_(condition, what)
  local deadline = core.now() + 5 * helper.slowness
  while not condition() do
    if core.now() > deadline then error("raw: " .. what, 2) end
    self.waiter = core.waiter()
    core.park(0.1)
  end
end

--- A connection to "ip:port" on which nothing was said yet.
function M.connect(address)
  local raw = setmetatable({ stream = uv.new_tcp(), got = "", ended = false }, Raw)
  local ip, port = address:match "^(.*):(%d+)$"
  raw.stream:connect(ip, math.tointeger(port), function(err)
    raw.connected, raw.failed = true, err
    wake(raw)
  end)
  raw:until_(function()
    return raw.connected
  end, "no connection")
  assert(not raw.failed, raw.failed)
  raw.stream:read_start(function(_, bytes)
    if bytes then
      raw.got = raw.got .. bytes
    else
      raw.ended = true
    end
    wake(raw)
  end)
  return raw
end

function Raw:send(bytes)
  if not self.stream:is_closing() then self.stream:write(bytes) end
end

--- No more from us; what the node still says is read.
function Raw:shutdown()
  self.stream:shutdown()
end

--- Until the node has closed.
function Raw:wait_end()
  self:until_(function()
    return self.ended
  end, "the node has not closed")
end

--- The next frame as an unpacked message.
function Raw:message()
  local function length()
    if #self.got < 8 then return nil end
    local data, topic = (">I4I4"):unpack(self.got)
    return #self.got >= 8 + data + topic and data, topic
  end
  self:until_(function()
    return length() or self.ended
  end, "no frame")
  local data, topic = length()
  assert(data, "raw: the node has closed")
  local bytes = self.got:sub(9 + topic, 8 + topic + data)
  self.got = self.got:sub(9 + topic + data)
  return assert(chaski.unpack(bytes))
end

--- The next message with this command.
function Raw:expect(command)
  while true do
    local message = self:message()
    if message.command == command then return message end
  end
end

function Raw:say_hello()
  self:send(M.command("handshake", { handshake_id = "raw", response = true }))
end

--- Shake hands as the original does; the node has an edge named "raw" soon afterwards.
function M.join(address)
  local raw = M.connect(address)
  raw:say_hello()
  local id = raw:expect("handshake").data.handshake_id
  raw:expect "handshake_back"
  raw:send(M.command("handshake_back", {
    handshake_id = id,
    name = "raw",
    ip = "127.0.0.1",
    port = raw.stream:getsockname().port,
    subscriptions = chaski.array { "nothing" },
  }))
  raw:send(M.command("ping", { ping_id = "live", latency_update = false, dummy_data = chaski.bin "", size = 0 }))
  raw:expect "pong"
  return raw
end

function Raw:close()
  if not self.stream:is_closing() then self.stream:close() end
end
Raw.__close = Raw.close

return M
