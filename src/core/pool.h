/* pool.h: the messages pool: which messages were seen. Ids of our making (uuid version 8) are kept exactly, as one
 * window of sequence numbers per origin, with no clock; ids of other makers in a bounded set, oldest out first.
 *
 * A window covers the last CHASKI_WINDOW numbers below the highest seen, one bit each; it starts small and grows as
 * gaps need it. Below it a number counts as stale. One message moves a window up by at most CHASKI_WINDOW_STEP; an id
 * further ahead is kept in the bounded set instead, so that one forged number does not silence an origin. When only
 * far-ahead numbers come (CHASKI_REANCHOR of them in a row, each within a step of the one before), the origin really
 * went on without us: the window is moved up to them.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_POOL_H
#define CHASKI_POOL_H

#include "error.h"
#include "slice.h"

#include <stdbool.h>

#define CHASKI_WINDOW 65536      /* numbers: a slow path may lag this many publishes behind a fast one */
#define CHASKI_WINDOW_STEP 16384 /* numbers: what one message may skip at most */
#define CHASKI_REANCHOR 64       /* messages */
#define CHASKI_ORIGINS_MAX 8192  /* windows; least recently used goes; a quarter at most through one source */
#define CHASKI_POOL_DEFAULT 8192 /* opaque ids; RELIABILITY 3: the seed's 128 goes round in cycles (PROTOCOL A.6) */
#define CHASKI_POOL_ID_MAX 64    /* bytes of an opaque id */

typedef struct chaski_pool chaski_pool;

enum chaski_seen {
  CHASKI_NEW = 0,   /* not seen before; now it is */
  CHASKI_SEEN = 1,  /* seen before */
  CHASKI_STALE = 2, /* older than its origin's window: treat as seen, count apart */
};

/* A pool for up to max_ids opaque ids (>= 1) and max_origins windows (>= 1). NULL: out of memory. */
chaski_pool *chaski_pool_new(size_t max_ids, size_t max_origins);
/* What one source brought holds at most so many of the ids (>= 1) instead of a quarter. */
void chaski_pool_set_share(chaski_pool *pool, size_t max_ids);
void chaski_pool_destroy(chaski_pool **pool); /* nulls *pool; NULL is fine */

/* Ask and remember in one step. `source` (non-zero) names the edge the id came by, for quotas: what one source brought
 * holds at most a quarter of the ids and of the windows; beyond that its own oldest go first; 0 is the node
 * itself, without quota. Returns an enum chaski_seen, or CHASKI_ENOMEM (then nothing was remembered). */
int chaski_pool_check(chaski_pool *pool, uint64_t origin, uint64_t seq, uint64_t source);
/* The same for an opaque id of 1..CHASKI_POOL_ID_MAX bytes (CHASKI_EINVAL otherwise). */
int chaski_pool_check_id(chaski_pool *pool, chaski_slice id, uint64_t source);

/* The seed's MessagesPool over the bounded set: append (an id that is there becomes the youngest), contains. */
int chaski_pool_append(chaski_pool *pool, chaski_slice id); /* CHASKI_OK, ENOMEM, EINVAL */
bool chaski_pool_contains(const chaski_pool *pool, chaski_slice id);
/* Is this id (any kind, text form) known? Does not remember it. */
bool chaski_pool_knows(const chaski_pool *pool, chaski_slice uuid);

typedef struct chaski_pool_stats {
  size_t ids, origins, bytes; /* held now; bytes is the memory of the whole pool */
  uint64_t seen, stale, ahead, reanchored, evicted_ids, evicted_origins; /* since new */
  uint64_t evicted_of_source; /* of evicted_ids, those that went for others of their source */
} chaski_pool_stats;
void chaski_pool_get_stats(const chaski_pool *pool, chaski_pool_stats *out);

#endif
