-- enrol.lua: the node's side of the CA: join with an enrolment string, renew with the certificate there is. The private
-- key is made here and never leaves. Files are whole or as they were; see docs/enrolment.md.
-- SPDX-License-Identifier: MIT
local channels = require "chaski.channel"
local core = require "chaski.core"
local files = require "chaski.files"
local invites = require "chaski.invite"
local options = require "chaski.options"
local result = require "chaski.result"
local subjects = require "chaski.ca.subjects"
local tls = require "chaski.tls"
local pki = core.pki

local must, guarded = result.must, result.guarded

local ROOM = 32768 -- bytes: what is written in the end, with room to spare
local TRIES = 3 -- of a CA that is not there
local PAUSE, PAUSE_MAX = 0.2, 2 -- seconds before the next try; doubles
local LISTS_MAX = 1024 * 1024 -- bytes of revocation lists
local ROOTS_MAX = 2

local M = {}

local key_kind = options.one_of("p256", "p384", "ed25519", "rsa3072", "rsa4096")
local attributes = {
  expected = "table of C, ST, L, O, OU",
  test = function(value)
    return type(value) == "table" and not subjects.wrong(value)
  end,
}

local join_schema = {
  { name = "location", kind = options.text(1, 4096) },
  { name = "attributes", kind = attributes, default = {} },
  { name = "timeout", kind = options.seconds(0.001, 3600), default = 10 },
  { name = "key", kind = key_kind, default = "p256" },
  { name = "passphrase", kind = options.text(1, 1024) },
}

local find_schema = {
  { name = "location", kind = options.text(1, 4096) },
}

local revocations_schema = {
  { name = "timeout", kind = options.seconds(0.001, 3600), default = 10 },
}

local renew_schema = {
  { name = "address", kind = options.text(1, 300) },
  { name = "timeout", kind = options.seconds(0.001, 3600), default = 10 },
  { name = "key", kind = key_kind, default = "p256" },
  { name = "passphrase", kind = options.text(1, 1024) },
}

---@class chaski.enrolled
---@field folder string a symbolic link to the folder with the files; remade when they are replaced
---@field certificate string path, as the following
---@field key string
---@field ca string the roots to trust
---@field crl string the revocation lists
---@field id string
---@field mesh string
---@field not_before integer seconds since 1970; a certificate is dated back by invites.BACK
---@field not_after integer
---@field serial string
---@field address string of the CA
---@field found boolean? the files were there before: nobody was asked for them

local function fail(code, text, ...)
  error(core.new_error(code, "enrolment: " .. text:format(...)), 0)
end

-- --- talking to the CA -----------------------------------------------------------------------------------------------

--- A member could answer in the CA's place: its certificate is under the same root. But it is not the CA's.
local function check_authority(channel, mesh)
  local der = channel:peer_certificate()
  local certificate = der and pki.read_certificate(der)
  local info = certificate and certificate:info()
  if info and #info.uris == 1 and info.uri == invites.uri(mesh, invites.AUTHORITY) then return end
  fail("certificate", "%s is not the CA of the mesh '%s'", channel.peer, mesh)
end

--- The CA's answer; what it refuses is raised, marked as such.
local function ask(channel, request)
  local answer = must(channels.ask(channel, request))
  local refusal = answer.error
  if refusal == nil then return answer end
  if type(refusal) ~= "table" or type(refusal.code) ~= "string" then fail("malformed_data", "a garbled answer") end
  local message = type(refusal.message) == "string" and refusal.message or refusal.code
  local text = message:sub(1, 256):gsub("%c", "?")
  local err = core.new_error(refusal.code:sub(1, 64), "enrolment: the CA refuses: " .. text)
  err.refused = true
  error(err, 0)
end

local function check_piece(answer, at)
  local piece, total = answer.bytes, answer.size
  local good = type(piece) == "string" and math.type(total) == "integer" and total <= LISTS_MAX
  if not good or at + #piece > total or (#piece == 0 and at < total) then
    fail("malformed_data", "a garbled revocation list")
  end
  return piece
end

local function fetch_lists(channel)
  local pieces, size, number = {}, 0, nil
  local answer
  repeat
    answer = ask(channel, { command = "crl", offset = size })
    if number and number ~= answer.number then
      pieces, size, number = {}, 0, nil -- made anew meanwhile: from the start
    else
      number = answer.number
      pieces[#pieces + 1] = check_piece(answer, size)
      size = size + #answer.bytes
    end
  until number and size == answer.size
  return table.concat(pieces)
end

-- --- judging what it says --------------------------------------------------------------------------------------------

--- Split PEM into its certificates.
local function certificates_of(bundle)
  local list = {}
  for pem in bundle:gmatch "%-%-%-%-%-BEGIN CERTIFICATE%-%-%-%-%-.-%-%-%-%-%-END CERTIFICATE%-%-%-%-%-" do
    list[#list + 1] = must(pki.read_certificate(pem .. "\n"))
  end
  return list
end

--- Is one of the roots known already: by its pin, or because it was trusted before?
local function check_bundle(bundle, known)
  local roots, found = type(bundle) == "string" and certificates_of(bundle) or {}, false
  if #roots == 0 or #roots > ROOTS_MAX then fail("certificate", "the CA sent no usable roots") end
  for _, root in ipairs(roots) do
    local info = root:info()
    if not info.authority then fail("certificate", "the CA sent a root that is none") end
    found = found or known[info.key_hash]
  end
  if not found then fail("certificate", "none of the roots that the CA sent is known") end
end

--- Is the certificate ours, and good under these roots?
local function check_certificate(answer, want)
  local certificate = type(answer.certificate) == "string" and pki.read_certificate(answer.certificate)
  if not certificate then fail("certificate", "the CA sent no usable certificate") end
  local info = certificate:info()
  if info.key_hash ~= want.key:hash() then fail("certificate", "the certificate is for another key") end
  if #info.uris ~= 1 or info.uri ~= invites.uri(want.mesh, want.id) then
    fail("certificate", "the certificate is for another name: %s", info.uri)
  end
  local good, err = pki.verify(certificate, { roots = answer.bundle, role = "both", at = math.floor(core.wall()) })
  if not good then fail("certificate", "the certificate is not good: %s", tostring(err)) end
  return info
end

-- --- one exchange, and several ---------------------------------------------------------------------------------------

--- Send one request and take in all that belongs to it: the answer, checked, and the revocation lists.
local function exchange(context, want, make_request, timeout)
  local channel <close> = must(channels.connect(want.address, context, { timeout = timeout }))
  check_authority(channel, want.mesh)
  local request = make_request(channel)
  want.sent = true
  local answer = ask(channel, request)
  check_bundle(answer.bundle, want.known)
  local info = check_certificate(answer, want)
  return { info = info, certificate = answer.certificate, bundle = answer.bundle, lists = fetch_lists(channel) }
end

--- What another try can mend: the connection was lost, or the CA was not there.
local passing = { lost = true, reset = true, truncated = true, refused = true, timeout = true, unreachable = true }

--- With each context until one is right. Returns what came, or nil, err and whether another try makes sense.
local function exchange_once(contexts, want, make_request, deadline)
  local done, err
  for _, context in ipairs(contexts) do
    local left = deadline - core.now()
    if left <= 0 then return nil, err or core.new_error("timeout", "enrolment: timed out"), false end
    done, err = guarded(exchange, context, want, make_request, left)
    if done then return done end
    if err.refused then return nil, err, false end
    if passing[err.code] then return nil, err, true end
  end
  return nil, err, false
end

--- An answer that was lost is asked for again, with the same key, as long as there is time: the token may be spent.
local function exchange_patiently(contexts, want, make_request, timeout)
  local deadline, try, pause = core.now() + timeout, 1, PAUSE
  while true do
    local done, err, again = exchange_once(contexts, want, make_request, deadline)
    if done then return done end
    if not again or (try >= TRIES and not want.sent) or core.now() + pause >= deadline then error(err, 0) end
    core.sleep(pause)
    try, pause = try + 1, math.min(2 * pause, PAUSE_MAX)
  end
end

-- --- files -----------------------------------------------------------------------------------------------------------

--- The files of a node, in a set that is replaced as a whole: key and certificate must belong together.
local function paths_in(folder)
  return {
    folder = folder,
    certificate = folder .. "/certificate.pem",
    key = folder .. "/key.pem",
    ca = folder .. "/ca.pem",
    crl = folder .. "/crl.pem",
  }
end

--- What the rest of the program knows an identity by: where its files are, and what they say.
local function describe(folder, want, info)
  local paths = paths_in(folder)
  paths.id, paths.mesh, paths.address = want.id, want.mesh, want.address
  paths.not_before, paths.not_after, paths.serial = info.not_before, info.not_after, info.serial
  return paths
end

local function finish(folder, want, done)
  must(files.replace_set(folder, {
    ["certificate.pem"] = done.certificate,
    ["key.pem"] = must(want.key:pem(want.passphrase)),
    ["ca.pem"] = done.bundle,
    ["crl.pem"] = done.lists,
  }))
  return describe(folder, want, done.info)
end

-- --- finding ---------------------------------------------------------------------------------------------------------

--- A string that is still good, of a CA that these files know nothing of: the mesh was founded anew under its old name.
local function is_newer(invite, ca)
  if core.wall() >= invite.expires then return false end
  for _, root in ipairs(certificates_of(must(files.read(ca)))) do
    for _, pin in ipairs(invite.pins) do
      if root:info().key_hash == pki.hex(pin) then return false end
    end
  end
  return true
end

local function find(invite, location)
  local folder = location .. "/" .. invite.id
  if not files.exists(folder) then fail("missing", "there is no '%s'", folder) end
  local paths = paths_in(folder)
  must(tls.context { certificate = paths.certificate, key = paths.key, ca = paths.ca, crl = paths.crl })
  local info = must(pki.read_certificate(must(files.read(paths.certificate)))):info()
  if info.uri ~= invites.uri(invite.mesh, invite.id) then
    fail("mismatch", "'%s' is the certificate of %s", paths.certificate, info.uri)
  end
  if is_newer(invite, paths.ca) then fail("mismatch", "'%s' are the roots of another CA", paths.ca) end
  local enrolled = describe(folder, invite, info)
  enrolled.found = true
  return enrolled
end

--- The files that join has written before for whom the string invites, if they are good; else nil, err. The token is
--- not spent, and need not be good any more.
---@param text string
---@param given { location: string }
---@return chaski.enrolled?, chaski.error?
function M.find(text, given)
  local checked = options.check("enrol.find", find_schema, given)
  if not checked.location then error("enrol.find: option 'location' is missing", 2) end
  local invite, err = invites.read(text)
  if not invite then return nil, err end
  return guarded(find, invite, checked.location)
end

-- --- joining ---------------------------------------------------------------------------------------------------------

local function contexts_of(pins)
  local contexts, known = {}, {}
  for i, pin in ipairs(pins) do
    contexts[i] = must(tls.context { pin = pki.hex(pin), alpn = invites.ALPN, anonymous = true })
    known[pki.hex(pin)] = true
  end
  return contexts, known
end

local function request_with(key, id, fields)
  local subject = { CN = id }
  for name, value in pairs(fields) do
    subject[name] = value
  end
  return must(pki.request(key, subject))
end

local function join(invite, checked)
  local folder = checked.location .. "/" .. invite.id
  must(files.make_folder(checked.location))
  if files.exists(folder) and not files.is_set(folder) then fail("exists", "'%s' was not made by joining", folder) end
  must(files.probe(folder, ROOM)) -- before the token is spent
  local want = { address = invite.address, id = invite.id, mesh = invite.mesh, passphrase = checked.passphrase }
  local contexts
  contexts, want.known = contexts_of(invite.pins)
  want.key = must(pki.key(checked.key))
  local csr, proof_key = request_with(want.key, invite.id, checked.attributes), invites.proof_key(invite.secret)
  local function request(channel)
    local mac = invites.proof(proof_key, must(channel:export(invites.LABEL, invites.EXPORTED)), csr)
    return {
      command = "enroll",
      token = core.bin(invite.token),
      id = invite.id,
      csr = core.bin(csr),
      mac = core.bin(mac),
    }
  end
  return finish(folder, want, exchange_patiently(contexts, want, request, checked.timeout))
end

--- Enrol with an enrolment string: make a key, prove the secret to the CA that the string names and no other, and write
--- key, certificate and roots to files under `location`.
---@param text string
---@param given { location: string, attributes: table?, timeout: number?, key: string?, passphrase: string? }
---@return chaski.enrolled?, chaski.error?
function M.join(text, given)
  local checked = options.check("enrol.join", join_schema, given)
  if not checked.location then error("enrol.join: option 'location' is missing", 2) end
  local invite, err = invites.read(text)
  if not invite then return nil, err end
  return guarded(join, invite, checked)
end

local grave = { exposed = true, access = true, io = true, bad_invite = true } -- somebody has to look at it

--- The files of the identity that the string is for: those there are, without spending the token, or new ones. As join.
---@return chaski.enrolled?, chaski.error?
function M.obtain(text, given)
  local enrolled, why = M.find(text, { location = given.location })
  if enrolled or grave[why.code] then return enrolled, why end
  local err
  enrolled, err = M.join(text, given)
  if enrolled or why.code == "missing" then return enrolled, err end
  local both = core.new_error(err.code, ("%s; the files there are cannot be used: %s"):format(err, why))
  both.refused = err.refused
  return nil, both
end

-- --- renewing --------------------------------------------------------------------------------------------------------

--- What the files say: who we are, and whom we trust.
local function read_own(paths)
  local certificate, err = pki.read_certificate(must(files.read(paths.certificate)))
  if not certificate then fail("certificate", "'%s' cannot be used: %s", paths.certificate, tostring(err)) end
  local mesh, id = certificate:info().uri:match "^chaski://([^/]+)/([^/]+)$"
  if not mesh then fail("certificate", "'%s' has no identity", paths.certificate) end
  local known = {}
  for _, root in ipairs(certificates_of(must(files.read(paths.ca)))) do
    known[root:info().key_hash] = true
  end
  return { mesh = mesh, id = id, known = known }
end

local function renew(old, address, checked)
  local want = read_own(old)
  local folder = old.certificate:match "^(.*)/[^/]*$"
  if not folder or not files.is_set(folder) then
    fail("mismatch", "'%s' is not where join has put it", old.certificate)
  end
  want.address, want.passphrase = address, checked.passphrase
  must(files.probe(folder, ROOM))
  local context = must(tls.context {
    certificate = old.certificate,
    key = old.key,
    passphrase = checked.passphrase,
    ca = old.ca,
    alpn = invites.ALPN,
  })
  want.key = must(pki.key(checked.key))
  local csr = request_with(want.key, want.id, {})
  local function request()
    return { command = "renew", csr = core.bin(csr) }
  end
  return finish(folder, want, exchange_patiently({ context }, want, request, checked.timeout))
end

--- Get a new certificate for a new key with the one there is, while it is valid, in the place of the old files.
---@param paths chaski.enrolled what join or renew returned; certificate, key and ca are read
---@param given { address: string?, timeout: number?, key: string?, passphrase: string? }?
---@return chaski.enrolled?, chaski.error?
function M.renew(paths, given)
  local checked = options.check("enrol.renew", renew_schema, given)
  local address = checked.address or paths.address or error("enrol.renew: option 'address' is missing", 2)
  return guarded(renew, paths, address, checked)
end

-- --- asking ----------------------------------------------------------------------------------------------------------

local function revocations(from, timeout)
  local context = must(tls.context { ca = from.ca, alpn = invites.ALPN, anonymous = true })
  local channel <close> = must(channels.connect(from.address, context, { timeout = timeout }))
  check_authority(channel, from.mesh)
  return fetch_lists(channel)
end

--- The revocation lists as the CA has them now, as PEM. They are signed, but are not looked at here.
---@param from { address: string, mesh: string, ca: string } a chaski.enrolled will do
---@param given { timeout: number? }?
---@return string?, chaski.error?
function M.revocations(from, given)
  local checked = options.check("enrol.revocations", revocations_schema, given)
  return guarded(revocations, from, checked.timeout)
end

return M
