-- relay.lua PORT [ADDRESS...]: a relay on a machine with a foot in several networks: it listens in all of them, dials
-- other relays, and passes on whatever comes, without reading it. Who is dialled back is told the address of the
-- network it is asked from. `networks` tries it with three networks on one machine.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"

io.stdout:setvbuf "line"
local name = os.getenv "HOSTNAME" or "relay"
local port = tonumber(arg[1]) or error "usage: chaski-lua relay.lua PORT [ADDRESS...]"
local node = assert(chaski.node { name = name, ip = "0.0.0.0", port = port, message_propagation = true })

node:on("edge_open", function(edge)
  print(("%s: %s is there"):format(name, edge.name))
end)
node:on("edge_closed", function(edge, reason)
  if edge.was_live then print(("%s: %s has gone (%s)"):format(name, edge.name, reason)) end
end)
node:on("undelivered", function(edge, message, reason) -- a relay never waits: what the next one does not take is told
  print(("%s: not for %s: '%s' (%s)"):format(name, edge and edge.name or "anybody", message.topic, reason))
end)

for i = 2, #arg do
  while not node:connect(arg[i]) do -- it may start later; once connected, the edge looks after itself
    chaski.sleep(0.5)
  end
end
print(("%s listens at port %d of every network"):format(name, node.port))
