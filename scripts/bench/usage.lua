-- usage.lua: what the measurements of this folder share: numbers as arguments, --help, and the usage when something is
-- wrong with them.
-- SPDX-License-Identifier: MIT
local M = {}

--- The usage as it is printed; at --help it is, and that was all.
local function help(usage)
  usage = "usage: chaski-lua " .. usage .. "\n"
  if arg[1] == "--help" or arg[1] == "-h" then
    io.write(usage)
    os.exit(0, true)
  end
  return usage
end

--- The arguments as whole numbers, each of { default, least }; prints the usage and ends at --help (0) and when they
--- are wrong (2).
---@param usage string without the word
---@param rows integer[][]
---@return integer ...
function M.integers(usage, rows)
  usage = help(usage)
  local numbers = {}
  for i, row in ipairs(rows) do
    local number = math.tointeger(tonumber(arg[i] or row[1]))
    if not number or number < row[2] or arg[#rows + 1] then
      io.stderr:write(usage)
      os.exit(2, true)
    end
    numbers[i] = number
  end
  return table.unpack(numbers)
end

--- The same for arguments with names: --nodes 100.
---@param usage string without the word
---@param rows table<string, integer[]> name -> { default, least }
---@return table<string, integer>
function M.named(usage, rows)
  usage = help(usage)
  local numbers = {}
  for name, row in pairs(rows) do
    numbers[name] = row[1]
  end
  for i = 1, #arg, 2 do
    local name, number = arg[i]:match "^%-%-(.*)$", math.tointeger(tonumber(arg[i + 1]))
    if not rows[name] or not number or number < rows[name][2] then
      io.stderr:write(usage)
      os.exit(2, true)
    end
    numbers[name] = number
  end
  return numbers
end

return M
