/* pki_oom_test.c: OpenSSL runs out of memory at one allocation after the other: nothing crashes, nothing is left, and
 * nothing that must be refused passes. A program of its own, because OpenSSL takes an allocator only before its first
 * allocation. SPDX-License-Identifier: MIT */
#include "pki_rig.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

/* --- an allocator that fails ------------------------------------------------------------------------------------- */
static long left = -1; /* allocations that still succeed; below 0: all */
static long live;      /* blocks OpenSSL holds */
static bool failed;    /* one did */
static bool once;      /* and only that one */

static bool may_allocate(void) {
  if (left < 0) return true;
  if (left > 0) return left--, true;
  failed = true;
  if (once) left = -1;
  return false;
}

static void *scarce_malloc(size_t size, const char *file, int line) {
  void *p = may_allocate() ? malloc(size) : NULL;
  (void)file, (void)line;
  live += p != NULL;
  return p;
}

static void scarce_free(void *p, const char *file, int line) {
  (void)file, (void)line;
  live -= p != NULL;
  free(p);
}

static void *scarce_realloc(void *p, size_t size, const char *file, int line) {
  if (!p) return scarce_malloc(size, file, line);
  if (size) return may_allocate() ? realloc(p, size) : NULL;
  scarce_free(p, file, line);
  return NULL;
}

/* --- what is tried ------------------------------------------------------------------------------------------------ */
static const char uri[] = "chaski://mesh/alfa";
static const chaski_pki_subject subject = {"AR", "Córdoba", "Río Cuarto", "chaski", "Wege", "alfa"};
static authority root;
static chaski_pki_bytes key_pem, request_der, leaf_pem, empty_list, list;
static chaski_pki_certificate *leaf;

static chaski_pki_issue a_full_node(void) {
  chaski_pki_issue what = a_node(uri);
  what.rights = "relay", what.ip[0] = "127.0.0.1", what.dns[0] = "a.b";
  return what;
}

static int try_key_new(void) {
  chaski_pki_key *key = NULL;
  int rc = chaski_pki_key_new(NULL, &key, why);
  chaski_pki_key_free(key);
  return rc;
}

static int try_key_read(void) {
  chaski_pki_key *key = NULL;
  int rc = chaski_pki_key_read(bytes_of(&key_pem), NOTHING, &key, why);
  chaski_pki_key_free(key);
  return rc;
}

static int try_key_write(void) {
  chaski_pki_bytes pem = {NULL, 0};
  int rc = chaski_pki_key_write(root.key, NOTHING, &pem, why);
  chaski_pki_bytes_free(&pem);
  return rc;
}

static int try_request_new(void) {
  chaski_pki_bytes der = {NULL, 0};
  int rc = chaski_pki_request_new(root.key, &subject, &der, why);
  chaski_pki_bytes_free(&der);
  return rc;
}

static int try_request_read(void) {
  chaski_pki_request *request = NULL;
  int rc = chaski_pki_request_read(bytes_of(&request_der), &request, why);
  if (rc == CHASKI_OK) assert_string_equal(chaski_pki_request_subject(request)->common_name, "alfa");
  chaski_pki_request_free(request);
  return rc;
}

static int try_broken_request(void) {
  chaski_pki_request *request = NULL;
  uint8_t *last = request_der.ptr + request_der.len - 1;
  *last ^= 1;
  int rc = chaski_pki_request_read(bytes_of(&request_der), &request, why);
  *last ^= 1;
  return rc;
}

static int try_issue(void) {
  chaski_pki_issue what = a_full_node();
  chaski_pki_bytes pem = {NULL, 0};
  int rc = chaski_pki_issue_certificate(&what, root.key, root.certificate, root.key, &pem, why);
  chaski_pki_bytes_free(&pem);
  return rc;
}

static int try_certificate(void) {
  chaski_pki_certificate *certificate = NULL;
  chaski_pki_info info;
  int rc = chaski_pki_certificate_read(bytes_of(&leaf_pem), &certificate, why);
  if (rc == CHASKI_OK) rc = chaski_pki_certificate_info(certificate, &info, why);
  if (rc == CHASKI_OK) assert_true(info.has_rights && info.uris == 1 && strcmp(info.rights, "relay") == 0);
  chaski_pki_certificate_free(certificate);
  return rc;
}

static int try_verify(void) {
  return chaski_pki_verify(leaf, NOTHING, bytes_of(&root.pem), bytes_of(&empty_list), "both", NOW, why);
}

static int try_revoked(void) {
  return chaski_pki_verify(leaf, NOTHING, bytes_of(&root.pem), bytes_of(&list), "both", NOW, why);
}

static int try_list_new(void) {
  static const char *const serials[] = {"01", "02"};
  chaski_pki_bytes der = {NULL, 0};
  int rc = chaski_pki_crl_new(1, serials, 2, NOW, NOW + 1, root.certificate, root.key, &der, why);
  chaski_pki_bytes_free(&der);
  return rc;
}

static int try_list_check(void) {
  uint64_t number = 0;
  uint8_t hash[CHASKI_PKI_HASH];
  int rc = chaski_pki_crl_check(bytes_of(&list), bytes_of(&root.pem), &number, hash, why);
  if (rc == CHASKI_OK) assert_int_equal(number, 2);
  return rc;
}

/* --- trying ------------------------------------------------------------------------------------------------------- */
/* The first ones each, then some: they are thousands. */
static long next(long at) {
  long stride = getenv("CHASKI_VALGRIND") ? 211 : getenv("CHASKI_SANITIZE") ? 13 : 1;
  return at + (at < 20 ? 1 : stride);
}

/* Let each allocation fail in turn until none does. `last` is how it must end then, and OK may come out only if that
 * is OK. */
static void sweep(int (*try)(void), int last) {
  int rc = CHASKI_OK;
  assert_int_equal(try(), last);
  assert_int_equal(try(), last); /* what OpenSSL keeps for later is there now */
  failed = true;
  for (long at = 0; failed; at = next(at)) {
    long before = live;
    size_t blocks = chaski_alloc_blocks();
    failed = false, left = at;
    rc = try();
    left = -1;
    assert_true(rc == last || rc == CHASKI_ENOMEM || rc == CHASKI_ECERTIFICATE);
    if (!once) assert_true(live <= before); /* else the queue of errors keeps texts, which are no leak */
    assert_int_equal(chaski_alloc_blocks(), blocks);
    assert_int_equal(ERR_peek_error(), 0);
  }
  assert_int_equal(rc, last);
}

static void exhaust(int (*try)(void), int last) {
  once = false;
  sweep(try, last);
  once = true;
  sweep(try, last);
}

#define EXHAUST(name, function, last)                                                                                  \
  static void name(void **state) {                                                                                     \
    (void)state;                                                                                                       \
    exhaust(function, last);                                                                                           \
  }
EXHAUST(a_key_is_made, try_key_new, CHASKI_OK)
EXHAUST(a_key_is_read, try_key_read, CHASKI_OK)
EXHAUST(a_key_is_written, try_key_write, CHASKI_OK)
EXHAUST(a_request_is_made, try_request_new, CHASKI_OK)
EXHAUST(a_request_is_read, try_request_read, CHASKI_OK)
EXHAUST(a_broken_request_never_passes, try_broken_request, CHASKI_ECERTIFICATE)
EXHAUST(a_certificate_is_made, try_issue, CHASKI_OK)
EXHAUST(a_certificate_is_read, try_certificate, CHASKI_OK)
EXHAUST(a_certificate_is_verified, try_verify, CHASKI_OK)
EXHAUST(a_revoked_certificate_never_passes, try_revoked, CHASKI_ECERTIFICATE)
EXHAUST(a_list_is_made, try_list_new, CHASKI_OK)
EXHAUST(a_list_is_checked, try_list_check, CHASKI_OK)

static int open_all(void **state) {
  chaski_pki_issue what = a_full_node();
  chaski_pki_info info;
  (void)state;
  authority_open(&root, "root", NULL);
  assert_good(chaski_pki_key_write(root.key, NOTHING, &key_pem, why));
  assert_good(chaski_pki_request_new(root.key, &subject, &request_der, why));
  leaf = issue(&root, &what, root.key, &leaf_pem);
  assert_good(chaski_pki_certificate_info(leaf, &info, why));
  const char *serials[] = {info.serial};
  assert_good(chaski_pki_crl_new(1, NULL, 0, NOW, NOW + DAY, root.certificate, root.key, &empty_list, why));
  assert_good(chaski_pki_crl_new(2, serials, 1, NOW, NOW + DAY, root.certificate, root.key, &list, why));
  return 0;
}

static int close_all(void **state) {
  (void)state;
  chaski_pki_bytes_free(&key_pem);
  chaski_pki_bytes_free(&request_der);
  chaski_pki_bytes_free(&leaf_pem);
  chaski_pki_bytes_free(&empty_list);
  chaski_pki_bytes_free(&list);
  chaski_pki_certificate_free(leaf);
  authority_close(&root);
  return chaski_alloc_blocks() == 0 ? 0 : -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_key_is_made),
      cmocka_unit_test(a_key_is_read),
      cmocka_unit_test(a_key_is_written),
      cmocka_unit_test(a_request_is_made),
      cmocka_unit_test(a_request_is_read),
      cmocka_unit_test(a_broken_request_never_passes),
      cmocka_unit_test(a_certificate_is_made),
      cmocka_unit_test(a_certificate_is_read),
      cmocka_unit_test(a_certificate_is_verified),
      cmocka_unit_test(a_revoked_certificate_never_passes),
      cmocka_unit_test(a_list_is_made),
      cmocka_unit_test(a_list_is_checked),
  };
  if (CRYPTO_set_mem_functions(scarce_malloc, scarce_realloc, scarce_free) != 1) return 1;
  return cmocka_run_group_tests(tests, open_all, close_all);
}
