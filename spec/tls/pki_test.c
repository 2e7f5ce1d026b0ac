/* pki_test.c: keys, requests, certificates and revocation lists: round trips, and all that must be refused.
 * SPDX-License-Identifier: MIT */
#include "pki_rig.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

static const char uri[] = "chaski://mesh/alfa";
static authority root, other;

static int open_all(void **state) {
  (void)state;
  authority_open(&root, "root", NULL);
  authority_open(&other, "other", NULL);
  return 0;
}

static int close_all(void **state) {
  (void)state;
  authority_close(&root);
  authority_close(&other);
  return chaski_alloc_blocks() == 0 ? 0 : -1;
}

static size_t blocks;

static int setup(void **state) {
  (void)state;
  blocks = chaski_alloc_blocks();
  return 0;
}

/* Nothing is left, in OpenSSL's queue of errors neither: it is shared with every stream of the thread. */
static int teardown(void **state) {
  (void)state;
  return chaski_alloc_blocks() == blocks && ERR_peek_error() == 0 ? 0 : -1;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* A copy at its exact size, so that a read past the end is seen. */
static chaski_slice exact(const void *ptr, size_t len) {
  void *copy = malloc(len ? len : 1);
  assert_non_null(copy);
  if (len) memcpy(copy, ptr, len);
  return chaski_slice_of(copy, len);
}

static void free_exact(chaski_slice s) {
  free((void *)(uintptr_t)s.ptr);
}

/* --- keys ------------------------------------------------------------------------------------------------------- */
static void assert_same_key(const chaski_pki_key *a, const chaski_pki_key *b, bool same) {
  uint8_t x[CHASKI_PKI_HASH], y[CHASKI_PKI_HASH];
  chaski_pki_key_hash(a, x);
  chaski_pki_key_hash(b, y);
  assert_int_equal(memcmp(x, y, sizeof x) == 0, same);
}

static void round_trip_of_key(const chaski_pki_key *key, const char *passphrase) {
  chaski_pki_bytes pem;
  chaski_pki_key *back = NULL;
  assert_good(chaski_pki_key_write(key, chaski_slice_str(passphrase), &pem, why));
  chaski_slice copy = exact(pem.ptr, pem.len);
  assert_good(chaski_pki_key_read(copy, chaski_slice_str(passphrase), &back, why));
  assert_same_key(key, back, true);
  assert_int_equal(chaski_pki_key_strong(key), chaski_pki_key_strong(back));
  chaski_pki_key_free(back);
  free_exact(copy);
  chaski_pki_bytes_free(&pem);
  assert_null(pem.ptr);
}

static void keys_of_every_quick_kind_are_written_and_read(void **state) {
  (void)state;
  static const char *const kinds[] = {NULL, "p256", "p384", "ed25519"};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    chaski_pki_key *key = new_key(kinds[i]), *second = new_key(kinds[i]);
    assert_true(chaski_pki_key_strong(key));
    assert_same_key(key, second, false);
    round_trip_of_key(key, "");
    chaski_pki_key_free(second);
    chaski_pki_key_free(key);
  }
}

static void rsa_keys_have_3072_bits_and_sign(void **state) {
  (void)state;
  chaski_pki_issue what = a_root("rsa");
  chaski_pki_bytes pem;
  chaski_pki_key *key = new_key("rsa3072");
  assert_true(chaski_pki_key_strong(key));
  round_trip_of_key(key, "");
  assert_good(chaski_pki_issue_certificate(&what, key, NULL, key, &pem, why));
  chaski_pki_bytes_free(&pem);
  chaski_pki_key_free(key);
}

static void an_unknown_kind_of_key_is_refused(void **state) {
  (void)state;
  chaski_pki_key *key = NULL;
  assert_refused(chaski_pki_key_new("rsa1024", &key, why), "unknown kind");
  assert_refused(chaski_pki_key_new("", &key, why), "unknown kind");
  assert_null(key);
}

static void a_passphrase_seals_the_key(void **state) {
  (void)state;
  chaski_pki_key *key = new_key(NULL), *back = NULL;
  chaski_pki_bytes pem;
  round_trip_of_key(key, "correct horse");
  assert_good(chaski_pki_key_write(key, chaski_slice_str("correct horse"), &pem, why));
  assert_non_null(memmem(pem.ptr, pem.len, "ENCRYPTED PRIVATE KEY", 21));
  assert_refused(chaski_pki_key_read(bytes_of(&pem), chaski_slice_str("correct house"), &back, why),
                 "key: wrong passphrase");
  assert_null(strstr(why, "house"));
  assert_refused(chaski_pki_key_read(bytes_of(&pem), NOTHING, &back, why), "there is no passphrase");
  assert_null(back);
  chaski_pki_bytes_free(&pem);
  chaski_pki_key_free(key);
}

static void a_passphrase_too_many_does_no_harm(void **state) {
  (void)state;
  chaski_pki_key *key = new_key(NULL), *back = NULL;
  chaski_pki_bytes pem;
  assert_good(chaski_pki_key_write(key, NOTHING, &pem, why));
  assert_good(chaski_pki_key_read(bytes_of(&pem), chaski_slice_str("x"), &back, why));
  chaski_pki_key_free(back);
  chaski_pki_bytes_free(&pem);
  chaski_pki_key_free(key);
}

static void a_key_cut_off_anywhere_is_refused(void **state) {
  (void)state;
  static const char *const passphrases[] = {"", "x"};
  chaski_pki_key *key = new_key(NULL), *back = NULL;
  for (size_t i = 0; i < 2; i++) {
    chaski_pki_bytes pem;
    assert_good(chaski_pki_key_write(key, chaski_slice_str(passphrases[i]), &pem, why));
    for (size_t len = 0; len + 1 < pem.len; len++) { /* the last byte is a line feed */
      chaski_slice cut = exact(pem.ptr, len);
      assert_refused(chaski_pki_key_read(cut, chaski_slice_str(passphrases[i]), &back, why), "key: ");
      free_exact(cut);
    }
    chaski_pki_bytes_free(&pem);
  }
  assert_null(back);
  chaski_pki_key_free(key);
}

static chaski_pki_bytes pem_of(const char *name, const void *data, size_t len) {
  BIO *bio = BIO_new(BIO_s_mem());
  char *ptr;
  chaski_pki_bytes pem = {NULL, 0};
  assert_non_null(bio);
  assert_true(PEM_write_bio(bio, name, "", data, (long)len) > 0);
  pem.len = (size_t)BIO_get_mem_data(bio, &ptr);
  pem.ptr = chaski__malloc(pem.len);
  assert_non_null(pem.ptr);
  memcpy(pem.ptr, ptr, pem.len);
  BIO_free(bio);
  return pem;
}

/* DER of a raw OpenSSL key: as PKCS #8, or in its own old form. */
static size_t der_of_key(EVP_PKEY *pkey, bool old, unsigned char **der) {
  PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
  int len;
  assert_non_null(info);
  *der = NULL;
  len = old ? i2d_PrivateKey(pkey, der) : i2d_PKCS8_PRIV_KEY_INFO(info, der);
  assert_true(len > 0);
  PKCS8_PRIV_KEY_INFO_free(info);
  return (size_t)len;
}

static void bytes_after_a_key_are_refused(void **state) {
  (void)state;
  EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
  for (int old = 0; old < 2; old++) {
    chaski_pki_key *back = NULL;
    unsigned char *der, longer[512] = {0};
    size_t len = der_of_key(pkey, old, &der);
    memcpy(longer, der, len);
    chaski_pki_bytes right = pem_of(old ? "EC PRIVATE KEY" : "PRIVATE KEY", longer, len),
                     wrong = pem_of(old ? "EC PRIVATE KEY" : "PRIVATE KEY", longer, len + 1);
    assert_good(chaski_pki_key_read(bytes_of(&right), NOTHING, &back, why));
    chaski_pki_key_free(back);
    assert_refused(chaski_pki_key_read(bytes_of(&wrong), NOTHING, &back, why), "bytes after its end");
    chaski_pki_bytes_free(&right);
    chaski_pki_bytes_free(&wrong);
    OPENSSL_free(der);
  }
  EVP_PKEY_free(pkey);
}

static void what_is_no_key_is_no_key(void **state) {
  (void)state;
  static const char *const texts[] = {"", "hello", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
                                      "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                                      "-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n"};
  chaski_pki_key *back = NULL;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    assert_refused(chaski_pki_key_read(chaski_slice_str(texts[i]), NOTHING, &back, why), "key: ");
  assert_refused(chaski_pki_key_read(bytes_of(&root.pem), NOTHING, &back, why), "no private key in PEM");
  assert_null(back);
}

static void weak_kinds_of_key_are_known_as_such(void **state) {
  (void)state;
  static const char *const curves[] = {"P-521", "secp256k1", "P-224"};
  for (size_t i = 0; i < sizeof curves / sizeof *curves; i++) {
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", curves[i]);
    chaski_pki_key *back = NULL;
    unsigned char *der;
    size_t len = der_of_key(pkey, false, &der);
    chaski_pki_bytes pem = pem_of("PRIVATE KEY", der, len), out;
    chaski_pki_issue what = a_node(uri);
    chaski_pki_subject subject = {.common_name = "x"};
    assert_good(chaski_pki_key_read(bytes_of(&pem), NOTHING, &back, why));
    assert_false(chaski_pki_key_strong(back));
    assert_refused(chaski_pki_request_new(back, &subject, &out, why), "too weak");
    assert_refused(chaski_pki_issue_certificate(&what, back, root.certificate, root.key, &out, why), "too weak");
    what = a_root("weak");
    assert_refused(chaski_pki_issue_certificate(&what, back, NULL, back, &out, why), "too weak");
    chaski_pki_key_free(back);
    chaski_pki_bytes_free(&pem);
    OPENSSL_free(der);
    EVP_PKEY_free(pkey);
  }
}

/* --- requests --------------------------------------------------------------------------------------------------- */
static const chaski_pki_subject full = {"AR", "Córdoba", "Río Cuarto", "Chaski & Söhne", "Wege", "alfa"};

static chaski_pki_bytes a_request(const chaski_pki_key *key, const chaski_pki_subject *subject) {
  chaski_pki_bytes der;
  assert_good(chaski_pki_request_new(key, subject, &der, why));
  return der;
}

static void a_request_brings_its_subject_and_key(void **state) {
  (void)state;
  static const char *const kinds[] = {"p256", "p384", "ed25519"};
  for (size_t i = 0; i < 3; i++) {
    chaski_pki_key *key = new_key(kinds[i]);
    chaski_pki_bytes der = a_request(key, &full);
    chaski_slice copy = exact(der.ptr, der.len);
    chaski_pki_request *request = NULL;
    assert_good(chaski_pki_request_read(copy, &request, why));
    free_exact(copy);
    const chaski_pki_subject *s = chaski_pki_request_subject(request);
    assert_string_equal(s->country, "AR");
    assert_string_equal(s->state, "Córdoba");
    assert_string_equal(s->locality, "Río Cuarto");
    assert_string_equal(s->organisation, "Chaski & Söhne");
    assert_string_equal(s->unit, "Wege");
    assert_string_equal(s->common_name, "alfa");
    assert_same_key(chaski_pki_request_key(request), key, true);
    assert_refused(chaski_pki_key_write(chaski_pki_request_key(request), NOTHING, &der, why), "no private key");
    chaski_pki_request_free(request);
    chaski_pki_bytes_free(&der);
    chaski_pki_key_free(key);
  }
}

static void a_request_may_be_pem_and_without_subject(void **state) {
  (void)state;
  const chaski_pki_subject none = {0};
  chaski_pki_key *key = new_key(NULL);
  chaski_pki_bytes der = a_request(key, &none), pem = pem_of("CERTIFICATE REQUEST", der.ptr, der.len);
  chaski_pki_request *request = NULL;
  assert_good(chaski_pki_request_read(bytes_of(&pem), &request, why));
  assert_null(chaski_pki_request_subject(request)->common_name);
  assert_null(chaski_pki_request_subject(request)->country);
  chaski_pki_request_free(request);
  chaski_pki_bytes_free(&pem);
  chaski_pki_bytes_free(&der);
  chaski_pki_key_free(key);
}

static void a_subject_that_cannot_be_is_refused(void **state) {
  (void)state;
  static char endless[70];
  memset(endless, 'x', sizeof endless - 1);
  const struct {
    chaski_pki_subject subject;
    const char *part;
  } cases[] = {
      {{.country = "ARG"}, "subject: C"},        {{.country = "A"}, "subject: C"},
      {{.country = ""}, "subject: C"},           {{.common_name = endless}, "subject: CN"},
      {{.common_name = ""}, "subject: CN"},      {{.common_name = "a\nb"}, "subject: CN"},
      {{.organisation = "\xff"}, "subject: O:"}, {{.unit = "\x7f"}, "subject: OU"},
  };
  chaski_pki_key *key = new_key(NULL);
  chaski_pki_bytes der;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    assert_refused(chaski_pki_request_new(key, &cases[i].subject, &der, why), cases[i].part);
  chaski_pki_key_free(key);
}

static void a_request_cut_off_anywhere_is_refused(void **state) {
  (void)state;
  chaski_pki_key *key = new_key(NULL);
  chaski_pki_bytes der = a_request(key, &full), pem = pem_of("CERTIFICATE REQUEST", der.ptr, der.len);
  chaski_pki_request *request = NULL;
  for (size_t len = 0; len < der.len; len++) {
    chaski_slice cut = exact(der.ptr, len);
    assert_refused(chaski_pki_request_read(cut, &request, why), "request: ");
    free_exact(cut);
  }
  for (size_t len = 0; len + 1 < pem.len; len++) {
    chaski_slice cut = exact(pem.ptr, len);
    assert_refused(chaski_pki_request_read(cut, &request, why), "request");
    free_exact(cut);
  }
  assert_null(request);
  chaski_pki_bytes_free(&pem);
  chaski_pki_bytes_free(&der);
  chaski_pki_key_free(key);
}

static void a_request_with_any_byte_changed_is_refused(void **state) {
  (void)state;
  chaski_pki_key *key = new_key(NULL);
  chaski_pki_bytes der = a_request(key, &full);
  chaski_pki_request *request = NULL;
  for (size_t i = 0; i < der.len; i++) {
    der.ptr[i] ^= (uint8_t)(1u << i % 8);
    int rc = chaski_pki_request_read(bytes_of(&der), &request, why);
    if (rc != CHASKI_ECERTIFICATE) print_error("byte %zu\n", i);
    assert_int_equal(rc, CHASKI_ECERTIFICATE);
    assert_null(request);
    der.ptr[i] ^= (uint8_t)(1u << i % 8);
  }
  chaski_pki_bytes_free(&der);
  chaski_pki_key_free(key);
}

static void more_than_one_request_is_refused(void **state) {
  (void)state;
  chaski_pki_key *key = new_key(NULL);
  chaski_pki_bytes der = a_request(key, &full), pem = pem_of("CERTIFICATE REQUEST", der.ptr, der.len);
  chaski_pki_request *request = NULL;
  uint8_t twice[4096];
  memcpy(twice, der.ptr, der.len);
  memcpy(twice + der.len, der.ptr, der.len);
  assert_refused(chaski_pki_request_read(chaski_slice_of(twice, 2 * der.len), &request, why), "bytes after its end");
  assert_refused(chaski_pki_request_read(chaski_slice_of(twice, der.len + 1), &request, why), "bytes after its end");
  assert_true(2 * pem.len < sizeof twice);
  memcpy(twice, pem.ptr, pem.len);
  memcpy(twice + pem.len, pem.ptr, pem.len);
  assert_refused(chaski_pki_request_read(chaski_slice_of(twice, 2 * pem.len), &request, why), "more than 1");
  chaski_pki_bytes_free(&pem);
  chaski_pki_bytes_free(&der);
  chaski_pki_key_free(key);
}

static void a_request_is_small(void **state) {
  (void)state;
  static const uint8_t large[16 * 1024 + 1] = {0x30, 0x82, 0x40, 0x00};
  chaski_pki_request *request = NULL;
  assert_refused(chaski_pki_request_read(chaski_slice_of(large, sizeof large), &request, why), "too large");
  assert_refused(chaski_pki_request_read(NOTHING, &request, why), "empty");
}

/* A request made by OpenSSL alone, for what ours would not write. */
typedef struct raw_request {
  X509_REQ *req;
  EVP_PKEY *pkey;
} raw_request;

static raw_request raw_new(EVP_PKEY *pkey) {
  raw_request r = {X509_REQ_new(), pkey};
  assert_non_null(r.req);
  assert_non_null(pkey);
  assert_int_equal(X509_REQ_set_pubkey(r.req, pkey), 1);
  return r;
}

static int raw_read(raw_request *r, const EVP_MD *md, chaski_pki_request **out) {
  unsigned char *der = NULL;
  int len, rc;
  assert_true(X509_REQ_sign(r->req, r->pkey, md) > 0);
  len = i2d_X509_REQ(r->req, &der);
  assert_true(len > 0);
  rc = chaski_pki_request_read(chaski_slice_of(der, (size_t)len), out, why);
  OPENSSL_free(der);
  X509_REQ_free(r->req);
  EVP_PKEY_free(r->pkey);
  return rc;
}

static void add_cn(raw_request *r, int type, const char *text, int len) {
  X509_NAME *name = X509_REQ_get_subject_name(r->req);
  assert_int_equal(X509_NAME_add_entry_by_NID(name, NID_commonName, type, (const unsigned char *)text, len, -1, 0), 1);
}

static void a_request_for_a_weak_key_is_refused(void **state) {
  (void)state;
  chaski_pki_request *request = NULL;
  raw_request r = raw_new(EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048));
  assert_refused(raw_read(&r, EVP_sha256(), &request), "too weak");
  r = raw_new(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521"));
  assert_refused(raw_read(&r, EVP_sha512(), &request), "too weak");
  r = raw_new(EVP_PKEY_Q_keygen(NULL, NULL, "ED448"));
  assert_refused(raw_read(&r, NULL, &request), "too weak");
  assert_null(request);
}

/* The curve written out as numbers instead of named: the trick of CVE-2020-0601. */
static EVP_PKEY *key_with_explicit_curve(void) {
  EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
  EVP_PKEY *pkey = NULL;
  char group[] = "P-256", encoding[] = OSSL_PKEY_EC_ENCODING_EXPLICIT;
  OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group - 1),
                         OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_ENCODING, encoding, sizeof encoding - 1),
                         OSSL_PARAM_END};
  assert_non_null(ctx);
  assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
  assert_int_equal(EVP_PKEY_CTX_set_params(ctx, params), 1);
  assert_int_equal(EVP_PKEY_generate(ctx, &pkey), 1);
  EVP_PKEY_CTX_free(ctx);
  return pkey;
}

static void a_curve_written_out_as_numbers_is_refused(void **state) {
  (void)state;
  chaski_pki_request *request = NULL;
  raw_request r = raw_new(key_with_explicit_curve());
  assert_refused(raw_read(&r, EVP_sha256(), &request), "too weak or of a kind");
  assert_null(request);
}

static void a_request_signed_by_another_key_or_with_sha1_is_refused(void **state) {
  (void)state;
  chaski_pki_request *request = NULL;
  raw_request r = raw_new(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"));
  EVP_PKEY_free(r.pkey);
  r.pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
  assert_refused(raw_read(&r, EVP_sha256(), &request), "the signature is not the key's");
  r = raw_new(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"));
  assert_refused(raw_read(&r, EVP_sha1(), &request), "signed in a way");
  assert_null(request);
}

static void a_subject_that_reads_in_two_ways_is_refused(void **state) {
  (void)state;
  chaski_pki_request *request = NULL;
  raw_request r = raw_new(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
  add_cn(&r, MBSTRING_UTF8, "alfa", -1);
  add_cn(&r, MBSTRING_UTF8, "bravo", -1);
  assert_refused(raw_read(&r, NULL, &request), "subject: CN: more than one");
  r = raw_new(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
  add_cn(&r, MBSTRING_UTF8, "alfa\0bravo", 10);
  assert_refused(raw_read(&r, NULL, &request), "subject: CN");
  assert_null(request);
}

static void random_bytes_are_no_request(void **state) {
  (void)state;
  uint64_t seed = 88172645463325252;
  for (int i = 0; i < 2000; i++) {
    uint8_t bytes[200];
    chaski_pki_request *request = NULL;
    for (size_t j = 0; j < sizeof bytes; j++) {
      seed ^= seed >> 12, seed ^= seed << 25, seed ^= seed >> 27;
      bytes[j] = (uint8_t)(seed >> 32);
    }
    if (i % 2) bytes[0] = 0x30, bytes[1] = 0x81, bytes[2] = 197, bytes[3] = 0x30;
    assert_int_equal(chaski_pki_request_read(chaski_slice_of(bytes, sizeof bytes), &request, why), CHASKI_ECERTIFICATE);
  }
}

/* --- certificates ----------------------------------------------------------------------------------------------- */
static int verify(const chaski_pki_certificate *c, const char *role, int64_t at) {
  return chaski_pki_verify(c, NOTHING, bytes_of(&root.pem), NOTHING, role, at, why);
}

static void a_certificate_is_good_for_both_roles(void **state) {
  (void)state;
  static const char *const kinds[] = {"p256", "p384", "ed25519"};
  for (size_t i = 0; i < 3; i++) {
    chaski_pki_key *key = new_key(kinds[i]);
    chaski_pki_issue what = a_node(uri);
    chaski_pki_certificate *c = issue(&root, &what, key, NULL);
    assert_good(verify(c, "client", NOW));
    assert_good(verify(c, "server", NOW));
    assert_good(verify(c, "both", NOW));
    assert_refused(verify(c, "peer", NOW), "role: ");
    chaski_pki_certificate_free(c);
    chaski_pki_key_free(key);
  }
}

static void every_kind_of_authority_signs(void **state) {
  (void)state;
  static const char *const kinds[] = {"p384", "ed25519"};
  for (size_t i = 0; i < 2; i++) {
    authority a;
    chaski_pki_key *key = new_key(NULL);
    chaski_pki_issue what = a_node(uri);
    authority_open(&a, "a", kinds[i]);
    chaski_pki_certificate *c = issue(&a, &what, key, NULL);
    assert_good(chaski_pki_verify(c, NOTHING, bytes_of(&a.pem), NOTHING, "both", NOW, why));
    chaski_pki_certificate_free(c);
    authority_close(&a);
    chaski_pki_key_free(key);
  }
}

static void a_certificate_for_one_role_is_not_for_the_other(void **state) {
  (void)state;
  chaski_pki_key *key = new_key(NULL);
  chaski_pki_issue what = a_node(uri);
  chaski_pki_bytes pem;
  what.client_only = true;
  chaski_pki_certificate *c = issue(&root, &what, key, NULL);
  assert_good(verify(c, "client", NOW));
  assert_refused(verify(c, "server", NOW), "purpose");
  assert_refused(verify(c, "both", NOW), "purpose");
  chaski_pki_certificate_free(c);
  what.client_only = false, what.server_only = true;
  c = issue(&root, &what, key, NULL);
  assert_good(verify(c, "server", NOW));
  assert_refused(verify(c, "client", NOW), "purpose");
  assert_refused(verify(c, "both", NOW), "purpose");
  chaski_pki_certificate_free(c);
  what.client_only = true;
  assert_refused(chaski_pki_issue_certificate(&what, key, root.certificate, root.key, &pem, why), "role: ");
  chaski_pki_key_free(key);
}

static void a_certificate_says_what_was_asked_for(void **state) {
  (void)state;
  chaski_pki_key *key = new_key(NULL);
  chaski_pki_issue what = a_node(uri);
  chaski_pki_info info, of_root;
  uint8_t hash[CHASKI_PKI_HASH];
  what.subject = full;
  what.rights = "publish=a/#,subscribe=ñ";
  what.ip[0] = "127.0.0.1", what.ip[1] = "::1";
  what.dns[0] = "alfa.example.org";
  chaski_pki_certificate *c = issue(&root, &what, key, NULL);
  assert_good(chaski_pki_certificate_info(c, &info, why));
  assert_good(chaski_pki_certificate_info(root.certificate, &of_root, why));
  assert_int_equal(strlen(info.serial), 32);
  assert_int_equal(strspn(info.serial, "0123456789ABCDEF"), 32);
  assert_string_equal(info.issuer, "CN=root,O=chaski");
  assert_string_equal(info.issuer, of_root.subject);
  assert_non_null(strstr(info.subject, "CN=alfa,OU=Wege,"));
  assert_int_equal(info.uris, 1);
  assert_string_equal(info.uri, uri);
  assert_true(info.has_rights);
  assert_string_equal(info.rights, what.rights);
  assert_true(info.not_before == what.not_before && info.not_after == what.not_after);
  assert_false(info.authority);
  chaski_pki_key_hash(key, hash);
  assert_memory_equal(info.key_hash, hash, sizeof hash);
  assert_same_key(chaski_pki_certificate_key(c), key, true);
  assert_true(of_root.authority && !of_root.uris && !of_root.has_rights && !*of_root.rights);
  chaski_pki_certificate_free(c);
  chaski_pki_key_free(key);
}

static void the_hash_is_of_the_whole_der(void **state) {
  (void)state;
  chaski_pki_info info;
  uint8_t hash[CHASKI_PKI_HASH];
  BIO *bio = BIO_new_mem_buf(root.pem.ptr, (int)root.pem.len);
  char *name, *header;
  unsigned char *der;
  long len;
  assert_int_equal(PEM_read_bio(bio, &name, &header, &der, &len), 1);
  chaski_pki_sha256(chaski_slice_of(der, (size_t)len), hash);
  chaski_pki_certificate *c = read_certificate(chaski_slice_of(der, (size_t)len)); /* DER is taken as well */
  assert_good(chaski_pki_certificate_info(c, &info, why));
  assert_memory_equal(info.hash, hash, sizeof hash);
  chaski_pki_certificate_free(c);
  OPENSSL_free(name);
  OPENSSL_free(header);
  OPENSSL_free(der);
  BIO_free(bio);
}

static void serials_differ(void **state) {
  (void)state;
  chaski_pki_info a, b;
  chaski_pki_issue what = a_node(uri);
  chaski_pki_certificate *first = issue(&root, &what, root.key, NULL), *second = issue(&root, &what, root.key, NULL);
  assert_good(chaski_pki_certificate_info(first, &a, why));
  assert_good(chaski_pki_certificate_info(second, &b, why));
  assert_string_not_equal(a.serial, b.serial);
  chaski_pki_certificate_free(first);
  chaski_pki_certificate_free(second);
}

static void no_rights_and_empty_rights_are_two_things(void **state) {
  (void)state;
  chaski_pki_info info;
  chaski_pki_issue what = a_node(uri);
  chaski_pki_certificate *c = issue(&root, &what, root.key, NULL);
  assert_good(chaski_pki_certificate_info(c, &info, why));
  assert_false(info.has_rights);
  chaski_pki_certificate_free(c);
  what.rights = "";
  c = issue(&root, &what, root.key, NULL);
  assert_good(chaski_pki_certificate_info(c, &info, why));
  assert_true(info.has_rights);
  assert_string_equal(info.rights, "");
  chaski_pki_certificate_free(c);
}

static void a_certificate_for_a_request_holds_the_key_of_the_request(void **state) {
  (void)state;
  chaski_pki_key *key = new_key(NULL);
  chaski_pki_bytes der = a_request(key, &full);
  chaski_pki_request *request = NULL;
  chaski_pki_issue what = a_node(uri);
  assert_good(chaski_pki_request_read(bytes_of(&der), &request, why));
  chaski_pki_certificate *c = issue(&root, &what, chaski_pki_request_key(request), NULL);
  assert_same_key(chaski_pki_certificate_key(c), key, true);
  assert_good(verify(c, "both", NOW));
  chaski_pki_certificate_free(c);
  chaski_pki_request_free(request);
  chaski_pki_bytes_free(&der);
  chaski_pki_key_free(key);
}

static void what_cannot_be_issued_is_refused(void **state) {
  (void)state;
  static char long_uri[300] = "chaski://", long_rights[1025], long_dns[300];
  memset(long_uri + 9, 'x', sizeof long_uri - 10);
  memset(long_rights, 'x', sizeof long_rights - 1);
  memset(long_dns, 'x', sizeof long_dns - 1);
  struct {
    chaski_pki_issue what;
    const char *part;
  } cases[] = {
      {a_node(""), "uri: "},
      {a_node("chaski://m/a b"), "uri: "},
      {a_node("chaski://m/\xc3\xb1"), "uri: "},
      {a_node(long_uri), "uri:"},
      {a_node(uri), "ip: "},
      {a_node(uri), "ip: "},
      {a_node(uri), "dns: "},
      {a_node(uri), "dns: "},
      {a_node(uri), "dns: "},
      {a_node(uri), "rights: "},
      {a_node(uri), "rights: "},
      {a_node(uri), "rights"},
      {a_node(uri), "not_before"},
      {a_node(uri), "not_before"},
      {a_node(uri), "not_before"},
      {a_node(NULL), "subject: missing"},
      {a_root("ca"), "authority: "},
      {a_root("ca"), "no authorities below"},
  };
  cases[4].what.ip[0] = "localhost", cases[5].what.ip[0] = "10.0.0.0/8";
  cases[6].what.dns[0] = "*.example.org", cases[7].what.dns[0] = "a,URI:chaski://m/b", cases[8].what.dns[0] = long_dns;
  cases[9].what.rights = long_rights, cases[10].what.rights = "a\nb", cases[11].what.rights = "\x01";
  cases[12].what.not_after = cases[12].what.not_before, cases[13].what.not_before = -1;
  cases[14].what.not_after = INT64_C(253402300800);
  cases[15].what.subject.common_name = NULL;
  cases[16].what.uri = uri;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    chaski_pki_bytes pem;
    int rc = chaski_pki_issue_certificate(&cases[i].what, root.key, root.certificate, root.key, &pem, why);
    assert_refused(rc, cases[i].part);
  }
}

static void names_may_be_as_many_as_there_is_room_for(void **state) {
  (void)state;
  chaski_pki_issue what = a_node(uri);
  for (size_t i = 0; i < CHASKI_PKI_NAMES_MAX; i++) what.ip[i] = "10.1.2.3", what.dns[i] = "a.b";
  chaski_pki_certificate *c = issue(&root, &what, root.key, NULL);
  assert_good(verify(c, "both", NOW));
  chaski_pki_certificate_free(c);
}

static void a_name_in_the_alternative_names_is_enough(void **state) {
  (void)state;
  chaski_pki_issue what = a_node(uri);
  what.subject.common_name = NULL;
  chaski_pki_certificate *c = issue(&root, &what, root.key, NULL);
  assert_good(verify(c, "both", NOW));
  chaski_pki_certificate_free(c);
}

static void who_may_not_sign_does_not(void **state) {
  (void)state;
  chaski_pki_key *key = new_key(NULL);
  chaski_pki_issue what = a_node(uri);
  chaski_pki_bytes pem;
  chaski_pki_certificate *leaf = issue(&root, &what, key, NULL);
  assert_refused(chaski_pki_issue_certificate(&what, key, root.certificate, key, &pem, why),
                 "the key is not the certificate's");
  assert_refused(chaski_pki_issue_certificate(&what, key, leaf, key, &pem, why), "does not allow");
  assert_refused(chaski_pki_issue_certificate(&what, key, NULL, root.key, &pem, why), "two keys");
  assert_refused(chaski_pki_issue_certificate(&what, key, root.certificate,
                                              chaski_pki_certificate_key(root.certificate), &pem, why),
                 "no private key");
  assert_refused(chaski_pki_crl_new(1, NULL, 0, NOW, NOW + DAY, leaf, key, &pem, why), "does not allow");
  assert_refused(chaski_pki_crl_new(1, NULL, 0, NOW, NOW + DAY, root.certificate, key, &pem, why), "is not the");
  chaski_pki_certificate_free(leaf);
  chaski_pki_key_free(key);
}

static void a_certificate_cut_off_anywhere_is_refused(void **state) {
  (void)state;
  chaski_pki_certificate *c = NULL;
  for (size_t len = 0; len + 1 < root.pem.len; len++) {
    chaski_slice cut = exact(root.pem.ptr, len);
    assert_int_equal(chaski_pki_certificate_read(cut, &c, why), CHASKI_ECERTIFICATE);
    assert_true(*why);
    free_exact(cut);
  }
  assert_null(c);
}

/* DER of the first certificate in pem. */
static chaski_pki_bytes der_of(const chaski_pki_bytes *pem) {
  BIO *bio = BIO_new_mem_buf(pem->ptr, (int)pem->len);
  X509 *x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL);
  unsigned char *bytes = NULL;
  int len = i2d_X509(x509, &bytes);
  chaski_pki_bytes der = {NULL, 0};
  assert_true(len > 0);
  der.ptr = chaski__malloc((size_t)len), der.len = (size_t)len;
  assert_non_null(der.ptr);
  memcpy(der.ptr, bytes, der.len);
  OPENSSL_free(bytes);
  X509_free(x509);
  BIO_free(bio);
  return der;
}

static void a_certificate_with_any_byte_changed_is_not_good(void **state) {
  (void)state;
  chaski_pki_issue what = a_node(uri);
  chaski_pki_bytes pem, der;
  chaski_pki_certificate *whole = issue(&root, &what, root.key, &pem);
  der = der_of(&pem);
  for (size_t i = 0; i < der.len; i++) {
    chaski_pki_certificate *c = NULL;
    chaski_pki_info info;
    der.ptr[i] ^= (uint8_t)(1u << i % 8);
    int rc = chaski_pki_certificate_read(bytes_of(&der), &c, why);
    if (rc == CHASKI_OK) {
      rc = chaski_pki_certificate_info(c, &info, why); /* may go well, must not do harm */
      rc = verify(c, "both", NOW);
      chaski_pki_certificate_free(c);
    }
    if (rc != CHASKI_ECERTIFICATE) print_error("byte %zu\n", i);
    assert_int_equal(rc, CHASKI_ECERTIFICATE);
    der.ptr[i] ^= (uint8_t)(1u << i % 8);
  }
  chaski_pki_bytes_free(&der);
  chaski_pki_bytes_free(&pem);
  chaski_pki_certificate_free(whole);
}

static void bytes_after_a_certificate_are_refused(void **state) {
  (void)state;
  chaski_pki_bytes der = der_of(&root.pem), longer;
  uint8_t bytes[2048] = {0};
  chaski_pki_certificate *c = NULL;
  memcpy(bytes, der.ptr, der.len);
  assert_refused(chaski_pki_certificate_read(chaski_slice_of(bytes, der.len + 1), &c, why), "bytes after its end");
  longer = pem_of("CERTIFICATE", bytes, der.len + 1);
  assert_refused(chaski_pki_certificate_read(bytes_of(&longer), &c, why), "bytes after its end");
  chaski_pki_bytes_free(&longer);
  chaski_pki_bytes_free(&der);
}

/* --- verifying -------------------------------------------------------------------------------------------------- */
static void a_certificate_is_good_from_its_first_to_its_last_second(void **state) {
  (void)state;
  chaski_pki_issue what = a_node(uri);
  chaski_pki_certificate *c = issue(&root, &what, root.key, NULL);
  assert_refused(verify(c, "both", what.not_before - 1), "not yet valid");
  assert_good(verify(c, "both", what.not_before));
  assert_good(verify(c, "both", what.not_after - 1));
  assert_refused(verify(c, "both", what.not_after), "expired"); /* OpenSSL counts the last second out */
  assert_refused(verify(c, "both", what.not_after + 1), "expired");
  assert_refused(verify(c, "both", 0), "not yet valid");
  chaski_pki_certificate_free(c);
}

static void times_reach_beyond_2050(void **state) {
  (void)state;
  chaski_pki_issue what = a_node(uri);
  chaski_pki_info info;
  what.not_before = 0, what.not_after = INT64_C(253402300799);
  chaski_pki_certificate *c = issue(&root, &what, root.key, NULL);
  assert_good(chaski_pki_certificate_info(c, &info, why));
  assert_true(info.not_before == 0 && info.not_after == what.not_after);
  assert_good(verify(c, "both", NOW));
  assert_refused(verify(c, "both", NOW + 101 * DAY), "expired"); /* the root is */
  chaski_pki_certificate_free(c);
}

static void a_certificate_of_another_root_is_refused(void **state) {
  (void)state;
  authority twin; /* the same name, another key */
  chaski_pki_issue what = a_node(uri);
  chaski_pki_certificate *c = issue(&other, &what, root.key, NULL);
  assert_refused(verify(c, "both", NOW), "certificate: ");
  chaski_pki_certificate_free(c);
  authority_open(&twin, "root", NULL);
  c = issue(&twin, &what, root.key, NULL);
  assert_refused(verify(c, "both", NOW), "certificate: ");
  chaski_pki_certificate_free(c);
  authority_close(&twin);
}

static void a_node_that_signs_for_itself_is_refused(void **state) {
  (void)state;
  chaski_pki_issue what = a_node(uri);
  chaski_pki_bytes pem;
  assert_good(chaski_pki_issue_certificate(&what, root.key, NULL, root.key, &pem, why));
  chaski_pki_certificate *c = read_certificate(bytes_of(&pem));
  assert_refused(verify(c, "both", NOW), "self");
  chaski_pki_certificate_free(c);
  chaski_pki_bytes_free(&pem);
}

static void an_authority_is_no_node(void **state) {
  (void)state;
  assert_refused(verify(root.certificate, "both", NOW), "authority's");
}

static chaski_pki_bytes joined(const chaski_pki_bytes *a, const chaski_pki_bytes *b) {
  chaski_pki_bytes all = {chaski__malloc(a->len + b->len), a->len + b->len};
  assert_non_null(all.ptr);
  if (a->len) memcpy(all.ptr, a->ptr, a->len);
  memcpy(all.ptr + a->len, b->ptr, b->len);
  return all;
}

static void each_of_several_roots_is_trusted(void **state) {
  (void)state;
  chaski_pki_bytes roots = joined(&root.pem, &other.pem);
  chaski_pki_issue what = a_node(uri);
  chaski_pki_certificate *a = issue(&root, &what, root.key, NULL), *b = issue(&other, &what, root.key, NULL);
  assert_good(chaski_pki_verify(a, NOTHING, bytes_of(&roots), NOTHING, "both", NOW, why));
  assert_good(chaski_pki_verify(b, NOTHING, bytes_of(&roots), NOTHING, "both", NOW, why));
  chaski_pki_certificate_free(a);
  chaski_pki_certificate_free(b);
  chaski_pki_bytes_free(&roots);
}

static void a_bundle_that_lost_something_is_refused(void **state) {
  (void)state;
  chaski_pki_bytes roots = joined(&root.pem, &other.pem);
  chaski_pki_issue what = a_node(uri);
  chaski_pki_certificate *c = issue(&root, &what, root.key, NULL);
  for (size_t len = root.pem.len + 5; len + 1 < roots.len; len++)
    assert_int_equal(chaski_pki_verify(c, NOTHING, chaski_slice_of(roots.ptr, len), NOTHING, "both", NOW, why),
                     CHASKI_ECERTIFICATE);
  assert_refused(chaski_pki_verify(c, NOTHING, NOTHING, NOTHING, "both", NOW, why), "roots: ");
  assert_refused(chaski_pki_verify(c, NOTHING, chaski_slice_str("x"), NOTHING, "both", NOW, why), "roots: ");
  assert_refused(chaski_pki_verify(c, chaski_slice_str("x"), bytes_of(&root.pem), NOTHING, "both", NOW, why),
                 "chain: ");
  chaski_pki_certificate_free(c);
  chaski_pki_bytes_free(&roots);
}

static void too_many_roots_are_refused(void **state) {
  (void)state;
  chaski_pki_bytes roots = {NULL, 0};
  for (int i = 0; i < 9; i++) {
    chaski_pki_bytes more = joined(&roots, &root.pem);
    chaski_pki_bytes_free(&roots);
    roots = more;
  }
  assert_refused(chaski_pki_verify(root.certificate, NOTHING, bytes_of(&roots), NOTHING, "both", NOW, why),
                 "roots: more than 8");
  chaski_pki_bytes_free(&roots);
}

static void a_key_among_the_roots_is_refused(void **state) {
  (void)state;
  chaski_pki_bytes pem, both;
  assert_good(chaski_pki_key_write(root.key, NOTHING, &pem, why));
  both = joined(&root.pem, &pem);
  assert_refused(chaski_pki_verify(root.certificate, NOTHING, bytes_of(&both), NOTHING, "both", NOW, why),
                 "roots: a block that is not a CERTIFICATE");
  chaski_pki_bytes_free(&both);
  chaski_pki_bytes_free(&pem);
}

/* --- foreign certificates: made by OpenSSL alone ------------------------------------------------------------------ */
static void add_extension(X509 *x509, int nid, const char *value) {
  X509V3_CTX ctx;
  X509_EXTENSION *extension;
  X509V3_set_ctx_nodb(&ctx);
  X509V3_set_ctx(&ctx, x509, x509, NULL, NULL, 0);
  extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
  assert_non_null(extension);
  assert_int_equal(X509_add_ext(x509, extension, -1), 1);
  X509_EXTENSION_free(extension);
}

static X509 *foreign(EVP_PKEY *pkey, const char *san) {
  X509 *x509 = X509_new();
  X509_NAME *name = X509_get_subject_name(x509);
  assert_int_equal(X509_set_version(x509, X509_VERSION_3), 1);
  assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x509), 10), 1);
  assert_int_equal(
      X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)"f", -1, -1, 0), 1);
  assert_int_equal(X509_set_issuer_name(x509, name), 1);
  ASN1_TIME_set(X509_getm_notBefore(x509), NOW);
  ASN1_TIME_set(X509_getm_notAfter(x509), NOW + DAY);
  assert_int_equal(X509_set_pubkey(x509, pkey), 1);
  if (san) add_extension(x509, NID_subject_alt_name, san);
  return x509;
}

static chaski_pki_certificate *finish(X509 *x509, EVP_PKEY *pkey) {
  unsigned char *der = NULL;
  int len;
  assert_true(X509_sign(x509, pkey, EVP_sha256()) > 0);
  len = i2d_X509(x509, &der);
  chaski_pki_certificate *c = read_certificate(chaski_slice_of(der, (size_t)len));
  OPENSSL_free(der);
  X509_free(x509);
  EVP_PKEY_free(pkey);
  return c;
}

static void two_uris_are_counted(void **state) {
  (void)state;
  EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
  chaski_pki_info info;
  chaski_pki_certificate *c =
      finish(foreign(pkey, "URI:chaski://m/a,DNS:x.org,IP:127.0.0.1,email:a@b.c,URI:chaski://m/b"), pkey);
  assert_good(chaski_pki_certificate_info(c, &info, why));
  assert_int_equal(info.uris, 2);
  assert_string_equal(info.uri, "chaski://m/a");
  assert_string_equal(info.serial, "0A");
  char second[CHASKI_PKI_URI_MAX];
  assert_good(chaski_pki_certificate_uri(c, 1, second, why));
  assert_string_equal(second, "chaski://m/b");
  assert_refused(chaski_pki_certificate_uri(c, 2, second, why), "only 2");
  chaski_pki_certificate_free(c);
}

static void assert_info_refused(X509 *x509, EVP_PKEY *pkey, const char *part) {
  chaski_pki_info info;
  chaski_pki_certificate *c = finish(x509, pkey);
  assert_refused(chaski_pki_certificate_info(c, &info, why), part);
  chaski_pki_certificate_free(c);
}

static void add_uri(X509 *x509, const char *text, int len) {
  GENERAL_NAMES *names = GENERAL_NAMES_new();
  GENERAL_NAME *name = GENERAL_NAME_new();
  ASN1_IA5STRING *value = ASN1_IA5STRING_new();
  assert_int_equal(ASN1_STRING_set(value, text, len), 1);
  GENERAL_NAME_set0_value(name, GEN_URI, value);
  assert_true(sk_GENERAL_NAME_push(names, name) > 0);
  assert_int_equal(X509_add1_ext_i2d(x509, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT), 1);
  GENERAL_NAMES_free(names);
}

static void a_uri_that_reads_in_two_ways_is_refused(void **state) {
  (void)state;
  static const char nul[] = "chaski://m/a\0b", blank[] = "chaski://m/a b";
  static char endless[300];
  memset(endless, 'x', sizeof endless);
  const struct {
    const char *text;
    int len;
  } cases[] = {{nul, sizeof nul - 1}, {blank, sizeof blank - 1}, {endless, sizeof endless}, {"", 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *x509 = foreign(pkey, NULL);
    add_uri(x509, cases[i].text, cases[i].len);
    assert_info_refused(x509, pkey, "URI name");
  }
}

static void add_raw_rights(X509 *x509, const char *der, int len) {
  ASN1_OBJECT *object = OBJ_txt2obj(CHASKI_PKI_RIGHTS_OID, 1);
  ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
  X509_EXTENSION *extension;
  assert_int_equal(ASN1_OCTET_STRING_set(value, (const unsigned char *)der, len), 1);
  extension = X509_EXTENSION_create_by_OBJ(NULL, object, 0, value);
  assert_int_equal(X509_add_ext(x509, extension, -1), 1);
  X509_EXTENSION_free(extension);
  ASN1_OCTET_STRING_free(value);
  ASN1_OBJECT_free(object);
}

static void malformed_rights_are_refused_and_not_taken_for_none(void **state) {
  (void)state;
  static const char *const cases[] = {"\x0c\x03"
                                      "ab",
                                      "\x0c\x02"
                                      "abc",
                                      "\x04\x01"
                                      "a",
                                      "\x0c\x01\x01", ""};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *x509 = foreign(pkey, NULL);
    add_raw_rights(x509, cases[i], (int)strlen(cases[i]));
    assert_info_refused(x509, pkey, "rights are malformed");
  }
}

static void rights_given_twice_are_refused(void **state) {
  (void)state;
  EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
  X509 *x509 = foreign(pkey, NULL);
  add_raw_rights(x509,
                 "\x0c\x01"
                 "a",
                 3);
  add_raw_rights(x509,
                 "\x0c\x01"
                 "b",
                 3);
  assert_info_refused(x509, pkey, "rights twice");
}

static void a_weak_key_in_a_chain_is_refused(void **state) {
  (void)state;
  EVP_PKEY *pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
  X509 *x509 = foreign(pkey, NULL);
  BIO *bio = BIO_new(BIO_s_mem());
  char *pem;
  add_extension(x509, NID_basic_constraints, "critical,CA:TRUE");
  add_extension(x509, NID_key_usage, "critical,keyCertSign");
  add_extension(x509, NID_subject_key_identifier, "hash");
  assert_true(X509_sign(x509, pkey, EVP_sha256()) > 0);
  assert_int_equal(PEM_write_bio_X509(bio, x509), 1);
  size_t len = (size_t)BIO_get_mem_data(bio, &pem);

  EVP_PKEY *own = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
  X509 *leaf = foreign(own, "URI:chaski://m/a");
  X509V3_CTX ctx;
  X509V3_set_ctx(&ctx, x509, leaf, NULL, NULL, 0);
  X509_EXTENSION *aki = X509V3_EXT_conf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid");
  assert_int_equal(X509_add_ext(leaf, aki, -1), 1);
  X509_EXTENSION_free(aki);
  X509_NAME *name = X509_get_subject_name(leaf);
  assert_int_equal(
      X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8, (const unsigned char *)"g", -1, -1, 0), 1);
  chaski_pki_certificate *c = finish(leaf, EVP_PKEY_dup(pkey));
  EVP_PKEY_free(own);
  assert_refused(chaski_pki_verify(c, NOTHING, chaski_slice_of(pem, len), NOTHING, "both", NOW + 1, why), "too weak");
  chaski_pki_certificate_free(c);
  BIO_free(bio);
  X509_free(x509);
  EVP_PKEY_free(pkey);
}

/* --- revocation lists --------------------------------------------------------------------------------------------- */
static chaski_pki_bytes a_list(const authority *a, uint64_t number, const char *const *serials, size_t n) {
  chaski_pki_bytes der;
  assert_good(chaski_pki_crl_new(number, serials, n, NOW, NOW + DAY, a->certificate, a->key, &der, why));
  return der;
}

static void a_list_tells_its_number_and_root(void **state) {
  (void)state;
  static const uint64_t numbers[] = {0, 1, 255, UINT64_C(1) << 40, INT64_MAX, UINT64_MAX};
  chaski_pki_bytes roots = joined(&other.pem, &root.pem);
  uint8_t hash[CHASKI_PKI_HASH], expected[CHASKI_PKI_HASH];
  chaski_pki_key_hash(root.key, expected);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    chaski_pki_bytes der = a_list(&root, numbers[i], NULL, 0);
    uint64_t number = 7;
    assert_good(chaski_pki_crl_check(bytes_of(&der), bytes_of(&roots), &number, hash, why));
    assert_true(number == numbers[i]);
    assert_memory_equal(hash, expected, sizeof hash);
    chaski_pki_bytes_free(&der);
  }
  chaski_pki_bytes_free(&roots);
}

static void a_list_of_another_root_is_refused(void **state) {
  (void)state;
  authority twin;
  uint64_t number;
  uint8_t hash[CHASKI_PKI_HASH];
  chaski_pki_bytes der = a_list(&other, 1, NULL, 0);
  assert_refused(chaski_pki_crl_check(bytes_of(&der), bytes_of(&root.pem), &number, hash, why), "not signed by one");
  assert_refused(chaski_pki_crl_check(bytes_of(&der), NOTHING, &number, hash, why), "roots: ");
  chaski_pki_bytes_free(&der);
  authority_open(&twin, "root", NULL);
  der = a_list(&twin, 1, NULL, 0);
  assert_refused(chaski_pki_crl_check(bytes_of(&der), bytes_of(&root.pem), &number, hash, why), "not signed by one");
  chaski_pki_bytes_free(&der);
  authority_close(&twin);
}

static void revoked_certificates_are_refused_and_others_not(void **state) {
  (void)state;
  chaski_pki_issue what = a_node(uri);
  chaski_pki_info info;
  chaski_pki_certificate *bad = issue(&root, &what, root.key, NULL), *good = issue(&root, &what, root.key, NULL);
  assert_good(chaski_pki_certificate_info(bad, &info, why));
  char lower[sizeof info.serial];
  for (size_t i = 0; i < sizeof lower; i++)
    lower[i] = (char)(info.serial[i] >= 'A' ? info.serial[i] + 32 : info.serial[i]);
  const char *serials[] = {"FF", lower, "0A", info.serial, "a"}; /* one of them three, one two times */
  chaski_pki_bytes der = a_list(&root, 1, serials, 5), pem = pem_of("X509 CRL", der.ptr, der.len);
  chaski_slice roots = bytes_of(&root.pem);
  assert_refused(chaski_pki_verify(bad, NOTHING, roots, bytes_of(&der), "both", NOW + 1, why), "revoked");
  assert_refused(chaski_pki_verify(bad, NOTHING, roots, bytes_of(&pem), "client", NOW + 1, why), "revoked");
  assert_good(chaski_pki_verify(good, NOTHING, roots, bytes_of(&der), "both", NOW + 1, why));
  assert_good(chaski_pki_verify(bad, NOTHING, roots, NOTHING, "both", NOW + 1, why));
  chaski_pki_bytes_free(&pem);
  chaski_pki_bytes_free(&der);
  chaski_pki_certificate_free(bad);
  chaski_pki_certificate_free(good);
}

static void an_old_list_still_holds(void **state) {
  (void)state;
  chaski_pki_issue what = a_node(uri);
  chaski_pki_info info;
  what.not_after = NOW + 10 * DAY;
  chaski_pki_certificate *bad = issue(&root, &what, root.key, NULL), *good = issue(&root, &what, root.key, NULL);
  assert_good(chaski_pki_certificate_info(bad, &info, why));
  const char *serials[] = {info.serial};
  chaski_pki_bytes der = a_list(&root, 1, serials, 1);
  chaski_slice roots = bytes_of(&root.pem);
  assert_refused(chaski_pki_verify(bad, NOTHING, roots, bytes_of(&der), "both", NOW + 2 * DAY, why), "revoked");
  assert_good(chaski_pki_verify(good, NOTHING, roots, bytes_of(&der), "both", NOW + 2 * DAY, why));
  chaski_pki_bytes_free(&der);
  chaski_pki_certificate_free(good);
  chaski_pki_certificate_free(bad);
}

static void the_list_of_one_root_says_nothing_of_the_other(void **state) {
  (void)state;
  chaski_pki_bytes roots = joined(&root.pem, &other.pem), der = a_list(&root, 1, NULL, 0);
  chaski_pki_issue what = a_node(uri);
  chaski_pki_certificate *c = issue(&other, &what, root.key, NULL);
  assert_good(chaski_pki_verify(c, NOTHING, bytes_of(&roots), bytes_of(&der), "both", NOW, why));
  assert_refused(chaski_pki_verify(c, NOTHING, bytes_of(&other.pem), bytes_of(&der), "both", NOW, why),
                 "not signed by one");
  chaski_pki_certificate_free(c);
  chaski_pki_bytes_free(&der);
  chaski_pki_bytes_free(&roots);
}

static void a_list_cut_off_or_changed_anywhere_is_refused(void **state) {
  (void)state;
  static const char *const serials[] = {"01", "02", "0123456789abcdef0123456789ABCDEF01234567"};
  chaski_pki_bytes der = a_list(&root, 300, serials, 3);
  uint64_t number;
  uint8_t hash[CHASKI_PKI_HASH];
  for (size_t len = 0; len < der.len; len++) {
    chaski_slice cut = exact(der.ptr, len);
    assert_refused(chaski_pki_crl_check(cut, bytes_of(&root.pem), &number, hash, why), "revocation list: ");
    free_exact(cut);
  }
  for (size_t i = 0; i < der.len; i++) {
    der.ptr[i] ^= (uint8_t)(1u << i % 8);
    int rc = chaski_pki_crl_check(bytes_of(&der), bytes_of(&root.pem), &number, hash, why);
    if (rc != CHASKI_ECERTIFICATE) print_error("byte %zu\n", i);
    assert_int_equal(rc, CHASKI_ECERTIFICATE);
    der.ptr[i] ^= (uint8_t)(1u << i % 8);
  }
  chaski_pki_bytes_free(&der);
}

static void a_list_that_cannot_be_made_is_refused(void **state) {
  (void)state;
  static const char *const bad[] = {"", "xyz", "0x12", "-1", "0123456789abcdef0123456789abcdef012345678", " 1"};
  chaski_pki_bytes der;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *serials[] = {"01", bad[i]};
    assert_refused(chaski_pki_crl_new(1, serials, 2, NOW, NOW + 1, root.certificate, root.key, &der, why),
                   "serials: number 2");
  }
  assert_refused(chaski_pki_crl_new(1, NULL, 0, NOW, NOW, root.certificate, root.key, &der, why), "this_update");
  assert_refused(chaski_pki_crl_new(1, NULL, 0, -1, NOW, root.certificate, root.key, &der, why), "this_update");
}

static void a_list_has_4096_entries_at_most(void **state) {
  (void)state;
  enum { MOST = 4096 };
  static char texts[MOST + 1][8];
  static const char *serials[MOST + 1];
  chaski_pki_bytes der;
  uint64_t number;
  uint8_t hash[CHASKI_PKI_HASH];
  for (int i = 0; i <= MOST; i++) {
    for (int j = 0; j < 4; j++) texts[i][j] = "0123456789abcdef"[i >> (4 * (3 - j)) & 15];
    serials[i] = texts[i];
  }
  assert_refused(chaski_pki_crl_new(1, serials, MOST + 1, NOW, NOW + 1, root.certificate, root.key, &der, why),
                 "more than 4096");
  assert_good(chaski_pki_crl_new(1, serials, MOST, NOW, NOW + 1, root.certificate, root.key, &der, why));
  assert_good(chaski_pki_crl_check(bytes_of(&der), bytes_of(&root.pem), &number, hash, why));
  chaski_pki_bytes_free(&der);
}

static void a_foreign_list_of_more_entries_is_refused(void **state) {
  (void)state;
  chaski_pki_bytes der = a_list(&root, 1, NULL, 0), pem;
  const unsigned char *p = der.ptr;
  X509_CRL *crl = d2i_X509_CRL(NULL, &p, (long)der.len);
  ASN1_INTEGER *serial = ASN1_INTEGER_new();
  uint64_t number;
  uint8_t hash[CHASKI_PKI_HASH];
  for (int i = 0; i <= 4096; i++) {
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_INTEGER_set(serial, i);
    X509_REVOKED_set_serialNumber(entry, serial);
    X509_REVOKED_set_revocationDate(entry, (ASN1_TIME *)(uintptr_t)X509_CRL_get0_lastUpdate(crl));
    assert_int_equal(X509_CRL_add0_revoked(crl, entry), 1);
  }
  assert_good(chaski_pki_key_write(root.key, NOTHING, &pem, why));
  BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
  EVP_PKEY *pkey = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
  assert_true(X509_CRL_sign(crl, pkey, EVP_sha256()) > 0);
  unsigned char *large = NULL;
  int len = i2d_X509_CRL(crl, &large);
  assert_refused(chaski_pki_crl_check(chaski_slice_of(large, (size_t)len), bytes_of(&root.pem), &number, hash, why),
                 "more than 4096");
  OPENSSL_free(large);
  EVP_PKEY_free(pkey);
  BIO_free(bio);
  ASN1_INTEGER_free(serial);
  X509_CRL_free(crl);
  chaski_pki_bytes_free(&pem);
  chaski_pki_bytes_free(&der);
}

/* --- small ones ------------------------------------------------------------------------------------------------- */
static void assert_hex(const uint8_t *bytes, const char *hex) {
  static const char digits[] = "0123456789abcdef";
  for (size_t i = 0; i < CHASKI_PKI_HASH; i++) {
    assert_int_equal(digits[bytes[i] >> 4], hex[2 * i]);
    assert_int_equal(digits[bytes[i] & 15], hex[2 * i + 1]);
  }
}

static void hashes_are_those_of_the_standards(void **state) {
  (void)state;
  uint8_t out[CHASKI_PKI_HASH];
  chaski_pki_sha256(chaski_slice_str("abc"), out); /* FIPS 180-2 B.1 */
  assert_hex(out, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  chaski_pki_sha256(NOTHING, out);
  assert_hex(out, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  chaski_pki_hmac_sha256(chaski_slice_str("Jefe"), chaski_slice_str("what do ya want for nothing?"), out);
  assert_hex(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"); /* RFC 4231 4.3 */
  chaski_pki_hmac_sha256(NOTHING, NOTHING, out);
  assert_hex(out, "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

static void random_bytes_differ(void **state) {
  (void)state;
  uint8_t a[32] = {0}, b[32] = {0}, none[32] = {0};
  assert_int_equal(chaski_pki_random(a, sizeof a), CHASKI_OK);
  assert_int_equal(chaski_pki_random(b, sizeof b), CHASKI_OK);
  assert_int_equal(chaski_pki_random(NULL, 0), CHASKI_OK);
  assert_memory_not_equal(a, b, sizeof a);
  assert_memory_not_equal(a, none, sizeof a);
}

static void bytes_are_compared_whole(void **state) {
  (void)state;
  uint8_t a[32] = {0}, b[32] = {0};
  assert_true(chaski_pki_equal(chaski_slice_of(a, 32), chaski_slice_of(b, 32)));
  assert_true(chaski_pki_equal(NOTHING, chaski_slice_of(a, 0)));
  assert_false(chaski_pki_equal(chaski_slice_of(a, 31), chaski_slice_of(b, 32)));
  assert_false(chaski_pki_equal(NOTHING, chaski_slice_of(b, 1)));
  for (size_t i = 0; i < 32 * 8; i++) {
    a[i / 8] = (uint8_t)(1u << i % 8);
    assert_false(chaski_pki_equal(chaski_slice_of(a, 32), chaski_slice_of(b, 32)));
    a[i / 8] = 0;
  }
}

/* --- our own memory runs out ----------------------------------------------------------------------------------------
 */
static size_t left;

static void *scarce(void *ptr, size_t size) {
  if (size > 0) return left && left-- ? realloc(ptr, size) : NULL;
  free(ptr);
  return NULL;
}

static int everything(void) {
  chaski_pki_issue what = a_node(uri);
  chaski_pki_key *key = NULL, *again = NULL;
  chaski_pki_request *request = NULL;
  chaski_pki_certificate *c = NULL;
  chaski_pki_bytes key_pem = {NULL, 0}, der = {NULL, 0}, pem = {NULL, 0}, list = {NULL, 0};
  int rc = chaski_pki_key_new(NULL, &key, why);
  if (rc == CHASKI_OK) rc = chaski_pki_key_write(key, NOTHING, &key_pem, why);
  if (rc == CHASKI_OK) rc = chaski_pki_key_read(bytes_of(&key_pem), NOTHING, &again, why);
  if (rc == CHASKI_OK) rc = chaski_pki_request_new(again, &full, &der, why);
  if (rc == CHASKI_OK) rc = chaski_pki_request_read(bytes_of(&der), &request, why);
  if (rc == CHASKI_OK)
    rc = chaski_pki_issue_certificate(&what, chaski_pki_request_key(request), root.certificate, root.key, &pem, why);
  if (rc == CHASKI_OK) rc = chaski_pki_certificate_read(bytes_of(&pem), &c, why);
  if (rc == CHASKI_OK) rc = chaski_pki_crl_new(1, NULL, 0, NOW, NOW + DAY, root.certificate, root.key, &list, why);
  chaski_pki_bytes_free(&key_pem);
  chaski_pki_bytes_free(&der);
  chaski_pki_bytes_free(&pem);
  chaski_pki_bytes_free(&list);
  chaski_pki_certificate_free(c);
  chaski_pki_request_free(request);
  chaski_pki_key_free(again);
  chaski_pki_key_free(key);
  return rc;
}

static void lack_of_memory_is_told_and_leaves_nothing(void **state) {
  (void)state;
  size_t tries = 0;
  int rc;
  do {
    left = tries++;
    chaski_set_allocator(scarce);
    rc = everything();
    chaski_set_allocator(NULL);
    assert_int_equal(chaski_alloc_blocks(), blocks);
    assert_true(rc == CHASKI_OK || rc == CHASKI_ENOMEM);
  } while (rc != CHASKI_OK);
  assert_true(tries > 10);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(keys_of_every_quick_kind_are_written_and_read),
      TEST(rsa_keys_have_3072_bits_and_sign),
      TEST(an_unknown_kind_of_key_is_refused),
      TEST(a_passphrase_seals_the_key),
      TEST(a_passphrase_too_many_does_no_harm),
      TEST(a_key_cut_off_anywhere_is_refused),
      TEST(bytes_after_a_key_are_refused),
      TEST(what_is_no_key_is_no_key),
      TEST(weak_kinds_of_key_are_known_as_such),
      TEST(a_request_brings_its_subject_and_key),
      TEST(a_request_may_be_pem_and_without_subject),
      TEST(a_subject_that_cannot_be_is_refused),
      TEST(a_request_cut_off_anywhere_is_refused),
      TEST(a_request_with_any_byte_changed_is_refused),
      TEST(more_than_one_request_is_refused),
      TEST(a_request_is_small),
      TEST(a_request_for_a_weak_key_is_refused),
      TEST(a_curve_written_out_as_numbers_is_refused),
      TEST(a_request_signed_by_another_key_or_with_sha1_is_refused),
      TEST(a_subject_that_reads_in_two_ways_is_refused),
      TEST(random_bytes_are_no_request),
      TEST(a_certificate_is_good_for_both_roles),
      TEST(every_kind_of_authority_signs),
      TEST(a_certificate_for_one_role_is_not_for_the_other),
      TEST(a_certificate_says_what_was_asked_for),
      TEST(the_hash_is_of_the_whole_der),
      TEST(serials_differ),
      TEST(no_rights_and_empty_rights_are_two_things),
      TEST(a_certificate_for_a_request_holds_the_key_of_the_request),
      TEST(what_cannot_be_issued_is_refused),
      TEST(names_may_be_as_many_as_there_is_room_for),
      TEST(a_name_in_the_alternative_names_is_enough),
      TEST(who_may_not_sign_does_not),
      TEST(a_certificate_cut_off_anywhere_is_refused),
      TEST(a_certificate_with_any_byte_changed_is_not_good),
      TEST(bytes_after_a_certificate_are_refused),
      TEST(a_certificate_is_good_from_its_first_to_its_last_second),
      TEST(times_reach_beyond_2050),
      TEST(a_certificate_of_another_root_is_refused),
      TEST(a_node_that_signs_for_itself_is_refused),
      TEST(an_authority_is_no_node),
      TEST(each_of_several_roots_is_trusted),
      TEST(a_bundle_that_lost_something_is_refused),
      TEST(too_many_roots_are_refused),
      TEST(a_key_among_the_roots_is_refused),
      TEST(two_uris_are_counted),
      TEST(a_uri_that_reads_in_two_ways_is_refused),
      TEST(malformed_rights_are_refused_and_not_taken_for_none),
      TEST(rights_given_twice_are_refused),
      TEST(a_weak_key_in_a_chain_is_refused),
      TEST(a_list_tells_its_number_and_root),
      TEST(a_list_of_another_root_is_refused),
      TEST(revoked_certificates_are_refused_and_others_not),
      TEST(an_old_list_still_holds),
      TEST(the_list_of_one_root_says_nothing_of_the_other),
      TEST(a_list_cut_off_or_changed_anywhere_is_refused),
      TEST(a_list_that_cannot_be_made_is_refused),
      TEST(a_list_has_4096_entries_at_most),
      TEST(a_foreign_list_of_more_entries_is_refused),
      TEST(hashes_are_those_of_the_standards),
      TEST(random_bytes_differ),
      TEST(bytes_are_compared_whole),
      TEST(lack_of_memory_is_told_and_leaves_nothing),
  };
  return cmocka_run_group_tests(tests, open_all, close_all);
}
