-- limiter.lua: token buckets by key, for what peers may ask for a second. Bounded: keys not used for a while are
-- dropped.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"

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

return M
