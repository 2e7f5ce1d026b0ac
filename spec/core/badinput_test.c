/* badinput_test.c: what a stranger or a broken peer may send: each such connection ends once, with its reason; the node
 * and its good edge go on, and memory stays where it was. SPDX-License-Identifier: MIT */
#include "raw_rig.h"

static struct peer *victim, *friend; /* the node under attack, and the peer of its good edge */
static struct raw *raw;              /* the attacker */

static chaski_node_options small(void) {
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 0; /* sessions: session_test */
  o.limits.data_max = 64 * CHASKI_KIB;
  o.limits.frame_timeout = 5 * SECOND;
  return o;
}

static int setup_with(void **state, const chaski_node_options *o) {
  if (raw_setup(state)) return -1;
  victim = rig_node_with("victim", o);
  friend = rig_node("friend");
  rig_subscribe(friend, "t");
  rig_subscribe(victim, "t");
  rig_connect(victim, friend);
  rig_pass(SECOND);
  return 0;
}

static int setup(void **state) {
  chaski_node_options o = small();
  return setup_with(state, &o);
}

static void stranger(void) {
  raw = raw_dial("10.1.0.1", victim);
}

static void member(void) {
  raw = raw_join("10.1.0.1", victim);
}

static void byte_by_byte(void) {
  chaski_sim_link link = {.delay_ns = MS, .chunk_max = 1};
  chaski_sim_set_link(rig->sim, "10.1.0.1", NULL, &link);
}

static void the_friend_is_well(void) {
  size_t before = friend->messages;
  assert_int_equal(rig_publish(victim, "t", 1), CHASKI_OK);
  rig_pass(100 * MS);
  assert_int_equal(friend->messages, before + 1);
  assert_int_equal(friend->closes, 0);
  assert_true(chaski_node_edge_count(victim->node) >= 1);
}

static void it_ends(int reason, const char *detail) {
  rig_run(rig_got_close, victim, 20 * SECOND);
  rig_pass(2 * SECOND);
  assert_int_equal(victim->closes, 1);
  assert_string_equal(chaski_error_name(victim->reason), chaski_error_name(reason));
  if (detail) assert_string_equal(victim->detail, detail);
  assert_true(raw->ended);
  the_friend_is_well();
}

typedef struct outcome {
  int reason;
  const char *detail;
} outcome;

/* As a stranger and as a member, at once and byte by byte. */
static void as_both(void **state, void (*bad)(void), outcome of_stranger, outcome of_member) {
  for (int way = 0; way < 4; way++) {
    if (way) setup(state);
    if (way & 1) byte_by_byte();
    if (way & 2)
      member();
    else
      stranger();
    bad();
    outcome o = way & 2 ? of_member : of_stranger;
    it_ends(o.reason, o.detail);
    if (way < 3) assert_int_equal(raw_teardown(state), 0);
  }
}

static void each_way(void **state, void (*bad)(void), int reason, const char *detail) {
  outcome same = {reason, detail};
  as_both(state, bad, same, same);
}

/* Who begins like that is told apart from who sends too much. */
static void each_foreign_way(void **state, void (*bad)(void)) {
  as_both(state, bad, (outcome){CHASKI_EPROTOCOL, "it does not speak chaski, or only over TLS"},
          (outcome){CHASKI_ETOOBIG, "a frame's length is over the limit"});
}

static void header(uint32_t topic, uint32_t data) {
  uint8_t h[CHASKI_FRAME_HEADER];
  chaski_frame_header(h, topic, data);
  raw_send(raw, h, sizeof h);
}

/* --- frames ------------------------------------------------------------------------------------------------- */
static void send_long_data(void) {
  header(4, 64 * 1024 + 1);
}

static void send_long_topic(void) {
  header(257, 10);
}

static void send_all_ones(void) {
  header(UINT32_MAX, UINT32_MAX);
}

static void lengths_over_the_limit_are_refused(void **state) {
  each_way(state, send_long_data, CHASKI_ETOOBIG, "a frame's length is over the limit");
  raw_teardown(state);
  setup(state);
  each_way(state, send_long_topic, CHASKI_ETOOBIG, "a frame's length is over the limit");
  raw_teardown(state);
  setup(state);
  each_foreign_way(state, send_all_ones);
}

static void before_the_handshake_less_is_taken(void **state) {
  (void)state;
  stranger();
  header(4, 16 * 1024 + 1);
  it_ends(CHASKI_ETOOBIG, NULL);
}

static void send_http(void) {
  raw_send(raw, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
}

static void send_tls_hello(void) {
  raw_send(raw, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x11\x22\x33\x44\x55", 16);
}

static void send_ssh(void) {
  raw_send(raw, "SSH-2.0-OpenSSH_9.2\r\n", 21);
}

static void other_protocols_are_refused(void **state) {
  each_foreign_way(state, send_http);
  raw_teardown(state);
  setup(state);
  each_foreign_way(state, send_tls_hello);
  raw_teardown(state);
  setup(state);
  each_foreign_way(state, send_ssh);
  assert_int_equal(raw->bytes > 0, raw->got[RAW_BACK] > 0); /* a stranger gets no answer */
}

/* Bytes of the allocator, to see that memory follows what was received. */
static size_t largest;

static void *watching(void *ptr, size_t size) {
  if (size > largest) largest = size;
  if (size > 0) return realloc(ptr, size);
  free(ptr);
  return NULL;
}

static void a_promise_of_64_mib_costs_nothing_and_ends_in_time(void **state) {
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 0; /* sessions: session_test */
  o.limits.data_max = 64 * CHASKI_MIB;
  o.limits.queue_hard = 128 * CHASKI_MIB;
  o.limits.frame_timeout = 5 * SECOND;
  for (int drip = 0; drip < 2; drip++) {
    raw_teardown(state);
    chaski_set_allocator(watching);
    setup_with(state, &o);
    member();
    largest = 0;
    header(4, 64 * 1024 * 1024);
    for (int i = 0; i < 60 && !victim->closes; i++) {
      rig_pass(100 * MS);
      if (drip) raw_send(raw, "x", 1); /* slowly on, for ever */
    }
    chaski_set_allocator(NULL);
    assert_true(largest < 200 * 1024);
    it_ends(CHASKI_EFRAME, "");
    assert_int_equal(chaski_node_limit_hits(victim->node)->frame_timeout, 1);
  }
}

static void frames_that_come_slowly_but_in_time_are_taken(void **state) {
  (void)state;
  member();
  for (int i = 0; i < 3; i++) {
    chaski_sim_link trickle = {.delay_ns = MS, .bytes_per_s = 50, .chunk_max = 1};
    chaski_sim_set_link(rig->sim, "10.1.0.1", NULL, &trickle);
    raw_message(raw, "t", raw_uuid(), 64, 3);
    rig_pass(6 * SECOND);
    assert_int_equal(victim->messages, i + 1);
  }
  assert_int_equal(victim->closes, 0);
}

static void an_end_inside_a_frame_is_told_as_such(void **state) {
  (void)state;
  stranger();
  header(4, 100);
  raw_transport()->shutdown(raw->stream);
  it_ends(CHASKI_ETRUNCATED, "");
}

static void an_end_between_frames_is_a_loss(void **state) {
  (void)state;
  member();
  raw_transport()->shutdown(raw->stream);
  it_ends(CHASKI_ELOST, "");
}

/* --- envelopes ---------------------------------------------------------------------------------------------- */
static const char *bad_topic, *bad_data;
static size_t bad_topic_len, bad_data_len;

static void send_bad_frame(void) {
  raw_frame(raw, chaski_slice_of(bad_topic, bad_topic_len), chaski_slice_of(bad_data, bad_data_len));
}

#define BAD(topic, data, why)                                                                                          \
  { topic, sizeof(topic) - 1, data, sizeof(data) - 1, why }
#define ALL                                                                                                            \
  "\xa3"                                                                                                               \
  "All"
#define COMMAND                                                                                                        \
  "\xa7"                                                                                                               \
  "command"                                                                                                            \
  "\xa4"                                                                                                               \
  "ping"
#define KEY_TOPIC                                                                                                      \
  "\xa5"                                                                                                               \
  "topic"
#define KEY_DATA                                                                                                       \
  "\xa4"                                                                                                               \
  "data"

static void a_malformed_frame_ends_the_connection(void **state) {
  static const struct {
    const char *topic;
    size_t topic_len;
    const char *data;
    size_t data_len;
    const char *why;
  } cases[] = {
      BAD(ALL, "", "the message is not a map"),
      BAD("", "", "the header's topic is not one string"),
      BAD("\x05", "\x80", "the header's topic is not one string"),
      BAD(ALL "\xc0", "\x80", "the header's topic is not one string"),
      BAD("\xa4"
          "All",
          "\x80", "the header's topic is not one string"),
      BAD(ALL, "\xc1", "the message is not a map"),
      BAD(ALL, "\x93\x01\x02\x03", "the message is not a map"),
      BAD(ALL, "\x80", "envelope: no command"),
      BAD(ALL, "\x81\x01\x02", "envelope: a key is not a string"),
      BAD(ALL, "\x81" COMMAND "\xc0", "bytes follow the message"),
      BAD(ALL, "\x82" COMMAND COMMAND, "envelope: a key stands twice"),
      BAD(ALL, "\x82" COMMAND KEY_TOPIC "\xa1x", "header and envelope have different topics"),
      BAD(ALL, "\x82" COMMAND KEY_TOPIC "\xc0", "envelope: bad topic"),
      BAD(ALL, "\x82" COMMAND "\xa3ttl\xcb\x00\x00\x00\x00\x00\x00\x00\x00", "envelope: bad ttl"),
      BAD(ALL, "\x82" COMMAND "\xa4uuid\x01", "envelope: bad uuid"),
      BAD(ALL, "\x82" COMMAND "\xa9timestamp\xa1x", "envelope: bad timestamp"),
      BAD(ALL, "\x82" COMMAND "\xa9timestamp\xd7\xff\xff\xff\xff\xff\x00\x00\x00\x00", "envelope: bad timestamp"),
      BAD(ALL, "\x82" COMMAND KEY_DATA, "envelope: bad data"),
      BAD(ALL, "\x83" KEY_DATA "\xdd\xff\xff\xff\xff" COMMAND, "envelope: bad data"),
      BAD(ALL, "\x82" COMMAND "\xa1q\xdf\xff\xff\xff\xff", "envelope: bad value under an unknown key"),
      BAD(ALL,
          "\x81\xa7"
          "command\xa0",
          "envelope: empty command"),
      BAD(ALL, "\xdf\xff\xff\xff\xff" COMMAND, "envelope: a key is not a string"),
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    bad_topic = cases[i].topic;
    bad_topic_len = cases[i].topic_len;
    bad_data = cases[i].data;
    bad_data_len = cases[i].data_len;
    if (i) assert_int_equal(setup(state), 0);
    each_way(state, send_bad_frame, CHASKI_EMALFORMED, cases[i].why);
    assert_int_equal(chaski_node_counters(victim->node)->malformed, 1);
    if (i + 1 < sizeof cases / sizeof *cases) assert_int_equal(raw_teardown(state), 0);
  }
}

static void a_fault_inside_application_data_stays_with_the_message(void **state) {
  (void)state;
  member();
  raw_envelope(raw, "t", "t", "ChaskiMessage", chaski_slice_of("\x81\xa1x\x01", 4), raw_uuid(), 64, false);
  /* data stands last, as we send it, and is no value at all */
  chaski__buf b = {0};
  chaski__mp_put_map(&b, 3);
  raw_put_text(&b, "command", "ChaskiMessage");
  raw_put_text(&b, "topic", "t");
  chaski__mp_put_key(&b, "data");
  chaski__buf_append(&b, "\xc1\xc1", 2);
  raw_frame(raw, chaski_slice_of("\xa1t", 2), chaski__buf_slice(&b));
  chaski__buf_free(&b);
  rig_pass(SECOND);
  assert_int_equal(victim->messages, 2);
  assert_int_equal(victim->data_len, 2);
  assert_int_equal(victim->closes, 0);
}

/* --- commands of the protocol ------------------------------------------------------------------------------- */
struct field {
  const char *command, *key;
  const char *right;
  size_t right_len;
  bool required, early;
};

#define FIELD(command, key, right, required, early)                                                                    \
  { command, key, right, sizeof(right) - 1, required, early }

static const struct field fields[] = {
    FIELD("handshake", "handshake_id", "\xa1i", true, true),
    FIELD("handshake", "response", "\xc3", true, true),
    FIELD("handshake", "id", "\xa1i", false, true),
    FIELD("handshake", "start", "\x05", false, true),
    FIELD("handshake", "protocol", "\x01", false, true),
    FIELD("handshake", "agent", "\xa1x", false, true),
    FIELD("handshake", "frame_max", "\xce\x00\x10\x00\x00", false, true),
    FIELD("handshake", "propagates", "\xc2", false, true),
    FIELD("handshake", "root", "\xc2", false, true),
    FIELD("handshake_back", "handshake_id", "\xa1i", true, true),
    FIELD("handshake_back", "name", "\xa1n", true, true),
    FIELD("handshake_back", "ip",
          "\xa3"
          "::1",
          true, true),
    FIELD("handshake_back", "port", "\x05", true, true),
    FIELD("handshake_back", "subscriptions", "\x91\xa1t", true, true),
    FIELD("ping", "ping_id", "\xa1i", true, true),
    FIELD("ping", "latency_update", "\xc3", false, true),
    FIELD("ping", "dummy_data", "\xc4\x01x", false, true),
    FIELD("pong", "ping_id", "\xa1i", false, true),
    FIELD("pong", "latency_update", "\xc3", false, true),
    FIELD("pong", "dummy_data", "\xc4\x01x", false, true),
    FIELD("pong", "name", "\xa1n", false, true),
    FIELD("pong", "ip", "\xa1n", false, true),
    FIELD("pong", "port", "\x05", false, true),
    FIELD("pong", "subscriptions", "\x91\xa1t", false, true),
    FIELD("subscriptions", "subscriptions", "\x91\xa1t", true, false),
    FIELD("subscriptions", "propagates", "\xc3", false, false),
    FIELD("subscriptions", "root", "\xc3", false, false),
};

/* The command with all its fields right, but the `wrong`-th has `value` (len 0: is left out). */
static void send_with(const struct field *wrong, const char *value, size_t len) {
  chaski__buf b = {0}, pairs = {0};
  uint32_t n = 0;
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    const struct field *f = &fields[i];
    if (strcmp(f->command, wrong->command) != 0 || (f == wrong && !len)) continue;
    chaski__mp_put_key(&pairs, f->key);
    chaski__buf_append(&pairs, f == wrong ? value : f->right, f == wrong ? len : f->right_len);
    n++;
  }
  chaski__mp_put_map(&b, n);
  chaski__buf_append(&b, pairs.ptr, pairs.len);
  chaski__buf_free(&pairs);
  raw_command(raw, wrong->command, &b);
}

static void a_field_of_the_wrong_type_ends_the_connection(void **state) {
  static const char *const values[] = {"\x93\x01\x02\x03", "\x80", "\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", "\xff"};
  static const size_t lens[] = {4, 1, 9, 1};
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    for (size_t v = 0; v < 5; v++) {
      if (v == 4 && !fields[i].required) continue;
      for (int live = fields[i].early ? 0 : 1; live < 2; live++) {
        char detail[64];
        raw_teardown(state);
        setup(state);
        if (live)
          member();
        else
          stranger();
        send_with(&fields[i], v < 4 ? values[v] : "", v < 4 ? lens[v] : 0);
        snprintf(detail, sizeof detail, "%s: bad data", fields[i].command);
        it_ends(CHASKI_EPROTOCOL, detail);
      }
    }
  }
}

static void data_that_is_no_map_ends_the_connection(void **state) {
  static const char *const commands[] = {"handshake", "handshake_back", "ping", "pong", "subscriptions"};
  for (size_t i = 0; i < 5; i++) {
    raw_teardown(state);
    setup(state);
    member();
    raw_envelope(raw, "All", "All", commands[i], chaski_slice_of("\xc0", 1), raw_uuid(), 64, false);
    it_ends(CHASKI_EPROTOCOL, NULL);
  }
}

static void a_protocol_command_under_a_topic_ends_the_connection(void **state) {
  (void)state;
  member();
  raw_envelope(raw, "t", "t", "ping", chaski_slice_of("\x80", 1), raw_uuid(), 64, false);
  it_ends(CHASKI_EPROTOCOL, "a protocol command under a topic");
}

static void commands_before_the_handshake_end_the_connection(void **state) {
  static const char *const commands[] = {"ChaskiMessage", "subscriptions", "discovery", "what", "ack"};
  for (size_t i = 0; i < 5; i++) {
    raw_teardown(state);
    setup(state);
    stranger();
    raw_envelope(raw, "All", "All", commands[i], chaski_slice_of("\x80", 1), raw_uuid(), 64, false);
    it_ends(CHASKI_EPROTOCOL, "a command before the handshake");
    assert_int_equal(victim->messages, 0);
  }
}

static void one_report_before_the_handshake_is_kept_and_a_second_ends_the_connection(void **state) {
  (void)state;
  stranger();
  for (int i = 0; i < 2; i++) {
    assert_int_equal(victim->closes, 0);
    raw_envelope(raw, "All", "All", "report_paired", chaski_slice_of("\x80", 1), raw_uuid(), 64, false);
    rig_pass(100 * MS);
  }
  it_ends(CHASKI_EPROTOCOL, "an unexpected report_paired");
}

static void an_identity_out_of_bounds_ends_the_connection(void **state) {
  static const char *const whys[] = {"bad name",
                                     "bad name",
                                     "bad ip",
                                     "bad port",
                                     "handshake: bad id",
                                     "handshake: bad id",
                                     "handshake: handshake_id is too long"};
  char text[400];
  memset(text, 'x', sizeof text);
  for (size_t i = 0; i < 7; i++) {
    chaski__buf b = {0};
    raw_teardown(state);
    setup(state);
    stranger();
    if (i >= 4) {
      chaski__mp_put_map(&b, 3);
      chaski__mp_put_key(&b, "handshake_id");
      chaski__mp_put_str(&b, chaski_slice_of(text, i == 6 ? 65 : 3));
      chaski__mp_put_key(&b, "response");
      chaski__mp_put_bool(&b, true);
      chaski__mp_put_key(&b, "id");
      chaski__mp_put_str(&b, i == 5 ? chaski_slice_of("a\0b", 3) : chaski_slice_of(text, i == 6 ? 3 : 65));
      raw_command(raw, "handshake", &b);
    } else {
      raw_handshake(raw, "h", true, NULL, 0);
      rig_pass(100 * MS);
      chaski__mp_put_map(&b, 5);
      raw_put_text(&b, "handshake_id", raw->handshake_id);
      chaski__mp_put_key(&b, "name");
      chaski__mp_put_str(&b, i == 1 ? chaski_slice_of("a\0b", 3) : chaski_slice_of(text, i == 0 ? 257 : 3));
      chaski__mp_put_key(&b, "ip");
      chaski__mp_put_str(&b, chaski_slice_of(text, i == 2 ? 256 : 3));
      chaski__mp_put_key(&b, "port");
      chaski__mp_put_uint(&b, i == 3 ? 65536 : 5);
      chaski__mp_put_key(&b, "subscriptions");
      chaski__mp_put_array(&b, 0);
      raw_command(raw, "handshake_back", &b);
    }
    it_ends(CHASKI_EPROTOCOL, whys[i]);
  }
}

/* --- handshakes --------------------------------------------------------------------------------------------- */
static void a_handshake_that_is_never_finished_ends_in_time(void **state) {
  for (int kind = 0; kind < 3; kind++) {
    raw_teardown(state);
    setup(state);
    stranger();
    uint64_t from = chaski_sim_now(rig->sim);
    if (kind == 1) raw_handshake(raw, "h", true, NULL, 0); /* and no handshake_back */
    for (int i = 0; i < 12 && !victim->closes; i++) {
      if (kind == 2) raw_ping(raw, "p", 10); /* a lively stranger has no more time */
      rig_pass(SECOND);
    }
    it_ends(CHASKI_EHANDSHAKE, "");
    assert_in_range(chaski_sim_now(rig->sim) - from, 10 * SECOND, 14 * SECOND);
  }
}

static void silent_connections_cost_only_each_other(void **state) {
  (void)state;
  for (int i = 0; i < 200; i++) {
    char ip[32];
    snprintf(ip, sizeof ip, "10.2.%d.%d", i / 50, i % 50 + 1);
    raw_dial(ip, victim);
    rig_pass(MS);
  }
  assert_int_equal(victim->closes, 100);
  assert_int_equal(victim->reason, CHASKI_EPENDING);
  for (int i = 0; i < 200; i++) assert_int_equal(raws[i].ended, i < 100); /* the oldest go */
  assert_int_equal(chaski_node_limit_hits(victim->node)->pending_max, 100);
  struct peer *good = rig_node("good");
  rig_connect(good, victim);
  the_friend_is_well();
  assert_int_equal(chaski_node_edge_count(victim->node), 2);
  rig_pass(11 * SECOND);
  assert_int_equal(victim->closes, 200);
  assert_int_equal(victim->reason, CHASKI_EHANDSHAKE);
}

static void one_address_gets_few_connections_without_a_handshake(void **state) {
  (void)state;
  for (int i = 0; i < 30; i++) raw_dial("10.2.0.1", victim);
  rig_pass(100 * MS);
  assert_int_equal(victim->closes, 20);
  assert_int_equal(victim->reason, CHASKI_EPENDING);
  assert_string_equal(victim->detail, "from one address");
  rig_connect(rig_node("good"), victim);
  the_friend_is_well();
}

static void answers_to_nothing_are_ignored(void **state) {
  (void)state;
  member();
  uint64_t before = chaski_node_counters(victim->node)->ignored;
  raw_back(raw, "nobody");
  raw_back(raw, raw->handshake_id); /* a second time */
  chaski__buf b = {0};
  chaski__mp_put_map(&b, 1);
  raw_put_text(&b, "ping_id", "nobody");
  raw_command(raw, "pong", &b);
  raw_handshake(raw, "again", false, NULL, 0);
  rig_pass(SECOND);
  assert_int_equal(chaski_node_counters(victim->node)->ignored, before + 4);
  assert_int_equal(victim->closes, 0);
  assert_int_equal(chaski_node_edge_count(victim->node), 2);
  the_friend_is_well();
}

static void a_handshake_back_with_an_unknown_id_makes_no_edge(void **state) {
  (void)state;
  stranger();
  raw_handshake(raw, "h", true, NULL, 0);
  raw_back(raw, "nobody");
  rig_pass(SECOND);
  assert_int_equal(chaski_node_edge_count(victim->node), 1);
  raw_back(raw, raw->handshake_id);
  rig_pass(SECOND);
  assert_int_equal(chaski_node_edge_count(victim->node), 2);
}

static void a_handshake_on_a_live_edge_is_a_goodbye(void **state) {
  (void)state;
  member();
  raw->python = false; /* or it would answer our answers */
  raw_handshake(raw, "bye", true, NULL, 0);
  it_ends(CHASKI_EGOODBYE, "");
}

/* An id is everybody's to read: to claim it proves nothing. */
static void who_claims_the_nodes_own_id_harms_no_edge(void **state) {
  (void)state;
  stranger();
  raw_handshake(raw, "h", true, chaski_node_id(victim->node), 1);
  it_ends(CHASKI_ESELF, "");
  assert_int_equal(chaski_node_edge_count(victim->node), 1);
}

static void who_claims_a_peers_id_harms_no_edge_before_the_handshake_is_complete(void **state) {
  (void)state;
  stranger();
  raw_handshake(raw, "h", true, chaski_node_id(friend->node), 12345);
  rig_pass(SECOND);
  assert_int_equal(victim->closes, 0);
  the_friend_is_well();
  raw_handshake(raw, "i", false, "somebody-else", 1); /* nor may it change its mind */
  raw_close(raw);
  rig_run(rig_got_close, victim, SECOND);
  assert_int_equal(victim->reason, CHASKI_ELOST);
  the_friend_is_well();
}

static void who_is_in_cannot_become_somebody_else(void **state) {
  chaski_node_options o = small();
  o.id = "~"; /* the largest: what a smaller one dials stays */
  raw_teardown(state);
  setup_with(state, &o);
  char host[CHASKI_HOST_MAX];
  uint16_t port;
  chaski_edge *e = chaski_node_edge_at(victim->node, 0);
  stranger();
  raw_handshake(raw, "h", true, "somebody", 1);
  raw_handshake(raw, "i", false, chaski_node_id(friend->node), chaski_node_origin(friend->node));
  rig_pass(SECOND);
  raw_back(raw, raw->handshake_id);
  rig_pass(SECOND);
  assert_int_equal(chaski_node_edge_count(victim->node), 2);
  assert_string_equal(chaski_edge_id(chaski_node_edge_at(victim->node, 1)), "somebody");
  assert_int_equal(chaski_edge_remote_address(e, host, &port), CHASKI_OK);
  assert_string_equal(host, friend->ip);
  the_friend_is_well();
}

static void a_connection_that_is_one_too_many_is_no_way_in(void **state) {
  chaski_node_options o = small();
  o.id = "!"; /* the smallest: its own dials stay */
  raw_teardown(state);
  setup_with(state, &o);
  stranger();
  raw_handshake(raw, "h", true, chaski_node_id(friend->node), chaski_node_origin(friend->node));
  raw_message(raw, "t", raw_uuid(), 64, 1);
  rig_pass(5 * SECOND);
  assert_int_equal(victim->messages, 0);
  assert_true(raw->ended);
  assert_int_equal(victim->closes, 0); /* a duplicate is not told of */
  the_friend_is_well();
}

/* --- abuse of what is allowed ------------------------------------------------------------------------------- */
static void a_pong_echoes_no_more_than_the_limit(void **state) {
  chaski_node_options o = small();
  o.limits.ping_echo_max = 1000;
  raw_teardown(state);
  setup_with(state, &o);
  member();
  raw->bytes = 0;
  for (int i = 0; i < 50; i++) raw_ping(raw, "p", 1001);
  rig_pass(SECOND);
  assert_int_equal(raw->got[RAW_PONG], 50);
  assert_true(raw->bytes < 50 * 1500);
  assert_int_equal(chaski_node_limit_hits(victim->node)->ping_echo_max, 50);
  the_friend_is_well();
}

static void a_stranger_that_asks_and_does_not_read_fills_no_memory(void **state) {
  (void)state;
  chaski_sim_link narrow = {.delay_ns = MS, .window = 4096};
  chaski_sim_set_link(rig->sim, "10.1.0.1", NULL, &narrow);
  stranger();
  raw_transport()->pause(raw->stream);
  for (int i = 0; i < 60; i++) {
    if (!raw->waiting) raw_ping(raw, "p", 15000);
    rig_pass(100 * MS);
  }
  const chaski_counters *c = chaski_node_counters(victim->node);
  assert_true(c->dropped > 20);
  the_friend_is_well();
  rig_run(rig_got_close, victim, 10 * SECOND);
  assert_int_equal(victim->reason, CHASKI_EHANDSHAKE);
}

static void put_many(chaski__buf *b, uint32_t n) {
  chaski__mp_put_key(b, "subscriptions");
  chaski__mp_put_array(b, n);
  for (uint32_t i = 0; i < n; i++) chaski__mp_put_str(b, chaski_slice_of("t", i % 2));
}

static void a_million_subscriptions_end_the_edge(void **state) {
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 0; /* sessions: session_test */
  raw_teardown(state);
  setup_with(state, &o);
  member();
  chaski__buf b = {0};
  chaski__mp_put_map(&b, 1);
  put_many(&b, 1000000);
  raw_command(raw, "subscriptions", &b);
  it_ends(CHASKI_EPROTOCOL, "subscriptions: too many");
  assert_int_equal(chaski_node_limit_hits(victim->node)->peer_subscriptions, 1);
}

static void as_many_subscriptions_as_allowed_are_taken_and_twice_the_same_is_once(void **state) {
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 0; /* sessions: session_test */
  o.limits.peer_subscriptions = 1000;
  raw_teardown(state);
  setup_with(state, &o);
  member();
  chaski__buf b = {0};
  chaski__mp_put_map(&b, 1);
  put_many(&b, 1000);
  raw_command(raw, "subscriptions", &b);
  rig_pass(SECOND);
  assert_int_equal(victim->closes, 0);
  size_t before = raw->got[RAW_MESSAGE];
  assert_int_equal(rig_publish(victim, "t", 1), CHASKI_OK);
  rig_pass(SECOND);
  assert_int_equal(raw->got[RAW_MESSAGE], before + 1);
}

static void unknown_commands_are_counted(void **state) {
  (void)state;
  member();
  chaski__buf b = {0};
  chaski__mp_put_map(&b, 0);
  raw_command(raw, "__gc", &b);
  chaski__mp_put_map(&b, 0);
  raw_command(raw, "ChaskiStorageRequest", &b);
  rig_pass(SECOND);
  assert_int_equal(chaski_node_counters(victim->node)->unknown, 2);
  assert_int_equal(victim->closes, 0);
  the_friend_is_well();
}

/* --- random ------------------------------------------------------------------------------------------------- */
static uint64_t dice_state;

static uint32_t dice(uint32_t below) {
  dice_state = dice_state * 6364136223846793005U + 1442695040888963407U;
  return (uint32_t)(dice_state >> 33) % below;
}

static void send_random_bytes(void) {
  uint8_t bytes[300];
  size_t n = 1 + dice(sizeof bytes);
  for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)dice(256);
  if (dice(2)) bytes[0] = bytes[1] = bytes[4] = bytes[5] = bytes[6] = 0; /* lengths that pass */
  if (dice(2)) bytes[2] = 0;
  raw_send(raw, bytes, n);
}

/* One of the node's own frames, with some bytes changed. */
static void send_mutated(void) {
  static const char *const commands[] = {"handshake", "handshake_back", "ping", "pong", "subscriptions"};
  chaski__buf b = {0}, all = {0};
  uint8_t head[CHASKI_FRAME_HEADER];
  size_t n = sizeof fields / sizeof *fields;
  const struct field *f = &fields[dice((uint32_t)n)];
  chaski__mp_put_map(&b, 2);
  raw_put_text(&b, "command", commands[dice(5)]);
  chaski__mp_put_key(&b, "data");
  chaski__mp_put_map(&b, 1);
  chaski__mp_put_key(&b, f->key);
  chaski__buf_append(&b, f->right, f->right_len);
  chaski_frame_header(head, 4, (uint32_t)b.len);
  chaski__buf_append(&all, head, sizeof head);
  chaski__buf_append(&all, ALL, 4);
  chaski__buf_append(&all, b.ptr, b.len);
  for (uint32_t i = dice(4); i > 0; i--) all.ptr[dice(4) ? 12 + dice((uint32_t)b.len) : dice(12)] = (uint8_t)dice(256);
  raw_send(raw, all.ptr, all.len);
  chaski__buf_free(&all);
  chaski__buf_free(&b);
}

static void random_bytes_harm_nobody(void **state) {
  (void)state;
  for (uint32_t seed = 0; seed < 2000; seed++) {
    dice_state = seed;
    size_t closes = victim->closes;
    if (dice(4))
      stranger();
    else
      member();
    for (uint32_t i = 1 + dice(4); i > 0 && !raw->ended && !raw->waiting; i--) {
      if (dice(2))
        send_random_bytes();
      else
        send_mutated();
      rig_pass(10 * MS);
    }
    raw_recycle(raw);
    rig_pass(50 * MS);
    if (victim->closes != closes + 1 || friend->closes) fail_msg("seed %u", seed);
    if (seed % 100 == 0) the_friend_is_well();
  }
}

/* --- the log ------------------------------------------------------------------------------------------------ */
static size_t lines, bad_lines;

static void on_log(void *user, enum chaski_log_level level, const char *who, const char *line) {
  (void)user;
  (void)level;
  (void)who;
  lines++;
  for (; *line; line++) bad_lines += (unsigned char)*line < ' ';
}

static void a_name_cannot_forge_lines_of_the_log(void **state) {
  (void)state;
  chaski_sim_log(rig->sim, CHASKI_LOG_TRACE, on_log, NULL);
  lines = bad_lines = 0;
  raw = raw_dial("10.1.0.1", victim);
  raw_handshake(raw, "h", true, NULL, 0);
  rig_pass(100 * MS);
  snprintf(raw->ip, sizeof raw->ip, "x\nERROR \x1b[2J all");
  raw_back(raw, raw->handshake_id);
  rig_pass(100 * MS);
  raw_close(raw);
  rig_pass(100 * MS);
  assert_true(lines > 0);
  assert_int_equal(bad_lines, 0);
}

static void a_flood_of_connections_is_logged_in_few_lines(void **state) {
  (void)state;
  chaski_sim_log(rig->sim, CHASKI_LOG_WARN, on_log, NULL);
  lines = 0;
  for (int i = 0; i < 200; i++) {
    stranger();
    send_http();
    raw_recycle(raw);
  }
  assert_true(lines <= 11 * 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, raw_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(lengths_over_the_limit_are_refused),
      TEST(before_the_handshake_less_is_taken),
      TEST(other_protocols_are_refused),
      TEST(a_promise_of_64_mib_costs_nothing_and_ends_in_time),
      TEST(frames_that_come_slowly_but_in_time_are_taken),
      TEST(an_end_inside_a_frame_is_told_as_such),
      TEST(an_end_between_frames_is_a_loss),
      TEST(a_malformed_frame_ends_the_connection),
      TEST(a_fault_inside_application_data_stays_with_the_message),
      TEST(a_field_of_the_wrong_type_ends_the_connection),
      TEST(data_that_is_no_map_ends_the_connection),
      TEST(a_protocol_command_under_a_topic_ends_the_connection),
      TEST(commands_before_the_handshake_end_the_connection),
      TEST(one_report_before_the_handshake_is_kept_and_a_second_ends_the_connection),
      TEST(an_identity_out_of_bounds_ends_the_connection),
      TEST(a_handshake_that_is_never_finished_ends_in_time),
      TEST(silent_connections_cost_only_each_other),
      TEST(one_address_gets_few_connections_without_a_handshake),
      TEST(answers_to_nothing_are_ignored),
      TEST(a_handshake_back_with_an_unknown_id_makes_no_edge),
      TEST(a_handshake_on_a_live_edge_is_a_goodbye),
      TEST(who_claims_the_nodes_own_id_harms_no_edge),
      TEST(who_claims_a_peers_id_harms_no_edge_before_the_handshake_is_complete),
      TEST(who_is_in_cannot_become_somebody_else),
      TEST(a_connection_that_is_one_too_many_is_no_way_in),
      TEST(a_pong_echoes_no_more_than_the_limit),
      TEST(a_stranger_that_asks_and_does_not_read_fills_no_memory),
      TEST(a_million_subscriptions_end_the_edge),
      TEST(as_many_subscriptions_as_allowed_are_taken_and_twice_the_same_is_once),
      TEST(unknown_commands_are_counted),
      TEST(random_bytes_harm_nobody),
      TEST(a_name_cannot_forge_lines_of_the_log),
      TEST(a_flood_of_connections_is_logged_in_few_lines),
  };
  return cmocka_run_group_tests_name("bad input", tests, NULL, NULL);
}
