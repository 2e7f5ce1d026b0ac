/* main.c: the life of the process: loop, Lua state, modules, the script, and all of it down again in the right order.
 * SPDX-License-Identifier: MIT */
#include "../lua/channel.h"
#include "../lua/luv.h"
#include "../lua/module.h"
#include "host.h"
#include "repl.h"

#include <fcntl.h>
#include <lualib.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define KEPT (16 * 1024 * 1024) /* bytes that are free at the end of the heap */

static uv_loop_t loop; /* static: os.exit leaves from anywhere */

/* Started without one of them, a socket would get its number: what is printed would go to a peer, and libuv aborts. */
static void open_standard_files(void) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) _exit(EXIT_FAILURE);
}

/* A host with many nodes needs many files; the soft limit of 1024 is for programs that use select(2). */
static void raise_file_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/* Frames, queues and long strings are malloc's and come and go without end. From 128 KiB of free bytes at the heap's
 * end malloc would give them back to the kernel, to get them again a moment later page by page and zeroed: a third of
 * the time to publish 64 KiB, and of 256 KiB most of the receiver's. memory.c keeps as much, and trims malloc's with
 * it. */
static void keep_freed_memory(void) {
  mallopt(M_TRIM_THRESHOLD, KEPT);
  mallopt(M_MMAP_THRESHOLD, KEPT); /* larger ones are mapped, and unmapped when freed */
}

/* --- up -------------------------------------------------------------------------------------------------------------
 */

static void preload(lua_State *L, const char *name, lua_CFunction open) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, open);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

static int set_up(lua_State *L) {
  const host_options *o = lua_touserdata(L, 1);
  if (o->ignore_env) {
    lua_pushboolean(L, true);
    lua_setfield(L, LUA_REGISTRYINDEX, "LUA_NOENV");
  }
  luaL_openlibs(L);
  host_set_paths(L);
  host_open_require(L);
  host_set_arg(L, o);
  luv_set_loop(L, &loop);
  luv_set_callback(L, chaski__luv_runner);
  preload(L, "luv", luaopen_luv);
  preload(L, "chaski.core", luaopen_chaski_core);
  preload(L, "chaski.terminal", host_open_dialogue);
  preload(L, "chaski.host", host_open_limits);
  chaski_runtime *rt = chaski__runtime(L);
  if (o->ignore_env) chaski__set_log_level(rt, CHASKI_LOG_WARN);
  if (o->log_level) chaski__set_log_level(rt, (enum chaski_log_level)chaski__log_level(o->log_level));
  rt->running = 1; /* by us, until the end */
  host_open_coroutines(L, rt);
  lua_pushlightuserdata(L, rt);
  return 1;
}

/* --- down ------------------------------------------------------------------------------------------------------------
 */

/* luv's handles carry its data, ours never do; luv's memory goes with its userdata. The net's own are closed by it. */
static void close_handle(uv_handle_t *handle, void *arg) {
  (void)arg;
  if (handle->data && !uv_is_closing(handle)) uv_close(handle, NULL);
}

/* To the end, even if somebody has asked for a stop before. */
static void run_empty(void) {
  while (uv_run(&loop, UV_RUN_DEFAULT) != 0) continue;
}

static int come_down(chaski_runtime *rt, lua_State *L) {
  chaski__shut(rt);
  chaski__close_nodes(rt, NULL);
  chaski__close_channels(rt, NULL);
  host_dialogue_close();
  host_watchdog_stop();
  uv_walk(&loop, close_handle, NULL);
  run_empty();
  host_close_state(L);
  run_empty();
  return uv_loop_close(&loop);
}

/* --- between ---------------------------------------------------------------------------------------------------------
 */

static void run_loop(chaski_runtime *rt, host_script *script) {
  script->looping = script->status == EXIT_SUCCESS || host_signals_came();
  if (script->looping) uv_run(&loop, UV_RUN_DEFAULT);
  if (host_signals_came() || script->status != EXIT_SUCCESS || uv_loop_alive(&loop)) return; /* alive: uv.stop */
  if (!script->over)
    host_script_stuck(rt, script);
  else if (chaski__tasks(rt) > 0)
    chaski__runtime_log(rt, CHASKI_LOG_WARN, "",
                        "the end: tasks are left that wait for something that can never happen");
}

static int run(lua_State *L, const host_options *o) {
  lua_pushcfunction(L, set_up);
  lua_pushlightuserdata(L, (void *)o);
  if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
    fprintf(stderr, HOST_NAME ": %s\n", lua_tostring(L, -1));
    host_close_state(L);
    return EXIT_FAILURE;
  }
  chaski_runtime *rt = lua_touserdata(L, -1);
  host_script script = {.options = o};
  lua_pop(L, 1);
  host_signals_start(rt);
  host_watchdog_start(rt, &o->limits);
  host_script_start(rt, &script);
  run_loop(rt, &script);
  int status = host_signals_stop(script.status), left = come_down(rt, L);
#ifndef NDEBUG
  if (left != 0) fprintf(stderr, HOST_NAME ": the loop did not close: %s\n", uv_strerror(left));
#else
  (void)left;
#endif
  return status;
}

static int refuse(const char *what, const char *why) {
  fprintf(stderr, HOST_NAME ": cannot create %s: %s\n", what, why);
  return EXIT_FAILURE;
}

int main(int argc, char **argv) {
  host_options options;
  int status;
  open_standard_files();
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of who writes it */
  if (!host_options_read(argc, argv, &options, &status)) return status;
  raise_file_limit();
  keep_freed_memory();
  if (options.interactive) host_screen_open();
  int rc = uv_loop_init(&loop);
  if (rc != 0) return refuse("the event loop", uv_strerror(rc));
  lua_State *L = host_new_state();
  if (!L) return refuse("a Lua state", "not enough memory");
  host_limit_memory(options.limits.memory);
  return run(L, &options);
}
