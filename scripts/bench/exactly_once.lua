-- exactly_once.lua [COUNT]: a ring of 3 and a full mesh of 6 nodes in one process, propagation on, every node
-- publishing COUNT (100 000) messages as fast as publish lets it. Each handler must get each message of the others
-- exactly once, in order of each origin, and none of its own. Exit 1 if not.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local chaski = require "chaski"

local count = require("usage").integers("scripts/bench/exactly_once.lua [COUNT], at least 1", { { 100000, 1 } })
local wrong = 0

local function check(ok, text, ...)
  if ok then return end
  wrong = wrong + 1
  if wrong <= 20 then io.stderr:write(text:format(...), "\n") end
end

--- A node that counts what it gets from each other, in `got[name]`.
local function counting_node(name)
  local node = assert(chaski.node { name = name, message_propagation = true })
  local got, total = {}, 0
  node:subscribe("numbers", function(message)
    local data = message.data
    local before = got[data.from] or 0
    check(data.from ~= name, "%s got its own message %d", name, data.n)
    check(data.n == before + 1, "%s got %d from %s after %d", name, data.n, data.from, before)
    got[data.from] = data.n
    total = total + 1
  end)
  node:on("undelivered", function(what)
    check(what.reason == "ttl", "%s: undelivered: %s", name, what.reason)
  end)
  return {
    node = node,
    got = got,
    total = function()
      return total
    end,
  }
end

local function link(nodes, full)
  for i = 1, #nodes do
    for j = i + 1, #nodes do
      if full or j == i + 1 or (i == 1 and j == #nodes) then assert(nodes[i].node:connect(nodes[j].node)) end
    end
  end
end

local function publish_all(nodes)
  local tasks = {}
  for i, each in ipairs(nodes) do
    tasks[i] = chaski.spawn(function()
      for n = 1, count do
        assert(each.node:publish("numbers", { from = each.node.name, n = n }))
      end
    end)
  end
  for _, task in ipairs(tasks) do
    assert(task:join(600))
  end
end

local function wait_for_all(nodes)
  local expected = (#nodes - 1) * count
  for _ = 1, 6000 do
    local done = true
    for _, each in ipairs(nodes) do
      done = done and each.total() >= expected
    end
    if done then return end
    chaski.sleep(0.05)
  end
end

local function run(shape, n, full)
  local nodes = {}
  for i = 1, n do
    nodes[i] = counting_node(("n%d"):format(i))
  end
  link(nodes, full)
  local started = os.clock()
  publish_all(nodes)
  wait_for_all(nodes)
  local delivered, duplicates = 0, 0
  for _, each in ipairs(nodes) do
    for _, other in ipairs(nodes) do
      local expected = other == each and 0 or count
      local got = each.got[other.node.name] or 0
      check(got == expected, "%s has %d of %d from %s", each.node.name, got, expected, other.node.name)
    end
    delivered = delivered + each.total()
    duplicates = duplicates + each.node.ledger.duplicates
    assert(each.node:stop())
  end
  check(delivered == n * (n - 1) * count, "delivered %d of %d", delivered, n * (n - 1) * count)
  print(
    ("%s of %d: %d messages published, %d delivered, %d copies dropped, %.1f s of CPU"):format(
      shape,
      n,
      n * count,
      delivered,
      duplicates,
      os.clock() - started
    )
  )
end

run("ring", 3, false)
run("full mesh", 6, true)
print(wrong == 0 and "each message exactly once, none to its origin" or ("%d faults"):format(wrong))
os.exit(wrong == 0 and 0 or 1, true)
