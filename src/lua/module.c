/* module.c: the module table chaski.core, put together from the files of the binding. It is what lua/chaski stands on,
 * not what scripts use. SPDX-License-Identifier: MIT */
#include "module.h"

#include "binding.h"
#include "channel.h"
#include "runtime.h"
#include "spawn.h"
#include "system.h"
#include "tls_binding.h"

/* log(level, who, text) */
static int l_log(lua_State *L) {
  int level = chaski__log_level(luaL_checkstring(L, 1));
  luaL_argcheck(L, level >= 0, 1, "error, warn, info, debug or trace expected");
  const char *who = luaL_optstring(L, 2, "");
  chaski__runtime_log(chaski__runtime(L), (enum chaski_log_level)level, who, luaL_checkstring(L, 3));
  return 0;
}

/* log_level([level]) -> level */
static int l_log_level(lua_State *L) {
  chaski_runtime *rt = chaski__runtime(L);
  const chaski_env *env = chaski_loop_env(rt->loop);
  if (!lua_isnoneornil(L, 1)) {
    int level = chaski__log_level(luaL_checkstring(L, 1));
    luaL_argcheck(L, level >= 0, 1, "error, warn, info, debug or trace expected");
    chaski__set_log_level(rt, (enum chaski_log_level)level);
  }
  lua_pushstring(L, chaski__log_level_name(env->log_level(env->ctx)));
  return 1;
}

static uint64_t random_bits(const chaski_env *env) {
  uint64_t bits;
  env->random(env->ctx, &bits, sizeof bits);
  return bits;
}

/* 0..range, without bias: what lies beyond the last whole multiple is thrown away. */
static uint64_t random_to(const chaski_env *env, uint64_t range) {
  if (range == UINT64_MAX) return random_bits(env);
  uint64_t n = range + 1, bits, limit = UINT64_MAX - UINT64_MAX % n;
  do bits = random_bits(env);
  while (bits >= limit);
  return bits % n;
}

/* random() -> [0,1); random(m) -> 1..m; random(m, n) -> m..n; as math.random, but of the environment */
static int l_random(lua_State *L) {
  const chaski_env *env = chaski_loop_env(chaski__runtime(L)->loop);
  if (lua_gettop(L) == 0) {
    lua_pushnumber(L, (lua_Number)(random_bits(env) >> 11) * 0x1p-53);
    return 1;
  }
  lua_Integer low = lua_gettop(L) > 1 ? luaL_checkinteger(L, 1) : 1,
              high = luaL_checkinteger(L, lua_gettop(L) > 1 ? 2 : 1);
  luaL_argcheck(L, low <= high, lua_gettop(L), "interval is empty");
  lua_pushinteger(L, (lua_Integer)((uint64_t)low + random_to(env, (uint64_t)high - (uint64_t)low)));
  return 1;
}

/* wall() -> seconds since 1970 */
static int l_wall(lua_State *L) {
  const chaski_env *env = chaski_loop_env(chaski__runtime(L)->loop);
  int64_t sec;
  uint32_t nsec;
  env->wall(env->ctx, &sec, &nsec);
  lua_pushnumber(L, (double)sec + (double)nsec / 1e9);
  return 1;
}

/* now() -> monotonic seconds */
static int l_now(lua_State *L) {
  const chaski_env *env = chaski_loop_env(chaski__runtime(L)->loop);
  lua_pushnumber(L, (lua_Number)env->now(env->ctx) / 1e9);
  return 1;
}

/* errors() -> uncaught errors so far */
static int l_errors(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)chaski__runtime(L)->errors);
  return 1;
}

/* counts() -> { tasks =, nodes =, handles =, sims = }: what is still there, for tests */
static int l_counts(lua_State *L) {
  chaski_runtime *rt = chaski__runtime(L);
  size_t tasks = 0, nodes = 0, sims = chaski__count_sims(rt, &tasks, &nodes);
  lua_createtable(L, 0, 4);
  lua_pushinteger(L, (lua_Integer)(chaski__tasks(rt) + tasks));
  lua_setfield(L, -2, "tasks");
  lua_pushinteger(L, (lua_Integer)(chaski_loop_nodes(rt->real.loop) + nodes));
  lua_setfield(L, -2, "nodes");
  lua_pushinteger(L, (lua_Integer)sims);
  lua_setfield(L, -2, "sims");
  lua_pushinteger(L, (lua_Integer)chaski_net_handles(rt->net));
  lua_setfield(L, -2, "handles");
  return 1;
}

static int set_hook(lua_State *L, int *ref) {
  if (!lua_isnoneornil(L, 1)) luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  int old = *ref;
  *ref = lua_isnil(L, 1) ? LUA_NOREF : luaL_ref(L, LUA_REGISTRYINDEX);
  luaL_unref(L, LUA_REGISTRYINDEX, old);
  return 0;
}

/* on_error(fn): fn(error, where, text with traceback) is told of every uncaught error; nil: nobody */
static int l_on_error(lua_State *L) {
  return set_hook(L, &chaski__runtime(L)->on_error);
}

/* on_shutdown(fn): fn() runs as a task when the process is told to end; nil: nothing does */
static int l_on_shutdown(lua_State *L) {
  return set_hook(L, &chaski__runtime(L)->on_shutdown);
}

static void merge(lua_State *L, int into) {
  for (lua_pushnil(L); lua_next(L, -2);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_settable(L, into);
  }
  lua_pop(L, 1);
}

int luaopen_chaski_core(lua_State *L) {
  static const luaL_Reg functions[] = {{"log", l_log},       {"log_level", l_log_level}, {"random", l_random},
                                       {"now", l_now},       {"wall", l_wall},           {"errors", l_errors},
                                       {"counts", l_counts}, {"on_error", l_on_error},   {"on_shutdown", l_on_shutdown},
                                       {NULL, NULL}};
  chaski__runtime(L);
  luaL_newlib(L, functions);
  chaski__open_spawn(L);
  chaski__open_run(L);
  int module = lua_gettop(L);
  if (chaski__open_codec(L) > 0) merge(L, module);
  lua_settop(L, module);
  chaski__open_node(L);
  lua_settop(L, module);
  chaski__open_sim(L);
  lua_settop(L, module);
  chaski__open_system(L);
  chaski__open_channel(L);
  lua_settop(L, module);
  chaski__open_pki(L);
  lua_settop(L, module);
  chaski__open_tls_context(L);
  lua_settop(L, module);
  return 1;
}
