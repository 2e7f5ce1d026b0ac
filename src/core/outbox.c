/* outbox.c: see outbox.h. SPDX-License-Identifier: MIT */
#include "outbox.h"

#include "frame.h"

#include <string.h>

void chaski__outbox_init(chaski__outbox *o) {
  *o = (chaski__outbox){0};
}

/* Back to an empty box that holds nothing: an idle edge costs no buffer. */
static void rewind_box(chaski__outbox *o, chaski__arena *a) {
  for (uint32_t i = 0; i < o->count; i++) chaski__block_release(a, o->spans[o->head + i].block);
  if (o->tail) chaski__block_release(a, o->tail);
  chaski__free(o->spans);
  chaski__outbox_init(o);
}

void chaski__outbox_free(chaski__outbox *o, chaski__arena *a) {
  rewind_box(o, a);
}

static bool make_room(chaski__outbox *o) {
  if (o->head + o->count < o->cap) return true;
  if (o->cap && o->head > o->cap / 2) { /* slide down */
    memmove(o->spans, o->spans + o->head, o->count * sizeof *o->spans);
    o->head = 0;
    return true;
  }
  uint32_t cap = o->cap ? o->cap * 2 : CHASKI_OUTBOX_FIRST;
  chaski__span *spans = chaski__realloc(o->spans, cap * sizeof *spans);
  if (!spans) return false;
  o->spans = spans;
  o->cap = cap;
  return true;
}

static bool extend_last(chaski__outbox *o, const chaski__span *f) {
  if (!o->count) return false;
  chaski__span *last = &o->spans[o->head + o->count - 1];
  if (last->block != f->block || last->off + last->len != f->off) return false;
  last->len += f->len;
  last->frames += f->frames;
  return true;
}

/* Copy a small frame behind the others in the box's own block. */
static bool copy_to_tail(chaski__outbox *o, chaski__arena *a, const chaski__span *f, chaski__span *copy) {
  if (!o->tail || o->tail->cap - o->tail->used < f->len) {
    size_t cap = o->tail ? 2 * o->tail->cap : CHASKI_OUTBOX_TAIL;
    while (cap < f->len) cap *= 2;
    if (cap > CHASKI_BLOCK_SIZE) cap = CHASKI_BLOCK_SIZE;
    chaski__block *b = chaski__block_new(a, cap);
    if (!b) return false;
    if (o->tail) chaski__block_release(a, o->tail);
    o->tail = b;
  }
  *copy = (chaski__span){o->tail, o->tail->used, f->len, 1};
  memcpy(chaski__span_bytes(copy), chaski__span_bytes(f), f->len);
  o->tail->used += f->len;
  return true;
}

static bool append_span(chaski__outbox *o, const chaski__span *f) {
  if (extend_last(o, f)) return true;
  if (!make_room(o)) return false;
  o->spans[o->head + o->count++] = *f;
  f->block->refs++;
  return true;
}

bool chaski__outbox_append(chaski__outbox *o, chaski__arena *a, const chaski__span *frame) {
  chaski__span copy;
  if (!extend_last(o, frame)) {
    bool small = o->count >= CHASKI_OUTBOX_SHARED && frame->len <= CHASKI_OUTBOX_COPY;
    if (small && !copy_to_tail(o, a, frame, &copy)) return false;
    if (!append_span(o, small ? &copy : frame)) return false;
  }
  o->bytes += frame->len;
  o->frames++;
  return true;
}

size_t chaski__outbox_peek(const chaski__outbox *o, chaski_slice *slices, size_t max, size_t *total) {
  size_t skip = o->borrowed, n = 0;
  *total = 0;
  for (uint32_t i = 0; i < o->count && n < max; i++) {
    const chaski__span *s = &o->spans[o->head + i];
    if (skip >= s->len) {
      skip -= s->len;
      continue;
    }
    slices[n++] = chaski_slice_of(chaski__span_bytes(s) + skip, s->len - skip);
    *total += s->len - skip;
    skip = 0;
  }
  return n;
}

static size_t frame_length(const uint8_t *h) {
  size_t data = (size_t)h[0] << 24 | (size_t)h[1] << 16 | (size_t)h[2] << 8 | h[3];
  size_t topic = (size_t)h[4] << 24 | (size_t)h[5] << 16 | (size_t)h[6] << 8 | h[7];
  return CHASKI_FRAME_HEADER + topic + data;
}

/* n bytes of the front span, which is longer, go. */
static void shorten_front(chaski__outbox *o, chaski__span *s, size_t n) {
  const uint8_t *bytes = chaski__span_bytes(s);
  size_t at = 0;
  s->off += n;
  s->len -= n;
  while (at < n) {
    size_t rest = o->front_rest ? o->front_rest : frame_length(bytes + at);
    if (rest > n - at) {
      o->front_rest = rest - (n - at);
      return;
    }
    at += rest;
    o->front_rest = 0;
    o->frames--;
    s->frames--;
  }
}

/* A frame never lies across two spans. */
static void drop_front(chaski__outbox *o, chaski__arena *a, const chaski__span *s) {
  o->frames -= s->frames;
  o->front_rest = 0;
  chaski__block_release(a, s->block);
  o->head++;
  o->count--;
}

void chaski__outbox_consume(chaski__outbox *o, chaski__arena *a, size_t n) {
  if (n == o->bytes) {
    rewind_box(o, a);
    return;
  }
  o->bytes -= n;
  o->borrowed -= n < o->borrowed ? n : o->borrowed;
  while (n) {
    chaski__span *s = &o->spans[o->head];
    size_t part = n < s->len ? n : s->len;
    if (part < s->len)
      shorten_front(o, s, part);
    else
      drop_front(o, a, s);
    n -= part;
  }
}

static size_t bytes_of(const chaski__span *s, uint64_t frames) {
  size_t bytes = 0;
  if (frames >= s->frames) return s->len;
  while (frames--) bytes += frame_length(chaski__span_bytes(s) + bytes);
  return bytes;
}

void chaski__outbox_drop_frames(chaski__outbox *o, chaski__arena *a, uint64_t n) {
  if (n >= o->frames) {
    rewind_box(o, a);
    return;
  }
  while (n) {
    const chaski__span *s = &o->spans[o->head];
    uint64_t part = n < s->frames ? n : s->frames;
    chaski__outbox_consume(o, a, bytes_of(s, part));
    n -= part;
  }
}

bool chaski__outbox_copy(chaski__outbox *o, const chaski__outbox *from) {
  for (uint32_t i = 0; i < from->count; i++) {
    if (!append_span(o, &from->spans[from->head + i])) return false;
    o->bytes += from->spans[from->head + i].len;
  }
  o->frames += from->frames;
  return true;
}

/* Call fn for each frame behind the first `skip` bytes, which end where a frame does. */
static void walk(const chaski__outbox *o, size_t skip, void (*fn)(void *ctx, chaski_slice frame), void *ctx) {
  for (uint32_t i = 0; i < o->count; i++) {
    const chaski__span *s = &o->spans[o->head + i];
    const uint8_t *bytes = chaski__span_bytes(s);
    size_t at = skip < s->len ? skip : s->len;
    skip -= at;
    for (size_t len; at < s->len; at += len) fn(ctx, chaski_slice_of(bytes + at, len = frame_length(bytes + at)));
  }
}

void chaski__outbox_each(const chaski__outbox *o, void (*fn)(void *ctx, chaski_slice frame), void *ctx) {
  walk(o, o->front_rest, fn, ctx);
}

static size_t handed_over(const chaski__outbox *o) {
  return o->borrowed > o->front_rest ? o->borrowed : o->front_rest;
}

void chaski__outbox_fresh(const chaski__outbox *o, void (*fn)(void *ctx, chaski_slice frame), void *ctx) {
  walk(o, handed_over(o), fn, ctx);
}

static bool take_over(chaski__outbox *to, const chaski__span *s, size_t from, size_t len, size_t frames) {
  if (!len) return true;
  to->bytes += len;
  to->frames += frames;
  return append_span(to, &(chaski__span){s->block, s->off + from, len, frames});
}

static size_t frames_from(const chaski__span *s, size_t at) {
  size_t frames = 0;
  for (; at < s->len; frames++) at += frame_length(chaski__span_bytes(s) + at);
  return frames;
}

/* The frames of a span from `at` on. */
static bool sieve_span(const chaski__span *s, size_t at, chaski__outbox *to, chaski__sieve *fn, void *ctx) {
  const uint8_t *bytes = chaski__span_bytes(s);
  for (size_t len; at < s->len; at += len) {
    len = frame_length(bytes + at);
    if (fn(ctx, chaski_slice_of(bytes + at, len)) && !take_over(to, s, at, len, 1)) return false;
  }
  return true;
}

bool chaski__outbox_sieve(const chaski__outbox *from, chaski__outbox *to, chaski__arena *a, chaski__sieve *fn,
                          void *ctx) {
  size_t skip = handed_over(from);
  bool ok = true;
  chaski__outbox_init(to);
  to->borrowed = from->borrowed;
  to->front_rest = from->front_rest;
  for (uint32_t i = 0; i < from->count && ok; i++) {
    const chaski__span *s = &from->spans[from->head + i];
    size_t gone = skip < s->len ? skip : s->len;
    skip -= gone;
    ok = take_over(to, s, 0, gone, s->frames - frames_from(s, gone)) && sieve_span(s, gone, to, fn, ctx);
  }
  if (!ok) rewind_box(to, a);
  if (ok && from->tail) (to->tail = from->tail)->refs++;
  return ok;
}

void chaski__outbox_replace(chaski__outbox *o, chaski__arena *a, chaski__outbox *by) {
  rewind_box(o, a);
  *o = *by;
  chaski__outbox_init(by);
  if (!o->bytes) rewind_box(o, a);
}
