-- neighbours.lua: the edges of a node as healing counts them. SPDX-License-Identifier: MIT
local core = require "chaski.core"

local M = { UNKNOWN = "unknown" } -- a host that cannot be told any more

--- The edges that have a connection, in the order they became live.
---@return chaski.edge[]
function M.of(node)
  local edges = {}
  for _, edge in ipairs(node.edges) do
    if not edge.suspended then edges[#edges + 1] = edge end
  end
  return edges
end

--- The ip of the socket at the other end: not what the peer says.
function M.remote_host(edge)
  local address = edge.remote_address and core.address(edge.remote_address)
  return address and address.host or M.UNKNOWN
end

--- Is the other end on this machine?
function M.is_local(edge)
  local host = M.remote_host(edge)
  return host:find "^127%." ~= nil or host == "::1"
end

return M
