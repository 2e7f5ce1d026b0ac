-- reconnect_spec.lua: dialling again after a loss. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local helper = require "spec.helper"
local nodes = require "spec.lua.nodes"

local test, eventually = nodes.test, helper.eventually

--- End a node as if its process had died: no goodbye.
local function kill(node)
  local close = getmetatable(node).__close
  table.sort({ 1, 2 }, function()
    if close then close(node) end
    close = nil
    return false
  end)
end

describe("the default policy", function()
  it("is decorrelated jitter within its bounds, and gives up", function()
    local policy = chaski.reconnect { base = 1, cap = 10 }
    local node, delay = { reconnections = 50 }, nil
    for attempt = 1, 50 do
      local most = math.max(1, (delay or 1) * 3)
      delay = policy(node, nil, attempt, delay)
      assert.is_true(delay >= 1 and delay <= 10 and delay <= most)
    end
    assert.is_nil(policy(node, nil, 51, delay))
  end)
end)

describe("a node", function()
  it(
    "dials again after a loss until the peer is back",
    test(function()
      local b = nodes.node "b"
      local attempts = {}
      local a = nodes.node("a", {
        reconnect = function(_, edge, attempt, previous)
          attempts[#attempts + 1] = { edge.name, attempt, previous }
          return 0.01
        end,
      })
      assert(a:connect(b))
      local port = b.port
      kill(b)
      eventually(function()
        return #attempts >= 2
      end, "two attempts")
      assert.is_true(a.status.reconnecting)
      assert.same({ "b", 1 }, attempts[1])
      assert.same({ "b", 2, 0.01 }, attempts[2])
      local again = nodes.node("b2", { port = port })
      eventually(function()
        return a:get_edge_by_name "b2"
      end, "the edge is back")
      eventually(function()
        return not a.status.reconnecting
      end, "it is over")
      assert.is_true(again.running)
    end)
  )

  it(
    "does not dial again after a goodbye",
    test(function()
      local asked = false
      local b = nodes.node "b"
      local a = nodes.node("a", {
        reconnect = function()
          asked = true
          return 0
        end,
      })
      assert(a:connect(b))
      eventually(function()
        return #b.edges == 1
      end, "b has the edge too")
      local reason
      a:on("edge_closed", function(_, why) -- told after the one that would dial again
        reason = why
      end)
      b:stop()
      eventually(function()
        return reason
      end, "the edge is gone")
      assert.equal("goodbye", reason)
      assert.is_false(asked)
      assert.is_false(a.status.reconnecting)
    end)
  )

  it(
    "dials again after a goodbye of a peer that stops, if the option says so",
    test(function()
      local asked = 0
      local function policy()
        asked = asked + 1
        return 0.01
      end
      for _, option in ipairs { { base = 0.01, cap = 0.02, goodbye = true }, { policy = policy, goodbye = true } } do
        local hub = nodes.node "hub"
        local a = nodes.node("a", { reconnect = option })
        local edge = assert(a:connect(hub))
        hub:stop()
        eventually(function()
          return not edge.live
        end, "the edge is gone")
        assert.equal("goodbye", edge.reason)
        assert.equal("stopped", edge.detail)
        assert(hub:run())
        eventually(function()
          return a:get_edge_by_name "hub" and #hub.edges == 1
        end, "the edge is back")
        hub.edges[1]:close() -- it does not want us: no reason to dial again
        eventually(function()
          return #a.edges == 0
        end, "the edge is gone")
        assert.is_false(a.status.reconnecting)
      end
      assert.is_true(asked > 0)
    end)
  )

  it(
    "checks what its option says",
    test(function()
      assert.error_matches(function()
        chaski.node { reconnect = { goodby = true } }
      end, "^chaski.node: option 'reconnect': unknown option 'goodby'")
      assert.error_matches(function()
        chaski.node { reconnect = { base = "1" } }
      end, "^chaski.node: option 'reconnect': option 'base': expected seconds")
    end)
  )

  it(
    "gives up when the policy says so, or its node stops",
    test(function()
      local b = nodes.node "b"
      local a = nodes.node("a", {
        limits = { resume_timeout = 0 },
        reconnect = function(_, _, attempt)
          return attempt < 3 and 0.001 or nil
        end,
      })
      local edge = assert(a:connect(b))
      kill(b)
      eventually(function()
        return not edge.live
      end)
      eventually(function()
        return not a.status.reconnecting
      end, "it gave up")

      local c = nodes.node "c"
      local d = nodes.node("d", {
        reconnect = function()
          return 60
        end,
      })
      assert(d:connect(c))
      kill(c)
      eventually(function()
        return d.status.reconnecting
      end, "it waits")
      d:stop()
      eventually(function()
        return not d.status.reconnecting
      end, "it is over")
    end)
  )

  it(
    "reconnects when the script asks",
    test(function()
      local a, b = nodes.node("a", { reconnect = { base = 0.001, cap = 0.01 } }), nodes.node "b"
      local edge = assert(a:connect(b))
      edge:close()
      eventually(function()
        return not edge.live and #b.edges == 0
      end)
      local again = assert(a:try_to_reconnect(edge))
      assert.is_true(again.live)
      assert.equal("b", again.name)
      assert.not_equal(edge, again)
    end)
  )

  it(
    "does not, when the option is false",
    test(function()
      local a, _, edge = nodes.pair()
      assert.equal("forbidden", select(2, a:try_to_reconnect(edge)).code)
    end)
  )
end)
