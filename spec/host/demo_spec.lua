-- demo_spec.lua: scripts/demo, and how it is interrupted: by a terminal's Ctrl-C, which reaches its whole group, or by
-- a signal to it alone. SPDX-License-Identifier: MIT
local uv = require "luv"
local helper = require "spec.helper"

if os.getenv "CHASKI_SANITIZE" or os.getenv "CHASKI_VALGRIND" then return end -- it builds and runs the release

local folder

--- The demo in a session of its own, its temporary files in a folder of this test's.
local function start(args, env)
  folder = assert(uv.fs_mkdtemp "/tmp/chaski-demo-XXXXXX")
  local words = { "scripts/demo", table.unpack(args) }
  env = env or {}
  env.TMPDIR, env.CHASKI_GC, env.CHASKI_LUA = folder, false, false
  return helper.start(words, { program = "setsid", env = env, timeout = 60 })
end

local function files()
  local names = {}
  for name in uv.fs_scandir_next, assert(uv.fs_scandir(folder)) do
    names[#names + 1] = name
  end
  return names
end

local function assert_left(process, code)
  assert.equal(code, process:wait().code, process.err)
  assert.same({}, files())
  assert(uv.fs_rmdir(folder))
end

local function assert_in_order(process, count)
  assert_left(process, 0)
  assert.equal("", process.err)
  assert.matches(("all %d processes have left in good order\n$"):format(count), process.out)
end

local ways = {
  ["Ctrl-C"] = function(process)
    uv.kill(-process.pid, "sigint")
  end,
  ["SIGINT to it alone"] = function(process)
    process:kill "sigint"
  end,
  ["SIGTERM to it alone"] = function(process)
    process:kill "sigterm"
  end,
}

local function it_async(name, test)
  it(name, helper.async(test, 60))
end

describe("the demo", function()
  it_async("ends by itself with a summary", function()
    local process = start { "--seconds=2" }
    assert_in_order(process, 4)
    assert.matches("summary: %d+ readings from 2 nodes", process.out)
  end)

  for name, interrupt in pairs(ways) do
    it_async("ends in good order at once by " .. name, function()
      local process = start { "--seconds", "600" }
      process:expect "kitchen "
      interrupt(process)
      assert_in_order(process, 4)
      assert.matches("summary: %d+ readings", process.out)
    end)

    it_async("is ended before anything was read by " .. name, function()
      local process = start { "--seconds", "600" }
      process:expect "root listens"
      interrupt(process)
      assert_left(process, 0)
      assert.equal("", process.err)
    end)

    it_async("leaves nothing behind when it is ended during the build by " .. name, function()
      local path = helper.file("#!/bin/sh\n: > $TMPDIR/building\nexec sleep 600\n", "dpkg-query")
      assert(uv.fs_chmod(path, 493)) -- 0755
      local process = start({}, { PATH = path:match "^(.*)/" .. ":" .. os.getenv "PATH" })
      local marker = folder .. "/building"
      helper.eventually(function()
        return os.remove(marker)
      end)
      interrupt(process)
      assert_left(process, name:find "TERM" and 143 or 130)
      assert.matches("interrupted during the build", process.err, 1, true)
      helper.clean()
    end)
  end

  it_async("says what is wrong with its arguments", function()
    for _, args in ipairs { { "--seconds" }, { "--seconds=0" }, { "--seconds", "x" }, { "--minutes", "1" } } do
      local process = helper.run({ "scripts/demo", table.unpack(args) }, { program = "bash" })
      assert.equal(2, process.code)
      assert.matches("usage: scripts/demo", process.err, 1, true)
    end
  end)
end)
