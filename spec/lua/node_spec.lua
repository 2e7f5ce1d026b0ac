-- node_spec.lua: a node's life, fields and methods. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local helper = require "spec.helper"
local nodes = require "spec.lua.nodes"

local test = nodes.test

describe("chaski.node", function()
  it(
    "runs at once, on an ephemeral port of loopback",
    test(function()
      local node = nodes.node "plain"
      assert.is_true(node.running)
      assert.equal("127.0.0.1", node.ip)
      assert.is_true(node.port > 0)
      assert.equal("127.0.0.1:" .. node.port, node.address)
      assert.equal("plain@" .. node.address, tostring(node))
    end)
  )

  it(
    "shows a star before the name of a root",
    test(function()
      local root = nodes.node("hub", { root = true, port = chaski.get_free_port() })
      assert.equal("*hub@" .. root.address, tostring(root))
      assert.is_true(root.root)
    end)
  )

  it(
    "does not run when told so, and can be run later",
    test(function()
      local node = nodes.node("later", { run = false })
      assert.is_false(node.running)
      assert.is_true(node:run())
      assert.is_true(node.running)
    end)
  )

  it(
    "gives nil and an error that names the address when the port is taken",
    test(function()
      local first = nodes.node "first"
      local second, err = chaski.node { port = first.port }
      assert.is_nil(second)
      assert.equal("in_use", err.code)
      assert.truthy(tostring(err):find(first.address, 1, true))
    end)
  )

  it(
    "runs again after a stop, on the same port",
    test(function()
      local node = nodes.node "again"
      local port = node.port
      assert.is_true(node:stop())
      assert.is_false(node.running)
      assert.is_true(node:run())
      assert.equal(port, node.port)
    end)
  )

  it(
    "stops twice without harm, and for two tasks at once",
    test(function()
      local node = nodes.node "twice"
      local other = chaski.spawn(node.stop, node)
      assert.is_true(node:stop())
      assert.is_true(other:join())
      assert.is_true(node:stop())
    end)
  )

  it(
    "stays while it runs though the script drops it",
    test(function()
      local address = nodes.node("anchored").address
      collectgarbage()
      collectgarbage()
      local other = nodes.node "other"
      assert.equal("anchored", assert(other:connect(address)).name)
    end)
  )

  it(
    "is stopped by leaving a scope with <close>",
    test(function()
      local kept
      do
        local node <close> = nodes.node "scoped"
        kept = node
      end
      assert.is_false(kept.running)
    end)
  )

  it(
    "is aborted without waiting where a task may not wait",
    test(function()
      local a, _, edge = nodes.pair()
      local close = getmetatable(a).__close
      table.sort({ 1, 2 }, function()
        if close then close(a) end
        close = nil
        return false
      end)
      assert.is_false(edge.live)
      assert.is_falsy(a.running)
      assert.equal("stopped", select(2, a:publish("x", 1)).code)
    end)
  )

  it(
    "has no field of unknown name and refuses assignment",
    test(function()
      local node = nodes.node "fields"
      assert.is_nil(node.nonsense)
      assert.has_error(function()
        node.port = 1
      end, "chaski.node: field 'port' cannot be assigned")
    end)
  )

  it(
    "says which subscriptions it has and whether they are paired",
    test(function()
      local node = nodes.node("subscriber", { subscriptions = { "b", "a" }, paired = true })
      assert.same({ "a", "b" }, node.subscriptions)
      assert.is_true(node.paired)
      node:subscribe("c", { paired = false })
      assert.is_false(node.paired)
      assert.is_true(node:paired_for "a")
      assert.is_false(node:paired_for "c")
      assert.is_false(node:paired_for "z")
      node:unsubscribe "c"
      assert.is_true(node.paired)
    end)
  )

  it(
    "has a status with counters, limits and what status_extra adds",
    test(function()
      local node = nodes.node("told", {
        subscriptions = "x",
        status_extra = function(n)
          return { load = n.name }
        end,
      })
      local status = node.status
      assert.equal("told", status.name)
      assert.equal("told", status.load)
      assert.is_true(status.serving)
      assert.is_false(status.reconnecting)
      assert.equal(0, status.edges)
      assert.same({ x = false }, status.paired)
      assert.equal(8 * 1024 * 1024, status.limits.data_max.value)
      assert.equal(0, status.limits.data_max.hits)
      assert.equal(7, status.limits.keep_alive_interval.value)
      assert.equal(0, status.counters.published)
    end)
  )

  it(
    "has a messages pool",
    test(function()
      local node = nodes.node "pooled"
      local id = chaski.uuid()
      assert.is_false(node.messages_pool:contains(id))
      node.messages_pool:append(id)
      assert.is_true(node.messages_pool:contains(id))
      local pool <close> = chaski.messages_pool(2)
      for _, each in ipairs { "x", "y", "z" } do
        pool:append(each)
      end
      assert.same({ false, true, true }, { pool:contains "x", pool:contains "y", pool:contains "z" })
      assert.equal(2, #pool)
    end)
  )

  it(
    "switches propagation and its commands",
    test(function()
      local node = nodes.node "relay"
      assert.is_false(node.message_propagation)
      node:enable_message_propagation()
      assert.is_true(node.message_propagation)
      node:disable_message_propagation()
      assert.is_false(node.message_propagation)
      assert.is_true(node:add_propagation_command "mine")
      node:remove_propagation_command "mine"
    end)
  )

  it("raises, naming itself, when a waiting method is called outside a task", function()
    local node = assert(chaski.node { run = false })
    assert.error_matches(function()
      node:connect "127.0.0.1:1"
    end, "node:connect: called outside a task")
    assert.error_matches(function()
      node:publish("x", 1)
    end, "node:publish: called outside a task")
    node = nil -- luacheck: ignore
    collectgarbage()
    chaski.run(function()
      chaski.sleep(0)
    end)
  end)

  it(
    "keeps no node when it is collected",
    test(function()
      local before = core.counts().nodes
      for _ = 1, 20 do
        nodes.node("short", { run = false })
      end
      collectgarbage()
      collectgarbage()
      helper.eventually(function()
        return core.counts().nodes <= before
      end, "the nodes are gone")
    end)
  )
end)

describe("chaski", function()
  it("knows addresses", function()
    assert.same({ host = "127.0.0.1", port = 8511 }, chaski.address "127.0.0.1:8511")
    assert.same({ name = "Root", host = "::1", port = 80 }, chaski.address "*Root@[::1]:80")
    local address, err = chaski.address "nonsense"
    assert.is_nil(address)
    assert.equal("bad_address", err.code)
  end)

  it(
    "finds free ports and knows those that are taken",
    test(function()
      local port = chaski.get_free_port()
      assert.is_true(chaski.is_port_available(port))
      local node = nodes.node("taker", { port = port })
      assert.equal(port, node.port)
      assert.is_false(chaski.is_port_available(port))
      assert.equal("not_available", select(2, chaski.get_free_port "192.0.2.1").code)
    end)
  )

  it("makes different uuids of version 4", function()
    local a, b = chaski.uuid(), chaski.uuid()
    assert.not_equal(a, b)
    assert.truthy(a:find "^%x+%-%x+%-4%x+%-[89ab]%x+%-%x+$")
    assert.equal(36, #a)
  end)

  it("has a version and leaves no globals", function()
    assert.is_string(chaski.version)
    assert.is_nil(rawget(_G, "chaski"))
  end)
end)
