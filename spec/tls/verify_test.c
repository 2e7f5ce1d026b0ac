/* verify_test.c: bad certificates, each refused in both roles for its own reason, told on both sides and counted under
 * its name; good ones, which are not; pins; and contexts that cannot be made.
 * SPDX-License-Identifier: MIT */
#include "side.h"

#include "../../src/core/alloc.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALPN "\x08" CHASKI_TLS_ALPN
#define URI "URI:chaski://mesh/peer"
#define LONG64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static tls_rig rig;
static const chaski_sim_link ideal = {.delay_ns = 1000000};

static int setup(void **state) {
  *state = &rig;
  return tls_rig_sim(&rig, &ideal);
}

static int teardown(void **state) {
  (void)state;
  return tls_rig_close(&rig);
}

/* --- the cases ---------------------------------------------------------------------------------------------------- */

enum how { BY_ROOT, BY_STRANGER, BY_NAMESAKE, BY_ITSELF, BY_MIDDLE, BY_HIDDEN_MIDDLE, BY_NODE, BY_DEEP, REVOKED };

typedef struct bad_case {
  const char *name;
  enum how how;
  certs_what leaf, middle; /* middle: what is not the usual intermediate */
  const char *detail;      /* on our side */
  int alert;               /* on the peer's */
  size_t counter;
} bad_case;

#define COUNT(name) offsetof(chaski_tls_counters, name)
#define NO_NAME "certificate without a chaski:// name", 42, COUNT(no_identity)
#define NOT_FOR "certificate is not for this role", 43, COUNT(bad_purpose)
#define UNKNOWN "certificate of an unknown authority", 48, COUNT(unknown_ca)
#define WEAK "certificate with a weak key", 42, COUNT(weak)
#define DIGEST "certificate with a weak signature", 42, COUNT(weak)
#define LATE "certificate has expired", 45, COUNT(expired)
#define EARLY "certificate is not yet valid", 42, COUNT(not_yet_valid)
#define TAMPERED "certificate with a wrong signature", 51, COUNT(bad_signature)
#define SEVERAL "certificate with more than one name", 42, COUNT(many_identities)
#define GONE "certificate was revoked", 44, COUNT(revoked)
#define RIGHTS "certificate with malformed rights", 42, COUNT(other)

static const bad_case cases[] = {
    {"expired", BY_ROOT, {.names = URI, .not_before = -9, .not_after = -1}, {0}, LATE},
    {"expired long ago", BY_ROOT, {.names = URI, .not_before = -99 * CERTS_DAY, .not_after = -9}, {0}, LATE},
    {"not yet valid", BY_ROOT, {.names = URI, .not_before = 99, .not_after = 999}, {0}, EARLY},
    {"of another root", BY_STRANGER, {.names = URI}, {0}, UNKNOWN},
    {"of a root of the same name", BY_NAMESAKE, {.names = URI}, {0}, UNKNOWN},
    {"self-signed", BY_ITSELF, {.names = URI}, {0}, "self-signed certificate", 48, COUNT(self_signed)},
    {"no names at all", BY_ROOT, {.names = NULL}, {0}, NO_NAME},
    {"a host name only", BY_ROOT, {.name = "peer", .names = "DNS:peer"}, {0}, NO_NAME},
    {"another scheme", BY_ROOT, {.names = "URI:spiffe://mesh/peer"}, {0}, NO_NAME},
    {"the scheme in capitals", BY_ROOT, {.names = "URI:CHASKI://mesh/peer"}, {0}, NO_NAME},
    {"an empty id", BY_ROOT, {.names = "URI:chaski://mesh/"}, {0}, NO_NAME},
    {"no id", BY_ROOT, {.names = "URI:chaski://mesh"}, {0}, NO_NAME},
    {"an empty mesh", BY_ROOT, {.names = "URI:chaski:///peer"}, {0}, NO_NAME},
    {"an id with a slash", BY_ROOT, {.names = URI "/x"}, {0}, NO_NAME},
    {"an id with a percent sign", BY_ROOT, {.names = URI "%20"}, {0}, NO_NAME},
    {"an id of 65 bytes", BY_ROOT, {.names = "URI:chaski://mesh/a" LONG64}, {0}, NO_NAME},
    {"two names", BY_ROOT, {.names = URI ",URI:chaski://mesh/other"}, {0}, SEVERAL},
    {"a name and a foreign one", BY_ROOT, {.names = URI ",URI:http://x/"}, {0}, SEVERAL},
    {"another mesh",
     BY_ROOT,
     {.names = "URI:chaski://hem/peer"},
     {0},
     "certificate of another mesh",
     42,
     COUNT(other_mesh)},
    {"a mesh that begins like ours",
     BY_ROOT,
     {.names = "URI:chaski://mesh2/peer"},
     {0},
     "certificate of another mesh",
     42,
     COUNT(other_mesh)},
    {"for another use", BY_ROOT, {.names = URI, .usage = "codeSigning"}, {0}, NOT_FOR},
    {"for mail", BY_ROOT, {.names = URI, .usage = "emailProtection"}, {0}, NOT_FOR},
    {"an authority's",
     BY_ROOT,
     {.names = URI, .authority = true},
     {0},
     "certificate of an authority, not of a node",
     43,
     COUNT(bad_purpose)},
    {"revoked", REVOKED, {.names = URI}, {0}, GONE},
    {"tampered", BY_ROOT, {.names = URI, .tampered = true}, {0}, TAMPERED},
    {"RSA of 1024 bits", BY_ROOT, {.names = URI, .key = "rsa1024"}, {0}, WEAK},
    {"RSA of 2048 bits", BY_ROOT, {.names = URI, .key = "rsa2048"}, {0}, WEAK},
    {"signed with SHA-1", BY_ROOT, {.names = URI, .digest = "SHA1"}, {0}, DIGEST},
    {"signed with MD5", BY_MIDDLE, {.names = URI, .digest = "MD5"}, {.key = "rsa3072"}, DIGEST},
    {"intermediate not sent", BY_HIDDEN_MIDDLE, {.names = URI}, {0}, UNKNOWN},
    {"intermediate expired", BY_MIDDLE, {.names = URI}, {.not_before = -9, .not_after = -1}, LATE},
    {"intermediate not yet valid", BY_MIDDLE, {.names = URI}, {.not_before = 99, .not_after = 999}, EARLY},
    {"intermediate weak", BY_MIDDLE, {.names = URI}, {.key = "rsa2048"}, WEAK},
    {"intermediate on another curve", BY_MIDDLE, {.names = URI}, {.key = "secp256k1"}, WEAK},
    {"intermediate tampered", BY_MIDDLE, {.names = URI}, {.tampered = true}, TAMPERED},
    {"intermediate signed with SHA-1", BY_MIDDLE, {.names = URI}, {.digest = "SHA1"}, DIGEST},
    {"signed by a node",
     BY_NODE,
     {.names = URI},
     {0},
     "certificate signed by one that may not sign",
     48,
     COUNT(unknown_ca)},
    {"three intermediates", BY_DEEP, {.names = URI}, {0}, "certificate with too long a chain", 48, COUNT(other)},
    {"rights nobody knows", BY_ROOT, {.names = URI, .rights = "publish=a;fly"}, {0}, RIGHTS},
};

#define CASES (sizeof cases / sizeof cases[0])

/* What a bad peer shows: a leaf, what is sent with it, and all that has to be freed. */
typedef struct showing {
  certs_pair leaf, made[4];
  size_t n;
  raw_options options;
  char *list; /* what we know to be revoked */
} showing;

static const certs_pair *keep(showing *s, certs_pair pair, bool sent) {
  size_t i = 0;
  s->made[s->n] = pair;
  while (s->options.chain[i]) i++;
  if (sent) s->options.chain[i] = &s->made[s->n];
  return &s->made[s->n++];
}

static const certs_pair *middle(showing *s, const bad_case *c, const certs_pair *issuer, bool sent) {
  certs_what what = c->middle;
  static const char *const names[] = {"upper", "middle", "lower"}, *const keys[] = {"p2562", "p2563", "p2564"};
  what.authority = true;
  what.name = names[s->n];
  if (!what.key) what.key = keys[s->n];
  if (!what.not_after) what.not_before = -300, what.not_after = CERTS_DAY;
  return keep(s, certs_issue(&what, issuer), sent);
}

static const certs_pair *issuer_of(showing *s, const bad_case *c) {
  switch (c->how) {
  case BY_STRANGER:
    return keep(s, certs_root("stranger", "p2562"), false);
  case BY_NAMESAKE:
    return keep(s, certs_root("root", "p2562"), false);
  case BY_ITSELF:
    return NULL;
  case BY_MIDDLE:
    return middle(s, c, &rig.root, true);
  case BY_HIDDEN_MIDDLE:
    return middle(s, c, &rig.root, false);
  case BY_NODE:
    return keep(s, certs_node("chaski://mesh/node", &rig.root), true);
  case BY_DEEP:
    return middle(s, c, middle(s, c, middle(s, c, &rig.root, true), true), true);
  default:
    return &rig.root;
  }
}

static void show(showing *s, const bad_case *c) {
  memset(s, 0, sizeof *s);
  const certs_pair *issuer = issuer_of(s, c);
  s->leaf = certs_issue(&c->leaf, issuer);
  s->options.pair = &s->leaf;
  s->options.alpn = ALPN;
  const certs_pair *revoked[] = {&s->leaf};
  if (c->how == REVOKED) s->list = certs_list(&rig.root, revoked, 1);
}

static void unshow(showing *s) {
  certs_free(&s->leaf);
  for (size_t i = 0; i < s->n; i++) certs_free(&s->made[i]);
  free(s->list);
}

/* --- one case ----------------------------------------------------------------------------------------------------- */

static uint64_t counter(size_t offset) {
  return *(const uint64_t *)((const char *)chaski_tls_layer_counters(rig.layer) + offset);
}

static void use_list(const char *list) {
  chaski_tls_context *client, *server;
  char why[CHASKI_TLS_WHY_MAX];
  assert_int_equal(chaski_tls_context_with_crl(rig.client, chaski_slice_str(list), &client, why), CHASKI_OK);
  assert_int_equal(chaski_tls_context_with_crl(rig.server, chaski_slice_str(list), &server, why), CHASKI_OK);
  chaski_tls_layer_set_contexts(rig.layer, client, server);
  chaski_tls_context_release(client);
  chaski_tls_context_release(server);
}

static void accept_raw(door *d, side *s, raw *r, const raw_options *options) {
  door_open(d, &rig, s);
  raw_dial(r, &rig, options, d->port);
  rig_until(&rig, side_is_ended, s);
  rig_settle(&rig);
  assert_int_equal(s->connected, 0);
  s->status = s->end_status;
}

static void dial_raw(side *s, raw *r, const raw_options *options) {
  raw_listen(r, &rig, options);
  side_dial(s, &rig, r->port);
  rig_until(&rig, side_is_connected, s);
  rig_settle(&rig);
}

/* Meet such a peer in one of the roles; the side says what became of it. */
static int meet(bool peer_is_client, const raw_options *options, side *s) {
  door d = {0};
  raw r;
  *s = (side){0};
  if (peer_is_client)
    accept_raw(&d, s, &r, options);
  else
    dial_raw(s, &r, options);
  assert_int_equal(s->received, 0);
  assert_null(chaski_tls_transport.peer_id(s->stream));
  side_close(s);
  raw_close(&r);
  if (peer_is_client) door_close(&d);
  rig_gone(&rig);
  raw_free(&r);
  return r.alert;
}

static bool judge(const bad_case *c, bool peer_is_client) {
  showing shown;
  side s;
  show(&shown, c);
  if (shown.list) use_list(shown.list);
  uint64_t before = counter(c->counter), refused = counter(COUNT(refused)), good = counter(COUNT(handshakes));
  int alert = meet(peer_is_client, &shown.options, &s);
  bool told = s.status == CHASKI_ECERTIFICATE && strcmp(s.detail, c->detail) == 0 && alert == c->alert;
  bool counted = counter(c->counter) == before + 1 && counter(COUNT(refused)) == refused + 1;
  bool fine = told && counted && counter(COUNT(handshakes)) == good;
  if (!fine) print_error("%s: %s, '%s', alert %d\n", c->name, chaski_error_name(s.status), s.detail, alert);
  chaski_tls_layer_set_contexts(rig.layer, rig.client, rig.server);
  unshow(&shown);
  return fine;
}

static void judge_all(bool peer_is_client) {
  bool fine = true;
  for (size_t i = 0; i < CASES; i++) fine = judge(&cases[i], peer_is_client) && fine;
  assert_true(fine);
}

static void bad_clients_are_refused_each_for_its_reason(void **state) {
  (void)state;
  judge_all(true);
}

static void bad_servers_are_refused_each_for_their_reason(void **state) {
  (void)state;
  judge_all(false);
}

static void a_certificate_for_the_other_role_is_refused(void **state) {
  (void)state;
  const bad_case server = {"a server's", BY_ROOT, {.names = URI, .usage = "serverAuth"}, {0}, NOT_FOR};
  const bad_case client = {"a client's", BY_ROOT, {.names = URI, .usage = "clientAuth"}, {0}, NOT_FOR};
  assert_true(judge(&server, true));
  assert_true(judge(&client, false));
}

static void a_client_without_certificate_is_refused(void **state) {
  (void)state;
  side s;
  const raw_options options = {.alpn = ALPN};
  int alert = meet(true, &options, &s);
  assert_int_equal(s.status, CHASKI_ECERTIFICATE);
  assert_string_equal(s.detail, "no certificate was shown");
  assert_int_equal(alert, 116);
  assert_int_equal(counter(COUNT(no_certificate)), 1);
}

static void an_older_tls_is_refused(void **state) {
  (void)state;
  const raw_options options = {.pair = &rig.client_pair, .alpn = ALPN, .version = TLS1_2_VERSION};
  for (int client = 0; client < 2; client++) {
    side s;
    int alert = meet(client, &options, &s);
    assert_string_equal(s.detail, "the peer speaks an older TLS");
    assert_int_equal(s.status, CHASKI_ETLS);
    assert_int_equal(alert, client ? 70 : -1); /* as a server it is the one to refuse */
    assert_int_equal(counter(COUNT(version)), client + 1);
  }
}

static void a_client_that_names_another_protocol_or_none_is_refused(void **state) {
  (void)state;
  static const char *const names[] = {"\x02h2",
                                      "\x08"
                                      "chaski/2",
                                      "\x02h2\x08http/1.1", NULL};
  for (size_t i = 0; i < 4; i++) {
    side s;
    const raw_options options = {.pair = &rig.client_pair, .alpn = names[i]};
    int alert = meet(true, &options, &s);
    assert_string_equal(s.detail, "no common protocol (ALPN)");
    assert_int_equal(s.status, CHASKI_ETLS);
    assert_int_equal(alert, 120);
    assert_int_equal(counter(COUNT(alpn)), i + 1);
  }
}

static void a_server_that_chooses_no_protocol_is_refused(void **state) {
  (void)state;
  side s;
  const raw_options options = {.pair = &rig.server_pair};
  int alert = meet(false, &options, &s);
  assert_string_equal(s.detail, "no common protocol (ALPN)");
  assert_int_equal(s.status, CHASKI_ETLS);
  assert_int_equal(alert, 40);
  assert_int_equal(counter(COUNT(alpn)), 1);
}

static void a_peer_without_tls_is_refused_without_an_answer(void **state) {
  (void)state;
  static const char *const words[] = {"GET / HTTP/1.1\r\n\r\n", "\0\0\0\0\0\0\0\7chaski!", "\x16?????"};
  for (size_t i = 0; i < 3; i++) {
    side s = {0};
    door d = {0};
    raw r;
    const raw_options options = {.plain = true};
    door_open(&d, &rig, &s);
    raw_dial(&r, &rig, &options, d.port);
    rig_settle(&rig);
    raw_send(&r, words[i], 6);
    rig_until(&rig, side_is_ended, &s);
    assert_int_equal(s.end_status, CHASKI_ETLS);
    assert_string_equal(s.detail, "the peer speaks no TLS");
    side_close(&s);
    door_close(&d);
    rig_settle(&rig);
    assert_int_equal(r.wire, 0);
    raw_close(&r);
    rig_gone(&rig);
    raw_free(&r);
    assert_int_equal(counter(COUNT(plain)), i + 1);
  }
}

static void a_server_without_tls_is_refused(void **state) {
  (void)state;
  side s = {0};
  raw r;
  const raw_options options = {.plain = true};
  raw_listen(&r, &rig, &options);
  side_dial(&s, &rig, r.port);
  rig_settle(&rig);
  raw_send(&r, "220 welcome\r\n", 13);
  rig_until(&rig, side_is_connected, &s);
  assert_int_equal(s.status, CHASKI_ETLS);
  assert_string_equal(s.detail, "the peer speaks no TLS");
  side_close(&s);
  raw_close(&r);
  rig_gone(&rig);
  raw_free(&r);
}

/* --- good ones ---------------------------------------------------------------------------------------------------- */

static void welcome(bool peer_is_client, const raw_options *options, const char *id) {
  door d = {0};
  side s = {0};
  raw r;
  if (peer_is_client) {
    door_open(&d, &rig, &s);
    raw_dial(&r, &rig, options, d.port);
  } else {
    raw_listen(&r, &rig, options);
    side_dial(&s, &rig, r.port);
  }
  rig_until(&rig, side_is_known, &s);
  rig_until(&rig, raw_is_shaken, &r);
  assert_string_equal(chaski_tls_transport.peer_id(s.stream), id);
  assert_int_equal(s.status, CHASKI_OK);
  side_close(&s);
  raw_close(&r);
  if (peer_is_client) door_close(&d);
  rig_gone(&rig);
  raw_free(&r);
}

static void good_certificates_of_every_kind_are_welcome(void **state) {
  (void)state;
  static const certs_what kinds[] = {
      {.names = URI},
      {.names = URI, .key = "p384"},
      {.names = URI, .key = "ed25519"},
      {.names = URI, .key = "rsa3072"},
      {.names = URI, .usage = ""},
      {.names = "DNS:a.example,IP:10.0.0.1," URI ",DNS:b.example"},
      {.names = URI, .rights = "publish=a.*,b;subscribe=;relay"},
  };
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    certs_pair pair = certs_issue(&kinds[i], &rig.root);
    const raw_options options = {.pair = &pair, .alpn = ALPN};
    welcome(true, &options, "peer");
    welcome(false, &options, "peer");
    certs_free(&pair);
  }
}

static void an_id_may_have_64_bytes_and_all_its_characters(void **state) {
  (void)state;
  static const char *const ids[] = {LONG64, "AZaz09._-", "x"};
  for (size_t i = 0; i < 3; i++) {
    char uri[128];
    snprintf(uri, sizeof uri, "chaski://mesh/%s", ids[i]);
    certs_pair pair = certs_node(uri, &rig.root);
    const raw_options options = {.pair = &pair, .alpn = ALPN};
    welcome(true, &options, ids[i]);
    certs_free(&pair);
  }
}

static void two_intermediates_are_welcome(void **state) {
  (void)state;
  const certs_what what = {.name = "middle", .key = "p2562", .authority = true};
  const certs_what other = {.name = "lower", .key = "p2563", .authority = true};
  certs_pair upper = certs_issue(&what, &rig.root), lower = certs_issue(&other, &upper);
  certs_pair pair = certs_node("chaski://mesh/deep", &lower);
  const raw_options options = {.pair = &pair, .chain = {&lower, &upper}, .alpn = ALPN};
  welcome(true, &options, "deep");
  welcome(false, &options, "deep");
  certs_free(&pair);
  certs_free(&lower);
  certs_free(&upper);
}

static void a_list_that_names_others_does_no_harm(void **state) {
  (void)state;
  const certs_pair *revoked[] = {&rig.client_pair};
  certs_pair pair = certs_node("chaski://mesh/peer", &rig.root);
  const raw_options options = {.pair = &pair, .alpn = ALPN};
  char *list = certs_list(&rig.root, revoked, 1);
  use_list(list);
  welcome(true, &options, "peer");
  chaski_sim_wall_jump(rig.sim, CERTS_DAY / 2);
  welcome(true, &options, "peer");
  chaski_tls_layer_set_contexts(rig.layer, rig.client, rig.server);
  certs_free(&pair);
  free(list);
}

static void the_time_is_the_environments(void **state) {
  (void)state;
  const certs_what what = {.names = URI, .not_before = 3600, .not_after = 7200};
  certs_pair pair = certs_issue(&what, &rig.root);
  const raw_options options = {.pair = &pair, .alpn = ALPN};
  side s;
  meet(true, &options, &s);
  assert_string_equal(s.detail, "certificate is not yet valid");
  chaski_sim_wall_jump(rig.sim, 5000);
  welcome(true, &options, "peer");
  chaski_sim_wall_jump(rig.sim, 5000);
  meet(true, &options, &s);
  assert_string_equal(s.detail, "certificate has expired");
  certs_free(&pair);
}

/* --- pins and anonymity ------------------------------------------------------------------------------------------- */

static void pinned(chaski_tls_options *options, void *arg) {
  options->pin = arg;
  options->anonymous = true;
}

static void dial_with_pin(const certs_pair *key_of, const raw_options *options, side *s) {
  uint8_t pin[CHASKI_TLS_PIN];
  certs_pin(key_of, pin);
  chaski_tls_context *context = tls_rig_context(NULL, NULL, pinned, pin);
  assert_non_null(context);
  chaski_tls_layer_set_contexts(rig.layer, context, rig.server);
  chaski_tls_context_release(context);
  raw r;
  *s = (side){0};
  raw_listen(&r, &rig, options);
  side_dial(s, &rig, r.port);
  rig_until(&rig, side_is_connected, s);
  rig_settle(&rig);
  assert_null(r.ssl ? SSL_get0_peer_certificate(r.ssl) : NULL);
  side_close(s);
  raw_close(&r);
  rig_gone(&rig);
  raw_free(&r);
}

static void a_pin_trusts_the_chain_to_its_root_and_no_other(void **state) {
  (void)state;
  certs_pair stranger = certs_root("stranger", "p2562"), of_stranger = certs_node("chaski://mesh/ca", &stranger);
  const certs_what late = {.names = URI, .not_before = -9, .not_after = -1};
  certs_pair expired = certs_issue(&late, &rig.root);
  side s;
  const raw_options whole = {.pair = &rig.server_pair, .chain = {&rig.root}, .alpn = ALPN};
  dial_with_pin(&rig.root, &whole, &s);
  assert_int_equal(s.status, CHASKI_OK);
  dial_with_pin(&stranger, &whole, &s);
  assert_string_equal(s.detail, "certificate of an unknown authority");
  const raw_options without_root = {.pair = &rig.server_pair, .alpn = ALPN};
  dial_with_pin(&rig.root, &without_root, &s);
  assert_string_equal(s.detail, "certificate of an unknown authority");
  const raw_options borrowed_root = {.pair = &of_stranger, .chain = {&stranger, &rig.root}, .alpn = ALPN};
  dial_with_pin(&rig.root, &borrowed_root, &s);
  assert_string_equal(s.detail, "certificate of an unknown authority");
  const raw_options too_late = {.pair = &expired, .chain = {&rig.root}, .alpn = ALPN};
  dial_with_pin(&rig.root, &too_late, &s);
  assert_string_equal(s.detail, "certificate has expired");
  certs_free(&expired);
  certs_free(&of_stranger);
  certs_free(&stranger);
}

static void anonymous(chaski_tls_options *options, void *arg) {
  (void)arg;
  options->anonymous = true;
}

static void an_anonymous_server_takes_clients_without_certificate_but_no_bad_one(void **state) {
  (void)state;
  chaski_tls_context *context = tls_rig_context(&rig.server_pair, &rig.root, anonymous, NULL);
  assert_non_null(context);
  chaski_tls_layer_set_contexts(rig.layer, rig.client, context);
  chaski_tls_context_release(context);
  door d = {0};
  side s[2] = {{0}};
  raw r;
  const raw_options nobody = {.alpn = ALPN};
  door_open(&d, &rig, s);
  raw_dial(&r, &rig, &nobody, d.port);
  rig_until(&rig, raw_is_shaken, &r);
  rig_settle(&rig);
  uint8_t one = side_pattern(0);
  raw_write(&r, &one, 1);
  rig_settle(&rig);
  assert_int_equal(s[0].received, 1);
  assert_null(chaski_tls_transport.peer_id(s[0].stream));
  assert_int_equal(chaski_tls_stream_peer_certificate(s[0].stream).len, 0);
  assert_false(chaski_tls_transport.may(rig.layer, s[0].stream, CHASKI_RIGHT_PUBLISH, chaski_slice_str("x")));
  assert_int_equal(chaski_tls_transport.check(s[0].stream), CHASKI_OK);
  side_close(&s[0]);
  door_close(&d);
  raw_close(&r);
  rig_gone(&rig);
  raw_free(&r);
  const bad_case stranger = {"a stranger", BY_STRANGER, {.names = URI}, {0}, UNKNOWN};
  showing shown;
  show(&shown, &stranger);
  meet(true, &shown.options, &s[1]);
  assert_string_equal(s[1].detail, "certificate of an unknown authority");
  unshow(&shown);
}

/* --- contexts ----------------------------------------------------------------------------------------------------- */

static void refused(const certs_pair *pair, const certs_pair *root, void (*change)(chaski_tls_options *, void *),
                    void *arg, const char *part) {
  chaski_tls_context *context = NULL;
  char why[CHASKI_TLS_WHY_MAX];
  assert_int_equal(tls_rig_try(pair, root, change, arg, &context, why), CHASKI_ECERTIFICATE);
  if (!strstr(why, part)) print_error("'%s' instead of '%s'\n", why, part);
  assert_non_null(strstr(why, part));
  assert_null(context);
  assert_null(strstr(why, "secret"));
  assert_int_equal(ERR_peek_error(), 0);
}

static void no_context_for(certs_what what, const char *part) {
  certs_pair pair = certs_issue(&what, &rig.root);
  refused(&pair, &rig.root, NULL, NULL, part);
  certs_free(&pair);
}

static void a_context_is_refused_for_a_certificate_that_peers_would_refuse(void **state) {
  (void)state;
  no_context_for((certs_what){.names = URI, .not_before = -9, .not_after = -1}, "has expired");
  no_context_for((certs_what){.names = URI, .not_before = 9, .not_after = 99}, "not yet valid");
  no_context_for((certs_what){.names = "DNS:x"}, "without a chaski:// name");
  no_context_for((certs_what){.names = URI ",URI:chaski://mesh/b"}, "more than one name");
  no_context_for((certs_what){.names = URI, .usage = "clientAuth"}, "not for this role");
  no_context_for((certs_what){.names = URI, .usage = "serverAuth"}, "not for this role");
  no_context_for((certs_what){.names = URI, .authority = true}, "of an authority");
  no_context_for((certs_what){.names = URI, .key = "rsa2048"}, "weak key");
  no_context_for((certs_what){.names = URI, .tampered = true}, "wrong signature");
  no_context_for((certs_what){.names = URI, .rights = "all"}, "malformed rights");
  certs_pair stranger = certs_root("stranger", "p2562");
  refused(&rig.client_pair, &stranger, NULL, NULL, "unknown authority");
  certs_free(&stranger);
}

static void a_context_without_roots_still_checks_dates(void **state) {
  (void)state;
  uint8_t pin[CHASKI_TLS_PIN] = {0};
  const certs_what late = {.names = URI, .not_before = -9, .not_after = -1};
  certs_pair expired = certs_issue(&late, &rig.root);
  refused(&expired, NULL, pinned, pin, "has expired");
  certs_free(&expired);
}

static void other_key(chaski_tls_options *options, void *arg) {
  options->key = chaski_slice_str(arg);
}

static void with_passphrase(chaski_tls_options *options, void *arg) {
  options->key = chaski_slice_str(arg);
  options->passphrase = chaski_slice_str("secret");
}

static void wrong_passphrase(chaski_tls_options *options, void *arg) {
  options->key = chaski_slice_str(arg);
  options->passphrase = chaski_slice_str("secret of others");
}

static void a_context_is_refused_for_its_key(void **state) {
  (void)state;
  char *foreign = certs_key_pem(certs_key("p2562"), NULL);
  char *locked = certs_key_pem(rig.client_pair.key, "secret");
  char *other_kind = certs_key_pem(certs_key("ed25519"), NULL);
  char *certificate = certs_pem(&rig.client_pair, NULL);
  refused(&rig.client_pair, &rig.root, other_key, foreign, "does not belong to the certificate");
  refused(&rig.client_pair, &rig.root, other_key, other_kind, "does not belong to the certificate");
  refused(&rig.client_pair, &rig.root, other_key, (void *)(uintptr_t) "", "key: none");
  refused(&rig.client_pair, &rig.root, other_key, (void *)(uintptr_t) "no key at all", "key");
  refused(&rig.client_pair, &rig.root, other_key, certificate, "key");
  refused(&rig.client_pair, &rig.root, other_key, locked, "passphrase");
  refused(&rig.client_pair, &rig.root, wrong_passphrase, locked, "passphrase");
  chaski_tls_context *context = tls_rig_context(&rig.client_pair, &rig.root, with_passphrase, locked);
  assert_non_null(context);
  assert_string_equal(chaski_tls_context_identity(context), "chaski://mesh/client");
  assert_string_equal(chaski_tls_context_id(context), "client");
  assert_int_equal(chaski_tls_context_not_after(context), certs_now() + CERTS_DAY);
  chaski_tls_context_release(context);
  free(foreign);
  free(locked);
  free(other_kind);
  free(certificate);
}

static void other_ca(chaski_tls_options *options, void *arg) {
  options->ca = chaski_slice_str(arg);
}

static void other_list(chaski_tls_options *options, void *arg) {
  options->crl = chaski_slice_str(arg);
}

static void other_protocol(chaski_tls_options *options, void *arg) {
  options->alpn = arg;
}

static char *nine_times(const char *text) {
  char *all = calloc(9, strlen(text) + 1);
  assert_non_null(all);
  for (int i = 0; i < 9; i++) strcat(all, text);
  return all;
}

static void a_context_is_refused_for_whom_it_would_trust(void **state) {
  (void)state;
  char *leaf = certs_pem(&rig.server_pair, NULL), *root = certs_pem(&rig.root, NULL), *nine = nine_times(root);
  char cut[64];
  snprintf(cut, sizeof cut, "%s", root);
  refused(&rig.client_pair, &rig.root, other_ca, (void *)(uintptr_t) "", "neither a root nor a pin");
  refused(&rig.client_pair, &rig.root, other_ca, (void *)(uintptr_t) "rubbish", "ca");
  refused(&rig.client_pair, &rig.root, other_ca, cut, "ca");
  refused(&rig.client_pair, &rig.root, other_ca, leaf, "no authority");
  refused(&rig.client_pair, &rig.root, other_ca, nine, "ca");
  refused(NULL, &rig.root, NULL, NULL, "certificate: none was given");
  refused(&rig.client_pair, &rig.root, other_protocol, (void *)(uintptr_t) "", "alpn");
  free(leaf);
  free(root);
  free(nine);
}

static void a_context_is_refused_for_its_revocation_list(void **state) {
  (void)state;
  const certs_pair *revoked[] = {&rig.client_pair};
  certs_pair stranger = certs_root("stranger", "p2562"), namesake = certs_root("root", "p2562");
  char *foreign = certs_list(&stranger, revoked, 1), *forged = certs_list(&namesake, revoked, 1);
  char *own = certs_list(&rig.root, revoked, 1);
  refused(&rig.client_pair, &rig.root, other_list, foreign, "");
  refused(&rig.client_pair, &rig.root, other_list, forged, "");
  refused(&rig.client_pair, &rig.root, other_list, (void *)(uintptr_t) "rubbish", "");
  refused(&rig.client_pair, &rig.root, other_list, own, "revoked");
  chaski_tls_context *context = NULL;
  char why[CHASKI_TLS_WHY_MAX];
  int rc = chaski_tls_context_with_crl(rig.client, chaski_slice_str(foreign), &context, why);
  assert_int_equal(rc, CHASKI_ECERTIFICATE);
  assert_true(strlen(why) > 0);
  assert_null(context);
  certs_free(&stranger);
  certs_free(&namesake);
  free(foreign);
  free(forged);
  free(own);
}

/* --- rights ------------------------------------------------------------------------------------------------------- */

static void expect_right(const char *rights, enum chaski_right right, const char *topic, bool expected) {
  const certs_what what = {.names = URI, .rights = rights};
  certs_pair pair = certs_issue(&what, &rig.root);
  chaski_tls_context *context = tls_rig_context(&pair, &rig.root, NULL, NULL);
  assert_non_null(context);
  bool may = chaski_tls_context_may(context, right, chaski_slice_str(topic));
  if (may != expected) print_error("'%s' and '%s'\n", rights ? rights : "no extension", topic);
  assert_int_equal(may, expected);
  chaski_tls_context_release(context);
  certs_free(&pair);
}

static void rights_are_what_the_extension_says(void **state) {
  (void)state;
  static const struct {
    const char *rights;
    enum chaski_right right;
    const char *topic;
    bool may;
  } table[] = {
      {NULL, CHASKI_RIGHT_PUBLISH, "a", true},
      {NULL, CHASKI_RIGHT_SUBSCRIBE, "a", true},
      {NULL, CHASKI_RIGHT_RELAY, "", true},
      {"", CHASKI_RIGHT_PUBLISH, "a", true},
      {"", CHASKI_RIGHT_RELAY, "", true},
      {"relay", CHASKI_RIGHT_PUBLISH, "a", true},
      {"publish=a", CHASKI_RIGHT_PUBLISH, "a", true},
      {"publish=a", CHASKI_RIGHT_PUBLISH, "b", false},
      {"publish=a", CHASKI_RIGHT_PUBLISH, "", false},
      {"publish=a", CHASKI_RIGHT_PUBLISH, "aa", false},
      {"publish=a", CHASKI_RIGHT_SUBSCRIBE, "b", true},
      {"publish=a", CHASKI_RIGHT_RELAY, "", false},
      {"publish=a;relay", CHASKI_RIGHT_RELAY, "", true},
      {"publish=*", CHASKI_RIGHT_RELAY, "", true},
      {"publish=a,*", CHASKI_RIGHT_PUBLISH, "zz", true},
      {"publish=", CHASKI_RIGHT_PUBLISH, "a", false},
      {"publish=", CHASKI_RIGHT_PUBLISH, "", false},
      {"publish=", CHASKI_RIGHT_RELAY, "", false},
      {"subscribe=x", CHASKI_RIGHT_RELAY, "", true},
      {"subscribe=x;publish=y", CHASKI_RIGHT_SUBSCRIBE, "y", false},
      {"subscribe=x;publish=y", CHASKI_RIGHT_PUBLISH, "y", true},
      {"publish=a;publish=b", CHASKI_RIGHT_PUBLISH, "b", true},
      {"publish=room/*/light", CHASKI_RIGHT_PUBLISH, "room/a/b/light", true},
      {"publish=room/*/light", CHASKI_RIGHT_PUBLISH, "room/light", false},
      {"publish=a*b*c", CHASKI_RIGHT_PUBLISH, "axxbxxbxc", true},
      {"publish=a*b*c", CHASKI_RIGHT_PUBLISH, "axxbxxbx", false},
      {"publish=a.b", CHASKI_RIGHT_PUBLISH, "axb", false},
      {"publish=[a]?", CHASKI_RIGHT_PUBLISH, "[a]?", true},
      {"publish=[a]?", CHASKI_RIGHT_PUBLISH, "ab", false},
      {"publish=**", CHASKI_RIGHT_PUBLISH, "", true},
      {"publish=a*", CHASKI_RIGHT_PUBLISH, "A", false},
  };
  for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
    expect_right(table[i].rights, table[i].right, table[i].topic, table[i].may);
}

static void a_pattern_of_stars_costs_no_time(void **state) {
  (void)state;
  char rights[1024] = "publish=", topic[2001];
  for (int i = 0; i < 200; i++) strcat(rights, "a*");
  strcat(rights, "b");
  memset(topic, 'a', 2000);
  topic[2000] = '\0';
  expect_right(rights, CHASKI_RIGHT_PUBLISH, topic, false);
}

int main(void) {
  alarm(getenv("CHASKI_VALGRIND") ? 900 : 58);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(bad_clients_are_refused_each_for_its_reason, setup, teardown),
      cmocka_unit_test_setup_teardown(bad_servers_are_refused_each_for_their_reason, setup, teardown),
      cmocka_unit_test_setup_teardown(a_certificate_for_the_other_role_is_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(a_client_without_certificate_is_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(an_older_tls_is_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(a_client_that_names_another_protocol_or_none_is_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(a_server_that_chooses_no_protocol_is_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(a_peer_without_tls_is_refused_without_an_answer, setup, teardown),
      cmocka_unit_test_setup_teardown(a_server_without_tls_is_refused, setup, teardown),
      cmocka_unit_test_setup_teardown(good_certificates_of_every_kind_are_welcome, setup, teardown),
      cmocka_unit_test_setup_teardown(an_id_may_have_64_bytes_and_all_its_characters, setup, teardown),
      cmocka_unit_test_setup_teardown(two_intermediates_are_welcome, setup, teardown),
      cmocka_unit_test_setup_teardown(a_list_that_names_others_does_no_harm, setup, teardown),
      cmocka_unit_test_setup_teardown(the_time_is_the_environments, setup, teardown),
      cmocka_unit_test_setup_teardown(a_pin_trusts_the_chain_to_its_root_and_no_other, setup, teardown),
      cmocka_unit_test_setup_teardown(an_anonymous_server_takes_clients_without_certificate_but_no_bad_one, setup,
                                      teardown),
      cmocka_unit_test_setup_teardown(a_context_is_refused_for_a_certificate_that_peers_would_refuse, setup, teardown),
      cmocka_unit_test_setup_teardown(a_context_without_roots_still_checks_dates, setup, teardown),
      cmocka_unit_test_setup_teardown(a_context_is_refused_for_its_key, setup, teardown),
      cmocka_unit_test_setup_teardown(a_context_is_refused_for_whom_it_would_trust, setup, teardown),
      cmocka_unit_test_setup_teardown(a_context_is_refused_for_its_revocation_list, setup, teardown),
      cmocka_unit_test_setup_teardown(rights_are_what_the_extension_says, setup, teardown),
      cmocka_unit_test_setup_teardown(a_pattern_of_stars_costs_no_time, setup, teardown),
  };
  int failed = cmocka_run_group_tests_name("verification", tests, NULL, NULL);
  certs_end();
  return failed;
}
