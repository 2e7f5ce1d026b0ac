/* pki_text.c: bytes as text and back: hexadecimal digits, and base64url (RFC 4648 5) without padding.
 * SPDX-License-Identifier: MIT */
#include "binding.h"
#include "tls_binding.h"

/* --- hexadecimal ------------------------------------------------------------------------------------------------ */
void chaski__push_hex(lua_State *L, const void *bytes, size_t len) {
  static const char digits[] = "0123456789abcdef";
  const uint8_t *p = bytes;
  luaL_Buffer b;
  char *out = luaL_buffinitsize(L, &b, 2 * len);
  for (size_t i = 0; i < len; i++) out[2 * i] = digits[p[i] >> 4], out[2 * i + 1] = digits[p[i] & 15];
  luaL_pushresultsize(&b, 2 * len);
}

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool chaski__read_hex(const char *digits, size_t len, uint8_t *out) {
  for (size_t i = 0; i < len; i++) {
    int high = hex_value(digits[2 * i]), low = hex_value(digits[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    out[i] = (uint8_t)(high << 4 | low);
  }
  return true;
}

static int to_hex(lua_State *L) {
  chaski_slice s = chaski__check_slice(L, 1);
  chaski__push_hex(L, s.ptr, s.len);
  return 1;
}

static int from_hex(lua_State *L) { /* nil, err when it is none */
  chaski_slice s = chaski__check_slice(L, 1);
  luaL_Buffer b;
  if (s.len % 2) return chaski__refused(L, CHASKI_EINVAL, "hex: an odd number of digits");
  char *out = luaL_buffinitsize(L, &b, s.len / 2);
  if (!chaski__read_hex((const char *)s.ptr, s.len / 2, (uint8_t *)out))
    return chaski__refused(L, CHASKI_EINVAL, "hex: a character that is no digit");
  luaL_pushresultsize(&b, s.len / 2);
  return 1;
}

/* --- base64url -------------------------------------------------------------------------------------------------- */
static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* 1..3 bytes as 2..4 letters; how many. */
static size_t put_group(const uint8_t *p, size_t n, char *out) {
  uint32_t bits = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) | (n > 2 ? p[2] : 0);
  for (size_t i = 0; i <= n; i++) out[i] = letters[bits >> (18 - 6 * i) & 63];
  return n + 1;
}

static int to_base64url(lua_State *L) {
  chaski_slice s = chaski__check_slice(L, 1);
  luaL_Buffer b;
  char *out = luaL_buffinitsize(L, &b, (s.len + 2) / 3 * 4);
  size_t len = 0;
  for (size_t i = 0; i < s.len; i += 3) len += put_group(s.ptr + i, s.len - i < 3 ? s.len - i : 3, out + len);
  luaL_pushresultsize(&b, len);
  return 1;
}

static int letter_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* 2..4 letters to 1..3 bytes; false when one is no letter. */
static bool take_group(const uint8_t *p, size_t n, char *out) {
  uint32_t bits = 0;
  for (size_t i = 0; i < n; i++) {
    int value = letter_value((char)p[i]);
    if (value < 0) return false;
    bits |= (uint32_t)value << (18 - 6 * i);
  }
  for (size_t i = 0; i + 1 < n; i++) out[i] = (char)(bits >> (16 - 8 * i) & 255);
  return true;
}

static int from_base64url(lua_State *L) { /* nil, err when it is none; bits left over at the end are not looked at */
  chaski_slice s = chaski__check_slice(L, 1);
  luaL_Buffer b;
  if (s.len % 4 == 1) return chaski__refused(L, CHASKI_EINVAL, "base64url: of a length that cannot be");
  size_t len = s.len / 4 * 3 + (s.len % 4 ? s.len % 4 - 1 : 0);
  char *out = luaL_buffinitsize(L, &b, len);
  for (size_t i = 0; i < s.len; i += 4)
    if (!take_group(s.ptr + i, s.len - i < 4 ? s.len - i : 4, out + i / 4 * 3))
      return chaski__refused(L, CHASKI_EINVAL, "base64url: a character that cannot be part of it");
  luaL_pushresultsize(&b, len);
  return 1;
}

void chaski__open_pki_text(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"hex", to_hex}, {"unhex", from_hex}, {"base64url", to_base64url}, {"unbase64url", from_base64url}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
