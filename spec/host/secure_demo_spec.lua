-- secure_demo_spec.lua: scripts/secure_demo as a program: what it shows, that it ends, and what it leaves behind.
-- SPDX-License-Identifier: MIT
local helper = require "spec.helper"
local uv = require "luv"

if os.getenv "CHASKI_VALGRIND" then return end -- it builds and runs the release

local SECONDS = 60

local function run(arguments, folder)
  local env = { TMPDIR = folder, CHASKI_LUA = helper.program, LD_PRELOAD = false }
  return helper.run(arguments, { program = "scripts/secure_demo", env = env, timeout = SECONDS })
end

local function in_folder(body)
  return helper.async(function()
    local folder = assert(uv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/chaski-spec-XXXXXX"))
    local ok, err = pcall(body, folder)
    local empty = uv.fs_rmdir(folder)
    if not ok then error(err, 0) end
    assert.is_true(empty, "files are left in " .. folder)
  end, SECONDS)
end

--- Processes whose arguments name the folder.
local function processes_in(folder)
  local found, scan = {}, uv.fs_scandir "/proc"
  for name in
    function()
      return uv.fs_scandir_next(scan)
    end
  do
    local file = name:find "^%d+$" and io.open("/proc/" .. name .. "/cmdline", "rb")
    local line = file and file:read "a" or ""
    if file then file:close() end
    if line:find(folder, 1, true) then found[#found + 1] = line:gsub("%z", " ") end
  end
  return found
end

describe("scripts/secure_demo", function()
  it(
    "goes from nothing to a mesh of mutual TLS, and leaves nothing behind",
    in_folder(function(folder)
      local ended = run({}, folder)
      assert.equal(0, ended.code, ended.out .. ended.err)
      assert.equal("", ended.err)
      local expected = {
        "the CA of the mesh home is in DIR/ca",
        "%[hub%] enrolled as chaski://home/hub",
        "%[wall%] mutual TLS with hub",
        "%[sensor%] publishing to 'secrets': .*not allowed",
        "%[wall%] 'weather' by way of hub: 21.5 degrees",
        "%[stranger%] node:connect",
        "%[hub%] the edge to sensor has ended: certificate",
        "revoked +sensor",
        "All processes have left",
      }
      for _, each in ipairs(expected) do
        assert.matches(each, ended.out)
      end
      assert.not_matches("connected!", ended.out)
      assert.same({}, processes_in(folder))
    end)
  )

  it(
    "tells how it is used, and takes no arguments",
    in_folder(function(folder)
      local help = run({ "--help" }, folder)
      assert.equal(0, help.code)
      assert.matches("usage: scripts/secure_demo", help.out)
      for _, arguments in ipairs { { "--secnds", "3" }, { "x" }, { "" } } do
        local ended = run(arguments, folder)
        assert.equal(2, ended.code)
        assert.equal("", ended.out)
        assert.matches("secure_demo: unknown argument", ended.err)
      end
    end)
  )

  it(
    "fails, and tells why, when the program does",
    in_folder(function(folder)
      local env = { TMPDIR = folder, CHASKI_LUA = "/bin/false", LD_PRELOAD = false }
      local ended = helper.run({}, { program = "scripts/secure_demo", env = env, timeout = SECONDS })
      assert.equal(1, ended.code)
      assert.matches("secure_demo: the CA was not made", ended.err)
    end)
  )
end)
