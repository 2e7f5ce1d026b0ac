/* fuzz.h: what the fuzz targets share. A target is one function that takes any bytes; by libFuzzer (preset `fuzz`), or
 * by replay.c, which every build has, for the corpus and simple variations of it. SPDX-License-Identifier: MIT */
#ifndef CHASKI_SPEC_FUZZ_H
#define CHASKI_SPEC_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len); /* 0, always */

/* A finding; ends the program, whatever the kind of build. */
#define FUZZ_CHECK(what)                                                                                               \
  do {                                                                                                                 \
    if (!(what)) {                                                                                                     \
      fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #what);                                         \
      abort();                                                                                                         \
    }                                                                                                                  \
  } while (0)

#endif
