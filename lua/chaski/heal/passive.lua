-- passive.lua: the default policy of healing, after HyParView (Leitao, Pereira, Rodrigues 2007): a node that has lost
-- edges dials peers of its passive list until it has `active` again. A node that has not lost any dials nobody: one
-- edge to a root makes no mesh. SPDX-License-Identifier: MIT
local core = require "chaski.core"
local neighbours = require "chaski.heal.neighbours"

---@type chaski.heal.policy
local passive = {}

local SPARE = 3 -- edges beyond max_connections for those in need: refusing them would leave the network in parts

function passive.floor(_, had, active)
  return math.min(had, active)
end

function passive.choose(_, candidates)
  return candidates[core.random(#candidates)]
end

function passive.accept(node, join)
  if node.root then return true end
  return #neighbours.of(node) <= node.max_connections + (join.urgent and SPARE or 0) -- with the one it came by
end

return passive
