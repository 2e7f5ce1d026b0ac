/* error.c: libuv's error codes in the core's words. SPDX-License-Identifier: MIT */
#include "internal.h"

static const struct {
  int uv, ours;
} table[] = {
    {0, CHASKI_OK},
    {UV_EOF, CHASKI_OK},
    {UV_ECONNREFUSED, CHASKI_EREFUSED},
    {UV_ETIMEDOUT, CHASKI_ETIMEOUT},
    {UV_ECONNRESET, CHASKI_ERESET},
    {UV_EPIPE, CHASKI_ERESET},
    {UV_ECONNABORTED, CHASKI_ERESET},
    {UV_EADDRINUSE, CHASKI_EINUSE},
    {UV_EADDRNOTAVAIL, CHASKI_EADDRNOTAVAIL},
    {UV_EACCES, CHASKI_EACCESS},
    {UV_EPERM, CHASKI_EACCESS},
    {UV_EMFILE, CHASKI_EFILES},
    {UV_ENFILE, CHASKI_EFILES},
    {UV_ENETUNREACH, CHASKI_EUNREACHABLE},
    {UV_EHOSTUNREACH, CHASKI_EUNREACHABLE},
    {UV_ENETDOWN, CHASKI_EUNREACHABLE},
    {UV_EAFNOSUPPORT, CHASKI_EUNREACHABLE}, /* an IPv6 address on a machine without IPv6 */
    {UV_ENOMEM, CHASKI_ENOMEM},
    {UV_ENOBUFS, CHASKI_ENOMEM},
    {UV_EMSGSIZE, CHASKI_ETOOBIG},
    {UV_EAGAIN, CHASKI_EFULL},
    {UV_ECANCELED, CHASKI_ECANCELLED},
};

/* The resolver's codes are a range of their own: -3000 and below, down to the last of them. */
static bool is_resolver_error(int uv_err) {
  return uv_err <= UV_EAI_ADDRFAMILY && uv_err >= UV_EAI_PROTOCOL;
}

int chaski__net_error(int uv_err) {
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
    if (table[i].uv == uv_err) return table[i].ours;
  if (uv_err == UV_EAI_MEMORY) return CHASKI_ENOMEM;
  return is_resolver_error(uv_err) ? CHASKI_ERESOLVE : CHASKI_EIO;
}
