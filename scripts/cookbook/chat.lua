-- chat.lua NAME [ADDRESS]: a chat in a terminal. The first one waits, the others connect to anybody who is there; what
-- is said goes on from node to node, so it does not matter to whom.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"

local name = arg[1] or error "usage: chaski-lua scripts/cookbook/chat.lua NAME [ADDRESS]"
local node = assert(chaski.node { name = name, message_propagation = true })

local function say(text)
  print((text:gsub("%c", " "))) -- no control characters from afar
end

node:subscribe("chat", function(message)
  say(("%s: %s"):format(message.data.from, message.data.text))
end)
node:on("edge_open", function(edge)
  say(("* %s is here"):format(edge.name))
end)
node:on("edge_closed", function(edge, reason)
  if edge.was_live then say(("* %s has left (%s)"):format(edge.name, reason)) end
end)

if arg[2] then assert(node:connect(arg[2])) end
say("* others reach you at " .. node.address)
for line in chaski.lines() do -- waits for the keyboard, and only this task does
  local ok, err = node:publish("chat", { from = name, text = line })
  if not ok then say("* nobody hears you: " .. err.message) end
end
node:stop()
