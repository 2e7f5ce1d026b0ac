-- dot.lua: a topology as text for Graphviz, its nodes where the svg has them. SPDX-License-Identifier: MIT
local colours = require "chaski.topology.colours"
local layout = require "chaski.topology.layout"
local palette = require "chaski.topology.palette"
local text = require "chaski.topology.text"

local WIDTH = 1600 -- points

-- A quoted string of DOT, where a backslash is an escape of labels.
local function quoted(s)
  return '"' .. text.valid(s):gsub("\\", "\\\\"):gsub('"', '\\"') .. '"'
end

local function node_line(i, member, point, known)
  local fill = colours.fill(known, member)
  local style = ('fillcolor="%s", fontcolor="%s"'):format(fill, palette.on(fill))
  if member.root then style = style .. ", shape=box" end
  if member.paired then style = style .. ", peripheries=2" end
  local tooltip = quoted(table.concat(member.topics, ", "))
  local pos = text.number(point.x) .. "," .. text.number(-point.y) -- its y grows upwards
  return ('  %d [label=%s, pos="%s!", tooltip=%s, %s];'):format(i, quoted(member.name), pos, tooltip, style)
end

local function edge_line(edge, live)
  local attributes = {}
  if edge.ms then attributes[1] = ('label="%s ms"'):format(text.ms(edge.ms)) end
  if not live then attributes[#attributes + 1] = "style=dashed" end
  if not edge.planned then attributes[#attributes + 1] = 'color="#ea580c"' end
  local list = #attributes > 0 and (" [%s]"):format(table.concat(attributes, ", ")) or ""
  return ("  %d -- %d%s;"):format(edge[1], edge[2], list)
end

---@param topology chaski.topology
---@param seen chaski.topology.snapshot
---@return string
return function(topology, seen)
  local known, points = colours.of(seen.members), layout.place(topology.layout, topology, WIDTH)
  local splines = #seen.edges > 160 and "line" or "true"
  local lines = {
    ("graph %s {"):format(quoted(topology.title)),
    ("  layout=neato; inputscale=72; splines=%s;"):format(splines),
    '  node [shape=circle, style=filled, width=0.4, margin=0.03, fontname="Helvetica", fontsize=11];',
    '  edge [color="#94a3b8", fontname="Helvetica", fontsize=10];',
  }
  for i, member in ipairs(seen.members) do
    lines[#lines + 1] = node_line(i, member, points[i], known)
  end
  for _, edge in ipairs(seen.edges) do
    lines[#lines + 1] = edge_line(edge, seen.live)
  end
  lines[#lines + 1] = "}\n"
  return table.concat(lines, "\n")
end
