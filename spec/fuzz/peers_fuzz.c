/* peers_fuzz.c: the life of three nodes as a program: pairs of bytes say what happens next: who dials whom, alone or
 * from both sides, with a report or without, who publishes, closes, stops, pauses or restarts, which connection is cut
 * and which path swallows what it is given. All ledgers must balance at each step, and whoever runs at the end be
 * there. SPDX-License-Identifier: MIT */
#include "../core/node_rig.h"

#include "fuzz.h"

#define NODES 3
#define STEPS 120

static chaski_subscription *extra[NODES];

static void on_done(void *ctx, int status, chaski_edge *edge, const char *detail) {
  (void)ctx, (void)detail;
  FUZZ_CHECK((status == CHASKI_OK) == (edge != NULL));
}

static void begin(size_t i) {
  static const char *const ids[NODES] = {"id-b", "id-c", "id-a"};
  struct peer *p = &rig->peers[i];
  chaski_node_options o;
  const char *why;
  chaski_node_options_init(&o);
  *p = (struct peer){0};
  extra[i] = NULL;
  snprintf(p->ip, sizeof p->ip, "10.0.0.%zu", i + 1);
  o.id = ids[i];
  o.name = ids[i];
  o.ip = p->ip;
  o.port = 9000;
  o.propagation = true;
  o.limits.resume_timeout = (10 + 20 * i) * SECOND;
  o.limits.resume_frames = 40;
  FUZZ_CHECK(chaski_node_new(rig->loop, &o, &rig_events, p, &p->node, &why) == CHASKI_OK);
  rig_subscribe(p, "t");
  chaski_node_handle(p->node, chaski_slice_str("hop"), p);
  chaski_node_run(p->node);
}

static void dial(size_t i, size_t j, bool reporting) {
  static const uint8_t report[] = {0x81, 0xa1, 'x', 0x01};
  chaski_address a = {.port = 9000};
  struct peer *p = &rig->peers[i];
  snprintf(a.host, sizeof a.host, "%s", rig->peers[j].ip);
  chaski_sim_act_as(rig->sim, p->ip);
  if (reporting)
    chaski_node_connect_reporting(p->node, &a, 0, chaski_slice_of(report, sizeof report), on_done, NULL, NULL);
  else
    chaski_node_connect(p->node, &a, 0, on_done, NULL, NULL);
}

struct chosen {
  size_t left;
  chaski_stream *stream;
};

static void choose(void *arg, chaski_stream *s) {
  struct chosen *c = arg;
  if (c->left-- == 0) c->stream = s;
}

static void cut(uint8_t which, bool later) {
  size_t n = chaski_sim_streams(rig->sim, NULL, NULL);
  struct chosen c = {.left = n ? which % n : 0};
  chaski_sim_streams(rig->sim, choose, &c);
  if (!c.stream) return;
  if (later)
    chaski_sim_cut_after(rig->sim, c.stream, which * 3u);
  else
    chaski_sim_cut(rig->sim, c.stream);
}

static void pause_reading(chaski_edge *edge, uint8_t arg) {
  chaski_edge_hold(edge);
  chaski_edge_pause(edge);
  rig_pass(arg * 50 * MS);
  chaski_edge_resume(edge);
  chaski_edge_release(edge);
}

static void set_paths(uint8_t arg) {
  chaski_sim_link link = {.delay_ns = 1 + (arg & 15) * MS, .chunk_max = arg & 16 ? 1 + arg : 0};
  link.window = arg & 32 ? 2000 : 0;
  chaski_sim_set_link(rig->sim, NULL, NULL, &link);
}

static void turn_subscription(size_t i, uint8_t arg) {
  char topic[8];
  snprintf(topic, sizeof topic, "x%d", arg >> 4);
  if (extra[i]) chaski_subscription_remove(extra[i]);
  extra[i] = extra[i] ? NULL : rig_subscribe(&rig->peers[i], topic);
}

/* arg: the node it happens to, another one, and whatever else. */
static void step(uint8_t op, uint8_t arg) {
  size_t i = arg % NODES, j = (i + 1 + arg / NODES % 2) % NODES, edges;
  struct peer *p = &rig->peers[i];
  switch (op % 18) {
  case 0:
  case 1:
    dial(i, j, op & 64);
    break;
  case 2:
    dial(i, j, false);
    rig_pass((arg >> 4) * MS / 4);
    dial(j, i, op & 64);
    break;
  case 3:
    for (int n = arg >> 3; n >= 0; n--) rig_publish(p, "t", arg & 63);
    break;
  case 4:
    chaski_node_write(p->node, chaski_slice_str("hop"), chaski_slice_str("t"), chaski_slice_of(&(uint8_t){0}, 1), NULL);
    break;
  case 5:
    cut(arg, false);
    break;
  case 6:
    cut(arg, true);
    break;
  case 7:
    if ((edges = chaski_node_edge_count(p->node)))
      chaski_edge_close(chaski_node_edge_at(p->node, arg / 8 % edges), CHASKI_ECLOSED, arg & 128);
    break;
  case 8:
    chaski_sim_stall(rig->sim, p->ip, arg & 128);
    break;
  case 9:
    chaski_sim_blackhole(rig->sim, p->ip, rig->peers[j].ip, arg & 128);
    break;
  case 10:
    chaski_node_destroy(&p->node);
    if (arg & 128) rig_pass((arg & 15) * SECOND);
    begin(i);
    break;
  case 11:
    chaski_node_stop(p->node, arg / 64 * SECOND);
    if (arg & 128) rig_pass(SECOND);
    chaski_node_run(p->node);
    break;
  case 12:
    if ((edges = chaski_node_edge_count(p->node))) pause_reading(chaski_node_edge_at(p->node, arg / 8 % edges), arg);
    break;
  case 13:
    set_paths(arg);
    break;
  case 14:
    rig_pass(arg * MS);
    break;
  case 15:
    turn_subscription(i, arg);
    break;
  case 16:
    if ((edges = chaski_node_edge_count(p->node)))
      chaski_edge_ping(chaski_node_edge_at(p->node, arg / 8 % edges), arg * 16u, arg & 1, SECOND, NULL, NULL);
    break;
  default:
    rig_pass(arg * SECOND / 8);
  }
}

static void check_ledgers(void) {
  for (size_t i = 0; i < NODES; i++) {
    const chaski_counters *c = chaski_node_counters(rig->peers[i].node);
    uint64_t known = c->acknowledged + c->written + c->lost + c->queue_dropped;
    FUZZ_CHECK(c->queued == known + chaski_node_in_flight(rig->peers[i].node));
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
  void *state = NULL;
  rig_setup(&state);
  rig->count = NODES;
  for (size_t i = 0; i < NODES; i++) begin(i);
  for (size_t at = 0; at + 2 <= len && at < 2 * STEPS; at += 2) {
    step(bytes[at], bytes[at + 1]);
    if (bytes[at] & 128) rig_pass(5 * MS);
    check_ledgers();
  }
  rig_pass(20 * SECOND);
  check_ledgers();
  FUZZ_CHECK(rig_teardown(&state) == 0);
  return 0;
}
