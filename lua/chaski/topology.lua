-- topology.lua: chaski.topology: quick topologies of many nodes in one process: the shapes, and what can be done with
-- one: connect, stop, figures and pictures. Uses only documented fields and methods of nodes.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local draw_dot = require "chaski.topology.dot"
local draw_heatmap = require "chaski.topology.heatmap"
local draw_svg = require "chaski.topology.svg"
local live = require "chaski.topology.live"
local layout = require "chaski.topology.layout"
local new_node = require "chaski.node"
local new_prng = require "chaski.topology.prng"
local options = require "chaski.options"
local shapes = require "chaski.topology.shapes"
local stats = require "chaski.topology.stats"

local MOST = 10000 -- nodes
local DIALS = 32 -- under way to one node at a time; it accepts only so many connections that are not live yet

---@class chaski.topology.options
---@field seed integer? of random shapes; default 1
---@field prefix string? of names, before the index; default "n"
---@field node table|(fun(i: integer): table?)|nil options of chaski.node for all, or for each; name goes before prefix
---@field create (fun(options: table): chaski.node?, chaski.error?)? makes a node; default chaski.node

--- Nodes and the links planned between them. In a link { a, b }, a < b and node b dials node a.
---@class chaski.topology
---@field shape string "ring", ...
---@field title string "ring of 12 nodes"
---@field nodes chaski.node[]
---@field links chaski.topology.link[] in the order they were made
---@field layout chaski.topology.layout what pictures use unless told otherwise
---@field columns integer? of a grid
local Topology = { __name = "chaski.topology" }
Topology.__index = Topology

-- --- making one ------------------------------------------------------------------------------------------------------

local function schema(...)
  return {
    { name = "seed", kind = options.integer(math.mininteger, math.maxinteger), default = 1 },
    { name = "prefix", kind = options.text(1, 56), default = "n" },
    { name = "node", kind = options.either(options.func, options.table), default = {} },
    { name = "create", kind = options.func, default = new_node },
    ...,
  }
end

local plain = schema()
local tree_schema = schema { name = "branching", kind = options.integer(1, MOST), default = 2 }
local positive = {
  expected = "number above 0",
  test = function(value)
    return type(value) == "number" and value > 0
  end,
}
local random_schema = schema { name = "degree", kind = positive }
local small_world_schema = schema { name = "k", kind = options.integer(2, MOST) }
table.insert(small_world_schema, {
  name = "p",
  kind = {
    expected = "number 0..1",
    test = function(value)
      return type(value) == "number" and value >= 0 and value <= 1
    end,
  },
  default = 0.1,
})

-- Raise unless an argument of topology.<shape> is a count within bounds; blames who called that.
local function expect_count(shape, name, value, least, most)
  local kind = options.integer(least, most or MOST)
  if kind.test(value) then return end
  local text = "topology.%s: %s: expected %s, got %s"
  error(text:format(shape, name, kind.expected, options.describe(value)), 3)
end

local function check(shape, rows, given)
  local checked = options.check("topology." .. shape, rows, given)
  return checked
end

local function options_of_node(i, settings)
  local given = settings.node
  if type(given) == "function" then given = given(i) or {} end
  if type(given) ~= "table" then
    error(("topology: option 'node': expected options of node %d, got %s"):format(i, options.describe(given)), 0)
  end
  local copy = { name = settings.prefix .. i }
  for name, value in pairs(given) do
    copy[name] = value
  end
  return copy
end

local function close(node)
  local _ <close> = node
end

-- Nodes that are not handed over are closed.
local Guard = {
  __close = function(guard)
    for _, node in ipairs(guard.nodes) do
      close(node)
    end
  end,
}

local function refuse_second(named, name)
  if named[name] then error(("topology: two nodes are named '%s'"):format(name), 0) end
  named[name] = true
end

local function create_nodes(n, settings)
  local guard <close> = setmetatable({ nodes = {} }, Guard)
  local named = {}
  for i = 1, n do
    local node, err = settings.create(options_of_node(i, settings))
    if not node then return nil, err end
    guard.nodes[i] = node
    refuse_second(named, node.name)
  end
  local nodes = guard.nodes
  guard.nodes = {}
  return nodes
end

local function new(shape, n, links, settings, fields)
  local nodes, err = create_nodes(n, settings)
  if not nodes then return nil, err end
  fields.shape, fields.nodes, fields.links = shape, nodes, links
  fields.title = fields.title or ("%s of %d node%s"):format(shape:gsub("_", " "), n, n == 1 and "" or "s")
  return setmetatable(fields, Topology)
end

---@class chaski.topology.module
local M = {}

--- Node i + 1 is linked with node i.
---@param n integer
---@param given chaski.topology.options?
---@return chaski.topology?, chaski.error?
function M.line(n, given)
  expect_count("line", "n (argument 1)", n, 1)
  return new("line", n, shapes.line(n), check("line", plain, given), { layout = "line" })
end

--- A line whose ends are linked.
---@param n integer from 3
---@param given chaski.topology.options?
---@return chaski.topology?, chaski.error?
function M.ring(n, given)
  expect_count("ring", "n (argument 1)", n, 3)
  return new("ring", n, shapes.ring(n), check("ring", plain, given), { layout = "circle" })
end

--- Node 1 is linked with all others.
---@param n integer the hub included
---@param given chaski.topology.options?
---@return chaski.topology?, chaski.error?
function M.star(n, given)
  expect_count("star", "n (argument 1)", n, 1)
  return new("star", n, shapes.star(n), check("star", plain, given), { layout = "star" })
end

---@class chaski.topology.tree_options: chaski.topology.options
---@field branching integer? children of a node; default 2

--- Node 1 is on top; levels are filled one after the other.
---@param n integer
---@param given chaski.topology.tree_options?
---@return chaski.topology?, chaski.error?
function M.tree(n, given)
  expect_count("tree", "n (argument 1)", n, 1)
  local settings = check("tree", tree_schema, given)
  return new("tree", n, shapes.tree(n, settings.branching), settings, { layout = "tree" })
end

--- Numbered row by row, each node linked with those beside, above and below it.
---@param rows integer
---@param columns integer
---@param given chaski.topology.options?
---@return chaski.topology?, chaski.error?
function M.grid(rows, columns, given)
  expect_count("grid", "rows (argument 1)", rows, 1)
  expect_count("grid", "columns (argument 2)", columns, 1, MOST // rows)
  local fields = { layout = "grid", columns = columns, title = ("grid of %d × %d nodes"):format(rows, columns) }
  return new("grid", rows * columns, shapes.grid(rows, columns), check("grid", plain, given), fields)
end

--- Everybody is linked with everybody.
---@param n integer
---@param given chaski.topology.options?
---@return chaski.topology?, chaski.error?
function M.full(n, given)
  expect_count("full", "n (argument 1)", n, 1, 1000)
  local fields = { layout = "circle", title = ("full mesh of %d node%s"):format(n, n == 1 and "" or "s") }
  return new("full", n, shapes.full(n), check("full", plain, given), fields)
end

---@class chaski.topology.random_options: chaski.topology.options
---@field degree number? the mean wanted, below n; a connected graph may need more; default 3

--- Connected; the same for the same seed.
---@param n integer
---@param given chaski.topology.random_options?
---@return chaski.topology?, chaski.error?
function M.random(n, given)
  expect_count("random", "n (argument 1)", n, 1)
  local settings = check("random", random_schema, given)
  if settings.degree and settings.degree > n - 1 then
    error(("topology.random: option 'degree': expected at most n - 1 = %d, got %s"):format(n - 1, settings.degree), 2)
  end
  local links = shapes.random(n, settings.degree or 3, new_prng(settings.seed))
  return new("random", n, links, settings, { layout = "force", title = ("random graph of %d nodes"):format(n) })
end

---@class chaski.topology.small_world_options: chaski.topology.options
---@field k integer? nearest nodes each is linked with, even, below n; default 4, or 2 of less than 5 nodes
---@field p number? probability that a link is rewired; default 0.1

--- Watts and Strogatz 1998. Connected; the same for the same seed.
---@param n integer from 3
---@param given chaski.topology.small_world_options?
---@return chaski.topology?, chaski.error?
function M.small_world(n, given)
  expect_count("small_world", "n (argument 1)", n, 3)
  local settings = check("small_world", small_world_schema, given)
  local k = settings.k or (n < 5 and 2 or 4)
  if k % 2 ~= 0 or k >= n then
    error(("topology.small_world: option 'k': expected an even integer below n = %d, got %d"):format(n, k), 2)
  end
  local links = shapes.small_world(n, k, settings.p, new_prng(settings.seed))
  return new("small_world", n, links, settings, { layout = "force" })
end

-- --- what can be done with it ----------------------------------------------------------------------------------------

-- Run a function for each of a list at once; true, or nil and what the first that failed gave.
local function all_at_once(list, fn)
  local tasks, failure = {}, nil
  for i, each in ipairs(list) do
    tasks[i] = core.spawn(fn, each)
  end
  for _, task in ipairs(tasks) do
    local joined, ok, err = task:join()
    if not joined then err = ok end
    if not (joined and ok) then failure = failure or err end
  end
  if failure then return nil, failure end
  return true
end

local function is_live(topology)
  local set = {}
  local seen = live.snapshot(topology)
  for _, edge in ipairs(seen.live and seen.edges or {}) do
    set[edge[1] << 32 | edge[2]] = true
  end
  return function(link)
    return set[link[1] << 32 | link[2]]
  end
end

-- The links that are not live, dealt out to lists that can be worked through side by side.
local function shares_of_missing(topology)
  local shares, to, has = {}, {}, is_live(topology)
  for _, link in ipairs(topology.links) do
    if not has(link) then
      local dialled = to[link[1]] or { count = 0 }
      local place = dialled.count % DIALS + 1
      to[link[1]], dialled.count = dialled, dialled.count + 1
      if not dialled[place] then
        dialled[place] = {}
        shares[#shares + 1] = dialled[place]
      end
      table.insert(dialled[place], link)
    end
  end
  return shares
end

-- True, or nil and the error of the first link that failed.
local function dial_all(nodes, links)
  local failure
  for _, link in ipairs(links) do
    local edge, err = nodes[link[2]]:connect(nodes[link[1]])
    if not edge then failure = failure or err end
  end
  if failure then return nil, failure end
  return true
end

--- Connect all links that are not live, side by side. Suspends until each handshake is complete or has failed.
---@return true?, chaski.error? err of one link that failed; the others stay
function Topology:connect()
  return all_at_once(shares_of_missing(self), function(links)
    return dial_all(self.nodes, links)
  end)
end

--- Measure every live edge afresh from both ends, one ping after the other: in one process, what is under way together
--- waits for each other, and that would be measured, as it was while connecting. Suspends.
---@param rounds integer? default 1
function Topology:ping(rounds)
  options.expect("topology:ping", "rounds", options.integer(1, 1000), rounds or 1)
  all_at_once(self.nodes, function(node) -- behind what is still under way
    return node:ping { latency_update = false }
  end)
  for _, node in ipairs(self.nodes) do
    for _, edge in ipairs(node.edges) do
      edge:reset_latency()
      for _ = 1, rounds or 1 do
        node:ping(edge)
      end
    end
  end
end

--- Stop all nodes at once. Suspends.
---@return true?, chaski.error?
function Topology:stop()
  return all_at_once(self.nodes, function(node)
    return node:stop()
  end)
end

--- Figures of the live edges; of the planned links if asked.
---@param given { planned: boolean? }?
---@return chaski.topology.stats
function Topology:stats(given)
  local rows = { { name = "planned", kind = options.boolean, default = false } }
  if options.check("topology:stats", rows, given).planned then return stats.of(#self.nodes, self.links) end
  local seen = live.snapshot(self)
  return stats.of(#self.nodes, seen.live and seen.edges or {})
end

local width = { name = "width", kind = options.integer(320, 8000), default = 960 }
local title = { name = "title", kind = options.text(0, 200) }

--- A picture of the live edges, or of the planned links if none is live.
---@param given { width: integer?, layout: chaski.topology.layout?, title: string?, labels: boolean? }?
---@return string svg
function Topology:svg(given)
  local kind = options.one_of(table.unpack(layout.names))
  local rows = { width, title, { name = "layout", kind = kind }, { name = "labels", kind = options.boolean } }
  local checked = options.check("topology:svg", rows, given)
  return draw_svg(self, live.snapshot(self), checked)
end

--- A picture of the latency matrix. `paths = false` leaves pairs without an edge blank.
---@param given { width: integer?, title: string?, paths: boolean? }?
---@return string svg
function Topology:heatmap(given)
  local rows = { width, title, { name = "paths", kind = options.boolean, default = true } }
  local checked = options.check("topology:heatmap", rows, given)
  return draw_heatmap(self, live.snapshot(self), checked)
end

--- The same graph as svg draws, for Graphviz.
---@return string
function Topology:dot()
  return draw_dot(self, live.snapshot(self))
end

--- Stops all nodes; where it may not wait, they end at once.
function Topology:__close()
  if core.in_task() and coroutine.isyieldable() then
    self:stop()
  else
    for _, node in ipairs(self.nodes) do
      close(node)
    end
  end
end

function Topology:__tostring()
  return ("%s, %d links"):format(self.title, #self.links)
end

return M
