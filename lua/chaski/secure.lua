-- secure.lua: a node's certificates: those its options give, and those it gets from the CA of its mesh. How they are
-- got is enrol.lua's, how long they last renewal.lua's, whom they no longer hold good for revocations.lua's.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local enrol = require "chaski.enrol"
local invites = require "chaski.invite"
local options = require "chaski.options"
local renewal = require "chaski.renewal"
local revocations = require "chaski.revocations"
local tls = require "chaski.tls"

local methods = core.node_methods

local M = {}

--- core.node_state(node).secure of a node with certificates:
---@class chaski.secure
---@field client chaski.tls.context? as given, without lists that came later
---@field server chaski.tls.context?
---@field client_roots string PEM
---@field server_roots string
---@field roots string all that are trusted
---@field mesh string
---@field not_after integer seconds since 1970
---@field enrolled chaski.enrolled? where its files are
---@field renew boolean
---@field interval number? seconds between questions to the CA
---@field revocations chaski.revocations
---@field stale boolean? the core has not got the newest lists

-- --- contexts --------------------------------------------------------------------------------------------------------

local function with_lists(context, known, roots)
  local pem = context and revocations.pem(known, roots) or ""
  if pem == "" then return context end
  return context:with_crl(pem)
end

--- Give the core the contexts with the newest lists: at once for new connections, and live edges are looked at again.
local function apply(node)
  local secure = core.node_state(node).secure
  local known = secure.revocations
  local client, err = with_lists(secure.client, known, secure.client_roots)
  if err then return nil, err end
  local server = client
  if secure.server ~= secure.client then
    server, err = with_lists(secure.server, known, secure.server_roots)
    if err then return nil, err end
  end
  return core.set_tls(node, client, server)
end

local function join_roots(a, b)
  return a == b and a or a .. b
end

--- What the node is from now on: { client =, server =, enrolled = }.
local function set(node, given)
  local state = core.node_state(node)
  local any, before = given.client or given.server, state.secure
  local client, server = tls.sources(given.client), tls.sources(given.server)
  local secure = {
    client = given.client,
    server = given.server,
    client_roots = client.ca,
    server_roots = server.ca,
    roots = join_roots(client.ca, server.ca),
    mesh = any.identity:match "^chaski://([^/]+)/" or "",
    not_after = any.not_after,
    enrolled = given.enrolled,
    renew = given.enrolled ~= nil and state.options.renew,
    interval = state.options.revocation_interval,
    revocations = before and before.revocations or revocations.new(),
    edges = before and before.edges or {},
    refreshed = before and before.refreshed,
    apply = apply,
    adopt = M.adopt,
  }
  local news = revocations.take(secure.revocations, { client.crl, server.crl }, secure.roots)
  state.secure = secure
  local ok, err = apply(node)
  if not ok then
    state.secure = before
    return nil, err
  end
  renewal.plan(secure)
  revocations.install(node)
  if news then revocations.give_all(node) end
  return true
end

--- Use the files of an enrolment: those of a node that is stopped, or the renewed ones of one that runs.
---@param enrolled chaski.enrolled
---@return true?, chaski.error?
function M.adopt(node, enrolled)
  local context, err =
    tls.context { certificate = enrolled.certificate, key = enrolled.key, ca = enrolled.ca, crl = enrolled.crl }
  if not context then return nil, err end
  local ok
  ok, err = set(node, { client = context, server = context, enrolled = enrolled })
  if ok then revocations.keep(core.node_state(node).secure) end -- what the mesh knew before the CA told us
  return ok, err
end

-- --- options ---------------------------------------------------------------------------------------------------------

local function contradiction(id, checked)
  for _, option in ipairs { "name", "id" } do
    if checked[option] and checked[option] ~= id then
      local text = "chaski.node: the certificate is that of '%s', the option '%s' says '%s'"
      return core.new_error("certificate", text:format(id, option, checked[option]))
    end
  end
end

--- Raise for options that cannot be meant together.
---@param level integer of the caller to blame
function M.check(checked, level)
  if not checked.request_ssl_certificate then return end
  for _, option in ipairs { "tls", "ssl_context_client", "ssl_context_server" } do
    if checked[option] then
      local text = "chaski.node: the options '%s' and 'request_ssl_certificate' exclude each other"
      error(text:format(option), level + 1)
    end
  end
  core.waiter "chaski.node with the option request_ssl_certificate" -- raises outside of a task
end

-- --- enrolling -------------------------------------------------------------------------------------------------------

--- The files of the identity that the string is for.
local function obtain(text, given, timeout)
  local location, attributes = given.ssl_certificates_location, given.ssl_certificate_attributes
  return enrol.obtain(text, { location = location, attributes = attributes, timeout = timeout })
end

local function check_subscriptions(node, enrolled)
  local context, err = tls.context { certificate = enrolled.certificate, key = enrolled.key, ca = enrolled.ca }
  if not context then return nil, err end
  for _, topic in ipairs(node.subscriptions) do
    if not context:may("subscribe", topic) then
      return nil,
        core.new_error("forbidden", ("the certificate of '%s' does not allow '%s'"):format(enrolled.id, topic))
    end
  end
  return true
end

--- Take the certificates of the options, or get them. A node that could not has none and does not run.
---@return true?, chaski.error?
function M.install(node, checked)
  local client, server = checked.ssl_context_client or checked.tls, checked.ssl_context_server or checked.tls
  local text = checked.request_ssl_certificate
  if client or server then
    local err = contradiction((client or server).id, checked)
    if err then return nil, err end
    return set(node, { client = client, server = server })
  end
  if not text then return true end
  local invite, err = invites.read(text)
  if invite then err = contradiction(invite.id, checked) end
  if err then return nil, err end
  local enrolled
  enrolled, err = obtain(text, checked)
  if not enrolled then return nil, err end
  return M.adopt(node, enrolled)
end

core.run_node = core.run_node or methods.run -- the runtime's, also when this file is loaded twice
local run = core.run_node

local function switch(node, text, timeout)
  local enrolled, ok, err
  enrolled, err = obtain(text, core.node_state(node).options, timeout)
  if not enrolled then return nil, err end
  ok, err = check_subscriptions(node, enrolled)
  if not ok then return nil, err end
  return M.adopt(node, enrolled)
end

--- The node stops first: nobody is to meet it in clear meanwhile, nor afterwards when that fails.
local function change(node, text, timeout)
  local state = core.node_state(node)
  state.changing = true
  local _ <close> = setmetatable({}, {
    __close = function()
      state.changing = false
    end,
  })
  local ran = node.running
  if ran then node:stop() end
  local ok, err = switch(node, text, timeout)
  if not ran or not (ok or state.secure) then return ok, err end
  local again, why = run(node)
  if not again then return nil, ok and why or err end
  renewal.keep(node)
  return ok, err
end

local schema = {
  { name = "timeout", kind = options.seconds(0.001, 3600), default = 10 },
}

--- Get certificates with an enrolment string, or use those that are there for whom it is for, and go on with them: the
--- node, which must have no edges, stops and runs again at the same port, under the certificate's name. A node that was
--- in clear and could not get them does not run afterwards.
---@param text string
---@param given { timeout: number? }?
---@return true?, chaski.error?
function methods:request_ssl_certificate(text, given)
  local where = "node:request_ssl_certificate"
  core.waiter(where) -- raises outside of a task
  if type(text) ~= "string" then
    error(("%s: expected an enrolment string, got %s"):format(where, options.describe(text)), 2)
  end
  given = options.check(where, schema, given)
  if self.edge_count > 0 then return nil, core.new_error("live", where .. ": the node has edges; close them first") end
  if core.node_state(self).changing then return nil, core.new_error("busy", where .. ": it is under way already") end
  local task = core.spawn(change, self, text, given.timeout) -- none of the node's own tasks, which end when it stops
  local joined, ok, err = task:join()
  if not joined then error(ok, 0) end
  return ok, err
end

--- As the runtime's, and the certificates are looked after.
function methods:run()
  local state = core.node_state(self)
  if state.changing then return nil, core.new_error("busy", "node:run: its certificates are being requested") end
  local ok, err = true, nil
  if state.secure and state.secure.stale then
    ok, err = apply(self)
    state.secure.stale = not ok
  end
  if ok then
    ok, err = run(self)
  end
  if ok then renewal.keep(self) end
  return ok, err
end

-- --- status ----------------------------------------------------------------------------------------------------------

--- What a node says of its certificates; nil in clear. Nothing in it is secret.
function M.status(node)
  local secure = core.node_state(node).secure
  if not secure then return nil end
  local context, known = secure.client or secure.server, secure.revocations
  return {
    identity = context.identity,
    not_after = secure.not_after,
    counters = core.tls_counters(node),
    revocations = { number = revocations.number(known), refused = known.refused, dropped = known.dropped },
  }
end

return M
