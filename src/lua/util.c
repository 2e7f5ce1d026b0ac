/* util.c: argument checking and classes for the node binding, and small functions of the module: uuid, address, limits,
 * errors. SPDX-License-Identifier: MIT */
#include "../core/uuid.h"
#include "binding.h"
#include "error.h"
#include "options.h"
#include "task.h"
#include "version.h"

int chaski__fail(lua_State *L, int code, const char *what, const char *detail) {
  const char *name = chaski_error_name(code), *text = chaski_error_text(code);
  luaL_checkstack(L, 6, NULL);
  lua_pushnil(L);
  if (detail && *detail)
    chaski__push_error(L, name, "%s: %s (%s)", what, text, detail);
  else
    chaski__push_error(L, name, "%s: %s", what, text);
  return 2;
}

chaski_slice chaski__check_slice(lua_State *L, int arg) {
  size_t len;
  const char *s;
  luaL_checktype(L, arg, LUA_TSTRING);
  s = lua_tolstring(L, arg, &len);
  return chaski_slice_of(s, len);
}

#define TOPIC_SHOWN 37

const char *chaski__push_topic_fault(lua_State *L, const chaski_node *node, chaski_slice topic) {
  lua_Integer most = (lua_Integer)chaski_node_limits(node)->topic_max - 3; /* MessagePack's head of a longer string */
  bool cut = topic.len > TOPIC_SHOWN + 3;
  lua_pushlstring(L, (const char *)topic.ptr, cut ? TOPIC_SHOWN : topic.len);
  lua_pushfstring(L, "topic: expected 1..%I bytes, got '%s%s'", most, lua_tostring(L, -1), cut ? "..." : "");
  lua_remove(L, -2);
  return lua_tostring(L, -1);
}

/* --- options ---------------------------------------------------------------------------------------------------- */
static int field_error(lua_State *L, int idx, const char *field, const char *expected) {
  lua_pushfstring(L, "option '%s': expected %s, got %s", field, expected, luaL_typename(L, -1));
  return luaL_argerror(L, idx, lua_tostring(L, -1));
}

/* Push the field; false and nothing pushed if it is absent. */
static bool push_field(lua_State *L, int idx, const char *field) {
  if (!idx) return false;
  lua_pushstring(L, field);
  if (lua_rawget(L, idx) != LUA_TNIL) return true;
  lua_pop(L, 1);
  return false;
}

uint64_t chaski__opt_ns(lua_State *L, int idx, const char *field, uint64_t none) {
  double seconds;
  if (!push_field(L, idx, field)) return none;
  if (lua_type(L, -1) != LUA_TNUMBER) field_error(L, idx, field, "seconds");
  seconds = lua_tonumber(L, -1);
  if (!(seconds >= 0 && seconds <= 1e9)) field_error(L, idx, field, "seconds from 0 to 1e9");
  lua_pop(L, 1);
  return (uint64_t)(seconds * 1e9);
}

bool chaski__opt_bool(lua_State *L, int idx, const char *field, bool none) {
  bool value;
  if (!push_field(L, idx, field)) return none;
  if (!lua_isboolean(L, -1)) field_error(L, idx, field, "boolean");
  value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

int64_t chaski__opt_integer(lua_State *L, int idx, const char *field, int64_t least, int64_t most, int64_t none) {
  int isnum;
  lua_Integer value;
  if (!push_field(L, idx, field)) return none;
  value = lua_tointegerx(L, -1, &isnum);
  if (!isnum || lua_type(L, -1) != LUA_TNUMBER || value < least || value > most) {
    lua_pushfstring(L, "option '%s': expected integer %I..%I, got %s", field, (LUAI_UACINT)least, (LUAI_UACINT)most,
                    luaL_tolstring(L, -1, NULL));
    luaL_argerror(L, idx, lua_tostring(L, -1));
  }
  lua_pop(L, 1);
  return value;
}

const char *chaski__opt_string(lua_State *L, int idx, const char *field) {
  const char *value;
  if (!push_field(L, idx, field)) return NULL;
  if (lua_type(L, -1) != LUA_TSTRING) field_error(L, idx, field, "string");
  value = lua_tostring(L, -1);
  lua_pop(L, 1);
  return value;
}

chaski_edge *chaski__opt_edge(lua_State *L, int idx, const char *field) {
  chaski_edge *edge;
  if (!push_field(L, idx, field)) return NULL;
  edge = chaski__test_edge(L, -1);
  if (!edge) field_error(L, idx, field, "edge");
  lua_pop(L, 1);
  return edge;
}

int chaski__opt_table(lua_State *L, int arg, const char *const names[]) {
  if (lua_isnoneornil(L, arg)) return 0;
  chaski__check_options(L, arg, names);
  return arg;
}

/* --- classes ---------------------------------------------------------------------------------------------------- */
static int class_index(lua_State *L) { /* upvalues: methods, getters */
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(2)) == LUA_TNIL) return 1;
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

static int class_newindex(lua_State *L) { /* upvalue: the class's name */
  return luaL_error(L, "%s: field '%s' cannot be assigned", lua_tostring(L, lua_upvalueindex(1)),
                    luaL_tolstring(L, 2, NULL));
}

void chaski__hide_finalizer(lua_State *L) {
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, -3);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
  lua_pushnil(L);
  lua_setfield(L, -2, "__gc");
  lua_setfield(L, -2, "__metatable");
}

static void new_table(lua_State *L, const luaL_Reg *functions) {
  lua_newtable(L);
  if (functions) luaL_setfuncs(L, functions, 0);
}

void chaski__class(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods,
                   const luaL_Reg *getters) {
  luaL_checkstack(L, 8, NULL);
  luaL_newmetatable(L, name);
  new_table(L, methods);
  new_table(L, getters);
  lua_pushvalue(L, -2);
  lua_pushvalue(L, -2);
  lua_pushcclosure(L, class_index, 2);
  lua_setfield(L, -4, "__index");
  lua_pushstring(L, name);
  lua_pushcclosure(L, class_newindex, 1);
  lua_setfield(L, -4, "__newindex");
  lua_pushvalue(L, -3);
  if (meta) luaL_setfuncs(L, meta, 0);
  chaski__hide_finalizer(L);
  lua_pop(L, 1);
}

void chaski__weak_table(lua_State *L, const void *key) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "v");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

/* --- functions of the module ------------------------------------------------------------------------------------ */
static const chaski_env *env_of(lua_State *L) {
  return chaski_loop_env(chaski__runtime(L)->loop);
}

static int random_uuid(lua_State *L) {
  const chaski_env *env = env_of(L);
  uint8_t random[16];
  char text[CHASKI_UUID_TEXT];
  env->random(env->ctx, random, sizeof random);
  chaski_uuid_random(text, random);
  lua_pushlstring(L, text, sizeof text);
  return 1;
}

static int new_id(lua_State *L) { /* (node): a uuid that no other question of the node has */
  const chaski_lua_node *n = chaski__check_node(L, 1);
  char text[CHASKI_UUID_TEXT];
  if (!n->core) return random_uuid(L);
  chaski_node_new_id(n->core, text);
  lua_pushlstring(L, text, sizeof text);
  return 1;
}

static void push_address(lua_State *L, const chaski_address *address) {
  lua_createtable(L, 0, 3);
  if (*address->name) {
    lua_pushstring(L, address->name);
    lua_setfield(L, -2, "name");
  }
  lua_pushstring(L, address->host);
  lua_setfield(L, -2, "host");
  lua_pushinteger(L, address->port);
  lua_setfield(L, -2, "port");
}

static int parse_address(lua_State *L) {
  chaski_address address;
  const char *why;
  if (chaski_address_parse(chaski__check_slice(L, 1), &address, &why) == CHASKI_OK) {
    push_address(L, &address);
    return 1;
  }
  lua_pushnil(L);
  chaski__push_error(L, chaski_error_name(CHASKI_EADDRESS), "address '%s': %s", lua_tostring(L, 1), why);
  return 2;
}

static int report_error(lua_State *L) { /* (err, where) */
  chaski_runtime *rt = chaski__runtime(L);
  const char *where = luaL_checkstring(L, 2);
  lua_pushvalue(L, 1);
  chaski__report_error(rt, L, where);
  return 0;
}

static int push_traceback(lua_State *L) { /* (text, level): level 1 is the caller */
  chaski__push_traceback(L, L, luaL_checkstring(L, 1), (int)luaL_checkinteger(L, 2));
  return 1;
}

static int new_error(lua_State *L) { /* (code, message) */
  chaski__push_error(L, luaL_checkstring(L, 1), "%s", luaL_checkstring(L, 2));
  return 1;
}

/* (node, where, fn, ...): a task that ends with the node; false when it could not be started. If the node's world is
 * not the current one it begins when that goes on. */
static int spawn_in(lua_State *L) {
  chaski_lua_node *n = chaski__check_node(L, 1);
  const char *where = luaL_checkstring(L, 2);
  luaL_checktype(L, 3, LUA_TFUNCTION);
  if (n->core && n->world != n->rt->world) {
    lua_pushboolean(L, chaski__spawn_later(n->world, L, lua_gettop(L) - 3, where, n));
    return 1;
  }
  lua_pushboolean(L, chaski__spawn(n->rt, L, lua_gettop(L) - 3, where, NULL, n) != NULL);
  return 1;
}

static void push_row(lua_State *L, const chaski_limit_row *row) {
  lua_createtable(L, 0, 6);
  lua_pushstring(L, row->name), lua_setfield(L, -2, "name");
  lua_pushstring(L, row->unit), lua_setfield(L, -2, "unit");
  lua_pushstring(L, row->reason), lua_setfield(L, -2, "reason");
  lua_pushinteger(L, (lua_Integer)row->value), lua_setfield(L, -2, "value");
  lua_pushinteger(L, (lua_Integer)row->least), lua_setfield(L, -2, "least");
  lua_pushinteger(L, (lua_Integer)row->most), lua_setfield(L, -2, "most");
}

static int limit_rows(lua_State *L) {
  lua_newtable(L);
  for (size_t i = 0; i < chaski_limit_count; i++) {
    push_row(L, &chaski_limit_rows[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static const chaski_limit_row *check_limit(lua_State *L, int arg) {
  const char *name = luaL_checkstring(L, arg);
  for (size_t i = 0; i < chaski_limit_count; i++)
    if (strcmp(name, chaski_limit_rows[i].name) == 0) return &chaski_limit_rows[i];
  luaL_argerror(L, arg, "no limit has this name");
  return NULL;
}

static int limit_hit(lua_State *L) { /* (node, name): one that lua/chaski enforces */
  const chaski_lua_node *n = chaski__check_node(L, 1);
  const chaski_limit_row *row = check_limit(L, 2);
  if (n->core) chaski_node_limit_hit(n->core, row->offset);
  return 0;
}

static int limit(lua_State *L) { /* (node, name): the node's limit, of bytes or a count; 0 when it was closed */
  const chaski_lua_node *n = chaski__check_node(L, 1);
  const chaski_limit_row *row = check_limit(L, 2);
  uint64_t value = 0;
  if (n->core) memcpy(&value, (const char *)chaski_node_limits(n->core) + row->offset, sizeof value);
  lua_pushinteger(L, (lua_Integer)value);
  return 1;
}

void chaski__open_util(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"uuid", random_uuid},
      {"address", parse_address},
      {"report_error", report_error},
      {"spawn_in", spawn_in},
      {"limit_rows", limit_rows},
      {"new_error", new_error},
      {"limit_hit", limit_hit},
      {"limit", limit},
      {"new_id", new_id},
      {"traceback", push_traceback},
      {NULL, NULL},
  };
  luaL_setfuncs(L, functions, 0);
  lua_pushliteral(L, CHASKI_VERSION);
  lua_setfield(L, -2, "version");
}
