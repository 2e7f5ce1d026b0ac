/* spawn.h: the functions of the module table that concern tasks, and run, which drives the loop in a stock lua5.4.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_LUA_SPAWN_H
#define CHASKI_LUA_SPAWN_H

#include "runtime.h"

/* Add functions to the table on top of the stack. */
void chaski__open_spawn(lua_State *L);
void chaski__open_run(lua_State *L);

/* A main function that somebody runs a loop for. Whoever starts it drops its task when it is not over in the end. */
typedef struct chaski_main {
  chaski_runtime *rt;
  uv_loop_t *loop; /* to be stopped when it fails; NULL: none */
  bool over;
  int status;
  int results; /* reference to a table of `count` results, or the error */
  int count;
} chaski_main;

/* Function and arguments are on top of L, and popped. The task, borrowed; NULL: out of memory. */
chaski_task *chaski__main_start(chaski_runtime *rt, lua_State *L, int nargs, chaski_main *m);
/* It is over: push its results in place of all that is on the stack and return their number, or raise its error. */
int chaski__main_outcome(lua_State *L, const chaski_main *m);

/* Start the hook that core.on_shutdown was given as a task; done(ctx) when it is over. False: there is none. */
bool chaski__start_shutdown(lua_State *L, void (*done)(void *ctx), void *ctx);

#endif
