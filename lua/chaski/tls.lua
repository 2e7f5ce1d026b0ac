-- tls.lua: chaski.tls: who a node is and whom it trusts. Certificates, keys and revocation lists are given as PEM text
-- or as the names of files, which are read here, once. See src/lua/tls_context.c. SPDX-License-Identifier: MIT
local core = require "chaski.core"
local files = require "chaski.files"
local options = require "chaski.options"

---@class chaski.tls_options Texts are PEM, or names of files that hold it.
---@field certificate string? the node's own, then intermediate ones; left out only with `anonymous`
---@field key string? a file of it must be nobody else's (mode 0600)
---@field passphrase string? if the key is encrypted
---@field ca string? roots that are trusted, 1..8
---@field crl string? revocation lists of those roots, also DER
---@field pin string? trust only a root with this key: its SHA-256, 64 hex digits ("sha256:" may precede) or 32 bytes
---@field alpn string? protocol; default "chaski/1"
---@field anonymous boolean? show no certificate when dialling, insist on none when accepting

local source = options.text(1, 1024 * 1024)
source.expected = "PEM text or name of a file"

local schema = {
  { name = "certificate", kind = source },
  { name = "key", kind = source },
  { name = "passphrase", kind = options.text(0, 1024) },
  { name = "ca", kind = source },
  { name = "crl", kind = source },
  { name = "pin", kind = options.text(1, 71) },
  { name = "alpn", kind = options.text(1, 255) },
  { name = "anonymous", kind = options.boolean },
}

local sources = { "certificate", "key", "ca", "crl" } -- in the order in which they are read

--- Is it the thing itself and not the name of a file? DER is a sequence with a length of two bytes or more.
local function is_inline(name, text)
  return text:find("-----BEGIN", 1, true) ~= nil or (name == "crl" and text:find "^0[\x81-\x84]" ~= nil)
end

--- What is in a file. An empty one is a mishap and does not mean "none".
local function read_file(name, path)
  local bytes, err = files.read(path, name == "key")
  if bytes == "" then err = core.new_error("certificate", ("'%s' is empty"):format(path)) end
  if not err then return bytes end
  return nil, core.new_error(err.code, ("chaski.tls.context: %s: %s"):format(name, err))
end

--- Replace names of files by what is in them; the names, for errors.
local function read_files(checked)
  local names = {}
  for _, name in ipairs(sources) do
    local path = checked[name]
    if path and not is_inline(name, path) then
      local bytes, err = read_file(name, path)
      if not bytes then return nil, err end
      checked[name] = bytes
      names[#names + 1] = ("%s '%s'"):format(name, path)
    end
  end
  return names
end

local given_to = setmetatable({}, { __mode = "k" }) -- context -> the texts of its roots and lists

local M = { pki = core.pki }

--- The PEM texts that a context was made of: { ca =, crl = }, "" for what was not given. context nil: both are "".
---@param context chaski.tls.context?
---@return { ca: string, crl: string }
function M.sources(context)
  return given_to[context] or { ca = "", crl = "" }
end

--- What a node shows of itself and what it asks of its peers, for the options tls, ssl_context_client and
--- ssl_context_server of nodes. All is read and checked at once; nil, err when it does not fit together, is not valid
--- now, or cannot be read.
---@param given chaski.tls_options
---@return chaski.tls.context?, chaski.error?
function M.context(given)
  local checked = options.check("chaski.tls.context", schema, given)
  local names, err = read_files(checked)
  if not names then return nil, err end
  local context
  context, err = core.tls_context(checked)
  if context then
    given_to[context] = { ca = checked.ca or "", crl = checked.crl or "" }
    return context
  end
  local from = #names > 0 and (" (%s)"):format(table.concat(names, ", ")) or ""
  return nil, core.new_error(err.code, ("chaski.tls.context: %s%s"):format(err, from))
end

return M
