-- attack_spec.lua: faults that a hostile tester found in the Lua API: each test is the attack.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local uv = require "luv"
local helper = require "spec.helper"
local nodes = require "spec.lua.nodes"

local function test_async(name, test)
  it(name, helper.async(test))
end

describe("the coroutine of a task that waits", function()
  local function waiting()
    local co
    local task = chaski.spawn(function()
      co = coroutine.running()
      chaski.sleep(0.05)
      return "slept"
    end)
    return task, co
  end

  test_async("cannot be resumed by another task", function()
    local task, co = waiting()
    local ok, why = coroutine.resume(co)
    assert.is_false(ok)
    assert.matches("a task that waits cannot be resumed", why)
    assert.is_nil((task:join()))
  end)

  test_async("cannot be resumed from outside all tasks", function()
    local task, co = waiting()
    local timer, ok, why = uv.new_timer(), nil, nil
    timer:start(1, 0, function()
      ok, why = coroutine.resume(co)
      timer:close()
    end)
    assert.is_nil((task:join()))
    assert.is_false(ok)
    assert.matches("a task that waits cannot be resumed", why)
  end)

  test_async("may be closed, which ends the task", function()
    local task, co = waiting()
    assert.is_true(coroutine.close(co))
    assert.is_nil((task:join()))
  end)
end)

describe("a finalizer", function()
  it(
    "cannot be called by hand",
    nodes.test(function()
      local a, _, edge = nodes.pair()
      for _, object in ipairs { a, edge, a:subscribe("t"), chaski.spawn(print, ""), a.messages_pool } do
        assert.is_nil(getmetatable(object).__gc)
        assert.is_string(getmetatable(object).__name)
      end
    end)
  )

  test_async("may look at what was finalized before it", function()
    local process = helper.run {
      helper.file [[
      local edge, task, subscription
      -- older than those, and so finalized after them
      _G.keep = setmetatable({}, { __gc = function()
        for _, field in ipairs { "name", "live", "subscriptions", "paired" } do
          pcall(function() return edge[field] end)
        end
        for _, each in ipairs { edge, task, subscription } do
          pcall(tostring, each)
          for _, method in ipairs { "close", "join", "cancel", "remove", "ping" } do
            pcall(function() return each[method](each) end)
          end
        end
        print "looked"
      end })
      local chaski = require "chaski"
      local a, b = assert(chaski.node {}), assert(chaski.node {})
      task = chaski.spawn(function() return 1 end)
      edge = assert(a:connect(b))
      subscription = a:subscribe("t", print)
      a:stop()
      b:stop()]],
    }
    assert.equal("looked\n0 0 ", ("%s%d %d %s"):format(process.out, process.code, process.signal, process.err))
  end)
end)

describe("chaski.reconnect", function()
  it("takes one argument", function()
    for _, more in ipairs { {}, "x", print, true } do
      assert.is_function(chaski.reconnect({ base = 1 }, more))
      local ok, why = pcall(chaski.reconnect, { bas = 1 }, more)
      assert.is_false(ok)
      assert.matches("reconnect: unknown option 'bas', did you mean 'base'?", why, 1, true)
    end
  end)
end)

describe("what a port is asked for", function()
  it("is a numeric address", function()
    for _, ip in ipairs { "", "nonsense", "256.1.1.1", "127.0.0.1\0x" } do
      local port, err = chaski.get_free_port(ip)
      assert.is_nil(port)
      assert.equal("not_available", err.code)
      assert.is_false(chaski.is_port_available(4711, ip))
    end
    for _, ip in ipairs { 5, {}, print } do
      assert.has_error(function()
        chaski.get_free_port(ip)
      end)
      local ok, why = pcall(chaski.is_port_available, 4711, ip)
      assert.is_false(ok)
      assert.matches("is_port_available: expected a numeric address, got", why)
    end
  end)
end)

describe("a handler that fails whenever a peer wants it to", function()
  test_async("does not fill the log", function()
    local process = helper.run {
      helper.file [[
      local chaski = require "chaski"
      local heard = 0
      require("chaski.core").on_error(function() heard = heard + 1 end)
      for i = 1, 500 do chaski.spawn(error, "failure " .. i) end
      print(heard, require("chaski.core").errors())]],
    }
    assert.equal("500\t500\n", process.out)
    local _, logged = process.err:gsub("task: failure", "")
    local rest = 0
    for number in process.err:gmatch "error (%d+) more errors were not logged\n" do
      rest = rest + tonumber(number)
    end
    assert.equal(500, logged + rest)
    assert.is_true(logged <= 30, logged .. " are in the log") -- the second may change
  end)
end)
