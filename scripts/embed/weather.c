/* weather.c: the core without Lua: two nodes on one libuv loop; one publishes, the other reads. See docs/embedding.md.
 * Prints what arrives and ends in good order; 0, or 1 and why. SPDX-License-Identifier: MIT */
#include "core/node.h"
#include "net/net.h"

#include <stdio.h>
#include <stdlib.h>

static uv_loop_t uv;
static chaski_net *net;   /* sockets, clock and timers on libuv: the environment */
static chaski_loop *loop; /* what all nodes share */
static chaski_node *wall, *sensor;
static int stopped;

static void check(int status, const char *what) {
  if (status == CHASKI_OK) return;
  fprintf(stderr, "weather: %s: %s\n", what, chaski_error_text(status));
  exit(EXIT_FAILURE);
}

/* --- from the nodes: never from inside a call of ours ------------------------------------------------------- */
static void on_stopped(void *user) {
  (void)user;
  stopped++;
}

/* The data is one MessagePack value, as it came; here a str of less than 32 bytes. Valid during the call. */
static void on_message(void *user, void *sub_user, chaski_edge *edge, const chaski_message *message) {
  (void)user, (void)sub_user;
  printf("%s: %.*s\n", chaski_edge_name(edge), (int)message->data.len - 1, (const char *)message->data.ptr + 1);
  chaski_node_stop(sensor, 5 * CHASKI_S); /* says goodbye, sends what is queued */
  chaski_node_stop(wall, 5 * CHASKI_S);
}

/* The handshake is over, and the peer has answered a ping. */
static void on_connected(void *ctx, int status, chaski_edge *edge, const char *detail) {
  (void)ctx, (void)edge, (void)detail;
  static const char data[] = "\xac"
                             "21.5 degrees"; /* MessagePack: 0xa0 + length, text */
  check(status, "connect");
  check(chaski_node_publish(sensor, chaski_slice_str("weather"), chaski_slice_of(data, sizeof data - 1), NULL, 0, NULL),
        "publish");
}

/* --- from the environment ----------------------------------------------------------------------------------- */
static void on_expire(void *user) {
  (void)user;
  chaski_loop_expire(loop);
}

static void on_flush(void *user) {
  (void)user;
  chaski_loop_flush(loop);
}

/* --- up and down -------------------------------------------------------------------------------------------- */
static chaski_node *start(const char *name) {
  static const chaski_node_events events = {.message = on_message, .stopped = on_stopped};
  chaski_node_options options;
  chaski_node *node;
  const char *why = "";
  chaski_node_options_init(&options); /* listens on a free port of 127.0.0.1 */
  options.name = name;
  check(chaski_node_new(loop, &options, &events, NULL, &node, &why), why);
  check(chaski_node_run(node), name);
  return node;
}

int main(void) {
  chaski_subscription *subscription;
  chaski_address address = {.host = "127.0.0.1"};
  uv_loop_init(&uv);
  check(chaski_net_open(&uv, &net), "net");
  check(chaski_loop_new(chaski_net_env(net), &loop), "loop");
  chaski_net_hooks(net, on_expire, on_flush, NULL);

  wall = start("wall");
  sensor = start("sensor");
  check(chaski_node_subscribe(wall, chaski_slice_str("weather"), NULL, &subscription), "subscribe");
  address.port = chaski_node_port(wall);
  check(chaski_node_connect(sensor, &address, 0, on_connected, NULL, NULL), "connect");
  while (stopped < 2) uv_run(&uv, UV_RUN_ONCE);

  chaski_node_destroy(&sensor);
  chaski_node_destroy(&wall);
  uv_run(&uv, UV_RUN_NOWAIT);
  chaski_loop_destroy(&loop);
  chaski_net_close(&net, NULL, NULL);
  uv_run(&uv, UV_RUN_DEFAULT);
  return uv_loop_close(&uv) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
