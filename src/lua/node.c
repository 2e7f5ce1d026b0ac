/* node.c: the userdata of a node: making, running, stopping and ending it. What the core tells of it is in
 * node_events.c, what it sends in send.c, what it shows in fields.c. See binding.h. SPDX-License-Identifier: MIT */
#include "../core/alloc.h"
#include "binding.h"
#include "error.h"
#include "limiter.h"
#include "requests.h"

#define CLASS CHASKI_NODE_CLASS
#define STOP_TIMEOUT (2 * CHASKI_S) /* for what is queued; a peer that does not read must not hold up a stop */

static const char number_key, packer_key, refs_key; /* their addresses are keys in the registry */

/* --- finding and anchoring -------------------------------------------------------------------------------------- */
chaski_lua_node *chaski__test_node(lua_State *L, int idx) {
  return luaL_testudata(L, idx, CLASS);
}

chaski_lua_node *chaski__check_node(lua_State *L, int arg) {
  return luaL_checkudata(L, arg, CLASS);
}

void chaski__check_world(lua_State *L, const chaski_lua_node *n, const char *method) {
  const char *why = "belongs to another simulation";
  if (!n->core || n->world == n->rt->world) return;
  if (!n->rt->world->sim)
    why = "belongs to a simulation, and can be used only while that runs (sim:run)";
  else if (!n->world->sim)
    why = "is a real one, and cannot be used in a simulation";
  luaL_error(L, "%s: the node %s %s", method, chaski_node_name(n->core), why);
}

chaski_lua_node *chaski__open_node_arg(lua_State *L, int arg) {
  chaski_lua_node *n = chaski__check_node(L, arg);
  luaL_argcheck(L, n->core, arg, "the node was closed for good");
  return n;
}

void chaski__push_node(lua_State *L, chaski_lua_node *n) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, n->self);
}

void chaski__push_refs(lua_State *L, const chaski_lua_node *n) {
  luaL_checkstack(L, 3, NULL);
  if (n->refs != LUA_NOREF) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, n->refs);
    return;
  }
  lua_rawgetp(L, LUA_REGISTRYINDEX, &refs_key);
  lua_rawgetp(L, -1, n);
  lua_remove(L, -2);
}

chaski_lua_node *chaski__find_node(lua_State *L, uint64_t number) {
  chaski_lua_node *n = number ? chaski__runtime(L)->nodes : NULL;
  while (n && n->number != number) n = n->next;
  return n;
}

void chaski__anchor_node(lua_State *L, int idx, chaski_lua_node *n) {
  if (n->self == LUA_NOREF) {
    lua_pushvalue(L, idx);
    n->self = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_getiuservalue(L, idx, 2);
    n->refs = luaL_ref(L, LUA_REGISTRYINDEX);
  }
  n->anchors++;
}

static void unref(const chaski_runtime *rt, int *ref) {
  int old = *ref;
  *ref = LUA_NOREF;
  if (rt->L) luaL_unref(rt->L, LUA_REGISTRYINDEX, old);
}

void chaski__release_node(chaski_lua_node *n) {
  if (!n->anchors || --n->anchors) return;
  unref(n->rt, &n->refs);
  unref(n->rt, &n->self);
}

/* --- the end of running ------------------------------------------------------------------------------------------ */
void chaski__leave_running(chaski_lua_node *n) {
  if (!n->running) return;
  n->running = false;
  chaski__release_node(n);
}

int chaski__push_true(lua_State *co, void *ctx) {
  (void)ctx;
  lua_pushboolean(co, 1);
  return 1;
}

/* --- making ----------------------------------------------------------------------------------------------------- */
static void link_node(chaski_lua_node *n) {
  n->link = &n->rt->nodes;
  n->next = n->rt->nodes;
  if (n->next) n->next->link = &n->next;
  n->rt->nodes = n;
}

static void unlink_node(chaski_lua_node *n) {
  if (!n->link) return;
  *n->link = n->next;
  if (n->next) n->next->link = n->link;
  n->link = NULL;
}

static uint64_t next_number(lua_State *L) {
  uint64_t number;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &number_key);
  number = (uint64_t)lua_tointeger(L, -1) + 1;
  lua_pushinteger(L, (lua_Integer)number);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &number_key);
  lua_pop(L, 1);
  return number;
}

/* The userdata is on top. */
static void make_refs(lua_State *L, const chaski_lua_node *n) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &refs_key);
  lua_newtable(L);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, -4, 2);
  lua_rawsetp(L, -2, n);
  lua_pop(L, 1);
}

static chaski_lua_node *new_userdata(lua_State *L, chaski_runtime *rt) {
  chaski_lua_node *n = lua_newuserdatauv(L, sizeof *n, 2);
  memset(n, 0, sizeof *n);
  n->rt = rt;
  n->world = rt->world;
  n->self = n->refs = n->deserializer = LUA_NOREF;
  n->listening = rt->listening;
  luaL_setmetatable(L, CLASS);
  n->number = next_number(L);
  make_refs(L, n);
  return n;
}

static const char *text_field(lua_State *L, const char *field) {
  return chaski__opt_string(L, 1, field);
}

static void read_limits(lua_State *L, chaski_limits *limits) {
  lua_getfield(L, 1, "limits");
  if (lua_istable(L, -1)) {
    for (size_t i = 0; i < chaski_limit_count; i++) {
      const chaski_limit_row *row = &chaski_limit_rows[i];
      uint64_t *value = chaski_limit_at(limits, i);
      *value = (uint64_t)chaski__opt_integer(L, lua_gettop(L), row->name, (int64_t)row->least, (int64_t)row->most,
                                             (int64_t)*value);
    }
  }
  lua_pop(L, 1);
}

static const char *const overflows[] = {"disconnect", "drop_new", "block", "drop_old", NULL};

/* A word, or a table of one word for each topic and one at 1 for all others. */
static enum chaski_overflow read_overflow(lua_State *L) {
  enum chaski_overflow overflow;
  if (lua_getfield(L, 1, "overflow") == LUA_TTABLE) {
    lua_rawgeti(L, -1, 1);
    lua_remove(L, -2);
  }
  overflow = (enum chaski_overflow)luaL_checkoption(L, -1, "disconnect", overflows);
  lua_pop(L, 1);
  return overflow;
}

/* The rest of the table. CHASKI_OK or a code. */
static int set_overflows(lua_State *L, chaski_node *node) {
  int rc = CHASKI_OK, top = lua_gettop(L);
  if (lua_getfield(L, 1, "overflow") == LUA_TTABLE)
    for (lua_pushnil(L); rc == CHASKI_OK && lua_next(L, top + 1); lua_settop(L, top + 2))
      if (lua_type(L, -2) == LUA_TSTRING)
        rc = chaski_node_set_overflow(node, chaski__check_slice(L, top + 2),
                                      (enum chaski_overflow)luaL_checkoption(L, -1, NULL, overflows));
  lua_settop(L, top);
  return rc;
}

static void read_options(lua_State *L, chaski_node_options *o) {
  chaski_node_options_init(o);
  read_limits(L, &o->limits);
  o->name = text_field(L, "name");
  o->id = text_field(L, "id");
  if (text_field(L, "ip")) o->ip = text_field(L, "ip");
  o->port = (uint16_t)chaski__opt_integer(L, 1, "port", 0, 65535, 0);
  o->advertise = text_field(L, "advertise");
  o->root = chaski__opt_bool(L, 1, "root", false);
  o->propagation = chaski__opt_bool(L, 1, "message_propagation", false);
  o->keep_alive = chaski__opt_bool(L, 1, "keep_alive", true);
  o->udp = chaski__opt_bool(L, 1, "udp", true);
  o->ttl = (uint8_t)chaski__opt_integer(L, 1, "ttl", 1, CHASKI_TTL_MAX, CHASKI_TTL_MAX);
  o->overflow = read_overflow(L);
}

static bool push_function(lua_State *L, const char *field) {
  return lua_getfield(L, 1, field) == LUA_TFUNCTION;
}

static void read_serializers(lua_State *L, chaski_lua_node *n) {
  int top = lua_gettop(L);
  n->serializer = push_function(L, "serializer");
  chaski__push_refs(L, n);
  if (push_function(L, "deserializer")) n->deserializer = luaL_ref(L, -2);
  lua_settop(L, top);
}

static void read_data_limits(chaski_lua_node *n, const chaski_limits *limits) {
  chaski_limits usual;
  chaski_limits_init(&usual);
  n->pack.depth = (uint32_t)limits->message_depth;
  n->pack.count = (uint32_t)limits->message_values;
  n->pack.tables = (uint32_t)limits->message_tables;
  n->pack.key_size = (uint32_t)limits->message_key;
  n->pack.number_keys = (uint32_t)limits->message_number_keys;
  n->tuned = limits->message_depth != usual.message_depth || limits->message_values != usual.message_values ||
             limits->message_tables != usual.message_tables || limits->message_key != usual.message_key ||
             limits->message_number_keys != usual.message_number_keys;
}

static void read_codec(lua_State *L, chaski_lua_node *n, const chaski_limits *limits) {
  static const char *const strings[] = {"auto", "str", "bin", NULL};
  lua_getfield(L, 1, "strings");
  n->pack.strings = (chaski_strings)luaL_checkoption(L, -1, "auto", strings);
  n->pack.size = (size_t)limits->data_max;
  read_data_limits(n, limits);
  n->pack.sort_keys = n->world->sim != NULL;
  lua_pop(L, 1);
  read_serializers(L, n);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &packer_key);
  n->packer = lua_touserdata(L, -1);
  lua_pop(L, 1);
}

/* (checked options, table for lua/chaski): a node that does not run yet */
static int new_node(lua_State *L) {
  chaski_node_options o;
  chaski_runtime *rt = chaski__runtime(L);
  chaski_lua_node *n;
  const char *why = "";
  int rc;
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  read_options(L, &o);
  n = new_userdata(L, rt);
  read_codec(L, n, &o.limits);
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 3, 1);
  rc = chaski_node_new(rt->loop, &o, &chaski__node_events, n, &n->core, &why);
  if (rc == CHASKI_EINVAL) return luaL_error(L, "chaski.node: %s", why);
  if (rc != CHASKI_OK) return chaski__fail(L, rc, CLASS, "");
  link_node(n);
  rc = set_overflows(L, n->core);
  if (rc == CHASKI_EINVAL) return luaL_error(L, "chaski.node: option 'overflow': a topic is empty or over topic_max");
  if (rc != CHASKI_OK) return chaski__fail(L, rc, CLASS, "");
  rc = chaski__settle(L, 3, n, o.ip);
  if (rc != CHASKI_OK) return chaski__fail(L, rc, CLASS, o.ip);
  chaski__guard(L, rt);
  return 1;
}

static int node_state(lua_State *L) {
  chaski__check_node(L, 1);
  lua_getiuservalue(L, 1, 1);
  return 1;
}

/* (node, topic): whether it subscribes to it */
static int subscribed(lua_State *L) {
  const chaski_lua_node *n = chaski__check_node(L, 1);
  lua_pushboolean(L, n->core && chaski_node_subscribed(n->core, chaski__check_slice(L, 2)));
  return 1;
}

/* (host): whether it is a numeric address */
static int numeric(lua_State *L) {
  size_t len;
  const char *host = luaL_checklstring(L, 1, &len);
  lua_pushboolean(L, strlen(host) == len && chaski_address_is_numeric(host));
  return 1;
}

static int running_nodes(lua_State *L) {
  lua_Integer i = 0;
  lua_newtable(L);
  for (chaski_lua_node *n = chaski__runtime(L)->nodes; n; n = n->next) {
    if (n->self == LUA_NOREF || n->world != n->rt->world) continue;
    chaski__push_node(L, n);
    lua_rawseti(L, -2, ++i);
  }
  return 1;
}

/* --- ending ----------------------------------------------------------------------------------------------------- */
static void end_edges(chaski_lua_node *n) {
  chaski_edge *edge;
  for (size_t i = 0; (edge = chaski_node_edge_at(n->core, i)); i++) chaski__edge_ended(n->rt, edge);
}

/* Everything but the waiters, of which nobody will hear from the core again. */
static void end_node(chaski_lua_node *n, bool wake) {
  end_edges(n);
  chaski_node_destroy(&n->core);
  chaski__drop_node_tls(n);
  unlink_node(n);
  chaski__subs_close(n, wake);
}

/* For finalizers: no Lua code runs. */
static void drop_node(chaski_lua_node *n) {
  if (!n->core) return;
  end_node(n, false);
  chaski__waiters_forget(&n->operations);
  chaski__waiters_forget(&n->drained);
  chaski__waiters_forget(&n->stopping);
  chaski__leave_running(n);
}

static int push_stopped(lua_State *co, void *ctx) {
  (void)ctx;
  return chaski__fail(co, CHASKI_ESTOPPED, CLASS, "");
}

/* For scripts: at once, and whoever waits is told. The caller holds the userdata. */
static void abort_node(chaski_lua_node *n) {
  if (!n->core) return;
  end_node(n, true);
  chaski__waiters_wake(&n->operations, push_stopped, NULL);
  chaski__waiters_wake(&n->drained, NULL, NULL);
  chaski__waiters_wake(&n->stopping, chaski__push_true, NULL);
  chaski__cancel_tasks(n->rt, n);
  chaski__leave_running(n);
}

void chaski__close_nodes(chaski_runtime *rt, const chaski_world *world) {
  for (chaski_lua_node *n = rt->nodes, *next; n; n = next) {
    next = n->next; /* dropping runs no Lua */
    if (!world || n->world == world) drop_node(n);
  }
}

/* --- methods ---------------------------------------------------------------------------------------------------- */
static int node_run(lua_State *L) {
  chaski_lua_node *n = chaski__open_node_arg(L, 1);
  char address[CHASKI_HOST_MAX + 24] = CLASS " ";
  int rc;
  chaski__check_world(L, n, "node:run");
  rc = chaski__act_as(n);
  if (rc == CHASKI_OK) rc = chaski_node_run(n->core);
  if (rc == CHASKI_OK) {
    if (!n->running) chaski__anchor_node(L, 1, n), n->running = true;
    lua_pushboolean(L, 1);
    return 1;
  }
  chaski_address_format(address + sizeof CLASS, chaski_node_ip(n->core), chaski_node_port(n->core));
  return chaski__fail(L, rc, address, "");
}

static int stop_and_wait(lua_State *L, chaski_lua_node *n, uint64_t deadline) {
  chaski_waiter *w;
  if (!n->running) return chaski__push_true(L, NULL);
  chaski__check_task(L, "node:stop");
  w = chaski__waiter_new(L, n->rt, &n->stopping, sizeof *w);
  if (!n->stop_asked) n->stop_asked = true, chaski_node_stop(n->core, deadline);
  return chaski__park(L, n->rt, -1, chaski__waiter_free, w);
}

static int node_stop(lua_State *L) {
  static const char *const names[] = {"timeout", NULL};
  chaski_lua_node *n = chaski__check_node(L, 1);
  uint64_t deadline = chaski__opt_ns(L, chaski__opt_table(L, 2, names), "timeout", STOP_TIMEOUT);
  chaski__check_world(L, n, "node:stop");
  return n->core ? stop_and_wait(L, n, deadline) : chaski__push_true(L, NULL);
}

static int check_task(lua_State *L) {
  chaski__check_task(L, "node:stop");
  return 0;
}

static bool may_wait(lua_State *L) {
  bool ok;
  if (!lua_isyieldable(L)) return false;
  lua_pushcfunction(L, check_task);
  ok = lua_pcall(L, 0, 0, 0) == LUA_OK;
  if (!ok) lua_pop(L, 1);
  return ok;
}

static int node_close(lua_State *L) { /* __close */
  chaski_lua_node *n = chaski__check_node(L, 1);
  if (n->core && n->running && n->world == n->rt->world && may_wait(L)) return stop_and_wait(L, n, STOP_TIMEOUT);
  abort_node(n);
  return 0;
}

static int node_gc(lua_State *L) {
  chaski_lua_node *n = chaski__check_node(L, 1);
  drop_node(n);
  chaski__free_questions(n);
  chaski__free_serving(n);
  return 0;
}

static int node_tostring(lua_State *L) {
  chaski_lua_node *n = chaski__check_node(L, 1);
  char address[CHASKI_HOST_MAX + 8];
  if (!n->core) {
    lua_pushliteral(L, CLASS " (closed)");
    return 1;
  }
  chaski_address_format(address, chaski_node_ip(n->core), chaski_node_port(n->core));
  lua_pushfstring(L, "%s%s@%s", chaski_node_root(n->core) ? "*" : "", chaski_node_name(n->core), address);
  return 1;
}

static void open_class(lua_State *L) {
  static const luaL_Reg meta[] = {
      {"__gc", node_gc}, {"__close", node_close}, {"__tostring", node_tostring}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"run", node_run}, {"stop", node_stop}, {NULL, NULL}};
  chaski__class(L, CLASS, meta, methods, chaski__node_fields); /* module metatable methods getters */
  lua_setfield(L, -4, "node_fields");
  luaL_setfuncs(L, chaski__send_methods, 0);
  luaL_setfuncs(L, chaski__dial_methods, 0);
  lua_setfield(L, -3, "node_methods");
  lua_pop(L, 1);
}

void chaski__open_node(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"new_node", new_node},     {"node_state", node_state}, {"running_nodes", running_nodes},
      {"subscribed", subscribed}, {"numeric", numeric},       {NULL, NULL},
  };
  luaL_checkstack(L, 12, NULL);
  chaski__weak_table(L, &refs_key);
  chaski__packer_new(L);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &packer_key);
  luaL_setfuncs(L, functions, 0);
  open_class(L);
  chaski__open_node_events(L);
  chaski__open_edge(L);
  chaski__open_message(L);
  chaski__open_subscription(L);
  chaski__open_send(L);
  chaski__open_limiter(L);
  chaski__open_request(L);
  chaski__open_serve(L);
  chaski__open_dial(L);
  chaski__open_pool(L);
  chaski__open_util(L);
  chaski__open_node_tls(L);
}
