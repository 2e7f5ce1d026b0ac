-- client.lua: the other end of server.lua: a link to a host that runs, which takes the lines of a dialogue.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local uv = require "luv"
local wire = require "chaski.repl.wire"

local PATIENCE = 0.5 -- seconds for what Tab shows; the dialogue stands still meanwhile

---@class chaski.repl.link
---@field pipe any
---@field path string
---@field refused string?
---@field gone boolean
---@field on_gone fun()? the host has ended, or closed the session
local Link = {}
Link.__index = Link

local codes = { ENOENT = "refused", ECONNREFUSED = "refused", EACCES = "denied", EPERM = "denied" }
local reasons = {
  ENOENT = "there is no such socket; a host makes one with --repl-socket",
  ECONNREFUSED = "nobody listens there; its host has ended, or it is no socket",
  EACCES = "permission denied; only the user whose program it is may",
}

--- A connection, or nil, err. Waits.
local function connect(path)
  local pipe, waiter = uv.new_pipe(false), core.waiter "repl.connect"
  pipe:connect(path, function(err)
    core.wake(waiter, err or false)
  end)
  local name = core.park()
  core.sleep(0) -- out of the callback: luv frees its request behind it, and who gives up now may end the program
  if not name then return pipe end
  pipe:close()
  local code = codes[name] or "refused"
  return nil, core.new_error(code, ("cannot connect to '%s': %s"):format(path, reasons[name] or name))
end

local function tell(frame)
  if frame.error then
    io.stdout:flush()
    io.stderr:write(frame.text)
  else
    io.stdout:write(frame.text)
    io.stdout:flush()
  end
end

function Link:wake(...)
  local waiter = self.waiter
  self.waiter = nil
  if waiter then core.wake(waiter, ...) end
end

function Link:lost()
  if self.gone then return end
  self.gone = true
  self.pipe:close()
  self:wake(nil)
  if self.on_gone then self.on_gone() end
end

local answers = {
  output = function(_, frame)
    tell(frame)
  end,
}

function answers.hello(link)
  link:wake(true)
end

function answers.refused(link, frame)
  link.refused = frame.text
  link:lost()
end

function answers.done(link, frame)
  link:wake(frame.state)
end

local function begin(link)
  local decode = wire.decoder(function(frame)
    local fn = answers[frame.kind]
    if fn then fn(link, frame) end
  end)
  link.pipe:read_start(function(_, bytes)
    if not bytes or not decode(bytes) then link:lost() end
  end)
end

function Link:wait()
  self.waiter = core.waiter "repl"
  return core.park()
end

--- As that of evaluate.lua, by the host; false when it has gone.
function Link:submit(text, final)
  if self.gone then return false end
  self.pipe:write(wire.encode { kind = "line", text = text, final = final })
  return self:wait() or false
end

function Link:interrupt()
  if not self.gone then self.pipe:write(wire.INTERRUPT) end
end

function Link:close()
  self.on_gone = nil
  self:lost()
end

-- --- completion: asked on a connection of its own, as the editor cannot wait for the loop ----------------------------

local function read_until(fd, kind)
  local found
  local decode = wire.decoder(function(frame)
    if frame.kind == kind then found = frame end
  end)
  local deadline = uv.hrtime() + PATIENCE * 1e9
  while not found and uv.hrtime() < deadline do
    local bytes, _, name = uv.fs_read(fd, 65536, -1)
    if not bytes and name == "EAGAIN" then
      uv.sleep(1)
    elseif not bytes or bytes == "" or not decode(bytes) then
      break
    end
  end
  return found
end

local function ask(pipe, before)
  local fd = pipe:fileno()
  if not uv.fs_write(fd, wire.encode { kind = "complete", before = before }, -1) then return {} end
  local found = read_until(fd, "completions")
  return found and found.list or {}
end

--- A function for the editor: the words that may stand before the cursor. Late answers are thrown away with their
--- connection. Waits.
function Link:completer()
  local pipe = connect(self.path)
  self.asked = pipe
  return function(before)
    if not pipe or self.gone then return {} end
    local ok, list = pcall(ask, pipe, before)
    return ok and list or {}
  end
end

--- The link to the host that listens at the path; nil, err when there is none, or it refuses. Waits.
---@param path string
---@return chaski.repl.link?, chaski.error?
return function(path)
  local pipe, err = connect(path)
  if not pipe then return nil, err end
  local link = setmetatable({ pipe = pipe, path = path, gone = false }, Link)
  begin(link)
  if link:wait() then return link end
  local why = link.refused or "it has closed the connection"
  return nil, core.new_error(link.refused and "denied" or "refused", ("'%s' refuses: %s"):format(path, why))
end
