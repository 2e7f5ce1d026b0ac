/* emfile_test.c: a process without a free file descriptor goes on serving the streams it has, does not spin, and
 * accepts again as soon as there are some. A program of its own, because it lowers its limit.
 * SPDX-License-Identifier: MIT */
#include "net_rig.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define LIMIT 64
#define LATE 3

struct side {
  chaski_stream *stream;
  int connected, status;
  size_t received;
};

struct scene {
  net_rig *rig;
  const chaski_transport *t;
  chaski_listener *listener;
  uint16_t port;
  struct side dialled, refused, accepted[1 + LATE];
  size_t count;
  int errors, error;
  size_t fillers;
  int filler[LIMIT], late[LATE];
};

static void on_connected(void *user, int status) {
  struct side *s = user;
  s->connected++;
  s->status = status;
}

static void on_data(void *user, const uint8_t *bytes, size_t len) {
  (void)bytes;
  ((struct side *)user)->received += len;
}

static void on_status(void *user, int status) {
  (void)user;
  (void)status;
}

static void on_closed(void *user) {
  ((struct side *)user)->stream = NULL;
}

static const chaski_stream_events events = {on_connected, on_data, on_status, on_status, on_closed};

static void on_accept(void *user, chaski_stream *stream) {
  struct scene *sc = user;
  struct side *s = &sc->accepted[sc->count++];
  s->stream = stream;
  sc->t->open(stream, &events, s);
}

static void on_error(void *user, int status) {
  struct scene *sc = user;
  sc->errors++;
  sc->error = status;
}

static void on_listener_closed(void *user) {
  (void)user;
}

static const chaski_listener_events listener_events = {on_accept, on_error, on_listener_closed};

static bool pair_is_up(void *user) {
  struct scene *sc = user;
  return sc->count == 1 && sc->dialled.connected;
}

static bool has_error(void *user) {
  return ((struct scene *)user)->errors > 0;
}

static bool refused_is_told(void *user) {
  return ((struct scene *)user)->refused.connected > 0;
}

static bool all_came(void *user) {
  return ((struct scene *)user)->count == 1 + LATE;
}

static bool echoed(void *user) {
  return ((struct scene *)user)->accepted[0].received == 5;
}

static void until(struct scene *sc, bool (*done)(void *)) {
  assert_true(net_rig_until(sc->rig, done, sc));
}

static void begin(struct scene *sc) {
  void *ctx = sc->rig->fixture.env->ctx;
  assert_int_equal(sc->t->listen(ctx, "127.0.0.1", 0, &listener_events, sc, &sc->listener), CHASKI_OK);
  sc->port = sc->t->listener_port(sc->listener);
  assert_int_equal(sc->t->connect(ctx, "127.0.0.1", sc->port, &events, &sc->dialled, &sc->dialled.stream), CHASKI_OK);
  until(sc, pair_is_up);
}

static void free_descriptors(struct scene *sc) {
  while (sc->fillers > 0) close(sc->filler[--sc->fillers]);
}

static void end(struct scene *sc) {
  free_descriptors(sc);
  for (int i = 0; i < LATE; i++) close(sc->late[i]);
  net_rig_close_net(sc->rig); /* while what its upcalls touch is there */
}

/* The late ones have their sockets before the descriptors run out; the kernel completes their connections. */
static void run_out_of_descriptors(struct scene *sc) {
  for (int i = 0; i < LATE; i++) sc->late[i] = net_rig_raw_socket();
  while (sc->fillers < LIMIT) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0) break;
    sc->filler[sc->fillers++] = fd;
  }
  assert_true(open("/dev/null", O_RDONLY | O_CLOEXEC) < 0);
  for (int i = 0; i < LATE; i++) net_rig_raw_connect(sc->late[i], sc->port);
}

static void live_streams_go_on(struct scene *sc) {
  chaski_slice slice = chaski_slice_str("hello");
  assert_int_equal(sc->t->write(sc->dialled.stream, &slice, 1), 5);
  until(sc, echoed);
}

static void dial_is_told_why(struct scene *sc) {
  void *ctx = sc->rig->fixture.env->ctx;
  assert_int_equal(sc->t->connect(ctx, "127.0.0.1", sc->port, &events, &sc->refused, &sc->refused.stream), CHASKI_OK);
  until(sc, refused_is_told);
  assert_int_equal(sc->refused.status, CHASKI_EFILES);
}

static double cpu_seconds(void) {
  struct rusage used;
  assert_int_equal(getrusage(RUSAGE_SELF, &used), 0);
  return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* With its guard of 20 ms the loop turns some fifty times a second by itself. */
static void loop_does_not_spin(struct scene *sc) {
  int turns = sc->rig->turns, errors = sc->errors;
  double cpu = cpu_seconds(), seconds = 1.5;
  net_rig_settle(sc->rig, (uint64_t)(seconds * 1e9));
  cpu = cpu_seconds() - cpu;
  print_message("figures: without a descriptor: %.1f %% of the processor for %.1f s\n", 100 * cpu / seconds, seconds);
  if (!getenv("CHASKI_VALGRIND")) assert_true(cpu < 0.05 * seconds);
  assert_in_range(sc->rig->turns - turns, 1, 150);
  assert_in_range(sc->errors - errors, 1, 4); /* 100 + 200 + 400 + 800 ms and then every second */
}

static void waiting_connections_come_in_within_2_s(struct scene *sc) {
  const chaski_env *env = sc->rig->fixture.env;
  free_descriptors(sc);
  uint64_t begun = env->now(env->ctx);
  until(sc, all_came);
  uint64_t took = env->now(env->ctx) - begun;
  print_message("figures: accepting again %.2f s after descriptors were free\n", (double)took / 1e9);
  assert_true(took < UINT64_C(2000000000));
}

/* Valgrind plays the limit by closing what accept() returned, so there nothing waits any more. */
static bool under_valgrind(void) {
  const char *preload = getenv("LD_PRELOAD");
  return preload && strstr(preload, "vgpreload");
}

static void out_of_descriptors_live_streams_go_on_and_waiting_ones_come_in_later(void **state) {
  struct scene sc = {.rig = *state};
  sc.t = sc.rig->fixture.env->transport;
  begin(&sc);
  run_out_of_descriptors(&sc);
  until(&sc, has_error);
  assert_int_equal(sc.error, CHASKI_EFILES);
  live_streams_go_on(&sc);
  dial_is_told_why(&sc);
  loop_does_not_spin(&sc);
  assert_int_equal(sc.count, 1);
  if (!under_valgrind()) waiting_connections_come_in_within_2_s(&sc);
  end(&sc);
}

static void listener_may_close_while_it_waits_for_descriptors(void **state) {
  struct scene sc = {.rig = *state};
  sc.t = sc.rig->fixture.env->transport;
  begin(&sc);
  run_out_of_descriptors(&sc);
  until(&sc, has_error);
  sc.t->listener_close(sc.listener);
  net_rig_settle(sc.rig, UINT64_C(300000000));
  assert_int_equal(sc.errors, 1);
  end(&sc);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(out_of_descriptors_live_streams_go_on_and_waiting_ones_come_in_later,
                                      net_rig_setup, net_rig_teardown),
      cmocka_unit_test_setup_teardown(listener_may_close_while_it_waits_for_descriptors, net_rig_setup,
                                      net_rig_teardown),
  };
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return 1;
  files.rlim_cur = LIMIT;
  if (setrlimit(RLIMIT_NOFILE, &files) != 0) return 1;
  alarm(getenv("CHASKI_VALGRIND") ? 900 : 50);
  return cmocka_run_group_tests_name("emfile", tests, NULL, NULL);
}
