/* codec.c: chaski.pack, chaski.unpack and the table that holds them and the constructors. Checks arguments and options.
 * SPDX-License-Identifier: MIT */
#include "binding.h"
#include "options.h"

#include <lauxlib.h>

#define LIMIT_MOST UINT32_MAX

/* 0, the default, if the option is not there. */
static uint32_t limit_option(lua_State *L, int arg, const char *name, lua_Integer most) {
  lua_Integer value = 0;
  int integer = 1;
  if (lua_getfield(L, arg, name) != LUA_TNIL) {
    value = lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &integer) : 0;
    if (!integer || value < 1 || value > most)
      luaL_argerror(L, arg, lua_pushfstring(L, "option '%s': an integer from 1 to %I expected", name, most));
  }
  lua_pop(L, 1);
  return (uint32_t)value;
}

static chaski_strings strings_option(lua_State *L, int arg) {
  static const char *const names[] = {"auto", "str", "bin"};
  int found = 0, type = lua_getfield(L, arg, "strings");
  const char *value = type == LUA_TSTRING ? lua_tostring(L, -1) : "";
  while (type != LUA_TNIL && found < 3 && strcmp(value, names[found]) != 0) found++;
  if (found == 3) luaL_argerror(L, arg, "option 'strings': \"auto\", \"str\" or \"bin\" expected");
  lua_pop(L, 1);
  return (chaski_strings)found;
}

static bool boolean_option(lua_State *L, int arg, const char *name) {
  int type = lua_getfield(L, arg, name);
  bool value = lua_toboolean(L, -1);
  if (type != LUA_TNIL && type != LUA_TBOOLEAN)
    luaL_argerror(L, arg, lua_pushfstring(L, "option '%s': a boolean expected", name));
  lua_pop(L, 1);
  return value;
}

static chaski_pack_options pack_options(lua_State *L, int arg) {
  static const char *const names[] = {"strings", "sort_keys", "depth", "count", "tables", "key_size", "size", NULL};
  chaski_pack_options o = {0};
  chaski__check_options(L, arg, names);
  o.strings = strings_option(L, arg);
  o.sort_keys = boolean_option(L, arg, "sort_keys");
  o.depth = limit_option(L, arg, "depth", CHASKI_CODEC_DEPTH_MAX);
  o.count = limit_option(L, arg, "count", LIMIT_MOST);
  o.tables = limit_option(L, arg, "tables", LIMIT_MOST);
  o.key_size = limit_option(L, arg, "key_size", LIMIT_MOST);
  o.size = limit_option(L, arg, "size", LIMIT_MOST);
  return o;
}

static chaski_unpack_options unpack_options(lua_State *L, int arg) {
  static const char *const names[] = {"strings", "depth", "count", "tables", "key_size", NULL};
  chaski_unpack_options o = {0};
  chaski__check_options(L, arg, names);
  o.strings = strings_option(L, arg);
  o.depth = limit_option(L, arg, "depth", CHASKI_CODEC_DEPTH_MAX);
  o.count = limit_option(L, arg, "count", LIMIT_MOST);
  o.tables = limit_option(L, arg, "tables", LIMIT_MOST);
  o.key_size = limit_option(L, arg, "key_size", LIMIT_MOST);
  return o;
}

/* One packer serves all calls: nothing in Lua runs between its start and the copy into the result. */
static int l_pack(lua_State *L) {
  chaski_packer *p = lua_touserdata(L, lua_upvalueindex(1));
  chaski_pack_options options = {0};
  luaL_checkany(L, 1);
  if (!lua_isnoneornil(L, 2)) options = pack_options(L, 2);
  options.sort_keys = options.sort_keys || chaski__simulated(L);
  if (chaski__pack(L, 1, p, &options, "value") != 0) {
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
  }
  lua_pushlstring(L, (const char *)p->ptr, p->len);
  return 1;
}

static int l_unpack(lua_State *L) {
  chaski_unpack_options options = {0};
  size_t len;
  const char *bytes;
  luaL_checktype(L, 1, LUA_TSTRING);
  bytes = lua_tolstring(L, 1, &len);
  if (!lua_isnoneornil(L, 2)) options = unpack_options(L, 2);
  if (chaski__unpack(L, chaski_slice_of(bytes, len), &options) == 0) return 1;
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

int chaski__open_codec(lua_State *L) {
  static const luaL_Reg functions[] = {{"array", chaski__l_array}, {"map", chaski__l_map},
                                       {"bin", chaski__l_bin},     {"str", chaski__l_str},
                                       {"ext", chaski__l_ext},     {"timestamp", chaski__l_timestamp},
                                       {"unpack", l_unpack},       {NULL, NULL}};
  luaL_checkstack(L, 8, NULL);
  luaL_newlib(L, functions);
  chaski__packer_new(L);
  lua_pushcclosure(L, l_pack, 1);
  lua_setfield(L, -2, "pack");
  chaski__push_null(L);
  lua_setfield(L, -2, "null");
  return 1;
}
