-- svg.lua: the picture of a topology: nodes coloured by first subscription, paired ones ringed, roots square, edges
-- labelled with their latency, a legend. Pure Lua; no other program. SPDX-License-Identifier: MIT
local colours = require "chaski.topology.colours"
local layout = require "chaski.topology.layout"
local legend = require "chaski.topology.legend"
local new_canvas = require "chaski.topology.canvas"
local new_room = require "chaski.topology.labels"
local palette = require "chaski.topology.palette"
local routes = require "chaski.topology.route"
local stats = require "chaski.topology.stats"
local text = require "chaski.topology.text"

local DENSE = 160 -- edges beyond which shades tell the latency, not labels
local NAME = 14 -- characters of a name that are shown
local TOPICS = 12 -- topics the legend names
local TOP, MARGIN = 84, 28

local LINE, ADDED, PLANNED = "#94a3b8", "#ea580c", "#cbd5e1"

---@class chaski.topology.picture
---@field seen chaski.topology.snapshot
---@field colours chaski.topology.colours
---@field width number
---@field height number
---@field points chaski.topology.point[]
---@field routes chaski.topology.route[]
---@field r number radius of a node
---@field names_inside boolean
---@field labelled boolean
---@field unlabelled integer labels that found no room
---@field range chaski.topology.range? of the latencies

-- --- measures --------------------------------------------------------------------------------------------------------

local function name_size(r)
  return math.max(8, math.min(13, r * 0.72))
end

-- Around a node: the ring of a paired one.
local function outer(picture, member)
  return picture.r + (member.paired and 5 or 1)
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

local function find_routes(picture)
  picture.routes = {}
  for i, edge in ipairs(picture.seen.edges) do
    picture.routes[i] = routes.find(picture.points, edge[1], edge[2], picture.r + 7)
  end
end

-- --- edges -----------------------------------------------------------------------------------------------------------

local function edge_tooltip(picture, edge)
  local members = picture.seen.members
  local lines = { ("%s – %s"):format(members[edge[1]].name, members[edge[2]].name) }
  for _, i in ipairs { edge[1], edge[2] } do
    if edge.measured[i] then
      lines[#lines + 1] = ("%s ms measured by %s"):format(text.ms(edge.measured[i]), members[i].name)
    end
  end
  if picture.seen.live and not edge.planned then lines[#lines + 1] = "not planned: found since" end
  return table.concat(lines, "; ")
end

local function stroke_of(picture, edge)
  if not picture.seen.live then return PLANNED, 1.6 end
  local thin = #picture.seen.edges > DENSE
  if not picture.labelled and edge.ms then return palette.latency(edge.ms, picture.range), thin and 0.9 or 1.8 end
  if not edge.planned then return ADDED, 2 end
  return LINE, thin and 0.7 or 1.8
end

local function draw_edges(canvas, picture)
  canvas:open_group { fill = "none", ["stroke-linecap"] = "round" }
  for i, edge in ipairs(picture.seen.edges) do
    local stroke, width = stroke_of(picture, edge)
    local style = { d = routes.path(picture.routes[i]), stroke = stroke, ["stroke-width"] = width }
    if not picture.seen.live then style["stroke-dasharray"] = "5 5" end
    canvas:add("path", style, nil, edge_tooltip(picture, edge))
  end
  canvas:close_group()
end

local function room_for(picture)
  local circles = {}
  for i, p in ipairs(picture.points) do
    circles[i] = { x = p.x, y = p.y, r = outer(picture, picture.seen.members[i]) + 1 }
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

local function draw_label(canvas, box, label, size, colour)
  local x, y, w, h = box.x - box.w, box.y - box.h, box.w * 2, box.h * 2
  canvas:add("rect", { x = x, y = y, width = w, height = h, rx = 3, fill = "#ffffff", ["fill-opacity"] = 0.92 })
  canvas:text(box.x, box.y + size * 0.36, label, { ["font-size"] = size, fill = colour })
end

local function draw_labels(canvas, picture, room)
  local few = #picture.seen.edges <= 24
  local size = few and 11 or picture.r < 13 and 9 or 10
  canvas:open_group { ["text-anchor"] = "middle" }
  for _, i in ipairs(by_length(picture)) do
    local edge = picture.seen.edges[i]
    if edge.ms then
      local label = text.ms(edge.ms) .. (few and " ms" or "")
      local w, h = text.width(label, size) / 2 + 2.5, size * 0.5 + 1.5
      local box = room:on_edge(i, picture.routes[i], w, h)
      if box then
        draw_label(canvas, box, label, size, edge.planned and "#334155" or "#9a3412")
      else
        picture.unlabelled = picture.unlabelled + 1
      end
    end
  end
  canvas:close_group()
end

-- --- nodes -----------------------------------------------------------------------------------------------------------

local function draw_ring(canvas, x, y, r, paired)
  local style = { cx = x, cy = y, r = r + 4, fill = "#ffffff", stroke = canvas.ink, ["stroke-width"] = 2 }
  if paired == "some" then style["stroke-dasharray"] = "4 3" end
  canvas:add("circle", style)
end

local function draw_sign(canvas, x, y, r, fill, root, tooltip)
  if root then
    local side, style = r * 1.84, { fill = fill, rx = r * 0.3, stroke = "#facc15", ["stroke-width"] = 2.5 }
    style.x, style.y, style.width, style.height = x - side / 2, y - side / 2, side, side
    canvas:add("rect", style, nil, tooltip)
  else
    local style = { cx = x, cy = y, r = r, fill = fill, stroke = "#ffffff", ["stroke-width"] = 1.5 }
    canvas:add("circle", style, nil, tooltip)
  end
end

local function node_tooltip(member)
  local topics = #member.topics > 0 and table.concat(member.topics, ", ") or "no subscription"
  return member.name .. (member.root and " (root): " or ": ") .. topics .. (member.paired and "; paired" or "")
end

local function draw_nodes(canvas, picture)
  for i, member in ipairs(picture.seen.members) do
    local p, fill = picture.points[i], colours.fill(picture.colours, member)
    if member.paired then draw_ring(canvas, p.x, p.y, picture.r, member.paired) end
    draw_sign(canvas, p.x, p.y, picture.r, fill, member.root, node_tooltip(member))
  end
end

local function draw_names_inside(canvas, picture)
  local size = name_size(picture.r)
  canvas:open_group { ["text-anchor"] = "middle", ["font-size"] = size, ["pointer-events"] = "none" }
  for i, member in ipairs(picture.seen.members) do
    local p, fill = picture.points[i], palette.on(colours.fill(picture.colours, member))
    canvas:text(p.x, p.y + size * 0.36, text.shorten(member.name, NAME), { fill = fill })
  end
  canvas:close_group()
end

local function draw_names_beside(canvas, picture, room)
  local size = picture.r < 13 and 10 or 12
  canvas:open_group { ["text-anchor"] = "middle", ["font-weight"] = "bold" }
  for i, member in ipairs(picture.seen.members) do
    local name = text.shorten(member.name, NAME)
    local w, h = text.width(name, size) / 2 + 4, size * 0.5 + 1.5
    local circle = room.circles[i]
    local below = { x = circle.x, y = circle.y + circle.r + 2 + h, w = w, h = h }
    draw_label(canvas, room:at_node(circle, w, h) or below, name, size, canvas.ink)
  end
  canvas:close_group()
end

-- --- the legend ------------------------------------------------------------------------------------------------------

local function dot_item(words, fill, root)
  return {
    text = words,
    draw = function(canvas, x, y)
      draw_sign(canvas, x, y, 8, fill, root)
    end,
  }
end

local function ring_item(words, paired)
  return {
    text = words,
    draw = function(canvas, x, y)
      draw_ring(canvas, x, y, 6, paired)
      draw_sign(canvas, x, y, 6, palette.none)
    end,
  }
end

local function line_item(words, stroke, dashes)
  return {
    text = words,
    draw = function(canvas, x, y)
      local style = { x1 = x - 12, x2 = x + 12, y1 = y, y2 = y, stroke = stroke, ["stroke-width"] = 2 }
      style["stroke-dasharray"] = dashes
      canvas:add("line", style)
    end,
  }
end

local function node_items(picture)
  local items, known = {}, picture.colours
  for i = 1, math.min(#known.topics, TOPICS) do
    local topic = known.topics[i]
    items[i] = dot_item(("%s (%d)"):format(text.shorten(topic, 28), known.count[topic]), known.of[topic])
  end
  local more = #known.topics - TOPICS
  if more > 0 then items[#items + 1] = { text = ("and %s more"):format(text.count(more, "topic")) } end
  if known.none > 0 then items[#items + 1] = dot_item(("no subscription (%d)"):format(known.none), palette.none) end
  if known.roots > 0 then items[#items + 1] = dot_item(("root (%d)"):format(known.roots), palette.root, true) end
  return items
end

local function pairing_items(picture, items)
  local has = {}
  for _, member in ipairs(picture.seen.members) do
    has[member.paired or "none"] = true
  end
  if has.all then items[#items + 1] = ring_item("paired", "all") end
  if has.some then items[#items + 1] = ring_item("paired for some", "some") end
end

local function edge_items(picture, items)
  local planned, added = false, false
  for _, edge in ipairs(picture.seen.edges) do
    planned, added = planned or edge.planned, added or not edge.planned
  end
  if not picture.seen.live then
    if planned then items[#items + 1] = line_item("planned, not connected", PLANNED, "5 5") end
  elseif picture.labelled then
    if planned then items[#items + 1] = line_item("edge", LINE) end
    if added then items[#items + 1] = line_item("edge found since", ADDED) end
  end
end

local function note_of(picture)
  if not picture.range then return nil end
  if not picture.labelled then return "edges are shaded by latency:" end
  local left_out = picture.unlabelled > 0 and (", %d left out for want of room"):format(picture.unlabelled) or ""
  return "labels of edges: latency in ms" .. left_out
end

local function legend_items(picture)
  local items = node_items(picture)
  pairing_items(picture, items)
  edge_items(picture, items)
  local note = note_of(picture)
  if note then items[#items + 1] = { text = note } end
  return items
end

-- --- all of it -------------------------------------------------------------------------------------------------------

local function subtitle_of(picture)
  local s = stats.of(#picture.seen.members, picture.seen.edges)
  local parts = { text.count(s.nodes, "node") }
  parts[2] = text.count(s.edges, picture.seen.live and "edge" or "planned link")
  parts[3] = ("degree %d to %d"):format(s.degree.min, s.degree.max)
  parts[4] = ("diameter %d"):format(s.diameter)
  if s.components > 1 then parts[#parts + 1] = ("%d pieces"):format(s.components) end
  if s.latency then
    local shown = { text.ms(s.latency.min), text.ms(s.latency.mean), text.ms(s.latency.max) }
    parts[#parts + 1] = ("latency %s / %s / %s ms (min / mean / max)"):format(table.unpack(shown))
  end
  return table.concat(parts, "  ·  ")
end

local function new_picture(topology, seen, given)
  local picture = { seen = seen, width = given.width, colours = colours.of(seen.members), unlabelled = 0 }
  picture.range = stats.range(stats.latencies(seen.edges))
  picture.labelled = given.labels
  if given.labels == nil then picture.labelled = #seen.edges <= DENSE end
  place(picture, topology, given.layout or topology.layout)
  find_routes(picture)
  return picture
end

local function draw_graph(canvas, picture)
  local room = room_for(picture)
  draw_edges(canvas, picture)
  draw_nodes(canvas, picture)
  if picture.names_inside then
    draw_names_inside(canvas, picture)
  else
    draw_names_beside(canvas, picture, room)
  end
  if picture.labelled then draw_labels(canvas, picture, room) end
end

local function draw_legend(canvas, picture)
  local width = picture.width - 2 * MARGIN
  canvas:add("line", {
    x1 = MARGIN,
    x2 = picture.width - MARGIN,
    y1 = picture.bottom,
    y2 = picture.bottom,
    stroke = "#e2e8f0",
  })
  local items = legend_items(picture)
  local taken = legend.draw(canvas, items, MARGIN, picture.bottom + 24, width)
  if picture.range and not picture.labelled then
    palette.draw_scale(canvas, MARGIN, picture.bottom + 20 + taken, math.min(320, width), picture.range)
  end
end

local function total_height(picture)
  local scale = picture.range and not picture.labelled and 40 or 0
  return picture.bottom + 24 + legend.height(legend_items(picture), picture.width - 2 * MARGIN) + scale + 4
end

---@param topology chaski.topology
---@param seen chaski.topology.snapshot
---@param given { width: number, layout: chaski.topology.layout?, title: string?, labels: boolean? }
---@return string svg
return function(topology, seen, given)
  local picture = new_picture(topology, seen, given)
  local title = given.title or topology.title
  -- The note on labels grows by what finds no room; a line more holds it.
  local canvas = new_canvas(picture.width, total_height(picture), title)
  canvas:heading(title, subtitle_of(picture))
  draw_graph(canvas, picture)
  draw_legend(canvas, picture)
  return canvas:finish()
end
