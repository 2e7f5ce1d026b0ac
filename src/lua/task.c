/* task.c: tasks, as told in runtime.h: coroutines that are recycled, parked, woken, timed out and cancelled. A task and
 * its coroutine are made together and recycled together, so entering a handler allocates nothing.
 * SPDX-License-Identifier: MIT */
#include "task.h"

#include "../core/alloc.h"
#include "error.h"
#include "running.h"

#include <string.h>

#define IDLE_MAX 256    /* recycled coroutines kept, about 1 KiB each: a burst of handlers that all wait */
#define WHERE_MAX 80    /* bytes of a description kept while suspended */
#define SECONDS_MAX 1e9 /* thirty years are for ever, and fit in ns */
#define NO_WAIT                                                                                                        \
  "cannot wait across a C call (table.sort, string.gsub, a stock require, a metamethod called from C, ...)"
#define FOREIGN_YIELD "coroutine.yield outside a coroutine of your own (a task waits by chaski.sleep and the like)"
#define DEAD "cannot resume dead coroutine" /* as Lua says */

enum state { IDLE, RUNNING, PARKED, READY, OVER };
enum outcome { VALUES, RAISED, TIMED_OUT, CANCELLED };

struct chaski_task {
  chaski_runtime *rt;
  chaski_world *world;
  lua_State *co;
  int ref; /* of co in the registry */
  unsigned refs;
  enum state state;
  enum outcome outcome; /* what the task finds when it is resumed */
  bool cancel;          /* asked for while it ran */
  bool cancelled;       /* has been told */
  bool suspended;       /* has been parked at least once */
  bool fresh;           /* has never run */
  bool failed;          /* by an error that a hook may have raised: then the coroutine would never call a hook again */
  bool unlimited;       /* may run for as long as it likes */
  bool report;          /* its errors */
  const char *misused;  /* why it ended, if not by an error: the script has yielded, or closed, its coroutine */
  uint64_t wait;        /* 0: none */
  int values;           /* on co, to resume with */
  chaski_timer timer;
  void (*cleanup)(void *ctx);
  void *cleanup_ctx;
  chaski_task_end end;
  const void *node_key;
  const char *where;
  char where_copy[WHERE_MAX];
  chaski_task *outer;       /* was running when this one was resumed */
  chaski_task *prev, *next; /* in live; next also in idle */
  chaski_task *after;       /* in ready */
};

static void resume(chaski_task *t);

/* --- making and recycling --------------------------------------------------------------------------------------- */

static int make_coroutine(lua_State *L) {
  chaski_task *t = lua_touserdata(L, 1);
  t->co = lua_newthread(L);
  t->ref = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static void on_timeout(chaski_timer *timer);

static chaski_task *new_task(chaski_runtime *rt) {
  chaski_task *t = chaski__calloc(1, sizeof *t);
  if (!t) return NULL;
  t->rt = rt;
  chaski_timer_init(&t->timer, on_timeout);
  if (chaski__enter(rt, make_coroutine, t)) return t;
  chaski__free(t);
  return NULL;
}

static chaski_task *take(chaski_runtime *rt, const char *where, const chaski_task_end *end, const void *node_key) {
  static const chaski_task_end nobody = {NULL, NULL};
  chaski_task *t = rt->tasks.idle;
  if (t) {
    rt->tasks.idle = t->next;
    rt->tasks.idles--;
  } else if (!(t = new_task(rt)))
    return NULL;
  t->refs = 1;
  t->world = rt->world;
  t->cancel = t->cancelled = t->suspended = t->fresh = t->unlimited = false;
  t->misused = NULL;
  t->report = true;
  t->end = end ? *end : nobody;
  t->node_key = node_key;
  t->where = where;
  t->next = NULL;
  t->world->count++;
  return t;
}

static void discard(chaski_task *t) {
  if (t->rt->L) luaL_unref(t->rt->L, LUA_REGISTRYINDEX, t->ref);
  chaski__free(t);
}

void chaski__task_release(chaski_task *t) {
  chaski_runtime *rt = t->rt;
  if (--t->refs > 0) return;
  /* A finalizer that yielded while the coroutine was reset leaves it unusable. */
  if (!rt->L || rt->tasks.idles >= IDLE_MAX || t->failed || lua_status(t->co) != LUA_OK) {
    discard(t);
    return;
  }
  t->state = IDLE;
  t->next = rt->tasks.idle;
  rt->tasks.idle = t;
  rt->tasks.idles++;
}

void chaski__task_hold_it(chaski_task *t) {
  t->refs++;
}

chaski_task *chaski__task_hold(chaski_runtime *rt) {
  if (rt->current) rt->current->refs++;
  return rt->current;
}

/* --- the list of suspended tasks -------------------------------------------------------------------------------- */

static void link_live(chaski_task *t) {
  chaski_tasks *all = &t->rt->tasks;
  t->prev = NULL;
  t->next = all->live;
  if (all->live) all->live->prev = t;
  all->live = t;
}

static void unlink_live(chaski_task *t) {
  if (t->prev)
    t->prev->next = t->next;
  else
    t->rt->tasks.live = t->next;
  if (t->next) t->next->prev = t->prev;
  t->prev = t->next = NULL;
}

static void keep_where(chaski_task *t) {
  if (t->where == t->where_copy) return;
  size_t len = strlen(t->where);
  if (len >= WHERE_MAX) len = WHERE_MAX - 1;
  memcpy(t->where_copy, t->where, len);
  t->where_copy[len] = '\0';
  t->where = t->where_copy;
}

static void suspend(chaski_task *t, enum state state) {
  t->state = state;
  t->suspended = true;
  keep_where(t);
  link_live(t);
}

/* --- the end -------------------------------------------------------------------------------------------------------
 */

struct ending {
  chaski_task *task;
  int status;
};

/* The error that cancelling raised may end its task without a word. */
static bool ended_by_cancel(lua_State *L, chaski_task *t) {
  if (!t->cancelled) return false;
  lua_pushvalue(t->co, -1);
  lua_xmove(t->co, L, 1);
  bool by_cancel = false;
  if (lua_istable(L, -1)) {
    lua_pushliteral(L, "code");
    lua_rawget(L, -2);
    const char *code = lua_tostring(L, -1);
    by_cancel = code && strcmp(code, chaski_error_name(CHASKI_ECANCELLED)) == 0;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return by_cancel;
}

static void report(lua_State *L, chaski_task *t) {
  if (!t->report || ended_by_cancel(L, t)) return;
  lua_pushvalue(t->co, -1);
  chaski__report_error(t->rt, t->co, t->where);
}

static int tell_end(lua_State *L) {
  struct ending *e = lua_touserdata(L, 1);
  chaski_task *t = e->task;
  if (!lua_checkstack(t->co, 2)) return luaL_error(L, "out of memory");
  if (t->misused) {
    lua_pushstring(L, t->misused);
    lua_xmove(L, t->co, 1);
  }
  if (e->status != LUA_OK) report(L, t);
  if (t->end.ended) t->end.ended(t->end.owner, t, e->status, t->co);
  return 0;
}

/* What the coroutine held is free; the error is on its stack. A __close that runs now is no task: it must not wait. */
static void unwind(chaski_task *t) {
  chaski_runtime *rt = t->rt;
  chaski_task *current = rt->current;
  chaski_entry entry;
  t->failed = true;
  rt->current = NULL;
  chaski__entry_push(rt, &entry, t->co, t);
  lua_resetthread(t->co);
  chaski__entry_pop(rt, &entry);
  rt->current = current;
}

static void clean(chaski_task *t, int status) {
  if (status != LUA_OK) unwind(t);
  lua_settop(t->co, 0);
}

static void finish(chaski_task *t, int status) {
  t->state = OVER;
  t->wait = 0;
  t->world->count--;
  if (status == LUA_ERRMEM) unwind(t); /* or there is no memory to tell of it */
  if (status != LUA_OK || t->end.ended) {
    struct ending e = {t, status};
    chaski__enter(t->rt, tell_end, &e);
  }
  clean(t, status);
  chaski__task_release(t);
}

/* --- running -------------------------------------------------------------------------------------------------------
 */

/* A script can close the coroutine of a task that waits, or resume it until it ends. lua_resume would make its words
 * for that outside of any protected call, and end the process when there is no memory for them. */
static bool is_dead(const chaski_task *t, int nargs) {
  int status = lua_status(t->co);
  return status == LUA_OK ? lua_gettop(t->co) == nargs : status != LUA_YIELD;
}

static bool ends_by(chaski_task *t, const char *why, int *status) {
  t->misused = why;
  *status = LUA_ERRRUN;
  return true;
}

/* True when it is over. */
static bool run(chaski_task *t, int nargs, int *status) {
  chaski_runtime *rt = t->rt;
  chaski_task *outer = rt->current;
  int nresults = 0;
  if (is_dead(t, nargs)) return ends_by(t, DEAD, status);
  t->outer = outer;
  t->state = RUNNING;
  t->fresh = false;
  rt->current = t;
  chaski_entry entry;
  chaski__entry_push(rt, &entry, t->co, t);
  *status = lua_resume(t->co, outer ? outer->co : rt->L, nargs, &nresults);
  chaski__entry_pop(rt, &entry);
  rt->current = outer;
  if (*status != LUA_YIELD) return true;
  return t->state == RUNNING && ends_by(t, FOREIGN_YIELD, status);
}

static void resume(chaski_task *t) {
  int status = LUA_OK, values = t->values;
  t->values = 0;
  unlink_live(t);
  if (run(t, values, &status)) finish(t, status);
}

static void on_turn(chaski_timer *timer) {
  chaski_world *world = (chaski_world *)((char *)timer - offsetof(chaski_world, turn));
  const chaski_runtime *rt = world->rt;
  chaski_task *t = world->ready;
  world->ready = world->last = NULL;
  while (t) {
    chaski_task *after = t->after;
    t->after = NULL;
    if (rt->L) resume(t);
    t = after;
  }
}

static void make_ready(chaski_task *t) {
  chaski_world *world = t->world;
  t->state = READY;
  t->after = NULL;
  if (world->last)
    world->last->after = t;
  else
    world->ready = t;
  world->last = t;
  if (!chaski_timer_active(&world->turn)) chaski_timer_start(world->loop, &world->turn, 0);
}

static void go_on(chaski_task *t, bool later) {
  if (later || t->rt->current || t->world != t->rt->world)
    make_ready(t);
  else
    resume(t);
}

/* --- starting ------------------------------------------------------------------------------------------------------
 */

chaski_task *chaski__task_prepare(chaski_runtime *rt, lua_State *L, int nargs, const char *where,
                                  const chaski_task_end *end, const void *node_key) {
  chaski_task *t = rt->L ? take(rt, where, end, node_key) : NULL;
  if (!t) {
    lua_pop(L, nargs + 1);
    return NULL;
  }
  if (!lua_checkstack(t->co, nargs + 1 + LUA_MINSTACK)) {
    lua_pop(L, nargs + 1);
    t->world->count--;
    chaski__task_release(t);
    return NULL;
  }
  lua_xmove(L, t->co, nargs + 1);
  t->report = !end;
  t->values = nargs;
  return t;
}

void chaski__task_start(chaski_task *t) {
  int status = LUA_OK, nargs = t->values;
  t->values = 0;
  if (run(t, nargs, &status)) finish(t, status);
}

chaski_task *chaski__spawn(chaski_runtime *rt, lua_State *L, int nargs, const char *where, const chaski_task_end *end,
                           const void *node_key) {
  chaski_task *t = chaski__task_prepare(rt, L, nargs, where, end, node_key);
  if (t) chaski__task_start(t);
  return t;
}

chaski_task *chaski__run_handler(chaski_runtime *rt, lua_CFunction enter, void *arg, const char *where,
                                 const chaski_task_end *end, const void *node_key) {
  chaski_task *t = rt->L ? take(rt, where, end, node_key) : NULL;
  if (!t) {
    rt->errors++;
    if (rt->L) chaski__runtime_log(rt, CHASKI_LOG_ERROR, "", "out of memory: a handler was not called");
    return NULL;
  }
  lua_pushcfunction(t->co, enter);
  lua_pushlightuserdata(t->co, arg);
  int status = LUA_OK;
  if (!run(t, 1, &status)) return t;
  t->end.ended = NULL;
  finish(t, status);
  return NULL;
}

bool chaski__spawn_later(chaski_world *world, lua_State *L, int nargs, const char *where, const void *node_key) {
  chaski_task *t = chaski__task_prepare(world->rt, L, nargs, where, NULL, node_key);
  if (!t) return false;
  t->world->count--;
  t->world = world;
  world->count++;
  t->fresh = true;
  suspend(t, READY);
  make_ready(t);
  return true;
}

/* --- parking -------------------------------------------------------------------------------------------------------
 */

bool chaski__in_task(const chaski_runtime *rt, lua_State *L) {
  return rt->current && rt->current->co == L && lua_isyieldable(L);
}

void chaski__check_task(lua_State *L, const char *function) {
  chaski_runtime *rt = chaski__runtime(L);
  if (!rt->current)
    luaL_error(L, "%s: called outside a task; only a task can wait (chaski.spawn, chaski.run)", function);
  if (rt->current->co != L)
    luaL_error(L, "%s: called inside a coroutine of your own; only a task can wait (chaski.spawn)", function);
  if (!lua_isyieldable(L)) luaL_error(L, "%s: " NO_WAIT, function);
}

uint64_t chaski__wait(chaski_runtime *rt) {
  return rt->current->wait = ++rt->tasks.waits;
}

static int raise_cancelled(lua_State *L, chaski_task *t) {
  t->cancel = false;
  t->cancelled = true;
  chaski__push_error(L, chaski_error_name(CHASKI_ECANCELLED), "cancelled");
  return lua_error(L);
}

/* The task that goes on here. A script can get at its coroutine, and resume it when it likes. */
static chaski_task *resumed(lua_State *L) {
  chaski_task *t = chaski__runtime(L)->current;
  if (!t || t->co != L) luaL_error(L, "the coroutine of a task that waits cannot be resumed: it goes on by itself");
  return t;
}

bool chaski__timed_out(const chaski_runtime *rt, const lua_State *L) {
  return rt->current && rt->current->co == L && rt->current->outcome == TIMED_OUT;
}

int chaski__parked(lua_State *L, int status, lua_KContext base) {
  (void)status;
  chaski_task *t = resumed(L);
  int values = lua_gettop(L) - (int)base;
  switch (t->outcome) {
  case CANCELLED:
    return raise_cancelled(L, t);
  case RAISED:
    return values > 0 ? lua_error(L) : luaL_error(L, "out of memory");
  case TIMED_OUT:
    luaL_pushfail(L);
    chaski__push_error(L, chaski_error_name(CHASKI_ETIMEOUT), "timed out");
    return 2;
  case VALUES:
    break;
  }
  return values;
}

static int slept(lua_State *L, int status, lua_KContext base) {
  return resumed(L)->outcome == TIMED_OUT ? 0 : chaski__parked(L, status, base);
}

static uint64_t ns_of(double seconds) {
  if (!(seconds > 0)) return 0;
  return (uint64_t)((seconds < SECONDS_MAX ? seconds : SECONDS_MAX) * 1e9);
}

int chaski__park_then(lua_State *L, chaski_runtime *rt, double seconds, void (*cleanup)(void *ctx), void *ctx,
                      lua_KFunction k) {
  chaski_task *t = rt->current;
  bool can = chaski__in_task(rt, L);
  if (!can || t->cancel) {
    if (cleanup) cleanup(ctx);
    if (!can) return luaL_error(L, "only a task can wait, and not across a C call");
    t->wait = 0;
    return raise_cancelled(L, t);
  }
  t->cleanup = cleanup;
  t->cleanup_ctx = ctx;
  suspend(t, PARKED);
  if (seconds >= 0) chaski_timer_start(t->world->loop, &t->timer, ns_of(seconds));
  return lua_yieldk(L, 0, lua_gettop(L), k);
}

int chaski__park(lua_State *L, chaski_runtime *rt, double seconds, void (*cleanup)(void *ctx), void *ctx) {
  return chaski__park_then(L, rt, seconds, cleanup, ctx, chaski__parked);
}

int chaski__sleep(lua_State *L, chaski_runtime *rt, double seconds) {
  return chaski__park_then(L, rt, seconds, NULL, NULL, slept);
}

int chaski__breathe(lua_State *L, chaski_runtime *rt, int nresults) {
  chaski_task *t = rt->current;
  if (!chaski__in_task(rt, L)) return nresults;
  if (t->cancel) return raise_cancelled(L, t);
  t->outcome = VALUES;
  t->wait = 0;
  suspend(t, READY);
  make_ready(t);
  return lua_yieldk(L, 0, lua_gettop(L) - nresults, chaski__parked);
}

/* --- waking --------------------------------------------------------------------------------------------------------
 */

static bool waits(const chaski_runtime *rt, const chaski_task *t, uint64_t wait) {
  return rt->L && wait && t->wait == wait && t->state == PARKED;
}

/* No longer waiting: what it waited for forgets it if `abandon`, else has come and knows. */
static void unpark(chaski_task *t, enum outcome outcome, bool abandon) {
  void (*cleanup)(void *) = t->cleanup;
  t->cleanup = NULL;
  t->wait = 0;
  t->outcome = outcome;
  chaski_timer_stop(t->world->loop, &t->timer);
  if (abandon && cleanup) cleanup(t->cleanup_ctx);
}

static void on_timeout(chaski_timer *timer) {
  chaski_task *t = (chaski_task *)((char *)timer - offsetof(chaski_task, timer));
  unpark(t, TIMED_OUT, true);
  go_on(t, false);
}

struct pushing {
  int (*push)(lua_State *co, void *ctx);
  void *ctx;
};

static int call_push(lua_State *L) {
  struct pushing p = *(struct pushing *)lua_touserdata(L, 1);
  lua_settop(L, 0);
  return p.push(L, p.ctx);
}

static void move_values(chaski_task *t, lua_State *L, int n) {
  if (lua_checkstack(t->co, n + LUA_MINSTACK)) {
    lua_xmove(L, t->co, n);
    t->values = n;
  } else {
    lua_pop(L, n);
    t->outcome = RAISED;
  }
}

/* Pushed on the main thread and moved: a suspended coroutine is no place for a protected call. */
static void push_values(chaski_runtime *rt, chaski_task *t, struct pushing *p) {
  lua_State *L = rt->L;
  int top = lua_gettop(L);
  if (!lua_checkstack(L, LUA_MINSTACK)) {
    t->outcome = RAISED;
    return;
  }
  lua_pushcfunction(L, call_push);
  lua_pushlightuserdata(L, p);
  if (lua_pcall(L, 1, LUA_MULTRET, 0) != LUA_OK) t->outcome = RAISED;
  move_values(t, L, lua_gettop(L) - top);
}

bool chaski__wake(chaski_runtime *rt, chaski_task *t, uint64_t wait, int (*push)(lua_State *co, void *ctx), void *ctx) {
  if (!waits(rt, t, wait)) return false;
  unpark(t, VALUES, false);
  struct pushing p = {push, ctx};
  if (push) push_values(rt, t, &p);
  go_on(t, false);
  return true;
}

bool chaski__wake_values(chaski_runtime *rt, chaski_task *t, uint64_t wait, lua_State *L, int n, bool later) {
  if (!waits(rt, t, wait)) {
    lua_pop(L, n);
    return false;
  }
  unpark(t, VALUES, false);
  move_values(t, L, n);
  go_on(t, later);
  return true;
}

/* --- cancelling ----------------------------------------------------------------------------------------------------
 */

void chaski__task_cancel(chaski_task *t) {
  switch (t->state) {
  case RUNNING:
    t->cancel = true;
    break;
  case PARKED:
    unpark(t, CANCELLED, true);
    make_ready(t);
    break;
  case READY:
    t->outcome = CANCELLED;
    t->cancel = t->fresh;
    break;
  case IDLE:
  case OVER:
    break;
  }
}

void chaski__cancel_tasks(chaski_runtime *rt, const void *node_key) {
  for (chaski_task *t = rt->tasks.live, *next; t; t = next) {
    next = t->next; /* a cleanup does not resume or end any task */
    if (t->node_key == node_key) chaski__task_cancel(t);
  }
}

/* --- the rest ------------------------------------------------------------------------------------------------------
 */

bool chaski__task_suspended(const chaski_task *t) {
  return t->state == PARKED || t->state == READY;
}

lua_State *chaski__task_co(const chaski_task *t) {
  return t->state == OVER || t->state == IDLE ? NULL : t->co;
}

bool chaski__task_unused(const chaski_runtime *rt) {
  const chaski_task *t = rt->current;
  return t && t->refs == 1 && !t->cancel && !t->cancelled && !t->unlimited && !t->suspended;
}

void chaski__task_unlimit(chaski_task *t) {
  t->unlimited = true;
}

bool chaski__task_unlimited(const chaski_task *t) {
  return t->unlimited;
}

const char *chaski__task_where(const chaski_task *t) {
  return t->where;
}

size_t chaski__tasks(const chaski_runtime *rt) {
  return rt->real.count;
}

static void unready(chaski_task *t) {
  chaski_task **at = &t->world->ready, *last = NULL;
  while (*at && *at != t) at = &(last = *at)->after;
  if (!*at) return;
  *at = t->after;
  if (t->world->last == t) t->world->last = last;
}

/* Its coroutine is left as it is. */
static void end_suspended(chaski_task *t) {
  if (t->state == READY) unready(t);
  unlink_live(t);
  unpark(t, CANCELLED, t->state == PARKED);
  t->state = OVER;
  t->values = 0;
  t->world->count--;
}

void chaski__task_drop(chaski_task *t) {
  if (!chaski__task_suspended(t)) return;
  end_suspended(t);
  if (t->rt->L) clean(t, LUA_ERRRUN);
  chaski__task_release(t);
}

void chaski__tasks_drop(chaski_runtime *rt) {
  chaski_timer_stop(rt->real.loop, &rt->real.turn);
  while (rt->tasks.live) chaski__task_drop(rt->tasks.live);
}

void chaski__tasks_free(chaski_runtime *rt) {
  while (rt->tasks.idle) {
    chaski_task *t = rt->tasks.idle;
    rt->tasks.idle = t->next;
    rt->tasks.idles--;
    discard(t);
  }
}

/* --- worlds --------------------------------------------------------------------------------------------------------
 */

void chaski__world_init(chaski_world *world, chaski_runtime *rt) {
  *world = (chaski_world){.rt = rt};
  chaski_timer_init(&world->turn, on_turn);
}

chaski_world_before chaski__world_enter(chaski_world *world) {
  chaski_runtime *rt = world->rt;
  chaski_world_before before = {rt->world, rt->current};
  rt->world = world;
  rt->loop = world->loop;
  rt->current = NULL;
  return before;
}

void chaski__world_leave(chaski_runtime *rt, chaski_world_before before) {
  rt->world = before.world;
  rt->loop = before.world->loop;
  rt->current = before.current;
}

void chaski__world_cancel(chaski_world *world) {
  for (chaski_task *t = world->rt->tasks.live, *next; t; t = next) {
    next = t->next; /* a cleanup does not resume or end any task */
    if (t->world == world) chaski__task_cancel(t);
  }
  chaski_timer_stop(world->loop, &world->turn);
  on_turn(&world->turn);
}

static int push_cancelled(lua_State *L) {
  const chaski_task *t = lua_touserdata(L, 1);
  chaski__push_error(L, chaski_error_name(CHASKI_ECANCELLED), "cancelled");
  lua_xmove(L, t->co, 1);
  return 0;
}

static void end_cancelled(chaski_task *t) {
  end_suspended(t);
  if (t->rt->L) {
    struct ending e = {t, LUA_ERRRUN};
    clean(t, LUA_ERRRUN);
    t->cancelled = true;
    if (chaski__enter(t->rt, push_cancelled, t)) chaski__enter(t->rt, tell_end, &e);
    lua_settop(t->co, 0);
  }
  chaski__task_release(t);
}

static chaski_task *find_live(const chaski_world *world) {
  chaski_task *t = world->rt->tasks.live;
  while (t && t->world != world) t = t->next;
  return t;
}

void chaski__world_kill(chaski_world *world) {
  for (chaski_task *t; (t = find_live(world));) end_cancelled(t);
  chaski_timer_stop(world->loop, &world->turn);
}
