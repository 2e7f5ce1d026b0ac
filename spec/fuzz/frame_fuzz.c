/* frame_fuzz.c: any bytes in any pieces through the frame decoder: the frames are those of the bytes in one piece.
 * The first byte says how the rest is cut. SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "../../src/core/alloc.h"
#include "../../src/core/frame.h"

#include <string.h>

#define TOPIC_MAX 256
#define DATA_MAX 4096

typedef struct outcome {
  size_t frames, bytes;
  uint64_t hash;
  int error;
} outcome;

static void note(outcome *o, const chaski_frame *f) {
  FUZZ_CHECK(f->bytes.len == CHASKI_FRAME_HEADER + f->topic.len + f->data.len);
  FUZZ_CHECK(f->topic.len <= TOPIC_MAX && f->data.len <= DATA_MAX);
  for (size_t i = 0; i < f->bytes.len; i++) o->hash = (o->hash ^ f->bytes.ptr[i]) * UINT64_C(0x100000001b3);
  o->frames++;
  o->bytes += f->bytes.len;
}

static outcome decode(const uint8_t *bytes, size_t len, size_t piece) {
  outcome o = {.hash = UINT64_C(0xcbf29ce484222325)};
  chaski_frame_decoder d;
  chaski_frame f;
  chaski_frame_decoder_init(&d, TOPIC_MAX, DATA_MAX);
  for (size_t at = 0; at < len && !o.error; at += piece) {
    size_t n = piece < len - at ? piece : len - at;
    uint8_t *copy = malloc(n); /* a slice into what came before must not be needed */
    FUZZ_CHECK(copy);
    memcpy(copy, bytes + at, n);
    chaski_slice in = chaski_slice_of(copy, n);
    int r;
    while ((r = chaski_frame_next(&d, &in, &f)) == 1) note(&o, &f);
    if (r < 0) o.error = r;
    FUZZ_CHECK(r < 0 || in.len == 0);
    FUZZ_CHECK(d.cap <= 2 * (CHASKI_FRAME_HEADER + TOPIC_MAX + DATA_MAX)); /* grows with what came */
    free(copy);
  }
  if (!o.error) FUZZ_CHECK(chaski_frame_pending(&d) == (o.bytes < len));
  chaski_frame_decoder_free(&d);
  return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
  if (len < 2 || len > 16384) return 0;
  outcome whole = decode(bytes + 1, len - 1, len), pieces = decode(bytes + 1, len - 1, 1 + bytes[0]);
  FUZZ_CHECK(whole.frames == pieces.frames && whole.hash == pieces.hash && whole.error == pieces.error);
  FUZZ_CHECK(chaski_alloc_blocks() == 0);
  return 0;
}
