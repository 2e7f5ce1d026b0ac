/* sockaddr.h: numeric addresses as text and as the kernel has them.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_NET_SOCKADDR_H
#define CHASKI_NET_SOCKADDR_H

#include "../core/env.h"

#include <sys/socket.h>

/* Numeric IPv4 or IPv6 (a zone "%eth0" is allowed) to *out. CHASKI_OK or CHASKI_EADDRESS. */
int chaski__sockaddr_parse(const char *host, uint16_t port, struct sockaddr_storage *out);
/* The other way, into CHASKI_HOST_MAX bytes. An IPv4 address that came through an IPv6 socket reads as IPv4.
 * CHASKI_OK or CHASKI_EADDRESS (of another family). */
int chaski__sockaddr_format(const struct sockaddr *addr, char *host, uint16_t *port);
void chaski__sockaddr_set_port(struct sockaddr *addr, uint16_t port);
/* Turn an IPv4 address into the IPv6 one that a dual-stack socket reaches it by; others stay. */
void chaski__sockaddr_map(struct sockaddr_storage *addr);
/* Bytes of the address that the kernel wants to see. */
socklen_t chaski__sockaddr_len(const struct sockaddr_storage *addr);

#endif
