-- scripts/topologies.lua as a program: pictures of every shape, a table, exit codes. SPDX-License-Identifier: MIT
local helper = require "spec.helper"
local uv = require "luv"

local SCRIPT = "scripts/topologies.lua"
local SHAPES = { "line", "ring", "star", "tree", "grid", "full", "random", "small_world" }

local quick = helper.slowness == 1
local N, SMALL = quick and "50" or "12", quick and "12" or "7"

local folder = assert(uv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/chaski-spec-XXXXXX"))

local function names_in(dir)
  local names, scan = {}, uv.fs_scandir(dir)
  while scan do
    local name = uv.fs_scandir_next(scan)
    if not name then break end
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

local function remove(dir)
  for _, name in ipairs(names_in(dir)) do
    local path = dir .. "/" .. name
    if not os.remove(path) then remove(path) end
  end
  uv.fs_rmdir(dir)
end

teardown(function()
  remove(folder)
end)

local function it_async(name, test)
  it(name, helper.async(test, 30))
end

local function run(...)
  return helper.run({ SCRIPT, ... }, { timeout = 20 })
end

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

local function expected_names()
  local names = {}
  for _, shape in ipairs(SHAPES) do
    for _, kind in ipairs { ".svg", "-heatmap.svg", ".dot" } do
      names[#names + 1] = shape .. kind
    end
  end
  table.sort(names)
  return names
end

local function rows_of(out)
  local rows = {}
  for name, nodes, planned, edges, found, alone in out:gmatch "\n([%l_]+)%s+(%d+)%s+(%d+)%s+(%d+)%s+(%d+)%s+(%d+)" do
    rows[name] = { nodes = tonumber(nodes), planned = tonumber(planned), edges = tonumber(edges) }
    rows[name].found, rows[name].alone = tonumber(found), tonumber(alone)
  end
  return rows
end

--- Everything a reader looks for.
local function check_picture(svg, row)
  assert.matches("^<%?xml", svg)
  assert.matches("</svg>%s*$", svg)
  assert.equal(select(2, svg:gsub("<g[ >]", "")), select(2, svg:gsub("</g>", "")))
  for i = 2, row.nodes do
    assert.truthy(svg:find(("n%d: "):format(i), 1, true), "node " .. i)
  end
  for _, word in ipairs { "root", "weather", "traffic", "energy", "news", "paired" } do
    assert.truthy(svg:find(word, 1, true), word)
  end
  assert.truthy(svg:find("latency in ms", 1, true) or svg:find("latency of edges", 1, true), "a legend of latencies")
  assert.truthy(svg:find(("%d edges"):format(row.edges), 1, true))
end

--- No edge leaves the picture, or runs over its title.
local function check_edges(svg)
  local width, height = svg:match 'viewBox="0 0 ([%d.]+) ([%d.]+)"'
  for x1, y1, cx, cy, x2, y2 in svg:gmatch 'd="M(%S+) (%S+)Q(%S+) (%S+) (%S+) (%S-)"' do
    local x, y = (x1 + 2 * cx + x2) / 4, (y1 + 2 * cy + y2) / 4 -- half way
    assert.is_true(x > 0 and x < tonumber(width) and y > 80 and y < tonumber(height), ("%g, %g"):format(x, y))
  end
end

local function check_run(process, dir)
  assert.equal("", process.err)
  assert.equal(0, process.code)
  assert.same(expected_names(), names_in(dir))
  local rows = rows_of(process.out)
  for _, shape in ipairs(SHAPES) do
    local row = assert(rows[shape], shape .. " is in the table")
    assert.equal(0, row.alone, shape)
    assert.is_true(row.edges >= row.planned, shape)
    local svg = read(("%s/%s.svg"):format(dir, shape))
    check_picture(svg, row)
    check_edges(svg)
    assert.matches("</svg>%s*$", read(("%s/%s-heatmap.svg"):format(dir, shape)))
    assert.matches("^graph", read(("%s/%s.dot"):format(dir, shape)))
  end
  return rows
end

describe("scripts/topologies.lua", function()
  it_async("draws every shape with its discoveries, of real nodes, within 20 s", function()
    local dir = folder .. "/real"
    local rows = check_run(run(dir, N), dir)
    assert.is_true(rows.line.found > 0 and rows.line.edges > rows.line.planned)
    assert.matches("edge found since", read(dir .. "/line.svg"))
  end)

  it_async("draws the same for the same seed of a simulation", function()
    local dirs = { folder .. "/one", folder .. "/two", folder .. "/three" }
    local tables = {}
    for i, seed in ipairs { "7", "7", "8" } do
      local process = run("--sim", seed, dirs[i], SMALL)
      check_run(process, dirs[i])
      tables[i] = process.out:match "^(.*\n)pictures of"
    end
    assert.equal(tables[1], tables[2])
    assert.not_equal(tables[1], tables[3])
    for _, name in ipairs(expected_names()) do
      assert.equal(read(dirs[1] .. "/" .. name), read(dirs[2] .. "/" .. name))
    end
  end)

  it_async("tells its usage", function()
    local process = run "--help"
    assert.equal(0, process.code)
    assert.equal("", process.err)
    assert.matches("^usage: chaski%-lua scripts/topologies%.lua", process.out)
  end)

  it_async("refuses what it does not understand with exit code 2, and makes nothing", function()
    local dir = folder .. "/refused"
    local wrong = {
      { "--unknown" },
      { "-x", dir },
      { dir, "4" },
      { dir, "101" },
      { dir, "many" },
      { dir, "7.5" },
      { dir, "" },
      { dir, "10", "more" },
      { "--sim" },
      { "--sim", dir },
      { "--sim", "-1", dir },
    }
    for _, args in ipairs(wrong) do
      local process, what = run(table.unpack(args)), table.concat(args, " ")
      assert.equal(2, process.code, what)
      assert.equal("", process.out, what)
      assert.matches("^topologies: .-\nusage: ", process.err, 1, false, what)
    end
    assert.same({}, names_in(dir))
  end)

  it_async("makes the folders that are missing", function()
    local dir = folder .. "/not/there/yet"
    local process = run("--sim", "1", dir, "5")
    assert.equal(0, process.code, process.err)
    assert.is_true(#names_in(dir) > 0)
  end)

  it_async("ends with exit code 1 where it cannot write", function()
    local process = run("/proc/not/there", "5")
    assert.equal(1, process.code)
    assert.matches("^topologies: cannot make the folder: ENOENT[^\n]*\n$", process.err)
  end)
end)
