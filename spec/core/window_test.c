/* window_test.c: the numbers of one origin against a brute-force oracle, and how little memory they take.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "alloc.h"
#include "uuid.h"
#include "window.h"

#define LARGEST (CHASKI_WINDOW / 8) /* bytes of all bits */
#define RANGE (1 << 21)

static uint64_t random_state;

static uint64_t draw(uint64_t below) { /* xorshift64* (Vigna) */
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (random_state * 2685821657736338717u >> 16) % below;
}

static int setup(void **state) {
  (void)state;
  random_state = 88172645463325252;
  return 0;
}

static int no_block_is_left(void **state) {
  (void)state;
  chaski_set_allocator(NULL);
  return chaski_alloc_blocks() == 0 ? 0 : -1;
}

static void *no_memory(void *ptr, size_t size) {
  if (size > 0) return NULL;
  free(ptr);
  return NULL;
}

/* --- oracle ------------------------------------------------------------------------------------------------- */
typedef struct oracle {
  uint64_t origin, floor, highest; /* seen[n] stands for origin + n */
  uint8_t seen[RANGE];
} oracle;

static oracle model;

static void oracle_init(uint64_t origin, uint64_t first) {
  memset(&model, 0, sizeof model);
  model.origin = origin;
  model.highest = first;
  model.floor = first > CHASKI_WINDOW / 2 ? first - CHASKI_WINDOW / 2 : 0;
  model.seen[first - origin] = 1;
}

static int oracle_check(uint64_t seq) {
  if (seq > model.highest + CHASKI_WINDOW_STEP) return CHASKI__AHEAD;
  if (seq < model.floor || seq + CHASKI_WINDOW <= model.highest) return CHASKI_STALE;
  if (model.seen[seq - model.origin]) return CHASKI_SEEN;
  model.seen[seq - model.origin] = 1;
  if (seq > model.highest) model.highest = seq;
  return CHASKI_NEW;
}

static uint64_t some_number(unsigned mood) {
  uint64_t h = model.highest;
  switch (draw(mood)) {
  case 0:
    return h + 1 + draw(CHASKI_WINDOW_STEP + 20); /* a gap, now and then too large */
  case 1:
    return h + 1 + draw(300);
  case 2:
    return h - (draw(CHASKI_WINDOW + 50));
  case 3:
    return h - draw(40000);
  case 4:
  case 5:
    return h - draw(600);
  case 6:
  case 7:
    return h + 1 + draw(3);
  case 8:
    return model.floor - 3 + draw(200);
  default:
    return draw(8) ? h + 1 : h - draw(20);
  }
}

static void compare_with_oracle(uint64_t origin, uint64_t first, unsigned mood, int steps) {
  static chaski__window w;
  oracle_init(origin, first);
  chaski__window_init(&w, first);
  for (int i = 0; i < steps && model.highest - origin < RANGE - 2 * CHASKI_WINDOW_STEP; i++) {
    uint64_t seq = some_number(mood);
    if (seq < origin || seq - origin >= RANGE) continue;
    int expected = oracle_check(seq), look = chaski__window_look(&w, seq);
    assert_int_equal(look, expected);
    int got = chaski__window_next(&w, seq) ? CHASKI_NEW : chaski__window_check(&w, seq);
    assert_int_equal(got, expected);
    assert_true(chaski__window_bytes(&w) <= LARGEST);
  }
  for (uint64_t seq = model.highest > RANGE / 8 + origin ? model.highest - RANGE / 8 : origin; seq <= model.highest;
       seq++)
    assert_int_equal(chaski__window_look(&w, seq), oracle_check(seq));
  chaski__window_free(&w);
}

static void agrees_with_the_oracle_on_wild_sequences(void **state) {
  (void)state;
  for (int i = 0; i < 40; i++)
    compare_with_oracle(1000000007u * (uint64_t)i, 1000000007u * (uint64_t)i + 70000, 9, 20000);
}

static void agrees_with_the_oracle_on_mild_sequences(void **state) {
  (void)state;
  for (unsigned i = 0; i < 40; i++) compare_with_oracle(77, 66077 + i, 20 + 40 * i, 100000);
}

static void agrees_with_the_oracle_from_zero_on(void **state) {
  (void)state;
  for (unsigned i = 0; i < 40; i++) compare_with_oracle(0, i * i * 13, 9 + i, 10000);
}

static void agrees_with_the_oracle_at_the_largest_numbers(void **state) {
  (void)state;
  uint64_t origin = CHASKI_SEQ_MAX - RANGE;
  for (unsigned i = 0; i < 10; i++) compare_with_oracle(origin, origin + RANGE - 200000, 9, 20000);
}

/* --- memory ------------------------------------------------------------------------------------------------- */
static void an_origin_in_order_needs_no_block(void **state) {
  (void)state;
  chaski__window w;
  chaski__window_init(&w, 0);
  for (uint64_t seq = 1; seq < 300000; seq++) {
    assert_true(chaski__window_next(&w, seq));
    assert_false(chaski__window_next(&w, seq));
    assert_int_equal(chaski__window_check(&w, seq), CHASKI_SEEN);
  }
  assert_int_equal(chaski__window_bytes(&w), 0);
  assert_int_equal(chaski_alloc_blocks(), 0);
  chaski__window_free(&w);
}

static void reordering_within_256_needs_no_block(void **state) {
  (void)state;
  chaski__window w;
  chaski__window_init(&w, 0);
  for (uint64_t block = 1; block < 100000; block += 200)
    for (uint64_t i = 200; i-- > 0;) assert_int_equal(chaski__window_check(&w, block + i), CHASKI_NEW);
  assert_int_equal(chaski_alloc_blocks(), 0);
  chaski__window_free(&w);
}

static void a_gap_takes_memory_and_gives_it_back_when_filled(void **state) {
  (void)state;
  chaski__window w;
  chaski__window_init(&w, 5);
  for (uint64_t seq = 7; seq < 60000; seq++) assert_int_equal(chaski__window_check(&w, seq), CHASKI_NEW);
  assert_int_equal(chaski__window_bytes(&w), LARGEST);
  assert_int_equal(chaski__window_check(&w, 6), CHASKI_NEW);
  assert_int_equal(chaski__window_bytes(&w), 0);
  for (uint64_t seq = 5; seq < 60000; seq++) assert_int_equal(chaski__window_check(&w, seq), CHASKI_SEEN);
  chaski__window_free(&w);
}

static void a_gap_never_filled_is_forgotten_in_the_end(void **state) {
  (void)state;
  chaski__window w;
  chaski__window_init(&w, 5);
  for (uint64_t seq = 7; seq <= 6 + CHASKI_WINDOW; seq++) assert_int_equal(chaski__window_check(&w, seq), CHASKI_NEW);
  assert_int_equal(chaski__window_look(&w, 6), CHASKI_STALE);
  assert_int_equal(chaski__window_bytes(&w), 0);
  chaski__window_free(&w);
}

static void numbers_before_the_first_count_once_and_only_then_take_memory(void **state) {
  (void)state;
  uint64_t first = 1000000, floor = first - CHASKI_WINDOW / 2;
  chaski__window w;
  chaski__window_init(&w, first);
  assert_int_equal(chaski__window_bytes(&w), 0);
  assert_int_equal(chaski__window_check(&w, floor - 1), CHASKI_STALE);
  for (uint64_t seq = first; seq-- > first - 1000;) assert_int_equal(chaski__window_check(&w, seq), CHASKI_NEW);
  assert_int_equal(chaski__window_bytes(&w), 0); /* downwards without a gap */
  for (uint64_t seq = floor; seq < first - 1000; seq++) assert_int_equal(chaski__window_check(&w, seq), CHASKI_NEW);
  for (uint64_t seq = floor; seq <= first; seq++) assert_int_equal(chaski__window_check(&w, seq), CHASKI_SEEN);
  assert_int_equal(chaski__window_bytes(&w), 0);
  chaski__window_free(&w);
}

static void without_memory_nothing_changes(void **state) {
  (void)state;
  chaski__window w;
  chaski__window_init(&w, 10000);
  chaski_set_allocator(no_memory);
  assert_int_equal(chaski__window_check(&w, 10300), CHASKI_ENOMEM);
  assert_int_equal(chaski__window_check(&w, 5000), CHASKI_ENOMEM);
  assert_int_equal(chaski__window_check(&w, 10001), CHASKI_NEW);
  chaski_set_allocator(NULL);
  assert_int_equal(chaski__window_check(&w, 10300), CHASKI_NEW);
  assert_int_equal(chaski__window_check(&w, 5000), CHASKI_NEW);
  for (uint64_t seq = 4990; seq < 10400; seq++) {
    bool seen = seq == 5000 || seq == 10000 || seq == 10001 || seq == 10300;
    assert_int_equal(chaski__window_look(&w, seq), seen ? CHASKI_SEEN : CHASKI_NEW);
  }
  chaski__window_free(&w);
}

/* --- far ahead ---------------------------------------------------------------------------------------------- */
static void a_step_is_in_the_window_and_one_more_is_ahead(void **state) {
  (void)state;
  chaski__window w;
  chaski__window_init(&w, 50);
  assert_int_equal(chaski__window_check(&w, 51 + CHASKI_WINDOW_STEP), CHASKI__AHEAD);
  assert_int_equal(chaski__window_check(&w, 50 + CHASKI_WINDOW_STEP), CHASKI_NEW);
  chaski__window_free(&w);
}

/* Reports whether `count` far-ahead numbers from `first` on, `stride` apart, moved the window (at the last one). */
static bool run(chaski__window *w, uint64_t first, uint64_t stride, int count) {
  bool moved = false;
  for (int i = 0; i < count; i++) {
    assert_false(moved);
    assert_int_equal(chaski__window_check(w, first + (uint64_t)i * stride), CHASKI__AHEAD);
    moved = chaski__window_ahead(w, first + (uint64_t)i * stride);
  }
  return moved;
}

static void a_run_far_ahead_moves_the_window_afresh(void **state) {
  (void)state;
  uint64_t far = 1000000000;
  chaski__window w;
  chaski__window_init(&w, 50);
  assert_false(run(&w, far, 2, CHASKI_REANCHOR - 1));
  assert_true(run(&w, far + 1, 2, 1));
  uint64_t top = far + 2 * (CHASKI_REANCHOR - 2);
  assert_int_equal(chaski__window_look(&w, top), CHASKI_SEEN);
  assert_int_equal(chaski__window_look(&w, 50), CHASKI_STALE);
  assert_true(chaski__window_is_aside(&w, far));
  assert_false(chaski__window_is_aside(&w, far - 1));
  assert_false(chaski__window_is_aside(&w, top + 1));
  assert_int_equal(chaski__window_check(&w, far - 5), CHASKI_NEW);
  assert_true(chaski__window_next(&w, top + 1) || chaski__window_check(&w, top + 1) == CHASKI_NEW);
  chaski__window_free(&w);
}

static void a_run_not_so_far_ahead_keeps_what_was_seen(void **state) {
  (void)state;
  chaski__window w;
  chaski__window_init(&w, 40000);
  assert_int_equal(chaski__window_check(&w, 40002), CHASKI_NEW);
  assert_true(run(&w, 60000, 1, CHASKI_REANCHOR));
  assert_int_equal(chaski__window_check(&w, 40002), CHASKI_SEEN);
  assert_int_equal(chaski__window_check(&w, 40001), CHASKI_NEW);
  assert_int_equal(chaski__window_check(&w, 50000), CHASKI_NEW);
  assert_int_equal(chaski__window_check(&w, 50000), CHASKI_SEEN);
  assert_int_equal(chaski__window_check(&w, 59999 + CHASKI_REANCHOR), CHASKI_SEEN);
  chaski__window_free(&w);
}

static void a_number_within_breaks_the_run(void **state) {
  (void)state;
  chaski__window w;
  chaski__window_init(&w, 50);
  assert_false(run(&w, 100000, 1, CHASKI_REANCHOR - 1));
  assert_true(chaski__window_next(&w, 51));
  assert_false(run(&w, 100100, 1, CHASKI_REANCHOR - 1));
  assert_int_equal(chaski__window_check(&w, 51), CHASKI_SEEN);
  assert_false(run(&w, 100200, 1, CHASKI_REANCHOR - 1));
  assert_true(run(&w, 100300, 1, 1));
  chaski__window_free(&w);
}

static void scattered_numbers_are_no_run(void **state) {
  (void)state;
  chaski__window w;
  chaski__window_init(&w, 50);
  assert_false(run(&w, 100000, CHASKI_WINDOW_STEP + 1, 10 * CHASKI_REANCHOR));
  assert_true(run(&w, CHASKI_SEQ_MAX - CHASKI_REANCHOR, 1, CHASKI_REANCHOR));
  assert_int_equal(chaski__window_check(&w, CHASKI_SEQ_MAX), CHASKI_NEW);
  assert_int_equal(chaski__window_check(&w, CHASKI_SEQ_MAX), CHASKI_SEEN);
  chaski__window_free(&w);
}

static void a_run_may_come_out_of_order(void **state) {
  (void)state;
  chaski__window w;
  chaski__window_init(&w, 50);
  for (uint64_t i = 0; i < CHASKI_REANCHOR - 1; i++) assert_false(chaski__window_ahead(&w, 100000 + (i ^ 3)));
  assert_true(chaski__window_ahead(&w, 99000));
  assert_int_equal(chaski__window_look(&w, 100063), CHASKI_SEEN); /* the highest: 60 ^ 3 */
  assert_int_equal(chaski__window_look(&w, 100062), CHASKI_NEW);  /* aside; the set knows */
  assert_int_equal(chaski__window_look(&w, 100064), CHASKI_NEW);
  assert_true(chaski__window_is_aside(&w, 99000) && chaski__window_is_aside(&w, 100062));
  chaski__window_free(&w);
}

static void without_memory_a_run_moves_the_window_later(void **state) {
  (void)state;
  chaski__window w;
  chaski__window_init(&w, 40000);
  chaski_set_allocator(no_memory);
  assert_false(run(&w, 60000, 1, CHASKI_REANCHOR + 5));
  chaski_set_allocator(NULL);
  assert_true(run(&w, 60100, 1, 1));
  assert_int_equal(chaski__window_look(&w, 60100), CHASKI_SEEN);
  assert_int_equal(chaski__window_look(&w, 40000), CHASKI_SEEN);
  chaski__window_free(&w);
}

static void what_is_aside_is_asked_for_only_while_it_is_in_reach(void **state) {
  (void)state;
  chaski__window w;
  chaski__window_init(&w, 0);
  assert_false(run(&w, 20000, 1, 1));
  for (uint64_t seq = 1; seq <= 20000 + CHASKI_WINDOW; seq++) {
    assert_int_equal(chaski__window_is_aside(&w, seq), seq == 20000);
    assert_int_equal(chaski__window_check(&w, seq), CHASKI_NEW);
  }
  assert_false(chaski__window_is_aside(&w, 20000));
  assert_int_equal(w.aside, UINT64_MAX);
  chaski__window_free(&w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, no_block_is_left)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(agrees_with_the_oracle_on_wild_sequences),
      TEST(agrees_with_the_oracle_on_mild_sequences),
      TEST(agrees_with_the_oracle_from_zero_on),
      TEST(agrees_with_the_oracle_at_the_largest_numbers),
      TEST(an_origin_in_order_needs_no_block),
      TEST(reordering_within_256_needs_no_block),
      TEST(a_gap_takes_memory_and_gives_it_back_when_filled),
      TEST(a_gap_never_filled_is_forgotten_in_the_end),
      TEST(numbers_before_the_first_count_once_and_only_then_take_memory),
      TEST(without_memory_nothing_changes),
      TEST(a_step_is_in_the_window_and_one_more_is_ahead),
      TEST(a_run_far_ahead_moves_the_window_afresh),
      TEST(a_run_not_so_far_ahead_keeps_what_was_seen),
      TEST(a_number_within_breaks_the_run),
      TEST(scattered_numbers_are_no_run),
      TEST(a_run_may_come_out_of_order),
      TEST(without_memory_a_run_moves_the_window_later),
      TEST(what_is_aside_is_asked_for_only_while_it_is_in_reach),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
