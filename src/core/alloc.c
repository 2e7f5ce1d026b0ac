/* alloc.c: see alloc.h. SPDX-License-Identifier: MIT */
#include "alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *libc_realloc(void *ptr, size_t size) {
  if (size > 0) return realloc(ptr, size);
  free(ptr);
  return NULL;
}

static chaski_realloc_fn allocator = libc_realloc;
static size_t blocks;

void chaski_set_allocator(chaski_realloc_fn fn) {
  allocator = fn ? fn : libc_realloc;
}

size_t chaski_alloc_blocks(void) {
  return blocks;
}

void *chaski__malloc(size_t size) {
  return chaski__realloc(NULL, size);
}

void *chaski__calloc(size_t count, size_t size) {
  if (size && count > SIZE_MAX / size) return NULL;
  void *p = chaski__malloc(count * size);
  return p ? memset(p, 0, count * size) : NULL;
}

void *chaski__realloc(void *ptr, size_t size) {
  void *p = allocator(ptr, size);
  if (p && !ptr) blocks++;
  return p;
}

void chaski__free(void *ptr) {
  if (!ptr) return;
  blocks--;
  allocator(ptr, 0);
}

char *chaski__strndup(const char *s, size_t len) {
  char *copy = chaski__malloc(len + 1);
  if (!copy) return NULL;
  if (len) memcpy(copy, s, len);
  copy[len] = '\0';
  return copy;
}
