-- seed_spec.lua: what the original's node offers beside what other specs show: see docs/seed.md.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local helper = require "spec.helper"
local hostile = require "spec.lua.hostile"
local nodes = require "spec.lua.nodes"

local test, eventually = nodes.test, helper.eventually

describe("a node", function()
  it(
    "takes the parameters of the original",
    test(function()
      local port = chaski.get_free_port()
      local node = assert(chaski.node {
        ip = "127.0.0.1",
        port = port,
        serializer = chaski.pack,
        deserializer = chaski.unpack,
        name = "name",
        subscriptions = { "t", "u" },
        run = false,
        ttl = 7,
        root = false,
        paired = true,
        max_connections = 6,
        reconnections = 3,
        messages_pool_maxsize = 50,
        message_propagation = true,
        keep_alive = false,
      })
      assert.same({ "name", "127.0.0.1", port, 7 }, { node.name, node.ip, node.port, node.ttl })
      assert.same({ "t", "u" }, node.subscriptions)
      assert.same({ 6, 3 }, { node.max_connections, node.reconnections })
      assert.is_true(node.paired and node.message_propagation)
      assert.is_false(node.running or node.root)
      assert.equal(50, node.limits.messages_pool_maxsize.value)
    end)
  )

  it(
    "has the defaults of the original",
    test(function()
      local node = assert(chaski.node())
      assert.same({ "127.0.0.1", 64, 5, 32 }, { node.ip, node.ttl, node.max_connections, node.reconnections })
      assert.is_true(node.running and node.port > 0)
      assert.is_false(node.root or node.paired or node.message_propagation)
      assert.same({}, node.subscriptions)
    end)
  )

  it(
    "takes one subscription as a string, whole",
    test(function()
      assert.same({ "weather" }, nodes.node("n", { subscriptions = "weather" }).subscriptions)
    end)
  )

  it(
    "may live at an address of IPv6",
    test(function()
      local a, b = nodes.node("a", { ip = "::1" }), nodes.node("b", { ip = "::1" })
      assert.equal("[::1]:" .. b.port, b.address)
      local edge = assert(a:connect(b.address))
      assert.same({ "b", "::1", b.port }, { edge.name, edge.ip, edge.port })
      assert.equal(edge, assert(a:connect("::1", b.port)))
      assert.equal(edge, a:get_edge("::1", b.port))
      assert.equal("b", assert(a:request_status("::1", b.port)).name)
    end)
  )

  it(
    "connects to an ip and a port given apart, too",
    test(function()
      local a, b = nodes.node "a", nodes.node "b"
      local edge = assert(a:connect(b.ip, b.port, { timeout = 4 }))
      assert.equal("b", edge.name)
      assert.equal(edge, assert(a:connect(b.ip, b.port)))
      assert.equal("refused", select(2, a:connect("127.0.0.1", chaski.get_free_port())).code)
      assert.equal("bad_address", select(2, a:connect("127.0.0.1", 65536)).code)
      assert.error_matches(function()
        a:connect(b, b.port)
      end, "node:connect: expected an ip before the port, got chaski.node")
      assert.error_matches(function()
        a:connect(b.ip, b.port, { timeouts = 1 })
      end, "node:connect: unknown option 'timeouts', did you mean 'timeout'")
    end)
  )

  it(
    "that is paired for all its topics, or is a root, searches nothing when it connects with discovery",
    test(function()
      local root = nodes.node("root", { root = true, port = chaski.get_free_port() })
      local heard = 0
      core.handle_at(root, "discovery", function()
        heard = heard + 1
      end)
      local first = nodes.node("first", { subscriptions = "s", paired = true })
      local none = nodes.node "none"
      local other = nodes.node("other", { root = true, port = chaski.get_free_port() })
      for _, node in ipairs { first, none, other } do
        local edge = assert(node:connect(root, { discovery = true, discovery_timeout = 3600 }))
        assert(edge:ping())
        assert.is_true(edge.live)
      end
      assert.equal(0, heard)
      assert.is_true(first.paired)
    end)
  )

  it(
    "that is a root takes the first free of its favourite ports",
    test(function()
      local root = nodes.node("root", { root = true })
      assert.is_true(root.port > 0)
      local free = root.port
      for port = 8511, math.min(root.port, 8516) - 1 do
        if chaski.is_port_available(port) then free = port end
      end
      assert.equal(root.port, free)
    end)
  )

  it(
    "shakes hands no second time on a live edge, and says so",
    test(function()
      local a, b, edge = nodes.pair()
      local ok, err = a:handshake(edge)
      assert.is_nil(ok)
      assert.equal("live", err.code)
      assert.truthy(tostring(err):find("node:handshake: the edge to b is live", 1, true))
      assert.equal("live", select(2, a:handshake(edge, { delay = 0.001, response = true })).code)
      assert.is_true(edge.live)
      assert.equal(1, #b.edges)
      edge:close()
      eventually(function()
        return not edge.live
      end)
      assert.equal("no_edge", select(2, a:handshake(edge)).code)
      assert.error_matches(function()
        a:handshake "b"
      end, "node:handshake: expected an edge, got string 'b'")
      assert.error_matches(function()
        a:handshake(edge, { back_delay = 1 })
      end, "node:handshake: unknown option 'back_delay'")
    end)
  )

  it(
    "pings one edge or all, with a size and after a delay",
    test(function()
      local a, b, edge = nodes.pair({ keep_alive = false }, { keep_alive = false })
      assert(a:connect(nodes.node("c", { keep_alive = false })))
      local before, latency = edge.counters.bytes_out, edge.latency
      assert.is_true(assert(a:ping(edge, { size = 10000, latency_update = false })) >= 0)
      assert.is_true(edge.counters.bytes_out - before > 10000)
      assert.equal(latency, edge.latency)
      local start = core.now()
      assert(edge:ping { delay = 0.02 })
      assert.is_true(core.now() - start >= 0.019)
      assert.is_true(edge.latency ~= latency)
      local answers = a:ping { size = 10 }
      assert.is_number(answers[edge])
      assert.is_number(answers[a:get_edge_by_name "c"])
      assert.error_matches(function()
        a:ping(edge, { sise = 1 })
      end, "node:ping: unknown option 'sise', did you mean 'size'")
      assert.error_matches(function()
        a:ping(b)
      end, "node:ping: expected an edge or options")
    end)
  )

  it(
    "names itself when it is given what it cannot use",
    test(function()
      local a, b, edge = nodes.pair()
      local expected = {
        try_to_reconnect = "an edge, got integer 5",
        handshake = "an edge, got integer 5",
        close_connection = "an edge, 'ip:port', or ip and port, got integer 5",
        is_connected_to = "an edge, 'ip:port', or ip and port, got integer 5",
        propagate = "a message, got integer 5",
        serialize_message = "a message, got integer 5",
        deserializer = "a string, got number",
        paired_for = "a topic, got integer 5",
        unsubscribe = "a topic or a list of topics, got integer 5",
      }
      for method, text in pairs(expected) do
        assert.error_matches(function()
          a[method](a, 5)
        end, "node:" .. method .. ": expected " .. text, 1, true)
      end
      assert.error_matches(function()
        a:close_connection(b.ip, "80")
      end, "node:close_connection: expected an edge, 'ip:port', or ip and port, got port string '80'", 1, true)
      assert.is_true(edge.live)
    end)
  )

  it(
    "knows which ports are free on its own ip",
    test(function()
      local node = nodes.node "n"
      local port = assert(node:get_free_port())
      assert.is_true(node:is_port_available(port))
      assert.is_false(node:is_port_available(node.port))
      for _, nonsense in ipairs { 0, 65536, "80", 1.5 } do
        assert.has_error(function()
          node:is_port_available(nonsense)
        end)
      end
    end)
  )

  it(
    "makes uuids",
    test(function()
      local node = nodes.node "n"
      assert.truthy(node:uuid():find "^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$")
      assert.not_equal(node:uuid(), node:uuid())
    end)
  )

  it(
    "closes a connection by its edge, or by ip and port",
    test(function()
      local a, b, edge = nodes.pair()
      assert.is_true(a:close_connection(edge))
      eventually(function()
        return #b.edges == 0
      end, "it is closed")
      assert.equal("no_edge", select(2, a:close_connection(edge)).code)
      assert(a:connect(b))
      assert.is_true(a:close_connection(b.ip, b.port))
      eventually(function()
        return #b.edges == 0 and #a.edges == 0
      end, "it is closed")
    end)
  )

  it(
    "knows whom it is connected to",
    test(function()
      local a, b, edge, back = nodes.pair()
      assert.is_true(a:is_connected_to(b) and b:is_connected_to(a))
      assert.is_true(a:is_connected_to(edge) and a:is_connected_to(b.address))
      assert.is_false(a:is_connected_to(back))
      assert.is_false(a:is_connected_to(nodes.node "c"))
      assert.equal(edge, a:get_edge(b.ip, b.port))
      assert.equal(edge, a:get_edge_by_name "b")
      assert.is_nil(a:get_edge_by_name "c")
    end)
  )

  it(
    "has no duplicated connections to remove",
    test(function()
      local a, b, edge = nodes.pair()
      local task = chaski.spawn(a.connect, a, b)
      assert(b:connect(a))
      task:join()
      eventually(function()
        return #a.edges == 1 and #b.edges == 1
      end, "one edge")
      assert.equal(0, a:remove_duplicated_connections())
      assert.equal(1, #a.edges)
      assert.is_true(edge.node == a)
    end)
  )

  it(
    "sends frames of bytes to some edges, or to all but some",
    test(function()
      local a, b, edge = nodes.pair()
      local c = nodes.node "c"
      local other = assert(a:connect(c))
      local got, wait = nodes.collector()
      for _, node in ipairs { b, c } do
        node:handle("tell", function(message)
          got[#got + 1] = node.name .. message.data
        end)
      end
      local frame = assert(a:serialize_message(chaski.message { command = "tell", data = 1 }))
      assert(a:write_data(frame, { edges = { edge } }))
      wait(1)
      assert(a:write_data(frame, { excluded_edges = { edge } }))
      wait(2)
      assert(a:write_data(frame))
      wait(4)
      assert.same({ "b1", "c1" }, { got[1], got[2] })
      assert(a:write("tell", 2, { edge = other }))
      assert.equal("c2", wait(5)[5])
    end)
  )
end)

describe("node:write", function()
  it(
    "writes a command under a topic of its own",
    test(function()
      local a, b = nodes.pair({}, { subscriptions = "t" })
      local got, wait = nodes.collector()
      b:handle("tell", function(message)
        got[#got + 1] = { message.topic, message.data }
      end)
      assert(a:write("tell", 1, { topic = "foreign" })) -- b does not look at it
      assert(a:write("tell", 2, { topic = "t" }))
      assert(a:write("tell", 3))
      wait(2)
      assert.same({ { "t", 2 }, { "All", 3 } }, got)
    end)
  )
end)

describe("propagation of commands", function()
  it(
    "is on for those added, while it is on",
    test(function()
      local a, b, edge = nodes.pair({}, { message_propagation = true })
      local c = nodes.node "c"
      assert(b:connect(c))
      local got, wait = nodes.collector()
      c:handle("mine", function(message)
        got[#got + 1] = message.data
      end)
      local heard, wait_b = nodes.collector()
      b:handle("mine", function(message)
        heard[#heard + 1] = message.data
      end)
      assert(a:write("mine", 1))
      wait_b(1)
      assert.is_true(b:add_propagation_command "mine")
      assert.is_true(b:add_propagation_command "mine")
      assert(a:write("mine", 2))
      wait(1)
      b:disable_message_propagation()
      assert(a:write("mine", 3))
      wait_b(3)
      b:enable_message_propagation()
      assert(a:write("mine", 4))
      wait(2)
      b:remove_propagation_command "mine"
      b:remove_propagation_command "never there"
      assert(a:write("mine", 5))
      wait_b(5)
      assert(b:write("mine", "end", { edge = b:get_edge_by_name "c" }))
      wait(3)
      assert.same({ 2, 4, "end" }, got)
      assert.same({ 1, 2, 3, 4, 5 }, heard)
      assert.is_true(edge.live)
    end)
  )

  it(
    "is not for those of the protocol, nor is handling them",
    test(function()
      local node = nodes.node "n"
      for _, command in ipairs { "discovery", "report_paired", "request_udp", "response_udp", "leader", "ping" } do
        assert.error_matches(function()
          node:handle(command, function() end)
        end, "node:handle: command '" .. command .. "' is one of the protocol's")
        assert.error_matches(function()
          node:add_propagation_command(command)
        end, "node:add_propagation_command: command '" .. command .. "' is one of the protocol's")
      end
      local of_the_core = { "handshake", "handshake_back", "ping", "pong", "subscriptions", "ChaskiMessage" }
      for _, command in ipairs(of_the_core) do
        assert.error_matches(function()
          node:handle(command, function() end)
        end, "node:handle: command '" .. command .. "'")
      end
      assert(node:add_propagation_command "ChaskiMessage") -- it is one already
    end)
  )
end)

describe("a serializer pair", function()
  local brackets = {
    serializer = function(value)
      return "<" .. tostring(value) .. ">"
    end,
    deserializer = function(bytes)
      return assert(bytes:match "^<(.*)>$", "no brackets")
    end,
  }

  local function bracketed(options)
    options = options or {}
    options.serializer, options.deserializer = brackets.serializer, brackets.deserializer
    return options
  end

  it(
    "covers whatever a script sends: messages made by hand, commands and datagrams too",
    test(function()
      local a, b, edge = nodes.pair(bracketed(), bracketed())
      local got, wait = nodes.collector()
      local function take(message)
        got[#got + 1] = { message.command, message.data, message.bytes }
      end
      b:handle("tell", take)
      b:on("datagram", take)
      local by_hand = chaski.message { command = "tell", data = 1 }
      assert(a:write_data(assert(a:serialize_message(by_hand))))
      assert(wait(1))
      assert(a:propagate(by_hand))
      assert(wait(2))
      by_hand.data = 2
      assert(a:write_data(assert(a:serialize_message(by_hand))))
      assert(wait(3))
      assert(a:write("tell", 3))
      assert(wait(4))
      assert(a:send_udp_message("news", 4, b.ip, b.port))
      assert(wait(5))
      for i, text in ipairs { "1", "1", "2", "3", "4" } do
        assert.same({ i < 5 and "tell" or "news", text, "\xc4\x03<" .. text .. ">" }, got[i])
      end
      by_hand.data = print
      assert.is_string(a:serialize_message(by_hand)) -- its own serializer takes a function
      assert.equal("serialize", select(2, nodes.node("plain"):serialize_message(by_hand)).code)
      assert.is_true(edge.live)
    end)
  )

  it(
    "leaves the protocol alone: discovery, requests and status",
    test(function()
      local root = nodes.node("root", bracketed { root = true, port = chaski.get_free_port() })
      local a = nodes.node("a", bracketed { subscriptions = "s", paired = true })
      local b = nodes.node("b", bracketed { subscriptions = "s" })
      assert(a:connect(root))
      assert(b:connect(root))
      assert.equal("a", assert(b:discovery { timeout = 4 }).s.name)
      b:serve("echo", function(kwargs)
        return kwargs
      end)
      assert.same({ k = { 1, "x" } }, a:request("echo", { k = { 1, "x" } }, { edge = a:get_edge_by_name "b" }))
      assert.equal("b", assert(a:request_status(b.ip, b.port)).name)
      assert.equal(0, a.ledger.malformed_data + b.ledger.malformed_data + root.ledger.malformed_data)
    end)
  )

  it(
    "is there as methods, too; without options it is MessagePack",
    test(function()
      local plain = nodes.node "plain"
      assert.same({ 1, { x = "y" } }, plain:deserializer(plain:serializer { 1, { x = "y" } }))
      assert.is_nil(plain:deserializer(plain:serializer(nil)))
      assert.equal("serialize", select(2, plain:serializer(print)).code)
      local bytes, err = plain:deserializer "\xc1"
      assert.equal("\xc1", bytes)
      assert.equal("malformed_data", err.code)
      local own = nodes.node("own", {
        serializer = function(value)
          return value ~= "bad" and "<" .. value .. ">" or 7
        end,
        deserializer = function(text)
          return assert(text:match "^<(.*)>$", "no brackets")
        end,
      })
      assert.equal("<x>", own:serializer "x")
      assert.equal("x", own:deserializer "<x>")
      assert.truthy(tostring(select(2, own:serializer "bad")):find("expected a string, got a number", 1, true))
      assert.equal("serialize", select(2, own:serializer {}).code)
      bytes, err = own:deserializer "x"
      assert.equal("x", bytes)
      assert.truthy(tostring(err):find("no brackets", 1, true))
    end)
  )

  it(
    "whose deserializer fails gives the raw bytes to the handler, and says so each time by an event",
    test(function()
      local a, b, edge = nodes.pair({ serializer = tostring }, {
        deserializer = function()
          error "unreadable"
        end,
      })
      local got, wait = nodes.collector()
      local told = {}
      b:on("malformed_data", function(message, err, from)
        told[#told + 1] = { message.topic, tostring(err):match "unreadable", from.name }
      end)
      b:subscribe("t", function(message)
        got[#got + 1] = message.data .. message.data
      end)
      nodes.knows(edge, "t")
      assert(a:publish("t", "1"))
      assert(a:publish("t", "2"))
      wait(2)
      assert.same({ "11", "22" }, got)
      eventually(function()
        return #told == 2
      end, "it is told")
      assert.same({ "t", "unreadable", "a" }, told[1])
      assert.equal(2, b.ledger.malformed_data)
      assert.is_true(edge.live)
    end)
  )

  it(
    "whose deserializer fails is told of once in the log",
    helper.async(function()
      local script = helper.file [[
        local chaski = require "chaski"
        local a = assert(chaski.node { name = "a" })
        local b = assert(chaski.node { name = "b", deserializer = function() error "unreadable" end })
        local left = 3
        a:handle("done", function() a:stop() b:stop() end)
        b:handle("tell", function(message)
          assert(message.data == "raw", "not the raw bytes")
          left = left - 1
          if left == 0 then b:write("done", 1) end
        end)
        assert(a:connect(b))
        for _ = 1, 3 do assert(a:write("tell", "raw")) end
      ]]
      local process = helper.run { script }
      helper.clean()
      assert.equal(0, process.code, process.err)
      local _, count = process.err:gsub("unreadable", "")
      assert.equal(1, count, process.err)
      assert.truthy(process.err:find("warn b: deserializer: ", 1, true), process.err)
      assert.truthy(process.err:find("handlers get the raw bytes", 1, true), process.err)
    end)
  )
end)

describe("the option strings", function()
  local function one_of_each(strings)
    local root = nodes.node("root", { root = true, port = chaski.get_free_port(), strings = strings })
    local a = nodes.node("a", { subscriptions = "s", paired = true, strings = strings })
    local b = nodes.node("b", { subscriptions = "s", strings = strings })
    assert(a:connect(root))
    assert(b:connect(root))
    return a, b
  end

  it(
    "is for a script's own data: the protocol's are as they have to be",
    test(function()
      for _, strings in ipairs { "auto", "str", "bin" } do
        local a, b = one_of_each(strings)
        local found, alone = b:discovery { timeout = 4 }
        assert.is_nil(alone)
        assert.equal("a", found.s.name)
        local got
        b:serve("ask", function(kwargs)
          got = kwargs
          return { text = "text", bytes = "\xff", none = chaski.null }
        end)
        local edge = a:get_edge_by_name "b"
        local answer = assert(a:request("ask", { text = "text", bytes = "\xff" }, { edge = edge }))
        assert.same({ "text", "\xff" }, { tostring(got.text), tostring(got.bytes) })
        assert.same({ "text", "\xff" }, { tostring(answer.text), tostring(answer.bytes) })
        local err = select(2, a:request("nobody serves this", {}, { edge = edge }))
        assert.equal("unknown_callback", err.code)
        local status = assert(a:request_status(b.ip, b.port, { topic = "s" }))
        assert.equal("b", status.name)
        assert.is_true(status.paired.s)
        assert.is_string(status.leader)
      end
    end)
  )

  it(
    "is followed by the serializer methods and by messages made by hand",
    test(function()
      local bin = nodes.node("bin", { strings = "bin" })
      assert.equal("\xc4\x01x", bin:serializer "x")
      assert.equal("x", bin:deserializer "\xc4\x01x")
      assert.equal(chaski.str "x", bin:deserializer "\xa1x")
      local frame = assert(bin:serialize_message(chaski.message { command = "c", data = "x" }))
      assert.equal("\xc4\x01x", frame:sub(-3))
      assert.truthy(frame:find("\xa7command\xa1c", 1, true))
    end)
  )
end)

describe("tostring", function()
  it(
    "says what an object is",
    test(function()
      local a, b, edge = nodes.pair()
      local root = nodes.node("root", { root = true, port = chaski.get_free_port() })
      assert.equal("a@127.0.0.1:" .. a.port, tostring(a))
      assert.equal("*root@127.0.0.1:" .. root.port, tostring(root))
      assert.truthy(tostring(edge):find "^b%(latency [%d.]+ ms, jitter [%d.]+ ms, 127%.0%.0%.1:%d+%)$")
      edge:close()
      eventually(function()
        return not edge.live
      end)
      assert.truthy(tostring(edge):find ", closed%)$")
      assert.truthy(tostring(assert(a:connect(root))):find "^%*root%(")
      local message = chaski.message { command = "c", topic = "t", data = { 1 }, uuid = "u" }
      assert.equal("message(c, t, 2 bytes, u)", tostring(message))
      assert.equal("subscription(t)", tostring(b:subscribe("t", print)))
      assert.equal("handle(edge_open)", tostring(a:on("edge_open", print)))
      assert.truthy(tostring(a.messages_pool):find "^messages_pool%(%d+ ids, %d+ origins%)$")
      local pool = chaski.messages_pool(3)
      pool:append "x"
      assert.equal("messages_pool(1 ids, 0 origins)", tostring(pool))
    end)
  )
end)

describe("an edge of the original's", function()
  it(
    "has its fields",
    test(function()
      local _, b, edge = nodes.pair({ keep_alive = false }, { subscriptions = { "t" }, keep_alive = false })
      assert.same({ "b", b.ip, b.port, { "t" } }, { edge.name, edge.ip, edge.port, edge.subscriptions })
      assert.is_false(edge.ping_in_progress or edge.paired)
      assert.equal(b.address, edge.address)
      assert.equal(b.address, edge.remote_address)
      assert.truthy(edge.local_address:find "^127%.0%.0%.1:%d+$")
      assert.is_number(edge.latency)
      assert.is_number(edge.jitter)
      assert.is_nil(edge.reader)
      assert.is_nil(edge.writer)
    end)
  )

  it(
    "says while it waits for a pong",
    test(function()
      local _, _, edge = nodes.pair({ keep_alive = false }, { keep_alive = false })
      local task = chaski.spawn(edge.ping, edge)
      assert.is_true(edge.ping_in_progress)
      assert(select(2, task:join()))
      assert.is_false(edge.ping_in_progress)
    end)
  )

  it(
    "updates its latency by the original's formula",
    test(function()
      local _, _, edge = nodes.pair({ keep_alive = false }, { keep_alive = false })
      edge:reset_latency()
      assert.same({ 0, 100 }, { edge.latency, edge.jitter })
      local latency, jitter = 0, 100
      for _, rtt in ipairs { 20, 40, 10 } do -- a round trip; the original is given half of one
        local sample = rtt / 2
        local weight = 1 / (jitter * jitter) + 1 / (100 * 100)
        latency = (latency / (jitter * jitter) + sample / (100 * 100)) / weight
        jitter = (1 / weight) ^ 0.5
        edge:update_latency(rtt)
        assert.near(latency, edge.latency, 1e-9)
        assert.near(jitter, edge.jitter, 1e-9)
      end
    end)
  )

  it(
    "equals itself only",
    test(function()
      local a, b, edge, back = nodes.pair()
      assert.is_true(edge == a:get_edge_by_name "b")
      assert.is_false(edge == back)
      assert.is_true(back == b.edges[1])
    end)
  )
end)

describe("a messages pool", function()
  it("is of bounded size, and an id that is there moves to its end", function()
    assert.equal(0, #chaski.messages_pool())
    local pool = chaski.messages_pool(2)
    pool:append "x"
    pool:append "y"
    pool:append "x"
    pool:append "z"
    assert.same({ true, false, true }, { pool:contains "x", pool:contains "y", pool:contains "z" })
    assert.equal(2, #pool)
    for _, size in ipairs { 0, -1, 1.5, "x", {} } do
      assert.has_error(function()
        chaski.messages_pool(size)
      end)
    end
    assert.has_error(function()
      pool:append ""
    end)
    assert.has_error(function()
      pool:append(("x"):rep(65))
    end)
  end)
end)

describe("the datagram socket of a node", function()
  it(
    "has the events of the original's protocol",
    test(function()
      local told, wait = nodes.collector()
      local node = nodes.node("n", { run = false })
      for _, event in ipairs { "udp_open", "udp_closed", "datagram", "udp_error", "stopped" } do
        node:on(event, function(what)
          told[#told + 1] = event == "datagram" and what.command or event
        end)
      end
      assert(node:run())
      wait(1)
      local socket <close> = hostile.socket()
      socket:send(chaski.pack { command = "hello" }, node.port)
      wait(2)
      assert.same({ "udp_open", "hello" }, told)
      node:stop()
      wait(3)
      assert.is_true(told[3] == "udp_closed" or told[3] == "stopped")
    end)
  )
end)

describe("requests of the original's test", function()
  it(
    "are echoed by a callback that is served",
    test(function()
      local a, b = nodes.pair()
      b:serve("_test_generic_response_udp", function(echo_data)
        return echo_data
      end)
      assert.same({ x = 1, y = { true } }, a:request("_test_generic_response_udp", { x = 1, y = { true } }))
    end)
  )
end)

describe("nonsense", function()
  it(
    "given to what waits is refused before it waits",
    test(function()
      local a, _, edge = nodes.pair()
      for _, nonsense in ipairs { 7, "x", true, print } do
        for _, method in ipairs { "discovery", "ping" } do
          assert.has_error(function()
            a[method](a, nonsense)
          end)
        end
        assert.has_error(function()
          a:request(nonsense ~= "x" and nonsense or nil)
        end)
        assert.has_error(function()
          a:ping(edge, nonsense)
        end)
        assert.has_error(function()
          a:handshake(edge, nonsense)
        end)
      end
      assert.error_matches(function()
        a:discovery { timeouts = 1 }
      end, "node:discovery: unknown option 'timeouts', did you mean 'timeout'")
      assert.is_true(edge.live)
    end)
  )
end)
