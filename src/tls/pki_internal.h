/* pki_internal.h: what the pki_*.c files share: the objects behind the handles of pki.h, how failures are told, PEM
 * blocks and DER read with limits. SPDX-License-Identifier: MIT */
#ifndef CHASKI_PKI_INTERNAL_H
#define CHASKI_PKI_INTERNAL_H

#include "pki.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#define CHASKI__PKI_ENTRIES_MAX 4096        /* of a revocation list */
#define CHASKI__PKI_LIST_MAX (512 * 1024)   /* bytes of one or several revocation lists */
#define CHASKI__PKI_CHAIN_MAX 8             /* certificates in a bundle */
#define CHASKI__PKI_BUNDLE_MAX (256 * 1024) /* bytes of it */
#define CHASKI__PKI_TIME_MAX 253402300799   /* 9999-12-31T23:59:59Z, the last there is in X.509 */

struct chaski_pki_key {
  EVP_PKEY *pkey;
  uint8_t hash[CHASKI_PKI_HASH];
  bool secret; /* it has the private half */
  bool strong;
};

struct chaski_pki_certificate {
  X509 *x509;
  struct chaski_pki_key key;
};

#define CHASKI__PKI_ATTRIBUTES 6
struct chaski_pki_request {
  struct chaski_pki_key key;
  chaski_pki_subject subject;
  char *texts[CHASKI__PKI_ATTRIBUTES]; /* what subject points to */
};

/* --- failures and bytes (pki_bytes.c) ------------------------------------------------------------------------- */
/* ECERTIFICATE with this text. Empties OpenSSL's queue of errors. */
__attribute__((format(printf, 2, 3))) int chaski__pki_refuse(char *why, const char *format, ...);
/* A call of OpenSSL failed: ENOMEM, or ECERTIFICATE with "what: reason". Empties the queue. */
int chaski__pki_broken(char *why, const char *what);
int chaski__pki_no_memory(char *why);
void chaski__pki_begin(char *why); /* why is "", the queue is empty */
int chaski__pki_end(int rc);       /* the same rc; the queue is empty: also after success something may be in it */
int chaski__pki_copy(const void *ptr, size_t len, chaski_pki_bytes *out, char *why);
int chaski__pki_drain(BIO *bio, chaski_pki_bytes *out, char *why); /* what was written to a memory BIO */
int chaski__pki_digest(const void *ptr, size_t len, uint8_t out[CHASKI_PKI_HASH]); /* CHASKI_OK or ENOMEM */
bool chaski__pki_plain(const char *text, size_t len);                              /* no NUL, no control character */

/* --- PEM (pki_pem.c) ------------------------------------------------------------------------------------------ */
typedef struct chaski__pki_block {
  char *name, *header;
  unsigned char *data;
  long len;
} chaski__pki_block;

bool chaski__pki_is_pem(chaski_slice bytes);
/* The next block of bio: 1; 0 when there is none, -1 when it is malformed. Free it after 1 only; that wipes. */
int chaski__pki_block_read(BIO *bio, chaski__pki_block *out);
void chaski__pki_block_free(chaski__pki_block *block);
/* Call each with every block of pem, all of which must be called name; at least one, at most max of them, and nothing
 * that looks like a part of another. `what` names the whole in texts. Ends at the first code that is not CHASKI_OK. */
typedef int (*chaski__pki_each)(void *ctx, const unsigned char *der, size_t len, char *why);
int chaski__pki_blocks(chaski_slice pem, const char *what, const char *name, size_t max, chaski__pki_each each,
                       void *ctx, char *why);

/* --- keys (pki_key.c) ----------------------------------------------------------------------------------------- */
/* Takes pkey over, also when it fails. spki: as it stands in a certificate or request; NULL: as we would write it. */
int chaski__pki_key_init(struct chaski_pki_key *key, EVP_PKEY *pkey, const X509_PUBKEY *spki, bool secret, char *why);
void chaski__pki_key_clear(struct chaski_pki_key *key);
const EVP_MD *chaski__pki_key_digest(const struct chaski_pki_key *key); /* to sign with; NULL: it has its own */
bool chaski__pki_signature_strong(int nid);
/* May key sign as issuer? CHASKI_OK or why not. usage: KU_KEY_CERT_SIGN or KU_CRL_SIGN. */
int chaski__pki_may_sign(const chaski_pki_certificate *issuer, const chaski_pki_key *key, uint32_t usage, char *why);

/* --- subjects (pki_name.c) -------------------------------------------------------------------------------------- */
int chaski__pki_name_new(const chaski_pki_subject *subject, X509_NAME **out, char *why);
/* The known attributes as texts (chaski__malloc), each at most once; the rest is left aside. */
int chaski__pki_name_read(const X509_NAME *name, struct chaski_pki_request *request, char *why);

/* --- certificates (pki_certificate.c) --------------------------------------------------------------------------- */
/* One certificate from exactly these bytes. */
int chaski__pki_x509_read(const unsigned char *der, size_t len, X509 **out, char *why);
/* All certificates of a PEM bundle, at least one. */
int chaski__pki_bundle_read(chaski_slice pem, const char *what, STACK_OF(X509) * *out, char *why);
ASN1_OBJECT *chaski__pki_rights_object(void); /* to be freed; NULL: out of memory */

/* --- revocation lists (pki_crl.c) -------------------------------------------------------------------------------- */
/* All lists, PEM or one in DER, each signed by one of the roots. */
int chaski__pki_lists_read(chaski_slice bytes, STACK_OF(X509) * roots, STACK_OF(X509_CRL) * *out, char *why);

#endif
