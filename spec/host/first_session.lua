-- first_session.lua: docs/first_session.md, a first session at the prompt of chaski-lua: the lines that are typed stand
-- there behind "> " and ">> ", and what comes is what the terminal shows, with what differs each time made even.
-- `lua5.4 /usr/bin/busted` runs first_session_spec.lua, which compares; CHASKI_RECORD=1 with it writes the file anew.
-- SPDX-License-Identifier: MIT
local Terminal = require "spec.host.terminal"

local M = { path = "docs/first_session.md" }

local CTRL_C, CTRL_D = "\3", "\4"

--- What differs each time: ports, times, versions.
local function even(text)
  return (
    text
      :gsub("(127%.0%.0%.1:)%d%d%d%d%d?", "%1PORT")
      :gsub("latency [%d.]+ ms", "latency 0.01 ms")
      :gsub("queued = %d+", "queued = 0")
      :gsub("latency = [%d.e-]+", "latency = 0.01")
      :gsub("^chaski%-lua [^\n]*", "chaski-lua VERSION  Lua 5.4  libuv 1")
  )
end

--- Type the session's lines on a terminal; what it shows in the end.
local function play(lines)
  local terminal = Terminal.start {}
  terminal:shows "> "
  for i, line in ipairs(lines) do
    terminal:type(line.text .. "\n")
    if line.text:find "sleep%(3600%)" then
      terminal:shows "\nwaiting\n"
      terminal:type(CTRL_C)
    end
    terminal:shows("\n" .. (lines[i + 1] or { prompt = "> " }).prompt)
  end
  terminal:type(CTRL_D)
  terminal.process:wait()
  return even(Terminal.visible(terminal.process.out))
end

local function read()
  local file <close> = assert(io.open(M.path))
  return file:read "a"
end

--- The session as it is in the file, and the lines that are typed in it.
function M.recorded()
  local session = read():match "```text\n(.-)```"
  local lines = {}
  for line in session:gmatch "[^\n]+" do
    local prompt, typed = line:match "^(>>? )(.+)$"
    if typed and typed ~= "^D" then lines[#lines + 1] = { prompt = prompt, text = typed } end
  end
  return session, lines
end

function M.play()
  local _, lines = M.recorded()
  return play(lines)
end

function M.write(session)
  local before, after = read():match "^(.-```text\n).-(```.*)$"
  local file <close> = assert(io.open(M.path, "w"))
  file:write(before, session, after)
end

return M
