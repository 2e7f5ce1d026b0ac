/* unpack.c: MessagePack -> Lua value; the rules are in codec.h. Works on libmpack's tokens; the commonest first bytes
 * are turned into tokens here. Open tables are records in an array, not recursion, and no memory is taken for what is
 * announced but not there.
 * SPDX-License-Identifier: MIT */
#include "../core/error.h"
#include "codec.h"
#include "error.h"

#include <assert.h>
#include <endian.h>
#include <float.h>
#include <lauxlib.h>
#include <math.h>
#include <mpack.h>

#define PRESIZE_MAX 1024 /* slots a table is born with at most, whatever was announced */
#define NSEC_MAX 999999999
#define LEVELS_FREE 5 /* tables in tables for which LUA_MINSTACK is enough: two slots each, and six */

/* There are two callers, one of which every message takes. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* An open table. The Lua stack holds the table and, in a map, the key whose value is being read. */
typedef struct level {
  uint32_t left;  /* elements or pairs still to be read */
  uint32_t index; /* of the last element */
  bool map;
  bool numbers; /* a map with number keys */
} level;

typedef struct reader {
  lua_State *L;
  const uint8_t *start, *at, *end;
  const uint8_t *token; /* where the current one begins: the place an error names */
  chaski_unpack_options opt;
  uint32_t depth, count, tables, number_keys;
  const char *fault; /* takes fault_number as %I */
  lua_Integer fault_number;
  level levels[CHASKI_CODEC_DEPTH_MAX];
} reader;

static bool fail(reader *r, const char *fault, lua_Integer number) {
  r->fault = fault, r->fault_number = number;
  return false;
}

static bool fail_limit(reader *r, chaski_codec_limit which, const char *fault, uint32_t limit) {
  if (r->opt.hit) *r->opt.hit = which;
  return fail(r, fault, limit);
}

static size_t bytes_left(const reader *r) {
  return (size_t)(r->end - r->at);
}

static uint64_t big_endian(const uint8_t *p, size_t bytes) {
  uint64_t v = 0;
  while (bytes-- > 0) v = v << 8 | *p++;
  return v;
}

/* The same, of 1 to 8 bytes behind the first one, which are there. */
static inline uint64_t number_at(const reader *r, size_t bytes) {
  uint64_t v;
  if (r->end - r->at < 9) return big_endian(r->at + 1, bytes);
  memcpy(&v, r->at + 1, sizeof v);
  return be64toh(v) >> (64 - 8 * bytes);
}

/* --- tokens ------------------------------------------------------------------------------------------------------ */

static bool general_token(reader *r, mpack_token_t *token) {
  mpack_tokbuf_t state;
  const char *at = (const char *)r->at;
  size_t left = bytes_left(r);
  int status;
  mpack_tokbuf_init(&state);
  status = mpack_read(&state, &at, &left, token);
  if (status == MPACK_EOF) return fail(r, "truncated", 0);
  if (status != MPACK_OK) return fail(r, "invalid first byte", 0);
  r->at = (const uint8_t *)at;
  return true;
}

static inline bool sized(reader *r, mpack_token_t *token, mpack_token_type_t type, uint32_t length, size_t header) {
  r->at += header;
  token->type = type, token->length = length;
  return true;
}

static inline bool small_integer(reader *r, mpack_token_t *token, mpack_token_type_t type, uint8_t value) {
  token->data.value.hi = 0, token->data.value.lo = value;
  return sized(r, token, type, 1, 1);
}

/* An unsigned integer of 1, 2, 4 or 8 bytes after its first one, 0xcc to 0xcf. */
static inline bool sized_integer(reader *r, mpack_token_t *token, uint8_t first) {
  size_t width = (size_t)1 << (first - 0xcc);
  uint64_t v;
  if (bytes_left(r) <= width) return general_token(r, token);
  v = number_at(r, width);
  token->data.value.hi = (uint32_t)(v >> 32), token->data.value.lo = (uint32_t)v;
  return sized(r, token, MPACK_TOKEN_UINT, (uint32_t)width, 1 + width);
}

/* A float of 8 bytes, as pack.c writes all of them: the token holds its bits. */
static inline bool sized_float(reader *r, mpack_token_t *token) {
  if (bytes_left(r) <= 8) return general_token(r, token);
  uint64_t v = number_at(r, 8);
  token->data.value.hi = (uint32_t)(v >> 32), token->data.value.lo = (uint32_t)v;
  return sized(r, token, MPACK_TOKEN_FLOAT, 8, 9);
}

ALWAYS_INLINE bool next_token(reader *r, mpack_token_t *token) {
  uint8_t first;
  r->token = r->at;
  if (r->at == r->end) return fail(r, "truncated", 0);
  first = *r->at;
  if (first < 0x80) return small_integer(r, token, MPACK_TOKEN_UINT, first);
  if (first < 0x90) return sized(r, token, MPACK_TOKEN_MAP, first & 0x0fU, 1);
  if (first < 0xa0) return sized(r, token, MPACK_TOKEN_ARRAY, first & 0x0fU, 1);
  if (first < 0xc0) return sized(r, token, MPACK_TOKEN_STR, first & 0x1fU, 1);
  if (first >= 0xcc && first <= 0xcf) return sized_integer(r, token, first);
  if (first == 0xcb) return sized_float(r, token);
  if (first == 0xd9 && r->end - r->at > 1) return sized(r, token, MPACK_TOKEN_STR, r->at[1], 2);
  return general_token(r, token);
}

static bool take(reader *r, size_t len, chaski_slice *bytes) {
  if (len > bytes_left(r)) return fail(r, "truncated: %I bytes announced", (lua_Integer)len);
  *bytes = chaski_slice_of(r->at, len);
  r->at += len;
  return true;
}

/* --- scalars ----------------------------------------------------------------------------------------------------- */

static void push_unsigned(reader *r, const mpack_token_t *token) {
  uint64_t v = (uint64_t)token->data.value.hi << 32 | token->data.value.lo;
  if (v <= INT64_MAX)
    lua_pushinteger(r->L, (lua_Integer)v);
  else
    lua_pushnumber(r->L, (lua_Number)v);
}

static_assert(sizeof(lua_Number) == 8 && DBL_MANT_DIG == 53, "a Lua float has the bits of a float 64 on the wire");

static lua_Number float_of(const mpack_token_t *token) {
  uint64_t v = (uint64_t)token->data.value.hi << 32 | token->data.value.lo;
  lua_Number n;
  if (token->length != sizeof n) return mpack_unpack_float(*token);
  memcpy(&n, &v, sizeof n);
  return n;
}

static bool push_string(reader *r, const mpack_token_t *token) {
  bool str = token->type == MPACK_TOKEN_STR;
  chaski_slice s;
  if (!take(r, token->length, &s)) return false;
  lua_pushlstring(r->L, (const char *)s.ptr, s.len);
  if (r->opt.strings == CHASKI_STRINGS_STR && !str) chaski__wrap(r->L, CHASKI_KIND_BIN);
  if (r->opt.strings == CHASKI_STRINGS_BIN && str) chaski__wrap(r->L, CHASKI_KIND_STR);
  return true;
}

static bool push_timestamp(reader *r, chaski_slice s) {
  uint64_t sec, nsec = 0;
  if (s.len == 4)
    sec = big_endian(s.ptr, 4);
  else if (s.len == 8)
    sec = big_endian(s.ptr, 8), nsec = sec >> 34, sec &= UINT64_C(0x3ffffffff);
  else if (s.len == 12)
    nsec = big_endian(s.ptr, 4), sec = big_endian(s.ptr + 4, 8);
  else
    return fail(r, "a timestamp of %I bytes", (lua_Integer)s.len);
  if (nsec > NSEC_MAX) return fail(r, "a timestamp with %I nanoseconds", (lua_Integer)nsec);
  chaski__push_timestamp(r->L, (int64_t)sec, (uint32_t)nsec);
  return true;
}

static bool push_ext(reader *r, const mpack_token_t *token) {
  int type = (token->data.ext_type ^ 0x80) - 0x80; /* libmpack gives the byte without its sign */
  chaski_slice s;
  if (!take(r, token->length, &s)) return false;
  if (type == -1) return push_timestamp(r, s);
  chaski__push_ext(r->L, type, s);
  return true;
}

/* --- tables ------------------------------------------------------------------------------------------------------ */

static bool check_table(reader *r, const mpack_token_t *token) {
  uint64_t n = token->length, least = token->type == MPACK_TOKEN_MAP ? 2 * n : n;
  if (r->depth == r->opt.depth) return fail_limit(r, CHASKI_CODEC_LIMIT_DEPTH, "nested deeper than %I", r->opt.depth);
  if (r->tables++ == r->opt.tables)
    return fail_limit(r, CHASKI_CODEC_LIMIT_TABLES, "more than %I tables", r->opt.tables);
  if (least > bytes_left(r)) return fail(r, "truncated: %I elements announced", (lua_Integer)n);
  if (n > r->opt.count - r->count) return fail_limit(r, CHASKI_CODEC_LIMIT_COUNT, "more than %I values", r->opt.count);
  return r->depth < LEVELS_FREE || lua_checkstack(r->L, 6) || fail(r, "out of Lua stack", 0);
}

static inline bool open_level(reader *r, const mpack_token_t *token) {
  if (!check_table(r, token)) return false;
  r->count += token->length;
  r->levels[r->depth++] = (level){token->length, 0, token->type == MPACK_TOKEN_MAP, false};
  return true;
}

static bool open_table(reader *r, const mpack_token_t *token) {
  bool map = token->type == MPACK_TOKEN_MAP;
  uint32_t n = token->length;
  int slots = n < PRESIZE_MAX ? (int)n : PRESIZE_MAX;
  if (!open_level(r, token)) return false;
  lua_createtable(r->L, map ? 0 : slots, map ? slots : 0);
  if (n == 0 && !map) chaski__mark(r->L, -1, CHASKI_KIND_ARRAY);
  return true;
}

static bool push_number_key(reader *r, level *l, const mpack_token_t *token) {
  if (r->number_keys++ == r->opt.number_keys)
    return fail_limit(r, CHASKI_CODEC_LIMIT_NUMBER_KEYS, "more than %I number keys in maps", r->opt.number_keys);
  l->numbers = true;
  if (token->type == MPACK_TOKEN_UINT)
    push_unsigned(r, token);
  else if (token->type == MPACK_TOKEN_SINT)
    lua_pushinteger(r->L, mpack_unpack_sint(*token));
  else
    lua_pushnumber(r->L, float_of(token));
  return !isnan(lua_tonumber(r->L, -1)) || fail(r, "a key that is not a number", 0);
}

/* `len` bytes at p, 1 to 8, of `left` that may be read. */
static inline uint64_t word_of(const uint8_t *p, size_t len, size_t left) {
  uint64_t w = 0;
  if (left < sizeof w) {
    for (size_t i = 0; i < len; i++) w |= (uint64_t)p[i] << 8 * i;
    return w;
  }
  memcpy(&w, p, sizeof w);
  return le64toh(w) << (64 - 8 * len) >> (64 - 8 * len);
}

/* Push the key at r->at, which is not empty, from its place in the cache if it is there; afterwards it is. */
static void push_cached_key(reader *r, size_t len) {
  const uint8_t *p = r->at;
  size_t left = bytes_left(r);
  uint64_t low = word_of(p, len < 8 ? len : 8, left), high = len > 8 ? word_of(p + 8, len - 8, left - 8) : 0;
  size_t place = (size_t)((low ^ high * 31) * UINT64_C(0x9e3779b97f4a7c15) >> 58);
  chaski_key *key = &r->opt.keys->at[place];
  r->at += len;
  if (key->len == len && key->text[0] == low && key->text[1] == high) {
    lua_rawgeti(r->L, r->opt.key_strings, (lua_Integer)place + 1);
    return;
  }
  lua_pushlstring(r->L, (const char *)p, len);
  key->len = 0; /* in case the next raises */
  lua_pushvalue(r->L, -1);
  lua_rawseti(r->L, r->opt.key_strings, (lua_Integer)place + 1);
  key->text[0] = low, key->text[1] = high, key->len = len;
}

static bool push_string_key(reader *r, uint32_t len) {
  chaski_slice s;
  if (len > r->opt.key_size)
    return fail_limit(r, CHASKI_CODEC_LIMIT_KEY_SIZE, "a key longer than %I bytes", r->opt.key_size);
  if (r->opt.keys && len - 1 < CHASKI_CODEC_KEY_MAX && len <= bytes_left(r)) {
    push_cached_key(r, len);
    return true;
  }
  if (!take(r, len, &s)) return false;
  lua_pushlstring(r->L, (const char *)s.ptr, s.len);
  return true;
}

static bool push_other_key(reader *r, level *l) {
  mpack_token_t token;
  r->token = r->at;
  if (r->at == r->end) return fail(r, "truncated", 0); /* libmpack would read on */
  if (!general_token(r, &token)) return false;
  switch (token.type) {
  case MPACK_TOKEN_STR:
  case MPACK_TOKEN_BIN:
    return push_string_key(r, token.length);
  case MPACK_TOKEN_UINT:
  case MPACK_TOKEN_SINT:
  case MPACK_TOKEN_FLOAT:
    return push_number_key(r, l, &token);
  case MPACK_TOKEN_BOOLEAN:
    lua_pushboolean(r->L, token.data.value.lo != 0);
    return true;
  case MPACK_TOKEN_NIL:
    return fail(r, "a key that is nil", 0);
  case MPACK_TOKEN_ARRAY:
  case MPACK_TOKEN_MAP:
  case MPACK_TOKEN_EXT:
  case MPACK_TOKEN_CHUNK:
    break;
  }
  return fail(r, "a key that is neither string, number nor boolean", 0);
}

/* Nearly all are strings of less than 32 bytes. */
static inline bool push_key(reader *r, level *l) {
  if (r->at == r->end || (*r->at & 0xe0) != 0xa0) return push_other_key(r, l);
  r->token = r->at;
  return push_string_key(r, *r->at++ & 0x1f);
}

/* --- the walk ---------------------------------------------------------------------------------------------------- */

/* Push a scalar, or a new table and its level. */
ALWAYS_INLINE bool push_value(reader *r, const level *parent) {
  mpack_token_t token;
  if (!next_token(r, &token)) return false;
  switch (token.type) {
  case MPACK_TOKEN_STR:
  case MPACK_TOKEN_BIN:
    return push_string(r, &token);
  case MPACK_TOKEN_UINT:
    push_unsigned(r, &token);
    return true;
  case MPACK_TOKEN_SINT:
    lua_pushinteger(r->L, mpack_unpack_sint(token));
    return true;
  case MPACK_TOKEN_FLOAT:
    lua_pushnumber(r->L, float_of(&token));
    return true;
  case MPACK_TOKEN_BOOLEAN:
    lua_pushboolean(r->L, token.data.value.lo != 0);
    return true;
  case MPACK_TOKEN_ARRAY:
  case MPACK_TOKEN_MAP:
    return open_table(r, &token);
  case MPACK_TOKEN_EXT:
    return push_ext(r, &token);
  case MPACK_TOKEN_NIL:
    if (parent && !parent->map)
      chaski__push_null(r->L);
    else
      lua_pushnil(r->L);
    return true;
  case MPACK_TOKEN_CHUNK:
    break;
  }
  return fail(r, "invalid token", 0);
}

/* The value on the top goes into its table. */
static inline void store(reader *r, level *parent) {
  if (parent->map)
    lua_rawset(r->L, -3);
  else
    lua_rawseti(r->L, -2, ++parent->index);
}

/* `base`: levels outside of the value being read, which have no Lua table. */
static inline level *innermost(reader *r, uint32_t base) {
  return r->depth > base ? &r->levels[r->depth - 1] : NULL;
}

/* Tables that have all their elements become elements themselves. */
static inline void close_tables(reader *r, uint32_t base) {
  level *l;
  while ((l = innermost(r, base)) && l->left == 0) {
    if (l->numbers) chaski__mark(r->L, -1, CHASKI_KIND_MAP);
    r->depth--;
    if (r->depth > base) store(r, innermost(r, base));
  }
}

ALWAYS_INLINE bool walk(reader *r, uint32_t base) {
  do {
    level *parent = innermost(r, base);
    uint32_t depth = r->depth;
    if (parent && parent->map && !push_key(r, parent)) return false;
    if (parent) parent->left--;
    if (!push_value(r, parent)) return false;
    if (parent && r->depth == depth) store(r, parent);
    close_tables(r, base);
  } while (r->depth > base);
  return true;
}

static bool push_only_object(reader *r) {
  if (!walk(r, 0)) return false;
  r->token = r->at;
  return r->at == r->end || fail(r, "%I bytes after the value", (lua_Integer)bytes_left(r));
}

static inline void set_options(reader *r, const chaski_unpack_options *opt) {
  r->opt = opt ? *opt : (chaski_unpack_options){0};
  if (r->opt.depth == 0) r->opt.depth = CHASKI_CODEC_DEPTH;
  if (r->opt.depth > CHASKI_CODEC_DEPTH_MAX) r->opt.depth = CHASKI_CODEC_DEPTH_MAX;
  if (r->opt.count == 0) r->opt.count = CHASKI_CODEC_COUNT;
  if (r->opt.tables == 0) r->opt.tables = CHASKI_CODEC_TABLES;
  if (r->opt.key_size == 0) r->opt.key_size = CHASKI_CODEC_KEY_SIZE;
  if (r->opt.number_keys == 0) r->opt.number_keys = CHASKI_CODEC_NUMBER_KEYS;
}

ALWAYS_INLINE void start(reader *r, lua_State *L, chaski_slice bytes, const chaski_unpack_options *opt) {
  static const uint8_t nothing;
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  r->L = L, r->depth = r->count = r->tables = r->number_keys = 0;
  r->start = r->at = r->token = bytes.len ? bytes.ptr : &nothing;
  r->end = r->start + bytes.len;
  set_options(r, opt);
}

int chaski__unpack(lua_State *L, chaski_slice bytes, const chaski_unpack_options *opt) {
  int top = lua_gettop(L);
  reader r;
  start(&r, L, bytes, opt);
  if (push_only_object(&r)) return CHASKI_OK;
  lua_settop(L, top);
  lua_pushfstring(L, r.fault, r.fault_number);
  chaski__push_error(L, chaski_error_name(CHASKI_EDATA), "malformed data at byte %I: %s",
                     (lua_Integer)(r.token - r.start + 1), lua_tostring(L, -1));
  lua_replace(L, top + 1);
  return CHASKI_EDATA;
}

/* --- a map of which some fields are wanted --------------------------------------------------------------------------
 */

static bool take_token(reader *r, mpack_token_t *token) {
  return next_token(r, token);
}

/* The checks of push_number_key. */
static bool skip_number_key(reader *r, level *l, const mpack_token_t *token) {
  bool good = push_number_key(r, l, token);
  if (good) lua_pop(r->L, 1);
  return good;
}

/* A key of which only its bytes are wanted; without a pointer if it is no string. */
static bool take_key(reader *r, level *l, chaski_slice *s) {
  mpack_token_t token;
  *s = chaski_slice_of(NULL, 0);
  if (!take_token(r, &token)) return false;
  switch (token.type) {
  case MPACK_TOKEN_STR:
  case MPACK_TOKEN_BIN:
    return token.length <= r->opt.key_size && take(r, token.length, s);
  case MPACK_TOKEN_UINT:
  case MPACK_TOKEN_SINT:
  case MPACK_TOKEN_FLOAT:
    return skip_number_key(r, l, &token);
  case MPACK_TOKEN_BOOLEAN:
    return true;
  default:
    return false;
  }
}

/* A scalar, or the head of a table. */
static bool skip_token(reader *r) {
  mpack_token_t token;
  chaski_slice s;
  if (!take_token(r, &token)) return false;
  switch (token.type) {
  case MPACK_TOKEN_STR:
  case MPACK_TOKEN_BIN:
    return take(r, token.length, &s);
  case MPACK_TOKEN_ARRAY:
  case MPACK_TOKEN_MAP:
    return open_level(r, &token);
  case MPACK_TOKEN_EXT:
    if (!push_ext(r, &token)) return false;
    lua_pop(r->L, 1);
    return true;
  default:
    return token.type != MPACK_TOKEN_CHUNK;
  }
}

/* As walk, in the map that is read in part, with nothing pushed. */
static bool skip_object(reader *r) {
  do {
    level *l = innermost(r, 1);
    chaski_slice key;
    if (l && l->map && !take_key(r, l, &key)) return false;
    if (l) l->left--;
    if (!skip_token(r)) return false;
    while ((l = innermost(r, 1)) && l->left == 0) r->depth--;
  } while (r->depth > 1);
  return true;
}

static bool read_text(reader *r, chaski_unpack_field *f) {
  const uint8_t *before = r->at;
  mpack_token_t token;
  f->found = false;
  if (!take_token(r, &token)) return false;
  if (token.type == MPACK_TOKEN_STR || token.type == MPACK_TOKEN_BIN) {
    f->found = true;
    return take(r, token.length, &f->bytes);
  }
  r->at = before;
  return skip_object(r);
}

static bool read_field(reader *r, chaski_unpack_field *f, int slot) {
  if (f->text) return read_text(r, f);
  r->opt.strings = f->strings;
  if (!walk(r, 1)) return false;
  lua_replace(r->L, slot);
  return true;
}

/* The value of that key: one of the fields, whose values have the slots from `slot` on, or nothing that is wanted. */
static bool read_pair(reader *r, chaski_unpack_field *fields, size_t count, int slot) {
  chaski_slice key;
  if (!take_key(r, &r->levels[0], &key)) return false;
  for (size_t i = 0; i < count; slot += !fields[i++].text)
    if (key.ptr && chaski_slice_equal(key, fields[i].key)) return read_field(r, &fields[i], slot);
  return skip_object(r);
}

static bool open_map(reader *r) {
  mpack_token_t token;
  if (!take_token(r, &token) || token.type != MPACK_TOKEN_MAP || !open_level(r, &token)) return false;
  return true;
}

bool chaski__unpack_map(lua_State *L, chaski_slice bytes, const chaski_unpack_options *opt, chaski_unpack_field *fields,
                        size_t count) {
  int top = lua_gettop(L);
  bool good;
  reader r;
  start(&r, L, bytes, opt);
  for (size_t i = 0; i < count; i++) {
    fields[i].found = false;
    if (!fields[i].text) lua_pushnil(L);
  }
  for (good = open_map(&r); good && r.levels[0].left > 0; r.levels[0].left--)
    good = read_pair(&r, fields, count, top + 1);
  if (good && r.at == r.end) return true;
  lua_settop(L, top);
  return false;
}
