/* running.h: which coroutines run now, kept so that a signal handler can tell: each lua_resume and each protected call
 * that enters Lua stands between push and pop. Costs a dozen instructions. SPDX-License-Identifier: MIT */
#ifndef CHASKI_LUA_RUNNING_H
#define CHASKI_LUA_RUNNING_H

#include "runtime.h"

#include <stdatomic.h>

static inline void chaski__entry_push(chaski_runtime *rt, chaski_entry *f, lua_State *L, const chaski_task *task) {
  f->L = L;
  f->task = task;
  f->outer = rt->entry;
  f->hooked = false;
  if (!f->outer) {
    rt->stretches++;
    if (rt->watch && !rt->watch->armed) rt->watch->arm();
  }
  atomic_signal_fence(memory_order_release);
  rt->entry = f;
}

static inline void chaski__entry_pop(chaski_runtime *rt, chaski_entry *f) {
  rt->entry = f->outer;
  atomic_signal_fence(memory_order_acquire);
  if (f->hooked) rt->watch->unhook(f);
}

/* What was stopped has ended, and what its end is to do gets time of its own. */
static inline void chaski__entry_again(chaski_runtime *rt) {
  if (!rt->entry || !rt->entry->hooked) return;
  rt->stretches++;
  for (chaski_entry *f = rt->entry; f; f = f->outer)
    if (f->hooked) rt->watch->unhook(f);
}

/* What runs now begins anew, with something else: that has time of its own. */
static inline void chaski__entry_next(chaski_runtime *rt) {
  if (!rt->entry || rt->entry->outer) return;
  rt->stretches++;
  if (rt->watch && !rt->watch->armed) rt->watch->arm();
  chaski__entry_again(rt);
}

#endif
