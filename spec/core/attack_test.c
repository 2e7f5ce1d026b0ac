/* attack_test.c: faults that a hostile tester found: each test is the attack. SPDX-License-Identifier: MIT */
#include "raw_rig.h"

#include "../../src/core/uuid.h"

#define GUESSES 8 /* to each side of the number that is known */

static struct peer *hub;

static int setup(void **state) {
  if (raw_setup(state)) return -1;
  hub = NULL;
  return 0;
}

static int teardown(void **state) {
  chaski_set_allocator(NULL);
  return raw_teardown(state);
}

static chaski_node_options relaying(uint64_t data_max) {
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.propagation = true;
  o.limits.data_max = data_max;
  return o;
}

/* --- the ids of handshakes ---------------------------------------------------------------------------------- */
/* The id of a handshake that the node has sent, with another number: what a stranger makes of what it was told. */
static void guess(const char *told, int64_t distance) {
  uint64_t origin, number;
  char text[CHASKI_UUID_TEXT + 1] = {0};
  struct raw *r = raw_dial("10.2.0.1", hub);
  assert_true(chaski_uuid_parse(chaski_slice_str(told), &origin, &number));
  chaski_uuid_format(text, origin, number + (uint64_t)distance);
  raw_handshake(r, text, true, NULL, 0);
  rig_pass(50 * MS);
  raw_recycle(r);
}

/* An id of our own says that we have dialled ourselves; somebody else must not be able to say so of a dial of ours. */
static void who_was_told_one_id_of_a_handshake_cannot_guess_that_of_another(void **state) {
  (void)state;
  struct dialled d = {0};
  hub = rig_node("hub");
  struct raw *quiet = raw_listen("10.1.0.1"), *curious = raw_dial("10.1.0.2", hub);
  chaski_address a = {.port = quiet->port};
  snprintf(a.host, sizeof a.host, "%s", quiet->ip);
  chaski_sim_act_as(rig->sim, hub->ip);
  assert_int_equal(chaski_node_connect(hub->node, &a, 0, rig_done, &d, NULL), CHASKI_OK);
  rig_pass(50 * MS);
  raw_handshake(curious, raw_uuid(), true, NULL, 0);
  rig_pass(50 * MS);
  for (int64_t i = -GUESSES; i <= GUESSES; i++) guess(curious->handshake_id, i);
  assert_int_equal(d.calls, 0);
  raw_handshake(quiet, raw_uuid(), false, NULL, 0);
  raw_back(quiet, quiet->handshake_id);
  rig_run(rig_answered, &d, 6 * SECOND); /* connect_timeout: the quiet one answers no ping */
  assert_int_equal(d.status, CHASKI_OK);
}

/* --- frames at the limit ------------------------------------------------------------------------------------ */
/* A message whose envelope and data together are of this length. */
static void send_of_length(struct raw *r, size_t length) {
  chaski__buf b = {0};
  size_t envelope = 0;
  uint8_t *zeros = calloc(1, length);
  for (int pass = 0; pass < 2; pass++) {
    chaski__buf_free(&b);
    b = (chaski__buf){0};
    chaski__mp_put_map(&b, 5);
    raw_put_text(&b, "command", "ChaskiMessage");
    raw_put_text(&b, "topic", "t");
    chaski__mp_put_key(&b, "ttl");
    chaski__mp_put_uint(&b, 9);
    raw_put_text(&b, "uuid", raw_uuid());
    chaski__mp_put_key(&b, "data");
    if (!pass) envelope = b.len + 5; /* the head of a long bin */
    if (pass) chaski__mp_put_bin(&b, chaski_slice_of(zeros, length - envelope));
  }
  assert_int_equal(b.len, length);
  raw_frame(r, chaski_slice_str("\xa1t"), chaski__buf_slice(&b));
  chaski__buf_free(&b);
  free(zeros);
}

/* frame_max speaks of the data of a frame, as the limit of who announced it does. */
static void a_relay_passes_on_what_is_just_within_its_peers_limit(void **state) {
  (void)state;
  chaski_node_options wide = relaying(CHASKI_MIB), narrow = relaying(128 * CHASKI_KIB);
  hub = rig_node_with("hub", &wide);
  struct peer *end = rig_node_with("end", &narrow);
  rig_subscribe(end, "t");
  rig_connect(hub, end);
  struct raw *r = raw_join("10.1.0.1", hub);
  rig_pass(SECOND);
  send_of_length(r, 128 * CHASKI_KIB);
  rig_pass(SECOND);
  assert_int_equal(end->messages, 1);
  send_of_length(r, 128 * CHASKI_KIB + 1);
  rig_pass(SECOND);
  assert_int_equal(end->messages, 1);
  assert_int_equal(end->closes, 0);
  assert_int_equal(hub->undelivered_reason, CHASKI_ETOOBIG);
}

static void a_whole_frame_just_within_the_limit_can_be_written(void **state) {
  (void)state;
  static uint8_t frame[CHASKI_FRAME_HEADER + 2 + 64 * 1024];
  chaski_node_options o = relaying(64 * CHASKI_KIB);
  hub = rig_node_with("hub", &o);
  struct peer *end = rig_node_with("end", &o);
  rig_subscribe(end, "t");
  rig_connect(hub, end);
  rig_pass(SECOND);
  chaski__buf b = {0};
  chaski__mp_put_map(&b, 3);
  raw_put_text(&b, "command", "ChaskiMessage");
  raw_put_text(&b, "topic", "t");
  chaski__mp_put_key(&b, "data");
  size_t rest = 64 * 1024 - b.len - 3;
  chaski_frame_header(frame, 2, 64 * 1024);
  memcpy(frame + CHASKI_FRAME_HEADER, "\xa1t", 2);
  memcpy(frame + CHASKI_FRAME_HEADER + 2, b.ptr, b.len);
  memcpy(frame + CHASKI_FRAME_HEADER + 2 + b.len, (uint8_t[]){0xc5, (uint8_t)(rest >> 8), (uint8_t)rest}, 3);
  chaski__buf_free(&b);
  assert_int_equal(chaski_node_write_data(hub->node, chaski_slice_of(frame, sizeof frame), NULL, 0, NULL, 0),
                   CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(end->messages, 1);
}

/* --- out of memory ------------------------------------------------------------------------------------------ */
static size_t refused_size;
static int refusals;

/* No block can grow to this size. */
static void *grudging(void *ptr, size_t size) {
  if (ptr && size == refused_size) {
    refusals++;
    return NULL;
  }
  if (size > 0) return realloc(ptr, size);
  free(ptr);
  return NULL;
}

/* The lists of edges grow from four entries to eight. */
static void full_lists(void) {
  chaski_node_options o;
  chaski_node_options_init(&o);
  hub = rig_node("hub");
  for (int i = 0; i < 4; i++) {
    o.propagation = true;
    rig_connect(rig_node_with("relay", &o), hub);
  }
}

/* An edge that is to take everything must not stay as one that takes nothing. */
static void an_edge_for_which_there_is_no_memory_ends(void **state) {
  (void)state;
  full_lists();
  struct peer *late = rig_node("late");
  rig_connect(late, hub);
  rig_pass(SECOND);
  assert_int_equal(chaski_node_edge_count(hub->node), 5);
  refusals = 0;
  refused_size = 8 * sizeof(void *);
  chaski_set_allocator(grudging);
  chaski_node_set_propagation(late->node, true);
  rig_pass(SECOND);
  assert_true(refusals > 0);
  assert_int_equal(hub->closes, 1);
  assert_int_equal(hub->reason, CHASKI_ENOMEM);
  assert_int_equal(chaski_node_edge_count(hub->node), 4);
}

static void an_edge_for_which_there_is_no_memory_does_not_become_live(void **state) {
  (void)state;
  full_lists();
  rig_connect(rig_node("plain"), hub); /* the list of live edges has grown, that of takers has not */
  rig_pass(SECOND);
  chaski_node_options o = relaying(CHASKI_MIB);
  struct peer *late = rig_node_with("late", &o);
  struct dialled d;
  refusals = 0;
  refused_size = 8 * sizeof(void *);
  chaski_set_allocator(grudging);
  assert_int_equal(rig_dial(late, hub, &d), CHASKI_OK);
  rig_pass(SECOND);
  assert_true(refusals > 0);
  assert_int_equal(chaski_node_edge_count(hub->node), 5);
  assert_int_equal(hub->reason, CHASKI_ENOMEM);
  assert_int_equal(chaski_node_edge_count(late->node), 0);
}

/* --- long lists --------------------------------------------------------------------------------------------- */
static size_t cuts;

static void count_cuts(void *user, enum chaski_log_level level, const char *who, const char *line) {
  (void)user, (void)who;
  if (level == CHASKI_LOG_WARN && strstr(line, "subscriptions do not fit")) cuts++;
}

static void a_list_of_subscriptions_that_is_cut_is_told(void **state) {
  (void)state;
  char topic[250];
  chaski_node_options o = relaying(32 * CHASKI_KIB);
  o.limits.preauth_max = 16 * CHASKI_KIB;
  hub = rig_node_with("hub", &o);
  struct peer *other = rig_node("other");
  cuts = 0;
  chaski_sim_log(rig->sim, CHASKI_LOG_WARN, count_cuts, NULL);
  rig_connect(hub, other);
  rig_pass(SECOND);
  for (int i = 0; i < 50; i++) rig_subscribe(hub, (snprintf(topic, sizeof topic, "%0240d", i), topic));
  rig_pass(SECOND);
  assert_int_equal(cuts, 0); /* 12 KiB of names go */
  for (int i = 50; i < 100; i++) rig_subscribe(hub, (snprintf(topic, sizeof topic, "%0240d", i), topic));
  rig_pass(SECOND);
  assert_int_equal(cuts, 1); /* once a change and edge */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(who_was_told_one_id_of_a_handshake_cannot_guess_that_of_another),
      TEST(a_relay_passes_on_what_is_just_within_its_peers_limit),
      TEST(a_whole_frame_just_within_the_limit_can_be_written),
      TEST(an_edge_for_which_there_is_no_memory_ends),
      TEST(an_edge_for_which_there_is_no_memory_does_not_become_live),
      TEST(a_list_of_subscriptions_that_is_cut_is_told),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
