/* session_test.c: edges that outlive their connections: nothing is lost, nothing comes twice, order is kept, and the
 * ledger balances at every moment. SPDX-License-Identifier: MIT */
#include "raw_rig.h"

#include "../../src/core/internal.h"

#define BURST 50

static size_t suspensions, resumptions;
static uint64_t reported_lost;

static void on_suspended(void *user, chaski_edge *edge, int reason) {
  (void)user, (void)reason;
  assert_true(chaski_edge_suspended(edge));
  assert_true(chaski_edge_live(edge));
  suspensions++;
}

static void on_resumed(void *user, chaski_edge *edge, uint64_t lost) {
  (void)user;
  assert_false(chaski_edge_suspended(edge));
  resumptions++;
  reported_lost += lost;
}

static int setup(void **state) {
  suspensions = resumptions = 0;
  reported_lost = 0;
  return raw_setup(state);
}

static struct peer *node_of(const char *name, uint64_t timeout, uint64_t lease) {
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = timeout;
  o.limits.lease = lease;
  chaski_node_events events = rig_events;
  events.edge_suspended = on_suspended;
  events.edge_resumed = on_resumed;
  struct peer *p = &rig->peers[rig->count++];
  const char *why;
  snprintf(p->ip, sizeof p->ip, "10.0.0.%zu", rig->count);
  o.name = name;
  o.ip = p->ip;
  assert_int_equal(chaski_node_new(rig->loop, &o, &events, p, &p->node, &why), CHASKI_OK);
  assert_int_equal(chaski_node_run(p->node), CHASKI_OK);
  return p;
}

static struct peer *node_with(const char *name, uint64_t timeout) {
  return node_of(name, timeout, 15 * SECOND);
}

static uint64_t accounted_for(const struct peer *p) {
  const chaski_counters *c = chaski_node_counters(p->node);
  return c->acknowledged + c->written + c->lost + c->queue_dropped + chaski_node_in_flight(p->node);
}

static void check_ledger(const struct peer *p) {
  assert_int_equal(chaski_node_counters(p->node)->queued, accounted_for(p));
}

static void cut_one(void *arg, chaski_stream *stream) {
  (void)arg;
  chaski_sim_cut(rig->sim, stream);
}

static void cut_all(void) {
  chaski_sim_streams(rig->sim, cut_one, NULL);
}

static bool suspended_both(void *arg) {
  (void)arg;
  return suspensions >= 2;
}

static bool resumed_both(void *arg) {
  (void)arg;
  return resumptions >= 2;
}

/* Two nodes, b subscribed to "t", one edge dialled by a. */
static void pair(struct peer **a, struct peer **b, uint64_t timeout) {
  *a = node_with("a", timeout);
  *b = node_with("b", timeout);
  rig_subscribe(*b, "t");
  rig_connect(*a, *b);
  rig_pass(SECOND);
}

static void both_sides_know_of_the_session(void **state) {
  (void)state;
  struct peer *a, *b;
  chaski_session_info s;
  pair(&a, &b, 30 * SECOND);
  for (uint8_t i = 0; i < 10; i++) assert_int_equal(rig_publish(a, "t", i), CHASKI_OK);
  assert_true(chaski_edge_session(a->edge, &s));
  assert_true(s.kept_frames >= 10);
  rig_pass(SECOND);
  assert_true(chaski_edge_session(a->edge, &s));
  assert_int_equal(s.kept_frames, 0);
  assert_int_equal(s.acknowledged, s.sent);
  chaski_session_info t;
  assert_true(chaski_edge_session(b->edge, &t));
  assert_int_equal(t.received, s.sent);
  assert_int_equal(b->messages, 10);
  check_ledger(a);
  check_ledger(b);
}

static void a_node_that_wants_none_has_none(void **state) {
  (void)state;
  chaski_session_info s;
  struct peer *a = node_with("a", 30 * SECOND), *b = node_with("b", 0);
  rig_connect(a, b);
  assert_false(chaski_edge_session(a->edge, &s));
  cut_all();
  rig_run(rig_got_close, a, 10 * SECOND);
  assert_int_equal(a->reason, CHASKI_ERESET);
  check_ledger(a);
}

static void what_was_in_flight_and_what_is_published_meanwhile_arrives_once_and_in_order(void **state) {
  (void)state;
  struct peer *a, *b;
  pair(&a, &b, 30 * SECOND);
  for (uint8_t i = 0; i < BURST; i++) rig_publish(a, "t", i);
  chaski_sim_step(rig->sim);
  cut_all();
  rig_run(suspended_both, NULL, 10 * SECOND);
  for (uint8_t i = 0; i < BURST; i++) assert_int_equal(rig_publish(a, "t", i), CHASKI_OK);
  check_ledger(a);
  assert_int_equal(chaski_node_edge_count(a->node), 1);
  rig_connect(a, b);
  rig_run(resumed_both, NULL, 10 * SECOND);
  rig_pass(SECOND);
  assert_int_equal(b->messages, 2 * BURST);
  assert_int_equal(b->sum, (uint64_t)(2 * BURST) * (2 * BURST - 1) / 2);
  assert_int_equal(chaski_node_counters(b->node)->duplicates, 0);
  assert_int_equal(reported_lost, 0);
  assert_int_equal(a->closes + b->closes, 0);
  assert_int_equal(a->lives + b->lives, 2);
  check_ledger(a);
  check_ledger(b);
}

static void the_accepting_side_may_dial_too(void **state) {
  (void)state;
  struct peer *a, *b;
  pair(&a, &b, 30 * SECOND);
  cut_all();
  rig_run(suspended_both, NULL, 10 * SECOND);
  rig_publish(a, "t", 1);
  rig_connect(b, a);
  rig_pass(SECOND);
  assert_int_equal(resumptions, 2);
  assert_int_equal(b->messages, 1);
  check_ledger(a);
}

static void a_resume_takes_over_a_connection_that_seems_alive(void **state) {
  (void)state;
  struct peer *a = node_with("a", 60 * SECOND), *b = node_of("b", 60 * SECOND, 600 * SECOND);
  rig_subscribe(b, "t");
  rig_connect(a, b);
  rig_pass(SECOND);
  chaski_sim_blackhole(rig->sim, a->ip, b->ip, true);
  rig_publish(a, "t", 1);
  rig_pass(30 * SECOND);
  assert_int_equal(suspensions, 1); /* only a has noticed */
  chaski_sim_blackhole(rig->sim, a->ip, b->ip, false);
  rig_connect(a, b);
  rig_pass(2 * SECOND);
  assert_int_equal(b->messages, 1);
  assert_int_equal(a->closes + b->closes, 0);
  check_ledger(a);
  check_ledger(b);
}

static void nobody_comes_back_and_the_loss_is_told_frame_by_frame(void **state) {
  (void)state;
  struct peer *a, *b;
  pair(&a, &b, 5 * SECOND);
  cut_all();
  rig_run(suspended_both, NULL, 10 * SECOND);
  for (uint8_t i = 0; i < 7; i++) assert_int_equal(rig_publish(a, "t", i), CHASKI_OK);
  rig_run(rig_got_close, a, 10 * SECOND);
  assert_int_equal(a->reason, CHASKI_ELOST);
  assert_string_equal(a->detail, "it was not resumed in time");
  rig_pass(SECOND);
  assert_int_equal(a->undelivered, 7);
  assert_int_equal(a->undelivered_reason, CHASKI_ELOST);
  assert_int_equal(chaski_node_counters(a->node)->lost, 7);
  assert_int_equal(chaski_node_in_flight(a->node), 0);
  check_ledger(a);
}

static void a_session_the_peer_has_forgotten_is_reported_and_the_edge_goes_on(void **state) {
  (void)state;
  struct peer *a = node_with("a", 30 * SECOND), *b = node_with("b", 30 * SECOND);
  rig_subscribe(b, "t");
  chaski_edge *edge = rig_connect(a, b);
  rig_pass(SECOND);
  cut_all();
  rig_run(suspended_both, NULL, 10 * SECOND);
  rig_publish(a, "t", 1);
  chaski_edge_close(b->edge, CHASKI_ECLOSED, false);
  assert_ptr_equal(rig_connect(a, b), edge);
  rig_pass(SECOND);
  assert_int_equal(resumptions, 1);
  assert_int_equal(reported_lost, 1);
  assert_int_equal(a->undelivered, 1);
  rig_publish(a, "t", 2);
  rig_pass(SECOND);
  assert_int_equal(b->messages, 1);
  check_ledger(a);
  check_ledger(b);
}

static uint64_t session_id(const chaski_edge *edge) {
  chaski_session_info s = {0};
  assert_true(chaski_edge_session(edge, &s));
  return s.id;
}

/* Else a connection of the old one that is still under way could be taken for one of the new. */
static void a_session_that_begins_anew_has_another_id(void **state) {
  (void)state;
  struct peer *a, *b;
  pair(&a, &b, 30 * SECOND);
  chaski_edge *edge = a->edge;
  uint64_t before = session_id(edge);
  cut_all();
  rig_run(suspended_both, NULL, 10 * SECOND);
  chaski_edge_close(b->edge, CHASKI_ECLOSED, false);
  assert_ptr_equal(rig_connect(a, b), edge);
  rig_pass(SECOND);
  uint64_t after = session_id(edge);
  assert_true(after != before);
  assert_true(session_id(b->edge) == after);
  suspensions = 0;
  cut_all();
  rig_run(suspended_both, NULL, 10 * SECOND);
  assert_ptr_equal(rig_connect(a, b), edge);
  rig_pass(SECOND);
  assert_true(session_id(edge) == after && session_id(b->edge) == after); /* resumed */
}

static void a_restarted_peer_ends_the_suspended_edge_at_once(void **state) {
  (void)state;
  struct peer *a = node_with("a", 30 * SECOND);
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.id = "the-same";
  o.port = 9000;
  struct peer *b = rig_node_with("b", &o);
  rig_subscribe(b, "t");
  rig_connect(a, b);
  rig_pass(SECOND);
  chaski_node_destroy(&b->node);
  rig_pass(SECOND);
  assert_int_equal(suspensions, 1);
  rig_publish(a, "t", 1);
  rig->count--;
  b = rig_node_with("b", &o);
  rig_connect(a, b);
  rig_pass(SECOND);
  assert_int_equal(a->closes, 1);
  assert_int_equal(a->reason, CHASKI_EREPLACED);
  assert_int_equal(a->lives, 2);
  assert_int_equal(a->undelivered, 1);
  check_ledger(a);
}

/* Of a peer with a session of this name, which it wants to resume or to begin. */
static void raw_offer(struct raw *r, uint8_t name, bool resume) {
  static const char *const terms[] = {"rx", "frames", "bytes", "ttl"};
  uint8_t sid[16] = {name};
  chaski__buf b = {0};
  chaski__mp_put_map(&b, 5);
  raw_put_text(&b, "handshake_id", raw_uuid());
  chaski__mp_put_key(&b, "response");
  chaski__mp_put_bool(&b, true);
  raw_put_text(&b, "id", "peer");
  chaski__mp_put_key(&b, "start");
  chaski__mp_put_uint(&b, 1);
  chaski__mp_put_key(&b, "rs");
  chaski__mp_put_map(&b, 7);
  for (size_t i = 0; i < 4; i++) {
    chaski__mp_put_key(&b, terms[i]);
    chaski__mp_put_uint(&b, i ? 100000 : 0);
  }
  chaski__mp_put_key(&b, "v");
  chaski__mp_put_uint(&b, 1);
  chaski__mp_put_key(&b, "sid");
  chaski__mp_put_bin(&b, chaski_slice_of(sid, sizeof sid));
  chaski__mp_put_key(&b, "resume");
  chaski__mp_put_bool(&b, resume);
  raw_command(r, "handshake", &b);
  rig_pass(100 * MS);
}

/* The peer may have resumed on it, so what comes is the session's, and would come twice. */
static void a_connection_that_was_to_resume_and_is_one_too_many_is_not_read_on(void **state) {
  (void)state;
  struct peer *a = node_with("a", 30 * SECOND);
  rig_subscribe(a, "t");
  struct raw *first = raw_dial("10.1.0.1", a), *second = raw_dial("10.1.0.2", a), *third = raw_dial("10.1.0.3", a);
  chaski_sim_link slow = {.delay_ns = 500 * MS};
  raw_offer(first, 7, false);
  raw_back(first, first->handshake_id);
  rig_pass(100 * MS);
  assert_int_equal(a->lives, 1);
  chaski_sim_cut(rig->sim, first->stream);
  rig_pass(100 * MS);
  assert_int_equal(suspensions, 1);
  raw_offer(second, 7, true);
  assert_int_equal(second->got[RAW_BACK], 1);
  chaski_edge_close(a->edge, CHASKI_ECLOSED, false);
  chaski_sim_set_link(rig->sim, second->ip, a->ip, &slow);
  raw_back(second, second->handshake_id);
  raw_message(second, "t", raw_uuid(), 64, 1);
  raw_offer(third, 8, false);
  raw_back(third, third->handshake_id);
  rig_pass(100 * MS);
  assert_int_equal(a->lives, 2);
  rig_pass(SECOND);
  assert_int_equal(a->messages, 0);
  assert_true(second->ended);
}

static void a_goodbye_in_order_leaves_nothing_in_doubt(void **state) {
  (void)state;
  struct peer *a, *b;
  pair(&a, &b, 30 * SECOND);
  for (uint8_t i = 0; i < BURST; i++) rig_publish(a, "t", i);
  chaski_node_stop(a->node, 5 * SECOND);
  rig_run(rig_got_stop, a, 10 * SECOND);
  rig_pass(2 * SECOND);
  assert_int_equal(b->messages, BURST);
  assert_int_equal(chaski_node_counters(a->node)->lost, 0);
  assert_int_equal(suspensions, 0);
  check_ledger(a);
  check_ledger(b);
}

static void a_suspended_edge_keeps_no_more_than_its_bounds(void **state) {
  (void)state;
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.resume_frames = 32;
  struct peer *a = rig_node_with("a", &o), *b = rig_node_with("b", &o);
  rig_subscribe(b, "t");
  rig_connect(a, b);
  rig_pass(SECOND);
  cut_all();
  rig_pass(SECOND);
  int r = CHASKI_OK;
  size_t accepted = 0;
  for (uint8_t i = 0; i < 100 && (r = rig_publish(a, "t", i)) == CHASKI_OK; i++) accepted++;
  assert_int_equal(r, CHASKI_EFULL);
  assert_in_range(accepted, 16, 32);
  rig_connect(a, b);
  rig_pass(SECOND);
  assert_int_equal(b->messages, accepted);
  assert_int_equal(a->drains, 1);
  check_ledger(a);
}

static void a_fault_ends_the_session_for_good(void **state) {
  (void)state;
  struct peer *a, *b;
  pair(&a, &b, 30 * SECOND);
  uint8_t numbers[] = {0x82, 0xa2, 'r', 'x', 0xcd, 0x27, 0x0f, 0xa2, 't', 'x', 0x00};
  assert_int_equal(chaski_node_write(a->node, chaski_slice_str("ack"), chaski_slice_of(NULL, 0),
                                     chaski_slice_of(numbers, sizeof numbers), NULL),
                   CHASKI_OK);
  rig_run(rig_got_close, b, 10 * SECOND);
  assert_int_equal(b->reason, CHASKI_EPROTOCOL);
  assert_int_equal(chaski_node_edge_count(b->node), 0);
  rig_pass(SECOND);
  assert_int_equal(suspensions, 1); /* a saw no more than a lost connection */
}

static void a_count_that_does_not_agree_ends_the_session(void **state) {
  (void)state;
  struct peer *a, *b;
  pair(&a, &b, 30 * SECOND);
  rig_publish(a, "t", 1);
  rig_pass(SECOND);
  uint8_t numbers[] = {0x82, 0xa2, 'r', 'x', 0x00, 0xa2, 't', 'x', 0x63};
  chaski_session_info s;
  assert_true(chaski_edge_session(b->edge, &s) && s.acknowledged < 128 && s.received != 0x63);
  numbers[4] = (uint8_t)s.acknowledged; /* that much is right */
  chaski_node_write(a->node, chaski_slice_str("ack"), chaski_slice_of(NULL, 0),
                    chaski_slice_of(numbers, sizeof numbers), NULL);
  rig_run(rig_got_close, b, 10 * SECOND);
  assert_int_equal(b->reason, CHASKI_EPROTOCOL);
  assert_string_equal(b->detail, "ack: the counts do not agree");
}

/* That the ledger balances says something: one frame that goes without a word shows, from that moment on. */
static void one_frame_that_is_dropped_unbalances_the_ledger(void **state) {
  (void)state;
  struct peer *a, *b;
  pair(&a, &b, 30 * SECOND);
  chaski_sim_stall(rig->sim, b->ip, true);
  for (uint8_t i = 0; i < 10; i++) rig_publish(a, "t", i);
  rig_pass(SECOND);
  check_ledger(a);
  chaski__link *link = a->edge->link;
  chaski__outbox_drop_frames(&link->session->kept, &link->loop->arena, 1);
  assert_int_equal(chaski_node_counters(a->node)->queued, accounted_for(a) + 1);
  chaski_edge_close(a->edge, CHASKI_ECLOSED, false);
  rig_pass(SECOND);
  assert_int_equal(chaski_node_counters(a->node)->queued, accounted_for(a) + 1);
}

/* Not even of what never waits. */
static void nothing_is_kept_beyond_the_bounds(void **state) {
  (void)state;
  chaski_node_options o;
  chaski_session_info s;
  chaski_node_options_init(&o);
  o.limits.resume_frames = 32;
  o.overflow = CHASKI_OVERFLOW_DROP_NEW;
  struct peer *a = rig_node_with("a", &o), *b = rig_node_with("b", &o);
  rig_connect(a, b);
  rig_pass(SECOND);
  cut_all();
  rig_pass(SECOND);
  uint8_t nil = 0xc0;
  size_t accepted = 0;
  for (int i = 0; i < 100; i++)
    accepted += chaski_node_write(a->node, chaski_slice_str("do"), chaski_slice_of(NULL, 0), chaski_slice_of(&nil, 1),
                                  NULL) == CHASKI_OK;
  assert_int_equal(accepted, 32);
  assert_true(chaski_edge_session(a->edge, &s));
  assert_int_equal(s.kept_frames, 32);
  check_ledger(a);
}

static void what_the_other_side_had_sent_before_a_goodbye_is_acknowledged_too(void **state) {
  (void)state;
  struct peer *a, *b;
  pair(&a, &b, 30 * SECOND);
  rig_subscribe(a, "u");
  rig_pass(SECOND);
  for (uint8_t i = 0; i < BURST; i++) rig_publish(b, "u", i);
  chaski_node_stop(a->node, 5 * SECOND);
  rig_run(rig_got_stop, a, 10 * SECOND);
  rig_pass(2 * SECOND);
  assert_int_equal(a->messages, BURST);
  assert_int_equal(b->undelivered, 0);
  assert_int_equal(chaski_node_counters(b->node)->lost, 0);
  check_ledger(b);
}

static void who_stops_without_reading_leaves_it_in_doubt(void **state) {
  (void)state;
  struct peer *a, *b;
  pair(&a, &b, 30 * SECOND);
  rig_subscribe(a, "u");
  rig_pass(SECOND);
  chaski_node_stop(a->node, 0);
  for (uint8_t i = 0; i < BURST; i++) rig_publish(b, "u", i);
  rig_pass(2 * SECOND);
  assert_int_equal(a->messages, 0);
  assert_int_equal(b->undelivered, BURST);
  check_ledger(b);
}

static void what_waits_for_another_connection_is_told_when_the_edge_is_closed(void **state) {
  (void)state;
  struct peer *a, *b;
  pair(&a, &b, 30 * SECOND);
  cut_all();
  rig_run(suspended_both, NULL, 10 * SECOND);
  for (uint8_t i = 0; i < 7; i++) assert_int_equal(rig_publish(a, "t", i), CHASKI_OK);
  chaski_edge_close(a->edge, CHASKI_ECLOSED, true);
  rig_pass(SECOND);
  assert_int_equal(a->undelivered, 7);
  check_ledger(a);
}

static void changed_subscriptions_are_not_kept_for_a_suspended_edge(void **state) {
  (void)state;
  struct peer *a, *b;
  chaski_session_info s;
  pair(&a, &b, 30 * SECOND);
  cut_all();
  rig_run(suspended_both, NULL, 10 * SECOND);
  assert_true(chaski_edge_session(b->edge, &s));
  uint64_t kept = s.kept_frames;
  for (char topic[] = "x0"; topic[1] <= '9'; topic[1]++) {
    rig_subscribe(b, topic);
    rig_pass(100 * MS);
  }
  assert_true(chaski_edge_session(b->edge, &s));
  assert_int_equal(s.kept_frames, kept);
  rig_connect(a, b);
  rig_pass(SECOND);
  assert_true(chaski_edge_subscribed(a->edge, chaski_slice_str("x9")));
}

static void a_dial_that_waits_ends_when_the_connection_is_lost_again(void **state) {
  (void)state;
  struct peer *a, *b;
  struct dialled d;
  pair(&a, &b, 30 * SECOND);
  cut_all();
  rig_run(suspended_both, NULL, 10 * SECOND);
  assert_int_equal(rig_dial(a, b, &d), CHASKI_OK);
  rig_run(resumed_both, NULL, SECOND);
  if (!d.calls) cut_all();
  uint64_t then = chaski_sim_now(rig->sim);
  rig_run(rig_answered, &d, SECOND);
  assert_true(chaski_sim_now(rig->sim) - then < 100 * MS);
}

/* --- whatever the seed -------------------------------------------------------------------------------------------- */
static uint64_t chance(uint64_t *state, uint64_t n) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (*state >> 33) % n;
}

static void redial(struct peer *from, struct peer *to) {
  struct dialled d;
  chaski_edge *e = chaski_node_edge_at(from->node, 0);
  if (!e || !chaski_edge_suspended(e)) return;
  if (rig_dial(from, to, &d) != CHASKI_OK) return;
  chaski_sim_run(rig->sim, rig_answered, &d, 20 * SECOND);
}

static size_t ended; /* edges that were live */

static void count_ended(struct peer *p, chaski_edge *edge, int reason) {
  (void)p, (void)reason;
  ended += chaski_edge_was_live(edge);
  if (chaski_edge_was_live(edge))
    print_message("%s: %s %s\n", p->ip, chaski_error_name(reason), chaski_edge_detail(edge));
}

static void show(void *user, enum chaski_log_level level, const char *who, const char *line) {
  (void)user, (void)level;
  fprintf(stderr, "%.6f %s: %s\n", (double)chaski_sim_now(rig->sim) / 1e9, who, line);
}

static void storm(uint64_t seed) {
  if (getenv("CHASKI_SEED")) chaski_sim_log(rig->sim, CHASKI_LOG_DEBUG, show, NULL);
  struct peer *a, *b;
  uint64_t random = seed, sent = 0, back = 0;
  chaski_sim_link link = {.delay_ns = MS, .jitter_ns = 2 * MS, .chunk_max = 1 + (uint32_t)chance(&random, 400)};
  chaski_sim_set_link(rig->sim, NULL, NULL, &link);
  pair(&a, &b, 600 * SECOND);
  rig_subscribe(a, "u");
  a->on_closed = b->on_closed = count_ended;
  ended = 0;
  rig_pass(SECOND);
  for (int round = 0; round < 40; round++) {
    for (uint64_t n = chance(&random, 60); n > 0; n--) {
      sent += rig_publish(a, "t", (uint8_t)(n & 127)) == CHASKI_OK;
      if (chance(&random, 3) == 0) back += rig_publish(b, "u", 1) == CHASKI_OK;
    }
    chaski_sim_run(rig->sim, NULL, NULL, chance(&random, 12 * MS));
    if (chance(&random, 2)) cut_all();
    check_ledger(a);
    check_ledger(b);
    chaski_sim_run(rig->sim, NULL, NULL, chance(&random, 30 * MS));
    bool forward = chance(&random, 4) > 0;
    redial(forward ? a : b, forward ? b : a);
  }
  for (int i = 0; i < 5; i++) {
    redial(a, b);
    rig_pass(SECOND);
  }
  if (b->messages != sent || b->sum != sent * (sent - 1) / 2 || a->messages != back)
    fail_msg("seed %llu: %zu of %llu, %zu of %llu", (unsigned long long)seed, b->messages, (unsigned long long)sent,
             a->messages, (unsigned long long)back);
  assert_int_equal(chaski_node_counters(b->node)->duplicates, 0);
  assert_int_equal(ended, 0);
  assert_int_equal(chaski_node_in_flight(a->node), 0);
  check_ledger(a);
  check_ledger(b);
}

static void nothing_is_lost_or_doubled_wherever_the_connection_is_cut(void **state) {
  uint64_t seeds = getenv("CHASKI_FULL") ? 2000 : 100;
  const char *one = getenv("CHASKI_SEED");
  for (uint64_t seed = one ? strtoull(one, NULL, 10) : 1; seed <= seeds || one; seed++) {
    if (seed > 1 && !one) {
      assert_int_equal(rig_teardown(state), 0);
      setup(state);
    }
    storm(seed);
    if (one) return;
  }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, raw_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(both_sides_know_of_the_session),
      TEST(a_node_that_wants_none_has_none),
      TEST(what_was_in_flight_and_what_is_published_meanwhile_arrives_once_and_in_order),
      TEST(the_accepting_side_may_dial_too),
      TEST(a_resume_takes_over_a_connection_that_seems_alive),
      TEST(nobody_comes_back_and_the_loss_is_told_frame_by_frame),
      TEST(a_session_the_peer_has_forgotten_is_reported_and_the_edge_goes_on),
      TEST(a_session_that_begins_anew_has_another_id),
      TEST(a_restarted_peer_ends_the_suspended_edge_at_once),
      TEST(a_connection_that_was_to_resume_and_is_one_too_many_is_not_read_on),
      TEST(a_goodbye_in_order_leaves_nothing_in_doubt),
      TEST(a_suspended_edge_keeps_no_more_than_its_bounds),
      TEST(a_fault_ends_the_session_for_good),
      TEST(a_count_that_does_not_agree_ends_the_session),
      TEST(one_frame_that_is_dropped_unbalances_the_ledger),
      TEST(nothing_is_kept_beyond_the_bounds),
      TEST(what_the_other_side_had_sent_before_a_goodbye_is_acknowledged_too),
      TEST(who_stops_without_reading_leaves_it_in_doubt),
      TEST(what_waits_for_another_connection_is_told_when_the_edge_is_closed),
      TEST(changed_subscriptions_are_not_kept_for_a_suspended_edge),
      TEST(a_dial_that_waits_ends_when_the_connection_is_lost_again),
      TEST(nothing_is_lost_or_doubled_wherever_the_connection_is_cut),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
