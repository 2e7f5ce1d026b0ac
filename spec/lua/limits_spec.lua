-- limits_spec.lua: limits that are enforced near Lua: what requests, discoveries, data and datagrams may be, and that
-- each hit is counted; and what is told when queues are full. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local helper = require "spec.helper"
local nodes = require "spec.lua.nodes"
local options = require "chaski.options"

local test, eventually = nodes.test, helper.eventually

local function hits(node, limit)
  return node.status.limits[limit].hits
end

local function is_hit(node, limit, n)
  eventually(function()
    return hits(node, limit) == n
  end, ("%s: %d hits, not %d"):format(limit, n, hits(node, limit)))
end

local function knows(edge, topic)
  eventually(function()
    return edge:is_subscribed(topic)
  end, "the peer's subscription is known")
end

describe("the limits of a node", function()
  it(
    "are all in its status, with their values and hits, and can be set",
    test(function()
      local usual, own = nodes.node "usual", {}
      for _, row in ipairs(core.limit_rows()) do
        local scale = row.unit == "s" and 1e9 or 1
        assert.equal(row.value / scale, usual.status.limits[row.name].value, row.name)
        assert.equal(0, usual.status.limits[row.name].hits, row.name)
        if not row.name:find "^queue_" and not row.name:find "_max$" then
          own[row.name] = scale == 1 and row.least or row.least / scale
        end
      end
      local node = nodes.node("own", { limits = own })
      for name, value in pairs(own) do
        assert.equal(value, node.status.limits[name].value, name)
      end
    end)
  )

  local units = { { 1024 * 1024, "MiB" }, { 1024, "KiB" }, { 1, "bytes" } }

  --- 8 MiB, 0.1 s, 100
  local function in_words(row)
    if row.unit == "s" then return ("%g s"):format(row.value / 1e9) end
    if row.unit == "count" then return tostring(row.value) end
    for _, unit in ipairs(units) do
      if row.value >= unit[1] and row.value % unit[1] == 0 then
        return ("%d %s"):format(row.value // unit[1], unit[2])
      end
    end
    return row.value .. " bytes"
  end

  it("are told of in the reference as they are", function()
    local file <close> = assert(io.open "lua/chaski/meta.lua")
    local text = file:read "a"
    for _, row in ipairs(core.limit_rows()) do
      local line = ("---@field %s chaski.limit %s: %s\n"):format(row.name, in_words(row), row.reason)
      assert.is_truthy(text:find(line, 1, true), line)
    end
  end)

  it("of all queues is no less than that of one", function()
    assert.error_matches(function()
      chaski.node { run = false, limits = { queue_total = 1024 * 1024 } }
    end, "queue_hard is above queue_total")
  end)
end)

describe("requests", function()
  local function ask(a, n)
    local answered, busy, tasks = 0, 0, {}
    for i = 1, n do
      tasks[i] = chaski.spawn(a.request, a, "echo", {})
    end
    for _, task in ipairs(tasks) do
      local _, answer, err = task:join()
      answered = answered + (answer and 1 or 0)
      busy = busy + (err and err.code == "busy" and 1 or 0)
    end
    return answered, busy
  end

  it(
    "are held to request_rate",
    test(function()
      local a, b = nodes.pair(nil, { limits = { request_rate = 2 } })
      b:serve("echo", function()
        return {}
      end)
      local start = chaski.now()
      local answered, busy = ask(a, 20)
      assert.equal(20, answered + busy)
      assert.is_true(answered >= 4 and answered <= 4 + 2 * (chaski.now() - start))
      assert.equal(busy, hits(b, "request_rate"))
    end)
  )

  for _, limit in ipairs { "requests_max", "requests_per_edge" } do
    it(
      "are held to " .. limit,
      test(function()
        local a, b = nodes.pair(nil, { limits = { [limit] = 3 } })
        local go = false
        b:serve("echo", function()
          eventually(function()
            return go
          end, "let go")
          return {}
        end)
        chaski.spawn(function()
          eventually(function()
            return hits(b, limit) == 5
          end, "five are refused")
          go = true
        end)
        local answered, busy = ask(a, 8)
        assert.same({ 3, 5 }, { answered, busy })
        assert.equal(5, hits(b, limit))
        assert.equal(0, hits(b, "request_rate"))
      end)
    )
  end
end)

describe("discoveries", function()
  local function send(a, edge, n)
    for i = 1, n do
      local data = {
        discovery_id = core.uuid(),
        origin_ip = "127.0.0.1",
        origin_port = 9000,
        origin_name = "somebody else",
        previous_node = "a",
        visited = chaski.array { "a" },
        origin_subscription = "nobody's " .. i,
        ttl = 8,
      }
      assert(a:write("discovery", data, { edge = edge }))
    end
  end

  for _, case in ipairs { { 5, {} }, { 2, { discovery_rate = 2 } } } do
    local rate, limits = table.unpack(case)
    it(
      ("are held to discovery_rate: %d"):format(rate),
      test(function()
        local a, b, edge = nodes.pair(nil, { limits = limits })
        local taken = 0
        local rates = core.node_state(b).discovery.rates
        local take = rates.take
        rates.take = function(...)
          local ok = take(...)
          taken = taken + (ok and 1 or 0)
          return ok
        end
        local start = chaski.now()
        send(a, edge, 40)
        eventually(function()
          return taken + hits(b, "discovery_rate") == 40
        end, "all have come")
        assert.is_true(taken >= 4 * rate and taken <= 4 * rate + rate * (chaski.now() - start) + 1)
      end)
    )
  end
end)

describe("the data of a message", function()
  local function nested(depth)
    local value = {}
    for _ = 2, depth do
      value = { value }
    end
    return value
  end

  local function pairs_of(n, key)
    local value = chaski.map {}
    for i = 1, n do
      value[key(i)] = true
    end
    return value
  end

  local function spread(i)
    return 1000 * i
  end

  local cases = {
    { "message_depth", 32, nested, 5 },
    {
      "message_key",
      256,
      function(n)
        return { [("k"):rep(n)] = 1 }
      end,
      10,
    },
    {
      "message_number_keys",
      4096,
      function(n)
        return pairs_of(n, spread)
      end,
      7,
    },
    {
      "message_tables",
      65536,
      function(n)
        local value = {}
        for i = 1, n - 1 do
          value[i] = {}
        end
        return value
      end,
      9,
    },
    {
      "message_values",
      1048576,
      function(n)
        return table.move({}, 1, 0, 1, chaski.array(load("return {" .. ("0,"):rep(n) .. "}")()))
      end,
      11,
    },
  }

  for _, case in ipairs(cases) do
    local name, default, make, own = table.unpack(case)
    it(
      "is held to " .. name,
      test(function()
        assert.equal(default, nodes.node("usual").limits[name].value)
        local a, b, edge = nodes.pair(nil, { limits = { [name] = own } })
        local got, wait = nodes.collector()
        b:subscribe("x", function(message)
          local ok, err = pcall(function()
            return message.data
          end)
          got[#got + 1] = ok or err.code
        end)
        knows(edge, "x")
        assert(a:publish("x", make(own)))
        assert(a:publish("x", make(own + 1)))
        wait(2)
        assert.same({ true, "malformed_data" }, got)
        assert.equal(1, hits(b, name))
        assert.equal(0, hits(a, name))
        assert.is_true(edge.live)
      end)
    )
  end
end)

it(
  "a datagram is held to datagram_max at both ends",
  test(function()
    if nodes.secure then return end -- there are none
    local a, b = nodes.node "a", nodes.node("b", { limits = { datagram_max = 300 } })
    assert(a:send_udp_message("x", ("z"):rep(400), "127.0.0.1", b.port))
    is_hit(b, "datagram_max", 1)
    local ok, err = b:send_udp_message("x", ("z"):rep(400), "127.0.0.1", a.port)
    assert.is_nil(ok)
    assert.equal("too_big", err.code)
    assert.equal(1200, a.limits.datagram_max.value)
  end)
)

it(
  "the pool of ids counts what it lets go",
  test(function()
    local a = nodes.node("a", { messages_pool_maxsize = 10 })
    for i = 1, 13 do
      a.messages_pool:append("id " .. i)
    end
    assert.equal(3, hits(a, "messages_pool_maxsize"))
    assert.equal(0, hits(a, "pool_per_edge"))
  end)
)

it(
  "a loop that is held up counts it",
  test(function()
    local a = nodes.node("a", { limits = { loop_lag = 0.02 } })
    local sleeper = chaski.spawn(chaski.sleep, 0.005)
    chaski.sleep(0)
    local till = chaski.now() + 0.1
    while chaski.now() < till do
    end
    sleeper:join()
    assert.is_true(hits(a, "loop_lag") >= 1)
  end)
)

describe("full queues", function()
  local small = { queue_low = 4096, queue_high = 32768, queue_hard = 262144, data_max = 131072 }

  --- a, and b and c that subscribe to "x" and "y"; the handler of b stands still until open() is called.
  local function three(overflow)
    local a = nodes.node("a", { limits = small, overflow = overflow })
    local b, c, gate = nodes.node "b", nodes.node "c", true
    local got = { b = {}, c = {} }
    local function handler(node, blocks)
      for _, topic in ipairs { "x", "y" } do
        node:subscribe(topic, function(message)
          while blocks and gate do
            chaski.sleep(0.001)
          end
          local list = got[node.name]
          list[#list + 1] = message.data.n
        end, { overflow = "block", inbox = 1 })
      end
    end
    handler(b, true)
    handler(c, false)
    local slow, quick = assert(a:connect(b)), assert(a:connect(c))
    for _, edge in ipairs { slow, quick } do
      knows(edge, "x")
      knows(edge, "y")
    end
    return a, slow, got, function()
      gate = false
    end, quick
  end

  local pad = ("z"):rep(4000)

  --- Publish until done() is true; how many there were.
  local function flood(a, topic, done)
    local n = 0
    while not done() do
      n = n + 1
      assert(a:publish(topic, { n = n, pad = pad }))
      assert.is_true(n < 20000)
    end
    return n
  end

  it(
    "let the oldest go, where it is so chosen for the topic",
    test(function()
      local a, slow, got, open = three { "disconnect", x = "drop_old" }
      local told = 0
      a:on("undelivered", function(what)
        assert.equal("full", what.reason)
        assert.equal("x", what.topic)
        assert.is_true(rawequal(slow, what.edge))
        told = told + 1
      end)
      local n = flood(a, "x", function()
        return a.ledger.queue_dropped > 20
      end)
      local l = a.ledger
      assert.equal(l.queued, l.acknowledged + l.written + l.lost + l.queue_dropped + l.in_flight)
      open()
      eventually(function()
        return got.b[#got.b] == n and #got.c == n
      end, "the newest has come")
      assert.equal(n - a.ledger.queue_dropped, #got.b)
      eventually(function()
        return told == a.ledger.queue_dropped
      end, "each is told of")
      assert.is_true(hits(a, "queue_hard") > 0)
    end)
  )

  it(
    "cut off who is slow, for all other topics",
    test(function()
      local a, slow = three { "disconnect", x = "drop_old" }
      flood(a, "y", function()
        return not slow.live
      end)
      assert.equal("slow_consumer", slow.reason)
      assert.equal(0, a.ledger.queue_dropped)
    end)
  )

  it(
    "tell of themselves, and who only tries which edges they are",
    test(function()
      local a, slow, _, open, quick = three { y = "block" }
      local told = {}
      for _, event in ipairs { "pause_writing", "resume_writing" } do
        a:on(event, function(edge)
          if rawequal(edge, slow) then told[#told + 1] = event end
        end)
      end
      repeat -- what the kernel takes is taken
        flood(a, "x", function()
          return not slow.writable
        end)
        eventually(function()
          return quick.writable and quick.queued == 0
        end, "the other one has kept up")
        chaski.sleep(0.02)
      until not slow.writable
      local ok, err = a:try_publish("y", { n = 0 })
      assert.is_nil(ok)
      assert.equal("full", err.code)
      assert.equal(1, #err.edges)
      assert.is_true(rawequal(slow, err.edges[1]))
      assert(a:try_publish("x", { n = 0 })) -- does not wait for the slowest
      eventually(function()
        return told[#told] == "pause_writing"
      end, "it is told")
      open()
      assert(a:publish("y", { n = 0 })) -- waits
      eventually(function()
        return told[#told] == "resume_writing"
      end, "it is told")
    end)
  )

  it(
    "of the whole process have a bound, above which the largest goes",
    test(function()
      local limits = { queue_total = 262144 }
      for name, value in pairs(small) do
        limits[name] = value
      end
      local a, b = nodes.pair { limits = limits, overflow = "drop_new" }
      b:subscribe("x", function() end)
      local edge = a.edges[1]
      knows(edge, "x")
      local reason
      a:on("edge_closed", function(_, why)
        reason = why
      end)
      local block = ("z"):rep(100000)
      while edge.live and a:write("x", block, { edge = edge }) do
      end
      eventually(function()
        return reason
      end, "it is told")
      assert.equal("slow_consumer", reason)
      assert.equal(1, hits(a, "queue_total"))
    end)
  )

  it("are dealt with in ways that there are", function()
    local function refused(overflow, text)
      assert.error_matches(function()
        chaski.node { run = false, overflow = overflow }
      end, text, 1, true)
    end
    refused("drop", "option 'overflow': expected 'disconnect', 'drop_new', 'drop_old', 'block' or a table of such")
    refused({ x = "drop" }, "option 'overflow'")
    refused({ [2] = "block" }, "option 'overflow'")
    refused({ [("x"):rep(300)] = "block" }, "option 'overflow': a topic is empty or over topic_max")
    assert(chaski.node { run = false, overflow = { "block", x = "drop_old" } })
  end)
end)

it("limits know what they are called", function()
  assert.error_matches(function()
    options.limits("here", { queue_totl = 1 })
  end, "did you mean 'queue_total'?", 1, true)
end)
