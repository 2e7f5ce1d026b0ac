/* request.c: asking other nodes: node:request, and the answers that come. Who asks waits until one of those asked has
 * answered, or all have failed or are gone, or the time is over. See requests.h. SPDX-License-Identifier: MIT */
#include "../core/alloc.h"
#include "../core/uuid.h"
#include "error.h"
#include "requests.h"
#include "task.h"

#define WHERE "node:request"
#define TIMEOUT 5 /* s */
#define SECONDS_MAX 1e9
#define FIRST_BUCKETS 16
#define BUCKETS_KEPT 256 /* more are given back when nothing is under way */

typedef struct question {
  struct question *prev, *next; /* of its node, in the order in which they were asked, which is that of their ids */
  struct question *other;       /* in the same bucket */
  chaski_lua_node *node;
  chaski_task *task; /* held; NULL once woken */
  uint64_t wait;
  char id[CHASKI_UUID_TEXT];
  size_t asked;
  chaski_edge *edges[]; /* asked, held; who fails is taken out */
} question;

struct chaski_questions {
  question *first, *last;
  question **buckets; /* by id; `size` of them, a power of two, or none */
  size_t size, count;
};

/* --- what is under way ------------------------------------------------------------------------------------------ */
/* Ids of one node differ in their last digits. */
static question **bucket_of(const struct chaski_questions *all, const char *id) {
  uint64_t digits;
  memcpy(&digits, id + CHASKI_UUID_TEXT - sizeof digits, sizeof digits);
  digits ^= digits >> 32; /* the last ones differ most, wherever the byte order puts them */
  return &all->buckets[(digits * UINT64_C(0x9e3779b97f4a7c15)) >> 32 & (all->size - 1)];
}

static void put_into_bucket(struct chaski_questions *all, question *q) {
  question **bucket = bucket_of(all, q->id);
  q->other = *bucket;
  *bucket = q;
}

static bool grow(struct chaski_questions *all) {
  size_t size = all->size ? 2 * all->size : FIRST_BUCKETS;
  question **buckets = chaski__calloc(size, sizeof *buckets);
  if (!buckets) return all->size > 0; /* what there is will do */
  chaski__free(all->buckets);
  all->buckets = buckets;
  all->size = size;
  for (question *q = all->first; q; q = q->next) put_into_bucket(all, q);
  return true;
}

static bool link_question(chaski_lua_node *n, question *q) {
  struct chaski_questions *all = n->questions;
  if (!all && !(n->questions = all = chaski__calloc(1, sizeof *all))) return false;
  if (all->count >= all->size && !grow(all)) return false;
  put_into_bucket(all, q);
  q->prev = all->last;
  *(all->last ? &all->last->next : &all->first) = q;
  all->last = q;
  all->count++;
  q->node = n;
  return true;
}

static void unlink_question(question *q) {
  struct chaski_questions *all = q->node->questions;
  question **at = bucket_of(all, q->id);
  while (*at != q) at = &(*at)->other;
  *at = q->other;
  *(q->prev ? &q->prev->next : &all->first) = q->next;
  *(q->next ? &q->next->prev : &all->last) = q->prev;
  q->node = NULL;
  if (--all->count > 0 || all->size <= BUCKETS_KEPT) return;
  chaski__free(all->buckets);
  all->buckets = NULL;
  all->size = 0;
}

static question *find_question(const chaski_lua_node *n, chaski_slice id) {
  const struct chaski_questions *all = n->questions;
  if (!all || !all->size || id.len != CHASKI_UUID_TEXT) return NULL;
  question *q = *bucket_of(all, (const char *)id.ptr);
  while (q && memcmp(q->id, id.ptr, id.len) != 0) q = q->other;
  return q;
}

static void free_question(void *question_) { /* fits chaski__park's cleanup */
  question *q = question_;
  if (q->node) unlink_question(q);
  while (q->asked) chaski_edge_release(q->edges[--q->asked]);
  if (q->task) chaski__task_release(q->task);
  chaski__free(q);
}

/* For at most so many edges. Raises when out of memory. */
static question *new_question(lua_State *L, chaski_lua_node *n, const char *id, size_t edges) {
  question *q = chaski__calloc(1, sizeof *q + edges * sizeof *q->edges);
  if (!q) luaL_error(L, WHERE ": out of memory");
  memcpy(q->id, id, sizeof q->id);
  if (link_question(n, q)) return q;
  free_question(q);
  luaL_error(L, WHERE ": out of memory");
  return NULL;
}

static bool asks(const question *q, const chaski_edge *edge) {
  for (size_t i = 0; i < q->asked; i++)
    if (q->edges[i] == edge) return true;
  return false;
}

static void forget_edge(question *q, chaski_edge *edge) {
  size_t i = 0;
  while (q->edges[i] != edge) i++;
  q->edges[i] = q->edges[--q->asked];
  chaski_edge_release(edge);
}

/* Over: the values on top are what node:request returns. */
static void finish(lua_State *L, question *q, int values, bool later) {
  chaski_runtime *rt = q->node->rt;
  chaski_task *task = q->task;
  uint64_t wait = q->wait;
  q->task = NULL;
  free_question(q);
  chaski__wake_values(rt, task, wait, L, values, later);
  chaski__task_release(task);
}

/* The edge has failed, or is gone, and the error on top, which stays, says why; the question has failed when nobody is
 * left. */
static void fail_one(lua_State *L, question *q, chaski_edge *edge, bool later) {
  forget_edge(q, edge);
  if (q->asked) return;
  luaL_checkstack(L, 2, NULL);
  lua_pushnil(L);
  lua_pushvalue(L, -2);
  finish(L, q, 2, later);
}

void chaski__free_questions(chaski_lua_node *n) {
  struct chaski_questions *all = n->questions;
  if (!all) return;
  while (all->first) unlink_question(all->first); /* nobody asks any more: a task that waits knows its node */
  chaski__free(all->buckets);
  chaski__free(all);
  n->questions = NULL;
}

/* --- arguments -------------------------------------------------------------------------------------------------- */
enum { NODE = 1, CALLBACK, KWARGS, OPTIONS }; /* the method's stack */
enum {
  UP_CORE = 1,
  UP_CHECK,
  UP_ARGUMENTS,
  UP_ASK_BY_HAND,
  UP_WRITE,
  UP_CLASS
}; /* and its upvalues: the module table, Lua functions, "write", the metatable of nodes */

struct options {
  double timeout;
  chaski_edge *edge; /* NULL: all */
};

/* The option on top, of this name; false if it is wrong. Behind the options there is room for the edge. */
static bool read_option(lua_State *L, const chaski_runtime *rt, const char *name, struct options *o) {
  if (strcmp(name, "edge") == 0) {
    lua_pushvalue(L, -1);
    lua_replace(L, OPTIONS + 1);
    return (o->edge = chaski__edge_at(L, rt, -1)) != NULL;
  }
  if (strcmp(name, "timeout") != 0 || lua_type(L, -1) != LUA_TNUMBER) return false;
  o->timeout = lua_tonumber(L, -1);
  return o->timeout >= 0 && o->timeout <= SECONDS_MAX;
}

/* False: a mistake, or a table that is more than one. Else the edge takes the place of the options: a metamethod of
 * kwargs may take it out of them. */
static bool read_options(lua_State *L, const chaski_runtime *rt, struct options *o) {
  if (lua_isnil(L, OPTIONS)) return true;
  if (!lua_istable(L, OPTIONS) || lua_getmetatable(L, OPTIONS)) return false;
  lua_settop(L, OPTIONS + 1);
  for (lua_pushnil(L); lua_next(L, OPTIONS); lua_pop(L, 1))
    if (lua_type(L, -2) != LUA_TSTRING || !read_option(L, rt, lua_tostring(L, -2), o)) return false;
  lua_replace(L, OPTIONS);
  return true;
}

/* Raise what was raised on the line that asks. */
static int blame_caller(lua_State *L) {
  if (lua_type(L, -1) != LUA_TSTRING) return lua_error(L);
  luaL_where(L, 1);
  lua_insert(L, -2);
  lua_concat(L, 2);
  return lua_error(L);
}

/* In lua/chaski, which finds the words for mistakes: (callback, kwargs, options) -> timeout, edge. */
static void check_at_length(lua_State *L, struct options *o) {
  lua_settop(L, OPTIONS);
  lua_pushvalue(L, lua_upvalueindex(UP_CHECK));
  for (int i = CALLBACK; i <= OPTIONS; i++) lua_pushvalue(L, i);
  if (lua_pcall(L, 3, 2, 0) != LUA_OK) blame_caller(L);
  o->timeout = lua_tonumber(L, -2);
  o->edge = lua_isnil(L, -1) ? NULL : chaski__check_edge(L, lua_gettop(L));
  lua_replace(L, OPTIONS); /* anchors the edge */
}

static struct options check_arguments(lua_State *L, const chaski_runtime *rt) {
  struct options o = {TIMEOUT, NULL};
  bool good = lua_type(L, CALLBACK) == LUA_TSTRING && lua_rawlen(L, CALLBACK) > 0 &&
              (lua_isnil(L, KWARGS) || lua_istable(L, KWARGS)) && read_options(L, rt, &o);
  if (!good) check_at_length(L, &o);
  lua_settop(L, OPTIONS);
  return o;
}

/* kwargs as what is packed as a map, whatever it is. A metamethod of the script's may run. */
static void make_map(lua_State *L) {
  if (lua_istable(L, KWARGS) && lua_rawlen(L, KWARGS) == 0 && !lua_getmetatable(L, KWARGS)) return;
  lua_settop(L, OPTIONS);
  lua_pushvalue(L, lua_upvalueindex(UP_ARGUMENTS));
  lua_pushvalue(L, KWARGS);
  lua_call(L, 1, 1);
  lua_replace(L, KWARGS);
}

/* --- asking ----------------------------------------------------------------------------------------------------- */
static int fail(lua_State *L, int rc, const chaski_edge *edge) {
  const char *callback = lua_tostring(L, CALLBACK), *code = chaski_error_name(rc);
  lua_pushnil(L);
  if (rc == CHASKI_ENOEDGE)
    chaski__push_error(L, code, WHERE " %s: the edge to %s has ended", callback, chaski_edge_name(edge));
  else
    chaski__push_error(L, code, WHERE " %s: %s", callback, chaski_error_text(rc));
  return 2;
}

static int fail_without_edge(lua_State *L) {
  lua_pushnil(L);
  chaski__push_error(L, chaski_error_name(CHASKI_ENOEDGE), WHERE " %s: there is no live edge",
                     lua_tostring(L, CALLBACK));
  return 2;
}

/* The error of packing is on top. */
static int fail_packing(lua_State *L) {
  lua_getfield(L, -1, "message");
  lua_pushfstring(L, WHERE " %s: %s", lua_tostring(L, CALLBACK), lua_tostring(L, -1));
  lua_setfield(L, -3, "message");
  lua_pop(L, 1);
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

static bool pack_question(lua_State *L, chaski_lua_node *n, const char *id) {
  const chaski_pack_field fields[] = {
      {CHASKI_SLICE("callback"), 0, chaski__check_slice(L, CALLBACK)},
      {CHASKI_SLICE("id"), 0, {(const uint8_t *)id, CHASKI_UUID_TEXT}},
      {CHASKI_SLICE("kwargs"), KWARGS, {NULL, 0}},
  };
  return chaski__pack_map(L, fields, 3, n->packer, &n->pack, "data") == CHASKI_OK;
}

static bool writes_by_hand(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(UP_WRITE));
  lua_rawget(L, lua_upvalueindex(UP_CORE));
  bool ours = lua_tocfunction(L, -1) == chaski__write_command;
  lua_pop(L, 1);
  return !ours;
}

/* Write what was packed; CHASKI_OK, and the edge is asked. */
static int write_to(question *q, chaski_edge *edge) {
  const chaski_lua_node *n = q->node;
  int rc = chaski_node_write(n->core, chaski_slice_str(CHASKI_REQUEST), chaski_slice_of(NULL, 0),
                             chaski_slice_of(n->packer->ptr, n->packer->len), edge);
  if (rc != CHASKI_OK) return rc;
  q->edges[q->asked++] = edge;
  chaski_edge_hold(edge);
  return CHASKI_OK;
}

/* As write_to, to all; or why the last did not take it. No edge comes or goes meanwhile. */
static int write_to_all(question *q, chaski_edge **failed) {
  int why = CHASKI_OK;
  chaski_edge *edge;
  for (size_t i = 0; (edge = chaski_node_edge_at(q->node->core, i)); i++) {
    int rc = write_to(q, edge);
    if (rc != CHASKI_OK) why = rc, *failed = edge;
  }
  return q->asked ? CHASKI_OK : why;
}

/* The question, asked of somebody; or NULL, and nil and the error are pushed. */
static question *ask(lua_State *L, chaski_lua_node *n, const struct options *o) {
  char id[CHASKI_UUID_TEXT];
  chaski_edge *failed = o->edge;
  chaski_node_new_id(n->core, id);
  if (!pack_question(L, n, id)) return fail_packing(L), NULL;
  question *q = new_question(L, n, id, o->edge ? 1 : chaski_node_edge_count(n->core));
  int rc = o->edge ? write_to(q, o->edge) : write_to_all(q, &failed);
  if (rc == CHASKI_OK) return q;
  free_question(q);
  return fail(L, rc, failed), NULL;
}

/* The same for who stands in for core.write, as tests do: in lua/chaski, which gives a list of the edges that were
 * asked, and an error. */
static question *ask_by_hand(lua_State *L, chaski_lua_node *n, const struct options *o) {
  char id[CHASKI_UUID_TEXT];
  chaski_node_new_id(n->core, id);
  lua_pushvalue(L, lua_upvalueindex(UP_ASK_BY_HAND));
  lua_pushlstring(L, id, sizeof id);
  for (int i = NODE; i <= KWARGS; i++) lua_pushvalue(L, i);
  chaski__push_edge(L, n, o->edge);
  lua_call(L, KWARGS + 2, 2);
  size_t count = lua_rawlen(L, OPTIONS + 1);
  if (count == 0) return lua_pushnil(L), lua_insert(L, -2), NULL;
  question *q = new_question(L, n, id, count);
  for (; q->asked < count; lua_pop(L, 1)) {
    lua_rawgeti(L, OPTIONS + 1, (lua_Integer)q->asked + 1);
    q->edges[q->asked] = chaski__test_edge(L, -1);
    chaski_edge_hold(q->edges[q->asked++]);
  }
  return q;
}

static int answered(lua_State *L, int status, lua_KContext base) {
  const chaski_lua_node *n = lua_touserdata(L, NODE);
  if (!chaski__timed_out(n->rt, L)) return chaski__parked(L, status, base);
  lua_pushnil(L);
  chaski__push_error(L, chaski_error_name(CHASKI_ETIMEOUT), WHERE " %s: no answer", lua_tostring(L, CALLBACK));
  return 2;
}

/* As chaski__check_node, which looks the class up by its name. */
static chaski_lua_node *check_asker(lua_State *L) {
  chaski_lua_node *n = lua_touserdata(L, NODE);
  bool is_node = n && lua_getmetatable(L, NODE) && lua_rawequal(L, -1, lua_upvalueindex(UP_CLASS));
  lua_settop(L, OPTIONS);
  return is_node ? n : chaski__check_node(L, NODE);
}

/* node:request(callback [, kwargs [, options]]) */
static int request(lua_State *L) {
  lua_settop(L, OPTIONS);
  chaski_lua_node *n = check_asker(L);
  struct options o = check_arguments(L, n->rt);
  question *q;
  if (!chaski__in_task(n->rt, L)) chaski__check_task(L, WHERE);
  make_map(L);
  if (!o.edge && (!n->core || chaski_node_edge_count(n->core) == 0)) return fail_without_edge(L);
  if (!n->core) return fail(L, CHASKI_ESTOPPED, o.edge);
  chaski__check_world(L, n, "node:write");
  q = writes_by_hand(L) ? ask_by_hand(L, n, &o) : ask(L, n, &o);
  if (!q) return 2;
  lua_settop(L, OPTIONS);
  q->task = chaski__task_hold(n->rt);
  q->wait = chaski__wait(n->rt);
  return chaski__park_then(L, n->rt, o.timeout, free_question, q, answered);
}

/* (check, arguments, ask_by_hand) -> the method; the module table is upvalue 1 */
static int make_request(lua_State *L) {
  for (int i = 1; i <= 3; i++) luaL_checktype(L, i, LUA_TFUNCTION);
  lua_settop(L, 3);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_pushliteral(L, "write");
  luaL_getmetatable(L, CHASKI_NODE_CLASS);
  lua_pushcclosure(L, request, 6);
  return 1;
}

/* --- what comes ------------------------------------------------------------------------------------------------- */
struct response {
  chaski_lua_node *node;
  chaski_edge *edge;
  const chaski_message *message;
};

/* Push a text of the error at idx, cut; nothing if it has none. */
static bool push_text_of(lua_State *L, int idx, const char *field, size_t most) {
  size_t len;
  lua_pushstring(L, field);
  if (lua_rawget(L, idx) == LUA_TSTRING) {
    const char *text = lua_tolstring(L, -1, &len);
    lua_pushlstring(L, text, len < most ? len : most);
    lua_remove(L, -2);
    return true;
  }
  lua_pop(L, 1);
  return false;
}

/* The error that came, at idx, as one of ours; pushed. */
static void push_failure(lua_State *L, int idx, const chaski_edge *edge) {
  luaL_checkstack(L, 8, NULL);
  if (!push_text_of(L, idx, "code", CHASKI_CALLBACK_SHOWN)) lua_pushliteral(L, "failed");
  if (!push_text_of(L, idx, "message", CHASKI_ERROR_SHOWN)) lua_pushvalue(L, -1);
  chaski__push_error(L, lua_tostring(L, -2), WHERE " at %s: %s", chaski_edge_name(edge), lua_tostring(L, -1));
}

static int take_response(lua_State *L) {
  const struct response *r = lua_touserdata(L, 1);
  chaski_unpack_options options = chaski__data_options(r->node);
  chaski_unpack_field fields[] = {
      {CHASKI_SLICE("error"), CHASKI_STRINGS_AUTO, false, false, {NULL, 0}},
      {CHASKI_SLICE("id"), CHASKI_STRINGS_AUTO, true, false, {NULL, 0}},
      {CHASKI_SLICE("response"), options.strings, false, false, {NULL, 0}},
  };
  if (!chaski__unpack_map(L, r->message->data, &options, fields, 3)) {
    chaski__decode_in_vain(L, r->node, r->edge, r->message);
    return 0;
  }
  bool failed = lua_istable(L, 2); /* the error */
  if (failed) push_failure(L, 2, r->edge);
  question *q =
      fields[1].found ? find_question(r->node, fields[1].bytes) : NULL; /* a finalizer may end it until here */
  if (!q || !asks(q, r->edge)) return 0;
  if (failed)
    fail_one(L, q, r->edge, false);
  else
    finish(L, q, 1, false);
  return 0;
}

chaski_edge *chaski__living_edge(const chaski_lua_node *n, chaski_edge *edge) {
  const char *id = chaski_edge_id(edge);
  chaski_edge *each;
  if (chaski_edge_live(edge) || !*id) return edge;
  for (size_t i = 0; n->core && (each = chaski_node_edge_at(n->core, i)); i++)
    if (strcmp(chaski_edge_id(each), id) == 0) return each;
  return edge;
}

void chaski__hold_both(chaski_lua_node *n, chaski_edge *edge) {
  n->anchors++;
  chaski_edge_hold(edge);
}

void chaski__release_both(chaski_lua_node *n, chaski_edge *edge) {
  chaski_edge_release(edge);
  chaski__release_node(n);
}

void chaski__receive_response(chaski_lua_node *n, chaski_edge *edge, const chaski_message *m) {
  struct response r = {n, chaski__living_edge(n, edge), m};
  if (!n->anchors) return;
  chaski__hold_both(n, r.edge);
  chaski__enter(n->rt, take_response, &r);
  chaski__release_both(n, r.edge);
}

/* (node, edge, reason): the edge has ended */
static int fail_requests(lua_State *L) {
  const chaski_lua_node *n = chaski__check_node(L, 1);
  chaski_edge *edge = chaski__check_edge(L, 2);
  const char *reason = luaL_checkstring(L, 3);
  if (!n->questions || !n->questions->count) return 0;
  chaski__push_error(L, chaski_error_name(CHASKI_ELOST), WHERE ": the edge to %s ended (%s)", chaski_edge_name(edge),
                     reason);
  for (question *q = n->questions->first, *next; q; q = next) {
    next = q->next; /* who is woken goes on later */
    if (asks(q, edge)) fail_one(L, q, edge, true);
  }
  return 0;
}

/* --- both commands ---------------------------------------------------------------------------------------------- */
static const chaski_lua_command commands[] = {{CHASKI_REQUEST, chaski__receive_request},
                                              {CHASKI_RESPONSE, chaski__receive_response}};

const chaski_lua_command *chaski__request_command(const void *handler) {
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
    if (handler == &commands[i]) return &commands[i];
  return NULL;
}

bool chaski__take_request_command(chaski_lua_node *n, chaski_slice command) {
  for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
    if (chaski_slice_equal(command, chaski_slice_str(commands[i].name)))
      return chaski_node_handle(n->core, command, (void *)&commands[i]) == CHASKI_OK;
  return false;
}

void chaski__open_request(lua_State *L) {
  static const luaL_Reg functions[] = {{"fail_requests", fail_requests}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, make_request, 1);
  lua_setfield(L, -2, "make_request");
}
