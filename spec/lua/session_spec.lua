-- session_spec.lua: edges that outlive their connections, as a script sees them: edge.session, edge.suspended, the
-- events, publishing meanwhile, and the end of waiting. In a simulation, where a connection can be cut.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local helper = require "spec.helper"

local eventually = helper.eventually

local function it_runs(name, body)
  it(name, function()
    local sim <close> = chaski.sim { seed = 7 }
    sim:run(function()
      body(sim)
    end)
  end)
end

local function node(name, options)
  options = options or {}
  options.name = name
  options.reconnect = options.reconnect or false
  return assert(chaski.node(options))
end

-- a connected to b, b subscribed to "t"; what b has got, and what a was told.
local function pair(options_a, options_b)
  local a, b = node("a", options_a), node("b", options_b)
  local got, told = {}, {}
  b:subscribe("t", function(message)
    got[#got + 1] = message.data
  end)
  for _, event in ipairs { "edge_open", "edge_suspended", "edge_resumed", "edge_closed", "undelivered" } do
    a:on(event, function(first, second)
      told[#told + 1] = { event, first, second }
    end)
  end
  local edge = assert(a:connect(b))
  chaski.sleep(1)
  return a, b, edge, got, told
end

local function of(told, event)
  local list = {}
  for _, each in ipairs(told) do
    if each[1] == event then list[#list + 1] = each end
  end
  return list
end

describe("an edge between two of our nodes", function()
  it_runs("has a session, whose counts both ends agree on", function()
    local a, b, edge = pair()
    for i = 1, 5 do
      assert(a:publish("t", i))
    end
    assert.equal("live", edge.session.state)
    assert.is_true(edge.session.kept_frames >= 5)
    assert.is_true(edge.session.kept_bytes > 0)
    chaski.sleep(1)
    local session = edge.session
    assert.equal(0, session.kept_frames)
    assert.equal(session.sent, session.acknowledged)
    assert.equal(session.sent, b.edges[1].session.received)
    assert.equal(0, session.resumes)
    assert.is_false(edge.suspended)
  end)

  it_runs("has none when one of them does not want it", function(sim)
    local _, _, edge, _, told = pair(nil, { limits = { resume_timeout = 0 } })
    assert.is_nil(edge.session)
    sim:cut(edge)
    chaski.sleep(1)
    assert.equal(1, #of(told, "edge_closed"))
    assert.equal(0, #of(told, "edge_suspended"))
  end)

  it_runs("is suspended when its connection is lost, takes messages meanwhile, and delivers them", function(sim)
    local a, b, edge, got, told = pair()
    sim:cut(edge)
    eventually(function()
      return edge.suspended
    end, "it is suspended")
    assert.is_true(edge.live)
    assert.equal("suspended", edge.session.state)
    assert.same({ edge }, a.edges)
    for i = 1, 5 do
      assert.is_true(a:publish("t", i))
    end
    assert.same({}, got)
    assert.equal(edge, assert(a:connect(b)))
    chaski.sleep(1)
    assert.same({ 1, 2, 3, 4, 5 }, got)
    assert.is_false(edge.suspended)
    assert.equal(1, edge.session.resumes)
    local suspended, resumed = of(told, "edge_suspended")[1], of(told, "edge_resumed")[1]
    assert.equal(edge, suspended[2])
    assert.equal("reset", suspended[3])
    assert.same({ edge, 0 }, { resumed[2], resumed[3] })
    assert.equal(1, #of(told, "edge_open"))
    assert.equal(0, #of(told, "edge_closed"))
  end)

  it_runs("comes back by itself where the node reconnects", function(sim)
    local a, _, edge, got = pair { reconnect = { base = 0.1, cap = 1 } }
    for i = 1, 10 do
      sim:cut(edge)
      assert(a:publish("t", i))
      chaski.sleep(3)
    end
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, got)
    assert.equal(10, edge.session.resumes)
    assert.equal(0, a.ledger.lost)
  end)

  it_runs("ends when nobody came back in time, and what was kept is told message by message", function(sim)
    local a, _, edge, got, told = pair { limits = { resume_timeout = 2 } }
    sim:cut(edge)
    chaski.sleep(0.1)
    for i = 1, 3 do
      assert(a:publish("t", i))
    end
    chaski.sleep(3)
    assert.is_false(edge.live)
    local closed = of(told, "edge_closed")
    assert.same({ 1, "lost" }, { #closed, closed[1][3] })
    local undelivered = of(told, "undelivered")
    assert.equal(3, #undelivered)
    for _, each in ipairs(undelivered) do
      assert.same({ "lost", "t", edge }, { each[2].reason, each[2].topic, each[2].edge })
      assert.equal(36, #each[2].uuid)
    end
    assert.same({}, got)
    assert.equal(3, a.ledger.lost)
  end)

  it_runs("tells how much may be missing when the peer has forgotten it", function(sim)
    local a, b, edge, got, told = pair()
    sim:cut(edge)
    eventually(function()
      return edge.suspended
    end, "it is suspended")
    assert(a:publish("t", "in doubt"))
    b:close_connection(b.edges[1])
    assert.equal(edge, assert(a:connect(b)))
    chaski.sleep(1)
    assert.equal(1, of(told, "edge_resumed")[1][3])
    assert.equal("lost", of(told, "undelivered")[1][2].reason)
    assert(a:publish("t", "new"))
    chaski.sleep(1)
    assert.same({ "new" }, got)
  end)

  it_runs("keeps no more than its bounds while it waits", function(sim)
    local a, b, edge, got = pair { limits = { resume_frames = 32 } }
    sim:cut(edge)
    eventually(function()
      return edge.suspended
    end, "it is suspended")
    local accepted, err = 0, nil
    for i = 1, 100 do
      local ok
      ok, err = a:try_publish("t", i)
      if not ok then break end
      accepted = accepted + 1
    end
    assert.equal("full", err.code)
    assert.is_true(accepted >= 16 and accepted <= 32)
    assert(a:connect(b))
    chaski.sleep(1)
    assert.equal(accepted, #got)
    assert.is_true(a:try_publish("t", "again"))
  end)
end)
