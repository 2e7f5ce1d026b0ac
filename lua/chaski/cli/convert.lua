-- convert.lua: arguments of the command line into values. Each function gives a converter, for the option of that name,
-- which is in what it complains of. SPDX-License-Identifier: MIT
local core = require "chaski.core"

local M = {}

local function refuse(name, expected, text)
  local shown = #text <= 40 and text or text:sub(1, 37) .. "..."
  return nil, ("%s: expected %s, got '%s'"):format(name, expected, shown)
end

local scales = { [""] = 1, ms = 0.001, s = 1, m = 60, h = 3600, d = 86400 }

function M.seconds(name)
  return function(text)
    local number, unit = text:match "^(%d*%.?%d+)([a-z]*)$"
    local value = scales[unit] and tonumber(number) * scales[unit]
    if value and value <= 1e9 then return value end
    return refuse(name, "a time like 0.5, 500ms, 90s or 15m", text)
  end
end

--- A whole number of at least `least`, and of `most` at most.
function M.count(name, least, most)
  local expected = ("a whole number from %d%s"):format(least, most and (" to %d"):format(most) or "")
  return function(text)
    local value = math.tointeger(tonumber(text))
    if value and value >= least and value <= (most or math.maxinteger) then return value end
    return refuse(name, expected, text)
  end
end

function M.port(name)
  return M.count(name, 1, 65535)
end

--- A text of 1 to `most` bytes.
function M.text(name, most)
  return function(text)
    if #text >= 1 and #text <= most then return text end
    return refuse(name, ("1 to %d bytes"):format(most), text)
  end
end

function M.topic(name)
  return M.text(name, 253)
end

function M.ip(name)
  return function(text)
    if core.numeric(text) then return text end
    return refuse(name, "a numeric IPv4 or IPv6 address", text)
  end
end

local function takes_value(word)
  return word:find "^%-%a$" or word:find "^%-%-%a[%w-]*$"
end

--- The words of the command line, with negative numbers (-m -5) as part of the option before them: for the parser they
--- would be options themselves.
function M.join_negative(words)
  local joined = {}
  for _, word in ipairs(words) do
    local last = joined[#joined]
    if last and word:find "^%-%.?%d" and takes_value(last) then
      joined[#joined] = last .. (last:find "^%-%-" and "=" or "") .. word
    else
      joined[#joined + 1] = word
    end
  end
  return joined
end

return M
