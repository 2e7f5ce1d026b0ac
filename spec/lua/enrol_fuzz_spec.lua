-- enrol_fuzz_spec.lua: enrolment strings and requests with bytes changed, cut, doubled and mixed, from a seed: whatever
-- comes, an error comes back, nothing raises, and nobody is enrolled. More rounds with CHASKI_FULL=1; SEED=n replays.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local invites = require "chaski.invite"
local rig = require "spec.lua.ca_rig"
local pki = core.pki

local rounds = os.getenv "CHASKI_FULL" and 50000 or os.getenv "CHASKI_GC" and 200 or 2000
local seed = tonumber(os.getenv "SEED") or 20261123

--- One of the ways in which bytes go wrong.
local ways = {
  function(bytes) -- one byte is another
    local at = math.random(#bytes)
    return bytes:sub(1, at - 1) .. string.char(math.random(0, 255)) .. bytes:sub(at + 1)
  end,
  function(bytes)
    return bytes:sub(1, math.random(0, #bytes - 1))
  end,
  function(bytes)
    return bytes .. bytes:sub(math.random(#bytes))
  end,
  function(bytes) -- a piece is missing
    local from = math.random(#bytes)
    return bytes:sub(1, from - 1) .. bytes:sub(from + math.random(8))
  end,
  function(bytes) -- a piece is random
    local from = math.random(#bytes)
    return bytes:sub(1, from - 1) .. pki.random(math.random(16)) .. bytes:sub(from + math.random(16))
  end,
}

local function spoil(bytes)
  repeat
    local other = ways[math.random(#ways)](bytes)
    if other ~= bytes then return other end
  until false
end

describe("whatever the bytes,", function()
  teardown(rig.clean)

  it("an enrolment string is the one that was made, or told as none", function()
    math.randomseed(seed)
    local authority = rig.authority()
    local text = assert(authority.ca:invite { id = "kitchen" })
    local prefix, coded = text:match "^(.-:)(.*)$"
    for round = 1, rounds do
      local inner = math.random(2) == 1 -- below the base64url, with a check sum that is right
      local other
      if inner then
        local body = spoil(pki.unbase64url(coded):sub(1, -5))
        other = prefix .. pki.base64url(body .. pki.sha256(body):sub(1, 4))
      else
        other = spoil(text)
      end
      local ok, invite, err = pcall(invites.read, other)
      assert(ok, ("SEED=%d, round %d: %s"):format(seed, round, tostring(invite)))
      if invite and not inner then assert.equal(text, (other:gsub("%s+", ""))) end
      if not invite then assert.equal("bad_invite", err.code) end
    end
  end)

  it(
    "a request enrols nobody unless it is whole",
    rig.quiet(function()
      math.randomseed(seed)
      local authority = rig.authority()
      local invite = assert(invites.read(assert(authority.ca:invite { id = "kitchen", ttl = 86400 })))
      local channel = rig.channel()
      local request = rig.request(invite, channel)
      local wire = assert(core.pack(request))
      local answered = 0
      for round = 1, rounds // 4 do
        local other = core.unpack(spoil(wire))
        if type(other) == "table" then
          local ok, answer = pcall(function()
            return authority.ca:answer(other, channel)
          end)
          assert(ok, ("SEED=%d, round %d: %s"):format(seed, round, tostring(answer)))
          local same = other.csr == request.csr and other.mac == request.mac and other.token == request.token
          if answer.certificate then assert.is_true(same, "a spoilt request was signed") end
          answered = answered + 1
        end
      end
      assert.is_true(answered > 0)
    end)
  )

  it(
    "a request of random fields is refused by the CA",
    rig.quiet(function()
      math.randomseed(seed)
      local authority = rig.authority()
      local values = { false, true, -1, 0, 2 ^ 53, "", "enroll", ("x"):rep(20000), {}, { 1 }, { a = 1 }, core.null }
      for round = 1, rounds // 4 do
        local request = { command = ({ "enroll", "renew", "crl", "bundle", "nonsense" })[math.random(5)] }
        for _, name in ipairs { "token", "id", "csr", "mac", "have", "offset", "number" } do
          if math.random(2) == 1 then request[name] = values[math.random(#values)] end
        end
        local ok, answer = pcall(function()
          return authority.ca:answer(request, rig.channel())
        end)
        assert(ok, ("SEED=%d, round %d: %s"):format(seed, round, tostring(answer)))
        assert.is_table(answer)
        assert.is_nil(answer.certificate)
      end
    end)
  )
end)
