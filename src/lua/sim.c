/* sim.c: simulations as scripts see them: a world of its own (runtime.h) on the network in memory of src/sim, and what
 * can be done to its hosts and paths. Options and comfort are in lua/chaski/sim.lua. See binding.h.
 * SPDX-License-Identifier: MIT */
#include "../sim/sim.h"

#include "../core/alloc.h"
#include "binding.h"
#include "channel.h"
#include "error.h"
#include "spawn.h"
#include "task.h"

#include <stdio.h>

#define CLASS "chaski.sim"
#define HOSTS_MAX (256 * 254) /* 10.0.0.1 to 10.0.255.254; then from the start again */

typedef struct chaski_lua_sim { /* the userdata; user value 1: its nodes, in the order they were made */
  chaski_world world;           /* world.sim NULL: closed */
  struct chaski_lua_sim *next;  /* rt->sims */
  lua_Integer seed;
  uint32_t hosts; /* addresses given so far */
  bool running;
} lua_sim;

static const char sims_key; /* its address is the key of a table: world -> userdata, weak */

static lua_sim *check_sim(lua_State *L) {
  return luaL_checkudata(L, 1, CLASS);
}

static lua_sim *check_open(lua_State *L) {
  lua_sim *s = check_sim(L);
  luaL_argcheck(L, s->world.sim, 1, "the simulation is closed");
  return s;
}

/* The current one, or NULL. */
static lua_sim *current(const chaski_runtime *rt) {
  return rt->world->sim ? (lua_sim *)(void *)((char *)rt->world - offsetof(lua_sim, world)) : NULL;
}

size_t chaski__count_sims(const chaski_runtime *rt, size_t *tasks, size_t *nodes) {
  size_t n = 0;
  for (const lua_sim *s = rt->sims; s; s = s->next, n++) {
    *tasks += s->world.count;
    *nodes += chaski_loop_nodes(s->world.loop);
  }
  return n;
}

bool chaski__simulated(lua_State *L) {
  const chaski_runtime *rt = chaski__open_runtime(L);
  return rt && rt->world->sim;
}

/* --- hosts ------------------------------------------------------------------------------------------------------ */
static void new_host(lua_sim *s, char out[CHASKI_SIM_HOST]) {
  uint32_t n = s->hosts++ % HOSTS_MAX;
  snprintf(out, CHASKI_SIM_HOST, "10.0.%u.%u", n / 254, n % 254 + 1);
}

int chaski__act_as(const chaski_lua_node *n) {
  return *n->host && n->world->sim ? chaski_sim_act_as(n->world->sim, n->host) : CHASKI_OK;
}

static void keep_node(lua_State *L, const lua_sim *s, int idx) {
  luaL_checkstack(L, 4, NULL);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &sims_key);
  lua_rawgetp(L, -1, &s->world);
  lua_getiuservalue(L, -1, 1);
  lua_pushvalue(L, idx);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_pop(L, 3);
}

int chaski__settle(lua_State *L, int idx, chaski_lua_node *n, const char *ip) {
  lua_sim *s = current(n->rt);
  if (!s) return CHASKI_OK;
  keep_node(L, s, idx);
  if (strlen(ip) >= sizeof n->host) return CHASKI_EADDRESS;
  if (chaski_address_is_any(ip))
    new_host(s, n->host);
  else
    memcpy(n->host, ip, strlen(ip) + 1);
  return chaski__act_as(n);
}

/* () -> the ip of a node that was given none */
static int default_ip(lua_State *L) {
  char ip[CHASKI_SIM_HOST] = "127.0.0.1";
  lua_sim *s = current(chaski__runtime(L));
  if (s) new_host(s, ip);
  lua_pushstring(L, ip);
  return 1;
}

static void ignore(void *user) {
  (void)user;
}

/* (ip, port): could a simulated node listen there? The port, or nil, code; nothing in the real world. Port 0: any */
static int sim_port(lua_State *L) {
  static const chaski_listener_events nothing = {NULL, NULL, ignore};
  const lua_sim *s = current(chaski__runtime(L));
  const char *ip = luaL_checkstring(L, 1);
  uint16_t port = (uint16_t)luaL_checkinteger(L, 2);
  chaski_listener *listener;
  if (!s) return 0;
  const chaski_env *env = chaski_loop_env(s->world.loop);
  int rc = env->transport->listen(env->ctx, ip, port, &nothing, NULL, &listener);
  if (rc != CHASKI_OK) {
    lua_pushnil(L);
    lua_pushstring(L, chaski_error_name(rc));
    return 2;
  }
  lua_pushinteger(L, env->transport->listener_port(listener));
  env->transport->listener_close(listener);
  return 1;
}

/* --- life ------------------------------------------------------------------------------------------------------- */
static void on_expire(void *user) {
  chaski_loop_expire(((chaski_world *)user)->loop);
}

static void on_flush(void *user) {
  chaski_loop_flush(((chaski_world *)user)->loop);
}

static bool make_world(lua_sim *s, uint64_t seed) {
  chaski_world *world = &s->world;
  chaski_sim *sim = chaski_sim_new(seed);
  if (sim && chaski_loop_new(chaski_sim_env(sim), &world->loop) == CHASKI_OK) {
    world->sim = sim;
    chaski_sim_hooks(sim, on_expire, on_flush, world);
    s->next = world->rt->sims;
    world->rt->sims = s;
    return true;
  }
  chaski_sim_destroy(&sim);
  return false;
}

/* The wall clock begins at so many seconds since 1970. */
static void set_wall(chaski_sim *sim, int64_t wall) {
  const chaski_env *env = chaski_sim_env(sim);
  int64_t sec;
  uint32_t nsec;
  env->wall(env->ctx, &sec, &nsec);
  chaski_sim_wall_jump(sim, wall - sec);
}

/* (seed [, wall]): a simulation with nothing in it; wall: what the wall clock shows, seconds since 1970 */
static int new_sim(lua_State *L) {
  chaski_runtime *rt = chaski__runtime(L);
  lua_Integer seed = luaL_checkinteger(L, 1), wall = luaL_optinteger(L, 2, -1);
  lua_sim *s = lua_newuserdatauv(L, sizeof *s, 1);
  *s = (lua_sim){.seed = seed};
  chaski__world_init(&s->world, rt);
  luaL_setmetatable(L, CLASS);
  lua_newtable(L);
  lua_setiuservalue(L, -2, 1);
  if (!make_world(s, (uint64_t)seed)) return luaL_error(L, CLASS ": out of memory");
  if (wall >= 0) set_wall(s->world.sim, wall);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &sims_key);
  lua_pushvalue(L, -2);
  lua_rawsetp(L, -2, &s->world);
  lua_pop(L, 1);
  chaski__guard(L, rt);
  return 1;
}

static void unlink_sim(lua_sim *s) {
  lua_sim **at = &s->world.rt->sims;
  while (*at != s) at = &(*at)->next;
  *at = s->next;
}

/* Nodes and tasks first, then what they stood on. `gently`: tasks may still do something about their end. */
static void close_sim(lua_sim *s, bool gently) {
  chaski_world *world = &s->world;
  chaski_runtime *rt = world->rt;
  chaski_world_before before = chaski__world_enter(world);
  rt->running++;
  s->running = true; /* tasks that end now do not close it again */
  if (gently) chaski__world_cancel(world);
  chaski__close_nodes(rt, world);
  chaski__close_channels(rt, world);
  chaski__world_kill(world);
  while (chaski_loop_nodes(world->loop) > 0 || chaski__has_channels(rt, world))
    if (!chaski_sim_step(world->sim)) break;
  chaski__world_leave(rt, before);
  rt->running--;
  unlink_sim(s);
  chaski_loop_destroy(&world->loop);
  chaski_sim_destroy(&world->sim);
  s->running = false;
}

static int sim_close(lua_State *L) {
  lua_sim *s = check_sim(L);
  if (s->running) return luaL_error(L, "sim:close: the simulation is running");
  if (s->world.sim) close_sim(s, true);
  lua_newtable(L);
  lua_setiuservalue(L, 1, 1);
  return 0;
}

static int sim_gc(lua_State *L) { /* running: os.exit leaves from inside of it, and never comes back */
  lua_sim *s = check_sim(L);
  if (s->world.sim && !s->running) close_sim(s, false);
  return 0;
}

/* --- running ---------------------------------------------------------------------------------------------------- */
static bool is_over(void *arg) {
  return ((const chaski_main *)arg)->over;
}

/* Until main is over, nothing is scheduled, or `end` (ns) has come. True: something was still scheduled. */
static bool turn_until(chaski_sim *sim, chaski_main *m, uint64_t end) {
  for (;;) {
    chaski_sim_run(sim, is_over, m, 0); /* flush, and what is due now */
    uint64_t now = chaski_sim_now(sim), next = chaski_sim_next(sim);
    if (m->over || next == UINT64_MAX) return !m->over && next != UINT64_MAX;
    chaski_sim_run(sim, is_over, m, (next < end ? next : end) - now);
    if (next > end) return true;
  }
}

/* Where a suspended task waits: "file:line" of its innermost Lua function. */
static void describe_place(chaski_task *task, char *out, size_t size) {
  lua_State *co = chaski__task_co(task);
  lua_Debug at;
  snprintf(out, size, "?");
  for (int level = 0; co && lua_getstack(co, level, &at); level++) {
    if (!lua_getinfo(co, "Sl", &at) || at.currentline <= 0) continue;
    snprintf(out, size, "%s:%d", at.short_src, at.currentline);
    return;
  }
}

static int fail_run(lua_State *L, const lua_sim *s, bool stalled, const char *place, double limit) {
  char now[32], most[32];
  snprintf(now, sizeof now, "%.6f", (double)chaski_sim_now(s->world.sim) / 1e9);
  snprintf(most, sizeof most, "%g", limit);
  lua_pushnil(L);
  if (stalled)
    chaski__push_error(L, "stalled",
                       "sim:run: main waits at %s for something that can never happen: at %s s nothing "
                       "is scheduled any more",
                       place, now);
  else
    chaski__push_error(L, chaski_error_name(CHASKI_ETIMEOUT),
                       "sim:run: main still waits at %s after %s s of virtual "
                       "time (limit)",
                       place, most);
  return 2;
}

static void check_run(lua_State *L, const lua_sim *s) {
  const lua_sim *other = current(s->world.rt);
  luaL_checktype(L, 3, LUA_TFUNCTION);
  if (s->running) luaL_error(L, "sim:run: this simulation is running already");
  if (other) luaL_error(L, "sim:run: another simulation is running");
  if (!s->world.rt->L) luaL_error(L, "sim:run: the Lua state is being closed");
}

static uint64_t end_of(const lua_sim *s, double limit) {
  uint64_t now = chaski_sim_now(s->world.sim);
  return limit < 1e9 ? now + (uint64_t)(limit * 1e9) : UINT64_MAX - 1;
}

static void sync_log_level(chaski_runtime *rt) {
  const chaski_env *real = chaski_loop_env(rt->real.loop);
  chaski__set_log_level(rt, real->log_level(real->ctx));
}

/* (sim, seconds at most, main, ...): main's results, or nil, err; raises main's error */
static int sim_run(lua_State *L) {
  lua_sim *s = check_open(L);
  chaski_runtime *rt = s->world.rt;
  double limit = luaL_checknumber(L, 2);
  char place[LUA_IDSIZE + 16] = "";
  bool scheduled = false;
  chaski_main m;
  check_run(L, s);
  chaski_world_before before = chaski__world_enter(&s->world);
  rt->running++; /* nobody drives luv's loop meanwhile */
  s->running = true;
  sync_log_level(rt);
  chaski_task *task = chaski__main_start(rt, L, lua_gettop(L) - 3, &m);
  if (task && !m.over) scheduled = turn_until(s->world.sim, &m, end_of(s, limit));
  if (task && !m.over) {
    describe_place(task, place, sizeof place);
    chaski__task_drop(task); /* it must not outlive m */
  }
  s->running = false;
  rt->running--;
  chaski__world_leave(rt, before);
  if (!task) return luaL_error(L, "sim:run: out of memory");
  return m.over ? chaski__main_outcome(L, &m) : fail_run(L, s, !scheduled, place, limit);
}

/* --- faults and conditions -------------------------------------------------------------------------------------- */
static int done(lua_State *L, int rc, const char *what) {
  if (rc == CHASKI_OK) return 0;
  return luaL_error(L, "%s: %s", what, chaski_error_text(rc));
}

/* A node of this simulation or a numeric address; port: the node's, or 0. */
static const char *check_host(lua_State *L, const lua_sim *s, int arg, uint16_t *port) {
  const chaski_lua_node *n = chaski__test_node(L, arg);
  *port = 0;
  if (!n) {
    luaL_argexpected(L, lua_type(L, arg) == LUA_TSTRING, arg, "node of this simulation or numeric address");
    luaL_argcheck(L, chaski_address_is_numeric(lua_tostring(L, arg)), arg, "numeric address expected");
    return lua_tostring(L, arg);
  }
  luaL_argcheck(L, n->core, arg, "the node was closed for good");
  luaL_argcheck(L, n->world == &s->world, arg, "the node is not one of this simulation");
  *port = chaski_node_port(n->core);
  return n->host;
}

static const char *opt_host(lua_State *L, const lua_sim *s, int arg) {
  uint16_t port;
  return lua_isnoneornil(L, arg) ? NULL : check_host(L, s, arg, &port);
}

/* (sim, host or nil, host or nil, { delay =, jitter =, chunk =, loss =, rate =, window = }), checked */
static int sim_set_link(lua_State *L) {
  const lua_sim *s = check_open(L);
  const char *a = opt_host(L, s, 2), *b = opt_host(L, s, 3);
  luaL_checktype(L, 4, LUA_TTABLE);
  chaski_sim_link link = {
      .delay_ns = chaski__opt_ns(L, 4, "delay", CHASKI_SIM_DELAY),
      .jitter_ns = chaski__opt_ns(L, 4, "jitter", 0),
      .chunk_max = (uint32_t)chaski__opt_integer(L, 4, "chunk", 0, UINT32_MAX, 0),
      .bytes_per_s = (uint64_t)chaski__opt_integer(L, 4, "rate", 0, INT64_MAX, 0),
      .window = (size_t)chaski__opt_integer(L, 4, "window", 0, INT32_MAX, 0),
  };
  lua_getfield(L, 4, "loss");
  link.udp_loss = luaL_optnumber(L, -1, 0);
  return done(L, chaski_sim_set_link(s->world.sim, a, b, &link), "sim:link");
}

/* (sim, host, on): it neither sends nor receives, as if stopped */
static int sim_stall(lua_State *L) {
  const lua_sim *s = check_open(L);
  return done(L, chaski_sim_stall(s->world.sim, opt_host(L, s, 2), lua_toboolean(L, 3)), "sim:stall");
}

/* (sim, host, on): dials to it are refused */
static int sim_refuse(lua_State *L) {
  const lua_sim *s = check_open(L);
  return done(L, chaski_sim_refuse(s->world.sim, opt_host(L, s, 2), lua_toboolean(L, 3)), "sim:refuse");
}

/* (sim, host, host, on): nothing passes between them */
static int sim_blackhole(lua_State *L) {
  const lua_sim *s = check_open(L);
  const char *a = opt_host(L, s, 2), *b = opt_host(L, s, 3);
  return done(L, chaski_sim_blackhole(s->world.sim, a, b, lua_toboolean(L, 4)), "sim:partition");
}

/* (sim, name, host or nil): name resolves to it from now on */
static int sim_name(lua_State *L) {
  const lua_sim *s = check_open(L);
  return done(L, chaski_sim_name(s->world.sim, luaL_checkstring(L, 2), opt_host(L, s, 3)), "sim:name");
}

struct cut {
  const chaski_transport *transport;
  chaski_sim *sim;
  const char *a, *b;
  uint16_t port_a, port_b; /* 0: any */
  bool both;               /* ports must be these, not one of them */
  lua_Integer count;
};

static void cut_one(void *arg, chaski_stream *stream) {
  struct cut *c = arg;
  char local[CHASKI_HOST_MAX], peer[CHASKI_HOST_MAX];
  uint16_t local_port, peer_port;
  if (c->transport->local_address(stream, local, &local_port) != CHASKI_OK) return;
  if (c->transport->peer_address(stream, peer, &peer_port) != CHASKI_OK) return;
  if (strcmp(local, c->a) != 0 || strcmp(peer, c->b) != 0) return;
  bool at_a = c->port_a == local_port, at_b = c->port_b == peer_port, any = c->port_a == 0 && c->port_b == 0;
  if (c->both ? !at_a || !at_b : !at_a && !at_b && !any) return;
  chaski_sim_cut(c->sim, stream);
  c->count++;
}

static int cut_edge(lua_State *L, struct cut *c, const chaski_edge *edge) {
  char local[CHASKI_HOST_MAX], remote[CHASKI_HOST_MAX];
  lua_getiuservalue(L, 2, 1);
  luaL_argcheck(L, chaski__check_node(L, -1)->world == &check_sim(L)->world, 2, "the edge is not of this simulation");
  c->a = local, c->b = remote, c->both = true;
  if (chaski_edge_local_address(edge, local, &c->port_a) == CHASKI_OK &&
      chaski_edge_remote_address(edge, remote, &c->port_b) == CHASKI_OK)
    chaski_sim_streams(c->sim, cut_one, c);
  lua_pushinteger(L, c->count);
  return 1;
}

/* (sim, edge) or (sim, a, b): reset a connection, or those between two nodes or hosts; of nodes those by the ports they
 * listen on. How many */
static int sim_cut(lua_State *L) {
  const lua_sim *s = check_open(L);
  const chaski_edge *edge = chaski__test_edge(L, 2);
  struct cut c = {.transport = chaski_loop_env(s->world.loop)->transport, .sim = s->world.sim};
  if (edge) return cut_edge(L, &c, edge);
  c.a = check_host(L, s, 2, &c.port_a);
  c.b = check_host(L, s, 3, &c.port_b);
  chaski_sim_streams(s->world.sim, cut_one, &c);
  lua_pushinteger(L, c.count);
  return 1;
}

/* --- fields ----------------------------------------------------------------------------------------------------- */
static int get_seed(lua_State *L) {
  lua_pushinteger(L, check_sim(L)->seed);
  return 1;
}

static int get_running(lua_State *L) {
  lua_pushboolean(L, check_sim(L)->running);
  return 1;
}

static int get_closed(lua_State *L) {
  lua_pushboolean(L, !check_sim(L)->world.sim);
  return 1;
}

static int get_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)chaski_sim_now(check_open(L)->world.sim) / 1e9);
  return 1;
}

static int get_trace(lua_State *L) {
  char text[20];
  snprintf(text, sizeof text, "%016llx", (unsigned long long)chaski_sim_trace(check_open(L)->world.sim));
  lua_pushstring(L, text);
  return 1;
}

static int get_nodes(lua_State *L) { /* not closed for good, in the order they were made */
  check_sim(L);
  lua_Integer n = 0;
  lua_getiuservalue(L, 1, 1);
  lua_newtable(L);
  for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, -2); i++) {
    lua_rawgeti(L, -2, i);
    if (chaski__check_node(L, -1)->core)
      lua_rawseti(L, -2, ++n);
    else
      lua_pop(L, 1);
  }
  return 1;
}

static int sim_tostring(lua_State *L) {
  const lua_sim *s = check_sim(L);
  char now[32];
  if (!s->world.sim) {
    lua_pushliteral(L, CLASS " (closed)");
    return 1;
  }
  snprintf(now, sizeof now, "%.6f", (double)chaski_sim_now(s->world.sim) / 1e9);
  lua_pushfstring(L, CLASS "(seed %I, at %s s%s)", (LUAI_UACINT)s->seed, now, s->running ? ", running" : "");
  return 1;
}

void chaski__open_sim(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"new_sim", new_sim},       {"default_ip", default_ip},       {"sim_port", sim_port}, {"sim_run", sim_run},
      {"sim_link", sim_set_link}, {"sim_blackhole", sim_blackhole}, {"sim_cut", sim_cut},   {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"close", sim_close}, {"stall", sim_stall}, {"refuse", sim_refuse}, {"name", sim_name}, {NULL, NULL}};
  static const luaL_Reg getters[] = {{"seed", get_seed}, {"running", get_running}, {"closed", get_closed},
                                     {"now", get_now},   {"trace", get_trace},     {"nodes", get_nodes},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", sim_gc}, {"__close", sim_close}, {"__tostring", sim_tostring}, {NULL, NULL}};
  luaL_checkstack(L, 6, NULL);
  luaL_setfuncs(L, functions, 0);
  chaski__class(L, CLASS, meta, methods, getters);
  lua_pop(L, 1);
  lua_setfield(L, -3, "sim_methods");
  lua_pop(L, 1);
  chaski__weak_table(L, &sims_key);
}
