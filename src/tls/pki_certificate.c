/* pki_certificate.c: reading certificates and what stands in them. See pki.h. SPDX-License-Identifier: MIT */
#include "pki_internal.h"

#include "../core/alloc.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>

#define CERTIFICATE_MAX (64 * 1024) /* bytes of one in DER */

/* --- reading ---------------------------------------------------------------------------------------------------- */
static int check_form(X509 *x509, char *why) {
  if (X509_get_version(x509) != X509_VERSION_3) return chaski__pki_refuse(why, "certificate: not of version 3");
  if (X509_get_extension_flags(x509) & EXFLAG_INVALID)
    return chaski__pki_refuse(why, "certificate: malformed or repeated extensions");
  return X509_get0_pubkey(x509) ? CHASKI_OK : chaski__pki_broken(why, "certificate: unknown kind of key");
}

int chaski__pki_x509_read(const unsigned char *der, size_t len, X509 **out, char *why) {
  const unsigned char *p = der;
  X509 *x509;
  int rc;
  if (!len || len > CERTIFICATE_MAX) return chaski__pki_refuse(why, "certificate: %s", len ? "too large" : "empty");
  if (!(x509 = d2i_X509(NULL, &p, (long)len))) return chaski__pki_broken(why, "certificate");
  rc = p == der + len ? check_form(x509, why) : chaski__pki_refuse(why, "certificate: bytes after its end");
  if (rc == CHASKI_OK)
    *out = x509;
  else
    X509_free(x509);
  ERR_clear_error();
  return rc;
}

static int take_certificate(void *ctx, const unsigned char *der, size_t len, char *why) {
  STACK_OF(X509) *all = ctx;
  X509 *x509 = NULL;
  int rc = chaski__pki_x509_read(der, len, &x509, why);
  if (rc != CHASKI_OK || sk_X509_push(all, x509) > 0) return rc;
  X509_free(x509);
  return chaski__pki_no_memory(why);
}

int chaski__pki_bundle_read(chaski_slice pem, const char *what, STACK_OF(X509) * *out, char *why) {
  STACK_OF(X509) * all;
  int rc;
  if (pem.len > CHASKI__PKI_BUNDLE_MAX) return chaski__pki_refuse(why, "%s: too large", what);
  if (!(all = sk_X509_new_null())) return chaski__pki_no_memory(why);
  rc = chaski__pki_blocks(pem, what, PEM_STRING_X509, CHASKI__PKI_CHAIN_MAX, take_certificate, all, why);
  if (rc == CHASKI_OK)
    *out = all;
  else
    sk_X509_pop_free(all, X509_free);
  return rc;
}

static int read_first(chaski_slice pem, X509 **out, char *why) {
  STACK_OF(X509) *all = NULL;
  int rc = chaski__pki_bundle_read(pem, "certificate", &all, why);
  if (rc != CHASKI_OK) return rc;
  *out = sk_X509_shift(all);
  sk_X509_pop_free(all, X509_free);
  return CHASKI_OK;
}

/* A certificate of its own around x509, which is taken over. */
static int wrap(X509 *x509, chaski_pki_certificate **out, char *why) {
  struct chaski_pki_certificate *certificate = chaski__calloc(1, sizeof *certificate);
  int rc = CHASKI_OK;
  if (!certificate) {
    X509_free(x509);
    return chaski__pki_no_memory(why);
  }
  certificate->x509 = x509;
  rc = chaski__pki_key_init(&certificate->key, X509_get_pubkey(x509), X509_get_X509_PUBKEY(x509), false, why);
  if (rc == CHASKI_OK)
    *out = certificate;
  else
    chaski_pki_certificate_free(certificate);
  return rc;
}

int chaski_pki_certificate_read(chaski_slice pem_or_der, chaski_pki_certificate **out, char *why) {
  X509 *x509 = NULL;
  int rc;
  chaski__pki_begin(why);
  rc = chaski__pki_is_pem(pem_or_der) ? read_first(pem_or_der, &x509, why)
                                      : chaski__pki_x509_read(pem_or_der.ptr, pem_or_der.len, &x509, why);
  return chaski__pki_end(rc == CHASKI_OK ? wrap(x509, out, why) : rc);
}

void chaski_pki_certificate_free(chaski_pki_certificate *certificate) {
  if (!certificate) return;
  chaski__pki_key_clear(&certificate->key);
  X509_free(certificate->x509);
  chaski__free(certificate);
}

chaski_pki_key *chaski_pki_certificate_key(const chaski_pki_certificate *certificate) {
  return (chaski_pki_key *)(uintptr_t)&certificate->key;
}

/* --- what stands in it ------------------------------------------------------------------------------------------ */
static int info_serial(const X509 *x509, char out[CHASKI_PKI_SERIAL_MAX * 2 + 1], char *why) {
  const ASN1_INTEGER *serial = X509_get0_serialNumber(x509);
  int len = ASN1_STRING_length(serial);
  if (ASN1_STRING_type(serial) != V_ASN1_INTEGER || len < 1 || len > CHASKI_PKI_SERIAL_MAX)
    return chaski__pki_refuse(why, "certificate: the serial is negative or too long");
  for (int i = 0; i < len; i++) snprintf(out + 2 * i, 3, "%02X", ASN1_STRING_get0_data(serial)[i]);
  return CHASKI_OK;
}

static int write_name(const X509_NAME *name, BIO *bio, char *out, size_t size, char *why) {
  char *text = NULL;
  long len;
  if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0) return chaski__pki_broken(why, "certificate: name");
  len = BIO_get_mem_data(bio, &text);
  if (len < 0 || (size_t)len >= size) return chaski__pki_refuse(why, "certificate: a name is too long");
  if (len) memcpy(out, text, (size_t)len);
  out[len] = '\0';
  return CHASKI_OK;
}

static int info_name(const X509_NAME *name, char *out, size_t size, char *why) {
  BIO *bio = BIO_new(BIO_s_mem());
  int rc = bio ? write_name(name, bio, out, size, why) : chaski__pki_no_memory(why);
  BIO_free(bio);
  return rc;
}

/* URI names are ASCII without blanks; what else stands there could be read in more than one way. */
static bool clean_uri(const unsigned char *uri, int len) {
  for (int i = 0; i < len; i++)
    if (uri[i] <= 0x20 || uri[i] >= 0x7f) return false;
  return len > 0;
}

/* The name number `wanted` of those that are URIs. */
typedef struct uris {
  size_t wanted, n;
  char *out; /* CHASKI_PKI_URI_MAX bytes */
} uris;

static int take_uri(uris *u, const ASN1_IA5STRING *uri, char *why) {
  const unsigned char *text = ASN1_STRING_get0_data(uri);
  int len = ASN1_STRING_length(uri);
  if (!clean_uri(text, len) || (size_t)len >= CHASKI_PKI_URI_MAX)
    return chaski__pki_refuse(why, "certificate: a URI name that is malformed or too long");
  if (u->n == CHASKI_PKI_NAMES_MAX) return chaski__pki_refuse(why, "certificate: too many URI names");
  if (u->n == u->wanted) memcpy(u->out, text, (size_t)len), u->out[len] = '\0';
  u->n++;
  return CHASKI_OK;
}

static int read_uris(const X509 *x509, uris *u, char *why) {
  int critical, rc = CHASKI_OK;
  GENERAL_NAMES *names = X509_get_ext_d2i(x509, NID_subject_alt_name, &critical, NULL);
  if (!names && critical == -1) return CHASKI_OK;
  if (!names) return chaski__pki_broken(why, "certificate: malformed or repeated alternative names");
  for (int i = 0; rc == CHASKI_OK && i < sk_GENERAL_NAME_num(names); i++) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_URI) rc = take_uri(u, name->d.uniformResourceIdentifier, why);
  }
  GENERAL_NAMES_free(names);
  return rc;
}

static int info_uris(const X509 *x509, chaski_pki_info *out, char *why) {
  uris u = {0, 0, out->uri};
  int rc = read_uris(x509, &u, why);
  out->uris = u.n;
  return rc;
}

int chaski_pki_certificate_uri(const chaski_pki_certificate *certificate, size_t i, char out[CHASKI_PKI_URI_MAX],
                               char *why) {
  uris u = {i, 0, out};
  int rc;
  chaski__pki_begin(why);
  rc = read_uris(certificate->x509, &u, why);
  if (rc == CHASKI_OK && i >= u.n) rc = chaski__pki_refuse(why, "certificate: it has only %zu URI names", u.n);
  return chaski__pki_end(rc);
}

/* OpenSSL 3.0 gives an object of any bytes when memory fails in its second pass over the text; no extension would be of
 * that kind, and a certificate without rights may do everything. */
ASN1_OBJECT *chaski__pki_rights_object(void) {
  char text[sizeof CHASKI_PKI_RIGHTS_OID];
  ASN1_OBJECT *object = OBJ_txt2obj(CHASKI_PKI_RIGHTS_OID, 1);
  if (!object) return NULL;
  if (OBJ_obj2txt(text, sizeof text, object, 1) > 0 && strcmp(text, CHASKI_PKI_RIGHTS_OID) == 0) return object;
  ASN1_OBJECT_free(object);
  return NULL;
}

static int read_rights(const ASN1_OCTET_STRING *value, chaski_pki_info *out, char *why) {
  const unsigned char *p = ASN1_STRING_get0_data(value), *end = p + ASN1_STRING_length(value);
  ASN1_UTF8STRING *text = d2i_ASN1_UTF8STRING(NULL, &p, end - p);
  int len = text ? ASN1_STRING_length(text) : -1;
  bool good = len >= 0 && p == end && (size_t)len < sizeof out->rights &&
              chaski__pki_plain((const char *)ASN1_STRING_get0_data(text), (size_t)len);
  if (good) memcpy(out->rights, ASN1_STRING_get0_data(text), (size_t)len);
  ASN1_UTF8STRING_free(text);
  return good ? CHASKI_OK : chaski__pki_refuse(why, "certificate: its rights are malformed");
}

static int info_rights(const X509 *x509, chaski_pki_info *out, char *why) {
  ASN1_OBJECT *object = chaski__pki_rights_object();
  int at, second;
  if (!object) return chaski__pki_no_memory(why);
  at = X509_get_ext_by_OBJ(x509, object, -1);
  second = at < 0 ? -1 : X509_get_ext_by_OBJ(x509, object, at);
  ASN1_OBJECT_free(object);
  if (at < 0) return CHASKI_OK;
  if (second >= 0) return chaski__pki_refuse(why, "certificate: it has rights twice");
  out->has_rights = true;
  return read_rights(X509_EXTENSION_get_data(X509_get_ext(x509, at)), out, why);
}

static bool seconds_of(const ASN1_TIME *time, const ASN1_TIME *epoch, int64_t *out) {
  int days, seconds;
  if (ASN1_TIME_diff(&days, &seconds, epoch, time) != 1) return false;
  *out = (int64_t)days * 86400 + seconds;
  return true;
}

static int info_times(const X509 *x509, chaski_pki_info *out, char *why) {
  ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
  bool good = epoch && seconds_of(X509_get0_notBefore(x509), epoch, &out->not_before) &&
              seconds_of(X509_get0_notAfter(x509), epoch, &out->not_after);
  ASN1_TIME_free(epoch);
  return good ? CHASKI_OK : chaski__pki_broken(why, "certificate: malformed times");
}

static int info_hash(const X509 *x509, uint8_t out[CHASKI_PKI_HASH], char *why) {
  unsigned int len = 0;
  bool good = X509_digest(x509, EVP_sha256(), out, &len) == 1 && len == CHASKI_PKI_HASH;
  return good ? CHASKI_OK : chaski__pki_broken(why, "certificate");
}

int chaski_pki_certificate_info(const chaski_pki_certificate *certificate, chaski_pki_info *out, char *why) {
  X509 *x509 = certificate->x509;
  int rc;
  chaski__pki_begin(why);
  memset(out, 0, sizeof *out);
  memcpy(out->key_hash, certificate->key.hash, sizeof out->key_hash);
  out->authority = X509_check_ca(x509) == 1;
  if ((rc = info_serial(x509, out->serial, why)) != CHASKI_OK) return rc;
  if ((rc = info_name(X509_get_subject_name(x509), out->subject, sizeof out->subject, why)) != CHASKI_OK) return rc;
  if ((rc = info_name(X509_get_issuer_name(x509), out->issuer, sizeof out->issuer, why)) != CHASKI_OK) return rc;
  if ((rc = info_uris(x509, out, why)) != CHASKI_OK || (rc = info_rights(x509, out, why)) != CHASKI_OK) return rc;
  if ((rc = info_times(x509, out, why)) != CHASKI_OK) return rc;
  return chaski__pki_end(info_hash(x509, out->hash, why));
}
