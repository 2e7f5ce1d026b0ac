/* unpack_fuzz.c: any bytes as application data: a Lua value or an error, within bounds of memory. What is read is
 * written and read again, and is written the same. SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "../../src/core/alloc.h"
#include "../../src/lua/codec.h"

#include <lauxlib.h>
#include <lualib.h>
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

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
  chaski_slice in = chaski_slice_of(bytes, len);
  if (len > 65536) return 0;
  lua_State *L = lua_newstate(bounded, NULL);
  FUZZ_CHECK(L);
  lua_pushcfunction(L, round_trip);
  lua_pushlightuserdata(L, &in);
  FUZZ_CHECK(lua_pcall(L, 1, 0, 0) == LUA_OK);
  lua_close(L);
  FUZZ_CHECK(held == 0 && chaski_alloc_blocks() == 0);
  return 0;
}
