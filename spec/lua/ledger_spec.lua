-- ledger_spec.lua: accepted means accounted: node.ledger balances at every moment, and what is not delivered is told
-- with its reason. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local nodes = require "spec.lua.nodes"

local function balance(node)
  local l = node.ledger
  assert.equal(l.queued, l.acknowledged + l.written + l.lost + l.queue_dropped + l.in_flight)
  return l
end

local function it_runs(name, body)
  it(name, function()
    local sim <close> = chaski.sim { seed = 11 }
    sim:run(function()
      body(sim)
    end)
  end)
end

local function node(name, options)
  options = options or {}
  options.name, options.reconnect = name, options.reconnect or false
  return assert(chaski.node(options))
end

describe("a node's ledger", function()
  it_runs("has each field of the balance from the start", function()
    local a = node "a"
    local l = balance(a)
    for _, field in ipairs { "queued", "acknowledged", "written", "lost", "in_flight" } do
      assert.equal(0, l[field], field)
    end
  end)

  it_runs("balances at every moment of a stormy life", function(sim)
    local a, b = node("a", { reconnect = { base = 0.05, cap = 0.5 } }), node "b"
    local got = 0
    b:subscribe("t", function()
      got = got + 1
    end)
    local edge = assert(a:connect(b))
    for i = 1, 200 do
      assert(a:publish("t", ("x"):rep(i)))
      balance(a)
      chaski.sleep(chaski.random() / 50)
      balance(a)
      balance(b)
      if i % 20 == 0 then sim:cut(edge) end
    end
    chaski.sleep(10)
    local l = balance(a)
    assert.equal(200, got)
    assert.same({ 0, 0 }, { l.in_flight, l.lost })
    assert.is_true(l.acknowledged >= 200 and l.resumes >= 5)
  end)

  it_runs("counts as written what goes over an edge without a session", function(sim)
    local a, b = node("a", { limits = { resume_timeout = 0 } }), node "b"
    b:subscribe("t", function() end)
    local edge = assert(a:connect(b))
    chaski.sleep(1)
    local before = balance(a).written
    for i = 1, 10 do
      assert(a:publish("t", i))
    end
    chaski.sleep(1)
    local l = balance(a)
    assert.is_true(l.written >= before + 10)
    assert.equal(0, l.acknowledged)
    sim:cut(edge)
    chaski.sleep(1)
    balance(a)
  end)

  it_runs("knows what a full queue did not take, and tells reason, topic, uuid and edge", function(sim)
    local small = { preauth_max = 4096, data_max = 4096, queue_low = 1024, queue_high = 8192, queue_hard = 16384 }
    local a, slow, quick = node("a", { limits = small, overflow = "drop_new" }), node "slow", node "quick"
    for _, each in ipairs { slow, quick } do
      each:subscribe("t", function() end)
    end
    local edge = assert(a:connect(slow))
    assert(a:connect(quick))
    chaski.sleep(1)
    local told = {}
    a:on("undelivered", function(what)
      told[#told + 1] = what
    end)
    sim:stall(slow, true)
    for _ = 1, 100 do
      assert(a:publish("t", ("x"):rep(1000)))
      chaski.sleep(0.01)
      balance(a)
    end
    local l = balance(a)
    assert.is_true(#told > 10)
    assert.equal(l.dropped, #told)
    assert.same({ "full", "t", edge }, { told[1].reason, told[1].topic, told[1].edge })
    assert.equal(36, #told[1].uuid)
    assert.equal(100, l.published)
  end)
end)

describe("messages that no handler gets", function()
  it(
    "are told when an inbox overflows or ends",
    nodes.test(function()
      local a, b = nodes.pair()
      local told = {}
      b:on("undelivered", function(what)
        told[#told + 1] = what.reason
      end)
      local sub = b:subscribe("t", function()
        chaski.sleep(60)
      end, { inbox = 2, overflow = "drop_new" })
      chaski.sleep(0.05)
      for i = 1, 10 do
        assert(a:publish("t", i))
      end
      require("spec.helper").eventually(function()
        return #told >= 7
      end, "those beyond the inbox")
      sub:remove()
      require("spec.helper").eventually(function()
        return b.ledger.inbox_dropped + b.ledger.abandoned == #told
      end, "all that was dropped or abandoned is told")
    end)
  )
end)
