-- init.lua: the command chaski: which sub-commands there are, and what is said about wrong usage. A sub-command is a
-- module with summary, define(command) and run(args); see session.lua for how one ends. SPDX-License-Identifier: MIT
local argparse = require "argparse"
local chaski = require "chaski"
local convert = require "chaski.cli.convert"
local session = require "chaski.cli.session"
local uv = require "luv"

local commands = { "pub", "sub", "req", "ping", "status", "top", "graph", "bench", "repl", "ca", "join", "completion" }

local epilog = session.codes_text
  .. [[


The node to connect to is named by -h and -p, or by the variable CHASKI_HOST.
`chaski COMMAND --help` tells more.]]

local alone = { repl = true, ca = true, join = true, completion = true } -- that connect to no node

--- Our own help: where there is a host, -h is that, as people know it from elsewhere.
local function add_help(command, name)
  command:add_help(false)
  command:add_help(alone[name] and "-h --help" or "--help")
end

local function print_version()
  session.print(("chaski %s  %s  libuv %s"):format(chaski.version, _VERSION, uv.version_string()))
  session.exit(0)
end

local function build()
  local parser = argparse("chaski", "Talk to a mesh of chaski nodes from the command line.", epilog)
  parser:usage_max_width(100)
  parser:help_max_width(100)
  add_help(parser)
  parser:flag("--version", "Print the version and exit; also: -v."):action(print_version)
  parser:command_target "command"
  parser:require_command(true)
  local modules, parsers = {}, {}
  for _, name in ipairs(commands) do
    modules[name] = require("chaski.cli." .. name)
    local command = parser:command(name, modules[name].summary, modules[name].epilog)
    command:summary(modules[name].summary)
    add_help(command, name)
    modules[name].define(command)
    parsers[name] = command
  end
  parser:command("help", "Show this, or the help of a command; also: -h."):argument("about"):args "?"
  return parser, modules, parsers
end

local instead = { help = "--help", ["-h"] = "--help", ["-v"] = "--version" }

--- The words, with an option for one that asks for help or the version: help COMMAND is COMMAND --help.
local function reworded(words)
  local first, second = table.unpack(words)
  if not instead[first] then return words end
  if first ~= "help" or not second or second:find "^%-" then return { instead[first] } end
  local list = table.move(words, 2, #words, 1, {})
  list[#list + 1] = "--help"
  return list
end

local M = {}

local mosquitto = {
  q = "there is no quality of service to choose here",
  r = "there are no retained messages here",
}

--- What the parser says of wrong usage. Of an option of one letter every other is one mistake away: they are no hint.
local function complaint(text)
  local said, letter = text:match "^(unknown option '%-([^-])')"
  if not said then return text end
  return mosquitto[letter] and said .. "; " .. mosquitto[letter] or said
end

--- Run the command line; the script's arguments are in arg.
function M.main(arguments)
  local parser, modules, parsers = build()
  local words = reworded(convert.join_negative(arguments))
  local ok, args = parser:pparse(words)
  if not ok then
    local usage = (parsers[words[1]] or parser):get_usage():gsub("%s+", " ")
    session.complain(complaint(args) .. "\n" .. usage .. "\nMore with --help.")
    os.exit(session.codes.usage, true)
  end
  return modules[args.command].run(args, args.command == "completion" and parser or parsers[args.command])
end

return M
