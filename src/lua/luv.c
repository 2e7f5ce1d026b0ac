/* luv.c: see luv.h. Knows how luv 1.44 and later keeps its context; nothing of tasks and nodes.
 * SPDX-License-Identifier: MIT */
#include "luv.h"

#include "runtime.h"

#include <dlfcn.h>

#define UNUSABLE "chaski: this luv cannot be used: "

/* Why a luv with a libuv of its own must be told by addresses: its loop looks like ours, version and all, but two
 * libuvs keep two sets of static state (signals, thread pool), and their structures may differ. So we ask the dynamic
 * linker: which uv_run does the object that holds luv's functions see, itself first and then what it was linked with?
 */
static void *luv_object(lua_State *L, int luv) {
  Dl_info info;
  lua_getfield(L, luv, "new_timer");
  lua_CFunction fn = lua_tocfunction(L, -1);
  lua_pop(L, 1);
  void *address;
  memcpy(&address, &fn, sizeof address); /* ISO C has no cast from a function to an object */
  if (!fn || !dladdr(address, &info) || !info.dli_fname) return NULL;
  void *object = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  return object ? object : dlopen(NULL, RTLD_LAZY); /* linked into the program itself */
}

static bool same_libuv(void *object) {
  int (*ours)(uv_loop_t *, uv_run_mode) = uv_run, (*theirs)(uv_loop_t *, uv_run_mode) = NULL;
  void *found = dlsym(object, "uv_run");
  memcpy(&theirs, &found, sizeof theirs);
  return theirs == ours;
}

static luv_ctx_t *context(lua_State *L, void *object) {
  luv_ctx_t *(*get)(lua_State *) = NULL;
  void *found = dlsym(object, "luv_context");
  memcpy(&get, &found, sizeof get);
  return get ? get(L) : NULL;
}

static luv_ctx_t *usable_context(lua_State *L, int luv) {
  void *object = luv_object(L, luv);
  if (!object) luaL_error(L, UNUSABLE "its shared object was not found");
  bool same = same_libuv(object);
  luv_ctx_t *ctx = same ? context(L, object) : NULL;
  dlclose(object); /* the package library holds it */
  if (!same)
    luaL_error(L,
               UNUSABLE "it brings a libuv of its own, so that its loop is not ours (install a luv that is linked with "
                        "the system's libuv, Debian: lua-luv)");
  if (!ctx || !ctx->loop) luaL_error(L, UNUSABLE "it has no loop");
  return ctx;
}

/* --- what scripts must not call ----------------------------------------------------------------------------------- */

static int no_walk(lua_State *L) {
  return luaL_error(L, "uv.walk is not available: it ends the process when it meets a handle of a node");
}

static int no_loop_close(lua_State *L) {
  return luaL_error(L, "uv.loop_close is not available: the nodes run on this loop");
}

/* uv.run: as ever, unless the loop runs already (uv_run is not reentrant). */
static int guarded_run(lua_State *L) {
  chaski_runtime *rt = chaski__runtime(L);
  if (rt->running > 0) return luaL_error(L, "uv.run is not available: the loop runs already (chaski runs it)");
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  rt->running++;
  int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  rt->running--;
  return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

static void replace(lua_State *L, int luv, const char *name, lua_CFunction fn) {
  lua_getfield(L, luv, name);
  if (lua_tocfunction(L, -1) == fn) {
    lua_pop(L, 1);
    return;
  }
  lua_pushcclosure(L, fn, 1);
  lua_setfield(L, luv, name);
}

luv_ctx_t *chaski__luv_open(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "luv");
  lua_call(L, 1, 1);
  int luv = lua_gettop(L);
  luaL_checktype(L, luv, LUA_TTABLE);
  luv_ctx_t *ctx = usable_context(L, luv);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  ctx->L = lua_tothread(L, -1);
  lua_pop(L, 1);
  replace(L, luv, "walk", no_walk);
  replace(L, luv, "loop_close", no_loop_close);
  replace(L, luv, "run", guarded_run);
  lua_pop(L, 1);
  return ctx;
}
