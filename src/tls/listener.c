/* listener.c: an inner listener, each of whose streams becomes one of ours. The inner stream is opened before the owner
 * hears of it, so that its `closed` comes whether the owner opens or closes. SPDX-License-Identifier: MIT */
#include "internal.h"

#include "../core/alloc.h"

#define TELL_EVERY UINT64_C(1000000000) /* ns between two errors told */

struct chaski_listener {
  chaski_tls_layer *layer;
  chaski_listener *inner;
  chaski_listener_events events;
  void *user;
  uint64_t quiet_until;
  bool closing;
};

static void on_error(void *user, int status) {
  chaski_listener *l = user;
  if (!l->closing) l->events.error(l->user, status);
}

static void refuse(chaski_listener *l, chaski_stream *inner, int status) {
  const chaski_env *env = chaski_loop_env(l->layer->loop);
  uint64_t now = env->now(env->ctx);
  l->layer->inner->close(inner);
  if (now < l->quiet_until) return;
  l->quiet_until = now + TELL_EVERY;
  on_error(l, status);
}

static void on_accept(void *user, chaski_stream *inner) {
  chaski_listener *l = user;
  if (!l->layer->server) {
    refuse(l, inner, CHASKI_ECERTIFICATE);
    return;
  }
  chaski_stream *s = chaski__tls_accept(l->layer, inner);
  if (s)
    l->events.accept(l->user, s);
  else
    refuse(l, inner, CHASKI_ENOMEM);
}

static void on_closed(void *user) {
  chaski_listener *l = user;
  chaski_listener_events events = l->events;
  void *owner = l->user;
  chaski_tls_layer_release(l->layer);
  chaski__free(l);
  events.closed(owner);
}

static const chaski_listener_events inner_events = {on_accept, on_error, on_closed};

int chaski__tls_listen(void *ctx, const char *ip, uint16_t port, const chaski_listener_events *events, void *user,
                       chaski_listener **out) {
  chaski_tls_layer *layer = ctx;
  if (!layer->server) return CHASKI_ECERTIFICATE;
  chaski_listener *l = chaski__calloc(1, sizeof *l);
  if (!l) return CHASKI_ENOMEM;
  l->events = *events;
  l->user = user;
  int rc = layer->inner->listen(layer->inner_ctx, ip, port, &inner_events, l, &l->inner);
  if (rc != CHASKI_OK) {
    chaski__free(l);
    return rc;
  }
  l->layer = chaski_tls_layer_hold(layer);
  *out = l;
  return CHASKI_OK;
}

uint16_t chaski__tls_listener_port(const chaski_listener *l) {
  return l->layer->inner->listener_port(l->inner);
}

void chaski__tls_listener_close(chaski_listener *l) {
  l->closing = true;
  l->layer->inner->listener_close(l->inner);
}
