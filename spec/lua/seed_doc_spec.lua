-- seed_doc_spec.lua: docs/seed.md names every part of the original's node, and only specs that are there.
-- SPDX-License-Identifier: MIT

local root = debug.getinfo(1, "S").source:match "^@(.*)spec/lua/seed_doc_spec%.lua$"

--- What the original documents of its module chaski.node.
local public = {
  ["Classes"] = "class ChaskiNode, class Edge, class Message, class MessagesPool, class UDPProtocol",
  ["Parameters of ChaskiNode"] = [[
    ip, port, serializer, deserializer, name, subscriptions, run, ttl, root, paired, max_connections, reconnections,
    messages_pool_maxzise, message_propagation, keep_alive, ssl_context_client, ssl_context_server,
    ssl_certificate_attributes, ssl_certificates_location, request_ssl_certificate]],
  ["Methods and properties of ChaskiNode"] = [[
    __init__, __repr__, _connect_to_peer, _connected, _generic_request_udp, _get_status, _keep_alive, _loop_message,
    _ping, _process_discovery, _process_handshake, _process_handshake_back, _process_ping, _process_pong,
    _process_report_paired, _process_request_udp, _process_response_udp, _process_udp_message, _reader_loop,
    _remove_closing_connection, _request_status, _send_udp_message, _start_tcp_server, _start_udp_server,
    _test_generic_request_udp, _test_generic_response_udp, _write, _write_data, add_propagation_command,
    close_connection, connect, deserializer, disable_message_propagation, discovery, enable_message_propagation,
    get_edge, get_edge_by_name, get_free_port, handshake, is_connected_to, is_port_available, paired, paired_for, ping,
    propagate, remove_duplicated_connections, remove_propagation_command, request_ssl_certificate, run,
    serialize_message, serializer, status, stop, subscribe, track_task, try_to_reconnect, uuid]],
  ["Edge"] = [[
    Edge.__repr__, Edge.writer, Edge.reader, Edge.latency, Edge.jitter, Edge.name, Edge.ip, Edge.port,
    Edge.subscriptions, Edge.ping_in_progress, Edge.paired, Edge.address, Edge.local_address, Edge.reset_latency,
    Edge.update_latency]],
  ["Message"] = [[
    Message.command, Message.topic, Message.data, Message.timestamp, Message.ttl, Message.uuid,
    Message.decrement_ttl]],
  ["MessagesPool"] = "MessagesPool.__init__, MessagesPool.append, MessagesPool.contains",
  ["UDPProtocol"] = [[
    UDPProtocol.connection_lost, UDPProtocol.connection_made, UDPProtocol.datagram_received,
    UDPProtocol.error_received, UDPProtocol.node, UDPProtocol.on_message_received, UDPProtocol.pause_writing,
    UDPProtocol.resume_writing, UDPProtocol.track_task]],
}

local function read(path)
  local file = io.open(root .. path, "rb")
  local text = file and file:read "a"
  if file then file:close() end
  return text
end

--- Section -> the list of its rows: { name, here, spec, difference }.
local function tables_of(text)
  local tables, section = {}, nil
  for line in text:gmatch "[^\n]+" do
    section = line:match "^## (.*)" or section
    local name, here, spec, difference = line:match "^| `([^`]+)` | (.-) | (spec/.-) | (.-) |$"
    if name then
      tables[section] = tables[section] or {}
      table.insert(tables[section], { name = name, here = here, spec = spec, difference = difference, line = line })
    elseif line:find "^|" then
      assert(line:find "^| original |" or line:find "^|%-", "a row that cannot be read: " .. line)
    end
  end
  return tables
end

describe("docs/seed.md", function()
  local tables = tables_of(assert(read "docs/seed.md"))

  it("has a row for each part of the original", function()
    for section, list in pairs(public) do
      local there = {}
      for _, row in ipairs(tables[section] or {}) do
        there[row.name] = true
      end
      for name in list:gmatch "[%w_.]+[%w_. ]*" do
        assert.is_true(there[name], ("%s: no row for '%s'"):format(section, name))
      end
    end
  end)

  it("names only specs and tests that are there", function()
    local texts, count = {}, 0
    for _, rows in pairs(tables) do
      for _, row in ipairs(rows) do
        local path, test = row.spec:match "^(spec/[%w_/]+%.lua): (.+)$"
        assert.is_string(path, row.line)
        texts[path] = texts[path] or assert(read(path), "there is no " .. path)
        assert.truthy(texts[path]:find('"' .. test .. '"', 1, true), ("%s has no test '%s'"):format(path, test))
        count = count + 1
      end
    end
    assert.is_true(count > 100)
  end)

  it("says of each row what it is here, and what is different", function()
    for _, rows in pairs(tables) do
      for _, row in ipairs(rows) do
        assert.is_true(#row.here > 0 and #row.difference > 0, row.line)
        assert.is_true(row.here ~= "-" or #row.difference > 20, "gone, without a reason: " .. row.line)
      end
    end
  end)
end)
