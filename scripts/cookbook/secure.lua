-- secure.lua INVITATION [PORT | ADDRESS]: a member of a mesh in which everybody has proved who they are, and may do
-- what the certificate says. INVITATION is a file with the string that `chaski ca invite` has printed; it is good for
-- one enrolment, after which the key and certificate beside it are used. With a PORT it listens there and passes on
-- what others say, with an ADDRESS it connects to such a one. Lines are published; what others say is printed.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"

local path = arg[1] or error "usage: chaski-lua secure.lua INVITATION [PORT | ADDRESS]"
local file <close> = assert(io.open(path))
local port = tonumber(arg[2])
local node = assert(chaski.node { -- enrols with the CA if need be; without a certificate there is no node
  request_ssl_certificate = file:read "l",
  ssl_certificates_location = path .. ".files",
  port = port,
  message_propagation = port ~= nil,
  revocation_interval = port and 1, -- how often the CA is asked whom it has revoked; neighbours are told
})

node:on("edge_open", function(edge)
  print(("* %s has proved who it is"):format(edge.name))
end)
node:on("edge_closed", function(edge, reason, detail)
  if edge.was_live then print(("* %s has gone: %s %s"):format(edge.name, reason, detail)) end
end)
node:subscribe("news", function(message, edge)
  print(("%s: %s"):format(edge.name, message.data))
end)

if arg[2] and not port then assert(node:connect(arg[2])) end
print(("* %s listens at %s"):format(node.status.tls.identity, node.address))
for line in chaski.lines() do
  local ok, err = node:publish("news", line)
  if not ok then print("* not sent: " .. tostring(err)) end
end
