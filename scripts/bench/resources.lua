-- resources.lua: what the system says of this process: its memory, and how many files it may open.
-- SPDX-License-Identifier: MIT
local M = {}

local function find(path, pattern)
  local file <close> = assert(io.open(path))
  return tonumber(file:read("a"):match(pattern))
end

--- Resident memory, KiB.
function M.resident_kib()
  return find("/proc/self/status", "VmRSS:%s+(%d+)")
end

--- The same, without what the collector would give back.
function M.resident_kib_collected()
  collectgarbage()
  collectgarbage()
  return M.resident_kib()
end

function M.open_files()
  return find("/proc/self/limits", "Max open files%s+(%d+)")
end

--- Ends the program with a message if it, or a child of it, may not open so many files.
function M.need_files(name, what, needed)
  if M.open_files() >= needed then return end
  io.stderr:write(
    ("%s: %s needs %d open files, the limit is %d (ulimit -Hn)\n"):format(name, what, needed, M.open_files())
  )
  os.exit(1, true)
end

return M
