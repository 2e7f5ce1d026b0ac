/* options.c: see options.h. SPDX-License-Identifier: MIT */
#include "options.h"

#include <lauxlib.h>
#include <string.h>

#define NAME_MAX_LEN 40 /* longer ones get no suggestion */
#define DISTANCE_MAX 2  /* a letter or two wrong is a slip, more is another word */

static size_t least(size_t a, size_t b) {
  return a < b ? a : b;
}

/* Levenshtein distance, one row at a time. */
static size_t distance(const char *a, const char *b) {
  size_t row[NAME_MAX_LEN + 1], a_len = strlen(a), b_len = strlen(b);
  if (a_len > NAME_MAX_LEN || b_len > NAME_MAX_LEN) return NAME_MAX_LEN;
  for (size_t j = 0; j <= b_len; j++) row[j] = j;
  for (size_t i = 1; i <= a_len; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b_len; j++) {
      size_t above = row[j];
      row[j] = least(least(above, row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
      diagonal = above;
    }
  }
  return row[b_len];
}

static const char *nearest(const char *key, const char *const names[]) {
  const char *found = NULL;
  size_t best = DISTANCE_MAX + 1;
  for (; *names; names++) {
    size_t d = distance(key, *names);
    if (d < best && d < strlen(key)) best = d, found = *names;
  }
  return found;
}

static void check_name(lua_State *L, int arg, const char *key, const char *const names[]) {
  const char *hint;
  for (const char *const *name = names; *name; name++)
    if (strcmp(key, *name) == 0) return;
  hint = nearest(key, names);
  if (hint)
    lua_pushfstring(L, "unknown option '%s', did you mean '%s'?", key, hint);
  else
    lua_pushfstring(L, "unknown option '%s'", key);
  luaL_argerror(L, arg, lua_tostring(L, -1));
}

void chaski__check_options(lua_State *L, int arg, const char *const names[]) {
  luaL_checktype(L, arg, LUA_TTABLE);
  luaL_checkstack(L, 4, NULL);
  for (lua_pushnil(L); lua_next(L, arg); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) luaL_argerror(L, arg, "an option's name is a string");
    check_name(L, arg, lua_tostring(L, -2), names);
  }
}
