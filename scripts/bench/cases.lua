-- cases.lua: what scripts/bench/run measures: cases of contenders, which measure once each time they are called, and
-- the ratios that are aimed at. SPDX-License-Identifier: MIT
local certificates = require "certificates"
local chaski = require "chaski"
local processes = require "processes"
local uv = require "luv"

local M = {}

local here = arg[0]:match "^.*/"
local program = uv.exepath()

--- Set by run.lua: where the peers' programs are, what is installed, seconds a run, a folder for what lasts a run.
M.settings = { peers = "", installed = {}, seconds = 1, folder = "" }
local settings = M.settings

-- --- commands --------------------------------------------------------------------------------------------------------

local function with_options(command, options)
  local names = {}
  for name in pairs(options) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    command[#command + 1] = ("%s=%s"):format(name, options[name])
  end
  return command
end

local function ours(role, options)
  return with_options({ program, here .. "roles.lua", role }, options)
end

local function peer(name, role, options)
  local all = { role = role }
  for key, value in pairs(options) do
    all[key] = value
  end
  return with_options({ settings.peers .. "/" .. name }, all)
end

local function merged(...)
  local all = {}
  for _, each in ipairs { ... } do
    for name, value in pairs(each) do
      all[name] = value
    end
  end
  return all
end

local function write_file(name, text)
  local path = settings.folder .. "/" .. name
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
  return path
end

-- --- brokers ---------------------------------------------------------------------------------------------------------

--- How each is started: with limits that do not get into the way, nothing written to disk, its defaults otherwise.
local brokers = {}

function brokers.nats(port)
  local path = write_file("nats.conf", "max_payload: 8MB\nmax_pending: 256MB\n")
  return { "nats-server", "-a", "127.0.0.1", "-p", port, "-c", path, "-l", settings.folder .. "/nats.log" }
end

function brokers.redis(port)
  local command = { "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no" }
  local more = { "--client-output-buffer-limit", "pubsub 0 0 0", "--logfile", settings.folder .. "/redis.log" }
  table.move(more, 1, #more, #command + 1, command)
  return command
end

function brokers.mqtt(port)
  local lines = { "listener %d 127.0.0.1", "allow_anonymous true", "max_queued_messages 0", "set_tcp_nodelay true" }
  local text = table.concat(lines, "\n"):format(port) .. "\nlog_dest none\n"
  return { "mosquitto", "-c", write_file("mosquitto.conf", text) }
end

local function start_broker(kind, core)
  local port = processes.free_port()
  local broker = processes.start(brokers[kind](port), core)
  processes.wait_for_port(port)
  return broker, port
end

-- --- measuring -------------------------------------------------------------------------------------------------------

--- Run body(started), then end what was started by started(process), whatever happens.
local function with_processes(body)
  local list = {}
  local function started(process)
    list[#list + 1] = process
    return process
  end
  local result = table.pack(pcall(body, started))
  for i = #list, 1, -1 do
    list[i]:stop()
  end
  if not result[1] then error(result[2], 0) end
  return table.unpack(result, 2, result.n)
end

local function cpu_of(members)
  local seconds = {}
  for name, process in pairs(members) do
    seconds[name] = process:cpu()
  end
  return seconds, chaski.now()
end

--- Per cent of a core of each, since `before`.
local function cpu_since(before, at, members)
  local cpu, seconds = {}, {}
  local elapsed = chaski.now() - at
  for name, process in pairs(members) do
    seconds[name] = process:cpu() - before[name]
    cpu[name] = 100 * seconds[name] / elapsed
  end
  return cpu, seconds
end

--- The publisher publishes, the subscriber tells how many came how fast. `deliveries`: of one message.
local function measure_stream(members, deliveries)
  local before, at = cpu_of(members)
  members.pub:go()
  local sent = members.pub:line "sent"
  local cpu = cpu_since(before, at, members)
  local got = members.sub:line "result"
  local _, seconds = cpu_since(before, at, members)
  local all = 0
  for _, each in pairs(seconds) do
    all = all + each
  end
  local expected = sent.count * deliveries
  if got.sum and got.count == expected and got.sum ~= sent.sum * deliveries then
    error(("bench: the numbers of %s do not add up"):format(members.sub.name), 0)
  end
  return {
    value = got.count / got.seconds,
    more = { { "a CPU second", got.count / all } },
    cpu = cpu,
    lost = 100 * (1 - got.count / expected),
    count = got.count,
    cpu_seconds = seconds,
  }
end

--- pub and sub of commands; `between(started, address)`: what stands between, with its own address.
local function stream(pub, sub, deliveries, between)
  return with_processes(function(started)
    local members = {}
    if between and between.broker then
      local address
      members.broker, address = start_broker(between.broker)
      started(members.broker)
      members.pub = started(processes.start(pub(address)))
      members.pub:line "ready"
      members.sub = started(processes.start(sub(address)))
    else
      members.pub = started(processes.start(pub()))
      local address = members.pub:line("ready").first
      if between then
        members.relay = started(processes.start(between.relay(address)))
        address = members.relay:line("ready").first
      end
      members.sub = started(processes.start(sub(address)))
    end
    members.sub:line "ready"
    return measure_stream(members, deliveries)
  end)
end

--- Of our own: o.payload, o.size, o.nodes, o.topics, o.tls, o.relay, o.unread.
local function our_stream(o)
  local common = { payload = o.payload, tls = o.tls, unread = o.unread and "yes" }
  local nodes = o.nodes or 1
  local function pub()
    return ours("pub", merged(common, { size = o.size, seconds = settings.seconds, edges = o.relay and 1 or nodes }))
  end
  local function sub(to)
    return ours(o.unread and "sink" or "sub", merged(common, { to = to, nodes = nodes, topics = o.topics }))
  end
  local between = o.relay
    and {
      relay = function(to)
        return ours("relay", { to = to, tls = o.tls })
      end,
    }
  local result = stream(pub, sub, nodes, between)
  return result
end

local function peer_stream(name, o)
  local given = { size = o.size, seconds = settings.seconds, tls = o.tls }
  local function pub()
    return peer(name, "pub", merged(given, { edges = o.nodes }))
  end
  local function sub(to)
    return peer(name, "sub", merged(given, { to = to, nodes = o.nodes }))
  end
  return stream(pub, sub, o.nodes or 1)
end

local function broker_stream(kind, o)
  local given = { size = o.size, seconds = settings.seconds, protocol = kind, nodes = o.nodes }
  local function command(role)
    return function(to)
      return peer("broker", role, merged(given, { to = to }))
    end
  end
  return stream(command "pub", command "sub", o.nodes or 1, { broker = kind })
end

--- One asks, another answers: `cores` of both.
local function trips(answering, asking, cores, broker_kind)
  return with_processes(function(started)
    local members, address = {}, nil
    if broker_kind then
      members.broker, address = start_broker(broker_kind)
      started(members.broker)
    end
    members.answering = started(processes.start(answering(address), cores[1]))
    local line = members.answering:line "ready"
    members.asking = started(processes.start(asking(address or line.first), cores[2]))
    members.asking:line "ready"
    local before, at = cpu_of(members)
    members.asking:go()
    local got = members.asking:line "result"
    local cpu = cpu_since(before, at, members)
    local more = { { "p99", got.p99 }, { "p99.9", got.p999 }, { "/s", got.count / settings.seconds } }
    return { value = got.p50, more = more, cpu = cpu }
  end)
end

local function our_trips(answering, asking, o)
  local given = { size = 64, payload = o.payload, tls = o.tls, seconds = settings.seconds, tasks = o.tasks }
  return trips(function()
    return ours(answering, given)
  end, function(to)
    return ours(asking, merged(given, { to = to }))
  end, o.cores or {})
end

--- Calls of tarantool's net.box; it chooses no port itself.
local function tarantool_trips(o)
  local given = { size = 64, seconds = settings.seconds, tasks = o.tasks, folder = settings.folder }
  local function command(role, to)
    return with_options({ "tarantool", here .. "peers/tarantool.lua" }, merged(given, { role = role, to = to }))
  end
  return trips(function()
    return command("echo", processes.free_port())
  end, function(to)
    return command("ping", to)
  end, {})
end

local function peer_trips(name, o)
  local given = { size = 64, tls = o.tls, seconds = settings.seconds, protocol = o.broker }
  return trips(function(to)
    return peer(name, "echo", merged(given, { to = to }))
  end, function(to)
    return peer(name, "ping", merged(given, { to = to }))
  end, o.cores or {}, o.broker)
end

-- --- contenders ------------------------------------------------------------------------------------------------------

local function contender(name, measure, needs)
  return { name = name, measure = measure, needs = needs }
end

local cases = {}
M.cases = cases

--- case: name, what stands in the heading, unit, contenders, targets; `lower`: less is better.
local function case(name, title, unit, contenders, more)
  cases[#cases + 1] = merged({ name = name, title = title, unit = unit, contenders = contenders }, more or {})
end

local function target(mine, theirs, ratio, metric)
  return { mine, theirs, ratio, metric or "value" }
end

local function our_streams(o)
  return contender("chaski table", function()
    return our_stream(merged(o, { payload = "table" }))
  end),
    contender("chaski string", function()
      return our_stream(merged(o, { payload = "string" }))
    end)
end

--- To subscribers whose messages no handler gets.
local function our_unread(o)
  return contender("chaski unread", function()
    return our_stream(merged(o, { payload = "string", unread = true }))
  end)
end

local function via_broker(kind, name, o)
  return contender(name, function()
    return broker_stream(kind, o)
  end, kind)
end

local function direct(name, label, o)
  return contender(label, function()
    return peer_stream(name, o)
  end, name)
end

local function throughput(name, size, targets)
  local o = { size = size }
  local table_payload, string_payload = our_streams(o)
  case("throughput/" .. name, ("messages a second at the receiver, %s of payload"):format(name), "/s", {
    table_payload,
    string_payload,
    direct("zmq", "libzmq", o),
    via_broker("nats", "NATS", o),
    direct("nng", "nng", o),
    via_broker("redis", "Redis", o),
    via_broker("mqtt", "Mosquitto", o),
    size == 64 and direct("zmq_lua", "libzmq and Lua", o) or nil,
  }, { targets = targets })
end

throughput("64B", 64, {
  target("chaski table", "libzmq and Lua", 2),
  target("chaski table", "libzmq", 0.75),
  target("chaski table", "NATS", 1.5),
  target("chaski string", "libzmq", 1.0),
})
throughput("1KiB", 1024, { target("chaski string", "libzmq", 4), target("chaski string", "NATS", 3) })
throughput("64KiB", 65536, { target("chaski string", "libzmq", 2) })
throughput("1MiB", 1024 * 1024, {})

--- Messages a second that publish takes while the peer throws them away.
local function publish_only(payload)
  return with_processes(function(started)
    local members = {}
    members.pub = started(processes.start(ours("pub", { payload = payload, size = 64, seconds = settings.seconds })))
    members.sub = started(processes.start(ours("sink", { to = members.pub:line("ready").first })))
    members.sub:line "ready"
    local before, at = cpu_of(members)
    members.pub:go()
    local sent = members.pub:line "sent"
    local cpu, seconds = cpu_since(before, at, members)
    return { value = sent.count / sent.seconds, more = { { "ns CPU", seconds.pub / sent.count * 1e9 } }, cpu = cpu }
  end)
end

case("publish", "messages a second published on one edge, 64 B, which no handler gets", "/s", {
  contender("chaski table", function()
    return publish_only "table"
  end),
  contender("chaski string", function()
    return publish_only "string"
  end),
})

local relayed, relayed_string = our_streams { size = 64, relay = true }
--- Measures also what a second of CPU of who sends to the receivers (the relay, the broker, else the publisher) is
--- worth: the receivers' own does not count.
local function with_sender(contenders)
  for _, each in ipairs(contenders) do
    local measure = each.measure
    function each.measure()
      local got = measure()
      local seconds = got.cpu_seconds.relay or got.cpu_seconds.broker or got.cpu_seconds.pub
      got.more[2] = { "sender's", got.count / seconds }
      return got
    end
  end
  return contenders
end

local on_the_way = {
  target("chaski table", "NATS", 1.5),
  target("chaski string", "NATS", 1.5),
  target("chaski unread", "NATS", 1.5),
  target("chaski table", "NATS", 1.5, "sender's"),
  target("chaski string", "NATS", 1.5, "sender's"),
}

case(
  "relay",
  "messages a second at the receiver, 64 B, three processes on two cores",
  "/s",
  with_sender {
    relayed,
    relayed_string,
    our_unread { size = 64, relay = true },
    via_broker("nats", "NATS", { size = 64 }),
    via_broker("redis", "Redis", { size = 64 }),
    via_broker("mqtt", "Mosquitto", { size = 64 }),
  },
  { targets = on_the_way }
)

for _, nodes in ipairs { 10, 100 } do
  local o = { size = 64, nodes = nodes }
  local table_payload, string_payload = our_streams(o)
  local title = ("deliveries a second, each message to %d receivers in one process, 64 B"):format(nodes)
  case(
    "fanout/" .. nodes,
    title,
    "/s",
    with_sender {
      table_payload,
      string_payload,
      our_unread(o),
      direct("zmq", "libzmq", o),
      via_broker("nats", "NATS", o),
      via_broker("redis", "Redis", o),
      via_broker("mqtt", "Mosquitto", o),
    },
    { targets = nodes == 100 and on_the_way or {} }
  )
end

local function round_trip(name, title, cores, targets)
  local o = { cores = cores }
  case("roundtrip/" .. name, title, "us", {
    contender("chaski table", function()
      return our_trips("echo", "ping", merged(o, { payload = "table" }))
    end),
    contender("chaski string", function()
      return our_trips("echo", "ping", merged(o, { payload = "string" }))
    end),
    contender("libuv", function()
      return peer_trips("uv", o)
    end, "uv"),
    contender("libzmq", function()
      return peer_trips("zmq", o)
    end, "zmq"),
    contender("nng", function()
      return peer_trips("nng", o)
    end, "nng"),
  }, { lower = true, targets = targets })
end

round_trip("one-core", "round trip of 64 B, p50, both processes on one core", { "0", "0" }, {
  target("chaski string", "libuv", 1.25),
  target("chaski string", "libuv", 1.5, "p99"),
  target("chaski table", "libuv", 1.25),
  target("chaski table", "libuv", 1.5, "p99"),
})
if processes.cores ~= "0" then round_trip("two-cores", "round trip of 64 B, p50, a core each", { "0", "1" }, {}) end

case("request", "request and answer, 64 B, p50, on two cores", "us", {
  contender("chaski", function()
    return our_trips("serve", "request", {})
  end),
  contender("NATS", function()
    return peer_trips("broker", { broker = "nats" })
  end, "nats"),
  contender("Tarantool", function()
    return tarantool_trips { tasks = 1 }
  end, "tarantool"),
}, { lower = true, targets = { target("chaski", "NATS", 0.5) } })

--- Calls a second instead of the time of one.
local function by_rate(trips_of)
  local got = trips_of()
  local rate = got.more[3][2]
  return { value = rate, more = { { "p50", got.value }, got.more[1] }, cpu = got.cpu }
end

case("request/64", "requests answered a second, 64 under way at once, 64 B", "/s", {
  contender("chaski", function()
    return by_rate(function()
      return our_trips("serve", "request", { tasks = 64 })
    end)
  end),
  contender("Tarantool", function()
    return by_rate(function()
      return tarantool_trips { tasks = 64 }
    end)
  end, "tarantool"),
}, { targets = { target("chaski", "Tarantool", 3) } })

-- --- edges -----------------------------------------------------------------------------------------------------------

local function our_dials(tls)
  return our_trips("listen", "dial", { tls = tls })
end

local function nats_dials()
  return with_processes(function(started)
    local broker, port = start_broker "nats"
    started(broker)
    local options = { protocol = "nats", to = port, seconds = settings.seconds }
    local dialling = started(processes.start(peer("broker", "dial", options)))
    dialling:line "ready"
    local before, at = cpu_of { broker = broker, dialling = dialling }
    dialling:go()
    local got = dialling:line "result"
    local cpu = cpu_since(before, at, { broker = broker, dialling = dialling })
    local more = { { "p99", got.p99 }, { "p99.9", got.p999 }, { "/s", got.count / got.seconds } }
    return { value = got.p50, more = more, cpu = cpu }
  end)
end

case("connect", "connect until the handshake is complete, one after the other, p50", "us", {
  contender("chaski", function()
    return our_dials()
  end),
  contender("chaski TLS", function()
    return our_dials(settings.tls)
  end),
  contender("NATS", nats_dials, "nats"),
}, { lower = true })

local function alone(role, options)
  return with_processes(function(started)
    local process = started(processes.start(ours(role, options)))
    process:line "ready"
    local before, at = cpu_of { all = process }
    process:go()
    local got = process:line "result"
    return { value = got.p50, more = { { "p99", got.p99 } }, cpu = cpu_since(before, at, { all = process }) }
  end)
end

local function discover(nodes)
  return contender(("chaski, %d nodes"):format(nodes), function()
    return alone("discover", { nodes = nodes })
  end)
end
case("discovery", "a peer found through a root and connected, all in one process, p50", "us", {
  discover(10),
  discover(100),
}, { lower = true })

-- --- memory ----------------------------------------------------------------------------------------------------------

local IDLE = 1000

local function node_memory()
  return with_processes(function(started)
    return { value = started(processes.start(ours("nodes", { count = IDLE }))):line("result").kib }
  end)
end

local function edge_memory(tls)
  return with_processes(function(started)
    local hub = started(processes.start(ours("hub", { count = IDLE, tls = tls })))
    local spokes = started(processes.start(ours("spokes", { count = IDLE, tls = tls, to = hub:line("ready").first })))
    spokes:line "connected"
    spokes:line "ready"
    hub:line "counted"
    spokes:go()
    return { value = hub:line("result").kib }
  end)
end

local function broker_memory(kind, name)
  return contender(name, function()
    return with_processes(function(started)
      local broker, port = start_broker(kind)
      started(broker)
      local options = { protocol = kind, to = port, count = IDLE }
      local clients = started(processes.start(peer("broker", "idle", options)))
      clients:line "ready"
      chaski.sleep(0.3)
      local before = broker:resident_kib()
      clients:go()
      clients:line "result"
      chaski.sleep(0.5)
      return { value = (broker:resident_kib() - before) / (IDLE - 10) }
    end)
  end, kind)
end

case("memory", "resident memory per idle connection, or node, of a thousand", "KiB", {
  contender("chaski node", node_memory),
  contender("chaski edge", function()
    return edge_memory()
  end),
  contender("chaski TLS edge", function()
    return edge_memory(settings.tls)
  end),
  broker_memory("nats", "NATS"),
  broker_memory("redis", "Redis"),
  broker_memory("mqtt", "Mosquitto"),
}, {
  lower = true,
  limits = { { "chaski node", 6 }, { "chaski edge", 1.5 }, { "chaski TLS edge", 26 } },
})

-- --- TLS -------------------------------------------------------------------------------------------------------------

for _, each in ipairs { { "64B", 64 }, { "64KiB", 65536 } } do
  local name, size = each[1], each[2]
  local function secure(payload)
    return contender("chaski " .. payload, function()
      return our_stream { size = size, payload = payload, tls = settings.tls }
    end)
  end
  case("tls/" .. name, ("messages a second at the receiver over TLS 1.3, %s"):format(name), "/s", {
    secure "table",
    secure "string",
    contender("OpenSSL", function()
      return peer_stream("openssl", { size = size, tls = settings.tls })
    end, "openssl"),
  }, { targets = size > 64 and { target("chaski string", "OpenSSL", 0.9) } or {} })
end

local one_core = { "0", "0" }
case("tls/roundtrip", "round trip of 64 B over TLS 1.3, p50, both processes on one core", "us", {
  contender("chaski string", function()
    return our_trips("echo", "ping", { payload = "string", tls = settings.tls, cores = one_core })
  end),
  contender("OpenSSL", function()
    return peer_trips("openssl", { tls = settings.tls, cores = one_core })
  end, "openssl"),
}, { lower = true })

-- --- start-up --------------------------------------------------------------------------------------------------------

local STARTS = 20

local function start_up(name, ...)
  local command = { ... }
  return contender(name, function()
    local times = {}
    for i = 1, STARTS do
      times[i] = processes.time(command) * 1000
    end
    table.sort(times)
    return { value = times[STARTS // 2] }
  end)
end

case("startup", ("from start to end, median of %d"):format(STARTS), "ms", {
  start_up("chaski", program, "-e", ""),
  start_up("lua5.4", "lua5.4", "-e", ""),
  start_up("lua5.4 and luv", "lua5.4", "-l", "luv", "-e", ""),
  start_up("nothing", "true"),
}, {
  lower = true,
  limits = {
    {
      "chaski",
      function(median_of)
        return median_of "lua5.4" + median_of "lua5.4 and luv"
      end,
    },
  },
})

-- --- cost against work -----------------------------------------------------------------------------------------------

--- ns of CPU of both ends a delivery.
local function cost(o)
  local got = our_stream(o)
  local each = 1e9 / got.count
  local pub, sub = got.cpu_seconds.pub * each, got.cpu_seconds.sub * each
  return { value = pub + sub, more = { { "pub", pub }, { "sub", sub }, { "/s", got.value } }, cpu = got.cpu }
end

local open_files = require("resources").open_files
local by_edges, by_topics = {}, {}
for _, nodes in ipairs { 1, 10, 100, 1000, math.min(10000, (open_files() - 200) // 2) } do
  if nodes * 2 + 200 <= open_files() then
    by_edges[#by_edges + 1] = contender(("%d edges"):format(nodes), function()
      return cost { payload = "table", size = 64, nodes = nodes }
    end)
  end
end
for _, topics in ipairs { 1, 10, 100, 1000, 10000, 100000 } do
  by_topics[#by_topics + 1] = contender(("%d subscriptions"):format(topics), function()
    return cost { payload = "table", size = 64, topics = topics }
  end)
end
case("cost/edges", "ns of CPU a delivery, both ends, by edges of the publisher", "ns", by_edges, { lower = true })
case("cost/subscriptions", "ns of CPU a message, both ends, by subscriptions", "ns", by_topics, { lower = true })

--- What cases need besides: certificates.
function M.prepare()
  settings.tls = settings.folder
  certificates.make(settings.folder)
  certificates.issue_files(settings.folder, "pub")
  certificates.issue_files(settings.folder, "sub")
end

return M
