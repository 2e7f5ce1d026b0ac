/* pki.c: the table pki of chaski.core: keys, requests, certificates and revocation lists (src/tls/pki.h) for scripts.
 * What a key, a request or a file is refused for comes as nil, err; mistakes of the caller raise. Userdata own what C
 * made and are there before it is made. SPDX-License-Identifier: MIT */
#include "../tls/pki.h"

#include "binding.h"
#include "options.h"
#include "tls_binding.h"

#define KEY "chaski.pki.key"
#define REQUEST "chaski.pki.request"
#define CERTIFICATE "chaski.pki.certificate"
#define BYTES "chaski.pki.bytes" /* only inside a function: bytes that wait to become a string */
#define SERIALS_MAX 4096
#define RANDOM_MAX 65536

typedef struct key_box {
  chaski_pki_key *key; /* NULL: closed */
} key_box;

typedef struct request_box {
  chaski_pki_request *request;
} request_box;

typedef struct certificate_box {
  chaski_pki_certificate *certificate;
  chaski_pki_info info;
} certificate_box;

/* --- bytes ------------------------------------------------------------------------------------------------------ */
static chaski_pki_bytes *new_bytes(lua_State *L) {
  chaski_pki_bytes *bytes = lua_newuserdatauv(L, sizeof *bytes, 0);
  *bytes = (chaski_pki_bytes){NULL, 0};
  luaL_setmetatable(L, BYTES);
  return bytes;
}

static int bytes_gc(lua_State *L) {
  chaski_pki_bytes_free(luaL_checkudata(L, 1, BYTES));
  return 0;
}

/* What a function that fills bytes has returned, for Lua. */
static int give_bytes(lua_State *L, int rc, chaski_pki_bytes *bytes, const char *why) {
  if (rc != CHASKI_OK) return chaski__refused(L, rc, why);
  lua_pushlstring(L, (const char *)bytes->ptr, bytes->len);
  chaski_pki_bytes_free(bytes);
  return 1;
}

/* A string or nothing. */
static chaski_slice opt_slice(lua_State *L, int arg) {
  return lua_isnoneornil(L, arg) ? chaski_slice_of(NULL, 0) : chaski__check_slice(L, arg);
}

/* --- keys ------------------------------------------------------------------------------------------------------- */
static key_box *new_key_box(lua_State *L) {
  key_box *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->key = NULL;
  luaL_setmetatable(L, KEY);
  return box;
}

static chaski_pki_key *check_key(lua_State *L, int arg) {
  key_box *box = luaL_checkudata(L, arg, KEY);
  luaL_argcheck(L, box->key, arg, "the key is closed");
  return box->key;
}

static int new_key(lua_State *L) { /* ([kind]) */
  static const char *const kinds[] = {"p256", "p384", "ed25519", "rsa3072", "rsa4096", NULL};
  char why[CHASKI_PKI_WHY_MAX];
  const char *kind = kinds[luaL_checkoption(L, 1, "p256", kinds)];
  int rc = chaski_pki_key_new(kind, &new_key_box(L)->key, why);
  return rc == CHASKI_OK ? 1 : chaski__refused(L, rc, why);
}

static int read_key(lua_State *L) { /* (pem [, passphrase]) */
  char why[CHASKI_PKI_WHY_MAX];
  chaski_slice pem = chaski__check_slice(L, 1), passphrase = opt_slice(L, 2);
  int rc = chaski_pki_key_read(pem, passphrase, &new_key_box(L)->key, why);
  return rc == CHASKI_OK ? 1 : chaski__refused(L, rc, why);
}

static int key_pem(lua_State *L) { /* (key [, passphrase]) */
  char why[CHASKI_PKI_WHY_MAX];
  chaski_slice passphrase = opt_slice(L, 2);
  chaski_pki_bytes *bytes = new_bytes(L);
  return give_bytes(L, chaski_pki_key_write(check_key(L, 1), passphrase, bytes, why), bytes, why);
}

static int push_key_hash(lua_State *L, const chaski_pki_key *key) {
  uint8_t hash[CHASKI_PKI_HASH];
  chaski_pki_key_hash(key, hash);
  chaski__push_hex(L, hash, sizeof hash);
  return 1;
}

static int key_hash(lua_State *L) {
  return push_key_hash(L, check_key(L, 1));
}

static int key_tostring(lua_State *L) {
  const key_box *box = luaL_checkudata(L, 1, KEY);
  if (!box->key) {
    lua_pushliteral(L, KEY " (closed)");
    return 1;
  }
  push_key_hash(L, box->key);
  lua_pushfstring(L, KEY " (public sha256:%s)", lua_tostring(L, -1));
  return 1;
}

static int key_gc(lua_State *L) {
  key_box *box = luaL_checkudata(L, 1, KEY);
  chaski_pki_key *key = box->key;
  box->key = NULL;
  chaski_pki_key_free(key);
  return 0;
}

/* --- subjects --------------------------------------------------------------------------------------------------- */
static const char *const subject_names[] = {"C", "ST", "L", "O", "OU", "CN", NULL};

static void set_attribute(chaski_pki_subject *s, size_t i, const char *text) {
  const char **const fields[] = {&s->country, &s->state, &s->locality, &s->organisation, &s->unit, &s->common_name};
  *fields[i] = text;
}

static const char *get_attribute(const chaski_pki_subject *s, size_t i) {
  const char *const texts[] = {s->country, s->state, s->locality, s->organisation, s->unit, s->common_name};
  return texts[i];
}

static size_t attribute_index(const char *name) {
  size_t i = 0;
  while (subject_names[i] && strcmp(subject_names[i], name) != 0) i++;
  return i;
}

/* Texts of the table at idx, absolute, which is (a part of) argument arg. Borrowed from it. */
static void read_subject(lua_State *L, int arg, int idx, chaski_pki_subject *out) {
  *out = (chaski_pki_subject){0};
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
    size_t i = lua_type(L, -2) == LUA_TSTRING ? attribute_index(lua_tostring(L, -2)) : 6;
    if (!subject_names[i]) luaL_argerror(L, arg, "unknown field in the subject, expected C, ST, L, O, OU or CN");
    if (lua_type(L, -1) != LUA_TSTRING || strlen(lua_tostring(L, -1)) != lua_rawlen(L, -1))
      luaL_argerror(L, arg,
                    lua_pushfstring(L, "field '%s' of the subject: expected string without NUL, got %s",
                                    subject_names[i], luaL_typename(L, -1)));
    set_attribute(out, i, lua_tostring(L, -1));
  }
}

/* --- requests --------------------------------------------------------------------------------------------------- */
static int new_request(lua_State *L) { /* (key, subject) */
  char why[CHASKI_PKI_WHY_MAX];
  chaski_pki_subject subject;
  chaski_pki_bytes *bytes;
  luaL_checktype(L, 2, LUA_TTABLE);
  chaski__check_options(L, 2, subject_names);
  bytes = new_bytes(L);
  read_subject(L, 2, 2, &subject);
  return give_bytes(L, chaski_pki_request_new(check_key(L, 1), &subject, bytes, why), bytes, why);
}

static int read_request(lua_State *L) { /* (der or pem) */
  char why[CHASKI_PKI_WHY_MAX];
  chaski_slice bytes = chaski__check_slice(L, 1);
  request_box *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->request = NULL;
  luaL_setmetatable(L, REQUEST);
  int rc = chaski_pki_request_read(bytes, &box->request, why);
  return rc == CHASKI_OK ? 1 : chaski__refused(L, rc, why);
}

static chaski_pki_request *check_request(lua_State *L, int arg) {
  request_box *box = luaL_checkudata(L, arg, REQUEST);
  luaL_argcheck(L, box->request, arg, "the request is closed");
  return box->request;
}

static int request_subject(lua_State *L) {
  const chaski_pki_request *request = check_request(L, 1);
  lua_createtable(L, 0, 6);
  for (size_t i = 0; subject_names[i]; i++) {
    const char *text = get_attribute(chaski_pki_request_subject(request), i);
    if (!text) continue;
    lua_pushstring(L, text);
    lua_setfield(L, -2, subject_names[i]);
  }
  return 1;
}

static int request_key_hash(lua_State *L) {
  return push_key_hash(L, chaski_pki_request_key(check_request(L, 1)));
}

static int request_tostring(lua_State *L) {
  const request_box *box = luaL_checkudata(L, 1, REQUEST);
  const char *name = box->request ? chaski_pki_request_subject(box->request)->common_name : "closed";
  lua_pushfstring(L, REQUEST " (%s)", name ? name : "no name");
  return 1;
}

static int request_gc(lua_State *L) {
  request_box *box = luaL_checkudata(L, 1, REQUEST);
  chaski_pki_request *request = box->request;
  box->request = NULL;
  chaski_pki_request_free(request);
  return 0;
}

/* --- certificates: reading -------------------------------------------------------------------------------------- */
static int read_certificate(lua_State *L) { /* (pem or der) */
  char why[CHASKI_PKI_WHY_MAX];
  chaski_slice bytes = chaski__check_slice(L, 1);
  certificate_box *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->certificate = NULL;
  luaL_setmetatable(L, CERTIFICATE);
  int rc = chaski_pki_certificate_read(bytes, &box->certificate, why);
  if (rc == CHASKI_OK) rc = chaski_pki_certificate_info(box->certificate, &box->info, why);
  return rc == CHASKI_OK ? 1 : chaski__refused(L, rc, why);
}

static certificate_box *check_certificate(lua_State *L, int arg) {
  certificate_box *box = luaL_checkudata(L, arg, CERTIFICATE);
  luaL_argcheck(L, box->certificate, arg, "the certificate is closed");
  return box;
}

static void push_uris(lua_State *L, const certificate_box *box) {
  char uri[CHASKI_PKI_URI_MAX], why[CHASKI_PKI_WHY_MAX];
  lua_newtable(L);
  for (size_t i = 0; i < box->info.uris; i++) {
    if (chaski_pki_certificate_uri(box->certificate, i, uri, why) != CHASKI_OK) luaL_error(L, "%s", why);
    lua_pushstring(L, uri);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

static int certificate_info(lua_State *L) {
  const certificate_box *box = check_certificate(L, 1);
  const chaski_pki_info *info = &box->info;
  lua_createtable(L, 0, 11);
  lua_pushstring(L, info->serial), lua_setfield(L, -2, "serial");
  lua_pushstring(L, info->subject), lua_setfield(L, -2, "subject");
  lua_pushstring(L, info->issuer), lua_setfield(L, -2, "issuer");
  lua_pushstring(L, info->uri), lua_setfield(L, -2, "uri");
  push_uris(L, box), lua_setfield(L, -2, "uris");
  if (info->has_rights) lua_pushstring(L, info->rights), lua_setfield(L, -2, "rights");
  lua_pushinteger(L, info->not_before), lua_setfield(L, -2, "not_before");
  lua_pushinteger(L, info->not_after), lua_setfield(L, -2, "not_after");
  lua_pushboolean(L, info->authority), lua_setfield(L, -2, "authority");
  chaski__push_hex(L, info->key_hash, sizeof info->key_hash), lua_setfield(L, -2, "key_hash");
  chaski__push_hex(L, info->hash, sizeof info->hash), lua_setfield(L, -2, "hash");
  return 1;
}

static int certificate_tostring(lua_State *L) {
  const certificate_box *box = luaL_checkudata(L, 1, CERTIFICATE);
  if (box->certificate)
    lua_pushfstring(L, CERTIFICATE " (%s, serial %s)", box->info.subject, box->info.serial);
  else
    lua_pushliteral(L, CERTIFICATE " (closed)");
  return 1;
}

static int certificate_gc(lua_State *L) {
  certificate_box *box = luaL_checkudata(L, 1, CERTIFICATE);
  chaski_pki_certificate *certificate = box->certificate;
  box->certificate = NULL;
  chaski_pki_certificate_free(certificate);
  return 0;
}

/* --- objects among options: NULL when absent -------------------------------------------------------------------- */
static chaski_pki_key *option_key(const chaski__options *o, int i) {
  const key_box *box = chaski__option_object(o, i, KEY);
  if (box && !box->key) chaski__wrong_option(o, i, "a key that is not closed");
  return box ? box->key : NULL;
}

static chaski_pki_request *option_request(const chaski__options *o, int i) {
  const request_box *box = chaski__option_object(o, i, REQUEST);
  if (box && !box->request) chaski__wrong_option(o, i, "a request that is not closed");
  return box ? box->request : NULL;
}

static chaski_pki_certificate *option_certificate(const chaski__options *o, int i) {
  const certificate_box *box = chaski__option_object(o, i, CERTIFICATE);
  if (box && !box->certificate) chaski__wrong_option(o, i, "a certificate that is not closed");
  return box ? box->certificate : NULL;
}

static const char *option_role(const chaski__options *o, int i) {
  const char *role = chaski__option_text(o, i);
  if (!role) return "both";
  if (strcmp(role, "both") != 0 && strcmp(role, "client") != 0 && strcmp(role, "server") != 0)
    chaski__wrong_option(o, i, "'client', 'server' or 'both'");
  return role;
}

/* --- certificates: making --------------------------------------------------------------------------------------- */
#define ISSUE_OPTIONS(X)                                                                                               \
  X(subject)                                                                                                           \
  X(uri)                                                                                                               \
  X(ip) X(dns) X(rights) X(not_before) X(not_after) X(authority) X(role) X(key) X(request) X(issuer) X(issuer_key)
#define NAME(name) #name,
#define INDEX(name) ISSUE_##name,
enum { ISSUE_OPTIONS(INDEX) };
static const char *const issue_names[] = {ISSUE_OPTIONS(NAME) NULL};
#undef INDEX

static void read_names(const chaski__options *o, int i, const char *out[CHASKI_PKI_NAMES_MAX]) {
  chaski__option_texts(o, i, chaski__option_count(o, i, CHASKI_PKI_NAMES_MAX), out);
}

static void read_issue(const chaski__options *o, chaski_pki_issue *what) {
  const char *role = option_role(o, ISSUE_role);
  *what = (chaski_pki_issue){.client_only = *role == 'c', .server_only = *role == 's'};
  if (lua_istable(o->L, o->arg + 1 + ISSUE_subject))
    read_subject(o->L, o->arg, o->arg + 1 + ISSUE_subject, &what->subject);
  else if (chaski__has_option(o, ISSUE_subject))
    chaski__wrong_option(o, ISSUE_subject, "table");
  what->uri = chaski__option_text(o, ISSUE_uri);
  read_names(o, ISSUE_ip, what->ip);
  read_names(o, ISSUE_dns, what->dns);
  what->rights = chaski__option_text(o, ISSUE_rights);
  what->not_before = chaski__option_time(o, ISSUE_not_before);
  what->not_after = chaski__option_time(o, ISSUE_not_after);
  what->authority = chaski__option_bool(o, ISSUE_authority);
}

/* Whose certificate it is to be: `key` or `request`, one of them. */
static chaski_pki_key *public_key(const chaski__options *o) {
  chaski_pki_key *key = option_key(o, ISSUE_key);
  chaski_pki_request *request = option_request(o, ISSUE_request);
  luaL_argcheck(o->L, !key != !request, o->arg, "one of the options 'key' and 'request' must be there, not both");
  return key ? key : chaski_pki_request_key(request);
}

static int new_certificate(lua_State *L) { /* { options } */
  char why[CHASKI_PKI_WHY_MAX];
  chaski_pki_issue what;
  chaski__options o = chaski__spread_options(L, 1, issue_names);
  chaski_pki_bytes *bytes = new_bytes(L);
  read_issue(&o, &what);
  chaski_pki_key *key = public_key(&o), *issuer_key = option_key(&o, ISSUE_issuer_key);
  chaski_pki_certificate *issuer = option_certificate(&o, ISSUE_issuer);
  if (!issuer_key && !issuer) issuer_key = option_key(&o, ISSUE_key);
  if (!issuer_key) chaski__wrong_option(&o, ISSUE_issuer_key, KEY);
  return give_bytes(L, chaski_pki_issue_certificate(&what, key, issuer, issuer_key, bytes, why), bytes, why);
}

/* --- verifying -------------------------------------------------------------------------------------------------- */
#define VERIFY_OPTIONS(X) X(chain) X(roots) X(crl) X(role) X(at)
#define INDEX(name) VERIFY_##name,
enum { VERIFY_OPTIONS(INDEX) };
static const char *const verify_names[] = {VERIFY_OPTIONS(NAME) NULL};
#undef INDEX

/* (certificate, { options }) -> true, or nil, err */
static int verify(lua_State *L) {
  char why[CHASKI_PKI_WHY_MAX];
  int64_t at = chaski__wall_time(L);
  chaski__options o = chaski__spread_options(L, 2, verify_names);
  chaski_slice chain = chaski__option_bytes(&o, VERIFY_chain), roots = chaski__option_bytes(&o, VERIFY_roots),
               crl = chaski__option_bytes(&o, VERIFY_crl);
  if (!roots.ptr) chaski__wrong_option(&o, VERIFY_roots, "string");
  if (chaski__has_option(&o, VERIFY_at)) at = chaski__option_time(&o, VERIFY_at);
  const char *role = option_role(&o, VERIFY_role);
  int rc = chaski_pki_verify(check_certificate(L, 1)->certificate, chain, roots, crl, role, at, why);
  if (rc != CHASKI_OK) return chaski__refused(L, rc, why);
  lua_pushboolean(L, true);
  return 1;
}

/* --- revocation lists ------------------------------------------------------------------------------------------- */
#define CRL_OPTIONS(X) X(number) X(serials) X(this_update) X(next_update) X(issuer) X(issuer_key)
#define INDEX(name) CRL_##name,
enum { CRL_OPTIONS(INDEX) };
static const char *const crl_names[] = {CRL_OPTIONS(NAME) NULL};
#undef INDEX

static uint64_t list_number(const chaski__options *o) {
  int isnum, slot = o->arg + 1 + CRL_number;
  lua_Integer number = lua_tointegerx(o->L, slot, &isnum);
  if (!isnum || lua_type(o->L, slot) != LUA_TNUMBER || number < 0)
    chaski__wrong_option(o, CRL_number, "integer from 0");
  return (uint64_t)number;
}

static int new_crl(lua_State *L) { /* { options } */
  char why[CHASKI_PKI_WHY_MAX];
  chaski__options o = chaski__spread_options(L, 1, crl_names);
  size_t n = chaski__option_count(&o, CRL_serials, SERIALS_MAX);
  const char **serials = lua_newuserdatauv(L, (n + 1) * sizeof *serials, 0);
  chaski_pki_bytes *bytes = new_bytes(L);
  chaski__option_texts(&o, CRL_serials, n, serials);
  uint64_t number = list_number(&o);
  int64_t from = chaski__option_time(&o, CRL_this_update), to = chaski__option_time(&o, CRL_next_update);
  chaski_pki_certificate *issuer = option_certificate(&o, CRL_issuer);
  chaski_pki_key *key = option_key(&o, CRL_issuer_key);
  if (!issuer) chaski__wrong_option(&o, CRL_issuer, CERTIFICATE);
  if (!key) chaski__wrong_option(&o, CRL_issuer_key, KEY);
  return give_bytes(L, chaski_pki_crl_new(number, serials, n, from, to, issuer, key, bytes, why), bytes, why);
}

static int check_crl(lua_State *L) { /* (der or pem, roots) -> { number =, root_hash = } */
  char why[CHASKI_PKI_WHY_MAX];
  uint64_t number;
  uint8_t hash[CHASKI_PKI_HASH];
  int rc = chaski_pki_crl_check(chaski__check_slice(L, 1), chaski__check_slice(L, 2), &number, hash, why);
  if (rc != CHASKI_OK) return chaski__refused(L, rc, why);
  if (number > (uint64_t)LUA_MAXINTEGER)
    return chaski__refused(L, CHASKI_ECERTIFICATE, "revocation list: its number is too large");
  lua_createtable(L, 0, 2);
  lua_pushinteger(L, (lua_Integer)number), lua_setfield(L, -2, "number");
  chaski__push_hex(L, hash, sizeof hash), lua_setfield(L, -2, "root_hash");
  return 1;
}

/* --- small ones ------------------------------------------------------------------------------------------------- */
static int sha256(lua_State *L) { /* (bytes) -> 32 bytes */
  uint8_t hash[CHASKI_PKI_HASH];
  chaski_pki_sha256(chaski__check_slice(L, 1), hash);
  lua_pushlstring(L, (const char *)hash, sizeof hash);
  return 1;
}

static int hmac(lua_State *L) { /* (key, bytes) -> 32 bytes, by SHA-256 */
  uint8_t mac[CHASKI_PKI_HASH];
  chaski_pki_hmac_sha256(chaski__check_slice(L, 1), chaski__check_slice(L, 2), mac);
  lua_pushlstring(L, (const char *)mac, sizeof mac);
  return 1;
}

static int random_bytes(lua_State *L) { /* (n) -> n bytes that nobody can guess */
  lua_Integer n = luaL_checkinteger(L, 1);
  luaL_Buffer b;
  luaL_argcheck(L, n >= 0 && n <= RANDOM_MAX, 1, "0..65536 expected");
  char *out = luaL_buffinitsize(L, &b, (size_t)n);
  int rc = chaski_pki_random(out, (size_t)n);
  if (rc != CHASKI_OK) return chaski__refused(L, rc, "random: the generator has no seed");
  luaL_pushresultsize(&b, (size_t)n);
  return 1;
}

static int equal(lua_State *L) { /* (a, b): in a time that says nothing of where they differ */
  lua_pushboolean(L, chaski_pki_equal(chaski__check_slice(L, 1), chaski__check_slice(L, 2)));
  return 1;
}

/* --- the table -------------------------------------------------------------------------------------------------- */
static void open_classes(lua_State *L) {
  static const luaL_Reg key_methods[] = {{"pem", key_pem}, {"hash", key_hash}, {NULL, NULL}};
  static const luaL_Reg key_meta[] = {
      {"__gc", key_gc}, {"__close", key_gc}, {"__tostring", key_tostring}, {NULL, NULL}};
  static const luaL_Reg request_methods[] = {
      {"subject", request_subject}, {"key_hash", request_key_hash}, {NULL, NULL}};
  static const luaL_Reg request_meta[] = {
      {"__gc", request_gc}, {"__close", request_gc}, {"__tostring", request_tostring}, {NULL, NULL}};
  static const luaL_Reg certificate_methods[] = {{"info", certificate_info}, {NULL, NULL}};
  static const luaL_Reg certificate_meta[] = {
      {"__gc", certificate_gc}, {"__close", certificate_gc}, {"__tostring", certificate_tostring}, {NULL, NULL}};
  static const luaL_Reg bytes_meta[] = {{"__gc", bytes_gc}, {NULL, NULL}};
  chaski__class(L, KEY, key_meta, key_methods, NULL);
  chaski__class(L, REQUEST, request_meta, request_methods, NULL);
  chaski__class(L, CERTIFICATE, certificate_meta, certificate_methods, NULL);
  chaski__class(L, BYTES, bytes_meta, NULL, NULL);
  lua_pop(L, 12);
}

void chaski__open_pki(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"key", new_key},
      {"read_key", read_key},
      {"request", new_request},
      {"read_request", read_request},
      {"certificate", new_certificate},
      {"read_certificate", read_certificate},
      {"verify", verify},
      {"crl", new_crl},
      {"check_crl", check_crl},
      {"sha256", sha256},
      {"hmac", hmac},
      {"random", random_bytes},
      {"equal", equal},
      {NULL, NULL},
  };
  luaL_checkstack(L, 16, NULL);
  open_classes(L);
  luaL_newlib(L, functions);
  chaski__open_pki_text(L);
  lua_setfield(L, -2, "pki");
}
