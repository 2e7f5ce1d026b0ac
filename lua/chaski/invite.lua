-- invite.lua: the one string that enrols a node: where the CA is, how to know it, and a secret that is good once.
--
-- chaski-invite-1:BASE64URL(MessagePack [address, pins, token, secret, id, mesh, expires] .. CHECK), where CHECK is the
-- first four bytes of the SHA-256 of what stands before it: a slip of the hand or a cut-off line is told as such.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local pki = core.pki

local PREFIX = "chaski-invite-1:"
local CHECK = 4 -- bytes of the check sum
local PIN, TOKEN, SECRET = 32, 8, 32 -- bytes
local PINS_MAX = 2 -- roots there are during a rollover
local LENGTH_MAX = 2048 -- characters of the whole

local M = {}

---@class chaski.invite
---@field address string of the CA, "host:port"
---@field pins string[] SHA-256 of the public key of each root the CA may show, 32 bytes
---@field token string 8 bytes, names the token in the ledger
---@field secret string 32 bytes
---@field id string of the node
---@field mesh string
---@field expires integer seconds since 1970

--- What both sides use as the key of the proof; the ledger keeps nothing else of the secret.
function M.proof_key(secret)
  return pki.sha256(secret)
end

--- The proof that whoever sends this request has the secret, good on this connection alone (RFC 9266).
---@param key string proof_key(secret)
---@param exported string 32 bytes of the TLS exporter
---@param csr string
function M.proof(key, exported, csr)
  return pki.hmac(key, exported .. pki.sha256(csr))
end

M.LABEL, M.EXPORTED = "EXPORTER-chaski-enrol", 32

--- The id in the CA's own certificate: no node is enrolled under it, and those who join insist on it.
M.AUTHORITY = "chaski-ca"
M.ALPN = "chaski-ca/1"

--- Seconds by which certificates are dated back, as clocks of nodes may be slow: what is no part of their life.
M.BACK = 300

function M.uri(mesh, id)
  return ("chaski://%s/%s"):format(mesh, id)
end

---@param invite chaski.invite
---@return string
function M.write(invite)
  local body = core.pack(core.array {
    invite.address,
    table.concat(invite.pins),
    invite.token,
    invite.secret,
    invite.id,
    invite.mesh,
    invite.expires,
  })
  return PREFIX .. pki.base64url(body .. pki.sha256(body):sub(1, CHECK))
end

-- --- reading ---------------------------------------------------------------------------------------------------------

local function fail(what)
  return nil, core.new_error("bad_invite", "enrolment string: " .. what)
end

--- How many bytes the value at `at` has, of the kinds write() makes; nil: not said by what is there.
local function size_of(bytes, at)
  local head = bytes:byte(at)
  if not head then return nil end
  if head < 0x80 or head >= 0xe0 then return 1 end
  if head >= 0xa0 and head < 0xc0 then return 1 + head % 32 end
  if head >= 0xcc and head <= 0xd3 then return 1 + (1 << head % 4) end -- integers of 1, 2, 4, 8 bytes
  if head == 0xd9 or head == 0xc4 then return bytes:byte(at + 1) and 2 + bytes:byte(at + 1) end
  if head == 0xda or head == 0xc5 then return #bytes > at + 1 and 3 + (">I2"):unpack(bytes, at + 1) or nil end
  return 1 -- none of ours: whatever it is, nothing is missing
end

--- The string ends before its own lengths say: some of it was not copied.
local function is_cut(bytes)
  local at = 2
  for _ = 1, 7 do
    local size = size_of(bytes, at)
    if not size then return true end
    at = at + size
  end
  return at - 1 + CHECK > #bytes
end

local function check_shape(list)
  local address, pins, token, secret, id, mesh, expires = table.unpack(list, 1, 7)
  if #list ~= 7 or type(address) ~= "string" or not core.address(address) then return nil end
  if type(pins) ~= "string" or #pins == 0 or #pins % PIN ~= 0 or #pins > PIN * PINS_MAX then return nil end
  if type(token) ~= "string" or #token ~= TOKEN or type(secret) ~= "string" or #secret ~= SECRET then return nil end
  if not M.is_name(id) or not M.is_name(mesh) or math.type(expires) ~= "integer" then return nil end
  local each = {}
  for at = 1, #pins, PIN do
    each[#each + 1] = pins:sub(at, at + PIN - 1)
  end
  return { address = address, pins = each, token = token, secret = secret, id = id, mesh = mesh, expires = expires }
end

--- Names of nodes and meshes: they stand in a URI, in file names and in logs.
function M.is_name(name)
  return type(name) == "string" and #name <= 64 and name:find "^[%w][%w._-]*$" ~= nil
end

local function read_bytes(bytes, coded)
  if is_cut(bytes) then return fail "it is cut off: the end is missing" end
  local body, check = bytes:sub(1, -CHECK - 1), bytes:sub(-CHECK)
  if pki.sha256(body):sub(1, CHECK) ~= check or pki.base64url(bytes) ~= coded then
    return fail "it is mistyped: its check sum is wrong"
  end
  local list = core.unpack(body, { depth = 2, count = 16 })
  local invite = type(list) == "table" and check_shape(list)
  if not invite then return fail "it has a form this version does not know" end
  return invite
end

--- What an enrolment string says, or nil, err with code bad_invite. White space in it is ignored: mails break lines.
---@param text string
---@return chaski.invite?, chaski.error?
function M.read(text)
  if type(text) ~= "string" then error("enrolment string: expected a string, got " .. type(text), 3) end
  text = text:gsub("%s+", "")
  if #text > LENGTH_MAX then return fail "it is too long" end
  if text == "" then return fail "it is empty" end
  if #text < #PREFIX and PREFIX:sub(1, #text) == text then return fail "it is cut off: the end is missing" end
  if text:sub(1, #PREFIX) ~= PREFIX then
    local version = text:match "^chaski%-invite%-(%d+):"
    if version then return fail(("it is of version %s, which this program does not know"):format(version)) end
    return fail(("it does not begin with '%s'"):format(PREFIX))
  end
  local coded = text:sub(#PREFIX + 1)
  local at = coded:find "[^%w_-]"
  if at then return fail(("it is mistyped: character %d cannot be part of one"):format(#PREFIX + at)) end
  local bytes = #coded % 4 ~= 1 and pki.unbase64url(coded)
  if not bytes then return fail "it is cut off: the end is missing" end
  return read_bytes(bytes, coded)
end

return M
