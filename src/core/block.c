/* block.c: see block.h. SPDX-License-Identifier: MIT */
#include "block.h"

chaski__block *chaski__block_new(chaski__arena *a, size_t cap) {
  chaski__block *b;
  if (cap == CHASKI_BLOCK_SIZE && a->spares)
    b = a->spare[--a->spares];
  else
    b = chaski__malloc(sizeof *b + cap);
  if (!b) return NULL;
  *b = (chaski__block){.refs = 1, .cap = cap};
  a->held += cap;
  return b;
}

void chaski__block_release(chaski__arena *a, chaski__block *b) {
  if (--b->refs) return;
  a->held -= b->cap;
  if (b->cap == CHASKI_BLOCK_SIZE && a->spares < CHASKI_SPARE_BLOCKS)
    a->spare[a->spares++] = b;
  else
    chaski__free(b);
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
  bool large = len > CHASKI_BLOCK_SIZE / 2; /* a block of its own; the current one goes on */
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
  while (a->spares) chaski__free(a->spare[--a->spares]);
}
