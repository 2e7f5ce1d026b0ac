-- consumer.lua ROOT SECONDS [live]: shows the readings of all producers; with "live" as a table that is redrawn. It
-- hears of a producer through the root, then dials it: from then on each reading comes by two ways and is handled once.
local chaski = require "chaski"

local node = assert(chaski.node { name = "consumer", message_propagation = true })
local readings, order, live, over = {}, {}, arg[3] == "live", false
local heading = ("%-10s %6s %8s %6s %12s %9s"):format("node", "cpu %", "memory %", "load", "latency ms", "readings")

local function row(from)
  local r = readings[from]
  local edge = node:get_edge_by_name(from)
  local latency = edge and ("%.3f"):format(edge.latency) or "-"
  return ("%-10s %6.1f %8.1f %6.2f %12s %9d"):format(from, r.cpu, r.memory, r.load, latency, r.count)
end

local function show(from, first)
  if not live then return print(row(from)) end
  local lines = #order + (first and 0 or 1)
  if lines > 1 then io.write(("\27[%dA\27[J"):format(lines)) end -- up, and clear to the end
  print(heading)
  for _, each in ipairs(order) do
    print(row(each))
  end
end

node:subscribe("readings", function(message)
  local data = message.data
  local seen = readings[data.from]
  if not seen then order[#order + 1] = data.from end
  data.count = seen and seen.count + 1 or 1
  readings[data.from] = data
  show(data.from, not seen)
  if not seen then node:connect(data.address) end
end)

node:on("stopped", function()
  local ledger = node.ledger
  print(
    ("summary: %d readings from %d nodes; %d copies that came by a second way were dropped"):format(
      ledger.delivered,
      #order,
      ledger.duplicates
    )
  )
  os.exit((#order == 2 or not over) and 0 or 1, true) -- a signal may have come early
end)

if not live then print(heading) end
assert(node:connect(arg[1]))
chaski.sleep(tonumber(arg[2]))
over = true
node:stop()
