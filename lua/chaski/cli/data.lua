-- data.lua: application data between text and values: what the options -m, -f, -s, -l give is read as JSON, as Lua or
-- as plain text, and what arrives is written as text, or as one line of JSON. SPDX-License-Identifier: MIT
local json = require "chaski.cli.json"
local read_literal = require "chaski.cli.literal"
local show = require "chaski.repl.show"
local uv = require "luv"

local M = {}

M.formats = { "auto", "json", "lua", "text" }

local readers = {
  json = json.decode,
  lua = read_literal,
  text = function(text)
    return text
  end,
}

--- JSON if it is, a Lua table if it is, else the text itself.
function readers.auto(text)
  local value, why = json.decode(text)
  if not why then return value end
  if not text:find "^%s*{" then return text end
  value, why = read_literal(text)
  return why and text or value
end

--- The value of a text. nil, message when it is not of that format.
---@param text string
---@param format "auto"|"json"|"lua"|"text"|nil default "auto"
---@return any, string?
function M.read(text, format)
  return readers[format or "auto"](text)
end

--- name=value, …: a table of arguments; nil, message.
function M.read_pairs(list, format)
  local arguments = {}
  for _, text in ipairs(list) do
    local name, value = text:match "^([^=]+)=(.*)$"
    if not name then return nil, ("expected name=value, got '%s'"):format(text) end
    local why
    arguments[name], why = M.read(value, format)
    if why then return nil, name .. ": " .. why end
  end
  return arguments
end

-- --- writing ---------------------------------------------------------------------------------------------------------

local to_terminal = uv.guess_handle(1) == "tty"

--- What a terminal would obey does not get there from afar.
local function safe(text)
  if not to_terminal then return text end
  return (
    text:gsub("[%c\x7f]", function(c)
      return (c == "\n" or c == "\t") and c or ("\\x%02x"):format(c:byte())
    end)
  )
end

--- A value for people: a string as it is, the rest as Lua has it, on one line.
---@param value any
---@return string
function M.text(value)
  if type(value) == "string" then return safe(value) end
  return show(value, math.huge)
end

M.safe = safe
M.json = json.encode

return M
