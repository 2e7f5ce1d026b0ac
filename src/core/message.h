/* message.h: a message as it lies in a frame: the envelope's fields (PROTOCOL A.2, B.2) and its data, which stay
 * serialised and unread. Decoding has a fast path for the order we emit and a general one for any other.
 * SPDX-License-Identifier: MIT */
#ifndef CHASKI_MESSAGE_H
#define CHASKI_MESSAGE_H

#include "frame.h"
#include "uuid.h"

#define CHASKI_TTL_MAX 64      /* hops; larger values from the wire are clamped (RELIABILITY T17) */
#define CHASKI_COMMAND_MAX 64  /* bytes of a command's name */
#define CHASKI_TOPIC_ALL "All" /* the topic of every command but the application's own */

/* All slices point into the frame's bytes and live as long as they do. */
typedef struct chaski_message {
  chaski_slice frame;   /* the whole frame */
  chaski_slice command; /* text */
  chaski_slice topic;   /* text; the header's and the envelope's are the same */
  chaski_slice data;    /* one serialised value, not looked into when it is the application's; empty: the envelope has
                           none, which is nil */
  chaski_slice uuid;    /* text of 1..64 bytes; empty: nil */
  int64_t sec;          /* timestamp, since 1970 UTC */
  uint32_t nsec;
  chaski_slice stamp; /* the timestamp as it was serialised; empty: the envelope has none */
  uint8_t ttl;        /* 0..CHASKI_TTL_MAX, as received */
  bool ttl_clamped;   /* what stood there was more */
  bool ours;          /* uuid is version 8: origin and seq are set */
  uint64_t origin, seq;
  uint32_t ttl_at;    /* offset of the ttl's bytes in frame; 0: the envelope has none */
  uint32_t ttl_width; /* how many bytes: 1, 2, 3, 5 or 9 */
  uint32_t datagram;  /* bytes of the whole datagram; 0: it came in a frame */
} chaski_message;

#define CHASKI_MESSAGE_REMEMBERED 128 /* bytes: twice a topic of 32 bytes, a command of 30, the names */

/* What a stream of messages repeats: the message read last up to its time, and the most of its id. Zeroed: nothing. */
typedef struct chaski_message_memo {
  uint8_t head[CHASKI_MESSAGE_REMEMBERED]; /* behind the frame's lengths */
  uint8_t len;                             /* of head; 0: none */
  uint8_t header_topic;                    /* bytes of it that are the header's topic */
  uint8_t command, command_len, topic, topic_len;
  chaski_uuid_memo uuid;
} chaski_message_memo;

/* Read the message in a complete frame; a memo (or NULL) makes it quicker if the one before was of the same stream, and
 * changes nothing else. CHASKI_OK, or CHASKI_EMALFORMED and *why (static) says what is wrong. Header
 * and envelope are checked fully. Data that stands last is not looked into, so that a fault inside it stays a fault of
 * the message (CHASKI_EDATA for who reads it); data that stands elsewhere has to be walked over and then is checked. */
int chaski_message_read(const chaski_frame *frame, chaski_message_memo *memo, chaski_message *out, const char **why);
/* The same from the frame's bytes, which must be exactly one frame. */
int chaski_message_read_bytes(chaski_slice frame, chaski_message *out, const char **why);

/* The same of a datagram: the message alone, without header. out->frame stays empty. */
int chaski_message_read_datagram(chaski_slice bytes, chaski_message *out, const char **why);

#define CHASKI_TEMPLATE_MAX 192 /* bytes: envelope, header and twice a topic of 32 bytes */

/* What goes into a new envelope. */
typedef struct chaski_envelope {
  chaski_slice command, topic; /* at most CHASKI_COMMAND_MAX and 256 bytes */
  int64_t sec;
  uint32_t nsec;
  uint8_t ttl;          /* 0..127 */
  uint64_t origin, seq; /* the uuid */
} chaski_envelope;

/* Bytes of the frame that carries data_len bytes of data under this envelope. */
size_t chaski_message_size(const chaski_envelope *e, size_t data_len);
/* The head of a frame whose next one differs in data, time, ttl and number only. */
typedef struct chaski_message_template {
  uint64_t origin;
  size_t len;                  /* 0: none was made */
  chaski_slice command, topic; /* in bytes */
  uint8_t bytes[CHASKI_TEMPLATE_MAX];
} chaski_message_template;
bool chaski_message_template_fits(const chaski_message_template *t, const chaski_envelope *e);
/* false: it is too long for a template; then none was made. */
bool chaski_message_template_make(chaski_message_template *t, const chaski_envelope *e);
/* As chaski_message_write_head, for an envelope that fits. */
size_t chaski_message_template_write(uint8_t *out, const chaski_message_template *t, const chaski_envelope *e,
                                     size_t data_len);

#define CHASKI_MESSAGE_UUID_BACK (5 + CHASKI_UUID_TEXT) /* bytes from the uuid's text to the data behind it */
/* Write everything but the data (which follows at the returned offset) into out, which has room for all of it. */
size_t chaski_message_write_head(uint8_t *out, const chaski_envelope *e, size_t data_len);

/* Write into out (at least frame.len + 12 bytes) the frame with the ttl replaced, all else as it was; returns its
 * length. */
size_t chaski_message_with_ttl(uint8_t *out, const chaski_message *m, uint8_t ttl);

#endif
