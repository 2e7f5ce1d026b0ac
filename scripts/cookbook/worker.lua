-- worker.lua NAME QUEUE [SECONDS]: does the jobs of queue.lua, one at a time; each takes so long (0.1). Ends with the
-- queue. Kill one at work, and another does its job.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"

local node = assert(chaski.node { name = arg[1], reconnect = false })
local queue = assert(node:connect(arg[2]))

local function work(text)
  chaski.sleep(tonumber(arg[3] or 0.1))
  return text:reverse()
end

while true do
  local job, err = node:request("take", nil, { edge = queue })
  if err then break end -- the queue has gone
  if job then
    node:request("done", { id = job.id, result = work(job.text) }, { edge = queue })
  else
    chaski.sleep(0.1) -- nothing to do at present
  end
end
node:stop()
