-- experiment.lua [FOLDER [N]]: how fast does news spread in which shape? N nodes on a virtual network, where each hop
-- takes about 20 ms; node 1 says something, and we look when the last has heard it, and how many copies were dropped.
-- A picture of each shape goes to FOLDER.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"

local folder, n = arg[1] or ".", math.tointeger(arg[2] or 24)
local relays = { node = { message_propagation = true, subscriptions = "news" } }

local function spread(topology)
  local heard, last, started = 0, nil, chaski.now()
  for _, node in ipairs(topology.nodes) do
    node:subscribe("news", function()
      heard, last = heard + 1, chaski.now()
    end)
  end
  assert(topology.nodes[1]:publish("news", "it is raining"))
  chaski.sleep(10)
  local copies = 0
  for _, node in ipairs(topology.nodes) do
    copies = copies + node.ledger.duplicates
  end
  return heard, last - started, copies
end

print(("%-12s %6s %9s %7s %10s %7s"):format("shape", "edges", "diameter", "heard", "last in s", "copies"))
for _, shape in ipairs { "line", "ring", "star", "tree", "random", "small_world", "full" } do
  local sim <close> = chaski.sim { seed = 7, delay = 0.02, jitter = 0.005 }
  sim:run(function()
    local topology = assert(chaski.topology[shape](n, relays))
    assert(topology:connect())
    topology:ping()
    local stats, heard, seconds, copies = topology:stats(), spread(topology)
    print(("%-12s %6d %9d %7d %10.3f %7d"):format(shape, stats.edges, stats.diameter, heard, seconds, copies))
    local file <close> = assert(io.open(("%s/%s.svg"):format(folder, shape), "w"))
    file:write(topology:svg())
  end)
end
