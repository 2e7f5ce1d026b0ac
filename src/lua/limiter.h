/* limiter.h: token buckets by key. lua/chaski/limiter.lua says what for. SPDX-License-Identifier: MIT */
#ifndef CHASKI_LUA_LIMITER_H
#define CHASKI_LUA_LIMITER_H

#include "runtime.h"

/* Take a token of the bucket of the key on top, which is popped; the buckets (userdata) are at the absolute idx. False
 * when it is empty, or there are too many keys. Raises only on out of memory. */
bool chaski__take_token(lua_State *L, const chaski_runtime *rt, int idx);
void chaski__open_limiter(lua_State *L); /* functions for the module table on top */

#endif
