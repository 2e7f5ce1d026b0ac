-- tarantool.lua: Tarantool as a peer: net.box calls of a function. Run by tarantool(1). Options: role= echo|ping to=
-- size= seconds= tasks= (calls under way at once) folder= (for its log). SPDX-License-Identifier: MIT
local clock = require "clock"
local fiber = require "fiber"
local net_box = require "net.box"

local o = { role = "", size = "64", seconds = "1", tasks = "1", to = "", folder = "." }
for _, word in ipairs(arg) do
  local name, value = word:match "^(%w+)=(.*)$"
  if name then o[name] = value end
end

local function tell(...)
  print(...)
  io.flush()
end

local function serve()
  local box = rawget(_G, "box")
  box.cfg { listen = "127.0.0.1:" .. o.to, wal_mode = "none", log = o.folder .. "/tarantool.log", work_dir = o.folder }
  rawset(_G, "echo", function(kwargs)
    return kwargs.v
  end)
  box.schema.user.grant("guest", "execute", "universe", nil, { if_not_exists = true })
  tell("ready 127.0.0.1:" .. o.to)
end

local function at(list, part)
  return list[math.max(1, math.ceil(#list * part))] * 1e6
end

local function ask()
  local connection = net_box.connect(o.to)
  assert(connection:ping())
  local arguments, times, ended = { { v = ("x"):rep(tonumber(o.size)) } }, {}, fiber.channel(1000)
  tell "ready -"
  io.read()
  local started = clock.monotonic()
  local deadline = started + tonumber(o.seconds)
  for _ = 1, tonumber(o.tasks) do
    fiber.create(function()
      repeat
        local sent = clock.monotonic()
        connection:call("echo", arguments)
        local now = clock.monotonic()
        times[#times + 1] = now - sent
      until now >= deadline
      ended:put(true)
    end)
  end
  for _ = 1, tonumber(o.tasks) do
    ended:get()
  end
  local elapsed = clock.monotonic() - started
  local count = #times
  local list = {}
  for i = math.floor(count / 10) + 1, count do
    list[#list + 1] = times[i]
  end
  table.sort(list)
  local line = "result count=%d p50=%.3f p99=%.3f p999=%.3f seconds=%.9f"
  tell(line:format(count, at(list, 0.5), at(list, 0.99), at(list, 0.999), elapsed))
  fiber.sleep(3600) -- what it used can still be looked up; who started it ends it
end

if o.role == "echo" then
  serve()
else
  ask()
end
