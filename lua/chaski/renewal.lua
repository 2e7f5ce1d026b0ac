-- renewal.lua: the life of a node's certificates. One task of a running node looks after them: it renews what was
-- enrolled after two thirds of its life, tells by the event "certificate" what becomes of it, has edges go on over new
-- connections before the certificates of the old ones end, and closes those whose peers' have ended.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local enrol = require "chaski.enrol"
local invites = require "chaski.invite"

local DAY = 86400
local RENEW, SPREAD = 2 / 3, 0.1 -- of the life; not all nodes at the same moment
local PAUSE, PAUSE_MAX = 60, 3600 -- seconds after a failure, doubling; of a life of a day, less of a shorter one
local PAUSE_LEAST = 0.1 -- seconds
local LOOK, LOOK_LEAST, LOOKS = 10, 0.05, 100 -- seconds between looks, so many in a life
local EDGE_PART, EDGE_SPREAD = 0.7, 0.1 -- of what a connection has left, after which it is made anew
local DIALS, DIAL_PAUSE = 60, 2 -- tries and seconds: as long as a suspended edge is kept
local TIMEOUT = 10 -- seconds for a talk with the CA

local M = {}

-- --- when ------------------------------------------------------------------------------------------------------------

--- Set up the times of a certificate that is new to us.
---@param secure table
function M.plan(secure)
  local enrolled = secure.enrolled
  secure.look = LOOK
  if not enrolled then return end
  secure.life = math.max(1, enrolled.not_after - enrolled.not_before - invites.BACK)
  local part = RENEW * (1 - SPREAD + 2 * SPREAD * core.random())
  secure.due = enrolled.not_after - secure.life * (1 - part)
  secure.failures, secure.told = 0, nil
  secure.look = math.max(LOOK_LEAST, math.min(LOOK, secure.life / LOOKS))
end

--- Seconds until the next try, with some randomness: a CA that comes back is not to meet everybody at once.
local function pause_after(secure)
  local scale = math.min(1, secure.life / DAY)
  local pause = math.min(PAUSE * 2 ^ (secure.failures - 1), PAUSE_MAX) * scale
  return math.max(pause, PAUSE_LEAST) * (0.75 + core.random() / 2)
end

-- --- renewing --------------------------------------------------------------------------------------------------------

local function adopt(node, secure)
  local timeout = math.min(TIMEOUT, math.max(1, secure.life / 10))
  local enrolled, err = enrol.renew(secure.enrolled, { timeout = timeout })
  if not enrolled then return nil, err end
  local ok
  ok, err = secure.adopt(node, enrolled)
  return ok and enrolled, err
end

local function renew(node, secure)
  secure.renewing = true
  local _ <close> = setmetatable({}, {
    __close = function()
      secure.renewing = false
    end,
  })
  local enrolled, err = adopt(node, secure)
  if enrolled then
    core.log("info", node.name, ("the certificate is renewed: %s"):format(enrolled.serial))
    return core.emit(node, "certificate", "renewed", { not_after = enrolled.not_after, serial = enrolled.serial })
  end
  secure.failures = secure.failures + 1
  local pause = pause_after(secure)
  secure.due = core.wall() + pause
  core.log("warn", node.name, ("the certificate could not be renewed: %s"):format(tostring(err)))
  core.emit(node, "certificate", "renewal_failed", { err = err, again = pause, not_after = secure.enrolled.not_after })
end

-- --- telling ---------------------------------------------------------------------------------------------------------

local order = { third = 1, tenth = 2, expired = 3 }

--- A third of the life left is told only when nothing is under way against it.
local function stage_of(secure, left)
  if left <= 0 then return "expired" end
  if not secure.life then return nil end
  if left <= secure.life / 10 then return "tenth" end
  local alone = not secure.renew or secure.failures > 0
  return left <= secure.life / 3 and alone and "third" or nil
end

local function tell(node, secure, now)
  local not_after = secure.not_after
  local stage = stage_of(secure, not_after - now)
  if not stage or order[stage] <= (order[secure.told] or 0) then return end
  secure.told = stage
  local what, left = stage == "expired" and stage or "expiring", math.max(0, not_after - now)
  core.log(
    stage == "third" and "info" or "warn",
    node.name,
    ("the certificate is %s: %d s left"):format(what, left // 1)
  )
  core.emit(node, "certificate", what, { not_after = not_after, left = left })
end

-- --- edges -----------------------------------------------------------------------------------------------------------

--- The edge stays, and what is sent meanwhile waits; without a session it is closed in good order first. Whatever the
--- node's policy of reconnecting is, as it was not the connection that failed.
local function make_anew(node, edge)
  local address, stays = edge.dialled_address, core.edge_reconnect(edge)
  if not stays then
    if not edge.live or edge.suspended then return end
    edge:close()
  end
  for _ = 1, DIALS do
    if node:connect(address) or (stays and not edge.live) then return end
    core.sleep(DIAL_PAUSE * (0.5 + core.random()))
  end
end

--- When the connection of an edge is to be made anew: on what it has left then both ends have renewed, or another try
--- follows.
local function look_at(node, secure, edge, now)
  local ends = core.edge_expires(edge)
  if not ends then return nil end
  local seen = secure.edges[edge.number]
  if not seen or seen.ends ~= ends then
    return { ends = ends, due = now + (ends - now) * (EDGE_PART + EDGE_SPREAD * core.random()) }
  end
  if now < seen.due or ends - now < 2 * secure.look then return seen end
  core.spawn_in(node, "certificate", make_anew, node, edge)
  return nil
end

--- Those we have dialled: who was dialled may not know how to dial.
local function look_at_edges(node, secure, now)
  local seen = {}
  for _, edge in ipairs(node.edges) do
    if edge.dialled then seen[edge.number] = look_at(node, secure, edge, now) end
  end
  secure.edges = seen
end

-- --- the task --------------------------------------------------------------------------------------------------------

local function refresh(node, secure)
  secure.refreshing = true
  local _ <close> = setmetatable({}, {
    __close = function()
      secure.refreshing = false
    end,
  })
  local number, err = node:refresh_revocations()
  if not number then core.log("info", node.name, "the CA was not asked for revocations: " .. tostring(err)) end
end

local function turn(node, secure)
  local now = core.wall()
  core.recheck(node)
  tell(node, secure, now)
  if secure.renew and not secure.renewing and now >= secure.due and now < secure.not_after then
    core.spawn_in(node, "renewal", renew, node, secure)
  end
  look_at_edges(node, secure, now)
  local interval = secure.interval
  if not interval or secure.refreshing or core.now() < (secure.refreshed or 0) + interval then return end
  secure.refreshed = core.now()
  core.spawn_in(node, "revocations", refresh, node, secure)
end

local function keep(node, state)
  local _ <close> = setmetatable({}, {
    __close = function()
      state.kept = false
    end,
  })
  while node.running and state.secure do
    turn(node, state.secure)
    core.sleep(math.min(state.secure.look, state.secure.interval or math.huge))
  end
end

--- Look after the certificates of a node that runs, until it stops. More than once does no harm.
function M.keep(node)
  local state = core.node_state(node)
  if not state.secure or state.kept then return end
  state.kept = true
  core.spawn_in(node, "certificate", keep, node, state)
end

return M
