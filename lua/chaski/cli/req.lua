-- req.lua: chaski req: ask a node to call what it serves, and print the answer. SPDX-License-Identifier: MIT
local core = require "chaski.core"
local data = require "chaski.cli.data"
local session = require "chaski.cli.session"

local M = { summary = "Ask a node to call a function it serves; print the answer." }

M.epilog = [[
  chaski req -h 192.0.2.7:8511 add x=1 y=2]]

function M.define(command)
  command:argument("callback", "Name of what the node serves.")
  command:argument("arguments", "name=value of its table of arguments."):args "*"
  command:option("-m --message", "The table of arguments, as JSON or Lua."):argname "DATA"
  command:option("--as", "How values are read."):choices(data.formats):default "auto"
  session.add_timeout(command, "How long to wait for the answer.", "5s")
  session.add_json(command)
  session.add_connection(command)
end

local function arguments_of(args)
  local arguments, why = data.read_pairs(args.arguments, args.as)
  local whole
  if not why and args.message then
    whole, why = data.read(args.message, args.as)
    why = why and "-m: " .. why
  end
  if not why and args.message and type(whole) ~= "table" then why = "-m: expected a table" end
  if why then session.fail("req: " .. why, "usage") end
  for key, value in pairs(whole or {}) do
    if arguments[key] == nil then arguments[key] = value end
  end
  return arguments
end

function M.run(args)
  local arguments = arguments_of(args)
  local node, edge = session.open(args)
  local answer, err = node:request(args.callback, arguments, { edge = edge, timeout = args.timeout })
  if err ~= nil then session.fail(err) end
  session.print(args.json and data.json(answer == nil and core.null or answer) or data.text(answer))
  session.exit(0)
end

return M
