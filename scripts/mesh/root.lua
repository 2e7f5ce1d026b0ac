-- root.lua FILE: the node that the others join through. It passes on what it hears.
local chaski = require "chaski"

local root = assert(chaski.node { name = "root", root = true, message_propagation = true })
local file = assert(io.open(assert(arg[1], "usage: root.lua FILE"), "w"))
file:write(root.address, "\n")
file:close()
