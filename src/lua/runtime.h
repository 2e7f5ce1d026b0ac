/* runtime.h: what all files of the binding share for one lua_State: the loop, the one door into Lua, and tasks.
 *
 * A task is a coroutine run by the host: the main chunk, every handler, every policy call is one. A blocking function
 * parks the current task (chaski__park) and something later wakes it (chaski__wake); whatever wakes it first wins, and
 * the rest find the wait's number stale. Core and net know nothing of this. SPDX-License-Identifier: MIT */
#ifndef CHASKI_LUA_RUNTIME_H
#define CHASKI_LUA_RUNTIME_H

#include "../core/loop.h"
#include "../net/net.h"

#include <lauxlib.h>
#include <lua.h>

typedef struct chaski_task chaski_task;

/* A loop with the nodes and tasks that belong to it: the real one on luv's loop, or a simulation's (sim.c). One is
 * current at a time, and only its tasks run; what wakes a task of another leaves it for that one's next turn. */
typedef struct chaski_world {
  struct chaski_runtime *rt;
  chaski_loop *loop;
  struct chaski_sim *sim;    /* NULL: the real world */
  chaski_task *ready, *last; /* private to task.c from here: to be resumed at the next turn, in this order */
  size_t count;              /* tasks not over */
  chaski_timer turn;
} chaski_world;

typedef struct chaski_tasks { /* private to task.c */
  chaski_task *live;          /* suspended: parked or ready */
  chaski_task *idle;          /* recycled */
  unsigned idles;
  uint64_t waits; /* number of the last wait */
} chaski_tasks;

/* A coroutine that runs now, or waits for one that it has resumed; on the C stack of who resumed it (running.h). */
typedef struct chaski_entry {
  lua_State *L;
  const chaski_task *task; /* NULL: it is no task's own coroutine */
  struct chaski_entry *outer;
  volatile bool hooked; /* from here on private to who watches: the hook of L is not its own, which was: */
  void (*hook)(lua_State *L, lua_Debug *ar);
  int mask, count;
} chaski_entry;

/* Who watches how long the loop stands still in Lua; none in a stock lua5.4. */
typedef struct chaski_watch {
  volatile bool armed;
  void (*arm)(void);               /* Lua is entered and it is not armed */
  void (*unhook)(chaski_entry *f); /* one that was hooked is over, or gets its own hook back */
} chaski_watch;

typedef struct chaski_runtime {
  lua_State *L;                  /* main thread; NULL once the door is shut (lua_close has begun) */
  uv_loop_t *uv;                 /* luv's loop */
  chaski_net *net;               /* environment on that loop */
  chaski_world real, *world;     /* *world is the current one */
  chaski_loop *loop;             /* the core's, of the current world */
  chaski_task *current;          /* the task that runs now; NULL outside tasks */
  uint64_t errors;               /* uncaught errors in handlers, callbacks and tasks since the start */
  uint64_t log_second;           /* private to door.c: when errors were logged last, s; how many of that second are */
  unsigned logged, not_logged;   /* in the log, and how many are not */
  struct chaski_lua_node *nodes; /* the binding's list, for chaski__close_nodes; NULL at first */
  struct chaski_lua_sim *sims;   /* sim.c's list of open simulations */
  struct chaski_lua_channel *channels; /* this and the next are channel.c's lists */
  struct chaski_lua_listener *channel_listeners;
  int edge_mt, node_mt, message_mt; /* registry references of hot metatables, LUA_NOREF until made */
  int on_error, on_shutdown;        /* registry references of the hooks set from Lua, LUA_NOREF */
  uint32_t *unread;                 /* message.c's: strings made since data was last read; Lua's memory */
  uint32_t listening;               /* bits of enum chaski_lua_event that every new node listens to */
  unsigned running;                 /* event loops being driven now: uv_run is not reentrant */
  chaski_entry *volatile entry;     /* the innermost; NULL: no Lua runs. A signal handler reads this and the next */
  volatile uint64_t stretches;      /* times Lua was entered from the loop */
  chaski_watch *watch;              /* or NULL */
  void *luv;                        /* luv's context of this state */
  void *guard;                      /* the newest userdata whose finalizer means that lua_close has begun */
  chaski_tasks tasks;
} chaski_runtime;

/* The runtime of this state, from any of its coroutines. Made on first use by luaopen_chaski_core (which requires luv
 * first and then makes the guard userdata that closes everything before luv's own finalizer runs). Raises when luv runs
 * on another libuv than ours. */
chaski_runtime *chaski__runtime(lua_State *L);
/* The same without raising or making: NULL if there is none, or its door is shut. */
chaski_runtime *chaski__open_runtime(lua_State *L);

/* Call after a userdata was made whose finalizer touches the runtime or the core (a node). Then, at lua_close, the door
 * is shut and every task dropped before that finalizer runs. Raises on out of memory. */
void chaski__guard(lua_State *L, chaski_runtime *rt);
/* Shut the door: no Lua is called any more; suspended tasks are dropped (their cleanups are called). Once is enough. */
void chaski__shut(chaski_runtime *rt);

/* The one door: call fn(L) as a C function in protected mode on the main thread with `arg` as light userdata at index
 * 1, from an upcall of the core or of libuv. An error is logged with its traceback and counted, and goes no further.
 * Returns true if fn succeeded. Does nothing when the door is shut. */
bool chaski__enter(chaski_runtime *rt, lua_CFunction fn, void *arg);
/* Log an error with the traceback of coroutine co (message on top of co, popped), count it, and tell the hook on_error.
 * `where`: "handler of weather", … The first few of a second are in the log, and the number of the others. */
void chaski__report_error(chaski_runtime *rt, lua_State *co, const char *where);
/* Push on L the text with the traceback of co from that level on, or from the later level that the text itself blames
 * ("wall.lua:7: ..."): our functions that noticed a script's mistake are nothing its author looks for. */
void chaski__push_traceback(lua_State *L, lua_State *co, const char *text, int level);
/* Log how many errors since the last such line were too many for the log. */
void chaski__tell_not_logged(chaski_runtime *rt);
/* What luv is given as its runner of callbacks (luv_set_callback): an error is reported as above instead of ending the
 * process. */
int chaski__luv_runner(lua_State *L, int nargs, int nresults, int flags);
/* One log record; each of its lines becomes a line of the log. `who` may be "". */
void chaski__runtime_log(chaski_runtime *rt, enum chaski_log_level level, const char *who, const char *text);
/* "error", "warn", "info", "debug", "trace"; -1 for another name. */
int chaski__log_level(const char *name);
const char *chaski__log_level_name(enum chaski_log_level level);
void chaski__set_log_level(chaski_runtime *rt, enum chaski_log_level level);

/* --- tasks -------------------------------------------------------------------------------------------------- */
typedef struct chaski_task_end { /* how a task tells that it is over; may be NULL */
  /* On the main thread, not inside any task. status LUA_OK: the results are on co's stack; else the error is. */
  void (*ended)(void *owner, chaski_task *task, int status, lua_State *co);
  void *owner;
} chaski_task_end;

/* Start a task: function and nargs arguments are on top of L and are popped. Runs at once until it parks or ends. An
 * error nobody takes (end NULL or no joiner) is reported. Returns the task (anchored while it lives; borrowed: it may
 * be over already) or NULL when out of memory. `node_key`: tasks that belong to a node (any light key, NULL for none)
 * are cancelled together by chaski__cancel_tasks: suspended ones at the next turn; one that runs now is left alone. */
chaski_task *chaski__spawn(chaski_runtime *rt, lua_State *L, int nargs, const char *where, const chaski_task_end *end,
                           const void *node_key);
void chaski__cancel_tasks(chaski_runtime *rt, const void *node_key);

/* Enter a handler as a task at the cost of a call: `enter` is run in a recycled coroutine with `arg` as light userdata:
 * it pushes what it needs and calls the handler with lua_callk. If it returns, the coroutine is recycled and nothing
 * was allocated, NULL is returned and `ended` is not called; if it parks, the task is returned and `ended` tells when
 * it is over. Errors are reported with `where`, which is copied when the task parks. */
chaski_task *chaski__run_handler(chaski_runtime *rt, lua_CFunction enter, void *arg, const char *where,
                                 const chaski_task_end *end, const void *node_key);

/* Parking. In a C function called by a task:
 *     chaski__check_task(L, "node:connect");            raises unless L is the current task's own coroutine
 *     uint64_t wait = chaski__wait(rt);                 the number of the wait that is about to begin
 *     ... start the operation, remembering (task, wait) ...
 *     return chaski__park(L, rt, seconds, cleanup, ctx);   never returns here
 * The values given to chaski__wake become the results of the C function. When `seconds` >= 0 have passed first, the
 * results are nil, err (code "timeout"). When the task is cancelled, an error with code "cancelled" is raised at the
 * call. In both of these cases cleanup(ctx) is called first (may be NULL), so that the operation forgets the task. */
bool chaski__in_task(const chaski_runtime *rt, lua_State *L); /* L may wait: what chaski__check_task is content with */
void chaski__check_task(lua_State *L, const char *function);
uint64_t chaski__wait(chaski_runtime *rt);
chaski_task *chaski__task_hold(chaski_runtime *rt); /* the current task, referenced */
void chaski__task_release(chaski_task *task);
int chaski__park(lua_State *L, chaski_runtime *rt, double seconds, void (*cleanup)(void *ctx), void *ctx);
/* Wake: true if the task still waits in `wait`; then push(co, ctx) pushes the results onto its coroutine and returns
 * their number (it runs protected and on a state of our choice: it uses only what it is given; what it raises is raised
 * in the task; may be NULL for none) and the task is resumed: at once when called from outside any task, else at the
 * next turn of the loop. false: it no longer waits (timed out, cancelled, over), or the door is shut. */
bool chaski__wake(chaski_runtime *rt, chaski_task *task, uint64_t wait, int (*push)(lua_State *co, void *ctx),
                  void *ctx);

/* Let the loop turn once: parks the current task until the next turn. Returns from the C function with no result, or
 * with the nresults values on top of L. */
int chaski__breathe(lua_State *L, chaski_runtime *rt, int nresults);

/* For a metatable on top that has all its fields: what getmetatable gives a script is a copy without the finalizer,
 * which is the collector's to call. */
void chaski__hide_finalizer(lua_State *L);

/* --- keeping the process going and coming down --------------------------------------------------------------- */
/* Of node.c: destroy every node of a world (NULL: of all) now, without Lua. */
void chaski__close_nodes(chaski_runtime *rt, const chaski_world *world);
/* Tasks of the real world that are not over: the host waits for them and for active handles. */
size_t chaski__tasks(const chaski_runtime *rt);

#endif
