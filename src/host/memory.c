/* memory.c: the memory of the Lua state. Messages are short-lived tables, strings and userdata of a few sizes; malloc
 * spends more on each than Lua does on most. Small blocks come from free lists by size, cut from slabs; larger ones are
 * malloc's. Slabs are kept for the next burst, until much less than they hold is in use: then those that are empty are
 * given back. What Lua may have in all is limited: beyond it Lua collects its garbage and then raises an error where
 * the memory was wanted. SPDX-License-Identifier: MIT */
#include "host.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define GRAIN 16       /* bytes: sizes are rounded up to it; any object of Lua is aligned by it */
#define SMALL_MAX 4608 /* bytes: a message of 4 KiB with its frame, for which malloc takes as long as all of Lua */
#define CLASSES (SMALL_MAX / GRAIN + 1)
#define SLAB ((size_t)64 * 1024)        /* and aligned by as much */
#define KEPT ((size_t)16 * 1024 * 1024) /* bytes of slabs below which none is given back */

#define MINOR 5 /* per cent that the heap grows between young collections; Lua's 20 make pauses four times as long */

typedef union block {
  union block *next;
  uint8_t bytes[GRAIN];
} block;

typedef struct slab { /* one grain, then blocks */
  struct slab *next;
  size_t idle; /* bytes on the free lists; counted only to give slabs back */
} slab;

static struct {
  block *free[CLASSES]; /* by size in grains */
  slab *slabs;          /* the newest first */
  uint8_t *at, *end;    /* of the newest slab: not yet handed out */
  size_t slab_bytes;
  size_t used, limit; /* bytes, as Lua counts them */
  size_t trim_below;  /* give slabs back when less is used */
} memory = {.limit = SIZE_MAX};

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

static void give(void *p, size_t size) {
  block *b = p;
  size_t class = class_of(size);
  b->next = memory.free[class];
  memory.free[class] = b;
}

/* What was left of the slab before is one block more. */
static bool new_slab(void) {
  slab *s = aligned_alloc(SLAB, SLAB);
  if (!s) return false;
  if (memory.at < memory.end) give(memory.at, (size_t)(memory.end - memory.at));
  s->next = memory.slabs;
  memory.slabs = s;
  memory.at = (uint8_t *)s + GRAIN;
  memory.end = (uint8_t *)s + SLAB;
  memory.slab_bytes += SLAB;
  if (memory.slab_bytes > KEPT)
    memory.trim_below = memory.used < memory.slab_bytes / 2 ? memory.used / 2 : memory.slab_bytes / 4;
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

/* --- giving back
 * ------------------------------------------------------------------------------------------------------
 */

static slab *slab_of(const block *b) {
  return (slab *)((uintptr_t)b & ~(uintptr_t)(SLAB - 1));
}

static bool is_empty(const slab *s) {
  return s->idle == SLAB - GRAIN && s != memory.slabs;
}

static void count_idle(void) {
  for (slab *s = memory.slabs; s; s = s->next) s->idle = 0;
  for (size_t class = 1; class < CLASSES; class ++)
    for (const block *b = memory.free[class]; b; b = b->next) slab_of(b)->idle += class * GRAIN;
}

static void unlist_empty(size_t class) {
  block **at = &memory.free[class];
  while (*at) {
    if (is_empty(slab_of(*at)))
      *at = (*at)->next;
    else
      at = &(*at)->next;
  }
}

static void free_empty(void) {
  for (slab **at = &memory.slabs; *at;) {
    slab *s = *at;
    if (!is_empty(s)) {
      at = &s->next;
      continue;
    }
    *at = s->next;
    memory.slab_bytes -= SLAB;
    free(s);
  }
}

/* Takes as long as there are free blocks, so it comes again only when half of what is left has become free. */
static void trim(void) {
  count_idle();
  for (size_t class = 1; class < CLASSES; class ++) unlist_empty(class);
  free_empty();
  malloc_trim(0);
  memory.trim_below = memory.slab_bytes > KEPT ? memory.used / 2 : 0;
}

/* --- the allocator ---------------------------------------------------------------------------------------------------
 */

static bool over_limit(size_t from, size_t to) {
  return to > from && memory.used + (to - from) > memory.limit;
}

static void *change(void *p, size_t from, size_t to) {
  p = p ? resize(p, from, to) : fresh(to);
  if (p) memory.used += to - from;
  if (p && memory.used < memory.trim_below) trim();
  return p;
}

/* Without p, `from` is a kind of object and no size. */
static __attribute__((noinline)) void *allocate_any(void *p, size_t from, size_t to) {
  if (!p) from = 0;
  if (over_limit(from, to)) return NULL;
  if (to) return change(p, from, to);
  if (p) drop(p, from);
  memory.used -= from;
  if (memory.used < memory.trim_below) trim();
  return NULL;
}

/* lua_Alloc. A small block from its list and back to it: nearly all calls, so nothing else stands in their way. */
static void *allocate(void *ud, void *p, size_t from, size_t to) {
  (void)ud;
  block *b = !p && is_small(to) ? memory.free[class_of(to)] : NULL;
  if (b && !over_limit(0, to)) {
    memory.free[class_of(to)] = b->next;
    memory.used += to;
    return b;
  }
  if (!p || to || !is_small(from) || memory.used - from < memory.trim_below) return allocate_any(p, from, to);
  give(p, from);
  memory.used -= from;
  return NULL;
}

size_t host_memory_limit(void) {
  return memory.limit;
}

void host_limit_memory(size_t bytes) {
  memory.limit = bytes;
}

size_t host_memory_used(void) {
  return memory.used;
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
  lua_gc(L, LUA_GCGEN, MINOR, 0); /* most of what is made here is dead when its message is handled */
  return L;
}

void host_close_state(lua_State *L) {
  memory.limit = SIZE_MAX;
  memory.trim_below = 0;
  lua_close(L);
  while (memory.slabs) {
    slab *s = memory.slabs;
    memory.slabs = s->next;
    free(s);
  }
}
