/* subscribe.c: what a node takes an interest in: topics, commands, and what it passes on.
 * SPDX-License-Identifier: MIT */
#include "internal.h"

/* Peers are told at the next turn, once for any number of changes. */
static void changed(chaski_node *node) {
  if (node->state == NODE_RUNNING && !chaski_timer_active(&node->topics_timer))
    chaski_timer_start(node->loop, &node->topics_timer, 0);
}

int chaski_node_subscribe(chaski_node *node, chaski_slice name, void *sub_user, chaski_subscription **out) {
  if (!name.len) return CHASKI_EINVAL;
  if (name.len + 3 > node->limits.topic_max) return CHASKI_ETOOBIG;
  if (!chaski__we_may(node, CHASKI_RIGHT_SUBSCRIBE, name)) return CHASKI_EFORBIDDEN;
  chaski_subscription *s = chaski__calloc(1, sizeof *s);
  chaski__topic *topic = s ? chaski__topic_intern(&node->topics, name) : NULL;
  if (!topic) {
    chaski__free(s);
    return CHASKI_ENOMEM;
  }
  s->topic = topic;
  s->user = sub_user;
  s->node = node;
  DL_APPEND(topic->subs, s);
  if (topic->live_subs++ == 0) changed(node);
  *out = s;
  return CHASKI_OK;
}

void chaski_subscription_silence(chaski_subscription *sub) {
  sub->silent = true;
}

void chaski_subscription_remove(chaski_subscription *s) {
  chaski__topic *topic = s->topic;
  chaski_node *node = s->node;
  if (s->dead) return;
  s->dead = true;
  if (--topic->live_subs == 0) changed(node);
  if (topic->busy) return; /* swept when the delivery is over */
  DL_DELETE(topic->subs, s);
  chaski__free(s);
  chaski__topic_drop(&node->topics, topic);
}

void chaski_node_topics(const chaski_node *node, void (*fn)(void *ctx, chaski_slice topic), void *ctx) {
  chaski__topic *t, *next;
  HASH_ITER(hh, node->topics.table, t, next) {
    if (t->live_subs) fn(ctx, chaski_slice_of(t->name, t->len));
  }
}

bool chaski_node_subscribed(const chaski_node *node, chaski_slice topic) {
  const chaski__topic *t = chaski__topic_find(&node->topics, topic);
  return t && t->live_subs;
}

/* --- commands ----------------------------------------------------------------------------------------------- */
static chaski__command *command_find(chaski__command *table, chaski_slice name) {
  chaski__command *c;
  HASH_FIND(hh, table, name.ptr, name.len, c);
  return c;
}

static chaski__command *command_add(chaski__command **table, chaski_slice name) {
  chaski__command *c = chaski__calloc(1, sizeof *c + name.len + 1);
  if (!c) return NULL;
  memcpy(c->name, name.ptr, name.len);
  c->len = name.len;
  HASH_ADD_KEYPTR(hh, *table, c->name, c->len, c);
  if (c->hh.tbl) return c;
  chaski__free(c);
  return NULL;
}

static void command_remove(chaski__command **table, chaski_slice name) {
  chaski__command *c = command_find(*table, name);
  if (!c) return;
  HASH_DEL(*table, c);
  chaski__free(c);
}

static bool command_valid(chaski_slice name) {
  return name.len && name.len <= CHASKI_COMMAND_MAX && !chaski__is_protocol_command(name);
}

int chaski_node_handle(chaski_node *node, chaski_slice command, void *handler) {
  if (!command_valid(command) || chaski_slice_equal(command, chaski_slice_str("ChaskiMessage"))) return CHASKI_EINVAL;
  if (!handler) {
    node->handled = NULL;
    command_remove(&node->commands, command);
    return CHASKI_OK;
  }
  chaski__command *c = command_find(node->commands, command);
  if (!c) c = command_add(&node->commands, command);
  if (!c) return CHASKI_ENOMEM;
  c->handler = handler;
  return CHASKI_OK;
}

int chaski_node_add_propagation_command(chaski_node *node, chaski_slice command) {
  if (!command_valid(command)) return CHASKI_EINVAL;
  if (command_find(node->propagated, command)) return CHASKI_OK;
  return command_add(&node->propagated, command) ? CHASKI_OK : CHASKI_ENOMEM;
}

void chaski_node_remove_propagation_command(chaski_node *node, chaski_slice command) {
  node->passed_on = NULL;
  command_remove(&node->propagated, command);
}

bool chaski_node_propagation(const chaski_node *node) {
  return node->propagation;
}

void chaski_node_set_propagation(chaski_node *node, bool on) {
  if (node->propagation == on) return;
  node->propagation = on;
  changed(node);
}

void chaski__commands_free(chaski__command **table) {
  chaski__command *c, *next;
  HASH_ITER(hh, *table, c, next) {
    HASH_DEL(*table, c);
    chaski__free(c);
  }
}
