/* net_rig.c: see net_rig.h. SPDX-License-Identifier: MIT */
#include "net_rig.h"

#include "../../src/core/alloc.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define GUARD_MS 20

static void on_guard(uv_timer_t *guard) {
  (void)guard;
}

static bool step(void *impl) {
  net_rig *rig = impl;
  uv_run(&rig->loop, UV_RUN_ONCE);
  return true;
}

static int leaks(void *impl) {
  return (int)chaski_net_handles(((net_rig *)impl)->net);
}

static void on_expire(void *user) {
  net_rig *rig = user;
  if (rig->fixture.expired) rig->fixture.expired(rig->fixture.expired_user);
}

static void on_flush(void *user) {
  ((net_rig *)user)->turns++;
}

static void on_net_closed(void *user) {
  ((net_rig *)user)->net_closed++;
}

int net_rig_setup(void **state) {
  net_rig *rig = calloc(1, sizeof *rig);
  if (!rig || uv_loop_init(&rig->loop) != 0 || chaski_net_open(&rig->loop, &rig->net) != CHASKI_OK) return -1;
  uv_timer_init(&rig->loop, &rig->guard);
  uv_timer_start(&rig->guard, on_guard, GUARD_MS, GUARD_MS);
  chaski_net_hooks(rig->net, on_expire, on_flush, rig);
  rig->fixture = (contract_fixture){
      .env = chaski_net_env(rig->net),
      .impl = rig,
      .step = step,
      .leaks = leaks,
      .ip = "127.0.0.1",
      .foreign_ip = "192.0.2.1",
      .unresolvable = "nonexistent.invalid",
      .window = 24u << 20,
      .datagram_max = 65507,
  };
  *state = rig;
  return 0;
}

void net_rig_close_net(net_rig *rig) {
  uv_unref((uv_handle_t *)&rig->guard);
  chaski_net_close(&rig->net, on_net_closed, rig);
  uv_run(&rig->loop, UV_RUN_DEFAULT);
  uv_ref((uv_handle_t *)&rig->guard);
}

int net_rig_teardown(void **state) {
  net_rig *rig = *state;
  if (rig->net) net_rig_close_net(rig);
  uv_close((uv_handle_t *)&rig->guard, NULL);
  uv_run(&rig->loop, UV_RUN_DEFAULT);
  int busy = uv_loop_close(&rig->loop), closed = rig->net_closed;
  free(rig);
  return busy == 0 && closed == 1 && chaski_alloc_blocks() == 0 ? 0 : -1;
}

bool net_rig_until(net_rig *rig, bool (*done)(void *), void *user) {
  uint64_t limit = uv_hrtime() + CONTRACT_DEADLINE_NS;
  while (!done(user) && uv_hrtime() < limit) uv_run(&rig->loop, UV_RUN_ONCE);
  return done(user);
}

void net_rig_settle(net_rig *rig, uint64_t ns) {
  for (uint64_t limit = uv_hrtime() + ns; uv_hrtime() < limit;) uv_run(&rig->loop, UV_RUN_ONCE);
}

int net_rig_raw_socket(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(fd >= 0);
  return fd;
}

void net_rig_raw_connect(int fd, uint16_t port) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof in), 0);
}

int net_rig_raw_client(uint16_t port) {
  int fd = net_rig_raw_socket();
  net_rig_raw_connect(fd, port);
  return fd;
}
