/* zmq.c: libzmq as a peer: PUB/SUB (an XPUB that blocks instead of dropping) and PAIR for round trips. Options: role=
 * pub|sub|echo|ping to= size= seconds= edges=. A receiver reads the number of a message, nothing else.
 * SPDX-License-Identifier: MIT */
#include "common.h"

#include <zmq.h>

static void *context, *publisher;
static uint8_t *payload;
static size_t size;

static void *open_socket(int type) {
  void *s = zmq_socket(context, type);
  if (!s) die("zmq_socket");
  return s;
}

static void listen_on_any(void *s) {
  char address[128];
  size_t n = sizeof address;
  if (zmq_bind(s, "tcp://127.0.0.1:*") || zmq_getsockopt(s, ZMQ_LAST_ENDPOINT, address, &n)) die("zmq_bind");
  ready(address);
}

static void send_number(uint64_t n) {
  memcpy(payload, &n, sizeof n);
  if (zmq_send(publisher, payload, size, 0) < 0) die("zmq_send");
}

static void nothing(void) {}

static void publish(void) {
  int on = 1, mark = 1000;
  publisher = open_socket(ZMQ_XPUB);
  zmq_setsockopt(publisher, ZMQ_XPUB_NODROP, &on, sizeof on);
  zmq_setsockopt(publisher, ZMQ_SNDHWM, &mark, sizeof mark);
  on = 1;
  zmq_setsockopt(publisher, ZMQ_XPUB_VERBOSE, &on, sizeof on);
  listen_on_any(publisher);
  wait_for_go();
  for (size_t i = number_option("edges", 1); i > 0; i--) { /* a subscription each */
    char subscription[16];
    if (zmq_recv(publisher, subscription, sizeof subscription, 0) < 0) die("zmq_recv");
  }
  publish_all(size, send_number, nothing);
}

/* True when the last one came. */
static bool receive_all(void *s, tally *t) {
  zmq_msg_t m;
  bool last = false;
  zmq_msg_init(&m);
  while (!last && zmq_msg_recv(&m, s, ZMQ_DONTWAIT) >= 0) last = take(t, zmq_msg_data(&m), zmq_msg_size(&m));
  zmq_msg_close(&m);
  return last;
}

static void subscribe(void) {
  size_t n = number_option("nodes", 1);
  zmq_pollitem_t *items = calloc(n, sizeof *items);
  tally t = {0};
  if (!items) die("calloc");
  for (size_t i = 0; i < n; i++) {
    void *s = items[i].socket = open_socket(ZMQ_SUB);
    items[i].events = ZMQ_POLLIN;
    if (zmq_setsockopt(s, ZMQ_SUBSCRIBE, "", 0) || zmq_connect(s, option("to", ""))) die("zmq_connect");
  }
  ready("-");
  while (t.ended < n) {
    if (zmq_poll(items, (int)n, -1) < 0) die("zmq_poll");
    for (size_t i = 0; i < n; i++)
      if (items[i].events && (items[i].revents & ZMQ_POLLIN) && receive_all(items[i].socket, &t)) {
        t.ended++;
        items[i].events = 0;
      }
  }
  tell_tally(&t);
  free(items);
}

static void echo(void) {
  void *s = open_socket(ZMQ_PAIR);
  listen_on_any(s);
  for (;;) {
    int n = zmq_recv(s, payload, size, 0);
    if (n < 0 || zmq_send(s, payload, (size_t)n, 0) < 0) die("echo");
  }
}

static void ping(void) {
  void *s = open_socket(ZMQ_PAIR);
  if (zmq_connect(s, option("to", ""))) die("zmq_connect");
  ready("-");
  wait_for_go();
  start_trips();
  do {
    begin_trip();
    if (zmq_send(s, payload, size, 0) < 0 || zmq_recv(s, payload, size, 0) < 0) die("ping");
  } while (end_trip());
}

int main(int argc, char **argv) {
  words = argv;
  (void)argc;
  size = number_option("size", 64);
  payload = new_payload(size);
  context = zmq_ctx_new();
  static const role roles[] = {{"pub", publish}, {"sub", subscribe}, {"echo", echo}, {"ping", ping}, {NULL, NULL}};
  return play(roles);
}
