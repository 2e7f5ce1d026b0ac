/* send.c: frames on their way out: encoding them once, choosing the edges, the marks of the queues, and the word that
 * is given for what is not delivered. SPDX-License-Identifier: MIT */
#include "internal.h"

#define PUSH_BYTES CHASKI_BLOCK_SIZE /* queued before the turn ends: written at once, so that the peer starts early */
#define NOTICES_MAX 1024             /* told a turn; the counters go on counting */

static const chaski_slice message_command = {(const uint8_t *)"ChaskiMessage", 13};

/* --- encoding ----------------------------------------------------------------------------------------------- */
static bool begin(chaski_loop *loop, chaski_envelope *e, size_t data_len, chaski__span *out) {
  chaski__loop_wall(loop);
  e->sec = loop->sec;
  e->nsec = loop->nsec;
  return chaski__arena_take(&loop->arena, chaski_message_size(e, data_len), out);
}

static void put_data(uint8_t *p, chaski_slice data) {
  if (data.len) memcpy(p, data.ptr, data.len);
}

static bool encode(chaski_loop *loop, chaski_envelope *e, chaski_slice data, chaski__span *out) {
  if (!begin(loop, e, data.len, out)) return false;
  uint8_t *p = chaski__span_bytes(out);
  put_data(p + chaski_message_write_head(p, e, data.len), data);
  return true;
}

/* The same for data in two parts, under a head that is mostly that of the message before. */
static bool encode_by_template(chaski_loop *loop, chaski_message_template *t, chaski_envelope *e,
                               const chaski_slice data[2], chaski__span *out) {
  size_t len = data[0].len + data[1].len;
  if (!begin(loop, e, len, out)) return false;
  uint8_t *p = chaski__span_bytes(out);
  bool fits = chaski_message_template_fits(t, e) || chaski_message_template_make(t, e);
  p += fits ? chaski_message_template_write(p, t, e, len) : chaski_message_write_head(p, e, len);
  put_data(p, data[0]);
  put_data(p + data[0].len, data[1]);
  return true;
}

static void drop_span(chaski_loop *loop, const chaski__span *s) {
  chaski__block_release(&loop->arena, s->block);
}

void chaski__uuid_of_control(chaski_node *node, char out[CHASKI_UUID_TEXT], uint64_t *number) {
  *number = ++node->control_seq;
  chaski_uuid_format(out, node->control_origin, *number);
}

void chaski_node_new_id(chaski_node *node, char *out) {
  uint64_t number;
  chaski__uuid_of_control(node, out, &number);
}

static chaski_envelope control_envelope(chaski_node *node, chaski_slice command, chaski_slice topic) {
  if (!topic.len) topic = chaski_slice_str(CHASKI_TOPIC_ALL);
  return (chaski_envelope){
      .command = command, .topic = topic, .ttl = node->ttl, .origin = node->control_origin, .seq = ++node->control_seq};
}

int chaski__send_command(chaski__link *link, const char *command, chaski__buf *data) {
  chaski__span span;
  int r = CHASKI_ENOMEM;
  chaski_envelope e = control_envelope(link->node, chaski_slice_str(command), chaski_slice_of(NULL, 0));
  if (!data->failed && encode(link->loop, &e, chaski__buf_slice(data), &span)) {
    r = chaski__link_send(link, &span, chaski__counts(e.command));
    drop_span(link->loop, &span);
  }
  chaski__buf_free(data);
  return r;
}

/* --- what is not delivered ---------------------------------------------------------------------------------- */
void chaski__undelivered(chaski_node *node, chaski_edge *edge, chaski_slice topic, chaski_slice uuid, int reason) {
  if (!node->events.undelivered || node->notice_count >= NOTICES_MAX) return;
  chaski__notice *n = chaski__malloc(sizeof *n + topic.len + uuid.len);
  if (!n) return;
  *n = (chaski__notice){.edge = edge, .reason = reason, .topic_len = topic.len, .uuid_len = uuid.len};
  if (topic.len) memcpy(n->text, topic.ptr, topic.len);
  if (uuid.len) memcpy(n->text + topic.len, uuid.ptr, uuid.len);
  if (edge) chaski_edge_hold(edge);
  LL_APPEND_ELEM(node->notices, node->notices_last, n);
  node->notices_last = n;
  node->notice_count++;
  if (!chaski_timer_active(&node->notice_timer)) chaski_timer_start(node->loop, &node->notice_timer, 0);
}

static chaski__notice *next_notice(chaski_node *node) {
  chaski__notice *n = node->notices;
  if (!n) return NULL;
  LL_DELETE(node->notices, n);
  if (!node->notices) node->notices_last = NULL;
  node->notice_count--;
  return n;
}

static void free_notice(chaski__notice *n) {
  if (n->edge) chaski_edge_release(n->edge);
  chaski__free(n);
}

void chaski__notices_tell(chaski_timer *t) {
  chaski_node *node = (chaski_node *)(void *)((char *)t - offsetof(chaski_node, notice_timer));
  for (size_t left = node->notice_count; left > 0; left--) {
    chaski__notice *n = next_notice(node);
    if (!n) return;
    chaski_message m = {.topic = chaski_slice_of(n->text, n->topic_len),
                        .uuid = chaski_slice_of(n->text + n->topic_len, n->uuid_len)};
    if (node->events.undelivered) node->events.undelivered(node->user, n->edge, &m, n->reason);
    free_notice(n);
  }
}

void chaski__notices_drop(chaski_node *node) {
  for (chaski__notice *n; (n = next_notice(node));) free_notice(n);
  chaski_timer_stop(node->loop, &node->notice_timer);
}

/* --- queueing ----------------------------------------------------------------------------------------------- */
size_t chaski__edge_queued(const chaski_edge *edge) {
  const chaski__link *link = edge->link;
  if (!link) return 0;
  if (link->state == LINK_PARKED && link->session) return link->session->kept.bytes;
  return link->out.bytes + (link->stream ? link->transport->queued(link->stream) : 0);
}

/* The time for progress counts from here, however long the link was idle before. */
static void choke(chaski_edge *edge) {
  if (edge->choked) return;
  edge->choked = true;
  edge->link->progress = edge->link->loop->now;
}

static bool above_high(const chaski_edge *edge) {
  const chaski__link *link = edge->link;
  return link->out.bytes > edge->node->limits.queue_high || (link->session && chaski__session_high(link->session));
}

static bool below_low(const chaski_edge *edge) {
  const chaski__link *link = edge->link;
  return chaski__edge_queued(edge) <= edge->node->limits.queue_low &&
         (!link->session || chaski__session_low(link->session));
}

static void unchoke(chaski_edge *edge) {
  chaski_node *node = edge->node;
  edge->choked = false;
  if (!node->want_drain || !node->events.drained) return;
  node->want_drain = false;
  node->events.drained(node->user);
}

void chaski__edge_marks(chaski_edge *edge) {
  chaski_node *node = edge->node;
  chaski__link *link = edge->link;
  if (edge->choked && below_low(edge)) unchoke(edge);
  if (edge->state != EDGE_LIVE) return;
  if (above_high(edge)) choke(edge);
  if (edge->told_choked == edge->choked) return;
  edge->told_choked = edge->choked;
  if (edge->choked) chaski__link_arm(link);
  if (node->events.edge_writable) node->events.edge_writable(node->user, edge, !edge->choked);
}

typedef struct outgoing {
  const chaski__span *span;
  chaski_slice topic, uuid;
  bool relayed, counted;
  enum chaski_overflow overflow;
  size_t queued; /* out: edges it was queued for */
  int refused;   /* out: why the last edge did not take it */
} outgoing;

static void refuse(chaski_edge *edge, outgoing *o, int reason) {
  edge->node->counters.dropped++;
  o->refused = reason;
  chaski__undelivered(edge->node, edge, o->topic, o->uuid, reason);
}

/* The queue is at its hard mark. */
static void overflow(chaski_edge *edge, outgoing *o) {
  if (o->relayed || o->overflow != CHASKI_OVERFLOW_DISCONNECT) {
    refuse(edge, o, CHASKI_EFULL);
    return;
  }
  refuse(edge, o, CHASKI_ESLOW);
  edge->link->failure = CHASKI_ESLOW;
  chaski__loop_dirty(edge->link);
}

static uint32_t get32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* What limits are about: the data of a frame, without header and topic. */
static uint32_t data_length(const uint8_t *frame) {
  return get32(frame);
}

/* The peer has said that it would not take it. */
static bool too_big_for(const chaski_edge *edge, const uint8_t *frame) {
  return (edge->frame_max && data_length(frame) > edge->frame_max) ||
         (edge->topic_max && get32(frame + 4) > edge->topic_max);
}

static bool is_full(const chaski__link *link, size_t len) {
  if (link->session) return chaski__session_full(link->session, len);
  if (link->state == LINK_PARKED && link->out.frames >= link->node->limits.resume_frames) return true;
  return link->out.bytes + len > link->node->limits.queue_hard;
}

/* At the hard mark the oldest of what may be dropped goes for own frames, and for those that it will befall too. */
static bool makes_room(chaski_edge *edge, const outgoing *o) {
  CHASKI__HIT(edge->node, queue_hard);
  return (!o->relayed || o->overflow == CHASKI_OVERFLOW_DROP_OLD) && chaski__make_room(edge, o->span->len);
}

/* Who relays takes no more while the queues of the process are over their bound. */
static bool no_relay(const chaski_edge *edge, const outgoing *o) {
  if (!o->relayed || !chaski__queues_over(edge->node->loop, 0)) return false;
  CHASKI__HIT(edge->node, queue_total);
  return true;
}

static void enqueue(chaski_edge *edge, void *ctx) {
  outgoing *o = ctx;
  chaski__link *link = edge->link;
  if (link->failure && !chaski__session_outlives(link, link->failure)) {
    refuse(edge, o, CHASKI_ELOST);
  } else if (too_big_for(edge, chaski__span_bytes(o->span))) {
    refuse(edge, o, CHASKI_ETOOBIG);
  } else if (no_relay(edge, o)) {
    refuse(edge, o, CHASKI_EFULL);
  } else if (is_full(link, o->span->len) && !makes_room(edge, o)) {
    overflow(edge, o);
  } else if (chaski__link_send(link, o->span, o->counted) != CHASKI_OK) {
    refuse(edge, o, CHASKI_ENOMEM);
  } else {
    o->queued++;
    if (link->out.bytes >= PUSH_BYTES && !link->waiting) chaski__link_push(link);
    if (above_high(edge)) choke(edge);
  }
}

/* --- choosing the edges ------------------------------------------------------------------------------------- */
/* An edge that takes all is not sent what its peer may not subscribe to. */
static bool may_get(const chaski_edge *edge, chaski_slice topic) {
  return !edge->link->transport->may || chaski__peer_may(edge->link, CHASKI_RIGHT_SUBSCRIBE, topic);
}

/* Call fn for each live edge but `from` that wants the topic: those that take all, and those that announced it. */
static inline void each_wanting(const chaski_node *node, const chaski__topic *topic, chaski_slice name,
                                const chaski_edge *from, void (*fn)(chaski_edge *edge, void *ctx), void *ctx) {
  for (size_t i = 0; i < node->taker_count; i++)
    if (node->takers[i] != from && may_get(node->takers[i], name)) fn(node->takers[i], ctx);
  for (uint32_t i = 0; topic && i < topic->edge_count; i++) {
    chaski_edge *e = topic->edges[i];
    if (e->state == EDGE_LIVE && !e->taker && e != from) fn(e, ctx);
  }
}

typedef struct audience {
  size_t all, open, idle; /* open: below their marks; idle: of these, with nothing queued */
} audience;

static void count_open(chaski_edge *edge, void *ctx) {
  audience *a = ctx;
  a->all++;
  if (edge->choked) return;
  a->open++;
  a->idle += chaski__edge_idle(edge);
}

/* When all queues together press, those that are no slow ones must mostly have caught up. */
static bool blocked(const chaski_loop *loop, enum chaski_overflow overflow, const audience *a) {
  if (loop->pressed && a->idle < a->open - a->idle) return true;
  if (overflow == CHASKI_OVERFLOW_BLOCK) return a->open < a->all;
  return a->all > 0 && a->open == 0;
}

/* --- publishing --------------------------------------------------------------------------------------------- */
static int check_publish(const chaski_node *node, chaski_slice topic, size_t data, const chaski_edge *edge) {
  if (node->state != NODE_RUNNING) return CHASKI_ESTOPPED;
  if (!topic.len || topic.len + 3 > node->limits.topic_max) return CHASKI_EINVAL;
  if (edge ? edge->state != EDGE_LIVE || edge->node != node : node->live_count == 0) return CHASKI_ENOEDGE;
  size_t envelope = 256 + topic.len; /* at most, ours */
  return data + envelope > node->limits.data_max ? CHASKI_ETOOBIG : CHASKI_OK;
}

/* The same; the queues of the process leave room for it then. */
static int make_way(chaski_node *node, chaski_slice topic, size_t data, const chaski_edge *edge) {
  int r = check_publish(node, topic, data, edge);
  if (r != CHASKI_OK || !chaski__queues_over(node->loop, data)) return r;
  chaski__shed(node->loop, data);
  return check_publish(node, topic, data, edge);
}

static void send_to(chaski_node *node, const chaski__topic *topic, chaski_edge *only, outgoing *o) {
  if (only)
    enqueue(only, o);
  else
    each_wanting(node, topic, o->topic, NULL, enqueue, o);
}

static int accept(chaski_node *node, outgoing *o, bool wanted) {
  if (wanted && !o->queued && (o->refused == CHASKI_ETOOBIG || o->refused == CHASKI_ENOMEM)) return o->refused;
  node->counters.published++;
  if (!wanted) node->counters.no_interest++;
  node->loop->turn_bytes += o->span->len;
  return CHASKI_OK;
}

int chaski_node_publish(chaski_node *node, chaski_slice topic, chaski_slice data, chaski_edge *edge, uint8_t ttl,
                        char *uuid_out) {
  const chaski_slice parts[2] = {data, {NULL, 0}};
  return chaski_node_publish_parts(node, topic, parts, edge, ttl, uuid_out);
}

int chaski_node_publish_parts(chaski_node *node, chaski_slice topic, const chaski_slice data[2], chaski_edge *edge,
                              uint8_t ttl, char *uuid_out) {
  size_t len = data[0].len + data[1].len;
  int r = make_way(node, topic, len, edge);
  if (r == CHASKI_OK && !chaski__we_may(node, CHASKI_RIGHT_PUBLISH, topic)) r = CHASKI_EFORBIDDEN;
  if (r != CHASKI_OK) return r;
  const chaski__topic *known = chaski__topic_recall(&node->topics, &node->published, topic, topic);
  enum chaski_overflow overflow = chaski__overflow_of(node, topic);
  audience a = {0};
  chaski__queues_pressed(node->loop);
  if (edge)
    count_open(edge, &a);
  else
    each_wanting(node, known, topic, NULL, count_open, &a);
  if (blocked(node->loop, overflow, &a)) {
    node->want_drain = true;
    CHASKI__HIT(node, queue_high);
    return CHASKI_EFULL;
  }
  chaski_envelope e = {.command = message_command, .topic = topic, .origin = node->origin, .seq = node->seq};
  e.ttl = ttl ? ttl : node->ttl;
  chaski__span span;
  if (!encode_by_template(node->loop, &node->loop->head, &e, data, &span)) return CHASKI_ENOMEM;
  node->seq++;
  const uint8_t *uuid = chaski__span_bytes(&span) + span.len - len - CHASKI_MESSAGE_UUID_BACK;
  if (uuid_out) memcpy(uuid_out, uuid, CHASKI_UUID_TEXT);
  outgoing o = {.span = &span, .topic = topic, .uuid = chaski_slice_of(uuid, CHASKI_UUID_TEXT)};
  o.counted = true;
  o.overflow = overflow;
  send_to(node, known, edge, &o);
  r = accept(node, &o, a.all > 0);
  drop_span(node->loop, &span);
  return r;
}

typedef struct visit {
  void (*fn)(chaski_edge *edge, void *ctx);
  void *ctx;
} visit;

static void visit_full(chaski_edge *edge, void *ctx) {
  const visit *v = ctx;
  if (edge->choked || (edge->node->loop->pressed && !chaski__edge_idle(edge))) v->fn(edge, v->ctx);
}

void chaski_node_full_edges(const chaski_node *node, chaski_slice topic, chaski_edge *edge,
                            void (*fn)(chaski_edge *edge, void *ctx), void *ctx) {
  visit v = {fn, ctx};
  if (edge)
    visit_full(edge, &v);
  else
    each_wanting(node, chaski__topic_find(&node->topics, topic), topic, NULL, visit_full, &v);
}

int chaski_node_write(chaski_node *node, chaski_slice command, chaski_slice topic, chaski_slice data,
                      chaski_edge *edge) {
  if (!command.len || command.len > CHASKI_COMMAND_MAX) return CHASKI_EINVAL;
  int r = make_way(node, topic.len ? topic : chaski_slice_str(CHASKI_TOPIC_ALL), data.len, edge);
  if (r != CHASKI_OK) return r;
  chaski__span span;
  chaski_envelope e = control_envelope(node, command, topic);
  const chaski_slice parts[2] = {data, {NULL, 0}};
  if (!encode_by_template(node->loop, &node->loop->command, &e, parts, &span)) return CHASKI_ENOMEM;
  outgoing o = {.span = &span, .topic = e.topic, .counted = chaski__counts(command)};
  o.overflow = chaski__overflow_of(node, e.topic);
  if (edge) enqueue(edge, &o);
  for (size_t i = 0; !edge && i < node->live_count; i++) enqueue(node->live[i], &o);
  drop_span(node->loop, &span);
  node->loop->turn_bytes += span.len;
  return o.queued ? CHASKI_OK : o.refused;
}

static bool listed(chaski_edge *const *edges, size_t n, const chaski_edge *edge) {
  for (size_t i = 0; i < n; i++)
    if (edges[i] == edge) return true;
  return false;
}

/* What was sent is not to be delivered here when it comes back. */
static void remember(chaski_node *node, const chaski_message *m) {
  if (m->ours)
    chaski_pool_check(node->pool, m->origin, m->seq, 0);
  else if (m->uuid.len)
    chaski_pool_check_id(node->pool, m->uuid, 0);
}

int chaski_node_write_data(chaski_node *node, chaski_slice frame, chaski_edge *const *edges, size_t n,
                           chaski_edge *const *excluded, size_t n_excluded) {
  chaski_message m;
  const char *why;
  if (node->state != NODE_RUNNING) return CHASKI_ESTOPPED;
  if (chaski_message_read_bytes(frame, &m, &why) != CHASKI_OK) return CHASKI_EMALFORMED;
  if (data_length(frame.ptr) > node->limits.data_max) return CHASKI_ETOOBIG;
  chaski__span span;
  chaski__shed(node->loop, frame.len);
  if (!chaski__arena_take(&node->loop->arena, frame.len, &span)) return CHASKI_ENOMEM;
  memcpy(chaski__span_bytes(&span), frame.ptr, frame.len);
  outgoing o = {.span = &span, .topic = m.topic, .uuid = m.uuid, .refused = CHASKI_ENOEDGE};
  o.counted = chaski__counts(m.command);
  o.overflow = chaski__overflow_of(node, m.topic);
  for (size_t i = 0; i < n; i++)
    if (edges[i]->node == node && edges[i]->state == EDGE_LIVE && !listed(excluded, n_excluded, edges[i]))
      enqueue(edges[i], &o);
  for (size_t i = 0; n == 0 && i < node->live_count; i++)
    if (!listed(excluded, n_excluded, node->live[i])) enqueue(node->live[i], &o);
  drop_span(node->loop, &span);
  if (o.queued) remember(node, &m);
  return o.queued ? CHASKI_OK : o.refused;
}

/* --- passing on --------------------------------------------------------------------------------------------- */
/* A command under the topic All is everybody's; a message of that name is its subscribers', as any other. */
static bool is_for_all(const chaski_message *m) {
  return chaski_slice_equal(m->topic, chaski_slice_str(CHASKI_TOPIC_ALL)) &&
         !chaski_slice_equal(m->command, message_command);
}

static void each_taking(chaski_node *node, const chaski_message *m, const chaski__topic *topic, const chaski_edge *from,
                        void (*fn)(chaski_edge *edge, void *ctx), void *ctx) {
  if (!is_for_all(m)) {
    each_wanting(node, topic, m->topic, from, fn, ctx);
    return;
  }
  for (size_t i = 0; i < node->live_count; i++)
    if (node->live[i] != from) fn(node->live[i], ctx);
}

static void pass_on(chaski_node *node, const chaski_message *m, const chaski_edge *from, const chaski__topic *topic,
                    const chaski__span *span) {
  outgoing o = {.span = span, .topic = m->topic, .uuid = m->uuid, .relayed = true};
  o.counted = chaski__counts(m->command);
  o.overflow = chaski__overflow_of(node, m->topic);
  each_taking(node, m, topic, from, enqueue, &o);
  node->counters.relayed += o.queued;
  drop_span(node->loop, span);
}

void chaski__relay(chaski_node *node, const chaski_message *m, const chaski_edge *from, const chaski__topic *topic) {
  if (m->ttl <= 1) {
    node->counters.expired++;
    return;
  }
  audience a = {0};
  each_taking(node, m, topic, from, count_open, &a);
  if (!a.all) return;
  chaski__span span;
  if (!chaski__arena_take(&node->loop->arena, m->frame.len + (m->ttl_at ? 0 : 12), &span)) {
    node->counters.dropped += a.all;
    return;
  }
  span.len = chaski_message_with_ttl(chaski__span_bytes(&span), m, (uint8_t)(m->ttl - 1));
  pass_on(node, m, from, topic, &span);
}

/* The same envelope over other data. */
static int propagate_changed(chaski_node *node, const chaski_message *m, const chaski_edge *from, chaski_slice data) {
  chaski_envelope e = {.command = m->command, .topic = m->topic, .ttl = (uint8_t)(m->ttl - 1)};
  e.origin = m->ours ? m->origin : node->origin;
  e.seq = m->ours ? m->seq : node->seq++;
  chaski__span span;
  if (!encode(node->loop, &e, data, &span)) return CHASKI_ENOMEM;
  pass_on(node, m, from, chaski__topic_find(&node->topics, m->topic), &span);
  return CHASKI_OK;
}

int chaski_node_propagate(chaski_node *node, const chaski_message *m, const chaski_edge *from,
                          const chaski_slice *data) {
  if (node->state != NODE_RUNNING) return CHASKI_ESTOPPED;
  if (m->ttl <= 1) return CHASKI_EINVAL;
  if (node->live_count == 0) return CHASKI_ENOEDGE;
  if (!is_for_all(m) && !chaski__we_may_pass_on(node, m->topic)) return CHASKI_EFORBIDDEN;
  if (data) return propagate_changed(node, m, from, *data);
  chaski__relay(node, m, from, chaski__topic_find(&node->topics, m->topic));
  return CHASKI_OK;
}
