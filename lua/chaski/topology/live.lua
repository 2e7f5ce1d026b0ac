-- live.lua: what a topology is at this moment, read from the documented fields of its nodes: nodes with their topics
-- and pairing, and the edges that are live, planned or not. SPDX-License-Identifier: MIT
local M = {}

---@class chaski.topology.edge [1] and [2] are indices of nodes, the smaller first
---@field ms number? latency in ms, the mean of what both ends measured; nil if none has yet
---@field measured table<integer, number> what an end measured
---@field live boolean
---@field planned boolean it is one of the topology's links

---@class chaski.topology.member
---@field name string
---@field root boolean
---@field topics string[]
---@field paired "all"|"some"|nil

---@class chaski.topology.snapshot
---@field members chaski.topology.member[]
---@field edges chaski.topology.edge[]
---@field live boolean false: no edge is live, and edges are the planned ones

local function pairing(node, topics)
  local count = 0
  for _, topic in ipairs(topics) do
    if node:paired_for(topic) then count = count + 1 end
  end
  return count > 0 and (count == #topics and "all" or "some") or nil
end

local function members_of(topology)
  local members, index = {}, {}
  for i, node in ipairs(topology.nodes) do
    local topics = node.subscriptions
    local paired = not node.root and pairing(node, topics) or nil -- a root never pairs
    members[i] = { name = node.name, root = node.root, topics = topics, paired = paired }
    index[node.name] = i
  end
  return members, index
end

local function new_edge(a, b, planned)
  return { math.min(a, b), math.max(a, b), measured = {}, live = false, planned = planned }
end

-- Planned edges first, then what else there is as it is found: node by node.
local function read_edges(topology, index)
  local edges, at = {}, {}
  local function find(a, b, planned)
    local key = math.min(a, b) << 32 | math.max(a, b)
    if not at[key] then
      at[key] = new_edge(a, b, planned)
      edges[#edges + 1] = at[key]
    end
    return at[key]
  end
  for _, link in ipairs(topology.links) do
    find(link[1], link[2], true)
  end
  for i, node in ipairs(topology.nodes) do
    for _, each in ipairs(node.edges) do
      local j = index[each.name]
      if j and j ~= i then
        local edge = find(i, j, false)
        edge.live = true
        if each.latency > 0 then edge.measured[i] = each.latency end -- 0 until the first answer
      end
    end
  end
  return edges
end

local function mean_of_ends(edge)
  local a, b = edge.measured[edge[1]], edge.measured[edge[2]]
  return a and b and (a + b) / 2 or a or b
end

local function live_ones(edges)
  local live = {}
  for _, edge in ipairs(edges) do
    edge.ms = mean_of_ends(edge)
    if edge.live then live[#live + 1] = edge end
  end
  return live
end

---@param topology chaski.topology
---@return chaski.topology.snapshot
function M.snapshot(topology)
  local members, index = members_of(topology)
  local edges = read_edges(topology, index)
  local live = live_ones(edges)
  return { members = members, edges = #live > 0 and live or edges, live = #live > 0 }
end

return M
