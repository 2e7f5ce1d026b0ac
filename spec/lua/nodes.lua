-- nodes.lua: what the specs of nodes share: tests that stop and forget their nodes, whatever happens.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local helper = require "spec.helper"

local M = {}

local function stop_all()
  for _, node in ipairs(core.running_nodes()) do
    node:stop { timeout = 1 }
  end
  chaski.sleep(0) -- what was cancelled ends
  collectgarbage()
  collectgarbage()
end

--- A test body for busted: runs as a task; afterwards all nodes are stopped and collected, and nothing may be left.
function M.test(body, timeout)
  return helper.async(function()
    local ok, err = pcall(body)
    stop_all()
    if not ok then error(err, 0) end
  end, timeout)
end

local contexts, root = {}, nil

--- The certificate of a node of this name, from a root of this run's.
local function context_of(name)
  local rig = require "spec.lua.tls_rig"
  root = root or rig.root()
  contexts[name] = contexts[name] or rig.context(root, name)
  return contexts[name]
end

--- Whether the nodes of M.node talk over TLS: with CHASKI_TLS in the environment, for specs that hold either way.
M.secure = os.getenv "CHASKI_TLS" ~= nil

--- A running node on an ephemeral port of loopback.
function M.node(name, options)
  options = options or {}
  options.name = name
  if M.secure then options.tls = context_of(name) end
  options.reconnect = options.reconnect or false
  return assert(chaski.node(options))
end

--- Nodes a and b, a connected to b; the edge at a, and the one at b.
function M.pair(options_a, options_b)
  local a, b = M.node("a", options_a), M.node("b", options_b)
  local edge = assert(a:connect(b))
  helper.eventually(function()
    return #b.edges == 1
  end, "b has the edge")
  return a, b, edge, b.edges[1]
end

--- Wait until this end of an edge knows that the peer subscribes to the topic.
function M.knows(edge, topic)
  helper.eventually(function()
    return edge:is_subscribed(topic)
  end, "the subscription is known")
end

--- Collect what is pushed; wait(n) gives the list when it has n entries.
function M.collector()
  local list = {}
  return list,
    function(n, what)
      helper.eventually(function()
        return #list >= n
      end, what or (n .. " entries"))
      return list
    end
end

return M
