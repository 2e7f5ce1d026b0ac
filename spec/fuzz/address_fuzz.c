/* address_fuzz.c: any text as an address. What is accepted reads the same after it was written.
 * SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "../../src/core/address.h"
#include "../../src/core/error.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
  chaski_address a, again;
  char text[CHASKI_HOST_MAX + 8];
  const char *why = NULL;
  int r = chaski_address_parse(chaski_slice_of(bytes, len), &a, &why);
  FUZZ_CHECK(r == CHASKI_OK || (r == CHASKI_EADDRESS && why));
  if (r != CHASKI_OK) return 0;
  FUZZ_CHECK(a.port > 0 && strlen(a.host) > 0 && strlen(a.host) < CHASKI_HOST_MAX);
  FUZZ_CHECK(strlen(a.name) <= CHASKI_NAME_MAX);
  size_t n = chaski_address_format(text, a.host, a.port);
  FUZZ_CHECK(n == strlen(text) && n < sizeof text);
  FUZZ_CHECK(chaski_address_parse(chaski_slice_of(text, n), &again, &why) == CHASKI_OK);
  FUZZ_CHECK(strcmp(a.host, again.host) == 0 && a.port == again.port);
  FUZZ_CHECK(chaski_address_is_numeric(a.host) == chaski_address_is_numeric(again.host));
  return 0;
}
