/* net.c: the environment on libuv, and the life of a net. SPDX-License-Identifier: MIT */
#include "internal.h"

#include "../core/alloc.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#define OWN_HANDLES 4

static const chaski_transport transport = {
    .name = "tcp",
    .connect = chaski__stream_connect,
    .open = chaski__stream_open,
    .write = chaski__stream_write,
    .shutdown = chaski__stream_shutdown,
    .pause = chaski__stream_pause,
    .resume = chaski__stream_resume,
    .close = chaski__stream_close,
    .queued = chaski__stream_queued,
    .peer_address = chaski__stream_peer_address,
    .local_address = chaski__stream_local_address,
    .listen = chaski__listen,
    .listener_port = chaski__listener_port,
    .listener_close = chaski__listener_close,
    .udp_open = chaski__udp_open,
    .udp_port = chaski__udp_port,
    .udp_send = chaski__udp_send,
    .udp_close = chaski__udp_close,
};

/* --- clock and random --------------------------------------------------------------------------------------------- */

static uint64_t env_now(void *ctx) {
  (void)ctx;
  return uv_hrtime();
}

static void env_wall(void *ctx, int64_t *sec, uint32_t *nsec) {
  (void)ctx;
  struct timespec ts = {0, 0};
  clock_gettime(CLOCK_REALTIME, &ts);
  *sec = ts.tv_sec;
  *nsec = (uint32_t)ts.tv_nsec;
}

/* Predictable "random" bytes would be worse than no process. */
static void env_random(void *ctx, void *bytes, size_t len) {
  (void)ctx;
  for (uint8_t *at = bytes; len > 0;) {
    ssize_t n = getrandom(at, len, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      if (uv_random(NULL, NULL, at, len, 0, NULL) != 0) abort();
      return;
    }
    at += n;
    len -= (size_t)n;
  }
}

/* --- alarm -------------------------------------------------------------------------------------------------------- */

static void arm(chaski_net *net);

static void ring(chaski_net *net) {
  if (net->closing || net->due == UINT64_MAX) return;
  if (net->due > uv_hrtime()) {
    arm(net);
    return;
  }
  net->due = UINT64_MAX;
  if (net->expire) net->expire(net->hooks_user);
}

static void on_alarm(uv_timer_t *alarm) {
  ring(CHASKI__OWNER(alarm, chaski_net, alarm));
}

static void on_soon(uv_idle_t *soon) {
  uv_idle_stop(soon);
  ring(CHASKI__OWNER(soon, chaski_net, soon));
}

/* uv_now() is the same clock in whole milliseconds, but may be old by as long as this turn has taken: so the target is
 * computed as an absolute time and rounded up. */
static void arm(chaski_net *net) {
  uint64_t target = net->due / 1000000 + (net->due % 1000000 != 0), now = uv_now(net->loop);
  uv_timer_stop(&net->alarm);
  uv_idle_stop(&net->soon);
  if (net->due == UINT64_MAX) return;
  if (net->due <= uv_hrtime())
    uv_idle_start(&net->soon, on_soon);
  else
    uv_timer_start(&net->alarm, on_alarm, target > now ? target - now : 1, 0);
}

static void env_alarm(void *ctx, uint64_t due) {
  chaski_net *net = ctx;
  if (net->closing || net->due == due) return;
  net->due = due;
  arm(net);
}

/* --- log ---------------------------------------------------------------------------------------------------------- */

static void env_log(void *ctx, enum chaski_log_level level, const char *who, const char *line) {
  chaski_net *net = ctx;
  if (net->log && level <= net->log_level) net->log(net->log_user, level, who, line);
}

static enum chaski_log_level env_log_level(void *ctx) {
  return ((chaski_net *)ctx)->log_level;
}

void chaski_net_log(chaski_net *net,
                    void (*log)(void *user, enum chaski_log_level level, const char *who, const char *line),
                    enum chaski_log_level level, void *user) {
  net->log = log;
  net->log_level = log ? level : CHASKI_LOG_ERROR;
  net->log_user = user;
}

/* --- turns of the loop -------------------------------------------------------------------------------------------- */

static void on_prepare(uv_prepare_t *prepare) {
  chaski_net *net = CHASKI__OWNER(prepare, chaski_net, prepare);
  if (net->flush) net->flush(net->hooks_user);
}

static void on_check(uv_check_t *check) {
  chaski_net *net = CHASKI__OWNER(check, chaski_net, check);
  net->turn++;
}

void chaski_net_hooks(chaski_net *net, void (*expire)(void *user), void (*flush)(void *user), void *user) {
  net->expire = expire;
  net->flush = flush;
  net->hooks_user = user;
}

/* --- members ------------------------------------------------------------------------------------------------------ */

void chaski__net_add(chaski_net *net, chaski__member *member) {
  member->prev = net->members.prev;
  member->next = &net->members;
  member->prev->next = member->next->prev = member;
  net->handles++;
  net->pending++;
}

void chaski__net_remove(chaski_net *net, chaski__member *member) {
  member->prev->next = member->next;
  member->next->prev = member->prev;
  net->handles--;
  chaski__net_release(net);
}

void chaski__net_release(chaski_net *net) {
  if (--net->pending > 0) return;
  void (*closed)(void *) = net->closed;
  void *user = net->closed_user;
  chaski__free(net);
  if (closed) closed(user);
}

size_t chaski_net_handles(const chaski_net *net) {
  return net->handles;
}

/* --- open and close ----------------------------------------------------------------------------------------------- */

/* libuv writes without MSG_NOSIGNAL: a peer's reset would end the process. */
static void ignore_sigpipe(void) {
  struct sigaction now;
  if (sigaction(SIGPIPE, NULL, &now) != 0 || (now.sa_flags & SA_SIGINFO) || now.sa_handler != SIG_DFL) return;
  now.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &now, NULL);
}

static void start_handles(chaski_net *net) {
  uv_timer_init(net->loop, &net->alarm);
  uv_idle_init(net->loop, &net->soon);
  uv_prepare_init(net->loop, &net->prepare);
  uv_check_init(net->loop, &net->check);
  uv_prepare_start(&net->prepare, on_prepare);
  uv_check_start(&net->check, on_check);
  uv_unref((uv_handle_t *)&net->prepare);
  uv_unref((uv_handle_t *)&net->check);
  net->pending = OWN_HANDLES;
}

int chaski_net_open(uv_loop_t *loop, chaski_net **out) {
  chaski_net *net = chaski__calloc(1, sizeof *net);
  if (!net) return CHASKI_ENOMEM;
  ignore_sigpipe();
  net->loop = loop;
  net->due = UINT64_MAX;
  net->members.prev = net->members.next = &net->members;
  net->env = (chaski_env){net, env_now, env_wall, env_random, env_alarm, env_log, env_log_level, &transport};
  start_handles(net);
  *out = net;
  return CHASKI_OK;
}

const chaski_env *chaski_net_env(chaski_net *net) {
  return &net->env;
}

static void on_alarm_closed(uv_handle_t *handle) {
  chaski__net_release(CHASKI__OWNER(handle, chaski_net, alarm));
}

static void on_soon_closed(uv_handle_t *handle) {
  chaski__net_release(CHASKI__OWNER(handle, chaski_net, soon));
}

static void on_prepare_closed(uv_handle_t *handle) {
  chaski__net_release(CHASKI__OWNER(handle, chaski_net, prepare));
}

static void on_check_closed(uv_handle_t *handle) {
  chaski__net_release(CHASKI__OWNER(handle, chaski_net, check));
}

void chaski_net_close(chaski_net **net_ptr, void (*closed)(void *user), void *user) {
  chaski_net *net = net_ptr ? *net_ptr : NULL;
  if (!net) return;
  *net_ptr = NULL;
  net->closing = true;
  net->closed = closed;
  net->closed_user = user;
  for (chaski__member *m = net->members.next; m != &net->members; m = m->next) m->close(m);
  uv_close((uv_handle_t *)&net->alarm, on_alarm_closed);
  uv_close((uv_handle_t *)&net->soon, on_soon_closed);
  uv_close((uv_handle_t *)&net->prepare, on_prepare_closed);
  uv_close((uv_handle_t *)&net->check, on_check_closed);
}
