/* transport_sim_test.c: the conformance suite of env.h against the simulated transport, on an ideal link, on a bad one
 * (late, jittery, in small pieces) and on a slow one with a narrow window.
 * SPDX-License-Identifier: MIT */
#include "../transport_contract.h"

#include "../../src/core/alloc.h"
#include "../../src/sim/sim.h"

#include <stdio.h>

static const chaski_sim_link *link_now;
static size_t window_now;
static contract_fixture fixture;

static bool step(void *impl) {
  return chaski_sim_step(impl);
}

static int leaks(void *impl) {
  return (int)chaski_sim_handles(impl);
}

static void expire(void *user) {
  contract_fixture *f = user;
  if (f->expired) f->expired(f->expired_user);
}

static int setup(void **state) {
  chaski_sim *sim = chaski_sim_new(1);
  if (!sim || chaski_sim_set_link(sim, NULL, NULL, link_now)) return -1;
  fixture = (contract_fixture){.env = chaski_sim_env(sim), .impl = sim, .step = step, .leaks = leaks};
  fixture.ip = "127.0.0.1";
  fixture.unresolvable = "nowhere.invalid";
  fixture.window = 2 * window_now;
  fixture.datagram_max = 65507;
  chaski_sim_hooks(sim, expire, NULL, &fixture);
  *state = &fixture;
  return 0;
}

static int teardown(void **state) {
  (void)state;
  chaski_sim *sim = fixture.impl;
  chaski_sim_destroy(&sim);
  return chaski_alloc_blocks() == 0 ? 0 : -1;
}

static int run(const char *name, const chaski_sim_link *link) {
  link_now = link;
  window_now = link->window ? link->window : CHASKI_SIM_WINDOW;
  return contract_run(name, setup, teardown);
}

int main(void) {
  const chaski_sim_link ideal = {0};
  const chaski_sim_link bad = {.delay_ns = 20000000, .jitter_ns = 30000000, .chunk_max = 700};
  const chaski_sim_link slow = {.delay_ns = 1000000, .bytes_per_s = 1000000, .window = (size_t)80 * 1024};
  int failed = run("transport: sim, ideal link", &ideal);
  failed += run("transport: sim, bad link", &bad);
  return failed + run("transport: sim, slow link", &slow);
}
