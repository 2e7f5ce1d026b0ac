-- init.lua: chaski.ca, the certificate authority of a mesh: chaski.ca.init makes one, once; chaski.ca{...} opens it;
-- ca:invite makes the string that enrols a node, ca:serve answers those who have one. See docs/enrolment.md.
-- SPDX-License-Identifier: MIT
local answers = require "chaski.ca.answers"
local authority = require "chaski.ca.authority"
local core = require "chaski.core"
local files = require "chaski.files"
local invites = require "chaski.invite"
local ledgers = require "chaski.ca.ledger"
local limiter = require "chaski.limiter"
local options = require "chaski.options"
local guarded = require("chaski.result").guarded
local pki = core.pki

local HOUR, DAY = 3600, 86400
local TOKEN_LIFE, TOKEN_LIFE_MAX = 900, DAY
local LIFE, LIFE_MIN, LIFE_MAX = DAY, 10, 7 * DAY -- of certificates; ten seconds are for tests of renewal
local TRIES = 5 -- enrolments a minute from one address
local NAMES_MAX = 16 -- addresses, and host names, of one node
local RIGHTS_MAX = 1000 -- bytes

local M = {}

-- --- options ---------------------------------------------------------------------------------------------------------

local name = { expected = "name of letters, digits, '.', '_' and '-'", test = invites.is_name }
local path = options.text(1, 4096)
local passphrase = options.text(1, 1024)
local key_kind = options.one_of("p256", "p384", "ed25519", "rsa3072", "rsa4096")

local init_schema = {
  { name = "location", kind = path },
  { name = "mesh", kind = name },
  { name = "name", kind = options.text(1, 60), default = "chaski CA" },
  { name = "passphrase", kind = passphrase },
  { name = "key", kind = key_kind, default = "p256" },
  { name = "now", kind = options.func, default = core.wall },
}

local open_schema = {
  { name = "location", kind = path },
  { name = "ip", kind = options.text(1, 255), default = "127.0.0.1" },
  { name = "port", kind = options.integer(0, 65535), default = 0 },
  { name = "address", kind = options.text(1, 300) }, -- as nodes reach it; default: where it listens
  { name = "passphrase", kind = passphrase },
  { name = "keys", kind = options.boolean, default = true }, -- false: only for what the ledger alone can do
  { name = "tries", kind = options.either(options.integer(1, 1000000), options.no), default = TRIES },
  { name = "on_alarm", kind = options.func },
  { name = "now", kind = options.func, default = core.wall },
}

local invite_schema = {
  { name = "id", kind = name },
  { name = "ip", kind = options.strings, default = {} },
  { name = "dns", kind = options.strings, default = {} },
  { name = "ttl", kind = options.seconds(1, TOKEN_LIFE_MAX), default = TOKEN_LIFE },
  { name = "publish", kind = options.strings },
  { name = "subscribe", kind = options.strings },
  { name = "relay", kind = options.boolean },
  { name = "life", kind = options.seconds(LIFE_MIN, LIFE_MAX), default = LIFE },
  { name = "address", kind = options.text(1, 300) },
}

local function required(where, checked, ...)
  for _, each in ipairs { ... } do
    if checked[each] == nil then error(("%s: option '%s' is missing"):format(where, each), 3) end
  end
end

local function ledger_path(location)
  return location .. "/ledger.db"
end

-- --- making one ------------------------------------------------------------------------------------------------------

local function make_ledger(checked, root, now)
  root.signs_from = now
  local meta = { mesh = checked.mesh, name = checked.name, made = ("%d"):format(now), key = checked.key }
  return ledgers.create(ledger_path(checked.location), meta, root)
end

local function refuse_existing(location)
  local key_path, certificate_path = authority.paths(location, 1)
  for _, each in ipairs { key_path, certificate_path, ledger_path(location) } do
    if files.exists(each) then
      local text = "there is a CA already: '%s' exists, and is never made again"
      return nil, core.new_error("exists", text:format(each))
    end
  end
  return true
end

local function init(checked)
  local now = math.floor(checked.now())
  local ok, err = files.make_folder(checked.location)
  if not ok then return nil, err end
  ok, err = refuse_existing(checked.location)
  if not ok then return nil, err end
  local root
  root, err = authority.make_root({
    location = checked.location,
    number = 1,
    mesh = checked.mesh,
    name = checked.name,
    kind = checked.key,
    passphrase = checked.passphrase,
  }, now)
  if not root then return nil, err end
  local ledger
  ledger, err = make_ledger(checked, root, now)
  if ledger then
    ledger:close()
    return { mesh = checked.mesh, pin = root.key_hash, location = checked.location }
  end
  local key_path, certificate_path = authority.paths(checked.location, 1)
  for _, each in ipairs { key_path, certificate_path, ledger_path(checked.location) } do
    files.remove(each) -- made just now, by us
  end
  return nil, err
end

--- Make a CA: its key, once and for all, a root certificate for ten years, and an empty ledger, in a folder of its own.
---@param given { location: string, mesh: string, name: string?, passphrase: string?, key: string? }
---@return { mesh: string, pin: string, location: string }?, chaski.error?
function M.init(given)
  local checked = options.check("chaski.ca.init", init_schema, given)
  required("chaski.ca.init", checked, "location", "mesh")
  return guarded(init, checked)
end

-- --- opening one -----------------------------------------------------------------------------------------------------

---@class chaski.ca A CA that was made before: `require "chaski.ca" { location =, … }`, with chaski.ca.options.
---@field location string
---@field mesh string
---@field pin string SHA-256 of the public key of the root that signs now, in hexadecimal
---@field address string? where it is reached, while it serves
---@field port integer? where it listens
---@field counters table enrolled, renewed, refused, alarms, failed, and the reasons of refusals
local Ca = {}
Ca.__name = "chaski.ca"

local getters = {}

function getters.mesh(state)
  return state.authority.mesh
end

function getters.pin(state)
  local _, signer = state.authority:active(state.now())
  return signer.key_hash
end

function getters.address(state)
  return state.address
end
function getters.port(state)
  return state.server and state.server.port
end
function getters.location(state)
  return state.authority.location
end
function getters.counters(state)
  return state.counters
end

local states = setmetatable({}, { __mode = "k" }) -- ca -> what answers.lua sees

function Ca.__index(self, key)
  if Ca[key] then return Ca[key] end
  return getters[key] and getters[key](states[self])
end

function Ca:__tostring()
  local state = states[self]
  return ("chaski.ca of %s%s"):format(state.authority.mesh, state.address and " at " .. state.address or "")
end

local function new_state(checked, ledger)
  local function now()
    return math.floor(checked.now())
  end
  local signer, err = authority.open {
    ledger = ledger,
    location = checked.location,
    passphrase = checked.passphrase,
    without_keys = not checked.keys,
    now = now(),
  }
  if not signer then return nil, err end
  return {
    options = checked,
    ledger = ledger,
    authority = signer,
    now = now,
    on_alarm = checked.on_alarm,
    tries = checked.tries and limiter.new(checked.tries / 60, checked.tries) or nil,
    lines = limiter.new(10, 10),
    counters = { enrolled = 0, renewed = 0, refused = 0, alarms = 0, failed = 0, reasons = {} },
  }
end

local function open(checked)
  local ledger, err = ledgers.open(ledger_path(checked.location))
  if not ledger then return nil, err end
  local ok, state
  ok, state, err = pcall(new_state, checked, ledger)
  if not ok or not state then
    ledger:close()
    if not ok then error(state, 0) end
    return nil, err
  end
  local ca = setmetatable({}, Ca)
  states[ca] = state
  return ca
end

local function new(_, given)
  local checked = options.check("chaski.ca", open_schema, given)
  required("chaski.ca", checked, "location")
  return guarded(open, checked)
end

-- --- serving ---------------------------------------------------------------------------------------------------------

local function with_port(host, port)
  return (host:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(host, port)
end

--- Listen for those who enrol and renew. true, or nil, err (the port is taken, say).
---@return true?, chaski.error?
function Ca:serve()
  local state = states[self]
  if not state.options.keys then error("ca:serve: the CA was opened without its keys", 2) end
  if state.server then return true end
  local server, err = require("chaski.ca.server").start(state, state.options.ip, state.options.port)
  if not server then return nil, err end
  state.server = server
  state.address = state.options.address or with_port(state.options.ip, server.port)
  local ok, why = pcall(state.ledger.set_meta, state.ledger, "address", state.address)
  if ok then return true end
  self:stop()
  return nil, why
end

--- No more connections; those there are end. The CA can serve again.
function Ca:stop()
  local state = states[self]
  if state.server then state.server.stop() end
  state.server, state.address = nil, nil
end

--- Stop, and let go of the ledger: the object is of no use any more.
function Ca:close()
  self:stop()
  states[self].ledger:close()
end

Ca.__close = Ca.close

--- The answer to one request, as serve() gives it; channel has peer, export() and peer_certificate().
---@param request table
---@param channel table
---@return table
function Ca:answer(request, channel)
  return answers.answer(states[self], request, channel)
end

-- --- inviting --------------------------------------------------------------------------------------------------------

local function check_names(where, kind, list, test)
  if #list > NAMES_MAX then error(("%s: option '%s': at most %d"):format(where, kind, NAMES_MAX), 4) end
  for _, each in ipairs(list) do
    if not test(each) then error(("%s: option '%s': '%s' is none"):format(where, kind, each), 4) end
  end
  return table.concat(list, ",")
end

local function is_host(text)
  return #text <= 253 and text:find "^%w[%w.-]*$" ~= nil
end
local function is_address(text)
  return core.numeric(text) and not text:find("%", 1, true)
end
local function is_pattern(text)
  return text ~= "" and not text:find "[%c,;=]" and utf8.len(text) ~= nil
end

--- What one right allows, as text: nil for everything, an empty list for nothing.
local function write_patterns(right, given)
  if given == nil then return nil end
  local list = options.list(given)
  for _, each in ipairs(list) do
    if not is_pattern(each) then error(("ca:invite: option '%s': '%s' is no pattern"):format(right, each), 4) end
  end
  return right .. "=" .. table.concat(list, ",")
end

--- The rights of a certificate as text; nil, that is everything, when nothing is said of any of them.
local function write_rights(checked)
  if checked.relay == false and checked.publish == nil then
    error("ca:invite: option 'relay': who may publish everything may relay; restrict 'publish' too", 3)
  end
  local parts = {}
  parts[#parts + 1] = write_patterns("publish", checked.publish)
  parts[#parts + 1] = write_patterns("subscribe", checked.subscribe)
  if checked.relay then parts[#parts + 1] = "relay" end
  local text = table.concat(parts, ";")
  if #text > RIGHTS_MAX then error("ca:invite: the patterns of the rights are too long", 3) end
  return text ~= "" and text or nil
end

local function invite_address(state, given)
  local address = given or state.address or state.options.address or state.ledger:meta "address"
  if not address then
    local text = "the address of the CA is not known before it has served once: give option 'address'"
    return nil, core.new_error("no_address", text)
  end
  local parsed, err = core.address(address)
  if not parsed then return nil, err end
  if parsed.host == "0.0.0.0" or parsed.host == "::" then
    local text = "nobody can connect to %s: give option 'address', as nodes reach the CA"
    return nil, core.new_error("no_address", text:format(address))
  end
  return address
end

local function invite(state, checked, token)
  local address, err = invite_address(state, checked.address)
  if not address then return nil, err end
  local now, pins = state.now(), {}
  for i, pin in ipairs(state.authority:pins(now)) do
    pins[i] = pki.unhex(pin)
  end
  local secret, id = pki.random(32), pki.random(8)
  token.token, token.proof_key = pki.hex(id), pki.hex(invites.proof_key(secret))
  token.made, token.expires = now, now + math.ceil(checked.ttl)
  state.ledger:add_token(token)
  return invites.write {
    address = address,
    pins = pins,
    token = id,
    secret = secret,
    id = checked.id,
    mesh = state.authority.mesh,
    expires = token.expires,
  }
end

--- The string that lets one node enrol, once: with this id, these names, these rights.
---@param given chaski.ca.invite_options
---@return string?, chaski.error?
function Ca:invite(given)
  local state = states[self]
  local checked = options.check("ca:invite", invite_schema, given)
  required("ca:invite", checked, "id")
  if checked.id == invites.AUTHORITY then error(("ca:invite: the id '%s' is the CA's own"):format(checked.id), 2) end
  local token = {
    id = checked.id,
    ip = check_names("ca:invite", "ip", options.list(checked.ip), is_address),
    dns = check_names("ca:invite", "dns", options.list(checked.dns), is_host),
    rights = write_rights(checked),
    life = math.floor(checked.life),
  }
  return guarded(invite, state, checked, token)
end

-- --- looking, and revoking -------------------------------------------------------------------------------------------

local function state_of(row, now)
  if row.revoked then return "revoked" end
  return now < row.not_after and "valid" or "expired"
end

local function show_certificate(row, now)
  return {
    serial = row.serial,
    id = row.id,
    state = state_of(row, now),
    not_before = row.not_before,
    not_after = row.not_after,
    revoked = row.revoked,
    rights = row.rights,
    ip = row.ip,
    dns = row.dns,
    root = row.root,
    key_hash = row.key_hash,
    pem = row.pem,
  }
end

--- No secret, and nothing a secret could be guessed from.
local function show_token(row, now)
  return {
    id = row.id,
    state = row.state == "open" and now >= row.expires and "expired" or row.state,
    token = row.token,
    expires = row.expires,
    bad_macs = row.bad_macs,
    rights = row.rights,
    ip = row.ip,
    dns = row.dns,
    life = row.life,
  }
end

local function list(state, id)
  local now, certificates, tokens = state.now(), {}, {}
  for i, row in ipairs(state.ledger:certificates(id)) do
    certificates[i] = show_certificate(row, now)
  end
  for _, row in ipairs(state.ledger:open_tokens(now)) do
    if id == nil or row.id == id then tokens[#tokens + 1] = show_token(row, now) end
  end
  return { certificates = certificates, tokens = tokens }
end

--- { certificates = {…}, tokens = {…} }: all certificates made, oldest first, and the tokens not used yet.
---@return { certificates: table[], tokens: table[] }?, chaski.error?
function Ca:list()
  return guarded(list, states[self])
end

local function unknown(id)
  return nil, core.new_error("unknown", ("nothing is known of '%s'"):format(id))
end

--- The same of one id; nil, err with code unknown when there never was one.
---@param id string
---@return { certificates: table[], tokens: table[] }?, chaski.error?
function Ca:show(id)
  options.expect("ca:show", "id", options.text(1, 64), id)
  local found, err = guarded(list, states[self], id)
  if found and #found.certificates == 0 and #found.tokens == 0 then return unknown(id) end
  return found, err
end

--- Revoke the certificates of an id, or one by its serial; open tokens for the id are burnt. Returns how many
--- certificates; nil, err with code unknown when there was nothing to revoke.
---@param what string
---@return integer?, chaski.error?
function Ca:revoke(what)
  options.expect("ca:revoke", "id or serial", options.text(1, 64), what)
  local state = states[self]
  local done, err = guarded(state.ledger.revoke, state.ledger, what, state.now())
  if not done then return nil, err end
  if done.certificates + done.tokens == 0 then return unknown(what) end
  core.log("info", "ca", ("revoked %s: %d certificates, %d tokens"):format(what, done.certificates, done.tokens))
  return done.certificates
end

--- The revocation lists as PEM, and their number.
---@return string?, integer|chaski.error
function Ca:crl()
  local state = states[self]
  return guarded(state.authority.lists, state.authority, state.now())
end

--- The roots to trust, as PEM.
---@return string?, chaski.error?
function Ca:bundle()
  local state = states[self]
  return guarded(state.authority.bundle, state.authority, state.now())
end

-- --- rolling over ----------------------------------------------------------------------------------------------------

local function rollover(state, checked)
  local now, self = state.now(), state.authority
  if #self:active(now) > 1 then
    return nil, core.new_error("busy", "a rollover is under way: the certificates of the old root have not all ended")
  end
  local ledger = state.ledger
  local rows = ledger:roots()
  local root, err = authority.make_root({
    location = self.location,
    number = rows[#rows].number + 1,
    mesh = self.mesh,
    name = ledger:meta "name",
    kind = checked.key or ledger:meta "key",
    passphrase = self.passphrase,
  }, now)
  if not root then return nil, err end
  root.signs_from = math.max(ledger:last_end() or now, ledger:last_token() or now, now + math.ceil(checked.overlap))
  local ok
  ok, err = pcall(ledger.add_root, ledger, root)
  if not ok then
    for _, each in ipairs { authority.paths(self.location, root.number) } do
      files.remove(each) -- made just now, by us
    end
    error(err, 0)
  end
  ok, err = self:load(now)
  if not ok then return nil, err end
  return { pin = root.key_hash, signs_from = root.signs_from }
end

local rollover_schema = {
  { name = "key", kind = key_kind },
  { name = "overlap", kind = options.seconds(0, 30 * DAY), default = HOUR },
}

--- A new root beside the one there is. Nodes hear of it when they renew; it signs when the last certificate and the
--- last string of now have ended (`overlap` seconds from now at the soonest), and the old root goes when the last it
--- has signed has.
---@param given { key: string?, overlap: number? }?
---@return { pin: string, signs_from: integer }?, chaski.error?
function Ca:rollover(given)
  local checked = options.check("ca:rollover", rollover_schema, given)
  return guarded(rollover, states[self], checked)
end

--- For a process that does nothing but this: no core file, and no debugger of the same user.
function M.protect()
  return core.undumpable()
end

return setmetatable(M, { __call = new })
