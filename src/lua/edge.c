/* edge.c: the userdata of an edge. One for each edge, anchored by the runtime while the edge is live; it holds a
 * reference, so that it stays readable after the edge's end. See binding.h. SPDX-License-Identifier: MIT */
#include "binding.h"

#include <stdio.h>

#define CLASS "chaski.edge"

typedef struct edge_box { /* user value 1: the node */
  chaski_edge *edge;
  int self; /* anchor in the registry while live, else LUA_NOREF */
  bool paired;
  uint32_t calls; /* of the peer's that are being answered */
} edge_box;

static const char edges_key; /* its address is the key of a table: edge -> userdata, weak */

static edge_box *check_box(lua_State *L) {
  return luaL_checkudata(L, 1, CLASS);
}

/* A finalizer of the script's may still know an edge that was finalized before. */
chaski_edge *chaski__check_edge(lua_State *L, int arg) {
  chaski_edge *edge = ((edge_box *)luaL_checkudata(L, arg, CLASS))->edge;
  luaL_argcheck(L, edge, arg, "the edge was collected");
  return edge;
}

chaski_edge *chaski__test_edge(lua_State *L, int idx) {
  edge_box *box = luaL_testudata(L, idx, CLASS);
  return box ? box->edge : NULL;
}

uint32_t *chaski__edge_calls(lua_State *L, int idx) {
  return &((edge_box *)lua_touserdata(L, idx))->calls;
}

chaski_edge *chaski__edge_at(lua_State *L, const chaski_runtime *rt, int idx) {
  const edge_box *box = lua_touserdata(L, idx);
  bool is_edge;
  if (!box || !lua_getmetatable(L, idx)) return NULL;
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->edge_mt);
  is_edge = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return is_edge ? box->edge : NULL;
}

/* --- one userdata for each edge --------------------------------------------------------------------------------- */
static edge_box *new_box(lua_State *L, chaski_lua_node *n, chaski_edge *edge) {
  edge_box *box = lua_newuserdatauv(L, sizeof *box, 1);
  *box = (edge_box){NULL, LUA_NOREF, false, 0};
  lua_rawgeti(L, LUA_REGISTRYINDEX, n->rt->edge_mt);
  lua_setmetatable(L, -2);
  chaski__push_node(L, n);
  lua_setiuservalue(L, -2, 1);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, -3, edge);
  box->edge = edge;
  chaski_edge_hold(edge);
  chaski_edge_set_user(edge, box);
  return box;
}

static void anchor_box(lua_State *L, edge_box *box) {
  if (!chaski_edge_live(box->edge) || box->self != LUA_NOREF) return;
  lua_pushvalue(L, -1);
  box->self = luaL_ref(L, LUA_REGISTRYINDEX);
}

static void find_or_make(lua_State *L, chaski_lua_node *n, chaski_edge *edge) {
  luaL_checkstack(L, 6, NULL);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &edges_key);
  if (lua_rawgetp(L, -1, edge) == LUA_TNIL) {
    lua_pop(L, 1);
    new_box(L, n, edge);
  }
  lua_remove(L, -2);
  anchor_box(L, lua_touserdata(L, -1));
}

void chaski__push_edge(lua_State *L, chaski_lua_node *n, chaski_edge *edge) {
  edge_box *box = edge ? chaski_edge_user(edge) : NULL;
  if (!edge)
    lua_pushnil(L);
  else if (box && box->self != LUA_NOREF)
    lua_rawgeti(L, LUA_REGISTRYINDEX, box->self);
  else
    find_or_make(L, n, edge);
}

void chaski__edge_ended(chaski_runtime *rt, chaski_edge *edge) {
  edge_box *box = chaski_edge_user(edge);
  if (!box || box->self == LUA_NOREF) return;
  if (rt->L) luaL_unref(rt->L, LUA_REGISTRYINDEX, box->self);
  box->self = LUA_NOREF;
}

static int edge_gc(lua_State *L) {
  edge_box *box = check_box(L);
  if (!box->edge) return 0;
  if (chaski_edge_user(box->edge) == box) chaski_edge_set_user(box->edge, NULL);
  chaski_edge_release(box->edge);
  box->edge = NULL;
  return 0;
}

/* --- fields ----------------------------------------------------------------------------------------------------- */
#define GETTER(field, push)                                                                                            \
  static int get_##field(lua_State *L) {                                                                               \
    chaski_edge *edge = chaski__check_edge(L, 1);                                                                      \
    push;                                                                                                              \
    return 1;                                                                                                          \
  }
GETTER(name, lua_pushstring(L, chaski_edge_name(edge)))
GETTER(id, lua_pushstring(L, chaski_edge_id(edge)))
GETTER(ip, lua_pushstring(L, chaski_edge_ip(edge)))
GETTER(port, lua_pushinteger(L, chaski_edge_port(edge)))
GETTER(agent, lua_pushstring(L, chaski_edge_agent(edge)))
GETTER(detail, lua_pushstring(L, chaski_edge_detail(edge)))
GETTER(protocol, lua_pushinteger(L, chaski_edge_protocol(edge)))
GETTER(number, lua_pushinteger(L, (lua_Integer)chaski_edge_number(edge)))
GETTER(queued, lua_pushinteger(L, (lua_Integer)chaski_edge_queued(edge)))
GETTER(live, lua_pushboolean(L, chaski_edge_live(edge)))
GETTER(dialled, lua_pushboolean(L, chaski_edge_dialled(edge)))
GETTER(was_live, lua_pushboolean(L, chaski_edge_was_live(edge)))
GETTER(suspended, lua_pushboolean(L, chaski_edge_suspended(edge)))
GETTER(writable, lua_pushboolean(L, chaski_edge_writable(edge)))

static int get_session(lua_State *L) {
  const chaski_edge *edge = chaski__check_edge(L, 1);
  chaski_session_info s;
  if (!chaski_edge_session(edge, &s)) return 0;
  lua_createtable(L, 0, 7);
  lua_pushstring(L, chaski_edge_suspended(edge) ? "suspended" : "live");
  lua_setfield(L, -2, "state");
#define COUNT(name) lua_pushinteger(L, (lua_Integer)s.name), lua_setfield(L, -2, #name)
  COUNT(sent), COUNT(acknowledged), COUNT(received), COUNT(kept_frames), COUNT(kept_bytes), COUNT(resumes);
#undef COUNT
  return 1;
}

GETTER(root, lua_pushboolean(L, chaski_edge_root(edge)))
GETTER(propagates, lua_pushboolean(L, chaski_edge_propagates(edge)))
GETTER(ping_in_progress, lua_pushboolean(L, chaski_edge_pings(edge) > 0))
GETTER(latency, lua_pushnumber(L, chaski_edge_latency(edge)->latency))
GETTER(jitter, lua_pushnumber(L, chaski_edge_latency(edge)->jitter))
GETTER(rtt_min, lua_pushnumber(L, chaski_edge_latency(edge)->rtt_min))
GETTER(srtt, lua_pushnumber(L, chaski_edge_latency(edge)->srtt))

static int get_paired(lua_State *L) {
  lua_pushboolean(L, check_box(L)->paired);
  return 1;
}

static int get_node(lua_State *L) {
  check_box(L);
  lua_getiuservalue(L, 1, 1);
  return 1;
}

static int get_reason(lua_State *L) {
  int reason = chaski_edge_reason(chaski__check_edge(L, 1));
  if (reason == CHASKI_OK)
    lua_pushnil(L);
  else
    lua_pushstring(L, chaski_error_name(reason));
  return 1;
}

static int push_host_port(lua_State *L, const char *host, uint16_t port) {
  char text[CHASKI_HOST_MAX + 8];
  lua_pushlstring(L, text, chaski_address_format(text, host, port));
  return 1;
}

static int get_address(lua_State *L) {
  chaski_edge *edge = chaski__check_edge(L, 1);
  return push_host_port(L, chaski_edge_ip(edge), chaski_edge_port(edge));
}

static int get_local_address(lua_State *L) {
  char host[CHASKI_HOST_MAX];
  uint16_t port;
  if (chaski_edge_local_address(chaski__check_edge(L, 1), host, &port) != CHASKI_OK) return 0;
  return push_host_port(L, host, port);
}

static int get_remote_address(lua_State *L) {
  char host[CHASKI_HOST_MAX];
  uint16_t port;
  if (chaski_edge_remote_address(chaski__check_edge(L, 1), host, &port) != CHASKI_OK) return 0;
  return push_host_port(L, host, port);
}

static int get_dialled_address(lua_State *L) {
  const char *host = "";
  uint16_t port = 0;
  chaski_edge_dialled_address(chaski__check_edge(L, 1), &host, &port);
  return *host ? push_host_port(L, host, port) : 0;
}

static void add_topic(void *ctx, chaski_slice topic) {
  lua_State *L = ctx;
  lua_pushlstring(L, (const char *)topic.ptr, topic.len);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static int get_subscriptions(lua_State *L) { /* lua/chaski sorts it */
  chaski_edge *edge = chaski__check_edge(L, 1);
  lua_newtable(L);
  chaski_edge_topics(edge, add_topic, L);
  return 1;
}

static void set_count(lua_State *L, const char *name, uint64_t count) {
  lua_pushinteger(L, (lua_Integer)count);
  lua_setfield(L, -2, name);
}

static int get_counters(lua_State *L) {
  const chaski_traffic *c = chaski_edge_traffic(chaski__check_edge(L, 1));
  lua_createtable(L, 0, 4);
  set_count(L, "frames_in", c->frames_in);
  set_count(L, "frames_out", c->frames_out);
  set_count(L, "bytes_in", c->bytes_in);
  set_count(L, "bytes_out", c->bytes_out);
  return 1;
}

static int edge_newindex(lua_State *L) {
  edge_box *box = check_box(L);
  const char *field = luaL_tolstring(L, 2, NULL);
  if (strcmp(field, "paired") != 0) return luaL_error(L, CLASS ": field '%s' cannot be assigned", field);
  luaL_checktype(L, 3, LUA_TBOOLEAN);
  box->paired = lua_toboolean(L, 3);
  return 0;
}

/* --- methods ---------------------------------------------------------------------------------------------------- */
static const char *const reasons[] = {
#define NAME(id, name, text) name,
    CHASKI_ERRORS(NAME)
#undef NAME
        NULL,
};

static int edge_close(lua_State *L) { /* ([reason]) with a goodbye */
  chaski_edge *edge = chaski__check_edge(L, 1);
  lua_getiuservalue(L, 1, 1);
  chaski__check_world(L, chaski__check_node(L, -1), "edge:close");
  lua_pop(L, 1);
  chaski_edge_close(edge, CHASKI__ERROR_BASE + 1 + luaL_checkoption(L, 2, "closed", reasons), true);
  lua_settop(L, 0);
  lua_pushboolean(L, 1);
  return 1;
}

static int edge_reset_latency(lua_State *L) {
  chaski_edge_reset_latency(chaski__check_edge(L, 1));
  return 0;
}

static int edge_update_latency(lua_State *L) {
  double rtt_ms = luaL_checknumber(L, 2);
  luaL_argcheck(L, rtt_ms >= 0, 2, "milliseconds >= 0 expected");
  chaski_edge_update_latency(chaski__check_edge(L, 1), rtt_ms);
  return 0;
}

static int edge_is_subscribed(lua_State *L) {
  lua_pushboolean(L, chaski_edge_subscribed(chaski__check_edge(L, 1), chaski__check_slice(L, 2)));
  return 1;
}

static int edge_eq(lua_State *L) {
  chaski_edge *a = chaski__test_edge(L, 1), *b = chaski__test_edge(L, 2);
  lua_pushboolean(L, a && a == b);
  return 1;
}

static int edge_tostring(lua_State *L) {
  chaski_edge *edge = chaski__check_edge(L, 1);
  const chaski_latency *l = chaski_edge_latency(edge);
  char figures[96] = "latency -";
  if (l->samples) snprintf(figures, sizeof figures, "latency %.2f ms, jitter %.2f ms", l->latency, l->jitter);
  lua_pushfstring(L, "%s%s(%s, ", chaski_edge_root(edge) ? "*" : "", chaski_edge_name(edge), figures);
  get_address(L);
  lua_pushstring(L, chaski_edge_live(edge) ? ")" : ", closed)");
  lua_concat(L, 3);
  return 1;
}

void chaski__open_edge(lua_State *L) {
#define FIELD(field)                                                                                                   \
  { #field, get_##field }
  static const luaL_Reg getters[] = {
      FIELD(name),
      FIELD(id),
      FIELD(ip),
      FIELD(port),
      FIELD(address),
      FIELD(agent),
      FIELD(detail),
      FIELD(reason),
      FIELD(local_address),
      FIELD(remote_address),
      FIELD(protocol),
      FIELD(number),
      FIELD(queued),
      FIELD(live),
      FIELD(was_live),
      FIELD(dialled_address),
      FIELD(suspended),
      FIELD(session),
      FIELD(writable),
      FIELD(dialled),
      FIELD(root),
      FIELD(propagates),
      FIELD(ping_in_progress),
      FIELD(latency),
      FIELD(jitter),
      FIELD(rtt_min),
      FIELD(srtt),
      FIELD(subscriptions),
      FIELD(counters),
      FIELD(node),
      FIELD(paired),
      {NULL, NULL},
  };
  static const luaL_Reg methods[] = {{"close", edge_close},
                                     {"reset_latency", edge_reset_latency},
                                     {"update_latency", edge_update_latency},
                                     {"is_subscribed", edge_is_subscribed},
                                     {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__gc", edge_gc}, {"__eq", edge_eq}, {"__tostring", edge_tostring}, {"__newindex", edge_newindex}, {NULL, NULL}};
  chaski__class(L, CLASS, meta, methods, getters);
  lua_setfield(L, -4, "edge_fields");
  lua_setfield(L, -3, "edge_methods");
  chaski__runtime(L)->edge_mt = luaL_ref(L, LUA_REGISTRYINDEX);
  chaski__weak_table(L, &edges_key);
}
