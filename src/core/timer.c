/* timer.c: the loop's timers, an intrusive pairing heap (Fredman, Sedgewick, Sleator, Tarjan: The pairing heap, 1986).
 * No allocation, so starting a timer cannot fail.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

static bool before(const chaski_timer *a, const chaski_timer *b) {
  return a->due != b->due ? a->due < b->due : a->order < b->order;
}

/* Make one tree of two roots (either may be NULL): the later becomes the first child of the earlier. */
static chaski_timer *meld(chaski_timer *a, chaski_timer *b) {
  if (!a || !b) return a ? a : b;
  if (before(b, a)) {
    chaski_timer *t = a;
    a = b;
    b = t;
  }
  b->prev = a;
  b->next = a->child;
  if (a->child) a->child->prev = b;
  a->child = b;
  return a;
}

static chaski_timer *detach(chaski_timer *t) {
  t->next = t->prev = NULL;
  return t;
}

/* Meld siblings in pairs from left to right, then the pairs from right to left (two passes, no recursion). */
static chaski_timer *meld_siblings(chaski_timer *t) {
  chaski_timer *pairs = NULL, *root = NULL;
  while (t) {
    chaski_timer *a = t, *b = t->next;
    t = b ? b->next : NULL;
    chaski_timer *pair = meld(detach(a), b ? detach(b) : NULL);
    pair->next = pairs;
    pairs = pair;
  }
  while (pairs) {
    chaski_timer *next = pairs->next;
    root = meld(detach(pairs), root);
    pairs = next;
  }
  return root;
}

static void take_out(chaski_loop *loop, chaski_timer *t) {
  chaski_timer *rest = meld_siblings(t->child);
  t->child = NULL;
  if (t == loop->timers) {
    loop->timers = rest;
  } else {
    if (t->prev->child == t)
      t->prev->child = t->next;
    else
      t->prev->next = t->next;
    if (t->next) t->next->prev = t->prev;
    loop->timers = meld(loop->timers, rest);
  }
  detach(t);
  t->due = 0;
}

static void set_alarm(chaski_loop *loop) {
  uint64_t due = loop->timers ? loop->timers->due : UINT64_MAX;
  if (due == loop->alarm || loop->expiring) return;
  loop->alarm = due;
  loop->env.alarm(loop->env.ctx, due);
}

void chaski_timer_init(chaski_timer *t, void (*fn)(chaski_timer *t)) {
  *t = (chaski_timer){.fn = fn};
}

bool chaski_timer_active(const chaski_timer *t) {
  return t->due != 0;
}

void chaski_timer_start(chaski_loop *loop, chaski_timer *t, uint64_t delay) {
  if (t->due) take_out(loop, t);
  uint64_t now = loop->env.now(loop->env.ctx);
  t->due = delay < UINT64_MAX - 1 - now ? now + delay : UINT64_MAX - 1;
  t->order = loop->order++;
  loop->timers = meld(loop->timers, t);
  set_alarm(loop);
}

void chaski_timer_stop(chaski_loop *loop, chaski_timer *t) {
  if (!t->due) return;
  take_out(loop, t);
  set_alarm(loop);
}

static void note_lag(chaski_loop *loop) {
  uint64_t due = loop->timers ? loop->timers->due : 0;
  if (!due || loop->now <= due + CHASKI_MS) return;
  for (chaski_node *node = loop->list; node; node = node->next)
    if (loop->now > due + node->limits.loop_lag) CHASKI__HIT(node, loop_lag);
}

void chaski_loop_expire(chaski_loop *loop) {
  chaski__loop_touch(loop);
  note_lag(loop);
  uint64_t limit = loop->order; /* what is started from here on waits for the next turn */
  loop->expiring = true;
  while (loop->timers && loop->timers->due <= loop->now && loop->timers->order < limit) {
    chaski_timer *t = loop->timers;
    take_out(loop, t);
    t->fn(t);
  }
  loop->expiring = false;
  loop->alarm = 0; /* it has rung: whatever is next must be asked for again */
  set_alarm(loop);
}
