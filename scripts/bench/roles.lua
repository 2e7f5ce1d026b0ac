-- roles.lua ROLE [KEY=VALUE …]: our processes of scripts/bench/run, one role each. A role prints lines of words: "ready
-- ADDRESS" when others may come, and "result KEY=VALUE …" when it has measured; "sent KEY=VALUE …" ends a publisher's
-- sending. It starts to send or to ask when it reads a line, and is ended by who started it.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local uv = require "luv"

package.path = arg[0]:match "^(.*)/" .. "/?.lua;" .. package.path
local certificates = require "certificates"

local WARM_UP = 0.1 -- part of the round trips that is not counted

local hrtime = uv.hrtime

local function now()
  return hrtime() / 1e9
end

local function tell(what, values)
  local words = { what }
  for name, value in pairs(values) do
    words[#words + 1] = ("%s=%s"):format(name, value)
  end
  print(table.concat(words, " "))
  io.flush()
end

local function ready(node)
  print("ready " .. (node and node.address or "-"))
  io.flush()
end

--- Suspends until a line comes on standard input.
local function wait_for_go()
  local pipe, gone = uv.new_pipe(), false
  assert(pipe:open(0))
  pipe:read_start(function()
    gone = true
  end)
  repeat
    chaski.sleep(0.002)
  until gone
  pipe:close()
end

--- The options of every node here; `o.tls` is the folder of an authority.
local function options(o, name, more)
  local all = { name = name, id = name, udp = false, limits = { edges_max = 100000, pending_max = 65536 } }
  for key, value in pairs(more or {}) do
    all[key] = value
  end
  if o.tls then
    local certificate, key, root = certificates.issue(o.tls, name)
    all.tls = assert(require("chaski.tls").context { certificate = certificate, key = key, ca = root })
  end
  return all
end

local function new_node(o, name, more)
  return assert(chaski.node(options(o, name, more)))
end

local function wait_for_edges(node, count)
  while node.edge_count < count do
    chaski.sleep(0.005)
  end
end

--- What is published: the n-th message of this kind and size, and the one that says it was the last.
local payloads = {}

function payloads.table(size)
  local message = { n = 0, v = ("x"):rep(size - 12) } -- with an n of five bytes `size` bytes in all
  return function(n)
    message.n = n
    return message
  end, { n = -1 }
end

function payloads.string(size)
  local message = ("x"):rep(size)
  return function()
    return message
  end, ""
end

-- --- throughput ------------------------------------------------------------------------------------------------------

local roles = {}

--- A handler that reads what it gets, and calls finish(count, sum) after the last.
local handlers = {}

function handlers.table(finish)
  local count, sum = 0, 0
  return function(message)
    local n = message.data.n
    if n < 0 then return finish(count, sum) end
    count = count + 1
    sum = sum + n
  end
end

function handlers.string(finish)
  local count, bytes = 0, 0
  return function(message)
    local size = #message.data
    if size == 0 then return finish(count, bytes) end
    count = count + 1
    bytes = bytes + size
  end
end

--- nodes=N nodes with an edge to `to` each, a handler each; topics=N subscriptions, of which one is published to.
function roles.sub(o)
  local nodes, topics = tonumber(o.nodes or 1), tonumber(o.topics or 1)
  local started, ended, count, sum = nil, 0, 0, 0
  local function first()
    started = started or now()
  end
  for i = 1, nodes do
    local node = new_node(o, "sub" .. i)
    local over = false
    local function finish(n, s)
      if over then return end
      over, ended, count, sum = true, ended + 1, count + n, sum + s
      if ended < nodes then return end
      tell("result", { count = count, sum = sum, seconds = started and now() - started or 0 })
    end
    local handler = handlers[o.payload](finish)
    local names = { "bench" }
    for t = 2, topics do
      names[t] = "bench" .. t
    end
    node:subscribe("start", first)
    node:subscribe(names, handler)
    assert(node:connect(o.to, { timeout = 30 }))
  end
  if topics > 1 then chaski.sleep(0.5) end -- until the publisher has read them all
  ready()
end

--- nodes=N subscribers whose messages no handler gets: they are checked, and counted by the node.
function roles.sink(o)
  local nodes, started, ended, count = tonumber(o.nodes or 1), nil, 0, 0
  for i = 1, nodes do
    local node = new_node(o, "sub" .. i, { subscriptions = "bench" })
    node:subscribe("start", function()
      started = started or now()
    end)
    local over = false
    node:subscribe("over", function()
      if over then return end
      over, ended = true, ended + 1
      count = count + node.status.counters.delivered - 2 -- without the one that starts, and this one
      if ended == nodes then tell("result", { count = count, seconds = now() - started }) end
    end)
    assert(node:connect(o.to, { timeout = 30 }))
  end
  ready()
end

--- Passes messages on from `to` to who connects, and does not subscribe.
function roles.relay(o)
  local node = new_node(o, "relay", { message_propagation = true })
  assert(node:connect(o.to))
  ready(node)
end

--- Publish the messages `first` to `last` of a kind, in a loop as a script has it.
local publish = {}

function publish.table(node, message, first, last)
  for n = first, last do
    message.n = n
    if not node:publish("bench", message) then error "bench: not published" end
  end
end

function publish.string(node, message, first, last)
  for _ = first, last do
    if not node:publish("bench", message) then error "bench: not published" end
  end
end

--- Publishes for `seconds` as fast as publish lets it, to `edges` edges, or messages=N of them. unread=yes: to sinks.
function roles.pub(o)
  local limits = { edges_max = 100000, pending_max = 65536, peer_subscriptions = 1000000 }
  local node = new_node(o, "pub", { limits = limits })
  local edges, most = tonumber(o.edges or 1), tonumber(o.messages or math.huge)
  local build, last = payloads[o.payload](tonumber(o.size))
  local message = build(0)
  local batch = math.max(1, math.min(1000, 1000000 // (tonumber(o.size) * edges)))
  ready(node)
  wait_for_go()
  wait_for_edges(node, edges)
  node:publish("start", true)
  local n, started = 0, now()
  local deadline = started + tonumber(o.seconds)
  repeat
    publish[o.payload](node, message, n + 1, n + batch)
    n = n + batch
  until n >= most or now() >= deadline
  local sum = o.payload == "table" and n * (n + 1) // 2 or n * tonumber(o.size)
  tell("sent", { count = n, sum = sum, seconds = now() - started })
  local function end_it()
    return (o.unread or node:publish("bench", last)) and node:publish("over", true)
  end
  end_it()
  repeat -- again and again, until there is no edge any more: a relay may drop it
    chaski.sleep(0.05)
  until not end_it()
end

-- --- round trips -----------------------------------------------------------------------------------------------------

--- In microseconds, of a list of seconds.
local function tell_quantiles(list, elapsed)
  local skipped = #list * WARM_UP // 1
  table.move(list, skipped + 1, #list, 1)
  for i = #list, #list - skipped + 1, -1 do
    list[i] = nil
  end
  table.sort(list)
  local function at(part)
    return list[math.max(1, math.ceil(#list * part))] * 1e6
  end
  tell("result", { count = #list, p50 = at(0.5), p99 = at(0.99), p999 = at(0.999), seconds = elapsed })
end

--- What an answer is made of: it comes from what was read, not from the bytes as they came.
local echoes = {
  table = function(message)
    return { n = message.data.n, v = message.data.v }
  end,
  string = function(message)
    return message.data
  end,
}

function roles.echo(o)
  local node, echo = new_node(o, "sub"), echoes[o.payload]
  node:subscribe("ping", function(message)
    assert(node:publish("pong", echo(message)))
  end)
  ready(node)
end

function roles.ping(o)
  local node, build = new_node(o, "pub"), payloads[o.payload](tonumber(o.size))
  local times, started, sent, deadline = {}, nil, nil, nil
  node:subscribe("pong", function(message)
    assert(message.data)
    local at = now()
    times[#times + 1] = at - sent
    if at >= deadline then return tell_quantiles(times, at - started) end
    sent = now()
    assert(node:publish("ping", build(#times)))
  end)
  assert(node:connect(o.to))
  ready()
  wait_for_go()
  started = now()
  deadline, sent = started + tonumber(o.seconds), now()
  assert(node:publish("ping", build(0)))
end

function roles.serve(o)
  local limits = { edges_max = 1000, request_rate = 1000000, requests_per_edge = 1000 }
  local node = new_node(o, "sub", { limits = limits })
  node:serve("echo", function(kwargs)
    return kwargs.v
  end)
  ready(node)
end

--- tasks=N at once, each of which asks one question after the other, for `seconds` or until messages=N were asked.
function roles.request(o)
  local node, kwargs = new_node(o, "pub"), { v = ("x"):rep(tonumber(o.size)) }
  local times, count, tasks, most = {}, 0, {}, tonumber(o.messages or math.huge)
  local where = { edge = assert(node:connect(o.to)) }
  ready()
  wait_for_go()
  local started = now()
  local deadline = started + tonumber(o.seconds)
  for i = 1, tonumber(o.tasks or 1) do
    tasks[i] = chaski.spawn(function()
      repeat
        local sent = now()
        assert(node:request("echo", kwargs, where))
        local at = now()
        count = count + 1
        times[count] = at - sent
      until at >= deadline or count >= most
    end)
  end
  for _, task in ipairs(tasks) do
    assert(task:join())
  end
  if o.messages then return tell("result", { count = count }) end -- who counts instructions wants no sorting
  tell_quantiles(times, now() - started)
end

-- --- edges -----------------------------------------------------------------------------------------------------------

function roles.listen(o)
  ready(new_node(o, "sub", { subscriptions = "bench" }))
end

--- Connects, with its handshake, and closes, one edge after the other.
function roles.dial(o)
  local node = new_node(o, "pub")
  local times = {}
  ready()
  wait_for_go()
  local started = now()
  local deadline = started + tonumber(o.seconds)
  repeat
    local sent = now()
    local edge = assert(node:connect(o.to))
    local at = now()
    times[#times + 1] = at - sent
    edge:close()
  until at >= deadline
  tell_quantiles(times, now() - started)
end

--- A peer of a topic, searched through a root by newcomers, one after the other: discovery and the edge dialled back.
--- As many as may ask at once: a node answers 20 requests from one edge, then 5 a second.
function roles.discover(o)
  local searches = 15
  local root = new_node(o, "root", { root = true, port = 0, udp = true })
  local others = {}
  for i = 1, tonumber(o.nodes) do
    others[i] = new_node(o, "other" .. i, { subscriptions = "topic" .. i, paired = true, udp = true })
    assert(others[i]:connect(root))
  end
  ready()
  wait_for_go()
  local times, started = {}, now()
  for n = 1, searches do
    local topic = "topic" .. (n % #others + 1)
    local node = new_node(o, "new" .. n, { subscriptions = topic, udp = true })
    assert(node:connect(root))
    local sent = now()
    local found = assert(node:discovery { timeout = 5 })
    times[n] = now() - sent
    assert(found[topic], "nobody was found")
    node:stop()
  end
  tell_quantiles(times, now() - started)
end

-- --- memory ----------------------------------------------------------------------------------------------------------

local resident_kib = require("resources").resident_kib_collected

--- Nodes without edges: what 2nd and later ones cost.
function roles.nodes(o)
  local nodes, count = { new_node(o, "sub0") }, tonumber(o.count)
  local before = resident_kib()
  for i = 1, count do
    nodes[i + 1] = new_node(o, "sub" .. i)
  end
  tell("result", { kib = (resident_kib() - before) / count, count = #nodes })
end

--- One node that many connect to: what an accepted idle edge costs after the first ten.
function roles.hub(o)
  local node, count = new_node(o, "pub"), tonumber(o.count)
  ready(node)
  wait_for_edges(node, 10)
  chaski.sleep(0.2)
  local before, base = resident_kib(), node.edge_count
  tell("counted", { base = base })
  wait_for_edges(node, count)
  chaski.sleep(0.5)
  tell("result", { kib = (resident_kib() - before) / (count - base) })
end

--- Ten edges to a hub, and when told so the rest, from as many nodes; tells when the hub has closed them all.
function roles.spokes(o)
  local nodes, open = {}, 0
  local function connect(from, to)
    for i = from, to do
      nodes[i] = new_node(o, (o.name or "sub") .. i, { keep_alive = false, ip = o.ip })
      nodes[i]:on("edge_closed", function()
        open = open - 1
      end)
      assert(nodes[i]:connect(o.to, { timeout = 30 }))
      open = open + 1
    end
    tell("connected", { count = #nodes })
  end
  connect(1, 10)
  ready()
  wait_for_go()
  connect(11, tonumber(o.count))
  while open > 0 do
    chaski.sleep(0.01)
  end
  tell("closed", { count = #nodes })
end

-- --- the program -----------------------------------------------------------------------------------------------------

local given = {}
for _, word in ipairs(arg) do
  local name, value = word:match "^(%w+)=(.*)$"
  if name then given[name] = value end
end
assert(roles[arg[1] or ""], "usage: roles.lua ROLE [KEY=VALUE …]")(given)
