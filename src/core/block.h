/* block.h: reference-counted bytes that outgoing frames lie in, and the arena that hands them out. A frame is
 * encoded once; every edge it goes to refers to the same bytes, and neighbouring frames in one block are one slice.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_BLOCK_H
#define CHASKI_BLOCK_H

#include "alloc.h"

#include <stdbool.h>
#include <stdint.h>

#define CHASKI_BLOCK_SIZE (64 * 1024) /* bytes: one write; small enough that a slow edge pins little */
#define CHASKI_SPARE_BLOCKS 16        /* kept for reuse, of whatever size, */
#define CHASKI_SPARE_BYTES (CHASKI_SPARE_BLOCKS * CHASKI_BLOCK_SIZE) /* as long as they are 1 MiB a loop at most */

typedef struct chaski__block {
  uint32_t refs;
  size_t used, cap; /* bytes */
  size_t room;      /* bytes there are, at least cap: it may have been a larger one before */
  uint8_t bytes[];
} chaski__block;

typedef struct chaski__arena {
  chaski__block *current;                    /* being filled; holds one reference */
  chaski__block *spare[CHASKI_SPARE_BLOCKS]; /* empty ones that are not small, the last used last */
  size_t spares, spare_bytes;
  size_t held; /* bytes of all blocks that somebody refers to, those of outboxes included */
} chaski__arena;

/* Bytes off..off+len of a block. Who keeps a span holds a reference to its block. */
typedef struct chaski__span {
  chaski__block *block;
  size_t off, len;
  size_t frames; /* that end in it: 1 from the arena, more where an outbox has joined some */
} chaski__span;

/* Take len bytes to write into; the span comes with a reference. false: out of memory. */
bool chaski__arena_take(chaski__arena *a, size_t len, chaski__span *out);
void chaski__arena_free(chaski__arena *a);
/* A block for one owner beside the arena's own; NULL: out of memory. */
chaski__block *chaski__block_new(chaski__arena *a, size_t cap);
void chaski__block_release(chaski__arena *a, chaski__block *b); /* drop one reference */

static inline uint8_t *chaski__span_bytes(const chaski__span *s) {
  return s->block->bytes + s->off;
}

#endif
