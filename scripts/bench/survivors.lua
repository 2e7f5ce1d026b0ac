-- survivors.lua: a network of nodes in a simulation, most of which die at once: what the measurement and the specs of
-- healing share. SPDX-License-Identifier: MIT
local chaski = require "chaski"

local M = {}

--- An address of its own /24, as in a network of many sites.
local function ip_of(i)
  return ("10.%d.%d.1"):format(i // 256, i % 256)
end

--- n nodes, connected as a random graph of that mean degree.
---@param n integer
---@param given { seed: integer, degree: number?, node: table? } node: options of all nodes
---@return chaski.node[]
function M.network(n, given)
  local graph = assert(chaski.topology.random(n, {
    seed = given.seed,
    degree = given.degree or 5,
    node = function(i)
      local options = { ip = ip_of(i), message_propagation = true, subscriptions = "news" }
      for name, value in pairs(given.node or {}) do
        options[name] = value
      end
      return options
    end,
  }))
  assert(graph:connect())
  return graph.nodes
end

--- End a node as if its process had died: no goodbye.
function M.kill(node)
  local close = getmetatable(node).__close
  table.sort({ 1, 2 }, function() -- where nothing may be waited for, it ends at once
    if close then close(node) end
    close = nil
    return false
  end)
end

--- A random part of a list, and the rest in its order.
local function divide(list, part)
  local left, taken = table.move(list, 1, #list, 1, {}), {}
  while #taken < part do
    taken[#taken + 1] = table.remove(left, chaski.random(#left))
  end
  return taken, left
end

--- A random part (0..1) of the nodes dies; the survivors.
function M.disaster(nodes, part)
  local dead, alive = divide(nodes, math.floor(#nodes * part + 0.5))
  for _, node in ipairs(dead) do
    M.kill(node)
  end
  return alive
end

local function reached_from(first, index)
  local todo, seen, count = { first }, { [first] = true }, 0
  while #todo > 0 do
    local node = table.remove(todo)
    count = count + 1
    for _, edge in ipairs(node.edges) do
      local peer = not edge.suspended and index[edge.name]
      if peer and not seen[peer] then
        seen[peer] = true
        todo[#todo + 1] = peer
      end
    end
  end
  return count, seen
end

--- How many of these nodes are in the largest part that hangs together.
function M.largest(nodes)
  local index, known, most = {}, {}, 0
  for _, node in ipairs(nodes) do
    index[node.name] = node
  end
  for _, node in ipairs(nodes) do
    if not known[node] then
      local count, seen = reached_from(node, index)
      most = math.max(most, count)
      for each in pairs(seen) do
        known[each] = true
      end
    end
  end
  return most
end

--- How many of the others get a message of the first, within some seconds.
function M.heard(nodes, seconds)
  local heard = 0
  for i = 2, #nodes do
    nodes[i]:subscribe("news", function()
      heard = heard + 1
    end)
  end
  nodes[1]:publish("news", "still there?")
  local deadline = chaski.now() + seconds
  while heard < #nodes - 1 and chaski.now() < deadline do
    chaski.sleep(0.1)
  end
  return heard
end

--- The most edges a node has, and the mean.
function M.degrees(nodes)
  local most, sum = 0, 0
  for _, node in ipairs(nodes) do
    local count = 0
    for _, edge in ipairs(node.edges) do
      if not edge.suspended then count = count + 1 end
    end
    most, sum = math.max(most, count), sum + count
  end
  return most, sum / #nodes
end

--- One disaster from beginning to end, in a simulation of its own.
---@param given { nodes: integer, part: number, seed: integer, warm: number?, repair: number?, node: table? } seconds
---@return { before: number, after: number, heard: number, most: integer, mean: number, dials: number, trace: string }
function M.play(given)
  local sim <close> = chaski.sim { seed = given.seed, delay = 0.005, jitter = 0.005 }
  local result = assert(sim:run(function()
    local nodes = M.network(given.nodes, { seed = given.seed, node = given.node or { heal = true } })
    chaski.sleep(given.warm or 60) -- entries spread
    local alive, dials = M.disaster(nodes, given.part), 0
    chaski.sleep(0.1) -- survivors notice
    local before = M.largest(alive) / #alive
    chaski.sleep(given.repair or 30)
    local most, mean = M.degrees(alive)
    for _, node in ipairs(alive) do
      dials = dials + (node.status.heal and node.status.heal.dials or 0)
    end
    local after, heard = M.largest(alive) / #alive, (M.heard(alive, 10) + 1) / #alive
    return { before = before, after = after, heard = heard, most = most, mean = mean, dials = dials / #alive }
  end))
  result.trace = sim.trace
  return result
end

return M
