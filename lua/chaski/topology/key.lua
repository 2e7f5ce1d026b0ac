-- key.lua: which signs the legend of a picture explains: those that occur in it. SPDX-License-Identifier: MIT
local palette = require "chaski.topology.palette"
local signs = require "chaski.topology.signs"
local text = require "chaski.topology.text"

local TOPICS = 12 -- topics the legend names

local function dot_item(words, fill, root)
  return {
    text = words,
    draw = function(canvas, x, y)
      signs.node(canvas, x, y, 8, fill, root)
    end,
  }
end

local function ring_item(words, paired)
  return {
    text = words,
    draw = function(canvas, x, y)
      signs.ring(canvas, x, y, 6, paired)
      signs.node(canvas, x, y, 6, palette.none)
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
    if planned then items[#items + 1] = line_item("planned, not connected", signs.planned, signs.dashes) end
  elseif picture.labelled then
    if planned then items[#items + 1] = line_item("edge", signs.line) end
    if added then items[#items + 1] = line_item("edge found since", signs.added) end
  end
end

local function note_of(picture)
  if not picture.range then return nil end
  if not picture.labelled then return nil end -- the scale tells
  local left_out = picture.left_out > 0 and (", %d left out for want of room"):format(picture.left_out) or ""
  return "labels of edges: latency in ms" .. left_out
end

--- What the legend of a picture has to say.
---@param picture chaski.topology.picture
---@return chaski.topology.legend_item[]
return function(picture)
  local items = node_items(picture)
  pairing_items(picture, items)
  edge_items(picture, items)
  local note = note_of(picture)
  if note then items[#items + 1] = { text = note } end
  return items
end
