/* interrupt.h: SIGINT while a stock lua5.4 runs our loop: the nodes stop in good order, then the run ends.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_LUA_INTERRUPT_H
#define CHASKI_LUA_INTERRUPT_H

#include "runtime.h"

typedef struct chaski_interrupt chaski_interrupt;

/* From now on the first SIGINT runs the hook of an orderly shutdown, and then stops the loop; a second one ends the
 * process. NULL: SIGINT is ignored, or watched by another run of this process, or out of memory. */
chaski_interrupt *chaski__interrupt_start(chaski_runtime *rt);
/* SIGINT is again whose it was. Has it come? NULL: no. */
bool chaski__interrupt_stop(chaski_interrupt *i);

#endif
