-- top.lua: chaski top: the edges and counters of a node, again and again: on a terminal a view that renews itself, in a
-- pipe a table each interval. SPDX-License-Identifier: MIT
local chaski = require "chaski"
local convert = require "chaski.cli.convert"
local data = require "chaski.cli.data"
local session = require "chaski.cli.session"
local status = require "chaski.cli.status"
local uv = require "luv"

local M = { summary = "Watch the edges and counters of a node." }

M.epilog = [[
The node needs the option introspect = true. Ends at Ctrl-C, or after -n tables.]]

function M.define(command)
  command
    :option("--interval", "Time from one to the next.")
    :argname("TIME")
    :convert(convert.seconds "--interval")
    :default "1s"
  command:option("-n --count", "End after so many."):argname("COUNT"):convert(convert.count("-n", 1))
  session.add_timeout(command, "How long to wait for each answer.", "5s")
  session.add_json(command)
  session.add_connection(command)
end

-- --- rates -----------------------------------------------------------------------------------------------------------

local names = { "frames_in", "frames_out", "bytes_in", "bytes_out" }

--- What an edge did a second since the last time; its own counters over its life tell nothing of now.
local function rates_of(edge, last, seconds)
  local rates = {}
  for _, name in ipairs(names) do
    local before = last and last[edge.number] and last[edge.number][name]
    rates[name] = before and seconds > 0 and (edge.counters[name] - before) / seconds or 0
  end
  return rates
end

local counters = {
  "published",
  "delivered",
  "relayed",
  "duplicates",
  "no_interest",
  "dropped",
  "lost",
  "forbidden",
  "malformed",
}

--- Adds to what the node told: rate of each edge, and of each counter.
local function add_rates(told, last)
  local seconds = last and told.uptime - last.uptime or 0
  local by_number = {}
  for _, edge in ipairs(last and last.edges or {}) do
    by_number[edge.number] = edge.counters
  end
  for _, edge in ipairs(told.edges) do
    edge.rates = rates_of(edge, by_number, seconds)
  end
  told.rates = {}
  for _, name in ipairs(counters) do
    local before = last and last.ledger[name]
    told.rates[name] = before and seconds > 0 and ((told.ledger[name] or 0) - before) / seconds or 0
  end
end

-- --- the table -------------------------------------------------------------------------------------------------------

local function bytes(n)
  for _, unit in ipairs { "B", "K", "M", "G" } do
    if n < 10000 then return ("%.0f%s"):format(n, unit) end
    n = n / 1024
  end
  return ("%.0fT"):format(n)
end

local function uptime(seconds)
  local s = math.floor(seconds)
  if s < 3600 then return ("%d:%02d"):format(s // 60, s % 60) end
  return ("%d:%02d:%02d"):format(s // 3600, s // 60 % 60, s % 60)
end

local function ledger_line(told)
  local parts = {}
  for _, name in ipairs(counters) do
    local total = told.ledger[name] or 0
    if total > 0 or name == "published" or name == "delivered" then
      parts[#parts + 1] = ("%s %d (%.0f/s)"):format(name, total, told.rates[name])
    end
  end
  parts[#parts + 1] = ("in flight %d"):format(told.ledger.in_flight or 0)
  return table.concat(parts, ", ")
end

local PIPE = 110 -- columns of a table that no terminal cuts
local row = "%s %8s %7s %6s %6s %6s %6s %7s  %s" -- 80 columns with a name of 14 and 11 for topics

--- So many characters of a text at most.
local function cut(text, most)
  if not utf8.len(text) then return text:sub(1, most) end
  local past = utf8.offset(text, most + 1)
  return past and text:sub(1, past - 1) or text
end

--- A name as the first column has it: wider terminals have more room for it.
local function fitted(name, columns)
  local width = math.max(14, math.min(columns // 5 - 2, 32))
  name = cut(name, width)
  return name .. (" "):rep(width - (utf8.len(name) or #name))
end

local function heads(columns)
  return row:format(fitted("edge", columns), "ms", "jitter", "queued", "in/s", "out/s", "B in/s", "B out/s", "topics")
end

local function edge_line(edge, columns)
  local r, state = edge.rates, edge.suspended and "suspended" or data.safe(table.concat(edge.subscriptions, " "))
  return row:format(
    fitted(data.safe(edge.name), columns),
    ("%.3f"):format(edge.latency),
    ("%.3f"):format(edge.jitter),
    bytes(edge.queued),
    ("%.0f"):format(r.frames_in),
    ("%.0f"):format(r.frames_out),
    bytes(r.bytes_in),
    bytes(r.bytes_out),
    state
  )
end

local function lines_of(told, columns)
  local title, name = "%s at %s, up %s, %d edges%s", data.safe(told.name)
  local lines = {
    title:format(name, data.safe(told.address), uptime(told.uptime), #told.edges, told.tls and ", TLS" or ""),
    ledger_line(told),
    "",
    heads(columns),
  }
  table.sort(told.edges, function(a, b)
    return a.rates.bytes_in + a.rates.bytes_out > b.rates.bytes_in + b.rates.bytes_out
      or (a.rates.bytes_in + a.rates.bytes_out == b.rates.bytes_in + b.rates.bytes_out and a.number < b.number)
  end)
  for _, edge in ipairs(told.edges) do
    lines[#lines + 1] = edge_line(edge, columns)
  end
  return lines
end

-- --- where it goes ---------------------------------------------------------------------------------------------------

--- Columns and rows of the terminal. One that does not know says 0, as one does that nobody has told (script -c).
local function size()
  local tty = assert(uv.new_tty(1, false))
  local columns, rows = tty:get_winsize()
  tty:close()
  if not columns then return 80, 24 end
  return columns > 0 and columns or 80, rows > 0 and rows or 24
end

--- As much as there is room for, each line cut, the rest of the screen empty.
local function draw(told)
  local columns, rows = size()
  local lines = lines_of(told, columns)
  local parts = { "\27[H" }
  for i = 1, math.min(#lines, rows - 1) do
    parts[#parts + 1] = cut(lines[i], columns) .. "\27[K\n"
  end
  session.write(table.concat(parts), "\27[J")
end

local function shower(args)
  if args.json then
    return function(told)
      session.print(data.json(told))
    end
  end
  if uv.guess_handle(1) ~= "tty" then
    return function(told)
      session.print(table.concat(lines_of(told, PIPE), "\n") .. "\n")
    end
  end
  io.stdout:write "\27[2J"
  return draw
end

function M.run(args)
  local node, edge = session.open(args)
  local show, last, due = nil, nil, chaski.now()
  for i = 1, args.count or math.maxinteger do
    if i > 1 then chaski.sleep(math.max(due - chaski.now(), 0)) end
    due = chaski.now() + args.interval
    local told, err = status.introspect(node, edge, args.timeout)
    if not told then session.fail(err) end
    add_rates(told, last)
    show = show or shower(args)
    show(told)
    last = told
  end
  session.exit(0)
end

return M
