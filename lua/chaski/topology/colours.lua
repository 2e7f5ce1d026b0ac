-- colours.lua: which colour a node of a topology has: that of its first subscription. SPDX-License-Identifier: MIT
local palette = require "chaski.topology.palette"

local M = {}

---@class chaski.topology.colours
---@field topics string[] in the order nodes bring them
---@field count table<string, integer> nodes whose first subscription it is
---@field of table<string, string> topic -> colour
---@field roots integer
---@field none integer nodes without a subscription that are no roots

---@param members chaski.topology.member[]
---@return chaski.topology.colours
function M.of(members)
  local colours = { topics = {}, count = {}, of = {}, roots = 0, none = 0 }
  for _, member in ipairs(members) do
    local topic = member.topics[1]
    if member.root then
      colours.roots = colours.roots + 1
    elseif not topic then
      colours.none = colours.none + 1
    else
      if not colours.of[topic] then
        colours.topics[#colours.topics + 1] = topic
        colours.of[topic] = palette.topic(#colours.topics)
      end
      colours.count[topic] = (colours.count[topic] or 0) + 1
    end
  end
  return colours
end

--- The colour of a node.
---@param colours chaski.topology.colours
---@param member chaski.topology.member
---@return string
function M.fill(colours, member)
  return member.root and palette.root or colours.of[member.topics[1]] or palette.none
end

return M
