/* zmq_lua.c: libzmq doing what this program does with a message, as somebody would who joins libzmq, libmpack and Lua:
 * PUB and SUB, our envelope around { n, v }, the whole message decoded to tables, and a Lua handler that reads
 * message.data.n. No discovery of repetitions, no relaying, no resending. Options: role= pub|sub to= size= seconds=.
 * SPDX-License-Identifier: MIT */
#include "common.h"

#include <lauxlib.h>
#include <lualib.h>
#include <mpack.h>
#include <zmq.h>

static void *context, *publisher;
static uint8_t *frame, *number;
static size_t frame_size;

static void *open_socket(int type) {
  void *s = zmq_socket(context, type);
  if (!s) die("zmq_socket");
  return s;
}

/* --- publishing --- */

static void append(const void *bytes, size_t len) {
  memcpy(frame + frame_size, bytes, len);
  frame_size += len;
}
#define APPEND(literal) append(literal, sizeof(literal) - 1)

/* The envelope of this program's frames, and { n = uint64, v = as many x as make `size` bytes }. */
static void make_frame(size_t size) {
  size_t rest = size - 16;
  frame = new_payload(size + 256);
  APPEND("\x86\xa7"
         "command"
         "\xad"
         "ChaskiMessage"
         "\xa5"
         "topic"
         "\xa5"
         "bench");
  APPEND("\xa9"
         "timestamp"
         "\xd7\xff"
         "12345678"
         "\xa3"
         "ttl"
         "\x40");
  APPEND("\xa4"
         "uuid"
         "\xd9\x24"
         "01234567-89ab-8def-8123-456789abcdef");
  APPEND("\xa4"
         "data"
         "\x82\xa1"
         "n"
         "\xcf");
  number = frame + frame_size;
  APPEND("01234567"
         "\xa1"
         "v"
         "\xda");
  append((uint8_t[]){(uint8_t)(rest >> 8), (uint8_t)rest}, 2);
  memset(frame + frame_size, 'x', rest);
  frame_size += rest;
}

static void send_number(uint64_t n) {
  for (int i = 0; i < 8; i++) number[i] = (uint8_t)(n >> (56 - 8 * i));
  if (zmq_send(publisher, frame, frame_size, 0) < 0) die("zmq_send");
}

static void nothing(void) {}

static void publish(void) {
  int on = 1, mark = 1000;
  char address[128], subscription[16];
  size_t n = sizeof address;
  make_frame(number_option("size", 64));
  publisher = open_socket(ZMQ_XPUB);
  zmq_setsockopt(publisher, ZMQ_XPUB_NODROP, &on, sizeof on);
  zmq_setsockopt(publisher, ZMQ_SNDHWM, &mark, sizeof mark);
  if (zmq_bind(publisher, "tcp://127.0.0.1:*") || zmq_getsockopt(publisher, ZMQ_LAST_ENDPOINT, address, &n))
    die("zmq_bind");
  ready(address);
  wait_for_go();
  if (zmq_recv(publisher, subscription, sizeof subscription, 0) < 0) die("zmq_recv");
  publish_all(frame_size, send_number, nothing);
}

/* --- subscribing --- */

static const char **at;
static size_t *left;

static void push_value(lua_State *L);

static void push_bytes(lua_State *L, size_t len) {
  if (len > *left) luaL_error(L, "truncated");
  lua_pushlstring(L, *at, len);
  *at += len;
  *left -= len;
}

static void push_table(lua_State *L, const mpack_token_t *t) {
  luaL_checkstack(L, 4, NULL);
  lua_createtable(L, 0, (int)t->length);
  for (uint32_t i = 1; i <= t->length; i++) {
    if (t->type == MPACK_TOKEN_ARRAY)
      lua_pushinteger(L, i);
    else
      push_value(L);
    push_value(L);
    lua_rawset(L, -3);
  }
}

static void push_value(lua_State *L) {
  mpack_tokbuf_t state;
  mpack_token_t t;
  mpack_tokbuf_init(&state);
  if (mpack_read(&state, at, left, &t) != MPACK_OK) luaL_error(L, "bad message");
  switch (t.type) {
  case MPACK_TOKEN_UINT:
    lua_pushnumber(L, mpack_unpack_number(t));
    break;
  case MPACK_TOKEN_MAP:
  case MPACK_TOKEN_ARRAY:
    push_table(L, &t);
    break;
  default:
    push_bytes(L, t.length);
  }
}

static int decode_and_handle(lua_State *L) { /* (handler): what it returns */
  lua_pushvalue(L, 1);
  push_value(L);
  lua_call(L, 1, 1);
  return 1;
}

static const char handler[] = "local count, sum = 0, 0\n"
                              "return function(message)\n"
                              "  local n = message.data.n\n"
                              "  if n > 1e18 then return sum end\n"
                              "  count = count + 1\n"
                              "  sum = sum + n\n"
                              "end\n";

/* True when the last one came. */
static bool handle(lua_State *L, zmq_msg_t *m, tally *t) {
  const char *bytes = zmq_msg_data(m);
  size_t len = zmq_msg_size(m);
  at = &bytes, left = &len;
  lua_pushcfunction(L, decode_and_handle);
  lua_pushvalue(L, 1);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK) die(lua_tostring(L, -1));
  bool last = !lua_isnil(L, -1);
  if (last) t->sum = (uint64_t)lua_tonumber(L, -1);
  lua_pop(L, 1);
  if (!t->count) t->started = now();
  t->count += !last;
  return last;
}

static void subscribe(void) {
  void *s = open_socket(ZMQ_SUB);
  lua_State *L = luaL_newstate();
  tally t = {0};
  zmq_msg_t m;
  if (!L) die("luaL_newstate");
  luaL_openlibs(L);
  lua_gc(L, LUA_GCGEN, 0, 0);
  if (luaL_dostring(L, handler)) die(lua_tostring(L, -1));
  if (zmq_setsockopt(s, ZMQ_SUBSCRIBE, "", 0) || zmq_connect(s, option("to", ""))) die("zmq_connect");
  ready("-");
  zmq_msg_init(&m);
  do
    if (zmq_msg_recv(&m, s, 0) < 0) die("zmq_msg_recv");
  while (!handle(L, &m, &t));
  tell_tally(&t);
}

int main(int argc, char **argv) {
  words = argv;
  (void)argc;
  context = zmq_ctx_new();
  static const role roles[] = {{"pub", publish}, {"sub", subscribe}, {NULL, NULL}};
  return play(roles);
}
