-- topologies.lua: builds every shape with about N nodes, connects them, lets them find others of their topic, measures
-- the edges, and writes pictures of what came of it. See --help. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local uv = require "luv"

local usage = "usage: chaski-lua scripts/topologies.lua [--sim SEED] [DIR [N]]\n"

local help = usage
  .. [[

Builds eight topologies of about N nodes (5 to 100; default 50) in this process. Nodes connect to their neighbours, then
some of them search, one after the other, for a peer of their topic. Prints a table: edges planned and there in the end,
how many found a peer and how many are alone, latency. Writes DIR/SHAPE.svg, DIR/SHAPE-heatmap.svg and DIR/SHAPE.dot
(default DIR: topologies).

  --sim SEED  on a virtual network (chaski.sim) whose paths take 1 to 40 ms, the same for the same SEED: instead of
              loopback, where every path is as good as any other

Exit: 0 all was written, 1 something failed, 2 wrong usage.
]]

-- --- arguments -------------------------------------------------------------------------------------------------------

local function refuse(text)
  io.stderr:write("topologies: ", text, "\n", usage)
  os.exit(2, true)
end

local function integer(value, name, least, most)
  local n = math.tointeger(tonumber(value))
  if n and n >= least and n <= most then return n end
  refuse(("%s: expected an integer %d..%d, got '%s'"):format(name, least, most, value or ""))
end

local function parse(given)
  local plain, seed, i = {}, nil, 1
  while given[i] do
    if given[i] == "--help" or given[i] == "-h" then
      io.write(help)
      os.exit(0, true)
    elseif given[i] == "--sim" then
      seed, i = integer(given[i + 1], "--sim", 0, 2 ^ 53), i + 1
    elseif given[i]:sub(1, 1) == "-" then
      refuse(("unknown option '%s'"):format(given[i]))
    else
      plain[#plain + 1] = given[i]
    end
    i = i + 1
  end
  if #plain > 2 then refuse(("unexpected argument '%s'"):format(plain[3])) end
  return plain[1] or "topologies", integer(plain[2] or "50", "N", 5, 100), seed
end

local dir, n, seed = parse(arg)

-- --- shapes ----------------------------------------------------------------------------------------------------------

local topics = { "weather", "traffic", "energy", "news" }

--- The first node is the root that others join through; the rest share a few topics, one of each being the first of its
--- kind.
local function options_of_node(i)
  if i == 1 then return { name = "root", root = true, port = chaski.get_free_port(), reconnect = false } end
  return { subscriptions = topics[(i - 2) % #topics + 1], paired = i - 1 <= #topics, reconnect = false }
end

local options = { seed = 7, node = options_of_node }

--- The options of all shapes, and these.
local function with(more)
  for name, value in pairs(options) do
    more[name] = value
  end
  return more
end

local topology = chaski.topology
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

-- --- what is done with each ------------------------------------------------------------------------------------------

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

local SEARCHES = 16 -- in one go: from one edge a node takes about 20, and all of them go by the middle of a star

--- Some of those who know nobody of their topic, from all over the list.
local function searchers(t)
  local list, some = {}, {}
  for _, node in ipairs(t.nodes) do
    if not node.root and not node.paired then list[#list + 1] = node end
  end
  for i = 1, #list, math.max(1, math.ceil(#list / SEARCHES)) do
    some[#some + 1] = list[i]
  end
  return some
end

--- How many found a peer, and how many are alone.
local function discover(t)
  local found, alone = 0, 0
  for _, node in ipairs(searchers(t)) do
    if select(2, assert(node:discovery { timeout = 2 })) then
      alone = alone + 1
    else
      found = found + 1
    end
  end
  return found, alone
end

local columns = "%-12s %5s %7s %5s %5s %5s  %-14s %8s  %-24s %7s"
local heads = { "shape", "nodes", "planned", "edges", "found", "alone", "degree", "diameter", "latency in ms", "time" }
print(columns:format(table.unpack(heads)))

local function print_row(name, t, found, alone, seconds)
  local s, time = t:stats(), ("%.2f s"):format(seconds)
  local degree = ("%d / %.1f / %d"):format(s.degree.min, s.degree.mean, s.degree.max)
  local latency = ("%.3f / %.3f / %.3f"):format(s.latency.min, s.latency.mean, s.latency.max)
  print(columns:format(name, s.nodes, #t.links, s.edges, found, alone, degree, s.diameter, latency, time))
end

local function run(name, make, ...)
  local started = chaski.now()
  local t <close> = assert(make(...))
  assert(t:connect())
  t:ping() -- so that both ends are live
  local found, alone = discover(t)
  t:ping(5)
  assert(t:stats().components == 1, name .. " is in pieces")
  write_pictures(name, t)
  print_row(name, t, found, alone, chaski.now() - started)
end

--- The same on a network of its own.
local function simulate(name, make, ...)
  local sim <close> = chaski.sim { seed = seed, delay = 0.01 }
  local function make_with_paths(...)
    local t = assert(make(...))
    for i, a in ipairs(t.nodes) do
      for j = 1, i - 1 do
        sim:link(a, t.nodes[j], { delay = 0.0005 + chaski.random() ^ 2 * 0.0195 })
      end
    end
    return t
  end
  assert(sim:run(function(...)
    run(name, make_with_paths, ...)
    return true
  end, ...))
end

--- The folder, and those above it that are missing.
local function make_folder(path)
  local above = path:match "^(.*[^/])/+[^/]+/*$"
  local made, err, code = uv.fs_mkdir(path, 493) -- 0755
  if code == "ENOENT" and above then
    make_folder(above)
    made, err, code = uv.fs_mkdir(path, 493)
  end
  if made or code == "EEXIST" then return end
  io.stderr:write("topologies: cannot make the folder: ", err, "\n")
  os.exit(1, true)
end

make_folder(dir)
for _, shape in ipairs(shapes) do
  (seed and simulate or run)(table.unpack(shape))
end
print("pictures of each are in " .. dir)
