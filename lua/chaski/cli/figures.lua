-- figures.lua: what a list of measurements is like: extremes, mean, percentiles. Pure. SPDX-License-Identifier: MIT
local M = {}

--- The value that so many of a hundred do not exceed, of a sorted list.
local function percentile(sorted, p)
  return sorted[math.max(1, math.ceil(#sorted * p / 100))]
end

---@param list number[]
---@return table<string, number> count, and unless that is 0 min, mean, p50, p90, p99, p999, max
function M.of(list)
  local sorted, sum = table.move(list, 1, #list, 1, {}), 0
  table.sort(sorted)
  for _, value in ipairs(sorted) do
    sum = sum + value
  end
  if #sorted == 0 then return { count = 0 } end
  return {
    count = #sorted,
    min = sorted[1],
    mean = sum / #sorted,
    p50 = percentile(sorted, 50),
    p90 = percentile(sorted, 90),
    p99 = percentile(sorted, 99),
    p999 = percentile(sorted, 99.9),
    max = sorted[#sorted],
  }
end

---@param told table<string, number>
---@return string
function M.text(told)
  if told.count == 0 then return "none" end
  return ("min %.3f, mean %.3f, p50 %.3f, p90 %.3f, p99 %.3f, p99.9 %.3f, max %.3f"):format(
    told.min,
    told.mean,
    told.p50,
    told.p90,
    told.p99,
    told.p999,
    told.max
  )
end

return M
