-- queue.lua [PORT] < JOBS: a work queue with acknowledgement. Each line is a job. A worker (worker.lua) takes one and
-- has to say within some seconds that it is done; else, or when it goes, another gets it. Ends when all are done.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"

local LEASE = 5 -- seconds for a job
local queue = assert(chaski.node { name = "queue", port = tonumber(arg[1] or 0) })
local waiting, taken, count, finished = {}, {}, 0, 0

queue:serve("take", function(_, worker)
  local job = table.remove(waiting, 1)
  if not job then return nil end
  taken[job.id], job.worker, job.due = job, worker, chaski.now() + LEASE
  return { id = job.id, text = job.text }
end)
queue:serve("done", function(answer, worker)
  local job = taken[answer.id]
  if not job or job.worker ~= worker then return false end -- too late: it is another's by now
  taken[answer.id], finished = nil, finished + 1
  print(("%s: %s (%s)"):format(job.text, answer.result, worker.name))
  return true
end)

print("queue listens at " .. queue.address)
for line in chaski.lines() do
  count = count + 1
  table.insert(waiting, { id = count, text = line })
end
while finished < count do
  chaski.sleep(0.1)
  for id, job in pairs(taken) do
    if chaski.now() > job.due or not job.worker.live then
      taken[id] = nil
      table.insert(waiting, 1, job)
    end
  end
end
queue:stop()
