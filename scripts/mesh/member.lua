-- member.lua INVITATION FOLDER ROLE PEER: a node of a mesh with TLS. It enrols with the string in the file INVITATION,
-- keeps its key and certificate in FOLDER, and is then, as ROLE says: `hub` (writes its address to the file PEER, and
-- asks the CA for revocations twice a second), `sensor` or `wall` (dial PEER). It tells what happens to it.
local chaski = require "chaski"

local invitation, folder, role, peer = arg[1], arg[2], arg[3], arg[4]
if not peer then
  io.stderr:write "usage: member.lua INVITATION FOLDER hub|sensor|wall PEER|FILE\n"
  os.exit(2, true)
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "a"
  file:close()
  return text
end

local node = assert(chaski.node {
  request_ssl_certificate = read(invitation),
  ssl_certificates_location = folder,
  message_propagation = role == "hub",
  revocation_interval = role == "hub" and 0.5 or nil,
})

local function say(text, ...)
  print(("  [%s] %s"):format(node.name, text:format(...)))
  io.stdout:flush()
end

say("enrolled as %s, listening at %s", node.status.tls.identity, node.address)
node:on("edge_open", function(edge)
  say("mutual TLS with %s", edge.name)
end)
node:on("edge_closed", function(edge, reason, detail)
  if edge.was_live then say("the edge to %s has ended: %s %s", edge.name, reason, detail) end
end)

local roles = {}

function roles.hub()
  local file = assert(io.open(peer, "w"))
  file:write(node.address, "\n")
  file:close()
end

function roles.sensor()
  assert(node:connect(peer))
  chaski.sleep(0.2)
  assert(node:publish("weather", { celsius = 21.5 }))
  local ok, err = node:publish("secrets", "the key is under the mat")
  say("publishing to 'secrets': %s", ok and "done" or tostring(err))
end

function roles.wall()
  node:subscribe("weather", function(message, edge)
    say("'weather' by way of %s: %.1f degrees", edge.name, message.data.celsius)
  end)
  assert(node:connect(peer))
end

assert(roles[role], "unknown role")()
