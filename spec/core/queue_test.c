/* queue_test.c: an edge's queue and its marks: who waits, who is dropped, who is cut off, and that one slow peer costs
 * nobody else anything, memory included. SPDX-License-Identifier: MIT */
#include "queue_rig.h"

#include "../../src/core/block.h"

/* A allocator that counts bytes. */
static size_t held, most_held;

static void *counting(void *ptr, size_t size) {
  size_t *block = ptr ? (size_t *)ptr - 2 : NULL;
  size_t before = block ? *block : 0;
  if (size == 0) {
    held -= before;
    free(block);
    return NULL;
  }
  block = realloc(block, size + 2 * sizeof *block);
  if (!block) return NULL;
  *block = size;
  held += size - before;
  if (held > most_held) most_held = held;
  return block + 2;
}

static int setup(void **state) {
  chaski_set_allocator(counting);
  return raw_setup(state);
}

static int teardown(void **state) {
  int r = raw_teardown(state);
  chaski_set_allocator(NULL);
  return r;
}

static size_t publish_until_full(struct peer *p) {
  size_t n = 0;
  while (publish_bytes(p, PIECE) == CHASKI_OK) n++;
  return n;
}

static bool got_pause(void *arg) {
  return ((struct peer *)arg)->pauses > 0;
}

static void publish_is_refused_above_the_high_mark_and_drained_follows(void **state) {
  (void)state;
  narrow();
  chaski_edge *e;
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DISCONNECT), *b = reader("b", a, &e);
  size_t n = publish_until_full(a);
  assert_int_equal(publish_bytes(a, PIECE), CHASKI_EFULL);
  assert_in_range(chaski_edge_queued(e), HIGH, HIGH + 2 * PIECE);
  assert_false(chaski_edge_writable(e));
  assert_int_equal(a->pauses + a->drains, 0); /* never from inside */
  rig_run(got_pause, a, SECOND);
  assert_int_equal(a->pauses, 1);
  rig_run(got_drain, a, SECOND);
  assert_true(chaski_edge_queued(e) <= LOW);
  assert_true(chaski_edge_writable(e));
  assert_int_equal(publish_bytes(a, PIECE), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(a->resumes, 1);
  assert_int_equal(b->messages, n + 1); /* what was refused was not sent */
  assert_int_equal(a->drains, 1);
  assert_true(chaski_node_limit_hits(a->node)->queue_high > 0);
}

static void publish_goes_on_while_one_target_is_below_the_high_mark(void **state) {
  (void)state;
  narrow();
  chaski_edge *slow_edge;
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DISCONNECT), *slow = reader("slow", a, &slow_edge);
  struct peer *quick = reader("quick", a, NULL);
  chaski_sim_stall(rig->sim, slow->ip, true);
  size_t n = 0;
  for (; n < 100; n++) {
    assert_int_equal(publish_bytes(a, PIECE), CHASKI_OK);
    rig_pass(10 * MS);
  }
  assert_false(chaski_edge_writable(slow_edge));
  assert_int_equal(quick->messages, n);
  assert_int_equal(a->closes, 0);
}

static void a_stalled_peer_is_closed_as_a_slow_consumer(void **state) {
  (void)state;
  for (int keep_alive = 0; keep_alive < 2; keep_alive++) {
    chaski_node_options o = tight();
    o.keep_alive = keep_alive;
    struct peer *a = rig_node_with("publisher", &o), *slow = reader("slow", a, NULL), *quick = reader("quick", a, NULL);
    narrow();
    rig_pass(60 * SECOND);
    chaski_sim_stall(rig->sim, slow->ip, true);
    uint64_t full_at = 0;
    size_t n = 0;
    for (; n < 12; n++) assert_int_equal(publish_bytes(a, PIECE), CHASKI_OK);
    rig_pass(10 * SECOND); /* below the high mark: that does not count as lack of progress */
    assert_int_equal(a->closes + a->pauses, 0);
    while (!a->closes) {
      if (!full_at && a->pauses) full_at = chaski_sim_now(rig->sim);
      assert_int_equal(publish_bytes(a, PIECE), CHASKI_OK);
      n++;
      rig_pass(a->pauses ? 500 * MS : 10 * MS);
      assert_true(n < 1000);
    }
    assert_int_equal(a->reason, CHASKI_ESLOW);
    assert_int_equal(a->closes, 1);
    uint64_t after = chaski_sim_now(rig->sim) - full_at;
    assert_in_range(after, 9 * SECOND, 11 * SECOND);
    rig_pass(SECOND);
    assert_int_equal(quick->messages, n);
    assert_int_equal(quick->closes, 0);
    assert_true(chaski_node_counters(a->node)->lost > HIGH / PIECE / 2);
    assert_int_equal(chaski_node_limit_hits(a->node)->queue_stall, 1);
    chaski_sim_stall(rig->sim, slow->ip, false);
    rig_pass(SECOND);
  }
}

/* The system has taken everything, pings too, and it is only the acknowledgements that do not come. */
static void pings_to_a_stalled_peer_are_no_progress(void **state) {
  (void)state;
  chaski_node_options o = tight();
  o.limits.resume_timeout = 600 * SECOND;
  o.limits.resume_frames = 32;
  o.limits.keep_alive_interval = 3 * SECOND;
  struct peer *a = rig_node_with("publisher", &o), *slow = rig_node_with("slow", &o);
  rig_subscribe(slow, "t");
  rig_connect(a, slow);
  rig_pass(SECOND);
  chaski_sim_stall(rig->sim, slow->ip, true);
  while (publish_bytes(a, PIECE) == CHASKI_OK) rig_pass(MS);
  assert_int_equal(a->pauses, 1);
  uint64_t full_at = chaski_sim_now(rig->sim);
  rig_run(rig_got_close, a, 20 * SECOND);
  assert_int_equal(a->reason, CHASKI_ESLOW);
  assert_in_range(chaski_sim_now(rig->sim) - full_at, 9 * SECOND, 11 * SECOND);
}

/* No other edge: the publisher itself waits, until the peer is given up. */
static void a_publisher_that_waits_for_one_stalled_peer_gets_its_drained(void **state) {
  (void)state;
  struct peer *a = publisher_with(CHASKI_OVERFLOW_BLOCK), *slow = reader("slow", a, NULL);
  chaski_sim_stall(rig->sim, slow->ip, true);
  size_t n = publish_until_full(a);
  rig_run(got_drain, a, 11 * SECOND);
  assert_int_equal(a->reason, CHASKI_ESLOW);
  assert_int_equal(publish_bytes(a, PIECE), CHASKI_ENOEDGE);
  assert_true(chaski_node_counters(a->node)->lost <= n);
}

static void at_the_hard_mark_disconnect_cuts_the_slow_one_off(void **state) {
  (void)state;
  narrow();
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DISCONNECT), *slow = reader("slow", a, NULL);
  struct peer *quick = reader("quick", a, NULL);
  chaski_sim_stall(rig->sim, slow->ip, true);
  size_t n = 0;
  while (!a->closes) {
    assert_int_equal(publish_bytes(a, PIECE), CHASKI_OK);
    n++;
    rig_pass(2 * MS);
    assert_true(n < 2 * HARD / PIECE);
  }
  assert_int_equal(a->reason, CHASKI_ESLOW);
  assert_string_equal(a->detail, "its queue is at the hard mark");
  assert_in_range(n, HARD / PIECE / 2, HARD / PIECE + 16);
  rig_pass(SECOND);
  assert_int_equal(quick->messages, n);
  uint64_t lost = chaski_node_counters(a->node)->lost;
  assert_true(lost > HARD / PIECE / 2);
  assert_in_range(a->undelivered, lost, lost + 1); /* and the one that was too much; what has gone in part is unknown */
}

static void at_the_hard_mark_drop_new_keeps_the_edge_and_says_what_is_lost(void **state) {
  (void)state;
  narrow();
  chaski_edge *e;
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DROP_NEW), *slow = reader("slow", a, &e);
  struct peer *quick = reader("quick", a, NULL);
  chaski_sim_stall(rig->sim, slow->ip, true);
  size_t n = 0;
  for (; n < 400; n++) {
    assert_int_equal(publish_bytes(a, PIECE), CHASKI_OK);
    rig_pass(2 * MS);
    assert_true(chaski_edge_queued(e) <= HARD);
  }
  size_t dropped = chaski_node_counters(a->node)->dropped;
  assert_true(dropped > 0);
  assert_int_equal(a->closes, 0);
  chaski_sim_stall(rig->sim, slow->ip, false);
  rig_pass(2 * SECOND);
  assert_int_equal(slow->messages, n - dropped);
  assert_int_equal(quick->messages, n);
  assert_int_equal(a->undelivered, dropped);
  assert_int_equal(a->undelivered_reason, CHASKI_EFULL);
}

static void block_makes_publish_wait_for_the_slowest(void **state) {
  (void)state;
  narrow();
  struct peer *a = publisher_with(CHASKI_OVERFLOW_BLOCK), *slow = reader("slow", a, NULL);
  struct peer *quick = reader("quick", a, NULL);
  chaski_sim_stall(rig->sim, slow->ip, true);
  size_t n = 0;
  while (publish_bytes(a, PIECE) == CHASKI_OK) {
    n++;
    rig_pass(2 * MS);
    assert_true(n < 200);
  }
  assert_int_equal(publish_bytes(a, PIECE), CHASKI_EFULL);
  assert_int_equal(quick->messages, n); /* everything accepted so far */
  chaski_sim_stall(rig->sim, slow->ip, false);
  rig_run(got_drain, a, SECOND);
  assert_int_equal(publish_bytes(a, PIECE), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(slow->messages, n + 1);
  assert_int_equal(quick->messages, n + 1);
}

static void a_command_above_the_hard_mark_overflows_too(void **state) {
  (void)state;
  narrow();
  chaski_edge *e;
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DISCONNECT), *slow = reader("slow", a, &e);
  chaski_sim_stall(rig->sim, slow->ip, true);
  static uint8_t data[100 * 1024] = {0xc6, 0, 1, 0x8f, 0xfb};
  chaski_slice none = {0}, all = chaski_slice_of(data, sizeof data);
  assert_int_equal(chaski_node_write(a->node, chaski_slice_str("x"), none, all, e), CHASKI_OK);
  assert_int_equal(chaski_node_write(a->node, chaski_slice_str("x"), none, all, e), CHASKI_OK);
  assert_int_equal(chaski_node_write(a->node, chaski_slice_str("x"), none, all, e), CHASKI_ESLOW);
  rig_run(rig_got_close, a, SECOND);
  assert_int_equal(a->reason, CHASKI_ESLOW);
}

static void an_edge_with_a_smaller_frame_max_is_skipped(void **state) {
  (void)state;
  chaski_node_options small = tight();
  small.limits.data_max = 16 * CHASKI_KIB;
  chaski_edge *e;
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DISCONNECT), *b = reader("b", a, NULL);
  struct peer *c = rig_node_with("c", &small);
  rig_subscribe(c, "t");
  e = rig_connect(a, c);
  rig_pass(SECOND);
  assert_int_equal(publish_bytes(a, 20 * 1024), CHASKI_OK);
  assert_int_equal(publish_bytes(a, 8 * 1024), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(b->messages, 2);
  assert_int_equal(c->messages, 1);
  assert_int_equal(a->undelivered, 1);
  assert_int_equal(a->undelivered_reason, CHASKI_ETOOBIG);
  assert_int_equal(c->closes, 0);
  static uint8_t data[20 * 1024] = {0xc5, 0x4f, 0xfd};
  assert_int_equal(chaski_node_publish(a->node, chaski_slice_str("t"), chaski_slice_of(data, sizeof data), e, 0, NULL),
                   CHASKI_ETOOBIG);
  assert_int_equal(publish_bytes(a, 128 * 1024), CHASKI_ETOOBIG);
}

static void topics_that_do_not_fit_the_peers_frame_max_do_not_cost_the_edge(void **state) {
  (void)state;
  chaski_node_options small = tight();
  small.limits.data_max = 16 * CHASKI_KIB;
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DISCONNECT), *b = rig_node_with("b", &small);
  for (int i = 0; i < 2000; i++) {
    char topic[32];
    snprintf(topic, sizeof topic, "a-topic-with-number-%d", i);
    rig_subscribe(a, topic);
  }
  rig_connect(a, b);
  rig_pass(10 * SECOND);
  assert_int_equal(chaski_node_edge_count(b->node), 1);
  assert_int_equal(b->closes, 0);
}

/* Frames of several publishers of one loop lie mixed in shared blocks; a stalled edge must not hold them all. */
static void a_stalled_edge_holds_no_more_memory_than_its_marks(void **state) {
  (void)state;
  static const size_t sizes[] = {10, 200, 5000, 20000};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    chaski_node_options o = tight();
    o.overflow = CHASKI_OVERFLOW_DROP_NEW;
    o.limits.queue_stall = 3600 * SECOND;
    o.limits.queue_hard = 4 * CHASKI_MIB;
    struct peer *makers[4], *slow = rig_node_with("slow", &o);
    rig_subscribe(slow, "t");
    chaski_edge *e = NULL;
    for (size_t i = 0; i < 4; i++) {
      makers[i] = rig_node_with("maker", &o);
      if (i == 0) e = rig_connect(makers[0], slow);
      reader("quick", makers[i], NULL);
    }
    rig_pass(SECOND);
    chaski_sim_stall(rig->sim, slow->ip, true);
    size_t before = held;
    most_held = 0;
    while (chaski_node_counters(makers[0]->node)->dropped == 0) {
      for (size_t i = 0; i < 4; i++) publish_bytes(makers[i], sizes[s]);
      rig_pass(3 * MS);
    }
    assert_true(chaski_edge_queued(e) > o.limits.queue_hard - sizes[s] - 200);
    size_t allowed = o.limits.queue_hard + o.limits.queue_hard / 2 + 4 * CHASKI_MIB; /* 32 shared spans, spare blocks */
    size_t spares = CHASKI_SPARE_BLOCKS * (size_t)CHASKI_BLOCK_SIZE;                 /* held before, and in use now */
    assert_in_range(most_held - before, o.limits.queue_hard - spares, allowed);
    chaski_sim_stall(rig->sim, slow->ip, false);
    rig_pass(5 * SECOND);
    assert_int_equal(chaski_edge_queued(e), 0);
    assert_true(held < before + 2 * CHASKI_MIB);
    for (size_t i = 0; i < rig->count; i++) chaski_node_destroy(&rig->peers[i].node);
    rig_pass(SECOND);
    rig->count = 0;
    memset(rig->peers, 0, sizeof rig->peers);
  }
}

/* It asks and does not read: what is answered to it is bounded as everything else. */
static void pongs_that_are_not_read_are_bounded(void **state) {
  (void)state;
  narrow();
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DISCONNECT), *b = reader("b", a, NULL);
  struct raw *r = raw_join("10.1.0.1", a);
  raw_transport()->pause(r->stream);
  size_t before = held;
  most_held = 0;
  for (int i = 0; i < 200 && !a->closes; i++) {
    if (!r->waiting) raw_ping(r, "x", 60000);
    rig_pass(100 * MS);
  }
  assert_int_equal(a->closes, 1);
  assert_int_equal(a->reason, CHASKI_ESLOW);
  assert_true(most_held < before + HARD + CHASKI_MIB);
  assert_int_equal(b->closes, 0);
}

static void an_edge_that_ends_counts_what_it_did_not_send(void **state) {
  (void)state;
  narrow();
  chaski_edge *e;
  struct peer *a = publisher_with(CHASKI_OVERFLOW_DISCONNECT), *b = reader("b", a, &e);
  chaski_sim_stall(rig->sim, b->ip, true);
  for (int i = 0; i < 20; i++) assert_int_equal(publish_bytes(a, PIECE), CHASKI_OK);
  rig_pass(10 * MS);
  chaski_edge_close(e, CHASKI_ECLOSED, false);
  rig_pass(SECOND);
  assert_in_range(chaski_node_counters(a->node)->lost, 12, 20); /* eight or so fit the window */
}

/* Reading is paused for longer than any deadline, in the middle of a frame: the peer is not to blame. */
static void a_paused_edge_survives_and_goes_on(void **state) {
  (void)state;
  chaski_node_options o = tight();
  o.limits.lease = 15 * SECOND;
  struct peer *a = rig_node_with("a", &o), *b = rig_node("b");
  rig_subscribe(a, "t");
  chaski_edge *e = rig_connect(a, b);
  rig_pass(SECOND);
  chaski_sim_link chunks = {.delay_ns = MS, .chunk_max = 700, .bytes_per_s = 10000};
  chaski_sim_set_link(rig->sim, NULL, NULL, &chunks);
  assert_int_equal(publish_bytes(b, 3000), CHASKI_OK);
  rig_pass(150 * MS);
  chaski_edge_pause(e);
  chaski_edge_pause(e);
  uint64_t until = chaski_sim_now(rig->sim) + 40 * SECOND;
  for (int steps = 0; chaski_sim_now(rig->sim) < until; steps++) {
    assert_true(steps < 1000); /* it sleeps, and does not spin */
    chaski_sim_step(rig->sim);
  }
  chaski_edge_resume(e);
  assert_int_equal(a->messages, 0);
  rig_pass(SECOND);
  assert_int_equal(a->messages, 0); /* counted: one more pause is open */
  chaski_edge_resume(e);
  rig_pass(2 * SECOND);
  assert_int_equal(a->messages, 1);
  assert_int_equal(a->closes, 0);
}

/* The smaller id's own dial takes over an edge that the larger one dialled; the edge is the same, and paused. */
static void a_pause_outlives_the_link(void **state) {
  (void)state;
  chaski_node_options small = tight(), large = tight();
  small.id = "a";
  large.id = "b";
  struct peer *a = rig_node_with("a", &small), *b = rig_node_with("b", &large);
  rig_subscribe(b, "t");
  chaski_edge *e = rig_connect(b, a);
  rig_pass(SECOND);
  chaski_edge_pause(e);
  rig_pass(SECOND);
  chaski_address again = {.host = "bee.local", .port = chaski_node_port(b->node)};
  chaski_sim_name(rig->sim, "bee.local", b->ip);
  chaski_sim_act_as(rig->sim, a->ip);
  struct dialled d = {0};
  assert_int_equal(chaski_node_connect(a->node, &again, 0, rig_done, &d, NULL), CHASKI_OK);
  rig_run(rig_answered, &d, 5 * SECOND);
  assert_int_equal(d.status, CHASKI_OK);
  rig_pass(5 * SECOND);
  assert_true(chaski_edge_live(e) && !chaski_edge_dialled(e)); /* carried by the new link */
  assert_int_equal(publish_bytes(a, PIECE), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(b->messages, 0);
  chaski_edge_resume(e);
  rig_pass(SECOND);
  assert_int_equal(b->messages, 1);
  assert_int_equal(a->closes + b->closes, 0);
}

static void destroy_on_drain(struct peer *p) {
  chaski_node_destroy(&p->node);
}

static void (*on_drain)(struct peer *p);

static void drain_upcall(void *user) {
  if (on_drain) on_drain(user);
}

static void close_all_on_drain(struct peer *p) {
  while (chaski_node_edge_count(p->node)) chaski_edge_close(chaski_node_edge_at(p->node, 0), CHASKI_ECLOSED, true);
}

/* The drained upcall may come while one link of an edge gives way to another. */
static void anything_may_be_done_in_drained(void **state) {
  (void)state;
  static void (*const what[])(struct peer *) = {destroy_on_drain, close_all_on_drain};
  for (size_t w = 0; w < 2; w++) {
    for (uint64_t late = 0; late < 8; late++) {
      chaski_node_events events = rig_events;
      chaski_node_options o = tight();
      const char *why;
      narrow();
      struct peer *b = rig_node_with("b", &o), *a = &rig->peers[rig->count++];
      snprintf(a->ip, sizeof a->ip, "10.0.1.%zu", rig->count);
      o.ip = a->ip;
      o.name = "a";
      events.drained = drain_upcall;
      on_drain = what[w];
      assert_int_equal(chaski_node_new(rig->loop, &o, &events, a, &a->node, &why), CHASKI_OK);
      assert_int_equal(chaski_node_run(a->node), CHASKI_OK);
      struct dialled d1, d2;
      rig_subscribe(b, "t");
      assert_int_equal(rig_dial(a, b, &d1), CHASKI_OK);
      rig_pass(late * MS / 2 + 1);
      assert_int_equal(rig_dial(b, a, &d2), CHASKI_OK);
      for (int i = 0; i < 40 && a->node; i++) {
        publish_until_full(a);
        rig_pass(MS / 4);
      }
      rig_pass(2 * SECOND);
    }
  }
  on_drain = NULL;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(publish_is_refused_above_the_high_mark_and_drained_follows),
      TEST(publish_goes_on_while_one_target_is_below_the_high_mark),
      TEST(a_stalled_peer_is_closed_as_a_slow_consumer),
      TEST(pings_to_a_stalled_peer_are_no_progress),
      TEST(a_publisher_that_waits_for_one_stalled_peer_gets_its_drained),
      TEST(at_the_hard_mark_disconnect_cuts_the_slow_one_off),
      TEST(at_the_hard_mark_drop_new_keeps_the_edge_and_says_what_is_lost),
      TEST(block_makes_publish_wait_for_the_slowest),
      TEST(a_command_above_the_hard_mark_overflows_too),
      TEST(an_edge_with_a_smaller_frame_max_is_skipped),
      TEST(topics_that_do_not_fit_the_peers_frame_max_do_not_cost_the_edge),
      TEST(a_stalled_edge_holds_no_more_memory_than_its_marks),
      TEST(pongs_that_are_not_read_are_bounded),
      TEST(an_edge_that_ends_counts_what_it_did_not_send),
      TEST(a_paused_edge_survives_and_goes_on),
      TEST(a_pause_outlives_the_link),
      TEST(anything_may_be_done_in_drained),
  };
  return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
