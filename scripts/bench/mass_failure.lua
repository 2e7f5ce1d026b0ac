-- mass_failure.lua [--nodes N] [--seeds K]: N (1000) nodes in a simulation, a random graph of mean degree 5, of which
-- 50 %, 80 % and 90 % die at once; K (5) seeds for each. Prints what part of the survivors hangs together before and
-- after 30 virtual seconds of repair, without and with the option heal; what part gets a message that one of them then
-- publishes; the edges of a survivor; its dials; and the real time of one simulation. Exit 1 if less than 99 % hang
-- together where 80 % died, or less than 98 % in the mean where 90 % did. SPDX-License-Identifier: MIT
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local chaski = require "chaski"
local uv = require "luv"
local survivors = require "survivors"

local usage = "scripts/bench/mass_failure.lua [--nodes N] [--seeds K], at least 20 nodes"
local given = require("usage").named(usage, { nodes = { 1000, 20 }, seeds = { 5, 1 } })

chaski.log.level "error" -- every edge that is lost is a warning

local columns = "%-6s %-4s  %-22s %-22s %-22s %-12s %5s %7s"
print(("%d nodes, mean degree 5, %d seeds, 30 s of repair"):format(given.nodes, given.seeds))
local heads = { "killed", "heal", "together before", "together after", "reached by message" }
print(columns:format(heads[1], heads[2], heads[3], heads[4], heads[5], "edges", "dials", "wall"))

local function mean_and_least(results, field)
  local sum, least = 0, math.huge
  for _, result in ipairs(results) do
    sum, least = sum + result[field], math.min(least, result[field])
  end
  return sum / #results, least
end

local function shown(results, field)
  local mean, least = mean_and_least(results, field)
  return ("%.1f %%, least %.1f %%"):format(100 * mean, 100 * least)
end

local function most_edges(results)
  local most = 0
  for _, result in ipairs(results) do
    most = math.max(most, result.most)
  end
  return most
end

--- K disasters: what came of them.
local function measure(part, heal)
  local results, started = {}, uv.hrtime()
  for seed = 1, given.seeds do
    results[seed] = survivors.play { nodes = given.nodes, part = part, seed = seed, node = { heal = heal } }
  end
  local took = (uv.hrtime() - started) / 1e9 / given.seeds
  local edges = ("%.1f, most %d"):format((mean_and_least(results, "mean")), most_edges(results))
  local killed, dials = ("%.0f %%"):format(100 * part), ("%.1f"):format((mean_and_least(results, "dials")))
  local before, after, heard = shown(results, "before"), shown(results, "after"), shown(results, "heard")
  local seconds = ("%.1f s"):format(took)
  print(columns:format(killed, heal and "yes" or "no", before, after, heard, edges, dials, seconds))
  return mean_and_least(results, "after")
end

local failed = false
for _, part in ipairs { 0.5, 0.8, 0.9 } do
  measure(part, false)
  local mean, least = measure(part, true)
  failed = failed or (part == 0.8 and least < 0.99) or (part == 0.9 and mean < 0.98)
end
os.exit(failed and 1 or 0, true)
