-- tls_context_spec.lua: chaski.tls.context: from PEM and from files, what it tells of its certificate, and everything
-- that must not become a context. SPDX-License-Identifier: MIT
local core = require "chaski.core"
local helper = require "spec.helper"
local rig = require "spec.lua.tls_rig"
local tls = require "chaski.tls"
local uv = require "luv"

local pki = core.pki

local DAY, HOUR = 86400, 3600
local NOW = os.time()
local URI = "chaski://mesh/alfa"
local raises, with = helper.raises, helper.with
local OWNER, OTHERS = tonumber("600", 8), tonumber("644", 8)

local root, key = rig.root(), assert(pki.key())

local function issue(changes)
  return assert(pki.certificate(with({
    subject = { CN = "alfa" },
    uri = URI,
    not_before = NOW - HOUR,
    not_after = NOW + DAY,
    key = key,
    issuer = root.certificate,
    issuer_key = root.key,
  }, changes)))
end

local function revoke(serials, by)
  by = by or root
  return assert(pki.crl {
    number = 1,
    serials = serials,
    this_update = NOW - HOUR,
    next_update = NOW + DAY,
    issuer = by.certificate,
    issuer_key = by.key,
  })
end

local good = { certificate = issue(), key = key:pem(), ca = root.pem }

local function refused(part, changes, code)
  local context, err = tls.context(with(good, changes))
  assert.is_nil(context)
  assert.equal(code or "certificate", err.code)
  assert.equal("chaski.tls.context: ", tostring(err):sub(1, 20))
  assert.truthy(tostring(err):find(part, 1, true), tostring(err))
  return tostring(err)
end

local function file(content, mode)
  local path = helper.file(content, ("context-%s.pem"):format(pki.hex(pki.random(8))))
  assert(uv.fs_chmod(path, mode or OTHERS))
  return path
end

teardown(helper.clean)

describe("chaski.tls.context", function()
  it("says who it is", function()
    local context = assert(tls.context(good))
    assert.equal(URI, context.identity)
    assert.equal("alfa", context.id)
    assert.equal(NOW + DAY, context.not_after)
    assert.equal("chaski.tls.context (" .. URI .. ")", tostring(context))
    assert.equal("chaski.tls.context", getmetatable(context).__name)
    assert.is_nil(context.key)
    raises("cannot be assigned", function()
      context.id = "bravo"
    end)
  end)

  it("may be made of files", function()
    local context = assert(tls.context {
      certificate = file(good.certificate),
      key = file(good.key, OWNER),
      ca = file(good.ca),
      crl = file(revoke {}),
    })
    assert.equal("alfa", context.id)
  end)

  it("opens an encrypted key", function()
    local sealed = { key = key:pem "sesame", passphrase = "sesame" }
    assert.equal("alfa", assert(tls.context(with(good, sealed))).id)
    refused("key: wrong passphrase", with(sealed, { passphrase = "barley" }))
    local text = refused("wrong passphrase", { key = file(sealed.key, OWNER), passphrase = "barley" })
    assert.truthy(text:find("context-", 1, true))
    assert.falsy(text:find("barley", 1, true))
    sealed.passphrase = nil
    refused("no passphrase", sealed)
  end)

  it("without a certificate is for who has none yet", function()
    local context = assert(tls.context { pin = root.key:hash(), anonymous = true })
    assert.same({ "", "", 0 }, { context.identity, context.id, context.not_after })
    assert.equal("chaski.tls.context (no identity)", tostring(context))
    assert(tls.context { pin = "sha256:" .. root.key:hash(), anonymous = true, alpn = "chaski-ca/1" })
    assert(tls.context { pin = pki.unhex(root.key:hash()), anonymous = true })
    assert(tls.context { ca = root.pem, anonymous = true })
    local none, err = tls.context { anonymous = true }
    assert.is_nil(none)
    assert.truthy(tostring(err):find("neither a root nor a pin", 1, true))
  end)

  it("is gone when closed", function()
    local closed
    do
      local short <close> = assert(tls.context(good))
      closed = short
    end
    assert.equal("chaski.tls.context (closed)", tostring(closed))
    raises("the context is closed", closed.may, closed, "relay")
    raises("the context is closed", function()
      return closed.id
    end)
  end)

  it("refuses what does not fit together", function()
    local other, stranger = rig.root "other", assert(pki.key())
    local nameless = assert(pki.certificate {
      subject = { CN = "alfa" },
      not_before = NOW - HOUR,
      not_after = NOW + DAY,
      key = key,
      issuer = root.certificate,
      issuer_key = root.key,
    })
    refused("key: ", { key = stranger:pem() })
    refused("certificate without a chaski:// name", { certificate = root.pem, key = root.key:pem() })
    local foreign = issue { issuer = other.certificate, issuer_key = other.key }
    refused("certificate of an unknown authority", { certificate = foreign })
    refused("certificate of an unknown authority", { ca = other.pem })
    refused("certificate has expired", { certificate = issue { not_before = NOW - DAY, not_after = NOW - HOUR } })
    refused("certificate is not yet valid", { certificate = issue { not_before = NOW + HOUR } })
    refused("certificate is not for this role", { certificate = issue { role = "client" } })
    refused("certificate is not for this role", { certificate = issue { role = "server" } })
    refused("certificate without a chaski:// name", { certificate = nameless })
    refused("certificate without a chaski:// name", { certificate = issue { uri = "http://mesh/alfa" } })
    refused("certificate with malformed rights", { certificate = issue { rights = "everything" } })
    refused("certificate: ", { certificate = good.key })
    refused("key: ", { key = good.certificate })
    refused("ca: ", { ca = good.key })
    refused("certificate: ", { certificate = good.certificate:sub(1, -40) })
  end)

  it("refuses a revoked certificate, and lists that are none of its roots'", function()
    local serial = assert(pki.read_certificate(good.certificate)):info().serial
    assert(tls.context(with(good, { crl = revoke { "0A" } })))
    refused("revoked", { crl = revoke { "0A", serial } })
    refused("revocation list: not signed", { crl = revoke({}, rig.root "other") })
    refused("revocation list: ", { crl = revoke({}):sub(1, -2) })
  end)

  it("names the files that cannot be used", function()
    local missing = os.tmpname() .. ".pem"
    for _, name in ipairs { "certificate", "key", "ca", "crl" } do
      refused(("%s: cannot read '%s'"):format(name, missing), { [name] = missing }, "missing")
    end
    local folder = good.ca and "/tmp"
    refused("ca: '/tmp' is no file", { ca = folder }, "io")
    local wrong = file(assert(pki.key()):pem(), OWNER)
    refused(("(key '%s')"):format(wrong), { key = wrong })
    local certificate = file(good.certificate)
    refused(("(certificate '%s', key '%s')"):format(certificate, wrong), { certificate = certificate, key = wrong })
    refused("ca: ", { ca = file "hello" })
    for _, name in ipairs { "certificate", "key", "ca", "crl" } do
      local empty = file("", OWNER)
      refused(("%s: '%s' is empty"):format(name, empty), { [name] = empty })
    end
  end)

  it("refuses a key that others may read", function()
    for _, mode in ipairs { "640", "604", "644", "620", "666" } do
      local path = file(good.key, tonumber(mode, 8))
      refused(("'%s' can be read or changed by others"):format(path), { key = path }, "exposed")
    end
    assert(tls.context(with(good, { key = file(good.key, tonumber("400", 8)) })))
  end)

  it("raises for mistakes", function()
    raises("unknown option 'cert'", tls.context, with(good, { cert = "x" }))
    raises("unknown option 'certficate', did you mean 'certificate'?", tls.context, { certficate = "x" })
    raises("option 'ca': expected PEM text or name of a file, got integer 1", tls.context, with(good, { ca = 1 }))
    raises("option 'key': expected PEM text or name of a file", tls.context, with(good, { key = "" }))
    raises("option 'anonymous': expected boolean", tls.context, with(good, { anonymous = 1 }))
    raises("option 'pin': expected 64 hex digits or 32 bytes", tls.context, with(good, { pin = "12" }))
    raises("option 'pin': expected 64 hex digits", tls.context, with(good, { pin = ("x"):rep(64) }))
    raises("expected a table of options", tls.context, "x")
    local _, err = pcall(function()
      tls.context { nonsense = 1 }
    end)
    assert.truthy(err:find "tls_context_spec.lua:%d+: chaski.tls.context: unknown option", err)
  end)
end)

describe("a context", function()
  it("knows what its certificate allows", function()
    local all = assert(tls.context(good))
    assert.is_true(all:may("publish", "anything"))
    assert.is_true(all:may("subscribe", ""))
    assert.is_true(all:may "relay")
    local some = assert(tls.context(with(good, { certificate = issue { rights = "publish=a.*,b;subscribe=" } })))
    assert.is_true(some:may("publish", "a.x"))
    assert.is_true(some:may("publish", "b"))
    assert.is_false(some:may("publish", "c"))
    assert.is_false(some:may("subscribe", "b"))
    assert.is_false(some:may "relay")
    raises("invalid option 'read'", all.may, all, "read", "x")
    raises("string expected", all.may, all, "publish")
    raises("chaski.tls.context expected", all.may, key, "relay")
  end)

  it("is replaced by one with new lists", function()
    local context = assert(tls.context(good))
    local next_one = assert(context:with_crl(revoke { "0A" }))
    assert.equal(URI, next_one.identity)
    assert.not_equal(context, next_one)
    local none, err = context:with_crl(revoke({}, rig.root "other"))
    assert.is_nil(none)
    assert.equal("certificate", err.code)
    none, err = context:with_crl ""
    assert.is_nil(none)
    assert.equal("certificate", err.code)
    raises("string expected", context.with_crl, context)
  end)

  it("does not outlive nor hold what it was made of", function()
    local list = {}
    for i = 1, 20 do
      list[i] = assert(tls.context(good)):with_crl(revoke {})
      collectgarbage "step"
    end
    assert.equal("alfa", list[20].id)
  end)
end)
