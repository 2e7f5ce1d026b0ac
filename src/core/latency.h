/* latency.h: what is known of an edge's round trip. latency and jitter follow the seed's Bayesian update (their
 * formula is part of the API, PROTOCOL A.4); min and smoothed round-trip times (RFC 6298 section 2) stand beside them
 * because the seed's estimate freezes after many samples.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_LATENCY_H
#define CHASKI_LATENCY_H

#include <stdint.h>

typedef struct chaski_latency {
  double latency; /* ms, half the round trip, as the seed */
  double jitter;  /* ms, the estimate's standard deviation, as the seed; 0 before the first sample */
  double rtt_min; /* ms, smallest round trip seen; 0 before the first sample */
  double srtt;    /* ms, smoothed round trip */
  double rttvar;  /* ms, its variation */
  uint64_t samples;
} chaski_latency;

/* No sample yet; all zero. */
void chaski_latency_init(chaski_latency *l);
/* One round trip of rtt_ms >= 0 milliseconds (others, NaN included, are ignored). */
void chaski_latency_sample(chaski_latency *l, double rtt_ms);
/* The seed's reset_latency: latency 0 and jitter 100, which counts as one sample of 0. */
void chaski_latency_reset(chaski_latency *l);

#endif
