/* sim.h: a world in memory: the environment and the transport of env.h under a virtual clock, for any number of
 * nodes in one process. Everything follows from the seed and the order of the calls; no socket, no thread, no real
 * time. It knows neither Lua nor libuv, and nothing of frames or nodes. A caller that breaks a rule of env.h (write()
 * before `written`, anything after close(), ...) is stopped by abort() with the rule on stderr.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_SIM_H
#define CHASKI_SIM_H

#include "../core/env.h"

typedef struct chaski_sim chaski_sim;

/* --- the world ------------------------------------------------------------------------------------------------ */

/* NULL: out of memory. The clock starts at one second, the wall clock at 2023-11-14 22:13:21 UTC. */
chaski_sim *chaski_sim_new(uint64_t seed);
/* Frees everything and sets *sim to NULL; NULL inside is fine. Handles still open vanish without an upcall.
 * Not from inside an upcall (a failed test that jumps out of one may). */
void chaski_sim_destroy(chaski_sim **sim);
/* The one environment for all nodes of this world; valid until destroy. Its ctx is the sim. */
const chaski_env *chaski_sim_env(chaski_sim *sim);
/* expire runs when the alarm is due. flush runs before a step, for what the caller did in between, and after a step in
 * which an upcall or expire ran: always before virtual time moves on. Either may be NULL. An alarm in the past
 * is due now, but for one set when another has just been due: that takes a microsecond, so that time goes on. */
void chaski_sim_hooks(chaski_sim *sim, void (*expire)(void *user), void (*flush)(void *user), void *user);
/* Where log lines go, and the level admitted. Until called: nowhere, CHASKI_LOG_ERROR. log may be NULL. */
void chaski_sim_log(chaski_sim *sim, enum chaski_log_level level,
                    void (*log)(void *user, enum chaski_log_level level, const char *who, const char *line),
                    void *user);

/* Run the next event, moving the clock to it. Simultaneous events run in the order in which they were scheduled.
 * False: nothing is scheduled, neither event nor alarm. Never from inside an upcall or a hook. */
bool chaski_sim_step(chaski_sim *sim);
/* Step until until(arg) holds (asked before the first step and after each; NULL never holds): CHASKI_OK.
 * CHASKI_ETIMEOUT: max_ns passed or nothing is left; the clock then stands at the end of max_ns (where it is when
 * max_ns is UINT64_MAX). */
int chaski_sim_run(chaski_sim *sim, bool (*until)(void *arg), void *arg, uint64_t max_ns);
uint64_t chaski_sim_now(const chaski_sim *sim);
/* When the next event or alarm is due; UINT64_MAX: nothing is scheduled. What a hook will schedule does not count. */
uint64_t chaski_sim_next(const chaski_sim *sim);
/* The wall clock jumps, forward or back; the monotonic clock does not notice. */
void chaski_sim_wall_jump(chaski_sim *sim, int64_t seconds);
/* Streams, listeners and datagram sockets that have not had their `closed`. */
size_t chaski_sim_handles(const chaski_sim *sim);
/* A hash over every upcall so far: time, host, kind, size, bytes. Equal runs have equal traces. */
uint64_t chaski_sim_trace(const chaski_sim *sim);

/* --- hosts ----------------------------------------------------------------------------------------------------
 * A host is a numeric address, compared as text; it exists as soon as it is named, and every address is local.
 * Functions that name one return CHASKI_OK, CHASKI_EADDRESS (not numeric) or CHASKI_ENOMEM (nothing changed). Streams,
 * datagrams and listeners of one host have different ports; port 0 draws from 32768 up. */

/* Whose host connect, listen and udp_open are called on. A dial comes from it; a listener or socket on a concrete
 * address is on that host instead, one on 0.0.0.0 or :: on this one. "127.0.0.1" at first. During an upcall it is the
 * host of the upcall's handle, and what was set before is back when the step's hooks run. */
int chaski_sim_act_as(chaski_sim *sim, const char *ip);
/* name resolves to ip from now on; ip NULL forgets it. "localhost" is known. Dials to other names fail with ERESOLVE
 * after the default link's delay. */
int chaski_sim_name(chaski_sim *sim, const char *name, const char *ip);

/* --- links ----------------------------------------------------------------------------------------------------
 * A dial takes two delays, there and back (EREFUSED too); `accept` comes after the first. Bytes of a stream never
 * reorder, whatever the jitter. Conditions hold for what is sent after they were set. */
typedef struct chaski_sim_link {
  uint64_t delay_ns;    /* one way */
  uint64_t jitter_ns;   /* up to so much more, drawn for each write or datagram */
  uint32_t chunk_max;   /* a write arrives in pieces of 1..chunk_max bytes; 0: as written */
  double udp_loss;      /* 0..1: part of the datagrams that vanish */
  uint64_t bytes_per_s; /* of one direction of one stream; 0: unlimited */
  size_t window;        /* bytes not yet read by the peer before write() takes less; 0: CHASKI_SIM_WINDOW */
} chaski_sim_link;

#define CHASKI_SIM_WINDOW ((size_t)256 * 1024) /* about what Linux grants a loopback connection at first */
#define CHASKI_SIM_DELAY UINT64_C(1000000)     /* ns; the delay of the default link until it is set */

/* For one pair of hosts, in both directions; b NULL (or a): for all of one host's; both NULL: the default. The most
 * particular wins; of two hosts' own conditions the sender's. */
int chaski_sim_set_link(chaski_sim *sim, const char *ip_a, const char *ip_b, const chaski_sim_link *link);

/* --- faults ---------------------------------------------------------------------------------------------------
 * May be called at any time, inside upcalls too. */

/* Reset a connection: what is in flight is dropped, both ends get `end` with ERESET (a dial still under way fails
 * with it). Nothing happens to a stream that is closed or dead already. */
void chaski_sim_cut(chaski_sim *sim, chaski_stream *stream);
/* The same after `bytes` more bytes were delivered to this end: any byte of a conversation can be the last. */
void chaski_sim_cut_after(chaski_sim *sim, chaski_stream *stream, uint64_t bytes);
/* A host neither receives nor sends, as if stopped: streams, dials and datagrams from and to it wait and go on
 * afterwards. The alarm is everybody's and still runs; what the host writes meanwhile waits too. */
int chaski_sim_stall(chaski_sim *sim, const char *ip, bool on);
/* Nothing passes between two hosts (b NULL: between a and all): dials do not complete, bytes of streams wait and
 * arrive after the path has healed (TCP sends again), datagrams are lost. */
int chaski_sim_blackhole(chaski_sim *sim, const char *ip_a, const char *ip_b, bool on);
/* Dials to the host fail with EREFUSED in spite of its listeners. */
int chaski_sim_refuse(chaski_sim *sim, const char *ip, bool on);
/* The host has no file descriptor left: connect, listen and udp_open on it fail with EFILES, so does accepting (the
 * listener's `error`); dials wait in the backlog meanwhile. */
int chaski_sim_files(chaski_sim *sim, const char *ip, bool exhausted);
/* Call each with every stream that is neither closed nor dead, oldest first (each end is a stream of its own). each may
 * cut, not step. NULL only counts. Returns how many there were. */
size_t chaski_sim_streams(chaski_sim *sim, void (*each)(void *arg, chaski_stream *stream), void *arg);

#endif
