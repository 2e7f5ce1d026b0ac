-- subjects.lua: the fields of a certificate's subject that a node may choose for itself (ssl_certificate_attributes):
-- they say where it is and whose, never who. SPDX-License-Identifier: MIT
local LENGTH_MAX = 64 -- bytes of a field; X.520 allows 64 characters

local M = {}

M.NAMES = { "C", "ST", "L", "O", "OU" }

local known = {}
for _, name in ipairs(M.NAMES) do
  known[name] = true
end

--- What is wrong with these fields, in words, or nil.
---@param subject table<string, string>
---@return string?
function M.wrong(subject)
  for name, value in pairs(subject) do
    if not known[name] then return ("there is no field '%s'; C, ST, L, O and OU are"):format(tostring(name)) end
    local good = type(value) == "string" and #value >= 1 and #value <= LENGTH_MAX and not value:find "%c"
    if not good or not utf8.len(value) then return ("%s is not a text of 1..%d bytes"):format(name, LENGTH_MAX) end
    if name == "C" and not value:find "^%a%a$" then return "C is not a country code of two letters" end
  end
  return nil
end

return M
