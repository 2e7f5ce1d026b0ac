/* mp.h: MessagePack for the protocol's own commands: a reader of single values and of maps by schema, and a writer.
 * Reading stands on libmpack's tokens. Never used for application data.
 * Format: https://github.com/msgpack/msgpack/blob/master/spec.md
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_MP_H
#define CHASKI_MP_H

#include "buf.h"

enum chaski__mp_type { MP_NIL, MP_BOOL, MP_INT, MP_UINT, MP_FLOAT, MP_STR, MP_BIN, MP_ARRAY, MP_MAP, MP_EXT };
/* MP_INT is negative, or MP_UINT: 0 and above. */

typedef struct chaski__mp {
  enum chaski__mp_type type;
  bool truth;
  int64_t i;          /* MP_INT */
  uint64_t u;         /* MP_UINT; MP_ARRAY, MP_MAP: how many elements, pairs */
  double f;           /* MP_FLOAT */
  int ext;            /* MP_EXT: type */
  chaski_slice bytes; /* MP_STR, MP_BIN, MP_EXT: the content */
  chaski_slice raw;   /* the token as it stands, content included; for arrays and maps the head only */
} chaski__mp;

/* Read one token off *in. false: truncated or not MessagePack; *in is then undefined. */
bool chaski__mp_read(chaski_slice *in, chaski__mp *out);
/* Step over one whole value, however nested, without recursion. *raw (may be NULL) is its bytes. */
bool chaski__mp_skip(chaski_slice *in, chaski_slice *raw);
/* An integer in a wide form, a plain number or the timestamp extension as seconds and nanoseconds. */
bool chaski__mp_timestamp(const chaski__mp *v, int64_t *sec, uint32_t *nsec);

enum chaski__mp_want { WANT_STR, WANT_BIN, WANT_BOOL, WANT_UINT, WANT_ARRAY_OF_STR, WANT_ANY };

typedef struct chaski__mp_field {
  const char *key;
  enum chaski__mp_want want;
  bool required;
  bool present;     /* out */
  chaski__mp value; /* out; for WANT_ARRAY_OF_STR and WANT_ANY raw is the whole value */
} chaski__mp_field;

/* Read one map that fills data exactly into the fields; unknown keys are skipped, nil counts as absent. NULL, or static
 * text that says what is wrong, with the field's key in *key (or ""). */
const char *chaski__mp_fields(chaski_slice data, chaski__mp_field *fields, size_t n, const char **key);

void chaski__mp_put_map(chaski__buf *b, uint32_t pairs);
void chaski__mp_put_array(chaski__buf *b, uint32_t n);
void chaski__mp_put_str(chaski__buf *b, chaski_slice s);
void chaski__mp_put_key(chaski__buf *b, const char *key);
void chaski__mp_put_bin(chaski__buf *b, chaski_slice s);
void chaski__mp_put_bool(chaski__buf *b, bool truth);
void chaski__mp_put_uint(chaski__buf *b, uint64_t u);
void chaski__mp_put_nil(chaski__buf *b);
/* Head of a str of len bytes: writes 1 to 5 bytes to out, returns how many. */
size_t chaski__mp_str_head(uint8_t *out, size_t len);

#endif
