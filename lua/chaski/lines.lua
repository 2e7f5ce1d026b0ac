-- lines.lua: chaski.lines(): standard input line by line, on the loop: who waits for a line is a task, and the rest
-- goes on meanwhile. For terminals, pipes, sockets and files; reads ahead no further than a chunk.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local uv = require "luv"

local CHUNK = 65536 -- bytes read at once of a file
local LINE_MAX = 16 * 1024 * 1024 -- bytes of a line

---@class chaski.lines for line in lines do ... end, or lines:read()
local Lines = { __name = "chaski.lines" }
Lines.__index = Lines

-- --- chunks: start(self) begins to fetch one and later calls self:got(chunk or nil at the end, err) ------------------

local function from_stream(stream)
  return function(self)
    stream:read_start(function(err, chunk)
      stream:read_stop()
      if not chunk then stream:close() end
      self:got(chunk, err)
    end)
  end, function()
    if stream:is_closing() then return end
    stream:close()
  end
end

local function from_file(fd)
  return function(self)
    uv.fs_read(fd, CHUNK, -1, function(err, chunk)
      self:got(chunk ~= "" and chunk or nil, err)
    end)
  end, function() end
end

local function open(fd)
  local kind = uv.guess_handle(fd)
  if kind == "tty" then return from_stream(assert(uv.new_tty(fd, true))) end
  if kind ~= "pipe" and kind ~= "tcp" then return from_file(fd) end
  local stream = kind == "pipe" and uv.new_pipe(false) or uv.new_tcp()
  assert(stream:open(fd))
  return from_stream(stream)
end

-- --- lines -----------------------------------------------------------------------------------------------------------

function Lines:got(chunk, err)
  self.reading = false
  if chunk then
    self.buffer = self.buffer .. chunk
  else
    self.ended, self.error = true, err
  end
  if #self.buffer > LINE_MAX then
    self.ended, self.error = true, "a line is longer than " .. LINE_MAX .. " bytes"
  end
  local waiter = self.waiter
  self.waiter = nil
  if waiter then core.wake(waiter, true) end
end

--- What is there already: a line, or the last one that has no end.
local function take(self)
  local at = self.buffer:find("\n", self.from, true)
  if at then
    local line = self.buffer:sub(self.from, at - 1)
    self.from = at + 1
    return line
  end
  self.buffer, self.from = self.buffer:sub(self.from), 1
  if not self.ended or self.buffer == "" then return nil end
  local rest = self.buffer
  self.buffer = ""
  return rest
end

--- Wait for more, or the end.
local function wait(self, timeout)
  if self.waiter then error("lines: another task reads", 3) end
  self.waiter = core.waiter "lines:read"
  local _ <close> = setmetatable({}, {
    __close = function()
      self.waiter = nil
    end,
  })
  if not self.reading then
    self.reading = true
    self:start()
  end
  return core.park(timeout)
end

--- The next line without its end. nil at the end of the input; nil, err when it cannot be read, or after `timeout`
--- seconds (code "timeout"). One task at a time.
---@param timeout number?
---@return string?, chaski.error?
function Lines:read(timeout)
  local line = take(self)
  while not line and not self.ended do
    local more, err = wait(self, timeout)
    if not more then return nil, err end
    line = take(self)
  end
  if line or not self.error then return line end
  return nil, core.new_error("io", "lines:read: " .. tostring(self.error))
end

--- All that is left, as it is. nil, err when it cannot be read.
---@return string?, chaski.error?
function Lines:read_all()
  local parts = {}
  repeat
    parts[#parts + 1] = self.buffer:sub(self.from)
    self.buffer, self.from = "", 1
    local more = not self.ended and wait(self)
  until not more
  if self.error then return nil, core.new_error("io", "lines:read_all: " .. tostring(self.error)) end
  return table.concat(parts)
end

--- As an iterator.
function Lines:__call()
  return (self:read())
end

--- Read no more.
function Lines:close()
  if not self.ended then self.stop() end
  self.ended, self.buffer = true, ""
end

Lines.__close = Lines.close

function Lines:__tostring()
  return "lines" .. (self.ended and " (ended)" or "")
end

local opened = {}

--- The lines of standard input (or of another open file, whose number may be another one's later). It is one object
--- however often it is asked for, since what has been read ahead is in it.
---@param fd integer? default 0
---@return chaski.lines
return function(fd)
  fd = fd or 0
  if math.type(fd) ~= "integer" or fd < 0 then error("lines: expected the number of an open file", 2) end
  if not opened[fd] or (opened[fd].ended and fd ~= 0) then
    local start, stop = open(fd)
    opened[fd] = setmetatable({ buffer = "", from = 1, start = start, stop = stop, ended = false }, Lines)
  end
  return opened[fd]
end
