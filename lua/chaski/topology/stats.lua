-- stats.lua: figures of a graph: degrees, diameter, components, latency. SPDX-License-Identifier: MIT
local graph = require "chaski.topology.graph"

local M = {}

---@class chaski.topology.range
---@field min number
---@field mean number
---@field max number

---@class chaski.topology.stats
---@field nodes integer
---@field edges integer
---@field degree chaski.topology.range
---@field diameter integer hops, of the piece where it is largest
---@field components integer pieces that no edge joins; 1: connected
---@field latency chaski.topology.range? ms; nil when no edge was measured

--- Least, mean and most of a list; nil if it is empty.
---@param values number[]
---@return chaski.topology.range?
function M.range(values)
  if #values == 0 then return nil end
  local least, most, sum = values[1], values[1], 0
  for _, value in ipairs(values) do
    least, most, sum = math.min(least, value), math.max(most, value), sum + value
  end
  return { min = least, mean = sum / #values, max = most }
end

--- The latencies that are known.
---@param edges chaski.topology.edge[]
---@return number[]
function M.latencies(edges)
  local values = {}
  for _, edge in ipairs(edges) do
    values[#values + 1] = edge.ms
  end
  return values
end

---@param n integer
---@param edges chaski.topology.edge[]|chaski.topology.link[]
---@return chaski.topology.stats
function M.of(n, edges)
  local adjacency, degrees = graph.adjacency(n, edges), {}
  for i = 1, n do
    degrees[i] = #adjacency[i]
  end
  return {
    nodes = n,
    edges = #edges,
    degree = M.range(degrees),
    diameter = graph.diameter(adjacency),
    components = graph.components(adjacency),
    latency = M.range(M.latencies(edges)),
  }
end

return M
