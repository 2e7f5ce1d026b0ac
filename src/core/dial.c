/* dial.c: connect, and those who wait for it. SPDX-License-Identifier: MIT */
#include "internal.h"

#define REPORT_MAX 8192 /* bytes: below any peer's limit for frames before the handshake */

static void finish(chaski_dial *dial, int status, chaski_edge *live, const char *detail) {
  chaski_edge *edge = dial->edge;
  DL_DELETE(edge->dials, dial);
  chaski_timer_stop(edge->node->loop, &dial->timer);
  if (dial->done) dial->done(dial->ctx, status, live, detail);
  chaski__free(dial);
  chaski_edge_release(edge);
}

void chaski__dials_end(chaski_edge *edge, int status, chaski_edge *live, const char *detail) {
  chaski_edge_hold(edge);
  while (edge->dials && (!live || live->state == EDGE_LIVE)) finish(edge->dials, status, live, detail);
  chaski_edge_release(edge);
}

/* A dial-back has done its work when its report is there, which may well be what ends the edge. */
static void end_reporting(chaski_edge *edge) {
  chaski_dial *dial;
  do {
    DL_SEARCH_SCALAR(edge->dials, dial, reports, true);
    if (dial) finish(dial, CHASKI_OK, edge, "");
  } while (dial && edge->state == EDGE_LIVE);
}

static void ask(chaski_edge *edge) {
  chaski__link *link = edge->link;
  if (link->asked || (!link->dialled && !edge->dials)) return;
  link->asked = true;
  chaski_edge_ping(edge, 0, true, 0, NULL, NULL); /* if it cannot be sent, the dials end by their own timers */
}

void chaski__dials_confirm(chaski_edge *edge) {
  if (edge->state != EDGE_LIVE || chaski_edge_suspended(edge)) return;
  if (edge->link->confirmed) {
    chaski__dials_end(edge, CHASKI_OK, edge, "");
    return;
  }
  ask(edge);
  chaski_edge_hold(edge);
  end_reporting(edge);
  chaski_edge_release(edge);
}

void chaski__dials_drop(chaski_edge *edge) {
  chaski_dial *dial;
  DL_FOREACH(edge->dials, dial) dial->done = NULL;
  chaski__dials_end(edge, CHASKI_ECANCELLED, NULL, "");
}

void chaski__dials_move(chaski_edge *from, chaski_edge *to) {
  while (from->dials) {
    chaski_dial *dial = from->dials;
    DL_DELETE(from->dials, dial);
    DL_APPEND(to->dials, dial);
    dial->edge = to;
    chaski_edge_hold(to);
    chaski_edge_release(from);
  }
}

/* Nobody waits for this dial any more. */
static void give_up(chaski_edge *edge) {
  if (edge->state != EDGE_PENDING || edge->dials || !edge->dialled) return;
  chaski__link_close(edge->link);
  chaski__edge_end_later(edge, CHASKI_ECANCELLED, "");
}

static void on_timer(chaski_timer *t) {
  chaski_dial *dial = (chaski_dial *)(void *)((char *)t - offsetof(chaski_dial, timer));
  chaski_edge *edge = dial->edge;
  chaski_edge_hold(edge);
  if (edge->state == EDGE_LIVE && !chaski_edge_suspended(edge)) {
    if (!dial->reports) edge->link->confirmed = true; /* it answers no ping: who dials now need not wait again */
    finish(dial, CHASKI_OK, edge, "");
  } else {
    bool connected = edge->link && edge->link->state != LINK_DIALLING;
    CHASKI__HIT(edge->node, connect_timeout);
    finish(dial, CHASKI_ETIMEOUT, NULL, connected ? "connected, but the handshake was not completed" : "");
    give_up(edge);
  }
  chaski_edge_release(edge);
}

static chaski_dial *wait_for(chaski_edge *edge, uint64_t timeout,
                             void (*done)(void *, int, chaski_edge *, const char *), void *ctx) {
  chaski_dial *dial = chaski__calloc(1, sizeof *dial);
  if (!dial) return NULL;
  dial->edge = edge;
  dial->done = done;
  dial->ctx = ctx;
  chaski_edge_hold(edge);
  chaski_timer_init(&dial->timer, on_timer);
  chaski_timer_start(edge->node->loop, &dial->timer, timeout);
  DL_APPEND(edge->dials, dial);
  return dial;
}

static bool same_text(const char *a, const char *b) {
  return strcmp(a ? a : "", b ? b : "") == 0;
}

static chaski_edge *dialling(const chaski_node *node, const chaski_address *a) {
  chaski_edge *e;
  DL_FOREACH(node->edges, e) {
    if (e->state == EDGE_PENDING && e->dialled && e->dial_port == a->port && strcmp(e->dial_host, a->host) == 0 &&
        same_text(e->expected, a->name))
      return e;
  }
  return NULL;
}

static void discard(chaski_edge *edge) {
  edge->state = EDGE_ENDED;
  if (edge->link) chaski__link_free(edge->link);
  chaski_edge_release(edge);
}

/* Start a connection. CHASKI_OK and *out: a pending edge. */
static int start(chaski_node *node, const chaski_address *a, chaski_edge **out) {
  chaski_edge *edge = chaski__edge_new(node, true);
  if (!edge) return CHASKI_ENOMEM;
  edge->dial_port = a->port;
  bool set = chaski__set_text(&edge->dial_host, chaski_slice_str(a->host)) &&
             (!*a->name || chaski__set_text(&edge->expected, chaski_slice_str(a->name)));
  int r = set && chaski__link_new(edge, true) ? CHASKI_OK : CHASKI_ENOMEM;
  if (r == CHASKI_OK)
    r = node->transport->connect(node->transport_ctx, a->host, a->port, &chaski__link_events, edge->link,
                                 &edge->link->stream);
  if (r != CHASKI_OK) discard(edge);
  *out = edge;
  return r;
}

/* Before the connection is there the report waits for it; else it goes at once, also into a handshake under way. */
static int attach_report(chaski_edge *edge, const chaski_slice *report) {
  chaski__buf b = {0};
  chaski__buf_append(&b, report->ptr, report->len);
  if (edge->state == EDGE_LIVE || edge->link->state != LINK_DIALLING)
    return chaski__send_command(edge->link, "report_paired", &b);
  return chaski__edge_set_report(edge, &b); /* of two the later one */
}

static int connect_to(chaski_node *node, const chaski_address *address, uint64_t timeout, const chaski_slice *report,
                      void (*done)(void *, int, chaski_edge *, const char *), void *ctx, chaski_dial **out) {
  if (node->state != NODE_RUNNING) return CHASKI_ESTOPPED;
  if (address->port == node->port && strcmp(address->host, node->ip) == 0) return CHASKI_ESELF;
  chaski_edge *edge = chaski_node_get_edge(node, address->host, address->port);
  if (edge && edge->link->state == LINK_PARKED) edge = NULL; /* this may resume it */
  if (!edge) edge = dialling(node, address);
  bool fresh = !edge;
  int r = fresh ? start(node, address, &edge) : CHASKI_OK;
  if (r == CHASKI_OK && report) r = attach_report(edge, report);
  if (r != CHASKI_OK) return r;
  if (timeout == 0) timeout = node->limits.connect_timeout;
  bool there = edge->state == EDGE_LIVE && (report || edge->link->confirmed);
  chaski_dial *dial = wait_for(edge, there ? 0 : timeout, done, ctx);
  if (out) *out = dial;
  if (dial) dial->reports = report != NULL;
  if (dial && edge->state == EDGE_LIVE) ask(edge);
  if (dial) return CHASKI_OK;
  if (fresh) give_up(edge);
  return CHASKI_ENOMEM;
}

int chaski_node_connect(chaski_node *node, const chaski_address *address, uint64_t timeout,
                        void (*done)(void *ctx, int status, chaski_edge *edge, const char *detail), void *ctx,
                        chaski_dial **out) {
  return connect_to(node, address, timeout, NULL, done, ctx, out);
}

int chaski_node_connect_reporting(chaski_node *node, const chaski_address *address, uint64_t timeout,
                                  chaski_slice report,
                                  void (*done)(void *ctx, int status, chaski_edge *edge, const char *detail), void *ctx,
                                  chaski_dial **out) {
  if (!report.len) return CHASKI_EINVAL;
  if (report.len > REPORT_MAX) return CHASKI_ETOOBIG;
  return connect_to(node, address, timeout, &report, done, ctx, out);
}

void chaski_dial_cancel(chaski_dial *dial) {
  chaski_edge *edge = dial->edge;
  chaski_edge_hold(edge);
  dial->done = NULL;
  finish(dial, CHASKI_ECANCELLED, NULL, "");
  give_up(edge);
  chaski_edge_release(edge);
}
