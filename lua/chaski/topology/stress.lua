-- stress.lua: a force-directed layout: every pair of nodes is a spring as long as their hops (Kamada and Kawai 1989),
-- relaxed node by node (stress majorization). Deterministic. SPDX-License-Identifier: MIT
local graph = require "chaski.topology.graph"
local new_prng = require "chaski.topology.prng"

local STARTS = 4 -- the best of so many random starts
local WORK = 3e6 -- springs relaxed a start, at most

local function springs(adjacency)
  local lengths = {}
  for i = 1, #adjacency do
    lengths[i] = graph.hops(adjacency, i)
  end
  return lengths
end

local function start(n, random)
  local points = {}
  for i = 1, n do
    points[i] = { x = random:unit() * n ^ 0.5, y = random:unit() * n ^ 0.5 }
  end
  return points
end

-- Where the springs of a node want it; a spring counts by the inverse square of its length.
local function relax(points, i, lengths)
  local x, y, weights = 0, 0, 0
  local here = points[i]
  for j, other in ipairs(points) do
    local length = j ~= i and lengths[j]
    if length then
      local dx, dy = here.x - other.x, here.y - other.y
      local stretch, weight = length / math.max((dx * dx + dy * dy) ^ 0.5, 1e-6), 1 / (length * length)
      x, y = x + weight * (other.x + dx * stretch), y + weight * (other.y + dy * stretch)
      weights = weights + weight
    end
  end
  if weights > 0 then
    here.x, here.y = x / weights, y / weights
  end
end

local function stress(points, lengths)
  local sum = 0
  for i, a in ipairs(points) do
    for j = i + 1, #points do
      local length, b = lengths[i][j], points[j]
      if length then sum = sum + (((a.x - b.x) ^ 2 + (a.y - b.y) ^ 2) ^ 0.5 / length - 1) ^ 2 end
    end
  end
  return sum
end

local function settle(points, lengths)
  local n = #points
  for _ = 1, math.max(20, math.min(150, WORK // (n * n))) do
    for i = 1, n do
      relax(points, i, lengths[i])
    end
  end
  return points, stress(points, lengths)
end

local function push(a, b, least)
  local dx, dy = b.x - a.x, b.y - a.y
  local far = (dx * dx + dy * dy) ^ 0.5
  if far >= least then return false end
  if far < 1e-6 then
    dx, dy, far = 1e-3, 1e-3, 1e-3 * 2 ^ 0.5
  end
  local move = (least - far) / 2 / far
  a.x, a.y, b.x, b.y = a.x - dx * move, a.y - dy * move, b.x + dx * move, b.y + dy * move
  return true
end

-- Nobody nearer to another than this, as far as that can be had.
local function spread(points, least)
  for _ = 1, 60 do
    local moved = false
    for i, a in ipairs(points) do
      for j = i + 1, #points do
        moved = push(a, points[j], least) or moved
      end
    end
    if not moved then return end
  end
end

-- Turn the longest extent to lie level: pictures are wider than high.
local function level(points)
  local n, mx, my = #points, 0, 0
  for _, p in ipairs(points) do
    mx, my = mx + p.x / n, my + p.y / n
  end
  local xx, yy, xy = 0, 0, 0
  for _, p in ipairs(points) do
    p.x, p.y = p.x - mx, p.y - my
    xx, yy, xy = xx + p.x * p.x, yy + p.y * p.y, xy + p.x * p.y
  end
  local angle = -0.5 * math.atan(2 * xy, xx - yy)
  local cos, sin = math.cos(angle), math.sin(angle)
  for _, p in ipairs(points) do
    p.x, p.y = p.x * cos - p.y * sin, p.x * sin + p.y * cos
  end
end

--- Points with about one unit to a link.
---@param n integer
---@param links integer[][]
---@return { x: number, y: number }[]
return function(n, links)
  local lengths, random = springs(graph.adjacency(n, links)), new_prng(20)
  local best, least
  for _ = 1, n <= 100 and STARTS or 1 do
    local points, left = settle(start(n, random), lengths)
    if not least or left < least then
      best, least = points, left
    end
  end
  spread(best, 0.62)
  level(best)
  return best
end
