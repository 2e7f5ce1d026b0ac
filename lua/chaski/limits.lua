-- limits.lua: what Lua may take of the process, memory and a handler's time. Only the program chaski-lua can limit
-- them: in a stock lua5.4 the allocator and the signals are another's. SPDX-License-Identifier: MIT
local core = require "chaski.core"
local options = require "chaski.options"

local host = package.preload["chaski.host"] and require "chaski.host"

local M = {}

local function not_here(what)
  return nil, core.new_error("not_available", what .. ": only the program chaski-lua has this limit")
end

--- The limit of Lua's memory and what is in use, both in bytes; 0: no limit. An allocation beyond it collects garbage,
--- and then fails with "not enough memory" where it was made.
---@param bytes integer? a new limit
---@return integer?, integer|chaski.error
function M.memory_limit(bytes)
  if bytes ~= nil and not (math.type(bytes) == "integer" and bytes >= 0) then
    options.raise("chaski.memory_limit: expected bytes, or 0 for no limit, got " .. options.describe(bytes))
  end
  if not host then return not_here "chaski.memory_limit" end
  return host.memory_limit(bytes)
end

local SECONDS = 1000000
local schema = {
  { name = "warn", kind = options.seconds(0, SECONDS) },
  { name = "limit", kind = options.seconds(0, SECONDS) },
  { name = "abort", kind = options.seconds(0, SECONDS) },
}

--- For how long a handler may run without waiting: `warn` logs where it is, `limit` raises an error in it, `abort` ends
--- the process; seconds, 0: never. What is not given stays. Returns them, and how many were `warned` of and `stopped`.
---@param limits chaski.handler_limits?
---@return chaski.handler_limits?, chaski.error?
function M.handler_limits(limits)
  local given = options.check("chaski.handler_limits", schema, limits)
  if not host then return not_here "chaski.handler_limits" end
  return host.handler_limits(given)
end

return M
