/* tls_rig.c: see tls_rig.h. SPDX-License-Identifier: MIT */
#include "tls_rig.h"

#include "../../src/core/alloc.h"
#include "../../src/net/net.h"

#include <stdio.h>
#include <stdlib.h>

#define GUARD_MS 20
enum { LOOPS, SUITES };

struct tls_rig_net {
  uv_loop_t loop;
  uv_timer_t guard; /* so that a turn of the loop never blocks for long */
  chaski_net *net;
  int closed;
};

/* The functions of an environment get a ctx, but that of the suite's is the layer, for the transport's sake. */
static tls_rig *here;

/* --- the environment ---------------------------------------------------------------------------------------------- */

static uint64_t env_now(void *ctx) {
  (void)ctx;
  return here->base->now(here->base->ctx);
}

static void env_wall(void *ctx, int64_t *sec, uint32_t *nsec) {
  (void)ctx;
  here->base->wall(here->base->ctx, sec, nsec);
}

static void env_random(void *ctx, void *bytes, size_t len) {
  (void)ctx;
  here->base->random(here->base->ctx, bytes, len);
}

static void env_log(void *ctx, enum chaski_log_level level, const char *who, const char *line) {
  (void)ctx, (void)level, (void)who, (void)line;
}

static enum chaski_log_level env_log_level(void *ctx) {
  (void)ctx;
  return CHASKI_LOG_ERROR;
}

static void arm(void) {
  uint64_t due = here->due[LOOPS] < here->due[SUITES] ? here->due[LOOPS] : here->due[SUITES];
  here->base->alarm(here->base->ctx, due);
}

static void loops_alarm(void *ctx, uint64_t due) {
  (void)ctx;
  here->due[LOOPS] = due;
  arm();
}

static void suites_alarm(void *ctx, uint64_t due) {
  (void)ctx;
  here->due[SUITES] = due;
  arm();
}

static bool is_due(int whose) {
  if (here->due[whose] > env_now(NULL)) return false;
  here->due[whose] = UINT64_MAX;
  return true;
}

static void on_expire(void *user) {
  contract_fixture *f = user;
  bool loops = is_due(LOOPS), suites = is_due(SUITES);
  if (loops) chaski_loop_expire(here->loop);
  if (suites && f->expired) f->expired(f->expired_user);
  arm();
}

static void on_flush(void *user) {
  (void)user;
  chaski_loop_flush(here->loop);
}

/* --- contexts ----------------------------------------------------------------------------------------------------- */

int tls_rig_try(const certs_pair *pair, const certs_pair *root, void (*change)(chaski_tls_options *options, void *arg),
                void *arg, chaski_tls_context **out, char *why) {
  char *certificate = pair ? certs_pem(pair, NULL) : NULL, *key = pair ? certs_key_pem(pair->key, NULL) : NULL;
  char *ca = root ? certs_pem(root, NULL) : NULL;
  chaski_tls_options options = {.certificate = chaski_slice_str(certificate), .now = certs_now()};
  options.key = chaski_slice_str(key);
  options.ca = chaski_slice_str(ca);
  if (change) change(&options, arg);
  int rc = chaski_tls_context_new(&options, out, why);
  free(certificate);
  free(key);
  free(ca);
  return rc;
}

chaski_tls_context *tls_rig_context(const certs_pair *pair, const certs_pair *root,
                                    void (*change)(chaski_tls_options *options, void *arg), void *arg) {
  char why[CHASKI_TLS_WHY_MAX];
  chaski_tls_context *context = NULL;
  if (tls_rig_try(pair, root, change, arg, &context, why)) fprintf(stderr, "no context: %s\n", why);
  return context;
}

/* --- both kinds --------------------------------------------------------------------------------------------------- */

static int begin(tls_rig *rig, const chaski_env *base) {
  int64_t sec;
  uint32_t nsec;
  here = rig;
  rig->base = base;
  rig->due[LOOPS] = rig->due[SUITES] = UINT64_MAX;
  rig->env = (chaski_env){NULL, env_now, env_wall, env_random, loops_alarm, env_log, env_log_level, base->transport};
  if (chaski_loop_new(&rig->env, &rig->loop)) return -1;
  env_wall(NULL, &sec, &nsec);
  certs_begin(sec);
  rig->root = certs_root("root", "p256");
  rig->client_pair = certs_node("chaski://mesh/client", &rig->root);
  rig->server_pair = certs_node("chaski://mesh/server", &rig->root);
  rig->client = tls_rig_context(&rig->client_pair, &rig->root, NULL, NULL);
  rig->server = tls_rig_context(&rig->server_pair, &rig->root, NULL, NULL);
  if (!rig->client || !rig->server) return -1;
  if (chaski_tls_layer_new(rig->loop, base->transport, base->ctx, rig->client, rig->server, &rig->layer)) return -1;
  rig->env.ctx = rig->layer;
  rig->env.alarm = suites_alarm;
  rig->env.transport = &chaski_tls_transport;
  rig->fixture.env = &rig->env;
  rig->fixture.ip = "127.0.0.1";
  return 0;
}

static void end(tls_rig *rig) {
  chaski_tls_layer_release(rig->layer);
  chaski_tls_context_release(rig->client);
  chaski_tls_context_release(rig->server);
  certs_free(&rig->root);
  certs_free(&rig->client_pair);
  certs_free(&rig->server_pair);
  chaski_loop_destroy(&rig->loop);
}

/* --- in memory ---------------------------------------------------------------------------------------------------- */

static bool sim_step(void *impl) {
  return chaski_sim_step(((tls_rig *)impl)->sim);
}

static int sim_leaks(void *impl) {
  return (int)chaski_sim_handles(((tls_rig *)impl)->sim);
}

int tls_rig_sim(tls_rig *rig, const chaski_sim_link *link) {
  *rig = (tls_rig){.sim = chaski_sim_new(1)};
  if (!rig->sim || chaski_sim_set_link(rig->sim, NULL, NULL, link)) return -1;
  chaski_sim_hooks(rig->sim, on_expire, on_flush, rig);
  rig->fixture.impl = rig;
  rig->fixture.step = sim_step;
  rig->fixture.leaks = sim_leaks;
  rig->fixture.unresolvable = "nowhere.invalid";
  rig->fixture.window = 2 * (link->window ? link->window : CHASKI_SIM_WINDOW);
  return begin(rig, chaski_sim_env(rig->sim));
}

/* --- on loopback -------------------------------------------------------------------------------------------------- */

static void on_guard(uv_timer_t *guard) {
  (void)guard;
}

static bool net_step(void *impl) {
  uv_run(&((tls_rig *)impl)->net->loop, UV_RUN_ONCE);
  return true;
}

static int net_leaks(void *impl) {
  return (int)chaski_net_handles(((tls_rig *)impl)->net->net);
}

static void on_net_closed(void *user) {
  ((struct tls_rig_net *)user)->closed++;
}

int tls_rig_tcp(tls_rig *rig) {
  *rig = (tls_rig){.net = calloc(1, sizeof *rig->net)};
  struct tls_rig_net *n = rig->net;
  if (!n || uv_loop_init(&n->loop) != 0 || chaski_net_open(&n->loop, &n->net) != CHASKI_OK) return -1;
  uv_timer_init(&n->loop, &n->guard);
  uv_timer_start(&n->guard, on_guard, GUARD_MS, GUARD_MS);
  chaski_net_hooks(n->net, on_expire, on_flush, rig);
  rig->fixture.impl = rig;
  rig->fixture.step = net_step;
  rig->fixture.leaks = net_leaks;
  rig->fixture.foreign_ip = "192.0.2.1";
  rig->fixture.unresolvable = "nonexistent.invalid";
  rig->fixture.window = 24u << 20;
  return begin(rig, chaski_net_env(n->net));
}

static int close_net(struct tls_rig_net *n) {
  uv_close((uv_handle_t *)&n->guard, NULL);
  chaski_net_close(&n->net, on_net_closed, n);
  uv_run(&n->loop, UV_RUN_DEFAULT);
  bool clean = uv_loop_close(&n->loop) == 0 && n->closed == 1;
  free(n);
  return clean ? 0 : -1;
}

int tls_rig_close(tls_rig *rig) {
  int rc = rig->net ? close_net(rig->net) : 0;
  end(rig);
  chaski_sim_destroy(&rig->sim);
  return rc == 0 && chaski_alloc_blocks() == 0 ? 0 : -1;
}
