-- server.lua: the interactive mode of a host that runs, offered on a unix socket to processes of the same user and to
-- nobody else. Any number of sessions; each line is a task of the host whose output goes to its session. The end of a
-- session costs the line that it runs, and nothing else. SPDX-License-Identifier: MIT
local complete = require "chaski.repl.complete"
local core = require "chaski.core"
local evaluate = require "chaski.repl.evaluate"
local handle = require "chaski.handle"
local options = require "chaski.options"
local uv = require "luv"
local wire = require "chaski.repl.wire"

local SESSIONS = 32 -- at once; a terminal has two
local PATH_MAX = 107 -- bytes of sockaddr_un; libuv would cut a longer one
local OWNER_ONLY = 384 -- 0600
local HIGH, HARD = 1024 * 1024, 16 * 1024 * 1024 -- bytes unsent: the line waits; the session is given up
local STEPS = 10000 -- instructions of a line between two looks at its socket

local servers = {} -- path -> { handle, pipe, sessions }
local by_coroutine = setmetatable({}, { __mode = "k" }) -- of the line that runs -> its session

-- --- a session -------------------------------------------------------------------------------------------------------

---@class chaski.repl.session
---@field pipe any
---@field server table
---@field open boolean
---@field evaluator chaski.repl.evaluator
---@field line thread? the coroutine of the line that runs
---@field waiter any? of the line, which waits until output has left
---@field noticed integer bytes that wait and have been taken for interrupts
local Session = {}
Session.__index = Session

function Session:close()
  if not self.open then return end
  self.open = false
  self.server.sessions[self] = nil
  self.evaluator:interrupt()
  if self.waiter then core.wake(self.waiter) end
  if not self.pipe:is_closing() then self.pipe:close() end
end

function Session:drained(err)
  if err then return self:close() end
  if self.waiter and self.pipe:get_write_queue_size() < HIGH then core.wake(self.waiter) end
end

--- Only the line itself waits: a handler of the host would wait for somebody at a terminal.
function Session:wait_until_drained()
  while self.open and self.pipe:get_write_queue_size() >= HIGH do
    self.waiter = core.waiter "print"
    core.park()
    self.waiter = nil
  end
end

function Session:send(frame)
  if not self.open then return end
  self.pipe:write(wire.encode(frame), function(err)
    self:drained(err)
  end)
  if self.line == coroutine.running() and coroutine.isyieldable() then self:wait_until_drained() end
  if self.open and self.pipe:get_write_queue_size() > HARD then self:close() end
end

function Session:tell(text, is_error)
  for at = 1, #text, wire.PIECE do
    self:send { kind = "output", text = text:sub(at, at + wire.PIECE - 1), error = is_error }
  end
end

-- --- printing --------------------------------------------------------------------------------------------------------

local host_print, host_write = print, io.write

local function joined(separator, ...)
  local parts = table.pack(...)
  for i = 1, parts.n do
    parts[i] = tostring(parts[i])
  end
  return table.concat(parts, separator)
end

--- print and io.write that go to what find() gives, a session or nil: then to where they have always gone.
local function printers(find)
  return function(...)
    local session = find()
    if not session then return host_print(...) end
    session:tell(joined("\t", ...) .. "\n")
  end, function(...)
    local session = find()
    if not session then return host_write(...) end
    session:tell(joined("", ...))
    return io.stdout
  end
end

--- Functions of the host print to the session whose line calls them.
local function redirect()
  if host_print ~= print then return end
  print, io.write = printers(function() -- luacheck: ignore
    return by_coroutine[coroutine.running()]
  end)
end

--- The globals of the host, but what is written in a session prints there, also when it is a handler, as long as the
--- session lives.
local function globals_of(session)
  local globals, io_of_session = {}, setmetatable({}, { __index = io })
  globals.print, io_of_session.write = printers(function()
    return session.open and session or nil
  end)
  globals.io = io_of_session
  return setmetatable(globals, { __index = _G, __newindex = _G })
end

-- --- lines -----------------------------------------------------------------------------------------------------------

--- Called every so often in a line: while it does not let the loop turn, nobody else hears of Ctrl-C.
local function look(session)
  local waiting = session.open and core.socket_waiting(session.pipe:fileno())
  if waiting and waiting <= session.noticed then return end
  session.noticed = waiting or 0
  error("interrupted", 0)
end

local function running(session, co)
  if co then
    session.noticed = 0
    by_coroutine[co] = session
    debug.sethook(co, function()
      look(session)
    end, "", STEPS)
  elseif session.line then
    by_coroutine[session.line] = nil
    debug.sethook(session.line)
  end
  session.line = co
end

local function run(session, frame)
  session.busy = true
  local state = session.evaluator:submit(frame.text, frame.final)
  session.busy = false
  session:send { kind = "done", state = state }
end

local answers = {}

function answers.line(session, frame)
  if session.busy or type(frame.text) ~= "string" then return session:close() end
  core.spawn(run, session, frame)
end

function answers.interrupt(session)
  session.evaluator:interrupt()
end

function answers.complete(session, frame)
  session:send { kind = "completions", list = core.array(complete(tostring(frame.before))) }
end

local function answer(session, frame)
  local fn = answers[frame.kind]
  if fn then return fn(session, frame) end
  session:close()
end

-- --- coming ----------------------------------------------------------------------------------------------------------

local function new_session(server, pipe)
  local session = setmetatable({ pipe = pipe, server = server, open = true, noticed = 0 }, Session)
  session.evaluator = evaluate {
    write = function(text)
      session:tell(text)
    end,
    complain = function(text)
      session:tell(text .. "\n", true)
    end,
    running = function(co)
      running(session, co)
    end,
    globals = globals_of(session),
  }
  server.sessions[session] = true
  return session
end

local function begin(session)
  local decode = wire.decoder(function(frame)
    if session.open then answer(session, frame) end
  end)
  session.pipe:read_start(function(_, bytes)
    session.noticed = 0
    if not bytes or not decode(bytes) then session:close() end
  end)
  session:send { kind = "hello", version = core.version, pid = uv.os_getpid() }
end

local function refuse(pipe, why)
  core.log("warn", "", "repl: refused: " .. why)
  pipe:write(wire.encode { kind = "refused", text = why }, function()
    if not pipe:is_closing() then pipe:close() end
  end)
end

local function count(set)
  local n = 0
  for _ in pairs(set) do
    n = n + 1
  end
  return n
end

local function come(server)
  local pipe = uv.new_pipe(false)
  if not server.pipe:accept(pipe) then return pipe:close() end
  pipe:unref() -- who looks on does not keep the host
  if not core.socket_peer(pipe:fileno()) then return refuse(pipe, "it is another user's process") end
  if count(server.sessions) >= SESSIONS then return refuse(pipe, "too many sessions") end
  if _G.chaski == nil then _G.chaski = require "chaski" end
  begin(new_session(server, pipe))
end

-- --- listening -------------------------------------------------------------------------------------------------------

local codes =
  { EADDRINUSE = "port_taken", EACCES = "access", EPERM = "access", ENOENT = "missing", ENOTDIR = "missing" }

local function failed(path, text, name)
  local reason = tostring(text):gsub("^%u+: ", "")
  return nil, core.new_error(codes[name] or "io", ("repl: cannot listen at '%s': %s"):format(path, reason))
end

--- Does somebody listen there? Waits.
local function is_live(path)
  local pipe, waiter = uv.new_pipe(false), core.waiter "repl.listen"
  pipe:connect(path, function(err)
    pipe:close()
    core.wake(waiter, not err)
  end)
  return core.park()
end

--- What a host that was killed has left is removed; never what is no socket, or one that is in use.
local function bind(pipe, path)
  local ok, text, name = pipe:bind(path)
  local missing = name == "EACCES" and not uv.fs_stat(path:match "^(.*/)[^/]*$" or ".") -- for libuv it is the same
  if missing then return nil, "there is no such folder", "ENOENT" end
  if ok or name ~= "EADDRINUSE" then return ok, text, name end
  local stat = uv.fs_lstat(path)
  if not stat or stat.type ~= "socket" then return nil, "there is a file that is no socket", name end
  if is_live(path) then return nil, "another program listens there", name end
  ok, text, name = uv.fs_unlink(path)
  if not ok then return ok, text, name end
  return pipe:bind(path)
end

--- Nobody can connect before listen(), so the mode is never too late.
local function open(pipe, path, on_connection)
  local ok, text, name = bind(pipe, path)
  if ok then
    ok, text, name = uv.fs_chmod(path, OWNER_ONLY)
  end
  if ok then
    ok, text, name = pipe:listen(8, on_connection)
  end
  return ok, text, name
end

local function close(server)
  servers[server.path] = nil
  for session in pairs(server.sessions) do
    session:close()
  end
  server.pipe:close() -- which removes the file
end

--- Let `chaski repl PATH` in: processes of the same user, nobody else. What they type is run by this program. Returns
--- a handle, whose remove() ends it; nil, err when it cannot listen there. At the same path again: the same handle.
---@param path string of a unix socket, which is made, mode 0600
---@return chaski.handle?, chaski.error?
return function(path)
  if type(path) ~= "string" or path == "" or path:find "\0" then
    options.raise(("chaski.repl.listen: expected the path of a socket, got %s"):format(options.describe(path)))
  end
  if servers[path] then return servers[path].handle end
  if #path > PATH_MAX then return failed(path, ("the path has more than %d bytes"):format(PATH_MAX)) end
  local server = { path = path, pipe = uv.new_pipe(false), sessions = {} }
  local ok, text, name = open(server.pipe, path, function(err)
    if not err then come(server) end
  end)
  if not ok then
    server.pipe:close()
    return failed(path, text, name)
  end
  server.pipe:unref()
  redirect()
  servers[path] = server
  server.handle = handle("repl " .. path, function()
    close(server)
  end)
  return server.handle
end
