-- pem.lua: revocation lists between DER and PEM, as text. SPDX-License-Identifier: MIT
local pki = require("chaski.core").pki

local M = {}

--- A revocation list as PEM.
---@param der string
---@return string
function M.crl(der)
  local text = pki.base64url(der):gsub("-", "+"):gsub("_", "/")
  text = (text .. ("="):rep(-#text % 4)):gsub(("."):rep(64), "%0\n")
  if text:sub(-1) ~= "\n" then text = text .. "\n" end
  return "-----BEGIN X509 CRL-----\n" .. text .. "-----END X509 CRL-----\n"
end

--- Each revocation list of a text, as PEM; what is around them is skipped. One in DER is taken as it is.
---@param text string
---@return fun(): string?
function M.each_crl(text)
  if text:find "^0[\x81-\x84]" then text = M.crl(text) end
  local next_block = text:gmatch "%-%-%-%-%-BEGIN X509 CRL%-%-%-%-%-.-%-%-%-%-%-END X509 CRL%-%-%-%-%-"
  return function()
    local block = next_block()
    return block and block .. "\n"
  end
end

return M
