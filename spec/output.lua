-- output.lua: busted's plain output, and after its summary one line for each test: "ok  FILE: NAME", or "not ok", or
-- "skipped". So that a run can say which checks it has made. SPDX-License-Identifier: MIT
local words = { success = "ok  ", pending = "skipped  " }

return function(options)
  local busted = require "busted"
  local handler = require "busted.outputHandlers.plainTerminal"(options)
  local lines = {}

  local function test_end(element, _, status)
    local file = element.trace and element.trace.short_src or "?"
    lines[#lines + 1] = ("%s%s: %s"):format(words[status] or "not ok  ", file, handler.getFullName(element))
    return nil, true
  end

  local function suite_end()
    io.write("\n", table.concat(lines, "\n"), "\n")
    io.flush()
    return nil, true
  end

  busted.subscribe({ "test", "end" }, test_end)
  busted.subscribe({ "suite", "end" }, suite_end)
  return handler
end
