-- ca.lua: chaski ca: the certificate authority of a mesh: make it once, serve, invite nodes, list, show and revoke what
-- it has signed. SPDX-License-Identifier: MIT
local ca = require "chaski.ca"

local FAILED, WRONG_USAGE, UNKNOWN = 1, 2, 3

local M = { summary = "Be the certificate authority of a mesh." }

local name -- of the program, for errors
local usage -- function that tells it

M.epilog = [[
Exit: 0 done, 1 it failed (why is on standard error), 2 wrong usage, 3 nothing is known of that id
or serial.

A first mesh:
  chaski ca init --location ca --mesh home
  chaski ca serve --location ca --ip 192.0.2.7 --port 8500
  chaski ca invite --location ca kitchen      (beside the one that serves)
prints the string with which the node kitchen enrols, once, within 15 minutes (chaski join). Who
has it can be that node: it is a secret until it is used.]]

-- --- arguments -------------------------------------------------------------------------------------------------------

local function to_integer(text)
  local value = math.tointeger(tonumber(text))
  if value then return value end
  return nil, ("expected a whole number, got '%s'"):format(text)
end

local function to_seconds(text)
  local number, unit = text:match "^(%d+%.?%d*)([smhd]?)$"
  local scale = ({ [""] = 1, s = 1, m = 60, h = 3600, d = 86400 })[unit]
  if number then return tonumber(number) * scale end
  return nil, ("expected a time like 90s, 15m, 24h or 7d, got '%s'"):format(text)
end

local function with_passphrase(each)
  each:option("--passphrase-file", "File whose first line encrypts the key; - for standard input."):argname "FILE"
end

--- The sub-commands, of whatever they are sub-commands of; args.action is the one that was given.
function M.define(parent)
  parent:command_target "action"
  parent:require_command(true)
  local function command(title, description)
    local each = parent:command(title, description)
    each:option("--location", "Folder of the CA: its key, its root certificate, its ledger."):argname "DIR":count(1)
    return each
  end

  local init = command("init", "Make a CA: a key, a root certificate for ten years, an empty ledger. Only once.")
  init:option("--mesh", "Name of the mesh; part of the identity of every node."):argname "NAME":count(1)
  init:option("--name", "Name of the CA, as its root certificate has it."):argname "NAME"
  init:option("--key", "Kind of the key."):choices { "p256", "p384", "ed25519", "rsa3072", "rsa4096" }
  with_passphrase(init)

  local serve = command("serve", "Answer nodes that enrol and renew, until SIGINT or SIGTERM.")
  serve:option("--ip", "Address to listen at; default 127.0.0.1."):argname "IP"
  serve
    :option("--port", "Port to listen at; default: any free one, which is printed.")
    :argname("PORT")
    :convert(to_integer)
  serve:option("--address", "host:port under which nodes reach it, when that is another one."):argname "ADDRESS"
  serve:option("--tries", "Enrolments a minute from one address; default 5."):argname "N":convert(to_integer)
  with_passphrase(serve)

  local invite = command("invite", "Print the string that enrols one node, once.")
  invite:argument("id", "Name of the node.")
  invite:option("--ip", "Address of the node, for its certificate; may be repeated."):argname "IP":count "*"
  invite:option("--dns", "Host name of the node, for its certificate; may be repeated."):argname "NAME":count "*"
  invite:option("--ttl", "How long the string is good; default 15m, at most 24h."):argname "TIME":convert(to_seconds)
  invite:option("--life", "How long a certificate is good; default 24h, at most 7d."):argname "TIME":convert(to_seconds)
  invite
    :option("--publish", "Topic (with * for any part) it may publish; may be repeated; default: all.")
    :argname "PATTERN"
    :count "*"
  invite
    :option("--subscribe", "Topic (with * for any part) it may subscribe to; may be repeated; default: all.")
    :argname "PATTERN"
    :count "*"
  invite:flag("--relay", "It may pass on what others have published.")
  invite:option("--address", "host:port of the CA; default: where it served last."):argname "ADDRESS"

  command("list", "List the certificates, and the strings not used yet.")
  command("show", "Show all that is known of a node."):argument("id", "Name of the node.")
  command("revoke", "Revoke a node, or one certificate."):argument("what", "Name of the node, or serial number.")
  local rollover = command("rollover", "Begin to replace the root: nodes hear of the new one when they renew.")
  rollover:option("--key", "Kind of the new key."):choices { "p256", "p384", "ed25519", "rsa3072", "rsa4096" }
  with_passphrase(rollover)
end

-- --- results ---------------------------------------------------------------------------------------------------------

local function leave(code, text)
  io.stdout:flush()
  io.stderr:write(name .. ": " .. text .. "\n")
  os.exit(code, true)
end

local function say(text)
  local ok, why = io.stdout:write(text, "\n")
  if ok then
    ok, why = io.stdout:flush()
  end
  if not ok then leave(FAILED, "standard output: " .. why) end
end

local function wrong_usage(text)
  leave(WRONG_USAGE, text .. "\n" .. usage():gsub("%s+", " ") .. "\nMore with --help.")
end

--- The results of a call, or the end with its error; a mistake it raises is one in the arguments.
local function try(fn, ...)
  local results = table.pack(pcall(fn, ...))
  if not results[1] then wrong_usage((tostring(results[2]):gsub("^[^:]*:%d+: ", ""))) end
  if results[2] ~= nil then return table.unpack(results, 2, results.n) end
  local err = results[3]
  leave(err.code == "unknown" and UNKNOWN or FAILED, tostring(err))
end

local function read_passphrase(path)
  if not path then return nil end
  local file, why = io.stdin, nil
  if path ~= "-" then
    file, why = io.open(path, "r")
  end
  local line = file and file:read "l"
  if file and file ~= io.stdin then file:close() end
  if line and line ~= "" then return line end
  leave(FAILED, ("there is no passphrase in '%s'%s"):format(path, why and ": " .. why or ""))
end

local function when(time)
  return os.date("!%Y-%m-%d %H:%M:%SZ", time)
end

local function print_row(...)
  say((("%-9s %-20s %-34s %s"):format(...)))
end

local function print_lists(found)
  print_row("state", "id", "serial or token", "until")
  for _, each in ipairs(found.certificates) do
    print_row(each.state, each.id, each.serial, when(each.not_after))
  end
  for _, each in ipairs(found.tokens) do
    print_row(each.state, each.id, each.token, when(each.expires))
  end
end

-- --- commands --------------------------------------------------------------------------------------------------------

local run = {}

function run.init(args)
  local made = try(ca.init, {
    location = args.location,
    mesh = args.mesh,
    name = args.name,
    key = args.key,
    passphrase = read_passphrase(args.passphrase_file),
  })
  say(("the CA of the mesh %s is in %s"):format(made.mesh, made.location))
  say("pin sha256:" .. made.pin)
end

function run.serve(args)
  local authority = try(ca, {
    location = args.location,
    ip = args.ip,
    port = args.port,
    address = args.address,
    tries = args.tries,
    passphrase = read_passphrase(args.passphrase_file),
  })
  try(authority.serve, authority)
  say(("the CA of the mesh %s listens at %s"):format(authority.mesh, authority.address))
  say("pin sha256:" .. authority.pin)
  io.stdout:flush()
  return authority -- goes on as long as it listens
end

--- For what the ledger alone can do.
local function open(args)
  return try(ca, { location = args.location, keys = false })
end

local function given(list)
  return #list > 0 and list or nil
end

function run.invite(args)
  local authority <close> = open(args)
  say(try(authority.invite, authority, {
    id = args.id,
    ip = args.ip,
    dns = args.dns,
    ttl = args.ttl,
    life = args.life,
    publish = given(args.publish),
    subscribe = given(args.subscribe),
    relay = args.relay,
    address = args.address,
  }))
end

function run.list(args)
  local authority <close> = open(args)
  print_lists(try(authority.list, authority))
end

function run.show(args)
  local authority <close> = open(args)
  local found = try(authority.show, authority, args.id)
  print_lists(found)
  local last = found.certificates[#found.certificates]
  if not last then return end
  say(
    ("\nrights  %s\nip      %s\ndns     %s\nkey     sha256:%s\n"):format(
      last.rights or "everything",
      last.ip,
      last.dns,
      last.key_hash
    )
  )
  io.write(last.pem)
end

function run.revoke(args)
  local authority <close> = open(args)
  local n = try(authority.revoke, authority, args.what)
  say(("revoked: %d certificate%s"):format(n, n == 1 and "" or "s"))
end

function run.rollover(args)
  local passphrase = read_passphrase(args.passphrase_file)
  local authority <close> = try(ca, { location = args.location, passphrase = passphrase })
  local made = try(authority.rollover, authority, { key = args.key })
  say("the new root signs from " .. when(made.signs_from))
  say("pin sha256:" .. made.pin)
end

--- `called` is what errors begin with.
function M.run(args, parser, called)
  name = called or "chaski ca"
  usage = function()
    return parser:get_usage()
  end
  ca.protect()
  return run[args.action](args)
end

return M
