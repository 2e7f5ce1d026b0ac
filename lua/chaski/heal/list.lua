-- list.lua: the passive list: peers a node knows of and has no edge to. Bounded in all, in one network, and in what one
-- source (the peer that told of them) may have in it. An entry is fresh while somebody who has an edge to it says so,
-- and faded when nobody has for long, or a dial failed. Fresh ones are passed on. A few faded ones are kept: when a
-- network was cut in two, only they lead to the other part. Knows no node. SPDX-License-Identifier: MIT
local core = require "chaski.core"
local network_of = require "chaski.heal.network"

local FADE = 300 -- seconds without news of it after which an entry is faded
local RESERVE = 6 -- faded entries that fresh ones do not displace

---@class chaski.heal.entry further fields: meta.lua
---@field network string?
---@field source string who told us; "" for a peer we had an edge to ourselves
---@field tried number when we last dialled it
---@field left boolean? an edge to it was ended on purpose: for a repair only

---@class chaski.heal.list
---@field entries chaski.heal.entry[] the oldest member of the list first
---@field limits { passive: integer, share: integer, network: integer }
local List = {}
List.__index = List

---@param limits { passive: integer, share: integer, network: integer }
---@return chaski.heal.list
function List.new(limits)
  return setmetatable({ entries = {}, limits = limits }, List)
end

local function faded_at(entry, now)
  return entry.failed > 0 or now - entry.heard > FADE
end

---@param entry chaski.heal.entry
---@return boolean
function List.is_faded(entry)
  return faded_at(entry, core.now())
end

--- Each entry that test says yes to.
---@return chaski.heal.entry[]
function List:select(test)
  local selected = {}
  for _, entry in ipairs(self.entries) do
    if test(entry) then selected[#selected + 1] = entry end
  end
  return selected
end

--- Source -> its entries. What the node knows itself does not count for bounds.
local function loads_of(self)
  local loads = {}
  for _, entry in ipairs(self.entries) do
    loads[entry.source] = (loads[entry.source] or 0) + 1
  end
  loads[""] = 0
  return loads
end

--- What the bounds are on, and what decides who goes, the new entry's fading included.
local function census(self, new)
  local now, faded, of_network = core.now(), 0, 0
  if faded_at(new, now) then faded = 1 end
  for _, entry in ipairs(self.entries) do
    if faded_at(entry, now) then faded = faded + 1 end
    if entry.network == new.network then of_network = of_network + 1 end
  end
  local figures = { now = now, loads = loads_of(self), faded_go = faded > RESERVE, network = new.network }
  figures.of_network = new.network and of_network or 0
  return figures
end

---@return chaski.heal.entry?
function List:find(name, ip, port)
  for _, entry in ipairs(self.entries) do
    if entry.port == port and entry.ip == ip and entry.name == name then return entry end
  end
end

---@param entry chaski.heal.entry
function List:remove(entry)
  for i, each in ipairs(self.entries) do
    if each == entry then return table.remove(self.entries, i) end
  end
end

--- Who goes first: of the source with most entries, then tried in vain most often; -1 for one that is not to go.
local function weight(entry, figures, faded)
  if faded_at(entry, figures.now) ~= faded then return -1 end
  return figures.loads[entry.source] * 1000 + math.min(entry.failed, 999)
end

--- One of the first to go among the faded or the fresh whose field has this value (nil: all): a random one, so that an
--- entry wanders further than to the next neighbours before it is displaced. nil when there is none.
local function first_to_go(self, figures, faded, field, value)
  local first, most, count = nil, -1, 0
  for _, entry in ipairs(self.entries) do
    local heavy = (not field or entry[field] == value) and weight(entry, figures, faded) or -1
    if heavy > most then
      first, most, count = entry, heavy, 1
    elseif heavy == most and heavy >= 0 then
      count = count + 1
      if core.random(count) == 1 then first = entry end
    end
  end
  return first
end

--- One of those goes.
local function drop_one(self, figures, field, value)
  local faded = figures.faded_go
  local victim = first_to_go(self, figures, faded, field, value) or first_to_go(self, figures, not faded, field, value)
  self:remove(victim)
  if victim.network == figures.network then figures.of_network = figures.of_network - 1 end
end

--- Let go what has to for a new entry: for the bounds of its source, of its network, of the list.
local function make_room(self, new)
  local figures, limits = census(self, new), self.limits
  if (figures.loads[new.source] or 0) >= limits.share then drop_one(self, figures, "source", new.source) end
  if figures.of_network >= limits.network then drop_one(self, figures, "network", new.network) end
  if #self.entries >= limits.passive then drop_one(self, figures) end
end

--- News of an entry that is there. What several tell of belongs to the one with the fewest.
local function refresh(self, entry, heard, source)
  entry.heard = math.max(entry.heard, heard)
  if entry.heard > entry.tried then entry.failed = 0 end
  local loads = loads_of(self)
  if (loads[source] or 0) + 1 < loads[entry.source] then entry.source = source end
  return entry
end

--- The entry, new or refreshed.
---@return chaski.heal.entry
function List:add(name, ip, port, heard, source)
  local known = self:find(name, ip, port)
  if known then return refresh(self, known, heard, source) end
  local new = { name = name, ip = ip, port = port, network = network_of(ip), source = source, heard = heard }
  new.tried, new.failed = -math.huge, 0
  make_room(self, new)
  self.entries[#self.entries + 1] = new
  return new
end

return List
