/* alloc_test.c: the core's allocator counts its blocks, fails without harm and can be replaced.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "../../src/core/alloc.h"

static int setup(void **state) {
  (void)state;
  return chaski_alloc_blocks() == 0 ? 0 : -1;
}

static int teardown(void **state) {
  (void)state;
  chaski_set_allocator(NULL);
  return chaski_alloc_blocks() == 0 ? 0 : -1;
}

static int calls; /* of either allocator below */

static void *counting(void *ptr, size_t size) {
  calls++;
  if (size > 0) return realloc(ptr, size);
  free(ptr);
  return NULL;
}

static void *refusing(void *ptr, size_t size) {
  calls++;
  if (size == 0) free(ptr);
  return NULL;
}

static void every_block_is_counted_until_it_is_freed(void **state) {
  (void)state;
  void *a = chaski__malloc(1), *b = chaski__calloc(3, 5), *c = chaski__strndup("abc", 3);
  assert_true(a && b && c);
  assert_int_equal(chaski_alloc_blocks(), 3);
  chaski__free(b);
  assert_int_equal(chaski_alloc_blocks(), 2);
  chaski__free(a);
  chaski__free(c);
  assert_int_equal(chaski_alloc_blocks(), 0);
}

static void realloc_keeps_the_bytes_and_the_count(void **state) {
  (void)state;
  char *p = chaski__realloc(NULL, 4);
  assert_non_null(p);
  memcpy(p, "wxyz", 4);
  p = chaski__realloc(p, 100000);
  assert_non_null(p);
  assert_memory_equal(p, "wxyz", 4);
  assert_int_equal(chaski_alloc_blocks(), 1);
  chaski__free(p);
}

static void free_of_null_is_fine(void **state) {
  (void)state;
  chaski__free(NULL);
  assert_int_equal(chaski_alloc_blocks(), 0);
}

static void calloc_zeroes(void **state) {
  (void)state;
  const char zeros[64] = {0};
  char *p = chaski__malloc(sizeof zeros);
  assert_non_null(p);
  memset(p, 0xff, sizeof zeros);
  chaski__free(p);
  p = chaski__calloc(8, 8);
  assert_non_null(p);
  assert_memory_equal(p, zeros, sizeof zeros);
  chaski__free(p);
}

static void calloc_refuses_a_product_that_overflows(void **state) {
  (void)state;
  calls = 0;
  chaski_set_allocator(counting);
  assert_null(chaski__calloc(SIZE_MAX / 2, 3));
  assert_null(chaski__calloc(3, SIZE_MAX / 2));
  assert_int_equal(calls, 0);
}

static void strndup_copies_so_many_bytes_and_ends_them(void **state) {
  (void)state;
  char *p = chaski__strndup("abcdef", 3);
  assert_string_equal(p, "abc");
  chaski__free(p);
  p = chaski__strndup(NULL, 0);
  assert_string_equal(p, "");
  chaski__free(p);
}

static void failure_is_null_and_counts_nothing(void **state) {
  (void)state;
  chaski_set_allocator(refusing);
  assert_null(chaski__malloc(8));
  assert_null(chaski__calloc(2, 4));
  assert_null(chaski__realloc(NULL, 8));
  assert_null(chaski__strndup("abc", 3));
  assert_int_equal(chaski_alloc_blocks(), 0);
}

static void failed_realloc_leaves_the_block(void **state) {
  (void)state;
  char *p = chaski__strndup("abc", 3);
  assert_non_null(p);
  chaski_set_allocator(refusing);
  assert_null(chaski__realloc(p, 1000));
  assert_string_equal(p, "abc");
  assert_int_equal(chaski_alloc_blocks(), 1);
  chaski__free(p);
}

static void installed_allocator_serves_until_null_restores_the_library(void **state) {
  (void)state;
  calls = 0;
  chaski_set_allocator(counting);
  void *p = chaski__malloc(8);
  assert_non_null(p);
  chaski__free(p);
  assert_int_equal(calls, 2);
  chaski_set_allocator(NULL);
  p = chaski__malloc(8);
  assert_non_null(p);
  chaski__free(p);
  assert_int_equal(calls, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(every_block_is_counted_until_it_is_freed),
      TEST(realloc_keeps_the_bytes_and_the_count),
      TEST(free_of_null_is_fine),
      TEST(calloc_zeroes),
      TEST(calloc_refuses_a_product_that_overflows),
      TEST(strndup_copies_so_many_bytes_and_ends_them),
      TEST(failure_is_null_and_counts_nothing),
      TEST(failed_realloc_leaves_the_block),
      TEST(installed_allocator_serves_until_null_restores_the_library),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
