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
    "  --check            check 'script' without listening: syntax, options, ports, and a run on a virtual network\n"
    "  --reload           run 'script' again at SIGHUP: nodes of the same name and their edges stay\n"
    "  --watch            the same, and when its file changes\n"
    "  --help             show this text\n"
    "  --version          show version information and end\n"
    "  --                 stop handling options\n"
    "  -                  stop handling options and execute stdin\n"
    "Environment: LUA_INIT_5_4, LUA_INIT (a statement, or @file), LUA_PATH, LUA_CPATH, CHASKI_LOG (a level).\n"
    "All options and the script run as one task, which may wait. After it the loop runs on as long as a node, a timer\n"
    "or another task is active. SIGINT and SIGTERM shut down in good order within 5 seconds; a second one ends at "
    "once.\n"
    "Exit code: 0, 1 after an error, what os.exit was given; 0 after an orderly shutdown, 128 + signal otherwise.\n";

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

static bool log_level(host_options *o, const char *arg, const char *value, int *status) {
  if (!value) return refuse(arg, "needs argument", status);
  if (chaski__log_level(value) < 0) return refuse(value, "is no log level", status);
  o->log_level = value;
  return true;
}

static bool long_option(host_options *o, int *i, int *status) {
  static const char level[] = "--log-level";
  const char *arg = o->argv[*i];
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
  if (strcmp(arg, level) == 0) return log_level(o, arg, o->argv[++*i], status);
  if (strncmp(arg, level, sizeof level - 1) == 0 && arg[sizeof level - 1] == '=')
    return log_level(o, arg, arg + sizeof level, status);
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

bool host_options_read(int argc, char **argv, host_options *o, int *status) {
  *o = (host_options){.argv = argv, .argc = argc};
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

char host_options_next(const host_options *o, int *at, const char **arg) {
  while (*at < o->script) {
    const char *word = o->argv[(*at)++];
    char kind = word[0] == '-' ? word[1] : '\0';
    if (strcmp(word, "--log-level") == 0) ++*at;
    if (kind == 'W') return kind;
    if (kind != 'e' && kind != 'l') continue;
    *arg = word[2] ? word + 2 : o->argv[(*at)++];
    return kind;
  }
  return '\0';
}
