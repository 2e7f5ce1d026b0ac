/* topics.c: see topics.h. SPDX-License-Identifier: MIT */
#include "topics.h"

chaski__topic *chaski__topic_find(const chaski__topics *t, chaski_slice name) {
  chaski__topic *topic;
  const void *bytes = name.len ? (const void *)name.ptr : ""; /* an empty slice may point nowhere */
  HASH_FIND(hh, t->table, bytes, name.len, topic);
  return topic;
}

chaski__topic *chaski__topic_memorise(const chaski__topics *t, chaski__topic_memo *memo, chaski_slice key,
                                      chaski_slice name) {
  chaski__topic *topic = chaski__topic_find(t, name);
  bool fits = key.len && key.len <= sizeof memo->key;
  *memo = (chaski__topic_memo){.topic = topic, .generation = t->generation, .len = fits ? (uint8_t)key.len : 0};
  if (fits) memcpy(memo->key, key.ptr, key.len);
  return topic;
}

chaski__topic *chaski__topic_intern(chaski__topics *t, chaski_slice name) {
  chaski__topic *topic = chaski__topic_find(t, name);
  if (topic) return topic;
  topic = chaski__calloc(1, sizeof *topic + name.len + 1);
  if (!topic) return NULL;
  if (name.len) memcpy(topic->name, name.ptr, name.len);
  topic->len = name.len;
  HASH_ADD_KEYPTR(hh, t->table, topic->name, topic->len, topic);
  if (topic->hh.tbl) {
    t->generation++; /* a cached "unknown" is void too */
    return topic;
  }
  chaski__free(topic);
  return NULL;
}

void chaski__topic_drop(chaski__topics *t, chaski__topic *topic) {
  if (topic->subs || topic->edge_count || topic->busy) return;
  t->generation++;
  HASH_DEL(t->table, topic);
  chaski__free(topic->edges);
  chaski__free(topic);
}

bool chaski__topic_add_edge(chaski__topic *topic, chaski_edge *edge) {
  if (topic->edge_count == topic->edge_cap) {
    uint32_t cap = topic->edge_cap ? topic->edge_cap * 2 : 2;
    chaski_edge **edges = chaski__realloc(topic->edges, cap * sizeof *edges);
    if (!edges) return false;
    topic->edges = edges;
    topic->edge_cap = cap;
  }
  topic->edges[topic->edge_count++] = edge;
  return true;
}

void chaski__topic_remove_edge(chaski__topic *topic, const chaski_edge *edge) {
  for (uint32_t i = topic->edge_count; i-- > 0;) { /* from the end: edges mostly go in reverse */
    if (topic->edges[i] != edge) continue;
    topic->edges[i] = topic->edges[--topic->edge_count];
    return;
  }
}
