/* unpack_fuzz.c: any bytes as application data: a Lua value or an error, within bounds of memory. What is read is
 * written and read again, and is written the same. A map of which one field is read is the same map.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "../../src/core/alloc.h"
#include "../../src/lua/codec.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <string.h>

#define MEMORY_MAX (256u << 20) /* a state's own limit (RELIABILITY 3) */

static size_t held;

static void *bounded(void *ud, void *ptr, size_t old, size_t size) {
  (void)ud;
  if (!ptr) old = 0;
  if (size > old) FUZZ_CHECK(held + size - old < MEMORY_MAX);
  if (!size) {
    free(ptr);
    held -= old;
    return NULL;
  }
  void *p = realloc(ptr, size);
  if (p) held += size - old;
  return p;
}

static int round_trip(lua_State *L) {
  const chaski_slice *in = lua_touserdata(L, 1);
  chaski_pack_options options = {.sort_keys = true};
  chaski_packer *first = chaski__packer_new(L), *second = chaski__packer_new(L);
  if (chaski__unpack(L, *in, NULL) != 0) return 0;
  if (chaski__pack(L, lua_gettop(L), first, &options, "data") != 0)
    return 0; /* a number key that is not a number, say */
  FUZZ_CHECK(chaski__unpack(L, chaski_slice_of(first->ptr, first->len), NULL) == 0);
  FUZZ_CHECK(chaski__pack(L, lua_gettop(L), second, &options, "data") == 0);
  FUZZ_CHECK(first->len == second->len && memcmp(first->ptr, second->ptr, first->len) == 0);
  return 0;
}

static bool is_map(chaski_slice in) {
  return in.len && ((in.ptr[0] & 0xf0) == 0x80 || in.ptr[0] == 0xde || in.ptr[0] == 0xdf);
}

/* Some key of the table on top, or one that it may lack. */
static chaski_slice some_key(lua_State *L) {
  chaski_slice key = CHASKI_SLICE("id");
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) continue;
    key.ptr = (const uint8_t *)lua_tolstring(L, -2, &key.len);
    lua_pop(L, 2);
    break;
  }
  return key;
}

static void check_same(lua_State *L, int a, int b) {
  chaski_pack_options options = {.sort_keys = true};
  chaski_packer *p = chaski__packer_new(L), *q = chaski__packer_new(L);
  int rc = chaski__pack(L, a, p, &options, "data");
  FUZZ_CHECK(rc == chaski__pack(L, b, q, &options, "data"));
  FUZZ_CHECK(rc != 0 || (p->len == q->len && memcmp(p->ptr, q->ptr, p->len) == 0));
}

static int read_in_part(lua_State *L) {
  const chaski_slice *in = lua_touserdata(L, 1);
  bool whole = chaski__unpack(L, *in, NULL) == 0 && is_map(*in);
  chaski_slice key = whole ? some_key(L) : (chaski_slice)CHASKI_SLICE("id");
  chaski_unpack_field fields[] = {{key, CHASKI_STRINGS_AUTO, true, false, {NULL, 0}},
                                  {key, CHASKI_STRINGS_AUTO, false, false, {NULL, 0}}};
  FUZZ_CHECK(chaski__unpack_map(L, *in, NULL, fields, 1) == whole);
  FUZZ_CHECK(chaski__unpack_map(L, *in, NULL, fields + 1, 1) == whole);
  if (!whole) return 0;
  lua_pushlstring(L, (const char *)key.ptr, key.len);
  lua_rawget(L, 2);
  FUZZ_CHECK(fields[0].found == (lua_type(L, 4) == LUA_TSTRING));
  check_same(L, 3, 4);
  return 0;
}

static void run(lua_State *L, lua_CFunction fn, chaski_slice *in) {
  lua_pushcfunction(L, fn);
  lua_pushlightuserdata(L, in);
  FUZZ_CHECK(lua_pcall(L, 1, 0, 0) == LUA_OK);
  lua_gc(L, LUA_GCCOLLECT);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
  chaski_slice in = chaski_slice_of(bytes, len);
  if (len > 65536) return 0;
  lua_State *L = lua_newstate(bounded, NULL);
  FUZZ_CHECK(L);
  run(L, round_trip, &in);
  run(L, read_in_part, &in);
  lua_close(L);
  FUZZ_CHECK(held == 0 && chaski_alloc_blocks() == 0);
  return 0;
}
