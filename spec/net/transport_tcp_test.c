/* transport_tcp_test.c: the transport contract, kept by src/net over loopback.
 * SPDX-License-Identifier: MIT */
#include "net_rig.h"

#include <stdlib.h>
#include <unistd.h>

int main(void) {
  alarm(getenv("CHASKI_VALGRIND") ? 900 : 50);
  return contract_run("transport contract: tcp", net_rig_setup, net_rig_teardown);
}
