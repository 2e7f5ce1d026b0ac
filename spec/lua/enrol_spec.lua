-- enrol_spec.lua: joining and renewing over TLS: files, lost answers, full disks, impostors; and attacks on tokens.
-- SPDX-License-Identifier: MIT
local ca = require "chaski.ca"
local channels = require "chaski.channel"
local chaski = require "chaski"
local core = require "chaski.core"
local enrol = require "chaski.enrol"
local helper = require "spec.helper"
local invites = require "chaski.invite"
local prng = require "chaski.topology.prng"
local rig = require "spec.lua.ca_rig"
local tls = require "chaski.tls"
local uv = require "luv"
local pki = core.pki

local test, quiet = helper.async, rig.quiet

teardown(rig.clean)

local function fails(code, ok, err)
  assert.is_nil(ok)
  assert.equal(code, err.code, tostring(err))
  return tostring(err)
end

local function info_of(path)
  return assert(pki.read_certificate(rig.read(path))):info()
end

--- A test with a CA that serves: body(rig of it, a folder for nodes).
local function served(body, timeout)
  return test(
    quiet(function()
      local a = rig.authority()
      a.open { address = false }
      assert(a.ca:serve())
      local ok, err = pcall(body, a, rig.folder() .. "/nodes")
      a.ca:close()
      if not ok then error(err, 0) end
    end),
    timeout
  )
end

--- Is what stands in the files a whole identity?
local function check_files(files)
  return assert(tls.context { certificate = files.certificate, key = files.key, ca = files.ca, crl = files.crl })
end

local function mode_of(path)
  return assert(uv.fs_stat(path)).mode & 511
end

describe("enrol.join", function()
  it(
    "makes a key, gets a certificate, and writes both for their owner alone",
    served(function(a, location)
      local text = assert(a.ca:invite { id = "kitchen", publish = "weather", dns = "kitchen.example" })
      local files = assert(enrol.join(text, { location = location, attributes = { C = "PE", OU = "attic" } }))
      assert.equal("kitchen", files.id)
      assert.equal("home", files.mesh)
      assert.equal(a.ca.address, files.address)
      assert.equal(a.time + 86400, files.not_after)
      for _, name in ipairs { "certificate", "key", "ca", "crl" } do
        assert.equal(tonumber("600", 8), mode_of(files[name]))
      end
      local info = info_of(files.certificate)
      assert.equal("chaski://home/kitchen", info.uri)
      assert.equal(files.serial, info.serial)
      assert.matches("OU=attic", info.subject, 1, true)
      local context = check_files(files)
      assert.equal("kitchen", context.id)
      assert.is_true(context:may("publish", "weather"))
      assert.is_false(context:may("publish", "news"))
      assert.equal(1, a.ca.counters.enrolled)
    end)
  )

  it(
    "takes other keys, and encrypts them",
    served(function(a, location)
      for _, kind in ipairs { "p384", "ed25519" } do
        local text = assert(a.ca:invite { id = kind })
        local files = assert(enrol.join(text, { location = location, key = kind, passphrase = "open sesame" }))
        assert.matches("ENCRYPTED", rig.read(files.key), 1, true)
        assert(tls.context {
          certificate = files.certificate,
          key = files.key,
          passphrase = "open sesame",
          ca = files.ca,
        })
      end
    end)
  )

  it(
    "works once",
    served(function(a, location)
      local text = assert(a.ca:invite { id = "kitchen" })
      local files = assert(enrol.join(text, { location = location }))
      local before = rig.snapshot(location)
      assert.matches("the CA refuses", fails("used", enrol.join(text, { location = location })))
      assert.equal(before, rig.snapshot(location))
      check_files(files)
      assert.equal(1, a.ca.counters.alarms)
    end)
  )

  it(
    "is answered with the same certificate when the first answer was lost",
    test(quiet(function()
      local a = rig.authority()
      local server = assert(tls.context(rig.server_context(a)))
      local lost = 0
      local listener <close> = assert(channels.listen("127.0.0.1", 0, server, function(channel)
        while true do
          local request = channel:receive()
          if not request then return end
          local answer = a.ca:answer(request, channel)
          if request.command == "enroll" and lost < 2 then
            lost = lost + 1
            return
          end
          channel:send(answer)
        end
      end))
      local text = assert(a.ca:invite { id = "kitchen", address = "127.0.0.1:" .. listener.port })
      check_files(assert(enrol.join(text, { location = rig.folder() })))
      assert.equal(2, lost)
      assert.equal(1, #a.ca:list().certificates)
      a.ca:close()
    end))
  )

  it(
    "goes on after the CA was restarted in between",
    served(function(a, location)
      local text = assert(a.ca:invite { id = "kitchen" })
      local port = a.ca.port
      a.open { address = false, port = port }
      assert(a.ca:serve())
      local files = assert(enrol.join(text, { location = location }))
      a.open { address = false, port = port }
      assert(a.ca:serve())
      local renewed = assert(enrol.renew(files))
      assert.not_equal(files.serial, renewed.serial)
      check_files(renewed)
    end)
  )

  it(
    "tells what is wrong with the string, the options, the CA's absence",
    served(function(a, location)
      fails("bad_invite", enrol.join("chaski-invite-1:AAAA", { location = location }))
      local text = assert(a.ca:invite { id = "kitchen" })
      assert.error_matches(function()
        enrol.join(text, {})
      end, "option 'location' is missing")
      assert.error_matches(function()
        enrol.join(text, { location = "x", atributes = {} })
      end, "did you mean")
      assert.error_matches(function()
        enrol.join(text, { location = "x", attributes = { CN = "x" } })
      end, "attributes")
      assert.error_matches(function()
        enrol.join(7, { location = "x" })
      end, "expected a string")
      a.ca:stop()
      fails("refused", enrol.join(text, { location = location, timeout = 1 }))
      assert.is_nil(uv.fs_lstat(location .. "/kitchen"))
    end)
  )

  it(
    "waits no longer than it may for a CA that does not answer",
    test(quiet(function()
      local a = rig.authority()
      local listener <close> =
        assert(channels.listen("127.0.0.1", 0, assert(tls.context(rig.server_context(a))), function(channel)
          channel:receive()
          channel:receive()
        end))
      local text = assert(a.ca:invite { id = "kitchen", address = "127.0.0.1:" .. listener.port })
      local began = core.now()
      fails("timeout", enrol.join(text, { location = rig.folder(), timeout = 0.3 }))
      assert.is_true(core.now() - began < 2)
      a.ca:close()
    end))
  )

  it(
    "trusts nobody but the CA: not another one, and no member that poses as it",
    served(function(a, location)
      local other = rig.authority()
      local text = assert(a.ca:invite { id = "kitchen" })
      local invite = assert(invites.read(text))
      local there <close> =
        assert(channels.listen("127.0.0.1", 0, assert(tls.context(rig.server_context(other))), function(channel)
          channel:receive()
        end))
      invite.address = "127.0.0.1:" .. there.port
      fails("certificate", enrol.join(invites.write(invite), { location = location }))

      local member = assert(enrol.join(assert(a.ca:invite { id = "hall" }), { location = location }))
      local asked
      local posing <close> = assert(channels.listen(
        "127.0.0.1",
        0,
        assert(tls.context {
          certificate = rig.read(member.certificate) .. rig.read(member.ca),
          key = member.key,
          ca = member.ca,
          alpn = invites.ALPN,
          anonymous = true,
        }),
        function(channel)
          asked = channel:receive()
        end
      ))
      invite.address = "127.0.0.1:" .. posing.port
      assert.matches("is not the CA", fails("certificate", enrol.join(invites.write(invite), { location = location })))
      assert.is_nil(asked) -- the proof was not even sent
      fails("certificate", enrol.renew(member, { address = invite.address }))
      assert.is_nil(uv.fs_lstat(location .. "/kitchen"))
      check_files(assert(enrol.join(text, { location = location })))
      other.ca:close()
    end)
  )

  it(
    "believes no answer that does not fit",
    test(quiet(function()
      local a, b = rig.authority(), rig.authority()
      local change
      local listener <close> =
        assert(channels.listen("127.0.0.1", 0, assert(tls.context(rig.server_context(a))), function(channel)
          while true do
            local request = channel:receive()
            if not request then return end
            local answer = a.ca:answer(request, channel)
            if request.command == "enroll" and not answer.error then change(answer) end
            if not channel:send(answer) then return end
          end
        end))
      local address = "127.0.0.1:" .. listener.port
      local spare, namesake = rig.enrol(a.ca, { id = "spare" }), rig.enrol(a.ca, { id = "kitchen" })
      local folder = rig.folder()
      local changes = {
        function(answer)
          answer.certificate = nil
        end,
        function(answer)
          answer.certificate = "garbage"
        end,
        function(answer)
          answer.certificate = spare.certificate
        end,
        function(answer)
          answer.certificate = namesake.certificate
        end,
        function(answer)
          answer.bundle = nil
        end,
        function(answer)
          answer.bundle = ""
        end,
        function(answer)
          answer.bundle = b.ca:bundle()
        end,
        function(answer)
          answer.bundle = answer.bundle .. spare.certificate
        end,
        function(answer)
          answer.bundle = answer.bundle:rep(3)
        end,
        function(answer)
          answer.bundle = b.ca:bundle() .. "garbage"
        end,
      }
      for _, each in ipairs(changes) do
        change = each
        local text = assert(a.ca:invite { id = "kitchen", address = address })
        fails("certificate", enrol.join(text, { location = folder }))
      end
      change = function(answer)
        answer.error = { code = 7 }
      end
      local text = assert(a.ca:invite { id = "kitchen", address = address })
      fails("malformed_data", enrol.join(text, { location = folder }))
      assert.equal("", rig.snapshot(folder))
      a.ca:close()
      b.ca:close()
    end))
  )
end)

describe("enrol.renew", function()
  it(
    "replaces key and certificate, and keeps name and rights",
    served(function(a, location)
      local text = assert(a.ca:invite { id = "kitchen", publish = "weather" })
      local first = assert(enrol.join(text, { location = location }))
      local old, old_key = info_of(first.certificate), rig.read(first.key)
      local second = assert(enrol.renew(first))
      assert.equal(first.certificate, second.certificate)
      local new = info_of(second.certificate)
      assert.equal(old.uri, new.uri)
      assert.equal(old.rights, new.rights)
      assert.not_equal(old.serial, new.serial)
      assert.not_equal(old.key_hash, new.key_hash)
      assert.not_equal(old_key, rig.read(second.key))
      check_files(second)
      check_files(assert(enrol.renew(second)))
      assert.equal(2, a.ca.counters.renewed)
    end)
  )

  it(
    "is refused for a certificate that was revoked",
    served(function(a, location)
      local files = assert(enrol.join(assert(a.ca:invite { id = "kitchen" }), { location = location }))
      local before = rig.snapshot(location)
      assert.equal(1, a.ca:revoke "kitchen")
      fails("revoked", enrol.renew(files))
      assert.equal(before, rig.snapshot(location))
    end)
  )

  it(
    "leaves the files alone that join has not written",
    served(function(a, location)
      local files = assert(enrol.join(assert(a.ca:invite { id = "kitchen" }), { location = location }))
      local folder = rig.folder()
      for _, name in ipairs { "certificate", "key", "ca", "crl" } do
        rig.write(("%s/%s.pem"):format(folder, name), rig.read(files[name]))
        uv.fs_chmod(("%s/%s.pem"):format(folder, name), 384)
        files[name] = ("%s/%s.pem"):format(folder, name)
      end
      local before = rig.snapshot(folder)
      fails("mismatch", enrol.renew(files))
      assert.equal(before, rig.snapshot(folder))
      assert.equal(0, a.ca.counters.renewed)
    end)
  )
end)

describe("a disk that fails", function()
  local calls = { "fs_open", "fs_write", "fs_fsync", "fs_mkdir", "fs_symlink", "fs_rename" }

  --- fn() with the n-th call that writes failing as on a full disk. Whether it came to that.
  local function failing(n, fn)
    local count, saved, failed = 0, {}, false
    for _, name in ipairs(calls) do
      saved[name] = uv[name]
      uv[name] = function(...)
        local mode = select(2, ...)
        if name == "fs_open" and mode == "r" then return saved[name](...) end
        count = count + 1
        if count ~= n then return saved[name](...) end
        failed = true
        return nil, "ENOSPC: no space left on device", "ENOSPC"
      end
    end
    local results = table.pack(pcall(fn))
    for name, each in pairs(saved) do
      uv[name] = each
    end
    if not results[1] then error(results[2], 0) end
    return failed, table.unpack(results, 2, results.n)
  end

  it(
    "at any step of joining leaves nothing half made",
    served(function(a, location)
      local n, refused = 0, 0
      while true do
        n = n + 1
        local id = "node-" .. n
        local text = assert(a.ca:invite { id = id })
        local failed, files, err = failing(n, function()
          return enrol.join(text, { location = location })
        end)
        if not failed then
          check_files(files)
          break
        end
        if files then
          check_files(files) -- only the sync of the folder at the end
        else
          assert.is_true(err.code == "no_space", tostring(err))
          refused = refused + 1
          assert.is_nil(uv.fs_lstat(location .. "/" .. id))
        end
      end
      assert.is_true(refused >= 10, refused)
      assert.not_matches("%.new", rig.snapshot(location))
      assert.not_matches("%.probe", rig.snapshot(location))
      assert.not_matches("%.link", rig.snapshot(location))
    end, 20)
  )

  it(
    "is noticed before the token is spent",
    served(function(a, location)
      local text = assert(a.ca:invite { id = "kitchen" })
      assert(uv.fs_mkdir(location, 448))
      for n = 1, 4 do
        local _, files, err = failing(n, function()
          return enrol.join(text, { location = location })
        end)
        fails("no_space", files, err)
      end
      check_files(assert(enrol.join(text, { location = location })))
      assert.equal(0, a.ca.counters.refused)
    end)
  )

  it(
    "at any step of renewing leaves the old files or the new ones, never some of both",
    served(function(a, location)
      local files = assert(enrol.join(assert(a.ca:invite { id = "kitchen" }), { location = location }))
      local n = 0
      while true do
        n = n + 1
        local failed, renewed, err = failing(n, function()
          return enrol.renew(files)
        end)
        check_files(files)
        if not failed then break end
        assert.is_true(renewed ~= nil or err.code == "no_space", tostring(err))
      end
      assert.is_true(n > 10)
      local names = {}
      for name in rig.snapshot(location):gmatch "[^\n]+" do
        if not name:find "^  " then names[#names + 1] = name end
      end
      assert.equal(2, #names, rig.snapshot(location)) -- the link and what it points to
    end, 20)
  )

  it(
    "lets no CA be half made",
    quiet(function()
      local n = 0
      while true do
        n = n + 1
        local location = rig.folder() .. "/ca"
        local failed, made, err = failing(n, function()
          return ca.init { location = location, mesh = "home" }
        end)
        if not failed then
          assert.is_table(made)
          break
        end
        if made then
          ca({ location = location }):close()
        else
          assert.equal("no_space", err.code)
          assert(ca.init { location = location, mesh = "home" }) -- nothing is in its way
        end
      end
      assert.is_true(n > 5)
    end)
  )
end)

describe("in a simulation", function()
  it(
    "a mesh of nodes enrols and renews, over slow paths",
    quiet(function()
      local sim <close> = chaski.sim { seed = 3, delay = 0.05, chunk = 500 }
      assert(sim:run(function()
        local location = rig.folder()
        assert(ca.init { location = location .. "/ca", mesh = "home" })
        local authority <close> = assert(ca { location = location .. "/ca", ip = "10.0.0.1", tries = false })
        assert(authority:serve())
        local tasks = {}
        for i = 1, 10 do
          local text = assert(authority:invite { id = "node-" .. i })
          tasks[i] = chaski.spawn(function()
            return assert(enrol.renew(assert(enrol.join(text, { location = location .. "/nodes" }))))
          end)
        end
        for i, task in ipairs(tasks) do
          local ok, files = task:join()
          assert(ok, files)
          assert.equal("node-" .. i, files.id)
        end
        assert.equal(10, authority.counters.enrolled)
        assert.equal(10, authority.counters.renewed)
        return true
      end))
    end)
  )

  it(
    "a CA that is cut off in the middle is asked again",
    quiet(function()
      local sim <close> = chaski.sim { seed = 4, delay = 0.05 }
      assert(sim:run(function()
        local location = rig.folder()
        assert(ca.init { location = location .. "/ca", mesh = "home" })
        local authority <close> = assert(ca { location = location .. "/ca", ip = "10.0.0.1", tries = false })
        assert(authority:serve())
        local text = assert(authority:invite { id = "kitchen" })
        local task = chaski.spawn(enrol.join, text, { location = location .. "/nodes" })
        while authority.counters.enrolled == 0 do
          chaski.sleep(0.01)
        end
        sim:cut("127.0.0.1", "10.0.0.1") -- the answer is under way
        local ok, files, err = task:join()
        assert(ok, files)
        assert.is_table(files, tostring(err))
        assert.equal(1, #authority:list().certificates)
        return true
      end))
    end)
  )

  it(
    "nodes hear of a new root, and follow the CA to it",
    quiet(function()
      local sim <close> = chaski.sim { seed = 6 }
      assert(sim:run({ limit = 1e6 }, function()
        local location = rig.folder()
        assert(ca.init { location = location .. "/ca", mesh = "home" })
        local authority <close> = assert(ca { location = location .. "/ca", ip = "10.0.0.1" })
        assert(authority:serve())
        local text = assert(authority:invite { id = "kitchen", life = 3600 })
        local files = assert(enrol.join(text, { location = location .. "/nodes" }))
        local old = authority.pin
        local early = assert(authority:invite { id = "early", ttl = 3700, life = 3600 }) -- pins the old root alone
        local made = assert(authority:rollover { overlap = 0 })
        local between = assert(authority:invite { id = "between", ttl = 7200 })
        chaski.sleep(2400)
        files = assert(enrol.renew(files))
        assert.equal(old, info_of(files.ca).key_hash)
        assert.equal(2, select(2, rig.read(files.ca):gsub("BEGIN CERTIFICATE", "")))
        assert.equal(old, authority.pin)
        chaski.sleep(1250)
        assert(enrol.join(early, { location = location .. "/nodes" }))
        chaski.sleep(150) -- the first certificate has ended: the new root signs, for the CA itself too
        assert.equal(made.pin, authority.pin)
        files = assert(enrol.renew(files))
        assert(enrol.join(between, { location = location .. "/nodes" }))
        chaski.sleep(3000)
        files = assert(enrol.renew(files))
        assert.equal(2, select(2, rig.read(files.ca):gsub("BEGIN CERTIFICATE", ""))) -- "early" is under the old one
        chaski.sleep(1000)
        files = assert(enrol.renew(files))
        assert.equal(1, select(2, rig.read(files.ca):gsub("BEGIN CERTIFICATE", "")))
        assert.equal(made.pin, info_of(files.ca).key_hash)
        return true
      end))
    end)
  )

  it(
    "the CA makes itself a new certificate before its own ends",
    quiet(function()
      local sim <close> = chaski.sim { seed = 5 }
      assert(sim:run({ limit = 1e7 }, function()
        local location = rig.folder()
        assert(ca.init { location = location .. "/ca", mesh = "home" })
        local authority <close> = assert(ca { location = location .. "/ca", ip = "10.0.0.1" })
        assert(authority:serve())
        for day = 1, 3 do
          chaski.sleep(86400)
          local text = assert(authority:invite { id = "node-" .. day })
          assert(enrol.join(text, { location = location .. "/nodes" }))
        end
        return true
      end))
    end)
  )
end)

-- --- attacks ---------------------------------------------------------------------------------------------------------

local SEED = math.tointeger(tonumber(os.getenv "SEED" or "")) or 20240131
local ATTACKS = 200

describe("an attack on a token", function()
  local random = prng(SEED)

  local function flip_bit(bytes)
    local at = random:upto(#bytes)
    local byte = bytes:byte(at) ~ (1 << (random:upto(8) - 1))
    return bytes:sub(1, at - 1) .. string.char(byte) .. bytes:sub(at + 1)
  end

  --- Each is { code, fn(scene) -> answer or nil, err of the attack }. The scene: a (the CA), text and invite of a token
  --- that is open, location of the attacker's files. `spent`: the token is of no use afterwards.
  local kinds = {}

  local function over_channel(name, code, fn, spent)
    kinds[#kinds + 1] = {
      name = name,
      code = code,
      spent = spent,
      run = function(s)
        local channel = rig.channel()
        local request = fn(s, channel)
        local answer = rig.ask(s.a.ca, request, channel)
        return answer.error == nil and answer or nil, answer.error
      end,
    }
  end

  local function over_tls(name, code, fn, spent)
    kinds[#kinds + 1] = {
      name = name,
      code = code,
      spent = spent,
      run = function(s)
        return enrol.join(fn(s), { location = s.location, timeout = 5 })
      end,
    }
  end

  local function changed(field, value)
    return function(s)
      local invite = assert(invites.read(s.text))
      invite[field] = type(value) == "function" and value(invite) or value
      return invites.write(invite)
    end
  end

  over_channel("with another secret", "bad_mac", function(s, channel)
    return (rig.request(s.invite, channel, { secret = pki.random(32) }))
  end)
  over_channel("with a secret of one wrong bit", "bad_mac", function(s, channel)
    return (rig.request(s.invite, channel, { secret = flip_bit(s.invite.secret) }))
  end)
  over_channel("with the secret of another token", "bad_mac", function(s, channel)
    local other = assert(invites.read(s.a.ca:invite { id = s.invite.id }))
    return (rig.request(s.invite, channel, { secret = other.secret }))
  end)
  over_channel("with the ledger's hash in place of the secret", "bad_mac", function(s, channel)
    return (rig.request(s.invite, channel, { secret = invites.proof_key(s.invite.secret) }))
  end)
  over_channel("with a number that was never given out", "unknown_token", function(s, channel)
    return (rig.request(s.invite, channel, { token = pki.random(8) }))
  end)
  over_channel("with a number of one wrong bit", "unknown_token", function(s, channel)
    return (rig.request(s.invite, channel, { token = flip_bit(s.invite.token) }))
  end)
  over_channel("for another name", "wrong_id", function(s, channel)
    return (rig.request(s.invite, channel, { id = "root-" .. random:upto(1000), subject = { CN = "root" } }))
  end)
  over_channel("whose proof was heard on another connection", "bad_mac", function(s, channel)
    local elsewhere = rig.channel()
    assert.not_equal(elsewhere, channel)
    return (rig.request(s.invite, elsewhere))
  end)
  over_channel("with a request put in the place of the proven one", "bad_mac", function(s, channel)
    local mine = assert(pki.request(assert(pki.key "p256"), { CN = s.invite.id }))
    return (rig.request(s.invite, channel, { sent_csr = mine }))
  end)
  over_channel("with a proven request of one wrong bit", "bad_mac", function(s, channel)
    local csr = assert(pki.request(assert(pki.key "p256"), { CN = s.invite.id }))
    return (rig.request(s.invite, channel, { csr = csr, sent_csr = flip_bit(csr) }))
  end)
  over_channel("with a request that its key has not signed", "bad_csr", function(s, channel)
    local csr = flip_bit(assert(pki.request(assert(pki.key "p256"), { CN = s.invite.id })))
    return (rig.request(s.invite, channel, { csr = csr }))
  end)
  over_channel("with a request that is cut off", "bad_csr", function(s, channel)
    local csr = assert(pki.request(assert(pki.key "p256"), { CN = s.invite.id }))
    return (rig.request(s.invite, channel, { csr = csr:sub(1, random:upto(#csr - 1)) }))
  end)
  over_channel("with random bytes as request", "bad_csr", function(s, channel)
    return (rig.request(s.invite, channel, { csr = pki.random(random:upto(2000)) }))
  end)
  over_channel("with a proof of one wrong bit", "bad_mac", function(s, channel)
    local request = rig.request(s.invite, channel)
    request.mac = core.bin(flip_bit(core.unpack(core.pack(request.mac))))
    return request
  end)
  over_channel("with a part that is missing, or not as it should be", "bad_request", function(s, channel)
    local request = rig.request(s.invite, channel)
    local part = ({ "token", "csr", "mac" })[random:upto(3)]
    local wrong = { core.bin(pki.random(20000)), 7, true, { "x" }, core.bin "", {} }
    request[part] = wrong[random:upto(7)]
    return request
  end)
  over_channel("that has expired", "expired", function(s, channel)
    s.a.pass(900 + random:upto(100))
    return (rig.request(s.invite, channel))
  end, true)
  over_channel("that was used, with another key", "used", function(s, channel)
    local first = rig.channel()
    assert.is_nil(rig.ask(s.a.ca, rig.request(s.invite, first), first).error)
    return (rig.request(s.invite, channel))
  end, true)
  over_channel("that was used a while ago, with its key", "used", function(s, channel)
    local first = rig.channel()
    local request, key = rig.request(s.invite, first)
    assert.is_nil(rig.ask(s.a.ca, request, first).error)
    s.a.pass(60 + random:upto(800))
    return (rig.request(s.invite, channel, { key = key }))
  end, true)
  over_channel("that was guessed at until it burnt", "burnt", function(s, channel)
    for _ = 1, 10 do
      local guess = rig.channel()
      rig.ask(s.a.ca, rig.request(s.invite, guess, { secret = pki.random(32) }), guess)
    end
    return (rig.request(s.invite, channel))
  end, true)
  over_channel("with a key that has a certificate already", "same_key", function(s, channel)
    local other = rig.enrol(s.a.ca, { id = "other-" .. random:upto(1000000) })
    return (rig.request(s.invite, channel, { key = other.key }))
  end)
  over_tls("by a string that was cut off", "bad_invite", function(s)
    return s.text:sub(1, random:upto(#s.text - 1))
  end)
  over_tls("by a string with a wrong bit", "bad_invite", function(s)
    return flip_bit(s.text)
  end)
  over_tls("by a string with two characters exchanged", "bad_invite", function(s)
    local at
    repeat
      at = 16 + random:upto(#s.text - 17)
    until s.text:sub(at, at) ~= s.text:sub(at + 1, at + 1)
    return s.text:sub(1, at - 1) .. s.text:sub(at + 1, at + 1) .. s.text:sub(at, at) .. s.text:sub(at + 2)
  end)
  over_tls(
    "at a CA with another key than the pin's",
    "certificate",
    changed("pins", function()
      return { pki.random(32) }
    end)
  )
  over_tls(
    "at a CA whose pin has a wrong bit",
    "certificate",
    changed("pins", function(invite)
      return { flip_bit(invite.pins[1]) }
    end)
  )
  over_tls("at the CA of another mesh than the string's", "certificate", changed("mesh", "office"))
  over_tls("by a string with another name in it", "wrong_id", changed("id", "root"))
  over_tls(
    "by a string with another secret in it",
    "bad_mac",
    changed("secret", function()
      return pki.random(32)
    end)
  )
  over_tls(
    "by a string with another token in it",
    "unknown_token",
    changed("token", function()
      return pki.random(8)
    end)
  )
  over_tls("by a string that says it is good for ever, but is not", "expired", function(s)
    s.a.pass(900)
    return changed("expires", s.a.time + 1000000)(s)
  end, true)

  it(
    ("is refused, for its own reason, and changes nothing: %d of them, seed %d"):format(ATTACKS, SEED),
    served(function(a, location)
      assert(uv.fs_mkdir(location, 448))
      local made = 0
      for i = 1, ATTACKS do
        local kind = kinds[i <= #kinds and i or random:upto(#kinds)]
        local text = assert(a.ca:invite { id = "victim-" .. i })
        local scene = { a = a, text = text, invite = assert(invites.read(text)), location = location }
        local where = ("attack %d (seed %d) %s"):format(i, SEED, kind.name)
        local answer, err = kind.run(scene)
        assert.is_nil(answer, where .. ": it was not refused")
        assert.equal(kind.code, err.code, where .. ": " .. tostring(err.message))
        assert.equal("", rig.snapshot(location), where .. ": it left files")
        if not kind.spent then
          assert.equal(0, #a.ca:show(scene.invite.id).certificates, where .. ": it got a certificate")
          local channel = rig.channel()
          local honest = rig.ask(a.ca, rig.request(scene.invite, channel), channel)
          assert.is_string(honest.certificate, where .. ": the token is spoilt")
        end
        local secret = scene.invite.secret
        for _, line in ipairs(rig.log) do
          assert.is_nil(line:find(secret, 1, true) or line:find(pki.hex(secret), 1, true), where .. ": in the log")
        end
        rig.log, made = {}, made + 1
      end
      assert.equal(ATTACKS, made)
      assert.is_true(a.ca.counters.refused >= ATTACKS // 2)
    end, 60)
  )
end)
