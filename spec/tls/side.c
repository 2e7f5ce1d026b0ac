/* side.c: see side.h. SPDX-License-Identifier: MIT */
#include "side.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const chaski_transport *const tls = &chaski_tls_transport;

uint8_t side_pattern(size_t offset) {
  return (uint8_t)((offset * 31) ^ (offset >> 8) ^ (offset >> 16));
}

/* --- upcalls of a side -------------------------------------------------------------------------------------------- */

static void note_detail(side *s, int status) {
  if (status) snprintf(s->detail, sizeof s->detail, "%s", tls->detail(s->stream));
}

static void on_connected(void *user, int status) {
  side *s = user;
  s->connected++;
  s->status = status;
  note_detail(s, status);
  if (s->on_connected) s->on_connected(s);
}

static void on_data(void *user, const uint8_t *bytes, size_t len) {
  side *s = user;
  for (size_t i = 0; i < len; i++) s->wrong = s->wrong || bytes[i] != side_pattern(s->received + i);
  s->received += len;
  s->calls++;
  if (len > s->largest) s->largest = len;
  if (s->on_data) s->on_data(s);
}

static void on_end(void *user, int status) {
  side *s = user;
  s->ended++;
  s->end_status = status;
  note_detail(s, status);
  if (s->on_end) s->on_end(s);
}

static void on_written(void *user, int status) {
  side *s = user;
  s->written++;
  s->written_status = status;
  if (s->on_written) s->on_written(s);
}

static void on_closed(void *user) {
  side *s = user;
  s->closed++;
  s->stream = NULL;
}

static const chaski_stream_events side_events = {on_connected, on_data, on_end, on_written, on_closed};

/* --- doors -------------------------------------------------------------------------------------------------------- */

static void on_accept(void *user, chaski_stream *stream) {
  door *d = user;
  side *s = &d->sides[d->accepted++];
  s->rig = d->rig;
  s->stream = stream;
  tls->open(stream, &side_events, s);
  if (d->pause) tls->pause(stream);
  if (d->on_accept) d->on_accept(s);
}

static void on_error(void *user, int status) {
  (void)user, (void)status;
}

static void on_door_closed(void *user) {
  ((door *)user)->listener = NULL;
}

static const chaski_listener_events door_events = {on_accept, on_error, on_door_closed};

void door_open(door *d, tls_rig *rig, side *sides) {
  d->rig = rig;
  d->sides = sides;
  assert_int_equal(tls->listen(rig->layer, "127.0.0.1", 0, &door_events, d, &d->listener), CHASKI_OK);
  d->port = tls->listener_port(d->listener);
}

void door_close(door *d) {
  tls->listener_close(d->listener);
}

/* --- calls of a side ---------------------------------------------------------------------------------------------- */

void side_dial(side *s, tls_rig *rig, uint16_t port) {
  s->rig = rig;
  assert_int_equal(tls->connect(rig->layer, "127.0.0.1", port, &side_events, s, &s->stream), CHASKI_OK);
}

void side_close(side *s) {
  if (s->closing || !s->stream) return;
  s->closing = 1;
  tls->close(s->stream);
}

int64_t side_write(side *s, const uint8_t *bytes, size_t len) {
  chaski_slice slice = chaski_slice_of(bytes, len);
  return tls->write(s->stream, &slice, 1);
}

/* --- raw: what SSL reads and writes ------------------------------------------------------------------------------- */

void raw_send(raw *r, const void *bytes, size_t len) {
  chaski_slice slice = chaski_slice_of(bytes, len);
  const chaski_transport *t = r->rig->base->transport;
  uint8_t *copy = malloc(len);
  assert_true(copy && !r->borrowed);
  memcpy(copy, bytes, len);
  slice.ptr = copy;
  int64_t taken = t->write(r->stream, &slice, 1);
  if (taken >= 0 && (size_t)taken < len)
    r->borrowed = copy;
  else
    free(copy);
}

void raw_pump(raw *r) {
  char *bytes;
  long len = BIO_get_mem_data(SSL_get_wbio(r->ssl), &bytes);
  if (len <= 0 || r->closing || r->borrowed) return;
  raw_send(r, bytes, (size_t)len);
  BIO_reset(SSL_get_wbio(r->ssl));
}

static void advance(raw *r) {
  uint8_t block[4096];
  int got = 1;
  ERR_clear_error();
  if (!r->shaken) r->shaken = SSL_do_handshake(r->ssl) == 1;
  while (r->shaken && got > 0) {
    ERR_clear_error();
    got = SSL_read(r->ssl, block, sizeof block);
    if (got > 0) r->received += (size_t)got;
  }
  r->notified = SSL_get_shutdown(r->ssl) & SSL_RECEIVED_SHUTDOWN;
  ERR_clear_error();
  raw_pump(r);
}

void raw_write(raw *r, const void *bytes, size_t len) {
  if (r->options.plain) {
    raw_send(r, bytes, len);
    return;
  }
  ERR_clear_error();
  assert_int_equal(SSL_write(r->ssl, bytes, (int)len), (int)len);
  raw_pump(r);
}

/* --- raw: the network's upcalls ----------------------------------------------------------------------------------- */

static void raw_on_connected(void *user, int status) {
  raw *r = user;
  r->connected = status == CHASKI_OK;
  if (r->connected && r->ssl) advance(r);
}

static void raw_on_data(void *user, const uint8_t *bytes, size_t len) {
  raw *r = user;
  r->wire += len;
  if (!r->ssl || r->deaf) return;
  BIO_write(SSL_get_rbio(r->ssl), bytes, (int)len);
  advance(r);
}

static void raw_on_end(void *user, int status) {
  (void)status;
  ((raw *)user)->ended = true;
}

static void raw_on_written(void *user, int status) {
  raw *r = user;
  free(r->borrowed);
  r->borrowed = NULL;
  if (status == CHASKI_OK && r->ssl) raw_pump(r);
}

static void raw_on_closed(void *user) {
  raw *r = user;
  r->closed = true;
  r->stream = NULL;
}

static const chaski_stream_events raw_events = {raw_on_connected, raw_on_data, raw_on_end, raw_on_written,
                                                raw_on_closed};

static void raw_on_accept(void *user, chaski_stream *stream) {
  raw *r = user;
  r->stream = stream;
  r->connected = true;
  r->rig->base->transport->open(stream, &raw_events, r);
}

static void raw_on_listener_closed(void *user) {
  ((raw *)user)->listener = NULL;
}

static const chaski_listener_events raw_door_events = {raw_on_accept, on_error, raw_on_listener_closed};

/* --- raw: life ---------------------------------------------------------------------------------------------------- */

static void on_info(const SSL *ssl, int where, int value) {
  raw *r = SSL_get_app_data(ssl);
  if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && (value & 0xff) != SSL_AD_CLOSE_NOTIFY)
    r->alert = value & 0xff;
}

static int choose_first(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *list,
                        unsigned len, void *arg) {
  (void)ssl, (void)list, (void)len;
  const char *ours = arg;
  *out = (const unsigned char *)ours + 1;
  *out_len = (unsigned char)ours[0];
  return SSL_TLSEXT_ERR_OK;
}

static void set_alpn(raw *r) {
  const char *alpn = r->options.alpn;
  if (!alpn) return;
  if (r->server)
    SSL_CTX_set_alpn_select_cb(r->ctx, choose_first, (void *)(uintptr_t)alpn);
  else
    assert_int_equal(SSL_CTX_set_alpn_protos(r->ctx, (const unsigned char *)alpn, (unsigned)strlen(alpn)), 0);
}

static void set_certificate(raw *r) {
  const certs_pair *pair = r->options.pair;
  SSL_CTX_set_security_level(r->ctx, 0);
  SSL_CTX_set_mode(r->ctx, SSL_MODE_NO_AUTO_CHAIN);
  if (!pair) return;
  assert_int_equal(SSL_CTX_use_certificate(r->ctx, pair->certificate), 1);
  assert_int_equal(SSL_CTX_use_PrivateKey(r->ctx, pair->key), 1);
  for (size_t i = 0; i < 4 && r->options.chain[i]; i++)
    assert_int_equal(SSL_CTX_add1_chain_cert(r->ctx, r->options.chain[i]->certificate), 1);
}

/* Accepts whatever it is shown. */
static int accept_all(X509_STORE_CTX *ctx, void *arg) {
  (void)ctx, (void)arg;
  return 1;
}

static void begin(raw *r, tls_rig *rig, const raw_options *options, bool server) {
  *r = (raw){.rig = rig, .options = *options, .server = server, .alert = -1};
  if (options->plain) return;
  r->ctx = SSL_CTX_new(TLS_method());
  set_certificate(r);
  set_alpn(r);
  if (options->version) SSL_CTX_set_max_proto_version(r->ctx, options->version);
  SSL_CTX_set_verify(r->ctx, SSL_VERIFY_PEER, NULL);
  SSL_CTX_set_cert_verify_callback(r->ctx, accept_all, NULL);
  SSL_CTX_set_num_tickets(r->ctx, 0);
  r->ssl = SSL_new(r->ctx);
  SSL_set_app_data(r->ssl, r);
  SSL_set_info_callback(r->ssl, on_info);
  SSL_set_bio(r->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  if (server)
    SSL_set_accept_state(r->ssl);
  else
    SSL_set_connect_state(r->ssl);
}

void raw_listen(raw *r, tls_rig *rig, const raw_options *options) {
  begin(r, rig, options, true);
  const chaski_transport *t = rig->base->transport;
  assert_int_equal(t->listen(rig->base->ctx, "127.0.0.1", 0, &raw_door_events, r, &r->listener), CHASKI_OK);
  r->port = t->listener_port(r->listener);
}

void raw_dial(raw *r, tls_rig *rig, const raw_options *options, uint16_t port) {
  begin(r, rig, options, false);
  const chaski_transport *t = rig->base->transport;
  assert_int_equal(t->connect(rig->base->ctx, "127.0.0.1", port, &raw_events, r, &r->stream), CHASKI_OK);
}

void raw_fin(raw *r) {
  r->rig->base->transport->shutdown(r->stream);
}

void raw_close(raw *r) {
  const chaski_transport *t = r->rig->base->transport;
  if (r->stream && !r->closing) t->close(r->stream);
  if (r->listener) t->listener_close(r->listener);
  r->closing = true;
}

void raw_free(raw *r) {
  SSL_free(r->ssl);
  SSL_CTX_free(r->ctx);
  free(r->borrowed);
}

/* --- waiting ------------------------------------------------------------------------------------------------------ */

bool side_is_connected(void *user) {
  return ((side *)user)->connected > 0;
}

bool side_is_ended(void *user) {
  return ((side *)user)->ended > 0;
}

bool side_is_closed(void *user) {
  return ((side *)user)->closed > 0;
}

bool side_is_known(void *user) {
  side *s = user;
  return s->stream && tls->peer_id(s->stream);
}

bool raw_is_shaken(void *user) {
  return ((raw *)user)->shaken;
}

bool raw_is_closed(void *user) {
  return ((raw *)user)->closed;
}

void rig_until(tls_rig *rig, bool (*done)(void *), void *user) {
  assert_true(contract_until(&rig->fixture, done, user));
}

void rig_settle(tls_rig *rig) {
  contract_settle(&rig->fixture, 100000000);
}

static bool no_handles(void *user) {
  contract_fixture *f = user;
  return f->leaks(f->impl) == 0;
}

void rig_gone(tls_rig *rig) {
  rig_until(rig, no_handles, &rig->fixture);
}

void rig_pair(tls_rig *rig, door *d, side *dialler, side *acceptor) {
  door_open(d, rig, acceptor);
  side_dial(dialler, rig, d->port);
  rig_until(rig, side_is_connected, dialler);
  assert_string_equal(dialler->detail, "");
  assert_int_equal(dialler->status, CHASKI_OK);
  rig_until(rig, side_is_known, acceptor);
}
