-- limiter_spec.lua: token buckets by key, and those of edges, which go with their edges.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local limiter = require "chaski.limiter"

--- Run body in a simulation, under its clock.
local function simulated(body)
  return function()
    local sim <close> = chaski.sim { seed = 5 }
    sim:run(body)
  end
end

local function taken(limit, key, tries)
  local count = 0
  for _ = 1, tries do
    if limit:take(key) then count = count + 1 end
  end
  return count
end

describe("a limiter", function()
  it(
    "gives each key its burst, then its rate",
    simulated(function()
      local limit = limiter.new(5, 20)
      assert.equal(20, taken(limit, "a", 100))
      assert.equal(20, taken(limit, "b", 100))
      chaski.sleep(2)
      assert.equal(10, taken(limit, "a", 100))
    end)
  )

  it(
    "refuses new keys when there are too many, until old ones are idle",
    simulated(function()
      local limit = limiter.new(1, 1)
      for i = 1, 4096 do
        assert.is_true(limit:take(i))
      end
      assert.is_false(limit:take "one more")
      chaski.sleep(1)
      assert.is_true(limit:take "one more")
    end)
  )

  it(
    "of edges forgets those that have ended",
    simulated(function()
      local server = assert(chaski.node { name = "server" })
      server:serve("echo", function(kwargs)
        return kwargs.v
      end)
      local rates = core.node_state(server).call_rates
      for i = 1, 50 do
        local client = assert(chaski.node { name = "client" .. i })
        local edge = assert(client:connect(server))
        assert.equal(i, client:request("echo", { v = i }))
        assert.equal(1, rates.count)
        edge:close()
        client:stop()
        chaski.sleep(0.1)
        assert.equal(0, rates.count)
      end
    end)
  )
end)
