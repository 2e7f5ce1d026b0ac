-- palette.lua: the colours of topics, and the scale of latencies. SPDX-License-Identifier: MIT
local text = require "chaski.topology.text"

local M = {}

M.none = "#cbd5e1" -- no subscription
M.root = "#111827"

-- Told apart also by most who see fewer colours; the first eight after Okabe and Ito.
local topics = {
  "#0072b2",
  "#e69f00",
  "#009e73",
  "#cc79a7",
  "#d55e00",
  "#56b4e9",
  "#f0e442",
  "#7b4fa3",
  "#8c564b",
  "#a6d854",
  "#003f5c",
  "#fb9a99",
}

local function byte(value)
  return math.floor(value * 255 + 0.5)
end

-- Beyond the list: hues a golden angle apart, lighter and darker in turn.
local function invented(i)
  local hue, light = (i * 137.508 % 360) / 60, i % 2 == 0 and 0.42 or 0.68
  local chroma = 0.6 * (1 - math.abs(2 * light - 1))
  local function channel(shift)
    local distance = math.abs((hue + shift) % 6 - 3)
    return byte(light + chroma * (math.min(math.max(distance - 1, 0), 1) - 0.5))
  end
  return ("#%02x%02x%02x"):format(channel(0), channel(4), channel(2))
end

--- The colour of the i-th topic.
---@param i integer
---@return string
function M.topic(i)
  return topics[i] or invented(i)
end

local function channels(colour)
  local value = tonumber(colour:sub(2), 16)
  return value >> 16, value >> 8 & 255, value & 255
end

--- Black or white, whichever reads better on this colour.
---@param colour string
---@return string
function M.on(colour)
  local r, g, b = channels(colour)
  local luminance = 0.2126 * (r / 255) ^ 2.2 + 0.7152 * (g / 255) ^ 2.2 + 0.0722 * (b / 255) ^ 2.2
  return luminance > 0.3 and "#0f172a" or "#ffffff"
end

-- Light to dark (ColorBrewer's YlGnBu without what is nearly white), so it survives a black and white print.
local stops = { "#b8e2b6", "#7fcdbb", "#41b6c4", "#1d91c0", "#225ea8", "#253494", "#081d58" }

--- The colour of a share of the scale, 0 to 1.
---@param share number
---@return string
function M.shade(share)
  local place = math.min(math.max(share, 0), 1) * (#stops - 1)
  local i = math.min(place // 1 | 0, #stops - 2) + 1
  local part = place - (i - 1)
  local r, g, b = channels(stops[i])
  local r2, g2, b2 = channels(stops[i + 1])
  local function mix(from, to)
    return math.floor(from + (to - from) * part + 0.5)
  end
  return ("#%02x%02x%02x"):format(mix(r, r2), mix(g, g2), mix(b, b2))
end

--- The colour of a latency within a range.
---@param ms number
---@param range chaski.topology.range
---@return string
function M.latency(ms, range)
  local span = range.max - range.min
  return M.shade(span > 0 and (ms - range.min) / span or 0.5)
end

--- Draw the scale as a bar with its ends and its middle marked.
---@param canvas chaski.topology.canvas
---@param x number
---@param y number top of the bar
---@param width number
---@param range chaski.topology.range
---@param caption string stands right of the bar
function M.draw_scale(canvas, x, y, width, range, caption)
  local steps = 48
  for i = 0, steps - 1 do
    local fill = M.shade(range.max > range.min and i / (steps - 1) or 0.5)
    canvas:add("rect", { x = x + i * width / steps, y = y, width = width / steps + 0.5, height = 12, fill = fill })
  end
  canvas:text(x + width + 10, y + 10, caption, { ["font-size"] = 12 })
  local marks = range.max > range.min and { 0, 0.5, 1 } or { 0.5 }
  for _, share in ipairs(marks) do
    local label = text.ms(range.min + share * (range.max - range.min), 1) .. " ms"
    local anchor = share == 0 and "start" or share == 1 and "end" or "middle"
    canvas:text(x + share * width, y + 26, label, { ["font-size"] = 11, ["text-anchor"] = anchor, fill = canvas.faint })
  end
end

return M
