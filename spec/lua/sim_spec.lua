-- chaski.sim: nodes, handlers and policies on the virtual network, repeatable from a seed. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local helper = require "spec.helper"

local function it_async(name, test, timeout)
  it(name, helper.async(test, timeout))
end

-- A body that gets a simulation; closed afterwards, so that helper.async finds whatever is left.
local function it_sim(name, test, options)
  it_async(name, function()
    local sim <close> = chaski.sim(options or { seed = 1 })
    test(sim)
  end)
end

-- The same, all of it inside of the run.
local function it_runs(name, test, options)
  it_sim(name, function(sim)
    local ok, err = sim:run(function()
      test(sim)
      return true
    end)
    assert.is_true(ok, tostring(err))
  end, options)
end

local function node(name, options)
  options = options or {}
  options.name = name
  return assert(chaski.node(options))
end

-- Wait in virtual time.
local function eventually(condition, what)
  local deadline = chaski.now() + 600
  while not condition() do
    assert(chaski.now() < deadline, "it never came to be: " .. what)
    chaski.sleep(0.01)
  end
end

-- Everything that draws, sends, searches and dials; prints what a script can see. Run in processes of their own: the
-- order of Lua's tables differs between them.
local scenario = [[
local chaski = require "chaski"
local sim = chaski.sim { seed = tonumber(arg[1]), delay = 0.01, jitter = 0.02, loss = 0.1, chunk = 40 }
local seen = {}
local function note(...) seen[#seen + 1] = table.concat({ ... }, " ") end
local result = sim:run(function()
  local hub = assert(chaski.node { name = "hub", root = true, message_propagation = true })
  local nodes = {}
  for i = 1, 6 do
    local subscriptions = { "a", "b", i > 3 and "c" or "d" }
    local n = assert(chaski.node { name = "n" .. i, subscriptions = subscriptions, message_propagation = true })
    nodes[i] = n
    n:subscribe({ "a", "b" }, function(message, edge)
      note(n.name, message.topic, message.data.n, edge.name, message.uuid, ("%.9f"):format(chaski.now()))
    end)
    n:serve("sum", function(kwargs)
      chaski.sleep(chaski.random() / 10)
      return kwargs.x + kwargs.y
    end)
    n:on("edge_closed", function(_, reason) note(n.name, "closed", reason) end)
  end
  for _, n in ipairs(nodes) do assert(n:connect(hub)) end
  local tasks = {}
  for i, n in ipairs(nodes) do
    tasks[i] = chaski.spawn(function()
      local found, alone = n:discovery { timeout = 3 }
      note(n.name, found.a and found.a.name or "-", found.b and found.b.name or "-", table.concat(alone or {}, ","))
    end)
  end
  for _, t in ipairs(tasks) do t:join() end
  for i, n in ipairs(nodes) do
    local data = { n = i, one = 1, two = 2, three = 3, [chaski.uuid()] = true, list = { 1, 2 }, map = { x = 1, y = 2 } }
    n:publish(i % 2 == 0 and "a" or "b", data)
  end
  for _, n in ipairs(nodes) do
    local sum, err = n:request("sum", { x = 1, y = 2, note = chaski.uuid(), z = "z" }, { timeout = 2 })
    note(n.name, tostring(sum), tostring(err))
    local edge = n.edges[1]
    local status = edge and n:request_status(edge.ip, edge.port, { timeout = 1 })
    note(n.name, "status", status and status.name or "none")
  end
  sim:partition({ hub, nodes[1], nodes[2] }, { nodes[3], nodes[4], nodes[5], nodes[6] })
  chaski.sleep(160)
  sim:partition({ hub, nodes[1], nodes[2] }, { nodes[3], nodes[4], nodes[5], nodes[6] }, false)
  chaski.sleep(120)
  nodes[1]:publish("a", { n = "after" })
  chaski.sleep(5)
  for _, n in ipairs(sim.nodes) do
    local names = {}
    for i, e in ipairs(n.edges) do names[i] = e.name end
    note(n.id, n.address, table.concat(names, ","), ("%d %d"):format(n.ledger.frames_in, n.ledger.bytes_out))
    collectgarbage() -- whenever garbage is collected
  end
  nodes[2]:stop()
  return "over"
end)
note(result, chaski.sim { seed = 5 }.trace)
print(sim.trace, sim.now)
print(table.concat(seen, "\n"))
sim:close()
]]

describe("a simulation", function()
  teardown(helper.clean)

  it_async("has the same trace for the same seed in every process, and another for another seed", function()
    local path = helper.file(scenario, "scenario.lua")
    local first, outputs = nil, {}
    for i, seed in ipairs { 7, 7, 7, 8 } do
      local env = { CHASKI_LOG = "error", CHASKI_GC = i == 2 and "aggressive" or false }
      outputs[i] = helper.run({ path, tostring(seed) }, { env = env, timeout = 20 })
      assert.equal("", outputs[i].err)
      assert.equal(0, outputs[i].code)
      first = first or outputs[i].out
    end
    assert.truthy(first:find("over", 1, true))
    assert.truthy(first:find("n%d closed lost"), "the partition was noticed")
    assert.truthy(first:find("n%d a after"), "and has healed")
    assert.equal(first, outputs[2].out)
    assert.equal(first, outputs[3].out)
    assert.not_equal(first:match "^%x+", outputs[4].out:match "^%x+")
  end, 60)

  it_async("has the same trace for the same seed in one process", function()
    local function trace(seed)
      local sim <close> = chaski.sim { seed = seed, jitter = 0.001 }
      sim:run(function()
        local a, b = node "a", node "b"
        a:connect(b)
        chaski.sleep(chaski.random() * 20)
      end)
      return sim.trace
    end
    assert.equal(trace(3), trace(3))
    assert.not_equal(trace(3), trace(4))
  end)

  it_sim("lets hours pass in no time, on the monotonic and on the wall clock", function(sim)
    local before = core.now()
    sim:run(function()
      local a, b = node "a", node "b"
      local edge = assert(a:connect(b))
      local start, wall = chaski.now(), chaski.message({}).timestamp.sec
      chaski.sleep(6 * 3600)
      assert.equal(6 * 3600, chaski.now() - start)
      assert.equal(6 * 3600, chaski.message({}).timestamp.sec - wall)
      assert.is_true(edge.live)
      assert.is_true(a.ledger.frames_out > 2000, "it kept the edge alive")
    end)
    assert.is_true(core.now() - before < 3 * helper.slowness)
  end)

  it_sim("goes on with the next run, with what the one before left behind", function(sim)
    local ticks, a = 0, nil
    sim:run(function()
      a = node "a"
      chaski.spawn(function()
        while true do
          chaski.sleep(1)
          ticks = ticks + 1
        end
      end)
    end)
    assert.equal(0, ticks)
    sim:pass(10)
    assert.equal(10, ticks)
    assert.equal(
      "b",
      sim:run(function()
        local b = node "b"
        return assert(a:connect(b)).name
      end)
    )
    assert.equal("chaski.sim", tostring(sim):match "^[%w.]+")
    assert.equal(2, #sim.nodes)
  end)

  it_sim("takes arguments to main and gives its results, nils and all", function(sim)
    assert.same(
      { n = 4, 1, nil, 3, nil },
      table.pack(sim:run(function(...)
        return ...
      end, 1, nil, 3, nil))
    )
    assert.equal(
      5,
      sim:run({ limit = 10 }, function(x)
        sim:pass(9)
        return x
      end, 5)
    )
  end)

  it_runs("gives each node a host of its own", function(sim)
    local a, b, any = node "a", sim:node {}, node("any", { ip = "0.0.0.0" })
    assert.equal("10.0.0.1", a.ip)
    assert.equal("10.0.0.2", b.ip)
    local c, d = node("c", { ip = "127.0.0.1" }), node("d", { ip = "127.0.0.1" })
    assert.not_equal(c.port, d.port)
    assert.equal(c.ip, assert(d:connect(c)).ip)
    local edge = assert(a:connect(any))
    assert.truthy(edge.local_address:find("10.0.0.1:", 1, true))
    assert.truthy(assert(any:connect(b)).local_address:find("10.0.0.3:", 1, true))
    local _, err = chaski.node { ip = "10.0.0.1", port = a.port }
    assert.equal("in_use", err.code)
    sim:name("hub.example", b)
    assert.equal(b.name, assert(a:connect("hub.example:" .. b.port)).name)
    sim:name("hub.example", nil)
    _, err = c:connect("hub.example:" .. b.port)
    assert.equal("unresolved", err.code)
    assert.is_false(chaski.is_port_available(c.port))
    assert.is_true(chaski.is_port_available(chaski.get_free_port()))
  end)
end)

describe("in a simulation", function()
  it_runs("the example of discovery runs as it is", function()
    local told
    local root = assert(chaski.node { name = "root", port = 8511, root = true })
    local sensor = assert(chaski.node { name = "sensor", subscriptions = "weather", paired = true })
    local wall = assert(chaski.node { name = "wall", subscriptions = { "weather" } })
    wall:subscribe("weather", function(message, edge)
      told = edge.name .. " " .. message.data.celsius
    end)
    assert(sensor:connect(root.address))
    assert(wall:connect(root))
    local edges, alone = assert(wall:discovery { on_pair = "disconnect", timeout = 5 })
    assert(sensor:publish("weather", { celsius = 21.5 }))
    chaski.sleep(1)
    assert.equal("sensor", edges.weather.name)
    assert.is_nil(alone)
    assert.equal("sensor 21.5", told)
    assert.is_false(wall:is_connected_to(root))
  end)

  it_runs("a ring delivers each message once", function()
    local count, ring = {}, {}
    for i = 1, 8 do
      ring[i] = node("r" .. i, { subscriptions = "t", message_propagation = true })
      ring[i]:subscribe("t", function(message)
        local key = ring[i].name .. message.data
        count[key] = (count[key] or 0) + 1
      end)
    end
    for i = 1, 8 do
      assert(ring[i]:connect(ring[i % 8 + 1]))
    end
    for i = 1, 8 do
      assert(ring[i]:publish("t", i))
    end
    chaski.sleep(10)
    local n = 0
    for key, times in pairs(count) do
      n = n + 1
      assert.equal(1, times, key)
    end
    assert.equal(8 * 7, n)
  end, { seed = 2, jitter = 0.005, chunk = 7 })

  it_runs("requests are answered, by handlers that wait and ask in turn", function()
    local a, b, c = node "a", node "b", node "c"
    assert(a:connect(b))
    assert(b:connect(c))
    c:serve("base", function()
      chaski.sleep(2)
      return 40
    end)
    b:serve("sum", function(kwargs)
      return assert(b:request("base", {}, { edge = b:get_edge_by_name "c" })) + kwargs.n
    end)
    assert.equal(42, a:request("sum", { n = 2 }))
    local _, err = a:request("sum", { n = 2 }, { timeout = 1 })
    assert.equal("timeout", err.code)
    assert.equal("b", assert(a:request_status(b.ip, b.port)).name)
  end)

  it_runs("a partition that heals is healed by the reconnect policy", function(sim)
    local a, b = node("a", { reconnections = 1000 }), node "b"
    assert(a:connect(b))
    local reasons = {}
    for _, event in ipairs { "edge_suspended", "edge_closed" } do
      a:on(event, function(_, reason)
        reasons[#reasons + 1] = reason
      end)
    end
    sim:partition({ a }, { b })
    chaski.sleep(160)
    assert.same({ "lease", "lost" }, reasons)
    assert.equal(0, #a.edges)
    assert.is_true(a.status.reconnecting)
    sim:partition({ a }, { b }, false)
    eventually(function()
      return #a.edges == 1 and #b.edges == 1
    end, "both have an edge again")
  end)

  it_runs("edges can be cut, hosts stalled and refuse, paths be slow", function(sim)
    local a, b, c = node("a", { reconnect = false, limits = { resume_timeout = 0 } }), node "b", node "c"
    local edge, other = assert(a:connect(b)), assert(a:connect(c))
    assert.equal(0, sim:cut(b, c))
    assert.equal(1, sim:cut(a, b))
    chaski.sleep(1)
    assert.equal("reset", edge.reason)
    assert.is_true(other.live)
    edge = assert(a:connect(b))
    assert.equal(1, sim:cut(edge))
    chaski.sleep(1)
    assert.is_false(edge.live)
    assert.is_true(other.live)
    sim:refuse(b, true)
    local _, err = a:connect(b)
    assert.equal("refused", err.code)
    sim:refuse(b, false)
    sim:link(a, b, { delay = 0.25 })
    assert.is_true(math.abs(assert(a:ping(assert(a:connect(b)))) - 500) < 1)
    assert.is_true(assert(a:ping(other)) < 3)
    sim:link(c, { delay = 0.1 })
    assert.is_true(assert(a:ping(other)) > 199)
    sim:stall(c, true)
    _, err = a:ping(other, { timeout = 1 })
    assert.equal("timeout", err.code)
    sim:stall(c, false)
    assert(a:ping(other))
  end)

  it_runs("nodes stop, and run again on the same port", function()
    local a, b = node "a", node("b", { reconnect = false })
    local edge, port = assert(b:connect(a)), a.port
    assert.is_true(a:stop())
    chaski.sleep(1)
    assert.equal("goodbye", edge.reason)
    assert(a:run())
    assert.equal(port, a.port)
    assert(b:connect(a))
    do
      local _ <close> = node "closed"
    end
  end)

  it_runs("every, joins, timeouts and the pull style are of virtual time", function()
    local a, b = node "a", node("b", { subscriptions = "t" })
    assert(a:connect(b))
    local n = 0
    local every = chaski.every(0.5, function()
      n = n + 1
      a:publish("t", n)
    end)
    local got = {}
    for message in b:messages("t", { timeout = 2 }) do
      got[#got + 1] = message.data
      if #got == 5 then every:remove() end
    end
    assert.same({ 1, 2, 3, 4, 5 }, got)
    local slow = chaski.spawn(chaski.sleep, 1000)
    local _, err = slow:join(5)
    assert.equal("timeout", err.code)
  end)
end)

describe("sim:run", function()
  it_sim("raises main's error", function(sim)
    local ok, err = pcall(sim.run, sim, function()
      error({ mine = true })
    end)
    assert.is_false(ok)
    assert.same({ mine = true }, err)
    ok, err = pcall(sim.run, sim, function()
      chaski.sleep(1)
      error("later", 0)
    end)
    assert.is_false(ok)
    assert.equal("later", err)
    assert.equal(
      1,
      sim:run(function()
        return 1
      end)
    )
  end)

  it_runs("reports an error in a handler, which ends nothing else", function()
    local a, b, told = node "a", node("b", { subscriptions = "t" }), nil
    b:subscribe("t", function()
      error "in the handler"
    end)
    b:on("handler_error", function(err)
      told = err
    end)
    assert(a:connect(b))
    core.on_error(function() end)
    assert(a:publish("t", 1))
    chaski.sleep(1)
    core.on_error(nil)
    assert.truthy(tostring(told):find "in the handler")
    helper.expect_errors(1)
  end)

  it_sim("says that main waits for something that can never happen, and where", function(sim)
    local closed
    local result, err = sim:run(function()
      chaski.sleep(1)
      local _ <close> = setmetatable({}, {
        __close = function()
          closed = true
        end,
      })
      core.waiter()
      core.park()
    end)
    assert.is_nil(result)
    assert.equal("stalled", err.code)
    assert.truthy(tostring(err):find("sim_spec.lua:%d+ for something that can never happen: at 2%.0+ s"), tostring(err))
    assert.is_true(closed)
    assert.equal(2, sim.now)
  end)

  it_sim("ends main when more virtual time has passed than it may", function(sim)
    local waited, result, err
    local function main()
      local a, b = node "a", node("b", { subscriptions = "t" })
      assert(a:connect(b))
      for _ in b:messages "t" do
      end
      waited = true
    end
    result, err = sim:run(main)
    assert.is_nil(result)
    assert.equal("timeout", err.code)
    assert.equal(86401, sim.now)
    result, err = sim:run({ limit = 5 }, chaski.sleep, 10)
    assert.is_nil(result)
    assert.equal("timeout", err.code)
    assert.equal(86406, sim.now)
    assert.is_nil(waited)
  end)

  it_sim("runs one simulation at a time, and no other loop in it", function(sim)
    local other <close> = chaski.sim { seed = 2 }
    sim:run(function()
      assert.has_error(function()
        sim:run(print)
      end, "sim:run: this simulation is running already")
      assert.has_error(function()
        other:run(print)
      end, "sim:run: another simulation is running")
      assert.has_error(function()
        sim:close()
      end, "sim:close: the simulation is running")
      assert.has_error(function()
        chaski.run(print)
      end, "run: the loop runs already")
      assert.has_error(function()
        require("luv").run()
      end)
    end)
    assert.equal(
      "x",
      other:run(function()
        return "x"
      end)
    )
  end)

  it_sim("lets nothing of the real world go on, and all of it afterwards", function(sim)
    local order = {}
    local function note(what)
      return function()
        chaski.sleep(0)
        order[#order + 1] = what
      end
    end
    local real, cancelled = chaski.spawn(note "real"), chaski.spawn(note "cancelled")
    sim:run(function()
      chaski.sleep(10)
      cancelled:cancel() -- takes effect in its own world
      order[#order + 1] = "sim"
    end)
    assert.is_true(real:join())
    local _, err = cancelled:join()
    assert.equal("cancelled", err.code)
    assert.same({ "sim", "real" }, order)
  end)

  it_sim("wakes who joins a simulated task in the real world", function(sim)
    local inner = sim:run(function()
      return chaski.spawn(function()
        chaski.sleep(5)
        return "done"
      end)
    end)
    local joined = chaski.spawn(function()
      return inner:join()
    end)
    assert.equal("parked", joined.status)
    sim:pass(6)
    assert.equal("parked", joined.status)
    local _, ok, value = joined:join()
    assert.is_true(ok)
    assert.equal("done", value)
  end)

  it("runs outside of tasks and loops too", function()
    local sim <close> = chaski.sim { seed = 1 }
    assert.equal(
      "b",
      sim:run(function()
        local a, b = node "a", node "b"
        return assert(a:connect(b)).name
      end)
    )
    coroutine.wrap(function()
      assert.equal(
        11,
        sim:run(function()
          chaski.sleep(10)
          return math.floor(chaski.now())
        end)
      )
    end)()
  end)
end)

describe("using a node", function()
  local function refused(pattern, fn, ...)
    local ok, err = pcall(fn, ...)
    assert.is_false(ok)
    assert.truthy(tostring(err):find(pattern, 1, true), tostring(err))
  end

  it_sim("of a simulation outside of its run raises, naming function and node", function(sim)
    local a, b, edge, subscription = sim:run(function()
      local a, b = node "a", node("b", { subscriptions = "t" })
      return a, b, assert(a:connect(b)), b:messages "t"
    end)
    local why = "belongs to a simulation, and can be used only while that runs (sim:run)"
    refused("node:connect: the node a " .. why, a.connect, a, b)
    refused("node:connect: the node a " .. why, a.connect, a, "127.0.0.1:1")
    refused("node:publish: the node a " .. why, a.publish, a, "t", 1)
    refused("node:try_publish", a.try_publish, a, "t", 1)
    refused("node:write", a.write, a, "c", 1)
    refused("node:write_data", a.write_data, a, "x")
    refused("node:ping", a.ping, a, edge)
    refused("node:stop", a.stop, a)
    refused("node:run", a.run, a)
    refused("node:send_udp_message", a.send_udp_message, a, "c", 1, "10.0.0.2", 5000)
    refused("edge:close", edge.close, edge)
    refused("node:messages", subscription)
    assert.equal("a", a.name)
    assert.is_true(edge.live)
    assert.equal(1, #a.edges)
    refused("sim:node", sim.node, sim, {})
    local other <close> = chaski.sim { seed = 2 }
    other:run(function()
      refused("node:connect: the node b belongs to another simulation", function()
        node("c"):connect(b)
      end)
      refused("not one of this simulation", other.stall, other, a, true)
      refused("not of this simulation", other.cut, other, edge)
    end)
  end)

  it_sim("of the real world in a simulation raises", function(sim)
    local real = node "real"
    sim:run(function()
      local a = node "a"
      refused("node:connect: the node real is a real one, and cannot be used in a simulation", a.connect, a, real)
      refused("node:connect: the node real is a real one", real.connect, real, a)
      refused("node:publish", real.publish, real, "t", 1)
      refused("not one of this simulation", sim.stall, sim, real, true)
      local _, err = a:connect(real.address)
      assert.equal("refused", err.code)
      real:on("stopped", function() end)
    end)
    real:stop()
  end)
end)

describe("closing a simulation", function()
  it_async("cancels its tasks, which may tidy up, and ends its nodes", function()
    local sim = chaski.sim { seed = 1 }
    local caught, closed, parked
    local a, inner = sim:run(function()
      local a, b = node("a", { subscriptions = "x" }), node("b", { subscriptions = "t" })
      assert(a:connect(b))
      b:subscribe("t", function()
        chaski.sleep(1000)
      end)
      for i = 1, 3 do
        a:publish("t", i)
      end
      chaski.spawn(function()
        local _ <close> = setmetatable({}, {
          __close = function()
            closed = true
          end,
        })
        chaski.sleep(1000)
      end)
      chaski.spawn(function()
        parked = a:discovery { timeout = 100 }
      end)
      chaski.spawn(function()
        a:connect "10.9.9.9:1000"
      end)
      chaski.sleep(1)
      return a,
        chaski.spawn(function()
          local _, err = pcall(chaski.sleep, 1000)
          caught = err.code
          chaski.sleep(1000) -- too late
        end)
    end)
    sim:close()
    assert.equal("cancelled", caught)
    assert.is_true(closed)
    assert.is_nil(parked)
    local ok, err = inner:join()
    assert.is_nil(ok)
    assert.equal("cancelled", err.code)
    assert.equal("chaski.node (closed)", tostring(a))
    assert.equal("chaski.sim (closed)", tostring(sim))
    assert.is_true(sim.closed)
    assert.is_nil(a.name)
    assert.same({}, sim.nodes)
    sim:close()
    assert.has_error(function()
      sim:run(print)
    end, "bad argument #1 to 'sim_run' (the simulation is closed)")
  end)

  it_async("happens by itself when nobody knows it any more", function()
    local before = core.counts().sims
    do
      local sim = chaski.sim { seed = 1 }
      sim:run(function()
        local a, b = node "a", node "b"
        a:connect(b)
        chaski.spawn(chaski.sleep, 1e6)
      end)
      assert.equal(before + 1, core.counts().sims)
    end
    collectgarbage()
    collectgarbage()
    assert.equal(before, core.counts().sims)
  end)

  it_async("is not needed at the end of a program", function()
    local left = [[
      local chaski = require "chaski"
      sim = chaski.sim { seed = 1 }
      sim:run(function()
        a, b = chaski.node {}, chaski.node { subscriptions = "t" }
        b:subscribe("t", function() chaski.sleep(1000) end)
        a:connect(b)
        a:publish("t", 1)
        chaski.spawn(chaski.sleep, 1000)
        chaski.sleep(1)
        %s
      end)
      print "end"
    ]]
    local ended = helper.run { helper.file(left:format "") }
    assert.same({ 0, "end\n", "" }, { ended.code, ended.out, ended.err })
    ended = helper.run { helper.file(left:format "os.exit(3, true)") }
    assert.same({ 3, "", "" }, { ended.code, ended.out, ended.err })
    ended = helper.run { helper.file(left:format "error 'main fails'") }
    assert.equal(1, ended.code)
    assert.truthy(ended.err:find("main fails", 1, true))
    helper.clean()
  end)
end)

describe("chaski.sim", function()
  it("checks its options", function()
    local function refused(why, fn, ...)
      local ok, err = pcall(fn, ...)
      assert.is_false(ok)
      assert.truthy(err:find(why, 1, true), err)
    end
    refused("chaski.sim: option 'seed': expected an integer, got nil", chaski.sim)
    refused("chaski.sim: option 'seed'", chaski.sim, { seed = "x" })
    refused("chaski.sim: unknown option 'sed', did you mean 'seed'?", chaski.sim, { seed = 1, sed = 2 })
    refused("chaski.sim: option 'loss': expected number 0..1, got integer 2", chaski.sim, { seed = 1, loss = 2 })
    local sim <close> = chaski.sim { seed = 1 }
    refused("sim:run: expected a function, got nil", sim.run, sim, { limit = 5 })
    refused("sim:run: option 'limit': expected seconds above 0, got integer 0", sim.run, sim, { limit = 0 }, print)
    assert.has_error(function()
      sim:pass(-1)
    end)
    assert.has_error(function()
      sim:link("not an address", {})
    end)
    assert.has_error(function()
      sim:cut("10.0.0.1")
    end)
    assert.has_error(function()
      sim:stall(nil, true)
    end)
    assert.equal(0, sim:cut("10.0.0.1", "10.0.0.2"))
  end)
end)
