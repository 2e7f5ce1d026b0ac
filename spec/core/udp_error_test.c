/* udp_error_test.c: what becomes of an error of a node's datagram socket. No kernel gives one when asked, so the
 * transport here is the in-memory one with its udp_open in our hands. SPDX-License-Identifier: MIT */
#include "node_rig.h"

static const chaski_transport *inner;
static const chaski_udp_events *captured;
static void *captured_user;
static size_t opened, closed, errors;
static int last_error;

static int udp_open(void *ctx, const char *ip, uint16_t port, const chaski_udp_events *events, void *user,
                    chaski_udp **out) {
  captured = events;
  captured_user = user;
  return inner->udp_open(ctx, ip, port, events, user, out);
}

static void on_udp(void *user, bool open, int status) {
  (void)user;
  if (status != CHASKI_OK)
    errors++, last_error = status;
  else if (open)
    opened++;
  else
    closed++;
}

static int setup(void **state) {
  static chaski_env env;
  static chaski_transport transport;
  rig = calloc(1, sizeof *rig);
  rig->sim = chaski_sim_new(1);
  env = *chaski_sim_env(rig->sim);
  inner = env.transport;
  transport = *inner;
  transport.udp_open = udp_open;
  env.transport = &transport;
  if (chaski_loop_new(&env, &rig->loop) != CHASKI_OK) return -1;
  chaski_sim_hooks(rig->sim, rig_expire, rig_flush, rig);
  opened = closed = errors = 0;
  *state = rig;
  return 0;
}

static struct peer *watched_node(void) {
  static chaski_node_events events;
  struct peer *p = &rig->peers[rig->count++];
  chaski_node_options o;
  const char *why;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = 0; /* sessions: session_test */
  snprintf(p->ip, sizeof p->ip, "10.0.0.1");
  o.ip = p->ip;
  events = rig_events;
  events.udp = on_udp;
  assert_int_equal(chaski_node_new(rig->loop, &o, &events, p, &p->node, &why), CHASKI_OK);
  assert_int_equal(chaski_node_run(p->node), CHASKI_OK);
  rig_pass(MS);
  return p;
}

static bool is_closed(void *arg) {
  (void)arg;
  return closed > 0;
}

static void an_error_of_the_datagram_socket_is_told_and_costs_nothing(void **state) {
  (void)state;
  struct peer *p = watched_node();
  assert_int_equal(opened, 1);
  captured->error(captured_user, CHASKI_EIO);
  captured->error(captured_user, CHASKI_EREFUSED);
  assert_int_equal(errors, 2);
  assert_int_equal(last_error, CHASKI_EREFUSED);
  assert_int_equal(closed, 0);
  assert_int_equal(chaski_node_send_datagram(p->node, chaski_slice_str("c"), chaski_slice_of("\xc0", 1), p->ip,
                                             chaski_node_port(p->node)),
                   CHASKI_OK);
  chaski_node_stop(p->node, SECOND);
  rig_run(is_closed, NULL, 5 * SECOND);
  assert_int_equal(errors, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(an_error_of_the_datagram_socket_is_told_and_costs_nothing, setup, rig_teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
