/* progress.c: a stream goes on: the handshake, reading, and after each step what the owner is to hear of it. All
 * upcalls but `data` and `closed` are made here, and only from upcalls of the inner stream or from the timer.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include "../core/alloc.h"

#include <openssl/err.h>

/* --- what a call of SSL means ------------------------------------------------------------------------------------- */

static void fail_by(chaski_stream *s, enum chaski__tls_fault fault) {
  const chaski__tls_fault_info *info = chaski__tls_fault_info_of(fault);
  if (!s->shaken) chaski__tls_count(s->layer, fault);
  chaski__tls_fail(s, info->code, info->text);
}

/* In TLS 1.3 a client's handshake is complete before the server has judged its certificate: an alert that comes before
 * any data is still the server's answer. */
static void fail_by_alert(chaski_stream *s, int alert) {
  int code;
  const char *text = chaski__tls_alert_text(alert, &code);
  if (!s->heard && !s->status) chaski__tls_count(s->layer, CHASKI__TLS_OTHER);
  chaski__tls_fail(s, code, text);
}

static void fail_by_queue(chaski_stream *s) {
  int alert;
  enum chaski__tls_fault fault = chaski__tls_fault_of_queue(&alert);
  if (s->fault)
    fail_by(s, s->fault);
  else if (alert >= 0)
    fail_by_alert(s, alert);
  else
    fail_by(s, fault == CHASKI__TLS_OTHER && s->shaken ? CHASKI__TLS_BROKEN : fault);
}

static void starve(chaski_stream *s) {
  if (!s->inner_ended || s->view_len > 0) return;
  const char *text = s->shaken ? "the connection ended without close_notify" : "the connection ended in the handshake";
  chaski__tls_fail(s, s->inner_end ? s->inner_end : CHASKI_ERESET, s->inner_end && s->shaken ? "" : text);
}

static void part(chaski_stream *s) {
  if (s->shaken)
    s->peer_done = true;
  else
    chaski__tls_fail(s, CHASKI_ERESET, "the connection ended in the handshake");
}

void chaski__tls_outcome(chaski_stream *s, int result) {
  switch (SSL_get_error(s->ssl, result)) {
  case SSL_ERROR_NONE:
    return;
  case SSL_ERROR_WANT_READ:
    starve(s);
    return;
  case SSL_ERROR_WANT_WRITE:
    s->stuck = true;
    return;
  case SSL_ERROR_ZERO_RETURN:
    part(s);
    return;
  case SSL_ERROR_SYSCALL:
    chaski__tls_fail(s, CHASKI_ENOMEM, "");
    return; /* the BIO had no memory for a buffer */
  default:
    fail_by_queue(s);
  }
}

/* --- the handshake ------------------------------------------------------------------------------------------------ */

static void shake(chaski_stream *s) {
  ERR_clear_error();
  int result = SSL_do_handshake(s->ssl);
  if (result == 1) {
    s->shaken = true;
    s->layer->counters.handshakes++;
  } else {
    chaski__tls_outcome(s, result);
  }
  chaski__tls_flush(s); /* the alert, too, if it failed */
}

/* --- what the owner hears ----------------------------------------------------------------------------------------- */

static void tell_connected(chaski_stream *s) {
  if (!s->dialled || s->told || (!s->shaken && !s->status)) return;
  s->told = true;
  s->ended = s->status != CHASKI_OK; /* after a failure only `closed` is left */
  s->events.connected(s->user, s->status);
}

static void tell_written(chaski_stream *s) {
  if (s->closing || !s->rest.slices || (!s->status && !chaski__tls_rest_gone(s))) return;
  chaski__tls_rest_free(s);
  s->events.written(s->user, s->status);
}

static void tell_end(chaski_stream *s) {
  if (s->closing || s->ended || s->paused || (!s->status && !s->peer_done)) return;
  s->ended = true;
  s->events.end(s->user, s->status);
}

/* --- the inner stream --------------------------------------------------------------------------------------------- */

/* The handshake goes on while the owner pauses. */
void chaski__tls_steer(chaski_stream *s) {
  if (s->closing || s->inner_ended || !s->up) return;
  bool pause = (s->shaken && s->paused) || s->stuck || s->stash;
  if (pause == s->inner_paused) return;
  s->inner_paused = pause;
  if (pause)
    s->layer->inner->pause(s->inner);
  else
    s->layer->inner->resume(s->inner);
}

/* Nothing more of the peer's is to be expected (or wanted) that could say better why writing failed. */
static void give_up_writing(chaski_stream *s) {
  bool last_word = s->inner_ended || s->peer_done || s->paused;
  if (s->broken && last_word && (s->rest.slices || !s->peer_done)) chaski__tls_fail(s, s->broken, "");
}

void chaski__tls_settle(chaski_stream *s) {
  if (s->closing) return;
  chaski__tls_keep(s);
  give_up_writing(s);
  tell_written(s);
  tell_end(s);
  chaski__tls_steer(s);
}

void chaski__tls_go_on(chaski_stream *s) {
  if (s->closing) return;
  do {
    s->stuck = false;
    if (s->up && !s->shaken && !s->status) shake(s);
  } while (s->stuck && !s->lent);
  tell_connected(s);
  if (s->closing) return;
  chaski__tls_write_on(s);
  chaski__tls_read(s);
  chaski__tls_settle(s);
}
