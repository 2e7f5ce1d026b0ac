/* sim_dial.c: dials, and the listeners that answer them. Knows nothing of the bytes that follow.
 * SPDX-License-Identifier: MIT */
#include "sim_internal.h"

#include "../core/alloc.h"

#define ACCEPT_BACKOFF UINT64_C(500000000) /* ns; env.h allows a second */

static chaski_listener *listener_at(const sim_host *host, uint16_t port) {
  chaski_listener *l = host->listeners;
  while (l && (l->closing || l->port != port)) l = l->next;
  return l;
}

/* The next ephemeral port that no listener has; 0: there is none. */
static uint16_t free_port(sim_host *host) {
  for (unsigned tries = SIM_FIRST_PORT; tries <= UINT16_MAX; tries++) {
    uint16_t port = host->next_port;
    host->next_port = port == UINT16_MAX ? SIM_FIRST_PORT : (uint16_t)(port + 1);
    if (!listener_at(host, port)) return port;
  }
  return 0;
}

/* --- dialling --- */

int chaski__sim_connect(void *ctx, const char *name, uint16_t port, const chaski_stream_events *events, void *user,
                        chaski_stream **out) {
  chaski_sim *sim = ctx;
  sim_host *self = sim->acting, *remote = NULL;
  int rc = chaski__sim_resolve(sim, name, &remote);
  if (port == 0) return CHASKI_EADDRESS;
  if (rc && rc != CHASKI_ERESOLVE) return rc;
  if (self->no_files) return CHASKI_EFILES;
  chaski_stream *s = chaski__sim_stream_new(sim, self, remote);
  if (!s) return CHASKI_ENOMEM;
  s->events = events;
  s->user = user;
  s->port = free_port(self);
  s->remote_port = port;
  s->state = rc ? SIM_ANSWERED : SIM_DIALLING;
  s->status = rc;
  chaski__sim_schedule(sim, &s->in, sim->now + chaski__sim_delay(sim, chaski__sim_link(sim, self, remote)));
  *out = s;
  return CHASKI_OK;
}

static void answer(chaski_stream *s, int status) {
  const chaski_sim_link *link = chaski__sim_link(s->sim, s->remote, s->host);
  s->state = SIM_ANSWERED;
  s->status = status;
  s->last_at = s->sim->now + chaski__sim_delay(s->sim, link);
  chaski__sim_schedule(s->sim, &s->in, s->last_at);
}

/* The dial waits in the backlog; the listener is told once per back-off. */
static void cannot_accept(chaski_stream *s, chaski_listener *l, int status) {
  chaski_sim *sim = s->sim;
  bool told = l->retry_at > sim->now;
  if (!told) l->retry_at = sim->now + ACCEPT_BACKOFF;
  chaski__sim_schedule(sim, &s->in, l->retry_at);
  if (told) return;
  chaski__sim_enter(sim, l->host, 'x', l->id, status);
  l->events->error(l->user, status);
}

static void accept_dial(chaski_stream *s, chaski_listener *l) {
  bool backing_off = l->retry_at > s->sim->now;
  chaski_stream *accepted = NULL;
  if (!backing_off && !l->host->no_files) accepted = chaski__sim_stream_new(s->sim, s->remote, s->host);
  if (!accepted) {
    cannot_accept(s, l, l->host->no_files ? CHASKI_EFILES : CHASKI_ENOMEM);
    return;
  }
  accepted->state = SIM_OPEN;
  accepted->port = s->remote_port;
  accepted->remote_port = s->port;
  accepted->peer = s;
  accepted->last_at = s->sim->now;
  s->peer = accepted;
  answer(s, CHASKI_OK);
  chaski__sim_enter(s->sim, l->host, 'l', l->id, (int64_t)accepted->id);
  l->events->accept(l->user, accepted);
  chaski__sim_demand(accepted->events || accepted->closing, "accept opens or closes the stream before it returns");
}

void chaski__sim_knock(chaski_stream *s) {
  chaski_listener *l = listener_at(s->remote, s->remote_port);
  if (chaski__sim_blocked(s->host, s->remote))
    chaski__sim_hold(s->sim, &s->in);
  else if (!l || s->remote->refusing)
    answer(s, CHASKI_EREFUSED);
  else
    accept_dial(s, l);
}

void chaski__sim_answered(chaski_stream *s) {
  bool waits = s->remote && !s->dead ? chaski__sim_blocked(s->host, s->remote) : s->host->stalled;
  if (waits) {
    chaski__sim_hold(s->sim, &s->in);
    return;
  }
  s->state = s->status ? SIM_FAILED : SIM_OPEN;
  chaski__sim_stream_arm(s);
  chaski__sim_enter(s->sim, s->host, 'o', s->id, s->status);
  s->events->connected(s->user, s->status);
}

/* --- listening --- */

static void listener_free(chaski_listener *l) {
  chaski_listener **at = &l->host->listeners;
  while (*at != l) at = &(*at)->next;
  *at = l->next;
  l->sim->handles--;
  chaski__free(l);
}

static void listener_closed(void *owner) {
  chaski_listener *l = owner;
  const chaski_listener_events *events = l->events;
  void *user = l->user;
  chaski__sim_enter(l->sim, l->host, 'k', l->id, 0);
  listener_free(l);
  events->closed(user);
}

int chaski__sim_listen(void *ctx, const char *ip, uint16_t port, const chaski_listener_events *events, void *user,
                       chaski_listener **out) {
  chaski_sim *sim = ctx;
  sim_host *host;
  int rc = chaski__sim_host_or_self(sim, ip, &host);
  if (rc) return rc;
  if (host->no_files) return CHASKI_EFILES;
  if (port ? listener_at(host, port) != NULL : !(port = free_port(host))) return CHASKI_EINUSE;
  chaski_listener *l = chaski__calloc(1, sizeof *l);
  if (!l) return CHASKI_ENOMEM;
  *l = (chaski_listener){.sim = sim, .host = host, .port = port, .events = events, .user = user};
  l->id = sim->next_id++;
  chaski__sim_event_init(&l->closed, listener_closed, l);
  l->next = host->listeners;
  host->listeners = *out = l;
  sim->handles++;
  return CHASKI_OK;
}

uint16_t chaski__sim_listener_port(const chaski_listener *l) {
  return l->port;
}

void chaski__sim_listener_close(chaski_listener *l) {
  chaski__sim_demand(!l->closing, "a listener is closed once");
  l->closing = true;
  chaski__sim_schedule(l->sim, &l->closed, l->sim->now);
}
