-- The program chaski-lua: lua(1)'s command line, the loop that runs on, signals, exit codes.
-- SPDX-License-Identifier: MIT
local helper = require "spec.helper"
local uv = require "luv"

local function it_async(name, test, timeout)
  it(name, helper.async(test, timeout))
end

-- Runs `code` as a script file.
local function run_script(code, args, options)
  local list = { helper.file(code) }
  table.move(args or {}, 1, #(args or {}), 2, list)
  return helper.run(list, options)
end

local function assert_ran(process, out)
  assert.equal("", process.err)
  assert.equal(out, process.out)
  assert.equal(0, process.code)
  assert.equal(0, process.signal)
end

teardown(helper.clean)

describe("options", function()
  it_async("-e runs statements in their order", function()
    assert_ran(helper.run { "-e", "x = 1", "-ex = x + 1", "-e", "print(x)" }, "2\n")
  end)

  it_async("-l requires into a global, with a name of one's own too", function()
    local file = helper.file("return { name = ... }", "mod.lua")
    local env = { LUA_PATH = file:gsub("mod", "?") }
    assert_ran(helper.run({ "-l", "mod", "-lm=mod", "-e", "print(mod.name, m == mod)" }, { env = env }), "mod\ttrue\n")
  end)

  it_async("-v and --version tell the version", function()
    for _, option in ipairs { "-v", "--version" } do
      local process = helper.run { option }
      assert.matches("^chaski%-lua %d+%.%d+%.%d+  Lua 5%.4", process.out)
      assert.equal(0, process.code)
    end
    assert.matches("Lua 5%.4.*\n7\n$", helper.run({ "-v", "-e", "print(7)" }).out)
  end)

  it_async("--help tells the usage", function()
    local process = helper.run { "--help" }
    assert.matches("^usage: chaski%-lua %[options%] %[script %[args%]%]", process.out)
    assert.equal(0, process.code)
  end)

  it_async("-W turns warnings on", function()
    assert.equal("", helper.run({ "-e", "warn 'w'" }).err)
    assert.equal("Lua warning: w\n", helper.run({ "-W", "-e", "warn 'w'" }).err)
  end)

  it_async("-E ignores the environment", function()
    local env = { LUA_INIT = "print 'init'", LUA_PATH = "/nowhere/?.lua" }
    local process = helper.run({ "-E", "-e", "print((package.path:find('nowhere')))" }, { env = env })
    assert_ran(process, "nil\n")
  end)

  it_async("-- ends the options", function()
    assert_ran(helper.run { "--", helper.file "print(...)", "-e", "x" }, "-e\tx\n")
  end)

  it_async("- runs standard input", function()
    assert_ran(helper.run({ "-", "a" }, { stdin = "print(arg[0], ...)" }), "-\ta\n")
  end)

  it_async("none: standard input is run when it is no terminal", function()
    assert_ran(helper.run({}, { stdin = "print('in', arg[0] == arg[-1], ...)" }), "in\tfalse\n")
  end)

  it_async("that are wrong get the usage on standard error and exit code 1", function()
    local wrong = {
      ["-x"] = "'-x' is an unrecognized option",
      ["-ve"] = "'-ve' is an unrecognized option",
      ["-e"] = "'-e' needs argument",
      ["-l"] = "'-l' needs argument",
      ["--nonsense"] = "'--nonsense' is an unrecognized option",
      ["--log-level"] = "'--log-level' needs argument",
      ["--log-level=loud"] = "'loud' is no log level",
    }
    for option, message in pairs(wrong) do
      local process = helper.run { option }
      assert.equal("chaski-lua: " .. message, process.err:match "[^\n]*")
      assert.matches("usage: chaski-lua", process.err, 1, true)
      assert.equal("", process.out)
      assert.equal(1, process.code)
    end
  end)

  it_async("--log-level and CHASKI_LOG say what is logged", function()
    local code = "require('chaski.core').log('info', 'me', 'hello')"
    assert.equal("", helper.run({ "-e", code }).err)
    local pattern = "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%d info me: hello\n$"
    assert.matches(pattern, helper.run({ "--log-level", "info", "-e", code }).err)
    assert.matches(pattern, helper.run({ "--log-level=trace", "-e", code }).err)
    assert.matches(pattern, helper.run({ "-e", code }, { env = { CHASKI_LOG = "info" } }).err)
    assert.equal("", helper.run({ "--log-level=error", "-e", code }, { env = { CHASKI_LOG = "info" } }).err)
    assert.matches("unknown level", helper.run({ "-e", "" }, { env = { CHASKI_LOG = "loud" } }).err)
  end)
end)

describe("LUA_INIT", function()
  it_async("runs first, as a statement or from a file, and may wait", function()
    local code = "require('chaski.core').sleep(0); init = 'waited'"
    for _, value in ipairs { code, "@" .. helper.file(code) } do
      assert_ran(helper.run({ "-e", "print(init)" }, { env = { LUA_INIT = value } }), "waited\n")
    end
  end)

  it_async("gives way to LUA_INIT_5_4", function()
    local env = { LUA_INIT = "print 'no'", LUA_INIT_5_4 = "print 'yes'" }
    assert_ran(helper.run({ "-e", "" }, { env = env }), "yes\n")
  end)

  it_async("that fails is fatal", function()
    local process = helper.run({ "-e", "print 'not reached'" }, { env = { LUA_INIT = "error 'x'" } })
    assert.matches("^chaski%-lua: LUA_INIT:1: x\n", process.err)
    assert.equal("", process.out)
    assert.equal(1, process.code)
  end)
end)

describe("the script", function()
  it_async("gets its arguments as ... and in arg", function()
    assert_ran(run_script("print(select('#', ...), ...)", { "a", "b" }), "2\ta\tb\n")
    local process = run_script("for i = -3, 3 do io.write(tostring(arg[i]):match('[^/]*$'), ' ') end", { "a", "b" })
    assert.matches("^nil nil chaski%-lua %d+%.lua a b nil $", process.out)
    local file = helper.file "print(arg[-2], arg[-1])"
    assert_ran(helper.run { "-e", "y = 1", file }, "-e\ty = 1\n")
  end)

  it_async("may begin with a line for the shell", function()
    assert_ran(run_script "#!/usr/bin/env chaski-lua\nprint(1)", "1\n")
  end)

  it_async("is source text, never a binary chunk", function()
    local process = run_script(string.dump(function() end))
    assert.matches("is a binary chunk; only source text is run", process.err, 1, true)
    assert.equal(1, process.code)
  end)

  it_async("that is not there, or not Lua, is an error without a traceback", function()
    local process = helper.run { "/nowhere/at-all.lua" }
    assert.matches("^chaski%-lua: cannot open /nowhere/at%-all.lua[^\n]*\n$", process.err)
    assert.equal(1, process.code)
    process = run_script "x x"
    assert.matches("^chaski%-lua: [^\n]*%.lua:1: syntax error near 'x'\n$", process.err)
    assert.equal(1, process.code)
  end)

  it_async("that fails prints one traceback and ends with 1", function()
    local process = run_script "local function f() error 'boom' end\nf()"
    assert.matches("^chaski%-lua: [^\n]*%.lua:1: boom\nstack traceback:\n.*%.lua:2: in main chunk", process.err)
    assert.equal(1, select(2, process.err:gsub("stack traceback", "")))
    assert.equal(1, process.code)
  end)

  it_async("that makes a mistake with the module is told where, and not of the functions that noticed", function()
    local mistake = "require('chaski').node { port = -1 }"
    local own = ": chaski%.node: option 'port': [^\n]*\nstack traceback:\n\t[^\n]*"
    assert.matches(
      "^chaski%-lua: [^\n]*%.lua:1" .. own .. "%.lua:1: in main chunk\n",
      run_script(mistake .. " a = 1").err
    )
    local task = run_script(("require('chaski').spawn(function()\n%s\nreturn end)"):format(mistake)).err
    assert.matches("error task: [^\n]*%.lua:2: chaski%.node: option 'port'", task)
    assert.not_matches("options%.lua", task)
  end)

  it_async("that fails after it has waited does the same", function()
    local process = run_script "require('chaski.core').sleep(0)\nerror 'late'"
    assert.matches("^chaski%-lua: [^\n]*%.lua:2: late\nstack traceback:\n", process.err)
    assert.equal(1, process.code)
  end)

  it_async("that fails ends at once, whatever is active, before and after it has waited", function()
    for _, wait in ipairs { "", "require('chaski.core').sleep(0)" } do
      local process = run_script("require('luv').new_timer():start(60000, 0, print) " .. wait .. " error 'x'")
      assert.matches("^chaski%-lua: [^\n]*%.lua:1: x\nstack traceback:[^:]*", process.err)
      assert.equal(1, process.code)
    end
  end)

  it_async("may end everything by uv.stop", function()
    local code = "local uv = require 'luv' uv.new_timer():start(1, 0, uv.stop) require('chaski.core').sleep(60)"
    assert_ran(run_script(code), "")
  end)

  it_async("may fail with an object, which is printed by its __tostring", function()
    local process = run_script "error(setmetatable({}, { __tostring = function() return 'an object' end }))"
    assert.matches("^chaski%-lua: an object\n", process.err)
    process = run_script "error {}"
    assert.matches("^chaski%-lua: %(error object is a table value%)\n", process.err)
    assert.equal(1, process.code)
  end)

  it_async("runs on as a task while it waits, and others with it", function()
    local process = run_script [[
      local core = require "chaski.core"
      core.spawn(function() core.sleep(0.01) print "task" end)
      require("luv").new_timer():start(5, 0, function() print "timer" end)
      core.sleep(0.002)
      print "main"]]
    local lines = {} -- how long a millisecond takes on a busy machine nobody knows
    for line in process.out:gmatch "%a+" do
      lines[#lines + 1] = line
    end
    table.sort(lines)
    assert.same({ "main", "task", "timer" }, lines)
    assert.equal(0, process.code)
  end)

  it_async("that waits for what can never happen is told so", function()
    local process = run_script "require('chaski.core').park()"
    assert.matches("waits for something that can never happen", process.err, 1, true)
    assert.matches("%.lua:1: in main chunk", process.err)
    assert.equal(1, process.code)
  end)

  it_async("is warned of other tasks that do", function()
    local process = run_script "local c = require('chaski.core') c.spawn(c.park)"
    assert.matches("warn .*tasks are left that wait", process.err)
    assert.equal(0, process.code)
  end)

  it_async("survives errors in callbacks and tasks, which are logged", function()
    local process = run_script [[
      local core, timer = require "chaski.core", require("luv").new_timer()
      timer:start(1, 0, function() error "in a callback" end)
      core.spawn(function() error "in a task" end)
      core.sleep(0.01)
      print(core.errors())]]
    assert.equal("2\n", process.out)
    assert.matches("error luv callback: .*in a callback", process.err)
    assert.matches("error task: .*in a task", process.err)
    assert.equal(0, process.code)
  end)

  it_async("gets an error for uv.run: the host runs the loop", function()
    local process = run_script "print(select(2, pcall(require('luv').run)))"
    assert_ran(process, "uv.run is not available: the loop runs already (chaski runs it)\n")
  end)
end)

describe("os.exit", function()
  it_async("ends with the code it is given", function()
    assert.equal(7, run_script("os.exit(7)").code)
    assert.equal(0, run_script("os.exit(true)").code)
    assert.equal(1, run_script("os.exit(false)").code)
  end)

  it_async("may close the state, from inside a task, with others waiting and handles open", function()
    local process = run_script [[
      local core, uv = require "chaski.core", require "luv"
      uv.new_timer():start(60000, 0, print)
      core.spawn(core.sleep, 60)
      setmetatable({}, { __gc = function() print "closed" end })
      core.sleep(0.001)
      os.exit(3, true)]]
    assert.equal("closed\n", process.out)
    assert.equal("", process.err)
    assert.equal(3, process.code)
  end)
end)

describe("require", function()
  local function with_module(code, name)
    local file = helper.file(code, name .. ".lua")
    return { env = { LUA_PATH = (file:gsub(name, "?")) .. ";;" } }
  end

  it_async("lets a module's main chunk wait", function()
    local code = "require('chaski.core').sleep(0.001) return { name = ..., file = select(2, ...) }"
    local options = with_module(code, "waits")
    local process = run_script(
      [[
      local module, file = require "waits"
      print(module.name, module.file == file, require "waits" == module, package.loaded.waits == module)]],
      {},
      options
    )
    assert_ran(process, "waits\ttrue\ttrue\ttrue\n")
  end)

  it_async("gives true, false and values set in package.loaded as the stock one", function()
    local options = with_module("package.loaded[...] = 5", "sets")
    assert_ran(run_script("print((require 'sets'))", {}, options), "5\n")
    options = with_module("", "empty")
    assert_ran(run_script("print((require 'empty'), package.loaded.empty)", {}, options), "true\ttrue\n")
    options = with_module("return false", "no")
    assert_ran(run_script("print((require 'no'), package.loaded.no)", {}, options), "false\tfalse\n")
  end)

  it_async("names all places it has looked at", function()
    local process = run_script "print(select(2, pcall(require, 'no.such.module')))"
    local start = "module 'no.such.module' not found:\n\tno field package.preload['no.such.module']\n\tno file"
    assert.matches(start, process.out, 1, true)
  end)

  it_async("tells a loop and a module that fails, which may be tried again", function()
    local options = with_module("require 'loop'", "loop")
    local process = run_script("print(select(2, pcall(require, 'loop')))", {}, options)
    assert.matches("module 'loop' is still being loaded", process.out, 1, true)
    local code = "count = (count or 0) + 1; require('chaski.core').sleep(0); if count == 1 then error 'first' end"
    options = with_module(code, "again")
    process = run_script("print((pcall(require, 'again')), (pcall(require, 'again')))", {}, options)
    assert_ran(process, "false\ttrue\n")
  end)

  it_async("finds chaski.core and luv without any path", function()
    local code = "print(type(require 'chaski.core'), type(require 'luv'))"
    assert_ran(run_script(code, {}, { env = { LUA_PATH = "x", LUA_CPATH = "x" } }), "table\ttable\n")
  end)
end)

describe("signals", function()
  local forever = "io.stdout:setvbuf 'no' local core = require 'chaski.core' "

  for _, name in ipairs { "sigint", "sigterm" } do
    it_async(name .. " ends a waiting script in good order with 0", function()
      local process = helper.start { "-e", forever .. "print 'ready' core.sleep(60)" }
      process:expect "ready"
      process:kill(name)
      process:wait()
      assert.equal("", process.err)
      assert.equal(0, process.code)
      assert.equal(0, process.signal)
    end)
  end

  it_async("run the shutdown hook as a task that may wait", function()
    local hook = "core.on_shutdown(function() core.sleep(0.01) print 'in order' end) "
    local process = helper.start { "-e", forever .. hook .. "print 'ready' core.sleep(60)" }
    process:expect "ready"
    process:kill "sigterm"
    assert.equal("ready\nin order\n", process:wait().out)
    assert.equal(0, process.code)
  end)

  it_async("a second one ends at once with 128 + its number", function()
    local hook = "core.on_shutdown(function() print 'stopping' core.sleep(60) end) "
    local code = forever .. hook .. "print 'ready' core.sleep(60)"
    for signal, status in pairs { sigint = 130, sigterm = 143 } do
      local process = helper.start { "-e", code }
      process:expect "ready"
      process:kill(signal)
      process:expect "stopping"
      process:kill(signal)
      assert.equal(status, process:wait().code)
    end
  end)

  it_async("a second one ends a script that never lets the loop turn", function()
    local process = helper.start { "-e", forever .. "print 'ready' while true do end" }
    process:expect "ready"
    process:kill "sigint"
    uv.sleep(20) -- the first one has no effect that could be seen
    process:kill "sigint"
    assert.equal(130, process:wait().code)
  end)

  it_async(
    "one interrupts a script that does not get back to the loop, whose nodes then leave in good order",
    function()
      local code = forever
        .. "local chaski = require 'chaski' local node = assert(chaski.node { name = 'busy' }) "
        .. "node:on('stopped', function() print 'in good order' end) print 'ready' "
      local endless = { "while true do pcall(string.rep, 'x', 3) end", "print(pcall(io.read)) while true do end" }
      for _, each in ipairs(endless) do
        local process = helper.start({ "-e", code .. each }, { timeout = 10, open = true })
        process:expect "ready"
        process:kill "sigterm"
        assert.equal(143, process:wait().code)
        assert.matches("interrupted!", process.err, 1, true)
        assert.matches("stack traceback", process.err, 1, true)
        assert.matches("in good order", process.out, 1, true)
      end
    end,
    20
  )

  it_async("what a call says of a node that was stopped by one is no error of the script", function()
    local code = forever
      .. "local chaski = require 'chaski' local node = assert(chaski.node { name = 'a' }) "
      .. "local mute = require('luv').new_tcp() mute:bind('127.0.0.1', 0) mute:listen(1, function() print 'ready' end) "
      .. "assert(node:connect('127.0.0.1:' .. mute:getsockname().port))"
    local process = helper.start { "-e", code }
    process:expect "ready"
    process:kill "sigint"
    assert.equal("", process:wait().err)
    assert.equal(0, process.code)
  end)

  it_async("the script's own handler of a signal comes before ours", function()
    local code = "local s = require('luv').new_signal() s:start('sigterm', function() print 'mine' s:close() end) "
    local process = helper.start { "-e", forever .. code .. "print 'ready'" }
    process:expect "ready"
    process:kill "sigterm"
    assert.equal("ready\nmine\n", process:wait().out)
    assert.equal(0, process.code)
  end)

  if os.getenv "CHASKI_FULL" then
    it_async("a shutdown that takes too long is cut short with 128 + the signal's number", function()
      local code = forever .. "core.on_shutdown(function() core.sleep(60) end) print 'ready' core.sleep(60)"
      local process = helper.start({ "-e", code }, { timeout = 10 })
      process:expect "ready"
      process:kill "sigterm"
      assert.equal(143, process:wait().code)
    end, 15)
  end
end)

describe("a root", function()
  it_async("that finds the ports of roots in use says so", function()
    local process = run_script [[
      local chaski = require "chaski"
      local sim <close> = chaski.sim { seed = 1 }
      sim:run(function()
        for i = 1, 7 do
          local root = assert(chaski.node { name = "root" .. i, ip = "10.9.9.9", root = true })
          print(root.port >= 8511 and root.port <= 8516)
        end
      end)]]
    assert.equal(("true\n"):rep(6) .. "false\n", process.out)
    assert.matches("warn root7: the ports of roots, 8511 to 8516, are all in use", process.err, 1, true)
    assert.equal(1, select(2, process.err:gsub("\n", "")))
    assert.equal(0, process.code)
  end)
end)

describe("the process", function()
  it_async("may open as many files as the hard limit allows", function()
    local code = "ulimit -S -n 64; exec \"$0\" -e 'os.execute[[ulimit -S -n]]'"
    local process = helper.run({ "-c", code, helper.program }, { program = "/bin/sh" })
    local hard = helper.run({ "-c", "ulimit -H -n" }, { program = "/bin/sh" })
    assert.equal(hard.out, process.out)
  end)

  it_async("survives a reader that has gone", function()
    local code = "io.stdout:setvbuf 'no' for _ = 1, 1000 do io.write(('x'):rep(1000)) end io.stderr:write 'alive'"
    local process = helper.run({ "-c", '"$0" -e "$1" | true', helper.program, code }, { program = "/bin/sh" })
    assert.equal("alive", process.err)
  end)

  it_async("comes down clean with handles open and requests under way", function()
    local process = run_script [[
      local uv, core = require "luv", require "chaski.core"
      uv.new_tcp():bind("127.0.0.1", 0)
      uv.new_timer():start(60000, 0, print)
      uv.fs_stat(".", function() end)
      core.spawn(core.sleep, 60)
      core.sleep(0)
      error "end"]]
    assert.equal(1, process.code)
    assert.is_nil(process.err:find("did not close", 1, true))
  end)
end)

describe("a stock lua5.4", function()
  local lua = { program = "lua5.4" }

  it_async("closes its state clean with tasks waiting, a node running and handles of luv due", function()
    local process = run_script(
      [[
      local uv, chaski = require "luv", require "chaski"
      print(pcall(chaski.run, function()
        local node = assert(chaski.node { name = "left" })
        uv.new_timer():start(0, 1, function() end)
        chaski.spawn(node.connect, node, "127.0.0.1:1", { timeout = 60 })
        chaski.spawn(chaski.sleep, 60)
        chaski.sleep(0)
        error("end", 0)
      end))]],
      {},
      lua
    )
    assert_ran(process, "false\tend\n")
  end)

  it_async("may load us first in a coroutine, and luv's callbacks still run on the main thread", function()
    local process = run_script(
      [[
      local co = coroutine.create(function()
        local core, uv = require "chaski.core", require "luv"
        local me = coroutine.running()
        uv.new_timer():start(1, 0, function() coroutine.resume(me) end)
        coroutine.yield()
        print "resumed"
      end)
      assert(coroutine.resume(co))
      collectgarbage()
      require("luv").run "once"]],
      {},
      lua
    )
    assert_ran(process, "resumed\n")
  end)

  local node_and_wait = [[
    io.stdout:setvbuf "no"
    local chaski = require "chaski"
    local function main()
      local node = assert(chaski.node { name = "n" })
      node:on("stopped", function() print "in good order" end)
      chaski.every(0.001, function() end)
      print "ready"
      %s
      return "returned"
    end
    print(pcall(chaski.run, main))]]

  it_async("stops the nodes in good order at the first Ctrl-C, and run raises or returns", function()
    local cases = {
      ["chaski.sleep(60)"] = "ready\nin good order\nfalse\tinterrupted!\n",
      ["assert(node:connect '127.0.0.1:1' or chaski.sleep(60))"] = "ready\nin good order\nfalse\tinterrupted!\n",
      ["for _ in node:messages 't' do end"] = "ready\nin good order\ntrue\treturned\n",
      [""] = "ready\nin good order\ntrue\treturned\n",
    }
    for body, expected in pairs(cases) do
      local process = helper.start({ helper.file(node_and_wait:format(body)) }, lua)
      process:expect "ready"
      process:kill "sigint"
      assert_ran(process:wait(), expected)
    end
  end)

  it_async("is ended by a second Ctrl-C, and has its own handler again after run", function()
    local code = "require('chaski.core').on_shutdown(function() print 'stopping' chaski.sleep(60) end) chaski.sleep(60)"
    local process = helper.start({ helper.file(node_and_wait:format(code)) }, lua)
    process:expect "ready"
    process:kill "sigint"
    process:expect "stopping"
    process:kill "sigint"
    assert.equal(2, process:wait().signal)
    code = "io.stdout:setvbuf 'no' require('chaski').run(print, 'run') print 'ready' while true do end"
    process = helper.start({ "-e", code }, lua)
    process:expect "ready"
    process:kill "sigint"
    assert.matches("interrupted!", process:wait().err, 1, true)
    assert.equal(1, process.code)
  end)

  it_async("runs the script of a chaski-lua, and the other way round", function()
    local code = "local chaski = require 'chaski' print(chaski.run(function(a) chaski.sleep(0) return a end, 'x'))"
    assert_ran(run_script(code, {}, lua), "x\n")
    assert_ran(run_script(code), "x\n")
  end)

  it_async("keeps luv's own runner outside of run", function()
    local code = [[
      local core, uv = require "chaski.core", require "luv"
      core.run(function() uv.new_timer():start(1, 0, function() error "logged" end) end)
      local timer = uv.new_timer()
      timer:start(1, 0, function() error "fatal" end)
      uv.run()
      print "not reached"]]
    local process = run_script(code, {}, lua)
    assert.matches("error luv callback: .*logged", process.err)
    assert.matches("Uncaught Error: .*fatal", process.err)
    assert.equal("", process.out)
    assert.equal(255, process.code)
  end)
end)
