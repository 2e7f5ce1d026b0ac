-- introspect.lua: the served request "chaski.edges", with which tools see a node from afar: who it is, its edges with
-- their figures, its counters. Only of nodes with the option introspect = true, for it tells who is connected to whom.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"

local function describe_edge(edge)
  return {
    name = edge.name,
    id = edge.id,
    number = edge.number,
    address = edge.address,
    root = edge.root,
    propagates = edge.propagates,
    dialled = edge.dialled,
    suspended = edge.suspended,
    latency = edge.latency,
    jitter = edge.jitter,
    queued = edge.queued,
    subscriptions = core.array(edge.subscriptions),
    counters = edge.counters,
  }
end

local function describe(node, started)
  local edges = core.array {}
  for i, edge in ipairs(node.edges) do
    edges[i] = describe_edge(edge)
  end
  local paired = core.map {}
  for _, topic in ipairs(node.subscriptions) do
    paired[topic] = node:paired_for(topic)
  end
  return {
    name = node.name,
    id = node.id,
    address = node.address,
    root = node.root,
    tls = node.tls,
    propagates = node.message_propagation,
    version = core.version,
    uptime = core.now() - started,
    subscriptions = core.array(node.subscriptions),
    paired = paired,
    edges = edges,
    ledger = node.ledger,
    limits = node.limits,
  }
end

local M = { CALLBACK = "chaski.edges" }

function M.install(node)
  local started = core.now()
  node:serve(M.CALLBACK, function()
    return describe(node, started)
  end)
end

return M
