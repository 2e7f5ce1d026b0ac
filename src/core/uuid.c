/* uuid.c: see uuid.h. Runs once per message: digits go through tables, without branches on their values.
 * SPDX-License-Identifier: MIT */
#include "uuid.h"

#define HALF_VARIANT (UINT64_C(2) << 62) /* RFC 9562: the upper bits of the second half are 10 */
#define VALID 0x10                       /* marks a digit in values[]; its value is in the lower four bits */

static const uint8_t values[256] = {
    ['0'] = 0x10, ['1'] = 0x11, ['2'] = 0x12, ['3'] = 0x13, ['4'] = 0x14, ['5'] = 0x15, ['6'] = 0x16, ['7'] = 0x17,
    ['8'] = 0x18, ['9'] = 0x19, ['a'] = 0x1a, ['b'] = 0x1b, ['c'] = 0x1c, ['d'] = 0x1d, ['e'] = 0x1e, ['f'] = 0x1f,
    ['A'] = 0x1a, ['B'] = 0x1b, ['C'] = 0x1c, ['D'] = 0x1d, ['E'] = 0x1e, ['F'] = 0x1f,
};

#define ROW(h) h "0" h "1" h "2" h "3" h "4" h "5" h "6" h "7" h "8" h "9" h "a" h "b" h "c" h "d" h "e" h "f"
static const char pairs[] = /* the two digits of byte b are at 2 * b */
    ROW("0") ROW("1") ROW("2") ROW("3") ROW("4") ROW("5") ROW("6") ROW("7") ROW("8") ROW("9") ROW("a") ROW("b") ROW("c")
        ROW("d") ROW("e") ROW("f");

/* n digits at p, an even number. */
static inline void put_digits(char *p, uint64_t v, int n) {
  for (int shift = 4 * n - 8; shift >= 0; shift -= 8, p += 2) memcpy(p, pairs + 2 * (v >> shift & 0xff), 2);
}

/* *valid loses its bit if one of the n characters at p is no digit. */
static inline uint64_t get_digits(const uint8_t *p, int n, unsigned *valid) {
  uint64_t v = 0;
  for (int i = 0; i < n; i++) {
    *valid &= values[p[i]];
    v = v << 4 | (values[p[i]] & 0xf);
  }
  return v;
}

static void put_halves(char out[CHASKI_UUID_TEXT], uint64_t high, uint64_t low) {
  out[8] = out[13] = out[18] = out[23] = '-';
  put_digits(out, high >> 32, 8);
  put_digits(out + 9, high >> 16, 4);
  put_digits(out + 14, high, 4);
  put_digits(out + 19, low >> 48, 4);
  put_digits(out + 24, low, 12);
}

static bool get_halves(const uint8_t *p, uint64_t *high, uint64_t *low) {
  unsigned valid = VALID;
  *high = get_digits(p, 8, &valid) << 32 | get_digits(p + 9, 4, &valid) << 16 | get_digits(p + 14, 4, &valid);
  *low = get_digits(p + 19, 4, &valid) << 48 | get_digits(p + 24, 12, &valid);
  return valid && p[8] == '-' && p[13] == '-' && p[18] == '-' && p[23] == '-';
}

void chaski_uuid_format(char out[CHASKI_UUID_TEXT], uint64_t origin, uint64_t seq) {
  uint64_t high = (origin & CHASKI_ORIGIN_MAX) >> 12 << 16 | 0x8000 | (origin & 0xfff);
  put_halves(out, high, HALF_VARIANT | (seq & CHASKI_SEQ_MAX));
}

bool chaski_uuid_parse(chaski_slice text, uint64_t *origin, uint64_t *seq) {
  uint64_t high, low;
  if (text.len != CHASKI_UUID_TEXT || !get_halves(text.ptr, &high, &low)) return false;
  if ((high >> 12 & 0xf) != 8 || low >> 62 != 2) return false;
  *origin = high >> 16 << 12 | (high & 0xfff);
  *seq = low & CHASKI_SEQ_MAX;
  return true;
}

static uint64_t get64(const uint8_t *p) {
  uint64_t v = 0;
  for (int i = 0; i < 8; i++) v = v << 8 | p[i];
  return v;
}

void chaski_uuid_random(char out[CHASKI_UUID_TEXT], const uint8_t random[16]) {
  uint64_t high = (get64(random) & ~UINT64_C(0xf000)) | 0x4000;
  put_halves(out, high, HALF_VARIANT | (get64(random + 8) & CHASKI_SEQ_MAX));
}
