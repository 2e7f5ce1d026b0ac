-- svg.lua: the picture of a topology: nodes coloured by first subscription, paired ones ringed, roots square, edges
-- labelled with their latency, a legend. Pure Lua; no other program. SPDX-License-Identifier: MIT
local colours = require "chaski.topology.colours"
local key_of = require "chaski.topology.key"
local legend = require "chaski.topology.legend"
local new_canvas = require "chaski.topology.canvas"
local new_picture = require "chaski.topology.picture"
local palette = require "chaski.topology.palette"
local routes = require "chaski.topology.route"
local signs = require "chaski.topology.signs"
local stats = require "chaski.topology.stats"
local text = require "chaski.topology.text"

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
  if not picture.seen.live then return signs.planned, 1.6 end
  local width = math.max(0.8, math.min(1.8, 400 / #picture.seen.edges))
  if not picture.labelled and edge.ms then return palette.latency(edge.ms, picture.range), width end
  return edge.planned and signs.line or signs.added, width
end

-- The slowest on top where shades tell the latency.
local function drawing_order(picture)
  local order, edges = {}, picture.seen.edges
  for i in ipairs(edges) do
    order[i] = i
  end
  if picture.labelled then return order end
  table.sort(order, function(a, b)
    local x, y = edges[a].ms or 0, edges[b].ms or 0
    return x < y or (x == y and a < b)
  end)
  return order
end

local function draw_edges(canvas, picture)
  canvas:open_group { fill = "none", ["stroke-linecap"] = "round" }
  for _, i in ipairs(drawing_order(picture)) do
    local edge = picture.seen.edges[i]
    local stroke, width = stroke_of(picture, edge)
    local style = { d = routes.path(picture.routes[i]), stroke = stroke, ["stroke-width"] = width }
    if not picture.seen.live then style["stroke-dasharray"] = signs.dashes end
    canvas:add("path", style, nil, edge_tooltip(picture, edge))
  end
  canvas:close_group()
end

local function node_tooltip(member)
  local topics = #member.topics > 0 and table.concat(member.topics, ", ") or "no subscription"
  return member.name .. (member.root and " (root): " or ": ") .. topics .. (member.paired and "; paired" or "")
end

local function draw_nodes(canvas, picture)
  for i, member in ipairs(picture.seen.members) do
    local p, fill = picture.points[i], colours.fill(picture.colours, member)
    if member.paired then signs.ring(canvas, p.x, p.y, picture.r, member.paired) end
    signs.node(canvas, p.x, p.y, picture.r, fill, member.root, node_tooltip(member))
  end
end

local function draw_text(canvas, label, style)
  style["font-size"] = label.size
  canvas:text(label.x, label.y + label.size * 0.36, label.text, style)
end

local function draw_on_white(canvas, label, style)
  local box = { x = label.x - label.w, y = label.y - label.h, width = label.w * 2, height = label.h * 2, rx = 3 }
  box.fill, box["fill-opacity"] = "#ffffff", 0.92
  canvas:add("rect", box)
  draw_text(canvas, label, style)
end

local function draw_names(canvas, picture)
  canvas:open_group { ["text-anchor"] = "middle", ["pointer-events"] = "none" }
  for i, member in ipairs(picture.seen.members) do
    if picture.names_inside then
      draw_text(canvas, picture.names[i], { fill = palette.on(colours.fill(picture.colours, member)) })
    else
      draw_on_white(canvas, picture.names[i], { fill = canvas.ink, ["font-weight"] = "bold" })
    end
  end
  canvas:close_group()
end

local function draw_labels(canvas, picture)
  canvas:open_group { ["text-anchor"] = "middle", ["pointer-events"] = "none" }
  for i, edge in ipairs(picture.seen.edges) do
    local label = picture.labels[i]
    if label then draw_on_white(canvas, label, { fill = edge.planned and "#334155" or "#9a3412" }) end
  end
  canvas:close_group()
end

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

local function draw_legend(canvas, picture, items, width)
  local x, y = picture.margin, picture.bottom
  canvas:add("line", { x1 = x, x2 = x + width, y1 = y, y2 = y, stroke = "#e2e8f0" })
  local taken = legend.draw(canvas, items, x, y + 24, width)
  if picture.range and not picture.labelled then
    palette.draw_scale(canvas, x, y + 18 + taken, math.min(320, width), picture.range, "latency of edges")
  end
end

---@param topology chaski.topology
---@param seen chaski.topology.snapshot
---@param given { width: number, layout: chaski.topology.layout?, title: string?, labels: boolean? }
---@return string svg
return function(topology, seen, given)
  local picture = new_picture(topology, seen, given)
  local items, width, title = key_of(picture), picture.width - 2 * picture.margin, given.title or topology.title
  local scale = picture.range and not picture.labelled and 44 or 0
  local canvas = new_canvas(picture.width, picture.bottom + 24 + legend.height(items, width) + scale, title)
  canvas:heading(title, subtitle_of(picture))
  draw_edges(canvas, picture)
  draw_nodes(canvas, picture)
  draw_names(canvas, picture)
  draw_labels(canvas, picture)
  draw_legend(canvas, picture, items, width)
  return canvas:finish()
end
