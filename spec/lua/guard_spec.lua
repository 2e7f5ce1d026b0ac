-- guard_spec.lua: however many requests come, a discovery dials and asks few addresses a second.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local guard = require "chaski.discovery.guard"

-- How many of 100 addresses not seen before it lets through now.
local function let_through(may, node, round)
  local count = 0
  for i = 1, 100 do
    if may(node, ("10.%d.0.%d:9000"):format(round, i)) then count = count + 1 end
  end
  return count
end

describe("what foreign requests make a node do", function()
  for _, case in ipairs { { "dials", guard.may_dial, 8, 2 }, { "questions", guard.may_ask, 40, 20 } } do
    local what, may, burst, rate = table.unpack(case)

    it(("is %d %s at once at most, then %d a second"):format(burst, what, rate), function()
      local sim <close> = chaski.sim { seed = 3 }
      sim:run(function()
        local node = assert(chaski.node { name = "victim" })
        assert.is_truthy(core.node_state(node).discovery)
        assert.equal(burst, let_through(may, node, 1))
        for second = 1, 5 do
          chaski.sleep(1)
          assert.equal(rate, let_through(may, node, 1 + second))
        end
        chaski.sleep(60)
        assert.equal(burst, let_through(may, node, 9))
      end)
    end)
  end
end)
