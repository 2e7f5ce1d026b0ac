/* module.h: the entry of the Lua module chaski.core.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_LUA_MODULE_H
#define CHASKI_LUA_MODULE_H

#include <lua.h>

int luaopen_chaski_core(lua_State *L);

#endif
