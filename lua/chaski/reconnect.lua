-- reconnect.lua: the default policy of reconnecting, decorrelated jitter (a random delay between the base and thrice
-- the delay before), and the loop that follows a policy. A policy is a function
--   (node, edge, attempt, previous delay or nil) -> seconds to wait before this attempt, or nil to give up.
-- After a goodbye nobody dials again, unless the option says so and the peer has stopped: it may come back.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local options = require "chaski.options"
local states = require "chaski.state"

local M = {}

states.tables "redialling" -- address -> true

-- Ends after which the peer may well be there again. Not: goodbye, closed, duplicate, replaced, self, protocol, ...
local worth_a_try = {
  lost = true,
  reset = true,
  truncated = true,
  lease = true,
  frame_timeout = true,
  unreachable = true,
  timeout = true,
  io = true,
}

-- Answers after which trying again is pointless.
local final = { self = true, stopped = true, bad_address = true, invalid = true, forbidden = true, live = true }

-- s at most between attempts while the edge can be resumed: it keeps messages for a peer that may be back any moment, a
-- process that was stopped, say.
local SUSPENDED_CAP = 8

local jitter_schema = {
  { name = "base", kind = options.seconds(0.001, 3600), default = 0.5 },
  { name = "cap", kind = options.seconds(0.001, 86400), default = 30 },
}

local option_schema = {
  jitter_schema[1],
  jitter_schema[2],
  { name = "policy", kind = options.func }, -- instead of the default one
  { name = "goodbye", kind = options.boolean, default = false }, -- also when the peer has stopped in good order
}

--- The default policy with other figures.
---@param given { base: number?, cap: number? }? seconds
function M.jitter(given)
  local figures = options.check("reconnect", jitter_schema, given)
  return function(node, edge, attempt, previous)
    if attempt > node.reconnections then return nil end
    local most = math.max(figures.base, (previous or figures.base) * 3)
    local cap = edge and edge.suspended and math.min(figures.cap, SUSPENDED_CAP) or figures.cap
    return math.min(cap, figures.base + core.random() * (most - figures.base))
  end
end

--- The edge to the peer, if it has a connection.
local function known_edge(node, edge, address)
  local found
  if edge.id == "" then
    found = node:get_edge(address)
  else
    for _, each in ipairs(node.edges) do
      if each.id == edge.id then found = each end
    end
  end
  return found and not found.suspended and found or nil
end

local function try(node, edge, address, policy)
  local attempt, delay, err = 0, nil, nil
  while true do
    attempt = attempt + 1
    delay = policy(node, edge, attempt, delay)
    if not delay then return nil, err or core.new_error("refused", "no attempt to reconnect was made") end
    core.sleep(delay)
    if not node.running then return nil, core.new_error("stopped", "the node is stopped") end
    local live = known_edge(node, edge, address)
    if live then return live end
    live, err = node:connect(address)
    if live then return live end
    if final[err.code] then return nil, err end
  end
end

--- Follow the node's policy until the peer is connected: the edge, or nil, err.
function M.follow(node, edge)
  local state = core.node_state(node)
  local address = edge.dialled_address or edge.address
  if state.redialling[address] then
    return nil, core.new_error("live", "the node is already reconnecting to " .. address)
  end
  if not state.policy then return nil, core.new_error("forbidden", "the node's option reconnect is false") end
  state.redialling[address] = true
  local _ <close> = setmetatable({}, {
    __close = function()
      state.redialling[address] = nil
    end,
  })
  return try(node, edge, address, state.policy)
end

local default = M.jitter()

--- The policy that the option says, and whether it is followed after a goodbye too.
local function read_option(option)
  if type(option) == "function" then return option, false end
  if next(option) == nil then return default, false end
  local given = options.check("chaski.node: option 'reconnect'", option_schema, option)
  return given.policy or M.jitter { base = given.base, cap = given.cap }, given.goodbye
end

--- Set up the node's policy as its options say.
function M.install(node, option)
  if not option then return end
  local state = core.node_state(node)
  state.policy, state.after_goodbye = read_option(option)
end

local function redial(node, edge, reason)
  local state = core.node_state(node)
  if not state.policy or not edge.dialled then return end
  local may_return = state.after_goodbye and reason == "goodbye" and edge.detail == "stopped"
  if worth_a_try[reason] or may_return then M.follow(node, edge) end
end
core.on_everywhere("edge_suspended", redial)
core.on_everywhere("edge_closed", redial)

function core.node_methods:try_to_reconnect(edge)
  options.expect_object("node:try_to_reconnect", "chaski.edge", "an edge", edge)
  return M.follow(self, edge)
end

return M
