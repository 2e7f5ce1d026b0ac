-- receive.lua FOLDER [PORT]: takes files that send.lua sends, in chunks that are each acknowledged, so that the network
-- sets the pace. A file has its name only when it is whole and right.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"

local folder, port = arg[1], math.tointeger(arg[2] or 0)
local node = assert(chaski.node { name = "drop", port = port })

local function checksum(path)
  local file <close> = assert(io.open(path, "rb"))
  return chaski.tls.pki.hex(chaski.tls.pki.sha256(file:read "a"))
end

local function append(path, chunk)
  local file <close> = assert(io.open(path, chunk.at == 0 and "wb" or "ab"))
  if file:seek "end" ~= chunk.at then error("a chunk is missing", 0) end
  assert(file:write(chunk.bytes))
end

node:serve("chunk", function(chunk, edge)
  if not chunk.name:find "^[%w_][%w_.-]*$" then error("a bad name", 0) end -- it must not lead elsewhere
  local part = ("%s/%s.%d.part"):format(folder, chunk.name, edge.number)
  append(part, chunk)
  if not chunk.checksum then return true end
  if checksum(part) ~= chunk.checksum then error("it was damaged on its way", 0) end
  assert(os.rename(part, folder .. "/" .. chunk.name))
  print(("%s: %d bytes from %s"):format(chunk.name, chunk.at + #chunk.bytes, edge.name))
  return true
end)

print("receive listens at " .. node.address)
