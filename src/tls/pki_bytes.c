/* pki_bytes.c: how failures are told, bytes that are handed out, hashes, chance, and comparing. See pki.h.
 * SPDX-License-Identifier: MIT */
#include "pki_internal.h"

#include "../core/alloc.h"

#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* --- failures --------------------------------------------------------------------------------------------------- */
int chaski__pki_refuse(char *why, const char *format, ...) {
  va_list args;
  ERR_clear_error();
  va_start(args, format);
  vsnprintf(why, CHASKI_PKI_WHY_MAX, format, args);
  va_end(args);
  return CHASKI_ECERTIFICATE;
}

int chaski__pki_no_memory(char *why) {
  ERR_clear_error();
  snprintf(why, CHASKI_PKI_WHY_MAX, "out of memory");
  return CHASKI_ENOMEM;
}

int chaski__pki_broken(char *why, const char *what) {
  const char *reason = ERR_reason_error_string(ERR_peek_last_error());
  unsigned long error;
  while ((error = ERR_get_error()))
    if (ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE) return chaski__pki_no_memory(why);
  return reason ? chaski__pki_refuse(why, "%s: %s", what, reason) : chaski__pki_refuse(why, "%s", what);
}

void chaski__pki_begin(char *why) {
  ERR_clear_error();
  *why = '\0';
}

int chaski__pki_end(int rc) {
  ERR_clear_error();
  return rc;
}

bool chaski__pki_plain(const char *text, size_t len) {
  for (size_t i = 0; i < len; i++)
    if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) return false;
  return true;
}

/* --- bytes ------------------------------------------------------------------------------------------------------ */
void chaski_pki_bytes_free(chaski_pki_bytes *bytes) {
  if (bytes->ptr) OPENSSL_cleanse(bytes->ptr, bytes->len);
  chaski__free(bytes->ptr);
  *bytes = (chaski_pki_bytes){NULL, 0};
}

int chaski__pki_copy(const void *ptr, size_t len, chaski_pki_bytes *out, char *why) {
  uint8_t *copy = chaski__malloc(len ? len : 1);
  if (!copy) return chaski__pki_no_memory(why);
  memcpy(copy, ptr, len);
  *out = (chaski_pki_bytes){copy, len};
  return CHASKI_OK;
}

int chaski__pki_drain(BIO *bio, chaski_pki_bytes *out, char *why) {
  char *ptr = NULL;
  long len = BIO_get_mem_data(bio, &ptr);
  if (len <= 0 || !ptr) return chaski__pki_broken(why, "nothing was written");
  return chaski__pki_copy(ptr, (size_t)len, out, why);
}

/* --- hashes ----------------------------------------------------------------------------------------------------- */
static const void *solid(const void *ptr) { /* OpenSSL takes NULL for "none", not for "empty" */
  return ptr ? ptr : "";
}

int chaski__pki_digest(const void *ptr, size_t len, uint8_t out[CHASKI_PKI_HASH]) {
  unsigned int written = 0;
  bool good = EVP_Digest(solid(ptr), len, out, &written, EVP_sha256(), NULL) == 1 && written == CHASKI_PKI_HASH;
  return chaski__pki_end(good ? CHASKI_OK : CHASKI_ENOMEM);
}

/* Only without memory do these fail, and they have no result to say so: to go on with a wrong hash would be worse. */
static void give_up(void) {
  fputs("chaski: out of memory while hashing\n", stderr);
  abort();
}

void chaski_pki_sha256(chaski_slice bytes, uint8_t out[CHASKI_PKI_HASH]) {
  if (chaski__pki_digest(bytes.ptr, bytes.len, out) != CHASKI_OK) give_up();
}

void chaski_pki_hmac_sha256(chaski_slice key, chaski_slice bytes, uint8_t out[CHASKI_PKI_HASH]) {
  char digest[] = "SHA256";
  size_t written = 0;
  const unsigned char *mac = EVP_Q_mac(NULL, "HMAC", NULL, digest, NULL, solid(key.ptr), key.len, solid(bytes.ptr),
                                       bytes.len, out, CHASKI_PKI_HASH, &written);
  if (!mac || written != CHASKI_PKI_HASH) give_up();
  ERR_clear_error();
}

/* --- chance and comparing ---------------------------------------------------------------------------------------- */
int chaski_pki_random(void *out, size_t len) {
  for (unsigned char *p = out; len;) {
    int part = len < INT_MAX ? (int)len : INT_MAX;
    if (RAND_bytes(p, part) != 1) {
      ERR_clear_error();
      return CHASKI_ECERTIFICATE;
    }
    p += part, len -= (size_t)part;
  }
  return CHASKI_OK;
}

bool chaski_pki_equal(chaski_slice a, chaski_slice b) {
  return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}
