-- literal.lua: values written as Lua writes them: nil, booleans, numbers, strings and tables of these. It is read,
-- never run, so that it may come from anywhere. SPDX-License-Identifier: MIT
local core = require "chaski.core"

local DEPTH = 128

local Reader = {}
Reader.__index = Reader

function Reader:fail(what)
  error(("%s at column %d"):format(what, self.at), 0)
end

function Reader:skip()
  self.at = self.text:find("%S", self.at) or #self.text + 1
end

--- What the pattern matches here, or nil.
function Reader:take(pattern)
  local first, last = self.text:find("^" .. pattern, self.at)
  if not first then return nil end
  self.at = last + 1
  return self.text:sub(first, last)
end

-- --- values ----------------------------------------------------------------------------------------------------------

--- Where the string that begins here ends.
local function end_of_string(text, at)
  local quote = text:sub(at, at)
  local level = text:match("^%[(=*)%[", at)
  if level then return select(2, text:find("]" .. level .. "]", at, true)) end
  local i = at + 1
  while i <= #text do
    local c = text:sub(i, i)
    if c == quote then return i end
    if c == "\n" then return nil end
    i = i + (c == "\\" and 2 or 1)
  end
end

--- The compiler knows best what a string means; one alone does nothing when it is run.
function Reader:string()
  local last = end_of_string(self.text, self.at)
  local chunk = last and load("return " .. self.text:sub(self.at, last), "=string", "t", {})
  if not chunk then self:fail "a string without end, or with a wrong escape," end
  self.at = last + 1
  return chunk()
end

function Reader:number()
  local text = self:take "-?0[xX][%x.]+[pP]?[+-]?%d*" or self:take "-?[%d.]+[eE][+-]?%d+" or self:take "-?[%d.]+"
  local value = text and tonumber(text)
  if value == nil then self:fail "no number" end
  return value
end

function Reader:key()
  if self:take "%[%f[^%[]%s*" then
    local key = self:value()
    self:skip()
    if not self:take "%]" then self:fail "']' is missing" end
    return key
  end
  return self:take "[%a_][%w_]*"
end

--- [key =] value
function Reader:field(t)
  local start = self.at
  local is_key = self.text:find("^[%a_][%w_]*%s*=%f[^=]", start) or self.text:find("^%[%s*[^%[=]", start)
  if not is_key then
    local value = self:value()
    t.n = t.n + 1
    t.list[t.n] = value == nil and core.null or value
    return
  end
  local key = self:key()
  self:skip()
  if not self:take "=" then self:fail "'=' is missing" end
  if key == nil or key == core.null or key ~= key then self:fail "a wrong key" end
  t.list[key] = self:value()
end

function Reader:table()
  local t = { list = {}, n = 0 }
  self.depth = self.depth + 1
  if self.depth > DEPTH then self:fail "nested too deeply" end
  self:take "{"
  self:skip()
  while not self:take "}" do
    self:field(t)
    self:skip()
    if not self:take "[,;]" and not self.text:find("^}", self.at) then self:fail "',' or '}' is missing" end
    self:skip()
  end
  self.depth = self.depth - 1
  return t.list
end

local words = { ["nil"] = core.null, ["true"] = true, ["false"] = false }

function Reader:value()
  self:skip()
  local first = self.text:sub(self.at, self.at)
  if first == "{" then return self:table() end
  if first == '"' or first == "'" or self.text:find("^%[=*%[", self.at) then return self:string() end
  local word = self:take "[%a_][%w_]*"
  if not word then return self:number() end
  local value = words[word]
  if value == nil then self:fail(("'%s' is no value"):format(word)) end
  return value
end

--- The value of a text; nil, message when it is none.
---@param text string
---@return any, string?
return function(text)
  local reader = setmetatable({ text = text, at = 1, depth = 0 }, Reader)
  local ok, value = pcall(function()
    local value = reader:value()
    reader:skip()
    if reader.at <= #text then reader:fail "more text" end
    return value
  end)
  if ok then return value end
  return nil, "not Lua: " .. tostring(value)
end
