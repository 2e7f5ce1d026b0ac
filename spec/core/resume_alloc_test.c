/* resume_alloc_test.c: every allocation of a scenario is made to fail once, alone and with those after it: three nodes
 * connect, publish, pass on, lose their connections, resume, and stop. No crash, no leak, the ledgers balance, nothing
 * comes twice, and once there is memory again the nodes work. SPDX-License-Identifier: MIT */
#include "node_rig.h"

#define MESSAGES 40

static size_t allocations, failing, failing_until;

static void *scarce(void *ptr, size_t size) {
  if (size == 0) {
    free(ptr);
    return NULL;
  }
  allocations++;
  return allocations >= failing && allocations <= failing_until ? NULL : realloc(ptr, size);
}

static struct peer *a, *b, *c;
static uint8_t seen[256];

static void on_message(struct peer *p, chaski_edge *edge, const chaski_message *m) {
  (void)p, (void)edge;
  assert_int_equal(seen[m->data.ptr[0]]++, 0);
}

static void cut_one(void *arg, chaski_stream *stream) {
  (void)arg;
  chaski_sim_cut(rig->sim, stream);
}

static void check_ledger(const struct peer *p) {
  const chaski_counters *n = chaski_node_counters(p->node);
  assert_int_equal(n->queued,
                   n->acknowledged + n->written + n->lost + n->queue_dropped + chaski_node_in_flight(p->node));
}

static void check_ledgers(void) {
  check_ledger(a);
  check_ledger(b);
  check_ledger(c);
}

static struct peer *node_of(const char *name) {
  struct peer *p = &rig->peers[rig->count++];
  chaski_node_options o;
  const char *why;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 60 * SECOND;
  snprintf(p->ip, sizeof p->ip, "10.0.0.%zu", rig->count);
  o.name = name;
  o.id = name;
  o.ip = p->ip;
  o.propagation = true;
  int r = chaski_node_new(rig->loop, &o, &rig_events, p, &p->node, &why);
  if (r == CHASKI_OK) r = chaski_node_run(p->node);
  assert_true(r == CHASKI_OK || r == CHASKI_ENOMEM);
  return p;
}

static void answered(void *ctx, int status, chaski_edge *edge, const char *detail) {
  (void)ctx, (void)detail;
  assert_true((status == CHASKI_OK) == (edge != NULL));
}

static void dial(struct peer *from, struct peer *to) {
  chaski_address address = rig_address(to);
  chaski_edge *e = chaski_node_get_edge_by_name(from->node, chaski_node_name(to->node));
  if (e && !chaski_edge_suspended(e)) return;
  chaski_sim_act_as(rig->sim, from->ip);
  chaski_node_connect(from->node, &address, 0, answered, NULL, NULL);
}

static void redial(void) {
  if (!chaski_node_running(b->node)) return;
  if (chaski_node_running(a->node)) dial(a, b);
  if (chaski_node_running(c->node)) dial(c, b);
}

static bool all_stopped(void *arg) {
  (void)arg;
  return a->stops && b->stops && c->stops;
}

static void publish(uint8_t from, uint8_t to) {
  for (uint8_t i = from; i < to; i++) rig_publish(a, "t", i);
  check_ledgers();
}

/* From new nodes to stopped ones. */
static void a_life(bool lasting) {
  chaski_subscription *s = NULL;
  rig->count = 0;
  memset(seen, 0, sizeof seen);
  a = node_of("a");
  b = node_of("b");
  c = node_of("c");
  if (!a->node || !b->node || !c->node) return;
  c->on_message = on_message;
  chaski_node_subscribe(c->node, chaski_slice_str("t"), c, &s);
  redial();
  rig_pass(SECOND);
  publish(0, MESSAGES);
  rig_pass(3 * MS);
  chaski_sim_streams(rig->sim, cut_one, NULL);
  rig_pass(SECOND);
  publish(MESSAGES, 2 * MESSAGES);
  for (int i = 0; i < 3; i++) {
    redial();
    rig_pass(SECOND);
    check_ledgers();
  }
  publish(2 * MESSAGES, 3 * MESSAGES);
  rig_pass(2 * SECOND);
  if (lasting) {
    chaski_set_allocator(NULL); /* there is memory again */
    for (int i = 0; i < 30; i++) {
      redial();
      rig_pass(SECOND);
      check_ledgers();
    }
    if (!s && chaski_node_running(c->node)) chaski_node_subscribe(c->node, chaski_slice_str("t"), c, &s);
    rig_pass(SECOND);
    bool whole = chaski_node_running(a->node) && chaski_node_running(b->node) && chaski_node_running(c->node);
    if (whole) publish(200, 201);
    rig_pass(SECOND);
    assert_true(!whole || seen[200] == 1);
  }
  chaski_node_stop(a->node, SECOND);
  chaski_node_stop(b->node, SECOND);
  chaski_node_stop(c->node, SECOND);
  rig_run(all_stopped, NULL, 20 * SECOND);
  check_ledgers();
}

/* Returns whether an allocation failed. */
static bool life_with_failures(void **state, size_t nth, size_t how_many) {
  rig_setup(state);
  allocations = 0;
  failing = nth;
  failing_until = nth + how_many - 1;
  chaski_set_allocator(scarce);
  a_life(nth % 2 == 0);
  bool failed = allocations >= nth;
  chaski_set_allocator(NULL);
  if (rig_teardown(state)) fail_msg("allocation %zu, %zu times", nth, how_many);
  return failed;
}

static void any_allocation_may_fail(void **state) {
  static const size_t runs[] = {1, 3, 12, 60};
  size_t lives = 0;
  for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
    for (size_t n = 1; life_with_failures(state, n, runs[i]); n++) lives++;
  print_message("%zu lives\n", lives);
}

static void with_memory_all_arrives(void **state) {
  rig_setup(state);
  a_life(false);
  for (size_t i = 0; i < 3 * MESSAGES; i++) assert_int_equal(seen[i], 1);
  assert_true(chaski_node_counters(b->node)->resumes >= 2);
  assert_int_equal(rig_teardown(state), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(with_memory_all_arrives),
      cmocka_unit_test(any_allocation_may_fail),
  };
  return cmocka_run_group_tests_name("resume and memory", tests, NULL, NULL);
}
