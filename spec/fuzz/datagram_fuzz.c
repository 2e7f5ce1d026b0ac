/* datagram_fuzz.c: any bytes as a datagram: read alone, and sent to a node, which must stay and count it; then as the
 * data of a datagram of the node's own, and again and again, until the node takes no more from that source.
 * SPDX-License-Identifier: MIT */
#include "../core/node_rig.h"

#include "fuzz.h"

static size_t came;

static void on_datagram(void *user, const char *host, uint16_t port, const chaski_message *m) {
  (void)user, (void)host, (void)port;
  FUZZ_CHECK(m->datagram > 0 && m->datagram <= CHASKI_DATAGRAM_MAX && m->command.len > 0);
  came++;
}

static size_t told;

static void on_udp(void *user, bool open, int status) {
  (void)user;
  FUZZ_CHECK(open && status == CHASKI_OK);
  told++;
}

static void nothing(void *user, const char *host, uint16_t port, const uint8_t *bytes, size_t len) {
  (void)user, (void)host, (void)port, (void)bytes, (void)len;
}

static void no_error(void *user, int status) {
  (void)user, (void)status;
}

static void closed(void *user) {
  (void)user;
}

static const chaski_udp_events udp_events = {nothing, no_error, closed};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
  void *state = NULL;
  chaski_message m;
  const char *why = NULL;
  if (len > 65000) return 0;
  int r = chaski_message_read_datagram(chaski_slice_of(bytes, len), &m, &why);
  FUZZ_CHECK(r == CHASKI_OK || why);
  rig_setup(&state);
  came = 0;
  chaski_node_options o;
  chaski_node_events events = rig_events;
  events.datagram = on_datagram;
  events.udp = on_udp;
  told = 0;
  chaski_node_options_init(&o);
  struct peer *p = &rig->peers[rig->count++];
  snprintf(p->ip, sizeof p->ip, "10.0.0.1");
  o.ip = p->ip;
  FUZZ_CHECK(chaski_node_new(rig->loop, &o, &events, p, &p->node, &why) == CHASKI_OK);
  FUZZ_CHECK(chaski_node_run(p->node) == CHASKI_OK);
  const chaski_transport *t = chaski_sim_env(rig->sim)->transport;
  chaski_udp *udp;
  FUZZ_CHECK(t->udp_open(chaski_sim_env(rig->sim)->ctx, "10.0.0.2", 9, &udp_events, NULL, &udp) == CHASKI_OK);
  t->udp_send(udp, p->ip, chaski_node_port(p->node), bytes, len);
  rig_pass(SECOND);
  bool fits = len > 0 && len <= CHASKI_DATAGRAM_MAX;
  FUZZ_CHECK(came == (r == CHASKI_OK && fits));
  FUZZ_CHECK(told == 1);
  chaski_slice command = chaski_slice_of(bytes, len < 40 ? len : 40);
  int sent = chaski_node_send_datagram(p->node, command, chaski_slice_of(bytes, len), "10.0.0.2", 9);
  FUZZ_CHECK(sent == CHASKI_OK || sent == CHASKI_EINVAL || sent == CHASKI_ETOOBIG);
  for (int i = 0; i < 30; i++) t->udp_send(udp, p->ip, chaski_node_port(p->node), bytes, len);
  rig_pass(SECOND);
  FUZZ_CHECK(came <= 32 && (!came || chaski_node_limit_hits(p->node)->datagram_rate > 0));
  t->udp_close(udp);
  FUZZ_CHECK(rig_teardown(&state) == 0);
  return 0;
}
