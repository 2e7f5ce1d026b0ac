/* buf.c: see buf.h. SPDX-License-Identifier: MIT */
#include "buf.h"

#include "alloc.h"

void chaski__buf_free(chaski__buf *b) {
  chaski__free(b->ptr);
  *b = (chaski__buf){0};
}

uint8_t *chaski__buf_reserve(chaski__buf *b, size_t n) {
  if (b->failed) return NULL;
  if (b->ptr && n <= b->cap - b->len) return b->ptr + b->len;
  size_t cap = b->cap ? b->cap : 256;
  while (cap - b->len < n) {
    if (cap > SIZE_MAX / 2) goto fail;
    cap *= 2;
  }
  uint8_t *ptr = chaski__realloc(b->ptr, cap);
  if (!ptr) goto fail;
  b->ptr = ptr;
  b->cap = cap;
  return ptr + b->len;
fail:
  b->failed = true;
  return NULL;
}

void chaski__buf_append(chaski__buf *b, const void *bytes, size_t len) {
  uint8_t *to = len ? chaski__buf_reserve(b, len) : NULL;
  if (!to) return;
  memcpy(to, bytes, len);
  b->len += len;
}
