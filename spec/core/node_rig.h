/* node_rig.h: nodes on the in-memory network under the virtual clock, recording what they are told. For tests of the
 * core. SPDX-License-Identifier: MIT */
#ifndef CHASKI_SPEC_NODE_RIG_H
#define CHASKI_SPEC_NODE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/core/alloc.h"
#include "../../src/core/node.h"
#include "../../src/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define PEERS_MAX 64

struct peer {
  chaski_node *node;
  char ip[32];
  size_t messages, lives, closes, pauses, resumes, drains, undelivered, commands, stops, changes;
  int reason, undelivered_reason; /* of the last close; of the last undelivered message */
  char detail[128];
  chaski_message last; /* only numbers of it outlive the upcall */
  char topic[64];
  uint8_t data[64];
  size_t data_len;
  uint64_t sum;      /* of the seq of delivered messages */
  chaski_edge *edge; /* the last one that became live */
  void (*on_message)(struct peer *p, chaski_edge *edge, const chaski_message *m);
  void (*on_closed)(struct peer *p, chaski_edge *edge, int reason);
  void (*on_live)(struct peer *p, chaski_edge *edge);
  void (*on_undelivered)(struct peer *p, const chaski_message *m);
};

struct rig {
  chaski_sim *sim;
  chaski_loop *loop;
  struct peer peers[PEERS_MAX];
  size_t count;
};

struct dialled { /* what a connect ended with */
  int calls, status;
  chaski_edge *edge;
  char detail[128];
};

static struct rig *rig;

static inline void rig_on_message(void *user, void *sub_user, chaski_edge *edge, const chaski_message *m) {
  struct peer *p = user;
  (void)sub_user;
  p->messages++;
  p->sum += m->seq;
  p->last = *m;
  snprintf(p->topic, sizeof p->topic, "%.*s", (int)m->topic.len, (const char *)m->topic.ptr);
  p->data_len = m->data.len;
  memcpy(p->data, m->data.ptr, m->data.len < sizeof p->data ? m->data.len : sizeof p->data);
  if (p->on_message) p->on_message(p, edge, m);
}

static inline void rig_on_command(void *user, void *handler, chaski_edge *edge, const chaski_message *m) {
  struct peer *p = user;
  (void)handler;
  (void)edge;
  (void)m;
  p->commands++;
}

static inline void rig_on_live(void *user, chaski_edge *edge) {
  struct peer *p = user;
  p->lives++;
  p->edge = edge;
  if (p->on_live) p->on_live(p, edge);
}

static inline void rig_on_closed(void *user, chaski_edge *edge, int reason, const char *detail) {
  struct peer *p = user;
  p->closes++;
  p->reason = reason;
  snprintf(p->detail, sizeof p->detail, "%s", detail);
  if (p->on_closed) p->on_closed(p, edge, reason);
}

static inline void rig_on_writable(void *user, chaski_edge *edge, bool writable) {
  struct peer *p = user;
  (void)edge;
  if (writable)
    p->resumes++;
  else
    p->pauses++;
}

static inline void rig_on_changed(void *user, chaski_edge *edge) {
  (void)edge;
  ((struct peer *)user)->changes++;
}

static inline void rig_on_drained(void *user) {
  ((struct peer *)user)->drains++;
}

static inline void rig_on_undelivered(void *user, chaski_edge *edge, const chaski_message *m, int reason) {
  struct peer *p = user;
  (void)edge;
  p->undelivered++;
  p->undelivered_reason = reason;
  if (p->on_undelivered) p->on_undelivered(p, m);
}

static inline void rig_on_stopped(void *user) {
  ((struct peer *)user)->stops++;
}

static const chaski_node_events rig_events = {.message = rig_on_message,
                                              .command = rig_on_command,
                                              .edge_live = rig_on_live,
                                              .edge_closed = rig_on_closed,
                                              .edge_writable = rig_on_writable,
                                              .edge_changed = rig_on_changed,
                                              .drained = rig_on_drained,
                                              .undelivered = rig_on_undelivered,
                                              .stopped = rig_on_stopped};

static inline void rig_expire(void *user) {
  chaski_loop_expire(((struct rig *)user)->loop);
}

static inline void rig_flush(void *user) {
  chaski_loop_flush(((struct rig *)user)->loop);
}

static inline int rig_setup(void **state) {
  rig = calloc(1, sizeof *rig);
  rig->sim = chaski_sim_new(1);
  if (chaski_loop_new(chaski_sim_env(rig->sim), &rig->loop) != CHASKI_OK) return -1;
  chaski_sim_hooks(rig->sim, rig_expire, rig_flush, rig);
  *state = rig;
  return 0;
}

static inline bool rig_gone(void *arg) {
  (void)arg;
  return chaski_loop_nodes(rig->loop) == 0 && chaski_sim_handles(rig->sim) == 0;
}

/* Every test ends here: all nodes go, no handle and no block is left. */
static inline int rig_teardown(void **state) {
  (void)state;
  for (size_t i = 0; i < rig->count; i++) chaski_node_destroy(&rig->peers[i].node);
  int r = chaski_sim_run(rig->sim, rig_gone, NULL, 10 * SECOND);
  chaski_loop_destroy(&rig->loop);
  chaski_sim_destroy(&rig->sim);
  free(rig);
  if (r != CHASKI_OK) print_error("nodes or handles are left\n");
  if (chaski_alloc_blocks()) print_error("%zu blocks are left\n", chaski_alloc_blocks());
  return r == CHASKI_OK && chaski_alloc_blocks() == 0 ? 0 : -1;
}

static inline void rig_run(bool (*until)(void *), void *arg, uint64_t max) {
  assert_int_equal(chaski_sim_run(rig->sim, until, arg, max), CHASKI_OK);
}

/* Let virtual time pass. */
static inline void rig_pass(uint64_t ns) {
  chaski_sim_run(rig->sim, NULL, NULL, ns);
}

static inline struct peer *rig_node_with(const char *name, const chaski_node_options *base) {
  struct peer *p = &rig->peers[rig->count++];
  chaski_node_options o = *base;
  const char *why;
  snprintf(p->ip, sizeof p->ip, "10.0.0.%zu", rig->count);
  o.name = name;
  o.ip = p->ip;
  if (chaski_node_new(rig->loop, &o, &rig_events, p, &p->node, &why) != CHASKI_OK) fail_msg("node: %s", why ? why : "");
  assert_int_equal(chaski_node_run(p->node), CHASKI_OK);
  return p;
}

static inline struct peer *rig_node(const char *name) {
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 0; /* sessions: session_test */
  return rig_node_with(name, &o);
}

static inline void rig_done(void *ctx, int status, chaski_edge *edge, const char *detail) {
  struct dialled *d = ctx;
  d->calls++;
  d->status = status;
  d->edge = edge;
  snprintf(d->detail, sizeof d->detail, "%s", detail);
}

static inline bool rig_answered(void *arg) {
  return ((struct dialled *)arg)->calls > 0;
}

static inline chaski_address rig_address(const struct peer *to) {
  chaski_address a = {.port = chaski_node_port(to->node)};
  snprintf(a.host, sizeof a.host, "%s", to->ip);
  return a;
}

static inline int rig_dial(struct peer *from, const struct peer *to, struct dialled *d) {
  chaski_address a = rig_address(to);
  *d = (struct dialled){0};
  chaski_sim_act_as(rig->sim, from->ip);
  return chaski_node_connect(from->node, &a, 0, rig_done, d, NULL);
}

static inline chaski_edge *rig_connect(struct peer *from, const struct peer *to) {
  struct dialled d;
  assert_int_equal(rig_dial(from, to, &d), CHASKI_OK);
  rig_run(rig_answered, &d, 20 * SECOND);
  assert_int_equal(d.status, CHASKI_OK);
  return d.edge;
}

static inline chaski_subscription *rig_subscribe(struct peer *p, const char *topic) {
  chaski_subscription *s;
  assert_int_equal(chaski_node_subscribe(p->node, chaski_slice_str(topic), p, &s), CHASKI_OK);
  return s;
}

/* data: one MessagePack byte, a small number. */
static inline int rig_publish(struct peer *p, const char *topic, uint8_t number) {
  return chaski_node_publish(p->node, chaski_slice_str(topic), chaski_slice_of(&number, 1), NULL, 0, NULL);
}

static inline bool rig_got_message(void *arg) {
  return ((struct peer *)arg)->messages > 0;
}

static inline bool rig_got_close(void *arg) {
  return ((struct peer *)arg)->closes > 0;
}

static inline bool rig_got_stop(void *arg) {
  return ((struct peer *)arg)->stops > 0;
}

#endif
