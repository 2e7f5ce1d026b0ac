/* door.c: the one door into Lua from the core and from libuv, and what happens to the errors that come to it. See
 * runtime.h. SPDX-License-Identifier: MIT */
#include "../core/limits.h"
#include "running.h"

#include <stdio.h>
#include <string.h>

#define LOGGED_MAX 10 /* a second: it may be peers that make handlers fail, and they must not fill the disk */
#define BLAMED_MAX 20 /* calls between a mistake and who notices it */

static const char *describe(lua_State *L, int index) {
  if (lua_isstring(L, index) || luaL_getmetafield(L, index, "__tostring") != LUA_TNIL)
    return luaL_tolstring(L, index, NULL);
  return lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, index));
}

static bool blames(const char *text, const lua_Debug *ar) {
  char position[LUA_IDSIZE + 16];
  int n = snprintf(position, sizeof position, "%s:%d: ", ar->short_src, ar->currentline);
  return strncmp(text, position, (size_t)n) == 0;
}

/* The level of co that the text blames, "wall.lua:7: ...". What was called from there only noticed the mistake. */
static int blamed_level(lua_State *co, const char *text, int first) {
  lua_Debug ar;
  for (int level = first; level < first + BLAMED_MAX && lua_getstack(co, level, &ar); level++)
    if (lua_getinfo(co, "Sl", &ar) && ar.currentline > 0 && blames(text, &ar)) return level;
  return first;
}

void chaski__push_traceback(lua_State *L, lua_State *co, const char *text, int level) {
  luaL_traceback(L, co, text, blamed_level(co, text, level));
}

/* Message handler: the error's text with the traceback, as the error itself. */
static int traceback(lua_State *L) {
  lua_settop(L, 1);
  chaski__push_traceback(L, L, describe(L, 1), 1);
  return 1;
}

static void call_hook(lua_State *L, chaski_runtime *rt, int error, const char *where, int text) {
  if (rt->on_error == LUA_NOREF) return;
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->on_error);
  lua_pushvalue(L, error);
  lua_pushstring(L, where);
  lua_pushvalue(L, text);
  if (lua_pcall(L, 3, 0, 0) == LUA_OK) return;
  lua_pushfstring(L, "on_error hook: %s", describe(L, -1));
  chaski__runtime_log(rt, CHASKI_LOG_ERROR, "", lua_tostring(L, -1));
}

void chaski__tell_not_logged(chaski_runtime *rt) {
  char text[64];
  if (!rt->not_logged) return;
  snprintf(text, sizeof text, "%u more errors were not logged", rt->not_logged);
  rt->not_logged = 0;
  chaski__runtime_log(rt, CHASKI_LOG_ERROR, "", text);
}

static bool may_log(chaski_runtime *rt) {
  const chaski_env *env = chaski_loop_env(rt->loop);
  uint64_t second = env->now(env->ctx) / CHASKI_S;
  if (second != rt->log_second) {
    chaski__tell_not_logged(rt);
    rt->logged = 0;
    rt->log_second = second;
  }
  if (rt->logged++ < LOGGED_MAX) return true;
  rt->not_logged++;
  return false;
}

struct failure {
  chaski_runtime *rt;
  lua_State *co; /* NULL: the message is the whole text already */
  const char *where;
};

static int log_failure(lua_State *L) {
  struct failure *f = lua_touserdata(L, 2);
  lua_settop(L, 1);
  if (f->co)
    chaski__push_traceback(L, f->co, describe(L, 1), f->co == L);
  else
    luaL_tolstring(L, 1, NULL);
  int text = lua_gettop(L);
  lua_pushfstring(L, "%s: %s", f->where, lua_tostring(L, text));
  if (may_log(f->rt)) chaski__runtime_log(f->rt, CHASKI_LOG_ERROR, "", lua_tostring(L, -1));
  call_hook(L, f->rt, 1, f->where, text);
  return 0;
}

/* The message is on top of L, and popped. */
static void report(lua_State *L, struct failure *f) {
  f->rt->errors++;
  lua_checkstack(L, LUA_MINSTACK);
  lua_pushcfunction(L, log_failure);
  lua_insert(L, -2);
  lua_pushlightuserdata(L, f);
  if (lua_pcall(L, 2, 0, 0) == LUA_OK) return;
  lua_pop(L, 1);
  if (!may_log(f->rt)) return;
  chaski__runtime_log(f->rt, CHASKI_LOG_ERROR, "", f->where);
  chaski__runtime_log(f->rt, CHASKI_LOG_ERROR, "",
                      "an error could not be described: out of memory, or its __tostring fails");
}

void chaski__report_error(chaski_runtime *rt, lua_State *co, const char *where) {
  struct failure f = {rt, co, where};
  if (!rt->L) {
    lua_pop(co, 1);
    return;
  }
  if (co != rt->L) {
    lua_checkstack(rt->L, LUA_MINSTACK);
    lua_xmove(co, rt->L, 1);
  }
  report(rt->L, &f);
}

/* --- in ---------------------------------------------------------------------------------------------------------- */

bool chaski__enter(chaski_runtime *rt, lua_CFunction fn, void *arg) {
  lua_State *L = rt->L;
  if (!L || !lua_checkstack(L, LUA_MINSTACK)) return false;
  chaski_task *current = rt->current;
  rt->current = NULL;
  int top = lua_gettop(L);
  lua_pushcfunction(L, traceback);
  lua_pushcfunction(L, fn);
  lua_pushlightuserdata(L, arg);
  chaski_entry entry;
  chaski__entry_push(rt, &entry, L, NULL);
  bool ok = lua_pcall(L, 1, 0, top + 1) == LUA_OK;
  chaski__entry_pop(rt, &entry);
  if (!ok) report(L, &(struct failure){rt, NULL, "callback"});
  lua_settop(L, top);
  rt->current = current;
  return ok;
}

int chaski__luv_runner(lua_State *L, int nargs, int nresults, int flags) {
  (void)flags;
  int top = lua_gettop(L) - nargs - 1;
  chaski_runtime *rt = chaski__open_runtime(L);
  if (!rt || !lua_checkstack(L, LUA_MINSTACK)) {
    lua_settop(L, top);
    return 0;
  }
  chaski_task *current = rt->current;
  rt->current = NULL;
  lua_pushcfunction(L, traceback);
  lua_insert(L, top + 1);
  chaski_entry entry;
  chaski__entry_push(rt, &entry, L, NULL);
  int status = lua_pcall(L, nargs, nresults, top + 1);
  chaski__entry_pop(rt, &entry);
  if (status != LUA_OK) report(L, &(struct failure){rt, NULL, "luv callback"});
  rt->current = current;
  if (status != LUA_OK) {
    lua_settop(L, top);
    return -status;
  }
  lua_remove(L, top + 1);
  return lua_gettop(L) - top;
}
