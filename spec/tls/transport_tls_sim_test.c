/* transport_tls_sim_test.c: the transport contract, kept by the filter over the network in memory: on an ideal link, on
 * a bad one (late, jittery, in small pieces), on a slow one with a narrow window, and byte by byte.
 * SPDX-License-Identifier: MIT */
#include "tls_rig.h"

#include <stdlib.h>
#include <unistd.h>

static tls_rig rig;
static const chaski_sim_link *link_now;

static int setup(void **state) {
  *state = &rig;
  return tls_rig_sim(&rig, link_now);
}

static int teardown(void **state) {
  (void)state;
  return tls_rig_close(&rig);
}

static int run(const char *name, const chaski_sim_link *link) {
  link_now = link;
  return contract_run(name, setup, teardown);
}

int main(void) {
  const chaski_sim_link ideal = {0};
  const chaski_sim_link bad = {.delay_ns = 20000000, .jitter_ns = 30000000, .chunk_max = 700};
  const chaski_sim_link slow = {.delay_ns = 1000000, .bytes_per_s = 1000000, .window = (size_t)80 * 1024};
  const chaski_sim_link bytes = {.delay_ns = 1000000, .chunk_max = 1, .window = (size_t)32 * 1024};
  alarm(getenv("CHASKI_VALGRIND") ? 900 : 55);
  int failed = run("transport contract: TLS over sim, ideal link", &ideal);
  failed += run("transport contract: TLS over sim, bad link", &bad);
  failed += run("transport contract: TLS over sim, slow link", &slow);
  failed += run("transport contract: TLS over sim, byte by byte", &bytes);
  certs_end();
  return failed;
}
