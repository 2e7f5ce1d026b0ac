/* system.c: what Lua files want of the system and luv does not have: a process whose memory nobody else may look at,
 * who is at the other end of a unix socket, whether more has come on one. SPDX-License-Identifier: MIT */
#include "system.h"

#include <errno.h>
#include <lauxlib.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAITING_MAX 4096

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

/* socket_peer(fd) -> whether the process at the other end of the unix socket is of our own user */
static int l_socket_peer(lua_State *L) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  int rc = getsockopt((int)luaL_checkinteger(L, 1), SOL_SOCKET, SO_PEERCRED, &peer, &size);
  lua_pushboolean(L, rc == 0 && peer.uid == geteuid());
  return 1;
}

/* socket_waiting(fd) -> how many bytes (up to a bound) wait to be read; nil: the other end is gone. Reads nothing. */
static int l_socket_waiting(lua_State *L) {
  char bytes[WAITING_MAX];
  ssize_t n = recv((int)luaL_checkinteger(L, 1), bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
  bool nothing = n < 0 && (errno == EAGAIN || errno == EINTR);
  if (n > 0 || nothing)
    lua_pushinteger(L, nothing ? 0 : (lua_Integer)n);
  else
    lua_pushnil(L);
  return 1;
}

void chaski__open_system(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"undumpable", l_undumpable}, {"socket_peer", l_socket_peer}, {"socket_waiting", l_socket_waiting}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
