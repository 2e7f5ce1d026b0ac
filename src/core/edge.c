/* edge.c: an edge's life and what can be asked of it. SPDX-License-Identifier: MIT */
#include "internal.h"

#include "version.h"

static void tell_later(chaski_timer *t);

chaski_edge *chaski__edge_new(chaski_node *node, bool dialled) {
  chaski_edge *edge = chaski__calloc(1, sizeof *edge);
  if (!edge) return NULL;
  *edge = (chaski_edge){.refs = 1, .node = node, .dialled = dialled, .detail = ""};
  edge->number = ++node->loop->edge_numbers;
  chaski_latency_init(&edge->latency);
  chaski_timer_init(&edge->tell, tell_later);
  DL_APPEND(node->edges, edge);
  if (!dialled) node->pending++;
  return edge;
}

void chaski_edge_hold(chaski_edge *edge) {
  edge->refs++;
}

void chaski_edge_release(chaski_edge *edge) {
  if (--edge->refs) return;
  if (edge->node) DL_DELETE(edge->node->edges, edge);
  chaski__free(edge->name);
  chaski__free(edge->id);
  chaski__free(edge->ip);
  chaski__free(edge->agent);
  chaski__free(edge->dial_host);
  chaski__free(edge->expected);
  chaski__free(edge->remote);
  chaski__free(edge->forbidden);
  chaski__edge_drop_report(edge);
  chaski__free(edge);
}

void chaski__edge_drop_report(chaski_edge *edge) {
  if (edge->report) chaski__buf_free(edge->report);
  chaski__free(edge->report);
  edge->report = NULL;
}

int chaski__edge_set_report(chaski_edge *edge, chaski__buf *report) {
  chaski__edge_drop_report(edge);
  edge->report = chaski__malloc(sizeof *edge->report);
  if (!edge->report || report->failed) {
    chaski__buf_free(report);
    return CHASKI_ENOMEM;
  }
  *edge->report = *report;
  return CHASKI_OK;
}

chaski__buf chaski__edge_take_report(chaski_edge *edge) {
  chaski__buf report = edge->report ? *edge->report : (chaski__buf){0};
  chaski__free(edge->report);
  edge->report = NULL;
  return report;
}

bool chaski__set_text(char **to, chaski_slice text) {
  char *copy = chaski__strndup((const char *)text.ptr, text.len);
  if (!copy) return false;
  chaski__free(*to);
  *to = copy;
  return true;
}

/* --- lists -------------------------------------------------------------------------------------------------- */
static bool push(chaski_edge ***list, size_t *count, size_t *cap, chaski_edge *edge) {
  if (*count == *cap) {
    size_t wider = *cap ? *cap * 2 : 4;
    chaski_edge **p = chaski__realloc(*list, wider * sizeof *p);
    if (!p) return false;
    *list = p;
    *cap = wider;
  }
  (*list)[(*count)++] = edge;
  return true;
}

/* Take edge out, keeping the order. */
static void pull(chaski_edge **list, size_t *count, const chaski_edge *edge) {
  for (size_t i = 0; i < *count; i++) {
    if (list[i] != edge) continue;
    memmove(list + i, list + i + 1, (*count - i - 1) * sizeof *list);
    (*count)--;
    return;
  }
}

bool chaski__edge_update_taker(chaski_edge *edge) {
  chaski_node *node = edge->node;
  bool taker = edge->root || edge->propagates || edge->protocol == 0;
  if (taker == edge->taker) return true;
  if (!taker)
    pull(node->takers, &node->taker_count, edge);
  else if (!push(&node->takers, &node->taker_count, &node->taker_cap, edge))
    return false;
  edge->taker = taker;
  return true;
}

static size_t live_from(const chaski_node *node, const char *remote) {
  size_t n = 0;
  for (size_t i = 0; remote && i < node->live_count; i++)
    n += node->live[i]->remote && strcmp(node->live[i]->remote, remote) == 0;
  return n;
}

int chaski__edge_go_live(chaski_edge *edge) {
  chaski_node *node = edge->node;
  if (live_from(node, edge->remote) >= node->limits.edges_per_ip) {
    CHASKI__HIT(node, edges_per_ip);
    return CHASKI_EEDGES;
  }
  if (node->live_count >= node->limits.edges_max) {
    CHASKI__HIT(node, edges_max);
    return CHASKI_EEDGES;
  }
  if (!push(&node->live, &node->live_count, &node->live_cap, edge)) return CHASKI_ENOMEM;
  if (!chaski__edge_update_taker(edge)) {
    pull(node->live, &node->live_count, edge);
    return CHASKI_ENOMEM;
  }
  if (!edge->dialled) node->pending--;
  edge->state = EDGE_LIVE;
  edge->was_live = true;
  return CHASKI_OK;
}

/* --- the peer's topics -------------------------------------------------------------------------------------- */
static void clear_topics(chaski_edge *edge) {
  for (uint32_t i = 0; i < edge->topic_count; i++) {
    chaski__topic_remove_edge(edge->topics[i], edge);
    chaski__topic_drop(&edge->node->topics, edge->topics[i]);
  }
  chaski__free(edge->topics);
  edge->topics = NULL;
  edge->topic_count = 0;
}

static int add_topic(chaski_edge *edge, chaski_slice name) {
  if (name.len > edge->node->limits.topic_max) return CHASKI_OK; /* no frame of ours could carry it */
  if (!chaski__peer_may(edge->link, CHASKI_RIGHT_SUBSCRIBE, name)) {
    chaski__send_forbidden(edge->link, CHASKI_RIGHT_SUBSCRIBE, name);
    return CHASKI_OK;
  }
  chaski__topic *topic = chaski__topic_intern(&edge->node->topics, name);
  if (!topic) return CHASKI_ENOMEM;
  bool twice = topic->edge_count && topic->edges[topic->edge_count - 1] == edge;
  if (twice) return CHASKI_OK;
  if (!chaski__topic_add_edge(topic, edge)) {
    chaski__topic_drop(&edge->node->topics, topic);
    return CHASKI_ENOMEM;
  }
  edge->topics[edge->topic_count++] = topic;
  return CHASKI_OK;
}

int chaski__edge_set_topics(chaski_edge *edge, chaski_slice raw) {
  chaski__mp v;
  if (!chaski__mp_read(&raw, &v)) return CHASKI_EPROTOCOL;
  uint64_t n = v.u;
  if (n > edge->node->limits.peer_subscriptions) {
    CHASKI__HIT(edge->node, peer_subscriptions);
    return CHASKI_ETOOBIG;
  }
  clear_topics(edge);
  if (n == 0) return CHASKI_OK;
  edge->topics = chaski__malloc(n * sizeof *edge->topics);
  int r = edge->topics ? CHASKI_OK : CHASKI_ENOMEM;
  while (r == CHASKI_OK && raw.len && chaski__mp_read(&raw, &v)) r = add_topic(edge, v.bytes);
  return r;
}

bool chaski_edge_subscribed(const chaski_edge *edge, chaski_slice topic) {
  for (uint32_t i = 0; i < edge->topic_count; i++)
    if (chaski_slice_equal(topic, chaski_slice_of(edge->topics[i]->name, edge->topics[i]->len))) return true;
  return false;
}

void chaski_edge_topics(const chaski_edge *edge, void (*fn)(void *ctx, chaski_slice topic), void *ctx) {
  for (uint32_t i = 0; i < edge->topic_count; i++)
    fn(ctx, chaski_slice_of(edge->topics[i]->name, edge->topics[i]->len));
}

/* --- the end ------------------------------------------------------------------------------------------------ */
static enum chaski_log_level level_of(int reason) {
  switch (reason) {
  case CHASKI_ECLOSED:
  case CHASKI_ESTOPPED:
  case CHASKI_EDUPLICATE:
    return CHASKI_LOG_DEBUG;
  case CHASKI_EGOODBYE:
  case CHASKI_ELOST:
  case CHASKI_ERESET:
  case CHASKI_EREPLACED:
    return CHASKI_LOG_INFO;
  default:
    return CHASKI_LOG_WARN;
  }
}

void chaski__log_suppressed(chaski_node *node) {
  chaski_timer_stop(node->loop, &node->log_timer);
  if (node->log_suppressed) chaski__log(node, CHASKI_LOG_WARN, "%u more edges ended", node->log_suppressed);
  node->log_suppressed = 0;
}

void chaski__log_tick(chaski_timer *t) {
  chaski__log_suppressed((chaski_node *)(void *)((char *)t - offsetof(chaski_node, log_timer)));
}

/* At most log_rate such lines a second and node, then a count (RELIABILITY T33), told when the second is over. */
static bool may_log(chaski_node *node) {
  uint64_t second = node->loop->now / CHASKI_S;
  if (second != node->log_second) {
    chaski__log_suppressed(node);
    node->log_second = second;
    node->log_lines = 0;
  }
  if (node->log_lines++ < node->limits.log_rate) return true;
  if (!node->log_suppressed++) chaski_timer_start(node->loop, &node->log_timer, CHASKI_S);
  CHASKI__HIT(node, log_rate);
  return false;
}

static void log_end(chaski_edge *edge) {
  chaski_node *node = edge->node;
  if (edge->dialled && !edge->was_live) return; /* told to who dialled */
  enum chaski_log_level level = level_of(edge->reason);
  if (level > node->loop->env.log_level(node->loop->env.ctx) || !may_log(node)) return;
  chaski__log(node, level, "%s %s%s%s:%u ended: %s%s%s%s", edge->was_live ? "edge to" : "connection from",
              chaski_edge_name(edge), edge->name ? " at " : "", chaski_edge_ip(edge), edge->port,
              chaski_error_name(edge->reason), *edge->detail ? " (" : "", edge->detail, *edge->detail ? ")" : "");
}

static void detach(chaski_edge *edge, int reason, const char *detail) {
  chaski_node *node = edge->node;
  if (edge->state == EDGE_LIVE) {
    pull(node->live, &node->live_count, edge);
    if (edge->taker) pull(node->takers, &node->taker_count, edge);
  } else if (!edge->dialled) {
    node->pending--;
  }
  if (reason == CHASKI_EMALFORMED) node->counters.malformed++;
  edge->state = EDGE_ENDED;
  edge->taker = false;
  edge->reason = reason;
  edge->detail = detail;
  edge->link = NULL;
  clear_topics(edge);
  log_end(edge);
}

/* The node's reference goes with it. */
static void tell(chaski_edge *edge) {
  chaski_node *node = edge->node;
  chaski__pings_end(edge, edge->reason);
  chaski__dials_end(edge, edge->reason, NULL, edge->detail);
  bool known = edge->was_live || (!edge->dialled && edge->reason != CHASKI_EDUPLICATE);
  if (known && node->events.edge_closed) node->events.edge_closed(node->user, edge, edge->reason, edge->detail);
  if (node->want_drain && node->events.drained) {
    node->want_drain = false;
    node->events.drained(node->user);
  }
  chaski_edge_release(edge);
}

static void tell_later(chaski_timer *t) {
  tell((chaski_edge *)(void *)((char *)t - offsetof(chaski_edge, tell)));
}

void chaski__edge_end(chaski_edge *edge, int reason, const char *detail) {
  if (edge->state == EDGE_ENDED) return;
  detach(edge, reason, detail);
  tell(edge);
}

void chaski__edge_end_later(chaski_edge *edge, int reason, const char *detail) {
  if (edge->state == EDGE_ENDED) return;
  detach(edge, reason, detail);
  chaski_timer_start(edge->node->loop, &edge->tell, 0);
}

void chaski_edge_close(chaski_edge *edge, int reason, bool goodbye) {
  chaski__link *link = edge->link;
  if (edge->state != EDGE_LIVE) return;
  if (goodbye && link->stream && chaski__handshake_goodbye(link, reason) == CHASKI_OK)
    chaski__link_leave(link, LINK_LEAVING);
  else
    chaski__link_close(link);
  chaski__edge_end_later(edge, reason, "");
}

/* --- what can be asked -------------------------------------------------------------------------------------- */
static const char *text_or_empty(const char *s) {
  return s ? s : "";
}

void *chaski_edge_user(const chaski_edge *edge) {
  return edge->user;
}

void chaski_edge_set_user(chaski_edge *edge, void *user) {
  edge->user = user;
}

chaski_node *chaski_edge_node(const chaski_edge *edge) {
  return edge->node;
}

bool chaski_edge_live(const chaski_edge *edge) {
  return edge->state == EDGE_LIVE;
}

bool chaski_edge_was_live(const chaski_edge *edge) {
  return edge->was_live;
}

bool chaski_edge_dialled(const chaski_edge *edge) {
  return edge->dialled;
}

bool chaski_edge_suspended(const chaski_edge *edge) {
  return edge->state == EDGE_LIVE && edge->link->state == LINK_PARKED;
}

bool chaski_edge_session(const chaski_edge *edge, chaski_session_info *out) {
  const chaski__session *s = edge->link ? edge->link->session : NULL;
  if (!s) return false;
  *out = (chaski_session_info){0, s->tx, s->acked, s->rx, s->kept.frames, s->kept.bytes, s->resumes};
  memcpy(&out->id, s->sid, sizeof out->id);
  return true;
}

bool chaski_edge_writable(const chaski_edge *edge) {
  return edge->state == EDGE_LIVE && !edge->choked;
}

int chaski_edge_reason(const chaski_edge *edge) {
  return edge->reason;
}

const char *chaski_edge_detail(const chaski_edge *edge) {
  return edge->detail;
}

uint64_t chaski_edge_number(const chaski_edge *edge) {
  return edge->number;
}

const char *chaski_edge_name(const chaski_edge *edge) {
  return text_or_empty(edge->name);
}

const char *chaski_edge_id(const chaski_edge *edge) {
  return text_or_empty(edge->id);
}

const char *chaski_edge_ip(const chaski_edge *edge) {
  return text_or_empty(edge->ip);
}

uint16_t chaski_edge_port(const chaski_edge *edge) {
  return edge->port;
}

const char *chaski_edge_agent(const chaski_edge *edge) {
  return edge->own_agent ? CHASKI_AGENT : text_or_empty(edge->agent);
}

bool chaski_edge_root(const chaski_edge *edge) {
  return edge->root;
}

bool chaski_edge_propagates(const chaski_edge *edge) {
  return edge->propagates;
}

int chaski_edge_protocol(const chaski_edge *edge) {
  return edge->protocol;
}

void chaski_edge_dialled_address(const chaski_edge *edge, const char **host, uint16_t *port) {
  *host = text_or_empty(edge->dial_host);
  *port = edge->dial_port;
}

int chaski_edge_local_address(const chaski_edge *edge, char *host, uint16_t *port) {
  if (!edge->link || !edge->link->stream) return CHASKI_ECLOSED;
  return edge->link->transport->local_address(edge->link->stream, host, port);
}

int chaski_edge_remote_address(const chaski_edge *edge, char *host, uint16_t *port) {
  if (!edge->link || !edge->link->stream) return CHASKI_ECLOSED;
  return edge->link->transport->peer_address(edge->link->stream, host, port);
}

const chaski_latency *chaski_edge_latency(const chaski_edge *edge) {
  return &edge->latency;
}

void chaski_edge_reset_latency(chaski_edge *edge) {
  chaski_latency_reset(&edge->latency);
}

void chaski_edge_update_latency(chaski_edge *edge, double rtt_ms) {
  chaski_latency_sample(&edge->latency, rtt_ms);
}

size_t chaski_edge_pings(const chaski_edge *edge) {
  return edge->ping_count;
}

size_t chaski_edge_queued(const chaski_edge *edge) {
  return chaski__edge_queued(edge);
}

const chaski_traffic *chaski_edge_traffic(const chaski_edge *edge) {
  return &edge->counters;
}

void chaski_edge_pause(chaski_edge *edge) {
  if (!edge->link || edge->link->pauses++) return;
  if (edge->link->stream) edge->link->transport->pause(edge->link->stream);
}

void chaski_edge_resume(chaski_edge *edge) {
  if (!edge->link || !edge->link->pauses || --edge->link->pauses) return;
  chaski__link_forgive(edge->link);
  if (edge->link->stream) edge->link->transport->resume(edge->link->stream);
}
