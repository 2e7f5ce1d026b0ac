/* repl.h: what the files of the interactive mode share with each other and with the rest of the host. The dialogue
 * itself is lua/chaski/repl; here is only what it needs of a terminal. SPDX-License-Identifier: MIT */
#ifndef CHASKI_HOST_REPL_H
#define CHASKI_HOST_REPL_H

#include "../lua/runtime.h"

/* --- screen.c ------------------------------------------------------------------------------------------------------
 */
/* When standard output is a terminal: from now on stdout and stderr, which are other streams then, know of a prompt.
 * Before Lua opens its libraries, or whoever calls tells them. Without memory they stay as they are. Again: nothing. */
void host_screen_open(void);
/* A prompt stands there: hide() is called before something is written. NULL: it does no longer. */
void host_screen_shield(void (*hide)(void));
/* The next line begins at the margin. */
void host_screen_end_line(void);

/* --- terminal.c: a line editor on the loop --------------------------------------------------------------------------
 */
typedef struct terminal_events {
  void (*on_line)(const char *line);                        /* NULL: the end, Ctrl-D. Editing has ended */
  void (*on_interrupt)(void);                               /* Ctrl-C: from the loop, with no Lua running */
  char **(*complete)(const char *before, const char *word); /* as rl_attempted_completion_function; all malloc'ed */
} terminal_events;

/* Take the terminal on standard input and output, until stop. False: it is none, or cannot be used. */
bool host_terminal_start(uv_loop_t *loop, const terminal_events *events);
void host_terminal_stop(void);
/* Show the prompt and edit a line, once: until on_line or end. Only while editing the loop is kept alive by this. */
void host_terminal_edit(const char *prompt);
/* Editing ends without a line; `mark` shows why behind what was typed. */
void host_terminal_end(const char *mark);
/* Is Ctrl-C ours? True when it was taken: on_interrupt is called from the loop. False at the third one that the loop
 * has not come to. *times counts these. Async-signal-safe. */
bool host_terminal_interrupt(int *times);
/* Somebody has done what Ctrl-C is for; on_interrupt is not called. */
void host_terminal_interrupted(void);
bool host_terminal_editing(void);
/* As the terminal was before start. Async-signal-safe; the process ends. */
void host_terminal_restore(void);

/* --- dialogue.c: the terminal as a Lua module ------------------------------------------------------------------------
 */
int host_open_dialogue(lua_State *L); /* chaski.terminal */
/* For the handler of SIGINT: true when the dialogue takes it. Async-signal-safe. */
bool host_dialogue_interrupt(void);
/* Before the loop is closed. */
void host_dialogue_close(void);

#endif
