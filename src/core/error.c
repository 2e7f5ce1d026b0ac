/* error.c: names and texts of the codes in error.h. SPDX-License-Identifier: MIT */
#include "error.h"

#include <stddef.h>

static const struct {
  const char *name, *text;
} errors[] = {
#define ROW(id, name, text) {name, text},
    CHASKI_ERRORS(ROW)
#undef ROW
};

static int row_of(int code) {
  if (code <= CHASKI__ERROR_BASE || code >= CHASKI_OK) return -1;
  int row = code - CHASKI__ERROR_BASE - 1;
  return row >= 0 && (size_t)row < sizeof errors / sizeof *errors ? row : -1;
}

const char *chaski_error_name(int code) {
  int row = row_of(code);
  return code == CHASKI_OK ? "ok" : row < 0 ? "unknown" : errors[row].name;
}

const char *chaski_error_text(int code) {
  int row = row_of(code);
  return code == CHASKI_OK ? "success" : row < 0 ? "unknown error" : errors[row].text;
}
