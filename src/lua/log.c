/* log.c: the sink of log records, standard error: "2026-01-02T03:04:05.678 warn who: text" in local time. Bounding how
 * often a thing is logged is the business of who logs. See runtime.h. SPDX-License-Identifier: MIT */
#include "../sim/sim.h"
#include "runtime.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const names[] = {"error", "warn", "info", "debug", "trace", NULL};

int chaski__log_level(const char *name) {
  for (int i = 0; names[i]; i++)
    if (strcmp(name, names[i]) == 0) return i;
  return -1;
}

const char *chaski__log_level_name(enum chaski_log_level level) {
  return names[level];
}

/* In a simulation a line has its virtual time. */
static void sim_sink(void *user, enum chaski_log_level level, const char *who, const char *line) {
  fprintf(stderr, "sim %.6f %s %s%s%s\n", (double)chaski_sim_now(user) / 1e9, names[level], who, *who ? ": " : "",
          line);
}

static void sink(void *user, enum chaski_log_level level, const char *who, const char *line) {
  (void)user;
  struct timespec now = {0, 0};
  struct tm tm;
  char stamp[32];
  clock_gettime(CLOCK_REALTIME, &now);
  if (!localtime_r(&now.tv_sec, &tm) || !strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm)) stamp[0] = '\0';
  fprintf(stderr, "%s.%03d %s %s%s%s\n", stamp, (int)(now.tv_nsec / 1000000), names[level], who, *who ? ": " : "",
          line);
}

void chaski__set_log_level(chaski_runtime *rt, enum chaski_log_level level) {
  chaski_net_log(rt->net, sink, level, NULL);
  if (rt->world->sim) chaski_sim_log(rt->world->sim, level, sim_sink, rt->world->sim);
}

void chaski__runtime_log(chaski_runtime *rt, enum chaski_log_level level, const char *who, const char *text) {
  const chaski_env *env = chaski_loop_env(rt->loop);
  char line[1024];
  if (level > env->log_level(env->ctx)) return;
  for (;;) {
    size_t len = strcspn(text, "\n"), kept = len < sizeof line ? len : sizeof line - 1;
    memcpy(line, text, kept);
    line[kept] = '\0';
    env->log(env->ctx, level, who, line);
    text += len;
    if (*text++ == '\0' || *text == '\0') return;
  }
}
