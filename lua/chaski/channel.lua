-- channel.lua: a secure conversation of a few small messages, for what is not a node's business: enrolment. Each
-- message is a table of at most 64 KiB; a conversation takes at most ten seconds. The mechanism is src/lua/channel.c.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"

local M = {}

---@class chaski.channel
---@field peer string address of the other end
---@field send fun(self, message: table): true?, chaski.error?
---@field receive fun(self, options: { timeout: number? }?): table?, chaski.error?
---@field export fun(self, label: string, n: integer): string?, chaski.error?
---@field peer_certificate fun(self): string?
---@field close fun(self)

--- Connect to "host:port" with a TLS context; suspends until the handshake is done. `timeout` is for the whole
--- conversation.
---@param address string
---@param context userdata
---@param options { timeout: number? }?
---@return chaski.channel?, chaski.error?
function M.connect(address, context, options)
  local parsed, err = core.address(address)
  if not parsed then return nil, err end
  return core.channel_connect(parsed.host, parsed.port, context, options)
end

--- Listen; serve(channel) runs as a task for each connection, which ends with it. The client speaks first.
---@param ip string
---@param port integer 0: any
---@param context userdata
---@param serve fun(channel: chaski.channel)
function M.listen(ip, port, context, serve)
  return core.channel_listen(ip, port, context, function(channel)
    local _ <close> = channel
    serve(channel)
  end)
end

--- Send a request and wait for the answer.
---@return table?, chaski.error?
function M.ask(channel, request)
  local ok, err = channel:send(request)
  if not ok then return nil, err end
  return channel:receive()
end

return M
