-- environment_spec.lua: what the environment does to a mesh of processes (a dead path, a process that stands still,
-- clocks that jump, strangers) costs no edge that could have been kept. Each test prints its figures. By default with
-- short leases; CHASKI_FULL=1: with the defaults of a node, and for as long as the promise says.
-- SPDX-License-Identifier: MIT
local chaos_relay = require "spec.lua.chaos_relay"
local core = require "chaski.core"
local helper = require "spec.helper"
local nodes = require "spec.lua.nodes"
local raw = require "spec.lua.raw"
local uv = require "luv"

-- Under these a process has other descriptors, other memory and another processor's time.
local tool = (os.getenv "CHASKI_SANITIZE" or os.getenv "CHASKI_VALGRIND") ~= nil
local full = os.getenv "CHASKI_FULL" ~= nil and helper.slowness == 1

-- A member of a mesh: dials the addresses it is given, tells what happens to its edges, publishes what it is told to.
local MEMBER = [[
local chaski = require "chaski"
io.stdout:setvbuf "line"
local limits = load("return " .. arg[2])()
local node = assert(chaski.node { name = arg[1], subscriptions = "tick", paired = true, limits = limits })
local came = 0
node:on("edge_suspended", function(edge, why) print(("suspended %s %s"):format(edge.name, why)) end)
node:on("edge_resumed", function(edge) print("resumed " .. edge.name) end)
node:on("edge_closed", function(edge, why)
  if edge.was_live then print(("closed %s %s"):format(edge.name, why)) end
end)
node:subscribe("tick", function(message) came = came + 1 end)
for i = 3, #arg do assert(node:connect(arg[i], { timeout = 30 })) end
print("address " .. node.address)
for line in chaski.lines() do
  if line == "publish" then
    for i = 1, 100 do assert(node:publish("tick", i)) end
  elseif line == "tell" then
    collectgarbage()
    print(("told %d edges %d came %d KiB"):format(#node.edges, came, collectgarbage "count" // 1))
  end
end
]]

teardown(helper.clean)

local started

-- A test whose processes end, whatever happens.
local function test(body, timeout)
  return nodes.test(function()
    started = {}
    local ok, err = pcall(body)
    for _, process in ipairs(started) do
      process:kill "sigcont"
      process:kill "sigkill"
      process:wait()
    end
    if not ok then error(err, 0) end
  end, timeout)
end

local function member(name, limits, addresses, env)
  local args = { helper.file(MEMBER, "member.lua"), name, limits, table.unpack(addresses) }
  local process = helper.start(args, { open = true, env = env, timeout = 200 })
  started[#started + 1] = process
  process:expect "address "
  process.address = process.out:match "address (%S+)"
  return process
end

-- So many processes, each with an edge to each.
local function mesh(count, limits, env)
  local members, addresses = {}, {}
  for i = 1, count do
    members[i] = member("m" .. i, limits, addresses, env)
    addresses[i] = members[i].address
  end
  return members
end

local function count(process, pattern)
  local _, n = process.out:gsub(pattern, "")
  return n
end

-- What each of them says of itself: { edges =, came =, kib = }.
local function ask(members)
  local answers = {}
  for i, process in ipairs(members) do
    local before = #process.out
    process:write "tell\n"
    process:until_(function()
      return process.over or process.out:find("told %d+ edges %d+ came %d+ KiB\n", before)
    end, "an answer")
    local edges, came, kib = process.out:match("told (%d+) edges (%d+) came (%d+) KiB\n", before)
    answers[i] = { edges = tonumber(edges), came = tonumber(came), kib = tonumber(kib) }
  end
  return answers
end

-- Everybody publishes a hundred, and everybody gets those of all the others.
local function all_arrive(members, before, timeout)
  local due = 100 * (#members - 1)
  for _, process in ipairs(members) do
    process:write "publish\n"
  end
  helper.eventually(function()
    for i, answer in ipairs(ask(members)) do
      if answer.came < (before[i] and before[i].came or 0) + due then return false end
    end
    return true
  end, "all messages at all members", timeout or 30)
end

-- --- a process that stands still ------------------------------------------------------------------------------------

describe("a process that is stopped for longer than its peers wait", function()
  local figures = full and { members = 10, limits = "nil", seconds = 60, within = 10 }
    or { members = 5, limits = "{ lease = 0.5, keep_alive_interval = 0.2 }", seconds = 2, within = 10 }

  it(
    ("(%d of them, %d s) drops nobody when it goes on, and no edge is lost"):format(figures.members, figures.seconds),
    test(function()
      local members = mesh(figures.members, figures.limits)
      local stopped = members[#members // 2 + 1]
      local others = figures.members - 1
      all_arrive(members, {})
      stopped:kill "sigstop"
      local begun = core.now()
      helper.eventually(function()
        return core.now() - begun >= figures.seconds * helper.slowness
      end, "time to pass", figures.seconds * helper.slowness + 5)
      local suspended = 0
      for _, process in ipairs(members) do
        suspended = suspended + count(process, "suspended ")
      end
      local woken = core.now()
      stopped:kill "sigcont"
      helper.eventually(function()
        for _, process in ipairs(members) do
          if count(process, "suspended ") > count(process, "resumed ") then return false end
        end
        return count(stopped, "resumed ") >= others or suspended == 0
      end, "every edge to be resumed", figures.within * helper.slowness)
      local took = core.now() - woken
      local closed, own = 0, count(stopped, "closed ")
      for _, process in ipairs(members) do
        closed = closed + count(process, "closed ")
        local about = process == stopped and others or 1
        assert.is_true(count(process, "suspended ") <= about, process.out)
      end
      local text =
        "figures: %d processes, one stopped for %d s: %d edges suspended, %d closed (%d by the stopped one), "
      text = text:format(figures.members, figures.seconds, suspended, closed, own)
      print(text .. ("all again %.1f s after it went on"):format(took))
      assert.equal(0, closed)
      all_arrive(members, ask(members))
      for _, answer in ipairs(ask(members)) do
        assert.equal(others, answer.edges)
      end
    end, figures.seconds * 3 + 60)
  )
end)

-- --- a path that is dead --------------------------------------------------------------------------------------------

describe("a half-open connection", function()
  local limits = full and "nil" or "{ lease = 1, keep_alive_interval = 0.4 }"
  local within = full and 20 or 2

  for _, way in ipairs { "both", "there" } do
    it(
      ("(%s) is noticed by both ends within %d s"):format(way == "both" and "both ways" or "one way", within),
      test(function()
        local a = member("a", limits, {})
        local relay <close> = chaos_relay.start(tonumber(a.address:match ":(%d+)$"))
        local b = member("b", limits, { "127.0.0.1:" .. relay.port })
        all_arrive({ a, b }, {})
        local begun, noticed = core.now(), {}
        relay:blackhole(way)
        helper.eventually(function()
          for _, end_ in ipairs { a, b } do
            if not noticed[end_] and count(end_, "suspended ") > 0 then noticed[end_] = core.now() - begun end
          end
          return noticed[a] and noticed[b]
        end, "both ends to notice", within * helper.slowness)
        print(("figures: half-open, %s: noticed after %.1f and %.1f s"):format(way, noticed[a], noticed[b]))
        helper.eventually(function()
          return count(a, "resumed ") == 1 and count(b, "resumed ") == 1
        end, "the edge over a new connection", 10 * helper.slowness)
        all_arrive({ a, b }, ask { a, b })
      end, 60)
    )
  end

  it("is noticed by both ends within 20 s of virtual time, with the defaults", function()
    local chaski = require "chaski"
    for seed = 1, 20 do
      local sim <close> = chaski.sim { seed = seed }
      sim:run(function()
        local a, b = assert(chaski.node { name = "a", paired = true }), assert(chaski.node { name = "b" })
        assert(a:connect(b))
        chaski.sleep(chaski.random() * 60)
        local begun, noticed = chaski.now(), {}
        for _, node in ipairs { a, b } do
          node:on("edge_suspended", function()
            noticed[#noticed + 1] = chaski.now() - begun
          end)
        end
        sim:partition({ a }, { b })
        chaski.sleep(20)
        assert.equal(2, #noticed, "seed " .. seed)
      end)
    end
  end)
end)

-- --- clocks ---------------------------------------------------------------------------------------------------------

describe("a wall clock that jumps", function()
  local function library()
    for _, path in ipairs {
      "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
      "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
      "/usr/lib/faketime/libfaketime.so.1",
    } do
      if uv.fs_stat(path) then return path end
    end
  end

  it(
    "by an hour, back, and by 400 days costs no edge and no message",
    test(function()
      local preload = library()
      if not preload then return pending "libfaketime is not installed (scripts/build --with-tests does it)" end
      if tool then return pending "libfaketime and other preloaded libraries do not go together" end
      local rc = helper.file("+0\n", "faketime")
      local limits = full and "nil" or "{ lease = 1, keep_alive_interval = 0.4 }"
      local env = {
        LD_PRELOAD = preload,
        DONT_FAKE_MONOTONIC = "1",
        FAKETIME_NO_CACHE = "1",
        FAKETIME_TIMESTAMP_FILE = rc,
      }
      local members = mesh(3, limits, env)
      local came = {}
      local function jump(to)
        local file <close> = assert(io.open(rc, "w"))
        file:write(to, "\n")
      end
      for _, to in ipairs { "+1h", "-1h", "+400d", "+0" } do
        jump(to)
        all_arrive(members, came)
        came = ask(members)
        local begun, lease = core.now(), full and 20 or 2 -- longer than a lease
        helper.eventually(function()
          return core.now() - begun > lease
        end, "a lease to pass", lease + 5)
      end
      local ended = 0
      for i, process in ipairs(members) do
        ended = ended + count(process, "closed ") + count(process, "suspended ")
        assert.equal(2, came[i].edges)
      end
      local text =
        "figures: 3 processes, +1 h, -1 h, +400 d, back: %d edges lost or suspended, %d messages came to each"
      print(text:format(ended, came[1].came))
      assert.equal(0, ended)
    end, full and 150 or 60)
  )
end)

-- --- descriptors ----------------------------------------------------------------------------------------------------

describe("a node without a free file descriptor", function()
  local window = (full and 10 or 2) * helper.slowness

  local function cpu_seconds(process)
    local file <close> = assert(io.open(("/proc/%d/stat"):format(process.pid)))
    local fields = {}
    for field in file:read("a"):match("^.*%) (.*)$"):gmatch "%S+" do
      fields[#fields + 1] = field
    end
    return (tonumber(fields[12]) + tonumber(fields[13])) / 100
  end

  it(
    "delivers on the edges it has, hardly computes, and lets others in within 2 s when there are some",
    test(function()
      if tool then return pending "what it costs is measured without tools" end
      local script = helper.file(MEMBER, "member.lua")
      local poor = helper.start(
        { "-c", 'ulimit -n 40 && exec "$0" "$@"', helper.program, script, "poor", "nil" },
        { program = "/bin/bash", open = true, timeout = 60 }
      )
      started[#started + 1] = poor
      poor:expect "address "
      poor.address = poor.out:match "address (%S+)"
      local friend = member("friend", "nil", { poor.address })
      local strangers = {}
      for i = 1, 60 do
        strangers[i] = uv.new_tcp()
        strangers[i]:connect("127.0.0.1", tonumber(poor.address:match ":(%d+)$"), function() end)
      end
      helper.eventually(function()
        local n = 0
        for _ in uv.fs_scandir_next, (assert(uv.fs_scandir(("/proc/%d/fd"):format(poor.pid)))) do
          n = n + 1
        end
        return n >= 39
      end, "all descriptors in use")
      local begun, cpu = core.now(), cpu_seconds(poor)
      local came = ask { poor, friend }
      helper.eventually(function()
        return core.now() - begun >= window
      end, "time to pass", window + 5)
      cpu = (cpu_seconds(poor) - cpu) / (core.now() - begun)
      all_arrive({ poor, friend }, came)
      for _, each in ipairs(strangers) do
        each:close()
      end
      local freed = core.now()
      member("late", "nil", { poor.address })
      local took = core.now() - freed
      assert.equal(2, ask({ poor })[1].edges)
      local text = "figures: no descriptor for %.1f s: %.1f %% of the processor; a new edge %.2f s after some were free"
      print(text:format(window, 100 * cpu, took))
      assert.is_true(cpu < 0.05)
      assert.is_true(took < 2)
      assert.equal(0, count(friend, "closed ") + count(friend, "suspended "))
    end, 60)
  )
end)

-- --- strangers ------------------------------------------------------------------------------------------------------

describe("garbage from strangers", function()
  local total = full and 100000 or 2000
  local BATCH = 50

  local function resident(process)
    for line in io.lines(("/proc/%d/status"):format(process.pid)) do
      local kib = line:match "^VmRSS:%s+(%d+)"
      if kib then return tonumber(kib) end
    end
  end

  local openings = {
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "\xff\xff\xff\xff\xff\xff\xff\xff",
    (">I4I4"):pack(10, 4) .. "\xa3All" .. ("\xc1"):rep(10),
    (">I4I4"):pack(16384, 4) .. "\xa3All" .. "\x81",
    raw.frame("ChaskiMessage", "tick", "\x01"),
    raw.frame("handshake", "All", "\xc1"),
    "",
    "\0",
    "SSH-2.0-OpenSSH\r\n",
  }

  -- One connection: says its piece, and is over when the node closes it, or hangs up itself.
  local reached = 0
  local function assault(address, i, done)
    local ip, port = address:match "^(.*):(%d+)$"
    local socket, over = uv.new_tcp(), false
    local function finish()
      if over then return end
      over = true
      socket:close()
      done()
    end
    socket:connect(ip, tonumber(port), function(err)
      if err then return finish() end
      reached = reached + 1
      socket:read_start(function(_, bytes)
        if not bytes then finish() end
      end)
      socket:write(openings[i % #openings + 1], function()
        if i % 3 ~= 0 then return finish() end
        socket:shutdown()
      end)
    end)
  end

  it(
    ("(%d connections and as many datagrams) loses nothing of a mesh at work, and leaks nothing"):format(total),
    test(function()
      local members = mesh(3, "nil")
      local target, udp = members[2], uv.new_udp()
      local _, port = target.address:match "^(.*):(%d+)$"
      local open, ended = 0, 0
      local function batch()
        for i = 1, BATCH do
          open = open + 1
          assault(target.address, ended + i, function()
            open, ended = open - 1, ended + 1
          end)
          udp:send(openings[(ended + i) % #openings + 1] .. "x", "127.0.0.1", tonumber(port), function() end)
        end
        helper.eventually(function()
          return open == 0
        end, "the end of strangers' connections", 30 * helper.slowness)
      end
      local came, first = {}, nil
      local begun, published = core.now(), 0
      while ended < total do
        batch()
        if ended % (total // 10) == 0 then
          all_arrive(members, came)
          came = ask(members)
          published = published + 100 * #members
          first = first or { kib = came[2].kib, rss = resident(target) } -- after a tenth: warm
        end
      end
      udp:close()
      local last = { kib = came[2].kib, rss = resident(target) }
      local text = "figures: %d connections and datagrams in %.0f s; %d messages published, each came to both others; "
      print(text:format(ended, core.now() - begun, published))
      text = "figures: Lua's heap %d KiB after a tenth and %d at the end, resident %d and %d KiB"
      print(text:format(first.kib, last.kib, first.rss, last.rss))
      for i, process in ipairs(members) do
        assert.equal(0, count(process, "closed ") + count(process, "suspended "), process.out)
        assert.equal(2, came[i].edges)
        assert.equal(published // 3 * 2, came[i].came)
      end
      assert.equal(ended, reached)
      assert.is_true(last.kib < first.kib + 512)
      assert.is_true(tool or last.rss < first.rss + 8 * 1024)
    end, full and 900 or 60)
  )
end)
