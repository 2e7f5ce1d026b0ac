-- server.lua: the CA's own listener, TLS from the first byte. It is no node: it knows four commands and nothing else.
-- Its own certificate is made at the start and anew before it ends. SPDX-License-Identifier: MIT
local answers = require "chaski.ca.answers"
local channels = require "chaski.channel"
local core = require "chaski.core"
local invites = require "chaski.invite"
local tls = require "chaski.tls"

local REQUESTS_MAX = 32 -- on one connection: a renewal and the pieces of the longest revocation lists
local LOOK = 60 -- seconds between looks at the certificate of the listener

local M = {}

local function serve(ca, channel)
  for _ = 1, REQUESTS_MAX do
    local request = channel:receive()
    if not request then return end
    if not channel:send(answers.answer(ca, request, channel)) then return end
  end
end

--- A context with a new certificate, and what tells when the next is due.
local function new_context(ca)
  local now = ca.now()
  local server = ca.authority:server(now)
  local context, err = tls.context {
    certificate = server.certificate,
    key = server.key,
    ca = ca.authority:bundle(now),
    alpn = invites.ALPN,
    anonymous = true,
  }
  if not context then return nil, err end
  return context, { due = now + (server.ends - now) // 2, signer = server.signer }
end

local function is_due(ca, state)
  local now = ca.now()
  local _, signer = ca.authority:active(now)
  return now >= state.due or signer.number ~= state.signer
end

local function keep_fresh(ca, listener, state)
  while true do
    core.sleep(LOOK)
    local ok, err = pcall(function()
      if not is_due(ca, state) then return end
      local context, next_state = new_context(ca)
      if not context then error(next_state, 0) end
      listener:set_context(context)
      state = next_state
    end)
    if not ok then core.log("error", "ca", ("its own certificate could not be renewed: %s"):format(tostring(err))) end
  end
end

--- Listen. Returns { listener =, port =, stop() }, or nil, err.
function M.start(ca, ip, port)
  local made, context, state = pcall(new_context, ca)
  if not made then return nil, context end
  if not context then return nil, state end
  local listener, err = channels.listen(ip, port, context, function(channel)
    serve(ca, channel)
  end)
  if not listener then return nil, err end
  local keeper = core.spawn(keep_fresh, ca, listener, state)
  return {
    listener = listener,
    port = listener.port,
    stop = function()
      keeper:cancel()
      listener:close()
    end,
  }
end

return M
