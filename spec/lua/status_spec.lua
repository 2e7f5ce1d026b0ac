-- status_spec.lua: the status of a node over UDP, and what else comes as a datagram (PROTOCOL A.8, B.10).
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local helper = require "spec.helper"
local hostile = require "spec.lua.hostile"
local nodes = require "spec.lua.nodes"

local test, eventually = nodes.test, helper.eventually

local function status_of(node, asker, topic)
  return assert(asker:request_status(node.ip, node.port, { topic = topic }))
end

describe("a status request", function()
  it(
    "is answered without a connection",
    test(function()
      local a, b = nodes.node "a", nodes.node("b", { subscriptions = { "t", "u" } })
      b:subscribe("v", { paired = true })
      local status = status_of(b, a)
      assert.equal("b", status.name)
      assert.is_true(status.serving)
      assert.is_false(status.reconnecting)
      assert.same({ t = false, u = false, v = true }, status.paired)
      assert.equal(0, #a.edges)
    end)
  )

  it(
    "about one topic is answered with that topic only",
    test(function()
      local a, b = nodes.node "a", nodes.node("b", { subscriptions = { "t", "u" }, paired = true })
      assert.same({ u = true }, status_of(b, a, "u").paired)
      assert.is_nil(next(status_of(b, a, "foreign").paired))
    end)
  )

  it(
    "is answered with what the script adds, too",
    test(function()
      local extra = function(node)
        return { load = 0.5, of = node.name, name = "not this" }
      end
      local a, b = nodes.node "a", nodes.node("b", { status_extra = extra })
      local status = status_of(b, a)
      assert.equal(0.5, status.load)
      assert.equal("b", status.of)
      assert.equal("b", status.name)
    end)
  )

  it(
    "is answered when what the script adds raises, is no table, cannot be packed or is too much",
    test(function()
      helper.expect_errors(1)
      local a = nodes.node "a"
      local extras = {
        function()
          error "no"
        end,
        function()
          return 7
        end,
        function()
          return { f = print }
        end,
        function()
          return { text = ("x"):rep(5000) }
        end,
      }
      for i, extra in ipairs(extras) do
        local b = nodes.node("b" .. i, { status_extra = extra, subscriptions = "t" })
        assert.same({ t = false }, status_of(b, a, "t").paired)
      end
    end)
  )

  it(
    "to nobody, or to somebody mute, ends with the timeout",
    test(function()
      local a = nodes.node "a"
      local mute <close> = hostile.socket()
      for _, port in ipairs { mute.port, chaski.get_free_port() } do
        local status, err = a:request_status("127.0.0.1", port, { timeout = 0.05 })
        assert.is_nil(status)
        assert.equal("timeout", err.code)
        assert.equal(("node:request_status 127.0.0.1:%d: no answer"):format(port), tostring(err))
      end
    end)
  )

  it(
    "is not sent by a node without a socket, or that is stopped",
    test(function()
      local a = nodes.node("a", { udp = false })
      assert.equal("forbidden", select(2, a:request_status("127.0.0.1", 9999)).code)
      a:stop()
      assert.equal("stopped", select(2, a:request_status("127.0.0.1", 9999)).code)
    end)
  )

  it(
    "has checked arguments",
    test(function()
      local a = nodes.node "a"
      for _, ip in ipairs { "localhost", "", 7, {} } do
        assert.error_matches(function()
          a:request_status(ip, 1)
        end, "node:request_status: expected a numeric address")
      end
      for _, port in ipairs { 0, 65536, "1", 1.5 } do
        assert.error_matches(function()
          a:request_status("127.0.0.1", port)
        end, "node:request_status: expected a port 1..65535")
      end
      assert.error_matches(function()
        a:request_status("127.0.0.1", 1, { topics = "x" })
      end, "did you mean 'topic'")
    end)
  )

  it(
    "is one of many under way",
    test(function()
      local a, b = nodes.node "a", nodes.node "b"
      local tasks = {}
      for i = 1, 15 do
        tasks[i] = chaski.spawn(a.request_status, a, b.ip, b.port)
      end
      for _, task in ipairs(tasks) do
        local _, status, err = task:join()
        assert(status, err)
      end
    end)
  )
end)

describe("an answer to a status request", function()
  it(
    "from a stranger is dropped, as is a second one",
    test(function()
      local a = nodes.node "a"
      local asked <close> = hostile.socket()
      local stranger <close> = hostile.socket()
      local task = chaski.spawn(a.request_status, a, "127.0.0.1", asked.port)
      local request = asked:wait(1)
      stranger:answer(request, { name = "stranger", paired = {} })
      eventually(function()
        return a.ledger.datagrams_in == 1
      end, "the stranger's answer has come")
      assert.equal("parked", task.status)
      asked:answer(request, { name = "asked", paired = { t = true } })
      asked:answer(request, { name = "again", paired = {} })
      local _, status = task:join()
      assert.equal("asked", status.name)
      eventually(function()
        return a.ledger.datagrams_in == 3
      end, "the second answer has come")
    end)
  )

  it(
    "that nobody asked for, or of the wrong shape, is dropped",
    test(function()
      local a, b = nodes.node "a", nodes.node "b"
      local socket <close> = hostile.socket()
      local shapes = { { id = chaski.uuid() }, { id = "count" }, { id = 7 }, { id = {} }, {}, 1, "x", { 1 } }
      for _, data in ipairs(shapes) do
        socket:send(chaski.pack { command = "response", data = data }, a.port)
        socket:send(chaski.pack { command = "status", data = type(data) == "table" and { data } or data }, a.port)
      end
      eventually(function()
        return a.ledger.datagrams_in == 2 * #shapes
      end, "they have come")
      assert.equal("b", status_of(b, a).name)
      assert.equal(0, #socket.got)
    end)
  )
end)

-- An answer never costs its sender's victim more than it cost the sender.
describe("the length of an answer", function()
  local function answered(node, socket, bytes)
    local before = #socket.got
    socket:send(bytes, node.port)
    return #socket:wait(before + 1).bytes
  end

  local function many_topics(count)
    local topics = {}
    for i = 1, count do
      topics[i] = ("a topic with a name that is long enough, number %d"):format(i)
    end
    return topics
  end

  it(
    "is never above that of a padded request",
    test(function()
      local node = nodes.node("node", { subscriptions = many_topics(100) })
      local socket <close> = hostile.socket()
      local short = 0
      for _, pad in ipairs { 60, 80, 120, 200, 400, 800, 1100 } do
        local request = chaski.pack { command = "status", data = { id = "x", pad = chaski.bin(("\0"):rep(pad)) } }
        local length = answered(node, socket, request)
        assert.is_true(length <= #request, ("%d bytes for %d"):format(length, #request))
        short = short + (length < #request - 100 and 1 or 0)
      end
      assert.equal(0, short)
    end)
  )

  it(
    "is nothing when the padding has no room for it",
    test(function()
      local node = nodes.node "node"
      local socket <close> = hostile.socket()
      socket:send(chaski.pack { command = "status", data = { id = "x", pad = "" } }, node.port)
      socket:send(chaski.pack { command = "status", data = { id = "y" } }, node.port)
      assert.equal("y", socket:wait(1).message.data.id)
    end)
  )

  it(
    "is at most three times that of an unpadded request, which is always answered",
    test(function()
      local node = nodes.node("node", { subscriptions = many_topics(100) })
      local socket <close> = hostile.socket()
      local golden = {
        command = "status",
        topic = "",
        data = { id = chaski.uuid() },
        timestamp = chaski.timestamp(1795394356, 335846000),
        ttl = 64,
        uuid = chaski.null,
      }
      for _, request in ipairs { golden, { command = "status", data = { id = "x" } } } do
        local bytes = chaski.pack(request)
        local length = answered(node, socket, bytes)
        assert.is_true(length <= 3 * #bytes, ("%d bytes for %d"):format(length, #bytes))
        assert.equal(request.data.id, socket.got[#socket.got].message.data.id)
        assert.is_table(socket.got[#socket.got].message.data.paired)
      end
      assert.truthy(next(socket.got[1].message.data.paired))
    end)
  )

  it(
    "leaves room for the topic that is searched",
    test(function()
      local topics = many_topics(40)
      local node = nodes.node("node", { subscriptions = topics })
      local hub = nodes.node("hub", { root = true, port = chaski.get_free_port() })
      assert(node:connect(hub))
      node:unsubscribe(topics)
      node:subscribe "zebra"
      assert(node:discovery { timeout = 0.01 })
      node:subscribe(topics)
      local socket <close> = hostile.socket()
      answered(node, socket, chaski.pack { command = "status", topic = "", data = { id = chaski.uuid() } })
      assert.is_true(socket.got[1].message.data.paired.zebra)
    end)
  )

  it(
    "is that of one datagram, whatever the node is called and subscribes to",
    test(function()
      local name, topic = ("n"):rep(64), ("t"):rep(250)
      local a, b = nodes.node "a", nodes.node(name, { subscriptions = topic, paired = true })
      local status = status_of(b, a, topic)
      assert.equal(name, status.name)
      assert.same({ [topic] = true }, status.paired)
    end)
  )
end)

describe("a datagram", function()
  it(
    "that is not MessagePack, no message, or 64 KiB long is counted and nothing else",
    test(function()
      local a, b = nodes.node "a", nodes.node "b"
      local socket <close> = hostile.socket()
      local told = 0
      a:on("datagram", function()
        told = told + 1
      end)
      local bad = {
        "\xc1",
        "not MessagePack at all",
        chaski.pack { 1, 2, 3 },
        chaski.pack { command = 7 },
        chaski.pack { command = "" },
        chaski.pack { command = "status", data = { pad = ("x"):rep(1300) } },
        ("x"):rep(65507),
        ("\x91"):rep(1000),
      }
      for _, bytes in ipairs(bad) do
        socket:send(bytes, a.port)
      end
      eventually(function()
        return a.ledger.bad_datagrams == #bad
      end, "all are counted")
      assert.equal(0, told)
      assert.equal("a", status_of(a, b).name)
      assert.equal(0, #socket.got)
    end)
  )

  it(
    "whose data cannot be decoded is counted and ignored",
    test(function()
      local a, b = nodes.node "a", nodes.node "b"
      local socket <close> = hostile.socket()
      socket:send("\x82" .. chaski.pack "command" .. chaski.pack "status" .. chaski.pack "data" .. "\xc1", a.port)
      eventually(function()
        return a.ledger.malformed_data + a.ledger.bad_datagrams == 1
      end, "it is counted")
      assert.equal("a", status_of(a, b).name)
    end)
  )

  it(
    "is limited in number by its source",
    test(function()
      local a, b = nodes.node "a", nodes.node "b"
      local socket <close> = hostile.socket()
      for i = 1, 100 do
        socket:send(chaski.pack { command = "status", data = { id = tostring(i) } }, a.port)
      end
      eventually(function()
        return a.limits.datagram_rate.hits > 0 and a.ledger.datagrams_in + a.limits.datagram_rate.hits == 100
      end, "all have come")
      assert.is_true(a.ledger.datagrams_in < 60, a.ledger.datagrams_in .. " of 100")
      assert.equal("a", status_of(a, b).name)
    end)
  )

  it(
    "of a script's own command reaches its listener",
    test(function()
      local a, b = nodes.node "a", nodes.node "b"
      local got, wait = nodes.collector()
      b:on("datagram", function(message, ip, port)
        got[#got + 1] = { message.command, message.data, ip, port, message.wire_size > message.size }
      end)
      assert(a:send_udp_message("hello", { n = 1 }, b.ip, b.port))
      wait(1)
      assert.same({ "hello", { n = 1 }, a.ip, a.port, true }, got[1])
    end)
  )
end)
