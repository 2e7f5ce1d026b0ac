/* pool.c: chaski.messages_pool and node.messages_pool: which messages were seen. See binding.h.
 * SPDX-License-Identifier: MIT */
#include "binding.h"

#define CLASS "chaski.messages_pool"

typedef struct pool_box { /* user value 1: the node, if it is a node's */
  chaski_pool *own;
  chaski_lua_node *node;
} pool_box;

static chaski_pool *check_pool(lua_State *L) {
  pool_box *box = luaL_checkudata(L, 1, CLASS);
  if (box->own) return box->own;
  luaL_argcheck(L, box->node && box->node->core, 1, "the node was closed for good");
  return chaski_node_pool(box->node->core);
}

static pool_box *new_box(lua_State *L) {
  pool_box *box = lua_newuserdatauv(L, sizeof *box, 1);
  *box = (pool_box){NULL, NULL};
  luaL_setmetatable(L, CLASS);
  return box;
}

static int new_pool(lua_State *L) { /* ([maxsize]) */
  lua_Integer maxsize = luaL_optinteger(L, 1, CHASKI_POOL_DEFAULT);
  pool_box *box;
  luaL_argcheck(L, maxsize >= 1 && maxsize <= 1000000, 1, "1..1000000 expected");
  box = new_box(L);
  box->own = chaski_pool_new((size_t)maxsize, CHASKI_ORIGINS_MAX);
  return box->own ? 1 : luaL_error(L, "out of memory");
}

static int node_pool(lua_State *L) { /* (node) */
  chaski_lua_node *n = chaski__open_node_arg(L, 1);
  pool_box *box = new_box(L);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  box->node = n;
  return 1;
}

static int pool_append(lua_State *L) {
  chaski_pool *pool = check_pool(L);
  chaski_slice id = chaski__check_slice(L, 2);
  int rc = chaski_pool_append(pool, id);
  if (rc == CHASKI_OK) return 0;
  return luaL_argerror(L, 2, rc == CHASKI_EINVAL ? "an id of 1..64 bytes expected" : chaski_error_text(rc));
}

static int pool_contains(lua_State *L) {
  chaski_pool *pool = check_pool(L);
  lua_pushboolean(L, chaski_pool_knows(pool, chaski__check_slice(L, 2)));
  return 1;
}

static void set_count(lua_State *L, const char *name, uint64_t count) {
  lua_pushinteger(L, (lua_Integer)count);
  lua_setfield(L, -2, name);
}

static int pool_stats(lua_State *L) {
  chaski_pool_stats s;
  chaski_pool_get_stats(check_pool(L), &s);
  lua_createtable(L, 0, 9);
  set_count(L, "ids", s.ids), set_count(L, "origins", s.origins), set_count(L, "bytes", s.bytes);
  set_count(L, "seen", s.seen), set_count(L, "stale", s.stale), set_count(L, "ahead", s.ahead);
  set_count(L, "reanchored", s.reanchored);
  set_count(L, "evicted_ids", s.evicted_ids), set_count(L, "evicted_origins", s.evicted_origins);
  return 1;
}

static int pool_len(lua_State *L) {
  chaski_pool_stats s;
  chaski_pool_get_stats(check_pool(L), &s);
  lua_pushinteger(L, (lua_Integer)s.ids);
  return 1;
}

static int pool_tostring(lua_State *L) {
  const pool_box *box = luaL_checkudata(L, 1, CLASS);
  chaski_pool_stats s;
  if (!box->own && !(box->node && box->node->core)) {
    lua_pushliteral(L, "messages_pool (closed)");
    return 1;
  }
  chaski_pool_get_stats(check_pool(L), &s);
  lua_pushfstring(L, "messages_pool(%I ids, %I origins)", (LUAI_UACINT)s.ids, (LUAI_UACINT)s.origins);
  return 1;
}

static int pool_gc(lua_State *L) {
  pool_box *box = luaL_checkudata(L, 1, CLASS);
  chaski_pool_destroy(&box->own);
  return 0;
}

void chaski__open_pool(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"append", pool_append}, {"contains", pool_contains}, {"stats", pool_stats}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__gc", pool_gc}, {"__close", pool_gc}, {"__len", pool_len}, {"__tostring", pool_tostring}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"messages_pool", new_pool}, {"node_pool", node_pool}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
  chaski__class(L, CLASS, meta, methods, NULL);
  lua_pop(L, 3);
}
