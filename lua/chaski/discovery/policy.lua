-- policy.lua: what a policy of discovery says. A policy that raises, or says what cannot be, is reported and taken to
-- refuse; what it does not say, the default says (walk.lua).
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local options = require "chaski.options"
local policies = require "chaski.policy"
local walk = require "chaski.discovery.walk"

local names = { "choose", "accept", "forward", "on_pair" }

local seconds = options.seconds(0.1, 1e9)

local M = {}

--- The policy a node was given: a table, or the name of a module that is one. Raises when it is none.
function M.resolve(policy)
  policy = policies.load("discovery", policy)
  for _, name in ipairs(names) do
    local fn = policy[name]
    if fn ~= nil and type(fn) ~= "function" then
      local text = "chaski.node: option 'discovery': '%s': expected a function, got %s"
      options.raise(text:format(name, options.describe(fn)))
    end
  end
  if policy.again ~= nil then options.expect("chaski.node: option 'discovery'", "again", seconds, policy.again) end
  return policy
end

--- What the policy says; nil when it raises.
function M.ask(node, name, ...)
  local fn = core.node_state(node).discovery.policy[name] or walk[name]
  if not fn then return nil end
  return policies.ask("discovery policy: " .. name, fn, node, ...)
end

function M.is_edge(value)
  local meta = type(value) == "userdata" and getmetatable(value)
  return meta and meta.__name == "chaski.edge"
end

--- The live edges of the node among those the policy says; none when it says anything else.
---@return chaski.edge[]
function M.ask_edges(node, name, ...)
  local said, edges = M.ask(node, name, ...), {}
  if said ~= nil and type(said) ~= "table" then
    local text = "expected a list of edges, got " .. options.describe(said)
    core.report_error(text, "discovery policy: " .. name)
    return edges
  end
  for _, edge in ipairs(said or edges) do
    if M.is_edge(edge) and edge.node == node and edge.live then edges[#edges + 1] = edge end
  end
  return edges
end

return M
