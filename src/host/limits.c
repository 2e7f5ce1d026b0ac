/* limits.c: what Lua may take of the process, memory and time: read from options, environment and scripts. The module
 * chaski.host, which only the host program has. SPDX-License-Identifier: MIT */
#include "host.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY ((size_t)256 * 1024 * 1024) /* RELIABILITY 3 */
#define WARN 0.1
#define LIMIT 1.0
#define SECONDS_MAX 1e6

/* 1048576, 512K, 256M, 1.5G, with or without iB or B behind; "0" and "off": none. */
static const char *read_size(const char *text, size_t *bytes) {
  static const char units[] = "kKmMgGtT";
  static const char wrong[] = "is no size: a number of bytes, or of K, M or G";
  char *end;
  double value = strtod(text, &end);
  const char *unit = *end ? strchr(units, *end) : NULL;
  if (strcmp(text, "off") == 0)
    value = 0;
  else if (end == text || !(value >= 0))
    return wrong;
  else {
    if (unit) value = ldexp(value, 10 * (1 + (int)(unit - units) / 2)), end++;
    if (unit && *end == 'i') end++;
    if (*end == 'B') end++;
    if (*end) return wrong;
  }
  *bytes = value >= 0x1p62 || value < 1 ? SIZE_MAX : (size_t)value;
  return NULL;
}

static const char *read_seconds(const char *text, double *seconds) {
  char *end;
  double value = strcmp(text, "off") == 0 ? (end = "", 0) : strtod(text, &end);
  if (end == text || *end || !(value >= 0 && value <= SECONDS_MAX)) return "is no number of seconds";
  *seconds = value;
  return NULL;
}

static double *seconds_of(host_limits *l, const char *name) {
  if (strcmp(name, "handler-warn") == 0) return &l->handler_warn;
  if (strcmp(name, "handler-limit") == 0) return &l->handler_limit;
  return strcmp(name, "handler-abort") == 0 ? &l->abort : NULL;
}

const char *host_limits_read(host_limits *l, const char *name, const char *text) {
  if (strcmp(name, "memory-limit") == 0) return read_size(text, &l->memory);
  return read_seconds(text, seconds_of(l, name));
}

static void from_environment(host_limits *l, const char *variable, const char *name) {
  const char *text = getenv(variable), *why = text ? host_limits_read(l, name, text) : NULL;
  if (why) fprintf(stderr, HOST_NAME ": %s: '%s' %s, the default is used\n", variable, text, why);
}

void host_limits_init(host_limits *l, bool with_env) {
  *l = (host_limits){.memory = MEMORY, .handler_warn = WARN, .handler_limit = LIMIT};
  if (!with_env) return;
  from_environment(l, "CHASKI_MEMORY_LIMIT", "memory-limit");
  from_environment(l, "CHASKI_HANDLER_WARN", "handler-warn");
  from_environment(l, "CHASKI_HANDLER_LIMIT", "handler-limit");
  from_environment(l, "CHASKI_HANDLER_ABORT", "handler-abort");
}

/* --- the module ------------------------------------------------------------------------------------------------------
 */

/* memory_limit([bytes]) -> limit in bytes, bytes in use; 0: none */
static int l_memory_limit(lua_State *L) {
  if (!lua_isnoneornil(L, 1)) {
    lua_Integer bytes = luaL_checkinteger(L, 1);
    luaL_argcheck(L, bytes >= 0, 1, "bytes expected, or 0 for no limit");
    host_limit_memory(bytes ? (size_t)bytes : SIZE_MAX);
  }
  lua_pushinteger(L, host_memory_limit() == SIZE_MAX ? 0 : (lua_Integer)host_memory_limit());
  lua_pushinteger(L, (lua_Integer)host_memory_used());
  return 2;
}

static void set_seconds(lua_State *L, const char *name, double *seconds) {
  if (lua_getfield(L, 1, name) != LUA_TNIL) {
    double value = luaL_checknumber(L, -1);
    luaL_argcheck(L, value >= 0 && value <= SECONDS_MAX, 1, "seconds expected, or 0 for never");
    *seconds = value;
  }
  lua_pop(L, 1);
}

/* handler_limits([{ warn =, limit =, abort = }]) -> the same, and { warned =, stopped = }: how often */
static int l_handler_limits(lua_State *L) {
  host_limits l;
  host_watchdog_get(&l);
  if (!lua_isnoneornil(L, 1)) {
    luaL_checktype(L, 1, LUA_TTABLE);
    set_seconds(L, "warn", &l.handler_warn);
    set_seconds(L, "limit", &l.handler_limit);
    set_seconds(L, "abort", &l.abort);
    host_watchdog_set(&l);
  }
  const struct field {
    const char *name;
    double seconds;
  } fields[] = {{"warn", l.handler_warn}, {"limit", l.handler_limit}, {"abort", l.abort}};
  lua_createtable(L, 0, 5);
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    lua_pushnumber(L, fields[i].seconds);
    lua_setfield(L, -2, fields[i].name);
  }
  lua_pushinteger(L, (lua_Integer)host_watchdog_warnings());
  lua_setfield(L, -2, "warned");
  lua_pushinteger(L, (lua_Integer)host_watchdog_stopped());
  lua_setfield(L, -2, "stopped");
  return 1;
}

int host_open_limits(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"memory_limit", l_memory_limit}, {"handler_limits", l_handler_limits}, {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
