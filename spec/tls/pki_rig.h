/* pki_rig.h: what the tests of the X.509 side share: a root with its key, certificates made to measure, and short ways
 * to say that something is accepted or refused. SPDX-License-Identifier: MIT */
#ifndef CHASKI_SPEC_PKI_RIG_H
#define CHASKI_SPEC_PKI_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/core/alloc.h"
#include "../../src/tls/pki.h"

#include <stdlib.h>
#include <string.h>

#define NOW INT64_C(1700000000)
#define DAY INT64_C(86400)
#define NOTHING ((chaski_slice){NULL, 0})

static char why[CHASKI_PKI_WHY_MAX];

static inline chaski_slice bytes_of(const chaski_pki_bytes *b) {
  return chaski_slice_of(b->ptr, b->len);
}

static inline void assert_good(int rc) {
  if (rc != CHASKI_OK) print_error("%s\n", why);
  assert_int_equal(rc, CHASKI_OK);
  assert_string_equal(why, "");
}

/* It was refused, and the explanation has this in it. */
static inline void assert_refused(int rc, const char *part) {
  assert_int_equal(rc, CHASKI_ECERTIFICATE);
  if (!strstr(why, part)) print_error("'%s' instead of '%s'\n", why, part);
  assert_non_null(strstr(why, part));
  assert_true(strlen(why) < CHASKI_PKI_WHY_MAX);
}

static inline chaski_pki_key *new_key(const char *kind) {
  chaski_pki_key *key = NULL;
  assert_good(chaski_pki_key_new(kind, &key, why));
  return key;
}

static inline chaski_pki_certificate *read_certificate(chaski_slice bytes) {
  chaski_pki_certificate *certificate = NULL;
  assert_good(chaski_pki_certificate_read(bytes, &certificate, why));
  return certificate;
}

/* --- authorities ------------------------------------------------------------------------------------------------ */
typedef struct authority {
  chaski_pki_key *key;
  chaski_pki_bytes pem;
  chaski_pki_certificate *certificate;
} authority;

static inline chaski_pki_issue a_root(const char *name) {
  return (chaski_pki_issue){.subject = {.organisation = "chaski", .common_name = name},
                            .not_before = NOW - DAY,
                            .not_after = NOW + 100 * DAY,
                            .authority = true};
}

static inline chaski_pki_issue a_node(const char *uri) {
  return (chaski_pki_issue){
      .subject = {.common_name = "node"}, .uri = uri, .not_before = NOW - 300, .not_after = NOW + DAY};
}

static inline void authority_open(authority *a, const char *name, const char *kind) {
  chaski_pki_issue what = a_root(name);
  a->key = new_key(kind);
  assert_good(chaski_pki_issue_certificate(&what, a->key, NULL, a->key, &a->pem, why));
  a->certificate = read_certificate(bytes_of(&a->pem));
}

static inline void authority_close(authority *a) {
  chaski_pki_certificate_free(a->certificate);
  chaski_pki_bytes_free(&a->pem);
  chaski_pki_key_free(a->key);
}

/* A certificate signed by a for key; `pem`, if not NULL, is what was written. */
static inline chaski_pki_certificate *issue(const authority *a, const chaski_pki_issue *what, const chaski_pki_key *key,
                                            chaski_pki_bytes *pem) {
  chaski_pki_bytes written;
  chaski_pki_certificate *certificate;
  assert_good(chaski_pki_issue_certificate(what, key, a->certificate, a->key, &written, why));
  certificate = read_certificate(bytes_of(&written));
  if (pem)
    *pem = written;
  else
    chaski_pki_bytes_free(&written);
  return certificate;
}

#endif
