-- interop_discovery_spec.lua: status, requests and discovery between our nodes and the independent peer in Python.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local helper = require "spec.helper"
local interop = require "spec.interop.peer"
local nodes = require "spec.lua.nodes"
local notation = require "spec.interop.notation"

local test, eventually = interop.test, helper.eventually
local WAIT = 5 * helper.slowness -- seconds that a search or request may take

local function settle(edge)
  assert(edge:ping())
end

--- The peers dial the node; returns when it has an edge to each.
local function gather(node, ...)
  for _, peer in ipairs { ... } do
    peer:dial(node)
    eventually(function()
      return node:get_edge(peer.address)
    end, "our side of the edge")
  end
  return node:get_edge((...).address)
end

local function names(edges)
  local list = {}
  for i, edge in ipairs(edges) do
    list[i] = edge.name
  end
  table.sort(list)
  return list
end

describe("the status of a Python node", function()
  it(
    "is told to us",
    test(function()
      local node = nodes.node "ours"
      local peer = interop.start { subscriptions = { "t", "u" } }
      local status = assert(node:request_status(peer.ip, peer.port, { timeout = WAIT }))
      assert.is_true(status.serving)
      assert.is_false(status.reconnecting)
      assert.is_false(status.allow_incoming_files)
      assert.is_nil(status.name)
      assert.same({ t = false, u = false }, { t = status.paired.t, u = status.paired.u })
      peer:tell("subscribe", { topic = "t", paired = true })
      status = assert(node:request_status(peer.ip, peer.port, { timeout = WAIT, topic = "t" }))
      assert.is_true(status.paired.t)
    end)
  )

  it(
    "is asked for from our own port, by a request no shorter than our own answers",
    test(function()
      local node = nodes.node "ours"
      local peer = interop.start {}
      assert(node:request_status(peer.ip, peer.port, { timeout = WAIT }))
      local asked = peer:wait "status_asked"
      assert.equal(node.port, asked.port)
      assert.is_true(asked.size >= 256 and asked.size <= 1200)
    end)
  )

  it(
    "does not come from a node that is gone",
    test(function()
      local node = nodes.node "ours"
      local status, err = node:request_status("127.0.0.1", chaski.get_free_port(), { timeout = 0.05 })
      assert.is_nil(status)
      assert.equal("timeout", err.code)
    end)
  )
end)

describe("our status", function()
  it(
    "is told to a Python node",
    test(function()
      local node = nodes.node("ours", { subscriptions = { "t" }, paired = true })
      node:subscribe("u", function() end, { paired = false })
      local peer = interop.start {}
      local status = notation.parse(peer:tell("status", { ip = node.ip, port = node.port }).status)
      assert.is_true(status.serving)
      assert.is_false(status.reconnecting)
      assert.equal("{t: true, u: false}", notation.write(status.paired))
      assert.equal(node.port, peer:wait("response").port)
    end)
  )

  it(
    "is at most three times as long as a Python node's question",
    test(function()
      local topics = {}
      for i = 1, 200 do
        topics[i] = ("a-topic-with-a-long-name-%03d"):format(i)
      end
      local node = nodes.node("ours", { subscriptions = topics })
      local peer = interop.start {}
      local status = notation.parse(peer:tell("status", { ip = node.ip, port = node.port }).status)
      assert.truthy(next(status.paired))
      assert.is_true(peer:wait("response").size <= 3 * 100) -- a captured question has 100 bytes
    end)
  )

  it(
    "is told after datagrams of nonsense and answers nobody asked for",
    test(function()
      local node = nodes.node "ours"
      local peer = interop.start {}
      local to = { ip = node.ip, port = node.port }
      for _, hex in ipairs { "c1", "00", "93", ("ff"):rep(60000), "81a7636f6d6d616e6401" } do
        peer:tell("udp_raw", { ip = to.ip, port = to.port, hex = hex })
      end
      peer:tell("udp", { ip = to.ip, port = to.port, command = "response", data = '{id: "unasked", paired: {}}' })
      peer:tell("udp", { ip = to.ip, port = to.port, command = "status", data = "{}" })
      peer:tell("udp", { ip = to.ip, port = to.port, command = "status", data = "[1]" })
      assert.truthy(peer:tell("status", to).status:find("serving: true", 1, true))
      assert.equal(1, peer:count "response")
    end)
  )
end)

describe("a request", function()
  it(
    "of ours is answered by a Python node",
    test(function()
      local node, peer = nodes.node "ours", interop.start {}
      local edge = gather(node, peer)
      local kwargs = notation.parse '{list: [1, nil, "ñ"], map: {x: 2.5}}'
      local answer = assert(node:request("_test_generic_response_udp", kwargs, { edge = edge, timeout = WAIT }))
      assert.equal(notation.write(kwargs), notation.write(answer))
      assert.equal("{}", notation.write(assert(node:request("echo", {}, { timeout = WAIT }))))
      assert.equal("{}", notation.write(assert(node:request("echo", nil, { timeout = WAIT }))))
    end)
  )

  it(
    "of a Python node is answered by us",
    test(function()
      local node, peer = nodes.node "ours", interop.start {}
      gather(node, peer)
      local asked_by
      node:serve("sum", function(kwargs, edge)
        asked_by = edge.name
        chaski.sleep(0) -- a callback may wait
        return { sum = kwargs.a + kwargs.b }
      end)
      node:serve("nothing", function() end)
      assert.equal("{sum: 5}", peer:tell("request", { callback = "sum", kwargs = "{a: 2, b: 3}" }).response)
      assert.equal("python", asked_by)
      assert.equal("nil", peer:tell("request", { callback = "nothing" }).response)
    end)
  )

  it(
    "of ours for what a Python node does not have ends as lost, since it ends the connection",
    test(function()
      for _, callback in ipairs { "unknown", "fail" } do
        local node, peer = nodes.node "ours", interop.start { name = callback }
        gather(node, peer)
        local answer, err = node:request(callback, { x = 1 }, { timeout = WAIT })
        assert.is_nil(answer)
        assert.equal("lost", err.code)
        peer:wait "connection_ended"
      end
    end)
  )

  it(
    "of a Python node for what we do not serve is not answered, and costs nothing else",
    test(function()
      helper.expect_errors(1)
      local node, peer = nodes.node "ours", interop.start {}
      local edge = gather(node, peer)
      node:serve("fail", function()
        error "as told"
      end)
      peer:begin("request", { callback = "stop" })
      peer:begin("request", { callback = "fail" })
      peer:tell "ping"
      peer:wait "pong"
      settle(edge)
      assert.is_true(node.running)
      assert.equal(0, peer:count "done")
      node:serve("stop", function()
        return "not that one"
      end)
      assert.equal('"not that one"', peer:tell("request", { callback = "stop" }).response)
    end)
  )

  it(
    "of ours to all takes the first answer, and leaves every edge",
    test(function()
      local node = nodes.node "ours"
      local a, b = interop.start { name = "a" }, interop.start { name = "b" }
      gather(node, a, b)
      for i = 1, 5 do
        assert.equal(i, assert(node:request("echo", { i = i }, { timeout = WAIT })).i)
      end
      settle(node:get_edge_by_name "a")
      settle(node:get_edge_by_name "b")
      assert.equal(0, a:count "connection_ended" + b:count "connection_ended")
    end)
  )

  it(
    "of a Python node to all is answered twice, which ends the slower connection: its own fault",
    test(function()
      local a, b, peer = nodes.node "a", nodes.node "b", interop.start {}
      gather(a, peer)
      gather(b, peer)
      for _, node in ipairs { a, b } do
        node:serve("who", function()
          return node.name
        end)
      end
      local who = peer:tell("request", { callback = "who" }).response
      assert.truthy(who == '"a"' or who == '"b"')
      assert.truthy(peer:wait("connection_ended").why:find "KeyError")
      eventually(function()
        return #a.edges + #b.edges == 1
      end, "one edge is left")
    end)
  )

  it(
    "answered by a Python node that was not asked is ignored",
    test(function()
      local node, peer = nodes.node "ours", interop.start {}
      local edge = gather(node, peer)
      peer:tell("write", { command = "response_udp", data = '{id: "x", callback: "x", kwargs: {}, response: 1}' })
      peer:tell("write", { command = "response_udp", data = "[]" })
      settle(edge)
    end)
  )
end)

describe("a discovery", function()
  it(
    "of a Python node runs through us to another",
    test(function()
      local hub = nodes.node "hub"
      local origin = interop.start { name = "origin", subscriptions = { "s" } }
      local member = interop.start { name = "member", subscriptions = { "s" }, paired = true }
      gather(hub, origin, member)
      local done = origin:tell("discovery", { on_pair = "none", timeout = WAIT })
      assert.equal("[]", notation.write(done.alone))
      assert.is_true(done.paired.s)
      local walked = member:wait "discovery"
      assert.equal("origin", walked.origin)
      assert.equal("hub", walked.previous)
      assert.equal(63, walked.ttl)
      assert.equal('["hub", "origin"]', notation.write(walked.visited))
      origin:wait("edge", { name = "member" })
      assert.equal(2, #hub.edges)
    end)
  )

  it(
    "of a Python node leaves us when it says so",
    test(function()
      local hub = nodes.node("hub", { root = true })
      local origin = interop.start { name = "origin", subscriptions = { "s" } }
      local member = interop.start { name = "member", subscriptions = { "s" }, paired = true }
      gather(hub, origin, member)
      origin:tell("discovery", { on_pair = "disconnect", timeout = WAIT })
      eventually(function()
        return #hub.edges == 1
      end, "it has left")
      assert.equal("member", hub.edges[1].name)
      origin:wait("edge", { name = "member" })
      assert.same({ "member" }, names(origin:edges()))
    end)
  )

  it(
    "of a Python node finds us",
    test(function()
      local hub = nodes.node "hub"
      local member = nodes.node("member", { subscriptions = { "s" }, paired = true })
      local origin = interop.start { name = "origin", subscriptions = { "s" } }
      assert(member:connect(hub))
      gather(hub, origin)
      local done = origin:tell("discovery", { on_pair = "disconnect", timeout = WAIT })
      assert.equal("[]", notation.write(done.alone))
      assert.equal("s", origin:wait("report_paired").topic)
      origin:wait("edge", { name = "member" })
      eventually(function()
        return member:get_edge(origin.address)
      end, "our side of the edge")
      assert.is_true(member:get_edge(origin.address).paired)
      local got, wait = nodes.collector()
      member:subscribe("s", function(message)
        got[#got + 1] = message.data
      end)
      origin:tell("publish", { topic = "s", data = '"found"' })
      wait(1)
      assert.same({ "found" }, got)
    end)
  )

  it(
    "of a Python node that connects with discovery finds us through our root",
    test(function()
      local root = nodes.node("root", { root = true })
      local member = nodes.node("member", { subscriptions = { "s" }, paired = true })
      local origin = interop.start { name = "origin", subscriptions = { "s" } }
      assert(member:connect(root))
      local done = origin:tell("connect", { ip = root.ip, port = root.port, discovery = 0.5 })
      assert.is_true(done.paired.s)
      origin:wait("edge", { name = "member" })
      eventually(function()
        return #root.edges == 1
      end, "it has left the root")
    end)
  )

  it(
    "of a Python node that is paired already is not answered",
    test(function()
      local member = nodes.node("member", { subscriptions = { "s" }, paired = true })
      local other = interop.start { name = "other" }
      local origin = interop.start { name = "origin", subscriptions = { "s" }, paired = true }
      local edge = gather(member, other)
      local request = '{origin_ip: "127.0.0.1", origin_port: %d, origin_name: "origin", previous_node: "other", '
        .. 'visited: ["origin"], on_pair: "none", root_ip: "127.0.0.1", root_port: 1, origin_subscription: "s", ttl: 5}'
      other:tell("write", { command = "discovery", data = request:format(origin.port) })
      origin:wait "status_asked"
      settle(edge)
      assert.same({ "other" }, names(member.edges))
      assert.equal(0, origin:count "report_paired")
    end)
  )

  it(
    "of ours runs through us to a Python node",
    test(function()
      local hub, origin = nodes.node "hub", nodes.node("origin", { subscriptions = { "s" } })
      local member = interop.start { name = "member", subscriptions = { "s" }, paired = true }
      gather(hub, member)
      assert(origin:connect(hub))
      local found, alone = assert(origin:discovery { on_pair = "disconnect", timeout = WAIT })
      assert.is_nil(alone)
      assert.equal("member", found.s.name)
      assert.is_true(found.s.paired)
      assert.is_true(origin:paired_for "s")
      eventually(function()
        return #origin.edges == 1
      end, "it has left the hub")
      assert.equal("origin", member:wait("discovery").origin)
    end)
  )

  it(
    "of ours that sends its own strings as bin finds a Python node, and is found",
    test(function()
      local hub, origin = nodes.node "hub", nodes.node("origin", { subscriptions = { "s" }, strings = "bin" })
      local member = interop.start { name = "member", subscriptions = { "s" }, paired = true }
      local seeker = interop.start { name = "seeker", subscriptions = { "u" } }
      gather(hub, member, seeker)
      assert(origin:connect(hub))
      local found, alone = assert(origin:discovery { on_pair = "none", timeout = WAIT })
      assert.is_nil(alone)
      assert.equal("member", found.s.name)
      origin:subscribe("u", { paired = true })
      seeker:tell("discovery", { on_pair = "none", timeout = WAIT })
      seeker:wait("edge", { name = "origin" })
      local answer = assert(origin:request("echo", { text = "x" }, { edge = found.s, timeout = WAIT }))
      assert.equal("x", answer.text)
      assert.is_true(assert(origin:request_status(member.ip, member.port, { timeout = WAIT })).paired.s)
    end)
  )

  it(
    "of ours runs through a Python node to another",
    test(function()
      local hub = interop.start { name = "hub" }
      local member = interop.start { name = "member", subscriptions = { "s" }, paired = true }
      local origin = nodes.node("origin", { subscriptions = { "s" } })
      member:tell("connect", { ip = hub.ip, port = hub.port })
      hub:wait("edge", { name = "member" })
      assert(origin:connect(hub.address))
      hub:wait("edge", { name = "origin" })
      local found, alone = assert(origin:discovery { on_pair = "disconnect", timeout = WAIT })
      assert.is_nil(alone)
      assert.equal("member", found.s.name)
      eventually(function() -- its kind notices at its writes
        hub:tell("publish", { topic = "nobody" })
        return hub:take("edge_closed", { name = "origin" })
      end, "the hub notices that we have left", WAIT)
    end)
  )

  it(
    "of ours runs through a Python node to us",
    test(function()
      local hub = interop.start { name = "hub" }
      local member = nodes.node("member", { subscriptions = { "s" }, paired = true })
      local origin = nodes.node("origin", { subscriptions = { "s" } })
      assert(member:connect(hub.address))
      hub:wait("edge", { name = "member" })
      assert(origin:connect(hub.address))
      hub:wait("edge", { name = "origin" })
      local found = assert(origin:discovery { timeout = WAIT })
      assert.equal("member", found.s.name)
      assert.equal(member.id, found.s.id)
    end)
  )

  it(
    "of ours is over at once where a Python neighbour shares the topic",
    test(function()
      local origin = nodes.node("origin", { subscriptions = { "s" } })
      local peer = interop.start { subscriptions = { "s" } }
      local edge = gather(origin, peer)
      local found, alone = assert(origin:discovery { timeout = WAIT })
      assert.equal(edge, found.s)
      assert.is_nil(alone)
      assert.equal(0, peer:count "discovery")
    end)
  )

  it(
    "of ours that nobody answers makes us the first of our kind",
    test(function()
      local origin = nodes.node("origin", { subscriptions = { "s" } })
      local peer = interop.start { subscriptions = { "other" } }
      gather(origin, peer)
      local found, alone = assert(origin:discovery { timeout = 0.05 })
      assert.is_nil(found.s)
      assert.same({ "s" }, alone)
      assert.is_true(origin:paired_for "s")
    end)
  )

  it(
    "whose ttl has run out goes no further",
    test(function()
      local hub = nodes.node "hub"
      local a, b = interop.start { name = "a" }, interop.start { name = "b" }
      local edge = gather(hub, a, b)
      local request = '{origin_ip: "127.0.0.1", origin_port: %d, origin_name: "a", previous_node: "a", visited: ["a"], '
        .. 'on_pair: "none", root_ip: "127.0.0.1", root_port: 1, origin_subscription: "%s", ttl: %d}'
      for _, ttl in ipairs { 1, 0, -1 } do
        a:tell("write", { command = "discovery", data = request:format(a.port, "s" .. ttl, ttl) })
      end
      a:tell("write", { command = "discovery", data = request:format(a.port, "good", 9) })
      local walked = b:wait "discovery"
      assert.equal("good", walked.topic)
      assert.equal(8, walked.ttl)
      settle(edge)
    end)
  )

  it(
    "whose origin does not answer costs nobody anything",
    test(function()
      local member = nodes.node("member", { subscriptions = { "s" }, paired = true })
      local peer = interop.start {}
      local edge = gather(member, peer)
      local request = '{origin_ip: "127.0.0.1", origin_port: %d, origin_name: "ghost", previous_node: "python", '
        .. 'visited: ["ghost"], on_pair: "none", root_ip: "", root_port: 0, origin_subscription: "s", ttl: 9}'
      peer:tell("write", { command = "discovery", data = request:format(chaski.get_free_port()) })
      peer:tell("write", { command = "discovery", data = "{}" })
      peer:tell("write", { command = "discovery", data = "7" })
      settle(edge)
      assert.same({ "python" }, names(member.edges))
    end)
  )
end)

describe("a report", function()
  local report = '{origin_ip: "127.0.0.1", origin_port: 1, origin_name: "x", previous_node: "x", visited: [], '
    .. 'on_pair: "disconnect", root_ip: "%s", root_port: %d, origin_subscription: "%s", ttl: 1, paired: "%s"}'

  --- What becomes of other edges and of the one that brought such a report.
  local function reported(options, topic)
    local node = nodes.node("ours", options)
    local friend, liar = interop.start { name = "friend" }, interop.start { name = "liar", subscriptions = { topic } }
    gather(node, friend)
    local ends, wait = nodes.collector()
    node:on("edge_closed", function(edge)
      ends[#ends + 1] = edge.name
    end)
    local data = report:format(friend.ip, friend.port, topic, topic)
    liar:tell("report", { ip = node.ip, port = node.port, data = data })
    wait(1)
    assert.same({ "liar" }, ends)
    assert.same({ "friend" }, names(node.edges))
  end

  it(
    "that answers no search of ours closes that connection, and no other",
    test(function()
      reported({ subscriptions = { "s" } }, "s")
    end)
  )

  it(
    "of a topic that is not ours closes that connection, and no other",
    test(function()
      reported({ subscriptions = { "other" } }, "s")
    end)
  )
end)
