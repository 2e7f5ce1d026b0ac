/* error_test.c: the list of codes can be told apart by number and by name. SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <string.h>

#include "../../src/core/alloc.h"
#include "../../src/core/error.h"

static const struct {
  int code;
  const char *name, *text;
} listed[] = {
#define ROW(id, name, text) {id, name, text},
    CHASKI_ERRORS(ROW)
#undef ROW
};
static const size_t count = sizeof listed / sizeof *listed;

static int teardown(void **state) {
  (void)state;
  return chaski_alloc_blocks() == 0 ? 0 : -1;
}

static void every_code_has_the_name_and_text_of_the_list(void **state) {
  (void)state;
  for (size_t i = 0; i < count; i++) {
    assert_true(listed[i].code < 0);
    assert_string_equal(chaski_error_name(listed[i].code), listed[i].name);
    assert_string_equal(chaski_error_text(listed[i].code), listed[i].text);
  }
}

static void names_and_texts_are_not_empty(void **state) {
  (void)state;
  for (size_t i = 0; i < count; i++) {
    assert_true(listed[i].name[0] != '\0');
    assert_true(listed[i].text[0] != '\0');
  }
}

static void names_are_snake_case(void **state) {
  (void)state;
  for (size_t i = 0; i < count; i++)
    assert_int_equal(strspn(listed[i].name, "abcdefghijklmnopqrstuvwxyz_"), strlen(listed[i].name));
}

static void codes_and_names_are_unique(void **state) {
  (void)state;
  for (size_t i = 0; i < count; i++) {
    assert_string_not_equal(listed[i].name, "ok");
    assert_string_not_equal(listed[i].name, "unknown");
    for (size_t j = 0; j < i; j++) {
      assert_int_not_equal(listed[i].code, listed[j].code);
      assert_string_not_equal(listed[i].name, listed[j].name);
    }
  }
}

static void success_has_a_name(void **state) {
  (void)state;
  assert_string_equal(chaski_error_name(CHASKI_OK), "ok");
  assert_true(chaski_error_text(CHASKI_OK)[0] != '\0');
}

static void other_numbers_are_unknown(void **state) {
  (void)state;
  const int others[] = {
      1, -1, CHASKI__ERROR_BASE, CHASKI__ERROR_BASE - 1, CHASKI__ERROR_BASE + 1 + (int)count, INT_MIN, INT_MAX};
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    assert_string_equal(chaski_error_name(others[i]), "unknown");
    assert_true(chaski_error_text(others[i])[0] != '\0');
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
      TEST(every_code_has_the_name_and_text_of_the_list),
      TEST(names_and_texts_are_not_empty),
      TEST(names_are_snake_case),
      TEST(codes_and_names_are_unique),
      TEST(success_has_a_name),
      TEST(other_numbers_are_unknown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
