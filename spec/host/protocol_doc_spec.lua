-- docs/protocol.md: its examples are the captured frames, byte for byte, and its limits are those of the source.
-- SPDX-License-Identifier: MIT
local golden = require "spec.interop.golden"

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local text = read "docs/protocol.md"

--- The bytes of an example: the hex digits that each line begins with; what is said of them stands after two blanks.
local function bytes_of(block)
  local bytes = {}
  for line in block:gmatch "[^\n]+" do
    local digits = line:gsub("  .*", ""):gsub(" ", "")
    assert.equal(0, #digits % 2, line)
    bytes[#bytes + 1] = digits:gsub("%x%x", function(pair)
      return string.char(tonumber(pair, 16))
    end)
  end
  return table.concat(bytes)
end

describe("docs/protocol.md", function()
  local frames = {}
  for _, frame in ipairs(golden.read()) do
    frames[frame.name] = frame
  end

  it("shows frames as they were captured", function()
    local shown = 0
    for name, block in text:gmatch "```frame (%w[%w_]*)\n(.-)```" do
      assert.equal(assert(frames[name], name).raw, bytes_of(block), name)
      shown = shown + 1
    end
    assert.equal(4, shown)
  end)

  it("names every command of the wire, and every key of the captured ones", function()
    local commands = {}
    for command in read("src/core/receive.c"):gmatch '\n%s+{CHASKI_SLICE%("([%l_]+)"%), chaski__' do
      commands[#commands + 1] = command
    end
    for command in read("src/lua/requests.h"):gmatch '\n#define CHASKI_%u+ "([%l_]+)"' do
      commands[#commands + 1] = command
    end
    local files = { "status", "revocations", "discovery/init", "discovery/group", "heal/exchange" }
    for _, file in ipairs(files) do
      local source = read("lua/chaski/" .. file .. ".lua")
      commands[#commands + 1] = source:match '\nlocal COMMAND = "([%l_]+)"'
      for command in source:gmatch 'handle_protocol%("([%l_]+)"' do
        commands[#commands + 1] = command
      end
    end
    assert.is_true(#commands >= 15)
    for _, command in ipairs(commands) do
      assert.truthy(text:find("`" .. command .. "[ `]"), command)
    end
    for name, frame in pairs(frames) do
      if name ~= "ChaskiFile" and name ~= "ChaskiStorageRequest" and name ~= "ChaskiMessage" then
        for key in pairs(frame.data) do
          if key ~= "allow_incoming_files" then assert.truthy(text:find(key, 1, true), name .. "." .. key) end
        end
      end
    end
  end)

  it("has the limits of the source", function()
    local limits = read "src/core/limits.h"
    assert.matches('X%(topic_max, "bytes", 256,', limits)
    assert.matches('X%(data_max, "bytes", 8 %* CHASKI_MIB,', limits)
    assert.matches('X%(preauth_max, "bytes", 16 %* CHASKI_KIB,', limits)
    assert.matches('X%(lease, "s", 15 %* CHASKI_S,', limits)
    assert.matches('X%(messages_pool_maxsize, "count", 8192,', limits)
    assert.matches("T 256 bytes, D 8 MiB, and 16 KiB", text)
    assert.matches("1200 bytes", text)
    assert.matches("CHASKI_DATAGRAM_MAX 1200 ", read "src/core/node.h")
    assert.truthy(text:find("`" .. read("src/tls/tls.h"):match 'CHASKI_TLS_ALPN "(.-)"' .. "`", 1, true))
  end)
end)
