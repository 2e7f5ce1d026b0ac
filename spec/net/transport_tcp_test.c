/* transport_tcp_test.c: the transport contract, kept by src/net over loopback.
 * SPDX-License-Identifier: MIT */
#include "net_rig.h"

#include <unistd.h>

int main(void) {
  alarm(50);
  return contract_run("transport contract: tcp", net_rig_setup, net_rig_teardown);
}
