/* sim_faults_test.c: what the simulation can do to a conversation: cut it, stop a host, swallow a path, refuse, run out
 * of files and of memory.
 * SPDX-License-Identifier: MIT */
#include "sim_rig.h"

/* --- cuts --------------------------------------------------------------------------------------------------------- */

static void cut_resets_both_ends_and_drops_what_is_under_way(void **state) {
  struct world *w = *state;
  be_connected(w);
  write_bytes(w, &w->client, 1000);
  chaski_sim_cut(w->sim, w->client.stream);
  until_ended(w, &w->servers[0]);
  assert_int_equal(w->servers[0].end_status, CHASKI_ERESET);
  until_ended(w, &w->client);
  assert_int_equal(w->client.end_status, CHASKI_ERESET);
  pass(w, SECOND);
  assert_int_equal(w->servers[0].received, 0);
  assert_int_equal(write_bytes(w, &w->client, 1), CHASKI_ERESET);
  assert_int_equal(chaski_sim_streams(w->sim, NULL, NULL), 0);
}

static void cut_can_come_after_any_byte(void **state) {
  struct world *w = *state;
  set_link(w, (chaski_sim_link){.chunk_max = 7});
  listen_at(w, SERVER);
  for (size_t last = 1; last <= ENDS; last++) {
    dial(w, SERVER, w->port);
    until(w, is_connected);
    struct end *server = &w->servers[last - 1];
    write_bytes(w, &w->client, 200);
    chaski_sim_cut_after(w->sim, server->stream, last);
    until_ended(w, server);
    assert_int_equal(server->received, last);
    assert_int_equal(server->end_status, CHASKI_ERESET);
    until_ended(w, &w->client);
    w->t->close(w->client.stream);
    pass(w, SECOND);
  }
}

static void cut_gives_back_the_borrowed_rest(void **state) {
  struct world *w = *state;
  set_link(w, (chaski_sim_link){.window = 100});
  w->pause_accepted = true;
  be_connected(w);
  assert_int_equal(write_bytes(w, &w->client, 1000), 100);
  chaski_sim_cut(w->sim, w->servers[0].stream);
  until_ended(w, &w->client);
  assert_int_equal(w->client.written_status, CHASKI_ERESET);
  pass(w, SECOND);
  assert_int_equal(w->servers[0].ended, 0); /* paused */
  w->t->resume(w->servers[0].stream);
  until_ended(w, &w->servers[0]);
}

static void cut_in_the_middle_of_data_tells_written_before_end(void **state) {
  struct world *w = *state;
  set_link(w, (chaski_sim_link){.delay_ns = MS, .window = 100, .chunk_max = 7});
  be_connected(w);
  assert_int_equal(write_bytes(w, &w->client, 1000), 100);
  assert_int_equal(write_bytes(w, &w->servers[0], 1000), 100);
  w->at = &w->client;
  w->target = 1;
  until(w, has_received);
  chaski_sim_cut(w->sim, w->client.stream);
  until_ended(w, &w->client);
  assert_int_equal(w->client.written_status, CHASKI_ERESET);
  until_ended(w, &w->servers[0]);
  assert_int_equal(w->servers[0].written_status, CHASKI_ERESET);
}

static void cut_fails_a_dial(void **state) {
  struct world *w = *state;
  listen_at(w, SERVER);
  dial(w, SERVER, w->port);
  chaski_sim_cut(w->sim, w->client.stream);
  until(w, is_connected);
  assert_int_equal(w->client.status, CHASKI_ERESET);
  pass(w, SECOND);
  assert_int_equal(w->accepted, 0);
}

/* --- resets by use --------------------------------------------------------------------------------------------------
 */

static void bytes_to_a_closed_end_come_back_as_a_reset(void **state) {
  struct world *w = *state;
  be_connected(w);
  w->t->close(w->servers[0].stream);
  until_ended(w, &w->client);
  assert_int_equal(w->client.end_status, CHASKI_OK);
  assert_int_equal(write_bytes(w, &w->client, 10), 10);
  pass(w, SECOND);
  assert_int_equal(write_bytes(w, &w->client, 10), CHASKI_ERESET);
  assert_int_equal(w->client.ended, 1);
}

static void close_with_bytes_unread_is_a_reset(void **state) {
  struct world *w = *state;
  w->pause_accepted = true;
  be_connected(w);
  write_bytes(w, &w->client, 10);
  pass(w, SECOND);
  w->t->close(w->servers[0].stream);
  until_ended(w, &w->client);
  assert_int_equal(w->client.end_status, CHASKI_ERESET);
}

/* --- hosts and paths
 * -------------------------------------------------------------------------------------------------- */

static void stalled_host_gets_everything_afterwards(void **state) {
  struct world *w = *state;
  be_connected(w);
  assert_int_equal(chaski_sim_stall(w->sim, SERVER, true), CHASKI_OK);
  write_bytes(w, &w->client, 1000);
  w->t->shutdown(w->client.stream);
  dial(w, SERVER, w->port);
  pass(w, 60 * SECOND);
  assert_int_equal(w->servers[0].received + (size_t)w->client.connected, 0);
  assert_int_equal(chaski_sim_stall(w->sim, SERVER, false), CHASKI_OK);
  until_ended(w, &w->servers[0]);
  assert_int_equal(w->servers[0].received, 1000);
  assert_int_equal(w->servers[0].end_status, CHASKI_OK);
  until(w, is_connected);
  assert_int_equal(w->client.status, CHASKI_OK);
}

static void blackhole_keeps_bytes_until_the_path_heals(void **state) {
  struct world *w = *state;
  be_connected(w);
  assert_int_equal(chaski_sim_blackhole(w->sim, SERVER, CLIENT, true), CHASKI_OK);
  write_bytes(w, &w->client, 512);
  pass(w, 60 * SECOND);
  write_bytes(w, &w->client, 512);
  pass(w, 60 * SECOND);
  assert_int_equal(w->servers[0].received, 0);
  assert_int_equal(chaski_sim_blackhole(w->sim, CLIENT, SERVER, false), CHASKI_OK);
  until_received(w, &w->servers[0], 1024);
}

static void blackholed_dial_does_not_end_until_the_path_heals(void **state) {
  struct world *w = *state;
  assert_int_equal(chaski_sim_blackhole(w->sim, SERVER, NULL, true), CHASKI_OK);
  listen_at(w, SERVER);
  dial(w, SERVER, w->port);
  pass(w, 1000 * SECOND);
  assert_int_equal(w->client.connected, 0);
  assert_int_equal(chaski_sim_blackhole(w->sim, NULL, SERVER, false), CHASKI_OK);
  until(w, is_connected);
  assert_int_equal(w->client.status, CHASKI_OK);
}

static void close_under_a_blackhole_still_closes(void **state) {
  struct world *w = *state;
  be_connected(w);
  assert_int_equal(chaski_sim_blackhole(w->sim, SERVER, CLIENT, true), CHASKI_OK);
  write_bytes(w, &w->servers[0], 10);
  w->t->close(w->client.stream);
  pass(w, SECOND);
  assert_int_equal(w->client.closed, 1);
  assert_int_equal(w->servers[0].ended, 0);
  assert_int_equal(chaski_sim_blackhole(w->sim, SERVER, CLIENT, false), CHASKI_OK);
  until_ended(w, &w->servers[0]);
}

static void refusing_host_refuses_in_spite_of_its_listener(void **state) {
  struct world *w = *state;
  listen_at(w, SERVER);
  assert_int_equal(chaski_sim_refuse(w->sim, SERVER, true), CHASKI_OK);
  dial(w, SERVER, w->port);
  until(w, is_connected);
  assert_int_equal(w->client.status, CHASKI_EREFUSED);
  assert_int_equal(chaski_sim_refuse(w->sim, SERVER, false), CHASKI_OK);
  dial(w, SERVER, w->port);
  until(w, is_connected);
  assert_int_equal(w->client.status, CHASKI_OK);
}

static void listener_out_of_files_tells_once_a_backoff_and_accepts_later(void **state) {
  struct world *w = *state;
  listen_at(w, SERVER);
  assert_int_equal(chaski_sim_files(w->sim, SERVER, true), CHASKI_OK);
  chaski_listener *none;
  assert_int_equal(w->t->listen(w->sim, SERVER, 0, &rig_listener_events, w, &none), CHASKI_EFILES);
  struct end other = {0};
  assert_int_equal(w->t->connect(w->sim, SERVER, w->port, &rig_stream_events, &other, &other.stream), CHASKI_OK);
  dial(w, SERVER, w->port);
  pass(w, 3 * SECOND);
  assert_in_range(w->errors, 2, 7);
  assert_int_equal(w->error_status, CHASKI_EFILES);
  assert_int_equal(w->accepted, 0);
  assert_int_equal(chaski_sim_files(w->sim, SERVER, false), CHASKI_OK);
  pass(w, SECOND);
  assert_int_equal(w->accepted, 2);
  assert_int_equal(w->client.connected + other.connected, 2);
}

/* --- memory
 * ----------------------------------------------------------------------------------------------------------- */

static int allocations_left;

static void *failing_realloc(void *ptr, size_t size) {
  if (size > 0) return allocations_left-- == 0 ? NULL : realloc(ptr, size);
  free(ptr);
  return NULL;
}

static void close_all(struct world *w) {
  if (w->client.stream) w->t->close(w->client.stream);
  for (size_t i = 0; i < w->accepted; i++) {
    if (w->servers[i].stream) w->t->close(w->servers[i].stream);
  }
  if (w->listener) w->t->listener_close(w->listener);
}

/* Write what can be written; a failure must come back as a code, and the world go on. */
static void converse(struct world *w) {
  chaski_sim_link link = {.window = 1000};
  if (chaski_sim_set_link(w->sim, SERVER, CLIENT, &link)) return;
  if (w->t->listen(w->sim, SERVER, 1, &rig_listener_events, w, &w->listener)) return;
  if (w->t->connect(w->sim, SERVER, 1, &rig_stream_events, &w->client, &w->client.stream)) {
    w->client.stream = NULL;
    return;
  }
  if (chaski_sim_run(w->sim, is_connected, w, 10 * SECOND)) fail_msg("the dial did not end");
  int64_t taken = write_bytes(w, &w->client, 4096);
  pass(w, SECOND);
  if (taken >= 0 && w->client.written_status == CHASKI_OK)
    assert_int_equal(w->servers[0].received, 4096);
  else
    assert_int_equal(w->client.end_status, CHASKI_ENOMEM);
  if (taken < 0 || w->client.written_status) assert_int_equal(w->servers[0].end_status, CHASKI_ERESET);
}

static void every_allocation_may_fail(void **state) {
  struct world *w = *state;
  chaski_sim_destroy(&w->sim);
  for (int n = 0;; n++) {
    struct world fresh = {.t = w->t};
    world = &fresh;
    allocations_left = n;
    chaski_set_allocator(failing_realloc);
    fresh.sim = chaski_sim_new(1);
    if (fresh.sim && chaski_sim_act_as(fresh.sim, CLIENT) == CHASKI_OK) converse(&fresh);
    bool failed = allocations_left < 0;
    if (fresh.sim) {
      close_all(&fresh);
      pass(&fresh, SECOND);
      assert_int_equal(chaski_sim_handles(fresh.sim), 0);
    }
    chaski_sim_destroy(&fresh.sim);
    assert_int_equal(chaski_alloc_blocks(), 0);
    chaski_set_allocator(NULL);
    if (!failed) break;
    assert_true(n < 100);
  }
}

static void destroy_takes_open_handles_along(void **state) {
  struct world *w = *state;
  be_connected(w);
  write_bytes(w, &w->client, 1000);
  chaski_udp *udp;
  static const chaski_udp_events none = {0};
  assert_int_equal(w->t->udp_open(w->sim, SERVER, 0, &none, w, &udp), CHASKI_OK);
  assert_int_equal(w->t->udp_send(udp, CLIENT, 5, pattern(), 10), CHASKI_OK);
  assert_int_equal(chaski_sim_handles(w->sim), 4);
  chaski_sim_destroy(&w->sim);
  assert_null(w->sim);
  assert_int_equal(chaski_alloc_blocks(), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(cut_resets_both_ends_and_drops_what_is_under_way),
      TEST(cut_can_come_after_any_byte),
      TEST(cut_gives_back_the_borrowed_rest),
      TEST(cut_in_the_middle_of_data_tells_written_before_end),
      TEST(cut_fails_a_dial),
      TEST(bytes_to_a_closed_end_come_back_as_a_reset),
      TEST(close_with_bytes_unread_is_a_reset),
      TEST(stalled_host_gets_everything_afterwards),
      TEST(blackhole_keeps_bytes_until_the_path_heals),
      TEST(blackholed_dial_does_not_end_until_the_path_heals),
      TEST(close_under_a_blackhole_still_closes),
      TEST(refusing_host_refuses_in_spite_of_its_listener),
      TEST(listener_out_of_files_tells_once_a_backoff_and_accepts_later),
      TEST(every_allocation_may_fail),
      TEST(destroy_takes_open_handles_along),
  };
  return cmocka_run_group_tests_name("sim faults", tests, NULL, NULL);
}
