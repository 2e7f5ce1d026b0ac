/* uuid.c: see uuid.h. Runs once per message: digits are read eight at a time and written two at a time, without
 * branches on their values.
 * SPDX-License-Identifier: MIT */
#include "uuid.h"

#include <endian.h>

#define HALF_VARIANT (UINT64_C(2) << 62) /* RFC 9562: the upper bits of the second half are 10 */
#define ROW(h) h "0" h "1" h "2" h "3" h "4" h "5" h "6" h "7" h "8" h "9" h "a" h "b" h "c" h "d" h "e" h "f"
static const char pairs[] = /* the two digits of byte b are at 2 * b */
    ROW("0") ROW("1") ROW("2") ROW("3") ROW("4") ROW("5") ROW("6") ROW("7") ROW("8") ROW("9") ROW("a") ROW("b") ROW("c")
        ROW("d") ROW("e") ROW("f");

/* n digits at p, an even number. */
static inline void put_digits(char *p, uint64_t v, int n) {
  for (int shift = 4 * n - 8; shift >= 0; shift -= 8, p += 2) memcpy(p, pairs + 2 * (v >> shift & 0xff), 2);
}

/* Eight hexadecimal digits at once, each in a byte of x, the first in the lowest. *wrong gets a bit for each byte that
 * is none. */
static inline uint32_t get_eight(const uint8_t *p, uint64_t *wrong) {
  const uint64_t ones = UINT64_C(0x0101010101010101), tops = ones << 7;
  uint64_t x;
  memcpy(&x, p, sizeof x);
  x = le64toh(x);
  uint64_t digit = x ^ ones * '0', letter = (x | ones * 0x20) ^ ones * 0x60; /* 0..9 and 1..6 if they are */
  digit &= ~tops, letter &= ~tops;
  uint64_t no_digit = digit + ones * (0x7f - 9), no_letter = (letter + ones * (0x7f - 6)) | ~(letter + ones * 0x7f);
  *wrong |= ((no_digit & no_letter) | x) & tops;
  x = (x & ones * 0x0f) + 9 * (x >> 6 & ones);
  x = (x << 4 | x >> 8) & UINT64_C(0x00ff00ff00ff00ff);
  x = (x << 8 | x >> 16) & UINT64_C(0x0000ffff0000ffff);
  return (uint32_t)(x << 16 | x >> 32);
}

static void put_low(char out[CHASKI_UUID_TEXT], uint64_t low) {
  out[23] = '-';
  put_digits(out + 19, low >> 48, 4);
  put_digits(out + 24, low, 12);
}

static void put_halves(char out[CHASKI_UUID_TEXT], uint64_t high, uint64_t low) {
  out[8] = out[13] = out[18] = '-';
  put_digits(out, high >> 32, 8);
  put_digits(out + 9, high >> 16, 4);
  put_digits(out + 14, high, 4);
  put_low(out, low);
}

static bool get_halves(const uint8_t *p, uint64_t *high, uint64_t *low) {
  uint8_t digits[16]; /* the two middle groups of each half, which dashes part */
  uint64_t wrong = 0;
  memcpy(digits, p + 9, 4);
  memcpy(digits + 4, p + 14, 4);
  memcpy(digits + 8, p + 19, 4);
  memcpy(digits + 12, p + 24, 4);
  *high = (uint64_t)get_eight(p, &wrong) << 32 | get_eight(digits, &wrong);
  *low = (uint64_t)get_eight(digits + 8, &wrong) << 32 | get_eight(p + 28, &wrong);
  return !wrong && p[8] == '-' && p[13] == '-' && p[18] == '-' && p[23] == '-';
}

void chaski_uuid_format(char out[CHASKI_UUID_TEXT], uint64_t origin, uint64_t seq) {
  uint64_t high = (origin & CHASKI_ORIGIN_MAX) >> 12 << 16 | 0x8000 | (origin & 0xfff);
  put_halves(out, high, HALF_VARIANT | (seq & CHASKI_SEQ_MAX));
}

void chaski_uuid_renumber(char out[CHASKI_UUID_TEXT], uint64_t seq) {
  put_low(out, HALF_VARIANT | (seq & CHASKI_SEQ_MAX));
}

bool chaski_uuid_parse(chaski_slice text, uint64_t *origin, uint64_t *seq) {
  uint64_t high, low;
  if (text.len != CHASKI_UUID_TEXT || !get_halves(text.ptr, &high, &low)) return false;
  if ((high >> 12 & 0xf) != 8 || low >> 62 != 2) return false;
  *origin = high >> 16 << 12 | (high & 0xfff);
  *seq = low & CHASKI_SEQ_MAX;
  return true;
}

static inline uint64_t difference(const uint8_t *a, const uint8_t *b) {
  uint64_t x, y;
  memcpy(&x, a, sizeof x);
  memcpy(&y, b, sizeof y);
  return x ^ y;
}

/* 28 characters as three and a half eights, the last of them overlapping. */
static inline bool remembered(const chaski_uuid_memo *memo, const uint8_t *p) {
  const uint8_t *t = memo->text;
  return *t && !(difference(p, t) | difference(p + 8, t + 8) | difference(p + 16, t + 16) | difference(p + 20, t + 20));
}

bool chaski_uuid_recall(chaski_uuid_memo *memo, chaski_slice text, uint64_t *origin, uint64_t *seq) {
  uint64_t wrong = 0;
  if (text.len == CHASKI_UUID_TEXT && remembered(memo, text.ptr)) {
    uint32_t low = get_eight(text.ptr + CHASKI_UUID_REMEMBERED, &wrong);
    if (wrong) return false;
    *origin = memo->origin;
    *seq = memo->seq | low;
    return true;
  }
  if (!chaski_uuid_parse(text, origin, seq)) return false;
  memcpy(memo->text, text.ptr, sizeof memo->text);
  memo->origin = *origin;
  memo->seq = *seq & ~(uint64_t)UINT32_MAX;
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
