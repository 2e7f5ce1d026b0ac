/* luv.h: luv as a C library, found wherever the running luv lives: linked into the program or loaded by require.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_LUA_LUV_H
#define CHASKI_LUA_LUV_H

#include <lua.h>
#include <uv.h>

/* luv.h of luv has prototypes without arguments. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <luv/luv.h>
#pragma GCC diagnostic pop

/* Require luv and fit it for sharing its loop: it runs callbacks on the main thread even if a coroutine loaded it;
 * walk, loop_close and run cannot be called when that would end badly. Raises if it cannot be used: it is not there, or
 * it runs on a libuv of its own. */
luv_ctx_t *chaski__luv_open(lua_State *L);

#endif
