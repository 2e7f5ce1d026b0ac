#!/usr/bin/env lua5.4
-- mutants.lua: shows that the tests can fail. One defence after another is switched off in a copy of the tree
-- (build/mutants), by an edit of the source, so that nothing in what is delivered knows of it; then the test that is
-- there for that defence must fail.
-- SPDX-License-Identifier: MIT
local usage = "usage: scripts/mutants.lua [NAME...] [--list] [--help]"

local function core(subject)
  return { target = "core_" .. subject .. "_test", test = "core/" .. subject .. "_test" }
end

local function spec(name)
  return { target = "chaski", test = "spec/lua/" .. name .. "_spec.lua" }
end

-- name, file, what stands there, what stands there instead, and the test that must fail
local mutants = {
  {
    "frame length",
    "src/core/frame.c",
    "> d->topic_max || header_data(header) > d->data_max",
    "> d->topic_max",
    core "frame",
  },
  { "topic length", "src/core/frame.c", "header_topic(header) > d->topic_max || ", "", core "frame" },
  {
    "depth of data",
    "src/lua/unpack.c",
    "r->depth == r->opt.depth",
    "r->depth == CHASKI_CODEC_DEPTH_MAX",
    spec "codec",
  },
  {
    "count of elements",
    "src/lua/unpack.c",
    "n > r->opt.count - r->count",
    "n > UINT32_MAX - r->count",
    spec "codec",
  },
  {
    "number keys of maps",
    "src/lua/unpack.c",
    "r->number_keys++ == r->opt.number_keys",
    "r->number_keys++ == UINT32_MAX",
    spec "codec",
  },
  {
    "state before the handshake",
    "src/core/receive.c",
    'chaski__link_fail(link, CHASKI_EPROTOCOL, "a command before the handshake");',
    "link->node->counters.ignored++;",
    core "badinput",
  },
  {
    "deadline of the handshake",
    "src/core/link.c",
    'chaski__link_fail(link, CHASKI_EHANDSHAKE, "");',
    "chaski__link_forgive(link);",
    core "badinput",
  },
  { "deadline of a frame", "src/core/link.c", "return CHASKI_EFRAME;", "return CHASKI_OK;", core "badinput" },
  {
    "pending connections",
    "src/core/node.c",
    "node->pending > node->limits.pending_max",
    "node->pending > SIZE_MAX - 1",
    core "badinput",
  },
  {
    "waiting when all queues are behind",
    "src/core/overflow.c",
    "if (held(loop) > loop->queue_total / 2)",
    "if (held(loop) > SIZE_MAX - 1)",
    core "overflow",
  },
  {
    "window of duplicates",
    "src/core/receive.c",
    "return seen == CHASKI_NEW;",
    "return seen <= CHASKI_STALE;",
    core "propagation",
  },
  { "bound of origins", "src/core/shelf.c", "shelf->count > shelf->max", "shelf->count > SIZE_MAX - 1", core "pool" },
  {
    "share of one edge in the pool",
    "src/core/shelf.c",
    "source->count > shelf->quota",
    "source->count > SIZE_MAX - 1",
    core "pool",
  },
  {
    "clamp of the ttl",
    "src/core/message.c",
    "ttl > CHASKI_TTL_MAX ? CHASKI_TTL_MAX : ttl",
    "ttl > 255 ? 255 : ttl",
    core "message",
  },
  {
    "dials of discovery",
    "lua/chaski/discovery/guard.lua",
    'return discovery.dials:take "dials"',
    "return true",
    spec "guard",
  },
  {
    "answers to datagrams",
    "lua/chaski/status.lua",
    'local most = type(data.pad) == "string" and size or AMPLIFICATION * size',
    "local most = 1200 + 0 * size * AMPLIFICATION",
    spec "status",
  },
  {
    "hard mark of queues",
    "src/core/send.c",
    "return link->out.bytes + len > link->node->limits.queue_hard;",
    "return len > UINT32_MAX && link->failure;",
    core "queue",
  },
  {
    "bound of all queues",
    "src/core/overflow.c",
    "return loop->list && held",
    "return !loop && held",
    core "overflow",
  },
  {
    "balance of what is dropped for newer",
    "src/core/overflow.c",
    "node->counters.queue_dropped += done.frames;",
    "",
    core "overflow",
  },
  {
    "counts of acks behind what is dropped",
    "src/core/overflow.c",
    "chaski__outbox_fresh(&link->out, recount, &before);",
    "",
    core "overflow",
  },
  {
    "what may have reached the peer",
    "src/core/overflow.c",
    "d.skip = before > s->acked ? before - s->acked : 0;",
    "d.skip = before > UINT64_MAX - 1;",
    core "overflow",
  },
  {
    "longest topic of a peer",
    "src/core/send.c",
    "(edge->topic_max && get32(frame + 4) > edge->topic_max)",
    "false",
    core "limit_hits",
  },
  {
    "edges of one address",
    "src/core/edge.c",
    ">= node->limits.edges_per_ip",
    "> SIZE_MAX - 1",
    core "limit_hits",
  },
  {
    "rate of requests",
    "src/lua/serve.c",
    "else if (!take_of_rate(L, c))",
    "else if (false)",
    spec "limits",
  },
  {
    "rate of discoveries",
    "lua/chaski/discovery/guard.lua",
    "if core.node_state(node).discovery.rates:take(edge.number) then return true end",
    "do return true end",
    spec "limits",
  },
  -- beyond the fifteen: what resuming stands on
  {
    "counts of an ack",
    "src/core/session.c",
    "f[F_ACK_TX].value.u != link->session->rx || !confirm",
    "!confirm",
    core "session",
  },
  {
    "bound of what is kept",
    "src/core/session.c",
    "s->kept.frames >= s->frames_max;",
    "s->kept.frames == UINT64_MAX;",
    core "session",
  },
  {
    "only one connection resumes",
    "src/core/session.c",
    "if (s->rx != link->terms->told || ",
    "if (",
    core "resume_sim",
  },
  {
    "order of resending",
    "src/core/session.c",
    "if (!chaski__outbox_copy(&link->out, &s->kept)) return CHASKI_ENOMEM;",
    "",
    core "resume_sim",
  },
  {
    "name of a session that begins anew",
    "src/core/session.c",
    "t->renamed = !t->resume;",
    "t->renamed = false;",
    core "session",
  },
  {
    "who was to resume is not read on",
    "src/core/handshake.c",
    "if (link->terms->resume && link->sent_back)",
    "if (link->terms->resume && !link->sent_back)",
    core "session",
  },
  { "pings are no progress", "src/core/link.c", "if (link->backlog) link->progress", "link->progress", core "queue" },
  {
    "the last acknowledgement",
    "src/core/link.c",
    "if (link->session && !link->ended && !link->parting) return;",
    "",
    core "session",
  },
  { "rate of pings", "src/core/ping.c", "from - now >= 2 * CHASKI_S", "from == now + 1", core "limit_hits" },
  {
    "who takes messages is alone",
    "src/core/receive.c",
    "r->sub && only_one(r->topic) == r->sub && ",
    "r->sub && ",
    core "next_message",
  },
  {
    "what is taken was not seen before",
    "src/core/receive.c",
    "!is_new(r->link, m)) continue;",
    "false) continue;",
    core "next_message",
  },
}

local function fail(...)
  io.stderr:write("scripts/mutants.lua: ", string.format(...), "\n")
  os.exit(1)
end

local function read(path)
  local file = io.open(path, "rb") or fail("cannot read %s", path)
  local text = file:read "a"
  file:close()
  return text
end

local function write(path, text)
  local file = io.open(path, "wb") or fail("cannot write %s", path)
  file:write(text)
  file:close()
end

local root = arg[0]:gsub("[^/]*$", "") .. ".."
local wanted, listing = {}, false
for _, word in ipairs(arg) do
  if word == "--help" or word == "-h" then
    print(usage .. "\n\nExit: 0 every mutant was found, 1 one was not, 2 wrong usage.")
    os.exit(0)
  elseif word == "--list" then
    listing = true
  elseif word:sub(1, 1) == "-" then
    io.stderr:write(usage, "\n")
    os.exit(2)
  else
    wanted[#wanted + 1] = word
  end
end

local function chosen(name)
  for _, word in ipairs(wanted) do
    if name:find(word, 1, true) then return true end
  end
  return #wanted == 0
end

--- Where what is edited stands in the text; else, or if it stands there twice, the end.
local function place(m, text)
  local from, to = text:find(m[3], 1, true)
  if from and not text:find(m[3], to + 1, true) then return from, to end
  fail("%s: %q does not stand once in %s", m[1], m[3], m[2])
end

if listing then
  for _, m in ipairs(mutants) do
    place(m, read(root .. "/" .. m[2]))
    print(string.format("%-32s %-34s %s", m[1], m[2], m[5].test))
  end
  os.exit(0)
end

local tree = "build/mutants/tree"
local shell = "cd '" .. root .. "' && "
if not os.execute(shell .. "mkdir -p " .. tree) then fail "cannot make build/mutants" end

-- From here on everything is relative to the tree's root.
local function at(format, ...)
  return string.format(shell .. format, ...)
end

local function run(format, ...)
  return (os.execute(at("(" .. format .. ") >build/mutants/log 2>&1", ...)))
end

local function show_log()
  os.execute(at "tail -30 build/mutants/log >&2")
end

-- tar keeps the times, so that a second run builds little
local copied =
  run("rm -rf %s && mkdir -p %s && tar --exclude=./build --exclude=./.git -cf - . | tar -xf - -C %s", tree, tree, tree)
local edited = root .. "/build/mutants/edited"
if run "test -f build/mutants/edited" then
  run("touch %s/%s", tree, read(edited)) -- what was built of it must be built again
  os.remove(edited)
end
local generator = run "command -v ninja" and "-G Ninja" or ""
local configured = copied
  and run(
    "cmake -S %s -B build/mutants/build $( [ -f build/mutants/build/CMakeCache.txt ] || echo '%s' ) "
      .. "-DCMAKE_BUILD_TYPE=Release -DCHASKI_LTO=OFF -DCHASKI_WERROR=OFF -DCHASKI_TESTS=ON",
    tree,
    generator
  )
if not configured then
  show_log()
  fail "the copy could not be configured"
end

local function build(target)
  return run("cmake --build build/mutants/build --target %s --parallel 2", target)
end

local function passes(test)
  if test:find "^core/" then return run("cd %s && timeout -k 5 120 ../build/spec/%s", tree, test) end
  return run(
    "cd %s && export LUA_PATH='lua/?.lua;lua/?/init.lua;?.lua;;' LUA_CPATH='../build/lib/lua/5.4/?.so;;' "
      .. "CHASKI_LUA=$PWD/../build/bin/chaski-lua LC_ALL=C.UTF-8 && "
      .. "timeout -k 5 240 lua5.4 /usr/bin/busted --no-keep-going -o spec/output.lua %s",
    tree,
    test
  )
end

local function line_of_log(filter)
  local pipe <close> = io.popen(at("%s", filter))
  return pipe:read "l"
end

local function first_failure(test)
  local pattern = test:find "^core/" and "'^\\[  FAILED  \\] [a-z]'" or "'^(not ok|error)'"
  local line = line_of_log("grep -hE " .. pattern .. " build/mutants/log | head -1")
  if not line then -- a signal, or a limit of time
    local last = line_of_log "sed -n 's/^\\[ RUN  *\\] //p' build/mutants/log | tail -1"
    line = "no end, or a bad one, of " .. (last or test)
  end
  return (line:gsub("^%[  FAILED  %] ", ""):gsub("^not ok +", ""):gsub("%s+", " "):sub(1, 100))
end

-- The tests pass without an edit; else their failing would say nothing.
local sound = {}
local function is_sound(want)
  if sound[want.test] == nil then sound[want.test] = build(want.target) and passes(want.test) end
  return sound[want.test]
end

local survivors, count = 0, 0
for _, m in ipairs(mutants) do
  local name, file, _, new, want = table.unpack(m)
  if chosen(name) then
    count = count + 1
    local path = root .. "/" .. tree .. "/" .. file
    local text = read(path)
    local from, to = place(m, text)
    if not is_sound(want) then
      show_log()
      fail("%s fails as it is", want.test)
    end
    write(edited, file) -- for the next run, whose copy is older than what is built here
    write(path, text:sub(1, from - 1) .. new .. text:sub(to + 1))
    local built = build(want.target)
    local survived = built and passes(want.test)
    if not built then show_log() end
    local verdict = not built and "DOES NOT BUILD" or survived and "NOT FOUND" or first_failure(want.test)
    if survived or not built then survivors = survivors + 1 end
    print(string.format("%-32s -> %-28s %s", name, want.test, verdict))
    io.stdout:flush()
    write(path, text)
  end
end
print(string.format("%d defences switched off, %d found, %d not", count, count - survivors, survivors))
os.exit(survivors == 0 and count > 0)
