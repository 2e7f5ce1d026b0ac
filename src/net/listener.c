/* listener.c: TCP listeners. The listening socket is our own and watched by a uv_poll_t, because a uv_tcp_t cannot
 * stop accepting: out of file descriptors it either throws the waiting connections away or calls back without end. This
 * one leaves them in the kernel's queue and looks again after a back-off. SPDX-License-Identifier: MIT */
#include "internal.h"

#include "sockaddr.h"

#include "../core/alloc.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

struct chaski_listener {
  chaski__member member;
  chaski_net *net;
  uv_poll_t poll;
  uv_timer_t retry;
  chaski_listener_events events;
  void *user;
  uint64_t backoff; /* ms, of the next pause */
  int fd, open_handles;
  uint16_t port;
  bool closing;
};

static void on_readable(uv_poll_t *poll, int uv_err, int events);

/* --- the socket --------------------------------------------------------------------------------------------------- */

static int prepare_socket(int fd, const struct sockaddr_storage *addr) {
  int yes = 1, no = 0;
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0) return -errno;
  if (addr->ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
  if (bind(fd, (const struct sockaddr *)addr, chaski__sockaddr_len(addr)) != 0) return -errno;
  return listen(fd, CHASKI_NET_BACKLOG) == 0 ? 0 : -errno;
}

static int port_of(int fd, uint16_t *port) {
  struct sockaddr_storage addr;
  socklen_t len = sizeof addr;
  char host[CHASKI_HOST_MAX];
  if (getsockname(fd, (struct sockaddr *)&addr, &len) != 0) return -errno;
  return chaski__sockaddr_format((struct sockaddr *)&addr, host, port) == CHASKI_OK ? 0 : UV_EINVAL;
}

/* A listening socket, or a negative libuv code. */
static int open_socket(const struct sockaddr_storage *addr, uint16_t *port) {
  int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  int rc = prepare_socket(fd, addr);
  if (rc == 0) rc = port_of(fd, port);
  if (rc == 0) return fd;
  close(fd);
  return rc;
}

/* --- accepting ---------------------------------------------------------------------------------------------------- */

static void on_retry(uv_timer_t *retry) {
  chaski_listener *l = CHASKI__OWNER(retry, chaski_listener, retry);
  uv_poll_start(&l->poll, UV_READABLE, on_readable);
}

static void back_off(chaski_listener *l, int status) {
  uv_poll_stop(&l->poll);
  uv_timer_start(&l->retry, on_retry, l->backoff, 0);
  l->backoff = l->backoff * 2 < CHASKI_NET_BACKOFF_MAX ? l->backoff * 2 : CHASKI_NET_BACKOFF_MAX;
  l->events.error(l->user, status);
}

/* accept(2) also reports what befell the one connection it would have returned; the next may be well. */
static bool is_of_the_connection(int err) {
  switch (err) {
  case EINTR:
  case ECONNABORTED:
  case EPROTO:
  case EPERM:
  case ENETDOWN:
  case ENETUNREACH:
  case EHOSTDOWN:
  case EHOSTUNREACH:
  case ENONET:
  case ENOPROTOOPT:
  case EOPNOTSUPP:
    return true;
  default:
    return false;
  }
}

/* CHASKI_OK: a stream was handed over, or a connection lost that we do not miss. CHASKI_EFULL: none is waiting. */
static int accept_one(chaski_listener *l) {
  int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return is_of_the_connection(errno) ? CHASKI_OK : chaski__net_error(-errno);
  chaski_stream *stream = chaski__stream_adopt(l->net, fd);
  if (!stream) {
    close(fd);
    return CHASKI_ENOMEM;
  }
  l->backoff = CHASKI_NET_BACKOFF_MS;
  l->events.accept(l->user, stream);
  return CHASKI_OK;
}

static void on_readable(uv_poll_t *poll, int uv_err, int events) {
  (void)events;
  chaski_listener *l = CHASKI__OWNER(poll, chaski_listener, poll);
  int rc = chaski__net_error(uv_err);
  for (int i = 0; rc == CHASKI_OK && !l->closing && i < CHASKI_NET_TURN_ACCEPT; i++) rc = accept_one(l);
  if (rc != CHASKI_OK && rc != CHASKI_EFULL && !l->closing) back_off(l, rc);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void handle_closed(chaski_listener *l) {
  chaski_net *net = l->net;
  if (--l->open_handles > 0) return;
  l->events.closed(l->user);
  chaski__net_remove(net, &l->member);
  chaski__free(l);
}

static void on_poll_closed(uv_handle_t *handle) {
  handle_closed(CHASKI__OWNER(handle, chaski_listener, poll));
}

static void on_retry_closed(uv_handle_t *handle) {
  handle_closed(CHASKI__OWNER(handle, chaski_listener, retry));
}

void chaski__listener_close(chaski_listener *l) {
  if (l->closing) return;
  l->closing = true;
  uv_close((uv_handle_t *)&l->poll, on_poll_closed);
  uv_close((uv_handle_t *)&l->retry, on_retry_closed);
  close(l->fd); /* allowed as soon as the poll handle is closing, and frees the port now */
}

static void close_member(chaski__member *member) {
  chaski__listener_close(CHASKI__OWNER(member, chaski_listener, member));
}

static chaski_listener *listener_new(chaski_net *net, int fd, int *rc) {
  chaski_listener *l = chaski__calloc(1, sizeof *l);
  *rc = UV_ENOMEM;
  if (!l) return NULL;
  *rc = uv_poll_init(net->loop, &l->poll, fd);
  if (*rc != 0) {
    chaski__free(l);
    return NULL;
  }
  uv_timer_init(net->loop, &l->retry);
  l->open_handles = 2;
  l->net = net;
  l->fd = fd;
  l->backoff = CHASKI_NET_BACKOFF_MS;
  l->member.close = close_member;
  chaski__net_add(net, &l->member);
  return l;
}

int chaski__listen(void *ctx, const char *ip, uint16_t port, const chaski_listener_events *events, void *user,
                   chaski_listener **out) {
  chaski_net *net = ctx;
  struct sockaddr_storage addr;
  int rc = 0;
  if (net->closing) return CHASKI_ESTOPPED;
  if (chaski__sockaddr_parse(ip, port, &addr) != CHASKI_OK) return CHASKI_EADDRESS;
  int fd = open_socket(&addr, &port);
  if (fd < 0) return chaski__net_error(fd);
  chaski_listener *l = listener_new(net, fd, &rc);
  if (!l) {
    close(fd);
    return chaski__net_error(rc);
  }
  l->events = *events;
  l->user = user;
  l->port = port;
  uv_poll_start(&l->poll, UV_READABLE, on_readable);
  *out = l;
  return CHASKI_OK;
}

uint16_t chaski__listener_port(const chaski_listener *l) {
  return l->port;
}
