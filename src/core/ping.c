/* ping.c: ping and pong (PROTOCOL A.4, B.5). We measure on our own monotonic clock, by the ping's id.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#define PINGS_MAX 64   /* under way on one edge */
#define EARLY_FRAMES 4 /* of preauth_max: what may wait for a peer before the handshake is complete */

static void finish(chaski__ping *ping, int status, double rtt_ms) {
  chaski_edge *edge = ping->edge;
  DL_DELETE(edge->pings, ping);
  edge->ping_count--;
  chaski_timer_stop(edge->node->loop, &ping->timer);
  if (ping->done) ping->done(ping->ctx, status, rtt_ms);
  chaski__free(ping);
}

static void on_timeout(chaski_timer *t) {
  finish((chaski__ping *)(void *)((char *)t - offsetof(chaski__ping, timer)), CHASKI_ETIMEOUT, 0);
}

void chaski__pings_end(chaski_edge *edge, int reason) {
  while (edge->pings) finish(edge->pings, reason, 0);
}

void chaski__pings_drop(chaski_edge *edge) {
  chaski__ping *ping;
  DL_FOREACH(edge->pings, ping) ping->done = NULL;
  chaski__pings_end(edge, CHASKI_ECANCELLED);
}

static int send_ping(chaski_edge *edge, chaski__ping *ping, size_t size) {
  chaski__buf b = {0};
  char id[CHASKI_UUID_TEXT];
  chaski__uuid_of_control(edge->node, id, &ping->number);
  chaski__mp_put_map(&b, 4);
  chaski__mp_put_key(&b, "ping_id");
  chaski__mp_put_str(&b, chaski_slice_of(id, sizeof id));
  chaski__mp_put_key(&b, "latency_update");
  chaski__mp_put_bool(&b, ping->latency_update);
  chaski__mp_put_key(&b, "size");
  chaski__mp_put_uint(&b, size);
  chaski__mp_put_key(&b, "dummy_data");
  chaski__mp_put_bin(&b, chaski_slice_of(NULL, 0));
  if (size && !b.failed) { /* the empty bin's two bytes become the real head */
    uint8_t *dummy = chaski__malloc(size);
    b.len -= 2;
    if (dummy)
      edge->link->loop->env.random(edge->link->loop->env.ctx, dummy, size);
    else
      b.failed = true;
    if (dummy) chaski__mp_put_bin(&b, chaski_slice_of(dummy, size));
    chaski__free(dummy);
  }
  return chaski__send_command(edge->link, "ping", &b);
}

int chaski_edge_ping(chaski_edge *edge, size_t size, bool latency_update, uint64_t timeout,
                     void (*done)(void *ctx, int status, double rtt_ms), void *ctx) {
  if (edge->state != EDGE_LIVE) return CHASKI_ENOEDGE;
  chaski_loop *loop = edge->node->loop;
  if (edge->link->state == LINK_PARKED) return CHASKI_ELOST;
  if (size > edge->node->limits.ping_echo_max) return CHASKI_ETOOBIG;
  if (edge->ping_count >= PINGS_MAX) return CHASKI_EFULL;
  chaski__ping *ping = chaski__calloc(1, sizeof *ping);
  if (!ping) return CHASKI_ENOMEM;
  *ping = (chaski__ping){.edge = edge, .latency_update = latency_update, .done = done, .ctx = ctx};
  int r = send_ping(edge, ping, size);
  if (r != CHASKI_OK) {
    chaski__free(ping);
    return r;
  }
  ping->sent = loop->env.now(loop->env.ctx);
  chaski_timer_init(&ping->timer, on_timeout);
  chaski_timer_start(loop, &ping->timer, timeout ? timeout : edge->node->limits.lease);
  DL_APPEND(edge->pings, ping);
  edge->ping_count++;
  return CHASKI_OK;
}

/* --- answering ---------------------------------------------------------------------------------------------- */
enum { F_PING_ID, F_LATENCY_UPDATE, F_DUMMY_DATA, F_NAME, F_IP, F_PORT, F_SUBSCRIPTIONS, F_ALL };

/* Is there room for an answer? A peer may ask much and read nothing; before the handshake it gets little. */
static bool has_room(const chaski__link *link, size_t len) {
  const chaski_limits *l = &link->node->limits;
  uint64_t most = link->state == LINK_NEW ? EARLY_FRAMES * l->preauth_max : l->queue_hard;
  return link->out.bytes + len <= most;
}

/* As many as come in two seconds at the rate may come at once (GCRA, ITU-T I.371: one time stands for the bucket). */
static bool too_many(chaski__link *link) {
  uint64_t now = link->loop->now, from = link->pinged > now ? link->pinged : now;
  if (from - now >= 2 * CHASKI_S) {
    CHASKI__HIT(link->node, ping_rate);
    return true;
  }
  link->pinged = from + CHASKI_S / link->node->limits.ping_rate;
  return false;
}

static void send_pong(chaski__link *link, const chaski__mp_field *f, const chaski_message *m) {
  chaski__buf b = {0};
  bool ours = link->edge->protocol != 0; /* who is told of subscriptions as they change needs no list here */
  chaski_slice dummy = f[F_DUMMY_DATA].value.bytes;
  size_t most = link->node->limits.ping_echo_max;
  if (dummy.len > most) {
    CHASKI__HIT(link->node, ping_echo_max);
    dummy.len = most;
  }
  if (!has_room(link, dummy.len)) {
    link->node->counters.dropped++;
    return;
  }
  chaski__mp_put_map(&b, ours ? 7 : 8);
  chaski__mp_put_key(&b, "source_timestamp");
  if (m->stamp.len)
    chaski__buf_append(&b, m->stamp.ptr, m->stamp.len);
  else
    chaski__mp_put_nil(&b);
  chaski__put_identity(link->node, link, &b, !ours);
  chaski__mp_put_key(&b, "ping_id");
  chaski__mp_put_str(&b, f[F_PING_ID].value.bytes);
  chaski__mp_put_key(&b, "latency_update");
  chaski__mp_put_bool(&b, f[F_LATENCY_UPDATE].value.truth);
  chaski__mp_put_key(&b, "dummy_data");
  chaski__mp_put_bin(&b, dummy);
  int r = chaski__send_command(link, "pong", &b);
  if (r != CHASKI_OK) chaski__link_fail(link, r, "");
}

void chaski__ping_receive(chaski__link *link, const chaski_message *m) {
  chaski__mp_field f[F_ALL] = {[F_PING_ID] = {.key = "ping_id", .want = WANT_STR, .required = true},
                               [F_LATENCY_UPDATE] = {.key = "latency_update", .want = WANT_BOOL},
                               [F_DUMMY_DATA] = {.key = "dummy_data", .want = WANT_BIN}};
  const char *key;
  if (chaski__mp_fields(m->data, f, F_DUMMY_DATA + 1, &key) || f[F_PING_ID].value.bytes.len > CHASKI_ID_MAX)
    chaski__link_fail(link, CHASKI_EPROTOCOL, "ping: bad data");
  else if ((link->state == LINK_NEW || link->state == LINK_LIVE) && !too_many(link))
    send_pong(link, f, m);
}

static chaski__ping *ping_of(chaski_edge *edge, chaski_slice id) {
  uint64_t origin, number;
  chaski__ping *ping;
  if (!chaski_uuid_parse(id, &origin, &number) || origin != edge->node->control_origin) return NULL;
  DL_FOREACH(edge->pings, ping) if (ping->number == number) return ping;
  return NULL;
}

/* A Python peer tells of changed subscriptions by its pongs only. */
static const char *update_identity(chaski__link *link, const chaski__mp_field *f) {
  if (link->edge->protocol || link->state != LINK_LIVE || !f[F_NAME].present || !f[F_IP].present || !f[F_PORT].present)
    return NULL;
  return chaski__edge_identify(link->edge, &f[F_NAME], &f[F_IP], &f[F_PORT], &f[F_SUBSCRIPTIONS]);
}

void chaski__pong_receive(chaski__link *link, const chaski_message *m) {
  chaski__mp_field f[F_ALL] = {[F_PING_ID] = {.key = "ping_id", .want = WANT_STR, .required = true},
                               [F_LATENCY_UPDATE] = {.key = "latency_update", .want = WANT_BOOL},
                               [F_DUMMY_DATA] = {.key = "dummy_data", .want = WANT_BIN},
                               [F_NAME] = {.key = "name", .want = WANT_STR},
                               [F_IP] = {.key = "ip", .want = WANT_STR},
                               [F_PORT] = {.key = "port", .want = WANT_UINT},
                               [F_SUBSCRIPTIONS] = {.key = "subscriptions", .want = WANT_ARRAY_OF_STR}};
  const char *key;
  chaski_edge *edge = link->edge;
  if (chaski__mp_fields(m->data, f, F_ALL, &key)) {
    chaski__link_fail(link, CHASKI_EPROTOCOL, "pong: bad data");
    return;
  }
  chaski__ping *ping = ping_of(edge, f[F_PING_ID].value.bytes);
  if (!ping) {
    link->node->counters.ignored++;
    return;
  }
  uint64_t told = edge->told;
  const char *wrong = update_identity(link, f);
  if (wrong) {
    chaski__link_fail(link, CHASKI_EPROTOCOL, wrong);
    return;
  }
  double rtt_ms = (double)(link->loop->now - ping->sent) / 1e6;
  if (link->loop->now < ping->sent) rtt_ms = 0;
  if (ping->latency_update) chaski_latency_sample(&edge->latency, rtt_ms);
  finish(ping, CHASKI_OK, rtt_ms);
  if (edge->link == link && link->state == LINK_LIVE) {
    link->confirmed = true; /* the peer has read what we sent before the ping: the end of the handshake */
    chaski__dials_confirm(edge);
  }
  bool changed = edge->told != told && edge->state == EDGE_LIVE;
  if (changed && link->node->events.edge_changed) link->node->events.edge_changed(link->node->user, edge);
}
