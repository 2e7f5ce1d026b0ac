-- tls_rig.lua: what the specs of nodes over TLS share: certificates of a small authority, without its server, and a
-- whole CA with nodes that have enrolled. SPDX-License-Identifier: MIT
local ca = require "chaski.ca"
local chaski = require "chaski"
local core = require "chaski.core"
local nodes = require "spec.lua.nodes"
local pem = require "chaski.pem"
local rig = require "spec.lua.ca_rig"
local tls = require "chaski.tls"

local pki = core.pki

local M = {}

local HOUR, DAY = 3600, 86400

-- --- certificates ----------------------------------------------------------------------------------------------------

--- A root: { pem =, key =, certificate = }; `now`: seconds since 1970, unless it is to be of today.
function M.root(name, now)
  now = now or math.floor(core.wall())
  local root = { key = assert(pki.key()) }
  root.pem = assert(pki.certificate {
    subject = { O = "chaski", CN = name or "root" },
    not_before = now - DAY,
    not_after = now + 1000 * DAY,
    authority = true,
    key = root.key,
  })
  root.certificate = assert(pki.read_certificate(root.pem))
  return root
end

--- Certificate and key for a node: { certificate =, key =, ca =, serial = }, as texts. What differs in `changes`.
function M.issue(root, id, changes)
  changes = changes or {}
  local now, key = math.floor(core.wall()), assert(pki.key())
  local certificate = assert(pki.certificate {
    subject = { CN = id },
    uri = changes.uri or ("chaski://%s/%s"):format(changes.mesh or "home", id),
    rights = changes.rights,
    role = changes.role,
    not_before = changes.not_before or now - HOUR,
    not_after = changes.not_after or now + DAY,
    key = key,
    issuer = root.certificate,
    issuer_key = root.key,
  })
  local serial = assert(pki.read_certificate(certificate)):info().serial
  return { certificate = certificate, key = key:pem(), ca = root.pem, serial = serial }
end

--- The same as a context; `more`: other options of it.
function M.context(root, id, changes, more)
  local issued = M.issue(root, id, changes)
  local given = { certificate = issued.certificate, key = issued.key, ca = issued.ca }
  for name, value in pairs(more or {}) do
    given[name] = value
  end
  return assert(tls.context(given)), issued
end

--- A revocation list of the root.
function M.revoke(root, number, serials)
  local now = math.floor(core.wall())
  return assert(pki.crl {
    number = number,
    serials = serials,
    this_update = now - HOUR,
    next_update = now + DAY,
    issuer = root.certificate,
    issuer_key = root.key,
  })
end

M.to_pem = pem.crl

-- --- a CA ------------------------------------------------------------------------------------------------------------

local served = {}

--- A test body for busted with CAs and nodes, as nodes.test; what is logged is kept in rig.log.
function M.test(body, timeout)
  return nodes.test(
    rig.quiet(function()
      local ok, err = pcall(body)
      for _, authority in ipairs(served) do
        authority:close()
      end
      served = {}
      if not ok then error(err, 0) end
    end),
    timeout
  )
end

--- A CA of this test's that serves: in a simulation on a host of its own. `given`: options of it.
function M.serve(given)
  local location = rig.folder()
  assert(ca.init { location = location .. "/ca", mesh = "home" })
  local options = { location = location .. "/ca", tries = false }
  for name, value in pairs(given or {}) do
    options[name] = value
  end
  local authority = assert(ca(options))
  assert(authority:serve())
  served[#served + 1] = authority
  return authority, location .. "/nodes"
end

--- A node that enrols: id, what its certificate says (as in ca:invite), its options.
function M.enrolled(authority, location, id, invite, options)
  local asked = { id = id }
  for name, value in pairs(invite or {}) do
    asked[name] = value
  end
  local given = {
    request_ssl_certificate = assert(authority:invite(asked)),
    ssl_certificates_location = location,
  }
  for name, value in pairs(options or {}) do
    given[name] = value
  end
  return assert(chaski.node(given))
end

--- Listen to the event "certificate": the list of { what, info } so far.
function M.watch(node)
  local told = {}
  node:on("certificate", function(what, info)
    told[#told + 1] = { what, info }
  end)
  return told
end

function M.count(told, what)
  local n = 0
  for _, each in ipairs(told) do
    if each[1] == what then n = n + 1 end
  end
  return n
end

return M
