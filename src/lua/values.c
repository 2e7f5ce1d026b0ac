/* values.c: what Lua has no type for: null, marked tables, strings of a forced type, extensions.
 * Metatables lie in the registry under the addresses below, so they are found without names and per state.
 * SPDX-License-Identifier: MIT */
#include "codec.h"

#include <lauxlib.h>

static const char kind_keys[CHASKI_KINDS], null_key;

static const char *const kind_names[CHASKI_KINDS] = {"chaski.null", "chaski.bin",   "chaski.str", "chaski.timestamp",
                                                     "chaski.ext",  "chaski.array", "chaski.map"};

static int null_tostring(lua_State *L) {
  lua_pushstring(L, kind_names[CHASKI_KIND_NULL]);
  return 1;
}

static chaski_kind wrapper_kind(lua_State *L, int idx) {
  static const chaski_kind wrappers[] = {CHASKI_KIND_BIN, CHASKI_KIND_STR, CHASKI_KIND_EXT};
  for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++)
    if (chaski__is_kind(L, idx, wrappers[i])) return wrappers[i];
  return CHASKI_KINDS;
}

static chaski_kind check_wrapper(lua_State *L, int arg) {
  chaski_kind kind = wrapper_kind(L, arg);
  if (kind == CHASKI_KINDS) luaL_typeerror(L, arg, "chaski.bin, chaski.str or chaski.ext");
  return kind;
}

static int wrapper_tostring(lua_State *L) {
  if (check_wrapper(L, 1) != CHASKI_KIND_EXT) {
    lua_getiuservalue(L, 1, 1);
    return 1;
  }
  lua_pushfstring(L, "chaski.ext(%d, %I bytes)", chaski__ext_type(L, 1), (lua_Integer)chaski__content(L, 1).len);
  return 1;
}

static int wrapper_len(lua_State *L) {
  check_wrapper(L, 1);
  lua_pushinteger(L, (lua_Integer)chaski__content(L, 1).len);
  return 1;
}

static int wrapper_eq(lua_State *L) {
  chaski_kind kind = wrapper_kind(L, 1); /* either operand may be another's userdata */
  bool equal = kind != CHASKI_KINDS && wrapper_kind(L, 2) == kind;
  equal = equal && chaski_slice_equal(chaski__content(L, 1), chaski__content(L, 2));
  if (equal && kind == CHASKI_KIND_EXT) equal = chaski__ext_type(L, 1) == chaski__ext_type(L, 2);
  lua_pushboolean(L, equal);
  return 1;
}

static int ext_index(lua_State *L) {
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (check_wrapper(L, 1) != CHASKI_KIND_EXT) return 0;
  if (strcmp(key, "type") == 0)
    lua_pushinteger(L, chaski__ext_type(L, 1));
  else if (strcmp(key, "bytes") == 0)
    lua_getiuservalue(L, 1, 1);
  else
    lua_pushnil(L);
  return 1;
}

static void set_methods(lua_State *L, chaski_kind kind) {
  static const luaL_Reg null_methods[] = {{"__tostring", null_tostring}, {NULL, NULL}};
  static const luaL_Reg wrapper_methods[] = {
      {"__tostring", wrapper_tostring}, {"__len", wrapper_len}, {"__eq", wrapper_eq}, {NULL, NULL}};
  static const luaL_Reg ext_methods[] = {{"__index", ext_index}, {NULL, NULL}};
  switch (kind) {
  case CHASKI_KIND_NULL:
    luaL_setfuncs(L, null_methods, 0);
    break;
  case CHASKI_KIND_TIMESTAMP:
    chaski__timestamp_methods(L);
    break;
  case CHASKI_KIND_EXT:
    luaL_setfuncs(L, ext_methods, 0); /* fall through */
  case CHASKI_KIND_BIN:
  case CHASKI_KIND_STR:
    luaL_setfuncs(L, wrapper_methods, 0);
    break;
  case CHASKI_KIND_ARRAY:
  case CHASKI_KIND_MAP:
  case CHASKI_KINDS:
    break;
  }
}

void chaski__push_metatable(lua_State *L, chaski_kind kind) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &kind_keys[kind]) == LUA_TTABLE) return;
  lua_pop(L, 1);
  luaL_checkstack(L, 4, NULL);
  lua_newtable(L);
  lua_pushstring(L, kind_names[kind]);
  lua_setfield(L, -2, "__name");
  set_methods(L, kind);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &kind_keys[kind]);
}

void chaski__kinds(lua_State *L, const void *metatables[CHASKI_KINDS]) {
  for (int kind = 0; kind < CHASKI_KINDS; kind++) {
    chaski__push_metatable(L, (chaski_kind)kind);
    metatables[kind] = lua_topointer(L, -1);
    lua_pop(L, 1);
  }
}

bool chaski__is_kind(lua_State *L, int idx, chaski_kind kind) {
  bool same;
  if (lua_type(L, idx) != LUA_TUSERDATA || !lua_getmetatable(L, idx)) return false;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &kind_keys[kind]);
  same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same;
}

void chaski__push_null(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &null_key) == LUA_TUSERDATA) return;
  lua_pop(L, 1);
  lua_newuserdatauv(L, 0, 0);
  chaski__push_metatable(L, CHASKI_KIND_NULL);
  lua_setmetatable(L, -2);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &null_key);
}

void chaski__mark(lua_State *L, int idx, chaski_kind kind) {
  idx = lua_absindex(L, idx);
  chaski__push_metatable(L, kind);
  lua_setmetatable(L, idx);
}

void chaski__wrap(lua_State *L, chaski_kind kind) {
  lua_newuserdatauv(L, 0, 1);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, 1);
  chaski__push_metatable(L, kind);
  lua_setmetatable(L, -2);
}

static void wrap_ext(lua_State *L, int type) {
  *(int *)lua_newuserdatauv(L, sizeof(int), 1) = type;
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, 1);
  chaski__push_metatable(L, CHASKI_KIND_EXT);
  lua_setmetatable(L, -2);
}

void chaski__push_ext(lua_State *L, int type, chaski_slice bytes) {
  lua_pushlstring(L, (const char *)bytes.ptr, bytes.len);
  wrap_ext(L, type);
}

int chaski__ext_type(lua_State *L, int idx) {
  return *(const int *)lua_touserdata(L, idx);
}

chaski_slice chaski__content(lua_State *L, int idx) {
  chaski_slice content;
  lua_getiuservalue(L, idx, 1);
  content.ptr = (const uint8_t *)lua_tolstring(L, -1, &content.len);
  lua_pop(L, 1);
  return content;
}

/* The table given, or a new one; a mark may replace the other mark, but not somebody's metatable. */
static int mark_argument(lua_State *L, chaski_kind kind) {
  const void *metatables[CHASKI_KINDS], *mine;
  if (lua_isnone(L, 1)) lua_newtable(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  chaski__kinds(L, metatables);
  mine = lua_getmetatable(L, 1) ? lua_topointer(L, -1) : NULL;
  if (mine && mine != metatables[CHASKI_KIND_ARRAY] && mine != metatables[CHASKI_KIND_MAP])
    luaL_argerror(L, 1, "the table has a metatable already");
  chaski__mark(L, 1, kind);
  lua_settop(L, 1);
  return 1;
}

int chaski__l_array(lua_State *L) {
  return mark_argument(L, CHASKI_KIND_ARRAY);
}

int chaski__l_map(lua_State *L) {
  return mark_argument(L, CHASKI_KIND_MAP);
}

static int wrap_argument(lua_State *L, chaski_kind kind) {
  luaL_checktype(L, 1, LUA_TSTRING);
  lua_settop(L, 1);
  chaski__wrap(L, kind);
  return 1;
}

int chaski__l_bin(lua_State *L) {
  return wrap_argument(L, CHASKI_KIND_BIN);
}

int chaski__l_str(lua_State *L) {
  return wrap_argument(L, CHASKI_KIND_STR);
}

int chaski__l_ext(lua_State *L) {
  lua_Integer type = luaL_checkinteger(L, 1);
  luaL_argcheck(L, type >= -128 && type <= 127, 1, "-128 to 127 expected");
  luaL_argcheck(L, type != -1, 1, "type -1 is the timestamp: use chaski.timestamp");
  luaL_checktype(L, 2, LUA_TSTRING);
  lua_settop(L, 2);
  wrap_ext(L, (int)type);
  return 1;
}
