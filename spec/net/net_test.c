/* net_test.c: what src/net promises beyond the transport contract: the loop it shares, real sockets, peers that
 * misbehave.
 * SPDX-License-Identifier: MIT */
#include "net_rig.h"

#include "../../src/core/alloc.h"
#include "../../src/net/internal.h"
#include "../../src/net/sockaddr.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CROWD 1000

/* --- a recorder for one stream ------------------------------------------------------------------------------------ */

struct peer {
  net_rig *rig;
  chaski_stream *stream;
  int connected, status, ended, end_status, written, closed;
  size_t received, turn_received, most_in_a_turn;
  int turn;
  bool close_net_on_data;
};

static const chaski_transport *transport_of(net_rig *rig) {
  return rig->fixture.env->transport;
}

static void peer_connected(void *user, int status) {
  struct peer *p = user;
  p->connected++;
  p->status = status;
}

static void count_in_turn(struct peer *p, size_t len) {
  if (p->turn != p->rig->turns) p->turn_received = 0;
  p->turn = p->rig->turns;
  p->turn_received += len;
  if (p->turn_received > p->most_in_a_turn) p->most_in_a_turn = p->turn_received;
}

static void on_net_closed(void *user) {
  ((net_rig *)user)->net_closed++;
}

static void peer_data(void *user, const uint8_t *bytes, size_t len) {
  (void)bytes;
  struct peer *p = user;
  p->received += len;
  count_in_turn(p, len);
  if (p->close_net_on_data) chaski_net_close(&p->rig->net, on_net_closed, p->rig);
}

static void peer_end(void *user, int status) {
  struct peer *p = user;
  p->ended++;
  p->end_status = status;
}

static void peer_written(void *user, int status) {
  (void)status;
  ((struct peer *)user)->written++;
}

static void peer_closed(void *user) {
  struct peer *p = user;
  p->closed++;
  p->stream = NULL;
}

static const chaski_stream_events peer_events = {peer_connected, peer_data, peer_end, peer_written, peer_closed};

/* --- a listener that hands what comes in to an array of peers ----------------------------------------------------- */

struct door {
  net_rig *rig;
  chaski_listener *listener;
  uint16_t port;
  struct peer *peers;
  size_t accepted, max;
  bool paused;
  int errors, error, closed;
};

static void door_accept(void *user, chaski_stream *stream) {
  struct door *d = user;
  const chaski_transport *t = transport_of(d->rig);
  if (d->accepted == d->max) {
    t->close(stream);
    return;
  }
  struct peer *p = &d->peers[d->accepted++];
  p->rig = d->rig;
  p->stream = stream;
  t->open(stream, &peer_events, p);
  if (d->paused) t->pause(stream);
}

static void door_error(void *user, int status) {
  struct door *d = user;
  d->errors++;
  d->error = status;
}

static void door_closed(void *user) {
  ((struct door *)user)->closed++;
}

static const chaski_listener_events door_events = {door_accept, door_error, door_closed};

static int door_listen(struct door *d, net_rig *rig, const char *ip, struct peer *peers, size_t max) {
  *d = (struct door){.rig = rig, .peers = peers, .max = max};
  const chaski_env *env = rig->fixture.env;
  int rc = env->transport->listen(env->ctx, ip, 0, &door_events, d, &d->listener);
  if (rc == CHASKI_OK) d->port = env->transport->listener_port(d->listener);
  return rc;
}

static int dial(struct peer *p, net_rig *rig, const char *host, uint16_t port) {
  p->rig = rig;
  return transport_of(rig)->connect(rig->fixture.env->ctx, host, port, &peer_events, p, &p->stream);
}

static bool has_accepted(void *user) {
  struct door *d = user;
  return d->accepted == d->max;
}

static bool has_connected(void *user) {
  return ((struct peer *)user)->connected > 0;
}

static bool has_closed(void *user) {
  return ((struct peer *)user)->closed > 0;
}

static bool has_ended(void *user) {
  return ((struct peer *)user)->ended > 0;
}

static void until(net_rig *rig, bool (*done)(void *), void *user) {
  assert_true(net_rig_until(rig, done, user));
}

static void make_reset_on_close(int fd) {
  struct linger now = {1, 0};
  assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
}

/* --- resets ------------------------------------------------------------------------------------------------------- */

static void reset_by_the_peer_ends_the_stream_with_a_code(void **state) {
  net_rig *rig = *state;
  struct peer p = {0};
  struct door d;
  assert_int_equal(door_listen(&d, rig, "127.0.0.1", &p, 1), CHASKI_OK);
  int fd = net_rig_raw_client(d.port);
  until(rig, has_accepted, &d);
  make_reset_on_close(fd);
  close(fd);
  until(rig, has_ended, &p);
  assert_int_equal(p.end_status, CHASKI_ERESET);
  net_rig_settle(rig, 50000000);
  assert_int_equal(p.ended, 1);
  net_rig_close_net(rig);
}

static void write_to_a_reset_stream_fails_and_the_end_is_no_good_one(void **state) {
  net_rig *rig = *state;
  struct peer p = {0};
  struct door d;
  assert_int_equal(door_listen(&d, rig, "127.0.0.1", &p, 1), CHASKI_OK);
  d.paused = true;
  int fd = net_rig_raw_client(d.port);
  until(rig, has_accepted, &d);
  make_reset_on_close(fd);
  close(fd);
  net_rig_settle(rig, 50000000);
  assert_int_equal(p.ended, 0);
  chaski_slice slice = chaski_slice_str("too late");
  assert_int_equal(transport_of(rig)->write(p.stream, &slice, 1), CHASKI_ERESET);
  assert_int_equal(transport_of(rig)->write(p.stream, &slice, 1), CHASKI_ERESET);
  transport_of(rig)->shutdown(p.stream);
  transport_of(rig)->resume(p.stream);
  until(rig, has_ended, &p);
  assert_int_equal(p.end_status, CHASKI_ERESET);
  assert_int_equal(p.written, 0);
  net_rig_close_net(rig);
}

/* --- turns of the loop -------------------------------------------------------------------------------------------- */

static void no_stream_reads_more_than_its_share_of_a_turn(void **state) {
  net_rig *rig = *state;
  struct peer in = {0}, out = {0};
  struct door d;
  size_t total = 16u << 20;
  assert_int_equal(door_listen(&d, rig, "127.0.0.1", &in, 1), CHASKI_OK);
  d.paused = true;
  assert_int_equal(dial(&out, rig, "127.0.0.1", d.port), CHASKI_OK);
  until(rig, has_accepted, &d);
  until(rig, has_connected, &out);
  uint8_t *bytes = calloc(1, total);
  assert_non_null(bytes);
  chaski_slice slice = chaski_slice_of(bytes, total);
  assert_true(transport_of(rig)->write(out.stream, &slice, 1) > 2 * CHASKI_NET_TURN_READ);
  transport_of(rig)->shutdown(out.stream);
  transport_of(rig)->resume(in.stream);
  /* Nothing but these streams and the listener keeps the loop alive: a stream that waits for its turn must. */
  until(rig, has_ended, &in);
  free(bytes);
  assert_int_equal(in.received, total);
  assert_int_equal(out.written, 1);
  assert_true(in.most_in_a_turn >= CHASKI_NET_TURN_READ / 2);
  assert_true(in.most_in_a_turn < CHASKI_NET_TURN_READ + CHASKI_NET_SLAB);
  net_rig_close_net(rig);
}

static void stream_that_had_its_share_keeps_the_loop_alive(void **state) {
  net_rig *rig = *state;
  struct peer p = {0};
  struct door d;
  size_t total = 3 * CHASKI_NET_TURN_READ;
  assert_int_equal(door_listen(&d, rig, "127.0.0.1", &p, 1), CHASKI_OK);
  d.paused = true;
  int fd = net_rig_raw_client(d.port);
  until(rig, has_accepted, &d);
  transport_of(rig)->listener_close(d.listener);
  uint8_t *bytes = calloc(1, total);
  assert_non_null(bytes);
  assert_int_equal(write(fd, bytes, total), total);
  free(bytes);
  close(fd);
  transport_of(rig)->resume(p.stream);
  uv_unref((uv_handle_t *)&rig->guard);
  uv_run(&rig->loop, UV_RUN_DEFAULT);
  uv_ref((uv_handle_t *)&rig->guard);
  assert_int_equal(p.received, total);
  assert_int_equal(p.ended, 1);
  net_rig_close_net(rig);
}

static void idle_net_does_not_keep_the_loop_alive_but_an_alarm_does(void **state) {
  net_rig *rig = *state;
  const chaski_env *env = rig->fixture.env;
  uv_unref((uv_handle_t *)&rig->guard);
  assert_int_equal(uv_run(&rig->loop, UV_RUN_NOWAIT), 0);
  assert_int_equal(uv_loop_alive(&rig->loop), 0);
  env->alarm(env->ctx, env->now(env->ctx) + UINT64_C(3600000000000));
  assert_int_not_equal(uv_loop_alive(&rig->loop), 0);
  env->alarm(env->ctx, 1);
  assert_int_not_equal(uv_loop_alive(&rig->loop), 0);
  env->alarm(env->ctx, UINT64_MAX);
  assert_int_equal(uv_loop_alive(&rig->loop), 0);
  uv_ref((uv_handle_t *)&rig->guard);
}

static void flush_comes_every_turn(void **state) {
  net_rig *rig = *state;
  int before = rig->turns;
  for (int i = 0; i < 10; i++) uv_run(&rig->loop, UV_RUN_NOWAIT);
  assert_int_equal(rig->turns, before + 10);
}

static void look_at_data(uv_handle_t *handle, void *count) {
  assert_null(handle->data);
  ++*(int *)count;
}

static void handles_carry_no_data_because_luv_reads_it(void **state) {
  net_rig *rig = *state;
  struct peer in = {0}, out = {0};
  struct door d;
  chaski_udp *udp = NULL;
  const chaski_env *env = rig->fixture.env;
  const chaski_udp_events none = {0};
  int count = 0;
  assert_int_equal(door_listen(&d, rig, "127.0.0.1", &in, 1), CHASKI_OK);
  assert_int_equal(dial(&out, rig, "127.0.0.1", d.port), CHASKI_OK);
  assert_int_equal(env->transport->udp_open(env->ctx, "127.0.0.1", 0, &none, NULL, &udp), CHASKI_OK);
  until(rig, has_accepted, &d);
  until(rig, has_connected, &out);
  uv_walk(&rig->loop, look_at_data, &count);
  assert_int_equal(count, 1 + 4 + 2 + 1 + 2); /* guard, the net's own, listener, socket, streams */
  assert_int_equal(chaski_net_handles(rig->net), 4);
  net_rig_close_net(rig);
}

/* --- closing the net ---------------------------------------------------------------------------------------------- */

static void closing_the_net_closes_all_that_is_open(void **state) {
  net_rig *rig = *state;
  struct peer in = {0}, out = {0}, dialling = {0}, named = {0};
  struct door d;
  assert_int_equal(door_listen(&d, rig, "127.0.0.1", &in, 1), CHASKI_OK);
  assert_int_equal(dial(&out, rig, "127.0.0.1", d.port), CHASKI_OK);
  until(rig, has_accepted, &d);
  assert_int_equal(dial(&dialling, rig, "127.0.0.1", d.port), CHASKI_OK);
  assert_int_equal(dial(&named, rig, "nonexistent.invalid", d.port), CHASKI_OK);
  rig->fixture.env->alarm(rig->fixture.env->ctx, 1);
  net_rig_close_net(rig);
  assert_null(rig->net);
  assert_int_equal(rig->net_closed, 1);
  assert_int_equal(in.closed + out.closed + dialling.closed + named.closed + d.closed, 5);
  assert_int_equal(dialling.connected + named.connected, 0);
}

static void net_may_close_inside_an_upcall_of_a_stream(void **state) {
  net_rig *rig = *state;
  struct peer p = {0};
  struct door d;
  assert_int_equal(door_listen(&d, rig, "127.0.0.1", &p, 1), CHASKI_OK);
  int fd = net_rig_raw_client(d.port);
  until(rig, has_accepted, &d);
  p.close_net_on_data = true;
  assert_int_equal(write(fd, "x", 1), 1);
  uv_unref((uv_handle_t *)&rig->guard);
  uv_run(&rig->loop, UV_RUN_DEFAULT);
  uv_ref((uv_handle_t *)&rig->guard);
  close(fd);
  assert_int_equal(p.closed, 1);
  assert_int_equal(d.closed, 1);
}

struct late {
  net_rig *rig;
  const chaski_env *env;
  int listen_rc, connect_rc, udp_rc, closed;
};

static void late_closed(void *user) {
  struct late *late = user;
  chaski_listener *listener;
  chaski_stream *stream;
  chaski_udp *udp;
  const chaski_transport *t = late->env->transport;
  const chaski_udp_events none = {0};
  late->closed++;
  late->listen_rc = t->listen(late->env->ctx, "127.0.0.1", 0, &door_events, NULL, &listener);
  late->connect_rc = t->connect(late->env->ctx, "127.0.0.1", 9, &peer_events, NULL, &stream);
  late->udp_rc = t->udp_open(late->env->ctx, "127.0.0.1", 0, &none, NULL, &udp);
  late->env->alarm(late->env->ctx, 1);
}

static void closing_net_makes_nothing_new(void **state) {
  net_rig *rig = *state;
  struct late late = {rig, rig->fixture.env, 0, 0, 0, 0};
  const chaski_listener_events events = {door_accept, door_error, late_closed};
  chaski_listener *listener;
  assert_int_equal(late.env->transport->listen(late.env->ctx, "127.0.0.1", 0, &events, &late, &listener), CHASKI_OK);
  net_rig_close_net(rig);
  assert_int_equal(late.closed, 1);
  assert_int_equal(late.listen_rc, CHASKI_ESTOPPED);
  assert_int_equal(late.connect_rc, CHASKI_ESTOPPED);
  assert_int_equal(late.udp_rc, CHASKI_ESTOPPED);
}

static void closing_no_net_does_nothing(void **state) {
  (void)state;
  chaski_net *none = NULL;
  chaski_net_close(&none, NULL, NULL);
  chaski_net_close(NULL, NULL, NULL);
}

static void two_nets_live_on_two_loops(void **state) {
  net_rig *a = *state;
  void *other = NULL;
  assert_int_equal(net_rig_setup(&other), 0);
  net_rig *b = other;
  struct peer in = {0}, out = {0};
  struct door d;
  assert_int_equal(door_listen(&d, a, "127.0.0.1", &in, 1), CHASKI_OK);
  assert_int_equal(dial(&out, b, "127.0.0.1", d.port), CHASKI_OK);
  until(a, has_accepted, &d);
  until(b, has_connected, &out);
  assert_int_equal(out.status, CHASKI_OK);
  net_rig_close_net(b);
  until(a, has_ended, &in);
  net_rig_close_net(a); /* so that no block is left when b is looked at */
  assert_int_equal(net_rig_teardown(&other), 0);
}

/* --- names and families ------------------------------------------------------------------------------------------- */

static void localhost_is_found_by_name(void **state) {
  net_rig *rig = *state;
  struct peer in = {0}, out = {0};
  struct door d; /* on IPv4 only: where localhost is ::1 too, that is refused before or never tried */
  assert_int_equal(door_listen(&d, rig, "127.0.0.1", &in, 1), CHASKI_OK);
  assert_int_equal(dial(&out, rig, "localhost", d.port), CHASKI_OK);
  until(rig, has_connected, &out);
  assert_int_equal(out.status, CHASKI_OK);
  until(rig, has_accepted, &d);
  assert_int_equal(out.connected, 1);
  net_rig_close_net(rig);
}

static void name_whose_every_address_refuses_is_refused(void **state) {
  net_rig *rig = *state;
  struct peer in = {0}, out = {0};
  struct door d;
  assert_int_equal(door_listen(&d, rig, "127.0.0.1", &in, 1), CHASKI_OK);
  transport_of(rig)->listener_close(d.listener);
  assert_int_equal(dial(&out, rig, "localhost", d.port), CHASKI_OK);
  until(rig, has_connected, &out);
  assert_int_equal(out.status, CHASKI_EREFUSED);
  net_rig_close_net(rig);
}

static void malformed_name_is_refused(void **state) {
  net_rig *rig = *state;
  struct peer p = {0};
  char name[400];
  memset(name, 'a', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  assert_int_equal(dial(&p, rig, name, 9), CHASKI_ERESOLVE);
  assert_int_equal(chaski_net_handles(rig->net), 0);
  net_rig_close_net(rig);
}

static void immediate_failure_of_a_dial_is_told_later(void **state) {
  net_rig *rig = *state;
  struct peer p = {0};
  assert_int_equal(dial(&p, rig, "255.255.255.255", 9), CHASKI_OK);
  assert_int_equal(p.connected, 0);
  until(rig, has_connected, &p);
  assert_int_not_equal(p.status, CHASKI_OK);
  net_rig_close_net(rig);
}

static void dial_that_failed_at_once_may_close_at_once(void **state) {
  net_rig *rig = *state;
  struct peer p = {0};
  assert_int_equal(dial(&p, rig, "255.255.255.255", 9), CHASKI_OK);
  transport_of(rig)->close(p.stream);
  until(rig, has_closed, &p);
  assert_int_equal(p.connected, 0);
  assert_int_equal(chaski_net_handles(rig->net), 0);
}

static void any_address_of_ipv6_takes_ipv4_too(void **state) {
  net_rig *rig = *state;
  struct peer in[2] = {{0}, {0}}, out = {0}, out6 = {0};
  struct door d;
  if (door_listen(&d, rig, "::1", in, 1) != CHASKI_OK) skip();
  transport_of(rig)->listener_close(d.listener);
  assert_int_equal(door_listen(&d, rig, "::", in, 2), CHASKI_OK);
  assert_int_equal(dial(&out, rig, "127.0.0.1", d.port), CHASKI_OK);
  assert_int_equal(dial(&out6, rig, "::1", d.port), CHASKI_OK);
  until(rig, has_connected, &out);
  until(rig, has_connected, &out6);
  until(rig, has_accepted, &d);
  char host[CHASKI_HOST_MAX];
  uint16_t port;
  assert_int_equal(transport_of(rig)->peer_address(in[0].stream, host, &port), CHASKI_OK);
  assert_string_equal(host, "127.0.0.1");
  assert_int_equal(transport_of(rig)->peer_address(in[1].stream, host, &port), CHASKI_OK);
  assert_string_equal(host, "::1");
  net_rig_close_net(rig);
}

struct datagrams {
  char host[CHASKI_HOST_MAX];
  int count;
};

static void on_datagram(void *user, const char *host, uint16_t port, const uint8_t *bytes, size_t len) {
  (void)port;
  (void)bytes;
  (void)len;
  struct datagrams *seen = user;
  seen->count++;
  strcpy(seen->host, host);
}

static void on_udp_error(void *user, int status) {
  (void)user;
  (void)status;
}

static void on_udp_closed(void *user) {
  (void)user;
}

static const chaski_udp_events udp_events = {on_datagram, on_udp_error, on_udp_closed};

static bool has_datagram(void *user) {
  return ((struct datagrams *)user)->count > 0;
}

static void datagram_socket_of_ipv6_speaks_with_ipv4(void **state) {
  net_rig *rig = *state;
  const chaski_env *env = rig->fixture.env;
  const chaski_transport *t = env->transport;
  struct datagrams a = {{0}, 0}, b = {{0}, 0};
  chaski_udp *six, *four;
  if (t->udp_open(env->ctx, "::", 0, &udp_events, &a, &six) != CHASKI_OK) skip();
  assert_int_equal(t->udp_open(env->ctx, "127.0.0.1", 0, &udp_events, &b, &four), CHASKI_OK);
  assert_int_equal(t->udp_send(six, "127.0.0.1", t->udp_port(four), (const uint8_t *)"x", 1), CHASKI_OK);
  assert_int_equal(t->udp_send(four, "127.0.0.1", t->udp_port(six), (const uint8_t *)"x", 1), CHASKI_OK);
  until(rig, has_datagram, &a);
  until(rig, has_datagram, &b);
  assert_string_equal(a.host, "127.0.0.1");
  assert_string_equal(b.host, "127.0.0.1");
  net_rig_close_net(rig);
}

static void empty_datagrams_are_dropped(void **state) {
  net_rig *rig = *state;
  const chaski_env *env = rig->fixture.env;
  const chaski_transport *t = env->transport;
  struct datagrams seen = {{0}, 0};
  chaski_udp *udp;
  assert_int_equal(t->udp_open(env->ctx, "127.0.0.1", 0, &udp_events, &seen, &udp), CHASKI_OK);
  assert_int_equal(t->udp_send(udp, "127.0.0.1", t->udp_port(udp), (const uint8_t *)"", 0), CHASKI_OK);
  assert_int_equal(t->udp_send(udp, "127.0.0.1", t->udp_port(udp), (const uint8_t *)"x", 1), CHASKI_OK);
  until(rig, has_datagram, &seen);
  net_rig_settle(rig, 50000000);
  assert_int_equal(seen.count, 1);
  assert_int_equal(t->udp_send(udp, "127.0.0.1", 9, (const uint8_t *)"", (size_t)1 << 33), CHASKI_ETOOBIG);
  net_rig_close_net(rig);
}

static void round_trip(const char *text, const char *expected) {
  struct sockaddr_storage addr;
  char host[CHASKI_HOST_MAX];
  uint16_t port = 0;
  assert_int_equal(chaski__sockaddr_parse(text, 8511, &addr), CHASKI_OK);
  assert_int_equal(chaski__sockaddr_format((struct sockaddr *)&addr, host, &port), CHASKI_OK);
  assert_string_equal(host, expected);
  assert_int_equal(port, 8511);
}

static void numeric_addresses_read_as_written(void **state) {
  (void)state;
  struct sockaddr_storage addr = {.ss_family = AF_UNIX};
  char host[CHASKI_HOST_MAX];
  uint16_t port;
  assert_int_equal(chaski__sockaddr_format((struct sockaddr *)&addr, host, &port), CHASKI_EADDRESS);
  round_trip("127.0.0.1", "127.0.0.1");
  round_trip("::1", "::1");
  round_trip("2001:DB8::0:1", "2001:db8::1");
  round_trip("::ffff:10.0.0.1", "10.0.0.1");
  round_trip("fe80::1%lo", "fe80::1%lo");
  const char *bad[] = {"", "localhost", "1.2.3", "256.1.1.1", "[::1]", ":::", "127.0.0.1 "};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    assert_int_equal(chaski__sockaddr_parse(bad[i], 1, &addr), CHASKI_EADDRESS);
}

/* --- numbers ------------------------------------------------------------------------------------------------------ */

static bool crowd_connected(void *user) {
  struct peer *peers = user;
  for (size_t i = 0; i < CROWD; i++)
    if (!peers[i].connected) return false;
  return true;
}

static bool crowd_ended(void *user) {
  struct peer *peers = user;
  for (size_t i = 0; i < CROWD; i++)
    if (!peers[i].ended) return false;
  return true;
}

static bool only_listener_left(void *user) {
  return chaski_net_handles(((net_rig *)user)->net) == 1;
}

static void crowd_comes_and_goes(net_rig *rig, struct door *d, struct peer *in, struct peer *out) {
  d->accepted = 0;
  memset(in, 0, CROWD * sizeof *in);
  memset(out, 0, CROWD * sizeof *out);
  for (size_t i = 0; i < CROWD; i++) assert_int_equal(dial(&out[i], rig, "127.0.0.1", d->port), CHASKI_OK);
  until(rig, crowd_connected, out);
  until(rig, has_accepted, d);
  for (size_t i = 0; i < CROWD; i++) assert_int_equal(out[i].status, CHASKI_OK);
  for (size_t i = 0; i < CROWD; i++) transport_of(rig)->close(out[i].stream);
  until(rig, crowd_ended, in);
  for (size_t i = 0; i < CROWD; i++) transport_of(rig)->close(in[i].stream);
  until(rig, only_listener_left, rig);
  for (size_t i = 0; i < CROWD; i++) assert_int_equal(in[i].closed + out[i].closed, 2);
}

static void thousand_streams_leave_nothing_behind(void **state) {
  net_rig *rig = *state;
  struct rlimit files;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
  if (files.rlim_max < 2 * CROWD + 64) skip();
  files.rlim_cur = files.rlim_max;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
  struct peer *peers = calloc(2 * CROWD, sizeof *peers);
  assert_non_null(peers);
  struct door d;
  assert_int_equal(door_listen(&d, rig, "127.0.0.1", peers, CROWD), CHASKI_OK);
  size_t blocks = chaski_alloc_blocks();
  for (int round = 0; round < 2; round++) {
    crowd_comes_and_goes(rig, &d, peers, peers + CROWD);
    assert_int_equal(chaski_alloc_blocks(), blocks);
  }
  net_rig_close_net(rig);
  free(peers);
}

/* --- options of the socket ---------------------------------------------------------------------------------------- */

static int option_of(int fd, int level, int name) {
  int value = -1;
  socklen_t len = sizeof value;
  assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
  return value;
}

static void look_at_socket(uv_handle_t *handle, void *count) {
  uv_os_fd_t fd;
  if (handle->type != UV_TCP || uv_fileno(handle, &fd) != 0) return;
  ++*(int *)count;
  assert_int_not_equal(option_of(fd, IPPROTO_TCP, TCP_NODELAY), 0);
  assert_int_not_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
  assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 15);
  assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 5);
  assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
}

static void both_ends_send_at_once_and_notice_dead_peers(void **state) {
  net_rig *rig = *state;
  struct peer in = {0}, out = {0};
  struct door d;
  int count = 0;
  assert_int_equal(door_listen(&d, rig, "127.0.0.1", &in, 1), CHASKI_OK);
  assert_int_equal(dial(&out, rig, "127.0.0.1", d.port), CHASKI_OK);
  until(rig, has_accepted, &d);
  until(rig, has_connected, &out);
  uv_walk(&rig->loop, look_at_socket, &count);
  assert_int_equal(count, 2);
  net_rig_close_net(rig);
}

/* --- no memory ---------------------------------------------------------------------------------------------------- */

static int allocations_left;

static void *scarce(void *ptr, size_t size) {
  if (size > 0 && allocations_left-- <= 0) return NULL;
  if (size > 0) return realloc(ptr, size);
  free(ptr);
  return NULL;
}

static void without_memory_nothing_is_made(void **state) {
  (void)state;
  void *other = NULL;
  struct peer in = {0}, out = {0};
  struct door d;
  chaski_net *none = NULL;
  chaski_udp *udp;
  allocations_left = 0;
  chaski_set_allocator(scarce);
  uv_loop_t loop;
  assert_int_equal(uv_loop_init(&loop), 0);
  assert_int_equal(chaski_net_open(&loop, &none), CHASKI_ENOMEM);
  assert_int_equal(uv_loop_close(&loop), 0);
  allocations_left = 1;
  assert_int_equal(net_rig_setup(&other), 0);
  net_rig *rig = other;
  const chaski_env *env = rig->fixture.env;
  assert_int_equal(door_listen(&d, rig, "127.0.0.1", &in, 1), CHASKI_ENOMEM);
  assert_int_equal(dial(&out, rig, "127.0.0.1", 9), CHASKI_ENOMEM);
  assert_int_equal(env->transport->udp_open(env->ctx, "127.0.0.1", 0, &udp_events, NULL, &udp), CHASKI_ENOMEM);
  allocations_left = 1;
  assert_int_equal(dial(&out, rig, "localhost", 9), CHASKI_ENOMEM);
  assert_int_equal(chaski_net_handles(rig->net), 0);
  assert_int_equal(net_rig_teardown(&other), 0);
  chaski_set_allocator(NULL);
}

static bool has_error(void *user) {
  return ((struct door *)user)->errors > 0;
}

static void listener_without_memory_tries_again(void **state) {
  (void)state;
  void *other = NULL;
  struct peer in[2] = {{0}, {0}};
  struct door d;
  chaski_set_allocator(scarce);
  allocations_left = 2;
  assert_int_equal(net_rig_setup(&other), 0);
  net_rig *rig = other;
  assert_int_equal(door_listen(&d, rig, "127.0.0.1", in, 1), CHASKI_OK);
  int lost = net_rig_raw_client(d.port);
  until(rig, has_error, &d);
  assert_int_equal(d.error, CHASKI_ENOMEM);
  allocations_left = 1;
  int fd = net_rig_raw_client(d.port);
  until(rig, has_accepted, &d);
  assert_int_equal(d.errors, 1);
  close(fd);
  close(lost);
  net_rig_close_net(rig);
  assert_int_equal(net_rig_teardown(&other), 0);
  chaski_set_allocator(NULL);
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

struct lines {
  int count;
  enum chaski_log_level level;
  char text[64];
};

static void keep_line(void *user, enum chaski_log_level level, const char *who, const char *line) {
  struct lines *lines = user;
  lines->count++;
  lines->level = level;
  snprintf(lines->text, sizeof lines->text, "%s: %s", who, line);
}

static void log_lines_go_to_the_sink_up_to_its_level(void **state) {
  net_rig *rig = *state;
  const chaski_env *env = rig->fixture.env;
  struct lines lines = {0};
  env->log(env->ctx, CHASKI_LOG_ERROR, "root", "nobody listens");
  assert_int_equal(env->log_level(env->ctx), CHASKI_LOG_ERROR);
  chaski_net_log(rig->net, keep_line, CHASKI_LOG_INFO, &lines);
  assert_int_equal(env->log_level(env->ctx), CHASKI_LOG_INFO);
  env->log(env->ctx, CHASKI_LOG_DEBUG, "root", "too fine");
  assert_int_equal(lines.count, 0);
  env->log(env->ctx, CHASKI_LOG_WARN, "root", "hear");
  assert_int_equal(lines.count, 1);
  assert_int_equal(lines.level, CHASKI_LOG_WARN);
  assert_string_equal(lines.text, "root: hear");
  chaski_net_log(rig->net, keep_line, CHASKI_LOG_TRACE, &lines);
  env->log(env->ctx, CHASKI_LOG_DEBUG, "root", "fine enough");
  assert_int_equal(lines.count, 2);
}

static void handle_nothing(int sig) {
  (void)sig;
}

static void open_and_close_a_net(void) {
  void *other = NULL;
  assert_int_equal(net_rig_setup(&other), 0);
  net_rig_close_net(other);
  net_rig *rig = other;
  uv_close((uv_handle_t *)&rig->guard, NULL);
  uv_run(&rig->loop, UV_RUN_DEFAULT);
  assert_int_equal(uv_loop_close(&rig->loop), 0);
  free(rig);
}

static void sigpipe_is_ignored_only_if_nobody_handles_it(void **state) {
  (void)state;
  signal(SIGPIPE, SIG_DFL);
  open_and_close_a_net();
  assert_ptr_equal(signal(SIGPIPE, handle_nothing), SIG_IGN);
  open_and_close_a_net();
  assert_ptr_equal(signal(SIGPIPE, SIG_IGN), handle_nothing);
}

static void codes_of_libuv_become_ours(void **state) {
  (void)state;
  assert_int_equal(chaski__net_error(0), CHASKI_OK);
  assert_int_equal(chaski__net_error(UV_EOF), CHASKI_OK);
  assert_int_equal(chaski__net_error(UV_ECONNREFUSED), CHASKI_EREFUSED);
  assert_int_equal(chaski__net_error(UV_EPIPE), CHASKI_ERESET);
  assert_int_equal(chaski__net_error(UV_EMFILE), CHASKI_EFILES);
  assert_int_equal(chaski__net_error(UV_EHOSTUNREACH), CHASKI_EUNREACHABLE);
  assert_int_equal(chaski__net_error(UV_EACCES), CHASKI_EACCESS);
  assert_int_equal(chaski__net_error(UV_EAI_ADDRFAMILY), CHASKI_ERESOLVE);
  assert_int_equal(chaski__net_error(UV_EAI_NONAME), CHASKI_ERESOLVE);
  assert_int_equal(chaski__net_error(UV_EAI_PROTOCOL), CHASKI_ERESOLVE);
  assert_int_equal(chaski__net_error(UV_EAI_MEMORY), CHASKI_ENOMEM);
  assert_int_equal(chaski__net_error(UV_EISDIR), CHASKI_EIO);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, net_rig_setup, net_rig_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(reset_by_the_peer_ends_the_stream_with_a_code),
      TEST(write_to_a_reset_stream_fails_and_the_end_is_no_good_one),
      TEST(no_stream_reads_more_than_its_share_of_a_turn),
      TEST(stream_that_had_its_share_keeps_the_loop_alive),
      TEST(idle_net_does_not_keep_the_loop_alive_but_an_alarm_does),
      TEST(flush_comes_every_turn),
      TEST(handles_carry_no_data_because_luv_reads_it),
      TEST(closing_the_net_closes_all_that_is_open),
      TEST(net_may_close_inside_an_upcall_of_a_stream),
      TEST(closing_net_makes_nothing_new),
      TEST(closing_no_net_does_nothing),
      TEST(two_nets_live_on_two_loops),
      TEST(localhost_is_found_by_name),
      TEST(name_whose_every_address_refuses_is_refused),
      TEST(malformed_name_is_refused),
      TEST(immediate_failure_of_a_dial_is_told_later),
      TEST(dial_that_failed_at_once_may_close_at_once),
      TEST(any_address_of_ipv6_takes_ipv4_too),
      TEST(datagram_socket_of_ipv6_speaks_with_ipv4),
      TEST(empty_datagrams_are_dropped),
      cmocka_unit_test(numeric_addresses_read_as_written),
      TEST(thousand_streams_leave_nothing_behind),
      TEST(both_ends_send_at_once_and_notice_dead_peers),
      cmocka_unit_test(without_memory_nothing_is_made),
      cmocka_unit_test(listener_without_memory_tries_again),
      TEST(log_lines_go_to_the_sink_up_to_its_level),
      cmocka_unit_test(sigpipe_is_ignored_only_if_nobody_handles_it),
      cmocka_unit_test(codes_of_libuv_become_ours),
  };
  alarm(getenv("CHASKI_VALGRIND") ? 900 : 50);
  return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
