/* handshake_fuzz.c: a node and what a stranger or a member sends it, byte by byte or as valid envelopes around any
 * data. The node must stay, and what it answers must be valid frames. The first byte: bit 0, the peer has shaken hands
 * before; bit 1, bytes come one by one; bit 2, the connection ends abruptly; bit 3, the rest is pieces (command,
 * length, data) that are put into frames. SPDX-License-Identifier: MIT */
#include "../core/raw_rig.h"

#include "../../src/core/uuid.h"

#include "fuzz.h"

static const char *const commands[] = {
    "handshake", "handshake_back", "ping",          "pong", "subscriptions", "forbidden",
    "ack",       "report_paired",  "ChaskiMessage", "mine"};

/* An id in the data that the peer has from us: what the handshake said, at a place that the data marks with 36 '*'. */
static void put_id(uint8_t *data, size_t len, const char *id) {
  for (size_t i = 0; i + CHASKI_UUID_TEXT <= len; i++)
    if (memcmp(data + i, "************************************", CHASKI_UUID_TEXT) == 0 &&
        strlen(id) == CHASKI_UUID_TEXT)
      memcpy(data + i, id, CHASKI_UUID_TEXT);
}

static void send_pieces(struct raw *r, const uint8_t *bytes, size_t len) {
  while (len >= 3 && !r->ended) {
    size_t n = (size_t)bytes[1] << 8 | bytes[2];
    const char *command = commands[bytes[0] % (sizeof commands / sizeof *commands)];
    if (n > len - 3) n = len - 3;
    uint8_t data[65536];
    memcpy(data, bytes + 3, n);
    put_id(data, n, r->handshake_id);
    chaski__buf b = {0};
    chaski__buf_append(&b, data, n);
    if (strcmp(command, "ChaskiMessage") == 0) {
      raw_envelope(r, "t", "t", command, chaski_slice_of(data, n), raw_uuid(), (int)(n % 70), false);
      chaski__buf_free(&b);
    } else {
      raw_command(r, command, &b);
    }
    bytes += 3 + n;
    len -= 3 + n;
    rig_pass(3 * MS);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
  void *state = NULL;
  if (len < 2 || len > 16384) return 0;
  raw_setup(&state);
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.data_max = 64 * CHASKI_KIB;
  o.propagation = true;
  o.id = "victim";
  struct peer *victim = rig_node_with("victim", &o);
  rig_subscribe(victim, "t");
  chaski_node_handle(victim->node, chaski_slice_str("mine"), victim);
  struct raw *r = bytes[0] & 1 ? raw_join("10.1.0.1", victim) : raw_dial("10.1.0.1", victim);
  chaski_sim_link link = {.delay_ns = MS, .chunk_max = bytes[0] & 2 ? 1 : 0, .window = 1 << 20};
  chaski_sim_set_link(rig->sim, NULL, NULL, &link);
  if (bytes[0] & 8)
    send_pieces(r, bytes + 1, len - 1);
  else
    raw_send(r, bytes + 1, len - 1);
  rig_pass(20 * MS);
  if (bytes[0] & 4 && r->stream) chaski_sim_cut(rig->sim, r->stream);
  rig_pass(40 * SECOND);
  FUZZ_CHECK(chaski_node_running(victim->node));
  const chaski_counters *c = chaski_node_counters(victim->node);
  FUZZ_CHECK(c->queued == c->acknowledged + c->written + c->lost + chaski_node_in_flight(victim->node));
  FUZZ_CHECK(raw_teardown(&state) == 0);
  return 0;
}
