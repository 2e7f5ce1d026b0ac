/* loop.h: what all nodes of one event loop share: the environment, timers, the blocks that outgoing frames are encoded
 * into, and the work of the end of a turn. The environment drives it through expire and flush.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_LOOP_H
#define CHASKI_LOOP_H

#include "env.h"

typedef struct chaski_loop chaski_loop;

/* A loop over env, which is copied (env->ctx must outlive the loop). CHASKI_OK or CHASKI_ENOMEM. */
int chaski_loop_new(const chaski_env *env, chaski_loop **out);
/* Free it; nulls *loop. Every node must be gone (chaski_loop_nodes() == 0) and every transport object `closed`. */
void chaski_loop_destroy(chaski_loop **loop);

/* For the environment: the alarm is due; and: the loop is about to sleep (write what waits). */
void chaski_loop_expire(chaski_loop *loop);
void chaski_loop_flush(chaski_loop *loop);

const chaski_env *chaski_loop_env(const chaski_loop *loop);
/* Nodes not yet destroyed or still closing. */
size_t chaski_loop_nodes(const chaski_loop *loop);
/* Monotonic ns, read once per turn; refreshed by every upcall from the environment. */
uint64_t chaski_loop_now(const chaski_loop *loop);
/* True once this turn has published CHASKI_TURN_BYTES: a task that publishes in a loop should let the loop turn. */
bool chaski_loop_busy(const chaski_loop *loop);

#define CHASKI_TURN_BYTES                                                                                              \
  (256 * 1024) /* bytes: long enough to amortise a turn (some 5 us), short enough to stay in cache */

/* --- timers -------------------------------------------------------------------------------------------------
 * Intrusive: no allocation, O(log n) amortised. fn runs from chaski_loop_expire, after the timer was taken out; it may
 * start it again, stop others and free itself. */
typedef struct chaski_timer {
  struct chaski_timer *child, *next, *prev; /* pairing heap; prev is the parent for a first child */
  uint64_t due;                             /* ns; 0 when not started */
  uint64_t order;                           /* ties are run in the order of starting */
  void (*fn)(struct chaski_timer *timer);
} chaski_timer;

void chaski_timer_init(chaski_timer *t, void (*fn)(chaski_timer *t));
/* Run fn at now + delay ns (0: at the next turn, never at once). Started already: moved. */
void chaski_timer_start(chaski_loop *loop, chaski_timer *t, uint64_t delay);
void chaski_timer_stop(chaski_loop *loop, chaski_timer *t); /* not started: nothing */
bool chaski_timer_active(const chaski_timer *t);

#endif
