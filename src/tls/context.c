/* context.c: who we are and whom we trust: read from PEM, checked as a whole before anything is made of it, then
 * unchanging and shared. SPDX-License-Identifier: MIT */
#include "internal.h"

#include "pki_internal.h"

#include "../core/alloc.h"

#include <openssl/err.h>
#include <stdio.h>
#include <time.h>

static int refuse(char *why, const char *text) {
  ERR_clear_error();
  snprintf(why, CHASKI_TLS_WHY_MAX, "%s", text);
  return CHASKI_ECERTIFICATE;
}

static int refuse_fault(char *why, enum chaski__tls_fault fault) {
  const chaski__tls_fault_info *info = chaski__tls_fault_info_of(fault);
  return info->code == CHASKI_ENOMEM ? CHASKI_ENOMEM : refuse(why, info->text);
}

int64_t chaski__tls_time(const ASN1_TIME *time) {
  struct tm tm;
  return ASN1_TIME_to_tm(time, &tm) ? (int64_t)timegm(&tm) : 0;
}

/* --- whom we trust ------------------------------------------------------------------------------------------------ */

static int read_roots(chaski_tls_context *c, const chaski_tls_options *options, char *why) {
  c->pinned = options->pin != NULL;
  if (c->pinned) memcpy(c->pin, options->pin, CHASKI_TLS_PIN);
  if (options->ca.len == 0) {
    c->roots = sk_X509_new_null();
    if (!c->pinned) return refuse(why, "ca: neither a root nor a pin was given");
    return c->roots ? CHASKI_OK : CHASKI_ENOMEM;
  }
  int rc = chaski__pki_bundle_read(options->ca, "ca", &c->roots, why);
  for (int i = 0; rc == CHASKI_OK && i < sk_X509_num(c->roots); i++)
    if (X509_check_ca(sk_X509_value(c->roots, i)) != 1) rc = refuse(why, "ca: a certificate in it is no authority's");
  return rc;
}

static int read_lists(chaski_tls_context *c, chaski_slice crl, char *why) {
  if (crl.len > 0) return chaski__pki_lists_read(crl, c->roots, &c->lists, why);
  c->lists = sk_X509_CRL_new_null();
  return c->lists ? CHASKI_OK : CHASKI_ENOMEM;
}

static int read_protocol(chaski_tls_context *c, const char *name, char *why) {
  size_t len = strlen(name);
  if (len == 0 || len > 255) return refuse(why, "alpn: 1 to 255 bytes are allowed");
  c->alpn[0] = (uint8_t)len;
  memcpy(c->alpn + 1, name, len);
  c->alpn_len = len + 1;
  return CHASKI_OK;
}

/* --- who we are --------------------------------------------------------------------------------------------------- */

static int use_key(chaski_tls_context *c, const struct chaski_pki_key *key, char *why) {
  if (!key->secret) return refuse(why, "key: it is a public key");
  if (!key->strong) return refuse(why, "key: it is too weak");
  if (X509_check_private_key(c->leaf, key->pkey) != 1) return refuse(why, "key: it does not belong to the certificate");
  if (SSL_CTX_use_cert_and_key(c->ssl, c->leaf, key->pkey, c->chain, 1) == 1) return CHASKI_OK;
  return refuse(why, "certificate: TLS cannot use it");
}

static int read_key(chaski_tls_context *c, const chaski_tls_options *options, char *why) {
  chaski_pki_key *key = NULL;
  if (options->key.len == 0) return refuse(why, "key: none was given");
  int rc = chaski_pki_key_read(options->key, options->passphrase, &key, why);
  if (rc != CHASKI_OK) return rc;
  rc = use_key(c, key, why);
  chaski_pki_key_free(key);
  return rc;
}

static int read_certificate(chaski_tls_context *c, const chaski_tls_options *options, char *why) {
  int rc = chaski__pki_bundle_read(options->certificate, "certificate", &c->chain, why);
  if (rc != CHASKI_OK) return rc;
  c->leaf = sk_X509_shift(c->chain);
  c->not_after = chaski__tls_time(X509_get0_notAfter(c->leaf));
  return CHASKI_OK;
}

/* A CA's listener need not be a node. */
static int read_name(chaski_tls_context *c, char *why) {
  enum chaski__tls_fault fault = chaski__tls_identity_read(c->leaf, &c->identity);
  if (fault == CHASKI__TLS_NO_IDENTITY && c->anonymous) fault = CHASKI__TLS_FINE;
  if (!fault) fault = chaski__tls_rights_read(c->leaf, &c->rights);
  return fault ? refuse_fault(why, fault) : CHASKI_OK;
}

static int check_dates(const chaski_tls_context *c, int64_t now, char *why) {
  if (now < chaski__tls_time(X509_get0_notBefore(c->leaf))) return refuse_fault(why, CHASKI__TLS_NOT_YET_VALID);
  return now > c->not_after ? refuse_fault(why, CHASKI__TLS_EXPIRED) : CHASKI_OK;
}

static int check_role(const chaski_tls_context *c, enum chaski__tls_role role, int64_t now, char *why) {
  enum chaski__tls_fault fault = chaski__tls_verify(c, c->leaf, c->chain, role, now, NULL);
  return fault ? refuse_fault(why, fault) : CHASKI_OK;
}

static int check_roles(const chaski_tls_context *c, int64_t now, char *why) {
  if (sk_X509_num(c->roots) == 0) return check_dates(c, now, why);
  int rc = check_role(c, CHASKI__TLS_SERVER, now, why);
  return rc == CHASKI_OK && !c->anonymous ? check_role(c, CHASKI__TLS_CLIENT, now, why) : rc;
}

static int read_self(chaski_tls_context *c, const chaski_tls_options *options, char *why) {
  int64_t now = options->now ? options->now : (int64_t)time(NULL);
  if (options->certificate.len == 0) return c->anonymous ? CHASKI_OK : refuse(why, "certificate: none was given");
  int rc = read_certificate(c, options, why);
  if (rc == CHASKI_OK) rc = read_name(c, why);
  if (rc == CHASKI_OK) rc = check_roles(c, now, why);
  return rc == CHASKI_OK ? read_key(c, options, why) : rc;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static int fill(chaski_tls_context *c, const chaski_tls_options *options, char *why) {
  c->anonymous = options->anonymous;
  int rc = read_protocol(c, options->alpn ? options->alpn : CHASKI_TLS_ALPN, why);
  if (rc == CHASKI_OK) rc = read_roots(c, options, why);
  if (rc == CHASKI_OK) rc = read_lists(c, options->crl, why);
  if (rc != CHASKI_OK) return rc;
  c->ssl = chaski__tls_settings(c);
  return c->ssl ? read_self(c, options, why) : CHASKI_ENOMEM;
}

static int begin(chaski_tls_context **out, char *why) {
  why[0] = '\0';
  ERR_clear_error();
  *out = chaski__calloc(1, sizeof **out);
  if (!*out) return CHASKI_ENOMEM;
  (*out)->refs = 1;
  return CHASKI_OK;
}

static int finish(chaski_tls_context *c, int rc, chaski_tls_context **out) {
  ERR_clear_error();
  if (rc == CHASKI_OK)
    *out = c;
  else
    chaski_tls_context_release(c);
  return rc;
}

int chaski_tls_context_new(const chaski_tls_options *options, chaski_tls_context **out, char *why) {
  chaski_tls_context *c;
  int rc = begin(&c, why);
  return rc == CHASKI_OK ? finish(c, fill(c, options, why), out) : rc;
}

/* The certificates and the SSL_CTX are OpenSSL's and counted; they are shared. */
static int copy(chaski_tls_context *c, const chaski_tls_context *from) {
  c->ssl = SSL_CTX_up_ref(from->ssl) ? from->ssl : NULL;
  c->leaf = from->leaf && X509_up_ref(from->leaf) ? from->leaf : NULL;
  c->chain = from->chain ? X509_chain_up_ref(from->chain) : NULL;
  c->roots = X509_chain_up_ref(from->roots);
  c->rights = from->rights ? chaski__strndup(from->rights, strlen(from->rights)) : NULL;
  c->pinned = from->pinned;
  c->anonymous = from->anonymous;
  c->identity = from->identity;
  c->not_after = from->not_after;
  c->alpn_len = from->alpn_len;
  memcpy(c->pin, from->pin, sizeof c->pin);
  memcpy(c->alpn, from->alpn, sizeof c->alpn);
  bool whole = c->ssl && c->roots && !c->rights == !from->rights && !c->chain == !from->chain;
  return whole ? CHASKI_OK : CHASKI_ENOMEM;
}

int chaski_tls_context_with_crl(const chaski_tls_context *context, chaski_slice crl, chaski_tls_context **out,
                                char *why) {
  chaski_tls_context *c;
  int rc = begin(&c, why);
  if (rc != CHASKI_OK) return rc;
  rc = copy(c, context);
  return finish(c, rc == CHASKI_OK ? read_lists(c, crl, why) : rc, out);
}

chaski_tls_context *chaski_tls_context_hold(chaski_tls_context *c) {
  if (c) c->refs++;
  return c;
}

void chaski_tls_context_release(chaski_tls_context *c) {
  if (!c || --c->refs > 0) return;
  SSL_CTX_free(c->ssl);
  X509_free(c->leaf);
  sk_X509_pop_free(c->chain, X509_free);
  sk_X509_pop_free(c->roots, X509_free);
  sk_X509_CRL_pop_free(c->lists, X509_CRL_free);
  chaski__free(c->rights);
  chaski__free(c);
}

/* --- questions ---------------------------------------------------------------------------------------------------- */

const char *chaski_tls_context_identity(const chaski_tls_context *c) {
  return c->identity.uri;
}

const char *chaski_tls_context_id(const chaski_tls_context *c) {
  return chaski__tls_identity_id(&c->identity);
}

int64_t chaski_tls_context_not_after(const chaski_tls_context *c) {
  return c->not_after;
}

bool chaski_tls_context_may(const chaski_tls_context *c, enum chaski_right right, chaski_slice topic) {
  return c->leaf && chaski__tls_rights_allow(c->rights, right, topic);
}
