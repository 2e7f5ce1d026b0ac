/* dial_test.c: dialling, with two functions of the C library replaced by ours: a resolver (it is called in libuv's
 * threads) that knows "two.test", whose first address may refuse, and "slow.test", which answers when it is let; and a
 * connect() that, when told so, gives the socket the very port it dials, as the kernel may by chance.
 * SPDX-License-Identifier: MIT */
#include "net_rig.h"

#include "../../src/core/alloc.h"

#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef int (*resolver)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
typedef int (*connector)(int, const struct sockaddr *, socklen_t);

static sem_t slow_begun, slow_may_end;
static resolver libc_resolver;
static connector libc_connect;
static bool to_itself;

static int two_addresses(const struct addrinfo *hints, struct addrinfo **out) {
  struct addrinfo *second;
  if (libc_resolver("127.0.0.2", NULL, hints, out) != 0) return EAI_FAIL;
  if (libc_resolver("127.0.0.1", NULL, hints, &second) != 0) return EAI_FAIL;
  (*out)->ai_next = second; /* glibc allocates and frees each entry by itself */
  return 0;
}

int getaddrinfo(const char *restrict name, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict out);

__attribute__((visibility("default"))) int getaddrinfo(const char *restrict name, const char *restrict service,
                                                       const struct addrinfo *restrict hints,
                                                       struct addrinfo **restrict out) {
  if (strcmp(name, "two.test") == 0) return two_addresses(hints, out);
  if (strcmp(name, "none.test") == 0) return EAI_NONAME;
  if (strcmp(name, "slow.test") != 0) return libc_resolver(name, service, hints, out);
  sem_post(&slow_begun);
  while (sem_wait(&slow_may_end) != 0) continue;
  return two_addresses(hints, out);
}

int connect(int fd, const struct sockaddr *addr, socklen_t len);

__attribute__((visibility("default"))) int connect(int fd, const struct sockaddr *addr, socklen_t len) {
  if (to_itself && bind(fd, addr, len) != 0) return -1;
  return libc_connect(fd, addr, len);
}

/* --- a stream and a listener, just counted ------------------------------------------------------------------------ */

struct scene {
  net_rig *rig;
  const chaski_transport *t;
  void *ctx;
  chaski_listener *listener;
  uint16_t port;
  chaski_stream *stream;
  int connected, status, closed, accepted;
};

static void on_connected(void *user, int status) {
  struct scene *sc = user;
  sc->connected++;
  sc->status = status;
}

static void on_data(void *user, const uint8_t *bytes, size_t len) {
  (void)user;
  (void)bytes;
  (void)len;
}

static void on_status(void *user, int status) {
  (void)user;
  (void)status;
}

static void on_closed(void *user) {
  ((struct scene *)user)->closed++;
}

static const chaski_stream_events events = {on_connected, on_data, on_status, on_status, on_closed};

static void on_accept(void *user, chaski_stream *stream) {
  struct scene *sc = user;
  sc->accepted++;
  sc->t->close(stream);
}

static void on_listener_closed(void *user) {
  (void)user;
}

static const chaski_listener_events listener_events = {on_accept, on_status, on_listener_closed};

static bool is_connected(void *user) {
  return ((struct scene *)user)->connected > 0;
}

static bool is_closed(void *user) {
  return ((struct scene *)user)->closed > 0;
}

static bool is_accepted(void *user) {
  return ((struct scene *)user)->accepted > 0;
}

static struct scene begin(void **state) {
  struct scene sc = {.rig = *state};
  sc.t = sc.rig->fixture.env->transport;
  sc.ctx = sc.rig->fixture.env->ctx;
  return sc;
}

static void listen_on(struct scene *sc, const char *ip) {
  assert_int_equal(sc->t->listen(sc->ctx, ip, 0, &listener_events, sc, &sc->listener), CHASKI_OK);
  sc->port = sc->t->listener_port(sc->listener);
}

static void dial(struct scene *sc, const char *name) {
  assert_int_equal(sc->t->connect(sc->ctx, name, sc->port, &events, sc, &sc->stream), CHASKI_OK);
}

static void until(struct scene *sc, bool (*done)(void *)) {
  assert_true(net_rig_until(sc->rig, done, sc));
}

/* --- tests -------------------------------------------------------------------------------------------------------- */

static void second_address_is_tried_after_the_first_refused(void **state) {
  struct scene sc = begin(state);
  listen_on(&sc, "127.0.0.1");
  dial(&sc, "two.test");
  until(&sc, is_connected);
  assert_int_equal(sc.status, CHASKI_OK);
  until(&sc, is_accepted);
  char host[CHASKI_HOST_MAX];
  uint16_t port;
  assert_int_equal(sc.t->peer_address(sc.stream, host, &port), CHASKI_OK);
  assert_string_equal(host, "127.0.0.1");
  assert_int_equal(sc.connected, 1);
  net_rig_close_net(sc.rig);
}

static void first_address_that_answers_ends_the_search(void **state) {
  struct scene sc = begin(state);
  listen_on(&sc, "127.0.0.2");
  dial(&sc, "two.test");
  until(&sc, is_connected);
  assert_int_equal(sc.status, CHASKI_OK);
  until(&sc, is_accepted);
  assert_int_equal(sc.connected, 1);
  net_rig_close_net(sc.rig);
}

static void all_addresses_refusing_is_told_once(void **state) {
  struct scene sc = begin(state);
  listen_on(&sc, "127.0.0.1");
  sc.t->listener_close(sc.listener);
  dial(&sc, "two.test");
  until(&sc, is_connected);
  net_rig_settle(sc.rig, 50000000);
  assert_int_equal(sc.status, CHASKI_EREFUSED);
  assert_int_equal(sc.connected, 1);
  net_rig_close_net(sc.rig);
  assert_int_equal(sc.closed, 1);
}

/* However the close falls between the attempts, `closed` is all that comes. */
static void close_between_attempts_only_closes(void **state) {
  for (int turns = 0; turns < 6; turns++) {
    struct scene sc = begin(state);
    listen_on(&sc, "127.0.0.1");
    sc.t->listener_close(sc.listener);
    dial(&sc, "two.test");
    for (int i = 0; i < turns && !sc.connected; i++) uv_run(&sc.rig->loop, UV_RUN_ONCE);
    int connected = sc.connected;
    sc.t->close(sc.stream);
    until(&sc, is_closed);
    net_rig_settle(sc.rig, 30000000);
    assert_int_equal(sc.connected, connected);
    assert_int_equal(sc.closed, 1);
    assert_int_equal(chaski_net_handles(sc.rig->net), 0);
  }
}

static void unknown_name_is_unresolved(void **state) {
  struct scene sc = begin(state);
  sc.port = 9;
  dial(&sc, "none.test");
  until(&sc, is_connected);
  assert_int_equal(sc.status, CHASKI_ERESOLVE);
  net_rig_close_net(sc.rig);
}

static void close_does_not_wait_for_a_lookup_under_way(void **state) {
  struct scene sc = begin(state);
  sc.port = 9;
  dial(&sc, "slow.test");
  while (sem_wait(&slow_begun) != 0) continue;
  sc.t->close(sc.stream);
  until(&sc, is_closed);
  assert_int_equal(chaski_net_handles(sc.rig->net), 0);
  assert_int_not_equal(chaski_alloc_blocks(), 0);
  sem_post(&slow_may_end);
  net_rig_settle(sc.rig, 50000000);
  assert_int_equal(sc.connected, 0);
  net_rig_close_net(sc.rig);
}

static void numeric_dials_go_on_during_a_slow_lookup(void **state) {
  struct scene sc = begin(state), named = begin(state);
  named.port = 9;
  dial(&named, "slow.test");
  while (sem_wait(&slow_begun) != 0) continue;
  listen_on(&sc, "127.0.0.1");
  dial(&sc, "127.0.0.1");
  until(&sc, is_connected);
  assert_int_equal(sc.status, CHASKI_OK);
  assert_int_equal(named.connected, 0);
  sem_post(&slow_may_end);
  until(&named, is_connected);
  net_rig_close_net(sc.rig);
}

static void on_net_closed(void *user) {
  ((net_rig *)user)->net_closed++;
}

static void closing_net_outlives_the_lookup_under_way(void **state) {
  struct scene sc = begin(state);
  sc.port = 9;
  dial(&sc, "slow.test");
  while (sem_wait(&slow_begun) != 0) continue;
  chaski_net_close(&sc.rig->net, on_net_closed, sc.rig);
  until(&sc, is_closed);
  net_rig_settle(sc.rig, 50000000);
  assert_int_equal(sc.rig->net_closed, 0);
  sem_post(&slow_may_end);
  uv_unref((uv_handle_t *)&sc.rig->guard);
  uv_run(&sc.rig->loop, UV_RUN_DEFAULT);
  uv_ref((uv_handle_t *)&sc.rig->guard);
  assert_int_equal(sc.rig->net_closed, 1);
  assert_int_equal(sc.connected, 0);
}

static void stream_that_meets_itself_counts_as_refused(void **state) {
  struct scene sc = begin(state);
  listen_on(&sc, "127.0.0.1");
  sc.t->listener_close(sc.listener);
  to_itself = true;
  dial(&sc, "127.0.0.1");
  to_itself = false;
  until(&sc, is_connected);
  assert_int_equal(sc.status, CHASKI_EREFUSED);
  net_rig_close_net(sc.rig);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, net_rig_setup, net_rig_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(second_address_is_tried_after_the_first_refused),
      TEST(first_address_that_answers_ends_the_search),
      TEST(all_addresses_refusing_is_told_once),
      TEST(close_between_attempts_only_closes),
      TEST(unknown_name_is_unresolved),
      TEST(close_does_not_wait_for_a_lookup_under_way),
      TEST(numeric_dials_go_on_during_a_slow_lookup),
      TEST(closing_net_outlives_the_lookup_under_way),
      TEST(stream_that_meets_itself_counts_as_refused),
  };
  libc_resolver = (resolver)(uintptr_t)dlsym(RTLD_NEXT, "getaddrinfo");
  libc_connect = (connector)(uintptr_t)dlsym(RTLD_NEXT, "connect");
  if (!libc_resolver || !libc_connect) return 1;
  if (sem_init(&slow_begun, 0, 0) != 0 || sem_init(&slow_may_end, 0, 0) != 0) return 1;
  alarm(getenv("CHASKI_VALGRIND") ? 900 : 50);
  return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}
