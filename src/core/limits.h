/* limits.h: every limit of a node in one table: default, hard bounds, reason. Each is an option of the node, shown in
 * its status with a counter of how often it was hit. Source: DESIGN 7, RELIABILITY 3.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_LIMITS_H
#define CHASKI_LIMITS_H

#include <stddef.h>
#include <stdint.h>

#define CHASKI_KIB UINT64_C(1024)
#define CHASKI_MIB (UINT64_C(1024) * 1024)
#define CHASKI_MS UINT64_C(1000000)
#define CHASKI_S UINT64_C(1000000000)

/* X(name, unit, default, least, most, reason); unit is "bytes", "count" or "s" (kept in ns, given in seconds) */
#define CHASKI_LIMITS(X)                                                                                               \
  X(data_max, "bytes", 8 * CHASKI_MIB, CHASKI_KIB, 64 * CHASKI_MIB, "data of one frame")                               \
  X(topic_max, "bytes", 256, 16, 4 * CHASKI_KIB, "topic of a frame: parsed for every frame, even a skipped one")       \
  X(preauth_max, "bytes", 16 * CHASKI_KIB, CHASKI_KIB, CHASKI_MIB, "data of a frame before the handshake is complete") \
  X(connect_timeout, "s", 5 * CHASKI_S, CHASKI_MS, 3600 * CHASKI_S, "a dial, to the completed handshake")              \
  X(handshake_timeout, "s", 10 * CHASKI_S, CHASKI_MS, 3600 * CHASKI_S, "an accepted connection's handshake")           \
  X(frame_timeout, "s", 30 * CHASKI_S, CHASKI_MS, 3600 * CHASKI_S, "a started frame (slowloris)")                      \
  X(lease, "s", 15 * CHASKI_S, 10 * CHASKI_MS, 3600 * CHASKI_S, "silence after which a peer is dead")                  \
  X(keep_alive_interval, "s", 7 * CHASKI_S, CHASKI_MS, 3600 * CHASKI_S, "pings, the seed's; up to half as much more")  \
  X(goodbye_timeout, "s", 1 * CHASKI_S, CHASKI_MS, 60 * CHASKI_S, "reading to the end after a goodbye")                \
  X(pending_max, "count", 100, 1, 65536, "connections without a handshake; the oldest goes")                           \
  X(pending_per_ip, "count", 10, 1, 65536, "the same from one address off loopback")                                   \
  X(edges_max, "count", 1000, 1, 1000000, "live edges")                                                                \
  X(edges_per_ip, "count", 16, 1, 1000000, "those that were accepted from one address off loopback")                   \
  X(peer_subscriptions, "count", 65536, 1, 1000000, "subscriptions one peer may announce")                             \
  X(queue_low, "bytes", 256 * CHASKI_KIB, 1, 1024 * CHASKI_MIB, "an edge's queue: writing resumes below")              \
  X(queue_high, "bytes", 1 * CHASKI_MIB, 1, 1024 * CHASKI_MIB, "writing pauses above")                                 \
  X(queue_hard, "bytes", 16 * CHASKI_MIB, 1, 1024 * CHASKI_MIB, "overflow applies above")                              \
  X(queue_total, "bytes", 256 * CHASKI_MIB, 64 * CHASKI_KIB, 65536 * CHASKI_MIB,                                       \
    "all queues of the process together, the least of its nodes' counts; above, the largest goes")                     \
  X(queue_stall, "s", 10 * CHASKI_S, CHASKI_MS, 3600 * CHASKI_S, "above high without progress: slow_consumer")         \
  X(resume_timeout, "s", 120 * CHASKI_S, 0, 600 * CHASKI_S, "how long a lost edge may be resumed; 0: not at all")      \
  X(resume_frames, "count", 65536, 16, 1 << 24, "frames kept for a peer that has not acknowledged them")               \
  X(resume_bytes, "bytes", 0, 0, 1024 * CHASKI_MIB, "the same in bytes, never more than queue_hard; 0: as much")       \
  X(inbox_max, "count", 1024, 1, 1000000, "messages that wait for one subscription's handler")                         \
  X(messages_pool_maxsize, "count", 8192, 1, 1000000, "ids of other makers that are remembered")                       \
  X(pool_per_edge, "count", 0, 0, 1000000, "of these, those that came by one edge; 0: a quarter")                      \
  X(ttl_max, "count", 64, 1, 64, "hops that a message from outside may claim to have left")                            \
  X(message_depth, "count", 32, 1, 128, "tables in tables in the data of a message")                                   \
  X(message_values, "count", 1 << 20, 1, 1 << 28, "elements and pairs of all of them")                                 \
  X(message_tables, "count", 65536, 1, 1 << 28, "tables in it: a byte of wire becomes 56 or more of memory")           \
  X(message_key, "bytes", 256, 1, 1 << 28, "a key that is a string")                                                   \
  X(message_number_keys, "count", 4096, 1, 1 << 28, "keys of its maps that are numbers: their hashes can collide")     \
  X(request_rate, "count", 100, 1, 1000000, "requests a second from one edge, and twice as many at once")              \
  X(requests_max, "count", 1024, 1, 1000000, "requests being answered at once")                                        \
  X(requests_per_edge, "count", 256, 1, 1000000, "of these, those of one edge")                                        \
  X(discovery_rate, "count", 5, 1, 1000000, "discoveries a second from one edge, and four times as many at once")      \
  X(datagram_max, "bytes", 1200, 256, 1200, "a datagram: the least packet that every network of QUIC's carries")       \
  X(datagram_rate, "count", 10, 1, 100000, "datagrams a second from one source, and twice as many at once")            \
  X(datagram_rate_all, "count", 200, 1, 1000000, "the same from all sources")                                          \
  X(ping_echo_max, "bytes", 64 * CHASKI_KIB, 0, CHASKI_MIB, "dummy data a pong echoes")                                \
  X(ping_rate, "count", 1000, 1, 1000000, "pings a second of one edge that are answered, and twice as many at once")   \
  X(log_rate, "count", 10, 1, 1000000, "lines a second in the log of edges that ended; then their number")             \
  X(loop_lag, "s", 100 * CHASKI_MS, CHASKI_MS, 3600 * CHASKI_S, "a timer that rings so late: the loop was held up")

typedef struct chaski_limits {
#define CHASKI__FIELD(name, unit, def, least, most, reason) uint64_t name;
  CHASKI_LIMITS(CHASKI__FIELD)
#undef CHASKI__FIELD
} chaski_limits;

typedef struct chaski_limit_row {
  const char *name, *unit, *reason;
  uint64_t value, least, most; /* bytes, count, or ns */
  size_t offset;               /* in chaski_limits, and in the counters of hits, which have the same shape */
} chaski_limit_row;

extern const chaski_limit_row chaski_limit_rows[];
extern const size_t chaski_limit_count;

void chaski_limits_init(chaski_limits *l); /* the defaults */
/* CHASKI_OK, or CHASKI_EINVAL and *why (static): which two limits do not fit together. */
int chaski_limits_check(const chaski_limits *l, const char **why);
/* Field of row i. */
uint64_t *chaski_limit_at(chaski_limits *l, size_t i);

#endif
