-- edge_spec.lua: edges as scripts see them. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local helper = require "spec.helper"
local nodes = require "spec.lua.nodes"

local test = nodes.test

describe("connect", function()
  it(
    "gives the live edge, from an address, one with a name, or a node",
    test(function()
      local a, b = nodes.node "a", nodes.node "b"
      local edge = assert(a:connect(b.address))
      assert.is_true(edge.live)
      assert.is_true(edge.dialled)
      assert.equal("b", edge.name)
      assert.equal(b.id, edge.id)
      assert.equal(b.port, edge.port)
      assert.equal(edge, assert(a:connect("Somebody@" .. b.address)))
      assert.equal(edge, assert(a:connect(b)))
      assert.equal(1, #a.edges)
    end)
  )

  it(
    "ends when the other side counts the edge too, and its latency is known",
    test(function()
      for _ = 1, 50 do
        local sensor, wall = nodes.node("sensor", { keep_alive = false }), nodes.node("wall", { subscriptions = "t" })
        local edge = assert(wall:connect(sensor))
        assert.equal(1, #sensor.edges)
        assert(sensor:publish("t", 1))
        assert.is_true(edge.latency > 0)
        sensor:stop()
        wall:stop()
      end
    end)
  )

  it(
    "makes who connects to a relay reachable for who has connected before",
    test(function()
      local got = 0
      for round = 1, 50 do
        local relay = nodes.node("relay", { message_propagation = true })
        local a, b = nodes.node "a", nodes.node "b"
        b:subscribe("t", function(message)
          got = got + message.data
        end)
        assert(a:connect(relay))
        assert(b:connect(relay))
        assert(a:publish("t", 1))
        helper.eventually(function()
          return got == round
        end, "the message is there")
        for _, node in ipairs { a, b, relay } do
          node:stop()
        end
      end
    end)
  )

  it(
    "gives nil and an error that says what and where",
    test(function()
      local a = nodes.node "a"
      local port = chaski.get_free_port()
      local edge, err = a:connect("127.0.0.1:" .. port)
      assert.is_nil(edge)
      assert.equal("refused", err.code)
      assert.equal(("node:connect 127.0.0.1:%d: connection refused"):format(port), tostring(err))
      assert.equal("bad_address", select(2, a:connect "nonsense").code)
      assert.equal("self", select(2, a:connect(a.address)).code)
      a:stop()
      assert.equal("stopped", select(2, a:connect "127.0.0.1:1").code)
    end)
  )

  it(
    "refuses a node that does not run",
    test(function()
      local a, b = nodes.node "a", nodes.node("b", { run = false })
      assert.equal("refused", select(2, a:connect(b)).code)
    end)
  )

  it(
    "ends with the timeout when nobody answers",
    test(function()
      local uv = require "luv"
      local mute = uv.new_tcp()
      mute:bind("127.0.0.1", 0)
      mute:listen(1, function() end)
      local a = nodes.node "a"
      local edge, err = a:connect("127.0.0.1:" .. mute:getsockname().port, { timeout = 0.05 })
      mute:close()
      assert.is_nil(edge)
      assert.equal("timeout", err.code)
    end)
  )

  it(
    "is given up when its task is cancelled",
    test(function()
      local uv = require "luv"
      local mute = uv.new_tcp()
      mute:bind("127.0.0.1", 0)
      mute:listen(1, function() end)
      local a = nodes.node "a"
      local task = chaski.spawn(a.connect, a, "127.0.0.1:" .. mute:getsockname().port)
      task:cancel()
      local ok, err = task:join()
      mute:close()
      assert.is_falsy(ok)
      assert.equal("cancelled", err.code)
    end)
  )
end)

describe("an edge", function()
  it(
    "is one object, with fields",
    test(function()
      local a, b, edge, back = nodes.pair({ subscriptions = { "z", "y" } }, { message_propagation = true })
      assert.equal(edge, a.edges[1])
      assert.is_true(rawequal(edge, a.edges[1]))
      assert.equal(a, edge.node)
      assert.equal(b.address, edge.address)
      assert.same({ "y", "z" }, back.subscriptions)
      assert.is_true(back:is_subscribed "z")
      assert.is_false(back:is_subscribed "q")
      assert.is_true(edge.propagates)
      assert.is_false(edge.root)
      assert.is_true(edge.writable)
      assert.equal(1, edge.protocol)
      assert.truthy(edge.agent:find "^chaski%-lua/")
      assert.is_false(back.dialled)
      assert.is_string(edge.local_address)
      assert.is_true(edge.counters.bytes_out > 0)
      assert.is_nil(edge.reason)
      assert.is_nil(edge.nonsense)
      assert.truthy(tostring(edge):find("b(", 1, true))
      assert.truthy(tostring(edge):find(b.address, 1, true))
    end)
  )

  it(
    "can be marked as paired, and nothing else of it assigned",
    test(function()
      local _, _, edge = nodes.pair()
      assert.is_false(edge.paired)
      edge.paired = true
      assert.is_true(edge.paired)
      assert.error_matches(function()
        edge.name = "x"
      end, "field 'name' cannot be assigned")
    end)
  )

  it(
    "is found by address and name",
    test(function()
      local a, b, edge = nodes.pair()
      assert.equal(edge, a:get_edge(b.ip, b.port))
      assert.equal(edge, a:get_edge(b.address))
      assert.equal(edge, a:get_edge_by_name "b")
      assert.is_nil(a:get_edge_by_name "nobody")
      assert.is_nil(a:get_edge("127.0.0.1", 1))
      assert.is_true(a:is_connected_to(b))
      assert.is_true(a:is_connected_to(b.address))
      assert.is_true(a:is_connected_to(edge))
      assert.is_false(b:is_connected_to(edge))
      assert.equal(0, a:remove_duplicated_connections())
    end)
  )

  it(
    "closes with a goodbye and stays readable",
    test(function()
      local a, b, edge = nodes.pair()
      local ends, wait = nodes.collector()
      b:on("edge_closed", function(_, reason, detail)
        ends[#ends + 1] = { reason, detail }
      end)
      assert.is_true(edge:close())
      wait(1)
      assert.equal("goodbye", ends[1][1])
      helper.eventually(function()
        return edge.reason
      end, "the edge has ended")
      assert.is_false(edge.live)
      assert.equal("closed", edge.reason)
      assert.equal("b", edge.name)
      assert.same({}, a.edges)
      assert.equal("no_edge", select(2, a:close_connection(edge)).code)
      assert.equal("no_edge", select(2, a:publish("x", 1, { edge = edge })).code)
      assert.truthy(tostring(edge):find "closed")
    end)
  )

  it(
    "is closed by its node, found by address",
    test(function()
      local a, b = nodes.pair()
      assert.is_true(a:close_connection(b.ip, b.port))
      helper.eventually(function()
        return #b.edges == 0
      end, "b has no edge")
    end)
  )

  it(
    "is pinged: the round trip in ms, and latency",
    test(function()
      local a, b, edge = nodes.pair()
      edge:reset_latency()
      assert.equal(0, edge.latency)
      assert.equal(100, edge.jitter)
      local rtt = assert(a:ping(edge, { size = 100 }))
      assert.is_true(rtt >= 0)
      assert.is_true(edge.jitter < 100)
      assert.is_true(edge.rtt_min > 0)
      assert.is_number(assert(edge:ping()))
      local all = assert(b:ping())
      assert.is_number(all[b.edges[1]])
      edge:update_latency(50)
      assert.is_true(edge.latency > 1)
      assert.is_false(edge.ping_in_progress)
      edge:close()
      helper.eventually(function()
        return not edge.live
      end, "closed")
      assert.equal("no_edge", select(2, a:ping(edge)).code)
    end)
  )

  it(
    "tells when it opens and when its peer subscribes",
    test(function()
      local a, b = nodes.node "a", nodes.node "b"
      local told, wait = nodes.collector()
      b:on("edge_open", function(edge)
        told[#told + 1] = "open " .. edge.name
      end)
      b:on("edge_changed", function(edge)
        told[#told + 1] = "changed " .. table.concat(edge.subscriptions, ",")
      end)
      assert(a:connect(b))
      wait(1)
      a:subscribe("new", function() end)
      helper.eventually(function()
        return told[#told] == "changed new"
      end, "the change is told")
      assert.equal("open a", told[1])
    end)
  )
end)
