/* subscription.c: what the node does with a message that has come: enter a handler, at once if it is idle, or put it
 * into the subscription's inbox. One subscription may have several topics, or be the handler of one command; without a
 * handler it is read by node:messages. See binding.h. SPDX-License-Identifier: MIT */
#include "../core/alloc.h"
#include "binding.h"
#include "error.h"
#include "running.h"
#include "task.h"

#define CLASS "chaski.subscription"
#define WHERE "handler of "

enum overflow { DROP_NEW, DROP_OLD, DISCONNECT, BLOCK };

typedef struct topic {
  chaski_subscription *core;
  char *name;
  size_t len;
} topic;

struct chaski_lua_sub {
  chaski_lua_sub *next, **link; /* in its node's list while active */
  chaski_lua_node *node;        /* NULL once removed */
  unsigned refs;                /* of the node, of the handle, of upcalls under way; tasks hold the handle */
  bool pull, passive, command;
  enum overflow overflow;
  int handler, guard, inbox; /* in the node's refs; inbox: message, edge, message, edge, ... */
  lua_Integer head, tail;    /* the inbox holds positions head + 1 .. tail */
  lua_Integer inbox_max;
  uint32_t running, concurrency;
  chaski_waiter *waiting; /* who reads, node:messages */
  chaski_edge **paused;   /* held; overflow BLOCK */
  size_t paused_count;
  char *where;
  size_t topic_count;
  topic topics[];
};

typedef struct delivery { /* one message on its way into Lua; message NULL: the inbox's first */
  chaski_lua_sub *sub;
  chaski_edge *edge;
  const chaski_message *message;
  chaski_message *next; /* room for the one behind it, if that may be taken too */
} delivery;

/* --- life ------------------------------------------------------------------------------------------------------- */
static void release(chaski_lua_sub *s) {
  if (--s->refs) return;
  for (size_t i = 0; i < s->topic_count; i++) chaski__free(s->topics[i].name);
  chaski__free(s->paused);
  chaski__free(s->where);
  chaski__free(s);
}

static void unlink_sub(chaski_lua_sub *s) {
  if (!s->link) return;
  *s->link = s->next;
  if (s->next) s->next->link = s->link;
  s->link = NULL;
}

static void link_sub(chaski_lua_node *n, chaski_lua_sub *s) {
  chaski_lua_sub **list = &n->subs;
  while (*list) list = &(*list)->next;
  s->link = list;
  *list = s;
  s->node = n;
  s->refs++;
}

/* In a finalizer the node's refs are gone, and with them all that is in there. */
static void drop_refs(chaski_lua_sub *s) {
  lua_State *L = s->node->rt->L;
  if (L && lua_checkstack(L, LUA_MINSTACK)) {
    chaski__push_refs(L, s->node);
    if (lua_istable(L, -1)) {
      luaL_unref(L, -1, s->handler);
      luaL_unref(L, -1, s->guard);
      luaL_unref(L, -1, s->inbox);
    }
    lua_pop(L, 1);
  }
  s->handler = s->guard = s->inbox = LUA_NOREF;
}

static void resume_edges(chaski_lua_sub *s) {
  while (s->paused_count) {
    chaski_edge *edge = s->paused[--s->paused_count];
    if (chaski_edge_live(edge)) chaski_edge_resume(edge);
    chaski_edge_release(edge);
  }
}

static chaski_slice name_of(const topic *t) {
  return chaski_slice_of(t->name, t->len);
}

static void leave_core(chaski_lua_sub *s, topic *t) {
  chaski_node *core = s->node->core;
  if (core && t->core)
    chaski_subscription_remove(t->core);
  else if (core && s->command)
    chaski_node_handle(core, name_of(t), NULL);
  t->core = NULL;
}

static lua_Integer waiting_count(const chaski_lua_sub *s) {
  return s->tail - s->head;
}

/* Take it from its node; tasks under way go on. */
static void detach(chaski_lua_sub *s) {
  const chaski_runtime *rt;
  if (!s->node) return;
  rt = s->node->rt;
  s->node->abandoned += (uint64_t)waiting_count(s);
  for (size_t i = 0; i < s->topic_count; i++) leave_core(s, &s->topics[i]);
  resume_edges(s);
  unlink_sub(s);
  drop_refs(s);
  s->node = NULL;
  s->head = s->tail = 0;
  s->refs++;
  if (rt->L) chaski__waiters_wake(&s->waiting, NULL, NULL);
  release(s);
  release(s);
}

/* --- the inbox -------------------------------------------------------------------------------------------------- */
static void push_ref(lua_State *L, const chaski_lua_sub *s, int ref) {
  chaski__push_refs(L, s->node);
  lua_rawgeti(L, -1, ref);
  lua_remove(L, -2);
}

/* Push message and edge of the first, and take it out. */
static void pop_inbox(lua_State *L, chaski_lua_sub *s) {
  int table = lua_gettop(L) + 1;
  lua_Integer at = ++s->head;
  luaL_checkstack(L, 6, NULL);
  push_ref(L, s, s->inbox);
  lua_rawgeti(L, table, 2 * at - 1);
  lua_rawgeti(L, table, 2 * at);
  lua_pushnil(L);
  lua_rawseti(L, table, 2 * at - 1);
  lua_pushnil(L);
  lua_rawseti(L, table, 2 * at);
  lua_remove(L, table);
  if (s->head == s->tail) s->head = s->tail = 0;
  if (s->paused_count && waiting_count(s) <= s->inbox_max / 2) resume_edges(s);
}

static void push_inbox(lua_State *L, const delivery *d) {
  chaski_lua_sub *s = d->sub;
  int table = lua_gettop(L) + 1;
  push_ref(L, s, s->inbox);
  chaski__push_message(L, s->node, d->edge, d->message);
  chaski__push_edge(L, s->node, d->edge);
  lua_rawseti(L, table, 2 * s->tail + 2);
  lua_rawseti(L, table, 2 * s->tail + 1);
  s->tail++;
  lua_settop(L, table - 1);
}

static bool is_paused(const chaski_lua_sub *s, const chaski_edge *edge) {
  for (size_t i = 0; i < s->paused_count; i++)
    if (s->paused[i] == edge) return true;
  return false;
}

static void pause_edge(chaski_lua_sub *s, chaski_edge *edge) {
  chaski_edge **paused;
  if (!edge || !chaski_edge_live(edge) || is_paused(s, edge)) return;
  paused = chaski__realloc(s->paused, (s->paused_count + 1) * sizeof *paused);
  if (!paused) return; /* the inbox grows by what this edge sends: better than a loss */
  s->paused = paused;
  chaski_edge_hold(edge);
  s->paused[s->paused_count++] = edge;
  chaski_edge_pause(edge);
}

static void drop_first(lua_State *L, chaski_lua_sub *s, const char *reason) {
  int top = lua_gettop(L);
  pop_inbox(L, s);
  chaski__emit_undelivered(L, s->node, chaski__test_edge(L, top + 2),
                           &((chaski_lua_message *)lua_touserdata(L, top + 1))->m, reason);
  lua_settop(L, top);
}

/* What waits will not be handled. Listeners run meanwhile and may remove the subscription. */
static void abandon(lua_State *L, chaski_lua_sub *s) {
  while (s->node && waiting_count(s) > 0) {
    s->node->abandoned++;
    drop_first(L, s, "stopped");
  }
}

static void remove_sub(lua_State *L, chaski_lua_sub *s) {
  s->refs++;
  if (s->node && s->node->anchors) abandon(L, s);
  detach(s);
  release(s);
}

static int abandon_inbox(lua_State *L) {
  abandon(L, lua_touserdata(L, 1));
  return 0;
}

/* The inbox is full: true if the message is to be put into it all the same. */
static bool make_room(lua_State *L, const delivery *d) {
  chaski_lua_sub *s = d->sub;
  switch (s->overflow) {
  case BLOCK:
    return true;
  case DROP_OLD:
    s->node->inbox_dropped++;
    drop_first(L, s, "inbox");
    return s->node != NULL;
  case DISCONNECT:
    chaski_edge_close(d->edge, CHASKI_ESLOW, false);
    break;
  case DROP_NEW:
    break;
  }
  s->node->inbox_dropped++;
  chaski__emit_undelivered(L, s->node, d->edge, d->message, "inbox");
  return false;
}

static int enqueue(lua_State *L) {
  const delivery *d = lua_touserdata(L, 1);
  chaski_lua_sub *s = d->sub;
  luaL_checkstack(L, 12, NULL);
  if (waiting_count(s) >= s->inbox_max && !make_room(L, d)) return 0;
  push_inbox(L, d);
  if (s->node && s->overflow == BLOCK && waiting_count(s) >= s->inbox_max) pause_edge(s, d->edge);
  return 0;
}

/* --- the handler ------------------------------------------------------------------------------------------------ */
/* Message handler of the protected call, where the stack is still whole. Upvalue: the handle, which thereby lives as
 * long as a task that has this function on its stack. */
static int guard(lua_State *L) {
  chaski_lua_sub *s = *(chaski_lua_sub **)lua_touserdata(L, lua_upvalueindex(1));
  lua_settop(L, 1);
  if (chaski__is_cancel(L, 1)) return 1;
  lua_pushvalue(L, 1);
  chaski__report_error(chaski__runtime(L), L, s->where);
  return 1;
}

/* For want of memory Lua calls no message handler. */
static void report_no_memory(lua_State *L, const chaski_lua_sub *s) {
  lua_pushvalue(L, -1);
  chaski__report_error(chaski__runtime(L), L, s->where);
}

static int handled(lua_State *L, int status, lua_KContext ctx) {
  chaski_lua_sub *s = (chaski_lua_sub *)ctx;
  if (status != LUA_OK && status != LUA_YIELD) chaski__entry_again(chaski__runtime(L));
  if (status == LUA_ERRMEM) report_no_memory(L, s);
  if (status != LUA_OK && status != LUA_YIELD && s->node && !chaski__is_cancel(L, lua_gettop(L))) {
    lua_pushstring(L, s->where);
    chaski__emit(L, s->node, CHASKI_ON_HANDLER_ERROR, 2);
  }
  lua_pushvalue(L, 2); /* the guard: `ended` still needs the subscription */
  return 1;
}

/* The handler came back at once, so that this task may handle the next message as well. */
static bool take_next(delivery *d) {
  const chaski_lua_sub *s = d->sub;
  if (!d->next || !d->edge || !s->node || !s->node->rt->L || waiting_count(s) > 0) return false;
  if (!chaski__task_unused(s->node->rt) || !chaski_edge_next_message(d->edge, d->next)) return false;
  chaski__entry_next(s->node->rt);
  d->message = d->next;
  return true;
}

enum { GUARD = 2, HANDLER, EDGE };

/* On the stack: the guard, the handler and the edge. */
static int handle(lua_State *L, delivery *d) {
  chaski_lua_sub *s = d->sub;
  int status;
  do {
    lua_settop(L, EDGE);
    lua_pushvalue(L, HANDLER);
    chaski__push_message(L, s->node, d->edge, d->message);
    lua_pushvalue(L, EDGE);
    status = lua_pcallk(L, 2, 0, GUARD, (lua_KContext)s, handled);
  } while (status == LUA_OK && take_next(d));
  return handled(L, status, (lua_KContext)s);
}

static int enter_handler(lua_State *L) {
  delivery *d = lua_touserdata(L, 1);
  chaski_lua_sub *s = d->sub;
  lua_rawgeti(L, LUA_REGISTRYINDEX, s->node->refs);
  lua_rawgeti(L, 2, s->handler);
  lua_rawgeti(L, 2, s->guard);
  lua_replace(L, GUARD);
  if (d->message) {
    chaski__push_edge(L, s->node, d->edge);
    return handle(L, d);
  }
  pop_inbox(L, s);
  return handled(L, lua_pcallk(L, 2, 0, GUARD, (lua_KContext)s, handled), (lua_KContext)s);
}

static void ended(void *owner, chaski_task *task, int status, lua_State *co);

/* The subscription is held by the caller. */
static void start(delivery *d) {
  chaski_lua_sub *s = d->sub;
  const chaski_task_end end = {ended, s};
  s->running++;
  if (!chaski__run_handler(s->node->rt, enter_handler, d, s->where, &end, s->node)) s->running--;
}

static void drain(chaski_lua_sub *s) {
  s->refs++;
  while (s->node && s->node->anchors && waiting_count(s) > 0 && s->running < s->concurrency) {
    lua_Integer before = s->head;
    start(&(delivery){s, NULL, NULL, NULL});
    if (s->head == before && waiting_count(s) > 0) break; /* out of memory */
  }
  release(s);
}

static void ended(void *owner, chaski_task *task, int status, lua_State *co) {
  chaski_lua_sub *s = owner;
  (void)task, (void)status, (void)co;
  s->running--;
  drain(s);
}

static int push_first(lua_State *co, void *ctx) {
  chaski_lua_sub *s = ctx;
  if (!s->node || waiting_count(s) == 0) return 0;
  pop_inbox(co, s);
  return 2;
}

static void deliver(delivery *d) {
  chaski_lua_sub *s = d->sub;
  if (!s->pull && s->running < s->concurrency && waiting_count(s) == 0) {
    start(d);
    return;
  }
  chaski__enter(s->node->rt, enqueue, d);
  if (s->node && s->waiting && waiting_count(s) > 0) chaski__waiter_wake(s->waiting, push_first, s);
}

void chaski__sub_message(void *user, void *sub, chaski_edge *edge, const chaski_message *m) {
  chaski_lua_sub *s = sub;
  (void)user;
  chaski_message next;
  if (!s->node || !s->node->rt->L) return;
  s->refs++;
  deliver(&(delivery){s, edge, m, &next});
  release(s);
}

/* --- the node's end --------------------------------------------------------------------------------------------- */
/* Readers may still read what has come; who is woken, or told, may change the list: from the start again, unless the
 * node was run again. */
void chaski__subs_stopped(chaski_lua_node *n) {
  chaski_lua_sub *s = n->subs;
  while (s && n->core && !chaski_node_running(n->core)) {
    bool waits = s->waiting != NULL, full = !s->pull && waiting_count(s) > 0;
    s->refs++;
    if (waits) chaski__waiters_wake(&s->waiting, NULL, NULL);
    if (full && (!chaski__enter(n->rt, abandon_inbox, s))) s->head = s->tail = 0;
    release(s);
    s = waits || full ? n->subs : s->next;
  }
}

void chaski__subs_close(chaski_lua_node *n, bool wake) {
  while (n->subs) {
    if (!wake) chaski__waiters_forget(&n->subs->waiting);
    detach(n->subs);
  }
}

/* --- making ----------------------------------------------------------------------------------------------------- */
static chaski_lua_sub *check_sub(lua_State *L) {
  return *(chaski_lua_sub **)luaL_checkudata(L, 1, CLASS);
}

/* The handle of a new subscription for `count` topics, empty; pushed. */
static chaski_lua_sub *new_sub(lua_State *L, size_t count) {
  chaski_lua_sub **box = lua_newuserdatauv(L, sizeof *box, 0), *s;
  *box = NULL;
  luaL_setmetatable(L, CLASS);
  *box = s = chaski__calloc(1, sizeof *s + count * sizeof *s->topics);
  if (!s) luaL_error(L, "out of memory");
  s->refs = 1;
  s->handler = s->guard = s->inbox = LUA_NOREF;
  return s;
}

static void add_topic(lua_State *L, chaski_lua_sub *s, int idx) {
  topic *t = &s->topics[s->topic_count];
  size_t len;
  const char *name = lua_tolstring(L, idx, &len);
  t->name = chaski__strndup(name, len);
  t->len = len;
  if (!t->name) luaL_error(L, "out of memory");
  s->topic_count++;
}

static void add_topics(lua_State *L, chaski_lua_sub *s, int list) {
  for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, list); i++) {
    lua_rawgeti(L, list, i);
    luaL_argcheck(L, lua_type(L, -1) == LUA_TSTRING, list, "a topic is a string");
    add_topic(L, s, -1);
    lua_pop(L, 1);
  }
}

static void set_where(lua_State *L, chaski_lua_sub *s) {
  const char *text =
      lua_pushfstring(L, WHERE "%s%s", s->topic_count ? s->topics[0].name : "", s->topic_count > 1 ? ", ..." : "");
  s->where = chaski__strndup(text, strlen(text));
  lua_pop(L, 1);
  if (!s->where) luaL_error(L, "out of memory");
}

/* The references of one that takes messages: handler (or nothing), guard, inbox. */
static void set_refs(lua_State *L, chaski_lua_sub *s, int handler, int handle) {
  lua_getiuservalue(L, 1, 2);
  lua_newtable(L);
  s->inbox = luaL_ref(L, -2);
  if (!s->pull) {
    lua_pushvalue(L, handle);
    lua_pushcclosure(L, guard, 1);
    s->guard = luaL_ref(L, -2);
    lua_pushvalue(L, handler);
    s->handler = luaL_ref(L, -2);
  }
  lua_pop(L, 1);
}

static void read_options(lua_State *L, chaski_lua_sub *s, const chaski_lua_node *n, int options) {
  static const char *const overflows[] = {"drop_new", "drop_old", "disconnect", "block", NULL};
  lua_Integer inbox = (lua_Integer)chaski_node_limits(n->core)->inbox_max;
  lua_getfield(L, options, "overflow");
  s->overflow = (enum overflow)luaL_checkoption(L, -1, "drop_new", overflows);
  lua_pop(L, 1);
  s->inbox_max = chaski__opt_integer(L, options, "inbox", 1, 1000000, inbox);
  s->concurrency = (uint32_t)chaski__opt_integer(L, options, "concurrency", 1, 1000000, 1);
  s->command = chaski__opt_bool(L, options, "command", false);
}

static int join_core(chaski_lua_sub *s, topic *t) {
  chaski_node *core = s->node->core;
  if (s->command) return chaski_node_handle(core, name_of(t), s);
  int rc = chaski_node_subscribe(core, name_of(t), s, &t->core);
  if (rc == CHASKI_OK && s->passive) chaski_subscription_silence(t->core);
  return rc;
}

static int join(chaski_lua_sub *s, const topic **failed) {
  for (size_t i = 0; i < s->topic_count; i++) {
    int rc = join_core(s, &s->topics[i]);
    *failed = &s->topics[i];
    if (rc != CHASKI_OK) return rc;
  }
  return CHASKI_OK;
}

/* A command has one handler: the one before goes. */
static void replace_command(chaski_lua_node *n, chaski_slice name) {
  for (chaski_lua_sub *s = n->subs; s; s = s->next) {
    if (!s->command || !chaski_slice_equal(name_of(&s->topics[0]), name)) continue;
    detach(s);
    return;
  }
}

/* (node, topics, handler | "pull" | "passive", options) -> handle, or nil and why not: a text for the script's mistake,
 * an error when its certificate does not allow it. lua/chaski has checked topics and options. */
static int subscribe(lua_State *L) {
  chaski_lua_node *n = chaski__open_node_arg(L, 1);
  const topic *failed = NULL;
  chaski_lua_sub *s;
  int rc;
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 4, LUA_TTABLE);
  lua_settop(L, 4);
  s = new_sub(L, lua_rawlen(L, 2));
  s->pull = lua_type(L, 3) == LUA_TSTRING && strcmp(lua_tostring(L, 3), "pull") == 0;
  s->passive = !s->pull && !lua_isfunction(L, 3);
  read_options(L, s, n, 4);
  add_topics(L, s, 2);
  set_where(L, s);
  if (!s->passive) set_refs(L, s, 3, 5);
  if (s->command) replace_command(n, name_of(&s->topics[0]));
  link_sub(n, s);
  rc = join(s, &failed);
  if (rc == CHASKI_OK) return 1;
  detach(s);
  if (!s->command && (rc == CHASKI_EINVAL || rc == CHASKI_ETOOBIG)) {
    lua_pushnil(L);
    lua_pushfstring(L, "node:subscribe: %s", chaski__push_topic_fault(L, n->core, name_of(failed)));
    lua_remove(L, -2);
    return 2;
  }
  lua_pushfstring(L, "%s '%s'", s->command ? "node:handle: command" : "node:subscribe: topic", failed->name);
  if (rc == CHASKI_EFORBIDDEN) return chaski__fail(L, rc, lua_tostring(L, -1), ""); /* no mistake of the script's */
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", lua_tostring(L, -2), chaski_error_text(rc));
  return 2;
}

/* --- methods ---------------------------------------------------------------------------------------------------- */
static int sub_remove(lua_State *L) {
  chaski_lua_sub *s = check_sub(L);
  if (s) remove_sub(L, s);
  return 0;
}

static int sub_gc(lua_State *L) {
  chaski_lua_sub **box = luaL_checkudata(L, 1, CLASS), *s = *box;
  *box = NULL;
  if (!s) return 0;
  if (!s->link) s->node = NULL; /* never got that far */
  release(s);
  return 0;
}

static int get_active(lua_State *L) {
  chaski_lua_sub *s = check_sub(L);
  lua_pushboolean(L, s && s->node);
  return 1;
}

static int get_waiting(lua_State *L) {
  chaski_lua_sub *s = check_sub(L);
  lua_pushinteger(L, s ? waiting_count(s) : 0);
  return 1;
}

static int get_topics(lua_State *L) {
  chaski_lua_sub *s = check_sub(L);
  lua_newtable(L);
  for (size_t i = 0; s && i < s->topic_count; i++) {
    lua_pushlstring(L, s->topics[i].name, s->topics[i].len);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static int sub_tostring(lua_State *L) {
  chaski_lua_sub *s = check_sub(L);
  const char *name = s && s->where ? s->where + strlen(WHERE) : "";
  lua_pushfstring(L, "subscription(%s%s)", name, s && s->node ? "" : ", removed");
  return 1;
}

/* (pull subscription, seconds): message, edge; nothing when the node has stopped or is removed; nil, err on timeout */
static int next_message(lua_State *L) {
  chaski_lua_sub *s = check_sub(L);
  double seconds = luaL_optnumber(L, 2, -1);
  chaski_runtime *rt = chaski__runtime(L);
  lua_settop(L, 2);
  chaski__check_task(L, "node:messages");
  if (!s || !s->node) return 0;
  chaski__check_world(L, s->node, "node:messages");
  if (waiting_count(s) > 0) return push_first(L, s);
  if (!s->node->core || !chaski_node_running(s->node->core)) return 0;
  return chaski__park(L, rt, seconds, chaski__waiter_free,
                      chaski__waiter_new(L, rt, &s->waiting, sizeof(chaski_waiter)));
}

/* Take a topic from a subscription; the last one takes the subscription with it. False: it did not have it. */
static bool leave_topic(lua_State *L, chaski_lua_sub *s, chaski_slice name) {
  bool had = false, left = false;
  for (size_t i = 0; i < s->topic_count; i++) {
    topic *t = &s->topics[i];
    bool it = t->core && chaski_slice_equal(name_of(t), name);
    if (it) leave_core(s, t);
    had = had || it;
    left = left || t->core;
  }
  if (had && !left) remove_sub(L, s);
  return had;
}

/* (node, topic) */
static int unsubscribe(lua_State *L) {
  chaski_lua_node *n = chaski__open_node_arg(L, 1);
  chaski_slice name = chaski__check_slice(L, 2);
  chaski_lua_sub *s = n->subs;
  while (s) s = !s->command && leave_topic(L, s, name) ? n->subs : s->next;
  return 0;
}

void chaski__open_subscription(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"subscribe", subscribe}, {"unsubscribe", unsubscribe}, {"next_message", next_message}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"remove", sub_remove}, {NULL, NULL}};
  static const luaL_Reg getters[] = {
      {"active", get_active}, {"waiting", get_waiting}, {"topics", get_topics}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__gc", sub_gc}, {"__close", sub_remove}, {"__tostring", sub_tostring}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
  chaski__class(L, CLASS, meta, methods, getters);
  lua_setfield(L, -4, "subscription_fields");
  lua_pop(L, 2);
}
