/* transport_tls_tcp_test.c: the transport contract, kept by the filter over TCP on loopback.
 * SPDX-License-Identifier: MIT */
#include "tls_rig.h"

#include <stdlib.h>
#include <unistd.h>

static tls_rig rig;

static int setup(void **state) {
  *state = &rig;
  return tls_rig_tcp(&rig);
}

static int teardown(void **state) {
  (void)state;
  return tls_rig_close(&rig);
}

int main(void) {
  alarm(getenv("CHASKI_VALGRIND") ? 900 : 55);
  int failed = contract_run("transport contract: TLS over TCP", setup, teardown);
  certs_end();
  return failed;
}
