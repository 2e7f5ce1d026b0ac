-- golden.lua: the captured frames of PROTOCOL A.13, read from spec/fixtures/frames.h, the one place they are kept in.
-- SPDX-License-Identifier: MIT
local notation = require "spec.interop.notation"

local M = {}

local path = debug.getinfo(1, "S").source:match "^@(.*)interop/golden%.lua$" .. "fixtures/frames.h"

-- The C strings that stand from `at` on, joined.
local function text_at(source, at)
  local parts = {}
  while true do
    local from = source:match('^%s*()"', at)
    if not from then return table.concat(parts) end
    at = from + 1
    while source:sub(at, at) ~= '"' do
      if source:sub(at, at) == "\\" then at = at + 1 end
      parts[#parts + 1] = source:sub(at, at)
      at = at + 1
    end
    at = at + 1
  end
end

local function field(entry, name)
  local at = assert(entry:match("%." .. name .. " =()"), name)
  return entry:match("^%s*([%w]+)", at) or text_at(entry, at)
end

local function frame(entry)
  return {
    name = field(entry, "name"),
    datagram = field(entry, "datagram") == "true",
    raw = notation.bytes(field(entry, "hex")),
    command = field(entry, "command"),
    topic = field(entry, "topic"),
    data = notation.parse(field(entry, "data")),
    sec = math.tointeger(field(entry, "sec")),
    nsec = math.tointeger(field(entry, "nsec")),
    ttl = math.tointeger(field(entry, "ttl")),
    uuid = field(entry, "uuid"),
  }
end

--- All captured frames.
function M.read()
  local file <close> = assert(io.open(path))
  local list = file:read("a"):match "captured_frames%[%](.*)"
  local frames, at = {}, list:find("{.name", 1, true)
  while at do
    local following = list:find("{.name", at + 1, true)
    frames[#frames + 1] = frame(list:sub(at, following))
    at = following
  end
  return frames
end

return M
