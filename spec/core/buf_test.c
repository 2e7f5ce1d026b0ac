/* buf_test.c: the growable run of bytes and the arena of shared blocks.
 * SPDX-License-Identifier: MIT */
#include "leaf_rig.h"

#include "block.h"

/* --- buf ---------------------------------------------------------------------------------------------------- */
static void what_is_appended_is_there_in_order(void **state) {
  (void)state;
  static uint8_t all[1 << 20];
  chaski__buf b = {0};
  size_t len = 0;
  while (len < sizeof all - 3000) {
    size_t n = draw(draw(10) ? 50 : 3000);
    for (size_t i = 0; i < n; i++) all[len + i] = (uint8_t)draw(256);
    chaski__buf_append(&b, all + len, n);
    len += n;
  }
  assert_false(b.failed);
  assert_slice(chaski__buf_slice(&b), chaski_slice_of(all, len));
  assert_int_equal(chaski_alloc_blocks(), 1);
  chaski__buf_free(&b);
  assert_true(!b.ptr && !b.len && !b.cap);
}

static void nothing_may_be_appended_to_nothing(void **state) {
  (void)state;
  chaski__buf b = {0};
  chaski__buf_append(&b, NULL, 0);
  chaski__buf_append(&b, "", 0);
  assert_false(b.failed);
  assert_int_equal(chaski__buf_slice(&b).len, 0);
  chaski__buf_append(&b, "x", 1);
  chaski__buf_append(&b, NULL, 0);
  assert_slice(chaski__buf_slice(&b), SLICE("x"));
  chaski__buf_free(&b);
}

static void reserved_room_is_there_and_counts_when_used(void **state) {
  (void)state;
  chaski__buf b = {0};
  uint8_t *p = chaski__buf_reserve(&b, 1000);
  assert_non_null(p);
  memset(p, 7, 1000);
  assert_int_equal(b.len, 0);
  b.len = 1000;
  assert_non_null(chaski__buf_reserve(&b, b.cap - b.len)); /* to the brim */
  assert_ptr_equal(b.ptr, p);
  assert_non_null(chaski__buf_reserve(&b, b.cap - b.len + 1));
  for (size_t i = 0; i < 1000; i++) assert_int_equal(b.ptr[i], 7);
  chaski__buf_free(&b);
}

static void a_failure_stays(void **state) {
  (void)state;
  chaski__buf b = {0};
  chaski__buf_append(&b, "abc", 3);
  allow_allocations(0);
  assert_null(chaski__buf_reserve(&b, 100000));
  allow_all_allocations();
  assert_true(b.failed);
  chaski__buf_append(&b, "d", 1);
  assert_null(chaski__buf_reserve(&b, 1));
  assert_int_equal(b.len, 3);
  chaski__buf_free(&b);
  assert_false(b.failed);
}

static void more_than_can_be_is_a_failure(void **state) {
  (void)state;
  chaski__buf b = {0};
  chaski__buf_append(&b, "abc", 3);
  assert_null(chaski__buf_reserve(&b, SIZE_MAX));
  assert_true(b.failed);
  chaski__buf_free(&b);
}

/* --- arena -------------------------------------------------------------------------------------------------- */
static chaski__arena arena;

static chaski__span take(size_t len) {
  chaski__span s;
  assert_true(chaski__arena_take(&arena, len, &s));
  assert_int_equal(s.len, len);
  assert_true(s.off + s.len <= s.block->cap && s.off + s.len <= s.block->used);
  memset(chaski__span_bytes(&s), 0x55, len);
  return s;
}

static void release(const chaski__span *s) {
  chaski__block_release(&arena, s->block);
}

static void small_spans_are_neighbours_in_one_block(void **state) {
  (void)state;
  chaski__span first = take(100), next;
  for (size_t off = 100; off + 100 <= CHASKI_BLOCK_SIZE; off += 100) {
    next = take(100);
    assert_ptr_equal(next.block, first.block);
    assert_int_equal(next.off, off);
    release(&next);
  }
  next = take(100);
  assert_true(next.block != first.block && next.off == 0);
  release(&next);
  release(&first);
  chaski__arena_free(&arena);
}

static void a_large_span_has_a_block_of_its_own_and_small_ones_go_on(void **state) {
  (void)state;
  chaski__span a = take(10), large = take(CHASKI_BLOCK_SIZE / 2 + 1), huge = take(10 * CHASKI_BLOCK_SIZE), b = take(10);
  assert_ptr_equal(a.block, b.block);
  assert_int_equal(b.off, 10 + (large.block == a.block ? large.len : 0));
  assert_ptr_not_equal(huge.block, a.block);
  assert_int_equal(huge.block->refs, 1);
  release(&huge);
  release(&large);
  release(&a);
  release(&b);
  chaski__arena_free(&arena);
}

static void blocks_are_used_again(void **state) {
  (void)state;
  for (int i = 0; i < 100000; i++) {
    chaski__span s = take(1 + draw(CHASKI_BLOCK_SIZE / 2));
    release(&s);
  }
  assert_true(chaski_alloc_blocks() <= 2);
  chaski__arena_free(&arena);
}

static void no_more_spares_are_kept_than_the_limit(void **state) {
  (void)state;
  enum { MANY = 3 * CHASKI_SPARE_BLOCKS };
  chaski__span spans[MANY];
  for (size_t i = 0; i < MANY; i++) spans[i] = take(CHASKI_BLOCK_SIZE);
  assert_int_equal(chaski_alloc_blocks(), MANY);
  for (size_t i = 0; i < MANY; i++) release(&spans[i]);
  assert_int_equal(chaski_alloc_blocks(), CHASKI_SPARE_BLOCKS);
  chaski__arena_free(&arena);
}

static void a_span_outlives_the_arenas_interest(void **state) {
  (void)state;
  chaski__span s = take(10), filler = take(CHASKI_BLOCK_SIZE / 2), next = take(CHASKI_BLOCK_SIZE / 2);
  assert_int_equal(s.block->refs, 2); /* s and filler; the arena has a newer one */
  release(&filler);
  release(&next);
  for (size_t i = 0; i < s.len; i++) assert_int_equal(chaski__span_bytes(&s)[i], 0x55);
  release(&s);
  chaski__arena_free(&arena);
}

static void without_memory_nothing_is_taken(void **state) {
  (void)state;
  chaski__span s;
  allow_allocations(0);
  assert_false(chaski__arena_take(&arena, 10, &s));
  assert_false(chaski__arena_take(&arena, CHASKI_BLOCK_SIZE, &s));
  allow_allocations(1);
  assert_true(chaski__arena_take(&arena, 10, &s));
  chaski__span filler;
  assert_true(chaski__arena_take(&arena, CHASKI_BLOCK_SIZE / 2, &filler));
  assert_false(chaski__arena_take(&arena, CHASKI_BLOCK_SIZE / 2, &filler)); /* no room, and no new block */
  assert_ptr_equal(arena.current, s.block);
  release(&s);
  release(&s); /* the filler's */
  chaski__arena_free(&arena);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_is_appended_is_there_in_order),
      TEST(nothing_may_be_appended_to_nothing),
      TEST(reserved_room_is_there_and_counts_when_used),
      TEST(a_failure_stays),
      TEST(more_than_can_be_is_a_failure),
      TEST(small_spans_are_neighbours_in_one_block),
      TEST(a_large_span_has_a_block_of_its_own_and_small_ones_go_on),
      TEST(blocks_are_used_again),
      TEST(no_more_spares_are_kept_than_the_limit),
      TEST(a_span_outlives_the_arenas_interest),
      TEST(without_memory_nothing_is_taken),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
