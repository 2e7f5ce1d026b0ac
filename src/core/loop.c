/* loop.c: see loop.h. SPDX-License-Identifier: MIT */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>

int chaski_loop_new(const chaski_env *env, chaski_loop **out) {
  chaski_loop *loop = chaski__calloc(1, sizeof *loop);
  if (!loop) return CHASKI_ENOMEM;
  loop->env = *env;
  loop->alarm = UINT64_MAX;
  chaski__loop_touch(loop);
  *out = loop;
  return CHASKI_OK;
}

void chaski_loop_destroy(chaski_loop **loop) {
  if (!*loop) return;
  chaski__arena_free(&(*loop)->arena);
  chaski__free(*loop);
  *loop = NULL;
}

const chaski_env *chaski_loop_env(const chaski_loop *loop) {
  return &loop->env;
}

size_t chaski_loop_nodes(const chaski_loop *loop) {
  return loop->nodes;
}

uint64_t chaski_loop_now(const chaski_loop *loop) {
  return loop->now;
}

bool chaski_loop_busy(const chaski_loop *loop) {
  return loop->turn_bytes >= CHASKI_TURN_BYTES;
}

void chaski__loop_touch(chaski_loop *loop) {
  loop->now = loop->env.now(loop->env.ctx);
}

void chaski__loop_wall(chaski_loop *loop) {
  if (loop->wall_fresh) return;
  loop->env.wall(loop->env.ctx, &loop->sec, &loop->nsec);
  loop->wall_fresh = true;
}

uint64_t chaski__random64(chaski_loop *loop) {
  uint64_t v;
  loop->env.random(loop->env.ctx, &v, sizeof v);
  return v;
}

void chaski__loop_dirty(chaski__link *link) {
  if (link->dirty) return;
  link->dirty = true;
  link->dirty_next = link->loop->dirty;
  link->loop->dirty = link;
}

void chaski__loop_clean(chaski__link *link) {
  if (!link->dirty) return;
  LL_DELETE2(link->loop->dirty, link, dirty_next);
  link->dirty = false;
}

void chaski_loop_flush(chaski_loop *loop) {
  chaski__loop_touch(loop);
  while (loop->dirty) {
    chaski__link *link = loop->dirty;
    chaski__loop_clean(link);
    chaski__link_flush(link);
  }
  chaski__shed(loop, 0);
  chaski__queues_relieved(loop);
  loop->turn_bytes = 0;
  loop->wall_fresh = false;
}

void chaski__log(const chaski_node *node, enum chaski_log_level level, const char *format, ...) {
  const chaski_env *env = &node->loop->env;
  if (level > env->log_level(env->ctx)) return;
  char line[512];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  for (char *c = line; *c; c++) /* names are the peers' */
    if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
  env->log(env->ctx, level, node->name, line);
}
