/* message_fuzz.c: any bytes as the frame of a message. What is accepted keeps its fields when the ttl is replaced, and
 * every slice lies within the frame. SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "../../src/core/message.h"
#include "../../src/core/mp.h"
#include "../../src/core/uuid.h"

#include <string.h>

static void check_within(chaski_slice whole, chaski_slice part) {
  if (part.len) FUZZ_CHECK(part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len);
}

static void check_message(chaski_slice frame, const chaski_message *m) {
  uint64_t origin, seq;
  check_within(frame, m->command);
  check_within(frame, m->topic);
  check_within(frame, m->data);
  check_within(frame, m->uuid);
  check_within(frame, m->stamp);
  FUZZ_CHECK(m->ttl <= CHASKI_TTL_MAX && m->uuid.len <= 64);
  FUZZ_CHECK(!m->ours || (chaski_uuid_parse(m->uuid, &origin, &seq) && origin == m->origin && seq == m->seq));
}

static void check_replaced(chaski_slice frame, const chaski_message *m) {
  chaski_message again;
  const char *why;
  uint8_t *copy = malloc(frame.len + 12);
  FUZZ_CHECK(copy);
  size_t n = chaski_message_with_ttl(copy, m, 7);
  FUZZ_CHECK(n <= frame.len + 12);
  FUZZ_CHECK(chaski_message_read_bytes(chaski_slice_of(copy, n), &again, &why) == CHASKI_OK && again.ttl == 7);
  FUZZ_CHECK(chaski_slice_equal(again.command, m->command) && chaski_slice_equal(again.topic, m->topic));
  FUZZ_CHECK(chaski_slice_equal(again.data, m->data) && chaski_slice_equal(again.uuid, m->uuid));
  free(copy);
}

/* Written by ourselves, directly and by a template, it is the same, and is read as what was written. */
static void check_written(const chaski_message *m) {
  chaski_envelope e = {.command = m->command, .topic = m->topic, .ttl = m->ttl, .origin = m->origin, .seq = m->seq};
  chaski_message_template t = {0};
  chaski_message again;
  const char *why;
  e.sec = (int64_t)m->frame.len;
  e.nsec = (uint32_t)m->seq % 1000000000U;
  if (!m->command.len || m->command.len > CHASKI_COMMAND_MAX || !m->topic.len || m->topic.len > 250) return;
  size_t len = chaski_message_size(&e, m->data.len), head;
  uint8_t *direct = malloc(len), *by_template = malloc(len);
  FUZZ_CHECK(direct && by_template);
  head = chaski_message_write_head(direct, &e, m->data.len);
  FUZZ_CHECK(head + m->data.len == len);
  if (m->data.len) memcpy(direct + head, m->data.ptr, m->data.len);
  int r = chaski_message_read_bytes(chaski_slice_of(direct, len), &again, &why);
  FUZZ_CHECK(r == CHASKI_OK || !m->data.len);
  if (r == CHASKI_OK) FUZZ_CHECK(again.ttl == m->ttl && chaski_slice_equal(again.data, m->data));
  if (chaski_message_template_make(&t, &e)) {
    FUZZ_CHECK(chaski_message_template_fits(&t, &e));
    FUZZ_CHECK(chaski_message_template_write(by_template, &t, &e, m->data.len) == head);
    FUZZ_CHECK(memcmp(direct, by_template, head) == 0);
  }
  free(direct);
  free(by_template);
}

/* Walk over data by the schema of the protocol's own commands. */
static void read_fields(chaski_slice data) {
  const char *key;
  chaski__mp_field f[] = {
      {.key = "handshake_id", .want = WANT_STR}, {.key = "response", .want = WANT_BOOL},
      {.key = "port", .want = WANT_UINT},        {.key = "subscriptions", .want = WANT_ARRAY_OF_STR},
      {.key = "rs", .want = WANT_ANY},           {.key = "sid", .want = WANT_BIN}};
  size_t n = sizeof f / sizeof *f;
  if (chaski__mp_fields(data, f, n, &key)) return;
  for (size_t i = 0; i < n; i++)
    if (f[i].present) check_within(data, f[i].value.raw);
  if (f[4].present) chaski__mp_fields(f[4].value.raw, f, n, &key);
}

static void check_recalled(const chaski_frame *f, chaski_message_memo *memo) {
  chaski_message m, recalled;
  const char *why;
  int r = chaski_message_read(f, NULL, &m, &why);
  FUZZ_CHECK(chaski_message_read(f, memo, &recalled, &why) == r);
  if (r != CHASKI_OK) return;
  check_message(f->bytes, &recalled);
  FUZZ_CHECK(chaski_slice_equal(recalled.command, m.command) && chaski_slice_equal(recalled.topic, m.topic));
  FUZZ_CHECK(chaski_slice_equal(recalled.data, m.data) && chaski_slice_equal(recalled.uuid, m.uuid));
  FUZZ_CHECK(recalled.ttl == m.ttl && recalled.ttl_at == m.ttl_at && recalled.sec == m.sec && recalled.nsec == m.nsec);
  FUZZ_CHECK(recalled.ours == m.ours && recalled.origin == m.origin && recalled.seq == m.seq);
}

/* The message once more, and with one byte changed, which its last byte names. */
static void check_memo(chaski_slice frame, const chaski_message *m) {
  chaski_message_memo memo = {0};
  uint8_t *copy = malloc(frame.len);
  size_t topic = frame.ptr[7], at = CHASKI_FRAME_HEADER + topic;
  FUZZ_CHECK(copy);
  memcpy(copy, frame.ptr, frame.len);
  chaski_frame f = {.bytes = chaski_slice_of(copy, frame.len),
                    .topic = chaski_slice_of(copy + CHASKI_FRAME_HEADER, topic),
                    .data = chaski_slice_of(copy + at, frame.len - at)};
  if (m->topic.len < 200) {
    check_recalled(&f, &memo);
    check_recalled(&f, &memo);
    copy[CHASKI_FRAME_HEADER + (frame.ptr[frame.len - 1] * 7 + frame.len) % (frame.len - CHASKI_FRAME_HEADER)] ^= 1;
    check_recalled(&f, &memo);
  }
  free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
  chaski_slice frame = chaski_slice_of(bytes, len);
  chaski_message m;
  const char *why = NULL;
  int r = chaski_message_read_bytes(frame, &m, &why);
  FUZZ_CHECK(r == CHASKI_OK || (r == CHASKI_EMALFORMED && why));
  if (r == CHASKI_OK) {
    check_message(frame, &m);
    check_replaced(frame, &m);
    check_written(&m);
    check_memo(frame, &m);
    read_fields(m.data);
  }
  read_fields(frame);
  return 0;
}
