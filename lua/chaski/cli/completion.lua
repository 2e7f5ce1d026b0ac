-- completion.lua: chaski completion: what teaches a shell the options of chaski. SPDX-License-Identifier: MIT
local session = require "chaski.cli.session"

local M = { summary = "Print what completes chaski's options in a shell." }

M.epilog = [[
  source <(chaski completion bash)                                    in ~/.bashrc
  chaski completion zsh > "${fpath[1]}/_chaski"                       once]]

function M.define(command)
  command:argument("shell", "bash, zsh or fish."):choices { "bash", "zsh", "fish" }
end

function M.run(args, parser)
  local method = ("get_%s_complete"):format(args.shell)
  session.write((parser[method](parser)))
end

return M
