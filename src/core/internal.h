/* internal.h: the structures behind node.h and loop.h, shared by the files of the core and by nobody else.
 *
 * An edge is the relation to a peer, which scripts see; a link is one connection that carries it: stream, decoder,
 * outbox, handshake. They are two things because two nodes that dial each other at once have two links and one edge,
 * and because an edge is to survive the loss of its link.
 *
 * Who keeps what alive: a link lives until its stream's `closed` upcall and holds its edge; an edge lives while it is
 * held; a node lives until it was destroyed and its last link and listener are closed, and is freed from a timer, so
 * never under the feet of an upcall. SPDX-License-Identifier: MIT */
#ifndef CHASKI_INTERNAL_H
#define CHASKI_INTERNAL_H

#include "node.h"

#include "containers.h"
#include "mp.h"
#include "outbox.h"
#include "topics.h"
#include "uuid.h"

typedef struct chaski__link chaski__link;

/* What was read from a stream, while its frames are handed out. */
typedef struct chaski__reading {
  chaski__link *link;
  chaski_slice in;          /* not yet taken */
  size_t frames;            /* taken */
  chaski_subscription *sub; /* whose message is being delivered, if nobody else gets it; else NULL */
  chaski__topic *topic;     /* its */
} chaski__reading;

struct chaski_loop {
  chaski_env env;
  uint64_t now; /* ns, as of the last upcall */
  chaski_timer *timers;
  uint64_t order, alarm;
  bool expiring;
  bool wall_fresh; /* sec, nsec were read in this turn */
  int64_t sec;
  uint32_t nsec;
  chaski__arena arena;
  chaski_message_template head;    /* of what was published last */
  chaski_message_template command; /* of what an embedder wrote last */
  chaski_message_memo seen;        /* of what was received last */
  chaski__reading *reading;        /* NULL outside of data */
  chaski__link *dirty;             /* links with something to write or a failure to act on */
  size_t nodes;
  chaski_node *list;    /* nodes that are not destroyed */
  uint64_t queue_total; /* the least of theirs */
  bool pressed;         /* they hold so much of it that own messages wait */
  size_t closing;       /* bytes that the transport still has of links that were closed: as good as free */
  uint64_t edge_numbers;
  size_t turn_bytes; /* published in this turn */
};

enum chaski__link_state {
  LINK_DIALLING, /* connect is under way */
  LINK_NEW,      /* connected; handshakes are being exchanged */
  LINK_LIVE,     /* both directions are */
  LINK_PARKED,   /* no stream: the place of a lost one, which keeps the edge and its session until it is resumed; or,
                    without a session, of one that the peer has given up for another that is under way */
  LINK_LEAVING,  /* we said goodbye: sending what is queued, reading to the end; with a session, which then is
                    acknowledged, our end comes after the peer's */
  LINK_LEFT,     /* the peer said goodbye: sending what is queued, ignoring what comes but acknowledgements */
  LINK_CLOSED,   /* waiting for `closed` */
};

/* What both sides' handshakes say of a session (session.c). */
typedef struct chaski__terms {
  bool agreed, resume; /* there is to be one; it is the one that was suspended */
  bool offered;        /* dialling: to resume it */
  bool renamed;        /* accepting: that was asked for, but a new one begins, under a name of ours */
  uint8_t sid[16];
  uint64_t rx, told;           /* what the peer has received of it; what we said that we had */
  uint64_t frames, bytes, ttl; /* the smaller of both sides' limits; ttl in ns */
} chaski__terms;

typedef struct chaski__session {
  chaski__link *link; /* that carries it */
  uint8_t sid[16];
  uint64_t tx, acked;  /* counted frames sent; of these acknowledged by the peer */
  uint64_t handed;     /* suspended: of tx, those that may have reached the peer */
  uint64_t rx, told;   /* counted frames received; of these acknowledged by us */
  uint64_t rx_bytes;   /* received since we last acknowledged */
  chaski__outbox kept; /* frames acked + 1 .. tx */
  chaski_timer ack_timer;
  uint32_t frames_max, bytes_max, ttl; /* ms */
  uint32_t resumes;
} chaski__session;

struct chaski__link {
  chaski_loop *loop;
  chaski_node *node;                 /* lives as long as any of its links */
  chaski_edge *edge;                 /* held */
  const chaski_transport *transport; /* the stream's; the node's may be another one by now */
  chaski_stream *stream;             /* NULL once closed */
  enum chaski__link_state state;
  bool dialled : 1;
  bool waiting : 1;   /* a part of the outbox is borrowed by the transport */
  bool shut : 1;      /* our end of the stream was sent */
  bool ended : 1;     /* the stream's end was seen while leaving */
  bool parting : 1;   /* the peer said goodbye: of what it counts nothing comes any more */
  bool dirty : 1;     /* is in loop->dirty */
  bool sent_back : 1; /* we answered the peer's handshake */
  bool got_back : 1;  /* the peer answered ours */
  bool asked : 1;     /* live: a ping went out, whose pong will say that the peer counts the edge too */
  bool confirmed : 1; /* it came, or will not come */
  bool sessioned : 1; /* it has, or had, a session: that counts the frames then */
  size_t closing;     /* its part of loop->closing */
  int failure;        /* noticed where no upcall may be made; acted on at the end of the turn */
  uint32_t pauses;
  uint64_t handshake; /* number in the id of the handshake we sent; 0: none or answered */
  chaski_frame_decoder decoder;
  chaski__outbox out;
  chaski__session *session; /* NULL: none was agreed on, or another link has it now */
  chaski__terms *terms;     /* until it is live; then NULL, as in a place without a stream */
  chaski_timer tick;
  uint64_t heard;         /* ns: the last byte from the peer */
  uint64_t progress;      /* ns: the last byte of the backlog taken, or frame acknowledged */
  size_t backlog;         /* bytes of the outbox up to the end of its last counted frame: pings are no progress */
  uint64_t frame_started; /* ns: when the frame that is coming in began; 0: none */
  uint64_t ping_due;      /* ns: the next keep-alive */
  uint64_t pinged;        /* ns: when the pings that were answered would have come at ping_rate */
  chaski__link *dirty_next;
  chaski__link *leaving_prev, *leaving_next; /* in node->leaving while it says goodbye */
  chaski__topic_memo *topic;                 /* of the last frame, by its serialised bytes; NULL: none came yet */
};

typedef struct chaski__ping {
  chaski_edge *edge;
  uint64_t number, sent; /* number in its id; ns */
  bool latency_update;
  void (*done)(void *ctx, int status, double rtt_ms);
  void *ctx;
  chaski_timer timer;
  struct chaski__ping *prev, *next;
} chaski__ping;

struct chaski_dial {
  chaski_edge *edge; /* held */
  bool reports;      /* it takes a report_paired along: over as soon as the edge is live */
  void (*done)(void *ctx, int status, chaski_edge *edge, const char *detail);
  void *ctx;
  chaski_timer timer;
  chaski_dial *prev, *next;
};

enum chaski__edge_state { EDGE_PENDING, EDGE_LIVE, EDGE_ENDED };

struct chaski_edge {
  uint32_t refs;
  enum chaski__edge_state state;
  chaski_node *node;  /* NULL after the node's end */
  chaski__link *link; /* NULL after the edge's end */
  bool was_live : 1, dialled : 1, root : 1, propagates : 1;
  bool taker : 1;       /* takes every topic: a root, a relay, or a peer that does not tell (Python) */
  bool choked : 1;      /* the queue passed its high mark and has not fallen to the low one */
  bool told_choked : 1; /* what the embedder was last told of it */
  bool own_agent : 1;   /* the peer's agent is CHASKI_AGENT */
  bool known : 1;       /* the peer's id (or, without one, its name and address) is set */
  uint16_t port, dial_port;
  int protocol, reason;
  uint32_t topic_count; /* in topics */
  uint32_t ping_count;  /* in pings */
  const char *detail;
  uint64_t number, start, frame_max, topic_max; /* the peer's maxima as it announced them; 0: it did not */
  char *name, *id, *ip, *agent, *dial_host;     /* NULL: "" */
  char *expected;                               /* the name connect was given; NULL: any */
  char *remote;                                 /* accepted from off loopback: its address; NULL: else */
  chaski_latency latency;
  chaski_traffic counters;
  chaski__ping *pings;
  chaski_dial *dials;
  chaski__buf *report; /* dialling: data of the report_paired that goes first; accepted: the frame that came early */
  chaski__topic **topics;
  char *forbidden;         /* a topic the peer announced and may not have, until it can be told; NULL: none */
  uint64_t forbidden_told; /* ns: when the peer was last told of a refusal */
  uint64_t told;           /* hash of what the peer last told of itself */
  chaski_timer tell;       /* its end is told at the next turn; holds the edge meanwhile */
  void *user;
  chaski_edge *prev, *next; /* in node->edges */
};

typedef struct chaski__command {
  void *handler;
  UT_hash_handle hh;
  size_t len;
  char name[];
} chaski__command;

/* What is to happen at the hard mark to messages of one topic. */
typedef struct chaski__overflow_rule {
  enum chaski_overflow overflow;
  UT_hash_handle hh;
  size_t len;
  char topic[];
} chaski__overflow_rule;

/* An undelivered message to be told about at the end of the turn. */
typedef struct chaski__notice {
  chaski_edge *edge; /* held, or NULL */
  int reason;
  struct chaski__notice *next;
  size_t topic_len, uuid_len;
  uint8_t text[]; /* topic, uuid */
} chaski__notice;

/* A token bucket of datagrams from one source. */
typedef struct chaski__source {
  uint64_t at;                        /* ns: when tokens was right */
  double tokens;                      /* datagrams that may still come */
  struct chaski__source *prev, *next; /* most recently heard last */
  UT_hash_handle hh;
  char name[CHASKI_HOST_MAX]; /* host, and on loopback the port too: there every node has the same host */
} chaski__source;

enum chaski__node_state { NODE_IDLE, NODE_RUNNING, NODE_STOPPING };

struct chaski_node {
  chaski_loop *loop;
  const chaski_transport *transport; /* the environment's, or what it was given */
  void *transport_ctx;
  chaski_node_events events;
  void *user;
  char *name, *id, *ip, *advertise;
  uint16_t wanted_port, port;
  bool root, propagation, keep_alive, with_udp, destroyed, want_drain;
  bool relieved; /* is being told that it may publish again */
  uint8_t ttl;
  enum chaski_overflow overflow;
  chaski__overflow_rule *overflow_rules;
  bool drops_old;           /* it is the overflow of some topic */
  chaski_node *prev, *next; /* in loop->list */
  enum chaski__node_state state;
  chaski_limits limits, hits;
  chaski_counters counters;
  uint64_t origin, seq;                 /* of publishes */
  uint64_t control_origin, control_seq; /* of everything else */
  chaski_listener *listener;            /* NULL when closing too */
  chaski_udp *udp;
  size_t handles; /* listeners and datagram sockets not yet `closed` */
  chaski__source *sources, *sources_order, everybody;
  chaski_edge *edges; /* all that exist: pending, live, and ended ones that are held */
  chaski_edge **live;
  size_t live_count, live_cap;
  chaski_edge **takers; /* live edges that take every topic */
  size_t taker_count, taker_cap;
  chaski__link *leaving; /* links that carry no edge any more and are not closed */
  size_t pending;        /* accepted and not live */
  size_t links;          /* not yet `closed` */
  chaski__topics topics;
  chaski__topic_memo published; /* the topic published to last */
  chaski__command *commands;
  chaski__command *handled;    /* of these, the one found last, or NULL */
  chaski__command *propagated; /* handler unused */
  chaski__command *passed_on;  /* of these, the one found last, or NULL */
  chaski_pool *pool;
  chaski_timer stop_timer, reaper, notice_timer, topics_timer, udp_timer, log_timer;
  chaski__notice *notices, *notices_last;
  size_t notice_count;
  uint64_t log_second;
  uint32_t log_lines, log_suppressed;
};

/* --- loop.c ------------------------------------------------------------------------------------------------- */
void chaski__loop_touch(chaski_loop *loop); /* read the clock: at the start of every upcall from the environment */
void chaski__loop_wall(chaski_loop *loop);  /* sec, nsec are of this turn */
void chaski__loop_dirty(chaski__link *link);
void chaski__loop_clean(chaski__link *link); /* take it out of the dirty list */
uint64_t chaski__random64(chaski_loop *loop);
void chaski__log(const chaski_node *node, enum chaski_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* --- link.c ------------------------------------------------------------------------------------------------- */
extern const chaski_stream_events chaski__link_events;
chaski__link *chaski__link_new(chaski_edge *edge, bool dialled); /* holds edge; NULL: out of memory */
void chaski__link_free(chaski__link *link);                      /* only one without a stream */
bool chaski__link_reads(const chaski__link *link);               /* what its peer sends is still looked at */
void chaski__reading_taken(chaski__reading *reading);            /* one more frame of the burst */
/* Queue one frame; counted: see chaski__counts. CHASKI_OK, ENOMEM. Marks are the caller's business. */
int chaski__link_send(chaski__link *link, const chaski__span *frame, bool counted);
void chaski__link_push(chaski__link *link);  /* write what is queued, with no upcall: failures are kept */
void chaski__link_flush(chaski__link *link); /* the same at the end of a turn, where failures are acted on */
/* End it for a fault or a loss: close the stream; if the edge's current link it is, end the edge with reason. */
void chaski__link_fail(chaski__link *link, int reason, const char *detail);
void chaski__link_close(chaski__link *link); /* the stream only; the edge hears nothing */
/* Goodbye: the frame was queued by the caller. Send, shut down, read to the end or the deadline, close. */
void chaski__link_leave(chaski__link *link, enum chaski__link_state state);
void chaski__link_set_live(chaski__link *link);
void chaski__link_settled(chaski__link *link); /* nothing is negotiated any more */
void chaski__link_arm(chaski__link *link);     /* set tick to the nearest deadline */
void chaski__link_forgive(chaski__link *link); /* the peer's silence until now was not its fault */

/* --- handshake.c -------------------------------------------------------------------------------------------- */
int chaski__handshake_start(chaski__link *link); /* the dialler's first frame */
int chaski__handshake_goodbye(chaski__link *link, int reason);
/* A handshake or handshake_back, live or not. */
void chaski__handshake_receive(chaski__link *link, const chaski_message *m);
/* subscriptions: to one peer of our kind, or to all (edge NULL). */
void chaski__send_subscriptions(chaski_node *node, chaski_edge *edge);
void chaski__receive_subscriptions(chaski__link *link, const chaski_message *m);
/* Name, address and subscriptions that a peer tells of itself, in handshake_back and pong. Static text of what is
 * wrong, or NULL. */
const char *chaski__edge_identify(chaski_edge *edge, const chaski__mp_field *name, const chaski__mp_field *ip,
                                  const chaski__mp_field *port, const chaski__mp_field *subscriptions);
void chaski__put_identity(chaski_node *node, chaski__link *link, chaski__buf *b, bool subscriptions); /* 4 (3) pairs */

/* --- ping.c ------------------------------------------------------------------------------------------------- */
void chaski__ping_receive(chaski__link *link, const chaski_message *m);
void chaski__pong_receive(chaski__link *link, const chaski_message *m);
void chaski__pings_end(chaski_edge *edge, int reason);
void chaski__pings_drop(chaski_edge *edge); /* silently */

/* --- send.c ------------------------------------------------------------------------------------------------- */
/* Queue a protocol command for a link, before or after it is live. CHASKI_OK, ENOMEM. Frees data. */
int chaski__send_command(chaski__link *link, const char *command, chaski__buf *data);
void chaski__uuid_of_control(chaski_node *node, char out[CHASKI_UUID_TEXT], uint64_t *number);
/* After the queue of an edge has shrunk or grown: choke or unchoke it and tell. */
void chaski__edge_marks(chaski_edge *edge);
/* Pass a received message on to all that want it but `from`; topic may be NULL (nobody announced it). */
void chaski__relay(chaski_node *node, const chaski_message *m, const chaski_edge *from, const chaski__topic *topic);
void chaski__undelivered(chaski_node *node, chaski_edge *edge, chaski_slice topic, chaski_slice uuid, int reason);
void chaski__notices_tell(chaski_timer *t); /* node->notice_timer */
void chaski__notices_drop(chaski_node *node);

/* --- overflow.c --------------------------------------------------------------------------------------------- */
enum chaski_overflow chaski__overflow_of(const chaski_node *node, chaski_slice topic);
void chaski__overflow_free(chaski_node *node);
/* Drop the oldest messages that may be dropped from the edge's queue so that len bytes more fit. false: it is as it
 * was. */
bool chaski__make_room(chaski_edge *edge, size_t len);
uint64_t chaski__frames_fresh(const chaski__link *link); /* counted frames that the transport has seen nothing of */
void chaski__loop_list(chaski_node *node);               /* its queues count from now on */
void chaski__loop_unlist(chaski_node *node);             /* they count no more; not listed: nothing */
/* The queues of all nodes hold more than half of what they may (until it is three eighths): own messages then wait
 * until most edges that are not slow have nothing queued, so that no edge goes because all are behind a little. */
bool chaski__queues_pressed(chaski_loop *loop);
void chaski__queues_relieved(chaski_loop *loop);                /* at the end of a turn: who waited for that goes on */
bool chaski__edge_idle(const chaski_edge *edge);                /* nothing is queued or kept for it */
bool chaski__queues_over(const chaski_loop *loop, size_t more); /* all of them, with so many bytes more */
/* If they are, close the edges with the largest queues until they are not. To be called where an edge may be closed. */
void chaski__shed(chaski_loop *loop, size_t more);

/* --- receive.c ---------------------------------------------------------------------------------------------- */
void chaski__receive(chaski__link *link, const chaski_frame *frame);
bool chaski__is_protocol_command(chaski_slice command);

/* The report_paired that came before the handshake was complete, now that the edge is live. */
void chaski__receive_report(chaski__link *link);

/* --- session.c ---------------------------------------------------------------------------------------------- */
bool chaski__counts(chaski_slice command); /* is a frame of this command one that sessions count? */
bool chaski__session_offers(const chaski__link *link);
void chaski__session_offer(chaski__link *link, chaski__buf *b); /* one pair of the handshake's map */
void chaski__session_asked(chaski__link *link, chaski_slice raw, chaski_edge *old);
bool chaski__session_same(const chaski_edge *edge, const chaski__link *link); /* what link would resume is edge's */
bool chaski__session_may_resume(chaski_edge *edge, const chaski__link *link); /* and is suspended for it */
void chaski__session_answer(chaski__link *link, const chaski_edge *old, chaski__buf *b); /* likewise */
void chaski__session_answered(chaski__link *link, chaski_slice raw);
int chaski__session_start(chaski__link *link);                         /* CHASKI_OK (also when there is none), ENOMEM */
int chaski__session_resume(chaski__link *link, chaski__link *from);    /* CHASKI_OK, EPROTOCOL, ENOMEM */
int chaski__session_move(chaski__link *from, chaski__link *to);        /* of a place without a session; OK, ENOMEM */
bool chaski__session_await(chaski__link *link);                        /* the peer goes on over another connection */
bool chaski__session_outlives(const chaski__link *link, int reason);   /* a link that fails by this */
bool chaski__session_park(chaski__link *link, int reason);             /* the edge lives on, and may even so be gone */
void chaski__session_end(chaski__link *link);                          /* what is kept is reported as lost */
void chaski__lose_frames(chaski__link *link, const chaski__outbox *o); /* count and report them */
bool chaski__session_sent(chaski__link *link, const chaski__span *frame); /* false: out of memory */
void chaski__session_received(chaski__link *link, size_t bytes);
void chaski__session_ack(chaski__link *link);
void chaski__session_ack_if_due(chaski__link *link);
void chaski__ack_receive(chaski__link *link, const chaski_message *m);
bool chaski__session_full(const chaski__session *s, size_t bytes); /* with so many more */
bool chaski__session_high(const chaski__session *s);
bool chaski__session_low(const chaski__session *s);

/* --- rights.c ----------------------------------------------------------------------------------------------- */
/* The handshake of a peer whose transport vouches for it names `id`. NULL, or what is wrong (static). */
const char *chaski__peer_mismatch(const chaski__link *link, chaski_slice id);
bool chaski__we_may(const chaski_node *node, enum chaski_right right, chaski_slice topic);
bool chaski__we_may_pass_on(const chaski_node *node, chaski_slice topic); /* as neighbours see it */
bool chaski__peer_may(const chaski__link *link, enum chaski_right right, chaski_slice topic);
bool chaski__may_receive(chaski__link *link, const chaski_message *m); /* else it was refused, and the peer told */
/* Tell the peer that we did not do what it asked for; at most once a second. */
void chaski__send_forbidden(chaski__link *link, enum chaski_right right, chaski_slice topic);
void chaski__receive_forbidden(chaski__link *link, const chaski_message *m);

/* --- datagram.c --------------------------------------------------------------------------------------------- */
int chaski__node_udp_open(chaski_node *node, uint16_t port);
void chaski__node_udp_tell(chaski_timer *t); /* node->udp_timer: the socket is open */
void chaski__sources_free(chaski_node *node);

/* --- edge.c ------------------------------------------------------------------------------------------------- */
void chaski__log_suppressed(chaski_node *node); /* tell how many ends had no line of their own in the log */
void chaski__log_tick(chaski_timer *t);         /* node->log_timer */
chaski_edge *chaski__edge_new(chaski_node *node, bool dialled);
int chaski__edge_go_live(chaski_edge *edge); /* CHASKI_OK, ENOMEM, EEDGES */
/* The edge has ended: take it out of the lists; then (end at once, end_later at the next turn) tell and end its pings
 * and dials. Its link is the caller's business. */
void chaski__edge_end_later(chaski_edge *edge, int reason, const char *detail);
void chaski__edge_end(chaski_edge *edge, int reason, const char *detail);
bool chaski__edge_update_taker(chaski_edge *edge);                         /* of a live edge; false: out of memory */
int chaski__edge_set_topics(chaski_edge *edge, chaski_slice array_of_str); /* CHASKI_OK, ENOMEM, ETOOBIG */
void chaski__edge_drop_report(chaski_edge *edge);
int chaski__edge_set_report(chaski_edge *edge, chaski__buf *report); /* takes it over, also when there is no memory */
chaski__buf chaski__edge_take_report(chaski_edge *edge);             /* empty if there is none */
bool chaski__set_text(char **to, chaski_slice text);                 /* false: out of memory */
size_t chaski__edge_queued(const chaski_edge *edge);

/* --- dial.c ------------------------------------------------------------------------------------------------- */
void chaski__dials_end(chaski_edge *edge, int status, chaski_edge *live, const char *detail);
/* The edge is live: its dials end well when its peer counts it too, which is known by a pong. */
void chaski__dials_confirm(chaski_edge *edge);
void chaski__dials_drop(chaski_edge *edge); /* silently */
void chaski__dials_move(chaski_edge *from, chaski_edge *to);

/* --- subscribe.c ------------------------------------------------------------------------------------------- */
void chaski__commands_free(chaski__command **table);

/* --- node.c ------------------------------------------------------------------------------------------------- */
void chaski__node_link_closed(chaski_node *node);
void chaski__node_check_stopped(chaski_node *node); /* after something of it was closed */
void chaski__hit(chaski_node *node, size_t offset); /* count a limit that was hit */
#define CHASKI__HIT(node, limit) chaski__hit(node, offsetof(chaski_limits, limit))

#endif
