/* chaos_test.c: random runs of a few nodes under every fault the in-memory network knows, and every allocation made to
 * fail once. A run follows from its seed: CHASKI_SEED=n runs that one, CHASKI_SEEDS=n the first n.
 * SPDX-License-Identifier: MIT */
#include "chance_rig.h"

#define NODES_MAX 8
#define MESSAGES_MAX 1024
#define DIALS_MAX 4096
#define STEPS 150
#define SEEDS 60

static size_t nodes;
static unsigned births[NODES_MAX]; /* of the node's present life */
static bool wild, quiet;           /* handlers act too; the faults are over */

static struct sent {
  size_t from;
  unsigned birth;
  uint8_t seen[NODES_MAX]; /* in the present life */
} sent[MESSAGES_MAX];
static size_t sent_count;

static struct asked {
  size_t from;
  unsigned birth;
  int calls;
} asked[DIALS_MAX];
static size_t asked_count;

static struct peer *at(size_t i) {
  return &rig->peers[i];
}

static size_t index_of(const struct peer *p) {
  return (size_t)(p - rig->peers);
}

/* --- what nodes do ------------------------------------------------------------------------------------------ */
static void act(struct peer *p);

static void on_done(void *ctx, int status, chaski_edge *edge, const char *detail) {
  struct asked *a = ctx;
  (void)detail;
  CHECK(++a->calls == 1);
  CHECK(a->birth == births[a->from]);
  CHECK((status == CHASKI_OK) == (edge != NULL));
  CHECK(!edge || chaski_edge_live(edge));
  act(at(a->from));
}

static void dial(size_t i, size_t j) {
  chaski_address to = {.port = 9000};
  if (i == j || !at(i)->node || asked_count == DIALS_MAX) return;
  snprintf(to.host, sizeof to.host, "%s", at(j)->ip);
  chaski_sim_act_as(rig->sim, at(i)->ip);
  struct asked *a = &asked[asked_count];
  *a = (struct asked){.from = i, .birth = births[i]};
  if (chaski_node_connect(at(i)->node, &to, 0, on_done, a, NULL) == CHASKI_OK) asked_count++;
}

static void publish(size_t i) {
  static const char *const topics[] = {"t0", "t1", "t2"};
  if (!at(i)->node || sent_count == MESSAGES_MAX) return;
  uint8_t data[3000] = {0xc5, (uint8_t)((sizeof data - 3) >> 8), (uint8_t)(sizeof data - 3)};
  memcpy(data + 3, &sent_count, sizeof sent_count);
  size_t len = sizeof data;
  sent[sent_count] = (struct sent){.from = i, .birth = births[i]};
  chaski_slice topic = chaski_slice_str(quiet ? "final" : topics[dice(3)]);
  if (chaski_node_publish(at(i)->node, topic, chaski_slice_of(data, len), NULL, 0, NULL) == CHASKI_OK) sent_count++;
}

static void close_some(size_t i) {
  size_t n = at(i)->node ? chaski_node_edge_count(at(i)->node) : 0;
  if (n) chaski_edge_close(chaski_node_edge_at(at(i)->node, dice((uint32_t)n)), CHASKI_ECLOSED, dice(2));
}

static void end_life(size_t i) {
  chaski_node_destroy(&at(i)->node);
  births[i]++;
  for (size_t k = 0; k < sent_count; k++) sent[k].seen[i] = 0;
}

static void act(struct peer *p) {
  if (!wild || quiet || dice(12)) return;
  size_t i = index_of(p);
  switch (dice(6)) {
  case 0:
    end_life(i);
    break;
  case 1:
    close_some(i);
    break;
  case 2:
    if (p->node) chaski_node_stop(p->node, dice(2) * SECOND);
    break;
  default:
    dial(i, dice((uint32_t)nodes));
    publish(i);
  }
}

static void on_message(struct peer *p, chaski_edge *edge, const chaski_message *m) {
  size_t k, i = index_of(p);
  (void)edge;
  CHECK(m->data.len == 3000);
  memcpy(&k, m->data.ptr + 3, sizeof k);
  CHECK(k <= sent_count);
  CHECK(sent[k].from != i || sent[k].birth != births[i]);
  CHECK(sent[k].seen[i]++ == 0);
  act(p);
}

static int live_mark, ended_mark; /* what an edge's user points to */

static void on_live(struct peer *p, chaski_edge *edge) {
  CHECK(!chaski_edge_user(edge));
  chaski_edge_set_user(edge, &live_mark);
  act(p);
}

static void on_closed(struct peer *p, chaski_edge *edge, int reason) {
  CHECK(chaski_edge_user(edge) == (chaski_edge_was_live(edge) ? &live_mark : NULL));
  CHECK(reason < 0 && reason == chaski_edge_reason(edge) && !chaski_edge_live(edge));
  chaski_edge_set_user(edge, &ended_mark);
  act(p);
}

static void tighten(chaski_node_options *o) {
  o->limits.data_max = 64 * CHASKI_KIB;
  o->limits.queue_low = 4 * CHASKI_KIB;
  o->limits.queue_high = 16 * CHASKI_KIB;
  o->limits.queue_hard = 128 * CHASKI_KIB;
  o->limits.queue_stall = 3 * SECOND;
  o->overflow = (enum chaski_overflow)dice(3);
}

/* Every other life is on another address, so that the old one may be cut off from those who still know it. */
static void place(size_t i) {
  snprintf(at(i)->ip, sizeof at(i)->ip, "10.0.%u.%zu", births[i] % 2, i + 1);
}

static void begin_life(size_t i) {
  struct peer *p = at(i);
  char id[16];
  const char *why;
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 0;                                /* sessions: session_test */
  snprintf(id, sizeof id, "id-%zu", (i * 5 + 3) % NODES_MAX); /* not in the order of dialling */
  o.id = id;
  o.name = id;
  o.ip = p->ip;
  o.port = 9000;
  o.propagation = dice(3) > 0;
  if (dice(3) == 0) tighten(&o);
  *p = (struct peer){.on_message = on_message, .on_live = on_live, .on_closed = on_closed};
  place(i);
  assert_int_equal(chaski_node_new(rig->loop, &o, &rig_events, p, &p->node, &why), CHASKI_OK);
  for (uint32_t t = 0; t < 3; t++) {
    char topic[4];
    snprintf(topic, sizeof topic, "t%u", t);
    if (dice(2)) rig_subscribe(p, topic);
  }
  rig_subscribe(p, "final");
  chaski_node_run(p->node);
}

/* --- what happens to them ----------------------------------------------------------------------------------- */
static void set_paths(void) {
  chaski_sim_link link = {
      .delay_ns = 1 + dice(30) * MS, .jitter_ns = dice(20) * MS, .chunk_max = dice(3) ? 0 : dice(500)};
  if (dice(3) == 0) link.window = 4000;
  chaski_sim_set_link(rig->sim, NULL, NULL, &link);
}

/* Reading stops for a while; the edge may end or change its link meanwhile. */
static void pause_some(size_t i) {
  size_t n = at(i)->node ? chaski_node_edge_count(at(i)->node) : 0;
  chaski_edge *edge = n ? chaski_node_edge_at(at(i)->node, dice((uint32_t)n)) : NULL;
  if (!edge) return;
  chaski_edge_hold(edge);
  chaski_edge_pause(edge);
  dial((i + 1) % nodes, i);
  rig_pass(dice(20) * SECOND);
  chaski_edge_resume(edge);
  chaski_edge_release(edge);
}

static void fault(void) {
  size_t i = dice((uint32_t)nodes), j = dice((uint32_t)nodes);
  chaski_stream *s = some_stream(rig->sim);
  switch (dice(18)) {
  case 0:
    if (s) chaski_sim_cut(rig->sim, s);
    break;
  case 1:
  case 2:
    if (s) chaski_sim_cut_after(rig->sim, s, dice(2000));
    break;
  case 3:
    chaski_sim_stall(rig->sim, at(i)->ip, dice(2));
    break;
  case 4:
    if (i != j) chaski_sim_blackhole(rig->sim, at(i)->ip, at(j)->ip, dice(2));
    break;
  case 5:
    end_life(i);
    break;
  case 6:
    close_some(i);
    break;
  case 7:
    if (at(i)->node) chaski_node_stop(at(i)->node, dice(3) * SECOND);
    break;
  case 8:
    set_paths();
    break;
  case 9:
    rig_pass(dice(30) * SECOND);
    break;
  case 10:
  case 11:
    dial(i, j);
    dial(j, i);
    dial(i, j);
    break;
  case 12:
    pause_some(i);
    break;
  case 13:
    for (int n = 0; n < 30 && sent_count < MESSAGES_MAX - 64; n++) publish(i);
    break;
  default:
    dial(i, j);
  }
}

static void revive(void) {
  for (size_t i = 0; i < nodes; i++) {
    if (!at(i)->node && (quiet || dice(3) == 0)) begin_life(i);
    if (at(i)->node && !chaski_node_running(at(i)->node)) chaski_node_run(at(i)->node);
  }
}

/* At most one live edge a peer; the list holds live ones only. */
static void check_lists(void) {
  for (size_t i = 0; i < nodes; i++) {
    size_t n = at(i)->node ? chaski_node_edge_count(at(i)->node) : 0;
    for (size_t e = 0; e < n; e++) {
      chaski_edge *edge = chaski_node_edge_at(at(i)->node, e);
      CHECK(chaski_edge_live(edge) && chaski_edge_user(edge) == &live_mark);
      for (size_t other = 0; other < e; other++)
        CHECK(strcmp(chaski_edge_id(edge), chaski_edge_id(chaski_node_edge_at(at(i)->node, other))) != 0);
    }
  }
}

static void cut_no_more(void *arg, chaski_stream *s) {
  (void)arg;
  chaski_sim_cut_after(rig->sim, s, UINT64_MAX);
}

static void heal(void) {
  chaski_sim_link good = {.delay_ns = MS};
  quiet = true;
  for (size_t i = 0; i < 2 * nodes; i++) {
    char a[32], b[32];
    snprintf(a, sizeof a, "10.0.%zu.%zu", i % 2, i / 2 + 1);
    chaski_sim_stall(rig->sim, a, false);
    for (size_t j = 0; j < i; j++) {
      snprintf(b, sizeof b, "10.0.%zu.%zu", j % 2, j / 2 + 1);
      chaski_sim_blackhole(rig->sim, a, b, false);
    }
  }
  chaski_sim_set_link(rig->sim, NULL, NULL, &good);
  chaski_sim_streams(rig->sim, cut_no_more, NULL);
}

static bool meshed(void) {
  for (size_t i = 0; i < nodes; i++)
    if (!at(i)->node || chaski_node_edge_count(at(i)->node) != nodes - 1) return false;
  return true;
}

static chaski_edge *edge_between(size_t i, size_t j) {
  return chaski_node_get_edge_by_name(at(i)->node, chaski_node_name(at(j)->node));
}

/* Both ends stand on the same connection, and agree who dialled. */
static void check_agreement(void) {
  char host[CHASKI_HOST_MAX];
  uint16_t here, there;
  for (size_t i = 0; i < nodes; i++) {
    for (size_t j = 0; j < i; j++) {
      chaski_edge *a = edge_between(i, j), *b = edge_between(j, i);
      CHECK(a && b);
      CHECK(chaski_edge_local_address(a, host, &here) == CHASKI_OK);
      CHECK(chaski_edge_remote_address(b, host, &there) == CHASKI_OK);
      CHECK(here == there);
      CHECK(chaski_edge_dialled(a) != chaski_edge_dialled(b));
    }
  }
}

static void settle_down(void) {
  heal();
  for (int round = 0; round < 60 && !meshed(); round++) {
    rig_pass(SECOND);
    revive();
    for (size_t i = 0; i < nodes; i++)
      for (size_t j = 0; j < nodes; j++) dial(i, j); /* both ways, at once */
  }
  rig_pass(10 * SECOND);
  CHECK(meshed());
  check_agreement();
  size_t closes = 0, later = 0;
  for (size_t i = 0; i < nodes; i++) closes += at(i)->closes;
  rig_pass(60 * SECOND);
  for (size_t i = 0; i < nodes; i++) later += at(i)->closes;
  CHECK(later == closes); /* and so it stays */
}

static void exchange(void) {
  size_t first = sent_count;
  for (size_t i = 0; i < nodes; i++) publish(i);
  CHECK(sent_count == first + nodes);
  rig_pass(5 * SECOND);
  for (size_t k = first; k < sent_count; k++)
    for (size_t i = 0; i < nodes; i++) CHECK(sent[k].seen[i] == (sent[k].from != i));
}

static void check_dials(void) {
  for (size_t k = 0; k < asked_count; k++) CHECK(asked[k].calls == 1 || asked[k].birth != births[asked[k].from]);
}

static void run_seed(void) {
  dice_state = seed * 2654435761U + 1;
  wild = seed & 1;
  quiet = false;
  sent_count = asked_count = 0;
  memset(births, 0, sizeof births);
  nodes = rig->count = 2 + dice(NODES_MAX - 1);
  set_paths();
  for (size_t i = 0; i < nodes; i++) place(i);
  for (size_t i = 0; i < nodes; i++) begin_life(i);
  for (int step = 0; step < STEPS; step++) {
    fault();
    for (uint32_t n = dice(4); n > 0 && sent_count < MESSAGES_MAX - 64; n--) publish(dice((uint32_t)nodes));
    rig_pass(dice(4) ? dice(50) * MS : dice(400) * MS);
    revive();
    check_lists();
  }
  settle_down();
  exchange();
  for (size_t i = 0; i < nodes && dice(2); i++) chaski_node_stop(at(i)->node, SECOND);
  rig_pass(3 * SECOND);
  check_dials();
}

static uint64_t number_of(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static void whatever_happens_the_mesh_comes_together_again(void **state) {
  uint64_t only = number_of("CHASKI_SEED", 0), last = only ? only : number_of("CHASKI_SEEDS", SEEDS);
  for (seed = only ? only : 1; seed <= last; seed++) {
    rig_setup(state);
    run_seed();
    int r = rig_teardown(state);
    CHECK(r == 0);
  }
}

static void close_it(void *ctx, int status, chaski_edge *edge, const char *detail) {
  rig_done(ctx, status, edge, detail);
  chaski_edge_close(edge, CHASKI_ECLOSED, false);
}

static void who_waits_for_an_edge_that_another_ends_is_told_so(void **state) {
  rig_setup(state);
  struct peer *a = rig_node("a"), *b = rig_node("b");
  struct dialled d1 = {0}, d2 = {0};
  chaski_address to = rig_address(b);
  chaski_sim_act_as(rig->sim, a->ip);
  assert_int_equal(chaski_node_connect(a->node, &to, 0, close_it, &d1, NULL), CHASKI_OK);
  assert_int_equal(chaski_node_connect(a->node, &to, 0, rig_done, &d2, NULL), CHASKI_OK);
  rig_run(rig_answered, &d2, SECOND);
  assert_int_equal(d1.status, CHASKI_OK);
  assert_int_equal(d2.status, CHASKI_ECLOSED);
  assert_null(d2.edge);
  assert_int_equal(d1.calls + d2.calls, 2);
  assert_int_equal(rig_teardown(state), 0);
}

/* --- memory runs out ---------------------------------------------------------------------------------------- */
static size_t allocations, failing, failing_until; /* the failing-th fails, and all up to failing_until */

static void *scarce(void *ptr, size_t size) {
  if (size == 0) {
    free(ptr);
    return NULL;
  }
  allocations++;
  return allocations >= failing && allocations <= failing_until ? NULL : realloc(ptr, size);
}

static bool both_stopped(void *arg) {
  (void)arg;
  return rig->peers[0].stops && rig->peers[1].stops;
}

static struct peer *scarce_node(const char *name, bool keep_alive) {
  struct peer *p = &rig->peers[rig->count++];
  chaski_node_options o;
  const char *why;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 0; /* sessions: session_test */
  snprintf(p->ip, sizeof p->ip, "10.0.0.%zu", rig->count);
  o.name = name;
  o.ip = p->ip;
  o.propagation = true;
  o.keep_alive = keep_alive;
  int r = chaski_node_new(rig->loop, &o, &rig_events, p, &p->node, &why);
  if (r == CHASKI_OK) r = chaski_node_run(p->node);
  assert_true(r == CHASKI_OK || r == CHASKI_ENOMEM);
  return p;
}

/* From a new node to a stopped one. */
static void a_life(bool keep_alive) {
  struct dialled d = {0}, e = {0};
  chaski_subscription *s = NULL, *wide = NULL;
  struct peer *a = scarce_node("a", keep_alive), *b = scarce_node("b", keep_alive);
  if (!a->node || !b->node) return;
  chaski_node_subscribe(b->node, chaski_slice_str("t"), b, &s);
  chaski_node_handle(b->node, chaski_slice_str("do"), b);
  bool dialled = rig_dial(a, b, &d) == CHASKI_OK, back = rig_dial(b, a, &e) == CHASKI_OK;
  rig_pass(SECOND);
  assert_int_equal(chaski_node_edge_count(a->node) <= 1 && chaski_node_edge_count(b->node) <= 1, true);
  if (chaski_node_running(b->node)) chaski_node_subscribe(b->node, chaski_slice_str("u"), b, &wide);
  uint8_t nil = 0xc0;
  for (uint8_t i = 0; i < 40; i++) rig_publish(a, "t", i);
  rig_publish(b, "x", 1);
  chaski_node_write(a->node, chaski_slice_str("do"), (chaski_slice){0}, chaski_slice_of(&nil, 1), NULL);
  if (chaski_node_edge_count(a->node)) chaski_edge_ping(chaski_node_edge_at(a->node, 0), 300, true, 0, NULL, NULL);
  rig_pass(16 * SECOND);
  assert_int_equal(d.calls, dialled);
  assert_int_equal(e.calls, back);
  assert_true(b->messages <= 40 && a->messages == 0);
  if (s) chaski_subscription_remove(s);
  if (wide) chaski_subscription_remove(wide);
  rig_pass(SECOND);
  chaski_node_stop(a->node, SECOND);
  chaski_node_stop(b->node, SECOND);
  rig_run(both_stopped, NULL, 10 * SECOND);
}

/* Returns whether an allocation failed. */
static bool life_with_failures(void **state, size_t nth, size_t how_many, bool keep_alive) {
  rig_setup(state);
  allocations = 0;
  failing = nth;
  failing_until = nth + how_many - 1;
  chaski_set_allocator(scarce);
  a_life(keep_alive);
  chaski_set_allocator(NULL);
  bool failed = allocations >= nth;
  if (rig_teardown(state)) fail_msg("allocation %zu, %zu times", nth, how_many);
  return failed;
}

static void any_allocation_may_fail(void **state) {
  for (size_t how_many = 1; how_many <= 9; how_many += 4)
    for (size_t n = 1; life_with_failures(state, n, how_many, how_many > 1); n++) {
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(who_waits_for_an_edge_that_another_ends_is_told_so),
      cmocka_unit_test(any_allocation_may_fail),
      cmocka_unit_test(whatever_happens_the_mesh_comes_together_again),
  };
  return cmocka_run_group_tests_name("chaos", tests, NULL, NULL);
}
