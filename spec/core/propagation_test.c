/* propagation_test.c: messages find their way through meshes with and without cycles: each subscriber gets each once,
 * nobody gets its own, and a neighbour that is full holds up nobody else. SPDX-License-Identifier: MIT */
#include "raw_rig.h"

#define NODES_MAX 12
#define SENT_MAX 8192

static uint8_t seen[NODES_MAX][SENT_MAX]; /* how often a node got message k (k travels as the data) */
static size_t twice, own;

static size_t index_of(const struct peer *p) {
  return (size_t)(p - rig->peers);
}

/* data: uint16 head, publisher in the high 4 bits and number in the low 12 */
static void count_message(struct peer *p, chaski_edge *edge, const chaski_message *m) {
  (void)edge;
  if (m->data.len != 3) return;
  unsigned k = (unsigned)m->data.ptr[1] << 8 | m->data.ptr[2];
  if (k >> 9 == index_of(p)) own++;
  if (k < SENT_MAX && seen[index_of(p)][k]++) twice++;
}

static int publish_number(struct peer *p, unsigned number, uint8_t ttl) {
  unsigned k = (unsigned)index_of(p) << 9 | number;
  uint8_t data[3] = {0xcd, (uint8_t)(k >> 8), (uint8_t)k};
  return chaski_node_publish(p->node, chaski_slice_str("t"), chaski_slice_of(data, 3), NULL, ttl, NULL);
}

static int setup(void **state) {
  memset(seen, 0, sizeof seen);
  twice = own = 0;
  return raw_setup(state);
}

static struct peer *relay_with(const chaski_node_options *base, bool subscribes) {
  char name[32];
  snprintf(name, sizeof name, "n%zu", rig->count);
  chaski_node_options o = *base;
  o.propagation = true;
  struct peer *p = rig_node_with(name, &o);
  p->on_message = count_message;
  if (subscribes) rig_subscribe(p, "t");
  return p;
}

static struct peer *relay(bool subscribes) {
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 0; /* sessions: session_test */
  return relay_with(&o, subscribes);
}

static void relays(size_t n) {
  for (size_t i = 0; i < n; i++) relay(true);
}

static struct peer *at(size_t i) {
  return &rig->peers[i];
}

static bool drained(void *arg) {
  struct peer *p = arg;
  return p->drains > 0;
}

/* As fast as publish lets it: EFULL is waited for. */
static void publish_all(struct peer *p, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    int r;
    while ((r = publish_number(p, i, 0)) == CHASKI_EFULL) {
      p->drains = 0;
      rig_run(drained, p, 10 * SECOND);
    }
    assert_int_equal(r, CHASKI_OK);
  }
}

static void all_got_all(size_t n, size_t publishers, unsigned count) {
  for (size_t i = 0; i < n; i++)
    for (size_t from = 0; from < publishers; from++)
      for (unsigned k = 0; k < count; k++) assert_int_equal(seen[i][from << 9 | k], i != from);
  assert_int_equal(twice, 0);
  assert_int_equal(own, 0);
}

static void exchange(size_t n, unsigned count) {
  rig_pass(SECOND);
  for (size_t i = 0; i < n; i++) publish_all(at(i), count);
  rig_pass(10 * SECOND);
  all_got_all(n, n, count);
}

static void along_a_line_each_subscriber_gets_each_message_once(void **state) {
  (void)state;
  relays(6);
  for (size_t i = 0; i + 1 < 6; i++) rig_connect(at(i), at(i + 1));
  exchange(6, 100);
  for (size_t i = 0; i < 6; i++) assert_int_equal(chaski_node_counters(at(i)->node)->duplicates, 0);
}

static void around_a_ring_each_subscriber_gets_each_message_once(void **state) {
  (void)state;
  relays(3);
  for (size_t i = 0; i < 3; i++) rig_connect(at(i), at((i + 1) % 3));
  exchange(3, 500); /* the original goes round and round from 130 on */
  assert_true(chaski_node_counters(at(0)->node)->duplicates > 0);
}

static void in_a_full_mesh_each_subscriber_gets_each_message_once(void **state) {
  (void)state;
  relays(6);
  for (size_t i = 0; i < 6; i++)
    for (size_t j = i + 1; j < 6; j++) rig_connect(at(i), at(j));
  exchange(6, 300);
}

static uint32_t dice(uint32_t *seed) {
  *seed = *seed * 1664525U + 1013904223U;
  return *seed >> 8;
}

static void in_random_graphs_each_subscriber_gets_each_message_once(void **state) {
  for (uint32_t round = 0; round < 8; round++) {
    uint32_t seed = round * 7919 + 1;
    chaski_sim_link link = {.delay_ns = MS, .jitter_ns = 20 * MS, .chunk_max = 1 + dice(&seed) % 300};
    size_t n = 4 + dice(&seed) % (NODES_MAX - 4);
    chaski_sim_set_link(rig->sim, NULL, NULL, &link);
    relays(n);
    for (size_t i = 1; i < n; i++) rig_connect(at(i), at(dice(&seed) % i)); /* connected, */
    for (size_t extra = dice(&seed) % (2 * n); extra > 0; extra--) {        /* with cycles */
      size_t a = dice(&seed) % n, b = dice(&seed) % n;
      if (a != b) rig_connect(at(a), at(b));
    }
    exchange(n, 60);
    if (round == 7) return;
    assert_int_equal(raw_teardown(state), 0);
    assert_int_equal(setup(state), 0);
  }
}

/* Several publishers, marks so low that publish says EFULL all the time, relays included. */
static void publishers_that_go_as_fast_as_they_may_lose_nothing_over_one_hop(void **state) {
  (void)state;
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 0; /* sessions: session_test */
  o.limits.queue_low = 1000;
  o.limits.queue_high = 4000;
  chaski_sim_link narrow = {.delay_ns = MS, .window = 2000};
  chaski_sim_set_link(rig->sim, NULL, NULL, &narrow);
  for (size_t i = 0; i < 4; i++) relay_with(&o, true);
  for (size_t i = 0; i < 4; i++)
    for (size_t j = i + 1; j < 4; j++) rig_connect(at(i), at(j));
  rig_pass(SECOND);
  size_t full = 0;
  for (unsigned k = 0; k < 400; k++)
    for (size_t i = 0; i < 4; i++)
      while (publish_number(at(i), k, 0) == CHASKI_EFULL) {
        full++;
        at(i)->drains = 0;
        rig_run(drained, at(i), 10 * SECOND);
      }
  rig_pass(10 * SECOND);
  assert_true(full > 0);
  all_got_all(4, 4, 400);
}

static void without_propagation_messages_are_delivered_and_go_no_further(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b"), *c = rig_node("c");
  rig_subscribe(b, "t");
  rig_subscribe(c, "t");
  rig_connect(a, b);
  rig_connect(b, c);
  rig_pass(SECOND);
  assert_int_equal(rig_publish(a, "t", 1), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(b->messages, 1);
  assert_int_equal(c->messages, 0);
}

static void propagation_can_be_switched_while_running(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b"), *c = rig_node("c");
  rig_subscribe(c, "t");
  rig_connect(a, b);
  rig_connect(b, c);
  rig_pass(SECOND);
  assert_int_equal(rig_publish(a, "t", 1), CHASKI_OK); /* nobody wants it: b neither subscribes nor passes on */
  assert_int_equal(chaski_node_counters(a->node)->no_interest, 1);
  chaski_node_set_propagation(b->node, true);
  rig_pass(SECOND);
  assert_int_equal(rig_publish(a, "t", 2), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(c->messages, 1);
  assert_int_equal(c->last.ttl, 63);
  chaski_node_set_propagation(b->node, false);
  rig_pass(SECOND);
  assert_int_equal(rig_publish(a, "t", 3), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(c->messages, 1);
}

static void a_node_that_does_not_subscribe_passes_on(void **state) {
  (void)state;
  struct peer *a = relay(false), *b = relay(false), *c = relay(true);
  rig_connect(a, b);
  rig_connect(b, c);
  rig_pass(SECOND);
  assert_int_equal(publish_number(a, 0, 0), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(b->messages, 0);
  assert_int_equal(c->messages, 1);
  assert_int_equal(chaski_node_counters(b->node)->relayed, 1);
}

static void a_ttl_of_n_reaches_n_hops(void **state) {
  (void)state;
  static const uint8_t ttls[] = {1, 2, 5};
  relays(6);
  for (size_t i = 0; i + 1 < 6; i++) rig_connect(at(i), at(i + 1));
  rig_pass(SECOND);
  for (unsigned t = 0; t < sizeof ttls; t++) {
    assert_int_equal(publish_number(at(0), t, ttls[t]), CHASKI_OK);
    rig_pass(SECOND);
    for (size_t i = 1; i < 6; i++) assert_int_equal(seen[i][t], i <= ttls[t]);
  }
  assert_int_equal(chaski_node_counters(at(1)->node)->expired, 1);
  assert_int_equal(chaski_node_counters(at(2)->node)->expired, 1);
  assert_int_equal(publish_number(at(0), 9, 64), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(at(1)->last.ttl, 64);
  assert_int_equal(at(5)->last.ttl, 60);
}

static void ttls_of_the_wire_are_clamped_and_zero_is_still_delivered(void **state) {
  (void)state;
  struct peer *a = relay(true), *b = relay(true);
  rig_connect(a, b);
  struct raw *r = raw_join("10.1.0.1", a);
  raw_message(r, "t", raw_uuid(), 0, 1);
  rig_pass(SECOND);
  assert_int_equal(a->messages, 1);
  assert_int_equal(b->messages, 0);
  raw_message(r, "t", raw_uuid(), 1000000, 1);
  rig_pass(SECOND);
  assert_int_equal(a->last.ttl, 64);
  assert_int_equal(b->last.ttl, 63);
  raw_message(r, "t", raw_uuid(), -1, 1); /* none: the original's default */
  rig_pass(SECOND);
  assert_int_equal(b->last.ttl, 63);
  assert_int_equal(b->messages, 2);
}

static bool contains(const uint8_t *bytes, size_t len, const char *text) {
  size_t n = strlen(text);
  for (size_t i = 0; i + n <= len; i++)
    if (memcmp(bytes + i, text, n) == 0) return true;
  return false;
}

static void a_relay_keeps_keys_it_does_not_know_and_ids_of_other_makers(void **state) {
  (void)state;
  struct peer *a = relay(false);
  struct raw *from = raw_join("10.1.0.1", a), *to = raw_join("10.1.0.2", a);
  static const int ttls[] = {7, 64, 200, 70000, -1};
  for (size_t i = 0; i < sizeof ttls / sizeof *ttls; i++) {
    const char *uuid = raw_uuid();
    uint8_t number = 5;
    raw_envelope(from, "t", "t", "ChaskiMessage", chaski_slice_of(&number, 1), uuid, ttls[i], true);
    rig_pass(SECOND);
    assert_int_equal(to->got[RAW_MESSAGE], i + 1);
    assert_true(contains(to->last_frame, to->last_len, "colour"));
    assert_true(contains(to->last_frame, to->last_len, "blue"));
    assert_true(contains(to->last_frame, to->last_len, uuid));
    assert_int_equal(to->last.ttl, ttls[i] == 7 ? 6 : 63);
    assert_int_equal(to->last.data.len, 1);
  }
  assert_int_equal(from->got[RAW_MESSAGE], 0);
}

static void a_foreign_id_is_delivered_once_however_many_bring_it(void **state) {
  (void)state;
  relays(3);
  for (size_t i = 0; i < 3; i++) rig_connect(at(i), at((i + 1) % 3));
  struct raw *r = raw_join("10.1.0.1", at(0)), *other = raw_join("10.1.0.2", at(1));
  const char *uuid = raw_uuid();
  raw_message(r, "t", uuid, 64, 1);
  raw_message(other, "t", uuid, 64, 1);
  rig_pass(SECOND);
  raw_message(r, "t", uuid, 64, 1);
  rig_pass(SECOND);
  for (size_t i = 0; i < 3; i++) assert_int_equal(at(i)->messages, 1);
}

static void a_message_without_an_id_is_delivered_and_never_passed_on(void **state) {
  (void)state;
  struct peer *a = relay(true), *b = relay(true);
  rig_connect(a, b);
  struct raw *r = raw_join("10.1.0.1", a);
  for (uint8_t i = 0; i < 3; i++) raw_message(r, "t", NULL, 64, i);
  rig_pass(SECOND);
  assert_int_equal(a->messages, 3); /* the original would take the later ones for seen */
  assert_int_equal(b->messages, 0);
  assert_int_equal(b->closes, 0);
}

static int send_command(struct peer *p, const char *command, chaski_edge *edge) {
  uint8_t nil = 0xc0;
  return chaski_node_write(p->node, chaski_slice_str(command), (chaski_slice){0}, chaski_slice_of(&nil, 1), edge);
}

static void a_command_travels_when_it_is_one_that_propagates(void **state) {
  (void)state;
  relays(3);
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(chaski_node_handle(at(i)->node, chaski_slice_str("news"), at(i)), CHASKI_OK);
    assert_int_equal(chaski_node_add_propagation_command(at(i)->node, chaski_slice_str("news")), CHASKI_OK);
    assert_int_equal(chaski_node_add_propagation_command(at(i)->node, chaski_slice_str("ping")), CHASKI_EINVAL);
  }
  chaski_edge *e = rig_connect(at(0), at(1));
  rig_connect(at(1), at(2));
  rig_connect(at(2), at(0));
  rig_pass(SECOND);
  assert_int_equal(send_command(at(0), "news", e), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(at(1)->commands, 1);
  assert_int_equal(at(2)->commands, 1);
  assert_int_equal(at(0)->commands, 0); /* it came back round the ring, and is known for its own */
  assert_int_equal(chaski_node_counters(at(0)->node)->own, 1);
  chaski_node_remove_propagation_command(at(1)->node, chaski_slice_str("news"));
  assert_int_equal(send_command(at(0), "news", e), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(at(1)->commands, 2);
  assert_int_equal(at(2)->commands, 1);
  chaski_node_remove_propagation_command(at(1)->node, chaski_slice_str("ChaskiMessage"));
  chaski_node_remove_propagation_command(at(2)->node, chaski_slice_str("ChaskiMessage"));
  uint8_t one = 1;
  assert_int_equal(chaski_node_publish(at(0)->node, chaski_slice_str("t"), chaski_slice_of(&one, 1), e, 0, NULL),
                   CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(at(1)->messages, 1);
  assert_int_equal(at(2)->messages, 0);
}

static void a_relay_drops_at_the_hard_mark_and_says_so(void **state) {
  (void)state;
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 0; /* sessions: session_test */
  o.limits.queue_stall = 3600 * SECOND;
  o.limits.lease = 3600 * SECOND;
  o.limits.data_max = 16 * CHASKI_KIB;
  o.limits.preauth_max = 4 * CHASKI_KIB;
  o.limits.queue_low = 1000;
  o.limits.queue_high = 16 * CHASKI_KIB;
  o.limits.queue_hard = 64 * CHASKI_KIB;
  struct peer *b = relay_with(&o, false), *a = relay(false), *slow = relay(true), *quick = relay(true);
  rig_connect(a, b);
  rig_connect(b, slow);
  rig_connect(b, quick);
  rig_pass(SECOND);
  chaski_sim_stall(rig->sim, slow->ip, true);
  static uint8_t data[4096 + 3] = {0xc5, 16, 0};
  for (unsigned i = 0; i < 200; i++) {
    assert_int_equal(
        chaski_node_publish(a->node, chaski_slice_str("t"), chaski_slice_of(data, sizeof data), NULL, 0, NULL),
        CHASKI_OK);
    rig_pass(5 * MS);
  }
  rig_pass(SECOND);
  assert_int_equal(quick->messages, 200); /* nobody else waits */
  const chaski_counters *c = chaski_node_counters(b->node);
  assert_true(c->dropped > 0);
  assert_int_equal(b->undelivered, c->dropped);
  assert_int_equal(b->undelivered_reason, CHASKI_EFULL);
  assert_int_equal(b->closes, 0); /* a relay never cuts its neighbour off for what others send */
  assert_int_equal(chaski_node_limit_hits(b->node)->queue_hard, c->dropped);
  chaski_sim_stall(rig->sim, slow->ip, false);
  rig_pass(SECOND);
  assert_int_equal(slow->messages, 200 - c->dropped);
}

static chaski_slice kept(struct raw *r) {
  return chaski_slice_of(r->last_frame, r->last_len);
}

static void write_data_sends_a_frame_to_the_edges_named_or_all_but_the_excluded(void **state) {
  (void)state;
  struct peer *a = relay(false), *b = rig_node("b"), *c = rig_node("c"), *d = rig_node("d");
  struct peer *others[] = {b, c, d};
  chaski_edge *edges[3];
  for (size_t i = 0; i < 3; i++) {
    rig_subscribe(others[i], "t");
    edges[i] = rig_connect(a, others[i]);
  }
  struct raw *source = raw_join("10.1.0.1", a), *sink = raw_join("10.1.0.2", a);
  raw_message(source, "t", raw_uuid(), 64, 1);
  rig_pass(SECOND); /* all have it; sink kept the frame, with a ttl of 63 */
  assert_int_equal(b->messages + c->messages + d->messages, 3);
  uint8_t one = 1;
  raw_message(source, "u", raw_uuid(), 64, one);
  rig_pass(SECOND);
  chaski_slice frame = kept(sink);
  assert_int_equal(chaski_node_write_data(a->node, frame, edges, 2, NULL, 0), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(chaski_node_counters(b->node)->unwanted + chaski_node_counters(c->node)->unwanted, 2);
  assert_int_equal(chaski_node_counters(d->node)->unwanted, 0);
  assert_int_equal(chaski_node_write_data(a->node, frame, NULL, 0, edges, 2), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(chaski_node_counters(b->node)->unwanted + chaski_node_counters(c->node)->unwanted, 2);
  assert_int_equal(chaski_node_counters(d->node)->unwanted, 1);
  assert_int_equal(chaski_node_write_data(a->node, frame, edges, 1, edges, 1), CHASKI_ENOEDGE);
  frame.len--;
  assert_int_equal(chaski_node_write_data(a->node, frame, NULL, 0, NULL, 0), CHASKI_EMALFORMED);
  assert_int_equal(chaski_node_write_data(a->node, chaski_slice_of(&one, 1), NULL, 0, NULL, 0), CHASKI_EMALFORMED);
}

static void what_write_data_sends_does_not_come_back(void **state) {
  (void)state;
  struct peer *maker = relay(false);
  struct raw *source = raw_join("10.1.0.1", maker), *sink = raw_join("10.1.0.2", maker);
  raw_message(source, "t", raw_uuid(), 64, 1);
  rig_pass(SECOND);
  relays(3);
  chaski_edge *e = rig_connect(at(1), at(2));
  rig_connect(at(2), at(3));
  rig_connect(at(3), at(1));
  rig_pass(SECOND);
  assert_int_equal(chaski_node_write_data(at(1)->node, kept(sink), &e, 1, NULL, 0), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(at(2)->messages, 1);
  assert_int_equal(at(3)->messages, 1);
  assert_int_equal(at(1)->messages, 0);
}

static bool change; /* what pass_it_on does with a message's data */

static void pass_it_on(struct peer *p, chaski_edge *edge, const chaski_message *m) {
  uint8_t other = 99;
  chaski_slice data = chaski_slice_of(&other, 1);
  assert_int_equal(chaski_node_propagate(p->node, m, edge, change ? &data : NULL),
                   m->ttl > 1 ? CHASKI_OK : CHASKI_EINVAL);
}

static void propagate_passes_a_message_on_by_hand(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b"), *c = rig_node("c");
  rig_subscribe(b, "t");
  rig_subscribe(c, "t");
  rig_connect(a, b);
  rig_connect(b, c);
  rig_pass(SECOND);
  b->on_message = pass_it_on;
  for (int i = 0; i < 2; i++) {
    change = i;
    assert_int_equal(rig_publish(a, "t", 7), CHASKI_OK);
    rig_pass(SECOND);
    assert_int_equal(c->messages, i + 1);
    assert_int_equal(c->data[0], change ? 99 : 7);
    assert_int_equal(c->last.ttl, 63);
    assert_true(c->last.origin == chaski_node_origin(a->node) && c->last.seq == b->last.seq);
  }
  uint8_t seven = 7;
  assert_int_equal(chaski_node_publish(a->node, chaski_slice_str("t"), chaski_slice_of(&seven, 1), NULL, 1, NULL),
                   CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(b->messages, 3);
  assert_int_equal(c->messages, 2);
  assert_int_equal(a->messages, 0);
}

static void a_flood_of_forged_ids_does_not_make_honest_messages_come_twice(void **state) {
  (void)state;
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 0; /* sessions: session_test */
  o.limits.messages_pool_maxsize = 64;
  for (size_t i = 0; i < 3; i++) relay_with(&o, true);
  for (size_t i = 0; i < 3; i++) rig_connect(at(i), at((i + 1) % 3));
  struct raw *flood = raw_join("10.1.0.1", at(0));
  for (unsigned k = 0; k < 50; k++) {
    assert_int_equal(publish_number(at(k % 3), k, 0), CHASKI_OK);
    for (int i = 0; i < 40; i++) {
      char forged[40];
      snprintf(forged, sizeof forged, "%08x-0000-8%03x-8000-%012x", k, (unsigned)i, (unsigned)i);
      raw_message(flood, "x", forged, 64, 1);
    }
    rig_pass(10 * MS);
  }
  rig_pass(SECOND);
  assert_int_equal(twice, 0);
  assert_int_equal(own, 0);
  for (size_t i = 0; i < 3; i++)
    for (unsigned k = 0; k < 50; k++) assert_int_equal(seen[i][k % 3 << 9 | k], i != k % 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, raw_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(along_a_line_each_subscriber_gets_each_message_once),
      TEST(around_a_ring_each_subscriber_gets_each_message_once),
      TEST(in_a_full_mesh_each_subscriber_gets_each_message_once),
      TEST(in_random_graphs_each_subscriber_gets_each_message_once),
      TEST(publishers_that_go_as_fast_as_they_may_lose_nothing_over_one_hop),
      TEST(without_propagation_messages_are_delivered_and_go_no_further),
      TEST(propagation_can_be_switched_while_running),
      TEST(a_node_that_does_not_subscribe_passes_on),
      TEST(a_ttl_of_n_reaches_n_hops),
      TEST(ttls_of_the_wire_are_clamped_and_zero_is_still_delivered),
      TEST(a_relay_keeps_keys_it_does_not_know_and_ids_of_other_makers),
      TEST(a_foreign_id_is_delivered_once_however_many_bring_it),
      TEST(a_message_without_an_id_is_delivered_and_never_passed_on),
      TEST(a_command_travels_when_it_is_one_that_propagates),
      TEST(a_relay_drops_at_the_hard_mark_and_says_so),
      TEST(write_data_sends_a_frame_to_the_edges_named_or_all_but_the_excluded),
      TEST(what_write_data_sends_does_not_come_back),
      TEST(propagate_passes_a_message_on_by_hand),
      TEST(a_flood_of_forged_ids_does_not_make_honest_messages_come_twice),
  };
  return cmocka_run_group_tests_name("propagation", tests, NULL, NULL);
}
