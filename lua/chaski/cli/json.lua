-- json.lua: values as JSON and back. Keys are sorted, so that the same value gives the same text. What JSON has not:
-- bytes that are no UTF-8 are { "$base64": "…" } in both directions; a timestamp is written as its ISO 8601 text, and
-- what is no number (NaN, infinite) as null. SPDX-License-Identifier: MIT
local core = require "chaski.core"
local dkjson = require "dkjson"
local options = require "chaski.options"

local DEPTH = 128

local M = {}

-- --- base64 ----------------------------------------------------------------------------------------------------------

local function to_base64(bytes)
  local text = core.pki.base64url(bytes):gsub("[-_]", { ["-"] = "+", ["_"] = "/" })
  return text .. ("="):rep(-#text % 4)
end

local function from_base64(text)
  return core.pki.unbase64url((text:gsub("[+/=]", { ["+"] = "-", ["/"] = "_", ["="] = "" })))
end

-- --- writing ---------------------------------------------------------------------------------------------------------

local escapes = { ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }
escapes["\\"], escapes['"'] = "\\\\", '\\"'

local function quoted(s)
  return '"' .. s:gsub('[%c\\"]', function(c)
    return escapes[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

local encode

local function from_string(s)
  return utf8.len(s) and quoted(s) or '{"$base64":' .. quoted(to_base64(s)) .. "}"
end

local function from_number(n)
  if math.type(n) == "integer" then return ("%d"):format(n) end
  if n ~= n or n == math.huge or n == -math.huge then return "null" end
  local text
  for digits = 15, 17 do
    text = ("%%.%dg"):format(digits):format(n)
    if tonumber(text) == n then break end
  end
  return text:find "[.e]" and text or text .. ".0"
end

local function is_list(t)
  local meta = getmetatable(t)
  local name = type(meta) == "table" and meta.__name
  if name == "chaski.array" then return true end
  if name == "chaski.map" then return false end
  local n, count = #t, 0
  for _ in next, t do
    count = count + 1
  end
  return n > 0 and n == count
end

local function from_list(t, depth)
  local parts = {}
  for i = 1, #t do
    parts[i] = encode(t[i], depth)
  end
  return "[" .. table.concat(parts, ",") .. "]"
end

local function from_map(t, depth)
  local texts, parts = {}, {}
  for key, value in next, t do
    local text = type(key) == "string" and key or tostring(key)
    parts[#parts + 1] = text
    texts[text] = value
  end
  table.sort(parts)
  for i, text in ipairs(parts) do
    parts[i] = from_string(text) .. ":" .. encode(texts[text], depth)
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

function encode(value, depth)
  local kind = type(value)
  if kind == "string" then return from_string(value) end
  if kind == "number" then return from_number(value) end
  if kind == "nil" or value == core.null then return "null" end
  if kind == "boolean" then return tostring(value) end
  if kind ~= "table" then return from_string(tostring(value)) end
  local meta = getmetatable(value)
  if type(meta) == "table" and meta.__tostring then return from_string(tostring(value)) end
  if depth >= DEPTH then error("tables are nested too deeply for JSON", 0) end
  return (is_list(value) and from_list or from_map)(value, depth + 1)
end

--- The text of a value, on one line.
---@param value any
---@return string
function M.encode(value)
  return encode(value, 0)
end

-- --- reading ---------------------------------------------------------------------------------------------------------

local function is_bytes(t)
  return type(t["$base64"]) == "string" and next(t, next(t)) == nil
end

local function marked(value, depth)
  if type(value) ~= "table" or value == core.null then return value end
  if depth > DEPTH then error("nested too deeply", 0) end
  local meta = getmetatable(value)
  local list = type(meta) == "table" and meta.__jsontype == "array"
  local copy = {}
  for key, each in next, value do
    copy[key] = marked(each, depth + 1)
  end
  if list then return core.array(copy) end
  local bytes = is_bytes(copy) and from_base64(copy["$base64"])
  return bytes and core.bin(bytes) or core.map(copy)
end

--- The value of a text; nil, message when it is none.
---@param text string
---@return any, string?
function M.decode(text)
  local ok, value, at, why = pcall(dkjson.decode, text, 1, core.null)
  if not ok then return nil, "not JSON: " .. tostring(value) end
  if why then return nil, "not JSON: " .. why end
  if text:find("%S", at) then return nil, ("not JSON: more text at column %d"):format(text:find("%S", at)) end
  ok, value = pcall(marked, value, 0)
  if ok then return value end
  return nil, "not JSON: " .. options.describe(value)
end

return M
