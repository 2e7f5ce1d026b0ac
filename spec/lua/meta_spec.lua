-- meta_spec.lua: lua/chaski/meta.lua, which editors read, names what there is and nothing else.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local options = require "chaski.options"

local path = package.searchpath("chaski.meta", package.path)

local function read()
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

local text = read()

--- The set of the names that are annotated as fields of a class, in all its parts.
local function fields_of(class)
  local names, inside = {}, false
  for line in text:gmatch "[^\n]*" do
    local opened = line:match "^%-%-%-@class ([%w_.]+)"
    if opened then
      inside = opened == class
    elseif not line:find "^%-%-%-" then
      inside = false
    end
    local name = inside and line:match "^%-%-%-@field ([%w_]+)"
    if name then names[name] = true end
  end
  return names
end

--- The set of the methods that are declared for the local variable.
local function methods_of(variable)
  local names = {}
  for name in text:gmatch("\nfunction " .. variable .. "[:.]([%w_]+)%(") do
    names[name] = true
  end
  return names
end

local function sorted(set)
  local list = {}
  for name in pairs(set) do
    list[#list + 1] = name
  end
  table.sort(list)
  return list
end

local function same(expected, there)
  assert.same(sorted(expected), sorted(there))
end

local function names_of(schema)
  local names = {}
  for _, row in ipairs(schema) do
    names[row.name] = true
  end
  return names
end

local function declared_in_c(value)
  return type(value) ~= "table" and not (type(value) == "function" and debug.getinfo(value, "S").what ~= "C")
end

describe("lua/chaski/meta.lua", function()
  it("declares the methods of nodes, edges and simulations", function()
    same(core.node_methods, methods_of "node")
    same(core.edge_methods, methods_of "edge")
    for name in pairs(methods_of "sim") do
      assert.is_function(core.sim_methods[name])
    end
  end)

  it("declares the fields of nodes, edges and subscriptions", function()
    same(core.node_fields, fields_of "chaski.node")
    same(core.edge_fields, fields_of "chaski.edge")
    same(core.subscription_fields, fields_of "chaski.subscription")
  end)

  it("declares the fields and methods of messages, pools, timestamps and extensions", function()
    local message = chaski.message { data = 1 }
    local time, ext = chaski.timestamp(1, 2), chaski.ext(7, "x")
    for name in pairs(message:totable()) do
      assert.is_true(fields_of("chaski.message")[name], name)
    end
    for name in pairs(fields_of "chaski.message") do
      if name ~= "origin" and name ~= "seq" then assert.is_not_nil(message[name], name) end
    end
    for name in pairs(methods_of "message") do
      assert.is_function(message[name])
    end
    for name in pairs(methods_of "pool") do
      assert.is_function(chaski.messages_pool(1)[name])
    end
    for name in pairs(fields_of "chaski.timestamp") do
      assert.equal("integer", math.type(time[name]))
    end
    assert.is_function(time.seconds)
    assert.same({ type = true, bytes = true }, fields_of "chaski.ext")
    assert.same({ 7, "x" }, { ext.type, ext.bytes })
  end)

  it("declares the options", function()
    same(names_of(options.node), fields_of "chaski.node_options")
    same(names_of(options.subscription), fields_of "chaski.subscribe_options")
    for name in pairs(fields_of "chaski.connect_options") do
      local _, err = pcall(core.node_methods.connect, nil, "x", { [name] = print })
      assert.is_nil(tostring(err):find("unknown option", 1, true))
    end
    for class, fn in pairs { pack = chaski.pack, unpack = chaski.unpack } do
      for name in pairs(fields_of("chaski." .. class .. "_options")) do
        local _, err = pcall(fn, "x", { [name] = print })
        assert.is_nil(tostring(err):find("unknown option", 1, true))
      end
    end
  end)

  it("declares the events", function()
    local there = {}
    for name in assert(text:match "@alias chaski.event\n(.-)\n\n"):gmatch '| "([%w_]+)" #' do
      there[name] = true
    end
    local expected = {}
    for _, name in ipairs(core.events()) do
      expected[name] = true
    end
    same(expected, there)
  end)

  it("declares what of the module is not written in Lua", function()
    local expected = {}
    for name, value in pairs(chaski) do
      expected[name] = declared_in_c(value) or nil
    end
    same(expected, fields_of "chaski")
  end)
end)
