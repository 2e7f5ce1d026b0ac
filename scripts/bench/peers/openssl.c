/* openssl.c: blocking OpenSSL over TCP: TLS 1.3 with certificates on both sides, as our nodes use it. Options: role=
 * pub|sub|echo|ping to=PORT size= seconds= tls=FOLDER. The receiver reads whole messages of `size` bytes and the number
 * of each. SPDX-License-Identifier: MIT */
#include "common.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

static SSL *ssl;
static uint8_t *payload;
static size_t size;

static void check(bool good, const char *what) {
  if (good) return;
  fprintf(stderr, "openssl: %s\n", what);
  ERR_print_errors_fp(stderr);
  exit(1);
}

static SSL_CTX *new_context(const char *who, bool server) {
  char path[512];
  SSL_CTX *context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
  check(context && SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION), "context");
  snprintf(path, sizeof path, "%s/%s.pem", option("tls", "."), who);
  check(SSL_CTX_use_certificate_chain_file(context, path) == 1, "certificate");
  snprintf(path, sizeof path, "%s/%s.key", option("tls", "."), who);
  check(SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM) == 1, "key");
  snprintf(path, sizeof path, "%s/ca.pem", option("tls", "."));
  check(SSL_CTX_load_verify_locations(context, path, NULL) == 1, "ca");
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  return context;
}

static void wrap(int fd, const char *who, bool server) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  ssl = SSL_new(new_context(who, server));
  check(ssl && SSL_set_fd(ssl, fd) == 1, "connection");
  check((server ? SSL_accept(ssl) : SSL_connect(ssl)) == 1, "handshake");
}

static int new_socket(struct sockaddr_in *address, const char *port) {
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  check(fd >= 0, "socket");
  return fd;
}

static void accept_one(void) {
  struct sockaddr_in address;
  socklen_t n = sizeof address;
  char text[16];
  int fd = new_socket(&address, "0");
  check(bind(fd, (struct sockaddr *)&address, n) == 0 && listen(fd, 1) == 0, "listen");
  check(getsockname(fd, (struct sockaddr *)&address, &n) == 0, "name");
  snprintf(text, sizeof text, "%u", (unsigned)ntohs(address.sin_port));
  ready(text);
  wrap(accept(fd, NULL, NULL), "pub", true);
}

static void dial(void) {
  struct sockaddr_in address;
  int fd = new_socket(&address, option("to", "0"));
  check(connect(fd, (struct sockaddr *)&address, sizeof address) == 0, "connect");
  wrap(fd, "sub", false);
  ready("-");
}

static void send_payload(void) {
  check(SSL_write(ssl, payload, (int)size) == (int)size, "write");
}

static void send_number(uint64_t n) {
  memcpy(payload, &n, sizeof n);
  send_payload();
}

static void nothing(void) {}

static void receive(void) {
  for (size_t got = 0; got < size;) {
    int n = SSL_read(ssl, payload + got, (int)(size - got));
    if (n <= 0) exit(1); /* the other end is over */
    got += (size_t)n;
  }
}

static void publish(void) {
  accept_one();
  wait_for_go();
  publish_all(size, send_number, nothing);
}

static void subscribe(void) {
  tally t = {0};
  dial();
  do receive();
  while (!take(&t, payload, size));
  tell_tally(&t);
}

static void echo(void) {
  accept_one();
  for (;;) {
    receive();
    send_payload();
  }
}

static void ping(void) {
  dial();
  wait_for_go();
  start_trips();
  do {
    begin_trip();
    send_payload();
    receive();
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
