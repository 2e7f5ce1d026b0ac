/* receive.c: what becomes of a frame that has come in. Delivery and forwarding are separate decisions.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

static bool is(chaski_slice s, const char *text, size_t len) {
  return s.len == len && memcmp(s.ptr, text, len) == 0;
}
#define IS(slice, literal) is(slice, literal, sizeof(literal) - 1)

/* --- commands of the protocol ------------------------------------------------------------------------------- */
typedef struct protocol_command {
  chaski_slice name;
  void (*receive)(chaski__link *link, const chaski_message *m);
  bool early; /* allowed before the handshake is complete (PROTOCOL B.3) */
} protocol_command;

static const protocol_command protocol_commands[] = {
    {CHASKI_SLICE("handshake"), chaski__handshake_receive, true},
    {CHASKI_SLICE("handshake_back"), chaski__handshake_receive, true},
    {CHASKI_SLICE("ping"), chaski__ping_receive, true},
    {CHASKI_SLICE("pong"), chaski__pong_receive, true},
    {CHASKI_SLICE("subscriptions"), chaski__receive_subscriptions, false},
    {CHASKI_SLICE("forbidden"), chaski__receive_forbidden, false},
    {CHASKI_SLICE("ack"), chaski__ack_receive, false},
};

static const protocol_command *protocol_command_of(chaski_slice command) {
  for (size_t i = 0; i < sizeof protocol_commands / sizeof *protocol_commands; i++)
    if (chaski_slice_equal(command, protocol_commands[i].name)) return &protocol_commands[i];
  return NULL;
}

bool chaski__is_protocol_command(chaski_slice command) {
  return protocol_command_of(command) != NULL;
}

static void receive_protocol(chaski__link *link, const protocol_command *c, const chaski_message *m) {
  if (!IS(m->topic, CHASKI_TOPIC_ALL))
    chaski__link_fail(link, CHASKI_EPROTOCOL, "a protocol command under a topic");
  else
    c->receive(link, m);
}

/* --- topics ------------------------------------------------------------------------------------------------- */
/* The entry of the frame's topic, NULL if nobody here knows it. */
static chaski__topic *topic_of(chaski__link *link, const chaski_frame *frame, const chaski_message *m) {
  if (!link->topic && !(link->topic = chaski__calloc(1, sizeof *link->topic)))
    return chaski__topic_find(&link->node->topics, m->topic);
  return chaski__topic_recall(&link->node->topics, link->topic, frame->topic, m->topic);
}

/* --- delivery ----------------------------------------------------------------------------------------------- */
static void sweep(chaski_node *node, chaski__topic *topic) {
  chaski_subscription *s, *next;
  DL_FOREACH_SAFE(topic->subs, s, next) {
    if (!s->dead) continue;
    DL_DELETE(topic->subs, s);
    chaski__free(s);
  }
  chaski__topic_drop(&node->topics, topic);
}

/* The subscription that is called for a message, if it is only one. */
static chaski_subscription *only_one(const chaski__topic *topic) {
  chaski_subscription *s, *found = NULL;
  DL_FOREACH(topic->subs, s) {
    if (s->dead || s->silent) continue;
    if (found) return NULL;
    found = s;
  }
  return found;
}

/* While it is called it may take the messages behind this one. */
static void note_delivering(chaski__link *link, chaski__topic *topic) {
  chaski__reading *r = link->loop->reading;
  if (!r || r->link != link) return;
  r->topic = topic;
  r->sub = topic ? only_one(topic) : NULL;
}

/* Every subscription made before now gets it, also when one of them removes another. */
static void deliver(chaski__link *link, chaski__topic *topic, const chaski_message *m) {
  chaski_node *node = link->node;
  chaski_subscription *s = topic->subs, *last = s->prev; /* utlist: the head's prev is the tail */
  note_delivering(link, topic);
  topic->busy++;
  for (;; s = s->next) {
    if (!s->dead) node->counters.delivered++;
    if (!s->dead && !s->silent && node->events.message) node->events.message(node->user, s->user, link->edge, m);
    if (s == last) break;
  }
  note_delivering(link, NULL);
  if (--topic->busy == 0 && !node->destroyed) sweep(node, topic);
}

static void deliver_or_catch(chaski__link *link, chaski__topic *topic, const chaski_message *m) {
  if (topic && topic->live_subs) {
    deliver(link, topic, m);
  } else if (link->node->root) {
    chaski__topic *all = chaski__topic_find(&link->node->topics, chaski_slice_str("@"));
    if (all && all->live_subs) deliver(link, all, m);
  }
}

/* --- messages ----------------------------------------------------------------------------------------------- */
static bool is_named(const chaski__command *c, chaski_slice name) {
  return c && chaski_slice_equal(name, chaski_slice_of(c->name, c->len));
}

/* Mostly it is the command of the message before. */
static bool propagated(chaski_node *node, chaski_slice command) {
  chaski__command *c;
  if (!node->propagation) return false;
  if (is_named(node->passed_on, command)) return true;
  HASH_FIND(hh, node->propagated, command.ptr, command.len, c);
  if (c) node->passed_on = c;
  return c != NULL;
}

/* New to this node? Remembers it. An id of nil cannot be told apart: it is always new, and never passed on. */
static bool is_new(chaski__link *link, const chaski_message *m) {
  chaski_node *node = link->node;
  if (m->ours && (m->origin == node->origin || m->origin == node->control_origin)) {
    node->counters.own++;
    return false;
  }
  if (!m->uuid.len) return true;
  int seen = m->ours ? chaski_pool_check(node->pool, m->origin, m->seq, link->edge->number)
                     : chaski_pool_check_id(node->pool, m->uuid, link->edge->number);
  if (seen == CHASKI_SEEN) node->counters.duplicates++;
  if (seen == CHASKI_STALE) node->counters.stale++;
  return seen == CHASKI_NEW;
}

static void receive_message(chaski__link *link, chaski__topic *topic, const chaski_message *m) {
  chaski_node *node = link->node;
  bool wanted = (topic && topic->live_subs) || node->root;
  bool relay = propagated(node, m->command) && m->uuid.len && chaski__we_may_pass_on(node, m->topic);
  if (!wanted && !relay) {
    node->counters.unwanted++;
    return;
  }
  if (link->transport->may && !chaski__may_receive(link, m)) return;
  if (!is_new(link, m)) return;
  if (relay) chaski__relay(node, m, link->edge, topic);
  if (wanted) deliver_or_catch(link, topic, m);
}

/* --- the messages behind one that is being delivered ---------------------------------------------------------- */
static bool is_alone(const chaski__reading *r) {
  return r->sub && only_one(r->topic) == r->sub && !r->link->node->destroyed;
}

/* The next frame is a message that goes to the same subscription and nowhere else, as it stands. */
static bool is_like(const chaski__reading *r, chaski_frame *frame, chaski_message *m) {
  chaski__link *link = r->link;
  const char *why;
  if (link->state != LINK_LIVE || !link->sent_back || !chaski_frame_peek(&link->decoder, r->in, frame)) return false;
  if (chaski_message_read(frame, &link->loop->seen, m, &why) != CHASKI_OK || !IS(m->command, "ChaskiMessage"))
    return false;
  if (m->ttl_clamped || m->ttl > link->node->limits.ttl_max || propagated(link->node, m->command)) return false;
  return topic_of(link, frame, m) == r->topic;
}

static void take(chaski__reading *r, const chaski_frame *frame) {
  chaski__link *link = r->link;
  r->in = chaski_slice_of(r->in.ptr + frame->bytes.len, r->in.len - frame->bytes.len);
  link->node->counters.frames_in++;
  link->edge->counters.frames_in++;
  if (link->session) chaski__session_received(link, frame->bytes.len);
  chaski__reading_taken(r);
}

bool chaski_edge_next_message(chaski_edge *edge, chaski_message *m) {
  chaski__reading *r = edge->node ? edge->node->loop->reading : NULL;
  chaski_frame frame;
  if (!r || !edge->link || r->link != edge->link) return false;
  while (is_alone(r) && is_like(r, &frame, m)) {
    take(r, &frame);
    if ((r->link->transport->may && !chaski__may_receive(r->link, m)) || !is_new(r->link, m)) continue;
    r->link->node->counters.delivered += r->topic->live_subs;
    return true;
  }
  return false;
}

/* Handlers may be registered as late as the first command comes. */
static chaski__command *find_handler(chaski_node *node, chaski_slice command) {
  chaski__command *c;
  HASH_FIND(hh, node->commands, command.ptr, command.len, c);
  if (c || !node->events.unhandled || !node->events.unhandled(node->user, command) || node->destroyed) return c;
  HASH_FIND(hh, node->commands, command.ptr, command.len, c);
  return c;
}

/* Mostly it is that of the command before. */
static chaski__command *handler_of(chaski_node *node, chaski_slice command) {
  chaski__command *c = node->handled;
  if (is_named(c, command)) return c;
  c = find_handler(node, command);
  if (c && !node->destroyed) node->handled = c;
  return c;
}

/* A command of the application's own: to its handler if its topic is for us, and on if it is one that propagates. */
static void receive_command(chaski__link *link, chaski__topic *topic, const chaski_message *m) {
  chaski_node *node = link->node;
  const chaski__command *c;
  bool wanted = IS(m->topic, CHASKI_TOPIC_ALL) || (topic && topic->live_subs) || node->root;
  if (propagated(node, m->command) && m->uuid.len) {
    if (!is_new(link, m)) return;
    chaski__relay(node, m, link->edge, topic);
  }
  if (!wanted)
    node->counters.unwanted++;
  else if (!(c = handler_of(node, m->command)))
    node->counters.unknown++;
  else if (node->events.command)
    node->events.command(node->user, c->handler, link->edge, m);
}

static void receive_live(chaski__link *link, const chaski_frame *frame, const chaski_message *m) {
  const protocol_command *c;
  if (link->session && chaski__counts(m->command)) chaski__session_received(link, frame->bytes.len);
  if (IS(m->command, "ChaskiMessage"))
    receive_message(link, topic_of(link, frame, m), m);
  else if ((c = protocol_command_of(m->command)))
    receive_protocol(link, c, m);
  else
    receive_command(link, topic_of(link, frame, m), m);
}

/* A dial-back reports before it shakes hands; it is looked at when the edge is there. */
static void keep_report(chaski__link *link, const chaski_message *m) {
  chaski__buf b = {0};
  if (link->dialled || link->edge->report) {
    chaski__link_fail(link, CHASKI_EPROTOCOL, "an unexpected report_paired");
    return;
  }
  chaski__buf_append(&b, m->frame.ptr, m->frame.len);
  if (chaski__edge_set_report(link->edge, &b) != CHASKI_OK) chaski__link_fail(link, CHASKI_ENOMEM, "");
}

void chaski__receive_report(chaski__link *link) {
  chaski__buf report = chaski__edge_take_report(link->edge);
  chaski_message m;
  const char *why;
  if (report.len && !link->dialled && chaski_message_read_bytes(chaski__buf_slice(&report), &m, &why) == CHASKI_OK)
    receive_command(link, NULL, &m);
  chaski__buf_free(&report);
}

static void receive_early(chaski__link *link, const chaski_message *m) {
  const protocol_command *c = protocol_command_of(m->command);
  if (c && c->early)
    receive_protocol(link, c, m);
  else if (IS(m->command, "report_paired"))
    keep_report(link, m);
  else
    chaski__link_fail(link, CHASKI_EPROTOCOL, "a command before the handshake");
}

/* The protocol's own commands go no further, whatever they claim. */
static void clamp_ttl(chaski_node *node, chaski_message *m) {
  if ((!m->ttl_clamped && m->ttl <= node->limits.ttl_max) || chaski__is_protocol_command(m->command)) return;
  CHASKI__HIT(node, ttl_max);
  if (m->ttl > node->limits.ttl_max) m->ttl = (uint8_t)node->limits.ttl_max;
}

void chaski__receive(chaski__link *link, const chaski_frame *frame) {
  chaski_message m;
  const char *why;
  link->node->counters.frames_in++;
  link->edge->counters.frames_in++;
  if (chaski_message_read(frame, &link->loop->seen, &m, &why) != CHASKI_OK) {
    chaski__link_fail(link, CHASKI_EMALFORMED, why);
    return;
  }
  clamp_ttl(link->node, &m);
  if (link->state == LINK_LEFT && !IS(m.command, "ack"))
    link->node->counters.ignored++;
  else if (!link->sent_back || link->state == LINK_NEW) /* leaving before it was anything is no way in */
    receive_early(link, &m);
  else
    receive_live(link, frame, &m);
}
