/* python_peer_test.c: a peer of the original's kind, as PROTOCOL part A describes it: no id, none of our keys, no
 * telling of subscriptions but in handshake_back and pong. SPDX-License-Identifier: MIT */
#include "raw_rig.h"

static struct raw *joined(struct peer *to) {
  return raw_join("10.1.0.1", to);
}

static void it_dials_us_and_makes_one_edge(void **state) {
  (void)state;
  struct peer *a = rig_node("a");
  struct raw *py = joined(a);
  assert_int_equal(chaski_node_edge_count(a->node), 1);
  assert_int_equal(a->lives, 1);
  assert_false(chaski_edge_dialled(a->edge));
  assert_string_equal(chaski_edge_name(a->edge), py->ip);
  assert_string_equal(chaski_edge_id(a->edge), "");
  assert_int_equal(chaski_edge_port(a->edge), py->port);
  assert_int_equal(chaski_edge_protocol(a->edge), 0);
  assert_true(chaski_edge_subscribed(a->edge, chaski_slice_str("t")));
  assert_int_equal(py->got[RAW_HANDSHAKE], 1); /* with response false: one with true would be a goodbye */
  assert_false(py->response);
  assert_int_equal(py->got[RAW_BACK], 1); /* a second answer would be the end of it */
  assert_int_equal(py->got[RAW_OTHER] + py->got[RAW_SUBSCRIPTIONS], 0);
}

static void we_dial_it_and_make_one_edge(void **state) {
  (void)state;
  struct peer *a = rig_node("a");
  struct raw *py = raw_listen("10.1.0.1");
  py->python = true;
  chaski_edge *e = raw_connect(a, py);
  assert_true(chaski_edge_dialled(e));
  assert_int_equal(py->got[RAW_HANDSHAKE], 1);
  assert_int_equal(py->got[RAW_BACK], 1);
  assert_int_equal(chaski_node_edge_count(a->node), 1);
  struct dialled d = {0};
  chaski_address again = {.host = "10.1.0.1", .port = py->port};
  assert_int_equal(chaski_node_connect(a->node, &again, 0, rig_done, &d, NULL), CHASKI_OK);
  rig_run(rig_answered, &d, SECOND);
  assert_ptr_equal(d.edge, e);
}

static void it_gets_every_message_whatever_it_subscribes_to(void **state) {
  (void)state;
  struct peer *a = rig_node("a");
  struct raw *py = joined(a);
  assert_int_equal(rig_publish(a, "t", 1), CHASKI_OK);
  assert_int_equal(rig_publish(a, "something-else", 2), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(py->got[RAW_MESSAGE], 2);
  assert_int_equal(chaski_node_counters(a->node)->no_interest, 0);
}

static void what_it_sends_is_delivered_and_relayed(void **state) {
  (void)state;
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.propagation = true;
  struct peer *a = rig_node_with("a", &o), *b = rig_node("b");
  rig_subscribe(a, "t");
  rig_subscribe(b, "t");
  rig_connect(a, b);
  struct raw *py = joined(a), *other = raw_join("10.1.0.2", a);
  raw_message(py, "t", raw_uuid(), 64, 9);
  rig_pass(SECOND);
  assert_int_equal(a->messages, 1);
  assert_int_equal(b->messages, 1);
  assert_int_equal(other->got[RAW_MESSAGE], 1);
  assert_int_equal(py->got[RAW_MESSAGE], 0);
  assert_int_equal(b->data[0], 9);
  assert_int_equal(b->last.ttl, 63);
  assert_true(b->last.sec > 0); /* its timestamp, unchanged */
}

static void its_pong_tells_of_its_subscriptions(void **state) {
  (void)state;
  struct peer *a = rig_node("a");
  struct raw *py = joined(a);
  py->topic = "later";
  size_t changes = a->changes;
  rig_pass(20 * SECOND); /* a keep-alive or two */
  assert_true(chaski_edge_subscribed(a->edge, chaski_slice_str("later")));
  assert_false(chaski_edge_subscribed(a->edge, chaski_slice_str("t")));
  assert_int_equal(a->changes, changes + 1); /* told once, not with every pong */
  assert_true(chaski_edge_latency(a->edge)->samples > 1);
  assert_int_equal(a->closes, 0);
}

static void its_pings_are_answered_as_it_expects(void **state) {
  (void)state;
  struct peer *a = rig_node("a");
  rig_subscribe(a, "mine");
  struct raw *py = joined(a);
  size_t before = py->got[RAW_PONG];
  raw_ping(py, "36-characters-or-whatever", 100);
  rig_pass(SECOND);
  assert_int_equal(py->got[RAW_PONG], before + 1);
  assert_int_equal(a->closes, 0);
}

static void it_says_goodbye(void **state) {
  (void)state;
  struct peer *a = rig_node("a");
  size_t handles = chaski_sim_handles(rig->sim);
  struct raw *py = joined(a);
  py->keeps_out = true; /* it is closing: our answers meet a closed socket */
  raw_handshake(py, raw_uuid(), true, NULL, 0);
  raw_close(py);
  rig_run(rig_got_close, a, SECOND);
  assert_int_equal(a->reason, CHASKI_EGOODBYE);
  rig_pass(5 * SECOND);
  assert_int_equal(a->closes, 1);
  assert_int_equal(chaski_sim_handles(rig->sim), handles);
}

static void its_answers_to_our_goodbye_are_ignored(void **state) {
  (void)state;
  struct peer *a = rig_node("a");
  struct raw *py = joined(a);
  chaski_edge_close(a->edge, CHASKI_ECLOSED, true);
  rig_pass(500 * MS);
  assert_int_equal(py->got[RAW_HANDSHAKE], 2);
  assert_true(py->response);
  assert_string_equal(py->bye, "closed");
  assert_int_equal(a->closes, 1);
  assert_int_equal(a->reason, CHASKI_ECLOSED);
  rig_pass(2 * SECOND); /* it never closes: we do, after the goodbye's time */
  assert_true(py->ended);
  assert_int_equal(chaski_node_edge_count(a->node), 0);
  assert_int_equal(a->closes, 1);
}

static void of_two_connections_the_older_stays(void **state) {
  (void)state;
  struct peer *a = rig_node("a");
  struct raw *first = joined(a);
  chaski_edge *e = a->edge;
  struct raw *second = raw_new("10.1.0.1");
  second->python = true;
  raw_dial_address(second, a->ip, chaski_node_port(a->node));
  raw_handshake(second, raw_uuid(), true, NULL, 0);
  rig_pass(5 * SECOND);
  assert_int_equal(chaski_node_edge_count(a->node), 1);
  assert_ptr_equal(chaski_node_edge_at(a->node, 0), e);
  assert_true(second->ended);
  assert_false(first->ended);
  assert_int_equal(a->lives, 1);
  assert_int_equal(a->closes, 0);
  assert_int_equal(rig_publish(a, "t", 1), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(first->got[RAW_MESSAGE], 1);
}

static void two_of_them_are_two_edges(void **state) {
  (void)state;
  struct peer *a = rig_node("a");
  joined(a);
  raw_join("10.1.0.2", a);
  assert_int_equal(chaski_node_edge_count(a->node), 2);
}

/* It keeps a dead edge in its list and never redials after a clean end; it may come back much later. */
static void it_may_come_back_after_a_loss(void **state) {
  (void)state;
  struct peer *a = rig_node("a");
  struct raw *first = joined(a);
  raw_close(first);
  rig_run(rig_got_close, a, SECOND);
  assert_int_equal(a->reason, CHASKI_ELOST);
  raw_join("10.1.0.1", a);
  assert_int_equal(chaski_node_edge_count(a->node), 1);
  assert_int_equal(a->lives, 2);
}

static void one_that_never_pings_but_answers_lives_on(void **state) {
  (void)state;
  struct peer *a = rig_node("a");
  struct raw *py = joined(a);
  rig_pass(300 * SECOND);
  assert_int_equal(a->closes, 0);
  assert_true(py->got[RAW_PING] >= 25);
  py->python = false; /* it answers no more */
  rig_run(rig_got_close, a, 30 * SECOND);
  assert_int_equal(a->reason, CHASKI_ELEASE);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, raw_setup, raw_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(it_dials_us_and_makes_one_edge),
      TEST(we_dial_it_and_make_one_edge),
      TEST(it_gets_every_message_whatever_it_subscribes_to),
      TEST(what_it_sends_is_delivered_and_relayed),
      TEST(its_pong_tells_of_its_subscriptions),
      TEST(its_pings_are_answered_as_it_expects),
      TEST(it_says_goodbye),
      TEST(its_answers_to_our_goodbye_are_ignored),
      TEST(of_two_connections_the_older_stays),
      TEST(two_of_them_are_two_edges),
      TEST(it_may_come_back_after_a_loss),
      TEST(one_that_never_pings_but_answers_lives_on),
  };
  return cmocka_run_group_tests_name("python peer", tests, NULL, NULL);
}
