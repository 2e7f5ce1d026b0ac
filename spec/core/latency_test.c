/* latency_test.c: the seed's estimate in closed form, and the round-trip figures beside it.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "../../src/core/alloc.h"
#include "../../src/core/latency.h"

static int teardown(void **state) {
  (void)state;
  return chaski_alloc_blocks() == 0 ? 0 : -1;
}

static void assert_near(double actual, double expected) {
  if (!(fabs(actual - expected) <= 1e-9 * fmax(1, fabs(expected)))) fail_msg("%.17g is not %.17g", actual, expected);
}

static void assert_estimate(const chaski_latency *l, double latency, double jitter, unsigned samples) {
  assert_near(l->latency, latency);
  assert_near(l->jitter, jitter);
  assert_int_equal(l->samples, samples);
}

static void begins_all_zero(void **state) {
  (void)state;
  chaski_latency l;
  memset(&l, 0xff, sizeof l);
  chaski_latency_init(&l);
  assert_estimate(&l, 0, 0, 0);
  assert_near(l.rtt_min, 0);
  assert_near(l.srtt, 0);
  assert_near(l.rttvar, 0);
}

static void first_sample_is_taken_as_it_is(void **state) {
  (void)state;
  chaski_latency l;
  chaski_latency_init(&l);
  chaski_latency_sample(&l, 30);
  assert_estimate(&l, 15, 100, 1);
  assert_near(l.rtt_min, 30);
  assert_near(l.srtt, 30);
  assert_near(l.rttvar, 15);
}

static void after_k_samples_latency_is_their_mean_and_jitter_shrinks_as_the_root_of_k(void **state) {
  (void)state;
  chaski_latency l;
  chaski_latency_init(&l);
  double sum = 0;
  for (unsigned k = 1; k <= 2000; k++) {
    double rtt = (double)(k * 7919 % 1009) / 8;
    sum += rtt / 2;
    chaski_latency_sample(&l, rtt);
    assert_estimate(&l, sum / k, 100 / sqrt(k), k);
  }
}

static void reset_counts_as_one_sample_of_zero(void **state) {
  (void)state;
  chaski_latency l;
  chaski_latency_init(&l);
  for (int i = 0; i < 5; i++) chaski_latency_sample(&l, 80);
  chaski_latency_reset(&l);
  assert_estimate(&l, 0, 100, 1);
  chaski_latency_sample(&l, 40);
  assert_estimate(&l, 10, 100 / sqrt(2), 2);
}

static void reset_is_no_round_trip(void **state) {
  (void)state;
  chaski_latency l;
  chaski_latency_init(&l);
  chaski_latency_reset(&l);
  chaski_latency_sample(&l, 40);
  assert_near(l.rtt_min, 40);
  assert_near(l.srtt, 40);
  assert_near(l.rttvar, 20);
  chaski_latency_reset(&l);
  assert_near(l.rtt_min, 40);
  assert_near(l.srtt, 40);
}

static void smoothing_follows_rfc_6298(void **state) {
  (void)state;
  chaski_latency l;
  chaski_latency_init(&l);
  chaski_latency_sample(&l, 100);
  chaski_latency_sample(&l, 60);
  assert_near(l.rttvar, 0.75 * 50 + 0.25 * 40); /* from the old srtt */
  assert_near(l.srtt, 0.875 * 100 + 0.125 * 60);
  assert_near(l.rtt_min, 60);
  chaski_latency_sample(&l, 90);
  assert_near(l.rttvar, 0.75 * 47.5 + 0.25 * 5);
  assert_near(l.srtt, 0.875 * 95 + 0.125 * 90);
  assert_near(l.rtt_min, 60);
}

static void smoothed_time_follows_a_change_that_the_estimate_no_longer_sees(void **state) {
  (void)state;
  chaski_latency l;
  chaski_latency_init(&l);
  for (int i = 0; i < 10000; i++) chaski_latency_sample(&l, 10);
  for (int i = 0; i < 60; i++) chaski_latency_sample(&l, 200);
  assert_true(l.latency < 7);
  assert_true(l.srtt > 199);
}

static void what_is_no_time_is_ignored(void **state) {
  (void)state;
  const double others[] = {-1, -INFINITY, INFINITY, NAN};
  chaski_latency l, before;
  chaski_latency_init(&l);
  chaski_latency_sample(&l, 30);
  before = l;
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) chaski_latency_sample(&l, others[i]);
  assert_memory_equal(&l, &before, sizeof l);
}

static void round_trips_of_zero_are_samples(void **state) {
  (void)state;
  chaski_latency l;
  chaski_latency_init(&l);
  chaski_latency_sample(&l, 0);
  chaski_latency_sample(&l, 0);
  assert_estimate(&l, 0, 100 / sqrt(2), 2);
  assert_near(l.srtt, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
      TEST(begins_all_zero),
      TEST(first_sample_is_taken_as_it_is),
      TEST(after_k_samples_latency_is_their_mean_and_jitter_shrinks_as_the_root_of_k),
      TEST(reset_counts_as_one_sample_of_zero),
      TEST(reset_is_no_round_trip),
      TEST(smoothing_follows_rfc_6298),
      TEST(smoothed_time_follows_a_change_that_the_estimate_no_longer_sees),
      TEST(what_is_no_time_is_ignored),
      TEST(round_trips_of_zero_are_samples),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
