-- notation.lua: values as PROTOCOL A.13 writes them, one line each: {k: [1, nil, true, 2.5, "ñ", bin 00ff]},
-- ext(-1) SECONDS.NANOSECONDS. Says of a value which MessagePack type it is; JSON is a part of it.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"

local M = {}

-- --- reading ---------------------------------------------------------------------------------------------------------

local words = { ["nil"] = chaski.null, ["null"] = chaski.null, ["true"] = true, ["false"] = false }
local escapes = { n = "\n", r = "\r", t = "\t", b = "\b", f = "\f" }
local value_at

local function fail(text, at)
  error(("notation: at '%s'"):format(text:sub(at, at + 20)), 0)
end

function M.bytes(hex)
  return (hex:gsub("%x%x", function(pair)
    return string.char(tonumber(pair, 16))
  end))
end

local function string_at(text, at)
  local parts, from = {}, at + 1
  while true do
    local stop = text:find('["\\]', from) or fail(text, at)
    parts[#parts + 1] = text:sub(from, stop - 1)
    if text:sub(stop, stop) == '"' then return table.concat(parts), stop + 1 end
    local kind = text:sub(stop + 1, stop + 1)
    local code = kind == "u" and text:match("^%x%x%x%x", stop + 2)
    parts[#parts + 1] = code and utf8.char(tonumber(code, 16)) or escapes[kind] or kind
    from = stop + (code and 6 or 2)
  end
end

local function number_of(text)
  if text:find "inf" then return text:sub(1, 1) == "-" and -math.huge or math.huge end
  if text:find "nan" then return 0 / 0 end
  return text:find "^[-+]?%d+$" and math.tointeger(text) or assert(tonumber(text))
end

local function extension_of(code, value)
  local sec, nsec = value:match "^(%-?%d+)%.(%d+)$"
  if code ~= "-1" then return chaski.ext(math.tointeger(code), M.bytes(value)) end
  return chaski.timestamp(math.tointeger(sec), math.tointeger(nsec))
end

local function scalar_at(text, at)
  local hex, stop = text:match("^bin (%x*)()", at)
  if hex then return chaski.bin(M.bytes(hex)), stop end
  local code, value
  code, value, stop = text:match("^ext%((%-?%d+)%) ([-%x.]+)()", at)
  if code then return extension_of(code, value), stop end
  local number
  number, stop = text:match("^([-+]?%d[-+%de.]*)()", at)
  if not number then
    number, stop = text:match("^([-+]?inf)()", at)
  end
  if not number then
    number, stop = text:match("^([-+]?nan)()", at)
  end
  if number then return number_of(number), stop end
  local word
  word, stop = text:match("^(%a+)()", at)
  if words[word] == nil then fail(text, at) end
  return words[word], stop
end

-- Items up to the closing bracket; each is read by item(at), which returns where it ends.
local function items_at(text, at, close, item)
  at = text:match("^%s*()", at)
  while text:sub(at, at) ~= close do
    at = text:match("^%s*()", item(at))
    local comma = text:match("^,%s*()", at)
    if not comma and text:sub(at, at) ~= close then fail(text, at) end
    at = comma or at
  end
  return at + 1
end

local function key_at(text, at)
  local name, stop = text:match("^([%a_][%w_]*)()%s*:", at)
  if name and words[name] == nil then return name, stop end
  return value_at(text, at)
end

local function map_at(text, at)
  local map = {}
  local stop = items_at(text, at + 1, "}", function(from)
    local key, after = key_at(text, from)
    local value, ends = value_at(text, text:match("^%s*:()", after) or fail(text, after))
    if value ~= chaski.null then map[key] = value end
    return ends
  end)
  return chaski.map(map), stop
end

local function array_at(text, at)
  local array = {}
  local stop = items_at(text, at + 1, "]", function(from)
    local ends
    array[#array + 1], ends = value_at(text, from)
    return ends
  end)
  return chaski.array(array), stop
end

value_at = function(text, at)
  at = text:match("^%s*()", at)
  local first = text:sub(at, at)
  if first == "{" then return map_at(text, at) end
  if first == "[" then return array_at(text, at) end
  if first == '"' then return string_at(text, at) end
  return scalar_at(text, at)
end

--- The value a text stands for; nil is chaski.null, also at the top.
function M.parse(text)
  local value, at = value_at(text, 1)
  if text:find("%S", at) then fail(text, at) end
  return value
end

-- --- writing ---------------------------------------------------------------------------------------------------------

function M.hex(bytes)
  return (bytes:gsub(".", function(c)
    return ("%02x"):format(c:byte())
  end))
end

local names = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function quoted(text)
  local function escape(c)
    return names[c] or ("\\u%04x"):format(c:byte())
  end
  return '"' .. text:gsub('[%c"\\]', escape) .. '"'
end

local function float(value)
  if value ~= value then return "nan" end
  if value == math.huge then return "inf" end
  if value == -math.huge then return "-inf" end
  for digits = 1, 17 do
    local text = ("%." .. digits .. "g"):format(value)
    if tonumber(text) == value then return text:find "[.e]" and text or text .. ".0" end
  end
end

local function is_array(value)
  local meta = getmetatable(value)
  local mark = meta and meta.__name
  if mark then return mark == "chaski.array" end
  return #value > 0
end

local function map(value)
  local pairs_of = {}
  for key, item in pairs(value) do
    local plain = type(key) == "string" and key:find "^[%a_][%w_]*$" and words[key] == nil
    pairs_of[#pairs_of + 1] = (plain and key or M.write(key)) .. ": " .. M.write(item)
  end
  table.sort(pairs_of)
  return "{" .. table.concat(pairs_of, ", ") .. "}"
end

local function array(value)
  local items = {}
  for i = 1, #value do
    items[i] = M.write(value[i])
  end
  return "[" .. table.concat(items, ", ") .. "]"
end

local function object(value)
  local meta = getmetatable(value)
  local class = meta and meta.__name
  if value == chaski.null then return "nil" end
  if class == "chaski.bin" then return "bin " .. M.hex(tostring(value)) end
  if class == "chaski.timestamp" then return ("ext(-1) %d.%09d"):format(value.sec, value.nsec) end
  if class == "chaski.ext" then return ("ext(%d) %s"):format(value.type, M.hex(value.bytes)) end
  error("notation: cannot write a " .. tostring(class), 0)
end

--- The notation of a value; the keys of maps in order, so that equal values have equal texts.
function M.write(value)
  local kind = math.type(value) or type(value)
  if kind == "table" then return is_array(value) and array(value) or map(value) end
  if kind == "string" then return utf8.len(value) and quoted(value) or "bin " .. M.hex(value) end
  if kind == "float" then return float(value) end
  if kind == "userdata" then return object(value) end
  return tostring(value)
end

-- --- JSON ------------------------------------------------------------------------------------------------------------

--- JSON of strings, numbers, booleans, and tables of them.
function M.json(value)
  if type(value) == "string" then return quoted(value) end
  if type(value) ~= "table" then return tostring(value) end
  local parts = {}
  if #value > 0 then
    for i, item in ipairs(value) do
      parts[i] = M.json(item)
    end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for key, item in pairs(value) do
    parts[#parts + 1] = quoted(key) .. ":" .. M.json(item)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

return M
