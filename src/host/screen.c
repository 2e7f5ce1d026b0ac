/* screen.c: standard output and standard error while a prompt may stand on the terminal. What is printed or logged then
 * goes above it, in whole lines; at other times straight through. Knows nothing of line editing and Lua: whoever draws
 * the prompt says how to take it away. SPDX-License-Identifier: MIT */
#include "repl.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HELD_MAX 4096 /* bytes of an unfinished line that wait for its end while a prompt stands there */

typedef struct screen_stream { /* what stands behind stdout or stderr: the cookie of fopencookie(3) */
  int fd;
  size_t held;
  char line[HELD_MAX];
} screen_stream;

static struct {
  screen_stream out, err;
  void (*hide)(void); /* a prompt stands there; NULL: none does */
  bool in_line;       /* what was written last has not ended its line */
} here = {.out.fd = STDOUT_FILENO, .err.fd = STDERR_FILENO};

static bool write_all(int fd, const char *bytes, size_t size) {
  while (size > 0) {
    ssize_t n = write(fd, bytes, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes += n;
    size -= (size_t)n;
  }
  return true;
}

static bool put(screen_stream *s, const char *bytes, size_t size) {
  if (size > 0) here.in_line = bytes[size - 1] != '\n';
  return write_all(s->fd, bytes, size);
}

static bool put_held(screen_stream *s) {
  size_t held = s->held;
  s->held = 0;
  return put(s, s->line, held);
}

static void hold(screen_stream *s, const char *bytes, size_t size) {
  memcpy(s->line + s->held, bytes, size);
  s->held += size;
}

/* Above the prompt: the lines that are complete, and the rest when it is too long to wait. */
static bool put_above(screen_stream *s, const char *bytes, size_t size) {
  const char *last = memrchr(bytes, '\n', size);
  size_t whole = last ? (size_t)(last - bytes) + 1 : 0;
  bool too_long = s->held + size > HELD_MAX;
  if (!last && !too_long) {
    hold(s, bytes, size);
    return true;
  }
  here.hide();
  bool ok = put_held(s);
  if (size - whole > HELD_MAX || !last) {
    ok = put(s, bytes, size) && ok;
    return here.in_line ? put(s, "\n", 1) && ok : ok;
  }
  ok = put(s, bytes, whole) && ok;
  hold(s, bytes + whole, size - whole);
  return ok;
}

static ssize_t on_write(void *cookie, const char *bytes, size_t size) {
  screen_stream *s = cookie;
  int before = errno;
  bool ok = size == 0 || (here.hide ? put_above(s, bytes, size) : put(s, bytes, size));
  if (ok) errno = before;
  return ok ? (ssize_t)size : 0;
}

static FILE *open_stream(screen_stream *s, int mode) {
  FILE *file = fopencookie(s, "w", (cookie_io_functions_t){.write = on_write});
  if (file) setvbuf(file, NULL, mode, BUFSIZ);
  return file;
}

/* glibc's stdout and stderr are variables: whoever prints, Lua's io library too, prints to what they hold then. */
void host_screen_open(void) {
  static bool open = false;
  if (open || !isatty(STDOUT_FILENO)) return;
  open = true;
  fflush(stdout);
  FILE *out = open_stream(&here.out, _IOLBF), *err = isatty(STDERR_FILENO) ? open_stream(&here.err, _IONBF) : NULL;
  if (out) stdout = out;
  if (err) stderr = err;
}

void host_screen_shield(void (*hide)(void)) {
  fflush(stdout);
  here.hide = hide;
  if (hide) return;
  put_held(&here.out);
  put_held(&here.err);
}

void host_screen_end_line(void) {
  fflush(stdout);
  if (here.in_line) put(&here.out, "\n", 1);
}
