/* error.h: the one list of codes, shared by function results, edge close reasons and Lua's err.code.
 * A result is CHASKI_OK (0) or one of the negative codes; names are stable strings, texts are for people.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_ERROR_H
#define CHASKI_ERROR_H

/* X(constant, stable name, text) */
#define CHASKI_ERRORS(X)                                                                                               \
  X(CHASKI_ENOMEM, "out_of_memory", "out of memory")                                                                   \
  X(CHASKI_EINVAL, "invalid", "invalid argument")                                                                      \
  X(CHASKI_EADDRESS, "bad_address", "malformed address")                                                               \
  X(CHASKI_ERESOLVE, "unresolved", "host name cannot be resolved")                                                     \
  X(CHASKI_EREFUSED, "refused", "connection refused")                                                                  \
  X(CHASKI_ETIMEOUT, "timeout", "timed out")                                                                           \
  X(CHASKI_EUNREACHABLE, "unreachable", "host or network unreachable")                                                 \
  X(CHASKI_EINUSE, "in_use", "address already in use")                                                                 \
  X(CHASKI_EADDRNOTAVAIL, "not_available", "address not available on this machine")                                    \
  X(CHASKI_EACCESS, "access", "permission denied")                                                                     \
  X(CHASKI_EFILES, "files", "too many open files")                                                                     \
  X(CHASKI_ESELF, "self", "the address is the node's own")                                                             \
  X(CHASKI_ELIVE, "live", "the edge is live already")                                                                  \
  X(CHASKI_ESTOPPED, "stopped", "the node is stopped")                                                                 \
  X(CHASKI_EFULL, "full", "every edge it would go to is full")                                                         \
  X(CHASKI_ETOOBIG, "too_big", "larger than the limit")                                                                \
  X(CHASKI_ENOEDGE, "no_edge", "there is no edge to send on")                                                          \
  X(CHASKI_EFORBIDDEN, "forbidden", "not allowed")                                                                     \
  X(CHASKI_ECLOSED, "closed", "closed by this node")                                                                   \
  X(CHASKI_EGOODBYE, "goodbye", "the peer said goodbye")                                                               \
  X(CHASKI_ELOST, "lost", "the connection ended without a goodbye")                                                    \
  X(CHASKI_ERESET, "reset", "connection reset by the peer")                                                            \
  X(CHASKI_EPROTOCOL, "protocol", "the peer broke the protocol")                                                       \
  X(CHASKI_EMALFORMED, "malformed", "malformed frame")                                                                 \
  X(CHASKI_EDATA, "malformed_data", "malformed application data")                                                      \
  X(CHASKI_ETRUNCATED, "truncated", "the stream ended inside a frame")                                                 \
  X(CHASKI_EHANDSHAKE, "handshake_timeout", "the handshake was not completed in time")                                 \
  X(CHASKI_EFRAME, "frame_timeout", "a started frame was not completed in time")                                       \
  X(CHASKI_ELEASE, "lease", "no sign of life from the peer")                                                           \
  X(CHASKI_ESLOW, "slow_consumer", "the peer did not take what was queued for it")                                     \
  X(CHASKI_EDUPLICATE, "duplicate", "there is another edge to this peer")                                              \
  X(CHASKI_EREPLACED, "replaced", "the peer started anew")                                                             \
  X(CHASKI_EPENDING, "too_many_pending", "too many connections without a handshake")                                   \
  X(CHASKI_EEDGES, "too_many_edges", "too many edges")                                                                 \
  X(CHASKI_ETLS, "tls", "the TLS handshake or the encrypted stream failed")                                            \
  X(CHASKI_ECERTIFICATE, "certificate", "a certificate or key is not acceptable")                                      \
  X(CHASKI_ESERIALIZE, "serialize", "the value cannot be serialised")                                                  \
  X(CHASKI_ECANCELLED, "cancelled", "cancelled")                                                                       \
  X(CHASKI_EIO, "io", "input/output error")

enum chaski_error {
  CHASKI_OK = 0,
  CHASKI__ERROR_BASE = -1000,
#define CHASKI__ENUM(id, name, text) id,
  CHASKI_ERRORS(CHASKI__ENUM)
#undef CHASKI__ENUM
};

/* Stable name of a code ("timeout"); "ok" for 0, "unknown" for a number that is none of ours. Static, never NULL. */
const char *chaski_error_name(int code);
/* A sentence without subject for people ("timed out"). Static, never NULL. */
const char *chaski_error_text(int code);

#endif
