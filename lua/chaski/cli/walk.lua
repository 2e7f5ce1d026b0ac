-- walk.lua: the mesh as its nodes tell it: from one node along the edges it tells of to the next. A node that cannot be
-- reached, or tells nothing, is known by what its neighbours tell. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local status = require "chaski.cli.status"

local AT_ONCE = 8 -- nodes asked at the same time

local M = {}

---@class chaski.cli.seen
---@field name string
---@field id string
---@field address string
---@field root boolean
---@field topics string[]
---@field paired "all"|"some"|nil
---@field asked boolean it has told of itself
---@field why string? why it has not

local function key_of(each)
  return each.id ~= "" and each.id or each.address
end

local Walk = {}
Walk.__index = Walk

--- The index of a node, which may be new.
function Walk:find(each)
  local key = key_of(each)
  if not self.index[key] then
    self.nodes[#self.nodes + 1] = {
      name = each.name,
      id = each.id,
      address = each.address,
      root = each.root == true,
      topics = each.subscriptions,
      asked = false,
    }
    self.index[key] = #self.nodes
  end
  return self.index[key]
end

function Walk:add_edge(i, j, latency)
  local a, b = math.min(i, j), math.max(i, j)
  local key = a << 32 | b
  local edge = self.at[key]
  if not edge then
    edge = { a, b, measured = {}, live = true, planned = true }
    self.at[key] = edge
    self.edges[#self.edges + 1] = edge
  end
  if latency > 0 then edge.measured[i] = latency end
end

local function pairing(paired)
  local count, all = 0, 0
  for _, is in pairs(paired) do
    all = all + 1
    if is then count = count + 1 end
  end
  return count > 0 and (count == all and "all" or "some") or nil
end

local function is_edge(each)
  return type(each) == "table"
    and type(each.id) == "string"
    and type(each.name) == "string"
    and type(each.address) == "string"
    and type(each.latency) == "number"
    and type(each.subscriptions) == "table"
end

function Walk:take_in(i, told)
  local this = self.nodes[i]
  this.asked, this.root = true, told.root == true
  this.topics, this.paired = told.subscriptions, not told.root and pairing(told.paired) or nil
  for _, each in ipairs(told.edges) do
    if is_edge(each) and each.id ~= self.node.id then
      local j = self:find(each)
      if j ~= i then self:add_edge(i, j, each.latency) end
    end
  end
end

--- Ask node i, over an edge made for it unless there is one.
function Walk:ask(i, edge)
  local this, made, err = self.nodes[i], nil, nil
  if not edge then
    made, err = self.node:connect(this.address, { timeout = self.timeout })
    edge = made
  end
  local told
  if edge then
    told, err = status.introspect(self.node, edge, self.timeout)
  end
  if made then made:close() end
  if told then
    self:take_in(i, told)
  else
    this.why = tostring(err)
  end
end

function Walk:ask_some(first, last)
  local tasks = {}
  for i = first, last do
    tasks[#tasks + 1] = chaski.spawn(self.ask, self, i)
  end
  for _, task in ipairs(tasks) do
    task:join()
  end
end

--- Walk from the node at the other end of an edge. At most `most` nodes are asked.
---@param node chaski.node
---@param edge chaski.edge
---@param timeout number for each
---@param most integer
function M.walk(node, edge, timeout, most)
  local walk = setmetatable({ node = node, timeout = timeout, nodes = {}, edges = {}, index = {}, at = {} }, Walk)
  walk:find(edge)
  walk:ask(1, edge)
  local asked = 1
  while asked < math.min(#walk.nodes, most) do
    local last = math.min(#walk.nodes, most, asked + AT_ONCE)
    walk:ask_some(asked + 1, last)
    asked = last
  end
  for _, each in ipairs(walk.edges) do
    local a, b = each.measured[each[1]], each.measured[each[2]]
    each.ms = a and b and (a + b) / 2 or a or b
  end
  return walk.nodes, walk.edges
end

return M
