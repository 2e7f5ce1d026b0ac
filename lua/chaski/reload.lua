-- reload.lua: chaski-lua --reload script and --watch script: the script is run again in the running program, at SIGHUP or
-- when its file changes. What a script has registered is a generation. The new one is compiled and run up to its first
-- wait while its handlers for nodes that are kept are only noted; then, between two messages, they take the place of the
-- old ones. Nodes of the same name, and their edges, stay. If it fails, the old generation is as it was.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local new_handle = require "chaski.handle"
local show = require "chaski.repl.show"
local task = require "chaski.task"
local uv = require "luv"

local SETTLE = 0.05 -- seconds after a change of the file, for editors that write in steps

local M = {}

---@class chaski.generation
---@field registrations { apply: fun(): table, handle: table? }[] in their order
---@field nodes table<string, chaski.node> by name, or "#1", "#2", … in the order of those that have none
---@field tasks chaski.task[]
---@field modules table<string, any> what the script has required
---@field unnamed integer
---@field staged boolean registrations for kept nodes are only noted
local Generation = {}
Generation.__index = Generation

local current, script -- the generation at work; { path, arguments, modules before it }

local function new_generation()
  local fields = { registrations = {}, nodes = {}, tasks = {}, modules = {}, unnamed = 0, staged = false }
  return setmetatable(fields, Generation)
end

local function say(text, ...)
  io.stdout:flush()
  io.stderr:write("chaski-lua: ", script.path, ": ", text:format(...), "\n")
end

local function describe(err)
  return debug.traceback(type(err) == "string" and err or show(err), 2)
end

-- --- registrations ---------------------------------------------------------------------------------------------------

local function undo(registration)
  local handle = registration.handle
  registration.handle = nil
  if handle then handle:remove() end
end

function Generation:remove_all()
  for _, each in ipairs(self.registrations) do
    undo(each)
  end
end

function Generation:apply_all()
  for _, each in ipairs(self.registrations) do
    if not each.handle and not each.removed then each.handle = each.apply() end
  end
end

--- Apply it now or note it. What the script gets removes it either way.
function Generation:register(what, later, apply)
  local registration = { apply = apply }
  local err
  if not later then
    registration.handle, err = apply()
    if not registration.handle then return nil, err end
  end
  self.registrations[#self.registrations + 1] = registration
  local handle = new_handle(what, function()
    registration.removed = true
    undo(registration)
  end)
  return setmetatable({}, {
    __name = "chaski.handle",
    __index = function(_, field)
      local member = handle[field]
      if member == nil and registration.handle then member = registration.handle[field] end
      if type(member) ~= "function" then return member end
      return function(_, ...)
        return member(handle[field] and handle or registration.handle, ...)
      end
    end,
    __tostring = function()
      return tostring(registration.handle or handle)
    end,
    __close = function()
      handle:remove()
    end,
  })
end

--- Mistakes are the script's.
local function blame(fn, ...)
  local ok, value, err = pcall(fn, ...)
  if ok then return value, err end
  if type(value) == "string" then value = value:gsub("^[^:\n]+:%d+: ", "") end
  error(value, 4)
end

local function is_kept(generation, node)
  return generation.staged and generation.kept[node] == true
end

local function wrap_method(name)
  local real = core.node_methods[name]
  core.node_methods[name] = function(node, ...)
    local generation = core.in_task() and current or nil
    if not generation or not generation.ours[node] then return real(node, ...) end
    local arguments = table.pack(...)
    local function apply()
      return real(node, table.unpack(arguments, 1, arguments.n))
    end
    return (blame(generation.register, generation, name, is_kept(generation, node), apply))
  end
end

-- --- nodes -----------------------------------------------------------------------------------------------------------

local live = { subscriptions = true, name = true, run = true } -- options that take effect at a reload, or need not

local function is_same(a, b)
  if type(a) == "table" and type(b) == "table" and not getmetatable(a) then
    for key, value in pairs(a) do
      if b[key] ~= value then return false end
    end
    for key in pairs(b) do
      if a[key] == nil then return false end
    end
    return true
  end
  return a == b or (type(a) == "function" and type(b) == "function") or (type(a) == "userdata" and type(b) == type(a))
end

--- Say which options wait for the next start.
local function compare(name, old, new)
  local changed = {}
  for _, list in ipairs { old, new } do
    for option in pairs(list) do
      if not live[option] and not is_same(old[option], new[option]) then changed[option] = true end
    end
  end
  for option in pairs(changed) do
    say("node %s: option '%s' takes effect at the next start", name, option)
  end
end

local given_to = setmetatable({}, { __mode = "k" }) -- node -> options

local function key_of(generation, given)
  if type(given.name) == "string" then return given.name end
  generation.unnamed = generation.unnamed + 1
  return "#" .. generation.unnamed
end

local function copy_without_subscriptions(given)
  local copy = {}
  for name, value in pairs(given) do
    copy[name] = value
  end
  copy.subscriptions = nil
  return copy
end

local function adopt(generation, key, node)
  generation.nodes[key], generation.ours[node] = node, true
end

local function wrap_node()
  local new = chaski.node
  chaski.node = function(given)
    local generation = core.in_task() and current or nil
    if not generation or (given ~= nil and type(given) ~= "table") then return new(given) end
    given = given or {}
    local key = key_of(generation, given)
    local node, err = generation.inherited[key], nil
    if node and node.running then
      compare(key, given_to[node], given)
      generation.kept[node] = true
    else
      node, err = blame(new, copy_without_subscriptions(given))
      if not node then return nil, err end
    end
    given_to[node] = given
    adopt(generation, key, node)
    if given.subscriptions then node:subscribe(given.subscriptions) end
    return node
  end
end

--- An edge that is there already need not be dialled.
local function wrap_connect()
  local real = core.node_methods.connect
  core.node_methods.connect = function(node, address, ...)
    local text = type(address) == "string" and math.type((...)) == "integer" and ("%s:%d"):format(address, (...)) or address
    for _, edge in ipairs(current.kept[node] and node.edges or {}) do
      local same = type(text) == "string" and (edge.dialled_address == text or edge.address == text)
      if same or (type(text) == "userdata" and edge.id == text.id) then return edge end
    end
    return real(node, address, ...)
  end
end

-- --- timers and tasks ------------------------------------------------------------------------------------------------

local function wrap_tasks()
  local spawn, every = chaski.spawn, chaski.every
  chaski.spawn = function(...)
    local made = blame(spawn, ...)
    table.insert(current.tasks, made)
    return made
  end
  chaski.every = function(...)
    local arguments = table.pack(...)
    local function apply()
      return every(table.unpack(arguments, 1, arguments.n))
    end
    return (blame(current.register, current, "every", current.staged, apply))
  end
end

-- --- generations -----------------------------------------------------------------------------------------------------

local function cancel_tasks(generation)
  for _, each in ipairs(generation.tasks) do
    if each.status ~= "over" then each:cancel() end
  end
end

local function forget_modules(names)
  local kept = {}
  for name in pairs(names) do
    kept[name], package.loaded[name] = package.loaded[name], nil
  end
  return kept
end

local function new_modules()
  local names = {}
  for name in pairs(package.loaded) do
    if not script.modules[name] and not name:find "^chaski" then names[name] = true end
  end
  return names
end

local function stop_left(old, new)
  for key, node in pairs(old.nodes) do
    if not new.nodes[key] and node.running then chaski.spawn(node.stop, node) end
  end
end

--- Undo all of a generation that failed, and let the old one go on.
local function put_back(old, failed, modules)
  failed:remove_all()
  cancel_tasks(failed)
  for _, node in pairs(failed.nodes) do
    if not old.ours[node] and node.running then core.spawn(node.stop, node) end
  end
  forget_modules(new_modules())
  for name, module in pairs(modules) do
    package.loaded[name] = module
  end
  current = old
  old:apply_all()
end

local function begin(old)
  local generation = new_generation()
  generation.inherited = old and old.nodes or {}
  generation.kept, generation.ours = setmetatable({}, { __mode = "k" }), setmetatable({}, { __mode = "k" })
  generation.staged = old ~= nil
  current = generation
  return generation
end

local function compile()
  return loadfile(script.path, "t")
end

--- Run the script again. true, or nil and what is wrong; the old generation is at work then.
function M.reload()
  local chunk, why = compile()
  if not chunk then
    say("not reloaded: %s", why)
    return nil, why
  end
  local old, modules = current, forget_modules(new_modules())
  local generation = begin(old)
  local ended, ok, failure
  local main = core.spawn(function()
    ok, failure = xpcall(chunk, describe, table.unpack(script.arguments, 1, script.arguments.n))
    ended = true
    if not generation.staged and current == generation then
      if ok then return stop_left(old, generation) end
      put_back(old, generation, modules)
      say("the old one is back: %s", failure)
    end
  end)
  if ended and not ok then
    put_back(old, generation, modules)
    say("not reloaded: %s", failure)
    return nil, failure
  end
  old:remove_all()
  cancel_tasks(old)
  generation.staged = false
  generation:apply_all()
  table.insert(generation.tasks, main)
  if ended then stop_left(old, generation) end
  say("reloaded, %d registrations", #generation.registrations)
  return true
end

local reloading

local function request()
  if reloading then return end
  reloading = true
  core.spawn(function()
    core.sleep(SETTLE)
    reloading = false
    M.reload()
  end)
end

local function watch()
  local folder, name = script.path:match "^(.*)/([^/]*)$"
  local watcher = uv.new_fs_event()
  assert(watcher:start(folder or ".", {}, function(_, changed)
    if changed == (name or script.path) then request() end
  end))
end

--- Run a script so that it can be reloaded: at SIGHUP, and with `watched` when its file changes. As its main task.
function M.run(watched, path, ...)
  script = { path = path, arguments = table.pack(...), modules = {} }
  for name in pairs(package.loaded) do
    script.modules[name] = true
  end
  for _, name in ipairs { "subscribe", "handle", "on", "serve" } do
    wrap_method(name)
  end
  wrap_node()
  wrap_connect()
  wrap_tasks()
  local hangup = uv.new_signal()
  hangup:start("sighup", request)
  if watched then watch() else hangup:unref() end
  local generation = begin(nil)
  local chunk, why = compile()
  if not chunk then error(why, 0) end
  generation.tasks[1] = { status = "parked", cancel = function() end }
  return chunk(...)
end

M.task = task
return M
