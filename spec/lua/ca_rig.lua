-- ca_rig.lua: what the specs of the CA share: a folder of their own, a CA in it whose clock they turn, nodes that ask
-- it over a channel in memory. SPDX-License-Identifier: MIT
local ca = require "chaski.ca"
local core = require "chaski.core"
local invites = require "chaski.invite"
local uv = require "luv"
local pki = core.pki

local M = {}

--- Refusals and alarms are logged as they should, and here they are many: M.log has the lines of the last such test.
function M.quiet(body)
  return function()
    local log = core.log
    M.log = {}
    core.log = function(level, who, text)
      M.log[#M.log + 1] = ("%s %s: %s"):format(level, who, text)
    end
    local ok, err = pcall(body)
    core.log = log
    if not ok then error(err, 0) end
  end
end

-- --- folders ---------------------------------------------------------------------------------------------------------

local folders = {}

--- A new folder of this test's; clean() removes all of them.
function M.folder()
  local path = assert(uv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/chaski-ca-XXXXXX"))
  folders[#folders + 1] = path
  return path
end

local function entries(path)
  local scan, list = uv.fs_scandir(path), {}
  for name, kind in
    function()
      return uv.fs_scandir_next(scan)
    end
  do
    list[#list + 1] = { name = name, kind = kind, path = path .. "/" .. name }
  end
  table.sort(list, function(a, b)
    return a.name < b.name
  end)
  return list
end

local function remove(path)
  uv.fs_chmod(path, 448)
  for _, each in ipairs(entries(path)) do
    if each.kind == "directory" then
      remove(each.path)
    else
      uv.fs_unlink(each.path)
    end
  end
  uv.fs_rmdir(path)
end

function M.clean()
  for _, path in ipairs(folders) do
    remove(path)
  end
  folders = {}
end

function M.read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "a"
  file:close()
  return bytes
end

function M.write(path, bytes)
  local file = assert(io.open(path, "wb"))
  file:write(bytes)
  file:close()
end

--- Every file below a folder with mode, kind and content: equal text, equal folder.
function M.snapshot(path, prefix)
  local lines = {}
  for _, each in ipairs(entries(path)) do
    local what = uv.fs_readlink(each.path)
    if each.kind == "directory" then
      what = M.snapshot(each.path, "  ")
    elseif each.kind == "file" then
      what = pki.hex(pki.sha256(M.read(each.path)))
    end
    local mode = assert(uv.fs_lstat(each.path)).mode
    lines[#lines + 1] = ("%s%s %o %s"):format(prefix or "", each.name, mode, what)
  end
  return table.concat(lines, "\n")
end

-- --- a CA ------------------------------------------------------------------------------------------------------------

--- { location =, open() -> ca, time =, pass(seconds) }: a CA that was made, with a clock that stands until it is told.
function M.authority(given)
  local rig = { location = M.folder() .. "/ca", time = math.floor(core.wall()), opened = {} }
  local function now()
    return rig.time
  end
  local options = { location = rig.location, mesh = "home", now = now }
  for name, value in pairs(given or {}) do
    options[name] = value
  end
  rig.made = assert(ca.init(options))
  function rig.pass(seconds)
    rig.time = rig.time + seconds
  end
  --- Open it; the one opened before is closed, as by the end of its process.
  function rig.open(more)
    if rig.ca then rig.ca:close() end
    local chosen = {
      location = rig.location,
      now = now,
      tries = false,
      address = "127.0.0.1:8500",
      passphrase = options.passphrase,
    }
    for name, value in pairs(more or {}) do
      chosen[name] = value
    end
    chosen.address = chosen.address or nil -- false: where it listens
    rig.ca = assert(ca(chosen))
    return rig.ca
  end
  rig.open()
  return rig
end

--- What a listener in the CA's place shows.
function M.server_context(a)
  local authority = require "chaski.ca.authority"
  local ledger = assert(require("chaski.ca.ledger").open(a.location .. "/ledger.db"))
  local signer = assert(authority.open { ledger = ledger, location = a.location, now = a.time })
  local server = signer:server(a.time)
  local bundle = signer:bundle(a.time)
  ledger:close()
  return { certificate = server.certificate, key = server.key, ca = bundle, alpn = invites.ALPN, anonymous = true }
end

--- A message as it comes out at the other end.
local function travel(message)
  return assert(core.unpack(assert(core.pack(message))))
end

--- One end of a connection in memory, as the CA sees it.
function M.channel(given)
  given = given or {}
  local secret = given.secret or pki.random(32)
  return {
    peer = given.peer or "192.0.2.9:40000",
    export = function(_, label, n)
      return pki.hmac(secret, label):sub(1, n)
    end,
    peer_certificate = function()
      return given.certificate
    end,
  }
end

function M.ask(authority, request, channel)
  return travel(authority:answer(travel(request), channel or M.channel()))
end

--- A request for enrolment, with what an attacker would change in `change`.
function M.request(invite, channel, change)
  change = change or {}
  local key = change.key or assert(pki.key "p256")
  local csr = change.csr or assert(pki.request(key, change.subject or { CN = invite.id }))
  local exported = channel:export(invites.LABEL, invites.EXPORTED)
  local mac = change.mac or invites.proof(invites.proof_key(change.secret or invite.secret), exported, csr)
  return {
    command = "enroll",
    token = core.bin(change.token or invite.token),
    id = change.id or invite.id,
    csr = core.bin(change.sent_csr or csr),
    mac = core.bin(mac),
  },
    key
end

--- Invite and enrol: { key =, certificate = (PEM), der =, invite =, answer = }.
function M.enrol(authority, given, change)
  local text = assert(authority:invite(given))
  local invite, channel = assert(invites.read(text)), M.channel()
  local request, key = M.request(invite, channel, change)
  local answer = M.ask(authority, request, channel)
  assert(not answer.error, answer.error and answer.error.message)
  return M.enrolled(answer, key, invite)
end

function M.enrolled(answer, key, invite)
  local base64 = answer.certificate:match "%-%-%-%-%-BEGIN CERTIFICATE%-%-%-%-%-\n(.-)%-%-%-%-%-END"
  local der = pki.unbase64url((base64:gsub("[\n=]", ""):gsub("+", "-"):gsub("/", "_")))
  return { key = key, certificate = answer.certificate, der = der, invite = invite, answer = answer }
end

--- Renew what enrol() returned: the answer, and the new key.
function M.renew(authority, node, change)
  change = change or {}
  local key = change.key or assert(pki.key "p256")
  local csr = assert(pki.request(key, change.subject or { CN = node.invite.id }))
  local certificate = node.der
  if change.certificate ~= nil then certificate = change.certificate or nil end
  local channel = M.channel { certificate = certificate }
  return M.ask(authority, { command = "renew", csr = core.bin(csr) }, channel), key
end

return M
