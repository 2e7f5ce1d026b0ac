-- slow_spec.lua: one of ten subscribers is stopped while everything is published: what the other nine see of that, in
-- virtual time: nothing. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local helper = require "spec.helper"

local COARSE = helper.slowness > 1 and 20 or 1 -- fewer and larger ones for a collector that never rests
local SUBSCRIBERS, SIZE, EVERY = 10, 2000 * COARSE, 0.001 * COARSE
local limits = { queue_hard = 4 * 1024 * 1024, data_max = 65536 } -- 2 s of it

local function balances(node)
  local l = node.ledger
  return l.queued == l.acknowledged + l.written + l.lost + l.queue_dropped + l.in_flight
end

--- Publish for `seconds` to ten, of which the last stands still from 1 s on, for `stop` seconds. What the others got
--- and when, as one text; and of the last: { got =, gaps =, full_at =, closed_at =, reason = }.
local function run(seconds, stop)
  local sim <close> = chaski.sim { seed = 5, delay = 0.002 } -- no jitter: that is drawn from one seed for all
  local trace, last = {}, { got = 0, gaps = 0 }
  sim:run(function()
    local publisher = assert(chaski.node { name = "publisher", overflow = "drop_new", limits = limits })
    local slow
    for i = 1, SUBSCRIBERS do
      local node, next_number = assert(chaski.node { name = "n" .. i, reconnect = false }), nil
      node:subscribe("t", function(message)
        local n = message.data[1]
        if i < SUBSCRIBERS then
          trace[#trace + 1] = ("%d %d %.9f"):format(i, n, chaski.now())
        else
          last.gaps = last.gaps + (next_number and n ~= next_number and 1 or 0)
          last.got, next_number = last.got + 1, n + 1
        end
      end)
      assert(node:connect(publisher))
      slow = node
    end
    publisher:on("pause_writing", function(edge)
      if edge.name == slow.name then last.full_at = last.full_at or chaski.now() end
    end)
    publisher:on("edge_closed", function(edge, reason)
      assert(edge.name == slow.name, edge.name .. " was closed too")
      last.closed_at, last.reason = chaski.now(), reason
    end)
    chaski.sleep(1)
    local filler, stopped = ("x"):rep(SIZE), false
    for n = 1, seconds / EVERY do
      local due = stop > 0 and n * EVERY >= 1 and n * EVERY < 1 + stop
      if due ~= stopped then sim:stall(slow, due) end
      stopped = due
      assert(publisher:publish("t", { n, filler }))
      chaski.sleep(EVERY)
      last.unbalanced = last.unbalanced or not balances(publisher)
    end
    sim:stall(slow, false)
    chaski.sleep(5)
    last.unbalanced = last.unbalanced or not balances(publisher)
  end)
  return table.concat(trace, "\n"), last
end

describe("a subscriber that is stopped", function()
  it(
    "costs the other nine no message and no time, and its edge after 10 s",
    helper.async(function()
      local free, nobody = run(14, 0)
      local stopped, last = run(14, 13)
      assert.equal(14000 // COARSE, nobody.got)
      assert.is_nil(nobody.full_at)
      assert.is_true(free == stopped, "the others got the same at the same times")
      assert.equal("slow_consumer", last.reason)
      local after = last.closed_at - last.full_at
      assert.is_true(after >= 10 and after <= 12, "closed after " .. after .. " s")
      assert.is_false(last.unbalanced or nobody.unbalanced or false)
    end, 60)
  )

  it(
    "gets everything when it goes on before its queue is full",
    helper.async(function()
      local _, last = run(3, 1)
      assert.is_number(last.full_at)
      assert.is_nil(last.reason)
      assert.same({ 3000 // COARSE, 0 }, { last.got, last.gaps })
      assert.is_false(last.unbalanced or false)
    end, 60)
  )
end)
