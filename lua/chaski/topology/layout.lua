-- layout.lua: where the nodes of a picture stand: a layout for each kind of shape, and fitting it into a width.
-- SPDX-License-Identifier: MIT
local graph = require "chaski.topology.graph"
local stress = require "chaski.topology.stress"

local M = {}

---@alias chaski.topology.layout "line"|"circle"|"star"|"tree"|"grid"|"force"
---@alias chaski.topology.point { x: number, y: number }

local HIGHEST = 820 -- pixels from the uppermost node to the lowest

-- What a layout gives: points in units of its own, and the most pixels a unit may get, in both directions or in each.
---@class chaski.topology.plan
---@field points chaski.topology.point[]
---@field unit number?
---@field unit_x number?
---@field unit_y number?

local layouts = {}

-- A long line winds from row to row.
function layouts.line(n)
  local columns = n <= 10 and n or 10
  local points = {}
  for i = 0, n - 1 do
    local row, place = i // columns, i % columns
    points[i + 1] = { x = row % 2 == 0 and place or columns - 1 - place, y = row }
  end
  return { points = points, unit = 120 }
end

function layouts.grid(n, _, columns)
  columns = columns or math.ceil(n ^ 0.5)
  local points = {}
  for i = 0, n - 1 do
    points[i + 1] = { x = i % columns, y = i // columns }
  end
  return { points = points, unit = 120 }
end

local function on_circle(i, count, radius)
  local angle = (i - 1) / count * 2 * math.pi - math.pi / 2
  return { x = radius * math.cos(angle), y = radius * math.sin(angle) }
end

-- The radius that leaves so many pixels between neighbours on a circle.
local function radius_for(count, gap)
  return math.max(110, gap / (2 * math.sin(math.pi / math.max(count, 2))))
end

function layouts.circle(n)
  local points = {}
  for i = 1, n do
    points[i] = n == 1 and { x = 0, y = 0 } or on_circle(i, n, 1)
  end
  return { points = points, unit = radius_for(n, 105) }
end

-- Node 1 in the middle; many others stand on two circles in turn.
function layouts.star(n)
  local points = { { x = 0, y = 0 } }
  for i = 2, n do
    points[i] = on_circle(i - 1, n - 1, n > 25 and i % 2 == 1 and 0.7 or 1)
  end
  return { points = points, unit = math.max(150, radius_for(n - 1, n > 25 and 50 or 90)) }
end

local function children_of(n, parent, order)
  local children = {}
  for i = 1, n do
    children[i] = {}
  end
  for _, node in ipairs(order) do
    local list = children[parent[node]]
    if list then list[#list + 1] = node end
  end
  return children
end

-- Leaves side by side as a walk from the top meets them.
local function place_leaves(points, children)
  local stack, column = { 1 }, 0
  while #stack > 0 do
    local node = table.remove(stack)
    if #children[node] == 0 then
      points[node].x, column = column, column + 1
    end
    for i = #children[node], 1, -1 do
      stack[#stack + 1] = children[node][i]
    end
  end
end

-- Parents above the middle of their children.
local function place_parents(points, children, order)
  for i = #order, 1, -1 do
    local list = children[order[i]]
    if #list > 0 then points[order[i]].x = (points[list[1]].x + points[list[#list]].x) / 2 end
  end
end

-- By levels below node 1, along the shortest paths from there.
function layouts.tree(n, links)
  local hops, parent, order = graph.hops(graph.adjacency(n, links), 1)
  local points, children = {}, children_of(n, parent, order)
  for i = 1, n do
    points[i] = { x = 0, y = hops[i] or 0 }
  end
  place_leaves(points, children)
  place_parents(points, children, order)
  return { points = points, unit_x = 110, unit_y = 105 }
end

function layouts.force(n, links)
  return { points = stress(n, links), unit = 125 }
end

--- The names of all layouts, as options know them.
M.names = { "line", "circle", "star", "tree", "grid", "force" }

local function extent(points)
  local low, high = { x = math.huge, y = math.huge }, { x = -math.huge, y = -math.huge }
  for _, p in ipairs(points) do
    low.x, low.y = math.min(low.x, p.x), math.min(low.y, p.y)
    high.x, high.y = math.max(high.x, p.x), math.max(high.y, p.y)
  end
  return low, math.max(high.x - low.x, 1e-9), math.max(high.y - low.y, 1e-9)
end

-- Pixels a unit, in x and y.
local function scale_of(plan, width, wide, high)
  if not plan.unit then return math.min(plan.unit_x, width / wide), math.min(plan.unit_y, HIGHEST / high) end
  local scale = math.min(plan.unit, width / wide, HIGHEST / high)
  return scale, scale
end

--- Place the nodes of a topology within a width.
---@param kind chaski.topology.layout
---@param topology chaski.topology
---@param width number
---@return chaski.topology.point[] points from 0, 0; in the middle of the width
---@return number height
function M.place(kind, topology, width)
  local plan = layouts[kind](#topology.nodes, topology.links, topology.columns)
  local low, wide, high = extent(plan.points)
  local sx, sy = scale_of(plan, width, wide, high)
  local points = {}
  for i, p in ipairs(plan.points) do
    points[i] = { x = (p.x - low.x) * sx + (width - wide * sx) / 2, y = (p.y - low.y) * sy }
  end
  return points, high * sy
end

--- The least distance between two points; nil if there are not two.
---@param points chaski.topology.point[]
---@return number?
function M.least_distance(points)
  local least
  for i, a in ipairs(points) do
    for j = i + 1, #points do
      local far = ((a.x - points[j].x) ^ 2 + (a.y - points[j].y) ^ 2) ^ 0.5
      if not least or far < least then least = far end
    end
  end
  return least
end

return M
