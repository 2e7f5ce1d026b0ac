-- requests_spec.lua: asking another node to call a function (PROTOCOL A.9, B.9). SPDX-License-Identifier: MIT
local chaski = require "chaski"
local helper = require "spec.helper"
local nodes = require "spec.lua.nodes"

local test, eventually = nodes.test, helper.eventually

local function echo(kwargs)
  return kwargs
end

local function fails(code, ok, err)
  assert.is_nil(ok)
  assert.equal(code, err.code)
  return tostring(err)
end

describe("a request", function()
  it(
    "is answered with what the callback returns",
    test(function()
      local a, b, edge, back = nodes.pair()
      b:serve("echo", echo)
      assert.same({ k = 1, l = { 2, 3 } }, a:request("echo", { k = 1, l = { 2, 3 } }, { edge = edge }))
      b:serve("who", function(_, from)
        return { from.name, rawequal(from, back) }
      end)
      assert.same({ "a", true }, a:request("who"))
      assert.same({}, a:request "echo")
    end)
  )

  it(
    "carries kwargs as a map, whatever its keys",
    test(function()
      local a, b = nodes.pair()
      b:serve("echo", echo)
      assert.same({ "x", "y" }, a:request("echo", { "x", "y" }))
      assert.same({ [1] = "x", [3] = "y" }, a:request("echo", { [1] = "x", [3] = "y" }))
    end)
  )

  it(
    "whose callback returns nothing, or false, is answered with that",
    test(function()
      local a, b = nodes.pair()
      b:serve("nothing", function() end)
      b:serve("false", function()
        return false
      end)
      local answer, err = a:request "nothing"
      assert.is_nil(answer)
      assert.is_nil(err)
      assert.is_false(a:request "false")
    end)
  )

  it(
    "is one of many under way",
    test(function()
      local a, b = nodes.pair()
      local waiting = {}
      b:serve("later", function(kwargs)
        waiting[#waiting + 1] = kwargs.n
        eventually(function()
          return #waiting == 100
        end, "all have asked")
        return kwargs.n
      end)
      local tasks = {}
      for n = 1, 100 do
        tasks[n] = chaski.spawn(a.request, a, "later", { n = n })
      end
      for n, task in ipairs(tasks) do
        assert.same({ true, n }, { task:join() })
      end
    end)
  )

  it(
    "may be made by a callback",
    test(function()
      local a, b = nodes.pair()
      local c = nodes.node "c"
      local onward = assert(b:connect(c))
      c:serve("double", function(kwargs)
        return 2 * kwargs.n
      end)
      b:serve("double and one", function(kwargs)
        return assert(b:request("double", kwargs, { edge = onward })) + 1
      end)
      assert.equal(15, a:request("double and one", { n = 7 }))
    end)
  )

  it(
    "without an edge asks all, and the first answer counts",
    test(function()
      local a, b = nodes.pair()
      local c = nodes.node "c"
      assert(a:connect(c))
      local calls = 0
      c:serve("who", function()
        calls = calls + 1
        return "c"
      end)
      b:serve("who", function()
        eventually(function()
          return calls == 1
        end, "c has answered")
        calls = calls + 1
        return "b"
      end)
      assert.equal("c", a:request "who")
      eventually(function()
        return calls == 2
      end, "b has answered too")
      assert.is_true(#a.edges == 2)
      assert.equal("c", a:request("who", {}, { edge = a:get_edge_by_name "c" }))
    end)
  )

  it(
    "to all fails only when every edge has failed",
    test(function()
      local a, b = nodes.pair()
      local c = nodes.node "c"
      assert(a:connect(c))
      b:serve("who", function()
        return "b"
      end)
      assert.equal("b", a:request "who")
      fails("unknown_callback", a:request "nobody serves this")
    end)
  )

  it(
    "without an edge to go by fails at once",
    test(function()
      local a = nodes.node "a"
      fails("no_edge", a:request "echo")
      local _, _, edge = nodes.pair()
      edge:close()
      eventually(function()
        return not edge.live
      end)
      fails("no_edge", edge.node:request("echo", {}, { edge = edge }))
    end)
  )

  it(
    "for an unknown callback fails, and costs nothing else",
    test(function()
      local a, b, edge = nodes.pair()
      local text = fails("unknown_callback", a:request "stop")
      assert.truthy(text:find("no callback 'stop' is served here", 1, true))
      fails("unknown_callback", a:request "__gc")
      assert.is_true(edge.live)
      assert.is_true(b.running)
    end)
  )

  it(
    "for a callback that raises fails, and the error is logged there",
    test(function()
      helper.expect_errors(1)
      local a, b, edge = nodes.pair()
      b:serve("bad", function()
        error "no luck"
      end)
      local text = fails("failed", a:request "bad")
      assert.truthy(text:find("no luck", 1, true))
      assert.is_true(edge.live)
    end)
  )

  it(
    "for a callback whose answer cannot be sent fails",
    test(function()
      local a, b = nodes.pair({}, { limits = { data_max = 20000 } })
      b:serve("function", function()
        return print
      end)
      b:serve("huge", function()
        return ("x"):rep(30000)
      end)
      fails("failed", a:request "function")
      fails("failed", a:request "huge")
    end)
  )

  it(
    "for a callback that never returns ends with the timeout, and the others go on",
    test(function()
      local a, b = nodes.pair()
      b:serve("never", function()
        chaski.sleep(3600)
      end)
      b:serve("echo", echo)
      local never = chaski.spawn(a.request, a, "never", {}, { timeout = 0.05 })
      assert.same({ k = 1 }, a:request("echo", { k = 1 }))
      local joined, answer, err = never:join()
      assert.is_true(joined)
      assert.is_nil(answer)
      assert.equal("timeout", err.code)
    end)
  )

  it(
    "ends when its edge does",
    test(function()
      local a, b, edge, back = nodes.pair()
      b:serve("leave", function()
        back:close()
        chaski.sleep(3600)
      end)
      local text = fails("lost", a:request("leave", {}, { edge = edge }))
      assert.truthy(text:find("goodbye", 1, true))
    end)
  )

  it(
    "checks its arguments, and must be made in a task",
    test(function()
      local a, b = nodes.pair()
      assert.error_matches(function()
        a:request(1)
      end, "node:request: expected the name of a callback, got integer 1")
      assert.error_matches(function()
        a:request("x", 1)
      end, "node:request: expected a table of arguments, got integer 1")
      assert.error_matches(function()
        a:request("x", {}, { edges = {} })
      end, "did you mean 'edge'")
      assert.error_matches(function()
        a:request("x", {}, { edge = b })
      end, "option 'edge': expected an edge, got chaski.node")
      assert.error_matches(function()
        a:serve("", echo)
      end, "node:serve: expected the name of a callback")
      assert.error_matches(function()
        a:serve("x", 1)
      end, "node:serve: expected a function")
      local raised
      local timer = require("luv").new_timer()
      timer:start(0, 0, function()
        raised = select(2, pcall(a.request, a, "x"))
        timer:close()
      end)
      eventually(function()
        return raised
      end)
      assert.truthy(raised:find("node:request: called outside a task", 1, true))
    end)
  )
end)

describe("serve", function()
  it(
    "takes a name until its handle is removed; the last one given counts",
    test(function()
      local a, b = nodes.pair()
      local first = b:serve("who", function()
        return 1
      end)
      local second = b:serve("who", function()
        return 2
      end)
      first:remove()
      assert.equal(2, a:request "who")
      second:remove()
      assert.is_false(second.active)
      fails("unknown_callback", a:request "who")
    end)
  )

  it(
    "answers no more calls of one edge than a rate, and says so",
    test(function()
      local a, b = nodes.pair()
      local calls = 0
      b:serve("count", function()
        calls = calls + 1
      end)
      local tasks, busy, start = {}, 0, chaski.now()
      for n = 1, 400 do
        tasks[n] = chaski.spawn(a.request, a, "count")
      end
      for _, task in ipairs(tasks) do
        local _, _, err = task:join()
        if err then
          assert.equal("busy", err.code)
          busy = busy + 1
        end
      end
      assert.equal(400, calls + busy)
      local most = 200 + 100 * (chaski.now() - start) -- a burst, and the rate while it took
      assert.is_true(calls >= 200 and calls <= most + 1, ("%d calls of %g"):format(calls, most))
      assert.is_true(busy > 0 or most >= 400)
    end)
  )

  it(
    "gives one edge no more than its share of calls that never return",
    test(function()
      local a, b = nodes.pair()
      local c = nodes.node "c"
      assert(c:connect(b))
      local calls, hold = 0, true
      b:serve("held", function()
        calls = calls + 1
        eventually(function()
          return not hold
        end, "it is over", 60)
      end)
      b:serve("echo", echo)
      -- the rate alone would let them in little by little: its bucket is filled up for them
      local rates = require("chaski.core").node_state(b).call_rates
      rates.rate, rates.burst = 1e6, 1e6
      for _ = 1, 300 do
        chaski.spawn(a.request, a, "held")
      end
      eventually(function()
        return calls == 256
      end, "its share")
      fails("busy", a:request("echo", {}))
      assert.same({ k = 1 }, c:request("echo", { k = 1 }))
      hold = false
      eventually(function()
        return a:request("echo", {}) ~= nil
      end, "its share is free again")
    end)
  )
end)

describe("a response", function()
  local function asked(callback)
    local a, b, edge, back = nodes.pair()
    local got
    b:serve("ask", function(_, from)
      got = true
      return callback(b, from)
    end)
    return a, b, edge, back, function()
      return got
    end
  end

  it(
    "nobody asked for is ignored",
    test(function()
      local a, b, edge = nodes.pair()
      local told
      a:handle("done", function()
        told = true
      end)
      local answers = { { id = "x", response = 1 }, { id = 1 }, { id = { 1 } }, {}, { 1 }, 1, "x", chaski.uuid() }
      for _, data in ipairs(answers) do
        assert(b:write("response_udp", data))
      end
      assert(b:write("response_udp", { id = "count", response = 1 }))
      assert(b:write("done", 1))
      eventually(function()
        return told
      end, "they have come")
      assert.is_true(edge.live)
    end)
  )

  it(
    "that comes a second time is ignored",
    test(function()
      local sent
      local a, b, edge = asked(function(b, from)
        chaski.sleep(0)
        assert(b:write("response_udp", { id = sent.id, response = "first" }, { edge = from }))
        assert(b:write("response_udp", { id = sent.id, response = "second" }, { edge = from }))
        return "third"
      end)
      local write = require("chaski.core").write
      require("chaski.core").write = function(node, command, data, options)
        if command == "request_udp" then sent = data end
        return write(node, command, data, options)
      end
      local ok, answer = pcall(a.request, a, "ask")
      require("chaski.core").write = write
      assert.is_true(ok)
      assert.equal("first", answer)
      b:serve("echo", echo)
      assert.same({ k = 2 }, a:request("echo", { k = 2 }))
      assert.is_true(edge.live)
    end)
  )

  it(
    "of another edge than the one asked is ignored",
    test(function()
      local core = require "chaski.core"
      local a, b, edge = nodes.pair()
      local c = nodes.node "c"
      assert(c:connect(a))
      b:serve("ask", function()
        chaski.sleep(3600)
      end)
      local write, sent = core.write, nil
      core.write = function(node, command, data, options)
        if command == "request_udp" then sent = data.id end
        return write(node, command, data, options)
      end
      local task = chaski.spawn(a.request, a, "ask", {}, { edge = edge, timeout = 0.1 })
      core.write = write
      assert(c:write("response_udp", { id = sent, response = "forged" }))
      local _, answer, err = task:join()
      assert.is_nil(answer)
      assert.equal("timeout", err.code)
    end)
  )

  it(
    "with an error of the wrong shape is read as far as it goes",
    test(function()
      local core = require "chaski.core"
      local a, b, edge, back = nodes.pair()
      local write, sent = core.write, nil
      core.write = function(node, command, data, options)
        if command == "request_udp" then
          sent = data.id
          return true
        end
        return write(node, command, data, options)
      end
      local function answered_with(failure)
        local task = chaski.spawn(a.request, a, "ask", {}, { edge = edge })
        assert(write(b, "response_udp", { id = sent, error = failure }, { edge = back }))
        return select(2, task:join())
      end
      local ok, why = pcall(function()
        assert.equal("failed", select(2, answered_with {}).code)
        assert.equal("failed", select(2, answered_with { code = 7, message = {} }).code)
        local long = select(2, answered_with { code = ("c"):rep(1000), message = ("m"):rep(100000) })
        assert.is_true(#long.code <= 64 and #tostring(long) < 1000)
        assert.is_nil((answered_with "text"))
      end)
      core.write = write
      assert(ok, why)
    end)
  )
end)

describe("a request from the wire", function()
  it(
    "of the wrong shape is ignored",
    test(function()
      local a, b, edge = nodes.pair()
      b:serve("echo", echo)
      for _, data in ipairs {
        {},
        { 1 },
        1,
        "x",
        { id = 1, callback = "echo" },
        { id = ("x"):rep(65), callback = "echo" },
        { id = "x" },
        { id = "x", callback = 1 },
        { id = "x", callback = {} },
        { callback = "echo" },
      } do
        assert(a:write("request_udp", data))
      end
      assert(a:write("request_udp", { id = "x", callback = "echo", kwargs = 7 }))
      assert.same({ k = 1 }, a:request("echo", { k = 1 }))
      assert.is_true(edge.live)
    end)
  )

  it(
    "whose data cannot be decoded costs that message only",
    test(function()
      local hostile = require "spec.lua.hostile"
      local a, b, edge = nodes.pair()
      b:serve("echo", echo)
      assert(a:write_data(hostile.frame("request_udp", "\xc1")))
      assert(a:write_data(hostile.frame("response_udp", ("\x91"):rep(1000))))
      assert.same({ k = 1 }, a:request("echo", { k = 1 }))
      assert.equal(2, b.ledger.malformed_data)
      assert.is_true(edge.live)
    end)
  )

  it(
    "is refused as a handler of the script's own",
    test(function()
      local a = nodes.node "a"
      for _, command in ipairs { "request_udp", "response_udp" } do
        assert.error_matches(function()
          a:handle(command, function() end)
        end, "node:handle: command '" .. command .. "' is one of the protocol's")
      end
    end)
  )
end)

describe("who asks", function()
  it(
    "may give options by a metatable, and is told of mistakes in them at its own line",
    test(function()
      local a, b, edge = nodes.pair()
      b:serve("echo", echo)
      local given = setmetatable({}, { __index = { edge = edge, timeout = 1 } })
      assert.same({ k = 1 }, a:request("echo", { k = 1 }, given))
      for _, wrong in ipairs { -1, "1", 0 / 0, 1e10 } do
        local _, why = pcall(function()
          a:request("echo", {}, { timeout = wrong })
        end)
        assert.matches("requests_spec.lua:%d+: node:request: option 'timeout': expected seconds 0..1e%+09, got ", why)
      end
      local _, why = pcall(function()
        a:request ""
      end)
      assert.matches("requests_spec.lua:%d+: node:request: expected the name of a callback", why)
    end)
  )

  it(
    "has kwargs taken as pairs gives them, and marks ignored",
    test(function()
      local a, b = nodes.pair()
      b:serve("echo", echo)
      local odd = setmetatable({ a = 1 }, {
        __pairs = function()
          return next, { z = 2 }, nil
        end,
      })
      assert.same({ z = 2 }, a:request("echo", odd))
      assert.same({ "x" }, a:request("echo", chaski.array { "x" }))
    end)
  )

  it(
    "may have metamethods that end the edge, or the node, in between",
    test(function()
      local a, b, edge = nodes.pair()
      local function kwargs_that(act)
        return setmetatable({}, {
          __pairs = function()
            act()
            return next, {}, nil
          end,
        })
      end
      fails(
        "no_edge",
        a:request(
          "echo",
          kwargs_that(function()
            edge:close()
          end)
        )
      )
      local gone = nodes.node "gone"
      local last = assert(gone:connect(b))
      local function close()
        debug.getmetatable(gone).__close(gone)
      end
      fails("stopped", gone:request("echo", kwargs_that(close), { edge = last }))
      fails("no_edge", gone:request "echo")
    end)
  )

  it(
    "may have metamethods that forget the edge, which has ended",
    test(function()
      local a, b, edge = nodes.pair()
      local options = { edge = edge }
      edge:close()
      edge = nil
      chaski.sleep(0.05)
      assert(a:connect(b))
      local kwargs = setmetatable({}, {
        __pairs = function()
          options.edge = nil
          collectgarbage()
          collectgarbage()
          return next, {}, nil
        end,
      })
      fails("no_edge", a:request("echo", kwargs, options))
      assert.is_nil(edge)
    end)
  )

  it(
    "is told where its kwargs cannot be sent",
    test(function()
      local a = nodes.pair()
      local text = fails("serialize", a:request("x", { l = { 1, print } }))
      assert.equal("node:request x: data.kwargs.l[2]: cannot serialise a function", text)
      local cyclic = {}
      cyclic.c = cyclic
      assert.equal("node:request x: data.kwargs.c: a cyclic table", fails("serialize", a:request("x", cyclic)))
    end)
  )

  it(
    "fails when the function was left, and counts no longer",
    test(function()
      helper.expect_errors(7)
      local a, b = nodes.pair(nil, { limits = { requests_per_edge = 2 } })
      local waiting
      b:serve("yields", function()
        coroutine.yield()
      end)
      b:serve("yields later", function()
        chaski.sleep(0.001)
        coroutine.yield()
      end)
      b:serve("is closed", function()
        waiting = coroutine.running()
        chaski.sleep(60)
      end)
      b:serve("echo", echo)
      for _ = 1, 3 do
        for _, name in ipairs { "yields", "yields later" } do
          local text = fails("failed", a:request(name))
          assert.equal(("node:request at %s: it did not return"):format(b.name), text)
        end
      end
      local closed = chaski.spawn(a.request, a, "is closed")
      eventually(function()
        return waiting
      end, "it waits")
      assert.is_true(coroutine.close(waiting))
      local _, _, err = closed:join()
      assert.equal("failed", err.code)
      assert.same({ x = 1 }, a:request("echo", { x = 1 }))
    end)
  )

  it(
    "may be cancelled, and what is answered then goes to nobody",
    test(function()
      local a, b = nodes.pair(nil, { limits = { request_rate = 1000000, requests_per_edge = 1000 } })
      local go
      b:serve("later", function()
        eventually(function()
          return go
        end, "let go")
        return 1
      end)
      b:serve("echo", echo)
      local tasks = {}
      for i = 1, 300 do -- more than are kept room for
        tasks[i] = chaski.spawn(a.request, a, "later", {}, { timeout = i % 3 == 0 and 0.01 or 5 })
      end
      eventually(function()
        return tasks[300].status == "over" -- the last that was asked
      end, "those without time have ended")
      for i = 1, 300, 3 do
        tasks[i]:cancel()
      end
      go = true
      for i, task in ipairs(tasks) do
        local ok, answer, err = task:join()
        if i % 3 == 1 then
          assert.same({ nil, "cancelled" }, { ok, answer.code })
        elseif i % 3 == 0 then
          assert.equal("node:request later: no answer", tostring(err))
        else
          assert.same({ true, 1 }, { ok, answer })
        end
      end
    end)
  )

  it(
    "is answered though the connection breaks while one before it in the same burst is",
    test(function()
      local b = nodes.node("b", { limits = { request_rate = 1000000 } })
      local a = nodes.node("a", { reconnect = { base = 0.005, cap = 0.05 } })
      local relay <close> = require("spec.lua.chaos_relay").start(b.port)
      assert(a:connect("127.0.0.1:" .. relay.port))
      local calls, tasks = 0, {}
      b:serve("break", function(kwargs)
        calls = calls + 1
        if calls == 10 then relay:cut "reset" end
        return kwargs.n
      end)
      for n = 1, 100 do -- an answer is written early after 32, and that fails
        tasks[n] = chaski.spawn(a.request, a, "break", { n = n })
      end
      for n, task in ipairs(tasks) do
        assert.same({ true, n }, { task:join() })
      end
      assert.same({ 100, 0, 1 }, { calls, b.ledger.dropped, b.ledger.resumes })
    end)
  )

  it(
    "goes on when the answer is read, in the order of what was sent",
    test(function()
      local a, b = nodes.pair()
      local order = {}
      b:serve("before", function(_, edge)
        assert(b:write("note", "one", { edge = edge }))
        chaski.spawn(function()
          chaski.sleep(0)
          assert(b:write("note", "two", { edge = edge }))
        end)
      end)
      a:handle("note", function(message)
        order[#order + 1] = message.data
      end)
      assert.is_nil(a:request "before")
      order[#order + 1] = "answer"
      eventually(function()
        return #order == 3
      end, "both notes")
      assert.same({ "one", "answer", "two" }, order)
    end)
  )
end)

describe("who answers", function()
  it(
    "sends back kwargs as the function left them",
    test(function()
      local a, b = nodes.pair()
      local raw
      a:handle("spy", function() end)
      b:serve("change", function(kwargs)
        kwargs.more = 2
        return kwargs
      end)
      raw = a:request("change", { one = 1 })
      assert.same({ one = 1, more = 2 }, raw)
      b:serve("break", function(kwargs)
        kwargs.more = print
      end)
      local text = fails("failed", a:request("break", {}))
      local said = "node:request at b: node:write response_udp: data.kwargs.more: cannot serialise a function"
      assert.equal(said, text)
    end)
  )

  it(
    "is ready for the second call when the first found no memory to get ready",
    test(function()
      helper.expect_errors(1)
      local core = require "chaski.core"
      local a, b = nodes.pair()
      b:serve("echo", echo)
      local node_state, raised = core.node_state, false
      core.node_state = function(node)
        if raised or not rawequal(node, b) then return node_state(node) end
        raised = true
        error "no memory"
      end
      local answer, err = a:request("echo", {}, { timeout = 0.1 })
      core.node_state = node_state
      fails("timeout", answer, err)
      assert.is_true(raised)
      assert.same({ k = 1 }, a:request("echo", { k = 1 }))
    end)
  )

  it(
    "may be closed, and be garbage, while a request is read",
    test(function()
      local a, b = nodes.pair()
      local box, closed = { b }, false
      local function write_many_tables()
        local list = {}
        for i = 1, 14000 do
          list[i] = { ("x"):rep(20) .. i, {}, {}, {} }
        end
        assert(a:write("request_udp", { id = "x", callback = "read", kwargs = { l = list } }))
      end
      b:serve("read", function() end)
      b = nil
      local function close_after(cycles)
        setmetatable({}, {
          __gc = function()
            if cycles > 0 then return close_after(cycles - 1) end
            debug.getmetatable(box[1]).__close(box[1])
            box[1], closed = nil, true
          end,
        })
      end
      write_many_tables()
      collectgarbage()
      collectgarbage("incremental", 10, 1000, 1)
      close_after(1)
      eventually(function()
        return closed
      end, "the node is closed")
      collectgarbage("incremental", 200, 100, 13)
      assert.is_nil(b)
    end)
  )

  it(
    "is free again of calls that were cancelled by the node's end",
    test(function()
      local a, b = nodes.pair(nil, { limits = { requests_max = 2 } })
      b:serve("held", function()
        chaski.sleep(3600)
      end)
      b:serve("echo", echo)
      for _ = 1, 2 do
        local where, tasks = { edge = assert(a:connect(b)) }, {}
        for i = 1, 2 do
          tasks[i] = chaski.spawn(a.request, a, "held", {}, where)
        end
        assert.equal("busy", select(2, a:request("echo", {}, where)).code)
        b:stop()
        chaski.sleep(0) -- who runs it again at once keeps its tasks
        for _, task in ipairs(tasks) do
          assert.equal("lost", select(3, task:join()).code)
        end
        b:run()
      end
      assert.same({}, a:request("echo", {}, { edge = assert(a:connect(b)) }))
    end)
  )

  it(
    "takes what is in the message in any order, the last of each, and skips the rest",
    test(function()
      local hostile = require "spec.lua.hostile"
      local a, b = nodes.pair()
      local got = {}
      b:serve("take", function(kwargs)
        got[#got + 1] = kwargs
      end)
      local kwargs = chaski.pack { k = { 1, 2 } }
      local rest = "\xa1x\x93\x01\x81\x01\x92\xc0\xd6\xff\0\0\0\1\xcb" .. ("\0"):rep(8)
      for _, data in ipairs {
        "\x83\xa6kwargs" .. kwargs .. "\xa2id\xa1x\xa8callback\xa4take",
        "\x85\xa6kwargs\x01\xa2id\x01\xa8callback\xc4\x04take\xa2id\xa1x\xa6kwargs" .. kwargs,
        "\x84" .. rest .. "\xa8callback\xa4take\xa2id\xa1x\xa6kwargs" .. kwargs,
        "\x84\x01\x02\xa8callback\xa4take\xa2id\xa1x\xa6kwargs" .. kwargs,
      } do
        assert(a:write_data(hostile.frame("request_udp", data)))
      end
      for _, data in ipairs {
        "\x82\xa8callback\xa4take\xa2id\xa1x\0", -- a byte too many
        "\x84" .. rest:sub(1, -2) .. "\xa8callback\xa4take\xa2id\xa1x\xa6kwargs" .. kwargs,
        "\x83\xc0\x01\xa8callback\xa4take\xa2id\xa1x", -- a key that is nil
        "\x83\xa1a" .. ("\x91"):rep(40) .. "\1\xa8callback\xa4take\xa2id\xa1x", -- too deep
      } do
        assert(a:write_data(hostile.frame("request_udp", data)))
      end
      eventually(function()
        return b.ledger.malformed_data == 4
      end, "the last is malformed")
      local whole = { k = { 1, 2 } }
      assert.same({ whole, whole, whole, whole }, got)
    end)
  )
end)
