/* node.c: a node's life: made, run, stopped, destroyed. SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdio.h>

#define PORT_TRIES 8 /* a free port for streams may be taken for datagrams */
#define NODE_OF(timer, member) ((chaski_node *)(void *)((char *)(timer)-offsetof(chaski_node, member)))

void chaski_node_options_init(chaski_node_options *o) {
  *o = (chaski_node_options){.keep_alive = true, .udp = true};
  chaski_limits_init(&o->limits);
}

void chaski__hit(chaski_node *node, size_t offset) {
  ++*(uint64_t *)(void *)((char *)&node->hits + offset);
}

/* --- making ------------------------------------------------------------------------------------------------- */
static const char *check_options(const chaski_node_options *o) {
  const char *why;
  if (o->name && (!*o->name || strlen(o->name) > CHASKI_NAME_MAX)) return "name: expected 1 to 64 bytes";
  if (o->id && (!*o->id || strlen(o->id) > CHASKI_ID_MAX)) return "id: expected 1 to 64 bytes";
  if (o->ip && !chaski_address_is_numeric(o->ip)) return "ip: expected a numeric IPv4 or IPv6 address";
  if (o->advertise && (!*o->advertise || strlen(o->advertise) >= CHASKI_HOST_MAX))
    return "advertise: expected a host of at most 255 bytes";
  if (o->ttl > CHASKI_TTL_MAX) return "ttl: expected 1 to 64";
  return chaski_limits_check(&o->limits, &why) == CHASKI_OK ? NULL : why;
}

static char *copy(const char *s) {
  return chaski__strndup(s, strlen(s));
}

/* Texts that follow from the random id when they were not given. */
static bool name_it(chaski_node *node, const chaski_node_options *o) {
  uint8_t random[16];
  char id[CHASKI_UUID_TEXT + 1] = {0}, name[16];
  node->loop->env.random(node->loop->env.ctx, random, sizeof random);
  chaski_uuid_random(id, random);
  snprintf(name, sizeof name, "node-%.8s", id);
  node->id = copy(o->id ? o->id : id);
  node->name = copy(o->name ? o->name : name);
  node->ip = copy(o->ip ? o->ip : "127.0.0.1");
  node->advertise = o->advertise ? copy(o->advertise) : NULL;
  return node->id && node->name && node->ip && (node->advertise || !o->advertise);
}

static void on_stop_timer(chaski_timer *t);
static void on_topics_timer(chaski_timer *t);
static void reap(chaski_timer *t);

static bool build(chaski_node *node, const chaski_node_options *o) {
  node->origin = chaski__random64(node->loop) & CHASKI_ORIGIN_MAX;
  node->control_origin = chaski__random64(node->loop) & CHASKI_ORIGIN_MAX;
  node->limits = o->limits;
  node->wanted_port = o->port;
  node->root = o->root;
  node->propagation = o->propagation;
  node->keep_alive = o->keep_alive;
  node->with_udp = o->udp;
  node->transport = node->loop->env.transport;
  node->transport_ctx = node->loop->env.ctx;
  node->ttl = o->ttl ? o->ttl : CHASKI_TTL_MAX;
  node->overflow = o->overflow;
  chaski_timer_init(&node->stop_timer, on_stop_timer);
  chaski_timer_init(&node->topics_timer, on_topics_timer);
  chaski_timer_init(&node->notice_timer, chaski__notices_tell);
  chaski_timer_init(&node->udp_timer, chaski__node_udp_tell);
  chaski_timer_init(&node->log_timer, chaski__log_tick);
  chaski_timer_init(&node->reaper, reap);
  node->drops_old = o->overflow == CHASKI_OVERFLOW_DROP_OLD;
  node->pool = chaski_pool_new(o->limits.messages_pool_maxsize, CHASKI_ORIGINS_MAX);
  if (node->pool && o->limits.pool_per_edge) chaski_pool_set_share(node->pool, o->limits.pool_per_edge);
  return node->pool && name_it(node, o) &&
         chaski_node_add_propagation_command(node, chaski_slice_str("ChaskiMessage")) == CHASKI_OK;
}

static void free_topics(chaski_node *node) {
  chaski__topic *t, *next;
  HASH_ITER(hh, node->topics.table, t, next) {
    chaski_subscription *s, *after;
    DL_FOREACH_SAFE(t->subs, s, after) chaski__free(s);
    HASH_DEL(node->topics.table, t);
    chaski__free(t->edges);
    chaski__free(t);
  }
}

static void free_node(chaski_node *node) {
  free_topics(node);
  chaski__commands_free(&node->commands);
  chaski__commands_free(&node->propagated);
  chaski__overflow_free(node);
  chaski_pool_destroy(&node->pool);
  chaski__sources_free(node);
  chaski__free(node->live);
  chaski__free(node->takers);
  chaski__free(node->name);
  chaski__free(node->id);
  chaski__free(node->ip);
  chaski__free(node->advertise);
  node->loop->nodes--;
  chaski__free(node);
}

int chaski_node_new(chaski_loop *loop, const chaski_node_options *options, const chaski_node_events *events, void *user,
                    chaski_node **out, const char **why) {
  *why = check_options(options);
  if (*why) return CHASKI_EINVAL;
  chaski_node *node = chaski__calloc(1, sizeof *node);
  if (!node) return CHASKI_ENOMEM;
  node->loop = loop;
  node->events = *events;
  node->user = user;
  loop->nodes++;
  if (!build(node, options)) {
    free_node(node);
    return CHASKI_ENOMEM;
  }
  chaski__loop_list(node);
  *out = node;
  return CHASKI_OK;
}

static int set_identity(chaski_node *node, const char *identity) {
  chaski_slice text = chaski_slice_str(identity);
  if (!text.len || text.len > CHASKI_ID_MAX || text.len > CHASKI_NAME_MAX) return CHASKI_EINVAL;
  return chaski__set_text(&node->id, text) && chaski__set_text(&node->name, text) ? CHASKI_OK : CHASKI_ENOMEM;
}

int chaski_node_set_transport(chaski_node *node, const chaski_transport *transport, void *ctx, const char *identity) {
  if (node->state != NODE_IDLE || node->links || node->handles) return CHASKI_ELIVE;
  int r = identity ? set_identity(node, identity) : CHASKI_OK;
  if (r != CHASKI_OK) return r;
  node->transport = transport ? transport : node->loop->env.transport;
  node->transport_ctx = transport ? ctx : node->loop->env.ctx;
  return CHASKI_OK;
}

void chaski_node_recheck(chaski_node *node) {
  chaski_edge *e, *next;
  DL_FOREACH_SAFE(node->edges, e, next) {
    const chaski__link *l = e->link;
    if (e->state != EDGE_LIVE || !l->stream || !l->transport->check) continue;
    if (l->transport->check(l->stream) == CHASKI_OK) continue;
    const char *why = l->transport->detail ? l->transport->detail(l->stream) : "";
    chaski__link_close(e->link);
    chaski__edge_end_later(e, CHASKI_ECERTIFICATE, why);
  }
}

int64_t chaski_edge_expires(const chaski_edge *edge) {
  const chaski__link *l = edge->link;
  return edge->state == EDGE_LIVE && l && l->stream && l->transport->expires ? l->transport->expires(l->stream) : 0;
}

bool chaski_edge_reconnect(chaski_edge *edge) {
  chaski__link *l = edge->link;
  if (edge->state != EDGE_LIVE || !l || !l->stream || !l->session) return false;
  chaski__link_fail(l, CHASKI_ERESET, "");
  return true;
}

static uint64_t frames_of(const chaski__link *link) {
  if (!link || link->state == LINK_CLOSED) return 0;
  return link->session ? link->session->kept.frames : link->sessioned ? 0 : link->out.frames;
}

uint64_t chaski_node_in_flight(const chaski_node *node) {
  uint64_t frames = 0;
  const chaski_edge *e;
  DL_FOREACH(node->edges, e) frames += frames_of(e->link);
  for (const chaski__link *l = node->leaving; l; l = l->leaving_next) frames += frames_of(l);
  return frames;
}

/* --- accepting ---------------------------------------------------------------------------------------------- */
static bool is_loopback(const char *ip) {
  return strncmp(ip, "127.", 4) == 0 || strcmp(ip, "::1") == 0;
}

/* The oldest connection without a handshake, of all or of one address; how many there are in *count. */
static chaski_edge *oldest_pending(const chaski_node *node, const char *ip, size_t *count) {
  chaski_edge *e, *oldest = NULL;
  *count = 0;
  DL_FOREACH(node->edges, e) {
    if (e->state != EDGE_PENDING || e->dialled || (ip && (!e->ip || strcmp(e->ip, ip) != 0))) continue;
    if (!oldest) oldest = e;
    ++*count;
  }
  return oldest;
}

static void make_room(chaski_node *node, const char *ip) {
  size_t count;
  if (node->pending > node->limits.pending_max) {
    CHASKI__HIT(node, pending_max);
    chaski__link_fail(oldest_pending(node, NULL, &count)->link, CHASKI_EPENDING, "");
  }
  if (is_loopback(ip)) return;
  chaski_edge *oldest = oldest_pending(node, ip, &count);
  if (count <= node->limits.pending_per_ip) return;
  CHASKI__HIT(node, pending_per_ip);
  chaski__link_fail(oldest->link, CHASKI_EPENDING, "from one address");
}

static void on_accept(void *user, chaski_stream *stream) {
  chaski_node *node = user;
  const chaski_transport *t = node->transport;
  char host[CHASKI_HOST_MAX];
  uint16_t port = 0;
  chaski__loop_touch(node->loop);
  chaski_edge *edge = node->state == NODE_RUNNING ? chaski__edge_new(node, false) : NULL;
  chaski__link *link = edge ? chaski__link_new(edge, false) : NULL;
  if (!link) {
    t->close(stream);
    if (edge) chaski__edge_end(edge, CHASKI_ENOMEM, "");
    return;
  }
  link->stream = stream;
  t->open(stream, &chaski__link_events, link);
  if (t->peer_address(stream, host, &port) != CHASKI_OK) *host = '\0';
  chaski__set_text(&edge->ip, chaski_slice_str(host));
  if (*host && !is_loopback(host)) chaski__set_text(&edge->remote, chaski_slice_str(host));
  edge->port = port;
  chaski__link_arm(link);
  make_room(node, host);
}

static void on_listener_error(void *user, int status) {
  const chaski_node *node = user;
  chaski__log(node, CHASKI_LOG_WARN, "accepting failed: %s", chaski_error_text(status));
}

/* --- running and stopping ----------------------------------------------------------------------------------- */
void chaski__node_check_stopped(chaski_node *node) {
  if (node->links || node->handles) return;
  if (node->destroyed)
    chaski_timer_start(node->loop, &node->reaper, 0);
  else if (node->state == NODE_STOPPING)
    chaski_timer_start(node->loop, &node->stop_timer, 0);
}

void chaski__node_link_closed(chaski_node *node) {
  node->links--;
  chaski__node_check_stopped(node);
}

static void on_listener_closed(void *user) {
  chaski_node *node = user;
  node->handles--;
  chaski__node_check_stopped(node);
}

static const chaski_listener_events listener_events = {on_accept, on_listener_error, on_listener_closed};

static void close_sockets(chaski_node *node) {
  const chaski_transport *t = node->transport;
  if (node->listener) t->listener_close(node->listener);
  if (node->udp) t->udp_close(node->udp);
  node->listener = NULL;
  node->udp = NULL;
}

/* The listener and, on the same number, the datagram socket: both or nothing. */
static int listen_on(chaski_node *node, uint16_t port) {
  int r = node->transport->listen(node->transport_ctx, node->ip, port, &listener_events, node, &node->listener);
  if (r != CHASKI_OK) {
    node->listener = NULL;
    return r;
  }
  node->handles++;
  if (node->with_udp && node->transport->udp_open)
    r = chaski__node_udp_open(node, node->transport->listener_port(node->listener));
  if (r == CHASKI_EFORBIDDEN) r = CHASKI_OK; /* a transport that has no datagrams: TLS */
  if (r != CHASKI_OK) close_sockets(node);
  return r;
}

static int listen_somewhere(chaski_node *node) {
  if (node->port) return listen_on(node, node->port); /* as before the stop */
  if (node->wanted_port) return listen_on(node, node->wanted_port);
  int r = CHASKI_EINUSE;
  for (uint16_t port = CHASKI_PORT_FIRST; node->root && r == CHASKI_EINUSE && port <= CHASKI_PORT_LAST; port++)
    r = listen_on(node, port);
  for (int i = 0; r == CHASKI_EINUSE && i < PORT_TRIES; i++) r = listen_on(node, 0);
  return r;
}

int chaski_node_run(chaski_node *node) {
  if (node->state == NODE_RUNNING) return CHASKI_OK;
  if (node->state == NODE_STOPPING) return CHASKI_ESTOPPED;
  int r = listen_somewhere(node);
  if (r != CHASKI_OK) return r;
  node->port = node->transport->listener_port(node->listener);
  node->state = NODE_RUNNING;
  if (node->udp && node->events.udp) chaski_timer_start(node->loop, &node->udp_timer, 0);
  chaski__log(node, CHASKI_LOG_INFO, "listening on %s:%u", node->ip, node->port);
  if (node->root && !node->wanted_port && (node->port < CHASKI_PORT_FIRST || node->port > CHASKI_PORT_LAST))
    chaski__log(node, CHASKI_LOG_WARN, "the ports of roots, %u to %u, are all in use: nobody will look for it at %u",
                CHASKI_PORT_FIRST, CHASKI_PORT_LAST, node->port);
  return CHASKI_OK;
}

/* Close every link at once; ends of edges are told later. */
static void cut_all(chaski_node *node, int reason) {
  chaski_edge *e, *next;
  DL_FOREACH_SAFE(node->edges, e, next) {
    if (e->link) chaski__link_close(e->link);
    chaski__edge_end_later(e, reason, "");
  }
}

/* Links that are leaving belong to no edge's list: the deadline of a goodbye (tick) ends them, or this. */
static void on_stop_timer(chaski_timer *t) {
  chaski_node *node = NODE_OF(t, stop_timer);
  if (node->links || node->handles) {
    cut_all(node, CHASKI_ESTOPPED);
    for (chaski__link *l = node->leaving, *next; l; l = next) {
      next = l->leaving_next;
      chaski__link_close(l);
    }
    return;
  }
  node->state = NODE_IDLE;
  chaski__log_suppressed(node);
  if (node->events.stopped) node->events.stopped(node->user);
}

/* The peer may count a connection as live that we still wait for an answer on: it is to hear a goodbye, and not redial.
 */
static void leave_pending(chaski__link *link) {
  bool said = link->state == LINK_NEW && chaski__handshake_goodbye(link, CHASKI_ESTOPPED) == CHASKI_OK;
  if (said)
    chaski__link_leave(link, LINK_LEAVING);
  else
    chaski__link_close(link);
}

void chaski_node_stop(chaski_node *node, uint64_t deadline) {
  if (node->state == NODE_STOPPING) return;
  node->state = NODE_STOPPING;
  close_sockets(node);
  while (node->live_count) chaski_edge_close(node->live[0], CHASKI_ESTOPPED, true);
  chaski_edge *e, *next;
  DL_FOREACH_SAFE(node->edges, e, next) {
    if (e->state != EDGE_PENDING) continue;
    leave_pending(e->link);
    chaski__edge_end_later(e, CHASKI_ESTOPPED, "");
  }
  chaski_timer_stop(node->loop, &node->topics_timer);
  chaski_timer_stop(node->loop, &node->udp_timer);
  chaski_timer_start(node->loop, &node->stop_timer, node->links || node->handles ? deadline : 0);
}

static void on_topics_timer(chaski_timer *t) {
  chaski__send_subscriptions(NODE_OF(t, topics_timer), NULL);
}

/* --- destroying --------------------------------------------------------------------------------------------- */
static void orphan(chaski_edge *edge) {
  chaski__pings_drop(edge);
  chaski__dials_drop(edge);
  bool ours = edge->state != EDGE_ENDED || chaski_timer_active(&edge->tell); /* we hold it */
  chaski_timer_stop(edge->node->loop, &edge->tell);
  if (edge->state != EDGE_ENDED) chaski__edge_end_later(edge, CHASKI_ESTOPPED, "");
  chaski_timer_stop(edge->node->loop, &edge->tell);
  DL_DELETE(edge->node->edges, edge);
  edge->node = NULL;
  if (ours) chaski_edge_release(edge);
}

void chaski_node_destroy(chaski_node **out) {
  chaski_node *node = *out;
  if (!node) return;
  *out = NULL;
  node->events = (chaski_node_events){0};
  node->destroyed = true;
  chaski__loop_unlist(node);
  node->state = NODE_STOPPING;
  chaski__notices_drop(node);
  close_sockets(node);
  cut_all(node, CHASKI_ESTOPPED);
  for (chaski__link *l = node->leaving, *next; l; l = next) {
    next = l->leaving_next;
    chaski__link_close(l);
  }
  while (node->edges) orphan(node->edges);
  chaski_timer_stop(node->loop, &node->stop_timer);
  chaski_timer_stop(node->loop, &node->topics_timer);
  chaski_timer_stop(node->loop, &node->udp_timer);
  chaski__log_suppressed(node);
  chaski__node_check_stopped(node);
}

static void reap(chaski_timer *t) {
  free_node(NODE_OF(t, reaper));
}

/* --- what can be asked -------------------------------------------------------------------------------------- */
bool chaski_node_running(const chaski_node *node) {
  return node->state == NODE_RUNNING;
}

const char *chaski_node_name(const chaski_node *node) {
  return node->name;
}

const char *chaski_node_id(const chaski_node *node) {
  return node->id;
}

const char *chaski_node_ip(const chaski_node *node) {
  return node->ip;
}

uint16_t chaski_node_port(const chaski_node *node) {
  return node->port ? node->port : node->wanted_port;
}

bool chaski_node_root(const chaski_node *node) {
  return node->root;
}

uint8_t chaski_node_ttl(const chaski_node *node) {
  return node->ttl;
}

uint64_t chaski_node_origin(const chaski_node *node) {
  return node->origin;
}

chaski_loop *chaski_node_loop(const chaski_node *node) {
  return node->loop;
}

const chaski_limits *chaski_node_limits(const chaski_node *node) {
  return &node->limits;
}

const chaski_limits *chaski_node_limit_hits(const chaski_node *node) {
  return &node->hits;
}

void chaski_node_limit_hit(chaski_node *node, size_t offset) {
  chaski__hit(node, offset);
}

chaski_pool *chaski_node_pool(chaski_node *node) {
  return node->pool;
}

const chaski_counters *chaski_node_counters(const chaski_node *node) {
  return &node->counters;
}

size_t chaski_node_edge_count(const chaski_node *node) {
  return node->live_count;
}

chaski_edge *chaski_node_edge_at(const chaski_node *node, size_t i) {
  return i < node->live_count ? node->live[i] : NULL;
}

static bool at(const char *host, uint16_t port, const char *wanted_host, uint16_t wanted_port) {
  return host && port == wanted_port && strcmp(host, wanted_host) == 0;
}

chaski_edge *chaski_node_get_edge(const chaski_node *node, const char *host, uint16_t port) {
  for (size_t i = 0; i < node->live_count; i++) {
    chaski_edge *e = node->live[i];
    if (at(e->ip, e->port, host, port) || at(e->dial_host, e->dial_port, host, port)) return e;
  }
  return NULL;
}

chaski_edge *chaski_node_get_edge_by_name(const chaski_node *node, const char *name) {
  for (size_t i = 0; i < node->live_count; i++)
    if (node->live[i]->name && strcmp(node->live[i]->name, name) == 0) return node->live[i];
  return NULL;
}
