/* certs.h: certificates for the tests of the filter, good and bad ones, made with OpenSSL alone: what src/tls must
 * refuse, it cannot make. Keys are made once for a program. SPDX-License-Identifier: MIT */
#ifndef CHASKI_SPEC_TLS_CERTS_H
#define CHASKI_SPEC_TLS_CERTS_H

#include <openssl/x509.h>

#include <stdbool.h>
#include <stdint.h>

#define CERTS_DAY INT64_C(86400)

typedef struct certs_what {
  const char *name;              /* common name; NULL: "x" */
  const char *names;             /* subject alternative names in OpenSSL's notation, "URI:…,DNS:…"; NULL: none */
  const char *key;               /* "p256" (NULL), "p384", "ed25519", "secp256k1", "rsa1024", "rsa2048", "rsa3072" */
  const char *usage;             /* extended key usage; NULL: both roles; "": no extension */
  const char *rights;            /* text of the rights extension; NULL: none */
  const char *digest;            /* "SHA256" (NULL), "SHA1", "MD5" */
  int64_t not_before, not_after; /* seconds from certs_now(); both 0: -300 and a day */
  bool authority;
  bool tampered; /* a bit of the signature is another */
} certs_what;

typedef struct certs_pair {
  X509 *certificate;
  EVP_PKEY *key; /* belongs to the program */
} certs_pair;

void certs_begin(int64_t now); /* the time certificates are made around, s since 1970 */
int64_t certs_now(void);
void certs_end(void); /* frees the keys */

EVP_PKEY *certs_key(const char *kind); /* one of a kind, and another one with "2" after the kind */
/* issuer NULL: self-signed. Aborts when something fails. */
certs_pair certs_issue(const certs_what *what, const certs_pair *issuer);
certs_pair certs_root(const char *name, const char *key);
certs_pair certs_node(const char *uri, const certs_pair *issuer);
void certs_free(certs_pair *pair);

/* PEM texts, to be freed with free(). chain NULL: none; passphrase NULL: not encrypted. */
char *certs_pem(const certs_pair *leaf, const certs_pair *chain);
char *certs_key_pem(EVP_PKEY *key, const char *passphrase);
/* A list that revokes these. */
char *certs_list(const certs_pair *issuer, const certs_pair *const *revoked, size_t n);
void certs_pin(const certs_pair *root, uint8_t pin[32]);

#endif
