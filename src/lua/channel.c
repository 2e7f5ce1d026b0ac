/* channel.c: secure conversations of small messages for tasks: what the CA and those who enrol speak. A message is a
 * length of four bytes, big end first, and a MessagePack map of at most 64 KiB. The transport is the current world's
 * under a TLS layer of the channel's own; a conversation ends after ten seconds, whatever happens. It knows nothing of
 * certificate authorities, and nothing of nodes. See binding.h. SPDX-License-Identifier: MIT */
#include "channel.h"
#include "../core/address.h"
#include "../core/alloc.h"
#include "../tls/tls.h"
#include "binding.h"
#include "error.h"
#include "tls_binding.h"

#define CHANNEL "chaski.channel"
#define LISTENER "chaski.channel_listener"
#define HEAD 4                            /* bytes of a length */
#define MESSAGE_MAX 65536                 /* bytes of a message */
#define IN_FIRST 4096                     /* bytes of the first buffer for what arrives; it doubles */
#define IN_MAX (4 * MESSAGE_MAX)          /* bytes not yet received by the task; reading pauses far earlier */
#define OUT_MAX ((size_t)4 * MESSAGE_MAX) /* bytes not yet sent */
#define LIFE (10 * CHASKI_S)              /* of a conversation */
#define GOODBYE CHASKI_S                  /* for what is queued, and the peer's end, after close */
#define CHANNELS_MAX 64                   /* at once: of a listener, and dialled */
#define EXPORT_MAX 64                     /* bytes of the exporter */
#define WHAT_MAX (CHASKI_HOST_MAX + 16)   /* bytes of "channel host:port" */

typedef struct chaski_lua_channel channel;
typedef struct chaski_lua_listener listener;

enum state {
  DIALLING, /* until the TLS handshake is complete */
  OPEN,
  LEAVING, /* close was called: sending what is queued, then the end */
  DEAD,    /* the stream is closed, or will be at the next turn */
};

typedef struct block { /* a message on its way out */
  struct block *next;
  size_t len;
  uint8_t bytes[];
} block;

struct chaski_lua_channel {
  unsigned refs; /* the stream's until `closed`, the userdata's */
  chaski_runtime *rt;
  chaski_world *world;
  channel *next, **link; /* rt->channels, until `closed` */
  listener *from;        /* that accepted it, while that is there; NULL: dialled */
  chaski_tls_layer *layer;
  chaski_stream *stream; /* NULL: closed */
  enum state state;
  bool dialled, heard, paused, borrowed, ended, shut; /* heard: the handshake is complete for sure */
  int status;                                         /* why it is dead */
  const char *detail;
  chaski_waiter *waiter; /* in connect or in receive; at most one */
  uint8_t *in;
  size_t in_len, in_cap;
  block *out, *out_last;
  size_t out_len;
  chaski_timer timer;
  channel **box; /* the userdata; NULL: collected, or not made yet */
  char what[WHAT_MAX];
};

struct chaski_lua_listener {
  unsigned refs; /* the transport's until `closed`, the userdata's */
  chaski_runtime *rt;
  chaski_world *world;
  listener *next, **link; /* rt->channel_listeners, until `closed` */
  chaski_tls_layer *layer;
  chaski_listener *core; /* NULL: closed */
  bool closing;
  uint16_t port;
  int self, serve; /* references in the registry while it listens */
};

static const char boxes_key,
    packer_key; /* their addresses are keys in the registry: box -> userdata, weak; the packer */
static const chaski_transport *const tls = &chaski_tls_transport;

/* --- life of a channel -------------------------------------------------------------------------------------------- */
static void on_timer(chaski_timer *timer);

/* With the reference of its stream, which is still to be made; the layer is taken. */
static channel *new_channel(chaski_runtime *rt, chaski_tls_layer *layer) {
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

static void release(channel *c) {
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

static void link_channel(channel *c) { /* at the end: the oldest come first */
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
static void end(channel *c, int status, const char *detail) {
  if (c->state == DEAD) return;
  c->state = DEAD;
  c->status = status;
  c->detail = detail ? detail : "";
  chaski_timer_stop(c->world->loop, &c->timer);
  c->refs++;
  if (c->stream) tls->close(c->stream);
  wake(c, push_failure);
  release(c);
}

static void on_timer(chaski_timer *timer) {
  channel *c = (channel *)(void *)((char *)timer - offsetof(channel, timer));
  end(c, c->state == LEAVING ? CHASKI_ECLOSED : CHASKI_ETIMEOUT, "");
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
    end(c, CHASKI_ECLOSED, "");
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
      end(c, (int)taken, tls->detail(c->stream));
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
    end(c, CHASKI_ECLOSED, "");
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
  release(c);
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
  end(c, CHASKI_EMALFORMED, "the length of a message");
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
  end(c, CHASKI_EDATA, "a message that is no map");
  return push_failure(L, c);
}

static void on_data(void *user, const uint8_t *bytes, size_t len) {
  channel *c = user;
  if (c->state != OPEN) return;
  c->refs++;
  c->heard = true;
  int rc = keep_bytes(c, bytes, len);
  if (rc != CHASKI_OK) {
    end(c, rc, "");
  } else if (check_length(c) && has_message(c)) {
    wake(c, push_message);
    if (c->state == OPEN && has_message(c) && !c->paused) {
      c->paused = true;
      tls->pause(c->stream);
    }
  }
  release(c);
}

static void on_end(void *user, int status) {
  channel *c = user;
  if (c->state == DEAD) return;
  c->ended = true;
  if (status != CHASKI_OK)
    end(c, status, tls->detail(c->stream));
  else if (c->state == LEAVING)
    finish_leaving(c);
  else if (c->waiter)
    end(c, c->in_len ? CHASKI_ETRUNCATED : CHASKI_ELOST, "");
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
    end(c, status, tls->detail(c->stream));
    return;
  }
  c->refs++;
  c->state = OPEN;
  c->heard = true;
  wake(c, push_self);
  release(c);
}

static void on_closed(void *user) {
  channel *c = user;
  c->stream = NULL;
  unlink_channel(c);
  release(c);
}

static const chaski_stream_events stream_events = {on_connected, on_data, on_end, on_written, on_closed};

/* --- the userdata ------------------------------------------------------------------------------------------------- */
/* Push an empty one. What can raise is done here, before there is anything to lose. */
static void *push_box(lua_State *L, chaski_runtime *rt, const char *class) {
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

static void fill_box(channel **box, channel *c) {
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

static uint16_t check_port(lua_State *L, int arg, lua_Integer least) {
  lua_Integer port = luaL_checkinteger(L, arg);
  luaL_argcheck(L, port >= least && port <= 65535, arg, "port expected");
  return (uint16_t)port;
}

/* A layer on the current world's transport; CHASKI_OK or a code. */
static int new_layer(const chaski_runtime *rt, chaski_tls_context *client, chaski_tls_context *server,
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
static size_t count_channels(const chaski_runtime *rt, const listener *from) {
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
  int rc = new_layer(rt, context, NULL, &layer);
  if (rc != CHASKI_OK) return rc;
  channel *c = new_channel(rt, layer);
  if (!c) {
    chaski_tls_layer_release(layer);
    return CHASKI_ENOMEM;
  }
  rc = tls->connect(c->layer, host, port, &stream_events, c, &c->stream);
  if (rc != CHASKI_OK) {
    release(c);
    return rc;
  }
  c->dialled = true;
  link_channel(c);
  c->what[sizeof "channel" - 1] = ' ';
  chaski_address_format(c->what + sizeof "channel", host, port);
  fill_box(box, c);
  return CHASKI_OK;
}

/* (host, port, context [, { timeout = }]): a channel, once the handshake is complete. timeout is for all of it. */
static int channel_connect(lua_State *L) {
  static const char *const names[] = {"timeout", NULL};
  chaski_runtime *rt = chaski__runtime(L);
  const char *host = luaL_checkstring(L, 1);
  uint16_t port = check_port(L, 2, 1);
  chaski_tls_context *context = chaski__lua_check_tls_context(L, 3);
  uint64_t timeout = chaski__opt_ns(L, chaski__opt_table(L, 4, names), "timeout", LIFE);
  luaL_argcheck(L, strlen(host) < CHASKI_HOST_MAX, 1, "host too long");
  chaski__check_task(L, "channel_connect");
  if (count_channels(rt, NULL) >= CHANNELS_MAX) return chaski__fail(L, CHASKI_EPENDING, "channel", host);
  channel **box = push_box(L, rt, CHANNEL);
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
  if (c->state == OPEN && c->ended) end(c, c->in_len ? CHASKI_ETRUNCATED : CHASKI_ELOST, "");
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
  release(c);
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

/* --- listening ---------------------------------------------------------------------------------------------------- */
static void release_listener(listener *l) {
  if (--l->refs > 0) return;
  chaski_tls_layer_release(l->layer);
  chaski__free(l);
}

/* Is there room for one more? If need be in the place of the oldest of which nothing was heard yet. */
static bool make_room(const listener *l) {
  if (count_channels(l->rt, l) < CHANNELS_MAX) return true;
  for (channel *c = l->rt->channels; c; c = c->next) {
    if (c->from != l || c->heard || c->state == DEAD) continue;
    end(c, CHASKI_EPENDING, "");
    return true;
  }
  return false;
}

static int start_serving(lua_State *L) {
  channel *c = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, c->from->serve);
  fill_box(push_box(L, c->rt, CHANNEL), c);
  if (!chaski__spawn(c->rt, L, 1, "channel", NULL, NULL)) return luaL_error(L, "out of memory");
  return 0;
}

static channel *accept_channel(listener *l, chaski_stream *stream) {
  char host[CHASKI_HOST_MAX];
  uint16_t port;
  channel *c = !l->closing && make_room(l) ? new_channel(l->rt, l->layer) : NULL;
  if (!c) return NULL;
  chaski_tls_layer_hold(l->layer);
  c->from = l;
  c->stream = stream;
  c->state = OPEN;
  link_channel(c);
  tls->open(stream, &stream_events, c);
  c->what[sizeof "channel" - 1] = ' ';
  if (tls->peer_address(stream, host, &port) == CHASKI_OK)
    chaski_address_format(c->what + sizeof "channel", host, port);
  chaski_timer_start(c->world->loop, &c->timer, LIFE);
  return c;
}

static void on_accept(void *user, chaski_stream *stream) {
  channel *c = accept_channel(user, stream);
  if (!c) {
    tls->close(stream);
    return;
  }
  c->refs++;
  if (!chaski__enter(c->rt, start_serving, c)) end(c, CHASKI_ENOMEM, "");
  release(c);
}

static void on_accept_error(void *user, int status) {
  const listener *l = user;
  chaski__runtime_log(l->rt, CHASKI_LOG_WARN, "channel", chaski_error_text(status));
}

static void on_listener_closed(void *user) {
  listener *l = user;
  l->core = NULL;
  *l->link = l->next;
  if (l->next) l->next->link = l->link;
  release_listener(l);
}

static const chaski_listener_events listener_events = {on_accept, on_accept_error, on_listener_closed};

/* No more connections, and the end of those there are. */
static void close_listener(listener *l) {
  chaski_runtime *rt = l->rt;
  if (l->closing) return;
  l->closing = true;
  l->refs++;
  tls->listener_close(l->core);
  for (channel *c = rt->channels; c; c = c->next) { /* they leave the list at a later turn */
    if (c->from != l) continue;
    c->from = NULL;
    end(c, CHASKI_ECLOSED, "");
  }
  if (rt->L) {
    luaL_unref(rt->L, LUA_REGISTRYINDEX, l->serve);
    luaL_unref(rt->L, LUA_REGISTRYINDEX, l->self);
  }
  l->serve = l->self = LUA_NOREF;
  release_listener(l);
}

static int start_listening(chaski_runtime *rt, listener **box, chaski_tls_context *context, const char *ip,
                           uint16_t port) {
  listener *l = chaski__calloc(1, sizeof *l);
  int rc = l ? new_layer(rt, NULL, context, &l->layer) : CHASKI_ENOMEM;
  if (rc == CHASKI_OK) rc = tls->listen(l->layer, ip, port, &listener_events, l, &l->core);
  if (rc != CHASKI_OK) {
    if (l) chaski_tls_layer_release(l->layer);
    chaski__free(l);
    return rc;
  }
  l->refs = 2; /* the transport's, the userdata's */
  l->rt = rt;
  l->world = rt->world;
  l->port = tls->listener_port(l->core);
  l->self = l->serve = LUA_NOREF;
  l->link = &rt->channel_listeners;
  l->next = rt->channel_listeners;
  if (l->next) l->next->link = &l->next;
  rt->channel_listeners = l;
  *box = l;
  return CHASKI_OK;
}

/* (ip, port, context, fn): a listener; fn(channel) runs as a task for each connection, ten seconds at most */
static int channel_listen(lua_State *L) {
  chaski_runtime *rt = chaski__runtime(L);
  const char *ip = luaL_checkstring(L, 1);
  uint16_t port = check_port(L, 2, 0);
  chaski_tls_context *context = chaski__lua_check_tls_context(L, 3);
  luaL_checktype(L, 4, LUA_TFUNCTION);
  lua_settop(L, 4);
  listener **box = push_box(L, rt, LISTENER);
  int rc = start_listening(rt, box, context, ip, port);
  if (rc != CHASKI_OK) return chaski__fail(L, rc, "channel_listen", ip);
  lua_pushvalue(L, 4);
  (*box)->serve = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushvalue(L, 5);
  (*box)->self = luaL_ref(L, LUA_REGISTRYINDEX);
  return 1;
}

static listener *check_listener(lua_State *L) {
  listener *l = *(listener **)luaL_checkudata(L, 1, LISTENER);
  luaL_argcheck(L, l, 1, "the listener was never open");
  return l;
}

/* (listener, context): for connections to come */
static int set_context(lua_State *L) {
  const listener *l = check_listener(L);
  chaski_tls_layer_set_contexts(l->layer, NULL, chaski__lua_check_tls_context(L, 2));
  return 0;
}

static int listener_close(lua_State *L) { /* and __close */
  listener *l = *(listener **)luaL_checkudata(L, 1, LISTENER);
  if (l) close_listener(l);
  return 0;
}

static int listener_gc(lua_State *L) { /* closed before, or at lua_close */
  listener **box = luaL_checkudata(L, 1, LISTENER), *l = *box;
  *box = NULL;
  if (!l) return 0;
  close_listener(l);
  release_listener(l);
  return 0;
}

static int listener_tostring(lua_State *L) {
  const listener *l = *(listener **)luaL_checkudata(L, 1, LISTENER);
  lua_pushfstring(L, LISTENER "(port %d%s)", l ? l->port : 0, l && !l->closing ? "" : ", closed");
  return 1;
}

static int get_port(lua_State *L) {
  lua_pushinteger(L, check_listener(L)->port);
  return 1;
}

/* { handshakes =, refused = }: how many were completed, and failed */
static int get_counters(lua_State *L) {
  const chaski_tls_counters *counters = chaski_tls_layer_counters(check_listener(L)->layer);
  lua_createtable(L, 0, 2);
  lua_pushinteger(L, (lua_Integer)counters->handshakes);
  lua_setfield(L, -2, "handshakes");
  lua_pushinteger(L, (lua_Integer)counters->refused);
  lua_setfield(L, -2, "refused");
  return 1;
}

/* --- the end of a world ------------------------------------------------------------------------------------------- */
void chaski__close_channels(chaski_runtime *rt, const chaski_world *world) {
  for (channel *c = rt->channels; c; c = c->next) {
    if (world && c->world != world) continue;
    chaski__waiters_forget(&c->waiter);
    end(c, CHASKI_ECLOSED, "");
  }
  for (listener *l = rt->channel_listeners; l; l = l->next)
    if (!world || l->world == world) close_listener(l);
}

bool chaski__has_channels(const chaski_runtime *rt, const chaski_world *world) {
  for (const channel *c = rt->channels; c; c = c->next)
    if (c->world == world) return true;
  for (const listener *l = rt->channel_listeners; l; l = l->next)
    if (l->world == world) return true;
  return false;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */
static void open_classes(lua_State *L) {
  static const luaL_Reg channel_meta[] = {
      {"__gc", channel_gc}, {"__close", channel_close}, {"__tostring", channel_tostring}, {NULL, NULL}};
  static const luaL_Reg channel_methods[] = {{"send", channel_send},
                                             {"receive", channel_receive},
                                             {"export", channel_export},
                                             {"close", channel_close},
                                             {"peer_certificate", channel_peer_certificate},
                                             {NULL, NULL}};
  static const luaL_Reg channel_getters[] = {{"peer", get_peer}, {"open", get_open}, {NULL, NULL}};
  static const luaL_Reg listener_meta[] = {
      {"__gc", listener_gc}, {"__close", listener_close}, {"__tostring", listener_tostring}, {NULL, NULL}};
  static const luaL_Reg listener_methods[] = {{"close", listener_close}, {"set_context", set_context}, {NULL, NULL}};
  static const luaL_Reg listener_getters[] = {{"port", get_port}, {"counters", get_counters}, {NULL, NULL}};
  chaski__class(L, CHANNEL, channel_meta, channel_methods, channel_getters);
  chaski__class(L, LISTENER, listener_meta, listener_methods, listener_getters);
  lua_pop(L, 6);
}

void chaski__open_channel(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"channel_connect", channel_connect}, {"channel_listen", channel_listen}, {NULL, NULL}};
  luaL_checkstack(L, 16, NULL);
  chaski__weak_table(L, &boxes_key);
  chaski__packer_new(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &packer_key);
  luaL_setfuncs(L, functions, 0);
  open_classes(L);
}
