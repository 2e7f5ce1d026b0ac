/* node_test.c: nodes find each other, talk and part, on the in-memory network. SPDX-License-Identifier: MIT */
#include "node_rig.h"

static void a_connect_makes_one_live_edge_on_each_side(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  rig_subscribe(b, "weather");
  chaski_edge *e = rig_connect(a, b);
  rig_pass(100 * MS);
  assert_int_equal(chaski_node_edge_count(a->node), 1);
  assert_int_equal(chaski_node_edge_count(b->node), 1);
  assert_string_equal(chaski_edge_name(e), "b");
  assert_string_equal(chaski_edge_name(b->edge), "a");
  assert_string_equal(chaski_edge_id(e), chaski_node_id(b->node));
  assert_int_equal(chaski_edge_port(e), chaski_node_port(b->node));
  assert_int_equal(chaski_edge_port(b->edge), chaski_node_port(a->node));
  assert_true(chaski_edge_subscribed(e, chaski_slice_str("weather")));
  assert_true(chaski_edge_dialled(e) && !chaski_edge_dialled(b->edge));
  assert_int_equal(a->lives, 1);
  assert_int_equal(b->lives, 1);
}

static struct peer *acceptor;
static struct dialled second;

static void dial_again(struct peer *p, chaski_edge *edge) {
  (void)edge;
  assert_int_equal(rig_dial(p, acceptor, &second), CHASKI_OK);
}

static void a_connect_ends_when_the_acceptor_counts_the_edge_too(void **state) {
  (void)state;
  for (int keep_alive = 0; keep_alive < 2; keep_alive++) {
    chaski_node_options o;
    chaski_node_options_init(&o);
    o.keep_alive = keep_alive;
    struct peer *a = rig_node_with("a", &o);
    acceptor = rig_node_with("b", &o);
    a->on_live = dial_again;
    chaski_edge *e = rig_connect(a, acceptor);
    assert_int_equal(acceptor->lives, 1);
    assert_int_equal(second.calls, 1); /* who dials an edge that is live here waits for the acceptor as well */
    assert_ptr_equal(second.edge, e);
    assert_int_equal(chaski_edge_latency(e)->samples, 1);
    assert_float_equal(chaski_edge_latency(e)->latency, 1.0, 0.01);
    assert_int_equal(rig_publish(acceptor, "t", 1), CHASKI_OK);
  }
}

static void who_connects_through_a_relay_is_reached_by_who_connected_before(void **state) {
  (void)state;
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.propagation = true;
  struct peer *relay = rig_node_with("relay", &o), *a = rig_node("a"), *b = rig_node("b");
  rig_subscribe(b, "t");
  rig_connect(a, relay);
  rig_connect(b, relay);
  assert_int_equal(rig_publish(a, "t", 1), CHASKI_OK);
  rig_run(rig_got_message, b, SECOND);
}

static void a_message_reaches_who_subscribed_and_not_its_origin(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  rig_subscribe(a, "t");
  rig_subscribe(b, "t");
  rig_connect(a, b);
  assert_int_equal(rig_publish(a, "t", 42), CHASKI_OK);
  rig_run(rig_got_message, b, SECOND);
  rig_pass(SECOND);
  assert_int_equal(b->messages, 1);
  assert_int_equal(a->messages, 0);
  assert_string_equal(b->topic, "t");
  assert_int_equal(b->data_len, 1);
  assert_int_equal(b->data[0], 42);
  assert_int_equal(b->last.ttl, 64);
  assert_true(b->last.origin == chaski_node_origin(a->node));
}

static void what_nobody_wants_is_not_sent(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  rig_subscribe(b, "t");
  rig_connect(a, b);
  rig_pass(SECOND);
  uint64_t before = chaski_node_counters(b->node)->frames_in;
  assert_int_equal(rig_publish(a, "other", 1), CHASKI_OK);
  rig_pass(100 * MS);
  assert_int_equal(chaski_node_counters(b->node)->frames_in, before);
  assert_int_equal(chaski_node_counters(a->node)->no_interest, 1);
}

static void a_later_subscription_is_told_and_a_removed_one_too(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  chaski_edge *e = rig_connect(a, b);
  chaski_subscription *s = rig_subscribe(b, "late");
  rig_pass(100 * MS);
  assert_true(chaski_edge_subscribed(e, chaski_slice_str("late")));
  assert_true(a->changes > 0);
  chaski_subscription_remove(s);
  rig_pass(100 * MS);
  assert_false(chaski_edge_subscribed(e, chaski_slice_str("late")));
}

static void two_nodes_that_dial_each_other_at_once_end_with_one_edge(void **state) {
  (void)state;
  for (int delay = 0; delay < 6; delay++) {
    struct peer *a = rig_node("a"), *b = rig_node("b");
    struct dialled da, db;
    assert_int_equal(rig_dial(a, b, &da), CHASKI_OK);
    if (delay) rig_pass((uint64_t)delay * MS / 2 + 1); /* at every stage of the other's handshake */
    assert_int_equal(rig_dial(b, a, &db), CHASKI_OK);
    rig_run(rig_answered, &da, 10 * SECOND);
    rig_run(rig_answered, &db, 10 * SECOND);
    rig_pass(5 * SECOND);
    assert_int_equal(da.status, CHASKI_OK);
    assert_int_equal(db.status, CHASKI_OK);
    assert_int_equal(chaski_node_edge_count(a->node), 1);
    assert_int_equal(chaski_node_edge_count(b->node), 1);
    rig_subscribe(b, "t");
    rig_pass(SECOND);
    assert_int_equal(rig_publish(a, "t", 1), CHASKI_OK);
    rig_run(rig_got_message, b, SECOND);
  }
}

static void dialling_twice_gives_the_same_edge(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  chaski_edge *first = rig_connect(a, b);
  assert_ptr_equal(rig_connect(a, b), first);
  struct dialled d1, d2;
  struct peer *c = rig_node("c");
  assert_int_equal(rig_dial(a, c, &d1), CHASKI_OK);
  assert_int_equal(rig_dial(a, c, &d2), CHASKI_OK);
  rig_run(rig_answered, &d1, SECOND);
  rig_run(rig_answered, &d2, SECOND);
  assert_ptr_equal(d1.edge, d2.edge);
  rig_pass(SECOND);
  assert_int_equal(chaski_node_edge_count(a->node), 2);
  assert_int_equal(chaski_node_edge_count(c->node), 1);
}

static void the_same_peer_under_another_address_is_the_same_edge(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  chaski_edge *first = rig_connect(a, b);
  chaski_sim_name(rig->sim, "bee.local", b->ip);
  chaski_address address = {.host = "bee.local", .port = chaski_node_port(b->node)};
  struct dialled d = {0};
  assert_int_equal(chaski_node_connect(a->node, &address, 0, rig_done, &d, NULL), CHASKI_OK);
  rig_run(rig_answered, &d, 10 * SECOND);
  assert_int_equal(d.status, CHASKI_OK);
  assert_ptr_equal(d.edge, first);
  rig_pass(5 * SECOND);
  assert_int_equal(chaski_node_edge_count(b->node), 1);
  assert_int_equal(a->closes + b->closes, 0);
}

static void a_node_does_not_dial_itself(void **state) {
  (void)state;
  struct peer *a = rig_node("a");
  struct dialled d = {0};
  assert_int_equal(rig_dial(a, a, &d), CHASKI_ESELF);
  chaski_sim_name(rig->sim, "me", a->ip);
  chaski_address address = {.host = "me", .port = chaski_node_port(a->node)};
  assert_int_equal(chaski_node_connect(a->node, &address, 0, rig_done, &d, NULL), CHASKI_OK);
  rig_run(rig_answered, &d, 10 * SECOND);
  assert_int_equal(d.status, CHASKI_ESELF);
  assert_int_equal(chaski_node_edge_count(a->node), 0);
}

static void a_refused_dial_says_so(void **state) {
  (void)state;
  struct peer *a = rig_node("a");
  chaski_address address = {.host = "10.9.9.9", .port = 1};
  struct dialled d = {0};
  assert_int_equal(chaski_node_connect(a->node, &address, 0, rig_done, &d, NULL), CHASKI_OK);
  rig_run(rig_answered, &d, 10 * SECOND);
  assert_int_equal(d.status, CHASKI_EREFUSED);
  assert_null(d.edge);
  assert_int_equal(a->closes, 0);
}

static void a_host_that_never_answers_times_out(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  struct dialled d;
  chaski_sim_blackhole(rig->sim, a->ip, b->ip, true);
  assert_int_equal(rig_dial(a, b, &d), CHASKI_OK);
  rig_run(rig_answered, &d, 6 * SECOND);
  assert_int_equal(d.status, CHASKI_ETIMEOUT);
  rig_pass(SECOND);
  assert_int_equal(chaski_sim_handles(rig->sim), 4); /* two listeners, two datagram sockets */
}

static void a_cancelled_dial_leaves_nothing(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  struct dialled d = {0};
  chaski_dial *dial;
  chaski_address address = rig_address(b);
  assert_int_equal(chaski_node_connect(a->node, &address, 0, rig_done, &d, &dial), CHASKI_OK);
  chaski_dial_cancel(dial);
  rig_pass(2 * SECOND);
  assert_int_equal(d.calls, 0);
  assert_int_equal(chaski_node_edge_count(b->node), 0);
}

static void closing_an_edge_says_goodbye(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  rig_subscribe(b, "t");
  chaski_edge *e = rig_connect(a, b);
  for (uint8_t i = 0; i < 100; i++) assert_int_equal(rig_publish(a, "t", i), CHASKI_OK);
  chaski_edge_close(e, CHASKI_ECLOSED, true);
  assert_int_equal(a->closes, 0); /* never from inside */
  rig_run(rig_got_close, b, SECOND);
  assert_int_equal(b->messages, 100); /* what was queued came first */
  assert_int_equal(b->reason, CHASKI_EGOODBYE);
  assert_int_equal(a->reason, CHASKI_ECLOSED);
  rig_pass(2 * SECOND);
  assert_int_equal(a->closes, 1);
  assert_int_equal(chaski_sim_handles(rig->sim), 4);
}

static void cut_stream(void *arg, chaski_stream *s) {
  (void)arg;
  chaski_sim_cut(rig->sim, s);
}

static void a_loss_is_told_with_its_reason_on_both_sides(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  rig_connect(a, b);
  rig_pass(SECOND);
  chaski_sim_streams(rig->sim, cut_stream, NULL);
  rig_run(rig_got_close, a, SECOND);
  rig_run(rig_got_close, b, SECOND);
  assert_int_equal(a->reason, CHASKI_ERESET);
  assert_int_equal(b->reason, CHASKI_ERESET);
}

static void a_silent_peer_is_dead_after_its_lease(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  rig_connect(a, b);
  rig_pass(SECOND);
  chaski_sim_blackhole(rig->sim, a->ip, b->ip, true);
  rig_run(rig_got_close, a, 20 * SECOND);
  assert_int_equal(a->reason, CHASKI_ELEASE);
  rig_run(rig_got_close, b, 20 * SECOND);
}

static void keep_alive_keeps_an_idle_edge_alive_and_measures_it(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  chaski_edge *e = rig_connect(a, b);
  rig_pass(120 * SECOND);
  assert_int_equal(chaski_node_edge_count(a->node), 1);
  assert_true(chaski_edge_latency(e)->samples >= 10);
  assert_float_equal(chaski_edge_latency(e)->latency, 1.0, 0.01); /* one way of the default link, ms */
  assert_float_equal(chaski_edge_latency(b->edge)->latency, 1.0, 0.01);
}

struct pinged {
  int calls, status;
  double rtt;
};

static void on_pong(void *ctx, int status, double rtt_ms) {
  struct pinged *p = ctx;
  p->calls++;
  p->status = status;
  p->rtt = rtt_ms;
}

static bool ponged(void *arg) {
  return ((struct pinged *)arg)->calls > 0;
}

static void a_ping_measures_the_round_trip(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  chaski_edge *e = rig_connect(a, b);
  struct pinged p = {0};
  rig_pass(SECOND);
  assert_int_equal(chaski_edge_ping(e, 1000, true, 0, on_pong, &p), CHASKI_OK);
  assert_int_equal(chaski_edge_pings(e), 1);
  rig_run(ponged, &p, SECOND);
  assert_int_equal(p.status, CHASKI_OK);
  assert_float_equal(p.rtt, 2.0, 0.01);
  assert_int_equal(chaski_edge_pings(e), 0);
  p = (struct pinged){0};
  assert_int_equal(chaski_edge_ping(e, 0, true, 0, on_pong, &p), CHASKI_OK);
  chaski_edge_close(e, CHASKI_ECLOSED, true);
  rig_run(ponged, &p, SECOND);
  assert_int_equal(p.status, CHASKI_ECLOSED);
}

static void stop_says_goodbye_and_run_comes_back_on_the_same_port(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  rig_connect(a, b);
  uint16_t port = chaski_node_port(a->node);
  chaski_node_stop(a->node, 5 * SECOND);
  assert_int_equal(a->stops, 0);
  rig_run(rig_got_stop, a, 2 * SECOND);
  assert_int_equal(a->reason, CHASKI_ESTOPPED);
  assert_int_equal(b->reason, CHASKI_EGOODBYE);
  assert_int_equal(rig_publish(a, "t", 1), CHASKI_ESTOPPED);
  assert_int_equal(chaski_node_run(a->node), CHASKI_OK);
  assert_int_equal(chaski_node_port(a->node), port);
  rig_connect(b, a);
  rig_pass(SECOND);
  assert_int_equal(chaski_node_edge_count(a->node), 1);
}

static void a_restarted_peer_replaces_its_old_edge_at_once(void **state) {
  (void)state;
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 0; /* sessions: session_test */
  o.id = "the-same";
  struct peer *a = rig_node("a"), *b = rig_node_with("b", &o);
  rig_connect(b, a);
  rig_pass(SECOND);
  chaski_sim_blackhole(rig->sim, a->ip, b->ip, true); /* b dies without a word */
  chaski_node_destroy(&b->node);
  rig_pass(SECOND);
  assert_int_equal(chaski_node_edge_count(a->node), 1);
  struct peer *again = rig_node_with("b", &o);
  rig_connect(again, a);
  rig_pass(SECOND);
  assert_int_equal(chaski_node_edge_count(a->node), 1);
  assert_int_equal(a->reason, CHASKI_EREPLACED);
}

static void a_root_takes_the_first_free_port_and_every_topic(void **state) {
  (void)state;
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 0; /* sessions: session_test */
  o.root = true;
  struct peer *root = rig_node_with("root", &o), *a = rig_node("a");
  assert_int_equal(chaski_node_port(root->node), CHASKI_PORT_FIRST);
  rig_subscribe(root, "@");
  rig_connect(a, root);
  assert_int_equal(rig_publish(a, "anything", 1), CHASKI_OK);
  rig_run(rig_got_message, root, SECOND);
  assert_string_equal(root->topic, "anything");
}

static void a_port_in_use_is_told(void **state) {
  (void)state;
  chaski_node_options o;
  const char *why;
  chaski_node *node;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 0; /* sessions: session_test */
  struct peer *a = rig_node("a");
  o.ip = a->ip;
  o.port = chaski_node_port(a->node);
  assert_int_equal(chaski_node_new(rig->loop, &o, &rig_events, a, &node, &why), CHASKI_OK);
  assert_int_equal(chaski_node_run(node), CHASKI_EINUSE);
  chaski_node_destroy(&node);
}

static void a_command_reaches_its_handler_and_an_unknown_one_is_counted(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  rig_connect(a, b);
  uint8_t nil = 0xc0;
  assert_int_equal(chaski_node_handle(b->node, chaski_slice_str("ask"), b), CHASKI_OK);
  assert_int_equal(chaski_node_handle(b->node, chaski_slice_str("ping"), b), CHASKI_EINVAL);
  chaski_slice none = {0}, data = {&nil, 1};
  assert_int_equal(chaski_node_write(a->node, chaski_slice_str("ask"), none, data, NULL), CHASKI_OK);
  assert_int_equal(chaski_node_write(a->node, chaski_slice_str("what"), none, data, a->edge), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(b->commands, 1);
  assert_int_equal(chaski_node_counters(b->node)->unknown, 1);
  assert_int_equal(chaski_node_handle(b->node, chaski_slice_str("ask"), NULL), CHASKI_OK);
  assert_int_equal(chaski_node_write(a->node, chaski_slice_str("ask"), none, data, NULL), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(b->commands, 1);
  assert_int_equal(chaski_node_counters(b->node)->unknown, 2);
}

static void destroy_on_message(struct peer *p, chaski_edge *edge, const chaski_message *m) {
  (void)edge;
  (void)m;
  chaski_node_destroy(&p->node);
}

static void a_node_may_be_destroyed_in_its_own_handler(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  rig_subscribe(b, "t");
  rig_connect(a, b);
  b->on_message = destroy_on_message;
  for (uint8_t i = 0; i < 10; i++) assert_int_equal(rig_publish(a, "t", i), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(b->messages, 1);
  assert_int_equal(chaski_node_edge_count(a->node), 0);
}

static void destroy_on_live(struct peer *p, chaski_edge *edge) {
  (void)edge;
  chaski_node_destroy(&p->node);
}

static void a_node_may_be_destroyed_when_an_edge_becomes_live(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  struct dialled d;
  a->on_live = destroy_on_live;
  assert_int_equal(rig_dial(a, b, &d), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(d.calls, 0);
  assert_int_equal(chaski_node_edge_count(b->node), 0);
}

static void an_edge_that_is_held_outlives_its_node(void **state) {
  (void)state;
  struct peer *a = rig_node("a"), *b = rig_node("b");
  chaski_edge *e = rig_connect(a, b);
  chaski_edge_hold(e);
  chaski_node_destroy(&a->node);
  rig_pass(SECOND);
  assert_string_equal(chaski_edge_name(e), "b");
  assert_false(chaski_edge_live(e));
  assert_null(chaski_edge_node(e));
  chaski_edge_release(e);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_connect_makes_one_live_edge_on_each_side),
      TEST(a_connect_ends_when_the_acceptor_counts_the_edge_too),
      TEST(who_connects_through_a_relay_is_reached_by_who_connected_before),
      TEST(a_message_reaches_who_subscribed_and_not_its_origin),
      TEST(what_nobody_wants_is_not_sent),
      TEST(a_later_subscription_is_told_and_a_removed_one_too),
      TEST(two_nodes_that_dial_each_other_at_once_end_with_one_edge),
      TEST(dialling_twice_gives_the_same_edge),
      TEST(the_same_peer_under_another_address_is_the_same_edge),
      TEST(a_node_does_not_dial_itself),
      TEST(a_refused_dial_says_so),
      TEST(a_host_that_never_answers_times_out),
      TEST(a_cancelled_dial_leaves_nothing),
      TEST(closing_an_edge_says_goodbye),
      TEST(a_loss_is_told_with_its_reason_on_both_sides),
      TEST(a_silent_peer_is_dead_after_its_lease),
      TEST(keep_alive_keeps_an_idle_edge_alive_and_measures_it),
      TEST(a_ping_measures_the_round_trip),
      TEST(stop_says_goodbye_and_run_comes_back_on_the_same_port),
      TEST(a_restarted_peer_replaces_its_old_edge_at_once),
      TEST(a_root_takes_the_first_free_port_and_every_topic),
      TEST(a_port_in_use_is_told),
      TEST(a_command_reaches_its_handler_and_an_unknown_one_is_counted),
      TEST(a_node_may_be_destroyed_in_its_own_handler),
      TEST(a_node_may_be_destroyed_when_an_edge_becomes_live),
      TEST(an_edge_that_is_held_outlives_its_node),
  };
  return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
