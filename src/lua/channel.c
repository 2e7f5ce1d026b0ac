/* channel.c: secure conversations of small messages for tasks: what the CA and those who enrol speak. A message is a
 * length of four bytes, big end first, and a MessagePack map of at most 64 KiB. The transport is the current world's
 * under a TLS layer of the channel's own; a conversation ends after ten seconds, whatever happens. It knows nothing of
 * certificate authorities, and nothing of nodes. See binding.h. SPDX-License-Identifier: MIT */
#include "channel_internal.h"

#include "../core/alloc.h"
#include "error.h"
#include "tls_binding.h"

#define HEAD 4                            /* bytes of a length */
#define MESSAGE_MAX 65536                 /* bytes of a message */
#define IN_FIRST 4096                     /* bytes of the first buffer for what arrives; it doubles */
#define IN_MAX (4 * MESSAGE_MAX)          /* bytes not yet received by the task; reading pauses far earlier */
#define OUT_MAX ((size_t)4 * MESSAGE_MAX) /* bytes not yet sent */
#define GOODBYE CHASKI_S                  /* for what is queued, and the peer's end, after close */
#define EXPORT_MAX 64                     /* bytes of the exporter */

static const char boxes_key,
    packer_key; /* their addresses are keys in the registry: box -> userdata, weak; the packer */
static const chaski_transport *const tls = &chaski_tls_transport;

/* --- life of a channel -------------------------------------------------------------------------------------------- */
static void on_timer(chaski_timer *timer);

/* With the reference of its stream, which is still to be made; the layer is taken. */
channel *chaski__channel_new(chaski_runtime *rt, chaski_tls_layer *layer) {
  channel *c = chaski__calloc(1, sizeof *c);
  if (!c) return NULL;
  c->refs = 1;
  c->rt = rt;
  c->world = rt->world;
  c->layer = layer;
  memcpy(c->what, "channel", sizeof "channel");
  c->detail = "";
  chaski_timer_init(&c->timer, on_timer);
  return c;
}

void chaski__channel_release(channel *c) {
  if (--c->refs > 0) return;
  while (c->out) {
    block *b = c->out;
    c->out = b->next;
    chaski__free(b);
  }
  chaski_tls_layer_release(c->layer);
  chaski__free(c->in);
  chaski__free(c);
}

void chaski__channel_link(channel *c) { /* at the end: the oldest come first */
  c->link = &c->rt->channels;
  while (*c->link) c->link = &(*c->link)->next;
  *c->link = c;
}

static void unlink_channel(channel *c) {
  if (!c->link) return;
  *c->link = c->next;
  if (c->next) c->next->link = c->link;
  c->link = NULL;
}

static int push_failure(lua_State *L, void *ctx) {
  const channel *c = ctx;
  return chaski__fail(L, c->status, c->what, c->detail);
}

static void wake(channel *c, int (*push)(lua_State *co, void *ctx)) {
  if (c->waiter) chaski__waiter_wake(c->waiter, push, c);
}

/* The end, at once; whoever waits is told why. */
void chaski__channel_end(channel *c, int status, const char *detail) {
  if (c->state == DEAD) return;
  c->state = DEAD;
  c->status = status;
  c->detail = detail ? detail : "";
  chaski_timer_stop(c->world->loop, &c->timer);
  c->refs++;
  if (c->stream) tls->close(c->stream);
  wake(c, push_failure);
  chaski__channel_release(c);
}

static void on_timer(chaski_timer *timer) {
  channel *c = (channel *)(void *)((char *)timer - offsetof(channel, timer));
  chaski__channel_end(c, c->state == LEAVING ? CHASKI_ECLOSED : CHASKI_ETIMEOUT, "");
}

/* --- out ---------------------------------------------------------------------------------------------------------- */
static void pop_block(channel *c) {
  block *b = c->out;
  c->out = b->next;
  c->out_len -= b->len;
  chaski__free(b);
}

/* After the last message our end; the stream closes when the peer's has come too. */
static void finish_leaving(channel *c) {
  if (c->state != LEAVING || c->out) return;
  if (c->ended) {
    chaski__channel_end(c, CHASKI_ECLOSED, "");
  } else if (!c->shut) {
    c->shut = true;
    tls->shutdown(c->stream);
  }
}

static void flush(channel *c) {
  while (c->out && !c->borrowed && c->state != DEAD) {
    chaski_slice slice = chaski_slice_of(c->out->bytes, c->out->len);
    int64_t taken = tls->write(c->stream, &slice, 1);
    if (taken < 0)
      chaski__channel_end(c, (int)taken, tls->detail(c->stream));
    else if ((size_t)taken < slice.len)
      c->borrowed = true;
    else
      pop_block(c);
  }
  if (c->state == LEAVING) finish_leaving(c);
}

static void on_written(void *user, int status) {
  channel *c = user;
  c->borrowed = false;
  pop_block(c);
  if (status == CHASKI_OK && c->state != DEAD) flush(c);
}

/* In good order if anything was said, else at once. */
static void leave(channel *c) {
  if (c->state == DEAD || c->state == LEAVING) return;
  if (c->state == DIALLING || !c->heard) {
    chaski__channel_end(c, CHASKI_ECLOSED, "");
    return;
  }
  c->refs++;
  c->state = LEAVING;
  c->status = CHASKI_ECLOSED;
  c->in_len = 0;
  chaski_timer_start(c->world->loop, &c->timer, GOODBYE);
  if (c->paused && !c->ended) tls->resume(c->stream); /* for its end */
  wake(c, push_failure);
  flush(c);
  chaski__channel_release(c);
}

/* --- in ----------------------------------------------------------------------------------------------------------- */
static size_t length_of(const channel *c) {
  const uint8_t *p = c->in;
  return (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
}

static bool has_message(const channel *c) {
  return c->in_len >= HEAD && c->in_len - HEAD >= length_of(c);
}

/* False: the length at the front is none; the channel has ended. */
static bool check_length(channel *c) {
  if (c->in_len < HEAD || (length_of(c) > 0 && length_of(c) <= MESSAGE_MAX)) return true;
  c->in_len = 0;
  chaski__channel_end(c, CHASKI_EMALFORMED, "the length of a message");
  return false;
}

static int keep_bytes(channel *c, const uint8_t *bytes, size_t len) {
  size_t cap = c->in_cap ? c->in_cap : IN_FIRST;
  if (len > IN_MAX - c->in_len) return CHASKI_ETOOBIG;
  while (cap < c->in_len + len) cap *= 2;
  if (cap > c->in_cap) {
    uint8_t *in = chaski__realloc(c->in, cap);
    if (!in) return CHASKI_ENOMEM;
    c->in = in;
    c->in_cap = cap;
  }
  memcpy(c->in + c->in_len, bytes, len);
  c->in_len += len;
  return CHASKI_OK;
}

static void drop_message(channel *c) {
  size_t len = HEAD + length_of(c);
  c->in_len -= len;
  memmove(c->in, c->in + len, c->in_len);
  if (!check_length(c) || has_message(c) || !c->paused || c->state != OPEN || c->ended) return;
  c->paused = false;
  tls->resume(c->stream);
}

static bool is_map(uint8_t first) {
  return (first & 0xf0) == 0x80 || first == 0xde || first == 0xdf;
}

/* The message at the front as a table; or nil and an error, and the end. */
static int push_message(lua_State *L, void *ctx) {
  static const chaski_unpack_options limits = {.depth = 8, .count = 4096, .tables = 256};
  channel *c = ctx;
  int rc = CHASKI_EDATA;
  if (is_map(c->in[HEAD])) rc = chaski__unpack(L, chaski_slice_of(c->in + HEAD, length_of(c)), &limits);
  if (rc == 0) {
    drop_message(c);
    return 1;
  }
  c->in_len = 0;
  chaski__channel_end(c, CHASKI_EDATA, "a message that is no map");
  return push_failure(L, c);
}

static void on_data(void *user, const uint8_t *bytes, size_t len) {
  channel *c = user;
  if (c->state != OPEN) return;
  c->refs++;
  c->heard = true;
  int rc = keep_bytes(c, bytes, len);
  if (rc != CHASKI_OK) {
    chaski__channel_end(c, rc, "");
  } else if (check_length(c) && has_message(c)) {
    wake(c, push_message);
    if (c->state == OPEN && has_message(c) && !c->paused) {
      c->paused = true;
      tls->pause(c->stream);
    }
  }
  chaski__channel_release(c);
}

static void on_end(void *user, int status) {
  channel *c = user;
  if (c->state == DEAD) return;
  c->ended = true;
  if (status != CHASKI_OK)
    chaski__channel_end(c, status, tls->detail(c->stream));
  else if (c->state == LEAVING)
    finish_leaving(c);
  else if (c->waiter)
    chaski__channel_end(c, c->in_len ? CHASKI_ETRUNCATED : CHASKI_ELOST, "");
}

static int push_self(lua_State *L, void *ctx) {
  luaL_checkstack(L, 2, NULL);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &boxes_key);
  lua_rawgetp(L, -1, ((channel *)ctx)->box);
  return 1;
}

static void on_connected(void *user, int status) {
  channel *c = user;
  if (c->state != DIALLING) return;
  if (status != CHASKI_OK) {
    chaski__channel_end(c, status, tls->detail(c->stream));
    return;
  }
  c->refs++;
  c->state = OPEN;
  c->heard = true;
  wake(c, push_self);
  chaski__channel_release(c);
}

static void on_closed(void *user) {
  channel *c = user;
  c->stream = NULL;
  unlink_channel(c);
  chaski__channel_release(c);
}

const chaski_stream_events chaski__channel_events = {on_connected, on_data, on_end, on_written, on_closed};

/* --- the userdata ------------------------------------------------------------------------------------------------- */
/* Push an empty one. What can raise is done here, before there is anything to lose. */
void *chaski__channel_push_box(lua_State *L, chaski_runtime *rt, const char *class) {
  void **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, class);
  chaski__guard(L, rt);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &boxes_key);
  lua_pushvalue(L, -2);
  lua_rawsetp(L, -2, box);
  lua_pop(L, 1);
  return box;
}

void chaski__channel_fill_box(channel **box, channel *c) {
  *box = c;
  c->box = box;
  c->refs++;
}

static channel *check_channel(lua_State *L, const char *method) {
  channel *c = *(channel **)luaL_checkudata(L, 1, CHANNEL);
  luaL_argcheck(L, c, 1, "the channel was never open");
  if (c->world != c->rt->world) luaL_error(L, "%s: the channel is of another simulation", method);
  return c;
}

uint16_t chaski__channel_check_port(lua_State *L, int arg, lua_Integer least) {
  lua_Integer port = luaL_checkinteger(L, arg);
  luaL_argcheck(L, port >= least && port <= 65535, arg, "port expected");
  return (uint16_t)port;
}

/* A layer on the current world's transport; CHASKI_OK or a code. */
int chaski__channel_layer(const chaski_runtime *rt, chaski_tls_context *client, chaski_tls_context *server,
                          chaski_tls_layer **out) {
  const chaski_env *env = chaski_loop_env(rt->loop);
  return chaski_tls_layer_new(rt->loop, env->transport, env->ctx, client, server, out);
}

/* --- connecting --------------------------------------------------------------------------------------------------- */
typedef struct dial_wait {
  chaski_waiter waiter;
  channel *c;
} dial_wait;

/* At once, of a listener; NULL: dialled. */
size_t chaski__channel_count(const chaski_runtime *rt, const listener *from) {
  size_t n = 0;
  for (const channel *c = rt->channels; c; c = c->next) n += c->state != DEAD && (from ? c->from == from : c->dialled);
  return n;
}

/* The task is cancelled. */
static void forget_dial(void *ctx) {
  channel *c = ((dial_wait *)ctx)->c;
  chaski__waiter_free(ctx);
  leave(c);
}

/* CHASKI_OK and a channel in the box, or a code. */
static int start_dial(chaski_runtime *rt, channel **box, chaski_tls_context *context, const char *host, uint16_t port) {
  chaski_tls_layer *layer;
  int rc = chaski__channel_layer(rt, context, NULL, &layer);
  if (rc != CHASKI_OK) return rc;
  channel *c = chaski__channel_new(rt, layer);
  if (!c) {
    chaski_tls_layer_release(layer);
    return CHASKI_ENOMEM;
  }
  rc = tls->connect(c->layer, host, port, &chaski__channel_events, c, &c->stream);
  if (rc != CHASKI_OK) {
    chaski__channel_release(c);
    return rc;
  }
  c->dialled = true;
  chaski__channel_link(c);
  c->what[sizeof "channel" - 1] = ' ';
  chaski_address_format(c->what + sizeof "channel", host, port);
  chaski__channel_fill_box(box, c);
  return CHASKI_OK;
}

/* (host, port, context [, { timeout = }]): a channel, once the handshake is complete. timeout is for all of it. */
static int channel_connect(lua_State *L) {
  static const char *const names[] = {"timeout", NULL};
  chaski_runtime *rt = chaski__runtime(L);
  const char *host = luaL_checkstring(L, 1);
  uint16_t port = chaski__channel_check_port(L, 2, 1);
  chaski_tls_context *context = chaski__lua_check_tls_context(L, 3);
  uint64_t timeout = chaski__opt_ns(L, chaski__opt_table(L, 4, names), "timeout", LIFE);
  luaL_argcheck(L, strlen(host) < CHASKI_HOST_MAX, 1, "host too long");
  chaski__check_task(L, "channel_connect");
  if (chaski__channel_count(rt, NULL) >= CHANNELS_MAX) return chaski__fail(L, CHASKI_EPENDING, "channel", host);
  channel **box = chaski__channel_push_box(L, rt, CHANNEL);
  int rc = start_dial(rt, box, context, host, port);
  if (rc != CHASKI_OK) return chaski__fail(L, rc, "channel", host);
  channel *c = *box;
  dial_wait *w = chaski__waiter_new(L, rt, &c->waiter, sizeof *w);
  w->c = c;
  chaski_timer_start(c->world->loop, &c->timer, timeout);
  return chaski__park(L, rt, -1, forget_dial, w);
}

/* --- methods of a channel ----------------------------------------------------------------------------------------- */
/* Nothing can be said before the handshake is complete: of an accepted one, before the client has spoken. */
static bool is_ready(channel *c) {
  if (c->state == OPEN && c->heard) return true;
  if (c->state == OPEN) c->detail = "the client speaks first", c->status = CHASKI_EPROTOCOL;
  return false;
}

static int queue_message(channel *c, const chaski_packer *p) {
  block *b;
  if (c->out_len + HEAD + p->len > OUT_MAX) return CHASKI_EFULL;
  if (!(b = chaski__malloc(sizeof *b + HEAD + p->len))) return CHASKI_ENOMEM;
  *b = (block){NULL, HEAD + p->len};
  for (int i = 0; i < HEAD; i++) b->bytes[i] = (uint8_t)(p->len >> 8 * (HEAD - 1 - i));
  memcpy(b->bytes + HEAD, p->ptr, p->len);
  if (c->out)
    c->out_last->next = b;
  else
    c->out = b;
  c->out_last = b;
  c->out_len += b->len;
  return CHASKI_OK;
}

/* (channel, table): true once it is queued */
static int channel_send(lua_State *L) {
  channel *c = check_channel(L, "channel:send");
  const chaski_pack_options options = {.sort_keys = chaski__simulated(L), .size = MESSAGE_MAX};
  luaL_checktype(L, 2, LUA_TTABLE);
  if (!is_ready(c)) return push_failure(L, c);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &packer_key);
  chaski_packer *p = lua_touserdata(L, -1);
  if (chaski__pack(L, 2, p, &options, "message") != 0) {
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
  }
  luaL_argcheck(L, is_map(p->ptr[0]), 2, "a map expected, not an array");
  int rc = queue_message(c, p);
  if (rc != CHASKI_OK) return chaski__fail(L, rc, c->what, "");
  flush(c);
  if (c->state != OPEN) return push_failure(L, c);
  lua_pushboolean(L, 1);
  return 1;
}

/* (channel [, { timeout = }]): the next message */
static int channel_receive(lua_State *L) {
  static const char *const names[] = {"timeout", NULL};
  channel *c = check_channel(L, "channel:receive");
  uint64_t timeout = chaski__opt_ns(L, chaski__opt_table(L, 2, names), "timeout", UINT64_MAX);
  chaski__check_task(L, "channel:receive");
  if (c->waiter) return luaL_error(L, "channel:receive: another task receives already");
  if (has_message(c)) return push_message(L, c);
  if (c->state == OPEN && c->ended) chaski__channel_end(c, c->in_len ? CHASKI_ETRUNCATED : CHASKI_ELOST, "");
  if (c->state != OPEN) return push_failure(L, c);
  chaski_waiter *w = chaski__waiter_new(L, c->rt, &c->waiter, sizeof *w);
  return chaski__park(L, c->rt, timeout == UINT64_MAX ? -1 : (double)timeout / 1e9, chaski__waiter_free, w);
}

/* (channel, label, n): n bytes of key material of this connection that both ends have and nobody else */
static int channel_export(lua_State *L) {
  channel *c = check_channel(L, "channel:export");
  const char *label = luaL_checkstring(L, 2);
  lua_Integer n = luaL_checkinteger(L, 3);
  uint8_t out[EXPORT_MAX];
  luaL_argcheck(L, n >= 1 && n <= EXPORT_MAX, 3, "1 to 64 bytes expected");
  if (!is_ready(c)) return push_failure(L, c);
  int rc = chaski_tls_stream_export(c->stream, label, out, (size_t)n);
  if (rc != CHASKI_OK) return chaski__fail(L, rc, c->what, "");
  lua_pushlstring(L, (const char *)out, (size_t)n);
  return 1;
}

/* (channel): DER, or nil */
static int channel_peer_certificate(lua_State *L) {
  channel *c = check_channel(L, "channel:peer_certificate");
  if (!is_ready(c)) return 0;
  chaski_slice der = chaski_tls_stream_peer_certificate(c->stream);
  if (!der.len) return 0;
  lua_pushlstring(L, (const char *)der.ptr, der.len);
  return 1;
}

static int channel_close(lua_State *L) { /* and __close */
  channel *c = *(channel **)luaL_checkudata(L, 1, CHANNEL);
  if (c) leave(c);
  return 0;
}

static int channel_gc(lua_State *L) {
  channel **box = luaL_checkudata(L, 1, CHANNEL), *c = *box;
  *box = NULL;
  if (!c) return 0;
  c->box = NULL;
  leave(c);
  chaski__channel_release(c);
  return 0;
}

static int channel_tostring(lua_State *L) {
  const channel *c = *(channel **)luaL_checkudata(L, 1, CHANNEL);
  lua_pushfstring(L, CHANNEL "(%s%s)", c ? c->what : "", c && c->state == OPEN ? "" : ", closed");
  return 1;
}

static int get_peer(lua_State *L) {
  const channel *c = *(channel **)luaL_checkudata(L, 1, CHANNEL);
  lua_pushstring(L, c ? c->what + sizeof "channel" : "");
  return 1;
}

static int get_open(lua_State *L) {
  const channel *c = *(channel **)luaL_checkudata(L, 1, CHANNEL);
  lua_pushboolean(L, c && c->state == OPEN);
  return 1;
}

/* --- the end of a world ------------------------------------------------------------------------------------------- */
void chaski__close_channels(chaski_runtime *rt, const chaski_world *world) {
  for (channel *c = rt->channels; c; c = c->next) {
    if (world && c->world != world) continue;
    chaski__waiters_forget(&c->waiter);
    chaski__channel_end(c, CHASKI_ECLOSED, "");
  }
  for (listener *l = rt->channel_listeners; l; l = l->next)
    if (!world || l->world == world) chaski__channel_listener_close(l);
}

bool chaski__has_channels(const chaski_runtime *rt, const chaski_world *world) {
  for (const channel *c = rt->channels; c; c = c->next)
    if (c->world == world) return true;
  for (const listener *l = rt->channel_listeners; l; l = l->next)
    if (l->world == world) return true;
  return false;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */
static void open_class(lua_State *L) {
  static const luaL_Reg channel_meta[] = {
      {"__gc", channel_gc}, {"__close", channel_close}, {"__tostring", channel_tostring}, {NULL, NULL}};
  static const luaL_Reg channel_methods[] = {{"send", channel_send},
                                             {"receive", channel_receive},
                                             {"export", channel_export},
                                             {"close", channel_close},
                                             {"peer_certificate", channel_peer_certificate},
                                             {NULL, NULL}};
  static const luaL_Reg channel_getters[] = {{"peer", get_peer}, {"open", get_open}, {NULL, NULL}};
  chaski__class(L, CHANNEL, channel_meta, channel_methods, channel_getters);
  lua_pop(L, 3);
}

void chaski__open_channel(lua_State *L) {
  static const luaL_Reg functions[] = {{"channel_connect", channel_connect}, {NULL, NULL}};
  luaL_checkstack(L, 16, NULL);
  chaski__weak_table(L, &boxes_key);
  chaski__packer_new(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &packer_key);
  luaL_setfuncs(L, functions, 0);
  open_class(L);
  chaski__open_channel_listener(L);
}
