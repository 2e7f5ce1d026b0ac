-- random_walk.lua: k walkers instead of a flood: a request starts on k random edges and goes on by one. Few frames
-- where many share the topic. Walkers end in dead ends and where others have been; if they found nobody, new ones set
-- out, and go on by two. SPDX-License-Identifier: MIT
local core = require "chaski.core"
local walk = require "chaski.discovery.walk"

local AGAIN = 0.5 -- seconds

local function some(edges, k)
  local left, taken = table.move(edges, 1, #edges, 1, {}), {}
  while #left > 0 and #taken < k do
    taken[#taken + 1] = table.remove(left, math.floor(core.random() * #left) + 1)
  end
  return taken
end

--- The policy with k walkers (default 4).
---@param k integer?
---@return chaski.discovery.policy
local function random_walk(k)
  return {
    choose = function(_, _, edges)
      return some(edges, k or 4)
    end,
    accept = walk.accept,
    forward = function(_, request, edges)
      return some(edges, request.again and 2 or 1)
    end,
    again = AGAIN,
  }
end

return setmetatable(random_walk(), {
  __call = function(_, k)
    return random_walk(k)
  end,
})
