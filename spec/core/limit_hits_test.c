/* limit_hits_test.c: that what peers send and are is held to the limits of the node, by default and as it was told, and
 * that each hit is counted where it belongs. Queues: queue_test, overflow_test. SPDX-License-Identifier: MIT */
#include "raw_rig.h"

static chaski_node_options options(void) {
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 0;
  return o;
}

static uint64_t all_hits(const struct peer *p) {
  const uint64_t *hits = (const uint64_t *)(const void *)chaski_node_limit_hits(p->node);
  uint64_t sum = 0;
  for (size_t i = 0; i < chaski_limit_count; i++) sum += hits[i];
  return sum;
}

#define HITS(peer, limit, n)                                                                                           \
  do {                                                                                                                 \
    assert_int_equal(chaski_node_limit_hits((peer)->node)->limit, n);                                                  \
    assert_int_equal(all_hits(peer), n); /* and no other */                                                            \
  } while (0)

/* The header alone says it. */
static void announce(struct raw *r, uint32_t topic, uint32_t data) {
  uint8_t header[CHASKI_FRAME_HEADER];
  chaski_frame_header(header, topic, data);
  raw_send(r, header, sizeof header);
  rig_pass(100 * MS);
}

static void a_frame_over_a_limit_is_counted_under_that(void **state) {
  (void)state;
  struct peer *topic = rig_node("a"), *data = rig_node("b"), *early = rig_node("c");
  announce(raw_join("10.1.0.1", topic), 256, 10);
  assert_int_equal(all_hits(topic), 0);
  announce(raw_join("10.1.0.2", topic), 257, 10);
  HITS(topic, topic_max, 1);
  announce(raw_join("10.1.0.3", data), 2, 8 * 1024 * 1024);
  assert_int_equal(all_hits(data), 0);
  announce(raw_join("10.1.0.4", data), 2, 8 * 1024 * 1024 + 1);
  HITS(data, data_max, 1);
  announce(raw_dial("10.1.0.5", early), 2, 16 * 1024 + 1);
  HITS(early, preauth_max, 1);
  assert_int_equal(early->reason, CHASKI_ETOOBIG);
}

static void so_it_is_with_limits_of_the_nodes_own(void **state) {
  (void)state;
  chaski_node_options o = options();
  o.limits.topic_max = 32;
  o.limits.data_max = 32 * CHASKI_KIB;
  o.limits.preauth_max = 2 * CHASKI_KIB;
  struct peer *topic = rig_node_with("a", &o), *data = rig_node_with("b", &o), *early = rig_node_with("c", &o);
  announce(raw_join("10.1.0.1", topic), 33, 10);
  HITS(topic, topic_max, 1);
  announce(raw_join("10.1.0.2", data), 2, 32 * 1024 + 1);
  HITS(data, data_max, 1);
  announce(raw_dial("10.1.0.3", early), 2, 2 * 1024 + 1);
  HITS(early, preauth_max, 1);
}

/* The peer has said in its handshake what it takes: a longer topic costs the publisher a word, and not the edge. */
static void a_topic_that_the_peer_would_not_take_is_not_sent_to_it(void **state) {
  (void)state;
  chaski_node_options o = options();
  o.propagation = true; /* it takes all topics */
  struct peer *a = rig_node("a"), *b, *c = rig_node("c");
  o.limits.topic_max = 32;
  b = rig_node_with("b", &o);
  rig_connect(a, b);
  char topic[] = "a-topic-of-forty-bytes-which-is-too-long";
  assert_int_equal(rig_publish(a, topic, 1), CHASKI_ETOOBIG);
  rig_pass(SECOND);
  assert_int_equal(a->undelivered, 1);
  assert_int_equal(a->undelivered_reason, CHASKI_ETOOBIG);
  rig_subscribe(c, topic);
  rig_connect(a, c);
  rig_pass(SECOND);
  assert_int_equal(rig_publish(a, topic, 2), CHASKI_OK); /* one takes it */
  rig_pass(SECOND);
  assert_int_equal(c->messages, 1);
  assert_int_equal(a->undelivered, 2);
  assert_int_equal(chaski_node_counters(a->node)->dropped, 2);
  assert_int_equal(a->closes + b->closes, 0);
  rig_subscribe(b, "a-topic-of-29-bytes-fits-well"); /* 29 and a head of 1 */
  rig_pass(SECOND);
  assert_int_equal(rig_publish(a, "a-topic-of-29-bytes-fits-well", 3), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(b->messages, 1);
  assert_int_equal(all_hits(b), 0);
}

static void hops_beyond_the_limit_are_cut(void **state) {
  (void)state;
  chaski_node_options o = options();
  struct peer *usual = rig_node("a"), *near;
  o.limits.ttl_max = 3;
  near = rig_node_with("b", &o);
  rig_subscribe(usual, "t");
  rig_subscribe(near, "t");
  struct raw *r = raw_join("10.1.0.1", usual), *s = raw_join("10.1.0.2", near);
  raw_message(r, "t", raw_uuid(), 64, 1);
  rig_pass(100 * MS);
  assert_int_equal(usual->last.ttl, 64);
  assert_int_equal(all_hits(usual), 0);
  raw_message(r, "t", raw_uuid(), 65, 1);
  rig_pass(100 * MS);
  assert_int_equal(usual->last.ttl, 64);
  HITS(usual, ttl_max, 1);
  raw_message(s, "t", raw_uuid(), 3, 1);
  raw_message(s, "t", raw_uuid(), 4, 1);
  rig_pass(100 * MS);
  assert_int_equal(near->last.ttl, 3);
  assert_int_equal(near->messages, 2);
  HITS(near, ttl_max, 1);
}

static struct raw *dial_as(const char *ip, uint16_t port, const struct peer *to) {
  struct raw *r = raw_new(ip);
  r->python = true;
  r->port = port; /* another node of the same machine */
  raw_dial_address(r, to->ip, chaski_node_port(to->node));
  raw_handshake(r, raw_uuid(), true, NULL, 0);
  rig_pass(SECOND);
  return r;
}

static void edges_accepted_from_one_address(uint64_t limit) {
  chaski_node_options o = options();
  if (limit)
    o.limits.edges_per_ip = limit;
  else
    limit = 16;
  struct peer *a = rig_node_with("a", &o);
  for (uint16_t i = 0; i < limit; i++) assert_true(dial_as("10.1.0.1", (uint16_t)(100 + i), a)->live);
  assert_int_equal(chaski_node_edge_count(a->node), limit);
  assert_int_equal(all_hits(a), 0);
  dial_as("10.1.0.1", 1000, a);
  assert_int_equal(chaski_node_edge_count(a->node), limit);
  assert_int_equal(a->reason, CHASKI_EEDGES);
  HITS(a, edges_per_ip, 1);
  dial_as("10.1.0.2", 1001, a); /* another one's are not counted */
  assert_int_equal(chaski_node_edge_count(a->node), limit + 1);
}

static void one_address_has_so_many_edges_and_no_more(void **state) {
  (void)state;
  edges_accepted_from_one_address(0);
  edges_accepted_from_one_address(2);
}

static size_t lines;

static void count_line(void *user, enum chaski_log_level level, const char *who, const char *line) {
  (void)user, (void)level, (void)who;
  if (strstr(line, "ended: ")) lines++;
}

static void the_log_tells_of_so_many_ends_a_second(void **state) {
  (void)state;
  for (uint64_t limit = 10; limit; limit = limit == 10 ? 3 : 0) {
    chaski_node_options o = options();
    o.limits.log_rate = limit;
    o.limits.pending_max = 1000;
    o.limits.pending_per_ip = 1000;
    struct peer *a = rig_node_with("a", &o);
    struct raw *r[15];
    for (size_t i = 0; i < 15; i++) r[i] = raw_dial("10.1.0.1", a);
    rig_pass(2 * SECOND);
    lines = 0;
    chaski_sim_log(rig->sim, CHASKI_LOG_WARN, count_line, NULL);
    uint8_t header[CHASKI_FRAME_HEADER];
    chaski_frame_header(header, 2, 1024 * 1024);
    for (size_t i = 0; i < 15; i++) raw_send(r[i], header, sizeof header);
    rig_pass(100 * MS);
    assert_int_equal(a->closes, 15);
    assert_int_equal(lines, limit);
    assert_int_equal(chaski_node_limit_hits(a->node)->log_rate, 15 - limit);
    chaski_sim_log(rig->sim, CHASKI_LOG_ERROR, count_line, NULL);
  }
}

static uint64_t answered(struct raw *r, size_t pings) {
  uint64_t before = r->got[RAW_PONG];
  for (size_t i = 0; i < pings; i++) raw_ping(r, "p", 0);
  rig_pass(100 * MS);
  return r->got[RAW_PONG] - before;
}

static void so_many_pings_a_second_are_answered(void **state) {
  (void)state;
  chaski_node_options o = options();
  o.limits.ping_rate = 10;
  struct peer *a = rig_node_with("a", &o);
  struct raw *eager = raw_join("10.1.0.1", a), *other = raw_join("10.1.0.2", a);
  assert_int_equal(answered(eager, 50), 20);
  HITS(a, ping_rate, 30);
  assert_int_equal(answered(other, 5), 5);
  assert_in_range(answered(eager, 5), 1, 2); /* one in 100 ms */
  rig_pass(10 * SECOND);
  assert_int_equal(answered(eager, 50), 20);
  assert_true(chaski_node_edge_count(a->node) == 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, raw_setup, raw_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_frame_over_a_limit_is_counted_under_that),
      TEST(so_it_is_with_limits_of_the_nodes_own),
      TEST(a_topic_that_the_peer_would_not_take_is_not_sent_to_it),
      TEST(hops_beyond_the_limit_are_cut),
      TEST(one_address_has_so_many_edges_and_no_more),
      TEST(the_log_tells_of_so_many_ends_a_second),
      TEST(so_many_pings_a_second_are_answered),
  };
  return cmocka_run_group_tests_name("limit hits", tests, NULL, NULL);
}
