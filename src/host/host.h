/* host.h: what the files of the program chaski-lua share. The program is lua(1) with a loop: it ties loop, Lua state
 * and modules together and decides nothing else. SPDX-License-Identifier: MIT */
#ifndef CHASKI_HOST_H
#define CHASKI_HOST_H

#include "../lua/runtime.h"
#include "../lua/task.h"

#define HOST_NAME "chaski-lua"

/* --- limits.c -------------------------------------------------------------------------------------------------------
 */
typedef struct host_limits {
  size_t memory;                             /* bytes of the Lua state; SIZE_MAX: none */
  double handler_warn, handler_limit, abort; /* seconds, 0: never */
} host_limits;

void host_limits_init(host_limits *l, bool with_env); /* the defaults, or what the environment says */
/* What is wrong with the text of an option or variable (static), NULL: nothing. name: without the dashes. */
const char *host_limits_read(host_limits *l, const char *name, const char *text);
int host_open_limits(lua_State *L); /* the module chaski.host */

/* --- watchdog.c: how long handlers run
 * --------------------------------------------------------------------------- */
void host_watchdog_start(chaski_runtime *rt, const host_limits *l);
void host_watchdog_set(const host_limits *l);
void host_watchdog_get(host_limits *l); /* all but memory */
void host_watchdog_stop(void);
uint64_t host_watchdog_warnings(void), host_watchdog_stopped(void); /* so far */

/* --- coroutines.c: called protected: coroutine.resume and its like, such that the watchdog sees them */
void host_open_coroutines(lua_State *L, chaski_runtime *rt);

/* --- options.c -------------------------------------------------------------------------------------------------- */
typedef struct host_options {
  char **argv;
  int argc;
  int script;              /* index of the script in argv; argc: none */
  bool execute, version;   /* -e, -v given */
  bool interactive;        /* -i, or neither script nor -e nor -v on a terminal */
  bool ignore_env;         /* -E */
  bool check;              /* --check: the script is not run but looked at */
  bool reload, watch;      /* --reload or --watch, --watch */
  const char *log_level;   /* --log-level, NULL */
  const char *repl_socket; /* --repl-socket, NULL */
  host_limits limits;      /* --memory-limit and the like */
} host_options;

/* True: go on with *o. False: *status is the exit code; all has been said. */
bool host_options_read(int argc, char **argv, host_options *o, int *status);
void host_print_version(void);
/* The options -e, -l, -W before the script, one by one: the letter and its argument. *at starts at 1; 0 at the end. */
char host_options_next(const host_options *o, int *at, const char **arg);

/* --- paths.c, require.c: called protected, may raise
 * ------------------------------------------------------------------ */
void host_set_paths(lua_State *L);
/* Put a require in place in which a module's main chunk may wait. */
void host_open_require(lua_State *L);

/* --- memory.c -------------------------------------------------------------------------------------------------------
 */
lua_State *host_new_state(void); /* one a process; NULL: out of memory */
void host_close_state(lua_State *L);
size_t host_memory_limit(void), host_memory_used(void); /* bytes */
void host_limit_memory(size_t bytes);

/* --- script.c -------------------------------------------------------------------------------------------------------
 */
typedef struct host_script {
  const host_options *options;
  bool over, looping;
  int status;    /* exit code when over */
  bool no_trace; /* the error is of loading: where in the host tells nothing */
  int at;        /* next option */
  int stage;     /* see script.c */
  chaski_task *task;
} host_script;

void host_set_arg(lua_State *L, const host_options *o);
/* Run LUA_INIT, the options and the script as one task, in order. stop(loop) on an error, which is printed. */
void host_script_start(chaski_runtime *rt, host_script *s);
/* It has not ended, but nothing can wake it: say so. */
void host_script_stuck(chaski_runtime *rt, host_script *s);

/* --- signals.c: SIGINT and SIGTERM -----------------------------------------------------------------------------------
 */
#define HOST_SHUTDOWN_MS 5000 /* for an orderly shutdown, by then a supervisor has not yet lost its patience (10 s) */

void host_signals_start(chaski_runtime *rt);
/* Close the handles. The exit code: `status` if no signal came; else 0 after an orderly shutdown, or 128 + signal. */
int host_signals_stop(int status);
bool host_signals_came(void);
/* The same shutdown without a signal: the dialogue has ended. */
void host_signals_leave(void);

#endif
