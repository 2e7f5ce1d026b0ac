/* rights.c: what a certificate allows its owner: `publish=PATTERN[,PATTERN…];subscribe=PATTERN[,…];relay` in an
 * extension. No extension: everything. No `publish` (or `subscribe`) in it: every topic of that kind; an empty list:
 * none. `relay` goes with unrestricted publishing, for who relays passes off anything as heard. In a pattern `*` is any
 * run of bytes, all else is itself. SPDX-License-Identifier: MIT */
#include "internal.h"

#include "pki_internal.h"

#include "../core/alloc.h"

/* --- the text ----------------------------------------------------------------------------------------------------- */

/* Take the part before the next `separator` off *rest. False: there is none left. */
static bool next_part(chaski_slice *rest, char separator, chaski_slice *part) {
  if (!rest->ptr) return false;
  const uint8_t *end = rest->len ? memchr(rest->ptr, separator, rest->len) : NULL;
  part->ptr = rest->ptr;
  part->len = end ? (size_t)(end - rest->ptr) : rest->len;
  *rest = end ? chaski_slice_of(end + 1, rest->len - part->len - 1) : chaski_slice_of(NULL, 0);
  return true;
}

static bool begins(chaski_slice part, const char *key, chaski_slice *list) {
  size_t len = strlen(key);
  if (part.len < len || memcmp(part.ptr, key, len) != 0) return false;
  *list = chaski_slice_of(part.ptr + len, part.len - len);
  return true;
}

static bool is_relay(chaski_slice part) {
  return chaski_slice_equal(part, chaski_slice_str("relay"));
}

bool chaski__tls_rights_valid(const char *text) {
  chaski_slice rest = chaski_slice_str(text), part, list;
  while (next_part(&rest, ';', &part)) {
    if (part.len > 0 && !is_relay(part) && !begins(part, "publish=", &list) && !begins(part, "subscribe=", &list))
      return false;
  }
  return true;
}

/* --- patterns ----------------------------------------------------------------------------------------------------- */

/* Going back to the last star is enough: what an earlier one could give, the last one can take. */
static bool matches(chaski_slice pattern, chaski_slice topic) {
  size_t p = 0, t = 0, star = SIZE_MAX, mark = 0;
  while (t < topic.len) {
    if (p < pattern.len && pattern.ptr[p] == '*') {
      star = p++;
      mark = t;
    } else if (p < pattern.len && pattern.ptr[p] == topic.ptr[t]) {
      p++;
      t++;
    } else if (star != SIZE_MAX) {
      p = star + 1;
      t = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.len && pattern.ptr[p] == '*') p++;
  return p == pattern.len;
}

static bool any_matches(chaski_slice list, chaski_slice topic) {
  chaski_slice pattern;
  while (next_part(&list, ',', &pattern))
    if (pattern.len > 0 && matches(pattern, topic)) return true;
  return false;
}

static bool has_star(chaski_slice list) {
  chaski_slice pattern;
  while (next_part(&list, ',', &pattern))
    if (chaski_slice_equal(pattern, chaski_slice_str("*"))) return true;
  return false;
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

static bool listed(const char *text, const char *key, chaski_slice topic) {
  chaski_slice rest = chaski_slice_str(text), part, list;
  bool restricted = false;
  while (next_part(&rest, ';', &part)) {
    if (!begins(part, key, &list)) continue;
    if (any_matches(list, topic)) return true;
    restricted = true;
  }
  return !restricted;
}

static bool relays(const char *text) {
  chaski_slice rest = chaski_slice_str(text), part, list;
  bool restricted = false, said = false;
  while (next_part(&rest, ';', &part)) {
    said = said || is_relay(part) || (begins(part, "publish=", &list) && has_star(list));
    restricted = restricted || begins(part, "publish=", &list);
  }
  return said || !restricted;
}

bool chaski__tls_rights_allow(const char *text, enum chaski_right right, chaski_slice topic) {
  if (!text) return true;
  switch (right) {
  case CHASKI_RIGHT_PUBLISH:
    return listed(text, "publish=", topic);
  case CHASKI_RIGHT_SUBSCRIBE:
    return listed(text, "subscribe=", topic);
  case CHASKI_RIGHT_RELAY:
    return relays(text);
  }
  return false;
}

/* --- the extension ------------------------------------------------------------------------------------------------ */

static enum chaski__tls_fault copy_text(const ASN1_UTF8STRING *text, char **out) {
  const char *bytes = (const char *)ASN1_STRING_get0_data(text);
  size_t len = (size_t)ASN1_STRING_length(text);
  if (len > CHASKI__TLS_RIGHTS_MAX || memchr(bytes, '\0', len)) return CHASKI__TLS_RIGHTS;
  char *copy = chaski__strndup(bytes, len);
  if (!copy) return CHASKI__TLS_MEMORY;
  if (!chaski__tls_rights_valid(copy)) {
    chaski__free(copy);
    return CHASKI__TLS_RIGHTS;
  }
  *out = copy;
  return CHASKI__TLS_FINE;
}

static enum chaski__tls_fault decode(const ASN1_OCTET_STRING *value, char **out) {
  const unsigned char *der = ASN1_STRING_get0_data(value), *end = der + ASN1_STRING_length(value);
  ASN1_UTF8STRING *text = d2i_ASN1_UTF8STRING(NULL, &der, end - der);
  enum chaski__tls_fault fault = text && der == end ? copy_text(text, out) : CHASKI__TLS_RIGHTS;
  ASN1_UTF8STRING_free(text);
  return fault;
}

enum chaski__tls_fault chaski__tls_rights_read(const X509 *certificate, char **out) {
  *out = NULL;
  ASN1_OBJECT *object = chaski__pki_rights_object();
  if (!object) return CHASKI__TLS_MEMORY;
  int at = X509_get_ext_by_OBJ(certificate, object, -1);
  int again = at < 0 ? -1 : X509_get_ext_by_OBJ(certificate, object, at);
  ASN1_OBJECT_free(object);
  if (at < 0) return CHASKI__TLS_FINE;
  if (again >= 0) return CHASKI__TLS_RIGHTS;
  return decode(X509_EXTENSION_get_data(X509_get_ext(certificate, at)), out);
}
