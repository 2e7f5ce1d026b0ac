/* message.c: the userdata of a message: a copy of its frame with what was read of the envelope. Data is decoded at the
 * first access and kept; who reads nothing pays nothing. Data that is one long string is made that string at once, and
 * lies nowhere else: to copy it twice would cost more than all else here. It has no finalizer: the bytes lie in the
 * userdata and the string, whatever their size, so that the collector sees their weight. See binding.h.
 * SPDX-License-Identifier: MIT */
#include "../core/uuid.h"
#include "binding.h"
#include "error.h"
#include "options.h"

#define CLASS "chaski.message"
#define APART_MIN 512 /* bytes of data: a shorter string is copied sooner than an object more is made */
#define UNREAD_MAX 64 /* strings made for nobody, after which none is until data is read again */

chaski_lua_message *chaski__check_message(lua_State *L, int arg) {
  return luaL_checkudata(L, arg, CLASS);
}

/* --- making ----------------------------------------------------------------------------------------------------- */
static chaski_slice moved(chaski_slice s, const uint8_t *from, const uint8_t *to) {
  return s.len ? chaski_slice_of(to + (s.ptr - from), s.len) : s;
}

/* The first `len` bytes of the frame; the slices keep their length. */
static void move_all(chaski_message *m, uint8_t *bytes, size_t len) {
  const uint8_t *from = m->frame.ptr;
  memcpy(bytes, from, len);
  m->frame.ptr = bytes;
  m->command = moved(m->command, from, bytes);
  m->topic = moved(m->topic, from, bytes);
  m->data = moved(m->data, from, bytes);
  m->uuid = moved(m->uuid, from, bytes);
}

static uint8_t *copy(chaski_slice *s, uint8_t *to) {
  if (!s->len) return to;
  memcpy(to, s->ptr, s->len);
  s->ptr = to;
  return to + s->len;
}

/* A datagram's message has no frame. */
static void copy_each(chaski_message *m, uint8_t *bytes) {
  copy(&m->uuid, copy(&m->data, copy(&m->topic, copy(&m->command, bytes))));
}

/* apart: so many bytes at the frame's end are not for the userdata. */
static chaski_lua_message *new_message(lua_State *L, const chaski_runtime *rt, const chaski_message *m, size_t apart) {
  size_t size = m->frame.len ? m->frame.len - apart : m->command.len + m->topic.len + m->data.len + m->uuid.len;
  chaski_lua_message *box = lua_newuserdatauv(L, sizeof *box + size, apart ? 2 : 1);
  memset(box, 0, offsetof(chaski_lua_message, m));
  box->ttl = m->ttl;
  box->m = *m;
  if (m->frame.len)
    move_all(&box->m, (uint8_t *)(box + 1), size);
  else
    copy_each(&box->m, (uint8_t *)(box + 1));
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->message_mt);
  lua_setmetatable(L, -2);
  return box;
}

/* The length of the string, or binary, that these bytes are, at least APART_MIN of them; 0 if they are not just that.
 */
static size_t long_string(chaski_slice data) {
  const uint8_t *p = data.ptr;
  bool wide = *p == 0xdb || *p == 0xc6; /* 4 bytes of length, else 2 */
  if (!wide && *p != 0xda && *p != 0xc5) return 0;
  size_t len = (size_t)p[1] << 8 | p[2], header = wide ? 5 : 3;
  if (wide) len = len << 16 | (size_t)p[3] << 8 | p[4];
  return len == data.len - header ? len : 0;
}

/* Whether the node's scripts get it as a string of Lua, and not wrapped or through a deserializer. */
static bool is_plain(const chaski_lua_node *n, uint8_t first) {
  bool str = first == 0xda || first == 0xdb;
  chaski_strings strings = n->pack.strings;
  return n->deserializer == LUA_NOREF && strings != (str ? CHASKI_STRINGS_BIN : CHASKI_STRINGS_STR);
}

static size_t length_apart(const chaski_lua_node *n, const chaski_message *m) {
  if (m->data.len < APART_MIN || *n->rt->unread >= UNREAD_MAX) return 0;
  size_t len = long_string(m->data);
  if (!len || !is_plain(n, *m->data.ptr)) return 0;
  return m->frame.len && m->data.ptr + m->data.len == m->frame.ptr + m->frame.len ? len : 0;
}

/* The message is on top. */
static void keep_apart(lua_State *L, chaski_lua_message *box, chaski_slice frame, size_t len) {
  lua_pushlstring(L, (const char *)frame.ptr + frame.len - len, len);
  lua_setiuservalue(L, -2, 1);
  box->apart = box->decoded = true;
}

void chaski__push_message(lua_State *L, chaski_lua_node *n, const chaski_edge *edge, const chaski_message *m) {
  size_t apart = length_apart(n, m);
  chaski_lua_message *box = new_message(L, n->rt, m, apart);
  box->node = n->number;
  box->edge = edge ? chaski_edge_number(edge) : 0;
  box->strings = (uint8_t)n->pack.strings;
  box->custom = n->deserializer != LUA_NOREF;
  box->tuned = n->tuned;
  if (!apart) return;
  ++*n->rt->unread;
  keep_apart(L, box, m->frame, apart);
}

/* --- data ------------------------------------------------------------------------------------------------------- */
static chaski_edge *edge_by_number(const chaski_lua_node *n, uint64_t number) {
  chaski_edge *edge = NULL;
  for (size_t i = 0; n->core && (edge = chaski_node_edge_at(n->core, i)); i++)
    if (chaski_edge_number(edge) == number) break;
  return edge;
}

static void count_hit(chaski_lua_node *n, chaski_codec_limit hit) {
  static const size_t offsets[] = {
      [CHASKI_CODEC_LIMIT_DEPTH] = offsetof(chaski_limits, message_depth),
      [CHASKI_CODEC_LIMIT_COUNT] = offsetof(chaski_limits, message_values),
      [CHASKI_CODEC_LIMIT_TABLES] = offsetof(chaski_limits, message_tables),
      [CHASKI_CODEC_LIMIT_KEY_SIZE] = offsetof(chaski_limits, message_key),
      [CHASKI_CODEC_LIMIT_NUMBER_KEYS] = offsetof(chaski_limits, message_number_keys),
  };
  if (hit != CHASKI_CODEC_LIMIT_NONE && n->core) chaski_node_limit_hit(n->core, offsets[hit]);
}

/* The error object is on top and stays. Counted and told once for each message. */
static void tell_malformed(lua_State *L, chaski_lua_message *box, chaski_codec_limit hit) {
  chaski_lua_node *n = chaski__find_node(L, box->node);
  if (box->faulty || !n) return;
  box->faulty = true;
  count_hit(n, hit);
  n->malformed++;
  luaL_checkstack(L, 4, NULL);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, -2);
  chaski__push_edge(L, n, edge_by_number(n, box->edge));
  chaski__emit(L, n, CHASKI_ON_MALFORMED_DATA, 3);
}

/* The deserializer's error is on top and stays; once a node is enough for the log, as peers could fill it. */
static void tell_unreadable(lua_State *L, chaski_lua_node *n, chaski_lua_message *box) {
  if (!n->told_unreadable) {
    n->told_unreadable = true;
    luaL_checkstack(L, 4, NULL);
    lua_pushfstring(L, "deserializer: %s; handlers get the raw bytes (told once)", luaL_tolstring(L, -1, NULL));
    chaski__runtime_log(n->rt, CHASKI_LOG_WARN, chaski_node_name(n->core), lua_tostring(L, -1));
    lua_pop(L, 2);
  }
  tell_malformed(L, box, CHASKI_CODEC_LIMIT_NONE);
}

/* The node's own deserializer takes the bytes on top; if it fails, they stay, and that is told. */
static void deserialize(lua_State *L, chaski_lua_message *box) {
  chaski_lua_node *n = chaski__find_node(L, box->node);
  if (!n || n->deserializer == LUA_NOREF || lua_type(L, -1) != LUA_TSTRING) return;
  chaski__push_refs(L, n);
  lua_rawgeti(L, -1, n->deserializer);
  lua_remove(L, -2);
  lua_pushvalue(L, -2);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK) {
    lua_remove(L, -2);
    return;
  }
  if (n->core) tell_unreadable(L, n, box);
  lua_pop(L, 1);
}

static void set_limits(const chaski_lua_node *n, chaski_unpack_options *options) {
  if (!n) return;
  options->depth = n->pack.depth;
  options->count = n->pack.count;
  options->tables = n->pack.tables;
  options->key_size = n->pack.key_size;
  options->number_keys = n->pack.number_keys;
}

#define KEYS lua_upvalueindex(3)
#define KEY_STRINGS lua_upvalueindex(4)
#define UNREAD lua_upvalueindex(5) /* what rt->unread points to */

/* Push data that is one string of less than 256 bytes, as the most is, without a reader. */
static bool push_string(lua_State *L, const chaski_lua_message *box) {
  chaski_slice data = box->m.data;
  if (box->custom || box->strings == CHASKI_STRINGS_BIN || data.len < 2) return false;
  const uint8_t *p = data.ptr;
  size_t header = *p == 0xd9 ? 2 : 1, len = *p == 0xd9 ? p[1] : *p & 0x1f;
  if ((header == 1 && (*p & 0xe0) != 0xa0) || header + len != data.len) return false;
  lua_pushlstring(L, (const char *)p + header, len);
  return true;
}

static int keep_data(lua_State *L, chaski_lua_message *box) { /* it is on top, the message at 1 */
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, 1);
  box->decoded = true;
  return 1;
}

/* keys: NULL, or the cache of the C function that runs. */
static int decode(lua_State *L, chaski_lua_message *box, chaski_keys *keys) {
  chaski_codec_limit hit = CHASKI_CODEC_LIMIT_NONE;
  chaski_unpack_options options = {.strings = box->custom ? CHASKI_STRINGS_AUTO : (chaski_strings)box->strings};
  options.hit = &hit;
  options.keys = keys, options.key_strings = KEY_STRINGS;
  set_limits(box->tuned ? chaski__find_node(L, box->node) : NULL, &options);
  if (chaski__unpack(L, box->m.data, &options) != 0) {
    tell_malformed(L, box, hit);
    return lua_error(L);
  }
  if (box->custom) deserialize(L, box);
  return keep_data(L, box);
}

static int push_data(lua_State *L, chaski_lua_message *box, chaski_keys *keys) { /* the message is at 1 */
  if (!box->decoded) return push_string(L, box) ? keep_data(L, box) : decode(L, box, keys);
  lua_getiuservalue(L, 1, 1);
  return 1;
}

static int get_data(lua_State *L) { /* (message) */
  return push_data(L, lua_touserdata(L, 1), NULL);
}

void chaski__decode_in_vain(lua_State *L, chaski_lua_node *n, const chaski_edge *edge, const chaski_message *m) {
  luaL_checkstack(L, 4, NULL);
  lua_pushcfunction(L, get_data);
  chaski__push_message(L, n, edge, m);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) lua_pop(L, 1);
}

chaski_unpack_options chaski__data_options(const chaski_lua_node *n) {
  chaski_unpack_options options = {.strings = n->deserializer != LUA_NOREF ? CHASKI_STRINGS_AUTO : n->pack.strings};
  if (n->tuned) set_limits(n, &options);
  return options;
}

/* --- fields ----------------------------------------------------------------------------------------------------- */
static int push_text(lua_State *L, chaski_slice s) {
  lua_pushlstring(L, s.len ? (const char *)s.ptr : "", s.len);
  return 1;
}

/* Bytes that end where the frame does, of the message at idx. */
static int push_to_end(lua_State *L, int idx, const chaski_lua_message *box, chaski_slice s) {
  if (!box->apart) return push_text(L, s);
  lua_getiuservalue(L, idx, box->replaced ? 2 : 1);
  lua_pushlstring(L, (const char *)s.ptr, s.len - lua_rawlen(L, -1));
  lua_insert(L, -2);
  lua_concat(L, 2);
  return 1;
}

chaski_message chaski__whole_message(lua_State *L, int idx) {
  const chaski_lua_message *box = chaski__check_message(L, idx);
  chaski_message m = box->m;
  if (!box->apart) return m;
  push_to_end(L, idx, box, m.frame);
  m.frame.ptr = (const uint8_t *)lua_tostring(L, -1);
  m.data.ptr = m.frame.ptr + m.frame.len - m.data.len;
  return m;
}

static int push_integer(lua_State *L, uint64_t i) {
  lua_pushinteger(L, (lua_Integer)i);
  return 1;
}

static int push_time(lua_State *L, const chaski_message *m) {
  chaski__push_timestamp(L, m->sec, m->nsec);
  return 1;
}

static int push_uuid(lua_State *L, const chaski_message *m) {
  return m->uuid.len ? push_text(L, m->uuid) : 0;
}

static int push_field(lua_State *L, chaski_lua_message *box, const char *key) { /* the message is at 1 */
  const chaski_message *m = &box->m;
  if (strcmp(key, "topic") == 0) return push_text(L, m->topic);
  if (strcmp(key, "command") == 0) return push_text(L, m->command);
  if (strcmp(key, "ttl") == 0) return push_integer(L, box->ttl);
  if (strcmp(key, "uuid") == 0) return push_uuid(L, m);
  if (strcmp(key, "timestamp") == 0) return push_time(L, m);
  if (strcmp(key, "bytes") == 0) return push_to_end(L, 1, box, m->data);
  if (strcmp(key, "size") == 0) return push_integer(L, m->data.len);
  if (strcmp(key, "wire_size") == 0) return push_integer(L, m->frame.len ? m->frame.len : m->datagram);
  if (strcmp(key, "origin") == 0) return m->ours ? push_integer(L, m->origin) : 0;
  if (strcmp(key, "seq") == 0) return m->ours ? push_integer(L, m->seq) : 0;
  return 0;
}

static int message_index(lua_State *L) { /* upvalues: metatable, methods, KEYS, KEY_STRINGS, UNREAD */
  chaski_lua_message *box = lua_touserdata(L, 1);
  size_t len = 0;
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tolstring(L, 2, &len) : "";
  if (!box || !lua_getmetatable(L, 1) || lua_topointer(L, -1) != lua_topointer(L, lua_upvalueindex(1)))
    chaski__check_message(L, 1);
  if (len == 4 && memcmp(key, "data", 4) == 0) {
    if (box->m.data.len >= APART_MIN) *(uint32_t *)lua_touserdata(L, UNREAD) = 0;
    return push_data(L, box, lua_touserdata(L, KEYS));
  }
  lua_settop(L, 2);
  if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL) return 1;
  return push_field(L, box, key);
}

static void keep_first(lua_State *L) { /* the message is at 1 */
  lua_getiuservalue(L, 1, 1);
  lua_setiuservalue(L, 1, 2);
}

static int message_newindex(lua_State *L) {
  chaski_lua_message *box = chaski__check_message(L, 1);
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
  if (strcmp(key, "data") != 0) return luaL_error(L, CLASS ": field '%s' cannot be assigned", key);
  lua_settop(L, 3);
  if (box->apart && !box->replaced) keep_first(L);
  lua_setiuservalue(L, 1, 1);
  box->decoded = box->replaced = true;
  return 0;
}

/* --- methods ---------------------------------------------------------------------------------------------------- */
static const char *const table_fields[] = {"command", "topic", "timestamp", "ttl", "uuid"};

static int message_totable(lua_State *L) {
  chaski_lua_message *box = chaski__check_message(L, 1);
  lua_settop(L, 1);
  lua_createtable(L, 0, 6);
  for (size_t i = 0; i < sizeof table_fields / sizeof *table_fields; i++)
    if (push_field(L, box, table_fields[i])) lua_setfield(L, 2, table_fields[i]);
  push_data(L, box, NULL);
  lua_setfield(L, 2, "data");
  return 1;
}

static int message_pairs(lua_State *L) {
  message_totable(L);
  lua_getglobal(L, "next");
  lua_insert(L, -2);
  return 2;
}

static int message_decrement_ttl(lua_State *L) {
  chaski_lua_message *box = chaski__check_message(L, 1);
  if (box->ttl) box->ttl--;
  return push_integer(L, box->ttl);
}

static int message_tostring(lua_State *L) {
  const chaski_message *m = &chaski__check_message(L, 1)->m;
  lua_pushliteral(L, "message(");
  push_text(L, m->command);
  lua_pushliteral(L, ", ");
  push_text(L, m->topic);
  lua_pushfstring(L, ", %d bytes", (int)m->data.len);
  lua_pushstring(L, m->uuid.len ? ", " : "");
  push_text(L, m->uuid);
  lua_pushliteral(L, ")");
  lua_concat(L, 8);
  return 1;
}

/* --- building a frame ------------------------------------------------------------------------------------------- */
/* Append the packed value at idx to the table of parts at `parts`; raises if it cannot be packed. */
static void add_packed_as(lua_State *L, int parts, int idx, chaski_packer *p, const char *root, int strings) {
  const chaski_pack_options options = {.strings = (chaski_strings)strings, .sort_keys = chaski__simulated(L)};
  if (chaski__pack(L, idx, p, &options, root) != 0) lua_error(L);
  lua_pushlstring(L, (const char *)p->ptr, p->len);
  lua_rawseti(L, parts, (lua_Integer)lua_rawlen(L, parts) + 1);
}

static void add_packed(lua_State *L, int parts, int idx, chaski_packer *p, const char *root) {
  add_packed_as(L, parts, idx, p, root, CHASKI_STRINGS_AUTO);
}

static size_t append(uint8_t *to, lua_State *L, int parts, lua_Integer from, lua_Integer last) {
  size_t at = 0;
  for (lua_Integer i = from; i <= last; i++) {
    size_t len;
    const char *s;
    lua_rawgeti(L, parts, i);
    s = lua_tolstring(L, -1, &len);
    if (to) memcpy(to + at, s, len);
    at += len;
    lua_pop(L, 1);
  }
  return at;
}

static void put32(uint8_t *to, size_t n) {
  for (int i = 0; i < 4; i++) to[i] = (uint8_t)(n >> (24 - 8 * i));
}

/* Push the frame as a string. parts: the header's topic, then keys and values of the envelope, all packed. */
static void push_frame(lua_State *L, int parts) {
  lua_Integer last = (lua_Integer)lua_rawlen(L, parts);
  size_t topic = append(NULL, L, parts, 1, 1), rest = append(NULL, L, parts, 2, last);
  uint8_t *frame = lua_newuserdatauv(L, 9 + topic + rest, 0);
  put32(frame, rest + 1);
  put32(frame + 4, topic);
  append(frame + 8, L, parts, 1, 1);
  frame[8 + topic] = (uint8_t)(0x80 | (last - 1) / 2); /* a map of so many pairs */
  append(frame + 9 + topic, L, parts, 2, last);
  lua_pushlstring(L, (const char *)frame, 9 + topic + rest);
  lua_remove(L, -2);
}

/* (fields, data [, strings]): a frame with these; the fields are checked by whoever calls. data last, as in our own
 * frames, its strings as the third argument says. */
static int build_frame(lua_State *L) {
  static const char *const names[] = {"auto", "str", "bin", NULL};
  int strings = luaL_checkoption(L, 3, "auto", names);
  chaski_packer *p;
  lua_settop(L, 2);
  p = chaski__packer_new(L);
  lua_newtable(L);
  lua_getfield(L, 1, "topic");
  add_packed(L, 4, 5, p, "topic");
  lua_pop(L, 1);
  for (size_t i = 0; i < sizeof table_fields / sizeof *table_fields; i++) {
    lua_pushstring(L, table_fields[i]);
    add_packed(L, 4, 5, p, table_fields[i]);
    lua_getfield(L, 1, table_fields[i]);
    add_packed(L, 4, 6, p, table_fields[i]);
    lua_settop(L, 4);
  }
  lua_pushliteral(L, "data");
  add_packed(L, 4, 5, p, "data");
  add_packed_as(L, 4, 2, p, "data", strings);
  push_frame(L, 4);
  return 1;
}

/* (frame): the message in it, or nil, err */
static int read_frame(lua_State *L) {
  chaski_message m;
  const char *why = "";
  chaski_runtime *rt = chaski__runtime(L);
  if (chaski_message_read_bytes(chaski__check_slice(L, 1), &m, &why) != CHASKI_OK)
    return chaski__fail(L, CHASKI_EMALFORMED, CLASS, why);
  new_message(L, rt, &m, 0);
  return 1;
}

/* (message): its frame as received; nothing when data was assigned, or it came in a datagram */
static int original_frame(lua_State *L) {
  const chaski_lua_message *box = chaski__check_message(L, 1);
  return box->replaced || !box->m.frame.len ? 0 : push_to_end(L, 1, box, box->m.frame);
}

static int timestamp_now(lua_State *L) {
  const chaski_env *env = chaski_loop_env(chaski__runtime(L)->loop);
  int64_t sec;
  uint32_t nsec;
  env->wall(env->ctx, &sec, &nsec);
  chaski__push_timestamp(L, sec, nsec);
  return 1;
}

/* The metatable and the methods are on top, and stay. */
static void push_index(lua_State *L, chaski_runtime *rt) {
  lua_pushvalue(L, -2);
  lua_pushvalue(L, -2);
  memset(lua_newuserdatauv(L, sizeof(chaski_keys), 0), 0, sizeof(chaski_keys));
  lua_createtable(L, CHASKI_CODEC_KEYS, 0);
  rt->unread = memset(lua_newuserdatauv(L, sizeof *rt->unread, 0), 0, sizeof *rt->unread);
  lua_pushvalue(L, -1);
  luaL_ref(L, LUA_REGISTRYINDEX); /* a script may put an __index of its own in the place of this one */
  lua_pushcclosure(L, message_index, 5);
}

void chaski__open_message(lua_State *L) {
  static const luaL_Reg functions[] = {{"build_frame", build_frame},
                                       {"read_frame", read_frame},
                                       {"original_frame", original_frame},
                                       {"timestamp_now", timestamp_now},
                                       {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"totable", message_totable}, {"decrement_ttl", message_decrement_ttl}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__newindex", message_newindex}, {"__pairs", message_pairs}, {"__tostring", message_tostring}, {NULL, NULL}};
  chaski_runtime *rt = chaski__runtime(L);
  luaL_setfuncs(L, functions, 0);
  chaski__class(L, CLASS, meta, methods, NULL);
  lua_pop(L, 1);
  push_index(L, rt);
  lua_setfield(L, -3, "__index");
  lua_pop(L, 1);
  rt->message_mt = luaL_ref(L, LUA_REGISTRYINDEX);
}
