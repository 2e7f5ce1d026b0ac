-- throughput.lua [--seconds S] [--runs N]: one process publishes { n = i, v = "…" } (64 B of payload) as fast as
-- publish lets it, another reads message.data.n in a Lua handler; then the same through a relay that does not
-- subscribe. Prints messages per second at the handler and the CPU of each process. Every message is counted. A
-- publisher waits for its own edges only; a relay never waits: what it gets faster than the next node takes is dropped,
-- counted and shown as lost.
local chaski = require "chaski"
local uv = require "luv"

local PAYLOAD = 64
local function now()
  return uv.hrtime() / 1e9
end
local function payload(n)
  return { n = n, v = ("x"):rep(PAYLOAD - 12) } -- with an n of five bytes, 64 in all
end

local function cpu_seconds()
  local usage = uv.getrusage()
  return usage.utime.sec + usage.stime.sec + (usage.utime.usec + usage.stime.usec) / 1e6
end

local function tell(...)
  print(...)
  io.flush()
end

local roles = {}

function roles.subscriber()
  local node = assert(chaski.node { name = "subscriber" })
  local count, sum, started, cpu = 0, 0, nil, nil
  local finished, cpu_finished = nil, nil
  node:subscribe("bench", function(message)
    local n = message.data.n
    if count == 0 then
      started, cpu = now(), cpu_seconds()
    end
    count = count + 1
    sum = sum + n
    if count % 1000 == 0 then
      finished, cpu_finished = now(), cpu_seconds()
    end
  end)
  node:subscribe("end", function()
    local elapsed = finished - started
    tell("result", count, sum, elapsed, (cpu_finished - cpu) / elapsed)
    node:stop()
  end)
  tell("address", node.address)
end

function roles.relay(to)
  local node = assert(chaski.node { name = "relay", message_propagation = true })
  assert(node:connect(to))
  tell("address", node.address)
  local cpu, started
  node:on("edge_open", function(edge)
    if edge.name == "publisher" then
      cpu, started = cpu_seconds(), now()
    end
  end)
  node:on("edge_closed", function()
    if not cpu then return end
    tell("cpu", (cpu_seconds() - cpu) / (now() - started))
    cpu = nil
    node:stop()
  end)
end

function roles.publisher(to, seconds)
  local node = assert(chaski.node { name = "publisher" })
  assert(node:connect(to))
  local message, i = payload(0), 0
  local cpu, started = cpu_seconds(), now()
  local deadline = started + tonumber(seconds)
  repeat
    for _ = 1, 1000 do
      i = i + 1
      message.n = i
      assert(node:publish("bench", message))
    end
  until now() >= deadline
  tell("result", i, i * (i + 1) // 2, (cpu_seconds() - cpu) / (now() - started))
  repeat
    chaski.sleep(0.2)
  until node.edges[1].queued == 0
  chaski.sleep(0.5) -- for a relay's queue: at most queue_hard, 16 MiB
  assert(node:publish("end", true))
  node:stop()
end

--- A process in a role. Its lines come back as lists of words, by process:line().
local function start(...)
  local out = uv.new_pipe()
  local handle = assert(uv.spawn(uv.exepath(), {
    args = { arg[0], "--role", ... },
    stdio = { nil, out, 2 },
  }, function() end))
  local process, buffered, waiting = { handle = handle }, "", nil
  local lines = {}
  out:read_start(function(_, bytes)
    buffered = buffered .. (bytes or "")
    for line in buffered:gmatch "(.-)\n" do
      local words = {}
      for word in line:gmatch "%S+" do
        words[#words + 1] = word
      end
      lines[#lines + 1] = words
    end
    buffered = buffered:match "[^\n]*$"
    if not bytes then
      lines[#lines + 1] = {}
      out:close()
    end
  end)
  function process.line(_, what)
    for _ = 1, 6000 do
      local words = table.remove(lines, 1)
      if words then
        assert(words[1] == what, "bench: a process ended early")
        return table.unpack(words, 2)
      end
      chaski.sleep(0.01)
    end
    error "bench: no answer within 60 s"
  end
  return process, waiting
end

local function run(seconds, relayed)
  local subscriber = start "subscriber"
  local to = subscriber:line "address"
  local relay = relayed and start("relay", to)
  local publisher = start("publisher", relay and relay:line "address" or to, tostring(seconds))
  local sent, sent_sum, pub_cpu = publisher:line "result"
  local count, sum, elapsed, sub_cpu = subscriber:line "result"
  assert(relayed or (count == sent and sum == sent_sum), ("bench: %s sent, %s received"):format(sent, count))
  local relay_cpu = relay and relay:line "cpu"
  return {
    rate = count / elapsed,
    lost = 100 * (1 - count / sent),
    publisher = 100 * pub_cpu,
    subscriber = 100 * sub_cpu,
    relay = 100 * (relay_cpu or 0),
  }
end

local function median(runs, field)
  local values = {}
  for i, each in ipairs(runs) do
    values[i] = each[field]
  end
  table.sort(values)
  return values[(#values + 1) // 2], values[1], values[#values]
end

local function measure(name, seconds, runs, relayed)
  local all = {}
  for i = 1, runs do
    all[i] = run(seconds, relayed)
  end
  local rate, least, most = median(all, "rate")
  local cpu = ("publisher %.0f %%, subscriber %.0f %%"):format(median(all, "publisher"), (median(all, "subscriber")))
  if relayed then
    cpu = ("%s, relay %.0f %%; lost %.1f %%"):format(cpu, (median(all, "relay")), (median(all, "lost")))
  end
  print(("%-8s %10.0f messages/s at the handler (%.0f to %.0f)   CPU: %s"):format(name, rate, least, most, cpu))
end

local usage = "usage: scripts/bench/throughput [--seconds S] [--runs N] [--help]\n"

local function main(...)
  local options, i = { seconds = 3, runs = 3 }, 1
  local words = { ... }
  while words[i] do
    local key, value = words[i]:match "^%-%-(%a+)$", tonumber(words[i + 1])
    if key == "help" then
      io.write(usage)
      os.exit(0, true)
    elseif not options[key] or not value or value <= 0 or (key == "runs" and not math.tointeger(value)) then
      io.stderr:write(usage)
      os.exit(2, true)
    end
    options[key] = value
    i = i + 2
  end
  print(
    ("%d B of payload, %g s a run, median of %d runs (least to most)"):format(PAYLOAD, options.seconds, options.runs)
  )
  measure("direct", options.seconds, options.runs, false)
  measure("relayed", options.seconds, options.runs, true)
end

if arg[1] == "--role" then
  roles[arg[2]](table.unpack(arg, 3))
else
  main(...)
end
