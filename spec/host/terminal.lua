-- terminal.lua: a program on a pseudo-terminal (terminal.py), which a spec types into and watches.
-- SPDX-License-Identifier: MIT
local assert = require "luassert"
local helper = require "spec.helper"

-- LD_PRELOAD: with sanitizers their library, which python3 is not built for.
local environment = { CHASKI_HISTORY = "", TERM = "xterm", LC_ALL = "C.UTF-8", HOME = "/nowhere", LD_PRELOAD = false }

--- Without what moves the cursor; lines end with "\n".
local function visible(text)
  return (text:gsub("\27%[[%d;?]*%a", ""):gsub("\r+\n", "\n"):gsub("[\r\b\a]", ""))
end

-- --- a terminal ------------------------------------------------------------------------------------------------------

local Terminal = {}
Terminal.__index = Terminal
Terminal.visible = visible

--- Wait until the text has been shown since what was waited for last. Returns what was shown up to its end.
function Terminal:shows(text)
  local process, from = self.process, self.at
  local first, last
  process:until_(function()
    first, last = visible(process.out):find(text, from, true)
    return first or process.over
  end, ("no '%s'"):format(text))
  if not first then error(("ended without '%s':\n%s"):format(text, process.out), 2) end
  self.at = last + 1
  return visible(process.out):sub(from, last)
end

function Terminal:type(text)
  self.process:write(text)
end

--- Type a line, and wait for what it gives and the next prompt.
function Terminal:enter(line, answer)
  self:type(line .. "\n")
  if answer then self:shows(answer) end
  self:shows "\n> "
end

--- Ctrl-D, and the end.
function Terminal:leave(code)
  self:type "\4"
  self.process:wait()
  assert.equal(code or 0, self.process.code)
end

--- The environment of such a program, with more of it, or other.
function Terminal.environment(more)
  local env = {}
  for _, list in ipairs { environment, more or {} } do
    for name, value in pairs(list) do
      env[name] = value
    end
  end
  return env
end

--- A program with these arguments; default: chaski-lua.
function Terminal.start(args, more, program)
  local list = { "-B", "spec/host/terminal.py", "24", "80", program or helper.program, table.unpack(args or {}) }
  local options = { program = "python3", open = true, env = Terminal.environment(more), timeout = 8 }
  return setmetatable({ process = helper.start(list, options), at = 1 }, Terminal)
end

--- The same, at its first prompt.
function Terminal.open(...)
  local terminal = Terminal.start(...)
  terminal:shows "> "
  return terminal
end

return Terminal
