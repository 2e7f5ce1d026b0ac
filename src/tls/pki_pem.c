/* pki_pem.c: reading PEM block by block. What is left over or cut off is an error, not the end: a bundle that lost its
 * last root must not pass for a shorter one. SPDX-License-Identifier: MIT */
#include "pki_internal.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#define FENCE "-----" /* four of them in a block */

static size_t fences(chaski_slice bytes) {
  const uint8_t *p = bytes.ptr, *end = bytes.ptr + bytes.len;
  size_t n = 0;
  while (p < end && (p = memmem(p, (size_t)(end - p), FENCE, sizeof FENCE - 1))) n++, p += sizeof FENCE - 1;
  return n;
}

bool chaski__pki_is_pem(chaski_slice bytes) {
  static const char begin[] = FENCE "BEGIN ";
  return bytes.len && memmem(bytes.ptr, bytes.len, begin, sizeof begin - 1);
}

int chaski__pki_block_read(BIO *bio, chaski__pki_block *out) {
  int reason;
  *out = (chaski__pki_block){NULL, NULL, NULL, 0};
  if (PEM_read_bio_ex(bio, &out->name, &out->header, &out->data, &out->len, PEM_FLAG_SECURE) == 1) return 1;
  reason = ERR_GET_REASON(ERR_peek_last_error());
  return reason == PEM_R_NO_START_LINE ? 0 : -1;
}

void chaski__pki_block_free(chaski__pki_block *block) { /* the counterpart of PEM_FLAG_SECURE */
  OPENSSL_secure_free(block->name);
  OPENSSL_secure_free(block->header);
  OPENSSL_secure_clear_free(block->data, (size_t)block->len);
  *block = (chaski__pki_block){NULL, NULL, NULL, 0};
}

/* One block: 1, or 0 at the end, or a code (negative). */
static int take_block(BIO *bio, const char *what, const char *name, chaski__pki_each each, void *ctx, char *why) {
  chaski__pki_block block;
  int rc = chaski__pki_block_read(bio, &block);
  if (rc < 0) return chaski__pki_broken(why, what);
  if (rc == 0) return 0;
  if (strcmp(block.name, name) != 0)
    rc = chaski__pki_refuse(why, "%s: a block that is not a %s", what, name);
  else
    rc = each(ctx, block.data, (size_t)block.len, why);
  chaski__pki_block_free(&block);
  return rc == CHASKI_OK ? 1 : rc;
}

static int take_blocks(BIO *bio, const char *what, const char *name, size_t max, chaski__pki_each each, void *ctx,
                       size_t *n, char *why) {
  int rc;
  while ((rc = take_block(bio, what, name, each, ctx, why)) == 1)
    if (++*n > max) return chaski__pki_refuse(why, "%s: more than %zu", what, max);
  ERR_clear_error(); /* that the last block was the last */
  return rc;
}

int chaski__pki_blocks(chaski_slice pem, const char *what, const char *name, size_t max, chaski__pki_each each,
                       void *ctx, char *why) {
  BIO *bio;
  size_t n = 0;
  int rc;
  if (!chaski__pki_is_pem(pem) || pem.len > INT_MAX) return chaski__pki_refuse(why, "%s: no PEM", what);
  if (!(bio = BIO_new_mem_buf(pem.ptr, (int)pem.len))) return chaski__pki_no_memory(why);
  rc = take_blocks(bio, what, name, max, each, ctx, &n, why);
  BIO_free(bio);
  if (rc == CHASKI_OK && fences(pem) != 4 * n) rc = chaski__pki_refuse(why, "%s: PEM that is cut off or damaged", what);
  return rc;
}
