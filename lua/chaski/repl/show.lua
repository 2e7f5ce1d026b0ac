-- show.lua: values as the interactive mode prints them: strings quoted, tables with sorted keys on one line or many,
-- nodes and edges with what matters about them. Text is safe for a terminal. Changes nothing it looks at.
-- SPDX-License-Identifier: MIT
local keywords = require "chaski.repl.keywords"

local WIDTH, DEPTH, ENTRIES, TEXT = 100, 6, 60, 2000 -- columns, tables in tables, entries of one, bytes of a string

-- --- text ------------------------------------------------------------------------------------------------------------

local escapes = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ["\\"] = "\\\\", ['"'] = '\\"' }

local function escape_byte(c)
  return escapes[c] or ("\\x%02x"):format(c:byte())
end

--- What a terminal would obey is escaped, and so is what is no UTF-8.
local function safe(s, pattern)
  s = s:gsub(pattern, escape_byte):gsub("\u{9b}", "\\u{9b}") -- CSI in one character
  if utf8.len(s) then return s end
  return (s:gsub("[\x80-\xff]", escape_byte))
end

local function quoted(s)
  local rest = #s - TEXT
  if rest > 0 then s = s:sub(1, TEXT) end
  return '"' .. safe(s, '[%c\\"]') .. '"' .. (rest > 0 and (" … %d bytes more"):format(rest) or "")
end

local function plain(s)
  return safe(s, "[^\n\t\x20-\x7e\x80-\xff]")
end

-- --- what a value is made of: pairs of label and value, in an order --------------------------------------------------

local words = {}
for _, word in ipairs(keywords) do
  words[word] = true
end

local function label(key)
  if type(key) ~= "string" then return nil end
  if key:find "^[%a_][%w_]*$" and not words[key] then return key end
  return "[" .. quoted(key) .. "]"
end

local ranks = { number = 1, string = 2, boolean = 3 }

local function before(a, b)
  local ranked = { ranks[type(a)] or 4, ranks[type(b)] or 4 }
  if ranked[1] ~= ranked[2] then return ranked[1] < ranked[2] end
  if ranked[1] <= 2 then return a < b end
  return tostring(a) < tostring(b)
end

local function entries_of(t)
  local list, keys, n = {}, {}, rawlen(t)
  for i = 1, math.min(n, ENTRIES + 1) do
    list[i] = { value = rawget(t, i) }
  end
  for key in next, t do
    if not (math.type(key) == "integer" and key >= 1 and key <= n) then keys[#keys + 1] = key end
  end
  table.sort(keys, before)
  for _, key in ipairs(keys) do
    list[#list + 1] = { key = key, value = rawget(t, key) }
  end
  return list, n + #keys
end

local node_fields = { "subscriptions", "edges", "running", "root", "paired", "tls", "message_propagation" }
local edge_fields = { "live", "latency", "jitter", "subscriptions", "queued", "suspended", "root", "reason" }

local function fields_of(object, names)
  local list = {}
  for _, name in ipairs(names) do
    local value = object[name]
    local empty = type(value) == "table" and next(value) == nil
    if value ~= nil and value ~= false and not empty then list[#list + 1] = { key = name, value = value } end
  end
  return list
end

local function message_fields(message)
  return fields_of(message, { "command", "topic", "data", "timestamp", "ttl", "uuid" })
end

local classes = {
  ["chaski.node"] = function(node)
    return fields_of(node, node_fields)
  end,
  ["chaski.edge"] = function(edge)
    return fields_of(edge, edge_fields)
  end,
  ["chaski.message"] = message_fields,
}

local function class_of(value)
  local meta = type(value) == "userdata" and debug.getmetatable(value)
  return type(meta) == "table" and classes[rawget(meta, "__name")]
end

-- --- printing --------------------------------------------------------------------------------------------------------

local show

local function show_key(entry, state)
  if entry.key == nil then return "" end
  return (label(entry.key) or "[" .. show(entry.key, state, "") .. "]") .. " = "
end

--- { a, b } on one line if that fits, else a line each.
local function show_list(list, count, state, indent, head)
  local inner, parts, width, long = indent .. "  ", {}, #indent + #head + 4, false
  state.depth = state.depth + 1
  for i, entry in ipairs(list) do
    if i > ENTRIES then break end
    parts[i] = show_key(entry, state) .. show(entry.value, state, inner)
    width = width + (utf8.len(parts[i]) or #parts[i]) + 2
    long = long or parts[i]:find("\n", 1, true)
  end
  state.depth = state.depth - 1
  if count > #parts then parts[#parts + 1] = ("… %d more"):format(count - #parts) end
  if #parts == 0 then return head .. "{}" end
  if width <= state.width and not long then return head .. "{ " .. table.concat(parts, ", ") .. " }" end
  return head .. "{\n" .. inner .. table.concat(parts, ",\n" .. inner) .. "\n" .. indent .. "}"
end

local function by_tostring(value)
  local ok, text = pcall(tostring, value)
  return ok and plain(text) or ("(%s whose __tostring fails)"):format(type(value))
end

local function show_table(t, state, indent)
  local meta = debug.getmetatable(t)
  if type(meta) == "table" and rawget(meta, "__tostring") then return by_tostring(t) end
  if state.within[t] then return "{ itself }" end
  if state.depth >= DEPTH then return next(t) == nil and "{}" or "{ … }" end
  state.within[t] = true
  local list, count = entries_of(t)
  local text = show_list(list, count, state, indent, "")
  state.within[t] = nil
  return text
end

function show(value, state, indent)
  local kind = type(value)
  if kind == "string" then return quoted(value) end
  if kind == "table" then return show_table(value, state, indent) end
  local fields = state.depth == 0 and class_of(value)
  if not fields then return by_tostring(value) end
  local list = fields(value)
  return show_list(list, #list, state, indent, by_tostring(value) .. " ")
end

---@param value any
---@param width number? columns that one line may have
---@return string
return function(value, width)
  local ok, text = pcall(show, value, { depth = 0, within = {}, width = width or WIDTH }, "")
  return ok and text or by_tostring(value)
end
