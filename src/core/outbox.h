/* outbox.h: what waits to leave on one stream: spans of shared blocks in order. Frames that follow each other in one
 * block are one span. Bytes at the front may be borrowed by the transport.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_OUTBOX_H
#define CHASKI_OUTBOX_H

#include "block.h"
#include "slice.h"

#define CHASKI_OUTBOX_FIRST 4 /* spans an empty box makes room for: an edge that keeps up needs one or two */
#define CHASKI_OUTBOX_SHARED                                                                                           \
  32 /* spans into shared blocks; beyond, small frames are copied so that a slow edge does not pin                     \
        a whole block for each */
#define CHASKI_OUTBOX_TAIL                                                                                             \
  4096 /* bytes of the first private block; each next one doubles: all edges may take one at once */
#define CHASKI_OUTBOX_COPY (CHASKI_BLOCK_SIZE / 2) /* bytes: what counts as small; larger ones have their own block */

typedef struct chaski__outbox {
  chaski__span *spans; /* spans[head .. head + count); NULL while it is empty */
  uint32_t head, count, cap;
  size_t bytes;        /* all of them */
  size_t borrowed;     /* of these, at the front, the transport's */
  uint64_t frames;     /* frames not wholly gone */
  size_t front_rest;   /* bytes of the front frame still here when a part of it has gone; 0 at a frame's start */
  chaski__block *tail; /* private block that small frames are copied to; referenced */
} chaski__outbox;

void chaski__outbox_init(chaski__outbox *o);
/* Drop everything. */
void chaski__outbox_free(chaski__outbox *o, chaski__arena *a);
/* Append one frame (a reference is taken as needed; the caller keeps its own). false: out of memory, nothing changed.
 */
bool chaski__outbox_append(chaski__outbox *o, chaski__arena *a, const chaski__span *frame);
/* Fill up to max slices with what comes after the borrowed bytes; returns how many, and the bytes in *total. */
size_t chaski__outbox_peek(const chaski__outbox *o, chaski_slice *slices, size_t max, size_t *total);
/* n bytes have gone from the front. */
void chaski__outbox_consume(chaski__outbox *o, chaski__arena *a, size_t n);

/* Drop the first n frames; none of the bytes may be borrowed, and the box begins with a whole frame. */
void chaski__outbox_drop_frames(chaski__outbox *o, chaski__arena *a, uint64_t n);
/* Append all that `from` holds (references are taken). false: out of memory, a part may have been appended. */
bool chaski__outbox_copy(chaski__outbox *o, const chaski__outbox *from);
/* Call fn for each frame of which nothing has gone yet, from the front on; fresh: nor is borrowed. */
void chaski__outbox_each(const chaski__outbox *o, void (*fn)(void *ctx, chaski_slice frame), void *ctx);
void chaski__outbox_fresh(const chaski__outbox *o, void (*fn)(void *ctx, chaski_slice frame), void *ctx);

/* Keep this frame? */
typedef bool chaski__sieve(void *ctx, chaski_slice frame);
/* Make *to, which is no box yet, what `from` is without those fresh frames that fn does not keep. false: out of memory,
 * *to is empty. */
bool chaski__outbox_sieve(const chaski__outbox *from, chaski__outbox *to, chaski__arena *a, chaski__sieve *fn,
                          void *ctx);
/* *o becomes what *by is; *by is empty then. */
void chaski__outbox_replace(chaski__outbox *o, chaski__arena *a, chaski__outbox *by);

#endif
