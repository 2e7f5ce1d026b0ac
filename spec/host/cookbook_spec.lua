-- The recipes of scripts/cookbook: each runs as its README says, in processes of its own, and is short.
-- SPDX-License-Identifier: MIT
local helper = require "spec.helper"
local uv = require "luv"

local FOLDER = "scripts/cookbook/"
local LINES = 40 -- a recipe has fewer

local command = helper.program:gsub("chaski%-lua$", "chaski")
local folders = {} -- what a failed test must not leave

local function it_async(name, test)
  it(name, helper.async(helper.ending(test), 20))
end

local function start(name, ...)
  local process = helper.start({ FOLDER .. name, ... }, { open = true, timeout = 15 })
  return process
end

local function run(name, ...)
  local process = start(name, ...)
  process:close_input()
  process:wait()
  assert.equal("", process.err)
  assert.equal(0, process.code)
  return process.out
end

--- A folder of the test's own.
local function folder()
  local path = assert(uv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/chaski-spec-XXXXXX"))
  folders[#folders + 1] = path
  return path
end

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

local function names_in(path)
  local scan, names = assert(uv.fs_scandir(path)), {}
  for name in uv.fs_scandir_next, scan do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

local function remove(path)
  if uv.fs_lstat(path).type ~= "directory" then return os.remove(path) end
  for _, name in ipairs(names_in(path)) do
    remove(path .. "/" .. name)
  end
  uv.fs_rmdir(path)
end

teardown(function()
  helper.clean()
  for _, path in ipairs(folders) do
    remove(path)
  end
end)

--- Where it listens: what a recipe says that others are to be given.
local function address_of(process)
  process:expect "at 127.0.0.1:"
  process:expect "\n"
  return process.out:match "at (127%.0%.0%.1:%d+)\n"
end

it_async("chat: what one says all read, over a third", function()
  local ann = start("chat.lua", "ann")
  local address = address_of(ann)
  local bob, cid = start("chat.lua", "bob", address), start("chat.lua", "cid", address)
  ann:expect "* bob is here"
  ann:expect "* cid is here"
  bob:write "hello \27[31mall\n"
  ann:expect "bob: hello  [31mall\n"
  cid:expect "bob: hello  [31mall\n"
  ann:write "hello bob\n"
  bob:expect "ann: hello bob\n"
  bob:close_input() -- Ctrl-D
  assert.equal(0, bob:wait().code)
  ann:expect "* bob has left (goodbye)"
end)

it_async("hub and sensor: readings come, are asked for, and their end is noticed", function()
  local hub = start "hub.lua"
  local address = address_of(hub)
  local sensor = start("sensor.lua", "kitchen", address)
  hub:expect "kitchen speaks: "
  local asked = helper.run({ "req", "-h", address, "latest" }, { program = command })
  assert.matches('kitchen = { age = [%d.e-]+, unit = "processes", value = [%d.]+ }', asked.out)
  sensor:kill()
  hub:expect "kitchen is silent"
end)

it_async("queue and worker: each job is done once, also that of a worker who dies", function()
  local queue = start "queue.lua"
  local address = address_of(queue)
  local expected = {}
  for i = 101, 112 do
    queue:write(i .. "\n")
    expected[#expected + 1] = ("%d: %s"):format(i, tostring(i):reverse())
  end
  local victim = start("worker.lua", "victim", address, "60")
  local other = start("worker.lua", "other", address, "0.01")
  queue:expect "(other)"
  victim:kill "sigkill"
  queue:close_input()
  queue:wait()
  local done = {}
  for line in queue.out:gmatch "(%d+: %d+) %(%a+%)\n" do
    done[#done + 1] = line
  end
  table.sort(done)
  assert.same(expected, done)
  assert.equal(0, other:wait().code)
end)

it_async("send and receive: a file arrives as it was, or not at all", function()
  local from, to = folder(), folder()
  local bytes = {}
  for i = 1, 40000 do
    bytes[i] = ("%08x"):format(i * 2654435761 % 4294967296):rep(4)
  end
  local content = table.concat(bytes) .. "\0\255"
  local file = assert(io.open(from .. "/big.bin", "wb"))
  file:write(content)
  file:close()
  assert(io.open(from .. "/empty", "wb")):close()
  local receive = start("receive.lua", to)
  local address = address_of(receive)
  run("send.lua", from .. "/big.bin", address)
  receive:expect(("big.bin: %d bytes from sender"):format(#content))
  run("send.lua", from .. "/empty", address)
  assert.is_true(content == read(to .. "/big.bin"))
  assert.equal("", read(to .. "/empty"))
  assert.same({ "big.bin", "empty" }, names_in(to))
end)

it_async("bridge: lines become messages, and messages lines", function()
  local hub = start("chat.lua", "hub") -- a relay, whatever it is for else
  local address = address_of(hub)
  local left, right = start("bridge.lua", "t", address), start("bridge.lua", "t", address)
  hub:expect "is here\n* bridge is here"
  left:write 'plain\n{ "celsius": 21.5 }\n'
  right:expect 'plain\n{"celsius":21.5}\n'
  right:write "back\n"
  left:expect "back\n"
  left:close_input()
  assert.equal(0, left:wait().code)
end)

it_async("policy: nodes pair within their site, and every run is the same", function()
  local out = run "policy.lua"
  for name, peers in out:gmatch "(%a+)%d +([^\n]*)\n" do
    assert.truthy(peers:find(name, 1, true))
    assert.is_nil(peers:find(name == "puno" and "cusco" or "puno", 1, true))
  end
  assert.equal(out, run "policy.lua")
end)

it_async("heal: whoever is left is heard by all others after the repair", function()
  local before, after = run("heal.lua"):match "by (%d+) of the others\n.*by (%d+) of the others\n$"
  assert.is_true(tonumber(before) < 9)
  assert.equal("9", after)
end)

it_async("experiment: a row and a picture for each shape", function()
  local pictures = folder()
  local out = run("experiment.lua", pictures, "12")
  assert.matches("\nring +12 +6 +11 +0%.%d+ +2\n", out)
  assert.matches("\nfull +66 +1 +11 +0%.%d+ +%d+\n", out)
  local names = names_in(pictures)
  assert.equal(7, #names)
  assert.matches("<svg ", read(pictures .. "/" .. names[1]))
end)

it_async("relay: what is said in one network is read in the third", function()
  local env = { CHASKI_LUA = helper.program, TMPDIR = false, LD_PRELOAD = false }
  local probe = "command -v ip >&2 && unshare -Urnm --pid --fork ip link add name left type veth peer name right"
  local probed = helper.run({ "-c", probe }, { program = "sh", env = env })
  if probed.code ~= 0 then return pending("no network namespaces without being root here: " .. probed.err) end
  local process = helper.run({}, { program = FOLDER .. "networks", timeout = 15, env = env })
  assert.equal("", process.err)
  assert.equal(
    "a dials b: node:connect 10.0.3.2:8511: host or network unreachable\n"
      .. "b reads: hello from a\na reads: hello from b\n",
    process.out
  )
  assert.equal(0, process.code)
end)

it_async("secure: who has no certificate does not get in, who has one may what it says, until it is revoked", function()
  local home = folder()
  local function ca(name, ...)
    local list = { "ca", name, "--location", home .. "/ca", ... }
    return helper.start(list, { program = command, timeout = 15 })
  end
  local function invite(name, ...)
    local path = home .. "/" .. name
    local file <close> = assert(io.open(path, "w"))
    file:write(ca("invite", name, ...):wait().out)
    return path
  end
  assert.equal(0, ca("init", "--mesh", "home"):wait().code)
  local serving = ca("serve", "--tries", "100")
  serving:expect "listens at"
  local hub = start("secure.lua", invite("hub", "--relay"), "0")
  hub:expect "* chaski://home/hub listens at "
  local address = address_of(hub)
  local bob = start("secure.lua", invite "bob", address)
  local eve = start("secure.lua", invite("eve", "--publish", "gossip"), address)
  bob:expect "* chaski://home/bob listens"
  eve:expect "* chaski://home/eve listens"
  bob:write "hello\n"
  eve:expect "hub: hello\n"
  eve:write "me too\n"
  eve:expect "* not sent: "
  local stranger = helper.run({ "pub", "-h", address, "-t", "news", "-m", "x" }, { program = command })
  assert.equal(3, stranger.code)
  assert.equal(0, ca("revoke", "bob"):wait().code)
  hub:expect "* bob has gone: certificate"
end)

describe("a recipe", function()
  it("is short, and in the README", function()
    local readme = read(FOLDER .. "README.md")
    for _, name in ipairs(names_in(FOLDER)) do
      if name ~= "README.md" then
        assert.truthy(readme:find("`" .. name .. "`", 1, true), name)
        assert.is_true(select(2, read(FOLDER .. name):gsub("\n", "")) < LINES, name)
      end
    end
  end)
end)
