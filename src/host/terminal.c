/* terminal.c: a line editor on the loop: keys come by uv_poll, libedit edits through readline's callback interface. The
 * loop never waits for a key: only whole keys (an escape sequence, a character of several bytes) are handed on. Knows
 * nothing of Lua and of what a line means. SPDX-License-Identifier: MIT */
#include "repl.h"

#include <editline/readline.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#define KEYS_MAX 65536 /* bytes that were typed, or pasted, and not handed on */
#define KEY_WAIT 1000  /* ms for the rest of a key whose begin asked for more than was foreseen */
#define ESCAPE 0x1b
#define NO_CHARACTER 0xfffd
#define TAKEN_MAX 2 /* times Ctrl-C is left to a loop that does not come to it */

static struct {
  const terminal_events *events; /* NULL: not started */
  uv_loop_t *loop;
  uv_poll_t poll;
  uv_prepare_t redraw; /* active while the prompt is hidden */
  uv_idle_t more;      /* keys are left from before */
  uv_async_t async;
  uv_signal_t resized, continued;
  int fd; /* the terminal, opened again: non-blocking is a property of an open file, and others have stdin's */
  FILE *out;
  bool editing, hidden, accepted;
  volatile sig_atomic_t active, interrupts;
  struct termios before;
  size_t at, size; /* of keys */
  char *line, *prompt;
  unsigned char keys[KEYS_MAX];
} here;

/* --- keys -----------------------------------------------------------------------------------------------------------
 */

static size_t escape_length(const unsigned char *key, size_t size);

/* Bytes of the key that begins here; 0: its end has not come yet. */
static size_t key_length(const unsigned char *key, size_t size) {
  wchar_t c;
  mbstate_t state = {0};
  if (size == 0) return 0;
  if (*key == ESCAPE) return escape_length(key, size);
  if (*key == CTRL('X') || *key == CTRL('V')) return size > 1 ? 2 : 0;
  size_t n = mbrtowc(&c, (const char *)key, size, &state);
  if (n == (size_t)-2) return 0;
  return n == (size_t)-1 || n == 0 ? 1 : n;
}

/* ESC key, ESC O key, or ESC [ parameters final. */
static size_t escape_length(const unsigned char *key, size_t size) {
  if (size < 2) return 0;
  if (key[1] == 'O') return size > 2 ? 3 : 0;
  if (key[1] != '[') {
    size_t rest = key_length(key + 1, size - 1);
    return rest ? rest + 1 : 0;
  }
  for (size_t i = 2; i < size; i++)
    if (key[i] >= 0x40) return i + 1;
  return 0;
}

static bool has_key(void) {
  return here.at < here.size && key_length(here.keys + here.at, here.size - here.at) > 0;
}

/* What Ctrl-D leaves behind that was typed while a line ran: libedit would wait for more. */
static void drop_nuls(size_t from) {
  size_t to = from;
  for (size_t i = from; i < here.size; i++)
    if (here.keys[i] != '\0') here.keys[to++] = here.keys[i];
  here.size = to;
}

/* False: the terminal is gone. */
static bool read_keys(void) {
  if (here.at > 0) memmove(here.keys, here.keys + here.at, here.size - here.at);
  here.size -= here.at;
  here.at = 0;
  if (here.size == KEYS_MAX) here.size = 0; /* one key of 64 KiB is none */
  size_t from = here.size;
  ssize_t n = read(here.fd, here.keys + here.size, KEYS_MAX - here.size);
  if (n > 0) here.size += (size_t)n;
  drop_nuls(from);
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* For libedit: the next character. A key may ask for more than it should, say in vi's mode: then we wait a moment. */
static int next_character(FILE *file) {
  wchar_t c = 0;
  mbstate_t state = {0};
  struct pollfd ready = {.fd = here.fd, .events = POLLIN};
  (void)file;
  if (here.at == here.size && (poll(&ready, 1, KEY_WAIT) != 1 || !read_keys() || here.size == 0)) return CTRL('G');
  size_t n = mbrtowc(&c, (const char *)here.keys + here.at, here.size - here.at, &state);
  bool good = n != (size_t)-1 && n != (size_t)-2;
  here.at += good && n > 0 ? n : 1;
  return good ? (int)c : NO_CHARACTER;
}

/* --- the prompt comes and goes -------------------------------------------------------------------------------------
 */

static size_t columns_of(const char *text, size_t size) {
  size_t columns = 0;
  mbstate_t state = {0};
  while (size > 0) {
    wchar_t c;
    size_t n = mbrtowc(&c, text, size, &state);
    if (n == 0 || n == (size_t)-1 || n == (size_t)-2) {
      state = (mbstate_t){0};
      n = 1, c = L'?';
    }
    int width = wcwidth(c);
    columns += width >= 0 ? (size_t)width : 2; /* ^X */
    text += n;
    size -= n;
  }
  return columns;
}

static size_t rows_above_cursor(void) {
  int rows = 0, columns = 0;
  rl_get_screen_size(&rows, &columns);
  size_t before = columns_of(here.prompt, strlen(here.prompt));
  if (rl_line_buffer && rl_point > 0) before += columns_of(rl_line_buffer, (size_t)rl_point);
  return columns > 0 ? before / (size_t)columns : 0;
}

static void on_redraw(uv_prepare_t *prepare) {
  uv_prepare_stop(prepare);
  if (!here.hidden) return;
  here.hidden = false;
  rl_forced_update_display();
}

/* Drawn again when the loop has nothing else to do. */
static void hide(void) {
  if (here.hidden) return;
  size_t rows = rows_above_cursor();
  here.hidden = true;
  fputc('\r', here.out);
  if (rows > 0) fprintf(here.out, "\033[%zuA", rows);
  fputs("\033[J", here.out);
  fflush(here.out);
  uv_prepare_start(&here.redraw, on_redraw);
}

static void show(void) {
  on_redraw(&here.redraw);
}

/* --- editing ---------------------------------------------------------------------------------------------------------
 */

static void on_accepted(char *line) {
  here.accepted = true;
  here.line = line;
  rl_callback_handler_remove();
}

static void on_more(uv_idle_t *idle);

static void stop_editing(void) {
  here.editing = false;
  if (here.hidden) show();
  uv_poll_stop(&here.poll);
  uv_idle_stop(&here.more);
  uv_prepare_stop(&here.redraw);
  host_screen_shield(NULL);
}

static void finish(char *line) {
  if (!line) fputc('\n', here.out);
  fflush(here.out);
  stop_editing();
  here.events->on_line(line);
  free(line);
}

static void feed(void) {
  show();
  while (!here.accepted && has_key()) rl_callback_read_char();
  fflush(here.out);
  if (!here.accepted) return;
  here.accepted = false;
  finish(here.line);
}

static void on_more(uv_idle_t *idle) {
  uv_idle_stop(idle);
  feed();
}

static void gone(void) {
  rl_callback_handler_remove();
  finish(NULL);
}

static void on_keys(uv_poll_t *poll, int status, int events) {
  (void)poll, (void)events;
  if (status < 0 || !read_keys())
    gone();
  else
    feed();
}

static bool set_prompt(const char *prompt) {
  char *copy = strdup(prompt);
  if (!copy) return false;
  free(here.prompt);
  here.prompt = copy;
  return true;
}

void host_terminal_edit(const char *prompt) {
  if (!set_prompt(prompt)) prompt = here.prompt;
  host_screen_end_line();
  here.editing = true;
  rl_callback_handler_install(prompt, on_accepted);
  rl_point = rl_end = 0; /* libedit tells after the first key */
  fflush(here.out);
  host_screen_shield(hide);
  uv_poll_start(&here.poll, UV_READABLE, on_keys);
  if (has_key()) uv_idle_start(&here.more, on_more);
}

void host_terminal_end(const char *mark) {
  if (!here.editing) return;
  show();
  rl_reset_terminal(NULL);
  rl_callback_handler_remove();
  fprintf(here.out, "%s\n", mark);
  fflush(here.out);
  here.at = here.size = 0;
  stop_editing();
}

bool host_terminal_editing(void) {
  return here.editing;
}

/* --- signals ---------------------------------------------------------------------------------------------------------
 */

bool host_terminal_interrupt(int *times) {
  if (!here.active) return false;
  *times = here.interrupts;
  if (here.interrupts >= TAKEN_MAX) return false;
  here.interrupts++;
  uv_async_send(&here.async);
  return true;
}

void host_terminal_interrupted(void) {
  here.interrupts = 0;
}

static void on_async(uv_async_t *async) {
  (void)async;
  if (here.interrupts == 0) return;
  here.interrupts = 0;
  here.events->on_interrupt();
}

static void on_resized(uv_signal_t *handle, int number) {
  (void)handle, (void)number;
  if (!here.editing) return;
  hide();
  rl_resize_terminal();
}

/* The shell has set the terminal to its own ways meanwhile. */
static void on_continued(uv_signal_t *handle, int number) {
  (void)handle, (void)number;
  if (!here.editing) return;
  rl_deprep_terminal();
  rl_prep_terminal(1);
  rl_forced_update_display();
}

void host_terminal_restore(void) {
  if (here.active) tcsetattr(STDIN_FILENO, TCSADRAIN, &here.before);
}

/* --- starting and stopping ------------------------------------------------------------------------------------------
 */

static int open_terminal(void) {
  const char *name = ttyname(STDIN_FILENO);
  return name ? open(name, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK) : -1;
}

static char **no_file_names(const char *text, int state) {
  (void)text, (void)state;
  return NULL;
}

static char **complete(const char *word, int start, int end) {
  rl_attempted_completion_over = 1;
  char *before = strndup(rl_line_buffer, (size_t)end);
  char **found = before ? here.events->complete(before, word) : NULL;
  (void)start;
  free(before);
  return found;
}

static void set_up_libedit(void) {
  static char breaks[] = " \t\n\"'`~!@$%^&*()-=+[]{}\\|;<>,/?#";
  rl_readline_name = "chaski-lua";
  rl_instream = stdin;
  rl_outstream = here.out;
  rl_getc_function = next_character;
  rl_catch_signals = 0;
  rl_initialize();
  using_history();
  rl_attempted_completion_function = complete;
  rl_completion_entry_function = (rl_compentry_func_t *)no_file_names;
  rl_completer_word_break_characters = breaks;
  rl_completion_append_character = '\0';
  rl_completion_query_items = KEYS_MAX; /* never ask: it would wait */
  /* The incremental search waits for keys inside; this one searches for what stands before the cursor. */
  rl_parse_and_bind("bind ^R ed-search-prev-history");
  rl_parse_and_bind("bind ^S ed-search-next-history");
}

static void start_handles(uv_loop_t *loop) {
  uv_prepare_init(loop, &here.redraw);
  uv_idle_init(loop, &here.more);
  uv_async_init(loop, &here.async, on_async);
  uv_signal_init(loop, &here.resized);
  uv_signal_init(loop, &here.continued);
  uv_signal_start(&here.resized, on_resized, SIGWINCH);
  uv_signal_start(&here.continued, on_continued, SIGCONT);
  uv_unref((uv_handle_t *)&here.redraw);
  uv_unref((uv_handle_t *)&here.resized);
  uv_unref((uv_handle_t *)&here.continued);
}

bool host_terminal_start(uv_loop_t *loop, const terminal_events *events) {
  static bool at_exit;
  if (here.events || tcgetattr(STDIN_FILENO, &here.before) != 0 || !isatty(STDOUT_FILENO)) return false;
  here.fd = open_terminal();
  int out = here.fd < 0 ? -1 : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  here.out = out < 0 ? NULL : fdopen(out, "w");
  if (!here.out || uv_poll_init(loop, &here.poll, here.fd) != 0) {
    if (here.out) fclose(here.out);
    if (here.fd >= 0) close(here.fd);
    return false;
  }
  setlocale(LC_CTYPE, "");
  here.events = events;
  here.loop = loop;
  start_handles(loop);
  set_up_libedit();
  here.active = true;
  if (!at_exit) atexit(host_terminal_restore);
  at_exit = true;
  return true;
}

void host_terminal_stop(void) {
  if (!here.events) return;
  host_terminal_end("");
  host_terminal_restore();
  here.active = false;
  uv_close((uv_handle_t *)&here.poll, NULL);
  uv_close((uv_handle_t *)&here.redraw, NULL);
  uv_close((uv_handle_t *)&here.more, NULL);
  uv_close((uv_handle_t *)&here.async, NULL);
  uv_close((uv_handle_t *)&here.resized, NULL);
  uv_close((uv_handle_t *)&here.continued, NULL);
  close(here.fd);
  here.events = NULL;
}
