/* read.c: from the inner stream's bytes to the owner's. OpenSSL reads them where they lie; only what it does not read,
 * because the owner paused, is kept. SPDX-License-Identifier: MIT */
#include "internal.h"

#include "../core/alloc.h"

/* --- the view ----------------------------------------------------------------------------------------------------- */

static void forget(chaski_stream *s) {
  chaski__free(s->stash);
  s->stash = NULL;
  s->view = NULL;
  s->view_len = 0;
}

/* The view and these bytes after it, in memory of our own. */
static bool stash(chaski_stream *s, const uint8_t *bytes, size_t len) {
  uint8_t *both = chaski__malloc(s->view_len + len);
  if (!both) return false;
  memcpy(both, s->view, s->view_len);
  if (len > 0) memcpy(both + s->view_len, bytes, len);
  chaski__free(s->stash);
  s->view = s->stash = both;
  s->view_len += len;
  return true;
}

void chaski__tls_keep(chaski_stream *s) {
  if (s->view_len == 0 || s->status || s->peer_done) {
    forget(s);
    return;
  }
  if (!s->stash && !stash(s, NULL, 0)) {
    forget(s);
    chaski__tls_fail(s, CHASKI_ENOMEM, "");
  }
}

/* --- upcalls of the inner stream ---------------------------------------------------------------------------------- */

/* Does it look like TLS? A record of a handshake, or of an alert in answer to ours, begins with its kind and a 3. */
static bool sniff(chaski_stream *s, const uint8_t *bytes, size_t len) {
  for (size_t i = 0; i < len && s->sniffed < 2; i++) {
    bool kind = bytes[i] == SSL3_RT_HANDSHAKE || (bytes[i] == SSL3_RT_ALERT && s->dialled);
    if (s->sniffed++ == 0 ? !kind : bytes[i] != SSL3_VERSION_MAJOR) return false;
  }
  return true;
}

static void refuse_plain(chaski_stream *s) {
  const chaski__tls_fault_info *info = chaski__tls_fault_info_of(CHASKI__TLS_PLAIN);
  chaski__tls_count(s->layer, CHASKI__TLS_PLAIN);
  chaski__tls_fail(s, info->code, info->text);
}

static void take_in(chaski_stream *s, const uint8_t *bytes, size_t len) {
  if (!s->stash) {
    s->view = bytes;
    s->view_len = len;
  } else if (!stash(s, bytes, len)) {
    chaski__tls_fail(s, CHASKI_ENOMEM, "");
  }
}

void chaski__tls_on_data(void *user, const uint8_t *bytes, size_t len) {
  chaski_stream *s = user;
  if (s->closing || s->status || s->peer_done) return;
  if (sniff(s, bytes, len))
    take_in(s, bytes, len);
  else
    refuse_plain(s);
  chaski__tls_go_on(s);
}

void chaski__tls_on_end(void *user, int status) {
  chaski_stream *s = user;
  s->inner_ended = true;
  s->inner_end = status;
  chaski__tls_go_on(s);
}

/* --- decryption --------------------------------------------------------------------------------------------------- */

static bool reads(const chaski_stream *s) {
  return s->shaken && !s->paused && !s->closing && !s->status && !s->peer_done && !s->stuck;
}

/* Would SSL_read find anything, if only the end? In vain it would take a buffer and give it back. */
static bool has_more(const chaski_stream *s) {
  return s->view_len > 0 || s->inner_ended || SSL_has_pending(s->ssl);
}

/* As much as there is, or as the slab holds. *more: there may be more. */
static size_t gulp(chaski_stream *s, uint8_t *to, bool *more) {
  size_t len = 0;
  *more = true;
  while (len < CHASKI__TLS_BATCH && *more) {
    chaski__tls_clear_errors();
    int got = SSL_read(s->ssl, to + len, (int)(CHASKI__TLS_BATCH - len));
    if (got > 0)
      len += (size_t)got;
    else
      chaski__tls_outcome(s, got);
    *more = got > 0 && has_more(s);
  }
  return len;
}

static uint8_t *slab_of(chaski_stream *s) {
  if (!s->layer->slab) s->layer->slab = chaski__malloc(CHASKI__TLS_BATCH);
  if (!s->layer->slab) chaski__tls_fail(s, CHASKI_ENOMEM, "");
  return s->layer->slab;
}

void chaski__tls_read(chaski_stream *s) {
  bool more = true;
  while (more && reads(s)) {
    uint8_t *slab = slab_of(s);
    if (!slab) return;
    size_t len = gulp(s, slab, &more);
    chaski__tls_flush(s);
    more = more || (s->stuck && !s->lent);
    s->stuck = s->stuck && s->lent;
    if (len == 0) continue;
    s->heard = true;
    s->events.data(s->user, slab, len);
  }
}
