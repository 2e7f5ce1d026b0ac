-- machine.lua: readings of this machine from /proc (proc(5)).
local machine = {}

local function first_line(path)
  local file = assert(io.open(path))
  local line = file:read "l"
  file:close()
  return line
end

local function cpu_ticks()
  local busy, total, column = 0, 0, 0
  for ticks in first_line("/proc/stat"):gmatch "%d+" do
    column = column + 1
    total = total + ticks
    if column ~= 4 and column ~= 5 then busy = busy + ticks end -- idle, iowait
  end
  return busy, total
end

local busy_before, total_before = cpu_ticks()

--- CPU in use since the last call, percent.
function machine.cpu()
  local busy, total = cpu_ticks()
  local spent = total - total_before
  local percent = spent > 0 and 100 * (busy - busy_before) / spent or 0
  busy_before, total_before = busy, total
  return percent
end

--- Memory in use, percent.
function machine.memory()
  local kib = {}
  for line in io.lines "/proc/meminfo" do
    local key, value = line:match "^(%w+):%s+(%d+)"
    if key then kib[key] = tonumber(value) end
  end
  return 100 * (1 - kib.MemAvailable / kib.MemTotal)
end

--- Load average of the last minute.
function machine.load()
  return tonumber(first_line("/proc/loadavg"):match "^%S+")
end

return machine
