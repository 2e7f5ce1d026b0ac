/* system.c: what the certificate authority wants of the system: a process whose memory nobody else may look at.
 * SPDX-License-Identifier: MIT */
#include "system.h"

#include <lauxlib.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#ifdef __SANITIZE_ADDRESS__ /* its search for leaks is a debugger */
static bool forbid_debuggers(void) {
  return true;
}
#else
static bool forbid_debuggers(void) {
  return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0;
}
#endif

/* undumpable() -> whether: no core file from now on, and no debugger of the same user (RELIABILITY T34) */
static int l_undumpable(lua_State *L) {
  static const struct rlimit none = {0, 0};
  lua_pushboolean(L, setrlimit(RLIMIT_CORE, &none) == 0 && forbid_debuggers());
  return 1;
}

void chaski__open_system(lua_State *L) {
  static const luaL_Reg functions[] = {{"undumpable", l_undumpable}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
