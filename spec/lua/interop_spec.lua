-- interop_spec.lua: our nodes and an independent peer in Python that speaks as the original does (PROTOCOL part A).
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local helper = require "spec.helper"
local interop = require "spec.interop.peer"
local nodes = require "spec.lua.nodes"
local notation = require "spec.interop.notation"

local test, eventually = interop.test, helper.eventually

--- Our node and a peer that has dialled it: node, peer, our edge.
local function dialled(options, peer_options)
  local node = nodes.node("ours", options)
  local peer = interop.start(peer_options or {})
  peer:dial(node)
  eventually(function()
    return node:get_edge(peer.address)
  end, "our side of the edge")
  return node, peer, node:get_edge(peer.address)
end

--- The same, dialled by us.
local function dialling(options, peer_options)
  local node = nodes.node("ours", options)
  local peer = interop.start(peer_options or {})
  local edge = assert(node:connect(peer.address))
  peer:wait "edge"
  return node, peer, edge
end

--- A list of what arrives at the node under the topics, and wait(n).
local function collect(node, topics)
  local got, wait = nodes.collector()
  node:subscribe(topics, function(message, edge)
    got[#got + 1] = { topic = message.topic, data = message.data, ttl = message.ttl, uuid = message.uuid, edge = edge }
  end)
  return got, wait
end

--- Since frames of one edge are handled in order, what was sent before has been handled when this returns.
local function settle(edge)
  assert(edge:ping())
end

--- End a node as if its process had died: no goodbye.
local function kill(node)
  local close = getmetatable(node).__close
  table.sort({ 1, 2 }, function()
    if close then close(node) end
    close = nil
    return false
  end)
end

--- Have the peer write until it has noticed that the edge is gone.
local function write_until_noticed(peer)
  local closed
  eventually(function()
    peer:tell("publish", { topic = "nobody" })
    closed = peer:take "edge_closed"
    return closed
  end, "the peer notices", 8 * helper.slowness)
  return closed
end

describe("the peer", function()
  it(
    "reads and writes the captured frames",
    test(function()
      local process = interop.run "selftest.py"
      assert.equal(0, process.code, table.concat(process.out, "\n"))
      assert.equal("all checks passed", process.out[#process.out])
    end)
  )
end)

describe("the handshake with a Python node", function()
  it(
    "is completed when it dials us",
    test(function()
      local node, peer, edge = dialled({ subscriptions = { "t", "u" } }, { subscriptions = { "t", "v" } })
      assert.is_true(edge.live)
      assert.is_false(edge.dialled)
      assert.equal("python", edge.name)
      assert.equal(peer.address, edge.address)
      assert.same({ "t", "v" }, edge.subscriptions)
      assert.equal(0, edge.protocol)
      assert.equal("", edge.id)
      local theirs = peer:edges()
      assert.equal(1, #theirs)
      assert.equal("ours", theirs[1].name)
      assert.equal(node.port, theirs[1].port)
      assert.equal(node.ip, theirs[1].ip)
      assert.equal('["t", "u"]', notation.write(theirs[1].subscriptions))
    end)
  )

  it(
    "is completed when we dial it",
    test(function()
      local node, peer, edge = dialling({ subscriptions = { "t" } }, { subscriptions = { "v" } })
      assert.is_true(edge.dialled)
      assert.equal("python", edge.name)
      assert.same({ "v" }, edge.subscriptions)
      local theirs = peer:edges()
      assert.equal(1, #theirs)
      assert.equal(node.port, theirs[1].port)
      assert.equal(edge, assert(node:connect(peer.address)))
      assert.equal(1, #peer:edges())
    end)
  )

  it(
    "answers each of its ids exactly once",
    test(function()
      local _, peer, edge = dialled()
      settle(edge)
      assert.equal(0, peer:tell("edges").owed)
      assert.equal(0, peer:count "connection_ended")
    end)
  )

  it(
    "leaves one edge when both dial",
    test(function()
      local node = nodes.node("ours", { subscriptions = { "t" } })
      local peer = interop.start {}
      local number = peer:begin("connect", { ip = node.ip, port = node.port })
      assert(node:connect(peer.address))
      peer:finish(number)
      local got, wait = collect(node, "t")
      peer:tell("publish", { topic = "t", data = "1" }) -- writes on an edge we have left make it forget that one
      wait(1)
      eventually(function()
        peer:tell("publish", { topic = "t", data = "2" })
        return #node.edges == 1 and #peer:edges() == 1
      end, "one edge on both sides", 8 * helper.slowness)
      local before = #got
      peer:tell("publish", { topic = "t", data = "3" })
      wait(before + 1)
      settle(node.edges[1])
      assert.equal(before + 1, #got)
      assert.equal(3, got[#got].data)
    end)
  )

  it(
    "lets nothing else in before it is done",
    test(function()
      local node = nodes.node("ours", { subscriptions = { "t" } })
      local got = collect(node, "t")
      local peer = interop.start {}
      local first = { ip = node.ip, port = node.port, topic = "t", command = "ChaskiMessage", data = '"early"' }
      local answer = peer:tell("first", first)
      assert.is_nil(answer.answer)
      assert.same({}, got)
      assert.same({}, node.edges)
    end)
  )

  it(
    "on a live edge is ignored if no goodbye",
    test(function()
      local node, peer, edge = dialled()
      peer:tell("handshake", { response = false })
      settle(edge)
      assert.is_true(edge.live)
      assert.equal(edge, node.edges[1])
      assert.equal(1, #node.edges)
      assert.equal(1, #peer:edges())
      assert.equal(1, peer:tell("edges").owed)
    end)
  )

  it(
    "answered with an id we never gave is ignored",
    test(function()
      local node, peer, edge = dialled()
      peer:tell("write", {
        command = "handshake_back",
        data = '{handshake_id: "nonsense", name: "x", ip: "127.0.0.1", port: 1, subscriptions: []}',
      })
      settle(edge)
      assert.is_true(edge.live)
      assert.equal("python", edge.name)
      assert.equal(1, #node.edges)
    end)
  )
end)

describe("a ping", function()
  it(
    "of ours is answered, and the latency measured",
    test(function()
      local _, _, edge = dialled()
      edge:reset_latency()
      local rtt = assert(edge:ping { size = 1000 })
      assert.is_true(rtt > 0)
      assert.is_true(edge.latency > 0)
      assert.is_true(edge.rtt_min > 0 and edge.rtt_min <= rtt)
      assert.is_true(edge.jitter < 100)
    end)
  )

  it(
    "of its own is answered, and its latency measured",
    test(function()
      local _, peer = dialling()
      peer:tell("ping", { size = 1000 })
      local pong = peer:wait "pong"
      assert.equal(1000, pong.size)
      assert.equal("ours", pong.name)
      assert.is_true(pong.latency > 0)
      assert.equal(100, pong.jitter)
      peer:tell "ping"
      pong = peer:wait "pong"
      assert.is_true(math.abs(pong.jitter - 100 / math.sqrt(2)) < 1e-9)
      assert.is_false(pong.owes_pong)
    end)
  )

  it(
    "of both sides' keep-alive keeps the edge",
    test(function()
      local limits = { keep_alive_interval = 0.02 }
      local _, peer, edge = dialled({ limits = limits }, { keep_alive = 0.2 * helper.slowness })
      for _ = 1, 3 do
        peer:wait "pong"
      end
      eventually(function()
        return edge.counters.frames_out > 8
      end, "we have pinged too")
      assert.is_true(edge.live)
      assert.equal(0, peer:count "edge_closed")
    end)
  )

  it(
    "that is never answered costs that edge, after its lease",
    test(function()
      local lease = 0.4 * helper.slowness
      local node = nodes.node("ours", { limits = { lease = lease, keep_alive_interval = lease / 8 } })
      local mute, other = interop.start { name = "mute", answers_pings = false }, interop.start { name = "other" }
      local ends = nodes.collector()
      node:on("edge_closed", function(edge, reason)
        ends[#ends + 1] = edge.name .. " " .. reason
      end)
      mute:dial(node)
      other:dial(node)
      eventually(function()
        return #ends > 0
      end, "the lease ends", 4 * lease + 5)
      assert.same({ "mute lease" }, ends)
      assert.is_number(assert(node:get_edge_by_name("other"):ping()))
    end)
  )

  it(
    "asked for again before the answer is read makes the peer say goodbye",
    test(function()
      local node, peer = dialled()
      local ends, wait = nodes.collector()
      node:on("edge_closed", function(_, reason)
        ends[#ends + 1] = reason
      end)
      peer:tell("ping", { times = 2 })
      wait(1)
      assert.same({ "goodbye" }, ends)
      assert.same({}, peer:edges())
    end)
  )

  it(
    "answered with an id we never gave is ignored",
    test(function()
      local _, peer, edge = dialled()
      peer:tell("write", { command = "pong", data = '{ping_id: "nonsense", latency_update: true, dummy_data: bin 00}' })
      settle(edge)
      assert.is_true(edge.live)
    end)
  )

  it(
    "tells us of subscriptions that changed",
    test(function()
      local _, peer, edge = dialled({ keep_alive = false }, { subscriptions = { "old" } })
      peer:tell("subscribe", { topic = "new" })
      peer:tell("unsubscribe", { topic = "old" })
      assert.same({ "old" }, edge.subscriptions)
      assert(edge:ping())
      assert.same({ "new" }, edge.subscriptions)
    end)
  )

  it(
    "tells it of subscriptions that changed",
    test(function()
      local node, peer = dialled { subscriptions = { "old" } }
      node:unsubscribe "old"
      node:subscribe("new", function() end)
      peer:tell "ping"
      assert.equal('["new"]', notation.write(peer:wait("pong").subscriptions))
    end)
  )
end)

-- All of the mapping: as it is written down here, in the notation of PROTOCOL A.13.
local values = {
  { "nil", "nil" },
  { "a bool", "true" },
  { "zero", "0" },
  { "a small integer", "-32" },
  { "an integer of two bytes", "-32768" },
  { "the largest integer", "9223372036854775807" },
  { "the smallest integer", "-9223372036854775808" },
  { "a float", "2.5" },
  { "a float that is a whole number", "7.0" },
  { "a small float", "1e-300" },
  { "infinity", "inf" },
  { "not a number", "nan" },
  { "an empty string", '""' },
  { "a string of UTF-8", '"ñandú 世界 🜨 \\"\\\\\\n"' },
  { "a long string", '"' .. ("chaski "):rep(10000) .. '"' },
  { "bytes", "bin 00ff80c1" },
  { "bytes that are text", "bin 636861736b69" },
  { "an array with nil", "[1, nil, true, 2.5, [], {}]" },
  { "a map", '{"a key": 1, b: [false], c: {d: {e: {}}}}' },
  { "a map with numbers as keys", "{-1: 1, 2: 2, 3000000000: 3}" },
  { "a timestamp", "ext(-1) 1795394356.124096000" },
  { "a timestamp of whole seconds", "[ext(-1) 1.000000000]" },
  { "a timestamp before 1970", "{t: ext(-1) -5.500000000}" },
  { "an unknown extension", "ext(7) 0102ff" },
  { "deep nesting", ("["):rep(30) .. ("]"):rep(30) },
}

describe("data", function()
  for _, value in ipairs(values) do
    it(
      "both ways: " .. value[1],
      test(function()
        local node, peer = dialling({ strings = "str" }, { subscriptions = { "t" } })
        local got, wait = collect(node, "t")
        peer:tell("publish", { topic = "t", data = value[2] })
        wait(1)
        assert.equal(value[2], notation.write(got[1].data))
        assert(node:publish("t", notation.parse(value[2])))
        local message = peer:wait "message"
        assert.equal(value[2], message.data)
        assert.equal("t", message.topic)
        assert.equal("ours", message.name)
      end)
    )
  end
end)

describe("messages", function()
  it(
    "carry their envelope from us to it",
    test(function()
      local node, peer = dialling(nil, { subscriptions = { "t" } })
      local before = os.time()
      assert(node:publish("t", 1, { ttl = 9 }))
      local message = peer:wait "message"
      assert.equal(9, message.wire_ttl)
      assert.equal(36, #message.uuid)
      local sec = tonumber(message.timestamp:match "^ext%(%-1%) (%d+)%.")
      assert.is_true(sec >= before and sec <= os.time())
    end)
  )

  it(
    "carry their envelope from it to us",
    test(function()
      local node, peer = dialled()
      local got, wait = collect(node, "t")
      peer:tell("publish", { topic = "t", data = "1", ttl = 7, uuid = "an-id-of-its-own" })
      wait(1)
      assert.equal(7, got[1].ttl)
      assert.equal("an-id-of-its-own", got[1].uuid)
      assert.equal("python", got[1].edge.name)
    end)
  )

  it(
    "keep their order, many of them, both ways at once",
    test(function()
      local node, peer, edge = dialling(nil, { subscriptions = { "t" }, messages_pool_maxsize = 128 })
      local got, wait = collect(node, "t")
      local number = peer:begin("publish", { topic = "t", times = 500, number = true })
      for i = 1, 500 do
        assert(node:publish("t", i))
      end
      peer:finish(number)
      wait(500)
      settle(edge)
      for i = 1, 500 do
        assert.equal(i, got[i].data)
        assert.equal(tostring(i), peer:wait("message").data)
      end
      assert.equal(500, #got)
      assert.equal(0, peer:count "message")
    end)
  )

  it(
    "may be large",
    test(function()
      local node, peer = dialled({ strings = "str" }, { subscriptions = { "t" } })
      local got, wait = collect(node, "t")
      local text = "bin " .. ("00ff"):rep(500000)
      assert(node:publish("t", notation.parse(text)))
      assert.is_true(text == peer:wait("message").data)
      peer:tell("publish", { topic = "t", data = text })
      wait(1)
      assert.is_true(text == notation.write(got[1].data))
    end, 20)
  )

  it(
    "of topics we do not subscribe to are not delivered",
    test(function()
      local node, peer, edge = dialled { subscriptions = { "t" } }
      local got, wait = collect(node, "t")
      peer:tell("publish", { topic = "other", data = "1" })
      peer:tell("publish", { topic = "t", data = "2" })
      wait(1)
      assert.equal(2, got[1].data)
      assert.equal(1, node.ledger.unwanted)
      assert.is_true(edge.live)
    end)
  )

  it(
    "of topics it does not subscribe to are skipped unread",
    test(function()
      local node, peer, edge = dialled(nil, { subscriptions = { "t" } })
      assert(node:publish("other", ("x"):rep(200000)))
      assert(node:publish("t", 2))
      assert.equal("2", peer:wait("message").data)
      settle(edge)
      assert.equal(0, peer:count "message")
    end)
  )

  it(
    "of every topic come to our root",
    test(function()
      local node, peer = dialled { root = true }
      local got, wait = collect(node, "@")
      peer:tell("publish", { topic = "any", data = "1" })
      peer:tell("publish", { topic = "thing", data = "2" })
      wait(2)
      assert.equal("any", got[1].topic)
      assert.equal("thing", got[2].topic)
    end)
  )

  it(
    "of every topic come to its root",
    test(function()
      local node, peer, edge = dialled(nil, { root = true })
      assert.is_true(edge:is_subscribed "@")
      assert(node:publish("any", 1))
      assert(node:publish("thing", 2))
      assert.equal("any", peer:wait("message").topic)
      assert.equal("thing", peer:wait("message").topic)
    end)
  )

  it(
    "that come twice are delivered once",
    test(function()
      local node, peer, edge = dialled()
      local got = collect(node, "t")
      peer:tell("publish", { topic = "t", data = "1", uuid = "one", times = 3 })
      settle(edge)
      eventually(function()
        return #got == 1
      end, "one message")
      assert.equal(2, node.ledger.duplicates)
    end)
  )

  it(
    "whose two topics differ are malformed",
    test(function()
      local node, peer = dialled()
      local got = collect(node, { "t", "secret" })
      local ends, wait = nodes.collector()
      node:on("edge_closed", function(_, reason)
        ends[#ends + 1] = reason
      end)
      local data = notation.bytes "82a7636f6d6d616e64ad436861736b694d657373616765a5746f706963a6736563726574"
      peer:tell("raw", { hex = notation.hex((">I4I4"):pack(#data, 2) .. "\xa1t" .. data) })
      wait(1)
      assert.same({ "malformed" }, ends)
      assert.same({}, got)
    end)
  )

  it(
    "with data that is not MessagePack cost that message only",
    test(function()
      local node, peer, edge = dialled()
      local bad, wait = nodes.collector()
      node:on("malformed_data", function(_, err)
        bad[#bad + 1] = err.code
      end)
      node:subscribe("t", function(message)
        pcall(function()
          return message.data
        end)
      end)
      local data = notation.bytes "83a7636f6d6d616e64ad436861736b694d657373616765a5746f706963a174a464617461c1"
      peer:tell("raw", { hex = notation.hex((">I4I4"):pack(#data, 2) .. "\xa1t" .. data) })
      wait(1)
      assert.same({ "malformed_data" }, bad)
      settle(edge)
    end)
  )

  it(
    "under commands of its own reach their handler",
    test(function()
      local node, peer, edge = dialled()
      local got, wait = nodes.collector()
      node:handle("Ask", function(message, from)
        got[#got + 1] = notation.write(message.data) .. from.name
      end)
      peer:tell("write", { command = "Ask", data = '{q: ["x"]}' })
      peer:tell("write", { command = "Unknown", data = "{}" })
      wait(1)
      assert.same({ '{q: ["x"]}python' }, got)
      settle(edge)
      assert.equal(1, node.ledger.unknown)
    end)
  )

  it(
    "under commands of ours reach it",
    test(function()
      local node, peer = dialled()
      assert(node:write("Tell", { x = 1 }))
      assert.equal("Tell", peer:wait("unknown_command").command)
      peer:tell "ping"
      peer:wait "pong"
    end)
  )
end)

describe("propagation", function()
  it(
    "python, ours, python: with the ttl counted down and the id kept",
    test(function()
      local node = nodes.node("relay", { message_propagation = true })
      local a, b = interop.start { name = "a" }, interop.start { name = "b", subscriptions = { "t" } }
      a:dial(node)
      b:dial(node)
      eventually(function()
        return #node.edges == 2
      end, "both edges")
      local data = '{s: "ñ", t: ext(-1) 1795394356.124096000, x: [1, nil, bin 00ff]}'
      a:tell("publish", { topic = "t", data = data, uuid = "the-id", ttl = 20 })
      local message = b:wait "message"
      assert.equal(data, message.data)
      assert.equal("the-id", message.uuid)
      assert.equal(19, message.wire_ttl)
      assert.equal(18, message.ttl)
      assert.equal("relay", message.name)
      a:tell("publish", { topic = "t", data = "2", ttl = 1 })
      a:tell("publish", { topic = "t", data = "3" })
      assert.equal("3", b:wait("message").data)
      assert.equal(1, node.ledger.expired)
    end)
  )

  it(
    "python, ours, python: not without the option",
    test(function()
      local node = nodes.node("no relay", { subscriptions = { "t" } })
      local a, b = interop.start { name = "a" }, interop.start { name = "b", subscriptions = { "t" } }
      a:dial(node)
      b:dial(node)
      eventually(function()
        return #node.edges == 2
      end, "both edges")
      local got, wait = collect(node, "t")
      a:tell("publish", { topic = "t", data = "1" })
      wait(1)
      settle(node:get_edge_by_name "b")
      assert.equal(0, b:count "message")
      assert.equal(1, got[1].data)
    end)
  )

  it(
    "ours, python, ours",
    test(function()
      local peer = interop.start { subscriptions = { "t" } }
      local a, b = nodes.node "a", nodes.node "b"
      assert(a:connect(peer.address))
      assert(b:connect(peer.address))
      peer:wait("edge", { name = "a" })
      peer:wait("edge", { name = "b" })
      local got, wait = collect(b, "t")
      local back = collect(a, "t")
      local sent = notation.parse '{s: "ñ", x: [1, nil, 2.5]}'
      assert(a:publish("t", sent))
      wait(1)
      assert.equal(notation.write(sent), notation.write(got[1].data))
      assert.equal(63, got[1].ttl)
      assert.equal(peer:wait("message").uuid, got[1].uuid)
      settle(a.edges[1])
      assert.same({}, back)
    end)
  )

  it(
    "ours, python, ours: not when the peer has it off",
    test(function()
      local peer = interop.start { subscriptions = { "t" }, propagation = false }
      local a, b = nodes.node "a", nodes.node "b"
      local edge = assert(a:connect(peer.address))
      local other = assert(b:connect(peer.address))
      peer:wait("edge", { name = "b" })
      local got = collect(b, "t")
      assert(a:publish("t", 1))
      settle(edge)
      settle(other)
      assert.same({}, got)
      assert.equal(0, peer:count "message")
      peer:tell("propagation", { on = true })
      assert(a:publish("t", 2))
      assert.equal("2", peer:wait("message").data)
    end)
  )

  it(
    "in a triangle of two of ours and one of its kind: each message once",
    test(function()
      local options = { message_propagation = true, subscriptions = { "t" } }
      local a, b = nodes.node("a", options), nodes.node("b", options)
      local peer = interop.start { subscriptions = { "t" } }
      assert(a:connect(b))
      assert(b:connect(peer.address))
      peer:dial(a)
      peer:wait("edge", { name = "b" })
      eventually(function()
        return #a.edges == 2 and #b.edges == 2
      end, "the triangle")
      local at_a, at_b = collect(a, "t"), collect(b, "t")
      eventually(function()
        return a:get_edge_by_name("b"):is_subscribed "t" and b:get_edge_by_name("a"):is_subscribed "t"
      end, "they know")
      for i = 1, 40 do
        assert(a:publish("t", "a" .. i))
        assert(b:publish("t", "b" .. i))
      end
      peer:tell("publish", { topic = "t", times = 40, number = true })
      eventually(function()
        return #at_a >= 80 and #at_b >= 80 and peer:count "message" >= 80
      end, "all is delivered", 8 * helper.slowness)
      for _ = 1, 2 do -- what is still under way takes two hops at most
        for _, node in ipairs { a, b } do
          for _, edge in ipairs(node.edges) do
            settle(edge)
          end
        end
      end
      assert.equal(80, #at_a)
      assert.equal(80, #at_b)
      local times = {}
      for message in
        function()
          return peer:take "message"
        end
      do
        times[message.data] = (times[message.data] or 0) + 1
      end
      for i = 1, 40 do
        assert.equal(1, times[('"a%d"'):format(i)])
        assert.equal(1, times[('"b%d"'):format(i)])
        assert.is_true((times[tostring(i)] or 0) <= 1) -- its own: it does not remember their ids
      end
    end)
  )

  it(
    "does not pass on what has no id",
    test(function()
      local node = nodes.node("relay", { message_propagation = true, subscriptions = { "t" } })
      local a, b = interop.start { name = "a" }, interop.start { name = "b", subscriptions = { "t" } }
      a:dial(node)
      b:dial(node)
      eventually(function()
        return #node.edges == 2
      end, "both edges")
      local got, wait = collect(node, "t")
      local data = notation.bytes "83a7636f6d6d616e64ad436861736b694d657373616765a5746f706963a174a46461746101"
      local frame = notation.hex((">I4I4"):pack(#data, 2) .. "\xa1t" .. data)
      a:tell("raw", { hex = frame .. frame })
      wait(2)
      settle(node:get_edge_by_name "b")
      assert.equal(0, b:count "message")
      assert.equal(1, got[1].data)
    end)
  )
end)

describe("a goodbye", function()
  it(
    "of its own ends the edge, and we do not dial again",
    test(function()
      local asked = false
      local node, peer, edge = dialling {
        reconnect = function()
          asked = true
          return 0
        end,
      }
      peer:tell "close"
      eventually(function()
        return not edge.live
      end, "the edge has ended")
      assert.equal("goodbye", edge.reason)
      assert.same({}, node.edges)
      assert.is_false(asked)
      assert.is_false(node.status.reconnecting)
    end)
  )

  it(
    "of ours is noticed at its next writes",
    test(function()
      local node, peer, edge = dialled()
      assert.is_true(edge:close())
      eventually(function()
        return #node.edges == 0
      end, "our side has ended")
      assert.equal("ours", write_until_noticed(peer).name)
      assert.same({}, peer:edges())
      assert.equal(0, peer:count "connection_ended")
    end)
  )

  it(
    "does not keep either from dialling the other again",
    test(function()
      local node, peer, edge = dialled()
      edge:close()
      eventually(function()
        return #node.edges == 0
      end, "our side has ended")
      write_until_noticed(peer)
      assert.is_true(assert(node:connect(peer.address)).live)
      peer:wait "edge"
      peer:tell "close"
      eventually(function()
        return #node.edges == 0
      end, "the edge has ended")
      peer:dial(node)
      eventually(function()
        return #node.edges == 1
      end, "the edge is back")
    end)
  )

  it(
    "is said to it when our node stops",
    test(function()
      local node, peer = dialled()
      node:stop()
      assert.equal("ours", write_until_noticed(peer).name)
    end)
  )
end)

describe("a loss", function()
  it(
    "of the peer is noticed at once, and it is dialled again",
    test(function()
      local attempts, wait = nodes.collector()
      local _, peer, edge = dialling {
        reconnect = function(_, lost, attempt)
          attempts[#attempts + 1] = lost.name
          return attempt < 3 and 0.001 or nil
        end,
      }
      peer:kill()
      eventually(function()
        return not edge.live
      end, "the edge has ended")
      assert.truthy(edge.reason == "lost" or edge.reason == "reset")
      wait(2)
      assert.equal("python", attempts[1])
    end)
  )

  it(
    "of the peer's process is made good by the next one on its port",
    test(function()
      local node, peer = dialling({
        reconnect = function()
          return 0.01
        end,
      }, { reuse_address = true })
      peer:kill()
      local heir = interop.start { name = "heir", port = peer.port, reuse_address = true }
      heir:wait "edge"
      eventually(function()
        return node:get_edge_by_name "heir"
      end, "the edge is back")
    end)
  )

  it(
    "of our node is noticed at the peer's writes",
    test(function()
      local node, peer = dialled()
      kill(node)
      assert.equal("ours", write_until_noticed(peer).name)
      assert.same({}, peer:edges())
    end)
  )

  it(
    "of our node inside a frame makes the peer dial again",
    test(function()
      local uv = require "luv"
      local node = nodes.node "ours"
      local peer = interop.start { reconnections = 3, redial_after = 0.05 }
      local raw = uv.new_tcp() -- a connection of ours that answers the handshake in our node's name, and breaks off
      local answered = false
      raw:connect(peer.ip, peer.port, function()
        raw:read_start(function(_, chunk)
          local id = chunk and not answered and chunk:match "handshake_id\xd9\x24(....................................)"
          if not id then return end
          answered = true
          local data = assert(chaski.pack {
            command = "handshake_back",
            topic = "All",
            data = {
              handshake_id = id,
              name = "ours",
              ip = node.ip,
              port = node.port,
              subscriptions = chaski.array {},
            },
          })
          raw:write((">I4I4"):pack(#data, 4) .. "\xa3All" .. data .. (">I4I4"):pack(1000, 4) .. "\xa3All half a")
          raw:shutdown()
        end)
        local hello = { handshake_id = "a", response = true }
        local data = assert(chaski.pack { command = "handshake", topic = "All", data = hello })
        raw:write((">I4I4"):pack(#data, 4) .. "\xa3All" .. data)
      end)
      assert.truthy(peer:wait("connection_ended").why:find "IncompleteReadError")
      eventually(function()
        return #node.edges == 1
      end, "the peer has dialled our node")
      raw:close()
      assert.equal("python", node.edges[1].name)
      assert.is_false(node.edges[1].dialled)
    end)
  )

  it(
    "of the peer that stops comes with its own return",
    test(function()
      local node, peer = dialled(nil, { reconnections = 1, redial_after = 0.05 })
      local ends, wait = nodes.collector()
      node:on("edge_closed", function(_, reason)
        ends[#ends + 1] = reason
      end)
      peer:tell "stop"
      wait(1)
      assert.truthy(ends[1] == "lost" or ends[1] == "reset")
      eventually(function()
        return #node.edges == 1
      end, "the stopped peer has dialled us")
    end)
  )

  it(
    "of the peer inside a frame ends the edge as truncated",
    test(function()
      local node, peer, edge = dialled { keep_alive = false }
      peer:tell("raw", { hex = "000000ff00000004a3416c6c86" })
      peer:kill()
      eventually(function()
        return not edge.live
      end, "the edge has ended")
      assert.truthy(edge.reason == "truncated" or edge.reason == "reset")
      assert.same({}, node.edges)
    end)
  )
end)
