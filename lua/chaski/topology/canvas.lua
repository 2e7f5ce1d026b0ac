-- canvas.lua: an SVG document that is written element by element. Escapes; attributes come in a fixed order.
-- SPDX-License-Identifier: MIT
local text = require "chaski.topology.text"

---@class chaski.topology.canvas
---@field parts string[]
---@field width number
local Canvas = {}
Canvas.__index = Canvas

local FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"

Canvas.ink = "#0f172a"
Canvas.faint = "#64748b"

local function attributes_of(given)
  local names, parts = {}, {}
  for name in pairs(given) do
    names[#names + 1] = name
  end
  table.sort(names)
  for i, name in ipairs(names) do
    local value = given[name]
    parts[i] = (' %s="%s"'):format(name, type(value) == "number" and text.number(value) or text.escape(value))
  end
  return table.concat(parts)
end

local function put(self, ...)
  self.parts[#self.parts + 1] = table.concat { ... }
end

--- An element, with text and a tooltip if there are any.
---@param name string
---@param attributes table<string, string|number>
---@param content string?
---@param tooltip string?
function Canvas:add(name, attributes, content, tooltip)
  local inside = (tooltip and "<title>" .. text.escape(tooltip) .. "</title>" or "") .. text.escape(content or "")
  if inside == "" then
    put(self, "<", name, attributes_of(attributes), "/>\n")
  else
    put(self, "<", name, attributes_of(attributes), ">", inside, "</", name, ">\n")
  end
end

---@param attributes table<string, string|number>
function Canvas:open_group(attributes)
  put(self, "<g", attributes_of(attributes), ">\n")
end

function Canvas:close_group()
  put(self, "</g>\n")
end

--- Text whose baseline is at y.
---@param x number
---@param y number
---@param s string
---@param style table<string, string|number>
function Canvas:text(x, y, s, style)
  local attributes = { x = x, y = y, fill = Canvas.ink }
  for name, value in pairs(style) do
    attributes[name] = value
  end
  self:add("text", attributes, s)
end

-- The size at which a line fits into the width.
local function fitting(self, s, size)
  return math.min(size, size * (self.width - 56) / math.max(text.width(s, size), 1))
end

--- Title and what stands below it.
---@param title string
---@param subtitle string
function Canvas:heading(title, subtitle)
  self:text(28, 40, title, { ["font-size"] = fitting(self, title, 21), ["font-weight"] = "bold" })
  self:text(28, 62, subtitle, { ["font-size"] = fitting(self, subtitle, 13), fill = Canvas.faint })
end

---@return string
function Canvas:finish()
  put(self, "</g>\n</svg>\n")
  return table.concat(self.parts)
end

---@param width number
---@param height number
---@param title string
---@return chaski.topology.canvas
return function(width, height, title)
  local self = setmetatable({ parts = {}, width = width }, Canvas)
  local size = { width = width, height = height, xmlns = "http://www.w3.org/2000/svg", role = "img" }
  size.viewBox = ("0 0 %s %s"):format(text.number(width), text.number(height))
  put(self, '<?xml version="1.0" encoding="UTF-8"?>\n<svg', attributes_of(size), ">\n")
  put(self, "<title>", text.escape(title), "</title>\n")
  self:add("rect", { width = width, height = height, fill = "#ffffff" })
  self:open_group { ["font-family"] = FONT }
  return self
end
