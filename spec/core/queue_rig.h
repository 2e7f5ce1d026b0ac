/* queue_rig.h: publishers and readers with short queues over narrow links. SPDX-License-Identifier: MIT */
#ifndef CHASKI_SPEC_QUEUE_RIG_H
#define CHASKI_SPEC_QUEUE_RIG_H

#include "raw_rig.h"

#define HIGH (64 * 1024)
#define LOW (16 * 1024)
#define HARD (256 * 1024)
#define PIECE 1024 /* data of one message */

static inline chaski_node_options tight(void) {
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 0; /* sessions: session_test */
  o.limits.queue_low = LOW;
  o.limits.queue_high = HIGH;
  o.limits.queue_hard = HARD;
  o.limits.data_max = 128 * CHASKI_KIB;
  o.limits.lease = 3600 * SECOND; /* it is the queue that decides here */
  return o;
}

static inline void narrow(void) {
  chaski_sim_link link = {.delay_ns = MS, .window = 8192};
  chaski_sim_set_link(rig->sim, NULL, NULL, &link);
}

static inline struct peer *publisher_with(enum chaski_overflow overflow) {
  chaski_node_options o = tight();
  o.overflow = overflow;
  return rig_node_with("publisher", &o);
}

static inline struct peer *reader(const char *name, struct peer *of, chaski_edge **edge) {
  chaski_node_options o = tight();
  struct peer *p = rig_node_with(name, &o);
  rig_subscribe(p, "t");
  chaski_edge *e = rig_connect(of, p);
  if (edge) *edge = e;
  rig_pass(SECOND);
  return p;
}

static inline int publish_to(struct peer *p, const char *topic, size_t len) {
  static uint8_t data[256 * 1024] = {0xc6};
  uint32_t n = (uint32_t)(len - 5);
  for (int i = 0; i < 4; i++) data[1 + i] = (uint8_t)(n >> (8 * (3 - i)));
  return chaski_node_publish(p->node, chaski_slice_str(topic), chaski_slice_of(data, len), NULL, 0, NULL);
}

static inline int publish_bytes(struct peer *p, size_t len) {
  return publish_to(p, "t", len);
}

static inline bool got_drain(void *arg) {
  return ((struct peer *)arg)->drains > 0;
}

static inline void ledger_balances(const struct peer *p) {
  const chaski_counters *c = chaski_node_counters(p->node);
  assert_int_equal(c->queued,
                   c->acknowledged + c->written + c->lost + c->queue_dropped + chaski_node_in_flight(p->node));
}

#endif
