-- heal_spec.lua: healing on real sockets: the option, leaves whose hub dies, and peers that lie.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local helper = require "spec.helper"
local hostile = require "spec.lua.hostile"
local nodes = require "spec.lua.nodes"
local raw = require "spec.lua.raw"
local rig = require "spec.lua.tls_rig"
local survivors = dofile "scripts/bench/survivors.lua"

local test, eventually = nodes.test, helper.eventually

local LONG = 20 -- seconds for a test in which somebody waits for turns of healing

local function entries_of(node)
  return core.node_state(node).heal.list.entries
end

describe("the option heal", function()
  it(
    "is off unless it is said",
    test(function()
      local a = nodes.node "a"
      assert.is_nil(a.status.heal)
      assert.is_nil(nodes.node("b", { heal = false }).status.heal)
    end)
  )

  it(
    "is true, a table, or the name of a module",
    test(function()
      for i, heal in ipairs { true, { active = 3 }, "chaski.heal.passive" } do
        assert.equal(0, nodes.node("n" .. i, { heal = heal }).status.heal.passive)
      end
    end)
  )

  local wrong = {
    { 7, "option 'heal': expected boolean or table" },
    { "no.such.module", "option 'heal': module 'no.such.module' not found" },
    { { actve = 3 }, "option 'heal': unknown option 'actve', did you mean 'active'?" },
    { { active = 0 }, "option 'heal': option 'active': expected integer 1..1000" },
    { { passive = 31 }, "option 'heal': option 'passive': expected integer 1..30" },
    { { choose = true }, "option 'heal': option 'choose': expected function" },
  }
  for _, case in ipairs(wrong) do
    local heal, text = table.unpack(case)
    it(
      "cannot be anything else: " .. text,
      test(function()
        helper.raises(text, chaski.node, { heal = heal, run = false })
      end)
    )
  end

  it(
    "makes heal a command of the runtime's",
    test(function()
      local a = nodes.node "a"
      assert.error_matches(function()
        a:handle("heal", print)
      end, "is one of the protocol's")
    end)
  )
end)

describe("leaves whose hub dies", function()
  it(
    "find each other",
    test(function()
      local hub, leaves = nodes.node("hub", { root = true, heal = { period = 0.5 } }), {}
      for i = 1, 4 do
        leaves[i] = nodes.node("leaf" .. i, { heal = { period = 0.5, patience = 0.1 } })
        assert(leaves[i]:connect(hub))
      end
      eventually(function()
        for _, leaf in ipairs(leaves) do
          if leaf.status.heal.passive < 3 then return false end
        end
        return true
      end, "each knows the others")
      survivors.kill(hub)
      eventually(function()
        return survivors.largest(leaves) == 4
      end, "they are one")
    end, LONG)
  )
end)

describe("a neighbour that is an original", function()
  it(
    "is never sent the command",
    test(function()
      local a, b = nodes.node("a", { heal = { period = 0.5 } }), nodes.node "b"
      local python = raw.join(a.address)
      assert(a:connect(b))
      eventually(function()
        return b.ledger.unknown >= 1
      end, "b was sent it")
      python.stream:shutdown()
      eventually(function()
        return not a:get_edge_by_name "raw"
      end, "it is gone")
      assert.is_nil(python.got:find("heal", 1, true))
      python:close()
    end, LONG)
  )
end)

-- --- hostile peers ---------------------------------------------------------------------------------------------------

--- A node with healing that never shuffles by itself, and peers that say what they like.
local function besieged(count)
  local victim, enemies = nodes.node("victim", { heal = { period = 86400 } }), {}
  for i = 1, count or 1 do
    enemies[i] = nodes.node("enemy" .. i)
    assert(enemies[i]:connect(victim))
  end
  eventually(function()
    return #victim.edges == #enemies
  end, "it has the edges")
  return victim, enemies
end

--- What was sent before has been looked at.
local function settle(enemy, victim)
  local seen
  local handle = victim:handle("settle", function()
    seen = true
  end)
  assert(enemy:write("settle", 1))
  eventually(function()
    return seen
  end, "it was heard")
  chaski.sleep(0)
  handle:remove()
end

local function peers(n, ip, port)
  local list = chaski.array {}
  for i = 1, n do
    list[i] = { name = "x" .. i, ip = ip or "127.0.0.1", port = (port or 20000) + i, age = 0 }
  end
  return list
end

local function shuffle(list, more)
  return helper.with({ kind = "shuffle", edges = 1, peers = list }, more)
end

describe("a hostile peer", function()
  it(
    "cannot fill the list alone, nor with more than sixteen at once, nor faster than it may",
    test(function()
      local victim, enemies = besieged()
      local enemy = enemies[1]
      assert(enemy:write("heal", shuffle(peers(10000))))
      assert(enemy:write("heal", shuffle(peers(17))))
      settle(enemy, victim)
      assert.equal(0, #entries_of(victim))
      for i = 1, 50 do
        assert(enemy:write("heal", shuffle(peers(16, nil, 20000 + 100 * i))))
      end
      settle(enemy, victim)
      assert.equal(15, #entries_of(victim))
      assert.is_true(victim.status.heal.ignored >= 44)
      assert.equal(1, #victim.edges)
    end)
  )

  it(
    "cannot displace what others have told",
    test(function()
      local victim, enemies = besieged(3)
      for i = 2, 3 do
        assert(enemies[i]:write("heal", shuffle(peers(7, nil, 30000 + 1000 * i))))
        settle(enemies[i], victim)
      end
      for i = 1, 6 do
        assert(enemies[1]:write("heal", shuffle(peers(16, nil, 20000 + 100 * i))))
      end
      settle(enemies[1], victim)
      local others = 0
      for _, entry in ipairs(entries_of(victim)) do
        if entry.port > 30000 then others = others + 1 end
      end
      assert.equal(14, others)
      assert.is_true(#entries_of(victim) <= 30)
    end)
  )

  it(
    "cannot name victims that a discovery could not, nor the node itself, nor its neighbours",
    test(function()
      local victim, enemies = besieged(2)
      local list = chaski.array {
        { name = "x", ip = "192.0.2.1", port = 22, age = 0 },
        { name = "x", ip = "224.0.0.1", port = 2000, age = 0 },
        { name = "x", ip = "255.255.255.255", port = 2000, age = 0 },
        { name = "x", ip = "169.254.169.254", port = 2000, age = 0 },
        { name = "x", ip = "::ffff:127.0.0.1", port = 2000, age = 0 },
        { name = "x", ip = "localhost", port = 2000, age = 0 },
        { name = "x", ip = victim.ip, port = victim.port, age = 0 },
        { name = "victim", ip = "192.0.2.1", port = 2000, age = 0 },
        { name = "enemy2", ip = "127.0.0.1", port = enemies[2].port, age = 0 },
      }
      assert(enemies[1]:write("heal", shuffle(list)))
      settle(enemies[1], victim)
      assert.equal(0, #entries_of(victim))
      assert.equal(8, victim.status.heal.ignored)
    end)
  )

  it(
    "may send anything, which is ignored",
    test(function()
      local victim, enemies = besieged()
      local enemy = enemies[1]
      local good = { name = "x", ip = "127.0.0.1", port = 2000, age = 0 }
      local function bad(field, value)
        return helper.with(good, { [field] = value })
      end
      local list = chaski.array {
        7,
        "peer",
        {},
        bad("name", ""),
        bad("name", ("x"):rep(65)),
        bad("name", "a@b"),
        bad("name", "*a"),
        bad("name", "a\n"),
        bad("port", 0),
        bad("port", 65536),
        bad("port", 2000.5),
        bad("age", -1),
        bad("age", 0 / 0),
        bad("ip", ("1"):rep(5000)),
      }
      assert(enemy:write("heal", shuffle(list)))
      for _, data in ipairs {
        7,
        {},
        { kind = 7 },
        { kind = "shuffle" },
        { kind = "shuffle", edges = -1, peers = {} },
        { kind = "no such", edges = 1, peers = {} },
      } do
        assert(enemy:write("heal", data))
      end
      assert(enemy:write_data(hostile.frame("heal", "\xc1")))
      assert(enemy:write("heal", { kind = "joined", accepted = true, edges = 1, peers = peers(3) }))
      settle(enemy, victim)
      assert.equal(0, #entries_of(victim))
      assert.is_true(victim.edges[1].live)
    end)
  )

  it(
    "has few walks told on",
    test(function()
      local victim, enemies = besieged(2)
      for i = 1, 6 do
        assert(enemies[1]:write("heal", shuffle(peers(1, nil, 20000 + 100 * i), { kind = "walk", ttl = 3 })))
      end
      assert(enemies[1]:write("heal", shuffle(peers(1), { kind = "walk", ttl = 1000000 })))
      settle(enemies[1], victim)
      settle(victim, enemies[2])
      assert.equal(4, #entries_of(victim))
      assert.equal(4, enemies[2].ledger.unknown)
    end)
  )

  it(
    "makes a node dial no more than it may",
    test(function()
      local sim <close> = chaski.sim { seed = 1 }
      assert(sim:run(function()
        local victim = assert(chaski.node {
          name = "victim",
          heal = {
            patience = 0,
            floor = function()
              return 5
            end,
          },
        })
        for i = 1, 10 do
          local enemy = assert(chaski.node { name = "enemy" .. i })
          assert(enemy:connect(victim))
          chaski.every(1, function()
            local list = chaski.array {}
            for k = 1, 16 do
              local ip = ("10.%d.%d.1"):format(i + 100, chaski.random(250))
              list[k] = { name = "x" .. k, ip = ip, port = 2000 + chaski.random(5), age = 0 }
            end
            enemy:write("heal", shuffle(list))
          end)
          if i > 1 then enemy:stop() end
        end
        chaski.sleep(100)
        local dials = victim.status.heal.dials
        assert.is_true(dials > 20 and dials <= 8 + 2 * 100, dials .. " dials")
        assert.is_true(victim.status.heal.passive <= 30)
        return true
      end))
    end, LONG)
  )
end)

describe("over TLS", function()
  it(
    "a node that is not who it was said to be is no neighbour",
    test(function()
      local root = rig.root()
      local function secure(name, options)
        options = options or {}
        options.name, options.tls, options.reconnect = name, rig.context(root, name), false
        return assert(chaski.node(options))
      end
      local a = secure("a", { heal = { patience = 0.1 } })
      local b, honest, impostor = secure "b", secure "honest", secure "impostor"
      assert(b:connect(a))
      local list = chaski.array {
        { name = "d", ip = "127.0.0.1", port = impostor.port, age = 0 },
        { name = "honest", ip = "127.0.0.1", port = honest.port, age = 0 },
      }
      assert(b:write("heal", shuffle(list)))
      settle(b, a)
      survivors.kill(b)
      eventually(function()
        return a:get_edge_by_name "honest" and a.status.heal.dials == 2 and a.status.heal.faded == 1
      end, "both were dialled", 10)
      assert.equal(0, #impostor.edges)
    end, LONG)
  )
end)
