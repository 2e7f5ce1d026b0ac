-- message_spec.lua: the message object. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local helper = require "spec.helper"
local nodes = require "spec.lua.nodes"

local test = nodes.test

local function one_message(data, options)
  local a, b, edge = nodes.pair(nil, options)
  local got, wait = nodes.collector()
  b:subscribe("t", function(message, from)
    got[1] = { message, from }
  end)
  helper.eventually(function()
    return edge:is_subscribed "t"
  end, "a knows")
  assert(a:publish("t", data))
  wait(1)
  return got[1][1], got[1][2], a, b
end

describe("a message", function()
  it(
    "has the fields of its envelope and its data",
    test(function()
      local message, edge, a = one_message { n = 1, list = { 1, 2 } }
      assert.equal("ChaskiMessage", message.command)
      assert.equal("t", message.topic)
      assert.same({ n = 1, list = { 1, 2 } }, message.data)
      assert.is_true(rawequal(message.data, message.data))
      assert.equal(64, message.ttl)
      assert.equal(36, #message.uuid)
      assert.equal(a.origin, message.origin)
      assert.is_number(message.seq)
      assert.truthy(tostring(message.timestamp))
      assert.equal(#message.bytes, message.size)
      assert.same(message.data, chaski.unpack(message.bytes))
      assert.is_nil(message.nonsense)
      assert.equal("a", edge.name)
      assert.truthy(tostring(message):find("ChaskiMessage, t", 1, true))
    end)
  )

  it(
    "has the keys of its own data, whatever keys came before",
    test(function()
      math.randomseed(7)
      local alphabet = { "a", "b", "\0", "\255", "0" }
      local function key(len)
        local bytes = {}
        for i = 1, len do
          bytes[i] = alphabet[math.random(#alphabet)]
        end
        return table.concat(bytes)
      end
      local function read(data)
        local fields = { command = "x", topic = "t", ttl = 1 }
        local message = assert(core.read_frame(core.build_frame(fields, data)))
        assert.same(data, message.data)
        assert.same(data, message.data) -- the same table: nothing is read again
      end
      for _ = 1, 300 do
        local data = {}
        for _ = 1, math.random(0, 12) do
          data[key(math.random(0, 18))] = math.random() < 0.5 and math.random(0, 1 << 40) or math.random()
        end
        read(data)
        read(data)
      end
    end)
  )

  it(
    "has a string of any length as it was sent, and bytes too many are told of",
    test(function()
      for _, len in ipairs { 0, 1, 2, 31, 32, 33, 255, 256, 65535, 65536 } do
        for _, byte in ipairs { "x", "\200" } do
          local data = byte:rep(len)
          local frame = core.build_frame({ command = "x", topic = "t", ttl = 1 }, data)
          assert.equal(data, core.read_frame(frame).data)
          local longer = ("> I4"):pack(("> I4"):unpack(frame) + 1) .. frame:sub(5) .. "!"
          helper.raises("1 bytes after the value", function()
            return assert(core.read_frame(longer)).data
          end)
        end
      end
    end)
  )

  it(
    "answers pairs and totable",
    test(function()
      local message = one_message(7)
      local seen = {}
      for key, value in pairs(message) do
        seen[key] = value
      end
      assert.same(message:totable(), seen)
      assert.equal(7, seen.data)
      assert.equal(message.uuid, seen.uuid)
    end)
  )

  it(
    "takes an assignment to data and to nothing else",
    test(function()
      local message = one_message "old"
      message.data = "new"
      assert.equal("new", message.data)
      message.data = nil
      assert.is_nil(message.data)
      assert.error_matches(function()
        message.topic = "x"
      end, "field 'topic' cannot be assigned")
    end)
  )

  it(
    "counts its ttl down to zero and no further",
    test(function()
      local message = chaski.message { ttl = 2 }
      assert.same({ 1, 0, 0 }, { message:decrement_ttl(), message:decrement_ttl(), message:decrement_ttl() })
      assert.equal(0, message.ttl)
    end)
  )

  it(
    "may be large",
    test(function()
      local text = ("x"):rep(100000)
      assert.equal(text, one_message(text).data)
    end)
  )

  it(
    "whose data is malformed raises, is counted and told once, and costs nothing else",
    test(function()
      local a, b, edge = nodes.pair()
      local got, wait = nodes.collector()
      local told = {}
      b:on("malformed_data", function(message, err, from)
        told[#told + 1] = { message, err, from }
      end)
      b:subscribe("t", function(message)
        got[#got + 1] = { message, pcall(function()
          return message.data
        end) }
      end)
      helper.eventually(function()
        return edge:is_subscribed "t"
      end, "a knows")
      local good = a:serialize_message(chaski.message { topic = "t", data = "abc" })
      local bad = good:gsub("\xa3abc$", "\xc1abc")
      assert.not_equal(good, bad)
      assert(a:write_data(bad))
      wait(1)
      local message, ok, err = table.unpack(got[1])
      assert.is_false(ok)
      assert.equal("malformed_data", err.code)
      assert.is_false(pcall(function()
        return message.data
      end))
      assert.equal(1, #told)
      assert.equal("a", told[1][3].name)
      assert.equal("malformed_data", told[1][2].code)
      assert.equal(1, b.ledger.malformed_data)
      assert.is_true(edge.live)
    end)
  )
end)

describe("chaski.message", function()
  it("makes one by hand", function()
    local time = chaski.timestamp(1700000000, 5)
    local message = chaski.message { command = "c", topic = "t", data = { 1 }, ttl = 3, uuid = "id", timestamp = time }
    assert.equal("c", message.command)
    assert.equal("t", message.topic)
    assert.same({ 1 }, message.data)
    assert.equal(3, message.ttl)
    assert.equal("id", message.uuid)
    assert.equal(time, message.timestamp)
  end)

  it("has defaults", function()
    local message = chaski.message()
    assert.equal("ChaskiMessage", message.command)
    assert.equal("All", message.topic)
    assert.equal(64, message.ttl)
    assert.equal(36, #message.uuid)
    assert.is_nil(message.data)
  end)

  it("raises for what cannot be", function()
    assert.error_matches(function()
      chaski.message { topics = "x" }
    end, "did you mean 'topic'")
    assert.error_matches(function()
      chaski.message { ttl = 65 }
    end, "option 'ttl': expected integer 0..64")
    assert.has_error(function()
      chaski.message { data = print }
    end)
  end)
end)

describe("a serializer pair of the node's own", function()
  local pair = {
    serializer = function(value)
      return "<" .. tostring(value) .. ">"
    end,
    deserializer = function(bytes)
      return assert(bytes:match "^<(.*)>$")
    end,
  }

  it(
    "covers data only",
    test(function()
      local a, b, edge = nodes.pair({ serializer = pair.serializer }, { deserializer = pair.deserializer })
      local got, wait = nodes.collector()
      b:subscribe("t", function(message)
        got[#got + 1] = { message.data, message.bytes }
      end)
      helper.eventually(function()
        return edge:is_subscribed "t"
      end, "a knows")
      assert(a:publish("t", "x\xff"))
      wait(1)
      assert.equal("x\xff", got[1][1])
      assert.equal("\xc4", got[1][2]:sub(1, 1))
    end)
  )

  it(
    "gives the raw bytes when it cannot read, nil and an error when it cannot write",
    test(function()
      local a, b, edge = nodes.pair({
        serializer = function(value)
          if value == "bad" then error "no" end
          return value
        end,
      }, { deserializer = pair.deserializer })
      local got, wait = nodes.collector()
      b:subscribe("t", function(message)
        got[#got + 1] = message.data
      end)
      helper.eventually(function()
        return edge:is_subscribed "t"
      end, "a knows")
      assert(a:publish("t", "not in brackets"))
      wait(1)
      assert.equal("not in brackets", got[1])
      assert.equal("serialize", select(2, a:publish("t", "bad")).code)
      assert.equal("serialize", select(2, a:try_publish("t", 7)).code)
      assert.equal("serialize", select(2, a:write("c", {})).code)
    end)
  )
end)
