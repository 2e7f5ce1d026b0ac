/* containers.h: uthash and utlist with our allocator. Hash tables report a failed allocation instead of ending the
 * process: after HASH_ADD the element's hh.tbl is NULL then.
 * Source: https://troydhanson.github.io/uthash/userguide.html (out of memory)
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_CONTAINERS_H
#define CHASKI_CONTAINERS_H

#include "alloc.h"

#include <stdint.h>

/* Keyed by a secret; and the same with the process's own, for every table here that does not bring one. */
unsigned chaski__hash(const uint64_t secret[2], const void *key, size_t len);
unsigned chaski__table_hash(const void *key, size_t len);

#define HASH_FUNCTION(key, len, hash) (hash) = chaski__table_hash(key, len)
#define HASH_NONFATAL_OOM 1
#define uthash_malloc(sz) chaski__malloc(sz)
#define uthash_free(ptr, sz) chaski__free(ptr)

#include <uthash.h>
#include <utlist.h>

#endif
