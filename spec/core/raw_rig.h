/* raw_rig.h: fake peers: bare streams of the in-memory network that send whatever bytes a test wants, or behave as the
 * original's nodes do (PROTOCOL part A). They know of the core only its MessagePack writer and its frame decoder.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_SPEC_RAW_RIG_H
#define CHASKI_SPEC_RAW_RIG_H

#include "node_rig.h"

#include "../../src/core/mp.h"

#define RAWS_MAX 320

enum raw_kind { RAW_HANDSHAKE, RAW_BACK, RAW_PING, RAW_PONG, RAW_SUBSCRIPTIONS, RAW_MESSAGE, RAW_OTHER, RAW_KINDS };

struct raw {
  char ip[32];
  chaski_stream *stream; /* NULL: closed */
  chaski_listener *listener;
  uint16_t port; /* of the listener; what it tells of itself */
  bool connected, ended, waiting, closing, dialled, forgotten;
  int status, end_status;
  uint8_t *out; /* what waits to leave */
  size_t out_len, out_off;
  chaski_frame_decoder in;
  size_t got[RAW_KINDS], bytes, reads;
  bool python;    /* shakes hands and answers pings, as the original does */
  bool keeps_out; /* python, but leaves handshakes unanswered */
  bool live;      /* python: our handshake was answered */
  const char *topic;
  char handshake_id[80], back_id[80], bye[40], id[80]; /* of the last handshake; of the last handshake_back; … */
  bool response;
  chaski_message last; /* ChaskiMessage; only numbers outlive the upcall */
  uint8_t last_frame[4096];
  size_t last_len;
};

static struct raw raws[RAWS_MAX];
static size_t raw_count;
static unsigned raw_ids;

static inline const chaski_transport *raw_transport(void) {
  return chaski_sim_env(rig->sim)->transport;
}

static inline struct raw *raw_new(const char *ip) {
  struct raw *r = &raws[raw_count++];
  if (raw_count > RAWS_MAX) fail_msg("too many fake peers");
  *r = (struct raw){.topic = "t", .port = 7};
  snprintf(r->ip, sizeof r->ip, "%s", ip);
  chaski_frame_decoder_init(&r->in, 1 << 20, 64 << 20);
  return r;
}

/* --- sending ------------------------------------------------------------------------------------------------ */
static inline void raw_flush(struct raw *r) {
  if (!r->stream || r->closing || !r->connected || r->waiting || r->ended || r->out_off == r->out_len) return;
  chaski_slice s = chaski_slice_of(r->out + r->out_off, r->out_len - r->out_off);
  int64_t n = raw_transport()->write(r->stream, &s, 1);
  if (n < 0) return;
  r->waiting = (size_t)n < s.len;
  r->out_off = r->out_len; /* the rest is borrowed */
}

/* While a rest is borrowed the buffer must not move: what comes then is lost, and a test that does so is wrong. */
static inline void raw_send(struct raw *r, const void *bytes, size_t len) {
  if (r->waiting) fail_msg("raw_send while a rest is borrowed");
  if (r->out_off == r->out_len) r->out_off = r->out_len = 0;
  r->out = realloc(r->out, r->out_len + len + 1);
  memcpy(r->out + r->out_len, bytes, len);
  r->out_len += len;
  raw_flush(r);
}

static inline void raw_frame(struct raw *r, chaski_slice topic, chaski_slice data) {
  uint8_t head[CHASKI_FRAME_HEADER];
  chaski_frame_header(head, (uint32_t)topic.len, (uint32_t)data.len);
  uint8_t *all = malloc(sizeof head + topic.len + data.len + 1);
  memcpy(all, head, sizeof head);
  memcpy(all + sizeof head, topic.ptr, topic.len);
  memcpy(all + sizeof head + topic.len, data.ptr, data.len);
  raw_send(r, all, sizeof head + topic.len + data.len);
  free(all);
}

/* The envelope in the original's order; uuid NULL: nil; ttl negative: none; extra: an unknown key too. */
static inline void raw_envelope(struct raw *r, const char *header_topic, const char *topic, const char *command,
                                chaski_slice data, const char *uuid, int ttl, bool extra) {
  chaski__buf h = {0}, b = {0};
  chaski__mp_put_str(&h, chaski_slice_str(header_topic));
  chaski__mp_put_map(&b, 5u + (ttl >= 0) + extra);
  chaski__mp_put_key(&b, "command");
  chaski__mp_put_str(&b, chaski_slice_str(command));
  chaski__mp_put_key(&b, "topic");
  chaski__mp_put_str(&b, chaski_slice_str(topic));
  chaski__mp_put_key(&b, "data");
  chaski__buf_append(&b, data.ptr, data.len);
  chaski__mp_put_key(&b, "timestamp");
  chaski__buf_append(&b, "\xd7\xff\x1d\x96\x38\x00\x6b\x03\x8b\x34", 10);
  if (ttl >= 0) {
    chaski__mp_put_key(&b, "ttl");
    chaski__mp_put_uint(&b, (uint64_t)ttl);
  }
  chaski__mp_put_key(&b, "uuid");
  if (uuid)
    chaski__mp_put_str(&b, chaski_slice_str(uuid));
  else
    chaski__mp_put_nil(&b);
  if (extra) {
    chaski__mp_put_key(&b, "colour");
    chaski__mp_put_str(&b, chaski_slice_str("blue"));
  }
  raw_frame(r, chaski__buf_slice(&h), chaski__buf_slice(&b));
  chaski__buf_free(&h);
  chaski__buf_free(&b);
}

static inline const char *raw_uuid(void) {
  static char text[40];
  snprintf(text, sizeof text, "%08x-7b7e-4000-95f4-c6567adf3ee2", ++raw_ids);
  return text;
}

/* Under the topic All; frees data. */
static inline void raw_command(struct raw *r, const char *command, chaski__buf *data) {
  raw_envelope(r, "All", "All", command, chaski__buf_slice(data), raw_uuid(), 64, false);
  chaski__buf_free(data);
}

static inline void raw_message(struct raw *r, const char *topic, const char *uuid, int ttl, uint8_t number) {
  raw_envelope(r, topic, topic, "ChaskiMessage", chaski_slice_of(&number, 1), uuid, ttl, false);
}

static inline void raw_put_text(chaski__buf *b, const char *key, const char *text) {
  chaski__mp_put_key(b, key);
  chaski__mp_put_str(b, chaski_slice_str(text));
}

/* id NULL: the original's, of nobody. */
static inline void raw_handshake(struct raw *r, const char *handshake_id, bool response, const char *id,
                                 uint64_t start) {
  chaski__buf b = {0};
  chaski__mp_put_map(&b, id ? 5 : 2);
  raw_put_text(&b, "handshake_id", handshake_id);
  chaski__mp_put_key(&b, "response");
  chaski__mp_put_bool(&b, response);
  if (id) {
    raw_put_text(&b, "id", id);
    chaski__mp_put_key(&b, "start");
    chaski__mp_put_uint(&b, start);
    chaski__mp_put_key(&b, "protocol");
    chaski__mp_put_uint(&b, 1);
  }
  raw_command(r, "handshake", &b);
}

static inline void raw_put_identity(struct raw *r, chaski__buf *b) {
  raw_put_text(b, "name", r->ip);
  raw_put_text(b, "ip", r->ip);
  chaski__mp_put_key(b, "port");
  chaski__mp_put_uint(b, r->port);
  chaski__mp_put_key(b, "subscriptions");
  chaski__mp_put_array(b, 1);
  chaski__mp_put_str(b, chaski_slice_str(r->topic));
}

static inline void raw_back(struct raw *r, const char *handshake_id) {
  chaski__buf b = {0};
  chaski__mp_put_map(&b, 5);
  raw_put_identity(r, &b);
  raw_put_text(&b, "handshake_id", handshake_id);
  raw_command(r, "handshake_back", &b);
}

static inline void raw_ping(struct raw *r, const char *ping_id, size_t size) {
  chaski__buf b = {0};
  uint8_t *dummy = calloc(1, size + 1);
  chaski__mp_put_map(&b, 4);
  raw_put_text(&b, "ping_id", ping_id);
  chaski__mp_put_key(&b, "latency_update");
  chaski__mp_put_bool(&b, true);
  chaski__mp_put_key(&b, "dummy_data");
  chaski__mp_put_bin(&b, chaski_slice_of(dummy, size));
  chaski__mp_put_key(&b, "size");
  chaski__mp_put_uint(&b, size);
  raw_command(r, "ping", &b);
  free(dummy);
}

/* --- receiving ---------------------------------------------------------------------------------------------- */
static inline void raw_text(chaski__mp_field *f, char *to, size_t room) {
  *to = '\0';
  if (f->present) snprintf(to, room, "%.*s", (int)f->value.bytes.len, (const char *)f->value.bytes.ptr);
}

static inline void raw_pong(struct raw *r, const chaski_message *m, chaski__mp_field *ping_id,
                            chaski__mp_field *dummy) {
  chaski__buf b = {0};
  chaski__mp_put_map(&b, 8);
  chaski__mp_put_key(&b, "source_timestamp");
  chaski__buf_append(&b, m->stamp.ptr, m->stamp.len);
  raw_put_identity(r, &b);
  chaski__mp_put_key(&b, "ping_id");
  chaski__mp_put_str(&b, ping_id->value.bytes);
  chaski__mp_put_key(&b, "latency_update");
  chaski__mp_put_bool(&b, true);
  chaski__mp_put_key(&b, "dummy_data");
  chaski__mp_put_bin(&b, dummy->value.bytes);
  raw_command(r, "pong", &b);
}

/* What the original does with a handshake, on a live edge too (which is how it answers a goodbye). */
static inline void raw_python(struct raw *r, enum raw_kind kind) {
  if (!r->python || r->keeps_out) return;
  char a[80];
  snprintf(a, sizeof a, "%s", r->handshake_id);
  if (kind == RAW_HANDSHAKE && r->response) raw_handshake(r, raw_uuid(), false, NULL, 0);
  if (kind == RAW_HANDSHAKE) raw_back(r, a);
  if (kind == RAW_BACK) r->live = true;
}

static inline void raw_receive(struct raw *r, const chaski_frame *frame) {
  static const char *const names[] = {"handshake", "handshake_back", "ping", "pong", "subscriptions", "ChaskiMessage"};
  chaski_message m;
  const char *why, *key;
  assert_int_equal(chaski_message_read(frame, NULL, &m, &why), CHASKI_OK);
  enum raw_kind kind = RAW_HANDSHAKE;
  while (kind < RAW_OTHER && !chaski_slice_equal(m.command, chaski_slice_str(names[kind]))) kind++;
  r->got[kind]++;
  chaski__mp_field f[] = {{.key = "handshake_id", .want = WANT_STR}, {.key = "response", .want = WANT_BOOL},
                          {.key = "bye", .want = WANT_STR},          {.key = "ping_id", .want = WANT_STR},
                          {.key = "dummy_data", .want = WANT_BIN},   {.key = "id", .want = WANT_STR}};
  if (kind < RAW_MESSAGE) assert_null(chaski__mp_fields(m.data, f, sizeof f / sizeof *f, &key));
  if (kind == RAW_HANDSHAKE) {
    raw_text(&f[0], r->handshake_id, sizeof r->handshake_id);
    raw_text(&f[2], r->bye, sizeof r->bye);
    raw_text(&f[5], r->id, sizeof r->id);
    r->response = f[1].value.truth;
  }
  if (kind == RAW_BACK) raw_text(&f[0], r->back_id, sizeof r->back_id);
  if (kind == RAW_PING && r->python) raw_pong(r, &m, &f[3], &f[4]);
  if (kind == RAW_MESSAGE && frame->bytes.len <= sizeof r->last_frame) {
    r->last = m;
    r->last_len = frame->bytes.len;
    memcpy(r->last_frame, frame->bytes.ptr, frame->bytes.len);
  }
  raw_python(r, kind);
}

static inline void raw_on_connected(void *user, int status) {
  struct raw *r = user;
  r->connected = status == CHASKI_OK;
  r->status = status;
  r->ended = status != CHASKI_OK;
  raw_flush(r);
}

static inline void raw_on_data(void *user, const uint8_t *bytes, size_t len) {
  struct raw *r = user;
  chaski_slice in = chaski_slice_of(bytes, len);
  chaski_frame frame;
  r->bytes += len;
  r->reads++;
  while (chaski_frame_next(&r->in, &in, &frame) == 1) raw_receive(r, &frame);
}

static inline void raw_on_end(void *user, int status) {
  struct raw *r = user;
  r->end_status = status;
  r->ended = true;
}

static inline void raw_on_written(void *user, int status) {
  struct raw *r = user;
  (void)status;
  r->waiting = false;
}

static inline void raw_on_closed(void *user) {
  struct raw *r = user;
  r->stream = NULL;
  r->waiting = r->closing = false;
}

static const chaski_stream_events raw_events = {raw_on_connected, raw_on_data, raw_on_end, raw_on_written,
                                                raw_on_closed};

static inline void raw_close(struct raw *r) {
  if (r->stream && !r->closing) raw_transport()->close(r->stream);
  r->closing = r->stream != NULL;
  r->connected = false;
}

/* --- coming together ---------------------------------------------------------------------------------------- */
static inline bool raw_is_connected(void *arg) {
  struct raw *r = arg;
  return r->connected || r->ended;
}

static inline bool raw_has_ended(void *arg) {
  return ((struct raw *)arg)->ended;
}

static inline bool raw_is_live(void *arg) {
  return ((struct raw *)arg)->live;
}

static inline void raw_dial_address(struct raw *r, const char *ip, uint16_t port) {
  chaski_sim_act_as(rig->sim, r->ip);
  r->dialled = true;
  assert_int_equal(raw_transport()->connect(chaski_sim_env(rig->sim)->ctx, ip, port, &raw_events, r, &r->stream),
                   CHASKI_OK);
}

/* A connection to the node on which nothing was said yet. */
static inline struct raw *raw_dial(const char *ip, const struct peer *to) {
  struct raw *r = raw_new(ip);
  raw_dial_address(r, to->ip, chaski_node_port(to->node));
  rig_run(raw_is_connected, r, 10 * SECOND);
  return r;
}

static inline void raw_on_accept(void *user, chaski_stream *stream) {
  struct raw *r = user;
  r->stream = stream;
  r->connected = true;
  raw_transport()->open(stream, &raw_events, r);
}

static inline void raw_on_accept_error(void *user, int status) {
  (void)user;
  (void)status;
}

static inline void raw_on_listener_closed(void *user) {
  ((struct raw *)user)->listener = NULL;
}

static const chaski_listener_events raw_listener_events = {raw_on_accept, raw_on_accept_error, raw_on_listener_closed};

/* Takes one connection (the last). */
static inline struct raw *raw_listen(const char *ip) {
  struct raw *r = raw_new(ip);
  assert_int_equal(raw_transport()->listen(chaski_sim_env(rig->sim)->ctx, ip, 0, &raw_listener_events, r, &r->listener),
                   CHASKI_OK);
  r->port = raw_transport()->listener_port(r->listener);
  return r;
}

/* A peer of the original's kind dials the node and becomes live. */
static inline struct raw *raw_join(const char *ip, const struct peer *to) {
  struct raw *r = raw_new(ip);
  r->python = true;
  raw_dial_address(r, to->ip, chaski_node_port(to->node));
  raw_handshake(r, raw_uuid(), true, NULL, 0);
  rig_run(raw_is_live, r, 10 * SECOND);
  rig_pass(10 * MS);
  return r;
}

/* The node dials it. */
static inline chaski_edge *raw_connect(struct peer *from, struct raw *to) {
  struct dialled d = {0};
  chaski_address a = {.port = to->port};
  snprintf(a.host, sizeof a.host, "%s", to->ip);
  chaski_sim_act_as(rig->sim, from->ip);
  assert_int_equal(chaski_node_connect(from->node, &a, 0, rig_done, &d, NULL), CHASKI_OK);
  rig_run(rig_answered, &d, 10 * SECOND);
  assert_int_equal(d.status, CHASKI_OK);
  rig_pass(10 * MS);
  return d.edge;
}

static inline int raw_setup(void **state) {
  raw_count = 0;
  raw_ids = 0;
  return rig_setup(state);
}

/* One connection is over for the test; its place may be used again. */
static inline void raw_forget(struct raw *r) {
  raw_close(r);
  if (r->listener && !r->forgotten) raw_transport()->listener_close(r->listener);
  r->forgotten = true;
}

static inline bool raw_is_gone(void *arg) {
  const struct raw *r = arg;
  return !r->stream && !r->listener;
}

static inline void raw_free(struct raw *r) {
  chaski_frame_decoder_free(&r->in);
  free(r->out);
  r->out = NULL;
}

static inline void raw_recycle(struct raw *r) {
  raw_forget(r);
  rig_run(raw_is_gone, r, SECOND);
  raw_free(r);
  if (r == &raws[raw_count - 1]) raw_count--;
}

static inline int raw_teardown(void **state) {
  for (size_t i = 0; i < raw_count; i++) raw_forget(&raws[i]);
  for (size_t i = 0; i < raw_count; i++) chaski_sim_run(rig->sim, raw_is_gone, &raws[i], SECOND);
  for (size_t i = 0; i < raw_count; i++) raw_free(&raws[i]);
  return rig_teardown(state);
}

#endif
