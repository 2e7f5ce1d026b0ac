/* serve.c: answering other nodes: their calls of what node:serve has registered. Each call is a task of its own, which
 * reads the request, is refused or calls the function, and writes the answer. See requests.h.
 * SPDX-License-Identifier: MIT */
#include "../core/alloc.h"
#include "error.h"
#include "limiter.h"
#include "requests.h"
#include "running.h"
#include "task.h"

#define ID_MAX 64
#define WHERE "callback "
#define WHERE_MAX 300 /* bytes; once it waits its task keeps less */
#define WRITE "node:write " CHASKI_RESPONSE

struct chaski_serving {
  size_t calls;      /* being answered */
  int served, rates; /* in the node's refs: callback -> function; the buckets of request_rate */
};

static const char call_key;  /* its address is the key in the registry: the metatable of calls */
static const char setup_key; /* its address is the key in the registry: lua/chaski's fn(node) -> served, rates */

typedef struct call {
  chaski_lua_node *node;
  chaski_edge *edge;
  chaski_slice id, callback;
  uint32_t *calls; /* of the edge, in its userdata */
  bool returned;
} call;

struct incoming { /* on its way into its task */
  call call;
  const chaski_message *message;
  char where[WHERE_MAX];
};

/* The stack of its task: the call and what it needs (userdata), then who is told of errors, the function and its
 * arguments, then its results. */
enum { CALL = 1, KWARGS, NODE, EDGE, GUARD, RESPONSE, WHY };

/* --- writing ---------------------------------------------------------------------------------------------------- */
static int write_to(const call *c) {
  const chaski_packer *p = c->node->packer;
  if (!c->node->core) return CHASKI_ESTOPPED; /* a metamethod of the script's may have closed it */
  return chaski_node_write(c->node->core, chaski_slice_str(CHASKI_RESPONSE), chaski_slice_of(NULL, 0),
                           chaski_slice_of(p->ptr, p->len), c->edge);
}

static chaski_slice cut(chaski_slice s, size_t most) {
  return chaski_slice_of(s.ptr, s.len < most ? s.len : most);
}

static void push_error_map(lua_State *L, const char *code, chaski_slice message) {
  message = cut(message, CHASKI_ERROR_SHOWN);
  luaL_checkstack(L, 4, NULL);
  lua_createtable(L, 0, 2);
  lua_pushstring(L, code);
  lua_setfield(L, -2, "code");
  lua_pushlstring(L, (const char *)message.ptr, message.len);
  lua_setfield(L, -2, "message");
}

/* The original would take an answer with an error for the answer: it gets none. The message is anchored by the caller.
 */
static void refuse(lua_State *L, const call *c, const char *code, chaski_slice message) {
  chaski_pack_options options = c->node->pack;
  if (chaski_edge_protocol(c->edge) == 0) return;
  push_error_map(L, code, message);
  chaski__push_null(L);
  options.strings = CHASKI_STRINGS_AUTO;
  const chaski_pack_field fields[] = {
      {CHASKI_SLICE("callback"), 0, cut(c->callback, CHASKI_CALLBACK_SHOWN)},
      {CHASKI_SLICE("error"), lua_gettop(L) - 1, {NULL, 0}},
      {CHASKI_SLICE("id"), 0, c->id},
      {CHASKI_SLICE("response"), lua_gettop(L), {NULL, 0}},
  };
  if (chaski__pack_map(L, fields, 4, c->node->packer, &options, "data") == CHASKI_OK) write_to(c);
}

/* The answer at RESPONSE; true, or why it could not be sent is pushed. */
static bool answer(lua_State *L, const call *c) {
  const chaski_pack_field fields[] = {
      {CHASKI_SLICE("callback"), 0, c->callback},
      {CHASKI_SLICE("id"), 0, c->id},
      {CHASKI_SLICE("kwargs"), KWARGS, {NULL, 0}},
      {CHASKI_SLICE("response"), RESPONSE, {NULL, 0}},
  };
  int rc = chaski__pack_map(L, fields, 4, c->node->packer, &c->node->pack, "data");
  if (rc != CHASKI_OK) {
    lua_getfield(L, -1, "message");
    lua_pushfstring(L, WRITE ": %s", lua_tostring(L, -1));
    return false;
  }
  rc = write_to(c);
  if (rc != CHASKI_OK) lua_pushfstring(L, WRITE ": %s", chaski_error_text(rc));
  return rc == CHASKI_OK;
}

/* --- the call --------------------------------------------------------------------------------------------------- */
/* Message handler of the protected call, where the stack is still whole. */
static int guard(lua_State *L) {
  const chaski_runtime *rt = chaski__runtime(L);
  lua_settop(L, 1);
  if (chaski__is_cancel(L, 1)) return 1;
  lua_pushvalue(L, 1);
  chaski__report_error(chaski__runtime(L), L, rt->current ? chaski__task_where(rt->current) : WHERE);
  return 1;
}

static int refuse_left(lua_State *L) { /* (call) */
  refuse(L, lua_touserdata(L, 1), "failed", chaski_slice_str("it did not return"));
  return 0;
}

/* A call's __close: however its task ends, it no longer counts; and who asked is told when the function was left by
 * what is neither a return nor an error, as by a bare coroutine.yield. Then Lua may have given up the rest of the
 * stack, which held node and edge. */
static int over(lua_State *L) {
  call *c = lua_touserdata(L, 1);
  if (c->node->serving) c->node->serving->calls--;
  --*c->calls;
  if (c->returned || !chaski_edge_live(c->edge)) return 0;
  chaski__hold_both(c->node, c->edge);
  lua_pushcfunction(L, refuse_left);
  lua_pushlightuserdata(L, c);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) lua_pop(L, 1); /* no memory for it */
  chaski__release_both(c->node, c->edge);
  return 0;
}

static void refuse_with_top(lua_State *L, const call *c) {
  size_t len;
  const char *text = luaL_tolstring(L, -1, &len);
  refuse(L, c, "failed", chaski_slice_of(text, len));
}

/* nil and a reason is a failure, as of everything that can fail. */
static bool has_failed(lua_State *L, const call *c) {
  return lua_isnil(L, RESPONSE) && !lua_isnil(L, WHY) && chaski_edge_protocol(c->edge) > 0;
}

static int returned(lua_State *L, int status, lua_KContext ctx) {
  call *c = (call *)ctx;
  bool raised = status != LUA_OK && status != LUA_YIELD;
  if (raised) chaski__entry_again(c->node->rt);
  c->returned = true;
  if (!chaski_edge_live(c->edge)) return 0;
  if (raised)
    refuse_with_top(L, c);
  else if (has_failed(L, c))
    lua_pushvalue(L, lua_toboolean(L, WHY) ? WHY : RESPONSE), refuse_with_top(L, c);
  else if (!answer(L, c) && chaski_edge_live(c->edge))
    refuse_with_top(L, c);
  return 0;
}

static chaski_slice copy(char **to, chaski_slice s) {
  chaski_slice copied = chaski_slice_of(*to, s.len);
  if (s.len) memcpy(*to, s.ptr, s.len);
  *to += s.len;
  return copied;
}

/* Put one that outlives the message in its place; it counts until it is closed. */
static call *begin_call(lua_State *L, const call *from) {
  call *c = lua_newuserdatauv(L, sizeof *c + from->id.len + from->callback.len, 0);
  char *text = (char *)(c + 1);
  *c = *from;
  c->id = copy(&text, from->id);
  c->callback = copy(&text, from->callback);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &call_key);
  lua_setmetatable(L, -2);
  lua_replace(L, CALL);
  c->calls = chaski__edge_calls(L, EDGE);
  lua_toclose(L, CALL);
  c->node->serving->calls++;
  ++*c->calls;
  return c;
}

/* --- what comes ------------------------------------------------------------------------------------------------- */
/* False: it is none. Pushes kwargs. */
static bool read_request(lua_State *L, struct incoming *in) {
  chaski_unpack_options options = chaski__data_options(in->call.node);
  chaski_unpack_field fields[] = {
      {CHASKI_SLICE("callback"), CHASKI_STRINGS_AUTO, true, false, {NULL, 0}},
      {CHASKI_SLICE("id"), CHASKI_STRINGS_AUTO, true, false, {NULL, 0}},
      {CHASKI_SLICE("kwargs"), options.strings, false, false, {NULL, 0}},
  };
  if (!chaski__unpack_map(L, in->message->data, &options, fields, 3)) {
    chaski__decode_in_vain(L, in->call.node, in->call.edge, in->message);
    return false;
  }
  in->call.callback = fields[0].bytes;
  in->call.id = fields[1].bytes;
  return fields[0].found && fields[1].found && fields[1].bytes.len <= ID_MAX;
}

static void set_where(struct incoming *in) {
  chaski_slice name = cut(in->call.callback, sizeof in->where - sizeof WHERE);
  if (name.len) memcpy(in->where + sizeof WHERE - 1, name.ptr, name.len);
  in->where[sizeof WHERE - 1 + name.len] = '\0';
}

static int keep(lua_State *L, const chaski_lua_node *n) {
  chaski__push_refs(L, n);
  lua_insert(L, -2);
  int ref = luaL_ref(L, -2);
  lua_pop(L, 1);
  return ref;
}

static bool is_set_up(const chaski_lua_node *n) {
  return n->serving && n->serving->served != LUA_NOREF;
}

static struct chaski_serving *new_serving(lua_State *L) {
  struct chaski_serving *s = chaski__calloc(1, sizeof *s);
  if (!s) luaL_error(L, "out of memory");
  s->served = s->rates = LUA_NOREF;
  return s;
}

/* The node's first call, or one after a first that raised here. */
static void set_up(lua_State *L, chaski_lua_node *n) {
  if (!n->serving) n->serving = new_serving(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &setup_key);
  chaski__push_node(L, n);
  lua_call(L, 1, 2);
  n->serving->rates = keep(L, n);
  n->serving->served = keep(L, n);
}

/* The node's refs are on top, and stay. */
static bool take_of_rate(lua_State *L, const call *c) {
  lua_rawgeti(L, -1, c->node->serving->rates);
  lua_pushinteger(L, (lua_Integer)chaski_edge_number(c->edge));
  bool taken = chaski__take_token(L, c->node->rt, lua_gettop(L) - 1);
  lua_pop(L, 1);
  return taken;
}

/* That one call more would break it counts. Who calls what never returns does not take the others' room. */
static bool limit_met(lua_State *L, const call *c) {
  const chaski_limits *limits = chaski_node_limits(c->node->core);
  size_t hit;
  if (c->node->serving->calls >= limits->requests_max)
    hit = offsetof(chaski_limits, requests_max);
  else if (*chaski__edge_calls(L, EDGE) >= limits->requests_per_edge)
    hit = offsetof(chaski_limits, requests_per_edge);
  else if (!take_of_rate(L, c))
    hit = offsetof(chaski_limits, request_rate);
  else
    return false;
  chaski_node_limit_hit(c->node->core, hit);
  return true;
}

static int refuse_unknown(lua_State *L, const call *c) {
  chaski_slice name = cut(c->callback, CHASKI_CALLBACK_SHOWN);
  lua_pushliteral(L, "no callback '");
  lua_pushlstring(L, (const char *)name.ptr, name.len);
  lua_pushliteral(L, "' is served here");
  lua_concat(L, 3);
  refuse(L, c, "unknown_callback", chaski__check_slice(L, lua_gettop(L)));
  return 0;
}

/* In the place of the node's refs. */
static bool push_function(lua_State *L, const call *c) {
  lua_rawgeti(L, -1, c->node->serving->served);
  lua_pushlstring(L, (const char *)c->callback.ptr, c->callback.len);
  bool found = lua_rawget(L, -2) == LUA_TFUNCTION;
  lua_replace(L, -3);
  lua_pop(L, 1);
  return found;
}

static int call_function(lua_State *L, const call *from) {
  call *c = begin_call(L, from);
  lua_pushvalue(L, KWARGS);
  lua_pushvalue(L, EDGE);
  return returned(L, lua_pcallk(L, 2, 2, GUARD, (lua_KContext)c, returned), (lua_KContext)c);
}

static int enter_call(lua_State *L) {
  struct incoming *in = lua_touserdata(L, CALL);
  const call *c = &in->call;
  if (!read_request(L, in) || !c->node->core) return 0;
  set_where(in);
  if (!lua_istable(L, KWARGS)) lua_newtable(L), chaski__mark(L, -1, CHASKI_KIND_MAP), lua_replace(L, KWARGS);
  chaski__push_node(L, c->node);
  chaski__push_edge(L, c->node, c->edge);
  lua_pushcfunction(L, guard);
  if (!is_set_up(c->node)) set_up(L, c->node);
  chaski__push_refs(L, c->node);
  if (!c->node->core) return 0;
  if (limit_met(L, c))
    refuse(L, c, "busy", chaski_slice_str("too many calls"));
  else if (push_function(L, c))
    return call_function(L, c);
  else
    return refuse_unknown(L, c);
  return 0;
}

void chaski__receive_request(chaski_lua_node *n, chaski_edge *edge, const chaski_message *m) {
  struct incoming in = {.call = {.node = n, .edge = chaski__living_edge(n, edge)}, .message = m, .where = WHERE};
  if (!n->anchors) return;
  chaski__hold_both(n, in.call.edge);
  chaski__run_handler(n->rt, enter_call, &in, in.where, NULL, n);
  chaski__release_both(n, in.call.edge);
}

void chaski__free_serving(chaski_lua_node *n) {
  chaski__free(n->serving);
  n->serving = NULL;
}

/* (fn): fn(node) -> a table callback -> function, and the buckets of the calls of edges */
static int set_serving(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &setup_key);
  return 0;
}

void chaski__open_serve(lua_State *L) {
  static const luaL_Reg functions[] = {{"set_serving", set_serving}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, over);
  lua_setfield(L, -2, "__close");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &call_key);
}
