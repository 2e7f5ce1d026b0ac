#!/usr/bin/env chaski-lua
-- slow_consumer.lua [--pairs N] [--window S] [--rate R] [--wake S] [--stop S] [--size BYTES]: one publisher and ten
-- subscribers in processes of their own, of which one is stopped (SIGSTOP) now and then, in three ways:
--   1. in turns: N (5) windows of S (3) seconds in which it runs, and as many in which it is stopped: how long
--      messages take to the other nine, at full rate (as fast as they can take it), or at R messages a second;
--   2. for the seconds of --wake (5), at a rate that its queue can hold: it goes on without loss;
--   3. for those of --stop (20), at full rate: its edge is closed 10 s after its queue passed the high mark.
-- Every 20 ms the ledger is checked and the memory looked up. Exit 1 if the nine lost anything, the ledger did not
-- balance, the one did not catch up, or was not closed. SPDX-License-Identifier: MIT
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local chaski = require "chaski"
local uv = require "luv"
local processes = require "processes"
local resources = require "resources"

local SUBSCRIBERS, HEAD, ENVELOPE = 10, ">I8I8I4", 200
local NO_WINDOW = 0 -- a message that ends the one before

-- --- a subscriber ------------------------------------------------------------------------------------------------

local STEPS = 100 -- of a histogram: 1 % each

--- In ms.
local function quantile(histogram, count, part)
  local least, most = math.huge, -math.huge
  for step in pairs(histogram) do
    least, most = math.min(least, step), math.max(most, step)
  end
  local left = count * part
  for step = least, most do
    left = left - (histogram[step] or 0)
    if left <= 0 then return math.exp(step / STEPS) / 1e6 end
  end
  return 0
end

--- Tells of each window when it is over: messages and gaps in all, p50 and p99 in ms (of every fourth message).
local function subscribe(port, name)
  local node = assert(chaski.node { name = name, paired = true, udp = false })
  local came, next_number, gaps, histogram, timed = 0, nil, 0, {}, 0
  local function tell()
    print(
      ("window came=%d gaps=%d p50=%f p99=%f"):format(
        came,
        gaps,
        quantile(histogram, timed, 0.5),
        quantile(histogram, timed, 0.99)
      )
    )
    io.stdout:flush()
    histogram, timed = {}, 0
  end
  node:subscribe("load", function(message)
    local n, sent, which = string.unpack(HEAD, message.data)
    if next_number and n ~= next_number then gaps = gaps + 1 end
    came, next_number = came + 1, n + 1
    if which == NO_WINDOW then tell() end
    if came % 4 == 0 and which ~= NO_WINDOW then
      local step = math.floor(math.log(uv.hrtime() - sent) * STEPS)
      histogram[step], timed = (histogram[step] or 0) + 1, timed + 1
    end
  end)
  assert(node:connect("127.0.0.1:" .. port))
  print "ready"
  io.stdout:flush()
  while true do
    chaski.sleep(3600)
  end
end

if arg[1] == "subscriber" and arg[3] then return subscribe(arg[2], arg[3]) end

-- --- the publisher -----------------------------------------------------------------------------------------------

local usage = "scripts/bench/slow_consumer.lua [--pairs N] [--window S] [--rate R] [--wake S] "
  .. "[--stop S] [--size BYTES]"
local given = require("usage").named(
  usage,
  { pairs = { 5, 1 }, window = { 3, 1 }, rate = { 0, 0 }, wake = { 5, 1 }, stop = { 20, 1 }, size = { 1024, 20 } }
)

local publisher = assert(chaski.node { name = "publisher", paired = true, overflow = "drop_new", udp = false })
local children, sent, window = {}, 0, NO_WINDOW
local choked_at, closed_at, closed_as, not_taken = nil, nil, nil, 0
local slow_name, behind = "subscriber" .. SUBSCRIBERS, 0 -- of the other nine, those above their high mark

publisher:on("pause_writing", function(edge)
  if edge.name == slow_name then
    choked_at = chaski.now()
  else
    behind = behind + 1
  end
end)
publisher:on("resume_writing", function(edge)
  if edge.name ~= slow_name then behind = behind - 1 end
end)
publisher:on("edge_closed", function(edge, reason, detail)
  if edge.name == slow_name then
    closed_at, closed_as = chaski.now(), reason
  elseif reason ~= "stopped" then
    io.stderr:write(("edge to %s ended: %s %s\n"):format(edge.name, reason, detail))
  end
end)
publisher:on("undelivered", function(what)
  if what.edge.name ~= slow_name then not_taken = not_taken + 1 end
end)

local function resident_mib()
  return resources.resident_kib() / 1024
end

local samples, unbalanced, most, most_of_window = 0, 0, 0, 0
chaski.spawn(function()
  while true do
    local l = publisher.ledger
    samples = samples + 1
    local known = l.acknowledged + l.written + l.lost + l.queue_dropped + l.in_flight
    if l.queued ~= known then unbalanced = unbalanced + 1 end
    local resident = resident_mib()
    most, most_of_window = math.max(most, resident), math.max(most_of_window, resident)
    chaski.sleep(0.02)
  end
end)

local filler = ("x"):rep(given.size - string.packsize(HEAD))
local function publish()
  assert(publisher:publish("load", chaski.bin(string.pack(HEAD, sent, uv.hrtime(), window) .. filler)))
  sent = sent + 1
end

--- As fast as the nine can take it, or so many a second.
local function publish_for(seconds, rate)
  local started, before = chaski.now(), sent
  repeat
    for _ = 1, behind == 0 and 50 or 0 do
      publish()
    end
    local ahead = rate and (sent - before) / rate - (chaski.now() - started) or 0
    chaski.sleep(behind > 0 and 0.001 or math.max(ahead, 0))
  until chaski.now() - started >= seconds
  return (sent - before) / (chaski.now() - started)
end

local function wait_for(what, condition)
  local deadline = chaski.now() + 60
  while not condition() do
    assert(chaski.now() < deadline, what)
    chaski.sleep(0.005)
  end
end

local function all_read()
  return publisher.ledger.in_flight == 0
end

--- What the subscribers say of the window that is over; nil for the one that does not answer.
local function ask(and_slow)
  window = NO_WINDOW
  publish()
  local told = {}
  for i = 1, and_slow and SUBSCRIBERS or SUBSCRIBERS - 1 do
    told[i] = children[i]:line "window"
  end
  return told
end

local windows = 0
local function next_window()
  windows = windows + 1
  window, most_of_window = windows, resident_mib()
end

local function median(values)
  local sorted = table.move(values, 1, #values, 1, {})
  table.sort(sorted)
  local middle = (#sorted + 1) // 2
  return #sorted % 2 == 1 and sorted[middle] or (sorted[middle] + sorted[middle + 1]) / 2
end

--- The mean of the other nine, and the slowest.
local function mean_of(told, field)
  local sum, worst = 0, 0
  for i = 1, SUBSCRIBERS - 1 do
    sum, worst = sum + told[i][field], math.max(worst, told[i][field])
  end
  return sum / (SUBSCRIBERS - 1), worst
end

local columns = "%-8s %9s %9s %9s %16s %10s"
local function measure(stopped)
  local slow = children[SUBSCRIBERS]
  if stopped then uv.kill(slow.pid, "sigstop") end
  next_window()
  local rate = publish_for(given.window, given.rate > 0 and given.rate or nil)
  if stopped then uv.kill(slow.pid, "sigcont") end
  wait_for("the queues did not become empty", all_read)
  local told = ask(true)
  local p99, worst = mean_of(told, "p99")
  print(
    columns:format(
      stopped and "stopped" or "free",
      ("%.0f/s"):format(rate),
      ("%.1f ms"):format((mean_of(told, "p50"))),
      ("%.1f ms"):format(p99),
      ("%.1f ms"):format(worst),
      ("%.0f MiB"):format(most_of_window)
    )
  )
  return p99, told
end

for i = 1, SUBSCRIBERS do
  children[i] = processes.start { uv.exepath(), arg[0], "subscriber", publisher.port, "subscriber" .. i }
end
for _, child in ipairs(children) do
  child:line "ready"
end
wait_for("not all subscribers came", function()
  return publisher.edge_count == SUBSCRIBERS
end)

next_window()
publish_for(1) -- memory that is kept for reuse, and warm caches
wait_for("the queues did not become empty", all_read)
ask(true)
local before = resident_mib()
print(("%d subscribers, messages of %d bytes, load average %.2f"):format(SUBSCRIBERS, given.size, (uv.loadavg())))
print(columns:format("the one", "published", "median", "p99", "p99 of the worst", "memory"))
local free, stopped, ratios = {}, {}, {}
for i = 1, given.pairs do
  free[i] = measure(false)
  stopped[i] = measure(true)
  ratios[i] = stopped[i] / free[i]
end
print(
  (
    "p99 to the others, medians of %d: %.1f ms while it runs, %.1f ms while it is stopped: ratio %.3f; "
    .. "median of the ratios of neighbours %.3f"
  ):format(given.pairs, median(free), median(stopped), median(stopped) / median(free), median(ratios))
)

local slow = children[SUBSCRIBERS]
local _, earlier = measure(false)
local fits = 0.6 * publisher.limits.queue_hard.value / (given.size + ENVELOPE) / given.wake
uv.kill(slow.pid, "sigstop")
next_window()
local from = sent
publish_for(given.wake, fits)
uv.kill(slow.pid, "sigcont")
wait_for("the one did not catch up", all_read)
local later = ask(true)[SUBSCRIBERS]
local caught_up = later.gaps == earlier[SUBSCRIBERS].gaps
print(
  ("stopped for %d s at %.0f/s: %d messages, high mark %s; it got %d, %d gaps"):format(
    given.wake,
    fits,
    sent - from,
    choked_at and "passed" or "not passed",
    later.came - earlier[SUBSCRIBERS].came,
    later.gaps - earlier[SUBSCRIBERS].gaps
  )
)

choked_at = nil
uv.kill(slow.pid, "sigstop")
next_window()
local rate = publish_for(given.stop)
wait_for("the queues did not become empty", function()
  return closed_at or all_read() or given.stop < publisher.limits.queue_stall.value
end)
print(
  ("stopped for %d s at full rate (%.0f/s): %s"):format(
    given.stop,
    rate,
    closed_at and ("closed (%s) %.2f s after its queue passed the high mark"):format(closed_as, closed_at - choked_at)
      or "not closed"
  )
)
uv.kill(slow.pid, "sigcont")
wait_for("the queues did not become empty", all_read)

local wrong, told = 0, ask(false)
for i = 1, SUBSCRIBERS - 1 do
  if told[i].gaps > 0 or told[i].came ~= sent then wrong = wrong + 1 end
end
print(
  ("memory: %.0f MiB before, %.0f MiB at most, of which one queue is %.0f MiB at most; now %.0f MiB"):format(
    before,
    most,
    publisher.limits.queue_hard.value / 2 ^ 20,
    resident_mib()
  )
)
print(("ledger: %d samples, %d did not balance"):format(samples, unbalanced))
print(
  (
    "%d published; %d of the other nine miss something; %d times one of them was refused something; load average "
    .. "%.2f"
  ):format(sent, wrong, not_taken, (uv.loadavg()))
)
local should_close = given.stop > publisher.limits.queue_stall.value + 2
local ok = wrong == 0 and unbalanced == 0 and caught_up and (not should_close or closed_as == "slow_consumer")
processes.stop_all()
publisher:stop()
os.exit(ok, true)
