/* run.c: run(main, ...), which drives luv's loop from a stock lua5.4, and the hook of an orderly shutdown.
 * SPDX-License-Identifier: MIT */
#include "luv.h"
#include "spawn.h"
#include "task.h"

struct running {
  chaski_runtime *rt;
  bool over, looping, stopped;
  int status;
  int results; /* reference to a table of `count` results, or the error */
  int count;
};

static void main_ended(void *owner, chaski_task *task, int status, lua_State *co) {
  struct running *r = owner;
  lua_State *L = r->rt->L;
  (void)task;
  r->over = true;
  r->status = status;
  r->count = status == LUA_OK ? lua_gettop(co) : 1;
  lua_createtable(L, r->count, 0);
  for (int i = 1; i <= r->count; i++) {
    lua_pushvalue(co, i - 1 - r->count);
    lua_xmove(co, L, 1);
    lua_rawseti(L, -2, i);
  }
  r->results = luaL_ref(L, LUA_REGISTRYINDEX);
  if (status != LUA_OK && r->looping) uv_stop(r->rt->uv);
}

static int push_outcome(lua_State *L, struct running *r) {
  if (!r->over && r->stopped) return luaL_error(L, "run: the loop was stopped before main was over");
  if (!r->over) return luaL_error(L, "run: main waits for something that can never happen: nothing is active");
  lua_settop(L, 0);
  luaL_checkstack(L, r->count + 1, "too many results");
  lua_rawgeti(L, LUA_REGISTRYINDEX, r->results);
  luaL_unref(L, LUA_REGISTRYINDEX, r->results);
  for (int i = 1; i <= r->count; i++) lua_rawgeti(L, 1, i);
  return r->status == LUA_OK ? r->count : lua_error(L);
}

/* run(main, ...) -> its results. Raises its error. */
static int l_run(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  chaski_runtime *rt = chaski__runtime(L);
  if (rt->running > 0 || rt->current) return luaL_error(L, "run: the loop runs already");
  luv_ctx_t *luv = rt->luv;
  luv_CFpcall runner = luv->cb_pcall;
  struct running r = {.rt = rt, .results = LUA_NOREF};
  chaski_task_end end = {main_ended, &r};
  luv->cb_pcall = chaski__luv_runner;
  rt->running++;
  chaski_task *task = chaski__task_prepare(rt, L, lua_gettop(L) - 1, "main", &end, NULL);
  if (task) chaski__task_start(task);
  r.looping = task && r.status == LUA_OK;
  r.stopped = r.looping && uv_run(rt->uv, UV_RUN_DEFAULT) != 0;
  rt->running--;
  luv->cb_pcall = runner;
  if (!task) return luaL_error(L, "run: out of memory");
  if (!r.over) chaski__task_drop(task); /* it must not outlive r */
  return push_outcome(L, &r);
}

/* --- shutdown
 * ----------------------------------------------------------------------------------------------------------- */

struct shutdown {
  void (*done)(void *ctx);
  void *ctx;
};

static void shutdown_ended(void *owner, chaski_task *task, int status, lua_State *co) {
  struct shutdown s = *(struct shutdown *)owner;
  (void)task;
  if (status != LUA_OK) chaski__report_error(chaski__runtime(co), co, "on_shutdown");
  s.done(s.ctx);
}

bool chaski__start_shutdown(lua_State *L, void (*done)(void *ctx), void *ctx) {
  static struct shutdown s; /* a process shuts down once */
  chaski_runtime *rt = chaski__runtime(L);
  if (rt->on_shutdown == LUA_NOREF) return false;
  s = (struct shutdown){done, ctx};
  chaski_task_end end = {shutdown_ended, &s};
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->on_shutdown);
  return chaski__spawn(rt, L, 0, "on_shutdown", &end, NULL) != NULL;
}

void chaski__open_run(lua_State *L) {
  lua_pushcfunction(L, l_run);
  lua_setfield(L, -2, "run");
}
