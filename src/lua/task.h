/* task.h: what task.c offers to the files that show tasks to Lua (spawn.c) and drive the loop (run.c, the host). See
 * runtime.h for what everybody uses.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_LUA_TASK_H
#define CHASKI_LUA_TASK_H

#include "runtime.h"

/* chaski__spawn in two steps. prepare: the function and its arguments are popped, nothing runs; NULL when out of
 * memory. The caller may hold the task before it starts it. */
chaski_task *chaski__task_prepare(chaski_runtime *rt, lua_State *L, int nargs, const char *where,
                                  const chaski_task_end *end, const void *node_key);
void chaski__task_start(chaski_task *task);
void chaski__task_hold_it(chaski_task *task);
/* Raise "cancelled" where it is suspended, at the next turn; in a task that runs: where it parks next. Over: nothing.
 */
void chaski__task_cancel(chaski_task *task);
/* A suspended task is over, as if it had never been: its cleanup is called, nobody is told. */
void chaski__task_drop(chaski_task *task);
bool chaski__task_suspended(const chaski_task *task);
lua_State *chaski__task_co(const chaski_task *task); /* NULL when over */
/* The task that runs now is as it was when it began: nobody holds it, has cancelled it, or told it apart. Then it may
 * take on something else. */
bool chaski__task_unused(const chaski_runtime *rt);
/* It is no handler: who watches the time that handlers take leaves it alone, and what is called in it. */
void chaski__task_unlimit(chaski_task *task);
bool chaski__task_unlimited(const chaski_task *task);
const char *chaski__task_where(const chaski_task *task); /* "handler of weather", ... */

/* As chaski__park, and k goes on: it may ask whether the time was over, and else has chaski__parked return what it was
 * woken with. The values lie above the `base`, k's context, that were on the stack before. */
int chaski__park_then(lua_State *L, chaski_runtime *rt, double seconds, void (*cleanup)(void *ctx), void *ctx,
                      lua_KFunction k);
bool chaski__timed_out(const chaski_runtime *rt, const lua_State *L);
int chaski__parked(lua_State *L, int status, lua_KContext base);

/* As chaski__wake: the n values on top of L become the results, and are popped, whether it waits or not. `later`:
 * resume at the next turn even outside tasks (so that a chain of ends does not nest). */
bool chaski__wake_values(chaski_runtime *rt, chaski_task *task, uint64_t wait, lua_State *L, int n, bool later);
/* Park for some seconds; no result. */
int chaski__sleep(lua_State *L, chaski_runtime *rt, double seconds);

/* As chaski__spawn, but begun at the next turn of `world`, which need not be the current one. False: out of memory. */
bool chaski__spawn_later(chaski_world *world, lua_State *L, int nargs, const char *where, const void *node_key);

void chaski__world_init(chaski_world *world, chaski_runtime *rt);
/* Make another world the current one, outside all tasks; `before` is for leave. */
typedef struct chaski_world_before {
  chaski_world *world;
  chaski_task *current;
} chaski_world_before;
chaski_world_before chaski__world_enter(chaski_world *world);
void chaski__world_leave(chaski_runtime *rt, chaski_world_before before);
/* All its tasks are told to end ("cancelled"), and get one turn for it. The world is the current one. */
void chaski__world_cancel(chaski_world *world);
/* What still is suspended is over, with that error: cleanups are called, and those who wait for its end are told. */
void chaski__world_kill(chaski_world *world);
void chaski__tasks_drop(chaski_runtime *rt); /* the suspended ones: cleanups are called, nothing is resumed */
void chaski__tasks_free(chaski_runtime *rt); /* the recycled ones */

#endif
