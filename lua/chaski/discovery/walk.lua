-- walk.lua: the default policy of discovery: the seed's walk. A request goes to every edge it has not come by, and the
-- first node that subscribes and has room pairs with its origin.
-- SPDX-License-Identifier: MIT

---@alias chaski.discovery.choose fun(node: chaski.node, topic: string, edges: chaski.edge[]): chaski.edge[]
---@alias chaski.discovery.accept fun(node: chaski.node, request: chaski.discovery.request, edge: chaski.edge): boolean
---@alias chaski.discovery.forward fun(node: chaski.node, request: table, edges: chaski.edge[]): chaski.edge[]
---@alias chaski.discovery.on_pair fun(node: chaski.node, topic: string, edge: chaski.edge, on_pair: string)

---@class chaski.discovery.policy
---@field choose chaski.discovery.choose? where my own request starts
---@field accept chaski.discovery.accept? may I pair with the request's origin?
---@field forward chaski.discovery.forward? to whom it goes on
---@field on_pair chaski.discovery.on_pair? a search of mine has found this edge
---@field again number? seconds after which a request of mine that nobody has answered starts anew; else it does not
local walk = {}

function walk.choose(_, _, edges)
  return edges
end

function walk.accept(node, request)
  local sharing = 0
  for _, edge in ipairs(node.edges) do
    if edge:is_subscribed(request.topic) then sharing = sharing + 1 end
  end
  return sharing < node.max_connections or request.meeting -- else a group of full members would stay apart for ever
end

function walk.forward(_, _, edges)
  return edges
end

return walk
