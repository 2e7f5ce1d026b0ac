/* codec.h: MessagePack <-> Lua values. pack.c writes, unpack.c reads, values.c and timestamp.c have the marks and
 * objects for what Lua has no type for (chaski.null, array, map, bin, str, ext, timestamp), codec.c is Lua's way in.
 * Knows no node and no frame.
 *
 * Lua -> wire: integer -> the shortest int; float -> float 64, always; string -> str if valid UTF-8, else bin (option
 * `strings`); chaski.null -> nil; a table whose keys are exactly 1..n, n > 0 -> array, any other, the empty one too ->
 * map; a mark decides the doubtful cases. Tables are read raw: no metamethod is called, no user code runs.
 * Wire -> Lua: ints -> integers (above 2^63-1 a float), floats -> floats, str and bin -> strings, nil -> chaski.null in
 * an array, an absent key in a map, nil at the top; ext -1 -> chaski.timestamp, another ext -> chaski.ext; an empty
 * array and a map with number keys get their mark, so that a round trip keeps them. A key that comes twice: the last
 * wins. What pack takes, unpack takes, if both have the same limits.
 *
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_CODEC_H
#define CHASKI_CODEC_H

#include "../core/slice.h"

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#define CHASKI_CODEC_DEPTH 32         /* tables in tables; libmpack's own figure (RELIABILITY T22) */
#define CHASKI_CODEC_DEPTH_MAX 128    /* bounds the C stack: pack recurses, unpack holds one record a level */
#define CHASKI_CODEC_COUNT 1048576    /* elements of arrays and pairs of maps, all together: 80 MB of Lua at worst */
#define CHASKI_CODEC_TABLES 65536     /* tables: one byte of wire becomes 56 or more of memory */
#define CHASKI_CODEC_KEY_SIZE 256     /* bytes of a string key */
#define CHASKI_CODEC_NUMBER_KEYS 4096 /* in all maps of one message: their hashes can be made to collide (T23) */

typedef enum chaski_strings {
  CHASKI_STRINGS_AUTO, /* pack: by content. unpack: str and bin become Lua strings */
  CHASKI_STRINGS_STR,  /* pack: Lua strings are str, valid or not. unpack: a bin becomes a chaski.bin */
  CHASKI_STRINGS_BIN,  /* pack: Lua strings are bin, but keys as in AUTO. unpack: a str becomes a chaski.str */
} chaski_strings;      /* so STR and BIN lose no type in a round trip; a key is a Lua string always */

/* A field that is 0 has its default, a NULL pointer to the options means all of them. */
typedef struct chaski_pack_options {
  chaski_strings strings;
  bool lend;              /* a long string that is the whole value is not copied: it becomes the packer's `rest` */
  bool sort_keys;         /* false, true, numbers, strings by bytes: the same value has the same bytes */
  uint32_t depth;         /* <= CHASKI_CODEC_DEPTH_MAX */
  uint32_t count, tables; /* as unpack's, so that what we send our peers accept */
  uint32_t key_size, number_keys;
  size_t size; /* bytes of the result; 0: no limit */
} chaski_pack_options;

/* Which of the limits below was too small. */
typedef enum chaski_codec_limit {
  CHASKI_CODEC_LIMIT_NONE,
  CHASKI_CODEC_LIMIT_DEPTH,
  CHASKI_CODEC_LIMIT_COUNT,
  CHASKI_CODEC_LIMIT_TABLES,
  CHASKI_CODEC_LIMIT_KEY_SIZE,
  CHASKI_CODEC_LIMIT_NUMBER_KEYS,
} chaski_codec_limit;

#define CHASKI_CODEC_KEYS 64    /* places of a cache of keys: a power of two */
#define CHASKI_CODEC_KEY_MAX 16 /* bytes of a key that has a place */

/* Keys of maps that were read lately. Messages of one kind have the same keys, and a place costs less than finding the
 * string again. Zeroed: none. The strings themselves are in a table, at the index of their place + 1. */
typedef struct chaski_key {
  uint64_t text[2]; /* behind its end zeros */
  uint64_t len;     /* 0: no key */
} chaski_key;

typedef struct chaski_keys {
  chaski_key at[CHASKI_CODEC_KEYS];
} chaski_keys;

typedef struct chaski_unpack_options {
  chaski_keys *keys; /* NULL, or a cache */
  int key_strings;   /* the (absolute or pseudo) index of its table */
  chaski_strings strings;
  uint32_t depth; /* <= CHASKI_CODEC_DEPTH_MAX */
  uint32_t count, tables;
  uint32_t key_size, number_keys;
  chaski_codec_limit *hit; /* NULL, or where to say which; untouched if none */
} chaski_unpack_options;

/* A reusable output buffer, owned by a userdata. ptr and len are the result of the last successful chaski__pack; with
 * the option `lend` the bytes of rest follow, which are the value's own. */
typedef struct chaski_packer {
  const uint8_t *ptr;
  size_t len;
  chaski_slice rest;
} chaski_packer;

/* Push the userdata of a new packer (anchor it: registry, upvalue, user value). Raises only on out of memory. */
chaski_packer *chaski__packer_new(lua_State *L);

/* Encode the value at idx into p. 0: p->ptr, p->len hold until p's next use. Otherwise a negative code with the error
 * object pushed: CHASKI_ESERIALIZE (the message names the place: "data.a[3]: cannot serialise a function"),
 * CHASKI_ETOOBIG (options' size) or CHASKI_ENOMEM. `root` is the path's first word. Raises only on out of memory; no
 * Lua code and no finalizer runs before the bytes are complete. */
int chaski__pack(lua_State *L, int idx, chaski_packer *p, const chaski_pack_options *opt, const char *root);

/* A pair of a map that is made here: a key, and the value at a stack index, or some text. */
typedef struct chaski_pack_field {
  chaski_slice key; /* CHASKI_SLICE */
  int idx;          /* 0: text */
  chaski_slice text;
} chaski_pack_field;

/* As chaski__pack, of a map of these (at most 15) pairs in this order. Text is a str where it can be one, also when the
 * options have strings sent as bin. */
int chaski__pack_map(lua_State *L, const chaski_pack_field *fields, size_t count, chaski_packer *p,
                     const chaski_pack_options *opt, const char *root);

/* Decode exactly one object. 0 and the value pushed, or CHASKI_EDATA and the error object pushed (its message says what
 * and at which byte, the first being 1). The caller keeps `bytes` alive: finalizers may run. Raises only on out of
 * memory. */
int chaski__unpack(lua_State *L, chaski_slice bytes, const chaski_unpack_options *opt);

/* A key of a map that somebody asks for. */
typedef struct chaski_unpack_field {
  chaski_slice key;       /* CHASKI_SLICE */
  chaski_strings strings; /* of its value */
  bool text;              /* only its bytes are asked for, which must be a str or bin */
  bool found;             /* out: the text is there */
  chaski_slice bytes;     /* out: it, in the input */
} chaski_unpack_field;

/* Decode a map of which only these fields are wanted: the values of those that are not text are pushed in their order,
 * nil for those that are absent. What else is there is checked as chaski__unpack would, and no table is made for it.
 * false, and nothing pushed: it is no map, or malformed (chaski__unpack says how). The caller keeps `bytes` alive.
 * Raises only on out of memory. */
bool chaski__unpack_map(lua_State *L, chaski_slice bytes, const chaski_unpack_options *opt, chaski_unpack_field *fields,
                        size_t count);

/* Push the table of functions and values that become chaski.pack, chaski.unpack, chaski.null, ... */
int chaski__open_codec(lua_State *L);

/* --- values ------------------------------------------------------------------------------------------------------ */

/* nsec <= 999999999. Needs three free stack slots. */
void chaski__push_timestamp(lua_State *L, int64_t sec, uint32_t nsec);
/* False, and nothing written, if the value at idx is no chaski.timestamp. */
bool chaski__to_timestamp(lua_State *L, int idx, int64_t *sec, uint32_t *nsec);
void chaski__push_null(lua_State *L);

/* Shared by the files of the codec. */
typedef enum chaski_kind {
  CHASKI_KIND_NULL,
  CHASKI_KIND_BIN,
  CHASKI_KIND_STR,
  CHASKI_KIND_TIMESTAMP,
  CHASKI_KIND_EXT,
  CHASKI_KIND_ARRAY, /* this and the next are marks on tables, the others are userdata */
  CHASKI_KIND_MAP,
  CHASKI_KINDS, /* how many; as an answer: none of these */
} chaski_kind;

/* lua_topointer of each kind's metatable; they live as long as the state. Makes them if need be. */
void chaski__kinds(lua_State *L, const void *metatables[CHASKI_KINDS]);
void chaski__push_metatable(lua_State *L, chaski_kind kind);
bool chaski__is_kind(lua_State *L, int idx, chaski_kind kind); /* of a userdata kind */
void chaski__mark(lua_State *L, int idx, chaski_kind kind);    /* ARRAY or MAP onto the table at idx */
void chaski__wrap(lua_State *L, chaski_kind kind);             /* BIN or STR: takes the string on the top's place */
void chaski__push_ext(lua_State *L, int type, chaski_slice bytes);
int chaski__ext_type(lua_State *L, int idx);         /* of an EXT */
chaski_slice chaski__content(lua_State *L, int idx); /* of a BIN, STR or EXT; lives as long as the object */
void chaski__timestamp_methods(lua_State *L);        /* into the metatable on the top */

/* The constructors: chaski.array([t]), .map([t]), .bin(s), .str(s), .ext(type, bytes), .timestamp(sec [, nsec]) */
int chaski__l_array(lua_State *L);
int chaski__l_map(lua_State *L);
int chaski__l_bin(lua_State *L);
int chaski__l_str(lua_State *L);
int chaski__l_ext(lua_State *L);
int chaski__l_timestamp(lua_State *L);

#endif
