/* script.c: the main task: LUA_INIT, then the options in their order, then the script, each in lua(1)'s way, but all of
 * them may wait. SPDX-License-Identifier: MIT */
#include "host.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum stage { INIT, OPTIONS, SOCKET, SCRIPT, DIALOGUE, ENDING, END };

/* --- errors ------------------------------------------------------------------------------------------------------- */

static const char *describe(lua_State *L, int index) {
  if (lua_isstring(L, index) || luaL_getmetafield(L, index, "__tostring") != LUA_TNIL)
    return luaL_tolstring(L, index, NULL);
  return lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, index));
}

static void complain(const char *text) {
  fflush(stdout);
  fprintf(stderr, HOST_NAME ": %s\n", text);
  fflush(stderr);
}

/* Is the error on top what a call says when its node stops under it? After a signal that is no fault of the script. */
static bool is_stop(lua_State *co) {
  if (!lua_istable(co, -1)) return false;
  lua_pushliteral(co, "code");
  const char *code = lua_rawget(co, -2) == LUA_TSTRING ? lua_tostring(co, -1) : "";
  bool yes =
      strcmp(code, chaski_error_name(CHASKI_ESTOPPED)) == 0 || strcmp(code, chaski_error_name(CHASKI_ECANCELLED)) == 0;
  lua_pop(co, 1);
  return yes;
}

static void main_ended(void *owner, chaski_task *task, int status, lua_State *co) {
  host_script *s = owner;
  (void)task;
  s->over = true;
  s->task = NULL;
  if (status == LUA_OK || (host_signals_came() && is_stop(co))) return;
  chaski_runtime *rt = chaski__runtime(co);
  lua_State *L = rt->L;
  s->status = EXIT_FAILURE;
  host_limit_memory(SIZE_MAX);                             /* to say why there was too little */
  if (s->looping && !host_signals_came()) uv_stop(rt->uv); /* else the nodes are leaving */
  lua_pushvalue(co, -1);
  lua_xmove(co, L, 1);
  const char *text = describe(L, lua_gettop(L));
  if (!s->no_trace) chaski__push_traceback(L, co, text, 0);
  complain(lua_tostring(L, -1));
}

static int print_stuck(lua_State *L) {
  lua_State *co = lua_touserdata(L, 1);
  luaL_traceback(L, co, "the script waits for something that can never happen: nothing is active", 0);
  complain(lua_tostring(L, -1));
  return 0;
}

void host_script_stuck(chaski_runtime *rt, host_script *s) {
  s->status = EXIT_FAILURE;
  chaski__enter(rt, print_stuck, s->task ? chaski__task_co(s->task) : rt->L);
}

/* --- chunks ---------------------------------------------------------------------------------------------------------
 */

static void load_failed(lua_State *L, host_script *s, const char *name) {
  const char *why = lua_tostring(L, -1);
  s->no_trace = true;
  if (why && strstr(why, "attempt to load a binary chunk"))
    lua_pushfstring(L, "%s: is a binary chunk; only source text is run", name);
  lua_error(L);
}

static void load_file(lua_State *L, host_script *s, const char *file) {
  if (luaL_loadfilex(L, file, "t") != LUA_OK) load_failed(L, s, file ? file : "stdin");
}

static void load_string(lua_State *L, host_script *s, const char *code, const char *name) {
  if (luaL_loadbufferx(L, code, strlen(code), name, "t") != LUA_OK) load_failed(L, s, name);
}

/* Each pushes a function and its arguments and returns their number, or returns -1: nothing to call. */

static int prepare_init(lua_State *L, host_script *s) {
  const char *name = "=LUA_INIT_" LUA_VERSION_MAJOR "_" LUA_VERSION_MINOR, *init = getenv(name + 1);
  if (!init) init = getenv((name = "=LUA_INIT") + 1);
  if (!init || s->options->ignore_env) return -1;
  if (init[0] == '@')
    load_file(L, s, init + 1);
  else
    load_string(L, s, init, name);
  return 0;
}

static int prepare_library(lua_State *L, const char *arg) {
  const char *equals = strchr(arg, '=');
  lua_getglobal(L, "require");
  if (equals)
    lua_pushlstring(L, arg, (size_t)(equals - arg));
  else
    lua_pushstring(L, arg);
  lua_replace(L, 2); /* the global, for when require has returned */
  lua_pushstring(L, equals ? equals + 1 : arg);
  return 1;
}

static int prepare_option(lua_State *L, host_script *s) {
  const char *arg = NULL;
  char option = host_options_next(s->options, &s->at, &arg);
  if (option == 'W') lua_warning(L, "@on", 0);
  if (option == 'l') return prepare_library(L, arg);
  if (option == 'e') {
    load_string(L, s, arg, "=(command line)");
    return 0;
  }
  if (option == '\0') s->stage = SOCKET;
  return -1;
}

/* Before the script, so that one can look at it when it does not get on. */
static int prepare_socket(lua_State *L, host_script *s) {
  const host_options *o = s->options;
  s->stage = SCRIPT;
  if (!o->repl_socket || o->check) return -1;
  s->no_trace = true;
  if (luaL_loadstring(
          L, "local server, why = require('chaski.repl').listen(...) if not server then error(why, 0) end") != LUA_OK)
    lua_error(L);
  lua_pushstring(L, o->repl_socket);
  return 1;
}

static int push_arguments(lua_State *L, const host_options *o) {
  int n = o->argc - o->script - 1;
  luaL_checkstack(L, n + 3, "too many arguments to script");
  for (int i = 1; i <= n; i++) lua_pushstring(L, o->argv[o->script + i]);
  return n;
}

/* A function that gets the script's name and arguments, and returns the exit code. */
static int prepare_check(lua_State *L, host_script *s) {
  s->stage = ENDING;
  if (luaL_loadstring(L, "return require('chaski.check').run(...)") != LUA_OK) lua_error(L);
  lua_pushstring(L, s->options->argv[s->options->script]);
  return push_arguments(L, s->options) + 1;
}

static int prepare_reload(lua_State *L, host_script *s) {
  const host_options *o = s->options;
  if (luaL_loadstring(L, "return require('chaski.reload').run(...)") != LUA_OK) lua_error(L);
  lua_pushboolean(L, o->watch);
  lua_pushstring(L, o->argv[o->script]);
  return push_arguments(L, o) + 2;
}

static int prepare_script(lua_State *L, host_script *s) {
  const host_options *o = s->options;
  s->no_trace = false;
  if (o->check) return prepare_check(L, s);
  s->stage = o->interactive ? DIALOGUE : END;
  if (o->reload) return prepare_reload(L, s);
  if (o->script < o->argc) {
    const char *file = o->argv[o->script];
    bool is_stdin = strcmp(file, "-") == 0 && strcmp(o->argv[o->script - 1], "--") != 0;
    load_file(L, s, is_stdin ? NULL : file);
    return push_arguments(L, o);
  }
  if (o->execute || o->version || o->interactive) return -1;
  load_file(L, s, NULL);
  return 0;
}

static int prepare_dialogue(lua_State *L, host_script *s) {
  s->stage = ENDING;
  if (!s->options->version && isatty(STDIN_FILENO)) host_print_version();
  if (luaL_loadstring(L, "return require('chaski.repl').run()") != LUA_OK) lua_error(L);
  return 0;
}

/* The result is the exit code. */
static void end_with_code(lua_State *L, host_script *s) {
  s->stage = END;
  s->status = (int)lua_tointeger(L, -1);
  host_signals_leave();
}

static int prepare(lua_State *L, host_script *s) {
  switch (s->stage) {
  case INIT:
    s->stage = OPTIONS;
    return prepare_init(L, s);
  case OPTIONS:
    return prepare_option(L, s);
  case SOCKET:
    return prepare_socket(L, s);
  case SCRIPT:
    return prepare_script(L, s);
  default:
    return prepare_dialogue(L, s);
  }
}

/* Stack: the script, the name of a global to set or nil, what was called or has returned. */
static int go_on(lua_State *L, int status, lua_KContext called) {
  host_script *s = lua_touserdata(L, 1);
  (void)status;
  for (;;) {
    if (called && lua_isstring(L, 2)) lua_setglobal(L, lua_tostring(L, 2));
    if (s->stage == ENDING) end_with_code(L, s);
    lua_settop(L, 1);
    lua_pushnil(L);
    called = 0;
    if (s->stage == END) return 0;
    int nargs = prepare(L, s);
    if (nargs < 0) continue;
    called = 1;
    lua_callk(L, nargs, 1, called, go_on);
  }
}

static int main_task(lua_State *L) {
  return go_on(L, LUA_OK, 0);
}

/* --- for main.c
 * ------------------------------------------------------------------------------------------------------- */

void host_set_arg(lua_State *L, const host_options *o) {
  int script = o->script == o->argc ? 0 : o->script;
  lua_createtable(L, o->argc - script, script + 1);
  for (int i = 0; i < o->argc; i++) {
    lua_pushstring(L, o->argv[i]);
    lua_rawseti(L, -2, i - script);
  }
  lua_setglobal(L, "arg");
}

void host_script_start(chaski_runtime *rt, host_script *s) {
  chaski_task_end end = {main_ended, s};
  s->at = 1;
  if (s->options->version) host_print_version();
  lua_pushcfunction(rt->L, main_task);
  lua_pushlightuserdata(rt->L, s);
  s->task = chaski__task_prepare(rt, rt->L, 1, "main chunk", &end, NULL);
  if (s->task) {
    chaski__task_unlimit(s->task);
    chaski__task_start(s->task);
    return;
  }
  complain("out of memory");
  s->over = true;
  s->status = EXIT_FAILURE;
}
