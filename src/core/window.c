/* window.c: see window.h. SPDX-License-Identifier: MIT */
#include "window.h"

#include "alloc.h"

#include <string.h>

#define SMALL_WORDS (CHASKI__WINDOW_SMALL / 64)
#define HALF (CHASKI_WINDOW / 2)
#define NONE UINT64_MAX /* no number is remembered elsewhere */

_Static_assert((CHASKI_WINDOW & (CHASKI_WINDOW - 1)) == 0, "the ring of words is masked");
_Static_assert(CHASKI_WINDOW_STEP <= HALF, "raise() moves less than a window");

static uint64_t min64(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

static uint64_t max64(uint64_t a, uint64_t b) {
  return a > b ? a : b;
}

static uint64_t below(uint64_t seq, uint64_t distance) {
  return seq > distance ? seq - distance : 0;
}

static uint64_t floor_of(const chaski__window *w) {
  return max64(w->floor, below(w->next, CHASKI_WINDOW));
}

static uint64_t *word_of(const chaski__window *w, uint64_t index) {
  return &w->words[index & w->word_mask];
}

static bool bit_of(const chaski__window *w, uint64_t seq) {
  return *word_of(w, seq >> 6) >> (seq & 63) & 1;
}

static void set_bit(chaski__window *w, uint64_t seq) {
  *word_of(w, seq >> 6) |= UINT64_C(1) << (seq & 63);
}

/* The bits of the index-th word that stand for numbers in [from, to); it has at least one. */
static uint64_t bits_within(uint64_t index, uint64_t from, uint64_t to) {
  uint64_t first = index << 6, skip = from > first ? from - first : 0, end = min64(to - first, 64);
  return ~UINT64_C(0) << skip & ~UINT64_C(0) >> (64 - end);
}

static void fill_bits(chaski__window *w, uint64_t from, uint64_t to) {
  for (uint64_t i = from >> 6; i << 6 < to; i++) *word_of(w, i) |= bits_within(i, from, to);
}

static void clear_bits(chaski__window *w, uint64_t from, uint64_t to) {
  for (uint64_t i = from >> 6; i << 6 < to; i++) *word_of(w, i) &= ~bits_within(i, from, to);
}

/* small is left zeroed, for when the window returns to it. */
static void take_words(chaski__window *w, uint64_t *words, size_t count) {
  if (w->words == w->small)
    memset(w->small, 0, sizeof w->small);
  else
    chaski__free(w->words);
  w->words = words;
  w->word_mask = (uint32_t)(count - 1);
}

static void restart(chaski__window *w, uint64_t seq) {
  take_words(w, w->small, SMALL_WORDS);
  w->floor = below(seq, HALF);
  w->start = seq;
  w->base = w->next = seq + 1;
  w->run = 0;
}

void chaski__window_init(chaski__window *w, uint64_t seq) {
  w->words = w->small;
  w->aside = NONE;
  w->aside_span = w->run_top = 0;
  restart(w, seq);
}

void chaski__window_free(chaski__window *w) {
  take_words(w, w->small, SMALL_WORDS);
}

size_t chaski__window_bytes(const chaski__window *w) {
  return w->words == w->small ? 0 : ((size_t)w->word_mask + 1) * sizeof *w->words;
}

/* Room for `span` numbers from base on (CHASKI_WINDOW at most), which may have moved down until then. */
static int reserve(chaski__window *w, uint64_t span) {
  size_t count = (size_t)w->word_mask + 1;
  if (span <= count * 64) return CHASKI_OK;
  while (span > count * 64) count *= 2;
  uint64_t *words = chaski__calloc(count, sizeof *words);
  if (!words) return CHASKI_ENOMEM;
  for (uint64_t i = w->base >> 6; i << 6 < w->next; i++)
    words[i & (count - 1)] |= *word_of(w, i) & bits_within(i, w->base, w->next);
  take_words(w, words, count);
  return CHASKI_OK;
}

/* Move base over the numbers seen without a gap; their bits go. */
static void advance(chaski__window *w) {
  while (w->base < w->next) {
    uint64_t *word = word_of(w, w->base >> 6), offset = w->base & 63, rest = ~(*word >> offset);
    uint64_t run = min64(min64(rest ? (uint64_t)__builtin_ctzll(rest) : 64, 64 - offset), w->next - w->base);
    if (run == 0) return;
    *word &= ~bits_within(w->base >> 6, w->base, w->base + run);
    w->base += run;
  }
  take_words(w, w->small, SMALL_WORDS); /* no gap is left: no bit either */
}

/* See seq >= next, less than HALF above it. What comes to lie below the window is forgotten. */
static int raise(chaski__window *w, uint64_t seq) {
  uint64_t base = max64(w->base, below(seq + 1, CHASKI_WINDOW));
  if (reserve(w, seq + 1 - base)) return CHASKI_ENOMEM;
  if (base > w->base) clear_bits(w, w->base, base);
  w->base = base;
  w->next = seq + 1;
  set_bit(w, seq);
  advance(w);
  return CHASKI_OK;
}

static int fill_gap(chaski__window *w, uint64_t seq) {
  set_bit(w, seq);
  if (seq == w->base) advance(w);
  return CHASKI_OK;
}

/* See seq in [floor, start): usually none of these comes any more, so they have no bits until one does. */
static int lower(chaski__window *w, uint64_t seq) {
  if (seq + 1 < w->start) {
    if (reserve(w, w->next - seq)) return CHASKI_ENOMEM;
    fill_bits(w, w->start, w->base);
    w->base = seq + 1;
  }
  w->start = seq;
  return CHASKI_OK;
}

int chaski__window_look(const chaski__window *w, uint64_t seq) {
  if (seq >= w->next) return seq - w->next < CHASKI_WINDOW_STEP ? CHASKI_NEW : CHASKI__AHEAD;
  if (seq < floor_of(w)) return CHASKI_STALE;
  if (seq >= w->base) return bit_of(w, seq) ? CHASKI_SEEN : CHASKI_NEW;
  return seq >= w->start ? CHASKI_SEEN : CHASKI_NEW;
}

static int see(chaski__window *w, uint64_t seq) {
  return seq >= w->next ? raise(w, seq) : seq >= w->base ? fill_gap(w, seq) : lower(w, seq);
}

int chaski__window_check(chaski__window *w, uint64_t seq) {
  int what = chaski__window_look(w, seq);
  if (what == CHASKI_STALE || what == CHASKI__AHEAD) return what;
  if (what == CHASKI_NEW && see(w, seq)) return CHASKI_ENOMEM;
  w->run = 0;
  return what;
}

static void put_aside(chaski__window *w, uint64_t seq) {
  uint64_t top = w->aside == NONE ? seq : max64(w->aside + w->aside_span, seq);
  w->aside = min64(w->aside, seq);
  w->aside_span = top - w->aside;
}

bool chaski__window_is_aside(chaski__window *w, uint64_t seq) {
  if (seq - w->aside > w->aside_span) return false;
  if (w->aside + w->aside_span >= floor_of(w)) return true;
  w->aside = NONE; /* all of them are stale: ask no more */
  w->aside_span = 0;
  return false;
}

/* Near enough, the numbers between stay open and what was seen stays known; else as an origin first seen there. */
static bool reanchor(chaski__window *w) {
  if (w->run_top - w->next >= HALF)
    restart(w, w->run_top);
  else if (raise(w, w->run_top))
    return false;
  w->run = 0;
  return true;
}

bool chaski__window_ahead(chaski__window *w, uint64_t seq) {
  put_aside(w, seq);
  uint64_t distance = seq > w->run_top ? seq - w->run_top : w->run_top - seq;
  bool goes_on = w->run > 0 && distance <= CHASKI_WINDOW_STEP;
  w->run_top = goes_on ? max64(w->run_top, seq) : seq;
  if (!goes_on) w->run = 0;
  return ++w->run >= CHASKI_REANCHOR && reanchor(w);
}
