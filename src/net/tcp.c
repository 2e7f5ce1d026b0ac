/* tcp.c: byte streams over TCP, dialled and accepted. A dial tries the addresses of its host in order; each failed
 * attempt closes the handle and goes on in its close callback, also when it failed at once, so that no result is told
 * inside connect(). SPDX-License-Identifier: MIT */
#include "internal.h"

#include "sockaddr.h"

#include "../core/alloc.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

typedef struct dialling {
  uv_connect_t req;
  chaski__lookup *lookup; /* under way, or NULL */
  struct addrinfo *found; /* what it found */
  struct addrinfo *next;  /* the one to try next */
  uint16_t port;
} dialling;

struct chaski_stream {
  chaski__member member;
  chaski_net *net;
  uv_tcp_t tcp;
  const chaski_stream_events *events;
  void *user;
  dialling *dial; /* NULL: accepted, or connected */
  uint32_t turn;  /* the turn that turn_read counts in, its lower half */
  uint32_t turn_read;
  int status; /* of the last attempt; later why writing failed: the `end` says so too */
  bool connected : 1, paused : 1, ended : 1, closing : 1;
};

static void attempt(chaski_stream *s);

/* --- life --------------------------------------------------------------------------------------------------------- */

static void end_dial(chaski_stream *s) {
  if (s->dial && s->dial->found) uv_freeaddrinfo(s->dial->found);
  chaski__free(s->dial);
  s->dial = NULL;
}

static void destroy(chaski_stream *s) {
  chaski_net *net = s->net;
  end_dial(s);
  if (s->events) s->events->closed(s->user);
  chaski__net_remove(net, &s->member);
  chaski__free(s);
}

static void on_closed(uv_handle_t *handle) {
  destroy(CHASKI__OWNER(handle, chaski_stream, tcp));
}

void chaski__stream_close(chaski_stream *s) {
  if (s->closing) return;
  s->closing = true;
  if (s->dial && s->dial->lookup) {
    chaski__resolve_cancel(s->dial->lookup);
    s->dial->lookup = NULL;
  }
  if (!uv_is_closing((uv_handle_t *)&s->tcp)) uv_close((uv_handle_t *)&s->tcp, on_closed);
}

static void close_member(chaski__member *member) {
  chaski__stream_close(CHASKI__OWNER(member, chaski_stream, member));
}

static chaski_stream *stream_new(chaski_net *net) {
  chaski_stream *s = chaski__calloc(1, sizeof *s);
  if (!s) return NULL;
  s->net = net;
  s->member.close = close_member;
  return s;
}

static void stream_begin(chaski_stream *s) {
  uv_tcp_init(s->net->loop, &s->tcp);
  chaski__net_add(s->net, &s->member);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static void count_read(chaski_stream *s, size_t len) {
  uint32_t turn = (uint32_t)s->net->turn;
  if (s->turn != turn) s->turn_read = 0;
  s->turn = turn;
  s->turn_read += (uint32_t)len;
}

static bool is_sated(const chaski_stream *s) {
  return s->turn == (uint32_t)s->net->turn && s->turn_read >= CHASKI_NET_TURN_READ;
}

/* Without room libuv leaves what has come where it is, and asks again in the next turn; to stop reading and start again
 * would cost two system calls. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)suggested;
  const chaski_stream *s = CHASKI__OWNER(handle, chaski_stream, tcp);
  *buf = uv_buf_init(s->net->slab, is_sated(s) ? 0 : CHASKI_NET_SLAB);
}

static void on_end(chaski_stream *s, int uv_err) {
  int status = s->status ? s->status : chaski__net_error(uv_err);
  s->ended = true;
  uv_read_stop((uv_stream_t *)&s->tcp);
  s->events->end(s->user, status);
}

static void on_read(uv_stream_t *tcp, ssize_t nread, const uv_buf_t *buf) {
  chaski_stream *s = CHASKI__OWNER(tcp, chaski_stream, tcp);
  if (nread == 0 || nread == UV_ENOBUFS || s->closing) return; /* UV_ENOBUFS: it was given no room */
  if (nread < 0) {
    on_end(s, (int)nread);
    return;
  }
  count_read(s, (size_t)nread);
  s->events->data(s->user, (const uint8_t *)buf->base, (size_t)nread);
}

static void read_on(chaski_stream *s) {
  if (!s->connected || s->paused || s->ended || s->closing) return;
  uv_read_start((uv_stream_t *)&s->tcp, on_alloc, on_read);
}

void chaski__stream_pause(chaski_stream *s) {
  s->paused = true;
  if (s->connected) uv_read_stop((uv_stream_t *)&s->tcp);
}

void chaski__stream_resume(chaski_stream *s) {
  if (!s->paused) return;
  s->paused = false;
  read_on(s);
}

/* --- the socket --------------------------------------------------------------------------------------------------- */

static void set_option(int fd, int level, int name, int value) {
  setsockopt(fd, level, name, &value, sizeof value); /* a comfort: the stream works without */
}

static void tune(chaski_stream *s) {
  uv_os_fd_t fd;
  if (uv_fileno((uv_handle_t *)&s->tcp, &fd) != 0) return;
  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, CHASKI_NET_DEAD_S);
  set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, CHASKI_NET_PROBE_S);
  set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, CHASKI_NET_PROBES);
}

static int address_of(const chaski_stream *s, int (*get)(const uv_tcp_t *, struct sockaddr *, int *), char *host,
                      uint16_t *port) {
  struct sockaddr_storage addr;
  int len = sizeof addr, rc = get(&s->tcp, (struct sockaddr *)&addr, &len);
  if (rc != 0) return chaski__net_error(rc);
  return chaski__sockaddr_format((struct sockaddr *)&addr, host, port);
}

int chaski__stream_peer_address(const chaski_stream *s, char *host, uint16_t *port) {
  return address_of(s, uv_tcp_getpeername, host, port);
}

int chaski__stream_local_address(const chaski_stream *s, char *host, uint16_t *port) {
  return address_of(s, uv_tcp_getsockname, host, port);
}

/* A dial to a free port of this machine may be given that very port as its own, and then meets itself. */
static bool met_itself(const chaski_stream *s) {
  char ours[CHASKI_HOST_MAX], theirs[CHASKI_HOST_MAX];
  uint16_t our_port = 0, their_port = 0;
  if (chaski__stream_local_address(s, ours, &our_port) != CHASKI_OK) return false;
  if (chaski__stream_peer_address(s, theirs, &their_port) != CHASKI_OK) return false;
  return our_port == their_port && strcmp(ours, theirs) == 0;
}

/* --- dialling ----------------------------------------------------------------------------------------------------- */

static void on_attempt_closed(uv_handle_t *handle) {
  chaski_stream *s = CHASKI__OWNER(handle, chaski_stream, tcp);
  if (s->closing) {
    destroy(s);
    return;
  }
  uv_tcp_init(s->net->loop, &s->tcp);
  if (s->dial->next)
    attempt(s);
  else
    s->events->connected(s->user, s->status);
}

static void attempt_failed(chaski_stream *s, int status) {
  s->status = status;
  uv_close((uv_handle_t *)&s->tcp, on_attempt_closed);
}

static void on_connect(uv_connect_t *req, int uv_err) {
  chaski_stream *s = CHASKI__OWNER(req->handle, chaski_stream, tcp);
  if (s->closing) return;
  if (uv_err == 0 && met_itself(s)) uv_err = UV_ECONNREFUSED;
  if (uv_err != 0) {
    attempt_failed(s, chaski__net_error(uv_err));
    return;
  }
  end_dial(s);
  tune(s);
  s->status = CHASKI_OK;
  s->connected = true;
  read_on(s);
  s->events->connected(s->user, CHASKI_OK);
}

static void dial(chaski_stream *s, const struct sockaddr *addr) {
  int rc = uv_tcp_connect(&s->dial->req, &s->tcp, addr, on_connect);
  if (rc != 0) attempt_failed(s, chaski__net_error(rc));
}

static void attempt(chaski_stream *s) {
  struct addrinfo *target = s->dial->next;
  s->dial->next = target->ai_next;
  chaski__sockaddr_set_port(target->ai_addr, s->dial->port);
  dial(s, target->ai_addr);
}

static void on_resolved(void *user, int status, struct addrinfo *list) {
  chaski_stream *s = user;
  s->dial->lookup = NULL;
  s->dial->found = s->dial->next = list;
  if (status == CHASKI_OK && list)
    attempt(s);
  else
    s->events->connected(s->user, status ? status : CHASKI_ERESOLVE);
}

/* Numeric addresses are dialled at once, without the thread pool. */
static int dial_host(chaski_stream *s, const char *host) {
  struct sockaddr_storage addr;
  int status = CHASKI_OK;
  if (chaski__sockaddr_parse(host, s->dial->port, &addr) == CHASKI_OK) {
    stream_begin(s);
    dial(s, (struct sockaddr *)&addr);
    return CHASKI_OK;
  }
  s->dial->lookup = chaski__resolve(s->net, host, on_resolved, s, &status);
  if (s->dial->lookup) stream_begin(s);
  return status;
}

int chaski__stream_connect(void *ctx, const char *host, uint16_t port, const chaski_stream_events *events, void *user,
                           chaski_stream **out) {
  chaski_net *net = ctx;
  if (net->closing) return CHASKI_ESTOPPED;
  chaski_stream *s = stream_new(net);
  if (!s) return CHASKI_ENOMEM;
  s->events = events;
  s->user = user;
  s->dial = chaski__calloc(1, sizeof *s->dial);
  int rc = CHASKI_ENOMEM;
  if (s->dial) {
    s->dial->port = port;
    rc = dial_host(s, host);
  }
  if (rc == CHASKI_OK) {
    *out = s;
    return rc;
  }
  end_dial(s);
  chaski__free(s);
  return rc;
}

/* --- accepted streams --------------------------------------------------------------------------------------------- */

chaski_stream *chaski__stream_adopt(chaski_net *net, int fd) {
  chaski_stream *s = stream_new(net);
  if (!s) return NULL;
  stream_begin(s);
  if (uv_tcp_open(&s->tcp, fd) != 0) {
    chaski__stream_close(s);
    return NULL;
  }
  tune(s);
  s->connected = true;
  return s;
}

void chaski__stream_open(chaski_stream *s, const chaski_stream_events *events, void *user) {
  s->events = events;
  s->user = user;
  read_on(s);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

/* Where a write stands: `skip` bytes of slices[0] are gone. */
struct rest {
  const chaski_slice *slices;
  size_t n, skip;
};

static size_t fill(uv_buf_t *iov, size_t max, const struct rest *rest) {
  size_t count = rest->n < max ? rest->n : max;
  for (size_t i = 0; i < count; i++) {
    size_t skip = i == 0 ? rest->skip : 0;
    iov[i].base = (char *)(uintptr_t)rest->slices[i].ptr + skip;
    iov[i].len = rest->slices[i].len - skip;
  }
  return count;
}

static void advance(struct rest *rest, size_t bytes) {
  bytes += rest->skip;
  while (rest->n > 0 && bytes >= rest->slices->len) {
    bytes -= rest->slices->len;
    rest->slices++;
    rest->n--;
  }
  rest->skip = bytes;
}

/* The kernel's word on a failed write is heard only once: keep it, and make sure that reading comes to its end. */
static int fail_writing(chaski_stream *s, int uv_err) {
  uv_os_fd_t fd;
  s->status = chaski__net_error(uv_err);
  if (uv_fileno((uv_handle_t *)&s->tcp, &fd) == 0) shutdown(fd, SHUT_RDWR);
  return s->status;
}

static void on_written(uv_write_t *req, int uv_err) {
  chaski_stream *s = CHASKI__OWNER(req->handle, chaski_stream, tcp);
  chaski__free(req);
  if (s->closing) return;
  s->events->written(s->user, uv_err ? fail_writing(s, uv_err) : CHASKI_OK);
}

/* libuv copies the array of buffers, not what they point to. */
static int write_iov(chaski_stream *s, const uv_buf_t *iov, size_t n) {
  uv_write_t *req = chaski__malloc(sizeof *req);
  int rc = req ? uv_write(req, (uv_stream_t *)&s->tcp, iov, (unsigned)n, on_written) : UV_ENOMEM;
  if (rc != 0) chaski__free(req);
  return rc;
}

static int write_later(chaski_stream *s, const struct rest *rest) {
  uv_buf_t *iov = s->net->iov;
  bool large = rest->n > CHASKI__IOV_MAX;
  if (large) iov = rest->n <= UINT32_MAX ? chaski__calloc(rest->n, sizeof *iov) : NULL;
  if (!iov) return UV_ENOMEM;
  fill(iov, rest->n, rest);
  int rc = write_iov(s, iov, rest->n);
  if (large) chaski__free(iov);
  return rc;
}

int64_t chaski__stream_write(chaski_stream *s, const chaski_slice *slices, size_t n) {
  struct rest rest = {slices, n, 0};
  int64_t taken = 0;
  int rc = 0;
  if (s->status) return s->status;
  while (rest.n > 0) {
    size_t count = fill(s->net->iov, CHASKI__IOV_MAX, &rest);
    rc = uv_try_write((uv_stream_t *)&s->tcp, s->net->iov, (unsigned)count);
    if (rc <= 0) break;
    advance(&rest, (size_t)rc);
    taken += rc;
  }
  if (rc == UV_EAGAIN || rc == 0) rc = rest.n > 0 ? write_later(s, &rest) : 0;
  return rc < 0 ? fail_writing(s, rc) : taken;
}

static void on_shutdown(uv_shutdown_t *req, int uv_err) {
  (void)uv_err;
  chaski__free(req);
}

/* Fails only on a stream that is dead, which `end` tells; without memory for it the stream is made to be so. */
void chaski__stream_shutdown(chaski_stream *s) {
  uv_shutdown_t *req = chaski__malloc(sizeof *req);
  int rc = req ? uv_shutdown(req, (uv_stream_t *)&s->tcp, on_shutdown) : fail_writing(s, UV_ENOMEM);
  if (rc != 0) chaski__free(req);
}

size_t chaski__stream_queued(const chaski_stream *s) {
  (void)s;
  return 0;
}
