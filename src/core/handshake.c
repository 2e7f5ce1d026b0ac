/* handshake.c: how two nodes come to know each other, and how they part (PROTOCOL A.3, A.5, B.4, B.6).
 *
 *   dialler                                          acceptor
 *     handshake {a, response: true}            ->
 *                                              <-    handshake {b, response: false}
 *                                              <-    handshake_back {a, name, ip, port, subscriptions}
 *     handshake_back {b, name, ...}            ->
 *   live when {a} is answered                        live when {b} is answered
 *
 * A handshake with response true on a live edge is a goodbye.
 * SPDX-License-Identifier: MIT */
#include "internal.h"
#include "version.h"

#define SUBSCRIPTIONS_INLINE                                                                                           \
  8192 /* bytes of names in handshake_back, below any peer's preauth_max; the rest follows                             \
        */
#define NAME_MAX_PEER 256

enum { F_ID, F_START, F_PROTOCOL, F_AGENT, F_FRAME_MAX, F_TOPIC_MAX, F_PROPAGATES, F_ROOT, F_COMMON };

#define COMMON_FIELDS                                                                                                  \
  [F_ID] = {.key = "id", .want = WANT_STR}, [F_START] = {.key = "start", .want = WANT_UINT},                           \
  [F_PROTOCOL] = {.key = "protocol", .want = WANT_UINT}, [F_AGENT] = {.key = "agent", .want = WANT_STR},               \
  [F_FRAME_MAX] = {.key = "frame_max", .want = WANT_UINT}, [F_TOPIC_MAX] = {.key = "topic_max", .want = WANT_UINT},    \
  [F_PROPAGATES] = {.key = "propagates", .want = WANT_BOOL}, [F_ROOT] = {.key = "root", .want = WANT_BOOL}

/* --- sending ------------------------------------------------------------------------------------------------ */
/* What we add to the original's keys: F_COMMON pairs. */
static void put_common(const chaski_node *node, chaski__buf *b) {
  chaski__mp_put_key(b, "id");
  chaski__mp_put_str(b, chaski_slice_str(node->id));
  chaski__mp_put_key(b, "start");
  chaski__mp_put_uint(b, node->origin);
  chaski__mp_put_key(b, "protocol");
  chaski__mp_put_uint(b, CHASKI_PROTOCOL);
  chaski__mp_put_key(b, "agent");
  chaski__mp_put_str(b, chaski_slice_str(CHASKI_AGENT));
  chaski__mp_put_key(b, "frame_max");
  chaski__mp_put_uint(b, node->limits.data_max);
  chaski__mp_put_key(b, "topic_max");
  chaski__mp_put_uint(b, node->limits.topic_max);
  chaski__mp_put_key(b, "propagates");
  chaski__mp_put_bool(b, node->propagation);
  chaski__mp_put_key(b, "root");
  chaski__mp_put_bool(b, node->root);
}

/* Not counted up as other ids are: who could guess it could say, in our name, that a dial of ours has met ourselves. */
static void put_handshake_id(chaski_node *node, chaski__buf *b, uint64_t *number) {
  char id[CHASKI_UUID_TEXT];
  *number = (chaski__random64(node->loop) & CHASKI_SEQ_MAX) | 1; /* 0 stands for none */
  chaski_uuid_format(id, node->control_origin, *number);
  chaski__mp_put_key(b, "handshake_id");
  chaski__mp_put_str(b, chaski_slice_of(id, sizeof id));
}

static int send_handshake(chaski__link *link, bool response, const char *bye) {
  chaski__buf b = {0};
  bool offer = chaski__session_offers(link);
  chaski__mp_put_map(&b, (uint32_t)(F_COMMON + 2 + (bye != NULL) + offer));
  if (offer) chaski__session_offer(link, &b);
  put_handshake_id(link->node, &b, &link->handshake);
  chaski__mp_put_key(&b, "response");
  chaski__mp_put_bool(&b, response);
  put_common(link->node, &b);
  if (bye) {
    chaski__mp_put_key(&b, "bye");
    chaski__mp_put_str(&b, chaski_slice_str(bye));
  }
  return chaski__send_command(link, "handshake", &b);
}

typedef struct topic_list {
  chaski__buf names;
  uint32_t count, left_out;
  size_t max;
} topic_list;

static void add_topic(void *ctx, chaski_slice topic) {
  topic_list *list = ctx;
  if (list->names.len + topic.len + 5 > list->max) {
    list->left_out++;
    return;
  }
  chaski__mp_put_str(&list->names, topic);
  list->count++;
}

/* Returns how many do not fit into max bytes. */
static uint32_t put_subscriptions(const chaski_node *node, chaski__buf *b, size_t max) {
  topic_list list = {.max = max};
  chaski_node_topics(node, add_topic, &list);
  if (list.names.failed) b->failed = true;
  chaski__mp_put_key(b, "subscriptions");
  chaski__mp_put_array(b, list.count);
  chaski__buf_append(b, list.names.ptr, list.names.len);
  chaski__buf_free(&list.names);
  return list.left_out;
}

/* The host peers are told to dial: what the node was told to say, its address, or what this connection came to. */
static void advertised(const chaski__link *link, char host[CHASKI_HOST_MAX]) {
  const chaski_node *node = link->node;
  uint16_t port;
  const char *fixed = node->advertise ? node->advertise : chaski_address_is_any(node->ip) ? NULL : node->ip;
  if (fixed)
    memcpy(host, fixed, strlen(fixed) + 1);
  else if (link->transport->local_address(link->stream, host, &port) != CHASKI_OK)
    memcpy(host, node->ip, strlen(node->ip) + 1);
}

void chaski__put_identity(chaski_node *node, chaski__link *link, chaski__buf *b, bool subscriptions) {
  char host[CHASKI_HOST_MAX];
  advertised(link, host);
  chaski__mp_put_key(b, "name");
  chaski__mp_put_str(b, chaski_slice_str(node->name));
  chaski__mp_put_key(b, "ip");
  chaski__mp_put_str(b, chaski_slice_str(host));
  chaski__mp_put_key(b, "port");
  chaski__mp_put_uint(b, node->port);
  if (subscriptions) put_subscriptions(node, b, SUBSCRIPTIONS_INLINE);
}

static int send_back(chaski__link *link, chaski_slice handshake_id, const chaski_edge *old) {
  chaski__buf b = {0};
  bool session = !link->dialled && link->terms->agreed;
  chaski__mp_put_map(&b, (uint32_t)(5 + F_COMMON + session));
  if (session) chaski__session_answer(link, old, &b);
  chaski__put_identity(link->node, link, &b, true);
  chaski__mp_put_key(&b, "handshake_id");
  chaski__mp_put_str(&b, handshake_id);
  put_common(link->node, &b);
  link->sent_back = true;
  return chaski__send_command(link, "handshake_back", &b);
}

/* Of a dial-back: the report goes first. */
static int send_report(chaski__link *link) {
  chaski__buf report = chaski__edge_take_report(link->edge);
  return report.len || report.failed ? chaski__send_command(link, "report_paired", &report) : CHASKI_OK;
}

int chaski__handshake_goodbye(chaski__link *link, int reason) {
  chaski__session_ack(link);
  return send_handshake(link, true, chaski_error_name(reason));
}

/* Goodbye on a link that carries no edge (any more). */
static void drop_link(chaski__link *link, int reason) {
  if (chaski__handshake_goodbye(link, reason) == CHASKI_OK)
    chaski__link_leave(link, LINK_LEAVING);
  else
    chaski__link_close(link);
}

/* --- one edge a peer ---------------------------------------------------------------------------------------- */
static chaski_edge *other_edge(const chaski_edge *edge) {
  chaski_edge *e;
  DL_FOREACH(edge->node->edges, e) {
    if (e == edge || e->state == EDGE_ENDED || !e->known) continue;
    if (edge->id && e->id && strcmp(edge->id, e->id) == 0) return e;
    if (!edge->id && !e->id && e->port == edge->port && edge->ip && e->ip && strcmp(edge->ip, e->ip) == 0) return e;
  }
  return NULL;
}

static chaski_edge *live_edge(const chaski_edge *edge) {
  const chaski_node *node = edge->node;
  for (size_t i = 0; edge->id && i < node->live_count; i++)
    if (node->live[i] != edge && node->live[i]->id && strcmp(edge->id, node->live[i]->id) == 0) return node->live[i];
  return NULL;
}

/* Of two links to one peer dialled from different sides, the smaller id's stays. Without ids: the older. */
static bool wins(const chaski_edge *edge, const chaski_edge *other) {
  if (!edge->id) return false;
  bool ours_smaller = strcmp(edge->node->id, edge->id) < 0;
  if (edge->dialled == other->dialled) return !edge->dialled; /* the dialler decides, and lets the older one stay */
  return edge->dialled == ours_smaller;
}

/* This link is one too many: those who wait for it wait for, or get, the other edge, and what the peer has sent by it
 * already comes from that edge. */
static void lose(chaski__link *link, chaski_edge *winner) {
  chaski_edge *edge = link->edge;
  chaski__dials_move(edge, winner);
  if (link->terms->resume && link->sent_back)
    chaski__link_close(link); /* the peer may have resumed on it: what comes is the session's, and comes again there */
  else
    drop_link(link, CHASKI_EDUPLICATE);
  chaski__edge_end_later(edge, CHASKI_EDUPLICATE, "");
  chaski_edge_hold(winner);
  link->edge = winner;
  chaski_edge_release(edge);
  chaski__dials_confirm(winner);
}

/* Tells, so the node may be gone afterwards. */
static void replace_restarted(chaski_edge *old, chaski_edge *by) {
  chaski__dials_move(old, by);
  chaski__link_close(old->link);
  chaski__edge_end(old, CHASKI_EREPLACED, "");
}

/* The peer of this link has become known. false: the link is not to go on. */
static bool settle(chaski__link *link) {
  chaski_edge *edge = link->edge;
  edge->known = true;
  for (chaski_edge *other; (other = other_edge(edge));) {
    bool waits = other->state == EDGE_LIVE && other->link->state == LINK_PARKED; /* for a connection: this one */
    if (other->start == edge->start && !waits && !wins(edge, other)) {
      lose(link, other);
      return false;
    }
    if (other->state == EDGE_LIVE) return true; /* its place is taken when this one is live, not on a mere claim */
    lose(other->link, edge);
  }
  return true;
}

/* Who paused the edge has paused it still; what comes on the old link until its end is little. */
static void move_pauses(chaski__link *from, chaski__link *to) {
  to->pauses = from->pauses;
  from->pauses = 0;
  if (!to->pauses) return;
  if (from->stream) from->transport->resume(from->stream);
  to->transport->pause(to->stream);
}

/* The edge that is live keeps its place and carries on over the new link. */
static int adopt(chaski_edge *edge, chaski__link *link) {
  chaski_edge *passing = link->edge;
  chaski__link *old = edge->link;
  edge->link = link;
  edge->dialled = passing->dialled;
  edge->dial_port = passing->dial_port;
  char *host = edge->dial_host;
  edge->dial_host = passing->dial_host;
  passing->dial_host = host;
  link->edge = edge;
  chaski_edge_hold(edge);
  passing->link = NULL;
  chaski__edge_drop_report(edge);
  edge->report = passing->report;
  passing->report = NULL;
  chaski__dials_move(passing, edge);
  chaski__edge_end_later(passing, CHASKI_EDUPLICATE, "");
  chaski_edge_release(passing);
  move_pauses(old, link);
  int r = link->terms->resume ? chaski__session_resume(link, old) : chaski__session_start(link);
  if (r == CHASKI_OK && old->state == LINK_PARKED && !old->session) r = chaski__session_move(old, link);
  if (old->state == LINK_PARKED)
    chaski__link_close(old);
  else
    drop_link(old, CHASKI_EDUPLICATE);
  return r;
}

/* The edge goes on over this link. */
static void go_on(chaski_edge *edge, chaski__link *link) {
  chaski_node *node = link->node;
  bool suspended = edge->link->state == LINK_PARKED && edge->link->session;
  uint64_t lost = node->counters.lost;
  int r = adopt(edge, link);
  lost = node->counters.lost - lost;
  if (r != CHASKI_OK) {
    chaski__link_fail(link, r, "the session cannot be resumed");
    return;
  }
  chaski__link_set_live(link);
  if (edge->protocol) chaski__send_subscriptions(node, edge);
  if (suspended && node->events.edge_resumed) node->events.edge_resumed(node->user, edge, lost);
  chaski__dials_confirm(edge);
  if (edge->link == link) chaski__receive_report(link);
}

static void maybe_live(chaski__link *link) {
  if (!link->sent_back || !link->got_back || link->state != LINK_NEW) return;
  chaski_edge *edge = link->edge, *other = live_edge(edge);
  if (!other) other = other_edge(edge);
  if (link->terms->resume && !(other && chaski__session_may_resume(other, link))) {
    chaski__link_fail(link, CHASKI_ELOST, "the session to resume is gone");
    return;
  }
  if (other && other->start != edge->start) {
    replace_restarted(other, edge);
    maybe_live(link);
    return;
  }
  if (other && other->state == EDGE_LIVE) {
    go_on(other, link);
    return;
  }
  int r = chaski__edge_go_live(edge);
  if (r == CHASKI_OK) r = chaski__session_start(link);
  if (r != CHASKI_OK) {
    chaski__link_fail(link, r, "");
    return;
  }
  chaski__link_set_live(link);
  chaski__log(link->node, CHASKI_LOG_INFO, "edge to %s at %s:%u is live", edge->name, edge->ip, edge->port);
  if (edge->protocol) chaski__send_subscriptions(link->node, edge);
  if (edge->forbidden) chaski__send_forbidden(link, CHASKI_RIGHT_SUBSCRIBE, chaski_slice_str(edge->forbidden));
  if (link->node->events.edge_live) link->node->events.edge_live(link->node->user, edge);
  chaski__dials_confirm(edge);
  if (edge->link == link) chaski__receive_report(link);
}

/* --- receiving ---------------------------------------------------------------------------------------------- */
static void broken(chaski__link *link, const char *what) {
  chaski__link_fail(link, CHASKI_EPROTOCOL, what);
}

/* That of most peers is ours too, and need not be kept with each. */
static bool set_agent(chaski_edge *edge, chaski_slice agent) {
  edge->own_agent = chaski_slice_equal(agent, chaski_slice_str(CHASKI_AGENT));
  return edge->own_agent || agent.len > CHASKI_ID_MAX || chaski__set_text(&edge->agent, agent);
}

static bool announce(chaski_edge *edge, const chaski__mp_field *f) {
  chaski_slice id = f[F_ID].present ? f[F_ID].value.bytes : chaski_slice_of(NULL, 0);
  if (id.len > CHASKI_ID_MAX || (id.len && memchr(id.ptr, 0, id.len))) return false;
  if (id.len && !chaski__set_text(&edge->id, id)) return false;
  if (f[F_AGENT].present && !set_agent(edge, f[F_AGENT].value.bytes)) return false;
  if (f[F_START].present) edge->start = f[F_START].value.u;
  if (f[F_PROTOCOL].present) edge->protocol = f[F_PROTOCOL].value.u > 1000 ? 1000 : (int)f[F_PROTOCOL].value.u;
  if (f[F_FRAME_MAX].present) edge->frame_max = f[F_FRAME_MAX].value.u;
  if (f[F_TOPIC_MAX].present) edge->topic_max = f[F_TOPIC_MAX].value.u;
  edge->propagates = f[F_PROPAGATES].present && f[F_PROPAGATES].value.truth;
  edge->root = f[F_ROOT].present && f[F_ROOT].value.truth;
  return true;
}

/* The handshake came from ourselves: fail the dial that sent it too. */
static void fail_self(chaski__link *link, uint64_t number) {
  chaski_edge *e, *dial = NULL;
  DL_FOREACH(link->node->edges, e) {
    chaski__link *l = e->link;
    if (number && l && l != link && l->handshake == number && l->dialled) dial = e;
  }
  if (dial) chaski__link_fail(dial->link, CHASKI_ESELF, "");
  chaski__link_fail(link, CHASKI_ESELF, "");
}

static int reason_of(chaski_slice name) {
#define ROW(id, text, sentence)                                                                                        \
  if (chaski_slice_equal(name, chaski_slice_str(text))) return id;
  CHASKI_ERRORS(ROW)
#undef ROW
  return CHASKI_EGOODBYE;
}

/* Before the link is live: the peer does not want it. */
static void refused(chaski__link *link, const chaski__mp_field *bye) {
  chaski_edge *edge = link->edge, *other = edge->id ? other_edge(edge) : NULL;
  int reason = bye->present && bye->value.type == MP_STR ? reason_of(bye->value.bytes) : CHASKI_EGOODBYE;
  if (reason == CHASKI_EDUPLICATE && other) {
    lose(link, other);
    return;
  }
  chaski__link_fail(link, reason, "the peer ended the handshake");
}

/* The edge's detail is then what the peer gave as its reason: "stopped", say. */
static void goodbye(chaski__link *link, const chaski__mp_field *bye) {
  int why = bye->present && bye->value.type == MP_STR ? reason_of(bye->value.bytes) : CHASKI_EGOODBYE;
  if (link->edge->link == link && why == CHASKI_EDUPLICATE) chaski__session_await(link);
  bool current = link->edge->link == link;
  chaski__session_ack(link);
  link->parting = true;
  chaski__link_leave(link, LINK_LEFT);
  if (current) chaski__edge_end(link->edge, CHASKI_EGOODBYE, why == CHASKI_EGOODBYE ? "" : chaski_error_name(why));
}

/* A dial of ours to resume the session that this connection is to resume; NULL: none is under way. */
static chaski__link *own_attempt(const chaski__link *link) {
  chaski_edge *e;
  DL_FOREACH(link->node->edges, e) {
    const chaski__link *l = e->link;
    if (e->state == EDGE_PENDING && l && l != link && l->terms->offered &&
        memcmp(l->terms->sid, link->terms->sid, sizeof l->terms->sid) == 0)
      return e->link;
  }
  return NULL;
}

/* What we dialled for has been done by a connection from the other side. */
static bool resumed_meanwhile(const chaski__link *link) {
  const chaski_edge *edge = live_edge(link->edge);
  return edge && edge->start == link->edge->start && !chaski_edge_suspended(edge);
}

/* The peer has become live by its own dial while ours was under way. */
static chaski_edge *there_already(const chaski__link *link) {
  const chaski_edge *edge = link->edge;
  chaski_edge *there = chaski_node_get_edge(link->node, edge->dial_host, edge->dial_port);
  if (!there || chaski_edge_suspended(there)) return NULL;
  return !edge->expected || strcmp(edge->expected, chaski_edge_name(there)) == 0 ? there : NULL;
}

static void abandon(chaski__link *link, chaski_edge *for_edge) {
  chaski_edge *edge = link->edge;
  chaski__dials_move(edge, for_edge);
  chaski__link_close(link);
  chaski__edge_end_later(edge, CHASKI_EDUPLICATE, "");
}

int chaski__handshake_start(chaski__link *link) {
  chaski_edge *there = there_already(link);
  if (!there) {
    int r = send_report(link);
    return r == CHASKI_OK ? send_handshake(link, true, NULL) : r;
  }
  chaski__buf report = chaski__edge_take_report(link->edge);
  if (report.len) chaski__send_command(there->link, "report_paired", &report);
  abandon(link, there);
  chaski__dials_confirm(there);
  return CHASKI_OK;
}

/* When both sides dial to resume, what the smaller id has dialled stays. false: this link is not to go on. */
static bool take_session(chaski__link *link, const chaski__mp_field *rs) {
  if (!rs->present || link->dialled || !link->edge->id) return true;
  chaski_edge *old = live_edge(link->edge);
  chaski__session_asked(link, rs->value.raw, old);
  chaski__link *ours = link->terms->resume ? own_attempt(link) : NULL;
  if (!ours) return true;
  bool stays = strcmp(link->node->id, link->edge->id) < 0;
  if (stays)
    lose(link, old);
  else
    abandon(ours, old);
  return !stays;
}

static void receive_new(chaski__link *link, const chaski__mp_field *f, chaski_slice id, bool response,
                        const chaski__mp_field *bye, const chaski__mp_field *rs) {
  uint64_t origin, number;
  const char *mismatch;
  bool ours = chaski_uuid_parse(id, &origin, &number) && origin == link->node->control_origin;
  if (ours || (f[F_ID].present && chaski_slice_equal(f[F_ID].value.bytes, chaski_slice_str(link->node->id)))) {
    fail_self(link, ours ? number : 0);
  } else if (!link->sent_back && !announce(link->edge, f)) {
    broken(link, "handshake: bad id");
  } else if ((mismatch = chaski__peer_mismatch(link, chaski_slice_str(chaski_edge_id(link->edge))))) {
    chaski__link_fail(link, CHASKI_ECERTIFICATE, mismatch);
  } else if (response && (link->dialled || link->sent_back)) {
    refused(link, bye);
  } else if (link->sent_back) {
    link->node->counters.ignored++;
  } else if (link->terms->offered && resumed_meanwhile(link)) {
    lose(link, live_edge(link->edge));
  } else if (take_session(link, rs) && (!link->edge->id || settle(link))) {
    int r = response ? send_handshake(link, false, NULL) : CHASKI_OK;
    if (r == CHASKI_OK) r = send_back(link, id, live_edge(link->edge));
    if (r != CHASKI_OK)
      chaski__link_fail(link, r, "");
    else
      maybe_live(link);
  }
}

static void receive_handshake(chaski__link *link, const chaski_message *m) {
  enum { F_HANDSHAKE_ID = F_COMMON, F_RESPONSE, F_BYE, F_RS, F_ALL };
  chaski__mp_field f[F_ALL] = {
      COMMON_FIELDS, [F_HANDSHAKE_ID] = {.key = "handshake_id", .want = WANT_STR, .required = true},
      [F_RESPONSE] = {.key = "response", .want = WANT_BOOL, .required = true},
      [F_BYE] = {.key = "bye", .want = WANT_ANY}, [F_RS] = {.key = "rs", .want = WANT_ANY}};
  const char *key, *wrong = chaski__mp_fields(m->data, f, F_ALL, &key);
  if (wrong) {
    broken(link, "handshake: bad data");
    chaski__log(link->node, CHASKI_LOG_DEBUG, "handshake: %s (%s)", wrong, key);
  } else if (f[F_HANDSHAKE_ID].value.bytes.len > CHASKI_ID_MAX) {
    broken(link, "handshake: handshake_id is too long");
  } else if (link->state == LINK_NEW) {
    receive_new(link, f, f[F_HANDSHAKE_ID].value.bytes, f[F_RESPONSE].value.truth, &f[F_BYE], &f[F_RS]);
  } else if (link->state == LINK_LIVE && f[F_RESPONSE].value.truth) {
    goodbye(link, &f[F_BYE]);
  } else if (link->state == LINK_LEAVING && link->session && f[F_RESPONSE].value.truth) {
    chaski__session_ack(link); /* both said goodbye */
    link->parting = true;
    chaski__loop_dirty(link);
  } else {
    link->node->counters.ignored++; /* the answer to a goodbye, or a handshake on a live edge */
  }
}

static uint64_t mix(uint64_t hash, chaski_slice raw) { /* FNV-1a */
  for (size_t i = 0; i < raw.len; i++) hash = (hash ^ raw.ptr[i]) * UINT64_C(0x100000001b3);
  return hash;
}

const char *chaski__edge_identify(chaski_edge *edge, const chaski__mp_field *name, const chaski__mp_field *ip,
                                  const chaski__mp_field *port, const chaski__mp_field *subscriptions) {
  char host[CHASKI_HOST_MAX];
  uint16_t remote_port;
  if (name->value.bytes.len > NAME_MAX_PEER || memchr(name->value.bytes.ptr, 0, name->value.bytes.len))
    return "bad name";
  if (ip->value.bytes.len >= CHASKI_HOST_MAX || memchr(ip->value.bytes.ptr, 0, ip->value.bytes.len)) return "bad ip";
  if (port->value.u > 65535) return "bad port";
  uint64_t told = mix(mix(mix(UINT64_C(0xcbf29ce484222325), name->value.raw), ip->value.raw), port->value.raw);
  if (subscriptions->present) told = mix(told, subscriptions->value.raw);
  if (told == edge->told) return NULL;
  edge->told = told;
  if (!chaski__set_text(&edge->name, name->value.bytes) || !chaski__set_text(&edge->ip, ip->value.bytes))
    return "out of memory";
  edge->port = (uint16_t)port->value.u;
  if (chaski_address_is_any(edge->ip) && chaski_edge_remote_address(edge, host, &remote_port) == CHASKI_OK)
    if (!chaski__set_text(&edge->ip, chaski_slice_str(host))) return "out of memory";
  if (!subscriptions->present) return NULL;
  int r = chaski__edge_set_topics(edge, subscriptions->value.raw);
  return r == CHASKI_OK ? NULL : r == CHASKI_ETOOBIG ? "too many subscriptions" : "out of memory";
}

static void receive_back(chaski__link *link, const chaski_message *m) {
  enum { F_HANDSHAKE_ID = F_COMMON, F_NAME, F_IP, F_PORT, F_SUBSCRIPTIONS, F_RS, F_ALL };
  chaski__mp_field f[F_ALL] = {
      COMMON_FIELDS,
      [F_RS] = {.key = "rs", .want = WANT_ANY},
      [F_HANDSHAKE_ID] = {.key = "handshake_id", .want = WANT_STR, .required = true},
      [F_NAME] = {.key = "name", .want = WANT_STR, .required = true},
      [F_IP] = {.key = "ip", .want = WANT_STR, .required = true},
      [F_PORT] = {.key = "port", .want = WANT_UINT, .required = true},
      [F_SUBSCRIPTIONS] = {.key = "subscriptions", .want = WANT_ARRAY_OF_STR, .required = true}};
  uint64_t origin, number;
  const char *key, *wrong = chaski__mp_fields(m->data, f, F_ALL, &key);
  if (wrong) {
    broken(link, "handshake_back: bad data");
    chaski__log(link->node, CHASKI_LOG_DEBUG, "handshake_back: %s (%s)", wrong, key);
    return;
  }
  bool answers = chaski_uuid_parse(f[F_HANDSHAKE_ID].value.bytes, &origin, &number) &&
                 origin == link->node->control_origin && number == link->handshake && link->handshake;
  if (link->state != LINK_NEW || !answers) {
    link->node->counters.ignored++;
    return;
  }
  link->handshake = 0;
  link->got_back = true;
  if (f[F_RS].present) chaski__session_answered(link, f[F_RS].value.raw);
  wrong = chaski__peer_mismatch(link, f[F_NAME].value.bytes);
  if (wrong) {
    chaski__link_fail(link, CHASKI_ECERTIFICATE, wrong);
    return;
  }
  wrong = chaski__edge_identify(link->edge, &f[F_NAME], &f[F_IP], &f[F_PORT], &f[F_SUBSCRIPTIONS]);
  if (wrong)
    broken(link, wrong);
  else if (link->edge->id || settle(link))
    maybe_live(link);
}

void chaski__handshake_receive(chaski__link *link, const chaski_message *m) {
  if (chaski_slice_equal(m->command, chaski_slice_str("handshake")))
    receive_handshake(link, m);
  else
    receive_back(link, m);
}

/* --- subscriptions ------------------------------------------------------------------------------------------ */
static void tell_subscriptions(chaski_node *node, chaski_edge *edge) {
  if (chaski_edge_suspended(edge)) return; /* told when it goes on */
  chaski__buf b = {0};
  uint64_t most = node->limits.data_max;
  if (edge->frame_max && edge->frame_max < most) most = edge->frame_max;
  chaski__mp_put_map(&b, 3);
  uint32_t left_out = put_subscriptions(node, &b, most / 2);
  if (left_out)
    chaski__log(node, CHASKI_LOG_WARN, "%u subscriptions do not fit into a frame: %s does not know of them", left_out,
                chaski_edge_name(edge));
  chaski__mp_put_key(&b, "propagates");
  chaski__mp_put_bool(&b, node->propagation);
  chaski__mp_put_key(&b, "root");
  chaski__mp_put_bool(&b, node->root);
  int r = chaski__send_command(edge->link, "subscriptions", &b);
  if (r == CHASKI_OK) return;
  edge->link->failure = r;
  chaski__loop_dirty(edge->link);
}

void chaski__send_subscriptions(chaski_node *node, chaski_edge *edge) {
  if (edge) {
    tell_subscriptions(node, edge);
    return;
  }
  for (size_t i = 0; i < node->live_count; i++)
    if (node->live[i]->protocol) tell_subscriptions(node, node->live[i]);
}

void chaski__receive_subscriptions(chaski__link *link, const chaski_message *m) {
  enum { F_SUBSCRIPTIONS, F_PROPAGATES_NOW, F_ROOT_NOW, F_ALL };
  chaski__mp_field f[F_ALL] = {
      [F_SUBSCRIPTIONS] = {.key = "subscriptions", .want = WANT_ARRAY_OF_STR, .required = true},
      [F_PROPAGATES_NOW] = {.key = "propagates", .want = WANT_BOOL},
      [F_ROOT_NOW] = {.key = "root", .want = WANT_BOOL}};
  const char *key;
  chaski_edge *edge = link->edge;
  if (link->state != LINK_LIVE) return; /* of an edge that ends, or goes on over another link */
  if (chaski__mp_fields(m->data, f, F_ALL, &key)) {
    broken(link, "subscriptions: bad data");
    return;
  }
  int r = chaski__edge_set_topics(edge, f[F_SUBSCRIPTIONS].value.raw);
  if (r != CHASKI_OK) {
    chaski__link_fail(link, r == CHASKI_ETOOBIG ? CHASKI_EPROTOCOL : r, "subscriptions: too many");
    return;
  }
  if (f[F_PROPAGATES_NOW].present) edge->propagates = f[F_PROPAGATES_NOW].value.truth;
  if (f[F_ROOT_NOW].present) edge->root = f[F_ROOT_NOW].value.truth;
  if (!chaski__edge_update_taker(edge))
    chaski__link_fail(link, CHASKI_ENOMEM, "");
  else if (link->node->events.edge_changed)
    link->node->events.edge_changed(link->node->user, edge);
}
