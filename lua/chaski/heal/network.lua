-- network.lua: which network an address lies in, for bounds on how many of one: its /24, or its /48 of IPv6.
-- SPDX-License-Identifier: MIT

local GROUPS = 8 -- of 16 bits in an IPv6 address

local function add_groups(list, text)
  for group in text:gmatch "[^:]+" do
    list[#list + 1] = tonumber(group, 16) or 0
    if group:find(".", 1, true) then list[#list + 1] = 0 end -- an IPv4 address at the end is two
  end
  return list
end

local function groups_of(ip)
  local left, right = ip:match "^(.-)::(.*)$"
  local groups, rest = add_groups({}, left or ip), add_groups({}, right or "")
  while #groups + #rest < GROUPS do
    groups[#groups + 1] = 0
  end
  return table.move(rest, 1, #rest, #groups + 1, groups)
end

--- The network of a numeric ip; nil on loopback, where everybody may be.
---@param ip string
---@return string?
return function(ip)
  if ip:find "^127%." or ip == "::1" then return nil end
  local first = ip:match "^(%d+%.%d+%.%d+)%.%d+$"
  if first then return first end
  return ("%x:%x:%x"):format(table.unpack(groups_of(ip), 1, 3))
end
