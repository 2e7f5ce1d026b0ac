-- signs.lua: the signs of a picture: nodes, roots, rings of paired ones, lines of edges. The drawing and its legend
-- share them. SPDX-License-Identifier: MIT
local M = {}

M.line, M.added, M.planned = "#94a3b8", "#ea580c", "#cbd5e1"
M.dashes = "5 5"

--- The ring of a paired node; dashed if it is paired for some topics only.
---@param canvas chaski.topology.canvas
---@param paired "all"|"some"
function M.ring(canvas, x, y, r, paired)
  local style = { cx = x, cy = y, r = r + 4, fill = "#ffffff", stroke = canvas.ink, ["stroke-width"] = 2 }
  if paired == "some" then style["stroke-dasharray"] = "4 3" end
  canvas:add("circle", style)
end

local function square(x, y, r, fill)
  local side = r * 1.84
  local style = { x = x - side / 2, y = y - side / 2, width = side, height = side, rx = r * 0.3, fill = fill }
  style.stroke, style["stroke-width"] = "#facc15", 2.5
  return style
end

--- A node: a disc, or a square with a bright border if it is a root.
---@param canvas chaski.topology.canvas
---@param tooltip string?
function M.node(canvas, x, y, r, fill, root, tooltip)
  if root then
    canvas:add("rect", square(x, y, r, fill), nil, tooltip)
  else
    local style = { cx = x, cy = y, r = r, fill = fill, stroke = "#ffffff", ["stroke-width"] = 1.5 }
    canvas:add("circle", style, nil, tooltip)
  end
end

return M
