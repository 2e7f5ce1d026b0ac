-- check.lua: chaski-lua --check script: what can be known of a script without listening or dialling. It is compiled,
-- and then run on a virtual network under a virtual clock, with peers invented where it dials: so wrong options,
-- missing certificates and errors in timers, tasks and listeners show in no time. Message handlers are not called by
-- the invented, who publish nothing. Whether its ports are free is asked of this machine.
-- What it does beside chaski (files, os.execute, luv) it does. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local enrol = require "chaski.enrol"
local handle = require "chaski.handle"
local show = require "chaski.repl.show"
local uv = require "luv"

local LIMIT = 60 -- virtual seconds
local AFTER = 30 -- of these for what the main chunk leaves behind: timers, tasks, handlers
local PATIENCE = 10 -- seconds of real time for the main chunk, which no clock ends while it computes
local INSTRUCTIONS = 1000000 -- between looks at the real clock

local M = {}

local STOP = setmetatable({}, {
  __name = "chaski.check.stop",
  __tostring = function()
    return "the check ends here"
  end,
})

local function stop(state, where)
  state.stopped = where
  error(STOP, 0)
end

-- What may be otherwise where the real peers are.
local of_peers = {}
for code in
  ("timeout no_edge lost reset goodbye refused unreachable unresolved unknown_callback failed busy full"):gmatch "%S+"
do
  of_peers[code] = true
end

-- --- ports -----------------------------------------------------------------------------------------------------------

--- Could a node of this machine listen there? nil, why.
local function is_free(ip, port)
  local socket = uv.new_tcp()
  local ok, _, code = socket:bind(ip, port)
  if ok then
    ok, _, code = socket:listen(1, function() end)
  end
  socket:close()
  return ok and true or nil, code
end

local port_texts = { EADDRINUSE = "the port is taken", EADDRNOTAVAIL = "not an address of this machine" }
port_texts.EACCES = "not allowed to listen there"

local function check_port(state, given)
  local ip, port = given.ip, given.port
  if given.run == false or type(ip) ~= "string" or math.type(port) ~= "integer" or port < 1 or port > 65535 then
    return
  end
  local free, code = is_free(ip, port)
  if free then return state.tell(("node at %s:%d: the port is free"):format(ip, port)) end
  state.fail(("node at %s:%d: %s"):format(ip, port, port_texts[code] or tostring(code)))
end

-- --- what the script meets -------------------------------------------------------------------------------------------

--- On the virtual network a node without ip would be alone on a host; here all are on this machine.
local function wrap_node(state)
  local new = chaski.node
  chaski.node = function(given)
    if type(given) == "table" then
      local copy = {}
      for name, value in pairs(given) do
        copy[name] = value
      end
      copy.ip = copy.ip or "127.0.0.1"
      check_port(state, copy)
      state.nodes, given = state.nodes + 1, copy
    end
    return new(given) -- a tail call: mistakes are blamed on the script
  end
  return new
end

--- A peer where the script has dialled and nobody is.
local function invent(state, new, address, port)
  local at = math.type(port) == "integer" and { host = address, port = port } or core.address(address)
  if not at then return false end
  local ip = at.host
  if not core.numeric(ip) then
    ip = ("10.255.%d.%d"):format(state.invented // 250, state.invented % 250 + 1)
    state.sim:name(at.host, ip)
  end
  state.invented = state.invented + 1
  local name = ("invented%d"):format(state.invented)
  return new { ip = ip, port = at.port, name = name, message_propagation = true } ~= nil
end

local absent = { refused = true, unreachable = true, unresolved = true, timeout = true }

local function wrap_connect(state, new)
  local methods = core.node_methods
  local connect = methods.connect
  function methods.connect(node, address, ...)
    local edge, err = connect(node, address, ...)
    if edge or type(address) ~= "string" or not absent[err.code] then return edge, err end
    if node.tls then stop(state, "its first connection over TLS") end -- which certificate could an invented peer show?
    if not invent(state, new, address, (...)) then return edge, err end
    return connect(node, address, ...)
  end
end

--- Its files are read; the CA, which would spend the token, is not asked for them.
local function wrap_join(state)
  enrol.join = function()
    stop(state, "its enrolment")
  end
end

local function wrap_sim(state)
  chaski.sim = function()
    stop(state, "its own simulation")
  end
end

local function wrap_repl()
  chaski.repl.listen = function(path)
    return handle("repl " .. tostring(path), function() end)
  end
end

local function wrap_exit(state)
  os.exit = function(code) -- luacheck: ignore
    state.exit = (code == nil or code == true) and 0 or code or 1
    error(STOP, 0)
  end
end

-- --- the run ---------------------------------------------------------------------------------------------------------

--- With the traceback as far as it is the script's.
local function describe(err)
  local text = core.traceback(type(err) == "string" and err or show(err), 2)
  return { err = err, text = text:gsub("\n[^\n]*in function 'xpcall'.*", "") }
end

--- What came of the run, in words; failures are told at once.
local function outcome(state, ok, failure)
  if ok then return "ran to its end" end
  local err = failure and failure.err
  if err == STOP then return state.exit and "ended itself" or "checked up to " .. state.stopped end
  if state.invented > 0 and type(err) == "table" and of_peers[err.code] then
    return ("checked up to where it depends on its peers (%s)"):format(tostring(err))
  end
  state.fail(failure.text)
end

--- From now on this coroutine ends with an error when it has taken too long.
local function lose_patience()
  local begun = uv.hrtime()
  debug.sethook(function()
    if uv.hrtime() - begun > PATIENCE * 1e9 then
      error(("the main chunk has not come to an end, nor waited, in %d s"):format(PATIENCE), 2)
    end
  end, "", INSTRUCTIONS)
end

local function run(state, chunk, ...)
  local arguments = table.pack(...)
  local done, err = state.sim:run({ limit = LIMIT }, function()
    lose_patience()
    local results = { xpcall(chunk, describe, table.unpack(arguments, 1, arguments.n)) }
    debug.sethook()
    if results[1] then core.sleep(AFTER) end
    return results
  end)
  if done then return outcome(state, table.unpack(done, 1, 2)) end
  if err.code == "timeout" then return ("at work after %d virtual seconds"):format(LIMIT) end
  return "checked up to where it waits for what a virtual network has not"
end

local function count(n, what)
  return ("%d %s%s"):format(n, what, n == 1 and "" or "s")
end

local function new_state(path)
  local state = { nodes = 0, invented = 0, failures = 0, sim = chaski.sim { seed = 1, wall = os.time() } }
  function state.tell(text)
    print(("%s: %s"):format(path, text))
  end
  function state.fail(text)
    state.failures = state.failures + 1
    io.stdout:flush()
    io.stderr:write(path .. ": " .. text .. "\n")
  end
  return state
end

--- Check a script that would be run with these arguments. Returns the exit code: 0, or 1 if something is wrong.
---@param path string
---@return integer
function M.run(path, ...)
  local state = new_state(path)
  local chunk, why = loadfile(path ~= "-" and path or nil, "t")
  if not chunk then
    io.stderr:write("chaski-lua: " .. why .. "\n")
    return 1
  end
  local before = core.errors()
  wrap_connect(state, wrap_node(state))
  wrap_join(state)
  wrap_sim(state)
  wrap_repl()
  wrap_exit(state)
  local text = run(state, chunk, ...)
  local logged = core.errors() - before
  if logged > 0 then state.fail(count(logged, "error") .. " in handlers and tasks") end
  if state.exit and state.exit ~= 0 then state.fail(("ends with exit code %s"):format(tostring(state.exit))) end
  if text then
    state.tell(("%s; %s, %s invented"):format(text, count(state.nodes, "node"), count(state.invented, "peer")))
  end
  return state.failures == 0 and 0 or 1
end

return M
