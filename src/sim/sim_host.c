/* sim_host.c: hosts of the simulated world, their names, the conditions of the paths between them, and faults of hosts
 * and paths. Knows nothing of what travels on them.
 * SPDX-License-Identifier: MIT */
#include "sim_internal.h"

#include "../core/address.h"
#include "../core/alloc.h"

static size_t bucket_of(const char *ip) { /* FNV-1a */
  uint32_t h = UINT32_C(2166136261);
  for (; *ip; ip++) h = (h ^ (uint8_t)*ip) * UINT32_C(16777619);
  return h % SIM_BUCKETS;
}

static int make_host(chaski_sim *sim, const char *ip, sim_host **out) {
  if (!chaski_address_is_numeric(ip)) return CHASKI_EADDRESS;
  size_t len = strlen(ip), bucket = bucket_of(ip);
  sim_host *host = chaski__calloc(1, sizeof *host + len + 1);
  if (!host) return CHASKI_ENOMEM;
  memcpy(host->ip, ip, len);
  host->next_port = SIM_FIRST_PORT;
  host->next = sim->hosts[bucket];
  sim->hosts[bucket] = *out = host;
  return CHASKI_OK;
}

int chaski__sim_host(chaski_sim *sim, const char *ip, sim_host **out) {
  if (!ip || strlen(ip) >= CHASKI_HOST_MAX) return CHASKI_EADDRESS;
  for (sim_host *host = sim->hosts[bucket_of(ip)]; host; host = host->next) {
    if (strcmp(host->ip, ip) != 0) continue;
    *out = host;
    return CHASKI_OK;
  }
  return make_host(sim, ip, out);
}

int chaski__sim_host_or_self(chaski_sim *sim, const char *ip, sim_host **out) {
  if (!ip || !chaski_address_is_any(ip)) return chaski__sim_host(sim, ip, out);
  *out = sim->acting;
  return CHASKI_OK;
}

int chaski__sim_resolve(chaski_sim *sim, const char *text, sim_host **out) {
  if (!text || !*text || strlen(text) >= CHASKI_HOST_MAX) return CHASKI_EADDRESS;
  if (chaski_address_is_numeric(text)) return chaski__sim_host_or_self(sim, text, out);
  for (const sim_name *n = sim->names; n; n = n->next) {
    if (!n->host || strcmp(n->name, text) != 0) continue;
    *out = n->host;
    return CHASKI_OK;
  }
  return CHASKI_ERESOLVE;
}

static void host_free(sim_host *host) {
  for (sim_pair *p = host->pairs, *next; p; p = next) {
    next = p->next;
    chaski__free(p);
  }
  for (chaski_listener *l = host->listeners, *next; l; l = next) {
    next = l->next;
    chaski__free(l);
  }
  for (chaski_udp *u = host->sockets, *next; u; u = next) {
    next = u->next;
    chaski__free(u);
  }
  chaski__free(host);
}

void chaski__sim_hosts_free(chaski_sim *sim) {
  for (size_t i = 0; i < SIM_BUCKETS; i++) {
    for (sim_host *host = sim->hosts[i], *next; host; host = next) {
      next = host->next;
      host_free(host);
    }
  }
  for (sim_name *n = sim->names, *next; n; n = next) {
    next = n->next;
    chaski__free(n);
  }
}

int chaski_sim_act_as(chaski_sim *sim, const char *ip) {
  return chaski__sim_host(sim, ip, &sim->acting);
}

int chaski_sim_name(chaski_sim *sim, const char *name, const char *ip) {
  sim_host *host = NULL;
  int rc = ip ? chaski__sim_host(sim, ip, &host) : CHASKI_OK;
  if (rc) return rc;
  sim_name *n = sim->names;
  while (n && strcmp(n->name, name) != 0) n = n->next;
  if (!n) {
    size_t len = strlen(name);
    n = chaski__calloc(1, sizeof *n + len + 1);
    if (!n) return CHASKI_ENOMEM;
    memcpy(n->name, name, len);
    n->next = sim->names;
    sim->names = n;
  }
  n->host = host;
  return CHASKI_OK;
}

/* --- paths --- */

static sim_pair *pair_at(const sim_host *host, const sim_host *other) {
  sim_pair *p = host->pairs;
  while (p && p->other != other) p = p->next;
  return p;
}

static sim_pair *pair_between(const sim_host *a, const sim_host *b) {
  sim_pair *p = pair_at(a, b);
  return p ? p : pair_at(b, a);
}

static int make_pair(sim_host *host, sim_host *other, sim_pair **out) {
  sim_pair *p = *out = other ? pair_between(host, other) : pair_at(host, NULL);
  if (p) return CHASKI_OK;
  p = chaski__calloc(1, sizeof *p);
  if (!p) return CHASKI_ENOMEM;
  p->other = other;
  p->next = host->pairs;
  host->pairs = *out = p;
  return CHASKI_OK;
}

/* The record for two addresses, of which one or both may be NULL. */
static int pair_for(chaski_sim *sim, const char *ip_a, const char *ip_b, sim_pair **out) {
  sim_host *a = NULL, *b = NULL;
  *out = &sim->common;
  int rc = ip_a ? chaski__sim_host(sim, ip_a, &a) : CHASKI_OK;
  if (!rc && ip_b) rc = chaski__sim_host(sim, ip_b, &b);
  if (rc || (!a && !b)) return rc;
  return a ? make_pair(a, b, out) : make_pair(b, NULL, out);
}

int chaski_sim_set_link(chaski_sim *sim, const char *ip_a, const char *ip_b, const chaski_sim_link *link) {
  sim_pair *p;
  int rc = pair_for(sim, ip_a, ip_b, &p);
  if (rc) return rc;
  p->link = *link;
  p->has_link = true;
  return CHASKI_OK;
}

const chaski_sim_link *chaski__sim_link(const chaski_sim *sim, const sim_host *from, const sim_host *to) {
  if (!from || !to) return &sim->common.link;
  const sim_pair *known[] = {pair_between(from, to), pair_at(from, NULL), pair_at(to, NULL), &sim->common};
  for (size_t i = 0;; i++) {
    if (known[i] && known[i]->has_link) return &known[i]->link;
  }
}

size_t chaski__sim_window(const chaski_sim_link *link) {
  return link->window ? link->window : CHASKI_SIM_WINDOW;
}

uint64_t chaski__sim_delay(chaski_sim *sim, const chaski_sim_link *link) {
  uint64_t more = link->jitter_ns ? chaski__sim_random(&sim->links_random) % (link->jitter_ns + 1) : 0;
  return link->delay_ns + more;
}

bool chaski__sim_blackholed(const sim_host *a, const sim_host *b) {
  const sim_pair *known[] = {pair_between(a, b), pair_at(a, NULL), pair_at(b, NULL)};
  for (size_t i = 0; i < 3; i++) {
    if (known[i] && known[i]->blackhole) return true;
  }
  return false;
}

bool chaski__sim_blocked(const sim_host *a, const sim_host *b) {
  return a->stalled || b->stalled || chaski__sim_blackholed(a, b);
}

/* --- faults of hosts and paths --- */

int chaski_sim_stall(chaski_sim *sim, const char *ip, bool on) {
  sim_host *host;
  int rc = chaski__sim_host(sim, ip, &host);
  if (rc) return rc;
  host->stalled = on;
  if (!on) chaski__sim_release(sim);
  return CHASKI_OK;
}

int chaski_sim_blackhole(chaski_sim *sim, const char *ip_a, const char *ip_b, bool on) {
  sim_pair *p;
  if (!ip_a && !ip_b) return CHASKI_EADDRESS;
  int rc = pair_for(sim, ip_a, ip_b, &p);
  if (rc) return rc;
  p->blackhole = on;
  if (!on) chaski__sim_release(sim);
  return CHASKI_OK;
}

int chaski_sim_refuse(chaski_sim *sim, const char *ip, bool on) {
  sim_host *host;
  int rc = chaski__sim_host(sim, ip, &host);
  if (!rc) host->refusing = on;
  return rc;
}

int chaski_sim_files(chaski_sim *sim, const char *ip, bool exhausted) {
  sim_host *host;
  int rc = chaski__sim_host(sim, ip, &host);
  if (!rc) host->no_files = exhausted;
  return rc;
}
