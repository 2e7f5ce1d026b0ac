-- status.lua: chaski status: what a node says of itself. SPDX-License-Identifier: MIT
local core = require "chaski.core"
local data = require "chaski.cli.data"
local introspect = require "chaski.introspect"
local session = require "chaski.cli.session"

local M = { summary = "Ask a node for its status." }

M.epilog = [[
Every node tells its name, what it is paired for and whether it is reconnecting; one with the option
introspect = true also its edges and counters.]]

function M.define(command)
  session.add_timeout(command, "How long to wait for each answer.", "2s")
  session.add_json(command)
  session.add_connection(command)
end

--- The edges but the one to who asks.
local function without(edges, id)
  local others = core.array {}
  for _, each in ipairs(edges) do
    if each.id ~= id then others[#others + 1] = each end
  end
  return others
end

--- What the node tells of its edges; nil, err (code unknown_callback) if it does not.
function M.introspect(node, edge, timeout)
  local told, err = node:request(introspect.CALLBACK, nil, { edge = edge, timeout = timeout })
  if told ~= nil and (type(told) ~= "table" or type(told.edges) ~= "table") then
    return nil, core.new_error("protocol", ("%s: a garbled answer to %s"):format(edge.name, introspect.CALLBACK))
  end
  if told then told.edges = without(told.edges, node.id) end
  return told, err
end

local function words_of_paired(paired)
  local list = {}
  for topic, is in pairs(paired) do
    list[#list + 1] = data.safe(topic) .. (is and " (paired)" or "")
  end
  table.sort(list)
  return #list > 0 and table.concat(list, ", ") or "none"
end

local function row(label, value)
  if value ~= nil and value ~= "" then session.print(("%-14s %s"):format(label, data.text(value))) end
end

local function words_of_limits(limits)
  local list = {}
  for name, limit in pairs(limits) do
    if type(limit) == "table" and type(limit.hits) == "number" and limit.hits > 0 then
      list[#list + 1] = ("%s (%s) %s times"):format(data.safe(name), data.text(limit.value), data.text(limit.hits))
    end
  end
  table.sort(list)
  return #list > 0 and table.concat(list, ", ") or "none"
end

local function print_edges(edges)
  session.print ""
  session.print(("%-20s %-24s %10s %8s  %s"):format("edge", "address", "latency", "queued", "subscriptions"))
  for _, each in ipairs(edges) do
    local topics = data.safe(table.concat(each.subscriptions, ", "))
    local line = "%-20s %-24s %7.3f ms %8d  %s"
    session.print(line:format(data.safe(each.name), data.safe(each.address), each.latency, each.queued, topics))
  end
end

local known = { id = true, name = true, serving = true, reconnecting = true, paired = true, pad = true, leader = true }

local function print_status(edge, status, told)
  row("name", edge.name)
  row("address", edge.address)
  row("id", edge.id)
  row("agent", edge.agent)
  row("root", edge.root)
  row("tls", edge.node.tls)
  row("serving", status.serving)
  row("reconnecting", status.reconnecting)
  row("subscriptions", words_of_paired(told and told.paired or status.paired or {}))
  for key, value in pairs(status) do
    if not known[key] then row(tostring(key), value) end
  end
  if not told then return end
  row("uptime", ("%.0f s"):format(told.uptime))
  for _, name in ipairs { "published", "delivered", "relayed", "duplicates", "dropped", "no_interest" } do
    row(name, told.ledger[name])
  end
  row("limits hit", words_of_limits(told.limits or {}))
  print_edges(told.edges)
end

function M.run(args)
  local node, edge = session.open(args)
  local status, err = node:request_status(edge.ip, edge.port, { timeout = args.timeout })
  local told = edge.protocol > 0 and M.introspect(node, edge, args.timeout) or nil
  if not status and not told then session.fail(err) end
  status = status or {}
  if args.json then
    status.id, status.name, status.address = edge.id, edge.name, edge.address
    status.details = told
    session.print(data.json(status))
  else
    print_status(edge, status, told)
  end
  session.exit(0)
end

return M
