/* frame.h: the length-prefixed unit on a stream (PROTOCOL A.1): data length, topic length (both 32 bits, big endian),
 * topic, data. The decoder is pure: bytes in, frames out, no I/O, no callbacks.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_FRAME_H
#define CHASKI_FRAME_H

#include "error.h"
#include "slice.h"

#include <stdbool.h>

#define CHASKI_FRAME_HEADER 8 /* bytes before the topic */

typedef struct chaski_frame {
  chaski_slice bytes; /* the whole frame, header included */
  chaski_slice topic; /* still serialised, as it stood on the wire */
  chaski_slice data;  /* the serialised message */
} chaski_frame;

typedef struct chaski_frame_decoder {
  uint8_t *partial;   /* bytes of a frame that has begun; NULL between frames, so that an idle edge holds nothing */
  size_t len, cap;    /* filled and allocated bytes of partial; cap grows with len, never with what a header promises */
  uint32_t topic_max; /* largest topic accepted, bytes */
  uint32_t data_max;  /* largest data accepted, bytes */
} chaski_frame_decoder;

void chaski_frame_decoder_init(chaski_frame_decoder *d, uint32_t topic_max, uint32_t data_max);
void chaski_frame_decoder_free(chaski_frame_decoder *d); /* back to the state after init */

/* Take the next frame out of *in, which is advanced past what was consumed.
 * 1: *frame is set; its slices point into *in's bytes, or into the decoder until the next call of next or free.
 * 0: *in is used up (consumed or kept); more bytes are needed.
 * CHASKI_ETOOBIG: a length is over its limit. CHASKI_ENOMEM. After an error the stream cannot go on. */
int chaski_frame_next(chaski_frame_decoder *d, chaski_slice *in, chaski_frame *frame);

/* True, and *frame set as next will set it, if the next frame lies whole in `in` and is not over a limit. Takes
 * nothing. False says nothing of what next will find. */
bool chaski_frame_peek(const chaski_frame_decoder *d, chaski_slice in, chaski_frame *frame);

/* True while a frame has begun and is not complete (for the deadline of started frames, and truncation). */
bool chaski_frame_pending(const chaski_frame_decoder *d);

/* After CHASKI_ETOOBIG: it was the topic's length, of what waits here (with `rest`, which next did not take). */
bool chaski_frame_over_topic(const chaski_frame_decoder *d, chaski_slice rest);

/* No chaski node sends a frame that begins like what waits here (with `rest`, which next did not take): the header's
 * lengths are beyond any limit a node may have, as those are that the texts of other protocols happen to spell. */
bool chaski_frame_foreign(const chaski_frame_decoder *d, chaski_slice rest);

/* Write the 8 header bytes for the lengths given. */
void chaski_frame_header(uint8_t out[CHASKI_FRAME_HEADER], uint32_t topic_len, uint32_t data_len);

#endif
