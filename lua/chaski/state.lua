-- state.lua: what the files of this folder keep for a node: one table, whose fields each file declares. A table that
-- is not used is not made: a node without edges needs hardly any. SPDX-License-Identifier: MIT
local makers = {} ---@type table<string, fun(state: table): any>

local State = {}

--- A field of ours is made when it is first asked for.
function State:__index(name)
  local make = makers[name]
  if not make then return nil end
  local value = make(self)
  self[name] = value
  return value
end

local M = {}

--- Declare a field; `make` is given the state it is for.
---@param name string
---@param make fun(state: table): any
function M.field(name, make)
  makers[name] = make
end

--- Declare fields that begin as empty tables.
---@param ... string
function M.tables(...)
  for _, name in ipairs { ... } do
    M.field(name, function()
      return {}
    end)
  end
end

---@param options table the node's checked options
---@return table
function M.new(options)
  return setmetatable({ options = options }, State)
end

return M
