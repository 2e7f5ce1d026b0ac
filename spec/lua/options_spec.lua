-- options_spec.lua: mistakes in options raise, and say what would be right. SPDX-License-Identifier: MIT
local chaski = require "chaski"

local function message_of(given)
  local ok, err = pcall(chaski.node, given)
  assert.is_false(ok)
  return err
end

local function raises(expected, given)
  assert.truthy(message_of(given):find(expected, 1, true), message_of(given))
end

describe("the options of a node", function()
  it("have names; a wrong one is told with the nearest", function()
    raises("chaski.node: unknown option 'subscription', did you mean 'subscriptions'?", { subscription = "x" })
    raises("chaski.node: unknown option 'zzzzzz'", { zzzzzz = 1 })
    raises("unknown option '1'", { "x" })
  end)

  it("have types and ranges", function()
    raises("chaski.node: option 'port': expected integer 0..65535, got string 'abc'", { port = "abc" })
    raises("option 'port': expected integer 0..65535, got integer 65536", { port = 65536 })
    raises("option 'name': expected string of 1..64 bytes", { name = "" })
    raises("option 'subscriptions': expected string or list of strings, got table", { subscriptions = { 1 } })
    raises("option 'overflow': expected 'disconnect', 'drop_new', 'drop_old', 'block' or a table", { overflow = "x" })
    raises("option 'ttl': expected integer 1..64, got integer 0", { ttl = 0 })
    raises("option 'root': expected boolean, got string 'yes'", { root = "yes" })
    raises("option 'serializer': expected function", { serializer = 1 })
    raises("chaski.node: expected a table of options, got string 'x'", "x")
  end)

  it("blame the line that called", function()
    local _, err = pcall(function()
      chaski.node { port = -1 }
    end)
    assert.truthy(err:find "options_spec.lua:%d+: chaski.node: option")
  end)

  it("that are about TLS take contexts, a folder, a string", function()
    raises("option 'ssl_context_client': expected chaski.tls.context{…}, got table", { ssl_context_client = {} })
    raises("option 'ssl_context_server': expected chaski.tls.context{…}", { ssl_context_server = "server.pem" })
    raises("option 'tls': expected chaski.tls.context{…}", { tls = true })
    raises("option 'request_ssl_certificate': expected string", { request_ssl_certificate = true })
    raises("option 'ssl_certificates_location': expected string", { ssl_certificates_location = 7 })
    raises("option 'ssl_certificate_attributes': expected table", { ssl_certificate_attributes = "O=home" })
    raises("option 'renew': expected boolean", { renew = 1 })
    raises("option 'revocation_interval': expected seconds 0.1..86400", { revocation_interval = 0 })
    raises("unknown option 'ssl_context_clint', did you mean 'ssl_context_client'?", { ssl_context_clint = 1 })
  end)

  it("include every limit, with its bounds", function()
    raises("limit 'edges_max' (live edges): expected integer 1..1000000, got integer 0", { limits = { edges_max = 0 } })
    raises("limit 'lease'", { limits = { lease = 0 } })
    raises("expected seconds 0.01..3600", { limits = { lease = 1e9 } })
    raises("unknown limit 'edge_max', did you mean 'edges_max'?", { limits = { edge_max = 1 } })
  end)

  it("take limits in seconds and counts", function()
    local node = assert(chaski.node { run = false, limits = { lease = 2.5, edges_max = 7 }, messages_pool_maxsize = 9 })
    assert.equal(2.5, node.status.limits.lease.value)
    assert.equal(7, node.status.limits.edges_max.value)
    assert.equal(9, node.status.limits.messages_pool_maxsize.value)
  end)

  it("refuse limits that do not fit together", function()
    assert.error_matches(function()
      chaski.node { run = false, limits = { queue_low = 2000, queue_high = 1000 } }
    end, "^chaski.node: ")
  end)
end)
