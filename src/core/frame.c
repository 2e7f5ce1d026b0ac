/* frame.c: see frame.h. Whole frames are handed out where they lie; only one that is cut short is copied.
 * Knows nothing of messages: empty topics and empty data are frames like any other.
 * SPDX-License-Identifier: MIT */
#include "frame.h"

#include "alloc.h"

#define PARTIAL_MIN 4096 /* bytes: most frames that begin in one read end in the next, without another allocation */

#define DATA_MOST (64u * 1024 * 1024) /* the most that limits.h lets data_max and topic_max be */
#define TOPIC_MOST (4u * 1024)

static uint32_t get32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t v) {
  p[0] = (uint8_t)(v >> 24);
  p[1] = (uint8_t)(v >> 16);
  p[2] = (uint8_t)(v >> 8);
  p[3] = (uint8_t)v;
}

static uint32_t header_data(const uint8_t *header) {
  return get32(header);
}

static uint32_t header_topic(const uint8_t *header) {
  return get32(header + 4);
}

static uint64_t frame_size(const uint8_t *header) {
  return CHASKI_FRAME_HEADER + (uint64_t)header_topic(header) + header_data(header);
}

static bool too_big(const chaski_frame_decoder *d, const uint8_t *header) {
  return header_topic(header) > d->topic_max || header_data(header) > d->data_max;
}

static chaski_frame frame_at(const uint8_t *p) {
  size_t topic = header_topic(p), data = header_data(p);
  return (chaski_frame){
      .bytes = {p, CHASKI_FRAME_HEADER + topic + data},
      .topic = {p + CHASKI_FRAME_HEADER, topic},
      .data = {p + CHASKI_FRAME_HEADER + topic, data},
  };
}

static void advance(chaski_slice *in, size_t n) {
  in->ptr += n;
  in->len -= n;
}

void chaski_frame_decoder_init(chaski_frame_decoder *d, uint32_t topic_max, uint32_t data_max) {
  *d = (chaski_frame_decoder){.topic_max = topic_max, .data_max = data_max};
}

void chaski_frame_decoder_free(chaski_frame_decoder *d) {
  chaski__free(d->partial);
  chaski_frame_decoder_init(d, d->topic_max, d->data_max);
}

/* Room for len bytes of a piece of `goal` bytes (len <= goal). What is asked for follows the bytes received. */
static bool reserve(chaski_frame_decoder *d, size_t len, uint64_t goal) {
  if (len <= d->cap) return true;
  size_t cap = d->cap > SIZE_MAX / 2 ? len : 2 * d->cap;
  if (cap < PARTIAL_MIN) cap = PARTIAL_MIN;
  if (cap < len) cap = len;
  if (cap > goal) cap = (size_t)goal;
  uint8_t *grown = chaski__realloc(d->partial, cap);
  if (!grown) return false;
  d->partial = grown;
  d->cap = cap;
  return true;
}

/* Move bytes from *in into partial until it holds `goal`, or *in is used up. Not one byte more: the frames behind are
 * then parsed in place. */
static int gather(chaski_frame_decoder *d, chaski_slice *in, uint64_t goal) {
  uint64_t missing = goal > d->len ? goal - d->len : 0;
  size_t n = missing < in->len ? (size_t)missing : in->len;
  if (n == 0) return CHASKI_OK;
  if (!reserve(d, d->len + n, goal)) return CHASKI_ENOMEM;
  memcpy(d->partial + d->len, in->ptr, n);
  d->len += n;
  advance(in, n);
  return CHASKI_OK;
}

/* The frame that begins in partial (or will), ends somewhere in *in or later. */
static int assemble(chaski_frame_decoder *d, chaski_slice *in, chaski_frame *frame) {
  int err = gather(d, in, CHASKI_FRAME_HEADER);
  if (err || d->len < CHASKI_FRAME_HEADER) return err;
  if (too_big(d, d->partial)) return CHASKI_ETOOBIG;
  uint64_t size = frame_size(d->partial);
  err = gather(d, in, size);
  if (err || d->len < size) return err;
  *frame = frame_at(d->partial);
  return 1;
}

/* A complete frame in partial has been handed out: next returns as soon as it is complete. */
static bool handed_out(const chaski_frame_decoder *d) {
  return d->len >= CHASKI_FRAME_HEADER && d->len == frame_size(d->partial);
}

int chaski_frame_next(chaski_frame_decoder *d, chaski_slice *in, chaski_frame *frame) {
  if (d->partial && handed_out(d)) chaski_frame_decoder_free(d);
  if (d->partial || in->len < CHASKI_FRAME_HEADER) return assemble(d, in, frame);
  if (too_big(d, in->ptr)) return CHASKI_ETOOBIG;
  if (in->len < frame_size(in->ptr)) return assemble(d, in, frame);
  *frame = frame_at(in->ptr);
  advance(in, frame->bytes.len);
  return 1;
}

bool chaski_frame_peek(const chaski_frame_decoder *d, chaski_slice in, chaski_frame *frame) {
  if (d->partial || in.len < CHASKI_FRAME_HEADER || too_big(d, in.ptr) || in.len < frame_size(in.ptr)) return false;
  *frame = frame_at(in.ptr);
  return true;
}

bool chaski_frame_pending(const chaski_frame_decoder *d) {
  return d->partial && !handed_out(d);
}

bool chaski_frame_over_topic(const chaski_frame_decoder *d, chaski_slice rest) {
  const uint8_t *header = d->partial ? d->partial : rest.ptr;
  size_t len = d->partial ? d->len : rest.len;
  return len >= CHASKI_FRAME_HEADER && header_topic(header) > d->topic_max;
}

bool chaski_frame_foreign(const chaski_frame_decoder *d, chaski_slice rest) {
  const uint8_t *header = d->partial ? d->partial : rest.ptr;
  size_t len = d->partial ? d->len : rest.len;
  if (len >= 4 && header_data(header) > DATA_MOST) return true;
  return len >= CHASKI_FRAME_HEADER && header_topic(header) > TOPIC_MOST;
}

void chaski_frame_header(uint8_t out[CHASKI_FRAME_HEADER], uint32_t topic_len, uint32_t data_len) {
  put32(out, data_len);
  put32(out + 4, topic_len);
}
