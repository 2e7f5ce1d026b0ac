-- heal.lua [SEED]: most nodes die at once, and the rest is a network again: nodes with the option heal know more peers
-- than they have edges to. Here on a virtual network (chaski.sim); real nodes take the option too.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"

chaski.log.level "error" -- every edge that is lost is a warning

local function heard_by(nodes)
  local heard = 0
  for i = 2, #nodes do
    nodes[i]:subscribe("roll call", function()
      heard = heard + 1
    end)
  end
  assert(nodes[1]:publish("roll call", "who is there?"))
  chaski.sleep(2)
  return heard
end

local sim <close> = chaski.sim { seed = math.tointeger(arg[1] or 1), delay = 0.02 }
sim:run(function()
  local function options(i)
    return { ip = ("10.%d.0.1"):format(i), heal = true, message_propagation = true, subscriptions = "roll call" }
  end
  local mesh = assert(chaski.topology.random(50, { degree = 4, node = options }))
  assert(mesh:connect())
  chaski.sleep(60) -- neighbours tell each other whom they know
  local alive = table.move(mesh.nodes, 1, 10, 1, {})
  for i = 11, 50 do
    mesh.nodes[i]:stop { timeout = 0 }
  end
  for _, seconds in ipairs { 0, 30 } do
    chaski.sleep(seconds)
    print(("%d s later the first of 10 is heard by %d of the others"):format(seconds, heard_by(alive)))
  end
end)
