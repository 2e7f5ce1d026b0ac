/* channel_listener.c: taking connections for channels: each is a task of its own. See channel_internal.h.
 * SPDX-License-Identifier: MIT */
#include "channel_internal.h"

#include "../core/alloc.h"
#include "error.h"
#include "tls_binding.h"

static const chaski_transport *const tls = &chaski_tls_transport;

static void release_listener(listener *l) {
  if (--l->refs > 0) return;
  chaski_tls_layer_release(l->layer);
  chaski__free(l);
}

/* Is there room for one more? If need be in the place of the oldest of which nothing was heard yet. */
static bool make_room(const listener *l) {
  if (chaski__channel_count(l->rt, l) < CHANNELS_MAX) return true;
  for (channel *c = l->rt->channels; c; c = c->next) {
    if (c->from != l || c->heard || c->state == DEAD) continue;
    chaski__channel_end(c, CHASKI_EPENDING, "");
    return true;
  }
  return false;
}

static int start_serving(lua_State *L) {
  channel *c = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, c->from->serve);
  chaski__channel_fill_box(chaski__channel_push_box(L, c->rt, CHANNEL), c);
  if (!chaski__spawn(c->rt, L, 1, "channel", NULL, NULL)) return luaL_error(L, "out of memory");
  return 0;
}

static channel *accept_channel(listener *l, chaski_stream *stream) {
  char host[CHASKI_HOST_MAX];
  uint16_t port;
  channel *c = !l->closing && make_room(l) ? chaski__channel_new(l->rt, l->layer) : NULL;
  if (!c) return NULL;
  chaski_tls_layer_hold(l->layer);
  c->from = l;
  c->stream = stream;
  c->state = OPEN;
  chaski__channel_link(c);
  tls->open(stream, &chaski__channel_events, c);
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
  if (!chaski__enter(c->rt, start_serving, c)) chaski__channel_end(c, CHASKI_ENOMEM, "");
  chaski__channel_release(c);
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
void chaski__channel_listener_close(listener *l) {
  chaski_runtime *rt = l->rt;
  if (l->closing) return;
  l->closing = true;
  l->refs++;
  tls->listener_close(l->core);
  for (channel *c = rt->channels; c; c = c->next) { /* they leave the list at a later turn */
    if (c->from != l) continue;
    c->from = NULL;
    chaski__channel_end(c, CHASKI_ECLOSED, "");
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
  int rc = l ? chaski__channel_layer(rt, NULL, context, &l->layer) : CHASKI_ENOMEM;
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
  uint16_t port = chaski__channel_check_port(L, 2, 0);
  chaski_tls_context *context = chaski__lua_check_tls_context(L, 3);
  luaL_checktype(L, 4, LUA_TFUNCTION);
  lua_settop(L, 4);
  listener **box = chaski__channel_push_box(L, rt, LISTENER);
  int rc = start_listening(rt, box, context, ip, port);
  if (rc != CHASKI_OK) return chaski__fail(L, rc, lua_pushfstring(L, "channel %s:%d", ip, (int)port), "");
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
  if (l) chaski__channel_listener_close(l);
  return 0;
}

static int listener_gc(lua_State *L) { /* closed before, or at lua_close */
  listener **box = luaL_checkudata(L, 1, LISTENER), *l = *box;
  *box = NULL;
  if (!l) return 0;
  chaski__channel_listener_close(l);
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

void chaski__open_channel_listener(lua_State *L) {
  static const luaL_Reg functions[] = {{"channel_listen", channel_listen}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__gc", listener_gc}, {"__close", listener_close}, {"__tostring", listener_tostring}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"close", listener_close}, {"set_context", set_context}, {NULL, NULL}};
  static const luaL_Reg getters[] = {{"port", get_port}, {"counters", get_counters}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
  chaski__class(L, LISTENER, meta, methods, getters);
  lua_pop(L, 3);
}
