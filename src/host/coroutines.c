/* coroutines.c: coroutine.resume, wrap and close as in Lua's own library, but what they resume is seen by the watchdog:
 * a hook holds for one coroutine only. SPDX-License-Identifier: MIT */
#include "../lua/running.h"
#include "host.h"

#include <lualib.h>

static chaski_runtime *runtime;

/* What lua_resume would refuse, it would say on the coroutine, where nothing protects: without memory for the words the
 * process would end. NULL: it may be resumed. */
static const char *refusal_of(lua_State *co) {
  lua_Debug ar;
  int status = lua_status(co);
  if (status == LUA_YIELD) return NULL;
  if (status == LUA_OK && lua_getstack(co, 0, &ar)) return "cannot resume non-suspended coroutine";
  return status == LUA_OK && lua_gettop(co) > 0 ? NULL : "cannot resume dead coroutine";
}

/* Number of results, on L; or -1 and the error, on L. */
static int resume(lua_State *L, lua_State *co, int nargs) {
  int nresults;
  chaski_entry entry;
  const char *refusal = refusal_of(co);
  if (refusal) {
    lua_pushstring(L, refusal);
    return -1;
  }
  if (!lua_checkstack(co, nargs)) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  lua_xmove(L, co, nargs);
  chaski__entry_push(runtime, &entry, co, NULL);
  int status = lua_resume(co, L, nargs, &nresults);
  chaski__entry_pop(runtime, &entry);
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(co, L, 1);
    return -1;
  }
  if (!lua_checkstack(L, nresults + 1)) {
    lua_pop(co, nresults);
    lua_pushliteral(L, "too many results to resume");
    return -1;
  }
  lua_xmove(co, L, nresults);
  return nresults;
}

static int l_resume(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  luaL_argexpected(L, co, 1, "coroutine");
  int n = resume(L, co, lua_gettop(L) - 1);
  lua_pushboolean(L, n >= 0);
  lua_insert(L, n < 0 ? -2 : -(n + 1));
  return n < 0 ? 2 : n + 1;
}

/* What is to be closed in it is run by the reset, and may take its time as well. */
static int reset(lua_State *co) {
  chaski_entry entry;
  chaski__entry_push(runtime, &entry, co, NULL);
  int status = lua_resetthread(co);
  chaski__entry_pop(runtime, &entry);
  return status;
}

static int raise_error(lua_State *L, lua_State *co) {
  int status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) {
    status = reset(co);
    lua_xmove(co, L, 1);
  }
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int call_wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int n = resume(L, co, lua_gettop(L));
  return n < 0 ? raise_error(L, co) : n;
}

static int l_wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, call_wrapped, 1);
  return 1;
}

/* Upvalue: Lua's own. */
static int l_close(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  chaski_entry entry;
  luaL_argexpected(L, co, 1, "coroutine");
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  chaski__entry_push(runtime, &entry, co, NULL);
  int status = lua_pcall(L, 1, LUA_MULTRET, 0);
  chaski__entry_pop(runtime, &entry);
  return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

void host_open_coroutines(lua_State *L, chaski_runtime *rt) {
  static const luaL_Reg functions[] = {{"resume", l_resume}, {"wrap", l_wrap}, {NULL, NULL}};
  runtime = rt;
  lua_getglobal(L, LUA_COLIBNAME);
  luaL_setfuncs(L, functions, 0);
  lua_getfield(L, -1, "close");
  lua_pushcclosure(L, l_close, 1);
  lua_setfield(L, -2, "close");
  lua_pop(L, 1);
}
