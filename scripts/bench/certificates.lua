-- certificates.lua: an authority in a folder, for the measurements over TLS: make(folder), then issue(folder, id) in
-- any process. SPDX-License-Identifier: MIT
local pki = require("chaski.tls").pki

local M = {}

local HOUR, DAY = 3600, 86400

local function read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "a"
  file:close()
  return bytes
end

local function write(path, bytes)
  local file = assert(io.open(path, "wb"))
  file:write(bytes)
  file:close()
end

--- ca.pem and ca.key.
function M.make(folder)
  local key, now = assert(pki.key()), os.time()
  write(folder .. "/ca.key", assert(key:pem()))
  write(
    folder .. "/ca.pem",
    assert(pki.certificate {
      subject = { CN = "bench" },
      not_before = now - DAY,
      not_after = now + DAY,
      authority = true,
      key = key,
    })
  )
end

--- Certificate, key and root of a node, as PEM.
function M.issue(folder, id)
  local key, now, root = assert(pki.key()), os.time(), read(folder .. "/ca.pem")
  local certificate = assert(pki.certificate {
    subject = { CN = id },
    uri = "chaski://bench/" .. id,
    not_before = now - HOUR,
    not_after = now + DAY / 2,
    key = key,
    issuer = assert(pki.read_certificate(root)),
    issuer_key = assert(pki.read_key(read(folder .. "/ca.key"))),
  })
  return certificate, assert(key:pem()), root
end

--- ID.pem and ID.key, for programs that read files.
function M.issue_files(folder, id)
  local certificate, key = M.issue(folder, id)
  write(("%s/%s.pem"):format(folder, id), certificate)
  write(("%s/%s.key"):format(folder, id), key)
end

return M
