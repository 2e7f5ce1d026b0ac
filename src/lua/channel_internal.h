/* channel_internal.h: what the files of channels share. SPDX-License-Identifier: MIT */
#ifndef CHASKI_LUA_CHANNEL_INTERNAL_H
#define CHASKI_LUA_CHANNEL_INTERNAL_H

#include "../core/address.h"
#include "../tls/tls.h"
#include "binding.h"
#include "channel.h"

#define CHANNEL "chaski.channel"
#define LISTENER "chaski.channel_listener"
#define LIFE (10 * CHASKI_S)            /* of a conversation */
#define CHANNELS_MAX 64                 /* at once: of a listener, and dialled */
#define WHAT_MAX (CHASKI_HOST_MAX + 16) /* bytes of "channel host:port" */

typedef struct chaski_lua_channel channel; /* within the files of channels */
typedef struct chaski_lua_listener listener;

enum channel_state {
  DIALLING, /* until the TLS handshake is complete */
  OPEN,
  LEAVING, /* close was called: sending what is queued, then the end */
  DEAD,    /* the stream is closed, or will be at the next turn */
};

typedef struct block { /* a message on its way out */
  struct block *next;
  size_t len;
  uint8_t bytes[];
} block;

struct chaski_lua_channel {
  unsigned refs; /* the stream's until `closed`, the userdata's */
  chaski_runtime *rt;
  chaski_world *world;
  channel *next, **link; /* rt->channels, until `closed` */
  listener *from;        /* that accepted it, while that is there; NULL: dialled */
  chaski_tls_layer *layer;
  chaski_stream *stream; /* NULL: closed */
  enum channel_state state;
  bool dialled, heard, paused, borrowed, ended, shut; /* heard: the handshake is complete for sure */
  int status;                                         /* why it is dead */
  const char *detail;
  chaski_waiter *waiter; /* in connect or in receive; at most one */
  uint8_t *in;
  size_t in_len, in_cap;
  block *out, *out_last;
  size_t out_len;
  chaski_timer timer;
  channel **box; /* the userdata; NULL: collected, or not made yet */
  char what[WHAT_MAX];
};

struct chaski_lua_listener {
  unsigned refs; /* the transport's until `closed`, the userdata's */
  chaski_runtime *rt;
  chaski_world *world;
  listener *next, **link; /* rt->channel_listeners, until `closed` */
  chaski_tls_layer *layer;
  chaski_listener *core; /* NULL: closed */
  bool closing;
  uint16_t port;
  int self, serve; /* references in the registry while it listens */
};

/* --- channel.c --------------------------------------------------------------------------------------------------- */
extern const chaski_stream_events chaski__channel_events;
channel *chaski__channel_new(chaski_runtime *rt, chaski_tls_layer *layer); /* takes the layer over; NULL: no memory */
void chaski__channel_release(channel *c);
void chaski__channel_link(channel *c); /* into rt->channels */
void chaski__channel_end(channel *c, int status, const char *detail);
/* At once, of a listener; NULL: dialled. */
size_t chaski__channel_count(const chaski_runtime *rt, const listener *from);
/* Push an empty userdata of this class. */
void *chaski__channel_push_box(lua_State *L, chaski_runtime *rt, const char *class);
void chaski__channel_fill_box(channel **box, channel *c);
uint16_t chaski__channel_check_port(lua_State *L, int arg, lua_Integer least);
/* A layer on the current world's transport; CHASKI_OK or a code. */
int chaski__channel_layer(const chaski_runtime *rt, chaski_tls_context *client, chaski_tls_context *server,
                          chaski_tls_layer **out);

/* --- channel_listener.c ------------------------------------------------------------------------------------------ */
void chaski__channel_listener_close(listener *l); /* no more connections, and the end of those there are */
void chaski__open_channel_listener(lua_State *L); /* functions for the table on top */

#endif
