/* pool_test.c: which messages were seen, over many origins, many sources and not enough memory.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "alloc.h"
#include "pool.h"
#include "uuid.h"

#define HONEST UINT64_C(0x123456789abcdef)
#define MILLION 1000000

static uint64_t random_state;
static chaski_pool *pool;

static uint64_t draw(uint64_t below) { /* xorshift64* (Vigna) */
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return (random_state * 2685821657736338717u >> 16) % below;
}

static int setup(void **state) {
  (void)state;
  random_state = 88172645463325252;
  pool = chaski_pool_new(CHASKI_POOL_DEFAULT, CHASKI_ORIGINS_MAX);
  return pool ? 0 : -1;
}

static int no_block_is_left(void **state) {
  (void)state;
  chaski_pool_destroy(&pool);
  return !pool && chaski_alloc_blocks() == 0 ? 0 : -1;
}

static void renew(size_t max_ids, size_t max_origins) {
  chaski_pool_destroy(&pool);
  pool = chaski_pool_new(max_ids, max_origins);
  assert_non_null(pool);
}

static chaski_pool_stats stats(void) {
  chaski_pool_stats s;
  chaski_pool_get_stats(pool, &s);
  return s;
}

/* The n-th foreign id; valid until the next call. */
static chaski_slice foreign(uint64_t n) {
  static char text[32];
  return chaski_slice_of(text, (size_t)snprintf(text, sizeof text, "foreign-%llu", (unsigned long long)n));
}

static chaski_slice ours(uint64_t origin, uint64_t seq) {
  static char text[CHASKI_UUID_TEXT];
  chaski_uuid_format(text, origin, seq);
  return chaski_slice_of(text, sizeof text);
}

#define assert_new(x) assert_int_equal(x, CHASKI_NEW)
#define assert_seen(x) assert_int_equal(x, CHASKI_SEEN)
#define assert_stale(x) assert_int_equal(x, CHASKI_STALE)

static void expect_run(uint64_t origin, uint64_t first, int count, int expected) {
  for (int i = 0; i < count; i++) assert_int_equal(chaski_pool_check(pool, origin, first + (uint64_t)i, 0), expected);
}

/* --- windows ------------------------------------------------------------------------------------------------ */
static void a_number_is_new_once(void **state) {
  (void)state;
  expect_run(HONEST, 1, 1000, CHASKI_NEW);
  expect_run(HONEST, 1, 1000, CHASKI_SEEN);
  expect_run(HONEST + 1, 1, 1000, CHASKI_NEW);
  assert_int_equal(stats().seen, 1000);
  assert_int_equal(stats().origins, 2);
}

static void origins_and_numbers_are_as_wide_as_in_the_uuid(void **state) {
  (void)state;
  assert_new(chaski_pool_check(pool, CHASKI_ORIGIN_MAX, CHASKI_SEQ_MAX, 0));
  assert_seen(chaski_pool_check(pool, UINT64_MAX, UINT64_MAX, 0));
  assert_true(chaski_pool_knows(pool, ours(CHASKI_ORIGIN_MAX, CHASKI_SEQ_MAX)));
}

static void many_origins_reordered_with_gaps_and_duplicates_are_exact(void **state) {
  (void)state;
  enum { ORIGINS = 7, NUMBERS = 400000, SPREAD = CHASKI_WINDOW / 2 };
  static uint8_t seen[ORIGINS][NUMBERS + SPREAD];
  memset(seen, 0, sizeof seen);
  for (uint64_t i = 0; i < NUMBERS; i++) { /* all origins are at about i */
    uint64_t o = draw(ORIGINS),
             seq = draw(3) ? i + draw(1 + ((uint64_t)SPREAD >> 3 * o)) / 4 : i - draw(i < 1000 ? i + 1 : 1000);
    if (seq % 11 == o) continue; /* never sent */
    assert_int_equal(chaski_pool_check(pool, HONEST + o, seq, 1 + o), seen[o][seq] ? CHASKI_SEEN : CHASKI_NEW);
    seen[o][seq] = 1;
  }
  assert_int_equal(stats().stale, 0);
  assert_int_equal(stats().ids, 0);
}

static void permanent_gaps_never_make_a_false_duplicate(void **state) {
  (void)state;
  size_t most = 0;
  for (uint64_t i = 0; i < MILLION; i++) {
    assert_new(chaski_pool_check(pool, HONEST, 2 * i, 0));
    if (i >= 100) assert_seen(chaski_pool_check(pool, HONEST, 2 * (i - 100), 0));
    if (i % 1000 == 0 && stats().bytes > most) most = stats().bytes;
  }
  assert_true(most < 16384);
  assert_int_equal(stats().stale, 0);
}

static void what_is_older_than_the_window_is_stale_and_counted(void **state) {
  (void)state;
  expect_run(HONEST, 0, 1, CHASKI_NEW);
  expect_run(HONEST, 2, 2 * CHASKI_WINDOW, CHASKI_NEW);
  assert_stale(chaski_pool_check(pool, HONEST, 1, 0));
  assert_stale(chaski_pool_check(pool, HONEST, CHASKI_WINDOW + 1, 0));
  assert_seen(chaski_pool_check(pool, HONEST, CHASKI_WINDOW + 2, 0));
  assert_int_equal(stats().stale, 2);
  assert_true(chaski_pool_knows(pool, ours(HONEST, 1)));
}

static void the_least_recently_used_origin_goes(void **state) {
  (void)state;
  renew(8, 3);
  for (uint64_t o = 1; o <= 3; o++) assert_new(chaski_pool_check(pool, o, 5, 0));
  assert_seen(chaski_pool_check(pool, 1, 5, 0));
  assert_new(chaski_pool_check(pool, 4, 5, 0));
  assert_int_equal(stats().origins, 3);
  assert_int_equal(stats().evicted_origins, 1);
  assert_false(chaski_pool_knows(pool, ours(2, 5)));
  for (uint64_t o = 1; o <= 4; o++) assert_int_equal(chaski_pool_knows(pool, ours(o, 5)), o != 2);
}

static void a_pool_of_one_holds_one(void **state) {
  (void)state;
  renew(1, 1);
  for (uint64_t i = 1; i < 100; i++) {
    assert_new(chaski_pool_check(pool, i, 5, i % 3));
    assert_seen(chaski_pool_check(pool, i, 5, i % 3));
    assert_new(chaski_pool_check_id(pool, foreign(i), i % 3));
    assert_seen(chaski_pool_check_id(pool, foreign(i), i % 3));
  }
  assert_int_equal(stats().ids, 1);
  assert_int_equal(stats().origins, 1);
}

/* --- far ahead ---------------------------------------------------------------------------------------------- */
static void a_forged_number_does_not_silence_an_origin(void **state) {
  (void)state;
  expect_run(HONEST, 100, 100, CHASKI_NEW);
  assert_new(chaski_pool_check(pool, HONEST, CHASKI_SEQ_MAX, 9));
  assert_seen(chaski_pool_check(pool, HONEST, CHASKI_SEQ_MAX, 9));
  assert_true(chaski_pool_knows(pool, ours(HONEST, CHASKI_SEQ_MAX)));
  expect_run(HONEST, 200, 100000, CHASKI_NEW);
  assert_int_equal(stats().ahead, 1);
  assert_int_equal(stats().stale, 0);
}

static void forged_numbers_between_honest_ones_do_not_silence_it_either(void **state) {
  (void)state;
  for (uint64_t i = 0; i < 10000; i++) {
    assert_new(chaski_pool_check(pool, HONEST, i, 1));
    assert_new(chaski_pool_check(pool, HONEST, (UINT64_C(1) << 40) + i, 9));
  }
  assert_int_equal(stats().reanchored, 0);
  assert_int_equal(stats().ids, CHASKI_POOL_DEFAULT / 4);
}

static void a_real_jump_moves_the_window_and_forgets_nothing_of_the_run(void **state) {
  (void)state;
  uint64_t o = HONEST;
  for (uint64_t jump = CHASKI_WINDOW_STEP + 1; jump < UINT64_C(1) << 50; jump *= 3, o++) {
    uint64_t far = 1000 + jump;
    expect_run(o, 900, 100, CHASKI_NEW);
    assert_new(chaski_pool_check(pool, o, 1000 - 1 + jump, 0));
    expect_run(o, far, 300, CHASKI_NEW);
    expect_run(o, far - 1, 301, CHASKI_SEEN);
    expect_run(o, far + 300, 30000, CHASKI_NEW);
    expect_run(o, far - 1, 30301, CHASKI_SEEN);
    assert_new(chaski_pool_check(pool, o, far - 2, 0));
    assert_seen(chaski_pool_check(pool, o, far - 2, 0));
  }
  assert_int_equal(stats().reanchored, o - HONEST);
  assert_int_equal(stats().ahead, (o - HONEST) * CHASKI_REANCHOR);
  assert_int_equal(stats().stale, 0);
}

static void a_number_kept_ahead_is_still_seen_when_the_window_gets_there(void **state) {
  (void)state;
  expect_run(HONEST, 0, 10, CHASKI_NEW);
  assert_new(chaski_pool_check(pool, HONEST, 30000, 0));
  expect_run(HONEST, 10, 29990, CHASKI_NEW);
  assert_seen(chaski_pool_check(pool, HONEST, 30000, 0));
  expect_run(HONEST, 30001, 1000, CHASKI_NEW);
  for (uint64_t i = 0; i < CHASKI_POOL_DEFAULT; i++) assert_new(chaski_pool_check_id(pool, foreign(i), 0));
  assert_seen(chaski_pool_check(pool, HONEST, 30000, 0)); /* by now the window itself knows */
}

/* --- opaque ids --------------------------------------------------------------------------------------------- */
static void an_opaque_id_is_new_once_and_keeps_its_age(void **state) {
  (void)state;
  renew(3, 1);
  for (uint64_t i = 0; i < 3; i++) assert_new(chaski_pool_check_id(pool, foreign(i), 0));
  assert_seen(chaski_pool_check_id(pool, foreign(0), 0));
  assert_new(chaski_pool_check_id(pool, foreign(3), 0));
  assert_false(chaski_pool_contains(pool, foreign(0)));
  for (uint64_t i = 1; i <= 3; i++) assert_true(chaski_pool_contains(pool, foreign(i)));
  assert_int_equal(stats().evicted_ids, 1);
}

static void appending_what_is_there_makes_it_the_youngest(void **state) {
  (void)state;
  renew(3, 1);
  for (uint64_t i = 0; i < 3; i++) assert_int_equal(chaski_pool_append(pool, foreign(i)), CHASKI_OK);
  assert_int_equal(chaski_pool_append(pool, foreign(0)), CHASKI_OK);
  assert_int_equal(chaski_pool_append(pool, foreign(3)), CHASKI_OK);
  for (uint64_t i = 0; i <= 3; i++) assert_int_equal(chaski_pool_contains(pool, foreign(i)), i != 1);
  assert_int_equal(stats().ids, 3);
}

static void an_id_has_1_to_64_bytes_of_any_kind(void **state) {
  (void)state;
  uint8_t bytes[CHASKI_POOL_ID_MAX + 1] = {0};
  for (size_t len = 1; len <= CHASKI_POOL_ID_MAX; len++) {
    chaski_slice id = chaski_slice_of(bytes, len);
    assert_false(chaski_pool_contains(pool, id));
    assert_new(chaski_pool_check_id(pool, id, 0));
    assert_seen(chaski_pool_check_id(pool, id, 0));
    assert_true(chaski_pool_knows(pool, id));
  }
  chaski_slice wrong[] = {{NULL, 0}, {bytes, sizeof bytes}};
  for (int i = 0; i < 2; i++) {
    assert_int_equal(chaski_pool_check_id(pool, wrong[i], 0), CHASKI_EINVAL);
    assert_int_equal(chaski_pool_append(pool, wrong[i]), CHASKI_EINVAL);
    assert_false(chaski_pool_contains(pool, wrong[i]));
    assert_false(chaski_pool_knows(pool, wrong[i]));
  }
}

static void knowing_looks_at_windows_and_ids_and_remembers_nothing(void **state) {
  (void)state;
  assert_false(chaski_pool_knows(pool, ours(HONEST, 70)));
  assert_new(chaski_pool_check(pool, HONEST, 70, 0));
  assert_true(chaski_pool_knows(pool, ours(HONEST, 70)));
  assert_false(chaski_pool_contains(pool, ours(HONEST, 70)));
  assert_false(chaski_pool_knows(pool, ours(HONEST, 71)));
  assert_new(chaski_pool_check(pool, HONEST, 71, 0));
  char upper[] = "01234567-89AB-8DEF-8000-0000000F0000"; /* of HONEST, far ahead */
  assert_false(chaski_pool_knows(pool, chaski_slice_str(upper)));
  assert_new(chaski_pool_check(pool, 0x0123456789abdef, 5, 0));
  assert_new(chaski_pool_check(pool, 0x0123456789abdef, 0xf0000, 0));
  assert_true(chaski_pool_knows(pool, chaski_slice_str(upper)));
}

/* --- quotas ------------------------------------------------------------------------------------------------- */
static void a_source_holds_a_quarter_of_the_ids_and_loses_its_own_oldest(void **state) {
  (void)state;
  renew(40, 40);
  for (uint64_t i = 0; i < 5; i++) assert_new(chaski_pool_check_id(pool, foreign(i), 1));
  for (uint64_t i = 100; i < 200; i++) assert_new(chaski_pool_check_id(pool, foreign(i), 2));
  for (uint64_t i = 0; i < 5; i++) assert_true(chaski_pool_contains(pool, foreign(i)));
  for (uint64_t i = 100; i < 200; i++) assert_int_equal(chaski_pool_contains(pool, foreign(i)), i >= 190);
  assert_int_equal(stats().ids, 15);
  assert_int_equal(stats().evicted_ids, 90);
}

static void a_source_holds_as_many_ids_as_it_is_given(void **state) {
  (void)state;
  chaski_pool_stats stats;
  char id[8];
  chaski_pool_set_share(pool, 5);
  for (int i = 0; i < 12; i++) {
    int len = snprintf(id, sizeof id, "%d", i);
    assert_int_equal(chaski_pool_check_id(pool, chaski_slice_of((uint8_t *)id, (size_t)len), 1), CHASKI_NEW);
  }
  chaski_pool_get_stats(pool, &stats);
  assert_int_equal(stats.ids, 5);
  assert_int_equal(stats.evicted_ids, 7);
  assert_int_equal(stats.evicted_of_source, 7);
}

static void a_source_holds_a_quarter_of_the_windows_and_loses_its_own_oldest(void **state) {
  (void)state;
  renew(40, 40);
  for (uint64_t o = 0; o < 5; o++) assert_new(chaski_pool_check(pool, o, 1, 1));
  for (uint64_t o = 100; o < 110; o++) assert_new(chaski_pool_check(pool, o, 1, 2));
  assert_seen(chaski_pool_check(pool, 100, 1, 2)); /* used: no longer its oldest */
  for (uint64_t o = 110; o < 119; o++) assert_new(chaski_pool_check(pool, o, 1, 2));
  for (uint64_t o = 0; o < 5; o++) assert_true(chaski_pool_knows(pool, ours(o, 1)));
  for (uint64_t o = 100; o < 119; o++) assert_int_equal(chaski_pool_knows(pool, ours(o, 1)), o == 100 || o >= 110);
  assert_int_equal(stats().origins, 15);
  assert_int_equal(stats().evicted_origins, 9);
}

static void a_window_belongs_to_the_source_that_made_it(void **state) {
  (void)state;
  renew(8, 8);
  assert_new(chaski_pool_check(pool, HONEST, 1, 1));
  for (uint64_t i = 2; i < 10; i++) assert_new(chaski_pool_check(pool, HONEST, i, 2));
  for (uint64_t o = 1; o < 20; o++) assert_new(chaski_pool_check(pool, o, 1, 2));
  assert_true(chaski_pool_knows(pool, ours(HONEST, 1)));
  assert_int_equal(stats().origins, 3);
}

static void the_node_itself_has_no_quota(void **state) {
  (void)state;
  renew(40, 40);
  for (uint64_t i = 0; i < 40; i++) assert_new(chaski_pool_check_id(pool, foreign(i), 0));
  for (uint64_t i = 0; i < 40; i++) assert_new(chaski_pool_check(pool, i, 1, 0));
  assert_int_equal(stats().ids, 40);
  assert_int_equal(stats().origins, 40);
  assert_int_equal(stats().evicted_ids + stats().evicted_origins, 0);
}

static void sources_leave_no_trace_when_what_they_brought_is_gone(void **state) {
  (void)state;
  renew(64, 64);
  size_t after_some = 0;
  for (uint64_t i = 1; i <= 200000; i++) {
    assert_new(chaski_pool_check_id(pool, foreign(i), i));
    assert_new(chaski_pool_check(pool, i, i, i));
    if (i == 1000) after_some = stats().bytes;
  }
  assert_int_equal(stats().ids, 64);
  assert_true(stats().bytes < 2 * after_some);
}

static void a_million_foreign_ids_leave_an_honest_stream_exact(void **state) {
  (void)state;
  size_t most = 0;
  for (uint64_t i = 0; i < MILLION; i++) {
    assert_new(chaski_pool_check_id(pool, foreign(i), i % 10));
    if (i % 4 == 0) assert_new(chaski_pool_check(pool, HONEST, 500 + (i / 4 ^ 5), 3));
    if (i % 4 == 0 && i > 1000) assert_seen(chaski_pool_check(pool, HONEST, 492 + i / 4 - draw(200), 4));
    if (i % 1000 == 0 && stats().bytes > most) most = stats().bytes;
  }
  assert_int_equal(stats().ids, CHASKI_POOL_DEFAULT);
  assert_int_equal(stats().stale, 0);
  assert_true(most < CHASKI_POOL_DEFAULT * 256);
}

/* --- memory ------------------------------------------------------------------------------------------------- */
static size_t requests, failing; /* the failing-th request fails; 0: none does */
static size_t held;              /* bytes asked for and not given back */

static void *counting(void *ptr, size_t size) {
  if (size > 0 && ++requests == failing) return NULL;
  size_t *block = ptr ? (size_t *)ptr - 2 : NULL;
  if (block) held -= *block;
  if (size == 0) return free(block), NULL;
  assert_true(!block); /* nothing here grows in place */
  block = malloc(size + 2 * sizeof *block);
  if (!block) return NULL;
  held += *block = size;
  return block + 2;
}

typedef int (*step)(uint64_t i);

/* Windows of several shapes and a jump, in a pool where no id has to go. */
static int window_step(uint64_t i) {
  uint64_t kind = draw(8), origin = draw(20), n = draw(1000);
  switch (kind) {
  case 0:
    return chaski_pool_check(pool, origin, 40000 + n * (n & 15), origin % 5);
  case 1:
    return chaski_pool_check(pool, origin, 40000 - 20 * n, origin % 5);
  case 2:
    return chaski_pool_check(pool, 100 + n / 10, n, n % 3); /* makes origins go */
  case 3:
    return chaski_pool_check(pool, HONEST, i < 100 ? i : 25000 + i - n / 200, 1);
  default:
    return chaski_pool_check(pool, HONEST, i < 100 ? i : 25000 + i, 2);
  }
}

static int id_step(uint64_t i) {
  return i % 5 == 4   ? chaski_pool_append(pool, foreign(i - 2))
         : draw(4)    ? chaski_pool_check_id(pool, foreign(i), i % 7)
         : i % 2 == 0 ? chaski_pool_check_id(pool, foreign(i - 1), i % 7)
                      : chaski_pool_append(pool, foreign(i));
}

enum { STEPS = 600 };

/* Returns whether the failure was met. What fails is tried again at once, and all answers are as if nothing was. */
static bool answers_are(step next, size_t max_ids, size_t fail, int answers[STEPS], bool record) {
  requests = 0;
  failing = fail;
  random_state = 42;
  if (!(pool = chaski_pool_new(max_ids, 24))) pool = chaski_pool_new(max_ids, 24);
  for (uint64_t i = 0; i < STEPS; i++) {
    uint64_t before = random_state;
    int answer = next(i);
    if (answer == CHASKI_ENOMEM) random_state = before, answer = next(i);
    if (record) answers[i] = answer;
    assert_int_equal(answer, answers[i]);
    assert_int_equal(stats().bytes, held);
  }
  chaski_pool_destroy(&pool);
  assert_int_equal(held, 0);
  return requests >= failing;
}

static void any_failing_allocation_changes_no_answer(step next, size_t max_ids) {
  static int answers[STEPS];
  chaski_pool_destroy(&pool);
  chaski_set_allocator(counting);
  answers_are(next, max_ids, 0, answers, true);
  size_t n = 1;
  while (answers_are(next, max_ids, n, answers, false)) n++;
  assert_true(n > 200);
  chaski_set_allocator(NULL);
}

static void windows_survive_any_failing_allocation(void **state) {
  (void)state;
  any_failing_allocation_changes_no_answer(window_step, 1000);
}

static void ids_survive_any_failing_allocation(void **state) {
  (void)state;
  any_failing_allocation_changes_no_answer(id_step, 60);
}

static void out_of_memory_is_told_and_nothing_is_remembered(void **state) {
  (void)state;
  chaski_pool_destroy(&pool);
  chaski_set_allocator(counting);
  failing = 0;
  pool = chaski_pool_new(10, 10);
  assert_new(chaski_pool_check(pool, HONEST, 1, 0));
  for (int n = 1; n <= 5; n++) { /* the item, its source, two for the table of sources; and two for that of ids */
    requests = 0;
    failing = (size_t)n;
    assert_int_equal(chaski_pool_check_id(pool, foreign(1), 1), CHASKI_ENOMEM);
    requests = 0;
    assert_int_equal(chaski_pool_check(pool, HONEST, UINT64_C(1) << 40, 1), CHASKI_ENOMEM);
    assert_int_equal(stats().ids, 0);
    assert_int_equal(stats().ahead, 0);
    assert_int_equal(stats().bytes, held);
  }
  failing = 0;
  assert_new(chaski_pool_check_id(pool, foreign(1), 1));
  chaski_pool_destroy(&pool);
  chaski_pool_destroy(&pool); /* NULL is fine */
  chaski_set_allocator(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, no_block_is_left)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_number_is_new_once),
      TEST(origins_and_numbers_are_as_wide_as_in_the_uuid),
      TEST(many_origins_reordered_with_gaps_and_duplicates_are_exact),
      TEST(permanent_gaps_never_make_a_false_duplicate),
      TEST(what_is_older_than_the_window_is_stale_and_counted),
      TEST(the_least_recently_used_origin_goes),
      TEST(a_pool_of_one_holds_one),
      TEST(a_forged_number_does_not_silence_an_origin),
      TEST(forged_numbers_between_honest_ones_do_not_silence_it_either),
      TEST(a_real_jump_moves_the_window_and_forgets_nothing_of_the_run),
      TEST(a_number_kept_ahead_is_still_seen_when_the_window_gets_there),
      TEST(an_opaque_id_is_new_once_and_keeps_its_age),
      TEST(appending_what_is_there_makes_it_the_youngest),
      TEST(an_id_has_1_to_64_bytes_of_any_kind),
      TEST(knowing_looks_at_windows_and_ids_and_remembers_nothing),
      TEST(a_source_holds_a_quarter_of_the_ids_and_loses_its_own_oldest),
      TEST(a_source_holds_as_many_ids_as_it_is_given),
      TEST(a_source_holds_a_quarter_of_the_windows_and_loses_its_own_oldest),
      TEST(a_window_belongs_to_the_source_that_made_it),
      TEST(the_node_itself_has_no_quota),
      TEST(sources_leave_no_trace_when_what_they_brought_is_gone),
      TEST(a_million_foreign_ids_leave_an_honest_stream_exact),
      TEST(windows_survive_any_failing_allocation),
      TEST(ids_survive_any_failing_allocation),
      TEST(out_of_memory_is_told_and_nothing_is_remembered),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
