-- complete.lua: what can stand at the cursor of the interactive mode: keywords, globals, fields of tables, methods and
-- fields of nodes and the like. Looks values up; calls nothing but the getters of our own objects.
-- SPDX-License-Identifier: MIT
local keywords = require "chaski.repl.keywords"

--- Methods and getters of a class of chaski.core are what its __index closes over.
local function members_of(object)
  local meta = debug.getmetatable(object)
  local index = type(meta) == "table" and rawget(meta, "__index")
  if type(index) ~= "function" or not tostring(rawget(meta, "__name")):find "^chaski%." then return nil, index end
  local _, methods = debug.getupvalue(index, 1)
  local _, getters = debug.getupvalue(index, 2)
  if type(methods) == "table" and type(getters) == "table" then return { methods = methods, getters = getters } end
  local listed = rawget(meta, "methods")
  return type(listed) == "table" and { methods = listed, getters = {} } or nil
end

--- object[key] without running anybody's code but ours.
local function field(object, key)
  for _ = 1, 10 do
    if type(object) == "table" then
      local value = rawget(object, key)
      if value ~= nil then return value end
    end
    local ours, index = members_of(object)
    if ours then
      local ok, value = pcall(function()
        return object[key]
      end)
      return ok and value or nil
    end
    if type(index) ~= "table" then return nil end
    object = index
  end
end

local function value_of(path)
  local value = _G
  for name in path:gmatch "[^.:]+" do
    if value == nil then return nil end
    value = field(value, name)
  end
  return value
end

local function add_keys(found, t, only_functions)
  for key, value in next, t do
    if type(key) == "string" and key:find "^[%a_][%w_]*$" and not (only_functions and type(value) ~= "function") then
      found[key] = type(value) == "function" and "(" or ""
    end
  end
end

local function add_members(found, object, only_functions)
  for _ = 1, 10 do
    if type(object) == "table" then add_keys(found, object, only_functions) end
    local ours, index = members_of(object)
    if ours then
      if not only_functions then
        for name in pairs(ours.getters) do
          found[name] = ""
        end
      end
      add_keys(found, ours.methods, only_functions)
      return
    end
    if type(index) ~= "table" then return end
    object = index
  end
end

--- The words that begin like the one before the cursor, sorted; a function with its parenthesis.
---@param before string the line up to the cursor
---@return string[]
return function(before)
  local word = before:match "[%a_][%w_.:]*$" or ""
  local path, separator, start = word:match "^(.-)([.:]?)([%w_]*)$"
  local found, list = {}, {}
  if separator == "" then
    add_keys(found, _G)
    for _, keyword in ipairs(keywords) do
      found[keyword] = ""
    end
  else
    local object = value_of(path)
    if object == nil then return list end
    add_members(found, object, separator == ":")
  end
  if word == "" and before:find "%S" == nil then return list end -- everything is no help
  for name, tail in pairs(found) do
    if name:sub(1, #start) == start then list[#list + 1] = path .. separator .. name .. tail end
  end
  table.sort(list)
  return list
end
