/* datagram.c: the node's datagram socket: what comes in within the limits, what goes out (PROTOCOL A.8, B.10). What the
 * commands mean is not decided here. SPDX-License-Identifier: MIT */
#include "internal.h"

#define SOURCES_MAX 1024 /* remembered; the one not heard of for longest goes */

/* --- rates: token buckets ----------------------------------------------------------------------------------- */
static bool take_token(chaski__source *s, uint64_t now, double rate) {
  double burst = 2 * rate;
  s->tokens += (double)(now - s->at) / 1e9 * rate;
  if (s->tokens > burst) s->tokens = burst;
  s->at = now;
  if (s->tokens < 1) return false;
  s->tokens -= 1;
  return true;
}

static void forget(chaski_node *node, chaski__source *s) {
  HASH_DEL(node->sources, s);
  DL_DELETE(node->sources_order, s);
  chaski__free(s);
}

static chaski__source *source_new(chaski_node *node, const char *name, size_t len) {
  if (HASH_COUNT(node->sources) >= SOURCES_MAX) forget(node, node->sources_order);
  chaski__source *s = chaski__calloc(1, sizeof *s);
  if (!s) return NULL;
  memcpy(s->name, name, len);
  s->at = node->loop->now;
  s->tokens = 2 * (double)node->limits.datagram_rate;
  HASH_ADD_KEYPTR(hh, node->sources, s->name, len, s);
  if (s->hh.tbl) {
    DL_APPEND(node->sources_order, s);
    return s;
  }
  chaski__free(s);
  return NULL;
}

/* On loopback every node has the same host: there a source is a port. */
static size_t source_name(char out[CHASKI_HOST_MAX + 8], const char *host, uint16_t port) {
  bool loopback = strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
  if (loopback) return chaski_address_format(out, host, port);
  size_t len = strlen(host);
  memcpy(out, host, len + 1);
  return len;
}

static bool within_rates(chaski_node *node, const char *host, uint16_t port) {
  char name[CHASKI_HOST_MAX + 8];
  size_t len = source_name(name, host, port);
  if (len >= CHASKI_HOST_MAX) return false;
  chaski__source *s;
  HASH_FIND(hh, node->sources, name, len, s);
  if (!s) s = source_new(node, name, len);
  if (!s || !take_token(s, node->loop->now, (double)node->limits.datagram_rate)) {
    CHASKI__HIT(node, datagram_rate);
    return false;
  }
  DL_DELETE(node->sources_order, s);
  DL_APPEND(node->sources_order, s);
  if (take_token(&node->everybody, node->loop->now, (double)node->limits.datagram_rate_all)) return true;
  CHASKI__HIT(node, datagram_rate_all);
  return false;
}

void chaski__sources_free(chaski_node *node) {
  while (node->sources_order) forget(node, node->sources_order);
}

/* --- receiving ---------------------------------------------------------------------------------------------- */
static void on_datagram(void *user, const char *host, uint16_t port, const uint8_t *bytes, size_t len) {
  chaski_node *node = user;
  chaski_message m;
  const char *why;
  chaski__loop_touch(node->loop);
  if (node->state != NODE_RUNNING || !within_rates(node, host, port)) return;
  if (len > node->limits.datagram_max) CHASKI__HIT(node, datagram_max);
  if (len > node->limits.datagram_max ||
      chaski_message_read_datagram(chaski_slice_of(bytes, len), &m, &why) != CHASKI_OK) {
    node->counters.bad_datagrams++;
    return;
  }
  node->counters.datagrams_in++;
  if (node->events.datagram) node->events.datagram(node->user, host, port, &m);
}

static void on_error(void *user, int status) {
  const chaski_node *node = user;
  if (node->events.udp && node->udp) node->events.udp(node->user, true, status);
}

static void on_closed(void *user) {
  chaski_node *node = user;
  node->handles--;
  if (node->events.udp) node->events.udp(node->user, false, CHASKI_OK);
  chaski__node_check_stopped(node);
}

static const chaski_udp_events udp_events = {on_datagram, on_error, on_closed};

int chaski__node_udp_open(chaski_node *node, uint16_t port) {
  int r = node->transport->udp_open(node->transport_ctx, node->ip, port, &udp_events, node, &node->udp);
  if (r != CHASKI_OK) {
    node->udp = NULL;
    return r;
  }
  node->handles++;
  node->everybody = (chaski__source){.at = node->loop->now, .tokens = 2 * (double)node->limits.datagram_rate_all};
  return CHASKI_OK;
}

void chaski__node_udp_tell(chaski_timer *t) {
  chaski_node *node = (chaski_node *)(void *)((char *)t - offsetof(chaski_node, udp_timer));
  if (node->events.udp) node->events.udp(node->user, true, CHASKI_OK);
}

/* --- sending ------------------------------------------------------------------------------------------------ */
static void put_stamp(chaski__buf *b, const chaski_loop *loop) {
  uint64_t v = (uint64_t)loop->nsec << 34 | ((uint64_t)loop->sec & 0x3ffffffffU);
  uint8_t bytes[10] = {0xd7, 0xff};
  for (int i = 0; i < 8; i++) bytes[2 + i] = (uint8_t)(v >> (56 - 8 * i));
  chaski__buf_append(b, bytes, sizeof bytes);
}

static void put_message(chaski__buf *b, chaski_node *node, chaski_slice command, chaski_slice data) {
  chaski__loop_wall(node->loop);
  chaski__mp_put_map(b, 6);
  chaski__mp_put_key(b, "command");
  chaski__mp_put_str(b, command);
  chaski__mp_put_key(b, "topic");
  chaski__mp_put_str(b, chaski_slice_of(NULL, 0));
  chaski__mp_put_key(b, "data");
  chaski__buf_append(b, data.ptr, data.len);
  chaski__mp_put_key(b, "timestamp");
  put_stamp(b, node->loop);
  chaski__mp_put_key(b, "ttl");
  chaski__mp_put_uint(b, CHASKI_TTL_MAX);
  chaski__mp_put_key(b, "uuid");
  chaski__mp_put_nil(b);
}

int chaski_node_send_datagram(chaski_node *node, chaski_slice command, chaski_slice data, const char *host,
                              uint16_t port) {
  if (node->state != NODE_RUNNING) return CHASKI_ESTOPPED;
  if (!node->udp) return CHASKI_EFORBIDDEN;
  if (!command.len || command.len > CHASKI_COMMAND_MAX || !data.len || !port) return CHASKI_EINVAL;
  if (!chaski_address_is_numeric(host)) return CHASKI_EADDRESS;
  chaski__buf b = {0};
  put_message(&b, node, command, data);
  int r = b.failed                            ? CHASKI_ENOMEM
          : b.len > node->limits.datagram_max ? CHASKI_ETOOBIG
                                              : node->transport->udp_send(node->udp, host, port, b.ptr, b.len);
  if (r == CHASKI_OK) node->counters.datagrams_out++;
  chaski__buf_free(&b);
  return r;
}
