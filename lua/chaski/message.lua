-- message.lua: chaski.message{...}, a message made by hand.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local options = require "chaski.options"

local schema = {
  { name = "command", kind = options.text(1, 64), default = "ChaskiMessage" },
  { name = "topic", kind = options.text(0, 4096), default = "All" },
  { name = "data", kind = options.any },
  { name = "ttl", kind = options.integer(0, 64), default = 64 },
  { name = "uuid", kind = options.text(1, 64) },
  { name = "timestamp", kind = options.any },
}

--- Those made by hand: what a node makes of them depends on its own serializer.
core.made_by_hand = setmetatable({}, { __mode = "k" })

--- A message made by hand, for node:propagate and node:serialize_message.
---@param given { command: string?, topic: string?, data: any, ttl: integer?, uuid: string?, timestamp: any }?
---@return chaski.message
return function(given)
  local fields = options.check("chaski.message", schema, given)
  fields.uuid = fields.uuid or core.uuid()
  if fields.timestamp == nil then fields.timestamp = core.timestamp_now() end
  local message, err = core.read_frame(core.build_frame(fields, fields.data))
  if not message then error(tostring(err), 2) end
  core.made_by_hand[message] = true
  return message
end
