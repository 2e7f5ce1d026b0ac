/* wait.c: tasks that wait for the core, in lists of their node. See binding.h. SPDX-License-Identifier: MIT */
#include "../core/alloc.h"
#include "binding.h"

void chaski__waiter_unlink(chaski_waiter *w) {
  if (!w->link) return;
  *w->link = w->next;
  if (w->next) w->next->link = w->link;
  w->link = NULL;
}

static void link_last(chaski_waiter *w, chaski_waiter **list) {
  while (*list) list = &(*list)->next;
  w->link = list;
  w->next = NULL;
  *list = w;
}

void *chaski__waiter_new(lua_State *L, chaski_runtime *rt, chaski_waiter **list, size_t size) {
  chaski_waiter *w = chaski__calloc(1, size);
  if (!w) luaL_error(L, "out of memory");
  w->rt = rt;
  w->task = chaski__task_hold(rt);
  w->wait = chaski__wait(rt);
  link_last(w, list);
  return w;
}

void chaski__waiter_free(void *waiter) {
  chaski_waiter *w = waiter;
  chaski__waiter_unlink(w);
  if (w->task) chaski__task_release(w->task);
  chaski__free(w);
}

void chaski__waiter_wake(chaski_waiter *w, int (*push)(lua_State *co, void *ctx), void *ctx) {
  chaski__waiter_unlink(w);
  if (w->task) chaski__wake(w->rt, w->task, w->wait, push, ctx);
  chaski__waiter_free(w);
}

void chaski__waiters_wake(chaski_waiter **list, int (*push)(lua_State *co, void *ctx), void *ctx) {
  chaski_waiter *now = *list; /* a list of its own: who is woken may wait again, or end others */
  *list = NULL;
  if (now) now->link = &now;
  while (now) chaski__waiter_wake(now, push, ctx);
}

/* A task that is parked still has its waiter for cleanup and frees it then. */
void chaski__waiters_forget(chaski_waiter **list) {
  while (*list) {
    chaski_waiter *w = *list;
    chaski__waiter_unlink(w);
    if (!w->task) chaski__waiter_free(w);
  }
}
