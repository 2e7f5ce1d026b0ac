/* slice.h: borrowed bytes. A slice owns nothing and is valid as long as whoever lent it says.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_SLICE_H
#define CHASKI_SLICE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct chaski_slice {
  const uint8_t *ptr; /* may be NULL when len is 0 */
  size_t len;         /* bytes */
} chaski_slice;

/* Initialiser of the slice of a literal. */
#define CHASKI_SLICE(literal)                                                                                          \
  { (const uint8_t *)(literal), sizeof(literal) - 1 }

static inline chaski_slice chaski_slice_of(const void *ptr, size_t len) {
  return (chaski_slice){ptr, len};
}

static inline chaski_slice chaski_slice_str(const char *s) {
  return (chaski_slice){(const uint8_t *)s, s ? strlen(s) : 0};
}

static inline int chaski_slice_equal(chaski_slice a, chaski_slice b) {
  return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

#endif
