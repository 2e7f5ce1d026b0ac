/* tls_binding.h: what the files of the TLS side of the binding share, and what they give to the rest: the table pki and
 * contexts of TLS. Keys, requests, certificates and contexts are userdata that own one C object each.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_LUA_TLS_BINDING_H
#define CHASKI_LUA_TLS_BINDING_H

#include "../tls/tls.h"

#include <lauxlib.h>
#include <lua.h>

/* --- tables of options, spread over the stack (pki_options.c) ------------------------------------------------------
 * Finalizers may run at any allocation and could take away what an option table holds. So all its values are brought
 * onto the stack first; what reads them then allocates nothing unless it raises, and C may borrow until the next call
 * that does. Options are named by their index in `names`. */
typedef struct chaski__options {
  lua_State *L;
  int arg; /* the table; the value of names[i] is at arg + 1 + i */
  const char *const *names;
} chaski__options;

/* The table at arg, whose keys must be among names, becomes the last on the stack but for its values. */
chaski__options chaski__spread_options(lua_State *L, int arg, const char *const names[]);
/* Raise about an option: expected something else than what is there. */
int chaski__wrong_option(const chaski__options *o, int i, const char *expected);
bool chaski__has_option(const chaski__options *o, int i);
chaski_slice chaski__option_bytes(const chaski__options *o, int i); /* ptr NULL when absent */
const char *chaski__option_text(const chaski__options *o, int i);   /* without NUL inside; NULL when absent */
bool chaski__option_bool(const chaski__options *o, int i);          /* absent: false */
int64_t chaski__option_time(const chaski__options *o, int i); /* seconds since 1970, must be there; rounded down */
/* A userdata of this class; NULL when absent. */
void *chaski__option_object(const chaski__options *o, int i, const char *class_name);
/* How many items the list has, at most max; absent: 0. Then the items, texts without NUL. */
size_t chaski__option_count(const chaski__options *o, int i, size_t max);
void chaski__option_texts(const chaski__options *o, int i, size_t n, const char **out);

int64_t chaski__wall_time(lua_State *L); /* s since 1970 in the current world */
/* nil and an error with this text and the code's name. Returns 2. */
int chaski__refused(lua_State *L, int code, const char *why);

/* --- pki.c, pki_text.c ------------------------------------------------------------------------------------------- */
void chaski__push_hex(lua_State *L, const void *bytes, size_t len);
/* 2 * len hex digits to bytes; false when they are none. */
bool chaski__read_hex(const char *digits, size_t len, uint8_t *out);
void chaski__open_pki_text(lua_State *L); /* adds its functions to the table on top */
void chaski__open_pki(lua_State *L);      /* adds `pki` to the module table on top */

/* --- tls_context.c ----------------------------------------------------------------------------------------------- */
void chaski__open_tls_context(lua_State *L); /* adds `tls_context` to the module table on top */
/* The context at index, valid while the userdata is there. Raises if it is none, or closed. */
chaski_tls_context *chaski__lua_check_tls_context(lua_State *L, int index);

#endif
