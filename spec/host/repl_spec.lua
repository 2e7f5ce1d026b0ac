-- The interactive mode of chaski-lua: on a terminal (a pseudo-terminal, driven by terminal.py) and from a pipe.
-- SPDX-License-Identifier: MIT
local Terminal = require "spec.host.terminal"
local helper = require "spec.helper"
local uv = require "luv"

local function it_async(name, test, timeout)
  it(name, helper.async(test, timeout or 10))
end

local UP, LEFT, RIGHT, DELETE = "\27[A", "\27[D", "\27[C", "\127"
local CTRL_A, CTRL_C, CTRL_E, CTRL_R = "\1", "\3", "\5", "\18"

local open, visible = Terminal.open, Terminal.visible

teardown(helper.clean)

describe("a line", function()
  it_async("is an expression, whose values are shown, or statements", function()
    local terminal = open()
    assert.matches("^chaski%-lua %d+%.%d+%.%d+  Lua 5%.4", visible(terminal.process.out))
    terminal:enter("1 + 1", "\n2")
    terminal:enter "x = { 1, 'two', three = { true } }"
    terminal:enter("x", '\n{ 1, "two", three = { true } }')
    terminal:enter("= x[1], x[2]", '\n1\t"two"')
    terminal:enter("nil, 'a'", '\nnil\t"a"')
    terminal:enter("print(x[2])", "\ntwo")
    terminal:leave()
  end)

  it_async("may be several until they are a statement", function()
    local terminal = open()
    terminal:type "for i = 1, 2 do\n"
    terminal:shows ">> "
    terminal:type "print('i', i)\n"
    terminal:shows ">> "
    terminal:enter("end", "i\t1\ni\t2")
    terminal:leave()
  end)

  it_async("that is wrong, or fails, costs nothing", function()
    local terminal = open()
    terminal:enter("x x", "stdin:1: syntax error near 'x'")
    terminal:enter("error 'boom'", "stdin:1: boom")
    terminal:enter("function f() error 'deep' end")
    terminal:enter("f()", "stdin:1: deep\nstack traceback:\n")
    terminal:type "chaski.node { port = -1 }\n"
    terminal:shows "expected integer 0..65535, got integer -1\n> "
    terminal:enter("error {}", "(error object is a table value)")
    terminal:enter("7", "\n7")
    terminal:leave()
  end)

  it_async("is a task: it may connect, and shows nodes, edges and errors readably", function()
    local terminal = open()
    terminal:enter "a = assert(chaski.node { name = 'a', subscriptions = 'x' })"
    terminal:enter "b = assert(chaski.node { name = 'b' })"
    terminal:enter("a", '{ subscriptions = { "x" }, running = true }')
    terminal:enter("assert(b:connect(a.address))", "live = true")
    terminal:enter("b:connect '127.0.0.1:1'", "nil\tnode:connect 127.0.0.1:1: connection refused")
    terminal:enter("assert(b:connect '127.0.0.1:1')", "\nnode:connect 127.0.0.1:1: connection refused")
    terminal:leave()
  end)

  it_async("may wait while messages arrive", function()
    local terminal = open()
    terminal:enter "got, a = {}, assert(chaski.node { name = 'a', subscriptions = 'x' })"
    terminal:enter "a:subscribe('x', function(m) got[#got + 1] = m.data end); b = assert(chaski.node {})"
    terminal:enter "assert(b:connect(a)); t = chaski.every(0.01, function() b:publish('x', #got + 1) end)"
    terminal:enter("while #got < 3 do chaski.sleep(0.01) end return got[1], got[2], got[3]", "\n1\t2\t3")
    terminal:leave()
  end)
end)

describe("editing", function()
  it_async("moves, inserts and deletes, also characters of several bytes", function()
    local terminal = open()
    terminal:enter("print 'bc" .. LEFT .. LEFT .. "a" .. CTRL_E .. "'", "\nabc")
    terminal:enter("xprint 'äöü" .. CTRL_A .. RIGHT .. DELETE .. CTRL_E .. DELETE .. "y'", "\näöy")
    terminal:leave()
  end)

  it_async("takes keys in pieces, and many lines at once", function()
    local terminal = open()
    terminal:type "print 'ac\27"
    terminal:type "["
    terminal:type "D\195"
    terminal:type("\164" .. CTRL_E .. "'\n")
    terminal:shows "\naäc"
    terminal:type "a = 1\nb = 2\nprint('sum', a + b)\n"
    terminal:shows "sum\t3"
    terminal:shows "> "
    terminal:leave()
  end)

  it_async("has a history, which the next start knows", function()
    local file = helper.file("", "history")
    local terminal = open({}, { CHASKI_HISTORY = file })
    terminal:enter("n = (n or 0) + 1; print('n', n)", "n\t1")
    terminal:enter("print 'other'", "\nother")
    terminal:enter(UP .. UP, "n\t2")
    terminal:leave()
    terminal = open({}, { CHASKI_HISTORY = file })
    terminal:enter(UP .. UP .. UP, "n\t1")
    terminal:enter("print 'o" .. CTRL_R, "\nother")
    terminal:leave()
  end)

  it_async("is redrawn for a terminal of another size", function()
    local terminal = open()
    terminal:type "print('abc"
    terminal:shows "print('abc"
    terminal:type "\xff24 40\n"
    terminal:shows "> print('abc"
    terminal:enter("def')", "\nabcdef")
    terminal:leave()
  end)
end)

describe("completion", function()
  it_async("knows globals, fields, and methods of nodes and edges", function()
    local terminal = open()
    terminal:enter "node = assert(chaski.node { name = 'n' })"
    terminal:enter("print(string.rep == str\t.re\t'x', 2))", nil) -- string.rep(
    terminal:enter("print(node:paired_f\t'x'))", "\nfalse")
    terminal:enter("print(node.addr\t == node.address)", "\ntrue")
    terminal:enter("print(chaski.to\t.ring ~= nil)", "\ntrue")
    terminal:enter "peer = assert(chaski.node { name = 'peer' })"
    terminal:enter("edge = assert(node:conn\tpeer))", nil)
    terminal:enter("print(edge.na\t)", "\npeer")
    terminal:leave()
  end)

  it_async("lists what there is when there is a choice", function()
    local terminal = open()
    terminal:type "chaski.me\t\t"
    terminal:shows "chaski.message("
    terminal:shows "chaski.messages_pool("
    terminal:type(CTRL_C)
    terminal:shows "^C\n> "
    terminal:leave()
  end)
end)

describe("what is printed and logged while a line is edited", function()
  it_async("goes above the prompt in whole lines, and the line stays", function()
    local terminal = open()
    terminal:enter "function tell() print 'printed' io.write 'half' chaski.log.warn 'logged' io.write ' whole\\n' end"
    terminal:enter "go = chaski.spawn(function() while not ready do chaski.sleep(0.01) end tell() end)"
    terminal:enter "chaski.every(0.01, function() local f = io.open(flag) if f then f:close() ready = true end end)"
    terminal:enter(("flag = %q"):format(helper.folder .. "/flag"))
    terminal:type "print 'edited"
    terminal:shows "print 'edited"
    helper.file("", "flag")
    terminal:shows "printed\n"
    terminal:shows "half whole\n"
    local shown = terminal.process.out
    assert.truthy(visible(shown):find("warn logged\n", 1, true))
    terminal:shows "> print 'edited"
    terminal:enter("'", "\nedited")
    terminal:leave()
  end)

  it_async("begins at the margin after a line that has not ended its own", function()
    local terminal = open()
    terminal:enter("io.write 'no end'", "no end")
    terminal:leave()
  end)
end)

describe("Ctrl-C", function()
  it_async("stops a line that waits, and one that runs, and not the host", function()
    local terminal = open()
    local answers = {
      ["print 'go' chaski.sleep(60)"] = "interrupted\n> ",
      ["print 'go' while true do end"] = "interrupted\n> ",
      ["pcall(function() print 'go' while true do end end) error 'on'"] = "stdin:1: on\n> ",
    }
    for line, answer in pairs(answers) do
      terminal:type(line .. "\n")
      terminal:shows "\ngo"
      terminal:type(CTRL_C)
      terminal:shows(answer)
    end
    assert.is_nil(visible(terminal.process.out):find("> ^C", 1, true))
    terminal:enter("7", "\n7")
    terminal:leave()
  end)

  it_async("drops what was typed", function()
    local terminal = open()
    terminal:type "print 'nonsense"
    terminal:shows "nonsense"
    terminal:type(CTRL_C)
    terminal:shows "^C\n> "
    terminal:type "for i = 1, 2 do\n"
    terminal:shows ">> "
    terminal:type(CTRL_C)
    terminal:shows "^C\n> "
    terminal:enter("7", "\n7")
    terminal:leave()
  end)

  it_async("leaves a handler that is at work alone, and stops one that never ends", function()
    local terminal = open()
    terminal:enter "chaski.spawn(function() chaski.sleep(0.05) print 'stuck' while true do end end)"
    terminal:shows "stuck"
    terminal:type(CTRL_C)
    uv.sleep(50) -- the first one has no effect that could be seen; two at once are one signal
    terminal:type(CTRL_C)
    terminal:shows "interrupted"
    terminal:shows "> "
    terminal:enter("7", "\n7")
    terminal:leave()
  end)
end)

describe("the end", function()
  it_async("is in good order: nodes say goodbye", function()
    local terminal = open()
    terminal:enter "n = assert(chaski.node { name = 'n' })"
    terminal:enter "n:on('stopped', function() print 'goodbye' end)"
    terminal:leave()
    assert.matches("goodbye\n$", visible(terminal.process.out))
  end)

  it_async("comes by os.exit and by SIGTERM too, and the terminal is as it was", function()
    local code = [["$0"; echo "code $?"; stty -a | grep -o ' -*icanon']]
    for keys, expected in pairs { ["os.exit(3)\n"] = "code 3\n icanon", ["\4"] = "code 0\n icanon" } do
      local process = helper.start(
        { "-B", "spec/host/terminal.py", "24", "80", "sh", "-c", code, helper.program },
        { program = "python3", open = true, env = Terminal.environment(), timeout = 8 }
      )
      process:expect "> "
      process:write(keys)
      process:wait()
      assert.truthy(visible(process.out):find(expected, 1, true), process.out)
    end
    local terminal = open()
    terminal:type "require('luv').kill(require('luv').getpid(), 'sigterm') chaski.sleep(60)\n"
    assert.equal(0, terminal.process:wait().code)
  end)
end)

describe("-i after a script", function()
  it_async("gives a prompt in its globals", function()
    local file = helper.file "x = { ... }; node = assert(require('chaski').node { name = 'scripted' })"
    local terminal = open { "-i", file, "a", "b" }
    terminal:enter("x", '{ "a", "b" }')
    terminal:enter("node.name", '"scripted"')
    terminal:leave()
  end)

  it_async("that fails does not", function()
    local process = helper.run { "-i", helper.file "error 'no'" }
    assert.matches("no\n", process.err)
    assert.equal(1, process.code)
  end)
end)

describe("in a pipe", function()
  it_async("it reads to the end, prints values and no prompts, and exits", function()
    local input = "x = 1\nx + 1\nfor i = 1, 2 do\nprint(i)\nend\n'last'"
    local process = helper.run({ "-i" }, { stdin = input })
    assert.equal('2\n1\n2\n"last"\n', process.out)
    assert.equal("", process.err)
    assert.equal(0, process.code)
  end)

  it_async("it goes on after an error, and tells by its exit code", function()
    local process = helper.run({ "-i" }, { stdin = "error 'a'\nx x\nprint 'on'\nfor i = 1, 2 do" })
    assert.equal("on\n", process.out)
    assert.matches("^stdin:1: a\nstdin:1: syntax error near 'x'\nstdin:1: 'end' expected near <eof>\n", process.err)
    assert.equal(1, process.code)
  end)

  it_async("lines come while it runs, each a task, and nodes stop in the end", function()
    local process = helper.start({ "-i" }, { open = true })
    process:write "chaski = require 'chaski'; n = assert(chaski.node { name = 'n' }); print 'there'\n"
    process:expect "there"
    process:write "chaski.sleep(0.01)\n n:on('stopped', function() print 'goodbye' end)\nn.running\n"
    process:expect "true"
    process:close_input()
    assert.matches("goodbye\n$", process:wait().out)
    assert.equal(0, process.code)
  end)
end)
