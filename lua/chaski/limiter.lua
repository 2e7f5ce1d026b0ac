-- limiter.lua: token buckets by key, for what peers may ask for a second. Bounded: keys not used for a while are
-- dropped.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local states = require "chaski.state"

require "chaski.events" -- on_everywhere

local KEYS_MAX = 4096

---@class chaski.limiter
local Limiter = {}
Limiter.__index = Limiter

local M = {}

---@param rate number tokens a second
---@param burst number? tokens at most; default twice the rate
---@return chaski.limiter
function M.new(rate, burst)
  return setmetatable({ rate = rate, burst = burst or 2 * rate, buckets = {}, count = 0 }, Limiter)
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

--- Drop the buckets that are full again: they say nothing.
local function sweep(self, now)
  for key, bucket in pairs(self.buckets) do
    if bucket.tokens + (now - bucket.at) * self.rate >= self.burst then
      self.buckets[key] = nil
      self.count = self.count - 1
    end
  end
end

--- Take a token of key's bucket: false when it is empty.
---@return boolean
function Limiter:take(key)
  local now = core.now()
  local bucket = self.buckets[key]
  if not bucket then
    if self.count >= KEYS_MAX then sweep(self, now) end
    if self.count >= KEYS_MAX then return false end
    bucket = { tokens = self.burst, at = now }
    self.buckets[key] = bucket
    self.count = self.count + 1
  end
  bucket.tokens = math.min(self.burst, bucket.tokens + (now - bucket.at) * self.rate)
  bucket.at = now
  if bucket.tokens < 1 then return false end
  bucket.tokens = bucket.tokens - 1
  return true
end

function Limiter:forget(key)
  if not self.buckets[key] then return end
  self.buckets[key] = nil
  self.count = self.count - 1
end

return M
