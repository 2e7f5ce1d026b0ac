-- peer.lua: starts peer.py, tells it what to do and waits for what it says; test bodies that leave no peer behind.
-- SPDX-License-Identifier: MIT
local uv = require "luv"
local core = require "chaski.core"
local helper = require "spec.helper"
local nodes = require "spec.lua.nodes"
local notation = require "spec.interop.notation"

local M = { python = os.getenv "CHASKI_PYTHON" or "/usr/bin/python3" }

local folder = debug.getinfo(1, "S").source:match "^@(.*)peer%.lua$"
local TIMEOUT = 8 * helper.slowness -- seconds for one answer
local LIMIT = 60 * helper.slowness -- seconds after which a peer ends by itself

local Peer = {}
Peer.__index = Peer

local running = {}

-- --- the process -----------------------------------------------------------------------------------------------------

-- Nothing that was meant for this interpreter (a sanitizer's library, say) is for that one.
local function environment()
  local list = {}
  for name, value in pairs(uv.os_environ()) do
    if not name:find "^LD_" and not name:find "^PYTHON" and not name:find "SAN_OPTIONS$" then
      list[#list + 1] = name .. "=" .. value
    end
  end
  return list
end

-- A line of another script is no event. What has no end of line yet waits in pieces, as it may be long.
local function take_lines(peer, chunk)
  local from = 1
  for stop in chunk:gmatch "()\n" do
    peer.rest[#peer.rest + 1] = chunk:sub(from, stop - 1)
    local line = table.concat(peer.rest)
    peer.rest, from = {}, stop + 1
    peer.out[#peer.out + 1] = line
    if line:find "^{" then peer.events[#peer.events + 1] = notation.parse(line) end
  end
  peer.rest[#peer.rest + 1] = chunk:sub(from)
end

local function read(peer, pipe, take)
  peer.open = peer.open + 1
  pipe:read_start(function(_, chunk)
    if chunk then return take(chunk) end
    pipe:close()
    peer.open = peer.open - 1
  end)
end

local function spawn(peer, script, arguments)
  local out, err = uv.new_pipe(false), uv.new_pipe(false)
  peer.input = uv.new_pipe(false)
  local spawned = {
    args = { "-B", folder .. script, table.unpack(arguments) },
    env = environment(),
    stdio = { peer.input, out, err },
  }
  local pid
  peer.handle, pid = uv.spawn(M.python, spawned, function(code, signal)
    peer.code, peer.signal, peer.over = code, signal, true
    peer.handle:close()
  end)
  if not peer.handle then error("cannot start " .. M.python .. ": " .. tostring(pid), 3) end
  peer.pid = pid
  read(peer, out, function(chunk)
    take_lines(peer, chunk)
  end)
  read(peer, err, function(chunk)
    peer.err = peer.err .. chunk
  end)
end

local function new(script, arguments)
  local peer = setmetatable({ events = {}, out = {}, rest = {}, err = "", open = 0, over = false, commands = 0 }, Peer)
  spawn(peer, script, arguments)
  running[#running + 1] = peer
  return peer
end

function Peer:fail(text)
  local seen = {}
  for i, event in ipairs(self.events) do
    seen[i] = notation.write(event)
  end
  error(("%s\nevents: %s\nstderr: %s"):format(text, table.concat(seen, "\n        "), self.err), 0)
end

--- start(options of peer.py) -> a peer that listens: port, address, name.
function M.start(options)
  options.limit = LIMIT
  options.name = options.name or "python"
  local peer = new("peer.py", { notation.json(options) })
  local ready = peer:wait "ready"
  peer.name, peer.ip, peer.port = options.name, ready.ip, ready.port
  peer.address = ready.ip .. ":" .. ready.port
  return peer
end

--- Run another script of this folder to its end; returns the ended process: code, out (lines), err.
function M.run(script)
  local process = new(script, {})
  helper.eventually(function()
    return process.over and process.open == 0
  end, script .. " ends", TIMEOUT)
  return process
end

-- --- talking to it ---------------------------------------------------------------------------------------------------

local function matches(event, name, wanted)
  if event.event ~= name then return false end
  for key, value in pairs(wanted or {}) do
    if event[key] ~= value then return false end
  end
  return true
end

--- Take the first event of this name, with these fields, out of those that came; nil if there is none.
function Peer:take(name, wanted)
  for i, event in ipairs(self.events) do
    if matches(event, name, wanted) then return table.remove(self.events, i) end
  end
end

--- Wait for such an event and take it.
function Peer:wait(name, wanted)
  local deadline = core.now() + TIMEOUT
  while true do
    local event = self:take(name, wanted)
    if event then return event end
    if self.over and self.open == 0 then self:fail(("the peer ended without '%s'"):format(name)) end
    if core.now() > deadline then self:fail(("the peer never said '%s'"):format(name)) end
    core.sleep(0.002)
  end
end

--- How many such events have come and were not taken.
function Peer:count(name, wanted)
  local count = 0
  for _, event in ipairs(self.events) do
    if matches(event, name, wanted) then count = count + 1 end
  end
  return count
end

--- Give a command without waiting for its end; returns its number.
function Peer:begin(verb, arguments)
  self.commands = self.commands + 1
  local command = { id = self.commands, ["do"] = verb }
  for key, value in pairs(arguments or {}) do
    command[key] = value
  end
  self.input:write(notation.json(command) .. "\n")
  return self.commands
end

--- Wait for the end of a command that was begun.
function Peer:finish(number)
  local done
  helper.eventually(function()
    local failed = self:take("failed", { id = number })
    if failed then self:fail("the peer could not: " .. failed.why) end
    done = self:take("done", { id = number })
    return done or self.over
  end, "the peer does as it is told", TIMEOUT)
  return done or self:fail "the peer ended"
end

--- Give a command and wait for its end; returns what the peer says of it.
function Peer:tell(verb, arguments)
  return self:finish(self:begin(verb, arguments))
end

function Peer:dial(node)
  self:tell("connect", { ip = node.ip, port = node.port })
  return self:wait("edge", { name = node.name })
end

function Peer:edges()
  return self:tell("edges").edges
end

--- The process dies: no goodbye, no farewell of any kind but the kernel's.
function Peer:kill()
  uv.kill(self.pid, "sigkill")
  helper.eventually(function()
    return self.over
  end, "the peer is dead", TIMEOUT)
end

-- --- its end ---------------------------------------------------------------------------------------------------------

local function finish(peer)
  if not peer.input:is_closing() then peer.input:close() end
  local ended = pcall(helper.eventually, function()
    return peer.over and peer.open == 0
  end, "", TIMEOUT)
  if ended then return end
  if not peer.over then uv.kill(peer.pid, "sigkill") end
  helper.eventually(function()
    return peer.over and peer.open == 0
  end, "the peer ends", TIMEOUT)
end

local function verdict(peer)
  if peer.err ~= "" then return "the peer wrote to stderr: " .. peer.err end
  if peer.signal == 0 and peer.code ~= 0 then return "the peer ended with status " .. peer.code end
end

-- Ends all peers; says what was wrong with them.
local function finish_all()
  local wrong
  for _, peer in ipairs(running) do
    finish(peer)
    wrong = wrong or verdict(peer)
  end
  running = {}
  return wrong
end

--- A test body for busted, as nodes.test; no peer is left afterwards, and none may have complained.
function M.test(body, timeout)
  return nodes.test(function()
    local ok, err = pcall(body)
    local wrong = finish_all()
    if not ok then error(err, 0) end
    if wrong then error(wrong, 0) end
  end, timeout or 10)
end

return M
