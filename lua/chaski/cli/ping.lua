-- ping.lua: chaski ping: round trips to a node, and what they are like. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local convert = require "chaski.cli.convert"
local core = require "chaski.core"
local data = require "chaski.cli.data"
local figures = require "chaski.cli.figures"
local session = require "chaski.cli.session"

local MOST = 65536 -- the limit ping_echo_max

local M = { summary = "Measure round trips to a node." }

function M.define(command)
  command:option("-c --count", "So many."):argname("COUNT"):convert(convert.count("-c", 1)):default "4"
  command
    :option("--interval", "Time from one to the next.")
    :argname("TIME")
    :convert(convert.seconds "--interval")
    :default "1s"
  command
    :option("-s --size", "Bytes that go and come back.")
    :argname("BYTES")
    :convert(convert.count("-s", 0, MOST))
    :default "0"
  session.add_timeout(command, "How long to wait for each.", "5s")
  session.add_json(command)
  session.add_connection(command)
end

local function tell(args, edge, i, ms, err)
  if args.json then
    session.print(data.json { seq = i, from = edge.name, ms = ms or core.null, error = err and tostring(err) })
  elseif ms then
    session.print(("%s: seq=%d time=%.3f ms"):format(data.safe(edge.name), i, ms))
  else
    session.print(("%s: seq=%d %s"):format(data.safe(edge.name), i, tostring(err)))
  end
end

local function summarize(args, list)
  local told = figures.of(list)
  if args.json then
    told.sent, told.received = args.count, #list
    return session.print(data.json { summary = told })
  end
  session.print(("%d sent, %d came back"):format(args.count, #list))
  if #list > 0 then session.print("round trip in ms: " .. figures.text(told)) end
end

function M.run(args)
  local node, edge = session.open(args)
  local list, due = {}, chaski.now()
  for i = 1, args.count do
    if i > 1 then chaski.sleep(math.max(due - chaski.now(), 0)) end
    due = chaski.now() + args.interval
    local ms, err = node:ping(edge, { size = args.size, timeout = args.timeout })
    list[#list + 1] = ms
    tell(args, edge, i, ms, err)
    if err and err.code ~= "timeout" then session.fail(err) end
  end
  summarize(args, list)
  session.exit(#list > 0 and 0 or session.codes.timeout)
end

return M
