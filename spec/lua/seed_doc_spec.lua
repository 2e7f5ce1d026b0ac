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
  ["Parameters of methods"] = [[
    _connect_to_peer(node, peer_port, paired, data), _connected(reader, writer),
    _generic_request_udp(callback, kwargs, edge), _get_status(**kwargs), _keep_alive(interval),
    _loop_message(message, edge), _ping(server_edge, delay, latency_update, size), _process_discovery(message, edge),
    _process_handshake(message, edge), _process_handshake_back(message, edge), _process_ping(message, edge),
    _process_pong(message, edge), _process_report_paired(message, edge), _process_request_udp(message, edge),
    _process_response_udp(message, edge), _process_udp_message(data, addr), _reader_loop(edge),
    _request_status(dest_ip, dest_port), _send_udp_message(command, message, dest_ip, dest_port),
    _test_generic_request_udp(echo_data), _test_generic_response_udp(**echo_data), _write(command, data, edge, topic),
    _write_data(data, edges, excluded_edges), add_propagation_command(command), close_connection(edge, port),
    connect(address_or_ip_or_node, port, discovery, discovery_timeout), deserializer(data),
    discovery(node, on_pair, timeout), get_edge(ip, port), get_edge_by_name(node_name),
    handshake(server_edge, delay, response), is_connected_to(node), is_port_available(port), paired_for(subscription),
    ping(server_edge, size), propagate(message, source_edge), remove_propagation_command(command),
    request_ssl_certificate(ca_address), serialize_message(message), serializer(obj), subscribe(subscriptions, paired),
    track_task(coro), try_to_reconnect(edge), Edge.update_latency(new_latency), MessagesPool(maxzise),
    MessagesPool.append(item), MessagesPool.contains(item), UDPProtocol.connection_lost(exc),
    UDPProtocol.connection_made(transport), UDPProtocol.datagram_received(message, addr),
    UDPProtocol.error_received(exc), UDPProtocol.track_task(coro)]],
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

--- What a list of `public` names: as it stands, or one name for each parameter of a method.
local function names_in(list)
  local names = {}
  for name, parameters in (list:gsub("%s+", " ") .. ","):gmatch " ?([%w_. ]+)(%b())," do
    for parameter in parameters:gmatch "[*%w_]+" do
      names[#names + 1] = ("%s(%s)"):format(name, parameter)
    end
  end
  for name in list:gsub("[%w_.]+%b()", ""):gmatch "[%w_.]+[%w_. ]*" do
    names[#names + 1] = name
  end
  return names
end

--- Section -> the list of its rows: { name, here, spec, difference }, and what is wrong with rows that cannot be read.
local function tables_of(text)
  local tables, wrong, section = {}, {}, nil
  for line in text:gmatch "[^\n]+" do
    section = line:match "^## (.*)" or section
    local name, here, spec, difference = line:match "^| `([^`]+)` | (.-) | (spec/.-) | (.-) |$"
    if name then
      tables[section] = tables[section] or {}
      table.insert(tables[section], { name = name, here = here, spec = spec, difference = difference, line = line })
    elseif line:find "^|" and not (line:find "^| original |" or line:find "^|%-") then
      wrong[#wrong + 1] = "a row that cannot be read: " .. line
    end
  end
  return tables, wrong
end

local function escaped(text)
  return (text:gsub("%p", "%%%0"))
end

local has_test = {}

--- `it "test"` or `it("test"`, on a line or two; not in a comment.
function has_test.lua(text, test)
  local code = ("\n" .. text):gsub("\n%s*%-%-[^\n]*", "\n")
  return code:find('%f[%w]it%s*%(?%s*"' .. escaped(test) .. '"') ~= nil
end

--- A test function of cmocka that is run.
function has_test.c(text, test)
  return text:find("\nstatic void " .. test .. "(", 1, true) ~= nil
    and text:find("unit_test[%w_]*%(" .. test .. "[,)]") ~= nil
end

--- What is wrong with the spec a row names; nil if nothing is.
local function wrong_spec(row)
  local path, kind, test = row.spec:match "^(spec/[%w_/]+%.(%l+)): (.+)$"
  if not path or not has_test[kind] then return "no spec and test: " .. row.line end
  local text = read(path)
  if not text then return "there is no " .. path end
  if not has_test[kind](text, test) then return ("%s has no test '%s'"):format(path, test) end
end

local function wrong_words(row)
  if #row.here == 0 or #row.difference == 0 then return "nothing is said of it: " .. row.line end
  if row.here == "-" and #row.difference < 20 then return "gone, without a reason: " .. row.line end
end

local function add_missing(tables, section, list)
  local there = {}
  for _, row in ipairs(tables[section] or {}) do
    there[row.name] = true
  end
  for _, name in ipairs(names_in(public[section])) do
    if not there[name] then list[#list + 1] = ("%s: no row for '%s'"):format(section, name) end
  end
end

--- All that is wrong with such a document, and the number of its rows.
local function faults(text)
  local tables, list = tables_of(text)
  local count = 0
  for section in pairs(public) do
    add_missing(tables, section, list)
  end
  for _, rows in pairs(tables) do
    for _, row in ipairs(rows) do
      list[#list + 1] = wrong_spec(row)
      list[#list + 1] = wrong_words(row)
      count = count + 1
    end
  end
  return list, count
end

describe("docs/seed.md", function()
  local text = assert(read "docs/seed.md")

  it("has a row for each part of the original, each with a test that is there", function()
    local list, count = faults(text)
    assert.same({}, list)
    assert.is_true(count > 200, count .. " rows")
  end)

  it("counts every part of the original", function()
    local count = 0
    for _, list in pairs(public) do
      count = count + #names_in(list)
    end
    assert.equal(209, count)
    assert.same({ "f(a)", "f(b)", "G.h(**c)", "class X", "y" }, names_in "f(a, b),\n  G.h(**c), class X, y")
  end)
end)

describe("the check of docs/seed.md", function()
  local text = assert(read "docs/seed.md")
  local row = assert(text:match "\n(| `uuid` |[^\n]*)\n")

  --- The one fault of the document with that row in the place of the one of `uuid`.
  local function fault(other)
    local list = faults((text:gsub(escaped(row), (other:gsub("%%", "%%%%")))))
    assert.equal(1, #list, table.concat(list, "\n"))
    return list[1]
  end

  it("finds a row that names a spec file that does not exist", function()
    local other = row:gsub("spec/lua/seed_spec", "spec/lua/nowhere_spec")
    assert.equal("there is no spec/lua/nowhere_spec.lua", fault(other))
  end)

  it("finds a row that names a test that does not exist", function()
    assert.equal("spec/lua/seed_spec.lua has no test 'makes uuid'", fault((row:gsub("makes uuids", "makes uuid"))))
    assert.equal(
      "spec/core/udp_error_test.c has no test 'an_error'",
      fault((row:gsub("spec/lua/seed_spec.lua: makes uuids", "spec/core/udp_error_test.c: an_error")))
    )
  end)

  it("finds a row that names no test at all", function()
    assert.matches("^no spec and test: ", fault((row:gsub(": makes uuids", ""))))
    assert.matches("^no spec and test: ", fault((row:gsub("seed_spec.lua", "seed.txt"))))
  end)

  it("finds a row that is missing, or cannot be read", function()
    assert.equal("Methods and properties of ChaskiNode: no row for 'uuid'", fault "")
    local list = faults((text:gsub(escaped(row), "| uuid | x |")))
    assert.same("a row that cannot be read: | uuid | x |", list[1])
  end)

  it("finds a row that gives no reason", function()
    assert.matches("^gone, without a reason", fault((row:gsub("| `node:uuid.- |", "| - |"))))
  end)

  it("takes no test for one that is commented out or only mentioned", function()
    assert.is_true(has_test.lua('  it("does it", function()', "does it"))
    assert.is_true(has_test.lua('it(\n    "does it",\n', "does it"))
    assert.is_false(has_test.lua('  -- it("does it", function()', "does it"))
    assert.is_false(has_test.lua('error "does it"', "does it"))
    assert.is_false(has_test.lua('  it("does it not", function()', "does it"))
    assert.is_false(has_test.c("\nstatic void does_it(void **state) {}", "does_it"))
  end)
end)
