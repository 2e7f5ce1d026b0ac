-- bench.lua: chaski bench: round trips and throughput, between two nodes of this process or to a `chaski bench --serve`
-- elsewhere. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local convert = require "chaski.cli.convert"
local core = require "chaski.core"
local data = require "chaski.cli.data"
local figures = require "chaski.cli.figures"
local session = require "chaski.cli.session"

local TOPIC = "chaski.bench"

local M = { summary = "Measure round trips and throughput." }

M.epilog = [[
Without -h between two nodes of this process, over loopback. Between two machines:
  chaski bench --serve --ip 192.0.2.7 -p 8520        on the one
  chaski bench -h 192.0.2.7:8520                     on the other
With any other node at the far end only round trips are measured.]]

function M.define(command)
  command:option("-c --count", "Round trips."):argname("COUNT"):convert(convert.count("-c", 1)):default "1000"
  command
    :option("-s --size", "Bytes of a message.")
    :argname("BYTES")
    :convert(convert.count("-s", 0, 65536))
    :default "100"
  command:option("--seconds", "How long to publish."):argname("TIME"):convert(convert.seconds "--seconds"):default "2s"
  command:flag("--serve", "Be the far end, until Ctrl-C; -p is the port to listen at.")
  command
    :option("--ip", "Address to listen at with --serve; default 127.0.0.1.")
    :argname("IP")
    :convert(convert.ip "--ip")
  session.add_timeout(command, "How long to wait for an answer.", "10s")
  session.add_json(command)
  session.add_connection(command)
end

-- --- the far end -----------------------------------------------------------------------------------------------------

local function serve(args, port)
  local node = session.node(args, { ip = args.ip, port = port, name = args.id or "bench" })
  local messages = 0
  node:subscribe(TOPIC, function()
    messages = messages + 1
  end, { overflow = "block" })
  node:serve(TOPIC, function()
    return { messages = messages }
  end)
  return node
end

-- --- measuring -------------------------------------------------------------------------------------------------------

local function round_trips(node, edge, args)
  local list = {}
  for i = 1, args.count do
    local ms, err = node:ping(edge, { size = args.size, timeout = args.timeout, latency_update = false })
    if not ms then session.fail(err) end
    list[i] = ms
  end
  return figures.of(list)
end

local function received(node, edge, args)
  local answer, err = node:request(TOPIC, nil, { edge = edge, timeout = args.timeout })
  if answer == nil then return nil, err end
  return math.tointeger(answer.messages) or 0
end

--- Publish for so many seconds, and wait until all has been handled there.
local function throughput(node, edge, args)
  local before = received(node, edge, args)
  if not before then return nil end
  local payload, sent, started = ("x"):rep(args.size), 0, chaski.now()
  while chaski.now() - started < args.seconds do
    local ok, err = node:publish(TOPIC, payload, { edge = edge })
    if not ok then session.fail(err) end
    sent = sent + 1
  end
  local deadline = chaski.now() + args.timeout
  while session.try(received(node, edge, args)) - before < sent do
    if chaski.now() > deadline then session.fail("the far end has not handled all messages", "timeout") end
    chaski.sleep(0.01)
  end
  local seconds = chaski.now() - started
  return { messages = sent, seconds = seconds, rate = sent / seconds, bytes_per_second = sent * args.size / seconds }
end

local function tell(args, trips, flow)
  if args.json then
    return session.print(data.json { size = args.size, round_trip_ms = trips, throughput = flow or core.null })
  end
  session.print(("%d round trips of %d bytes, ms: %s"):format(trips.count, args.size, figures.text(trips)))
  if not flow then return session.print "throughput: the far end is no `chaski bench --serve`" end
  local text = "%d messages of %d bytes in %.2f s: %.0f messages/s, %.1f MB/s"
  session.print(text:format(flow.messages, args.size, flow.seconds, flow.rate, flow.bytes_per_second / 1e6))
end

function M.run(args)
  if args.serve then
    local node = serve(args, args.port or 0)
    session.print("bench listens at " .. node.address)
    return -- goes on until a signal comes
  end
  local here
  if not args.host and not os.getenv "CHASKI_HOST" then here = serve(args, 0) end
  if here then
    args.host, args.port = here.address, nil
  end
  local node, edge = session.open(args)
  local trips = round_trips(node, edge, args)
  tell(args, trips, throughput(node, edge, args))
  session.exit(0)
end

return M
