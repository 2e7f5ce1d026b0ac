-- pki_spec.lua: keys, requests, certificates and revocation lists as scripts see them. What they are worth is shown by
-- spec/tls/pki_test.c; here: what goes in and comes out, what is nil, err and what raises.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local helper = require "spec.helper"
local rig = require "spec.lua.tls_rig"

local pki = core.pki

local DAY, NOW = 86400, 1700000000
local URI = "chaski://mesh/alfa"

local raises, with = helper.raises, helper.with

local function refused(part, value, err)
  assert.is_nil(value)
  assert.equal("certificate", err.code)
  assert.truthy(tostring(err):find(part, 1, true), tostring(err))
end

local root = rig.root("root", NOW)
local key = assert(pki.key())

local function node(changes)
  return with({
    subject = { CN = "alfa" },
    uri = URI,
    not_before = NOW - 300,
    not_after = NOW + DAY,
    key = key,
    issuer = root.certificate,
    issuer_key = root.key,
  }, changes or {})
end

local function issue(changes)
  return assert(pki.read_certificate(assert(pki.certificate(node(changes)))))
end

describe("pki.key", function()
  it("makes keys that are written and read", function()
    for _, kind in ipairs { "p256", "p384", "ed25519" } do
      local made = assert(pki.key(kind))
      local read = assert(pki.read_key(made:pem()))
      assert.matches("^" .. ("%x"):rep(64) .. "$", made:hash())
      assert.equal(made:hash(), read:hash())
      assert.not_equal(made:hash(), key:hash())
    end
  end)

  it("seals them with a passphrase", function()
    local pem = assert(key:pem "open sesame")
    assert.truthy(pem:find("BEGIN ENCRYPTED PRIVATE KEY", 1, true))
    assert.equal(key:hash(), assert(pki.read_key(pem, "open sesame")):hash())
    refused("wrong passphrase", pki.read_key(pem, "open barley"))
    refused("no passphrase", pki.read_key(pem))
  end)

  it("refuses what is none", function()
    refused("key: ", pki.read_key "")
    refused("key: ", pki.read_key(root.pem))
    refused("key: ", pki.read_key(key:pem():sub(1, -10)))
  end)

  it("raises for mistakes", function()
    raises("invalid option 'rsa1024'", pki.key, "rsa1024")
    raises("string expected", pki.read_key, 7)
    raises("string expected", key.pem, key, 7)
    raises("chaski.pki.key expected", key.pem, root.certificate)
  end)

  it("never shows its secret", function()
    local secret = key:pem():match "%-\n(.-)\n%-":gsub("\n", "")
    local text = tostring(key)
    assert.truthy(text:find(key:hash(), 1, true))
    assert.falsy(text:find(secret:sub(-16), 1, true))
    assert.equal("chaski.pki.key", getmetatable(key).__name)
  end)

  it("is gone when closed", function()
    local closed
    do
      local short <close> = assert(pki.key())
      closed = short
    end
    assert.equal("chaski.pki.key (closed)", tostring(closed))
    raises("the key is closed", closed.hash, closed)
    raises("option 'key': expected a key that is not closed", pki.certificate, node { key = closed })
  end)

  it("has no fields to assign or to ask for", function()
    assert.is_nil(key.secret)
    raises("cannot be assigned", function()
      key.secret = 1
    end)
  end)
end)

describe("pki.request", function()
  local subject = { C = "AR", ST = "Córdoba", L = "Río Cuarto", O = "Chaski", OU = "Wege", CN = "alfa" }

  it("brings subject and key to who reads it", function()
    local der = assert(pki.request(key, subject))
    assert.equal("0", der:sub(1, 1))
    local request = assert(pki.read_request(der))
    assert.same(subject, request:subject())
    assert.equal(key:hash(), request:key_hash())
    assert.equal("chaski.pki.request (alfa)", tostring(request))
  end)

  it("needs no subject", function()
    local request = assert(pki.read_request(assert(pki.request(key, {}))))
    assert.same({}, request:subject())
    assert.equal("chaski.pki.request (no name)", tostring(request))
  end)

  it("with a changed byte is refused", function()
    local der = assert(pki.request(key, subject))
    local at = der:find("alfa", 1, true)
    refused("the signature is not the key's", pki.read_request(der:sub(1, at - 1) .. "b" .. der:sub(at + 1)))
    refused("bytes after its end", pki.read_request(der .. "\0"))
    refused("request: ", pki.read_request(der:sub(1, -2)))
    refused("too large", pki.read_request(("0"):rep(20000)))
    refused("empty", pki.read_request "")
  end)

  it("refuses subjects that cannot be", function()
    refused("subject: C", pki.request(key, { C = "ARG" }))
    refused("subject: CN", pki.request(key, { CN = ("x"):rep(65) }))
  end)

  it("raises for mistakes", function()
    raises("unknown option 'OUs', did you mean 'OU'?", pki.request, key, { OUs = "x" })
    raises("field 'CN' of the subject: expected string without NUL, got number", pki.request, key, { CN = 1 })
    raises("field 'CN' of the subject: expected string without NUL", pki.request, key, { CN = "a\0b" })
    raises("table expected", pki.request, key)
    raises("chaski.pki.key expected", pki.request, root.pem, {})
  end)
end)

describe("pki.certificate", function()
  it("signs what it is told", function()
    local certificate = issue {
      rights = "publish=a.*;subscribe=*",
      ip = { "127.0.0.1", "::1" },
      dns = { "alfa.example.org" },
    }
    local info = certificate:info()
    assert.matches("^[0-9A-F]+$", info.serial)
    assert.equal(32, #info.serial)
    assert.equal("CN=alfa", info.subject)
    assert.equal("CN=root,O=chaski", info.issuer)
    assert.equal(URI, info.uri)
    assert.same({ URI }, info.uris)
    assert.equal("publish=a.*;subscribe=*", info.rights)
    assert.equal(NOW - 300, info.not_before)
    assert.equal(NOW + DAY, info.not_after)
    assert.is_false(info.authority)
    assert.equal(key:hash(), info.key_hash)
    assert.equal(64, #info.hash)
    assert.equal("chaski.pki.certificate (CN=alfa, serial " .. info.serial .. ")", tostring(certificate))
  end)

  it("makes roots, whose authority shows", function()
    local info = root.certificate:info()
    assert.is_true(info.authority)
    assert.same({ "", {} }, { info.uri, info.uris })
    assert.is_nil(info.rights)
    assert.equal(info.issuer, info.subject)
    assert.equal(root.key:hash(), info.key_hash)
  end)

  it("signs for a request", function()
    local request = assert(pki.read_request(assert(pki.request(key, { CN = "somebody else" }))))
    local options = node { request = request }
    options.key = nil
    local info = assert(pki.read_certificate(assert(pki.certificate(options)))):info()
    assert.equal(request:key_hash(), info.key_hash)
    assert.equal("CN=alfa", info.subject)
  end)

  it("is read from DER as well", function()
    local base64 = root.pem:match "%-\n(.-)\n%-":gsub("%s", ""):gsub("+", "-"):gsub("/", "_"):gsub("=", "")
    local der = assert(pki.unbase64url(base64))
    assert.same(root.certificate:info(), assert(pki.read_certificate(der)):info())
    assert.equal(root.certificate:info().hash, pki.hex(pki.sha256(der)))
  end)

  it("rounds times down", function()
    local info = issue({ not_before = NOW + 0.75, not_after = NOW + 10.5 }):info()
    assert.same({ NOW, NOW + 10 }, { info.not_before, info.not_after })
  end)

  it("refuses what cannot be", function()
    refused("uri: ", pki.certificate(node { uri = "with blank " }))
    refused("ip: ", pki.certificate(node { ip = { "localhost" } }))
    refused("dns: ", pki.certificate(node { dns = { "*.org" } }))
    refused("rights: ", pki.certificate(node { rights = "\n" }))
    refused("not_before", pki.certificate(node { not_after = NOW - 300 }))
    refused("the key is not the certificate's", pki.certificate(node { issuer_key = key }))
    refused("authority: ", pki.certificate(node { authority = true }))
    refused("certificate: ", pki.read_certificate "")
    refused("certificate: ", pki.read_certificate(root.pem:sub(1, 200)))
  end)

  it("raises for mistakes", function()
    raises("unknown option 'isuer', did you mean 'issuer'?", pki.certificate, node { isuer = 1 })
    raises("option 'uri': expected string, got number", pki.certificate, node { uri = 1 })
    raises("option 'uri': expected string without NUL", pki.certificate, node { uri = "a\0b" })
    raises("option 'ip': expected list of strings, got string", pki.certificate, node { ip = "127.0.0.1" })
    raises("option 'ip': expected list of strings without NUL", pki.certificate, node { ip = { 1 } })
    local many = {}
    for i = 1, 17 do
      many[i] = "x.org"
    end
    raises("option 'dns': expected at most 16 strings, got 17", pki.certificate, node { dns = many })
    raises("option 'not_before': expected seconds since 1970", pki.certificate, node { not_before = "now" })
    raises("option 'not_after': expected seconds since 1970", pki.certificate, node { not_after = 0 / 0 })
    raises("option 'not_after': expected seconds since 1970", pki.certificate, node { not_after = 1e300 })
    raises("option 'authority': expected boolean, got string", pki.certificate, node { authority = "yes" })
    raises("option 'role': expected 'client', 'server' or 'both', got string", pki.certificate, node { role = "peer" })
    raises("option 'issuer': expected chaski.pki.certificate, got string", pki.certificate, node { issuer = root.pem })
    raises(
      "option 'key': expected chaski.pki.key, got chaski.pki.certificate",
      pki.certificate,
      node {
        key = root.certificate,
      }
    )
    raises("unknown field in the subject", pki.certificate, node { subject = { X = "x" } })
    raises("option 'subject': expected table, got string", pki.certificate, node { subject = "CN=x" })
    local options = node()
    options.key = nil
    raises("one of the options 'key' and 'request' must be there", pki.certificate, options)
    options = node()
    options.issuer_key = nil
    raises("option 'issuer_key': expected chaski.pki.key, got nil", pki.certificate, options)
    raises("table expected", pki.certificate)
  end)
end)

describe("pki.verify", function()
  local function verify(certificate, changes)
    return pki.verify(certificate, with({ roots = root.pem, at = NOW }, changes or {}))
  end

  it("accepts for a role and a time", function()
    assert.is_true(verify(issue()))
    assert.is_true(verify(issue(), { role = "client" }))
    local client = issue { role = "client" }
    assert.is_true(verify(client, { role = "client" }))
    refused("purpose", verify(client, { role = "server" }))
    refused("purpose", verify(client))
    refused("expired", verify(issue(), { at = NOW + DAY }))
    refused("not yet valid", verify(issue(), { at = NOW - 301 }))
  end)

  it("is for now unless told otherwise", function()
    refused("expired", pki.verify(issue(), { roots = root.pem }))
    local now = os.time()
    local young = rig.root("root", NOW)
    local pem = assert(pki.certificate {
      subject = { CN = "x" },
      not_before = now - DAY,
      not_after = now + DAY,
      authority = true,
      key = young.key,
    })
    young.certificate = assert(pki.read_certificate(pem))
    local leaf = issue {
      not_before = now - 10,
      not_after = now + 1000,
      issuer = young.certificate,
      issuer_key = young.key,
    }
    assert.is_true(pki.verify(leaf, { roots = pem }))
  end)

  it("refuses what another root signed", function()
    local other = rig.root("other", NOW)
    local stranger = issue { issuer = other.certificate, issuer_key = other.key }
    refused("certificate: ", verify(stranger))
    assert.is_true(verify(stranger, { roots = root.pem .. other.pem }))
    refused("roots: ", verify(stranger, { roots = "" }))
    refused("chain: ", verify(stranger, { chain = "x" }))
  end)

  it("refuses what a list names", function()
    local good, bad = issue(), issue()
    local crl = assert(pki.crl {
      number = 1,
      serials = { bad:info().serial },
      this_update = NOW,
      next_update = NOW + 1,
      issuer = root.certificate,
      issuer_key = root.key,
    })
    assert.is_true(verify(good, { crl = crl }))
    refused("revoked", verify(bad, { crl = crl }))
    refused("revocation list: ", verify(good, { crl = "x" }))
  end)

  it("raises for mistakes", function()
    raises("chaski.pki.certificate expected", pki.verify, root.pem, { roots = root.pem })
    raises("option 'roots': expected string, got nil", pki.verify, root.certificate, {})
    raises("option 'role': expected 'client'", verify, root.certificate, { role = "both of them" })
    raises("unknown option 'root', did you mean 'roots'?", pki.verify, root.certificate, { root = root.pem })
    raises("option 'at': expected seconds", verify, root.certificate, { at = true })
  end)
end)

describe("pki.crl", function()
  local function list(changes)
    return with({
      number = 42,
      serials = {},
      this_update = NOW,
      next_update = NOW + DAY,
      issuer = root.certificate,
      issuer_key = root.key,
    }, changes or {})
  end

  it("is checked against roots", function()
    local der = assert(pki.crl(list { serials = { "0A", "ff" } }))
    assert.same({ number = 42, root_hash = root.key:hash() }, pki.check_crl(der, root.pem))
    local other = rig.root("other", NOW)
    assert.same(42, pki.check_crl(der, other.pem .. root.pem).number)
    refused("not signed by one of the roots", pki.check_crl(der, other.pem))
    refused("bytes after its end", pki.check_crl(der .. "x", root.pem))
    refused("empty", pki.check_crl("", root.pem))
  end)

  it("may have the largest number there is", function()
    local der = assert(pki.crl(list { number = math.maxinteger }))
    assert.equal(math.maxinteger, pki.check_crl(der, root.pem).number)
  end)

  it("refuses what cannot be", function()
    refused("serials: number 2", pki.crl(list { serials = { "1", "x" } }))
    refused("this_update", pki.crl(list { next_update = NOW }))
    refused("is not the certificate's", pki.crl(list { issuer_key = key }))
  end)

  it("raises for mistakes", function()
    raises("option 'number': expected integer from 0, got number", pki.crl, list { number = -1 })
    raises("option 'number': expected integer from 0, got number", pki.crl, list { number = 1.5 })
    raises("option 'number': expected integer from 0, got string", pki.crl, list { number = "1" })
    raises("option 'serials': expected list of strings without NUL", pki.crl, list { serials = { 1 } })
    raises("option 'issuer': expected chaski.pki.certificate", pki.crl, list { issuer = false })
    raises("unknown option 'serial', did you mean 'serials'?", pki.crl, list { serial = {} })
    local many = {}
    for i = 1, 4097 do
      many[i] = ("%x"):format(i)
    end
    raises("option 'serials': expected at most 4096 strings, got 4097", pki.crl, list { serials = many })
  end)
end)

describe("the small ones of pki", function()
  it("hash", function()
    assert.equal("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", pki.hex(pki.sha256 "abc"))
    local mac = pki.hmac("Jefe", "what do ya want for nothing?")
    assert.equal("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", pki.hex(mac))
    assert.equal(32, #pki.hmac("", ""))
  end)

  it("draw random bytes", function()
    assert.equal("", pki.random(0))
    assert.equal(32, #pki.random(32))
    assert.not_equal(pki.random(32), pki.random(32))
    raises("0..65536 expected", pki.random, -1)
    raises("0..65536 expected", pki.random, 65537)
  end)

  it("compare", function()
    assert.is_true(pki.equal("", ""))
    assert.is_true(pki.equal("a\0b", "a\0b"))
    assert.is_false(pki.equal("a\0b", "a\0c"))
    assert.is_false(pki.equal("a", "ab"))
    raises("string expected", pki.equal, "1", 1)
  end)

  it("write hexadecimal and read it", function()
    assert.equal("00ff10", pki.hex "\0\xff\x10")
    assert.equal("\0\xff\x10", pki.unhex "00fF10")
    assert.same({ "", "" }, { pki.hex "", pki.unhex "" })
    for _, wrong in ipairs { "0", "0g", "0x", " 0", "\0\0" } do
      local value, err = pki.unhex(wrong)
      assert.is_nil(value)
      assert.equal("invalid", err.code)
    end
  end)

  it("write base64url and read it", function()
    local known = { [""] = "", f = "Zg", fo = "Zm8", foo = "Zm9v", foob = "Zm9vYg", ["\xfb\xff\xfe"] = "-__-" }
    for bytes, text in pairs(known) do
      assert.equal(text, pki.base64url(bytes))
      assert.equal(bytes, pki.unbase64url(text))
    end
    for len = 0, 100 do
      local bytes = pki.random(len)
      assert.equal(bytes, pki.unbase64url(pki.base64url(bytes)))
    end
    for _, wrong in ipairs { "Z", "Zm9vY", "Zg==", "Zm+v", "Zm/v", "Zm 9", "Zm\0v" } do
      local value, err = pki.unbase64url(wrong)
      assert.is_nil(value)
      assert.equal("invalid", err.code)
    end
  end)
end)

describe("pki under finalizers that take everything away", function()
  it("keeps what a call works with", function()
    local function hostile(target)
      setmetatable({}, {
        __gc = function()
          for name in pairs(target) do
            target[name] = nil
          end
        end,
      })
    end
    for _ = 1, 50 do
      local options = node { uri = URI .. pki.hex(pki.random(8)), ip = { "10.0.0." .. math.random(9) } }
      hostile(options)
      pcall(pki.certificate, options)
      collectgarbage()
    end
  end)
end)

describe("pki in a simulation", function()
  it("goes by the simulation's clock", function()
    local sim <close> = chaski.sim { seed = 1 }
    sim:run(function()
      local now = math.floor(chaski.message().timestamp.sec)
      local leaf = issue { not_before = now - 1, not_after = now + 100 }
      local young = assert(pki.certificate {
        subject = { O = "chaski", CN = "root" },
        not_before = now - 1,
        not_after = now + DAY,
        authority = true,
        key = root.key,
      })
      assert.is_true(pki.verify(leaf, { roots = young }))
      chaski.sleep(200)
      refused("expired", pki.verify(leaf, { roots = young }))
    end)
  end)
end)
