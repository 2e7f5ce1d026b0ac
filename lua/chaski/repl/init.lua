-- init.lua: the interactive mode: run() is the dialogue of this program with who sits at its standard input, listen()
-- lets `chaski repl` in through a unix socket. SPDX-License-Identifier: MIT
local M = { listen = require "chaski.repl.server" }

local function complain(message)
  io.stdout:flush()
  io.stderr:write(message .. "\n")
end

local function write(text)
  io.stdout:write(text)
end

local function begin()
  if _G.chaski == nil then _G.chaski = require "chaski" end
end

--- Talk until the input ends; only in the program chaski-lua. Returns the exit code.
---@return integer
function M.run()
  local running = require("chaski.terminal").running
  local evaluator = require "chaski.repl.evaluate" { write = write, complain = complain, running = running }
  return require "chaski.repl.dialogue" {
    submit = function(text, final)
      local state = evaluator:submit(text, final)
      io.stdout:flush()
      return state
    end,
    interrupt = function()
      evaluator:interrupt()
    end,
    complete = require "chaski.repl.complete",
    begin = begin,
  }
end

return M
