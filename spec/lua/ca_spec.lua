-- ca_spec.lua: the certificate authority: what it makes, what it answers, what it refuses, what it remembers. Over
-- channels in memory; the same over TLS is in enrol_spec.lua. SPDX-License-Identifier: MIT
local ca = require "chaski.ca"
local core = require "chaski.core"
local helper = require "spec.helper"
local invites = require "chaski.invite"
local rig = require "spec.lua.ca_rig"
local uv = require "luv"
local pki = core.pki

local test = helper.async

teardown(rig.clean)

local function fails(code, ok, err)
  assert.is_nil(ok)
  assert.equal(code, err.code, tostring(err))
  return tostring(err)
end

local function refuses(code, answer)
  assert.is_table(answer.error, "it was not refused, with " .. code)
  assert.equal(code, answer.error.code, answer.error.message)
  assert.is_nil(answer.certificate)
end

local function mode_of(path)
  return assert(uv.fs_lstat(path)).mode & 511
end

local function info_of(pem)
  return assert(pki.read_certificate(pem)):info()
end

local quiet = rig.quiet

describe("chaski.ca.init", function()
  it("makes a key that is its owner's alone, a root for ten years, and a ledger", function()
    local location = rig.folder() .. "/new"
    local made = assert(ca.init { location = location, mesh = "home", name = "Our CA" })
    assert.equal(tonumber("600", 8), mode_of(location .. "/ca.key"))
    assert.equal(tonumber("600", 8), mode_of(location .. "/ledger.db"))
    assert.equal(tonumber("700", 8), mode_of(location))
    local info = info_of(rig.read(location .. "/ca.crt"))
    assert.equal(made.pin, info.key_hash)
    assert.is_true(info.authority)
    assert.equal("CN=Our CA,O=home", info.subject)
    assert.equal(3650 * 86400 + 300, info.not_after - info.not_before)
  end)

  it("never makes it again, and names the file that is there", function()
    local a = rig.authority()
    local before = rig.snapshot(a.location)
    assert.matches("/ca.key' exists", fails("exists", ca.init { location = a.location, mesh = "home" }), 1, true)
    assert.equal(before, rig.snapshot(a.location))
    for i, name in ipairs { "ca.key", "ca.crt" } do
      os.remove(a.location .. "/" .. name)
      local other = ({ "ca.crt", "ledger.db" })[i]
      assert.matches(other .. "' exists", fails("exists", ca.init { location = a.location, mesh = "home" }), 1, true)
    end
    a.ca:close()
  end)

  it("leaves nothing when the folder cannot be written", function()
    local location = rig.folder() .. "/file"
    rig.write(location, "")
    fails("exists", ca.init { location = location, mesh = "home" })
    fails("missing", ca.init { location = location .. "/deeper", mesh = "home" })
  end)

  it("takes the other kinds of key, and a passphrase", function()
    for _, kind in ipairs { "p384", "ed25519" } do
      local a = rig.authority { key = kind, passphrase = "open sesame" }
      assert.matches("ENCRYPTED", rig.read(a.location .. "/ca.key"), 1, true)
      assert.is_string(rig.enrol(a.ca, { id = "kitchen" }).certificate)
      a.ca:close()
      fails("unreadable", ca { location = a.location })
      assert.not_matches("sesame", fails("unreadable", ca { location = a.location, passphrase = "sesame" }))
    end
  end)

  it("raises on mistakes, naming them", function()
    assert.has_error(function()
      ca.init { location = "x" }
    end)
    assert.error_matches(function()
      ca.init { location = "x", mesh = "my mesh" }
    end, "option 'mesh'")
    assert.error_matches(function()
      ca.init { location = "x", mehs = "m" }
    end, "did you mean 'mesh'")
  end)
end)

describe("chaski.ca", function()
  it("keeps its key over a restart", function()
    local a = rig.authority()
    local pin = a.ca.pin
    assert.equal(a.made.pin, pin)
    for _ = 1, 3 do
      assert.equal(pin, a.open().pin)
    end
    a.ca:close()
  end)

  it("refuses to start when a file is missing, exposed, garbled or another's", function()
    local a, b = rig.authority(), rig.authority()
    a.ca:close()
    b.ca:close()
    for _, name in ipairs { "ca.key", "ca.crt", "ledger.db" } do
      local path = a.location .. "/" .. name
      local good, mode = rig.read(path), mode_of(path)
      os.remove(path)
      assert.matches(name, fails("missing", ca { location = a.location }), 1, true)
      assert.is_nil(uv.fs_lstat(path)) -- nothing was made in its place
      if name ~= "ca.crt" then
        rig.write(path, good)
        uv.fs_chmod(path, tonumber("640", 8))
        assert.matches(name, fails("exposed", ca { location = a.location }), 1, true)
      end
      rig.write(path, "garbage\n")
      uv.fs_chmod(path, mode)
      local _, err = ca { location = a.location }
      assert.matches(name, tostring(err), 1, true)
      if name ~= "ledger.db" then
        rig.write(path, rig.read(b.location .. "/" .. name))
        uv.fs_chmod(path, mode)
        assert.matches(name, fails("mismatch", ca { location = a.location }), 1, true)
      end
      rig.write(path, good)
      uv.fs_chmod(path, mode)
    end
    a.open():close()
  end)

  it("refuses a ledger that is another database, or of a later version", function()
    local a = rig.authority()
    a.ca:close()
    local sql = require("luasql.sqlite3").sqlite3()
    local connection = sql:connect(a.location .. "/ledger.db")
    connection:execute "PRAGMA user_version=99"
    connection:close()
    sql:close()
    assert.matches("version 99", fails("ledger", ca { location = a.location }))
    rig.write(a.location .. "/ledger.db", "")
    assert.matches("not a ledger", fails("ledger", ca { location = a.location }))
  end)

  it("says which package is missing when there is no SQLite", function()
    local a = rig.authority()
    a.ca:close()
    local module, path, cpath = package.loaded["luasql.sqlite3"], package.path, package.cpath
    package.loaded["luasql.sqlite3"], package.path, package.cpath = nil, "", ""
    local _, err = ca { location = a.location }
    package.loaded["luasql.sqlite3"], package.path, package.cpath = module, path, cpath
    assert.equal("missing", err.code)
    assert.matches("lua-sql-sqlite3", tostring(err), 1, true)
  end)

  it("is closed by the end of its scope", function()
    local a = rig.authority()
    do
      local _ <close> = a.ca
    end
    fails("ledger", a.ca:list())
  end)
end)

describe("ca:invite", function()
  it("makes a string with address, pin, secret, name and end", function()
    local a = rig.authority()
    local invite = assert(invites.read(assert(a.ca:invite { id = "kitchen" })))
    assert.equal("127.0.0.1:8500", invite.address)
    assert.same({ pki.unhex(a.ca.pin) }, invite.pins)
    assert.equal("kitchen", invite.id)
    assert.equal("home", invite.mesh)
    assert.equal(a.time + 900, invite.expires)
    assert.equal(32, #invite.secret)
    assert.equal(8, #invite.token)
    a.ca:close()
  end)

  it("keeps the secret out of the ledger", function()
    local a = rig.authority()
    local invite = assert(invites.read(assert(a.ca:invite { id = "kitchen" })))
    local bytes = rig.read(a.location .. "/ledger.db")
    assert.is_truthy(bytes:find(pki.hex(invites.proof_key(invite.secret)), 1, true))
    for _, secret in ipairs { invite.secret, pki.hex(invite.secret), pki.base64url(invite.secret) } do
      assert.is_nil(bytes:find(secret, 1, true))
    end
    a.ca:close()
  end)

  it("needs an address that nodes can reach", function()
    local a = rig.authority()
    a.ca:close()
    local closed = assert(ca { location = a.location })
    fails("no_address", closed:invite { id = "kitchen" })
    fails("no_address", closed:invite { id = "kitchen", address = "0.0.0.0:8500" })
    fails("bad_address", closed:invite { id = "kitchen", address = "nowhere" })
    assert(closed:invite { id = "kitchen", address = "ca.example:8500" })
    closed:close()
  end)

  it("raises on names and rights that cannot be", function()
    local a = rig.authority()
    local wrong = {
      { "option 'id'", { id = "two words" } },
      { "option 'id'", { id = "../escape" } },
      { "the CA's own", { id = "chaski-ca" } },
      { "option 'ip'", { id = "k", ip = "kitchen.example" } },
      { "option 'dns'", { id = "k", dns = "*.example" } },
      { "option 'publish'", { id = "k", publish = { "a;relay" } } },
      { "option 'subscribe'", { id = "k", subscribe = { "a,b" } } },
      { "option 'relay'", { id = "k", relay = false } },
      { "option 'life'", { id = "k", life = 8 * 86400 } },
      { "option 'ttl'", { id = "k", ttl = 2 * 86400 } },
      { "did you mean 'subscribe'", { id = "k", subscribed = {} } },
    }
    for _, each in ipairs(wrong) do
      assert.error_matches(function()
        a.ca:invite(each[2])
      end, each[1])
    end
    assert.same({}, a.ca:list().tokens)
    a.ca:close()
  end)
end)

describe("an enrolment string", function()
  local function some_invite()
    return {
      address = "192.0.2.7:8500",
      pins = { pki.random(32) },
      token = pki.random(8),
      secret = pki.random(32),
      id = "kitchen",
      mesh = "home",
      expires = 1700000000,
    }
  end

  it("is read as it was written, through line breaks too", function()
    local invite = some_invite()
    local text = invites.write(invite)
    assert.matches("^chaski%-invite%-1:[%w_-]+$", text)
    assert.same(invite, invites.read(text))
    assert.same(invite, invites.read("  " .. text:gsub(("."):rep(40), "%0\n") .. "\n"))
    invite.pins[2] = pki.random(32)
    assert.same(invite, invites.read(invites.write(invite)))
  end)

  it("that was cut off anywhere is told as that", function()
    local text = invites.write(some_invite())
    for n = 1, #text - 1 do
      assert.matches("cut off", fails("bad_invite", invites.read(text:sub(1, n))))
    end
  end)

  it("with any character mistyped is refused", function()
    local text = invites.write(some_invite())
    for at = 1, #text do
      local other = text:byte(at) == 65 and "B" or "A"
      fails("bad_invite", invites.read(text:sub(1, at - 1) .. other .. text:sub(at + 1)))
      assert.matches("mistyped", fails("bad_invite", invites.read(text:sub(1, -2) .. "!")))
    end
  end)

  it("has one form only: no other last character says the same", function()
    local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for _, id in ipairs { "a", "ab", "abc" } do
      local invite = some_invite()
      invite.id = id
      local text = invites.write(invite)
      for letter in letters:gmatch "." do
        local read = invites.read(text:sub(1, -2) .. letter)
        assert.equal(letter == text:sub(-1), read ~= nil)
      end
    end
  end)

  it("of another kind is told as that", function()
    assert.matches("version 2", fails("bad_invite", invites.read "chaski-invite-2:AAAA"))
    assert.matches("does not begin", fails("bad_invite", invites.read "hello"))
    assert.matches("empty", fails("bad_invite", invites.read ""))
    fails("bad_invite", invites.read(("x"):rep(100000)))
    local forged = core.pack(core.array { 1, 2, 3 })
    fails("bad_invite", invites.read("chaski-invite-1:" .. pki.base64url(forged .. pki.sha256(forged):sub(1, 4))))
  end)
end)

describe("enrolment", function()
  it("gives a certificate for the name and the rights of the token, whatever the request asks for", function()
    local a = rig.authority()
    local given = {
      id = "kitchen",
      ip = { "192.0.2.9", "2001:db8::9" },
      dns = { "kitchen.example" },
      publish = { "weather", "home/*" },
      subscribe = {},
      relay = true,
      life = 3600,
    }
    local subject = { CN = "root", OU = "attic", C = "PE", O = "Chaski", L = "Cusco", ST = "Cusco" }
    local node = rig.enrol(a.ca, given, { subject = subject })
    local info = info_of(node.certificate)
    assert.same({ "chaski://home/kitchen" }, info.uris)
    assert.equal("publish=weather,home/*;subscribe=;relay", info.rights)
    assert.equal(a.time - 300, info.not_before)
    assert.equal(a.time + 3600, info.not_after)
    assert.is_false(info.authority)
    assert.equal(node.key:hash(), info.key_hash)
    assert.matches("CN=kitchen", info.subject, 1, true)
    assert.matches("OU=attic", info.subject, 1, true)
    assert.not_matches("root", info.subject, 1, true)
    assert(pki.verify(assert(pki.read_certificate(node.certificate)), {
      roots = node.answer.bundle,
      role = "both",
      at = a.time,
    }))
    assert.equal(1, a.ca.counters.enrolled)
    a.ca:close()
  end)

  it("says nothing of rights when the token does not: everything is allowed", function()
    local a = rig.authority()
    assert.is_nil(info_of(rig.enrol(a.ca, { id = "kitchen" }).certificate).rights)
    a.ca:close()
  end)

  it(
    "gives the same certificate again to the same key for 60 seconds, as the answer may be lost",
    quiet(function()
      local a = rig.authority()
      local invite = assert(invites.read(a.ca:invite { id = "kitchen" }))
      local channel = rig.channel()
      local request, key = rig.request(invite, channel)
      local first = rig.ask(a.ca, request, channel)
      for _ = 1, 2 do
        a.pass(30)
        a.open() -- a restart changes nothing
        local again = rig.channel()
        assert.equal(first.certificate, rig.ask(a.ca, rig.request(invite, again, { key = key }), again).certificate)
      end
      a.pass(1)
      local late = rig.channel()
      refuses("used", rig.ask(a.ca, rig.request(invite, late, { key = key }), late))
      assert.equal(1, #a.ca:list().certificates)
      a.ca:close()
    end)
  )

  it(
    "with a used token and another key is refused, and an alarm",
    quiet(function()
      local a = rig.authority()
      local alarms = {}
      a.open {
        on_alarm = function(code, id)
          alarms[#alarms + 1] = code .. " " .. id
        end,
      }
      local node = rig.enrol(a.ca, { id = "kitchen" })
      local channel = rig.channel()
      refuses("used", rig.ask(a.ca, rig.request(node.invite, channel), channel))
      assert.same({ "used kitchen" }, alarms)
      assert.equal(1, a.ca.counters.alarms)
      assert.equal(1, #a.ca:list().certificates)
      a.ca:close()
    end)
  )

  it(
    "is good until the second in which the token expires",
    quiet(function()
      local a = rig.authority()
      for late, code in pairs { [-1] = false, [0] = "expired", [1] = "expired" } do
        local invite = assert(invites.read(a.ca:invite { id = "kitchen", ttl = 60 }))
        local channel = rig.channel()
        a.pass(60 + late)
        local answer = rig.ask(a.ca, rig.request(invite, channel), channel)
        if code then
          refuses(code, answer)
        else
          assert.is_string(answer.certificate)
        end
      end
      a.ca:close()
    end)
  )

  it(
    "burns a token after ten wrong proofs, over a restart too",
    quiet(function()
      local a = rig.authority()
      local invite = assert(invites.read(a.ca:invite { id = "kitchen" }))
      for try = 1, 10 do
        local channel = rig.channel()
        refuses("bad_mac", rig.ask(a.ca, rig.request(invite, channel, { secret = pki.random(32) }), channel))
        if try == 5 then a.open() end
      end
      assert.equal(1, a.ca.counters.alarms)
      local channel = rig.channel()
      refuses("burnt", rig.ask(a.ca, rig.request(invite, channel), channel))
      assert.equal("burnt", a.ca:list().tokens[1].state)
      assert.same({}, a.ca:list().certificates)
      a.ca:close()
    end)
  )

  it(
    "allows five tries a minute from one address",
    test(quiet(function()
      local a = rig.authority()
      a.open { tries = 5 }
      local invite = assert(invites.read(a.ca:invite { id = "kitchen" }))
      local function try(peer)
        local channel = rig.channel { peer = peer }
        return rig.ask(a.ca, rig.request(invite, channel, { token = pki.random(8) }), channel)
      end
      for _ = 1, 5 do
        refuses("unknown_token", try "192.0.2.1:1000")
      end
      refuses("too_many_tries", try "192.0.2.1:1001")
      refuses("unknown_token", try "[2001:db8::1]:1001")
      refuses("unknown_token", try "192.0.2.2:1000")
      a.ca:close()
    end))
  )

  it(
    "of fifty with one token at once makes one certificate",
    quiet(function()
      local a = rig.authority()
      local invite = assert(invites.read(a.ca:invite { id = "kitchen" }))
      local won = 0
      for _ = 1, 50 do
        local channel = rig.channel()
        local answer = rig.ask(a.ca, rig.request(invite, channel), channel)
        if answer.certificate then
          won = won + 1
        else
          refuses("used", answer)
        end
      end
      assert.equal(1, won)
      assert.equal(1, #a.ca:list().certificates)
      a.ca:close()
    end)
  )

  it(
    "in two processes at once uses a token once",
    quiet(function()
      local a = rig.authority()
      local invite = assert(invites.read(a.ca:invite { id = "kitchen" }))
      local other <close> = assert(require("chaski.ca.ledger").open(a.location .. "/ledger.db"))
      local seen = other:token(pki.hex(invite.token)) -- both see it open
      assert.equal("open", seen.state)
      local channel = rig.channel()
      local answer = rig.ask(a.ca, rig.request(invite, channel), channel)
      local row = a.ca:show("kitchen").certificates[1]
      row.serial, row.key_hash, row.made, row.life, row.subject = "4F00", "another", a.time, 60, "80"
      assert.is_false(other:use_token(seen.token, row))
      assert.equal(1, #a.ca:list().certificates)
      assert.equal(answer.serial, other:token(seen.token).serial)
      a.ca:close()
    end)
  )

  it(
    "does not answer, and uses no token, when the ledger cannot be written",
    quiet(function()
      local a = rig.authority()
      local text = a.ca:invite { id = "kitchen" }
      local invite = assert(invites.read(text))
      local sql = require("luasql.sqlite3").sqlite3()
      local other = sql:connect(a.location .. "/ledger.db")
      other:execute "BEGIN IMMEDIATE" -- as when the disk is full: nothing can be committed
      local channel = rig.channel()
      refuses("unavailable", rig.ask(a.ca, rig.request(invite, channel), channel))
      fails("ledger", a.ca:revoke "kitchen")
      other:execute "ROLLBACK"
      other:close()
      sql:close()
      assert.equal("open", a.ca:list().tokens[1].state)
      assert.same({}, a.ca:list().certificates)
      assert.equal(1, a.ca.counters.failed)
      assert.is_string(rig.ask(a.ca, rig.request(invite, channel), channel).certificate)
      a.ca:close()
    end)
  )
end)

describe("renewal", function()
  it("copies name, rights and subject from the ledger, for a new key", function()
    local a = rig.authority()
    local given = { id = "kitchen", dns = "kitchen.example", publish = "weather", life = 3600 }
    local node = rig.enrol(a.ca, given, { subject = { CN = "x", OU = "attic" } })
    a.pass(2400)
    a.open()
    local answer, key = rig.renew(a.ca, node, { subject = { CN = "root", OU = "cellar" } })
    assert.is_nil(answer.error)
    local old, new = info_of(node.certificate), info_of(answer.certificate)
    assert.equal(old.subject, new.subject)
    assert.equal(old.rights, new.rights)
    assert.same(old.uris, new.uris)
    assert.equal(a.time + 3600, new.not_after)
    assert.equal(key:hash(), new.key_hash)
    assert.not_equal(old.serial, new.serial)
    assert.equal(1, a.ca.counters.renewed)
    a.ca:close()
  end)

  it("whose answer was lost gets the same again", function()
    local a = rig.authority()
    local node = rig.enrol(a.ca, { id = "kitchen" })
    local first, key = rig.renew(a.ca, node)
    a.pass(60)
    assert.equal(first.certificate, rig.renew(a.ca, node, { key = key }).certificate)
    a.ca:close()
  end)

  it(
    "is refused without a certificate, or with one expired, revoked, foreign, or for a known key",
    quiet(function()
      local a, b = rig.authority(), rig.authority()
      local node, other = rig.enrol(a.ca, { id = "kitchen" }), rig.enrol(b.ca, { id = "kitchen" })
      refuses("no_certificate", (rig.renew(a.ca, node, { certificate = false })))
      refuses("no_certificate", (rig.renew(a.ca, node, { certificate = "garbage" })))
      refuses("not_ours", (rig.renew(a.ca, other)))
      refuses("same_key", (rig.renew(a.ca, node, { key = node.key })))
      refuses("bad_request", rig.ask(a.ca, { command = "renew" }, rig.channel { certificate = node.der }))
      a.pass(86400)
      refuses("expired", (rig.renew(a.ca, node)))
      local second = rig.enrol(a.ca, { id = "hall" })
      assert.equal(1, a.ca:revoke "hall")
      refuses("revoked", (rig.renew(a.ca, second)))
      a.open()
      refuses("revoked", (rig.renew(a.ca, second)))
      a.ca:close()
      b.ca:close()
    end)
  )

  it(
    "is refused for a certificate that names its serial but not its key",
    quiet(function()
      local a = rig.authority()
      local node = rig.enrol(a.ca, { id = "kitchen" })
      local forged = assert(pki.key "p256")
      local pem = pki.certificate {
        subject = { CN = "kitchen" },
        uri = "chaski://home/kitchen",
        not_before = a.time - 10,
        not_after = a.time + 3600,
        key = forged,
        issuer_key = forged,
      }
      refuses("not_ours", (rig.renew(a.ca, node, { certificate = pem })))
      a.ca:close()
    end)
  )
end)

describe("the revocation list", function()
  local function fetch(authority)
    local pieces, size = {}, 0
    local answer
    repeat
      answer = rig.ask(authority, { command = "crl", offset = size })
      pieces[#pieces + 1] = answer.bytes
      size = size + #answer.bytes
    until size >= answer.size
    return table.concat(pieces), answer.number
  end

  local function good(authority, node, at)
    return (
      pki.verify(assert(pki.read_certificate(node.certificate)), {
        roots = authority:bundle(),
        crl = (fetch(authority)),
        role = "both",
        at = at,
      })
    )
  end

  it(
    "is signed, numbered, and has what was revoked",
    quiet(function()
      local a = rig.authority()
      local kitchen, hall = rig.enrol(a.ca, { id = "kitchen" }), rig.enrol(a.ca, { id = "hall" })
      local list, number = fetch(a.ca)
      assert.equal(number, pki.check_crl(list, a.ca:bundle()).number)
      assert.is_true(good(a.ca, kitchen, a.time))
      assert.equal(1, a.ca:revoke "kitchen")
      assert.is_nil(good(a.ca, kitchen, a.time))
      assert.is_true(good(a.ca, hall, a.time))
      local _, later = fetch(a.ca)
      assert.is_true(later > number)
      a.open()
      assert.is_nil(good(a.ca, kitchen, a.time))
      assert.equal(later, select(2, fetch(a.ca)))
      a.ca:close()
    end)
  )

  it("is made anew before it is old", function()
    local a = rig.authority()
    local _, first = fetch(a.ca)
    a.pass(86400)
    assert.equal(first, select(2, fetch(a.ca)))
    a.pass(3 * 86400)
    assert.is_true(select(2, fetch(a.ca)) > first)
    a.ca:close()
  end)

  it(
    "is revoked by serial too, and what is not there is told",
    quiet(function()
      local a = rig.authority()
      local node = rig.enrol(a.ca, { id = "kitchen" })
      local text = a.ca:invite { id = "hall" }
      fails("unknown", a.ca:revoke "cellar")
      fails("unknown", a.ca:show "cellar")
      assert.equal(1, a.ca:revoke(node.answer.serial:lower()))
      assert.equal("revoked", a.ca:show("kitchen").certificates[1].state)
      assert.equal(0, a.ca:revoke "hall") -- no certificate yet: the token is burnt
      local invite, channel = assert(invites.read(text)), rig.channel()
      refuses("burnt", rig.ask(a.ca, rig.request(invite, channel), channel))
      a.ca:close()
    end)
  )

  it(
    "comes in pieces when it is long",
    quiet(function()
      local a = rig.authority()
      local ledger = require("chaski.ca.ledger").open(a.location .. "/ledger.db")
      for i = 1, 2000 do
        local pieces = { serial = ("4F%030X"):format(i), id = "many", ip = "", dns = "", life = 3600, subject = "80" }
        pieces.key_hash, pieces.root, pieces.pem = "hash " .. i, 1, ""
        pieces.not_before, pieces.not_after, pieces.made = a.time, a.time + 3600, a.time
        if i == 1 then ledger.connection:execute "PRAGMA synchronous=OFF" end
        ledger:add_certificate(pieces)
      end
      ledger:close()
      assert.equal(2000, a.ca:revoke "many")
      local list = fetch(a.ca)
      assert.is_true(#list > 65536)
      assert.is_table(pki.check_crl(list, a.ca:bundle()))
      refuses("bad_request", rig.ask(a.ca, { command = "crl", offset = #list + 1 }))
      refuses("bad_request", rig.ask(a.ca, { command = "crl", offset = -1 }))
      refuses("bad_request", rig.ask(a.ca, { command = "crl", offset = 0.5 }))
      a.ca:close()
    end)
  )
end)

describe("a rollover", function()
  it(
    "announces the new root, signs with it when all have heard of it, and drops the old one",
    quiet(function()
      local a = rig.authority()
      local early = rig.enrol(a.ca, { id = "early", life = 86400 })
      local old = a.ca.pin
      local made = assert(a.ca:rollover())
      assert.not_equal(old, made.pin)
      assert.equal(tonumber("600", 8), mode_of(a.location .. "/ca-2.key"))
      assert.equal(old, a.ca.pin)
      assert.equal(a.time + 86400, made.signs_from)
      fails("busy", a.ca:rollover())

      a.pass(80000) -- the old root signs; both are told
      local renewed = rig.enrolled(rig.renew(a.ca, early), nil, early.invite)
      local _, roots = renewed.answer.bundle:gsub("BEGIN CERTIFICATE", "")
      assert.equal(2, roots)
      local only_old = rig.read(a.location .. "/ca.crt")
      local certificate = assert(pki.read_certificate(renewed.certificate))
      assert(pki.verify(certificate, { roots = only_old, role = "both", at = a.time }))
      assert.equal(2, #assert(invites.read(a.ca:invite { id = "third" })).pins)

      a.pass(6401) -- the new one signs
      a.open()
      assert.equal(made.pin, a.ca.pin)
      local late = rig.enrol(a.ca, { id = "late", life = 86400 })
      certificate = assert(pki.read_certificate(late.certificate))
      assert.is_nil((pki.verify(certificate, { roots = only_old, role = "both", at = a.time })))
      assert(pki.verify(certificate, { roots = late.answer.bundle, role = "both", at = a.time }))
      local lists = assert(a.ca:crl())
      assert.equal(2, select(2, lists:gsub("BEGIN X509 CRL", "")))

      a.pass(86400) -- what the old one signed has ended
      _, roots = a.ca:bundle():gsub("BEGIN CERTIFICATE", "")
      assert.equal(1, roots)
      assert.equal(made.pin, info_of(a.ca:bundle()).key_hash)
      a.ca:close()
    end)
  )

  it(
    "is seen by a CA that is open meanwhile",
    quiet(function()
      local a = rig.authority()
      local other = assert(ca {
        location = a.location,
        now = function()
          return a.time
        end,
      })
      local made = assert(other:rollover())
      other:close()
      a.pass(3601)
      assert.equal(made.pin, a.ca.pin)
      assert.equal(made.pin, info_of(a.ca:bundle():match "END.-(%-%-%-%-%-BEGIN.*)" or a.ca:bundle()).key_hash)
      a.ca:close()
    end)
  )
end)

describe("the CA", function()
  it(
    "knows four commands and nothing else",
    quiet(function()
      local a = rig.authority()
      for _, command in ipairs { "handshake", "ping", "", 7, true, {}, "invite", "revoke", "__index" } do
        refuses("unknown_command", rig.ask(a.ca, { command = command }))
      end
      refuses("unknown_command", rig.ask(a.ca, {}))
      local answer = rig.ask(a.ca, { command = "bundle" })
      assert.equal(a.ca:bundle(), answer.bundle)
      assert.equal("home", answer.mesh)
      a.ca:close()
    end)
  )

  it(
    "lists and shows what it knows, and no secret",
    quiet(function()
      local a = rig.authority()
      rig.enrol(a.ca, { id = "kitchen" })
      local invite = assert(invites.read(a.ca:invite { id = "hall", publish = "weather" }))
      local found = a.ca:list()
      assert.equal("kitchen", found.certificates[1].id)
      assert.equal("valid", found.certificates[1].state)
      assert.equal("hall", found.tokens[1].id)
      assert.equal("open", found.tokens[1].state)
      assert.equal("publish=weather", found.tokens[1].rights)
      assert.is_nil(core.pack(found):find(pki.hex(invites.proof_key(invite.secret)), 1, true))
      assert.equal(1, #a.ca:show("kitchen").certificates)
      assert.same({}, a.ca:show("kitchen").tokens)
      a.pass(86400)
      assert.equal("expired", a.ca:list().certificates[1].state)
      a.ca:close()
    end)
  )
end)
