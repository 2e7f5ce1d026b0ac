/* resolve.c: names to addresses in libuv's thread pool. A lookup that has begun cannot be stopped, so its memory is its
 * own and the one who asked only forgets it. SPDX-License-Identifier: MIT */
#include "internal.h"

#include "../core/alloc.h"

struct chaski__lookup {
  uv_getaddrinfo_t req;
  chaski_net *net;
  chaski__resolved done; /* NULL: cancelled */
  void *user;
};

static void on_answer(uv_getaddrinfo_t *req, int status, struct addrinfo *list) {
  chaski__lookup *lookup = CHASKI__OWNER(req, chaski__lookup, req);
  chaski_net *net = lookup->net;
  chaski__resolved done = lookup->done;
  void *user = lookup->user;
  chaski__free(lookup);
  if (done)
    done(user, chaski__net_error(status), list);
  else
    uv_freeaddrinfo(list);
  chaski__net_release(net);
}

chaski__lookup *chaski__resolve(chaski_net *net, const char *host, chaski__resolved done, void *user, int *status) {
  const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
  chaski__lookup *lookup = chaski__calloc(1, sizeof *lookup);
  *status = CHASKI_ENOMEM;
  if (!lookup) return NULL;
  lookup->net = net;
  lookup->done = done;
  lookup->user = user;
  int rc = uv_getaddrinfo(net->loop, &lookup->req, on_answer, host, NULL, &hints);
  *status = rc == UV_ENOMEM ? CHASKI_ENOMEM : CHASKI_ERESOLVE; /* else the name's form is wrong */
  if (rc == 0) {
    *status = CHASKI_OK;
    net->pending++;
    return lookup;
  }
  chaski__free(lookup);
  return NULL;
}

void chaski__resolve_cancel(chaski__lookup *lookup) {
  lookup->done = NULL;
  uv_cancel((uv_req_t *)&lookup->req); /* helps only while it waits for a thread */
}
