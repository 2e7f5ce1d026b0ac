-- discovery_spec.lua: finding peers (PROTOCOL A.7, B.8): the scenarios of the original's own tests, policies, and what
-- hostile requests may cost (RELIABILITY T13, T14). SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local guard = require "chaski.discovery.guard"
local helper = require "spec.helper"
local hostile = require "spec.lua.hostile"
local nodes = require "spec.lua.nodes"
local random_walk = require "chaski.discovery.random_walk"

local test, eventually = nodes.test, helper.eventually

local function hub()
  return nodes.node("hub", { root = true, port = chaski.get_free_port() })
end

local function member(name, topics, options)
  options = options or {}
  options.subscriptions = topics
  return nodes.node(name, options)
end

local function names(edges)
  local list = {}
  for i, edge in ipairs(edges) do
    list[i] = edge.name
  end
  table.sort(list)
  return table.concat(list, " ")
end

--- Nodes of a line, each connected to the next.
local function line(...)
  local list = { ... }
  for i = 2, #list do
    assert(list[i - 1]:connect(list[i]))
  end
  for i, node in ipairs(list) do
    eventually(function()
      return #node.edges == ((i == 1 or i == #list) and 1 or 2)
    end, "the line is there")
  end
  return list
end

describe("two of a kind at a hub", function()
  local function arranged(paired)
    local root, first, second = hub(), member("first", "s", { paired = paired }), member("second", "s")
    assert(first:connect(root))
    assert(second:connect(root))
    return root, first, second
  end

  it(
    "are paired, and both stay at the hub with on_pair none",
    test(function()
      local root, first, second = arranged(true)
      local found, alone = assert(second:discovery { on_pair = "none", timeout = 4 })
      assert.is_nil(alone)
      assert.equal("first", found.s.name)
      assert.is_true(found.s.paired)
      assert.is_true(second.paired)
      assert.is_true(second:paired_for "s")
      assert.equal("first hub", names(second.edges))
      assert.equal("hub second", names(first.edges))
      assert.equal(2, #root.edges)
      assert.equal(found.s, assert(second:discovery()).s)
    end)
  )

  it(
    "are paired, and who has asked leaves the hub with on_pair disconnect",
    test(function()
      local root, first, second = arranged(true)
      assert.equal("first", assert(second:discovery { on_pair = "disconnect", timeout = 4 }).s.name)
      eventually(function()
        return #root.edges == 1
      end, "it has left")
      assert.equal("first", names(second.edges))
      assert.equal("first", names(root.edges))
      assert.equal("hub second", names(first.edges))
    end)
  )

  it(
    "are paired when both ask at once",
    test(function()
      local root, first, second = arranged(false)
      local given = { on_pair = "disconnect", timeout = 4 }
      local tasks = { chaski.spawn(first.discovery, first, given), chaski.spawn(second.discovery, second, given) }
      for _, task in ipairs(tasks) do
        local _, found, alone = task:join()
        assert.is_nil(alone)
        assert.is_true(found.s.live)
      end
      eventually(function()
        return #root.edges == 0
      end, "both have left")
      assert.equal("second", names(first.edges))
      assert.equal("first", names(second.edges))
      assert.is_true(first.paired and second.paired)
    end)
  )

  it(
    "are paired by connect with discovery",
    test(function()
      local root, first, second = hub(), member("first", "s", { paired = true }), member("second", "s")
      assert(first:connect(root))
      local edge = assert(second:connect(root, { discovery = true, discovery_timeout = 4 }))
      assert.equal("first", edge.name) -- the edge that remains: the hub is left
      assert.is_true(edge.live)
      assert.is_true(second:is_connected_to(first))
      assert.is_false(second:is_connected_to(root))
    end)
  )
end)

describe("a discovery", function()
  it(
    "of six nodes at a hub pairs each with the first, within its max_connections",
    test(function()
      local root, first = hub(), member("first", "s", { paired = true, max_connections = 6 })
      assert(first:connect(root))
      local all = {}
      for i = 1, 6 do
        local node = member("node-" .. i, "s")
        all[i] = node
        assert(node:connect(root))
        local found, alone = assert(node:discovery { on_pair = "disconnect", timeout = 4 })
        assert.is_nil(alone)
        assert.is_true(found.s.live)
        eventually(function()
          return node:is_connected_to(first)
        end, "it is paired with the first")
      end
      eventually(function()
        return #root.edges == 1
      end, "all have left the hub")
      for _, node in ipairs(all) do
        assert.is_true(node.paired and node:is_connected_to(first) and not node:is_connected_to(root))
      end
      assert.equal(7, #first.edges)
      local late = member("late", "s", { discovery = { accept = function() end } })
      assert(late:connect(first:get_edge_by_name("hub").address))
      core.node_state(root).discovery.remembered = {} -- nobody but the first is to be asked
      core.node_state(root).discovery.topics = 0
      local found, alone = assert(late:discovery { timeout = 0.3 })
      assert.is_nil(found.s)
      assert.same({ "s" }, alone)
      assert.is_false(late:is_connected_to(first))
    end, 20)
  )

  it(
    "finds a peer for each of two subscriptions, one after the other",
    test(function()
      local root = hub()
      local p, q = member("p", "a", { paired = true }), member("q", "b", { paired = true })
      local node = member("node", "a")
      for _, each in ipairs { p, q, node } do
        assert(each:connect(root))
      end
      assert.equal("p", assert(node:discovery { timeout = 4 }).a.name)
      assert.is_true(node.paired)
      node:subscribe "b"
      assert.is_false(node.paired)
      local found = assert(node:discovery { timeout = 4 })
      assert.equal("p", found.a.name)
      assert.equal("q", found.b.name)
      assert.equal("hub p q", names(node.edges))
    end)
  )

  it(
    "finds a peer for each of two subscriptions at once, also when it is the same",
    test(function()
      local root = hub()
      local p, q = member("p", { "a", "c" }, { paired = true }), member("q", "b", { paired = true })
      local node = member("node", { "a", "b", "c" })
      for _, each in ipairs { p, q, node } do
        assert(each:connect(root))
      end
      local found, alone = assert(node:discovery { on_pair = "disconnect", timeout = 4 })
      assert.is_nil(alone)
      assert.equal("p", found.a.name)
      assert.equal("q", found.b.name)
      assert.equal("p", found.c.name)
      eventually(function()
        return names(node.edges) == "p q"
      end, "it has left the hub")
    end)
  )

  it(
    "walks over nodes that are no roots and do not subscribe",
    test(function()
      local o, p = member("o", "s"), member("p", "s", { paired = true })
      line(o, nodes.node "x", nodes.node "y", nodes.node "z", p)
      assert.equal("p", assert(o:discovery { timeout = 4 }).s.name)
      assert.equal("p x", names(o.edges))
    end)
  )

  it(
    "goes no further than its ttl",
    test(function()
      local o, p = member("o", "s", { ttl = 2 }), member("p", "s", { paired = true })
      local asked = 0
      local x, y, z = nodes.node "x", nodes.node "y", nodes.node "z"
      line(o, x, y, z, p)
      core.handle_at(z, "discovery", function()
        asked = asked + 1
      end)
      local found, alone = assert(o:discovery { timeout = 0.2 })
      assert.is_nil(found.s)
      assert.same({ "s" }, alone)
      assert.equal(0, asked)
    end)
  )

  it(
    "costs each edge of a dense graph two frames at most",
    test(function()
      local all, frames = {}, 0
      for i = 1, 6 do
        all[i] = i == 6 and member("o", "s") or nodes.node("n" .. i)
        local receive = core.node_state(all[i])
        assert.is_table(receive)
        for j = 1, i - 1 do
          assert(all[i]:connect(all[j]))
        end
      end
      local write = core.write
      core.write = function(node, command, ...)
        if command == "discovery" then frames = frames + 1 end
        return write(node, command, ...)
      end
      local ok, err = pcall(all[6].discovery, all[6], { timeout = 0.3 })
      core.write = write
      assert(ok, err)
      assert.is_true(frames >= 5 and frames <= 2 * 15, frames .. " frames")
    end)
  )

  it(
    "that nobody answers makes the node the first of its kind, which answers the next",
    test(function()
      local root, first = hub(), member("first", { "s", "t" })
      assert(first:connect(root))
      assert.is_false(first.paired)
      local found, alone = assert(first:discovery { timeout = 0.1 })
      assert.is_nil(next(found))
      assert.same({ "s", "t" }, alone)
      assert.is_true(first.paired)
      local second = member("second", "s")
      assert(second:connect(root))
      assert.equal("first", assert(second:discovery { timeout = 4 }).s.name)
    end)
  )

  it(
    "of two nodes, one after the other, that share nothing pairs nobody",
    test(function()
      local root, a, b = hub(), member("a", "s"), member("b", "t", { paired = true })
      assert(a:connect(root))
      assert(b:connect(root))
      local _, alone = assert(a:discovery { timeout = 0.1 })
      assert.same({ "s" }, alone)
      assert.equal("hub", names(a.edges))
    end)
  )

  it(
    "is not made where it cannot be",
    test(function()
      local root, node = hub(), member("node", "s")
      local _, err = root:discovery()
      assert.equal("forbidden", err.code)
      assert.equal("no_edge", select(2, node:discovery()).code)
      local edge = assert(node:connect(root))
      eventually(function()
        return #root.edges == 1
      end)
      assert.error_matches(function()
        node:discovery { on_pair = "leave" }
      end, "option 'on_pair': expected 'none', 'disconnect', got string 'leave'")
      assert.error_matches(function()
        node:discovery { node = root }
      end, "option 'node': expected an edge")
      assert.error_matches(function()
        node:discovery { node = root.edges[1] }
      end, "another node's")
      edge:close()
      eventually(function()
        return not edge.live
      end)
      assert.equal("no_edge", select(2, node:discovery { node = edge }).code)
      node:stop()
      assert.equal("stopped", select(2, node:discovery()).code)
    end)
  )

  it(
    "ends when its node stops",
    test(function()
      local root, node = hub(), member("node", "s")
      assert(node:connect(root))
      local task = chaski.spawn(node.discovery, node, { timeout = 60 })
      node:stop()
      local _, found, err = task:join()
      assert.is_nil(found)
      assert.equal("stopped", err.code)
    end)
  )

  it(
    "whose task is cancelled leaves no search behind",
    test(function()
      local root, node = hub(), member("node", "s")
      assert(node:connect(root))
      local task = chaski.spawn(node.discovery, node, { timeout = 60 })
      assert.truthy(core.node_state(node).discovery.searches.s)
      task:cancel()
      assert.is_falsy((task:join()))
      assert.is_nil(core.node_state(node).discovery.searches.s)
    end)
  )

  it(
    "beside another of the same node ends with what that has found",
    test(function()
      local root, first, node = hub(), member("first", "s", { paired = true }), member("node", "s")
      assert(first:connect(root))
      assert(node:connect(root))
      local one = chaski.spawn(node.discovery, node, { timeout = 0.3 })
      assert.equal("first", assert(node:discovery { timeout = 4 }).s.name)
      local _, found, alone = one:join()
      assert.is_nil(alone)
      assert.equal("first", found.s.name)
    end)
  )
end)

describe("a policy of discovery", function()
  local function pair_by(policy, timeout)
    local root, p, o = hub(), member("p", "s", { paired = true, discovery = policy }), member("o", "s")
    assert(p:connect(root))
    assert(o:connect(root))
    return p, o, o:discovery { timeout = timeout or 0.3 }
  end

  it(
    "is a table of functions, each of which may be left out",
    test(function()
      local seen
      local p, o, found = pair_by({
        accept = function(node, request, edge)
          seen = { node.name, request.topic, request.origin_name, request.ttl, edge.name }
          return true
        end,
      }, 4)
      assert.equal("p", found.s.name)
      assert.same({ "p", "s", "o", 63, "hub" }, seen)
      assert.is_true(p:is_connected_to(o))
    end)
  )

  it(
    "may refuse",
    test(function()
      local _, _, found, alone = pair_by {
        accept = function()
          return false
        end,
      }
      assert.is_nil(found.s)
      assert.same({ "s" }, alone)
    end)
  )

  it(
    "that raises is reported and refuses",
    test(function()
      helper.expect_errors(1)
      local p, _, found, alone = pair_by {
        accept = function()
          error "a bad policy"
        end,
      }
      assert.is_nil(found.s)
      assert.same({ "s" }, alone)
      assert.is_true(p.running and #p.edges == 1)
    end)
  )

  it(
    "that raises when it chooses, or chooses what is no edge, searches nowhere and says so",
    test(function()
      helper.expect_errors(2)
      local root = hub()
      local choices = {
        function()
          error "no choice"
        end,
        function()
          return "everywhere"
        end,
        function()
          return { 1, "x", print, {} }
        end,
        function()
          return nil
        end,
      }
      for i, choose in ipairs(choices) do
        local o = member("o" .. i, "s", { discovery = { choose = choose } })
        assert(o:connect(root))
        local found, err = o:discovery { timeout = 1 }
        assert.is_nil(found)
        assert.equal("refused", err.code)
        assert.is_false(o.paired)
      end
    end)
  )

  it(
    "that raises when it forwards, or says what is no edge, forwards nowhere",
    test(function()
      helper.expect_errors(2)
      local answers = {
        function()
          error "no way"
        end,
        function()
          return 7
        end,
        function()
          return { false, {}, 1 }
        end,
      }
      for i, forward in ipairs(answers) do
        local o, p = member("o" .. i, "s"), member("p" .. i, "s", { paired = true })
        local x = nodes.node("x" .. i, { discovery = { forward = forward } })
        line(o, x, p)
        local _, alone = assert(o:discovery { timeout = 0.1 })
        assert.same({ "s" }, alone)
        assert.is_true(#x.edges == 2)
      end
    end)
  )

  it(
    "is told of the edge that was found",
    test(function()
      local root, p = hub(), member("p", "s", { paired = true })
      local told
      local o = member("o", "s", {
        discovery = {
          on_pair = function(_, topic, edge, on_pair)
            told = { topic, edge.name, on_pair }
          end,
        },
      })
      assert(p:connect(root))
      assert(o:connect(root))
      assert(o:discovery { on_pair = "disconnect", timeout = 4 })
      assert.same({ "s", "p", "disconnect" }, told)
    end)
  )

  it(
    "that waits holds up nothing but its own request",
    test(function()
      local root = hub()
      local p = member("p", { "s", "t" }, {
        paired = true,
        discovery = {
          accept = function(_, request)
            if request.topic == "s" then chaski.sleep(3600) end
            return true
          end,
        },
      })
      local o = member("o", { "s", "t" })
      assert(p:connect(root))
      assert(o:connect(root))
      local found, alone = assert(o:discovery { timeout = 0.5 })
      assert.equal("p", found.t.name)
      assert.is_true(found.s == nil and alone[1] == "s" or found.s == found.t)
    end)
  )

  it(
    "may be the name of a module, or a module that ships",
    test(function()
      for _, policy in ipairs { "chaski.discovery.nearest", "chaski.discovery.random_walk", random_walk(2) } do
        local o, p = member("o", "s", { discovery = policy }), member("p", "s", { paired = true, discovery = policy })
        local x, y = nodes.node("x", { discovery = policy }), nodes.node("y", { discovery = policy })
        line(o, x, y, p)
        assert.equal("p", assert(o:discovery { timeout = 4 }).s.name)
        for _, node in ipairs { o, x, y, p } do
          node:stop()
        end
      end
    end)
  )

  it(
    "random_walk goes on by one edge, nearest by the nearer half and two at least",
    test(function()
      local node = nodes.node "node"
      for i = 1, 8 do
        local edge = assert(node:connect(nodes.node("n" .. i)))
        edge:reset_latency()
        edge:update_latency(100 * (9 - i))
      end
      local edges = node.edges
      assert.equal(3, #random_walk(3).choose(node, "s", edges))
      assert.equal(4, #random_walk.choose(node, "s", edges))
      assert.equal(1, #random_walk.forward(node, {}, edges))
      local nearest = require "chaski.discovery.nearest"
      assert.equal(8, #nearest.choose(node, "s", edges))
      assert.equal(4, #nearest.forward(node, {}, edges))
      for _, edge in ipairs(nearest.forward(node, {}, edges)) do
        assert.is_true(edge.latency <= edges[4].latency)
      end
      assert.equal(2, #nearest.forward(node, {}, { edges[1], edges[2] }))
      assert.equal(8, #edges)
    end)
  )

  it(
    "of the wrong kind is refused when the node is made",
    test(function()
      assert.error_matches(function()
        chaski.node { discovery = 7 }
      end, "option 'discovery'")
      assert.error_matches(function()
        chaski.node { discovery = { accept = 7 } }
      end, "option 'discovery': 'accept': expected a function, got integer 7")
      assert.has_error(function()
        chaski.node { discovery = "no such module" }
      end)
    end)
  )
end)

-- --- hostile ---------------------------------------------------------------------------------------------------------

--- What a request would say that comes from `origin` (a table with ip and port).
local function request_of(origin, changes)
  local data = {
    origin_ip = origin.ip or "127.0.0.1",
    origin_port = origin.port,
    origin_name = "origin",
    previous_node = "origin",
    visited = { "origin" },
    on_pair = "none",
    root_ip = "",
    root_port = 0,
    origin_subscription = "s",
    ttl = 64,
    discovery_id = chaski.uuid(),
  }
  for key, value in pairs(changes or {}) do
    data[key] = value
  end
  return data
end

--- A victim between a hostile neighbour and one that tells what is forwarded to it.
local function besieged(options)
  local victim = member("victim", "s", options)
  local enemy, beyond = nodes.node "enemy", nodes.node "beyond"
  local edge = assert(enemy:connect(victim))
  assert(victim:connect(beyond))
  local forwarded = {}
  core.handle_at(beyond, "discovery", function(_, data)
    forwarded[#forwarded + 1] = data
  end)
  return victim, enemy, forwarded, edge, beyond
end

--- Wait until everything enemy has sent to victim was looked at, and what that forwarded has come.
local function settle(enemy, victim, beyond)
  local handle, came
  handle = beyond:handle("settled", function()
    came = true
  end)
  victim:handle("settle", function()
    assert(victim:write("settled", 1, { edge = victim:get_edge_by_name "beyond" }))
  end)
  assert(enemy:write("settle", 1))
  eventually(function()
    return came
  end, "it has settled")
  handle:remove()
end

describe("a hostile discovery", function()
  it(
    "with a ttl of 0, below it, or none at all is dropped; a huge one is clamped",
    test(function()
      local victim, enemy, forwarded, edge, beyond = besieged()
      for _, ttl in ipairs { 0, -1, math.mininteger, 0.5, -math.huge, 0 / 0, "64", {}, true } do
        assert(enemy:write("discovery", request_of({ port = 9 }, { ttl = ttl })))
      end
      assert(enemy:write("discovery", request_of({ port = 9 }, { ttl = chaski.null })))
      assert(enemy:write("discovery", request_of({ port = 9 }, { ttl = 1 })))
      settle(enemy, victim, beyond)
      assert.equal(0, #forwarded)
      for i, ttl in ipairs { 65, math.maxinteger, 2.0 ^ 63, math.huge } do
        assert(enemy:write("discovery", request_of({ port = 9 }, { ttl = ttl })))
        settle(enemy, victim, beyond)
        assert.equal(i, #forwarded)
        assert.equal(63, forwarded[i].ttl)
      end
      assert.is_true(edge.live)
    end)
  )

  it(
    "with a million names visited costs that message only",
    test(function()
      local victim, enemy, forwarded, edge, beyond = besieged()
      local data = request_of { port = 9 }
      data.visited = nil
      local bytes = chaski.pack(data)
      bytes = string.char(bytes:byte() + 1) .. bytes:sub(2) .. chaski.pack "visited"
      assert(enemy:write_data(hostile.frame("discovery", bytes .. hostile.million_names())))
      local names65 = {}
      for i = 1, 65 do
        names65[i] = "name " .. i
      end
      assert(enemy:write("discovery", request_of({ port = 9 }, { visited = names65 })))
      assert(enemy:write("discovery", request_of({ port = 9 }, { visited = { ("x"):rep(65) } })))
      assert(enemy:write("discovery", request_of({ port = 9 }, { visited = { 7 } })))
      settle(enemy, victim, beyond)
      assert.equal(0, #forwarded)
      names65[65] = nil
      assert(enemy:write("discovery", request_of({ port = 9 }, { visited = names65 })))
      settle(enemy, victim, beyond)
      assert.equal(1, #forwarded)
      assert.equal(64, #forwarded[1].visited)
      assert.is_true(edge.live)
    end)
  )

  it(
    "of any shape costs that message only",
    test(function()
      local victim, enemy, forwarded, edge, beyond = besieged { paired = true }
      local nonsense = { 0, -1, 1e300, "", ("x"):rep(300), {}, { 1 }, { x = {} }, true, "\xff\0" }
      local rates = core.node_state(victim).discovery.rates
      rates.rate, rates.burst = 1e6, 1e6
      for key in pairs(request_of { port = 9 }) do
        for _, value in ipairs(nonsense) do
          assert(enemy:write("discovery", request_of({ port = 9 }, { [key] = value })))
        end
        assert(enemy:write("discovery", request_of({ port = 9 }, { [key] = chaski.null })))
      end
      for _, data in ipairs { 1, "x", { 1 }, true } do
        assert(enemy:write("discovery", data))
      end
      assert(enemy:write_data(hostile.frame("discovery", "\xc1")))
      settle(enemy, victim, beyond)
      assert.is_true(edge.live)
      for _, data in ipairs(forwarded) do
        assert.is_true(data.ttl == 63 and #data.visited <= 65 and data.origin_subscription ~= "s")
      end
    end)
  )

  it(
    "that is larger than a report of it may be is dropped",
    test(function()
      local victim, enemy, forwarded, _, beyond = besieged()
      assert(enemy:write("discovery", request_of({ port = 9 }, { ballast = ("x"):rep(100000) })))
      settle(enemy, victim, beyond)
      assert.equal(0, #forwarded)
      assert(enemy:write("discovery", request_of({ port = 9 }, { unknown = { "key" } })))
      settle(enemy, victim, beyond)
      assert.same({ "key" }, forwarded[1].unknown)
    end)
  )

  it(
    "is handled once, by its id or by its origin and topic",
    test(function()
      local victim, enemy, forwarded, _, beyond = besieged()
      local data = request_of { port = 9 }
      for _ = 1, 3 do
        assert(enemy:write("discovery", data))
      end
      settle(enemy, victim, beyond)
      assert.equal(1, #forwarded)
      data = request_of { port = 9 }
      data.discovery_id = nil
      for _ = 1, 3 do
        assert(enemy:write("discovery", data))
      end
      settle(enemy, victim, beyond)
      assert.equal(2, #forwarded)
      assert(enemy:write("discovery", request_of({ port = 10 }, { visited = { "origin", "beyond" } })))
      settle(enemy, victim, beyond)
      assert.equal(2, #forwarded)
    end)
  )

  it(
    "without an id goes round no second time, however late",
    test(function()
      local victim, enemy, forwarded, _, beyond = besieged()
      local data = request_of({ port = 9 }, { visited = { "origin", "victim", "enemy" } })
      data.discovery_id = nil
      assert(enemy:write("discovery", data))
      settle(enemy, victim, beyond)
      assert.equal(0, #forwarded)
    end)
  )

  it(
    "in great number is limited for each edge",
    test(function()
      local victim, enemy, forwarded, edge, beyond = besieged()
      for _ = 1, 300 do
        assert(enemy:write("discovery", request_of { port = 9 }))
      end
      settle(enemy, victim, beyond)
      assert.is_true(#forwarded >= 20 and #forwarded <= 40, #forwarded .. " of 300")
      assert.is_true(edge.live)
    end)
  )

  it(
    "of ever new topics fills no memory of a bystander",
    test(function()
      local root, enemy = hub(), nodes.node "enemy"
      assert(enemy:connect(root))
      local discovery = core.node_state(root).discovery
      discovery.rates.rate, discovery.rates.burst = 1e6, 1e6
      for i = 1, 400 do
        local changes = { origin_id = enemy.id, origin_subscription = "topic " .. i }
        assert(enemy:write("discovery", request_of({ port = enemy.port }, changes)))
      end
      eventually(function()
        return discovery.remembered["topic 400"]
      end, "the last has come")
      local count = 0
      for _ in pairs(discovery.remembered) do
        count = count + 1
      end
      assert.equal(256, count)
    end)
  )

  it(
    "whose origin is the victim itself, or stopped, is ignored",
    test(function()
      local victim, enemy, forwarded, edge, beyond = besieged { paired = true }
      assert(enemy:write("discovery", request_of({ port = 9 }, { origin_id = victim.id })))
      assert(enemy:write("discovery", request_of { port = victim.port }))
      settle(enemy, victim, beyond)
      assert.equal(0, #forwarded)
      assert.equal(0, victim.ledger.datagrams_out)
      assert.is_true(edge.live)
    end)
  )

  it(
    "whose origin never answers costs one datagram, and holds up nothing",
    test(function()
      local victim, enemy, _, edge, beyond = besieged { paired = true }
      local mute <close> = hostile.socket()
      assert(enemy:write("discovery", request_of { port = mute.port }))
      mute:wait(1)
      settle(enemy, victim, beyond)
      local address = "127.0.0.1:" .. mute.port
      eventually(function()
        return core.node_state(victim).discovery.failed[address]
      end, "it is given up")
      for _ = 1, 5 do
        assert(enemy:write("discovery", request_of { port = mute.port }))
      end
      settle(enemy, victim, beyond)
      assert.equal(1, #mute.got)
      assert.equal(1, victim.ledger.datagrams_out)
      assert.is_true(edge.live)
      assert.equal(2, #victim.edges)
    end)
  )

  it(
    "whose origin answers but cannot be dialled costs one dial, and holds up nothing",
    test(function()
      local victim, enemy, _, edge, beyond = besieged { paired = true }
      local mute <close> = hostile.socket() -- nobody listens on its port
      mute.on_message = function(entry)
        mute:answer(entry, { paired = { s = false } })
      end
      local connect, dials = core.connect, 0
      core.connect = function(...)
        dials = dials + 1
        return connect(...)
      end
      local ok, err = pcall(function()
        assert(enemy:write("discovery", request_of { port = mute.port }))
        eventually(function()
          return core.node_state(victim).discovery.failed["127.0.0.1:" .. mute.port]
        end, "it is given up")
        for _ = 1, 5 do
          assert(enemy:write("discovery", request_of { port = mute.port }))
        end
        settle(enemy, victim, beyond)
      end)
      core.connect = connect
      assert(ok, err)
      assert.equal(1, dials)
      assert.equal(1, #mute.got)
      assert.is_true(edge.live)
      assert.equal("beyond enemy", names(victim.edges))
    end)
  )

  it(
    "whose origin wants nothing is not dialled",
    test(function()
      local victim, enemy, _, _, beyond = besieged { paired = true }
      local third = member("third", "s", { paired = true })
      local foreign = member("foreign", "t")
      for i, origin in ipairs { third, foreign } do
        assert(enemy:write("discovery", request_of(origin)))
        eventually(function()
          return victim.ledger.datagrams_in == i
        end, "it has answered")
        settle(enemy, victim, beyond)
        assert.equal(0, #origin.edges)
      end
      assert.equal(2, #victim.edges)
    end)
  )

  it(
    "whose origin is a third machine is dialled a bounded number of times",
    test(function()
      local victim, enemy, _, edge = besieged { paired = true }
      local dials, machines = 0, {}
      local function third_machine()
        local machine
        machine = hostile.machine(function()
          dials = dials + 1
        end)
        machine.on_message = function(entry)
          machine:answer(entry, { paired = { s = false } })
        end
        machines[#machines + 1] = machine
        return machine
      end
      for _ = 1, 30 do
        local machine = third_machine()
        for _ = 1, 3 do
          assert(enemy:write("discovery", request_of { port = machine.port }))
        end
      end
      local discovery = core.node_state(victim).discovery
      local over = pcall(eventually, function()
        return dials >= 7 and discovery.dialling == 0
      end, "", 3)
      local asked = 0
      for _, machine in ipairs(machines) do
        asked = asked + #machine.got
        machine:close()
      end
      assert.is_true(over, "the dials are over")
      assert.is_true(asked <= 25, asked .. " asked")
      assert.is_true(dials <= 10, dials .. " dials")
      assert.is_true(edge.live)
    end)
  )

  it(
    "that names a neighbour as its origin does not cost the neighbour's edge",
    test(function()
      local victim, enemy = besieged { paired = true }
      local friend = member("friend", "s", { paired = true })
      local edge = assert(friend:connect(victim))
      local stranger = member("stranger", "t")
      local other = assert(stranger:connect(victim))
      local reported
      local receive = core.handle_protocol
      assert.is_function(receive)
      for _, node in ipairs { friend, stranger } do
        assert(enemy:write("discovery", request_of(node, { origin_id = node.id })))
        assert(enemy:write("discovery", request_of(node)))
      end
      friend:handle("tell", function()
        reported = true
      end)
      victim:handle("settle", function()
        assert(victim:write("tell", 1))
      end)
      assert(enemy:write("settle", 1))
      eventually(function()
        return reported
      end, "it is over")
      assert.is_true(edge.live)
      assert.is_true(other.live)
      assert.equal(4, #victim.edges)
    end)
  )

  it("may only name addresses that a node may dial", function()
    local function dialled(own, ip, port)
      return guard.address({ ip = own }, ip, port or 2000)
    end
    local public, loopback = "192.0.2.1", "127.0.0.1"
    assert.equal("192.0.2.7:2000", dialled(public, "192.0.2.7"))
    assert.equal("220.1.2.3:2000", dialled(public, "220.1.2.3"))
    assert.equal("[2001:db8::7]:2000", dialled(public, "2001:db8::7"))
    assert.equal("127.0.0.1:2000", dialled(loopback, "127.0.0.1"))
    assert.equal("[::1]:2000", dialled("::1", "::1"))
    local never = {
      "0.0.0.0",
      "0.1.2.3",
      "224.0.0.1",
      "239.255.255.255",
      "240.0.0.1",
      "255.255.255.255",
      "::",
      "ff02::1",
      "FF02::1",
      "::ffff:127.0.0.1",
      "::ffff:7f00:1",
      "::127.0.0.1",
      "::2",
      "0:0:0:0:0:0:0:1",
      "0000::1",
      "0::1",
      "localhost",
      "",
      "127.1",
      "2130706433",
      "0x7f000001",
    }
    for _, ip in ipairs(never) do
      assert.is_nil(dialled(public, ip), ip)
      assert.is_nil(dialled(loopback, ip), ip)
      assert.is_nil(dialled("::1", ip), ip)
    end
    for _, ip in ipairs { "127.0.0.1", "127.9.9.9", "::1", "169.254.1.1", "fe80::1", "FE80::1", "febf::1" } do
      assert.is_nil(dialled(public, ip), ip)
      assert.is_nil(dialled("0.0.0.0", ip), ip)
    end
    assert.is_nil(dialled(public, "192.0.2.7", 1023))
  end)
end)

describe("a report", function()
  it(
    "for a foreign topic costs its own edge, and no other",
    test(function()
      local victim, enemy, _, edge = besieged()
      local reason
      victim:on("edge_closed", function(_, why)
        reason = why
      end)
      assert(enemy:write("report_paired", request_of({ port = 9 }, { paired = "foreign" })))
      eventually(function()
        return not edge.live
      end, "it is closed")
      eventually(function()
        return reason
      end)
      assert.equal("protocol", reason)
      assert.equal("beyond", names(victim.edges))
    end)
  )

  it(
    "of the wrong shape costs its own edge, or nothing",
    test(function()
      for _, data in ipairs { {}, { paired = 7 }, { paired = {} }, { paired = true } } do
        local victim, enemy, _, edge = besieged()
        assert(enemy:write("report_paired", data))
        eventually(function()
          return not edge.live
        end, "it is closed")
        assert.equal(1, #victim.edges)
        for _, node in ipairs(core.running_nodes()) do
          node:stop()
        end
      end
      local victim, enemy, _, edge, beyond = besieged()
      assert(enemy:write("report_paired", 7))
      assert(enemy:write_data(hostile.frame("report_paired", "\xc1")))
      settle(enemy, victim, beyond)
      assert.is_true(edge.live)
    end)
  )

  it(
    "that answers no search closes the connection it came by",
    test(function()
      local victim = member("victim", "s", { paired = true })
      local finder = member("finder", "s", { paired = true })
      local edge = assert(finder:connect(victim, { paired = "s", report = {} }))
      eventually(function()
        return not edge.live
      end, "it is closed")
      eventually(function()
        return #victim.edges == 0
      end)
    end)
  )

  it(
    "from who does not subscribe is no find",
    test(function()
      local root, o, enemy = hub(), member("o", "s"), nodes.node "enemy"
      assert(o:connect(root))
      local task = chaski.spawn(o.discovery, o, { timeout = 0.3 })
      assert(enemy:connect(o, { paired = "s", report = {} }))
      local _, found, alone = task:join()
      assert.is_nil(found.s)
      assert.same({ "s" }, alone)
      eventually(function()
        return names(o.edges) == "hub"
      end, "it is closed")
    end)
  )

  it(
    "says nothing of what is left: on_pair and root are the searcher's own",
    test(function()
      local root, o, p = hub(), member("o", "s"), member("p", "s", { paired = true })
      assert(o:connect(root))
      local task = chaski.spawn(o.discovery, o, { timeout = 4 })
      local report = { on_pair = "disconnect", root_ip = root.ip, root_port = root.port }
      assert(p:connect(o, { paired = "s", report = report }))
      local _, found = task:join()
      assert.equal("p", found.s.name)
      assert.equal("hub p", names(o.edges))
    end)
  )
end)

describe("a group", function()
  local function group_of(node)
    return core.node_state(node).groups.s
  end

  local function paired()
    local root, a, b = hub(), member("a", "s", { paired = true }), member("b", "s")
    assert(a:connect(root))
    assert(b:connect(root))
    assert(b:discovery { on_pair = "disconnect", timeout = 4 })
    local leader = a.id < b.id and a.id or b.id
    eventually(function()
      return group_of(a).leader == leader and group_of(b).leader == leader
    end, "they agree on a leader")
    return a, b, leader
  end

  it(
    "agrees on its smallest id as its leader",
    test(function()
      local a, b, leader = paired()
      assert.equal(leader, assert(a:request_status(b.ip, b.port, { topic = "s" })).leader)
    end)
  )

  it(
    "is not led by a beacon of the wrong shape, of who is no member, or of an impossible number",
    test(function()
      local a, b, leader = paired()
      local enemy = nodes.node "enemy"
      assert(enemy:connect(a))
      local done
      a:handle("done", function()
        done = true
      end)
      local nonsense = { -1, 1e300, "", ("x"):rep(100), {}, true, chaski.null }
      for key in pairs { topic = 1, leader = 1, seq = 1 } do
        for _, value in ipairs(nonsense) do
          local data = { topic = "s", leader = "!", seq = 1 }
          data[key] = value
          assert(b:write("leader", data, { edge = b:get_edge_by_name "a" }))
        end
      end
      assert(b:write("leader", { topic = "s", leader = "!", seq = math.maxinteger }))
      assert(b:write("leader", { topic = "foreign", leader = "!", seq = 1 }))
      assert(enemy:write("leader", { topic = "s", leader = "!", seq = 1 }))
      assert(enemy:write("done", 1))
      assert(b:write("done", 1))
      eventually(function()
        return done
      end)
      settle(b, a, enemy)
      assert.equal(leader, group_of(a).leader)
    end)
  )

  it(
    "hears of its leader again when somebody has forged a later number of its beacon",
    test(function()
      local a, b, leader = paired()
      local head, other = a, b
      if leader == b.id then
        head, other = b, a
      end
      local forged = group_of(head).seq + 1000
      local enemy = member("enemy", "s")
      assert(enemy:connect(other))
      eventually(function()
        local edge = other:get_edge_by_name "enemy"
        return edge and edge:is_subscribed "s"
      end)
      assert(enemy:write("leader", { topic = "s", leader = leader, seq = forged }))
      eventually(function()
        return group_of(head).own_seq >= forged
      end, "the leader goes on from there")
      assert.equal(leader, group_of(other).leader)
    end)
  )

  it(
    "is forgotten when its topic is unsubscribed",
    test(function()
      local a = paired()
      a:unsubscribe "s"
      assert.is_false(a:paired_for "s")
      eventually(function()
        return group_of(a) == nil
      end, "it is forgotten")
      assert.is_nil(core.node_state(a).leaders.s)
    end)
  )
end)
