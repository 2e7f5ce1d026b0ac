/* sim_udp.c: simulated datagrams: each one an event of its own, lost or late as its link decides.
 * SPDX-License-Identifier: MIT */
#include "sim_internal.h"

#include "../core/address.h"
#include "../core/alloc.h"

#define DATAGRAM_MAX 65507 /* UDP over IPv4: 65535 less 20 and 8 bytes of headers */

static chaski_udp *socket_at(const sim_host *host, uint16_t port) {
  chaski_udp *u = host->sockets;
  while (u && (u->closing || u->port != port)) u = u->next;
  return u;
}

static uint16_t free_port(sim_host *host) {
  for (unsigned tries = SIM_FIRST_PORT; tries <= UINT16_MAX; tries++) {
    uint16_t port = host->next_port;
    host->next_port = port == UINT16_MAX ? SIM_FIRST_PORT : (uint16_t)(port + 1);
    if (!socket_at(host, port)) return port;
  }
  return 0;
}

/* --- datagrams under way --- */

static void link_datagram(sim_datagram *d) {
  d->next = d->sim->datagrams;
  if (d->next) d->next->prev = d;
  d->sim->datagrams = d;
}

void chaski__sim_datagram_free(sim_datagram *d) {
  chaski__sim_cancel(d->sim, &d->arrive);
  if (d->sender) d->sender->in_flight -= d->len;
  if (d->prev)
    d->prev->next = d->next;
  else
    d->sim->datagrams = d->next;
  if (d->next) d->next->prev = d->prev;
  chaski__free(d);
}

static void arrives(void *owner) {
  sim_datagram *d = owner;
  bool lost = chaski__sim_blackholed(d->from, d->to);
  if (!lost && chaski__sim_blocked(d->from, d->to)) {
    chaski__sim_hold(d->sim, &d->arrive);
    return;
  }
  chaski_udp *u = lost ? NULL : socket_at(d->to, d->to_port);
  if (u) {
    chaski__sim_enter(d->sim, d->to, 'u', u->id, (int64_t)d->len);
    chaski__sim_trace_bytes(d->sim, d->bytes, d->len);
    u->events->datagram(u->user, d->from->ip, d->from_port, d->bytes, d->len);
  }
  chaski__sim_datagram_free(d);
}

static bool is_lost(chaski_sim *sim, const chaski_sim_link *link) {
  if (link->udp_loss <= 0) return false;
  return (double)(chaski__sim_random(&sim->links_random) >> 11) * 0x1p-53 < link->udp_loss;
}

static int send_datagram(chaski_udp *u, sim_host *to, uint16_t port, const uint8_t *bytes, size_t len) {
  const chaski_sim_link *link = chaski__sim_link(u->sim, u->host, to);
  if (u->in_flight + len > chaski__sim_window(link)) return CHASKI_EFULL;
  if (is_lost(u->sim, link)) return CHASKI_OK;
  sim_datagram *d = chaski__calloc(1, sizeof *d + len);
  if (!d) return CHASKI_ENOMEM;
  *d = (sim_datagram){.sim = u->sim, .sender = u, .from = u->host, .to = to, .from_port = u->port, .to_port = port};
  d->len = len;
  memcpy(d->bytes, bytes, len);
  u->in_flight += len;
  link_datagram(d);
  chaski__sim_event_init(&d->arrive, arrives, d);
  chaski__sim_schedule(u->sim, &d->arrive, u->sim->now + chaski__sim_delay(u->sim, link));
  return CHASKI_OK;
}

int chaski__sim_udp_send(chaski_udp *u, const char *ip, uint16_t port, const uint8_t *bytes, size_t len) {
  chaski__sim_demand(!u->closing, "no udp_send() after udp_close()");
  sim_host *to;
  int rc = ip && chaski_address_is_any(ip) ? CHASKI_OK : chaski__sim_host(u->sim, ip, &to);
  if (ip && chaski_address_is_any(ip)) to = u->host;
  if (rc) return rc;
  if (port == 0) return CHASKI_EADDRESS;
  if (len > DATAGRAM_MAX) return CHASKI_ETOOBIG;
  return len ? send_datagram(u, to, port, bytes, len) : CHASKI_OK; /* an empty one would be dropped there */
}

/* --- sockets --- */

static void udp_free(chaski_udp *u) {
  chaski_udp **at = &u->host->sockets;
  while (*at != u) at = &(*at)->next;
  *at = u->next;
  u->sim->handles--;
  chaski__free(u);
}

static void udp_closed(void *owner) {
  chaski_udp *u = owner;
  const chaski_udp_events *events = u->events;
  void *user = u->user;
  chaski__sim_enter(u->sim, u->host, 'v', u->id, 0);
  udp_free(u);
  events->closed(user);
}

int chaski__sim_udp_open(void *ctx, const char *ip, uint16_t port, const chaski_udp_events *events, void *user,
                         chaski_udp **out) {
  chaski_sim *sim = ctx;
  sim_host *host;
  int rc = chaski__sim_host_or_self(sim, ip, &host);
  if (rc) return rc;
  if (host->no_files) return CHASKI_EFILES;
  if (port ? socket_at(host, port) != NULL : !(port = free_port(host))) return CHASKI_EINUSE;
  chaski_udp *u = chaski__calloc(1, sizeof *u);
  if (!u) return CHASKI_ENOMEM;
  *u = (chaski_udp){.sim = sim, .host = host, .port = port, .events = events, .user = user};
  u->id = sim->next_id++;
  chaski__sim_event_init(&u->closed, udp_closed, u);
  u->next = host->sockets;
  host->sockets = *out = u;
  sim->handles++;
  return CHASKI_OK;
}

uint16_t chaski__sim_udp_port(const chaski_udp *u) {
  return u->port;
}

void chaski__sim_udp_close(chaski_udp *u) {
  chaski__sim_demand(!u->closing, "a datagram socket is closed once");
  u->closing = true;
  for (sim_datagram *d = u->sim->datagrams; d; d = d->next) {
    if (d->sender == u) d->sender = NULL;
  }
  chaski__sim_schedule(u->sim, &u->closed, u->sim->now);
}
