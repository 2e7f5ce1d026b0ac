#!/usr/bin/env chaski-lua
-- slow_consumer.lua [SECONDS] [SIZE]: one publisher at full rate and ten subscribers in processes of their own, of
-- which one is stopped (SIGSTOP) for the middle third of the time (SECONDS, 9; messages of SIZE bytes, 1024). Prints
-- what each got before and meanwhile, and what became of the one that was stopped. Exit 1 if the others lost anything,
-- or were held up by more than half. SPDX-License-Identifier: MIT
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local chaski = require "chaski"
local uv = require "luv"

local SUBSCRIBERS = 10
local usage = "scripts/bench/slow_consumer.lua [SECONDS] [SIZE], at least 3 s and 8 bytes"
local seconds, size = require("usage").integers(usage, { { 9, 3 }, { 1024, 8 } })

local subscriber = [[
local chaski = require "chaski"
local node = assert(chaski.node { name = arg[2], paired = true })
local came, next_number, gaps = 0, nil, 0
node:subscribe("load", function(message)
  local n = string.unpack(">I8", message.data)
  if next_number and n ~= next_number then gaps = gaps + 1 end
  came, next_number = came + 1, n + 1
end)
assert(node:connect("127.0.0.1:" .. arg[1]))
while true do
  chaski.sleep(0.1)
  print(came, gaps)
  io.stdout:flush()
end
]]

local function memory()
  local status = io.open "/proc/self/status":read "a"
  return tonumber(status:match "VmRSS:%s*(%d+)") / 1024
end

local children, ends = {}, {}
local publisher = assert(chaski.node { name = "publisher", paired = true, overflow = "disconnect" })
publisher:on("edge_closed", function(edge, reason, detail)
  ends[#ends + 1] = ("%s: %s (%s)"):format(edge.name, reason, detail)
end)

local path = os.tmpname()
local file = assert(io.open(path, "w"))
file:write(subscriber)
file:close()
for i = 1, SUBSCRIBERS do
  local child = { came = 0, gaps = 0 }
  local out = uv.new_pipe()
  child.handle, child.pid = uv.spawn(uv.exepath(), {
    args = { path, tostring(publisher.port), "subscriber" .. i },
    stdio = { nil, out, 2 },
  }, function()
    child.handle:close()
  end)
  out:read_start(function(_, bytes)
    if not bytes then return out:close() end
    for came, gaps in bytes:gmatch "(%d+)%s+(%d+)\n" do
      child.came, child.gaps = tonumber(came), tonumber(gaps)
    end
  end)
  children[i] = child
end
local deadline = chaski.now() + 20
while #publisher.edges < SUBSCRIBERS and chaski.now() < deadline do
  chaski.sleep(0.05)
end
assert(#publisher.edges == SUBSCRIBERS, "not all subscribers came")
os.remove(path)

local sent, slow = 0, children[SUBSCRIBERS]
local function publish_for(time)
  local before, start, waits = sent, chaski.now(), 0
  for _, child in ipairs(children) do
    child.before = child.came
  end
  while chaski.now() - start < time do
    for _ = 1, 50 do
      local at = chaski.now()
      assert(publisher:publish("load", chaski.bin(string.pack(">I8", sent) .. ("x"):rep(size - 8))))
      waits = math.max(waits, chaski.now() - at)
      sent = sent + 1
    end
    chaski.sleep(0)
  end
  local least, most = math.huge, 0
  for i = 1, SUBSCRIBERS - 1 do
    local rate = (children[i].came - children[i].before) / time
    least, most = math.min(least, rate), math.max(most, rate)
  end
  local rate = (sent - before) / time
  print(
    ("%8.0f published/s, the others got %.0f to %.0f/s, longest publish %.0f ms, memory %.0f MiB"):format(
      rate,
      least,
      most,
      waits * 1000,
      memory()
    )
  )
  return least
end

local free = publish_for(seconds / 3)
uv.kill(slow.pid, "sigstop")
local stopped = publish_for(seconds / 3)
uv.kill(slow.pid, "sigcont")
local after = publish_for(seconds / 3)
chaski.sleep(1)

local wrong = 0
for i = 1, SUBSCRIBERS - 1 do
  if children[i].gaps > 0 or children[i].came ~= sent then wrong = wrong + 1 end
end
print(("%d published, memory %.0f MiB"):format(sent, memory()))
print(("%d of the others miss something; the stopped one got %d"):format(wrong, slow.came))
print("edges that ended: " .. (#ends > 0 and table.concat(ends, ", ") or "none"))
print(("rate of the slowest of the others: %.0f, with one stopped %.0f, afterwards %.0f"):format(free, stopped, after))
for _, child in ipairs(children) do
  uv.kill(child.pid, "sigkill")
end
publisher:stop()
os.exit(wrong == 0 and stopped > free / 2 and 0 or 1)
