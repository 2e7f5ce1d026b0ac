/* uuid_test.c: identifiers there and back, and what is none of ours. SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../src/core/alloc.h"
#include "../../src/core/uuid.h"

static int teardown(void **state) {
  (void)state;
  return chaski_alloc_blocks() == 0 ? 0 : -1;
}

static bool parse(const char *text, uint64_t *origin, uint64_t *seq) {
  return chaski_uuid_parse(chaski_slice_str(text), origin, seq);
}

static void assert_text(const char *expected, uint64_t origin, uint64_t seq) {
  char out[CHASKI_UUID_TEXT + 1];
  out[CHASKI_UUID_TEXT] = '!';
  chaski_uuid_format(out, origin, seq);
  assert_int_equal(out[CHASKI_UUID_TEXT], '!');
  assert_memory_equal(out, expected, CHASKI_UUID_TEXT);
}

static void format_lays_out_as_rfc_9562_says(void **state) {
  (void)state;
  assert_text("00000000-0000-8000-8000-000000000000", 0, 0);
  assert_text("01234567-89ab-8cde-8000-00000000002a", UINT64_C(0x0123456789abcde), 42);
  assert_text("ffffffff-ffff-8fff-bfff-ffffffffffff", CHASKI_ORIGIN_MAX, CHASKI_SEQ_MAX);
}

static void format_masks_what_is_too_wide(void **state) {
  (void)state;
  assert_text("ffffffff-ffff-8fff-bfff-ffffffffffff", UINT64_MAX, UINT64_MAX);
  assert_text("00000000-0000-8000-8000-000000000001", UINT64_C(1) << 60, (UINT64_C(1) << 62) + 1);
}

static void assert_round_trip(uint64_t origin, uint64_t seq) {
  char text[CHASKI_UUID_TEXT];
  uint64_t o = 0, s = 0;
  chaski_uuid_format(text, origin, seq);
  assert_true(chaski_uuid_parse(chaski_slice_of(text, sizeof text), &o, &s));
  assert_true(o == origin && s == seq);
}

static void every_bit_survives_the_round_trip(void **state) {
  (void)state;
  for (int bit = 0; bit < 60; bit++) assert_round_trip(UINT64_C(1) << bit, ~(UINT64_C(1) << bit) & CHASKI_SEQ_MAX);
  for (int bit = 0; bit < 62; bit++) assert_round_trip(~(UINT64_C(1) << bit) & CHASKI_ORIGIN_MAX, UINT64_C(1) << bit);
}

static void recalls_as_parse(chaski_uuid_memo *memo, const char *text) {
  uint64_t origin = 0, seq = 0, o = 0, n = 0;
  bool ours = parse(text, &origin, &seq);
  assert_int_equal(chaski_uuid_recall(memo, chaski_slice_str(text), &o, &n), ours);
  assert_true(o == origin && n == seq); /* both 0 if it is none of ours */
}

static void a_memo_gives_what_parse_gives(void **state) {
  (void)state;
  static const char *const texts[] = {"01234567-89ab-8cde-8000-00000000002a", "01234567-89ab-8cde-8000-0000ffffffff",
                                      "01234567-89ab-8cde-8000-0001ffffffff", "01234567-89ab-8cde-8000-00010000002g",
                                      "01234567-89ab-8cde-8000-000100000020", "01234567-89ab-8cde-8000-00010000002",
                                      "01234567-89AB-8cde-8000-000100000020", "01234567-89ab-4cde-8000-000100000020",
                                      "11234567-89ab-8cde-8000-000100000020", "11234567-89ab-8cde-bfff-ffff00000020"};
  size_t n = sizeof texts / sizeof *texts;
  for (size_t before = 0; before < n; before++)
    for (size_t i = 0; i < n; i++) {
      chaski_uuid_memo memo = {0};
      recalls_as_parse(&memo, texts[before]);
      recalls_as_parse(&memo, texts[i]);
      recalls_as_parse(&memo, texts[i]);
    }
}

static void nothing_is_recalled_of_a_memo_that_is_empty(void **state) {
  (void)state;
  chaski_uuid_memo memo = {0};
  uint64_t origin, seq;
  char zeros[CHASKI_UUID_TEXT] = {0};
  memcpy(zeros + CHASKI_UUID_REMEMBERED, "00000001", 8);
  assert_false(chaski_uuid_recall(&memo, chaski_slice_of(zeros, sizeof zeros), &origin, &seq));
}

static void parse_takes_either_case(void **state) {
  (void)state;
  uint64_t origin, seq;
  assert_true(parse("ABCDEFab-cdef-8ABC-BABC-DEFabcdef012", &origin, &seq));
  assert_true(origin == UINT64_C(0xabcdefabcdefabc));
  assert_true(seq == UINT64_C(0x3abcdefabcdef012));
}

static void assert_opaque(const char *text) {
  uint64_t origin = 1, seq = 2;
  assert_false(parse(text, &origin, &seq));
  assert_true(origin == 1 && seq == 2);
}

static void ids_of_other_makers_are_opaque(void **state) {
  (void)state;
  assert_opaque("919108f7-52d1-4320-9bac-f847db4148a8"); /* version 4 */
  assert_opaque("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"); /* version 7 */
  assert_opaque("01234567-89ab-8cde-0000-00000000002a"); /* variants 0, 1 and 3 */
  assert_opaque("01234567-89ab-8cde-4000-00000000002a");
  assert_opaque("01234567-89ab-8cde-c000-00000000002a");
}

static void other_lengths_and_forms_are_opaque(void **state) {
  (void)state;
  assert_false(chaski_uuid_parse(chaski_slice_of(NULL, 0), &(uint64_t){0}, &(uint64_t){0}));
  assert_opaque("01234567-89ab-8cde-8000-00000000002");
  assert_opaque("01234567-89ab-8cde-8000-00000000002a0");
  assert_opaque("0123456789ab8cde800000000000002a");
  assert_opaque("{1234567-89ab-8cde-8000-00000000002}");
  assert_opaque("012345678-9ab-8cde-8000-00000000002a");
}

/* All 256 bytes at all 36 places: a hyphen at its four, a digit elsewhere. */
static void every_foreign_byte_at_every_place_is_noticed(void **state) {
  (void)state;
  const char good[] = "01234567-89ab-8cde-8000-00000000002a";
  for (size_t at = 0; at < CHASKI_UUID_TEXT; at++) {
    for (int c = 0; c < 256; c++) {
      char text[CHASKI_UUID_TEXT];
      memcpy(text, good, sizeof text);
      text[at] = (char)c;
      bool digit = c && strchr("0123456789abcdefABCDEF", c), fits = good[at] == '-' ? c == '-' : digit;
      if (at == 14) fits = c == '8';
      if (at == 19) fits = c && strchr("89abAB", c);
      uint64_t origin, seq;
      assert_int_equal(chaski_uuid_parse(chaski_slice_of(text, sizeof text), &origin, &seq), fits);
    }
  }
}

static void random_sets_version_4_and_the_variant_only(void **state) {
  (void)state;
  char out[CHASKI_UUID_TEXT];
  const uint8_t zeros[16] = {0}, vector[16] = {0x91, 0x91, 0x08, 0xf7, 0x52, 0xd1, 0xf3, 0x20,
                                               0xdb, 0xac, 0xf8, 0x47, 0xdb, 0x41, 0x48, 0xa8};
  chaski_uuid_random(out, zeros);
  assert_memory_equal(out, "00000000-0000-4000-8000-000000000000", sizeof out);
  chaski_uuid_random(out, vector);
  assert_memory_equal(out, "919108f7-52d1-4320-9bac-f847db4148a8", sizeof out);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
      TEST(format_lays_out_as_rfc_9562_says),
      TEST(format_masks_what_is_too_wide),
      TEST(every_bit_survives_the_round_trip),
      TEST(a_memo_gives_what_parse_gives),
      TEST(nothing_is_recalled_of_a_memo_that_is_empty),
      TEST(parse_takes_either_case),
      TEST(ids_of_other_makers_are_opaque),
      TEST(other_lengths_and_forms_are_opaque),
      TEST(every_foreign_byte_at_every_place_is_noticed),
      TEST(random_sets_version_4_and_the_variant_only),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
