/* overflow.c: what gives way when queues are full: which topics' oldest messages go for newer ones, and whose queue
 * goes when all of them together are too much. SPDX-License-Identifier: MIT */
#include "internal.h"

#define FRAMES_AT_ONCE 1000 /* dropped: looking for them costs a walk through the queue */
#define PART_AT_ONCE 8      /* of the queue's bytes, likewise */

/* --- rules -------------------------------------------------------------------------------------------------- */
static chaski__overflow_rule *rule_of(const chaski_node *node, chaski_slice topic) {
  chaski__overflow_rule *rule;
  HASH_FIND(hh, node->overflow_rules, topic.ptr, topic.len, rule);
  return rule;
}

enum chaski_overflow chaski__overflow_of(const chaski_node *node, chaski_slice topic) {
  const chaski__overflow_rule *rule = node->overflow_rules ? rule_of(node, topic) : NULL;
  return rule ? rule->overflow : node->overflow;
}

int chaski_node_set_overflow(chaski_node *node, chaski_slice topic, enum chaski_overflow overflow) {
  if (!topic.len || topic.len > node->limits.topic_max) return CHASKI_EINVAL;
  chaski__overflow_rule *rule = rule_of(node, topic);
  if (overflow == CHASKI_OVERFLOW_DROP_OLD) node->drops_old = true;
  if (rule) {
    rule->overflow = overflow;
    return CHASKI_OK;
  }
  rule = chaski__calloc(1, sizeof *rule + topic.len);
  if (!rule) return CHASKI_ENOMEM;
  rule->overflow = overflow;
  rule->len = topic.len;
  memcpy(rule->topic, topic.ptr, topic.len);
  HASH_ADD_KEYPTR(hh, node->overflow_rules, rule->topic, rule->len, rule);
  if (rule->hh.tbl) return CHASKI_OK;
  chaski__free(rule);
  return CHASKI_ENOMEM;
}

void chaski__overflow_free(chaski_node *node) {
  chaski__overflow_rule *rule, *next;
  HASH_ITER(hh, node->overflow_rules, rule, next) {
    HASH_DEL(node->overflow_rules, rule);
    chaski__free(rule);
  }
}

/* --- the oldest of one queue -------------------------------------------------------------------------------- */
/* Of a frame in one of our queues. */
static bool read_frame(chaski_slice frame, chaski_message *m) {
  const char *why;
  return chaski_message_read_bytes(frame, m, &why) == CHASKI_OK;
}

/* Commands of the protocol are under the topic All; most frames need not be read to know that they are none. */
static bool is_counted(chaski_slice frame, chaski_message *m) {
  static const uint8_t all[] = {0, 0, 0, 4, 0xa3, 'A', 'l', 'l'};
  m->command = chaski_slice_of(NULL, 0);
  if (frame.len < 4 + sizeof all || memcmp(frame.ptr + 4, all, sizeof all) != 0) return true;
  return read_frame(frame, m) && chaski__counts(m->command);
}

static void count_fresh(void *ctx, chaski_slice frame) {
  chaski_message m;
  *(uint64_t *)ctx += is_counted(frame, &m);
}

uint64_t chaski__frames_fresh(const chaski__link *link) {
  uint64_t n = 0;
  chaski__outbox_fresh(&link->out, count_fresh, &n);
  return n;
}

typedef struct drop {
  const chaski__link *link;
  uint64_t skip;   /* frames of the queue to be left alone: they may have reached the peer */
  size_t need;     /* bytes that have to go */
  size_t enough;   /* bytes, if there are so many */
  uint64_t most;   /* frames, unless more have to go */
  uint64_t frames; /* out */
  size_t bytes;
} drop;

static bool may_drop(const drop *d, chaski_slice frame, chaski_message *m) {
  if (d->bytes >= d->need && d->frames && (d->bytes >= d->enough || d->frames >= d->most)) return false;
  return read_frame(frame, m) && chaski_slice_equal(m->command, chaski_slice_str("ChaskiMessage")) &&
         chaski__overflow_of(d->link->node, m->topic) == CHASKI_OVERFLOW_DROP_OLD;
}

static bool choose(drop *d, chaski_slice frame, chaski_message *m) {
  if (d->skip) {
    d->skip--;
    return false;
  }
  if (!may_drop(d, frame, m)) return false;
  d->frames++;
  d->bytes += frame.len;
  return true;
}

static bool keeps(void *ctx, chaski_slice frame) {
  chaski_message m;
  return !choose(ctx, frame, &m);
}

static void tell(void *ctx, chaski_slice frame) {
  drop *d = ctx;
  chaski_message m;
  if (choose(d, frame, &m)) chaski__undelivered(d->link->node, d->link->edge, m.topic, m.uuid, CHASKI_EFULL);
}

/* Big-endian in the width that is there, which v fits. */
static void overwrite_uint(chaski_slice raw, uint64_t v) {
  uint8_t *p = (uint8_t *)(uintptr_t)raw.ptr; /* in our own block, and nobody else's frame */
  if (raw.len == 1) p[0] = (uint8_t)v;
  for (size_t i = raw.len - 1; i > 0; i--, v >>= 8) p[i] = (uint8_t)v;
}

/* The acknowledgements in the queue tell how many frames went before them. */
static void recount(void *ctx, chaski_slice frame) {
  uint64_t *number = ctx;
  chaski_message m;
  chaski__mp_field tx = {.key = "tx", .want = WANT_UINT, .required = true};
  const char *key;
  if (is_counted(frame, &m))
    ++*number;
  else if (chaski_slice_equal(m.command, chaski_slice_str("ack")) && !chaski__mp_fields(m.data, &tx, 1, &key))
    overwrite_uint(tx.value.raw, *number);
}

static uint64_t handed(const chaski__link *link) {
  const chaski__session *s = link->session;
  return link->state == LINK_PARKED ? s->handed : s->tx - chaski__frames_fresh(link);
}

/* What is kept for the session is the queue; what of it has not been handed over yet is in the outbox too. */
static bool drop_kept(chaski__link *link, drop d, drop *done) {
  chaski__session *s = link->session;
  chaski__arena *arena = &link->loop->arena;
  chaski__outbox kept, out;
  uint64_t before = handed(link);
  d.skip = before > s->acked ? before - s->acked : 0;
  *done = d;
  if (!chaski__outbox_sieve(&s->kept, &kept, arena, keeps, done)) return false;
  drop twin = d;
  twin.skip = 0;
  bool parked = link->state == LINK_PARKED;
  bool ok = done->frames && done->bytes >= d.need;
  if (!ok || (!parked && !chaski__outbox_sieve(&link->out, &out, arena, keeps, &twin))) {
    chaski__outbox_free(&kept, arena);
    return false;
  }
  chaski__outbox_each(&s->kept, tell, &d);
  chaski__outbox_replace(&s->kept, arena, &kept);
  s->tx -= done->frames;
  if (parked) return true;
  chaski__outbox_replace(&link->out, arena, &out);
  chaski__outbox_fresh(&link->out, recount, &before);
  return true;
}

static bool drop_queued(chaski__link *link, drop d, drop *done) {
  chaski__arena *arena = &link->loop->arena;
  chaski__outbox out;
  *done = d;
  if (!chaski__outbox_sieve(&link->out, &out, arena, keeps, done)) return false;
  if (!done->frames || done->bytes < d.need) {
    chaski__outbox_free(&out, arena);
    return false;
  }
  chaski__outbox_fresh(&link->out, tell, &d);
  chaski__outbox_replace(&link->out, arena, &out);
  return true;
}

bool chaski__make_room(chaski_edge *edge, size_t len) {
  chaski__link *link = edge->link;
  chaski_node *node = edge->node;
  if (!node->drops_old) return false;
  const chaski__session *s = link->session;
  uint64_t bytes = s ? s->kept.bytes : link->out.bytes, most = s ? s->bytes_max : node->limits.queue_hard;
  drop d = {.link = link, .most = FRAMES_AT_ONCE, .enough = most / PART_AT_ONCE}, done;
  if (bytes + len > most) d.need = bytes + len - most;
  if (!(s ? drop_kept(link, d, &done) : drop_queued(link, d, &done))) return false;
  node->counters.queue_dropped += done.frames;
  return true;
}

/* --- all queues --------------------------------------------------------------------------------------------- */
static void find_least(chaski_loop *loop) {
  loop->queue_total = UINT64_MAX;
  for (const chaski_node *n = loop->list; n; n = n->next)
    if (n->limits.queue_total < loop->queue_total) loop->queue_total = n->limits.queue_total;
}

void chaski__loop_list(chaski_node *node) {
  DL_APPEND(node->loop->list, node);
  find_least(node->loop);
}

void chaski__loop_unlist(chaski_node *node) {
  DL_DELETE(node->loop->list, node);
  find_least(node->loop);
}

static size_t held(const chaski_loop *loop) {
  return loop->arena.held > loop->closing ? loop->arena.held - loop->closing : 0;
}

bool chaski__queues_over(const chaski_loop *loop, size_t more) {
  return loop->list && held(loop) && held(loop) + more > loop->queue_total;
}

bool chaski__queues_pressed(chaski_loop *loop) {
  if (held(loop) > loop->queue_total / 2) loop->pressed = true;
  return loop->pressed;
}

static size_t weight(const chaski__link *link) {
  if (!link || link->state == LINK_CLOSED) return 0;
  size_t kept = link->session ? link->session->kept.bytes : 0;
  return link->out.bytes > kept ? link->out.bytes : kept;
}

static void heavier(chaski__link **most, chaski__link *link) {
  if (weight(link) > weight(*most)) *most = link;
}

static chaski__link *heaviest(const chaski_loop *loop) {
  chaski__link *most = NULL;
  for (const chaski_node *n = loop->list; n; n = n->next) {
    for (size_t i = 0; i < n->live_count; i++) heavier(&most, n->live[i]->link);
    for (chaski__link *l = n->leaving; l; l = l->leaving_next) heavier(&most, l);
  }
  return most;
}

bool chaski__edge_idle(const chaski_edge *edge) {
  return weight(edge->link) == 0;
}

static chaski_node *one_to_tell(const chaski_loop *loop) {
  chaski_node *n = loop->list;
  while (n && !n->relieved) n = n->next;
  return n;
}

/* Who is told may publish, and may end nodes: each of those that wait now is told once. */
void chaski__queues_relieved(chaski_loop *loop) {
  if (!loop->pressed || held(loop) > loop->queue_total / 8 * 3) return;
  loop->pressed = false;
  for (chaski_node *n = loop->list; n; n = n->next) n->relieved = n->want_drain && n->events.drained;
  for (chaski_node *n; (n = one_to_tell(loop));) {
    n->relieved = n->want_drain = false;
    n->events.drained(n->user);
  }
}

void chaski__shed(chaski_loop *loop, size_t more) {
  for (chaski__link *link; chaski__queues_over(loop, more) && (link = heaviest(loop));) {
    chaski_edge *edge = link->edge;
    bool current = edge->link == link;
    CHASKI__HIT(link->node, queue_total);
    chaski__link_close(link);
    if (current) chaski__edge_end_later(edge, CHASKI_ESLOW, "the largest queue, and all together are over queue_total");
  }
}
