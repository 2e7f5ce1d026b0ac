/* address.c: see address.h. Judges the text alone: resolves nothing and knows no socket.
 * SPDX-License-Identifier: MIT */
#include "address.h"

#include <arpa/inet.h>
#include <stdio.h>

#define HOST_NAME_MAX_LEN (CHASKI_HOST_MAX - 3) /* 253, RFC 1035 */
#define LABEL_MAX 63                            /* RFC 1035 */
#define ZONE_MAX 15                             /* bytes of an interface's name without NUL (IFNAMSIZ) */
#define PORT_DIGITS 5

static const char *const FORM = "expected host:port, [v6]:port or Name@host:port";

/* Each check returns NULL when its part is good, else what is wrong. */
typedef const char *complaint;

static bool is_digit(uint8_t c) {
  return c >= '0' && c <= '9';
}

static bool is_alnum(uint8_t c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static const uint8_t *find(chaski_slice s, char c) {
  return s.len ? memchr(s.ptr, c, s.len) : NULL;
}

static chaski_slice before(chaski_slice s, const uint8_t *p) {
  return chaski_slice_of(s.ptr, (size_t)(p - s.ptr));
}

static chaski_slice after(chaski_slice s, const uint8_t *p) {
  return chaski_slice_of(p + 1, s.len - (size_t)(p - s.ptr) - 1);
}

static void copy(char *out, chaski_slice s) {
  if (s.len) memcpy(out, s.ptr, s.len);
  out[s.len] = '\0';
}

/* --- name ------------------------------------------------------------------------------------------------- */

/* Bytes of the character that begins with lead, *min its smallest code point in that many; 0: none does. */
static size_t utf8_len(uint8_t lead, uint32_t *min) {
  *min = lead < 0x80 ? 0 : lead < 0xe0 ? 0x80 : lead < 0xf0 ? 0x800 : 0x10000;
  return lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
}

/* Take one character off *s. False: not UTF-8 (overlong forms and surrogates are none). */
static bool utf8_next(chaski_slice *s, uint32_t *c) {
  uint32_t min;
  size_t n = utf8_len(s->ptr[0], &min);
  if (n == 0 || n > s->len) return false;
  *c = n == 1 ? s->ptr[0] : s->ptr[0] & (0x7fu >> n);
  for (size_t i = 1; i < n; i++) {
    if ((s->ptr[i] & 0xc0) != 0x80) return false;
    *c = *c << 6 | (s->ptr[i] & 0x3f);
  }
  *s = chaski_slice_of(s->ptr + n, s->len - n);
  return *c >= min && *c <= 0x10ffff && (*c < 0xd800 || *c > 0xdfff);
}

static complaint check_name(chaski_slice name) {
  if (name.len == 0) return "the name before '@' is empty";
  if (name.len > CHASKI_NAME_MAX) return "the name before '@' is longer than 64 bytes";
  while (name.len) {
    uint32_t c;
    if (!utf8_next(&name, &c)) return "the name before '@' is not UTF-8";
    if (c < 0x20 || (c >= 0x7f && c < 0xa0)) return "the name before '@' has a control character";
  }
  return NULL;
}

/* --- host ------------------------------------------------------------------------------------------------- */

static bool is_zone(const char *zone) {
  size_t len = strlen(zone);
  for (size_t i = 0; i < len; i++)
    if (!is_alnum((uint8_t)zone[i]) && !strchr("-._:", zone[i])) return false;
  return len >= 1 && len <= ZONE_MAX;
}

static bool parse_v6(const char *host, struct in6_addr *out) {
  char digits[INET6_ADDRSTRLEN];
  size_t len = strcspn(host, "%");
  if (len >= sizeof digits || (host[len] && !is_zone(host + len + 1))) return false;
  copy(digits, chaski_slice_of(host, len));
  return inet_pton(AF_INET6, digits, out) == 1;
}

static bool parse_v4(const char *host, struct in_addr *out) {
  return inet_pton(AF_INET, host, out) == 1;
}

static complaint check_label(const char *label, size_t len) {
  if (len == 0) return "the host name has an empty label, expected letters and digits between its dots";
  if (len > LABEL_MAX) return "the host name has a label longer than 63 bytes";
  if (label[0] == '-' || label[len - 1] == '-') return "the host name has a label that begins or ends with '-'";
  return NULL;
}

static complaint check_host_name(const char *host) {
  for (const char *p = host; *p; p++)
    if (!is_alnum((uint8_t)*p) && !strchr("-._", *p))
      return "the host has a character that is none of letters, digits, '-', '.' and '_'";
  if (host[strspn(host, "0123456789.")] == '\0') return "the host is made of digits but is no IPv4 address a.b.c.d";
  for (const char *label = host;; label++) {
    size_t len = strcspn(label, ".");
    complaint bad = check_label(label, len);
    if (bad || !label[len]) return bad;
    label += len;
  }
}

static complaint check_host(const char *host, bool bracketed) {
  struct in6_addr v6;
  struct in_addr v4;
  if (bracketed) return parse_v6(host, &v6) ? NULL : "no IPv6 address between the brackets";
  if (strchr(host, ':')) return "an IPv6 address needs brackets, expected [v6]:port";
  return parse_v4(host, &v4) ? NULL : check_host_name(host);
}

/* --- port and the whole ----------------------------------------------------------------------------------- */

static complaint parse_port(chaski_slice text, uint16_t *out) {
  uint32_t port = 0;
  if (text.len == 0) return "the port is missing, expected 1..65535 after ':'";
  for (size_t i = 0; i < text.len; i++)
    if (!is_digit(text.ptr[i])) return "the port is not a decimal number, expected 1..65535";
  if (text.len > PORT_DIGITS) return "the port is not in 1..65535";
  for (size_t i = 0; i < text.len; i++) port = port * 10 + (uint32_t)(text.ptr[i] - '0');
  if (port < 1 || port > UINT16_MAX) return "the port is not in 1..65535";
  *out = (uint16_t)port;
  return NULL;
}

/* "Name@" or "*Name@" in front of *text, if there is one, comes off it. */
static complaint split_name(chaski_slice *text, char *out) {
  const uint8_t *at = find(*text, '@');
  if (!at) return NULL;
  chaski_slice name = before(*text, at);
  if (name.len && name.ptr[0] == '*') name = after(name, name.ptr);
  complaint bad = check_name(name);
  if (bad) return bad;
  copy(out, name);
  *text = after(*text, at);
  return NULL;
}

/* "[v6]:port": *text becomes ":port". */
static complaint split_brackets(chaski_slice *text, chaski_slice *host) {
  const uint8_t *end = find(*text, ']');
  if (!end) return "a '[' without its ']', expected [v6]:port";
  *host = before(*text, end);
  *host = after(*host, host->ptr);
  *text = after(*text, end);
  return text->len && text->ptr[0] == ':' ? NULL : "no ':' after ']', expected [v6]:port";
}

/* "host:port": *text becomes ":port". */
static complaint split_plain(chaski_slice *text, chaski_slice *host) {
  size_t len = text->len;
  while (len && text->ptr[len - 1] != ':') len--;
  if (len == 0) return FORM;
  *host = chaski_slice_of(text->ptr, len - 1);
  *text = chaski_slice_of(text->ptr + len - 1, text->len - len + 1);
  return NULL;
}

static complaint parse_host(chaski_slice *text, char *out) {
  bool bracketed = text->len && text->ptr[0] == '[';
  chaski_slice host;
  complaint bad = bracketed ? split_brackets(text, &host) : split_plain(text, &host);
  if (bad) return bad;
  if (host.len == 0) return "the host is empty, expected host:port";
  if (host.len > HOST_NAME_MAX_LEN) return "the host is longer than 253 bytes";
  copy(out, host);
  return check_host(out, bracketed);
}

static complaint parse(chaski_slice text, chaski_address *out) {
  if (text.len == 0) return FORM;
  if (find(text, '\0')) return "the address has a NUL byte";
  complaint bad = split_name(&text, out->name);
  if (!bad) bad = parse_host(&text, out->host);
  return bad ? bad : parse_port(after(text, text.ptr), &out->port);
}

int chaski_address_parse(chaski_slice text, chaski_address *out, const char **why) {
  chaski_address parsed = {0};
  complaint bad = parse(text, &parsed);
  *why = bad;
  if (bad) return CHASKI_EADDRESS;
  *out = parsed;
  return CHASKI_OK;
}

size_t chaski_address_format(char *out, const char *host, uint16_t port) {
  bool v6 = strchr(host, ':');
  return (size_t)snprintf(out, CHASKI_HOST_MAX + 8, "%s%.*s%s:%u", v6 ? "[" : "", CHASKI_HOST_MAX - 1, host,
                          v6 ? "]" : "", (unsigned)port);
}

bool chaski_address_is_numeric(const char *host) {
  struct in6_addr v6;
  struct in_addr v4;
  return parse_v4(host, &v4) || parse_v6(host, &v6);
}

bool chaski_address_is_any(const char *host) {
  struct in6_addr v6;
  struct in_addr v4;
  if (parse_v4(host, &v4)) return v4.s_addr == htonl(INADDR_ANY);
  return parse_v6(host, &v6) && memcmp(&v6, &in6addr_any, sizeof v6) == 0;
}
