/* dial.c: methods of a node that wait for a peer: connect and ping; and finding edges. See binding.h.
 * SPDX-License-Identifier: MIT */
#include "../core/alloc.h"
#include "binding.h"
#include "error.h"
#include "options.h"

#define WHAT_MAX (CHASKI_HOST_MAX + 40) /* bytes of "node:connect host:port" */

struct outcome { /* what done functions push */
  chaski_lua_node *node;
  int status;
  chaski_edge *edge;
  const char *what, *detail;
  double rtt;
};

/* --- connect ---------------------------------------------------------------------------------------------------- */
struct dial {
  chaski_waiter waiter;
  chaski_lua_node *node;
  chaski_dial *core;
  char what[WHAT_MAX];
};

static int push_dialled(lua_State *co, void *ctx) {
  struct outcome *o = ctx;
  if (o->status != CHASKI_OK) return chaski__fail(co, o->status, o->what, o->detail);
  chaski__push_edge(co, o->node, o->edge);
  return 1;
}

static void dialled(void *ctx, int status, chaski_edge *edge, const char *detail) {
  struct dial *d = ctx;
  struct outcome o = {d->node, status, edge, d->what, detail, 0};
  chaski__waiter_wake(&d->waiter, push_dialled, &o);
}

static void forget_dial(void *ctx) {
  struct dial *d = ctx;
  if (d->waiter.link) chaski_dial_cancel(d->core);
  chaski__waiter_free(d);
}

/* Argument 2: "host:port", "Name@host:port", or a node of this process. False: nil and the error are pushed. */
static bool address_of_node(lua_State *L, const chaski_lua_node *peer, chaski_address *out) {
  const char *ip = peer->core ? chaski_node_ip(peer->core) : "";
  memset(out, 0, sizeof *out);
  if (!peer->core || !chaski_node_running(peer->core)) {
    lua_pushnil(L);
    chaski__push_error(L, chaski_error_name(CHASKI_EREFUSED), "node:connect: the node to connect to does not run");
    return false;
  }
  if (*peer->host)
    ip = peer->host;
  else if (chaski_address_is_any(ip))
    ip = strchr(ip, ':') ? "::1" : "127.0.0.1";
  memcpy(out->host, ip, strlen(ip) + 1);
  snprintf(out->name, sizeof out->name, "%s", chaski_node_name(peer->core)); /* heeded where names are proven: TLS */
  out->port = chaski_node_port(peer->core);
  return true;
}

static bool read_address(lua_State *L, chaski_address *out) {
  chaski_lua_node *peer = chaski__test_node(L, 2);
  const char *why = "";
  if (peer) chaski__check_world(L, peer, "node:connect");
  if (peer) return address_of_node(L, peer, out);
  luaL_argexpected(L, lua_type(L, 2) == LUA_TSTRING, 2, "address \"host:port\" or node");
  if (chaski_address_parse(chaski__check_slice(L, 2), out, &why) == CHASKI_OK) return true;
  lua_pushnil(L);
  chaski__push_error(L, chaski_error_name(CHASKI_EADDRESS), "node:connect '%s': %s", lua_tostring(L, 2), why);
  return false;
}

static int start_dial(lua_State *L, chaski_lua_node *n, const chaski_address *address, uint64_t timeout,
                      chaski_slice report) {
  struct dial *d = chaski__waiter_new(L, n->rt, &n->operations, sizeof *d);
  char text[WHAT_MAX] = "node:connect ";
  int rc;
  chaski_address_format(text + strlen(text), address->host, address->port);
  memcpy(d->what, text, sizeof text);
  d->node = n;
  rc = chaski__act_as(n);
  if (rc == CHASKI_OK && report.len)
    rc = chaski_node_connect_reporting(n->core, address, timeout, report, dialled, d, &d->core);
  else if (rc == CHASKI_OK)
    rc = chaski_node_connect(n->core, address, timeout, dialled, d, &d->core);
  if (rc == CHASKI_OK) return chaski__park(L, n->rt, -1, forget_dial, d);
  chaski__waiter_free(d);
  return chaski__fail(L, rc, text, "");
}

/* (node, address, { timeout = } or nil [, report]): the live edge; the report, a map, goes first */
static int node_connect(lua_State *L) {
  static const char *const names[] = {"timeout", NULL};
  chaski_lua_node *n = chaski__check_node(L, 1);
  uint64_t timeout = chaski__opt_ns(L, chaski__opt_table(L, 3, names), "timeout", 0);
  chaski_address address;
  chaski_slice report = {NULL, 0};
  lua_settop(L, 4);
  chaski__check_task(L, "node:connect");
  chaski__check_world(L, n, "node:connect");
  if (!read_address(L, &address)) return 2;
  if (!n->core) return chaski__fail(L, CHASKI_ESTOPPED, "node:connect", "");
  if (!lua_isnil(L, 4)) {
    const chaski_pack_options sorted = {.sort_keys = n->pack.sort_keys};
    if (chaski__pack(L, 4, n->packer, &sorted, "report") != 0) return lua_error(L);
    report = chaski_slice_of(n->packer->ptr, n->packer->len);
  }
  return start_dial(L, n, &address, timeout, report);
}

/* --- ping ------------------------------------------------------------------------------------------------------- */
struct ping {
  chaski_waiter waiter;
  char what[WHAT_MAX];
};

static int push_rtt(lua_State *co, void *ctx) {
  const struct outcome *o = ctx;
  if (o->status != CHASKI_OK) return chaski__fail(co, o->status, o->what, "");
  lua_pushnumber(co, o->rtt);
  return 1;
}

static void ponged(void *ctx, int status, double rtt_ms) {
  struct ping *p = ctx;
  struct outcome o = {.status = status, .what = p->what, .rtt = rtt_ms};
  chaski__waiter_wake(&p->waiter, push_rtt, &o);
}

/* The core cannot be asked to forget a ping: the block stays until it is answered, or its node ends. */
static void forget_ping(void *ctx) {
  struct ping *p = ctx;
  chaski_task *task = p->waiter.task;
  p->waiter.task = NULL;
  chaski__task_release(task);
  if (!p->waiter.link) chaski__waiter_free(p);
}

static int start_ping(lua_State *L, chaski_lua_node *n, chaski_edge *edge, int options) {
  size_t size = (size_t)chaski__opt_integer(L, options, "size", 0, (int64_t)CHASKI_MIB, 0);
  bool update = chaski__opt_bool(L, options, "latency_update", true);
  uint64_t timeout = chaski__opt_ns(L, options, "timeout", 0);
  struct ping *p = chaski__waiter_new(L, n->rt, &n->operations, sizeof *p);
  char text[WHAT_MAX] = "node:ping ";
  int rc;
  chaski_address_format(text + strlen(text), chaski_edge_ip(edge), chaski_edge_port(edge));
  memcpy(p->what, text, sizeof text);
  rc = chaski_edge_ping(edge, size, update, timeout, ponged, p);
  if (rc == CHASKI_OK) return chaski__park(L, n->rt, -1, forget_ping, p);
  chaski__waiter_free(p);
  return chaski__fail(L, rc, text, rc == CHASKI_ETOOBIG ? "ping_echo_max" : "");
}

/* (node, edge [, { size =, timeout =, latency_update = }]): the round trip in ms */
static int ping_edge(lua_State *L) {
  static const char *const names[] = {"size", "timeout", "latency_update", NULL};
  chaski_lua_node *n = chaski__check_node(L, 1);
  chaski_edge *edge = chaski__check_edge(L, 2);
  int options = chaski__opt_table(L, 3, names);
  chaski__check_task(L, "node:ping");
  chaski__check_world(L, n, "node:ping");
  if (!n->core || !chaski_edge_live(edge)) return chaski__fail(L, CHASKI_ENOEDGE, "node:ping", "");
  luaL_argcheck(L, chaski_edge_node(edge) == n->core, 2, "the edge is another node's");
  return start_ping(L, n, edge, options);
}

/* --- finding ---------------------------------------------------------------------------------------------------- */
/* (node, "host:port") or (node, host, port) */
static int get_edge(lua_State *L) {
  chaski_lua_node *n = chaski__check_node(L, 1);
  chaski_address address;
  const char *why;
  if (lua_isnoneornil(L, 3)) {
    if (chaski_address_parse(chaski__check_slice(L, 2), &address, &why) != CHASKI_OK) return luaL_argerror(L, 2, why);
  } else {
    lua_Integer port = luaL_checkinteger(L, 3);
    chaski_slice host = chaski__check_slice(L, 2);
    luaL_argcheck(L, host.len < sizeof address.host, 2, "host too long");
    luaL_argcheck(L, port >= 1 && port <= 65535, 3, "port 1..65535 expected");
    memcpy(address.host, host.ptr, host.len + 1);
    address.port = (uint16_t)port;
  }
  chaski__push_edge(L, n, n->core ? chaski_node_get_edge(n->core, address.host, address.port) : NULL);
  return 1;
}

static int get_edge_by_name(lua_State *L) {
  chaski_lua_node *n = chaski__check_node(L, 1);
  const char *name = luaL_checkstring(L, 2);
  chaski__push_edge(L, n, n->core ? chaski_node_get_edge_by_name(n->core, name) : NULL);
  return 1;
}

const luaL_Reg chaski__dial_methods[] = {

    {"get_edge", get_edge},
    {"get_edge_by_name", get_edge_by_name},
    {NULL, NULL},
};

void chaski__open_dial(lua_State *L) {
  lua_pushcfunction(L, ping_edge);
  lua_setfield(L, -2, "ping_edge");
  lua_pushcfunction(L, node_connect);
  lua_setfield(L, -2, "connect");
}
