-- limiter.lua: token buckets by key, for what peers may ask for a second. Bounded: keys not used for a while are
-- dropped. The buckets are in C (src/lua/limiter.c), which takes from them without Lua where that counts.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local states = require "chaski.state"

require "chaski.events" -- on_everywhere

---@class chaski.limiter
---@field rate number tokens a second; may be assigned
---@field burst number tokens at most; may be assigned
---@field count integer keys that have a bucket
---@field package buckets userdata
local Limiter = {}

--- Take a token of key's bucket: false when it is empty.
---@return boolean
function Limiter:take(key)
  return self.buckets:take(key)
end

function Limiter:forget(key)
  self.buckets:forget(key)
end

local meta = {}

function meta:__index(name)
  return Limiter[name] or self.buckets[name]
end

function meta:__newindex(name, value)
  if name == "rate" or name == "burst" then
    self.buckets[name] = value
  else
    rawset(self, name, value)
  end
end

local M = {}

---@param rate number tokens a second
---@param burst number? tokens at most; default twice the rate
---@return chaski.limiter
function M.new(rate, burst)
  return setmetatable({ buckets = core.new_buckets(rate, burst or 2 * rate) }, meta)
end

states.tables "edge_limiters"

--- One whose keys are the numbers of a node's edges: of those that have ended it knows nothing more, so that who
--- connects again and again does not use up the keys.
---@param state table of the node
function M.of_edges(state, rate, burst)
  local new = M.new(rate, burst)
  table.insert(state.edge_limiters, new)
  return new
end

core.on_everywhere("edge_closed", function(node, edge)
  for _, each in ipairs(rawget(core.node_state(node), "edge_limiters") or {}) do
    each:forget(edge.number)
  end
end)

return M
