/* sockaddr.c: see sockaddr.h. SPDX-License-Identifier: MIT */
#include "sockaddr.h"

#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

int chaski__sockaddr_parse(const char *host, uint16_t port, struct sockaddr_storage *out) {
  memset(out, 0, sizeof *out);
  if (uv_ip4_addr(host, port, (struct sockaddr_in *)out) == 0) return CHASKI_OK;
  memset(out, 0, sizeof *out);
  return uv_ip6_addr(host, port, (struct sockaddr_in6 *)out) == 0 ? CHASKI_OK : CHASKI_EADDRESS;
}

static int format4(const struct in_addr *addr, char *host) {
  return uv_inet_ntop(AF_INET, addr, host, CHASKI_HOST_MAX) == 0 ? CHASKI_OK : CHASKI_EADDRESS;
}

/* A link-local address means nothing without its interface. */
static void append_zone(char *host, unsigned scope) {
  char name[IF_NAMESIZE];
  size_t len = strlen(host);
  if (scope == 0) return;
  if (if_indextoname(scope, name))
    snprintf(host + len, CHASKI_HOST_MAX - len, "%%%s", name);
  else
    snprintf(host + len, CHASKI_HOST_MAX - len, "%%%u", scope);
}

static int format6(const struct sockaddr_in6 *in6, char *host) {
  struct in_addr in4;
  if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
    memcpy(&in4, &in6->sin6_addr.s6_addr[12], sizeof in4);
    return format4(&in4, host);
  }
  if (uv_inet_ntop(AF_INET6, &in6->sin6_addr, host, CHASKI_HOST_MAX) != 0) return CHASKI_EADDRESS;
  append_zone(host, in6->sin6_scope_id);
  return CHASKI_OK;
}

int chaski__sockaddr_format(const struct sockaddr *addr, char *host, uint16_t *port) {
  if (addr->sa_family == AF_INET) {
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)addr;
    *port = ntohs(in->sin_port);
    return format4(&in->sin_addr, host);
  }
  if (addr->sa_family != AF_INET6) return CHASKI_EADDRESS;
  const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)addr;
  *port = ntohs(in6->sin6_port);
  return format6(in6, host);
}

void chaski__sockaddr_set_port(struct sockaddr *addr, uint16_t port) {
  if (addr->sa_family == AF_INET) ((struct sockaddr_in *)(void *)addr)->sin_port = htons(port);
  if (addr->sa_family == AF_INET6) ((struct sockaddr_in6 *)(void *)addr)->sin6_port = htons(port);
}

void chaski__sockaddr_map(struct sockaddr_storage *addr) {
  if (addr->ss_family != AF_INET) return;
  struct sockaddr_in in;
  memcpy(&in, addr, sizeof in);
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = in.sin_port};
  in6.sin6_addr.s6_addr[10] = in6.sin6_addr.s6_addr[11] = 0xFF;
  memcpy(&in6.sin6_addr.s6_addr[12], &in.sin_addr, sizeof in.sin_addr);
  memcpy(addr, &in6, sizeof in6);
}

socklen_t chaski__sockaddr_len(const struct sockaddr_storage *addr) {
  return addr->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}
