/* internal.h: what the files of the filter share: faults of a peer, identities, rights, contexts, layers, streams. The
 * other half of the folder, pki_*.c, has pki_internal.h; of it the filter uses the readers of PEM and of keys.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_TLS_INTERNAL_H
#define CHASKI_TLS_INTERNAL_H

#include "tls.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

#define CHASKI__TLS_RECORD 16384    /* bytes of plaintext in a record, RFC 8446 5.1 */
#define CHASKI__TLS_SEALED 16640    /* the most that a record is on the wire: the same and 256 */
#define CHASKI__TLS_BATCH 65536     /* plaintext read, and records written, at a time */
#define CHASKI__TLS_ID_MAX 65       /* bytes of a node's id with its NUL */
#define CHASKI__TLS_RIGHTS_MAX 4096 /* bytes of the text of a rights extension */
#define CHASKI__TLS_DEPTH 2         /* intermediates in a chain */

/* --- faults (fault.c): what may be wrong with a peer ------------------------------------------------------------ */
enum chaski__tls_fault {
  CHASKI__TLS_FINE,
  CHASKI__TLS_EXPIRED,
  CHASKI__TLS_NOT_YET_VALID,
  CHASKI__TLS_UNKNOWN_CA,
  CHASKI__TLS_SELF_SIGNED,
  CHASKI__TLS_REVOKED,
  CHASKI__TLS_NO_IDENTITY,
  CHASKI__TLS_MANY_IDENTITIES,
  CHASKI__TLS_OTHER_MESH,
  CHASKI__TLS_PURPOSE,
  CHASKI__TLS_AUTHORITY,
  CHASKI__TLS_NO_AUTHORITY,
  CHASKI__TLS_CHAIN_TOO_LONG,
  CHASKI__TLS_SIGNATURE,
  CHASKI__TLS_WEAK_KEY,
  CHASKI__TLS_WEAK_SIGNATURE,
  CHASKI__TLS_RIGHTS,
  CHASKI__TLS_BAD_CERTIFICATE,
  CHASKI__TLS_NO_CERTIFICATE,
  CHASKI__TLS_VERSION,
  CHASKI__TLS_PLAIN,
  CHASKI__TLS_ALPN,
  CHASKI__TLS_OTHER,
  CHASKI__TLS_DAMAGED,
  CHASKI__TLS_BROKEN,
  CHASKI__TLS_MEMORY,
};

typedef struct chaski__tls_fault_info {
  int code;         /* ECERTIFICATE, ETLS, ENOMEM */
  int x509;         /* X509_V_ERR_…, from which OpenSSL makes the alert; X509_V_OK: not found in verification */
  size_t counter;   /* offset in chaski_tls_counters; 0: not counted */
  const char *text; /* for people, static */
} chaski__tls_fault_info;

const chaski__tls_fault_info *chaski__tls_fault_info_of(enum chaski__tls_fault fault);
enum chaski__tls_fault chaski__tls_fault_of_x509(int x509_error);
/* Of the queue of errors that a failed call of SSL left, which it empties. *alert: the number of the alert received, or
 * -1. */
enum chaski__tls_fault chaski__tls_fault_of_queue(int *alert);
/* Before each call of SSL that may fail: the queue is everybody's. Mostly it is empty, and emptying it costs more than
 * to look. */
void chaski__tls_clear_errors(void);
typedef struct chaski__tls_alert { /* what an alert received says */
  int number, code;                /* code: ECERTIFICATE if it is about our certificate, else ETLS */
  enum chaski__tls_fault fault;    /* as which it is counted */
  const char *text;
} chaski__tls_alert;
const chaski__tls_alert *chaski__tls_alert_of(int number);

/* --- identity and rights (identity.c, rights.c) ----------------------------------------------------------------- */
typedef struct chaski__tls_identity {
  char uri[CHASKI_TLS_URI_MAX]; /* "chaski://MESH/ID" or "" */
  size_t mesh_len;
} chaski__tls_identity;

enum chaski__tls_fault chaski__tls_identity_read(const X509 *certificate, chaski__tls_identity *out);
const char *chaski__tls_identity_id(const chaski__tls_identity *identity); /* "ID" or "" */
bool chaski__tls_same_mesh(const chaski__tls_identity *a, const chaski__tls_identity *b);

/* The text of the extension (chaski__malloc), NULL when there is none. Checked, so that `allow` need not. */
enum chaski__tls_fault chaski__tls_rights_read(const X509 *certificate, char **out);
bool chaski__tls_rights_valid(const char *text);
bool chaski__tls_rights_allow(const char *text, enum chaski_right right, chaski_slice topic); /* text NULL: all */

/* --- contexts (context.c) --------------------------------------------------------------------------------------- */
struct chaski_tls_context {
  size_t refs;
  SSL_CTX *ssl;
  X509 *leaf;             /* NULL: none */
  STACK_OF(X509) * chain; /* what is sent after it */
  STACK_OF(X509) * roots;
  STACK_OF(X509_CRL) * lists;
  bool pinned, anonymous;
  uint8_t pin[CHASKI_TLS_PIN];
  chaski__tls_identity identity;
  char *rights;
  int64_t not_after;
  size_t alpn_len;
  uint8_t alpn[256]; /* as it goes over the wire: a length and the name */
};

int64_t chaski__tls_time(const ASN1_TIME *time); /* s since 1970 */
/* The SSL_CTX of a context, but for certificate and key (settings.c). NULL: OpenSSL has no memory. */
SSL_CTX *chaski__tls_settings(const chaski_tls_context *context);

/* --- verification (verify.c) ------------------------------------------------------------------------------------- */
typedef struct chaski__tls_peer {
  char id[CHASKI__TLS_ID_MAX];
  int64_t not_after; /* of the first certificate of the chain to expire */
  char *rights;
  uint8_t *der; /* made when asked for */
  size_t der_len;
} chaski__tls_peer;

void chaski__tls_peer_free(chaski__tls_peer *peer);

enum chaski__tls_role { CHASKI__TLS_CLIENT, CHASKI__TLS_SERVER };
/* Is leaf good for this role at time now? *not_after (may be NULL): until when the chain found is. */
enum chaski__tls_fault chaski__tls_verify(const chaski_tls_context *context, X509 *leaf, STACK_OF(X509) * untrusted,
                                          enum chaski__tls_role role, int64_t now, int64_t *not_after);
/* For SSL_CTX_set_cert_verify_callback: the stream is the SSL's app data; leaves its `peer` or `fault`. */
int chaski__tls_verify_peer(X509_STORE_CTX *found, void *unused);

/* --- layers (layer.c) -------------------------------------------------------------------------------------------- */
typedef struct chaski__tls_buffer { /* records on their way to the inner transport */
  size_t len;
  uint8_t bytes[CHASKI__TLS_BATCH + CHASKI__TLS_SEALED];
} chaski__tls_buffer;

struct chaski_tls_layer {
  size_t refs;
  chaski_loop *loop;
  const chaski_transport *inner;
  void *inner_ctx;
  chaski_tls_context *client, *server;
  BIO_METHOD *bio;
  chaski_tls_counters counters;
  chaski__tls_buffer *spare; /* one kept for the next that writes; or NULL */
  uint8_t *slab;             /* CHASKI__TLS_BATCH bytes of plaintext for `data`; made at the first need */
  uint8_t *gather;           /* CHASKI__TLS_RECORD bytes: a record made of small slices; the same */
};

int64_t chaski__tls_wall(const chaski_tls_layer *layer); /* s since 1970 */
void chaski__tls_count(chaski_tls_layer *layer, enum chaski__tls_fault fault);
chaski__tls_buffer *chaski__tls_buffer_take(chaski_tls_layer *layer); /* empty; NULL: no memory */
void chaski__tls_buffer_return(chaski_tls_layer *layer, chaski__tls_buffer *buffer);

/* --- streams ----------------------------------------------------------------------------------------------------- */
typedef struct chaski__tls_rest { /* where a write stands: `off` bytes of slices[at] are encrypted */
  const chaski_slice *slices;
  size_t n, at, off;
} chaski__tls_rest;

struct chaski_stream {
  chaski_tls_layer *layer;
  chaski_tls_context *context; /* that it was made with */
  chaski_tls_context *checked; /* that the peer was found good by last */
  chaski_stream *inner;
  SSL *ssl;
  chaski_stream_events events;
  void *user;
  chaski_timer later; /* upcalls that a function of the table must not make itself */
  chaski__tls_peer *peer;
  const char *detail;
  /* input: what SSL has not read yet */
  const uint8_t *view; /* in the bytes of the inner `data`, or in stash */
  size_t view_len;
  uint8_t *stash; /* the view, when it had to outlive that upcall; NULL: it had not */
  /* output */
  chaski__tls_buffer *out;            /* to be written */
  chaski__tls_buffer *lent;           /* borrowed by the inner transport */
  size_t lent_len;                    /* bytes of it that were not taken at once */
  chaski__tls_rest rest;              /* of a write of the owner's; slices are a copy, NULL: nothing is borrowed */
  int status;                         /* why the stream is dead, or CHASKI_OK */
  int broken;                         /* why nothing can be written to the inner stream, or CHASKI_OK */
  int inner_end;                      /* status of the inner `end` */
  enum chaski__tls_fault fault;       /* found in a callback of OpenSSL's */
  uint8_t sniffed;                    /* first bytes looked at, up to 2 */
  bool dialled, up;                   /* up: the inner stream is connected */
  bool shaken, told, heard;           /* the handshake is complete; a dialler's owner knows; data came */
  bool paused, inner_paused, stuck;   /* stuck: SSL cannot go on before its output has left */
  bool peer_done, inner_ended, ended; /* close_notify came; the inner `end` came; ours was told */
  bool shut, inner_shut, closing;     /* shutdown() was called; was passed on; close() was called */
};

/* stream.c */
void chaski__tls_fail(chaski_stream *s, int code, const char *detail); /* no upcall; the first failure stays */
void chaski__tls_later(chaski_stream *s);                              /* go on at the next turn */
/* progress.c: makes upcalls, but for outcome and steer. */
void chaski__tls_go_on(chaski_stream *s);  /* with the handshake, with reading; then settle */
void chaski__tls_settle(chaski_stream *s); /* keep what was not read, tell what is due, pause or resume within */
void chaski__tls_steer(chaski_stream *s);  /* pause or resume the inner stream, as is needed */
/* Note what a call of SSL that returned this means. */
void chaski__tls_outcome(chaski_stream *s, int result);
/* read.c */
void chaski__tls_on_data(void *user, const uint8_t *bytes, size_t len);
void chaski__tls_on_end(void *user, int status);
void chaski__tls_read(chaski_stream *s); /* and make `data` upcalls */
void chaski__tls_keep(chaski_stream *s); /* what was not read of the view outlives it */
/* write.c: none makes upcalls but on_written. */
int64_t chaski__tls_write(chaski_stream *s, const chaski_slice *slices, size_t n);
void chaski__tls_shutdown(chaski_stream *s);
void chaski__tls_on_written(void *user, int status);
void chaski__tls_flush(chaski_stream *s);           /* hand records over to the inner stream */
void chaski__tls_write_on(chaski_stream *s);        /* with the rest, then with shutdown() */
void chaski__tls_goodbye(chaski_stream *s);         /* close_notify, flushed */
bool chaski__tls_rest_gone(const chaski_stream *s); /* something is borrowed of the owner, and it has left */
void chaski__tls_rest_free(chaski_stream *s);
/* bio.c */
BIO_METHOD *chaski__tls_bio_method(void); /* NULL: no memory */
BIO *chaski__tls_bio_new(chaski_stream *s);

/* listener.c */
int chaski__tls_listen(void *ctx, const char *ip, uint16_t port, const chaski_listener_events *events, void *user,
                       chaski_listener **out);
uint16_t chaski__tls_listener_port(const chaski_listener *listener);
void chaski__tls_listener_close(chaski_listener *listener);
/* A stream over an inner one that was accepted; its `open` has been called. NULL: no memory. */
chaski_stream *chaski__tls_accept(chaski_tls_layer *layer, chaski_stream *inner);

#endif
