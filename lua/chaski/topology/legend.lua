-- legend.lua: what the signs of a picture mean: a row of signs with words, as many lines as it takes.
-- SPDX-License-Identifier: MIT
local text = require "chaski.topology.text"

local M = {}

---@class chaski.topology.legend_item
---@field text string
---@field draw fun(canvas: chaski.topology.canvas, x: number, y: number)? a sign 24 wide around x, y

local SIZE, LINE, SIGN = 12, 24, 32

local function width_of(item)
  return (item.draw and SIGN or 0) + text.width(item.text, SIZE) + 24
end

--- Draw the items from x, y (the middle of the first line) on.
---@param canvas chaski.topology.canvas?
---@param items chaski.topology.legend_item[]
---@param x number
---@param y number
---@param width number
---@return number height taken
function M.draw(canvas, items, x, y, width)
  local left, lines = x, 1
  for _, item in ipairs(items) do
    local wide = width_of(item)
    if left > x and left + wide > x + width + 24 then
      left, lines = x, lines + 1
    end
    if canvas then
      local middle = y + (lines - 1) * LINE
      if item.draw then item.draw(canvas, left + 12, middle) end
      canvas:text(left + (item.draw and SIGN or 0), middle + 4, item.text, { ["font-size"] = SIZE })
    end
    left = left + wide
  end
  return #items > 0 and lines * LINE or 0
end

--- The height that draw would take.
---@param items chaski.topology.legend_item[]
---@param width number
---@return number
function M.height(items, width)
  return M.draw(nil, items, 0, 0, width)
end

return M
