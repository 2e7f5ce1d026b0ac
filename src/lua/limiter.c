/* limiter.c: token buckets by key, for what peers may ask for a second. Bounded: keys not used for a while are dropped.
 * A bucket is one number: since when it would have been filling, had it been empty then. See limiter.h.
 * SPDX-License-Identifier: MIT */
#include "limiter.h"

#include "binding.h"

#define CLASS "chaski.buckets"
#define KEYS_MAX 4096
#define RATE_LEAST 0.01 /* with the next: the time that filling takes fits into 63 bits of ns */
#define BURST_MOST 1e7

typedef struct buckets { /* user value 1: key -> ns of the clock */
  double rate, burst;    /* tokens a second; at most */
  lua_Integer count;     /* of keys */
} buckets;

static buckets *check_buckets(lua_State *L) {
  return luaL_checkudata(L, 1, CLASS);
}

static int64_t now_of(const chaski_runtime *rt) {
  const chaski_env *env = chaski_loop_env(rt->loop);
  return (int64_t)env->now(env->ctx);
}

/* ns */
static int64_t token_time(const buckets *b) {
  return (int64_t)((double)CHASKI_S / b->rate);
}

/* ns; as many tokens exactly as a bucket holds */
static int64_t filling_time(const buckets *b) {
  return (int64_t)(b->burst * (double)token_time(b));
}

/* Drop the buckets that are full again: they say nothing. Their table is on top. */
static void sweep(lua_State *L, buckets *b, int64_t now) {
  for (lua_pushnil(L); lua_next(L, -2);) {
    bool full = now - lua_tointeger(L, -1) >= filling_time(b);
    lua_pop(L, 1);
    if (!full) continue;
    lua_pushvalue(L, -1);
    lua_pushnil(L);
    lua_rawset(L, -4);
    b->count--;
  }
}

static bool has_room(lua_State *L, buckets *b, int64_t now) {
  if (b->count >= KEYS_MAX) sweep(L, b, now);
  return b->count < KEYS_MAX;
}

/* The bucket of the key at idx, as it is at this time; the table is on top. False: there are too many. */
static bool find_bucket(lua_State *L, buckets *b, int idx, int64_t now, int64_t *since) {
  int64_t full = now - filling_time(b);
  lua_pushvalue(L, idx);
  bool known = lua_rawget(L, -2) == LUA_TNUMBER;
  *since = known ? lua_tointeger(L, -1) : full;
  lua_pop(L, 1);
  if (*since < full) *since = full;
  if (known) return true;
  if (!has_room(L, b, now)) return false;
  b->count++;
  return true;
}

bool chaski__take_token(lua_State *L, const chaski_runtime *rt, int idx) {
  buckets *b = lua_touserdata(L, idx);
  int key = lua_gettop(L);
  int64_t now = now_of(rt), since;
  bool taken;
  luaL_checkstack(L, 6, NULL);
  lua_getiuservalue(L, idx, 1);
  taken = find_bucket(L, b, key, now, &since);
  if (taken) {
    taken = now - since >= token_time(b);
    lua_pushvalue(L, key);
    lua_pushinteger(L, taken ? since + token_time(b) : since);
    lua_rawset(L, -3);
  }
  lua_settop(L, key - 1);
  return taken;
}

/* buckets:take(key) -> whether there was a token */
static int take(lua_State *L) {
  check_buckets(L);
  luaL_checkany(L, 2);
  lua_settop(L, 2);
  lua_pushboolean(L, chaski__take_token(L, chaski__runtime(L), 1));
  return 1;
}

/* buckets:forget(key) */
static int forget(lua_State *L) {
  buckets *b = check_buckets(L);
  lua_settop(L, 2);
  lua_getiuservalue(L, 1, 1);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, 3) == LUA_TNIL) return 0;
  lua_pushvalue(L, 2);
  lua_pushnil(L);
  lua_rawset(L, 3);
  b->count--;
  return 0;
}

static int get_count(lua_State *L) {
  lua_pushinteger(L, check_buckets(L)->count);
  return 1;
}

static int get_rate(lua_State *L) {
  lua_pushnumber(L, check_buckets(L)->rate);
  return 1;
}

static int get_burst(lua_State *L) {
  lua_pushnumber(L, check_buckets(L)->burst);
  return 1;
}

static double check_between(lua_State *L, int arg, double least, double most) {
  double value = luaL_checknumber(L, arg);
  luaL_argcheck(L, value >= least && value <= most, arg, "out of range");
  return value;
}

/* buckets.rate, buckets.burst = ... */
static int set_field(lua_State *L) {
  buckets *b = check_buckets(L);
  const char *field = luaL_checkstring(L, 2);
  if (strcmp(field, "rate") == 0)
    b->rate = check_between(L, 3, RATE_LEAST, (double)CHASKI_S);
  else if (strcmp(field, "burst") == 0)
    b->burst = check_between(L, 3, 1, BURST_MOST);
  else
    return luaL_error(L, CLASS ": field '%s' cannot be assigned", field);
  return 0;
}

/* (rate, burst): tokens a second, and at most */
static int new_buckets(lua_State *L) {
  double rate = check_between(L, 1, RATE_LEAST, (double)CHASKI_S), burst = check_between(L, 2, 1, BURST_MOST);
  buckets *b = lua_newuserdatauv(L, sizeof *b, 1);
  *b = (buckets){rate, burst, 0};
  lua_newtable(L);
  lua_setiuservalue(L, -2, 1);
  luaL_setmetatable(L, CLASS);
  return 1;
}

void chaski__open_limiter(lua_State *L) {
  static const luaL_Reg functions[] = {{"new_buckets", new_buckets}, {NULL, NULL}};
  static const luaL_Reg meta[] = {{"__newindex", set_field}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"take", take}, {"forget", forget}, {NULL, NULL}};
  static const luaL_Reg getters[] = {{"count", get_count}, {"rate", get_rate}, {"burst", get_burst}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
  chaski__class(L, CLASS, meta, methods, getters);
  lua_pop(L, 3);
}
