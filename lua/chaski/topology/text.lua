-- text.lua: strings in pictures: made valid, escaped, measured, shortened; numbers as people read them.
-- SPDX-License-Identifier: MIT
local M = {}

local REPLACEMENT = "\u{FFFD}"
local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&apos;" }

--- The string as XML 1.0 may contain it: what is not UTF-8 or a control character becomes U+FFFD.
---@param s string
---@return string
function M.valid(s)
  local parts, from = {}, 1
  while from <= #s do
    local length, bad = utf8.len(s, from)
    parts[#parts + 1] = s:sub(from, length and #s or bad - 1)
    if not length then parts[#parts + 1] = REPLACEMENT end
    from = (length and #s or bad) + 1
  end
  local clean = table.concat(parts):gsub("[\0-\31\127]", REPLACEMENT):gsub("\xEF\xBF[\xBE\xBF]", REPLACEMENT)
  return clean
end

--- For content and attributes of XML.
---@param s string
---@return string
function M.escape(s)
  return (M.valid(s):gsub("[&<>\"']", entities))
end

-- Of a sans serif face, in parts of the size; what is not here is 0.56 wide, and 1 beyond Latin, Greek and Cyrillic.
local widths = {}
for set, width in pairs { ["iljI.,:;|!'`"] = 0.28, ["ftr()[]-/ "] = 0.36, ["mwM%@W"] = 0.87, ["CDGHNOQRU"] = 0.73 } do
  for character in set:gmatch "." do
    widths[character:byte()] = width
  end
end

--- About how wide a text is.
---@param s string
---@param size number
---@return number
function M.width(s, size)
  local sum = 0
  for _, code in utf8.codes(M.valid(s)) do
    sum = sum + (widths[code] or (code < 0x600 and 0.58 or 1))
  end
  return sum * size
end

--- At most so many characters, an ellipsis in the middle if some were left out: names often differ at their end.
---@param s string
---@param most integer
---@return string
function M.shorten(s, most)
  s = M.valid(s)
  if utf8.len(s) <= most then return s end
  local tail = (most - 1) // 2
  return s:sub(1, utf8.offset(s, most - tail) - 1) .. "…" .. s:sub(utf8.offset(s, -tail))
end

-- string.format writes the comma of some locales.
local function fixed(value, digits)
  return (("%." .. digits .. "f"):format(value):gsub(",", "."))
end

--- A coordinate: two decimals at most.
---@param value number
---@return string
function M.number(value)
  local s = fixed(value, 2):gsub("0+$", ""):gsub("%.$", "")
  return s == "-0" and "0" or s
end

--- Milliseconds with the digits that matter.
---@param ms number
---@param more integer? digits besides; default 0
---@return string
function M.ms(ms, more)
  if ms < 0.0005 then return ms == 0 and "0" or "<0.001" end
  return fixed(ms, (ms < 0.1 and 3 or ms < 1 and 2 or ms < 10 and 1 or 0) + (more or 0))
end

--- "1 edge", "2 edges".
---@param count integer
---@param word string
---@return string
function M.count(count, word)
  return ("%d %s%s"):format(count, word, count == 1 and "" or "s")
end

return M
