-- ledger.lua: what the CA remembers, in one SQLite file: tokens, certificates, roots, revocation lists. What a method
-- has done is on the disk when it returns. Methods raise an error with code ledger when the file fails them, and leave
-- it as it was. No secret is in it but the keys of open tokens' proofs; times are seconds since 1970.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local files = require "chaski.files"

local VERSION = 1 -- of the tables
local BUSY = 500 -- ms to wait for another process (a command beside the server)
local BAD_MACS_MAX = 10 -- then a token is burnt
local REVOKED_MAX = 4096 -- serials in one revocation list: what nodes accept

local tables = {
  "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
  [[CREATE TABLE roots (number INTEGER PRIMARY KEY, key_hash TEXT NOT NULL UNIQUE, hash TEXT NOT NULL,
    signs_from INTEGER NOT NULL, not_after INTEGER NOT NULL)]],
  [[CREATE TABLE tokens (token TEXT PRIMARY KEY, proof_key TEXT NOT NULL, id TEXT NOT NULL, ip TEXT NOT NULL,
    dns TEXT NOT NULL, rights TEXT, life INTEGER NOT NULL, made INTEGER NOT NULL, expires INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'used', 'burnt')), bad_macs INTEGER NOT NULL DEFAULT 0,
    used INTEGER, key_hash TEXT, serial TEXT) WITHOUT ROWID]],
  [[CREATE TABLE certificates (serial TEXT PRIMARY KEY, id TEXT NOT NULL, ip TEXT NOT NULL, dns TEXT NOT NULL,
    rights TEXT, life INTEGER NOT NULL, subject TEXT NOT NULL, key_hash TEXT NOT NULL UNIQUE, root INTEGER NOT NULL,
    not_before INTEGER NOT NULL, not_after INTEGER NOT NULL, made INTEGER NOT NULL, renewed TEXT, pem TEXT NOT NULL,
    revoked INTEGER) WITHOUT ROWID]],
  "CREATE INDEX certificates_id ON certificates (id)",
  "CREATE INDEX certificates_renewed ON certificates (renewed)",
  [[CREATE TABLE lists (root INTEGER PRIMARY KEY, number INTEGER NOT NULL, revision INTEGER NOT NULL,
    made INTEGER NOT NULL, next INTEGER NOT NULL, der TEXT NOT NULL)]],
}

---@class chaski.ledger
local Ledger = {}
Ledger.__index = Ledger
Ledger.__name = "chaski.ledger"

-- --- SQL -------------------------------------------------------------------------------------------------------------

local function driver()
  local ok, sql = pcall(require, "luasql.sqlite3")
  if ok then return sql end
  local text = "the CA keeps its ledger in SQLite and needs the Lua module luasql.sqlite3 (Debian: lua-sql-sqlite3): %s"
  return nil, core.new_error("missing", text:format(tostring(sql):match "^[^\n]*"))
end

--- A value as SQL writes it. Strings with a NUL, which SQLite would cut, are never put in.
local function quote(value)
  if value == nil then return "NULL" end
  if math.type(value) == "integer" then return ("%d"):format(value) end
  assert(type(value) == "string" and not value:find("\0", 1, true), "no value for the ledger")
  return "'" .. value:gsub("'", "''") .. "'"
end

--- A statement with its ? replaced by the values, in their order.
local function fill(statement, ...)
  local values, i = { ... }, 0
  return (statement:gsub("%?", function()
    i = i + 1
    return quote(values[i])
  end))
end

local function raise(self, err)
  local reason = tostring(err):gsub("^LuaSQL: ", "")
  error(core.new_error("ledger", ("the ledger '%s' failed: %s"):format(self.path, reason)), 0)
end

--- How many rows a statement changed.
local function change(self, statement, ...)
  if not self.connection then raise(self, "it is closed") end
  local n, err = self.connection:execute(fill(statement, ...))
  if not n then raise(self, err) end
  if type(n) ~= "number" then n:close() end -- a pragma's answer
  return n
end

--- The rows of a query as tables by column.
local function rows(self, statement, ...)
  if not self.connection then raise(self, "it is closed") end
  local cursor, err = self.connection:execute(fill(statement, ...))
  if not cursor then raise(self, err) end
  local list = {}
  for row in
    function()
      return cursor:fetch({}, "a")
    end
  do
    list[#list + 1] = row
  end
  cursor:close()
  return list
end

local function row(self, statement, ...)
  return rows(self, statement, ...)[1]
end

--- All of fn or nothing, alone in the file.
local function transaction(self, fn)
  change(self, "BEGIN IMMEDIATE")
  local ok, result = pcall(fn)
  if ok then
    ok, result = pcall(function()
      change(self, "COMMIT")
      return result
    end)
  end
  if ok then return result end
  self.connection:execute "ROLLBACK"
  error(result, 0)
end

-- --- opening ---------------------------------------------------------------------------------------------------------

--- EXTRA is FULL and a sync of the folder after each commit: without it a power loss can bring a used token back.
local function prepare(self)
  change(self, ("PRAGMA busy_timeout=%d"):format(BUSY))
  change(self, "PRAGMA synchronous=EXTRA")
end

local function check_version(self)
  local found = row(self, "PRAGMA user_version").user_version
  if found == VERSION then return end
  if found == 0 then raise(self, "it is not a ledger of a CA") end
  raise(self, ("it is of version %d, which this program does not know"):format(found))
end

local function connect(path)
  local sql, err = driver()
  if not sql then return nil, err end
  local environment = sql.sqlite3()
  local connection
  connection, err = environment:connect(path)
  if not connection then
    environment:close()
    return nil, core.new_error("ledger", ("the ledger '%s' cannot be opened: %s"):format(path, err))
  end
  return setmetatable({ path = path, environment = environment, connection = connection }, Ledger)
end

local function open_with(path, set_up)
  local self, err = connect(path)
  if not self then return nil, err end
  local ok
  ok, err = pcall(function()
    prepare(self)
    set_up(self)
  end)
  if ok then return self end
  self:close()
  return nil, err
end

local M = {}

--- A ledger that is there.
---@return chaski.ledger?, chaski.error?
function M.open(path)
  local ok, err = files.check_private(path)
  if not ok then return nil, err end
  return open_with(path, check_version)
end

--- A new ledger; never in the place of one that is there.
---@return chaski.ledger?, chaski.error?
function M.create(path, meta, root)
  local sql, err = driver()
  if not sql then return nil, err end
  local ok
  ok, err = files.create(path, "")
  if not ok then return nil, err end
  return open_with(path, function(self)
    transaction(self, function()
      for _, statement in ipairs(tables) do
        change(self, statement)
      end
      for name, value in pairs(meta) do
        change(self, "INSERT INTO meta VALUES (?, ?)", name, value)
      end
      change(self, "INSERT INTO meta VALUES ('revision', '0'), ('list', '0')")
      self:add_root(root)
      change(self, ("PRAGMA user_version=%d"):format(VERSION))
    end)
  end)
end

function Ledger:close()
  if not self.connection then return end
  self.connection:close()
  self.environment:close()
  self.connection = nil
end

Ledger.__close, Ledger.__gc = Ledger.close, Ledger.close

function Ledger:__tostring()
  return ("ledger '%s'%s"):format(self.path, self.connection and "" or " (closed)")
end

-- --- what is kept ----------------------------------------------------------------------------------------------------

local function number(text)
  return math.tointeger(tonumber(text))
end

function Ledger:meta(name)
  local found = row(self, "SELECT value FROM meta WHERE name = ?", name)
  return found and found.value
end

function Ledger:set_meta(name, value)
  change(self, "INSERT OR REPLACE INTO meta VALUES (?, ?)", name, value)
end

--- Oldest first: { number =, key_hash =, hash =, signs_from =, not_after = }.
function Ledger:roots()
  return rows(self, "SELECT * FROM roots ORDER BY number")
end

function Ledger:add_root(root)
  local statement = "INSERT INTO roots VALUES (?, ?, ?, ?, ?)"
  change(self, statement, root.number, root.key_hash, root.hash, root.signs_from, root.not_after)
end

--- When the last certificate of a root (nil: of all) ends; nil: there is none.
function Ledger:last_end(root)
  local where = root and " WHERE root = ?" or ""
  return row(self, "SELECT max(not_after) AS last FROM certificates" .. where, root).last
end

-- --- tokens ----------------------------------------------------------------------------------------------------------

--- { token =, proof_key = (hex), id =, ip =, dns =, rights =, life =, made =, expires = }
function Ledger:add_token(t)
  local statement = [[INSERT INTO tokens (token, proof_key, id, ip, dns, rights, life, made, expires, state)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'open')]]
  change(self, statement, t.token, t.proof_key, t.id, t.ip, t.dns, t.rights, t.life, t.made, t.expires)
end

function Ledger:token(token)
  return row(self, "SELECT * FROM tokens WHERE token = ?", token)
end

--- One wrong proof more; true when that has burnt the token.
function Ledger:count_bad_mac(token)
  return transaction(self, function()
    change(self, "UPDATE tokens SET bad_macs = bad_macs + 1 WHERE token = ?", token)
    local statement = "UPDATE tokens SET state = 'burnt' WHERE token = ? AND state = 'open' AND bad_macs >= ?"
    return change(self, statement, token, BAD_MACS_MAX) > 0
  end)
end

local function insert_certificate(self, c)
  local statement = [[INSERT INTO certificates (serial, id, ip, dns, rights, life, subject, key_hash, root, not_before,
    not_after, made, renewed, pem) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]]
  change(
    self,
    statement,
    c.serial,
    c.id,
    c.ip,
    c.dns,
    c.rights,
    c.life,
    c.subject,
    c.key_hash,
    c.root,
    c.not_before,
    c.not_after,
    c.made,
    c.renewed,
    c.pem
  )
end

--- The token is used up and this certificate is what it was used for; false, and nothing changed, when it is not open.
function Ledger:use_token(token, certificate)
  return transaction(self, function()
    local statement = [[UPDATE tokens SET state = 'used', used = ?, key_hash = ?, serial = ?
      WHERE token = ? AND state = 'open']]
    local used = change(self, statement, certificate.made, certificate.key_hash, certificate.serial, token) > 0
    if used then insert_certificate(self, certificate) end
    return used
  end)
end

--- When the last token that can still be used expires; nil: there is none.
function Ledger:last_token()
  return row(self, "SELECT max(expires) AS last FROM tokens WHERE state = 'open'").last
end

--- Tokens not used and not expired, and those burnt.
function Ledger:open_tokens(now)
  local statement = "SELECT * FROM tokens WHERE state <> 'used' AND expires > ? ORDER BY made, token"
  return rows(self, statement, now)
end

-- --- certificates ----------------------------------------------------------------------------------------------------

function Ledger:certificate(serial)
  return row(self, "SELECT * FROM certificates WHERE serial = ?", serial)
end

function Ledger:certificate_of_key(key_hash)
  return row(self, "SELECT * FROM certificates WHERE key_hash = ?", key_hash)
end

function Ledger:add_certificate(certificate)
  transaction(self, function()
    insert_certificate(self, certificate)
  end)
end

--- Newest last; all, or those of an id.
function Ledger:certificates(id)
  local where = id and "WHERE id = ? " or ""
  return rows(self, "SELECT * FROM certificates " .. where .. "ORDER BY made, serial", id)
end

local function check_room(self, now)
  local statement = [[SELECT count(*) AS n FROM certificates WHERE revoked IS NOT NULL AND not_after > ?
    GROUP BY root HAVING n > ?]]
  if not row(self, statement, now, REVOKED_MAX) then return end
  local text = "a revocation list holds %d certificates at most; roll over to a new root instead"
  error(core.new_error("full", text:format(REVOKED_MAX)), 0)
end

--- Revoke what has this id or serial and has not ended; open tokens for the id are burnt. How many of each.
function Ledger:revoke(what, now)
  return transaction(self, function()
    local statement = [[UPDATE certificates SET revoked = ? WHERE (id = ? OR serial = ?) AND revoked IS NULL
      AND not_after > ?]]
    local n = math.tointeger(change(self, statement, now, what, what:upper(), now))
    local burnt = change(self, "UPDATE tokens SET state = 'burnt' WHERE id = ? AND state = 'open'", what)
    if n > 0 then check_room(self, now) end
    if n > 0 then self:set_meta("revision", ("%d"):format(self:revision() + 1)) end
    return { certificates = n, tokens = math.tointeger(burnt) }
  end)
end

-- --- revocation lists ------------------------------------------------------------------------------------------------

--- Changes with each revocation.
function Ledger:revision()
  return number(self:meta "revision")
end

--- Serials that a list of this root must have: those that have ended since are refused anyway.
function Ledger:revoked(root, now)
  local statement = [[SELECT serial FROM certificates WHERE root = ? AND revoked IS NOT NULL AND not_after > ?
    ORDER BY revoked, serial]]
  local serials = {}
  for i, each in ipairs(rows(self, statement, root, now)) do
    serials[i] = each.serial
  end
  return serials
end

--- { root =, number =, revision =, made =, next =, der = (hex) }, or nil.
function Ledger:list(root)
  return row(self, "SELECT * FROM lists WHERE root = ?", root)
end

--- Number and keep new lists: make(number) returns them, one for each root.
function Ledger:renew_lists(make)
  return transaction(self, function()
    local next_number = number(self:meta "list") + 1
    local lists = make(next_number)
    for _, list in ipairs(lists) do
      local statement = "INSERT OR REPLACE INTO lists VALUES (?, ?, ?, ?, ?, ?)"
      change(self, statement, list.root, list.number, list.revision, list.made, list.next, list.der)
    end
    self:set_meta("list", ("%d"):format(next_number))
    return lists
  end)
end

return M
