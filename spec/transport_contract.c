/* transport_contract.c: see transport_contract.h. Every upcall goes through a recorder that notes breaches of the
 * life cycle (an upcall inside a transport function, one after closed, a second end) as they happen; the tests look at
 * what was recorded.
 * SPDX-License-Identifier: MIT */
#include "transport_contract.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVERS_MAX 64
#define TURN_NS UINT64_C(100000000) /* how long we look at something that must not happen */

struct rig;

/* One end of a stream and what became of it. */
struct end {
  struct rig *rig;
  chaski_stream *stream;
  int connected, connect_status;
  size_t received; /* bytes; each is checked against the pattern when it comes */
  size_t calls;    /* of data */
  int ended, end_status;
  int written, written_status;
  int closing, closed;
  uint8_t *borrowed;                                            /* freed at written or closed */
  void (*on_connected)(struct end *), (*on_data)(struct end *); /* what a test does inside the upcall */
  void (*on_end)(struct end *), (*on_written)(struct end *);
};

struct rig {
  contract_fixture *f;
  const chaski_transport *t;
  struct end client;
  struct end servers[SERVERS_MAX];
  size_t accepted;
  bool refuse_all, pause_accepted; /* close what comes in inside accept; pause it there */
  chaski_listener *listener;
  uint16_t port;
  int listener_closed;
  bool close_listener_in_accept;
  int inside;           /* transport functions running now */
  const char *breach;   /* first breach of the contract, NULL if none */
  size_t target;        /* bytes a condition waits for */
  const struct end *at; /* end a condition looks at */
};

static void breach(struct rig *rig, const char *what) {
  if (!rig->breach) rig->breach = what;
}

/* --- stepping ----------------------------------------------------------------------------------------------------- */

bool contract_until(contract_fixture *f, bool (*done)(void *), void *user) {
  uint64_t limit = f->env->now(f->env->ctx) + CONTRACT_DEADLINE_NS;
  while (!done(user)) {
    if (f->env->now(f->env->ctx) > limit) return false;
    if (!f->step(f->impl)) return done(user);
  }
  return true;
}

void contract_settle(contract_fixture *f, uint64_t ns) {
  uint64_t limit = f->env->now(f->env->ctx) + ns;
  while (f->env->now(f->env->ctx) < limit && f->step(f->impl)) continue;
}

static bool no_leaks(void *user) {
  contract_fixture *f = user;
  return f->leaks(f->impl) == 0;
}

static bool is_connected(void *user) {
  return ((struct end *)user)->connected > 0;
}

static bool is_ended(void *user) {
  return ((struct end *)user)->ended > 0;
}

static bool is_written(void *user) {
  return ((struct end *)user)->written > 0;
}

static bool is_closed(void *user) {
  return ((struct end *)user)->closed > 0;
}

static bool has_target(void *user) {
  struct rig *rig = user;
  return rig->at->received >= rig->target;
}

static bool both_up(void *user) {
  struct rig *rig = user;
  return rig->client.connected > 0 && rig->accepted > 0;
}

/* A transport that knows its peers takes bytes on an accepted stream once it does. */
static bool server_knows_client(void *user) {
  struct rig *rig = user;
  return !rig->t->peer_id || rig->t->peer_id(rig->servers[rig->accepted - 1].stream);
}

static void until(struct rig *rig, bool (*done)(void *), void *user) {
  assert_true(contract_until(rig->f, done, user));
}

static void until_received(struct rig *rig, const struct end *e, size_t bytes) {
  rig->at = e;
  rig->target = bytes;
  until(rig, has_target, rig);
  assert_int_equal(e->received, bytes);
}

/* --- the pattern a stream carries --------------------------------------------------------------------------------- */

static uint8_t pattern(size_t offset) {
  return (uint8_t)((offset * 31) ^ (offset >> 8) ^ (offset >> 16));
}

static uint8_t *pattern_block(size_t from, size_t len) {
  uint8_t *block = malloc(len ? len : 1);
  if (!block) abort();
  for (size_t i = 0; i < len; i++) block[i] = pattern(from + i);
  return block;
}

/* --- upcalls of a stream ------------------------------------------------------------------------------------------ */

static void note_upcall(struct end *e) {
  if (e->rig->inside) breach(e->rig, "an upcall inside a transport function");
  if (e->closing) breach(e->rig, "an upcall other than closed after close()");
  if (e->closed) breach(e->rig, "an upcall after closed");
}

static void on_connected(void *user, int status) {
  struct end *e = user;
  note_upcall(e);
  if (e->connected++) breach(e->rig, "connected twice");
  e->connect_status = status;
  if (e->on_connected) e->on_connected(e);
}

static void on_data(void *user, const uint8_t *bytes, size_t len) {
  struct end *e = user;
  note_upcall(e);
  if (len == 0) breach(e->rig, "data without bytes");
  if (e->ended) breach(e->rig, "data after end");
  if (e == &e->rig->client && (!e->connected || e->connect_status)) breach(e->rig, "data on an unconnected stream");
  for (size_t i = 0; i < len; i++)
    if (bytes[i] != pattern(e->received + i)) breach(e->rig, "bytes lost, doubled or out of order");
  e->received += len;
  e->calls++;
  if (e->on_data) e->on_data(e);
}

static void on_end(void *user, int status) {
  struct end *e = user;
  note_upcall(e);
  if (e->ended++) breach(e->rig, "end twice");
  e->end_status = status;
  if (e->on_end) e->on_end(e);
}

static void on_written(void *user, int status) {
  struct end *e = user;
  note_upcall(e);
  if (!e->borrowed) breach(e->rig, "written without a borrowed rest");
  free(e->borrowed);
  e->borrowed = NULL;
  e->written++;
  e->written_status = status;
  if (e->on_written) e->on_written(e);
}

static void on_closed(void *user) {
  struct end *e = user;
  if (e->rig->inside) breach(e->rig, "closed inside a transport function");
  if (e->closed++) breach(e->rig, "closed twice");
  free(e->borrowed);
  e->borrowed = NULL;
  e->stream = NULL;
}

static const chaski_stream_events stream_events = {on_connected, on_data, on_end, on_written, on_closed};

/* --- calls of the transport, watched ------------------------------------------------------------------------------ */

static void do_close(struct end *e) {
  e->closing = 1;
  e->rig->inside++;
  e->rig->t->close(e->stream);
  e->rig->inside--;
}

static void do_shutdown(struct end *e) {
  e->rig->inside++;
  e->rig->t->shutdown(e->stream);
  e->rig->inside--;
}

static void do_pause(struct end *e) {
  e->rig->inside++;
  e->rig->t->pause(e->stream);
  e->rig->inside--;
}

static void do_resume(struct end *e) {
  e->rig->inside++;
  e->rig->t->resume(e->stream);
  e->rig->inside--;
}

static int64_t do_write_slices(struct end *e, const chaski_slice *slices, size_t n) {
  e->rig->inside++;
  int64_t taken = e->rig->t->write(e->stream, slices, n);
  e->rig->inside--;
  return taken;
}

/* Write len bytes of the pattern from `from` on; a rest that is borrowed lives until written or closed. */
static int64_t do_write(struct end *e, size_t from, size_t len) {
  uint8_t *block = pattern_block(from, len);
  chaski_slice slice = chaski_slice_of(block, len);
  int64_t taken = do_write_slices(e, &slice, 1);
  if (taken >= 0 && (size_t)taken < len) {
    e->borrowed = block;
    return taken;
  }
  memset(block, 0xEE, len); /* taken for good: it must not be looked at again */
  free(block);
  return taken;
}

static int do_connect(struct rig *rig, const char *host, uint16_t port) {
  rig->inside++;
  int rc = rig->t->connect(rig->f->env->ctx, host, port, &stream_events, &rig->client, &rig->client.stream);
  rig->inside--;
  return rc;
}

static void do_listener_close(struct rig *rig) {
  rig->inside++;
  rig->t->listener_close(rig->listener);
  rig->inside--;
  rig->listener = NULL;
}

/* --- the listener ------------------------------------------------------------------------------------------------- */

static void on_accept(void *user, chaski_stream *stream) {
  struct rig *rig = user;
  if (rig->inside) breach(rig, "accept inside a transport function");
  if (rig->accepted == SERVERS_MAX) abort();
  struct end *e = &rig->servers[rig->accepted++];
  e->rig = rig;
  e->stream = stream;
  rig->inside++;
  if (rig->refuse_all) {
    e->closing = 1;
    e->closed = -1; /* it was never opened: nobody to tell */
    rig->t->close(stream);
  } else {
    rig->t->open(stream, &stream_events, e);
    if (rig->pause_accepted) rig->t->pause(stream);
  }
  rig->inside--;
  if (rig->close_listener_in_accept) do_listener_close(rig);
}

static void on_accept_error(void *user, int status) {
  (void)status;
  breach(user, "accepting failed");
}

static void on_listener_closed(void *user) {
  struct rig *rig = user;
  if (rig->inside) breach(rig, "listener closed inside a transport function");
  if (rig->listener_closed++) breach(rig, "listener closed twice");
}

static const chaski_listener_events listener_events = {on_accept, on_accept_error, on_listener_closed};

/* --- beginning and end of a test ---------------------------------------------------------------------------------- */

static struct rig *rig_new(void **state) {
  struct rig *rig = calloc(1, sizeof *rig);
  if (!rig) abort();
  rig->f = *state;
  rig->t = rig->f->env->transport;
  rig->client.rig = rig;
  return rig;
}

static struct rig *rig_listening(void **state) {
  struct rig *rig = rig_new(state);
  int rc = rig->t->listen(rig->f->env->ctx, rig->f->ip, 0, &listener_events, rig, &rig->listener);
  assert_int_equal(rc, CHASKI_OK);
  rig->port = rig->t->listener_port(rig->listener);
  assert_int_not_equal(rig->port, 0);
  return rig;
}

static void rig_dial(struct rig *rig) {
  assert_int_equal(do_connect(rig, rig->f->ip, rig->port), CHASKI_OK);
  until(rig, both_up, rig);
  assert_int_equal(rig->client.connect_status, CHASKI_OK);
  until(rig, server_knows_client, rig);
}

static struct rig *rig_connected(void **state) {
  struct rig *rig = rig_listening(state);
  rig_dial(rig);
  return rig;
}

/* Close what is open, see every `closed` come and nothing stay behind. */
static void rig_end(struct rig *rig) {
  bool listened = rig->listener || rig->listener_closed;
  bool dialled = rig->client.stream || rig->client.closed;
  if (rig->client.stream && !rig->client.closing) do_close(&rig->client);
  for (size_t i = 0; i < rig->accepted; i++)
    if (!rig->servers[i].closing) do_close(&rig->servers[i]);
  if (rig->listener) do_listener_close(rig);
  until(rig, no_leaks, rig->f);
  assert_null(rig->breach);
  assert_int_equal(rig->client.closed, dialled);
  assert_int_equal(rig->listener_closed, listened);
  for (size_t i = 0; i < rig->accepted; i++) assert_int_not_equal(rig->servers[i].closed, 0);
  free(rig);
}

/* --- dialling ----------------------------------------------------------------------------------------------------- */

static void dial_ends_once_and_after_connect_returned(void **state) {
  struct rig *rig = rig_connected(state);
  contract_settle(rig->f, TURN_NS);
  assert_int_equal(rig->client.connected, 1);
  assert_int_equal(rig->servers[0].connected, 0);
  rig_end(rig);
}

static void dial_to_a_port_nobody_listens_on_is_refused(void **state) {
  struct rig *rig = rig_listening(state);
  do_listener_close(rig);
  until(rig, no_leaks, rig->f);
  assert_int_equal(do_connect(rig, rig->f->ip, rig->port), CHASKI_OK);
  until(rig, is_connected, &rig->client);
  assert_int_equal(rig->client.connect_status, CHASKI_EREFUSED);
  contract_settle(rig->f, TURN_NS);
  rig_end(rig);
}

static void dial_closed_before_it_ends_only_closes(void **state) {
  struct rig *rig = rig_listening(state);
  assert_int_equal(do_connect(rig, rig->f->ip, rig->port), CHASKI_OK);
  do_close(&rig->client);
  until(rig, is_closed, &rig->client);
  assert_int_equal(rig->client.connected, 0);
  rig_end(rig);
}

static void dial_to_an_unknown_name_is_unresolved(void **state) {
  contract_fixture *f = *state;
  if (!f->unresolvable) skip();
  struct rig *rig = rig_new(state);
  assert_int_equal(do_connect(rig, f->unresolvable, 1), CHASKI_OK);
  until(rig, is_connected, &rig->client);
  assert_int_equal(rig->client.connect_status, CHASKI_ERESOLVE);
  rig_end(rig);
}

static void dial_closed_while_the_name_is_looked_up_only_closes(void **state) {
  contract_fixture *f = *state;
  if (!f->unresolvable) skip();
  struct rig *rig = rig_new(state);
  assert_int_equal(do_connect(rig, f->unresolvable, 1), CHASKI_OK);
  do_close(&rig->client);
  until(rig, is_closed, &rig->client);
  assert_int_equal(rig->client.connected, 0);
  rig_end(rig);
}

static void addresses_are_those_of_both_ends(void **state) {
  struct rig *rig = rig_connected(state);
  char host[CHASKI_HOST_MAX], other[CHASKI_HOST_MAX];
  uint16_t port = 0, other_port = 0;
  assert_int_equal(rig->t->peer_address(rig->client.stream, host, &port), CHASKI_OK);
  assert_string_equal(host, rig->f->ip);
  assert_int_equal(port, rig->port);
  assert_int_equal(rig->t->local_address(rig->servers[0].stream, host, &port), CHASKI_OK);
  assert_string_equal(host, rig->f->ip);
  assert_int_equal(port, rig->port);
  assert_int_equal(rig->t->local_address(rig->client.stream, host, &port), CHASKI_OK);
  assert_int_equal(rig->t->peer_address(rig->servers[0].stream, other, &other_port), CHASKI_OK);
  assert_string_equal(host, other);
  assert_int_equal(port, other_port);
  rig_end(rig);
}

static void peer_address_of_a_failed_dial_is_none(void **state) {
  struct rig *rig = rig_listening(state);
  do_listener_close(rig);
  until(rig, no_leaks, rig->f);
  assert_int_equal(do_connect(rig, rig->f->ip, rig->port), CHASKI_OK);
  until(rig, is_connected, &rig->client);
  char host[CHASKI_HOST_MAX];
  uint16_t port;
  assert_int_not_equal(rig->t->peer_address(rig->client.stream, host, &port), CHASKI_OK);
  rig_end(rig);
}

/* --- bytes -------------------------------------------------------------------------------------------------------- */

static void bytes_arrive_in_order_both_ways(void **state) {
  struct rig *rig = rig_connected(state);
  for (size_t i = 0; i < 100; i++) {
    assert_int_equal(do_write(&rig->client, i * 100, 100), 100);
    assert_int_equal(do_write(&rig->servers[0], i * 7, 7), 7);
  }
  until_received(rig, &rig->servers[0], 10000);
  until_received(rig, &rig->client, 700);
  assert_int_equal(rig->client.written + rig->servers[0].written, 0);
  assert_int_equal(rig->t->queued(rig->client.stream), 0);
  rig_end(rig);
}

static void write_takes_any_number_of_slices(void **state) {
  enum { COUNT = 5000 };
  struct rig *rig = rig_connected(state);
  uint8_t *block = pattern_block(0, 2 * COUNT);
  chaski_slice *slices = calloc(COUNT, sizeof *slices);
  assert_non_null(slices);
  for (size_t i = 0; i < COUNT; i++) slices[i] = chaski_slice_of(block + 2 * i, 2);
  int64_t taken = do_write_slices(&rig->client, slices, COUNT);
  free(slices); /* the array is never borrowed */
  assert_true(taken >= 0 && taken <= 2 * COUNT);
  if (taken < 2 * COUNT) {
    rig->client.borrowed = block;
    until(rig, is_written, &rig->client);
  } else {
    free(block);
  }
  until_received(rig, &rig->servers[0], 2 * COUNT);
  rig_end(rig);
}

static void stalled_reader_makes_a_write_partial_and_the_rest_follows(void **state) {
  struct rig *rig = rig_listening(state);
  rig->pause_accepted = true;
  rig_dial(rig);
  size_t total = rig->f->window;
  int64_t taken = do_write(&rig->client, 0, total);
  assert_true(taken >= 0 && (size_t)taken < total);
  contract_settle(rig->f, TURN_NS);
  assert_int_equal(rig->client.written, 0);
  do_resume(&rig->servers[0]);
  until(rig, is_written, &rig->client);
  assert_int_equal(rig->client.written_status, CHASKI_OK);
  until_received(rig, &rig->servers[0], total);
  assert_int_equal(do_write(&rig->client, total, 10), 10);
  until_received(rig, &rig->servers[0], total + 10);
  assert_int_equal(rig->client.written, 1);
  rig_end(rig);
}

/* Goes on writing blocks until one is taken only in part, which borrows again. */
static void write_until_partial(struct end *e) {
  size_t block = e->rig->f->window / 2, sent = e->rig->target;
  while (e->written < 3 && !e->borrowed) {
    int64_t taken = do_write(e, sent, block);
    if (taken < 0) breach(e->rig, "a write failed");
    sent += block;
  }
  e->rig->target = sent;
}

static bool third_written(void *user) {
  return ((struct end *)user)->written >= 3;
}

static void written_may_write_again(void **state) {
  struct rig *rig = rig_connected(state);
  rig->client.on_written = write_until_partial;
  rig->target = 0;
  write_until_partial(&rig->client);
  until(rig, third_written, &rig->client);
  until_received(rig, &rig->servers[0], rig->target);
  rig_end(rig);
}

static void close_with_a_borrowed_rest_only_closes(void **state) {
  struct rig *rig = rig_listening(state);
  rig->pause_accepted = true;
  rig_dial(rig);
  int64_t taken = do_write(&rig->client, 0, rig->f->window);
  assert_true(taken >= 0 && (size_t)taken < rig->f->window);
  do_close(&rig->client);
  until(rig, is_closed, &rig->client);
  assert_int_equal(rig->client.written, 0);
  rig_end(rig);
}

static void peer_that_vanishes_gives_back_the_borrowed_rest(void **state) {
  struct rig *rig = rig_listening(state);
  rig->pause_accepted = true;
  rig_dial(rig);
  int64_t taken = do_write(&rig->client, 0, rig->f->window);
  assert_true(taken >= 0 && (size_t)taken < rig->f->window);
  do_close(&rig->servers[0]);
  until(rig, is_written, &rig->client);
  assert_int_not_equal(rig->client.written_status, CHASKI_OK);
  until(rig, is_ended, &rig->client);
  assert_int_not_equal(rig->client.end_status, CHASKI_OK);
  rig_end(rig);
}

/* --- flow control ------------------------------------------------------------------------------------------------- */

static void paused_stream_gets_nothing_until_resumed(void **state) {
  struct rig *rig = rig_listening(state);
  rig->pause_accepted = true;
  rig_dial(rig);
  assert_int_equal(do_write(&rig->client, 0, 1000), 1000);
  do_pause(&rig->servers[0]);
  contract_settle(rig->f, TURN_NS);
  assert_int_equal(rig->servers[0].received, 0);
  do_resume(&rig->servers[0]);
  do_resume(&rig->servers[0]);
  until_received(rig, &rig->servers[0], 1000);
  do_pause(&rig->servers[0]);
  do_pause(&rig->servers[0]);
  assert_int_equal(do_write(&rig->client, 1000, 1000), 1000);
  contract_settle(rig->f, TURN_NS);
  assert_int_equal(rig->servers[0].received, 1000);
  do_resume(&rig->servers[0]);
  until_received(rig, &rig->servers[0], 2000);
  rig_end(rig);
}

static void pause_inside_data_stops_data(void **state) {
  struct rig *rig = rig_listening(state);
  rig->pause_accepted = true;
  rig_dial(rig);
  rig->servers[0].on_data = do_pause;
  size_t total = rig->f->window;
  int64_t taken = do_write(&rig->client, 0, total);
  assert_true(taken > 0);
  for (size_t calls = 1; rig->servers[0].received < (size_t)taken && calls < 5; calls++) {
    do_resume(&rig->servers[0]);
    contract_settle(rig->f, TURN_NS);
    assert_int_equal(rig->servers[0].calls, calls);
  }
  rig->servers[0].on_data = NULL;
  do_resume(&rig->servers[0]);
  until_received(rig, &rig->servers[0], total);
  rig_end(rig);
}

static void end_waits_while_paused(void **state) {
  struct rig *rig = rig_connected(state);
  do_pause(&rig->servers[0]);
  assert_int_equal(do_write(&rig->client, 0, 10), 10);
  do_shutdown(&rig->client);
  contract_settle(rig->f, TURN_NS);
  assert_int_equal(rig->servers[0].ended, 0);
  do_resume(&rig->servers[0]);
  until(rig, is_ended, &rig->servers[0]);
  assert_int_equal(rig->servers[0].received, 10);
  rig_end(rig);
}

/* --- the end of a stream ------------------------------------------------------------------------------------------ */

static void half_close(struct rig *rig, struct end *first, struct end *second) {
  assert_int_equal(do_write(first, 0, 10), 10);
  do_shutdown(first);
  until(rig, is_ended, second);
  assert_int_equal(second->end_status, CHASKI_OK);
  assert_int_equal(second->received, 10);
  assert_int_equal(do_write(second, 0, 5000), 5000);
  until_received(rig, first, 5000);
  assert_int_equal(first->ended, 0);
  do_shutdown(second);
  until(rig, is_ended, first);
  assert_int_equal(first->end_status, CHASKI_OK);
  contract_settle(rig->f, TURN_NS);
  rig_end(rig);
}

static void dialler_may_end_its_side_first(void **state) {
  struct rig *rig = rig_connected(state);
  half_close(rig, &rig->client, &rig->servers[0]);
}

static void acceptor_may_end_its_side_first(void **state) {
  struct rig *rig = rig_connected(state);
  half_close(rig, &rig->servers[0], &rig->client);
}

static void shutdown_comes_after_a_borrowed_rest(void **state) {
  struct rig *rig = rig_listening(state);
  rig->pause_accepted = true;
  rig_dial(rig);
  assert_true(do_write(&rig->client, 0, rig->f->window) >= 0);
  do_shutdown(&rig->client);
  do_resume(&rig->servers[0]);
  until(rig, is_ended, &rig->servers[0]);
  assert_int_equal(rig->servers[0].end_status, CHASKI_OK);
  assert_int_equal(rig->servers[0].received, rig->f->window);
  assert_int_equal(rig->client.written, 1);
  rig_end(rig);
}

static void close_ends_the_peer(void **state) {
  struct rig *rig = rig_connected(state);
  do_close(&rig->client);
  until(rig, is_ended, &rig->servers[0]);
  rig_end(rig);
}

static void close_right_after_write_and_shutdown_in_order(void **state) {
  struct rig *rig = rig_connected(state);
  assert_int_equal(do_write(&rig->client, 0, 100), 100);
  do_shutdown(&rig->client);
  do_close(&rig->client);
  until(rig, is_ended, &rig->servers[0]);
  assert_int_equal(rig->client.written, 0);
  rig_end(rig);
}

/* --- close() inside each upcall ----------------------------------------------------------------------------------- */

static void close_inside_connected(void **state) {
  struct rig *rig = rig_listening(state);
  rig->client.on_connected = do_close;
  assert_int_equal(do_connect(rig, rig->f->ip, rig->port), CHASKI_OK);
  until(rig, is_closed, &rig->client);
  rig_end(rig);
}

static void close_inside_a_failed_connected(void **state) {
  struct rig *rig = rig_listening(state);
  do_listener_close(rig);
  until(rig, no_leaks, rig->f);
  rig->client.on_connected = do_close;
  assert_int_equal(do_connect(rig, rig->f->ip, rig->port), CHASKI_OK);
  until(rig, is_closed, &rig->client);
  assert_int_equal(rig->client.connect_status, CHASKI_EREFUSED);
  rig_end(rig);
}

static void close_inside_data(void **state) {
  struct rig *rig = rig_connected(state);
  rig->servers[0].on_data = do_close;
  assert_int_equal(do_write(&rig->client, 0, 10), 10);
  until(rig, is_closed, &rig->servers[0]);
  assert_int_equal(rig->servers[0].calls, 1);
  rig_end(rig);
}

static void close_inside_end(void **state) {
  struct rig *rig = rig_connected(state);
  rig->servers[0].on_end = do_close;
  do_shutdown(&rig->client);
  until(rig, is_closed, &rig->servers[0]);
  rig_end(rig);
}

static void close_inside_written(void **state) {
  struct rig *rig = rig_listening(state);
  rig->pause_accepted = true;
  rig_dial(rig);
  rig->client.on_written = do_close;
  assert_true((size_t)do_write(&rig->client, 0, rig->f->window) < rig->f->window);
  do_resume(&rig->servers[0]);
  until(rig, is_closed, &rig->client);
  assert_int_equal(rig->client.written_status, CHASKI_OK);
  rig_end(rig);
}

static void close_inside_a_failed_written(void **state) {
  struct rig *rig = rig_listening(state);
  rig->pause_accepted = true;
  rig_dial(rig);
  rig->client.on_written = rig->client.on_end = do_close;
  assert_true((size_t)do_write(&rig->client, 0, rig->f->window) < rig->f->window);
  do_close(&rig->servers[0]);
  until(rig, is_closed, &rig->client);
  rig_end(rig);
}

static void close_inside_accept(void **state) {
  struct rig *rig = rig_listening(state);
  rig->refuse_all = true;
  assert_int_equal(do_connect(rig, rig->f->ip, rig->port), CHASKI_OK);
  until(rig, both_up, rig);
  if (rig->t->peer_id) /* it was refused in the middle of the transport's own handshake */
    assert_int_not_equal(rig->client.connect_status, CHASKI_OK);
  else
    until(rig, is_ended, &rig->client);
  rig_end(rig);
}

/* --- listeners ---------------------------------------------------------------------------------------------------- */

static void listen_names_what_is_wrong(void **state) {
  struct rig *rig = rig_listening(state);
  chaski_listener *other = NULL;
  void *ctx = rig->f->env->ctx;
  assert_int_equal(rig->t->listen(ctx, rig->f->ip, rig->port, &listener_events, rig, &other), CHASKI_EINUSE);
  assert_int_equal(rig->t->listen(ctx, "not an address", 0, &listener_events, rig, &other), CHASKI_EADDRESS);
  if (rig->f->foreign_ip) {
    int rc = rig->t->listen(ctx, rig->f->foreign_ip, 0, &listener_events, rig, &other);
    assert_int_equal(rc, CHASKI_EADDRNOTAVAIL);
  }
  contract_settle(rig->f, TURN_NS);
  assert_int_equal(rig->f->leaks(rig->f->impl), 1);
  rig_end(rig);
}

static void port_is_free_again_after_the_listener_closed(void **state) {
  struct rig *rig = rig_listening(state);
  do_listener_close(rig);
  until(rig, no_leaks, rig->f);
  assert_int_equal(rig->listener_closed, 1);
  rig->listener_closed = 0;
  int rc = rig->t->listen(rig->f->env->ctx, rig->f->ip, rig->port, &listener_events, rig, &rig->listener);
  assert_int_equal(rc, CHASKI_OK);
  assert_int_equal(rig->t->listener_port(rig->listener), rig->port);
  rig_dial(rig);
  rig_end(rig);
}

static void listener_may_close_inside_accept_and_its_streams_live_on(void **state) {
  struct rig *rig = rig_listening(state);
  rig->close_listener_in_accept = true;
  rig_dial(rig);
  assert_int_equal(do_write(&rig->client, 0, 10), 10);
  until_received(rig, &rig->servers[0], 10);
  assert_int_equal(rig->listener_closed, 1);
  rig_end(rig);
}

struct crowd {
  struct rig *rig;
  struct end ends[SERVERS_MAX];
};

static bool crowd_is_up(void *user) {
  struct crowd *crowd = user;
  for (size_t i = 0; i < SERVERS_MAX; i++)
    if (crowd->ends[i].connected == 0) return false;
  return crowd->rig->accepted == SERVERS_MAX;
}

static void many_streams_come_and_go(void **state) {
  struct crowd crowd = {rig_listening(state), {{0}}};
  struct rig *rig = crowd.rig;
  for (size_t i = 0; i < SERVERS_MAX; i++) {
    struct end *e = &crowd.ends[i];
    e->rig = rig;
    assert_int_equal(rig->t->connect(rig->f->env->ctx, rig->f->ip, rig->port, &stream_events, e, &e->stream), 0);
  }
  until(rig, crowd_is_up, &crowd);
  for (size_t i = 0; i < SERVERS_MAX; i++) {
    assert_int_equal(crowd.ends[i].connect_status, CHASKI_OK);
    assert_int_equal(do_write(&crowd.ends[i], 0, 10), 10);
  }
  for (size_t i = 0; i < SERVERS_MAX; i++) until_received(rig, &rig->servers[i], 10);
  for (size_t i = 0; i < SERVERS_MAX; i++) do_close(&crowd.ends[i]);
  for (size_t i = 0; i < SERVERS_MAX; i++) until(rig, is_ended, &rig->servers[i]);
  rig_end(rig);
  for (size_t i = 0; i < SERVERS_MAX; i++) assert_int_equal(crowd.ends[i].closed, 1);
}

/* --- datagrams ---------------------------------------------------------------------------------------------------- */

struct socket_end {
  contract_fixture *f;
  chaski_udp *udp;
  uint16_t port;
  size_t datagrams, bytes;
  char host[CHASKI_HOST_MAX];
  uint16_t from;
  bool echo, close_on_datagram;
  int closed, breaches;
};

static void on_datagram(void *user, const char *host, uint16_t port, const uint8_t *bytes, size_t len) {
  struct socket_end *s = user;
  const chaski_transport *t = s->f->env->transport;
  if (!s->udp || len == 0) s->breaches++;
  for (size_t i = 0; i < len; i++)
    if (bytes[i] != pattern(i)) s->breaches++;
  s->datagrams++;
  s->bytes = len;
  s->from = port;
  snprintf(s->host, sizeof s->host, "%s", host);
  if (s->echo && t->udp_send(s->udp, host, port, bytes, len) != CHASKI_OK) s->breaches++;
  if (!s->close_on_datagram) return;
  t->udp_close(s->udp);
  s->udp = NULL;
}

static void on_udp_error(void *user, int status) {
  (void)user;
  (void)status;
}

static void on_udp_closed(void *user) {
  ((struct socket_end *)user)->closed++;
}

static const chaski_udp_events udp_events = {on_datagram, on_udp_error, on_udp_closed};

static void udp_begin(struct socket_end *s, contract_fixture *f, uint16_t port) {
  const chaski_transport *t = f->env->transport;
  *s = (struct socket_end){.f = f};
  assert_int_equal(t->udp_open(f->env->ctx, f->ip, port, &udp_events, s, &s->udp), CHASKI_OK);
  s->port = t->udp_port(s->udp);
  assert_int_not_equal(s->port, 0);
}

static int udp_send(struct socket_end *s, uint16_t port, size_t len) {
  uint8_t *block = pattern_block(0, len);
  int rc = s->f->env->transport->udp_send(s->udp, s->f->ip, port, block, len);
  free(block);
  return rc;
}

static void udp_end(struct socket_end *s) {
  if (s->udp) s->f->env->transport->udp_close(s->udp);
  s->udp = NULL;
  assert_int_equal(s->breaches, 0);
}

static bool got_datagram(void *user) {
  return ((struct socket_end *)user)->datagrams > 0;
}

static void datagrams_echo_whole(void **state) {
  contract_fixture *f = *state;
  if (f->datagram_max == 0) skip();
  struct socket_end a, b;
  udp_begin(&a, f, 0);
  udp_begin(&b, f, 0);
  b.echo = true;
  assert_int_equal(udp_send(&a, b.port, 1000), CHASKI_OK);
  assert_true(contract_until(f, got_datagram, &a));
  assert_int_equal(a.bytes, 1000);
  assert_int_equal(a.from, b.port);
  assert_string_equal(a.host, f->ip);
  assert_int_equal(b.from, a.port);
  udp_end(&a);
  udp_end(&b);
  assert_true(contract_until(f, no_leaks, f));
  assert_int_equal(a.closed + b.closed, 2);
}

static void largest_datagram_passes_and_a_larger_one_is_refused(void **state) {
  contract_fixture *f = *state;
  if (f->datagram_max == 0) skip();
  struct socket_end a, b;
  udp_begin(&a, f, 0);
  udp_begin(&b, f, 0);
  assert_true(udp_send(&a, b.port, f->datagram_max + 1) < 0);
  assert_int_equal(udp_send(&a, b.port, f->datagram_max), CHASKI_OK);
  assert_true(contract_until(f, got_datagram, &b));
  assert_int_equal(b.bytes, f->datagram_max);
  assert_int_equal(b.datagrams, 1);
  udp_end(&a);
  udp_end(&b);
  assert_true(contract_until(f, no_leaks, f));
}

static void datagram_socket_may_close_inside_datagram(void **state) {
  contract_fixture *f = *state;
  if (f->datagram_max == 0) skip();
  struct socket_end a, b;
  udp_begin(&a, f, 0);
  udp_begin(&b, f, 0);
  b.close_on_datagram = true;
  for (int i = 0; i < 3; i++) assert_int_equal(udp_send(&a, b.port, 10), CHASKI_OK);
  assert_true(contract_until(f, got_datagram, &b));
  contract_settle(f, TURN_NS);
  assert_int_equal(b.datagrams, 1);
  assert_int_equal(b.closed, 1);
  udp_end(&a);
  udp_end(&b);
  assert_true(contract_until(f, no_leaks, f));
}

static void datagram_socket_shares_a_listeners_port_but_not_its_own(void **state) {
  contract_fixture *f = *state;
  if (f->datagram_max == 0) skip();
  const chaski_transport *t = f->env->transport;
  struct rig *rig = rig_listening(state);
  struct socket_end a, b = {.f = f};
  udp_begin(&a, f, rig->port);
  assert_int_equal(a.port, rig->port);
  assert_int_equal(t->udp_open(f->env->ctx, f->ip, a.port, &udp_events, &b, &b.udp), CHASKI_EINUSE);
  assert_int_equal(t->udp_open(f->env->ctx, "not an address", 0, &udp_events, &b, &b.udp), CHASKI_EADDRESS);
  assert_int_equal(t->udp_send(a.udp, "not an address", 9, (const uint8_t *)"x", 1), CHASKI_EADDRESS);
  udp_end(&a);
  rig_end(rig);
  assert_int_equal(b.closed, 0);
}

/* --- environment -------------------------------------------------------------------------------------------------- */

static void clock_never_goes_back_and_is_never_0(void **state) {
  contract_fixture *f = *state;
  uint64_t before = f->env->now(f->env->ctx);
  assert_true(before > 0);
  for (int i = 0; i < 1000; i++) {
    uint64_t now = f->env->now(f->env->ctx);
    assert_true(now >= before);
    before = now;
  }
  int64_t sec = -1;
  uint32_t nsec = UINT32_MAX;
  f->env->wall(f->env->ctx, &sec, &nsec);
  assert_true(sec >= 0);
  assert_true(nsec < 1000000000);
}

static void random_fills_all_it_is_given_and_no_more(void **state) {
  contract_fixture *f = *state;
  uint8_t a[1026], b[1024];
  memset(a, 0, sizeof a);
  f->env->random(f->env->ctx, a + 1, 1024);
  f->env->random(f->env->ctx, b, sizeof b);
  assert_memory_not_equal(a + 1, b, 1024);
  assert_int_equal(a[0] | a[1025], 0);
  size_t zeros = 0;
  for (size_t i = 1; i <= 1024; i++) zeros += a[i] == 0;
  assert_true(zeros < 64);
}

struct bell {
  contract_fixture *f;
  int rung;
  uint64_t at;
};

static void ring(void *user) {
  struct bell *bell = user;
  bell->rung++;
  bell->at = bell->f->env->now(bell->f->env->ctx);
}

static bool has_rung(void *user) {
  return ((struct bell *)user)->rung > 0;
}

static void bell_begin(struct bell *bell, contract_fixture *f) {
  *bell = (struct bell){f, 0, 0};
  f->expired_user = bell;
  f->expired = ring;
}

static void bell_end(struct bell *bell) {
  bell->f->env->alarm(bell->f->env->ctx, UINT64_MAX);
  bell->f->expired = NULL;
}

static void alarm_rings_once_and_not_early(void **state) {
  contract_fixture *f = *state;
  struct bell bell;
  for (uint64_t i = 1; i <= 5; i++) {
    bell_begin(&bell, f);
    uint64_t due = f->env->now(f->env->ctx) + i * 3000001;
    f->env->alarm(f->env->ctx, due);
    assert_true(contract_until(f, has_rung, &bell));
    assert_true(bell.at >= due);
    contract_settle(f, 20000000);
    assert_int_equal(bell.rung, 1);
  }
  bell_end(&bell);
}

static void alarm_in_the_past_rings_at_the_next_turn(void **state) {
  contract_fixture *f = *state;
  struct bell bell;
  bell_begin(&bell, f);
  f->env->alarm(f->env->ctx, 1);
  assert_int_equal(bell.rung, 0);
  assert_true(contract_until(f, has_rung, &bell));
  bell_end(&bell);
}

static void alarm_is_replaced_and_cancelled(void **state) {
  contract_fixture *f = *state;
  struct bell bell;
  bell_begin(&bell, f);
  uint64_t now = f->env->now(f->env->ctx);
  f->env->alarm(f->env->ctx, now + 1000000);
  f->env->alarm(f->env->ctx, UINT64_MAX);
  contract_settle(f, TURN_NS);
  assert_int_equal(bell.rung, 0);
  now = f->env->now(f->env->ctx);
  f->env->alarm(f->env->ctx, now + UINT64_C(3600000000000));
  f->env->alarm(f->env->ctx, now + 1000000);
  assert_true(contract_until(f, has_rung, &bell));
  bell_end(&bell);
}

static void ring_again(void *user) {
  struct bell *bell = user;
  bell->rung++;
  bell->f->env->alarm(bell->f->env->ctx, 1);
}

static void alarm_always_due_does_not_starve_streams(void **state) {
  contract_fixture *f = *state;
  struct bell bell;
  bell_begin(&bell, f);
  f->expired = ring_again;
  f->env->alarm(f->env->ctx, 1);
  struct rig *rig = rig_connected(state);
  assert_int_equal(do_write(&rig->client, 0, 1000), 1000);
  until_received(rig, &rig->servers[0], 1000);
  assert_true(bell.rung > 0);
  bell_end(&bell);
  rig_end(rig);
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(dial_ends_once_and_after_connect_returned),
    cmocka_unit_test(dial_to_a_port_nobody_listens_on_is_refused),
    cmocka_unit_test(dial_closed_before_it_ends_only_closes),
    cmocka_unit_test(dial_to_an_unknown_name_is_unresolved),
    cmocka_unit_test(dial_closed_while_the_name_is_looked_up_only_closes),
    cmocka_unit_test(addresses_are_those_of_both_ends),
    cmocka_unit_test(peer_address_of_a_failed_dial_is_none),
    cmocka_unit_test(bytes_arrive_in_order_both_ways),
    cmocka_unit_test(write_takes_any_number_of_slices),
    cmocka_unit_test(stalled_reader_makes_a_write_partial_and_the_rest_follows),
    cmocka_unit_test(written_may_write_again),
    cmocka_unit_test(close_with_a_borrowed_rest_only_closes),
    cmocka_unit_test(peer_that_vanishes_gives_back_the_borrowed_rest),
    cmocka_unit_test(paused_stream_gets_nothing_until_resumed),
    cmocka_unit_test(pause_inside_data_stops_data),
    cmocka_unit_test(end_waits_while_paused),
    cmocka_unit_test(dialler_may_end_its_side_first),
    cmocka_unit_test(acceptor_may_end_its_side_first),
    cmocka_unit_test(shutdown_comes_after_a_borrowed_rest),
    cmocka_unit_test(close_ends_the_peer),
    cmocka_unit_test(close_right_after_write_and_shutdown_in_order),
    cmocka_unit_test(close_inside_connected),
    cmocka_unit_test(close_inside_a_failed_connected),
    cmocka_unit_test(close_inside_data),
    cmocka_unit_test(close_inside_end),
    cmocka_unit_test(close_inside_written),
    cmocka_unit_test(close_inside_a_failed_written),
    cmocka_unit_test(close_inside_accept),
    cmocka_unit_test(listen_names_what_is_wrong),
    cmocka_unit_test(port_is_free_again_after_the_listener_closed),
    cmocka_unit_test(listener_may_close_inside_accept_and_its_streams_live_on),
    cmocka_unit_test(many_streams_come_and_go),
    cmocka_unit_test(datagrams_echo_whole),
    cmocka_unit_test(largest_datagram_passes_and_a_larger_one_is_refused),
    cmocka_unit_test(datagram_socket_may_close_inside_datagram),
    cmocka_unit_test(datagram_socket_shares_a_listeners_port_but_not_its_own),
    cmocka_unit_test(clock_never_goes_back_and_is_never_0),
    cmocka_unit_test(random_fills_all_it_is_given_and_no_more),
    cmocka_unit_test(alarm_rings_once_and_not_early),
    cmocka_unit_test(alarm_in_the_past_rings_at_the_next_turn),
    cmocka_unit_test(alarm_is_replaced_and_cancelled),
    cmocka_unit_test(alarm_always_due_does_not_starve_streams),
};

#define COUNT (sizeof tests / sizeof tests[0])

const struct CMUnitTest *contract_tests(size_t *count) {
  *count = COUNT;
  return tests;
}

int contract_run(const char *name, CMFixtureFunction setup, CMFixtureFunction teardown) {
  static struct CMUnitTest table[COUNT];
  for (size_t i = 0; i < COUNT; i++) {
    table[i] = tests[i];
    table[i].setup_func = setup;
    table[i].teardown_func = teardown;
  }
  return _cmocka_run_group_tests(name, table, COUNT, NULL, NULL);
}
