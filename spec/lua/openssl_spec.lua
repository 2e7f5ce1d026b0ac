-- openssl_spec.lua: the openssl command agrees: what we write it can read and finds good, and the other way round.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local helper = require "spec.helper"

local pki, async = core.pki, helper.async

local DAY, NOW = 86400, 1700000000
local URI = "chaski://mesh/alfa"
local SECONDS = 20 -- a test starts a few programs

--- Run openssl; what it said, stdout and stderr. Raises unless it ends with this code.
local function openssl(line, code)
  local args = {}
  for each in line:gmatch "%S+" do
    args[#args + 1] = each
  end
  -- Without the library of the sanitizers, which would look for leaks in it.
  local run = helper.run(args, { program = "/usr/bin/openssl", timeout = SECONDS, env = { LD_PRELOAD = false } })
  if run.code ~= (code or 0) then
    error(("openssl %s ended with %s\n%s%s"):format(line, run.code, run.out, run.err), 2)
  end
  return run.out .. run.err
end

local function contains(text, part)
  assert.truthy(text:find(part, 1, true), ("no '%s' in\n%s"):format(part, text))
end

local made = 0

--- A file name of its own, with or without content.
local function file(content)
  made = made + 1
  return helper.file(content or "", ("openssl-%d"):format(made))
end

local function read(path)
  local f <close> = assert(io.open(path, "rb"))
  return f:read "a"
end

local root, key

setup(function()
  root, key = { key = assert(pki.key()) }, assert(pki.key())
  root.pem = assert(pki.certificate {
    subject = { O = "chaski", CN = "root" },
    not_before = NOW - DAY,
    not_after = NOW + 100 * DAY,
    authority = true,
    key = root.key,
  })
  root.certificate = assert(pki.read_certificate(root.pem))
end)

teardown(helper.clean)

local function issue()
  return assert(pki.certificate {
    subject = { C = "AR", ST = "Córdoba", O = "chaski", CN = "alfa" },
    uri = URI,
    ip = { "127.0.0.1", "::1" },
    dns = { "alfa.example.org" },
    rights = "publish=a",
    not_before = NOW - 300,
    not_after = NOW + DAY,
    key = key,
    issuer = root.certificate,
    issuer_key = root.key,
  })
end

local function revoke(serials)
  return assert(pki.crl {
    number = 4711,
    serials = serials,
    this_update = NOW - 300,
    next_update = NOW + DAY,
    issuer = root.certificate,
    issuer_key = root.key,
  })
end

describe("openssl", function()
  it(
    "finds our keys valid and hashes them as we do",
    async(function()
      for _, kind in ipairs { "p256", "p384", "ed25519" } do
        local made_key = assert(pki.key(kind))
        local pem, der = file(made_key:pem()), file()
        -- Ed25519 keys it cannot check in this version
        if kind ~= "ed25519" then contains(openssl("pkey -noout -check -in " .. pem), "Key is valid") end
        openssl(("pkey -pubout -outform DER -in %s -out %s"):format(pem, der))
        assert.equal(made_key:hash(), pki.hex(pki.sha256(read(der))))
      end
    end, SECONDS)
  )

  it(
    "opens a sealed key with its passphrase only",
    async(function()
      local pem = file(key:pem "sesame")
      contains(openssl("pkey -noout -check -passin pass:sesame -in " .. pem), "Key is valid")
      openssl("pkey -noout -passin pass:barley -in " .. pem, 1)
      contains(openssl("asn1parse -in " .. pem), "aes-256-cbc")
    end, SECONDS)
  )

  it(
    "writes keys that we read",
    async(function()
      local plain, old, sealed, very_old = file(), file(), file(), file()
      openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out " .. plain)
      openssl("ecparam -name prime256v1 -genkey -out " .. old)
      openssl(("pkcs8 -topk8 -v2 aes-256-cbc -passout pass:x -in %s -out %s"):format(plain, sealed))
      openssl(("ec -aes256 -passout pass:x -in %s -out %s"):format(plain, very_old))
      local hash = assert(pki.read_key(read(plain))):hash()
      assert.not_equal(hash, assert(pki.read_key(read(old))):hash())
      assert.equal(hash, assert(pki.read_key(read(sealed), "x")):hash())
      local none, err = pki.read_key(read(very_old), "x")
      assert.is_nil(none)
      contains(err.message, "encrypted in an old form")
    end, SECONDS)
  )

  it(
    "finds our requests good",
    async(function()
      local path = file(assert(pki.request(key, { C = "AR", CN = "alfa" })))
      local said = openssl("req -inform DER -verify -noout -subject -in " .. path)
      contains(said, "verify OK")
      contains(said, "C = AR, CN = alfa")
    end, SECONDS)
  )

  it(
    "makes requests that we find good, or too weak",
    async(function()
      local own, weak, path = file(), file(), file()
      openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out " .. own)
      openssl("genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out " .. weak)
      openssl(("req -new -subj /C=AR/O=chaski/CN=alfa -key %s -out %s"):format(own, path))
      local request = assert(pki.read_request(read(path)))
      assert.same({ C = "AR", O = "chaski", CN = "alfa" }, request:subject())
      assert.equal(assert(pki.read_key(read(own))):hash(), request:key_hash())
      openssl(("req -new -subj /CN=alfa -key %s -out %s"):format(weak, path))
      local none, err = pki.read_request(read(path))
      assert.is_nil(none)
      contains(err.message, "too weak")
    end, SECONDS)
  )

  it(
    "reads in our certificates what we wrote",
    async(function()
      local pem = issue()
      local path, info = file(pem), assert(pki.read_certificate(pem)):info()
      local said = openssl("x509 -noout -text -in " .. path)
      for _, part in ipairs {
        "Version: 3",
        "Signature Algorithm: ecdsa-with-SHA256",
        "CA:FALSE",
        "Digital Signature",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "URI:" .. URI .. ", IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, DNS:alfa.example.org",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
        "2.25.121390763178416389541213284190317408071:",
        "publish=a",
      } do
        contains(said, part)
      end
      contains(openssl("x509 -noout -serial -in " .. path), "serial=" .. info.serial)
      local print = openssl("x509 -noout -fingerprint -sha256 -in " .. path):match("=(%S+)"):gsub(":", "")
      assert.equal(info.hash:upper(), print)
      contains(openssl("x509 -noout -subject -nameopt RFC2253 -in " .. path), "subject=" .. info.subject)
      said = openssl("x509 -noout -text -in " .. file(root.pem))
      contains(said, "CA:TRUE, pathlen:0")
      contains(said, "Certificate Sign, CRL Sign")
    end, SECONDS)
  )

  it(
    "verifies our certificates for both roles, strictly",
    async(function()
      local line = ("verify -x509_strict -CAfile %s -attime %%d -purpose %%s %s"):format(file(root.pem), file(issue()))
      contains(openssl(line:format(NOW, "sslserver")), ": OK")
      contains(openssl(line:format(NOW, "sslclient")), ": OK")
      contains(openssl(line:format(NOW + DAY + 1, "sslclient"), 2), "certificate has expired")
      contains(openssl(line:format(NOW - 301, "sslclient"), 2), "not yet valid")
    end, SECONDS)
  )

  it(
    "verifies our revocation lists and goes by them",
    async(function()
      local ca, leaf = file(root.pem), file(issue())
      local serial = assert(pki.read_certificate(read(leaf))):info().serial
      local list, pem = file(revoke { serial, "0A" }), file()
      contains(openssl(("crl -inform DER -verify -noout -CAfile %s -in %s"):format(ca, list)), "verify OK")
      contains(openssl("crl -inform DER -noout -crlnumber -in " .. list), "1267")
      contains(openssl("crl -inform DER -noout -text -in " .. list), "Serial Number: " .. serial)
      openssl(("crl -inform DER -out %s -in %s"):format(pem, list))
      local line = ("verify -x509_strict -crl_check -CAfile %s -CRLfile %%s -attime %d %s"):format(ca, NOW, leaf)
      contains(openssl(line:format(pem), 2), "certificate revoked")
      local other = file()
      openssl(("crl -inform DER -out %s -in %s"):format(other, file(revoke { "0A" })))
      contains(openssl(line:format(other)), ": OK")
      assert.equal(4711, assert(pki.check_crl(read(pem), root.pem)).number)
    end, SECONDS)
  )

  it(
    "makes certificates that we read",
    async(function()
      local own, path = file(), file()
      openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out " .. own)
      local san = "subjectAltName=URI:chaski://m/a,URI:chaski://m/b"
      openssl(("req -x509 -days 1 -subj /CN=alfa -addext %s -key %s -out %s"):format(san, own, path))
      local info = assert(pki.read_certificate(read(path))):info()
      assert.same({ "chaski://m/a", "chaski://m/b" }, info.uris)
      assert.equal("CN=alfa", info.issuer)
      assert.equal(assert(pki.read_key(read(own))):hash(), info.key_hash)
    end, SECONDS)
  )
end)
