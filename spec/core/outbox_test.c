/* outbox_test.c: what waits to leave, against an oracle that keeps every byte; what is shared, what is copied, and that
 * nothing is held when all has gone.
 * SPDX-License-Identifier: MIT */
#include "leaf_rig.h"

#include "frame.h"
#include "outbox.h"

#define SLICES 64

static chaski__arena arena;
static chaski__outbox box;

static int setup(void **state) {
  arena = (chaski__arena){0};
  chaski__outbox_init(&box);
  return leaf_setup(state);
}

static int nothing_is_held(void **state) {
  allow_all_allocations();
  chaski__outbox_free(&box, &arena);
  chaski__arena_free(&arena);
  return no_block_is_left(state);
}

#undef TEST
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, nothing_is_held)

/* A frame of len bytes (8 at least) whose content counts on from where the last one stopped. */
static void write_frame(uint8_t *p, size_t len) {
  static uint8_t next;
  size_t topic = draw(len - CHASKI_FRAME_HEADER + 1);
  chaski_frame_header(p, (uint32_t)topic, (uint32_t)(len - CHASKI_FRAME_HEADER - topic));
  for (size_t i = CHASKI_FRAME_HEADER; i < len; i++) p[i] = next++;
}

static chaski__span take_frame(size_t len) {
  chaski__span s;
  assert_true(chaski__arena_take(&arena, len, &s));
  write_frame(chaski__span_bytes(&s), len);
  return s;
}

static void drop(const chaski__span *s) {
  chaski__block_release(&arena, s->block);
}

static void add_span(const chaski__span *s) {
  assert_true(chaski__outbox_append(&box, &arena, s));
}

static void add(size_t len) {
  chaski__span s = take_frame(len);
  add_span(&s);
  drop(&s);
}

/* A frame with a gap behind it: the next one cannot be its neighbour. */
static void add_apart(size_t len) {
  chaski__span gap;
  add(len);
  assert_true(chaski__arena_take(&arena, 1, &gap));
  drop(&gap);
}

static size_t slices_of(size_t *total) {
  chaski_slice slices[SLICES];
  return chaski__outbox_peek(&box, slices, SLICES, total);
}

static void consume(size_t n) {
  chaski__outbox_consume(&box, &arena, n);
}

static void is_empty(void) {
  size_t total;
  assert_int_equal(slices_of(&total), 0);
  assert_int_equal(total, 0);
  assert_true(box.bytes == 0 && box.frames == 0 && box.count == 0 && box.borrowed == 0 && box.front_rest == 0);
  assert_null(box.tail);
  assert_null(box.spans);
}

/* --- spans -------------------------------------------------------------------------------------------------- */
static void an_empty_box_holds_nothing(void **state) {
  (void)state;
  is_empty();
  consume(0);
  is_empty();
}

static void neighbours_in_a_block_are_one_slice(void **state) {
  (void)state;
  size_t total;
  for (int i = 0; i < 100; i++) add(20);
  assert_int_equal(slices_of(&total), 1);
  assert_int_equal(total, 2000);
  assert_int_equal(box.frames, 100);
  assert_int_equal(chaski_alloc_blocks(), 2); /* the block, and room for spans */
  consume(2000);
  is_empty();
}

static void frames_apart_are_slices_apart(void **state) {
  (void)state;
  size_t total;
  for (int i = 0; i < 10; i++) add_apart(20);
  assert_int_equal(slices_of(&total), 10);
  assert_int_equal(total, 200);
}

static void the_same_frame_twice_is_two_slices(void **state) {
  (void)state;
  size_t total;
  chaski__span s = take_frame(30);
  add_span(&s);
  add_span(&s);
  drop(&s);
  assert_int_equal(slices_of(&total), 2);
  assert_int_equal(box.frames, 2);
}

static void a_block_is_held_until_its_last_byte_has_gone(void **state) {
  (void)state;
  chaski__span big = take_frame(CHASKI_BLOCK_SIZE);
  add_span(&big);
  drop(&big);
  assert_int_equal(chaski_alloc_blocks(), 2);
  add(10);
  consume(CHASKI_BLOCK_SIZE - 1);
  assert_int_equal(big.block->refs, 1);
  size_t spares = arena.spares;
  consume(1);
  assert_int_equal(arena.spares, spares + 1); /* handed back */
  assert_int_equal(box.bytes, 10);
}

static void peeking_gives_no_more_slices_than_there_is_room_for(void **state) {
  (void)state;
  chaski_slice slices[3];
  size_t total;
  for (int i = 0; i < 10; i++) add_apart(20);
  assert_int_equal(chaski__outbox_peek(&box, slices, 3, &total), 3);
  assert_int_equal(total, 60);
}

static void what_is_borrowed_is_not_offered_again(void **state) {
  (void)state;
  chaski_slice slices[SLICES];
  size_t total;
  for (int i = 0; i < 3; i++) add_apart(20);
  static const size_t counts[] = {3, 3, 2, 2, 1, 0}, borrowed[] = {0, 19, 20, 39, 40, 60};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    box.borrowed = borrowed[i];
    assert_int_equal(chaski__outbox_peek(&box, slices, SLICES, &total), counts[i]);
    assert_int_equal(total, 60 - borrowed[i]);
  }
  box.borrowed = 40;
  consume(25);
  assert_int_equal(box.borrowed, 15);
  add(20);
  assert_int_equal(slices_of(&total), 2);
  assert_int_equal(total, 40);
}

/* --- copies ------------------------------------------------------------------------------------------------- */
static void beyond_so_many_spans_small_frames_are_copied(void **state) {
  (void)state;
  for (int i = 0; i < CHASKI_OUTBOX_SHARED; i++) add_apart(20);
  assert_null(box.tail);
  chaski__span s = take_frame(20);
  size_t refs = s.block->refs;
  add_span(&s);
  assert_int_equal(s.block->refs, refs); /* not held by the box */
  assert_non_null(box.tail);
  for (int i = 0; i < 100; i++) add_span(&s);
  assert_int_equal(box.count, CHASKI_OUTBOX_SHARED + 1); /* copies are neighbours */
  drop(&s);
  assert_int_equal(box.frames, CHASKI_OUTBOX_SHARED + 101);
}

static void large_frames_are_shared_however_many_spans_there_are(void **state) {
  (void)state;
  for (int i = 0; i < 2 * CHASKI_OUTBOX_SHARED; i++) {
    chaski__span s = take_frame(CHASKI_OUTBOX_COPY + 1), gap;
    add_span(&s);
    drop(&s);
    assert_true(chaski__arena_take(&arena, 1, &gap));
    drop(&gap);
  }
  assert_null(box.tail);
  assert_int_equal(box.count, 2 * CHASKI_OUTBOX_SHARED);
}

static void a_slow_edge_pins_few_blocks(void **state) {
  (void)state;
  /* each block of the arena has one small frame for this box, the rest is for others */
  enum { FRAMES = 1000 };
  for (int i = 0; i < FRAMES; i++) {
    add(100);
    chaski__span rest;
    while (arena.current->cap - arena.current->used >= 30000) {
      assert_true(chaski__arena_take(&arena, 30000, &rest));
      drop(&rest);
    }
    assert_true(chaski__arena_take(&arena, arena.current->cap - arena.current->used, &rest));
    drop(&rest);
  }
  assert_int_equal(box.bytes, 100 * FRAMES);
  assert_int_equal(box.frames, FRAMES);
  size_t copies = FRAMES * 100 / (4 * CHASKI_OUTBOX_COPY) + 2, spans = 1, spares = CHASKI_SPARE_BLOCKS;
  assert_true(chaski_alloc_blocks() <= CHASKI_OUTBOX_SHARED + copies + spans + spares + 1);
  consume(100 * FRAMES);
  is_empty();
}

/* --- frames ------------------------------------------------------------------------------------------------- */
static void frames_are_counted_to_the_byte(void **state) {
  (void)state;
  for (int i = 0; i < 5; i++) add(10);
  for (size_t gone = 0; gone < 50; gone++) {
    assert_int_equal(box.frames, 5 - gone / 10);
    assert_int_equal(box.front_rest, gone % 10 ? 10 - gone % 10 : 0);
    consume(1);
  }
  is_empty();
}

static void frames_of_nothing_but_a_header_count(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) add(CHASKI_FRAME_HEADER);
  consume(9);
  assert_int_equal(box.frames, 2);
  assert_int_equal(box.front_rest, 7);
}

/* --- the oracle --------------------------------------------------------------------------------------------- */
enum { MODEL = 1 << 23 };
static uint8_t model[MODEL];               /* every byte ever queued */
static size_t ends[MODEL / 8];             /* where each frame ends in it */
static size_t queued, gone, frames, first; /* bytes, bytes, frames queued, first not wholly gone */

static void check_against_model(void) {
  chaski_slice slices[SLICES];
  size_t total, max = 1 + draw(SLICES), n = chaski__outbox_peek(&box, slices, max, &total), at = gone + box.borrowed;
  while (first < frames && ends[first] <= gone) first++;
  assert_int_equal(box.bytes, queued - gone);
  assert_int_equal(box.frames, frames - first);
  size_t front = first ? ends[first - 1] : 0;
  assert_int_equal(box.front_rest, gone > front ? ends[first] - gone : 0);
  for (size_t i = 0; i < n; i++) {
    assert_true(slices[i].len > 0);
    assert_memory_equal(slices[i].ptr, model + at, slices[i].len);
    at += slices[i].len;
    total -= slices[i].len;
  }
  assert_int_equal(total, 0);
  assert_true(n == max || at == queued);
}

static void queue_one(void) {
  size_t len = CHASKI_FRAME_HEADER + (draw(100) ? draw(300) : draw(2) ? draw(2 * CHASKI_OUTBOX_COPY) : draw(70000));
  if (queued + len > MODEL) return;
  chaski__span s = take_frame(len), gap;
  memcpy(model + queued, chaski__span_bytes(&s), len);
  if (!draw(10)) allow_allocations(draw(2));
  bool taken = chaski__outbox_append(&box, &arena, &s);
  allow_all_allocations();
  drop(&s);
  if (draw(3) == 0 && chaski__arena_take(&arena, 1 + draw(500), &gap)) drop(&gap);
  if (!taken) return;
  queued += len;
  ends[frames++] = queued;
}

static void agrees_with_an_oracle_whatever_is_done(void **state) {
  (void)state;
  queued = gone = frames = first = 0;
  for (int round = 0; round < 40000; round++) {
    size_t phase = (size_t)(round / 500) % 4; /* it fills, drains, and stays about empty */
    if (draw(4) < (phase == 1 ? 1 : 3)) queue_one();
    if (draw(4) < (phase == 0 ? 1 : 3)) {
      size_t left = queued - gone, n = phase == 3 ? left : draw(1 + (draw(3) ? left / 8 : left));
      if (draw(2) && box.borrowed) n = box.borrowed;
      consume(n);
      gone += n;
      if (!box.borrowed && draw(3) == 0) box.borrowed = draw(queued - gone + 1);
    }
    check_against_model();
  }
  assert_true(frames > 10000);
  consume(queued - gone);
  is_empty();
}

/* --- the sieve ---------------------------------------------------------------------------------------------- */
typedef struct choice {
  size_t at, asked, kept;
  const uint8_t *bytes[64]; /* of those that were kept */
} choice;

static bool every_third_goes(void *ctx, chaski_slice frame) {
  choice *c = ctx;
  c->asked++;
  if (c->at++ % 3 == 0) return false;
  c->bytes[c->kept++] = frame.ptr;
  return true;
}

static void no_frame(void *ctx, chaski_slice frame) {
  (void)frame;
  ++*(size_t *)ctx;
}

/* 30 frames of 20 bytes, in one block or apart; of the first 5 something is with the transport. */
static void sieved(bool apart, size_t consumed, size_t borrowed) {
  choice c = {0};
  chaski__outbox to;
  for (int i = 0; i < 30; i++) apart ? add_apart(20) : add(20);
  consume(consumed);
  box.borrowed = borrowed;
  size_t bytes = box.bytes, fresh = 0;
  assert_true(chaski__outbox_sieve(&box, &to, &arena, every_third_goes, &c));
  assert_int_equal(c.asked, 25);
  assert_int_equal(c.kept, 16);
  assert_int_equal(box.frames, 30 - consumed / 20); /* untouched */
  chaski__outbox_replace(&box, &arena, &to);
  assert_int_equal(box.bytes, bytes - 9 * 20);
  assert_int_equal(box.frames, 30 - consumed / 20 - 9);
  assert_int_equal(box.borrowed, borrowed);
  chaski__outbox_fresh(&box, no_frame, &fresh);
  assert_int_equal(fresh, 16);
  add(20);
  consume(borrowed);
  for (size_t i = 0; i < 16; i++) {
    chaski_slice front;
    size_t total;
    assert_true(chaski__outbox_peek(&box, &front, 1, &total) > 0);
    assert_ptr_equal(front.ptr, c.bytes[i]);
    consume(20);
  }
  consume(20);
  is_empty();
}

static void a_sieve_takes_out_of_the_middle_what_nobody_else_has_begun(void **state) {
  (void)state;
  for (int apart = 0; apart < 2; apart++) {
    sieved(apart, 0, 100);
    sieved(apart, 40, 60);
    sieved(apart, 45, 55);
  }
}

static bool nothing_stays(void *ctx, chaski_slice frame) {
  (void)ctx, (void)frame;
  return false;
}

static void a_sieve_that_nothing_passes_leaves_an_empty_box(void **state) {
  (void)state;
  chaski__outbox to;
  for (int i = 0; i < 100; i++) add_apart(20); /* copies among them */
  assert_true(chaski__outbox_sieve(&box, &to, &arena, nothing_stays, NULL));
  chaski__outbox_replace(&box, &arena, &to);
  is_empty();
}

static void a_sieve_without_memory_changes_nothing(void **state) {
  (void)state;
  choice c = {0};
  chaski__outbox to;
  for (int i = 0; i < 30; i++) add_apart(20);
  allow_allocations(0);
  assert_false(chaski__outbox_sieve(&box, &to, &arena, every_third_goes, &c));
  allow_all_allocations();
  assert_int_equal(to.bytes, 0);
  assert_int_equal(box.frames, 30);
  assert_int_equal(box.bytes, 600);
}

/* Who holds what: bytes of blocks in use. */
static void the_arena_knows_what_is_held(void **state) {
  (void)state;
  assert_int_equal(arena.held, 0);
  add(20);
  assert_int_equal(arena.held, CHASKI_BLOCK_SIZE);
  add(20);
  assert_int_equal(arena.held, CHASKI_BLOCK_SIZE);
  add(200000);
  assert_int_equal(arena.held, CHASKI_BLOCK_SIZE + 200000);
  consume(200040);
  assert_int_equal(arena.held, CHASKI_BLOCK_SIZE); /* being filled */
  chaski__arena_free(&arena);
  assert_int_equal(arena.held, 0);
}

/* --- blocks that are used again ----------------------------------------------------------------------------- */
static const chaski__block *block_of(size_t len) {
  chaski__span s = take_frame(len);
  const chaski__block *block = s.block;
  assert_int_equal(block->cap, len);
  assert_int_equal(block->used, len);
  drop(&s);
  return block;
}

static void the_block_of_a_large_frame_is_used_again(void **state) {
  (void)state;
  const chaski__block *block = block_of(65700);
  allow_allocations(0);
  assert_ptr_equal(block_of(65700), block);
  assert_ptr_equal(block_of(65701), block); /* a little more */
  assert_ptr_equal(block_of(63000), block); /* and a little less */
  assert_ptr_equal(block_of(65700), block);
}

static void a_block_is_not_used_for_much_less_than_it_holds(void **state) {
  (void)state;
  const chaski__block *large = block_of(500000);
  assert_ptr_not_equal(block_of(100000), large);
  assert_ptr_equal(block_of(500000), large);
  assert_int_equal(arena.spares, 2);
}

static void small_private_blocks_are_not_kept(void **state) {
  (void)state;
  chaski__block_release(&arena, chaski__block_new(&arena, CHASKI_OUTBOX_TAIL));
  assert_int_equal(arena.spares, 0);
}

static void what_is_kept_has_a_bound_and_the_oldest_goes(void **state) {
  (void)state;
  for (size_t len = 40000; len < 900000; len += len / 4) block_of(len);
  assert_true(arena.spare_bytes <= CHASKI_SPARE_BYTES);
  const chaski__block *last = block_of(900000);
  assert_true(arena.spare_bytes <= CHASKI_SPARE_BYTES);
  assert_ptr_equal(block_of(900000), last);
  block_of(2 * CHASKI_SPARE_BYTES);
  assert_ptr_equal(block_of(900000), last);
  chaski__arena_free(&arena);
  assert_int_equal(arena.spare_bytes, 0);
}

static void no_more_blocks_are_kept_than_there_is_room_for(void **state) {
  (void)state;
  chaski__span spans[2 * CHASKI_SPARE_BLOCKS];
  for (size_t i = 0; i < 2 * CHASKI_SPARE_BLOCKS; i++) spans[i] = take_frame(40000);
  for (size_t i = 0; i < 2 * CHASKI_SPARE_BLOCKS; i++) drop(&spans[i]);
  assert_int_equal(arena.spares, CHASKI_SPARE_BLOCKS);
  assert_int_equal(arena.held, 0);
  allow_allocations(0);
  for (size_t i = 0; i < CHASKI_SPARE_BLOCKS; i++) spans[i] = take_frame(40000);
  for (size_t i = 0; i < CHASKI_SPARE_BLOCKS; i++) drop(&spans[i]);
}

/* --- no memory ---------------------------------------------------------------------------------------------- */
static void without_memory_nothing_changes(void **state) {
  (void)state;
  for (int i = 0; i < CHASKI_OUTBOX_FIRST; i++) add_apart(20);
  chaski__span s = take_frame(20);
  size_t total, refs = s.block->refs;
  allow_allocations(0);
  assert_false(chaski__outbox_append(&box, &arena, &s));
  allow_all_allocations();
  assert_int_equal(s.block->refs, refs);
  assert_int_equal(box.frames, CHASKI_OUTBOX_FIRST);
  assert_int_equal(slices_of(&total), CHASKI_OUTBOX_FIRST);
  add_span(&s);
  assert_int_equal(slices_of(&total), CHASKI_OUTBOX_FIRST + 1);
  drop(&s);
}

static void a_copy_that_finds_no_memory_changes_nothing(void **state) {
  (void)state;
  for (int i = 0; i < CHASKI_OUTBOX_SHARED; i++) add_apart(20);
  chaski__span s = take_frame(20);
  for (size_t n = 0;; n++) {
    allow_allocations(n);
    bool taken = chaski__outbox_append(&box, &arena, &s);
    allow_all_allocations();
    assert_int_equal(box.bytes, 20 * (CHASKI_OUTBOX_SHARED + (taken ? 1 : 0)));
    assert_int_equal(box.frames, CHASKI_OUTBOX_SHARED + (taken ? 1 : 0));
    if (taken) break;
  }
  drop(&s);
}

static void a_full_box_is_dropped_whole(void **state) {
  (void)state;
  for (int i = 0; i < 200; i++) add_apart(20 + (size_t)i * 50);
  consume(777);
  chaski__outbox_free(&box, &arena);
  is_empty();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(an_empty_box_holds_nothing),
      TEST(neighbours_in_a_block_are_one_slice),
      TEST(frames_apart_are_slices_apart),
      TEST(the_same_frame_twice_is_two_slices),
      TEST(a_block_is_held_until_its_last_byte_has_gone),
      TEST(peeking_gives_no_more_slices_than_there_is_room_for),
      TEST(what_is_borrowed_is_not_offered_again),
      TEST(beyond_so_many_spans_small_frames_are_copied),
      TEST(large_frames_are_shared_however_many_spans_there_are),
      TEST(a_slow_edge_pins_few_blocks),
      TEST(frames_are_counted_to_the_byte),
      TEST(frames_of_nothing_but_a_header_count),
      TEST(agrees_with_an_oracle_whatever_is_done),
      TEST(a_sieve_takes_out_of_the_middle_what_nobody_else_has_begun),
      TEST(a_sieve_that_nothing_passes_leaves_an_empty_box),
      TEST(a_sieve_without_memory_changes_nothing),
      TEST(the_arena_knows_what_is_held),
      TEST(the_block_of_a_large_frame_is_used_again),
      TEST(a_block_is_not_used_for_much_less_than_it_holds),
      TEST(small_private_blocks_are_not_kept),
      TEST(what_is_kept_has_a_bound_and_the_oldest_goes),
      TEST(no_more_blocks_are_kept_than_there_is_room_for),
      TEST(without_memory_nothing_changes),
      TEST(a_copy_that_finds_no_memory_changes_nothing),
      TEST(a_full_box_is_dropped_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
