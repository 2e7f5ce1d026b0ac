/* net_rig.h: what the tests of src/net stand on: a loop of their own, a net on it and a guard timer, so that one turn
 * of the loop never blocks for long. SPDX-License-Identifier: MIT */
#ifndef CHASKI_SPEC_NET_RIG_H
#define CHASKI_SPEC_NET_RIG_H

#include "../../src/net/net.h"
#include "../transport_contract.h"

typedef struct net_rig {
  contract_fixture fixture; /* first: *state is both */
  uv_loop_t loop;
  uv_timer_t guard;
  chaski_net *net;
  int turns;      /* flush hooks seen */
  int net_closed; /* upcalls of chaski_net_close() */
} net_rig;

int net_rig_setup(void **state);
int net_rig_teardown(void **state); /* fails if a handle, a block or an active request is left */
/* Close the net and run the loop until it is gone: a test whose upcalls touch its own frame ends with this. */
void net_rig_close_net(net_rig *rig);
/* As contract_until() and contract_settle(), for the programs that do not link the suite. */
bool net_rig_until(net_rig *rig, bool (*done)(void *user), void *user);
void net_rig_settle(net_rig *rig, uint64_t ns);
/* A raw blocking socket connected to 127.0.0.1:port, for peers that misbehave. */
int net_rig_raw_client(uint16_t port);
/* A raw unconnected one, and its connecting. */
int net_rig_raw_socket(void);
void net_rig_raw_connect(int fd, uint16_t port);

#endif
