-- consumer.lua ROOT SECONDS: shows the readings of all producers, live. It hears of a producer through the root, then
-- dials it: from then on each reading comes by two ways and is handled once.
local chaski = require "chaski"

local node = assert(chaski.node { name = "consumer", message_propagation = true })
local readings, order, terminal = {}, {}, os.getenv "TERM" and not os.getenv "NO_COLOR" and true or false

local function show()
  if terminal and #order > 0 then io.write(("\27[%dA\27[J"):format(#order + 1)) end
end

local function draw()
  io.write(("%-10s %6s %8s %6s %12s %9s\n"):format("node", "cpu %", "memory %", "load", "latency ms", "readings"))
  for _, from in ipairs(order) do
    local r = readings[from]
    local edge = node:get_edge_by_name(from)
    local latency = edge and ("%.3f"):format(edge.latency) or "-"
    io.write(("%-10s %6.1f %8.1f %6.2f %12s %9d\n"):format(from, r.cpu, r.memory, r.load, latency, r.count))
  end
  io.flush()
end

node:subscribe("readings", function(message)
  local data = message.data
  local seen = readings[data.from]
  if terminal and #order > 0 then show() end
  if not seen then order[#order + 1] = data.from end
  data.count = seen and seen.count + 1 or 1
  readings[data.from] = data
  draw()
  if not seen then node:connect(data.address) end
end)

node:on("stopped", function()
  local status = node.ledger
  print(("summary: %d readings from %d nodes, %d copies that came by a second way were dropped"):format(
    status.delivered, #order, status.duplicates))
  os.exit(#order == 2 and 0 or 1, true)
end)

assert(node:connect(arg[1]))
chaski.sleep(tonumber(arg[2]))
node:stop()
