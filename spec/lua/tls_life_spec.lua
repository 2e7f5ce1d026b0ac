-- tls_life_spec.lua: certificates of nodes over time: renewal, what is told of it, edges that go on, a new root. Days
-- pass in a simulation; one test takes the seconds it takes. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local helper = require "spec.helper"
local nodes = require "spec.lua.nodes"
local rig = require "spec.lua.ca_rig"
local t = require "spec.lua.tls_rig"

local HOUR, DAY = 3600, 86400
local quiet = rig.quiet

teardown(rig.clean)

--- A test in a simulation: body(the CA, a folder for nodes, the simulation).
local function simulated(seed, body)
  return quiet(function()
    local sim <close> = chaski.sim { seed = seed }
    local ok, err = sim:run({ limit = 1e8 }, function()
      local authority, location = t.serve { ip = "10.0.0.1" }
      body(authority, location, sim)
      for _, node in ipairs(sim.nodes) do
        node:stop()
      end
      authority:close()
      return true
    end)
    assert(ok, err)
  end)
end

--- Count the edges of these nodes that end.
local function watch_edges(list)
  local ended = {}
  for _, node in ipairs(list) do
    node:on("edge_closed", function(_, reason)
      ended[#ended + 1] = node.name .. ": " .. reason
    end)
  end
  return ended
end

local function renewals(told)
  local times = {}
  for _, each in ipairs(told) do
    if each[1] == "renewed" then times[#times + 1] = each[2].not_after - HOUR end
  end
  return times
end

describe("the certificate of a node", function()
  it(
    "is renewed after two thirds of its life, give or take a tenth",
    simulated(1, function(authority, location)
      local watched, began = {}, math.floor(core.wall())
      for i = 1, 8 do
        watched[i] = t.watch(t.enrolled(authority, location, "node-" .. i, { life = HOUR }))
      end
      chaski.sleep(HOUR)
      local parts = {}
      for i, told in ipairs(watched) do
        local times = renewals(told)
        assert.equal(1, #times)
        parts[i] = (times[1] - began) / HOUR
        assert.is_true(parts[i] > 0.599 and parts[i] < 0.737, parts[i])
      end
      table.sort(parts)
      assert.is_true(parts[8] - parts[1] > 0.02, "all at once")
      assert.equal(8, authority.counters.renewed)
    end)
  )

  it(
    "is another each time, and the one that new connections are made with",
    simulated(2, function(authority, location)
      local a = t.enrolled(authority, location, "a")
      local b = t.enrolled(authority, location, "b")
      local first = a.status.tls.not_after
      chaski.sleep(DAY)
      local later = a.status.tls.not_after
      assert.is_true(later >= first + DAY / 2)
      assert.equal(2, #authority:show("a").certificates)
      assert.equal(math.min(later, b.status.tls.not_after), core.edge_expires(assert(a:connect(b))))
      assert.equal("chaski://home/a", a.status.tls.identity)
    end)
  )

  it(
    "is not renewed when the policy is off; that it ends is told",
    simulated(3, function(authority, location)
      local node = t.enrolled(authority, location, "a", nil, { renew = false })
      local told = t.watch(node)
      chaski.sleep(DAY * 0.65)
      assert.same({}, told)
      chaski.sleep(DAY * 0.03)
      assert.equal("expiring", told[1][1])
      assert.is_true(told[1][2].left <= DAY / 3 and told[1][2].left > DAY / 3 - 60)
      chaski.sleep(DAY * 0.23)
      assert.equal("expiring", told[2][1])
      assert.is_true(told[2][2].left <= DAY / 10 and told[2][2].left > DAY / 10 - 60)
      chaski.sleep(DAY)
      assert.equal(3, #told)
      assert.equal("expired", told[3][1])
      assert.equal(node.status.tls.not_after, told[3][2].not_after)
      assert.equal(0, authority.counters.renewed)
    end)
  )

  it(
    "is tried again, at growing intervals, while the CA is away",
    simulated(4, function(authority, location)
      local node = t.enrolled(authority, location, "a")
      local told, times = t.watch(node), {}
      node:on("certificate", function(what, info)
        if what == "renewal_failed" then times[#times + 1] = { core.now(), info.again, info.err.code } end
      end)
      local port = authority.port
      authority:stop()
      chaski.sleep(DAY * 0.95)
      assert.is_true(#times > 5, #times)
      assert.is_true(times[1][2] >= 45 and times[1][2] <= 75)
      for i = 2, #times do
        local waited = times[i][1] - times[i - 1][1]
        assert.is_true(waited >= times[i - 1][2] and waited < times[i - 1][2] + 30, waited)
        assert.is_true(times[i][2] <= 1.25 * HOUR)
        assert.equal("refused", times[i][3])
      end
      assert.is_true(times[#times][2] > 0.7 * HOUR)
      assert.equal(2, t.count(told, "expiring"))
      assert.equal(0, t.count(told, "renewed"))
      local again <close> = assert(chaski.ca { location = authority.location, ip = "10.0.0.1", port = port })
      assert(again:serve())
      chaski.sleep(1.3 * HOUR)
      assert.equal(1, t.count(told, "renewed"))
      assert.equal(0, t.count(told, "expired"))
      again:stop()
    end)
  )

  it(
    "is tried again sooner when its life is short",
    simulated(5, function(authority, location)
      local node = t.enrolled(authority, location, "a", { life = 600 })
      local told = t.watch(node)
      authority:stop()
      chaski.sleep(500)
      local failed = t.count(told, "renewal_failed")
      assert.is_true(failed >= 6 and failed < 60, failed)
      for _, each in ipairs(told) do
        if each[1] == "renewal_failed" then assert.is_true(each[2].again <= 1.25 * 25) end
      end
    end)
  )

  it(
    "is not renewed when it was revoked, and the reason is told",
    simulated(6, function(authority, location)
      local node = t.enrolled(authority, location, "a")
      local told = t.watch(node)
      assert.equal(1, authority:revoke "a")
      chaski.sleep(DAY * 0.8)
      assert.is_true(t.count(told, "renewal_failed") > 0)
      assert.equal("revoked", told[1][2].err.code)
      assert.equal(0, t.count(told, "renewed"))
    end)
  )

  it(
    "is renewed at once by a node that starts late",
    simulated(7, function(authority, location)
      local text = assert(authority:invite { id = "a" })
      local function start()
        return assert(chaski.node { request_ssl_certificate = text, ssl_certificates_location = location })
      end
      start():stop()
      chaski.sleep(DAY * 0.9)
      assert.equal(0, authority.counters.renewed) -- a node that is stopped does nothing
      local node = start()
      local told = t.watch(node)
      chaski.sleep(60)
      assert.equal(1, t.count(told, "renewed"))
      node:stop()
      chaski.sleep(2 * DAY)
      local again, err = chaski.node { request_ssl_certificate = text, ssl_certificates_location = location }
      assert.is_nil(again)
      assert.matches("was used before.*expired", tostring(err)) -- offline past its end: it takes a new token
      local new = assert(authority:invite { id = "a" })
      assert(chaski.node { request_ssl_certificate = new, ssl_certificates_location = location })
    end)
  )
end)

describe("the edges of nodes whose certificates are renewed", function()
  it(
    "stay, and nothing is lost: a ring of six over five lives",
    simulated(8, function(authority, location)
      local ring, got = {}, {}
      for i = 1, 6 do
        ring[i] = t.enrolled(authority, location, "node-" .. i, { life = HOUR }, { message_propagation = true })
        got[i] = 0
        ring[i]:subscribe("news", function()
          got[i] = got[i] + 1
        end)
      end
      for i, node in ipairs(ring) do
        assert(node:connect(ring[i % 6 + 1]))
      end
      chaski.sleep(1)
      local ended, sent = watch_edges(ring), 0
      for i = 1, 5 * 60 do
        assert(ring[i % 6 + 1]:publish("news", i))
        sent = sent + 1
        chaski.sleep(60)
      end
      assert.same({}, ended)
      for i = 1, 6 do
        assert.equal(sent - sent // 6, got[i]) -- not its own
        assert.equal(2, #ring[i].edges)
      end
      assert.is_true(authority.counters.renewed >= 6 * 6, authority.counters.renewed)
    end)
  )

  it(
    "stay when the connection is to be made anew in the middle of a stream",
    simulated(9, function(authority, location)
      local a = t.enrolled(authority, location, "a", { life = 600 })
      local b = t.enrolled(authority, location, "b", { life = 600 })
      local got, resumed = {}, 0
      b:subscribe("news", function(message)
        got[#got + 1] = message.data
      end)
      b:on("edge_resumed", function()
        resumed = resumed + 1
      end)
      assert(a:connect(b))
      local ended = watch_edges { a, b }
      for i = 1, 40000 do
        assert(a:publish("news", i))
        chaski.sleep(0.05)
      end
      chaski.sleep(5)
      assert.same({}, ended)
      assert.is_true(resumed >= 3, resumed)
      assert.equal(40000, #got)
      for i, each in ipairs(got) do
        if i ~= each then error(("%d instead of %d"):format(each, i)) end
      end
    end)
  )

  it(
    "stay for nodes without sessions too, but for a moment",
    simulated(10, function(authority, location)
      local options = { limits = { resume_timeout = 0 } }
      local a = t.enrolled(authority, location, "a", { life = 600 }, options)
      local b = t.enrolled(authority, location, "b", { life = 600 }, options)
      assert(a:connect(b))
      for _ = 1, 200 do
        chaski.sleep(30)
        if #a.edges == 0 then chaski.sleep(1) end
        assert.equal(1, #a.edges)
      end
    end)
  )

  it(
    "stay when the peer is out of reach at that moment, even if the policy is not to reconnect",
    simulated(13, function(authority, location, sim)
      local options = { reconnect = false }
      local a = t.enrolled(authority, location, "a", { life = 600 }, options)
      local b = t.enrolled(authority, location, "b", { life = 600 }, options)
      local edge, got, suspended = assert(a:connect(b)), 0, false
      b:subscribe("news", function()
        got = got + 1
      end)
      a:on("edge_suspended", function()
        if suspended then return end
        suspended = true
        sim:refuse(b, true)
      end)
      helper.eventually(function()
        return suspended
      end, "it is made anew", 600)
      assert(a:publish("news", 1))
      chaski.sleep(20)
      sim:refuse(b, false)
      chaski.sleep(10)
      assert.is_true(edge.live and not edge.suspended)
      assert.equal(1, got)
    end)
  )

  it(
    "end when the peer's certificate has ended and it showed no other",
    simulated(11, function(authority, location)
      local a = t.enrolled(authority, location, "a")
      local b = t.enrolled(authority, location, "b", { life = 600 }, { renew = false, reconnect = false })
      local reasons = {}
      a:on("edge_closed", function(edge, reason, detail)
        reasons[#reasons + 1] = { edge.name, reason, detail }
      end)
      assert(b:connect(a))
      chaski.sleep(590)
      assert.same({}, reasons)
      assert.equal(1, #a.edges)
      chaski.sleep(30)
      assert.same({ { "b", "certificate", "certificate has expired" } }, reasons)
      local edge, err = b:connect(a)
      assert.is_nil(edge)
      assert.equal("certificate", err.code)
    end)
  )
end)

describe("a new root", function()
  it(
    "takes over from the old one, and nothing is lost",
    simulated(12, function(authority, location)
      local line, got = {}, 0
      for i = 1, 4 do
        line[i] = t.enrolled(authority, location, "node-" .. i, { life = HOUR }, { message_propagation = true })
        if i > 1 then assert(line[i - 1]:connect(line[i])) end
      end
      line[4]:subscribe("news", function()
        got = got + 1
      end)
      chaski.sleep(1)
      local old, made = authority.pin, assert(authority:rollover { overlap = 0 })
      local ended, sent = watch_edges(line), 0
      for minute = 1, 4 * 60 do
        assert(line[1]:publish("news", minute))
        sent = sent + 1
        chaski.sleep(60)
        if minute == 75 then
          local late = t.enrolled(authority, location, "late", { life = 60 }) -- one who meets both roots
          assert(late:connect(line[2]))
          late:stop()
        end
      end
      assert.not_equal(old, authority.pin)
      assert.equal(made.pin, authority.pin)
      assert.same(
        {},
        (function()
          local wrong = {}
          for _, each in ipairs(ended) do
            if not each:find "goodbye" then wrong[#wrong + 1] = each end
          end
          return wrong
        end)()
      )
      assert.equal(sent, got)
      for _, node in ipairs(line) do
        assert.equal(0, node.status.tls.counters.refused)
        local _, roots = rig.read(location .. "/" .. node.name .. "/ca.pem"):gsub("BEGIN CERTIFICATE", "")
        assert.equal(1, roots) -- the old one has left
      end
    end)
  )
end)

describe("in real time", function()
  it(
    "all nodes renew under traffic: nothing is lost, no edge ends",
    nodes.test(
      quiet(function()
        local authority, location = t.serve()
        local list, told, got, suspended = {}, {}, {}, 0
        for i = 1, 4 do
          list[i] = t.enrolled(authority, location, "node-" .. i, { life = 10 }, { message_propagation = true })
          told[i], got[i] = t.watch(list[i]), 0
          list[i]:subscribe("news", function()
            got[i] = got[i] + 1
          end)
          list[i]:on("edge_suspended", function()
            suspended = suspended + 1
          end)
        end
        for i = 2, 4 do
          assert(list[i]:connect(list[i - 1]))
        end
        local ended, sent = watch_edges(list), 0
        local function all_have(what, n)
          for i = 1, 4 do
            if t.count(told[i], what) < n then return false end
          end
          return true
        end
        helper.eventually(function() -- until everyone has renewed, and the connections were made anew
          for _ = 1, 5 do
            assert(list[1]:publish("news", sent))
            sent = sent + 1
          end
          return all_have("renewed", 1) and suspended >= 6
        end, "all have renewed", 20)
        helper.eventually(function()
          return got[4] == sent
        end, "all is there")
        assert.same({}, ended)
        assert.same({ 0, sent, sent, sent }, got)
        for i = 1, 4 do
          assert.equal(0, t.count(told[i], "renewal_failed"))
        end
        authority:close()
      end),
      30
    )
  )

  it(
    "a script whose node is stopped comes to its end",
    helper.async(function()
      local location = rig.folder()
      local script = helper.file([[
      local chaski = require "chaski"
      assert(chaski.ca.init { location = arg[1] .. "/ca", mesh = "home" })
      local ca = assert(chaski.ca { location = arg[1] .. "/ca" })
      assert(ca:serve())
      local text = assert(ca:invite { id = "a" })
      local files = arg[1] .. "/nodes"
      local node = assert(chaski.node { request_ssl_certificate = text, ssl_certificates_location = files })
      assert(node:refresh_revocations())
      node:stop()
      ca:close()
      print "done"
    ]])
      local run = helper.run({ script, location }, { timeout = 10 })
      assert.equal("done\n", run.out, run.err)
      assert.equal("", run.err)
      assert.equal(0, run.code)
      helper.clean()
    end)
  )
end)
