/* tls.h: TLS 1.3 with mutual authentication as a filter over any byte transport of env.h. It sees no socket: over TCP
 * and over the network in memory it is the same code. Keys, requests and certificates are made in pki.h.
 *
 * A context says who we are and whom we trust; it never changes, so that it can be shared and swapped under live
 * streams. A layer is a transport of its own: the inner transport, and the contexts it dials and accepts with. Its
 * streams keep what they need of both.
 *
 * Identity is exactly one URI subject alternative name, chaski://MESH/ID (SPIFFE's rule: more than one is none); host
 * names and common names say nothing. RELIABILITY 5.3, section 6 points 16 to 25.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_TLS_H
#define CHASKI_TLS_H

#include "../core/env.h"
#include "../core/loop.h"

#define CHASKI_TLS_ALPN "chaski/1"
#define CHASKI_TLS_ALPN_CA "chaski-ca/1"
#define CHASKI_TLS_URI_MAX 256 /* bytes of an identity with its NUL */
#define CHASKI_TLS_WHY_MAX 256 /* bytes of an explanation with its NUL */
#define CHASKI_TLS_PIN 32      /* SHA-256 of a DER SubjectPublicKeyInfo */

typedef struct chaski_tls_context chaski_tls_context; /* reference-counted, immutable */
typedef struct chaski_tls_layer chaski_tls_layer;     /* reference-counted */

typedef struct chaski_tls_options {
  chaski_slice certificate; /* PEM, leaf first, then intermediates; empty: none (only with `anonymous`) */
  chaski_slice key;         /* PEM; with `passphrase` if it is encrypted */
  chaski_slice passphrase;
  chaski_slice ca;    /* PEM, the roots that are trusted, 1..8; empty: `pin` must be there */
  chaski_slice crl;   /* PEM or DER revocation lists of those roots, or empty */
  const uint8_t *pin; /* CHASKI_TLS_PIN bytes: trust exactly a chain whose root has this key; NULL: none */
  const char *alpn;   /* NULL: CHASKI_TLS_ALPN */
  bool anonymous;     /* client: present no certificate; server: do not insist on the client's (the CA's listener) */
  int64_t now; /* "valid now" is at this time, s since 1970 (a simulation has its own); 0: by the system's clock */
} chaski_tls_options;

/* Make a context: parse, check that key and certificate belong together, that the certificate has one identity (unless
 * anonymous), is valid now, may serve both roles, and that it chains to `ca` (when given). CHASKI_OK, ENOMEM, or
 * CHASKI_ECERTIFICATE and why (CHASKI_TLS_WHY_MAX bytes): which of the parts is wrong and how. Secrets never show up in
 * it. */
int chaski_tls_context_new(const chaski_tls_options *options, chaski_tls_context **out, char *why);
chaski_tls_context *chaski_tls_context_hold(chaski_tls_context *context);
void chaski_tls_context_release(chaski_tls_context *context);
/* A new context, like this one but with these revocation lists (which must be signed by a root of it). Codes as new. */
int chaski_tls_context_with_crl(const chaski_tls_context *context, chaski_slice crl, chaski_tls_context **out,
                                char *why);
const char *chaski_tls_context_identity(const chaski_tls_context *context); /* "chaski://MESH/ID", or "" */
const char *chaski_tls_context_id(const chaski_tls_context *context);       /* "ID", or "" */
int64_t chaski_tls_context_not_after(const chaski_tls_context *context);    /* s since 1970; 0 without certificate */
/* May the owner of the context's certificate do this? (see env.h `may`) */
bool chaski_tls_context_may(const chaski_tls_context *context, enum chaski_right right, chaski_slice topic);

/* A layer over inner (whose functions get inner_ctx). `client` for what it dials, `server` for what it accepts; either
 * may be NULL: then it cannot do that (ECERTIFICATE). Held, not taken. CHASKI_OK, ENOMEM. */
int chaski_tls_layer_new(chaski_loop *loop, const chaski_transport *inner, void *inner_ctx, chaski_tls_context *client,
                         chaski_tls_context *server, chaski_tls_layer **out);
chaski_tls_layer *chaski_tls_layer_hold(chaski_tls_layer *layer);
void chaski_tls_layer_release(chaski_tls_layer *layer); /* goes with its last stream and listener */
/* For streams to come, and for check() of those there are. */
void chaski_tls_layer_set_contexts(chaski_tls_layer *layer, chaski_tls_context *client, chaski_tls_context *server);

typedef struct chaski_tls_counters {
  uint64_t handshakes, refused; /* completed; failed for what the peer showed or did */
  uint64_t expired, not_yet_valid, unknown_ca, self_signed, revoked, no_identity, many_identities, bad_purpose,
      bad_signature, weak, no_certificate, other_mesh, version, plain, alpn, other; /* refusals by reason */
} chaski_tls_counters;
const chaski_tls_counters *chaski_tls_layer_counters(const chaski_tls_layer *layer);

/* The transport of a layer; ctx is the layer. It has no datagrams (udp_open: EFORBIDDEN). */
extern const chaski_transport chaski_tls_transport;

/* Of a stream of that transport whose handshake is complete: key material bound to this connection and both ends
 * (RFC 8446 7.5, RFC 9266), and the peer's certificate as DER (borrowed until the stream is closed; empty: none). */
int chaski_tls_stream_export(chaski_stream *stream, const char *label, uint8_t *out, size_t len);
chaski_slice chaski_tls_stream_peer_certificate(const chaski_stream *stream);

#endif
