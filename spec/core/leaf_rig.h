/* leaf_rig.h: what the tests of the leaf modules share: random numbers that repeat, an allocator that fails when told
 * to, bytes on the heap at their exact size (so that a read past their end is seen).
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_SPEC_LEAF_RIG_H
#define CHASKI_SPEC_LEAF_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/core/alloc.h"
#include "../../src/core/buf.h"

#include <stdlib.h>
#include <string.h>

static uint64_t random_state;
static size_t allocations_left; /* after these, each one fails */

static inline uint64_t draw(uint64_t below) { /* xorshift64* (Vigna) */
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (random_state * 2685821657736338717u >> 16) % below;
}

static inline void *scarce_realloc(void *ptr, size_t size) {
  if (size > 0) return allocations_left && allocations_left-- ? realloc(ptr, size) : NULL;
  free(ptr);
  return NULL;
}

static inline void allow_allocations(size_t n) {
  allocations_left = n;
  chaski_set_allocator(scarce_realloc);
}

static inline void allow_all_allocations(void) {
  chaski_set_allocator(NULL);
}

static inline int leaf_setup(void **state) {
  (void)state;
  random_state = 88172645463325252;
  return 0;
}

static inline int no_block_is_left(void **state) {
  (void)state;
  allow_all_allocations();
  return chaski_alloc_blocks() == 0 ? 0 : -1;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, leaf_setup, no_block_is_left)

/* A copy of exactly len bytes, to be given back with free_exact. */
static inline chaski_slice exact(chaski_slice s) {
  uint8_t *p = malloc(s.len ? s.len : 1);
  assert_non_null(p);
  if (s.len) memcpy(p, s.ptr, s.len);
  return chaski_slice_of(s.len ? p : p + 1, s.len);
}

static inline void free_exact(chaski_slice s) {
  free((uint8_t *)(uintptr_t)s.ptr - (s.len ? 0 : 1));
}

static inline void append(chaski__buf *b, chaski_slice s) {
  chaski__buf_append(b, s.ptr, s.len);
  assert_false(b->failed);
}

/* Bytes of a string literal, NULs included. */
#define BYTES(literal)                                                                                                 \
  { (const uint8_t *)("" literal), sizeof(literal) - 1 }
#define SLICE(literal) ((chaski_slice)BYTES(literal))

static inline void assert_slice(chaski_slice got, chaski_slice want) {
  assert_int_equal(got.len, want.len);
  if (want.len) assert_memory_equal(got.ptr, want.ptr, want.len);
}

#define assert_text(got, text) assert_slice(got, chaski_slice_str(text))

#endif
