/* burst_test.c: in how many writes the answers to many frames that came at once leave. SPDX-License-Identifier: MIT */
#include "raw_rig.h"

/* So many pings in one piece; how many pieces the pongs come in. */
static size_t pieces_for(struct raw *to, size_t pings) {
  struct raw *r = raw_new("10.9.0.9"); /* never connected: collects */
  for (size_t i = 0; i < pings; i++) raw_ping(r, "p", 3);
  size_t reads = to->reads, pongs = to->got[RAW_PONG];
  raw_send(to, r->out, r->out_len);
  rig_pass(SECOND);
  assert_int_equal(to->got[RAW_PONG] - pongs, pings);
  free(r->out);
  r->out = NULL;
  return to->reads - reads;
}

static void a_turn_makes_one_write_and_of_a_long_burst_the_first_answers_leave_before_its_end(void **state) {
  (void)state;
  struct peer *a = rig_node("a");
  struct raw *r = raw_join("10.1.0.1", a);
  assert_int_equal(pieces_for(r, 1), 1);
  assert_int_equal(pieces_for(r, 31), 1);
  assert_int_equal(pieces_for(r, 33), 2);
  assert_int_equal(pieces_for(r, 400), 5); /* after 32, 64, 128, 256, and at the end */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, raw_setup, raw_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_turn_makes_one_write_and_of_a_long_burst_the_first_answers_leave_before_its_end),
  };
  return cmocka_run_group_tests_name("burst", tests, NULL, NULL);
}
