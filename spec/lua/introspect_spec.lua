-- The option introspect: what a node tells of its edges, to whom, and that others tell nothing.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local helper = require "spec.helper"

describe("a node with introspect = true", function()
  it(
    "tells who it is, its edges and counters",
    helper.async(function()
      local one <close> =
        assert(chaski.node { name = "one", introspect = true, subscriptions = { "b", "a" }, paired = true })
      local two <close> = assert(chaski.node { name = "two", subscriptions = "c" })
      local three <close> = assert(chaski.node { name = "three" })
      assert(two:connect(one))
      local edge = assert(three:connect(one))
      local told = assert(three:request("chaski.edges", nil, { edge = edge }))
      assert.equal("one", told.name)
      assert.equal(one.id, told.id)
      assert.equal(one.address, told.address)
      assert.same({ "a", "b" }, { table.unpack(told.subscriptions) })
      assert.is_true(told.paired.a and told.paired.b)
      assert.is_false(told.tls)
      assert.equal(2, #told.edges)
      assert.equal("two", told.edges[1].name)
      assert.equal(two.id, told.edges[1].id)
      assert.equal(two.address, told.edges[1].address)
      assert.same({ "c" }, { table.unpack(told.edges[1].subscriptions) })
      assert.is_true(told.edges[2].counters.frames_in > 0)
      assert.equal(0, told.ledger.published)
      assert.same(
        { value = 1000, hits = 0 },
        { value = told.limits.edges_max.value, hits = told.limits.edges_max.hits }
      )
      assert.is_true(told.uptime >= 0)
    end)
  )
end)

describe("a node without", function()
  it(
    "tells nothing",
    helper.async(function()
      local one <close> = assert(chaski.node {})
      local two <close> = assert(chaski.node {})
      assert(two:connect(one))
      local told, err = two:request "chaski.edges"
      assert.is_nil(told)
      assert.equal("unknown_callback", err.code)
    end)
  )
end)
