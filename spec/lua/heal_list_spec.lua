-- heal_list_spec.lua: the passive list keeps to its bounds whatever it is told. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local list = require "chaski.heal.list"
local network_of = require "chaski.heal.network"

local LIMITS = { passive = 30, share = 15, network = 3 }

local function count(entries, field, value)
  local n = 0
  for _, entry in ipairs(entries) do
    if entry[field] == value then n = n + 1 end
  end
  return n
end

--- A test in virtual time, with a list.
local function it_lists(name, test)
  it(name, function()
    local sim <close> = chaski.sim { seed = 7 }
    assert(sim:run(function()
      test(list.new(LIMITS))
      return true
    end))
  end)
end

--- n addresses, each in a network of its own.
local function add(to, n, source, given)
  given = given or {}
  for i = 1, n do
    local ip = ("10.%d.%d.1"):format(given.second or 0, i)
    to:add(source .. i, ip, 2000, given.heard or core.now(), source)
  end
end

describe("a passive list", function()
  it_lists("has 30 entries at most, 15 of one source", function(peers)
    add(peers, 200, "a")
    assert.equal(15, #peers.entries)
    add(peers, 200, "b", { second = 1 })
    assert.equal(30, #peers.entries)
    add(peers, 200, "c", { second = 2 })
    assert.equal(30, #peers.entries)
    for _, source in ipairs { "a", "b", "c" } do
      assert.is_true(count(peers.entries, "source", source) <= 15)
    end
  end)

  it_lists("takes from whom it has most when others have news", function(peers)
    add(peers, 100, "enemy")
    for i, source in ipairs { "a", "b", "c", "d" } do
      add(peers, 5, source, { second = i })
    end
    add(peers, 100, "enemy")
    for _, source in ipairs { "a", "b", "c", "d" } do
      assert.is_true(count(peers.entries, "source", source) >= 5)
    end
    assert.equal(30, #peers.entries)
  end)

  it_lists("has 3 of one network at most, but any number on loopback", function(peers)
    for i = 1, 100 do
      peers:add("x" .. i, "192.0.2." .. i, 2000, core.now(), "s" .. i % 10)
    end
    assert.equal(3, #peers.entries)
    for i = 1, 10 do
      peers:add("y" .. i, "127.0.0.1", 2000 + i, core.now(), "z" .. i)
    end
    assert.equal(13, #peers.entries)
  end)

  it_lists("keeps what the node knows itself beyond any share", function(peers)
    add(peers, 20, "")
    assert.equal(20, #peers.entries)
    add(peers, 15, "a", { second = 1 })
    add(peers, 15, "b", { second = 2 })
    assert.is_true(count(peers.entries, "source", "") >= 10)
  end)

  it_lists("keeps 6 faded entries, and no more when there are fresh ones", function(peers)
    add(peers, 12, "")
    for _, entry in ipairs(peers.entries) do
      entry.failed = 1
    end
    for i = 1, 10 do
      add(peers, 10, "s" .. i, { second = i })
    end
    assert.equal(30, #peers.entries)
    assert.equal(6, #peers:select(list.is_faded))
  end)

  it_lists("is news of an entry only when it is younger, and makes a failed one fresh again", function(peers)
    local entry = peers:add("n", "192.0.2.1", 2000, core.now(), "a")
    entry.failed, entry.tried = 2, core.now()
    peers:add("n", "192.0.2.1", 2000, core.now() - 50, "a")
    assert.is_true(list.is_faded(entry))
    chaski.sleep(1)
    peers:add("n", "192.0.2.1", 2000, core.now(), "a")
    assert.is_false(list.is_faded(entry))
    chaski.sleep(301)
    assert.is_true(list.is_faded(entry))
    assert.equal(1, #peers.entries)
  end)
end)

describe("the network of an address", function()
  it("is its /24, or /48, however it is written", function()
    assert.equal(network_of "192.0.2.1", network_of "192.0.2.200")
    assert.not_equal(network_of "192.0.2.1", network_of "192.0.3.1")
    assert.equal(network_of "2001:db8::1", network_of "2001:0DB8:0:1:2:3:4:5")
    assert.equal(network_of "2001:db8:7::1", network_of "2001:db8:7:0:0:0:0:1")
    assert.not_equal(network_of "2001:db8:7::1", network_of "2001:db8:8::1")
    assert.equal(network_of "2001::1:2:3:4:5:6", network_of "2001:0:1:2:3:4:5:6")
    assert.equal(network_of "2001:db8::192.0.2.1", network_of "2001:db8::1")
  end)

  it("is none on loopback", function()
    assert.is_nil(network_of "127.0.0.1")
    assert.is_nil(network_of "127.3.2.1")
    assert.is_nil(network_of "::1")
  end)
end)
