/* shelf.c: see shelf.h. SPDX-License-Identifier: MIT */
#include "shelf.h"

#include <string.h>

struct chaski__source {
  UT_hash_handle hh;
  uint64_t id;
  size_t count; /* of its items; never 0 between calls */
  chaski__item *oldest;
};

void chaski__shelf_init(chaski__shelf *shelf, size_t max, const uint64_t secret[2]) {
  *shelf = (chaski__shelf){.max = max ? max : 1, .quota = max / 4 ? max / 4 : 1, .secret = {secret[0], secret[1]}};
}

chaski__item *chaski__shelf_find(const chaski__shelf *shelf, const void *key, size_t len) {
  chaski__item *item;
  unsigned hash = chaski__hash(shelf->secret, key, len);
  HASH_FIND_BYHASHVALUE(hh, shelf->items, key, len, hash, item);
  return item;
}

static chaski__source *find_source(const chaski__shelf *shelf, uint64_t id, unsigned hash) {
  chaski__source *source;
  HASH_FIND_BYHASHVALUE(hh, shelf->sources, &id, sizeof id, hash, source);
  return source;
}

static chaski__source *open_source(chaski__shelf *shelf, uint64_t id) {
  unsigned hash = chaski__hash(shelf->secret, &id, sizeof id);
  chaski__source *source = find_source(shelf, id, hash);
  if (source || !(source = chaski__calloc(1, sizeof *source))) return source;
  source->id = id;
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, shelf->sources, &source->id, sizeof id, hash, source);
  if (source->hh.tbl) return source;
  chaski__free(source);
  return NULL;
}

static void close_source(chaski__shelf *shelf, chaski__source *source) {
  if (!source || source->count > 0) return;
  HASH_DELETE(hh, shelf->sources, source);
  chaski__free(source);
}

static void link_youngest(chaski__shelf *shelf, chaski__item *item) {
  DL_APPEND2(shelf->oldest, item, prev, next);
  if (item->source) DL_APPEND2(item->source->oldest, item, older, younger);
}

static void unlink_item(chaski__shelf *shelf, chaski__item *item) {
  DL_DELETE2(shelf->oldest, item, prev, next);
  if (item->source) DL_DELETE2(item->source->oldest, item, older, younger);
}

/* One more than allowed is there at most: it was put up just now, and is not the oldest. */
static chaski__item *shed(chaski__shelf *shelf, chaski__source *source) {
  chaski__item *gone = NULL;
  if (source && source->count > shelf->quota) {
    gone = source->oldest;
    shelf->over_quota++;
  } else if (shelf->count > shelf->max) {
    gone = shelf->oldest;
  }
  if (gone) chaski__shelf_take(shelf, gone);
  return gone;
}

int chaski__shelf_add(chaski__shelf *shelf, chaski__item *item, const void *key, size_t len, uint64_t source,
                      chaski__item **gone) {
  item->source = source ? open_source(shelf, source) : NULL;
  if (source && !item->source) return CHASKI_ENOMEM;
  unsigned hash = chaski__hash(shelf->secret, key, len);
  HASH_ADD_KEYPTR_BYHASHVALUE(hh, shelf->items, key, len, hash, item);
  if (!item->hh.tbl) {
    close_source(shelf, item->source);
    return CHASKI_ENOMEM;
  }
  link_youngest(shelf, item);
  shelf->count++;
  if (item->source) item->source->count++;
  *gone = shed(shelf, item->source);
  return CHASKI_OK;
}

void chaski__shelf_touch(chaski__shelf *shelf, chaski__item *item) {
  unlink_item(shelf, item);
  link_youngest(shelf, item);
}

void chaski__shelf_take(chaski__shelf *shelf, chaski__item *item) {
  unlink_item(shelf, item);
  HASH_DELETE(hh, shelf->items, item);
  shelf->count--;
  if (item->source) item->source->count--;
  close_source(shelf, item->source);
}

static size_t table_bytes(const UT_hash_table *table) {
  return sizeof *table + table->num_buckets * sizeof *table->buckets;
}

size_t chaski__shelf_bytes(const chaski__shelf *shelf) {
  size_t bytes = shelf->items ? table_bytes(shelf->items->hh.tbl) : 0;
  if (shelf->sources)
    bytes += table_bytes(shelf->sources->hh.tbl) + HASH_COUNT(shelf->sources) * sizeof *shelf->sources;
  return bytes;
}
