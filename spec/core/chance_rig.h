/* chance_rig.h: runs that follow from a seed: the dice, what a failed check says, one of the network's streams.
 * SPDX-License-Identifier: MIT */
#ifndef CHANCE_RIG_H
#define CHANCE_RIG_H

#include "node_rig.h"

static uint64_t seed, dice_state;

static inline uint32_t dice(uint32_t below) { /* Knuth's MMIX generator */
  dice_state = dice_state * 6364136223846793005U + 1442695040888963407U;
  return (uint32_t)(dice_state >> 33) % below;
}

#define CHECK(what)                                                                                                    \
  if (!(what)) fail_msg("CHASKI_SEED=%llu: %s", (unsigned long long)seed, #what)

struct chosen {
  size_t left;
  chaski_stream *stream;
};

static inline void choose(void *arg, chaski_stream *s) {
  struct chosen *c = arg;
  if (c->left-- == 0) c->stream = s;
}

/* NULL: there is none. */
static inline chaski_stream *some_stream(chaski_sim *sim) {
  size_t n = chaski_sim_streams(sim, NULL, NULL);
  struct chosen c = {.left = n ? dice((uint32_t)n) : 0};
  chaski_sim_streams(sim, choose, &c);
  return c.stream;
}

#endif
