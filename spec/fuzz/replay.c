/* replay.c: stands in for libFuzzer: runs the files and folders it is given through the target, then variations of them
 * (a byte changed, bytes cut out, doubled, spliced from another file), the same ones in every run.
 * FUZZ_VARIATIONS: how many in all. SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#define FILES_MAX 1024
#define BYTES_MAX 65536

static struct file {
  uint8_t *bytes;
  size_t len;
} files[FILES_MAX];
static size_t count, runs;
static uint64_t state = 88172645463325252;

static size_t draw(size_t below) { /* xorshift64* (Vigna) */
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return (size_t)(state * 2685821657736338717u >> 16) % below;
}

/* From a block of exactly that size, so that a read past the end is seen. */
static void run(const uint8_t *bytes, size_t len) {
  uint8_t *copy = malloc(len ? len : 1);
  FUZZ_CHECK(copy);
  if (len) memcpy(copy, bytes, len);
  LLVMFuzzerTestOneInput(copy, len);
  free(copy);
  runs++;
}

static void read_file(const char *path) {
  FILE *f = fopen(path, "rb");
  if (!f) {
    perror(path);
    exit(2);
  }
  if (count == FILES_MAX) {
    fprintf(stderr, "more than %d files\n", FILES_MAX);
    exit(2);
  }
  struct file *to = &files[count++];
  to->bytes = malloc(BYTES_MAX);
  FUZZ_CHECK(to->bytes);
  to->len = fread(to->bytes, 1, BYTES_MAX, f);
  fclose(f);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_folder(const char *path) {
  struct dirent **names;
  int n = scandir(path, &names, NULL, by_name);
  for (int i = 0; i < n; i++) {
    char file[4096];
    snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
    if (names[i]->d_name[0] != '.') read_file(file);
    free(names[i]);
  }
  if (n >= 0) free(names);
}

static size_t vary(uint8_t *to, size_t len) {
  size_t at = len ? draw(len) : 0, n = 1 + draw(8);
  const struct file *other = &files[draw(count)];
  if (n > len - at) n = len - at;
  switch (draw(6)) {
  case 0:
    if (len) to[at] = (uint8_t)draw(256);
    return len;
  case 1:
    if (len) to[at] ^= (uint8_t)(1u << draw(8));
    return len;
  case 2:
    memmove(to + at, to + at + n, len - at - n);
    return len - n;
  case 3:
    if (len + n > BYTES_MAX) return len;
    memmove(to + at + n, to + at, len - at);
    return len + n;
  case 4:
    return at;
  default:
    n = other->len ? draw(other->len) : 0;
    if (at + n > BYTES_MAX) return len;
    memcpy(to + at, other->bytes, n);
    return at + n > len ? at + n : len;
  }
}

int main(int argc, char **argv) {
  static uint8_t work[BYTES_MAX];
  const char *text = getenv("FUZZ_VARIATIONS");
  size_t variations = text ? strtoul(text, NULL, 10) : 5000;
  struct stat info;
  for (int i = 1; i < argc; i++) {
    if (stat(argv[i], &info) == 0 && S_ISDIR(info.st_mode))
      read_folder(argv[i]);
    else
      read_file(argv[i]);
  }
  for (size_t i = 0; i < count; i++) run(files[i].bytes, files[i].len);
  for (size_t i = 0; count && i < variations; i++) {
    const struct file *f = &files[i % count];
    size_t len = f->len;
    memcpy(work, f->bytes, len);
    for (size_t times = 1 + draw(4); times > 0; times--) len = vary(work, len);
    run(work, len);
  }
  printf("%zu executions over %zu files, no finding\n", runs, count);
  for (size_t i = 0; i < count; i++) free(files[i].bytes);
  return count ? 0 : 2;
}
