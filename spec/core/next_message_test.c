/* next_message_test.c: who takes messages out of an upcall for another gets what it would have got, in the same order,
 * and everything counts alike. SPDX-License-Identifier: MIT */
#include "raw_rig.h"

#define ROUNDS 400
#define FRAMES 60

/* --- drawing -------------------------------------------------------------------------------------------------- */
static uint64_t drawn, taking; /* what is sent, and how much is taken, have numbers of their own */

static uint64_t draw_from(uint64_t *state, uint64_t below) { /* xorshift64* (Vigna) */
  *state ^= *state >> 12, *state ^= *state << 25, *state ^= *state >> 27;
  return (*state * UINT64_C(0x2545f4914f6cdd1d) >> 16) % below;
}

static uint64_t draw(uint64_t below) {
  return draw_from(&drawn, below);
}

/* --- two nodes that get the same bytes ------------------------------------------------------------------------- */
struct twin {
  struct peer *peer, *behind; /* behind: what is passed on comes to it */
  struct raw *raw;
  chaski_subscription *first, *second; /* of topic t; second: or NULL */
  bool takes;                          /* messages out of an upcall */
  uint64_t taken;
  uint8_t log[8 * FRAMES]; /* number and ttl of each */
  size_t logged;
  int act_at, act; /* after so many messages this happens */
};

enum { NOTHING, REMOVE, ADD, CLOSE, PAUSE, ACTS };

static struct twin twins[2];

static struct twin *twin_of(const struct peer *p) {
  return &twins[p == twins[1].peer];
}

static void act(struct twin *t, chaski_edge *edge) {
  chaski_slice topic = chaski_slice_str("t");
  if (t->act == REMOVE && t->first) chaski_subscription_remove(t->first), t->first = NULL;
  if (t->act == ADD) assert_int_equal(chaski_node_subscribe(t->peer->node, topic, NULL, &t->second), CHASKI_OK);
  if (t->act == CLOSE) chaski_edge_close(edge, CHASKI_ECANCELLED, false);
  if (t->act == PAUSE) chaski_edge_pause(edge);
}

static void note(struct twin *t, chaski_edge *edge, const chaski_message *m) {
  assert_true(t->logged + 2 <= sizeof t->log && m->data.len == 1);
  t->log[t->logged++] = *m->data.ptr;
  t->log[t->logged++] = m->ttl;
  if ((int)t->logged / 2 == t->act_at) act(t, edge);
}

static void on_message(struct peer *p, chaski_edge *edge, const chaski_message *m) {
  struct twin *t = twin_of(p);
  chaski_message next;
  note(t, edge, m);
  while (t->takes && draw_from(&taking, 5) && chaski_edge_next_message(edge, &next)) {
    t->taken++;
    note(t, edge, &next);
  }
}

static void make_twin(struct twin *t, const char *ip, bool takes) {
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.propagation = draw(8) == 0;
  *t = (struct twin){.takes = takes};
  t->peer = rig_node_with(takes ? "node a" : "node b", &o);
  t->peer->on_message = on_message;
  assert_int_equal(chaski_node_subscribe(t->peer->node, chaski_slice_str("t"), NULL, &t->first), CHASKI_OK);
  rig_subscribe(t->peer, "u");
  if (draw(2)) chaski_subscription_silence(rig_subscribe(t->peer, "t"));
  t->behind = rig_node(takes ? "behind a" : "behind b");
  rig_subscribe(t->behind, "t");
  rig_connect(t->behind, t->peer);
  t->raw = raw_join(ip, t->peer);
}

/* --- the bytes --------------------------------------------------------------------------------------------------- */
static void add_frame(struct raw *r, uint8_t number) {
  static char last[40] = "75b5015d-54c2-4483-8380-e8b557323d0b";
  uint64_t kind = draw(40);
  if (kind > 1) snprintf(last, sizeof last, "%s", raw_uuid());
  if (kind == 0)
    raw_ping(r, "p", 3);
  else if (kind == 2)
    raw_envelope(r, "t", "t", "command", chaski_slice_of(&number, 1), last, 64, false);
  else if (kind == 3)
    raw_message(r, "nobody", last, 64, number);
  else if (kind == 4 && draw(10) == 0)
    raw_send(r, "\0\0\0\1\0\0\0\1??", 10); /* malformed */
  else
    raw_message(r, kind < 7 ? "u" : "t", last, kind == 7 ? 100 : 64, number);
}

/* Hold back what is sent, so that it leaves in pieces of any size. */
static void send_in_pieces(struct raw *to, const uint8_t *bytes, size_t len) {
  while (len && to->stream && !to->ended) {
    size_t n = draw(3) ? len : 1 + (size_t)draw(len);
    raw_send(to, bytes, n);
    bytes += n, len -= n;
    rig_pass(MS);
  }
}

static void send_to_both(void) {
  struct raw *r = raw_new("10.9.0.9"); /* never connected: collects */
  size_t frames = 1 + (size_t)draw(FRAMES);
  for (size_t i = 0; i < frames; i++) add_frame(r, (uint8_t)i);
  uint64_t pieces = drawn;
  for (size_t i = 0; i < 2; i++) {
    drawn = pieces;
    send_in_pieces(twins[i].raw, r->out, r->out_len);
  }
  free(r->out);
  r->out = NULL;
  r->out_len = r->out_off = 0;
  rig_pass(SECOND);
}

static void the_twins_are_alike(void) {
  const chaski_counters *a = chaski_node_counters(twins[0].peer->node), *b = chaski_node_counters(twins[1].peer->node);
  assert_int_equal(twins[0].logged, twins[1].logged);
  assert_memory_equal(twins[0].log, twins[1].log, twins[0].logged);
  assert_memory_equal(a, b, sizeof *a);
  assert_memory_equal(chaski_node_limit_hits(twins[0].peer->node), chaski_node_limit_hits(twins[1].peer->node),
                      sizeof(chaski_limits));
  assert_int_equal(twins[0].behind->messages, twins[1].behind->messages);
  assert_int_equal(twins[0].peer->closes, twins[1].peer->closes);
  assert_int_equal(twins[0].peer->reason, twins[1].peer->reason);
}

static void what_is_taken_is_what_would_have_come(void **state) {
  uint64_t taken = 0;
  for (uint64_t round = 1; round <= ROUNDS; round++) {
    uint64_t options = drawn = taking = round * UINT64_C(0x9e3779b97f4a7c15);
    make_twin(&twins[0], "10.1.0.1", true);
    drawn = options;
    make_twin(&twins[1], "10.1.0.2", false);
    for (size_t i = 0; i < 2; i++) drawn = options, twins[i].act = (int)draw(ACTS), twins[i].act_at = 1 + (int)draw(30);
    send_to_both();
    the_twins_are_alike();
    taken += twins[0].taken;
    raw_teardown(state);
    raw_setup(state);
  }
  assert_true(taken > ROUNDS); /* or nothing was tried */
}

/* --- where there is nothing to take --------------------------------------------------------------------------------
 */
static chaski_message stray;

static void take_on_close(struct peer *p, chaski_edge *edge, int reason) {
  (void)p, (void)reason;
  assert_false(chaski_edge_next_message(edge, &stray));
}

static void outside_of_an_upcall_there_is_none(void **state) {
  (void)state;
  struct peer *a = rig_node("a");
  rig_subscribe(a, "t");
  a->on_closed = take_on_close;
  struct raw *r = raw_join("10.1.0.1", a);
  assert_false(chaski_edge_next_message(a->edge, &stray));
  raw_close(r);
  rig_pass(SECOND);
  assert_int_equal(a->closes, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, raw_setup, raw_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_is_taken_is_what_would_have_come),
      TEST(outside_of_an_upcall_there_is_none),
  };
  return cmocka_run_group_tests_name("next message", tests, NULL, NULL);
}
