/* fields.c: what a node shows of itself: fields read straight from the core. lua/chaski adds those it composes. See
 * binding.h. SPDX-License-Identifier: MIT */
#include "binding.h"

#define GETTER(field, push)                                                                                            \
  static int get_##field(lua_State *L) {                                                                               \
    chaski_lua_node *n = chaski__check_node(L, 1);                                                                     \
    if (!n->core) return 0;                                                                                            \
    push;                                                                                                              \
    return 1;                                                                                                          \
  }
GETTER(name, lua_pushstring(L, chaski_node_name(n->core)))
GETTER(id, lua_pushstring(L, chaski_node_id(n->core)))
GETTER(ip, lua_pushstring(L, chaski_node_ip(n->core)))
GETTER(port, lua_pushinteger(L, chaski_node_port(n->core)))
GETTER(root, lua_pushboolean(L, chaski_node_root(n->core)))
GETTER(ttl, lua_pushinteger(L, chaski_node_ttl(n->core)))
GETTER(origin, lua_pushinteger(L, (lua_Integer)chaski_node_origin(n->core)))
GETTER(message_propagation, lua_pushboolean(L, chaski_node_propagation(n->core)))

static int get_running(lua_State *L) {
  chaski_lua_node *n = chaski__check_node(L, 1);
  lua_pushboolean(L, n->core && chaski_node_running(n->core));
  return 1;
}

static int get_address(lua_State *L) {
  chaski_lua_node *n = chaski__check_node(L, 1);
  char text[CHASKI_HOST_MAX + 8];
  if (!n->core) return 0;
  lua_pushlstring(L, text, chaski_address_format(text, chaski_node_ip(n->core), chaski_node_port(n->core)));
  return 1;
}

static int get_edges(lua_State *L) { /* live, in the order they became so */
  chaski_lua_node *n = chaski__check_node(L, 1);
  chaski_edge *edge;
  lua_newtable(L);
  for (size_t i = 0; n->core && (edge = chaski_node_edge_at(n->core, i)); i++) {
    chaski__push_edge(L, n, edge);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static int get_edge_count(lua_State *L) {
  const chaski_lua_node *n = chaski__check_node(L, 1);
  lua_pushinteger(L, n->core ? (lua_Integer)chaski_node_edge_count(n->core) : 0);
  return 1;
}

static void add_topic(void *ctx, chaski_slice topic) {
  lua_State *L = ctx;
  lua_pushlstring(L, (const char *)topic.ptr, topic.len);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

static int get_subscriptions(lua_State *L) { /* lua/chaski sorts it */
  chaski_lua_node *n = chaski__check_node(L, 1);
  lua_newtable(L);
  if (n->core) chaski_node_topics(n->core, add_topic, L);
  return 1;
}

static void set_count(lua_State *L, const char *name, uint64_t count) {
  lua_pushinteger(L, (lua_Integer)count);
  lua_setfield(L, -2, name);
}

static int get_ledger(lua_State *L) {
  chaski_lua_node *n = chaski__check_node(L, 1);
  const chaski_counters *c;
  lua_createtable(L, 0, 24);
  if (!n->core) return 1;
  c = chaski_node_counters(n->core);
#define COUNT(name) set_count(L, #name, c->name)
  COUNT(queued), COUNT(acknowledged), COUNT(written), COUNT(resumes);
  COUNT(published), COUNT(delivered), COUNT(relayed), COUNT(duplicates), COUNT(own), COUNT(stale), COUNT(expired);
  COUNT(unwanted), COUNT(unknown), COUNT(ignored), COUNT(no_interest), COUNT(forbidden), COUNT(dropped),
      COUNT(queue_dropped), COUNT(lost), COUNT(malformed);
  COUNT(frames_in), COUNT(frames_out), COUNT(bytes_in), COUNT(bytes_out);
  COUNT(datagrams_in), COUNT(datagrams_out), COUNT(bad_datagrams);
#undef COUNT
  set_count(L, "in_flight", chaski_node_in_flight(n->core));
  set_count(L, "malformed_data", n->malformed);
  set_count(L, "inbox_dropped", n->inbox_dropped);
  set_count(L, "abandoned", n->abandoned);
  return 1;
}

/* Those that others than the node count are added. */
static chaski_limits hits_of(const chaski_lua_node *n) {
  chaski_limits hits = *chaski_node_limit_hits(n->core);
  chaski_pool_stats pool;
  chaski_pool_get_stats(chaski_node_pool(n->core), &pool);
  hits.messages_pool_maxsize += pool.evicted_ids - pool.evicted_of_source;
  hits.pool_per_edge += pool.evicted_of_source;
  hits.inbox_max += n->inbox_dropped;
  return hits;
}

static uint64_t field_of(const chaski_limits *limits, const chaski_limit_row *row) {
  uint64_t value;
  memcpy(&value, (const char *)limits + row->offset, sizeof value);
  return value;
}

static void push_limit(lua_State *L, const chaski_limit_row *row, uint64_t value, uint64_t hits) {
  lua_createtable(L, 0, 2);
  if (*row->unit == 's')
    lua_pushnumber(L, (double)value / 1e9), lua_setfield(L, -2, "value");
  else
    set_count(L, "value", value);
  set_count(L, "hits", hits);
}

static int get_limits(lua_State *L) {
  chaski_lua_node *n = chaski__check_node(L, 1);
  lua_createtable(L, 0, (int)chaski_limit_count);
  if (!n->core) return 1;
  chaski_limits hits = hits_of(n);
  for (size_t i = 0; i < chaski_limit_count; i++) {
    const chaski_limit_row *row = &chaski_limit_rows[i];
    push_limit(L, row, field_of(chaski_node_limits(n->core), row), field_of(&hits, row));
    lua_setfield(L, -2, row->name);
  }
  return 1;
}

#define FIELD(field)                                                                                                   \
  { #field, get_##field }
const luaL_Reg chaski__node_fields[] = {
    FIELD(name),  FIELD(id),         FIELD(ip),      FIELD(port),    FIELD(root),
    FIELD(ttl),   FIELD(origin),     FIELD(running), FIELD(address), FIELD(message_propagation),
    FIELD(edges), FIELD(edge_count), FIELD(ledger),  FIELD(limits),  FIELD(subscriptions),
    {NULL, NULL},
};
