/* node.h: nodes and edges, the core's face to who embeds it (the Lua binding is one such).
 *
 * Everything happens on the loop's thread. Upcalls (chaski_node_events, done functions) are never made from inside the
 * function that caused them unless said so; any function here may be called from any upcall, destroying the
 * node included: memory that an upcall in progress needs stays until it has returned.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_NODE_H
#define CHASKI_NODE_H

#include "address.h"
#include "latency.h"
#include "limits.h"
#include "loop.h"
#include "message.h"
#include "pool.h"

typedef struct chaski_node chaski_node;
typedef struct chaski_edge chaski_edge;
typedef struct chaski_subscription chaski_subscription;

#define CHASKI_PROTOCOL 1      /* the number we announce in the handshake */
#define CHASKI_PORT_FIRST 8511 /* a root without a port takes the first free one of these */
#define CHASKI_PORT_LAST 8516
#define CHASKI_ID_MAX 64 /* bytes of a node id */

/* What happens to a frame for an edge whose queue is at its hard mark. */
enum chaski_overflow {
  CHASKI_OVERFLOW_DISCONNECT, /* close the edge as slow_consumer (default for own messages) */
  CHASKI_OVERFLOW_DROP_NEW,   /* this frame is not queued (always for relayed ones) */
  CHASKI_OVERFLOW_BLOCK,      /* publish gives EFULL as long as any edge is above its high mark */
  CHASKI_OVERFLOW_DROP_OLD,   /* the oldest queued messages of such topics go for it, and for any other own frame */
};

typedef struct chaski_node_options {
  const char *name;      /* 1..CHASKI_NAME_MAX bytes; NULL: made from the id ("node-1a2b3c4d") */
  const char *id;        /* 1..CHASKI_ID_MAX bytes, the same in every start; NULL: a random UUID */
  const char *ip;        /* numeric; NULL: "127.0.0.1" */
  uint16_t port;         /* 0: see chaski_node_run */
  const char *advertise; /* host peers are told to dial; NULL: ip, or for the any-address the connection's own */
  bool root, propagation, keep_alive;
  bool udp;    /* open a datagram socket on the same address and port */
  uint8_t ttl; /* of own messages, 1..64; 0: 64 */
  enum chaski_overflow overflow;
  chaski_limits limits;
} chaski_node_options;

void chaski_node_options_init(chaski_node_options *o); /* keep_alive and udp on, ip 127.0.0.1, ttl 64 */

/* Upcalls; `user` is the node's. Any may be NULL. */
typedef struct chaski_node_events {
  /* A ChaskiMessage for a subscription (one call for each matching one) has arrived. The message lives during the call.
   * sub_user is what chaski_node_subscribe was given. */
  void (*message)(void *user, void *sub_user, chaski_edge *edge, const chaski_message *message);
  /* A command registered by chaski_node_handle has arrived; handler is its pointer. */
  void (*command)(void *user, void *handler, chaski_edge *edge, const chaski_message *message);
  /* A command without a handler has arrived. true: it has been given one in this call, which gets this message. */
  bool (*unhandled)(void *user, chaski_slice command);
  /* The edge is live (listed). Called before the done functions of chaski_node_connect. */
  void (*edge_live)(void *user, chaski_edge *edge);
  /* The edge has ended, or a connection that never became one (chaski_edge_was_live tells). Once for each edge that
   * was live and each accepted connection; a dial that fails is told to its done function only. reason: a code;
   * detail: static text or "" (which rule was broken). */
  void (*edge_closed)(void *user, chaski_edge *edge, int reason, const char *detail);
  /* The edge's queue passed its high mark (writable false) or fell to its low mark (true). */
  void (*edge_writable)(void *user, chaski_edge *edge, bool writable);
  /* The connection was lost; the edge stays live and what is sent is kept, until it is resumed or edge_closed tells
   * that it was not, resume_timeout later. reason: of the loss. */
  void (*edge_suspended)(void *user, chaski_edge *edge, int reason);
  /* It goes on over a new connection. lost: frames that the peer may have missed, 0 if the session was resumed. */
  void (*edge_resumed)(void *user, chaski_edge *edge, uint64_t lost);
  /* The peer's subscriptions, name or flags have changed. */
  void (*edge_changed)(void *user, chaski_edge *edge);
  /* Publishing that was refused with EFULL may be tried again. */
  void (*drained)(void *user);
  /* A frame accepted or received is not delivered to this edge (EFULL, ESLOW, ELOST, ETOOBIG, …) or to nobody (edge
   * NULL). message may be incomplete: topic and uuid are set (empty when unknown). */
  void (*undelivered)(void *user, chaski_edge *edge, const chaski_message *message, int reason);
  /* The peer let us know that it refused something of ours: publishing or subscribing to this topic is not our right.
   */
  void (*forbidden)(void *user, chaski_edge *edge, enum chaski_right right, chaski_slice topic);
  /* A datagram has come (at most CHASKI_DATAGRAM_MAX bytes, within the rate limits, a valid message). host is numeric.
   * All is valid during the call; message->frame is empty. */
  void (*datagram)(void *user, const char *host, uint16_t port, const chaski_message *message);
  /* The datagram socket is open (open true), or has been closed; status: why it failed meanwhile (it stays open). */
  void (*udp)(void *user, bool open, int status);
  /* chaski_node_stop has finished: no edge, no listener, no handle is left. run may be called again. */
  void (*stopped)(void *user);
} chaski_node_events;

/* Make a node; it does nothing until run. Everything in options is copied. CHASKI_OK, ENOMEM, EINVAL (and *why, static,
 * says which option). */
int chaski_node_new(chaski_loop *loop, const chaski_node_options *options, const chaski_node_events *events, void *user,
                    chaski_node **out, const char **why);
/* Close everything at once (no goodbye, no upcall any more) and free the node; nulls *node. Edges that were referenced
 * stay readable. */
void chaski_node_destroy(chaski_node **node);

/* Listen. A root without a port takes the first free one of CHASKI_PORT_FIRST..LAST, else, as every other node without
 * a port, an ephemeral one; after a stop, the same port again. CHASKI_OK, or a code (EINUSE, EACCESS, …). Running
 * already: CHASKI_OK. */
int chaski_node_run(chaski_node *node);
/* Leave: say goodbye on every edge, send what is queued, read to the end; close all that is still open after `deadline`
 * ns. `stopped` follows once, not from inside. Pending connects end with ESTOPPED. Not running: `stopped` follows
 * too. */
void chaski_node_stop(chaski_node *node, uint64_t deadline);
bool chaski_node_running(const chaski_node *node);

/* Listen and dial over this transport from the next run on (NULL: the environment's); ctx goes to its functions and
 * must outlive the node or the next set. identity, unless NULL, becomes the node's id and its name: what a transport
 * vouches for. CHASKI_OK; ELIVE while the node is running; EINVAL (identity); ENOMEM. */
int chaski_node_set_transport(chaski_node *node, const chaski_transport *transport, void *ctx, const char *identity);
/* Ask the transport again whether the peers of the live edges are welcome; edges of those that are not end with
 * ECERTIFICATE, told at the next turn. */
void chaski_node_recheck(chaski_node *node);
/* Until when the certificates of the edge's connection are good, s since 1970; 0: they do not expire, or it has no
 * connection at present. */
int64_t chaski_edge_expires(const chaski_edge *edge);
/* Have the edge go on over a new connection, as after a loss: it is suspended, and who dialled must dial again. false:
 * it has no session, or no connection at present; nothing was done. */
bool chaski_edge_reconnect(chaski_edge *edge);

const char *chaski_node_name(const chaski_node *node);
const char *chaski_node_id(const chaski_node *node);
const char *chaski_node_ip(const chaski_node *node);
uint16_t chaski_node_port(const chaski_node *node); /* 0 until run when none was given */
bool chaski_node_root(const chaski_node *node);
uint8_t chaski_node_ttl(const chaski_node *node);
uint64_t chaski_node_origin(const chaski_node *node); /* the 60 bits of this start */
chaski_loop *chaski_node_loop(const chaski_node *node);
const chaski_limits *chaski_node_limits(const chaski_node *node);
const chaski_limits *chaski_node_limit_hits(const chaski_node *node); /* same shape, counts */
void chaski_node_limit_hit(chaski_node *node, size_t offset); /* in chaski_limits: count one the embedder enforces */
chaski_pool *chaski_node_pool(chaski_node *node);             /* the node's; lives as long as it */
bool chaski_node_propagation(const chaski_node *node);
void chaski_node_set_propagation(chaski_node *node, bool on); /* told to the peers */
/* Commands whose messages are passed on (ChaskiMessage is one from the start). ENOMEM; add of one that is there: OK. */
int chaski_node_add_propagation_command(chaski_node *node, chaski_slice command);
void chaski_node_remove_propagation_command(chaski_node *node, chaski_slice command);

typedef struct chaski_counters {
  uint64_t published;   /* messages accepted by publish */
  uint64_t delivered;   /* messages handed to the `message` upcall, once for each subscription */
  uint64_t relayed;     /* copies queued for other edges on behalf of others */
  uint64_t duplicates;  /* messages dropped because they were seen */
  uint64_t own;         /* own messages that came back */
  uint64_t stale;       /* older than their origin's window */
  uint64_t expired;     /* not passed on because their ttl had run out */
  uint64_t unwanted;    /* neither subscribed to nor to be passed on */
  uint64_t unknown;     /* commands nobody handles */
  uint64_t ignored;     /* answers to nothing we asked (an unknown pong, a second handshake_back) */
  uint64_t no_interest; /* own messages that no edge wanted */
  uint64_t forbidden;   /* messages refused because their sender may not publish to the topic */
  uint64_t dropped;     /* copies not queued: the edge's queue was at its hard mark */
  /* The ledger of frames: queued = acknowledged + written + lost + queue_dropped + chaski_node_in_flight(), at every
   * moment. */
  uint64_t queued;        /* frames accepted for an edge; on one with a session only those that it counts */
  uint64_t acknowledged;  /* the peer has said that it got them */
  uint64_t written;       /* on edges without a session: left to the transport */
  uint64_t lost;          /* not known to have arrived when their edge or session ended */
  uint64_t queue_dropped; /* taken out of a queue again to make room (CHASKI_OVERFLOW_DROP_OLD) */
  uint64_t resumes;       /* sessions that went on over a new connection */
  uint64_t malformed;     /* edges closed for a malformed frame */
  uint64_t frames_in, frames_out, bytes_in, bytes_out;
  uint64_t datagrams_in, datagrams_out, bad_datagrams; /* bad: too large, or no message */
} chaski_counters;
const chaski_counters *chaski_node_counters(const chaski_node *node);
uint64_t chaski_node_in_flight(const chaski_node *node); /* frames, counted by walking the queues */

/* --- subscriptions and commands ----------------------------------------------------------------------------- */
/* Subscribe to a topic (1..topic_max bytes of text); several subscriptions to one topic all get each message, in the
 * order they were made. On a root the topic "@" takes every message that no other subscription of the node took. Peers
 * are told when a topic is new. CHASKI_OK, ENOMEM, EINVAL, ETOOBIG, EFORBIDDEN (our certificate does not allow it). */
int chaski_node_subscribe(chaski_node *node, chaski_slice topic, void *sub_user, chaski_subscription **out);
/* From now on there is no upcall for it: all it does is that the topic is subscribed to. */
void chaski_subscription_silence(chaski_subscription *sub);
/* Remove it; allowed inside its own message upcall. */
void chaski_subscription_remove(chaski_subscription *sub);
/* Call fn(ctx, topic, has) for each topic subscribed to, in no particular order. */
void chaski_node_topics(const chaski_node *node, void (*fn)(void *ctx, chaski_slice topic), void *ctx);
bool chaski_node_subscribed(const chaski_node *node, chaski_slice topic);

/* Handle a command of the application's own; handler NULL removes. CHASKI_OK, ENOMEM, EINVAL (empty, too long, or one
 * of the protocol's). One handler a command: the last one given. */
int chaski_node_handle(chaski_node *node, chaski_slice command, void *handler);

/* --- sending ------------------------------------------------------------------------------------------------ */
/* Publish one ChaskiMessage; data is one serialised value. edge NULL: to every live edge that wants the topic; else
 * only there. ttl 0: the node's. uuid_out (CHASKI_UUID_TEXT bytes) may be NULL. CHASKI_OK: accepted (also when no edge
 * is interested: counters.no_interest). EFULL: every edge it would go to is above its high mark, nothing was sent,
 * `drained` will follow. ETOOBIG, ENOEDGE (no live edge at all, or edge not live), ESTOPPED, EINVAL (topic), ENOMEM:
 * nothing was sent. */
int chaski_node_publish(chaski_node *node, chaski_slice topic, chaski_slice data, chaski_edge *edge, uint8_t ttl,
                        char *uuid_out);
/* The same for one value in two parts, of which the second may be empty: a head, and bytes that lie elsewhere. */
int chaski_node_publish_parts(chaski_node *node, chaski_slice topic, const chaski_slice data[2], chaski_edge *edge,
                              uint8_t ttl, char *uuid_out);
/* Send a command to one live edge, or to all (edge NULL). topic empty: "All". Never suspends: an edge at its hard mark
 * overflows. Codes as publish. */
int chaski_node_write(chaski_node *node, chaski_slice command, chaski_slice topic, chaski_slice data,
                      chaski_edge *edge);
/* Send bytes that are one whole frame to the n edges, or, n 0, to all live edges but the excluded ones. EMALFORMED when
 * the bytes are no frame with a valid envelope. */
int chaski_node_write_data(chaski_node *node, chaski_slice frame, chaski_edge *const *edges, size_t n,
                           chaski_edge *const *excluded, size_t n_excluded);
/* Pass a received message on: its frame with the ttl counted down, to all edges that want it but `from` (may be NULL).
 * data NULL: unchanged; else this value instead. CHASKI_OK, or EXPIRED-like: ENOEDGE, EINVAL (ttl has run out),
 * EFORBIDDEN, … */
int chaski_node_propagate(chaski_node *node, const chaski_message *message, const chaski_edge *from,
                          const chaski_slice *data);

/* What happens at the hard mark to messages of this topic, own ones and, if it is DROP_OLD, relayed ones, instead of
 * what the node's option says. CHASKI_OK, ENOMEM, EINVAL (topic). */
int chaski_node_set_overflow(chaski_node *node, chaski_slice topic, enum chaski_overflow overflow);
/* Call fn(ctx, edge) for each edge that keeps a publish to the topic (to `edge` only, unless NULL) waiting. */
void chaski_node_full_edges(const chaski_node *node, chaski_slice topic, chaski_edge *edge,
                            void (*fn)(chaski_edge *edge, void *ctx), void *ctx);

/* An id for a question of the embedder's own: a uuid of this start of the node that nothing else has. Not secret. */
void chaski_node_new_id(chaski_node *node, char *out); /* CHASKI_UUID_TEXT bytes */

/* --- datagrams ---------------------------------------------------------------------------------------------- */
#define CHASKI_DATAGRAM_MAX 1200 /* bytes; never sent larger, dropped unread when larger (RELIABILITY T11) */
/* Send a command with data (one serialised value) to a numeric host from the node's own address. Best effort.
 * CHASKI_OK, ESTOPPED, ETOOBIG, EINVAL, EFULL, EUNREACHABLE, EFORBIDDEN (the node has no datagram socket). */
int chaski_node_send_datagram(chaski_node *node, chaski_slice command, chaski_slice data, const char *host,
                              uint16_t port);

/* --- edges -------------------------------------------------------------------------------------------------- */
/* Dial. done is called exactly once, later: CHASKI_OK and the live edge (an edge that was live already, when the
 * address is a live peer's), which the peer counts too: it has answered a ping over it; from a peer that answers none,
 * when the time is over. Or a code and NULL: EREFUSED, ERESOLVE, ETIMEOUT, ESELF, EPROTOCOL, EMALFORMED,
 * ECANCELLED, ESTOPPED, …. timeout ns to the completed handshake; 0: connect_timeout. Returns CHASKI_OK (and *out,
 * unless NULL, a handle to cancel with) or ESTOPPED, ENOMEM, EFILES, …: then done is not called. */
typedef struct chaski_dial chaski_dial;
int chaski_node_connect(chaski_node *node, const chaski_address *address, uint64_t timeout,
                        void (*done)(void *ctx, int status, chaski_edge *edge, const char *detail), void *ctx,
                        chaski_dial **out);
/* Give up: done is not called any more; the dial ends unless others wait for it. The handle is void after done or
 * cancel. */
void chaski_dial_cancel(chaski_dial *dial);

/* The same for a peer that we want to tell of something, over as soon as the edge is live here: `report` (the data of a
 * report_paired, one serialised map of at most 8 KiB) is sent before our handshake, or, on an edge that is live, at
 * once. EINVAL, ETOOBIG. */
int chaski_node_connect_reporting(chaski_node *node, const chaski_address *address, uint64_t timeout,
                                  chaski_slice report,
                                  void (*done)(void *ctx, int status, chaski_edge *edge, const char *detail), void *ctx,
                                  chaski_dial **out);

/* Live edges in the order they became live. */
size_t chaski_node_edge_count(const chaski_node *node);
chaski_edge *chaski_node_edge_at(const chaski_node *node, size_t i);                         /* NULL past the end */
chaski_edge *chaski_node_get_edge(const chaski_node *node, const char *host, uint16_t port); /* advertised or dialled */
chaski_edge *chaski_node_get_edge_by_name(const chaski_node *node, const char *name);

/* End it: with a goodbye (what is queued is sent, then read to the end), or at once. edge_closed follows, with
 * `reason`. Not live: nothing. */
void chaski_edge_close(chaski_edge *edge, int reason, bool goodbye);

/* Ping: size bytes of dummy data. done (may be NULL) is called once with the round trip in ms, or a code when the edge
 * ends first or no pong came within timeout ns (0: the lease). CHASKI_OK, ENOEDGE, ETOOBIG, ENOMEM. */
int chaski_edge_ping(chaski_edge *edge, size_t size, bool latency_update, uint64_t timeout,
                     void (*done)(void *ctx, int status, double rtt_ms), void *ctx);

/* References: an edge that is held stays readable (not usable) after its end and its node's. */
void chaski_edge_hold(chaski_edge *edge);
void chaski_edge_release(chaski_edge *edge);
void *chaski_edge_user(const chaski_edge *edge); /* for the embedder; NULL at first */
void chaski_edge_set_user(chaski_edge *edge, void *user);

chaski_node *chaski_edge_node(const chaski_edge *edge); /* NULL after the node's end */
bool chaski_edge_live(const chaski_edge *edge);
bool chaski_edge_was_live(const chaski_edge *edge);
bool chaski_edge_dialled(const chaski_edge *edge);   /* by this node */
bool chaski_edge_suspended(const chaski_edge *edge); /* live, and without a connection at present */

typedef struct chaski_session_info {
  uint64_t id;                           /* the same at both ends */
  uint64_t sent, acknowledged, received; /* counted frames */
  uint64_t kept_frames, kept_bytes;      /* sent and not acknowledged */
  uint64_t resumes;
} chaski_session_info;
bool chaski_edge_session(const chaski_edge *edge, chaski_session_info *out); /* false: it has none */
bool chaski_edge_writable(const chaski_edge *edge);      /* live and below its high mark since it last was above */
int chaski_edge_reason(const chaski_edge *edge);         /* why it ended; CHASKI_OK while it has not */
const char *chaski_edge_detail(const chaski_edge *edge); /* static text, or "" */
uint64_t chaski_edge_number(const chaski_edge *edge);    /* 1, 2, … within the loop */
const char *chaski_edge_name(const chaski_edge *edge);   /* the peer's; "" before the handshake */
const char *chaski_edge_id(const chaski_edge *edge);     /* the peer's node id; "" when it has none (Python) */
const char *chaski_edge_ip(const chaski_edge *edge);     /* advertised; before the handshake the socket's */
uint16_t chaski_edge_port(const chaski_edge *edge);
const char *chaski_edge_agent(const chaski_edge *edge); /* "chaski-lua/0.1.0"; "" when it has none */
bool chaski_edge_root(const chaski_edge *edge);
bool chaski_edge_propagates(const chaski_edge *edge);
int chaski_edge_protocol(const chaski_edge *edge); /* what the peer announced; 0: nothing (Python) */
/* What connect was given, for a reconnect; host "" when the peer dialled. */
void chaski_edge_dialled_address(const chaski_edge *edge, const char **host, uint16_t *port);
int chaski_edge_local_address(const chaski_edge *edge, char *host,
                              uint16_t *port); /* of the socket; code when closed */
int chaski_edge_remote_address(const chaski_edge *edge, char *host, uint16_t *port);
const chaski_latency *chaski_edge_latency(const chaski_edge *edge);
void chaski_edge_reset_latency(chaski_edge *edge);
void chaski_edge_update_latency(chaski_edge *edge, double rtt_ms);
size_t chaski_edge_pings(const chaski_edge *edge);  /* pongs owed by the peer */
size_t chaski_edge_queued(const chaski_edge *edge); /* bytes waiting to leave */
typedef struct chaski_traffic {
  uint64_t frames_in, frames_out, bytes_in, bytes_out;
} chaski_traffic;
const chaski_traffic *chaski_edge_traffic(const chaski_edge *edge);
bool chaski_edge_subscribed(const chaski_edge *edge, chaski_slice topic);
void chaski_edge_topics(const chaski_edge *edge, void (*fn)(void *ctx, chaski_slice topic), void *ctx);
/* Inside the upcall `message` only: take the message behind the one that it is called for, if it has come already and
 * would be the next upcall's, for the same subscription and nobody else. true: it is delivered with that; *m lives
 * until the upcall returns. Who is called for a stream of messages need not be entered for each. */
bool chaski_edge_next_message(chaski_edge *edge, chaski_message *m);
/* Stop and restart reading (back-pressure of a blocking inbox). Counted: as many resumes as pauses. The lease waits
 * meanwhile. */
void chaski_edge_pause(chaski_edge *edge);
void chaski_edge_resume(chaski_edge *edge);

#endif
