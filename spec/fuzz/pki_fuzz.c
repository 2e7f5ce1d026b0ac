/* pki_fuzz.c: any bytes as a certificate request, a certificate, a revocation list and a key, which all come from
 * strangers or from files. SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "../../src/core/alloc.h"
#include "../../src/tls/pki.h"

static void read_request(chaski_slice in, char *why) {
  chaski_pki_request *request;
  if (chaski_pki_request_read(in, &request, why) != CHASKI_OK) return;
  FUZZ_CHECK(chaski_pki_key_strong(chaski_pki_request_key(request)));
  FUZZ_CHECK(chaski_pki_request_subject(request));
  chaski_pki_request_free(request);
}

static void read_certificate(chaski_slice in, char *why) {
  chaski_pki_certificate *certificate;
  chaski_pki_info info;
  char uri[CHASKI_PKI_URI_MAX];
  if (chaski_pki_certificate_read(in, &certificate, why) != CHASKI_OK) return;
  if (chaski_pki_certificate_info(certificate, &info, why) == CHASKI_OK)
    for (size_t i = 0; i < info.uris; i++) chaski_pki_certificate_uri(certificate, i, uri, why);
  chaski_pki_verify(certificate, chaski_slice_of(NULL, 0), in, in, "both", 1700000000, why);
  chaski_pki_certificate_free(certificate);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
  chaski_slice in = chaski_slice_of(bytes, len);
  char why[CHASKI_PKI_WHY_MAX];
  uint8_t hash[CHASKI_PKI_HASH];
  uint64_t number;
  chaski_pki_key *key;
  if (len > 32768) return 0;
  read_request(in, why);
  read_certificate(in, why);
  chaski_pki_crl_check(in, in, &number, hash, why);
  if (chaski_pki_key_read(in, chaski_slice_of(NULL, 0), &key, why) == CHASKI_OK) chaski_pki_key_free(key);
  FUZZ_CHECK(chaski_alloc_blocks() == 0);
  return 0;
}
