-- docs/guide.md: every command in it is typed into a shell, in order, and what the guide shows is what comes.
-- SPDX-License-Identifier: MIT
local Terminal = require "spec.host.terminal"
local chaski = require "chaski"
local helper = require "spec.helper"
local uv = require "luv"

local SECONDS = 60

--- The blocks of the guide: { kind = "sh" | "text" | "lua", text =, name = of the file that a lua block is to be }.
local function blocks()
  local file <close> = assert(io.open "docs/guide.md")
  local list, open, name = {}, nil, nil
  for line in file:lines() do
    if open and line == "```" then
      list[#list + 1], open = open, nil
    elseif open then
      open.text = open.text .. line .. "\n"
    else
      name = line:match "`([%w_]+%.lua)`" or name
      local kind = line:match "^```(%a+)$"
      if kind then open = { kind = kind, text = "", name = name } end
    end
  end
  return list
end

--- The guide's ports are others here, where several may run at once.
local function with_ports(ports)
  return function(text)
    return (text:gsub("%f[%d]85[01][01]%f[%D]", ports))
  end
end

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
end

--- What comes must have each of these lines, in any order, as some are of other processes; … stands for anything.
local function expect(terminal, from, text)
  for line in text:gmatch "[^\n]+" do
    local pattern = line:gsub("[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0"):gsub("…", "[^\n]*")
    terminal.process:until_(function()
      return Terminal.visible(terminal.process.out):find(pattern, from) or terminal.process.over
    end, ("no '%s'"):format(line))
  end
end

local function follow(terminal, home)
  local place = with_ports { ["8500"] = chaski.get_free_port(), ["8511"] = chaski.get_free_port() }
  local from = 1 -- what the block that was typed last has printed begins here
  for _, block in ipairs(blocks()) do
    if block.kind == "lua" then
      write(home .. "/mesh/" .. block.name, place(block.text))
    elseif block.kind == "text" then
      expect(terminal, from, place(block.text))
    else
      from = #Terminal.visible(terminal.process.out)
      terminal:type(place(block.text) .. "echo over$((1))\n")
      terminal:shows "over1\n"
    end
  end
end

describe("docs/guide.md", function()
  it(
    "does what it says",
    helper.async(function()
      if helper.slowness > 3 then return pending "it builds the program that is delivered, not this one" end
      local home = assert(uv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/chaski-guide-XXXXXX"))
      assert(uv.fs_symlink(assert(uv.cwd()), home .. "/chaski-lua"))
      local env = { HOME = home, TERM = "dumb", LUA_PATH = false, LUA_CPATH = false }
      local terminal = Terminal.start({ "--norc", "--noprofile", "--noediting" }, env, "bash")
      local ok, err = pcall(function()
        terminal:type "set -P; cd; echo there$((1))\n"
        terminal:shows "there1\n"
        follow(terminal, home)
      end)
      terminal:type "exit\n"
      terminal.process:wait()
      helper.run({ "-rf", home }, { program = "rm" })
      if not ok then error(err, 0) end
    end, SECONDS)
  )
end)
