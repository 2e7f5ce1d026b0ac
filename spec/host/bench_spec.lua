-- bench_spec.lua: the measurements as programs: what they say to arguments. SPDX-License-Identifier: MIT
local helper = require "spec.helper"

local function it_async(name, test)
  it(name, helper.async(test, 20))
end

local names = { "thousand", "exactly_once", "discovery", "enrol", "slow_consumer", "throughput", "edges" }

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

  it_async("of many edges says what they cost, and leaves nothing", function()
    if os.getenv "CHASKI_VALGRIND" then return end -- four processes
    local process = helper.run({ "scripts/bench/edges.lua", "--edges", "200" }, { timeout = 15 })
    assert.equal("", process.err)
    assert.equal(0, process.code)
    assert.matches("^200 edges from 3 processes in [%d.]+ s", process.out)
    assert.matches("[%d.]+ KiB an idle edge\n", process.out)
    assert.matches("200 answers, 0 failed", process.out)
    assert.matches("left: nothing\n$", process.out)
  end)

  it_async("of many edges says so when too few files may be opened", function()
    if os.getenv "CHASKI_VALGRIND" then return end -- it has limits of its own
    local script = 'ulimit -n 500; exec "$0" scripts/bench/edges.lua --edges 1000'
    local process = helper.run({ "-c", script, helper.program }, { program = "/bin/sh" })
    assert.equal(1, process.code)
    assert.equal("edges: a hub with 1000 edges needs 1100 open files, the limit is 500 (ulimit -Hn)\n", process.err)
  end)

  it_async("of a slow consumer finds that the others lose nothing", function()
    if not os.getenv "CHASKI_FULL" or helper.slowness > 1 then return end
    local words = { "scripts/bench/slow_consumer.lua", "--pairs", "1", "--window", "1", "--wake", "1", "--stop", "1" }
    local process = helper.run(words, { timeout = 18 })
    assert.equal(0, process.code, process.out .. process.err)
    assert.matches("0 of the other nine miss something", process.out)
  end)
end)
