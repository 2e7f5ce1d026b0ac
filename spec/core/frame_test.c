/* frame_test.c: what the frame decoder promises: the same frames however the stream is cut, no copy of what is whole,
 * limits before memory, memory for what has come only. The property test takes its seed from CHASKI_SEED.
 * SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "../../src/core/alloc.h"
#include "../../src/core/frame.h"

#define TOPIC_MAX 300
#define DATA_MAX 20000

static chaski_frame_decoder decoder;

static int setup(void **state) {
  (void)state;
  chaski_frame_decoder_init(&decoder, TOPIC_MAX, DATA_MAX);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  chaski_frame_decoder_free(&decoder);
  chaski_set_allocator(NULL);
  return chaski_alloc_blocks() == 0 ? 0 : -1;
}

/* A frame of the given lengths at out, its bytes counting up from `first`; returns its size. */
static size_t make_frame(uint8_t *out, uint32_t topic, uint32_t data, unsigned first) {
  size_t len = (size_t)topic + data;
  chaski_frame_header(out, topic, data);
  for (size_t i = 0; i < len; i++) out[CHASKI_FRAME_HEADER + i] = (uint8_t)(first + i);
  return CHASKI_FRAME_HEADER + len;
}

static void assert_frame(const chaski_frame *frame, const uint8_t *expected, uint32_t topic, uint32_t data) {
  assert_int_equal(frame->bytes.len, CHASKI_FRAME_HEADER + (size_t)topic + data);
  assert_int_equal(frame->topic.len, topic);
  assert_int_equal(frame->data.len, data);
  assert_ptr_equal(frame->topic.ptr, frame->bytes.ptr + CHASKI_FRAME_HEADER);
  assert_ptr_equal(frame->data.ptr, frame->topic.ptr + topic);
  assert_memory_equal(frame->bytes.ptr, expected, frame->bytes.len);
}

static void assert_holds_nothing(void) {
  assert_null(decoder.partial);
  assert_int_equal(decoder.len, 0);
  assert_int_equal(decoder.cap, 0);
  assert_int_equal(chaski_alloc_blocks(), 0);
}

/* Hand over n bytes that complete no frame. */
static void feed(const uint8_t *bytes, size_t n) {
  chaski_frame frame;
  chaski_slice in = chaski_slice_of(bytes, n);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), 0);
  assert_int_equal(in.len, 0);
}

static void *refuse(void *ptr, size_t size) {
  if (size == 0) free(ptr);
  return NULL;
}

static void header_has_the_data_length_first_and_big_endian(void **state) {
  (void)state;
  const uint8_t expected[] = {0x89, 0xab, 0xcd, 0xef, 0x01, 0x02, 0x03, 0xf4};
  uint8_t out[CHASKI_FRAME_HEADER];
  chaski_frame_header(out, 0x010203f4, 0x89abcdef);
  assert_memory_equal(out, expected, sizeof out);
}

static void whole_frames_are_handed_out_where_they_lie(void **state) {
  (void)state;
  uint8_t bytes[256];
  chaski_frame frame;
  size_t first = make_frame(bytes, 4, 60, 0), second = make_frame(bytes + first, 5, 7, 9);
  chaski_slice in = chaski_slice_of(bytes, first + second);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), 1);
  assert_ptr_equal(frame.bytes.ptr, bytes);
  assert_frame(&frame, bytes, 4, 60);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), 1);
  assert_ptr_equal(frame.bytes.ptr, bytes + first);
  assert_frame(&frame, bytes + first, 5, 7);
  assert_int_equal(in.len, 0);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), 0);
  assert_holds_nothing();
}

static void empty_topic_and_empty_data_are_frames(void **state) {
  (void)state;
  uint8_t bytes[64];
  chaski_frame frame;
  size_t size = make_frame(bytes, 0, 0, 0);
  chaski_slice in = chaski_slice_of(bytes, size);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), 1);
  assert_frame(&frame, bytes, 0, 0);
  feed(bytes, 3);
  in = chaski_slice_of(bytes + 3, size - 3);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), 1);
  assert_frame(&frame, bytes, 0, 0);
  assert_false(chaski_frame_pending(&decoder));
}

static void no_bytes_are_no_frame_and_take_no_memory(void **state) {
  (void)state;
  feed(NULL, 0);
  assert_false(chaski_frame_pending(&decoder));
  assert_holds_nothing();
}

static void one_byte_at_a_time_gives_the_same_frame(void **state) {
  (void)state;
  uint8_t bytes[8192];
  chaski_frame frame;
  size_t size = make_frame(bytes, 30, 8000, 1);
  for (size_t i = 0; i + 1 < size; i++) feed(bytes + i, 1);
  chaski_slice in = chaski_slice_of(bytes + size - 1, 1);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), 1);
  assert_frame(&frame, bytes, 30, 8000);
}

static void only_the_missing_bytes_are_copied(void **state) {
  (void)state;
  uint8_t bytes[512];
  chaski_frame frame;
  size_t first = make_frame(bytes, 4, 100, 0), second = make_frame(bytes + first, 4, 90, 3);
  feed(bytes, 50);
  chaski_slice in = chaski_slice_of(bytes + 50, first + second - 50);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), 1);
  assert_frame(&frame, bytes, 4, 100);
  assert_ptr_equal(in.ptr, bytes + first);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), 1);
  assert_ptr_equal(frame.bytes.ptr, bytes + first);
}

static void assembled_frame_lives_until_the_next_call_and_no_longer(void **state) {
  (void)state;
  uint8_t bytes[128];
  chaski_frame frame;
  size_t size = make_frame(bytes, 4, 100, 0);
  feed(bytes, 50);
  chaski_slice in = chaski_slice_of(bytes + 50, size - 50);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), 1);
  assert_ptr_equal(frame.bytes.ptr, decoder.partial);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), 0);
  assert_holds_nothing();
}

static void pending_is_true_inside_a_frame_only(void **state) {
  (void)state;
  uint8_t bytes[128];
  chaski_frame frame;
  size_t size = make_frame(bytes, 4, 100, 0);
  assert_false(chaski_frame_pending(&decoder));
  for (size_t i = 0; i + 1 < size; i++) {
    feed(bytes + i, 1);
    assert_true(chaski_frame_pending(&decoder));
  }
  chaski_slice in = chaski_slice_of(bytes + size - 1, 1);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), 1);
  assert_false(chaski_frame_pending(&decoder));
  feed(bytes, 8);
  assert_true(chaski_frame_pending(&decoder));
}

static void free_drops_a_begun_frame_and_keeps_the_limits(void **state) {
  (void)state;
  uint8_t bytes[128];
  chaski_frame frame;
  size_t size = make_frame(bytes, 4, 100, 0);
  feed(bytes, 50);
  chaski_frame_decoder_free(&decoder);
  assert_holds_nothing();
  assert_int_equal(decoder.topic_max, TOPIC_MAX);
  assert_int_equal(decoder.data_max, DATA_MAX);
  chaski_slice in = chaski_slice_of(bytes, size);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), 1);
}

static void lengths_at_their_limits_pass(void **state) {
  (void)state;
  static uint8_t bytes[CHASKI_FRAME_HEADER + TOPIC_MAX + DATA_MAX];
  chaski_frame frame;
  size_t size = make_frame(bytes, TOPIC_MAX, DATA_MAX, 0);
  chaski_slice in = chaski_slice_of(bytes, size);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), 1);
  assert_frame(&frame, bytes, TOPIC_MAX, DATA_MAX);
}

/* The header alone suffices, in one piece and in two. */
static void assert_refused(uint32_t topic, uint32_t data) {
  uint8_t header[CHASKI_FRAME_HEADER];
  chaski_frame frame;
  chaski_frame_header(header, topic, data);
  chaski_slice in = chaski_slice_of(header, sizeof header);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), CHASKI_ETOOBIG);
  assert_int_equal(chaski_alloc_blocks(), 0);
  feed(header, 5);
  in = chaski_slice_of(header + 5, 3);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), CHASKI_ETOOBIG);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), CHASKI_ETOOBIG);
  assert_true(decoder.cap <= CHASKI_FRAME_HEADER);
  chaski_frame_decoder_free(&decoder);
}

static void lengths_over_their_limits_are_refused_with_the_header(void **state) {
  (void)state;
  assert_refused(TOPIC_MAX + 1, 10);
  assert_refused(4, DATA_MAX + 1);
  assert_refused(UINT32_MAX, 0);
  assert_refused(0, UINT32_MAX);
  assert_refused(UINT32_MAX, UINT32_MAX);
  assert_refused(UINT32_MAX - 7, 8); /* their sum with the header is 0 in 32 bits */
}

static void promised_gigabytes_take_no_memory(void **state) {
  (void)state;
  uint8_t bytes[100] = {0};
  chaski_frame_decoder_init(&decoder, UINT32_MAX, UINT32_MAX);
  chaski_frame_header(bytes, UINT32_MAX, UINT32_MAX);
  feed(bytes, sizeof bytes);
  assert_true(chaski_frame_pending(&decoder));
  assert_true(decoder.cap <= 4096);
}

static void memory_grows_with_the_bytes_received(void **state) {
  (void)state;
  static uint8_t bytes[1000];
  const uint32_t data = 8u << 20;
  chaski_frame_decoder_init(&decoder, TOPIC_MAX, data);
  uint8_t header[CHASKI_FRAME_HEADER];
  chaski_frame_header(header, 4, data);
  feed(header, sizeof header);
  for (size_t sent = 8; sent + sizeof bytes < data; sent += sizeof bytes) {
    feed(bytes, sizeof bytes);
    assert_true(decoder.cap <= 4096 || decoder.cap <= 2 * decoder.len);
    assert_true(decoder.cap <= CHASKI_FRAME_HEADER + 4 + (size_t)data);
  }
}

static void small_frame_takes_no_more_than_its_size(void **state) {
  (void)state;
  uint8_t bytes[128];
  size_t size = make_frame(bytes, 4, 100, 0);
  feed(bytes, 3);
  assert_true(decoder.cap <= CHASKI_FRAME_HEADER);
  feed(bytes + 3, 50);
  assert_true(decoder.cap <= size);
}

static void want_of_memory_is_told_and_loses_nothing(void **state) {
  (void)state;
  static uint8_t bytes[9000];
  chaski_frame frame;
  size_t size = make_frame(bytes, 4, 8000, 0);
  chaski_slice in = chaski_slice_of(bytes, 100);
  chaski_set_allocator(refuse);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), CHASKI_ENOMEM);
  assert_int_equal(chaski_alloc_blocks(), 0);
  chaski_set_allocator(NULL);
  feed(in.ptr, in.len);
  in = chaski_slice_of(bytes + 100, 7000);
  chaski_set_allocator(refuse);
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), CHASKI_ENOMEM);
  chaski_set_allocator(NULL);
  in = chaski_slice_of(in.ptr, (size_t)(bytes + size - in.ptr));
  assert_int_equal(chaski_frame_next(&decoder, &in, &frame), 1);
  assert_frame(&frame, bytes, 4, 8000);
}

/* --- property ------------------------------------------------------------------------------------------------ */

#define FRAMES 60
#define RUNS 400

typedef struct script {
  uint64_t seed;
  uint8_t *bytes;
  size_t len, count;
  uint32_t topic[FRAMES], data[FRAMES];
} script;

static uint32_t dice(uint64_t *seed, uint32_t below) { /* splitmix64 */
  uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
  return (uint32_t)((z ^ z >> 31) % below);
}

/* Mostly small, sometimes up to max. */
static uint32_t length(uint64_t *seed, uint32_t max) {
  return dice(seed, dice(seed, 4) ? 100 : max + 1);
}

static void write_script(script *s) {
  s->count = 1 + dice(&s->seed, FRAMES);
  for (size_t i = 0; i < s->count; i++) {
    s->topic[i] = length(&s->seed, TOPIC_MAX);
    s->data[i] = length(&s->seed, DATA_MAX);
    s->len += make_frame(s->bytes + s->len, s->topic[i], s->data[i], dice(&s->seed, 256));
  }
}

/* Chunks are copied to blocks of their own, so that a read beyond one or after it is seen by the sanitizers. */
static void play(script *s) {
  size_t sent = 0, seen = 0, at = 0;
  while (sent < s->len) {
    size_t n = 1 + length(&s->seed, 3 * DATA_MAX);
    if (n > s->len - sent) n = s->len - sent;
    uint8_t *chunk = malloc(n);
    assert_non_null(chunk);
    memcpy(chunk, s->bytes + sent, n);
    chaski_slice in = chaski_slice_of(chunk, n);
    chaski_frame frame;
    int rc;
    while ((rc = chaski_frame_next(&decoder, &in, &frame)) == 1) {
      assert_true(seen < s->count);
      assert_frame(&frame, s->bytes + at, s->topic[seen], s->data[seen]);
      at += frame.bytes.len;
      seen++;
    }
    assert_int_equal(rc, 0);
    assert_int_equal(in.len, 0);
    free(chunk);
    sent += n;
    assert_int_equal(chaski_frame_pending(&decoder), at < sent);
  }
  assert_int_equal(seen, s->count);
}

static void any_frames_in_any_chunks_come_out_identical(void **state) {
  (void)state;
  const char *given = getenv("CHASKI_SEED");
  uint64_t seed = given ? strtoull(given, NULL, 0) : 20240601;
  print_message("seed %llu\n", (unsigned long long)seed);
  uint8_t *bytes = malloc((size_t)FRAMES * (CHASKI_FRAME_HEADER + TOPIC_MAX + DATA_MAX));
  assert_non_null(bytes);
  for (unsigned run = 0; run < RUNS; run++) {
    script s = {.seed = seed + run, .bytes = bytes};
    write_script(&s);
    play(&s);
    assert_holds_nothing();
  }
  free(bytes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
      TEST(header_has_the_data_length_first_and_big_endian),
      TEST(whole_frames_are_handed_out_where_they_lie),
      TEST(empty_topic_and_empty_data_are_frames),
      TEST(no_bytes_are_no_frame_and_take_no_memory),
      TEST(one_byte_at_a_time_gives_the_same_frame),
      TEST(only_the_missing_bytes_are_copied),
      TEST(assembled_frame_lives_until_the_next_call_and_no_longer),
      TEST(pending_is_true_inside_a_frame_only),
      TEST(free_drops_a_begun_frame_and_keeps_the_limits),
      TEST(lengths_at_their_limits_pass),
      TEST(lengths_over_their_limits_are_refused_with_the_header),
      TEST(promised_gigabytes_take_no_memory),
      TEST(memory_grows_with_the_bytes_received),
      TEST(small_frame_takes_no_more_than_its_size),
      TEST(want_of_memory_is_told_and_loses_nothing),
      TEST(any_frames_in_any_chunks_come_out_identical),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
