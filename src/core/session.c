/* session.c: an edge that outlives its connections (RELIABILITY 5.1). Between two nodes that agreed on it in their
 * handshake, each side counts the frames it has sent and received, keeps what the other has not acknowledged, and after
 * a reconnect sends the gap again, before anything new.
 *
 * What is promised: between two processes that both stay alive every frame that was accepted for the edge reaches the
 * peer once and in order, over any number of lost connections, as long as each outage is shorter than resume_timeout
 * and what is kept stays within resume_frames and resume_bytes. Else both applications are told. Nothing is promised
 * over a crash.
 *
 * The session belongs to a link. When that is lost the edge stays live over a link without a stream (LINK_PARKED),
 * until a new connection takes the session over, or the time is up. SPDX-License-Identifier: MIT */
#include "internal.h"

#define ACK_BYTES (256 * CHASKI_KIB) /* received and not acknowledged; the peer keeps them meanwhile */
#define ACK_SHARE 64                 /* of what the peer keeps at most: acknowledged when this part of it has come */
#define ACK_DELAY (200 * CHASKI_MS)
#define VERSION 1

enum { F_VERSION, F_SID, F_RESUME, F_RX, F_STATE, F_FRAMES, F_BYTES, F_TTL, F_ALL };
enum { F_ACK_RX, F_ACK_TX, F_ACK_ALL };

bool chaski__counts(chaski_slice command) {
  static const chaski_slice not_counted[] = {CHASKI_SLICE("handshake"), CHASKI_SLICE("handshake_back"),
                                             CHASKI_SLICE("ping"), CHASKI_SLICE("pong"), CHASKI_SLICE("ack")};
  if (command.len > sizeof "handshake_back" - 1 || command.len == sizeof "ChaskiMessage" - 1) return true;
  for (size_t i = 0; i < sizeof not_counted / sizeof *not_counted; i++)
    if (chaski_slice_equal(command, not_counted[i])) return false;
  return true;
}

static uint64_t least(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static uint64_t bytes_of(const chaski_limits *l) {
  return l->resume_bytes ? least(l->resume_bytes, l->queue_hard) : l->queue_hard;
}

/* --- acknowledging ------------------------------------------------------------------------------------------ */
void chaski__session_ack(chaski__link *link) {
  chaski__session *s = link->session;
  if (!s || s->told == s->rx || !link->stream || link->shut) return;
  chaski_timer_stop(link->loop, &s->ack_timer);
  chaski__buf b = {0};
  chaski__mp_put_map(&b, F_ACK_ALL);
  chaski__mp_put_key(&b, "rx");
  chaski__mp_put_uint(&b, s->rx);
  chaski__mp_put_key(&b, "tx");
  chaski__mp_put_uint(&b, s->tx);
  if (chaski__send_command(link, "ack", &b) != CHASKI_OK) return; /* the next one says as much */
  s->told = s->rx;
  s->rx_bytes = 0;
}

static void on_ack_timer(chaski_timer *t) {
  const chaski__session *s = (chaski__session *)(void *)((char *)t - offsetof(chaski__session, ack_timer));
  chaski__session_ack(s->link);
}

void chaski__session_received(chaski__link *link, size_t bytes) {
  chaski__session *s = link->session;
  s->rx++;
  s->rx_bytes += bytes;
  if (!chaski_timer_active(&s->ack_timer)) chaski_timer_start(link->loop, &s->ack_timer, ACK_DELAY);
}

void chaski__session_ack_if_due(chaski__link *link) {
  const chaski__session *s = link->session;
  if (s && (s->rx_bytes >= ACK_BYTES || s->rx - s->told >= s->frames_max / ACK_SHARE + 1)) chaski__session_ack(link);
}

/* The peer has received the first rx frames. false: that cannot be. */
static bool confirm(chaski__session *s, uint64_t rx) {
  chaski__link *link = s->link;
  if (rx < s->acked || rx > s->tx) return false;
  if (rx == s->acked) return true;
  link->node->counters.acknowledged += rx - s->acked;
  link->progress = link->loop->now;
  chaski__outbox_drop_frames(&s->kept, &link->loop->arena, rx - s->acked);
  s->acked = rx;
  if (link->edge->choked) chaski__loop_dirty(link); /* the marks are looked at when the turn ends */
  return true;
}

void chaski__ack_receive(chaski__link *link, const chaski_message *m) {
  chaski__mp_field f[F_ACK_ALL] = {[F_ACK_RX] = {.key = "rx", .want = WANT_UINT, .required = true},
                                   [F_ACK_TX] = {.key = "tx", .want = WANT_UINT, .required = true}};
  const char *key;
  if (chaski__mp_fields(m->data, f, F_ACK_ALL, &key))
    chaski__link_fail(link, CHASKI_EPROTOCOL, "ack: bad data");
  else if (!link->session)
    link->node->counters.ignored++;
  else if (f[F_ACK_TX].value.u != link->session->rx || !confirm(link->session, f[F_ACK_RX].value.u))
    chaski__link_fail(link, CHASKI_EPROTOCOL, "ack: the counts do not agree");
}

/* --- keeping ------------------------------------------------------------------------------------------------ */
bool chaski__session_sent(chaski__link *link, const chaski__span *frame) {
  chaski__session *s = link->session;
  if (!chaski__outbox_append(&s->kept, &link->loop->arena, frame)) return false;
  s->tx++;
  return true;
}

bool chaski__session_full(const chaski__session *s, size_t bytes) {
  return s->kept.bytes + bytes > s->bytes_max || s->kept.frames >= s->frames_max;
}

bool chaski__session_high(const chaski__session *s) {
  return s->kept.bytes > s->bytes_max / 4 * 3 || s->kept.frames > s->frames_max / 4 * 3;
}

bool chaski__session_low(const chaski__session *s) {
  return s->kept.bytes <= s->bytes_max / 2 && s->kept.frames <= s->frames_max / 2;
}

/* --- a session's life --------------------------------------------------------------------------------------- */
static void report_lost(void *ctx, chaski_slice frame) {
  const chaski__link *link = ctx;
  chaski_message m;
  const char *why;
  if (chaski_message_read_bytes(frame, &m, &why) == CHASKI_OK && !chaski__is_protocol_command(m.command))
    chaski__undelivered(link->node, link->edge, m.topic, m.uuid, CHASKI_ELOST);
}

void chaski__lose_frames(chaski__link *link, const chaski__outbox *o) {
  chaski__outbox_each(o, report_lost, link);
  link->node->counters.lost += o->frames;
}

void chaski__session_end(chaski__link *link) {
  chaski__session *s = link->session;
  if (!s) return;
  chaski__lose_frames(link, &s->kept);
  chaski_timer_stop(link->loop, &s->ack_timer);
  chaski__outbox_free(&s->kept, &link->loop->arena);
  chaski__free(s);
  link->session = NULL;
}

static void give(chaski__session *s, chaski__link *to) {
  s->link->session = NULL;
  s->link = to;
  to->session = s;
  to->sessioned = true;
}

int chaski__session_start(chaski__link *link) {
  if (!link->terms->agreed) return CHASKI_OK;
  chaski__session *s = chaski__calloc(1, sizeof *s);
  if (!s) return CHASKI_ENOMEM;
  memcpy(s->sid, link->terms->sid, sizeof s->sid);
  s->frames_max = (uint32_t)link->terms->frames;
  s->bytes_max = (uint32_t)link->terms->bytes;
  s->ttl = (uint32_t)(link->terms->ttl / CHASKI_MS);
  s->link = link;
  chaski__outbox_init(&s->kept);
  chaski_timer_init(&s->ack_timer, on_ack_timer);
  link->session = s;
  link->sessioned = true;
  link->node->counters.written += link->out.frames; /* handshakes: from here on only what is counted counts */
  return CHASKI_OK;
}

static bool resumable(int reason) {
  return reason == CHASKI_ELOST || reason == CHASKI_ERESET || reason == CHASKI_ETRUNCATED || reason == CHASKI_ELEASE ||
         reason == CHASKI_ETIMEOUT || reason == CHASKI_EUNREACHABLE || reason == CHASKI_EIO;
}

/* A place without a stream in which the edge waits for another connection. */
static chaski__link *take_place(chaski__link *link) {
  chaski__link *place = chaski__link_new(link->edge, link->dialled);
  if (!place) return NULL;
  place->state = LINK_PARKED;
  chaski__link_settled(place);
  place->pauses = link->pauses;
  link->pauses = 0;
  return place;
}

/* What was sent goes out on the old connection still, which the peer reads to its end. */
bool chaski__session_await(chaski__link *link) {
  chaski__link *place = link->node->state == NODE_RUNNING ? take_place(link) : NULL;
  if (place) chaski__link_arm(place);
  return place != NULL;
}

/* To the connection it waited for. */
int chaski__session_move(chaski__link *from, chaski__link *to) {
  chaski__session *s = to->session;
  if (s && !chaski__outbox_copy(&s->kept, &from->out)) return CHASKI_ENOMEM;
  if (!chaski__outbox_copy(&to->out, &from->out)) return CHASKI_ENOMEM;
  to->backlog = to->out.bytes;
  if (s) s->tx += from->out.frames;
  chaski__outbox_free(&from->out, &from->loop->arena);
  return CHASKI_OK;
}

bool chaski__session_outlives(const chaski__link *link, int reason) {
  const chaski_node *node = link->node;
  if (!link->session || link->state != LINK_LIVE || node->state != NODE_RUNNING || node->destroyed) return false;
  return resumable(reason);
}

bool chaski__session_park(chaski__link *link, int reason) {
  chaski_node *node = link->node;
  if (!chaski__session_outlives(link, reason)) return false;
  chaski_edge *edge = link->edge;
  chaski__link *parked = take_place(link);
  if (!parked) return false;
  chaski_timer_stop(link->loop, &link->session->ack_timer);
  link->session->handed = link->session->tx - chaski__frames_fresh(link);
  give(link->session, parked);
  chaski__link_close(link);
  chaski__link_arm(parked);
  chaski__log(node, CHASKI_LOG_INFO, "edge to %s is suspended: %s", chaski_edge_name(edge), chaski_error_text(reason));
  if (node->events.edge_suspended) node->events.edge_suspended(node->user, edge, reason);
  return true;
}

/* `link` has the peer's word of what it got; what it did not get goes out again. */
int chaski__session_resume(chaski__link *link, chaski__link *from) {
  chaski__session *s = from->session;
  give(s, link);
  confirm(s, link->terms->rx);
  s->told = s->rx; /* our handshake said so */
  s->rx_bytes = 0;
  s->resumes++;
  link->node->counters.written += link->out.frames;
  link->node->counters.resumes++;
  if (!chaski__outbox_copy(&link->out, &s->kept)) return CHASKI_ENOMEM;
  link->backlog = link->out.bytes;
  return CHASKI_OK;
}

/* --- the handshake ------------------------------------------------------------------------------------------ */
static bool wants_sessions(const chaski_node *node) {
  return node->limits.resume_timeout > 0;
}

/* The suspended edge that a dial to this address goes on with, or NULL. */
static chaski_edge *suspended_at(const chaski_node *node, const char *host, uint16_t port) {
  for (size_t i = 0; i < node->live_count; i++) {
    chaski_edge *e = node->live[i];
    if (e->link->state != LINK_PARKED) continue;
    if (e->dial_host && e->dial_port == port && strcmp(e->dial_host, host) == 0) return e;
    if (e->ip && e->port == port && strcmp(e->ip, host) == 0) return e;
  }
  return NULL;
}

static void put_terms(chaski__buf *b, uint64_t rx, uint64_t frames, uint64_t bytes, uint64_t ttl) {
  chaski__mp_put_key(b, "rx");
  chaski__mp_put_uint(b, rx);
  chaski__mp_put_key(b, "frames");
  chaski__mp_put_uint(b, frames);
  chaski__mp_put_key(b, "bytes");
  chaski__mp_put_uint(b, bytes);
  chaski__mp_put_key(b, "ttl");
  chaski__mp_put_uint(b, ttl / CHASKI_MS);
}

/* The dialler's word, in its handshake: which session, and what it has received of it. */
bool chaski__session_offers(const chaski__link *link) {
  return wants_sessions(link->node) && link->dialled && link->state == LINK_NEW;
}

void chaski__session_offer(chaski__link *link, chaski__buf *b) {
  const chaski_limits *l = &link->node->limits;
  const chaski_edge *old = suspended_at(link->node, link->edge->dial_host, link->edge->dial_port);
  const chaski__session *s = old ? old->link->session : NULL;
  link->terms->offered = s != NULL;
  link->terms->told = s ? s->rx : 0;
  if (s)
    memcpy(link->terms->sid, s->sid, sizeof s->sid);
  else
    link->loop->env.random(link->loop->env.ctx, link->terms->sid, sizeof link->terms->sid);
  chaski__mp_put_key(b, "rs");
  chaski__mp_put_map(b, 7);
  chaski__mp_put_key(b, "v");
  chaski__mp_put_uint(b, VERSION);
  chaski__mp_put_key(b, "sid");
  chaski__mp_put_bin(b, chaski_slice_of(link->terms->sid, sizeof link->terms->sid));
  chaski__mp_put_key(b, "resume");
  chaski__mp_put_bool(b, s != NULL);
  put_terms(b, link->terms->told, l->resume_frames, bytes_of(l), l->resume_timeout);
}

/* Take the smaller of both sides' terms. */
static void agree(chaski__link *link, const chaski__mp_field *f) {
  const chaski_limits *l = &link->node->limits;
  chaski__terms *t = link->terms;
  t->agreed = true;
  t->rx = f[F_RX].value.u;
  t->frames = least(l->resume_frames, f[F_FRAMES].value.u);
  t->bytes = least(bytes_of(l), f[F_BYTES].value.u);
  t->ttl = least(l->resume_timeout / CHASKI_MS, f[F_TTL].value.u) * CHASKI_MS;
  if (!t->frames || !t->bytes || !t->ttl) t->agreed = false;
}

static bool read_terms(chaski_slice raw, chaski__mp_field f[F_ALL]) {
  const char *key;
  f[F_VERSION] = (chaski__mp_field){.key = "v", .want = WANT_UINT, .required = true};
  f[F_SID] = (chaski__mp_field){.key = "sid", .want = WANT_BIN};
  f[F_RESUME] = (chaski__mp_field){.key = "resume", .want = WANT_BOOL};
  f[F_RX] = (chaski__mp_field){.key = "rx", .want = WANT_UINT, .required = true};
  f[F_STATE] = (chaski__mp_field){.key = "st", .want = WANT_STR};
  f[F_FRAMES] = (chaski__mp_field){.key = "frames", .want = WANT_UINT, .required = true};
  f[F_BYTES] = (chaski__mp_field){.key = "bytes", .want = WANT_UINT, .required = true};
  f[F_TTL] = (chaski__mp_field){.key = "ttl", .want = WANT_UINT, .required = true};
  return chaski__mp_fields(raw, f, F_ALL, &key) == NULL && f[F_VERSION].value.u >= VERSION;
}

/* False too when more has come, or was acknowledged, since both sides told what they have: then another connection has
 * been quicker. */
bool chaski__session_may_resume(chaski_edge *edge, const chaski__link *link) {
  if (!chaski__session_same(edge, link)) return false;
  const chaski__session *s = edge->link->session;
  if (s->rx != link->terms->told || link->terms->rx < s->acked || link->terms->rx > s->tx) return false;
  return edge->link->state == LINK_PARKED || chaski__session_park(edge->link, CHASKI_ELOST);
}

bool chaski__session_same(const chaski_edge *edge, const chaski__link *link) {
  if (edge->state != EDGE_LIVE || edge->start != link->edge->start || !edge->link->session) return false;
  return memcmp(edge->link->session->sid, link->terms->sid, sizeof link->terms->sid) == 0;
}

/* A resume closes the old connection, if that still seems alive, silently, so that what it has received is final. */
static bool may_go_on(chaski_edge *old, const chaski__link *link) {
  if (!old || !chaski__session_same(old, link)) return false;
  if (old->link->state != LINK_PARKED && !chaski__session_park(old->link, CHASKI_ELOST)) return false;
  return old->state == EDGE_LIVE && old->link->session;
}

/* The acceptor reads the dialler's word. A session that cannot go on is followed by one of another name: both may have
 * connections of the old one under way still. */
void chaski__session_asked(chaski__link *link, chaski_slice raw, chaski_edge *old) {
  chaski__mp_field f[F_ALL];
  chaski__terms *t = link->terms;
  if (!wants_sessions(link->node) || !read_terms(raw, f)) return;
  if (!f[F_SID].present || f[F_SID].value.bytes.len != sizeof t->sid) return;
  memcpy(t->sid, f[F_SID].value.bytes.ptr, sizeof t->sid);
  agree(link, f);
  if (!t->agreed || !f[F_RESUME].present || !f[F_RESUME].value.truth) return;
  t->resume = may_go_on(old, link);
  t->renamed = !t->resume;
  if (t->renamed) link->loop->env.random(link->loop->env.ctx, t->sid, sizeof t->sid);
}

/* The acceptor's answer, in its handshake_back. */
void chaski__session_answer(chaski__link *link, const chaski_edge *old, chaski__buf *b) {
  chaski__terms *t = link->terms;
  t->told = t->resume ? old->link->session->rx : 0;
  chaski__mp_put_key(b, "rs");
  chaski__mp_put_map(b, t->renamed ? 7 : 6);
  chaski__mp_put_key(b, "v");
  chaski__mp_put_uint(b, VERSION);
  if (t->renamed) {
    chaski__mp_put_key(b, "sid");
    chaski__mp_put_bin(b, chaski_slice_of(t->sid, sizeof t->sid));
  }
  chaski__mp_put_key(b, "st");
  chaski__mp_put_str(b, chaski_slice_str(t->resume ? "ok" : "new"));
  put_terms(b, t->told, t->frames, t->bytes, t->ttl);
}

/* The dialler reads the answer. */
void chaski__session_answered(chaski__link *link, chaski_slice raw) {
  chaski__mp_field f[F_ALL];
  if (!link->dialled || !wants_sessions(link->node) || !read_terms(raw, f) || !f[F_STATE].present) return;
  agree(link, f);
  link->terms->resume = link->terms->agreed && chaski_slice_equal(f[F_STATE].value.bytes, chaski_slice_str("ok"));
  if (!link->terms->resume && f[F_SID].present && f[F_SID].value.bytes.len == sizeof link->terms->sid)
    memcpy(link->terms->sid, f[F_SID].value.bytes.ptr, sizeof link->terms->sid);
}
