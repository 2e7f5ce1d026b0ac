-- pub.lua: chaski pub: publish messages and end when they have left. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local convert = require "chaski.cli.convert"
local data = require "chaski.cli.data"
local session = require "chaski.cli.session"

local M = { summary = "Publish messages of a topic." }

M.epilog = [[
Data: with --as auto (the default) a text that is JSON or a Lua table is sent as that value, any
other as a string.
  chaski pub -h 192.0.2.7:8511 -t weather -m '{ "celsius": 21.5 }'
  sensors | chaski pub -t weather -l]]

function M.define(command)
  command:option("-t --topic", "Topic."):argname("TOPIC"):count(1):convert(convert.topic "-t")
  command:mutex(
    command:option("-m --message", "Data of the message."):argname "DATA",
    command:option("-f --file", "Data are what is in this file."):argname "FILE",
    command:flag("-s --stdin-file", "Data are all of standard input."),
    command:flag("-l --stdin-line", "A message for each line of standard input, as it comes."),
    command:flag("-n --null", "Data are nil.")
  )
  command:option("--as", "How data are read."):choices(data.formats):default "auto"
  command
    :option("--repeat", "Publish so many times.")
    :argname("COUNT")
    :convert(convert.count("--repeat", 1))
    :default "1"
  command
    :option("--repeat-delay", "Time between these.")
    :argname("TIME")
    :convert(convert.seconds "--repeat-delay")
    :default "0"
  command:option("--ttl", "Hops it may take."):argname("HOPS"):convert(convert.count("--ttl", 1, 64))
  session.add_timeout(command, "How long to try.", "10s")
  session.add_connection(command)
end

local function read_file(path)
  local file, why = io.open(path, "rb")
  if not file then session.fail(why, "failed") end
  local text
  text, why = file:read "a"
  file:close()
  if not text then session.fail(("%s: %s"):format(path, why), "failed") end
  return text
end

local function read(text, args)
  local value, why = data.read(text, args.as)
  if why then session.fail(why, "usage") end
  return value
end

--- The one value there is to publish.
local function single(args)
  if args.null then return nil end
  if args.file then return read(read_file(args.file), args) end
  if args.stdin_file then return read(session.try(chaski.lines():read_all()), args) end
  return read(args.message, args)
end

local function publisher(node, args)
  return function(value)
    local task = chaski.spawn(node.publish, node, args.topic, value, { ttl = args.ttl })
    local joined, sent, err = task:join(args.timeout)
    if not joined then session.fail(sent) end
    if not sent then session.fail(err) end
  end
end

local function publish_lines(publish, args)
  for line in chaski.lines() do
    publish(read(line, args))
  end
end

local function publish_single(publish, args, value)
  for i = 1, args["repeat"] do
    if i > 1 then chaski.sleep(args.repeat_delay) end
    publish(value)
  end
end

function M.run(args)
  if not (args.message or args.file or args.stdin_file or args.stdin_line or args.null) then
    session.fail("pub: one of -m, -f, -s, -l, -n is needed", "usage")
  end
  local value
  if not args.stdin_line then value = single(args) end -- what is wrong here is said before anybody is asked
  local node, edge, state = session.open(args)
  local publish = publisher(node, args);
  (args.stdin_line and publish_lines or publish_single)(publish, args, value)
  -- When it answers it has read all, and has said what it refuses.
  local answered, err = edge:ping { timeout = args.timeout, latency_update = false }
  if state.denied then session.fail(state.denied, "denied") end
  if not answered then session.fail(err) end
  local ledger = node.ledger
  if ledger.published > 0 and ledger.no_interest >= ledger.published then
    session.fail(("%s takes no messages of '%s', and passes none on"):format(edge.name, args.topic), "no_interest")
  end
  session.exit(0)
end

return M
