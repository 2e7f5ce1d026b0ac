/* rights.c: who the peer is and what it may do, on links whose transport vouches for that (TLS). The others may do
 * everything. SPDX-License-Identifier: MIT */
#include "internal.h"

static const char *const right_names[] = {"publish", "subscribe", "relay"};

const char *chaski__peer_mismatch(const chaski__link *link, chaski_slice id) {
  const char *vouched = link->transport->peer_id ? link->transport->peer_id(link->stream) : NULL;
  if (!link->transport->peer_id) return NULL;
  if (!vouched || !chaski_slice_equal(id, chaski_slice_str(vouched)))
    return "the handshake does not name the node of the certificate";
  if (link->edge->expected && strcmp(link->edge->expected, vouched) != 0)
    return "the certificate is another node's than the one dialled";
  return NULL;
}

bool chaski__we_may(const chaski_node *node, enum chaski_right right, chaski_slice topic) {
  return !node->transport->may || node->transport->may(node->transport_ctx, NULL, right, topic);
}

bool chaski__peer_may(const chaski__link *link, enum chaski_right right, chaski_slice topic) {
  return !link->transport->may || !link->stream ||
         link->transport->may(link->node->transport_ctx, link->stream, right, topic);
}

bool chaski__we_may_pass_on(const chaski_node *node, chaski_slice topic) {
  return !node->transport->may || chaski__we_may(node, CHASKI_RIGHT_PUBLISH, topic) ||
         chaski__we_may(node, CHASKI_RIGHT_RELAY, topic);
}

/* What others published it may pass on only with a right of its own: an origin is easily forged. */
bool chaski__may_receive(chaski__link *link, const chaski_message *m) {
  bool own = m->ours && m->origin == link->edge->start;
  if (chaski__peer_may(link, CHASKI_RIGHT_PUBLISH, m->topic)) return true;
  if (!own && chaski__peer_may(link, CHASKI_RIGHT_RELAY, m->topic)) return true;
  link->node->counters.forbidden++;
  chaski__send_forbidden(link, CHASKI_RIGHT_PUBLISH, m->topic);
  return false;
}

void chaski__send_forbidden(chaski__link *link, enum chaski_right right, chaski_slice topic) {
  chaski_edge *edge = link->edge;
  if (edge->protocol == 0) return;
  if (link->state == LINK_NEW) chaski__set_text(&edge->forbidden, topic);
  if (link->state != LINK_LIVE) return;
  if (edge->forbidden_told && link->loop->now < edge->forbidden_told + CHASKI_S) return;
  edge->forbidden_told = link->loop->now;
  chaski__log(link->node, CHASKI_LOG_WARN, "%s may not %s", edge->name, right_names[right]);
  chaski__buf b = {0};
  chaski__mp_put_map(&b, 2);
  chaski__mp_put_key(&b, "right");
  chaski__mp_put_str(&b, chaski_slice_str(right_names[right]));
  chaski__mp_put_key(&b, "topic");
  chaski__mp_put_str(&b, topic);
  int r = chaski__send_command(link, "forbidden", &b);
  if (r == CHASKI_OK) return;
  link->failure = r;
  chaski__loop_dirty(link);
}

static bool right_of(chaski_slice name, enum chaski_right *right) {
  for (int i = 0; i < 3; i++) {
    *right = (enum chaski_right)i;
    if (chaski_slice_equal(name, chaski_slice_str(right_names[i]))) return true;
  }
  return false;
}

void chaski__receive_forbidden(chaski__link *link, const chaski_message *m) {
  enum { F_RIGHT, F_TOPIC, F_ALL };
  chaski__mp_field f[F_ALL] = {[F_RIGHT] = {.key = "right", .want = WANT_STR, .required = true},
                               [F_TOPIC] = {.key = "topic", .want = WANT_STR, .required = true}};
  const char *key;
  enum chaski_right right;
  chaski_node *node = link->node;
  if (chaski__mp_fields(m->data, f, F_ALL, &key))
    chaski__link_fail(link, CHASKI_EPROTOCOL, "forbidden: bad data");
  else if (!right_of(f[F_RIGHT].value.bytes, &right))
    node->counters.ignored++;
  else if (node->events.forbidden && link->state == LINK_LIVE)
    node->events.forbidden(node->user, link->edge, right, f[F_TOPIC].value.bytes);
}
