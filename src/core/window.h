/* window.h: the numbers seen of one origin, exactly, in little memory: three stretches without a bit each (stale,
 * none seen, all seen) and one with bits up to the highest. It knows no ids, no sets and no other origins; what lies
 * too far ahead it only counts, so that it can tell a forged number from an origin that really went on.
 *
 *   ... stale | floor: none seen | start: all seen | base: bits | next: nothing seen from here on ...
 *
 * An origin in good order has base == next and touches no bit at all.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_WINDOW_H
#define CHASKI_WINDOW_H

#include "pool.h"

#define CHASKI__WINDOW_SMALL 256 /* bits that need no allocation */
#define CHASKI__AHEAD 3          /* beside enum chaski_seen: further ahead than CHASKI_WINDOW_STEP; not remembered */

typedef struct chaski__window {
  uint64_t next, base, start, floor; /* as drawn; floor is also at least next - CHASKI_WINDOW, unwritten */
  uint64_t aside, aside_span;        /* numbers remembered elsewhere are in [aside, aside + span]; or UINT64_MAX, 0 */
  uint64_t run_top;                  /* highest of the run of far-ahead numbers */
  uint32_t run;                      /* its length so far */
  uint32_t word_mask;                /* words - 1; a power of two of them, used as a ring; 0 outside [base, next) */
  uint64_t *words;                   /* small, or a block of its own */
  uint64_t small[CHASKI__WINDOW_SMALL / 64];
} chaski__window;

/* Start at seq, which is thereby seen. The window may not be moved in memory from now on. Numbers are at most
 * CHASKI_SEQ_MAX everywhere. */
void chaski__window_init(chaski__window *w, uint64_t seq);
void chaski__window_free(chaski__window *w);

/* What is seq? enum chaski_seen or CHASKI__AHEAD. */
int chaski__window_look(const chaski__window *w, uint64_t seq);
/* The same, and a new one is remembered; or CHASKI_ENOMEM and nothing has changed. */
int chaski__window_check(chaski__window *w, uint64_t seq);
/* seq was CHASKI__AHEAD, was never seen and is now remembered elsewhere. True if that was one too many: the window was
 * moved up to the highest of the run. (Without memory to do so it tries again at the next one.) */
bool chaski__window_ahead(chaski__window *w, uint64_t seq);
/* May seq be one of those remembered elsewhere? */
bool chaski__window_is_aside(chaski__window *w, uint64_t seq);
/* Bytes held beside the struct. */
size_t chaski__window_bytes(const chaski__window *w);

/* The usual case in a few instructions: true if seq is the very next of an origin in good order; it is seen now.
 * False: nothing is known and nothing has changed. */
static inline bool chaski__window_next(chaski__window *w, uint64_t seq) {
  if (seq != w->next || seq != w->base || seq - w->aside <= w->aside_span) return false;
  w->next = w->base = seq + 1;
  w->run = 0;
  return true;
}

#endif
