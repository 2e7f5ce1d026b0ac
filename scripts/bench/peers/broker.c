/* broker.c: a client of NATS, Redis and MQTT (QoS 0) in their own bytes, over a plain socket: what the fastest client
 * would do. Options: protocol=nats|redis|mqtt role=pub|sub|echo|ping|idle|dial to=PORT size= seconds= nodes=
 * (connections of a subscriber). A receiver reads the number of a message. Round trips are NATS requests with a reply
 * subject. SPDX-License-Identifier: MIT */
#include "common.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define FLUSH_AT ((size_t)64 * 1024)
#define IN_MIN ((size_t)256 * 1024)

typedef struct stream {
  int fd;
  uint8_t *in, *out;
  size_t in_cap, from, to, out_cap, out_n;
  bool over;
} stream;

/* What stood next in the input: bytes it took (0: it is not whole), its payload if it was a message. */
typedef struct item {
  size_t taken, size, reply_size;
  const uint8_t *payload;
  const char *reply;
} item;

typedef struct protocol {
  const char *name;
  void (*greet)(stream *s); /* until the broker is ready for us */
  void (*subscribe)(stream *s, const char *topic);
  void (*publish)(stream *s, const char *topic, const char *reply, const uint8_t *payload, size_t size);
  void (*parse)(stream *s, const uint8_t *at, size_t n, item *i);
} protocol;

static const protocol *proto;
static stream only;
static uint8_t *payload;
static size_t size;

/* --- streams --- */

static void stream_flush(stream *s);

static void *reserve(uint8_t **bytes, size_t *cap, size_t wanted) {
  if (wanted <= *cap) return *bytes;
  *cap = wanted * 2;
  *bytes = realloc(*bytes, *cap);
  if (!*bytes) die("realloc");
  return *bytes;
}

static void put(stream *s, const void *bytes, size_t n) {
  reserve(&s->out, &s->out_cap, s->out_n + n);
  memcpy(s->out + s->out_n, bytes, n);
  s->out_n += n;
}

static void put_text(stream *s, const char *text) {
  put(s, text, strlen(text));
}

/* Reads once; false if nothing is there now. */
static bool stream_fill(stream *s, int flags) {
  if (s->from > 0) {
    memmove(s->in, s->in + s->from, s->to - s->from);
    s->to -= s->from;
    s->from = 0;
  }
  reserve(&s->in, &s->in_cap, s->to + IN_MIN);
  ssize_t n = recv(s->fd, s->in + s->to, s->in_cap - s->to, flags);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (n <= 0) die("the broker has gone");
  s->to += (size_t)n;
  return true;
}

/* The next whole item; false if more has to be read first. */
static bool stream_next(stream *s, item *i) {
  *i = (item){0};
  if (s->to > s->from) proto->parse(s, s->in + s->from, s->to - s->from, i);
  s->from += i->taken;
  return i->taken > 0;
}

/* The next message, waited for. */
static void stream_message(stream *s, item *i) {
  for (;;) {
    while (stream_next(s, i))
      if (i->payload) return;
    stream_fill(s, 0);
  }
}

static void drop_what_is_there(stream *s) {
  item i;
  while (stream_fill(s, MSG_DONTWAIT))
    while (stream_next(s, &i)) continue;
}

/* Answers are read while a write has to wait, since a broker may stop reading otherwise. */
static void stream_flush(stream *s) {
  size_t n = s->out_n, at = 0;
  s->out_n = 0;
  while (at < n) {
    ssize_t wrote = send(s->fd, s->out + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (wrote > 0)
      at += (size_t)wrote;
    else if (errno != EAGAIN)
      die("write");
    else {
      struct pollfd p = {.fd = s->fd, .events = POLLIN | POLLOUT};
      poll(&p, 1, -1);
      if (p.revents & POLLIN) drop_what_is_there(s);
    }
  }
}

static void stream_wait_for(stream *s, const char *text) {
  size_t n = strlen(text);
  for (;;) {
    void *found = memmem(s->in + s->from, s->to - s->from, text, n);
    if (found) {
      s->from = (size_t)((uint8_t *)found - s->in) + n;
      return;
    }
    stream_fill(s, 0);
  }
}

static void stream_open(stream *s) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(option("to", "0")))};
  int on = 1;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  s->from = s->to = s->out_n = 0;
  s->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&a, sizeof a) < 0) die("connect");
  setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  reserve(&s->in, &s->in_cap, IN_MIN);
  proto->greet(s);
}

/* --- NATS --- */

static void nats_greet(stream *s) {
  stream_wait_for(s, "\r\n");
  put_text(s, "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":false,\"protocol\":1}\r\nPING\r\n");
  stream_flush(s);
  stream_wait_for(s, "PONG\r\n");
}

static void nats_subscribe(stream *s, const char *topic) {
  char line[256];
  snprintf(line, sizeof line, "SUB %s 1\r\nPING\r\n", topic);
  put_text(s, line);
  stream_flush(s);
  stream_wait_for(s, "PONG\r\n");
}

static void nats_publish(stream *s, const char *topic, const char *reply, const uint8_t *bytes, size_t n) {
  char line[256];
  int length = snprintf(line, sizeof line, "PUB %s %s%s%zu\r\n", topic, reply ? reply : "", reply ? " " : "", n);
  put(s, line, (size_t)length);
  put(s, bytes, n);
  put_text(s, "\r\n");
}

/* MSG subject sid [reply] size */
static void nats_parse_message(const uint8_t *at, size_t line, size_t n, item *i) {
  const char *word[5], *end = (const char *)at + line;
  size_t count = 0;
  for (const char *p = (const char *)at; p < end && count < 5; p++)
    if (p == (const char *)at || p[-1] == ' ') word[count++] = p;
  if (count < 4) die("a message I do not understand");
  size_t bytes = strtoull(word[count - 1], NULL, 10);
  if (n < line + 2 + bytes + 2) return;
  if (count == 5) {
    i->reply = word[3];
    i->reply_size = (size_t)(word[4] - word[3]) - 1;
  }
  i->taken = line + 2 + bytes + 2;
  i->payload = at + line + 2;
  i->size = bytes;
}

static void nats_parse(stream *s, const uint8_t *at, size_t n, item *i) {
  const uint8_t *end = memchr(at, '\r', n);
  if (!end || (size_t)(end - at) + 2 > n) return;
  size_t line = (size_t)(end - at);
  if (at[0] == 'M') {
    nats_parse_message(at, line, n, i);
    return;
  }
  i->taken = line + 2;
  if (line == 4 && memcmp(at, "PING", 4) == 0 && send(s->fd, "PONG\r\n", 6, 0) != 6) die("pong");
  if (at[0] == '-') die("refused");
}

/* --- Redis --- */

static void redis_greet(stream *s) {
  (void)s;
}

static void redis_subscribe(stream *s, const char *topic) {
  char line[256];
  snprintf(line, sizeof line, "*2\r\n$9\r\nSUBSCRIBE\r\n$%zu\r\n%s\r\n", strlen(topic), topic);
  put_text(s, line);
  stream_flush(s);
  stream_wait_for(s, ":1\r\n");
}

static void redis_publish(stream *s, const char *topic, const char *reply, const uint8_t *bytes, size_t n) {
  char line[256];
  (void)reply;
  int length = snprintf(line, sizeof line, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(topic), topic, n);
  put(s, line, (size_t)length);
  put(s, bytes, n);
  put_text(s, "\r\n");
}

/* *3 $7 message $5 topic $size payload, or a line that answers a publish */
static void redis_parse(stream *s, const uint8_t *at, size_t n, item *i) {
  size_t pos = 0, length = 0, lines = at[0] == '*' ? 6 : 1;
  (void)s;
  for (size_t l = 0; l < lines; l++) {
    const uint8_t *end = memchr(at + pos, '\r', n - pos);
    if (!end || (size_t)(end - at) + 2 > n) return;
    if (at[pos] == '$') length = strtoull((const char *)at + pos + 1, NULL, 10);
    if (at[0] == '-') die("refused");
    pos = (size_t)(end - at) + 2;
  }
  if (lines == 1) {
    i->taken = pos;
    return;
  }
  if (n < pos + length + 2) return;
  *i = (item){.taken = pos + length + 2, .size = length, .payload = at + pos};
}

/* --- MQTT 3.1.1 --- */

static void mqtt_greet(stream *s) {
  static const uint8_t hello[] = {0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 0};
  put(s, hello, sizeof hello);
  stream_flush(s);
  while (s->to - s->from < 4) stream_fill(s, 0);
  s->from += 4;
}

static void mqtt_subscribe(stream *s, const char *topic) {
  size_t n = strlen(topic);
  uint8_t head[] = {0x82, (uint8_t)(n + 5), 0, 1, 0, (uint8_t)n};
  put(s, head, sizeof head);
  put(s, topic, n);
  put(s, "", 1);
  stream_flush(s);
  while (s->to - s->from < 5) stream_fill(s, 0);
  s->from += 5;
}

static void mqtt_publish(stream *s, const char *topic, const char *reply, const uint8_t *bytes, size_t n) {
  size_t length = strlen(topic), rest = 2 + length + n, at = 0;
  uint8_t head[8] = {0x30};
  (void)reply;
  do {
    head[++at] = (uint8_t)((rest & 127) | (rest > 127 ? 128 : 0));
    rest >>= 7;
  } while (rest > 0);
  head[++at] = 0;
  head[++at] = (uint8_t)length;
  put(s, head, at + 1);
  put(s, topic, length);
  put(s, bytes, n);
}

static void mqtt_parse(stream *s, const uint8_t *at, size_t n, item *i) {
  size_t rest = 0, pos = 1;
  unsigned shift = 0;
  (void)s;
  do {
    if (pos >= n) return;
    rest |= (size_t)(at[pos] & 127) << shift;
    shift += 7;
  } while (at[pos++] & 128);
  if (n < pos + rest) return;
  i->taken = pos + rest;
  if (at[0] >> 4 != 3) return;
  size_t topic = 2 + ((size_t)at[pos] << 8 | at[pos + 1]);
  i->payload = at + pos + topic;
  i->size = rest - topic;
}

static const protocol protocols[] = {
    {"nats", nats_greet, nats_subscribe, nats_publish, nats_parse},
    {"redis", redis_greet, redis_subscribe, redis_publish, redis_parse},
    {"mqtt", mqtt_greet, mqtt_subscribe, mqtt_publish, mqtt_parse},
};

/* --- roles --- */

static void send_number(uint64_t n) {
  memcpy(payload, &n, sizeof n);
  proto->publish(&only, "bench", NULL, payload, size);
  if (only.out_n >= FLUSH_AT) stream_flush(&only);
}

static void flush(void) {
  stream_flush(&only);
  drop_what_is_there(&only);
}

static void publish(void) {
  stream_open(&only);
  ready("-");
  wait_for_go();
  publish_all(size, send_number, flush);
}

static void receive_from(stream *s, tally *t) {
  item i;
  stream_fill(s, 0);
  while (stream_next(s, &i)) {
    if (!i.payload || !take(t, i.payload, i.size) || s->over) continue;
    s->over = true;
    t->ended++;
  }
}

static void subscribe(void) {
  size_t n = number_option("nodes", 1);
  stream *all = calloc(n, sizeof *all);
  int epoll = epoll_create1(0);
  tally t = {0};
  if (!all || epoll < 0) die("epoll");
  for (size_t k = 0; k < n; k++) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = &all[k]};
    stream_open(&all[k]);
    proto->subscribe(&all[k], "bench");
    epoll_ctl(epoll, EPOLL_CTL_ADD, all[k].fd, &e);
  }
  ready("-");
  while (t.ended < n) {
    struct epoll_event events[64];
    int count = epoll_wait(epoll, events, 64, -1);
    for (int k = 0; k < count; k++) receive_from(events[k].data.ptr, &t);
  }
  tell_tally(&t);
}

static void echo(void) {
  char reply[256];
  item i;
  stream_open(&only);
  proto->subscribe(&only, "ping");
  ready("-");
  for (;;) {
    stream_message(&only, &i);
    snprintf(reply, sizeof reply, "%.*s", (int)i.reply_size, i.reply);
    proto->publish(&only, reply, NULL, i.payload, i.size);
    stream_flush(&only);
  }
}

static void ping(void) {
  item i;
  stream_open(&only);
  proto->subscribe(&only, "_INBOX.1");
  ready("-");
  wait_for_go();
  start_trips();
  do {
    begin_trip();
    proto->publish(&only, "ping", "_INBOX.1", payload, size);
    stream_flush(&only);
    stream_message(&only, &i);
  } while (end_trip());
}

/* Ten connections, and when told so the rest. */
static void idle(void) {
  stream s = {0};
  size_t n = number_option("count", 1000);
  for (size_t k = 0; k < n; k++) {
    if (k == 10) {
      ready("-");
      wait_for_go();
    }
    stream_open(&s);
    proto->subscribe(&s, "bench");
  }
  printf("result count=%zu\n", n);
  fflush(stdout);
  pause();
}

static void dial(void) {
  ready("-");
  wait_for_go();
  start_trips();
  do {
    begin_trip();
    stream_open(&only);
    close(only.fd);
  } while (end_trip());
}

int main(int argc, char **argv) {
  words = argv;
  (void)argc;
  size = number_option("size", 64);
  payload = new_payload(size);
  for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++)
    if (strcmp(option("protocol", ""), protocols[i].name) == 0) proto = &protocols[i];
  if (!proto) die("which protocol?");
  static const role roles[] = {{"pub", publish}, {"sub", subscribe}, {"echo", echo}, {"ping", ping},
                               {"idle", idle},   {"dial", dial},     {NULL, NULL}};
  return play(roles);
}
