-- picture.lua: what stands where in the picture of a topology: nodes, the ways of edges, names and labels. Decides all
-- that depends on size and number; draws nothing. SPDX-License-Identifier: MIT
local colours = require "chaski.topology.colours"
local layout = require "chaski.topology.layout"
local new_room = require "chaski.topology.labels"
local routes = require "chaski.topology.route"
local stats = require "chaski.topology.stats"
local text = require "chaski.topology.text"

local DENSE = 160 -- edges beyond which shades tell the latency, not labels
local FEW = 24 -- edges up to which a label bears the unit
local NAME = 14 -- characters of a name that are shown
local TOP, MARGIN = 84, 28

---@class chaski.topology.picture
---@field seen chaski.topology.snapshot
---@field colours chaski.topology.colours
---@field width number
---@field bottom number where the legend begins
---@field margin number
---@field points chaski.topology.point[]
---@field routes chaski.topology.route[]
---@field r number radius of a node
---@field dense boolean
---@field labelled boolean
---@field names chaski.topology.label[] of each node
---@field names_inside boolean
---@field labels table<integer, chaski.topology.label> of each edge that has room for one
---@field left_out integer labels that found no room
---@field range chaski.topology.range? of the latencies

---@class chaski.topology.label: chaski.topology.box
---@field text string
---@field size number

local function name_size(r)
  return math.max(8, math.min(13, r * 0.72))
end

local function names_fit(members, r)
  for _, member in ipairs(members) do
    if text.width(text.shorten(member.name, NAME), name_size(r)) > 1.75 * r then return false end
  end
  return true
end

local function widest_name(members)
  local most = 0
  for _, member in ipairs(members) do
    most = math.max(most, text.width(text.shorten(member.name, NAME), 12))
  end
  return most
end

local function place(picture, topology, kind)
  local members = picture.seen.members
  local side = MARGIN + 30
  for _ = 1, 2 do -- names beside nodes need wider margins
    local points, height = layout.place(kind, topology, picture.width - 2 * side)
    local least = layout.least_distance(points) or 100
    picture.r = math.min(21, math.max(6, least * 0.27))
    picture.names_inside = names_fit(members, picture.r)
    for _, p in ipairs(points) do
      p.x, p.y = p.x + side, p.y + TOP + 40
    end
    picture.points, picture.bottom = points, TOP + 40 + height + 48
    if picture.names_inside then return end
    side = MARGIN + picture.r + widest_name(members) / 2
  end
end

local function middle_of(points)
  local x, y = 0, 0
  for _, p in ipairs(points) do
    x, y = x + p.x / #points, y + p.y / #points
  end
  return { x = x, y = y }
end

local function find_routes(picture)
  local points, side = picture.points, MARGIN / 2
  local box = { left = side, right = picture.width - side, middle = middle_of(points) }
  box.top, box.bottom = TOP, picture.bottom - 4
  picture.routes = {}
  for i, edge in ipairs(picture.seen.edges) do
    picture.routes[i] = picture.dense and routes.straight(points[edge[1]], points[edge[2]])
      or routes.find(points, edge[1], edge[2], box, picture.r + 4)
  end
end

local function room_for(picture)
  local circles = {}
  for i, p in ipairs(picture.points) do
    circles[i] = { x = p.x, y = p.y, r = picture.r + (picture.seen.members[i].paired and 6 or 2) }
  end
  return new_room(picture.width, circles, picture.routes)
end

-- Short edges have the least choice, so they come first.
local function by_length(picture)
  local order = {}
  for i in ipairs(picture.routes) do
    order[i] = i
  end
  table.sort(order, function(a, b)
    local la, lb = picture.routes[a].length, picture.routes[b].length
    return la < lb or (la == lb and a < b)
  end)
  return order
end

local function label_of(box, words, size)
  box.text, box.size = words, size
  return box
end

local function place_names(picture, room)
  local size = picture.names_inside and name_size(picture.r) or picture.r < 13 and 10 or 12
  for i, member in ipairs(picture.seen.members) do
    local name, circle = text.shorten(member.name, NAME), room.circles[i]
    local w, h = text.width(name, size) / 2 + 4, size * 0.5 + 1.5
    local box = { x = circle.x, y = circle.y, w = w, h = h }
    if not picture.names_inside then
      box.y = circle.y + circle.r + 2 + h
      box = room:at_node(circle, w, h) or box
    end
    picture.names[i] = label_of(box, name, size)
  end
end

local function place_labels(picture, room)
  local few = #picture.seen.edges <= FEW
  local size = few and 11 or picture.r < 13 and 9 or 10
  for _, i in ipairs(by_length(picture)) do
    local ms = picture.seen.edges[i].ms
    if ms then
      local words = text.ms(ms) .. (few and " ms" or "")
      local box = room:on_edge(i, picture.routes[i], text.width(words, size) / 2 + 2.5, size * 0.5 + 1.5)
      picture.labels[i] = box and label_of(box, words, size)
      if not box then picture.left_out = picture.left_out + 1 end
    end
  end
end

---@param topology chaski.topology
---@param seen chaski.topology.snapshot
---@param given { width: number, layout: chaski.topology.layout?, labels: boolean? }
---@return chaski.topology.picture
return function(topology, seen, given)
  local picture = { seen = seen, width = given.width, margin = MARGIN, names = {}, labels = {}, left_out = 0 }
  picture.colours, picture.range = colours.of(seen.members), stats.range(stats.latencies(seen.edges))
  picture.dense = #seen.edges > DENSE
  picture.labelled = given.labels
  if given.labels == nil then picture.labelled = not picture.dense end
  place(picture, topology, given.layout or topology.layout)
  find_routes(picture)
  local room = room_for(picture)
  place_names(picture, room)
  if picture.labelled then place_labels(picture, room) end
  return picture
end
