-- bench_spec.lua: the measurements as programs: what they say to arguments. SPDX-License-Identifier: MIT
local helper = require "spec.helper"

local function it_async(name, test)
  it(name, helper.async(test, 20))
end

local names = { "thousand", "exactly_once", "discovery", "enrol", "slow_consumer", "throughput" }

describe("the measurements", function()
  it_async("tell their usage", function()
    for _, name in ipairs(names) do
      local process = helper.run { ("scripts/bench/%s.lua"):format(name), "--help" }
      assert.equal(0, process.code, name)
      assert.matches("^usage: ", process.out)
      assert.equal("", process.err)
    end
  end)

  it_async("refuse what they do not understand with exit code 2 and their usage", function()
    for _, name in ipairs(names) do
      for _, word in ipairs { "abc", "-5", "0", "1.5", "--nonsense" } do
        local process = helper.run { ("scripts/bench/%s.lua"):format(name), word }
        assert.equal(2, process.code, name .. " " .. word)
        assert.matches("^usage: [^\n]*\n$", process.err)
        assert.equal("", process.out)
      end
    end
  end)
end)
