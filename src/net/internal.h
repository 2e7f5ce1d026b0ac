/* internal.h: what the files of src/net share and nobody else sees.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_NET_INTERNAL_H
#define CHASKI_NET_INTERNAL_H

#include "net.h"

#define CHASKI__IOV_MAX 1024 /* slices per system call: Linux UIO_MAXIOV */

/* The structure of this type whose field `field` p points to. */
#define CHASKI__OWNER(p, type, field) ((type *)(void *)((char *)(p)-offsetof(type, field)))

/* A stream, listener or datagram socket in its net's list; the first field of each. */
typedef struct chaski__member {
  struct chaski__member *prev, *next;
  void (*close)(struct chaski__member *member); /* may be called again while it closes */
} chaski__member;

struct chaski_net {
  uv_loop_t *loop;
  chaski_env env;
  uv_timer_t alarm;     /* for a due time ahead */
  uv_idle_t soon;       /* for one in the past: libuv 1.44 would run a 0 ms timer set by a timer for ever */
  uv_prepare_t prepare; /* calls flush */
  uv_check_t check;     /* begins a turn: streams that had read their share may go on */
  uint64_t due;         /* ns; UINT64_MAX: no alarm */
  void (*expire)(void *user);
  void (*flush)(void *user);
  void *hooks_user;
  void (*log)(void *user, enum chaski_log_level level, const char *who, const char *line);
  void *log_user;
  enum chaski_log_level log_level;
  chaski__member members; /* ring */
  uint64_t turn;
  size_t handles; /* members */
  size_t pending; /* members, own handles and lookups: what must end before the memory goes */
  bool closing;
  void (*closed)(void *user);
  void *closed_user;
  uv_buf_t iov[CHASKI__IOV_MAX]; /* scratch of write() */
  char slab[CHASKI_NET_SLAB];
};

/* net.c */
void chaski__net_add(chaski_net *net, chaski__member *member);
void chaski__net_remove(chaski_net *net, chaski__member *member);
void chaski__net_release(chaski_net *net); /* one of `pending` has ended; may free the net */

/* error.c: libuv's code (or -errno) to ours. UV_EOF and 0 are CHASKI_OK. */
int chaski__net_error(int uv_err);

/* tcp.c */
int chaski__stream_connect(void *ctx, const char *host, uint16_t port, const chaski_stream_events *events, void *user,
                           chaski_stream **out);
/* A stream on a connected non-blocking socket, which it then owns. NULL: no memory, and fd is still the caller's. */
chaski_stream *chaski__stream_adopt(chaski_net *net, int fd);
void chaski__stream_open(chaski_stream *stream, const chaski_stream_events *events, void *user);
int64_t chaski__stream_write(chaski_stream *stream, const chaski_slice *slices, size_t n);
void chaski__stream_shutdown(chaski_stream *stream);
void chaski__stream_pause(chaski_stream *stream);
void chaski__stream_resume(chaski_stream *stream);
void chaski__stream_close(chaski_stream *stream);
size_t chaski__stream_queued(const chaski_stream *stream);
int chaski__stream_peer_address(const chaski_stream *stream, char *host, uint16_t *port);
int chaski__stream_local_address(const chaski_stream *stream, char *host, uint16_t *port);

/* listener.c */
int chaski__listen(void *ctx, const char *ip, uint16_t port, const chaski_listener_events *events, void *user,
                   chaski_listener **out);
uint16_t chaski__listener_port(const chaski_listener *listener);
void chaski__listener_close(chaski_listener *listener);

/* udp.c */
int chaski__udp_open(void *ctx, const char *ip, uint16_t port, const chaski_udp_events *events, void *user,
                     chaski_udp **out);
uint16_t chaski__udp_port(const chaski_udp *udp);
int chaski__udp_send(chaski_udp *udp, const char *host, uint16_t port, const uint8_t *bytes, size_t len);
void chaski__udp_close(chaski_udp *udp);

/* resolve.c: look a name up in libuv's thread pool. `done` follows once, not inside resolve, unless cancelled; the list
 * (NULL on failure) is then its receiver's, for uv_freeaddrinfo. NULL returned: *status says why. */
typedef struct chaski__lookup chaski__lookup;
typedef void (*chaski__resolved)(void *user, int status, struct addrinfo *list);
chaski__lookup *chaski__resolve(chaski_net *net, const char *host, chaski__resolved done, void *user, int *status);
void chaski__resolve_cancel(chaski__lookup *lookup);

#endif
