/* pki.h: keys, certificate requests, certificates and revocation lists, on OpenSSL's X.509 side. It opens no file and
 * no connection: PEM and DER come and go as bytes. What it makes and what it accepts is RELIABILITY 5.3.
 *
 * Functions that can fail return CHASKI_OK, CHASKI_ENOMEM, or CHASKI_ECERTIFICATE with why (CHASKI_PKI_WHY_MAX bytes)
 * telling what is wrong; secrets never show up in it. Bytes handed out are the caller's: chaski_pki_bytes_free wipes
 * and frees them. SPDX-License-Identifier: MIT */
#ifndef CHASKI_PKI_H
#define CHASKI_PKI_H

#include "../core/error.h"
#include "../core/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHASKI_PKI_WHY_MAX 256
#define CHASKI_PKI_HASH 32
#define CHASKI_PKI_SERIAL_MAX 20 /* bytes, RFC 5280 4.1.2.2; ours are 16 */
#define CHASKI_PKI_URI_MAX 256   /* bytes of a URI name with its NUL */
#define CHASKI_PKI_NAMES_MAX 16  /* subject alternative names of one kind */
/* The extension that holds what a node may do; under the arc for documentation and private use of UUIDs (ITU-T X.667:
 * 2.25.UUID), so that it belongs to nobody else. A UTF8String: see chaski_rights in env.h's comment. */
#define CHASKI_PKI_RIGHTS_OID "2.25.121390763178416389541213284190317408071"

typedef struct chaski_pki_key chaski_pki_key;
typedef struct chaski_pki_certificate chaski_pki_certificate;
typedef struct chaski_pki_request chaski_pki_request;

typedef struct chaski_pki_bytes {
  uint8_t *ptr;
  size_t len;
} chaski_pki_bytes;
void chaski_pki_bytes_free(chaski_pki_bytes *bytes); /* wipes, frees, nulls */

/* --- keys --------------------------------------------------------------------------------------------------- */
/* kind: "p256" (default for NULL), "p384", "ed25519", "rsa3072", "rsa4096". */
int chaski_pki_key_new(const char *kind, chaski_pki_key **out, char *why);
int chaski_pki_key_read(chaski_slice pem, chaski_slice passphrase, chaski_pki_key **out, char *why);
/* PKCS#8 PEM; a passphrase that is not empty encrypts it (AES-256-CBC, PBKDF2). */
int chaski_pki_key_write(const chaski_pki_key *key, chaski_slice passphrase, chaski_pki_bytes *pem, char *why);
void chaski_pki_key_free(chaski_pki_key *key);
/* Strong enough to be signed or trusted: RSA from 3072 bits, EC on P-256 or P-384, Ed25519. */
bool chaski_pki_key_strong(const chaski_pki_key *key);
void chaski_pki_key_hash(const chaski_pki_key *key, uint8_t out[CHASKI_PKI_HASH]); /* SHA-256 of the DER SPKI */

/* --- requests ----------------------------------------------------------------------------------------------- */
typedef struct chaski_pki_subject {
  const char *country, *state, *locality, *organisation, *unit, *common_name; /* NULL: left out */
} chaski_pki_subject;

int chaski_pki_request_new(const chaski_pki_key *key, const chaski_pki_subject *subject, chaski_pki_bytes *der,
                           char *why);
/* Parse DER or PEM, at most 16 KiB, and check its own signature and its key's strength. */
int chaski_pki_request_read(chaski_slice bytes, chaski_pki_request **out, char *why);
void chaski_pki_request_free(chaski_pki_request *request);
chaski_pki_key *chaski_pki_request_key(const chaski_pki_request *request); /* borrowed; public only */
/* Subject attributes as text: borrowed until the request is freed; NULL fields are absent. */
const chaski_pki_subject *chaski_pki_request_subject(const chaski_pki_request *request);

/* --- certificates ------------------------------------------------------------------------------------------- */
typedef struct chaski_pki_issue {
  chaski_pki_subject subject;
  const char *uri;                      /* the one identity; NULL for a CA */
  const char *ip[CHASKI_PKI_NAMES_MAX]; /* NULL-terminated unless full; numeric */
  const char *dns[CHASKI_PKI_NAMES_MAX];
  const char *rights;            /* text of the rights extension; NULL: none, that is, everything */
  int64_t not_before, not_after; /* s since 1970 */
  bool authority;                /* a CA: critical CA:TRUE pathlen 0, keyCertSign + cRLSign */
  bool client_only, server_only; /* extended key usage; neither: both */
} chaski_pki_issue;

/* Sign a certificate for `public_key`: v3, SHA-256, random 128-bit serial, CA:FALSE critical, digitalSignature
 * critical, extended key usage, SKI, AKI. issuer NULL: self-signed by issuer_key (a root). PEM out. */
int chaski_pki_issue_certificate(const chaski_pki_issue *what, const chaski_pki_key *public_key,
                                 const chaski_pki_certificate *issuer, const chaski_pki_key *issuer_key,
                                 chaski_pki_bytes *pem, char *why);
int chaski_pki_certificate_read(chaski_slice pem_or_der, chaski_pki_certificate **out, char *why); /* the first one */
void chaski_pki_certificate_free(chaski_pki_certificate *certificate);

typedef struct chaski_pki_info {
  char serial[CHASKI_PKI_SERIAL_MAX * 2 + 1]; /* upper-case hex without leading zeros, as openssl prints it */
  char subject[512], issuer[512];             /* RFC 2253 */
  size_t uris;                                /* how many URI names */
  char uri[CHASKI_PKI_URI_MAX];               /* the first of them, or "" */
  char rights[1024];                          /* or "" */
  bool has_rights;
  int64_t not_before, not_after;
  bool authority;
  uint8_t key_hash[CHASKI_PKI_HASH], hash[CHASKI_PKI_HASH]; /* of the SPKI; of the whole DER */
} chaski_pki_info;
int chaski_pki_certificate_info(const chaski_pki_certificate *certificate, chaski_pki_info *out, char *why);
/* URI name number i, 0 to info's `uris` - 1. */
int chaski_pki_certificate_uri(const chaski_pki_certificate *certificate, size_t i, char out[CHASKI_PKI_URI_MAX],
                               char *why);
chaski_pki_key *chaski_pki_certificate_key(const chaski_pki_certificate *certificate); /* borrowed */

/* Is leaf good for role ("client", "server", "both") at time `at` under the PEM roots? chain: further PEM certificates,
 * may be empty. crl: PEM or DER revocation lists, each signed by one of the roots, may be empty; what they name is
 * revoked, also after their time, and a root may have none. */
int chaski_pki_verify(const chaski_pki_certificate *leaf, chaski_slice chain, chaski_slice roots, chaski_slice crl,
                      const char *role, int64_t at, char *why);

/* --- revocation lists ----------------------------------------------------------------------------------------- */
/* An X.509 CRL (RFC 5280 5) with a number; serials as hex. DER out. */
int chaski_pki_crl_new(uint64_t number, const char *const *serials, size_t n, int64_t this_update, int64_t next_update,
                       const chaski_pki_certificate *issuer, const chaski_pki_key *issuer_key, chaski_pki_bytes *der,
                       char *why);
/* Check the signature under one of the PEM roots, at most 4096 entries; *number, *root_hash (CHASKI_PKI_HASH bytes,
 * SPKI hash of the root that signed). */
int chaski_pki_crl_check(chaski_slice crl, chaski_slice roots, uint64_t *number, uint8_t *root_hash, char *why);

/* --- small ones ----------------------------------------------------------------------------------------------- */
void chaski_pki_sha256(chaski_slice bytes, uint8_t out[CHASKI_PKI_HASH]);
void chaski_pki_hmac_sha256(chaski_slice key, chaski_slice bytes, uint8_t out[CHASKI_PKI_HASH]);
int chaski_pki_random(void *out, size_t len);          /* CHASKI_OK, ECERTIFICATE when the generator is not seeded */
bool chaski_pki_equal(chaski_slice a, chaski_slice b); /* in constant time for equal lengths */

#endif
