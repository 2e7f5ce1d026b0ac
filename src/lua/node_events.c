/* node_events.c: the upcalls of the core as what Lua sees: events for listeners, the end of waits, handlers that are
 * given to a node late. See binding.h. SPDX-License-Identifier: MIT */
#include "binding.h"
#include "error.h"
#include "requests.h"

static const char dispatch_key, find_handler_key; /* their addresses are keys in the registry */

static const char *const event_names[] = {
#define NAME(id, name) name,
    CHASKI_LUA_EVENTS(NAME)
#undef NAME
        NULL,
};

void chaski__emit(lua_State *L, chaski_lua_node *n, enum chaski_lua_event event, int nargs) {
  if (!chaski__listening(n, event) || n->self == LUA_NOREF) {
    lua_pop(L, nargs);
    return;
  }
  luaL_checkstack(L, 4, NULL);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &dispatch_key);
  chaski__push_node(L, n);
  lua_pushstring(L, event_names[event]);
  lua_rotate(L, -nargs - 3, 3);
  lua_call(L, nargs + 2, 0);
}

static void set_text(lua_State *L, const char *field, chaski_slice text) {
  lua_pushlstring(L, text.len ? (const char *)text.ptr : "", text.len);
  lua_setfield(L, -2, field);
}

void chaski__emit_undelivered(lua_State *L, chaski_lua_node *n, chaski_edge *edge, const chaski_message *m,
                              const char *reason) {
  if (!chaski__listening(n, CHASKI_ON_UNDELIVERED)) return;
  luaL_checkstack(L, 10, NULL);
  lua_createtable(L, 0, 4);
  lua_pushstring(L, reason);
  lua_setfield(L, -2, "reason");
  set_text(L, "topic", m->topic);
  set_text(L, "uuid", m->uuid);
  chaski__push_edge(L, n, edge);
  lua_setfield(L, -2, "edge");
  chaski__emit(L, n, CHASKI_ON_UNDELIVERED, 1);
}

struct upcall { /* what an upcall of the core hands through the door */
  chaski_lua_node *node;
  enum chaski_lua_event event;
  chaski_edge *edge;
  const chaski_message *message;
  const char *reason;
  chaski_slice detail; /* without a pointer: none */
};

static int emit_upcall(lua_State *L) {
  struct upcall *up = lua_touserdata(L, 1);
  int nargs = 0;
  if (up->edge) chaski__push_edge(L, up->node, up->edge), nargs++;
  if (up->reason) lua_pushstring(L, up->reason), nargs++;
  if (up->detail.ptr) lua_pushlstring(L, (const char *)up->detail.ptr, up->detail.len), nargs++;
  chaski__emit(L, up->node, up->event, nargs);
  return 0;
}

static int emit_upcall_undelivered(lua_State *L) {
  struct upcall *up = lua_touserdata(L, 1);
  chaski__emit_undelivered(L, up->node, up->edge, up->message, up->reason);
  return 0;
}

static void enter(struct upcall *up, lua_CFunction fn) {
  chaski_lua_node *n = up->node;
  if (!chaski__listening(n, up->event) || !n->anchors) return;
  n->anchors++;
  chaski__enter(n->rt, fn, up);
  chaski__release_node(n);
}

struct unhandled {
  chaski_lua_node *node;
  chaski_slice command;
  bool found;
};

static int find_handler(lua_State *L) {
  struct unhandled *u = lua_touserdata(L, 1);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &find_handler_key) != LUA_TFUNCTION) return 0;
  chaski__push_node(L, u->node);
  lua_pushlstring(L, (const char *)u->command.ptr, u->command.len);
  lua_call(L, 2, 1);
  u->found = lua_toboolean(L, -1);
  return 0;
}

static bool on_unhandled(void *user, chaski_slice command) {
  struct unhandled u = {.node = user, .command = command};
  if (!u.node->anchors) return false;
  if (chaski__take_request_command(u.node, command)) return true;
  u.node->anchors++;
  chaski__enter(u.node->rt, find_handler, &u);
  chaski__release_node(u.node);
  return u.found;
}

static void on_command(void *user, void *handler, chaski_edge *edge, const chaski_message *m) {
  const chaski_lua_command *c = chaski__request_command(handler);
  if (c)
    c->receive(user, edge, m);
  else
    chaski__sub_message(user, handler, edge, m);
}

static void on_edge_live(void *user, chaski_edge *edge) {
  enter(&(struct upcall){.node = user, .event = CHASKI_ON_EDGE_OPEN, .edge = edge}, emit_upcall);
}

static void on_edge_closed(void *user, chaski_edge *edge, int reason, const char *detail) {
  chaski_lua_node *n = user;
  struct upcall up = {.node = n, .event = CHASKI_ON_EDGE_CLOSED, .edge = edge, .reason = chaski_error_name(reason)};
  up.detail = chaski_slice_str(detail ? detail : "");
  chaski_edge_hold(edge);
  enter(&up, emit_upcall);
  chaski__edge_ended(n->rt, edge);
  chaski_edge_release(edge);
}

static void on_edge_suspended(void *user, chaski_edge *edge, int reason) {
  struct upcall up = {.node = user, .event = CHASKI_ON_EDGE_SUSPENDED, .edge = edge};
  up.reason = chaski_error_name(reason);
  enter(&up, emit_upcall);
}

struct resumed {
  struct upcall up;
  uint64_t lost;
};

static int emit_resumed(lua_State *L) {
  struct resumed *r = lua_touserdata(L, 1); /* up comes first */
  chaski__push_edge(L, r->up.node, r->up.edge);
  lua_pushinteger(L, (lua_Integer)r->lost);
  chaski__emit(L, r->up.node, CHASKI_ON_EDGE_RESUMED, 2);
  return 0;
}

static void on_edge_resumed(void *user, chaski_edge *edge, uint64_t lost) {
  struct resumed r = {{.node = user, .event = CHASKI_ON_EDGE_RESUMED, .edge = edge}, lost};
  enter(&r.up, emit_resumed);
}

static void on_edge_writable(void *user, chaski_edge *edge, bool writable) {
  enum chaski_lua_event event = writable ? CHASKI_ON_RESUME_WRITING : CHASKI_ON_PAUSE_WRITING;
  enter(&(struct upcall){.node = user, .event = event, .edge = edge}, emit_upcall);
}

static void on_edge_changed(void *user, chaski_edge *edge) {
  enter(&(struct upcall){.node = user, .event = CHASKI_ON_EDGE_CHANGED, .edge = edge}, emit_upcall);
}

static void on_undelivered(void *user, chaski_edge *edge, const chaski_message *message, int reason) {
  struct upcall up = {.node = user, .event = CHASKI_ON_UNDELIVERED, .edge = edge, .message = message};
  up.reason = chaski_error_name(reason);
  enter(&up, emit_upcall_undelivered);
}

static void on_udp(void *user, bool open, int status) {
  struct upcall up = {.node = user, .event = open ? CHASKI_ON_UDP_OPEN : CHASKI_ON_UDP_CLOSED};
  if (status != CHASKI_OK) up.event = CHASKI_ON_UDP_ERROR, up.reason = chaski_error_name(status);
  enter(&up, emit_upcall);
}

static void on_forbidden(void *user, chaski_edge *edge, enum chaski_right right, chaski_slice topic) {
  static const char *const rights[] = {"publish", "subscribe", "relay"};
  struct upcall up = {.node = user, .event = CHASKI_ON_FORBIDDEN, .edge = edge, .reason = rights[right]};
  up.detail = topic;
  enter(&up, emit_upcall);
}

struct datagram {
  struct upcall up;
  const char *host;
  uint16_t port;
};

static int emit_datagram(lua_State *L) {
  struct datagram *d = lua_touserdata(L, 1); /* up comes first */
  chaski__push_message(L, d->up.node, NULL, d->up.message);
  lua_pushstring(L, d->host);
  lua_pushinteger(L, d->port);
  chaski__emit(L, d->up.node, CHASKI_ON_DATAGRAM, 3);
  return 0;
}

static void on_datagram(void *user, const char *host, uint16_t port, const chaski_message *message) {
  struct datagram d = {{.node = user, .event = CHASKI_ON_DATAGRAM, .message = message}, host, port};
  enter(&d.up, emit_datagram);
}

static void on_drained(void *user) {
  chaski_lua_node *n = user;
  bool held = n->anchors > 0;
  n->anchors += held;
  chaski__waiters_wake(&n->drained, NULL, NULL);
  if (held) chaski__release_node(n);
}

/* Whoever waits for the end goes on first: it may be one of the node's own tasks, which end now, unless one of those
 * who waited has run the node again. */
static void on_stopped(void *user) {
  chaski_lua_node *n = user;
  n->anchors++;
  n->stop_asked = false;
  chaski__leave_running(n);
  chaski__waiters_wake(&n->drained, NULL, NULL);
  chaski__waiters_wake(&n->stopping, chaski__push_true, NULL);
  if (!n->running) {
    chaski__subs_stopped(n);
    chaski__cancel_tasks(n->rt, n);
    enter(&(struct upcall){.node = n, .event = CHASKI_ON_STOPPED}, emit_upcall);
  }
  chaski__release_node(n);
}

const chaski_node_events chaski__node_events = {
    .message = chaski__sub_message,
    .command = on_command,
    .unhandled = on_unhandled,
    .edge_live = on_edge_live,
    .edge_closed = on_edge_closed,
    .edge_writable = on_edge_writable,
    .edge_suspended = on_edge_suspended,
    .edge_resumed = on_edge_resumed,
    .edge_changed = on_edge_changed,
    .drained = on_drained,
    .forbidden = on_forbidden,
    .datagram = on_datagram,
    .udp = on_udp,
    .undelivered = on_undelivered,
    .stopped = on_stopped,
};

/* (node, event, on): whether somebody listens */
static int listen_event(lua_State *L) {
  chaski_lua_node *n = chaski__check_node(L, 1);
  uint32_t bit = UINT32_C(1) << luaL_checkoption(L, 2, NULL, event_names);
  n->listening = (lua_toboolean(L, 3) ? n->listening | bit : n->listening & ~bit) | n->rt->listening;
  return 0;
}

/* (event): nodes made from now on listen */
static int listen_everywhere(lua_State *L) {
  chaski__runtime(L)->listening |= UINT32_C(1) << luaL_checkoption(L, 1, NULL, event_names);
  return 0;
}

static int list_events(lua_State *L) {
  lua_newtable(L);
  for (int i = 0; event_names[i]; i++) {
    lua_pushstring(L, event_names[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int set_function(lua_State *L, const void *key) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, key);
  return 0;
}

static int set_dispatch(lua_State *L) { /* fn(node, event, ...) */
  return set_function(L, &dispatch_key);
}

static int set_find_handler(lua_State *L) { /* fn(node, command): whether it has given the command a handler */
  return set_function(L, &find_handler_key);
}

void chaski__open_node_events(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"listen_event", listen_event}, {"listen_everywhere", listen_everywhere}, {"events", list_events},
      {"set_dispatch", set_dispatch}, {"set_find_handler", set_find_handler},   {NULL, NULL},
  };
  luaL_setfuncs(L, functions, 0);
}
