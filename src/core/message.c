/* message.c: envelope to and from bytes. The fast path compares whole constant runs of our own order; anything else
 * takes the general path, token by token.
 * SPDX-License-Identifier: MIT */
#include "message.h"

#include "mp.h"

/* Our order: a map of 6: command, topic, timestamp (64-bit extension), ttl (one byte), uuid (36 characters), data. */
#define HEAD                                                                                                           \
  "\x86\xa7"                                                                                                           \
  "command"
#define TOPIC                                                                                                          \
  "\xa5"                                                                                                               \
  "topic"
#define STAMP                                                                                                          \
  "\xa9"                                                                                                               \
  "timestamp"                                                                                                          \
  "\xd7\xff"
#define TTL                                                                                                            \
  "\xa3"                                                                                                               \
  "ttl"
#define UUID                                                                                                           \
  "\xa4"                                                                                                               \
  "uuid"                                                                                                               \
  "\xd9\x24"
#define DATA                                                                                                           \
  "\xa4"                                                                                                               \
  "data"
#define RUN(s) (sizeof(s) - 1)

typedef struct cursor {
  const uint8_t *at, *end;
} cursor;

static bool run(cursor *c, const char *bytes, size_t len) {
  if ((size_t)(c->end - c->at) < len || memcmp(c->at, bytes, len) != 0) return false;
  c->at += len;
  return true;
}

static bool fix_str(cursor *c, chaski_slice *out) {
  if (c->at == c->end || (*c->at & 0xe0) != 0xa0) return false;
  size_t len = *c->at & 0x1f;
  if ((size_t)(c->end - c->at) < 1 + len) return false;
  *out = chaski_slice_of(c->at + 1, len);
  c->at += 1 + len;
  return true;
}

static uint64_t be64(const uint8_t *p) {
  uint64_t v;
  memcpy(&v, p, 8);
  return __builtin_bswap64(v);
}

static bool stamp(cursor *c, chaski_message *m) {
  if (!run(c, STAMP, RUN(STAMP)) || c->end - c->at < 8) return false;
  uint64_t v = be64(c->at);
  m->stamp = chaski_slice_of(c->at - 2, 10);
  m->nsec = (uint32_t)(v >> 34);
  m->sec = (int64_t)(v & 0x3ffffffffU);
  c->at += 8;
  return m->nsec < 1000000000U;
}

static uint8_t clamp_ttl(int64_t ttl) {
  return (uint8_t)(ttl < 0 ? 0 : ttl > CHASKI_TTL_MAX ? CHASKI_TTL_MAX : ttl);
}

static bool ttl_byte(cursor *c, chaski_message *m) {
  if (!run(c, TTL, RUN(TTL)) || c->at == c->end || *c->at > 127) return false;
  m->ttl = clamp_ttl(*c->at);
  m->ttl_clamped = *c->at > CHASKI_TTL_MAX;
  m->ttl_at = (uint32_t)(c->at - m->frame.ptr);
  m->ttl_width = 1;
  c->at++;
  return true;
}

static bool uuid_text(cursor *c, chaski_message *m) {
  if (!run(c, UUID, RUN(UUID)) || c->end - c->at < CHASKI_UUID_TEXT) return false;
  m->uuid = chaski_slice_of(c->at, CHASKI_UUID_TEXT);
  c->at += CHASKI_UUID_TEXT;
  return true;
}

/* From the time on. */
static bool tail(cursor *c, chaski_message *m) {
  if (!stamp(c, m) || !ttl_byte(c, m) || !uuid_text(c, m) || !run(c, DATA, RUN(DATA)) || c->at == c->end) return false;
  m->data = chaski_slice_of(c->at, (size_t)(c->end - c->at));
  return true;
}

/* The text of a serialised topic. */
static bool topic_text(chaski_slice wire, chaski_slice *out) {
  cursor c = {wire.ptr, wire.ptr + wire.len};
  if (fix_str(&c, out)) return c.at == c.end;
  chaski__mp v;
  if (!chaski__mp_read(&wire, &v) || v.type != MP_STR || wire.len) return false;
  *out = v.bytes;
  return true;
}

static bool head(const chaski_frame *f, cursor *c, chaski_message *m) {
  if (!run(c, HEAD, RUN(HEAD)) || !fix_str(c, &m->command) || !run(c, TOPIC, RUN(TOPIC))) return false;
  return run(c, (const char *)f->topic.ptr, f->topic.len) && topic_text(f->topic, &m->topic);
}

/* Header, topic and command are those of the message before. */
static bool recall_head(const chaski_message_memo *memo, const chaski_frame *f, cursor *c, chaski_message *m) {
  const uint8_t *start = f->topic.ptr;
  if (f->topic.len != memo->header_topic || f->data.len < memo->len || memcmp(start, memo->head, memo->len) != 0)
    return false;
  m->command = chaski_slice_of(start + memo->command, memo->command_len);
  m->topic = chaski_slice_of(start + memo->topic, memo->topic_len);
  c->at = start + memo->len;
  return true;
}

static void memorise_head(chaski_message_memo *memo, const chaski_frame *f, const cursor *c, const chaski_message *m) {
  const uint8_t *start = f->topic.ptr;
  size_t len = (size_t)(c->at - start);
  if (len > sizeof memo->head) return;
  memcpy(memo->head, start, len);
  memo->len = (uint8_t)len;
  memo->header_topic = (uint8_t)f->topic.len;
  memo->command = (uint8_t)(m->command.ptr - start), memo->command_len = (uint8_t)m->command.len;
  memo->topic = (uint8_t)(m->topic.ptr - start), memo->topic_len = (uint8_t)m->topic.len;
}

/* Header, topic and data lie behind one another. */
static bool fast_path(const chaski_frame *f, chaski_message_memo *memo, chaski_message *m) {
  cursor c = {f->data.ptr, f->data.ptr + f->data.len};
  if (memo && memo->len && recall_head(memo, f, &c, m)) return tail(&c, m);
  if (!head(f, &c, m)) return false;
  if (memo) memorise_head(memo, f, &c, m);
  return tail(&c, m);
}

/* --- the general path --------------------------------------------------------------------------------------- */
enum key { KEY_COMMAND = 1, KEY_TOPIC = 2, KEY_STAMP = 4, KEY_TTL = 8, KEY_UUID = 16, KEY_DATA = 32 };

static enum key key_of(chaski_slice s) {
  static const struct {
    const char *name;
    enum key key;
  } keys[] = {{"command", KEY_COMMAND}, {"topic", KEY_TOPIC}, {"timestamp", KEY_STAMP},
              {"ttl", KEY_TTL},         {"uuid", KEY_UUID},   {"data", KEY_DATA}};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
    if (chaski_slice_equal(s, chaski_slice_str(keys[i].name))) return keys[i].key;
  return 0;
}

static bool read_text(chaski_slice *in, chaski_slice *out, size_t max, bool nil_allowed) {
  chaski__mp v;
  if (!chaski__mp_read(in, &v)) return false;
  if (v.type == MP_NIL && nil_allowed) return true;
  *out = v.bytes;
  return v.type == MP_STR && v.bytes.len <= max;
}

static bool read_ttl(chaski_slice *in, chaski_message *m) {
  chaski__mp v;
  const uint8_t *at = in->ptr;
  if (!chaski__mp_read(in, &v) || (v.type != MP_INT && v.type != MP_UINT)) return false;
  m->ttl_clamped = v.type == MP_UINT && v.u > CHASKI_TTL_MAX;
  m->ttl = v.type == MP_INT ? 0 : clamp_ttl(v.u > INT64_MAX ? INT64_MAX : (int64_t)v.u);
  m->ttl_at = m->frame.ptr ? (uint32_t)(at - m->frame.ptr) : 0;
  m->ttl_width = (uint32_t)v.raw.len;
  return true;
}

static bool read_stamp(chaski_slice *in, chaski_message *m) {
  chaski__mp v;
  if (!chaski__mp_read(in, &v)) return false;
  m->stamp = v.raw;
  return v.type == MP_NIL || chaski__mp_timestamp(&v, &m->sec, &m->nsec);
}

/* Data that stands last is the rest, unread; else it must be walked over to find the next key. */
static bool read_data(chaski_slice *in, bool last, chaski_message *m) {
  if (!last) return chaski__mp_skip(in, &m->data);
  m->data = *in;
  *in = chaski_slice_of(in->ptr + in->len, 0);
  return m->data.len > 0;
}

static const char *read_key(chaski_slice *in, enum key key, bool last, chaski_message *m) {
  switch (key) {
  case KEY_COMMAND:
    return read_text(in, &m->command, CHASKI_COMMAND_MAX, false) ? NULL : "envelope: bad command";
  case KEY_TOPIC:
    return read_text(in, &m->topic, SIZE_MAX, false) ? NULL : "envelope: bad topic";
  case KEY_STAMP:
    return read_stamp(in, m) ? NULL : "envelope: bad timestamp";
  case KEY_TTL:
    return read_ttl(in, m) ? NULL : "envelope: bad ttl";
  case KEY_UUID:
    return read_text(in, &m->uuid, 64, true) ? NULL : "envelope: bad uuid";
  case KEY_DATA:
    return read_data(in, last, m) ? NULL : "envelope: bad data";
  }
  return chaski__mp_skip(in, NULL) ? NULL : "envelope: bad value under an unknown key";
}

static const char *read_map(chaski_slice in, chaski_message *m) {
  chaski__mp map, k;
  unsigned seen = 0;
  if (!chaski__mp_read(&in, &map) || map.type != MP_MAP) return "the message is not a map";
  for (uint64_t left = map.u; left > 0; left--) {
    if (!chaski__mp_read(&in, &k) || k.type != MP_STR) return "envelope: a key is not a string";
    enum key key = key_of(k.bytes);
    if (seen & key) return "envelope: a key stands twice";
    seen |= key;
    const char *wrong = read_key(&in, key, left == 1, m);
    if (wrong) return wrong;
  }
  if (in.len) return "bytes follow the message";
  return seen & KEY_COMMAND ? NULL : "envelope: no command";
}

static const char *general_path(const chaski_frame *f, chaski_message *m) {
  chaski_slice in = f->topic;
  chaski__mp topic;
  if (!chaski__mp_read(&in, &topic) || topic.type != MP_STR || in.len) return "the header's topic is not one string";
  *m = (chaski_message){.frame = f->bytes, .ttl = CHASKI_TTL_MAX, .topic = topic.bytes};
  const char *wrong = read_map(f->data, m);
  if (wrong) return wrong;
  return chaski_slice_equal(m->topic, topic.bytes) ? NULL : "header and envelope have different topics";
}

int chaski_message_read(const chaski_frame *frame, chaski_message_memo *memo, chaski_message *out, const char **why) {
  *out = (chaski_message){.frame = frame->bytes};
  *why = "";
  const char *wrong = fast_path(frame, memo, out) ? NULL : general_path(frame, out);
  if (wrong) return *why = wrong, CHASKI_EMALFORMED;
  if (out->command.len == 0) return *why = "envelope: empty command", CHASKI_EMALFORMED;
  out->ours = memo ? chaski_uuid_recall(&memo->uuid, out->uuid, &out->origin, &out->seq)
                   : chaski_uuid_parse(out->uuid, &out->origin, &out->seq);
  return CHASKI_OK;
}

int chaski_message_read_datagram(chaski_slice bytes, chaski_message *out, const char **why) {
  *out = (chaski_message){.ttl = CHASKI_TTL_MAX, .datagram = (uint32_t)bytes.len};
  const char *wrong = read_map(bytes, out);
  if (!wrong && out->command.len == 0) wrong = "envelope: empty command";
  *why = wrong ? wrong : "";
  if (wrong) return CHASKI_EMALFORMED;
  out->ours = chaski_uuid_parse(out->uuid, &out->origin, &out->seq);
  return CHASKI_OK;
}

int chaski_message_read_bytes(chaski_slice bytes, chaski_message *out, const char **why) {
  *why = "not one whole frame";
  if (bytes.len < CHASKI_FRAME_HEADER) return CHASKI_EMALFORMED;
  uint64_t lengths = be64(bytes.ptr);
  uint64_t data = lengths >> 32, topic = lengths & 0xffffffffU;
  if (CHASKI_FRAME_HEADER + topic + data != bytes.len) return CHASKI_EMALFORMED;
  chaski_frame f = {.bytes = bytes,
                    .topic = chaski_slice_of(bytes.ptr + CHASKI_FRAME_HEADER, (size_t)topic),
                    .data = chaski_slice_of(bytes.ptr + CHASKI_FRAME_HEADER + topic, (size_t)data)};
  return chaski_message_read(&f, NULL, out, why);
}

/* --- writing ------------------------------------------------------------------------------------------------ */
static size_t str_size(size_t len) {
  return len + (len < 32 ? 1 : len <= 0xff ? 2 : len <= 0xffff ? 3 : 5);
}

static size_t envelope_size(const chaski_envelope *e) {
  return RUN(HEAD) + str_size(e->command.len) + RUN(TOPIC) + str_size(e->topic.len) + RUN(STAMP) + 8 + RUN(TTL) + 1 +
         RUN(UUID) + CHASKI_UUID_TEXT + RUN(DATA);
}

size_t chaski_message_size(const chaski_envelope *e, size_t data_len) {
  return CHASKI_FRAME_HEADER + str_size(e->topic.len) + envelope_size(e) + data_len;
}

static uint8_t *put_run(uint8_t *p, const void *bytes, size_t len) {
  return (uint8_t *)memcpy(p, bytes, len) + len;
}

static uint8_t *put_str(uint8_t *p, chaski_slice s) {
  p += chaski__mp_str_head(p, s.len);
  return s.len ? put_run(p, s.ptr, s.len) : p;
}

static uint64_t stamp_bits(const chaski_envelope *e) {
  return __builtin_bswap64((uint64_t)e->nsec << 34 | ((uint64_t)e->sec & 0x3ffffffffU));
}

static uint8_t *put_stamp(uint8_t *p, const chaski_envelope *e) {
  uint64_t v = stamp_bits(e);
  return put_run(put_run(p, STAMP, RUN(STAMP)), &v, 8);
}

size_t chaski_message_write_head(uint8_t *out, const chaski_envelope *e, size_t data_len) {
  uint8_t *p = out + CHASKI_FRAME_HEADER;
  chaski_frame_header(out, (uint32_t)str_size(e->topic.len), (uint32_t)(envelope_size(e) + data_len));
  p = put_str(p, e->topic);
  p = put_str(put_run(p, HEAD, RUN(HEAD)), e->command);
  p = put_str(put_run(p, TOPIC, RUN(TOPIC)), e->topic);
  p = put_run(put_stamp(p, e), TTL, RUN(TTL));
  *p++ = e->ttl;
  p = put_run(p, UUID, RUN(UUID));
  chaski_uuid_format((char *)p, e->origin, e->seq);
  p = put_run(p + CHASKI_UUID_TEXT, DATA, RUN(DATA));
  return (size_t)(p - out);
}

#define TTL_BACK (1 + RUN(UUID))             /* bytes from the ttl to the uuid's text */
#define STAMP_BACK (TTL_BACK + RUN(TTL) + 8) /* from the time */

bool chaski_message_template_make(chaski_message_template *t, const chaski_envelope *e) {
  t->len = 0;
  if (chaski_message_size(e, 0) > sizeof t->bytes) return false;
  t->len = chaski_message_write_head(t->bytes, e, 0);
  t->origin = e->origin;
  const uint8_t *stamp = t->bytes + t->len - CHASKI_MESSAGE_UUID_BACK - STAMP_BACK - RUN(STAMP);
  t->topic = chaski_slice_of(stamp - e->topic.len, e->topic.len);
  t->command = chaski_slice_of(t->topic.ptr - str_size(e->topic.len) + e->topic.len - RUN(TOPIC) - e->command.len,
                               e->command.len);
  return true;
}

bool chaski_message_template_fits(const chaski_message_template *t, const chaski_envelope *e) {
  return t->len && t->origin == e->origin && chaski_slice_equal(t->topic, e->topic) &&
         chaski_slice_equal(t->command, e->command);
}

size_t chaski_message_template_write(uint8_t *out, const chaski_message_template *t, const chaski_envelope *e,
                                     size_t data_len) {
  uint8_t *uuid = out + t->len - CHASKI_MESSAGE_UUID_BACK;
  uint64_t v = stamp_bits(e);
  memcpy(out, t->bytes, t->len);
  uint32_t topic = (uint32_t)be64(out); /* the lengths of the template's header: data, topic */
  chaski_frame_header(out, topic, (uint32_t)(t->len - CHASKI_FRAME_HEADER - topic + data_len));
  memcpy(uuid - STAMP_BACK, &v, 8);
  uuid[-(ptrdiff_t)TTL_BACK] = e->ttl;
  chaski_uuid_renumber((char *)uuid, e->seq);
  return t->len;
}

/* Overwrite the number at p, `width` bytes with its head byte, by ttl in the same width. */
static void patch_ttl(uint8_t *p, uint32_t width, uint8_t ttl) {
  static const uint8_t heads[] = {[2] = 0xcc, [3] = 0xcd, [5] = 0xce, [9] = 0xcf};
  if (width > 1) {
    memset(p, 0, width);
    p[0] = heads[width];
  }
  p[width - 1] = ttl;
}

/* An envelope without a ttl gets one, in front of its other keys. */
static size_t insert_ttl(uint8_t *out, const chaski_message *m, uint8_t ttl) {
  uint64_t lengths = be64(m->frame.ptr);
  size_t topic = (size_t)(lengths & 0xffffffffU), at = CHASKI_FRAME_HEADER + topic;
  chaski_slice in = chaski_slice_of(m->frame.ptr + at, m->frame.len - at);
  chaski__mp map;
  if (!chaski__mp_read(&in, &map)) return 0; /* it was read before: cannot be */
  uint64_t pairs = map.u + 1;
  uint8_t *p = out + at;
  memcpy(out, m->frame.ptr, at);
  if (pairs < 16) {
    *p++ = (uint8_t)(0x80 | pairs);
  } else {
    *p++ = 0xdf;
    for (int shift = 24; shift >= 0; shift -= 8) *p++ = (uint8_t)(pairs >> shift);
  }
  p = put_run(p, TTL, RUN(TTL));
  *p++ = ttl;
  p = put_run(p, in.ptr, in.len);
  chaski_frame_header(out, (uint32_t)topic, (uint32_t)((size_t)(p - out) - at));
  return (size_t)(p - out);
}

size_t chaski_message_with_ttl(uint8_t *out, const chaski_message *m, uint8_t ttl) {
  if (!m->ttl_at) return insert_ttl(out, m, ttl);
  memcpy(out, m->frame.ptr, m->frame.len);
  patch_ttl(out + m->ttl_at, m->ttl_width, ttl);
  return m->frame.len;
}
