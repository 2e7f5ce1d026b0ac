/* options.h: checking the keys of an options table. A key nobody knows is the caller's mistake and raises, with a
 * suggestion. Knows nothing of what the options mean.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_LUA_OPTIONS_H
#define CHASKI_LUA_OPTIONS_H

#include <lua.h>

/* Argument `arg` must be a table whose keys are all among `names` (NULL at the end). Raises
 * "bad argument #2 to 'pack' (unknown option 'string', did you mean 'strings'?)". */
void chaski__check_options(lua_State *L, int arg, const char *const names[]);

#endif
