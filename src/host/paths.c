/* paths.c: where require looks: beside the program first, wherever that was put, then where any Lua looks.
 * SPDX-License-Identifier: MIT */
#include "host.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#define SHARE "/share/lua/" LUA_VERSION_MAJOR "." LUA_VERSION_MINOR
#define LIB "/lib/lua/" LUA_VERSION_MAJOR "." LUA_VERSION_MINOR

/* The folder above the program's; "" if it cannot be told. */
static void prefix_of_program(char *prefix, size_t size) {
  ssize_t len = readlink("/proc/self/exe", prefix, size - 1);
  prefix[len > 0 ? len : 0] = '\0';
  for (int up = 0; up < 2; up++) {
    char *slash = strrchr(prefix, '/');
    if (slash) *slash = '\0';
  }
}

static void in_front(lua_State *L, const char *field, const char *paths) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, field);
  lua_pushfstring(L, "%s;%s", paths, lua_tostring(L, -1));
  lua_setfield(L, -3, field);
  lua_pop(L, 2);
}

static void lua_in_front(lua_State *L, const char *folder) {
  lua_pushfstring(L, "%s/?.lua;%s/?/init.lua", folder, folder);
  in_front(L, "path", lua_tostring(L, -1));
  lua_pop(L, 1);
}

/* The compiled-in path of the sources counts only for the program in its build tree. */
static void source_in_front(lua_State *L, const char *prefix) {
#ifdef CHASKI_SOURCE_LUA
  static const char build[] = CHASKI_BUILD_LIB;
  size_t len = strlen(prefix);
  if (strncmp(build, prefix, len) == 0 && strcmp(build + len, LIB) == 0) lua_in_front(L, CHASKI_SOURCE_LUA);
#else
  (void)L, (void)prefix;
#endif
}

void host_set_paths(lua_State *L) {
  char prefix[PATH_MAX];
  prefix_of_program(prefix, sizeof prefix);
  lua_pushfstring(L, "%s" SHARE, prefix);
  lua_in_front(L, lua_tostring(L, -1));
  lua_pushfstring(L, "%s" LIB "/?.so", prefix);
  in_front(L, "cpath", lua_tostring(L, -1));
  lua_pop(L, 2);
  source_in_front(L, prefix);
}
