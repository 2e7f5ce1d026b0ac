/* node_tls.c: a node over TLS: which certificates it dials and accepts with.
 * What they are is tls_context.c's; when they are renewed and revoked is
 * lua/chaski's. See binding.h. SPDX-License-Identifier: MIT */
#include "../tls/tls.h"
#include "binding.h"
#include "tls_binding.h"

void chaski__drop_node_tls(chaski_lua_node *n) {
  if (n->tls) chaski_tls_layer_release(n->tls);
  n->tls = NULL;
}

static chaski_tls_context *context_arg(lua_State *L, int arg) {
  return lua_isnoneornil(L, arg) ? NULL : chaski__lua_check_tls_context(L, arg);
}

/* Both roles are one node's. NULL or what is wrong. */
static const char *identity_of(const chaski_tls_context *client, const chaski_tls_context *server, const char **id) {
  const char *a = client ? chaski_tls_context_identity(client) : "";
  const char *b = server ? chaski_tls_context_identity(server) : a;
  if (!client) a = b;
  *id = chaski_tls_context_id(client ? client : server);
  if (!**id) return "the certificate names no node";
  return strcmp(a, b) == 0 ? NULL : "the certificates of the two roles name different nodes";
}

/* New certificates under live edges. */
static int swap(lua_State *L, chaski_lua_node *n, chaski_tls_context *client, chaski_tls_context *server,
                const char *id) {
  if (strcmp(id, chaski_node_id(n->core)) != 0)
    return chaski__fail(L, CHASKI_ECERTIFICATE, "node", "the new certificate is another node's");
  chaski_tls_layer_set_contexts(n->tls, client, server);
  chaski_node_recheck(n->core);
  lua_pushboolean(L, 1);
  return 1;
}

static int install(lua_State *L, chaski_lua_node *n, chaski_tls_context *client, chaski_tls_context *server,
                   const char *id) {
  const chaski_env *env = chaski_loop_env(n->world->loop);
  chaski_tls_layer *layer;
  int rc = chaski_tls_layer_new(n->world->loop, env->transport, env->ctx, client, server, &layer);
  if (rc == CHASKI_OK) {
    rc = chaski_node_set_transport(n->core, &chaski_tls_transport, layer, id);
    if (rc != CHASKI_OK) chaski_tls_layer_release(layer);
  }
  if (rc != CHASKI_OK) return chaski__fail(L, rc, "node", rc == CHASKI_ELIVE ? "stop it first" : "");
  chaski__drop_node_tls(n);
  n->tls = layer;
  lua_pushboolean(L, 1);
  return 1;
}

static int in_clear(lua_State *L, chaski_lua_node *n) {
  int rc = chaski_node_set_transport(n->core, NULL, NULL, NULL);
  if (rc != CHASKI_OK) return chaski__fail(L, rc, "node", "stop it first");
  chaski__drop_node_tls(n);
  lua_pushboolean(L, 1);
  return 1;
}

/* (node, client context or nil, server context or nil): true, or nil and an
 * error. While the node runs only new certificates of the same identity; both
 * nil: in clear again. */
static int set_tls(lua_State *L) {
  chaski_lua_node *n = chaski__open_node_arg(L, 1);
  chaski_tls_context *client = context_arg(L, 2), *server = context_arg(L, 3);
  const char *id, *wrong;
  chaski__check_world(L, n, "node:set_tls");
  if (!client && !server) return in_clear(L, n);
  wrong = identity_of(client, server, &id);
  if (wrong) return chaski__fail(L, CHASKI_ECERTIFICATE, "node", wrong);
  if (n->tls && chaski_node_running(n->core)) return swap(L, n, client, server, id);
  return install(L, n, client, server, id);
}

/* (node): the edges whose peers' certificates have expired or were revoked end
 */
static int recheck(lua_State *L) {
  chaski_lua_node *n = chaski__open_node_arg(L, 1);
  chaski_node_recheck(n->core);
  return 0;
}

/* (edge): until when the certificates of its connection are good, s since 1970; nil: it has none */
static int edge_expires(lua_State *L) {
  int64_t until = chaski_edge_expires(chaski__check_edge(L, 1));
  if (!until) return 0;
  lua_pushinteger(L, until);
  return 1;
}

/* (edge): whether it is suspended now, to go on over a new connection */
static int edge_reconnect(lua_State *L) {
  lua_pushboolean(L, chaski_edge_reconnect(chaski__check_edge(L, 1)));
  return 1;
}

/* (node): nil in clear, else the counters of TLS handshakes */
static int tls_counters(lua_State *L) {
  const chaski_lua_node *n = chaski__check_node(L, 1);
  const chaski_tls_counters *c;
  if (!n->tls) return 0;
  c = chaski_tls_layer_counters(n->tls);
  lua_createtable(L, 0, 20);
#define COUNT(name) lua_pushinteger(L, (lua_Integer)c->name), lua_setfield(L, -2, #name)
  COUNT(handshakes), COUNT(refused), COUNT(expired), COUNT(not_yet_valid), COUNT(unknown_ca), COUNT(self_signed);
  COUNT(revoked), COUNT(no_identity), COUNT(many_identities), COUNT(bad_purpose), COUNT(bad_signature), COUNT(weak);
  COUNT(no_certificate), COUNT(other_mesh), COUNT(version), COUNT(plain), COUNT(alpn), COUNT(other);
#undef COUNT
  return 1;
}

void chaski__open_node_tls(lua_State *L) {
  static const luaL_Reg functions[] = {{"set_tls", set_tls},
                                       {"recheck", recheck},
                                       {"tls_counters", tls_counters},
                                       {"edge_expires", edge_expires},
                                       {"edge_reconnect", edge_reconnect},
                                       {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
