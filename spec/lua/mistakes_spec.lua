-- mistakes_spec.lua: what a mistake in a script is told: at the script's line, which call, what was expected and what
-- came. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local nodes = require "spec.lua.nodes"

local test = nodes.test
local here = debug.getinfo(1, "S").short_src

--- Raised at the line of the call in this file.
local function raises(expected, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok, expected)
  local at, text = err:match "^(.-):%d+: (.*)$"
  assert.equal(expected, text)
  assert.equal(here, at)
end

local function fails(code, expected, result, err)
  assert.is_nil(result)
  assert.equal(expected, tostring(err))
  assert.equal(code, err.code)
end

describe("a mistake is told at the script's own line", function()
  it("in the options of a node", function()
    local function node(given)
      return function()
        local made, err = chaski.node(given)
        return made, err
      end
    end
    local numeric = "chaski.node: option 'ip': expected numeric IPv4 or IPv6 address, got string 'localhost'"
    raises(numeric, node { ip = "localhost" })
    raises("chaski.node: queue_low is above queue_high", node { limits = { queue_high = 5 } })
    local listed = "; node.limits and src/core/limits.h list them"
    raises("chaski.node: unknown limit 'frame_mx'" .. listed, node { limits = { frame_mx = 1 } })
    raises("chaski.node: unknown limit 'data_mx', did you mean 'data_max'?", node { limits = { data_mx = 1 } })
    local discovery = "chaski.node: option 'discovery': "
    raises(discovery .. "module 'nosuch.module' not found", node { discovery = "nosuch.module" })
    raises(discovery .. "the module 'chaski.discovery.guard.x' is no table", function()
      package.loaded["chaski.discovery.guard.x"] = true
      local made, err = chaski.node { discovery = "chaski.discovery.guard.x" }
      return made, err
    end)
    package.loaded["chaski.discovery.guard.x"] = nil
    raises(discovery .. "'accept': expected a function, got string 'x'", node { discovery = { accept = "x" } })
    raises("chaski.node: unknown option 'prt', did you mean 'port'?", function()
      local ring = chaski.topology.ring(5, { node = { prt = 1 } })
      return ring
    end)
  end)

  it(
    "in the arguments of a method",
    test(function()
      local a = nodes.node "a"
      local cases = {
        connect = { "expected 'host:port' or a node, got integer 5", 5 },
        send_udp_message = { "expected a numeric ip, got string 'localhost'", "x", 1, "localhost", 5 },
        handle = { "command 'handshake' is one of the protocol's", "handshake", print },
        subscribe = { "topic: expected 1..253 bytes, got ''", "" },
      }
      for method, case in pairs(cases) do
        raises(("node:%s: %s"):format(method, case[1]), function()
          local result, err = a[method](a, table.unpack(case, 2))
          return result, err
        end)
      end
      raises("node:handle: expected a command of 1..64 bytes, got string ''", function()
        local handle = a:handle("", print)
        return handle
      end)
      raises("node:send_udp_message: expected a port 1..65535, got integer 0", function()
        local sent = a:send_udp_message("x", 1, "127.0.0.1", 0)
        return sent
      end)
    end)
  )

  it("in functions of the module", function()
    raises("chaski.log.level: expected 'error', 'warn', 'info', 'debug' or 'trace', got string 'loud'", function()
      local level = chaski.log.level "loud"
      return level
    end)
    local ok, err = pcall(function()
      chaski.log.error("x %d", "y")
      return true
    end)
    assert.is_false(ok)
    assert.matches("^" .. here:gsub("%p", "%%%0") .. ":%d+: chaski%.log%.error: bad argument #2 to ", err)
    raises("chaski.every: expected seconds above 0, got string '1'", function()
      local handle = chaski.every("1", print)
      return handle
    end)
    raises("chaski.every: expected a function, got integer 5", function()
      local handle = chaski.every(1, 5)
      return handle
    end)
    local sim <close> = chaski.sim { seed = 1 }
    raises("sim:cut: expected a node or a numeric ip, got integer 5", function()
      local count = sim:cut(5)
      return count
    end)
  end)
end)

describe("what can only fail in the field says of what it speaks", function()
  it(
    "when it is published",
    test(function()
      local a = nodes.pair()
      local cyclic = {}
      cyclic.inner = cyclic
      fails("invalid", "node:publish: topic: expected 1..253 bytes, got ''", a:publish("", 1))
      local shown = ("x"):rep(37) .. "..."
      fails(
        "invalid",
        ("node:publish: topic: expected 1..253 bytes, got '%s'"):format(shown),
        a:publish(("x"):rep(5000), 1)
      )
      fails("serialize", "node:publish t: data: cannot serialise a function", a:publish("t", print))
      fails("serialize", "node:publish t: data.inner: a cyclic table", a:try_publish("t", cyclic))
      local small = nodes.node("small", { limits = { data_max = 65536 } })
      assert(a:connect(small))
      local big = ("x"):rep(70000)
      fails("too_big", "node:publish t: data: larger than the limit of 65536 bytes", small:publish("t", big))
      fails("too_big", "node:write c: data: larger than the limit of 65536 bytes", small:write("c", big))
      fails("serialize", "node:write c: data.inner: a cyclic table", small:write("c", cyclic))
    end)
  )

  it(
    "when it is asked of who has gone",
    test(function()
      local a, _, edge = nodes.pair()
      edge:close()
      fails("no_edge", "node:request x: the edge to b has ended", a:request("x", {}, { edge = edge }))
      fails("no_edge", "node:request x: there is no live edge", a:request "x")
    end)
  )

  it(
    "when the peer is none",
    test(function()
      local uv = require "luv"
      local a = nodes.node "a"
      local alert = "\x15\x03\x03\x00\x02\x02\x28" -- what a TLS server says to what is no TLS
      for _, banner in ipairs { "HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH\r\n", "220 smtp\r\n", alert } do
        local server = uv.new_tcp()
        server:bind("127.0.0.1", 0)
        server:listen(1, function()
          local client = uv.new_tcp()
          server:accept(client)
          client:read_start(function() end)
          client:write(banner, function()
            client:close()
          end)
        end)
        local port = server:getsockname().port
        local why =
          "node:connect 127.0.0.1:%d: the peer broke the protocol (it does not speak chaski, or only over TLS)"
        fails("protocol", why:format(port), a:connect("127.0.0.1:" .. port))
        server:close()
      end
    end)
  )

  it(
    "when a callback answers nil and a reason",
    test(function()
      local a, b = nodes.pair()
      b:serve("half", function()
        return nil, "no such thing"
      end)
      b:serve("nothing", function()
        return nil
      end)
      fails("failed", "node:request at b: no such thing", a:request "half")
      local answer, err = a:request "nothing"
      assert.is_nil(answer)
      assert.is_nil(err)
    end)
  )
end)

describe("a node", function()
  it(
    "shows the address that others may dial",
    test(function()
      local a = nodes.node("a", { ip = "0.0.0.0", advertise = "192.0.2.1" })
      assert.equal("192.0.2.1:" .. a.port, a.address)
      local b = nodes.node("b", { advertise = "2001:db8::1" })
      assert.equal(("[2001:db8::1]:%d"):format(b.port), b.address)
      local c = nodes.node "c"
      assert.equal("127.0.0.1:" .. c.port, c.address)
    end)
  )
end)
