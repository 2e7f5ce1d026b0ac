/* pki_verify.c: is this certificate good for a role, at a time, under these roots? OpenSSL judges the chain; what it
 * does not ask (strong keys, a leaf that is no authority) is asked here. See pki.h. SPDX-License-Identifier: MIT */
#include "pki_internal.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#define DEPTH 4      /* certificates between leaf and root */
#define AUTH_LEVEL 2 /* 112 bits: no SHA-1 */

typedef struct trust {
  STACK_OF(X509) * roots, *chain;
  STACK_OF(X509_CRL) * lists; /* NULL: none */
  X509_STORE *store;          /* roots and lists */
  int64_t at;
  char *why;
} trust;

/* --- gathering -------------------------------------------------------------------------------------------------- */
static int fill_store(trust *t) {
  if (!(t->store = X509_STORE_new())) return chaski__pki_no_memory(t->why);
  for (int i = 0; i < sk_X509_num(t->roots); i++)
    if (X509_STORE_add_cert(t->store, sk_X509_value(t->roots, i)) != 1) return chaski__pki_broken(t->why, "roots");
  return CHASKI_OK;
}

static int gather(trust *t, chaski_slice chain, chaski_slice roots, chaski_slice crl) {
  int rc = chaski__pki_bundle_read(roots, "roots", &t->roots, t->why);
  if (rc == CHASKI_OK && chain.len) rc = chaski__pki_bundle_read(chain, "chain", &t->chain, t->why);
  if (rc == CHASKI_OK && crl.len) rc = chaski__pki_lists_read(crl, t->roots, &t->lists, t->why);
  return rc == CHASKI_OK ? fill_store(t) : rc;
}

static void scatter(trust *t) {
  X509_STORE_free(t->store);
  sk_X509_CRL_pop_free(t->lists, X509_CRL_free);
  sk_X509_pop_free(t->chain, X509_free);
  sk_X509_pop_free(t->roots, X509_free);
}

/* --- judging ---------------------------------------------------------------------------------------------------- */
static bool prepare(const trust *t, X509_STORE_CTX *ctx, X509 *leaf, int purpose) {
  X509_VERIFY_PARAM *param;
  if (X509_STORE_CTX_init(ctx, t->store, leaf, t->chain) != 1) return false;
  param = X509_STORE_CTX_get0_param(ctx);
  X509_VERIFY_PARAM_set_time(param, (time_t)t->at);
  X509_VERIFY_PARAM_set_depth(param, DEPTH);
  X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
  return X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT) == 1 &&
         X509_VERIFY_PARAM_set_purpose(param, purpose) == 1;
}

static int judge(const trust *t, X509_STORE_CTX *ctx) {
  int error;
  if (X509_verify_cert(ctx) == 1) return CHASKI_OK;
  error = X509_STORE_CTX_get_error(ctx);
  if (error == X509_V_ERR_OUT_OF_MEM || error == X509_V_OK) return chaski__pki_no_memory(t->why);
  return chaski__pki_refuse(t->why, "certificate: %s", X509_verify_cert_error_string(error));
}

static int check_strength(X509 *x509, char *why) {
  struct chaski_pki_key key;
  int rc = chaski__pki_key_init(&key, X509_get_pubkey(x509), X509_get_X509_PUBKEY(x509), false, why);
  if (rc != CHASKI_OK) return rc;
  rc = key.strong ? CHASKI_OK : chaski__pki_refuse(why, "certificate: a key in the chain is too weak");
  chaski__pki_key_clear(&key);
  return rc;
}

/* By hand: that a root has no list is no fault of its certificates, and what an old list names is revoked for good. */
static bool is_revoked(const trust *t, X509 *x509) {
  for (int i = 0; i < sk_X509_CRL_num(t->lists); i++) {
    X509_CRL *list = sk_X509_CRL_value(t->lists, i);
    X509_REVOKED *entry = NULL;
    if (X509_NAME_cmp(X509_CRL_get_issuer(list), X509_get_issuer_name(x509)) == 0 &&
        X509_CRL_get0_by_cert(list, &entry, x509) == 1)
      return true;
  }
  return false;
}

static int check_members(const trust *t, STACK_OF(X509) * chain) {
  int rc = CHASKI_OK;
  for (int i = 0; rc == CHASKI_OK && i < sk_X509_num(chain); i++) {
    X509 *x509 = sk_X509_value(chain, i);
    rc = is_revoked(t, x509) ? chaski__pki_refuse(t->why, "certificate: revoked") : check_strength(x509, t->why);
  }
  return rc;
}

static int check_role(const trust *t, X509 *leaf, int purpose) {
  X509_STORE_CTX *ctx = X509_STORE_CTX_new();
  int rc;
  if (!ctx) return chaski__pki_no_memory(t->why);
  rc = prepare(t, ctx, leaf, purpose) ? judge(t, ctx) : chaski__pki_broken(t->why, "certificate");
  if (rc == CHASKI_OK) rc = check_members(t, X509_STORE_CTX_get0_chain(ctx));
  X509_STORE_CTX_free(ctx);
  ERR_clear_error();
  return rc;
}

static int check_roles(const trust *t, X509 *leaf, const char *role) {
  bool both = strcmp(role, "both") == 0, client = both || strcmp(role, "client") == 0,
       server = both || strcmp(role, "server") == 0;
  int rc = CHASKI_OK;
  if (!client && !server) return chaski__pki_refuse(t->why, "role: expected client, server or both");
  if (X509_check_ca(leaf) != 0) return chaski__pki_refuse(t->why, "certificate: it is an authority's");
  if (client) rc = check_role(t, leaf, X509_PURPOSE_SSL_CLIENT);
  if (rc == CHASKI_OK && server) rc = check_role(t, leaf, X509_PURPOSE_SSL_SERVER);
  return rc;
}

int chaski_pki_verify(const chaski_pki_certificate *leaf, chaski_slice chain, chaski_slice roots, chaski_slice crl,
                      const char *role, int64_t at, char *why) {
  trust t = {.at = at, .why = why};
  int rc;
  chaski__pki_begin(why);
  rc = gather(&t, chain, roots, crl);
  if (rc == CHASKI_OK) rc = check_roles(&t, leaf->x509, role);
  scatter(&t);
  return rc;
}
