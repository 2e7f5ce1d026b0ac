-- channel_spec.lua: secure conversations of small messages, over TCP and in simulations. SPDX-License-Identifier: MIT
local channels = require "chaski.channel"
local chaski = require "chaski"
local core = require "chaski.core"
local helper = require "spec.helper"
local tls = require "chaski.tls"
local uv = require "luv"
local pki = core.pki

local test, eventually = helper.async, helper.eventually
local ALPN = "chaski-ca/1"

local function fails(code, ok, err)
  assert.is_nil(ok)
  assert.equal(code, err.code, tostring(err))
  return tostring(err)
end

--- Contexts of a server with a certificate, of a client without one that knows its root, and of one with its own.
local function contexts()
  local now = math.floor(core.wall())
  local root_key, parts = pki.key(), {}
  local root_pem = pki.certificate {
    subject = { CN = "root" },
    not_before = now - 300,
    not_after = now + 86400,
    authority = true,
    key = root_key,
    issuer_key = root_key,
  }
  local root = pki.read_certificate(root_pem)
  for _, id in ipairs { "server", "client" } do
    local key = pki.key()
    local pem = pki.certificate {
      subject = { CN = id },
      uri = "chaski://home/" .. id,
      not_before = now - 300,
      not_after = now + 3600,
      key = key,
      issuer = root,
      issuer_key = root_key,
    }
    parts[id] = { certificate = pem .. root_pem, key = key:pem(), ca = root_pem, alpn = ALPN }
    parts[id].anonymous = id == "server"
  end
  return {
    server = assert(tls.context(parts.server)),
    client = assert(tls.context { pin = root:info().key_hash, alpn = ALPN, anonymous = true }),
    member = assert(tls.context(parts.client)),
    stranger = assert(tls.context { pin = ("ab"):rep(32), alpn = ALPN, anonymous = true }),
    other_alpn = assert(tls.context { pin = root:info().key_hash, anonymous = true }),
  }
end

local function echo(channel)
  while true do
    local message = channel:receive()
    if not message or not channel:send(message) then return end
  end
end

--- body(contexts, listener) with a listener that serves in this way.
local function with(serve, body)
  return function()
    local c = contexts()
    local listener <close> = assert(channels.listen("127.0.0.1", 0, c.server, serve))
    body(c, listener, ("127.0.0.1:%d"):format(listener.port))
  end
end

describe("a channel", function()
  it(
    "carries tables both ways, large ones too",
    test(with(echo, function(c, _, address)
      local channel <close> = assert(channels.connect(address, c.client))
      assert.equal(address, channel.peer)
      for _, message in ipairs {
        {},
        { a = 1, b = { 2, 3 }, c = "text" },
        { large = ("x"):rep(65000) },
        { bytes = core.bin(pki.random(1000)) },
      } do
        local expected = core.unpack(core.pack(message))
        assert.same(expected, channels.ask(channel, message))
      end
      for i = 1, 20 do
        assert.is_true(channel:send { i = i })
      end
      for i = 1, 20 do
        assert.equal(i, channel:receive().i)
      end
    end))
  )

  it(
    "has key material that both ends share and no other channel has",
    test(function()
      local exported, certificates = {}, {}
      with(function(channel)
        channel:receive()
        exported[#exported + 1] = assert(channel:export("EXPORTER-chaski-enrol", 32))
        certificates[#certificates + 1] = channel:peer_certificate() or "none"
        channel:send {}
      end, function(c, _, address)
        for i, context in ipairs { c.client, c.member, c.client } do
          local channel <close> = assert(channels.connect(address, context))
          channels.ask(channel, {})
          assert.equal(exported[i], channel:export("EXPORTER-chaski-enrol", 32))
          assert.not_equal(exported[i], channel:export("EXPORTER-other", 32))
          assert.equal("chaski://home/server", pki.read_certificate(channel:peer_certificate()):info().uri)
        end
        assert.not_equal(exported[1], exported[3])
        assert.equal("none", certificates[1])
        assert.equal("chaski://home/client", pki.read_certificate(certificates[2]):info().uri)
        assert.equal("none", certificates[3])
      end)()
    end)
  )

  it(
    "ends for the other when one closes, after what was sent",
    test(with(function(channel)
      channel:receive()
      channel:send { last = true }
    end, function(c, _, address)
      local channel = assert(channels.connect(address, c.client))
      assert.is_true(channels.ask(channel, {}).last)
      fails("lost", channel:receive())
      fails("lost", channel:send {})
      channel:close()
      channel:close()
    end))
  )

  it(
    "tells what it is closed for",
    test(with(echo, function(c, _, address)
      local channel = assert(channels.connect(address, c.client))
      local waiting = chaski.spawn(function()
        return channel:receive()
      end)
      channel:close()
      local _, message, err = waiting:join()
      fails("closed", message, err)
      fails("closed", channel:send {})
      fails("closed", channel:receive())
      fails("closed", channel:export("x", 32))
      assert.is_nil(channel:peer_certificate())
      assert.matches("closed", tostring(channel))
    end))
  )

  it(
    "waits no longer than it was told",
    test(with(function(channel)
      channel:receive()
      channel:receive()
    end, function(c, _, address)
      local channel <close> = assert(channels.connect(address, c.client))
      channel:send {}
      fails("timeout", channel:receive { timeout = 0.01 })
      assert.is_true(channel.open)
      local short <close> = assert(channels.connect(address, c.client, { timeout = 0.2 }))
      short:send {}
      fails("timeout", short:receive())
      assert.is_false(short.open)
    end))
  )

  it(
    "is not made with the wrong peer, nor with nobody",
    test(with(echo, function(c, listener, address)
      fails("certificate", channels.connect(address, c.stranger))
      local _, err = channels.connect(address, c.other_alpn)
      assert.is_table(err)
      fails("bad_address", channels.connect("nowhere", c.client))
      listener:close()
      fails("refused", channels.connect(address, c.client))
      local silent = uv.new_tcp()
      silent:bind("127.0.0.1", 0)
      silent:listen(8, function() end)
      local port = silent:getsockname().port
      fails("timeout", channels.connect("127.0.0.1:" .. port, c.client, { timeout = 0.05 }))
      silent:close()
    end))
  )

  it(
    "refuses what is no message, and takes a task to receive",
    test(with(echo, function(c, _, address)
      local channel <close> = assert(channels.connect(address, c.client))
      assert.error_matches(function()
        channel:send { 1, 2 }
      end, "map")
      assert.has_error(function()
        channel:send "text"
      end)
      fails("too_big", channel:send { large = ("x"):rep(70000) })
      fails("serialize", channel:send { f = print })
      assert.error_matches(function()
        channel:receive { timeuot = 1 }
      end, "did you mean 'timeout'")
      local waiting = chaski.spawn(function()
        return channel:receive()
      end)
      assert.error_matches(function()
        channel:receive()
      end, "another task")
      channel:send { done = true }
      assert.is_true(select(2, waiting:join()).done)
    end))
  )

  it(
    "queues a bounded amount for a peer that does not read",
    test(with(function(channel)
      channel:receive()
      core.sleep(0.05)
    end, function(c, _, address)
      local channel <close> = assert(channels.connect(address, c.client))
      local sent = 0
      local ok, err
      repeat
        ok, err = channel:send { large = ("x"):rep(60000) }
        sent = sent + (ok and 1 or 0)
      until not ok or sent == 1000
      assert.is_true(sent < 1000)
      assert.equal("full", err.code)
    end))
  )

  it(
    "that is forgotten closes by itself",
    test(function()
      local ended = false
      with(function(channel)
        channel:receive()
        channel:receive()
        ended = true
      end, function(c, _, address)
        local channel = assert(channels.connect(address, c.client))
        channel:send {}
        channel = nil -- luacheck: ignore
        eventually(function()
          collectgarbage()
          return ended
        end, "the other end hears of it")
      end)()
    end)
  )

  it(
    "whose dial is cancelled leaves nothing",
    test(with(echo, function(c)
      local silent = uv.new_tcp()
      silent:bind("127.0.0.1", 0)
      silent:listen(8, function() end)
      local address = "127.0.0.1:" .. silent:getsockname().port
      local task = chaski.spawn(channels.connect, address, c.client)
      core.sleep(0)
      task:cancel()
      task:join()
      silent:close()
    end))
  )

  it(
    "costs only itself when what serves it raises",
    test(with(function(channel)
      if channel:receive().bad then error "on purpose" end
      channel:send {}
    end, function(c, _, address)
      helper.expect_errors(1)
      local channel <close> = assert(channels.connect(address, c.client))
      fails("lost", channels.ask(channel, { bad = true }))
      local other <close> = assert(channels.connect(address, c.client))
      assert.same({}, channels.ask(other, {}))
    end))
  )
end)

describe("a listener of channels", function()
  it(
    "serves many, but not more than 64, and drops first who says nothing",
    test(with(echo, function(c, _, address)
      local silent, speaking = {}, {}
      for i = 1, 40 do
        silent[i] = assert(channels.connect(address, c.client))
      end
      for i = 1, 24 do
        speaking[i] = assert(channels.connect(address, c.client))
        assert.same({ i = i }, channels.ask(speaking[i], { i = i }))
      end
      for i = 41, 44 do -- at most 64 can be dialled at once, too
        silent[i - 40]:close()
        eventually(function()
          local one = channels.connect(address, c.client)
          if one then silent[#silent + 1] = one end
          return one
        end)
        assert.same({ again = i }, channels.ask(silent[#silent], { again = i }))
      end
      for i, channel in ipairs(speaking) do
        assert.same({ i = i }, channels.ask(channel, { i = i }))
      end
      fails("too_many_pending", channels.connect(address, c.client))
      for _, list in ipairs { silent, speaking } do
        for _, channel in ipairs(list) do
          channel:close()
        end
      end
    end))
  )

  it(
    "goes on when garbage comes, and answers none of it",
    test(with(echo, function(c, listener, address)
      local answers = {}
      local garbage = { "GET / HTTP/1.1\r\n\r\n", ("\0"):rep(100), ("\xff"):rep(5000), "\x16\x03\x01\xff\xff", "" }
      for i, bytes in ipairs(garbage) do
        local tcp = uv.new_tcp()
        tcp:connect("127.0.0.1", listener.port, function()
          tcp:read_start(function(_, chunk)
            answers[i] = (answers[i] or "") .. (chunk or "")
            if not chunk and not tcp:is_closing() then tcp:close() end
          end)
          tcp:write(bytes)
          if i > 3 then tcp:shutdown() end
        end)
      end
      eventually(function()
        return #answers == 5
      end, "all are closed")
      for i = 1, 3 do
        assert.is_true(#answers[i] < 16, "no more than an alert") -- which says nothing
      end
      local channel <close> = assert(channels.connect(address, c.client))
      assert.same({ a = 1 }, channels.ask(channel, { a = 1 }))
    end))
  )

  it(
    "ends a conversation for bytes that are no message",
    test(
      with(echo, function(c, listener, address)
        local good = ("%08x80"):format(1)
        local cases = {
          { good, good }, -- a control: an empty map comes back
          { "00000000", "" },
          { "00010001", "" },
          { "ffffffff", "" },
          { ("%08x93010203"):format(4), "" }, -- an array
          { ("%08xc0"):format(1), "" },
          { ("%08x81a161"):format(3), "" }, -- cut off inside
          { ("%08x8080"):format(2), "" }, -- bytes after the end
          { ("%08xdfffffffff"):format(5), "" }, -- four thousand million pairs
          { good .. "00000000", "" },
        }
        for _, case in ipairs(cases) do
          local started = { "spec/lua/channel_peer.py", tostring(listener.port), case[1] }
          local process = helper.start(started, { program = "/usr/bin/python3" })
          if case[2] == good and case[1] == good then
            eventually(function()
              return listener.counters.handshakes > 0
            end)
            core.sleep(0.05) -- it waits for more, until the listener closes
            process:kill()
            process:wait()
          else
            assert.equal(case[2] .. "\n", process:wait().out, case[1])
          end
        end
        local channel <close> = assert(channels.connect(address, c.client))
        assert.same({ a = 1 }, channels.ask(channel, { a = 1 }))
      end),
      20
    )
  )

  it(
    "closes what it has accepted when it closes",
    test(with(echo, function(c, listener, address)
      local channel <close> = assert(channels.connect(address, c.client))
      channels.ask(channel, {})
      listener:close()
      local message, err = channel:receive()
      assert.is_nil(message)
      assert.is_string(err.code)
      assert.matches("closed", tostring(listener))
    end))
  )

  it(
    "tells when the port is taken",
    test(with(echo, function(c, listener)
      fails("in_use", channels.listen("127.0.0.1", listener.port, c.server, echo))
    end))
  )
end)

describe("in a simulation, a channel", function()
  local function simulated(body, link)
    return function()
      local sim <close> = chaski.sim { seed = 7, delay = link and link.delay, chunk = link and link.chunk }
      assert(sim:run(function()
        body(sim, contexts())
        return true
      end))
    end
  end

  it(
    "works the same, in small pieces and with delays",
    simulated(function(_, c)
      local listener <close> = assert(channels.listen("10.0.0.5", 0, c.server, echo))
      local address = "10.0.0.5:" .. listener.port
      local channel <close> = assert(channels.connect(address, c.member))
      local large = { bytes = ("x"):rep(60000) }
      assert.same(large, channels.ask(channel, large))
    end, { delay = 0.05, chunk = 100 })
  )

  it(
    "takes ten seconds at most, on both sides",
    simulated(function(_, c)
      local ended = {}
      local listener <close> = assert(channels.listen("10.0.0.5", 0, c.server, function(channel)
        repeat
          local message, err = channel:receive()
          ended.err = err
        until not message
        ended.at = core.now()
      end))
      local address, began = "10.0.0.5:" .. listener.port, core.now()
      local channel <close> = assert(channels.connect(address, c.client, { timeout = 60 }))
      channel:send {}
      local message, err = channel:receive()
      assert.is_nil(message)
      assert.is_string(err.code)
      assert.is_true(core.now() - began >= 9.9 and core.now() - began < 11.5)
      assert.equal("timeout", ended.err.code)
      assert.is_true(ended.at - began <= 10.1)
    end)
  )

  it("is gone with the simulation, wherever it was", function()
    for steps = 0, 40, 4 do
      local sim <close> = chaski.sim { seed = steps, delay = 0.01 }
      sim:run({ limit = 0.001 + steps * 0.005 }, function()
        local c = contexts()
        local listener = assert(channels.listen("10.0.0.5", 0, c.server, echo))
        local channel = assert(channels.connect("10.0.0.5:" .. listener.port, c.client))
        while true do
          channels.ask(channel, { a = 1 })
        end
      end)
    end
  end)
end)
