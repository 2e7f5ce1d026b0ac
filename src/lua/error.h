/* error.h: the error object of the Lua side, what stands after nil in `nil, err`. A table { code =, message = } whose
 * tostring is the message and which can be concatenated with strings.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_LUA_ERROR_H
#define CHASKI_LUA_ERROR_H

#include <lua.h>
#include <stdbool.h>

/* Push a new error object. `code` is a stable name (core/error.h); `fmt` is what lua_pushfstring takes (%s %d %I %f %c
 * %p %U %%, no widths). Needs four free stack slots. Raises only on out of memory. */
void chaski__push_error(lua_State *L, const char *code, const char *fmt, ...);
/* Is the value at idx the error of a task that was cancelled? Needs two free stack slots. */
bool chaski__is_cancel(lua_State *L, int idx);

#endif
