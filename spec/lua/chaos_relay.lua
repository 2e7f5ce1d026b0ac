-- chaos_relay.lua: a TCP relay on loopback that can be told to delay, to cut, to reset, to swallow one direction, and
-- to pass bytes on one by one. It knows nothing of frames. SPDX-License-Identifier: MIT
local uv = require "luv"

local M = {}

---@class spec.chaos_relay
---@field port integer where to dial
---@field delay number seconds by which everything is late
---@field segment integer? a chunk is passed on in pieces of so many bytes
---@field accepted integer connections so far
---@field swallowed integer bytes that went into a black hole
local Relay = {}
Relay.__index = Relay

local function close(handle)
  if not handle:is_closing() then handle:close() end
end

local function end_pair(relay, pair, how)
  if pair.over then return end
  pair.over = true
  relay.pairs[pair] = nil
  for _, socket in ipairs { pair.up, pair.down } do
    if how == "reset" and not socket:is_closing() and socket:close_reset() then goto next end
    close(socket)
    ::next::
  end
end

local function pass(relay, pair, to, bytes)
  if pair.over or to:is_closing() then return end
  local size = relay.segment or #bytes
  for at = 1, #bytes, size do
    to:write(bytes:sub(at, at + size - 1))
  end
end

-- Of two timers that are due at once the first started goes first.
local function later(relay, pair, way, to, bytes)
  local now, timer = uv.now(), uv.new_timer()
  pair.due[way] = math.max(now + math.ceil(relay.delay * 1000), pair.due[way])
  pair.waiting[way] = pair.waiting[way] + 1
  relay.timers[timer] = true
  timer:start(pair.due[way] - now, 0, function()
    relay.timers[timer] = nil
    pair.waiting[way] = pair.waiting[way] - 1
    close(timer)
    pass(relay, pair, to, bytes)
  end)
end

-- What is left of `bytes` before the connection is to be cut.
local function until_cut(relay, bytes)
  local left = relay.cut_left
  if not left then return bytes, false end
  relay.cut_left = left - #bytes
  if relay.cut_left > 0 then return bytes, false end
  relay.cut_left = nil
  return bytes:sub(1, left), true
end

local function receive(relay, pair, way, to, bytes)
  if pair.hole == way or pair.hole == "both" then
    relay.swallowed = relay.swallowed + #bytes
    return
  end
  local part, cut = until_cut(relay, bytes)
  relay.passed = relay.passed + #part
  if relay.delay > 0 or pair.waiting[way] > 0 then -- bytes keep their order, also when the delay changes
    later(relay, pair, way, to, part)
  else
    pass(relay, pair, to, part)
  end
  if cut then end_pair(relay, pair, relay.cut_how) end
end

local function join(relay, pair, way, from, to)
  from:read_start(function(err, bytes)
    if bytes then
      receive(relay, pair, way, to, bytes)
    else
      end_pair(relay, pair, err and "reset" or "cut")
    end
  end)
end

local function accept(relay)
  local down, up = uv.new_tcp(), uv.new_tcp()
  relay.server:accept(down)
  local pair = { down = down, up = up, due = { there = 0, back = 0 }, waiting = { there = 0, back = 0 } }
  relay.pairs[pair], relay.accepted = true, relay.accepted + 1
  down:nodelay(true)
  up:connect("127.0.0.1", relay.target, function(err)
    if pair.over then return end
    if err then return end_pair(relay, pair, "reset") end
    up:nodelay(true)
    join(relay, pair, "there", down, up)
    join(relay, pair, "back", up, down)
  end)
end

--- Relay connections to the returned relay's port on to `target`, a port of loopback.
---@return spec.chaos_relay
function M.start(target)
  local relay = setmetatable({ target = target, pairs = {}, timers = {}, delay = 0 }, Relay)
  relay.accepted, relay.swallowed, relay.passed = 0, 0, 0
  relay.server = uv.new_tcp()
  assert(relay.server:bind("127.0.0.1", 0))
  relay.server:listen(128, function()
    accept(relay)
  end)
  relay.port = relay.server:getsockname().port
  return relay
end

--- End every connection now: "cut" (an end of the stream) or "reset".
function Relay:cut(how)
  for pair in pairs(self.pairs) do
    end_pair(self, pair, how or "cut")
  end
end

--- The same after so many more bytes, in whichever direction they go.
function Relay:cut_after(bytes, how)
  self.cut_left, self.cut_how = bytes, how or "cut"
end

--- From now on nothing passes on the connections that are there: "there" (from who dialled), "back" or "both".
function Relay:blackhole(way)
  for pair in pairs(self.pairs) do
    pair.hole = way
  end
end

function Relay:connections()
  local n = 0
  for _ in pairs(self.pairs) do
    n = n + 1
  end
  return n
end

--- Ends everything; the relay is not to be used any more.
function Relay:close()
  self:cut()
  for timer in pairs(self.timers) do
    close(timer)
  end
  close(self.server)
end

Relay.__close = Relay.close

return M
