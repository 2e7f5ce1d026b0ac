-- chaski repl: the interactive mode of a host that runs, through a unix socket: from a pipe, on a terminal, and by who
-- must not. SPDX-License-Identifier: MIT
local Terminal = require "spec.host.terminal"
local chaski = require "chaski"
local helper = require "spec.helper"
local uv = require "luv"
local wire = require "chaski.repl.wire"

local command = helper.program:gsub("chaski%-lua$", "chaski")
local folder
local running = {} -- hosts that a failed test must not leave

local function it_async(name, test)
  it(
    name,
    helper.async(function()
      local ok, err = pcall(test)
      for _, process in ipairs(running) do
        process:kill "sigkill"
        process:wait()
      end
      running = {}
      if not ok then error(err, 0) end
    end, 20)
  )
end

setup(function()
  folder = assert(uv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/chaski-repl-XXXXXX"))
end)

teardown(function()
  helper.clean()
  for name in uv.fs_scandir_next, assert(uv.fs_scandir(folder)) do
    os.remove(folder .. "/" .. name)
  end
  uv.fs_rmdir(folder)
end)

local sockets = 0

local function new_path()
  sockets = sockets + 1
  return ("%s/%d"):format(folder, sockets)
end

local prelude = [[
  io.stdout:setvbuf "line"
  chaski = require "chaski"
  node = assert(chaski.node { name = "host", subscriptions = "x" })
  node:serve("alive", function() return true end)
  function tell(...) print("told", ...) return ... end
]]

--- A host that allows it: its process, and the path.
local function start_host(code)
  local path = new_path()
  local process = helper.start({ "--repl-socket", path, helper.file(prelude .. (code or "") .. "print 'ready'") }, {
    timeout = 10,
  })
  running[#running + 1] = process
  process:expect "ready\n"
  return path, process
end

local function repl(path, options, ...)
  options = options or {}
  options.program, options.timeout = command, 10
  return helper.start({ "repl", path, ... }, options)
end

local function run(path, ...)
  return repl(path, nil, ...):wait()
end

describe("chaski repl", function()
  it_async("runs statements in the host: values and what they print come here, errors cost nothing", function()
    local path, host = start_host()
    local process = run(path, "-e", "node.name", "-e", "tell(1)", "-e", "error 'no'", "-e", "io.write('a', 2, '\\n')")
    assert.matches('^"host"\ntold\t1\n1\na2\n', process.out)
    assert.equal("stdin:1: no\n", process.err)
    assert.equal(1, process.code)
    process = run(path, "-e", "x = assert(node:connect(assert(chaski.node { name = 'other' })))", "-e", "x.name")
    assert.equal('"other"\n', process.out)
    assert.equal(0, process.code)
    assert.is_nil(host.out:find "told")
  end)

  it_async("reads a pipe to its end, statements of several lines too", function()
    local path = start_host()
    local process = repl(path, { stdin = "for i = 1, 2 do\nprint(i)\nend\nx x\n'last'\nfor i = 1" }):wait()
    assert.equal('1\n2\n"last"\n', process.out)
    assert.equal("stdin:1: syntax error near 'x'\nstdin:1: ',' expected near <eof>\n", process.err)
    assert.equal(1, process.code)
  end)

  it_async("brings any amount of output, and the host waits for who does not read", function()
    local path = start_host()
    local process = run(path, "-e", "for i = 1, 100 do print(('x'):rep(99999)) end")
    assert.equal(100 * 100000, #process.out)
    local reader = assert(uv.new_pipe(false))
    reader:connect(path)
    reader:write(wire.encode { kind = "line", text = "for i = 1, 1e9 do done = i print(('x'):rep(99999)) end" })
    local last
    helper.eventually(function()
      local now = tonumber(run(path, "-e", "done").out)
      local still = now and now == last
      last = now
      return still
    end, "the line waits", 10)
    assert.is_true(last < 1000)
    reader:close()
  end)

  it_async("has sessions that know nothing of each other but the host's globals", function()
    local path, host = start_host()
    local one, two = repl(path, { open = true }), repl(path, { open = true })
    running[#running + 1], running[#running + 2] = one, two
    one:write "mine = 1 print 'one is there' while not go do chaski.sleep(0.005) end print 'one ends'\n"
    one:expect "one is there\n"
    two:write "print('two', mine) go = true\n"
    two:expect "two\t1\n"
    one:expect "one ends\n"
    one:write "node:subscribe('x', function(m) print('got', m.data) end) print 'subscribed'\n"
    one:expect "subscribed\n"
    two:write "p = chaski.node { name = 'p' } assert(p:connect(node)) p:publish('x', 7)\n"
    one:expect "got\t7\n" -- a handler belongs to who has typed it
    one:close_input()
    one:wait()
    two:write "p:publish('x', 8)\n"
    host:expect "got\t8\n" -- and then to the host
    two:close_input()
    assert.equal("two\t1\n", two:wait().out:gsub("true\n", ""))
  end)

  it_async("costs its line when it dies, and harms nothing", function()
    local path, host = start_host()
    local client <close> = assert(chaski.node { name = "client" })
    assert(client:connect(("127.0.0.1:%d"):format(run(path, "-e", "node.port").out)))
    for _, line in ipairs { "print 'on' chaski.sleep(60)", "print 'on' chaski.sleep(0) while true do end" } do
      local victim = repl(path, { open = true })
      victim:write(("local ok, err = pcall(function() %s end) ended = tostring(err)\n"):format(line))
      victim:expect "on\n"
      victim:kill "sigkill"
      victim:wait()
      helper.eventually(function()
        return run(path, "-e", "ended").out ~= "nil\n"
      end)
      assert.matches("cancelled", run(path, "-e", "ended = nil return 'cancelled'").out)
    end
    assert.equal(true, client:request "alive")
    assert.equal(1, #client.edges)
    assert.equal("", host.err)
  end)

  it_async("says when the host has gone, with code 3, and what os.exit makes of it", function()
    local path, host = start_host()
    local process = repl(path, { open = true })
    process:write "print 'here'\n"
    process:expect "here\n"
    host:kill()
    assert.equal(3, process:wait().code)
    assert.matches("the host has gone", process.err)
    assert.equal(0, host:wait().code)
    assert.is_nil(uv.fs_lstat(path)) -- it has cleared up
  end)
end)

describe("on a terminal", function()
  local function open(path)
    return Terminal.open({ "repl", path }, nil, command)
  end

  it_async("has the prompt, continuation lines, history and completion of the host's names", function()
    local path = start_host "known = { first_field = 1 }\n"
    local terminal = open(path)
    terminal:enter("node.name", '\n"host"')
    terminal:enter("print(known.fir\t + 1)", "\n2")
    terminal:enter("print(node:paired_f\t'x'))", "\nfalse")
    terminal:type "for i = 1, 2 do\n"
    terminal:shows ">> "
    terminal:type "print('i', i)\n"
    terminal:shows ">> "
    terminal:enter("end", "i\t1\ni\t2")
    terminal:enter("\27[A\27[A\27[A\27[A", "\nfalse")
    terminal:leave()
  end)

  it_async("stops the host's line by Ctrl-C, one that waits and one that never lets go, and not the host", function()
    local path, host = start_host()
    local terminal = open(path)
    local answers = {
      ["print 'go' chaski.sleep(60)"] = "interrupted\n> ",
      ["print 'go' chaski.sleep(0) while true do end"] = "interrupted\n> ",
      ["pcall(function() print 'go' chaski.sleep(0) while true do end end) error 'on'"] = "stdin:1: on\n> ",
    }
    for line, answer in pairs(answers) do
      terminal:type(line .. "\n")
      terminal:shows "\ngo"
      terminal:type "\3"
      terminal:shows(answer)
    end
    terminal:enter("7", "\n7")
    terminal:leave()
    assert.is_false(host.over)
  end)

  it_async("shows what handlers print above the line that is edited", function()
    local path = start_host()
    local terminal = open(path)
    terminal:enter "node:subscribe('x', function(m) print('got', m.data) end)"
    terminal:type "print 'edi"
    terminal:shows "print 'edi"
    assert.equal(0, run(path, "-e", "p = chaski.node {} p:connect(node) return p:publish('x', 7)").code)
    terminal:shows "got\t7\n"
    terminal:shows "> print 'edi"
    terminal:enter("ted'", "\nedited")
    terminal:leave()
  end)

  it_async("ends when the host does, and the terminal is as it was", function()
    local path, host = start_host()
    local terminal = open(path)
    host:kill()
    terminal:shows "the host has gone"
    assert.equal(3, terminal.process:wait().code)
  end)
end)

describe("who may", function()
  it_async("is the owner of the file, and only processes of the host's user", function()
    local path = start_host()
    local stat = assert(uv.fs_stat(path))
    assert.equal(tonumber("600", 8), stat.mode & tonumber("777", 8))
    if uv.getuid() ~= 0 then return pending "needs root, to be another user" end
    assert(uv.fs_chmod(folder, tonumber("755", 8)))
    local script = [[
import os, socket, sys
os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1]); sys.stdout.buffer.write(s.recv(4096)); print(len(s.recv(4096)))]]
    local other = { "-c", script, path }
    local options = { program = "python3", env = { LD_PRELOAD = false } }
    assert.matches("PermissionError", helper.run(other, options).err)
    assert(uv.fs_chmod(path, tonumber("666", 8))) -- whatever befalls the file
    local out = helper.run(other, options).out
    assert.truthy(out:find("another user's process", 1, true) and out:find "0\n$", out)
    assert.equal("7\n", run(path, "-e", "7").out)
  end)

  it_async("needs no more than the path; what is wrong with it is said", function()
    local file = helper.file("no socket", "plain")
    for path, expected in pairs {
      [folder .. "/none"] = "no such socket",
      [file] = "nobody listens there",
      ["127.0.0.1:8511"] = "is an address, and no host offers a shell to the network",
    } do
      local process = run(path, "-e", "1")
      assert.truthy(process.err:find(expected, 1, true), process.err)
      assert.equal(expected:find "address" and 2 or 3, process.code)
    end
    assert.equal(2, helper.run({ "repl" }, { program = command }).code)
  end)
end)

describe("--repl-socket", function()
  it_async("takes the place of a socket that a killed host has left, and of nothing else", function()
    local path, host = start_host()
    local function again(at)
      return helper.run { "--repl-socket", at, "-e", "print 'ran'" }
    end
    local second = again(path)
    assert.matches("another program listens there\n$", second.err)
    assert.equal(1, second.code)
    host:kill "sigkill"
    host:wait()
    assert.is_truthy(uv.fs_lstat(path))
    assert.matches("nobody listens there", run(path, "-e", "1").err)
    assert.equal("ran\n", again(path).out)
    assert.is_nil(uv.fs_lstat(path))
    local file = helper.file("precious", "precious")
    assert.matches("a file that is no socket\n$", again(file).err)
    assert.equal("precious", io.lines(file)())
    assert.matches("no such folder\n$", again("/nowhere/at/all").err)
    assert.matches("more than 107 bytes\n$", again("/tmp/" .. ("x"):rep(200)).err)
    assert.matches("needs argument", helper.run({ "--repl-socket" }).err)
  end)

  it_async("is off by default, keeps no program, and --check leaves it alone", function()
    local path = new_path()
    assert.equal(0, helper.run({ "--repl-socket=" .. path, "-e", "x = 1" }).code)
    assert.equal(0, helper.run({ "--check", "--repl-socket", path, helper.file "x = 1" }).code)
    local script = helper.file "assert(require('chaski').repl.listen((...))):remove()"
    assert.equal(0, helper.run({ "--check", script, path }).code)
    assert.is_nil(uv.fs_lstat(path))
  end)

  it_async("is chaski.repl.listen in a script, also in a stock Lua; its handle ends it", function()
    local path = new_path()
    local server = assert(chaski.repl.listen(path))
    assert.equal(server, chaski.repl.listen(path))
    local client = repl(path, { open = true })
    client:write "1 + 1\n"
    client:expect "2\n"
    server:remove()
    assert.equal(3, client:wait().code)
    assert.is_nil(uv.fs_lstat(path))
    assert.has_error(function()
      chaski.repl.listen(7)
    end, "chaski.repl.listen: expected the path of a socket, got integer 7")
  end)
end)
