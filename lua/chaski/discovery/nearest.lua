-- nearest.lua: a latency-preferring policy: a request goes on over the nearer half of the edges only, two at least; one
-- that starts anew, over all.
-- SPDX-License-Identifier: MIT
local walk = require "chaski.discovery.walk"

local AGAIN = 1 -- seconds

local function nearer_half(_, request, edges)
  if request.again then return edges end
  local near = table.move(edges, 1, #edges, 1, {})
  table.sort(near, function(a, b)
    if a.latency ~= b.latency then return a.latency < b.latency end
    return a.number < b.number
  end)
  return table.move(near, 1, math.max(2, (#near + 1) // 2), 1, {})
end

---@type chaski.discovery.policy
return { choose = walk.choose, accept = walk.accept, forward = nearer_half, again = AGAIN }
