/* pki_request.c: certificate requests (PKCS #10). What is read here comes from strangers: of the bytes that pass only
 * the key and six texts are kept. See pki.h. SPDX-License-Identifier: MIT */
#include "pki_internal.h"

#include "../core/alloc.h"

#include <openssl/pem.h>

#define REQUEST_MAX (16 * 1024)

/* --- making ----------------------------------------------------------------------------------------------------- */
static int set_subject(X509_REQ *req, const chaski_pki_subject *subject, char *why) {
  X509_NAME *name = NULL;
  int rc = chaski__pki_name_new(subject, &name, why);
  if (rc == CHASKI_OK && X509_REQ_set_subject_name(req, name) != 1) rc = chaski__pki_broken(why, "request");
  X509_NAME_free(name);
  return rc;
}

static int sign(X509_REQ *req, const chaski_pki_key *key, char *why) {
  bool good = X509_REQ_set_version(req, X509_REQ_VERSION_1) == 1 && X509_REQ_set_pubkey(req, key->pkey) == 1 &&
              X509_REQ_sign(req, key->pkey, chaski__pki_key_digest(key)) > 0;
  return good ? CHASKI_OK : chaski__pki_broken(why, "request");
}

static int encode(X509_REQ *req, chaski_pki_bytes *der, char *why) {
  unsigned char *bytes = NULL;
  int len = i2d_X509_REQ(req, &bytes), rc;
  if (len <= 0) return chaski__pki_broken(why, "request");
  rc = chaski__pki_copy(bytes, (size_t)len, der, why);
  OPENSSL_free(bytes);
  return rc;
}

int chaski_pki_request_new(const chaski_pki_key *key, const chaski_pki_subject *subject, chaski_pki_bytes *der,
                           char *why) {
  X509_REQ *req;
  int rc;
  chaski__pki_begin(why);
  if (!key->secret || !key->strong)
    return chaski__pki_refuse(why, "key: %s", key->secret ? "too weak" : "there is no private key");
  if (!(req = X509_REQ_new())) return chaski__pki_no_memory(why);
  rc = set_subject(req, subject, why);
  if (rc == CHASKI_OK) rc = sign(req, key, why);
  if (rc == CHASKI_OK) rc = encode(req, der, why);
  X509_REQ_free(req);
  return chaski__pki_end(rc);
}

/* --- reading ---------------------------------------------------------------------------------------------------- */
static int decode(const unsigned char *der, size_t len, X509_REQ **out, char *why) {
  const unsigned char *p = der;
  X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)len);
  if (!req) return chaski__pki_broken(why, "request");
  if (p == der + len) {
    *out = req;
    return CHASKI_OK;
  }
  X509_REQ_free(req);
  return chaski__pki_refuse(why, "request: bytes after its end");
}

static int take_request(void *ctx, const unsigned char *der, size_t len, char *why) {
  X509_REQ **out = ctx;
  X509_REQ_free(*out); /* a second one makes chaski__pki_blocks fail */
  *out = NULL;
  return decode(der, len, out, why);
}

static int check_sound(const struct chaski_pki_key *key, char *why) {
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
  bool good;
  if (!ctx) return chaski__pki_no_memory(why);
  good = EVP_PKEY_public_check(ctx) == 1;
  EVP_PKEY_CTX_free(ctx);
  return good ? CHASKI_OK : chaski__pki_broken(why, "request: the key is not sound");
}

/* The certificate will hold the key as we write it, and its hash must be the one that is seen here. */
static int check_form(const struct chaski_pki_key *key, char *why) {
  struct chaski_pki_key ours;
  int rc;
  if (EVP_PKEY_up_ref(key->pkey) != 1) return chaski__pki_broken(why, "request");
  rc = chaski__pki_key_init(&ours, key->pkey, NULL, false, why);
  if (rc != CHASKI_OK) return rc;
  chaski__pki_key_clear(&ours);
  if (memcmp(ours.hash, key->hash, sizeof ours.hash) == 0) return CHASKI_OK;
  return chaski__pki_refuse(why, "request: the key is not in normal form");
}

static int check(X509_REQ *req, const struct chaski_pki_key *key, char *why) {
  int rc;
  if (!key->strong) return chaski__pki_refuse(why, "request: the key is too weak or of a kind that is not taken");
  if ((rc = check_sound(key, why)) != CHASKI_OK || (rc = check_form(key, why)) != CHASKI_OK) return rc;
  if (X509_REQ_get_version(req) != X509_REQ_VERSION_1) return chaski__pki_refuse(why, "request: unknown version");
  if (!chaski__pki_signature_strong(X509_REQ_get_signature_nid(req)))
    return chaski__pki_refuse(why, "request: signed in a way that is not taken");
  if (X509_REQ_verify(req, key->pkey) != 1) return chaski__pki_refuse(why, "request: the signature is not the key's");
  return CHASKI_OK;
}

/* What is worth keeping of req, into a new object. */
static int distil(X509_REQ *req, chaski_pki_request **out, char *why) {
  struct chaski_pki_request *request = chaski__calloc(1, sizeof *request);
  int rc;
  if (!request) return chaski__pki_no_memory(why);
  rc = chaski__pki_key_init(&request->key, X509_REQ_get_pubkey(req), X509_REQ_get_X509_PUBKEY(req), false, why);
  if (rc == CHASKI_OK) rc = check(req, &request->key, why);
  if (rc == CHASKI_OK) rc = chaski__pki_name_read(X509_REQ_get_subject_name(req), request, why);
  if (rc == CHASKI_OK)
    *out = request;
  else
    chaski_pki_request_free(request);
  return rc;
}

int chaski_pki_request_read(chaski_slice bytes, chaski_pki_request **out, char *why) {
  X509_REQ *req = NULL;
  int rc;
  chaski__pki_begin(why);
  if (!bytes.len || bytes.len > REQUEST_MAX)
    return chaski__pki_refuse(why, "request: %s", bytes.len ? "too large" : "empty");
  if (chaski__pki_is_pem(bytes))
    rc = chaski__pki_blocks(bytes, "request", PEM_STRING_X509_REQ, 1, take_request, &req, why);
  else
    rc = decode(bytes.ptr, bytes.len, &req, why);
  if (rc == CHASKI_OK) rc = distil(req, out, why);
  X509_REQ_free(req);
  return chaski__pki_end(rc);
}

void chaski_pki_request_free(chaski_pki_request *request) {
  if (!request) return;
  chaski__pki_key_clear(&request->key);
  for (size_t i = 0; i < CHASKI__PKI_ATTRIBUTES; i++) chaski__free(request->texts[i]);
  chaski__free(request);
}

chaski_pki_key *chaski_pki_request_key(const chaski_pki_request *request) {
  return (chaski_pki_key *)(uintptr_t)&request->key;
}

const chaski_pki_subject *chaski_pki_request_subject(const chaski_pki_request *request) {
  return &request->subject;
}
