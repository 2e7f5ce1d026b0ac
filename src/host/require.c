/* require.c: require as in Lua 5.4, but yieldable: a module's main chunk may call what waits. Knows nothing of tasks.
 * SPDX-License-Identifier: MIT */
#include "host.h"

/* Upvalues of require. */
#define PACKAGE lua_upvalueindex(1)
#define LOADING lua_upvalueindex(2) /* set of the names being loaded */

/* Stack of require. */
enum { NAME = 1, LOADED, MARK, LOADER, DATA };

/* The searchers' messages are collected in the string on top. Pushes loader and its data. */
static void find_loader(lua_State *L) {
  if (lua_getfield(L, PACKAGE, "searchers") != LUA_TTABLE) luaL_error(L, "'package.searchers' must be a table");
  int searchers = lua_gettop(L);
  lua_pushliteral(L, "");
  for (int i = 1; lua_rawgeti(L, searchers, i) != LUA_TNIL; i++) {
    lua_pushvalue(L, NAME);
    lua_call(L, 1, 2);
    if (lua_isfunction(L, -2)) {
      lua_replace(L, searchers + 1);
      lua_replace(L, searchers);
      return;
    }
    lua_pop(L, 1);
    if (lua_isstring(L, -1))
      lua_pushfstring(L, "%s\n\t%s", lua_tostring(L, -2), lua_tostring(L, -1));
    else
      lua_pushvalue(L, -2);
    lua_replace(L, searchers + 1);
    lua_settop(L, searchers + 1);
  }
  luaL_error(L, "module '%s' not found:%s", lua_tostring(L, NAME), lua_tostring(L, searchers + 1));
}

/* __close of the mark: the module is loaded, or loading it has failed. */
static int unmark(lua_State *L) {
  lua_getiuservalue(L, 1, 1); /* the set */
  lua_getiuservalue(L, 1, 2);
  lua_pushnil(L);
  lua_rawset(L, -3);
  return 0;
}

static void mark(lua_State *L) {
  lua_pushvalue(L, NAME);
  if (lua_rawget(L, LOADING) != LUA_TNIL)
    luaL_error(L, "module '%s' is still being loaded (it requires itself, or another task has not finished loading it)",
               lua_tostring(L, NAME));
  lua_pop(L, 1);
  lua_newuserdatauv(L, 0, 2);
  lua_pushvalue(L, LOADING);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, NAME);
  lua_setiuservalue(L, -2, 2);
  if (luaL_newmetatable(L, "chaski.loading")) {
    lua_pushcfunction(L, unmark);
    lua_setfield(L, -2, "__close");
  }
  lua_setmetatable(L, -2);
  lua_toclose(L, MARK);
  lua_pushvalue(L, NAME);
  lua_pushboolean(L, true);
  lua_rawset(L, LOADING);
}

/* The loader's result is on top. */
static int loaded(lua_State *L, int status, lua_KContext ctx) {
  (void)status, (void)ctx;
  const char *name = lua_tostring(L, NAME);
  if (!lua_isnil(L, -1))
    lua_setfield(L, LOADED, name);
  else
    lua_pop(L, 1);
  if (lua_getfield(L, LOADED, name) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_pushboolean(L, true);
    lua_pushvalue(L, -1);
    lua_setfield(L, LOADED, name);
  }
  lua_pushvalue(L, DATA);
  return 2;
}

static int require(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  lua_settop(L, NAME);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, LOADED, name);
  if (lua_toboolean(L, -1)) return 1;
  lua_pop(L, 1);
  mark(L);
  find_loader(L);
  lua_pushvalue(L, LOADER);
  lua_pushvalue(L, NAME);
  lua_pushvalue(L, DATA);
  lua_callk(L, 2, 1, 0, loaded);
  return loaded(L, LUA_OK, 0);
}

void host_open_require(lua_State *L) {
  lua_getglobal(L, "package");
  lua_newtable(L);
  lua_pushcclosure(L, require, 2);
  lua_setglobal(L, "require");
}
