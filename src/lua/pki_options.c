/* pki_options.c: tables of options spread over the stack. See tls_binding.h. SPDX-License-Identifier: MIT */
#include "binding.h"
#include "error.h"
#include "options.h"
#include "tls_binding.h"

#include <math.h>

#define END_OF_TIME 253402300800.0 /* s: where X.509 has no more years */

static int slot_of(const chaski__options *o, int i) {
  return o->arg + 1 + i;
}

chaski__options chaski__spread_options(lua_State *L, int arg, const char *const names[]) {
  chaski__check_options(L, arg, names);
  lua_settop(L, arg);
  for (const char *const *name = names; *name; name++) {
    luaL_checkstack(L, 8, NULL);
    lua_pushstring(L, *name);
    lua_rawget(L, arg);
  }
  return (chaski__options){L, arg, names};
}

int chaski__wrong_option(const chaski__options *o, int i, const char *expected) {
  lua_State *L = o->L;
  const char *got = luaL_typename(L, slot_of(o, i));
  if (luaL_getmetafield(L, slot_of(o, i), "__name") == LUA_TSTRING) got = lua_tostring(L, -1);
  return luaL_argerror(L, o->arg, lua_pushfstring(L, "option '%s': expected %s, got %s", o->names[i], expected, got));
}

bool chaski__has_option(const chaski__options *o, int i) {
  return !lua_isnil(o->L, slot_of(o, i));
}

chaski_slice chaski__option_bytes(const chaski__options *o, int i) {
  size_t len;
  const char *s;
  if (!chaski__has_option(o, i)) return chaski_slice_of(NULL, 0);
  if (lua_type(o->L, slot_of(o, i)) != LUA_TSTRING) chaski__wrong_option(o, i, "string");
  s = lua_tolstring(o->L, slot_of(o, i), &len);
  return chaski_slice_of(s, len);
}

const char *chaski__option_text(const chaski__options *o, int i) {
  chaski_slice s = chaski__option_bytes(o, i);
  if (s.ptr && strlen((const char *)s.ptr) != s.len) chaski__wrong_option(o, i, "string without NUL");
  return (const char *)s.ptr;
}

bool chaski__option_bool(const chaski__options *o, int i) {
  if (chaski__has_option(o, i) && !lua_isboolean(o->L, slot_of(o, i))) chaski__wrong_option(o, i, "boolean");
  return lua_toboolean(o->L, slot_of(o, i));
}

int64_t chaski__option_time(const chaski__options *o, int i) {
  double seconds;
  if (lua_type(o->L, slot_of(o, i)) != LUA_TNUMBER) chaski__wrong_option(o, i, "seconds since 1970");
  seconds = lua_tonumber(o->L, slot_of(o, i));
  if (!(seconds >= 0 && seconds < END_OF_TIME)) chaski__wrong_option(o, i, "seconds since 1970, before the year 10000");
  return (int64_t)floor(seconds);
}

void *chaski__option_object(const chaski__options *o, int i, const char *class_name) {
  void *object = luaL_testudata(o->L, slot_of(o, i), class_name);
  if (!object && chaski__has_option(o, i)) chaski__wrong_option(o, i, class_name);
  return object;
}

size_t chaski__option_count(const chaski__options *o, int i, size_t max) {
  size_t n;
  if (!chaski__has_option(o, i)) return 0;
  if (!lua_istable(o->L, slot_of(o, i))) chaski__wrong_option(o, i, "list of strings");
  n = (size_t)lua_rawlen(o->L, slot_of(o, i));
  if (n > max) {
    const char *text = "option '%s': expected at most %I strings, got %I";
    luaL_argerror(o->L, o->arg, lua_pushfstring(o->L, text, o->names[i], (LUAI_UACINT)max, (LUAI_UACINT)n));
  }
  return n;
}

static const char *item(const chaski__options *o, int i, lua_Integer at) {
  lua_State *L = o->L;
  const char *text = lua_rawgeti(L, slot_of(o, i), at) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  if (!text || strlen(text) != lua_rawlen(L, -1)) chaski__wrong_option(o, i, "list of strings without NUL");
  lua_pop(L, 1); /* the list has it */
  return text;
}

void chaski__option_texts(const chaski__options *o, int i, size_t n, const char **out) {
  for (size_t at = 0; at < n; at++) out[at] = item(o, i, (lua_Integer)at + 1);
}

int64_t chaski__wall_time(lua_State *L) {
  const chaski_env *env = chaski_loop_env(chaski__runtime(L)->loop);
  int64_t sec;
  uint32_t nsec;
  env->wall(env->ctx, &sec, &nsec);
  return sec;
}

int chaski__refused(lua_State *L, int code, const char *why) {
  lua_pushnil(L);
  chaski__push_error(L, chaski_error_name(code), "%s", why);
  return 2;
}
