-- repl.lua: chaski repl: the interactive mode of a host that runs. SPDX-License-Identifier: MIT
local connect = require "chaski.repl.client"
local core = require "chaski.core"
local session = require "chaski.cli.session"

local M = { summary = "Talk to a running host, line by line, as chaski-lua -i does with its own." }

M.epilog = [[
  chaski-lua --repl-socket /run/user/1000/mesh.sock mesh.lua     a host that lets its own user in
  chaski repl /run/user/1000/mesh.sock
  chaski repl /run/user/1000/mesh.sock -e 'node.status' -e '#node.edges'
  ssh there chaski repl /run/user/1000/mesh.sock                 from another machine]]

function M.define(command)
  command:argument("socket", "Path of the socket, as given to --repl-socket."):argname "SOCKET"
  command:option("-e --execute", "Run a statement, print what it gives, and end."):argname("STATEMENT"):count "*"
end

--- What looks like host:port is meant as one.
local function is_address(text)
  return not text:find "/" and (text:find "^.+:%d+$" or text:find "^%d+%.%d+%.%d+%.%d+$") ~= nil
end

local function run_statements(link, statements)
  local failed = false
  for _, text in ipairs(statements) do
    failed = not link:submit(text, true) or failed
  end
  return failed and session.codes.failed or 0
end

local function talk(link)
  local completer = link:completer()
  return require "chaski.repl.dialogue" {
    submit = function(text, final)
      return link:submit(text, final)
    end,
    interrupt = function()
      link:interrupt()
    end,
    complete = completer,
  }
end

function M.run(args)
  if is_address(args.socket) then
    local text = "repl: '%s' is an address, and no host offers a shell to the network; name a socket, elsewhere by ssh"
    session.fail(text:format(args.socket), "usage")
  end
  local link = session.try(connect(args.socket))
  local statements = #args.execute > 0 and args.execute
  local task = core.spawn(statements and run_statements or talk, link, statements or nil)
  link.on_gone = function()
    task:cancel()
  end
  local joined, code = task:join()
  if link.gone then session.fail("repl: the host has gone", "no_connection") end
  link:close()
  if not joined then session.fail(code) end
  session.exit(code)
end

return M
