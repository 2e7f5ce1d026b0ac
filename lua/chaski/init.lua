-- init.lua: the module chaski: what scripts use, in one table. No globals.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"

require "chaski.events"
require "chaski.messages"
require "chaski.send"
require "chaski.edges"

local limits = require "chaski.limits"
local ports = require "chaski.ports"
local reconnect = require "chaski.reconnect"
local task = require "chaski.task"

---@class chaski
local chaski = {
  version = core.version,
  node = require "chaski.node",
  tls = require "chaski.tls",
  ca = require "chaski.ca",
  topology = require "chaski.topology",
  message = require "chaski.message",
  messages_pool = core.messages_pool,
  reconnect = reconnect.jitter,

  pack = core.pack,
  unpack = core.unpack,
  null = core.null,
  array = core.array,
  map = core.map,
  bin = core.bin,
  str = core.str,
  timestamp = core.timestamp,
  ext = core.ext,

  spawn = task.spawn,
  sleep = task.sleep,
  every = task.every,
  run = task.run,

  memory_limit = limits.memory_limit,
  handler_limits = limits.handler_limits,
  repl = require "chaski.repl",

  log = require "chaski.log",
  random = core.random,
  sim = require "chaski.sim",
  uuid = core.uuid,
  lines = require "chaski.lines",
  now = core.now,
  address = core.address,
  get_free_port = ports.get_free_port,
  is_port_available = ports.is_port_available,
}

--- Leave in good order: every running node stops, all at once.
core.on_shutdown(function()
  local tasks = {}
  for i, node in ipairs(core.running_nodes()) do
    tasks[i] = core.spawn(node.stop, node)
  end
  for _, each in ipairs(tasks) do
    each:join()
  end
end)

return chaski
