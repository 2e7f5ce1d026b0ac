/* limits_test.c: the table of limits: that it is sound in itself, and what is not accepted of a changed one.
 * SPDX-License-Identifier: MIT */
#include "leaf_rig.h"

#include "error.h"
#include "frame.h"
#include "limits.h"

#include <stdbool.h>

static chaski_limits limits;
static const char *why;

static int defaults(void **state) {
  (void)state;
  memset(&limits, 0xee, sizeof limits);
  chaski_limits_init(&limits);
  return 0;
}

#undef TEST
#define TEST(f) cmocka_unit_test_setup_teardown(f, defaults, no_block_is_left)

static void is_refused(const char *reason) {
  assert_int_equal(chaski_limits_check(&limits, &why), CHASKI_EINVAL);
  assert_string_equal(why, reason);
}

static void is_accepted(void) {
  assert_int_equal(chaski_limits_check(&limits, &why), CHASKI_OK);
  assert_null(why);
}

static void each_default_lies_within_its_bounds(void **state) {
  (void)state;
  for (size_t i = 0; i < chaski_limit_count; i++) {
    const chaski_limit_row *row = &chaski_limit_rows[i];
    assert_true(row->least <= row->value && row->value <= row->most);
    assert_int_equal(*chaski_limit_at(&limits, i), row->value);
  }
  is_accepted();
}

static void each_field_has_one_row_with_a_name_a_unit_and_a_reason(void **state) {
  (void)state;
  assert_int_equal(chaski_limit_count * sizeof(uint64_t), sizeof limits);
  for (size_t i = 0; i < chaski_limit_count; i++) {
    const chaski_limit_row *row = &chaski_limit_rows[i];
    assert_int_equal(row->offset, i * sizeof(uint64_t));
    assert_true(*row->name && *row->reason);
    assert_true(!strcmp(row->unit, "bytes") || !strcmp(row->unit, "count") || !strcmp(row->unit, "s"));
    for (size_t k = 0; k < i; k++) assert_string_not_equal(row->name, chaski_limit_rows[k].name);
  }
}

static void a_row_leads_to_the_field_of_its_name(void **state) {
  (void)state;
  for (size_t i = 0; i < chaski_limit_count; i++) {
    if (!strcmp(chaski_limit_rows[i].name, "data_max")) assert_ptr_equal(chaski_limit_at(&limits, i), &limits.data_max);
    if (!strcmp(chaski_limit_rows[i].name, "lease")) assert_ptr_equal(chaski_limit_at(&limits, i), &limits.lease);
    if (!strcmp(chaski_limit_rows[i].name, "queue_hard"))
      assert_ptr_equal(chaski_limit_at(&limits, i), &limits.queue_hard);
  }
}

/* Outside its bounds a limit is always refused; a rule between two of them may name another. */
static void each_limit_is_held_to_its_bounds(void **state) {
  (void)state;
  for (size_t i = 0; i < chaski_limit_count; i++) {
    const chaski_limit_row *row = &chaski_limit_rows[i];
    uint64_t outside[] = {row->least - 1, row->most + 1, UINT64_MAX, UINT64_MAX - 200};
    for (size_t k = row->least ? 0 : 1; k < 4; k++) {
      chaski_limits_init(&limits);
      *chaski_limit_at(&limits, i) = outside[k];
      assert_int_equal(chaski_limits_check(&limits, &why), CHASKI_EINVAL);
      assert_non_null(why);
    }
  }
  chaski_limits_init(&limits);
  limits.lease = 1;
  is_refused("lease");
  chaski_limits_init(&limits);
  limits.topic_max = 15;
  is_refused("topic_max");
}

static void all_at_their_least_or_most_fit_where_no_rule_speaks(void **state) {
  (void)state;
  for (size_t i = 0; i < chaski_limit_count; i++) {
    const char *name = chaski_limit_rows[i].name;
    if (!strncmp(name, "queue_", 6) || !strcmp(name, "data_max") || !strcmp(name, "preauth_max")) continue;
    chaski_limits_init(&limits);
    *chaski_limit_at(&limits, i) = chaski_limit_rows[i].least;
    is_accepted();
    *chaski_limit_at(&limits, i) = chaski_limit_rows[i].most;
    is_accepted();
  }
}

static void the_marks_of_a_queue_are_in_order(void **state) {
  (void)state;
  limits.queue_low = limits.queue_high;
  is_accepted();
  limits.queue_low++;
  is_refused("queue_low is above queue_high");
}

/* Who publishes only while the queue is below its high mark never meets the hard one. */
static void the_largest_frame_fits_between_the_marks_of_a_queue(void **state) {
  (void)state;
  limits.queue_hard = limits.queue_high + limits.data_max + limits.topic_max + CHASKI_FRAME_HEADER;
  is_accepted();
  limits.queue_hard--;
  is_refused("a largest frame (data_max) does not fit between queue_high and queue_hard");
}

static void one_queue_fits_into_all_of_them(void **state) {
  (void)state;
  limits.queue_total = limits.queue_hard;
  is_accepted();
  limits.queue_total--;
  is_refused("queue_hard is above queue_total");
}

static void what_is_taken_before_the_handshake_is_no_more_than_after(void **state) {
  (void)state;
  limits.data_max = limits.preauth_max;
  is_accepted();
  limits.preauth_max++;
  is_refused("preauth_max is above data_max");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(each_default_lies_within_its_bounds),
      TEST(each_field_has_one_row_with_a_name_a_unit_and_a_reason),
      TEST(a_row_leads_to_the_field_of_its_name),
      TEST(each_limit_is_held_to_its_bounds),
      TEST(all_at_their_least_or_most_fit_where_no_rule_speaks),
      TEST(the_marks_of_a_queue_are_in_order),
      TEST(the_largest_frame_fits_between_the_marks_of_a_queue),
      TEST(one_queue_fits_into_all_of_them),
      TEST(what_is_taken_before_the_handshake_is_no_more_than_after),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
