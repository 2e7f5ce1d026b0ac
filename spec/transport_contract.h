/* transport_contract.h: the conformance suite of src/core/env.h, run alike against every transport (tcp, sim, tls).
 * An instantiation fills one fixture in its cmocka setup, hands it over as *state and calls contract_run(). The suite
 * knows nothing of the implementation behind the fixture.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_SPEC_TRANSPORT_CONTRACT_H
#define CHASKI_SPEC_TRANSPORT_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../src/core/env.h"

#define CONTRACT_DEADLINE_NS UINT64_C(10000000000) /* by env->now(): no condition of the suite may take longer */

typedef struct contract_fixture {
  /* Filled by the setup. */
  const chaski_env *env;
  void *impl;
  /* Run the loop once (a virtual clock goes to its next event). It must come back within some 100 ms of env->now()
   * even if nothing happens, unless it returns false: nothing can ever happen any more. */
  bool (*step)(void *impl);
  /* Streams, listeners, datagram sockets the transport still has. After every test, all closed: 0. */
  int (*leaks)(void *impl);
  const char *ip;           /* a numeric address that this environment can listen on and dial: "127.0.0.1" */
  const char *foreign_ip;   /* a numeric address it cannot listen on, "192.0.2.1"; NULL skips the test */
  const char *unresolvable; /* a host name that does not resolve; NULL skips the test */
  size_t window;            /* more bytes than the transport takes from a writer whose peer does not read */
  size_t datagram_max;      /* largest datagram; one byte more is refused. 0: the transport has no datagrams */

  /* Filled by the suite: the fixture calls expired(expired_user), if set, when the alarm of env->alarm() is due. */
  void (*expired)(void *expired_user);
  void *expired_user;
} contract_fixture;

/* The suite as a table without setup and teardown (*state is a contract_fixture). */
const struct CMUnitTest *contract_tests(size_t *count);
/* Run the suite, setup before and teardown after each test. Returns the number of failures, for main(). */
int contract_run(const char *name, CMFixtureFunction setup, CMFixtureFunction teardown);

/* For tests beside the suite: step until done(user) holds. False: the deadline passed or nothing can happen. */
bool contract_until(contract_fixture *f, bool (*done)(void *user), void *user);
/* Step for this long by env->now() (or until nothing can happen), to show that something does not. */
void contract_settle(contract_fixture *f, uint64_t ns);

#endif
