-- chaski-lua --check: what it finds in a script, what it cannot know, and that it neither listens nor dials.
-- SPDX-License-Identifier: MIT
local helper = require "spec.helper"

local uv = require "luv"

local ca_rig = require "spec.lua.ca_rig"
local tls_rig = require "spec.lua.tls_rig"

local function it_async(name, test)
  it(name, helper.async(test, 10))
end

local function check(code, ...)
  return helper.run({ "--check", helper.file('local chaski = require "chaski"\n' .. code), ... })
end

local function assert_good(process, ...)
  assert.equal("", process.err)
  assert.equal(0, process.code)
  for _, text in ipairs { ... } do
    assert.truthy(process.out:find(text, 1, true), process.out)
  end
end

local function assert_bad(process, text)
  assert.truthy(process.err:find(text, 1, true), process.err)
  assert.equal(1, process.code)
end

teardown(helper.clean)
teardown(ca_rig.clean)

describe("--check", function()
  it_async("tells what is good", function()
    local process = check(
      [[
      local a = assert(chaski.node { name = "a" })
      local b = assert(chaski.node { name = ... })
      assert(b:connect(a))
      print(b.edges[1].name)]],
      "b"
    )
    assert_good(process, "a\n", ".lua: ran to its end; 2 nodes, 0 peers invented\n")
  end)

  it_async("finds what is not Lua, what is no option, and a script that is not there", function()
    assert_bad(check "x x", ".lua:2: syntax error near 'x'")
    assert_bad(check "chaski.node { nam = 'x' }", ".lua:2: chaski.node: unknown option 'nam', did you mean 'name'?")
    assert_bad(helper.run { "--check", "/nowhere/at-all.lua" }, "cannot open /nowhere/at-all.lua")
    assert_bad(helper.run { "--check" }, "'--check' needs a script")
  end)

  it_async("finds a port that is taken, and takes none", function()
    local socket = uv.new_tcp()
    assert(socket:bind("127.0.0.1", 0))
    assert(socket:listen(1, function() end))
    local port = socket:getsockname().port
    local code = ("assert(chaski.node { name = 'a', port = %d })"):format(port)
    assert_bad(check(code), ("node at 127.0.0.1:%d: the port is taken"):format(port))
    socket:close()
    helper.eventually(function()
      return check(code).code == 0 -- another of the machine may have it meanwhile
    end)
    local foreign = check "chaski.node { ip = '192.0.2.7', port = 8511 }"
    assert_bad(foreign, "node at 192.0.2.7:8511: not an address of this machine")
  end)

  it_async("finds certificates that are missing", function()
    local code = "assert(chaski.tls.context { certificate = '/nowhere/c', key = '/nowhere/k', ca = '/nowhere/r' })"
    assert_bad(check(code), "cannot read '/nowhere/c'")
  end)

  it_async("looks at certificates with today's date", function()
    local issued = tls_rig.issue(tls_rig.root(), "wall")
    local context = "chaski.tls.context { certificate = arg[1], key = arg[2], ca = arg[3] }"
    local code = ("local n = assert(chaski.node { tls = assert(%s) }) print(n.id)"):format(context)
    assert_good(check(code, issued.certificate, issued.key, issued.ca), "wall\n", "ran to its end; 1 node")
  end)

  it_async("does not enrol", function()
    local invitation = assert(ca_rig.authority().ca:invite { id = "wall" })
    local folder = ca_rig.folder()
    local code = "assert(chaski.node { request_ssl_certificate = arg[1], ssl_certificates_location = arg[2] })"
    assert_good(check(code, invitation, folder), "checked up to its enrolment; 1 node, 0 peers invented")
    assert.equal("", ca_rig.snapshot(folder))
  end)

  it_async("invents peers where the script dials, and finds errors in what comes after, also in timers", function()
    assert_good(
      check [[
      local n = assert(chaski.node { name = "n" })
      assert(n:connect "192.0.2.7:8511")
      assert(n:connect("some.host.example", 8511))
      assert(n:publish("x", 1))]],
      "ran to its end; 1 node, 2 peers invented"
    )
    assert_bad(check "assert(chaski.node {}):connect '192.0.2.7:8511' nosuch()", "global 'nosuch'")
    assert_bad(check "chaski.every(5, function() nosuch() end)", "errors in handlers and tasks")
  end)

  it_async("says how far it came when the rest is up to the peers, or to time", function()
    local dialling = "local n = assert(chaski.node {}) assert(n:connect '192.0.2.7:8511') "
    assert_good(check(dialling .. "assert(n:request 'answer')"), "checked up to where it depends on its peers")
    assert_good(check(dialling .. "for _ in n:messages 'x' do end"), "at work after 60 virtual seconds")
    assert_good(check "while true do chaski.sleep(1) end", "at work after 60 virtual seconds")
    assert_good(check "chaski.sim { seed = 1 }", "checked up to its own simulation")
    assert_good(check "os.exit(0)", "ended itself")
    assert_bad(check "os.exit(3)", "ends with exit code 3")
  end)

  it_async("finds the recipes good", function()
    for name, arguments in pairs {
      chat = { "ann", "127.0.0.1:1" },
      hub = {},
      queue = {},
      receive = { "/tmp" },
      bridge = { "topic", "127.0.0.1:1" },
      worker = { "w", "127.0.0.1:1" },
      sensor = { "s", "127.0.0.1:1" },
    } do
      local process = helper.run { "--check", ("scripts/cookbook/%s.lua"):format(name), table.unpack(arguments) }
      assert.equal("", process.err)
      assert.equal(0, process.code)
    end
  end)

  if os.getenv "CHASKI_FULL" then -- ten seconds
    it(
      "gives up a main chunk that does not end",
      helper.async(function()
        local process = helper.run({ "--check", helper.file "while true do end" }, { timeout = 50 })
        assert_bad(process, "has not come to an end, nor waited, in 10 s")
      end, 60)
    )
  end
end)
