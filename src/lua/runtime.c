/* runtime.c: making the runtime of a Lua state and taking it down in the right order. See runtime.h.
 * SPDX-License-Identifier: MIT */
#include "runtime.h"

#include "../core/alloc.h"
#include "channel.h"
#include "luv.h"
#include "task.h"

#include <stdlib.h>
#include <string.h>

#define LOOKUP_NS UINT64_C(10000000000) /* a name lookup cannot be stopped; resolvers give up after 2 x 5 s */

static const char runtime_key, guard_key; /* their addresses are keys in the registry */

static void on_expire(void *user) {
  chaski_loop_expire(((chaski_runtime *)user)->real.loop);
}

static void on_flush(void *user) {
  chaski_loop_flush(((chaski_runtime *)user)->real.loop);
}

/* --- going down ------------------------------------------------------------------------------------------------- */

void chaski__shut(chaski_runtime *rt) {
  if (!rt->L) return;
  chaski__tell_not_logged(rt);
  rt->L = NULL;
  if (rt->real.loop) chaski__tasks_drop(rt);
}

static void on_closed(void *user) {
  chaski_runtime *rt = user;
  if (rt->real.loop && chaski_loop_nodes(rt->real.loop) == 0) chaski_loop_destroy(&rt->real.loop);
  chaski__free(rt);
}

/* A node that was destroyed is gone some turns later, and needs the alarm for it. Callbacks of luv that come meanwhile
 * are thrown away. Inside a turn (os.exit) this cannot be done: what is left then ends with the process. */
static void see_nodes_off(chaski_runtime *rt) {
  luv_CFpcall *runner = &((luv_ctx_t *)rt->luv)->cb_pcall, old = *runner;
  uint64_t deadline = uv_hrtime() + LOOKUP_NS;
  if (rt->running > 0) return;
  *runner = chaski__luv_runner; /* the door is shut */
  while ((chaski_loop_nodes(rt->real.loop) > 0 || chaski__has_channels(rt, &rt->real)) && uv_hrtime() < deadline)
    uv_run(rt->uv, UV_RUN_ONCE);
  *runner = old;
}

/* The last of ours to be finalized, yet before luv: luv skips handles that are closing and runs the loop until they are
 * closed; on_closed, which needs no Lua, frees the rest. With a loop of the host's the host runs it. */
static int runtime_gc(lua_State *L) {
  chaski_runtime **box = lua_touserdata(L, 1), *rt = *box;
  *box = NULL;
  if (!rt) return 0;
  rt->entry = NULL; /* what runs still (os.exit) is freed before anybody could look at it again */
  chaski__shut(rt);
  chaski__tasks_free(rt);
  if (rt->net) {
    chaski__close_nodes(rt, NULL);
    chaski__close_channels(rt, NULL);
    if (rt->real.loop) see_nodes_off(rt);
    chaski_net_close(&rt->net, on_closed, rt);
  } else
    on_closed(rt);
  return 0;
}

static int guard_gc(lua_State *L) {
  chaski_runtime *rt = *(chaski_runtime **)lua_touserdata(L, 1);
  if (rt && rt->guard == lua_touserdata(L, 1)) chaski__shut(rt);
  return 0;
}

void chaski__guard(lua_State *L, chaski_runtime *rt) {
  chaski_runtime **guard = lua_newuserdatauv(L, sizeof *guard, 0);
  *guard = rt;
  if (luaL_newmetatable(L, "chaski.guard")) {
    lua_pushcfunction(L, guard_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &guard_key);
  rt->guard = guard; /* only now: the one before is garbage, and its finalizer nothing */
}

/* --- coming up --------------------------------------------------------------------------------------------------- */

static void set_log_level(chaski_runtime *rt) {
  const char *name = getenv("CHASKI_LOG");
  int level = name ? chaski__log_level(name) : -1;
  chaski__set_log_level(rt, level < 0 ? CHASKI_LOG_WARN : (enum chaski_log_level)level);
  if (name && level < 0) chaski__runtime_log(rt, CHASKI_LOG_WARN, "", "CHASKI_LOG: unknown level, \"warn\" is used");
}

/* For the test suite: what is not anchored is collected soon. */
static void set_collector(lua_State *L) {
  const char *mode = getenv("CHASKI_GC");
  if (mode && strcmp(mode, "aggressive") == 0) lua_gc(L, LUA_GCINC, 10, 1000, 1);
}

/* Born closed: whatever fails, the finalizer of the box takes down what is there. */
static chaski_runtime **new_box(lua_State *L) {
  chaski_runtime **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, runtime_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  return box;
}

static lua_State *main_thread(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  lua_State *main = lua_tothread(L, -1);
  lua_pop(L, 1);
  return main;
}

static chaski_runtime *make(lua_State *L) {
  luv_ctx_t *luv = chaski__luv_open(L);
  chaski_runtime **box = new_box(L), *rt = *box = chaski__calloc(1, sizeof *rt);
  if (!rt) luaL_error(L, "chaski: out of memory");
  rt->uv = luv->loop;
  rt->luv = luv;
  rt->edge_mt = rt->node_mt = rt->message_mt = rt->on_error = rt->on_shutdown = LUA_NOREF;
  rt->world = &rt->real;
  chaski__world_init(&rt->real, rt);
  if (chaski_net_open(rt->uv, &rt->net) != CHASKI_OK ||
      chaski_loop_new(chaski_net_env(rt->net), &rt->real.loop) != CHASKI_OK)
    luaL_error(L, "chaski: out of memory");
  rt->loop = rt->real.loop;
  chaski_net_hooks(rt->net, on_expire, on_flush, rt);
  rt->L = main_thread(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &runtime_key);
  set_log_level(rt);
  set_collector(L);
  chaski__guard(L, rt);
  return rt;
}

static chaski_runtime **find_box(lua_State *L) {
  chaski_runtime **box =
      lua_rawgetp(L, LUA_REGISTRYINDEX, &runtime_key) == LUA_TUSERDATA ? lua_touserdata(L, -1) : NULL;
  lua_pop(L, 1);
  return box;
}

chaski_runtime *chaski__runtime(lua_State *L) {
  chaski_runtime **box = find_box(L);
  if (!box) return make(L);
  if (!*box) luaL_error(L, "chaski: the Lua state is being closed");
  return *box;
}

chaski_runtime *chaski__open_runtime(lua_State *L) {
  chaski_runtime **box = find_box(L);
  return box && *box && (*box)->L ? *box : NULL;
}
