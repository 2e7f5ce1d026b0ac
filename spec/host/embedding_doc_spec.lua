-- docs/embedding.md: the commands in it build the example with the libraries of the build, and it does what is shown.
-- SPDX-License-Identifier: MIT
local helper = require "spec.helper"

describe("docs/embedding.md", function()
  it(
    "shows how the example is built, and what it prints",
    helper.async(function()
      if helper.slowness > 3 then return pending "it links what is delivered; the sanitizers run embed/weather" end
      local file <close> = assert(io.open "docs/embedding.md")
      local commands, expected = file:read("a"):match "```sh\n(.-)```\n```text\n(.-)```"
      local script = helper.file(commands:gsub(" %-o weather", ' -o "$0.out"'):gsub("%./weather", '"$0.out"'), "embed")
      local process = helper.run({ "-e", script }, { program = "sh", timeout = 20, env = { LD_PRELOAD = false } })
      os.remove(script .. ".out")
      assert.equal("", process.err)
      assert.equal(expected, process.out)
      assert.equal(0, process.code)
    end, 30)
  )
end)

teardown(helper.clean)
