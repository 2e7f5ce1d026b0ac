/* sim_stream.c: the receiving half of simulated streams, and their end. One event (`in`) per stream carries what comes
 * next to it: the answer to its dial, data, the end.
 * SPDX-License-Identifier: MIT */
#include "sim_internal.h"

#include "../core/alloc.h"

#include <stdio.h>

static void come_in(void *owner);
static void reset_arrives(void *owner);
static void closed(void *owner);

chaski_stream *chaski__sim_stream_new(chaski_sim *sim, sim_host *host, sim_host *remote) {
  chaski_stream *s = chaski__calloc(1, sizeof *s);
  if (!s) return NULL;
  s->sim = sim;
  s->host = host;
  s->remote = remote;
  s->id = sim->next_id++;
  chaski__sim_event_init(&s->in, come_in, s);
  chaski__sim_event_init(&s->out, chaski__sim_written, s);
  chaski__sim_event_init(&s->rst, reset_arrives, s);
  chaski__sim_event_init(&s->closed, closed, s);
  s->prev = sim->last;
  if (s->prev)
    s->prev->next = s;
  else
    sim->first = s;
  sim->last = s;
  sim->handles++;
  return s;
}

static void drop_inbox(chaski_stream *s) {
  while (s->head) {
    sim_segment *next = s->head->next;
    chaski__free(s->head);
    s->head = next;
  }
  s->tail = NULL;
  s->inbox = 0;
  s->drops++;
}

static void unlink_stream(chaski_stream *s) {
  if (s->prev)
    s->prev->next = s->next;
  else
    s->sim->first = s->next;
  if (s->next)
    s->next->prev = s->prev;
  else
    s->sim->last = s->prev;
}

void chaski__sim_stream_free(chaski_stream *s) {
  chaski__sim_cancel(s->sim, &s->in);
  chaski__sim_cancel(s->sim, &s->out);
  chaski__sim_cancel(s->sim, &s->rst);
  chaski__sim_cancel(s->sim, &s->closed);
  if (s->peer) s->peer->peer = NULL;
  unlink_stream(s);
  drop_inbox(s);
  chaski__free(s->rest.array);
  s->sim->handles--;
  chaski__free(s);
}

/* --- what comes next --- */

void chaski__sim_stream_arm(chaski_stream *s) {
  if (s->state != SIM_OPEN || s->closing) return;
  bool any = s->head || s->dead || s->fin_at;
  uint64_t due = s->head ? s->head->at : s->dead ? s->sim->now : s->fin_at;
  if (!any || s->paused || s->ended)
    chaski__sim_cancel(s->sim, &s->in);
  else if (s->in.where != SIM_QUEUED || s->in.due != due)
    chaski__sim_schedule(s->sim, &s->in, due);
}

static size_t piece_of(chaski_stream *s, const sim_segment *segment) {
  const chaski_sim_link *link = chaski__sim_link(s->sim, s->remote, s->host);
  size_t n = segment->len - segment->off;
  if (link->chunk_max) {
    size_t chunk = 1 + (size_t)(chaski__sim_random(&s->sim->links_random) % link->chunk_max);
    if (chunk < n) n = chunk;
  }
  return s->cutting && s->cut_left < n ? (size_t)s->cut_left : n;
}

static void put_back(chaski_stream *s, sim_segment *segment) {
  segment->next = s->head;
  s->head = segment;
  if (!s->tail) s->tail = segment;
}

/* The segment is out of the list during the upcall, which may throw the list away. */
static void data_arrives(chaski_stream *s) {
  sim_segment *segment = s->head;
  s->head = segment->next;
  if (!s->head) s->tail = NULL;
  size_t n = piece_of(s, segment);
  const uint8_t *bytes = segment->bytes + segment->off;
  unsigned drops = s->drops;
  segment->off += n;
  s->inbox -= n;
  s->cut_left -= s->cutting ? n : 0;
  if (s->peer) chaski__sim_send_more(s->peer);
  chaski__sim_enter(s->sim, s->host, 'd', s->id, (int64_t)n);
  chaski__sim_trace_bytes(s->sim, bytes, n);
  s->events->data(s->user, bytes, n);
  if (segment->off < segment->len && s->drops == drops)
    put_back(s, segment);
  else
    chaski__free(segment);
  if (!s->cutting || s->cut_left > 0) return;
  s->cutting = false;
  if (s->dead) drop_inbox(s);
  chaski_sim_cut(s->sim, s);
}

static void end_arrives(chaski_stream *s) {
  s->ended = true;
  chaski__sim_enter(s->sim, s->host, 'e', s->id, s->dead);
  s->events->end(s->user, s->dead);
}

static void come_in(void *owner) {
  chaski_stream *s = owner;
  if (s->state == SIM_DIALLING) {
    chaski__sim_knock(s);
    return;
  }
  if (s->state == SIM_ANSWERED) {
    chaski__sim_answered(s);
    return;
  }
  /* A reset that is known here needs no path any more, only a host that runs. */
  if (s->dead ? s->host->stalled : chaski__sim_blocked(s->host, s->remote)) {
    chaski__sim_hold(s->sim, &s->in);
    return;
  }
  if (s->head)
    data_arrives(s);
  else
    end_arrives(s);
  chaski__sim_stream_arm(s);
}

/* --- the end --- */

void chaski__sim_stream_die(chaski_stream *s, int code, bool drop) {
  if (s->dead || s->closing || s->state == SIM_FAILED) return;
  s->dead = code;
  if (drop) drop_inbox(s);
  chaski__sim_cancel(s->sim, &s->rst);
  if (s->state == SIM_OPEN) {
    chaski__sim_send_fail(s, code);
    chaski__sim_cancel(s->sim, &s->in); /* armed anew, so that `written` comes before `end` */
    chaski__sim_stream_arm(s);
    return;
  }
  s->state = SIM_ANSWERED;
  s->status = code;
  chaski__sim_schedule(s->sim, &s->in, s->sim->now);
}

static void reset_arrives(void *owner) {
  chaski_stream *s = owner;
  if (chaski__sim_blocked(s->host, s->remote))
    chaski__sim_hold(s->sim, &s->rst);
  else
    chaski__sim_stream_die(s, CHASKI_ERESET, false);
}

/* As TCP does it: bytes here that nobody has read make a reset of the close (a peer with a rest has filled the window,
 * so there are some); else the end follows what was sent, and a reset when bytes arrive that nobody will read. */
static void tell_peer(chaski_stream *s) {
  if (!s->peer || s->peer->closing || s->dead) return;
  bool under_way = s->head && s->head->at > s->sim->now && !s->peer->rest.array;
  bool unread = s->inbox > 0 && !under_way;
  uint64_t noticed = under_way ? s->head->at : s->sim->now;
  if (!unread && (!s->shut || s->rest.array)) chaski__sim_send_end(s);
  if (s->inbox == 0) return;
  chaski__sim_send_reset(s->peer, noticed + chaski__sim_link(s->sim, s->host, s->remote)->delay_ns);
}

void chaski__sim_stream_close(chaski_stream *s) {
  chaski__sim_demand(!s->closing, "a stream is closed once");
  tell_peer(s);
  s->closing = true;
  chaski__sim_cancel(s->sim, &s->in);
  chaski__sim_cancel(s->sim, &s->out);
  chaski__sim_cancel(s->sim, &s->rst);
  drop_inbox(s);
  chaski__sim_schedule(s->sim, &s->closed, s->sim->now);
}

/* Freed first: when the upcall is told, the stream no longer counts. */
static void closed(void *owner) {
  chaski_stream *s = owner;
  const chaski_stream_events *events = s->events;
  void *user = s->user;
  chaski__sim_enter(s->sim, s->host, 'c', s->id, 0);
  chaski__sim_stream_free(s);
  if (events) events->closed(user);
}

/* --- the rest of the table --- */

void chaski__sim_stream_open(chaski_stream *s, const chaski_stream_events *events, void *user) {
  chaski__sim_demand(!s->events && !s->closing && events, "open() takes over an accepted stream, once");
  s->events = events;
  s->user = user;
  chaski__sim_stream_arm(s);
}

void chaski__sim_stream_pause(chaski_stream *s) {
  chaski__sim_demand(!s->closing, "no pause() after close()");
  s->paused = true;
  chaski__sim_stream_arm(s);
}

void chaski__sim_stream_resume(chaski_stream *s) {
  chaski__sim_demand(!s->closing, "no resume() after close()");
  s->paused = false;
  chaski__sim_stream_arm(s);
}

size_t chaski__sim_stream_queued(const chaski_stream *s) {
  (void)s; /* what write() took is on the wire */
  return 0;
}

static int address(const chaski_stream *s, const sim_host *host, uint16_t from, char *to, uint16_t *port) {
  if (s->state != SIM_OPEN) return CHASKI_EINVAL;
  snprintf(to, CHASKI_HOST_MAX, "%s", host->ip);
  *port = from;
  return CHASKI_OK;
}

int chaski__sim_peer_address(const chaski_stream *s, char *host, uint16_t *port) {
  return address(s, s->remote, s->remote_port, host, port);
}

int chaski__sim_local_address(const chaski_stream *s, char *host, uint16_t *port) {
  return address(s, s->host, s->port, host, port);
}
