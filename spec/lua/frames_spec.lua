-- frames_spec.lua: what nodes of the original sent, as captured, read by our codec. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local golden = require "spec.interop.golden"
local notation = require "spec.interop.notation"

local frames = golden.read()

-- Topic and data of the frame; a datagram has no topic.
local function split(frame)
  if frame.datagram then return nil, frame.raw end
  local data_length, topic_length = (">I4I4"):unpack(frame.raw)
  assert.equal(8 + topic_length + data_length, #frame.raw)
  return frame.raw:sub(9, 8 + topic_length), frame.raw:sub(9 + topic_length)
end

local function envelope(frame)
  return chaski.map {
    command = frame.command,
    topic = frame.topic,
    data = frame.data,
    timestamp = chaski.timestamp(frame.sec, frame.nsec),
    ttl = frame.ttl,
    uuid = frame.uuid ~= "" and frame.uuid or nil,
  }
end

describe("a captured frame", function()
  it("is there for each of the 13 commands", function()
    assert.equal(13, #frames)
  end)

  for _, frame in ipairs(frames) do
    it("is unpacked as the original meant it: " .. frame.name, function()
      local topic, data = split(frame)
      if topic then assert.equal(frame.topic, assert(chaski.unpack(topic))) end
      local message = assert(chaski.unpack(data, { strings = "str" }))
      assert.equal(notation.write(envelope(frame)), notation.write(message))
    end)

    it("keeps its meaning when packed again: " .. frame.name, function()
      local _, data = split(frame)
      local message = assert(chaski.unpack(data, { strings = "str" }))
      local again = assert(chaski.unpack(assert(chaski.pack(message, { strings = "str" })), { strings = "str" }))
      assert.equal(notation.write(message), notation.write(again))
    end)
  end
end)
