-- result.lua: between `nil, err`, which the public functions return, and errors, which make a long chain of steps that
-- may fail readable inside. SPDX-License-Identifier: MIT
local M = {}

--- value, or err raised.
function M.must(value, err)
  if value then return value end
  error(err, 0)
end

--- fn(...), with a chaski error it raises as nil, err. Mistakes (and cancelling) go on as errors.
function M.guarded(fn, ...)
  local results = table.pack(pcall(fn, ...))
  if results[1] then return table.unpack(results, 2, results.n) end
  local err = results[2]
  if type(err) == "table" and err.code and err.code ~= "cancelled" then return nil, err end
  error(err, 0)
end

return M
