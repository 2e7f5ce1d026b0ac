/* run.c: run(main, ...), which drives luv's loop from a stock lua5.4, and the hook of an orderly shutdown.
 * SPDX-License-Identifier: MIT */
#include "interrupt.h"
#include "luv.h"
#include "spawn.h"
#include "task.h"

static void main_ended(void *owner, chaski_task *task, int status, lua_State *co) {
  chaski_main *m = owner;
  lua_State *L = m->rt->L;
  (void)task;
  m->over = true;
  m->status = status;
  m->count = status == LUA_OK ? lua_gettop(co) : 1;
  lua_createtable(L, m->count, 0);
  for (int i = 1; i <= m->count; i++) {
    lua_pushvalue(co, i - 1 - m->count);
    lua_xmove(co, L, 1);
    lua_rawseti(L, -2, i);
  }
  m->results = luaL_ref(L, LUA_REGISTRYINDEX);
  if (status != LUA_OK && m->loop) uv_stop(m->loop);
}

chaski_task *chaski__main_start(chaski_runtime *rt, lua_State *L, int nargs, chaski_main *m) {
  chaski_task_end end = {main_ended, m};
  *m = (chaski_main){.rt = rt, .results = LUA_NOREF};
  chaski_task *task = chaski__task_prepare(rt, L, nargs, "main", &end, NULL);
  if (task) chaski__task_start(task);
  return task;
}

int chaski__main_outcome(lua_State *L, const chaski_main *m) {
  lua_settop(L, 0);
  luaL_checkstack(L, m->count + 1, "too many results");
  lua_rawgeti(L, LUA_REGISTRYINDEX, m->results);
  luaL_unref(L, LUA_REGISTRYINDEX, m->results);
  for (int i = 1; i <= m->count; i++) lua_rawgeti(L, 1, i);
  return m->status == LUA_OK ? m->count : lua_error(L);
}

static int called(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  return lua_gettop(L);
}

/* In a task the loop runs already: so one script runs in a stock lua5.4 and in chaski-lua. */
static int call_main(lua_State *L) {
  lua_callk(L, lua_gettop(L) - 1, LUA_MULTRET, 0, called);
  return called(L, LUA_OK, 0);
}

/* run(main, ...) -> its results. Raises its error, or "interrupted!" when SIGINT has come before it was over. */
static int l_run(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  chaski_runtime *rt = chaski__runtime(L);
  if (rt->current && !rt->world->sim) return call_main(L);
  if (rt->running > 0 || rt->current) return luaL_error(L, "run: the loop runs already");
  luv_ctx_t *luv = rt->luv;
  luv_CFpcall runner = luv->cb_pcall;
  chaski_main m;
  bool stopped = false;
  luv->cb_pcall = chaski__luv_runner;
  rt->running++;
  chaski_interrupt *interrupt = chaski__interrupt_start(rt);
  chaski_task *task = chaski__main_start(rt, L, lua_gettop(L) - 1, &m);
  m.loop = rt->uv;
  if (task && m.status == LUA_OK) stopped = uv_run(rt->uv, UV_RUN_DEFAULT) != 0;
  rt->running--;
  luv->cb_pcall = runner;
  bool interrupted = chaski__interrupt_stop(interrupt);
  if (!task) return luaL_error(L, "run: out of memory");
  if (!m.over) chaski__task_drop(task); /* it must not outlive m */
  if (interrupted && (!m.over || m.status != LUA_OK)) return luaL_error(L, "interrupted!");
  if (m.over) return chaski__main_outcome(L, &m);
  if (stopped) return luaL_error(L, "run: the loop was stopped before main was over");
  return luaL_error(L, "run: main waits for something that can never happen: nothing is active");
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
