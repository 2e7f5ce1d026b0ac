-- chaski-lua --reload and --watch: handlers are swapped between two messages, nodes and edges stay, and what fails
-- leaves the old script at work. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local helper = require "spec.helper"

local function it_async(name, test)
  it(name, helper.async(helper.ending(test), os.getenv "CHASKI_FULL" and 120 or 15))
end

teardown(helper.clean)

local prelude = 'io.stdout:setvbuf "line" local chaski = require "chaski" '

--- A program that runs the code; replace(code) writes its file anew.
local function start(option, code)
  local name = ("reload%d.lua"):format(#(helper.files or {}) + 1)
  local file = helper.file(prelude .. code, name)
  local process = helper.start({ option, file, "argument" }, { timeout = 20 })
  return process, function(new)
    helper.file(prelude .. new, name)
  end
end

--- The same, told by SIGHUP; waits for what it says.
local function start_reloadable(code)
  local process, write = start("--reload", code)
  process:expect "ready\n"
  local seen = 0
  return process,
    function(new, expected)
      write(new)
      process:kill "sighup"
      process:until_(function()
        return process.err:find(expected, seen + 1, true)
      end, ("no '%s'"):format(expected))
      seen = select(2, process.err:find(expected, seen + 1, true))
    end
end

local function address_of(process)
  return process.out:match "at (%S+)\n"
end

local listener = [[
  local n = assert(chaski.node { name = "n" %s })
  n:subscribe("x", function(m) print("%s", m.data) end)
  n:serve("version", function() return "%s" end)
  if not told then told = true print("at " .. n.address) end
  print "ready"
]]

local function version(name, more)
  return listener:format(more or "", name, name)
end

-- Each reload waits for what is said of it; the long run is that of scripts/test --full.
local RELOADS, EACH_BROKEN = 10, 5
if os.getenv "CHASKI_FULL" then
  RELOADS, EACH_BROKEN = 100, 10
end
local RATE = 10500 // helper.slowness ^ 2 -- messages a second
local AT_ONCE = 100 -- of these at most: a machine that cannot keep up is not drowned

--- Publish numbers at this rate until the function that is returned is called: how many, and how many a second.
local function start_load(node)
  local sent, done, started = 0, false, chaski.now()
  local task = chaski.spawn(function()
    repeat
      local due = (chaski.now() - started) * RATE - sent
      for _ = 1, math.min(due, AT_ONCE) do
        sent = sent + 1
        assert(node:publish("x", sent))
      end
      chaski.sleep(0.001)
    until done
    return sent / (chaski.now() - started)
  end)
  return function()
    done = true
    local _, rate = assert(task:join())
    return sent, rate
  end
end

describe("SIGHUP", function()
  it_async("swaps handlers and served functions; the node, its edges and globals stay", function()
    local process, reload = start_reloadable(version "one")
    local client <close> = assert(chaski.node { name = "client" })
    local closed = 0
    client:on("edge_closed", function()
      closed = closed + 1
    end)
    assert(client:connect(address_of(process)))
    assert(client:publish("x", 1))
    process:expect "one\t1\n"
    reload(version "two", "reloaded")
    assert(client:publish("x", 2))
    process:expect "two\t2\n"
    assert.equal("two", client:request "version")
    assert.is_nil(process.out:find("one\t2", 1, true))
    assert.equal(0, closed)
    assert.equal(1, select(2, process.out:gsub("at 127", "")))
  end)

  it_async("loses and doubles no message under load, however often, with broken scripts in between", function()
    local process, reload = start_reloadable(version "v0")
    local client <close> = assert(chaski.node { name = "client" })
    local changes = 0 -- of the connection
    for _, event in ipairs { "edge_suspended", "edge_resumed", "edge_closed" } do
      client:on(event, function()
        changes = changes + 1
      end)
    end
    assert(client:connect(address_of(process)))
    local load = start_load(client)
    for i = 1, RELOADS do
      if i % EACH_BROKEN == 0 then
        reload("error 'broken'", "not reloaded")
      else
        reload(version("v" .. i), "reloaded\n")
      end
    end
    local sent, rate = load()
    process:expect(("\t%d\n"):format(sent))
    local count, versions = 0, {}
    for name, number in process.out:gmatch "(v%d+)\t(%d+)\n" do
      count = count + 1
      assert.equal(count, tonumber(number)) -- none lost, none twice, in order
      versions[name] = true
    end
    local told = select(2, process.err:gsub("not reloaded: ", ""))
    local report = "reload: %d times, %d messages at %.0f/s: %d lost or doubled, %d reconnects, %d rollbacks told"
    print(report:format(RELOADS, sent, rate, sent - count, changes, told))
    assert.same({ sent, 0, RELOADS // EACH_BROKEN }, { count, changes, told })
    assert.is_true(versions.v0 and versions["v" .. RELOADS - 1])
    assert.is_nil(versions["v" .. EACH_BROKEN])
  end)

  it_async("removes what the new script has not: handlers, nodes, timers, tasks", function()
    local process, reload = start_reloadable [[
      local a, b = assert(chaski.node { name = "a" }), assert(chaski.node { name = "b", subscriptions = "gone" })
      b:on("stopped", function() print "b stopped" end)
      a:serve("gone", function() return 1 end)
      ticks = 0
      chaski.every(0.005, function() ticks = ticks + 1 end)
      task = chaski.spawn(function() while true do chaski.sleep(1) end end)
      print("at " .. a.address)
      print "ready"]]
    local client <close> = assert(chaski.node { name = "client" })
    assert(client:connect(address_of(process)))
    assert.equal(1, client:request "gone")
    reload(
      [[local a = assert(chaski.node { name = "a" })
      local before = ticks
      a:serve("ticks", function() return { ticks - before, task.status } end)]],
      "reloaded"
    )
    assert.equal("unknown_callback", select(2, client:request "gone").code)
    process:expect "b stopped"
    helper.eventually(function()
      return client:request("ticks")[2] == "over"
    end)
    local ticks = client:request("ticks")[1]
    chaski.sleep(0.02)
    assert.equal(ticks, client:request("ticks")[1])
  end)

  it_async("does not dial again what is connected, and follows subscriptions", function()
    local server <close> = assert(chaski.node { name = "server" })
    local opened = 0
    server:on("edge_open", function()
      opened = opened + 1
    end)
    local code = [[
      local n = assert(chaski.node { name = "n", subscriptions = %s })
      assert(n:connect "%s")
      print "ready"]]
    local process, reload = start_reloadable(code:format('{ "a", "b" }', server.address))
    reload(code:format('{ "b", "c" }', server.address), "reloaded")
    helper.eventually(function()
      return table.concat(server.edges[1].subscriptions, " ") == "b c"
    end)
    assert.equal(1, opened)
    assert.equal(2, select(2, process.out:gsub("ready", "")))
  end)

  it_async("tells what waits for the next start, and what is wrong", function()
    local process, reload = start_reloadable(version "one")
    local client <close> = assert(chaski.node { name = "client" })
    assert(client:connect(address_of(process)))
    reload(version("two", ", ttl = 7"), "node n: option 'ttl' takes effect at the next start")
    reload(version("wrong", ", ttl = 65"), "option 'ttl': expected integer 1..64, got integer 65")
    reload("x x", "not reloaded: ")
    assert.equal("two", client:request "version")
    reload(version "three" .. " chaski.node { name = 'n' }:subscribe(7)", "node:subscribe: expected a topic")
    assert.equal("two", client:request "version")
    reload(version "four" .. " chaski.sleep(0.001) error 'late'", "the old one is back: ")
    assert.equal("two", client:request "version")
    assert.matches("reload%d+%.lua:%d+: node:subscribe", process.err)
  end)

  it_async("gives required modules anew, and the old ones back", function()
    local module = helper.file("return { version = 1 }", "required.lua")
    local path = ("package.path = %q "):format((module:gsub("required", "?")))
    local code = path
      .. "local n = chaski.node { name = 'n' } n:serve('v', function() return require('required').version end) "
    local process, reload = start_reloadable(code .. "print('at ' .. n.address) require 'required' print 'ready'")
    local client <close> = assert(chaski.node { name = "client" })
    assert(client:connect(address_of(process)))
    assert.equal(1, client:request "v")
    helper.file("return { version = 2 }", "required.lua")
    reload(code .. "require 'required' error 'no'", "not reloaded")
    assert.equal(1, client:request "v")
    reload(code, "reloaded")
    assert.equal(2, client:request "v")
  end)
end)

describe("--watch", function()
  it_async("reloads when the file changes, from the first error on", function()
    local process, write = start("--watch", "error 'not yet'")
    process:expect("not yet", "err")
    write "print('one', ...)"
    process:expect "one\targument\n"
    write "print 'two'"
    process:expect "two\n"
    process:kill "sigterm"
    assert.equal(0, process:wait().code)
  end)
end)

describe("--reload", function()
  it_async("is as without until then: errors end it with 1, and so does a missing script", function()
    local process = helper.run { "--reload", helper.file "error 'no'" }
    assert.matches("no\n", process.err)
    assert.equal(1, process.code)
    process = helper.run { "--reload", "/nowhere.lua" }
    assert.equal("chaski-lua: cannot open /nowhere.lua: No such file or directory\n", process.err)
    assert.equal(1, process.code)
    assert.matches("'%-%-watch' needs a script", helper.run({ "--watch" }).err)
    assert.equal(0, helper.run({ "--reload", helper.file "print(...)", "a" }).code)
  end)
end)
