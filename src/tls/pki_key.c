/* pki_key.c: keys: making, reading and writing them, and which are strong enough. Key material is wiped before its
 * memory is given back. See pki.h. SPDX-License-Identifier: MIT */
#include "pki_internal.h"

#include "../core/alloc.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#define KEY_MAX (64 * 1024) /* bytes of a PEM file */
#define PASSPHRASE_MAX 1024
#define RSA_LEAST 3072
#define RSA_MOST 8192 /* beyond this a check of a signature is a burden that a stranger can put on us */
#define ITERATIONS 200000
#define SALT 16

/* --- objects ---------------------------------------------------------------------------------------------------- */
static bool strong_curve(const EVP_PKEY *pkey) {
  char name[32];
  int explicit_parameters = 1;
  if (EVP_PKEY_get_group_name(pkey, name, sizeof name, NULL) != 1) return false;
  if (EVP_PKEY_get_int_param(pkey, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &explicit_parameters) != 1)
    return false;
  return !explicit_parameters && (strcmp(name, "prime256v1") == 0 || strcmp(name, "secp384r1") == 0);
}

static bool strong(const EVP_PKEY *pkey) {
  int bits = EVP_PKEY_get_bits(pkey);
  if (EVP_PKEY_is_a(pkey, "RSA")) return bits >= RSA_LEAST && bits <= RSA_MOST;
  if (EVP_PKEY_is_a(pkey, "EC")) return strong_curve(pkey);
  return EVP_PKEY_is_a(pkey, "ED25519");
}

static int hash_of(const EVP_PKEY *pkey, const X509_PUBKEY *spki, uint8_t out[CHASKI_PKI_HASH], char *why) {
  unsigned char *der = NULL;
  int len = spki ? i2d_X509_PUBKEY(spki, &der) : i2d_PUBKEY(pkey, &der), rc;
  if (len <= 0) return chaski__pki_broken(why, "key");
  rc = chaski__pki_digest(der, (size_t)len, out);
  OPENSSL_free(der);
  return rc == CHASKI_OK ? rc : chaski__pki_no_memory(why);
}

int chaski__pki_key_init(struct chaski_pki_key *key, EVP_PKEY *pkey, const X509_PUBKEY *spki, bool secret, char *why) {
  int rc;
  *key = (struct chaski_pki_key){.secret = secret};
  if (!pkey) return chaski__pki_broken(why, "key");
  rc = hash_of(pkey, spki, key->hash, why);
  if (rc != CHASKI_OK) {
    EVP_PKEY_free(pkey);
    return rc;
  }
  key->pkey = pkey;
  key->strong = strong(pkey);
  ERR_clear_error();
  return CHASKI_OK;
}

void chaski__pki_key_clear(struct chaski_pki_key *key) {
  EVP_PKEY_free(key->pkey);
  key->pkey = NULL;
}

void chaski_pki_key_free(chaski_pki_key *key) {
  if (!key) return;
  chaski__pki_key_clear(key);
  chaski__free(key);
}

/* A key of its own around pkey, which is taken over. */
static int wrap(EVP_PKEY *pkey, chaski_pki_key **out, char *why) {
  struct chaski_pki_key *key = chaski__malloc(sizeof *key);
  int rc;
  if (!key) {
    EVP_PKEY_free(pkey);
    return chaski__pki_no_memory(why);
  }
  rc = chaski__pki_key_init(key, pkey, NULL, true, why);
  if (rc == CHASKI_OK)
    *out = key;
  else
    chaski__free(key);
  return rc;
}

bool chaski_pki_key_strong(const chaski_pki_key *key) {
  return key->strong;
}

void chaski_pki_key_hash(const chaski_pki_key *key, uint8_t out[CHASKI_PKI_HASH]) {
  memcpy(out, key->hash, CHASKI_PKI_HASH);
}

/* --- signing ---------------------------------------------------------------------------------------------------- */
const EVP_MD *chaski__pki_key_digest(const struct chaski_pki_key *key) {
  return EVP_PKEY_is_a(key->pkey, "ED25519") ? NULL : EVP_sha256();
}

bool chaski__pki_signature_strong(int nid) {
  static const int known[] = {
      NID_ecdsa_with_SHA256,       NID_ecdsa_with_SHA384,       NID_ecdsa_with_SHA512, NID_sha256WithRSAEncryption,
      NID_sha384WithRSAEncryption, NID_sha512WithRSAEncryption, NID_ED25519,
  };
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (nid == known[i]) return true;
  return false;
}

int chaski__pki_may_sign(const chaski_pki_certificate *issuer, const chaski_pki_key *key, uint32_t usage, char *why) {
  if (!key->secret) return chaski__pki_refuse(why, "issuer's key: there is no private key");
  if (!key->strong) return chaski__pki_refuse(why, "issuer's key: too weak");
  if (!issuer) return CHASKI_OK;
  if (X509_check_ca(issuer->x509) != 1 || !(X509_get_key_usage(issuer->x509) & usage))
    return chaski__pki_refuse(why, "issuer: its certificate does not allow it to sign this");
  if (EVP_PKEY_eq(issuer->key.pkey, key->pkey) != 1)
    return chaski__pki_refuse(why, "issuer: the key is not the certificate's");
  return CHASKI_OK;
}

/* --- making ----------------------------------------------------------------------------------------------------- */
int chaski_pki_key_new(const char *kind, chaski_pki_key **out, char *why) {
  EVP_PKEY *pkey;
  chaski__pki_begin(why);
  if (!kind || strcmp(kind, "p256") == 0)
    pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
  else if (strcmp(kind, "p384") == 0)
    pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
  else if (strcmp(kind, "ed25519") == 0)
    pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
  else if (strcmp(kind, "rsa3072") == 0)
    pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)3072);
  else if (strcmp(kind, "rsa4096") == 0)
    pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)4096);
  else
    return chaski__pki_refuse(why, "key: unknown kind, expected p256, p384, ed25519, rsa3072 or rsa4096");
  return chaski__pki_end(pkey ? wrap(pkey, out, why) : chaski__pki_broken(why, "key"));
}

/* --- reading ---------------------------------------------------------------------------------------------------- */
static int from_pkcs8(PKCS8_PRIV_KEY_INFO *info, EVP_PKEY **out, char *why) {
  *out = EVP_PKCS82PKEY(info);
  PKCS8_PRIV_KEY_INFO_free(info); /* wipes */
  return *out ? CHASKI_OK : chaski__pki_broken(why, "key");
}

static int read_plain(const chaski__pki_block *block, EVP_PKEY **out, char *why) {
  const unsigned char *p = block->data;
  PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, block->len);
  if (!info) return chaski__pki_broken(why, "key");
  if (p == block->data + block->len) return from_pkcs8(info, out, why);
  PKCS8_PRIV_KEY_INFO_free(info);
  return chaski__pki_refuse(why, "key: bytes after its end");
}

static int decrypt(const X509_SIG *sealed, chaski_slice passphrase, EVP_PKEY **out, char *why) {
  PKCS8_PRIV_KEY_INFO *info = PKCS8_decrypt(sealed, (const char *)passphrase.ptr, (int)passphrase.len);
  return info ? from_pkcs8(info, out, why) : chaski__pki_refuse(why, "key: wrong passphrase");
}

static int read_sealed(const chaski__pki_block *block, chaski_slice passphrase, EVP_PKEY **out, char *why) {
  const unsigned char *p = block->data;
  X509_SIG *sealed;
  int rc;
  if (!passphrase.len) return chaski__pki_refuse(why, "key: it is encrypted and there is no passphrase");
  if (!(sealed = d2i_X509_SIG(NULL, &p, block->len))) return chaski__pki_broken(why, "key");
  rc = p == block->data + block->len ? decrypt(sealed, passphrase, out, why)
                                     : chaski__pki_refuse(why, "key: bytes after its end");
  X509_SIG_free(sealed);
  return rc;
}

static int read_old(const chaski__pki_block *block, int type, EVP_PKEY **out, char *why) {
  const unsigned char *p = block->data;
  if (*block->header)
    return chaski__pki_refuse(why, "key: encrypted in an old form; `openssl pkcs8 -topk8` makes a new one of it");
  *out = d2i_PrivateKey(type, NULL, &p, block->len);
  if (!*out) return chaski__pki_broken(why, "key");
  if (p == block->data + block->len) return CHASKI_OK;
  EVP_PKEY_free(*out);
  return chaski__pki_refuse(why, "key: bytes after its end");
}

static int read_block(const chaski__pki_block *block, chaski_slice passphrase, EVP_PKEY **out, char *why) {
  if (strcmp(block->name, PEM_STRING_PKCS8INF) == 0) return read_plain(block, out, why);
  if (strcmp(block->name, PEM_STRING_PKCS8) == 0) return read_sealed(block, passphrase, out, why);
  if (strcmp(block->name, PEM_STRING_ECPRIVATEKEY) == 0) return read_old(block, EVP_PKEY_EC, out, why);
  if (strcmp(block->name, PEM_STRING_RSA) == 0) return read_old(block, EVP_PKEY_RSA, out, why);
  return chaski__pki_refuse(why, "key: no private key in PEM");
}

static int read_first(BIO *bio, chaski_slice passphrase, EVP_PKEY **out, char *why) {
  chaski__pki_block block;
  int rc = chaski__pki_block_read(bio, &block);
  if (rc == 1 && strcmp(block.name, PEM_STRING_ECPARAMETERS) == 0) { /* what `openssl ecparam -genkey` writes first */
    chaski__pki_block_free(&block);
    rc = chaski__pki_block_read(bio, &block);
  }
  if (rc != 1) return chaski__pki_refuse(why, "key: no private key in PEM, or one that is cut off or damaged");
  rc = read_block(&block, passphrase, out, why);
  chaski__pki_block_free(&block);
  return rc;
}

/* That the halves belong together. */
static int check_pair(EVP_PKEY *pkey, char *why) {
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
  int good;
  if (!ctx) return chaski__pki_broken(why, "key");
  good = EVP_PKEY_pairwise_check(ctx);
  EVP_PKEY_CTX_free(ctx);
  return good == 1 ? CHASKI_OK : chaski__pki_broken(why, "key: its halves do not belong together");
}

int chaski_pki_key_read(chaski_slice pem, chaski_slice passphrase, chaski_pki_key **out, char *why) {
  EVP_PKEY *pkey = NULL;
  BIO *bio;
  int rc;
  chaski__pki_begin(why);
  if (!chaski__pki_is_pem(pem) || pem.len > KEY_MAX) return chaski__pki_refuse(why, "key: no private key in PEM");
  if (passphrase.len > PASSPHRASE_MAX) return chaski__pki_refuse(why, "key: the passphrase is too long");
  if (!(bio = BIO_new_mem_buf(pem.ptr, (int)pem.len))) return chaski__pki_no_memory(why);
  rc = read_first(bio, passphrase, &pkey, why);
  BIO_free(bio);
  if (rc == CHASKI_OK && (rc = check_pair(pkey, why)) != CHASKI_OK) EVP_PKEY_free(pkey);
  return chaski__pki_end(rc == CHASKI_OK ? wrap(pkey, out, why) : rc);
}

/* --- writing ---------------------------------------------------------------------------------------------------- */
static X509_SIG *encrypt(PKCS8_PRIV_KEY_INFO *info, chaski_slice passphrase) {
  X509_ALGOR *how = PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), ITERATIONS, NULL, SALT, NULL, NID_hmacWithSHA256);
  X509_SIG *sealed = how ? PKCS8_set0_pbe((const char *)passphrase.ptr, (int)passphrase.len, info, how) : NULL;
  if (!sealed) X509_ALGOR_free(how);
  return sealed;
}

static bool write_sealed(BIO *bio, PKCS8_PRIV_KEY_INFO *info, chaski_slice passphrase) {
  X509_SIG *sealed = encrypt(info, passphrase);
  bool good = sealed && PEM_write_bio_PKCS8(bio, sealed) == 1;
  X509_SIG_free(sealed);
  return good;
}

static bool write_key(BIO *bio, const EVP_PKEY *pkey, chaski_slice passphrase) {
  PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
  bool good = info && (passphrase.len ? write_sealed(bio, info, passphrase)
                                      : PEM_write_bio_PKCS8_PRIV_KEY_INFO(bio, info) == 1);
  PKCS8_PRIV_KEY_INFO_free(info);
  return good;
}

int chaski_pki_key_write(const chaski_pki_key *key, chaski_slice passphrase, chaski_pki_bytes *pem, char *why) {
  BIO *bio;
  int rc;
  chaski__pki_begin(why);
  if (!key->secret) return chaski__pki_refuse(why, "key: there is no private key");
  if (passphrase.len > PASSPHRASE_MAX) return chaski__pki_refuse(why, "key: the passphrase is too long");
  if (!(bio = BIO_new(BIO_s_mem()))) return chaski__pki_no_memory(why);
  rc = write_key(bio, key->pkey, passphrase) ? chaski__pki_drain(bio, pem, why) : chaski__pki_broken(why, "key");
  BIO_free(bio); /* wipes */
  return chaski__pki_end(rc);
}
