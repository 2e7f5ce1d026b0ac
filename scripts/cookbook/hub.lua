-- hub.lua [PORT]: takes the readings of sensors, shows them, says who has fallen silent, and answers who asks for the
-- latest: `chaski req -h ADDRESS latest --json`. See sensor.lua.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"

local SILENT = 3 -- seconds

local hub = assert(chaski.node { name = "hub", port = tonumber(arg[1] or 0), introspect = true })
local latest = {}

hub:subscribe("reading", function(message, edge)
  local known = latest[edge.name]
  latest[edge.name] = { value = message.data.value, unit = message.data.unit, at = chaski.now() }
  if not known or known.silent then
    print(("%s speaks: %g %s"):format(edge.name, message.data.value, message.data.unit))
  end
end, { overflow = "drop_old" }) -- the newest counts

hub:serve("latest", function()
  local answer = {}
  for name, reading in pairs(latest) do
    answer[name] = { value = reading.value, unit = reading.unit, age = chaski.now() - reading.at }
  end
  return answer
end)

chaski.every(0.5, function()
  for name, reading in pairs(latest) do
    if not reading.silent and chaski.now() - reading.at > SILENT then
      reading.silent = true
      print(("%s is silent"):format(name))
    end
  end
end)

print("hub listens at " .. hub.address)
