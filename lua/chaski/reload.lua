-- reload.lua: chaski-lua --reload script, chaski-lua --watch script: the script is run again in the running program, at
-- SIGHUP or when its file changes. What a script registers is a generation. The new one is compiled and run up to its
-- first wait, while what it registers with nodes that are kept is only noted; then, between two messages, it takes the
-- place of the old one. Nodes of the same name, and their edges, stay. If it fails, the old generation is as it was.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local options = require "chaski.options"
local show = require "chaski.repl.show"
local uv = require "luv"

local SETTLE = 0.05 -- seconds after a change of the file, for editors that write in steps

local M = {}

---@class chaski.generation
---@field registrations chaski.registration[] in their order
---@field nodes table<string, chaski.node> by name, or "#1", "#2", … in the order of those that have none
---@field before chaski.generation?
---@field inherited table<string, chaski.node> its nodes
---@field ours table<chaski.node, boolean>
---@field kept table<chaski.node, boolean> of these the inherited ones
---@field tasks chaski.task[]
---@field unnamed integer
---@field staged boolean not at work yet
local current

local script -- { path, arguments, modules = set of those that were there before it }

local function begin(before)
  current = {
    registrations = {},
    nodes = {},
    before = before,
    inherited = before and before.nodes or {},
    ours = setmetatable({}, { __mode = "k" }),
    kept = setmetatable({}, { __mode = "k" }),
    tasks = {},
    unnamed = 0,
    staged = before ~= nil,
  }
  return current
end

local function say(text, ...)
  io.stdout:flush()
  io.stderr:write("chaski-lua: " .. script.path .. ": " .. text:format(...) .. "\n")
end

-- --- registrations: what the script gets instead of a handle, a subscription, or a timer -----------------------------

---@class chaski.registration
---@field apply fun(): any, any
---@field key string? what it is, if another can take its place and nothing is lost: then it has node, slot and fn
---@field slot { fn: function }? what is called
---@field fn function?
---@field where string of the script, for what is wrong with it
---@field from chaski.registration? of the generation before, whose handle it has taken over
---@field handle any what apply has made; nil: not at work
---@field gone boolean? removed by the script
local Registration = { __name = "chaski.registration" }

local function rest(registration)
  local handle = registration.handle
  registration.handle = nil
  if handle then handle:remove() end
end

local function remove(registration)
  rawset(registration, "gone", true)
  rest(registration)
end

local own = {}
for name in ("apply fn from gone handle key node slot where"):gmatch "%a+" do
  own[name] = true
end

function Registration:__index(field)
  if field == "remove" then return remove end
  if own[field] then return nil end
  local handle = rawget(self, "handle")
  if handle then return handle[field] end
  return field == "active" and false or nil
end

Registration.__close = remove

function Registration:__tostring()
  local handle = rawget(self, "handle")
  return handle and tostring(handle) or "registration (not at work)"
end

local function register(later, registration)
  if not later then
    local handle, err = registration.apply()
    if not handle then return nil, err end
    registration.handle = handle
  end
  local info = debug.getinfo(5, "Sl") -- register, pcall, blame, what the script called, the script
  registration.where = info and ("%s:%d: "):format(info.short_src, info.currentline) or ""
  table.insert(current.registrations, registration)
  return setmetatable(registration, Registration)
end

--- It calls what this one calls from now on: what waits in an inbox stays there, and peers hear nothing.
local function take_over(registration, old)
  registration.from, registration.handle, registration.slot = old, old.handle, old.slot
  old.handle, registration.slot.fn = nil, registration.fn
end

local function give_back(registration)
  local old = registration.from
  registration.from = nil
  if not old or not rawget(registration, "handle") then return end
  old.handle, registration.handle, old.slot.fn = registration.handle, nil, old.fn
end

--- Those of the old generation that are at work, by node and key, each list in its order.
local function by_key(generation)
  local lists = {}
  for _, each in ipairs(generation.registrations) do
    local node, key = rawget(each, "node"), rawget(each, "key")
    if key and rawget(each, "handle") then
      lists[node] = lists[node] or {}
      lists[node][key] = lists[node][key] or {}
      table.insert(lists[node][key], each)
    end
  end
  return function(node, key)
    local list = lists[node] and lists[node][key]
    return list and table.remove(list, 1)
  end
end

local function take_over_all(generation, old)
  local find = by_key(old)
  for _, each in ipairs(generation.registrations) do
    local key = rawget(each, "key")
    local before = key and not rawget(each, "handle") and not rawget(each, "gone") and find(each.node, key)
    if before then take_over(each, before) end
  end
end

--- Those of these nodes, or all; what is no node's, a timer, too.
local function rest_all(generation, nodes)
  for _, each in ipairs(generation.registrations) do
    local node = rawget(each, "node")
    if not nodes or not node or nodes[node] then rest(each) end
  end
end

local function apply(registration)
  local ok, handle, err = pcall(registration.apply)
  if ok and handle then return handle end
  local text = tostring(ok and err or handle):gsub("^[^:\n]+:%d+: ", "")
  error(registration.where .. text, 0)
end

local function apply_all(generation)
  for _, each in ipairs(generation.registrations) do
    if not rawget(each, "handle") and not rawget(each, "gone") then each.handle = apply(each) end
  end
end

-- --- what the script calls -------------------------------------------------------------------------------------------

--- fn(...), whose mistakes are the script's. Called by what the script calls.
local function blame(fn, ...)
  local ok, value, err = pcall(fn, ...)
  if ok then return value, err end
  if type(value) == "string" then value = value:gsub("^[^:\n]+:%d+: ", "") end
  error(value, 3)
end

--- The same words for the same method, topics and options.
local function key_of_call(name, arguments)
  local words = { name }
  for _, each in ipairs { arguments[1] or false, arguments[3] or false } do
    words[#words + 1] = show(each, math.huge)
  end
  return table.concat(words, " ")
end

--- subscribe(topics, fn, options), handle(command, fn, options), on(event, fn), serve(name, fn)
local function registration_of(real, name, node, arguments)
  local fn = arguments[2]
  local registration = { node = node }
  if type(fn) == "function" then
    local slot = { fn = fn }
    registration.key, registration.slot, registration.fn = key_of_call(name, arguments), slot, fn
    arguments[2] = function(...)
      return slot.fn(...)
    end
  end
  function registration.apply()
    return real(node, table.unpack(arguments, 1, arguments.n))
  end
  return registration
end

local function wrap_method(name)
  local real = core.node_methods[name]
  core.node_methods[name] = function(node, ...)
    if not current.ours[node] then return real(node, ...) end
    local registration = registration_of(real, name, node, table.pack(...))
    local value, err = blame(register, current.staged and current.kept[node], registration)
    return value, err
  end
end

local function wrap_every()
  local real = chaski.every
  chaski.every = function(...)
    local arguments = table.pack(...)
    local function start()
      return real(table.unpack(arguments, 1, arguments.n))
    end
    local value = blame(register, current.staged, { apply = start })
    return value
  end
end

local function wrap_spawn()
  local real = chaski.spawn
  chaski.spawn = function(...)
    local task = blame(real, ...)
    table.insert(current.tasks, task)
    return task
  end
end

--- An edge that is there already is not dialled again.
local function wrap_connect()
  local real = core.node_methods.connect
  core.node_methods.connect = function(node, address, port, ...)
    local wanted = math.type(port) == "integer" and ("%s:%s"):format(address, port) or address
    for _, edge in ipairs(current.kept[node] and node.edges or {}) do
      if type(wanted) == "userdata" and edge.id == wanted.id then return edge end
      if edge.dialled_address == wanted or edge.address == wanted then return edge end
    end
    return real(node, address, port, ...)
  end
end

-- --- nodes -----------------------------------------------------------------------------------------------------------

local free = { subscriptions = true, name = true, run = true } -- options whose change is no news, or is followed
local given_to = setmetatable({}, { __mode = "k" }) -- node -> options it was made with

--- Tables are compared one level deep, functions and objects not at all: they are new each time.
local function is_same(a, b)
  if type(a) ~= type(b) then return false end
  if type(a) ~= "table" or getmetatable(a) then return a == b or type(a) == "function" or type(a) == "userdata" end
  for key, value in pairs(a) do
    if b[key] ~= value then return false end
  end
  for key in pairs(b) do
    if a[key] == nil then return false end
  end
  return true
end

--- Say which options wait for the next start.
local function compare(name, old, new)
  local changed = {}
  for _, list in ipairs { old, new } do
    for option in pairs(list) do
      if not free[option] and not is_same(old[option], new[option]) then changed[tostring(option)] = true end
    end
  end
  for option in pairs(changed) do
    say("node %s: option '%s' takes effect at the next start", name, option)
  end
end

local function without_subscriptions(given)
  local copy = {}
  for name, value in pairs(given) do
    copy[name] = value
  end
  copy.subscriptions = nil
  return copy
end

local function key_of(given)
  if type(given.name) == "string" then return given.name end
  current.unnamed = current.unnamed + 1
  return "#" .. current.unnamed
end

local function make_or_keep(new, given)
  local key = key_of(given)
  local node, err = current.inherited[key], nil
  if node and node.running then
    options.check_node(given) -- what is wrong is told now, and not by a next start that fails
    compare(key, given_to[node], given)
    current.kept[node] = true
    if not current.staged then rest_all(current.before, { [node] = true }) end -- it was not known that it is kept
  else
    node, err = new(without_subscriptions(given))
    if node then given_to[node] = given end
  end
  if not node then return nil, err end
  current.nodes[key], current.ours[node] = node, true
  if not given.subscriptions then return node end
  local subscribed
  subscribed, err = node:subscribe(given.subscriptions)
  return subscribed and node, err
end

local function wrap_node()
  local real = chaski.node
  chaski.node = function(given)
    if given ~= nil and type(given) ~= "table" then return real(given) end
    local node, err = blame(make_or_keep, real, given or {})
    return node, err
  end
end

-- --- generations -----------------------------------------------------------------------------------------------------

local function cancel_tasks(generation)
  for _, each in ipairs(generation.tasks) do
    each:cancel()
  end
end

--- With its handlers at work to the end.
local function stop_node(generation, node)
  if node.running then node:stop() end
  core.sleep(0) -- the event "stopped" comes at the next turn
  rest_all(generation, { [node] = true })
end

--- Stop the nodes of a generation that another has not taken over.
local function stop_nodes(generation, other)
  for key, node in pairs(generation.nodes) do
    if other.nodes[key] ~= node then core.spawn(stop_node, generation, node) end
  end
end

--- What the script has required is required anew. Returns it, for when it has to be put back.
local function forget_modules()
  local modules = {}
  for name, module in pairs(package.loaded) do
    if not script.modules[name] and not tostring(name):find "^chaski" then modules[name] = module end
  end
  for name in pairs(modules) do
    package.loaded[name] = nil
  end
  return modules
end

local function put_back(old, failed, modules)
  for _, each in ipairs(failed.registrations) do
    give_back(each)
  end
  rest_all(failed, failed.kept)
  cancel_tasks(failed)
  stop_nodes(failed, old)
  forget_modules()
  for name, module in pairs(modules) do
    package.loaded[name] = module
  end
  current = old
  apply_all(old)
end

local function describe(err)
  local text = core.traceback(type(err) == "string" and err or show(err), 2)
  return (text:gsub("\n[^\n]*in function 'xpcall'.*", ""))
end

--- Run the chunk as a task of the generation; ended(ok, failure) when it is over, which may be at once.
local function run(generation, chunk, ended)
  local task = core.spawn(function()
    core.unlimited()
    ended(xpcall(chunk, describe, table.unpack(script.arguments, 1, script.arguments.n)))
  end)
  if task.status ~= "over" then table.insert(generation.tasks, task) end
end

--- The new generation takes the place of the old one. false, why: it cannot.
local function swap(old, generation)
  take_over_all(generation, old)
  rest_all(old, generation.kept)
  generation.staged = false
  local ok, why = pcall(apply_all, generation)
  if ok then cancel_tasks(old) end
  return ok, why
end

--- Run the script again. true, or nil and what is wrong: then the old generation is at work.
---@return true?, string?
function M.reload()
  local chunk, why = loadfile(script.path, "t")
  if not chunk then
    say("not reloaded: %s", why)
    return nil, why
  end
  local old, modules, over, good = current, forget_modules(), false, false
  local generation = begin(old)
  local function finish(ok, failure)
    over, good, why = true, ok, failure
    if generation.staged or current ~= generation then return end -- told below, or replaced meanwhile
    generation.before = nil
    if ok then return stop_nodes(old, generation) end
    put_back(old, generation, modules)
    say("the old one is back: %s", failure)
  end
  run(generation, chunk, finish)
  if not over or good then
    good, why = swap(old, generation)
  end
  if not good then
    put_back(old, generation, modules)
    say("not reloaded: %s", tostring(why))
    return nil, tostring(why)
  end
  if over then stop_nodes(old, generation) end
  generation.before = over and nil or old -- until its main chunk is over
  say "reloaded"
  return true
end

-- --- what asks for it ------------------------------------------------------------------------------------------------

local asked = false

local function ask()
  if asked then return end
  asked = true
  core.spawn(function()
    core.sleep(SETTLE)
    asked = false
    M.reload()
  end)
end

local function watch()
  local folder, name = script.path:match "^(.*)/([^/]*)$"
  local watcher = uv.new_fs_event()
  assert(watcher:start(folder or ".", {}, function(_, changed)
    if changed == (name or script.path) then ask() end
  end))
end

local function wrap_all()
  for _, name in ipairs { "subscribe", "handle", "on", "serve" } do
    wrap_method(name)
  end
  wrap_node()
  wrap_connect()
  wrap_every()
  wrap_spawn()
end

--- Run a script so that SIGHUP reloads it, and with `watched` a change of its file too. Its first run is that of the
--- main task.
---@param watched boolean
---@param path string
function M.run(watched, path, ...)
  script = { path = path, arguments = table.pack(...), modules = {} }
  for name in pairs(package.loaded) do
    script.modules[name] = true
  end
  wrap_all()
  local hangup = uv.new_signal()
  hangup:start("sighup", ask)
  hangup:unref()
  if watched then watch() end
  local chunk, failure = loadfile(path, "t")
  if not chunk and not watched then -- as without --reload: where in us it was found tells nothing
    io.stderr:write("chaski-lua: " .. failure .. "\n")
    os.exit(1, true)
  end
  local generation = begin(nil)
  if chunk then
    run(generation, chunk, function(ok, why)
      if not ok and current == generation then failure = why end
    end)
    if generation.tasks[1] then generation.tasks[1]:join() end
  end
  if failure and not watched then error(failure, 0) end
  if failure then say("%s", failure) end
end

return M
