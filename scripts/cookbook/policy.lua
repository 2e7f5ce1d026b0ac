-- policy.lua [SEED]: a discovery policy of your own: machines of two sites have one root, but pair only with their own
-- site. Here on a virtual network (chaski.sim), where each run of a seed is the same; real nodes take it too.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local walk = require "chaski.discovery.walk"

local function site_of(name)
  return name:match "^%a+"
end

local own_site = {
  accept = function(node, request, edge) -- may I pair with who asks?
    return site_of(node.name) == site_of(request.origin_name) and walk.accept(node, request, edge)
  end,
}

local function peers_of(node)
  local names = {}
  for _, edge in ipairs(node.edges) do
    if not edge.root then names[#names + 1] = edge.name end
  end
  return table.concat(names, " ")
end

local sim <close> = chaski.sim { seed = math.tointeger(arg[1] or 1), delay = 0.02 }
sim:run(function()
  local root, nodes = assert(chaski.node { name = "root", root = true }), {}
  for i = 1, 8 do
    local name, first = (i % 2 == 0 and "cusco%d" or "puno%d"):format(i), i <= 2 -- the first of its site
    nodes[i] = assert(chaski.node { name = name, subscriptions = "weather", discovery = own_site, paired = first })
    assert(nodes[i]:connect(root))
    if not first then assert(nodes[i]:discovery { on_pair = "disconnect" }) end
  end
  for _, node in ipairs(nodes) do
    print(("%-7s %s"):format(node.name, peers_of(node)))
  end
end)
