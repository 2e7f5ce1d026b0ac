/* system.h: see system.c. SPDX-License-Identifier: MIT */
#ifndef CHASKI_LUA_SYSTEM_H
#define CHASKI_LUA_SYSTEM_H

#include <lua.h>

/* Add functions to the table on top of the stack. */
void chaski__open_system(lua_State *L);

#endif
