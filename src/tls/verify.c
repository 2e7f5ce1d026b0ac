/* verify.c: is this certificate good, for this role, now? One function for what a peer shows, for our own, and for a
 * live peer that is looked at again. The chain is OpenSSL's to judge, at a time that is given; key strength,
 * revocation, name and rights are judged here. SPDX-License-Identifier: MIT */
#include "internal.h"

#include "pki_internal.h"

#include "../core/alloc.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

/* --- keys --------------------------------------------------------------------------------------------------------- */

static enum chaski__tls_fault key_of(X509 *certificate, struct chaski_pki_key *key) {
  char why[CHASKI_PKI_WHY_MAX];
  EVP_PKEY *pkey = X509_get_pubkey(certificate);
  if (!pkey) return CHASKI__TLS_BAD_CERTIFICATE;
  int rc = chaski__pki_key_init(key, pkey, X509_get_X509_PUBKEY(certificate), false, why);
  if (rc == CHASKI_OK) return CHASKI__TLS_FINE;
  return rc == CHASKI_ENOMEM ? CHASKI__TLS_MEMORY : CHASKI__TLS_WEAK_KEY;
}

static enum chaski__tls_fault strength(X509 *certificate) {
  struct chaski_pki_key key;
  enum chaski__tls_fault fault = key_of(certificate, &key);
  if (fault) return fault;
  bool strong = key.strong;
  chaski__pki_key_clear(&key);
  return strong ? CHASKI__TLS_FINE : CHASKI__TLS_WEAK_KEY;
}

static bool has_key(X509 *certificate, const uint8_t hash[CHASKI_TLS_PIN]) {
  struct chaski_pki_key key;
  if (key_of(certificate, &key)) return false;
  bool same = memcmp(key.hash, hash, CHASKI_TLS_PIN) == 0;
  chaski__pki_key_clear(&key);
  return same;
}

/* --- the chain ---------------------------------------------------------------------------------------------------- */

/* With a pin the root may come from the peer, for its key is known. */
static bool add_pinned(STACK_OF(X509) * to, const chaski_tls_context *c, STACK_OF(X509) * from) {
  for (int i = 0; i < sk_X509_num(from); i++) {
    X509 *each = sk_X509_value(from, i);
    if (X509_self_signed(each, 0) != 1 || !has_key(each, c->pin)) continue;
    if (!sk_X509_push(to, each)) return false;
  }
  return true;
}

static STACK_OF(X509) * anchors(const chaski_tls_context *c, STACK_OF(X509) * untrusted) {
  STACK_OF(X509) *all = sk_X509_new_null();
  bool ok = all != NULL;
  if (c->pinned) ok = ok && add_pinned(all, c, untrusted) && add_pinned(all, c, c->roots);
  for (int i = 0; ok && !c->pinned && i < sk_X509_num(c->roots); i++)
    ok = sk_X509_push(all, sk_X509_value(c->roots, i)) > 0;
  if (ok) return all;
  sk_X509_free(all);
  return NULL;
}

static enum chaski__tls_fault judge_chain(X509_STORE_CTX *v, enum chaski__tls_role role, int64_t now) {
  if (!X509_STORE_CTX_set_default(v, role == CHASKI__TLS_CLIENT ? "ssl_client" : "ssl_server"))
    return CHASKI__TLS_MEMORY;
  X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(v);
  X509_VERIFY_PARAM_set_time(param, (time_t)now);
  X509_VERIFY_PARAM_set_depth(param, CHASKI__TLS_DEPTH);
  X509_VERIFY_PARAM_set_auth_level(param, 2);
  if (!X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_CHECK_SS_SIGNATURE)) return CHASKI__TLS_MEMORY;
  if (X509_verify_cert(v) > 0) return CHASKI__TLS_FINE;
  int error = X509_STORE_CTX_get_error(v);
  return error == X509_V_OK ? CHASKI__TLS_MEMORY : chaski__tls_fault_of_x509(error);
}

/* --- the certificates of the chain -------------------------------------------------------------------------------- */

/* By hand, because a list may be missing for one of two roots, and an old one is better than none: what it names is
 * revoked for good. */
static bool is_revoked(const chaski_tls_context *c, X509 *certificate) {
  for (int i = 0; i < sk_X509_CRL_num(c->lists); i++) {
    X509_CRL *list = sk_X509_CRL_value(c->lists, i);
    X509_REVOKED *entry = NULL;
    if (X509_NAME_cmp(X509_CRL_get_issuer(list), X509_get_issuer_name(certificate)) != 0) continue;
    if (X509_CRL_get0_by_cert(list, &entry, certificate) == 1) return true;
  }
  return false;
}

static enum chaski__tls_fault judge_members(const chaski_tls_context *c, STACK_OF(X509) * chain, int64_t *not_after) {
  enum chaski__tls_fault fault = CHASKI__TLS_FINE;
  int64_t until = INT64_MAX;
  for (int i = 0; !fault && i < sk_X509_num(chain); i++) {
    X509 *each = sk_X509_value(chain, i);
    int64_t end = chaski__tls_time(X509_get0_notAfter(each));
    if (end < until) until = end;
    fault = is_revoked(c, each) ? CHASKI__TLS_REVOKED : strength(each);
  }
  if (not_after) *not_after = until;
  return fault;
}

static enum chaski__tls_fault judge(const chaski_tls_context *c, X509_STORE_CTX *v, enum chaski__tls_role role,
                                    int64_t now, int64_t *not_after) {
  enum chaski__tls_fault fault = judge_chain(v, role, now);
  if (fault) return fault;
  fault = judge_members(c, X509_STORE_CTX_get0_chain(v), not_after);
  if (fault) return fault;
  X509 *leaf = X509_STORE_CTX_get0_cert(v);
  return X509_get_extension_flags(leaf) & EXFLAG_CA ? CHASKI__TLS_AUTHORITY : CHASKI__TLS_FINE;
}

enum chaski__tls_fault chaski__tls_verify(const chaski_tls_context *c, X509 *leaf, STACK_OF(X509) * untrusted,
                                          enum chaski__tls_role role, int64_t now, int64_t *not_after) {
  enum chaski__tls_fault fault = CHASKI__TLS_MEMORY;
  STACK_OF(X509) *trusted = anchors(c, untrusted);
  X509_STORE_CTX *v = X509_STORE_CTX_new();
  if (trusted && v && X509_STORE_CTX_init(v, NULL, leaf, untrusted)) {
    X509_STORE_CTX_set0_trusted_stack(v, trusted);
    fault = judge(c, v, role, now, not_after);
  }
  X509_STORE_CTX_free(v);
  sk_X509_free(trusted);
  ERR_clear_error();
  return fault;
}

/* --- the peer of a stream ----------------------------------------------------------------------------------------- */

void chaski__tls_peer_free(chaski__tls_peer *peer) {
  if (!peer) return;
  chaski__free(peer->rights);
  chaski__free(peer->der);
  chaski__free(peer);
}

static enum chaski__tls_fault name_peer(const chaski_tls_context *c, chaski__tls_peer *peer, X509 *leaf) {
  chaski__tls_identity identity;
  enum chaski__tls_fault fault = chaski__tls_identity_read(leaf, &identity);
  if (fault) return fault;
  if (c->identity.mesh_len && !chaski__tls_same_mesh(&c->identity, &identity)) return CHASKI__TLS_OTHER_MESH;
  const char *id = chaski__tls_identity_id(&identity);
  memcpy(peer->id, id, strlen(id) + 1);
  return chaski__tls_rights_read(leaf, &peer->rights);
}

static enum chaski__tls_fault meet(chaski_stream *s, X509 *leaf, STACK_OF(X509) * untrusted) {
  enum chaski__tls_role role = s->dialled ? CHASKI__TLS_SERVER : CHASKI__TLS_CLIENT;
  int64_t now = chaski__tls_wall(s->layer), not_after;
  enum chaski__tls_fault fault = chaski__tls_verify(s->context, leaf, untrusted, role, now, &not_after);
  if (fault) return fault;
  chaski__tls_peer *peer = chaski__calloc(1, sizeof *peer);
  if (!peer) return CHASKI__TLS_MEMORY;
  peer->not_after = not_after;
  fault = name_peer(s->context, peer, leaf);
  if (fault)
    chaski__tls_peer_free(peer);
  else
    s->peer = peer;
  return fault;
}

/* A server that chose no protocol is noticed here, where an alert can still be sent; one that knows none of ours
 * refuses by itself. */
static bool lacks_protocol(const chaski_stream *s) {
  const unsigned char *name;
  unsigned len = 0;
  SSL_get0_alpn_selected(s->ssl, &name, &len);
  return s->dialled && len == 0;
}

int chaski__tls_verify_peer(X509_STORE_CTX *found, void *unused) {
  (void)unused;
  SSL *ssl = X509_STORE_CTX_get_ex_data(found, SSL_get_ex_data_X509_STORE_CTX_idx());
  chaski_stream *s = SSL_get_app_data(ssl);
  if (lacks_protocol(s))
    s->fault = CHASKI__TLS_ALPN;
  else
    s->fault = meet(s, X509_STORE_CTX_get0_cert(found), X509_STORE_CTX_get0_untrusted(found));
  X509_STORE_CTX_set_error(found, chaski__tls_fault_info_of(s->fault)->x509);
  return s->fault == CHASKI__TLS_FINE;
}
