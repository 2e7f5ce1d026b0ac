/* uuid.h: identifiers. Ours are RFC 9562 version 8: 60 random bits for the sender's start (the origin) and 62 bits of
 * sequence number, so that "seen before?" is a question about a number. Text form 8-4-4-4-12, lower case.
 *
 * Layout (RFC 9562 section 5.8; custom_a 48 bits, version 4, custom_b 12, variant 2, custom_c 62):
 * origin = custom_a << 12 | custom_b, seq = custom_c.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_UUID_H
#define CHASKI_UUID_H

#include "slice.h"

#include <stdbool.h>

#define CHASKI_UUID_TEXT 36 /* characters, no NUL */
#define CHASKI_ORIGIN_MAX ((UINT64_C(1) << 60) - 1)
#define CHASKI_SEQ_MAX ((UINT64_C(1) << 62) - 1)

/* Write the 36 characters of (origin, seq); both are masked to their widths. */
void chaski_uuid_format(char out[CHASKI_UUID_TEXT], uint64_t origin, uint64_t seq);
/* Write the part that depends on seq, the 17 characters behind the third dash. */
void chaski_uuid_renumber(char out[CHASKI_UUID_TEXT], uint64_t seq);
/* True and both set if text is exactly a version 8 UUID (either case). Else false: an opaque id of another maker. */
bool chaski_uuid_parse(chaski_slice text, uint64_t *origin, uint64_t *seq);

#define CHASKI_UUID_REMEMBERED (CHASKI_UUID_TEXT - 8) /* characters: all but the last digits of seq */
/* What the ids of one sender have in common, of the one read last. Zeroed: none was. */
typedef struct chaski_uuid_memo {
  uint8_t text[CHASKI_UUID_REMEMBERED];
  uint64_t origin, seq; /* of seq all but the lower 32 bits */
} chaski_uuid_memo;
/* As chaski_uuid_parse, quicker when the memo's part comes again. */
bool chaski_uuid_recall(chaski_uuid_memo *memo, chaski_slice text, uint64_t *origin, uint64_t *seq);

/* A version 4 UUID from 16 random bytes. */
void chaski_uuid_random(char out[CHASKI_UUID_TEXT], const uint8_t random[16]);

#endif
