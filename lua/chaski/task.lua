--- Tasks: what the host calls is a coroutine of its own and may wait. The mechanism is chaski.core's.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local options = require "chaski.options"

local task = {}

--- spawn(fn, ...) -> task: run fn(...) as a task, at once until it first waits.
-- task:join([timeout]) -> true, results... | nil, err; task:cancel() raises "cancelled" where the task waits;
-- task.status is "running", "parked" or "over". An error that nobody joins for is logged.
task.spawn = core.spawn

--- sleep(seconds): let others run meanwhile. 0: until the next turn of the loop.
task.sleep = core.sleep

--- run(main, ...) -> its results: in a stock lua5.4, run main as a task and the loop until nothing is active any more.
-- Raises main's error. The program chaski-lua does this by itself.
task.run = core.run

--- in_task() -> whether the caller may wait.
task.in_task = core.in_task

local Every = { __name = "chaski.every" }
Every.__index = Every

function Every:__tostring()
  return ("every %g s%s"):format(self.seconds, self.removed and " (removed)" or "")
end

--- No further call; one that has begun goes on.
function Every:remove()
  self.removed = true
  self.task:cancel()
end

-- The next multiple of the period, or now if that has passed: missed calls are not made up for.
local function tick(every, fn, ...)
  local due, call = core.now(), nil
  while not every.removed do
    due = math.max(due + every.seconds, core.now())
    core.sleep(math.max(due - core.now(), 0))
    if every.removed then return end
    if not call or call.status == "over" then call = core.spawn(fn, ...) end
  end
end

--- Call fn(...) as a task again and again until handle:remove(). A call that is not over when the next is due takes its
--- place. An error is logged and ends that call only.
---@param seconds number
---@param fn function
---@return chaski.handle
function task.every(seconds, fn, ...)
  local positive = math.type(seconds) and seconds > 0 -- false for NaN
  if not positive then
    options.raise(("chaski.every: expected seconds above 0, got %s"):format(options.describe(seconds)))
  elseif type(fn) ~= "function" then
    options.raise(("chaski.every: expected a function, got %s"):format(options.describe(fn)))
  end
  local every = setmetatable({ seconds = seconds, removed = false }, Every)
  every.task = core.spawn(tick, every, fn, ...)
  return every
end

return task
