/* address.h: the address forms people and peers write: "ip:port", "[v6]:port", "host:port", "Name@ip:port",
 * "*Name@ip:port" (the star marks a root and is ignored here).
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_ADDRESS_H
#define CHASKI_ADDRESS_H

#include "env.h"

#define CHASKI_NAME_MAX 64 /* bytes of a node's name without NUL: RELIABILITY T14 */

typedef struct chaski_address {
  char name[CHASKI_NAME_MAX + 1]; /* "" when the text names none */
  char host[CHASKI_HOST_MAX];     /* numeric address without brackets, or a host name (RFC 1123 letters) */
  uint16_t port;                  /* 1..65535 */
} chaski_address;

/* Parse text. CHASKI_OK, or CHASKI_EADDRESS and *why (static, never NULL then) says what is wrong and what was
 * expected, e.g. "port 99999 is not in 1..65535"-like texts without the variable part. "::1:8511" without brackets is
 * refused. */
int chaski_address_parse(chaski_slice text, chaski_address *out, const char **why);
/* Write "host:port" or "[v6]:port" with a NUL into out (CHASKI_HOST_MAX + 8 bytes); returns its length. */
size_t chaski_address_format(char *out, const char *host, uint16_t port);
/* True for a numeric IPv4 or IPv6 address (no brackets; a zone "%eth0" is allowed on IPv6). */
bool chaski_address_is_numeric(const char *host);
/* True for 0.0.0.0 and ::, the any-addresses. */
bool chaski_address_is_any(const char *host);

#endif
