/* options.c: the command line, which is that of lua(1) 5.4 and a few long options. SPDX-License-Identifier: MIT */
#include "host.h"

#include "version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: " HOST_NAME " [options] [script [args]]\n"
    "Available options are:\n"
    "  -e stat            execute string 'stat'\n"
    "  -i                 enter interactive mode after executing 'script'\n"
    "  -l mod             require library 'mod' into global 'mod'\n"
    "  -l g=mod           require library 'mod' into global 'g'\n"
    "  -v                 show version information\n"
    "  -E                 ignore environment variables\n"
    "  -W                 turn warnings on\n"
    "  --log-level LEVEL  error, warn (the default), info, debug or trace\n"
    "  --memory-limit SIZE    Lua's memory: bytes, or 64K, 256M (the default), 2G; 0: no limit\n"
    "  --handler-warn SECONDS   log where a handler is that runs for so long without waiting; 0.1; 0: never\n"
    "  --handler-limit SECONDS  stop it by an error; 1; 0: never\n"
    "  --handler-abort SECONDS  end the process, as it cannot be stopped; 0 (the default): never\n"
    "  --check            check 'script' without listening: syntax, options, ports, and a run on a virtual network\n"
    "  --reload           run 'script' again at SIGHUP: nodes of the same name and their edges stay\n"
    "  --watch            the same, and when its file changes\n"
    "  --repl-socket PATH let 'chaski repl PATH' in, for processes of this user only\n"
    "  --help             show this text\n"
    "  --version          show version information and end\n"
    "  --                 stop handling options\n"
    "  -                  stop handling options and execute stdin\n"
    "Environment: LUA_INIT_5_4, LUA_INIT (a statement, or @file), LUA_PATH, LUA_CPATH, CHASKI_LOG (a level),\n"
    "  CHASKI_MEMORY_LIMIT, CHASKI_HANDLER_WARN, CHASKI_HANDLER_LIMIT, CHASKI_HANDLER_ABORT (as the options).\n"
    "All options and the script run as one task, which may wait. After it the loop runs on as long as a node, a timer\n"
    "or another task is active. SIGINT and SIGTERM shut down in good order within 5 seconds; a second one ends at "
    "once.\n"
    "Exit code: 0, 1 after an error, what os.exit was given; 0 after an orderly shutdown, 128 + signal otherwise; 70\n"
    "after --handler-abort.\n";

void host_print_version(void) {
  printf(HOST_NAME " " CHASKI_VERSION "  " LUA_COPYRIGHT "  libuv %s\n", uv_version_string());
  fflush(stdout);
}

static bool end(int code, int *status) {
  *status = code;
  return false;
}

static bool refuse(const char *arg, const char *why, int *status) {
  fprintf(stderr, HOST_NAME ": '%s' %s\n%s", arg, why, usage);
  return end(EXIT_FAILURE, status);
}

/* The options that have an argument. */
static const char *const valued[] = {
    "--log-level", "--repl-socket", "--memory-limit", "--handler-warn", "--handler-limit", "--handler-abort", NULL};

/* Which of them it is, alone or with = and its argument: *value, NULL when that is the next word. */
static const char *find_valued(const char *arg, const char **value) {
  for (const char *const *name = valued; *name; name++) {
    size_t len = strlen(*name);
    if (strncmp(arg, *name, len) != 0 || (arg[len] != '\0' && arg[len] != '=')) continue;
    *value = arg[len] ? arg + len + 1 : NULL;
    return *name;
  }
  return NULL;
}

static bool log_level(host_options *o, const char *value, int *status) {
  if (chaski__log_level(value) < 0) return refuse(value, "is no log level", status);
  o->log_level = value;
  return true;
}

static bool valued_option(host_options *o, int *i, const char *name, const char *value, int *status) {
  if (!value) value = o->argv[++*i];
  if (!value) return refuse(name, "needs argument", status);
  if (name == valued[0]) return log_level(o, value, status);
  if (name == valued[1]) return *value ? (o->repl_socket = value) != NULL : refuse(name, "needs argument", status);
  const char *why = host_limits_read(&o->limits, name + 2, value);
  return why ? refuse(value, why, status) : true;
}

static bool long_option(host_options *o, int *i, int *status) {
  const char *arg = o->argv[*i], *value = NULL, *name = find_valued(arg, &value);
  if (strcmp(arg, "--help") == 0) {
    fputs(usage, stdout);
    return end(EXIT_SUCCESS, status);
  }
  if (strcmp(arg, "--version") == 0) {
    host_print_version();
    return end(EXIT_SUCCESS, status);
  }
  if (strcmp(arg, "--check") == 0) return o->check = true;
  if (strcmp(arg, "--reload") == 0) return o->reload = true;
  if (strcmp(arg, "--watch") == 0) return o->reload = o->watch = true;
  if (name) return valued_option(o, i, name, value, status);
  return refuse(arg, "is an unrecognized option", status);
}

/* -e and -l: the argument is the rest of the word, or the next one. */
static bool with_argument(host_options *o, int *i, int *status) {
  const char *arg = o->argv[*i];
  if (arg[1] == 'e') o->execute = true;
  if (arg[2] != '\0') return true;
  const char *next = o->argv[++*i];
  return next && next[0] != '-' ? true : refuse(arg, "needs argument", status);
}

static bool letter(host_options *o, const char *arg, int *status) {
  if (strchr("ivEW", arg[1]) == NULL || arg[2] != '\0') return refuse(arg, "is an unrecognized option", status);
  if (arg[1] == 'i') o->interactive = true;
  if (arg[1] == 'v') o->version = true;
  if (arg[1] == 'E') o->ignore_env = true;
  return true;
}

static bool read_words(int argc, char **argv, bool with_env, host_options *o, int *status) {
  *o = (host_options){.argv = argv, .argc = argc};
  host_limits_init(&o->limits, with_env);
  int i = 1;
  for (; argv[i]; i++) {
    const char *arg = argv[i];
    bool ok = true;
    if (arg[0] != '-' || arg[1] == '\0') break;
    if (strcmp(arg, "--") == 0) {
      i++;
      break;
    }
    if (arg[1] == '-')
      ok = long_option(o, &i, status);
    else if (arg[1] == 'e' || arg[1] == 'l')
      ok = with_argument(o, &i, status);
    else
      ok = letter(o, arg, status);
    if (!ok) return false;
  }
  o->script = i;
  if (i == argc && (o->check || o->reload))
    return refuse(o->check ? "--check" : o->watch ? "--watch" : "--reload", "needs a script", status);
  if (i == argc && !o->execute && !o->version && isatty(STDIN_FILENO)) o->interactive = true;
  return true;
}

/* Twice, as what an option says counts more than the environment, and -E may stand last. */
bool host_options_read(int argc, char **argv, host_options *o, int *status) {
  if (!read_words(argc, argv, false, o, status)) return false;
  return o->ignore_env || read_words(argc, argv, true, o, status);
}

char host_options_next(const host_options *o, int *at, const char **arg) {
  while (*at < o->script) {
    const char *word = o->argv[(*at)++], *value = NULL;
    char kind = word[0] == '-' ? word[1] : '\0';
    if (find_valued(word, &value) && !value) ++*at;
    if (kind == 'W') return kind;
    if (kind != 'e' && kind != 'l') continue;
    *arg = word[2] ? word + 2 : o->argv[(*at)++];
    return kind;
  }
  return '\0';
}
