-- answers.lua: what the CA answers to the four commands it knows: enroll, renew, crl, bundle. It sees a request, and of
-- the connection what binds the two: exporter, certificate and address of the peer. Names and rights come from the
-- ledger alone, never from the request. RELIABILITY 5.3. SPDX-License-Identifier: MIT
local core = require "chaski.core"
local invites = require "chaski.invite"
local subjects = require "chaski.ca.subjects"
local pki = core.pki

local AGAIN = 60 -- seconds in which an answer that was lost is given once more
local CSR_MAX = 16384 -- bytes
local PIECE = 49152 -- bytes of the revocation lists in one answer
local MAC = 32

local M = {}

-- --- refusals --------------------------------------------------------------------------------------------------------

local Refusal = { __name = "chaski.ca.refusal" }
Refusal.__index = Refusal
function Refusal:__tostring()
  return self.message
end

local function refuse(code, message, id)
  error(setmetatable({ code = code, message = message, id = id }, Refusal), 0)
end

--- A line in the log, unless there are too many of its kind.
local function log(ca, level, kind, text)
  if not ca.lines or ca.lines:take(kind) then core.log(level, "ca", text) end
end

--- As refuse, and somebody should look at it.
local function alarm(ca, code, message, id)
  ca.counters.alarms = ca.counters.alarms + 1
  log(ca, "error", "alarm", ("alarm: %s: %s"):format(id, message))
  if ca.on_alarm then ca.on_alarm(code, id, message) end
  refuse(code, message, id)
end

local function is_bytes(value, least, most)
  return type(value) == "string" and #value >= least and #value <= most
end

-- --- requests --------------------------------------------------------------------------------------------------------

--- The subject fields that a request may choose: they say where a node is, not who.
local function read_subject(request)
  local given, subject = request:subject(), {}
  for _, name in ipairs(subjects.NAMES) do
    subject[name] = given[name]
  end
  local wrong = subjects.wrong(subject)
  if wrong then refuse("bad_csr", ("the subject of the certificate request: %s"):format(wrong)) end
  return subject
end

local function read_csr(csr)
  if not is_bytes(csr, 1, CSR_MAX) then refuse("bad_request", "the certificate request is missing or too large") end
  local request, err = pki.read_request(csr)
  if not request then refuse("bad_csr", ("the certificate request is not acceptable: %s"):format(err)) end
  return request
end

local function list_of(text)
  local list = {}
  for each in text:gmatch "[^,]+" do
    list[#list + 1] = each
  end
  return list
end

--- Sign for what the ledger says of a node: a row for the ledger, not yet in it.
local function sign(ca, row, request, subject, now)
  local pem, info, root = ca.authority:issue({
    request = request,
    id = row.id,
    ip = list_of(row.ip),
    dns = list_of(row.dns),
    rights = row.rights,
    subject = subject,
    life = row.life,
  }, now)
  return {
    serial = info.serial,
    id = row.id,
    ip = row.ip,
    dns = row.dns,
    rights = row.rights,
    life = row.life,
    subject = pki.hex(core.pack(core.map(subject))),
    key_hash = request:key_hash(),
    root = root.number,
    not_before = info.not_before,
    not_after = info.not_after,
    made = now,
    pem = pem,
  }
end

local function answer_with(ca, row, now)
  return {
    certificate = row.pem,
    bundle = ca.authority:bundle(now),
    id = row.id,
    mesh = ca.authority.mesh,
    serial = row.serial,
    not_after = row.not_after,
  }
end

--- A key that has a certificate already gets no second one.
local function check_new_key(ca, request)
  if ca.ledger:certificate_of_key(request:key_hash()) then
    refuse("same_key", "this key has a certificate already; each certificate needs a new key")
  end
end

--- Is an answer that was given then to be given once more? It may have been lost.
local function is_recent(given, now)
  return now >= given and now <= given + AGAIN
end

-- --- enroll ----------------------------------------------------------------------------------------------------------

local function check_tries(ca, channel)
  local host = channel.peer:match "^(.*):%d+$" or channel.peer
  if ca.tries and not ca.tries:take(host) then
    refuse("too_many_tries", "too many tries from this address; wait a minute")
  end
end

local function check_proof(ca, token, request, channel)
  local exported = channel:export(invites.LABEL, invites.EXPORTED)
  if not exported then refuse("bad_request", "the connection has no exporter") end
  local proof = invites.proof(pki.unhex(token.proof_key), exported, request.csr)
  if pki.equal(proof, request.mac) then return end
  if ca.ledger:count_bad_mac(token.token) then
    alarm(ca, "bad_mac", "the proof of the secret is wrong, for the last time: the token is burnt", token.id)
  end
  refuse("bad_mac", "the proof of the secret is wrong", token.id)
end

--- The token was used before. Its own key gets its own certificate for a while.
local function enroll_again(ca, token, request, now)
  local row = ca.ledger:certificate(token.serial)
  if not row or request:key_hash() ~= token.key_hash then
    alarm(ca, "used", "the token was used before, with another key: somebody else has the string", token.id)
  end
  if row.revoked then refuse("revoked", "the certificate is revoked", token.id) end
  if not is_recent(token.used, now) then refuse("used", "the token was used before", token.id) end
  return answer_with(ca, row, now)
end

local function enroll(ca, request, channel)
  local now = ca.now()
  check_tries(ca, channel)
  if not (is_bytes(request.token, 8, 8) and is_bytes(request.mac, MAC, MAC) and is_bytes(request.csr, 1, CSR_MAX)) then
    refuse("bad_request", "token, csr or mac is missing or malformed")
  end
  local token = ca.ledger:token(pki.hex(request.token))
  if not token then refuse("unknown_token", "there is no such token") end
  if token.state == "burnt" then refuse("burnt", "the token is burnt", token.id) end
  check_proof(ca, token, request, channel)
  if request.id ~= token.id then refuse("wrong_id", "the token is for another name", token.id) end
  local csr = read_csr(request.csr)
  if token.state == "used" then return enroll_again(ca, token, csr, now) end
  if now >= token.expires then refuse("expired", "the token has expired", token.id) end
  check_new_key(ca, csr)
  local row = sign(ca, token, csr, read_subject(csr), now)
  if not ca.ledger:use_token(token.token, row) then refuse("used", "the token was used before", token.id) end
  ca.counters.enrolled = ca.counters.enrolled + 1
  core.log("info", "ca", ("%s is enrolled: certificate %s"):format(row.id, row.serial))
  return answer_with(ca, row, now)
end

-- --- renew -----------------------------------------------------------------------------------------------------------

--- The ledger's row of the certificate that the peer shows, if it is good for a renewal.
local function check_peer(ca, channel, now)
  local der = channel:peer_certificate()
  local certificate = der and pki.read_certificate(der)
  if not certificate then refuse("no_certificate", "a renewal needs the certificate that is to be renewed") end
  local info = certificate:info()
  local row = ca.ledger:certificate(info.serial)
  if not row or row.key_hash ~= info.key_hash or info.uri ~= invites.uri(ca.authority.mesh, row.id) then
    refuse("not_ours", "the certificate is none of this CA's")
  end
  if row.revoked then refuse("revoked", "the certificate is revoked", row.id) end
  if now >= row.not_after then refuse("expired", "the certificate has expired: it takes a new token", row.id) end
  local good, err = pki.verify(certificate, { roots = ca.authority:bundle(now), role = "client", at = now })
  if not good then refuse("not_ours", ("the certificate is not acceptable: %s"):format(err), row.id) end
  return row
end

local function renew(ca, request, channel)
  local now = ca.now()
  local old = check_peer(ca, channel, now)
  local csr = read_csr(request.csr)
  local known = ca.ledger:certificate_of_key(csr:key_hash())
  if known and known.renewed == old.serial and not known.revoked and is_recent(known.made, now) then
    return answer_with(ca, known, now)
  end
  check_new_key(ca, csr)
  local row = sign(ca, old, csr, core.unpack(pki.unhex(old.subject)), now)
  row.renewed = old.serial
  ca.ledger:add_certificate(row)
  ca.counters.renewed = ca.counters.renewed + 1
  core.log("info", "ca", ("%s has renewed: certificate %s"):format(row.id, row.serial))
  return answer_with(ca, row, now)
end

-- --- what everybody may know -----------------------------------------------------------------------------------------

--- The revocation lists, a piece from `offset` on: 4096 serials do not fit into one answer.
local function crl(ca, request)
  local pem, number = ca.authority:lists(ca.now())
  local offset = request.offset or 0
  if math.type(offset) ~= "integer" or offset < 0 or offset > #pem then
    refuse("bad_request", "offset is no place in the list")
  end
  return { number = number, size = #pem, offset = offset, bytes = pem:sub(offset + 1, offset + PIECE) }
end

local function bundle(ca)
  return { bundle = ca.authority:bundle(ca.now()), mesh = ca.authority.mesh }
end

local commands = { enroll = enroll, renew = renew, crl = crl, bundle = bundle }

-- --- answering -------------------------------------------------------------------------------------------------------

local function unavailable(ca, err, channel)
  ca.counters.failed = ca.counters.failed + 1
  log(ca, "error", "failed", ("a request of %s could not be answered: %s"):format(channel.peer, tostring(err)))
  return { error = { code = "unavailable", message = "the CA cannot answer now" } }
end

local function refused(ca, refusal, channel)
  local counters, code = ca.counters, refusal.code
  counters.refused = counters.refused + 1
  counters.reasons[code] = (counters.reasons[code] or 0) + 1
  local text, as = "%s is refused%s: %s (%s)", refusal.id and " as " .. refusal.id or ""
  log(ca, "warn", "refused", text:format(channel.peer, as, refusal.message, code))
  return { error = { code = code, message = refusal.message } }
end

--- The answer to a request, always a table. What it tells of is on the disk.
---@param ca table authority, ledger, now(), counters; tries, lines: limiters or nil; on_alarm(code, id, message) or nil
---@param request table
---@param channel table peer (its address), export(label, n), peer_certificate()
---@return table
function M.answer(ca, request, channel)
  local command = commands[request.command]
  local ok, result = pcall(function()
    if not command then refuse("unknown_command", "the CA knows enroll, renew, crl and bundle") end
    return command(ca, request, channel)
  end)
  if ok then return result end
  if getmetatable(result) == Refusal then return refused(ca, result, channel) end
  return unavailable(ca, result, channel)
end

return M
