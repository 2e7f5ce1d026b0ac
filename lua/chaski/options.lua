-- options.lua: checking of option tables against a schema, and the schema of a node. A wrong option is the programmer's
-- mistake: it raises, naming function, option, what was expected and what came.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"

local M = {}

--- Edits (insert, delete, replace) that make b of a.
local function distance(a, b)
  local row = {}
  for j = 0, #b do
    row[j] = j
  end
  for i = 1, #a do
    local diagonal
    diagonal, row[0] = row[0], i
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      diagonal, row[j] = row[j], math.min(row[j] + 1, row[j - 1] + 1, diagonal + cost)
    end
  end
  return row[#b]
end

--- ", did you mean 'x'?" for the name nearest to word, or "".
---@param word string
---@param names string[]
---@return string
function M.suggestion(word, names)
  local best, found = math.max(2, #word // 3) + 1, nil
  for _, name in ipairs(names) do
    local edits = #word <= 64 and distance(word, name) or best
    if edits < best and edits < #name then
      best, found = edits, name
    end
  end
  return found and (", did you mean '%s'?"):format(found) or ""
end

--- A value as error messages show it: string 'abc', number 3.5, table.
function M.describe(value)
  local kind = math.type(value) or type(value)
  if kind == "string" then return ("string '%s'"):format(#value <= 40 and value or value:sub(1, 37) .. "...") end
  if kind == "integer" or kind == "float" or kind == "boolean" then return ("%s %s"):format(kind, value) end
  local meta = kind == "userdata" and getmetatable(value)
  return meta and meta.__name or kind
end

--- Is value an object of this class ("chaski.edge")?
function M.is_a(value, class)
  local meta = type(value) == "userdata" and getmetatable(value)
  return meta and meta.__name == class
end

local ours = debug.getinfo(1, "S").source:match "^(.*/)[^/]*$" -- lua/chaski/

--- Raise the text as a mistake of the script: at the line of the first caller that is none of our files.
---@param text string
function M.raise(text)
  local level = 2
  local info = debug.getinfo(level, "S")
  while info and info.source:sub(1, #ours) == ours do
    level = level + 1
    info = debug.getinfo(level, "S")
  end
  error(text, level)
end

--- Raise unless value is an object of this class.
---@param where string
---@param class string
---@param expected string the class in words: "an edge"
---@param value any
function M.expect_object(where, class, expected, value)
  if M.is_a(value, class) then return end
  M.raise(("%s: expected %s, got %s"):format(where, expected, M.describe(value)))
end

-- --- kinds: { expected =, test = } -----------------------------------------------------------------------------------

local function of_type(name)
  return {
    expected = name,
    test = function(value)
      return type(value) == name
    end,
  }
end

M.boolean, M.func, M.table = of_type "boolean", of_type "function", of_type "table"

function M.integer(least, most)
  return {
    expected = ("integer %d..%d"):format(least, most),
    test = function(value)
      return math.type(value) == "integer" and value >= least and value <= most
    end,
  }
end

function M.text(least, most)
  return {
    expected = ("string of %d..%d bytes"):format(least, most),
    test = function(value)
      return type(value) == "string" and #value >= least and #value <= most
    end,
  }
end

function M.seconds(least, most)
  return {
    expected = ("seconds %g..%g"):format(least, most),
    test = function(value)
      return type(value) == "number" and value >= least and value <= most
    end,
  }
end

function M.one_of(...)
  local allowed = { ... }
  return {
    expected = "'" .. table.concat(allowed, "', '") .. "'",
    test = function(value)
      for _, each in ipairs(allowed) do
        if value == each then return true end
      end
      return false
    end,
  }
end

local function all_strings(list)
  for key, value in pairs(list) do
    if math.type(key) ~= "integer" or key < 1 or key > #list or type(value) ~= "string" then return false end
  end
  return true
end

M.strings = {
  expected = "string or list of strings",
  test = function(value)
    return type(value) == "string" or (type(value) == "table" and all_strings(value))
  end,
}

M.any = {
  expected = "value",
  test = function()
    return true
  end,
}

--- One of two kinds.
function M.either(a, b)
  return {
    expected = a.expected .. " or " .. b.expected,
    test = function(value)
      return a.test(value) or b.test(value)
    end,
  }
end

M.no = {
  expected = "false",
  test = function(value)
    return value == false
  end,
}

-- --- checking --------------------------------------------------------------------------------------------------------

local function names_of(schema)
  local names = {}
  for i, row in ipairs(schema) do
    names[i] = row.name
  end
  return names
end

local names_known = setmetatable({}, { __mode = "k" }) -- schema -> set of the names in it

local function known_of(schema)
  local known = {}
  for _, row in ipairs(schema) do
    known[row.name] = true
  end
  names_known[schema] = known
  return known
end

local function refuse_unknown(where, schema, given)
  local known = names_known[schema] or known_of(schema)
  for name in pairs(given) do
    if not known[name] then
      local hint = type(name) == "string" and M.suggestion(name, names_of(schema)) or ""
      M.raise(("%s: unknown option '%s'%s"):format(where, tostring(name), hint))
    end
  end
end

--- Raise unless value is of this kind.
---@param where string function the mistake is told of
---@param name string option or argument
---@param kind table
---@param value any
function M.expect(where, name, kind, value)
  if kind.test(value) then return end
  M.raise(("%s: option '%s': expected %s, got %s"):format(where, name, kind.expected, M.describe(value)))
end

--- A table with all options of the schema: those given, checked, and the defaults of the others.
---@param where string
---@param schema { name: string, kind: table, default: any }[]
---@param given table?
---@return table
function M.check(where, schema, given)
  if given == nil then given = {} end
  if type(given) ~= "table" then
    M.raise(("%s: expected a table of options, got %s"):format(where, M.describe(given)))
  end
  refuse_unknown(where, schema, given)
  local checked = {}
  for _, row in ipairs(schema) do
    local value = given[row.name]
    if value == nil then
      value = row.default
    else
      M.expect(where, row.name, row.kind, value)
    end
    checked[row.name] = value
  end
  return checked
end

--- A string or a list of strings as a list.
function M.list(value)
  return type(value) == "string" and { value } or table.move(value, 1, #value, 1, {})
end

-- --- limits ----------------------------------------------------------------------------------------------------------

local rows, limit_names = {}, {}
for i, row in ipairs(core.limit_rows()) do
  rows[row.name], limit_names[i] = row, row.name
end

local function check_limit(where, name, value)
  local row = rows[name]
  if not row then
    local hint = M.suggestion(tostring(name), limit_names)
    if hint == "" then hint = "; node.limits and src/core/limits.h list them" end
    M.raise(("%s: unknown limit '%s'%s"):format(where, tostring(name), hint))
  end
  local scale = row.unit == "s" and 1e9 or 1
  local kind = scale == 1 and M.integer(row.least, row.most) or M.seconds(row.least / scale, row.most / scale)
  if not kind.test(value) then
    local text = "%s: limit '%s' (%s): expected %s, got %s"
    M.raise(text:format(where, name, row.reason, kind.expected, M.describe(value)))
  end
  return scale == 1 and value or math.tointeger(math.floor(value * scale + 0.5))
end

--- Limits as the core takes them: bytes, counts and nanoseconds.
function M.limits(where, given)
  local checked = {}
  for name, value in pairs(given) do
    checked[name] = check_limit(where, name, value)
  end
  return checked
end

-- --- the node --------------------------------------------------------------------------------------------------------

local words = M.one_of("disconnect", "drop_new", "drop_old", "block")

--- { "disconnect", telemetry = "drop_old" }: a word for a topic, and at 1 one for all others.
local by_topic = {
  expected = "a table of such, by topic and at 1 for all others",
  test = function(value)
    if type(value) ~= "table" then return false end
    for topic, word in pairs(value) do
      if (topic ~= 1 and type(topic) ~= "string") or not words.test(word) then return false end
    end
    return true
  end,
}

local overflow = M.one_of("drop_new", "drop_old", "disconnect", "block")
local name = M.text(1, 64)

local numeric = {
  expected = "numeric IPv4 or IPv6 address",
  test = function(value)
    return type(value) == "string" and core.numeric(value)
  end,
}

M.node = {
  { name = "ip", kind = numeric }, -- default 127.0.0.1; in a simulation an address of its own
  { name = "port", kind = M.integer(0, 65535), default = 0 },
  { name = "name", kind = name },
  { name = "id", kind = name },
  { name = "advertise", kind = M.text(1, 255) },
  { name = "subscriptions", kind = M.strings, default = {} },
  { name = "run", kind = M.boolean, default = true },
  { name = "ttl", kind = M.integer(1, 64), default = 64 },
  { name = "root", kind = M.boolean, default = false },
  { name = "paired", kind = M.boolean, default = false },
  { name = "max_connections", kind = M.integer(0, 1000000), default = 5 },
  { name = "reconnections", kind = M.integer(0, 1000000), default = 32 },
  { name = "messages_pool_maxsize", kind = M.integer(1, 1000000) },
  { name = "message_propagation", kind = M.boolean, default = false },
  { name = "keep_alive", kind = M.boolean, default = true },
  { name = "udp", kind = M.boolean, default = true },
  { name = "serializer", kind = M.func },
  { name = "deserializer", kind = M.func },
  { name = "overflow", kind = M.either(words, by_topic), default = "disconnect" },
  { name = "inbox_overflow", kind = overflow, default = "drop_new" },
  { name = "limits", kind = M.table, default = {} },
  { name = "reconnect", kind = M.either(M.func, M.either(M.table, M.no)), default = {} },
  { name = "strings", kind = M.one_of("auto", "str", "bin"), default = "auto" },
  { name = "status_extra", kind = M.func },
  { name = "introspect", kind = M.boolean, default = false },
  { name = "discovery", kind = M.either(M.table, M.text(1, 256)), default = "chaski.discovery.walk" },
  { name = "heal", kind = M.either(M.boolean, M.either(M.table, M.text(1, 256))), default = false },
}

local context = {
  expected = "chaski.tls.context{…}",
  test = function(value)
    return M.is_a(value, "chaski.tls.context")
  end,
}

for _, row in ipairs {
  { name = "tls", kind = context }, -- both of the next two
  { name = "ssl_context_client", kind = context },
  { name = "ssl_context_server", kind = context },
  { name = "ssl_certificates_location", kind = M.text(1, 4096), default = "." },
  { name = "ssl_certificate_attributes", kind = M.table, default = {} },
  { name = "request_ssl_certificate", kind = M.text(1, 4096) },
  { name = "renew", kind = M.boolean, default = true },
  { name = "revocation_interval", kind = M.seconds(0.1, 86400) }, -- default: the CA is asked when renewing
} do
  M.node[#M.node + 1] = row
end

M.subscription = {
  { name = "paired", kind = M.boolean },
  { name = "concurrency", kind = M.integer(1, 1000000), default = 1 },
  { name = "overflow", kind = overflow },
  { name = "inbox", kind = M.integer(1, 1000000) },
}

--- The options of a node, checked; limits as the core takes them.
function M.check_node(given)
  local where = "chaski.node"
  local checked = M.check(where, M.node, given)
  checked.ip = checked.ip or core.default_ip()
  checked.limits = M.limits(where, checked.limits)
  checked.limits.messages_pool_maxsize = checked.messages_pool_maxsize or checked.limits.messages_pool_maxsize
  checked.subscriptions = M.list(checked.subscriptions)
  return checked
end

return M
