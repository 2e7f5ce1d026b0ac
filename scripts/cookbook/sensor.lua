-- sensor.lua NAME HUB: publishes the load of this machine twice a second. When the hub is away it waits for it: whoever
-- dialled reconnects, and readings that nobody can take are not kept.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"

local node = assert(chaski.node { name = arg[1] })
while not node:connect(arg[2]) do -- the hub may start later
  chaski.sleep(0.5)
end

local function load_of_machine()
  local file = assert(io.open("/proc/loadavg"))
  local load = file:read "n"
  file:close()
  return load
end

chaski.every(0.5, function()
  node:try_publish("reading", { value = load_of_machine(), unit = "processes" }) -- never waits
end)
