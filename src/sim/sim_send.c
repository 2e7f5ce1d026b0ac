/* sim_send.c: the sending half of simulated streams: bytes become segments in the peer's inbox, with an hour of
 * arrival, as far as the window has room; the rest stays the caller's.
 * SPDX-License-Identifier: MIT */
#include "sim_internal.h"

#include "../core/alloc.h"

#define PIECES_PER_S 10 /* under bytes_per_s no segment is longer than its tenth: a trickle, no bursts */

/* When `len` bytes sent now arrive: after what was sent before. */
static uint64_t arrival(chaski_stream *s, const chaski_sim_link *link, size_t len) {
  if (s->wire_free < s->sim->now) s->wire_free = s->sim->now;
  if (link->bytes_per_s) s->wire_free += (uint64_t)((double)len * 1e9 / (double)link->bytes_per_s);
  uint64_t at = s->wire_free + chaski__sim_delay(s->sim, link);
  if (at < s->peer->last_at) at = s->peer->last_at;
  s->peer->last_at = at;
  return at;
}

static void copy_out(sim_rest *from, uint8_t *to, size_t len) {
  while (len > 0) {
    size_t n = from->next->len - from->off;
    if (n > len) n = len;
    memcpy(to, from->next->ptr + from->off, n);
    to += n;
    len -= n;
    from->left -= n;
    from->off += n;
    if (from->off < from->next->len) continue;
    from->next++;
    from->off = 0;
  }
}

static int push_segment(chaski_stream *s, const chaski_sim_link *link, sim_rest *from, size_t len) {
  sim_segment *segment = chaski__malloc(sizeof *segment + len);
  if (!segment) return CHASKI_ENOMEM;
  segment->next = NULL;
  segment->len = len;
  segment->off = 0;
  segment->at = arrival(s, link, len);
  copy_out(from, segment->bytes, len);
  if (s->peer->tail)
    s->peer->tail->next = segment;
  else
    s->peer->head = segment;
  s->peer->tail = segment;
  s->peer->inbox += len;
  return CHASKI_OK;
}

static size_t room(const chaski_stream *s, const chaski_sim_link *link) {
  size_t window = chaski__sim_window(link);
  return window > s->peer->inbox ? window - s->peer->inbox : 0;
}

static size_t largest_segment(const chaski_sim_link *link) {
  if (!link->bytes_per_s) return SIZE_MAX;
  uint64_t n = link->bytes_per_s / PIECES_PER_S;
  return n > SIZE_MAX ? SIZE_MAX : n ? (size_t)n : 1;
}

/* Take from the cursor what the window has room for. */
static int push(chaski_stream *s, sim_rest *from) {
  const chaski_sim_link *link = chaski__sim_link(s->sim, s->host, s->remote);
  size_t max = largest_segment(link);
  int rc = CHASKI_OK;
  while (!rc && from->left > 0) {
    size_t n = room(s, link);
    if (n == 0) break;
    if (n > from->left) n = from->left;
    rc = push_segment(s, link, from, n > max ? max : n);
  }
  chaski__sim_stream_arm(s->peer);
  return rc;
}

static bool reaches(const chaski_stream *s) {
  return s->peer && !s->peer->closing && !s->peer->dead;
}

/* The peer is gone, which this end does not know yet: bytes go nowhere and a reset comes back. */
static void into_the_void(chaski_stream *s) {
  if (s->rst.where != SIM_IDLE) return;
  chaski__sim_send_reset(s, s->sim->now + 2 * chaski__sim_link(s->sim, s->host, s->remote)->delay_ns);
}

/* Out of memory is the sender's: its stream dies, the peer sees a reset. */
static int fail_here(chaski_stream *s) {
  if (reaches(s)) {
    chaski__sim_send_reset(s->peer, s->sim->now + chaski__sim_link(s->sim, s->host, s->remote)->delay_ns);
  }
  chaski__sim_stream_die(s, CHASKI_ENOMEM, true);
  return CHASKI_ENOMEM;
}

static int borrow(chaski_stream *s, const sim_rest *rest, size_t n) {
  sim_rest *r = &s->rest;
  r->array = chaski__malloc(n * sizeof *r->array);
  if (!r->array) return CHASKI_ENOMEM;
  memcpy(r->array, rest->next, n * sizeof *r->array);
  r->next = r->array;
  r->off = rest->off;
  r->left = rest->left;
  s->borrowing = true;
  return CHASKI_OK;
}

int64_t chaski__sim_stream_write(chaski_stream *s, const chaski_slice *slices, size_t n) {
  chaski__sim_demand(s->state == SIM_OPEN && !s->shut && !s->closing,
                     "write() is for connected streams, not shut down");
  chaski__sim_demand(!s->borrowing, "no write() while the rest of another is borrowed");
  chaski__sim_demand(n > 0, "write() gets at least one slice");
  sim_rest from = {.next = slices};
  for (size_t i = 0; i < n; i++) {
    chaski__sim_demand(slices[i].len > 0, "no slice of a write() is empty");
    from.left += slices[i].len;
  }
  if (s->dead) return s->dead;
  size_t total = from.left;
  if (!reaches(s)) {
    into_the_void(s);
    return (int64_t)total;
  }
  int rc = push(s, &from);
  if (!rc && from.left > 0) rc = borrow(s, &from, n - (size_t)(from.next - slices));
  return rc ? fail_here(s) : (int64_t)(total - from.left);
}

/* `written` comes as an event of its own. */
static void release_rest(chaski_stream *s, int status) {
  chaski__free(s->rest.array);
  s->rest = (sim_rest){0};
  s->out_status = status;
  chaski__sim_schedule(s->sim, &s->out, s->sim->now);
}

/* Not for every byte read: a sender that waits gets half a window at a time (RFC 1122 4.2.3.4, the silly window). */
void chaski__sim_send_more(chaski_stream *s) {
  if (!s->rest.array || s->closing || s->dead || !reaches(s)) return;
  const chaski_sim_link *link = chaski__sim_link(s->sim, s->host, s->remote);
  size_t n = room(s, link);
  if (n < s->rest.left && n < (chaski__sim_window(link) + 1) / 2) return;
  if (push(s, &s->rest)) {
    fail_here(s);
    return;
  }
  if (s->rest.left > 0) return;
  release_rest(s, CHASKI_OK);
  if (s->shut) chaski__sim_send_end(s);
}

void chaski__sim_send_fail(chaski_stream *s, int code) {
  if (s->rest.array) release_rest(s, code);
}

void chaski__sim_written(void *owner) {
  chaski_stream *s = owner;
  s->borrowing = false;
  chaski__sim_enter(s->sim, s->host, 'w', s->id, s->out_status);
  s->events->written(s->user, s->out_status);
}

void chaski__sim_stream_shutdown(chaski_stream *s) {
  chaski__sim_demand(s->state == SIM_OPEN && !s->shut && !s->closing, "shutdown() is for connected streams, once");
  s->shut = true;
  if (!s->dead && !s->rest.array) chaski__sim_send_end(s);
}

void chaski__sim_send_end(chaski_stream *s) {
  if (!reaches(s)) return;
  s->peer->fin_at = arrival(s, chaski__sim_link(s->sim, s->host, s->remote), 0);
  chaski__sim_stream_arm(s->peer);
}

void chaski__sim_send_reset(chaski_stream *to, uint64_t at) {
  if (to->dead || to->closing) return;
  chaski__sim_schedule(to->sim, &to->rst, at < to->last_at ? to->last_at : at);
}
