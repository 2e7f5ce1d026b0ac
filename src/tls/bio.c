/* bio.c: how OpenSSL sees the inner transport: it reads from the bytes at hand without a copy of ours, and writes into
 * a buffer that gathers records for one write. It never waits: out of bytes or out of room, it says "retry".
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include <openssl/bio.h>

static int on_read(BIO *bio, char *to, size_t len, size_t *read) {
  chaski_stream *s = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  if (s->view_len == 0) {
    BIO_set_retry_read(bio);
    return -1;
  }
  *read = len < s->view_len ? len : s->view_len;
  memcpy(to, s->view, *read);
  s->view += *read;
  s->view_len -= *read;
  return 1;
}

/* Nobody reads what comes after the end or after a failure. */
static bool into_the_void(const chaski_stream *s) {
  return s->broken || s->inner_shut || s->closing;
}

static bool has_room(chaski_stream *s) {
  return s->out->len < sizeof s->out->bytes;
}

static void append(chaski__tls_buffer *out, const char *from, size_t len, size_t *written) {
  size_t room = sizeof out->bytes - out->len;
  *written = len < room ? len : room;
  memcpy(out->bytes + out->len, from, *written);
  out->len += *written;
}

static int on_write(BIO *bio, const char *from, size_t len, size_t *written) {
  chaski_stream *s = BIO_get_data(bio);
  BIO_clear_retry_flags(bio);
  *written = len;
  if (into_the_void(s)) return 1;
  if (!s->out) s->out = chaski__tls_buffer_take(s->layer);
  if (!s->out) return -1;
  if (!has_room(s)) {
    BIO_set_retry_write(bio);
    return -1;
  }
  append(s->out, from, len, written);
  return 1;
}

static long on_control(BIO *bio, int command, long number, void *pointer) {
  (void)number;
  (void)pointer;
  const chaski_stream *s = BIO_get_data(bio);
  switch (command) {
  case BIO_CTRL_FLUSH:
    return 1; /* after the call of SSL, for several records at once */
  case BIO_CTRL_PENDING:
    return (long)s->view_len;
  case BIO_CTRL_WPENDING:
    return s->out ? (long)s->out->len : 0;
  default:
    return 0;
  }
}

BIO_METHOD *chaski__tls_bio_method(void) {
  BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "chaski transport");
  if (!method) return NULL;
  BIO_meth_set_read_ex(method, on_read);
  BIO_meth_set_write_ex(method, on_write);
  BIO_meth_set_ctrl(method, on_control);
  return method;
}

BIO *chaski__tls_bio_new(chaski_stream *s) {
  BIO *bio = BIO_new(s->layer->bio);
  if (!bio) return NULL;
  BIO_set_data(bio, s);
  BIO_set_init(bio, 1);
  return bio;
}
