-- send.lua FILE ADDRESS: sends a file to a machine where receive.lua waits for it.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"

local CHUNK = 512 * 1024 -- bytes

local path, address = arg[1], arg[2]
local file, at, last = assert(io.open(path, "rb")), 0
local whole = chaski.tls.pki.hex(chaski.tls.pki.sha256(file:read "a"))
file:seek "set"

local node = assert(chaski.node { name = "sender", reconnect = false })
local edge = assert(node:connect(address))
repeat
  local bytes = file:read(CHUNK) or ""
  last = #bytes < CHUNK
  local chunk = { name = path:match "[^/]*$", at = at, bytes = chaski.bin(bytes), checksum = last and whole or nil }
  assert(node:request("chunk", chunk, { edge = edge, timeout = 30 })) -- true: it is there, and written
  at = at + #bytes
until last
node:stop()
