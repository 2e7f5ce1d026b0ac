/* side.h: the two kinds of parties in the tests of the filter. A side is a stream of the filter and what its owner
 * heard; a raw is a peer made of OpenSSL alone over the network's own transport (or of no TLS at all), which does what
 * ours would never do. SPDX-License-Identifier: MIT */
#ifndef CHASKI_SPEC_TLS_SIDE_H
#define CHASKI_SPEC_TLS_SIDE_H

#include "tls_rig.h"

#include <openssl/ssl.h>

/* --- ours --------------------------------------------------------------------------------------------------------- */
typedef struct side {
  tls_rig *rig;
  chaski_stream *stream;
  int connected, status;
  int ended, end_status;
  int written, written_status;
  int closed, closing;
  size_t received, calls, largest; /* bytes of the pattern, upcalls, the most in one of them */
  bool wrong;                      /* a byte was not the pattern's */
  char detail[128];                /* when it failed */
  void (*on_connected)(struct side *), (*on_data)(struct side *), (*on_end)(struct side *);
  void (*on_written)(struct side *);
} side;

typedef struct door { /* a listener that accepts into sides[0], sides[1], … */
  tls_rig *rig;
  chaski_listener *listener;
  uint16_t port;
  side *sides;
  size_t accepted;
  bool pause;
  void (*on_accept)(side *);
} door;

void door_open(door *d, tls_rig *rig, side *sides);
void door_close(door *d);
void side_dial(side *s, tls_rig *rig, uint16_t port);
void side_close(side *s);
int64_t side_write(side *s, const uint8_t *bytes, size_t len);
uint8_t side_pattern(size_t offset);

/* --- raw ---------------------------------------------------------------------------------------------------------- */
typedef struct raw_options {
  const certs_pair *pair;     /* NULL: no certificate */
  const certs_pair *chain[4]; /* sent after it */
  const char *alpn;           /* as on the wire, "\x08chaski/1"; NULL: none */
  int version;                /* the highest spoken; 0: any */
  bool plain;                 /* no TLS */
} raw_options;

typedef struct raw {
  tls_rig *rig;
  raw_options options;
  chaski_stream *stream;
  chaski_listener *listener;
  uint16_t port;
  SSL_CTX *ctx;
  SSL *ssl;
  bool server, connected, shaken, ended, closing, closed, deaf; /* deaf: it does not look at what comes */
  int alert;                                                    /* received; -1: none */
  bool notified;                                                /* close_notify came */
  size_t received, wire;                                        /* bytes of plaintext, and as they came */
  uint8_t *borrowed;
} raw;

void raw_listen(raw *r, tls_rig *rig, const raw_options *options);
void raw_dial(raw *r, tls_rig *rig, const raw_options *options, uint16_t port);
void raw_write(raw *r, const void *bytes, size_t len); /* TLS or plain */
void raw_send(raw *r, const void *bytes, size_t len);  /* as it is */
void raw_pump(raw *r);                                 /* send what SSL has written */
void raw_fin(raw *r);                                  /* the end of the stream, no close_notify */
void raw_close(raw *r);                                /* at once; also the listener */
void raw_free(raw *r);

/* --- waiting ------------------------------------------------------------------------------------------------------ */
bool side_is_connected(void *side_);
bool side_is_ended(void *side_);
bool side_is_closed(void *side_);
bool side_is_known(void *side_); /* its handshake is complete */
bool raw_is_shaken(void *raw_);
bool raw_is_closed(void *raw_);
void rig_until(tls_rig *rig, bool (*done)(void *), void *user);
void rig_settle(tls_rig *rig);
void rig_gone(tls_rig *rig); /* until the network has no handle any more */

/* A side that dialled and one that accepted it, both with their handshake complete. */
void rig_pair(tls_rig *rig, door *d, side *dialler, side *acceptor);

#endif
