-- revocation_spec.lua: revocation lists over the mesh: a revoked node is cut off everywhere, soon; what is old, wrong
-- or none at all changes nothing. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local helper = require "spec.helper"
local nodes = require "spec.lua.nodes"
local rig = require "spec.lua.ca_rig"
local t = require "spec.lua.tls_rig"

local quiet = rig.quiet
local pki = core.pki

teardown(rig.clean)

local root, other

setup(function()
  root, other = t.root "root", t.root "other"
end)

--- A node that was not enrolled: its certificate is of the root above.
local function node(name, options, more)
  options = options or {}
  local issued
  options.tls, issued = t.context(root, name, nil, more)
  options.reconnect = false
  return assert(chaski.node(options)), issued
end

local function number(each)
  return each.status.tls.revocations.number
end
local function refused(each)
  return each.status.tls.revocations.refused
end

local function eventually_number(each, n)
  helper.eventually(function()
    return number(each) == n
  end, ("list %d at %s"):format(n, each.name))
end

--- Send lists as a peer would.
local function send(from, ...)
  local lists = core.array {}
  for i, der in ipairs { ... } do
    lists[i] = der:find "BEGIN" and der or t.to_pem(der)
  end
  assert(core.write(from, "revocations", { lists = lists }))
end

--- A line of nodes, each connected to the next.
local function line(n, make)
  local list = {}
  for i = 1, n do
    list[i] = make(i)
    if i > 1 then assert(list[i]:connect(list[i - 1])) end
  end
  return list
end

describe("a revocation list", function()
  it(
    "reaches every node, and a revoked one is cut off: over ten hops within two seconds",
    t.test(function()
      local list = line(11, function(i)
        return (node("node-" .. i))
      end)
      local bad, issued = node "bad"
      assert(bad:connect(list[11]))
      assert(bad:connect(list[6]))
      local reasons = {}
      for _, each in ipairs(list) do
        each:on("edge_closed", function(edge, reason, detail)
          reasons[#reasons + 1] = ("%s %s %s %s"):format(each.name, edge.name, reason, detail)
        end)
      end
      local source = node "source"
      assert(source:connect(list[1]))
      local began = core.now()
      send(source, t.revoke(root, 1, { issued.serial }))
      helper.eventually(function()
        return #reasons == 2
      end, "both edges are closed")
      assert.is_true(core.now() - began < 2 * helper.slowness, core.now() - began)
      table.sort(reasons)
      assert.same(
        { "node-11 bad certificate certificate was revoked", "node-6 bad certificate certificate was revoked" },
        reasons
      )
      for _, each in ipairs(list) do
        eventually_number(each, 1)
      end
      local edge, err = bad:connect(list[3])
      assert.is_nil(edge)
      assert.equal("certificate", err.code)
      assert.is_true(list[3].status.tls.counters.revoked > 0)
      assert.equal(
        20,
        (function()
          local edges = 0
          for _, each in ipairs(list) do
            for _, to in ipairs(each.edges) do
              edges = edges + (to.name:find "node" and 1 or 0)
            end
          end
          return edges
        end)()
      )
    end, 20)
  )

  it(
    "is told to who comes later, by whoever has the newer one",
    t.test(function()
      local a, b, c = node "a", node "b", node "c"
      local source = node("source", nil, { crl = t.revoke(root, 7, { "01" }) })
      assert.equal(7, number(source))
      assert(source:connect(a))
      eventually_number(a, 7)
      source:stop()
      assert(b:connect(a)) -- who dials gets it,
      eventually_number(b, 7)
      assert(b:connect(c)) -- and who is dialled
      eventually_number(c, 7)
    end)
  )

  it(
    "goes round a cycle once",
    t.test(function()
      local ring = line(5, function(i)
        return (node("node-" .. i))
      end)
      assert(ring[1]:connect(ring[5]))
      local source = node "source"
      assert(source:connect(ring[1]))
      chaski.sleep(0)
      local before = {}
      send(source, t.revoke(root, 1, { "01" }))
      for i, each in ipairs(ring) do
        eventually_number(each, 1)
        before[i] = each.ledger.frames_out
      end
      chaski.sleep(0.1)
      for i, each in ipairs(ring) do
        assert.is_true(each.ledger.frames_out - before[i] < 20)
      end
    end)
  )

  it(
    "that is older, or the same, changes nothing",
    t.test(function()
      local a, source = node "a", node "source"
      assert(source:connect(a))
      send(source, t.revoke(root, 5, { "01" }))
      eventually_number(a, 5)
      local _, peer = node "peer"
      send(source, t.revoke(root, 4, { peer.serial }))
      send(source, t.revoke(root, 5, { peer.serial }))
      send(source, t.revoke(root, 6, {}))
      eventually_number(a, 6)
      assert.equal(0, refused(a))
    end)
  )

  it(
    "takes a revocation back only by a newer list",
    t.test(function()
      local a, source = node "a", node "source"
      local peer, issued = node "peer"
      assert(source:connect(a))
      send(source, t.revoke(root, 1, { issued.serial }))
      eventually_number(a, 1)
      assert.is_nil((peer:connect(a)))
      send(source, t.revoke(root, 2, {}))
      eventually_number(a, 2)
      assert(peer:connect(a))
    end)
  )
end)

describe("what is no revocation list", function()
  --- Nothing of it is believed: number and edges stay, and the edge it came by too.
  local function harmless(name, wrong, expected)
    it(
      name,
      t.test(function()
        local a, source = node "a", node "source"
        local edge = assert(source:connect(a))
        for _, data in ipairs(wrong()) do
          assert(core.write(source, "revocations", data))
        end
        assert(source:ping(edge))
        helper.eventually(function()
          return refused(a) == expected
        end, expected .. " refused, not " .. refused(a))
        assert.equal(0, number(a))
        assert.is_true(edge.live)
        assert.is_true(a.running)
        send(source, t.revoke(root, 1, { "01" }))
        eventually_number(a, 1)
      end)
    )
  end

  harmless("is one that another root has signed", function()
    return { { lists = core.array { t.to_pem(t.revoke(other, 9, { "01" })) } } }
  end, 1)

  harmless("is one that a member has signed, or nobody, or one that was changed", function()
    local member = assert(pki.key())
    local now = math.floor(core.wall())
    local impostor = assert(pki.read_certificate(assert(pki.certificate {
      subject = { CN = "root" },
      not_before = now - 60,
      not_after = now + 3600,
      authority = true,
      key = member,
    })))
    local forged = assert(pki.crl {
      number = 9,
      serials = { "01" },
      this_update = now - 60,
      next_update = now + 60,
      issuer = impostor,
      issuer_key = member,
    })
    local good = t.revoke(root, 9, { "0102030405" })
    local at = assert(good:find("\1\2\3\4\5", 1, true))
    local changed = good:sub(1, at) .. "\7" .. good:sub(at + 2)
    return { { lists = core.array { t.to_pem(forged), t.to_pem(changed) } } }
  end, 2)

  harmless("is anything else", function()
    local good = t.to_pem(t.revoke(root, 9, { "01" }))
    return {
      core.map {},
      { lists = 7 },
      { lists = core.array {} },
      { lists = core.array { 7, false } },
      { lists = core.array { "", "garbage" } },
      { lists = core.map { x = good } },
      { lists = core.array { "-----BEGIN X509 CRL-----\n!!!!\n-----END X509 CRL-----\n" } },
      { lists = core.array { good:sub(1, -40) } },
      { lists = core.array { (good:gsub("CRL", "CRL ")) } },
      { numbers = 7 },
      { numbers = core.map { x = "y" } },
      { numbers = core.map { [("0"):rep(64)] = -1 } },
    }
  end, 1)

  it(
    "is bounded: two lists of a frame, some frames a second",
    t.test(function()
      local a, source = node "a", node "source"
      assert(source:connect(a))
      local wrong = t.to_pem(t.revoke(other, 9, { "01" }))
      send(source, wrong, wrong, wrong, wrong)
      helper.eventually(function()
        return refused(a) > 0
      end)
      assert.equal(2, refused(a))
      for _ = 1, 200 do
        send(source, wrong)
      end
      helper.eventually(function()
        return a.status.tls.revocations.dropped > 150
      end, "frames are dropped")
      assert.is_true(refused(a) < 40, refused(a))
    end)
  )

  it(
    "is what a node in clear is sent",
    t.test(function()
      local a, b = nodes.pair()
      assert(core.write(a, "revocations", { lists = core.array { "x" } }))
      assert(a:ping(a.edges[1]))
      assert.is_nil(b.status.tls)
      assert.equal(1, b.ledger.unknown)
      assert.error_matches(function()
        a:handle("revocations", print)
      end, "one of the protocol's")
    end)
  )
end)

describe("a node that has enrolled", function()
  it(
    "asks the CA, tells the mesh, and keeps what it heard for its next start",
    t.test(function()
      local authority, location = t.serve()
      local list = line(3, function(i)
        return t.enrolled(authority, location, "node-" .. i)
      end)
      local bad = t.enrolled(authority, location, "bad", nil, { reconnect = false })
      assert(bad:connect(list[3]))
      local before = number(list[1])
      assert.is_true(before > 0) -- of its enrolment
      assert.equal(1, authority:revoke "bad")
      assert.equal(before, number(list[1]))
      assert.equal(before + 1, list[1]:refresh_revocations())
      helper.eventually(function()
        return not list[3]:is_connected_to(bad)
      end, "it is cut off")
      for i, each in ipairs(list) do
        eventually_number(each, before + 1)
        local pem = rig.read(("%s/node-%d/crl.pem"):format(location, i))
        helper.eventually(function()
          pem = rig.read(("%s/node-%d/crl.pem"):format(location, i))
          return pki.check_crl(pem, authority:bundle()).number == before + 1
        end, "kept by node " .. i)
      end
      list[3]:stop()
      authority:stop() -- it starts from its files
      local again = assert(chaski.node {
        request_ssl_certificate = assert(authority:invite { id = "node-3", address = "127.0.0.1:1" }),
        ssl_certificates_location = location,
      })
      assert.equal(before + 1, number(again))
      assert.is_nil((bad:connect(again)))
      authority:close()
    end, 20)
  )

  it(
    "asks by itself at the interval it was told",
    t.test(function()
      local authority, location = t.serve()
      local list = line(2, function(i)
        return t.enrolled(authority, location, "node-" .. i, nil, { revocation_interval = i == 1 and 0.2 or nil })
      end)
      local bad = t.enrolled(authority, location, "bad", nil, { reconnect = false })
      assert(bad:connect(list[2]))
      authority:revoke "bad"
      helper.eventually(function()
        return not list[2]:is_connected_to(bad)
      end, "it is cut off")
      authority:stop()
      chaski.sleep(0.5) -- an absent CA is no harm
      assert.equal(1, #list[1].edges)
      authority:close()
    end, 20)
  )

  it(
    "is told of lists by a node that was away for a while, when that has renewed",
    quiet(function()
      local sim <close> = chaski.sim { seed = 21 }
      assert(sim:run({ limit = 1e7 }, function()
        local authority, location = t.serve { ip = "10.0.0.1" }
        local a, b = t.enrolled(authority, location, "a"), t.enrolled(authority, location, "b", nil, { renew = false })
        local bad = t.enrolled(authority, location, "bad", nil, { reconnect = false })
        assert(a:connect(b))
        assert(bad:connect(b))
        authority:revoke "bad"
        chaski.sleep(0.5 * 86400)
        assert.equal(2, #b.edges)
        chaski.sleep(0.25 * 86400) -- a renews, and so hears of it
        assert.equal(1, #b.edges)
        assert.equal(number(a), number(b))
        for _, each in ipairs(sim.nodes) do
          each:stop()
        end
        authority:close()
        return true
      end))
    end)
  )

  it(
    "cannot ask when it does not know whom",
    t.test(function()
      local a, plain = node "a", nodes.node "plain"
      local result, err = a:refresh_revocations()
      assert.is_nil(result)
      assert.equal("no_address", err.code)
      result, err = plain:refresh_revocations()
      assert.is_nil(result)
      assert.equal("certificate", err.code)
      result, err = a:refresh_revocations { address = "127.0.0.1:1", timeout = 1 }
      assert.is_nil(result)
      assert.equal("refused", err.code)
      assert.error_matches(function()
        a:refresh_revocations { adress = "x" }
      end, "did you mean 'address'")
      local authority = t.serve() -- another CA than the one whose root it trusts
      result, err = a:refresh_revocations { address = authority.address }
      assert.is_nil(result)
      assert.equal("certificate", err.code)
      authority:close()
    end)
  )
end)

describe("in a simulation", function()
  it(
    "a revoked node is out of reach of a mesh in less than two seconds",
    quiet(function()
      local sim <close> = chaski.sim { seed = 22, delay = 0.05, jitter = 0.02 }
      assert(sim:run(function()
        root = t.root "root" -- of this world's time
        local list = line(11, function(i)
          return (node("node-" .. i))
        end)
        local bad, issued = node "bad"
        for _, each in ipairs(list) do
          assert(bad:connect(each))
        end
        chaski.sleep(1)
        send(list[1], t.revoke(root, 1, { issued.serial }))
        chaski.sleep(2)
        for i = 2, 11 do
          assert.equal(1, number(list[i]))
          assert.is_false(list[i]:is_connected_to(bad))
        end
        return true
      end))
    end)
  )
end)
