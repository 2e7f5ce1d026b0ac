/* overflow_test.c: what gives way when queues are full: by topic, the oldest first, whether the edge has a session or
 * not; and whose queue goes when all of them together are too much. SPDX-License-Identifier: MIT */
#include "queue_rig.h"

#include "../../src/core/uuid.h"

#define MESSAGES_MAX 1024

static size_t of_t, of_telemetry;
static uint64_t newest;
static bool known[MESSAGES_MAX]; /* it has come, or was reported as undelivered */
static size_t wrong;             /* both, or twice, or out of order: upcalls are no place to fail in */

static void know(uint64_t seq) {
  wrong += seq >= MESSAGES_MAX || known[seq];
  known[seq % MESSAGES_MAX] = true;
}

static void count_topics(struct peer *p, chaski_edge *edge, const chaski_message *m) {
  (void)p, (void)edge;
  if (chaski_slice_equal(m->topic, chaski_slice_str("t")))
    of_t++;
  else
    of_telemetry++;
  know(m->seq);
  wrong += m->seq < newest;
  newest = m->seq;
}

static void note_undelivered(struct peer *p, const chaski_message *m) {
  uint64_t origin, seq = MESSAGES_MAX;
  wrong += !chaski_uuid_parse(m->uuid, &origin, &seq) || origin != chaski_node_origin(p->node);
  know(seq);
}

static int all_was_right(void **state) {
  int r = raw_teardown(state);
  if (wrong) print_error("%zu messages came and were reported, or came twice or out of order\n", wrong);
  return wrong ? -1 : r;
}

static int setup(void **state) {
  wrong = of_t = of_telemetry = 0;
  newest = 0;
  memset(known, 0, sizeof known);
  return raw_setup(state);
}

static uint64_t dropped_of(const struct peer *p) {
  return chaski_node_counters(p->node)->queue_dropped;
}

static void publish_and_pass(struct peer *a, const char *topic, size_t times) {
  for (size_t n = 0; n < times; n++) {
    assert_int_equal(publish_to(a, topic, PIECE), CHASKI_OK);
    ledger_balances(a);
    rig_pass(2 * MS);
    ledger_balances(a);
  }
}

/* --- the oldest --------------------------------------------------------------------------------------------- */
static void drop_old_keeps_the_newest_and_tells_of_each_that_went(void **state) {
  (void)state;
  narrow();
  chaski_edge *e;
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DROP_OLD), *slow = reader("slow", a, &e);
  struct peer *quick = reader("quick", a, NULL);
  slow->on_message = count_topics;
  a->on_undelivered = note_undelivered;
  chaski_sim_stall(rig->sim, slow->ip, true);
  publish_and_pass(a, "t", 400);
  assert_true(chaski_edge_queued(e) <= HARD + 8192); /* and what the transport has */
  assert_in_range(dropped_of(a), 400 - HARD / PIECE, 300);
  assert_int_equal(chaski_node_counters(a->node)->dropped, 0);
  chaski_sim_stall(rig->sim, slow->ip, false);
  rig_pass(2 * SECOND);
  assert_int_equal(slow->messages, 400 - dropped_of(a));
  assert_int_equal(newest, 399);
  assert_int_equal(quick->messages, 400);
  assert_int_equal(a->undelivered, dropped_of(a));
  assert_int_equal(a->undelivered_reason, CHASKI_EFULL);
  assert_int_equal(a->closes, 0);
  assert_true(chaski_node_limit_hits(a->node)->queue_hard > 0);
  ledger_balances(a);
  assert_int_equal(chaski_node_in_flight(a->node), 0);
}

static void messages_of_other_topics_stay(void **state) {
  (void)state;
  narrow();
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DISCONNECT), *slow = reader("slow", a, NULL);
  struct peer *quick = reader("quick", a, NULL);
  rig_subscribe(slow, "telemetry");
  rig_subscribe(quick, "telemetry");
  rig_pass(SECOND);
  slow->on_message = count_topics;
  assert_int_equal(chaski_node_set_overflow(a->node, chaski_slice_str("telemetry"), CHASKI_OVERFLOW_DROP_OLD), 0);
  chaski_sim_stall(rig->sim, slow->ip, true);
  for (size_t n = 0; n < 100; n++) {
    publish_and_pass(a, "telemetry", 3);
    publish_and_pass(a, "t", 1);
  }
  uint64_t old = dropped_of(a);
  assert_true(old > 0);
  publish_and_pass(a, "t", 50); /* makes room for itself */
  assert_true(dropped_of(a) > old);
  chaski_sim_stall(rig->sim, slow->ip, false);
  rig_pass(2 * SECOND);
  assert_int_equal(of_t, 150);
  assert_int_equal(of_telemetry, 300 - dropped_of(a));
  assert_int_equal(a->closes, 0);
}

static void when_none_is_left_that_may_go_the_topics_own_rule_holds(void **state) {
  (void)state;
  narrow();
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DISCONNECT), *slow = reader("slow", a, NULL);
  reader("quick", a, NULL);
  assert_int_equal(chaski_node_set_overflow(a->node, chaski_slice_str("telemetry"), CHASKI_OVERFLOW_DROP_OLD), 0);
  chaski_sim_stall(rig->sim, slow->ip, true);
  for (size_t n = 0; !a->closes; n++) {
    publish_and_pass(a, "t", 1);
    assert_true(n < 400);
  }
  assert_int_equal(a->reason, CHASKI_ESLOW);
  assert_int_equal(dropped_of(a), 0);
}

/* Dropping is no progress. */
static void who_takes_nothing_for_too_long_is_cut_off_all_the_same(void **state) {
  (void)state;
  narrow();
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DROP_OLD), *slow = reader("slow", a, NULL);
  reader("quick", a, NULL);
  chaski_sim_stall(rig->sim, slow->ip, true);
  publish_and_pass(a, "t", 300);
  assert_true(dropped_of(a) > 0);
  uint64_t from = chaski_sim_now(rig->sim);
  while (!a->closes) {
    publish_and_pass(a, "t", 1);
    rig_pass(100 * MS);
    assert_true(chaski_sim_now(rig->sim) < from + 11 * SECOND);
  }
  assert_int_equal(a->reason, CHASKI_ESLOW);
  assert_int_equal(chaski_node_limit_hits(a->node)->queue_stall, 1);
  ledger_balances(a);
}

static void commands_are_never_dropped_for_newer_ones(void **state) {
  (void)state;
  narrow();
  chaski_edge *e;
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DROP_OLD), *slow = reader("slow", a, &e);
  chaski_sim_stall(rig->sim, slow->ip, true);
  static uint8_t data[100 * 1024] = {0xc6, 0, 1, 0x8f, 0xfb};
  chaski_slice none = {0}, all = chaski_slice_of(data, sizeof data);
  assert_int_equal(chaski_node_write(a->node, chaski_slice_str("x"), none, all, e), CHASKI_OK);
  assert_int_equal(chaski_node_write(a->node, chaski_slice_str("x"), none, all, e), CHASKI_OK);
  assert_int_equal(chaski_node_write(a->node, chaski_slice_str("x"), none, all, e), CHASKI_EFULL);
  assert_int_equal(dropped_of(a), 0);
  ledger_balances(a);
}

static void a_relay_drops_the_oldest_of_such_topics_too(void **state) {
  (void)state;
  narrow();
  chaski_node_options o = tight();
  o.propagation = true;
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DISCONNECT), *relay = rig_node_with("relay", &o);
  assert_int_equal(chaski_node_set_overflow(relay->node, chaski_slice_str("t"), CHASKI_OVERFLOW_DROP_OLD), CHASKI_OK);
  struct peer *slow = reader("slow", relay, NULL);
  rig_connect(a, relay);
  rig_pass(SECOND);
  slow->on_message = count_topics;
  chaski_sim_stall(rig->sim, slow->ip, true);
  publish_and_pass(a, "t", 400);
  ledger_balances(relay);
  assert_true(dropped_of(relay) > 0);
  chaski_sim_stall(rig->sim, slow->ip, false);
  rig_pass(2 * SECOND);
  assert_int_equal(newest, 399);
  assert_int_equal(slow->messages, 400 - dropped_of(relay));
}

/* --- with a session ----------------------------------------------------------------------------------------- */
static struct peer *sessioned(const char *name, const char *topic) {
  chaski_node_options o = tight();
  o.limits.resume_timeout = 60 * SECOND;
  o.overflow = CHASKI_OVERFLOW_DROP_OLD;
  struct peer *p = rig_node_with(name, &o);
  rig_subscribe(p, topic);
  return p;
}

struct three {
  struct peer *a, *slow, *quick;
  chaski_edge *to_slow, *of_slow;
};

/* slow does not read, but sends: what a acknowledges is queued between what it publishes. */
static struct three a_slow_and_a_quick_one(void) {
  struct three w = {.a = sessioned("a", "u"), .slow = sessioned("slow", "t"), .quick = sessioned("quick", "t")};
  narrow();
  w.to_slow = rig_connect(w.a, w.slow);
  rig_connect(w.a, w.quick);
  rig_pass(SECOND);
  w.slow->on_message = count_topics;
  w.a->on_undelivered = note_undelivered;
  w.of_slow = chaski_node_edge_at(w.slow->node, 0);
  chaski_edge_pause(w.of_slow);
  return w;
}

static void both_publish(struct three *w, size_t times) {
  for (size_t n = 0; n < times; n++) {
    publish_and_pass(w->a, "t", 1);
    assert_int_equal(publish_to(w->slow, "u", 20), CHASKI_OK);
    ledger_balances(w->slow);
    rig_pass(8 * MS);
  }
}

static void all_has_come(const struct three *w, size_t times) {
  assert_int_equal(wrong, 0);
  for (size_t seq = 0; seq < times; seq++) assert_true(known[seq]);
  assert_true(dropped_of(w->a) > 0);
  assert_int_equal(w->slow->messages, times - dropped_of(w->a));
  assert_int_equal(newest, times - 1);
  assert_int_equal(w->quick->messages, times);
  assert_int_equal(w->a->messages, times);
  assert_int_equal(w->a->undelivered, dropped_of(w->a));
  assert_int_equal(w->a->closes + w->slow->closes, 0);
  ledger_balances(w->a);
  assert_int_equal(chaski_node_in_flight(w->a->node), 0);
  assert_int_equal(chaski_node_counters(w->a->node)->lost, 0);
}

static void a_sessions_counts_stay_right_when_the_oldest_go(void **state) {
  (void)state;
  struct three w = a_slow_and_a_quick_one();
  both_publish(&w, 600);
  chaski_edge_resume(w.of_slow);
  rig_pass(5 * SECOND);
  all_has_come(&w, 600);
}

static void cut_one(void *arg, chaski_stream *stream) {
  (void)arg;
  chaski_sim_cut(rig->sim, stream);
}

static void what_may_have_reached_the_peer_stays_while_the_edge_is_suspended(void **state) {
  (void)state;
  struct three w = a_slow_and_a_quick_one();
  both_publish(&w, 300);
  uint64_t before = dropped_of(w.a);
  chaski_session_info s;
  assert_true(chaski_edge_session(w.to_slow, &s));
  chaski_edge_resume(w.of_slow); /* it reads some, and has no time to say so */
  rig_pass(4 * MS);
  chaski_sim_streams(rig->sim, cut_one, NULL);
  assert_true(w.slow->messages > 4);
  rig_pass(100 * MS);
  assert_true(chaski_edge_suspended(w.to_slow));
  uint64_t acknowledged = s.acknowledged;
  assert_true(chaski_edge_session(w.to_slow, &s) && s.acknowledged == acknowledged);
  rig_connect(w.a, w.quick);
  for (size_t n = 0; n < 300; n++) {
    publish_and_pass(w.a, "t", 1);
    assert_int_equal(publish_to(w.slow, "u", 20), CHASKI_OK);
  }
  assert_true(dropped_of(w.a) > before);
  assert_ptr_equal(rig_connect(w.a, w.slow), w.to_slow);
  rig_pass(5 * SECOND);
  all_has_come(&w, 600);
}

/* All of it has been handed over: nothing may go, and the new one does. */
static void what_was_sent_and_not_acknowledged_is_not_dropped(void **state) {
  (void)state;
  chaski_session_info s;
  struct peer *a = sessioned("a", "u"), *slow = sessioned("slow", "t");
  chaski_edge *e = rig_connect(a, slow);
  rig_pass(SECOND);
  chaski_sim_blackhole(rig->sim, a->ip, slow->ip, true);
  size_t n = 0;
  for (; !chaski_node_counters(a->node)->dropped; n++) {
    uint8_t data[PIECE] = {0xc5, (PIECE - 3) >> 8, (PIECE - 3) & 0xff};
    chaski_node_write(a->node, chaski_slice_str("hop"), (chaski_slice){0}, chaski_slice_of(data, sizeof data), e);
    rig_pass(MS);
    ledger_balances(a);
    assert_true(n < 1000);
  }
  assert_int_equal(dropped_of(a), 0);
  assert_true(chaski_edge_session(e, &s) && s.kept_frames == s.sent - s.acknowledged);
}

/* --- all queues together ------------------------------------------------------------------------------------ */
#define TOTAL (768 * CHASKI_KIB)

static void write_to(struct peer *a, chaski_edge *e, size_t times) {
  static uint8_t data[PIECE] = {0xc5, (PIECE - 3) >> 8, (PIECE - 3) & 0xff};
  for (size_t n = 0; n < times && chaski_edge_live(e); n++) {
    chaski_node_write(a->node, chaski_slice_str("x"), (chaski_slice){0}, chaski_slice_of(data, sizeof data), e);
    if (n % 8 == 0) rig_pass(MS);
    ledger_balances(a);
  }
}

static const chaski_edge *closed; /* the last one */

static void note_closed(struct peer *p, chaski_edge *edge, int reason) {
  (void)p;
  closed = edge;
  assert_int_equal(reason, CHASKI_ESLOW);
}

static void fill_until_one_is_closed(uint64_t resume_timeout, bool suspend) {
  chaski_edge *e[5];
  chaski_node_options o = tight();
  o.limits.resume_timeout = resume_timeout;
  struct peer *readers[5];
  for (size_t i = 0; i < 5; i++) readers[i] = rig_node_with("reader", &o);
  o.limits.queue_total = TOTAL;
  struct peer *a = rig_node_with("a", &o);
  a->on_closed = note_closed;
  narrow();
  for (size_t i = 0; i < 5; i++) e[i] = rig_connect(a, readers[i]);
  rig_pass(SECOND);
  for (size_t i = 0; i < 5; i++) chaski_sim_stall(rig->sim, readers[i]->ip, true);
  if (suspend) chaski_sim_streams(rig->sim, cut_one, NULL);
  rig_pass(MS);
  for (size_t i = 0; i < 4; i++) write_to(a, e[i], i == 2 ? 200 : 120);
  assert_int_equal(a->closes, 0);
  for (size_t n = 0; !a->closes; n++) {
    write_to(a, e[4], 1);
    assert_true(n < 199);
  }
  assert_int_equal(a->closes, 1);
  assert_int_equal(chaski_node_limit_hits(a->node)->queue_total, 1);
  assert_ptr_equal(closed, e[2]);
  write_to(a, e[4], 20); /* there is room again */
  rig_pass(MS);
  assert_int_equal(a->closes, 1);
  assert_true(a->undelivered > 100);
  ledger_balances(a);
}

static void above_queue_total_the_largest_queue_is_closed(void **state) {
  (void)state;
  fill_until_one_is_closed(0, false);
}

static void what_is_kept_for_sessions_counts_too(void **state) {
  (void)state;
  fill_until_one_is_closed(60 * SECOND, false);
}

static void so_does_what_is_kept_for_suspended_edges(void **state) {
  (void)state;
  fill_until_one_is_closed(60 * SECOND, true);
}

/* All are a little behind, none is slow: the publisher waits, and no edge goes. */
static void when_all_are_behind_own_messages_wait_and_no_edge_goes(void **state) {
  (void)state;
  enum { READERS = 24, ROUNDS = 400 };
  static uint8_t data[PIECE] = {0xc5, (PIECE - 3) >> 8, (PIECE - 3) & 0xff};
  chaski_node_options o = tight();
  o.limits.queue_total = TOTAL; /* less than half of all high marks */
  struct peer *a = rig_node_with("a", &o), *readers[READERS];
  chaski_edge *e[READERS];
  narrow();
  for (size_t i = 0; i < READERS; i++) readers[i] = reader("reader", a, &e[i]);
  size_t waits = 0;
  for (size_t n = 0; n < ROUNDS * READERS; n++) { /* in turn, so that no two frames of an edge are neighbours */
    chaski_slice all = chaski_slice_of(data, sizeof data), topic = chaski_slice_str("t");
    while (chaski_node_publish(a->node, topic, all, e[n % READERS], 0, NULL) == CHASKI_EFULL) {
      a->drains = 0;
      waits++;
      rig_run(got_drain, a, 10 * SECOND);
    }
  }
  rig_pass(60 * SECOND);
  assert_true(waits > 0);
  assert_int_equal(a->closes, 0);
  assert_int_equal(chaski_node_limit_hits(a->node)->queue_total, 0);
  for (size_t i = 0; i < READERS; i++) assert_int_equal(readers[i]->messages, ROUNDS);
  ledger_balances(a);
}

/* It is refused for its size, and costs nobody anything. */
static void what_is_too_large_to_be_sent_makes_nobody_go(void **state) {
  (void)state;
  chaski_node_options o = tight();
  o.limits.queue_total = HARD;
  struct peer *a = rig_node_with("a", &o), *b = reader("b", a, NULL);
  narrow();
  chaski_sim_stall(rig->sim, b->ip, true);
  assert_int_equal(publish_bytes(a, PIECE), CHASKI_OK);
  assert_int_equal(publish_bytes(a, 250 * 1024), CHASKI_ETOOBIG);
  rig_pass(SECOND);
  assert_int_equal(a->closes, 0);
  assert_int_equal(chaski_node_limit_hits(a->node)->queue_total, 0);
}

/* The same bytes in many queues are held once. */
static void a_broadcast_counts_once(void **state) {
  (void)state;
  chaski_node_options o = tight();
  o.limits.queue_total = TOTAL;
  struct peer *a = rig_node_with("a", &o), *readers[8];
  for (size_t i = 0; i < 8; i++) readers[i] = reader("reader", a, NULL);
  narrow();
  for (size_t i = 0; i < 8; i++) chaski_sim_stall(rig->sim, readers[i]->ip, true);
  static uint8_t data[40 * 1024] = {0xc5, (sizeof data - 3) >> 8, (sizeof data - 3) & 0xff};
  chaski_slice none = {0}, all = chaski_slice_of(data, sizeof data);
  for (size_t i = 0; i < 6; i++)
    assert_int_equal(chaski_node_write(a->node, chaski_slice_str("x"), none, all, NULL), 0);
  rig_pass(MS);
  assert_int_equal(a->closes, 0); /* 8 queues of 240 KiB */
  assert_int_equal(chaski_node_limit_hits(a->node)->queue_total, 0);
}

/* What comes in one turn is not taken on any more; when the turn ends the queue goes. */
static void a_relay_takes_nothing_more_while_they_are_over(void **state) {
  (void)state;
  chaski_node_options o = tight();
  o.propagation = true;
  o.limits.queue_total = HARD;
  struct peer *relay = rig_node_with("relay", &o), *slow = reader("slow", relay, NULL);
  struct raw *source = raw_join("10.1.0.1", relay);
  chaski_sim_stall(rig->sim, slow->ip, true);
  static uint8_t data[20 * 1024] = {0xc5, (sizeof data - 3) >> 8, (sizeof data - 3) & 0xff};
  source->closing = true; /* all of it at once */
  for (size_t i = 0; i < 30; i++)
    raw_envelope(source, "t", "t", "ChaskiMessage", chaski_slice_of(data, sizeof data), raw_uuid(), 9, false);
  source->closing = false;
  raw_flush(source);
  rig_pass(SECOND);
  assert_int_equal(relay->closes, 1);
  assert_int_equal(relay->reason, CHASKI_ESLOW);
  uint64_t refused = chaski_node_counters(relay->node)->dropped;
  assert_true(refused > 0);
  assert_int_equal(chaski_node_limit_hits(relay->node)->queue_total, refused + 1);
  assert_int_equal(chaski_node_edge_count(relay->node), 1); /* the source's */
  ledger_balances(relay);
}

static void a_node_that_is_gone_bounds_nobody(void **state) {
  (void)state;
  chaski_node_options o = tight();
  o.limits.queue_total = HARD;
  struct peer *small = rig_node_with("small", &o);
  chaski_edge *e;
  narrow();
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DROP_NEW), *b = reader("b", a, &e);
  chaski_node_destroy(&small->node);
  chaski_sim_stall(rig->sim, b->ip, true);
  write_to(a, e, 300);
  rig_pass(MS);
  assert_int_equal(a->closes, 0);
  assert_true(chaski_node_counters(a->node)->dropped > 0);
}

/* --- waiting ------------------------------------------------------------------------------------------------ */
static void add_edge(chaski_edge *edge, void *ctx) {
  chaski_edge **next = ctx;
  while (*next) next++;
  *next = edge;
}

static void only_topics_that_block_wait_for_the_slowest(void **state) {
  (void)state;
  narrow();
  chaski_edge *e, *full[3] = {NULL};
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DISCONNECT), *slow = reader("slow", a, &e);
  struct peer *quick = reader("quick", a, NULL);
  rig_subscribe(slow, "order");
  rig_subscribe(quick, "order");
  rig_pass(SECOND);
  assert_int_equal(chaski_node_set_overflow(a->node, chaski_slice_str("order"), CHASKI_OVERFLOW_BLOCK), CHASKI_OK);
  chaski_sim_stall(rig->sim, slow->ip, true);
  publish_and_pass(a, "t", 100);
  assert_int_equal(publish_to(a, "order", PIECE), CHASKI_EFULL);
  chaski_node_full_edges(a->node, chaski_slice_str("order"), NULL, add_edge, full);
  assert_ptr_equal(full[0], e);
  assert_null(full[1]);
  publish_and_pass(a, "t", 1);
  chaski_sim_stall(rig->sim, slow->ip, false);
  rig_run(got_drain, a, SECOND);
  assert_int_equal(publish_to(a, "order", PIECE), CHASKI_OK);
}

static void a_rule_is_for_a_topic_that_there_can_be(void **state) {
  (void)state;
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DISCONNECT);
  char topic[300];
  memset(topic, 'x', sizeof topic);
  assert_int_equal(chaski_node_set_overflow(a->node, (chaski_slice){0}, CHASKI_OVERFLOW_BLOCK), CHASKI_EINVAL);
  chaski_slice name = chaski_slice_of(topic, sizeof topic);
  assert_int_equal(chaski_node_set_overflow(a->node, name, CHASKI_OVERFLOW_BLOCK), CHASKI_EINVAL);
  assert_int_equal(chaski_node_set_overflow(a->node, chaski_slice_str("t"), CHASKI_OVERFLOW_BLOCK), CHASKI_OK);
  assert_int_equal(chaski_node_set_overflow(a->node, chaski_slice_str("t"), CHASKI_OVERFLOW_DROP_NEW), CHASKI_OK);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, all_was_right)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(drop_old_keeps_the_newest_and_tells_of_each_that_went),
      TEST(messages_of_other_topics_stay),
      TEST(when_none_is_left_that_may_go_the_topics_own_rule_holds),
      TEST(who_takes_nothing_for_too_long_is_cut_off_all_the_same),
      TEST(commands_are_never_dropped_for_newer_ones),
      TEST(a_relay_drops_the_oldest_of_such_topics_too),
      TEST(a_sessions_counts_stay_right_when_the_oldest_go),
      TEST(what_may_have_reached_the_peer_stays_while_the_edge_is_suspended),
      TEST(what_was_sent_and_not_acknowledged_is_not_dropped),
      TEST(when_all_are_behind_own_messages_wait_and_no_edge_goes),
      TEST(above_queue_total_the_largest_queue_is_closed),
      TEST(what_is_kept_for_sessions_counts_too),
      TEST(so_does_what_is_kept_for_suspended_edges),
      TEST(what_is_too_large_to_be_sent_makes_nobody_go),
      TEST(a_broadcast_counts_once),
      TEST(a_relay_takes_nothing_more_while_they_are_over),
      TEST(a_node_that_is_gone_bounds_nobody),
      TEST(only_topics_that_block_wait_for_the_slowest),
      TEST(a_rule_is_for_a_topic_that_there_can_be),
  };
  return cmocka_run_group_tests_name("overflow", tests, NULL, NULL);
}
