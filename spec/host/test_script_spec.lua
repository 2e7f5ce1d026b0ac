-- test_script_spec.lua: that scripts/test and .ci/run end with the status their closing line says. In a tree of its
-- own, with one C test and one spec file that pass or not. SPDX-License-Identifier: MIT
local helper = require "spec.helper"

local tree = [[
set -eu
root=$(mktemp -d "${TMPDIR:-/tmp}/chaski-tree-XXXXXX")
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/scripts" "$root/.ci" "$root/spec/lua"
cp scripts/test "$root/scripts"
[ -z "$STUB" ] || printf %s "$STUB" >"$root/scripts/test"
cp .ci/run "$root/.ci"
cp spec/output.lua "$root/spec"
cat >"$root/scripts/build" <<'END'
#!/bin/sh
folder=${0%/*}/../build/$2
mkdir -p "$folder"
echo 'add_test(core/tiny_test COMMAND_OF_C)' | sed "s/COMMAND_OF_C/$C_TEST/" >"$folder/CTestTestfile.cmake"
END
chmod +x "$root/scripts/build"
echo "it('holds', function() assert.equal(1, $SPEC) end)" >"$root/spec/lua/tiny_spec.lua"
"$root/$PROGRAM" "$@"
]]

--- run(program, with [, arguments...]) -> the ended process. with: c_test (a command), spec ("1" passes), stub (a
--- script in the place of scripts/test).
local function run(program, with, ...)
  local variables =
    { PROGRAM = program, C_TEST = with.c_test or "true", SPEC = with.spec or "1", STUB = with.stub or "" }
  local options = { program = "/bin/sh", timeout = 15, env = variables }
  return helper.run({ "-c", tree, "sh", ... }, options)
end

local function ends(expected, process)
  assert.equal(expected.line, process.out:match "([^\n]*)\n$", process.err)
  assert.equal(expected.code, process.code, process.out .. process.err)
end

if os.getenv "CHASKI_VALGRIND" or os.getenv "CHASKI_SANITIZE" then return end -- shells only: the same either way

describe("scripts/test", function()
  local function it_ends(name, expected, ...)
    local words = { ... }
    it(
      name,
      helper.async(function()
        ends(expected, run(table.unpack(words)))
      end, 20)
    )
  end

  it_ends(
    "ends with 0 when all passed",
    { code = 0, line = "3 passed, 0 failed" },
    "scripts/test",
    {},
    "--only",
    "tiny"
  )
  local one_in_c = { code = 1, line = "2 passed, 1 failed" }
  it_ends("ends with 1 when a C test failed", one_in_c, "scripts/test", { c_test = "false" }, "--only", "tiny")
  local one_spec = { code = 1, line = "1 passed, 2 failed" }
  it_ends("ends with 1 when a spec failed", one_spec, "scripts/test", { spec = "2" }, "--only", "tiny")
  it_ends("ends with 1 when none ran", { code = 1, line = "0 passed, 0 failed" }, "scripts/test", {}, "--only", "none")
end)

describe(".ci/run", function()
  local function it_ends(name, expected, line, code)
    local stub = ("#!/bin/sh\necho '%s'\nexit %d\n"):format(line, code)
    it(
      name,
      helper.async(function()
        ends(expected, run(".ci/run", { stub = stub }))
      end, 10)
    )
  end

  it_ends("adds up both runs", { code = 0, line = "6 passed, 0 failed" }, "3 passed, 0 failed", 0)
  it_ends("ends with 1 when tests failed", { code = 1, line = "4 passed, 2 failed" }, "2 passed, 1 failed", 1)
  local silent = { code = 1, line = "0 passed, 2 failed" }
  it_ends("ends with 1 when a run does not say how it went", silent, "3 passed", 0)
end)

describe("scripts/mutants.lua", function()
  it("knows where what it switches off stands now", function()
    local pipe <close> = assert(io.popen "scripts/mutants.lua --list 2>&1")
    local text = pipe:read "a"
    assert.is_true((pipe:close()), text)
    assert.is_true(select(2, text:gsub("\n", "\n")) >= 36)
  end)
end)
