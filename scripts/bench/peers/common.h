/* common.h: what the peers' programs share: options, clock, what they tell scripts/bench/run, payloads and their count,
 * round trips. A payload's first eight bytes are its number, LAST in the one after the last. One file a program, so
 * everything is static. SPDX-License-Identifier: MIT */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LAST UINT64_MAX
#define TRIPS_MAX 4000000
#define UNUSED __attribute__((unused))

static char **words;

UNUSED static _Noreturn void die(const char *what) {
  fprintf(stderr, "%s: %s: %s\n", words[0], what, strerror(errno));
  exit(1);
}

static const char *option(const char *name, const char *otherwise) {
  size_t n = strlen(name);
  for (char **w = words + 1; *w; w++)
    if (strncmp(*w, name, n) == 0 && (*w)[n] == '=') return *w + n + 1;
  return otherwise;
}

UNUSED static size_t number_option(const char *name, size_t otherwise) {
  const char *text = option(name, NULL);
  return text ? (size_t)strtoull(text, NULL, 10) : otherwise;
}

UNUSED static double seconds_option(void) {
  return strtod(option("seconds", "1"), NULL);
}

UNUSED static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- what is told --- */

UNUSED static void ready(const char *address) {
  printf("ready %s\n", address);
  fflush(stdout);
}

UNUSED static void wait_for_go(void) {
  char c;
  if (read(0, &c, 1) != 1) exit(1);
}

UNUSED static void sent(uint64_t count, double seconds) {
  printf("sent count=%" PRIu64 " sum=%" PRIu64 " seconds=%.9f\n", count, count * (count + 1) / 2, seconds);
  fflush(stdout);
}

/* --- receiving --- */

typedef struct tally {
  uint64_t count, sum, bytes;
  double started;
  size_t ended; /* receivers that saw the last one */
} tally;

/* What a receiver does with a message: reads its number, counts. True if it was the last. */
UNUSED static bool take(tally *t, const void *payload, size_t size) {
  uint64_t n = 0;
  memcpy(&n, payload, size < sizeof n ? size : sizeof n);
  if (n == LAST) return true;
  if (t->count == 0) t->started = now();
  t->count++;
  t->sum += n;
  t->bytes += size;
  return false;
}

UNUSED static void tell_tally(const tally *t) {
  printf("result count=%" PRIu64 " sum=%" PRIu64 " seconds=%.9f\n", t->count, t->sum, now() - t->started);
  fflush(stdout);
}

/* --- sending: `send(n)` for as long as told, then flush(), then the last one again and again, until it is ended --- */

UNUSED static void publish_all(size_t size, void (*send)(uint64_t n), void (*flush)(void)) {
  uint64_t n = 0, batch = size > 1000 ? 1000000 / size + 1 : 1000;
  double started = now(), deadline = started + seconds_option();
  do
    for (uint64_t i = 0; i < batch; i++) send(++n);
  while (now() < deadline);
  flush();
  sent(n, now() - started);
  for (;;) {
    send(LAST);
    flush();
    usleep(50000);
  }
}

/* --- round trips --- */

static double *trips;
static size_t trip_count;
static double trip_sent, trips_until, trips_from;

UNUSED static void start_trips(void) {
  trips = malloc(TRIPS_MAX * sizeof *trips);
  if (!trips) exit(1);
  trips_from = now();
  trips_until = trips_from + seconds_option();
}

UNUSED static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double quantile(const double *list, size_t n, double part) {
  size_t i = (size_t)((double)n * part);
  return n ? list[i < n ? i : n - 1] * 1e6 : 0;
}

/* An answer has come: false when that was the last one, and all is told. The first tenth is warming up. */
UNUSED static bool end_trip(void) {
  double at = now();
  trips[trip_count++] = at - trip_sent;
  if (at < trips_until && trip_count < TRIPS_MAX) return true;
  double *list = trips + trip_count / 10;
  size_t n = trip_count - trip_count / 10;
  qsort(list, n, sizeof *list, compare);
  printf("result count=%zu p50=%.3f p99=%.3f p999=%.3f seconds=%.9f\n", n, quantile(list, n, 0.5),
         quantile(list, n, 0.99), quantile(list, n, 0.999), at - trips_from);
  fflush(stdout);
  return false;
}

UNUSED static void begin_trip(void) {
  trip_sent = now();
}

UNUSED static uint8_t *new_payload(size_t size) {
  uint8_t *payload = malloc(size < sizeof(uint64_t) ? sizeof(uint64_t) : size);
  if (!payload) exit(1);
  memset(payload, 'x', size);
  return payload;
}

/* --- roles --- */

typedef struct role {
  const char *name;
  void (*play)(void);
} role;

/* Play the one that the options name. What it used can be looked up afterwards still; who started it ends it. */
UNUSED static int play(const role *roles) {
  const char *name = option("role", "");
  for (; roles->name; roles++)
    if (strcmp(name, roles->name) == 0) roles->play();
  pause();
  return 0;
}

#endif
