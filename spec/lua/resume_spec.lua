-- resume_spec.lua: two processes, and between them a relay that cuts, resets, swallows and delays: nothing is lost,
-- nothing comes twice, the order is kept. CHASKI_FULL=1: for a long time. CHASKI_SEED=n chooses the faults.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local chaos_relay = require "spec.lua.chaos_relay"
local helper = require "spec.helper"
local nodes = require "spec.lua.nodes"

local full = os.getenv "CHASKI_FULL" ~= nil and helper.slowness == 1
local slow = helper.slowness > 1
local CUTS, MESSAGES = full and 500 or slow and 8 or 20, full and 200000 or slow and 4000 or 10000
local SECONDS, PATIENCE = full and 900 or 60, 30 * helper.slowness

-- The other process: publishes numbers to whom it is connected, then waits until all is acknowledged.
local publisher = [[
  local chaski = require "chaski"
  local port, count = tonumber(arg[1]), tonumber(arg[2])
  local node = assert(chaski.node {
    name = "publisher", paired = true,
    limits = { lease = 1, keep_alive_interval = 0.3, resume_timeout = 120, resume_frames = 256 },
    reconnect = { base = 0.005, cap = 0.05 }, reconnections = 1000000,
  })
  local lost, undelivered = 0, 0
  node:on("edge_resumed", function(_, frames) lost = lost + frames end)
  node:on("undelivered", function() undelivered = undelivered + 1 end)
  local edge = assert(node:connect("127.0.0.1:" .. port))
  for i = 1, count do
    assert(node:publish("numbers", i))
    if i % 25 == 0 then chaski.sleep(0.002) end
  end
  while node.ledger.in_flight > 0 do chaski.sleep(0.01) end
  local l = node.ledger
  assert(l.queued == l.acknowledged + l.written + l.lost + l.queue_dropped + l.in_flight, "the ledger does not balance")
  print(("published %d lost %d undelivered %d resumes %d"):format(count, lost, undelivered, edge.session.resumes))
  io.stdout:flush()
  chaski.sleep(3600)
]]

local seed = tonumber(os.getenv "CHASKI_SEED") or 1
local function dice(below)
  seed = (seed * 6364136223846793005 + 1442695040888963407)
  return (seed >> 33) % below
end

local function fault(relay)
  local what = dice(10)
  relay.segment = dice(12) == 0 and 1 or nil
  relay.delay = dice(6) == 0 and dice(20) / 1000 or 0
  local how = dice(3) == 0 and "reset" or "cut"
  if what < 5 then
    relay:cut_after(1 + dice(20000), how)
    return how .. " at some byte"
  elseif what < 9 then
    relay:cut(how)
    return how
  end
  local way = ({ "there", "back", "both" })[1 + dice(3)]
  relay:blackhole(way)
  return "black hole " .. way
end

describe("two processes with a bad path between them", function()
  it(
    "lose nothing and get nothing twice, wherever it is cut",
    nodes.test(function()
      local subscriber = nodes.node("subscriber", {
        paired = true,
        limits = { lease = 1, keep_alive_interval = 0.3, resume_timeout = 120 },
      })
      local relay <close> = chaos_relay.start(subscriber.port)
      local came, wrong, ended, resumed = 0, nil, 0, 0
      subscriber:on("edge_resumed", function()
        resumed = resumed + 1
      end)
      subscriber:on("edge_closed", function(edge)
        ended = ended + (edge.was_live and 1 or 0)
      end)
      subscriber:subscribe("numbers", function(message)
        local n = message.data
        if n ~= came + 1 then wrong = wrong or ("%d after %d"):format(n, came) end
        came = n
      end)
      local script = helper.file(publisher, "publisher.lua")
      local child = helper.start({ script, tostring(relay.port), tostring(MESSAGES) }, { timeout = SECONDS })
      local _ <close> = setmetatable({}, {
        __close = function()
          child:kill "sigkill"
        end,
      })
      local function reach(count)
        helper.eventually(function()
          return wrong or came >= count or child.over
        end, "message " .. count, PATIENCE)
        return not (wrong or child.over)
      end
      local faults = 0
      while faults < CUTS and reach((faults + 1) * (MESSAGES // (CUTS + 1))) do
        local before = resumed
        local what = fault(relay)
        faults = faults + 1
        helper.eventually(function()
          return resumed > before or child.over
        end, "resumed after " .. what, PATIENCE)
      end
      reach(MESSAGES)
      assert.is_nil(wrong)
      assert.equal(MESSAGES, came)
      child:expect("published " .. MESSAGES)
      local lost, undelivered, resumes = child.out:match "lost (%d+) undelivered (%d+) resumes (%d+)"
      assert.same({ "0", "0" }, { lost, undelivered })
      assert.equal(CUTS, faults)
      assert.is_true(tonumber(resumes) >= CUTS // 2, "resumed " .. resumes .. " times")
      assert.equal(0, ended)
      assert.equal(0, subscriber.ledger.duplicates)
      if full then print(("%d messages, %d faults, %s resumes"):format(came, faults, resumes)) end
    end, SECONDS)
  )
end)

describe("the relay", function()
  it(
    "passes on what it is given, late and in pieces, until it is told to cut",
    nodes.test(function()
      local b = nodes.node("b", { subscriptions = "t" })
      local relay = chaos_relay.start(b.port)
      relay.segment, relay.delay = 1, 0.01
      local a = nodes.node "a"
      local edge = assert(a:connect("127.0.0.1:" .. relay.port))
      assert.is_true(edge:ping() >= 20)
      assert.equal(1, relay:connections())
      local reason
      a:on("edge_suspended", function(_, why)
        reason = why
      end)
      relay:cut "reset"
      helper.eventually(function()
        return reason
      end, "the loss is seen")
      assert.is_true(edge.suspended)
      relay:close()
      chaski.sleep(0)
    end)
  )
end)
