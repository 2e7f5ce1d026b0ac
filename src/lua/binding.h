/* binding.h: what the files of the node binding share: the userdata of nodes, edges, messages and subscriptions, and
 * the waits of tasks for the core. Each userdata is a view: C memory of the core may end before it and is then not
 * touched. Policy lives in lua/chaski; here arguments are checked, one call is made, the result is shaped.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_LUA_BINDING_H
#define CHASKI_LUA_BINDING_H

#include "../core/node.h"
#include "codec.h"
#include "runtime.h"

#define CHASKI_SIM_HOST 64 /* bytes: a numeric address, with a zone if need be */

typedef struct chaski_lua_node chaski_lua_node;
typedef struct chaski_lua_sub chaski_lua_sub;

/* --- waits (wait.c) --------------------------------------------------------------------------------------------- */
/* A parked task in a list of its node; first member of what an operation needs beyond it. */
typedef struct chaski_waiter {
  struct chaski_waiter *next, **link; /* link NULL: in no list, its node has ended */
  chaski_runtime *rt;
  chaski_task *task; /* NULL: nobody waits any more */
  uint64_t wait;
} chaski_waiter;

/* A zeroed block of `size` bytes with a waiter for the current task at its start, in *list. Raises when out of memory.
 */
void *chaski__waiter_new(lua_State *L, chaski_runtime *rt, chaski_waiter **list, size_t size);
void chaski__waiters_forget(chaski_waiter **list); /* for finalizers: nobody is woken, each frees its own later */
void chaski__waiter_unlink(chaski_waiter *w);
void chaski__waiter_free(void *waiter); /* out of its list, forget the task, free; fits chaski__park's cleanup */
/* Wake the task with what push pushes (see chaski__wake) after taking the waiter out of its list; then free it. */
void chaski__waiter_wake(chaski_waiter *w, int (*push)(lua_State *co, void *ctx), void *ctx);
void chaski__waiters_wake(chaski_waiter **list, int (*push)(lua_State *co, void *ctx), void *ctx); /* those there now */

/* --- nodes (node.c) --------------------------------------------------------------------------------------------- */
/* X(constant, name): what node:on can be told of */
#define CHASKI_LUA_EVENTS(X)                                                                                           \
  X(EDGE_OPEN, "edge_open")                                                                                            \
  X(EDGE_CLOSED, "edge_closed")                                                                                        \
  X(EDGE_SUSPENDED, "edge_suspended")                                                                                  \
  X(EDGE_RESUMED, "edge_resumed")                                                                                      \
  X(PAUSE_WRITING, "pause_writing")                                                                                    \
  X(RESUME_WRITING, "resume_writing")                                                                                  \
  X(EDGE_CHANGED, "edge_changed")                                                                                      \
  X(UNDELIVERED, "undelivered")                                                                                        \
  X(MALFORMED_DATA, "malformed_data")                                                                                  \
  X(HANDLER_ERROR, "handler_error")                                                                                    \
  X(FORBIDDEN, "forbidden")                                                                                            \
  X(CERTIFICATE, "certificate")                                                                                        \
  X(DATAGRAM, "datagram")                                                                                              \
  X(UDP_OPEN, "udp_open")                                                                                              \
  X(UDP_CLOSED, "udp_closed")                                                                                          \
  X(UDP_ERROR, "udp_error")                                                                                            \
  X(STOPPED, "stopped")

enum chaski_lua_event {
#define CHASKI__EVENT(id, name) CHASKI_ON_##id,
  CHASKI_LUA_EVENTS(CHASKI__EVENT)
#undef CHASKI__EVENT
      CHASKI_ON_COUNT
};

/* The userdata. User value 1 is the table in which lua/chaski keeps what it needs; user value 2 holds what C refers to
 * by luaL_ref, handlers above all: there and not in the registry, so that a handler that knows its node does not keep
 * it. */
struct chaski_lua_node {
  chaski_node *core; /* NULL: closed for good */
  chaski_runtime *rt;
  chaski_world *world;           /* valid while core is not NULL */
  chaski_lua_node *next, **link; /* rt->nodes */
  chaski_lua_sub *subs;          /* in the order they were made */
  chaski_waiter *stopping, *drained, *operations;
  chaski_packer *packer; /* the state's, anchored in the registry */
  chaski_pack_options pack;
  uint64_t number;        /* never used again in this state */
  uint64_t malformed;     /* messages whose data could not be decoded */
  uint64_t inbox_dropped; /* messages an inbox had no room for */
  uint64_t abandoned;     /* messages that were in an inbox when it ended */
  uint32_t listening;     /* bits of enum chaski_lua_event: somebody wants to know */
  unsigned anchors;       /* reasons to stay; > 0: self is a reference in the registry */
  int self, refs;         /* in the registry: the userdata, its user value 2; LUA_NOREF when not anchored */
  bool serializer;        /* data is to be sent through lua/chaski */
  int deserializer;       /* in refs, or LUA_NOREF */
  bool running;           /* run has anchored it */
  bool tuned;             /* its limits of the data of messages are not the defaults */
  bool told_unreadable;   /* that its deserializer has failed */
  bool stop_asked;
  struct chaski_questions *questions; /* request.c; NULL until one was asked */
  struct chaski_serving *serving;     /* serve.c; NULL until a call came */
  struct chaski_tls_layer *tls;       /* NULL: in clear */
  char host[CHASKI_SIM_HOST];         /* in a simulation: the address of the host it is on */
};

#define CHASKI_NODE_CLASS "chaski.node"
chaski_lua_node *chaski__check_node(lua_State *L, int arg);    /* raises if it is none */
chaski_lua_node *chaski__open_node_arg(lua_State *L, int arg); /* raises if it is none, or closed for good */
chaski_lua_node *chaski__test_node(lua_State *L, int idx);     /* NULL if it is none */
/* Raises unless the node, if it is not closed, belongs to the current world. For all that sends or waits. */
void chaski__check_world(lua_State *L, const chaski_lua_node *n, const char *method);
void chaski__push_node(lua_State *L, chaski_lua_node *n);          /* only while it is anchored */
void chaski__push_refs(lua_State *L, const chaski_lua_node *n);    /* user value 2, or nil when it is being collected */
chaski_lua_node *chaski__find_node(lua_State *L, uint64_t number); /* NULL when it is gone */
void chaski__anchor_node(lua_State *L, int idx, chaski_lua_node *n);
void chaski__release_node(chaski_lua_node *n); /* takes one anchor away */
/* Tell the listeners of an event: nargs arguments are on top of L and are popped. Raises only on out of memory. */
void chaski__emit(lua_State *L, chaski_lua_node *n, enum chaski_lua_event event, int nargs);
static inline bool chaski__listening(const chaski_lua_node *n, enum chaski_lua_event event) {
  return n->listening >> event & 1u;
}
/* An undelivered message, from inside Lua: { reason =, topic =, uuid =, edge = }. edge may be NULL. */
void chaski__emit_undelivered(lua_State *L, chaski_lua_node *n, chaski_edge *edge, const chaski_message *m,
                              const char *reason);
void chaski__leave_running(chaski_lua_node *n);      /* it has stopped: run anchors it no more */
int chaski__push_true(lua_State *co, void *ctx);     /* fits a waiter's push */
extern const chaski_node_events chaski__node_events; /* node_events.c: the user is the chaski_lua_node */
void chaski__open_node_events(lua_State *L);         /* functions for the module table on top */
extern const luaL_Reg chaski__send_methods[];        /* send.c */
extern const luaL_Reg chaski__dial_methods[];        /* dial.c */
extern const luaL_Reg chaski__node_fields[];         /* fields.c: getters */
void chaski__open_dial(lua_State *L);                /* the same of dial.c */
void chaski__open_send(lua_State *L);                /* functions of send.c for the module table on top */
int chaski__write_command(lua_State *L);             /* core.write */

/* --- TLS (node_tls.c) ------------------------------------------------------------------------------------------- */
void chaski__open_node_tls(lua_State *L);       /* functions for the module table on top */
void chaski__drop_node_tls(chaski_lua_node *n); /* the core's node is gone */

/* --- edges (edge.c) --------------------------------------------------------------------------------------------- */
void chaski__push_edge(lua_State *L, chaski_lua_node *n, chaski_edge *edge); /* NULL: nil */
chaski_edge *chaski__check_edge(lua_State *L, int arg);
chaski_edge *chaski__test_edge(lua_State *L, int idx);
/* As test_edge, which looks the class up by its name. */
chaski_edge *chaski__edge_at(lua_State *L, const chaski_runtime *rt, int idx);
uint32_t *chaski__edge_calls(lua_State *L, int idx);            /* serve.c's count, in the edge's userdata at idx */
void chaski__edge_ended(chaski_runtime *rt, chaski_edge *edge); /* no longer anchored by the runtime */
void chaski__open_edge(lua_State *L);

/* --- messages (message.c) --------------------------------------------------------------------------------------- */
typedef struct chaski_lua_message { /* the userdata; the frame's bytes follow; user value 1: data once read or set */
  uint64_t node, edge;              /* numbers; 0: of none */
  uint8_t strings, ttl;             /* ttl: as received, less what decrement_ttl took */
  bool custom, decoded, replaced, faulty;
  bool tuned; /* the node's limits of data are not the defaults */
  bool apart; /* the string at the frame's end does not follow, but is user value 1, and 2 once another was set */
  chaski_message m;
} chaski_lua_message;

void chaski__push_message(lua_State *L, chaski_lua_node *n, const chaski_edge *edge, const chaski_message *m);
chaski_lua_message *chaski__check_message(lua_State *L, int arg);
/* The message at idx with its whole frame, which what is pushed keeps alive. */
chaski_message chaski__whole_message(lua_State *L, int idx);
/* How the node wants the data of its messages decoded. */
chaski_unpack_options chaski__data_options(const chaski_lua_node *n);
/* A message whose data cannot be decoded: count that, and tell who listens. One whose data can be is ignored. */
void chaski__decode_in_vain(lua_State *L, chaski_lua_node *n, const chaski_edge *edge, const chaski_message *m);
void chaski__open_message(lua_State *L);

/* --- subscriptions (subscription.c) ----------------------------------------------------------------------------- */
void chaski__sub_message(void *user, void *sub, chaski_edge *edge, const chaski_message *m); /* upcall of the core */
void chaski__subs_stopped(chaski_lua_node *n);          /* wakes who waits for messages */
void chaski__subs_close(chaski_lua_node *n, bool wake); /* the core's node is gone; wake: readers go on */
void chaski__open_subscription(lua_State *L);

/* --- simulations (sim.c) ---------------------------------------------------------------------------------------- */
/* In a simulation what follows is done by the node's host: before it listens or dials. CHASKI_OK or a code. */
int chaski__act_as(const chaski_lua_node *n);
/* A node (userdata at idx) has been made in the current world: find its host, and keep it while the world is there, so
 * that no simulation depends on when garbage is collected. CHASKI_OK or a code. */
int chaski__settle(lua_State *L, int idx, chaski_lua_node *n, const char *ip);
/* Open simulations of this state; adds up the tasks and nodes that are in them. */
size_t chaski__count_sims(const chaski_runtime *rt, size_t *tasks, size_t *nodes);
/* Whether a simulation is the current world: what is packed there has its keys sorted, so that runs repeat. */
bool chaski__simulated(lua_State *L);
void chaski__open_sim(lua_State *L);

/* --- helpers (util.c) ------------------------------------------------------------------------------------------- */
/* Push nil and an error "what: text" with the code's name; detail, if not "", in brackets. Returns 2. */
int chaski__fail(lua_State *L, int code, const char *what, const char *detail);
chaski_slice chaski__check_slice(lua_State *L, int arg); /* a string, not a number */
/* Push what is wrong with a topic that the node refused: its length. */
const char *chaski__push_topic_fault(lua_State *L, const chaski_node *node, chaski_slice topic);
/* Seconds at a field of the options table idx (0: none) as ns; `none` if absent. Raises when negative or no number. */
uint64_t chaski__opt_ns(lua_State *L, int idx, const char *field, uint64_t none);
bool chaski__opt_bool(lua_State *L, int idx, const char *field, bool none);
int64_t chaski__opt_integer(lua_State *L, int idx, const char *field, int64_t least, int64_t most, int64_t none);
/* A string field, NULL if absent; anchored by the table. */
const char *chaski__opt_string(lua_State *L, int idx, const char *field);
/* The live edge at a field, NULL if absent. */
chaski_edge *chaski__opt_edge(lua_State *L, int idx, const char *field);
/* Absent and nil: 0. Else a table whose keys are among names: arg. */
int chaski__opt_table(lua_State *L, int arg, const char *const names[]);
/* A class: metatable `name` in the registry and on top, with these metamethods, its methods table as upvalue 1 and its
 * getters as upvalue 2 of __index. Pushes metatable, methods, getters. */
void chaski__class(lua_State *L, const char *name, const luaL_Reg *meta, const luaL_Reg *methods,
                   const luaL_Reg *getters);
void chaski__weak_table(lua_State *L, const void *key); /* new, with weak values, into the registry */
void chaski__open_util(lua_State *L);
void chaski__open_pool(lua_State *L);

/* For the host: adds everything above to the module table on top of the stack; closes the nodes of a world, NULL: every
 * one of the state. */
void chaski__open_node(lua_State *L);
void chaski__close_nodes(chaski_runtime *rt, const chaski_world *world);

#endif
