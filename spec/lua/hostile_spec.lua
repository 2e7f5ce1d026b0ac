-- hostile_spec.lua: what a stranger or a broken peer may send to a node, on real sockets. The node is a process of its
-- own, and has a good edge to this one: the bad connection ends with a reason that Lua sees and that is logged once,
-- memory stays where it was, and the good edge goes on. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local helper = require "spec.helper"
local nodes = require "spec.lua.nodes"
local raw = require "spec.lua.raw"

local LINES_A_SECOND = 10 -- ends that a node logs at most; the rest are counted

-- The node under attack prints what it sees. It dials the good peer, as its own handshake_timeout may be short.
local victim_script = [[
local chaski = require "chaski"
local limits = {}
for i = 2, #arg do
  local name, value = arg[i]:match "^(.-)=(.*)$"
  limits[name] = math.tointeger(value) or tonumber(value)
end
io.stdout:setvbuf "line"
local node = assert(chaski.node { name = "victim", limits = limits, reconnect = false })
node:on("edge_closed", function(edge, reason, detail)
  print(("closed %s %s (%s)"):format(edge.was_live and "edge" or "stranger", reason, detail))
end)
node:on("malformed_data", function(message, err, edge)
  print(("malformed %s %s %s"):format(message.topic, err.code, edge.name))
end)
node:subscribe("t", function(message)
  local ok, data = pcall(function() return message.data end)
  local again = not ok and not pcall(function() return message.data end)
  print(("message %s %s"):format(ok, ok and data or again and data.code))
end)
node:subscribe("ask", function(message)
  assert(node:publish("answer", { n = message.data, malformed_data = node.ledger.malformed_data,
    malformed = node.ledger.malformed, edges = #node.edges }))
end)
local edge = assert(node:connect(arg[1], { timeout = 60 }))
print("address " .. node.address)
]]

local Victim = {}
Victim.__index = Victim
local started = {} -- processes of the test that runs

-- A test whose processes end, whatever happens.
local function test(body, timeout)
  return nodes.test(function()
    started = {}
    local ok, err = pcall(body)
    for _, process in ipairs(started) do
      process:kill "sigkill"
      process:wait()
    end
    if not ok then error(err, 0) end
  end, timeout or 20)
end

--- Start the node, with these limits, and the friend at the other end of its good edge.
local function start(limits)
  local self = setmetatable({ asked = 0, answers = {} }, Victim)
  self.friend = nodes.node("friend", { subscriptions = "answer" })
  self.friend:subscribe("answer", function(message)
    self.answers[message.data.n] = message.data
  end)
  self.friend:on("edge_closed", function(_, reason)
    self.friend_lost = reason
  end)
  local args = { helper.file(victim_script), self.friend.address }
  for name, value in pairs(limits or {}) do
    args[#args + 1] = name .. "=" .. value
  end
  self.process = helper.start(args, { env = { CHASKI_LOG = "info" } })
  started[#started + 1] = self.process
  self.process:expect "\n"
  helper.eventually(function()
    return #self.friend.edges == 1
  end, "the good edge")
  self.address = assert(self.process.out:match "^address (%S+)\n", self.process.out)
  return self
end

--- The good edge goes on: a question over it is answered, with the node's counters.
function Victim:well()
  self.asked = self.asked + 1
  assert(self.friend:publish("ask", self.asked))
  local answer = helper.eventually(function()
    return self.answers[self.asked] or self.friend_lost
  end, "an answer over the good edge")
  assert.is_nil(self.friend_lost)
  return answer
end

local function lines_of(text, pattern)
  local list = {}
  for line in text:gmatch "[^\n]+" do
    list[#list + 1] = line:match(pattern)
  end
  return list
end

--- The lines it has printed that begin with `kind`, at least n.
function Victim:seen(kind, n)
  local pattern = "^" .. kind .. " (.*)"
  self.process:until_(function()
    return #lines_of(self.process.out, pattern) >= n or self.process.over
  end, n .. " lines of " .. kind)
  return lines_of(self.process.out, pattern)
end

--- What the log says of ends of strangers' connections and edges, in order.
function Victim:logged()
  return lines_of(self.process.err, " victim: .- ended: (.*)$")
end

function Victim:resident()
  for line in io.lines(("/proc/%d/status"):format(self.process.pid)) do
    local kib = line:match "^VmRSS:%s+(%d+)"
    if kib then return tonumber(kib) end
  end
end

--- Leave in good order, whatever was sent.
function Victim:stop()
  self.process:kill()
  local process = self.process:wait()
  assert.equal(0, process.code, process.err)
  assert.is_nil(process.err:find("traceback", 1, true), process.err)
end

local function make_connection(way, address)
  return way == "edge" and raw.join(address) or raw.connect(address)
end

local function told(reason, detail)
  return detail and ("%s (%s)"):format(reason, detail) or reason
end

--- The reason and detail of a case: who has never sent a frame, and begins like nothing that is one, does not speak our
--- language.
local function expected(way, case)
  if way == "stranger" and case.foreign then return "protocol", "it does not speak chaski, or only over TLS" end
  return case.reason, case.detail
end

--- Each of the cases { reason, detail, bytes, then_end, foreign } from a stranger (or an edge): closed and logged, once
--- each.
local function attack(way, cases, limits)
  assert(#cases < LINES_A_SECOND)
  local victim = start(limits)
  local closed, logged = {}, {}
  for i, case in ipairs(cases) do
    local connection <close> = make_connection(way, victim.address)
    connection:send(case.bytes)
    if case.then_end then connection:shutdown() end
    connection:wait_end()
    local reason, detail = expected(way, case)
    closed[i] = ("%s %s (%s)"):format(way, reason, detail or "")
    logged[i] = told(reason, detail)
    victim:seen("closed", i)
    victim:well()
  end
  assert.same(closed, victim:seen("closed", #cases))
  assert.equal(1, victim:well().edges)
  victim:stop()
  assert.same(logged, victim:logged())
end

local function attack_both_ways(cases, limits)
  attack("stranger", cases, limits)
  attack("edge", cases, limits)
end

local function header(topic, data)
  return (">I4I4"):pack(data, topic)
end

local all = "\xa3All"
local too_long = "a frame's length is over the limit"

describe("a connection is closed with a reason, seen in Lua and logged once, when it sends", function()
  teardown(helper.clean)

  it(
    "a frame with a length over the limit",
    test(function()
      attack_both_ways {
        { reason = "too_big", detail = too_long, bytes = header(4, 8 * 1024 * 1024 + 1) },
        { reason = "too_big", detail = too_long, bytes = header(257, 10) },
        { reason = "too_big", detail = too_long, bytes = header(0xffffffff, 0xffffffff), foreign = true },
      }
    end)
  )

  it(
    "a frame over what a stranger may send before the handshake",
    test(function()
      attack("stranger", { { reason = "too_big", detail = too_long, bytes = header(4, 16 * 1024 + 1) } })
    end)
  )

  it(
    "a frame that ends too early",
    test(function()
      local whole = raw.frame("ChaskiMessage", "t", "\x01")
      attack_both_ways {
        { reason = "truncated", bytes = whole:sub(1, 3), then_end = true },
        { reason = "truncated", bytes = whole:sub(1, 9), then_end = true },
        { reason = "truncated", bytes = whole:sub(1, -2), then_end = true },
      }
    end)
  )

  it(
    "a frame with a wrong topic",
    test(function()
      local ping = raw.command("ping", { ping_id = "x" })
      local envelope = ping:sub(9 + #all)
      local no_topic = "the header's topic is not one string"
      attack_both_ways {
        { reason = "malformed", detail = no_topic, bytes = raw.frame_of("", envelope) },
        { reason = "malformed", detail = no_topic, bytes = raw.frame_of("\x05", envelope) },
        { reason = "malformed", detail = no_topic, bytes = raw.frame_of(all .. "\xc0", envelope) },
        { reason = "malformed", detail = no_topic, bytes = raw.frame_of("\xa4All", envelope) },
        {
          reason = "malformed",
          detail = "header and envelope have different topics",
          bytes = raw.frame_of("\xa5other", envelope),
        },
        {
          reason = "protocol",
          detail = "a protocol command under a topic",
          bytes = raw.frame("ping", "t", "\x80"),
        },
      }
    end)
  )

  it(
    "an envelope that is not valid MessagePack, is none, or has bytes behind it",
    test(function()
      local good = raw.command("ping", { ping_id = "x" }):sub(9 + #all)
      local function case(detail, envelope)
        return { reason = "malformed", detail = detail, bytes = raw.frame_of(all, envelope) }
      end
      attack_both_ways {
        case("the message is not a map", "\xc1"),
        case("the message is not a map", "\x93\x01\x02\x03"),
        case("the message is not a map", ""),
        case("envelope: no command", "\x80"),
        case("envelope: a key is not a string", "\xdf\xff\xff\xff\xff\xa7command\xa4ping"),
        case("envelope: bad value under an unknown key", "\x82\xa7command\xa4ping\xa1q\xdd\xff\xff\xff\xff"),
        case("bytes follow the message", "\x81\xa7command\xa4ping" .. "\xc0"),
        case("bytes follow the message", "\x82\xa4data\x80\xa7command\xa4ping" .. good),
      }
    end)
  )

  it(
    "a command of the protocol with wrong types",
    test(function()
      local function case(command, data)
        return { reason = "protocol", detail = command .. ": bad data", bytes = raw.command(command, data) }
      end
      attack_both_ways {
        case("handshake", { handshake_id = 7, response = true }),
        case("handshake", { handshake_id = "x" }),
        case("handshake_back", { handshake_id = "x", name = "x", ip = "x", port = "80", subscriptions = {} }),
        case("ping", { ping_id = false }),
        case("ping", { ping_id = "x", dummy_data = 5 }),
        case("pong", { ping_id = {} }),
        { reason = "protocol", detail = "ping: bad data", bytes = raw.frame("ping", "All", "\xc0") },
      }
    end)
  )

  it(
    "subscriptions that are none",
    test(function()
      attack("edge", {
        {
          reason = "protocol",
          detail = "subscriptions: bad data",
          bytes = raw.command("subscriptions", { subscriptions = 5 }),
        },
        {
          reason = "protocol",
          detail = "subscriptions: bad data",
          bytes = raw.command("subscriptions", { subscriptions = { "a", 1 } }),
        },
      })
    end)
  )

  it(
    "a command before the handshake",
    test(function()
      local cases = {}
      for i, command in ipairs { "ChaskiMessage", "subscriptions", "discovery", "request_udp", "ack", "what" } do
        cases[i] = { reason = "protocol", detail = "a command before the handshake", bytes = raw.command(command, {}) }
      end
      attack("stranger", cases)
    end)
  )

  it(
    "an HTTP request, a TLS hello, a banner",
    test(function()
      attack_both_ways {
        { reason = "too_big", detail = too_long, bytes = "GET / HTTP/1.1\r\n\r\n", foreign = true },
        {
          reason = "too_big",
          detail = too_long,
          foreign = true,
          bytes = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" .. ("\x5a"):rep(506),
        },
        { reason = "too_big", detail = too_long, bytes = "SSH-2.0-OpenSSH_9.2\r\n", foreign = true },
      }
    end)
  )

  it(
    "random bytes",
    test(function()
      math.randomseed(20261123)
      local cases = {}
      for i = 1, 8 do
        local bytes = { "\xff" } -- or now and then a length would be one that is allowed
        for j = 2, 3000 do
          bytes[j] = string.char(math.random(0, 255))
        end
        cases[i] = { reason = "too_big", detail = too_long, bytes = table.concat(bytes), foreign = true }
      end
      attack_both_ways(cases)
    end)
  )

  it(
    "random bytes in frames of the right length",
    test(function()
      math.randomseed(7)
      for _, way in ipairs { "stranger", "edge" } do
        local victim = start()
        for i = 1, 8 do
          local bytes = {}
          for j = 1, 200 do
            bytes[j] = string.char(math.random(0, 255))
          end
          local connection <close> = make_connection(way, victim.address)
          connection:send(raw.frame_of(all, table.concat(bytes)))
          connection:wait_end()
          local closed = victim:seen("closed", i)
          assert.equal(i, #closed)
          assert.matches("^" .. way .. " malformed %(.+%)$", closed[i])
        end
        assert.equal(8, victim:well().malformed)
        victim:stop()
        assert.equal(8, #victim:logged())
      end
    end)
  )
end)

describe("a handshake that is never finished", function()
  teardown(helper.clean)

  it(
    "ends in time, whether nothing, half a frame or half a handshake was said",
    test(function()
      attack("stranger", {
        { reason = "handshake_timeout", bytes = "" },
        { reason = "handshake_timeout", bytes = "\0\0" },
        { reason = "handshake_timeout", bytes = raw.command("handshake", { handshake_id = "x", response = true }) },
      }, { handshake_timeout = 0.1 })
    end)
  )

  it(
    "costs nobody else: of 200 connections that send nothing the oldest go, and a good peer still gets in",
    test(function()
      local victim = start { handshake_timeout = 3600 }
      local silent = {}
      for i = 1, 200 do
        silent[i] = raw.connect(victim.address)
      end
      local closed = victim:seen("closed", 100)
      assert.equal(100, #closed)
      for i = 1, 100 do
        silent[i]:wait_end()
        assert.equal("stranger too_many_pending ()", closed[i])
      end
      for i = 101, 200 do
        assert.is_false(silent[i].ended)
      end
      victim:well()
      local late = nodes.node "late"
      assert.is_true(assert(late:connect(victim.address)).live)
      helper.eventually(function()
        return victim:well().edges == 2
      end, "the late peer's edge")
      for _, each in ipairs(silent) do
        each:close()
      end
      assert.equal(200, #victim:seen("closed", 200))
      victim:well()
      victim:stop()
      -- Every end is in the log, as a line or in the number of those that had no line of their own.
      local total = #victim:logged()
      assert.is_true(total >= LINES_A_SECOND and total < 200)
      for _, more in ipairs(lines_of(victim.process.err, " victim: (%d+) more edges ended$")) do
        total = total + math.tointeger(more)
      end
      assert.equal(200, total)
    end, 30)
  )
end)

describe("memory", function()
  teardown(helper.clean)

  local MARGIN = 32 * 1024 -- KiB

  -- 20 connections that promise `size` bytes each and send a little of it.
  local function promise(way, size, limits)
    local victim = start(limits)
    local before, list = victim:resident(), {}
    for i = 1, 20 do
      list[i] = make_connection(way, victim.address)
      list[i]:send(header(4, size) .. all .. ("\x81"):rep(1000))
    end
    victim:well()
    assert.is_true(victim:resident() - before < MARGIN)
    for _, each in ipairs(list) do
      each:close()
    end
    victim:seen("closed", 20)
    victim:well()
    victim:stop()
  end

  it(
    "does not grow by what an edge has promised",
    test(function()
      promise("edge", 64 * 1024 * 1024, { data_max = 64 * 1024 * 1024, queue_hard = 128 * 1024 * 1024 })
    end)
  )

  it(
    "does not grow by what a stranger has promised",
    test(function()
      promise("stranger", 1024 * 1024, { preauth_max = 1024 * 1024 })
      promise("stranger", 16 * 1024)
    end)
  )

  it(
    "does not grow by what application data announce",
    test(function()
      local victim = start()
      local connection <close> = raw.join(victim.address)
      local before = victim:resident()
      for _ = 1, 50 do
        for _, first in ipairs { "\xdd", "\xdf", "\xdb", "\xc6" } do
          connection:send(raw.frame("ChaskiMessage", "t", first .. "\xff\xff\xff\xff"))
        end
      end
      assert.equal(200, #victim:seen("malformed", 200))
      assert.is_true(victim:resident() - before < MARGIN)
      assert.equal(2, victim:well().edges)
      connection:close()
      victim:stop()
    end)
  )
end)

describe("application data cost their message only when they", function()
  teardown(helper.clean)

  -- Each in a message of its own between good ones; told, counted, raised again when read again, and the edge lives.
  local function bad(list, middle)
    local victim = start()
    local connection <close> = raw.join(victim.address)
    local messages = {}
    for i, bytes in ipairs(list) do
      connection:send(raw.frame("ChaskiMessage", "t", bytes, middle))
      connection:send(raw.frame("ChaskiMessage", "t", chaski.pack(i)))
      messages[#messages + 1] = "false malformed_data"
      messages[#messages + 1] = "true " .. i
    end
    assert.same(messages, victim:seen("message", #messages))
    local told_of = victim:seen("malformed", #list)
    assert.equal(#list, #told_of)
    assert.equal("t malformed_data raw", told_of[1])
    local counted = victim:well()
    assert.equal(#list, counted.malformed_data)
    assert.equal(0, counted.malformed)
    assert.equal(2, counted.edges)
    assert.is_nil(victim.process.out:find("closed", 1, true))
    connection:close()
    victim:stop()
  end

  it(
    "are not valid MessagePack",
    test(function()
      bad { "\xc1", "\x92\x01", "\xa5abc", "\x01\x02", "\x81\xa1x", ("\xff\xc1"):rep(500) }
    end)
  )

  it(
    "are 10 000 deep, wherever in the envelope they stand",
    test(function()
      local deep = { ("\x91"):rep(10000) .. "\x01", ("\x81\xa1x"):rep(10000) .. "\x01" }
      bad(deep)
      bad(deep, true)
    end)
  )

  it(
    "announce 4 G items",
    test(function()
      bad { "\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\xdb\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff\x00" }
    end)
  )

  it(
    "have keys that are nil, wherever in the envelope they stand",
    test(function()
      bad { "\x81\xc0\x01", "\x82\xa1x\x01\xc0\xc0" }
      bad({ "\x81\xc0\x01", "\x91\x81\xc0\x01" }, true)
    end)
  )

  it(
    "come over a relay that never looks at them",
    test(function()
      local a, relay = nodes.node "a", nodes.node("relay", { message_propagation = true })
      local c = nodes.node("c", { subscriptions = "t" })
      assert(a:connect(relay))
      local edge = assert(relay:connect(c))
      local got, wait = nodes.collector()
      local told_of = {}
      c:on("malformed_data", function(_, err, from)
        told_of[#told_of + 1] = err.code .. " by " .. from.name
      end)
      c:subscribe("t", function(message)
        got[#got + 1] = { pcall(function()
          return message.data
        end) }
      end)
      assert(a:write_data(raw.frame("ChaskiMessage", "t", "\xc1")))
      assert(a:publish("t", 7))
      wait(2)
      assert.equal("malformed_data", got[1][2].code)
      assert.same({ true, 7 }, got[2])
      assert.same({ "malformed_data by relay" }, told_of)
      assert.equal(0, relay.ledger.malformed_data)
      assert.is_true(edge.live)
      assert.equal(2, #relay.edges)
    end)
  )
end)
