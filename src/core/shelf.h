/* shelf.h: a bounded set of keyed items in the order of their age, with a quota by source: beyond the bound the oldest
 * goes, beyond the quota the oldest of the same source. Everything is O(1). It knows nothing of what the items are:
 * their memory is the caller's, before and after.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_SHELF_H
#define CHASKI_SHELF_H

#include "containers.h"
#include "error.h"

#include <stdint.h>

typedef struct chaski__source chaski__source;

/* To be the first member of what is kept. */
typedef struct chaski__item {
  UT_hash_handle hh;                    /* hh.keylen: bytes of the key */
  struct chaski__item *prev, *next;     /* by age, oldest first */
  struct chaski__item *older, *younger; /* the same among those of its source */
  chaski__source *source;               /* NULL: of none */
} chaski__item;

typedef struct chaski__shelf {
  chaski__item *items, *oldest;
  chaski__source *sources; /* those with an item here */
  size_t count, max, quota;
  uint64_t over_quota; /* items that had to go for others of their source */
  uint64_t secret[2];  /* of the hash */
} chaski__shelf;

/* secret: something an outsider does not know, so that nobody can choose keys that collide. */
void chaski__shelf_init(chaski__shelf *shelf, size_t max, const uint64_t secret[2]);
chaski__item *chaski__shelf_find(const chaski__shelf *shelf, const void *key, size_t len); /* NULL: not here */
/* Put up an item as the youngest. The key is not here yet and lives as long as the item. source 0: without quota.
 * CHASKI_OK, and *gone is the item that had to go for it (taken out; the caller frees it) or NULL; or CHASKI_ENOMEM
 * and nothing has changed. */
int chaski__shelf_add(chaski__shelf *shelf, chaski__item *item, const void *key, size_t len, uint64_t source,
                      chaski__item **gone);
void chaski__shelf_touch(chaski__shelf *shelf, chaski__item *item); /* it becomes the youngest */
void chaski__shelf_take(chaski__shelf *shelf, chaski__item *item);  /* out of the shelf */
size_t chaski__shelf_bytes(const chaski__shelf *shelf);             /* beside the struct and the items */

#endif
