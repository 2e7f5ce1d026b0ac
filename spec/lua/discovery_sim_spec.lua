-- discovery_sim_spec.lua: discovery on the virtual network, many times over: those who search at once, or in two halves
-- of a network, end as one group; a request costs a bounded number of frames; what runs here is what runs in the real
-- world. With CHASKI_FULL=1 a thousand seeds for each case. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local helper = require "spec.helper"
local nodes = require "spec.lua.nodes"

local quick = helper.slowness == 1 -- neither valgrind nor the like
local full = quick and os.getenv "CHASKI_FULL" ~= nil

local SIZES = quick and { 2, 4, 10, 20 } or { 2, 4, 10 }
local WAYS = { "none", "disconnect" } -- on_pair

local level = chaski.log.level()
setup(function()
  chaski.log.level "error"
end) -- every edge that a partition ends is a warning
teardown(function()
  chaski.log.level(level)
end)

--- How often a case is tried.
local function seeds(size, some)
  if full then return 1000 end
  if not quick then return 1 end
  return size < 20 and some or some // 2
end

local function it_async(name, test)
  it(name, helper.async(test, full and 1200 or 20))
end

--- Each size and on_pair, as a test of its own: body(size, on_pair, seed) in a simulation for each seed.
local function it_for_all(name, some, body)
  for _, on_pair in ipairs(WAYS) do
    for _, size in ipairs(SIZES) do
      it_async(("%s: %d nodes, on_pair %s"):format(name, size, on_pair), function()
        for seed = 1, seeds(size, some) do
          local sim <close> = chaski.sim { seed = seed, delay = 0.005, jitter = 0.01 }
          local ok, err = pcall(sim.run, sim, body, sim, size, on_pair)
          assert(ok, ("seed %d: %s"):format(seed, tostring(err)))
        end
      end)
    end
  end
end

local function node(name, options)
  options = options or {}
  options.name, options.reconnections = name, 100000
  return assert(chaski.node(options))
end

local function members(size)
  local list = {}
  for i = 1, size do
    list[i] = node("n" .. i, { subscriptions = "s" })
  end
  return list
end

--- Of how many pieces is the graph of these nodes and no others?
local function pieces(list)
  local index, seen, count = {}, {}, 0
  for i, each in ipairs(list) do
    index[each.name] = i
  end
  local function walk(i)
    local todo = { i }
    while #todo > 0 do
      local at = table.remove(todo)
      seen[at] = true
      for _, edge in ipairs(list[at].edges) do
        local next = index[edge.name]
        if next and not seen[next] then todo[#todo + 1] = next end
      end
    end
  end
  for i in ipairs(list) do
    if not seen[i] then
      count = count + 1
      walk(i)
    end
  end
  return count
end

--- Wait in virtual time until the nodes are connected with each other.
local function expect_one(list, seconds, what)
  local deadline = chaski.now() + seconds
  while pieces(list) > 1 do
    assert(chaski.now() < deadline, ("%s: %d pieces after %g s"):format(what, pieces(list), seconds))
    chaski.sleep(0.1)
  end
end

--- All of them search in one turn of the loop; what node:discovery gave each.
local function search_at_once(list, given)
  local tasks, results = {}, {}
  for i, each in ipairs(list) do
    tasks[i] = chaski.spawn(each.discovery, each, given)
  end
  for i, task in ipairs(tasks) do
    local joined, found, alone = task:join()
    assert(joined and found, tostring(alone or found))
    results[i] = { found = found, alone = alone }
  end
  return results
end

describe("nodes of a kind that search at once through a hub", function()
  it_for_all("end connected without it", 20, function(_, size, on_pair)
    local hub, list = node("hub", { root = true }), members(size)
    for _, each in ipairs(list) do
      assert(each:connect(hub))
    end
    for i, result in ipairs(search_at_once(list, { on_pair = on_pair, timeout = 5 })) do
      assert(result.alone == nil and result.found.s, list[i].name .. " is alone")
      assert(list[i].paired)
    end
    expect_one(list, 30, "the group")
    chaski.sleep(10)
    assert(pieces(list) == 1, "the group has come apart")
    assert(on_pair == "disconnect" or #hub.edges == size, "they stay at the hub")
  end)

  it_async("leave it when they are to", function()
    local sim <close> = chaski.sim { seed = 1 }
    sim:run(function()
      local hub, list = node("hub", { root = true }), members(4)
      for _, each in ipairs(list) do
        assert(each:connect(hub))
      end
      search_at_once(list, { on_pair = "disconnect", timeout = 5 })
      chaski.sleep(0.1)
      assert.equal(0, #hub.edges)
    end)
  end)
end)

-- Until the reconnect policy has tried again, and both leaders have searched after that: group.lua, SEARCH_MOST.
local HEALED = 240

describe("a network in two parts", function()
  --- Odd ones and even ones.
  local function halves(list)
    local sides = { {}, {} }
    for i, each in ipairs(list) do
      table.insert(sides[2 - i % 2], each)
    end
    return sides[1], sides[2]
  end

  local function with(hub, list)
    return table.move(list, 1, #list, 2, { hub })
  end

  it_for_all("whose groups formed apart, each through its hub, ends as one", 10, function(sim, size, on_pair)
    local west, east, list = node("west", { root = true }), node("east", { root = true }), members(size)
    local left, right = halves(list)
    sim:partition(with(west, left), with(east, right))
    for i, each in ipairs(list) do
      assert(each:connect(i % 2 == 1 and west or east))
    end
    search_at_once(list, { on_pair = on_pair, timeout = 5 })
    expect_one(left, 30, "the left one")
    expect_one(right, 30, "the right one")
    chaski.sleep(30)
    assert(pieces(list) == 2, "they are apart")
    sim:partition(with(west, left), with(east, right), false)
    assert(west:connect(east))
    expect_one(list, HEALED, "both")
  end)

  it_for_all("that were one before ends as one", 10, function(sim, size, on_pair)
    local hub, list = node("hub", { root = true }), members(size)
    local left, right = halves(list)
    for _, each in ipairs(list) do
      assert(each:connect(hub))
    end
    search_at_once(list, { on_pair = on_pair, timeout = 5 })
    expect_one(list, 30, "the group")
    sim:partition(with(hub, left), right)
    chaski.sleep(180)
    assert(pieces(list) >= 2, "they are apart")
    sim:partition(with(hub, left), right, false)
    expect_one(list, HEALED, "both")
  end)
end)

describe("a node that is alone", function()
  it_async("becomes the first of its kind, which its caller can tell, and is found by the next", function()
    local sim <close> = chaski.sim { seed = 1 }
    sim:run(function()
      local hub, first = node("hub", { root = true }), node("first", { subscriptions = { "s", "t" } })
      assert(first:connect(hub))
      assert(node("other", { subscriptions = "u", paired = true }):connect(hub))
      local before = chaski.now()
      local found, alone = assert(first:discovery { timeout = 5 })
      assert.near(5, chaski.now() - before, 1e-5)
      assert.same({}, found)
      assert.same({ "s", "t" }, alone)
      assert.is_true(first.paired)
      local second = node("second", { subscriptions = "t" })
      assert(second:connect(hub))
      found, alone = assert(second:discovery { timeout = 5 })
      assert.equal("first", found.t.name)
      assert.is_nil(alone)
    end)
  end)
end)

describe("a group whose members all have as many edges as they may", function()
  it_async("still meets another, by the leaders of both", function()
    local sim <close> = chaski.sim { seed = 3 }
    sim:run(function()
      local hub, list = node("hub", { root = true }), {}
      for i = 1, 4 do
        list[i] = node("n" .. i, { subscriptions = "s", max_connections = 1 })
        if i % 2 == 0 then assert(list[i]:connect(list[i - 1])) end
      end
      for _, each in ipairs(list) do
        assert(each:connect(hub))
        assert(each:discovery().s) -- the edge that is there
      end
      assert.equal(2, pieces(list))
      expect_one(list, HEALED, "both")
    end)
  end)
end)

-- --- what a request costs -------------------------------------------------------------------------------------------

--- Counts the discovery frames of each request until it is closed.
local function count_frames()
  local write, count = core.write, { of = {} }
  function core.write(from, command, data, ...)
    if command == "discovery" then count.of[data.discovery_id] = (count.of[data.discovery_id] or 0) + 1 end
    return write(from, command, data, ...)
  end
  return setmetatable(count, {
    __close = function()
      core.write = write
    end,
  })
end

describe("a request in a random graph of 200 nodes", function()
  local N = 200

  for _, name in ipairs { "walk", "random_walk", "nearest" } do
    it_async(("finds the only one, with two frames an edge at most: policy %s"):format(name), function()
      for seed = 1, full and 1000 or quick and 5 or 1 do
        local sim <close> = chaski.sim { seed = seed, delay = 0.005, jitter = 0.005 }
        assert(sim:run(function()
          local graph = assert(chaski.topology.random(N, {
            seed = seed,
            degree = 3,
            node = function(i)
              local subscriptions = (i == 1 or i == N) and "s" or nil
              return { discovery = "chaski.discovery." .. name, subscriptions = subscriptions, paired = i == N }
            end,
          }))
          assert(graph:connect())
          chaski.sleep(1) -- the other ends of the edges
          local neighbours = graph.nodes[1]:is_connected_to(graph.nodes[N])
          local count <close> = count_frames()
          local found, alone = assert(graph.nodes[1]:discovery { timeout = 10 })
          assert(not alone, ("seed %d: nobody found"):format(seed))
          assert.equal("n" .. N, found.s.name)
          chaski.sleep(2) -- what is still under way
          local total = 0
          for _, frames in pairs(count.of) do
            assert(frames <= 2 * #graph.links, ("seed %d: %d frames"):format(seed, frames))
            total = total + frames
          end
          assert.is_true(neighbours or total > 0)
          return true
        end))
      end
    end)
  end
end)

describe("a request that nobody answers", function()
  local function count_requests(policy)
    local sim <close> = chaski.sim { seed = 1 }
    local ids, again = {}, {}
    function policy.choose(_, _, edges)
      ids[#ids + 1] = true
      return edges
    end
    sim:run(function()
      local hub = node("hub", {
        discovery = {
          forward = function(_, request)
            again[#again + 1] = request.again
            return {}
          end,
        },
      })
      local other, lonely = node "other", node("lonely", { subscriptions = "s", discovery = policy })
      assert(other:connect(hub))
      assert(lonely:connect(hub))
      local _, alone = assert(lonely:discovery { timeout = 2.2 })
      assert.same({ "s" }, alone)
    end)
    return #ids, again
  end

  it_async("starts anew as often as the policy says, and tells so", function()
    local requests, again = count_requests { again = 0.5 }
    assert.equal(5, requests)
    assert.same({ false, true, true, true, true }, again)
  end)

  it_async("else is the only one", function()
    local requests = count_requests {}
    assert.equal(1, requests)
  end)

  it_async("starts anew after seconds, not after anything else", function()
    for _, again in ipairs { "soon", 0, -1, true } do
      assert.error_matches(function()
        chaski.node { discovery = { again = again } }
      end, "option 'discovery': option 'again': expected seconds")
    end
  end)
end)

-- --- one program, two worlds -----------------------------------------------------------------------------------------

-- A relay, a service and a discovery by a policy of its own; what came of it.
local function story()
  local log = {}
  local function note(...)
    log[#log + 1] = table.concat({ ... }, " ")
  end
  local function wait(condition)
    local deadline = chaski.now() + 5
    while not condition() do
      assert(chaski.now() < deadline, "it never came to be")
      chaski.sleep(0.005)
    end
  end
  local picky = { -- pairs with nobody whose name begins with x
    accept = function(_, request)
      return request.origin_name:sub(1, 1) ~= "x"
    end,
  }
  local relay = nodes.node("relay", { message_propagation = true })
  local a = nodes.node("a", { subscriptions = "s", paired = true, discovery = picky })
  local b, x = nodes.node("b", { subscriptions = "s" }), nodes.node("x", { subscriptions = "s" })
  local heard = {}
  for _, each in ipairs { a, b } do
    assert(each:connect(relay))
    each:subscribe("s", function(message, edge)
      chaski.sleep(0.001)
      heard[#heard + 1] = ("%s heard %s over %s"):format(each.name, message.data.word, edge.name)
    end)
  end
  a:serve("twice", function(kwargs)
    chaski.sleep(0.001)
    return { 2 * kwargs.n, kwargs.missing == nil }
  end)
  assert(b:publish("s", { word = "hello" }))
  wait(function()
    return #heard == 1
  end)
  assert(b:connect(a))
  note("twice", assert(b:request("twice", { n = 21 }, { edge = b:get_edge_by_name "a" }))[1])
  b:get_edge_by_name("a"):close()
  wait(function()
    return not a:is_connected_to(b)
  end)
  local found, alone = assert(b:discovery { timeout = 5 })
  note("b found", found.s.name, alone and "alone" or "")
  b:stop()
  assert(x:connect(relay))
  found, alone = assert(x:discovery { timeout = 0.5 })
  note("x found", found.s and found.s.name or "nobody", table.concat(alone or {}))
  return table.concat(table.move(heard, 1, #heard, #log + 1, log), "\n")
end

local TOLD = "twice 42\nb found a \nx found nobody s\na heard hello over relay"

describe("a relay, a service and a discovery", function()
  it(
    "run in the real world",
    nodes.test(function()
      assert.equal(TOLD, story())
    end, 20)
  )

  it_async("run in a simulation, the same functions, to the same end", function()
    for seed = 1, quick and 20 or 2 do
      local sim <close> = chaski.sim { seed = seed, delay = 0.01, jitter = 0.005, chunk = 11 }
      assert.equal(TOLD, sim:run(story))
    end
  end)

  it_async("leave the same trace for the same seed, and another for another", function()
    local function trace(seed)
      local sim <close> = chaski.sim { seed = seed, delay = 0.01, jitter = 0.005 }
      assert.equal(TOLD, sim:run(story))
      sim:pass(30)
      return sim.trace
    end
    local traces = {}
    for seed = 1, 5 do
      local first = trace(seed)
      assert.equal(first, trace(seed))
      assert.is_nil(traces[first], "another seed, another trace")
      traces[first] = true
    end
  end)
end)
