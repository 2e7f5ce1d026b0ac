-- prng.lua: a small generator of pseudo-random numbers (splitmix64), so that a seed gives the same graph everywhere and
-- a script's math.random is left alone. SPDX-License-Identifier: MIT

---@class chaski.topology.prng
---@field state integer
local Prng = {}
Prng.__index = Prng

local function bits(self)
  self.state = self.state + 0x9E3779B97F4A7C15
  local z = self.state
  z = (z ~ (z >> 30)) * 0xBF58476D1CE4E5B9
  z = (z ~ (z >> 27)) * 0x94D049BB133111EB
  return z ~ (z >> 31)
end

--- A whole number from 1 to n.
---@param n integer
---@return integer
function Prng:upto(n)
  return (bits(self) >> 1) % n + 1
end

--- A number from 0, below 1.
---@return number
function Prng:unit()
  return (bits(self) >> 11) * 0x1p-53
end

--- Shuffle a list in place.
---@generic T
---@param list T[]
---@return T[]
function Prng:shuffle(list)
  for i = #list, 2, -1 do
    local j = self:upto(i)
    list[i], list[j] = list[j], list[i]
  end
  return list
end

---@param seed integer
---@return chaski.topology.prng
return function(seed)
  return setmetatable({ state = seed }, Prng)
end
