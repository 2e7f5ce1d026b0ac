/* tls_rig.h: what the tests of the filter stand on: a network (in memory, or loopback), a loop over it, an authority,
 * two nodes of one mesh and a layer that dials as one and accepts as the other. The suite's alarm and the loop's share
 * the one alarm of the network. SPDX-License-Identifier: MIT */
#ifndef CHASKI_SPEC_TLS_RIG_H
#define CHASKI_SPEC_TLS_RIG_H

#include "../transport_contract.h"
#include "certs.h"

#include "../../src/core/loop.h"
#include "../../src/sim/sim.h"
#include "../../src/tls/tls.h"

typedef struct tls_rig {
  contract_fixture fixture; /* first: *state is both */
  chaski_env env;           /* the suite's: its ctx is the layer */
  const chaski_env *base;   /* the network's */
  chaski_sim *sim;          /* or NULL */
  struct tls_rig_net *net;  /* or NULL */
  chaski_loop *loop;
  uint64_t due[2]; /* alarms of the loop and of the suite */
  certs_pair root, client_pair, server_pair;
  chaski_tls_context *client, *server;
  chaski_tls_layer *layer;
} tls_rig;

/* A rig on a simulated network, or on loopback. Not 0: it failed. */
int tls_rig_sim(tls_rig *rig, const chaski_sim_link *link);
int tls_rig_tcp(tls_rig *rig);
/* 0: nothing is left, no block of memory either. */
int tls_rig_close(tls_rig *rig);

/* A context of this pair that trusts the root, after `change` (may be NULL) had its way with the options. */
chaski_tls_context *tls_rig_context(const certs_pair *pair, const certs_pair *root,
                                    void (*change)(chaski_tls_options *options, void *arg), void *arg);
/* The same; the code, and why (CHASKI_TLS_WHY_MAX bytes). */
int tls_rig_try(const certs_pair *pair, const certs_pair *root, void (*change)(chaski_tls_options *options, void *arg),
                void *arg, chaski_tls_context **out, char *why);

#endif
