-- evaluate.lua: the lines of a dialogue: compiled as an expression or statements, run as a task of their own, what they
-- give shown. Knows neither terminals nor sockets: where text goes is its maker's. SPDX-License-Identifier: MIT
local core = require "chaski.core"
local show = require "chaski.repl.show"

local CHUNK = "=stdin" -- as lua(1) calls it

---@class chaski.repl.sink
---@field write fun(text: string) what a line gives
---@field complain fun(text: string) what is wrong with one
---@field running fun(co: thread?) this coroutine runs the line; nil: no more
---@field globals table? what lines see; default _G

---@class chaski.repl.evaluator
---@field sink chaski.repl.sink
---@field task chaski.task? of the line that runs
local Evaluator = {}
Evaluator.__index = Evaluator

-- --- compiling -------------------------------------------------------------------------------------------------------

--- The function of a text, an expression or statements; nil, message and whether more lines could mend it.
local function compile(text, globals)
  local fn = load("return " .. text:gsub("^=", ""), CHUNK, "t", globals)
  if fn then return fn end
  local why
  fn, why = load(text, CHUNK, "t", globals)
  if fn then return fn end
  return nil, why, why:find "<eof>$" ~= nil
end

-- --- running ---------------------------------------------------------------------------------------------------------

local function describe(err)
  if type(err) == "table" and err.code == "cancelled" then return "interrupted" end
  if type(err) == "string" or type(err) == "number" then return tostring(err) end
  local meta = debug.getmetatable(err)
  if type(meta) == "table" and rawget(meta, "__tostring") then return show(err) end
  return ("(error object is a %s value)"):format(type(err))
end

local ours = debug.getinfo(1, "S").source:match "^(.*/)[^/]*/[^/]*$" -- lua/chaski/

--- The level, as its caller counts, where the traceback begins: not with those of our functions that noticed a mistake
--- of the line, unless it is their own.
local function first_level(text)
  local level = 3
  local info = debug.getinfo(level, "Slf")
  while info and info.func ~= xpcall and (info.what == "C" or info.source:sub(1, #ours) == ours) do
    if text:sub(1, #info.short_src + 1) == info.short_src .. ":" then return 2 end
    level = level + 1
    info = debug.getinfo(level, "Slf")
  end
  return level - 1
end

--- The traceback as far as it is the line's, and none when that is all there is to say.
local function trace(err)
  local text = describe(err)
  if text:find "interrupted$" then return "interrupted" end
  local kept, functions = {}, 0
  for line in debug.traceback("", first_level(text)):gmatch "[^\n]+" do
    if line:find "^%s+%[C%]: in function 'xpcall'" then break end -- ours, unless it is the line's
    kept[#kept + 1] = line
    if line:find "^%s+stdin:%d+: in main chunk" then break end
    if not line:find "^%s+%[C%]" and not line:find "^%s+%(%.%.%.tail calls" then functions = functions + 1 end
  end
  return functions > 1 and text .. "\n" .. table.concat(kept, "\n") or text -- one is the title
end

local function over(running, ...)
  running(nil) -- here, as the coroutine may be another task's afterwards
  return ...
end

local function run_line(fn, running)
  core.unlimited()
  running(coroutine.running())
  return over(running, xpcall(fn, trace))
end

--- Whether it went well; what fn returned, or the message.
function Evaluator:run(fn)
  self.task = core.spawn(run_line, fn, self.sink.running)
  local results = table.pack(self.task:join())
  self.task = nil
  if results[1] then return table.unpack(results, 2, results.n) end
  return false, describe(results[2])
end

--- On one line if all fit in it, else one for each.
local function text_of(n, ...)
  local parts, separator = {}, "\t"
  for i = 1, n do
    parts[i] = show((select(i, ...)))
    if parts[i]:find("\n", 1, true) then separator = "\n" end
  end
  return table.concat(parts, separator)
end

function Evaluator:report(ok, ...)
  local n = select("#", ...)
  if not ok then
    self.sink.complain((...))
  elseif n > 0 then
    self.sink.write(text_of(n, ...) .. "\n")
  end
  return ok
end

--- Run a text, and tell what it gives or what is wrong: whether it went well; or "more" when it is not complete, unless
--- nothing more can come. Waits.
---@param text string
---@param final boolean?
---@return boolean|"more"
function Evaluator:submit(text, final)
  local fn, message, incomplete = compile(text, self.sink.globals or _G)
  if incomplete and not final then return "more" end
  if fn then return self:report(self:run(fn)) end
  self.sink.complain(message)
  return false
end

--- Stop the line that waits; one that runs is for a hook to stop.
function Evaluator:interrupt()
  if self.task then self.task:cancel() end
end

---@param sink chaski.repl.sink
---@return chaski.repl.evaluator
return function(sink)
  return setmetatable({ sink = sink }, Evaluator)
end
