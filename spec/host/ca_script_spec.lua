-- ca_script_spec.lua: scripts/ca.lua as a program: exit codes, a CA and its nodes in processes of their own, kills and
-- full disks. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local enrol = require "chaski.enrol"
local helper = require "spec.helper"
local invites = require "chaski.invite"
local prng = require "chaski.topology.prng"
local rig = require "spec.lua.ca_rig"
local tls = require "chaski.tls"
local uv = require "luv"

local serving = {} -- processes that a failed test must not leave

local function it_async(name, test, timeout)
  it(
    name,
    helper.async(function()
      local ok, err = pcall(test)
      for _, process in ipairs(serving) do
        if not process.over then
          process:kill "sigkill"
          process:wait()
        end
      end
      serving = {}
      if not ok then error(err, 0) end
    end, timeout)
  )
end

teardown(function()
  rig.clean()
  helper.clean()
end)

local function run(args, options)
  return helper.run(table.move(args, 1, #args, 2, { "scripts/ca.lua" }), options)
end

local function start(args, options)
  return helper.start(table.move(args, 1, #args, 2, { "scripts/ca.lua" }), options)
end

local function assert_ran(process)
  assert.equal("", process.err)
  assert.equal(0, process.code)
  return process.out
end

local function make()
  local location = rig.folder() .. "/ca"
  local out = assert_ran(run { "init", "--location", location, "--mesh", "home" })
  return location, out:match "pin sha256:(%x+)"
end

--- A CA that serves, and its port.
local function serve(location, more, options)
  local args = { "serve", "--location", location, "--port", "0", "--tries", "100000" }
  table.move(more or {}, 1, #(more or {}), #args + 1, args)
  local process = start(args, options)
  serving[#serving + 1] = process
  process:expect "pin sha256:"
  return process, process.out:match "listens at [%d.]+:(%d+)"
end

local function stop(process)
  process:kill()
  process:wait()
  if not os.getenv "CHASKI_VALGRIND" then assert.equal("", process.err) end -- or it tells that it is slow
  assert.equal(0, process.code)
end

local function invite(location, id, ...)
  return (assert_ran(run { "invite", "--location", location, id, ... }):gsub("\n$", ""))
end

local function check_files(files)
  return assert(tls.context { certificate = files.certificate, key = files.key, ca = files.ca, crl = files.crl })
end

describe("scripts/ca.lua", function()
  it_async("tells how it is used, and its exit codes", function()
    local out = assert_ran(run { "--help" })
    for _, word in ipairs { "init", "serve", "invite", "list", "revoke", "show", "rollover", "Exit: 0 done" } do
      assert.matches(word, out, 1, true)
    end
    assert.matches("--location", assert_ran(run { "invite", "--help" }), 1, true)
  end)

  it_async("answers wrong usage with a usage line and code 2", function()
    local location = make()
    for _, args in ipairs {
      {},
      { "nonsense" },
      { "init" },
      { "init", "--location", location },
      { "init", "--location", location, "--mesh", "two words" },
      { "serve", "--location", location, "--port", "many" },
      { "serve", "--location", location, "--port", "65536" },
      { "invite", "--location", location },
      { "invite", "--location", location, "no/name" },
      { "invite", "--location", location, "k", "--ttl", "soon" },
      { "invite", "--location", location, "k", "--life", "30d" },
      { "invite", "--location", location, "k", "--ip", "kitchen" },
      { "revoke", "--location", location },
      { "list", "--location", location, "--all" },
    } do
      local process = run(args)
      assert.equal(2, process.code, table.concat(args, " "))
      assert.equal("", process.out)
      assert.matches("Usage: ca.lua", process.err, 1, true)
      assert.not_matches("traceback", process.err)
    end
  end)

  it_async("makes a CA once, and names the file that is in the way", function()
    local location = make()
    local process = run { "init", "--location", location, "--mesh", "home" }
    assert.equal(1, process.code)
    assert.equal(
      ("ca.lua: there is a CA already: '%s/ca.key' exists, and is never made again\n"):format(location),
      process.err
    )
  end)

  it_async("refuses to serve without its key, naming it", function()
    local location = make()
    uv.fs_chmod(location .. "/ca.key", 420)
    local process = run { "serve", "--location", location }
    assert.equal(1, process.code)
    assert.matches("ca.key' can be read or changed by others", process.err, 1, true)
    os.remove(location .. "/ca.key")
    process = run { "serve", "--location", location }
    assert.equal(1, process.code)
    assert.matches("ca.key'", process.err, 1, true)
    assert.equal(1, run({ "list", "--location", location .. "x" }).code)
  end)

  it_async("takes a passphrase from a file or from standard input", function()
    local location = rig.folder() .. "/ca"
    local args = { "init", "--location", location, "--mesh", "home", "--passphrase-file", "-" }
    assert_ran(run(args, { stdin = "open sesame\n" }))
    assert.matches("ENCRYPTED", rig.read(location .. "/ca.key"), 1, true)
    assert.equal(1, run({ "serve", "--location", location }).code)
    stop((serve(location, { "--passphrase-file", helper.file "open sesame\n" })))
    local wrong = run { "serve", "--location", location, "--passphrase-file", helper.file "sesame\n" }
    assert.equal(1, wrong.code)
    assert.not_matches("sesame\n", wrong.err, 1, true)
    assert.equal(1, run({ "serve", "--location", location, "--passphrase-file", helper.file "" }).code)
  end, 10)

  it_async("enrols a node in another process, lists it, shows it, revokes it", function()
    local location, pin = make()
    local process = serve(location)
    assert.matches(pin, process.out, 1, true)
    if not os.getenv "CHASKI_VALGRIND" then
      assert.matches("Max core file size%s+0%s+0", rig.read(("/proc/%d/limits"):format(process.pid)))
    end
    local text = invite(location, "kitchen", "--publish", "weather", "--dns", "kitchen.example", "--life", "1h")
    local code = [[
      local files = assert(require("chaski.enrol").join(arg[1], { location = arg[2] }))
      local again, err = require("chaski.enrol").join(arg[1], { location = arg[2] })
      print(files.id, again, err.code)
    ]]
    local folder = rig.folder()
    local node = helper.run { helper.file(code), text, folder }
    assert.equal("kitchen\tnil\tused\n", assert_ran(node))
    assert.matches("valid +kitchen", assert_ran(run { "list", "--location", location }))
    local shown = assert_ran(run { "show", "--location", location, "kitchen" })
    assert.matches("publish=weather", shown, 1, true)
    assert.matches("BEGIN CERTIFICATE", shown, 1, true)
    local unknown = run { "show", "--location", location, "cellar" }
    assert.equal(3, unknown.code)
    assert.equal("ca.lua: nothing is known of 'cellar'\n", unknown.err)
    assert.equal("revoked: 1 certificate\n", assert_ran(run { "revoke", "--location", location, "kitchen" }))
    assert.equal(3, run({ "revoke", "--location", location, "kitchen" }).code)
    assert.matches("revoked +kitchen", assert_ran(run { "list", "--location", location }))
    local files = { certificate = folder .. "/kitchen/certificate.pem", key = folder .. "/kitchen/key.pem" }
    files.ca, files.address = folder .. "/kitchen/ca.pem", invites.read(text).address
    local renewed, err = enrol.renew(files)
    assert.is_nil(renewed)
    assert.equal("revoked", err.code)
    process:kill()
    process:wait()
    assert.equal(0, process.code)
    assert.matches("used before", process.err) -- the alarm
    local secret = invites.read(text).secret
    assert.is_nil(process.err:find(secret, 1, true))
  end, 20)

  it_async("rolls over beside the one that serves", function()
    local location, pin = make()
    local process = serve(location)
    local out = assert_ran(run { "rollover", "--location", location })
    assert.not_matches(pin, out, 1, true)
    local text = invite(location, "kitchen")
    assert.equal(2, #invites.read(text).pins)
    check_files(assert(enrol.join(text, { location = rig.folder() })))
    assert.equal(1, run({ "rollover", "--location", location }).code)
    stop(process)
  end, 10)
end)

describe("a CA that is killed while it signs", function()
  local rounds = os.getenv "CHASKI_FULL" and 20 or 4
  local random = prng(math.tointeger(tonumber(os.getenv "SEED" or "")) or 11)

  it_async("and started again gives one certificate for a token, and the same to who asks again", function()
    if os.getenv "CHASKI_VALGRIND" then return end -- it would be killed before it is asked
    local location = make()
    local process, port = serve(location)
    local folder = rig.folder()
    for round = 1, rounds do
      local id = "node-" .. round
      local text = invite(location, id)
      local task = chaski.spawn(enrol.join, text, { location = folder, timeout = 30 * helper.slowness })
      core.sleep(random:unit() * 0.02)
      process:kill "sigkill"
      process:wait()
      process = serve(location, { "--port", port })
      local _, files, err = task:join()
      assert.is_table(files, tostring(err))
      check_files(files)
      local shown = assert_ran(run { "show", "--location", location, id })
      assert.equal(1, select(2, shown:gsub("\nvalid ", "")), shown)
    end
    stop(process)
  end, 60)
end)

describe("a full disk", function()
  --- Arguments for sh: a program that can write no file.
  local function without_disk(args)
    local list = { "-c", 'trap \'\' XFSZ; ulimit -f 0; exec "$0" "$@"', helper.program }
    return table.move(args, 1, #args, #list + 1, list)
  end

  it_async("makes no CA, and nothing that would be in its way", function()
    local location = rig.folder() .. "/ca"
    local args = { "scripts/ca.lua", "init", "--location", location, "--mesh", "home" }
    local process = helper.run(without_disk(args), { program = "/bin/sh" })
    assert.equal(1, process.code)
    assert.matches("cannot write", process.err)
    assert.equal("", rig.snapshot(location))
    assert_ran(run { "init", "--location", location, "--mesh", "home" })
  end)

  it_async("at the node spends no token and leaves no file", function()
    local location = make()
    local process = serve(location)
    local text, folder = invite(location, "kitchen"), rig.folder()
    local code = [[
      local files, err = require("chaski.enrol").join(arg[1], { location = arg[2] })
      print(files, err.code)
    ]]
    local node = helper.run(without_disk { helper.file(code), text, folder }, { program = "/bin/sh" })
    assert.equal("nil\tno_space\n", node.out)
    assert.equal("", rig.snapshot(folder))
    check_files(assert(enrol.join(text, { location = folder })))
    stop(process)
  end, 10)

  it_async("at the CA lets it sign nothing, and use no token", function()
    local location = make()
    local process, port = serve(location)
    local text, folder = invite(location, "kitchen"), rig.folder()
    stop(process)
    local args = { "scripts/ca.lua", "serve", "--location", location, "--port", port }
    process = helper.run(without_disk(args), { program = "/bin/sh" }) -- where it serves could not be noted
    assert.equal(1, process.code)
    assert.matches("ledger.db' failed", process.err, 1, true)

    args = { "-c", 'trap \'\' XFSZ; exec "$0" "$@"', helper.program }
    table.move({ "scripts/ca.lua", "serve", "--location", location, "--port", port }, 1, 6, 4, args)
    process = helper.start(args, { program = "/bin/sh" })
    serving[#serving + 1] = process
    process:expect "pin sha256:"
    local function limit(size)
      local set = { "--pid", tostring(process.pid), "--fsize=" .. size .. ":unlimited" }
      assert_ran(helper.run(set, { program = "/usr/bin/prlimit" }))
    end
    limit "0"
    local files, err = enrol.join(text, { location = folder })
    assert.is_nil(files)
    assert.equal("unavailable", err.code)
    assert.matches("open +kitchen", assert_ran(run { "list", "--location", location }))
    limit "unlimited"
    check_files(assert(enrol.join(text, { location = folder })))
    process:kill()
    assert.equal(0, process:wait().code)
    assert.matches("could not be answered", process.err, 1, true)
  end, 10)
end)
