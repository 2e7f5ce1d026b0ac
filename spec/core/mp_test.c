/* mp_test.c: MessagePack as the protocol's commands use it: tokens, skipping, timestamps, maps by schema, writing.
 * SPDX-License-Identifier: MIT */
#include "leaf_rig.h"

#include "mp.h"

#include <math.h>

static bool read_one(chaski_slice bytes, chaski__mp *v) {
  chaski_slice in = bytes;
  if (!chaski__mp_read(&in, v)) return false;
  assert_ptr_equal(v->raw.ptr, bytes.ptr);
  assert_ptr_equal(v->raw.ptr + v->raw.len, in.ptr);
  assert_int_equal(v->raw.len + in.len, bytes.len);
  return true;
}

/* --- tokens ------------------------------------------------------------------------------------------------- */
static void integers_of_every_width_are_read(void **state) {
  (void)state;
  static const struct {
    chaski_slice bytes;
    int64_t i; /* negative, or 0 */
    uint64_t u;
  } table[] = {
      {BYTES("\x00"), 0, 0},
      {BYTES("\x7f"), 0, 127},
      {BYTES("\xcc\x00"), 0, 0},
      {BYTES("\xcc\xff"), 0, 255},
      {BYTES("\xcd\x00\x05"), 0, 5},
      {BYTES("\xcd\xff\xff"), 0, 65535},
      {BYTES("\xce\x80\x00\x00\x00"), 0, UINT64_C(1) << 31},
      {BYTES("\xce\xff\xff\xff\xff"), 0, UINT32_MAX},
      {BYTES("\xcf\x80\x00\x00\x00\x00\x00\x00\x00"), 0, UINT64_C(1) << 63},
      {BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), 0, UINT64_MAX},
      {BYTES("\xff"), -1, 0},
      {BYTES("\xe0"), -32, 0},
      {BYTES("\xd0\xff"), -1, 0},
      {BYTES("\xd0\x80"), -128, 0},
      {BYTES("\xd0\x7f"), 0, 127},
      {BYTES("\xd1\xff\xff"), -1, 0},
      {BYTES("\xd1\x80\x00"), -32768, 0},
      {BYTES("\xd1\x01\x00"), 0, 256},
      {BYTES("\xd2\xff\xff\xff\xff"), -1, 0},
      {BYTES("\xd2\x80\x00\x00\x00"), INT32_MIN, 0},
      {BYTES("\xd2\x7f\xff\xff\xff"), 0, INT32_MAX},
      {BYTES("\xd3\xff\xff\xff\xff\xff\xff\xff\xff"), -1, 0},
      {BYTES("\xd3\xff\xff\xff\xff\x00\x00\x00\x00"), -(INT64_C(1) << 32), 0},
      {BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), INT64_MIN, 0},
      {BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x01"), INT64_MIN + 1, 0},
      {BYTES("\xd3\x7f\xff\xff\xff\xff\xff\xff\xff"), 0, INT64_MAX},
      {BYTES("\xd3\x00\x00\x00\x00\x00\x00\x00\x00"), 0, 0},
  };
  for (size_t n = 0; n < sizeof table / sizeof *table; n++) {
    chaski__mp v;
    assert_true(read_one(table[n].bytes, &v));
    assert_int_equal(v.type, table[n].i ? MP_INT : MP_UINT);
    assert_int_equal(v.i, table[n].i);
    assert_int_equal(v.u, table[n].u);
    assert_int_equal(v.raw.len, table[n].bytes.len);
  }
}

static void nil_and_truth_are_read(void **state) {
  (void)state;
  chaski__mp v;
  assert_true(read_one(SLICE("\xc0"), &v));
  assert_int_equal(v.type, MP_NIL);
  assert_true(read_one(SLICE("\xc2"), &v));
  assert_true(v.type == MP_BOOL && !v.truth);
  assert_true(read_one(SLICE("\xc3"), &v));
  assert_true(v.type == MP_BOOL && v.truth);
}

static void floats_of_both_widths_are_read(void **state) {
  (void)state;
  static const struct {
    chaski_slice bytes;
    double f;
  } table[] = {
      {BYTES("\xca\x40\x20\x00\x00"), 2.5},
      {BYTES("\xca\xbf\x80\x00\x00"), -1},
      {BYTES("\xca\x7f\x80\x00\x00"), HUGE_VAL},
      {BYTES("\xcb\x40\x04\x00\x00\x00\x00\x00\x00"), 2.5},
      {BYTES("\xcb\x80\x00\x00\x00\x00\x00\x00\x00"), -0.0},
      {BYTES("\xcb\xff\xf0\x00\x00\x00\x00\x00\x00"), -HUGE_VAL},
      {BYTES("\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a"), 0.1},
      {BYTES("\xcb\x00\x00\x00\x00\x00\x00\x00\x01"), 4.9406564584124654e-324},
  };
  chaski__mp v;
  for (size_t n = 0; n < sizeof table / sizeof *table; n++) {
    assert_true(read_one(table[n].bytes, &v));
    assert_int_equal(v.type, MP_FLOAT);
    assert_memory_equal(&v.f, &table[n].f, sizeof v.f);
  }
  assert_true(read_one(SLICE("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"), &v));
  assert_true(v.type == MP_FLOAT && isnan(v.f));
}

/* Head, then len bytes of content, and one more that is not its own. */
static void expect_content(chaski_slice head, size_t len, enum chaski__mp_type type, int ext) {
  chaski__buf b = {0};
  append(&b, head);
  assert_non_null(chaski__buf_reserve(&b, len + 1));
  for (size_t i = 0; i <= len; i++) b.ptr[b.len++] = (uint8_t)draw(256);
  chaski__mp v;
  assert_true(read_one(chaski__buf_slice(&b), &v));
  assert_int_equal(v.type, type);
  assert_int_equal(v.ext, ext);
  assert_slice(v.bytes, chaski_slice_of(b.ptr + head.len, len));
  assert_int_equal(v.raw.len, head.len + len);
  chaski__buf_free(&b);
}

static void strings_and_bytes_of_every_width_are_read(void **state) {
  (void)state;
  expect_content(SLICE("\xa0"), 0, MP_STR, 0);
  expect_content(SLICE("\xbf"), 31, MP_STR, 0);
  expect_content(SLICE("\xd9\x00"), 0, MP_STR, 0);
  expect_content(SLICE("\xd9\xff"), 255, MP_STR, 0);
  expect_content(SLICE("\xda\x01\x00"), 256, MP_STR, 0);
  expect_content(SLICE("\xdb\x00\x01\x00\x00"), 65536, MP_STR, 0);
  expect_content(SLICE("\xc4\x00"), 0, MP_BIN, 0);
  expect_content(SLICE("\xc4\xff"), 255, MP_BIN, 0);
  expect_content(SLICE("\xc5\xff\xff"), 65535, MP_BIN, 0);
  expect_content(SLICE("\xc6\x00\x01\x00\x01"), 65537, MP_BIN, 0);
}

static void the_type_of_an_extension_has_its_sign(void **state) {
  (void)state;
  expect_content(SLICE("\xd4\xff"), 1, MP_EXT, -1);
  expect_content(SLICE("\xd5\x80"), 2, MP_EXT, -128);
  expect_content(SLICE("\xd6\x7f"), 4, MP_EXT, 127);
  expect_content(SLICE("\xd7\xff"), 8, MP_EXT, -1);
  expect_content(SLICE("\xd8\x00"), 16, MP_EXT, 0);
  expect_content(SLICE("\xc7\x00\xff"), 0, MP_EXT, -1);
  expect_content(SLICE("\xc7\x0c\xff"), 12, MP_EXT, -1);
  expect_content(SLICE("\xc8\x01\x00\xfe"), 256, MP_EXT, -2);
  expect_content(SLICE("\xc9\x00\x01\x00\x00\x81"), 65536, MP_EXT, -127);
}

static void of_arrays_and_maps_the_head_is_read(void **state) {
  (void)state;
  static const struct {
    chaski_slice bytes;
    enum chaski__mp_type type;
    uint64_t n;
  } table[] = {
      {BYTES("\x90"), MP_ARRAY, 0},
      {BYTES("\x9f"), MP_ARRAY, 15},
      {BYTES("\xdc\x00\x01"), MP_ARRAY, 1},
      {BYTES("\xdd\xff\xff\xff\xff"), MP_ARRAY, UINT32_MAX},
      {BYTES("\x80"), MP_MAP, 0},
      {BYTES("\x8f"), MP_MAP, 15},
      {BYTES("\xde\xff\xff"), MP_MAP, 65535},
      {BYTES("\xdf\xff\xff\xff\xff"), MP_MAP, UINT32_MAX},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    chaski__mp v;
    assert_true(read_one(table[i].bytes, &v));
    assert_int_equal(v.type, table[i].type);
    assert_int_equal(v.u, table[i].n);
    assert_int_equal(v.raw.len, table[i].bytes.len);
  }
}

static void what_is_no_token_is_refused(void **state) {
  (void)state;
  chaski__mp v;
  assert_false(read_one(SLICE("\xc1"), &v));
  assert_false(read_one(SLICE(""), &v));
  assert_false(read_one(chaski_slice_of(NULL, 0), &v));
  chaski_slice none = {NULL, 0};
  assert_false(chaski__mp_skip(&none, NULL));
}

/* One of everything, nested. */
static const char everything[] =
    "\xdc\x00\x22"
    "\xa1"
    "a\xc0\x01\xc2\xcc\x80\xc3\xcd\x01\x00\xca\x40\x20\x00\x00"
    "\xce\x00\x01\x00\x00\xcb\x40\x04\x00\x00\x00\x00\x00\x00"
    "\xcf\x00\x00\x00\x01\x00\x00\x00\x00\xe0\xd0\x80\xd1\x80\x00"
    "\xd2\x80\x00\x00\x00\xd3\x80\x00\x00\x00\x00\x00\x00\x00"
    "\xd9\x02hi\xda\x00\x02hi\xdb\x00\x00\x00\x02hi\xc4\x01x\xc5\x00\x01x\xc6\x00\x00\x00\x01x"
    "\xd4\x05x\xd5\x05xx\xd6\xffxxxx\xd7\xffxxxxxxxx"
    "\xd8\x01xxxxxxxxxxxxxxxx\xc7\x01\x05x\xc8\x00\x01\x05x\xc9\x00\x00\x00\x01\x05x"
    "\x92\x01\x81\xa1k\x90\xdc\x00\x01\xdd\x00\x00\x00\x00"
    "\xde\x00\x01\x01\x02\xdf\x00\x00\x00\x01\x01\x80";

static void a_value_cut_at_any_byte_is_refused(void **state) {
  (void)state;
  chaski_slice whole = chaski_slice_of(everything, sizeof everything - 1), rest = whole, raw;
  assert_true(chaski__mp_skip(&rest, &raw));
  assert_int_equal(rest.len, 0);
  assert_slice(raw, whole);
  for (size_t len = 0; len < whole.len; len++) {
    chaski_slice part = exact(chaski_slice_of(whole.ptr, len)), in = part;
    assert_false(chaski__mp_skip(&in, NULL));
    free_exact(part);
  }
}

static void whatever_the_bytes_reading_stays_within_them(void **state) {
  (void)state;
  for (int round = 0; round < 100000; round++) {
    uint8_t bytes[24];
    size_t len = (size_t)draw(sizeof bytes);
    for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t)(draw(2) ? 0x80 + draw(128) : draw(256));
    chaski_slice all = exact(chaski_slice_of(bytes, len)), in = all, raw;
    chaski__mp v;
    read_one(all, &v);
    if (chaski__mp_skip(&in, &raw)) assert_true(raw.len + in.len == len && raw.len > 0);
    free_exact(all);
  }
}

/* --- skipping ----------------------------------------------------------------------------------------------- */
static void skipping_takes_one_value_and_leaves_the_next(void **state) {
  (void)state;
  chaski_slice in = BYTES("\x92\x01\x91\x02\x03"), raw;
  assert_true(chaski__mp_skip(&in, &raw));
  assert_slice(raw, SLICE("\x92\x01\x91\x02"));
  assert_true(chaski__mp_skip(&in, &raw));
  assert_slice(raw, SLICE("\x03"));
  assert_int_equal(in.len, 0);
}

static void depth_costs_no_stack(void **state) {
  (void)state;
  static const chaski_slice heads[] = {BYTES("\x91"), BYTES("\x81\x01"), BYTES("\xdc\x00\x01"),
                                       BYTES("\xdf\x00\x00\x00\x01\x01")};
  enum { DEPTH = 1000000 };
  for (size_t n = 0; n < sizeof heads / sizeof *heads; n++) {
    size_t width = heads[n].len, len = DEPTH * width + 1;
    uint8_t *bytes = malloc(len);
    assert_non_null(bytes);
    for (size_t i = 0; i < DEPTH; i++) memcpy(bytes + i * width, heads[n].ptr, width);
    bytes[len - 1] = 0xc0;
    chaski_slice in = chaski_slice_of(bytes, len), cut = chaski_slice_of(bytes, len - 1), raw;
    assert_true(chaski__mp_skip(&in, &raw));
    assert_int_equal(raw.len, len);
    assert_false(chaski__mp_skip(&cut, NULL));
    free(bytes);
  }
}

static void more_elements_than_bytes_are_refused(void **state) {
  (void)state;
  static const chaski_slice lies[] = {
      BYTES("\xdd\xff\xff\xff\xff\x01\x02"),     BYTES("\xdf\xff\xff\xff\xff\x01\x02"),
      BYTES("\xdd\x00\x00\x00\x02\x01"),         BYTES("\xdf\x00\x00\x00\x01\x01"),
      BYTES("\x92\xdd\xff\xff\xff\xff\xc0\xc0"), BYTES("\xdb\xff\xff\xff\xffxyz"),
      BYTES("\xc6\xff\xff\xff\xffxyz"),          BYTES("\xc9\xff\xff\xff\xff\x01xyz"),
  };
  for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
    chaski_slice in = exact(lies[i]), all = in;
    assert_false(chaski__mp_skip(&in, NULL));
    free_exact(all);
  }
}

/* Each level promises 4G elements: the sum must not come round to something small. */
static void promises_do_not_add_up_to_few(void **state) {
  (void)state;
  uint8_t bytes[5 * 4096];
  for (size_t i = 0; i < sizeof bytes; i += 5) memcpy(bytes + i, i % 10 ? "\xdf\xff\xff\xff\xff" : "\xdd\x80\0\0\0", 5);
  chaski_slice in = chaski_slice_of(bytes, sizeof bytes);
  assert_false(chaski__mp_skip(&in, NULL));
}

/* --- timestamps --------------------------------------------------------------------------------------------- */
static bool stamp_of(chaski_slice bytes, int64_t *sec, uint32_t *nsec) {
  chaski__mp v;
  assert_true(read_one(bytes, &v));
  return chaski__mp_timestamp(&v, sec, nsec);
}

static void timestamps_are_read_in_every_form(void **state) {
  (void)state;
  static const struct {
    chaski_slice bytes;
    int64_t sec;
    uint32_t nsec;
  } table[] = {
      {BYTES("\xd6\xff\x6b\x03\x8b\x34"), 1795394356, 0},
      {BYTES("\xd6\xff\xff\xff\xff\xff"), UINT32_MAX, 0},
      {BYTES("\xd7\xff\x1d\x96\x38\x00\x6b\x03\x8b\x34"), 1795394356, 124096000},
      {BYTES("\xd7\xff\xee\x6b\x27\xff\xff\xff\xff\xff"), (INT64_C(1) << 34) - 1, 999999999},
      {BYTES("\xc7\x08\xff\x1d\x96\x38\x00\x6b\x03\x8b\x34"), 1795394356, 124096000},
      {BYTES("\xc7\x0c\xff\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff"), -1, 1},
      {BYTES("\xc7\x0c\xff\x3b\x9a\xc9\xff\x80\x00\x00\x00\x00\x00\x00\x00"), INT64_MIN, 999999999},
      {BYTES("\xc7\x0c\xff\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"), INT64_MAX, 0},
      {BYTES("\x07"), 7, 0},
      {BYTES("\xff"), -1, 0},
      {BYTES("\xce\x6b\x03\x8b\x34"), 1795394356, 0},
      {BYTES("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"), INT64_MAX, 0},
      {BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), INT64_MIN, 0},
      {BYTES("\xca\x40\x20\x00\x00"), 2, 500000000},
      {BYTES("\xcb\xbf\xd0\x00\x00\x00\x00\x00\x00"), -1, 750000000},
      {BYTES("\xcb\x80\x00\x00\x00\x00\x00\x00\x00"), 0, 0},
      {BYTES("\xcb\x80\x00\x00\x00\x00\x00\x00\x01"), -1, 999999999}, /* a trifle below 0 */
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    int64_t sec = 99;
    uint32_t nsec = 99;
    assert_true(stamp_of(table[i].bytes, &sec, &nsec));
    assert_int_equal(sec, table[i].sec);
    assert_int_equal(nsec, table[i].nsec);
  }
}

static void what_is_no_timestamp_is_refused(void **state) {
  (void)state;
  static const chaski_slice wrong[] = {
      BYTES("\xc0"),
      BYTES("\xc3"),
      BYTES("\xa1x"),
      BYTES("\xc4\x04xxxx"),
      BYTES("\x90"),
      BYTES("\xd6\x01\x6b\x03\x8b\x34"),                     /* another type */
      BYTES("\xd5\xff\x6b\x03"),                             /* another length */
      BYTES("\xc7\x00\xff"),                                 /* none */
      BYTES("\xd7\xff\xee\x6b\x28\x00\x00\x00\x00\x00"),     /* 1e9 ns */
      BYTES("\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff"),     /* more */
      BYTES("\xc7\x0c\xff\x3b\x9a\xca\x00\0\0\0\0\0\0\0\0"), /* 1e9 ns */
      BYTES("\xcf\x80\x00\x00\x00\x00\x00\x00\x00"),         /* 2^63 s */
      BYTES("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"),         /* NaN */
      BYTES("\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"),         /* infinity */
      BYTES("\xcb\xff\xf0\x00\x00\x00\x00\x00\x00"),         /* and its opposite */
      BYTES("\xca\x7f\x80\x00\x00"),                         /* infinity */
      BYTES("\xcb\x43\xe0\x00\x00\x00\x00\x00\x00"),         /* 2^63 */
      BYTES("\xcb\xc3\xe0\x00\x00\x00\x00\x00\x01"),         /* below -2^63 */
      BYTES("\xcb\x7f\xef\xff\xff\xff\xff\xff\xff"),         /* the largest */
      BYTES("\xd8\xff\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),     /* 16 bytes */
      BYTES("\xc7\x0d\xff\0\0\0\0\0\0\0\0\0\0\0\0\0"),       /* 13 bytes */
  };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    int64_t sec;
    uint32_t nsec;
    assert_false(stamp_of(wrong[i], &sec, &nsec));
  }
}

/* --- maps by schema ----------------------------------------------------------------------------------------- */
enum { F_NAME, F_BLOB, F_FLAG, F_PORT, F_TOPICS, F_ANY, F_ALL };

static chaski__mp_field fields[F_ALL];
static const char *key;

static const char *read_fields(chaski_slice bytes) {
  static const chaski__mp_field schema[F_ALL] = {
      {.key = "name", .want = WANT_STR, .required = true},
      {.key = "blob", .want = WANT_BIN},
      {.key = "flag", .want = WANT_BOOL},
      {.key = "port", .want = WANT_UINT},
      {.key = "topics", .want = WANT_ARRAY_OF_STR},
      {.key = "any", .want = WANT_ANY},
  };
  memcpy(fields, schema, sizeof fields);
  return chaski__mp_fields(bytes, fields, F_ALL, &key);
}

static void expect_fault(chaski_slice bytes, const char *wrong, const char *at) {
  chaski_slice in = exact(bytes);
  const char *got = read_fields(in);
  assert_non_null(got);
  assert_string_equal(got, wrong);
  assert_string_equal(key, at);
  free_exact(in);
}

static void a_map_is_read_into_fields_in_any_order(void **state) {
  (void)state;
  assert_null(read_fields(SLICE("\x86\xa3"
                                "any\x92\x01\x90\xa4port\xcd\xa0\x29\xa6topics\x92\xa1t\xa1u\xa4"
                                "flag\xc3\xa4"
                                "blob\xc4\x02\x00\xff\xa4name\xa2N2")));
  assert_string_equal(key, "");
  for (int i = 0; i < F_ALL; i++) assert_true(fields[i].present);
  assert_text(fields[F_NAME].value.bytes, "N2");
  assert_slice(fields[F_BLOB].value.bytes, SLICE("\x00\xff"));
  assert_true(fields[F_FLAG].value.truth);
  assert_int_equal(fields[F_PORT].value.u, 41001);
  assert_int_equal(fields[F_TOPICS].value.u, 2);
  assert_slice(fields[F_TOPICS].value.raw, SLICE("\x92\xa1t\xa1u"));
  assert_slice(fields[F_ANY].value.raw, SLICE("\x92\x01\x90"));
}

static void nil_counts_as_absent_and_unknown_keys_are_skipped(void **state) {
  (void)state;
  assert_null(read_fields(SLICE("\x85\xa1z\x81\x01\x02\xa4port\xc0\xa4name\xa0\xa1z\x90\xa3"
                                "any\xc0")));
  assert_true(fields[F_NAME].present);
  for (int i = F_BLOB; i < F_ALL; i++) assert_false(fields[i].present);
  expect_fault(SLICE("\x81\xa4name\xc0"), "a field is missing", "name");
}

static void every_fault_of_a_map_is_named(void **state) {
  (void)state;
  expect_fault(SLICE(""), "its data is not a map", "");
  expect_fault(SLICE("\xc0"), "its data is not a map", "");
  expect_fault(SLICE("\x90"), "its data is not a map", "");
  expect_fault(SLICE("\x80"), "a field is missing", "name");
  expect_fault(SLICE("\x81\x01\x02"), "a key is not a string", "");
  expect_fault(SLICE("\x81\xc4\x04name\xa1x"), "a key is not a string", "");
  expect_fault(SLICE("\x81\xa4nam"), "a key is not a string", "");
  expect_fault(SLICE("\x82\xa4name\xa1x"), "a key is not a string", "");
  expect_fault(SLICE("\xdf\xff\xff\xff\xff\xa4name\xa1x"), "a key is not a string", "");
  expect_fault(SLICE("\x81\xa1z\xc1"), "a value is not MessagePack", "");
  expect_fault(SLICE("\x81\xa4name"), "a value is not MessagePack", "");
  expect_fault(SLICE("\x81\xa3"
                     "any\x92\x01"),
               "a value is not MessagePack", "");
  expect_fault(SLICE("\x81\xa4name\xa1x\xc0"), "bytes follow its data", "");
  expect_fault(SLICE("\x82\xa4name\xa1x\xa4name\xa1x"), "a key stands twice", "name");
}

static void a_second_key_does_not_void_the_first_by_being_nil(void **state) {
  (void)state;
  expect_fault(SLICE("\x82\xa4name\xa1x\xa4name\xc0"), "a key stands twice", "name");
  expect_fault(SLICE("\x83\xa4name\xa1x\xa6topics\x91\xa1t\xa6topics\xc0"), "a key stands twice", "topics");
}

static void a_field_of_another_type_is_refused(void **state) {
  (void)state;
  static const struct {
    const char *key;
    chaski_slice value;
  } table[] = {
      {"name", BYTES("\xc4\x01x")},
      {"name", BYTES("\x01")},
      {"blob", BYTES("\xa1x")},
      {"blob", BYTES("\xd4\x01x")},
      {"flag", BYTES("\x01")},
      {"flag", BYTES("\xa4true")},
      {"port", BYTES("\xff")},
      {"port", BYTES("\xcb\x40\x04\x00\x00\x00\x00\x00\x00")},
      {"port", BYTES("\xa1\x31")},
      {"topics", BYTES("\xa1t")},
      {"topics", BYTES("\x91\x01")},
      {"topics", BYTES("\x91\x91\xa1t")},
      {"topics", BYTES("\x81\xa1t\xa1t")},
      {"topics", BYTES("\x93\xa1t\xc0\xa1t")},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    chaski__buf b = {0};
    chaski__mp_put_map(&b, 1);
    chaski__mp_put_key(&b, table[i].key);
    append(&b, table[i].value);
    expect_fault(chaski__buf_slice(&b), "a field has the wrong type", table[i].key);
    chaski__buf_free(&b);
  }
}

/* --- writing ------------------------------------------------------------------------------------------------ */
static void whole_numbers_are_written_as_short_as_they_are(void **state) {
  (void)state;
  static const uint64_t numbers[] = {0,         127,       128, 255, 256, 65535, 65536, UINT32_MAX, UINT64_C(1) << 32,
                                     INT64_MAX, UINT64_MAX};
  static const size_t sizes[] = {1, 1, 2, 2, 3, 3, 5, 5, 9, 9, 9};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    chaski__buf b = {0};
    chaski__mp_put_uint(&b, numbers[i]);
    chaski__mp v;
    assert_true(read_one(chaski__buf_slice(&b), &v));
    assert_int_equal(b.len, sizes[i]);
    assert_int_equal(v.type, MP_UINT);
    assert_int_equal(v.u, numbers[i]);
    chaski__buf_free(&b);
  }
}

static void strings_bytes_and_counts_of_every_size_come_back(void **state) {
  (void)state;
  static const uint32_t sizes[] = {0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536, 100000};
  static uint8_t content[100000];
  for (size_t i = 0; i < sizeof content; i++) content[i] = (uint8_t)draw(256);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    chaski__buf b = {0};
    chaski__mp v;
    chaski_slice s = chaski_slice_of(sizes[i] ? content : NULL, sizes[i]);
    chaski__mp_put_str(&b, s);
    chaski__mp_put_bin(&b, s);
    chaski__mp_put_array(&b, sizes[i]);
    chaski__mp_put_map(&b, sizes[i]);
    chaski_slice in = chaski__buf_slice(&b);
    assert_true(chaski__mp_read(&in, &v) && v.type == MP_STR);
    assert_slice(v.bytes, s);
    assert_int_equal(v.raw.len - v.bytes.len, sizes[i] < 32 ? 1 : sizes[i] < 256 ? 2 : sizes[i] < 65536 ? 3 : 5);
    assert_true(chaski__mp_read(&in, &v) && v.type == MP_BIN);
    assert_slice(v.bytes, s);
    assert_true(chaski__mp_read(&in, &v) && v.type == MP_ARRAY && v.u == sizes[i]);
    assert_true(chaski__mp_read(&in, &v) && v.type == MP_MAP && v.u == sizes[i]);
    assert_int_equal(in.len, 0);
    chaski__buf_free(&b);
  }
}

static void nil_truth_and_keys_come_back(void **state) {
  (void)state;
  chaski__buf b = {0};
  chaski__mp_put_nil(&b);
  chaski__mp_put_bool(&b, true);
  chaski__mp_put_bool(&b, false);
  chaski__mp_put_key(&b, "ttl");
  assert_slice(chaski__buf_slice(&b), SLICE("\xc0\xc3\xc2\xa3ttl"));
  chaski__buf_free(&b);
}

static void writing_without_memory_fails_once_and_for_all(void **state) {
  (void)state;
  chaski__buf b = {0};
  allow_allocations(0);
  chaski__mp_put_map(&b, 1);
  allow_all_allocations();
  chaski__mp_put_key(&b, "key");
  chaski__mp_put_bin(&b, SLICE("x"));
  assert_true(b.failed);
  assert_int_equal(b.len, 0);
  chaski__buf_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(integers_of_every_width_are_read),
      TEST(nil_and_truth_are_read),
      TEST(floats_of_both_widths_are_read),
      TEST(strings_and_bytes_of_every_width_are_read),
      TEST(the_type_of_an_extension_has_its_sign),
      TEST(of_arrays_and_maps_the_head_is_read),
      TEST(what_is_no_token_is_refused),
      TEST(a_value_cut_at_any_byte_is_refused),
      TEST(whatever_the_bytes_reading_stays_within_them),
      TEST(skipping_takes_one_value_and_leaves_the_next),
      TEST(depth_costs_no_stack),
      TEST(more_elements_than_bytes_are_refused),
      TEST(promises_do_not_add_up_to_few),
      TEST(timestamps_are_read_in_every_form),
      TEST(what_is_no_timestamp_is_refused),
      TEST(a_map_is_read_into_fields_in_any_order),
      TEST(nil_counts_as_absent_and_unknown_keys_are_skipped),
      TEST(every_fault_of_a_map_is_named),
      TEST(a_second_key_does_not_void_the_first_by_being_nil),
      TEST(a_field_of_another_type_is_refused),
      TEST(whole_numbers_are_written_as_short_as_they_are),
      TEST(strings_bytes_and_counts_of_every_size_come_back),
      TEST(nil_truth_and_keys_come_back),
      TEST(writing_without_memory_fails_once_and_for_all),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
