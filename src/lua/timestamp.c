/* timestamp.c: chaski.timestamp, a moment in UTC to the nanosecond, the value of MessagePack's extension -1. Immutable.
 * Reads no clock.
 * SPDX-License-Identifier: MIT */
#include "codec.h"

#include <inttypes.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>

#define NSEC_MAX 999999999
#define DAY 86400

typedef struct timestamp {
  int64_t sec;
  uint32_t nsec;
} timestamp;

void chaski__push_timestamp(lua_State *L, int64_t sec, uint32_t nsec) {
  timestamp *t = lua_newuserdatauv(L, sizeof *t, 0);
  t->sec = sec, t->nsec = nsec;
  chaski__push_metatable(L, CHASKI_KIND_TIMESTAMP);
  lua_setmetatable(L, -2);
}

bool chaski__to_timestamp(lua_State *L, int idx, int64_t *sec, uint32_t *nsec) {
  const timestamp *t;
  if (!chaski__is_kind(L, idx, CHASKI_KIND_TIMESTAMP)) return false;
  t = lua_touserdata(L, idx);
  *sec = t->sec, *nsec = t->nsec;
  return true;
}

static timestamp check(lua_State *L, int arg) {
  timestamp t = {0, 0};
  if (!chaski__to_timestamp(L, arg, &t.sec, &t.nsec)) luaL_typeerror(L, arg, "chaski.timestamp");
  return t;
}

typedef struct date {
  int64_t year;
  int month, day;
} date;

/* The proleptic Gregorian date of a day counted from 1970-01-01. Years begin in March here, so that the leap day is the
 * last; 146097 days are 400 years. */
static date date_of(int64_t days) {
  int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
  int64_t day_of_era = z - era * 146097;
  int64_t year = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  int64_t day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
  int month = (int)((5 * day_of_year + 2) / 153);
  date d = {year + era * 400, month < 10 ? month + 3 : month - 9, (int)(day_of_year - (153 * month + 2) / 5 + 1)};
  if (d.month <= 2) d.year++;
  return d;
}

static void push_fraction(lua_State *L, uint32_t nsec) {
  char digits[16] = "";
  int len = nsec ? snprintf(digits, sizeof digits, ".%09" PRIu32, nsec) : 0;
  while (len > 0 && digits[len - 1] == '0') len--;
  lua_pushlstring(L, digits, (size_t)len);
}

static int timestamp_tostring(lua_State *L) {
  timestamp t = check(L, 1);
  int second = (int)(t.sec % DAY);
  int64_t days = t.sec / DAY;
  char text[64];
  date d;
  if (second < 0) second += DAY, days--;
  d = date_of(days);
  snprintf(text, sizeof text,
           d.year >= 0 && d.year <= 9999 ? "%04" PRId64 "-%02d-%02dT%02d:%02d:%02d"
                                         : "%+05" PRId64 "-%02d-%02dT%02d:%02d:%02d",
           d.year, d.month, d.day, second / 3600, second / 60 % 60, second % 60);
  lua_pushstring(L, text);
  push_fraction(L, t.nsec);
  lua_pushliteral(L, "Z");
  lua_concat(L, 3);
  return 1;
}

static int compare(lua_State *L) {
  timestamp a = check(L, 1), b = check(L, 2);
  if (a.sec != b.sec) return a.sec < b.sec ? -1 : 1;
  return (a.nsec > b.nsec) - (a.nsec < b.nsec);
}

static int timestamp_eq(lua_State *L) {
  bool both = chaski__is_kind(L, 1, CHASKI_KIND_TIMESTAMP) && chaski__is_kind(L, 2, CHASKI_KIND_TIMESTAMP);
  lua_pushboolean(L, both && compare(L) == 0);
  return 1;
}

static int timestamp_lt(lua_State *L) {
  lua_pushboolean(L, compare(L) < 0);
  return 1;
}

static int timestamp_le(lua_State *L) {
  lua_pushboolean(L, compare(L) <= 0);
  return 1;
}

static int timestamp_seconds(lua_State *L) {
  timestamp t = check(L, 1);
  lua_pushnumber(L, (lua_Number)t.sec + (lua_Number)t.nsec / 1e9);
  return 1;
}

static int timestamp_index(lua_State *L) {
  timestamp t = check(L, 1);
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (strcmp(key, "sec") == 0)
    lua_pushinteger(L, t.sec);
  else if (strcmp(key, "nsec") == 0)
    lua_pushinteger(L, t.nsec);
  else if (strcmp(key, "seconds") == 0)
    lua_pushcfunction(L, timestamp_seconds);
  else
    lua_pushnil(L);
  return 1;
}

void chaski__timestamp_methods(lua_State *L) {
  static const luaL_Reg methods[] = {{"__tostring", timestamp_tostring},
                                     {"__index", timestamp_index},
                                     {"__eq", timestamp_eq},
                                     {"__lt", timestamp_lt},
                                     {"__le", timestamp_le},
                                     {NULL, NULL}};
  luaL_setfuncs(L, methods, 0);
}

/* A float's fraction becomes nanoseconds. */
static int from_float(lua_State *L, lua_Number seconds) {
  lua_Number whole = floor(seconds), nsec = round((seconds - whole) * 1e9);
  luaL_argcheck(L, whole >= -0x1p63 && whole < 0x1p63, 1, "number out of range");
  if (nsec > NSEC_MAX) whole++, nsec = 0;
  chaski__push_timestamp(L, (int64_t)whole, (uint32_t)nsec);
  return 1;
}

int chaski__l_timestamp(lua_State *L) {
  lua_Integer nsec;
  luaL_checktype(L, 1, LUA_TNUMBER);
  if (lua_isnoneornil(L, 2) && !lua_isinteger(L, 1)) return from_float(L, lua_tonumber(L, 1));
  nsec = luaL_optinteger(L, 2, 0);
  luaL_argcheck(L, nsec >= 0 && nsec <= NSEC_MAX, 2, "0 to 999999999 nanoseconds expected");
  chaski__push_timestamp(L, luaL_checkinteger(L, 1), (uint32_t)nsec);
  return 1;
}
