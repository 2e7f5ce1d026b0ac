/* watchdog.c: a handler that does not come back is told of, then stopped by an error, and may end the process. While
 * Lua runs, a timer ticks: its signal looks at what runs, and when that has run for too long sets a hook, which acts at
 * the next instruction. What is handled in less than a tick costs nothing; between handlers the timer rests. Ticks are
 * counted, not time: a process that was stopped, or did not get the processor, has had one tick at most.
 * SPDX-License-Identifier: MIT */
#include "../core/limits.h"
#include "../lua/running.h"
#include "host.h"
#include "repl.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SIGNAL (SIGRTMAX - 1) /* no script or library has a use for it, nor libuv a name */
#define TICK_MAX (25 * CHASKI_MS)
#define TICK_MIN (5 * CHASKI_MS)
#define GRACE 0.1      /* s for what the error of a stopped handler closes, before it is raised at every instruction */
#define QUIET CHASKI_S /* between warnings */
#define CODE_ABORT 70  /* sysexits.h: EX_SOFTWARE */
#define DEPTH_MAX 20   /* functions named at the end */
#define EVERYTHING (LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT)

enum stage { FINE, WARNED, STOPPED };
enum due { NOTHING, WARN, STOP, STOP_FOR_GOOD };

static struct {
  chaski_runtime *rt; /* NULL: not started */
  pthread_t thread;
  timer_t timer;
  chaski_watch watch;
  uint64_t tick;  /* ns */
  double seconds; /* of a tick */
  host_limits limits;
  /* of the stretch that the last tick has seen: */
  uint64_t stretch, ticks;
  enum stage stage;
  volatile enum due due;
  uint64_t warnings, stopped, told, not_told; /* told: when, ns */
} here;

/* --- hooks -----------------------------------------------------------------------------------------------------------
 */

static void on_hook(lua_State *L, lua_Debug *ar);

static void unhook(chaski_entry *f) {
  f->hooked = false;
  if (lua_gethook(f->L) == on_hook) lua_sethook(f->L, f->hook, f->mask, f->count);
}

static void unhook_all(void) {
  here.due = NOTHING;
  for (chaski_entry *f = here.rt->entry; f; f = f->outer)
    if (f->hooked) unhook(f);
}

/* In the signal handler. A coroutine that is resumed, and those that resumed it: it may end and be made again. */
static void hook_all(enum due due) {
  here.due = due;
  for (chaski_entry *f = here.rt->entry; f; f = f->outer) {
    if (lua_gethook(f->L) != on_hook) {
      f->hook = lua_gethook(f->L);
      f->mask = lua_gethookmask(f->L);
      f->count = lua_gethookcount(f->L);
      f->hooked = true;
    }
    lua_sethook(f->L, on_hook, EVERYTHING, 1);
  }
}

static const char *where(void) {
  for (const chaski_entry *f = here.rt->entry; f; f = f->outer)
    if (f->task) return chaski__task_where(f->task);
  return "callback";
}

static int push_warning(lua_State *L) {
  char text[160];
  int n = snprintf(text, sizeof text, "%.60s: has run for %g s without waiting; nothing else goes on meanwhile",
                   where(), (double)here.ticks * here.seconds);
  if (here.not_told)
    snprintf(text + n, sizeof text - (size_t)n, " (%llu more such)", (unsigned long long)here.not_told);
  luaL_traceback(L, L, text, 1);
  chaski__runtime_log(here.rt, CHASKI_LOG_WARN, "", lua_tostring(L, -1));
  return 0;
}

static void warn(lua_State *L) {
  uint64_t now = uv_hrtime();
  here.warnings++;
  if (here.told && now - here.told < QUIET) {
    here.not_told++;
    return;
  }
  here.told = now;
  lua_pushcfunction(L, push_warning);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) lua_pop(L, 1);
  here.not_told = 0;
}

/* "script.lua:7: " of the innermost Lua function, or "" */
static void push_place(lua_State *L) {
  lua_Debug ar;
  for (int level = 0; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline <= 0) continue;
    lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
    return;
  }
  lua_pushliteral(L, "");
}

static void stop(lua_State *L) {
  push_place(L);
  lua_pushfstring(L, "stopped: has run for %f s without waiting (handler limit)", (double)here.ticks * here.seconds);
  lua_concat(L, 2);
  lua_error(L);
}

static void on_hook(lua_State *L, lua_Debug *ar) {
  (void)ar;
  enum due due = here.rt && here.stretch == here.rt->stretches ? here.due : NOTHING;
  if (due == NOTHING) {
    lua_sethook(L, NULL, 0, 0); /* a coroutine that was made under a hook has got it too */
    return;
  }
  if (due != STOP_FOR_GOOD) unhook_all();
  if (due == WARN) {
    warn(L);
    return;
  }
  if (due == STOP) here.stopped++;
  stop(L);
}

/* --- the end of the process ------------------------------------------------------------------------------------------
 */

static void say(const char *text) {
  ssize_t written = write(STDERR_FILENO, text, strlen(text));
  (void)written;
}

/* In the signal handler, while C code of a library runs: nothing but to look. */
static void say_where(lua_State *L) {
  lua_Debug ar;
  char line[LUA_IDSIZE + 32];
  for (int level = 0; level < DEPTH_MAX && lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline < 0) continue;
    snprintf(line, sizeof line, "\t%s:%d\n", ar.short_src, ar.currentline);
    say(line);
  }
}

static void give_up(void) {
  say(HOST_NAME ": ");
  say(where());
  say(": runs in a function that cannot be interrupted, for longer than --handler-abort allows\n");
  for (const chaski_entry *f = here.rt->entry; f; f = f->outer) say_where(f->L);
  host_terminal_restore();
  _exit(CODE_ABORT);
}

/* --- ticks -----------------------------------------------------------------------------------------------------------
 */

static void set_timer(uint64_t ns) {
  const struct timespec t = {(time_t)(ns / CHASKI_S), (long)(ns % CHASKI_S)};
  const struct itimerspec spec = {t, t};
  timer_settime(here.timer, 0, &spec, NULL);
}

static void arm(void) {
  here.watch.armed = true;
  set_timer(here.tick);
}

/* A main chunk and a line of the dialogue, and what they call, run for as long as they like. */
static bool is_unlimited(void) {
  for (const chaski_entry *f = here.rt->entry; f; f = f->outer)
    if (f->task && chaski__task_unlimited(f->task)) return true;
  return false;
}

static bool over(double limit, double seconds) {
  return limit > 0 && seconds >= limit;
}

static void judge(void) {
  double seconds = (double)here.ticks * here.seconds, limit = here.limits.handler_limit;
  if (over(here.limits.abort, seconds)) give_up();
  if (over(limit, seconds)) {
    if (here.stage < STOPPED)
      hook_all(STOP);
    else if (seconds >= limit + GRACE)
      hook_all(STOP_FOR_GOOD);
    here.stage = STOPPED;
  } else if (over(here.limits.handler_warn, seconds) && here.stage == FINE) {
    here.stage = WARNED;
    hook_all(WARN);
  }
}

static void on_tick(int number) {
  if (!pthread_equal(pthread_self(), here.thread)) {
    pthread_kill(here.thread, number);
    return;
  }
  if (!here.rt) return;
  if (!here.rt->entry) {
    set_timer(0);
    here.watch.armed = false;
  } else if (here.stretch != here.rt->stretches) {
    here.stretch = here.rt->stretches;
    here.ticks = 0;
    here.stage = FINE;
    here.due = NOTHING;
  } else {
    here.ticks++;
    if (!is_unlimited()) judge();
  }
}

/* --- setting ---------------------------------------------------------------------------------------------------------
 */

static double least(double a, double b) {
  return a <= 0 ? b : b <= 0 ? a : fmin(a, b);
}

void host_watchdog_set(const host_limits *l) {
  double first = least(l->handler_warn, least(l->handler_limit, l->abort));
  uint64_t tick = (uint64_t)(fmin(first, 1) * 1e9 / 4);
  here.limits = *l;
  here.tick = tick > TICK_MAX ? TICK_MAX : tick < TICK_MIN ? TICK_MIN : tick;
  here.seconds = (double)here.tick / 1e9;
  here.stretch = 0;
  if (!here.rt) return;
  set_timer(0);
  here.watch.armed = false;
  here.rt->watch = first > 0 ? &here.watch : NULL;
}

void host_watchdog_get(host_limits *l) {
  *l = here.limits;
}

void host_watchdog_start(chaski_runtime *rt, const host_limits *l) {
  const struct sigaction action = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGNAL};
  here.thread = pthread_self();
  here.watch = (chaski_watch){.arm = arm, .unhook = unhook};
  if (sigaction(SIGNAL, &action, NULL) == 0 && timer_create(CLOCK_MONOTONIC, &event, &here.timer) == 0) here.rt = rt;
  host_watchdog_set(l);
}

void host_watchdog_stop(void) {
  if (!here.rt) return;
  timer_delete(here.timer);
  signal(SIGNAL, SIG_IGN);
  here.rt->watch = NULL;
  here.rt = NULL;
}

uint64_t host_watchdog_warnings(void) {
  return here.warnings;
}

uint64_t host_watchdog_stopped(void) {
  return here.stopped;
}
