/* topics.h: the topics a node knows, by name: who subscribes here (subscriptions) and who of the peers does (edges).
 * One entry a topic, gone when nobody refers to it, so that publishing finds its edges without asking each.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_TOPICS_H
#define CHASKI_TOPICS_H

#include "node.h"

#include "containers.h"

struct chaski_subscription {
  chaski_node *node;
  struct chaski__topic *topic;
  void *user;
  bool dead;   /* removed while its topic's messages are being delivered: freed after */
  bool silent; /* no upcall */
  chaski_subscription *prev, *next;
};

typedef struct chaski__topic {
  chaski_subscription *subs; /* in the order of subscribing */
  chaski_edge **edges;       /* peers that announced it, in no order */
  uint32_t edge_count, edge_cap;
  uint32_t live_subs; /* subs that are not dead */
  uint32_t busy;      /* deliveries in progress: the entry stays */
  UT_hash_handle hh;
  size_t len;
  char name[]; /* NUL-terminated too */
} chaski__topic;

typedef struct chaski__topics {
  chaski__topic *table;
  uint64_t generation; /* changes when an entry goes: cached pointers are void then */
} chaski__topics;

#define CHASKI_TOPIC_REMEMBERED 32 /* bytes of a topic that a memo holds */

/* The topic looked up last, as streams of messages mostly have one. Zeroed: none. */
typedef struct chaski__topic_memo {
  chaski__topic *topic; /* NULL: unknown here */
  uint64_t generation;
  uint8_t len, key[CHASKI_TOPIC_REMEMBERED];
} chaski__topic_memo;

chaski__topic *chaski__topic_find(const chaski__topics *t, chaski_slice name);
chaski__topic *chaski__topic_memorise(const chaski__topics *t, chaski__topic_memo *memo, chaski_slice key,
                                      chaski_slice name);
/* The same, remembered under `key`: the name, or bytes that stand for it. */
static inline chaski__topic *chaski__topic_recall(const chaski__topics *t, chaski__topic_memo *memo, chaski_slice key,
                                                  chaski_slice name) {
  bool it = memo->generation == t->generation && memo->len && key.len == memo->len;
  if (it && memcmp(key.ptr, memo->key, key.len) == 0) return memo->topic;
  return chaski__topic_memorise(t, memo, key, name);
}
/* Find or make; NULL: out of memory. What is made must be referred to, or released with drop. */
chaski__topic *chaski__topic_intern(chaski__topics *t, chaski_slice name);
/* Free the entry if nobody refers to it any more. */
void chaski__topic_drop(chaski__topics *t, chaski__topic *topic);
bool chaski__topic_add_edge(chaski__topic *topic, chaski_edge *edge); /* false: out of memory */
void chaski__topic_remove_edge(chaski__topic *topic, const chaski_edge *edge);

#endif
