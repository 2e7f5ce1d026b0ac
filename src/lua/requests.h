/* requests.h: requests and their answers (PROTOCOL A.9, B.9): asking is request.c, answering serve.c. Both are found by
 * their command when the first of it comes, and then get it straight from the core. SPDX-License-Identifier: MIT */
#ifndef CHASKI_LUA_REQUESTS_H
#define CHASKI_LUA_REQUESTS_H

#include "binding.h"

#define CHASKI_REQUEST "request_udp"
#define CHASKI_RESPONSE "response_udp"
#define CHASKI_CALLBACK_SHOWN 64 /* bytes of names in errors */
#define CHASKI_ERROR_SHOWN 512   /* bytes of what errors say */

/* A command that is handled in C: what the core has as its handler. */
typedef struct chaski_lua_command {
  const char *name;
  void (*receive)(chaski_lua_node *n, chaski_edge *edge, const chaski_message *m);
} chaski_lua_command;

/* Give the node the handler of a command of these two. False: it is another. */
bool chaski__take_request_command(chaski_lua_node *n, chaski_slice command);
/* NULL: the core's handler is a subscription. */
const chaski_lua_command *chaski__request_command(const void *handler);

/* Upcalls; they enter Lua. */
void chaski__receive_request(chaski_lua_node *n, chaski_edge *edge, const chaski_message *m);
void chaski__receive_response(chaski_lua_node *n, chaski_edge *edge, const chaski_message *m);
/* The edge to the same peer that is live: when both have dialled, what came by the losing connection is its edge's. */
chaski_edge *chaski__living_edge(const chaski_lua_node *n, chaski_edge *edge);
/* While what came is read: a finalizer may close the node, and a later one then collect it. The node is anchored. */
void chaski__hold_both(chaski_lua_node *n, chaski_edge *edge);
void chaski__release_both(chaski_lua_node *n, chaski_edge *edge);

/* The node's userdata is being collected. */
void chaski__free_questions(chaski_lua_node *n);
void chaski__free_serving(chaski_lua_node *n);

void chaski__open_request(lua_State *L); /* functions for the module table on top */
void chaski__open_serve(lua_State *L);   /* the same of serve.c */

#endif
