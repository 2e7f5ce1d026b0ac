/* alloc.h: the allocator of the core. One for the process, as in libuv and OpenSSL, so that the header-only
 * containers (uthash) use it too and a test can make the n-th allocation fail.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_ALLOC_H
#define CHASKI_ALLOC_H

#include <stddef.h>

/* Contract as realloc(3): ptr NULL allocates, size 0 frees and returns NULL; NULL for size > 0 is failure and
 * leaves ptr as it was. */
typedef void *(*chaski_realloc_fn)(void *ptr, size_t size);

/* Install an allocator; NULL restores the C library's. Only while the core holds no block. */
void chaski_set_allocator(chaski_realloc_fn fn);
/* Blocks the core holds now (for leak checks in tests). */
size_t chaski_alloc_blocks(void);

void *chaski__malloc(size_t size);                /* size > 0; NULL on failure */
void *chaski__calloc(size_t count, size_t size);  /* zeroed; NULL on failure or overflow */
void *chaski__realloc(void *ptr, size_t size);    /* size > 0 */
void chaski__free(void *ptr);                     /* NULL is fine */
char *chaski__strndup(const char *s, size_t len); /* NUL-terminated copy; NULL on failure */

#endif
