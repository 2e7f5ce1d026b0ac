-- The command chaski: each sub-command against nodes of other processes, its output and its exit codes.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local helper = require "spec.helper"
local json = require "chaski.cli.json"
local read_literal = require "chaski.cli.literal"
local rig = require "spec.lua.ca_rig"

local command = helper.program:gsub("chaski%-lua$", "chaski")

local function it_async(name, test, timeout)
  it(name, helper.async(helper.ending(test), timeout or 15))
end

teardown(function()
  rig.clean()
  helper.clean()
end)

local function with(options)
  options = options or {}
  options.program = options.program or command
  options.timeout = options.timeout or 10
  return options
end

local function run(args, options)
  return helper.run(args, with(options))
end

local function start(args, options)
  return helper.start(args, with(options))
end

--- What it printed, when it went well.
local function out_of(args, options)
  local process = run(args, options)
  assert.equal("", process.err)
  assert.equal(0, process.code)
  return process.out
end

local function assert_fails(code, pattern, args, options)
  local process = run(args, options)
  assert.matches(pattern, process.err)
  assert.equal(code, process.code)
end

--- A process with nodes: the code sees `chaski` and `node`, a function; the address of its first node.
local function mesh(code)
  local prelude = [[
    io.stdout:setvbuf "line"
    local chaski = require "chaski"
    local function node(options) return assert(chaski.node(options)) end
  ]]
  local process = start({ helper.file(prelude .. code .. "\nprint 'ready'") }, { program = helper.program })
  process:expect "ready"
  return process.out:match "at (%S+)\n", process
end

local echo = [[
  local one = node { name = "one", subscriptions = "in" }
  one:subscribe("in", function(m) print("got", require("chaski.cli.json").encode(m.data)) end)
  one:serve("add", function(k) return { sum = k.x + k.y } end)
  one:serve("slow", function() chaski.sleep(60) end)
  one:serve("fails", function() error("not today", 0) end)
  print("at " .. one.address)
]]

describe("the command line", function()
  it_async("tells what there is, and each command its options", function()
    local out = out_of { "--help" }
    for name in ("pub sub req ping status top graph bench ca join completion"):gmatch "%a+" do
      assert.matches("\n   " .. name .. " +%u", out)
      assert.matches("^Usage: chaski " .. name, out_of { name, "--help" })
    end
  end)

  it_async("breaks no line of its help but where it was meant to", function()
    for name in ("pub sub req ping status top graph bench repl ca join completion"):gmatch "%a+" do
      local help = out_of { name, "--help" }
      for line in (require("chaski.cli." .. name).epilog or ""):gmatch "[^\n]+" do
        assert.is_truthy(help:find("\n" .. line .. "\n", 1, true), line)
      end
    end
  end)

  it_async("tells it to whoever asks in another way, and the version", function()
    local help = out_of { "--help" }
    assert.equal(help, out_of { "-h" })
    assert.equal(help, out_of { "help" })
    assert.equal(out_of { "pub", "--help" }, out_of { "help", "pub" })
    for _, name in ipairs { "ca", "join", "repl", "completion", "help" } do
      assert.equal(out_of { name, "--help" }, out_of { name, "-h" })
    end
    assert.equal(out_of { "ca", "init", "-h" }, out_of { "help", "ca", "init" })
    local version = out_of { "--version" }
    assert.matches("^chaski " .. core.version:gsub("%.", "%%.") .. "  Lua 5%.4  libuv [%d.]+\n$", version)
    assert.equal(version, out_of { "-v" })
    assert_fails(2, "unknown option '%-v'", { "pub", "-t", "x", "-m", "y", "-v" })
    assert_fails(2, "unknown command 'nope'", { "help", "nope" })
  end)

  it_async("of an unknown option of one letter gives no list of all others, and knows mosquitto's", function()
    local args = { "pub", "-t", "x", "-m", "y" }
    for letter, why in pairs { z = "", q = "; there is no quality .*", r = "; there are no retained .*" } do
      args[6] = "-" .. letter
      assert_fails(2, ("^chaski: unknown option '%%-%s'%s\nUsage: chaski pub"):format(letter, why), args)
    end
    args[6] = "--tll"
    assert_fails(2, "unknown option '%-%-tll'\nDid you mean '%-%-ttl'%?\n", args)
  end)

  it_async("that is wrong is answered with 2, and the usage of the command", function()
    assert_fails(2, "^chaski: unknown command 'pubb'", { "pubb" })
    assert_fails(2, "^chaski: missing option '%-t'\nUsage: chaski pub", { "pub", "-m", "x" })
    assert_fails(2, "one of %-m, %-f, %-s, %-l, %-n is needed", { "pub", "-t", "x" })
    assert_fails(2, "expected a time like", { "sub", "-t", "x", "-W", "soon" })
    assert_fails(2, "%-m: not JSON: ", { "req", "x", "-m", "{", "--as", "json" })
    assert_fails(2, "expected name=value, got 'x'", { "req", "y", "x" })
  end)

  it_async("to where nobody listens ends with 3", function()
    for _, args in ipairs {
      { "pub", "-t", "x", "-m", "y" },
      { "sub", "-t", "x" },
      { "req", "x" },
      { "ping" },
      { "status" },
      { "top" },
      { "graph" },
    } do
      table.move({ "-h", "127.0.0.1:1" }, 1, 2, #args + 1, args)
      assert_fails(3, "^chaski: .*connection refused\n$", args)
    end
    assert_fails(3, "cannot be resolved", { "ping", "-h", "no.such.host.invalid" })
  end)

  it_async("with a mistake that is known here says so before it connects", function()
    local nobody = { env = { CHASKI_HOST = "127.0.0.1:1" } }
    assert_fails(1, "/nowhere: No such file", { "pub", "-t", "x", "-f", "/nowhere" }, nobody)
    assert_fails(1, "^chaski: /tmp: Is a directory\n$", { "pub", "-t", "x", "-f", "/tmp" }, nobody)
    assert_fails(2, "not JSON: ", { "pub", "-t", "x", "-m", "{", "--as", "json" }, nobody)
    assert_fails(1, "cannot write '/nowhere/x': no such folder", { "graph", "-o", "/nowhere/x" }, nobody)
    assert_fails(1, "cannot write '/tmp': is a directory", { "graph", "-o", "/tmp" }, nobody)
    local kept = helper.file("kept", "kept")
    assert_fails(3, "connection refused", { "graph", "-o", kept }, nobody)
    assert.equal("kept", assert(io.open(kept)):read "a")
  end)

  it_async("names the option whose value is out of range, before it connects", function()
    for _, each in ipairs {
      {
        "^chaski: %-p: expected a whole number from 1 to 65535, got '99999'\nUsage: chaski ping",
        "ping",
        "-p",
        "99999",
      },
      { "%-s: expected a whole number from 0 to 65536, got '65537'", "ping", "-s", "65537" },
      { "%-s: expected a whole number from 0 to 65536", "bench", "-s", "1e9" },
      { "%-c: expected a whole number from 1, got '%-3'", "ping", "-c", "-3" },
      { "%-%-ip: expected a numeric IPv4 or IPv6 address, got 'x'", "bench", "--serve", "--ip", "x" },
      { "%-%-ttl: expected a whole number from 1 to 64, got '%-1'", "pub", "-t", "x", "-m", "y", "--ttl", "-1" },
      { "%-t: expected 1 to 253 bytes, got ''", "sub", "-t", "" },
      { "%-t: expected 1 to 253 bytes, got 'x+%.%.%.'", "pub", "-m", "y", "-t", ("x"):rep(10240) },
      { "%-i: expected 1 to 64 bytes", "status", "-i", ("x"):rep(65) },
    } do
      assert_fails(2, each[1], table.move(each, 2, #each, 1, {}))
    end
  end)

  it_async("that cannot write what it has to say ends with 1", function()
    local address = mesh(echo)
    for name in ("status ping graph req completion"):gmatch "%a+" do
      local rest = name == "completion" and "bash" or name == "req" and "add x=1 y=2 -h " .. address or "-h " .. address
      local full = { "-c", ("exec '%s' %s %s >/dev/full"):format(command, name, rest) }
      assert_fails(1, "^chaski: standard output: No space left on device\n$", full, { program = "sh" })
    end
  end)

  it_async("writes what it complains of at once: others may write there too", function()
    -- A socket of datagrams shows each write for itself.
    local watched = [[import socket, subprocess, sys
here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
subprocess.run(sys.argv[1:], stderr=there)
here.setblocking(False)
print(here.recv(65536).decode(), end="")
try: print("and", here.recv(65536))
except BlockingIOError: pass]]
    for _, args in ipairs { { "pubb" }, { "ping", "-h", "127.0.0.1:1" }, { "ca", "list", "--location", "/nowhere" } } do
      local list = table.move(args, 1, #args, 4, { "-c", watched, command })
      local lines = run(list, { program = "python3", env = { LD_PRELOAD = false } })
      assert.equal("", lines.err)
      assert.matches("^chaski[ ca]*: .*\n$", lines.out)
      assert.is_nil(lines.out:find("\nand", 1, true))
    end
  end)

  it_async("completes in shells", function()
    local bash = helper.file(out_of { "completion", "bash" }, "complete.bash")
    local script = [[source "$0"; COMP_WORDS=(chaski st); COMP_CWORD=1; _chaski; echo "${COMPREPLY[@]}"]]
    -- A bash whose input is a socket, as here, takes itself for one of rshd's and reads the user's ~/.bashrc; with the
    -- sanitizers' library preloaded what it starts there may hang.
    local plain = { program = "bash", env = { LD_PRELOAD = false, BASH_ENV = false } }
    assert.equal("status\n", run({ "--norc", "-c", script, bash }, plain).out)
    assert.matches("^#compdef chaski", out_of { "completion", "zsh" })
    assert.matches("complete %-c chaski", out_of { "completion", "fish" })
  end)
end)

describe("pub and sub", function()
  it_async("send what is given as JSON, as Lua and as text, and wait until it is there", function()
    local address, there = mesh(echo)
    local function pub(...)
      out_of { "pub", "-h", address, "-t", "in", ... }
    end
    pub("-m", '{ "b": [1, 2.5, null], "a": {} }')
    pub("-m", "{ x = 1, 'two' }")
    pub("-m", "plain text")
    pub("-m", "17", "--as", "text")
    pub("-n")
    pub("-f", helper.file("[true]", "data"), "--as", "json")
    pub("-m", "again", "--repeat", "2")
    there:expect 'got\t{"a":{},"b":[1,2.5,null]}\n'
    there:expect 'got\t{"1":"two","x":1}\n'
    there:expect 'got\t"plain text"\n'
    there:expect 'got\t"17"\n'
    there:expect "got\tnull\n"
    there:expect "got\t[true]\n"
    there:expect 'got\t"again"\ngot\t"again"\n'
  end)

  it_async("take standard input, whole or line by line as it comes", function()
    local address, there = mesh(echo)
    assert.equal("", out_of({ "pub", "-h", address, "-t", "in", "-s" }, { stdin = "a\nb\n" }))
    there:expect 'got\t"a\\nb\\n"\n'
    local pub = start({ "pub", "-h", address, "-t", "in", "-l" }, { open = true })
    pub:write '1\n{"a": 2}\nthr'
    there:expect 'got\t1\ngot\t{"a":2}\n'
    pub:write "ee"
    pub:close_input()
    there:expect 'got\t"three"\n'
    assert.equal(0, pub:wait().code)
  end)

  it_async("say when nobody is interested: 6", function()
    local address = mesh(echo)
    assert_fails(6, "one takes no messages of 'other'", { "pub", "-h", address, "-t", "other", "-m", "x" })
  end)

  it_async("meet through a relay; sub prints text or JSON, and ends by count", function()
    local address, there = mesh [[
      local relay = node { name = "relay", message_propagation = true }
      relay:on("edge_open", function(edge) print("open", edge.name) end)
      print("at " .. relay.address)
    ]]
    local sub = start { "sub", "-h", address, "-i", "listener", "-t", "a", "-t", "b", "-C", "2", "-v" }
    local as_json = start { "sub", "-h", address, "-i", "second", "-t", "b", "-C", "1", "--json" }
    there:expect "open\tlistener"
    there:expect "open\tsecond"
    out_of { "pub", "-h", address, "-i", "speaker", "-t", "a", "-m", "hello" }
    out_of { "pub", "-h", address, "-i", "speaker", "-t", "b", "-m", "{ x = { 1, 2 } }" }
    assert.equal("a hello\nb { x = { 1, 2 } }\n", sub:wait().out)
    assert.equal(0, sub.code)
    local told = assert(json.decode(as_json:wait().out))
    assert.equal("b", told.topic)
    assert.equal(2, told.data.x[2])
    assert.equal("relay", told.from)
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT.*Z$", told.timestamp)
  end)

  it_async("sub ends with 4 after its time, 3 when the node goes, 0 at SIGINT", function()
    local address, there = mesh(echo .. "one:on('edge_open', function(e) print('open', e.name) end)")
    assert.equal(4, run({ "sub", "-h", address, "-t", "x", "-W", "50ms" }).code)
    local sub = start { "sub", "-h", address, "-i", "first", "-t", "x" }
    there:expect "open\tfirst"
    sub:kill "sigint"
    assert.equal(0, sub:wait().code)
    sub = start { "sub", "-h", address, "-i", "second", "-t", "x" }
    there:expect "open\tsecond"
    there:kill()
    assert.matches("the edge to one has ended", sub:wait().err)
    assert.equal(3, sub.code)
  end)

  it_async("sub says that there are no wildcards, and goes on", function()
    local address = mesh(echo)
    for _, topic in ipairs { "#", "a/#", "a/+/b", "weather*", "a.>" } do
      local sub = run { "sub", "-h", address, "-t", topic, "-t", "C#", "-t", "c++", "-W", "1ms" }
      assert.equal(("chaski: the topic '%s' is taken literally: there are no wildcards\n"):format(topic), sub.err)
      assert.equal(4, sub.code)
    end
  end)

  it_async("sub ends when who reads it has gone", function()
    local address, there = mesh [[
      local relay = node { name = "relay", message_propagation = true }
      relay:on("edge_open", function(e) print("open", e.name) end)
      print("at " .. relay.address)
    ]]
    local sub = start({ "-c", ("'%s' sub -h %s -i sub -t x | head -n 1"):format(command, address) }, { program = "sh" })
    there:expect "open\tsub"
    for i = 1, 2 do
      out_of { "pub", "-h", address, "-t", "x", "-m", tostring(i) }
    end
    assert.equal("1\n", sub:wait().out)
    assert.equal("", sub.err)
  end)

  it_async("a negative number is the value of an option", function()
    local address, there = mesh(echo)
    out_of { "pub", "-h", address, "-t", "in", "-m", "-5" }
    out_of { "pub", "-h", address, "-t", "in", "--message", "-.5" }
    there:expect "got\t-5\ngot\t-0.5\n"
  end)
end)

describe("req", function()
  it_async("prints the answer, or why there is none", function()
    local address = mesh(echo)
    assert.equal("{ sum = 3 }\n", out_of { "req", "-h", address, "add", "x=1", "y=2" })
    assert.equal('{"sum":7.5}\n', out_of { "req", "-h", address, "add", "-m", "{ x = 3, y = 4.5 }", "--json" })
    assert_fails(6, "no callback 'nope' is served here", { "req", "-h", address, "nope" })
    assert_fails(4, "no answer", { "req", "-h", address, "slow", "-W", "50ms" })
    assert_fails(1, "not today", { "req", "-h", address, "fails" })
  end)

  it_async("finds the node by -p and by CHASKI_HOST", function()
    local address = mesh(echo)
    assert.equal("{ sum = 3 }\n", out_of { "req", "-p", address:match "%d+$", "add", "x=1", "y=2" })
    assert.equal("{ sum = 3 }\n", out_of({ "req", "add", "x=1", "y=2" }, { env = { CHASKI_HOST = address } }))
  end)
end)

describe("the address", function()
  it_async("that is none is told as it was typed", function()
    local expected = ": expected HOST:PORT %(or %[IPv6%]:PORT%), got '"
    assert_fails(2, "^chaski: %-h" .. expected .. "127.0.0.1:8511:1'\n$", { "ping", "-h", "127.0.0.1:8511:1" })
    local env = { CHASKI_HOST = "foo:bar:baz" }
    assert_fails(2, "^chaski: CHASKI_HOST" .. expected .. "foo:bar:baz'\n$", { "ping" }, { env = env })
  end)

  it_async("of IPv6 needs brackets only with a port", function()
    for _, host in ipairs { "::1", "[::1]" } do
      assert_fails(3, "node:connect %[::1%]:1: ", { "ping", "-h", host, "-p", "1" })
    end
    assert_fails(3, "node:connect %[::1%]:1: ", { "ping", "-h", "[::1]:1" })
  end)
end)

describe("ping", function()
  it_async("tells each round trip and what they are like", function()
    local address = mesh(echo)
    local out = out_of { "ping", "-h", address, "-c", "2", "--interval", "1ms", "-s", "1000" }
    assert.matches("^one: seq=1 time=[%d.]+ ms\none: seq=2 time=[%d.]+ ms\n2 sent, 2 came back\nround trip", out)
    out = out_of { "ping", "-h", address, "-c", "1", "--json" }
    assert.equal(1, assert(json.decode(out:match "\n(.*)\n$")).summary.received)
  end)
end)

local house = [[
  local root = node { name = "root", root = true, port = 0, introspect = true, message_propagation = true }
  local kitchen = node { name = "kitchen", subscriptions = "weather", introspect = true, message_propagation = true }
  local attic = node { name = "attic", subscriptions = { "weather", "news" } }
  local far = node { name = "far", introspect = true }
  assert(kitchen:connect(root)) assert(attic:connect(root)) assert(attic:connect(kitchen)) assert(far:connect(kitchen))
  for _, each in ipairs { root, kitchen, attic, far } do each:ping() end
  chaski.every(0.005, function() kitchen:publish("weather", 1) end)
  print("at " .. root.address)
]]

describe("status", function()
  it_async("tells what every node tells, and more of one that introspects", function()
    local address = mesh(echo)
    local out = out_of { "status", "-h", address }
    assert.matches("^name +one\naddress +" .. address:gsub("%.", "%%."), out)
    assert.matches("subscriptions +in\n", out)
    assert.is_nil(out:find("latency", 1, true))
    address = mesh(house)
    out = out_of { "status", "-h", address }
    assert.matches("\nkitchen +127%.0%.0%.1:%d+ +[%d.]+ ms +%d+  weather\n", out)
    local told = assert(json.decode(out_of { "status", "-h", address, "--json" }))
    assert.equal("root", told.name)
    assert.equal(2, #told.details.edges) -- without the one to who asks
  end)
end)

describe("top", function()
  it_async("prints a table each interval into a pipe, with rates from the second on", function()
    local address = mesh(house)
    local out = out_of { "top", "-h", address, "-n", "2", "--interval", "100ms" }
    assert.equal(2, select(2, out:gsub("root at ", "")))
    assert.matches("\nkitchen +[%d.]+", out)
    local told = {}
    for line in out_of({ "top", "-h", address, "-n", "2", "--interval", "100ms", "--json" }):gmatch "[^\n]+" do
      told[#told + 1] = assert(json.decode(line))
    end
    assert.equal(0, told[1].rates.relayed)
    assert.is_true(told[2].rates.relayed > 0)
  end)

  --- What it shows of the node on a terminal of that size.
  local function top_on(rows, columns, address)
    local args = { "-B", "spec/host/terminal.py", rows, columns, command, "top", "-h", address, "-n", "2" }
    table.move({ "--interval", "1ms" }, 1, 2, #args + 1, args)
    local process = run(args, { program = "python3", env = { LD_PRELOAD = false } })
    assert.equal(0, process.code)
    return process
  end

  it_async("renews itself on a terminal", function()
    local process = top_on("6", "60", mesh(house))
    assert.equal(2, select(2, process.out:gsub("\27%[H", "")))
    for line in process.out:gmatch "[^\n]+" do
      assert.is_true(#line:gsub("\27%[%d*%a", ""):gsub("\r", "") <= 60)
    end
  end)

  it_async("has all columns on a terminal of 80, and longer names on a wider one", function()
    local address = mesh [[
      local one = node { name = "one", introspect = true }
      local other = node { name = "a name of nearly thirty letters", subscriptions = "weather" }
      assert(other:connect(one))
      print("at " .. one.address)
    ]]
    local out = top_on("24", "80", address).out
    assert.matches(" B in/s B out/s  topics", out)
    assert.matches("\na name of near .*  weather\27", out)
    assert.matches("\na name of nearly thirty letters .*  weather\27", top_on("24", "200", address).out)
  end)

  it_async("takes a terminal that does not know its size for one of 24 lines of 80", function()
    assert.matches("\nkitchen +[%d.]+", top_on("0", "0", mesh(house)).out)
  end)

  it_async("needs a node that introspects", function()
    assert_fails(6, "no callback 'chaski.edges' is served here", { "top", "-h", (mesh(echo)) })
  end)
end)

describe("graph", function()
  it_async("walks the mesh: a tree", function()
    local out = out_of { "graph", "-h", (mesh(house)) }
    out = out:gsub("127%.0%.0%.1:%d+", "ADDRESS"):gsub("[%d.]+ ms", "MS")
    assert.equal(
      [[
root  ADDRESS  root
├─ kitchen  ADDRESS  MS  [weather]
│  └─ far  ADDRESS  MS
└─ attic  ADDRESS  MS  [news weather]  (tells nothing)  also with kitchen
]],
      out
    )
  end)

  it_async("as JSON, for Graphviz, and as a picture", function()
    local address = mesh(house)
    local told = assert(json.decode(out_of { "graph", "-h", address, "--json" }))
    assert.equal(4, #told.nodes)
    assert.equal(4, #told.edges)
    local dot = out_of { "graph", "-h", address, "-f", "dot" }
    assert.matches('^graph "mesh of 4 nodes" {', dot)
    assert.equal(4, select(2, dot:gsub(" %-%- ", "")))
    local file = helper.file("", "mesh.svg")
    out_of { "graph", "-h", address, "-f", "svg", "-o", file }
    local svg = assert(io.open(file)):read "a"
    assert.matches("\n<svg ", svg)
    assert.matches(">kitchen<", svg)
  end)

  it_async("of a node that tells nothing is that node, and 6", function()
    assert_fails(6, "one tells nothing of its edges", { "graph", "-h", (mesh(echo)) })
  end)
end)

describe("bench", function()
  it_async("measures within the process, and to another that serves", function()
    local out = out_of { "bench", "-c", "20", "--seconds", "50ms" }
    assert.matches("^20 round trips of 100 bytes, ms: min .*\n%d+ messages of 100 bytes in [%d.]+ s: ", out)
    local far = start { "bench", "--serve" }
    far:expect "\n"
    local address = far.out:match "bench listens at (%S+)\n"
    local args = { "bench", "-h", address, "-c", "20", "--seconds", "50ms", "--json" }
    local told = assert(json.decode(out_of(args)))
    assert.equal(20, told.round_trip_ms.count)
    assert.is_true(told.throughput.messages > 0)
    assert.matches("the far end is no", out_of { "bench", "-h", mesh(echo), "-c", "5", "--seconds", "1ms" })
  end)
end)

describe("ca, join and TLS", function()
  it_async("a CA for which there is no room leaves nothing behind", function()
    if os.getenv "CHASKI_VALGRIND" then return end -- which needs room itself
    local location = rig.folder() .. "/ca"
    local script = ("ulimit -f 0; exec '%s' ca init --location '%s' --mesh home"):format(command, location)
    assert_fails(1, "cannot write '[^']*ca%.key'", { "-c", script }, { program = "sh" })
    out_of { "ca", "init", "--location", location, "--mesh", "home" }
  end)

  it_async("a certificate that is none is a failure, not a denial", function()
    local junk = helper.file("junk", "junk.pem")
    assert(require("luv").fs_chmod(junk, 384)) -- 0600
    assert_fails(1, "no PEM", { "ping", "--cert", junk, "--key", junk, "--ca", junk })
  end)

  --- A CA that serves, and what enrols a node with it.
  local function authority()
    local location = rig.folder() .. "/ca"
    assert.matches("^the CA of the mesh home is in ", out_of { "ca", "init", "--location", location, "--mesh", "home" })
    local serve = start { "ca", "serve", "--location", location, "--port", "0", "--tries", "1000" }
    serve:expect "pin sha256:"
    return function(id, ...)
      local invite = out_of { "ca", "invite", "--location", location, id, ... }
      local folder = rig.folder() .. "/certificates"
      out_of { "join", (invite:gsub("\n", "")), "--location", folder }
      return folder .. "/" .. id, invite
    end,
      serve.out:match "listens at (%S+)\n"
  end

  it_async("make a mesh in which certificates decide who may what", function()
    local enrol, ca = authority()
    local folder, used = enrol("wall", "--ip", "127.0.0.1")
    local speaker = enrol("speaker", "--publish", "in", "--subscribe", "nothing")
    local code = ([[
      local f = %q
      local tls = assert(chaski.tls.context { certificate = f .. "/certificate.pem", key = f .. "/key.pem",
        ca = f .. "/ca.pem", crl = f .. "/crl.pem" })
      local wall = node { subscriptions = { "in", "out" }, tls = tls }
      wall:subscribe("in", function(m) print("got", m.data) end)
      print("at " .. wall.address)]]):format(folder)
    local address, there = mesh(code)
    out_of { "pub", "-h", address, "--files", speaker, "-t", "in", "-m", "hello" }
    there:expect "got\thello"
    assert_fails(5, "out: not allowed", { "pub", "-h", address, "--files", speaker, "-t", "out", "-m", "hello" })
    assert_fails(5, "", { "sub", "-h", address, "--files", speaker, "-t", "in", "-W", "5s" })
    assert.matches("\ntls +true\n", out_of { "status", "-h", address, "--files", speaker })
    assert_fails(3, "", { "pub", "-h", address, "-t", "in", "-m", "hello" }) -- no certificate
    assert_fails(5, "used", { "join", (used:gsub("\n", "")), "--location", rig.folder() })
    assert.matches("^speaker of the mesh home", out_of { "join", "--renew", speaker, "--address", ca })
  end, 30)

  it_async("join once: good files that are there already stay, and the CA is not asked", function()
    local enrol = authority()
    local folder, invite = enrol "wall"
    local location = folder:match "^(.*)/"
    local key = assert(io.open(folder .. "/key.pem")):read "a"
    local again = run({ "join", "-", "--location", location }, { stdin = invite })
    assert.matches("^chaski: .*/wall is there already, and good: the string was not used", again.err)
    assert.matches("^wall of the mesh home, until .*/wall\n$", again.out)
    assert.equal(0, again.code)
    assert.equal(key, assert(io.open(folder .. "/key.pem")):read "a")
    assert(os.remove(folder .. "/ca.pem"))
    assert_fails(5, "the CA refuses: .*used", { "join", "-", "--location", location }, { stdin = invite })
  end, 30)

  it_async("tell what is wrong with an enrolment string", function()
    assert_fails(2, "does not begin with 'chaski%-invite%-1:'", { "join", "nonsense" })
    assert_fails(2, "an enrolment string is needed", { "join" })
    assert_fails(1, "/nowhere", { "ca", "show", "--location", "/nowhere", "x" })
  end)
end)

describe("data", function()
  it("as JSON is the same after a round trip", function()
    for _, text in ipairs { "null", "true", "1", "-2.5", '"ä\\n\\u0001"', "[]", "{}", '[1,[2,{"a":null}]]' } do
      local value, why = json.decode(text)
      assert.is_nil(why)
      assert.equal(text, json.encode(value))
    end
    assert.equal("1.0", json.encode(1.0))
    assert.equal("0.1", json.encode(0.1))
    assert.equal("0.30000000000000004", json.encode(0.1 + 0.2))
    assert.equal("0.08630399999999999", json.encode(0.086303999999999992)) -- 16 digits will do
    for _, none in ipairs { 0 / 0, math.huge, -math.huge } do
      assert.equal("null", json.encode(none))
    end
    assert.equal('{"$base64":"/wA="}', json.encode "\xff\0")
    assert.equal("\xff\0", tostring(json.decode '{"$base64":"/wA="}'))
    assert.matches("not JSON", select(2, json.decode "[1,"))
    assert.matches("more text", select(2, json.decode "1 2"))
    assert.matches("not JSON", select(2, json.decode(("["):rep(1000) .. ("]"):rep(1000))))
  end)

  it("as Lua is read, and never run", function()
    local text = "{ 1, 0x10, -2.5e3; x = 'a\\n', ['y z'] = { true }, [5] = [[long]] }"
    assert.same({ 1, 16, -2500.0, x = "a\n", ["y z"] = { true }, [5] = "long" }, (read_literal(text)))
    assert.equal(core.null, (read_literal "{ nil }")[1])
    local wrong = { "{ os.exit() }", "print", "{ 1 2 }", "'a", "{", "{} {}", "('x'):rep(9)", "{ [nil] = 1 }" }
    for _, each in ipairs(wrong) do
      local _, why = read_literal(each)
      assert.matches("^not Lua: ", why, each)
    end
  end)
end)
