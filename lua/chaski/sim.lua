-- sim.lua: chaski.sim{ seed = }, a network in memory under a virtual clock. What runs inside of sim:run (nodes,
-- handlers, policies, sleep, now, random, uuid, timestamps) is the same as in the real world, but time passes as fast
-- as the machine can go, and everything follows from the seed: the same seed gives the same trace. See src/lua/sim.c.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local new_node = require "chaski.node"
local options = require "chaski.options"
local task = require "chaski.task"

local DAY = 86400 -- seconds of virtual time a run may take unless told otherwise

---@class chaski.sim_link How a path behaves, in both directions.
---@field delay number? seconds, one way; default 0.001
---@field jitter number? seconds that a write or datagram may take longer
---@field loss number? 0..1, the part of the datagrams that vanish; streams lose nothing
---@field chunk integer? a write arrives in pieces of 1..chunk bytes; 0: as written
---@field rate integer? bytes a second of one direction of one connection; 0: unlimited
---@field window integer? bytes under way before a sender has to wait; 0: 256 KiB

---@class chaski.sim_options: chaski.sim_link of every path that sim:link says nothing else of
---@field seed integer
---@field wall integer? seconds since 1970 that the wall clock begins with; default 1700000001 (14 November 2023)

local duration = options.seconds(0, 1e6)
local portion = options.seconds(0, 1)
portion.expected = "number 0..1"

local link_schema = {
  { name = "delay", kind = duration },
  { name = "jitter", kind = duration },
  { name = "loss", kind = portion },
  { name = "chunk", kind = options.integer(0, 0xffffffff) },
  { name = "rate", kind = options.integer(0, math.maxinteger) },
  { name = "window", kind = options.integer(0, 0x7fffffff) },
}

local sim_schema = table.move(link_schema, 1, #link_schema, 3, {
  { name = "seed", kind = options.integer(math.mininteger, math.maxinteger) },
  { name = "wall", kind = options.integer(0, 0x7fffffffffff) },
})

local above_zero = {
  expected = "seconds above 0",
  test = function(value)
    return type(value) == "number" and value > 0
  end,
}

local run_schema = {
  { name = "limit", kind = above_zero, default = DAY },
}

---@class chaski.sim
---@field seed integer
---@field now number virtual seconds; begins at 1
---@field trace string hash of all that happened on the network so far: equal runs have equal traces
---@field nodes chaski.node[] in the order they were made
---@field running boolean inside of run
---@field closed boolean
local methods = core.sim_methods

local defaults = setmetatable({}, { __mode = "k" }) -- sim -> its link options

--- Run main(...) as a task of this world until it is over, and return its results; its error is raised. The call does
--- not return before: no task, node or timer of the real world goes on meanwhile. What main leaves behind (nodes,
--- tasks) stays as it is, and goes on with the next run. nil, err with code "stalled" when main waits and nothing is
--- scheduled any more, with code "timeout" when more virtual time than `limit` has passed; main is then dropped where
--- it waits.
---@param given { limit: number? } seconds; default one day; may be left out
---@param main function
---@overload fun(self: chaski.sim, main: function, ...: any): ...
---@return any ...
function methods:run(given, main, ...)
  if type(given) == "function" then return core.sim_run(self, DAY, given, main, ...) end
  given = options.check("sim:run", run_schema, given)
  if type(main) ~= "function" then error(("sim:run: expected a function, got %s"):format(options.describe(main)), 2) end
  return core.sim_run(self, given.limit, main, ...)
end

--- Let virtual time pass: inside of run as chaski.sleep, outside of it for all that was left behind.
---@param time number seconds
function methods:pass(time)
  options.expect("sim:pass", "time", options.seconds(0, 1e9), time)
  if self.running then return task.sleep(time) end
  assert(core.sim_run(self, time + 1, function()
    task.sleep(time)
    return true
  end))
end

--- chaski.node, for those who like to see where. A node without an ip gets an address of its own, 10.0.x.y, and is
--- alone on that host; nodes that are given the same ip share one.
---@param given chaski.node_options?
---@return chaski.node?, chaski.error?
function methods:node(given)
  if not self.running then error("sim:node: a node is made while its simulation runs (sim:run)", 2) end
  return new_node(given)
end

-- --- conditions and faults -------------------------------------------------------------------------------------------

--- Raise unless C takes this for an end of a path.
local function expect_end(where, value)
  if options.is_a(value, "chaski.node") or (type(value) == "string" and core.numeric(value)) then return end
  options.raise(("%s: expected a node or a numeric ip, got %s"):format(where, options.describe(value)))
end

--- Other conditions for a path: sim:link(a, b, { delay = 0.2 }) between two nodes or ips, sim:link(a, { ... }) for
--- all of one, sim:link { ... } for all that have none of their own. What is left out is as the simulation was made
--- with.
---@param a chaski.node|string|chaski.sim_link
---@param b chaski.node|string|chaski.sim_link|nil
---@param given chaski.sim_link?
function methods:link(a, b, given)
  if given == nil and b == nil then
    a, given = nil, a
  elseif given == nil then
    b, given = nil, b
  end
  if a ~= nil then expect_end("sim:link", a) end
  if b ~= nil then expect_end("sim:link", b) end
  given = options.check("sim:link", link_schema, given)
  for _, row in ipairs(link_schema) do
    if given[row.name] == nil then given[row.name] = defaults[self][row.name] end
  end
  core.sim_link(self, a, b, given)
end

--- Reset the connections between two nodes (or ips), or that of an edge: both ends see a reset.
---@param a chaski.node|chaski.edge|string
---@param b chaski.node|string|nil
---@return integer connections
function methods:cut(a, b)
  if not options.is_a(a, "chaski.edge") then
    expect_end("sim:cut", a)
    expect_end("sim:cut", b)
  end
  return core.sim_cut(self, a, b)
end

--- Nothing passes between the nodes of the two lists any more (on: true, or left out), or again (false): dials do not
--- complete, datagrams are lost, and what was sent on a connection arrives when the path has healed, if it still
--- stands.
---@param left (chaski.node|string)[]
---@param right (chaski.node|string)[]
---@param on boolean?
function methods:partition(left, right, on)
  for _, a in ipairs(left) do
    for _, b in ipairs(right) do
      expect_end("sim:partition", a)
      expect_end("sim:partition", b)
      core.sim_blackhole(self, a, b, on ~= false)
    end
  end
end

-- --- making ----------------------------------------------------------------------------------------------------------

--- A simulation with nothing in it. It is there until sim:close(), or the end of a `local sim <close>`: its tasks are
--- then cancelled, and its nodes gone.
---@param given chaski.sim_options
---@return chaski.sim
return function(given)
  given = options.check("chaski.sim", sim_schema, given)
  if given.seed == nil then error("chaski.sim: option 'seed': expected an integer, got nil", 2) end
  local sim = core.new_sim(given.seed, given.wall)
  defaults[sim] = given
  core.sim_link(sim, nil, nil, given)
  return sim
end
