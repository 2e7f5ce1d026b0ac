/* signals.c: SIGINT and SIGTERM. The first is passed to the loop and shuts down in good order, within a deadline; the
 * second ends the process from the signal handler itself, so a loop that never turns can be ended too.
 * SPDX-License-Identifier: MIT */
#include "../lua/spawn.h"
#include "host.h"
#include "repl.h"

#include <signal.h>
#include <unistd.h>

static struct {
  chaski_runtime *rt;
  uv_async_t async;
  uv_timer_t deadline;
  volatile sig_atomic_t signal; /* the first one */
  bool asked, late;
} here;

static void on_signal(int number) {
  if (number == SIGINT && host_dialogue_interrupt()) return;
  if (here.signal != 0) {
    host_terminal_restore();
    _exit(128 + number);
  }
  here.signal = number;
  uv_async_send(&here.async);
}

static void on_done(void *ctx) {
  (void)ctx;
  uv_stop(here.rt->uv);
}

static void on_deadline(uv_timer_t *timer) {
  here.late = true;
  uv_stop(timer->loop);
}

void host_signals_leave(void) {
  if (here.asked) return;
  here.asked = true;
  uv_timer_start(&here.deadline, on_deadline, HOST_SHUTDOWN_MS, 0);
  if (!chaski__start_shutdown(here.rt->L, on_done, NULL)) uv_stop(here.rt->uv);
}

static void on_async(uv_async_t *async) {
  (void)async;
  if (here.signal != 0) host_signals_leave();
}

void host_signals_start(chaski_runtime *rt) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  here.rt = rt;
  uv_async_init(rt->uv, &here.async, on_async);
  uv_unref((uv_handle_t *)&here.async);
  uv_timer_init(rt->uv, &here.deadline);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
}

/* What comes from now on ends the process. */
int host_signals_stop(int status) {
  int number = here.signal;
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  uv_close((uv_handle_t *)&here.async, NULL);
  uv_close((uv_handle_t *)&here.deadline, NULL);
  if (number == 0) return status;
  return here.late ? 128 + number : status;
}

bool host_signals_came(void) {
  return here.signal != 0;
}
