/* message_test.c: the envelope: what the original sent, our own order and any other, every fault, ttl, timestamps, ids,
 * and frames whose ttl was changed.
 * SPDX-License-Identifier: MIT */
#include "leaf_rig.h"

#include "../fixtures/frames.h"
#include "message.h"
#include "mp.h"
#include "uuid.h"

#include <stdio.h>

#define ORIGIN UINT64_C(0x123456789abcdef)
#define UUID_4 "75b5015d-54c2-4483-8380-e8b557323d0b"

/* --- frames for the tests ----------------------------------------------------------------------------------- */
static chaski__buf body, wire;
static chaski_message m;
static const char *why;

static int drop_frames(void **state) {
  chaski__buf_free(&body);
  chaski__buf_free(&wire);
  return no_block_is_left(state);
}

#undef TEST
#define TEST(f) cmocka_unit_test_setup_teardown(f, leaf_setup, drop_frames)

/* Pack topic and body (both serialised) as a frame of exactly that many bytes on the heap. */
static chaski_slice pack(chaski_slice topic) {
  uint8_t head[CHASKI_FRAME_HEADER];
  chaski_frame_header(head, (uint32_t)topic.len, (uint32_t)body.len);
  wire.len = 0;
  append(&wire, chaski_slice_of(head, sizeof head));
  append(&wire, topic);
  append(&wire, chaski__buf_slice(&body));
  return exact(chaski__buf_slice(&wire));
}

static void start(chaski_slice bytes) {
  body.len = 0;
  append(&body, bytes);
}

#define TOPIC_T SLICE("\xa1t")
#define COMMAND_X                                                                                                      \
  "\xa7"                                                                                                               \
  "command\xa1x"

/* The slices of m point into what this returns. */
static chaski_slice reads(chaski_slice topic) {
  chaski_slice frame = pack(topic);
  int r = chaski_message_read_bytes(frame, &m, &why);
  if (r != CHASKI_OK) print_error("refused: %s\n", why);
  assert_int_equal(r, CHASKI_OK);
  assert_string_equal(why, "");
  assert_slice(m.frame, frame);
  return frame;
}

static void refused(chaski_slice topic, const char *reason) {
  chaski_slice frame = pack(topic);
  assert_int_equal(chaski_message_read_bytes(frame, &m, &why), CHASKI_EMALFORMED);
  assert_string_equal(why, reason);
  free_exact(frame);
}

static void body_reads(chaski_slice bytes) {
  start(bytes);
  free_exact(reads(TOPIC_T));
}

static void body_is_refused(chaski_slice bytes, const char *reason) {
  start(bytes);
  refused(TOPIC_T, reason);
}

/* A body of command x and one more pair. */
static void start_with(const char *key, chaski_slice value) {
  start(SLICE("\x82" COMMAND_X));
  chaski__mp_put_key(&body, key);
  append(&body, value);
}

static chaski_envelope envelope(const char *command, const char *topic) {
  return (chaski_envelope){.command = chaski_slice_str(command),
                           .topic = chaski_slice_str(topic),
                           .sec = 1795394356,
                           .nsec = 124096000,
                           .ttl = 64,
                           .origin = ORIGIN,
                           .seq = 77};
}

/* A whole frame of ours, on the heap at its exact size. */
static chaski_slice write_frame(const chaski_envelope *e, chaski_slice data) {
  size_t size = chaski_message_size(e, data.len);
  uint8_t *p = malloc(size);
  assert_non_null(p);
  size_t head = chaski_message_write_head(p, e, data.len);
  assert_int_equal(head + data.len, size);
  if (data.len) memcpy(p + head, data.ptr, data.len);
  return chaski_slice_of(p, size);
}

/* --- what the original sent --------------------------------------------------------------------------------- */
static uint8_t digit(char c) {
  return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static chaski_slice from_hex(const char *hex) {
  size_t len = strlen(hex) / 2;
  uint8_t *p = malloc(len);
  assert_non_null(p);
  for (size_t i = 0; i < len; i++) p[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
  return chaski_slice_of(p, len);
}

static int read_captured(const captured_frame *c, chaski_slice bytes) {
  return c->datagram ? chaski_message_read_datagram(bytes, &m, &why) : chaski_message_read_bytes(bytes, &m, &why);
}

static char *shown_end;

static void show(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void show(const char *format, ...) {
  va_list args;
  va_start(args, format);
  shown_end += vsprintf(shown_end, format, args);
  va_end(args);
}

static void show_bytes(chaski_slice s) {
  for (size_t i = 0; i < s.len; i++) show("%02x", s.ptr[i]);
}

static void show_string(chaski_slice s, bool key) {
  show(key ? "%.*s: " : "\"%.*s\"", (int)s.len, (const char *)s.ptr);
}

static void show_ext(const chaski__mp *v) {
  int64_t sec;
  uint32_t nsec;
  assert_true(chaski__mp_timestamp(v, &sec, &nsec));
  show("ext(%d) %lld.%09u", v->ext, (long long)sec, nsec);
}

static void show_scalar(const chaski__mp *v, bool key) {
  if (v->type == MP_NIL) show("nil");
  if (v->type == MP_BOOL) show(v->truth ? "true" : "false");
  if (v->type == MP_INT) show("%lld", (long long)v->i);
  if (v->type == MP_UINT) show("%llu", (unsigned long long)v->u);
  if (v->type == MP_FLOAT) show("%g", v->f);
  if (v->type == MP_STR) show_string(v->bytes, key);
  if (v->type == MP_EXT) show_ext(v);
  if (v->type == MP_BIN) {
    show("bin ");
    show_bytes(v->bytes);
  }
}

/* In the notation of the captured frames, which are nested three deep at most. */
static void show_value(chaski_slice *in, bool key) {
  chaski__mp v;
  assert_true(chaski__mp_read(in, &v));
  if (v.type != MP_ARRAY && v.type != MP_MAP) {
    show_scalar(&v, key);
    return;
  }
  bool map = v.type == MP_MAP;
  show(map ? "{" : "[");
  for (uint64_t i = 0; i < v.u; i++) {
    if (i) show(", ");
    if (map) show_value(in, true);
    show_value(in, false);
  }
  show(map ? "}" : "]");
}

static void data_is(chaski_slice data, const char *text) {
  char shown[2048];
  shown_end = shown;
  show_value(&data, false);
  assert_string_equal(shown, text);
  assert_int_equal(data.len, 0);
}

static void every_captured_frame_is_read_as_it_was_meant(void **state) {
  (void)state;
  assert_int_equal(CAPTURED_FRAMES, 13);
  for (size_t i = 0; i < CAPTURED_FRAMES; i++) {
    const captured_frame *c = &captured_frames[i];
    chaski_slice bytes = from_hex(c->hex);
    assert_int_equal(read_captured(c, bytes), CHASKI_OK);
    assert_text(m.command, c->command);
    assert_text(m.topic, c->topic);
    assert_text(m.uuid, c->uuid);
    assert_int_equal(m.sec, c->sec);
    assert_int_equal(m.nsec, c->nsec);
    assert_int_equal(m.stamp.len, 10);
    assert_int_equal(m.ttl, c->ttl);
    if (!c->datagram) assert_true(m.ttl_width == 1 && bytes.ptr[m.ttl_at] == c->ttl);
    assert_false(m.ours);
    data_is(m.data, c->data);
    free_exact(bytes);
  }
}

static void a_captured_frame_differs_in_its_ttl_only_after_a_hop(void **state) {
  (void)state;
  for (size_t i = 0; i < CAPTURED_FRAMES; i++) {
    if (captured_frames[i].datagram) continue;
    chaski_slice bytes = from_hex(captured_frames[i].hex);
    assert_int_equal(read_captured(&captured_frames[i], bytes), CHASKI_OK);
    uint8_t *copy = malloc(bytes.len + 12);
    assert_non_null(copy);
    assert_int_equal(chaski_message_with_ttl(copy, &m, 63), bytes.len);
    for (size_t at = 0; at < bytes.len; at++) assert_int_equal(copy[at], at == m.ttl_at ? 63 : bytes.ptr[at]);
    free(copy);
    free_exact(bytes);
  }
}

/* --- ours --------------------------------------------------------------------------------------------------- */
static void what_we_write_is_read_back(void **state) {
  (void)state;
  static const size_t lengths[] = {1, 13, 31, 32, 64, 200, 256};
  char text[257];
  memset(text, 'n', sizeof text);
  for (size_t c = 0; c < 5; c++) {
    for (size_t t = 0; t < 7; t++) {
      chaski_envelope e = envelope("", "");
      e.command = chaski_slice_of(text, lengths[c]);
      e.topic = chaski_slice_of(text, lengths[t]);
      chaski_slice frame = write_frame(&e, SLICE("\x93\x01\x02\x03"));
      assert_int_equal(chaski_message_read_bytes(frame, &m, &why), CHASKI_OK);
      assert_slice(m.command, e.command);
      assert_slice(m.topic, e.topic);
      assert_slice(m.data, SLICE("\x93\x01\x02\x03"));
      assert_slice(m.stamp, SLICE("\xd7\xff\x1d\x96\x38\x00\x6b\x03\x8b\x34"));
      assert_true(m.sec == e.sec && m.nsec == e.nsec && m.ttl == 64 && m.ttl_width == 1);
      assert_true(m.ours && m.origin == ORIGIN && m.seq == 77);
      free_exact(frame);
    }
  }
}

static void we_write_six_keys_with_data_last(void **state) {
  (void)state;
  chaski_envelope e = envelope("x", "t");
  chaski_slice frame = write_frame(&e, SLICE("\x80"));
  assert_slice(frame, SLICE("\x00\x00\x00\x5d\x00\x00\x00\x02\xa1t\x86\xa7"
                            "command\xa1x\xa5topic\xa1t\xa9timestamp"
                            "\xd7\xff\x1d\x96\x38\x00\x6b\x03\x8b\x34\xa3ttl\x40\xa4uuid\xd9\x24"
                            "12345678-9abc-8def-8000-00000000004d\xa4"
                            "data\x80"));
  free_exact(frame);
}

static void the_extremes_of_an_envelope_come_back(void **state) {
  (void)state;
  chaski_envelope e = envelope("x", "t");
  e.sec = (INT64_C(1) << 34) - 1;
  e.nsec = 999999999;
  e.ttl = 0;
  e.origin = CHASKI_ORIGIN_MAX;
  e.seq = CHASKI_SEQ_MAX;
  chaski_slice frame = write_frame(&e, SLICE("\xc0"));
  assert_int_equal(chaski_message_read_bytes(frame, &m, &why), CHASKI_OK);
  assert_true(m.sec == e.sec && m.nsec == e.nsec && m.ttl == 0 && m.origin == e.origin && m.seq == e.seq);
  free_exact(frame);
}

static void a_frame_of_ours_without_data_is_refused(void **state) {
  (void)state;
  chaski_envelope e = envelope("x", "t");
  chaski_slice frame = write_frame(&e, SLICE(""));
  assert_int_equal(chaski_message_read_bytes(frame, &m, &why), CHASKI_EMALFORMED);
  assert_string_equal(why, "envelope: bad data");
  free_exact(frame);
}

/* --- any order ---------------------------------------------------------------------------------------------- */
#define STAMP_PAIR "\xa9timestamp\xd7\xff\x1d\x96\x38\x00\x6b\x03\x8b\x34"
#define UUID_PAIR "\xa4uuid\xd9\x24" UUID_4
enum { PAIRS = 6, PAIR_DATA = 5 };
static const chaski_slice pairs[PAIRS] = {BYTES(COMMAND_X),
                                          BYTES("\xa5topic\xa1t"),
                                          BYTES(STAMP_PAIR),
                                          BYTES("\xa3ttl\x09"),
                                          BYTES(UUID_PAIR),
                                          BYTES("\xa4"
                                                "data\x82\xa4"
                                                "data\x91\xc0\x01\xc4\x01\x00")};

static void start_in_order(const int *order, size_t n) {
  chaski__mp_put_map(&body, (uint32_t)n);
  for (size_t i = 0; i < n; i++) append(&body, pairs[order[i]]);
}

static void is_the_message_of_pairs(void) {
  assert_text(m.command, "x");
  assert_text(m.topic, "t");
  assert_text(m.uuid, UUID_4);
  assert_true(m.sec == 1795394356 && m.nsec == 124096000 && m.stamp.len == 10);
  assert_true(m.ttl == 9 && m.ttl_width == 1 && m.frame.ptr[m.ttl_at] == 9);
  assert_slice(m.data, SLICE("\x82\xa4"
                             "data\x91\xc0\x01\xc4\x01\x00"));
  assert_false(m.ours);
}

/* The n-th of the 720 orders of six. */
static void permute(int n, int order[PAIRS]) {
  int rest[PAIRS] = {0, 1, 2, 3, 4, 5};
  for (int left = PAIRS; left > 0; n /= left, left--) {
    int pick = n % left;
    order[PAIRS - left] = rest[pick];
    memmove(rest + pick, rest + pick + 1, (size_t)(left - pick - 1) * sizeof *rest);
  }
}

static void keys_may_stand_in_any_order(void **state) {
  (void)state;
  for (int n = 0; n < 720; n++) {
    int order[PAIRS];
    permute(n, order);
    body.len = 0;
    start_in_order(order, PAIRS);
    chaski_slice frame = reads(TOPIC_T);
    is_the_message_of_pairs();
    free_exact(frame);
  }
}

static void a_frame_cut_at_any_byte_is_refused_until_its_data_begins(void **state) {
  (void)state;
  for (int n = 0; n < 720; n++) {
    int order[PAIRS];
    permute(n, order);
    body.len = 0;
    start_in_order(order, PAIRS);
    size_t whole = body.len;
    /* data that stands last is not looked into: whatever there is of it will do */
    size_t enough = order[PAIRS - 1] == PAIR_DATA ? whole - pairs[PAIR_DATA].len + 6 : whole;
    for (body.len = 0; body.len < whole; body.len++) {
      chaski_slice frame = pack(TOPIC_T);
      assert_int_equal(chaski_message_read_bytes(frame, &m, &why), body.len < enough ? CHASKI_EMALFORMED : CHASKI_OK);
      free_exact(frame);
    }
  }
}

static void unknown_keys_are_stepped_over(void **state) {
  (void)state;
  start(SLICE("\x89\xa1z\x93\x01\x90\x80"));
  for (int i = 0; i < PAIRS; i++) append(&body, pairs[i]);
  append(&body, SLICE("\xa1z\xc0\xa0\xc3"));
  chaski_slice frame = reads(TOPIC_T);
  is_the_message_of_pairs();
  free_exact(frame);
}

static void what_is_missing_has_its_default(void **state) {
  (void)state;
  start(SLICE("\x81" COMMAND_X));
  chaski_slice frame = reads(TOPIC_T);
  assert_text(m.command, "x");
  assert_text(m.topic, "t"); /* the header's */
  assert_true(m.ttl == 64 && m.ttl_at == 0 && m.ttl_width == 0);
  assert_true(m.data.len == 0 && m.uuid.len == 0 && m.stamp.len == 0 && m.sec == 0 && m.nsec == 0 && !m.ours);
  free_exact(frame);
}

static void any_pair_but_the_command_may_be_missing(void **state) {
  (void)state;
  for (unsigned set = 0; set < 1 << PAIRS; set++) {
    int order[PAIRS];
    size_t n = 0;
    for (int i = 0; i < PAIRS; i++)
      if (set >> i & 1) order[n++] = i;
    body.len = 0;
    start_in_order(order, n);
    if (!(set & 1)) {
      refused(TOPIC_T, "envelope: no command");
      continue;
    }
    chaski_slice frame = reads(TOPIC_T);
    assert_text(m.topic, "t");
    assert_int_equal(m.ttl, set >> 3 & 1 ? 9 : 64);
    assert_int_equal(m.uuid.len, set >> 4 & 1 ? 36 : 0);
    assert_int_equal(m.data.len, set >> 5 & 1 ? 12 : 0);
    free_exact(frame);
  }
}

/* --- faults ------------------------------------------------------------------------------------------------- */
static void what_is_not_one_map_with_a_command_is_refused(void **state) {
  (void)state;
  body_is_refused(SLICE(""), "the message is not a map");
  body_is_refused(SLICE("\xc0"), "the message is not a map");
  body_is_refused(SLICE("\xc1"), "the message is not a map");
  body_is_refused(SLICE("\x91\x80"), "the message is not a map");
  body_is_refused(SLICE("\xde\x00"), "the message is not a map");
  body_is_refused(SLICE("\x80"), "envelope: no command");
  body_is_refused(SLICE("\x81\xa1z\x01"), "envelope: no command");
  body_is_refused(SLICE("\x80\xc0"), "bytes follow the message");
  body_is_refused(SLICE("\x81" COMMAND_X "\xc0"), "bytes follow the message");
  body_is_refused(SLICE("\x81\xa7"
                        "command\xa0"),
                  "envelope: empty command");
}

static void a_key_that_is_no_string_is_refused(void **state) {
  (void)state;
  body_is_refused(SLICE("\x81\x01\x02"), "envelope: a key is not a string");
  body_is_refused(SLICE("\x81\xc4\x07"
                        "command\xa1x"),
                  "envelope: a key is not a string");
  body_is_refused(SLICE("\x82" COMMAND_X), "envelope: a key is not a string");
  body_is_refused(SLICE("\x82" COMMAND_X "\xa3tt"), "envelope: a key is not a string");
  body_is_refused(SLICE("\xdf\xff\xff\xff\xff" COMMAND_X), "envelope: a key is not a string");
}

static void a_key_of_the_envelope_may_not_stand_twice(void **state) {
  (void)state;
  for (int twice = 0; twice < PAIRS; twice++) {
    start(SLICE("\x88\xa1z\xc0")); /* an unknown one may */
    append(&body, pairs[twice]);
    for (int i = 0; i < PAIRS; i++) append(&body, pairs[i]);
    refused(TOPIC_T, "envelope: a key stands twice");
  }
  body_reads(SLICE("\x83\xa1z\xc0" COMMAND_X "\xa1z\xc0"));
}

static void bad_values_are_refused_by_name(void **state) {
  (void)state;
  static const struct {
    const char *key, *reason;
    chaski_slice value;
  } table[] = {
      {"topic", "envelope: bad topic", BYTES("\xc0")},
      {"topic", "envelope: bad topic", BYTES("\x01")},
      {"topic", "envelope: bad topic", BYTES("\xc4\x01t")},
      {"topic", "envelope: bad topic", BYTES("\xa2t")},
      {"topic", "envelope: bad topic", BYTES("")},
      {"timestamp", "envelope: bad timestamp", BYTES("")},
      {"timestamp", "envelope: bad timestamp", BYTES("\xc3")},
      {"timestamp", "envelope: bad timestamp", BYTES("\xa1t")},
      {"timestamp", "envelope: bad timestamp", BYTES("\x90")},
      {"timestamp", "envelope: bad timestamp", BYTES("\xd6\x01\0\0\0\0")},
      {"timestamp", "envelope: bad timestamp", BYTES("\xd5\xff\0\0")},
      {"timestamp", "envelope: bad timestamp", BYTES("\xd7\xff\xee\x6b\x28\0\0\0\0\0")},
      {"timestamp", "envelope: bad timestamp", BYTES("\xc7\x0c\xff\x3b\x9a\xca\0\0\0\0\0\0\0\0\0")},
      {"timestamp", "envelope: bad timestamp", BYTES("\xd7\xff\0\0\0\0\0\0\0")},
      {"timestamp", "envelope: bad timestamp", BYTES("\xcb\x7f\xf8\0\0\0\0\0\0")},
      {"timestamp", "envelope: bad timestamp", BYTES("\xcf\x80\0\0\0\0\0\0\0")},
      {"ttl", "envelope: bad ttl", BYTES("")},
      {"ttl", "envelope: bad ttl", BYTES("\xc0")},
      {"ttl", "envelope: bad ttl", BYTES("\xc3")},
      {"ttl", "envelope: bad ttl", BYTES("\xca\x40\x20\x00\x00")},
      {"ttl", "envelope: bad ttl", BYTES("\xcb\x40\x50\0\0\0\0\0\0")},
      {"ttl", "envelope: bad ttl", BYTES("\xa1\x31")},
      {"ttl", "envelope: bad ttl", BYTES("\xcd\x00")},
      {"ttl", "envelope: bad ttl", BYTES("\xc1")},
      {"uuid", "envelope: bad uuid", BYTES("")},
      {"uuid", "envelope: bad uuid", BYTES("\x01")},
      {"uuid", "envelope: bad uuid", BYTES("\xc4\x01x")},
      {"uuid", "envelope: bad uuid", BYTES("\xd8\x02xxxxxxxxxxxxxxxx")},
      {"uuid", "envelope: bad uuid",
       BYTES("\xd9\x24"
             "75b5015d")},
      {"data", "envelope: bad data", BYTES("")},
      {"zoo", "envelope: bad value under an unknown key", BYTES("")},
      {"zoo", "envelope: bad value under an unknown key", BYTES("\xc1")},
      {"zoo", "envelope: bad value under an unknown key", BYTES("\x92\x01")},
      {"zoo", "envelope: bad value under an unknown key", BYTES("\xdd\xff\xff\xff\xff\x01")},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    start_with(table[i].key, table[i].value);
    refused(TOPIC_T, table[i].reason);
  }
}

static void a_bad_command_is_refused(void **state) {
  (void)state;
  body_is_refused(SLICE("\x81\xa7"
                        "command\xc0"),
                  "envelope: bad command");
  body_is_refused(SLICE("\x81\xa7"
                        "command\x01"),
                  "envelope: bad command");
  body_is_refused(SLICE("\x81\xa7"
                        "command\xc4\x01x"),
                  "envelope: bad command");
  body_is_refused(SLICE("\x81\xa7"
                        "command\xa2x"),
                  "envelope: bad command");
  body_is_refused(SLICE("\x81\xa7"
                        "command"),
                  "envelope: bad command");
}

/* Fill in a str of len bytes as the value of key. */
static void start_long(const char *key, size_t len) {
  char text[256];
  memset(text, 'l', sizeof text);
  bool command = strcmp(key, "command") == 0;
  if (command)
    start(SLICE("\x81"));
  else
    start(SLICE("\x82" COMMAND_X));
  chaski__mp_put_key(&body, key);
  chaski__mp_put_str(&body, chaski_slice_of(text, len));
}

static void commands_and_ids_have_64_bytes_at_most(void **state) {
  (void)state;
  start_long("command", 64);
  free_exact(reads(TOPIC_T));
  start_long("command", 65);
  refused(TOPIC_T, "envelope: bad command");
  start_long("uuid", 64);
  free_exact(reads(TOPIC_T));
  start_long("uuid", 65);
  refused(TOPIC_T, "envelope: bad uuid");
}

/* In our own order, too, which is read by another path. */
static void faults_in_our_own_order_are_refused(void **state) {
  (void)state;
  chaski_envelope e = envelope("x", "t");
  static const struct {
    size_t at; /* offset in the frame */
    uint8_t byte;
    const char *reason;
  } table[] = {
      {10, 0x85, "bytes follow the message"},
      {11, 0xa6, "envelope: a key is not a string"},
      {19, 0xc0, "envelope: bad command"},
      {28, 'u', "header and envelope have different topics"},
      {39, 0xd6, "envelope: a key is not a string"},
      {40, 0x01, "envelope: bad timestamp"},
      {41, 0xff, "envelope: bad timestamp"},
      {53, 0xc0, "envelope: bad ttl"},
      {59, 0x01, "envelope: bad uuid"},
      {59, 0xc4, "envelope: bad uuid"},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    chaski_slice frame = write_frame(&e, SLICE("\xc0"));
    ((uint8_t *)(uintptr_t)frame.ptr)[table[i].at] = table[i].byte;
    assert_int_equal(chaski_message_read_bytes(frame, &m, &why), CHASKI_EMALFORMED);
    assert_string_equal(why, table[i].reason);
    free_exact(frame);
  }
}

static void an_empty_command_in_our_own_order_is_refused(void **state) {
  (void)state;
  chaski_envelope e = envelope("", "t");
  chaski_slice frame = write_frame(&e, SLICE("\xc0"));
  assert_int_equal(chaski_message_read_bytes(frame, &m, &why), CHASKI_EMALFORMED);
  assert_string_equal(why, "envelope: empty command");
  free_exact(frame);
}

static void the_topic_of_the_header_is_one_string(void **state) {
  (void)state;
  static const chaski_slice wrong[] = {
      BYTES(""),           BYTES("\xc0"),      BYTES("\x01"),      BYTES("\xa2t"), BYTES("\xa1tt"),
      BYTES("\xa1t\xa1t"), BYTES("\xc4\x01t"), BYTES("\x91\xa1t"), BYTES("\xd9"),  BYTES("\xdb\xff\xff\xff\xfft")};
  static const char reason[] = "the header's topic is not one string";
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    start(SLICE("\x81" COMMAND_X));
    refused(wrong[i], reason);
    start(SLICE("\x86" COMMAND_X "\xa5topic")); /* our order, and the same bytes in the envelope */
    append(&body, wrong[i]);
    append(&body, SLICE(STAMP_PAIR "\xa3ttl\x40" UUID_PAIR "\xa4"
                                   "data\xc0"));
    refused(wrong[i], reason);
  }
}

static void header_and_envelope_have_the_same_topic_however_written(void **state) {
  (void)state;
  start_with("topic", SLICE("\xa1t"));
  free_exact(reads(SLICE("\xd9\x01t")));
  assert_int_equal(m.topic.len, 1);
  start_with("topic", SLICE("\xdb\0\0\0\x01t"));
  free_exact(reads(SLICE("\xda\0\x01t")));
  static const char reason[] = "header and envelope have different topics";
  start_with("topic", SLICE("\xa1u"));
  refused(TOPIC_T, reason);
  start_with("topic", SLICE("\xa2tt"));
  refused(TOPIC_T, reason);
  start_with("topic", SLICE("\xa0"));
  refused(TOPIC_T, reason);
  start_with("topic", SLICE("\xa1t"));
  refused(SLICE("\xa0"), reason);
  start_with("topic", SLICE("\xa0"));
  free_exact(reads(SLICE("\xa0")));
}

static void bytes_that_are_not_one_whole_frame_are_refused(void **state) {
  (void)state;
  chaski_envelope e = envelope("x", "t");
  chaski_slice frame = write_frame(&e, SLICE("\xc0"));
  uint8_t *longer = calloc(1, frame.len + 1);
  assert_non_null(longer);
  memcpy(longer, frame.ptr, frame.len);
  for (size_t len = 0; len <= frame.len + 1; len++) {
    int want = len == frame.len ? CHASKI_OK : CHASKI_EMALFORMED;
    assert_int_equal(chaski_message_read_bytes(chaski_slice_of(longer, len), &m, &why), want);
    if (want) assert_string_equal(why, "not one whole frame");
  }
  memset(longer, 0xff, 8);
  assert_int_equal(chaski_message_read_bytes(chaski_slice_of(longer, frame.len), &m, &why), CHASKI_EMALFORMED);
  free(longer);
  free_exact(frame);
}

/* --- datagrams ---------------------------------------------------------------------------------------------- */
static void a_datagram_is_the_message_alone(void **state) {
  (void)state;
  for (int n = 0; n < 720; n++) {
    int order[PAIRS];
    permute(n, order);
    body.len = 0;
    start_in_order(order, PAIRS);
    assert_int_equal(chaski_message_read_datagram(chaski__buf_slice(&body), &m, &why), CHASKI_OK);
    assert_string_equal(why, "");
    assert_text(m.command, "x");
    assert_text(m.topic, "t");
    assert_text(m.uuid, UUID_4);
    assert_true(m.ttl == 9 && m.ttl_at == 0 && m.frame.len == 0 && m.sec == 1795394356);
    assert_slice(m.data, SLICE("\x82\xa4"
                               "data\x91\xc0\x01\xc4\x01\x00"));
  }
}

static void a_datagram_of_ours_has_its_numbers(void **state) {
  (void)state;
  chaski_envelope e = envelope("status", "");
  chaski_slice frame = write_frame(&e, SLICE("\x80"));
  size_t head = CHASKI_FRAME_HEADER + 1; /* and the empty topic */
  chaski_slice alone = chaski_slice_of(frame.ptr + head, frame.len - head);
  assert_int_equal(chaski_message_read_datagram(alone, &m, &why), CHASKI_OK);
  assert_true(m.ours && m.origin == ORIGIN && m.seq == 77);
  free_exact(frame);
}

static void what_a_datagram_misses_has_its_default(void **state) {
  (void)state;
  start(SLICE("\x81" COMMAND_X));
  assert_int_equal(chaski_message_read_datagram(chaski__buf_slice(&body), &m, &why), CHASKI_OK);
  assert_true(m.topic.len == 0 && m.ttl == 64 && m.uuid.len == 0 && m.data.len == 0 && m.stamp.len == 0 && !m.ours);
}

static void datagram_is_refused(chaski_slice bytes, const char *reason) {
  chaski_slice alone = exact(bytes);
  assert_int_equal(chaski_message_read_datagram(alone, &m, &why), CHASKI_EMALFORMED);
  assert_string_equal(why, reason);
  free_exact(alone);
}

static void a_malformed_datagram_is_refused(void **state) {
  (void)state;
  datagram_is_refused(SLICE(""), "the message is not a map");
  datagram_is_refused(SLICE("\xc1"), "the message is not a map");
  datagram_is_refused(SLICE("\x80"), "envelope: no command");
  datagram_is_refused(SLICE("\x82" COMMAND_X COMMAND_X), "envelope: a key stands twice");
  datagram_is_refused(SLICE("\x82" COMMAND_X "\xa3ttl\xc0"), "envelope: bad ttl");
  datagram_is_refused(SLICE("\x81\xa7"
                            "command\xa0"),
                      "envelope: empty command");
  datagram_is_refused(SLICE("\x81" COMMAND_X "\xc0"), "bytes follow the message");
}

/* --- data --------------------------------------------------------------------------------------------------- */
static void data_that_stands_last_is_not_looked_into(void **state) {
  (void)state;
  static const chaski_slice any[] = {BYTES("\xc1"), BYTES("\x92\x01"), BYTES("\xc0\xc0"),
                                     BYTES("\xdb\xff\xff\xff\xff")};
  for (size_t i = 0; i < sizeof any / sizeof *any; i++) {
    start_with("data", any[i]);
    chaski_slice frame = reads(TOPIC_T);
    assert_slice(m.data, any[i]);
    free_exact(frame);
    chaski_envelope e = envelope("x", "t");
    frame = write_frame(&e, any[i]);
    assert_int_equal(chaski_message_read_bytes(frame, &m, &why), CHASKI_OK);
    assert_slice(m.data, any[i]);
    free_exact(frame);
  }
}

static void data_that_stands_elsewhere_is_walked_over(void **state) {
  (void)state;
  body_is_refused(SLICE("\x82\xa4"
                        "data\xc1" COMMAND_X),
                  "envelope: bad data");
  body_is_refused(SLICE("\x82\xa4"
                        "data\x92\x01"),
                  "envelope: bad data");
  body_is_refused(SLICE("\x82\xa4"
                        "data\xdd\xff\xff\xff\xff" COMMAND_X),
                  "envelope: bad data");
  body_is_refused(SLICE("\x82\xa4"
                        "data\xc0\xc0" COMMAND_X),
                  "envelope: a key is not a string");
  start(SLICE("\x82\xa4"
              "data\x92\x01\x91\xc0" COMMAND_X));
  chaski_slice frame = reads(TOPIC_T);
  assert_slice(m.data, SLICE("\x92\x01\x91\xc0"));
  free_exact(frame);
}

static void deep_data_costs_no_stack(void **state) {
  (void)state;
  start(SLICE("\x82\xa4"
              "data"));
  for (int i = 0; i < 1000000; i++) append(&body, SLICE("\x91"));
  append(&body, SLICE("\xc0" COMMAND_X));
  chaski_slice frame = reads(TOPIC_T);
  assert_int_equal(m.data.len, 1000001);
  free_exact(frame);
}

static void nil_data_is_a_value_and_no_data_is_none(void **state) {
  (void)state;
  start_with("data", SLICE("\xc0"));
  chaski_slice frame = reads(TOPIC_T);
  assert_slice(m.data, SLICE("\xc0"));
  free_exact(frame);
  start(SLICE("\x82\xa4"
              "data\xc0" COMMAND_X));
  frame = reads(TOPIC_T);
  assert_slice(m.data, SLICE("\xc0"));
  free_exact(frame);
  body_reads(SLICE("\x81" COMMAND_X));
  assert_int_equal(m.data.len, 0);
}

/* --- ttl ---------------------------------------------------------------------------------------------------- */
static const struct {
  chaski_slice bytes;
  uint8_t ttl;
} ttls[] = {
    {BYTES("\x00"), 0},
    {BYTES("\x01"), 1},
    {BYTES("\x3f"), 63},
    {BYTES("\x40"), 64},
    {BYTES("\x41"), 64},
    {BYTES("\x7f"), 64},
    {BYTES("\xff"), 0},
    {BYTES("\xe0"), 0},
    {BYTES("\xcc\x05"), 5},
    {BYTES("\xcc\xff"), 64},
    {BYTES("\xcd\x00\x05"), 5},
    {BYTES("\xcd\x01\x00"), 64},
    {BYTES("\xce\x00\x00\x00\x05"), 5},
    {BYTES("\xce\xff\xff\xff\xff"), 64},
    {BYTES("\xcf\x00\x00\x00\x00\x00\x00\x00\x05"), 5},
    {BYTES("\xcf\x00\x00\x00\x01\x00\x00\x00\x00"), 64},
    {BYTES("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"), 64},
    {BYTES("\xcf\x80\x00\x00\x00\x00\x00\x00\x00"), 64},
    {BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), 64},
    {BYTES("\xd0\x05"), 5},
    {BYTES("\xd0\xff"), 0},
    {BYTES("\xd1\x00\x05"), 5},
    {BYTES("\xd1\x80\x00"), 0},
    {BYTES("\xd2\x00\x00\x00\x05"), 5},
    {BYTES("\xd2\xff\xff\xff\xff"), 0},
    {BYTES("\xd3\x00\x00\x00\x00\x00\x00\x00\x05"), 5},
    {BYTES("\xd3\x7f\xff\xff\xff\xff\xff\xff\xff"), 64},
    {BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), 0},
};

/* The ttl amid our own order (which is where it is read by the short path when it has one byte). */
static void start_with_ttl(chaski_slice ttl) {
  start(SLICE("\x86" COMMAND_X "\xa5topic\xa1t" STAMP_PAIR "\xa3ttl"));
  append(&body, ttl);
  append(&body, SLICE(UUID_PAIR "\xa4"
                                "data\x91\x40"));
}

static void a_ttl_of_any_width_is_clamped_to_0_and_64(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof ttls / sizeof *ttls; i++) {
    start_with_ttl(ttls[i].bytes);
    chaski_slice frame = reads(TOPIC_T);
    assert_int_equal(m.ttl, ttls[i].ttl);
    assert_int_equal(m.ttl_width, ttls[i].bytes.len);
    assert_slice(chaski_slice_of(frame.ptr + m.ttl_at, m.ttl_width), ttls[i].bytes);
    free_exact(frame);
  }
}

/* The frame of m with another ttl, on the heap at its exact size. */
static chaski_slice change_ttl(uint8_t ttl) {
  uint8_t *out = malloc(m.frame.len + 12);
  assert_non_null(out);
  size_t len = chaski_message_with_ttl(out, &m, ttl);
  assert_true(len <= m.frame.len + 12);
  chaski_slice changed = exact(chaski_slice_of(out, len));
  free(out);
  return changed;
}

static void is_the_same_but_for_its_ttl(const chaski_message *was, const chaski_message *is, uint8_t ttl) {
  assert_int_equal(is->ttl, ttl);
  assert_slice(is->command, was->command);
  assert_slice(is->topic, was->topic);
  assert_slice(is->data, was->data);
  assert_slice(is->uuid, was->uuid);
  assert_slice(is->stamp, was->stamp);
  assert_true(is->sec == was->sec && is->nsec == was->nsec && is->ours == was->ours);
  assert_true(is->origin == was->origin && is->seq == was->seq);
}

static void a_ttl_is_replaced_in_its_own_width_and_nothing_else_is_touched(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof ttls / sizeof *ttls; i++) {
    start_with_ttl(ttls[i].bytes);
    chaski_slice frame = reads(TOPIC_T);
    chaski_message was = m;
    for (int ttl = 0; ttl <= 64; ttl += 63) {
      m = was;
      chaski_slice changed = change_ttl((uint8_t)ttl);
      assert_int_equal(changed.len, frame.len);
      assert_memory_equal(changed.ptr, frame.ptr, was.ttl_at);
      size_t after = was.ttl_at + was.ttl_width;
      assert_memory_equal(changed.ptr + after, frame.ptr + after, frame.len - after);
      assert_int_equal(chaski_message_read_bytes(changed, &m, &why), CHASKI_OK);
      is_the_same_but_for_its_ttl(&was, &m, (uint8_t)ttl);
      assert_int_equal(m.ttl_width, was.ttl_width);
      free_exact(changed);
    }
    free_exact(frame);
  }
}

/* A map of `count` pairs with a head of `width` bytes, the last pair being the data. */
static void start_without_ttl(uint32_t count, size_t width) {
  start(SLICE(""));
  uint8_t heads[][5] = {{(uint8_t)(0x80 | count)},
                        {0xde, (uint8_t)(count >> 8), (uint8_t)count},
                        {0xdf, 0, 0, (uint8_t)(count >> 8), (uint8_t)count}};
  append(&body, chaski_slice_of(heads[width / 2], width));
  append(&body, SLICE(COMMAND_X));
  for (uint32_t i = 2; i < count; i++) append(&body, SLICE("\xa1z\x92\x01\xc0"));
  if (count > 1)
    append(&body, SLICE("\xa4"
                        "data\x91\x40"));
}

static void gets_a_ttl(uint32_t count, size_t width) {
  start_without_ttl(count, width);
  chaski_slice frame = reads(TOPIC_T);
  chaski_message was = m;
  assert_int_equal(was.ttl_at, 0);
  chaski_slice changed = change_ttl(63);
  assert_int_equal(chaski_message_read_bytes(changed, &m, &why), CHASKI_OK);
  is_the_same_but_for_its_ttl(&was, &m, 63);
  size_t pairs_len = body.len - width; /* all the pairs that were there follow the new one */
  assert_memory_equal(changed.ptr + changed.len - pairs_len, frame.ptr + frame.len - pairs_len, pairs_len);
  chaski_slice map = chaski_slice_of(changed.ptr + CHASKI_FRAME_HEADER + 2, 5);
  chaski__mp v;
  assert_true(chaski__mp_read(&map, &v) && v.type == MP_MAP && v.u == count + 1);
  free_exact(changed);
  free_exact(frame);
}

static void an_envelope_without_a_ttl_gets_one(void **state) {
  (void)state;
  for (uint32_t count = 1; count <= 15; count++) gets_a_ttl(count, 1); /* 15: the head grows */
  for (uint32_t count = 1; count <= 300; count++) {
    gets_a_ttl(count, 3);
    gets_a_ttl(count, 5);
  }
  gets_a_ttl(65534, 3);
  gets_a_ttl(65535, 3);
}

/* --- timestamps --------------------------------------------------------------------------------------------- */
static void a_timestamp_may_have_any_form(void **state) {
  (void)state;
  static const struct {
    chaski_slice bytes;
    int64_t sec;
    uint32_t nsec;
  } table[] = {
      {BYTES("\xd6\xff\x6b\x03\x8b\x34"), 1795394356, 0},
      {BYTES("\xd7\xff\x1d\x96\x38\x00\x6b\x03\x8b\x34"), 1795394356, 124096000},
      {BYTES("\xc7\x0c\xff\x00\x00\x00\x05\xff\xff\xff\xff\xff\xff\xff\xfe"), -2, 5},
      {BYTES("\xce\x6b\x03\x8b\x34"), 1795394356, 0},
      {BYTES("\xfe"), -2, 0},
      {BYTES("\xcb\x41\xda\xc0\xe2\xcd\x08\x00\x00"), 1795394356, 125000000},
      {BYTES("\xca\xbf\xc0\x00\x00"), -2, 500000000},
      {BYTES("\xc0"), 0, 0},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    start_with("timestamp", table[i].bytes);
    chaski_slice frame = reads(TOPIC_T);
    assert_int_equal(m.sec, table[i].sec);
    assert_int_equal(m.nsec, table[i].nsec);
    assert_slice(m.stamp, table[i].bytes);
    free_exact(frame);
  }
}

/* --- ids ---------------------------------------------------------------------------------------------------- */
static void ids_of_other_makers_are_any_text(void **state) {
  (void)state;
  static const char *const ids[] = {UUID_4,
                                    "x",
                                    "01234567-89ab-7def-8000-00000000004d",
                                    "01234567-89ab-8def-c000-00000000004d",
                                    "01234567-89ab-8def-8000-00000000004g",
                                    "0123456789ab8def800000000000004d",
                                    "0123456789012345678901234567890123456789012345678901234567890123"};
  for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
    start(SLICE("\x82" COMMAND_X "\xa4uuid"));
    chaski__mp_put_str(&body, chaski_slice_str(ids[i]));
    chaski_slice frame = reads(TOPIC_T);
    assert_text(m.uuid, ids[i]);
    assert_false(m.ours);
    free_exact(frame);
  }
}

static void our_ids_are_numbers_in_either_case_and_string_form(void **state) {
  (void)state;
  static const chaski_slice values[] = {BYTES("\xd9\x24"
                                              "12345678-9abc-8def-8000-00000000004d"),
                                        BYTES("\xd9\x24"
                                              "12345678-9ABC-8DEF-8000-00000000004D"),
                                        BYTES("\xda\x00\x24"
                                              "12345678-9abc-8def-8000-00000000004d")};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    start_with("uuid", values[i]);
    chaski_slice frame = reads(TOPIC_T);
    assert_true(m.ours && m.origin == ORIGIN && m.seq == 77);
    free_exact(frame);
  }
}

static void an_id_of_nil_or_nothing_is_no_id(void **state) {
  (void)state;
  start_with("uuid", SLICE("\xc0"));
  free_exact(reads(TOPIC_T));
  assert_true(m.uuid.len == 0 && !m.ours);
  start_with("uuid", SLICE("\xa0"));
  free_exact(reads(TOPIC_T));
  assert_true(m.uuid.len == 0 && !m.ours);
}

/* --- damage ------------------------------------------------------------------------------------------------- */
static bool within(chaski_slice part, chaski_slice whole) {
  return part.len == 0 || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void slices_lie_in_the_frame(chaski_slice frame) {
  assert_true(within(m.command, frame) && within(m.topic, frame) && within(m.data, frame));
  assert_true(within(m.uuid, frame) && within(m.stamp, frame));
  assert_true(m.command.len >= 1 && m.command.len <= CHASKI_COMMAND_MAX && m.uuid.len <= 64);
  assert_true(m.ttl <= CHASKI_TTL_MAX && m.ttl_at + m.ttl_width <= frame.len && m.nsec < 1000000000);
}

static void a_hop_changes_the_ttl_only(void) {
  chaski_message was = m;
  chaski_slice changed = change_ttl(7);
  assert_int_equal(chaski_message_read_bytes(changed, &m, &why), CHASKI_OK);
  is_the_same_but_for_its_ttl(&was, &m, 7);
  free_exact(changed);
  m = was;
}

/* The same message with one more, unknown, key in front is read by the general path: it must say the same. */
static void the_general_path_agrees(chaski_slice frame, int result) {
  size_t at = CHASKI_FRAME_HEADER + frame.ptr[7];
  if (at >= frame.len || frame.ptr[at] < 0x80 || frame.ptr[at] > 0x8e) return;
  chaski_slice topic = chaski_slice_of(frame.ptr + CHASKI_FRAME_HEADER, frame.ptr[7]);
  chaski_message was = m;
  uint8_t head = (uint8_t)(frame.ptr[at] + 1);
  start(chaski_slice_of(&head, 1));
  append(&body, SLICE("\xa1\x01\xc0"));
  append(&body, chaski_slice_of(frame.ptr + at + 1, frame.len - at - 1));
  chaski_slice other = pack(topic);
  assert_int_equal(chaski_message_read_bytes(other, &m, &why), result);
  if (result == CHASKI_OK) is_the_same_but_for_its_ttl(&was, &m, was.ttl);
  free_exact(other);
  m = was;
}

/* What was read before makes reading quicker, never different. */
static void a_memo_changes_nothing(chaski_slice frame, int result, chaski_message_memo *memo) {
  chaski_message was = m;
  size_t topic = frame.ptr[7];
  chaski_frame f = {
      .bytes = frame,
      .topic = chaski_slice_of(frame.ptr + CHASKI_FRAME_HEADER, topic),
      .data = chaski_slice_of(frame.ptr + CHASKI_FRAME_HEADER + topic, frame.len - CHASKI_FRAME_HEADER - topic)};
  assert_int_equal(chaski_message_read(&f, memo, &m, &why), result);
  if (result == CHASKI_OK) {
    is_the_same_but_for_its_ttl(&was, &m, was.ttl);
    assert_true(m.ours == was.ours && m.origin == was.origin && m.seq == was.seq);
    slices_lie_in_the_frame(frame);
  }
}

static chaski_message_memo undamaged; /* of the frames before they are damaged */

static void check_damaged(chaski_slice frame) {
  int r = chaski_message_read_bytes(frame, &m, &why);
  assert_true(r == CHASKI_OK || (r == CHASKI_EMALFORMED && *why));
  if (strcmp(why, "not one whole frame") != 0) {
    chaski_message_memo memo = undamaged;
    the_general_path_agrees(frame, r);
    a_memo_changes_nothing(frame, r, &memo);
    a_memo_changes_nothing(frame, r, &memo);
  }
  if (r != CHASKI_OK) return;
  slices_lie_in_the_frame(frame);
  a_hop_changes_the_ttl_only();
}

/* A frame as captured, or one of ours. */
static chaski_slice some_frame(void) {
  const captured_frame *c = &captured_frames[draw(CAPTURED_FRAMES)];
  if (!c->datagram && draw(2)) return from_hex(c->hex);
  chaski_envelope e = envelope("ChaskiMessage", "t");
  return write_frame(&e, SLICE("\x82\x01\x02\xa4"
                               "data\x90"));
}

static void a_damaged_frame_is_refused_or_read_as_what_it_says(void **state) {
  (void)state;
  size_t good = 0;
  for (int round = 0; round < 50000; round++) {
    chaski_slice frame = some_frame();
    uint8_t *p = (uint8_t *)(uintptr_t)frame.ptr;
    assert_int_equal(chaski_message_read_bytes(frame, &m, &why), CHASKI_OK);
    a_memo_changes_nothing(frame, CHASKI_OK, &undamaged);
    for (uint64_t n = 1 + draw(3); n > 0; n--) {
      uint64_t at = CHASKI_FRAME_HEADER + draw(frame.len - CHASKI_FRAME_HEADER);
      p[at] = (uint8_t)(draw(2) ? draw(256) : p[at] ^ 1u << draw(8));
    }
    check_damaged(frame);
    good += *why == '\0';
    free_exact(frame);
  }
  assert_true(good > 1000 && good < 49000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(every_captured_frame_is_read_as_it_was_meant),
      TEST(a_captured_frame_differs_in_its_ttl_only_after_a_hop),
      TEST(what_we_write_is_read_back),
      TEST(we_write_six_keys_with_data_last),
      TEST(the_extremes_of_an_envelope_come_back),
      TEST(a_frame_of_ours_without_data_is_refused),
      TEST(keys_may_stand_in_any_order),
      TEST(a_frame_cut_at_any_byte_is_refused_until_its_data_begins),
      TEST(unknown_keys_are_stepped_over),
      TEST(what_is_missing_has_its_default),
      TEST(any_pair_but_the_command_may_be_missing),
      TEST(what_is_not_one_map_with_a_command_is_refused),
      TEST(a_key_that_is_no_string_is_refused),
      TEST(a_key_of_the_envelope_may_not_stand_twice),
      TEST(bad_values_are_refused_by_name),
      TEST(a_bad_command_is_refused),
      TEST(commands_and_ids_have_64_bytes_at_most),
      TEST(faults_in_our_own_order_are_refused),
      TEST(an_empty_command_in_our_own_order_is_refused),
      TEST(the_topic_of_the_header_is_one_string),
      TEST(header_and_envelope_have_the_same_topic_however_written),
      TEST(bytes_that_are_not_one_whole_frame_are_refused),
      TEST(a_datagram_is_the_message_alone),
      TEST(a_datagram_of_ours_has_its_numbers),
      TEST(what_a_datagram_misses_has_its_default),
      TEST(a_malformed_datagram_is_refused),
      TEST(data_that_stands_last_is_not_looked_into),
      TEST(data_that_stands_elsewhere_is_walked_over),
      TEST(deep_data_costs_no_stack),
      TEST(nil_data_is_a_value_and_no_data_is_none),
      TEST(a_ttl_of_any_width_is_clamped_to_0_and_64),
      TEST(a_ttl_is_replaced_in_its_own_width_and_nothing_else_is_touched),
      TEST(an_envelope_without_a_ttl_gets_one),
      TEST(a_timestamp_may_have_any_form),
      TEST(ids_of_other_makers_are_any_text),
      TEST(our_ids_are_numbers_in_either_case_and_string_form),
      TEST(an_id_of_nil_or_nothing_is_no_id),
      TEST(a_damaged_frame_is_refused_or_read_as_what_it_says),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
