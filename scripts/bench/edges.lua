#!/usr/bin/env chaski-lua
-- edges.lua [--edges N] [--processes P]: one node with N (10000) plain edges, each to a node of its own, in P processes
-- (of 2500 nodes at most, three at least) on 127.0.0.2, 127.0.0.3 … Prints how long it takes until all are up, what an
-- idle edge costs the hub in resident memory, how long one ping to each takes, and how long the end takes, after which
-- nothing may be left. Exit 1 if that is not so, or if too few files may be opened. SPDX-License-Identifier: MIT
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local chaski = require "chaski"
local core = require "chaski.core"
local processes = require "processes"
local resources = require "resources"
local uv = require "luv"

local FIRST = 10 -- edges of a process before memory is looked at; roles.lua
local FILES = 3 -- of a spoke: its listener, a connection, and one to spare
local OWN_FILES = 100

local usage = "scripts/bench/edges.lua [--edges N] [--processes P]: 30 edges at least"
local given = require("usage").named(usage, { edges = { 10000, 30 }, processes = { 3, 1 } })
local count = given.edges
local children = math.max(given.processes, (count + 2499) // 2500)
local share = (count + children - 1) // children
resources.need_files("edges", ("a hub with %d edges"):format(count), count + OWN_FILES)
resources.need_files("edges", ("a process of %d spokes"):format(share), share * FILES + OWN_FILES)

chaski.log.level "error" -- edges that end by the thousand

local function wait_for(what, condition, timeout)
  local deadline = chaski.now() + (timeout or 60)
  while not condition() do
    if chaski.now() > deadline then error("edges: " .. what, 0) end
    chaski.sleep(0.005)
  end
end

local function median(values)
  table.sort(values)
  return values[(#values + 1) // 2]
end

local before = core.counts()
local hub = assert(chaski.node {
  name = "hub",
  id = "hub",
  udp = false,
  limits = { edges_max = count + 1, pending_max = 65536 },
})

local spokes = {}
local started = chaski.now()
for i = 1, children do
  local nodes = math.min(share, count - share * (i - 1))
  spokes[i] = processes.start {
    uv.exepath(),
    (arg[0]:gsub("[^/]*$", "roles.lua")),
    "spokes",
    "count=" .. nodes,
    "to=" .. hub.address,
    "ip=127.0.0." .. i + 1,
    "name=spoke" .. i .. ".",
  }
end
for _, each in ipairs(spokes) do
  each:line "connected"
  each:line "ready"
end
local few = hub.edge_count
assert(few == FIRST * children)
local memory, first_took = resources.resident_kib_collected(), chaski.now() - started

started = chaski.now()
for _, each in ipairs(spokes) do
  each:go()
end
wait_for("not all edges came up", function()
  return hub.edge_count == count
end, 300)
local took = chaski.now() - started
for _, each in ipairs(spokes) do
  each:line "connected"
end
print(
  ("%d edges from %d processes in %.2f s (%.0f a second); load average %.2f"):format(
    count,
    children,
    first_took + took,
    (count - few) / took,
    (uv.loadavg())
  )
)

chaski.sleep(1) -- their first pings
local grown = resources.resident_kib_collected() - memory
print(("resident memory: %.0f MiB, %.2f KiB an idle edge"):format((memory + grown) / 1024, grown / (count - few)))

local latencies, failed = {}, 0
local function ping(edge)
  local latency = edge:ping()
  if latency then
    latencies[#latencies + 1] = latency
  else
    failed = failed + 1
  end
end
started = chaski.now()
do
  local tasks = {}
  for i, edge in ipairs(hub.edges) do
    tasks[i] = chaski.spawn(ping, edge)
  end
  for _, task in ipairs(tasks) do
    task:join()
  end
end
print(
  ("one ping to each: %.2f s in all, %d answers, %d failed, median %.0f ms"):format(
    chaski.now() - started,
    #latencies,
    failed,
    median(latencies) or 0
  )
)

started = chaski.now()
hub:stop()
local stopped = chaski.now() - started
for _, each in ipairs(spokes) do
  each:line "closed"
end
print(("closed in %.2f s, seen by all after %.2f s"):format(stopped, chaski.now() - started))
processes.stop_all()
hub = nil
local left
local function is_clean()
  collectgarbage()
  left = {}
  for name, number in pairs(core.counts()) do
    if number > before[name] then left[#left + 1] = ("%d %s"):format(number - before[name], name) end
  end
  return #left == 0
end
local clean = pcall(wait_for, "left", is_clean, 5)
print("left: " .. (clean and "nothing" or table.concat(left, ", ")))
os.exit(clean and failed == 0 and #latencies == count, true)
