-- tls_node_spec.lua: nodes over TLS: who may connect, who may do what, and how a node gets its certificates.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local enrol = require "chaski.enrol"
local helper = require "spec.helper"
local invites = require "chaski.invite"
local nodes = require "spec.lua.nodes"
local rig = require "spec.lua.ca_rig"
local t = require "spec.lua.tls_rig"
local tls = require "chaski.tls"
local uv = require "luv"

local DAY = 86400
local test = t.test

teardown(rig.clean)

local root, other

setup(function()
  root, other = t.root "root", t.root "other"
end)

local function fails(code, value, err)
  assert.is_nil(value)
  assert.equal(code, err.code, tostring(err))
  return tostring(err)
end

--- A node with a certificate of the root above; changes: what is special about it.
local function node(name, options, changes)
  options = options or {}
  options.tls = options.tls or t.context(root, name, changes)
  options.reconnect = false
  return assert(chaski.node(options))
end

local function connected(a, b)
  local edge = assert(a:connect(b))
  helper.eventually(function()
    return b:is_connected_to(a)
  end, "both have the edge")
  return edge
end

describe("a node over TLS", function()
  it(
    "is named by its certificate, and talks as any other",
    test(function()
      local a, b = node "alfa", node "bravo"
      assert.equal("alfa", a.name)
      assert.equal("alfa", a.id)
      assert.is_true(a.tls)
      assert.equal("chaski://home/alfa", a.status.tls.identity)
      local got = {}
      b:subscribe("news", function(message, edge)
        got[#got + 1] = { edge.name, message.data }
      end)
      b:serve("add", function(kwargs)
        return kwargs.x + kwargs.y
      end)
      local edge = connected(a, b)
      assert.equal("bravo", edge.name)
      assert(a:publish("news", 7))
      helper.eventually(function()
        return got[1]
      end)
      assert.same({ { "alfa", 7 } }, got)
      assert.equal(3, a:request("add", { x = 1, y = 2 }))
      assert.is_number(a:ping(edge))
      assert.equal("bravo", assert(a:request_status(b.ip, b.port)).name)
      fails("forbidden", a:send_udp_message("x", 1, b.ip, b.port))
      assert.is_nil(nodes.node("plain").status.tls)
    end)
  )

  it(
    "may have a context for each role",
    test(function()
      local a = assert(chaski.node {
        ssl_context_client = t.context(root, "alfa"),
        ssl_context_server = t.context(root, "alfa"),
      })
      connected(a, node "bravo")
      connected(node "charlie", a)
      fails("certificate", chaski.node { ssl_context_client = t.context(root, "alfa") }) -- it could not listen
      fails(
        "certificate",
        chaski.node {
          ssl_context_client = t.context(root, "alfa"),
          ssl_context_server = t.context(root, "bravo"),
        }
      )
    end)
  )

  it(
    "has the certificate's name and no other",
    test(function()
      local context = t.context(root, "alfa")
      assert.equal("alfa", assert(chaski.node { tls = context, name = "alfa", id = "alfa" }).name)
      assert.matches(
        "is that of 'alfa', the option 'name' says 'x'",
        fails(
          "certificate",
          chaski.node {
            tls = context,
            name = "x",
          }
        )
      )
      fails("certificate", chaski.node { tls = context, id = "x" })
      assert.error_matches(function()
        chaski.node { tls = "alfa.pem" }
      end, "option 'tls': expected chaski.tls.context")
      assert.error_matches(function()
        chaski.node { tls = context, request_ssl_certificate = "x" }
      end, "'tls' and 'request_ssl_certificate' exclude each other")
    end)
  )

  it(
    "takes nothing in clear, and says nothing in clear",
    test(function()
      local secure, plain = node "alfa", nodes.node "plain"
      assert.is_nil((plain:connect(secure)))
      assert.is_nil((secure:connect(plain)))
      helper.eventually(function()
        return secure.status.tls.counters.plain > 0
      end, "it is counted")
      assert.equal(0, #secure.edges)
      assert.equal(0, #plain.edges)
      local bytes, closed = {}, false
      local tcp = uv.new_tcp()
      tcp:connect(secure.ip, secure.port, function()
        tcp:write "GET / HTTP/1.0\r\n\r\n"
        tcp:read_start(function(_, chunk)
          bytes[#bytes + 1] = chunk
          if chunk then return end
          closed = true
          tcp:close()
        end)
      end)
      helper.eventually(function()
        return closed
      end, "it is closed")
      assert.not_matches("alfa", table.concat(bytes))
      assert.is_true(#table.concat(bytes) <= 7) -- an alert at most
    end)
  )

  it(
    "meets only who shows a good certificate, and counts the others by reason",
    test(function()
      local host = node "host"
      local stranger = assert(chaski.node { tls = t.context(root, "x", { mesh = "elsewhere" }), reconnect = false })
      fails("certificate", stranger:connect(host))
      fails("certificate", host:connect(stranger))
      assert.is_true(host.status.tls.counters.other_mesh + stranger.status.tls.counters.other_mesh >= 2)
      local foreign = assert(chaski.node { tls = t.context(other, "foreign"), reconnect = false })
      fails("certificate", foreign:connect(host))
      fails("certificate", host:connect(foreign))
      assert.is_true(host.status.tls.counters.unknown_ca + host.status.tls.counters.self_signed > 0)
      local ends = math.floor(core.wall()) + 3 -- a busy machine may need as long to make the node
      local brief = node("brief", nil, { not_after = ends })
      helper.eventually(function()
        return core.wall() > ends + 1
      end, "its certificate has ended", 10)
      fails("certificate", brief:connect(host))
      assert.equal(1, host.status.tls.counters.expired)
      local late = t.issue(root, "late", { not_before = ends + 100 })
      fails("certificate", tls.context { certificate = late.certificate, key = late.key, ca = late.ca })
      assert.equal(0, #host.edges)
    end)
  )

  it(
    "takes nobody for the one that was dialled by name",
    test(function()
      local a, b = node "alfa", node "bravo"
      fails("certificate", a:connect(("charlie@%s"):format(b.address)))
      assert(a:connect(("bravo@%s"):format(b.address)))
    end)
  )

  it(
    "closes edges when their peers' certificates end",
    test(function()
      local ends = math.floor(core.wall()) + 3
      local a, b = node "alfa", node("bravo", nil, { not_after = ends })
      local reasons = {}
      b:on("edge_closed", function(_, reason)
        reasons[#reasons + 1] = reason
      end)
      a:on("edge_closed", function(_, reason)
        reasons[#reasons + 1] = reason
      end)
      local told = t.watch(b)
      connected(b, a)
      helper.eventually(function()
        return core.wall() > ends + 1
      end, "it has ended", 10)
      core.recheck(a) -- what its own task does every ten seconds
      helper.eventually(function()
        return reasons[1] == "certificate"
      end, "the edge is closed")
      assert.same({}, told)
    end)
  )
end)

describe("the rights of a certificate", function()
  local function sensor(options)
    return node("sensor", options, { rights = "publish=weather,log/*;subscribe=news" })
  end

  it(
    "are known to the node itself: nil and forbidden, and nothing is sent",
    test(function()
      local a, host = sensor(), node("host", { subscriptions = { "weather", "secret", "log/a" } })
      connected(a, host)
      assert(a:publish("weather", 1))
      assert(a:try_publish("log/a", 1))
      assert.matches("secret", fails("forbidden", a:publish("secret", 1)))
      fails("forbidden", a:try_publish("secret", 1))
      assert(a:subscribe "news")
      assert.matches("secret", fails("forbidden", a:subscribe "secret"))
      fails("forbidden", a:subscribe { "news", "secret" })
      fails("forbidden", a:subscribe("secret", function() end))
      assert.error_matches(function()
        a:messages "secret"
      end, "secret.*not allowed")
      assert.same({ "news" }, a.subscriptions)
      fails(
        "forbidden",
        chaski.node {
          tls = t.context(root, "sensor", { rights = "subscribe=news" }),
          subscriptions = { "news", "secret" },
        }
      )
    end)
  )

  it(
    "are enforced by the peer of a node that does not care; it is told",
    test(function()
      local a, host, told, got = sensor(), node "host", {}, {}
      host:subscribe({ "weather", "secret" }, function(message)
        got[#got + 1] = message.topic
      end)
      a:on("forbidden", function(edge, right, topic)
        told[#told + 1] = { edge.name, right, topic }
      end)
      connected(a, host)
      for _, topic in ipairs { "secret", "weather" } do
        local message = chaski.message { command = "ChaskiMessage", topic = topic, data = 1, uuid = chaski.uuid() }
        assert(a:write_data(assert(a:serialize_message(message))))
      end
      helper.eventually(function()
        return #got == 1 and #told == 1
      end)
      assert.same({ "weather" }, got)
      assert.same({ { "host", "publish", "secret" } }, told)
      assert.equal(1, host.ledger.forbidden)
      assert.equal(1, #a.edges)
    end)
  )

  it(
    "hold for subscriptions that a peer claims",
    test(function()
      local a, host, told = sensor(), node "host", {}
      a:on("forbidden", function(edge, right, topic)
        told[#told + 1] = { edge.name, right, topic }
      end)
      local got = {}
      a:on("undelivered", function() end)
      local edge = connected(a, host)
      a:subscribe("news", function(message)
        got[#got + 1] = message.topic
      end)
      local claim = chaski.message {
        command = "subscriptions",
        topic = "All",
        data = { add = chaski.array { "secret" }, subscriptions = chaski.array { "news", "secret" } },
      }
      local frame = assert(a:serialize_message(claim))
      local sent = a:write_data(frame, { edges = { edge } })
      helper.eventually(function()
        return #told > 0 or not sent or not edge.live
      end)
      assert.is_false(host:get_edge_by_name("sensor") ~= nil and host:get_edge_by_name("sensor"):is_subscribed "secret")
      assert(host:publish("secret", 1) or true)
      assert.same({}, got)
    end)
  )

  it(
    "hold for relays: one without the right passes on only what it may publish itself",
    test(function()
      local source = node "source"
      local relay = node("relay", { message_propagation = true }, { rights = "publish=weather" })
      local sink, got, told = node "sink", {}, {}
      sink:subscribe({ "weather", "news" }, function(message)
        got[#got + 1] = message.topic
      end)
      relay:on("forbidden", function(_, right, topic)
        told[#told + 1] = { right, topic }
      end)
      connected(source, relay)
      connected(relay, sink)
      assert(source:publish("news", 1))
      assert(source:publish("weather", 1))
      helper.eventually(function()
        return #got == 1
      end)
      assert.same({ "weather" }, got)
      assert.same({}, told) -- it has not even tried
      local seen
      relay:subscribe("news", function(message, edge)
        seen = { relay:propagate(message, edge) }
      end)
      assert(source:publish("news", 2))
      helper.eventually(function()
        return seen
      end)
      fails("forbidden", seen[1], seen[2])
    end)
  )

  it(
    "that relaying is among let it pass on everything, and publish little",
    test(function()
      local source = node "source"
      local relay = node("relay", { message_propagation = true }, { rights = "publish=weather;relay" })
      local sink, got = node "sink", {}
      sink:subscribe({ "news" }, function(message)
        got[#got + 1] = message.data
      end)
      connected(source, relay)
      connected(relay, sink)
      fails("forbidden", relay:publish("news", 0))
      assert(source:publish("news", 1))
      helper.eventually(function()
        return #got == 1
      end)
      assert.same({ 1 }, got)
    end)
  )

  it(
    "of a relay that does not care are enforced by its neighbours",
    test(function()
      local bad = node("bad", nil, { rights = "publish=weather" })
      local sink, got, told = node "sink", {}, {}
      sink:subscribe("news", function()
        got[#got + 1] = 1
      end)
      bad:on("forbidden", function(_, right, topic)
        told[#told + 1] = { right, topic }
      end)
      connected(bad, sink)
      local source = node "source" -- what it once sent, word for word
      local message = chaski.message { command = "ChaskiMessage", topic = "news", data = 1, uuid = source:uuid() }
      assert(bad:write_data(assert(source:serialize_message(message))))
      helper.eventually(function()
        return #told == 1
      end)
      assert.same({ { "publish", "news" } }, told)
      assert.same({}, got)
    end)
  )
end)

describe("request_ssl_certificate", function()
  it(
    "as an option enrols the node before it runs",
    test(function()
      local authority, location = t.serve()
      local text = assert(authority:invite { id = "alfa", publish = "weather" })
      local a = assert(chaski.node {
        request_ssl_certificate = text,
        ssl_certificates_location = location,
        ssl_certificate_attributes = { O = "home", OU = "attic" },
        subscriptions = "news",
      })
      assert.equal("alfa", a.name)
      assert.is_true(a.running and a.tls)
      assert.matches(
        "OU=attic",
        core.pki.read_certificate(rig.read(location .. "/alfa/certificate.pem")):info().subject
      )
      local b = t.enrolled(authority, location, "bravo", nil, { subscriptions = "weather" })
      connected(a, b)
      assert(a:publish("weather", 1))
      fails("forbidden", a:publish("news", 1))
    end)
  )

  it(
    "spends no token when the files are there",
    test(function()
      local authority, location = t.serve()
      local text = assert(authority:invite { id = "alfa" })
      local options = { request_ssl_certificate = text, ssl_certificates_location = location }
      assert(chaski.node(options)):stop()
      local before = rig.snapshot(location)
      authority:stop() -- it is not even asked
      local again = assert(chaski.node(options))
      assert.equal("alfa", again.name)
      assert.equal(before, rig.snapshot(location))
      assert.equal(1, authority.counters.enrolled)
    end)
  )

  it(
    "enrols anew when the files cannot be used, if the string allows",
    test(function()
      local authority, location = t.serve()
      local function start(text)
        return chaski.node { request_ssl_certificate = text, ssl_certificates_location = location }
      end
      local text = assert(authority:invite { id = "alfa" })
      assert(start(text)):stop()
      rig.write(location .. "/alfa/certificate.pem", rig.read(location .. "/alfa/ca.pem"))
      assert.matches("used.*cannot be used", fails("used", start(text)))
      assert(start(assert(authority:invite { id = "alfa" }))):stop()
      assert.equal(2, authority.counters.enrolled)
      authority:revoke "alfa"
      rig.write(location .. "/alfa/crl.pem", authority:crl())
      assert.matches("revoked", fails("used", start(text)))
      assert(start(assert(authority:invite { id = "alfa" }))):stop()
      uv.fs_chmod(location .. "/alfa/key.pem", 420)
      local third = assert(authority:invite { id = "alfa" })
      assert.matches("chmod 600", fails("exposed", start(third))) -- not mended in silence
      assert.equal(3, authority.counters.enrolled)
    end)
  )

  it(
    "enrols anew with a CA that was made anew",
    test(function()
      local first, location = t.serve()
      local second = t.serve()
      assert(t.enrolled(first, location, "alfa")):stop()
      local a = t.enrolled(second, location, "alfa")
      assert.equal(1, second.counters.enrolled)
      connected(a, t.enrolled(second, location, "bravo"))
    end)
  )

  it(
    "tells what is wrong, and no node runs",
    test(function()
      local authority, location = t.serve()
      local good = assert(authority:invite { id = "alfa" })
      local function start(text, more)
        local options = { request_ssl_certificate = text, ssl_certificates_location = location }
        for name, value in pairs(more or {}) do
          options[name] = value
        end
        return chaski.node(options)
      end
      local before = #core.running_nodes()
      fails("bad_invite", start "chaski-invite-1:AAAA")
      fails("bad_invite", start "127.0.0.1:8500") -- what the original would take
      fails("certificate", start(good, { name = "bravo" }))
      local invite = assert(invites.read(good))
      invite.secret = ("x"):rep(32)
      fails("bad_mac", start(invites.write(invite)))
      invite.address = "127.0.0.1:1"
      fails("refused", start(invites.write(invite)))
      assert.error_matches(function()
        start(good, { ssl_certificate_attributes = { CN = "x" } })
      end, "attributes")
      assert.error_matches(function()
        start(good, { ssl_certificates_location = 7 })
      end, "ssl_certificates_location")
      rig.write(location .. "-file", "")
      fails("missing", start(good, { ssl_certificates_location = location .. "-file/x" }))
      uv.fs_mkdir(location, DAY and 448)
      uv.fs_mkdir(location .. "/alfa", 448)
      fails("exists", start(good))
      uv.fs_rmdir(location .. "/alfa")
      assert.equal(before, #core.running_nodes())
      assert.equal("alfa", assert(start(good)).name) -- the string is good still
    end)
  )

  it(
    "is a method of a node that runs in clear: it goes on at the same port under another name",
    test(function()
      local authority, location = t.serve()
      local b = t.enrolled(authority, location, "bravo")
      local a = nodes.node("whatever", { ssl_certificates_location = location, subscriptions = "news" })
      local port = a.port
      assert(a:request_ssl_certificate(assert(authority:invite { id = "alfa" }), { timeout = 5 }))
      assert.equal("alfa", a.name)
      assert.equal(port, a.port)
      assert.is_true(a.running and a.tls)
      assert.same({ "news" }, a.subscriptions)
      connected(b, a)
      fails("live", a:request_ssl_certificate(assert(authority:invite { id = "alfa" })))
      assert.is_true(a.running and a.tls and #a.edges == 1)
    end)
  )

  it(
    "waits for a node that does not run until it is told to",
    test(function()
      local authority, location = t.serve()
      local a = nodes.node("x", { run = false, ssl_certificates_location = location })
      assert(a:request_ssl_certificate(assert(authority:invite { id = "alfa" })))
      assert.is_false(a.running)
      assert(a:run())
      connected(a, t.enrolled(authority, location, "bravo"))
      local option = { ssl_certificates_location = location, run = false }
      option.request_ssl_certificate = assert(authority:invite { id = "charlie" })
      local c = assert(chaski.node(option))
      assert.is_false(c.running)
      assert(c:run())
      connected(a, c)
    end)
  )

  it(
    "that fails leaves no node that runs in clear",
    test(function()
      local authority, location = t.serve()
      local text = assert(authority:invite { id = "alfa" })
      local invite = assert(invites.read(text))
      invite.address = "127.0.0.1:1"
      for _, wrong in ipairs { "x", invites.write(invite) } do
        local a = nodes.node("x", { ssl_certificates_location = location })
        assert.is_nil((a:request_ssl_certificate(wrong, { timeout = 1 })))
        assert.is_false(a.running)
        assert.is_false(a.tls)
      end
      local a = nodes.node("x", { ssl_certificates_location = location, subscriptions = { "news", "secret" } })
      local narrow = assert(authority:invite { id = "alfa", subscribe = "news" })
      assert.matches("'secret'", fails("forbidden", a:request_ssl_certificate(narrow)))
      assert.is_false(a.running)
      a:unsubscribe "secret"
      assert(a:request_ssl_certificate(narrow)) -- the files are there: the token is not asked for again
      assert.is_false(a.running)
      assert(a:run())
      assert.is_true(a.tls)
    end)
  )

  it(
    "that fails leaves a node with certificates as it was",
    test(function()
      local authority, location = t.serve()
      local a = t.enrolled(authority, location, "alfa")
      local b = t.enrolled(authority, location, "bravo")
      fails("bad_invite", a:request_ssl_certificate "x")
      assert.is_true(a.running and a.tls)
      connected(a, b)
    end)
  )

  it(
    "lets nobody run the node in clear meanwhile",
    test(function()
      local authority, location = t.serve()
      local a = nodes.node("x", { ssl_certificates_location = location })
      local text = assert(authority:invite { id = "alfa" })
      local task = chaski.spawn(a.request_ssl_certificate, a, text)
      helper.eventually(function()
        return not a.running
      end)
      fails("busy", a:run())
      fails("busy", a:request_ssl_certificate(text))
      assert(select(2, task:join()))
      assert.is_true(a.running and a.tls)
    end)
  )

  it(
    "may be called by a handler of the node itself",
    test(function()
      local authority, location = t.serve()
      local a = nodes.node("x", { ssl_certificates_location = location })
      local text = assert(authority:invite { id = "alfa" })
      a:on("edge_closed", function()
        a:request_ssl_certificate(text)
      end)
      local b = nodes.node "b"
      local edge = connected(b, a)
      edge:close()
      helper.eventually(function()
        return a.running and a.tls
      end, "it runs over TLS")
    end)
  )

  it(
    "is for tasks, and takes a string",
    test(function()
      local a = nodes.node "x"
      assert.error_matches(function()
        a:request_ssl_certificate()
      end, "expected an enrolment string, got nil")
      assert.error_matches(function()
        a:request_ssl_certificate("x", { time = 1 })
      end, "unknown option 'time'")
      assert.is_true(a.running)
    end)
  )

  it("raises outside of a task, and names itself", function()
    assert.error_matches(function()
      chaski.node { request_ssl_certificate = "x" }
    end, "option request_ssl_certificate: called outside a task")
    local a = assert(chaski.node { run = false })
    assert.error_matches(function()
      a:request_ssl_certificate "x"
    end, "node:request_ssl_certificate: called outside")
  end)
end)

describe("secrets", function()
  it(
    "are in no log, no error, no status and no text of an object",
    test(function()
      local lines = {}
      chaski.log.level = "trace"
      local log = core.log
      core.log = function(level, who, text)
        lines[#lines + 1] = tostring(text) .. tostring(who)
        return log(level, who, text)
      end
      local authority, location = t.serve()
      local texts, secrets = {}, {}
      for _, id in ipairs { "alfa", "bravo" } do
        texts[id] = assert(authority:invite { id = id })
        local secret = invites.read(texts[id]).secret
        secrets[#secrets + 1] = texts[id]:sub(40)
        secrets[#secrets + 1] = secret
        secrets[#secrets + 1] = core.pki.hex(secret)
        secrets[#secrets + 1] = core.pki.base64url(secret)
        secrets[#secrets + 1] = core.pki.hex(invites.proof_key(secret))
      end
      local function options(id)
        return { request_ssl_certificate = texts[id], ssl_certificates_location = location }
      end
      local a, b = assert(chaski.node(options "alfa")), assert(chaski.node(options "bravo"))
      connected(a, b)
      for _, id in ipairs { "alfa", "bravo" } do
        for line in rig.read(location .. "/" .. id .. "/key.pem"):gmatch "[^\n]+" do
          if not line:find "%-%-" then secrets[#secrets + 1] = line end
        end
      end
      local function note(...)
        for i = 1, select("#", ...) do
          lines[#lines + 1] = tostring((select(i, ...)))
        end
      end
      note(chaski.node { request_ssl_certificate = texts.alfa:sub(1, -3), ssl_certificates_location = location })
      note(chaski.node { request_ssl_certificate = texts.alfa, ssl_certificates_location = location .. "/elsewhere" })
      note(enrol.join(texts.alfa, { location = location .. "/2", timeout = 1 }))
      note(pcall(chaski.node, { request_ssl_certificate = texts.alfa, name = 7 }))
      note(pcall(chaski.node, { request_ssl_certificate = texts.alfa, tls = t.context(root, "x") }))
      note(pcall(chaski.node, { tls = texts.alfa }))
      note(a, b, authority, tls.context { certificate = location .. "/alfa/certificate.pem", key = location })
      note(b:request_ssl_certificate(texts.bravo))
      local function walk(value, depth)
        note(value)
        if type(value) ~= "table" or depth > 6 then return end
        for key, each in pairs(value) do
          note(key)
          walk(each, depth + 1)
        end
      end
      walk(a.status, 0)
      walk(authority:list(), 0)
      walk(authority.counters, 0)
      walk(assert(authority:show "alfa"), 0)
      assert(enrol.renew(enrol.find(texts.alfa, { location = location })))
      authority:revoke "alfa"
      core.log = log
      chaski.log.level = "warn"
      for _, line in ipairs(rig.log) do
        lines[#lines + 1] = line
      end
      assert.is_true(#lines > 100)
      local all = table.concat(lines, "\n")
      for i, secret in ipairs(secrets) do
        assert.is_true(#secret >= 8)
        assert.is_nil(all:find(secret, 1, true), "secret number " .. i)
      end
    end, 20)
  )
end)

describe("the openssl command", function()
  local function openssl(arguments, options)
    options = options or {}
    options.program, options.timeout = "/usr/bin/openssl", 20
    options.env = { LD_PRELOAD = false }
    return helper.run(arguments, options)
  end

  it(
    "agrees with what is signed and served",
    test(function()
      local authority, location = t.serve()
      local a = t.enrolled(authority, location, "alfa", { ip = "127.0.0.1", publish = "weather" })
      t.enrolled(authority, location, "bravo"):stop()
      local alfa, bravo = location .. "/alfa/", location .. "/bravo/"
      for _, purpose in ipairs { "sslserver", "sslclient" } do
        local run = openssl {
          "verify",
          "-purpose",
          purpose,
          "-x509_strict",
          "-CAfile",
          alfa .. "ca.pem",
          "-CRLfile",
          alfa .. "crl.pem",
          "-crl_check",
          alfa .. "certificate.pem",
        }
        assert.equal(0, run.code, run.err)
        assert.matches("OK", run.out)
      end
      local function client(...)
        return openssl({
          "s_client",
          "-connect",
          a.address,
          "-CAfile",
          bravo .. "ca.pem",
          "-verify_return_error",
          "-brief",
          "-alpn",
          "chaski/1",
          ...,
        }, { stdin = "" })
      end
      local run = client("-cert", bravo .. "certificate.pem", "-key", bravo .. "key.pem")
      assert.matches("Protocol version: TLSv1.3", run.err, 1, true)
      assert.matches("Verification: OK", run.err, 1, true)
      assert.matches("Peer certificate: .*CN = alfa", run.err)
      run = client("-cert", bravo .. "certificate.pem", "-key", bravo .. "key.pem", "-tls1_2")
      assert.not_equal(0, run.code)
      local before = a.status.tls.counters.no_certificate
      client()
      helper.eventually(function()
        return a.status.tls.counters.no_certificate > before
      end, "without a certificate")
      authority:revoke "alfa"
      rig.write(location .. "/list.pem", authority:crl())
      run = openssl {
        "verify",
        "-CAfile",
        alfa .. "ca.pem",
        "-CRLfile",
        location .. "/list.pem",
        "-crl_check",
        alfa .. "certificate.pem",
      }
      assert.not_equal(0, run.code)
      assert.matches("certificate revoked", run.err, 1, true)
      assert.equal(0, #a.edges)
      helper.clean()
    end, 30)
  )
end)
