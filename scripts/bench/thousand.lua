-- thousand.lua [NODES]: NODES (1000) nodes in one process, each with 4 edges (a ring with chords), come up, exchange
-- one message over each edge, and stop. Prints the time and the resident memory of a node and of an edge.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local chaski = require "chaski"
local resources = require "resources"

local count = require("usage").integers("scripts/bench/thousand.lua [NODES], at least 15", { { 1000, 15 } })
local needed = count * 5 + 64 -- a listener a node, two ends of two edges a node

resources.need_files("thousand", ("a process of %d nodes"):format(count), needed)
local resident_kib = resources.resident_kib

local nodes, got = {}, 0
collectgarbage()
local empty = resident_kib()
for i = 1, count do
  nodes[i] = assert(chaski.node { name = ("n%d"):format(i) })
  nodes[i]:subscribe("hello", function(message)
    assert(message.data)
    got = got + 1
  end)
end
collectgarbage()
local with_nodes = resident_kib()

local tasks = {}
for i, node in ipairs(nodes) do
  tasks[i] = chaski.spawn(function()
    for _, step in ipairs { 1, 7 } do
      assert(node:connect(nodes[(i + step - 1) % count + 1], { timeout = 60 }))
    end
  end)
end
for _, task in ipairs(tasks) do
  assert(task:join(120))
end
for _, node in ipairs(nodes) do
  for _ = 1, 400 do
    if #node.edges == 4 then break end
    chaski.sleep(0.05)
  end
  assert(#node.edges == 4, ("%s has %d edges"):format(node.name, #node.edges))
end
collectgarbage()
local with_edges = resident_kib()

for i, node in ipairs(nodes) do
  assert(node:publish("hello", i))
end
for _ = 1, 600 do
  if got == 4 * count then break end
  chaski.sleep(0.05)
end
assert(got == 4 * count, ("%d of %d messages"):format(got, 4 * count))

local stops = {}
for i, node in ipairs(nodes) do
  stops[i] = chaski.spawn(function()
    assert(node:stop())
  end)
end
for _, task in ipairs(stops) do
  assert(task:join(120))
end

print(("%d nodes, %d edges, %d messages exchanged"):format(count, 2 * count, got))
print(
  ("%.1f KiB a node without edges, %.1f KiB an end of an edge"):format(
    (with_nodes - empty) / count,
    (with_edges - with_nodes) / (4 * count)
  )
)
