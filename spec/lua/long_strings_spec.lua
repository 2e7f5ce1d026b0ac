-- long_strings_spec.lua: messages whose data is one long string, which the receiver keeps apart from the rest of the
-- frame: nothing of them may differ from others. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local helper = require "spec.helper"
local nodes = require "spec.lua.nodes"

local test = nodes.test

local LONG = ("x"):rep(1000)
local SIZES = { 255, 256, 508, 509, 510, 511, 512, 513, 65535, 65536, 100000 }

local function frame_of(node, data)
  return assert(node:serialize_message(chaski.message { topic = "t", data = data }))
end

--- What b's handler of `t` gets of the frames that a sends it.
local function received(frames_of, options, handler)
  local a, b, edge = nodes.pair(nil, options)
  local got, wait = nodes.collector()
  b:subscribe("t", function(message, from)
    if handler then handler(message, from) end
    got[#got + 1] = message
  end)
  nodes.knows(edge, "t")
  local frames = frames_of(a)
  for _, frame in ipairs(frames) do
    assert(a:write_data(frame))
  end
  return wait(#frames), frames, b, a
end

--- A frame of a message with these bytes for its data, which stand last.
local function with_data(node, bytes)
  local frame = frame_of(node, "")
  local rest, topic = (">I4I4"):unpack(frame)
  return (">I4I4"):pack(rest - 1 + #bytes, topic) .. frame:sub(9, -2) .. bytes
end

local function assert_whole(message, frame, packed, node)
  assert.equal(packed, message.bytes)
  assert.equal(#packed, message.size)
  assert.equal(#frame, message.wire_size)
  assert.equal(frame, node:serialize_message(message))
end

describe("a message whose data is a long string", function()
  for _, kind in ipairs { "str", "bin" } do
    it(
      "has all its bytes, before data is read and after: " .. kind,
      test(function()
        local texts = {}
        local messages, frames, b = received(function(a)
          local list = {}
          for i, size in ipairs(SIZES) do
            texts[i] = ("x"):rep(size - 1) .. (kind == "str" and "y" or "\xff")
            list[i] = frame_of(a, texts[i])
          end
          return list
        end)
        for i, message in ipairs(messages) do
          local packed = chaski.pack(texts[i])
          assert_whole(message, frames[i], packed, b)
          assert.equal(texts[i], message.data)
          assert.equal(texts[i], message:totable().data)
          assert_whole(message, frames[i], packed, b)
          assert.truthy(tostring(message):find(#packed .. " bytes", 1, true))
        end
      end)
    )
  end

  it(
    "takes an assignment, and keeps the bytes it came with",
    test(function()
      local messages, _, b = received(function(a)
        return { frame_of(a, LONG) }
      end)
      local message, packed = messages[1], chaski.pack(LONG)
      for _, value in ipairs { "new", LONG .. LONG, { 1 } } do
        message.data = value
        assert.equal(value, message.data)
        assert.equal(packed, message.bytes)
        assert.equal(#packed, message.size)
        local frame = b:serialize_message(message)
        assert.equal(chaski.pack(value), frame:sub(-#chaski.pack(value)))
      end
      message.data = nil
      assert.is_nil(message.data)
      collectgarbage()
      assert.equal(packed, message.bytes)
    end)
  )

  it(
    "keeps a length that is written wider than it need be",
    test(function()
      local packed = { "\xdb\0\0\3\xe8" .. LONG, "\xc6\0\0\3\xe8" .. LONG }
      local messages, frames, b = received(function(a)
        local list = {}
        for i, data in ipairs(packed) do
          list[i] = with_data(a, data)
        end
        return list
      end)
      for i, message in ipairs(messages) do
        assert_whole(message, frames[i], packed[i], b)
        assert.equal(LONG, message.data)
      end
    end)
  )

  it(
    "is malformed when it is shorter or longer than it says, and that is told at the first access",
    test(function()
      local told = 0
      local messages, _, b = received(function(a)
        local packed = chaski.pack(LONG)
        return {
          with_data(a, packed .. "x"),
          with_data(a, packed:sub(1, -2)),
          with_data(a, "\xdb\0\1\3\xe8" .. LONG),
          with_data(a, "\xc6\xff\xff\xff\xff" .. LONG),
        }
      end)
      b:on("malformed_data", function()
        told = told + 1
      end)
      for i, message in ipairs(messages) do
        assert.equal(i - 1, b.ledger.malformed_data)
        assert.equal(message.size, #message.bytes)
        local ok, err = pcall(function()
          return message.data
        end)
        assert.is_false(ok)
        assert.equal("malformed_data", err.code)
        assert.equal(i, told)
      end
    end)
  )

  it(
    "may stand before other fields of the envelope",
    test(function()
      local function entry(key, value)
        return chaski.pack(key) .. chaski.pack(value)
      end
      local messages, frames, b = received(function()
        local body = "\x83" .. entry("data", LONG) .. entry("command", "ChaskiMessage") .. entry("topic", "t")
        return { (">I4I4"):pack(#body, 2) .. chaski.pack "t" .. body }
      end)
      assert_whole(messages[1], frames[1], chaski.pack(LONG), b)
      assert.equal(LONG, messages[1].data)
    end)
  )

  it(
    "is wrapped, or given to a deserializer, where the node says so",
    test(function()
      local function both(a)
        return { frame_of(a, LONG), frame_of(a, LONG .. "\xff") }
      end
      local as_str = received(both, { strings = "str" })
      assert.equal(LONG, as_str[1].data)
      assert.equal(chaski.bin(LONG .. "\xff"), as_str[2].data)
      local as_bin = received(both, { strings = "bin" })
      assert.equal(chaski.str(LONG), as_bin[1].data)
      assert.equal(LONG .. "\xff", as_bin[2].data)
      local lengths = received(both, {
        deserializer = function(bytes)
          return #bytes
        end,
      })
      assert.equal(#LONG, lengths[1].data)
      assert.equal(#LONG + 1, lengths[2].data)
    end)
  )

  it(
    "is passed on by hand as it came, or with what was assigned",
    test(function()
      local a, b, edge = nodes.pair()
      local c = nodes.node "c"
      local onward = assert(b:connect(c))
      local got, wait = nodes.collector()
      c:subscribe("t", function(message)
        got[#got + 1] = message
      end)
      b:subscribe("t", function(message, from)
        assert(b:propagate(message, from))
        message.data = "changed"
        assert(b:propagate(message, from))
      end)
      nodes.knows(onward, "t")
      nodes.knows(edge, "t")
      assert(a:publish("t", LONG))
      wait(1)
      assert.equal(LONG, got[1].data)
      assert.equal(chaski.pack(LONG), got[1].bytes)
      assert.equal(63, got[1].ttl)
    end)
  )

  it(
    "outlives its message, and lets it go",
    test(function()
      local weak = setmetatable({}, { __mode = "v" })
      local messages = received(function(a)
        return { frame_of(a, LONG) }
      end)
      weak[1] = messages[1]
      local text = messages[1].data
      messages[1] = nil
      helper.eventually(function()
        collectgarbage()
        return weak[1] == nil
      end, "the message is collected")
      assert.equal(LONG, text)
    end)
  )
end)
