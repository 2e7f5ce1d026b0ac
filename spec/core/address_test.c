/* address_test.c: the address forms that are taken, and that every other is refused with a reason.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "../../src/core/address.h"
#include "../../src/core/alloc.h"

static int teardown(void **state) {
  (void)state;
  return chaski_alloc_blocks() == 0 ? 0 : -1;
}

static void assert_parses(const char *text, const char *name, const char *host, uint16_t port) {
  chaski_address a;
  const char *why = NULL;
  int rc = chaski_address_parse(chaski_slice_str(text), &a, &why);
  if (rc != CHASKI_OK) fail_msg("%s: %s", text, why);
  assert_string_equal(a.name, name);
  assert_string_equal(a.host, host);
  assert_int_equal(a.port, port);
}

/* Refused; the reason contains `reason`; *out is as it was. */
static void assert_refused_bytes(const char *text, size_t len, const char *reason) {
  chaski_address a, before;
  const char *why = NULL;
  memset(&a, 0x55, sizeof a);
  memcpy(&before, &a, sizeof a);
  if (chaski_address_parse(chaski_slice_of(text, len), &a, &why) != CHASKI_EADDRESS) fail_msg("%s was taken", text);
  assert_non_null(why);
  if (!strstr(why, reason)) fail_msg("%s: \"%s\" does not say \"%s\"", text, why, reason);
  assert_memory_equal(&a, &before, sizeof a);
}

static void assert_refused(const char *text, const char *reason) {
  assert_refused_bytes(text, strlen(text), reason);
}

/* prefix, n times c, suffix; valid until the next call. */
static const char *padded(const char *prefix, char c, size_t n, const char *suffix) {
  static char out[1024];
  size_t at = (size_t)snprintf(out, sizeof out, "%s", prefix);
  memset(out + at, c, n);
  snprintf(out + at + n, sizeof out - at - n, "%s", suffix);
  return out;
}

static void numeric_addresses_are_taken(void **state) {
  (void)state;
  assert_parses("127.0.0.1:8511", "", "127.0.0.1", 8511);
  assert_parses("0.0.0.0:1", "", "0.0.0.0", 1);
  assert_parses("255.255.255.255:65535", "", "255.255.255.255", 65535);
  assert_parses("[::1]:8511", "", "::1", 8511);
  assert_parses("[::]:1", "", "::", 1);
  assert_parses("[fe80::1%eth0]:1", "", "fe80::1%eth0", 1);
  assert_parses("[fe80::1%2]:1", "", "fe80::1%2", 1);
  assert_parses("[::ffff:192.0.2.1]:80", "", "::ffff:192.0.2.1", 80);
  assert_parses("[2001:db8:1:2:3:4:5:6]:80", "", "2001:db8:1:2:3:4:5:6", 80);
}

static void host_names_are_taken(void **state) {
  (void)state;
  assert_parses("localhost:8511", "", "localhost", 8511);
  assert_parses("a.b-c.d_e.example:80", "", "a.b-c.d_e.example", 80);
  assert_parses("3com.com:80", "", "3com.com", 80);
  assert_parses("Host9:80", "", "Host9", 80);
}

static void names_before_the_at_are_taken(void **state) {
  (void)state;
  assert_parses("Name@127.0.0.1:8511", "Name", "127.0.0.1", 8511);
  assert_parses("*Name@127.0.0.1:8511", "Name", "127.0.0.1", 8511);
  assert_parses("*Name@[::1]:8511", "Name", "::1", 8511);
  assert_parses("Name@host.example:8511", "Name", "host.example", 8511);
  assert_parses("two words: [one]@h:1", "two words: [one]", "h", 1);
  const char *utf8 = "\xc3\xb1 \xe2\x82\xac \xf0\x9f\x90\xa6";
  assert_parses("\xc3\xb1 \xe2\x82\xac \xf0\x9f\x90\xa6@h:1", utf8, "h", 1);
  char name[CHASKI_NAME_MAX + 1] = {0};
  memset(name, 'n', CHASKI_NAME_MAX);
  assert_parses(padded("", 'n', CHASKI_NAME_MAX, "@h:1"), name, "h", 1);
}

static void only_the_first_star_is_the_root_mark(void **state) {
  (void)state;
  assert_parses("**Name@h:1", "*Name", "h", 1);
  assert_refused("*127.0.0.1:8511", "character");
}

static void bad_names_are_refused(void **state) {
  (void)state;
  assert_refused("@127.0.0.1:1", "empty");
  assert_refused("*@127.0.0.1:1", "empty");
  assert_refused(padded("", 'n', CHASKI_NAME_MAX + 1, "@h:1"), "64");
  assert_refused("a\nb@h:1", "control");
  assert_refused("a\x7f@h:1", "control");
  assert_refused("a\xc2\x85@h:1", "control");
  assert_refused("a@b@h:1", "character");
}

static void names_that_are_not_utf8_are_refused(void **state) {
  (void)state;
  const char *const names[] = {
      "\x80@h:1",             /* a continuation alone */
      "\xc3@h:1",             /* cut short */
      "\xc3(@h:1",            /* no continuation */
      "\xe2\x82@h:1",         /* cut short */
      "\xc0\xaf@h:1",         /* overlong */
      "\xe0\x80\xaf@h:1",     /* overlong */
      "\xf0\x80\x80\xaf@h:1", /* overlong */
      "\xed\xa0\x80@h:1",     /* surrogate */
      "\xf4\x90\x80\x80@h:1", /* beyond U+10FFFF */
      "\xff@h:1",
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) assert_refused(names[i], "UTF-8");
}

static void bad_ports_are_refused(void **state) {
  (void)state;
  assert_refused("127.0.0.1:0", "1..65535");
  assert_refused("127.0.0.1:65536", "1..65535");
  assert_refused("127.0.0.1:99999", "1..65535");
  assert_refused("127.0.0.1:4294967297", "1..65535");
  assert_refused("127.0.0.1:18446744073709551617", "1..65535");
  assert_refused("127.0.0.1:", "missing");
  assert_refused("[::1]:", "missing");
  assert_refused("127.0.0.1:80a", "decimal");
  assert_refused("127.0.0.1:+80", "decimal");
  assert_refused("127.0.0.1:-80", "decimal");
  assert_refused("127.0.0.1: 80", "decimal");
  assert_refused("127.0.0.1:80 ", "decimal");
  assert_refused("127.0.0.1:0x50", "decimal");
  assert_refused("127.0.0.1:http", "decimal");
}

static void missing_parts_are_refused(void **state) {
  (void)state;
  assert_refused_bytes(NULL, 0, "expected host:port");
  assert_refused("127.0.0.1", "expected host:port");
  assert_refused("8511", "expected host:port");
  assert_refused("Name@", "expected host:port");
  assert_refused(":8511", "empty");
  assert_refused("[]:8511", "empty");
  assert_refused("Name@:8511", "empty");
}

static void v6_needs_its_brackets(void **state) {
  (void)state;
  assert_refused("::1:8511", "brackets");
  assert_refused("fe80::1%eth0:8511", "brackets");
  assert_refused("Name@::1:8511", "brackets");
  assert_refused("host:80:90", "brackets");
  assert_refused("[::1:8511", "']'");
  assert_refused("[::1]8511", "':'");
  assert_refused("[::1]", "':'");
  assert_refused("::1]:8511", "brackets");
}

static void brackets_hold_nothing_but_v6(void **state) {
  (void)state;
  assert_refused("[127.0.0.1]:80", "IPv6");
  assert_refused("[localhost]:80", "IPv6");
  assert_refused("[1::2::3]:80", "IPv6");
  assert_refused("[12345::]:80", "IPv6");
  assert_refused("[[::1]]:80", "':' after ']'");
  assert_refused("[fe80::1%]:80", "IPv6");
  assert_refused("[fe80::1%a/b]:80", "IPv6");
  assert_refused("[fe80::1%a%b]:80", "IPv6");
  assert_refused("[fe80::1%aninterfacename16]:80", "IPv6");
  assert_refused(padded("[", '0', 200, "::]:80"), "IPv6");
}

static void digits_that_are_no_v4_are_refused(void **state) {
  (void)state;
  const char *const hosts[] = {"1.2.3:80",  "999.1.1.1:80", "1.2.3.4.5:80",  "256.0.0.1:80", "127:80",
                               "1.2.3.:80", "010.0.0.1:80", "2130706433:80", ".1:80",        "...:80"};
  for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) assert_refused(hosts[i], "IPv4");
}

static void bad_host_names_are_refused(void **state) {
  (void)state;
  assert_refused("a..b:80", "label");
  assert_refused(".a:80", "label");
  assert_refused("a.:80", "label");
  assert_refused("-a:80", "'-'");
  assert_refused("a-.b:80", "'-'");
  assert_refused("a b:80", "character");
  assert_refused(" a:80", "character");
  assert_refused("a/b:80", "character");
  assert_refused("\xc3\xb1:80", "character");
  assert_refused("a%eth0:80", "character");
}

static void labels_and_host_names_have_their_limits(void **state) {
  (void)state;
  char host[CHASKI_HOST_MAX + 8];
  chaski_address a;
  const char *why;
  const char *text = padded("", 'a', 63, ":80");
  assert_int_equal(chaski_address_parse(chaski_slice_str(text), &a, &why), CHASKI_OK);
  assert_refused(padded("", 'a', 64, ":80"), "63");
  for (size_t i = 0; i < 254; i++) host[i] = i % 2 ? '.' : 'a'; /* 253 bytes end in a letter */
  memcpy(host + 253, ":80", 4);
  assert_int_equal(chaski_address_parse(chaski_slice_str(host), &a, &why), CHASKI_OK);
  assert_int_equal(strlen(a.host), 253);
  memcpy(host + 253, "a:80", 5);
  assert_refused(host, "253");
}

static void nul_bytes_are_refused_everywhere(void **state) {
  (void)state;
  const char good[] = "*Name@[::1]:8511";
  for (size_t at = 0; at < sizeof good; at++) {
    char text[sizeof good];
    memcpy(text, good, sizeof text);
    text[at] = '\0';
    assert_refused_bytes(text, sizeof text, "NUL");
  }
}

/* Whatever the bytes, what is taken reads the same when it is written and read again. */
static void mutated_addresses_are_refused_or_stable(void **state) {
  (void)state;
  const char good[] = "*N\xc3\xb1@[fe80::1%eth0]:8511";
  for (size_t at = 0; at < sizeof good - 1; at++) {
    for (int c = 0; c < 256; c++) {
      char text[sizeof good], again[CHASKI_HOST_MAX + 8];
      chaski_address a, b;
      const char *why = NULL;
      memcpy(text, good, sizeof text);
      text[at] = (char)c;
      if (chaski_address_parse(chaski_slice_of(text, sizeof text - 1), &a, &why) != CHASKI_OK) continue;
      size_t len = chaski_address_format(again, a.host, a.port);
      assert_int_equal(chaski_address_parse(chaski_slice_of(again, len), &b, &why), CHASKI_OK);
      assert_string_equal(a.host, b.host);
      assert_int_equal(a.port, b.port);
    }
  }
}

static void assert_formats(const char *host, uint16_t port, const char *expected) {
  char out[CHASKI_HOST_MAX + 8];
  assert_int_equal(chaski_address_format(out, host, port), strlen(expected));
  assert_string_equal(out, expected);
}

static void format_puts_v6_in_brackets(void **state) {
  (void)state;
  assert_formats("127.0.0.1", 8511, "127.0.0.1:8511");
  assert_formats("host.example", 1, "host.example:1");
  assert_formats("::1", 65535, "[::1]:65535");
  assert_formats("fe80::1%eth0", 80, "[fe80::1%eth0]:80");
}

static void format_has_room_for_the_longest_host(void **state) {
  (void)state;
  char host[CHASKI_HOST_MAX] = {0}, out[CHASKI_HOST_MAX + 8];
  memset(host, ':', CHASKI_HOST_MAX - 1);
  assert_int_equal(chaski_address_format(out, host, 65535), CHASKI_HOST_MAX - 1 + 8);
  assert_string_equal(out + CHASKI_HOST_MAX, "]:65535");
}

static void numeric_is_told_from_names(void **state) {
  (void)state;
  const char *const yes[] = {"127.0.0.1", "::", "::1", "fe80::1%eth0", "::ffff:1.2.3.4"};
  const char *const no[] = {"", "localhost", "[::1]", "127.0.0.1%eth0", "1.2.3", "::1%", "127.0.0.1 ", "1:2"};
  for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) assert_true(chaski_address_is_numeric(yes[i]));
  for (size_t i = 0; i < sizeof no / sizeof *no; i++) assert_false(chaski_address_is_numeric(no[i]));
}

static void any_is_zero_however_written(void **state) {
  (void)state;
  const char *const yes[] = {"0.0.0.0", "::", "::0", "0:0:0:0:0:0:0:0"};
  const char *const no[] = {"", "0", "127.0.0.1", "0.0.0.1", "::1", "localhost"};
  for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) assert_true(chaski_address_is_any(yes[i]));
  for (size_t i = 0; i < sizeof no / sizeof *no; i++) assert_false(chaski_address_is_any(no[i]));
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
      TEST(numeric_addresses_are_taken),
      TEST(host_names_are_taken),
      TEST(names_before_the_at_are_taken),
      TEST(only_the_first_star_is_the_root_mark),
      TEST(bad_names_are_refused),
      TEST(names_that_are_not_utf8_are_refused),
      TEST(bad_ports_are_refused),
      TEST(missing_parts_are_refused),
      TEST(v6_needs_its_brackets),
      TEST(brackets_hold_nothing_but_v6),
      TEST(digits_that_are_no_v4_are_refused),
      TEST(bad_host_names_are_refused),
      TEST(labels_and_host_names_have_their_limits),
      TEST(nul_bytes_are_refused_everywhere),
      TEST(mutated_addresses_are_refused_or_stable),
      TEST(format_puts_v6_in_brackets),
      TEST(format_has_room_for_the_longest_host),
      TEST(numeric_is_told_from_names),
      TEST(any_is_zero_however_written),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
