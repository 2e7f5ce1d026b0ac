-- wire.lua: what `chaski repl` and a host say to each other: tables with a field `kind`, packed, each with its length
-- before it. The host says hello or refused first, then output as it comes; each line is answered by done. While a line
-- runs its session sends nothing but interrupts, so that any byte that waits then is one. SPDX-License-Identifier: MIT
local core = require "chaski.core"

local MOST = 1024 * 1024 -- bytes of one: a statement, a piece of output

local M = {}

M.PIECE = 64 * 1024 -- bytes of output in one

---@param frame table
---@return string
function M.encode(frame)
  return string.pack(">s4", assert(core.pack(frame)))
end

M.INTERRUPT = M.encode { kind = "interrupt" }

local function decode(bytes)
  local ok, frame = pcall(core.unpack, bytes)
  return ok and type(frame) == "table" and type(frame.kind) == "string" and frame or nil
end

--- A function that takes the next bytes and calls on_frame for each that is complete; false: that is no such stream.
---@param on_frame fun(frame: table)
---@return fun(bytes: string): boolean
function M.decoder(on_frame)
  local buffer = ""
  return function(bytes)
    buffer = buffer .. bytes
    while #buffer >= 4 do
      local size = string.unpack(">I4", buffer)
      if size > MOST then return false end
      if #buffer < 4 + size then return true end
      local frame = decode(buffer:sub(5, 4 + size))
      buffer = buffer:sub(5 + size)
      if not frame then return false end
      on_frame(frame)
    end
    return true
  end
end

return M
