-- What is delivered: the Debian package unpacked into an empty prefix, and the rock in a tree of its own, run
-- without the source; with scripts/test --full also installed in a clean Debian, and removed.
-- SPDX-License-Identifier: MIT
local helper = require "spec.helper"
local uv = require "luv"

local full = os.getenv "CHASKI_FULL"
local folder, package_file

local function run(program, args, options)
  options = options or {}
  options.program, options.timeout = program, options.timeout or 60
  options.env = options.env or {}
  for _, name in ipairs { "LUA_PATH", "LUA_CPATH", "LD_PRELOAD", "CHASKI_LUA" } do
    if options.env[name] == nil then options.env[name] = false end
  end
  local process = helper.run(args, options)
  if process.code ~= 0 then error(("%s: %d\n%s%s"):format(process.name, process.code, process.out, process.err), 2) end
  return process.out
end

local function it_async(name, test, seconds)
  it(
    name,
    helper.async(function()
      if helper.slowness > 3 then return pending "it is about what is delivered, not about builds that watch" end
      return test()
    end, seconds)
  )
end

--- The Debian package of the release build, made once.
local function debian_package()
  if package_file then return package_file end
  local made = run("cpack", { "--config", "build/release/CPackConfig.cmake", "-G", "DEB", "-B", folder .. "/deb" })
  package_file = assert(made:match "package: (%S+%.deb) generated")
  return package_file
end

setup(function()
  folder = assert(uv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/chaski-package-XXXXXX"))
end)

teardown(function()
  helper.clean()
  os.execute(("rm -rf %s"):format(folder))
end)

local script = [[
local chaski = require "chaski"
local where = package.searchpath("chaski", package.path)
chaski.run(function()
  local wall = assert(chaski.node { name = "wall", subscriptions = "weather" })
  local sensor = assert(chaski.node { name = "sensor" })
  assert(sensor:connect(wall))
  local messages = wall:messages "weather"
  assert(sensor:publish("weather", 21.5))
  print(messages().data, where, chaski.version)
  sensor:stop()
  wall:stop()
end)
]]

local function version()
  local file <close> = assert(io.open "CMakeLists.txt")
  return file:read("a"):match "\n%s+VERSION (%S+)"
end

describe("the Debian package", function()
  it_async("runs from an empty prefix, demo and all, and says what it needs", function()
    if os.execute "command -v cpack dpkg-deb >/dev/null" == nil then return pending "no cpack, or no dpkg-deb" end
    local file, prefix = debian_package(), folder .. "/root"
    run("dpkg-deb", { "-x", file, prefix })
    local program = prefix .. "/usr/bin/chaski-lua"
    local expected = ("21.5\t%s/usr/share/lua/5.4/chaski/init.lua\t%s\n"):format(prefix, version())
    assert.equal(expected, run(program, { helper.file(script) }))
    assert.matches("^Usage: chaski ", run(prefix .. "/usr/bin/chaski", { "--help" }))
    local demo = run("scripts/demo", { "--seconds", "1" }, { env = { CHASKI_LUA = program } })
    assert.matches("all 4 processes have left in good order\n$", demo)
    local control = run("dpkg-deb", { "-f", file })
    assert.matches("Version: " .. version():gsub("%p", "%%%0"), control)
    for _, name in ipairs { "libuv1", "libmpack0", "libssl3", "libedit2", "lua%-luv", "lua%-argparse" } do
      assert.matches("Depends:[^\n]*" .. name, control)
    end
  end, 60)

  it_async("installs in a clean Debian, runs both demos there, and leaves nothing when it is removed", function()
    if not full then return pending "only with scripts/test --full: it fetches a Debian" end
    if uv.getuid() ~= 0 then return pending "needs root" end
    if os.execute "command -v debootstrap >/dev/null" == nil then return pending "no debootstrap" end
    local out = run("spec/host/clean_root.sh", { debian_package(), folder .. "/clean" }, { timeout = 600 })
    print(out)
    assert.matches("^installed: chaski%-lua " .. version():gsub("%p", "%%%0") .. ", %d%d+ files\n", out)
    assert.matches("\ndemo: all 4 processes have left in good order\n", out)
    assert.matches("\nsecure demo: All processes have left", out)
    assert.matches("\nleft: 0 files, 0 packages\n$", out)
  end, 620)
end)

describe("the rock", function()
  it_async("gives a stock lua5.4 the module, and the programs", function()
    if not full then return pending "only with scripts/test --full: it builds everything once more" end
    if os.execute "command -v luarocks >/dev/null" == nil then return pending "no luarocks" end
    local tree = folder .. "/tree"
    run("luarocks", { "--lua-version", "5.4", "--tree", tree, "make" }, { timeout = 600 })
    local env = {
      LUA_PATH = tree .. "/share/lua/5.4/?.lua;" .. tree .. "/share/lua/5.4/?/init.lua;;",
      LUA_CPATH = tree .. "/lib/lua/5.4/?.so;;",
    }
    local expected = ("21.5\t%s/share/lua/5.4/chaski/init.lua\t%s\n"):format(tree, version())
    assert.equal(expected, run("lua5.4", { helper.file(script) }, { env = env }))
    assert.matches(version(), run(tree .. "/bin/chaski-lua", { "--version" }))
    run("luarocks", { "--lua-version", "5.4", "--tree", tree, "remove", "chaski-lua" })
    assert.is_nil(uv.fs_lstat(tree .. "/share/lua/5.4/chaski"))
    assert.is_nil(uv.fs_lstat(tree .. "/bin/chaski-lua"))
  end, 620)
end)
