-- guard.lua: what a discovery may make this node do (RELIABILITY T13, T14): a request names an address of the sender's
-- choice, so dials are few, bounded, and not to everywhere.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local limiter = require "chaski.limiter"

local SEEN_MAX = 4096 -- requests remembered
local SEEN_SECONDS = 60
local SEEN_SECONDS_ANONYMOUS = 0.4 -- without an id: the original repeats after 0.5 s
local REQUESTS_RATE, REQUESTS_BURST = 5, 20 -- a second from one edge
local DIALS_RATE, DIALS_BURST = 2, 8 -- a second, for all requests
local FAILED_SECONDS = 60 -- an address that did not answer is left alone

local M = {}

-- --- requests seen ----------------------------------------------------------------------------------------------------

local Seen = {}
Seen.__index = Seen

--- Was this request here before? Remembers it.
function Seen:check(id, request)
  local now = core.now()
  local key = id or ("%s:%d %s"):format(request.origin_ip, request.origin_port, request.topic)
  local before = self.at[key]
  if before and now - before < (id and SEEN_SECONDS or SEEN_SECONDS_ANONYMOUS) then return true end
  if not before then
    self.order[self.last + 1], self.last = key, self.last + 1
    if self.last - self.first >= SEEN_MAX then
      self.first = self.first + 1
      self.at[self.order[self.first]] = nil
      self.order[self.first] = nil
    end
  end
  self.at[key] = now
  return false
end

-- --- addresses --------------------------------------------------------------------------------------------------------

-- Ranges that only a node which listens in them may dial.
local private_ranges = { "^127%.", "^169%.254%.", "^fe[89ab]%x:", "^::1$" }
-- Never: any, multicast, broadcast.
local never = { "^0%.", "^2[2-5]%d%.", "^ff%x*:", "^::$" }

local function in_range(ip, pattern)
  return ip:lower():find(pattern) ~= nil
end

--- The origin's address if this node may dial it.
function M.address(node, request)
  local ip = request.origin_ip
  local text = ip:find(":", 1, true) and ("[%s]:%d"):format(ip, request.origin_port) or ("%s:%d"):format(ip, request.origin_port)
  if request.origin_port < 1024 or not core.numeric(ip) then return nil end
  for _, pattern in ipairs(never) do
    if in_range(ip, pattern) then return nil end
  end
  for _, pattern in ipairs(private_ranges) do
    if in_range(ip, pattern) and not in_range(node.ip, pattern) then return nil end
  end
  return text
end

--- May this address be dialled now? Counts it.
function M.may_dial(node, address)
  local discovery = core.node_state(node).discovery
  local failed = discovery.failed[address]
  if failed and core.now() - failed < FAILED_SECONDS then return false end
  return discovery.dials:take "dials"
end

function M.dialled(node, address, reached)
  local failed = core.node_state(node).discovery.failed
  for each, at in pairs(failed) do
    if core.now() - at >= FAILED_SECONDS then failed[each] = nil end
  end
  failed[address] = not reached and core.now() or nil
end

function M.install(discovery)
  discovery.seen = setmetatable({ at = {}, order = {}, first = 0, last = 0 }, Seen)
  discovery.rates = limiter.new(REQUESTS_RATE, REQUESTS_BURST)
  discovery.dials = limiter.new(DIALS_RATE, DIALS_BURST)
  discovery.failed = {}
end

return M
