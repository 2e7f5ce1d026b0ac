-- attack_spec.lua: the program started where things are missing. SPDX-License-Identifier: MIT
local helper = require "spec.helper"

local function it_async(name, test, timeout)
  it(name, helper.async(test, timeout))
end

--- Run the program by a shell, with these words behind its arguments.
local function by_shell(before, after, code)
  local line = ('%s exec "$0" -e "$1" %s'):format(before, after)
  return helper.run({ "-c", line, assert(helper.program), code }, { program = "/bin/sh" })
end

local two_nodes = [[
  local chaski = require "chaski"
  local a, b = assert(chaski.node { name = "a" }), assert(chaski.node { name = "b" })
  assert(a:connect(b))
  print "not for b"
  a:stop()
  assert(b.ledger.malformed == 0)
  b:stop()
  os.exit(7)]]

describe("a program without standard files", function()
  if os.getenv "CHASKI_VALGRIND" then return end -- it needs them itself
  for _, closed in ipairs { "<&-", ">&-", "2>&-", "<&- >&- 2>&-" } do
    it_async("does its work all the same: " .. closed, function()
      local process = by_shell("", closed, two_nodes)
      assert.equal("7 0 ", ("%d %d %s"):format(process.code, process.signal, process.err))
    end)
    it_async("ends in good order: " .. closed, function()
      local process = by_shell("", closed, "require 'chaski'")
      assert.equal("0 0 ", ("%d %d %s"):format(process.code, process.signal, process.err))
    end)
  end
end)

describe("a program that may open few files", function()
  if os.getenv "CHASKI_VALGRIND" or os.getenv "CHASKI_SANITIZE" then return end -- they need some themselves
  it_async("says so", function()
    local process = by_shell("ulimit -n 8;", "", "print 'never'")
    assert.equal(1, process.code)
    assert.equal("chaski-lua: cannot create the event loop: too many open files\n", process.err)
    assert.equal("", process.out)
  end)
end)

describe("a script that puts an __index of its own in the place of that of messages", function()
  it_async("gets long strings all the same", function()
    local process = helper.run {
      "-e",
      [[
      local chaski = require "chaski"
      local a, b = assert(chaski.node { name = "a" }), assert(chaski.node { name = "b" })
      local count = 0
      b:subscribe("t", function(message)
        debug.getmetatable(message).__index = function() return "mine" end
        assert(message.data == "mine")
        collectgarbage()
        count = count + 1
      end)
      local edge = assert(a:connect(b))
      while not edge:is_subscribed "t" do chaski.sleep(0.001) end
      for _ = 1, 20 do assert(a:publish("t", ("x"):rep(1000))) end
      while count < 20 do chaski.sleep(0.001) end
      a:stop()
      b:stop()
      print(count)]],
    }
    assert.equal("20\n0 0 ", ("%s%d %d %s"):format(process.out, process.code, process.signal, process.err))
  end)
end)
