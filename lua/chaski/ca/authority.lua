-- authority.lua: the CA's keys and what they sign: certificates of nodes, its own server certificate, revocation lists.
-- A location has a root after init and two during a rollover; the newer signs from the moment on when every node has
-- renewed under the older and so has heard of it, and the older goes when the last it has signed has ended.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local files = require "chaski.files"
local invites = require "chaski.invite"
local must = require("chaski.result").must
local to_pem = require("chaski.pem").crl
local pki = core.pki

local DAY = 86400
local ROOT_LIFE = 3650 * DAY -- ten years
local BACK = invites.BACK
local SERVER_LIFE = DAY
local LIST_LIFE = 7 * DAY -- the longest life of a certificate: a list that old says nothing any more

local M = {}

---@class chaski.authority
local Authority = {}
Authority.__index = Authority
Authority.__name = "chaski.authority"

function Authority:__tostring()
  return ("authority of %s (%d roots)"):format(self.mesh, #self.roots)
end

-- --- roots -----------------------------------------------------------------------------------------------------------

--- Where key and certificate of a root are.
function M.paths(location, number)
  local name = location .. "/" .. (number == 1 and "ca" or ("ca-%d"):format(number))
  return name .. ".key", name .. ".crt"
end

--- A new key and its root certificate, in files that were not there. No file is left when that fails.
---@param o { location: string, number: integer, mesh: string, name: string, kind: string, passphrase: string? }
---@return table? root, chaski.error?
function M.make_root(o, now)
  local key_path, certificate_path = M.paths(o.location, o.number)
  if files.exists(certificate_path) then
    return nil, core.new_error("exists", ("'%s' is there already"):format(certificate_path))
  end
  local key = must(pki.key(o.kind))
  local pem = must(pki.certificate {
    subject = { O = o.mesh, CN = o.number == 1 and o.name or ("%s %d"):format(o.name, o.number) },
    not_before = now - BACK,
    not_after = now + ROOT_LIFE,
    authority = true,
    key = key,
    issuer_key = key,
  })
  local ok, err = files.create(key_path, must(key:pem(o.passphrase)))
  if not ok then return nil, err end
  ok, err = files.replace(certificate_path, pem, true)
  if not ok then
    files.remove(key_path)
    return nil, err
  end
  local info = pki.read_certificate(pem):info()
  return { number = o.number, key_hash = info.key_hash, hash = info.hash, not_after = info.not_after }
end

local function mismatch(path, what)
  return nil, core.new_error("mismatch", ("'%s' %s"):format(path, what))
end

local function read_key(path, passphrase, root)
  local pem, err = files.read(path, true)
  if not pem then return nil, err end
  local key
  key, err = pki.read_key(pem, passphrase)
  if not key then return nil, core.new_error("unreadable", ("'%s' cannot be used: %s"):format(path, err)) end
  if key:hash() ~= root.key_hash then return mismatch(path, "is not the key that the ledger knows") end
  return key
end

local function read_certificate(path, root)
  local pem, err = files.read(path)
  if not pem then return nil, err end
  local certificate
  certificate, err = pki.read_certificate(pem)
  if not certificate then return nil, core.new_error("unreadable", ("'%s' cannot be used: %s"):format(path, err)) end
  if certificate:info().hash ~= root.hash then return mismatch(path, "is not the root that the ledger knows") end
  return certificate, nil, pem
end

local function read_root(location, root, passphrase, without_keys)
  local key_path, certificate_path = M.paths(location, root.number)
  local certificate, err, pem = read_certificate(certificate_path, root)
  if not certificate then return nil, err end
  root.certificate, root.pem = certificate, pem
  if without_keys then return root end
  root.key, err = read_key(key_path, passphrase, root)
  if not root.key then return nil, err end
  return root
end

--- Roots that still count: the one that signs, the one that will, the one whose certificates have not all ended.
local function active(roots, ledger, now)
  local list, last = {}, #roots
  while last > 1 and roots[last].signs_from > now do
    last = last - 1
  end
  for i, root in ipairs(roots) do
    if i >= last or (ledger:last_end(root.number) or 0) > now then list[#list + 1] = root end
  end
  return list, roots[last]
end

--- Those roots, as the ledger and the files have them now.
---@return chaski.authority?, chaski.error?
function M.open(o)
  local self = setmetatable({ ledger = o.ledger, location = o.location, mesh = o.ledger:meta "mesh" }, Authority)
  self.passphrase, self.without_keys, self.roots = o.passphrase, o.without_keys, {}
  local ok, err = self:load(o.now)
  if not ok then return nil, err end
  return self
end

--- Look for roots that another process has made meanwhile.
function Authority:load(now)
  local roots = active(self.ledger:roots(), self.ledger, now)
  for i, row in ipairs(roots) do
    local known = self.roots[row.number]
    local root, err = known, nil
    if not known then
      root, err = read_root(self.location, row, self.passphrase, self.without_keys)
    end
    if not root then return nil, err end
    roots[i] = root
  end
  self.roots = {}
  for _, root in ipairs(roots) do
    self.roots[root.number] = root
  end
  return true
end

--- Roots that count now, oldest first, and the one that signs. Raises when one of them cannot be read.
function Authority:active(now)
  local rows = self.ledger:roots()
  local list, signer = active(rows, self.ledger, now)
  for _, row in ipairs(list) do
    if not self.roots[row.number] then
      local ok, err = self:load(now)
      if not ok then error(err, 0) end
    end
  end
  for i, row in ipairs(list) do
    list[i] = self.roots[row.number]
  end
  return list, self.roots[signer.number]
end

function Authority:pins(now)
  local pins = {}
  for i, root in ipairs((self:active(now))) do
    pins[i] = root.key_hash
  end
  return pins
end

--- The roots to trust, as PEM.
function Authority:bundle(now)
  local pems = {}
  for i, root in ipairs((self:active(now))) do
    pems[i] = root.pem
  end
  return table.concat(pems)
end

-- --- signing ---------------------------------------------------------------------------------------------------------

--- Sign for a request: { request =, id =, ip = {…}, dns = {…}, rights =, subject =, life = } -> pem, info, root.
function Authority:issue(what, now)
  local _, root = self:active(now)
  local subject = {}
  for name, value in pairs(what.subject or {}) do
    subject[name] = value
  end
  subject.CN = what.id
  local pem = must(pki.certificate {
    subject = subject,
    uri = invites.uri(self.mesh, what.id),
    ip = what.ip,
    dns = what.dns,
    rights = what.rights,
    not_before = now - BACK,
    not_after = math.min(now + what.life, root.not_after),
    request = what.request,
    key = what.key,
    issuer = root.certificate,
    issuer_key = root.key,
  })
  return pem, must(pki.read_certificate(pem)):info(), root
end

--- Certificate chain and key for the CA's own listener, made anew each time and kept nowhere; and when it ends.
function Authority:server(now)
  local key = must(pki.key "p256")
  local what = { key = key, id = invites.AUTHORITY, rights = "publish=;subscribe=", life = SERVER_LIFE }
  local pem, info, root = self:issue(what, now)
  return { certificate = pem .. root.pem, key = key:pem(), ends = info.not_after, signer = root.number }
end

local function make_lists(self, roots, revision, now)
  return function(number)
    local lists = {}
    for i, root in ipairs(roots) do
      local der = must(pki.crl {
        number = number,
        serials = self.ledger:revoked(root.number, now),
        this_update = now - BACK,
        next_update = now + LIST_LIFE,
        issuer = root.certificate,
        issuer_key = root.key,
      })
      lists[i] = { root = root.number, number = number, revision = revision, made = now, next = now + LIST_LIFE }
      lists[i].der = pki.hex(der)
    end
    return lists
  end
end

local function is_fresh(list, revision, now)
  return list and list.revision == revision and now < list.made + LIST_LIFE // 2 and now >= list.made - BACK
end

--- The revocation lists of all roots, as PEM, and their number. New ones are made when something was revoked, or when
--- the last ones are old.
function Authority:lists(now)
  local roots, revision = self:active(now), self.ledger:revision()
  local lists, fresh = {}, true
  for i, root in ipairs(roots) do
    lists[i] = self.ledger:list(root.number)
    fresh = fresh and is_fresh(lists[i], revision, now)
  end
  if not fresh then lists = self.ledger:renew_lists(make_lists(self, roots, revision, now)) end
  local pems, number = {}, 0
  for i, list in ipairs(lists) do
    pems[i] = to_pem(pki.unhex(list.der))
    number = math.max(number, list.number)
  end
  return table.concat(pems), number
end

return M
