-- producer.lua NAME ROOT: publishes readings of this machine twice a second.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local chaski = require "chaski"
local machine = require "machine"

local node = assert(chaski.node { name = arg[1], message_propagation = true })
assert(node:connect(arg[2]))

chaski.every(0.5, function()
  node:publish("readings", {
    from = node.name,
    address = node.address,
    cpu = machine.cpu(),
    memory = machine.memory(),
    load = machine.load(),
  })
end)
