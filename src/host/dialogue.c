/* dialogue.c: the module chaski.terminal, with which lua/chaski/repl talks to who sits there: read a line, history,
 * completion, Ctrl-C. Only the host program has it. SPDX-License-Identifier: MIT */
#include "../lua/task.h"
#include "repl.h"

#include <editline/readline.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HISTORY_LINES 1000
#define CANDIDATES_MAX 2000

static struct {
  chaski_runtime *rt;
  chaski_task *reader; /* waits in read */
  uint64_t wait;
  int on_interrupt, complete; /* references of functions */
  int line;                   /* reference that anchors the coroutine of the line that runs, and itself */
  lua_State *volatile line_co;
  lua_State *volatile hooked;
} here = {.on_interrupt = LUA_NOREF, .complete = LUA_NOREF, .line = LUA_NOREF};

/* --- reading ---------------------------------------------------------------------------------------------------------
 */

static int push_line(lua_State *co, void *line) {
  if (line) {
    lua_pushstring(co, line);
    return 1;
  }
  lua_pushnil(co);
  lua_pushliteral(co, "end");
  return 2;
}

static int push_interrupted(lua_State *co, void *ctx) {
  (void)ctx;
  lua_pushnil(co);
  lua_pushliteral(co, "interrupted");
  return 2;
}

static void wake_reader(int (*push)(lua_State *co, void *ctx), void *ctx) {
  chaski_task *reader = here.reader;
  here.reader = NULL;
  chaski__wake(here.rt, reader, here.wait, push, ctx);
  chaski__task_release(reader);
}

static void on_line(const char *line) {
  wake_reader(push_line, (void *)line);
}

static void forget_reader(void *ctx) {
  (void)ctx;
  host_terminal_end("");
  chaski__task_release(here.reader);
  here.reader = NULL;
}

/* read(prompt) -> line | nil, "end" | nil, "interrupted" */
static int l_read(lua_State *L) {
  const char *prompt = luaL_checkstring(L, 1);
  chaski__check_task(L, "terminal.read");
  if (here.reader) return luaL_error(L, "terminal.read: another task reads");
  here.reader = chaski__task_hold(here.rt);
  here.wait = chaski__wait(here.rt);
  host_terminal_edit(prompt);
  return chaski__park(L, here.rt, -1, forget_reader, NULL);
}

/* --- Ctrl-C ----------------------------------------------------------------------------------------------------------
 */

static void raise_interrupted(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  here.hooked = NULL;
  host_terminal_interrupted();
  luaL_error(L, "interrupted");
}

/* Still there: the registry anchors the coroutines of all tasks. */
static bool is_anchored(lua_State *L, const lua_State *co) {
  bool found = false;
  for (lua_Unsigned i = lua_rawlen(L, LUA_REGISTRYINDEX); i > 0 && !found; i--) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, (lua_Integer)i);
    found = lua_tothread(L, -1) == co;
    lua_pop(L, 1);
  }
  return found;
}

static int call_on_interrupt(lua_State *L) {
  if (here.hooked && is_anchored(L, here.hooked)) lua_sethook(here.hooked, NULL, 0, 0); /* it has come to rest */
  here.hooked = NULL;
  lua_rawgeti(L, LUA_REGISTRYINDEX, here.on_interrupt);
  lua_call(L, 0, 0);
  return 0;
}

static void on_interrupt(void) {
  if (here.reader) {
    host_terminal_end("^C");
    wake_reader(push_interrupted, NULL);
  } else
    chaski__enter(here.rt, call_on_interrupt, NULL);
}

/* As in lua(1): a hook stops Lua code that runs. The first time only that of the line; a handler may be about to end.
 */
bool host_dialogue_interrupt(void) {
  int times = 0;
  if (!here.rt || !host_terminal_interrupt(&times)) return false;
  const chaski_task *current = here.rt->current;
  lua_State *co = current ? chaski__task_co(current) : NULL;
  if (co && (times > 0 || co == here.line_co)) {
    here.hooked = co;
    lua_sethook(co, raise_interrupted, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
  }
  return true;
}

/* running([coroutine]): what Ctrl-C stops; none: no line runs */
static int l_running(lua_State *L) {
  luaL_unref(L, LUA_REGISTRYINDEX, here.line);
  here.line_co = lua_tothread(L, 1);
  lua_settop(L, 1);
  here.line = here.line_co ? luaL_ref(L, LUA_REGISTRYINDEX) : LUA_NOREF;
  return 0;
}

/* --- completion ------------------------------------------------------------------------------------------------------
 */

struct completion {
  const char *before, *word;
  char **matches; /* as readline wants them: what they have in common, then each, then NULL; libedit frees all */
};

static char **copy_list(lua_State *L, size_t n) {
  char **list = calloc(n + 2, sizeof *list);
  for (size_t i = 0; list && i < n; i++) {
    lua_rawgeti(L, -1, (lua_Integer)i + 1);
    const char *text = lua_tostring(L, -1);
    list[i + 1] = text ? strdup(text) : NULL;
    lua_pop(L, 1);
    if (list[i + 1]) continue;
    while (i > 0) free(list[i--]);
    free(list);
    return NULL;
  }
  return list;
}

static size_t common_length(char **list, size_t n) {
  size_t common = strlen(list[1]);
  for (size_t i = 2; i <= n; i++) {
    size_t j = 0;
    while (j < common && list[i][j] == list[1][j]) j++;
    common = j;
  }
  return common;
}

static int call_complete(lua_State *L) {
  struct completion *c = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, here.complete);
  lua_pushstring(L, c->before);
  lua_pushstring(L, c->word);
  lua_call(L, 2, 1);
  size_t n = lua_istable(L, -1) ? lua_rawlen(L, -1) : 0;
  if (n == 0 || n > CANDIDATES_MAX || !(c->matches = copy_list(L, n))) return 0;
  c->matches[0] = strndup(c->matches[1], common_length(c->matches, n));
  if (n == 1 && c->matches[0]) { /* one match stands alone */
    free(c->matches[1]);
    c->matches[1] = NULL;
  }
  return 0;
}

static char **complete(const char *before, const char *word) {
  struct completion c = {before, word, NULL};
  if (!chaski__enter(here.rt, call_complete, &c)) return NULL;
  return c.matches;
}

/* --- the module ------------------------------------------------------------------------------------------------------
 */

/* io.stdout and io.stderr were opened with the library: now they are what C calls so. */
static void refresh_stream(lua_State *L, const char *name, FILE *file) {
  lua_getglobal(L, "io");
  lua_getfield(L, -1, name);
  luaL_Stream *stream = luaL_testudata(L, -1, LUA_FILEHANDLE);
  if (stream && stream->closef) stream->f = file;
  lua_pop(L, 2);
}

static void open_screen(lua_State *L) {
  FILE *out = stdout, *err = stderr;
  host_screen_open();
  if (stdout != out) refresh_stream(L, "stdout", stdout);
  if (stderr != err) refresh_stream(L, "stderr", stderr);
}

/* start(on_interrupt, complete) -> whether there is a terminal. on_interrupt() is called when Ctrl-C comes and nobody
 * reads; complete(line before the cursor, word) -> list of words. */
static int l_start(lua_State *L) {
  static const terminal_events events = {on_line, on_interrupt, complete};
  luaL_checktype(L, 1, LUA_TFUNCTION);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  chaski_runtime *rt = chaski__runtime(L);
  bool started = host_terminal_start(rt->uv, &events);
  if (started) {
    open_screen(L);
    here.complete = luaL_ref(L, LUA_REGISTRYINDEX);
    here.on_interrupt = luaL_ref(L, LUA_REGISTRYINDEX);
    here.rt = rt;
  }
  lua_pushboolean(L, started);
  return 1;
}

static int l_add_history(lua_State *L) {
  add_history(luaL_checkstring(L, 1));
  return 0;
}

/* load_history(path), save_history(path) -> whether it worked */
static int l_load_history(lua_State *L) {
  stifle_history(HISTORY_LINES);
  lua_pushboolean(L, read_history(luaL_checkstring(L, 1)) == 0);
  return 1;
}

static int l_save_history(lua_State *L) {
  lua_pushboolean(L, write_history(luaL_checkstring(L, 1)) == 0);
  return 1;
}

int host_open_dialogue(lua_State *L) {
  static const luaL_Reg functions[] = {{"start", l_start},
                                       {"read", l_read},
                                       {"running", l_running},
                                       {"add_history", l_add_history},
                                       {"load_history", l_load_history},
                                       {"save_history", l_save_history},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}

void host_dialogue_close(void) {
  here.rt = NULL;
  host_terminal_stop();
}
