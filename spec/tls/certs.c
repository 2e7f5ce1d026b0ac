/* certs.c: see certs.h. SPDX-License-Identifier: MIT */
#include "certs.h"

#include "../../src/tls/pki.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 16

static int64_t now;
static long serials;
static struct {
  char kind[16];
  EVP_PKEY *key;
} keys[KEYS];

static void must(bool done, const char *what) {
  if (done) return;
  fprintf(stderr, "certs: %s failed\n", what);
  ERR_print_errors_fp(stderr);
  abort();
}

void certs_begin(int64_t at) {
  now = at;
}

int64_t certs_now(void) {
  return now;
}

void certs_end(void) {
  for (size_t i = 0; i < KEYS; i++) {
    EVP_PKEY_free(keys[i].key);
    keys[i].key = NULL;
  }
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

static EVP_PKEY *generate(const char *kind) {
  if (strncmp(kind, "rsa", 3) == 0) return EVP_RSA_gen((unsigned)atoi(kind + 3) / 8 * 8);
  if (strncmp(kind, "ed25519", 7) == 0) return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
  if (strncmp(kind, "secp256k1", 9) == 0) return EVP_EC_gen("secp256k1");
  return EVP_EC_gen(strncmp(kind, "p384", 4) == 0 ? "P-384" : "P-256");
}

EVP_PKEY *certs_key(const char *kind) {
  size_t i = 0;
  if (!kind) kind = "p256";
  while (i < KEYS && keys[i].key && strcmp(keys[i].kind, kind) != 0) i++;
  must(i < KEYS && strlen(kind) < sizeof keys[i].kind, "a place for a key");
  if (keys[i].key) return keys[i].key;
  strcpy(keys[i].kind, kind);
  keys[i].key = generate(kind);
  must(keys[i].key != NULL, "making a key");
  return keys[i].key;
}

/* --- certificates ------------------------------------------------------------------------------------------------- */

static void add(X509 *x, const certs_pair *issuer, int nid, const char *value) {
  X509V3_CTX ctx;
  X509V3_set_ctx(&ctx, issuer ? issuer->certificate : x, x, NULL, NULL, 0);
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
  must(extension && X509_add_ext(x, extension, -1), value);
  X509_EXTENSION_free(extension);
}

static void add_rights(X509 *x, const char *rights) {
  ASN1_UTF8STRING *text = ASN1_UTF8STRING_new();
  must(text && ASN1_STRING_set(text, rights, -1), "a string");
  unsigned char *der = NULL;
  int len = i2d_ASN1_UTF8STRING(text, &der);
  ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
  ASN1_OBJECT *object = OBJ_txt2obj(CHASKI_PKI_RIGHTS_OID, 1);
  must(len > 0 && value && object && ASN1_OCTET_STRING_set(value, der, len), "the rights");
  X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, object, 0, value);
  must(extension && X509_add_ext(x, extension, -1), "adding the rights");
  X509_EXTENSION_free(extension);
  ASN1_OBJECT_free(object);
  ASN1_OCTET_STRING_free(value);
  OPENSSL_free(der);
  ASN1_UTF8STRING_free(text);
}

static void name(X509 *x, const certs_what *what, const certs_pair *issuer) {
  X509_NAME *subject = X509_get_subject_name(x);
  const char *text = what->name ? what->name : "x";
  must(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)text, -1, -1, 0), "naming");
  must(X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer->certificate) : subject), "naming the issuer");
}

static void date(X509 *x, const certs_what *what) {
  bool set = what->not_before || what->not_after;
  must(ASN1_TIME_set(X509_getm_notBefore(x), now + (set ? what->not_before : -300)) &&
           ASN1_TIME_set(X509_getm_notAfter(x), now + (set ? what->not_after : CERTS_DAY)),
       "dating");
}

static void extend(X509 *x, const certs_what *what, const certs_pair *issuer) {
  const char *usage = what->usage ? what->usage : "clientAuth,serverAuth";
  add(x, issuer, NID_basic_constraints, what->authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  bool signs = what->authority, node = !signs || what->names; /* or both at once */
  if (signs) add(x, issuer, NID_key_usage, node ? "keyCertSign,digitalSignature" : "critical,keyCertSign,cRLSign");
  if (!signs) add(x, issuer, NID_key_usage, "critical,digitalSignature");
  add(x, issuer, NID_subject_key_identifier, "hash");
  if (issuer) add(x, issuer, NID_authority_key_identifier, "keyid:always");
  if (node && *usage) add(x, issuer, NID_ext_key_usage, usage);
  if (what->names) add(x, issuer, NID_subject_alt_name, what->names);
  if (what->rights) add_rights(x, what->rights);
}

static X509 *tampered(X509 *x) {
  unsigned char *der = NULL;
  int len = i2d_X509(x, &der);
  must(len > 0, "encoding");
  der[len - 1] ^= 1;
  const unsigned char *at = der;
  X509 *other = d2i_X509(NULL, &at, len);
  must(other != NULL, "decoding");
  OPENSSL_free(der);
  X509_free(x);
  return other;
}

static const EVP_MD *digest_for(EVP_PKEY *key, const char *digest) {
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? NULL : EVP_get_digestbyname(digest ? digest : "SHA256");
}

certs_pair certs_issue(const certs_what *what, const certs_pair *issuer) {
  certs_pair pair = {X509_new(), certs_key(what->key)};
  X509 *x = pair.certificate;
  EVP_PKEY *signer = issuer ? issuer->key : pair.key;
  must(x && X509_set_version(x, X509_VERSION_3) && X509_set_pubkey(x, pair.key), "beginning");
  must(ASN1_INTEGER_set(X509_get_serialNumber(x), ++serials), "numbering");
  name(x, what, issuer);
  date(x, what);
  extend(x, what, issuer);
  must(X509_sign(x, signer, digest_for(signer, what->digest)) > 0, "signing");
  if (what->tampered) pair.certificate = tampered(x);
  return pair;
}

certs_pair certs_root(const char *root, const char *key) {
  const certs_what what = {
      .name = root, .key = key, .authority = true, .not_before = -300, .not_after = 999 * CERTS_DAY};
  return certs_issue(&what, NULL);
}

certs_pair certs_node(const char *uri, const certs_pair *issuer) {
  char names[300];
  snprintf(names, sizeof names, "URI:%s", uri);
  const certs_what what = {.names = names};
  return certs_issue(&what, issuer);
}

void certs_free(certs_pair *pair) {
  X509_free(pair->certificate);
  pair->certificate = NULL;
}

/* --- texts -------------------------------------------------------------------------------------------------------- */

static char *text_of(BIO *bio) {
  char *bytes;
  long len = BIO_get_mem_data(bio, &bytes);
  char *copy = malloc((size_t)len + 1);
  must(copy && len > 0, "writing PEM");
  memcpy(copy, bytes, (size_t)len);
  copy[len] = '\0';
  BIO_free(bio);
  return copy;
}

char *certs_pem(const certs_pair *leaf, const certs_pair *chain) {
  BIO *bio = BIO_new(BIO_s_mem());
  must(bio && PEM_write_bio_X509(bio, leaf->certificate), "writing a certificate");
  must(!chain || PEM_write_bio_X509(bio, chain->certificate), "writing a chain");
  return text_of(bio);
}

char *certs_key_pem(EVP_PKEY *key, const char *passphrase) {
  BIO *bio = BIO_new(BIO_s_mem());
  const EVP_CIPHER *cipher = passphrase ? EVP_aes_256_cbc() : NULL;
  int len = passphrase ? (int)strlen(passphrase) : 0;
  must(bio && PEM_write_bio_PKCS8PrivateKey(bio, key, cipher, passphrase, len, NULL, NULL), "writing a key");
  return text_of(bio);
}

static void revoke(X509_CRL *list, const certs_pair *pair) {
  X509_REVOKED *entry = X509_REVOKED_new();
  must(entry && X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(pair->certificate)) &&
           X509_REVOKED_set_revocationDate(entry, (ASN1_TIME *)(uintptr_t)X509_CRL_get0_lastUpdate(list)) &&
           X509_CRL_add0_revoked(list, entry),
       "revoking");
}

static void number(X509_CRL *list) {
  ASN1_INTEGER *n = ASN1_INTEGER_new();
  must(n && ASN1_INTEGER_set(n, ++serials) && X509_CRL_add1_ext_i2d(list, NID_crl_number, n, 0, 0), "numbering");
  ASN1_INTEGER_free(n);
}

char *certs_list(const certs_pair *issuer, const certs_pair *const *revoked, size_t n) {
  X509_CRL *list = X509_CRL_new();
  ASN1_TIME *from = ASN1_TIME_set(NULL, now), *to = ASN1_TIME_set(NULL, now + CERTS_DAY);
  must(list && from && to && X509_CRL_set_version(list, X509_CRL_VERSION_2), "beginning a list");
  must(X509_CRL_set_issuer_name(list, X509_get_subject_name(issuer->certificate)), "naming a list");
  must(X509_CRL_set1_lastUpdate(list, from) && X509_CRL_set1_nextUpdate(list, to), "dating a list");
  for (size_t i = 0; i < n; i++) revoke(list, revoked[i]);
  number(list);
  must(X509_CRL_sort(list) && X509_CRL_sign(list, issuer->key, digest_for(issuer->key, NULL)) > 0, "signing a list");
  BIO *bio = BIO_new(BIO_s_mem());
  must(bio && PEM_write_bio_X509_CRL(bio, list), "writing a list");
  ASN1_TIME_free(from);
  ASN1_TIME_free(to);
  X509_CRL_free(list);
  return text_of(bio);
}

void certs_pin(const certs_pair *root, uint8_t pin[32]) {
  unsigned char *der = NULL;
  int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(root->certificate), &der);
  must(len > 0 && EVP_Digest(der, (size_t)len, pin, NULL, EVP_sha256(), NULL), "hashing");
  OPENSSL_free(der);
}
