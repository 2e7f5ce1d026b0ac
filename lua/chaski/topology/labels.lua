-- labels.lua: finding room for labels: a label never covers a node or another label, and crosses few edges.
-- SPDX-License-Identifier: MIT
local routes = require "chaski.topology.route"

---@class chaski.topology.box
---@field x number its middle
---@field y number
---@field w number half of its width
---@field h number half of its height

---@class chaski.topology.room
---@field boxes chaski.topology.box[]
---@field circles { x: number, y: number, r: number }[]
---@field segments number[][][] of each edge
---@field width number of the picture
local Room = {}
Room.__index = Room

local ALONG = { 0.5, 0.42, 0.58, 0.34, 0.66, 0.27, 0.73, 0.2, 0.8 } -- places on an edge, in order of preference

local GAPS = { 2, 5, 9, 14, 20 } -- pixels beside an edge, likewise

local function meets_circle(box, circle)
  local dx = math.max(math.abs(box.x - circle.x) - box.w, 0)
  local dy = math.max(math.abs(box.y - circle.y) - box.h, 0)
  return dx * dx + dy * dy < circle.r * circle.r
end

local function meets_box(a, b)
  return math.abs(a.x - b.x) < a.w + b.w and math.abs(a.y - b.y) < a.h + b.h
end

-- Liang and Barsky's clipping: is any part of the segment within the box?
local function meets_segment(box, segment)
  local x1, y1 = segment[1] - box.x, segment[2] - box.y
  local dx, dy = segment[3] - segment[1], segment[4] - segment[2]
  local first, last = 0, 1
  for _, side in ipairs { { dx, box.w - x1 }, { -dx, box.w + x1 }, { dy, box.h - y1 }, { -dy, box.h + y1 } } do
    local slope, room = side[1], side[2]
    if slope == 0 and room < 0 then return false end
    if slope > 0 then last = math.min(last, room / slope) end
    if slope < 0 then first = math.max(first, room / slope) end
  end
  return first <= last
end

local function is_free(self, box)
  if box.x - box.w < 4 or box.x + box.w > self.width - 4 then return false end
  for _, circle in ipairs(self.circles) do
    if meets_circle(box, circle) then return false end
  end
  for _, other in ipairs(self.boxes) do
    if meets_box(box, other) then return false end
  end
  return true
end

local function crossings(self, box, own)
  local count = 0
  for i, segments in ipairs(self.segments) do
    for _, segment in ipairs(i ~= own and segments or {}) do
      if meets_segment(box, segment) then
        count = count + 1
        break
      end
    end
  end
  return count
end

-- Take the best of the free boxes; nil if none is.
local function take(self, candidates, own)
  local best, least
  for _, box in ipairs(candidates) do
    local cost = is_free(self, box) and crossings(self, box, own)
    if cost and (not least or cost < least) then
      best, least = box, cost
      if cost == 0 then break end
    end
  end
  self.boxes[#self.boxes + 1] = best
  return best
end

-- Boxes beside the middle of an edge that is too short to carry a label, the nearest first.
local function beside(route, w, h)
  local dx, dy = (route.to.x - route.from.x) / route.length, (route.to.y - route.from.y) / route.length
  local x, y = routes.at(route, 0.5)
  local touching, candidates = math.abs(dy) * w + math.abs(dx) * h, {}
  for _, gap in ipairs(GAPS) do
    for _, away in ipairs { touching + gap, -touching - gap } do
      candidates[#candidates + 1] = { x = x - dy * away, y = y + dx * away, w = w, h = h }
    end
  end
  return candidates
end

--- Room for a label on an edge, in the middle if it can be.
---@param own integer the edge
---@param route chaski.topology.route
---@param w number half of its width
---@param h number half of its height
---@return chaski.topology.box?
function Room:on_edge(own, route, w, h)
  local candidates = {}
  for _, t in ipairs(ALONG) do
    local x, y = routes.at(route, t)
    candidates[#candidates + 1] = { x = x, y = y, w = w, h = h }
  end
  return take(self, candidates, own) or take(self, beside(route, w, h), own)
end

--- Room for a label near a node: below, above, or at a side.
---@param circle { x: number, y: number, r: number }
---@param w number
---@param h number
---@return chaski.topology.box?
function Room:at_node(circle, w, h)
  local x, y, away = circle.x, circle.y, circle.r + 2
  local slant = away * 0.7
  return take(self, {
    { x = x, y = y + away + h, w = w, h = h },
    { x = x, y = y - away - h, w = w, h = h },
    { x = x + away + w, y = y, w = w, h = h },
    { x = x - away - w, y = y, w = w, h = h },
    { x = x + slant + w, y = y + slant + h, w = w, h = h },
    { x = x - slant - w, y = y + slant + h, w = w, h = h },
    { x = x + slant + w, y = y - slant - h, w = w, h = h },
    { x = x - slant - w, y = y - slant - h, w = w, h = h },
  })
end

--- A picture with nodes and edges, and no label yet.
---@param width number
---@param circles { x: number, y: number, r: number }[]
---@param ways chaski.topology.route[]
---@return chaski.topology.room
return function(width, circles, ways)
  local segments = {}
  for i, route in ipairs(ways) do
    segments[i] = routes.segments(route)
  end
  return setmetatable({ boxes = {}, circles = circles, segments = segments, width = width }, Room)
end
