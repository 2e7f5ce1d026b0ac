-- revocations.lua: revocation lists travel over the mesh, so that a revoked node is cut off everywhere in moments and
-- not when each node happens to ask the CA. Command `revocations` { numbers = root's key hash -> number } tells a new
-- neighbour what we have; who has a newer list gives it: { lists = PEM texts }, and what is news is passed on to all
-- others. A list is signed and numbered by the CA: a wrong one, or an old one, costs its sender a token of its rate and
-- us a look at its signature, and changes nothing.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local enrol = require "chaski.enrol"
local files = require "chaski.files"
local limiter = require "chaski.limiter"
local options = require "chaski.options"
local pem = require "chaski.pem"
local pki = core.pki

local RATE, BURST = 5, 20 -- frames a second from one edge; each may hold lists, whose signatures are looked at
local LISTS_MAX = 2 -- roots there are during a rollover
local COMMAND = "revocations"

local M = {}

---@class chaski.revocations
---@field lists table<string, { number: integer, pem: string }> by the key hash of the root
---@field refused integer lists that no root of ours has signed
---@field dropped integer frames beyond the rate

---@return chaski.revocations
function M.new()
  return { lists = {}, refused = 0, dropped = 0 }
end

-- --- lists -----------------------------------------------------------------------------------------------------------

local function is_known(known, text)
  for _, list in pairs(known.lists) do
    if list.pem == text then return true end
  end
  return false
end

--- Remember a list if it is signed by one of the roots and newer than what there is of that root.
local function take_one(known, text, roots)
  if is_known(known, text) then return false end
  local info = pki.check_crl(text, roots)
  if not info then
    known.refused = known.refused + 1
    return false
  end
  local before = known.lists[info.root_hash]
  if before and before.number >= info.number then return false end
  known.lists[info.root_hash] = { number = info.number, pem = text }
  return true
end

--- Take what is new in PEM texts. Whether anything was.
---@param known chaski.revocations
---@param texts string[]
---@param roots string PEM
---@return boolean
function M.take(known, texts, roots)
  local news, left = false, LISTS_MAX
  for _, text in ipairs(texts) do
    for list in pem.each_crl(text) do
      if left == 0 then return news end
      left = left - 1
      news = take_one(known, list, roots) or news
    end
  end
  return news
end

local function sorted(lists)
  local hashes = {}
  for hash in pairs(lists) do
    hashes[#hashes + 1] = hash
  end
  table.sort(hashes)
  return hashes
end

--- All lists that these roots have signed, as one PEM text; "" when there are none.
---@param known chaski.revocations
---@param roots string
---@return string
function M.pem(known, roots)
  local texts = {}
  for _, hash in ipairs(sorted(known.lists)) do
    if pki.check_crl(known.lists[hash].pem, roots) then texts[#texts + 1] = known.lists[hash].pem end
  end
  return table.concat(texts)
end

--- The number of the newest list; 0: there is none.
function M.number(known)
  local number = 0
  for _, list in pairs(known.lists) do
    number = math.max(number, list.number)
  end
  return number
end

-- --- telling ---------------------------------------------------------------------------------------------------------

local function send(node, edge, data)
  if edge.live and edge.protocol > 0 then core.write(node, COMMAND, data, { edge = edge }) end
end

--- Tell a new neighbour what we have.
local function introduce(node, known, edge)
  local numbers = core.map {}
  for hash, list in pairs(known.lists) do
    numbers[hash] = list.number
  end
  send(node, edge, { numbers = numbers })
end

--- Give a neighbour what it has not; all there is when it says nothing.
local function give(node, known, edge, numbers)
  local newer = core.array {}
  for _, hash in ipairs(sorted(known.lists)) do
    local list = known.lists[hash]
    local there = numbers and math.tointeger(numbers[hash])
    if not there or there < list.number then newer[#newer + 1] = list.pem end
  end
  if #newer > 0 then send(node, edge, { lists = newer }) end
end

--- What is new goes to all neighbours but the one it came from.
function M.give_all(node, but)
  local known = core.node_state(node).secure.revocations
  for _, edge in ipairs(node.edges) do
    if edge ~= but then give(node, known, edge) end
  end
end

-- --- taking ----------------------------------------------------------------------------------------------------------

--- What is new also lasts: for the next start of an enrolled node.
function M.keep(secure)
  local enrolled, text = secure.enrolled, M.pem(secure.revocations, secure.roots)
  if not enrolled or text == "" or files.read(enrolled.crl) == text then return end
  local ok, err = files.replace(enrolled.crl, text)
  if not ok then core.log("warn", enrolled.id, ("the revocation lists could not be kept: %s"):format(tostring(err))) end
end

--- Take in lists that somebody gave: contexts, edges, files, and the other neighbours get to know. Whether any was new.
---@param texts string[]
---@param from chaski.edge? that needs not be told
---@return boolean
function M.learn(node, texts, from)
  local secure = core.node_state(node).secure
  if not M.take(secure.revocations, texts, secure.roots) then return false end
  local ok, err = secure.apply(node)
  if not ok and node.running then
    core.log("error", node.name, ("the new revocation lists cannot be used: %s"):format(tostring(err)))
    return false
  end
  secure.stale = not ok -- it stops just now: when it runs again
  M.give_all(node, from)
  M.keep(secure)
  return true
end

local function texts_of(lists)
  local texts = {}
  for i = 1, LISTS_MAX do
    if type(lists[i]) == "string" then texts[#texts + 1] = lists[i] end
  end
  return texts
end

local function receive(node, data, edge)
  local state = core.node_state(node)
  local secure = state.secure
  if not secure or secure.roots == "" then return end
  if not state.revocation_rates:take(edge.number) then
    secure.revocations.dropped = secure.revocations.dropped + 1
    return
  end
  if type(data.lists) == "table" then M.learn(node, texts_of(data.lists), edge) end
  if type(data.numbers) == "table" then give(node, secure.revocations, edge, data.numbers) end
end

core.handle_protocol(COMMAND, receive, {
  wanted = function(node)
    return core.node_state(node).revocation_rates ~= nil
  end,
})

--- Once for each node that has certificates.
function M.install(node)
  local state = core.node_state(node)
  if state.revocation_rates then return end
  state.revocation_rates = limiter.of_edges(state, RATE, BURST)
  node:on("edge_open", function(edge)
    if state.secure then introduce(node, state.secure.revocations, edge) end
  end)
end

-- --- asking the CA ---------------------------------------------------------------------------------------------------

local schema = {
  { name = "address", kind = options.text(1, 300) },
  { name = "timeout", kind = options.seconds(0.001, 3600), default = 10 },
}

--- Ask the CA for its revocation lists now, and tell the mesh what is new. Returns the number of the newest list.
---@param given { address: string?, timeout: number? }? address of the CA, for a node that was not enrolled by it
---@return integer?, chaski.error?
function core.node_methods:refresh_revocations(given)
  local where = "node:refresh_revocations"
  core.waiter(where) -- raises outside of a task
  local checked = options.check(where, schema, given)
  local secure = core.node_state(self).secure
  if not secure then return nil, core.new_error("certificate", where .. ": the node has no certificates") end
  local address = checked.address or (secure.enrolled and secure.enrolled.address)
  if not address or secure.roots == "" then
    return nil, core.new_error("no_address", where .. ": it is not known where the CA is, or whom to trust")
  end
  local from = { address = address, mesh = secure.mesh, ca = secure.roots }
  local text, err = enrol.revocations(from, { timeout = checked.timeout })
  if not text then return nil, err end
  if core.node_state(self).secure ~= secure then
    return nil, core.new_error("stopped", where .. ": meanwhile changed")
  end
  M.learn(self, { text }, nil)
  return M.number(secure.revocations)
end

return M
