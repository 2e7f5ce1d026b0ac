/* block.c: see block.h. SPDX-License-Identifier: MIT */
#include "block.h"

#include <string.h>

#define PAGE 4096 /* bytes: large blocks are made a little larger, so that the next frame fits, too */

/* --- spares: a block that is freed and made again each time costs the kernel's zeroing of its pages --------------- */

static bool is_small(size_t cap) {
  return cap <= CHASKI_BLOCK_SIZE / 2;
}

static chaski__block *take_out(chaski__arena *a, size_t i) {
  chaski__block *b = a->spare[i];
  a->spare_bytes -= b->room;
  a->spares--;
  memmove(a->spare + i, a->spare + i + 1, (a->spares - i) * sizeof *a->spare);
  return b;
}

/* What is left over is not counted as held, so it must be little. */
static bool fits(const chaski__block *b, size_t cap) {
  return b->room >= cap && b->room - cap <= cap / 8;
}

/* The last used that fits: it is still in the processor's cache. */
static chaski__block *find_spare(chaski__arena *a, size_t cap) {
  for (size_t i = is_small(cap) ? 0 : a->spares; i-- > 0;)
    if (fits(a->spare[i], cap)) return take_out(a, i);
  return NULL;
}

static void keep(chaski__arena *a, chaski__block *b) {
  while (a->spares == CHASKI_SPARE_BLOCKS || a->spare_bytes + b->room > CHASKI_SPARE_BYTES)
    chaski__free(take_out(a, 0));
  a->spare[a->spares++] = b;
  a->spare_bytes += b->room;
}

/* --- blocks ------------------------------------------------------------------------------------------------------- */

static chaski__block *make(size_t cap) {
  size_t room = is_small(cap) ? cap : cap + (PAGE - cap % PAGE) % PAGE;
  chaski__block *b = chaski__malloc(sizeof *b + room);
  if (b) b->room = room;
  return b;
}

chaski__block *chaski__block_new(chaski__arena *a, size_t cap) {
  chaski__block *b = find_spare(a, cap);
  if (!b) b = make(cap);
  if (!b) return NULL;
  *b = (chaski__block){.refs = 1, .cap = cap, .room = b->room};
  a->held += cap;
  return b;
}

void chaski__block_release(chaski__arena *a, chaski__block *b) {
  if (--b->refs) return;
  a->held -= b->cap;
  if (is_small(b->room) || b->room > CHASKI_SPARE_BYTES)
    chaski__free(b);
  else
    keep(a, b);
}

static bool take_from(chaski__block *b, size_t len, chaski__span *out) {
  *out = (chaski__span){b, b->used, len, 1};
  b->used += len;
  return true;
}

bool chaski__arena_take(chaski__arena *a, size_t len, chaski__span *out) {
  if (a->current && a->current->cap - a->current->used >= len) {
    a->current->refs++;
    return take_from(a->current, len, out);
  }
  bool large = !is_small(len); /* a block of its own; the current one goes on */
  chaski__block *b = chaski__block_new(a, large ? len : CHASKI_BLOCK_SIZE);
  if (!b) return false;
  if (!large) {
    if (a->current) chaski__block_release(a, a->current);
    a->current = b;
    b->refs++;
  }
  return take_from(b, len, out);
}

void chaski__arena_free(chaski__arena *a) {
  if (a->current) chaski__block_release(a, a->current);
  a->current = NULL;
  while (a->spares) chaski__free(take_out(a, a->spares - 1));
}
