/* spawn.h: the functions of the module table that concern tasks, and run, which drives the loop in a stock lua5.4.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_LUA_SPAWN_H
#define CHASKI_LUA_SPAWN_H

#include <lua.h>
#include <stdbool.h>

/* Add functions to the table on top of the stack. */
void chaski__open_spawn(lua_State *L);
void chaski__open_run(lua_State *L);

/* Start the hook that core.on_shutdown was given as a task; done(ctx) when it is over. False: there is none. */
bool chaski__start_shutdown(lua_State *L, void (*done)(void *ctx), void *ctx);

#endif
