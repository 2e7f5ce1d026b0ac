/* stream.c: a stream's life and the table of functions of the transport. None of them makes an upcall: what one has to
 * cause is left to the inner stream's next upcall or to a timer. SPDX-License-Identifier: MIT */
#include "internal.h"

#include "../core/alloc.h"

/* --- life --------------------------------------------------------------------------------------------------------- */

static void on_later(chaski_timer *timer) {
  chaski_stream *s = (chaski_stream *)(void *)((char *)timer - offsetof(chaski_stream, later));
  chaski__tls_go_on(s);
}

void chaski__tls_later(chaski_stream *s) {
  if (!chaski_timer_active(&s->later)) chaski_timer_start(s->layer->loop, &s->later, 0);
}

void chaski__tls_fail(chaski_stream *s, int code, const char *detail) {
  if (s->status) return;
  s->status = code;
  s->detail = detail;
}

static void destroy(chaski_stream *s) {
  chaski_timer_stop(s->layer->loop, &s->later);
  SSL_free(s->ssl);
  chaski__tls_peer_free(s->peer);
  chaski__tls_rest_free(s);
  chaski__free(s->stash);
  chaski__free(s->out);
  chaski__free(s->lent);
  chaski_tls_context_release(s->checked);
  chaski_tls_context_release(s->context);
  chaski_tls_layer_release(s->layer);
  chaski__free(s);
}

static bool equip(chaski_stream *s) {
  s->ssl = SSL_new(s->context->ssl);
  BIO *bio = s->ssl ? chaski__tls_bio_new(s) : NULL;
  if (!bio) return false;
  SSL_set_bio(s->ssl, bio, bio);
  SSL_set_app_data(s->ssl, s);
  if (s->dialled)
    SSL_set_connect_state(s->ssl);
  else
    SSL_set_accept_state(s->ssl);
  if (s->dialled && s->context->anonymous) SSL_certs_clear(s->ssl);
  return true;
}

static chaski_stream *stream_new(chaski_tls_layer *layer, chaski_tls_context *context, bool dialled) {
  chaski_stream *s = chaski__calloc(1, sizeof *s);
  if (!s) return NULL;
  s->layer = chaski_tls_layer_hold(layer);
  s->context = chaski_tls_context_hold(context);
  s->checked = chaski_tls_context_hold(context);
  s->dialled = dialled;
  s->detail = "";
  chaski_timer_init(&s->later, on_later);
  if (equip(s)) return s;
  destroy(s);
  return NULL;
}

/* --- the inner stream --------------------------------------------------------------------------------------------- */

static void on_connected(void *user, int status) {
  chaski_stream *s = user;
  s->up = status == CHASKI_OK;
  if (!s->up) chaski__tls_fail(s, status, "");
  chaski__tls_go_on(s);
}

static void on_closed(void *user) {
  chaski_stream *s = user;
  chaski_stream_events events = s->events;
  void *owner = s->user;
  destroy(s);
  if (events.closed) events.closed(owner); /* not when it was closed instead of opened */
}

static const chaski_stream_events inner_events = {on_connected, chaski__tls_on_data, chaski__tls_on_end,
                                                  chaski__tls_on_written, on_closed};

chaski_stream *chaski__tls_accept(chaski_tls_layer *layer, chaski_stream *inner) {
  chaski_stream *s = stream_new(layer, layer->server, false);
  if (!s) return NULL;
  s->inner = inner;
  s->up = true;
  layer->inner->open(inner, &inner_events, s);
  return s;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static void take_over(chaski_stream *s, const chaski_stream_events *events, void *user) {
  s->events = *events;
  s->user = user;
}

static int dial(void *ctx, const char *host, uint16_t port, const chaski_stream_events *events, void *user,
                chaski_stream **out) {
  chaski_tls_layer *layer = ctx;
  if (!layer->client) return CHASKI_ECERTIFICATE;
  chaski_stream *s = stream_new(layer, layer->client, true);
  if (!s) return CHASKI_ENOMEM;
  take_over(s, events, user);
  int rc = layer->inner->connect(layer->inner_ctx, host, port, &inner_events, s, &s->inner);
  if (rc == CHASKI_OK)
    *out = s;
  else
    destroy(s);
  return rc;
}

static void pause_stream(chaski_stream *s) {
  s->paused = true;
  chaski__tls_steer(s);
  if (s->broken && !s->status) chaski__tls_later(s);
}

/* What is here already comes first, and from the timer. */
static void resume_stream(chaski_stream *s) {
  if (!s->paused) return;
  s->paused = false;
  bool waits = s->view_len > 0 || SSL_has_pending(s->ssl) || s->inner_ended || s->peer_done || s->status;
  if (waits) chaski__tls_later(s);
  chaski__tls_steer(s);
}

/* Is nothing of either side left behind? Otherwise the close is an abort, and the peer must not take it for an end. */
static bool closes_in_order(const chaski_stream *s) {
  bool all_sent = !s->rest.slices && !s->lent && !s->broken;
  bool all_read = !s->paused && s->view_len == 0 && SSL_pending(s->ssl) == 0;
  return s->shaken && !s->status && !s->shut && all_sent && all_read;
}

static void close_stream(chaski_stream *s) {
  if (closes_in_order(s)) chaski__tls_goodbye(s);
  s->closing = true;
  chaski_timer_stop(s->layer->loop, &s->later);
  s->layer->inner->close(s->inner);
}

static size_t queued(const chaski_stream *s) {
  size_t own = (s->lent ? s->lent_len : 0) + (s->out ? s->out->len : 0);
  return own + s->layer->inner->queued(s->inner);
}

static int peer_address(const chaski_stream *s, char *host, uint16_t *port) {
  return s->layer->inner->peer_address(s->inner, host, port);
}

static int local_address(const chaski_stream *s, char *host, uint16_t *port) {
  return s->layer->inner->local_address(s->inner, host, port);
}

/* --- who the peer is ---------------------------------------------------------------------------------------------- */

static const char *peer_id(const chaski_stream *s) {
  return s->shaken && s->peer ? s->peer->id : NULL;
}

static const char *detail(const chaski_stream *s) {
  return s->detail;
}

static bool may(void *ctx, const chaski_stream *s, enum chaski_right right, chaski_slice topic) {
  const chaski_tls_layer *layer = ctx;
  const chaski_tls_context *own = layer->client ? layer->client : layer->server;
  if (!s) return own && chaski_tls_context_may(own, right, topic);
  return s->shaken && s->peer && chaski__tls_rights_allow(s->peer->rights, right, topic);
}

static int doubt(chaski_stream *s, enum chaski__tls_fault fault) {
  const chaski__tls_fault_info *info = chaski__tls_fault_info_of(fault);
  if (fault && !s->status) s->detail = info->text;
  return info->code;
}

static enum chaski__tls_fault look_again(chaski_stream *s, chaski_tls_context *current, int64_t now) {
  enum chaski__tls_role role = s->dialled ? CHASKI__TLS_SERVER : CHASKI__TLS_CLIENT;
  X509 *leaf = SSL_get0_peer_certificate(s->ssl);
  enum chaski__tls_fault fault =
      chaski__tls_verify(current, leaf, SSL_get_peer_cert_chain(s->ssl), role, now, &s->peer->not_after);
  if (fault) return fault;
  chaski_tls_context_release(s->checked);
  s->checked = chaski_tls_context_hold(current);
  return CHASKI__TLS_FINE;
}

static int check(chaski_stream *s) {
  chaski_tls_context *current = s->dialled ? s->layer->client : s->layer->server;
  if (!s->shaken || !s->peer) return CHASKI_OK;
  int64_t now = chaski__tls_wall(s->layer);
  if (now > s->peer->not_after) return doubt(s, CHASKI__TLS_EXPIRED);
  if (!current || current == s->checked) return CHASKI_OK;
  return doubt(s, look_again(s, current, now));
}

static int64_t expires(const chaski_stream *s) {
  int64_t own = chaski_tls_context_not_after(s->context), peer = s->peer ? s->peer->not_after : own;
  return own && own < peer ? own : peer;
}

/* --- what there is not -------------------------------------------------------------------------------------------- */

static int udp_open(void *ctx, const char *ip, uint16_t port, const chaski_udp_events *events, void *user,
                    chaski_udp **out) {
  (void)ctx, (void)ip, (void)port, (void)events, (void)user, (void)out;
  return CHASKI_EFORBIDDEN;
}

static uint16_t udp_port(const chaski_udp *udp) {
  (void)udp;
  return 0;
}

static int udp_send(chaski_udp *udp, const char *host, uint16_t port, const uint8_t *bytes, size_t len) {
  (void)udp, (void)host, (void)port, (void)bytes, (void)len;
  return CHASKI_EFORBIDDEN;
}

static void udp_close(chaski_udp *udp) {
  (void)udp;
}

const chaski_transport chaski_tls_transport = {
    .name = "tls",
    .connect = dial,
    .open = take_over,
    .write = chaski__tls_write,
    .shutdown = chaski__tls_shutdown,
    .pause = pause_stream,
    .resume = resume_stream,
    .close = close_stream,
    .queued = queued,
    .peer_address = peer_address,
    .local_address = local_address,
    .peer_id = peer_id,
    .detail = detail,
    .may = may,
    .check = check,
    .expires = expires,
    .listen = chaski__tls_listen,
    .listener_port = chaski__tls_listener_port,
    .listener_close = chaski__tls_listener_close,
    .udp_open = udp_open,
    .udp_port = udp_port,
    .udp_send = udp_send,
    .udp_close = udp_close,
};

/* --- of TLS only -------------------------------------------------------------------------------------------------- */

int chaski_tls_stream_export(chaski_stream *s, const char *label, uint8_t *out, size_t len) {
  if (!s->shaken) return CHASKI_EINVAL;
  int ok = SSL_export_keying_material(s->ssl, out, len, label, strlen(label), NULL, 0, 0);
  return ok == 1 ? CHASKI_OK : CHASKI_ETLS;
}

static void make_der(chaski__tls_peer *peer, X509 *certificate) {
  int len = i2d_X509(certificate, NULL);
  if (len <= 0) return;
  peer->der = chaski__malloc((size_t)len);
  unsigned char *at = peer->der;
  if (at) peer->der_len = (size_t)i2d_X509(certificate, &at);
}

chaski_slice chaski_tls_stream_peer_certificate(const chaski_stream *s) {
  if (!s->shaken || !s->peer) return chaski_slice_of(NULL, 0);
  if (!s->peer->der) make_der(s->peer, SSL_get0_peer_certificate(s->ssl));
  return chaski_slice_of(s->peer->der, s->peer->der_len);
}
