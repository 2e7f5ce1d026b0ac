-- Tasks as scripts see them. SPDX-License-Identifier: MIT
local helper = require "spec.helper"
local core = require "chaski.core"
local task = require "chaski.task"
local uv = require "luv"

local function it_async(name, test, timeout)
  it(name, helper.async(test, timeout))
end

describe("spawn", function()
  it_async("runs at once until the task first waits", function()
    local order = {}
    local spawned = task.spawn(function(...)
      order[#order + 1] = table.concat({ ... }, " ")
      task.sleep(0)
      order[#order + 1] = "after"
    end, "a", "b")
    order[#order + 1] = "spawned"
    assert.is_true(spawned:join())
    assert.same({ "a b", "spawned", "after" }, order)
  end)

  it_async("gives a task that tells its status", function()
    local inside
    local spawned
    spawned = task.spawn(function()
      task.sleep(0)
      inside = spawned.status
    end)
    assert.equal("parked", spawned.status)
    assert.equal("task: parked", tostring(spawned))
    spawned:join()
    assert.equal("running", inside)
    assert.equal("over", spawned.status)
    assert.equal("task: over", tostring(spawned))
    assert.is_nil(spawned.nonsense)
  end)

  it_async("takes functions only", function()
    assert.has_error(function()
      task.spawn(1)
    end, "bad argument #1 to 'spawn' (function expected, got number)")
  end)

  it_async("of tasks within tasks ends in an error, not in a crash", function()
    local depth = 0
    local function deeper()
      depth = depth + 1
      return (task.spawn(deeper))
    end
    core.on_error(function() end)
    task.spawn(deeper)
    core.on_error(nil)
    assert.is_true(depth > 50)
    helper.expect_errors(1)
  end)

  it_async("lets tasks spawn tasks, a thousand of them", function()
    local tasks = {}
    for i = 1, 1000 do
      tasks[i] = task.spawn(function()
        task.sleep(0.001)
        return task.spawn(function()
          return i
        end)
      end)
    end
    for i = 1, 1000 do
      local _, inner = assert(tasks[i]:join())
      assert.same({ true, i }, { inner:join() })
    end
  end)
end)

describe("join", function()
  it_async("gives the results, nils and all, as often as it is asked", function()
    local now = task.spawn(function()
      return 1, nil, 3, nil
    end)
    local later = task.spawn(function()
      task.sleep(0.001)
      return nil, 2
    end)
    assert.same({ n = 5, true, 1, nil, 3, nil }, table.pack(now:join()))
    assert.same({ n = 3, true, nil, 2 }, table.pack(later:join()))
    assert.same({ n = 3, true, nil, 2 }, table.pack(later:join()))
  end)

  it_async("gives nil and the error, whatever value that is", function()
    local value = {}
    local failing = task.spawn(function()
      task.sleep(0)
      error(value)
    end)
    local ok, err = failing:join()
    assert.is_nil(ok)
    assert.equal(value, err)
  end)

  it_async("wakes all who wait, in their order", function()
    local order = {}
    local slow = task.spawn(function()
      task.sleep(0.005)
      return "done"
    end)
    local joiners = {}
    for i = 1, 5 do
      joiners[i] = task.spawn(function()
        order[i] = select(2, slow:join()) .. #order
      end)
    end
    for i = 1, 5 do
      joiners[i]:join()
    end
    assert.same({ "done0", "done1", "done2", "done3", "done4" }, order)
  end)

  it_async("gives up after its timeout, and the task goes on", function()
    local slow = task.spawn(function()
      task.sleep(0.05)
      return "done"
    end)
    local ok, err = slow:join(0.001)
    assert.is_nil(ok)
    assert.equal("timeout", err.code)
    assert.equal("timed out", tostring(err))
    assert.same({ true, "done" }, { slow:join() })
  end)

  it_async("of oneself is a mistake", function()
    local me
    me = task.spawn(function()
      task.sleep(0)
      return pcall(me.join, me)
    end)
    local _, ok, err = me:join()
    assert.is_false(ok)
    assert.matches("cannot join itself", err)
  end)

  it_async("survives a chain of a thousand tasks", function()
    local last = task.spawn(function()
      task.sleep(0.001)
    end)
    for i = 1, 1000 do
      local before = last
      last = task.spawn(function()
        before:join()
        return i
      end)
    end
    assert.same({ true, 1000 }, { last:join() })
  end)
end)

describe("an error nobody joins for", function()
  it_async("is told to the hook with its traceback, counted, and goes no further", function()
    local told
    core.on_error(function(err, where, text)
      told = { err, where, text }
    end)
    task.spawn(function()
      task.sleep(0)
      error { code = "mine" }
    end)
    helper.eventually(function()
      return told
    end)
    core.on_error(nil)
    assert.same({ code = "mine" }, told[1])
    assert.equal("task", told[2])
    assert.matches("task_spec.lua:%d+", told[3])
    helper.expect_errors(1)
  end)

  it_async("of the hook itself is survived", function()
    core.on_error(function()
      error "hook"
    end)
    task.spawn(error, "x")
    core.on_error(nil)
    helper.expect_errors(1)
  end)
end)

describe("cancel", function()
  it_async("raises where the task waits, with code cancelled", function()
    local err
    local waiting = task.spawn(function()
      local ok
      ok, err = pcall(task.sleep, 100)
      return ok
    end)
    assert.is_true(waiting:cancel())
    assert.same({ true, false }, { waiting:join() })
    assert.equal("cancelled", err.code)
    assert.equal("cancelled", tostring(err))
  end)

  it_async("ends a task that does not catch it, without a word in the log", function()
    local waiting = task.spawn(task.sleep, 100)
    waiting:cancel()
    local ok, err = waiting:join()
    assert.is_nil(ok)
    assert.equal("cancelled", err.code)
    local silent = task.spawn(task.sleep, 100)
    silent:cancel()
    helper.eventually(function()
      return silent.status == "over"
    end)
    assert.is_false(silent:cancel())
  end)

  it_async("of a running task takes effect where it waits next, once", function()
    local me
    me = task.spawn(function()
      task.sleep(0)
      me:cancel()
      local first = pcall(task.sleep, 100)
      local second = pcall(task.sleep, 0)
      return first, second
    end)
    assert.same({ true, false, true }, { me:join() })
  end)

  it_async("closes the task's variables", function()
    local closed
    local waiting = task.spawn(function()
      local _ <close> = setmetatable({}, {
        __close = function()
          closed = true
        end,
      })
      task.sleep(100)
    end)
    waiting:cancel()
    waiting:join()
    assert.is_true(closed)
  end)

  it_async("of a joiner leaves the other joiners alone", function()
    local slow = task.spawn(function()
      task.sleep(0.01)
      return 7
    end)
    local first = task.spawn(slow.join, slow)
    local second = task.spawn(slow.join, slow)
    first:cancel()
    assert.same({ true, true, 7 }, { second:join() })
    assert.is_nil((first:join()))
  end)
end)

describe("sleep", function()
  it_async("takes at least its time", function()
    local start = core.now()
    task.sleep(0.02)
    assert.is_true(core.now() - start >= 0.02)
  end)

  it_async("counts from when it is called, not from when the turn began", function()
    local start = core.now()
    repeat
    until core.now() - start > 0.4
    local before = core.now()
    task.sleep(0.02)
    local slept = core.now() - before
    assert.is_true(slept >= 0.02 and slept < 0.4)
  end)

  it_async("wakes in the order of the deadlines", function()
    local order, tasks = {}, {}
    for _, ms in ipairs { 9, 3, 6, 0 } do
      tasks[#tasks + 1] = task.spawn(function()
        task.sleep(ms / 1000)
        order[#order + 1] = ms
      end)
    end
    for _, each in ipairs(tasks) do
      each:join()
    end
    assert.same({ 0, 3, 6, 9 }, order)
  end)

  it_async("refuses what is no time", function()
    for _, bad in ipairs { -1, 0 / 0 } do
      assert.is_false((pcall(task.sleep, bad)))
    end
    assert.is_false((pcall(task.sleep)))
    assert.is_false((pcall(task.sleep, "soon")))
  end)
end)

describe("waiting", function()
  it("outside a task raises, naming the function", function()
    local ok, err = pcall(task.sleep, 1)
    assert.is_false(ok)
    assert.matches("sleep: called outside a task", err, 1, true)
  end)

  it_async("in a luv callback raises: it is no task", function()
    local ok, err
    local timer = uv.new_timer()
    timer:start(1, 0, function()
      ok, err = pcall(task.sleep, 1)
      timer:close()
    end)
    helper.eventually(function()
      return err
    end)
    assert.is_false(ok)
    assert.matches("sleep: called outside a task", err, 1, true)
    assert.is_true(task.in_task())
  end)

  it_async("in a coroutine of one's own raises", function()
    local ok, err = coroutine.resume(coroutine.create(function()
      assert(not task.in_task())
      task.sleep(1)
    end))
    assert.is_false(ok)
    assert.matches("sleep: called inside a coroutine of your own", err, 1, true)
  end)

  it_async("across a C call raises and says why", function()
    local ok, err = pcall(table.sort, { 1, 2, 3 }, function()
      task.sleep(1)
    end)
    assert.is_false(ok)
    assert.matches("sleep: cannot wait across a C call", err, 1, true)
    assert.matches("table.sort", err, 1, true)
  end)

  it_async("works through pcall, metamethods and iterators", function()
    local object = setmetatable({}, {
      __index = function()
        task.sleep(0)
        return 5
      end,
    })
    local function iterate()
      task.sleep(0)
      return nil
    end
    local ok, value = pcall(function()
      return object.field
    end)
    for _ in iterate do
    end
    assert.same({ true, 5 }, { ok, value })
  end)

  it_async("by a bare coroutine.yield is an error in that task", function()
    local wrong = task.spawn(function()
      task.sleep(0)
      coroutine.yield "lost"
    end)
    local ok, err = wrong:join()
    assert.is_nil(ok)
    assert.matches("coroutine.yield outside a coroutine of your own", err, 1, true)
  end)

  it_async("leaves coroutines of one's own as they are", function()
    local squares = coroutine.wrap(function()
      for i = 1, 3 do
        coroutine.yield(i * i)
      end
    end)
    assert.same({ 1, 4, 9 }, { squares(), squares(), squares() })
  end)
end)

describe("waiter, park and wake", function()
  it_async("pass values, wake once, and the late find the wait over", function()
    local waiter
    local waiting = task.spawn(function()
      waiter = core.waiter()
      return core.park()
    end)
    assert.is_true(core.wake(waiter, 1, nil, 3))
    assert.is_false(core.wake(waiter, 2))
    assert.same({ n = 4, true, 1, nil, 3 }, table.pack(waiting:join()))
  end)

  it_async("from a callback resume at once, from a task at the next turn", function()
    local order, waiter = {}, nil
    local function wait()
      waiter = core.waiter()
      core.park()
      order[#order + 1] = "woken"
    end
    local first = task.spawn(wait)
    core.wake(waiter)
    order[#order + 1] = "task went on"
    first:join()
    local second = task.spawn(wait)
    local timer = uv.new_timer()
    timer:start(1, 0, function()
      core.wake(waiter)
      order[#order + 1] = "callback went on"
      timer:close()
    end)
    second:join()
    helper.eventually(function()
      return #order == 4
    end)
    assert.same({ "task went on", "woken", "woken", "callback went on" }, order)
  end)

  it_async("do not wake a later wait of a recycled task", function()
    local stale
    local first = task.spawn(function()
      stale = core.waiter()
      return core.park(0)
    end)
    first:join()
    local second = task.spawn(task.sleep, 0.01)
    assert.is_false(core.wake(stale, "wrong"))
    assert.same({ n = 1, true }, table.pack(second:join()))
  end)

  it_async("give nil and a timeout", function()
    core.waiter()
    local ok, err = core.park(0.001)
    assert.is_nil(ok)
    assert.equal("timeout", err.code)
  end)
end)

describe("every", function()
  it_async("calls again and again until it is removed", function()
    local count, every = 0, nil
    every = task.every(0.001, function(step)
      count = count + step
      if count == 6 then every:remove() end
    end, 2)
    helper.eventually(function()
      return count == 6 and every.task.status == "over"
    end)
    assert.is_true(every.removed)
  end)

  it_async("does not overlap calls that wait, and survives their errors", function()
    local running, most, calls = 0, 0, 0
    local every = task.every(0.001, function()
      calls = calls + 1
      if calls == 1 then error "the first fails" end
      running = running + 1
      most = math.max(most, running)
      task.sleep(0.005)
      running = running - 1
    end)
    helper.eventually(function()
      return calls >= 4
    end)
    every:remove()
    helper.eventually(function()
      return running == 0
    end)
    assert.equal(1, most)
    helper.expect_errors(1)
  end)

  it_async("refuses what is no period or no function", function()
    assert.has_error(function()
      task.every(0, print)
    end, "chaski.every: expected seconds above 0, got integer 0")
    assert.has_error(function()
      task.every(1, 2)
    end, "chaski.every: expected a function, got integer 2")
  end)
end)

describe("run", function()
  it("gives main's results and ends when nothing is active", function()
    local late = false
    local results = table.pack(task.run(function(...)
      task.spawn(function()
        task.sleep(0.005)
        late = true
      end)
      return ...
    end, 1, nil, 3))
    assert.same({ n = 3, 1, nil, 3 }, results)
    assert.is_true(late)
  end)

  it("raises main's error as it is", function()
    local err = {}
    local ok, raised = pcall(task.run, function()
      task.sleep(0)
      error(err)
    end)
    assert.is_false(ok)
    assert.equal(err, raised)
  end)

  it("raises an error of main's first turn, and runs again afterwards", function()
    assert.is_false((pcall(task.run, error, "first")))
    assert.equal(
      7,
      task.run(function()
        task.sleep(0.001)
        return 7
      end)
    )
  end)

  it("raises when uv.stop ends the loop before main", function()
    local ok, err = pcall(task.run, function()
      local timer = uv.new_timer()
      timer:start(0, 0, function()
        timer:close()
        uv.stop()
      end)
      task.sleep(60)
    end)
    assert.is_false(ok)
    assert.matches("the loop was stopped before main was over", err, 1, true)
    assert.equal(0, core.counts().tasks)
  end)

  it("raises when main waits for what can never happen", function()
    local ok, err = pcall(task.run, function()
      core.park()
    end)
    assert.is_false(ok)
    assert.matches("waits for something that can never happen", err, 1, true)
    assert.equal(0, core.counts().tasks)
  end)

  it_async("calls main in a task, where the loop runs already", function()
    local function main(a, b)
      task.sleep(0.001)
      return b, a, nil
    end
    assert.same({ 2, 1, n = 3 }, table.pack(task.run(main, 1, 2)))
    assert.error_matches(function()
      task.run(error, "of main", 0)
    end, "of main")
  end)

  it_async("refuses to run in a callback, which is no task", function()
    local timer, ok, err = uv.new_timer(), nil, nil
    timer:start(1, 0, function()
      timer:close()
      ok, err = pcall(task.run, print)
    end)
    helper.eventually(function()
      return ok ~= nil
    end)
    assert.is_false(ok)
    assert.matches("run: the loop runs already", err, 1, true)
  end)

  it("survives an error in a luv callback", function()
    local before = core.errors()
    task.run(function()
      local timer = uv.new_timer()
      timer:start(1, 0, function()
        timer:close()
        error "in a callback"
      end)
    end)
    assert.equal(before + 1, core.errors())
  end)
end)

describe("luv", function()
  it("cannot walk our handles, close our loop, or run it twice", function()
    local ok, err = pcall(uv.walk, print)
    assert.is_false(ok)
    assert.matches("uv.walk is not available", err, 1, true)
    ok, err = pcall(uv.loop_close)
    assert.is_false(ok)
    assert.matches("uv.loop_close is not available", err, 1, true)
    task.run(function()
      ok, err = pcall(uv.run)
    end)
    assert.is_false(ok)
    assert.matches("uv.run is not available", err, 1, true)
  end)
end)

describe("random", function()
  it("keeps to its interval", function()
    for _ = 1, 1000 do
      local x, n, m = core.random(), core.random(6), core.random(-2, 2)
      assert.is_true(x >= 0 and x < 1 and n >= 1 and n <= 6 and m >= -2 and m <= 2)
    end
    assert.equal("integer", math.type(core.random(math.mininteger, math.maxinteger)))
    assert.is_false((pcall(core.random, 0)))
  end)
end)

describe("log", function()
  local log = require "chaski.log"

  it("has a level that is read and set", function()
    local level = core.log_level()
    assert.equal("debug", core.log_level "debug")
    assert.equal("debug", core.log_level())
    core.log_level(level)
    assert.is_false((pcall(core.log_level, "loud")))
  end)

  it("formats only what will be written", function()
    log.trace("%d", "not a number at all, and nobody minds")
    assert.is_false((pcall(log.error, "%d", "not a number")))
  end)
end)
