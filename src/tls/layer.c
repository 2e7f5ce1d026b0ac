/* layer.c: a transport over a transport: the contexts new streams are made with, what the streams share, the counters.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

#include "../core/alloc.h"

int chaski_tls_layer_new(chaski_loop *loop, const chaski_transport *inner, void *inner_ctx, chaski_tls_context *client,
                         chaski_tls_context *server, chaski_tls_layer **out) {
  chaski_tls_layer *layer = chaski__calloc(1, sizeof *layer);
  if (!layer) return CHASKI_ENOMEM;
  layer->bio = chaski__tls_bio_method();
  if (!layer->bio) {
    chaski__free(layer);
    return CHASKI_ENOMEM;
  }
  layer->refs = 1;
  layer->loop = loop;
  layer->inner = inner;
  layer->inner_ctx = inner_ctx;
  layer->client = chaski_tls_context_hold(client);
  layer->server = chaski_tls_context_hold(server);
  *out = layer;
  return CHASKI_OK;
}

chaski_tls_layer *chaski_tls_layer_hold(chaski_tls_layer *layer) {
  layer->refs++;
  return layer;
}

void chaski_tls_layer_release(chaski_tls_layer *layer) {
  if (!layer || --layer->refs > 0) return;
  chaski_tls_context_release(layer->client);
  chaski_tls_context_release(layer->server);
  BIO_meth_free(layer->bio);
  chaski__free(layer->spare);
  chaski__free(layer->slab);
  chaski__free(layer->gather);
  chaski__free(layer);
}

void chaski_tls_layer_set_contexts(chaski_tls_layer *layer, chaski_tls_context *client, chaski_tls_context *server) {
  chaski_tls_context *old_client = layer->client, *old_server = layer->server;
  layer->client = chaski_tls_context_hold(client);
  layer->server = chaski_tls_context_hold(server);
  chaski_tls_context_release(old_client);
  chaski_tls_context_release(old_server);
}

const chaski_tls_counters *chaski_tls_layer_counters(const chaski_tls_layer *layer) {
  return &layer->counters;
}

int64_t chaski__tls_wall(const chaski_tls_layer *layer) {
  const chaski_env *env = chaski_loop_env(layer->loop);
  int64_t sec;
  uint32_t nsec;
  env->wall(env->ctx, &sec, &nsec);
  return sec;
}

void chaski__tls_count(chaski_tls_layer *layer, enum chaski__tls_fault fault) {
  size_t offset = chaski__tls_fault_info_of(fault)->counter;
  if (offset == 0) return;
  layer->counters.refused++;
  ++*(uint64_t *)((char *)&layer->counters + offset);
}

chaski__tls_buffer *chaski__tls_buffer_take(chaski_tls_layer *layer) {
  chaski__tls_buffer *buffer = layer->spare ? layer->spare : chaski__malloc(sizeof *buffer);
  layer->spare = NULL;
  if (buffer) buffer->len = 0;
  return buffer;
}

void chaski__tls_buffer_return(chaski_tls_layer *layer, chaski__tls_buffer *buffer) {
  if (layer->spare)
    chaski__free(buffer);
  else
    layer->spare = buffer;
}
