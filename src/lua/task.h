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

/* As chaski__wake: the n values on top of L become the results, and are popped, whether it waits or not. `later`:
 * resume at the next turn even outside tasks (so that a chain of ends does not nest). */
bool chaski__wake_values(chaski_runtime *rt, chaski_task *task, uint64_t wait, lua_State *L, int n, bool later);
/* Park for some seconds; no result. */
int chaski__sleep(lua_State *L, chaski_runtime *rt, double seconds);

void chaski__tasks_init(chaski_runtime *rt);
void chaski__tasks_drop(chaski_runtime *rt); /* the suspended ones: cleanups are called, nothing is resumed */
void chaski__tasks_free(chaski_runtime *rt); /* the recycled ones */

#endif
