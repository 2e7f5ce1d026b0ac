/* buf.h: a growable run of bytes, for what is built piece by piece (the data of protocol commands). Errors are sticky:
 * append freely, ask once at the end.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_BUF_H
#define CHASKI_BUF_H

#include "slice.h"

#include <stdbool.h>

typedef struct chaski__buf {
  uint8_t *ptr;
  size_t len, cap;
  bool failed; /* out of memory: contents are useless */
} chaski__buf;

static inline chaski_slice chaski__buf_slice(const chaski__buf *b) {
  return chaski_slice_of(b->ptr, b->len);
}

void chaski__buf_free(chaski__buf *b);                                  /* back to empty ({0}) */
uint8_t *chaski__buf_reserve(chaski__buf *b, size_t n);                 /* room for n more bytes at the end, or NULL */
void chaski__buf_append(chaski__buf *b, const void *bytes, size_t len); /* copy to the end */

#endif
