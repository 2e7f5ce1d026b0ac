/* pki_crl.c: revocation lists (RFC 5280 5). Only plain ones are taken: complete, numbered, signed by a root itself,
 * without extensions that would have to be understood. See pki.h. SPDX-License-Identifier: MIT */
#include "pki_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

/* --- making ----------------------------------------------------------------------------------------------------- */
static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* 1..40 hex digits as a number; NULL when it is none. *bad tells that from lack of memory. */
static ASN1_INTEGER *serial_of(const char *hex, bool *bad) {
  unsigned char bytes[CHASKI_PKI_SERIAL_MAX] = {0};
  size_t len = strlen(hex);
  BIGNUM *number;
  ASN1_INTEGER *serial;
  *bad = len < 1 || len > 2 * sizeof bytes;
  for (size_t i = 0; !*bad && i < len; i++) {
    int digit = hex_digit(hex[len - 1 - i]);
    *bad = digit < 0;
    if (!*bad) bytes[sizeof bytes - 1 - i / 2] |= (unsigned char)(i % 2 ? digit << 4 : digit);
  }
  if (*bad) return NULL;
  number = BN_bin2bn(bytes, sizeof bytes, NULL);
  serial = number ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
  BN_free(number);
  return serial;
}

static int compare(const void *a, const void *b) {
  return ASN1_INTEGER_cmp(*(ASN1_INTEGER *const *)a, *(ASN1_INTEGER *const *)b);
}

static void free_serials(ASN1_INTEGER **all, size_t n) {
  for (size_t i = 0; i < n; i++) ASN1_INTEGER_free(all[i]);
  OPENSSL_free(all);
}

static bool add_entry(X509_CRL *crl, ASN1_INTEGER *serial, ASN1_TIME *when) {
  X509_REVOKED *entry = X509_REVOKED_new();
  if (entry && X509_REVOKED_set_serialNumber(entry, serial) == 1 && X509_REVOKED_set_revocationDate(entry, when) == 1 &&
      X509_CRL_add0_revoked(crl, entry) == 1)
    return true;
  X509_REVOKED_free(entry);
  return false;
}

/* In ascending order, each once. */
static int add_sorted(X509_CRL *crl, ASN1_INTEGER **all, size_t n, int64_t when, char *why) {
  ASN1_TIME *time = ASN1_TIME_set(NULL, (time_t)when);
  bool good = time != NULL;
  qsort(all, n, sizeof *all, compare);
  for (size_t i = 0; good && i < n; i++)
    if (i == 0 || ASN1_INTEGER_cmp(all[i - 1], all[i]) != 0) good = add_entry(crl, all[i], time);
  ASN1_TIME_free(time);
  return good ? CHASKI_OK : chaski__pki_broken(why, "revocation list");
}

static int add_entries(X509_CRL *crl, const char *const *serials, size_t n, int64_t when, char *why) {
  ASN1_INTEGER **all;
  bool bad = false;
  size_t i = 0;
  int rc;
  if (n == 0) return CHASKI_OK;
  if (!(all = OPENSSL_zalloc(n * sizeof *all))) return chaski__pki_no_memory(why);
  while (i < n && (all[i] = serial_of(serials[i], &bad))) i++;
  if (i == n)
    rc = add_sorted(crl, all, n, when, why);
  else
    rc = bad ? chaski__pki_refuse(why, "serials: number %zu is not hexadecimal", i + 1) : chaski__pki_no_memory(why);
  free_serials(all, n);
  return rc;
}

static bool set_time(X509_CRL *crl, int (*set)(X509_CRL *, const ASN1_TIME *), int64_t when) {
  ASN1_TIME *time = ASN1_TIME_set(NULL, (time_t)when);
  bool good = time && set(crl, time) == 1;
  ASN1_TIME_free(time);
  return good;
}

static bool add_number(X509_CRL *crl, uint64_t number) {
  ASN1_INTEGER *value = ASN1_INTEGER_new();
  bool good = value && ASN1_INTEGER_set_uint64(value, number) == 1 &&
              X509_CRL_add1_ext_i2d(crl, NID_crl_number, value, 0, X509V3_ADD_DEFAULT) == 1;
  ASN1_INTEGER_free(value);
  return good;
}

static bool add_authority_id(X509_CRL *crl, X509 *issuer) {
  const ASN1_OCTET_STRING *id = X509_get0_subject_key_id(issuer);
  AUTHORITY_KEYID *authority = id ? AUTHORITY_KEYID_new() : NULL;
  bool good = authority && (authority->keyid = ASN1_OCTET_STRING_dup(id)) &&
              X509_CRL_add1_ext_i2d(crl, NID_authority_key_identifier, authority, 0, X509V3_ADD_DEFAULT) == 1;
  AUTHORITY_KEYID_free(authority);
  return good;
}

static int encode(X509_CRL *crl, chaski_pki_bytes *der, char *why) {
  unsigned char *bytes = NULL;
  int len = i2d_X509_CRL(crl, &bytes), rc;
  if (len <= 0) return chaski__pki_broken(why, "revocation list");
  rc = chaski__pki_copy(bytes, (size_t)len, der, why);
  OPENSSL_free(bytes);
  return rc;
}

/* All but the entries, and the signature. */
static bool complete(X509_CRL *crl, uint64_t number, int64_t this_update, int64_t next_update,
                     const chaski_pki_certificate *issuer, const chaski_pki_key *key) {
  return X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
         X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->x509)) == 1 &&
         set_time(crl, X509_CRL_set1_lastUpdate, this_update) && set_time(crl, X509_CRL_set1_nextUpdate, next_update) &&
         add_number(crl, number) && add_authority_id(crl, issuer->x509) &&
         X509_CRL_sign(crl, key->pkey, chaski__pki_key_digest(key)) > 0;
}

static int check_what(size_t n, int64_t this_update, int64_t next_update, char *why) {
  if (n > CHASKI__PKI_ENTRIES_MAX) return chaski__pki_refuse(why, "serials: more than %d", CHASKI__PKI_ENTRIES_MAX);
  if (this_update < 0 || next_update > CHASKI__PKI_TIME_MAX || this_update >= next_update)
    return chaski__pki_refuse(why, "this_update, next_update: no span of time between 1970 and 9999");
  return CHASKI_OK;
}

int chaski_pki_crl_new(uint64_t number, const char *const *serials, size_t n, int64_t this_update, int64_t next_update,
                       const chaski_pki_certificate *issuer, const chaski_pki_key *issuer_key, chaski_pki_bytes *der,
                       char *why) {
  X509_CRL *crl;
  int rc;
  chaski__pki_begin(why);
  if ((rc = check_what(n, this_update, next_update, why)) != CHASKI_OK) return rc;
  if ((rc = chaski__pki_may_sign(issuer, issuer_key, KU_CRL_SIGN, why)) != CHASKI_OK) return rc;
  if (!(crl = X509_CRL_new())) return chaski__pki_no_memory(why);
  rc = add_entries(crl, serials, n, this_update, why);
  if (rc == CHASKI_OK && !complete(crl, number, this_update, next_update, issuer, issuer_key))
    rc = chaski__pki_broken(why, "revocation list");
  if (rc == CHASKI_OK) rc = encode(crl, der, why);
  X509_CRL_free(crl);
  return rc;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */
static bool critical_in_entries(X509_CRL *crl) {
  const STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(crl);
  for (int i = 0; i < sk_X509_REVOKED_num(entries); i++) {
    const X509_REVOKED *entry = sk_X509_REVOKED_value(entries, i);
    if (X509_REVOKED_get_ext_by_critical(entry, 1, -1) >= 0) return true;
  }
  return false;
}

static int check_form(X509_CRL *crl, char *why) {
  if (X509_CRL_get_version(crl) != X509_CRL_VERSION_2)
    return chaski__pki_refuse(why, "revocation list: not of version 2");
  if (sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)) > CHASKI__PKI_ENTRIES_MAX)
    return chaski__pki_refuse(why, "revocation list: more than %d entries", CHASKI__PKI_ENTRIES_MAX);
  if (X509_CRL_get_ext_by_critical(crl, 1, -1) >= 0 || critical_in_entries(crl))
    return chaski__pki_refuse(why, "revocation list: an unknown critical extension");
  if (!X509_CRL_get0_nextUpdate(crl)) return chaski__pki_refuse(why, "revocation list: it does not say until when");
  if (!chaski__pki_signature_strong(X509_CRL_get_signature_nid(crl)))
    return chaski__pki_refuse(why, "revocation list: signed in a way that is not taken");
  return CHASKI_OK;
}

static int decode(const unsigned char *der, size_t len, X509_CRL **out, char *why) {
  const unsigned char *p = der;
  X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)len);
  int rc;
  if (!crl) return chaski__pki_broken(why, "revocation list");
  rc = p == der + len ? check_form(crl, why) : chaski__pki_refuse(why, "revocation list: bytes after its end");
  if (rc == CHASKI_OK)
    *out = crl;
  else
    X509_CRL_free(crl);
  return rc;
}

static int take_list(void *ctx, const unsigned char *der, size_t len, char *why) {
  STACK_OF(X509_CRL) *all = ctx;
  X509_CRL *crl = NULL;
  int rc = decode(der, len, &crl, why);
  if (rc != CHASKI_OK || sk_X509_CRL_push(all, crl) > 0) return rc;
  X509_CRL_free(crl);
  return chaski__pki_no_memory(why);
}

static bool signed_by(X509_CRL *crl, X509 *root) {
  bool good = X509_check_ca(root) == 1 && (X509_get_key_usage(root) & KU_CRL_SIGN) &&
              X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(root)) == 0 &&
              X509_CRL_verify(crl, X509_get0_pubkey(root)) == 1;
  ERR_clear_error();
  return good;
}

static X509 *signer_of(X509_CRL *crl, STACK_OF(X509) * roots) {
  for (int i = 0; i < sk_X509_num(roots); i++)
    if (signed_by(crl, sk_X509_value(roots, i))) return sk_X509_value(roots, i);
  return NULL;
}

static int check_signers(STACK_OF(X509_CRL) * lists, STACK_OF(X509) * roots, char *why) {
  for (int i = 0; i < sk_X509_CRL_num(lists); i++)
    if (!signer_of(sk_X509_CRL_value(lists, i), roots))
      return chaski__pki_refuse(why, "revocation list: not signed by one of the roots");
  return CHASKI_OK;
}

static int read_into(chaski_slice bytes, STACK_OF(X509_CRL) * all, char *why) {
  if (!bytes.len || bytes.len > CHASKI__PKI_LIST_MAX)
    return chaski__pki_refuse(why, "revocation list: %s", bytes.len ? "too large" : "empty");
  if (!chaski__pki_is_pem(bytes)) return take_list(all, bytes.ptr, bytes.len, why);
  return chaski__pki_blocks(bytes, "revocation list", PEM_STRING_X509_CRL, CHASKI__PKI_CHAIN_MAX, take_list, all, why);
}

int chaski__pki_lists_read(chaski_slice bytes, STACK_OF(X509) * roots, STACK_OF(X509_CRL) * *out, char *why) {
  STACK_OF(X509_CRL) *all = sk_X509_CRL_new_null();
  int rc;
  if (!all) return chaski__pki_no_memory(why);
  rc = read_into(bytes, all, why);
  if (rc == CHASKI_OK) rc = check_signers(all, roots, why);
  if (rc == CHASKI_OK)
    *out = all;
  else
    sk_X509_CRL_pop_free(all, X509_CRL_free);
  return rc;
}

/* --- checking --------------------------------------------------------------------------------------------------- */
static int number_of(X509_CRL *crl, uint64_t *out, char *why) {
  ASN1_INTEGER *value = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
  bool good = value && ASN1_INTEGER_get_uint64(out, value) == 1;
  ASN1_INTEGER_free(value);
  return good ? CHASKI_OK : chaski__pki_refuse(why, "revocation list: it has no number");
}

static int root_hash_of(X509 *root, uint8_t out[CHASKI_PKI_HASH], char *why) {
  struct chaski_pki_key key;
  int rc = chaski__pki_key_init(&key, X509_get_pubkey(root), X509_get_X509_PUBKEY(root), false, why);
  if (rc != CHASKI_OK) return rc;
  memcpy(out, key.hash, CHASKI_PKI_HASH);
  rc = key.strong ? CHASKI_OK : chaski__pki_refuse(why, "roots: the key of the one that signed is too weak");
  chaski__pki_key_clear(&key);
  return rc;
}

static int check_one(STACK_OF(X509_CRL) * lists, STACK_OF(X509) * roots, uint64_t *number, uint8_t *root_hash,
                     char *why) {
  X509_CRL *crl = sk_X509_CRL_value(lists, 0);
  int rc;
  if (sk_X509_CRL_num(lists) != 1) return chaski__pki_refuse(why, "revocation list: more than one");
  rc = number_of(crl, number, why);
  return rc == CHASKI_OK ? root_hash_of(signer_of(crl, roots), root_hash, why) : rc;
}

int chaski_pki_crl_check(chaski_slice crl, chaski_slice roots, uint64_t *number, uint8_t *root_hash, char *why) {
  STACK_OF(X509) *trusted = NULL;
  STACK_OF(X509_CRL) *lists = NULL;
  int rc;
  chaski__pki_begin(why);
  rc = chaski__pki_bundle_read(roots, "roots", &trusted, why);
  if (rc == CHASKI_OK) rc = chaski__pki_lists_read(crl, trusted, &lists, why);
  if (rc == CHASKI_OK) rc = check_one(lists, trusted, number, root_hash, why);
  sk_X509_CRL_pop_free(lists, X509_CRL_free);
  sk_X509_pop_free(trusted, X509_free);
  return rc;
}
