-- ca.lua: `chaski ca` as a script, for where the program chaski-lua is and the command chaski is not.
-- `chaski-lua scripts/ca.lua --help` tells how. SPDX-License-Identifier: MIT
local argparse = require "argparse"
local command = require "chaski.cli.ca"

local WRONG_USAGE = 2

local parser = argparse("ca.lua", "The certificate authority of a mesh.", command.epilog)
parser:usage_max_width(100)
parser:help_max_width(100)
command.define(parser)

local ok, args = parser:pparse(arg)
if not ok then
  local usage = parser:get_usage():gsub("%s+", " ")
  io.stderr:write("ca.lua: " .. args .. "\n" .. usage .. "\nMore with --help.\n")
  os.exit(WRONG_USAGE, true)
end
return command.run(args, parser, "ca.lua")
