-- graph.lua: questions about an undirected graph given as a number of nodes and a list of pairs: neighbours, hops,
-- components, diameter, weighted distances. Pure. SPDX-License-Identifier: MIT
local M = {}

---@alias chaski.topology.adjacency table<integer, integer[]>

--- The neighbours of every node, in the order of the links.
---@param n integer
---@param links integer[][]
---@return chaski.topology.adjacency
function M.adjacency(n, links)
  local adjacency = {}
  for i = 1, n do
    adjacency[i] = {}
  end
  for _, link in ipairs(links) do
    local a, b = adjacency[link[1]], adjacency[link[2]]
    a[#a + 1], b[#b + 1] = link[2], link[1]
  end
  return adjacency
end

--- Hops from a node to every one it reaches; who led there first; all in the order they were reached.
---@param adjacency chaski.topology.adjacency
---@param from integer
---@return table<integer, integer> hops, table<integer, integer> parent, integer[] order
function M.hops(adjacency, from)
  local hops, parent, order = { [from] = 0 }, {}, { from }
  local head = 1
  while order[head] do
    local node = order[head]
    for _, other in ipairs(adjacency[node]) do
      if not hops[other] then
        hops[other], parent[other], order[#order + 1] = hops[node] + 1, node, other
      end
    end
    head = head + 1
  end
  return hops, parent, order
end

--- How many pieces the graph is in.
---@param adjacency chaski.topology.adjacency
---@return integer
function M.components(adjacency)
  local seen, count = {}, 0
  for i = 1, #adjacency do
    if not seen[i] then
      count = count + 1
      for node in pairs(M.hops(adjacency, i)) do
        seen[node] = true
      end
    end
  end
  return count
end

--- The most hops between two nodes that reach each other.
---@param adjacency chaski.topology.adjacency
---@return integer
function M.diameter(adjacency)
  local most = 0
  for i = 1, #adjacency do
    local hops, _, order = M.hops(adjacency, i)
    most = math.max(most, hops[order[#order]])
  end
  return most
end

local function weights(n, edges)
  local weighted = {}
  for i = 1, n do
    weighted[i] = {}
  end
  for _, edge in ipairs(edges) do
    if edge.ms then
      weighted[edge[1]][edge[2]], weighted[edge[2]][edge[1]] = edge.ms, edge.ms
    end
  end
  return weighted
end

local function nearest(distance, done)
  local best
  for node, far in pairs(distance) do
    if not done[node] and (not best or far < distance[best]) then best = node end
  end
  return best
end

local function distances_from(weighted, from)
  local distance, done = { [from] = 0 }, {}
  local node = from
  while node do
    done[node] = true
    for other, ms in pairs(weighted[node]) do
      local sum = distance[node] + ms
      if not distance[other] or sum < distance[other] then distance[other] = sum end
    end
    node = nearest(distance, done)
  end
  return distance
end

--- The smallest sum of `ms` over a path, for all pairs that have one; edges without `ms` lead nowhere.
---@param n integer
---@param edges chaski.topology.edge[]
---@return table<integer, table<integer, number>>
function M.path_sums(n, edges)
  local weighted, sums = weights(n, edges), {}
  for i = 1, n do
    sums[i] = distances_from(weighted, i)
  end
  return sums
end

return M
