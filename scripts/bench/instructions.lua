-- instructions.lua RECORD [--record]: instructions a message, counted by callgrind, for what happens to each message,
-- and whether they are still what RECORD (a file) says. It does not time, so it may run on a busy machine: what is
-- counted is one process, while the others run as they are. A count is the difference of two runs with a different
-- number of messages, so that start and end do not matter. Exit 1 when one is above what was recorded by more than the
-- tolerance. SPDX-License-Identifier: MIT
local json = require "dkjson"
local uv = require "luv"

local here = arg[0]:match "^(.*)/"
package.path = here .. "/?.lua;" .. package.path
local processes = require "processes"

local SIZE = 64
local FEW, MANY = 10000, 60000
local TOLERANCE = 5 -- per cent: garbage collection and how the bytes were cut into reads vary by less than one

local path, recording = arg[1], arg[2] == "--record"
local folder = assert(uv.fs_mkdtemp((os.getenv "TMPDIR" or "/tmp") .. "/chaski-instructions-XXXXXX"))
local log = folder .. "/log"

local function command(counted, role, options)
  local words = { uv.exepath(), here .. "/roles.lua", role }
  for name, value in pairs(options) do
    words[#words + 1] = ("%s=%s"):format(name, value)
  end
  if not counted then return words end
  local tool = { "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-file=" .. log }
  return table.move(words, 1, #words, #tool + 1, tool)
end

--- Messages go from pub (through relay) to sub.
local function stream(case, start, messages)
  local options = { payload = case.payload, size = SIZE, seconds = 600, messages = messages }
  local to = start("pub", "pub", options)
  if case.counted == "relay" then to = start("relay", "relay", { to = to }) end
  start("sub", case.sub or "sub", { to = to, payload = case.payload })
  return "pub", "sent", "sub"
end

--- Requests go from one to another, as many under way at once as in the case request/64 of scripts/bench/run.
local function trips(_, start, messages)
  local to = start("serve", "serve", {})
  start("request", "request", { to = to, size = SIZE, seconds = 600, tasks = 64, messages = messages })
  return "request", nil, "request"
end

--- Instructions of the process in the role `counted` while so many messages go.
local function instructions(case, messages)
  local members = {}
  local function start(role, program, options)
    members[role] = processes.start(command(case.counted == role, program, options))
    return members[role]:line("ready").first
  end
  local going, sent, ending = (case.play or stream)(case, start, messages)
  members[going]:go()
  if sent then members[going]:line(sent) end
  members[ending]:line "result"
  members[case.counted]:stop "sigterm"
  for _, each in pairs(members) do
    each:stop()
  end
  for line in io.lines(log) do
    local count = line:match "Collected : (%d+)"
    if count then return tonumber(count) end
  end
  error "instructions: callgrind has counted nothing"
end

local cases = {
  { name = "decode", text = "received, no handler", counted = "sub", sub = "sink", payload = "table" },
  { name = "dispatch", text = "received by a Lua handler that reads a field", counted = "sub", payload = "table" },
  { name = "dispatch_string", text = "the same, a string", counted = "sub", payload = "string" },
  { name = "encode", text = "a table published to one edge", counted = "pub", payload = "table" },
  { name = "encode_string", text = "the same, a string", counted = "pub", payload = "string" },
  { name = "relay", text = "passed on by a node that does not subscribe", counted = "relay", payload = "table" },
  { name = "request", text = "asked of a peer, and answered by it", counted = "request", play = trips },
  { name = "serve", text = "a request answered by a Lua function", counted = "serve", play = trips },
}

local function read_record()
  local file = io.open(path)
  local text = file and file:read "a" or "{}"
  if file then file:close() end
  return json.decode(text).instructions or {}
end

local function write_record(counted)
  local order = { "tolerance_percent", "instructions" }
  for _, case in ipairs(cases) do
    order[#order + 1] = case.name
  end
  local file = assert(io.open(path, "w"))
  local all = { tolerance_percent = TOLERANCE, instructions = counted }
  file:write(json.encode(all, { indent = true, keyorder = order }), "\n")
  file:close()
end

local recorded, counted, worse = read_record(), {}, 0

print(("%-16s %8s %9s %8s"):format("a message", "counted", "recorded", "change"))
for _, case in ipairs(cases) do
  local n = (instructions(case, MANY) - instructions(case, FEW)) / (MANY - FEW)
  counted[case.name] = math.floor(n + 0.5)
  local before = recorded[case.name]
  local change = before and 100 * (n / before - 1)
  local verdict = case.text
  if not before then
    verdict = verdict .. ": NOT RECORDED"
  elseif change > TOLERANCE then
    verdict = verdict .. ": MORE THAN RECORDED"
  elseif change < -TOLERANCE then
    verdict = verdict .. ": less: record it (--record)"
  end
  if not before or change > TOLERANCE then worse = worse + 1 end
  local shown = change and ("%+.1f %%"):format(change) or ""
  print(("%-16s %8.0f %9s %8s  %s"):format(case.name, n, before or "", shown, verdict))
  io.flush()
end
uv.fs_unlink(log)
uv.fs_rmdir(folder)
if recording then write_record(counted) end
os.exit((recording or worse == 0) and 0 or 1, true)
