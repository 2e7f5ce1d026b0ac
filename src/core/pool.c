/* pool.c: see pool.h. Windows (window.h) and opaque ids stand on a shelf (shelf.h) each, which does order and quotas.
 * SPDX-License-Identifier: MIT */
#include "pool.h"

#include "alloc.h"
#include "shelf.h"
#include "uuid.h"
#include "window.h"

typedef struct opaque {
  chaski__item item;
  uint8_t text[];
} opaque;

typedef struct origin {
  chaski__item item;
  uint64_t id;
  chaski__window window;
} origin;

struct chaski_pool {
  origin *last; /* of the last message: the next one is mostly of the same. Also the youngest on its shelf. */
  chaski__shelf ids, origins;
  size_t item_bytes; /* of all on the shelves */
  uint64_t seen, stale, ahead, reanchored, evicted_ids, evicted_origins;
};

chaski_pool *chaski_pool_new(size_t max_ids, size_t max_origins) {
  chaski_pool *pool = chaski__calloc(1, sizeof *pool);
  if (!pool) return NULL;
  /* Where things lie in memory is the one thing at hand here that is not known outside. */
  uint64_t here = (uint64_t)(uintptr_t)pool, there = (uint64_t)(uintptr_t)&here;
  const uint64_t secret[2] = {here * 0x9e3779b97f4a7c15, there * 0xc2b2ae3d27d4eb4f};
  chaski__shelf_init(&pool->ids, max_ids, secret);
  chaski__shelf_init(&pool->origins, max_origins, secret);
  return pool;
}

void chaski_pool_set_share(chaski_pool *pool, size_t max_ids) {
  pool->ids.quota = max_ids;
}

static void free_opaque(chaski_pool *pool, chaski__item *item) {
  pool->item_bytes -= sizeof(opaque) + item->hh.keylen;
  chaski__free(item);
}

static void free_origin(chaski_pool *pool, chaski__item *item) {
  origin *o = (origin *)item;
  pool->item_bytes -= sizeof *o + chaski__window_bytes(&o->window);
  chaski__window_free(&o->window);
  chaski__free(o);
}

static void clear_shelf(chaski_pool *pool, chaski__shelf *shelf, void (*drop)(chaski_pool *, chaski__item *)) {
  for (chaski__item *item; (item = shelf->oldest);) {
    chaski__shelf_take(shelf, item);
    drop(pool, item);
  }
}

void chaski_pool_destroy(chaski_pool **pool) {
  if (!*pool) return;
  clear_shelf(*pool, &(*pool)->ids, free_opaque);
  clear_shelf(*pool, &(*pool)->origins, free_origin);
  chaski__free(*pool);
  *pool = NULL;
}

/* --- opaque ids --------------------------------------------------------------------------------------------- */
static bool is_id(chaski_slice id) {
  return id.len >= 1 && id.len <= CHASKI_POOL_ID_MAX;
}

static chaski__item *find_id(const chaski_pool *pool, chaski_slice id) {
  return chaski__shelf_find(&pool->ids, id.ptr, id.len);
}

static int add_id(chaski_pool *pool, chaski_slice id, uint64_t source) {
  opaque *o = chaski__malloc(sizeof *o + id.len);
  if (!o) return CHASKI_ENOMEM;
  memcpy(o->text, id.ptr, id.len);
  chaski__item *gone;
  if (chaski__shelf_add(&pool->ids, &o->item, o->text, id.len, source, &gone)) {
    chaski__free(o);
    return CHASKI_ENOMEM;
  }
  pool->item_bytes += sizeof *o + id.len;
  if (!gone) return CHASKI_OK;
  pool->evicted_ids++;
  free_opaque(pool, gone);
  return CHASKI_OK;
}

static int count_seen(chaski_pool *pool) {
  pool->seen++;
  return CHASKI_SEEN;
}

int chaski_pool_check_id(chaski_pool *pool, chaski_slice id, uint64_t source) {
  if (!is_id(id)) return CHASKI_EINVAL;
  if (find_id(pool, id)) return count_seen(pool);
  return add_id(pool, id, source) ? CHASKI_ENOMEM : CHASKI_NEW;
}

int chaski_pool_append(chaski_pool *pool, chaski_slice id) {
  if (!is_id(id)) return CHASKI_EINVAL;
  chaski__item *item = find_id(pool, id);
  if (!item) return add_id(pool, id, 0);
  chaski__shelf_touch(&pool->ids, item);
  return CHASKI_OK;
}

bool chaski_pool_contains(const chaski_pool *pool, chaski_slice id) {
  return is_id(id) && find_id(pool, id);
}

/* --- windows ------------------------------------------------------------------------------------------------ */
static origin *find_origin(const chaski_pool *pool, uint64_t id) {
  return (origin *)chaski__shelf_find(&pool->origins, &id, sizeof id);
}

static int begin_origin(chaski_pool *pool, uint64_t id, uint64_t seq, uint64_t source) {
  origin *o = chaski__malloc(sizeof *o);
  if (!o) return CHASKI_ENOMEM;
  o->id = id;
  chaski__window_init(&o->window, seq);
  chaski__item *gone;
  if (chaski__shelf_add(&pool->origins, &o->item, &o->id, sizeof o->id, source, &gone)) {
    chaski__free(o);
    return CHASKI_ENOMEM;
  }
  pool->item_bytes += sizeof *o;
  pool->last = o;
  if (!gone) return CHASKI_NEW;
  pool->evicted_origins++;
  free_origin(pool, gone);
  return CHASKI_NEW;
}

static int keep_ahead(chaski_pool *pool, origin *o, uint64_t seq, uint64_t source) {
  char text[CHASKI_UUID_TEXT];
  chaski_uuid_format(text, o->id, seq);
  chaski_slice id = chaski_slice_of(text, sizeof text);
  if (find_id(pool, id)) return count_seen(pool);
  if (add_id(pool, id, source)) return CHASKI_ENOMEM;
  pool->ahead++;
  if (chaski__window_ahead(&o->window, seq)) pool->reanchored++;
  return CHASKI_NEW;
}

/* Was seq once kept among the opaque ids, being far ahead then? */
static bool was_ahead(const chaski_pool *pool, origin *o, uint64_t seq) {
  if (!chaski__window_is_aside(&o->window, seq)) return false;
  char text[CHASKI_UUID_TEXT];
  chaski_uuid_format(text, o->id, seq);
  return find_id(pool, chaski_slice_of(text, sizeof text)) != NULL;
}

static int check_in(chaski_pool *pool, origin *o, uint64_t seq, uint64_t source) {
  bool known = was_ahead(pool, o, seq);
  int what = chaski__window_check(&o->window, seq);
  if (what == CHASKI_SEEN || (known && what != CHASKI_STALE)) return count_seen(pool);
  if (what == CHASKI_STALE) pool->stale++;
  return what == CHASKI__AHEAD ? keep_ahead(pool, o, seq, source) : what;
}

/* Kept out of line, so that the usual case saves no registers. */
__attribute__((noinline)) static int check_slowly(chaski_pool *pool, uint64_t id, uint64_t seq, uint64_t source) {
  origin *o = pool->last && pool->last->id == id ? pool->last : find_origin(pool, id);
  if (!o) return begin_origin(pool, id, seq, source);
  if (o != pool->last) chaski__shelf_touch(&pool->origins, &o->item);
  pool->last = o;
  pool->item_bytes -= chaski__window_bytes(&o->window);
  int what = check_in(pool, o, seq, source);
  pool->item_bytes += chaski__window_bytes(&o->window);
  return what;
}

int chaski_pool_check(chaski_pool *pool, uint64_t id, uint64_t seq, uint64_t source) {
  id &= CHASKI_ORIGIN_MAX;
  seq &= CHASKI_SEQ_MAX;
  if (pool->last && pool->last->id == id && chaski__window_next(&pool->last->window, seq)) return CHASKI_NEW;
  return check_slowly(pool, id, seq, source);
}

bool chaski_pool_knows(const chaski_pool *pool, chaski_slice uuid) {
  uint64_t id, seq;
  if (!chaski_uuid_parse(uuid, &id, &seq)) return chaski_pool_contains(pool, uuid);
  const origin *o = find_origin(pool, id);
  int what = o ? chaski__window_look(&o->window, seq) : CHASKI_NEW;
  if (what == CHASKI_SEEN || what == CHASKI_STALE || chaski_pool_contains(pool, uuid)) return true;
  char text[CHASKI_UUID_TEXT]; /* in lower case */
  chaski_uuid_format(text, id, seq);
  return chaski_pool_contains(pool, chaski_slice_of(text, sizeof text));
}

void chaski_pool_get_stats(const chaski_pool *pool, chaski_pool_stats *out) {
  *out = (chaski_pool_stats){
      .ids = pool->ids.count,
      .origins = pool->origins.count,
      .bytes = sizeof *pool + pool->item_bytes + chaski__shelf_bytes(&pool->ids) + chaski__shelf_bytes(&pool->origins),
      .seen = pool->seen,
      .stale = pool->stale,
      .ahead = pool->ahead,
      .reanchored = pool->reanchored,
      .evicted_ids = pool->evicted_ids,
      .evicted_of_source = pool->ids.over_quota,
      .evicted_origins = pool->evicted_origins,
  };
}
