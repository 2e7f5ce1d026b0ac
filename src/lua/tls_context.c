/* tls_context.c: contexts of TLS (src/tls/tls.h) for scripts: who a node is and whom it trusts. Here everything is
 * bytes; that an option may also name a file is lua/chaski/tls.lua's affair. See tls_binding.h.
 * SPDX-License-Identifier: MIT */
#include "binding.h"
#include "tls_binding.h"

#define CLASS "chaski.tls.context"
#define PIN_PREFIX "sha256:"

typedef struct context_box {
  chaski_tls_context *context; /* NULL: closed */
} context_box;

static context_box *new_box(lua_State *L) {
  context_box *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->context = NULL;
  luaL_setmetatable(L, CLASS);
  return box;
}

chaski_tls_context *chaski__lua_check_tls_context(lua_State *L, int index) {
  context_box *box = luaL_checkudata(L, index, CLASS);
  luaL_argcheck(L, box->context, index, "the context is closed");
  return box->context;
}

/* --- making ----------------------------------------------------------------------------------------------------- */
#define OPTIONS(X)                                                                                                     \
  X(certificate)                                                                                                       \
  X(key)                                                                                                               \
  X(passphrase)                                                                                                        \
  X(ca)                                                                                                                \
  X(crl)                                                                                                               \
  X(pin)                                                                                                               \
  X(alpn)                                                                                                              \
  X(anonymous)
#define NAME(name) #name,
#define INDEX(name) OPTION_##name,
enum { OPTIONS(INDEX) };
static const char *const names[] = {OPTIONS(NAME) NULL};

/* 32 bytes as they are, or as 64 hex digits, which "sha256:" may precede; false when absent. */
static bool read_pin(const chaski__options *o, uint8_t out[CHASKI_TLS_PIN]) {
  chaski_slice pin = chaski__option_bytes(o, OPTION_pin);
  size_t prefix = sizeof PIN_PREFIX - 1;
  if (!pin.ptr) return false;
  if (pin.len == CHASKI_TLS_PIN) {
    memcpy(out, pin.ptr, CHASKI_TLS_PIN);
    return true;
  }
  if (pin.len > prefix && memcmp(pin.ptr, PIN_PREFIX, prefix) == 0) pin.ptr += prefix, pin.len -= prefix;
  if (pin.len != 2 * CHASKI_TLS_PIN || !chaski__read_hex((const char *)pin.ptr, CHASKI_TLS_PIN, out))
    chaski__wrong_option(o, OPTION_pin, "64 hex digits or 32 bytes");
  return true;
}

static void read_options(const chaski__options *o, chaski_tls_options *out, uint8_t pin[CHASKI_TLS_PIN]) {
  out->certificate = chaski__option_bytes(o, OPTION_certificate);
  out->key = chaski__option_bytes(o, OPTION_key);
  out->passphrase = chaski__option_bytes(o, OPTION_passphrase);
  out->ca = chaski__option_bytes(o, OPTION_ca);
  out->crl = chaski__option_bytes(o, OPTION_crl);
  out->alpn = chaski__option_text(o, OPTION_alpn);
  out->anonymous = chaski__option_bool(o, OPTION_anonymous);
  out->pin = read_pin(o, pin) ? pin : NULL;
}

static int new_context(lua_State *L) { /* { options } -> context, or nil, err */
  char why[CHASKI_TLS_WHY_MAX];
  uint8_t pin[CHASKI_TLS_PIN];
  chaski_tls_options options = {.now = chaski__wall_time(L)};
  chaski__options o = chaski__spread_options(L, 1, names);
  context_box *box = new_box(L);
  read_options(&o, &options, pin);
  int rc = chaski_tls_context_new(&options, &box->context, why);
  return rc == CHASKI_OK ? 1 : chaski__refused(L, rc, why);
}

/* --- using ------------------------------------------------------------------------------------------------------ */
static int with_crl(lua_State *L) { /* (context, pem or der) -> a new context, or nil, err */
  char why[CHASKI_TLS_WHY_MAX];
  chaski_slice crl = chaski__check_slice(L, 2);
  if (!crl.len) return chaski__refused(L, CHASKI_ECERTIFICATE, "revocation list: empty"); /* not: none any more */
  context_box *box = new_box(L);
  int rc = chaski_tls_context_with_crl(chaski__lua_check_tls_context(L, 1), crl, &box->context, why);
  return rc == CHASKI_OK ? 1 : chaski__refused(L, rc, why);
}

static int may(lua_State *L) { /* (context, "publish", "subscribe" or "relay" [, topic]) */
  static const char *const rights[] = {"publish", "subscribe", "relay", NULL};
  static const enum chaski_right values[] = {CHASKI_RIGHT_PUBLISH, CHASKI_RIGHT_SUBSCRIBE, CHASKI_RIGHT_RELAY};
  const chaski_tls_context *context = chaski__lua_check_tls_context(L, 1);
  enum chaski_right right = values[luaL_checkoption(L, 2, NULL, rights)];
  chaski_slice topic = chaski_slice_of("", 0);
  if (right != CHASKI_RIGHT_RELAY || !lua_isnoneornil(L, 3)) topic = chaski__check_slice(L, 3);
  lua_pushboolean(L, chaski_tls_context_may(context, right, topic));
  return 1;
}

static int get_identity(lua_State *L) {
  lua_pushstring(L, chaski_tls_context_identity(chaski__lua_check_tls_context(L, 1)));
  return 1;
}

static int get_id(lua_State *L) {
  lua_pushstring(L, chaski_tls_context_id(chaski__lua_check_tls_context(L, 1)));
  return 1;
}

static int get_not_after(lua_State *L) {
  lua_pushinteger(L, chaski_tls_context_not_after(chaski__lua_check_tls_context(L, 1)));
  return 1;
}

static int context_tostring(lua_State *L) {
  const context_box *box = luaL_checkudata(L, 1, CLASS);
  const char *identity = box->context ? chaski_tls_context_identity(box->context) : "closed";
  lua_pushfstring(L, CLASS " (%s)", *identity ? identity : "no identity");
  return 1;
}

static int context_gc(lua_State *L) {
  context_box *box = luaL_checkudata(L, 1, CLASS);
  chaski_tls_context *context = box->context;
  box->context = NULL;
  if (context) chaski_tls_context_release(context);
  return 0;
}

void chaski__open_tls_context(lua_State *L) {
  static const luaL_Reg methods[] = {{"may", may}, {"with_crl", with_crl}, {NULL, NULL}};
  static const luaL_Reg getters[] = {
      {"identity", get_identity}, {"id", get_id}, {"not_after", get_not_after}, {NULL, NULL}};
  static const luaL_Reg meta[] = {
      {"__gc", context_gc}, {"__close", context_gc}, {"__tostring", context_tostring}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"tls_context", new_context}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
  chaski__class(L, CLASS, meta, methods, getters);
  lua_pop(L, 3);
}
