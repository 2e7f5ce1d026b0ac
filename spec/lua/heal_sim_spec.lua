-- heal_sim_spec.lua: healing on the virtual network: most nodes die at once, a network is cut in two, an edge is lost
-- for a moment. With CHASKI_FULL=1 a thousand nodes, and several seeds. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local helper = require "spec.helper"
local survivors = dofile "scripts/bench/survivors.lua"

local quick = helper.slowness == 1 -- neither valgrind nor the like
local full = quick and os.getenv "CHASKI_FULL" ~= nil
local NODES, SEEDS = full and 1000 or quick and 200 or 40, full and 5 or 1
local MESH = quick and 40 or 12 -- nodes

local level = chaski.log.level()
setup(function()
  chaski.log.level "error"
end) -- every edge that is lost is a warning
teardown(function()
  chaski.log.level(level)
end)

local function it_async(name, test)
  it(name, helper.async(test, full and 1200 or 60))
end

--- A test whose body runs in a simulation.
local function it_runs(name, test)
  it_async(name, function()
    local sim <close> = chaski.sim { seed = 1, delay = 0.005, jitter = 0.005 }
    assert(sim:run(function()
      test(sim)
      return true
    end))
  end)
end

local function play(part, seed, heal, nodes)
  return survivors.play { nodes = nodes or NODES, part = part, seed = seed, node = { heal = heal ~= false } }
end

describe("survivors of a disaster", function()
  for _, case in ipairs(quick and { { 0.5, 1 }, { 0.8, 0.99 }, { 0.9, 0.98 } } or { { 0.8, 0.99 } }) do
    local part, wanted = table.unpack(case)
    it_async(("hang together again within 30 s when %g %% of the nodes have died"):format(100 * part), function()
      local sum = 0
      for seed = 1, SEEDS do
        local result = play(part, seed)
        sum = sum + result.after
        assert.is_true(result.heard >= result.after, "a message does not reach them all")
        assert.is_true(result.most <= 16, ("a node has %d edges"):format(result.most))
      end
      assert.is_true(sum / SEEDS >= wanted, ("%.4f of them"):format(sum / SEEDS))
    end)
  end

  it_async("are in pieces without healing", function()
    assert.is_true(play(0.8, 1, false).after < 0.8)
  end)

  it_async("do the same for the same seed", function()
    assert.equal(play(0.5, 3, true, 40).trace, play(0.5, 3, true, 40).trace)
  end)
end)

local function mesh(n, heal, more)
  return survivors.network(n, { seed = 1, node = helper.with({ heal = heal }, more) })
end

local function expect_together(nodes, seconds)
  local deadline = chaski.now() + seconds
  while survivors.largest(nodes) < #nodes do
    assert(chaski.now() < deadline, ("%d of %d after %g s"):format(survivors.largest(nodes), #nodes, seconds))
    chaski.sleep(0.5)
  end
end

local function dials_of(nodes)
  local dials = 0
  for _, node in ipairs(nodes) do
    dials = dials + node.status.heal.dials
  end
  return dials
end

describe("a network", function()
  for _, seconds in ipairs(quick and { 60, 1800 } or { 60 }) do
    it_runs(("that was cut in two for %d s is one again, by healing alone"):format(seconds), function(sim)
      local nodes, left, right = mesh(MESH, true, { reconnect = false }), {}, {}
      chaski.sleep(60)
      for i, node in ipairs(nodes) do
        table.insert(i % 2 == 0 and left or right, node)
      end
      sim:partition(left, right)
      chaski.sleep(seconds)
      expect_together(left, 60)
      expect_together(right, 60)
      assert.is_true(survivors.largest(nodes) <= MESH // 2)
      sim:partition(left, right, false)
      expect_together(nodes, 120)
      chaski.sleep(120)
      expect_together(nodes, 1)
      local most = survivors.degrees(nodes)
      assert.is_true(most <= 16, ("a node has %d edges"):format(most))
      assert.equal(#nodes - 1, survivors.heard(nodes, 10))
    end)
  end

  it_runs("that loses nothing dials nobody", function()
    local nodes = mesh(MESH, true)
    chaski.sleep(quick and 250 or 60)
    assert.equal(0, dials_of(nodes))
    for _, node in ipairs(nodes) do
      assert.is_true(node.status.heal.passive >= MESH // 4)
    end
  end)

  it_runs("leaves an edge that is lost for a moment to who reconnects", function(sim)
    local nodes = mesh(MESH, true)
    chaski.sleep(30)
    for _ = 1, 20 do
      for i = 1, MESH, 4 do
        sim:cut(nodes[i].edges[1])
      end
      chaski.sleep(4)
    end
    assert.equal(0, dials_of(nodes))
  end)
end)

describe("leaves of a hub", function()
  local function star(heal)
    local hub, leaves = assert(chaski.node { name = "hub", root = true, heal = heal, ip = "10.0.0.1" }), {}
    for i = 1, 12 do
      leaves[i] = assert(chaski.node { name = "leaf" .. i, heal = heal, ip = ("10.1.%d.1"):format(i) })
      assert(leaves[i]:connect(hub))
    end
    return hub, leaves
  end

  it_runs("stay leaves as long as there is the hub", function()
    local _, leaves = star(true)
    chaski.sleep(quick and 300 or 60)
    for _, leaf in ipairs(leaves) do
      assert.equal(1, #leaf.edges)
      assert.equal(1, leaf.status.heal.floor)
    end
  end)

  it_runs("are a mesh when it has died, or stopped", function()
    for _, ending in ipairs { "kill", "stop" } do
      local hub, leaves = star(true)
      chaski.sleep(60)
      if ending == "kill" then
        survivors.kill(hub)
      else
        hub:stop()
      end
      chaski.sleep(1)
      expect_together(leaves, 30)
      chaski.sleep(60)
      local most = survivors.degrees(leaves)
      assert.is_true(most <= 8, ("one has %d edges"):format(most))
      for _, leaf in ipairs(leaves) do
        leaf:stop()
      end
    end
  end)

  it_runs("that leave it themselves do not come back", function()
    local _, leaves = star(true)
    chaski.sleep(30)
    for _, leaf in ipairs(leaves) do
      leaf.edges[1]:close()
    end
    chaski.sleep(300)
    for _, leaf in ipairs(leaves) do
      assert.equal(0, #leaf.edges)
      assert.equal(0, leaf.status.heal.dials)
    end
  end)

  it_runs("that have no healing never speak of it, and a hub that has soon asks them seldom", function()
    local hub = assert(chaski.node { name = "hub", heal = true, ip = "10.0.0.1" })
    local leaf = assert(chaski.node { name = "leaf", ip = "10.0.1.1" })
    local edge = assert(leaf:connect(hub))
    chaski.sleep(quick and 1000 or 200)
    assert.is_true(edge.live)
    assert.is_nil(leaf.status.heal)
    assert.is_nil(core.node_state(leaf).heal)
    assert.equal(0, hub.status.heal.passive)
    local asked = leaf.ledger.unknown
    assert.is_true(asked >= 3 and asked <= 40, ("asked %d times"):format(asked))
  end)
end)

describe("a node that dials in a repair", function()
  --- A full node, one that needs an edge and knows only that node, and how many edges the full one has then.
  local function knock(needs, given)
    given = given or {}
    local host = assert(chaski.node { name = "full", heal = given.full or true, ip = "10.9.0.1", max_connections = 2 })
    for i = 1, given.edges or 2 do
      assert(assert(chaski.node { name = "friend" .. i, ip = ("10.8.%d.1"):format(i) }):connect(host))
    end
    local heal = { floor = needs.floor, patience = 0, active = 4 }
    local needy = assert(chaski.node { name = "needy", heal = heal, ip = "10.7.0.1" })
    for i = 1, needs.edges do
      assert(needy:connect(assert(chaski.node { name = "other" .. i, ip = ("10.6.%d.1"):format(i) })))
    end
    core.node_state(needy).heal.list:add("full", host.ip, host.port, core.now(), "")
    chaski.sleep(20)
    return #host.edges, host, needy
  end

  local function floor(n)
    return function()
      return n
    end
  end

  it_runs("is refused by one with as many edges as it may have, which tells it of others", function()
    local edges, host, needy = knock { edges = 3, floor = floor(4) }
    assert.equal(2, edges)
    assert.equal(1, host.status.heal.refused)
    assert.equal(2, needy.status.heal.dials)
    assert.equal(1, needy.status.heal.repaired)
    assert.truthy(needy.edges[4].name:find "^friend")
  end)

  it_runs("is taken by one that has room", function()
    assert.equal(2, (knock({ edges = 3, floor = floor(4) }, { edges = 1 })))
  end)

  it_runs("is taken by a full one if it is in need", function()
    assert.equal(3, (knock { edges = 1, floor = floor(4) }))
  end)

  it_runs("is refused even in need by one that is three beyond", function()
    assert.equal(5, (knock({ edges = 1, floor = floor(4) }, { edges = 5 })))
  end)

  it_runs("is what the policy of the other says", function()
    local joins = {}
    local policy = {
      accept = function(node, join, edge)
        joins[#joins + 1] = { node.name, join.urgent, edge.name }
        return false
      end,
    }
    assert.equal(0, (knock({ edges = 1, floor = floor(4) }, { edges = 0, full = policy })))
    assert.same({ "full", true, "needy" }, joins[1])
  end)
end)

describe("a peer that comes, says where it can be dialled, and goes", function()
  local function besieged(heal)
    local victim = assert(chaski.node { name = "victim", ip = "10.0.0.1", heal = heal })
    return victim, core.node_state(victim).heal
  end

  --- It says that it is at ip:port.
  local function come(victim, name, ip, port)
    local enemy = assert(chaski.node { name = name, ip = "10.66.6.6", port = port, advertise = ip, reconnect = false })
    return enemy, assert(enemy:connect(victim))
  end

  local function names_of(heal)
    local names = {}
    for _, entry in ipairs(heal.list.entries) do
      names[#names + 1] = entry.name
    end
    return table.concat(names, " ")
  end

  it_runs("fills no more of the list than by telling, and displaces nobody", function()
    local victim, heal = besieged(true)
    local told = 0
    for i = 1, 14 do
      heal.list:add("told" .. i, ("10.2.%d.1"):format(i), 2000, core.now(), "10.3.0." .. i // 8)
    end
    for i = 1, 40 do
      local enemy = come(victim, "enemy" .. i, ("10.4.%d.1"):format(i), 3000 + i)
      if i % 8 > 0 then
        enemy.edges[1]:close()
        chaski.sleep(0.1)
      end
      survivors.kill(enemy)
    end
    chaski.sleep(150) -- until the lost ones are given up
    assert.equal(0, #victim.edges)
    local names = names_of(heal)
    for _ in names:gmatch "told%d+" do
      told = told + 1
    end
    assert.equal(14, told, names)
    assert.equal(14 + 15, #heal.list.entries, names)
  end)

  it_runs("takes no other's place in the list", function()
    local victim, heal = besieged(true)
    heal.list:add("honest", "10.2.0.1", 2000, core.now(), "10.3.0.1")
    local enemy = come(victim, "enemy", "10.2.0.1", 2000)
    enemy.edges[1]:close()
    chaski.sleep(1)
    assert.matches("honest", names_of(heal))
  end)

  it_runs("does not keep a node from healing", function()
    local victim, heal = besieged { patience = 3600 }
    local friends = {}
    for i = 1, 4 do
      friends[i] = assert(chaski.node { name = "friend" .. i, ip = ("10.5.%d.1"):format(i) })
      assert(friends[i]:connect(victim))
    end
    friends[1].edges[1]:close()
    chaski.sleep(1)
    assert.equal(3, heal.had)
    for i = 2, 4 do
      survivors.kill(friends[i])
    end
    chaski.sleep(150) -- until they are given up
    for round = 1, 3 do
      local enemies = {}
      for i = 1, 3 do
        enemies[i] =
          come(victim, ("enemy%d_%d"):format(round, i), ("10.4.%d.%d"):format(round, i), 3000 + 10 * round + i)
      end
      for i = 1, 3 do
        enemies[i].edges[1]:close()
        chaski.sleep(0.1)
      end
    end
    chaski.sleep(2)
    assert.equal(0, #victim.edges)
    assert.equal(3, victim.status.heal.floor)
  end)
end)
