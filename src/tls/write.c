/* write.c: from the owner's slices to records to the inner stream. Records are gathered for one inner write; while the
 * inner stream borrows, nothing more is encrypted, so that a stream never holds more than one batch. A stream
 * with nothing to send holds no buffer. SPDX-License-Identifier: MIT */
#include "internal.h"

#include "../core/alloc.h"

#include <openssl/err.h>

/* --- to the inner stream ------------------------------------------------------------------------------------------ */

static void drop_out(chaski_stream *s) {
  if (s->out) chaski__tls_buffer_return(s->layer, s->out);
  s->out = NULL;
}

static void lend(chaski_stream *s, size_t taken) {
  s->lent = s->out;
  s->lent_len = s->out->len - taken;
  s->out = NULL;
}

void chaski__tls_flush(chaski_stream *s) {
  if (!s->out || s->lent) return;
  int64_t taken = 0;
  chaski_slice slice = chaski_slice_of(s->out->bytes, s->out->len);
  if (slice.len > 0 && !s->broken) taken = s->layer->inner->write(s->inner, &slice, 1);
  if (taken < 0) s->broken = (int)taken;
  if (s->broken || (size_t)taken == slice.len)
    drop_out(s);
  else
    lend(s, (size_t)taken);
}

void chaski__tls_goodbye(chaski_stream *s) {
  ERR_clear_error();
  SSL_shutdown(s->ssl);
  ERR_clear_error();
  chaski__tls_flush(s);
}

/* --- encryption --------------------------------------------------------------------------------------------------- */

static void advance(chaski__tls_rest *rest, size_t bytes) {
  bytes += rest->off;
  while (rest->at < rest->n && bytes >= rest->slices[rest->at].len) bytes -= rest->slices[rest->at++].len;
  rest->off = bytes;
}

static chaski_slice first_of(const chaski__tls_rest *rest) {
  chaski_slice first = rest->slices[rest->at];
  return chaski_slice_of(first.ptr + rest->off, first.len - rest->off);
}

static chaski_slice gather(uint8_t *to, const chaski__tls_rest *rest) {
  chaski__tls_rest r = *rest;
  size_t len = 0;
  while (r.at < r.n && len < CHASKI__TLS_RECORD) {
    chaski_slice piece = first_of(&r);
    size_t part = piece.len < CHASKI__TLS_RECORD - len ? piece.len : CHASKI__TLS_RECORD - len;
    memcpy(to + len, piece.ptr, part);
    len += part;
    advance(&r, part);
  }
  return chaski_slice_of(to, len);
}

/* The plaintext that the next record begins with; a large slice needs no copy. Empty: no memory. OpenSSL makes one
 * record of it and keeps its buffer, which it gives back as soon as nothing of what it was shown is left: so a large
 * slice is shown whole. */
static chaski_slice next_record(chaski_stream *s) {
  const chaski__tls_rest *rest = &s->rest;
  chaski_slice first = first_of(rest);
  if (first.len >= CHASKI__TLS_RECORD || rest->at + 1 == rest->n) return first;
  if (!s->layer->gather) s->layer->gather = chaski__malloc(CHASKI__TLS_RECORD);
  return s->layer->gather ? gather(s->layer->gather, rest) : chaski_slice_of(NULL, 0);
}

/* Bytes of plaintext that the next record will hold. */
static size_t next_len(const chaski__tls_rest *rest) {
  size_t len = 0;
  chaski__tls_rest r = *rest;
  while (r.at < r.n && len < CHASKI__TLS_RECORD) {
    chaski_slice piece = first_of(&r);
    len += piece.len;
    advance(&r, piece.len);
  }
  return len < CHASKI__TLS_RECORD ? len : CHASKI__TLS_RECORD;
}

/* For the next record. The last of a write, which mostly is a short one, leaves with the others. */
static bool has_room(const chaski_stream *s) {
  size_t sealed = next_len(&s->rest) + CHASKI__TLS_SEALED - CHASKI__TLS_RECORD;
  return !s->out || sizeof s->out->bytes - s->out->len >= sealed;
}

static void encrypt_record(chaski_stream *s) {
  chaski_slice record = next_record(s);
  if (record.len == 0) {
    chaski__tls_fail(s, CHASKI_ENOMEM, "");
    return;
  }
  size_t len;
  chaski__tls_clear_errors();
  if (SSL_write_ex(s->ssl, record.ptr, record.len, &len))
    advance(&s->rest, len);
  else
    chaski__tls_outcome(s, 0);
}

static void encrypt(chaski_stream *s) {
  while (s->rest.at < s->rest.n && !s->status && !s->lent && !s->broken) {
    if (has_room(s)) encrypt_record(s);
    if (s->stuck || !has_room(s)) chaski__tls_flush(s);
    s->stuck = s->stuck && s->lent;
  }
  chaski__tls_flush(s);
}

/* --- what is borrowed --------------------------------------------------------------------------------------------- */

void chaski__tls_rest_free(chaski_stream *s) {
  chaski__free((void *)(uintptr_t)s->rest.slices);
  s->rest = (chaski__tls_rest){0};
}

bool chaski__tls_rest_gone(const chaski_stream *s) {
  return s->rest.slices && s->rest.at == s->rest.n && !s->lent && !s->broken;
}

static size_t bytes_of(const chaski_slice *slices, size_t n) {
  size_t bytes = 0;
  for (size_t i = 0; i < n; i++) bytes += slices[i].len;
  return bytes;
}

/* What is left, its array copied. When all is encrypted and only records wait, the last byte stays the owner's
 * nevertheless: `written` then says when they have left. */
static chaski__tls_rest kept_of(const chaski__tls_rest *rest) {
  bool encrypted = rest->at == rest->n;
  chaski_slice last = rest->slices[rest->n - 1];
  chaski_slice end = chaski_slice_of(last.ptr + last.len - 1, 1);
  size_t n = encrypted ? 1 : rest->n - rest->at;
  chaski_slice *copy = chaski__malloc(n * sizeof *copy);
  if (copy) memcpy(copy, encrypted ? &end : rest->slices + rest->at, n * sizeof *copy);
  return (chaski__tls_rest){copy, copy ? n : 0, encrypted && copy ? 1 : 0, encrypted ? 0 : rest->off};
}

/* From here on what is left of the rest is ours until `written`. Returns what was taken, or ENOMEM. */
static int64_t borrow(chaski_stream *s) {
  const chaski__tls_rest *rest = &s->rest;
  size_t taken = bytes_of(rest->slices, rest->at) + rest->off - (rest->at == rest->n);
  s->rest = kept_of(rest);
  return s->rest.slices ? (int64_t)taken : CHASKI_ENOMEM;
}

/* An inner stream that cannot write any more tells its end soon, and the peer's last word (an alert: why) before it.
 * Till then writes go into the void. */
static bool end_will_come(const chaski_stream *s) {
  return !s->inner_ended && !s->peer_done && !s->paused;
}

static int64_t write_out(chaski_stream *s, const chaski_slice *slices, size_t n) {
  s->rest = (chaski__tls_rest){slices, n, 0, 0};
  if (s->shaken) encrypt(s);
  if (!s->status && (s->rest.at < n || s->lent) && !s->broken) {
    int64_t taken = borrow(s);
    if (taken < 0) chaski__tls_fail(s, (int)taken, "");
    return taken;
  }
  s->rest = (chaski__tls_rest){0};
  return s->status ? s->status : (int64_t)bytes_of(slices, n);
}

int64_t chaski__tls_write(chaski_stream *s, const chaski_slice *slices, size_t n) {
  if (s->status) return s->status;
  int64_t taken = s->broken ? (int64_t)bytes_of(slices, n) : write_out(s, slices, n);
  if (s->status) chaski__tls_later(s);
  return s->broken && taken >= 0 && !end_will_come(s) ? s->broken : taken;
}

/* --- going on ----------------------------------------------------------------------------------------------------- */

void chaski__tls_write_on(chaski_stream *s) {
  if (!s->shaken || s->status || s->broken || s->lent) return;
  if (s->rest.slices) encrypt(s);
  bool done = s->rest.at == s->rest.n && !s->lent && !s->broken;
  if (!s->shut || s->inner_shut || !done || s->status) return;
  chaski__tls_goodbye(s);
  s->inner_shut = true;
  if (!s->broken) s->layer->inner->shutdown(s->inner);
}

void chaski__tls_shutdown(chaski_stream *s) {
  s->shut = true;
  chaski__tls_write_on(s);
}

void chaski__tls_on_written(void *user, int status) {
  chaski_stream *s = user;
  bool was_stuck = s->stuck;
  chaski__tls_buffer_return(s->layer, s->lent);
  s->lent = NULL;
  if (s->closing) return;
  if (status != CHASKI_OK) s->broken = status;
  s->stuck = false;
  chaski__tls_flush(s);
  chaski__tls_write_on(s);
  if (was_stuck)
    chaski__tls_go_on(s);
  else
    chaski__tls_settle(s);
}
