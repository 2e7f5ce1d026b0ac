/* hash.c: the hash of all tables keyed by what comes from the wire, so that nobody can choose keys that collide.
 * SPDX-License-Identifier: MIT */
#include "containers.h"

#include <stdint.h>
#include <string.h>

static uint64_t turn(uint64_t v, int n) {
  return v << n | v >> (64 - n);
}

static void sip_round(uint64_t v[4]) {
  v[0] += v[1], v[1] = turn(v[1], 13) ^ v[0], v[0] = turn(v[0], 32);
  v[2] += v[3], v[3] = turn(v[3], 16) ^ v[2];
  v[0] += v[3], v[3] = turn(v[3], 21) ^ v[0];
  v[2] += v[1], v[1] = turn(v[1], 17) ^ v[2], v[2] = turn(v[2], 32);
}

static void sip_word(uint64_t v[4], uint64_t word) {
  v[3] ^= word;
  sip_round(v);
  v[0] ^= word;
}

/* SipHash-1-3 (Aumasson, Bernstein) but for the byte order, which only matters to who compares hashes. */
unsigned chaski__hash(const uint64_t secret[2], const void *key, size_t len) {
  uint64_t a = secret[0], b = secret[1], last = 0;
  uint64_t v[4] = {a ^ 0x736f6d6570736575, b ^ 0x646f72616e646f6d, a ^ 0x6c7967656e657261, b ^ 0x7465646279746573};
  const uint8_t *p = key;
  size_t rest = len;
  for (uint64_t word; rest >= 8; p += 8, rest -= 8) sip_word(v, (memcpy(&word, p, 8), word));
  if (rest) memcpy(&last, p, rest);
  sip_word(v, last ^ (uint64_t)len << 56);
  v[2] ^= 0xff;
  for (int i = 0; i < 3; i++) sip_round(v);
  uint64_t hash = v[0] ^ v[1] ^ v[2] ^ v[3];
  return (unsigned)(hash ^ hash >> 32);
}

/* Where things lie in memory is the one thing at hand here that is not known outside. */
unsigned chaski__table_hash(const void *key, size_t len) {
  static uint64_t secret[2];
  if (!secret[0]) {
    uint64_t here = (uint64_t)(uintptr_t)&secret, there = (uint64_t)(uintptr_t)&here;
    secret[0] = here * 0x9e3779b97f4a7c15;
    secret[1] = there * 0xc2b2ae3d27d4eb4f;
  }
  return chaski__hash(secret, key, len);
}
