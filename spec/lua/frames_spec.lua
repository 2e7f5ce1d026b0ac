-- frames_spec.lua: what nodes of the original sent, as captured (PROTOCOL A.13), read by our codec and by our nodes.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local golden = require "spec.interop.golden"
local helper = require "spec.helper"
local hostile = require "spec.lua.hostile"
local nodes = require "spec.lua.nodes"
local notation = require "spec.interop.notation"
local raw = require "spec.lua.raw"

local test, eventually = nodes.test, helper.eventually

local frames, by_name = golden.read(), {}
for _, frame in ipairs(frames) do
  by_name[frame.name] = frame
end

-- Topic and data of the frame; a datagram has no topic.
local function split(frame)
  if frame.datagram then return nil, frame.raw end
  local data_length, topic_length = (">I4I4"):unpack(frame.raw)
  assert.equal(8 + topic_length + data_length, #frame.raw)
  return frame.raw:sub(9, 8 + topic_length), frame.raw:sub(9 + topic_length)
end

local function envelope(frame)
  return chaski.map {
    command = frame.command,
    topic = frame.topic,
    data = frame.data,
    timestamp = chaski.timestamp(frame.sec, frame.nsec),
    ttl = frame.ttl,
    uuid = frame.uuid ~= "" and frame.uuid or nil,
  }
end

describe("a captured frame", function()
  it("is there for each of the 13 commands", function()
    assert.equal(13, #frames)
  end)

  for _, frame in ipairs(frames) do
    it("is unpacked as the original meant it: " .. frame.name, function()
      local topic, data = split(frame)
      if topic then assert.equal(frame.topic, assert(chaski.unpack(topic))) end
      local message = assert(chaski.unpack(data, { strings = "str" }))
      assert.equal(notation.write(envelope(frame)), notation.write(message))
    end)

    it("keeps its meaning when packed again: " .. frame.name, function()
      local _, data = split(frame)
      local message = assert(chaski.unpack(data, { strings = "str" }))
      local again = assert(chaski.unpack(assert(chaski.pack(message, { strings = "str" })), { strings = "str" }))
      assert.equal(notation.write(message), notation.write(again))
    end)
  end
end)

-- --- as a node takes them --------------------------------------------------------------------------------------------

--- A node, and a bare connection that is an edge of its; what this sends comes from a node of the original as captured.
local function joined(options)
  local node = nodes.node("ours", options)
  local peer = raw.join(node.address)
  return node, peer, assert(node:get_edge_by_name "raw")
end

--- Since frames of one edge are handled in order, what was sent before has been handled when this returns.
local function settle(peer)
  local id = chaski.uuid()
  peer:send(raw.command("ping", { ping_id = id, latency_update = false, dummy_data = chaski.bin "", size = 0 }))
  eventually(function()
    return peer:expect("pong").data.ping_id == id
  end)
end

--- Send the frame, see that the edge and the node have taken no harm.
local function harmless(name, options)
  local node, peer, edge = joined(options)
  peer:send(by_name[name].raw)
  settle(peer)
  assert.is_true(edge.live)
  assert.equal(1, #node.edges)
  assert.equal(0, node.ledger.malformed + node.ledger.malformed_data)
  peer:close()
  return node
end

local function received(name)
  return notation.write(by_name[name].data)
end

describe("a node that is sent the captured", function()
  it(
    "handshake answers with a handshake of its own and a handshake_back of that id",
    test(function()
      local node = nodes.node("ours", { subscriptions = { "t", "u" } })
      local peer <close> = raw.connect(node.address)
      peer:send(by_name.handshake.raw)
      local own, back = peer:message(), peer:message()
      assert.equal("handshake", own.command)
      assert.is_false(own.data.response)
      assert.equal("handshake_back", back.command)
      assert.equal(by_name.handshake.data.handshake_id, back.data.handshake_id)
      assert.same({ "ours", node.ip, node.port }, { back.data.name, back.data.ip, back.data.port })
      assert.same({ "t", "u" }, back.data.subscriptions)
    end)
  )

  it(
    "handshake on a live edge takes it for a goodbye",
    test(function()
      local _, peer, edge = joined()
      peer:send(by_name.handshake.raw)
      eventually(function()
        return edge.reason
      end, "the edge has ended")
      assert.equal("goodbye", edge.reason)
      peer:close()
    end)
  )

  it(
    "handshake_back of an id it never gave ignores it",
    test(function()
      harmless "handshake_back"
    end)
  )

  it(
    "ping answers with a pong that has its timestamp, id and bytes",
    test(function()
      local node, peer, edge = joined()
      peer:send(by_name.ping.raw)
      local pong, ping = peer:expect "pong", by_name.ping
      assert.equal(chaski.timestamp(ping.sec, ping.nsec), pong.data.source_timestamp)
      assert.equal(ping.data.ping_id, pong.data.ping_id)
      assert.is_true(pong.data.latency_update)
      assert.equal("\xcd\x00\xa2\xfd", pong.data.dummy_data)
      assert.is_nil(pong.data.size)
      assert.same({ "ours", node.ip, node.port }, { pong.data.name, pong.data.ip, pong.data.port })
      assert.is_true(edge.live)
      peer:close()
    end)
  )

  it(
    "pong of a ping it never sent ignores it",
    test(function()
      local node = harmless "pong"
      assert.is_nil(node:get_edge_by_name "N2")
    end)
  )

  it(
    "status answers with its id, and no more than three times its length",
    test(function()
      local node = nodes.node("ours", { subscriptions = { "t", "u" } })
      local socket <close> = hostile.socket()
      socket:send(by_name.status.raw, node.port)
      local answer = socket:wait(1)
      assert.equal("response", answer.message.command)
      assert.equal(by_name.status.data.id, answer.message.data.id)
      assert.same({ t = false, u = false }, answer.message.data.paired)
      assert.is_true(answer.message.data.serving)
      assert.is_false(answer.message.data.reconnecting)
      assert.is_true(#answer.bytes <= 3 * #by_name.status.raw)
    end)
  )

  it(
    "response to its own question takes it, and without a question drops it",
    test(function()
      local node = nodes.node "ours"
      local socket <close> = hostile.socket()
      socket:send(by_name.response.raw, node.port)
      eventually(function()
        return node.ledger.datagrams_in == 1
      end, "it has come")
      local uuid = core.uuid
      core.uuid = function()
        return by_name.response.data.id
      end
      local task = chaski.spawn(node.request_status, node, "127.0.0.1", socket.port, { timeout = 4 })
      core.uuid = uuid
      socket:wait(1)
      socket:send(by_name.response.raw, node.port)
      local _, status = task:join()
      assert.equal(received "response", notation.write(chaski.map(status)))
      assert.equal(0, node.ledger.bad_datagrams)
    end)
  )

  it(
    "request_udp answers it with all of it and the response",
    test(function()
      local node, peer, edge = joined()
      node:serve("echo", function(kwargs)
        return kwargs
      end)
      peer:send(by_name.request_udp.raw)
      local answer = peer:expect "response_udp"
      assert.equal(received "response_udp", notation.write(chaski.map(answer.data)))
      assert.is_true(edge.live)
      peer:close()
    end)
  )

  it(
    "response_udp to no question of its own ignores it",
    test(function()
      harmless "response_udp"
    end)
  )

  it(
    "ChaskiMessage delivers it",
    test(function()
      local node, peer, edge = joined { strings = "str" }
      local got, wait = nodes.collector()
      node:subscribe("t", function(message)
        got[#got + 1] = message
      end)
      peer:send(by_name.ChaskiMessage.raw)
      local message, frame = wait(1)[1], by_name.ChaskiMessage
      assert.equal(received "ChaskiMessage", notation.write(chaski.map(message.data)))
      assert.same({ "t", 64, frame.uuid }, { message.topic, message.ttl, message.uuid })
      assert.equal(chaski.timestamp(frame.sec, frame.nsec), message.timestamp)
      assert.equal(#frame.raw, message.wire_size)
      assert.is_true(edge.live)
      peer:close()
    end)
  )

  it(
    "ChaskiFile or ChaskiStorageRequest counts it as unknown",
    test(function()
      for _, name in ipairs { "ChaskiFile", "ChaskiStorageRequest" } do
        local node = harmless(name, { subscriptions = { "t", "storage" } })
        assert.equal(1, node.ledger.unknown)
      end
    end)
  )

  it(
    "discovery passes it on, one hop less, with its own name",
    test(function()
      local node, peer, edge = joined()
      local beyond = nodes.node "beyond"
      assert(node:connect(beyond))
      local got, wait = nodes.collector()
      core.handle_at(beyond, "discovery", function(_, data)
        got[#got + 1] = data
      end)
      peer:send(by_name.discovery.raw)
      local expected = notation.parse(received "discovery")
      expected.ttl, expected.previous_node, expected.visited = 63, "ours", chaski.array { "O", "ours" }
      assert.equal(notation.write(expected), notation.write(chaski.map(wait(1)[1])))
      assert.is_true(edge.live)
      peer:close()
    end)
  )

  it(
    "report_paired of a topic it does not search ends that edge",
    test(function()
      for _, topic in ipairs { "s", "t" } do -- its own, which the peer does not subscribe to, and another
        local node, peer, edge = joined { subscriptions = topic }
        peer:send(by_name.report_paired.raw)
        eventually(function()
          return edge.reason
        end, "the edge has ended")
        assert.equal("protocol", edge.reason)
        assert.same({}, node.edges)
        peer:close()
      end
    end)
  )
end)
