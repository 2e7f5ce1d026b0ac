-- reference.lua: docs/reference.md from the annotations in lua/chaski/meta*.lua and in those other files that have what
-- scripts call: `lua5.4 scripts/reference.lua` writes it, with --check it only says (by exit code 1) whether it is as
-- it should be. Run from the project's folder.
-- SPDX-License-Identifier: MIT
local FILES = { "lua/chaski/meta.lua", "lua/chaski/meta_tls.lua" }
-- What is written in Lua is annotated where it is. A function counts if it is told of, and belongs to one of the named
-- tables, each of which is of a class; `returns`: what scripts call the function that is the module.
local SOURCES = {
  { path = "node.lua", returns = "node" },
  { path = "task.lua", task = "chaski" },
  { path = "message.lua", returns = "message" },
  { path = "lines.lua", returns = "lines", Lines = "chaski.lines" },
  { path = "ports.lua", M = "chaski" },
  { path = "limits.lua", M = "chaski" },
  { path = "repl/server.lua", returns = "repl.listen" },
  { path = "repl/init.lua", M = "chaski.repl" },
  { path = "tls.lua", M = "chaski.tls" },
  { path = "ca/init.lua", M = "chaski.ca", Ca = "chaski.ca" },
  { path = "sim.lua", returns = "sim", methods = "chaski.sim" },
  { path = "topology.lua", M = "chaski.topology", Topology = "chaski.topology" },
}
local OWN_CLASSES = { -- of theirs, for scripts
  ["chaski.ca"] = true,
  ["chaski.lines"] = true,
  ["chaski.sim"] = true,
  ["chaski.sim_link"] = true,
  ["chaski.sim_options:"] = true,
  ["chaski.topology"] = true,
  ["chaski.topology.options"] = true,
  ["chaski.topology.random_options:"] = true,
  ["chaski.topology.small_world_options:"] = true,
  ["chaski.topology.tree_options:"] = true,
}
local TARGET = "docs/reference.md"

-- --- reading ---------------------------------------------------------------------------------------------------------

--- A type and what is said after it: the type ends at the first blank outside of brackets, unless "|", ":" or ","
--- stands there.
local function split_type(text)
  local depth = 0
  for i = 1, #text do
    local c = text:sub(i, i)
    if c:find "[%(%[{<]" then depth = depth + 1 end
    if c:find "[%)%]}>]" then depth = depth - 1 end
    local joined = text:sub(1, i - 1):find "[|:,]%s*$" or text:sub(i):find "^%s*[|,]"
    if c == " " and depth == 0 and not joined then return text:sub(1, i - 1), text:sub(i + 1) end
  end
  return text, ""
end

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local Reader = {}
Reader.__index = Reader

function Reader:start()
  self.text, self.params, self.returns, self.overloads = {}, {}, {}, {}
end

function Reader:new_class(rest)
  local name, text = rest:match "^(%S+)%s*(.*)$"
  local parent
  if name:sub(-1) == ":" then
    parent, text = split_type(text)
    name = name:sub(1, -2)
  end
  self.class = { name = name, parent = parent, text = text, fields = {}, methods = {} }
  self.classes[#self.classes + 1] = self.class
end

local tags = {}

function tags.class(self, rest)
  self:new_class(rest)
end

function tags.field(self, rest)
  local name, text = rest:match "^(%S+)%s+(.*)$"
  local kind, said = split_type(text)
  table.insert(self.class.fields, { name = name, kind = kind, text = said })
end

function tags.alias(self, rest)
  local name, kind = rest:match "^(%S+)%s*(.*)$"
  self.alias = { name = name, kind = kind, values = {} }
  table.insert(self.aliases, self.alias)
end

function tags.param(self, rest)
  local name, text = rest:match "^(%S+)%s+(.*)$"
  local kind, said = split_type(text)
  self.params[#self.params + 1] = { name = name, kind = kind, text = said }
end

tags["return"] = function(self, rest)
  self.returns[#self.returns + 1] = rest
end

function tags.overload(self, rest)
  self.overloads[#self.overloads + 1] = rest
end

function tags.meta() end

local known_locals = {} -- local name of a class in its file -> class

function Reader:method(owner, name, parameters)
  local class = owner and known_locals[owner] or self.class
  table.insert(class.methods, {
    name = name,
    parameters = parameters,
    text = table.concat(self.text, " "),
    params = self.params,
    returns = self.returns,
    overloads = self.overloads,
  })
end

function Reader:line(line)
  local tag, rest = line:match "^%-%-%-@(%a+)%s*(.*)$"
  local value, said = line:match "^%-%-%-|%s*(%S+)%s*#?%s*(.*)$"
  local text = line:match "^%-%-%-%s?([^@|].*)$"
  local owner, name, parameters = line:match "^function ([%w_]+)[.:]([%w_]+)%((.-)%)"
  local object = line:match "^local ([%w_]+) = {}"
  if tag then
    assert(tags[tag], "unknown tag: " .. line)(self, rest)
  elseif value then
    table.insert(self.alias.values, { name = value, text = said })
  elseif text then
    self.text[#self.text + 1] = text
  elseif owner then
    self:method(owner, (line:match "^function [%w_]+([.:])" or "") .. name, parameters)
    self:start()
  elseif object then
    known_locals[object] = self.class
    self:start()
  elseif line == "" then
    self:start()
  end
end

function Reader:find_class(name)
  for _, each in ipairs(self.classes) do
    if each.name == name then return each end
  end
  self:new_class(name)
  return self.class
end

--- Classes and their fields, of a file whose code is there too.
function Reader:source_class(line)
  local name = line:match "^%-%-%-@class (%S+)"
  if name then
    self.skipped = not OWN_CLASSES[name]
    if not self.skipped then
      if line:match "^%-%-%-@class %S+$" then
        self.class = self:find_class(name)
      else
        self:line(line)
      end
    end
  elseif not self.skipped then
    self:line(line)
  end
end

--- A line of such a file: what is said of a function stands right above it.
function Reader:source_line(line, source)
  local owner, separator, name, parameters = line:match "^function (%a+)([.:])(%a[%w_]*)%((.-)%)"
  local made = line:match "^return function%((.-)%)" or line:match "^local function new%((.-)%)"
  local tag = line:match "^%-%-%-@(%a+)"
  if tag == "class" or tag == "field" then
    self:source_class(line)
  elseif tag and tags[tag] or not tag and line:find "^%-%-%- ?[^-@|]" then
    self:line(line)
  elseif not tag then
    local told = #self.text > 0
    if told and owner and source[owner] then
      self.class = self:find_class(source[owner])
      self:method(nil, separator .. name, parameters)
    elseif told and made and source.returns then
      self.class = self:find_class "chaski"
      self:method(nil, "." .. source.returns, made)
    end
    self:start()
  end
end

local function read_all()
  local reader = setmetatable({ classes = {}, aliases = {} }, Reader)
  for _, path in ipairs(FILES) do
    known_locals = {}
    reader:start()
    for line in read(path):gmatch "([^\n]*)\n" do
      reader:line(line)
    end
  end
  for _, source in ipairs(SOURCES) do
    known_locals = {}
    reader:start()
    for line in read("lua/chaski/" .. source.path):gmatch "([^\n]*)\n" do
      reader:source_line(line, source)
    end
  end
  return reader
end

-- --- writing ---------------------------------------------------------------------------------------------------------

local function code(text)
  return text == "" and "" or "`" .. text:gsub("|", "\\|") .. "`"
end

local function cell(text)
  return (text:gsub("|", "\\|"))
end

local function write_fields(out, fields)
  if #fields == 0 then return end
  out("| field | type | |\n|---|---|---|")
  for _, field in ipairs(fields) do
    out(("| `%s` | %s | %s |"):format(field.name, code(field.kind), cell(field.text)))
  end
  out ""
end

local function heading(method, class)
  local short = class.name:match "[%w_]+$"
  return ("### %s%s(%s)"):format(short, method.name, method.parameters)
end

local function write_method(out, method, class)
  out(heading(method, class))
  out ""
  if method.text ~= "" then out(method.text .. "\n") end
  for _, param in ipairs(method.params) do
    out(("- `%s`: %s%s"):format(param.name, code(param.kind), param.text ~= "" and ", " .. param.text or ""))
  end
  for _, each in ipairs(method.returns) do
    out("- returns " .. code(each))
  end
  for _, each in ipairs(method.overloads) do
    out("- also " .. code(each))
  end
  out ""
end

local function write_class(out, class)
  out(("## %s"):format(class.name))
  out ""
  if class.text ~= "" then out(class.text .. "\n") end
  local parent = class.parent or ""
  if parent ~= "" then out((parent:find "^{" and "`%s`, with:\n" or "All of `%s`, and:\n"):format(parent)) end
  write_fields(out, class.fields)
  for _, method in ipairs(class.methods) do
    write_method(out, method, class)
  end
end

local function write_alias(out, alias)
  out(("## %s"):format(alias.name))
  out ""
  if alias.kind ~= "" then out(code(alias.kind) .. "\n") end
  if #alias.values == 0 then return end
  out("| value | |\n|---|---|")
  for _, each in ipairs(alias.values) do
    out(("| `%s` | %s |"):format(each.name, cell(each.text)))
  end
  out ""
end

local function reference()
  local found, lines = read_all(), {}
  local function out(text)
    lines[#lines + 1] = text
  end
  out "# Reference"
  out ""
  out "Made by `scripts/reference.lua` of what editors read too: `lua/chaski/meta.lua`, `lua/chaski/meta_tls.lua`, and"
  out "the annotations of what is written in Lua."
  out "A `?` after a type: it may be left out, or is nil."
  out ""
  for _, class in ipairs(found.classes) do
    write_class(out, class)
  end
  for _, alias in ipairs(found.aliases) do
    write_alias(out, alias)
  end
  return (table.concat(lines, "\n"):gsub("\n\n\n+", "\n\n"):gsub("\n*$", "\n"))
end

-- --- the program -----------------------------------------------------------------------------------------------------

local text = reference()
if arg[1] == "--check" then
  local file = io.open(TARGET)
  local now = file and file:read "a"
  if file then file:close() end
  if now == text then return end
  io.stderr:write(TARGET, " is not what scripts/reference.lua makes; run it\n")
  os.exit(1)
end
local file = assert(io.open(TARGET, "w"))
assert(file:write(text))
assert(file:close())
