-- badinput_spec.lua: every method, given nonsense, raises an error that names what is wrong, and nothing breaks.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local nodes = require "spec.lua.nodes"

local test = nodes.test

local nonsense = {
  false,
  true,
  0,
  -1,
  0.5,
  math.huge,
  "",
  "nonsense",
  ("x"):rep(5000),
  "\xff\0",
  {},
  { 1 },
  { x = 1 },
  print,
  io.stdout,
}

local function call_with_nonsense(methods, make)
  for name, method in pairs(methods) do
    for _, first in ipairs(nonsense) do
      for _, second in ipairs { false, "x", {}, 1 } do
        pcall(method, first, second)
        local object = make()
        pcall(method, object, first, second)
        pcall(method, object, "x", first, second)
        pcall(method, object, "x", function() end, first)
      end
    end
    assert.is_string(name)
  end
end

-- What would wait, or end what the others need, is tried apart.
local function without(methods, ...)
  local rest = {}
  for name, method in pairs(methods) do
    rest[name] = method
  end
  for _, name in ipairs { ... } do
    rest[name] = nil
  end
  return rest
end

describe("nonsense", function()
  it(
    "given to the methods of a node does no harm",
    test(function()
      local a, b = nodes.pair()
      local methods = without(core.node_methods, "stop", "run", "messages", "connect", "discovery", "request")
      call_with_nonsense(methods, function()
        return a
      end)
      assert.is_true(a.running)
      assert.is_true(b.running)
      assert.is_true(#a.edges <= 1)
    end, 30)
  )

  it(
    "given to the methods of an edge does no harm",
    test(function()
      local _, _, edge = nodes.pair()
      call_with_nonsense(without(core.edge_methods, "close"), function()
        return edge
      end)
      assert.is_true(edge.live)
    end, 30)
  )

  it(
    "given to getters does no harm",
    test(function()
      for _, getters in ipairs { core.node_fields, core.edge_fields, core.subscription_fields } do
        for _, getter in pairs(getters) do
          for _, value in ipairs(nonsense) do
            assert.is_false(pcall(getter, value))
          end
        end
      end
    end)
  )

  it(
    "given to functions of the module does no harm",
    test(function()
      for _, name in ipairs { "node", "message", "messages_pool", "address", "get_free_port", "is_port_available" } do
        for _, value in ipairs(nonsense) do
          local ok, result = pcall(chaski[name], value)
          if ok and name == "node" and result then result:stop() end
        end
      end
    end)
  )

  it(
    "as an object of another kind is refused by name",
    test(function()
      local a, _, edge = nodes.pair()
      assert.error_matches(function()
        a.stop(edge)
      end, "chaski.node expected")
      assert.error_matches(function()
        edge.close(a)
      end, "chaski.edge expected")
      assert.error_matches(function()
        a:publish(1, 2)
      end, "string expected")
      assert.error_matches(function()
        a:publish("x", 1, { edge = a })
      end, "expected edge")
      assert.error_matches(function()
        a:publish("x", 1, { edges = 1 })
      end, "did you mean 'edge'")
      assert.error_matches(function()
        a:connect(7)
      end, "expected 'host:port' or a node")
      assert.error_matches(function()
        a:subscribe("x", 7)
      end, "expected a function")
      assert.error_matches(function()
        a:subscribe({ 1 }, print)
      end, "expected a topic or a list of topics")
      assert.error_matches(function()
        a:subscribe("x", print, { concurency = 2 })
      end, "did you mean 'concurrency'")
      assert.error_matches(function()
        a:subscribe(("x"):rep(300), print)
      end, "node:subscribe: topic")
      assert.error_matches(function()
        a:stop { timeout = -1 }
      end, "seconds")
      assert.error_matches(function()
        edge:close "because"
      end, "invalid option 'because'")
    end)
  )

  it(
    "as bytes of a frame is refused",
    test(function()
      local a = nodes.pair()
      for _, bytes in ipairs { "", "x", ("\0"):rep(8), ("\xff"):rep(100) } do
        assert.equal("malformed", select(2, a:write_data(bytes)).code)
      end
    end)
  )
end)
