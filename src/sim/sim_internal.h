/* sim_internal.h: what the files of the simulation share; nobody else includes it. Events are part of the objects
 * they belong to, so scheduling never needs memory and `closed` can always be delivered.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_SIM_INTERNAL_H
#define CHASKI_SIM_INTERNAL_H

#include "sim.h"

#define SIM_BUCKETS 256      /* of the table of hosts */
#define SIM_FIRST_PORT 32768 /* ephemeral ports, as on Linux */

/* --- events (sim_sched.c): one pairing heap by (due, seq), one list of held ones --- */
enum sim_where { SIM_IDLE, SIM_QUEUED, SIM_HELD };

typedef struct sim_event {
  uint64_t due, seq;
  void (*run)(void *owner);
  void *owner;
  struct sim_event *child, *next, *prev; /* prev: the elder sibling, or the parent of a first child */
  enum sim_where where;
} sim_event;

void chaski__sim_event_init(sim_event *event, void (*run)(void *owner), void *owner);
/* Schedule at due, now if that is past; moves the event if it was scheduled or held. */
void chaski__sim_schedule(chaski_sim *sim, sim_event *event, uint64_t due);
void chaski__sim_cancel(chaski_sim *sim, sim_event *event);
/* Put an event aside until some path is free again, which only then is seen. */
void chaski__sim_hold(chaski_sim *sim, sim_event *event);
void chaski__sim_release(chaski_sim *sim); /* schedule all that is held, now, in order */

/* --- hosts and paths (sim_host.c) --- */
typedef struct sim_pair { /* what was said of a host and another; kept at one of the two */
  struct sim_pair *next;
  struct sim_host *other; /* NULL: all others */
  bool has_link, blackhole;
  chaski_sim_link link;
} sim_pair;

typedef struct sim_host {
  struct sim_host *next; /* in its bucket */
  sim_pair *pairs;
  chaski_listener *listeners;
  chaski_udp *sockets;
  uint16_t next_port;
  bool stalled, refusing, no_files;
  char ip[];
} sim_host;

typedef struct sim_name {
  struct sim_name *next;
  sim_host *host; /* NULL: forgotten */
  char name[];
} sim_name;

/* The host of a numeric address, made at need. CHASKI_OK, EADDRESS, ENOMEM. */
int chaski__sim_host(chaski_sim *sim, const char *ip, sim_host **out);
/* The same for an address to bind or dial: an any-address means the host that acts. */
int chaski__sim_host_or_self(chaski_sim *sim, const char *ip, sim_host **out);
/* The host behind a name or address. CHASKI_OK, ERESOLVE, EADDRESS, ENOMEM. */
int chaski__sim_resolve(chaski_sim *sim, const char *text, sim_host **out);
void chaski__sim_hosts_free(chaski_sim *sim);
const chaski_sim_link *chaski__sim_link(const chaski_sim *sim, const sim_host *from, const sim_host *to);
size_t chaski__sim_window(const chaski_sim_link *link);
bool chaski__sim_blackholed(const sim_host *a, const sim_host *b);
bool chaski__sim_blocked(const sim_host *a, const sim_host *b);           /* blackholed, or one of them stalled */
uint64_t chaski__sim_delay(chaski_sim *sim, const chaski_sim_link *link); /* one way, with jitter drawn */

/* --- handles --- */
typedef struct sim_segment { /* bytes under way to a stream or waiting there */
  struct sim_segment *next;
  uint64_t at; /* when they arrive */
  size_t len, off;
  uint8_t bytes[];
} sim_segment;

typedef struct sim_rest { /* what was not taken of a write */
  chaski_slice *array;    /* our copy; NULL: nothing is borrowed */
  const chaski_slice *next;
  size_t off;  /* into *next */
  size_t left; /* bytes */
} sim_rest;

enum sim_state { SIM_DIALLING, SIM_ANSWERED, SIM_OPEN, SIM_FAILED }; /* ANSWERED: `connected` is on its way */

struct chaski_stream {
  chaski_sim *sim;
  chaski_stream *next, *prev; /* all of the world, oldest first */
  chaski_stream *peer;        /* NULL: none yet, or gone */
  sim_host *host, *remote;    /* remote NULL: name unknown */
  uint16_t port, remote_port;
  uint64_t id;
  const chaski_stream_events *events; /* NULL: accepted and not opened */
  void *user;
  sim_event in, out, rst, closed; /* dial, then data and end; written; reset arrives; closed */
  enum sim_state state;
  int status; /* of the dial */
  int dead;   /* CHASKI_OK or why nothing can be sent or will arrive */
  bool paused, shut, ended, closing;
  /* towards this end */
  sim_segment *head, *tail;
  size_t inbox;     /* bytes in segments */
  unsigned drops;   /* times the segments were thrown away */
  uint64_t last_at; /* arrival of the last thing sent */
  uint64_t fin_at;  /* the peer's end of stream arrives; 0: it has sent none */
  uint64_t cut_left;
  bool cutting;
  /* from this end */
  uint64_t wire_free; /* when the last byte has left, under bytes_per_s */
  sim_rest rest;
  bool borrowing; /* until `written` */
  int out_status; /* for `written` */
};

struct chaski_listener {
  chaski_sim *sim;
  chaski_listener *next;
  sim_host *host;
  uint16_t port;
  bool closing;
  uint64_t id, retry_at; /* of accepting */
  const chaski_listener_events *events;
  void *user;
  sim_event closed;
};

typedef struct sim_datagram {
  chaski_sim *sim;
  struct sim_datagram *next, *prev;
  chaski_udp *sender; /* NULL: gone */
  sim_host *from, *to;
  uint16_t from_port, to_port;
  sim_event arrive;
  size_t len;
  uint8_t bytes[];
} sim_datagram;

struct chaski_udp {
  chaski_sim *sim;
  chaski_udp *next;
  sim_host *host;
  uint16_t port;
  bool closing;
  uint64_t id;
  size_t in_flight;
  const chaski_udp_events *events;
  void *user;
  sim_event closed;
};

struct chaski_sim {
  chaski_env env;
  uint64_t now, seq, next_id, trace;
  int64_t wall_offset;                      /* seconds */
  uint64_t links_random, env_random;        /* two generators: what nodes draw does not shift the links' luck */
  sim_event *heap, *held_first, *held_last; /* held: linked by next and prev */
  sim_event alarm;
  uint64_t expired_at; /* when the alarm was last due */
  void (*expire)(void *user);
  void (*flush)(void *user);
  void *hook_user;
  void (*log)(void *user, enum chaski_log_level level, const char *who, const char *line);
  void *log_user;
  enum chaski_log_level level;
  bool stepping, ran;
  sim_host *hosts[SIM_BUCKETS];
  sim_host *acting;
  sim_name *names;
  sim_pair common; /* the default link */
  chaski_stream *first, *last;
  sim_datagram *datagrams;
  size_t handles;
};

/* sim.c */
uint64_t chaski__sim_random(uint64_t *state);
void chaski__sim_demand(bool kept, const char *rule); /* abort with the rule if it was broken */
/* Before every upcall: host acts, the trace remembers. */
void chaski__sim_enter(chaski_sim *sim, sim_host *host, char kind, uint64_t id, int64_t value);
void chaski__sim_trace_bytes(chaski_sim *sim, const uint8_t *bytes, size_t len);

/* sim_stream.c: streams once they exist */
chaski_stream *chaski__sim_stream_new(chaski_sim *sim, sim_host *host, sim_host *remote);
void chaski__sim_stream_free(chaski_stream *stream);
void chaski__sim_stream_arm(chaski_stream *stream); /* schedule what comes next to it, if anything does */
void chaski__sim_stream_die(chaski_stream *stream, int code, bool drop);
void chaski__sim_stream_open(chaski_stream *stream, const chaski_stream_events *events, void *user);
void chaski__sim_stream_pause(chaski_stream *stream);
void chaski__sim_stream_resume(chaski_stream *stream);
void chaski__sim_stream_close(chaski_stream *stream);
size_t chaski__sim_stream_queued(const chaski_stream *stream);
int chaski__sim_peer_address(const chaski_stream *stream, char *host, uint16_t *port);
int chaski__sim_local_address(const chaski_stream *stream, char *host, uint16_t *port);

/* sim_send.c: the sending half */
int64_t chaski__sim_stream_write(chaski_stream *stream, const chaski_slice *slices, size_t n);
void chaski__sim_stream_shutdown(chaski_stream *stream);
void chaski__sim_send_more(chaski_stream *stream); /* take of the borrowed rest what the window has room for */
void chaski__sim_send_end(chaski_stream *stream);
void chaski__sim_send_reset(chaski_stream *to, uint64_t at); /* a reset arrives there, after what is under way */
void chaski__sim_send_fail(chaski_stream *stream, int code); /* the borrowed rest will never leave */
void chaski__sim_written(void *stream);

/* sim_dial.c */
int chaski__sim_connect(void *ctx, const char *host, uint16_t port, const chaski_stream_events *events, void *user,
                        chaski_stream **out);
void chaski__sim_knock(chaski_stream *stream);    /* the dial reaches its host */
void chaski__sim_answered(chaski_stream *stream); /* the answer is back */
int chaski__sim_listen(void *ctx, const char *ip, uint16_t port, const chaski_listener_events *events, void *user,
                       chaski_listener **out);
uint16_t chaski__sim_listener_port(const chaski_listener *listener);
void chaski__sim_listener_close(chaski_listener *listener);

/* sim_udp.c */
int chaski__sim_udp_open(void *ctx, const char *ip, uint16_t port, const chaski_udp_events *events, void *user,
                         chaski_udp **out);
uint16_t chaski__sim_udp_port(const chaski_udp *udp);
int chaski__sim_udp_send(chaski_udp *udp, const char *host, uint16_t port, const uint8_t *bytes, size_t len);
void chaski__sim_udp_close(chaski_udp *udp);
void chaski__sim_datagram_free(sim_datagram *datagram);

#endif
