/* signals.c: SIGINT and SIGTERM. The first is passed to the loop and shuts down in good order, within a deadline; the
 * second ends the process from the signal handler itself, so a loop that never turns can be ended too. When it does not
 * turn for a while after the first, the Lua code that runs is interrupted, as in lua(1).
 * SPDX-License-Identifier: MIT */
#include "../core/limits.h"
#include "../lua/spawn.h"
#include "host.h"
#include "repl.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

/* s until Lua code that keeps the loop from turning is interrupted: what is left is for the nodes */
#define PATIENCE 3
#define AGAIN 1 /* s until it is interrupted again, if it has caught the error */

static struct {
  chaski_runtime *rt;
  pthread_t thread; /* the loop's and Lua's */
  uint64_t since;   /* ns: when the first signal came */
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
  here.since = uv_hrtime();
  alarm(PATIENCE);
  uv_async_send(&here.async);
}

static void raise_interrupted(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  here.late = true;
  luaL_error(L, "interrupted!");
}

/* Without SA_RESTART, so that a call which blocks comes back too. */
static void on_alarm(int number) {
  const chaski_task *current = here.rt->current;
  if (!pthread_equal(pthread_self(), here.thread)) {
    pthread_kill(here.thread, number);
  } else if (!here.asked) {
    lua_State *L = current ? chaski__task_co(current) : here.rt->L;
    if (L) lua_sethook(L, raise_interrupted, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
    alarm(AGAIN);
  }
}

static void on_done(void *ctx) {
  (void)ctx;
  uv_stop(here.rt->uv);
}

static void on_deadline(uv_timer_t *timer) {
  here.late = true;
  uv_stop(timer->loop);
}

/* ms */
static uint64_t time_left(void) {
  uint64_t spent = here.signal ? (uv_hrtime() - here.since) / CHASKI_MS : 0;
  return spent < HOST_SHUTDOWN_MS ? HOST_SHUTDOWN_MS - spent : 0;
}

void host_signals_leave(void) {
  if (here.asked) return;
  here.asked = true;
  alarm(0);
  if (here.rt->L) lua_sethook(here.rt->L, NULL, 0, 0);
  uv_timer_start(&here.deadline, on_deadline, time_left(), 0);
  if (!chaski__start_shutdown(here.rt->L, on_done, NULL)) uv_stop(here.rt->uv);
}

static void on_async(uv_async_t *async) {
  (void)async;
  if (here.signal != 0) host_signals_leave();
}

void host_signals_start(chaski_runtime *rt) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  const struct sigaction alarm_action = {.sa_handler = on_alarm};
  here.rt = rt;
  here.thread = pthread_self();
  uv_async_init(rt->uv, &here.async, on_async);
  uv_unref((uv_handle_t *)&here.async);
  uv_timer_init(rt->uv, &here.deadline);
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGALRM, &alarm_action, NULL);
}

/* What comes from now on ends the process. */
int host_signals_stop(int status) {
  int number = here.signal;
  alarm(0);
  signal(SIGALRM, SIG_IGN);
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
