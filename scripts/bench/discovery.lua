-- discovery.lua [SEEDS [NODES]]: one node of a random connected graph of NODES (200), mean degree 4, searches a topic
-- that 1, or 10, others have, by each policy that ships, in SEEDS (50) simulations whose paths take 5 to 10 ms one way.
-- Prints how many found a peer, the frames of a search and of its dearest request beside the bound of two an edge, and
-- the virtual time it took. A neighbour that shares the topic is found without a request. Exit 1 if a request went
-- beyond the bound.
--
-- Frames are counted, twice: an edge that a policy says is a frame; and those who do not share the topic send nothing
-- else meanwhile, so that their ledgers must have grown by as many.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local chaski = require "chaski"

local usage = "scripts/bench/discovery.lua [SEEDS [NODES]], at least 20 nodes"
local seeds, count = require("usage").integers(usage, { { 50, 1 }, { 200, 20 } })

local DEGREE, TIMEOUT = 4, 20

--- The policy, and what it did: requests, frames in all, frames by relays, frames of the dearest request.
local function counting(name)
  local policy, did = require("chaski.discovery." .. name), { requests = 0, frames = 0, relayed = 0, dearest = 0 }
  local counted, of, first = setmetatable({}, { __index = policy }), {}, 0
  local function count_frames(frames, total)
    did.frames, did.dearest = did.frames + frames, math.max(did.dearest, total)
  end
  function counted.choose(node, topic, edges)
    local chosen = policy.choose(node, topic, edges)
    did.requests, first = did.requests + 1, #chosen
    count_frames(first, first)
    return chosen
  end
  function counted.forward(node, request, edges)
    local chosen = policy.forward(node, request, edges)
    of[request.id] = (of[request.id] or first) + #chosen
    count_frames(#chosen, of[request.id])
    if #node.subscriptions == 0 then did.relayed = did.relayed + #chosen end
    return chosen
  end
  return counted, did
end

local function frames_of_relays(nodes)
  local frames = 0
  for _, node in ipairs(nodes) do
    if #node.subscriptions == 0 then frames = frames + node.ledger.frames_out end
  end
  return frames
end

--- One search in one graph: seconds or nil, what it did, the bound.
local function search(name, sharing, seed)
  local policy, did = counting(name)
  local function options(i)
    local shares = i == 1 or i > count - sharing
    return {
      discovery = policy,
      subscriptions = shares and "s" or nil,
      paired = i > 1 and shares,
      keep_alive = false,
      limits = { resume_timeout = 0 }, -- nor are there acknowledgements
    }
  end
  local graph = assert(chaski.topology.random(count, { seed = seed, degree = DEGREE, node = options }))
  assert(graph:connect())
  chaski.sleep(1) -- the other ends of the edges
  local before, started = frames_of_relays(graph.nodes), chaski.now()
  local found = assert(graph.nodes[1]:discovery { timeout = TIMEOUT })
  local took = chaski.now() - started
  chaski.sleep(0.5) -- what is still under way
  assert(frames_of_relays(graph.nodes) - before == did.relayed, "the ledgers say something else")
  return found.s and took, did, 2 * #graph.links
end

local function sum(list)
  local total = 0
  for _, each in ipairs(list) do
    total = total + each
  end
  return total
end

--- The value below which a part of the sorted list lies.
local function quantile(list, part)
  return list[math.max(1, math.ceil(#list * part))] or 0 / 0
end

local columns = "%-12s %7s %9s  %-18s %8s %8s %6s  %s"
print(("%d nodes, mean degree %d, %d seeds, timeout %d s"):format(count, DEGREE, seeds, TIMEOUT))
local heads = { "policy", "sharing", "found", "frames of a search", "requests", "dearest", "bound", "time to find" }
print(columns:format(table.unpack(heads)))

local exceeded = false

local function measure(name, sharing)
  local times, frames, requests, most, limit = {}, {}, {}, 0, 0
  for seed = 1, seeds do
    local sim <close> = chaski.sim { seed = seed, delay = 0.005, jitter = 0.005 }
    assert(sim:run(function()
      local took, did, bound = search(name, sharing, seed)
      if took then times[#times + 1] = took end
      frames[seed], requests[seed], most, limit = did.frames, did.requests, math.max(most, did.dearest), bound
      exceeded = exceeded or did.dearest > bound
      return true
    end))
  end
  table.sort(times)
  table.sort(frames)
  local shown = ("%.0f mean, %d max"):format(sum(frames) / seeds, frames[seeds])
  local time = ("%.3f s median, %.3f s max"):format(quantile(times, 0.5), quantile(times, 1))
  local part = ("%d of %d"):format(#times, seeds)
  print(columns:format(name, sharing, part, shown, ("%.1f"):format(sum(requests) / seeds), most, limit, time))
end

for _, sharing in ipairs { 1, 10 } do
  for _, name in ipairs { "walk", "random_walk", "nearest" } do
    measure(name, sharing)
  end
end
os.exit(exceeded and 1 or 0, true)
