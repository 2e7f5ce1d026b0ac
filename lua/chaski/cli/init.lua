-- init.lua: the command chaski: which sub-commands there are, and what is said about wrong usage. A sub-command is a
-- module with summary, define(command) and run(args); see session.lua for how one ends. SPDX-License-Identifier: MIT
local argparse = require "argparse"
local convert = require "chaski.cli.convert"
local session = require "chaski.cli.session"

local commands = { "pub", "sub", "req", "ping", "status", "top", "graph", "bench", "repl", "ca", "join", "completion" }

local epilog = session.codes_text
  .. [[


The node to connect to is named by -h and -p, or by the variable CHASKI_HOST.
`chaski COMMAND --help` tells more.]]

--- Our own --help: -h is the host, as people know it from elsewhere.
local function add_help(parser)
  parser:add_help "--help"
end

local function build()
  local parser = argparse("chaski", "Talk to a mesh of chaski nodes from the command line.", epilog)
  parser:usage_max_width(100)
  parser:help_max_width(100)
  parser:add_help(false)
  add_help(parser)
  parser:command_target "command"
  parser:require_command(true)
  local modules, parsers = {}, {}
  for _, name in ipairs(commands) do
    modules[name] = require("chaski.cli." .. name)
    local command = parser:command(name, modules[name].summary, modules[name].epilog)
    command:summary(modules[name].summary)
    command:add_help(false)
    add_help(command)
    modules[name].define(command)
    parsers[name] = command
  end
  return parser, modules, parsers
end

local M = {}

--- Run the command line; the script's arguments are in arg.
function M.main(arguments)
  local parser, modules, parsers = build()
  local ok, args = parser:pparse(convert.join_negative(arguments))
  if not ok then
    local usage = (parsers[arguments[1]] or parser):get_usage():gsub("%s+", " ")
    session.complain(args .. "\n" .. usage .. "\nMore with --help.")
    os.exit(session.codes.usage, true)
  end
  return modules[args.command].run(args, args.command == "completion" and parser or parsers[args.command])
end

return M
