/* settings.c: what is fixed of our TLS: 1.3 and nothing else, both sides known by certificate, one application protocol
 * that both must name, no session that outlives its connection, nothing sent before the handshake is complete.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#define CERTIFICATES_MAX (64 * 1024) /* bytes of a peer's chain; ours are below 1 KiB each */

/* --- the application protocol ------------------------------------------------------------------------------------- */

static int choose(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *theirs,
                  unsigned theirs_len, void *unused) {
  (void)unused;
  chaski_stream *s = SSL_get_app_data(ssl);
  const chaski_tls_context *c = s->context;
  unsigned char *chosen;
  int rc = SSL_select_next_proto(&chosen, out_len, c->alpn, (unsigned)c->alpn_len, theirs, theirs_len);
  *out = chosen;
  if (rc == OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_OK;
  s->fault = CHASKI__TLS_ALPN;
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Does the list of versions of a ClientHello (a length in one byte, two bytes each) name 1.3? */
static bool knows_tls13(SSL *ssl) {
  const unsigned char *list;
  size_t len;
  if (!SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_supported_versions, &list, &len)) return false;
  for (size_t i = 1; i + 1 < len; i += 2)
    if (((unsigned)list[i] << 8 | list[i + 1]) == TLS1_3_VERSION) return true;
  return false;
}

/* OpenSSL asks `choose` only when the client named a protocol at all. */
static int on_client_hello(SSL *ssl, int *alert, void *unused) {
  (void)unused;
  const unsigned char *list;
  size_t len;
  unsigned protocols = TLSEXT_TYPE_application_layer_protocol_negotiation;
  if (!knows_tls13(ssl) || SSL_client_hello_get0_ext(ssl, protocols, &list, &len)) return SSL_CLIENT_HELLO_SUCCESS;
  ((chaski_stream *)SSL_get_app_data(ssl))->fault = CHASKI__TLS_ALPN;
  *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
  return SSL_CLIENT_HELLO_ERROR;
}

/* --- the rest ----------------------------------------------------------------------------------------------------- */

static bool choose_strength(SSL_CTX *ctx) {
  SSL_CTX_set_security_level(ctx, 2);
  return SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) && SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) &&
         SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384");
}

static bool forget_sessions(SSL_CTX *ctx) {
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_clear_options(ctx, SSL_OP_ENABLE_MIDDLEBOX_COMPAT); /* bytes for middle boxes that expect TLS 1.2 */
  return SSL_CTX_set_num_tickets(ctx, 0) == 1 && SSL_CTX_set_max_early_data(ctx, 0) == 1;
}

SSL_CTX *chaski__tls_settings(const chaski_tls_context *c) {
  SSL_CTX *ctx = SSL_CTX_new(TLS_method());
  if (!ctx) return NULL;
  if (!choose_strength(ctx) || !forget_sessions(ctx) ||
      SSL_CTX_set_alpn_protos(ctx, c->alpn, (unsigned)c->alpn_len) != 0) {
    SSL_CTX_free(ctx);
    return NULL;
  }
  SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS |
                            SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_max_cert_list(ctx, CERTIFICATES_MAX);
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | (c->anonymous ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT), NULL);
  SSL_CTX_set_cert_verify_callback(ctx, chaski__tls_verify_peer, NULL);
  SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
  SSL_CTX_set_alpn_select_cb(ctx, choose, NULL);
  return ctx;
}
