-- route.lua: the way of an edge in a picture: a straight line, or a curve where that would run over other nodes. A
-- route is a quadratic Bézier curve; straight ones have their control point in the middle. SPDX-License-Identifier: MIT
local text = require "chaski.topology.text"

local M = {}

---@class chaski.topology.route
---@field from chaski.topology.point
---@field control chaski.topology.point
---@field to chaski.topology.point
---@field straight boolean
---@field length number between its ends

-- Of the length, in order of preference; above 0: inwards.
local BENDS = { 0, 0.08, -0.08, 0.14, -0.14, 0.2, -0.2, 0.26, -0.26, 0.33, -0.33, 0.4, -0.4 }
local STEPS = 16

local function bent(from, to, bend)
  local dx, dy = to.x - from.x, to.y - from.y
  local control = { x = (from.x + to.x) / 2 - dy * bend * 2, y = (from.y + to.y) / 2 + dx * bend * 2 }
  return { from = from, to = to, control = control, straight = bend == 0, length = (dx * dx + dy * dy) ^ 0.5 }
end

--- The point at a share of the way.
---@param route chaski.topology.route
---@param t number 0..1
---@return number x, number y
function M.at(route, t)
  local a, b, c = (1 - t) ^ 2, 2 * t * (1 - t), t * t
  local from, control, to = route.from, route.control, route.to
  return a * from.x + b * control.x + c * to.x, a * from.y + b * control.y + c * to.y
end

local function distance_to_segment(p, x1, y1, x2, y2)
  local dx, dy = x2 - x1, y2 - y1
  local square = dx * dx + dy * dy
  local t = square > 0 and math.min(math.max(((p.x - x1) * dx + (p.y - y1) * dy) / square, 0), 1) or 0
  return ((p.x - x1 - t * dx) ^ 2 + (p.y - y1 - t * dy) ^ 2) ^ 0.5
end

--- The line segments a route is made of, near enough.
---@param route chaski.topology.route
---@return number[][] segments each x1, y1, x2, y2
function M.segments(route)
  local steps, list = route.straight and 1 or STEPS, {}
  local x, y = route.from.x, route.from.y
  for i = 1, steps do
    local x2, y2 = M.at(route, i / steps)
    list[i] = { x, y, x2, y2 }
    x, y = x2, y2
  end
  return list
end

local function leaves(route, box)
  for _, segment in ipairs(M.segments(route)) do
    local x, y = segment[3], segment[4]
    if x < box.left or x > box.right or y < box.top or y > box.bottom then return true end
  end
  return false
end

-- How far the route stays from every node but its own two.
local function clearance(route, points)
  local least = math.huge
  for _, segment in ipairs(M.segments(route)) do
    for _, p in ipairs(points) do
      if p ~= route.from and p ~= route.to then
        least = math.min(least, distance_to_segment(p, table.unpack(segment)))
      end
    end
  end
  return least
end

-- 1 if a bend above 0 leads towards the middle of the picture, else -1.
local function inwards(from, to, middle)
  local dx, dy = to.x - from.x, to.y - from.y
  return dx * (middle.y - from.y) - dy * (middle.x - from.x) < 0 and -1 or 1
end

--- A straight line.
---@param from chaski.topology.point
---@param to chaski.topology.point
---@return chaski.topology.route
function M.straight(from, to)
  return bent(from, to, 0)
end

--- The first of the bends that keeps clear of other nodes, else the one that does best; none that leaves the box.
---@param points chaski.topology.point[]
---@param a integer
---@param b integer
---@param box { left: number, right: number, top: number, bottom: number, middle: chaski.topology.point }
---@param clear number
---@return chaski.topology.route
function M.find(points, a, b, box, clear)
  local best, most = nil, -1
  local sign = inwards(points[a], points[b], box.middle)
  for _, bend in ipairs(BENDS) do
    local route = bent(points[a], points[b], bend * sign)
    local room = leaves(route, box) and -1 or clearance(route, points)
    if room >= clear then return route end
    if room > most then
      best, most = route, room
    end
  end
  return best or M.straight(points[a], points[b])
end

--- The route as SVG path data.
---@param route chaski.topology.route
---@return string
function M.path(route)
  local from, control, to, n = route.from, route.control, route.to, text.number
  if route.straight then return ("M%s %sL%s %s"):format(n(from.x), n(from.y), n(to.x), n(to.y)) end
  return ("M%s %sQ%s %s %s %s"):format(n(from.x), n(from.y), n(control.x), n(control.y), n(to.x), n(to.y))
end

return M
