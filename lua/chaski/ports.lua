-- ports.lua: asking the machine for free ports. What is free now may be taken a moment later: a node with port 0 asks
-- and takes in one step.
-- SPDX-License-Identifier: MIT
local core = require "chaski.core"
local options = require "chaski.options"
local uv = require "luv"

local M = {}

--- Bind and listen as a node would; the port, or nil and a code.
local function try(where, ip, port)
  if type(ip) ~= "string" then
    error(("%s: expected a numeric address, got %s"):format(where, options.describe(ip)), 3)
  end
  if not core.numeric(ip) then return nil, "not a numeric address" end
  local simulated, why = core.sim_port(ip, port)
  if simulated or why then return simulated, why end
  local socket = uv.new_tcp()
  local ok, _, code = socket:bind(ip, port)
  if ok then
    ok, _, code = socket:listen(1, function() end)
  end
  local name = ok and socket:getsockname()
  socket:close()
  if name then return name.port end
  return nil, code
end

--- A port that nobody listens on. nil, err when the address cannot be used.
---@param ip string? default "127.0.0.1"
---@return integer?, table?
function M.get_free_port(ip)
  ip = ip or "127.0.0.1"
  local port, code = try("chaski.get_free_port", ip, 0)
  if port then return port end
  return nil, core.new_error("not_available", ("chaski.get_free_port %s: %s"):format(ip, code))
end

--- Could a node listen there?
---@param port integer
---@param ip string? default "127.0.0.1"
---@return boolean
function M.is_port_available(port, ip)
  if math.type(port) ~= "integer" or port < 1 or port > 65535 then
    error("chaski.is_port_available: expected a port 1..65535", 2)
  end
  local free = try("chaski.is_port_available", ip or "127.0.0.1", port)
  return free ~= nil
end

--- The same for the node's own ip.
function core.node_methods:get_free_port()
  return M.get_free_port(self.ip)
end

function core.node_methods:is_port_available(port)
  return M.is_port_available(port, self.ip)
end

return M
