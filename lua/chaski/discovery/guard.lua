-- guard.lua: what a peer may make this node do (RELIABILITY T13, T14): a request of a discovery, or an entry told for
-- healing, names an address of the sender's choice, so dials are few, bounded, and not to everywhere.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local limiter = require "chaski.limiter"

local SEEN_MAX = 4096 -- requests remembered
local SEEN_SECONDS = 60
local SEEN_SECONDS_ANONYMOUS = 0.4 -- without an id: the original repeats after 0.5 s
local REQUESTS_BURST = 4 -- times the limit discovery_rate
local DIALS_RATE, DIALS_BURST = 2, 8 -- a second, for all requests and all healing
local DIALS_MAX = 8 -- at once
local ASKS_RATE, ASKS_BURST = 20, 40 -- origins asked for their status, a second
local FAILED_SECONDS = 60 -- an address that was dialled in vain is left alone
local SILENT_SECONDS = 10 -- one that did not answer: a datagram is lost more easily

local M = {}

-- --- requests seen ---------------------------------------------------------------------------------------------------

local Seen = {}
Seen.__index = Seen

local function key_of(id, request)
  return id or ("%s:%d %s"):format(request.origin_ip, request.origin_port, request.topic)
end

--- Was this request here before?
function Seen:has(id, request)
  local before = self.at[key_of(id, request)]
  return before ~= nil and core.now() - before < (id and SEEN_SECONDS or SEEN_SECONDS_ANONYMOUS)
end

--- The same, and remembers it.
function Seen:check(id, request)
  if self:has(id, request) then return true end
  local key = key_of(id, request)
  if not self.at[key] then
    self.order[self.last + 1], self.last = key, self.last + 1
    if self.last - self.first > SEEN_MAX then
      self.first = self.first + 1
      self.at[self.order[self.first]] = nil
      self.order[self.first] = nil
    end
  end
  self.at[key] = core.now()
  return false
end

-- --- addresses -------------------------------------------------------------------------------------------------------

-- Ranges that only a node which listens in them may dial.
local private_ranges = { "^127%.", "^169%.254%.", "^fe[89ab]%x:", "^::1$" }
-- Never: any, multicast, reserved, broadcast; and of IPv6 what begins with zeros, as it may be an IPv4 address or the
-- loopback in another dress, or has a zone.
local never = { "^0%.", "^22[4-9]%.", "^2[3-5]%d%.", "^ff%x*:", "^0[%x:]*:", "^::$", "^::[^1]", "^::1.", "%%" }

local function in_range(ip, pattern)
  return ip:lower():find(pattern) ~= nil
end

--- "ip:port", told by somebody else, if this node may dial it.
---@param ip string
---@param port integer
---@return string?
function M.address(node, ip, port)
  local text = (ip:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(ip, port)
  if port < 1024 or not core.numeric(ip) then return nil end
  for _, pattern in ipairs(never) do
    if in_range(ip, pattern) then return nil end
  end
  for _, pattern in ipairs(private_ranges) do
    if in_range(ip, pattern) and not in_range(node.ip, pattern) then return nil end
  end
  return text
end

local function left_alone(discovery, address)
  local till = discovery.failed[address]
  return till ~= nil and core.now() < till
end

--- Was it dialled in vain, or has it not answered, a short time ago?
function M.left_alone(node, address)
  return left_alone(core.node_state(node).discovery, address)
end

local function leave_alone(discovery, address, seconds)
  local failed, now = discovery.failed, core.now()
  for each, till in pairs(failed) do
    if now >= till then failed[each] = nil end
  end
  failed[address] = now + seconds
end

--- May this address be asked for its status now? Counts it.
function M.may_ask(node, address)
  local discovery = core.node_state(node).discovery
  return not left_alone(discovery, address) and discovery.asks:take "asks"
end

--- It has not answered.
function M.silent(node, address)
  leave_alone(core.node_state(node).discovery, address, SILENT_SECONDS)
end

--- May this address be dialled now? Counts it.
function M.may_dial(node, address)
  local discovery = core.node_state(node).discovery
  if left_alone(discovery, address) or discovery.dialling >= DIALS_MAX then return false end
  return discovery.dials:take "dials"
end

--- A dial that lasts until its variable is closed.
function M.dialling(node)
  local discovery = core.node_state(node).discovery
  discovery.dialling = discovery.dialling + 1
  return setmetatable({}, {
    __close = function()
      discovery.dialling = discovery.dialling - 1
    end,
  })
end

--- A dial is over. One that was in vain is not tried again for a while.
function M.dialled(node, address, worth_it)
  local discovery = core.node_state(node).discovery
  if worth_it then
    discovery.failed[address] = nil
  else
    leave_alone(discovery, address, FAILED_SECONDS)
  end
end

--- May a request come by this edge now? Counts it.
function M.may_come(node, edge)
  if core.node_state(node).discovery.rates:take(edge.number) then return true end
  core.limit_hit(node, "discovery_rate")
  return false
end

--- What this file keeps for a node, in its table of discovery.
function M.install(node, discovery)
  local rate = core.limit(node, "discovery_rate")
  discovery.seen = setmetatable({ at = {}, order = {}, first = 0, last = 0 }, Seen)
  discovery.rates = limiter.of_edges(core.node_state(node), rate, REQUESTS_BURST * rate)
  discovery.dials = limiter.new(DIALS_RATE, DIALS_BURST)
  discovery.asks = limiter.new(ASKS_RATE, ASKS_BURST)
  discovery.failed, discovery.dialling = {}, 0
  return discovery
end

return M
