/* resume_sim_test.c: two to twelve nodes with resumable edges, in rings, meshes, trees and lines, under every fault the
 * in-memory network knows. Every accepted frame arrives once and in order, or is reported; ledgers balance and memory
 * stays within bounds at every moment; afterwards everybody is connected again within a minute.
 *
 * Two kinds of run. In a gentle one (even seeds) connections are lost and nothing else: then nothing at all may be
 * lost. In a harsh one nodes also crash, restart, stop and close edges, sessions are short and queues are small: then
 * what does not arrive must have been reported as undelivered by the node that had accepted it.
 *
 * A run follows from its seed: CHASKI_SEED=n runs that one, telling what happens, CHASKI_SEEDS=n the first n (with
 * CHASKI_SEED_FIRST=m from m on).
 * SPDX-License-Identifier: MIT */
#include "chance_rig.h"

#include "../../src/core/block.h"
#include "../../src/core/uuid.h"

#include <malloc.h>
#include <time.h>

#define NODES_MAX 12
#define PAIRS_MAX (NODES_MAX * (NODES_MAX - 1) / 2)
#define HOPS_MAX 2048 /* frames from one node to its neighbour */
#define NEWS_MAX 512  /* messages to everybody, relayed */
#define STEPS 80      /* at least, and until so many frames and messages were sent: */
#define FRAMES 1000
#define SEEDS 500
#define SEEDS_FULL 10000
#define SEEDS_VALGRIND 20
#define HOP_ORIGIN UINT64_C(0x0c4a5c1)
#define RECOVERY (60 * SECOND)
#define SPARE_BYTES ((CHASKI_SPARE_BLOCKS + 1) * (size_t)CHASKI_BLOCK_SIZE) /* what a loop keeps for reuse */

static bool harsh, tight, quiet;
static size_t nodes, pairs;
static unsigned births[NODES_MAX];
static struct { size_t from, to; } pair[PAIRS_MAX];

static struct hop {
  size_t from, to;
  unsigned birth; /* of the sender */
  uint64_t session;
  size_t before; /* number + 1 of the frame accepted before it for this session */
  bool accepted, got, passed, noticed;
} hops[HOPS_MAX];
static size_t hop_count;
static size_t last_hop[NODES_MAX][NODES_MAX]; /* [to][from]: number + 1 of the last that was accepted */

static struct news {
  size_t from;
  unsigned birth;
  uint64_t origin, seq;
  uint8_t seen[NODES_MAX]; /* in the present life */
} news[NEWS_MAX];
static size_t news_count;
static uint64_t last_news[NODES_MAX][NODES_MAX][NODES_MAX]; /* [to][neighbour][origin] */

static struct peer *at(size_t i) {
  return &rig->peers[i];
}

static size_t index_of(const struct peer *p) {
  return (size_t)(p - rig->peers);
}

static void id_of(size_t i, char id[16]) {
  snprintf(id, 16, "id-%zu", (i * 5 + 3) % NODES_MAX); /* not in the order of dialling */
}

static size_t neighbour(const chaski_edge *edge) {
  char id[16];
  for (size_t i = 0; i < nodes; i++) {
    id_of(i, id);
    if (strcmp(id, chaski_edge_id(edge)) == 0) return i;
  }
  fail_msg("CHASKI_SEED=%llu: an edge to nobody", (unsigned long long)seed);
  return 0;
}

/* --- memory --------------------------------------------------------------------------------------------------- */
static size_t bytes_held;

static void *counting(void *ptr, size_t size) {
  size_t old = ptr ? malloc_usable_size(ptr) : 0;
  if (!size) {
    bytes_held -= old;
    free(ptr);
    return NULL;
  }
  void *p = realloc(ptr, size);
  if (p) bytes_held += malloc_usable_size(p) - old;
  return p;
}

/* --- what they are told --------------------------------------------------------------------------------------- */
static void on_message(struct peer *p, chaski_edge *edge, const chaski_message *m) {
  size_t k, i = index_of(p), j = neighbour(edge);
  CHECK(m->data.len >= 3 + sizeof k && m->data.ptr[0] == 0xc5);
  memcpy(&k, m->data.ptr + 3, sizeof k);
  CHECK(k < news_count && m->origin == news[k].origin && m->seq == news[k].seq);
  CHECK(news[k].from != i || news[k].birth != births[i]);
  CHECK(news[k].seen[i]++ == 0);
  if (harsh) return; /* an edge that is new knows another way */
  CHECK(last_news[i][j][news[k].from] < m->seq + 1);
  last_news[i][j][news[k].from] = m->seq + 1;
}

/* What was accepted before it for the same session is not to come after it any more. */
static void pass_over(const struct hop *h) {
  for (size_t k = h->before; k && !hops[k - 1].got && !hops[k - 1].passed; k = hops[k - 1].before) {
    CHECK(harsh);
    hops[k - 1].passed = true;
  }
}

static void on_command(void *user, void *handler, chaski_edge *edge, const chaski_message *m) {
  size_t i = index_of(user);
  (void)handler;
  CHECK(m->origin == HOP_ORIGIN && m->seq < hop_count);
  struct hop *h = &hops[m->seq];
  CHECK(h->to == i && h->from == neighbour(edge));
  CHECK(h->accepted && !h->got && !h->passed);
  h->got = true;
  pass_over(h);
}

static void on_undelivered(void *user, chaski_edge *edge, const chaski_message *m, int reason) {
  uint64_t origin, seq;
  (void)edge, (void)reason;
  if (!chaski_uuid_parse(m->uuid, &origin, &seq) || origin != HOP_ORIGIN) return;
  CHECK(seq < hop_count && hops[seq].from == index_of(user));
  hops[seq].noticed = true;
  CHECK(harsh);
}

static void on_suspended(void *user, chaski_edge *edge, int reason) {
  (void)user;
  CHECK(chaski_edge_suspended(edge) && chaski_edge_live(edge) && reason < 0);
}

static void on_resumed(void *user, chaski_edge *edge, uint64_t lost) {
  (void)user;
  CHECK(!chaski_edge_suspended(edge));
  CHECK(harsh || !lost);
}

static void on_closed(struct peer *p, chaski_edge *edge, int reason) {
  (void)p;
  if (chaski_edge_was_live(edge) && !harsh)
    fail_msg("CHASKI_SEED=%llu: an edge ended: %s %s", (unsigned long long)seed, chaski_error_name(reason),
             chaski_edge_detail(edge));
}

/* --- lives ---------------------------------------------------------------------------------------------------- */
static void shorten(chaski_node_options *o) {
  o->limits.data_max = 32 * CHASKI_KIB;
  o->limits.queue_low = 4 * CHASKI_KIB;
  o->limits.queue_high = 16 * CHASKI_KIB;
  o->limits.queue_hard = 64 * CHASKI_KIB;
  o->limits.queue_stall = 3 * SECOND;
  o->limits.resume_frames = 16 + dice(200);
  o->overflow = (enum chaski_overflow)dice(4);
  if (dice(4) == 0) o->limits.queue_total = 512 * CHASKI_KIB;
}

static void begin_life(size_t i) {
  struct peer *p = at(i);
  char id[16], name[16];
  const char *why;
  chaski_node_options o;
  chaski_node_options_init(&o);
  o.limits.resume_timeout = harsh && dice(2) ? (1 + dice(20)) * SECOND : 600 * SECOND;
  o.limits.lease = (4 + dice(12)) * SECOND; /* one end may notice long before the other */
  o.limits.keep_alive_interval = SECOND;
  if (tight) shorten(&o);
  id_of(i, id);
  snprintf(name, sizeof name, "n%zu", i);
  *p = (struct peer){.on_message = on_message, .on_closed = on_closed};
  snprintf(p->ip, sizeof p->ip, "10.0.0.%zu", i + 1);
  o.id = id;
  o.name = name;
  o.ip = p->ip;
  o.port = 9000;
  o.propagation = true;
  chaski_node_events events = rig_events;
  events.command = on_command;
  events.undelivered = on_undelivered;
  events.edge_suspended = on_suspended;
  events.edge_resumed = on_resumed;
  CHECK(chaski_node_new(rig->loop, &o, &events, p, &p->node, &why) == CHASKI_OK);
  rig_subscribe(p, "news");
  CHECK(chaski_node_handle(p->node, chaski_slice_str("hop"), p) == CHASKI_OK);
  chaski_node_run(p->node);
}

static void end_life(size_t i) {
  chaski_node_destroy(&at(i)->node);
  births[i]++;
  for (size_t k = 0; k < news_count; k++) news[k].seen[i] = 0;
}

static void revive(void) {
  for (size_t i = 0; i < nodes; i++) {
    if (!at(i)->node && (quiet || dice(3) == 0)) begin_life(i);
    if (at(i)->node && !chaski_node_running(at(i)->node)) chaski_node_run(at(i)->node);
  }
}

/* --- who is a neighbour of whom --------------------------------------------------------------------------------- */
static void add_pair(size_t i, size_t j) {
  for (size_t k = 0; k < pairs; k++)
    if ((pair[k].from == i && pair[k].to == j) || (pair[k].from == j && pair[k].to == i)) return;
  if (i == j) return;
  pair[pairs].from = dice(2) ? i : j;
  pair[pairs].to = pair[pairs].from == i ? j : i;
  pairs++;
}

static void lay_out(void) {
  uint32_t kind = dice(5);
  pairs = 0;
  for (size_t i = 1; i < nodes; i++) add_pair(i, kind == 0 ? dice((uint32_t)i) : kind == 1 ? (i - 1) / 2 : i - 1);
  if (kind == 2) add_pair(nodes - 1, 0); /* a ring; else a tree, and with kind 3 a line */
  if (kind < 4) return;
  for (size_t i = 0; i < nodes; i++)
    for (size_t j = 0; j < i; j++)
      if (nodes <= 5 || dice(4) == 0) add_pair(i, j); /* a mesh */
}

static chaski_edge *edge_between(size_t i, size_t j) {
  char name[16];
  snprintf(name, sizeof name, "n%zu", j);
  return at(i)->node ? chaski_node_get_edge_by_name(at(i)->node, name) : NULL;
}

static bool connected(size_t i, size_t j) {
  const chaski_edge *e = edge_between(i, j);
  return e && !chaski_edge_suspended(e);
}

static void answered(void *ctx, int status, chaski_edge *edge, const char *detail) {
  (void)ctx, (void)detail;
  CHECK((status == CHASKI_OK) == (edge != NULL));
  CHECK(!edge || chaski_edge_live(edge));
}

static void dial(size_t i, size_t j) {
  chaski_address to = {.port = 9000};
  if (!at(i)->node) return;
  snprintf(to.host, sizeof to.host, "%s", at(j)->ip);
  chaski_sim_act_as(rig->sim, at(i)->ip);
  chaski_node_connect(at(i)->node, &to, 0, answered, NULL, NULL);
}

/* What a reconnect policy does, from one side, from the other, or from both at once. */
static void redial(uint32_t one_in) {
  for (size_t k = 0; k < pairs; k++) {
    size_t i = pair[k].from, j = pair[k].to;
    if (dice(one_in)) continue;
    uint32_t who = dice(4);
    if (who != 1 && !connected(i, j)) dial(i, j);
    if (who < 2 && !connected(j, i)) dial(j, i);
  }
}

/* --- traffic ---------------------------------------------------------------------------------------------------- */
static size_t length(void) {
  if (dice(60) == 0) return 3 + sizeof(size_t) + dice(20000);
  return 3 + sizeof(size_t) + dice(200);
}

static size_t fill(uint8_t *data, size_t len, size_t number) {
  data[0] = 0xc5;
  data[1] = (uint8_t)((len - 3) >> 8);
  data[2] = (uint8_t)(len - 3);
  memcpy(data + 3, &number, sizeof number);
  return len;
}

static uint8_t scratch[65536];

/* 0: it waits for a connection, and has none yet. */
static uint64_t session_of(const chaski_edge *edge) {
  chaski_session_info s = {0};
  chaski_edge_session(edge, &s);
  return s.id;
}

static void send_hop(size_t i, size_t j) {
  chaski_edge *edge = edge_between(i, j);
  if (!edge || hop_count == HOPS_MAX) return;
  uint8_t data[21000] = {0};
  size_t len = fill(data, length(), hop_count);
  chaski_envelope e = {.command = chaski_slice_str("hop"), .topic = chaski_slice_str(CHASKI_TOPIC_ALL), .ttl = 3};
  e.origin = HOP_ORIGIN;
  e.seq = hop_count;
  size_t head = chaski_message_write_head(scratch, &e, len);
  memcpy(scratch + head, data, len);
  struct hop *h = &hops[hop_count++];
  *h = (struct hop){.from = i, .to = j, .birth = births[i], .session = session_of(edge)};
  if (h->session && last_hop[j][i] && hops[last_hop[j][i] - 1].session == h->session) h->before = last_hop[j][i];
  h->accepted =
      chaski_node_write_data(at(i)->node, chaski_slice_of(scratch, head + len), &edge, 1, NULL, 0) == CHASKI_OK;
  if (h->accepted) last_hop[j][i] = hop_count;
}

static bool publish(size_t i) {
  char uuid[CHASKI_UUID_TEXT];
  uint8_t data[21000] = {0};
  if (!at(i)->node || news_count == NEWS_MAX) return false;
  struct news *n = &news[news_count];
  *n = (struct news){.from = i, .birth = births[i]};
  chaski_slice bytes = chaski_slice_of(data, fill(data, length(), news_count));
  if (chaski_node_publish(at(i)->node, chaski_slice_str("news"), bytes, NULL, 0, uuid) != CHASKI_OK) return false;
  CHECK(chaski_uuid_parse(chaski_slice_of(uuid, sizeof uuid), &n->origin, &n->seq));
  news_count++;
  return true;
}

static void traffic(void) {
  for (uint32_t n = dice(26); n > 0; n--) {
    size_t k = dice((uint32_t)pairs);
    bool there = dice(2);
    send_hop(there ? pair[k].from : pair[k].to, there ? pair[k].to : pair[k].from);
  }
  for (uint32_t n = dice(6); n > 0 && news_count < NEWS_MAX - NODES_MAX; n--) publish(dice((uint32_t)nodes));
}

/* --- what happens to them --------------------------------------------------------------------------------------- */
static void set_paths(void) {
  chaski_sim_link link = {.delay_ns = 1 + dice(30) * MS, .jitter_ns = dice(20) * MS};
  if (dice(4) == 0) link.chunk_max = 1 + dice(500);
  if (dice(4) == 0) link.window = 4000;
  if (dice(8) == 0) link.delay_ns = dice(900) * MS;
  if (dice(8) == 0) link.bytes_per_s = 20000 + dice(1000000);
  chaski_sim_set_link(rig->sim, NULL, NULL, &link);
}

/* Reading stops for a while; the edge may end or change its connection meanwhile. */
static void pause_some(size_t i) {
  size_t n = at(i)->node ? chaski_node_edge_count(at(i)->node) : 0;
  chaski_edge *edge = n ? chaski_node_edge_at(at(i)->node, dice((uint32_t)n)) : NULL;
  if (!edge) return;
  chaski_edge_hold(edge);
  chaski_edge_pause(edge);
  redial(1);
  rig_pass(dice(4000) * MS);
  chaski_edge_resume(edge);
  chaski_edge_release(edge);
}

static void close_some(size_t i) {
  size_t n = at(i)->node ? chaski_node_edge_count(at(i)->node) : 0;
  if (n) chaski_edge_close(chaski_node_edge_at(at(i)->node, dice((uint32_t)n)), CHASKI_ECLOSED, dice(2));
}

static void harsh_fault(size_t i) {
  switch (dice(4)) {
  case 0:
    end_life(i);
    break;
  case 1:
    if (at(i)->node) chaski_node_stop(at(i)->node, dice(3) * SECOND);
    break;
  default:
    close_some(i);
  }
}

static void fault(void) {
  size_t i = dice((uint32_t)nodes), k = dice((uint32_t)pairs);
  chaski_stream *s = some_stream(rig->sim);
  switch (dice(harsh ? 14 : 12)) {
  case 0:
  case 1:
    if (s) chaski_sim_cut(rig->sim, s);
    break;
  case 2:
  case 3:
  case 4:
    if (s) chaski_sim_cut_after(rig->sim, s, dice(3000));
    break;
  case 5:
    chaski_sim_stall(rig->sim, at(i)->ip, dice(2));
    break;
  case 6:
    chaski_sim_blackhole(rig->sim, at(pair[k].from)->ip, at(pair[k].to)->ip, dice(2));
    break;
  case 7:
    set_paths();
    break;
  case 8:
    rig_pass(dice(9) * SECOND); /* for leases to end */
    break;
  case 9:
    chaski_sim_wall_jump(rig->sim, (int64_t)dice(2000000) - 1000000);
    break;
  case 10:
    pause_some(i);
    break;
  case 11:
    redial(1);
    break;
  default:
    harsh_fault(i);
  }
}

/* --- what holds at every moment --------------------------------------------------------------------------------- */
/* The other end of this session, if it still has it: acknowledged <= received <= sent. */
static void check_other_end(const struct peer *p, const chaski_edge *edge, const chaski_session_info *s) {
  const struct peer *other = at(neighbour(edge));
  for (size_t e = 0; other->node && e < chaski_node_edge_count(other->node); e++) {
    const chaski_edge *back = chaski_node_edge_at(other->node, e);
    chaski_session_info t;
    if (at(neighbour(back)) == p && chaski_edge_session(back, &t) && t.id == s->id)
      CHECK(s->acknowledged <= t.received && t.received <= s->sent);
  }
}

static void check_node(const struct peer *p) {
  const chaski_counters *c = chaski_node_counters(p->node);
  CHECK(c->queued == c->acknowledged + c->written + c->lost + c->queue_dropped + chaski_node_in_flight(p->node));
  for (size_t e = 0; e < chaski_node_edge_count(p->node); e++) {
    chaski_edge *edge = chaski_node_edge_at(p->node, e);
    chaski_session_info s;
    if (!chaski_edge_session(edge, &s)) continue;
    const chaski_limits *l = chaski_node_limits(p->node);
    CHECK(s.sent - s.acknowledged == s.kept_frames);
    check_other_end(p, edge, &s);
    uint64_t own = 2 + s.resumes; /* what we say ourselves, at each resume too */
    CHECK(s.kept_frames <= l->resume_frames + own && s.kept_bytes <= l->queue_hard + 1024);
    for (size_t other = 0; other < e; other++)
      CHECK(strcmp(chaski_edge_id(edge), chaski_edge_id(chaski_node_edge_at(p->node, other))) != 0);
  }
}

static void check_always(void) {
  size_t streams = chaski_sim_streams(rig->sim, NULL, NULL);
  for (size_t i = 0; i < nodes; i++)
    if (at(i)->node) check_node(at(i));
  size_t edges = streams / 2 + pairs * 2; /* suspended ones too */
  size_t queues = tight ? 64 * CHASKI_KIB : 512 * CHASKI_KIB;
  CHECK(bytes_held <= SPARE_BYTES + nodes * 256 * CHASKI_KIB + edges * 2 * queues);
}

/* --- afterwards ------------------------------------------------------------------------------------------------- */
static void cut_no_more(void *arg, chaski_stream *s) {
  (void)arg;
  chaski_sim_cut_after(rig->sim, s, UINT64_MAX);
}

static void heal(void) {
  chaski_sim_link good = {.delay_ns = MS};
  quiet = true;
  for (size_t i = 0; i < nodes; i++) {
    chaski_sim_stall(rig->sim, at(i)->ip, false);
    for (size_t j = 0; j < i; j++) chaski_sim_blackhole(rig->sim, at(i)->ip, at(j)->ip, false);
  }
  chaski_sim_set_link(rig->sim, NULL, NULL, &good);
  chaski_sim_streams(rig->sim, cut_no_more, NULL);
}

static bool all_connected(void) {
  for (size_t k = 0; k < pairs; k++)
    if (!connected(pair[k].from, pair[k].to) || !connected(pair[k].to, pair[k].from)) return false;
  return true;
}

static void come_together(void) {
  uint64_t until = chaski_sim_now(rig->sim) + RECOVERY;
  while (!all_connected() && chaski_sim_now(rig->sim) < until) {
    rig_pass(SECOND);
    check_always();
    revive();
    redial(1);
  }
  CHECK(all_connected());
}

static void settle_down(void) {
  heal();
  revive();
  come_together();
  for (int still = 0; still < 20; still++) { /* what one end thinks is alive may be found dead yet */
    rig_pass(SECOND);
    redial(1);
    check_always();
  }
  CHECK(all_connected());
}

static bool seen_by_all(const struct news *n) {
  for (size_t i = 0; i < nodes; i++)
    if (n->seen[i] != (n->from != i)) return false;
  return true;
}

static void check_afterwards(void) {
  for (size_t k = 0; k < hop_count; k++) {
    const struct hop *h = &hops[k];
    if (h->accepted && !h->got && births[h->from] == h->birth && !(harsh && h->noticed))
      fail_msg("CHASKI_SEED=%llu: frame %zu from %zu to %zu is lost", (unsigned long long)seed, k, h->from, h->to);
  }
  for (size_t k = 0; k < news_count && !harsh; k++) CHECK(seen_by_all(&news[k]));
  for (size_t i = 0; i < nodes; i++) CHECK(chaski_node_in_flight(at(i)->node) == 0);
}

static void exchange(void) {
  size_t first = news_count;
  for (size_t i = 0; i < nodes; i++) CHECK(publish(i));
  rig_pass(10 * SECOND);
  for (size_t k = first; k < news_count; k++) CHECK(seen_by_all(&news[k]));
  check_always();
}

/* --- a run ------------------------------------------------------------------------------------------------------ */
static void show(void *user, enum chaski_log_level level, const char *who, const char *line) {
  (void)user, (void)level;
  fprintf(stderr, "%.6f %s: %s\n", (double)chaski_sim_now(rig->sim) / 1e9, who, line);
}

static void make_world(void) {
  bytes_held = 0;
  chaski_set_allocator(counting);
  rig = calloc(1, sizeof *rig);
  rig->sim = chaski_sim_new(seed);
  assert_int_equal(chaski_loop_new(chaski_sim_env(rig->sim), &rig->loop), CHASKI_OK);
  chaski_sim_hooks(rig->sim, rig_expire, rig_flush, rig);
  if (getenv("CHASKI_SEED")) chaski_sim_log(rig->sim, CHASKI_LOG_DEBUG, show, NULL);
}

static void forget(void) {
  dice_state = seed * 2654435761U + 1;
  harsh = seed & 1;
  tight = harsh && dice(2);
  quiet = false;
  hop_count = news_count = 0;
  memset(births, 0, sizeof births);
  memset(last_hop, 0, sizeof last_hop);
  memset(last_news, 0, sizeof last_news);
}

static void run_seed(void) {
  forget();
  nodes = rig->count = 2 + dice(NODES_MAX - 1);
  lay_out();
  for (size_t i = 0; i < nodes; i++) begin_life(i);
  for (int round = 0; round < 30 && !all_connected(); round++) {
    redial(1);
    rig_pass(SECOND);
  }
  CHECK(all_connected());
  for (int step = 0; step < STEPS || (hop_count + news_count < FRAMES && step < 200 * STEPS); step++) {
    fault();
    traffic();
    rig_pass(dice(4) ? dice(50) * MS : dice(400) * MS);
    check_always();
    revive();
    redial(4);
  }
  settle_down();
  check_afterwards();
  exchange();
}

static uint64_t number_of(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

static double wall_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void whatever_happens_what_was_accepted_arrives_once_and_in_order_or_is_reported(void **state) {
  uint64_t only = number_of("CHASKI_SEED", 0), frames = 0, least = UINT64_MAX;
  uint64_t seeds = getenv("CHASKI_VALGRIND") ? SEEDS_VALGRIND : getenv("CHASKI_FULL") ? SEEDS_FULL : SEEDS;
  uint64_t first = only ? only : number_of("CHASKI_SEED_FIRST", 1),
           last = only ? only : number_of("CHASKI_SEEDS", seeds);
  double started = wall_seconds();
  for (seed = first; seed <= last; seed++) {
    make_world();
    run_seed();
    frames += hop_count + news_count;
    if (hop_count + news_count < least) least = hop_count + news_count;
    int r = rig_teardown(state);
    CHECK(r == 0 && bytes_held == 0);
    chaski_set_allocator(NULL);
  }
  print_message("seeds %llu to %llu: %llu frames and messages, %llu in a run at least; %.1f s of real time\n",
                (unsigned long long)first, (unsigned long long)last, (unsigned long long)frames,
                (unsigned long long)least, wall_seconds() - started);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(whatever_happens_what_was_accepted_arrives_once_and_in_order_or_is_reported),
  };
  return cmocka_run_group_tests_name("resume simulation", tests, NULL, NULL);
}
