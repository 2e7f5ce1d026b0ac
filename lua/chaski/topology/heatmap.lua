-- heatmap.lua: the latency matrix of a topology as a picture: what nodes measured of each other, and for the rest the
-- sum over the quickest path. SPDX-License-Identifier: MIT
local graph = require "chaski.topology.graph"
local legend = require "chaski.topology.legend"
local new_canvas = require "chaski.topology.canvas"
local palette = require "chaski.topology.palette"
local stats = require "chaski.topology.stats"
local text = require "chaski.topology.text"

local NAME = 14 -- characters of a name that are shown
local TOP, MARGIN = 84, 28
local BLANK = "#f1f5f9"

---@class chaski.topology.cell
---@field ms number
---@field measured boolean

local function measured_cells(matrix, edges)
  for _, edge in ipairs(edges) do
    local a, b = edge[1], edge[2]
    if edge.ms then
      matrix[a][b] = { ms = edge.measured[a] or edge.ms, measured = true }
      matrix[b][a] = { ms = edge.measured[b] or edge.ms, measured = true }
    end
  end
end

local function path_cells(matrix, n, edges)
  local sums = graph.path_sums(n, edges)
  for i = 1, n do
    for j = 1, n do
      if i ~= j and sums[i][j] and not matrix[i][j] then matrix[i][j] = { ms = sums[i][j], measured = false } end
    end
  end
end

-- Row: who measured; column: of whom.
local function cells_of(seen, with_paths)
  local matrix, n = {}, #seen.members
  for i = 1, n do
    matrix[i] = {}
  end
  measured_cells(matrix, seen.edges)
  if with_paths then path_cells(matrix, n, seen.edges) end
  return matrix
end

-- Of all cells, or of those that were measured.
local function range_of(matrix, measured)
  local values = {}
  for i, row in ipairs(matrix) do
    for j = 1, #matrix do
      local cell = i ~= j and row[j]
      if cell and (cell.measured or not measured) then values[#values + 1] = cell.ms end
    end
  end
  return stats.range(values)
end

local function widest_name(members, size)
  local most = 0
  for _, member in ipairs(members) do
    most = math.max(most, text.width(text.shorten(member.name, NAME), size))
  end
  return most
end

local function measures(width, members)
  local n = #members
  local size = n > 40 and 9 or n > 20 and 10 or 12
  local names = widest_name(members, size) + 10
  local cell = math.min(64, (width - 2 * MARGIN - names) / n)
  local wide = math.max(math.min(width, 640), 2 * MARGIN + names + n * cell)
  return { n = n, size = size, cell = cell, x = MARGIN + names, y = TOP + names, width = wide }
end

local function draw_cell(canvas, m, i, j, cell, range)
  local x, y, side = m.x + (j - 1) * m.cell, m.y + (i - 1) * m.cell, m.cell
  local fill = cell and palette.latency(cell.ms, range) or i == j and "#e2e8f0" or BLANK
  local gap = side > 8 and 1 or 0
  canvas:add("rect", { x = x, y = y, width = side - gap, height = side - gap, fill = fill })
  if not cell then return end
  local on = palette.on(fill)
  if side >= 34 then
    local style = { ["font-size"] = math.min(12, side * 0.26), ["text-anchor"] = "middle", fill = on }
    if cell.measured then style["font-weight"] = "bold" end
    canvas:text(x + (side - gap) / 2, y + side / 2 + 4, text.ms(cell.ms), style)
  elseif cell.measured then
    canvas:add("circle", { cx = x + (side - gap) / 2, cy = y + (side - gap) / 2, r = math.min(3, side / 6), fill = on })
  end
end

local function draw_names(canvas, m, members)
  canvas:open_group { ["font-size"] = m.size }
  for i, member in ipairs(members) do
    local name, at = text.shorten(member.name, NAME), (i - 0.5) * m.cell
    canvas:text(m.x - 6, m.y + at + m.size * 0.36, name, { ["text-anchor"] = "end" })
    local x, y = text.number(m.x + at + m.size * 0.36), text.number(m.y - 6)
    canvas:text(m.x + at + m.size * 0.36, m.y - 6, name, { transform = ("rotate(-90 %s %s)"):format(x, y) })
  end
  canvas:close_group()
end

local function draw_matrix(canvas, m, matrix, range)
  for i = 1, m.n do
    for j = 1, m.n do
      draw_cell(canvas, m, i, j, matrix[i][j], range)
    end
  end
end

-- A small cell: with a dot, or with figures in this weight.
local function square(fill, dot, weight)
  return function(canvas, x, y)
    canvas:add("rect", { x = x - 8, y = y - 8, width = 16, height = 16, fill = fill })
    if dot then canvas:add("circle", { cx = x, cy = y, r = 2.6, fill = palette.on(fill) }) end
    if not weight then return end
    local style = { ["font-size"] = 9, ["text-anchor"] = "middle", ["font-weight"] = weight, fill = palette.on(fill) }
    canvas:text(x, y + 3, "ms", style)
  end
end

-- Which kinds of cells there are.
local function kinds_of(m, matrix)
  local has = {}
  for i = 1, m.n do
    for j = 1, m.n do
      local cell = matrix[i][j]
      has[cell and (cell.measured and "measured" or "sum") or i ~= j and "blank" or "itself"] = true
    end
  end
  return has
end

local function legend_items(m, matrix, with_paths)
  local has, numbers, items = kinds_of(m, matrix), m.cell >= 34, {}
  if has.measured then
    local words = "measured by the node of the row" .. (numbers and " (bold)" or "")
    items[1] = { text = words, draw = square(palette.shade(0.35), not numbers, numbers and "bold") }
  end
  if has.sum then
    local words = "not linked: the sum over the quickest path"
    items[#items + 1] = { text = words, draw = square(palette.shade(0.35), false, numbers and "normal") }
  end
  if has.blank then
    local words = with_paths and "no path, or not measured" or "not linked, or not measured"
    items[#items + 1] = { text = words, draw = square(BLANK) }
  end
  return items
end

local function subtitle_of(matrix)
  local latency = range_of(matrix, true)
  if not latency then return "nothing has been measured" end
  local shown = { text.ms(latency.min), text.ms(latency.mean), text.ms(latency.max) }
  return ("in ms  ·  measured: %s / %s / %s (min / mean / max)"):format(table.unpack(shown))
end

---@param topology chaski.topology
---@param seen chaski.topology.snapshot
---@param given { width: number, paths: boolean, title: string? }
---@return string svg
return function(topology, seen, given)
  local matrix, m = cells_of(seen, given.paths), measures(given.width, seen.members)
  local range, items = range_of(matrix), legend_items(m, matrix, given.paths)
  local inner, bottom = m.width - 2 * MARGIN, m.y + m.n * m.cell + 28
  local high = legend.height(items, inner)
  local title = given.title or "Latency: " .. topology.title
  local canvas = new_canvas(m.width, bottom + high + (range and 50 or 10), title)
  canvas:heading(title, subtitle_of(matrix))
  draw_names(canvas, m, seen.members)
  draw_matrix(canvas, m, matrix, range)
  legend.draw(canvas, items, MARGIN, bottom, inner)
  if range then palette.draw_scale(canvas, MARGIN, bottom + high, math.min(320, inner), range, "latency") end
  return canvas:finish()
end
