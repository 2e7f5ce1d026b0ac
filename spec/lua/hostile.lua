-- hostile.lua: what the specs of bad input share: frames made by hand, and a datagram socket that is no node.
-- SPDX-License-Identifier: MIT
local uv = require "luv"
local chaski = require "chaski"
local helper = require "spec.helper"

local M = {}

--- A whole frame with the command, and with these bytes where its data stands.
function M.frame(command, bytes)
  local envelope = "\x84"
    .. chaski.pack "command"
    .. chaski.pack(command)
    .. chaski.pack "topic"
    .. chaski.pack "All"
    .. chaski.pack "ttl"
    .. chaski.pack(64)
    .. chaski.pack "data"
    .. bytes
  local topic = chaski.pack "All"
  return (">I4I4"):pack(#envelope, #topic) .. topic .. envelope
end

--- An array of a million names, in bytes.
function M.million_names()
  return "\xdd" .. (">I4"):pack(1000000) .. ("\xa1x"):rep(1000000)
end

local Socket = {}
Socket.__index = Socket

--- A datagram socket on a port of loopback. What comes is in `got`: { bytes =, message =, ip =, port = }.
function M.socket()
  local socket = setmetatable({ handle = uv.new_udp(), got = {} }, Socket)
  socket.handle:bind("127.0.0.1", 0)
  socket.port = socket.handle:getsockname().port
  socket.handle:recv_start(function(_, bytes, from)
    if not bytes or not from then return end
    local entry = { bytes = bytes, message = chaski.unpack(bytes), ip = from.ip, port = from.port }
    socket.got[#socket.got + 1] = entry
    if socket.on_message then socket.on_message(entry) end
  end)
  return socket
end

function Socket:send(bytes, port)
  self.handle:send(bytes, "127.0.0.1", port)
end

--- Wait until n datagrams have come; the n-th.
function Socket:wait(n)
  helper.eventually(function()
    return #self.got >= n
  end, n .. " datagrams")
  return self.got[n]
end

--- Answer a status request that has come.
function Socket:answer(entry, data)
  data.id = entry.message.data.id
  self:send(chaski.pack { command = "response", data = data }, entry.port)
end

function Socket:close()
  self.handle:close()
  if self.listener then self.listener:close() end
end
Socket.__close = Socket.close

--- A machine that is no node: a socket, and a listener on the same port that calls on_dial and hangs up.
function M.machine(on_dial)
  while true do
    local socket, listener = M.socket(), uv.new_tcp()
    socket.listener = listener
    local bound = listener:bind("127.0.0.1", socket.port)
    local listening = bound
      and listener:listen(16, function()
        local stream = uv.new_tcp()
        listener:accept(stream)
        on_dial()
        stream:close()
      end)
    if listening then return socket end
    socket:close()
  end
end

return M
