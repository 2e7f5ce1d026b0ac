-- processes.lua: the processes of a measurement: started, read line by line, their CPU and memory looked up in /proc,
-- and ended: only those that were started here, which also end with this process. Everything waits with a deadline.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local uv = require "luv"

local M = {}

local PATIENCE = 60

local running = {}

local process = {}
process.__index = process

local function line_of(words)
  local values = { what = words:match "^%S+", first = words:match "^%S+%s+(%S+)" }
  for name, value in words:gmatch "(%w+)=(%S+)" do
    values[name] = tonumber(value)
  end
  return values
end

local function read_lines(self, out)
  local buffered = ""
  out:read_start(function(_, bytes)
    buffered = buffered .. (bytes or "")
    for line in buffered:gmatch "(.-)\n" do
      self.lines[#self.lines + 1] = line_of(line)
    end
    buffered = buffered:match "[^\n]*$"
    if not bytes then out:close() end
  end)
end

--- Seconds from the start of `command`, which needs nobody, to its end.
function M.time(command)
  local started, ended = uv.hrtime(), nil
  local handle
  handle = assert(uv.spawn(command[1], { args = table.move(command, 2, #command, 1, {}) }, function()
    ended = uv.hrtime()
    handle:close()
  end))
  while not ended do
    chaski.sleep(0.0005)
  end
  return (ended - started) / 1e9
end

--- Start `command`, a list; `core`: the one it may run on, else the first two.
function M.start(command, core)
  local words = { "--pdeathsig", "KILL", "taskset", "-c", core or M.cores or "0,1" }
  for _, word in ipairs(command) do
    words[#words + 1] = tostring(word)
  end
  local self = setmetatable({ name = command[1], lines = {}, stdin = uv.new_pipe() }, process)
  local out = uv.new_pipe()
  self.handle, self.pid = uv.spawn("setpriv", { args = words, stdio = { self.stdin, out, 2 } }, function()
    self.ended = uv.hrtime()
    running[self] = nil
    self.handle:close()
  end)
  if not self.handle then error(("bench: cannot start %s: %s"):format(command[1], self.pid), 0) end
  running[self] = true
  read_lines(self, out)
  return self
end

--- The next line, which must begin with `what`: { first = its second word, KEY = number }.
function process:line(what)
  local deadline = chaski.now() + PATIENCE
  while not self.lines[1] do
    if self.ended then error(("bench: %s has ended early"):format(self.name), 0) end
    if chaski.now() > deadline then error(("bench: %s says nothing"):format(self.name), 0) end
    chaski.sleep(0.002)
  end
  local line = table.remove(self.lines, 1)
  if line.what ~= what then error(("bench: %s says '%s', not '%s'"):format(self.name, line.what, what), 0) end
  return line
end

function process:go()
  self.stdin:write "go\n"
end

local function read_proc(pid, file)
  local stream = io.open(("/proc/%d/%s"):format(pid, file))
  local text = stream and stream:read "a" or ""
  if stream then stream:close() end
  return text
end

--- Seconds so far, of all its threads: what the scheduler has counted, which does not go by ticks.
function process:cpu()
  local ns = 0
  local tasks = uv.fs_scandir(("/proc/%d/task"):format(self.pid))
  for task in
    function()
      return tasks and uv.fs_scandir_next(tasks)
    end
  do
    ns = ns + (tonumber(read_proc(self.pid, ("task/%s/schedstat"):format(task)):match "^%d+") or 0)
  end
  return ns / 1e9
end

function process:resident_kib()
  return tonumber(read_proc(self.pid, "status"):match "VmRSS:%s+(%d+)")
end

--- End it, by `signal`, which it may take its time for; its end is waited for.
function process:stop(signal)
  if not self.ended then self.handle:kill(signal or "sigkill") end
  for _ = 1, 10000 do
    if self.ended then break end
    chaski.sleep(0.002)
  end
  if not self.stdin:is_closing() then self.stdin:close() end
end

function M.stop_all()
  for each in pairs(running) do
    each:stop()
  end
end

--- A port that is free now.
function M.free_port()
  local socket = uv.new_tcp()
  assert(socket:bind("127.0.0.1", 0))
  local port = socket:getsockname().port
  socket:close()
  return port
end

--- Suspends until something listens there.
function M.wait_for_port(port)
  for _ = 1, 2000 do
    local socket, answer = uv.new_tcp(), nil
    socket:connect("127.0.0.1", port, function(err)
      answer = err or "connected"
      socket:close()
    end)
    while not answer do
      chaski.sleep(0.002)
    end
    if answer == "connected" then return end
    chaski.sleep(0.005)
  end
  error(("bench: nobody listens on port %d"):format(port), 0)
end

return M
