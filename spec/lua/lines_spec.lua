-- chaski.lines: lines of pipes and files while other tasks go on. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local core = require "chaski.core"
local helper = require "spec.helper"
local uv = require "luv"

--- Two ends of a pipe: a file descriptor to read, and a stream to write.
local function pipe()
  local fds = assert(uv.pipe({}, {}))
  local write = uv.new_pipe(false)
  assert(write:open(fds.write))
  return fds.read, write
end

local function it_async(name, test)
  it(name, helper.async(test))
end

teardown(helper.clean)

describe("chaski.lines", function()
  it_async("gives lines as they come, and the last one without an end", function()
    local fd, write = pipe()
    local lines, got = chaski.lines(fd), {}
    local task = chaski.spawn(function()
      for line in lines do
        got[#got + 1] = line
        if #got == 2 then core.spawn(write.write, write, "ree\n\nfour") end
        if #got == 4 then break end
      end
    end)
    write:write "one\ntwo\nth"
    helper.eventually(function()
      return #got >= 4 or got[4]
    end)
    write:close()
    assert(task:join())
    assert.same({ "one", "two", "three", "" }, got)
    assert.equal("four", lines:read())
    assert.is_nil(lines:read())
  end)

  it_async("waits no longer than it is told, and goes on where it was", function()
    local fd, write = pipe()
    local lines <close> = chaski.lines(fd)
    local line, err = lines:read(0.001)
    assert.is_nil(line)
    assert.equal("timeout", err.code)
    write:write "later\n"
    assert.equal("later", lines:read())
    write:close()
  end)

  it_async("gives all that is left at once", function()
    local fd, write = pipe()
    local lines = chaski.lines(fd)
    write:write "first\nrest\nand more\n"
    write:close()
    assert.equal("first", lines:read())
    assert.equal("rest\nand more\n", lines:read_all())
    assert.equal("", lines:read_all())
  end)

  it_async("reads files, also long ones and empty ones", function()
    local long = ("x"):rep(200000)
    local file = assert(io.open(helper.file("a\n" .. long .. "\nb", "lines")))
    local fd = assert(uv.fs_open(helper.folder .. "/lines", "r", 0))
    local lines = chaski.lines(fd)
    assert.equal("a", lines:read())
    assert.is_true(lines:read() == long)
    assert.equal("b", lines:read())
    assert.is_nil(lines:read())
    uv.fs_close(fd)
    file:close()
  end)

  it_async("is for one task at a time", function()
    local fd, write = pipe()
    local lines <close> = chaski.lines(fd)
    local task = chaski.spawn(lines.read, lines)
    assert.has_error(function()
      lines:read()
    end, "lines: another task reads")
    task:cancel()
    write:close()
  end)

  it("raises for what is no file", function()
    assert.has_error(function()
      chaski.lines "x"
    end, "lines: expected the number of an open file")
  end)
end)
