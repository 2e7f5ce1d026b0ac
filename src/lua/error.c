/* error.c: see error.h. SPDX-License-Identifier: MIT */
#include "error.h"

#include "../core/error.h"

#include <lauxlib.h>
#include <stdarg.h>

static const char error_metatable; /* its address is the key in the registry */

static int error_tostring(lua_State *L) {
  lua_settop(L, 1);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_pushliteral(L, "message");
  lua_rawget(L, 1);
  if (!lua_isstring(L, -1)) lua_pushliteral(L, "error without a message");
  return 1;
}

static int error_concat(lua_State *L) {
  lua_settop(L, 2);
  luaL_tolstring(L, 1, NULL);
  luaL_tolstring(L, 2, NULL);
  lua_concat(L, 2);
  return 1;
}

static void push_metatable(lua_State *L) {
  static const luaL_Reg methods[] = {{"__tostring", error_tostring}, {"__concat", error_concat}, {NULL, NULL}};
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &error_metatable) == LUA_TTABLE) return;
  lua_pop(L, 1);
  luaL_newlib(L, methods);
  lua_pushliteral(L, "chaski.error");
  lua_setfield(L, -2, "__name");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &error_metatable);
}

void chaski__push_error(lua_State *L, const char *code, const char *fmt, ...) {
  va_list args;
  luaL_checkstack(L, 4, NULL);
  va_start(args, fmt);
  lua_pushvfstring(L, fmt, args);
  va_end(args);
  lua_createtable(L, 0, 2);
  lua_insert(L, -2);
  lua_setfield(L, -2, "message");
  lua_pushstring(L, code);
  lua_setfield(L, -2, "code");
  push_metatable(L);
  lua_setmetatable(L, -2);
}

bool chaski__is_cancel(lua_State *L, int idx) {
  bool yes;
  idx = lua_absindex(L, idx);
  if (!lua_istable(L, idx)) return false;
  lua_pushliteral(L, "code");
  lua_rawget(L, idx);
  lua_pushstring(L, chaski_error_name(CHASKI_ECANCELLED));
  yes = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return yes;
}
