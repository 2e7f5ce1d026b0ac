/* sim_test.c: the simulated world itself: clocks, hooks, hosts, names, links, and that all of it repeats.
 * SPDX-License-Identifier: MIT */
#include "sim_rig.h"

/* --- time --------------------------------------------------------------------------------------------------------- */

static void nothing_scheduled_means_no_step(void **state) {
  struct world *w = *state;
  uint64_t before = chaski_sim_now(w->sim);
  assert_false(chaski_sim_step(w->sim));
  assert_int_equal(chaski_sim_now(w->sim), before);
}

static bool never(void *user) {
  (void)user;
  return false;
}

static void run_ends_where_its_time_ends(void **state) {
  struct world *w = *state;
  uint64_t before = chaski_sim_now(w->sim);
  w->env->alarm(w->sim, before + 10 * SECOND);
  assert_int_equal(chaski_sim_run(w->sim, never, w, 3 * SECOND), CHASKI_ETIMEOUT);
  assert_int_equal(chaski_sim_now(w->sim), before + 3 * SECOND);
  assert_true(chaski_sim_next(w->sim) == before + 10 * SECOND);
  assert_int_equal(chaski_sim_run(w->sim, never, w, UINT64_MAX), CHASKI_ETIMEOUT);
  assert_int_equal(chaski_sim_now(w->sim), before + 10 * SECOND);
  assert_true(chaski_sim_next(w->sim) == UINT64_MAX);
}

static void wall_clock_jumps_and_the_monotonic_one_does_not(void **state) {
  struct world *w = *state;
  int64_t before, after;
  uint32_t nsec;
  uint64_t now = w->env->now(w->sim);
  w->env->wall(w->sim, &before, &nsec);
  chaski_sim_wall_jump(w->sim, -3600);
  w->env->wall(w->sim, &after, &nsec);
  assert_int_equal(after, before - 3600);
  assert_int_equal(w->env->now(w->sim), now);
  pass(w, 1500 * MS);
  w->env->wall(w->sim, &after, &nsec);
  assert_int_equal(after, before - 3600 + 1);
  assert_int_equal(nsec, 500 * MS);
}

struct hooks {
  chaski_sim *sim;
  int expired, flushed;
  uint64_t expired_at, flushed_at;
  bool again;
};

static void expire(void *user) {
  struct hooks *h = user;
  h->expired++;
  h->expired_at = chaski_sim_now(h->sim);
  if (h->again) chaski_sim_env(h->sim)->alarm(h->sim, 1);
}

static void flush(void *user) {
  struct hooks *h = user;
  h->flushed++;
  h->flushed_at = chaski_sim_now(h->sim);
}

static void alarm_expires_when_due_and_flush_follows_before_time_moves(void **state) {
  struct world *w = *state;
  struct hooks h = {.sim = w->sim};
  chaski_sim_hooks(w->sim, expire, flush, &h);
  uint64_t due = chaski_sim_now(w->sim) + 7 * MS;
  w->env->alarm(w->sim, due + SECOND);
  w->env->alarm(w->sim, due);
  assert_true(chaski_sim_step(w->sim));
  assert_int_equal(h.expired, 1);
  assert_int_equal(h.expired_at, due);
  assert_int_equal(h.flushed_at, due);
  assert_false(chaski_sim_step(w->sim));
}

static void alarm_always_overdue_lets_time_go_on(void **state) {
  struct world *w = *state;
  struct hooks h = {.sim = w->sim, .again = true};
  chaski_sim_hooks(w->sim, expire, NULL, &h);
  w->env->alarm(w->sim, 1);
  pass(w, MS);
  assert_in_range(h.expired, 2, 1100);
}

static void write_from_flush(void *user) {
  struct world *w = user;
  if (w->client.connected && w->target == 0) write_bytes(w, &w->client, w->target = 100);
}

static void flush_may_write_and_what_it_writes_arrives(void **state) {
  struct world *w = *state;
  chaski_sim_hooks(w->sim, NULL, write_from_flush, w);
  be_connected(w);
  until_received(w, &w->servers[0], 100);
}

static void log_goes_where_it_was_told(void *user, enum chaski_log_level level, const char *who, const char *line) {
  if (level == CHASKI_LOG_INFO && strcmp(who, "node") == 0 && strcmp(line, "hello") == 0) ++*(int *)user;
}

static void log_admits_its_level_and_below(void **state) {
  struct world *w = *state;
  int lines = 0;
  assert_int_equal(w->env->log_level(w->sim), CHASKI_LOG_ERROR);
  chaski_sim_log(w->sim, CHASKI_LOG_INFO, log_goes_where_it_was_told, &lines);
  w->env->log(w->sim, CHASKI_LOG_INFO, "node", "hello");
  w->env->log(w->sim, CHASKI_LOG_DEBUG, "node", "hello");
  assert_int_equal(lines, 1);
}

/* --- hosts and names ------------------------------------------------------------------------------------------------
 */

static void acceptor_sees_the_host_that_dialled(void **state) {
  struct world *w = *state;
  be_connected(w);
  char host[CHASKI_HOST_MAX], local[CHASKI_HOST_MAX];
  uint16_t port, local_port;
  assert_int_equal(w->t->peer_address(w->servers[0].stream, host, &port), CHASKI_OK);
  assert_string_equal(host, CLIENT);
  assert_int_equal(w->t->local_address(w->client.stream, local, &local_port), CHASKI_OK);
  assert_string_equal(local, CLIENT);
  assert_int_equal(port, local_port);
}

static void any_address_listens_on_the_host_that_acts(void **state) {
  struct world *w = *state;
  assert_int_equal(chaski_sim_act_as(w->sim, "10.0.0.9"), CHASKI_OK);
  listen_at(w, "0.0.0.0");
  assert_int_equal(chaski_sim_act_as(w->sim, CLIENT), CHASKI_OK);
  dial(w, "10.0.0.9", w->port);
  until(w, is_connected);
  assert_int_equal(w->client.status, CHASKI_OK);
  dial(w, "10.0.0.8", w->port);
  until(w, is_connected);
  assert_int_equal(w->client.status, CHASKI_EREFUSED);
}

static void names_resolve_until_forgotten(void **state) {
  struct world *w = *state;
  assert_int_equal(chaski_sim_name(w->sim, "root.example", SERVER), CHASKI_OK);
  assert_int_equal(chaski_sim_name(w->sim, "wrong.example", "nonsense"), CHASKI_EADDRESS);
  listen_at(w, SERVER);
  dial(w, "root.example", w->port);
  until(w, is_connected);
  assert_int_equal(w->client.status, CHASKI_OK);
  assert_int_equal(chaski_sim_name(w->sim, "root.example", NULL), CHASKI_OK);
  uint64_t began = chaski_sim_now(w->sim);
  dial(w, "root.example", w->port);
  until(w, is_connected);
  assert_int_equal(w->client.status, CHASKI_ERESOLVE);
  assert_int_equal(w->client.connected_at - began, CHASKI_SIM_DELAY);
}

static void dial_to_a_port_without_listener_is_refused_after_the_delay(void **state) {
  struct world *w = *state;
  set_link(w, (chaski_sim_link){.delay_ns = 30 * MS});
  uint64_t began = chaski_sim_now(w->sim);
  dial(w, SERVER, 9);
  until(w, is_connected);
  assert_int_equal(w->client.status, CHASKI_EREFUSED);
  assert_int_equal(w->client.connected_at - began, 60 * MS);
}

static void handles_counts_what_is_not_closed(void **state) {
  struct world *w = *state;
  assert_int_equal(chaski_sim_handles(w->sim), 0);
  be_connected(w);
  assert_int_equal(chaski_sim_handles(w->sim), 3);
  w->t->close(w->client.stream);
  w->t->listener_close(w->listener);
  assert_int_equal(chaski_sim_handles(w->sim), 3);
  until_ended(w, &w->servers[0]);
  assert_int_equal(chaski_sim_handles(w->sim), 1);
}

/* --- links ----------------------------------------------------------------------------------------------------------
 */

static void delay_is_that_of_the_pair(void **state) {
  struct world *w = *state;
  chaski_sim_link far = {.delay_ns = 50 * MS}, farther = {.delay_ns = 80 * MS};
  assert_int_equal(chaski_sim_set_link(w->sim, NULL, CLIENT, &farther), CHASKI_OK);
  assert_int_equal(chaski_sim_set_link(w->sim, SERVER, CLIENT, &far), CHASKI_OK);
  uint64_t began = chaski_sim_now(w->sim);
  be_connected(w);
  assert_int_equal(w->accepted_at - began, 50 * MS);
  assert_int_equal(w->client.connected_at - began, 100 * MS);
  write_bytes(w, &w->client, 10);
  until_received(w, &w->servers[0], 10);
  assert_int_equal(w->servers[0].data_at - w->client.connected_at, 50 * MS);
  began = chaski_sim_now(w->sim);
  dial(w, "10.0.0.3", 1);
  until(w, is_connected);
  assert_int_equal(w->client.connected_at - began, 160 * MS);
}

static void write_arrives_as_written_or_in_pieces(void **state) {
  struct world *w = *state;
  be_connected(w);
  write_bytes(w, &w->client, 2560);
  until_received(w, &w->servers[0], 2560);
  assert_int_equal(w->servers[0].calls, 1);
  set_link(w, (chaski_sim_link){.chunk_max = 16});
  write_bytes(w, &w->client, 2560);
  until_received(w, &w->servers[0], 5120);
  assert_in_range(w->servers[0].calls, 1 + 160, 1 + 2560);
}

static void jitter_never_reorders_a_stream(void **state) {
  struct world *w = *state;
  set_link(w, (chaski_sim_link){.delay_ns = MS, .jitter_ns = 500 * MS, .chunk_max = 100});
  be_connected(w);
  for (int i = 0; i < 50; i++) {
    assert_int_equal(write_bytes(w, &w->client, 256), 256);
    pass(w, MS);
  }
  until_received(w, &w->servers[0], (size_t)50 * 256);
}

static void full_window_borrows_and_reading_gives_back(void **state) {
  struct world *w = *state;
  set_link(w, (chaski_sim_link){.delay_ns = MS, .window = 10000});
  w->pause_accepted = true;
  be_connected(w);
  assert_int_equal(write_bytes(w, &w->client, 65536), 10000);
  pass(w, SECOND);
  assert_int_equal(w->client.written, 0);
  assert_int_equal(w->servers[0].received, 0);
  w->t->resume(w->servers[0].stream);
  until_received(w, &w->servers[0], 65536);
  assert_int_equal(w->client.written, 1);
  assert_int_equal(w->client.written_status, CHASKI_OK);
  assert_int_equal(write_bytes(w, &w->client, 10000), 10000);
}

static void bytes_per_s_takes_its_time_without_bursts(void **state) {
  struct world *w = *state;
  set_link(w, (chaski_sim_link){.bytes_per_s = 10000});
  be_connected(w);
  uint64_t began = chaski_sim_now(w->sim);
  write_bytes(w, &w->client, 20480);
  until_received(w, &w->servers[0], 20480);
  assert_in_range(w->servers[0].data_at - began, 2047 * MS, 2049 * MS);
  assert_int_equal(w->servers[0].largest, 1000);
}

/* --- datagrams ------------------------------------------------------------------------------------------------------
 */

static void count_datagram(void *user, const char *host, uint16_t port, const uint8_t *bytes, size_t len) {
  struct world *w = user;
  assert_string_equal(host, CLIENT);
  assert_true(port > 0 && bytes[0] == 0);
  w->datagrams++;
  w->datagram_bytes += len;
}

static void ignore_error(void *user, int status) {
  (void)user;
  (void)status;
}

static void ignore_closed(void *user) {
  (void)user;
}

static const chaski_udp_events udp_events = {count_datagram, ignore_error, ignore_closed};

static chaski_udp *udp_at(struct world *w, const char *ip) {
  chaski_udp *udp;
  assert_int_equal(w->t->udp_open(w->sim, ip, 0, &udp_events, w, &udp), CHASKI_OK);
  return udp;
}

static size_t datagrams_of(struct world *w, chaski_udp *from, chaski_udp *to, size_t n) {
  w->datagrams = 0;
  for (size_t i = 0; i < n; i++) {
    assert_int_equal(w->t->udp_send(from, SERVER, w->t->udp_port(to), pattern(), 100), CHASKI_OK);
  }
  pass(w, SECOND);
  return w->datagrams;
}

static void datagrams_are_lost_as_the_link_says(void **state) {
  struct world *w = *state;
  chaski_udp *from = udp_at(w, CLIENT), *to = udp_at(w, SERVER);
  assert_int_equal(datagrams_of(w, from, to, 1000), 1000);
  set_link(w, (chaski_sim_link){.udp_loss = 0.25});
  assert_in_range(datagrams_of(w, from, to, 1000), 700, 800);
  set_link(w, (chaski_sim_link){.udp_loss = 1});
  assert_int_equal(datagrams_of(w, from, to, 1000), 0);
  set_link(w, (chaski_sim_link){0});
  assert_int_equal(chaski_sim_blackhole(w->sim, CLIENT, NULL, true), CHASKI_OK);
  assert_int_equal(datagrams_of(w, from, to, 10), 0);
  assert_int_equal(chaski_sim_blackhole(w->sim, CLIENT, NULL, false), CHASKI_OK);
  pass(w, SECOND);
  assert_int_equal(w->datagrams, 0);
}

static void datagrams_beyond_the_window_find_it_full(void **state) {
  struct world *w = *state;
  set_link(w, (chaski_sim_link){.delay_ns = MS, .window = 1000});
  chaski_udp *from = udp_at(w, CLIENT), *to = udp_at(w, SERVER);
  for (int i = 0; i < 10; i++) {
    assert_int_equal(w->t->udp_send(from, SERVER, w->t->udp_port(to), pattern(), 100), CHASKI_OK);
  }
  assert_int_equal(w->t->udp_send(from, SERVER, w->t->udp_port(to), pattern(), 1), CHASKI_EFULL);
  w->t->udp_close(from);
  pass(w, SECOND);
  assert_int_equal(w->datagrams, 10);
}

/* --- repetition
 * ------------------------------------------------------------------------------------------------------- */

static void maybe_cut(void *arg, chaski_stream *stream) {
  struct world *w = arg;
  uint8_t luck;
  w->env->random(w->sim, &luck, 1);
  if (luck < 40) chaski_sim_cut_after(w->sim, stream, luck);
}

/* A busy minute on a bad link; returns its trace. */
static uint64_t trace_of(struct world *w, uint64_t seed) {
  chaski_sim *kept = w->sim;
  struct end ends[ENDS] = {0};
  w->sim = chaski_sim_new(seed);
  w->env = chaski_sim_env(w->sim);
  w->accepted = 0;
  memset(w->servers, 0, sizeof w->servers);
  set_link(w, (chaski_sim_link){.delay_ns = MS, .jitter_ns = 20 * MS, .chunk_max = 50, .udp_loss = 0.1});
  listen_at(w, SERVER);
  for (size_t i = 0; i < ENDS; i++) {
    assert_int_equal(w->t->connect(w->sim, SERVER, w->port, &rig_stream_events, &ends[i], &ends[i].stream), 0);
  }
  pass(w, SECOND);
  for (size_t i = 0; i < ENDS; i++) write_bytes(w, &ends[i], 2000);
  chaski_sim_streams(w->sim, maybe_cut, w);
  pass(w, 60 * SECOND);
  uint64_t trace = chaski_sim_trace(w->sim);
  assert_int_equal(chaski_sim_handles(w->sim), 2 * ENDS + 1);
  chaski_sim_destroy(&w->sim);
  w->sim = kept;
  return trace;
}

static void same_seed_same_trace_and_another_seed_another(void **state) {
  struct world *w = *state;
  uint64_t first = trace_of(w, 7);
  for (int i = 0; i < 10; i++) assert_int_equal(trace_of(w, 7), first);
  assert_int_not_equal(trace_of(w, 8), first);
}

static void random_of_the_nodes_comes_from_the_seed(void **state) {
  (void)state;
  uint8_t bytes[3][13];
  for (size_t i = 0; i < 3; i++) {
    chaski_sim *sim = chaski_sim_new(i / 2);
    chaski_sim_env(sim)->random(sim, bytes[i], sizeof bytes[i]);
    chaski_sim_destroy(&sim);
  }
  assert_memory_equal(bytes[0], bytes[1], sizeof bytes[0]);
  assert_memory_not_equal(bytes[0], bytes[2], sizeof bytes[0]);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(nothing_scheduled_means_no_step),
      TEST(run_ends_where_its_time_ends),
      TEST(wall_clock_jumps_and_the_monotonic_one_does_not),
      TEST(alarm_expires_when_due_and_flush_follows_before_time_moves),
      TEST(alarm_always_overdue_lets_time_go_on),
      TEST(flush_may_write_and_what_it_writes_arrives),
      TEST(log_admits_its_level_and_below),
      TEST(acceptor_sees_the_host_that_dialled),
      TEST(any_address_listens_on_the_host_that_acts),
      TEST(names_resolve_until_forgotten),
      TEST(dial_to_a_port_without_listener_is_refused_after_the_delay),
      TEST(handles_counts_what_is_not_closed),
      TEST(delay_is_that_of_the_pair),
      TEST(write_arrives_as_written_or_in_pieces),
      TEST(jitter_never_reorders_a_stream),
      TEST(full_window_borrows_and_reading_gives_back),
      TEST(bytes_per_s_takes_its_time_without_bursts),
      TEST(datagrams_are_lost_as_the_link_says),
      TEST(datagrams_beyond_the_window_find_it_full),
      TEST(same_seed_same_trace_and_another_seed_another),
      TEST(random_of_the_nodes_comes_from_the_seed),
  };
  return cmocka_run_group_tests_name("sim", tests, NULL, NULL);
}
