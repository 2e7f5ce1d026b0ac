/* env.h: everything the core knows of the outside world, as two tables of functions: the environment (clock,
 * alarm, random, log) and the transport (byte streams, listeners, datagrams). Their comments are their
 * specification. src/net implements both on libuv, src/sim in memory under a virtual clock; a filter (TLS)
 * wraps any transport and is one itself.
 *
 * One thread: every function is called, and every upcall made, on the thread of the loop.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_ENV_H
#define CHASKI_ENV_H

#include "error.h"
#include "slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHASKI_HOST_MAX 256 /* bytes of a host name or numeric address with its NUL: RFC 1035 allows 253 */

/* --- streams ------------------------------------------------------------------------------------------------
 * A stream's life:  connect or accept -> [connected] -> data* -> end -> close() -> closed
 *
 * Upcalls never happen inside the transport function that caused them (connect, write, shutdown, pause,
 * resume, close return first); the core may call any function of the table, close() included, from inside an
 * upcall. After close() the only upcall is `closed`. The tables of upcalls that a transport is given outlive what they
 * are for: it keeps the pointer. */
typedef struct chaski_stream chaski_stream;     /* owned by the transport until `closed` */
typedef struct chaski_listener chaski_listener; /* owned by the transport until `closed` */
typedef struct chaski_udp chaski_udp;           /* owned by the transport until `closed` */

typedef struct chaski_stream_events {
  /* The dial has ended: CHASKI_OK, or why not (ERESOLVE, EREFUSED, EUNREACHABLE, ETIMEOUT by the kernel, …).
   * Exactly once for a dialled stream, never for an accepted one. After a failure only close() is allowed.
   * Data, writes and `end` come after success only. */
  void (*connected)(void *user, int status);
  /* len > 0 bytes have arrived. They are the transport's and valid during the call. */
  void (*data)(void *user, const uint8_t *bytes, size_t len);
  /* Nothing more will arrive. CHASKI_OK: the peer shut down its writing side in good order (writing here may still
   * work); CHASKI_ERESET or another code: the stream is dead. At most once. */
  void (*end)(void *user, int status);
  /* The borrowed rest of a partial write has left (CHASKI_OK) or never will (a code; `end` follows if it has not
   * come). The bytes are the caller's again. */
  void (*written)(void *user, int status);
  /* The last upcall; the stream is gone when it returns. Borrowed bytes, if any, are the caller's again. */
  void (*closed)(void *user);
} chaski_stream_events;

/* What a peer may do with a topic, where the transport knows who the peer is. */
enum chaski_right { CHASKI_RIGHT_PUBLISH, CHASKI_RIGHT_SUBSCRIBE, CHASKI_RIGHT_RELAY };

/* --- listeners ---------------------------------------------------------------------------------------------- */
typedef struct chaski_listener_events {
  /* A connection came in. The core calls open() or close() on it before it returns. */
  void (*accept)(void *user, chaski_stream *stream);
  /* Accepting failed (EFILES, …). The listener stays and tries again by itself with a back-off of at most 1 s,
   * without spinning; told at most once per back-off. */
  void (*error)(void *user, int status);
  void (*closed)(void *user); /* after close(), last; the listener is gone when it returns */
} chaski_listener_events;

/* --- datagrams ---------------------------------------------------------------------------------------------- */
typedef struct chaski_udp_events {
  /* One whole datagram; truncated and empty ones are dropped before. host is numeric, NUL-terminated. All is valid
   * during the call. */
  void (*datagram)(void *user, const char *host, uint16_t port, const uint8_t *bytes, size_t len);
  void (*error)(void *user, int status); /* e.g. a refused earlier send; the socket stays open */
  void (*closed)(void *user);            /* after close(), last */
} chaski_udp_events;

typedef struct chaski_transport {
  const char *name; /* "tcp", "sim", … for logs */

  /* Start a dial to host (numeric, or a name the transport resolves) and port 1..65535. CHASKI_OK and *out set:
   * `connected` follows exactly once unless close() comes first. Else a code and nothing was made.
   * There is no time limit here: the core sets its own and closes. */
  int (*connect)(void *ctx, const char *host, uint16_t port, const chaski_stream_events *events, void *user,
                 chaski_stream **out);
  /* Take over an accepted stream: reading starts. Called once, inside `accept`. Never fails. */
  void (*open)(chaski_stream *stream, const chaski_stream_events *events, void *user);
  /* Send the n slices (n >= 1, none empty; any n) as one piece of the stream. Returns how many bytes the transport
   * has taken for good (they may be reused at once), or a code: the stream is dead, nothing is borrowed. If fewer than
   * all were taken the rest is borrowed until `written` or `closed`, and write() may not be called before. The array of
   * slices itself is never borrowed. Only on a connected stream and not after shutdown(). */
  int64_t (*write)(chaski_stream *stream, const chaski_slice *slices, size_t n);
  /* Send the end of the stream after what was written. Once; reading goes on. No upcall. */
  void (*shutdown)(chaski_stream *stream);
  /* Stop and restart `data` upcalls (flow control); at most what one system call read arrives after pause. `end` waits
   * too while paused. Idempotent. */
  void (*pause)(chaski_stream *stream);
  void (*resume)(chaski_stream *stream);
  /* End at once; bytes not yet sent may be lost. `closed` follows exactly once. Once. */
  void (*close)(chaski_stream *stream);
  /* Bytes this transport holds for the stream beyond what was borrowed (TLS records, say). Usually 0. */
  size_t (*queued)(const chaski_stream *stream);
  /* Numeric addresses of both ends. Return CHASKI_OK and fill host (CHASKI_HOST_MAX bytes) and port, or a code when
   * there is none (not connected). */
  int (*peer_address)(const chaski_stream *stream, char *host, uint16_t *port);
  int (*local_address)(const chaski_stream *stream, char *host, uint16_t *port);

  /* The rest of the stream functions may be NULL in a transport that does not know who its peers are. */
  /* The verified id of the peer; valid until `closed`. NULL before the transport's own handshake is complete. */
  const char *(*peer_id)(const chaski_stream *stream);
  /* Why the stream failed or was refused, static text; "" when the code says it all. */
  const char *(*detail)(const chaski_stream *stream);
  /* May the peer (stream NULL: we ourselves) publish or subscribe to this topic, or relay what others published (topic
   * is ignored)? */
  bool (*may)(void *ctx, const chaski_stream *stream, enum chaski_right right, chaski_slice topic);
  /* Is the peer still welcome (its certificate not expired or revoked since)? CHASKI_OK or a code; `detail` tells. */
  int (*check)(chaski_stream *stream);
  /* Until when the certificates are good that the stream was made with, our own and the peer's: s since 1970; 0: for
   * ever. */
  int64_t (*expires)(const chaski_stream *stream);

  /* Listen on ip (numeric IPv4 or IPv6, no brackets) and port (0: any free one). CHASKI_OK, or EINUSE, EACCESS,
   * EADDRNOTAVAIL, EADDRESS, EFILES, … and nothing was made. */
  int (*listen)(void *ctx, const char *ip, uint16_t port, const chaski_listener_events *events, void *user,
                chaski_listener **out);
  uint16_t (*listener_port)(const chaski_listener *listener);
  void (*listener_close)(chaski_listener *listener); /* `closed` follows exactly once */

  /* A socket for datagrams bound to ip and port (0: any). Errors as listen. */
  int (*udp_open)(void *ctx, const char *ip, uint16_t port, const chaski_udp_events *events, void *user,
                  chaski_udp **out);
  uint16_t (*udp_port)(const chaski_udp *udp);
  /* Send one datagram to a numeric host. Best effort: CHASKI_OK says it was handed over, CHASKI_EFULL that the socket
   * is full now, another code why it cannot be sent. Nothing is borrowed. */
  int (*udp_send)(chaski_udp *udp, const char *host, uint16_t port, const uint8_t *bytes, size_t len);
  void (*udp_close)(chaski_udp *udp); /* `closed` follows exactly once */
} chaski_transport;

/* --- environment -------------------------------------------------------------------------------------------- */
enum chaski_log_level { CHASKI_LOG_ERROR, CHASKI_LOG_WARN, CHASKI_LOG_INFO, CHASKI_LOG_DEBUG, CHASKI_LOG_TRACE };

typedef struct chaski_env {
  void *ctx; /* handed to every function below and to connect, listen, udp_open */
  /* Monotonic time in ns from some fixed past point; never 0. */
  uint64_t (*now)(void *ctx);
  /* Time since 1970-01-01 UTC. May jump. For timestamps on the wire only, never for deadlines. */
  void (*wall)(void *ctx, int64_t *sec, uint32_t *nsec);
  /* Fill with random bytes, unpredictable for an outsider (in a simulation: from the seed). Never fails. */
  void (*random)(void *ctx, void *bytes, size_t len);
  /* Ask for chaski_loop_expire() at or soon after `due` (ns, clock of now(); in the past: at the next turn of the
   * loop, never at once). Replaces what was asked before; UINT64_MAX: no more. */
  void (*alarm)(void *ctx, uint64_t due);
  /* One line of log, no newline. `who` is a node's name or "". level is at most what log_level() admits. */
  void (*log)(void *ctx, enum chaski_log_level level, const char *who, const char *line);
  enum chaski_log_level (*log_level)(void *ctx);
  const chaski_transport *transport;
} chaski_env;

#endif
