/* spawn.c: tasks as scripts see them: spawn, join, cancel, sleep, and the primitives from which lua/chaski builds other
 * ways to wait. See task.c for the mechanism.
 * SPDX-License-Identifier: MIT */
#include "spawn.h"

#include "../core/alloc.h"
#include "error.h"
#include "task.h"

#include <string.h>

#define TASK "chaski.task"
#define WAITER "chaski.waiter"
#define LOST LUA_REFNIL /* no memory for the results */

typedef struct joiner {
  struct script_task *of;
  chaski_task *task;
  uint64_t wait;
  struct joiner *next;
} joiner;

typedef struct script_task { /* the userdata */
  chaski_task *task;         /* held; NULL when over */
  int self;                  /* reference that anchors the userdata while the task lives */
  int results;               /* reference to { true, ... } or { nil, err }, LUA_NOREF before the end, or LOST */
  int count;                 /* of results */
  joiner *joiners;
} script_task;

/* --- the end of a task -------------------------------------------------------------------------------------------- */

typedef struct keeping {
  script_task *task;
  int status;
  lua_State *co;
} keeping;

static int keep_results(lua_State *L) {
  const keeping *k = lua_touserdata(L, 1);
  int n = k->status == LUA_OK ? lua_gettop(k->co) : 1;
  luaL_checkstack(k->co, 1, NULL);
  lua_createtable(L, n + 1, 0);
  if (k->status == LUA_OK) {
    lua_pushboolean(L, true);
    lua_rawseti(L, -2, 1);
  }
  for (int i = 0; i < n; i++) {
    lua_pushvalue(k->co, i - n);
    lua_xmove(k->co, L, 1);
    lua_rawseti(L, -2, i + 2);
  }
  k->task->count = n + 1;
  k->task->results = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

/* Without memory for them those who join are told just that, for which none is needed. */
static void keep_or_lose(lua_State *L, script_task *s, int status, lua_State *co) {
  keeping k = {s, status, co};
  lua_pushcfunction(L, keep_results);
  lua_pushlightuserdata(L, &k);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK) return;
  lua_pop(L, 1);
  s->results = LOST;
}

static int push_results(lua_State *L, const script_task *s) {
  if (s->results == LOST || !lua_checkstack(L, s->count + 1)) {
    lua_pushnil(L);
    lua_pushliteral(L, "not enough memory"); /* Lua's own, which is always there */
    return 2;
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->results);
  int table = lua_gettop(L);
  for (int i = 1; i <= s->count; i++) lua_rawgeti(L, table, i);
  lua_remove(L, table);
  return s->count;
}

static void wake_joiners(lua_State *L, chaski_runtime *rt, script_task *s) {
  while (s->joiners) {
    joiner *j = s->joiners;
    int n = push_results(L, s);
    s->joiners = j->next;
    chaski__wake_values(rt, j->task, j->wait, L, n, true);
    chaski__task_release(j->task);
    chaski__free(j);
  }
}

/* Of an error that nobody joined for; this may raise. */
static void report(lua_State *L, chaski_runtime *rt, lua_State *co) {
  lua_pushvalue(co, -1);
  lua_xmove(co, L, 1);
  bool quiet = chaski__is_cancel(L, -1);
  lua_pop(L, 1);
  lua_pushvalue(co, -1);
  if (quiet)
    lua_pop(co, 1);
  else
    chaski__report_error(rt, co, "task");
}

static void ended(void *owner, chaski_task *task, int status, lua_State *co) {
  script_task *s = owner;
  chaski_runtime *rt = chaski__runtime(co);
  bool alone = !s->joiners;
  s->task = NULL;
  keep_or_lose(rt->L, s, status, co);
  wake_joiners(rt->L, rt, s);
  chaski__task_release(task);
  luaL_unref(rt->L, LUA_REGISTRYINDEX, s->self); /* its slot is there: needs no memory */
  s->self = LUA_NOREF;
  if (status != LUA_OK && alone) report(rt->L, rt, co);
}

/* --- spawn -----------------------------------------------------------------------------------------------------------
 */

static script_task *new_task(lua_State *L) {
  script_task *s = lua_newuserdatauv(L, sizeof *s, 0);
  *s = (script_task){NULL, LUA_NOREF, LUA_NOREF, 0, NULL};
  luaL_setmetatable(L, TASK);
  return s;
}

/* spawn(fn, ...) -> task */
static int l_spawn(lua_State *L) {
  chaski_runtime *rt = chaski__runtime(L);
  luaL_checktype(L, 1, LUA_TFUNCTION);
  script_task *s = new_task(L);
  lua_insert(L, 1);
  lua_pushvalue(L, 1);
  s->self = luaL_ref(L, LUA_REGISTRYINDEX);
  chaski_task_end end = {ended, s};
  s->task = chaski__task_prepare(rt, L, lua_gettop(L) - 2, "task", &end, NULL);
  if (!s->task) {
    luaL_unref(L, LUA_REGISTRYINDEX, s->self);
    return luaL_error(L, "spawn: out of memory");
  }
  chaski__task_hold_it(s->task);
  chaski__task_start(s->task);
  return 1;
}

/* --- methods ---------------------------------------------------------------------------------------------------------
 */

static script_task *check_task(lua_State *L) {
  return luaL_checkudata(L, 1, TASK);
}

static void forget_joiner(void *ctx) {
  joiner *j = ctx, **at = &j->of->joiners;
  while (*at != j) at = &(*at)->next;
  *at = j->next;
  chaski__task_release(j->task);
  chaski__free(j);
}

/* task:join([timeout]) -> true, results... | nil, err */
static int l_join(lua_State *L) {
  chaski_runtime *rt = chaski__runtime(L);
  script_task *s = check_task(L);
  double timeout = luaL_optnumber(L, 2, -1);
  if (s->results != LUA_NOREF) return push_results(L, s);
  chaski__check_task(L, "task:join");
  if (s->task == rt->current) return luaL_error(L, "task:join: a task cannot join itself");
  joiner *j = chaski__malloc(sizeof *j), **last = &s->joiners;
  if (!j) return luaL_error(L, "task:join: out of memory");
  *j = (joiner){s, chaski__task_hold(rt), chaski__wait(rt), NULL};
  while (*last) last = &(*last)->next;
  *last = j;
  return chaski__park(L, rt, timeout, forget_joiner, j);
}

/* task:cancel() -> whether it was still there */
static int l_cancel(lua_State *L) {
  script_task *s = check_task(L);
  lua_pushboolean(L, s->task != NULL);
  if (s->task) chaski__task_cancel(s->task);
  return 1;
}

static const char *status_of(const script_task *s) {
  if (!s->task) return "over";
  return chaski__task_suspended(s->task) ? "parked" : "running";
}

static int task_index(lua_State *L) {
  script_task *s = check_task(L);
  const char *key = luaL_checkstring(L, 2);
  if (strcmp(key, "status") == 0) {
    lua_pushstring(L, status_of(s));
    return 1;
  }
  luaL_getmetafield(L, 1, "methods");
  lua_pushvalue(L, 2);
  lua_rawget(L, -2);
  return 1;
}

static int task_tostring(lua_State *L) {
  lua_pushfstring(L, "task: %s", status_of(check_task(L)));
  return 1;
}

static int task_gc(lua_State *L) { /* only over, or at lua_close */
  script_task *s = check_task(L);
  luaL_unref(L, LUA_REGISTRYINDEX, s->results);
  s->results = LUA_NOREF; /* another finalizer may still know it */
  if (s->task) chaski__task_release(s->task);
  s->task = NULL;
  return 0;
}

/* --- waiting
 * ---------------------------------------------------------------------------------------------------------- */

static double check_seconds(lua_State *L, int arg, double none) {
  double seconds = luaL_optnumber(L, arg, none);
  luaL_argcheck(L, lua_isnoneornil(L, arg) || seconds >= 0, arg, "seconds expected, not negative");
  return seconds;
}

/* sleep(seconds) */
static int l_sleep(lua_State *L) {
  luaL_checknumber(L, 1);
  double seconds = check_seconds(L, 1, 0);
  chaski__check_task(L, "sleep");
  chaski__wait(chaski__runtime(L));
  return chaski__sleep(L, chaski__runtime(L), seconds);
}

typedef struct waiter { /* userdata: one wait of one task; made by waiter(), used up by wake() or by the park's end */
  chaski_task *task;
  uint64_t wait;
} waiter;

/* waiter([function]) -> waiter: internal. The wait that the next park() of this task will begin; outside a task it
 * raises, naming the function. */
static int l_waiter(lua_State *L) {
  chaski_runtime *rt = chaski__runtime(L);
  chaski__check_task(L, luaL_optstring(L, 1, "waiter"));
  waiter *w = lua_newuserdatauv(L, sizeof *w, 0);
  w->task = NULL;
  luaL_setmetatable(L, WAITER);
  w->wait = chaski__wait(rt);
  w->task = chaski__task_hold(rt);
  return 1;
}

/* park([timeout]) -> what wake was given | nil, err: internal. After waiter(), with nothing that waits in between. */
static int l_park(lua_State *L) {
  double timeout = check_seconds(L, 1, -1);
  chaski__check_task(L, "park");
  return chaski__park(L, chaski__runtime(L), timeout, NULL, NULL);
}

/* wake(waiter, ...) -> whether it still waited: internal. */
static int l_wake(lua_State *L) {
  waiter *w = luaL_checkudata(L, 1, WAITER);
  lua_pushboolean(L, chaski__wake_values(chaski__runtime(L), w->task, w->wait, L, lua_gettop(L) - 1, false));
  return 1;
}

static int waiter_gc(lua_State *L) {
  waiter *w = luaL_checkudata(L, 1, WAITER);
  if (w->task) chaski__task_release(w->task);
  w->task = NULL;
  return 0;
}

static int l_in_task(lua_State *L) {
  chaski_runtime *rt = chaski__runtime(L);
  lua_pushboolean(L, rt->current && chaski__task_co(rt->current) == L);
  return 1;
}

/* unlimited(): the task that calls is a main chunk or a line of the dialogue, and may compute for as long as it likes
 */
static int l_unlimited(lua_State *L) {
  chaski_task *current = chaski__runtime(L)->current;
  if (current) chaski__task_unlimit(current);
  return 0;
}

/* --- opening
 * ------------------------------------------------------------------------------------------------------------ */

static void open_class(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  luaL_setfuncs(L, meta, 0);
  chaski__hide_finalizer(L);
  if (methods) {
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "methods");
  }
  lua_pop(L, 1);
}

void chaski__open_spawn(lua_State *L) {
  static const luaL_Reg task_meta[] = {
      {"__index", task_index}, {"__tostring", task_tostring}, {"__gc", task_gc}, {NULL, NULL}};
  static const luaL_Reg task_methods[] = {{"join", l_join}, {"cancel", l_cancel}, {NULL, NULL}};
  static const luaL_Reg waiter_meta[] = {{"__gc", waiter_gc}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"spawn", l_spawn},         {"sleep", l_sleep}, {"waiter", l_waiter},
                                       {"park", l_park},           {"wake", l_wake},   {"in_task", l_in_task},
                                       {"unlimited", l_unlimited}, {NULL, NULL}};
  open_class(L, TASK, task_meta, task_methods);
  open_class(L, WAITER, waiter_meta, NULL);
  luaL_setfuncs(L, functions, 0);
}
