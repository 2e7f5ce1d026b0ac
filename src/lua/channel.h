/* channel.h: what the rest of the binding needs of channel.c. SPDX-License-Identifier: MIT */
#ifndef CHASKI_LUA_CHANNEL_H
#define CHASKI_LUA_CHANNEL_H

#include "runtime.h"

/* Add functions to the table on top of the stack. */
void chaski__open_channel(lua_State *L);
/* Close the channels and listeners of a world (NULL: of all) now, without Lua; they are gone when their transport has
 * said so. */
void chaski__close_channels(chaski_runtime *rt, const chaski_world *world);
bool chaski__has_channels(const chaski_runtime *rt, const chaski_world *world);

#endif
