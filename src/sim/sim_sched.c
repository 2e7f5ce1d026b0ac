/* sim_sched.c: the order of events. A pairing heap of events that live inside their owners: no memory is needed to
 * schedule, so nothing here can fail. Knows nothing of what the events mean.
 * SPDX-License-Identifier: MIT */
#include "sim_internal.h"

static bool before(const sim_event *a, const sim_event *b) {
  return a->due != b->due ? a->due < b->due : a->seq < b->seq;
}

static sim_event *meld(sim_event *a, sim_event *b) {
  if (!a || !b) return a ? a : b;
  if (before(b, a)) {
    sim_event *swap = a;
    a = b;
    b = swap;
  }
  b->prev = a;
  b->next = a->child;
  if (b->next) b->next->prev = b;
  a->child = b;
  a->next = a->prev = NULL;
  return a;
}

static sim_event *detach(sim_event **list) {
  sim_event *e = *list;
  if (!e) return NULL;
  *list = e->next;
  e->next = e->prev = NULL;
  return e;
}

/* The two passes of a pairing heap, without recursion. */
static sim_event *meld_all(sim_event *list) {
  sim_event *pairs = NULL, *root = NULL;
  while (list) {
    sim_event *a = detach(&list);
    sim_event *pair = meld(a, detach(&list));
    pair->next = pairs;
    pairs = pair;
  }
  while (pairs) root = meld(root, detach(&pairs));
  return root;
}

static void dequeue(chaski_sim *sim, sim_event *e) {
  sim_event *children = meld_all(e->child);
  if (e == sim->heap) {
    sim->heap = children;
  } else {
    if (e->prev->child == e)
      e->prev->child = e->next;
    else
      e->prev->next = e->next;
    if (e->next) e->next->prev = e->prev;
    sim->heap = meld(sim->heap, children);
  }
  e->child = e->next = e->prev = NULL;
}

static void unhold(chaski_sim *sim, sim_event *e) {
  if (e->prev)
    e->prev->next = e->next;
  else
    sim->held_first = e->next;
  if (e->next)
    e->next->prev = e->prev;
  else
    sim->held_last = e->prev;
  e->next = e->prev = NULL;
}

void chaski__sim_event_init(sim_event *event, void (*run)(void *), void *owner) {
  *event = (sim_event){.run = run, .owner = owner};
}

void chaski__sim_cancel(chaski_sim *sim, sim_event *event) {
  if (event->where == SIM_QUEUED) dequeue(sim, event);
  if (event->where == SIM_HELD) unhold(sim, event);
  event->where = SIM_IDLE;
}

void chaski__sim_schedule(chaski_sim *sim, sim_event *event, uint64_t due) {
  chaski__sim_cancel(sim, event);
  event->due = due < sim->now ? sim->now : due;
  event->seq = sim->seq++;
  event->where = SIM_QUEUED;
  sim->heap = meld(sim->heap, event);
}

void chaski__sim_hold(chaski_sim *sim, sim_event *event) {
  chaski__sim_cancel(sim, event);
  event->where = SIM_HELD;
  event->prev = sim->held_last;
  if (event->prev)
    event->prev->next = event;
  else
    sim->held_first = event;
  sim->held_last = event;
}

void chaski__sim_release(chaski_sim *sim) {
  while (sim->held_first) chaski__sim_schedule(sim, sim->held_first, sim->now);
}

static void flush(chaski_sim *sim) {
  sim->ran = false;
  if (!sim->flush) return;
  sim->stepping = true;
  sim->flush(sim->hook_user);
  sim->stepping = false;
}

/* Run the first event that is due by limit. */
static bool step(chaski_sim *sim, uint64_t limit) {
  chaski__sim_demand(!sim->stepping, "the simulation is not stepped from inside an upcall or a hook");
  flush(sim);
  sim_event *e = sim->heap;
  if (!e || e->due > limit) return false;
  chaski__sim_cancel(sim, e);
  sim->now = e->due;
  sim_host *acting = sim->acting;
  sim->stepping = true;
  e->run(e->owner);
  sim->stepping = false;
  sim->acting = acting;
  if (sim->ran) flush(sim);
  return true;
}

bool chaski_sim_step(chaski_sim *sim) {
  return step(sim, UINT64_MAX);
}

int chaski_sim_run(chaski_sim *sim, bool (*until)(void *), void *arg, uint64_t max_ns) {
  uint64_t end = max_ns > UINT64_MAX - sim->now ? UINT64_MAX : sim->now + max_ns;
  for (;;) {
    if (until && until(arg)) return CHASKI_OK;
    if (!step(sim, end)) break;
  }
  if (until && until(arg)) return CHASKI_OK; /* what the last flush did */
  if (end != UINT64_MAX) sim->now = end;
  return CHASKI_ETIMEOUT;
}
