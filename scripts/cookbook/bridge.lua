-- bridge.lua TOPIC ADDRESS: joins a topic and a pipe. Each line of standard input is published, each message is printed
-- as a line, so that any program with pipes takes part:
--   mosquitto_sub -t weather | chaski-lua bridge.lua weather 192.0.2.7:8511 | mosquitto_pub -t mesh -l
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local json = require "dkjson"

local topic, address = arg[1], arg[2]
local node = assert(chaski.node { name = "bridge" })

node:subscribe(topic, function(message)
  local data = message.data
  print(type(data) == "table" and json.encode(data) or tostring(data))
  io.stdout:flush() -- who reads it must not wait for more
end)
assert(node:connect(address))

for line in chaski.lines() do
  local value = line:find "^%s*[{%[]" and json.decode(line) or line
  local sent, err = node:publish(topic, value) -- waits while the mesh is slower than the pipe
  while not sent and err.code == "no_edge" do -- reconnecting: nothing is lost, the pipe waits
    chaski.sleep(0.2)
    sent, err = node:publish(topic, value)
  end
  assert(sent, err)
end
node:stop()
