-- dialogue.lua: the loop of the interactive mode: lines are read, with editing and history on a terminal, from a pipe
-- to its end, and handed over until they are a statement. Who runs them, this program or another, is the caller's.
-- SPDX-License-Identifier: MIT
local new_lines = require "chaski.lines"
local terminal = require "chaski.terminal"

---@class chaski.repl.host
---@field submit fun(text: string, final: boolean): boolean|"more" see evaluate.lua
---@field interrupt fun() Ctrl-C while a statement runs
---@field complete fun(before: string): string[]
---@field begin fun()? there is a terminal

local function prompt(name, default)
  local value = _G[name]
  return value == nil and default or tostring(value)
end

--- Whether a statement went well; nil and why there is none.
local function statement(host, read)
  local text, why = read(prompt("_PROMPT", "> "))
  if not text then return nil, why end
  local state = host.submit(text, false)
  while state == "more" do
    local more
    more, why = read(prompt("_PROMPT2", ">> "))
    if why == "interrupted" then return nil, why end
    text = more and text .. "\n" .. more or text
    state = host.submit(text, not more)
  end
  return state
end

-- --- the two kinds of input ------------------------------------------------------------------------------------------

local function history_file()
  local path = os.getenv "CHASKI_HISTORY"
  if path then return path ~= "" and path or nil end
  local home = os.getenv "HOME"
  return home and home ~= "" and home .. "/.chaski_history" or nil
end

local function terminal_reader()
  local last
  return function(text)
    local line, why = terminal.read(text)
    if line and line:find "%S" and line ~= last then
      terminal.add_history(line)
      last = line
    end
    return line, why
  end
end

local function on_terminal(host)
  local history = history_file()
  if history then terminal.load_history(history) end
  if host.begin then host.begin() end
  local read = terminal_reader()
  repeat
    local _, why = statement(host, read)
  until why == "end"
  if history then terminal.save_history(history) end
  return 0
end

--- Everything to the end; the exit code tells whether a line has failed.
local function from_pipe(host)
  local lines, failed = new_lines(), false
  local function read()
    local line = lines:read()
    return line, not line and "end" or nil
  end
  while true do
    local ok, why = statement(host, read)
    if why == "end" then return failed and 1 or 0 end
    failed = failed or not ok
  end
end

--- Talk until the input ends. Returns the exit code.
---@param host chaski.repl.host
---@return integer
return function(host)
  if terminal.start(host.interrupt, host.complete) then return on_terminal(host) end
  return from_pipe(host)
end
