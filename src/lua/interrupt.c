/* interrupt.c: see interrupt.h. SPDX-License-Identifier: MIT */
#include "interrupt.h"

#include "../core/alloc.h"
#include "spawn.h"

#include <signal.h>
#include <stdatomic.h>

struct chaski_interrupt {
  uv_async_t async; /* first */
  chaski_runtime *rt;
  struct sigaction before;
  bool came;
};

static _Atomic(chaski_interrupt *) watching; /* a process has one SIGINT, and may have several Lua states */

static void on_signal(int number) {
  chaski_interrupt *i = atomic_load(&watching);
  signal(number, SIG_DFL);
  if (i) uv_async_send(&i->async);
}

static void on_done(void *ctx) {
  const chaski_interrupt *i = ctx;
  if (atomic_load(&watching) == i) uv_stop(i->rt->uv);
}

static void on_async(uv_async_t *async) {
  chaski_interrupt *i = (chaski_interrupt *)(void *)async;
  if (i->came) return;
  i->came = true;
  if (!i->rt->L || !chaski__start_shutdown(i->rt->L, on_done, i)) uv_stop(i->rt->uv);
}

static void on_closed(uv_handle_t *async) {
  chaski__free(async);
}

static bool is_ignored(void) {
  struct sigaction now;
  return sigaction(SIGINT, NULL, &now) != 0 || now.sa_handler == SIG_IGN;
}

chaski_interrupt *chaski__interrupt_start(chaski_runtime *rt) {
  const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  chaski_interrupt *i = is_ignored() || atomic_load(&watching) ? NULL : chaski__calloc(1, sizeof *i), *nobody = NULL;
  if (!i) return NULL;
  i->rt = rt;
  if (uv_async_init(rt->uv, &i->async, on_async) != 0) {
    chaski__free(i);
    return NULL;
  }
  uv_unref((uv_handle_t *)&i->async);
  if (atomic_compare_exchange_strong(&watching, &nobody, i)) {
    sigaction(SIGINT, &action, &i->before);
    return i;
  }
  uv_close((uv_handle_t *)&i->async, on_closed);
  return NULL;
}

bool chaski__interrupt_stop(chaski_interrupt *i) {
  if (!i) return false;
  bool came = i->came;
  sigaction(SIGINT, &i->before, NULL);
  atomic_store(&watching, NULL);
  uv_close((uv_handle_t *)&i->async, on_closed); /* which is at the loop's next turn, whoever makes that */
  return came;
}
