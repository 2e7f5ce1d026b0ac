---@meta
-- meta.lua: the types of what C implements, for language servers. Never loaded.
-- SPDX-License-Identifier: MIT
-- luacheck: ignore

---@class chaski.error What stands after nil; tostring() reads well.
---@field code string stable name: "timeout", "refused", "full", "too_big", "no_edge", "stopped", ...
---@field message string
---@field edges chaski.edge[]? of publish and try_publish with code "full": those that keep it waiting

---@class chaski.node_options
---@field ip string? numeric; default "127.0.0.1"; in a simulation an address of its own
---@field port integer? 0: any free one; a root takes the first free one of 8511..8516
---@field name string? 1..64 bytes
---@field id string? the same in every start; default: a random uuid
---@field advertise string? host peers are told to dial
---@field subscriptions string|string[]?
---@field paired boolean? the first of its kind for all its subscriptions
---@field run boolean? default true
---@field root boolean?
---@field ttl integer? hops of own messages, 1..64; default 64
---@field max_connections integer? edges for one topic beyond which a discovery is not accepted; default 5
---@field reconnections integer? attempts of the default policy after a loss; default 32, 0: none
---@field reconnect chaski.reconnect_policy|chaski.reconnect_options|false|nil
---@field messages_pool_maxsize integer? ids of other makers that are remembered; default 8192
---@field message_propagation boolean? pass messages on; default false
---@field keep_alive boolean? ping every 7 to 10.5 s; default true
---@field serializer (fun(value: any): string)? covers data only, which travels as bin
---@field deserializer (fun(bytes: string): any)?
---@field udp boolean? a datagram socket on the same address and port; default true
---@field strings "auto"|"str"|"bin"|nil how Lua strings are packed; default "auto"
---@field overflow chaski.overflow|table<string|1, chaski.overflow>|nil also by topic, at 1 for all others; "disconnect"
---@field inbox_overflow chaski.inbox_overflow? default of subscriptions; "drop_new"
---@field limits table<string, number>? seconds, bytes and counts: all names are in node.limits; see chaski.limits
---@field discovery chaski.discovery.policy|string|nil a policy, or the module that is one
---@field heal chaski.heal.policy|string|boolean|nil make new edges when some are lost for good; true: the default policy, as "chaski.heal.passive"; default false
---@field status_extra (fun(node: chaski.node): table)? pairs added to every status
---@field introspect boolean? serve "chaski.edges": who it is, its edges and counters, to whoever asks; default false
---@field tls chaski.tls.context? both of the next two: with them all edges are of mutual TLS, and there are no datagrams
---@field ssl_context_client chaski.tls.context? what it dials with
---@field ssl_context_server chaski.tls.context? what it accepts with; both must name the same node
---@field ssl_certificates_location string? folder of the files that enrolling makes; default "."
---@field ssl_certificate_attributes { C: string?, ST: string?, L: string?, O: string?, OU: string? }|nil
---@field request_ssl_certificate string? an enrolment string: get a certificate before running (suspends), or use files
---@field renew boolean? renew what was got so, in time; default true
---@field revocation_interval number? seconds between questions to the CA for revocations; default: when renewing

--- What befalls a message for an edge whose queue is at its hard mark (queue_hard). Relayed messages are dropped, but
--- where it is drop_old.
---@alias chaski.overflow
---| "disconnect" # the edge is closed, as slow_consumer
---| "drop_new" # the message is not queued
---| "drop_old" # the oldest of such messages that have not gone out go for it, and for any other of the node's own
---| "block" # publish waits as long as any edge that wants it is above its high mark

---@alias chaski.inbox_overflow "drop_new"|"drop_old"|"disconnect"|"block"
---@class chaski.reconnect_options
---@field base number? s, the least delay; default 0.5
---@field cap number? s, the most; default 30, but 8 while the edge is suspended
---@field policy chaski.reconnect_policy? instead of the default one
---@field goodbye boolean? also after a peer that has stopped in good order: it may come back; default false

---@class chaski.limit
---@field value number seconds, bytes or a count
---@field hits integer how often it was met

--- Every limit of a node: an option of chaski.node{ limits = { … } }, and what it has come to.
---@class chaski.limits: { [string]: chaski.limit }
---@field data_max chaski.limit 8 MiB: data of one frame
---@field topic_max chaski.limit 256 bytes: topic of a frame: parsed for every frame, even a skipped one
---@field preauth_max chaski.limit 16 KiB: data of a frame before the handshake is complete
---@field connect_timeout chaski.limit 5 s: a dial, to the completed handshake
---@field handshake_timeout chaski.limit 10 s: an accepted connection's handshake
---@field frame_timeout chaski.limit 30 s: a started frame (slowloris)
---@field lease chaski.limit 15 s: silence after which a peer is dead
---@field keep_alive_interval chaski.limit 7 s: pings, the seed's; up to half as much more
---@field goodbye_timeout chaski.limit 1 s: reading to the end after a goodbye
---@field pending_max chaski.limit 100: connections without a handshake; the oldest goes
---@field pending_per_ip chaski.limit 10: the same from one address off loopback
---@field edges_max chaski.limit 1000: live edges
---@field edges_per_ip chaski.limit 16: those that were accepted from one address off loopback
---@field peer_subscriptions chaski.limit 65536: subscriptions one peer may announce
---@field queue_low chaski.limit 256 KiB: an edge's queue: writing resumes below
---@field queue_high chaski.limit 1 MiB: writing pauses above
---@field queue_hard chaski.limit 16 MiB: overflow applies above
---@field queue_total chaski.limit 256 MiB: all queues of the process together, the least of its nodes' counts; above, the largest goes
---@field queue_stall chaski.limit 10 s: above high without progress: slow_consumer
---@field resume_timeout chaski.limit 120 s: how long a lost edge may be resumed; 0: not at all
---@field resume_frames chaski.limit 65536: frames kept for a peer that has not acknowledged them
---@field resume_bytes chaski.limit 0 bytes: the same in bytes, never more than queue_hard; 0: as much
---@field inbox_max chaski.limit 1024: messages that wait for one subscription's handler
---@field messages_pool_maxsize chaski.limit 8192: ids of other makers that are remembered
---@field pool_per_edge chaski.limit 0: of these, those that came by one edge; 0: a quarter
---@field ttl_max chaski.limit 64: hops that a message from outside may claim to have left
---@field message_depth chaski.limit 32: tables in tables in the data of a message
---@field message_values chaski.limit 1048576: elements and pairs of all of them
---@field message_tables chaski.limit 65536: tables in it: a byte of wire becomes 56 or more of memory
---@field message_key chaski.limit 256 bytes: a key that is a string
---@field message_number_keys chaski.limit 4096: keys of its maps that are numbers: their hashes can collide
---@field request_rate chaski.limit 100: requests a second from one edge, and twice as many at once
---@field requests_max chaski.limit 1024: requests being answered at once
---@field requests_per_edge chaski.limit 256: of these, those of one edge
---@field discovery_rate chaski.limit 5: discoveries a second from one edge, and four times as many at once
---@field datagram_max chaski.limit 1200 bytes: a datagram: the least packet that every network of QUIC's carries
---@field datagram_rate chaski.limit 10: datagrams a second from one source, and twice as many at once
---@field datagram_rate_all chaski.limit 200: the same from all sources
---@field ping_echo_max chaski.limit 64 KiB: dummy data a pong echoes
---@field ping_rate chaski.limit 1000: pings a second of one edge that are answered, and twice as many at once
---@field log_rate chaski.limit 10: lines a second in the log of edges that ended; then their number
---@field loop_lag chaski.limit 0.1 s: a timer that rings so late: the loop was held up

--- Counters. Of frames: queued = acknowledged + written + lost + queue_dropped + in_flight, at every moment.
---@class chaski.ledger: { [string]: integer }
---@field queued integer accepted for an edge
---@field acknowledged integer the peer has said that it got them
---@field written integer left to the system, on edges without a session
---@field lost integer not known to have arrived when their edge or session ended
---@field queue_dropped integer taken out of a queue again for newer ones (overflow "drop_old")
---@field in_flight integer in the queues now
---@field dropped integer never queued: the edge's queue was full, or the peer would not have taken it
---@field inbox_dropped integer messages an inbox had no room for

---@alias chaski.reconnect_policy fun(node: chaski.node, edge: chaski.edge, attempt: integer, last: number?): number?

--- Healing: neighbours tell each other of peers, and a node that has lost edges dials some of those. A name of a module,
--- or the table; what is left out is as in the default policy.
---@class chaski.heal.policy
---@field active integer? edges a repair ends with, at most max_connections; default 5
---@field passive integer? peers beside the edges that are known, 1..30; default 30
---@field share integer? of these told by one peer, 1..30; default 15
---@field network integer? of these in one /24 (IPv6: /48) off loopback, 1..30; default 3: more for a mesh within one
---@field period number? s between exchanges with a neighbour; default 10
---@field patience number? s with too few edges before a repair: who reconnects has so long; default 3
---@field probe number? s between dials of a peer nobody has heard of for long; default 30
---@field floor chaski.heal.floor? edges below which it repairs; default: as many as it had, at most `active`
---@field choose chaski.heal.choose? whom to dial of those that may be dialled now, nil: nobody; default: any
---@field accept chaski.heal.accept? may a peer that has dialled in a repair stay? default: up to max_connections edges, three more when it is urgent; a root takes all

---@alias chaski.heal.floor fun(node: chaski.node, had: integer, active: integer): integer
---@alias chaski.heal.choose fun(node: chaski.node, candidates: chaski.heal.entry[]): chaski.heal.entry?
---@alias chaski.heal.accept fun(node: chaski.node, join: chaski.heal.join, edge: chaski.edge): boolean

---@class chaski.heal.entry A peer of the passive list.
---@field name string
---@field ip string numeric
---@field port integer
---@field heard number s, of chaski.now(): when somebody had an edge to it
---@field failed integer dials in vain in a row

---@class chaski.heal.join What a peer that has dialled in a repair says of itself.
---@field urgent boolean it has few edges, or comes from what may be another part of the network
---@field edges integer it has

---@class chaski.heal.status The field `heal` of a node's status.
---@field passive integer peers known beside its edges
---@field faded integer of these: not heard of for 300 s, or dialled in vain
---@field floor integer edges below which it repairs
---@field dials integer
---@field repaired integer of these: an edge that stayed
---@field refused integer peers in a repair that were not taken
---@field ignored integer messages and entries of peers that were not as they should be, or too many

---@alias chaski.handler fun(message: chaski.message, edge: chaski.edge)

---@class chaski.subscribe_options
---@field paired boolean?
---@field concurrency integer? handlers at a time; default 1
---@field inbox integer? messages that wait; default: the limit inbox_max
---@field overflow chaski.inbox_overflow? what happens to a message for a full inbox

---@alias chaski.event
---| "edge_open" # (edge)
---| "edge_closed" # (edge, reason, detail): also an accepted connection that never became live (edge.was_live is false)
---| "edge_suspended" # (edge, reason): its connection is lost; it stays live, and what is sent is kept
---| "edge_resumed" # (edge, lost): it goes on over a new one; lost: frames that the peer may have missed
---| "pause_writing" # (edge): above its high mark
---| "resume_writing" # (edge): at its low mark again
---| "edge_changed" # (edge): the peer's subscriptions, name or flags
---| "undelivered" # ({ reason =, topic =, uuid =, edge = })
---| "malformed_data" # (message, err, edge or nil)
---| "handler_error" # (err, where)
---| "forbidden" # (edge, right, topic): the peer has refused something of ours
---| "certificate" # (what, info) of its own: "renewed", "renewal_failed" (info.err), "expiring" (info.left), "expired"
---| "datagram" # (message, ip, port)
---| "udp_open" # ()
---| "udp_closed" # ()
---| "udp_error" # (reason)
---| "stopped" # ()

---@class chaski.subscription
---@field active boolean
---@field waiting integer messages in its inbox
---@field topics string[]
local subscription = {}

--- Undo it. What waits in its inbox is told as undelivered; a handler under way goes on.
function subscription:remove() end

---@class chaski.node
---@field name string
---@field id string
---@field ip string
---@field port integer
---@field address string "ip:port" that others may dial: with `advertise`, that host
---@field root boolean
---@field ttl integer
---@field origin integer 60 random bits of this start
---@field running boolean
---@field tls boolean what goes over its edges is encrypted, and both ends are who they say they are
---@field paired boolean it has a subscription, and every one is paired
---@field subscriptions string[] sorted
---@field edges chaski.edge[] live, in the order they became so
---@field edge_count integer how many these are, without an object for each
---@field message_propagation boolean
---@field messages_pool chaski.messages_pool
---@field max_connections integer
---@field reconnections integer
---@field ledger chaski.ledger
---@field limits chaski.limits
---@field status table
local node = {}

--- Listen, again after a stop on the same port.
---@return true?, chaski.error?
function node:run() end

--- Say goodbye, send what is queued, close. Suspends until that is done; the node's tasks end.
---@param options { timeout: number? }? seconds; default 2
---@return true
function node:stop(options) end

--- Get a certificate with an enrolment string, or use the files there are for whom it is for, and go on over TLS: the
--- node, which must have no edges, stops and runs again at the same port under the certificate's name. Suspends. After a
--- failure a node that was in clear does not run.
---@param text string
---@param options { timeout: number? }? seconds; default 10
---@return true?, chaski.error?
function node:request_ssl_certificate(text, options) end

--- Ask the CA for its revocation lists now, and tell the mesh what is new.
---@param options { address: string?, timeout: number? }? of the CA, for a node that was not enrolled by it; seconds
---@return integer? number of the newest list, chaski.error?
function node:refresh_revocations(options) end

---@class chaski.connect_options
---@field timeout number? seconds; default: the limit connect_timeout
---@field paired string? a dial-back: a report_paired of this topic goes first
---@field report table? what else that report says
---@field discovery boolean? then search a peer for each topic that is not paired, and leave this one when one is found
---@field discovery_timeout number? seconds; default 10

--- Suspends until the peer counts the edge too (it has answered a ping). A dial-back does not wait for that. With
--- discovery, the edge that remains: to the peer at the address, or, when that was left, to one that was found.
---@param address string|chaski.node "host:port", "Name@host:port"; or an ip, with the port apart
---@param options chaski.connect_options?
---@return chaski.edge?, chaski.error?
---@overload fun(self: chaski.node, ip: string, port: integer, options: chaski.connect_options?): chaski.edge?, any
function node:connect(address, options) end

---@param edge chaski.edge|string edge, "ip:port", or ip
---@param port integer?
---@return true?, chaski.error?
function node:close_connection(edge, port) end

---@param topics string|string[]
---@param handler chaski.handler?
---@param options chaski.subscribe_options?
---@return chaski.subscription?, chaski.error? nil when its certificate does not allow it: code "forbidden"
function node:subscribe(topics, handler, options) end

--- Remove every subscription to these topics.
---@param topics string|string[]
function node:unsubscribe(topics) end

---@param topic string
---@return boolean
function node:paired_for(topic) end

--- Handle a command of the application's own; one handler a command.
---@param command string
---@param handler chaski.handler
---@param options chaski.subscribe_options?
---@return chaski.subscription
function node:handle(command, handler, options) end

--- for message, edge in node:messages("topic") do ... end; ends after timeout without a message, or with the node.
---@param topics string|string[]
---@param options { timeout: number?, inbox: integer?, overflow: chaski.inbox_overflow? }? seconds
---@return fun(): chaski.message?, chaski.edge?
function node:messages(topics, options) end

---@param event chaski.event
---@param fn function each call is a task
---@return chaski.handle
function node:on(event, fn) end

--- Send to every edge that wants the topic. Suspends while every one of them is full.
---@param topic string
---@param data any
---@param options { ttl: integer?, edge: chaski.edge? }?
---@return true?, chaski.error?
function node:publish(topic, data, options) end

--- As publish, but never suspends: nil, err with code "full" and the edges in err.edges instead.
---@param topic string
---@param data any
---@param options { ttl: integer?, edge: chaski.edge? }?
---@return true?, chaski.error?
function node:try_publish(topic, data, options) end

--- Send a command to one edge, or to all.
---@param command string
---@param data any
---@param options { edge: chaski.edge?, topic: string? }?
---@return true?, chaski.error?
function node:write(command, data, options) end

--- Send bytes that are one whole frame.
---@param bytes string
---@param options { edges: chaski.edge[]?, excluded_edges: chaski.edge[]? }?
---@return true?, chaski.error?
function node:write_data(bytes, options) end

--- Send one datagram, best effort: no more than 1200 bytes. Its data are the serializer's, as those of every command.
---@param command string
---@param data any
---@param ip string numeric
---@param port integer
---@return true?, chaski.error?
function node:send_udp_message(command, data, ip, port) end

--- Pass a message on, ttl counted down, to all edges that want it but the one it came by.
---@param message chaski.message
---@param edge chaski.edge?
---@return true?, chaski.error?
function node:propagate(message, edge) end

function node:enable_message_propagation() end
function node:disable_message_propagation() end

---@param command string
---@return true?, chaski.error?
function node:add_propagation_command(command) end

---@param command string
function node:remove_propagation_command(command) end

---@param message chaski.message
---@return string? frame, chaski.error?
function node:serialize_message(message) end

---@return string a random uuid
function node:uuid() end

---@param ip string ip, or "ip:port"
---@param port integer?
---@return chaski.edge?
function node:get_edge(ip, port) end

---@param name string
---@return chaski.edge?
function node:get_edge_by_name(name) end

---@param peer string|chaski.node|chaski.edge
---@return boolean
function node:is_connected_to(peer) end

---@return integer removed
function node:remove_duplicated_connections() end

--- Search a peer for each topic of the node that no edge shares: topic -> edge of what was found, and the list of topics
--- nobody answered for. nil, err when it could not search.
---@param options { node: chaski.edge?, on_pair: "none"|"disconnect"|nil, timeout: number? }? seconds; default 10
---@return table<string, chaski.edge>?, string[]|chaski.error|nil
function node:discovery(options) end

--- Ask one edge, or all (the first answer counts), to call what it serves as `callback`.
---@param callback string
---@param kwargs table?
---@param options { edge: chaski.edge?, timeout: number? }? seconds; default 5
---@return any answer, chaski.error?
function node:request(callback, kwargs, options) end

--- Let peers call fn(kwargs, edge) as `callback`; what it returns is the answer. nil and a reason, or an error raised,
--- gives who asks nil and an error with code "failed".
---@param callback string
---@param fn fun(kwargs: table, edge: chaski.edge): any, any
---@return chaski.handle
function node:serve(callback, fn) end

--- Ask a node for its status by datagram: name, serving, reconnecting, paired (topic -> boolean).
---@param ip string numeric
---@param port integer
---@param options { timeout: number?, topic: string? }? seconds, default 1.5; of this topic only
---@return table?, chaski.error?
function node:request_status(ip, port, options) end

--- The runtime shakes hands once for each connection: always nil, err, with code "live", or "no_edge" for an ended edge.
---@param edge chaski.edge
---@param options { delay: number?, response: boolean? }? seconds
---@return nil, chaski.error
function node:handshake(edge, options) end

---@param value any
---@return string?, chaski.error?
function node:serializer(value) end

---@param bytes string
---@return any value the bytes themselves, and the error, when they cannot be read
---@return chaski.error?
function node:deserializer(bytes) end

---@return integer?, chaski.error?
function node:get_free_port() end

---@param port integer
---@return boolean
function node:is_port_available(port) end

--- Round trip in ms; without an edge: of every edge that answers, edge -> ms.
---@param edge chaski.edge?
---@param options { size: integer?, delay: number?, timeout: number?, latency_update: boolean? }? bytes, seconds
---@return number|table<chaski.edge, number>|nil, chaski.error?
function node:ping(edge, options) end

--- Follow the node's policy of reconnecting, now.
---@param edge chaski.edge
---@return chaski.edge?, chaski.error?
function node:try_to_reconnect(edge) end

---@class chaski.session
---@field state "live"|"suspended"
---@field sent integer frames
---@field acknowledged integer of these
---@field received integer frames
---@field kept_frames integer sent and not acknowledged
---@field kept_bytes integer
---@field resumes integer how often it went on over a new connection

---@class chaski.edge
---@field node chaski.node
---@field name string the peer's
---@field id string "" if it has none
---@field ip string
---@field port integer
---@field address string "ip:port" as advertised
---@field local_address string?
---@field remote_address string? of the socket
---@field dialled_address string? what connect was given
---@field number integer
---@field live boolean
---@field was_live boolean it is live, or was
---@field dialled boolean by this node
---@field suspended boolean live, and without a connection at present
---@field session chaski.session? nil if the peer has no sessions
---@field writable boolean
---@field paired boolean may be assigned
---@field root boolean
---@field propagates boolean
---@field protocol integer 0: an original node
---@field agent string
---@field subscriptions string[] sorted
---@field latency number ms, half a round trip
---@field jitter number ms: how uncertain the latency is; begins with 100, as the original's does
---@field rtt_min number ms
---@field srtt number ms
---@field ping_in_progress boolean
---@field queued integer bytes
---@field counters table<string, integer>
---@field reason string? why it ended
---@field detail string
local edge = {}

--- Close it with a goodbye.
---@param reason string? default "closed"
---@return true
function edge:close(reason) end

---@param options { size: integer?, delay: number?, timeout: number?, latency_update: boolean? }? bytes, seconds
---@return number? ms, chaski.error?
function edge:ping(options) end

function edge:reset_latency() end

---@param rtt number ms
function edge:update_latency(rtt) end

---@param topic string
---@return boolean
function edge:is_subscribed(topic) end

---@class chaski.message
---@field command string
---@field topic string
---@field data any decoded when first read; raises "malformed_data"; may be assigned
---@field timestamp any chaski.timestamp
---@field ttl integer as received
---@field uuid string?
---@field origin integer? of our own kind of uuid
---@field seq integer?
---@field bytes string data as it came
---@field size integer bytes of data
---@field wire_size integer bytes of its whole frame or datagram
local message = {}

---@return table
function message:totable() end

---@return integer ttl
function message:decrement_ttl() end

---@class chaski.messages_pool A resource: `local pool <close> = chaski.messages_pool(100)`. #pool: the ids in it.
local pool = {}

---@param id string an id that is there becomes the youngest
function pool:append(id) end

---@param id string
---@return boolean
function pool:contains(id) end

---@return table<string, integer>
function pool:stats() end

---@class chaski.sim
local sim = {}

--- Cancel its tasks, which get one turn to tidy up, and end its nodes. Not inside of its run.
function sim:close() end

--- Nothing reaches or leaves this host (its node, or an ip), as if the process were stopped; false: it goes on.
---@param host chaski.node|string
---@param on boolean
function sim:stall(host, on) end

--- Dials to this host are refused; false: accepted again.
---@param host chaski.node|string
---@param on boolean
function sim:refuse(host, on) end

--- A host name resolves to this host from now on; nil: to nothing.
---@param name string
---@param host chaski.node|string|nil
function sim:name(name, host) end

---@class chaski.task
---@field status "running"|"parked"|"over"
local task = {}

--- Wait until it is over: true and what its function has returned, or nil and its error (or code "timeout").
---@param timeout number? seconds
---@return true?, any ...
function task:join(timeout) end

--- Raises an error with code "cancelled" where the task waits.
function task:cancel() end

---@class chaski.timestamp Can be compared. tostring() is as ISO 8601 has it.
---@field sec integer since 1970-01-01 UTC
---@field nsec integer 0..999999999
local timestamp = {}

---@return number
function timestamp:seconds() end

---@class chaski.bin Bytes of MessagePack's bin: tostring() gives them.
---@class chaski.str Text of MessagePack's str: tostring() gives it.

---@class chaski.ext An extension of MessagePack that is not known here.
---@field type integer
---@field bytes string

---@class chaski.unpack_options
---@field strings "auto"|"str"|"bin"|nil default "auto": str and bin are strings; else the other kind is marked
---@field depth integer? tables in tables
---@field count integer? elements of arrays and pairs of maps, all together
---@field tables integer?
---@field key_size integer? bytes of a string key

---@class chaski.pack_options: chaski.unpack_options
---@field sort_keys boolean? the same value has the same bytes
---@field size integer? bytes of the result

---@class chaski.handler_limits For how long a handler may run without waiting, in seconds; 0: never.
---@field warn number? default 0.1: log where it is
---@field limit number? default 1: raise an error in it
---@field abort number? default 0: end the process with exit code 70, as a C function runs that cannot be stopped
---@field warned integer? returned: how many were told of
---@field stopped integer? returned: how many were stopped

---@class chaski.log Lines in the log, as the node's own. With more than one argument the first is a format of string.format; nothing is formatted that is not written.
local log = {}

---@param text any
---@param ... any
function log.error(text, ...) end

---@param text any
---@param ... any
function log.warn(text, ...) end

---@param text any
---@param ... any
function log.info(text, ...) end

---@param text any
---@param ... any
function log.debug(text, ...) end

---@param text any
---@param ... any
function log.trace(text, ...) end

--- The level up to which lines are written; with an argument, set it.
---@param level "error"|"warn"|"info"|"debug"|"trace"|nil
---@return string
function log.level(level) end

---@class chaski
---@field version string
---@field null userdata nil in an array
---@field pack fun(value: any, options: chaski.pack_options?): string?, chaski.error?
---@field unpack fun(bytes: string, options: chaski.unpack_options?): any, chaski.error?
---@field array fun(list: table?): table the same table, marked: an array also when it is empty
---@field map fun(map: table?): table the same table, marked: a map also when its keys are 1..n
---@field bin fun(bytes: string): chaski.bin
---@field str fun(text: string): chaski.str
---@field timestamp fun(sec: number, nsec: integer?): chaski.timestamp
---@field ext fun(type: integer, bytes: string): chaski.ext
---@field spawn fun(fn: function, ...: any): chaski.task runs at once until it first waits
---@field sleep fun(seconds: number)
---@field run fun(main: function, ...: any): any ... in a stock lua5.4: main as a task, and the loop until it is over
---@field random (fun(): number)|(fun(low: integer, high: integer?): integer) as math.random; repeats in a simulation
---@field uuid fun(): string a random one
---@field now fun(): number monotonic seconds
---@field address fun(text: string): { name: string?, host: string, port: integer }?, chaski.error?
---@field messages_pool fun(maxsize: integer?): chaski.messages_pool default 8192
