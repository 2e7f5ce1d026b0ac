/* sim.c: the simulated environment: its life, clock, random numbers, log, and the faults of streams.
 * SPDX-License-Identifier: MIT */
#include "sim_internal.h"

#include "../core/alloc.h"

#include <stdio.h>
#include <stdlib.h>

#define SECOND UINT64_C(1000000000)
#define TURN UINT64_C(1000)            /* ns until an alarm that is overdue again: time must not stand still */
#define WALL_START INT64_C(1700000000) /* a round number of seconds since 1970 */

/* splitmix64 (Steele, Lea, Flood 2014): one word of state, full period, good enough to decide fates. */
uint64_t chaski__sim_random(uint64_t *state) {
  uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

void chaski__sim_demand(bool kept, const char *rule) {
  if (kept) return;
  fprintf(stderr, "chaski_sim: broken rule: %s\n", rule);
  abort();
}

static void trace(chaski_sim *sim, uint64_t word) {
  sim->trace ^= word;
  sim->trace = chaski__sim_random(&sim->trace);
}

void chaski__sim_trace_bytes(chaski_sim *sim, const uint8_t *bytes, size_t len) {
  for (; len > 0;) {
    uint64_t word = 0;
    size_t n = len < sizeof word ? len : sizeof word;
    memcpy(&word, bytes, n);
    trace(sim, word);
    bytes += n;
    len -= n;
  }
}

void chaski__sim_enter(chaski_sim *sim, sim_host *host, char kind, uint64_t id, int64_t value) {
  sim->acting = host;
  sim->ran = true;
  trace(sim, sim->now);
  trace(sim, (id << 8) | (uint8_t)kind);
  trace(sim, (uint64_t)value);
  chaski__sim_trace_bytes(sim, (const uint8_t *)host->ip, strlen(host->ip));
}

/* --- the environment --- */

static uint64_t env_now(void *ctx) {
  return ((chaski_sim *)ctx)->now;
}

static void env_wall(void *ctx, int64_t *sec, uint32_t *nsec) {
  const chaski_sim *sim = ctx;
  *sec = WALL_START + sim->wall_offset + (int64_t)(sim->now / SECOND);
  *nsec = (uint32_t)(sim->now % SECOND);
}

static void env_random(void *ctx, void *bytes, size_t len) {
  chaski_sim *sim = ctx;
  uint8_t *to = bytes;
  while (len > 0) {
    uint64_t word = chaski__sim_random(&sim->env_random);
    size_t n = len < sizeof word ? len : sizeof word;
    for (size_t i = 0; i < n; i++) to[i] = (uint8_t)(word >> (8 * i));
    to += n;
    len -= n;
  }
}

static void env_alarm(void *ctx, uint64_t due) {
  chaski_sim *sim = ctx;
  chaski__sim_cancel(sim, &sim->alarm);
  if (due == UINT64_MAX) return;
  if (due <= sim->now) due = sim->expired_at == sim->now ? sim->now + TURN : sim->now;
  chaski__sim_schedule(sim, &sim->alarm, due);
}

static void alarm_due(void *owner) {
  chaski_sim *sim = owner;
  sim->expired_at = sim->now;
  chaski__sim_enter(sim, sim->acting, 'a', 0, 0);
  if (sim->expire) sim->expire(sim->hook_user);
}

static void env_log(void *ctx, enum chaski_log_level level, const char *who, const char *line) {
  chaski_sim *sim = ctx;
  if (sim->log && level <= sim->level) sim->log(sim->log_user, level, who, line);
}

static enum chaski_log_level env_log_level(void *ctx) {
  return ((chaski_sim *)ctx)->level;
}

static const chaski_transport transport = {
    .name = "sim",
    .connect = chaski__sim_connect,
    .open = chaski__sim_stream_open,
    .write = chaski__sim_stream_write,
    .shutdown = chaski__sim_stream_shutdown,
    .pause = chaski__sim_stream_pause,
    .resume = chaski__sim_stream_resume,
    .close = chaski__sim_stream_close,
    .queued = chaski__sim_stream_queued,
    .peer_address = chaski__sim_peer_address,
    .local_address = chaski__sim_local_address,
    .listen = chaski__sim_listen,
    .listener_port = chaski__sim_listener_port,
    .listener_close = chaski__sim_listener_close,
    .udp_open = chaski__sim_udp_open,
    .udp_port = chaski__sim_udp_port,
    .udp_send = chaski__sim_udp_send,
    .udp_close = chaski__sim_udp_close,
};

/* --- life --- */

chaski_sim *chaski_sim_new(uint64_t seed) {
  chaski_sim *sim = chaski__calloc(1, sizeof *sim);
  if (!sim) return NULL;
  sim->env = (chaski_env){sim, env_now, env_wall, env_random, env_alarm, env_log, env_log_level, &transport};
  sim->now = SECOND;
  sim->links_random = chaski__sim_random(&seed);
  sim->env_random = chaski__sim_random(&seed);
  sim->common = (sim_pair){.has_link = true, .link = {.delay_ns = CHASKI_SIM_DELAY}};
  chaski__sim_event_init(&sim->alarm, alarm_due, sim);
  if (chaski_sim_act_as(sim, "127.0.0.1") || chaski_sim_name(sim, "localhost", "127.0.0.1")) chaski_sim_destroy(&sim);
  return sim;
}

void chaski_sim_destroy(chaski_sim **sim) {
  chaski_sim *s = *sim;
  if (!s) return;
  while (s->first) chaski__sim_stream_free(s->first);
  while (s->datagrams) chaski__sim_datagram_free(s->datagrams);
  chaski__sim_hosts_free(s);
  chaski__free(s);
  *sim = NULL;
}

const chaski_env *chaski_sim_env(chaski_sim *sim) {
  return &sim->env;
}

void chaski_sim_hooks(chaski_sim *sim, void (*expire)(void *), void (*flush)(void *), void *user) {
  sim->expire = expire;
  sim->flush = flush;
  sim->hook_user = user;
}

void chaski_sim_log(chaski_sim *sim, enum chaski_log_level level,
                    void (*log)(void *, enum chaski_log_level, const char *, const char *), void *user) {
  sim->level = level;
  sim->log = log;
  sim->log_user = user;
}

uint64_t chaski_sim_now(const chaski_sim *sim) {
  return sim->now;
}

uint64_t chaski_sim_next(const chaski_sim *sim) {
  return sim->heap ? sim->heap->due : UINT64_MAX;
}

void chaski_sim_wall_jump(chaski_sim *sim, int64_t seconds) {
  sim->wall_offset += seconds;
}

size_t chaski_sim_handles(const chaski_sim *sim) {
  return sim->handles;
}

uint64_t chaski_sim_trace(const chaski_sim *sim) {
  return sim->trace;
}

/* --- faults of streams --- */

void chaski_sim_cut(chaski_sim *sim, chaski_stream *stream) {
  chaski__sim_demand(stream->sim == sim, "the stream is one of this simulation");
  if (stream->closing || stream->dead) return;
  if (stream->peer) chaski__sim_stream_die(stream->peer, CHASKI_ERESET, true);
  chaski__sim_stream_die(stream, CHASKI_ERESET, true);
}

void chaski_sim_cut_after(chaski_sim *sim, chaski_stream *stream, uint64_t bytes) {
  stream->cutting = bytes > 0;
  stream->cut_left = bytes;
  if (bytes == 0) chaski_sim_cut(sim, stream);
}

size_t chaski_sim_streams(chaski_sim *sim, void (*each)(void *, chaski_stream *), void *arg) {
  size_t n = 0;
  for (chaski_stream *s = sim->first; s; s = s->next) {
    if (s->closing || s->dead || s->state == SIM_FAILED) continue;
    if (each) each(arg, s);
    n++;
  }
  return n;
}
