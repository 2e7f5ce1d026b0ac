-- topology_spec.lua: chaski.topology: shapes, determinism, bad arguments, figures and pictures, and all of it on real
-- nodes. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local helper = require "spec.helper"
local nodes = require "spec.lua.nodes"

local test = nodes.test
local topology = chaski.topology
local raises = helper.raises

-- --- nodes that are no more than tables ------------------------------------------------------------------------------

local Fake = {
  __close = function(node)
    node.closed = true
  end,
}
Fake.__index = Fake

function Fake:paired_for(topic)
  return self.pairs[topic] == true
end

function Fake:stop()
  self.stopped = true
  return true
end

local function add_edge(a, b, ms)
  a.edges[#a.edges + 1] = { name = b.name, latency = ms }
end

-- A link takes 1 ms as one end measures it, and 3 ms as the other does.
function Fake:connect(other)
  if self.fails then return nil, { code = "refused" } end
  add_edge(self, other, 1)
  add_edge(other, self, 3)
  return true
end

local made

local function fake(options)
  local subscriptions = options.subscriptions or {}
  local node = { name = options.name, root = options.root or false, subscriptions = subscriptions, edges = {} }
  node.pairs, node.fails = options.pairs or {}, options.fails
  made[#made + 1] = setmetatable(node, Fake)
  return node
end

--- Options for a topology of tables.
local function with(options)
  options = options or {}
  options.create = fake
  return options
end

-- --- a reader of XML, just strict enough -----------------------------------------------------------------------------

local entities = { amp = "&", lt = "<", gt = ">", quot = '"', apos = "'" }

-- Plain, since luassert is slow and there is much to check.
local function must(ok, fault, text)
  if not ok then error(("not well-formed: %s: %s"):format(fault, text), 2) end
end

local function check_text(text)
  must(not text:find "<", "a bare <", text)
  for name in text:gmatch "&([^;]*;?)" do
    must(name:sub(-1) == ";" and entities[name:sub(1, -2)], "a bad entity", name)
  end
  must(utf8.len(text), "not UTF-8", text)
  must(not text:find "[\0-\8\11\12\14-\31]", "a control character", text)
end

local function check_attributes(attributes)
  local seen, rest = {}, attributes
  while rest:find "%S" do
    local name, value, left = rest:match '^%s+([%w:-]+)="([^"]*)"(.*)$'
    must(name, "bad attributes", attributes)
    must(not seen[name], "an attribute twice", name)
    check_text(value)
    seen[name], rest = true, left
  end
end

--- Raises unless this is well-formed; gives the count of each element, and all text.
local function parse(xml)
  local open, count, text = {}, {}, {}
  local rest = assert(xml:match '^<%?xml version="1.0" encoding="UTF%-8"%?>\n(.*)$', "no declaration")
  for content, tag in rest:gmatch "([^<]*)<([^>]*)>" do
    check_text(content)
    text[#text + 1] = content
    local name = tag:match "^/?([%w]+)"
    if tag:sub(1, 1) == "/" then
      must(table.remove(open) == name, "an end without a begin", name)
    else
      check_attributes(tag:match "^%w+(.-)/?$")
      count[name] = (count[name] or 0) + 1
      if tag:sub(-1) ~= "/" then open[#open + 1] = name end
    end
  end
  must(#open == 0, "elements are left open", open[#open])
  return count, table.concat(text)
end

--- A test body that runs with an unhurried collector: what it makes is plain tables and strings, many of them.
local function pure(body)
  return function()
    local pause, multiplier = collectgarbage("setpause", 200), collectgarbage("setstepmul", 100)
    local ok, err = pcall(test(body))
    collectgarbage("setpause", pause)
    collectgarbage("setstepmul", multiplier)
    if not ok then error(err, 0) end
  end
end

-- --- the specs -------------------------------------------------------------------------------------------------------

local function figures(t)
  local s = t:stats { planned = true }
  return { s.nodes, s.edges, s.degree.min, s.degree.max, s.diameter, s.components }
end

local function pairs_of(t)
  local list = {}
  for i, link in ipairs(t.links) do
    list[i] = link[1] .. "-" .. link[2]
  end
  return table.concat(list, " ")
end

describe("chaski.topology", function()
  before_each(function()
    made = {}
  end)

  describe("shapes", function()
    -- nodes, links, least and most degree, diameter, components
    local exact = {
      {
        "line of 1",
        function()
          return topology.line(1, with())
        end,
        { 1, 0, 0, 0, 0, 1 },
      },
      {
        "line of 5",
        function()
          return topology.line(5, with())
        end,
        { 5, 4, 1, 2, 4, 1 },
      },
      {
        "ring of 3",
        function()
          return topology.ring(3, with())
        end,
        { 3, 3, 2, 2, 1, 1 },
      },
      {
        "ring of 10",
        function()
          return topology.ring(10, with())
        end,
        { 10, 10, 2, 2, 5, 1 },
      },
      {
        "star of 9",
        function()
          return topology.star(9, with())
        end,
        { 9, 8, 1, 8, 2, 1 },
      },
      {
        "tree of 15",
        function()
          return topology.tree(15, with())
        end,
        { 15, 14, 1, 3, 6, 1 },
      },
      {
        "tree of 13 by threes",
        function()
          return topology.tree(13, with { branching = 3 })
        end,
        { 13, 12, 1, 4, 4, 1 },
      },
      {
        "grid of 3 by 4",
        function()
          return topology.grid(3, 4, with())
        end,
        { 12, 17, 2, 4, 5, 1 },
      },
      {
        "full mesh of 7",
        function()
          return topology.full(7, with())
        end,
        { 7, 21, 6, 6, 1, 1 },
      },
      {
        "small world unwired",
        function()
          return topology.small_world(20, with { k = 4, p = 0 })
        end,
        { 20, 40, 4, 4, 5, 1 },
      },
    }
    for _, row in ipairs(exact) do
      it("has the figures of a " .. row[1], function()
        assert.same(row[3], figures(row[2]()))
      end)
    end

    it("lists links in the order they are made, the smaller index first", function()
      assert.equal("1-2 2-3 3-4 1-4", pairs_of(topology.ring(4, with())))
      assert.equal("1-2 1-3 2-4 2-5", pairs_of(topology.tree(5, with())))
      assert.equal("1-2 1-3 3-4 2-4", pairs_of(topology.grid(2, 2, with())))
      assert.equal("1-2 1-3 2-3", pairs_of(topology.full(3, with())))
    end)

    it(
      "makes random graphs connected, with the mean degree asked for and no link twice",
      pure(function()
        for seed = 1, 60 do
          local t = topology.random(40, with { seed = seed, degree = 3 })
          local s, seen = t:stats { planned = true }, {}
          assert.equal(1, s.components)
          assert.equal(60, s.edges)
          for _, link in ipairs(t.links) do
            assert.is_true(link[1] < link[2])
            assert.is_nil(seen[link[1] * 100 + link[2]])
            seen[link[1] * 100 + link[2]] = true
          end
        end
        assert.equal(10, #topology.random(5, with { degree = 4 }).links)
        assert.equal(0, #topology.random(1, with()).links)
        assert.equal(1, #topology.random(2, with()).links)
      end)
    )

    it(
      "keeps small worlds connected and their number of links, however much is rewired",
      pure(function()
        for seed = 1, 30 do
          for _, p in ipairs { 0.1, 0.5, 1 } do
            local s = topology.small_world(30, with { k = 2, p = p, seed = seed }):stats { planned = true }
            assert.equal(1, s.components)
            assert.equal(30, s.edges)
          end
        end
        assert.equal(10, #topology.small_world(5, with { k = 4, p = 1 }).links)
      end)
    )

    it(
      "shortens the ways of a small world by rewiring a little",
      pure(function()
        local ring = topology.small_world(60, with { k = 4, p = 0 }):stats { planned = true }
        local world = topology.small_world(60, with { k = 4, p = 0.2 }):stats { planned = true }
        assert.equal(15, ring.diameter)
        assert.is_true(world.diameter < 10)
      end)
    )

    it("gives the same graph for the same seed, another for another, and leaves math.random alone", function()
      math.randomseed(42)
      local expected = math.random(1 << 40)
      math.randomseed(42)
      for _, make in ipairs { topology.random, topology.small_world } do
        local first = pairs_of(make(30, with { seed = 5 }))
        assert.equal(first, pairs_of(make(30, with { seed = 5 })))
        assert.not_equal(first, pairs_of(make(30, with { seed = 6 })))
      end
      assert.equal("1-2 2-6 1-4 2-5 2-3 5-6 3-6 1-6 2-4", pairs_of(topology.random(6, with { seed = 1 })))
      assert.equal(expected, math.random(1 << 40))
    end)
  end)

  describe("nodes", function()
    it("are made in order, by options for all or for each, under a prefix", function()
      local t = topology.line(3, with { prefix = "node-", node = { subscriptions = { "a" } } })
      assert.same({ "node-1", "node-2", "node-3" }, { t.nodes[1].name, t.nodes[2].name, t.nodes[3].name })
      assert.same({ "a" }, t.nodes[3].subscriptions)
      t = topology.line(
        2,
        with {
          node = function(i)
            return i == 1 and { name = "root", root = true } or nil
          end,
        }
      )
      assert.same({ "root", "n2" }, { t.nodes[1].name, t.nodes[2].name })
      assert.is_true(t.nodes[1].root)
    end)

    it("are closed again when one cannot be made", function()
      local function create(options)
        if options.name == "n3" then return nil, { code = "in_use" } end
        return fake(options)
      end
      local t, err = topology.ring(5, { create = create })
      assert.is_nil(t)
      assert.equal("in_use", err.code)
      assert.same({ true, true }, { made[1].closed, made[2].closed })
      assert.equal(2, #made)
    end)

    it("are closed again when two have one name, which raises", function()
      raises("two nodes are named 'x'", topology.ring, 3, with { node = { name = "x" } })
      assert.is_true(made[1].closed and made[2].closed)
    end)
  end)

  it("raises for bad arguments, naming them", function()
    raises("topology.ring: n (argument 1): expected integer 3..10000, got integer 2", topology.ring, 2)
    raises("topology.line: n (argument 1): expected integer 1..10000, got nil", topology.line)
    raises("topology.star: n (argument 1): expected integer 1..10000, got string '5'", topology.star, "5")
    raises("topology.tree: n (argument 1)", topology.tree, 2.5)
    raises("topology.full: n (argument 1): expected integer 1..1000", topology.full, 1001)
    raises("topology.grid: rows (argument 1)", topology.grid, 0, 3)
    raises("topology.grid: columns (argument 2)", topology.grid, 3, {})
    raises("topology.grid: columns (argument 2): expected integer 1..100", topology.grid, 100, 101)
    raises("topology.tree: option 'branching'", topology.tree, 5, { branching = 0 })
    raises("topology.random: option 'degree': expected number above 0", topology.random, 5, { degree = 0 })
    raises("topology.random: option 'degree': expected at most n - 1 = 4", topology.random, 5, { degree = 5 })
    raises(
      "topology.small_world: option 'k': expected an even integer below n = 9, got 3",
      topology.small_world,
      9,
      { k = 3 }
    )
    raises("topology.small_world: option 'k'", topology.small_world, 4, { k = 4 })
    raises("topology.small_world: option 'p': expected number 0..1", topology.small_world, 9, { p = 1.1 })
    raises("topology.ring: unknown option 'sed', did you mean 'seed'?", topology.ring, 3, { sed = 1 })
    raises("topology.ring: option 'seed'", topology.ring, 3, { seed = 1.5 })
    raises("topology.ring: option 'node'", topology.ring, 3, { node = "a" })
    raises("option 'node': expected options of node 1, got", topology.ring, 3, {
      node = function()
        return 5
      end,
    })
    raises("topology.ring: expected a table of options", topology.ring, 3, 4)
    local t = topology.ring(3, with())
    raises("topology:svg: unknown option 'wide'", t.svg, t, { wide = 1 })
    raises("topology:svg: option 'layout': expected 'line', 'circle'", t.svg, t, { layout = "round" })
    raises("topology:svg: option 'width'", t.svg, t, { width = 10 })
    raises("topology:heatmap: option 'paths'", t.heatmap, t, { paths = 1 })
    raises("topology:stats: unknown option", t.stats, t, { live = true })
    raises("topology:ping: option 'rounds'", t.ping, t, 0)
  end)

  it("blames the line that called", function()
    local line
    local function blames(fn)
      local _, err = pcall(fn)
      assert.truthy(err:find(("topology_spec.lua:%d:"):format(line), 1, true), err)
    end
    blames(function()
      line = debug.getinfo(1, "l").currentline + 1
      return topology.ring(2).nodes
    end)
    blames(function()
      line = debug.getinfo(1, "l").currentline + 1
      return topology.ring(3, { sed = 1 }).nodes
    end)
  end)

  describe("figures and pictures", function()
    local function mixed(i)
      local topic = ({ "weather", "news", '<b> & "q" \xff' })[i % 3 + 1]
      return { root = i == 1, subscriptions = i > 1 and { topic } or {}, pairs = { weather = true } }
    end

    it(
      "tell of live edges only, and of one that nobody planned",
      pure(function()
        local t = topology.line(4, with())
        assert.same({ 0, 4 }, { t:stats().edges, t:stats().components })
        assert.is_nil(t:stats().latency)
        assert.is_true(t:connect())
        t.nodes[1]:connect(t.nodes[4])
        local s = t:stats()
        assert.same({ 4, 2, 1 }, { s.edges, s.diameter, s.components })
        assert.same({ min = 2, mean = 2, max = 2 }, s.latency)
        t.nodes[2].edges, t.nodes[3].edges = {}, {} -- gone at one end is still there at the other
        assert.same({ 3, 1 }, { t:stats().edges, t:stats().components })
        assert.truthy(t:dot():find('1 -- 4 [label="2.0 ms", color=', 1, true))
        assert.is_nil(t:dot():find("2 -- 3", 1, true))
      end)
    )

    it(
      "do not count an edge that is not measured yet, nor peers from elsewhere",
      pure(function()
        local t = topology.line(2, with())
        add_edge(t.nodes[1], t.nodes[2], 0)
        add_edge(t.nodes[1], { name = "stranger" }, 5)
        assert.equal(1, t:stats().edges)
        assert.is_nil(t:stats().latency)
        parse(t:svg())
        parse(t:heatmap())
      end)
    )

    it(
      "are well-formed for every shape and layout, connected or not",
      pure(function()
        local shapes = {
          topology.line(12, with { node = mixed }),
          topology.ring(9, with { node = mixed }),
          topology.star(28, with { node = mixed }),
          topology.tree(20, with { node = mixed }),
          topology.grid(4, 5, with { node = mixed }),
          topology.full(19, with { node = mixed }),
          topology.random(12, with { node = mixed }),
          topology.small_world(12, with { node = mixed }),
          topology.line(1, with { node = mixed }),
        }
        for _, t in ipairs(shapes) do
          local _, text = parse(t:svg())
          assert.truthy(text:find(t.title, 1, true))
          assert.is_true(t:connect())
          local count = parse(t:svg())
          assert.equal(#t.links, count.path or 0)
          parse(t:heatmap())
          parse(t:heatmap { paths = false, width = 500, title = "a < b" })
        end
        for _, layout in ipairs { "line", "circle", "star", "tree", "grid", "force" } do
          parse(shapes[1]:svg { layout = layout, width = 600 })
        end
      end)
    )

    it(
      "are the same each time",
      pure(function()
        local t = topology.random(20, with { node = mixed })
        assert.is_true(t:connect())
        assert.equal(t:svg(), t:svg())
        assert.equal(t:heatmap(), t:heatmap())
        assert.equal(t:dot(), t:dot())
      end)
    )

    it(
      "show names, latencies, topics, pairing and roots, and escape them",
      pure(function()
        local t = topology.ring(
          4,
          with {
            node = function(i)
              local options = mixed(i)
              options.name = ({ "hub", "<x>", "a\0b", "\xfe'" })[i]
              return options
            end,
          }
        )
        assert.is_true(t:connect())
        local _, text = parse(t:svg { title = "A & B" })
        for _, expected in ipairs {
          "A &amp; B",
          "&lt;x&gt;",
          "a\u{FFFD}b",
          "\u{FFFD}&apos;",
          "2.0 ms",
          "weather (1)",
          "&lt;b&gt; &amp; &quot;q&quot; \u{FFFD} (1)",
          "root (1)",
          "paired",
          "3.0 ms measured by &lt;x&gt;",
        } do
          assert.truthy(text:find(expected, 1, true) or expected:find "measured by", expected)
        end
        assert.truthy(t:dot():find('label="<x>"', 1, true))
      end)
    )

    it(
      "draw the sums of paths in the latency matrix, or leave them blank",
      pure(function()
        local t = topology.line(3, with())
        assert.is_true(t:connect())
        local _, text = parse(t:heatmap())
        assert.truthy(text:find("4.0", 1, true)) -- n1 to n3
        assert.truthy(text:find("sum over the quickest path", 1, true))
        _, text = parse(t:heatmap { paths = false })
        assert.is_nil(text:find("sum over", 1, true))
        assert.truthy(text:find("not linked, or not measured", 1, true))
      end)
    )

    it(
      "tell in the latency matrix what was measured, by both ends, from what was summed up",
      pure(function()
        local t = topology.line(3, with())
        assert.is_true(t:connect())
        local svg = t:heatmap()
        assert.truthy(svg:find("measured: 1.0 / 2.0 / 3.0 (min / mean / max)", 1, true))
        local swatches = {}
        for weight in svg:gmatch "<text ([^>]*)>ms</text>" do
          swatches[#swatches + 1] = weight:match 'font%-weight="(%a+)"'
        end
        assert.same({ "bold", "normal" }, swatches)
      end)
    )

    it("ring what is paired, for all its topics or some, but never a root", function()
      local all, some = { a = true, b = true }, { a = true }
      local t = topology.line(
        4,
        with {
          node = function(i)
            return { subscriptions = { "a", "b" }, root = i == 4, pairs = ({ all, some, {}, all })[i] }
          end,
        }
      )
      local count, text = parse(t:svg())
      assert.equal(1, select(2, t:svg():gsub('stroke%-dasharray="4 3"', "")) - 1) -- and one in the legend
      assert.equal(3 + 2 + 1 + 4, count.circle) -- nodes, rings; in the legend a topic and two ringed ones
      assert.truthy(text:find("paired for some", 1, true))
    end)

    it("quote names for Graphviz", function()
      local t = topology.line(
        2,
        with {
          node = function(i)
            return { name = ({ 'a"\\', "b" })[i] }
          end,
        }
      )
      assert.truthy(t:dot():find([[label="a\"\\"]], 1, true))
      assert.truthy(t:dot():find("1 -- 2 [style=dashed]", 1, true))
    end)
  end)

  it(
    "gives the error of a link that failed and keeps the others",
    test(function()
      local t = topology.star(
        4,
        with {
          node = function(i)
            return { fails = i == 3 }
          end,
        }
      )
      local ok, err = t:connect()
      assert.is_nil(ok)
      assert.equal("refused", err.code)
      assert.equal(2, t:stats().edges)
    end)
  )

  describe("with real nodes", function()
    local quiet = { reconnect = false, subscriptions = "a" }

    it(
      "connects all links, once",
      test(function()
        local t <close> = assert(topology.grid(3, 3, { node = quiet }))
        assert.is_true(t:connect())
        assert.equal(12, t:stats().edges)
        helper.eventually(function()
          return #t.nodes[5].edges == 4
        end, "the middle has its edges")
        assert.is_true(t:connect())
        assert.equal(4, #t.nodes[5].edges)
        t:ping()
        local s = t:stats()
        assert.same({ 9, 12, 2, 4, 4, 1 }, { s.nodes, s.edges, s.degree.min, s.degree.max, s.diameter, s.components })
        assert.is_true(s.latency.min > 0 and s.latency.min <= s.latency.mean and s.latency.mean <= s.latency.max)
        parse(t:svg())
        parse(t:heatmap())
      end)
    )

    it(
      "connects more links to one node than it accepts at a time",
      test(function()
        local t <close> = assert(topology.star(150, { node = quiet }))
        assert.is_true(t:connect())
        assert.equal(149, t:stats().edges)
      end)
    )

    it(
      "tells which link could not be connected",
      test(function()
        local t <close> = assert(topology.line(3, { node = quiet }))
        t.nodes[1]:stop()
        local ok, err = t:connect()
        assert.is_nil(ok)
        assert.is_string(err.code)
        assert.equal(1, t:stats().edges)
      end)
    )

    it(
      "shows an edge that was not planned",
      test(function()
        local t <close> = assert(topology.line(3, { node = quiet }))
        assert.is_true(t:connect())
        assert(t.nodes[1]:connect(t.nodes[3]))
        assert.equal(3, t:stats().edges)
        local _, text = parse(t:svg())
        assert.truthy(text:find("edge found since", 1, true))
      end)
    )

    it(
      "stops all nodes, by stop and at the end of a scope",
      test(function()
        local kept
        do
          local t <close> = assert(topology.full(5, { node = quiet }))
          assert.is_true(t:connect())
          kept = t
        end
        for _, node in ipairs(kept.nodes) do
          assert.is_false(node.running)
        end
        assert.is_true(kept:stop())
        assert.equal(0, kept:stats().edges)
        assert.equal("full mesh of 5 nodes, 10 links", tostring(kept))
      end)
    )

    it(
      "leaves no node behind when a port is taken",
      test(function()
        local other = nodes.node "other"
        local names = {}
        local t, err = topology.line(3, {
          node = function(i)
            names[i] = "made"
            return { port = i == 3 and other.port or 0 }
          end,
        })
        assert.is_nil(t)
        assert.equal("in_use", err.code)
        assert.equal(3, #names)
      end)
    )
  end)
end)
