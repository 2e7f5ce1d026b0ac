/* sim_rig.h: a small world for the tests of the simulation: a server on 10.0.0.1, a client on 10.0.0.2, and ends that
 * record what happens to them and when.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_SPEC_SIM_RIG_H
#define CHASKI_SPEC_SIM_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/core/alloc.h"
#include "../../src/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)
#define SERVER "10.0.0.1"
#define CLIENT "10.0.0.2"
#define ENDS 16

struct end {
  chaski_stream *stream;
  int connected, status, ended, end_status, written, written_status, closed;
  uint64_t connected_at, data_at, ended_at;
  size_t received, calls, largest;
  bool borrowed;
};

struct world {
  chaski_sim *sim;
  const chaski_env *env;
  const chaski_transport *t;
  chaski_listener *listener;
  uint16_t port;
  struct end client, servers[ENDS];
  size_t accepted;
  uint64_t accepted_at;
  bool pause_accepted;
  int errors, error_status;
  struct end *at; /* what conditions look at */
  size_t target;
  size_t datagrams, datagram_bytes;
};

static struct world *world; /* upcalls of streams read its clock */

static inline void rig_connected(void *user, int status) {
  struct end *e = user;
  e->connected++;
  e->status = status;
  e->connected_at = chaski_sim_now(world->sim);
}

static inline void rig_data(void *user, const uint8_t *bytes, size_t len) {
  struct end *e = user;
  for (size_t i = 0; i < len; i++) assert_int_equal(bytes[i], (uint8_t)(e->received + i));
  e->received += len;
  e->calls++;
  if (len > e->largest) e->largest = len;
  e->data_at = chaski_sim_now(world->sim);
}

static inline void rig_ended(void *user, int status) {
  struct end *e = user;
  assert_false(status && e->borrowed); /* `written` comes first */
  e->ended++;
  e->end_status = status;
  e->ended_at = chaski_sim_now(world->sim);
}

static inline void rig_written(void *user, int status) {
  struct end *e = user;
  assert_true(e->borrowed);
  e->borrowed = false;
  e->written++;
  e->written_status = status;
}

static inline void rig_closed(void *user) {
  struct end *e = user;
  e->closed++;
  e->stream = NULL;
}

static const chaski_stream_events rig_stream_events = {rig_connected, rig_data, rig_ended, rig_written, rig_closed};

static inline void rig_accept(void *user, chaski_stream *stream) {
  struct world *w = user;
  assert_true(w->accepted < ENDS);
  struct end *e = &w->servers[w->accepted++];
  e->stream = stream;
  w->accepted_at = chaski_sim_now(w->sim);
  w->t->open(stream, &rig_stream_events, e);
  if (w->pause_accepted) w->t->pause(stream);
}

static inline void rig_accept_error(void *user, int status) {
  struct world *w = user;
  w->errors++;
  w->error_status = status;
}

static inline void rig_listener_closed(void *user) {
  ((struct world *)user)->listener = NULL;
}

static const chaski_listener_events rig_listener_events = {rig_accept, rig_accept_error, rig_listener_closed};

static inline int setup(void **state) {
  struct world *w = world = calloc(1, sizeof *w);
  if (!w) return -1;
  w->sim = chaski_sim_new(42);
  if (!w->sim) return -1;
  w->env = chaski_sim_env(w->sim);
  w->t = w->env->transport;
  *state = w;
  return chaski_sim_act_as(w->sim, CLIENT);
}

static inline int teardown(void **state) {
  struct world *w = *state;
  chaski_sim_destroy(&w->sim);
  free(w);
  return chaski_alloc_blocks() == 0 ? 0 : -1;
}

static inline void set_link(struct world *w, chaski_sim_link link) {
  assert_int_equal(chaski_sim_set_link(w->sim, NULL, NULL, &link), CHASKI_OK);
}

static inline void listen_at(struct world *w, const char *ip) {
  assert_int_equal(w->t->listen(w->sim, ip, 0, &rig_listener_events, w, &w->listener), CHASKI_OK);
  w->port = w->t->listener_port(w->listener);
}

static inline void dial(struct world *w, const char *host, uint16_t port) {
  w->client = (struct end){0};
  assert_int_equal(w->t->connect(w->sim, host, port, &rig_stream_events, &w->client, &w->client.stream), CHASKI_OK);
}

static inline bool is_connected(void *user) {
  struct world *w = user;
  return w->client.connected > 0;
}

static inline bool has_received(void *user) {
  struct world *w = user;
  return w->at->received >= w->target;
}

static inline bool has_ended(void *user) {
  return ((struct world *)user)->at->ended > 0;
}

static inline void until(struct world *w, bool (*done)(void *)) {
  assert_int_equal(chaski_sim_run(w->sim, done, w, 100 * SECOND), CHASKI_OK);
}

static inline void until_received(struct world *w, struct end *e, size_t bytes) {
  w->at = e;
  w->target = bytes;
  until(w, has_received);
  assert_int_equal(e->received, bytes);
}

static inline void until_ended(struct world *w, struct end *e) {
  w->at = e;
  until(w, has_ended);
}

/* Let so much virtual time pass. */
static inline void pass(struct world *w, uint64_t ns) {
  assert_int_equal(chaski_sim_run(w->sim, NULL, NULL, ns), CHASKI_ETIMEOUT);
}

static inline void be_connected(struct world *w) {
  listen_at(w, SERVER);
  dial(w, SERVER, w->port);
  until(w, is_connected);
  assert_int_equal(w->client.status, CHASKI_OK);
  assert_int_equal(w->accepted, 1);
}

/* Bytes that count up from 0, 64 KiB of them: good for any write that begins at a multiple of 256. */
static inline const uint8_t *pattern(void) {
  static uint8_t bytes[65536];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)i;
  return bytes;
}

static inline int64_t write_bytes(struct world *w, struct end *e, size_t len) {
  chaski_slice slice = chaski_slice_of(pattern(), len);
  int64_t taken = w->t->write(e->stream, &slice, 1);
  e->borrowed = taken >= 0 && (size_t)taken < len;
  return taken;
}

#endif
