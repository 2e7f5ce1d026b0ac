/* timer_test.c: the loop's timers under a clock and an alarm of the test's own: order, ties, what a timer may do from
 * its function, what alarm is asked for, and all of it at random against a plain table.
 * SPDX-License-Identifier: MIT */
#include "leaf_rig.h"

#include "loop.h"

#define NEVER UINT64_MAX

static uint64_t clock_now, alarm_at;
static size_t alarm_calls;
static chaski_loop *loop;

static uint64_t fake_now(void *ctx) {
  (void)ctx;
  return clock_now;
}

static void fake_alarm(void *ctx, uint64_t due) {
  (void)ctx;
  alarm_at = due;
  alarm_calls++;
}

enum { TIMERS = 200, RUNS = 100000 };
static chaski_timer timers[TIMERS];
static int runs[RUNS]; /* which timer, in order */
static size_t run_count;

static void note_run(chaski_timer *t) {
  assert_true(run_count < RUNS);
  assert_false(chaski_timer_active(t));
  runs[run_count++] = (int)(t - timers);
}

static int setup(void **state) {
  chaski_env env = {.now = fake_now, .alarm = fake_alarm};
  clock_now = 1000;
  alarm_at = NEVER;
  alarm_calls = run_count = 0;
  for (size_t i = 0; i < TIMERS; i++) chaski_timer_init(&timers[i], note_run);
  leaf_setup(state);
  return chaski_loop_new(&env, &loop);
}

static int no_loop_is_left(void **state) {
  chaski_loop_destroy(&loop);
  return loop ? -1 : no_block_is_left(state);
}

#undef TEST
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, no_loop_is_left)

static void start(int i, uint64_t delay) {
  chaski_timer_start(loop, &timers[i], delay);
}

static void stop(int i) {
  chaski_timer_stop(loop, &timers[i]);
}

/* The environment's part: at the time asked for, and not before. */
static void ring(void) {
  assert_int_not_equal(alarm_at, NEVER);
  if (clock_now < alarm_at) clock_now = alarm_at;
  alarm_at = NEVER;
  chaski_loop_expire(loop);
}

static void ring_until_quiet(void) {
  while (alarm_at != NEVER) ring();
}

static void ran(const char *order) { /* "021": timers 0, 2, 1 */
  assert_int_equal(run_count, strlen(order));
  for (size_t i = 0; i < run_count; i++) assert_int_equal(runs[i], order[i] - '0');
  run_count = 0;
}

/* --- order -------------------------------------------------------------------------------------------------- */
static void they_run_in_the_order_of_their_time(void **state) {
  (void)state;
  start(0, 30);
  start(1, 10);
  start(2, 20);
  start(3, 40);
  ring_until_quiet();
  ran("1203");
  assert_int_equal(clock_now, 1040);
}

static void ties_run_in_the_order_of_starting(void **state) {
  (void)state;
  for (int i = 9; i >= 0; i--) start(i, 5);
  start(7, 5); /* anew: now the last */
  ring_until_quiet();
  ran("9865432107");
}

static void only_what_is_due_runs(void **state) {
  (void)state;
  start(0, 10);
  start(1, 11);
  clock_now = 1009;
  chaski_loop_expire(loop);
  ran("");
  clock_now = 1010;
  chaski_loop_expire(loop);
  ran("0");
  assert_true(chaski_timer_active(&timers[1]));
  assert_int_equal(alarm_at, 1011);
}

static void a_started_timer_is_moved_by_starting_it(void **state) {
  (void)state;
  start(0, 10);
  start(1, 20);
  start(0, 30);
  assert_int_equal(alarm_at, 1020);
  start(0, 5);
  assert_int_equal(alarm_at, 1005);
  ring_until_quiet();
  ran("01");
}

static void a_stopped_timer_does_not_run(void **state) {
  (void)state;
  for (int i = 0; i < 5; i++) start(i, 10 + (uint64_t)i);
  stop(0);
  stop(3);
  stop(3);
  stop(9); /* never started */
  assert_false(chaski_timer_active(&timers[0]));
  ring_until_quiet();
  ran("124");
}

static void a_delay_beyond_the_clock_is_the_end_of_time(void **state) {
  (void)state;
  start(0, UINT64_MAX);
  start(1, UINT64_MAX - 1000);
  start(2, 1);
  assert_int_equal(timers[0].due, UINT64_MAX - 1);
  assert_int_equal(timers[1].due, UINT64_MAX - 1);
  ring();
  ran("2");
  stop(0);
  stop(1);
}

/* --- the alarm ---------------------------------------------------------------------------------------------- */
static void the_alarm_is_asked_for_the_first_and_only_when_that_changes(void **state) {
  (void)state;
  start(0, 50);
  assert_int_equal(alarm_at, 1050);
  size_t calls = alarm_calls;
  for (int i = 1; i < 100; i++) start(i, 50 + (uint64_t)i);
  for (int i = 1; i < 100; i++) stop(i);
  assert_int_equal(alarm_calls, calls);
  start(1, 20);
  assert_int_equal(alarm_at, 1020);
  stop(1);
  assert_int_equal(alarm_at, 1050);
  stop(0);
  assert_int_equal(alarm_at, NEVER);
  assert_int_equal(alarm_calls, calls + 3);
}

static void an_alarm_that_rings_early_is_asked_for_again(void **state) {
  (void)state;
  start(0, 50);
  alarm_at = NEVER; /* it rang, and was not due */
  chaski_loop_expire(loop);
  ran("");
  assert_int_equal(alarm_at, 1050);
}

/* --- from within -------------------------------------------------------------------------------------------- */
static void start_again_at_once(chaski_timer *t) {
  note_run(t);
  chaski_timer_start(loop, t, 0);
}

static void no_delay_waits_for_the_next_turn(void **state) {
  (void)state;
  start(0, 0);
  ran("");
  assert_true(chaski_timer_active(&timers[0]));
  assert_int_equal(alarm_at, 1000);
  chaski_timer_init(&timers[1], start_again_at_once);
  start(1, 0);
  ring();
  ran("01"); /* once, not for ever */
  assert_int_equal(alarm_at, 1000);
  ring();
  ran("1");
  stop(1);
}

static void slow_and_again(chaski_timer *t) {
  note_run(t);
  clock_now += 100;
  chaski_timer_start(loop, t, 0);
}

static void what_was_due_runs_though_a_timer_takes_long_and_starts_again(void **state) {
  (void)state;
  chaski_timer_init(&timers[0], slow_and_again);
  start(0, 5);
  start(1, 5);
  start(2, 50); /* due by the clock when 0 has run, not by the turn's */
  ring();
  ran("01");
  ring();
  ran("20");
  stop(0);
}

static void restart_with_a_delay(chaski_timer *t) {
  note_run(t);
  if (run_count < 5) chaski_timer_start(loop, t, 10);
}

static void a_timer_may_start_itself_again(void **state) {
  (void)state;
  chaski_timer_init(&timers[0], restart_with_a_delay);
  start(0, 10);
  ring_until_quiet();
  ran("00000");
  assert_int_equal(clock_now, 1050);
}

static void stop_the_others(chaski_timer *t) {
  note_run(t);
  for (int i = 0; i < 10; i++)
    if (&timers[i] != t) stop(i);
}

static void a_timer_may_stop_others_that_are_due(void **state) {
  (void)state;
  for (int i = 0; i < 10; i++) {
    chaski_timer_init(&timers[i], stop_the_others);
    start(i, 5);
  }
  ring_until_quiet();
  ran("0");
  assert_int_equal(alarm_at, NEVER);
}

static void free_itself(chaski_timer *t) {
  run_count++;
  free(t);
}

static void a_timer_may_free_itself(void **state) {
  (void)state;
  for (int i = 0; i < 9; i++) {
    chaski_timer *t = malloc(sizeof *t);
    assert_non_null(t);
    chaski_timer_init(t, free_itself);
    chaski_timer_start(loop, t, (uint64_t)(i * 7 % 9));
  }
  clock_now = 2000;
  ring();
  assert_int_equal(run_count, 9);
  assert_int_equal(alarm_at, NEVER);
}

static void postpone_the_next(chaski_timer *t) {
  note_run(t);
  if (t == timers) start(1, 100);
}

static void a_due_timer_that_is_moved_waits(void **state) {
  (void)state;
  chaski_timer_init(&timers[0], postpone_the_next);
  start(0, 5);
  start(1, 5);
  ring();
  ran("0");
  assert_int_equal(alarm_at, 1105);
  ring();
  ran("1");
}

/* --- at random ---------------------------------------------------------------------------------------------- */
static uint64_t model_due[TIMERS], model_order[TIMERS], next_order; /* due 0: not started */

static void model_start(int i, uint64_t delay) {
  start(i, delay);
  model_due[i] = clock_now + delay;
  model_order[i] = next_order++;
}

static int model_first(void) {
  int first = -1;
  for (int i = 0; i < TIMERS; i++) {
    if (!model_due[i]) continue;
    bool earlier = first < 0 || model_due[i] < model_due[first] ||
                   (model_due[i] == model_due[first] && model_order[i] < model_order[first]);
    if (earlier) first = i;
  }
  return first;
}

static uint64_t turn_limit; /* what is started in this turn waits for the next */

/* Must be the one the model says; then some are started and stopped from within. */
static void run_as_the_model(chaski_timer *t) {
  int i = (int)(t - timers), first = model_first();
  run_count++;
  assert_int_equal(i, first);
  assert_true(model_due[i] <= clock_now && model_order[i] < turn_limit);
  assert_false(chaski_timer_active(t));
  model_due[i] = 0;
  for (uint64_t n = draw(3); n > 0; n--) {
    int other = (int)draw(TIMERS);
    if (draw(2)) {
      model_start(other, draw(4) ? draw(100) : 0);
    } else {
      stop(other);
      model_due[other] = 0;
    }
  }
}

static void expire_as_the_model(void) {
  turn_limit = next_order;
  chaski_loop_expire(loop);
  int first = model_first();
  assert_true(first < 0 || model_due[first] > clock_now || model_order[first] >= turn_limit);
  assert_true(alarm_at == (first < 0 ? NEVER : model_due[first]));
}

static void agrees_with_a_plain_table_at_random(void **state) {
  (void)state;
  next_order = 0;
  memset(model_due, 0, sizeof model_due);
  for (int i = 0; i < TIMERS; i++) chaski_timer_init(&timers[i], run_as_the_model);
  for (int round = 0; round < 60000; round++) {
    int i = (int)draw(TIMERS);
    uint64_t what = draw(8);
    if (what < 5) {
      model_start(i, draw(3) ? draw(1000) : draw(4));
    } else if (what == 5) {
      stop(i);
      model_due[i] = 0;
    } else {
      clock_now += draw(40);
      expire_as_the_model();
    }
    assert_int_equal(chaski_timer_active(&timers[i]), model_due[i] != 0);
    int first = model_first();
    assert_true(alarm_at == (first < 0 ? NEVER : model_due[first]));
  }
  assert_true(run_count > 10000);
  for (int i = 0; i < TIMERS; i++) stop(i);
  assert_int_equal(alarm_at, NEVER);
}

/* 200 000 in one heap: no step may recurse, and it must not take seconds. */
static void many_timers_cost_no_stack(void **state) {
  (void)state;
  enum { MANY = 200000 };
  chaski_timer *many = calloc(MANY, sizeof *many);
  assert_non_null(many);
  static size_t count;
  count = 0;
  for (size_t i = 0; i < MANY; i++) {
    chaski_timer_init(&many[i], note_run);
    chaski_timer_start(loop, &many[i], i % 2 ? i : 2 * (size_t)MANY - i);
  }
  for (size_t i = 0; i < MANY; i++)
    if (draw(2)) chaski_timer_stop(loop, &many[i]);
  for (size_t i = 0; i < MANY; i++) {
    count += chaski_timer_active(&many[i]);
    chaski_timer_stop(loop, &many[i]);
  }
  assert_true(count > MANY / 3 && count < MANY);
  assert_int_equal(alarm_at, NEVER);
  free(many);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(they_run_in_the_order_of_their_time),
      TEST(ties_run_in_the_order_of_starting),
      TEST(only_what_is_due_runs),
      TEST(a_started_timer_is_moved_by_starting_it),
      TEST(a_stopped_timer_does_not_run),
      TEST(a_delay_beyond_the_clock_is_the_end_of_time),
      TEST(the_alarm_is_asked_for_the_first_and_only_when_that_changes),
      TEST(an_alarm_that_rings_early_is_asked_for_again),
      TEST(no_delay_waits_for_the_next_turn),
      TEST(what_was_due_runs_though_a_timer_takes_long_and_starts_again),
      TEST(a_timer_may_start_itself_again),
      TEST(a_timer_may_stop_others_that_are_due),
      TEST(a_timer_may_free_itself),
      TEST(a_due_timer_that_is_moved_waits),
      TEST(agrees_with_a_plain_table_at_random),
      TEST(many_timers_cost_no_stack),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
