-- topologies.lua [DIR] [N]: builds every shape with about N (50) real nodes in this process, connects them, measures,
-- and writes the pictures DIR/shape.svg, DIR/shape-heatmap.svg and DIR/shape.dot (DIR: topologies). Prints a table.
local chaski = require "chaski"
local uv = require "luv"

local topology = chaski.topology
local dir, n = arg[1] or "topologies", math.tointeger(tonumber(arg[2] or 50))

if not n or n < 5 or n > 100 then
  io.stderr:write "usage: chaski-lua scripts/topologies.lua [DIR] [N], N from 5 to 100\n"
  os.exit(2)
end

local topics = { "weather", "traffic", "energy", "news" }

--- The first node is the root that others join through; the rest share a few topics, one of each being the first of its
--- kind.
local function options_of_node(i)
  if i == 1 then return { name = "root", root = true, port = chaski.get_free_port(), reconnect = false } end
  return {
    subscriptions = topics[(i - 2) % #topics + 1],
    paired = i - 1 <= #topics,
    max_connections = n,
    reconnect = false,
  }
end

local options = { seed = 7, node = options_of_node }

--- The options of all shapes, and these.
local function with(more)
  for name, value in pairs(options) do
    more[name] = value
  end
  return more
end

local rows = math.floor(n ^ 0.5)

local shapes = {
  { "line", topology.line, n, options },
  { "ring", topology.ring, n, options },
  { "star", topology.star, n, options },
  { "tree", topology.tree, n, with { branching = 3 } },
  { "grid", topology.grid, rows, n // rows, options },
  { "full", topology.full, n, options },
  { "random", topology.random, n, with { degree = 3 } },
  { "small_world", topology.small_world, n, with { k = 4, p = 0.15 } },
}

local function write(name, content)
  local file = assert(io.open(dir .. "/" .. name, "wb"))
  assert(file:write(content))
  assert(file:close())
end

local function write_pictures(name, t)
  write(name .. ".svg", t:svg())
  write(name .. "-heatmap.svg", t:heatmap())
  write(name .. ".dot", t:dot())
end

local function bring_up(t)
  assert(t:connect())
  t:ping(10)
end

local columns = "%-12s %5s %5s  %-14s %8s  %-22s %6s"

local function print_row(name, s, seconds)
  local degree = ("%d / %.1f / %d"):format(s.degree.min, s.degree.mean, s.degree.max)
  local latency = ("%.3f / %.3f / %.3f"):format(s.latency.min, s.latency.mean, s.latency.max)
  print(columns:format(name, s.nodes, s.edges, degree, s.diameter, latency, ("%.2f s"):format(seconds)))
end

local function run(name, make, ...)
  local started = chaski.now()
  local t <close> = assert(make(...))
  bring_up(t)
  local s = t:stats()
  write_pictures(name, t)
  assert(s.components == 1, name .. " is in pieces")
  print_row(name, s, chaski.now() - started)
end

local made, err, code = uv.fs_mkdir(dir, 493) -- 0755
assert(made or code == "EEXIST", err)
print(columns:format("shape", "nodes", "edges", "degree", "diameter", "latency in ms", "time"))
for _, shape in ipairs(shapes) do
  run(table.unpack(shape))
end
print("pictures of each are in " .. dir)
