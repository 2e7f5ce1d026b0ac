-- helper.lua: what the specs share: tests that run as tasks, and the program chaski-lua started and watched.
-- Loaded by busted before the specs and by `require "spec.helper"`. SPDX-License-Identifier: MIT
local uv = require "luv"
local core = require "chaski.core"

local helper = {}

-- Everything is slower under valgrind, with sanitizers, or when the collector never rests.
local function slowness()
  if os.getenv "CHASKI_VALGRIND" then return 20 end
  if os.getenv "CHASKI_SANITIZE" then return 5 end
  return os.getenv "CHASKI_GC" and 3 or 1
end
helper.slowness = slowness()

local DEADLINE = 5 * helper.slowness -- seconds for one test
local GRACE = 2 * helper.slowness -- seconds to close what a test has ended

--- Wait until condition() is true; raises when that takes longer than `timeout` seconds.
function helper.eventually(condition, what, timeout)
  local deadline = core.now() + (timeout or DEADLINE)
  while true do
    local value = condition()
    if value then return value end
    if core.now() > deadline then error("it never came to be: " .. (what or "the condition"), 2) end
    core.sleep(0.002)
  end
end

--- fn(...) raises an error in whose text `expected` stands.
function helper.raises(expected, fn, ...)
  local ok, err = pcall(fn, ...)
  local text = tostring(err)
  if ok then error("nothing was raised; expected: " .. expected, 2) end
  if not text:find(expected, 1, true) then error(("raised: %s\nexpected: %s"):format(text, expected), 2) end
end

--- A table with what is in base, and over it what is in changes.
function helper.with(base, changes)
  local all = {}
  for _, each in ipairs { base, changes or {} } do
    for name, value in pairs(each) do
      all[name] = value
    end
  end
  return all
end

-- --- tests as tasks -------------------------------------------------------------------------------------------------

local function left_behind(before)
  collectgarbage() -- a stopped node is there until it is collected
  collectgarbage()
  local now, left = core.counts(), {}
  for name, count in pairs(now) do
    if count > before[name] then left[#left + 1] = ("%d %s"):format(count - before[name], name) end
  end
  table.sort(left)
  return #left > 0 and table.concat(left, ", ") or nil
end

local function run_test(test, timeout, before, ...)
  local task = core.spawn(pcall, test, ...)
  local joined, ok, err = task:join(timeout)
  if not joined then
    task:cancel()
    error(("the test did not end within %g s"):format(timeout), 0)
  end
  if not ok then error(err, 0) end
  before.tasks = before.tasks + 1 -- this one
  local deadline = core.now() + GRACE
  while left_behind(before) and core.now() < deadline do
    core.sleep(0.002)
  end
  local left = left_behind(before)
  before.tasks = before.tasks - 1
  if left then error("the test left behind: " .. left, 0) end
end

local expected = 0

--- This test makes n handlers, callbacks or tasks fail; without this, a logged error fails the test.
function helper.expect_errors(n)
  expected = n
end

-- Stops the loop when handles of the test's own keep it going for ever.
local function watchdog(seconds)
  local timer, barked = uv.new_timer(), false
  uv.update_time() -- the loop's clock stands still while it does not run
  timer:start(math.ceil(seconds * 1000), 0, function()
    barked = true
    uv.stop()
  end)
  timer:unref()
  return function()
    timer:close()
    return barked
  end
end

--- async(test [, timeout]) -> a test body for busted: test runs as a task with the loop turning, within a deadline.
-- Afterwards no task, node or handle may be left, and no error may have been logged that was not expected.
function helper.async(test, timeout)
  timeout = timeout and timeout * helper.slowness or DEADLINE
  return function(...)
    local before, errors = core.counts(), core.errors()
    expected = 0
    local stop = watchdog(timeout + GRACE + 1)
    local ok, err = pcall(core.run, run_test, test, timeout, before, ...)
    local barked = stop()
    uv.run "nowait" -- the watchdog's own end
    if barked then error("the loop did not come to rest: a handle is still active", 0) end
    if not ok then error(err, 0) end
    local logged = core.errors() - errors
    if logged ~= expected then error(("%d errors were logged, %d were expected"):format(logged, expected), 0) end
  end
end

-- --- the program ----------------------------------------------------------------------------------------------------

helper.program = os.getenv "CHASKI_LUA"

local Process = {}
Process.__index = Process

local function environment(changes)
  local all, list = uv.os_environ(), {}
  all.LUA_INIT, all.LUA_INIT_5_4, all.CHASKI_LOG = nil, nil, nil
  for name, value in pairs(changes or {}) do
    all[name] = value or nil
  end
  for name, value in pairs(all) do
    list[#list + 1] = name .. "=" .. value
  end
  return list
end

-- Wakes whoever waits for anything of the process to change.
function Process:changed()
  local waiter = self.waiter
  self.waiter = nil
  if waiter then core.wake(waiter) end
end

function Process:read(pipe, field)
  self.open = self.open + 1
  pipe:read_start(function(_, chunk)
    if chunk then
      self[field] = self[field] .. chunk
    else
      pipe:close()
      self.open = self.open - 1
    end
    self:changed()
  end)
end

-- Wait until condition(); the process is killed if that takes too long.
function Process:until_(condition, what)
  local deadline = core.now() + self.timeout
  while not condition() do
    self.waiter = core.waiter()
    core.park(math.max(deadline - core.now(), 0))
    if core.now() >= deadline and not condition() then
      self:kill "sigkill"
      error(("%s: %s within %g s\nstdout: %s\nstderr: %s"):format(self.name, what, self.timeout, self.out, self.err), 0)
    end
  end
end

function Process:kill(signal)
  if not self.over then self.handle:kill(signal or "sigterm") end
end

--- Wait until standard output (or `field` "err") contains the plain text.
function Process:expect(text, field)
  field = field or "out"
  self:until_(function()
    return self[field]:find(text, 1, true) or self.over
  end, ("no '%s'"):format(text))
  if not self[field]:find(text, 1, true) then
    error(("%s: ended without '%s'\nstdout: %s\nstderr: %s"):format(self.name, text, self.out, self.err), 0)
  end
end

--- Wait for its end; returns the process: code, signal, out, err.
function Process:wait()
  self:until_(function()
    return self.over and self.open == 0
  end, "no end")
  return self
end

--- More for the standard input of a process that was started with { open = true }.
function Process:write(text)
  self.input:write(text)
end

--- The input of such a process ends.
function Process:close_input()
  self.input:close()
  self.input = nil
end

local started = {} -- in the test under way

--- A test body that ends the processes it has started, whatever happens.
function helper.ending(test)
  return function()
    started = {}
    local ok, err = pcall(test)
    for _, process in ipairs(started) do
      process:kill()
      process:wait()
    end
    if not ok then error(err, 0) end
  end
end

--- start(args [, { stdin =, open =, env =, timeout = }]) -> process, only inside an async test.
function helper.start(args, options)
  options = options or {}
  local program = options.program or helper.program or error("CHASKI_LUA is not set: the path of the program", 2)
  local out, err, input = uv.new_pipe(false), uv.new_pipe(false), uv.new_pipe(false)
  local process = setmetatable({
    name = program:match "[^/]*$" .. " " .. table.concat(args, " "),
    timeout = (options.timeout or 5) * helper.slowness,
    out = "",
    err = "",
    open = 0,
    over = false,
  }, Process)
  local function on_exit(code, signal)
    process.code, process.signal, process.over = code, signal, true
    process.handle:close()
    if process.input then process.input:close() end
    process:changed()
  end
  local spawned = { args = args, env = environment(options.env), stdio = { input, out, err } }
  process.handle, process.pid = uv.spawn(program, spawned, on_exit)
  if not process.handle then error("cannot start " .. program .. ": " .. tostring(process.pid), 2) end
  process:read(out, "out")
  process:read(err, "err")
  if options.stdin then input:write(options.stdin) end
  if options.open then
    process.input = input
  else
    input:close()
  end
  started[#started + 1] = process
  return process
end

--- run(args [, options]) -> the ended process: code, signal, out, err.
function helper.run(args, options)
  return helper.start(args, options):wait()
end

--- The path of a file with this content in a folder of this run's own; removed by helper.clean.
function helper.file(content, name)
  helper.folder = helper.folder or assert(uv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/chaski-spec-XXXXXX"))
  helper.files = helper.files or {}
  local path = helper.folder .. "/" .. (name or ("%d.lua"):format(#helper.files + 1))
  local file = assert(io.open(path, "wb"))
  file:write(content)
  file:close()
  helper.files[#helper.files + 1] = path
  return path
end

function helper.clean()
  for _, path in ipairs(helper.files or {}) do
    os.remove(path)
  end
  if helper.folder then os.remove(helper.folder) end
  helper.files, helper.folder = nil, nil
end

return helper
