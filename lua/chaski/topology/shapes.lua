-- shapes.lua: which node is linked with which, for every shape. Pure: numbers in, a list of pairs out, in the order
-- they are made. Knows no nodes. A link is { a, b } with a < b. SPDX-License-Identifier: MIT

---@alias chaski.topology.link integer[] a pair of indices, the smaller first

local M = {}

--- A list of links that knows what it has.
---@class chaski.topology.links
local Links = {}
Links.__index = Links

local function key(a, b)
  return a < b and a << 32 | b or b << 32 | a
end

function Links:has(a, b)
  return self.at[key(a, b)] ~= nil
end

function Links:add(a, b)
  self.list[#self.list + 1] = a < b and { a, b } or { b, a }
  self.at[key(a, b)] = #self.list
end

--- Put the link a, c where a, b was.
function Links:replace(a, b, c)
  local place = self.at[key(a, b)]
  self.at[key(a, b)], self.at[key(a, c)] = nil, place
  self.list[place] = a < c and { a, c } or { c, a }
end

local function new_links()
  return setmetatable({ list = {}, at = {} }, Links)
end

---@param n integer
---@return chaski.topology.link[]
function M.line(n)
  local links = new_links()
  for i = 2, n do
    links:add(i - 1, i)
  end
  return links.list
end

---@param n integer
---@return chaski.topology.link[]
function M.ring(n)
  local list = M.line(n)
  list[#list + 1] = { 1, n }
  return list
end

--- Node 1 is the hub.
---@param n integer
---@return chaski.topology.link[]
function M.star(n)
  local links = new_links()
  for i = 2, n do
    links:add(1, i)
  end
  return links.list
end

--- Filled level by level; node 1 is on top.
---@param n integer
---@param branching integer
---@return chaski.topology.link[]
function M.tree(n, branching)
  local links = new_links()
  for i = 2, n do
    links:add((i - 2) // branching + 1, i)
  end
  return links.list
end

--- Numbered row by row.
---@param rows integer
---@param columns integer
---@return chaski.topology.link[]
function M.grid(rows, columns)
  local links = new_links()
  for i = 1, rows * columns do
    if (i - 1) % columns > 0 then links:add(i - 1, i) end
    if i > columns then links:add(i - columns, i) end
  end
  return links.list
end

---@param n integer
---@return chaski.topology.link[]
function M.full(n)
  local links = new_links()
  for b = 2, n do
    for a = 1, b - 1 do
      links:add(a, b)
    end
  end
  return links.list
end

-- Each node in a random order is linked with one before it: a tree, so the graph is connected.
local function span(links, n, random)
  local order = {}
  for i = 1, n do
    order[i] = i
  end
  random:shuffle(order)
  for i = 2, n do
    links:add(order[random:upto(i - 1)], order[i])
  end
end

--- A random tree, and random pairs until the mean degree is reached.
---@param n integer
---@param degree number
---@param random chaski.topology.prng
---@return chaski.topology.link[]
function M.random(n, degree, random)
  local links = new_links()
  span(links, n, random)
  local wanted = math.min(n * (n - 1) // 2, math.floor(n * degree / 2 + 0.5))
  while #links.list < wanted do
    local a, b = random:upto(n), random:upto(n)
    if a ~= b and not links:has(a, b) then links:add(a, b) end
  end
  return links.list
end

local function lattice(n, k)
  local links, next_to = new_links(), {}
  for i = 1, n do
    next_to[i] = {}
  end
  for step = 1, k // 2 do
    for i = 1, n do
      local j = (i - 1 + step) % n + 1
      links:add(i, j)
      next_to[i][j], next_to[j][i] = true, true
    end
  end
  return links, next_to
end

local function reaches(next_to, from, to)
  local seen, queue = { [from] = true }, { from }
  local head = 1
  while queue[head] do
    for other in pairs(next_to[queue[head]]) do
      if other == to then return true end
      if not seen[other] then
        seen[other], queue[#queue + 1] = true, other
      end
    end
    head = head + 1
  end
  return false
end

-- A node that i is not linked with, or nil if it is linked with all.
local function stranger(links, n, i, random)
  local free = {}
  for j = 1, n do
    if j ~= i and not links:has(i, j) then free[#free + 1] = j end
  end
  return #free > 0 and free[random:upto(#free)] or nil
end

-- Move the far end of i, j to a stranger, unless that would cut the graph in two.
local function rewire(links, next_to, n, i, j, random)
  local other = stranger(links, n, i, random)
  if not other then return end
  next_to[i][j], next_to[j][i] = nil, nil
  next_to[i][other], next_to[other][i] = true, true
  if reaches(next_to, i, j) then
    links:replace(i, j, other)
  else
    next_to[i][j], next_to[j][i] = true, true
    next_to[i][other], next_to[other][i] = nil, nil
  end
end

--- Watts and Strogatz 1998: a ring where each node knows its k nearest, each link rewired with probability p. A
--- rewiring that would cut the graph in two is not made.
---@param n integer
---@param k integer even
---@param p number 0..1
---@param random chaski.topology.prng
---@return chaski.topology.link[]
function M.small_world(n, k, p, random)
  local links, next_to = lattice(n, k)
  for step = 1, k // 2 do
    for i = 1, n do
      local j = (i - 1 + step) % n + 1
      if random:unit() < p then rewire(links, next_to, n, i, j, random) end
    end
  end
  return links.list
end

return M
