/* link.c: one connection: what the stream tells, what leaves by it, its deadlines, its end.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#define SLICES 64 /* per write: a turn's output is rarely in more pieces */
#define EARLY 32
#define LAG CHASKI_S /* a timer this late says that we slept, not that the peer is dead */

static const chaski_transport *transport_of(const chaski__link *link) {
  return link->transport;
}

static void tick(chaski_timer *t);

chaski__link *chaski__link_new(chaski_edge *edge, bool dialled) {
  chaski__link *link = chaski__calloc(1, sizeof *link);
  chaski__terms *terms = chaski__calloc(1, sizeof *terms);
  if (!link || !terms) {
    chaski__free(link);
    chaski__free(terms);
    return NULL;
  }
  chaski_node *node = edge->node;
  *link = (chaski__link){.loop = node->loop, .node = node, .edge = edge, .dialled = dialled, .heard = node->loop->now};
  link->terms = terms;
  link->transport = node->transport;
  link->state = dialled ? LINK_DIALLING : LINK_NEW;
  chaski_frame_decoder_init(&link->decoder, (uint32_t)node->limits.topic_max, (uint32_t)node->limits.preauth_max);
  chaski__outbox_init(&link->out);
  chaski_timer_init(&link->tick, tick);
  chaski_edge_hold(edge);
  edge->link = link;
  node->links++;
  return link;
}

void chaski__link_settled(chaski__link *link) {
  chaski__free(link->terms);
  link->terms = NULL;
}

void chaski__link_free(chaski__link *link) {
  chaski_edge *edge = link->edge;
  chaski_node *node = link->node;
  chaski_timer_stop(link->loop, &link->tick);
  chaski__loop_clean(link);
  chaski_frame_decoder_free(&link->decoder);
  chaski__outbox_free(&link->out, &link->loop->arena);
  chaski__free(link->topic);
  chaski__free(link->terms);
  if (edge->link == link) edge->link = NULL;
  link->loop->closing -= link->closing;
  chaski__free(link);
  chaski_edge_release(edge);
  chaski__node_link_closed(node);
}

/* --- writing ------------------------------------------------------------------------------------------------ */
static bool can_write(const chaski__link *link) {
  return link->stream && link->state != LINK_DIALLING && link->state != LINK_CLOSED && !link->shut;
}

/* With a session a frame is kept first; if it then cannot be queued as well, the link is lost, and it is sent again. */
static int queue(chaski__link *link, const chaski__span *frame, bool counted) {
  bool keep = counted && link->session;
  if (keep && !chaski__session_sent(link, frame)) return CHASKI_ENOMEM;
  if (link->state == LINK_PARKED && keep) return CHASKI_OK;
  if (chaski__outbox_append(&link->out, &link->loop->arena, frame)) {
    if (counted) link->backlog = link->out.bytes;
    return CHASKI_OK;
  }
  if (!keep) return CHASKI_ENOMEM;
  link->failure = CHASKI_EIO;
  return CHASKI_OK;
}

int chaski__link_send(chaski__link *link, const chaski__span *frame, bool counted) {
  int r = queue(link, frame, counted);
  if (r != CHASKI_OK) return r;
  chaski_edge *edge = link->edge;
  if (counted || !link->sessioned) link->node->counters.queued++;
  edge->counters.frames_out++;
  edge->counters.bytes_out += frame->len;
  link->node->counters.frames_out++;
  link->node->counters.bytes_out += frame->len;
  chaski__loop_dirty(link);
  return CHASKI_OK;
}

static void gone(chaski__link *link, size_t bytes) {
  uint64_t before = link->out.frames;
  if (link->backlog) link->progress = link->loop->now;
  link->backlog -= bytes < link->backlog ? bytes : link->backlog;
  chaski__outbox_consume(&link->out, &link->loop->arena, bytes);
  if (!link->sessioned) link->node->counters.written += before - link->out.frames;
}

/* One call to the transport. true: all it was given is gone, and there may be more. */
static bool write_some(chaski__link *link) {
  chaski_slice slices[SLICES];
  size_t total;
  size_t n = chaski__outbox_peek(&link->out, slices, SLICES, &total);
  if (!n) return false;
  int64_t taken = transport_of(link)->write(link->stream, slices, n);
  if (taken < 0) {
    link->failure = (int)taken;
    link->out.borrowed = total; /* some of it may have gone: the peer may have it */
    return false;
  }
  if (taken > 0) gone(link, (size_t)taken);
  if ((size_t)taken == total) return true;
  link->out.borrowed = total - (size_t)taken;
  link->waiting = true;
  return false;
}

static void shut_when_empty(chaski__link *link) {
  bool leaving = link->state == LINK_LEAVING || link->state == LINK_LEFT;
  if (!leaving || link->shut || link->waiting || link->out.bytes || !link->stream) return;
  if (link->session && !link->ended && !link->parting) return; /* the last acknowledgement is to come */
  link->shut = true;
  if (link->ended)
    chaski__link_close(link);
  else
    transport_of(link)->shutdown(link->stream);
}

void chaski__link_push(chaski__link *link) {
  while (can_write(link) && !link->waiting && !link->failure && write_some(link)) {
  }
}

void chaski__link_flush(chaski__link *link) {
  chaski__link_push(link);
  if (link->failure) {
    chaski__link_fail(link, link->failure, link->failure == CHASKI_ESLOW ? "its queue is at the hard mark" : "writing");
    return;
  }
  shut_when_empty(link);
  if (link->edge->link == link) chaski__edge_marks(link->edge);
}

static void on_written(void *user, int status) {
  chaski__link *link = user;
  chaski__loop_touch(link->loop);
  link->waiting = false;
  size_t bytes = link->out.borrowed;
  if (status != CHASKI_OK) {
    link->failure = status; /* and borrowed it stays: the peer may have some of it */
  } else {
    link->out.borrowed = 0;
    gone(link, bytes);
  }
  chaski__loop_dirty(link);
}

/* --- reading ------------------------------------------------------------------------------------------------ */
bool chaski__link_reads(const chaski__link *link) {
  return link->state == LINK_NEW || link->state == LINK_LIVE || link->state == LINK_LEAVING ||
         (link->state == LINK_LEFT && link->session);
}

static void note_frame(chaski__link *link, bool completed) {
  if (!chaski_frame_pending(&link->decoder)) {
    link->frame_started = 0;
  } else if (completed || !link->frame_started) {
    link->frame_started = link->loop->now;
    uint64_t due = link->frame_started + link->node->limits.frame_timeout;
    if (link->state == LINK_LIVE && (!link->tick.due || link->tick.due > due)) chaski__link_arm(link);
  }
}

#define FOREIGN "it does not speak chaski, or only over TLS"

static bool is_foreign(const chaski__link *link, chaski_slice rest) {
  return !link->edge->counters.frames_in && chaski_frame_foreign(&link->decoder, rest);
}

static void hit_length(chaski__link *link, chaski_slice rest) {
  if (chaski_frame_over_topic(&link->decoder, rest))
    CHASKI__HIT(link->node, topic_max);
  else if (link->decoder.data_max < link->node->limits.data_max)
    CHASKI__HIT(link->node, preauth_max);
  else
    CHASKI__HIT(link->node, data_max);
}

/* One write a turn, but of a long burst the first answers leave while the rest is worked on, so that both ends have
 * something to do: after EARLY frames, and each time that their number has doubled. */
void chaski__reading_taken(chaski__reading *reading) {
  size_t n = ++reading->frames;
  if (n >= EARLY && (n & (n - 1)) == 0) chaski__link_push(reading->link);
}

/* Hands out frames as long as there are whole ones; what chaski_frame_next said of the rest. */
static int hand_out(chaski__reading *reading, bool *completed) {
  chaski__link *link = reading->link;
  chaski_loop *loop = link->loop;
  chaski__reading *outer = loop->reading;
  chaski_frame frame;
  int r = 0;
  loop->reading = reading;
  while (chaski__link_reads(link) && (r = chaski_frame_next(&link->decoder, &reading->in, &frame)) == 1) {
    *completed = true;
    chaski__receive(link, &frame);
    chaski__reading_taken(reading);
  }
  loop->reading = outer;
  return r;
}

static void on_data(void *user, const uint8_t *bytes, size_t len) {
  chaski__link *link = user;
  chaski__loop_touch(link->loop);
  link->heard = link->loop->now;
  link->edge->counters.bytes_in += len;
  link->node->counters.bytes_in += len;
  chaski__reading reading = {.link = link, .in = chaski_slice_of(bytes, len)};
  bool completed = false;
  int r = hand_out(&reading, &completed);
  chaski_slice in = reading.in;
  if (!chaski__link_reads(link)) return;
  if (r == CHASKI_ETOOBIG && is_foreign(link, in)) {
    chaski__link_fail(link, CHASKI_EPROTOCOL, FOREIGN);
    return;
  }
  if (r == CHASKI_ETOOBIG) hit_length(link, in);
  if (r < 0)
    chaski__link_fail(link, r, r == CHASKI_ETOOBIG ? "a frame's length is over the limit" : "");
  else
    note_frame(link, completed);
  if (r == 0) chaski__session_ack_if_due(link);
}

/* Why the stream failed, in the transport's words. */
static const char *detail_of(const chaski__link *link) {
  return link->stream && transport_of(link)->detail ? transport_of(link)->detail(link->stream) : "";
}

static void on_end(void *user, int status) {
  chaski__link *link = user;
  chaski__loop_touch(link->loop);
  if (link->state == LINK_LEAVING || link->state == LINK_LEFT) {
    link->ended = true;
    chaski__session_ack(link);
    if (status != CHASKI_OK || (!link->out.bytes && !link->waiting)) chaski__link_close(link);
  } else if (is_foreign(link, chaski_slice_of(NULL, 0))) {
    chaski__link_fail(link, CHASKI_EPROTOCOL, FOREIGN);
  } else if (status == CHASKI_OK && chaski_frame_pending(&link->decoder)) {
    chaski__link_fail(link, CHASKI_ETRUNCATED, "");
  } else {
    chaski__link_fail(link, status == CHASKI_OK ? CHASKI_ELOST : status, detail_of(link));
  }
}

static void on_connected(void *user, int status) {
  chaski__link *link = user;
  chaski__loop_touch(link->loop);
  link->heard = link->loop->now;
  if (status == CHASKI_OK) {
    link->state = LINK_NEW;
    status = chaski__handshake_start(link);
  }
  if (status != CHASKI_OK) chaski__link_fail(link, status, detail_of(link));
}

static void on_closed(void *user) {
  chaski__link *link = user;
  chaski__loop_touch(link->loop);
  link->stream = NULL;
  chaski__link_free(link);
}

const chaski_stream_events chaski__link_events = {on_connected, on_data, on_end, on_written, on_closed};

/* --- deadlines ---------------------------------------------------------------------------------------------- */
static uint64_t min64(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

/* The nearest deadline of a live link, ns; UINT64_MAX: none. */
static uint64_t next_deadline(const chaski__link *link) {
  const chaski_node *node = link->node;
  uint64_t due = UINT64_MAX;
  if (node->keep_alive) due = min64(link->ping_due, link->heard + node->limits.lease);
  if (link->frame_started) due = min64(due, link->frame_started + node->limits.frame_timeout);
  if (link->edge->choked) due = min64(due, link->progress + node->limits.queue_stall);
  return due;
}

void chaski__link_arm(chaski__link *link) {
  const chaski_limits *l = &link->node->limits;
  uint64_t due = link->state == LINK_LIVE ? next_deadline(link)
                 : link->state == LINK_PARKED
                     ? link->loop->now + (link->session ? link->session->ttl * CHASKI_MS : l->handshake_timeout)
                 : link->state == LINK_NEW ? link->heard + l->handshake_timeout
                                           : link->loop->now + l->goodbye_timeout;
  if (due == UINT64_MAX)
    chaski_timer_stop(link->loop, &link->tick);
  else
    chaski_timer_start(link->loop, &link->tick, due > link->loop->now ? due - link->loop->now : 0);
}

static void plan_ping(chaski__link *link) {
  uint64_t interval = link->node->limits.keep_alive_interval;
  link->ping_due = link->loop->now + interval + chaski__random64(link->loop) % (interval / 2 + 1);
}

static void keep_alive(chaski__link *link) {
  plan_ping(link);
  chaski_edge_ping(link->edge, 0, true, 0, NULL, NULL);
}

/* Why a live link must end now, or CHASKI_OK. */
static int overdue(const chaski__link *link) {
  const chaski_limits *l = &link->node->limits;
  uint64_t now = link->loop->now;
  if (link->node->keep_alive && !link->pauses && now >= link->heard + l->lease) return CHASKI_ELEASE;
  if (link->frame_started && !link->pauses && now >= link->frame_started + l->frame_timeout) return CHASKI_EFRAME;
  if (link->edge->choked && now >= link->progress + l->queue_stall) return CHASKI_ESLOW;
  return CHASKI_OK;
}

void chaski__link_forgive(chaski__link *link) {
  link->heard = link->loop->now;
  if (link->frame_started) link->frame_started = link->loop->now;
}

/* When we were stopped ourselves (SIGSTOP, a sleeping laptop), silence says nothing: a full lease more for everybody.
 * Lifeguard's idea: Dadgar, Phillips, Currey: Lifeguard, arXiv 1707.00788. */
static void forgive_own_lag(chaski__link *link, uint64_t due) {
  if (link->loop->now < due + LAG) return;
  chaski__link_forgive(link);
  link->progress = link->loop->now;
}

static void tick_live(chaski__link *link) {
  int reason = overdue(link);
  if (reason == CHASKI_ELEASE) CHASKI__HIT(link->node, lease);
  if (reason == CHASKI_EFRAME) CHASKI__HIT(link->node, frame_timeout);
  if (reason == CHASKI_ESLOW) CHASKI__HIT(link->node, queue_stall);
  if (reason != CHASKI_OK) {
    chaski__link_fail(link, reason, "");
    return;
  }
  if (link->pauses) chaski__link_forgive(link); /* it is us who do not read */
  if (link->node->keep_alive && link->loop->now >= link->ping_due) keep_alive(link);
  chaski__link_arm(link);
}

static void tick(chaski_timer *t) {
  chaski__link *link = (chaski__link *)(void *)((char *)t - offsetof(chaski__link, tick));
  if (link->state == LINK_CLOSED) {
    chaski__link_free(link);
  } else if (link->state == LINK_PARKED) {
    if (link->session) CHASKI__HIT(link->node, resume_timeout);
    chaski__link_fail(link, CHASKI_ELOST, "it was not resumed in time");
  } else if (link->state == LINK_LIVE) {
    forgive_own_lag(link, next_deadline(link));
    tick_live(link);
  } else if (link->state == LINK_NEW) {
    CHASKI__HIT(link->node, handshake_timeout);
    chaski__link_fail(link, CHASKI_EHANDSHAKE, "");
  } else {
    chaski__link_close(link);
  }
}

void chaski__link_set_live(chaski__link *link) {
  const chaski_node *node = link->node;
  link->state = LINK_LIVE;
  chaski__link_settled(link);
  link->decoder.data_max = (uint32_t)node->limits.data_max;
  link->progress = link->loop->now;
  if (node->keep_alive && !link->dialled)
    keep_alive(link); /* the first latency, soon */
  else
    plan_ping(link); /* who has dialled pings at once in any case */
  chaski__link_arm(link);
}

/* --- the end ------------------------------------------------------------------------------------------------ */
static void account_lost(chaski__link *link) {
  if (!link->sessioned) chaski__lose_frames(link, &link->out);
  chaski__session_end(link);
}

static bool keep_nothing(void *ctx, chaski_slice frame) {
  (void)ctx, (void)frame;
  return false;
}

/* What the transport has not got it will not get. */
static void cut_queue(chaski__link *link) {
  chaski__outbox rest;
  chaski__arena *arena = &link->loop->arena;
  if (!link->out.bytes || !chaski__outbox_sieve(&link->out, &rest, arena, keep_nothing, NULL)) return;
  chaski__outbox_replace(&link->out, arena, &rest);
  link->loop->closing += link->closing = link->out.bytes;
}

void chaski__link_close(chaski__link *link) {
  if (link->state == LINK_CLOSED) return;
  account_lost(link);
  if (link->state == LINK_LEAVING || link->state == LINK_LEFT)
    DL_DELETE2(link->node->leaving, link, leaving_prev, leaving_next);
  link->state = LINK_CLOSED;
  cut_queue(link);
  chaski_timer_stop(link->loop, &link->tick);
  chaski__loop_clean(link);
  if (link->stream)
    transport_of(link)->close(link->stream);
  else
    chaski_timer_start(link->loop, &link->tick, 0); /* nobody will tell that it is closed */
}

void chaski__link_fail(chaski__link *link, int reason, const char *detail) {
  bool current = link->edge->link == link && link->state != LINK_LEAVING && link->state != LINK_LEFT;
  if (current && chaski__session_park(link, reason)) {
    chaski__dials_end(link->edge, reason, NULL, detail); /* who waited for its first pong may dial again */
    return;
  }
  chaski__link_close(link);
  if (current) chaski__edge_end(link->edge, reason, detail);
}

void chaski__link_leave(chaski__link *link, enum chaski__link_state state) {
  bool already = link->state == LINK_LEAVING || link->state == LINK_LEFT;
  if (!already) DL_APPEND2(link->node->leaving, link, leaving_prev, leaving_next);
  link->state = state;
  chaski__loop_dirty(link);
  chaski__link_arm(link);
}
