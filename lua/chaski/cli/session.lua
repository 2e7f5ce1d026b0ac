-- session.lua: what the commands share: the options of connecting, the node that does it, how a command ends. A command
-- that cannot go on ends by session.fail, with a line on standard error and the exit code that belongs to the error.
-- SPDX-License-Identifier: MIT
local chaski = require "chaski"
local convert = require "chaski.cli.convert"
local core = require "chaski.core"
local data = require "chaski.cli.data"

local M = {}

M.DEFAULT = "127.0.0.1:8511" -- where a root listens

M.codes = { failed = 1, usage = 2, no_connection = 3, timeout = 4, denied = 5, no_interest = 6 }

M.codes_text = [[
Exit: 0 done, 1 it failed (why is on standard error), 2 wrong usage, 3 no connection, 4 too late,
5 denied, 6 nobody is interested, or serves it.]]

-- --- arguments -------------------------------------------------------------------------------------------------------

--- The options of a command that connects.
function M.add_connection(command)
  command:group(
    "Connection",
    command
      :option("-h --host", ("Node to connect to; default: CHASKI_HOST, or %s."):format(M.DEFAULT))
      :argname "HOST[:PORT]",
    command:option("-p --port", "Its port, when it is not said by -h."):argname("PORT"):convert(convert.port "-p"),
    command:option("-i --id", "Name of this node."):argname("NAME"):convert(convert.text("-i", 64)),
    command
      :option("--connect-timeout", "How long to wait for the connection.")
      :argname("TIME")
      :convert(convert.seconds "--connect-timeout")
      :default("5s"),
    command:option("--files", "Folder with the certificate of a joined node (see chaski join)."):argname "DIR",
    command:option("--cert", "File with a certificate to show."):argname "FILE",
    command:option("--key", "File with its private key."):argname "FILE",
    command:option("--ca", "File with the roots to trust."):argname "FILE",
    command:option("--crl", "File with their revocation lists."):argname "FILE",
    command:option("--passphrase-file", "File whose first line opens the private key."):argname "FILE"
  )
end

function M.add_timeout(command, description, default)
  local option = command:option("-W --timeout", description):argname("TIME"):convert(convert.seconds "-W")
  if default then option:default(default) end
end

function M.add_json(command)
  command:flag("--json", "One line of JSON for each thing told; infinity and NaN are null.")
end

-- --- the end ---------------------------------------------------------------------------------------------------------

--- End with a code, in good order: what is printed and what is queued leaves first.
function M.exit(code)
  for _, node in ipairs(core.running_nodes()) do
    node:stop()
  end
  io.stdout:flush()
  os.exit(code, true)
end

local EPIPE = 32 -- who read has gone, and knows it

--- Write on standard output, which others read while we go on. What cannot be written is the end.
function M.write(...)
  local ok, why, code = io.stdout:write(...)
  if ok then
    ok, why, code = io.stdout:flush()
  end
  if ok then return end
  if code ~= EPIPE then M.complain("standard output: " .. why) end
  M.exit(M.codes.failed)
end

--- A line of it.
function M.print(text)
  M.write(text, "\n")
end

--- A line on standard error, in one write: others may write there too.
function M.complain(text)
  io.stdout:flush()
  io.stderr:write("chaski: " .. data.safe(tostring(text)) .. "\n")
end

local classes = {
  timeout = "timeout",
  handshake_timeout = "timeout",
  forbidden = "denied",
  certificate = "denied",
  refused_right = "denied",
  denied = "denied",
  unknown_callback = "no_interest",
  no_interest = "no_interest",
  bad_invite = "usage",
  bad_address = "usage",
}
for _, code in ipairs {
  "refused",
  "unreachable",
  "unresolved",
  "no_edge",
  "lost",
  "reset",
  "goodbye",
  "closed",
  "lease",
  "tls",
  "access",
  "not_available",
  "truncated",
  "protocol",
  "malformed",
  "too_many_edges",
  "too_many_pending",
} do
  classes[code] = "no_connection"
end

--- The exit code for an error of chaski's, or for a name in M.codes.
function M.code_of(err)
  local code = type(err) == "table" and err.code or err
  return M.codes[classes[code] or code] or M.codes.failed
end

--- Say what is wrong, and end. A node that a signal has stopped is nothing wrong.
function M.fail(err, code)
  if type(err) == "table" and err.code == "stopped" then M.exit(0) end
  M.complain(tostring(err))
  M.exit(M.codes[code] or M.code_of(err))
end

--- The value, or the end.
function M.try(value, err, ...)
  if value == nil or (value == false and err ~= nil) then M.fail(err) end
  return value, err, ...
end

-- --- the node --------------------------------------------------------------------------------------------------------

local function read_first_line(path)
  local file, why = io.open(path, "r")
  local line = file and file:read "l"
  if file then file:close() end
  if not line or line == "" then M.fail(why or ("there is no passphrase in '%s'"):format(path), "usage") end
  return line
end

local function in_folder(folder, name)
  local path = folder .. "/" .. name
  local file = io.open(path, "r")
  if file then file:close() end
  return file and path or nil
end

--- The TLS context that the options ask for, or nil.
function M.context(args)
  local folder = args.files
  if not folder and not args.cert and not args.ca then
    if args.key then M.fail("--key needs --cert, and --ca", "usage") end
    return nil
  end
  local context, err = chaski.tls.context {
    certificate = args.cert or folder and folder .. "/certificate.pem",
    key = args.key or folder and folder .. "/key.pem",
    ca = args.ca or folder and folder .. "/ca.pem",
    crl = args.crl or folder and in_folder(folder, "crl.pem"),
    passphrase = args.passphrase_file and read_first_line(args.passphrase_file),
  }
  if not context then M.fail(err, "failed") end
  return context
end

--- A node as the options have it; more options of chaski.node in `given`.
function M.node(args, given)
  local options = { reconnect = false, limits = { resume_timeout = 0 } } -- who does not dial again waits for nothing
  for name, value in pairs(given or {}) do
    options[name] = value
  end
  options.tls = M.context(args)
  if not options.tls then options.name = options.name or args.id or "chaski-" .. core.uuid():sub(1, 8) end
  local node, err = chaski.node(options)
  if not node then M.fail(err) end
  return node
end

--- A host, and perhaps a port, as typed; IPv6 needs brackets only before a port.
local function with_port(text, port, where)
  local is_v6 = text:find(":", 1, true) and core.numeric(text)
  if not is_v6 and not text:find "^%[" and text:find ":.*:" then
    M.fail(("%s: expected HOST:PORT (or [IPv6]:PORT), got '%s'"):format(where, text), "usage")
  end
  if is_v6 then text = "[" .. text .. "]" end
  local has_port = text:find "^%[.*%]:" or (text:find ":" and not text:find "^%[")
  return has_port and text or ("%s:%d"):format(text, port or 8511)
end

--- The address that the options name.
function M.address(args)
  local given = os.getenv "CHASKI_HOST"
  local text = args.host or given or args.port and "127.0.0.1" or M.DEFAULT
  return with_port(text, args.port, args.host and "-h" or "CHASKI_HOST")
end

local speechless = { lost = true, reset = true, truncated = true } -- how a node of TLS takes leave of one without

--- The edge to the node that the options name, or the end.
function M.connect(node, args)
  local edge, err = node:connect(M.address(args), { timeout = args.connect_timeout })
  if edge then return edge end
  if err.code == "stopped" then M.exit(0) end
  local plain = speechless[err.code] and not node.tls
  M.complain(plain and tostring(err) .. "; if it wants certificates: --files DIR" or err)
  local code = M.code_of(err)
  M.exit((code == M.codes.denied or code == M.codes.usage) and code or M.codes.no_connection)
end

--- Both, and whether the peer refuses something: state.denied says what.
function M.open(args, given)
  local node, state = M.node(args, given), {}
  node:on("forbidden", function(edge, right, topic)
    state.denied = ("%s does not allow: %s '%s'"):format(edge.name, right, topic)
    if state.on_denied then state.on_denied() end
  end)
  return node, M.connect(node, args), state
end

return M
