-- pubsub_spec.lua: publishing, handlers, inboxes, commands, propagation. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local helper = require "spec.helper"
local nodes = require "spec.lua.nodes"

local test, eventually = nodes.test, helper.eventually

describe("a topic handler", function()
  it(
    "gets messages in order, and only of its topics",
    test(function()
      local a, b, edge = nodes.pair()
      local got, wait = nodes.collector()
      b:subscribe({ "x", "y" }, function(message)
        got[#got + 1] = message.topic .. message.data
      end)
      nodes.knows(edge, "y")
      for i = 1, 50 do
        assert(a:publish(i % 2 == 0 and "x" or "y", i))
        assert(a:publish("z", i))
      end
      wait(50)
      for i = 1, 50 do
        assert.equal((i % 2 == 0 and "x" or "y") .. i, got[i])
      end
      assert.equal(50, #got)
    end)
  )

  it(
    "is called for each of several subscriptions, until removed",
    test(function()
      local a, b, edge = nodes.pair()
      local got, wait = nodes.collector()
      local first = b:subscribe("x", function()
        got[#got + 1] = 1
      end)
      b:subscribe("x", function()
        got[#got + 1] = 2
      end)
      nodes.knows(edge, "x")
      assert(a:publish("x", 0))
      wait(2)
      assert.is_true(first.active)
      first:remove()
      first:remove()
      assert.is_false(first.active)
      assert(a:publish("x", 0))
      wait(3)
      assert.same({ 1, 2, 2 }, got)
      b:unsubscribe "x"
      eventually(function()
        return not edge:is_subscribed "x"
      end, "a knows")
      assert.same({}, b.subscriptions)
    end)
  )

  it(
    "may remove itself",
    test(function()
      local a, b, edge = nodes.pair()
      local got, wait = nodes.collector()
      local handle
      handle = b:subscribe("x", function(message)
        got[#got + 1] = message.data
        handle:remove()
        collectgarbage()
      end)
      b:subscribe("x", function(message)
        if message.data == "end" then got[#got + 1] = "end" end
      end)
      nodes.knows(edge, "x")
      for _, each in ipairs { 1, 2, "end" } do
        assert(a:publish("x", each))
      end
      wait(2)
      assert.same({ 1, "end" }, got)
    end)
  )

  it(
    "runs one at a time, in order, though it sleeps; the rest waits in the inbox",
    test(function()
      local a, b, edge = nodes.pair()
      local got, wait = nodes.collector()
      local running, most = 0, 0
      b:subscribe("x", function(message)
        running = running + 1
        most = math.max(most, running)
        chaski.sleep(0.001)
        got[#got + 1] = message.data
        running = running - 1
      end)
      nodes.knows(edge, "x")
      for i = 1, 20 do
        assert(a:publish("x", i))
      end
      wait(20)
      for i = 1, 20 do
        assert.equal(i, got[i])
      end
      assert.equal(1, most)
    end)
  )

  it(
    "handles what comes at once one after the other, whatever one of them does",
    test(function()
      local a, b, edge = nodes.pair()
      local got, wait = nodes.collector()
      b:subscribe("x", function(message)
        local n = message.data
        got[#got + 1] = n
        if n % 7 == 0 then error "on purpose" end
        if n % 5 == 0 then chaski.sleep(0) end
        if n % 11 == 0 then collectgarbage() end
      end)
      nodes.knows(edge, "x")
      for i = 1, 100 do
        assert(a:publish("x", i))
      end
      wait(100)
      for i = 1, 100 do
        assert.equal(i, got[i])
      end
      assert.equal(100, b.status.counters.delivered)
      helper.expect_errors(14)
    end)
  )

  it(
    "gets what had come in order when it closes the edge",
    test(function()
      local a, b, edge = nodes.pair { reconnect = false }
      local got = {}
      b:subscribe("x", function(message, from)
        got[#got + 1] = message.data
        if message.data == 3 then from:close() end
      end)
      nodes.knows(edge, "x")
      for i = 1, 20 do
        assert(a:publish("x", i))
      end
      eventually(function()
        return #a.edges == 0 and #b.edges == 0
      end, "the edge has ended")
      assert.is_true(#got >= 3)
      for i, n in ipairs(got) do
        assert.equal(i, n)
      end
    end)
  )

  it(
    "is cancelled when it waits after stopping its node, and not called again",
    test(function()
      local a, b, edge = nodes.pair { reconnect = false }
      local got, cancelled = {}, nil
      b:subscribe("x", function(message)
        got[#got + 1] = message.data
        if message.data < 3 then return end
        chaski.spawn(b.stop, b)
        local ok, err = pcall(chaski.sleep, 5)
        cancelled = not ok and err.code
      end)
      nodes.knows(edge, "x")
      for i = 1, 20 do
        assert(a:publish("x", i))
      end
      eventually(function()
        return cancelled
      end, "the handler is cancelled")
      assert.equal("cancelled", cancelled)
      assert.same({ 1, 2, 3 }, got)
    end)
  )

  it(
    "runs several at a time when it says so",
    test(function()
      local a, b, edge = nodes.pair()
      local running, most, done = 0, 0, 0
      b:subscribe("x", function()
        running = running + 1
        most = math.max(most, running)
        chaski.sleep(0.01)
        running, done = running - 1, done + 1
      end, { concurrency = 3 })
      nodes.knows(edge, "x")
      for i = 1, 9 do
        assert(a:publish("x", i))
      end
      eventually(function()
        return done == 9
      end, "all handled")
      assert.equal(3, most)
    end)
  )

  it(
    "that fails is logged and told, and the next message comes",
    test(function()
      helper.expect_errors(2)
      local a, b, edge = nodes.pair()
      local got, wait = nodes.collector()
      local told = {}
      b:on("handler_error", function(err, where)
        told[#told + 1] = { err, where }
      end)
      b:subscribe("x", function(message)
        if message.data == 1 then error "at once" end
        if message.data == 2 then
          chaski.sleep(0.001)
          error { code = "later" }
        end
        got[#got + 1] = message.data
      end)
      nodes.knows(edge, "x")
      for i = 1, 3 do
        assert(a:publish("x", i))
      end
      wait(1)
      assert.same({ 3 }, got)
      assert.truthy(told[1][1]:find "at once")
      assert.equal("handler of x", told[1][2])
      assert.equal("later", told[2][1].code)
    end)
  )

  it(
    "may stop its node",
    test(function()
      local a, b, edge = nodes.pair()
      local after = false
      b:subscribe("x", function()
        b:stop()
        after = true
      end)
      nodes.knows(edge, "x")
      assert(a:publish("x", 1))
      eventually(function()
        return after
      end, "the handler goes on")
      assert.is_false(b.running)
    end)
  )

  it(
    "may publish and connect",
    test(function()
      local a, b, edge = nodes.pair()
      local c = nodes.node "c"
      local got, wait = nodes.collector()
      a:subscribe("pong", function(message)
        got[#got + 1] = message.data
      end)
      b:subscribe("ping", function(message)
        assert(b:connect(c))
        assert(b:publish("pong", message.data + 1))
      end)
      nodes.knows(edge, "ping")
      assert(a:publish("ping", 1))
      wait(1)
      assert.equal(2, got[1])
    end)
  )

  it(
    "is ended with its node",
    test(function()
      local a, b, edge = nodes.pair()
      local started, finished = false, false
      b:subscribe("x", function()
        started = true
        chaski.sleep(60)
        finished = true
      end)
      nodes.knows(edge, "x")
      assert(a:publish("x", 1))
      eventually(function()
        return started
      end, "the handler has begun")
      b:stop()
      assert.is_false(finished)
    end)
  )
end)

describe("a full inbox", function()
  local function flood(overflow, count)
    local a, b = nodes.node("a", { limits = { resume_timeout = 0 } }), nodes.node "b"
    local edge = assert(a:connect(b))
    local got, lost = {}, {}
    local gate = true
    b:on("undelivered", function(what)
      if what.reason == "inbox" then lost[#lost + 1] = what end
    end)
    local subscription = b:subscribe("x", function(message)
      while gate do
        chaski.sleep(0.001)
      end
      got[#got + 1] = message.data
    end, { inbox = 3, overflow = overflow })
    nodes.knows(edge, "x")
    for i = 1, count do
      assert(a:publish("x", i))
    end
    return got, lost, function()
      gate = false
    end, b, edge, subscription
  end

  it(
    "drops the newest by default, counted and told",
    test(function()
      local got, lost, open, b = flood(nil, 10)
      eventually(function()
        return #lost == 6
      end, "six are lost")
      assert.equal("x", lost[1].topic)
      assert.equal("a", lost[1].edge.name)
      assert.equal(36, #lost[1].uuid)
      assert.equal(6, b.status.limits.inbox_max.hits)
      open()
      eventually(function()
        return #got == 4
      end, "four are handled")
      assert.same({ 1, 2, 3, 4 }, got)
    end)
  )

  it(
    "drops the oldest if told so",
    test(function()
      local got, lost, open = flood("drop_old", 10)
      eventually(function()
        return #lost == 6
      end, "six are lost")
      open()
      eventually(function()
        return #got == 4
      end, "four are handled")
      assert.same({ 1, 8, 9, 10 }, got)
    end)
  )

  it(
    "closes the edge if told so",
    test(function()
      local _, lost, open, b, edge = flood("disconnect", 10)
      eventually(function()
        return not edge.live
      end, "the edge ends")
      assert.is_true(#lost >= 1)
      assert.same({}, b.edges)
      open()
    end)
  )

  it(
    "stops reading if told so, and loses nothing",
    test(function()
      local got, lost, open, b, _, subscription = flood("block", 2000)
      eventually(function()
        return subscription.waiting >= 3
      end, "the inbox is full")
      open()
      eventually(function()
        return #got == 2000
      end, "all are handled")
      for i = 1, 2000 do
        assert.equal(i, got[i])
      end
      assert.same({}, lost)
      assert.equal(0, b.ledger.inbox_dropped)
    end)
  )
end)

describe("node:messages", function()
  it(
    "gives messages and edges, and ends after the timeout",
    test(function()
      local a, b, edge = nodes.pair()
      local got = {}
      local reader = chaski.spawn(function()
        for message, from in b:messages({ "x", "y" }, { timeout = 0.5 }) do
          got[#got + 1] = message.topic .. message.data .. from.name
        end
      end)
      nodes.knows(edge, "x")
      assert(a:publish("x", 1))
      assert(a:publish("y", 2))
      assert.is_true(reader:join())
      assert.same({ "x1a", "y2a" }, got)
      assert.same({}, b.subscriptions)
    end)
  )

  it(
    "is left by break, and the subscription with it",
    test(function()
      local a, b, edge = nodes.pair()
      chaski.spawn(function()
        eventually(function()
          return edge:is_subscribed "x"
        end)
        a:publish("x", 1)
        a:publish("x", 2)
      end)
      for message in b:messages "x" do
        if message.data == 1 then break end
      end
      assert.same({}, b.subscriptions)
    end)
  )

  it(
    "ends when the node stops, or is aborted",
    test(function()
      local b, c = nodes.node "b", nodes.node "c"
      local function read(node)
        for _ in node:messages "x" do
          error "nothing comes"
        end
        return "end"
      end
      local reader, other = chaski.spawn(read, b), chaski.spawn(read, c)
      b:stop()
      assert.same({ true, "end" }, { reader:join() })
      local close = getmetatable(c).__close
      table.sort({ 1, 2 }, function()
        if close then close(c) end
        close = nil
        return false
      end)
      assert.same({ true, "end" }, { other:join() })
    end)
  )
end)

describe("a command", function()
  it(
    "is handled by its handler, the last one given",
    test(function()
      local a, b, edge = nodes.pair()
      local got, wait = nodes.collector()
      b:handle("ask", function()
        got[#got + 1] = "old"
      end)
      local handle = b:handle("ask", function(message, from)
        got[#got + 1] = { message.command, message.data, from.name }
      end)
      assert(a:write("ask", { q = 1 }))
      assert(a:write("ask", { q = 2 }, { edge = edge }))
      wait(2)
      assert.same({ { "ask", { q = 1 }, "a" }, { "ask", { q = 2 }, "a" } }, got)
      handle:remove()
      assert(a:write("ask", 3))
      eventually(function()
        return b.ledger.unknown == 1
      end, "it is counted")
      assert.equal(2, #got)
    end)
  )

  it(
    "of the protocol cannot be handled",
    test(function()
      local node = nodes.node "n"
      assert.error_matches(function()
        node:handle("ping", function() end)
      end, "node:handle: command 'ping'")
    end)
  )
end)

describe("a datagram", function()
  it(
    "carries a command to a node, best effort",
    test(function()
      local a, b = nodes.node "a", nodes.node "b"
      local got, wait = nodes.collector()
      b:on("datagram", function(message, ip, port)
        got[#got + 1] = { message.command, message.data, ip, port }
      end)
      assert(a:send_udp_message("hello", { n = 1 }, b.ip, b.port))
      wait(1)
      assert.same({ "hello", { n = 1 }, "127.0.0.1", a.port }, got[1])
      assert.equal(1, b.ledger.datagrams_in)
      assert.equal("too_big", select(2, a:send_udp_message("hello", ("x"):rep(2000), b.ip, b.port)).code)
      assert.error_matches(function()
        a:send_udp_message("hello", 1, "localhost", 1)
      end, "expected a numeric ip")
    end)
  )

  it(
    "is not sent by a node without a socket for it",
    test(function()
      local a = nodes.node("a", { udp = false })
      assert.equal("forbidden", select(2, a:send_udp_message("hello", 1, "127.0.0.1", 1)).code)
    end)
  )

  it(
    "has events for its socket",
    test(function()
      local a = nodes.node "a"
      local told, wait = nodes.collector()
      a:on("udp_open", function()
        told[#told + 1] = "open"
      end)
      a:on("udp_closed", function()
        told[#told + 1] = "closed"
      end)
      wait(1)
      assert.equal("open", told[1])
    end)
  )
end)

describe("a dial-back", function()
  it(
    "reports before its handshake, and its edge is paired",
    test(function()
      local a, b = nodes.node "a", nodes.node "b"
      local got, wait = nodes.collector()
      core.handle_at(b, "report_paired", function(_, data, edge)
        got[#got + 1] = { data, edge.name }
      end)
      local edge = assert(a:connect(b, { paired = "weather", report = { extra = 1 } }))
      assert.is_true(edge.paired)
      wait(1)
      assert.same({ { paired = "weather", extra = 1 }, "a" }, got[1])
    end)
  )
end)

describe("publish", function()
  it(
    "gives nil and an error when it cannot be",
    test(function()
      local a, _, edge = nodes.pair({ limits = { data_max = 20000 } })
      assert.equal("too_big", select(2, a:publish("x", ("y"):rep(30000))).code)
      local ok, err = a:publish("x", { deep = { print } })
      assert.is_nil(ok)
      assert.equal("serialize", err.code)
      assert.truthy(tostring(err):find("data.deep", 1, true))
      edge:close()
      eventually(function()
        return not edge.live
      end)
      assert.equal("no_edge", select(2, a:publish("x", 1)).code)
      assert.equal("no_edge", select(2, a:try_publish("x", 1)).code)
      a:stop()
      assert.equal("stopped", select(2, a:publish("x", 1)).code)
    end)
  )

  it(
    "goes to one edge and with a ttl of its own when told so",
    test(function()
      local a, b, edge = nodes.pair()
      local c = nodes.node "c"
      assert(a:connect(c))
      local got, wait = nodes.collector()
      for _, node in ipairs { b, c } do
        node:subscribe("x", function(message)
          got[#got + 1] = node.name .. message.ttl
        end)
      end
      for _, each in ipairs(a.edges) do
        nodes.knows(each, "x")
      end
      assert(a:publish("x", 1, { edge = edge, ttl = 5 }))
      wait(1)
      assert(a:publish("x", 2, { ttl = 2 }))
      wait(3)
      table.sort(got)
      assert.same({ "b2", "b5", "c2" }, got)
    end)
  )

  it(
    "waits while every edge is full, and goes on",
    test(function()
      local a, b, edge = nodes.pair { limits = { queue_low = 4096, queue_high = 65536 } }
      local gate, count, sum, paused, resumed = true, 0, 0, false, false
      b:subscribe("x", function(message)
        while gate do
          chaski.sleep(0.001)
        end
        count, sum = count + 1, sum + #message.data
      end, { overflow = "block", inbox = 1 })
      nodes.knows(edge, "x")
      a:on("pause_writing", function()
        paused = true
      end)
      a:on("resume_writing", function()
        resumed = true
      end)
      local publisher = chaski.spawn(function()
        local block = ("z"):rep(50000)
        for _ = 1, 400 do
          assert(a:publish("x", block))
        end
      end)
      eventually(function()
        return paused
      end, "the edge is full")
      assert.equal("full", select(2, a:try_publish("x", 1)).code)
      assert.is_false(edge.writable)
      assert.equal("parked", publisher.status)
      gate = false
      assert.is_true(publisher:join())
      eventually(function()
        return count == 400
      end, "all arrive")
      assert.equal(400 * 50000, sum)
      assert.is_true(resumed)
    end)
  )

  it(
    "lets the loop turn in a long run",
    test(function()
      local a, b, edge = nodes.pair()
      local count = 0
      b:subscribe("x", function()
        count = count + 1
      end)
      nodes.knows(edge, "x")
      for i = 1, 20000 do
        assert(a:publish("x", i))
      end
      assert.is_true(count > 0)
      eventually(function()
        return count == 20000
      end, "all arrive")
    end, 10)
  )

  it(
    "does not wait when it only tries",
    test(function()
      local a, b, edge = nodes.pair { limits = { queue_low = 4096, queue_high = 65536 } }
      b:subscribe("x", function() end)
      nodes.knows(edge, "x")
      local block = ("z"):rep(50000)
      for _ = 1, 10000 do
        local ok, err = a:try_publish("x", block)
        if not ok then
          assert.equal("full", err.code)
          return
        end
      end
      error "it was never full"
    end)
  )
end)

describe("propagation", function()
  it(
    "passes messages on, with the ttl counted down",
    test(function()
      local a, b = nodes.pair(nil, { message_propagation = true })
      local c = nodes.node "c"
      local edge = assert(c:connect(b))
      local got, wait = nodes.collector()
      c:subscribe("x", function(message)
        got[#got + 1] = { message.data, message.ttl }
      end)
      eventually(function()
        local back = b:get_edge_by_name "c"
        return back and back:is_subscribed "x"
      end, "b knows")
      assert(a:publish("x", "far"))
      wait(1)
      assert.same({ "far", 63 }, got[1])
      assert.equal(1, b.ledger.relayed)
      assert.is_true(edge.live)
    end)
  )

  it(
    "by hand sends the bytes as they came, or the data assigned",
    test(function()
      local a, b, edge = nodes.pair()
      local c = nodes.node "c"
      assert(c:connect(b))
      local got, wait = nodes.collector()
      c:subscribe("x", function(message)
        got[#got + 1] = message.data
      end)
      b:subscribe("x", function(message, from)
        if message.data == "change" then message.data = "changed" end
        assert(b:propagate(message, from))
      end)
      eventually(function()
        local back = b:get_edge_by_name "c"
        return back and back:is_subscribed "x"
      end, "b knows")
      nodes.knows(edge, "x")
      assert(a:publish("x", "keep"))
      assert(a:publish("x", "change"))
      wait(2)
      assert.same({ "keep", "changed" }, got)
    end)
  )
end)

describe("events", function()
  it(
    "have names; a wrong one is told with the nearest",
    test(function()
      local node = nodes.node "n"
      assert.error_matches(function()
        node:on("edge_close", print)
      end, "node:on: unknown event 'edge_close', did you mean 'edge_closed'?")
      assert.error_matches(function()
        node:on("stopped", 1)
      end, "expected a function")
    end)
  )

  it(
    "are told to every listener until removed; one that fails does not hurt the others",
    test(function()
      helper.expect_errors(1)
      local node = nodes.node "n"
      local got = {}
      local removed = node:on("stopped", function()
        got[#got + 1] = "removed"
      end)
      node:on("stopped", function()
        error "listener"
      end)
      node:on("stopped", function()
        chaski.sleep(0.001)
        got[#got + 1] = "second"
      end)
      removed:remove()
      node:stop()
      eventually(function()
        return #got == 1
      end)
      assert.same({ "second" }, got)
    end)
  )
end)

it(
  "nothing of the runtime is left in the registry when nodes are gone",
  test(function()
    local function round()
      local a, b, edge = nodes.pair()
      b:subscribe("x", function(message)
        return message.data
      end)
      nodes.knows(edge, "x")
      a:publish("x", { 1 })
      a:stop()
      b:stop()
    end
    local function registry()
      collectgarbage()
      collectgarbage()
      local count = 0
      for _, value in pairs(debug.getregistry()) do
        if type(value) == "userdata" or type(value) == "function" then count = count + 1 end
      end
      return count
    end
    round()
    local before = registry()
    for _ = 1, 5 do
      round()
    end
    eventually(function()
      return registry() <= before and core.counts().nodes == 0
    end, "all is gone")
  end)
)
