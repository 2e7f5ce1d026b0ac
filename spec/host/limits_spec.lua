-- limits_spec.lua: a handler that takes all memory, or never comes back, costs itself and nothing else. Each test is a
-- process of its own with two nodes and an edge between them; "do" messages go to the bad handler, "count" messages to
-- a good one behind it. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local helper = require "spec.helper"

local HEAD = [[
local chaski = require "chaski"
local core = require "chaski.core"
io.stdout:setvbuf "line"
local sender = assert(chaski.node { name = "sender", paired = true })
local victim = assert(chaski.node { name = "victim", subscriptions = { "do", "count" }, paired = true })
local edge = assert(sender:connect(victim))
local counted, failures, lost = 0, {}, 0
victim:subscribe("count", function() counted = counted + 1 end)
victim:on("handler_error", function(err) failures[#failures + 1] = tostring(err) end)
for _, node in ipairs { sender, victim } do
  node:on("edge_closed", function() lost = lost + 1 end)
  node:on("edge_suspended", function() lost = lost + 1 end)
end
local function resident()
  for line in io.lines "/proc/self/status" do
    local kib = line:match "^VmRSS:%s+(%d+)"
    if kib then return tonumber(kib) end
  end
end
local function round(messages) -- one bad message, then so many good ones, all of which must come
  counted = 0
  assert(sender:publish("do", 0))
  for i = 1, messages do assert(sender:publish("count", i)) end
  while counted < messages do chaski.sleep(0.005) end
  assert(edge:ping { timeout = 5 })
end
local function finish()
  print(("failures %d errors %d lost %d edges %d"):format(#failures, core.errors(), lost, #victim.edges))
  sender:stop()
  victim:stop()
end
]]

teardown(helper.clean)

local function it_async(name, test, timeout)
  it(name, helper.async(test, timeout or 30))
end

local function run(body, args, options)
  local list = table.move(args or {}, 1, #(args or {}), 1, {})
  list[#list + 1] = helper.file(HEAD .. body)
  options = options or {}
  options.timeout = options.timeout or 25
  options.env = { CHASKI_GC = false } -- with a collector that never rests, filling memory takes minutes
  return helper.run(list, options)
end

local function assert_well(process, failures)
  assert.equal(0, process.code, process.err)
  assert.matches(("failures %d errors %d lost 0 edges 1\n"):format(failures, failures), process.out, 1, true)
end

describe("a handler that takes all memory", function()
  it_async("fails alone: the node handles the next 1000 messages, twenty times, and memory is where it was", function()
    local process = run(
      [[
        victim:subscribe("do", function()
          local list = {}
          while true do list[#list + 1] = { #list } end
        end)
        counted = 1
        round(1000)
        collectgarbage()
        local _, used = chaski.memory_limit()
        local before = resident()
        for _ = 1, 19 do round(1000) end
        collectgarbage()
        local limit, now = chaski.memory_limit()
        print(("figures: limit %d KiB, used %d KiB then and %d KiB now, resident %d KiB then and %d KiB now"):format(
          limit // 1024, used // 1024, now // 1024, before, resident()))
        assert(now < used + 512 * 1024, now)
        local tool = os.getenv "CHASKI_SANITIZE" or os.getenv "CHASKI_VALGRIND" -- they keep what is freed
        assert(tool or resident() < before + 32 * 1024, resident())
        for _, text in ipairs(failures) do assert(text == "not enough memory", text) end
        finish()
      ]],
      { "--memory-limit", "48M", "--handler-limit=0", "--handler-warn=0" },
      { timeout = 60 }
    )
    assert_well(process, 20)
    assert.matches("error handler of do: not enough memory", process.err, 1, true)
    print((process.out:match "figures: [^\n]*"))
  end, 60)

  it_async("as one string, too", function()
    local process = run([[
      victim:subscribe("do", function() return #("x"):rep(1 << 40) end)
      round(10)
      finish()
    ]])
    assert_well(process, 1)
  end)

  it_async("as a task, or as the main chunk, which ends the script", function()
    local hog = "local list = {} while true do list[#list + 1] = { #list } end "
    local process = run("chaski.spawn(function() chaski.sleep(0.01) " .. hog .. [[ end)
      while core.errors() == 0 do chaski.sleep(0.01) end
      assert(edge:ping { timeout = 5 })
      print(core.errors(), lost)
      finish()
    ]], { "--memory-limit=32M", "--handler-limit=0" })
    assert.equal(0, process.code, process.err)
    assert.matches("error task: not enough memory", process.err, 1, true)
    local main = run(hog, { "--memory-limit=32M" })
    assert.equal(1, main.code)
    assert.matches("chaski-lua: not enough memory", main.err, 1, true)
    local none = run("require 'chaski.host'.memory_limit(1) " .. hog, { "--handler-limit=0" })
    assert.equal(1, none.code)
    assert.matches("chaski-lua: not enough memory", none.err, 1, true)
  end)

  it_async("may have taken it when a coroutine is resumed that is dead", function()
    local process = run [[
      local dead, waits = coroutine.wrap(function() return coroutine.running() end)(), nil
      chaski.spawn(function()
        waits = coroutine.running()
        chaski.sleep(0.001)
      end)
      coroutine.close(waits)
      chaski.memory_limit(1)
      local ok, resumed = pcall(coroutine.resume, dead)
      chaski.sleep(0.05)
      chaski.memory_limit(0)
      print(ok and resumed)
      finish()
    ]]
    assert.equal(0, process.code, process.err)
    assert.matches("^false\n", process.out)
  end)

  it_async("has 256 MiB by default, which a script may change", function()
    local process = run [[
      print(chaski.memory_limit() >> 20)
      print(chaski.memory_limit(300 << 20) >> 20)
      print((chaski.memory_limit(0)))
      print(pcall(chaski.memory_limit, -1))
      finish()
    ]]
    assert.matches("^256\n300\n0\nfalse\t.*chaski.memory_limit: expected bytes", process.out)
  end)
end)

describe("memory that ends anywhere", function()
  -- The limit is so little above what is in use that this or that allocation on a message's way fails.
  it_async("costs messages and their handlers, and the process goes on", function()
    local process = run(
      [[
        core.on_error(nil)
        chaski.log.level "error"
        local came = 0
        victim:subscribe("do", function(message, from)
          came = came + (message.data.n > 0 and 1 or 0)
          local co = coroutine.wrap(function() coroutine.yield(tostring(from.name)) end)
          co()
          chaski.sleep(0)
        end)
        local sent, n = 0, 1
        local function publish() return sender:publish("do", { n = n, text = ("x"):rep(100) }) end
        local limit = require("chaski.host").memory_limit
        local function deep(n) return n > 0 and deep(n - 1) + 1 or 0 end
        for room = 0, 24 * 1024, 64 do
          collectgarbage "restart"
          collectgarbage()
          collectgarbage "stop" -- it would give back what this very function needs to lift the limit again
          deep(100)
          local _, used = limit()
          limit(used + room)
          n = room + 1
          local ok, published = pcall(publish)
          if ok and published then sent = sent + 1 end
          pcall(chaski.sleep, 0.002)
          limit(64 << 20)
        end
        collectgarbage "restart"
        local before = came
        for _ = 1, 100 do assert(sender:publish("do", { n = 1 })) end
        while came < before + 100 do chaski.sleep(0.005) end
        print(("figures: %d of 385 published with next to no memory, %d handled; errors %d"):format(sent, before,
          core.errors()))
        assert(before > 20 and before < 385 and core.errors() > 20)
        assert(lost == 0 and #victim.edges == 1)
        sender:stop()
        victim:stop()
      ]],
      nil,
      { timeout = 60 }
    )
    if process.code ~= 0 then print(process.out:sub(-1500), process.err:sub(-2500)) end
    assert.equal(0, process.code)
    print((process.out:match "figures: [^\n]*"))
  end, 60)

  it_async("never keeps a task waiting for one that has ended", function()
    local process = run [[
      core.on_error(nil)
      chaski.log.level "error"
      local limit = require("chaski.host").memory_limit
      local function spawn_and_join() return chaski.spawn(chaski.sleep, 0):join() end
      local joined, told = 0, 0
      for room = 0, 8 * 1024, 16 do
        collectgarbage()
        local _, used = limit()
        limit(used + room)
        local ok, result, why = pcall(spawn_and_join)
        limit(64 << 20)
        if ok and result then joined = joined + 1 end
        if not ok or why == "not enough memory" then told = told + 1 end
      end
      print(joined, told)
      assert(joined > 20 and told > 3 and joined + told == 513)
      sender:stop()
      victim:stop()
    ]]
    assert.equal(0, process.code, process.out .. process.err:sub(-2000))
  end)
end)

local function stops(name, body, pattern)
  it_async(name, function()
    local process = run(([[
      victim:subscribe("do", function() %s end)
      local begun = chaski.now()
      round(1000)
      print(("took %%.2f s"):format(chaski.now() - begun))
      print(failures[1])
      local limits = chaski.handler_limits()
      assert(limits.stopped >= 1 and limits.warned == 1, limits.stopped)
      finish()
    ]]):format(body))
    assert_well(process, 1)
    assert.matches("error handler of do: [^\n]*stopped: has run for 1%.%d s without waiting", process.err)
    assert.matches(pattern, process.err)
    assert.is_true(tonumber(process.out:match "took (%S+)") < 3 * helper.slowness, process.out)
  end)
end

describe("a handler that never comes back", function()
  stops(
    "is stopped by an error that names the line",
    "while true do end",
    "error handler of do: [^\n]*%.lua:%d+: stopped"
  )
  stops("is stopped though it catches errors", "while true do pcall(function() while true do end end) end", "stopped")
  stops(
    "is stopped though it makes coroutines",
    "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
    "stopped"
  )
  stops(
    "is stopped in a coroutine that was made before",
    "local co = coroutine.wrap(function() while true do pcall(string.rep, 'x', 9) end end) co()",
    "stopped"
  )
  stops("is stopped in a sort", "table.sort({ 1, 2, 3 }, function() while true do end end)", "'table.sort'")

  it_async("gets a moment to close what it holds", function()
    local process = run [[
      victim:subscribe("do", function()
        local _ <close> = setmetatable({}, { __close = function() print "closed" end })
        while true do end
      end)
      round(10)
      finish()
    ]]
    assert_well(process, 1)
    assert.matches("closed\n", process.out)
  end)

  it_async("is stopped, and the process lives, when a script had signals of its own", function()
    local process = run [[
      for _, name in ipairs { "sigvtalrm", "sigprof", "sigusr1", "sigusr2" } do
        local signal = require("luv").new_signal()
        signal:start(name, print)
        signal:close() -- from now on it has its default effect
      end
      victim:subscribe("do", function() while true do end end)
      round(10)
      finish()
    ]]
    assert_well(process, 1)
  end)

  it_async("is stopped as a listener, a command, a timer and a task as well", function()
    local process = run(
      [[
        local function loop() while true do end end
        victim:handle("spin", loop)
        assert(sender:write("spin", {}, { edge = edge }))
        local every = chaski.every(0.01, loop)
        while core.errors() < 2 do chaski.sleep(0.01) end
        every:remove()
        chaski.spawn(function() chaski.sleep(0.01) loop() end)
        local timer = require "luv".new_timer()
        timer:start(1, 0, function() timer:close() loop() end)
        while core.errors() < 4 do chaski.sleep(0.01) end
        assert(edge:ping { timeout = 5 })
        print(core.errors(), lost)
        sender:stop()
        victim:stop()
      ]],
      { "--handler-limit=0.2" }
    )
    assert.equal("4\t0\n", process.out, process.err)
    assert.matches("error luv callback: [^\n]*stopped", process.err)
    assert.matches("error handler of spin: [^\n]*stopped", process.err)
  end)
end)

describe("a slow handler", function()
  it_async("is told of once, with where it is, and goes on", function()
    local process = run(
      [[
        victim:subscribe("do", function()
          local begun = os.clock()
          while os.clock() - begun < 0.4 do end
          print "done"
        end)
        round(10)
        assert(chaski.handler_limits().warned == 1)
        finish()
      ]],
      { "--handler-limit=off" }
    )
    assert_well(process, 0)
    assert.matches("done\n", process.out)
    local _, told = process.err:gsub("warn handler of do: has run for 0%.%d+ s without waiting", "")
    assert.equal(1, told, process.err)
    assert.matches("stack traceback", process.err)
  end)

  it_async("that sleeps in the operating system is told of too", function()
    if os.getenv "CHASKI_VALGRIND" then return end -- to start a shell takes longer than a handler may
    local process = run [[
      victim:subscribe("do", function() os.execute "sleep 0.5" end)
      round(10)
      finish()
    ]]
    assert_well(process, 0)
    assert.matches("warn handler of do: has run for", process.err, 1, true)
    assert.matches("'os.execute'", process.err, 1, true)
  end)

  it_async("keeps the hook that it had", function()
    local process = run(
      [[
      victim:subscribe("do", function()
        local lines, begun = 0, os.clock()
        debug.sethook(function() lines = lines + 1 end, "l")
        while os.clock() - begun < 0.3 do end
        local before = lines
        for _ = 1, 10 do
          lines = lines
        end
        debug.sethook()
        print(lines > before)
      end)
      round(10)
      assert(chaski.handler_limits().warned == 1)
      finish()
    ]],
      { "--handler-limit=off" }
    )
    assert.matches("^true\n", process.out)
    assert_well(process, 0)
  end)

  it_async("has that time for each message, though many come at once", function()
    local process = run(
      [[
        local done = 0
        victim:subscribe("do", function()
          local begun = os.clock()
          while os.clock() - begun < 0.04 do end
          done = done + 1
        end)
        for i = 1, 25 do assert(sender:publish("do", i)) end
        round(10)
        print(done, chaski.handler_limits().warned)
        finish()
      ]],
      { "--handler-limit=0.5", "--handler-warn=0.4" }
    )
    assert.equal("", process.err)
    assert.matches("^26\t0\n", process.out)
    assert_well(process, 0)
  end)

  it_async("may wait as long as it likes: only what it computes at a stretch counts", function()
    local process = run(
      [[
        victim:subscribe("do", function()
          for _ = 1, 20 do
            local begun = os.clock()
            while os.clock() - begun < 0.04 do end
            chaski.sleep(0)
          end
          print "done"
        end)
        round(10)
        while core.counts().tasks > 1 do chaski.sleep(0.01) end
        finish()
      ]],
      { "--handler-limit=0.5", "--handler-warn=0.4" }
    )
    assert.equal("", process.err)
    assert.matches("done\n", process.out)
  end)
end)

describe("what is no handler", function()
  local busy = "local t = os.clock() while os.clock() - t < 0.6 do end "
  local args = { "--handler-limit=0.1", "--handler-warn=0.05" }

  it_async("runs as long as it likes: a main chunk, before and after it has waited, and what it calls", function()
    local process = run(
      busy
        .. "chaski.sleep(0.01) "
        .. busy
        .. "chaski.spawn(function() "
        .. busy
        .. "end):join() print 'through' finish()",
      args
    )
    assert.equal("", process.err)
    assert.matches("through\n", process.out)
  end)

  it_async("runs as long as it likes: a simulation", function()
    local process = run([[
      local sim <close> = chaski.sim { seed = 1 }
      sim:run(function()
        local a, b = chaski.node { name = "a" }, chaski.node { name = "b", subscriptions = "t", paired = true }
        b:subscribe("t", function() ]] .. busy .. [[ print "through" end)
        assert(a:connect(b))
        assert(a:publish("t", 1))
        chaski.sleep(1)
      end)
      finish()
    ]], args)
    assert.equal("", process.err)
    assert.matches("through\n", process.out)
  end)

  it_async("runs as long as it likes: a line of the dialogue", function()
    local lines = busy .. "\nrequire 'chaski'.sleep(0.01) " .. busy .. "\nprint 'through'\n"
    local process = helper.run({ "-i", args[1], args[2] }, { stdin = lines, timeout = 20 })
    assert.equal("", process.err)
    assert.matches("through\n", process.out)
  end)
end)

describe("a C function that cannot be interrupted", function()
  local endless = [[
    victim:subscribe("do", function()
      return string.find(("a"):rep(400), ("a-"):rep(4) .. "b")
    end)
    round(1)
  ]]

  it_async("ends the process with code 70 and says where, if that is asked for", function()
    local process = run(endless, { "--handler-abort=0.5" })
    assert.equal(70, process.code, process.err)
    assert.matches("chaski-lua: handler of do: runs in a function that cannot be interrupted", process.err, 1, true)
    assert.matches("\n\t[^\n]*%.lua:%d+\n", process.err)
  end)
end)

describe("the options", function()
  it_async("know sizes and seconds", function()
    local sizes =
      { ["4000000"] = 4000000, ["4096K"] = 4 << 20, ["1.5GiB"] = 3 << 29, ["64MB"] = 64 << 20, off = 0, ["0"] = 0 }
    for text, bytes in pairs(sizes) do
      local process = helper.run { "--memory-limit", text, "-e", "print((require'chaski'.memory_limit()))" }
      assert.equal(bytes .. "\n", process.out, text)
    end
    local code = "local l = require'chaski'.handler_limits { warn = 2 } print(l.warn, l.limit, l.abort)"
    assert.equal("2.0\t3.5\t10.0\n", helper.run({ "--handler-limit=3.5", "--handler-abort", "10", "-e", code }).out)
    assert.equal("2.0\t1.0\t0.0\n", helper.run({ "-e", code }).out)
  end)

  it_async("are refused when wrong", function()
    local wrong = {
      ["--memory-limit=lots"] = "'lots' is no size",
      ["--memory-limit=-1"] = "'-1' is no size",
      ["--memory-limit"] = "'--memory-limit' needs argument",
      ["--handler-warn=x"] = "'x' is no number of seconds",
      ["--handler-limit=-1"] = "'-1' is no number of seconds",
      ["--handler-abort=nan"] = "'nan' is no number of seconds",
    }
    for option, message in pairs(wrong) do
      local process = helper.run { option }
      assert.equal(1, process.code)
      assert.matches("chaski-lua: " .. message, process.err, 1, true)
    end
  end)

  it_async("come from the environment unless that is ignored", function()
    local code = "local c = require'chaski' print(c.memory_limit() >> 20, c.handler_limits().limit)"
    local env = { CHASKI_MEMORY_LIMIT = "100M", CHASKI_HANDLER_LIMIT = "7" }
    assert.equal("100\t7.0\n", helper.run({ "-e", code }, { env = env }).out)
    assert.equal("256\t1.0\n", helper.run({ "-e", code, "-E" }, { env = env }).out)
    assert.equal("100\t3.0\n", helper.run({ "--handler-limit=3", "-e", code }, { env = env }).out)
    local wrong = helper.run({ "-e", code }, { env = { CHASKI_HANDLER_LIMIT = "soon" } })
    assert.equal("256\t1.0\n", wrong.out)
    assert.matches("CHASKI_HANDLER_LIMIT: 'soon' is no number of seconds", wrong.err, 1, true)
  end)

  it("are not there in a stock lua5.4, which is said", function()
    for _, fn in ipairs { chaski.memory_limit, chaski.handler_limits } do
      local ok, err = fn()
      assert.is_nil(ok)
      assert.equal("not_available", err.code)
    end
    assert.has_error(function()
      chaski.handler_limits { wran = 1 }
    end)
  end)
end)
