-- graph.lua: chaski graph: the mesh around a node, as a tree to read, or for Graphviz, as a picture, as JSON.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local convert = require "chaski.cli.convert"
local data = require "chaski.cli.data"
local draw_dot = require "chaski.topology.dot"
local draw_svg = require "chaski.topology.svg"
local graph = require "chaski.topology.graph"
local session = require "chaski.cli.session"
local uv = require "luv"
local walks = require "chaski.cli.walk"

local M = { summary = "Walk the mesh from a node and show what is there." }

M.epilog = [[
Nodes tell their edges if they have the option introspect = true; others are seen by what their
neighbours tell.
  chaski graph -h 192.0.2.7:8511 --format svg -o mesh.svg]]

function M.define(command)
  command:option("-f --format", "What to write."):choices({ "tree", "dot", "svg", "json" }):default "tree"
  command:flag("--json", "The same as --format json.")
  command:option("-o --output", "File to write; default: standard output."):argname "FILE"
  command
    :option("--max", "Ask so many nodes at most.")
    :argname("COUNT")
    :convert(convert.count("--max", 1))
    :default "200"
  session.add_timeout(command, "How long to wait for each node.", "2s")
  session.add_connection(command)
end

-- --- a tree ----------------------------------------------------------------------------------------------------------

local function words_of(node, ms)
  local parts = { data.safe(node.name), data.safe(node.address) }
  if ms then parts[#parts + 1] = ("%.3f ms"):format(ms) end
  if node.root then parts[#parts + 1] = "root" end
  if #node.topics > 0 then parts[#parts + 1] = "[" .. data.safe(table.concat(node.topics, " ")) .. "]" end
  if not node.asked then parts[#parts + 1] = "(tells nothing)" end
  return table.concat(parts, "  ")
end

local function children_of(nodes, edges)
  local hops, parent, order = graph.hops(graph.adjacency(#nodes, edges), 1)
  local children, others, ms = {}, {}, {}
  for _, i in ipairs(order) do
    children[i], others[i] = {}, {}
    if parent[i] then table.insert(children[parent[i]], i) end
  end
  for _, edge in ipairs(edges) do
    local a, b = edge[1], edge[2]
    ms[a << 32 | b], ms[b << 32 | a] = edge.ms, edge.ms
    if hops[a] and parent[a] ~= b and parent[b] ~= a then table.insert(others[b], a) end
  end
  return children, others, ms
end

local function tree(nodes, edges)
  local children, others, ms = children_of(nodes, edges)
  local lines = {}
  local function add(i, parent, lead, turn, below)
    local also = {}
    for _, j in ipairs(others[i]) do
      also[#also + 1] = data.safe(nodes[j].name)
    end
    local text = words_of(nodes[i], parent and ms[i << 32 | parent])
    if #also > 0 then text = text .. "  also with " .. table.concat(also, ", ") end
    lines[#lines + 1] = lead .. turn .. text
    for k, j in ipairs(children[i]) do
      local last = k == #children[i]
      add(j, i, lead .. below, last and "└─ " or "├─ ", last and "   " or "│  ")
    end
  end
  add(1, nil, "", "", "")
  return table.concat(lines, "\n") .. "\n"
end

-- --- the others ------------------------------------------------------------------------------------------------------

--- What the pictures of chaski.topology are drawn from.
local function picture(draw)
  return function(nodes, edges)
    local title = ("mesh of %d node%s"):format(#nodes, #nodes == 1 and "" or "s")
    local topology = { shape = "mesh", title = title, nodes = nodes, links = edges, layout = "force" }
    return draw(topology, { members = nodes, edges = edges, live = true }, { width = 1000 })
  end
end

local function as_json(nodes, edges)
  local list = {}
  for i, edge in ipairs(edges) do
    list[i] = { from = nodes[edge[1]].id, to = nodes[edge[2]].id, ms = edge.ms }
  end
  for _, node in ipairs(nodes) do
    node.topics = core.array(node.topics)
  end
  return data.json { nodes = core.array(nodes), edges = core.array(list) } .. "\n"
end

local formats = { tree = tree, dot = picture(draw_dot), svg = picture(draw_svg), json = as_json }

--- Can the file be written? What is in it stays until there is something new.
local function check_output(path)
  local stat = uv.fs_stat(path)
  local why = stat and stat.type == "directory" and "is a directory"
  local place = stat and path or path:match "^(.*/)[^/]*$" or "."
  if not why and not uv.fs_access(place, "W") then
    why = uv.fs_stat(place) and "permission denied" or "no such folder"
  end
  if why then session.fail(("cannot write '%s': %s"):format(path, why), "failed") end
end

local function write(path, text)
  local file, why = io.open(path, "wb")
  local ok = file and file:write(text)
  if file then ok = file:close() and ok end
  if not ok then session.fail(why or ("cannot write '%s'"):format(path), "failed") end
end

function M.run(args)
  if args.output then check_output(args.output) end
  local node, edge = session.open(args)
  local nodes, edges = walks.walk(node, edge, args.timeout, args.max)
  local text = formats[args.json and "json" or args.format](nodes, edges)
  if args.output then
    write(args.output, text)
  else
    session.write(text)
  end
  if not nodes[1].asked and #nodes == 1 then
    session.fail(("%s tells nothing of its edges (%s)"):format(nodes[1].name, nodes[1].why), "no_interest")
  end
  session.exit(0)
end

return M
