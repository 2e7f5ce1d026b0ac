/* send.c: methods of a node that send something or say what is sent on. See binding.h. SPDX-License-Identifier: MIT */
#include "binding.h"
#include "error.h"
#include "options.h"

#define WHAT_MAX 384 /* bytes of "node:publish topic": the longest topic in full by default */

static const char *what(char out[WHAT_MAX], const char *method, chaski_slice object) {
  size_t at = strlen(method), len = object.len < WHAT_MAX - at - 2 ? object.len : WHAT_MAX - at - 2;
  memcpy(out, method, at);
  if (len) out[at++] = ' ', memcpy(out + at, object.ptr, len);
  out[at + len] = '\0';
  return out;
}

static int result(lua_State *L, int rc, const char *method, chaski_slice object) {
  char text[WHAT_MAX];
  if (rc != CHASKI_OK) return chaski__fail(L, rc, what(text, method, object), "");
  lua_pushboolean(L, 1);
  return 1;
}

/* What the arguments before the data say: of which method they are, and to which topic or with which command. */
typedef struct purpose {
  const char *method;
  chaski_slice object;
} purpose;

/* The error on top is of packing: it is to say what for. */
static void say_what_for(lua_State *L, purpose to) {
  char text[WHAT_MAX];
  lua_getfield(L, -1, "message");
  lua_pushfstring(L, "%s: %s", what(text, to.method, to.object), lua_tostring(L, -1));
  lua_setfield(L, -3, "message");
  lua_pop(L, 1);
}

/* Pack the value at idx into the state's packer: true, or nil and the error are pushed. */
static bool pack_with(lua_State *L, chaski_lua_node *n, int idx, const chaski_pack_options *options, purpose to) {
  if (chaski__pack(L, idx, n->packer, options, "data") == 0) return true;
  say_what_for(L, to);
  lua_pushnil(L);
  lua_insert(L, -2);
  return false;
}

static bool pack_as(lua_State *L, chaski_lua_node *n, int idx, chaski_strings strings, purpose to) {
  chaski_pack_options options = n->pack;
  options.strings = strings;
  return pack_with(L, n, idx, &options, to);
}

static bool pack(lua_State *L, chaski_lua_node *n, int idx, purpose to) {
  return pack_with(L, n, idx, &n->pack, to);
}

/* The node's option `strings` is for data of the application, which the argument at idx says it is. */
static chaski_strings strings_of(lua_State *L, const chaski_lua_node *n, int idx) {
  return lua_toboolean(L, idx) ? n->pack.strings : CHASKI_STRINGS_AUTO;
}

static chaski_slice packed(const chaski_lua_node *n) {
  return chaski_slice_of(n->packer->ptr, n->packer->len);
}

#define PUBLISH "node:publish"

/* --- publish ---------------------------------------------------------------------------------------------------- */
struct target {
  chaski_edge *edge;
  uint8_t ttl;
};

static struct target publish_options(lua_State *L, int arg) {
  static const char *const names[] = {"ttl", "edge", NULL};
  struct target t = {NULL, 0};
  if (!chaski__opt_table(L, arg, names)) return t;
  t.ttl = (uint8_t)chaski__opt_integer(L, arg, "ttl", 1, CHASKI_TTL_MAX, 0);
  t.edge = chaski__opt_edge(L, arg, "edge");
  return t;
}

/* The arguments are at 1..4. CHASKI_OK, a code, or 1: nil and the error are pushed. */
static int publish_once(lua_State *L, chaski_lua_node *n) {
  chaski_slice topic = chaski__check_slice(L, 2);
  struct target to = publish_options(L, 4);
  chaski_pack_options options = n->pack;
  options.lend = true;
  if (!n->core) return CHASKI_ESTOPPED;
  if (!pack_with(L, n, 3, &options, (purpose){PUBLISH, topic})) return 1;
  const chaski_slice data[2] = {packed(n), n->packer->rest};
  return chaski_node_publish_parts(n->core, topic, data, to.edge, to.ttl, NULL);
}

struct edges {
  lua_State *L;
  chaski_lua_node *n;
};

static void add_edge(chaski_edge *edge, void *ctx) {
  const struct edges *e = ctx;
  chaski__push_edge(e->L, e->n, edge);
  lua_rawseti(e->L, -2, (lua_Integer)lua_rawlen(e->L, -2) + 1);
}

/* err.edges: which of them keep it waiting */
static int publish_full(lua_State *L, chaski_lua_node *n, chaski_slice topic) {
  char text[WHAT_MAX];
  struct edges e = {L, n};
  chaski__fail(L, CHASKI_EFULL, what(text, PUBLISH, topic), "");
  lua_newtable(L);
  chaski_node_full_edges(n->core, topic, publish_options(L, 4).edge, add_edge, &e);
  lua_setfield(L, -2, "edges");
  return 2;
}

static int publish_result(lua_State *L, chaski_lua_node *n, int rc) {
  chaski_slice topic = chaski__check_slice(L, 2);
  char text[WHAT_MAX];
  if (rc == CHASKI_EFULL) return publish_full(L, n, topic);
  if (rc == CHASKI_ETOOBIG)
    return chaski__fail(L, rc, what(text, PUBLISH, topic), "with its envelope, or for the peer");
  if (rc != CHASKI_EINVAL) return result(L, rc, PUBLISH, topic);
  lua_pushnil(L);
  chaski__push_error(L, chaski_error_name(rc), PUBLISH ": %s", chaski__push_topic_fault(L, n->core, topic));
  lua_remove(L, -2);
  return 2;
}

/* (node, topic, data [, options]): never suspends; data is sent by chaski.pack whatever serializer there is */
static int try_publish(lua_State *L) {
  chaski_lua_node *n = chaski__check_node(L, 1);
  int rc;
  chaski__check_world(L, n, "node:try_publish");
  lua_settop(L, 4);
  rc = publish_once(L, n);
  return rc == 1 ? 2 : publish_result(L, n, rc);
}

static int after_slow(lua_State *L, int status, lua_KContext base) {
  (void)status;
  return lua_gettop(L) - (int)base;
}

static int publish_slowly(lua_State *L) { /* upvalue: lua/chaski's way to wait and to serialise */
  lua_settop(L, 4);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_callk(L, 4, LUA_MULTRET, 0, after_slow);
  return after_slow(L, LUA_OK, 0);
}

/* As chaski__check_node, which looks the class up by its name. Upvalue 2: the class's metatable, which may be left on
 * the stack. */
static chaski_lua_node *check_publisher(lua_State *L) {
  chaski_lua_node *n = lua_touserdata(L, 1);
  bool is_node = n && lua_getmetatable(L, 1) && lua_rawequal(L, -1, lua_upvalueindex(2));
  return is_node ? n : chaski__check_node(L, 1);
}

static int publish(lua_State *L) {
  chaski_lua_node *n;
  int rc;
  lua_settop(L, 4);
  n = check_publisher(L);
  if (!chaski__in_task(n->rt, L)) chaski__check_task(L, "node:publish");
  chaski__check_world(L, n, "node:publish");
  if (n->serializer) return publish_slowly(L);
  rc = publish_once(L, n);
  if (rc == 1) return 2;
  if (rc == CHASKI_EFULL) return publish_slowly(L);
  if (rc != CHASKI_OK) return publish_result(L, n, rc);
  lua_pushboolean(L, 1);
  return chaski_loop_busy(n->rt->loop) ? chaski__breathe(L, n->rt, 1) : 1;
}

static int make_publish(lua_State *L) { /* (slow) -> the method */
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  luaL_getmetatable(L, CHASKI_NODE_CLASS);
  lua_pushcclosure(L, publish, 2);
  return 1;
}

/* (node): wait until publishing that was refused may be tried again */
static int wait_drained(lua_State *L) {
  chaski_lua_node *n = chaski__check_node(L, 1);
  chaski__check_task(L, "node:publish");
  chaski__check_world(L, n, "node:publish");
  if (!n->core || !chaski_node_running(n->core)) return 0;
  return chaski__park(L, n->rt, -1, chaski__waiter_free,
                      chaski__waiter_new(L, n->rt, &n->drained, sizeof(chaski_waiter)));
}

static int breathe(lua_State *L) { /* (node): let the loop turn if this turn has sent enough */
  chaski_lua_node *n = chaski__check_node(L, 1);
  return chaski_loop_busy(n->rt->loop) ? chaski__breathe(L, n->rt, 0) : 0;
}

/* --- write ------------------------------------------------------------------------------------------------------ */
/* (node, command, data [, { edge =, topic = } [, application]]) */
int chaski__write_command(lua_State *L) {
  static const char *const names[] = {"edge", "topic", NULL};
  chaski_lua_node *n = chaski__check_node(L, 1);
  chaski_slice command = chaski__check_slice(L, 2);
  int options = chaski__opt_table(L, 4, names);
  chaski_slice topic = chaski_slice_str(chaski__opt_string(L, options, "topic"));
  chaski_edge *edge = chaski__opt_edge(L, options, "edge");
  int rc = CHASKI_ESTOPPED;
  chaski__check_world(L, n, "node:write");
  lua_settop(L, 5);
  if (n->core && !pack_as(L, n, 3, strings_of(L, n, 5), (purpose){"node:write", command})) return 2;
  if (n->core) rc = chaski_node_write(n->core, command, topic, packed(n), edge);
  return result(L, rc, "node:write", command);
}

/* A list of edges at a field of the options, as an array in a userdata that is pushed; NULL and nil if absent. */
static chaski_edge **edge_list(lua_State *L, int options, const char *field, size_t *count) {
  chaski_edge **edges;
  *count = 0;
  if (!options || lua_getfield(L, options, field) == LUA_TNIL) return NULL;
  if (!lua_istable(L, -1)) luaL_error(L, "node:write_data: option '%s': expected a list of edges", field);
  *count = lua_rawlen(L, -1);
  edges = lua_newuserdatauv(L, (*count + 1) * sizeof(chaski_edge *), 0);
  for (size_t i = 0; i < *count; i++) {
    lua_rawgeti(L, -2, (lua_Integer)i + 1);
    edges[i] = chaski__check_edge(L, -1);
    lua_pop(L, 1);
  }
  return edges;
}

/* (node, bytes [, { edges =, excluded_edges = }]) */
static int write_data(lua_State *L) {
  static const char *const names[] = {"edges", "excluded_edges", NULL};
  chaski_lua_node *n = chaski__check_node(L, 1);
  chaski_slice frame = chaski__check_slice(L, 2), nothing = {NULL, 0};
  int options = chaski__opt_table(L, 3, names);
  size_t count, excluded_count;
  chaski_edge **edges = edge_list(L, options, "edges", &count);
  chaski_edge **excluded = edge_list(L, options, "excluded_edges", &excluded_count);
  chaski__check_world(L, n, "node:write_data");
  if (!n->core) return result(L, CHASKI_ESTOPPED, "node:write_data", nothing);
  if (edges && count == 0) return result(L, CHASKI_OK, "", nothing); /* an empty list is not "all" */
  return result(L, chaski_node_write_data(n->core, frame, edges, count, excluded, excluded_count), "node:write_data",
                nothing);
}

/* (node, command, data, ip, port [, application]): one datagram, best effort */
static int send_datagram(lua_State *L) {
  chaski_lua_node *n = chaski__check_node(L, 1);
  chaski_slice command = chaski__check_slice(L, 2);
  const char *ip = luaL_checkstring(L, 4);
  lua_Integer port = luaL_checkinteger(L, 5);
  int rc = CHASKI_ESTOPPED;
  chaski__check_world(L, n, "node:send_udp_message");
  luaL_argcheck(L, chaski_address_is_numeric(ip), 4, "numeric address expected");
  luaL_argcheck(L, port >= 1 && port <= 65535, 5, "port 1..65535 expected");
  lua_settop(L, 6);
  if (n->core && !pack_as(L, n, 3, strings_of(L, n, 6), (purpose){"node:send_udp_message", command})) return 2;
  if (n->core) rc = chaski_node_send_datagram(n->core, command, packed(n), ip, (uint16_t)port);
  return result(L, rc, "node:send_udp_message", command);
}

/* --- propagate -------------------------------------------------------------------------------------------------- */
/* (node, message, the edge it came from or nil, assigned, data): data is sent instead if `assigned` */
static int propagate(lua_State *L) {
  chaski_lua_node *n = chaski__check_node(L, 1);
  const chaski_lua_message *message = chaski__check_message(L, 2);
  chaski_edge *from = lua_isnoneornil(L, 3) ? NULL : chaski__check_edge(L, 3);
  bool assigned = lua_toboolean(L, 4);
  luaL_argcheck(L, message->m.frame.len, 2, "the message came in a datagram and cannot be passed on");
  chaski_slice data = {NULL, 0};
  int rc = CHASKI_ESTOPPED;
  chaski__check_world(L, n, "node:propagate");
  lua_settop(L, 5);
  if (n->core && assigned && !pack(L, n, 5, (purpose){"node:propagate", message->m.topic})) return 2;
  if (assigned) data = packed(n);
  chaski_message m = assigned ? message->m : chaski__whole_message(L, 2);
  if (n->core) rc = chaski_node_propagate(n->core, &m, from, assigned ? &data : NULL);
  return result(L, rc, "node:propagate", message->m.topic);
}

static int message_assigned(lua_State *L) { /* (message): data was assigned */
  lua_pushboolean(L, chaski__check_message(L, 1)->replaced);
  return 1;
}

static int set_propagation(lua_State *L, bool on) {
  chaski_node_set_propagation(chaski__open_node_arg(L, 1)->core, on);
  return 0;
}

static int enable_message_propagation(lua_State *L) {
  return set_propagation(L, true);
}

static int disable_message_propagation(lua_State *L) {
  return set_propagation(L, false);
}

static int add_propagation_command(lua_State *L) {
  chaski_lua_node *n = chaski__open_node_arg(L, 1);
  chaski_slice command = chaski__check_slice(L, 2);
  return result(L, chaski_node_add_propagation_command(n->core, command), "node:add_propagation_command", command);
}

static int remove_propagation_command(lua_State *L) {
  chaski_lua_node *n = chaski__open_node_arg(L, 1);
  chaski_node_remove_propagation_command(n->core, chaski__check_slice(L, 2));
  return 0;
}

const luaL_Reg chaski__send_methods[] = {
    {"enable_message_propagation", enable_message_propagation},
    {"disable_message_propagation", disable_message_propagation},
    {"add_propagation_command", add_propagation_command},
    {"remove_propagation_command", remove_propagation_command},
    {"write_data", write_data},
    {NULL, NULL},
};

void chaski__open_send(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"try_publish", try_publish},
      {"make_publish", make_publish},
      {"send_datagram", send_datagram},
      {"wait_drained", wait_drained},
      {"breathe", breathe},
      {"write", chaski__write_command},
      {"propagate", propagate},
      {"message_assigned", message_assigned},
      {NULL, NULL},
  };
  luaL_setfuncs(L, functions, 0);
}
