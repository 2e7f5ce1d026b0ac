/* mp.c: see mp.h. SPDX-License-Identifier: MIT */
#include "mp.h"

#include <math.h>
#include <mpack.h>

static bool take_content(chaski_slice *in, size_t len, chaski__mp *out) {
  if (len > in->len) return false;
  out->bytes = chaski_slice_of(in->ptr, len);
  in->ptr += len;
  in->len -= len;
  return true;
}

static bool from_token(chaski_slice *in, const mpack_token_t *t, chaski__mp *out) {
  switch (t->type) {
  case MPACK_TOKEN_NIL:
    out->type = MP_NIL;
    return true;
  case MPACK_TOKEN_BOOLEAN:
    out->type = MP_BOOL;
    out->truth = mpack_unpack_boolean(*t);
    return true;
  case MPACK_TOKEN_UINT:
    out->type = MP_UINT;
    out->u = (uint64_t)t->data.value.hi << 32 | t->data.value.lo;
    return true;
  case MPACK_TOKEN_SINT:
    out->type = MP_INT;
    out->i = (int64_t)mpack_unpack_sint(*t);
    return true;
  case MPACK_TOKEN_FLOAT:
    out->type = MP_FLOAT;
    out->f = mpack_unpack_float(*t);
    return true;
  case MPACK_TOKEN_ARRAY:
    out->type = MP_ARRAY;
    out->u = t->length;
    return true;
  case MPACK_TOKEN_MAP:
    out->type = MP_MAP;
    out->u = t->length;
    return true;
  case MPACK_TOKEN_STR:
    out->type = MP_STR;
    return take_content(in, t->length, out);
  case MPACK_TOKEN_BIN:
    out->type = MP_BIN;
    return take_content(in, t->length, out);
  case MPACK_TOKEN_EXT:
    out->type = MP_EXT;
    out->ext = (int8_t)t->data.ext_type; /* libmpack 1.0.5 gives it without its sign */
    return take_content(in, t->length, out);
  case MPACK_TOKEN_CHUNK:
    break;
  }
  return false;
}

bool chaski__mp_read(chaski_slice *in, chaski__mp *out) {
  mpack_tokbuf_t tokens = MPACK_TOKBUF_INITIAL_VALUE;
  mpack_token_t t;
  const char *p = (const char *)in->ptr;
  size_t len = in->len;
  const uint8_t *start = in->ptr;
  if (!len || mpack_read(&tokens, &p, &len, &t) != MPACK_OK) return false;
  *in = chaski_slice_of(p, len);
  *out = (chaski__mp){0};
  if (!from_token(in, &t, out)) return false;
  out->raw = chaski_slice_of(start, (size_t)(in->ptr - start));
  return true;
}

bool chaski__mp_skip(chaski_slice *in, chaski_slice *raw) {
  const uint8_t *start = in->ptr;
  chaski__mp v;
  for (uint64_t left = 1; left; left--) {
    if (!chaski__mp_read(in, &v)) return false;
    if (v.type == MP_ARRAY) left += v.u;
    if (v.type == MP_MAP) left += 2 * v.u;
    if (left > (uint64_t)in->len + 1) return false; /* more promised than there are bytes */
  }
  if (raw) *raw = chaski_slice_of(start, (size_t)(in->ptr - start));
  return true;
}

static uint64_t big_endian(const uint8_t *p, size_t n) {
  uint64_t v = 0;
  while (n--) v = v << 8 | *p++;
  return v;
}

static bool timestamp_ext(chaski_slice b, int64_t *sec, uint32_t *nsec) {
  uint64_t v;
  switch (b.len) {
  case 4:
    *sec = (int64_t)big_endian(b.ptr, 4);
    *nsec = 0;
    return true;
  case 8:
    v = big_endian(b.ptr, 8);
    *nsec = (uint32_t)(v >> 34);
    *sec = (int64_t)(v & 0x3ffffffffU);
    return *nsec < 1000000000U;
  case 12:
    *nsec = (uint32_t)big_endian(b.ptr, 4);
    *sec = (int64_t)big_endian(b.ptr + 4, 8);
    return *nsec < 1000000000U;
  default:
    return false;
  }
}

bool chaski__mp_timestamp(const chaski__mp *v, int64_t *sec, uint32_t *nsec) {
  *nsec = 0;
  if (v->type == MP_EXT && v->ext == -1) return timestamp_ext(v->bytes, sec, nsec);
  if (v->type == MP_INT) return *sec = v->i, true;
  if (v->type == MP_UINT) return *sec = (int64_t)v->u, v->u <= INT64_MAX;
  if (v->type != MP_FLOAT || !(fabs(v->f) < 9e18)) return false;
  double whole = floor(v->f);
  *sec = (int64_t)whole;
  double part = (v->f - whole) * 1e9;
  *nsec = part >= 999999999.0 ? 999999999U : (uint32_t)part;
  return true;
}

static bool array_of_str(chaski_slice raw) {
  chaski__mp v;
  if (!chaski__mp_read(&raw, &v) || v.type != MP_ARRAY) return false;
  while (raw.len)
    if (!chaski__mp_read(&raw, &v) || v.type != MP_STR) return false;
  return true;
}

static bool fits(const chaski__mp_field *f) {
  switch (f->want) {
  case WANT_STR:
    return f->value.type == MP_STR;
  case WANT_BIN:
    return f->value.type == MP_BIN;
  case WANT_BOOL:
    return f->value.type == MP_BOOL;
  case WANT_UINT:
    return f->value.type == MP_UINT;
  case WANT_ARRAY_OF_STR:
    return array_of_str(f->value.raw);
  case WANT_ANY:
    return true;
  }
  return false;
}

static chaski__mp_field *field_of(chaski__mp_field *fields, size_t n, const chaski__mp *key) {
  for (size_t i = 0; i < n; i++)
    if (chaski_slice_equal(key->bytes, chaski_slice_str(fields[i].key))) return &fields[i];
  return NULL;
}

/* Read the value of one key: the token first, and the whole value for raw. */
static bool read_value(chaski_slice *in, chaski__mp *out) {
  chaski_slice head = *in;
  return chaski__mp_read(&head, out) && chaski__mp_skip(in, &out->raw);
}

static const char *read_pair(chaski_slice *in, chaski__mp_field *fields, size_t n, const char **key) {
  chaski__mp k, v;
  if (!chaski__mp_read(in, &k) || k.type != MP_STR) return "a key is not a string";
  chaski__mp_field *f = field_of(fields, n, &k);
  if (f && f->present) return *key = f->key, "a key stands twice"; /* before its value is touched */
  if (!read_value(in, f ? &f->value : &v)) return "a value is not MessagePack";
  if (!f || f->value.type == MP_NIL) return NULL;
  *key = f->key;
  f->present = true;
  if (!fits(f)) return "a field has the wrong type";
  *key = "";
  return NULL;
}

const char *chaski__mp_fields(chaski_slice data, chaski__mp_field *fields, size_t n, const char **key) {
  chaski__mp map;
  *key = "";
  if (!chaski__mp_read(&data, &map) || map.type != MP_MAP) return "its data is not a map";
  for (uint64_t i = 0; i < map.u; i++) {
    const char *wrong = read_pair(&data, fields, n, key);
    if (wrong) return wrong;
  }
  if (data.len) return "bytes follow its data";
  for (size_t i = 0; i < n; i++) {
    if (!fields[i].required || fields[i].present) continue;
    *key = fields[i].key;
    return "a field is missing";
  }
  return NULL;
}

/* Write a head byte followed by the low `width` bytes of v. */
static void put(chaski__buf *b, uint8_t head, uint64_t v, size_t width) {
  uint8_t *p = chaski__buf_reserve(b, 1 + width);
  if (!p) return;
  *p++ = head;
  for (size_t i = width; i-- > 0;) *p++ = (uint8_t)(v >> (8 * i));
  b->len += 1 + width;
}

static void put_count(chaski__buf *b, uint32_t n, uint8_t fix, uint8_t wide) {
  if (n < 16)
    put(b, (uint8_t)(fix | n), 0, 0);
  else if (n <= 0xffff)
    put(b, wide, n, 2);
  else
    put(b, (uint8_t)(wide + 1), n, 4);
}

void chaski__mp_put_map(chaski__buf *b, uint32_t pairs) {
  put_count(b, pairs, 0x80, 0xde);
}

void chaski__mp_put_array(chaski__buf *b, uint32_t n) {
  put_count(b, n, 0x90, 0xdc);
}

size_t chaski__mp_str_head(uint8_t *out, size_t len) {
  size_t width = len < 32 ? 0 : len <= 0xff ? 1 : len <= 0xffff ? 2 : 4;
  out[0] = (uint8_t)(width == 0 ? 0xa0 | len : width == 1 ? 0xd9 : width == 2 ? 0xda : 0xdb);
  for (size_t i = 0; i < width; i++) out[1 + i] = (uint8_t)(len >> (8 * (width - 1 - i)));
  return 1 + width;
}

void chaski__mp_put_str(chaski__buf *b, chaski_slice s) {
  uint8_t head[5];
  chaski__buf_append(b, head, chaski__mp_str_head(head, s.len));
  chaski__buf_append(b, s.ptr, s.len);
}

void chaski__mp_put_key(chaski__buf *b, const char *key) {
  chaski__mp_put_str(b, chaski_slice_str(key));
}

void chaski__mp_put_bin(chaski__buf *b, chaski_slice s) {
  if (s.len <= 0xff)
    put(b, 0xc4, s.len, 1);
  else if (s.len <= 0xffff)
    put(b, 0xc5, s.len, 2);
  else
    put(b, 0xc6, s.len, 4);
  chaski__buf_append(b, s.ptr, s.len);
}

void chaski__mp_put_bool(chaski__buf *b, bool truth) {
  put(b, truth ? 0xc3 : 0xc2, 0, 0);
}

void chaski__mp_put_uint(chaski__buf *b, uint64_t u) {
  if (u < 128)
    put(b, (uint8_t)u, 0, 0);
  else if (u <= 0xff)
    put(b, 0xcc, u, 1);
  else if (u <= 0xffff)
    put(b, 0xcd, u, 2);
  else if (u <= 0xffffffff)
    put(b, 0xce, u, 4);
  else
    put(b, 0xcf, u, 8);
}

void chaski__mp_put_nil(chaski__buf *b) {
  put(b, 0xc0, 0, 0);
}
