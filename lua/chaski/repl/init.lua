-- init.lua: the dialogue of the program's interactive mode: a line is read while the loop goes on, compiled, run as a
-- task of its own, and what it gives is printed. On a terminal with editing and history; from a pipe it reads to the
-- end. SPDX-License-Identifier: MIT
local complete = require "chaski.repl.complete"
local core = require "chaski.core"
local new_lines = require "chaski.lines"
local show = require "chaski.repl.show"
local terminal = require "chaski.terminal"

local CHUNK = "=stdin" -- as lua(1) calls it
local current -- the task of the line that runs

-- --- compiling -------------------------------------------------------------------------------------------------------

--- The function of a text, an expression or statements; nil, message and whether more lines could mend it.
local function compile(text)
  local fn = load("return " .. text:gsub("^=", ""), CHUNK, "t")
  if fn then return fn end
  local why
  fn, why = load(text, CHUNK, "t")
  if fn then return fn end
  return nil, why, why:find "<eof>$" ~= nil
end

local function prompt(name, default)
  local value = _G[name]
  return value == nil and default or tostring(value)
end

--- read(prompt) -> line, or nil and why: until they are a statement. nil, why; or nil, nil, message.
local function read_statement(read)
  local text, why = read(prompt("_PROMPT", "> "))
  if not text then return nil, why end
  local fn, message, incomplete = compile(text)
  while incomplete do
    local more
    more, why = read(prompt("_PROMPT2", ">> "))
    if why == "interrupted" then return nil, why end
    if not more then break end
    text = text .. "\n" .. more
    fn, message, incomplete = compile(text)
  end
  return fn, nil, message
end

-- --- running ---------------------------------------------------------------------------------------------------------

local function describe(err)
  if type(err) == "table" and err.code == "cancelled" then return "interrupted" end
  if type(err) == "string" or type(err) == "number" then return tostring(err) end
  local meta = debug.getmetatable(err)
  if type(meta) == "table" and rawget(meta, "__tostring") then return show(err) end
  return ("(error object is a %s value)"):format(type(err))
end

--- The traceback as far as it is the line's, and none when that is all there is to say.
local function trace(err)
  local text = describe(err)
  if text:find "interrupted$" then return "interrupted" end
  local kept, functions = {}, 0
  for line in debug.traceback("", 2):gmatch "[^\n]+" do
    if line:find "^%s+%[C%]: in function 'xpcall'" then break end -- ours, unless it is the line's
    kept[#kept + 1] = line
    if line:find "^%s+stdin:%d+: in main chunk" then break end
    if not line:find "^%s+%[C%]" then functions = functions + 1 end
  end
  return functions > 1 and text .. "\n" .. table.concat(kept, "\n") or text -- one is the title
end

local function run_line(fn)
  core.unlimited()
  terminal.running(coroutine.running())
  return xpcall(fn, trace)
end

--- Whether it went well; what fn returned, or the message.
local function run(fn)
  current = core.spawn(run_line, fn)
  local results = table.pack(current:join())
  current = nil
  terminal.running(nil)
  if results[1] then return table.unpack(results, 2, results.n) end
  return false, describe(results[2])
end

local function complain(message)
  io.stdout:flush()
  io.stderr:write(message, "\n")
end

--- One line if all fit in it, else one for each.
local function print_values(n, ...)
  if n == 0 then return end
  local parts, separator = {}, "\t"
  for i = 1, n do
    parts[i] = show((select(i, ...)))
    if parts[i]:find("\n", 1, true) then separator = "\n" end
  end
  io.stdout:write(table.concat(parts, separator), "\n")
end

--- Whether it went well.
local function evaluate(fn)
  local function report(ok, ...)
    if ok then
      print_values(select("#", ...), ...)
    else
      complain((...))
    end
    io.stdout:flush()
    return ok
  end
  return report(run(fn))
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

local function interrupt()
  if current then current:cancel() end
end

local function on_terminal()
  local history = history_file()
  if history then terminal.load_history(history) end
  if _G.chaski == nil then _G.chaski = require "chaski" end
  local read, why = terminal_reader(), nil
  while why ~= "end" do
    local fn, message
    fn, why, message = read_statement(read)
    if fn then
      evaluate(fn)
    elseif message then
      complain(message)
    end
  end
  if history then terminal.save_history(history) end
  return 0
end

--- Everything to the end; the exit code tells whether a line has failed.
local function from_pipe()
  local lines, failed = new_lines(), false
  local function read()
    local line = lines:read()
    return line, not line and "end" or nil
  end
  while true do
    local fn, why, message = read_statement(read)
    if why == "end" then return failed and 1 or 0 end
    local ok = fn and evaluate(fn)
    if message then complain(message) end
    failed = failed or not ok
  end
end

local M = {}

--- Talk until the input ends. Returns the exit code.
function M.run()
  if terminal.start(interrupt, complete) then return on_terminal() end
  return from_pipe()
end

return M
