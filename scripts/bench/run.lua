-- run.lua: the measurements of scripts/bench/run, which sets up what this needs and knows the options: contenders take
-- turns, round by round, and one table says what came out. SPDX-License-Identifier: MIT
local chaski = require "chaski"

package.path = arg[0]:match "^(.*)/" .. "/?.lua;" .. package.path
local processes = require "processes"
processes.cores = table.concat(arg, " "):match "cores=(%S+)"
local cases = require "cases"

-- --- what is asked for -----------------------------------------------------------------------------------------------

local settings, runs, json, wanted, list_only = cases.settings, 5, nil, {}, false

for _, word in ipairs(arg) do
  local name, value = word:match "^(%w+)=(.*)$"
  if name == "runs" then
    runs = math.max(1, math.tointeger(tonumber(value)) or 5)
  elseif name == "seconds" then
    settings.seconds = tonumber(value)
  elseif name == "json" then
    json = value
  elseif name == "peers" then
    settings.peers = value
  elseif name == "installed" then
    settings.installed[value] = true
  elseif name == "folder" then
    settings.folder = value
  elseif name == "list" then
    list_only = true
  elseif name == "case" then
    wanted[#wanted + 1] = value
  end
end

local function is_wanted(case)
  for _, prefix in ipairs(wanted) do
    if case.name:sub(1, #prefix) == prefix then return true end
  end
  return #wanted == 0
end

-- --- figures ---------------------------------------------------------------------------------------------------------

local function median(values)
  if #values == 0 then return 0 / 0, 0 / 0, 0 / 0 end
  local sorted = table.move(values, 1, #values, 1, {})
  table.sort(sorted)
  local middle = #sorted // 2
  local value = #sorted % 2 == 1 and sorted[middle + 1] or (sorted[middle] + sorted[middle + 1]) / 2
  return value, sorted[1], sorted[#sorted]
end

--- A figure of a run by name: "value", one of `more`.
local function figure(run, metric)
  if metric == "value" or metric == "lost" then return run[metric] end
  for _, each in ipairs(run.more or {}) do
    if each[1] == metric then return each[2] end
  end
end

local function figures(list, metric)
  local values = {}
  for i, each in ipairs(list) do
    values[i] = figure(each, metric)
  end
  return values
end

--- The ratio of two contenders round by round: its median, least and most.
local function ratio(mine, theirs, metric)
  local ratios = {}
  for i = 1, math.min(#mine, #theirs) do
    ratios[i] = figure(mine[i], metric) / figure(theirs[i], metric)
  end
  if #ratios > 0 then return median(ratios) end
end

-- --- what is shown ---------------------------------------------------------------------------------------------------

local function short(x)
  if x >= 1e6 then return ("%.2f M"):format(x / 1e6) end
  if x >= 1e4 then return ("%.1f k"):format(x / 1e3) end
  if x >= 100 then return ("%.0f"):format(x) end
  return ("%.2f"):format(x)
end

local function cpu_text(list)
  local names, texts = {}, {}
  for name in pairs(list[1].cpu or {}) do
    names[#names + 1] = name
  end
  table.sort(names)
  for i, name in ipairs(names) do
    local values = {}
    for r, run in ipairs(list) do
      values[r] = run.cpu[name]
    end
    texts[i] = ("%s %.0f"):format(name, (median(values)))
  end
  return table.concat(texts, ", ")
end

local function more_text(list)
  local texts = {}
  for i, each in ipairs(list[1].more or {}) do
    texts[i] = ("%s %s"):format(each[1], short((median(figures(list, each[1])))))
  end
  local lost = list[1].lost and median(figures(list, "lost")) or 0
  if lost > 0.005 then texts[#texts + 1] = ("lost %.1f %%"):format(lost) end
  return table.concat(texts, ", ")
end

local columns = "  %-20s %10s %-3s %-21s %-50s %-28s %s"

--- How our contenders stand to this one, as "table 0.81, string 1.20".
local function ratios_text(case, results, name)
  if name:find "^chaski" then return "" end
  local texts = {}
  for _, each in ipairs(case.contenders) do
    if each.name:find "^chaski" and results[each.name] and not each.apart then
      local value = ratio(results[each.name], results[name], "value")
      local label = each.name:match "^chaski,? (.+)" or "chaski"
      if value then texts[#texts + 1] = ("%s %.2f"):format(label, value) end
    end
  end
  return table.concat(texts, ", ")
end

local verdicts = {}

local function judge(case, results)
  for _, each in ipairs(case.targets or {}) do
    local mine, theirs, wanted_ratio, metric = table.unpack(each)
    local value, least, most = ratio(results[mine] or {}, results[theirs] or {}, metric)
    if value then
      local met = case.lower and value <= wanted_ratio or not case.lower and value >= wanted_ratio
      verdicts[#verdicts + 1] = {
        what = ("%s: %s to %s%s"):format(case.name, mine, theirs, metric == "value" and "" or ", " .. metric),
        wanted = ("%s %.2f"):format(case.lower and "<=" or ">=", wanted_ratio),
        got = ("%.2f (%.2f to %.2f)"):format(value, least, most),
        met = met,
      }
    end
  end
  for _, each in ipairs(case.limits or {}) do
    local value, least, most = median(figures(results[each[1]] or {}, "value"))
    local bound = each[2]
    if type(bound) == "function" then
      bound = bound(function(name)
        return (median(figures(results[name] or {}, "value")))
      end)
    end
    verdicts[#verdicts + 1] = {
      what = ("%s: %s"):format(case.name, each[1]),
      wanted = ("<= %.3g %s"):format(bound, case.unit),
      got = ("%.2f (%.2f to %.2f)"):format(value, least, most),
      met = value <= bound,
    }
  end
end

local function show(case, results, failed)
  print(("\n%s: %s"):format(case.name, case.title))
  for _, each in ipairs(case.contenders) do
    local list = results[each.name]
    if list and #list > 0 then
      local value, least, most = median(figures(list, "value"))
      local spread = ("%s to %s"):format(short(least), short(most))
      local cpu, more, ratios = cpu_text(list), more_text(list), ratios_text(case, results, each.name)
      local line = columns:format(each.name, short(value), case.unit, spread, more, cpu, ratios)
      print((line:gsub("%s+$", "")))
    end
    if failed[each.name] then print(("  %-20s failed: %s"):format(each.name, failed[each.name])) end
  end
  io.flush()
end

-- --- the run ---------------------------------------------------------------------------------------------------------

local record = {}

local function is_here(each)
  return not each.needs or settings.installed[each.needs]
end

local on_terminal = require("luv").guess_handle(2) == "tty"

local function progress(text, ...)
  if on_terminal then io.stderr:write(text:format(...)) end
end

--- Each contender once a round. Who fails has no further turn.
local function measure(case)
  local results, failed = {}, {}
  for round = 1, runs do
    for _, each in ipairs(case.contenders) do
      if is_here(each) and not failed[each.name] then
        progress("\r\27[K%s: %s %d/%d", case.name, each.name, round, runs)
        local ok, run = pcall(each.measure)
        local list = results[each.name] or {}
        results[each.name] = list
        if ok then
          list[#list + 1] = run
        else
          failed[each.name] = tostring(run)
        end
      end
    end
  end
  progress "\r\27[K"
  return results, failed
end

if list_only then
  for _, case in ipairs(cases.cases) do
    print(("%-20s %s"):format(case.name, case.title))
  end
  os.exit(0, true)
end

local any_failed = false

cases.prepare()
print(("%g s a run, %d runs in turn; cores %s"):format(settings.seconds, runs, processes.cores))
print(columns:format("who", "median", "", "least to most", "more", "CPU, % of a core", "ours to this"))
for _, case in ipairs(cases.cases) do
  if is_wanted(case) then
    local results, failed = measure(case)
    show(case, results, failed)
    judge(case, results)
    record[#record + 1] = { name = case.name, title = case.title, unit = case.unit, runs = results, failed = failed }
    any_failed = any_failed or next(failed) ~= nil
  end
end
processes.stop_all()

if #verdicts > 0 then print "\naimed at:" end
for _, each in ipairs(verdicts) do
  print(("  %-52s %-12s %-24s %s"):format(each.what, each.wanted, each.got, each.met and "met" or "NOT MET"))
end
if #record == 0 then
  io.stderr:write "bench: there is no such case\n"
  os.exit(2, true)
end
if json then
  local all = { at = os.date "!%FT%TZ", seconds = settings.seconds, cases = record, aims = verdicts }
  local file = assert(io.open(json, "w"))
  file:write(assert(require("dkjson").encode(all, { indent = true })))
  file:write "\n"
  file:close()
end
chaski.sleep(0)
os.exit(any_failed and 1 or 0, true)
