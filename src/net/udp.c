/* udp.c: datagram sockets. Nothing is queued here: what the kernel does not take now is the caller's to drop.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include "sockaddr.h"

#include "../core/alloc.h"

#include <sys/socket.h>

struct chaski_udp {
  chaski__member member;
  chaski_net *net;
  uv_udp_t udp;
  chaski_udp_events events; /* all NULL while it is not open */
  void *user;
  uint16_t port;
  bool ipv6, closing;
};

static void on_closed(uv_handle_t *handle) {
  chaski_udp *u = CHASKI__OWNER(handle, chaski_udp, udp);
  chaski_net *net = u->net;
  if (u->events.closed) u->events.closed(u->user);
  chaski__net_remove(net, &u->member);
  chaski__free(u);
}

void chaski__udp_close(chaski_udp *u) {
  if (u->closing) return;
  u->closing = true;
  uv_close((uv_handle_t *)&u->udp, on_closed);
}

static void close_member(chaski__member *member) {
  chaski__udp_close(CHASKI__OWNER(member, chaski_udp, member));
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)suggested;
  *buf = uv_buf_init(CHASKI__OWNER(handle, chaski_udp, udp)->net->slab, CHASKI_NET_DATAGRAM);
}

static void on_recv(uv_udp_t *udp, ssize_t nread, const uv_buf_t *buf, const struct sockaddr *addr, unsigned flags) {
  chaski_udp *u = CHASKI__OWNER(udp, chaski_udp, udp);
  char host[CHASKI_HOST_MAX];
  uint16_t port;
  if (u->closing) return;
  if (nread < 0) {
    u->events.error(u->user, chaski__net_error((int)nread));
    return;
  }
  if (nread == 0 || !addr || (flags & UV_UDP_PARTIAL)) return;
  if (chaski__sockaddr_format(addr, host, &port) != CHASKI_OK) return;
  u->events.datagram(u->user, host, port, (const uint8_t *)buf->base, (size_t)nread);
}

static int bind_socket(chaski_udp *u, const struct sockaddr_storage *addr) {
  struct sockaddr_storage bound;
  char host[CHASKI_HOST_MAX];
  int len = sizeof bound, rc = uv_udp_bind(&u->udp, (const struct sockaddr *)addr, 0);
  if (rc == 0) rc = uv_udp_getsockname(&u->udp, (struct sockaddr *)&bound, &len);
  if (rc == 0) rc = uv_udp_recv_start(&u->udp, on_alloc, on_recv);
  if (rc != 0) return chaski__net_error(rc);
  u->ipv6 = bound.ss_family == AF_INET6;
  return chaski__sockaddr_format((struct sockaddr *)&bound, host, &u->port);
}

static chaski_udp *udp_new(chaski_net *net) {
  chaski_udp *u = chaski__calloc(1, sizeof *u);
  if (!u) return NULL;
  u->net = net;
  u->member.close = close_member;
  uv_udp_init(net->loop, &u->udp);
  chaski__net_add(net, &u->member);
  return u;
}

int chaski__udp_open(void *ctx, const char *ip, uint16_t port, const chaski_udp_events *events, void *user,
                     chaski_udp **out) {
  chaski_net *net = ctx;
  struct sockaddr_storage addr;
  if (net->closing) return CHASKI_ESTOPPED;
  if (chaski__sockaddr_parse(ip, port, &addr) != CHASKI_OK) return CHASKI_EADDRESS;
  chaski_udp *u = udp_new(net);
  if (!u) return CHASKI_ENOMEM;
  int rc = bind_socket(u, &addr);
  if (rc != CHASKI_OK) {
    chaski__udp_close(u);
    return rc;
  }
  u->events = *events;
  u->user = user;
  *out = u;
  return CHASKI_OK;
}

uint16_t chaski__udp_port(const chaski_udp *u) {
  return u->port;
}

int chaski__udp_send(chaski_udp *u, const char *host, uint16_t port, const uint8_t *bytes, size_t len) {
  struct sockaddr_storage addr;
  if (chaski__sockaddr_parse(host, port, &addr) != CHASKI_OK) return CHASKI_EADDRESS;
  if (len > CHASKI_NET_DATAGRAM) return CHASKI_ETOOBIG;
  if (u->ipv6) chaski__sockaddr_map(&addr);
  uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)len);
  int rc = uv_udp_try_send(&u->udp, &buf, 1, (struct sockaddr *)&addr);
  return rc >= 0 ? CHASKI_OK : chaski__net_error(rc);
}
