/* net.h: the environment and the transport of core/env.h on libuv: real clock, timers, TCP, UDP. It knows nothing of
 * nodes, frames or Lua. Every handle it makes keeps handle->data == NULL, because luv, which may share the loop, takes
 * the data of any handle for its own structure.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_NET_H
#define CHASKI_NET_H

#include "../core/env.h"

#include <uv.h>

#define CHASKI_NET_SLAB 262144      /* bytes of the one read buffer of a net: fewer frames lie across two reads */
#define CHASKI_NET_DATAGRAM 65536   /* bytes: none is larger */
#define CHASKI_NET_TURN_READ 262144 /* bytes read from one stream per loop turn, so that it starves no other */
#define CHASKI_NET_BACKLOG 511      /* connections the kernel holds for a listener */
#define CHASKI_NET_TURN_ACCEPT 64   /* connections accepted from one listener per loop turn */
#define CHASKI_NET_DEAD_S 15        /* seconds of silence after which the kernel gives a peer up */
#define CHASKI_NET_PROBE_S 5        /* seconds between keep-alive probes, after CHASKI_NET_DEAD_S idle */
#define CHASKI_NET_PROBES 3         /* probes unanswered until the peer counts as dead */
#define CHASKI_NET_BACKOFF_MS 100   /* first pause of a listener that cannot accept; doubles */
#define CHASKI_NET_BACKOFF_MAX 1000 /* ms, the longest such pause */

typedef struct chaski_net chaski_net;

/* A net on this loop; one per loop, several per process. Ignores SIGPIPE if nobody handles it yet. The loop must
 * outlive the net. CHASKI_OK or CHASKI_ENOMEM. */
int chaski_net_open(uv_loop_t *loop, chaski_net **out);

/* The tables; valid as long as the net. */
const chaski_env *chaski_net_env(chaski_net *net);

/* Upcalls to the core (each may be NULL). expire: the alarm is due. flush: before the loop sleeps, every turn. */
void chaski_net_hooks(chaski_net *net, void (*expire)(void *user), void (*flush)(void *user), void *user);

/* Where log lines go (NULL: nowhere, the default) and up to which level; may be called again at any time. */
void chaski_net_log(chaski_net *net,
                    void (*log)(void *user, enum chaski_log_level level, const char *who, const char *line),
                    enum chaski_log_level level, void *user);

/* Streams, listeners and datagram sockets not yet closed. */
size_t chaski_net_handles(const chaski_net *net);

/* Close everything still open (their `closed` upcalls come) and the net itself; *net becomes NULL, hooks are not called
 * any more, and whoever still has the tables is refused with CHASKI_ESTOPPED. `closed` (may be NULL) is called, after
 * the memory was freed, when nothing of the net is left on the loop: run the loop until then. It waits for name lookups
 * under way, which cannot be stopped once begun. NULL or *net NULL: nothing happens. */
void chaski_net_close(chaski_net **net, void (*closed)(void *user), void *user);

#endif
