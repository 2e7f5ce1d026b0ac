/* latency.c: see latency.h. SPDX-License-Identifier: MIT */
#include "latency.h"

#include <math.h>
#include <stdbool.h>

#define SAMPLE_JITTER 100.0 /* ms, standard deviation the seed gives to every single sample */

void chaski_latency_init(chaski_latency *l) {
  *l = (chaski_latency){0};
}

/* Product of the two normal distributions N(latency, jitter) and N(sample, SAMPLE_JITTER). */
static void combine(chaski_latency *l, double sample) {
  double prior = 1 / (l->jitter * l->jitter), one = 1 / (SAMPLE_JITTER * SAMPLE_JITTER);
  l->latency = (l->latency * prior + sample * one) / (prior + one);
  l->jitter = sqrt(1 / (prior + one));
}

static void estimate(chaski_latency *l, double sample) {
  if (l->samples++ > 0) {
    combine(l, sample);
  } else {
    l->latency = sample;
    l->jitter = SAMPLE_JITTER;
  }
}

/* Not by samples: a reset counts as one there, but shows no round trip. */
static bool is_first(const chaski_latency *l) {
  return !(l->srtt > 0);
}

/* RFC 6298 2.2 and 2.3 */
static void smooth(chaski_latency *l, double rtt) {
  if (is_first(l)) {
    l->srtt = l->rtt_min = rtt;
    l->rttvar = rtt / 2;
    return;
  }
  l->rttvar += (fabs(l->srtt - rtt) - l->rttvar) / 4;
  l->srtt += (rtt - l->srtt) / 8;
  l->rtt_min = fmin(l->rtt_min, rtt);
}

void chaski_latency_sample(chaski_latency *l, double rtt_ms) {
  if (!isfinite(rtt_ms) || rtt_ms < 0) return;
  smooth(l, rtt_ms);
  estimate(l, rtt_ms / 2);
}

void chaski_latency_reset(chaski_latency *l) {
  l->latency = 0;
  l->jitter = SAMPLE_JITTER;
  l->samples = 1;
}
