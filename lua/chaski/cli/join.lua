-- join.lua: chaski join: enrol with the string that `chaski ca invite` has printed, or renew what that gave.
-- SPDX-License-Identifier: MIT
local data = require "chaski.cli.data"
local enrol = require "chaski.enrol"
local session = require "chaski.cli.session"

local M = { summary = "Get a certificate with an enrolment string, or renew one." }

M.epilog = [[
  chaski join chaski-invite-1:…            writes certificates/NAME/{key,certificate,ca,crl}.pem,
                                           unless good ones are there already
  chaski sub -h … -t weather --files certificates/NAME
  chaski join --renew certificates/NAME --address 192.0.2.7:8500]]

function M.define(command)
  command:argument("invite", "The string; - reads it from standard input."):args "?"
  command:option("--location", "Folder for the files."):argname("DIR"):default "certificates"
  command:option("--renew", "Renew the certificate in this folder, while it is good."):argname "DIR"
  command:option("--address", "host:port of the CA, for --renew."):argname "ADDRESS"
  command:option("--kind", "Kind of the new key."):choices { "p256", "p384", "ed25519", "rsa3072", "rsa4096" }
  session.add_timeout(command, "How long to try.", "10s")
  session.add_json(command)
end

local function tell(args, enrolled)
  if enrolled.found then
    session.complain(enrolled.folder .. " is there already, and good: the string was not used; remove it to enrol anew")
  end
  if args.json then return session.print(data.json(enrolled)) end
  local till = os.date("!%Y-%m-%d %H:%M:%SZ", enrolled.not_after)
  session.print(("%s of the mesh %s, until %s"):format(enrolled.id, enrolled.mesh, till))
  session.print(enrolled.folder)
end

local function renew(args)
  local folder = args.renew:gsub("/+$", "")
  if not args.address then session.fail("join: --renew needs --address", "usage") end
  return enrol.renew(
    { certificate = folder .. "/certificate.pem", key = folder .. "/key.pem", ca = folder .. "/ca.pem" },
    { address = args.address, timeout = args.timeout, key = args.kind }
  )
end

local function join(args)
  local invite = args.invite == "-" and io.read "l" or args.invite
  if not invite then session.fail("join: an enrolment string is needed, or --renew", "usage") end
  return enrol.obtain(invite, { location = args.location, timeout = args.timeout, key = args.kind })
end

function M.run(args)
  local enrolled, err = (args.renew and renew or join)(args)
  if not enrolled then session.fail(err, err.refused and "denied" or nil) end
  tell(args, enrolled)
  session.exit(0)
end

return M
