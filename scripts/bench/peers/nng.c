/* nng.c: nng as a peer: pub0/sub0 (which drops what the receiver does not take; queues of 8192 messages) and pair0 for
 * round trips. Options: role=pub|sub|echo|ping to= size= seconds=. A receiver reads the number of a message.
 * SPDX-License-Identifier: MIT */
#include "common.h"

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/pubsub0/pub.h>
#include <nng/protocol/pubsub0/sub.h>

#define QUEUE 8192

static nng_socket sock;
static uint8_t *payload;
static size_t size;

static void check(int result, const char *what) {
  if (result == 0) return;
  fprintf(stderr, "nng: %s: %s\n", what, nng_strerror(result));
  exit(1);
}

static void listen_on_any(void) {
  nng_listener listener;
  nng_sockaddr address;
  char text[64];
  check(nng_listen(sock, "tcp://127.0.0.1:0", &listener, 0), "listen");
  check(nng_listener_get_addr(listener, NNG_OPT_LOCADDR, &address), "address");
  uint16_t port = address.s_in.sa_port;
  snprintf(text, sizeof text, "tcp://127.0.0.1:%u", (unsigned)((port >> 8) | ((port & 255) << 8)));
  ready(text);
}

static void send_number(uint64_t n) {
  memcpy(payload, &n, sizeof n);
  check(nng_send(sock, payload, size, 0), "send");
}

static void nothing(void) {}

static void publish(void) {
  check(nng_pub0_open(&sock), "open");
  check(nng_socket_set_int(sock, NNG_OPT_SENDBUF, QUEUE), "queue");
  listen_on_any();
  wait_for_go();
  usleep(100000); /* nothing tells when the subscriber's pipe is up */
  publish_all(size, send_number, nothing);
}

static void subscribe(void) {
  tally t = {0};
  bool last = false;
  check(nng_sub0_open(&sock), "open");
  check(nng_socket_set_int(sock, NNG_OPT_RECVBUF, QUEUE), "queue");
  check(nng_socket_set_size(sock, NNG_OPT_RECVMAXSZ, 0), "largest");
  check(nng_socket_set(sock, NNG_OPT_SUB_SUBSCRIBE, "", 0), "subscribe");
  check(nng_dial(sock, option("to", ""), NULL, 0), "dial");
  ready("-");
  while (!last) {
    nng_msg *m;
    check(nng_recvmsg(sock, &m, 0), "receive");
    last = take(&t, nng_msg_body(m), nng_msg_len(m));
    nng_msg_free(m);
  }
  tell_tally(&t);
}

static void echo(void) {
  check(nng_pair0_open(&sock), "open");
  listen_on_any();
  for (;;) {
    nng_msg *m;
    check(nng_recvmsg(sock, &m, 0), "receive");
    check(nng_sendmsg(sock, m, 0), "send");
  }
}

static void ping(void) {
  check(nng_pair0_open(&sock), "open");
  check(nng_dial(sock, option("to", ""), NULL, 0), "dial");
  ready("-");
  wait_for_go();
  start_trips();
  do {
    size_t n = size;
    begin_trip();
    check(nng_send(sock, payload, size, 0), "send");
    check(nng_recv(sock, payload, &n, 0), "receive");
  } while (end_trip());
}

int main(int argc, char **argv) {
  words = argv;
  (void)argc;
  size = number_option("size", 64);
  payload = new_payload(size);
  static const role roles[] = {{"pub", publish}, {"sub", subscribe}, {"echo", echo}, {"ping", ping}, {NULL, NULL}};
  return play(roles);
}
