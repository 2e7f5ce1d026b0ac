/* memory.c: the memory of the Lua state. Messages are short-lived tables, strings and userdata of a few sizes; malloc
 * spends more on each than Lua does on most. Small blocks come from free lists by size, cut from slabs; larger ones are
 * malloc's. Slabs stay until the state is closed, so that the memory of a burst is used again but not given back.
 * SPDX-License-Identifier: MIT */
#include "host.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define GRAIN 16       /* bytes: sizes are rounded up to it; any object of Lua is aligned by it */
#define SMALL_MAX 1024 /* bytes: a message with its frame, a table of some fields */
#define CLASSES (SMALL_MAX / GRAIN + 1)
#define SLAB ((size_t)64 * 1024)

typedef union block {
  union block *next;
  uint8_t bytes[GRAIN];
} block;

static struct {
  block *free[CLASSES]; /* by size in grains */
  block *slabs;
  uint8_t *at, *end; /* of the newest slab: not yet handed out */
} memory;

#ifdef __SANITIZE_ADDRESS__ /* whose malloc finds what these lists would hide */
static const bool pooled = false;
#else
static const bool pooled = true;
#endif

static size_t class_of(size_t size) {
  return (size + GRAIN - 1) / GRAIN;
}

static bool is_small(size_t size) {
  return pooled && size <= SMALL_MAX;
}

static bool new_slab(void) {
  block *slab = malloc(SLAB);
  if (!slab) return false;
  slab->next = memory.slabs;
  memory.slabs = slab;
  memory.at = slab->bytes + GRAIN;
  memory.end = slab->bytes + SLAB;
  return true;
}

static void *take(size_t size) {
  size_t class = class_of(size);
  block *b = memory.free[class];
  if (b) {
    memory.free[class] = b->next;
    return b;
  }
  if ((size_t)(memory.end - memory.at) < class * GRAIN && !new_slab()) return NULL;
  b = (block *)(void *)memory.at;
  memory.at += class * GRAIN;
  return b;
}

static void give(void *p, size_t size) {
  block *b = p;
  size_t class = class_of(size);
  b->next = memory.free[class];
  memory.free[class] = b;
}

static void *fresh(size_t size) {
  return is_small(size) ? take(size) : malloc(size);
}

static void drop(void *p, size_t size) {
  if (is_small(size))
    give(p, size);
  else
    free(p);
}

static void *resize(void *p, size_t from, size_t to) {
  if (!is_small(from) && !is_small(to)) return realloc(p, to);
  if (is_small(from) && is_small(to) && class_of(from) == class_of(to)) return p;
  void *moved = fresh(to);
  if (!moved) return NULL;
  memcpy(moved, p, from < to ? from : to);
  drop(p, from);
  return moved;
}

/* lua_Alloc. Without p, `from` is a kind of object and no size. */
static void *allocate(void *ud, void *p, size_t from, size_t to) {
  (void)ud;
  if (!p) return to ? fresh(to) : NULL;
  if (to) return resize(p, from, to);
  if (from) drop(p, from);
  return NULL;
}

/* --- what luaL_newstate adds to a state -----------------------------------------------------------------------------
 */
static int panic(lua_State *L) {
  const char *text = lua_tostring(L, -1);
  fprintf(stderr, HOST_NAME ": an error outside of any protected call: %s\n", text ? text : "(no text)");
  return 0; /* Lua aborts */
}

/* "@on" and "@off" alone are commands; what is told in pieces is printed in one line. ud: &warnings. */
static struct warnings { bool on, within; } warnings;

static void warn(void *ud, const char *text, int more) {
  struct warnings *w = ud;
  bool command = !w->within && !more && *text == '@';
  if (command && strcmp(text, "@on") == 0) w->on = true;
  if (command && strcmp(text, "@off") == 0) w->on = false;
  if (w->on && !command) fprintf(stderr, "%s%s%s", w->within ? "" : "Lua warning: ", text, more ? "" : "\n");
  w->within = more != 0;
}

lua_State *host_new_state(void) {
  lua_State *L = lua_newstate(allocate, NULL);
  if (!L) return NULL;
  lua_atpanic(L, panic);
  lua_setwarnf(L, warn, &warnings);
  lua_gc(L, LUA_GCGEN, 0, 0); /* most of what is made here is dead when its message is handled */
  return L;
}

void host_close_state(lua_State *L) {
  lua_close(L);
  while (memory.slabs) {
    block *slab = memory.slabs;
    memory.slabs = slab->next;
    free(slab);
  }
}
