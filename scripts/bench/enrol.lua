-- enrol.lua [NODES]: how long it takes from nothing, not even a CA, until NODES (50) nodes in one process have enrolled
-- and stand in a ring of mutual TLS, each having heard the others. Then a node is revoked, and all know it. Prints the
-- times. Its files are in a temporary folder, and go.
package.path = arg[0]:gsub("[^/]*$", "") .. "?.lua;" .. package.path
local chaski = require "chaski"
local uv = require "luv"

local count = require("usage").integers("scripts/bench/enrol.lua [NODES], at least 3", { { 50, 3 } })

local folder = assert(uv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/chaski-enrol-XXXXXX"))

local function remove(path)
  local scan = uv.fs_scandir(path)
  for name, kind in
    function()
      return uv.fs_scandir_next(scan)
    end
  do
    if kind == "directory" then
      remove(path .. "/" .. name)
    else
      uv.fs_unlink(path .. "/" .. name)
    end
  end
  uv.fs_rmdir(path)
end

local function wait_for(what, condition)
  local deadline = chaski.now() + 60
  while not condition() do
    if chaski.now() > deadline then error("it never came to be: " .. what) end
    chaski.sleep(0.005)
  end
end

--- fn(i) for each node, all at once.
local function all(fn)
  local tasks = {}
  for i = 1, count do
    tasks[i] = chaski.spawn(fn, i)
  end
  for _, task in ipairs(tasks) do
    assert(task:join(60))
  end
end

local before = chaski.now()
local function lap(text, ...)
  local now = chaski.now()
  print(("%-44s %8.3f s"):format(text:format(...), now - before))
  before = now
end

local function main()
  local began = before
  assert(chaski.ca.init { location = folder .. "/ca", mesh = "bench" })
  local ca = assert(chaski.ca { location = folder .. "/ca", tries = false })
  assert(ca:serve())
  lap "a CA is made, and serves"

  local nodes, heard = {}, 0
  all(function(i)
    nodes[i] = assert(chaski.node {
      request_ssl_certificate = assert(ca:invite { id = ("node-%d"):format(i) }),
      ssl_certificates_location = folder .. "/nodes",
      message_propagation = true,
    })
    nodes[i]:subscribe("hello", function()
      heard = heard + 1
    end)
  end)
  lap("%d nodes are invited and enrolled", count)

  all(function(i)
    assert(nodes[i]:connect(nodes[i % count + 1]))
  end)
  wait_for("the ring", function()
    for _, node in ipairs(nodes) do
      if #node.edges < 2 then return false end
    end
    return true
  end)
  lap("%d edges of mutual TLS", count)
  print(("%-44s %8.3f s"):format("from nothing to mutual TLS, in all", chaski.now() - began))

  nodes[1]:publish("hello", 1)
  wait_for("the greeting", function()
    return heard == count - 1
  end)
  lap "a message goes all the way round"

  ca:revoke "node-2"
  assert(nodes[1]:refresh_revocations())
  wait_for("the revocation", function()
    return not nodes[1]:is_connected_to(nodes[2]) and not nodes[3]:is_connected_to(nodes[2])
  end)
  lap("node-2 is revoked, and cut off from both sides (%d hops)", count - 2)
  for _, node in ipairs(nodes) do
    chaski.spawn(node.stop, node)
  end
  ca:close()
end

local ok, err = pcall(main)
remove(folder)
if not ok then error(err, 0) end
