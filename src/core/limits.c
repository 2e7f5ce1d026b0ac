/* limits.c: the table of limits.h as data. SPDX-License-Identifier: MIT */
#include "limits.h"

#include "error.h"
#include "frame.h"

const chaski_limit_row chaski_limit_rows[] = {
#define ROW(name, unit, def, least, most, reason)                                                                      \
  {#name, unit, reason, def, least, most, offsetof(chaski_limits, name)},
    CHASKI_LIMITS(ROW)
#undef ROW
};

const size_t chaski_limit_count = sizeof chaski_limit_rows / sizeof *chaski_limit_rows;

uint64_t *chaski_limit_at(chaski_limits *l, size_t i) {
  return (uint64_t *)(void *)((char *)l + chaski_limit_rows[i].offset);
}

void chaski_limits_init(chaski_limits *l) {
  for (size_t i = 0; i < chaski_limit_count; i++) *chaski_limit_at(l, i) = chaski_limit_rows[i].value;
}

int chaski_limits_check(const chaski_limits *l, const char **why) {
  *why = NULL;
  for (size_t i = 0; i < chaski_limit_count; i++) {
    uint64_t v = *(const uint64_t *)(const void *)((const char *)l + chaski_limit_rows[i].offset);
    if (v < chaski_limit_rows[i].least || v > chaski_limit_rows[i].most) *why = chaski_limit_rows[i].name;
  }
  if (l->queue_low > l->queue_high) *why = "queue_low is above queue_high";
  if (l->queue_high + l->data_max + l->topic_max + CHASKI_FRAME_HEADER > l->queue_hard)
    *why = "a largest frame (data_max) does not fit between queue_high and queue_hard";
  if (l->queue_hard > l->queue_total) *why = "queue_hard is above queue_total";
  if (l->resume_timeout && l->resume_bytes && l->data_max + l->topic_max + CHASKI_FRAME_HEADER > l->resume_bytes)
    *why = "a largest frame (data_max) does not fit into resume_bytes";
  if (l->preauth_max > l->data_max) *why = "preauth_max is above data_max";
  return *why ? CHASKI_EINVAL : CHASKI_OK;
}
