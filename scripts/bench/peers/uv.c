/* uv.c: an echo over TCP on plain libuv, both ends: the floor of a round trip through an event loop. Options: role=
 * echo|ping to=PORT size= seconds=. SPDX-License-Identifier: MIT */
#include "common.h"

#include <uv.h>

static uv_loop_t *loop;
static uv_tcp_t listener, stream;
static uv_write_t writing;
static uint8_t *payload;
static char incoming[65536];
static size_t size, got;
static bool pinging;

static void check(int result, const char *what) {
  if (result >= 0) return;
  fprintf(stderr, "uv: %s: %s\n", what, uv_strerror(result));
  exit(1);
}

static void give_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)handle;
  (void)suggested;
  *buf = uv_buf_init(incoming, sizeof incoming);
}

static void send_bytes(void *bytes, size_t n) {
  uv_buf_t buf = uv_buf_init(bytes, (unsigned)n);
  check(uv_write(&writing, (uv_stream_t *)&stream, &buf, 1, NULL), "write");
}

static void on_read(uv_stream_t *from, ssize_t n, const uv_buf_t *buf) {
  (void)from;
  if (n < 0) exit(0);
  if (!pinging) {
    send_bytes(buf->base, (size_t)n);
    return;
  }
  got += (size_t)n;
  if (got < size) return;
  got = 0;
  if (!end_trip()) pause(); /* what it used can still be looked up; who started it ends it */
  begin_trip();
  send_bytes(payload, size);
}

static void start_reading(void) {
  check(uv_tcp_nodelay(&stream, 1), "nodelay");
  check(uv_read_start((uv_stream_t *)&stream, give_buffer, on_read), "read");
}

static void on_connection(uv_stream_t *server, int status) {
  check(status, "listen");
  check(uv_tcp_init(loop, &stream), "tcp");
  check(uv_accept(server, (uv_stream_t *)&stream), "accept");
  start_reading();
}

static void echo(void) {
  struct sockaddr_in address;
  struct sockaddr_storage bound;
  int n = sizeof bound;
  char text[16];
  check(uv_ip4_addr("127.0.0.1", 0, &address), "address");
  check(uv_tcp_init(loop, &listener), "tcp");
  check(uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0), "bind");
  check(uv_listen((uv_stream_t *)&listener, 8, on_connection), "listen");
  check(uv_tcp_getsockname(&listener, (struct sockaddr *)&bound, &n), "name");
  memcpy(&address, &bound, sizeof address);
  snprintf(text, sizeof text, "%u", (unsigned)ntohs(address.sin_port));
  ready(text);
}

static void on_connect(uv_connect_t *request, int status) {
  (void)request;
  check(status, "connect");
  start_reading();
  ready("-");
  wait_for_go();
  start_trips();
  begin_trip();
  send_bytes(payload, size);
}

static void ping(void) {
  static uv_connect_t connecting;
  struct sockaddr_in address;
  pinging = true;
  check(uv_ip4_addr("127.0.0.1", atoi(option("to", "0")), &address), "address");
  check(uv_tcp_init(loop, &stream), "tcp");
  check(uv_tcp_connect(&connecting, &stream, (const struct sockaddr *)&address, on_connect), "connect");
}

int main(int argc, char **argv) {
  words = argv;
  (void)argc;
  loop = uv_default_loop();
  size = number_option("size", 64);
  payload = new_payload(size);
  if (strcmp(option("role", ""), "echo") == 0) echo();
  if (strcmp(option("role", ""), "ping") == 0) ping();
  return uv_run(loop, UV_RUN_DEFAULT);
}
