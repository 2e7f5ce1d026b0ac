/* pack.c: Lua value -> MessagePack; the rules are in codec.h. Writes the bytes itself: of libmpack 1.0.5's writer,
 * negative integers come out wrong near the width limits (-129, -32769, -2^32-1) and negative extension types abort.
 * Recursion is bounded by the depth option; nothing is owned by the C stack, so any call may raise.
 * SPDX-License-Identifier: MIT */
#include "../core/alloc.h"
#include "../core/error.h"
#include "codec.h"
#include "error.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_CAPACITY 512
#define KEPT_CAPACITY 65536 /* a buffer beyond this is given back once it is mostly unused */
#define LEND_MIN 512        /* bytes: shorter strings are copied as fast */
#define TOKEN_MAX 16        /* bytes of the longest header: ext 32 is 6, a timestamp 96 with its header 15 */
#define SLOTS 8             /* Lua stack slots that one level uses */
#define PATH_MAX_LEN 200
#define PATH_DEEP 8 /* steps shown of a path that is too deep */

typedef struct sort_key {
  enum { SORT_BOOLEAN, SORT_NUMBER, SORT_STRING } rank;
  int slot; /* of the key on the Lua stack, which also keeps it alive */
  bool integer;
  lua_Integer i;
  lua_Number n;
  chaski_slice s;
} sort_key;

typedef struct packer {
  chaski_packer result; /* first: what callers see */
  uint8_t *buf;
  size_t cap, len;
  sort_key *sort; /* scratch, used as a stack by nested maps */
  size_t sort_cap, sort_len;
  const void *metatables[CHASKI_KINDS];
} packer;

/* One table being written; the chain of them is the path of an error. */
typedef struct level {
  const struct level *up;
  const void *table;
  int key;           /* slot of the current key on the Lua stack, or 0: it is `index` */
  lua_Integer index; /* in an array */
  const char *name;  /* unless NULL the current key, of a map that is no table */
} level;

typedef struct job {
  lua_State *L;
  packer *p;
  const char *root;
  chaski_pack_options opt;
  uint32_t depth, count, tables, number_keys;
  int code; /* of the error on the top of the stack */
} job;

static bool write_value(job *j, int idx, const level *up);

/* --- errors ------------------------------------------------------------------------------------------------------ */

typedef struct error_path {
  char text[PATH_MAX_LEN];
  size_t len;
  bool full;
} error_path;

static bool is_name(const char *s, size_t len) {
  bool name = len > 0 && len <= 40 && !(s[0] >= '0' && s[0] <= '9');
  for (size_t i = 0; name && i < len; i++)
    name = s[i] == '_' || (s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z');
  return name;
}

static void add_text(error_path *path, const char *text) {
  size_t len = strlen(text);
  if (path->full || len > sizeof path->text - path->len - sizeof "...") {
    if (!path->full) memcpy(path->text + path->len, "...", sizeof "...");
    path->full = true;
    return;
  }
  memcpy(path->text + path->len, text, len + 1);
  path->len += len;
}

static void format_string_key(char *step, size_t size, const char *s, size_t len) {
  char shown[44] = "";
  if (is_name(s, len)) {
    snprintf(step, size, ".%s", s);
    return;
  }
  for (size_t i = 0; i < len && i < 40; i++) shown[i] = s[i] < ' ' || s[i] > '~' || s[i] == '"' ? '?' : s[i];
  snprintf(step, size, "[\"%s%s\"]", shown, len > 40 ? "..." : "");
}

static void add_step(error_path *path, lua_State *L, const level *l) {
  char step[64];
  size_t len;
  const char *s;
  if (l->name) {
    add_text(path, "."), add_text(path, l->name);
    return;
  }
  switch (l->key ? lua_type(L, l->key) : LUA_TNONE) {
  case LUA_TNONE:
    snprintf(step, sizeof step, "[%lld]", (long long)l->index);
    break;
  case LUA_TBOOLEAN:
    snprintf(step, sizeof step, "[%s]", lua_toboolean(L, l->key) ? "true" : "false");
    break;
  case LUA_TNUMBER:
    if (lua_isinteger(L, l->key))
      snprintf(step, sizeof step, "[%lld]", (long long)lua_tointeger(L, l->key));
    else
      snprintf(step, sizeof step, "[%.14g]", lua_tonumber(L, l->key));
    break;
  case LUA_TSTRING:
    s = lua_tolstring(L, l->key, &len);
    format_string_key(step, sizeof step, s, len);
    break;
  default:
    snprintf(step, sizeof step, "[?]");
    break;
  }
  add_text(path, step);
}

static void format_path(error_path *path, job *j, const level *innermost, size_t steps_max) {
  const level *steps[CHASKI_CODEC_DEPTH_MAX + 1];
  size_t n = 0;
  path->len = 0, path->full = false, path->text[0] = '\0';
  for (const level *l = innermost; l && n < sizeof steps / sizeof *steps; l = l->up) steps[n++] = l;
  add_text(path, j->root);
  for (size_t shown = 0; n-- > 0; shown++) {
    if (shown == steps_max) {
      add_text(path, "...");
      return;
    }
    add_step(path, j->L, steps[n]);
  }
}

static bool fail_at(job *j, const level *at, int code, size_t steps_max, const char *reason) {
  error_path path;
  luaL_checkstack(j->L, SLOTS, NULL);
  format_path(&path, j, at, steps_max);
  chaski__push_error(j->L, chaski_error_name(code), "%s: %s", path.text, reason);
  j->code = code;
  return false;
}

/* `reason` may have one %s, and is then given `word`. */
static bool fail(job *j, const level *at, const char *reason, const char *word) {
  luaL_checkstack(j->L, SLOTS, NULL);
  return fail_at(j, at, CHASKI_ESERIALIZE, SIZE_MAX, lua_pushfstring(j->L, reason, word));
}

static bool fail_limit(job *j, const level *at, size_t steps_max, const char *reason, uint32_t limit) {
  luaL_checkstack(j->L, SLOTS, NULL);
  reason = lua_pushfstring(j->L, reason, (lua_Integer)limit);
  return fail_at(j, at, CHASKI_ESERIALIZE, steps_max, reason);
}

/* --- bytes ------------------------------------------------------------------------------------------------------- */

static bool grow(packer *p, size_t more) {
  size_t cap = p->cap ? p->cap : FIRST_CAPACITY;
  uint8_t *buf;
  if (more > SIZE_MAX / 2 - p->len) return false;
  while (cap - p->len < more) cap *= 2;
  buf = chaski__realloc(p->buf, cap);
  if (!buf) return false;
  p->buf = buf, p->cap = cap;
  return true;
}

static bool fail_size(job *j, const level *at) {
  const char *limit = chaski_error_text(CHASKI_ETOOBIG);
  luaL_checkstack(j->L, SLOTS, NULL);
  return fail_at(j, at, CHASKI_ETOOBIG, SIZE_MAX,
                 lua_pushfstring(j->L, "%s of %I bytes", limit, (lua_Integer)j->opt.size));
}

static bool make_room(job *j, size_t more, const level *at) {
  packer *p = j->p;
  if (j->opt.size && (p->len > j->opt.size || more - TOKEN_MAX > j->opt.size - p->len)) return fail_size(j, at);
  return grow(p, more) || fail_at(j, at, CHASKI_ENOMEM, SIZE_MAX, chaski_error_text(CHASKI_ENOMEM));
}

/* Room for a header and `bytes` after it. */
static inline bool reserve(job *j, size_t bytes, const level *at) {
  return j->p->cap - j->p->len >= bytes + TOKEN_MAX || make_room(j, bytes + TOKEN_MAX, at);
}

static inline void put(packer *p, unsigned byte) {
  p->buf[p->len++] = (uint8_t)byte;
}

static inline void put_big_endian(packer *p, uint64_t value, int bytes) {
  while (bytes-- > 0) put(p, (unsigned)(value >> (8 * bytes)) & 0xff);
}

static inline void put_sized(packer *p, unsigned first, uint64_t value, int bytes) {
  put(p, first);
  put_big_endian(p, value, bytes);
}

static inline void put_bytes(packer *p, const void *bytes, size_t len) {
  if (len) memcpy(p->buf + p->len, bytes, len);
  p->len += len;
}

static void put_integer(packer *p, lua_Integer v) {
  if (v >= 0) {
    if (v < 0x80)
      put(p, (unsigned)v);
    else if (v <= UINT8_MAX)
      put_sized(p, 0xcc, (uint64_t)v, 1);
    else if (v <= UINT16_MAX)
      put_sized(p, 0xcd, (uint64_t)v, 2);
    else if (v <= UINT32_MAX)
      put_sized(p, 0xce, (uint64_t)v, 4);
    else
      put_sized(p, 0xcf, (uint64_t)v, 8);
  } else if (v >= -32)
    put(p, (unsigned)(v & 0xff));
  else if (v >= INT8_MIN)
    put_sized(p, 0xd0, (uint64_t)v, 1);
  else if (v >= INT16_MIN)
    put_sized(p, 0xd1, (uint64_t)v, 2);
  else if (v >= INT32_MIN)
    put_sized(p, 0xd2, (uint64_t)v, 4);
  else
    put_sized(p, 0xd3, (uint64_t)v, 8);
}

static void put_float(packer *p, lua_Number v) {
  uint64_t bits;
  memcpy(&bits, &v, sizeof bits);
  put_sized(p, 0xcb, bits, 8);
}

static void put_str_header(packer *p, size_t len) {
  if (len < 32)
    put(p, 0xa0 | (unsigned)len);
  else if (len <= UINT8_MAX)
    put_sized(p, 0xd9, len, 1);
  else if (len <= UINT16_MAX)
    put_sized(p, 0xda, len, 2);
  else
    put_sized(p, 0xdb, len, 4);
}

static void put_bin_header(packer *p, size_t len) {
  int wide = len > UINT16_MAX ? 2 : len > UINT8_MAX ? 1 : 0;
  put_sized(p, 0xc4 + (unsigned)wide, len, 1 << wide);
}

static void put_ext_header(packer *p, int type, size_t len) {
  int wide = len > UINT16_MAX ? 2 : len > UINT8_MAX ? 1 : 0;
  switch (len) {
  case 1:
    put(p, 0xd4);
    break;
  case 2:
    put(p, 0xd5);
    break;
  case 4:
    put(p, 0xd6);
    break;
  case 8:
    put(p, 0xd7);
    break;
  case 16:
    put(p, 0xd8);
    break;
  default:
    put_sized(p, 0xc7 + (unsigned)wide, len, 1 << wide);
    break;
  }
  put(p, (unsigned)type & 0xff);
}

static void put_array_header(packer *p, size_t n) {
  if (n < 16)
    put(p, 0x90 | (unsigned)n);
  else if (n <= UINT16_MAX)
    put_sized(p, 0xdc, n, 2);
  else
    put_sized(p, 0xdd, n, 4);
}

/* --- strings ----------------------------------------------------------------------------------------------------- */

/* Bytes of the well-formed UTF-8 character at s (RFC 3629: shortest form, no surrogates, to U+10FFFF), 0 if none. */
static size_t utf8_length(const uint8_t *s, size_t left) {
  uint8_t first = s[0], least = 0x80, most = 0xbf;
  size_t len = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (len == 0 || len > left) return 0;
  if (first == 0xe0)
    least = 0xa0;
  else if (first == 0xed)
    most = 0x9f;
  else if (first == 0xf0)
    least = 0x90;
  else if (first == 0xf4)
    most = 0x8f;
  for (size_t i = 1; i < len; i++, least = 0x80, most = 0xbf)
    if (s[i] < least || s[i] > most) return 0;
  return len;
}

static uint64_t word_at(const uint8_t *s) {
  uint64_t word;
  memcpy(&word, s, sizeof word);
  return word;
}

typedef uint64_t lanes __attribute__((vector_size(16))); /* one register on any 64-bit processor */

static lanes lanes_at(const uint8_t *s) {
  lanes l;
  memcpy(&l, s, sizeof l);
  return l;
}

/* How many bytes from s on are ASCII, told in steps: 64 bytes, then 8, then what is left. */
static size_t ascii_length(const uint8_t *s, size_t len) {
  const uint64_t tops = UINT64_C(0x8080808080808080);
  size_t at = 0;
  for (; len - at >= 64; at += 64) {
    lanes all = (lanes_at(s + at) | lanes_at(s + at + 16)) | (lanes_at(s + at + 32) | lanes_at(s + at + 48));
    if ((all[0] | all[1]) & tops) break;
  }
  while (len - at >= 8 && !(word_at(s + at) & tops)) at += 8;
  if (len - at < 8 && len >= 8) return word_at(s + len - 8) & tops ? at : len;
  while (at < len && s[at] < 0x80) at++;
  return at;
}

static bool is_utf8(const uint8_t *s, size_t len) {
  for (size_t at = ascii_length(s, len), step; at < len; at += step) {
    step = s[at] < 0x80 ? ascii_length(s + at, len - at) : utf8_length(s + at, len - at);
    if (step == 0) return false;
  }
  return true;
}

static bool write_string(job *j, chaski_slice s, chaski_strings type, const level *at) {
  bool lend = j->opt.lend && !at && s.len >= LEND_MIN;
  if (s.len > UINT32_MAX) return fail(j, at, "a string of 4 GiB or more", NULL);
  if (!reserve(j, lend ? 0 : s.len, at)) return false;
  if (type == CHASKI_STRINGS_AUTO) type = is_utf8(s.ptr, s.len) ? CHASKI_STRINGS_STR : CHASKI_STRINGS_BIN;
  if (type == CHASKI_STRINGS_STR)
    put_str_header(j->p, s.len);
  else
    put_bin_header(j->p, s.len);
  if (lend)
    j->p->result.rest = s;
  else
    put_bytes(j->p, s.ptr, s.len);
  return true;
}

static chaski_slice string_at(lua_State *L, int idx) {
  chaski_slice s;
  s.ptr = (const uint8_t *)lua_tolstring(L, idx, &s.len);
  return s;
}

/* --- userdata ---------------------------------------------------------------------------------------------------- */

static chaski_kind kind_of(job *j, int idx) {
  const void *metatable;
  int kind = 0;
  if (!lua_getmetatable(j->L, idx)) return CHASKI_KINDS;
  metatable = lua_topointer(j->L, -1);
  lua_pop(j->L, 1);
  while (kind < CHASKI_KINDS && j->p->metatables[kind] != metatable) kind++;
  return (chaski_kind)kind;
}

static bool write_timestamp(job *j, int idx, const level *at) {
  packer *p = j->p;
  int64_t sec = 0;
  uint32_t nsec = 0;
  if (!reserve(j, 0, at)) return false;
  chaski__to_timestamp(j->L, idx, &sec, &nsec);
  if (sec >> 34 != 0) {
    put_ext_header(p, -1, 12);
    put_big_endian(p, nsec, 4);
    put_big_endian(p, (uint64_t)sec, 8);
  } else if (nsec || sec > UINT32_MAX) {
    put_ext_header(p, -1, 8);
    put_big_endian(p, (uint64_t)nsec << 34 | (uint64_t)sec, 8);
  } else {
    put_ext_header(p, -1, 4);
    put_big_endian(p, (uint64_t)sec, 4);
  }
  return true;
}

static bool write_ext(job *j, int idx, const level *at) {
  chaski_slice bytes = chaski__content(j->L, idx);
  if (bytes.len > UINT32_MAX) return fail(j, at, "an extension of 4 GiB or more", NULL);
  if (!reserve(j, bytes.len, at)) return false;
  put_ext_header(j->p, chaski__ext_type(j->L, idx), bytes.len);
  put_bytes(j->p, bytes.ptr, bytes.len);
  return true;
}

static bool fail_type(job *j, int idx, const level *at) {
  const char *name = lua_typename(j->L, lua_type(j->L, idx));
  if (luaL_getmetafield(j->L, idx, "__name") == LUA_TSTRING) name = lua_tostring(j->L, -1);
  return fail(j, at, "cannot serialise a %s", name);
}

static bool write_userdata(job *j, int idx, const level *at) {
  switch (kind_of(j, idx)) {
  case CHASKI_KIND_NULL:
    if (!reserve(j, 0, at)) return false;
    put(j->p, 0xc0);
    return true;
  case CHASKI_KIND_BIN:
    return write_string(j, chaski__content(j->L, idx), CHASKI_STRINGS_BIN, at);
  case CHASKI_KIND_STR:
    return write_string(j, chaski__content(j->L, idx), CHASKI_STRINGS_STR, at);
  case CHASKI_KIND_TIMESTAMP:
    return write_timestamp(j, idx, at);
  case CHASKI_KIND_EXT:
    return write_ext(j, idx, at);
  case CHASKI_KIND_ARRAY:
  case CHASKI_KIND_MAP:
  case CHASKI_KINDS:
    break;
  }
  return fail_type(j, idx, at);
}

/* --- tables ------------------------------------------------------------------------------------------------------ */

static bool count_one(job *j, const level *at) {
  if (++j->count <= j->opt.count) return true;
  return fail_limit(j, at, SIZE_MAX, "more than %I values", j->opt.count);
}

static void put_number(job *j, int idx) {
  if (lua_isinteger(j->L, idx))
    put_integer(j->p, lua_tointeger(j->L, idx));
  else
    put_float(j->p, lua_tonumber(j->L, idx));
}

static bool write_number_key(job *j, int idx, const level *at) {
  if (++j->number_keys > j->opt.number_keys)
    return fail_limit(j, at->up, SIZE_MAX, "more than %I number keys in maps", j->opt.number_keys);
  put_number(j, idx);
  return true;
}

static bool fail_key_size(job *j, const level *at) {
  return fail_limit(j, at, SIZE_MAX, "a key longer than %I bytes", j->opt.key_size);
}

static bool write_string_key(job *j, int idx, const level *at) {
  chaski_slice s = string_at(j->L, idx);
  if (s.len > j->opt.key_size) return fail_key_size(j, at);
  return write_string(j, s, j->opt.strings == CHASKI_STRINGS_STR ? CHASKI_STRINGS_STR : CHASKI_STRINGS_AUTO, at);
}

static bool write_key(job *j, int idx, const level *at) {
  if (!reserve(j, 0, at)) return false;
  switch (lua_type(j->L, idx)) {
  case LUA_TSTRING:
    return write_string_key(j, idx, at);
  case LUA_TNUMBER:
    return write_number_key(j, idx, at);
  case LUA_TBOOLEAN:
    put(j->p, lua_toboolean(j->L, idx) ? 0xc3 : 0xc2);
    return true;
  default:
    return fail(j, at->up, "a key cannot be a %s", luaL_typename(j->L, idx));
  }
}

/* The pair on the top of the stack; `l->key` is the key's slot. */
static bool write_pair(job *j, level *l) {
  return count_one(j, l) && write_key(j, l->key, l) && write_value(j, l->key + 1, l);
}

/* The byte at `start` was left for the header of a small map; make it the header of n pairs. */
static bool finish_map(job *j, size_t start, size_t n, const level *at) {
  packer *p = j->p;
  size_t more = n < 16 ? 0 : n <= UINT16_MAX ? 2 : 4, end;
  if (!reserve(j, 0, at)) return false;
  if (more) memmove(p->buf + start + 1 + more, p->buf + start + 1, p->len - start - 1);
  end = p->len + more;
  p->len = start;
  if (more)
    put_sized(p, more == 2 ? 0xde : 0xdf, n, (int)more);
  else
    put(p, 0x80 | (unsigned)n);
  p->len = end;
  return true;
}

/* In the table's own order, in one pass: how many pairs there are is known at the end. */
static bool write_pairs(job *j, int idx, level *l, size_t *n) {
  lua_State *L = j->L;
  lua_pushnil(L);
  for (l->key = lua_gettop(L); lua_next(L, idx); lua_pop(L, 1), ++*n)
    if (!write_pair(j, l)) return false;
  return true;
}

static int compare_keys(const void *left, const void *right) {
  const sort_key *a = left, *b = right;
  size_t shorter = a->s.len < b->s.len ? a->s.len : b->s.len;
  int order = 0;
  if (a->rank != b->rank) return (int)a->rank - (int)b->rank;
  if (a->rank != SORT_STRING) {
    if (a->integer && b->integer) return (a->i > b->i) - (a->i < b->i);
    if (a->n != b->n) return a->n > b->n ? 1 : -1;
    return (int)b->integer - (int)a->integer; /* 2^63-1 rounds up to the float 2^63, which is more */
  }
  if (shorter) order = memcmp(a->s.ptr, b->s.ptr, shorter);
  return order ? order : (a->s.len > b->s.len) - (a->s.len < b->s.len);
}

static bool add_sort_key(job *j, int slot, const level *at) {
  packer *p = j->p;
  sort_key *key;
  if (p->sort_len == p->sort_cap) {
    size_t cap = p->sort_cap ? p->sort_cap * 2 : 16;
    sort_key *grown = chaski__realloc(p->sort, cap * sizeof *grown);
    if (!grown) return fail_at(j, at, CHASKI_ENOMEM, SIZE_MAX, chaski_error_text(CHASKI_ENOMEM));
    p->sort = grown, p->sort_cap = cap;
  }
  key = &p->sort[p->sort_len++];
  *key = (sort_key){SORT_BOOLEAN, slot, lua_isinteger(j->L, slot), 0, 0, {NULL, 0}};
  if (lua_type(j->L, slot) == LUA_TNUMBER) {
    key->rank = SORT_NUMBER, key->n = lua_tonumber(j->L, slot);
    if (key->integer) key->i = lua_tointeger(j->L, slot);
  } else if (lua_type(j->L, slot) == LUA_TSTRING)
    key->rank = SORT_STRING, key->s = string_at(j->L, slot);
  else
    key->n = lua_toboolean(j->L, slot);
  return true;
}

/* All keys onto the Lua stack: nothing is allocated by Lua, so no finalizer runs and the table stays as it is. */
static bool collect_keys(job *j, int idx, const level *l) {
  lua_State *L = j->L;
  lua_pushnil(L);
  while (lua_next(L, idx)) {
    lua_pop(L, 1);
    if (!lua_checkstack(L, SLOTS)) return fail(j, l->up, "too many keys to sort", NULL);
    if (!add_sort_key(j, lua_gettop(L), l->up)) return false;
    lua_pushvalue(L, -1);
  }
  return true;
}

static bool write_sorted(job *j, int idx, level *l, size_t *n) {
  lua_State *L = j->L;
  size_t base = j->p->sort_len;
  if (!collect_keys(j, idx, l)) return false;
  *n = j->p->sort_len - base;
  if (*n) qsort(j->p->sort + base, *n, sizeof *j->p->sort, compare_keys);
  for (size_t i = 0; i < *n; i++) {
    lua_pushvalue(L, j->p->sort[base + i].slot);
    l->key = lua_gettop(L);
    lua_pushvalue(L, -1);
    lua_rawget(L, idx);
    if (!write_pair(j, l)) return false;
    lua_settop(L, l->key - 1);
  }
  j->p->sort_len = base;
  return true;
}

static bool write_map(job *j, int idx, level *l) {
  size_t start = j->p->len, n = 0;
  put(j->p, 0x80);
  if (!(j->opt.sort_keys ? write_sorted : write_pairs)(j, idx, l, &n)) return false;
  return finish_map(j, start, n, l->up);
}

static bool write_array(job *j, int idx, level *l, lua_Unsigned n) {
  put_array_header(j->p, n);
  for (l->key = 0, l->index = 1; l->index <= (lua_Integer)n; l->index++) {
    lua_rawgeti(j->L, idx, l->index);
    if (!count_one(j, l) || !write_value(j, lua_gettop(j->L), l)) return false;
    lua_pop(j->L, 1);
  }
  return true;
}

/* rawlen gives a border n, so keys 1..n exist if the table has n keys and each is an integer from 1 to n. */
static bool is_sequence(lua_State *L, int idx, lua_Unsigned n) {
  lua_Unsigned keys = 0;
  for (lua_pushnil(L); lua_next(L, idx); keys++) {
    lua_pop(L, 1);
    if (!lua_isinteger(L, -1) || (lua_Unsigned)lua_tointeger(L, -1) - 1 >= n) {
      lua_pop(L, 1);
      return false;
    }
  }
  return keys == n;
}

static bool check_level(job *j, const level *l) {
  for (const level *up = l->up; up; up = up->up)
    if (up->table == l->table) return fail(j, l->up, "a cyclic table", NULL);
  if (j->depth == j->opt.depth) return fail_limit(j, l->up, PATH_DEEP, "nested deeper than %I", j->opt.depth);
  if (++j->tables > j->opt.tables) return fail_limit(j, l->up, SIZE_MAX, "more than %I tables", j->opt.tables);
  return lua_checkstack(j->L, SLOTS) || fail_at(j, l->up, CHASKI_ENOMEM, SIZE_MAX, chaski_error_text(CHASKI_ENOMEM));
}

static bool write_table(job *j, int idx, const level *up) {
  level l = {up, lua_topointer(j->L, idx), 0, 0, NULL};
  lua_Unsigned n = lua_rawlen(j->L, idx);
  chaski_kind mark;
  bool sequence, done;
  if (!check_level(j, &l) || !reserve(j, 0, up)) return false;
  mark = kind_of(j, idx);
  sequence = (mark == CHASKI_KIND_ARRAY || (n > 0 && mark != CHASKI_KIND_MAP)) && is_sequence(j->L, idx, n);
  if (mark == CHASKI_KIND_ARRAY && !sequence)
    return fail(j, up, "a chaski.array has keys other than 1 to n, or holes (chaski.null fills one)", NULL);
  j->depth++;
  done = sequence ? write_array(j, idx, &l, n) : write_map(j, idx, &l);
  j->depth--;
  return done;
}

static bool write_number(job *j, int idx, const level *at) {
  if (!reserve(j, 0, at)) return false;
  put_number(j, idx);
  return true;
}

static bool write_value(job *j, int idx, const level *up) {
  switch (lua_type(j->L, idx)) {
  case LUA_TSTRING:
    return write_string(j, string_at(j->L, idx), j->opt.strings, up);
  case LUA_TNUMBER:
    return write_number(j, idx, up);
  case LUA_TTABLE:
    return write_table(j, idx, up);
  case LUA_TUSERDATA:
    return write_userdata(j, idx, up);
  case LUA_TNIL:
  case LUA_TBOOLEAN:
    if (!reserve(j, 0, up)) return false;
    put(j->p, lua_isnil(j->L, idx) ? 0xc0 : lua_toboolean(j->L, idx) ? 0xc3 : 0xc2);
    return true;
  default:
    return fail_type(j, idx, up);
  }
}

/* --- the packer -------------------------------------------------------------------------------------------------- */

static const char packer_metatable; /* its address is the key in the registry */

static int packer_gc(lua_State *L) {
  packer *p = lua_touserdata(L, 1);
  if (!p) return 0;
  chaski__free(p->buf);
  chaski__free(p->sort);
  p->buf = NULL, p->sort = NULL, p->cap = p->len = p->sort_cap = p->sort_len = 0;
  return 0;
}

static void push_packer_metatable(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &packer_metatable) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_pushliteral(L, "chaski.packer");
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, packer_gc);
  lua_setfield(L, -2, "__gc");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &packer_metatable);
}

chaski_packer *chaski__packer_new(lua_State *L) {
  packer *p;
  luaL_checkstack(L, SLOTS, NULL);
  p = lua_newuserdatauv(L, sizeof *p, 0);
  memset(p, 0, sizeof *p);
  chaski__kinds(L, p->metatables);
  push_packer_metatable(L);
  lua_setmetatable(L, -2);
  return &p->result;
}

/* Start over. What a rare large message needed is not kept for ever. */
static void rewind_packer(packer *p) {
  if (p->cap > KEPT_CAPACITY && p->len < p->cap / 4) {
    chaski__free(p->buf);
    p->buf = NULL, p->cap = 0;
  }
  p->len = p->sort_len = 0;
  p->result = (chaski_packer){NULL, 0, {NULL, 0}};
}

static chaski_pack_options with_defaults(const chaski_pack_options *opt) {
  chaski_pack_options o = opt ? *opt : (chaski_pack_options){0};
  if (o.depth == 0) o.depth = CHASKI_CODEC_DEPTH;
  if (o.depth > CHASKI_CODEC_DEPTH_MAX) o.depth = CHASKI_CODEC_DEPTH_MAX;
  if (o.count == 0) o.count = CHASKI_CODEC_COUNT;
  if (o.tables == 0) o.tables = CHASKI_CODEC_TABLES;
  if (o.key_size == 0) o.key_size = CHASKI_CODEC_KEY_SIZE;
  if (o.number_keys == 0) o.number_keys = CHASKI_CODEC_NUMBER_KEYS;
  return o;
}

static bool check_size(job *j) {
  if (!j->opt.size || j->p->len + j->p->result.rest.len <= j->opt.size) return true;
  return fail_size(j, NULL);
}

/* What came of it; the stack is as it was, or has the error on top. */
static int finish(job *j, bool done, int top) {
  if (done && check_size(j)) {
    j->p->result.ptr = j->p->buf;
    j->p->result.len = j->p->len;
    lua_settop(j->L, top);
    return CHASKI_OK;
  }
  if (lua_gettop(j->L) > top + 1) lua_replace(j->L, top + 1);
  lua_settop(j->L, top + 1);
  return j->code;
}

int chaski__pack(lua_State *L, int idx, chaski_packer *handle, const chaski_pack_options *opt, const char *root) {
  packer *p = (packer *)handle;
  job j = {L, p, root, with_defaults(opt), 0, 0, 0, 0, CHASKI_OK};
  int top = lua_gettop(L);
  luaL_checkstack(L, SLOTS, NULL);
  rewind_packer(p);
  return finish(&j, write_value(&j, lua_absindex(L, idx), NULL), top);
}

/* ASCII, and shorter than 32 bytes. */
static bool write_known_key(job *j, chaski_slice s, const level *at) {
  if (s.len > j->opt.key_size) return fail_key_size(j, at);
  if (!reserve(j, s.len, at)) return false;
  put(j->p, 0xa0 | (unsigned)s.len);
  put_bytes(j->p, s.ptr, s.len);
  return true;
}

static bool write_field(job *j, const chaski_pack_field *f, const level *at) {
  chaski_strings strings = j->opt.strings == CHASKI_STRINGS_BIN ? CHASKI_STRINGS_AUTO : j->opt.strings;
  if (!count_one(j, at) || !write_known_key(j, f->key, at)) return false;
  return f->idx ? write_value(j, f->idx, at) : write_string(j, f->text, strings, at);
}

static bool write_fields(job *j, const chaski_pack_field *fields, size_t count) {
  level l = {NULL, NULL, 0, 0, NULL};
  if (!reserve(j, 0, NULL)) return false;
  put(j->p, 0x80 | (unsigned)count);
  for (size_t i = 0; i < count; i++) {
    l.name = (const char *)fields[i].key.ptr;
    if (!write_field(j, &fields[i], &l)) return false;
  }
  return true;
}

int chaski__pack_map(lua_State *L, const chaski_pack_field *fields, size_t count, chaski_packer *handle,
                     const chaski_pack_options *opt, const char *root) {
  packer *p = (packer *)handle;
  job j = {L, p, root, with_defaults(opt), 1, 0, 1, 0, CHASKI_OK}; /* the map is the first table, and one level */
  int top = lua_gettop(L);
  luaL_checkstack(L, SLOTS, NULL);
  rewind_packer(p);
  return finish(&j, write_fields(&j, fields, count), top);
}
