/* filter_test.c: what a stream of TLS does beyond the transport contract: truncation, back-pressure within, a refusal
 * that comes after the client's handshake, peers that break rules, contexts swapped under live streams, lack of memory.
 * That it works byte by byte is in transport_tls_sim_test.c. SPDX-License-Identifier: MIT */
#include "side.h"

#include "../../src/core/alloc.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALPN "\x08" CHASKI_TLS_ALPN

static const chaski_transport *const tls = &chaski_tls_transport;
static tls_rig rig;
static door d;
static side dialler, acceptors[2];
static side *const acceptor = &acceptors[0];
static uint8_t *block; /* of the pattern */
#define BLOCK ((size_t)8 << 20)

static int setup_on(void **state, const chaski_sim_link *link) {
  *state = &rig;
  d = (door){0};
  dialler = (side){0};
  memset(acceptors, 0, sizeof acceptors);
  return link ? tls_rig_sim(&rig, link) : tls_rig_tcp(&rig);
}

static int setup(void **state) {
  const chaski_sim_link link = {.delay_ns = 1000000};
  return setup_on(state, &link);
}

static int setup_tcp(void **state) {
  return setup_on(state, NULL);
}

static int teardown(void **state) {
  (void)state;
  return tls_rig_close(&rig);
}

static void finish(void) {
  side_close(&dialler);
  side_close(&acceptors[0]);
  side_close(&acceptors[1]);
  if (d.listener) door_close(&d);
  rig_gone(&rig);
  assert_int_equal(dialler.closed, dialler.rig != NULL);
  assert_false(dialler.wrong || acceptors[0].wrong || acceptors[1].wrong);
}

static bool has_all(void *user) {
  return ((side *)user)->received >= BLOCK;
}

/* --- a raw client at our door ------------------------------------------------------------------------------------- */

static raw client;

static void raw_enter(void) {
  const raw_options options = {.pair = &rig.client_pair, .alpn = ALPN};
  door_open(&d, &rig, acceptors);
  raw_dial(&client, &rig, &options, d.port);
  rig_until(&rig, raw_is_shaken, &client);
  rig_until(&rig, side_is_known, acceptor);
}

static void raw_leave(void) {
  raw_close(&client);
  finish();
  raw_free(&client);
}

/* --- the end ------------------------------------------------------------------------------------------------------ */

static void an_end_without_close_notify_is_a_reset(void **state) {
  (void)state;
  raw_enter();
  raw_write(&client, block, 1000);
  raw_fin(&client);
  rig_until(&rig, side_is_ended, acceptor);
  assert_int_equal(acceptor->received, 1000);
  assert_int_equal(acceptor->end_status, CHASKI_ERESET);
  assert_string_equal(acceptor->detail, "the connection ended without close_notify");
  assert_int_equal(side_write(acceptor, block, 1), CHASKI_ERESET);
  raw_leave();
}

static void an_end_in_the_middle_of_a_record_is_a_reset(void **state) {
  (void)state;
  raw_enter();
  char *bytes;
  assert_int_equal(SSL_write(client.ssl, block, 1000), 1000);
  long len = BIO_get_mem_data(SSL_get_wbio(client.ssl), &bytes);
  raw_send(&client, bytes, (size_t)len - 1);
  raw_fin(&client);
  rig_until(&rig, side_is_ended, acceptor);
  assert_int_equal(acceptor->received, 0);
  assert_int_equal(acceptor->end_status, CHASKI_ERESET);
  raw_leave();
}

static void a_cut_connection_says_so(void **state) {
  (void)state;
  raw_enter();
  chaski_sim_cut(rig.sim, client.stream);
  rig_until(&rig, side_is_ended, acceptor);
  assert_int_equal(acceptor->end_status, CHASKI_ERESET);
  raw_leave();
}

static void close_notify_alone_is_an_end_in_order(void **state) {
  (void)state;
  raw_enter();
  assert_int_equal(SSL_shutdown(client.ssl), 0);
  raw_pump(&client);
  rig_until(&rig, side_is_ended, acceptor);
  assert_int_equal(acceptor->end_status, CHASKI_OK);
  assert_int_equal(side_write(acceptor, block, 100), 100);
  rig_settle(&rig);
  assert_int_equal(client.received, 100);
  raw_leave();
}

static void an_orderly_close_sends_close_notify(void **state) {
  (void)state;
  raw_enter();
  side_close(acceptor);
  rig_settle(&rig);
  assert_true(client.notified);
  raw_leave();
}

static void a_close_with_data_unread_does_not(void **state) {
  (void)state;
  raw_enter();
  tls->pause(acceptor->stream);
  raw_write(&client, block, 1000);
  rig_settle(&rig);
  side_close(acceptor);
  rig_settle(&rig);
  assert_false(client.notified);
  assert_true(client.ended);
  raw_leave();
}

static void a_connection_that_ends_in_the_handshake_fails_the_dial(void **state) {
  (void)state;
  const raw_options options = {.plain = true};
  raw server;
  raw_listen(&server, &rig, &options);
  side_dial(&dialler, &rig, server.port);
  rig_settle(&rig);
  raw_close(&server);
  rig_until(&rig, side_is_connected, &dialler);
  assert_int_equal(dialler.status, CHASKI_ERESET);
  assert_string_equal(dialler.detail, "the connection ended in the handshake");
  rig_settle(&rig);
  assert_int_equal(dialler.ended, 0);
  finish();
  raw_free(&server);
}

static void both_sides_may_close_at_once(void **state) {
  (void)state;
  rig_pair(&rig, &d, &dialler, acceptors);
  side_close(&dialler);
  side_close(acceptor);
  finish();
  assert_int_equal(acceptor->closed, 1);
}

static void both_sides_may_shut_down_at_once(void **state) {
  (void)state;
  rig_pair(&rig, &d, &dialler, acceptors);
  tls->shutdown(dialler.stream);
  tls->shutdown(acceptor->stream);
  rig_until(&rig, side_is_ended, &dialler);
  rig_until(&rig, side_is_ended, acceptor);
  assert_int_equal(dialler.end_status, CHASKI_OK);
  assert_int_equal(acceptor->end_status, CHASKI_OK);
  finish();
}

/* --- pausing ------------------------------------------------------------------------------------------------------ */

static void pause_now(side *s) {
  tls->pause(s->stream);
}

static void pause_and_resume(side *s) {
  tls->pause(s->stream);
  tls->resume(s->stream);
}

static void a_pause_holds_back_what_is_inside(void **state) {
  (void)state;
  enum { SENT = 200000 };
  raw_enter();
  acceptor->on_data = pause_now;
  raw_write(&client, block, SENT);
  for (size_t calls = 1; acceptor->received < SENT; calls++) {
    rig_settle(&rig);
    assert_int_equal(acceptor->calls, calls);
    tls->resume(acceptor->stream);
    assert_int_equal(acceptor->calls, calls); /* not from inside resume() */
  }
  assert_true(acceptor->largest <= 65536);
  raw_leave();
}

static void an_end_inside_waits_while_paused(void **state) {
  (void)state;
  raw_enter();
  acceptor->on_data = pause_now;
  raw_write(&client, block, 100);
  assert_int_equal(SSL_shutdown(client.ssl), 0);
  raw_pump(&client);
  raw_fin(&client);
  rig_settle(&rig);
  assert_int_equal(acceptor->received, 100);
  assert_int_equal(acceptor->ended, 0);
  tls->resume(acceptor->stream);
  rig_until(&rig, side_is_ended, acceptor);
  assert_int_equal(acceptor->end_status, CHASKI_OK);
  raw_leave();
}

static void pause_and_resume_within_data_lose_nothing(void **state) {
  (void)state;
  raw_enter();
  acceptor->on_data = pause_and_resume;
  raw_write(&client, block, 200000);
  rig_settle(&rig);
  assert_int_equal(acceptor->received, 200000);
  raw_leave();
}

static void close_now(side *s) {
  side_close(s);
}

static void a_close_within_data_drops_what_is_inside(void **state) {
  (void)state;
  raw_enter();
  acceptor->on_data = close_now;
  raw_write(&client, block, 200000);
  rig_until(&rig, side_is_closed, acceptor);
  assert_int_equal(acceptor->calls, 1);
  raw_leave();
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static size_t queued_most;

typedef struct writer {
  side *s;
  size_t sent, i;
} writer;
static writer writers[2];

/* All of the block, in sizes around those of records and batches and in several slices. */
static void write_more(side *s) {
  static const size_t sizes[] = {1, 100, 16383, 16384, 16385, 65536, 70000, 1 << 20};
  writer *w = &writers[s == acceptor];
  int64_t taken = 0;
  size_t len = 0;
  while (w->sent < BLOCK && (size_t)taken == len) {
    len = sizes[w->i++ % 8];
    if (len > BLOCK - w->sent) len = BLOCK - w->sent;
    chaski_slice slices[3] = {{block + w->sent, len}};
    size_t n = len < 3 ? 1 : 3;
    if (n == 3) {
      slices[0].len = 1;
      slices[1] = chaski_slice_of(block + w->sent + 1, len / 2);
      slices[2] = chaski_slice_of(slices[1].ptr + len / 2, len - 1 - len / 2);
    }
    taken = tls->write(s->stream, slices, n);
    assert_true(taken >= 0);
    w->sent += len;
    if (tls->queued(s->stream) > queued_most) queued_most = tls->queued(s->stream);
  }
}

static void large_writes_cross_both_ways(void **state) {
  (void)state;
  memset(writers, 0, sizeof writers);
  queued_most = 0;
  rig_pair(&rig, &d, &dialler, acceptors);
  dialler.on_written = acceptor->on_written = write_more;
  write_more(&dialler);
  write_more(acceptor);
  rig_until(&rig, has_all, &dialler);
  rig_until(&rig, has_all, acceptor);
  assert_true(queued_most <= 85000); /* a batch of records */
  assert_int_equal(tls->queued(dialler.stream), 0);
  finish();
}

/* --- how often the inner stream is called ------------------------------------------------------------------------- */

static chaski_transport counting; /* the network's, but for write() */
static int writes;

static int64_t count_write(chaski_stream *inner, const chaski_slice *slices, size_t n) {
  writes++;
  return rig.base->transport->write(inner, slices, n);
}

static void count_writes(void) {
  chaski_tls_layer_release(rig.layer);
  counting = *rig.base->transport;
  counting.write = count_write;
  assert_int_equal(chaski_tls_layer_new(rig.loop, &counting, rig.base->ctx, rig.client, rig.server, &rig.layer),
                   CHASKI_OK);
  rig.env.ctx = rig.layer;
}

static void write_counted(const chaski_slice *slices, size_t n, size_t len) {
  size_t before = acceptor->received;
  writes = 0;
  assert_int_equal(tls->write(dialler.stream, slices, n), len);
  rig_settle(&rig);
  assert_int_equal(acceptor->received, before + len);
}

static void a_little_more_than_full_records_leaves_with_them(void **state) {
  (void)state;
  count_writes();
  rig_pair(&rig, &d, &dialler, acceptors);
  chaski_slice one = {block, 65536 + 127};
  write_counted(&one, 1, one.len);
  assert_int_equal(writes, 1);
  chaski_slice many[64];
  for (size_t i = 0; i < 64; i++) many[i] = chaski_slice_of(block + one.len + i * 1030, 1030);
  write_counted(many, 64, sizeof many / sizeof *many * 1030);
  assert_int_equal(writes, 1);
  finish();
}

static void a_long_write_leaves_in_batches(void **state) {
  (void)state;
  count_writes();
  rig_pair(&rig, &d, &dialler, acceptors);
  chaski_slice one = {block, 200000}; /* twelve records and a little */
  write_counted(&one, 1, one.len);
  assert_int_equal(writes, 3);
  finish();
}

/* --- writing, the handshake and keys ------------------------------------------------------------------------------ */

static void shut_now(side *s) {
  int64_t taken = side_write(s, block, 1000);
  assert_int_equal(taken, 0);
  tls->shutdown(s->stream);
}

static void a_write_before_the_handshake_is_complete_waits_for_it(void **state) {
  (void)state;
  d.on_accept = shut_now;
  door_open(&d, &rig, acceptors);
  side_dial(&dialler, &rig, d.port);
  rig_until(&rig, side_is_ended, &dialler);
  assert_int_equal(dialler.end_status, CHASKI_OK);
  assert_int_equal(dialler.received, 1000);
  assert_int_equal(acceptor->written, 1);
  assert_int_equal(acceptor->written_status, CHASKI_OK);
  finish();
}

static void a_write_before_a_handshake_that_fails_is_given_back(void **state) {
  (void)state;
  const raw_options nobody = {.alpn = ALPN};
  d.on_accept = shut_now;
  door_open(&d, &rig, acceptors);
  raw_dial(&client, &rig, &nobody, d.port);
  rig_until(&rig, side_is_ended, acceptor);
  assert_int_equal(acceptor->written, 1);
  assert_int_equal(acceptor->written_status, CHASKI_ECERTIFICATE);
  assert_int_equal(acceptor->end_status, CHASKI_ECERTIFICATE);
  raw_leave();
  assert_int_equal(client.received, 0);
}

static void a_peer_may_change_its_keys(void **state) {
  (void)state;
  raw_enter();
  for (size_t i = 0; i < 100; i++) {
    assert_int_equal(SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    raw_write(&client, block + i * 10, 10);
    if (i % 10 == 0) assert_int_equal(side_write(acceptor, block, 10), 10);
  }
  rig_settle(&rig);
  assert_int_equal(acceptor->received, 1000);
  assert_int_equal(client.received, 100);
  raw_leave();
}

static void a_damaged_record_ends_the_stream(void **state) {
  (void)state;
  raw_enter();
  char *bytes;
  assert_int_equal(SSL_write(client.ssl, block, 100), 100);
  BIO_get_mem_data(SSL_get_wbio(client.ssl), &bytes);
  bytes[50] ^= 1;
  raw_pump(&client);
  rig_until(&rig, side_is_ended, acceptor);
  assert_int_equal(acceptor->end_status, CHASKI_ETLS);
  assert_string_equal(acceptor->detail, "a TLS record is damaged");
  assert_int_equal(acceptor->received, 0);
  rig_settle(&rig);
  assert_int_equal(client.alert, 20);
  raw_leave();
}

/* --- the refusal that comes late ---------------------------------------------------------------------------------- */

static void write_at_once(side *s) {
  if (s->status == CHASKI_OK) assert_true(side_write(s, block, 5000) >= 0);
}

static void client_is_refused_late(void) {
  chaski_tls_context *strict = tls_rig_context(&rig.server_pair, &rig.root, NULL, NULL);
  certs_pair revoked = certs_node("chaski://mesh/revoked", &rig.root);
  chaski_tls_context *bad = tls_rig_context(&revoked, &rig.root, NULL, NULL), *listed;
  const certs_pair *const list_of[] = {&revoked};
  char *list = certs_list(&rig.root, list_of, 1), why[CHASKI_TLS_WHY_MAX];
  assert_int_equal(chaski_tls_context_with_crl(strict, chaski_slice_str(list), &listed, why), CHASKI_OK);
  chaski_tls_layer_set_contexts(rig.layer, bad, listed);
  dialler.on_connected = write_at_once;
  door_open(&d, &rig, acceptors);
  side_dial(&dialler, &rig, d.port);
  rig_until(&rig, side_is_ended, acceptor);
  side_close(acceptor); /* as its owner does, at once */
  rig_until(&rig, side_is_ended, &dialler);
  chaski_tls_context_release(strict);
  chaski_tls_context_release(bad);
  chaski_tls_context_release(listed);
  certs_free(&revoked);
  free(list);
}

static void a_refusal_after_the_clients_handshake_tells_its_reason(void **state) {
  (void)state;
  client_is_refused_late();
  assert_int_equal(dialler.status, CHASKI_OK);
  assert_int_equal(dialler.end_status, CHASKI_ECERTIFICATE);
  assert_string_equal(dialler.detail, "the peer refused our certificate: certificate revoked");
  assert_int_equal(acceptor->end_status, CHASKI_ECERTIFICATE);
  assert_string_equal(acceptor->detail, "certificate was revoked");
  const chaski_tls_counters *counters = chaski_tls_layer_counters(rig.layer);
  assert_int_equal(counters->revoked, 1);
  assert_int_equal(counters->other, 1);
  assert_int_equal(counters->refused, 2);
  finish();
}

/* --- contexts under live streams ---------------------------------------------------------------------------------- */

static void live_streams_keep_their_contexts(void **state) {
  (void)state;
  certs_pair root = certs_root("new root", "p2562"), client_pair = certs_node("chaski://mesh/new-client", &root);
  certs_pair server_pair = certs_node("chaski://mesh/new-server", &root);
  chaski_tls_context *c = tls_rig_context(&client_pair, &root, NULL, NULL);
  chaski_tls_context *s = tls_rig_context(&server_pair, &root, NULL, NULL);
  side late = {0};
  rig_pair(&rig, &d, &dialler, acceptors);
  chaski_tls_layer_set_contexts(rig.layer, c, s);
  chaski_tls_context_release(c);
  chaski_tls_context_release(s);
  chaski_tls_context_release(rig.client);
  rig.client = NULL;
  assert_int_equal(side_write(&dialler, block, 1000), 1000);
  side_dial(&late, &rig, d.port);
  rig_until(&rig, side_is_known, &late);
  rig_until(&rig, side_is_known, &acceptors[1]);
  rig_settle(&rig);
  assert_int_equal(acceptor->received, 1000);
  assert_string_equal(tls->peer_id(acceptor->stream), "client");
  assert_string_equal(tls->peer_id(acceptors[1].stream), "new-client");
  assert_string_equal(tls->peer_id(late.stream), "new-server");
  assert_int_equal(tls->check(acceptor->stream), CHASKI_ECERTIFICATE); /* its root is trusted no more */
  assert_string_equal(tls->detail(acceptor->stream), "certificate of an unknown authority");
  assert_int_equal(tls->check(acceptors[1].stream), CHASKI_OK);
  side_close(&late);
  finish();
  certs_free(&root);
  certs_free(&client_pair);
  certs_free(&server_pair);
}

static void a_check_finds_what_has_expired(void **state) {
  (void)state;
  rig_pair(&rig, &d, &dialler, acceptors);
  assert_int_equal(tls->check(dialler.stream), CHASKI_OK);
  chaski_sim_wall_jump(rig.sim, CERTS_DAY - 60);
  assert_int_equal(tls->check(dialler.stream), CHASKI_OK);
  chaski_sim_wall_jump(rig.sim, 120);
  assert_int_equal(tls->check(dialler.stream), CHASKI_ECERTIFICATE);
  assert_string_equal(tls->detail(dialler.stream), "certificate has expired");
  assert_int_equal(tls->check(acceptor->stream), CHASKI_ECERTIFICATE);
  finish();
}

static void a_check_finds_what_was_revoked(void **state) {
  (void)state;
  const certs_pair *const revoked[] = {&rig.client_pair};
  char *list = certs_list(&rig.root, revoked, 1), why[CHASKI_TLS_WHY_MAX];
  chaski_tls_context *c, *s;
  rig_pair(&rig, &d, &dialler, acceptors);
  assert_int_equal(chaski_tls_context_with_crl(rig.client, chaski_slice_str(list), &c, why), CHASKI_OK);
  assert_int_equal(chaski_tls_context_with_crl(rig.server, chaski_slice_str(list), &s, why), CHASKI_OK);
  chaski_tls_layer_set_contexts(rig.layer, c, s);
  assert_int_equal(tls->check(dialler.stream), CHASKI_OK);
  assert_int_equal(tls->check(acceptor->stream), CHASKI_ECERTIFICATE);
  assert_string_equal(tls->detail(acceptor->stream), "certificate was revoked");
  chaski_tls_context_release(c);
  chaski_tls_context_release(s);
  finish();
  free(list);
}

static void a_layer_without_a_context_neither_dials_nor_listens(void **state) {
  (void)state;
  chaski_stream *stream = NULL;
  chaski_listener *listener = NULL;
  chaski_listener_events door_events = {0};
  chaski_stream_events events = {0};
  door_open(&d, &rig, acceptors);
  side_dial(&dialler, &rig, d.port);
  chaski_tls_layer_set_contexts(rig.layer, NULL, NULL);
  assert_int_equal(tls->connect(rig.layer, "127.0.0.1", 9, &events, NULL, &stream), CHASKI_ECERTIFICATE);
  assert_int_equal(tls->listen(rig.layer, "127.0.0.1", 0, &door_events, NULL, &listener), CHASKI_ECERTIFICATE);
  rig_until(&rig, side_is_connected, &dialler);
  assert_int_equal(dialler.status, CHASKI_ERESET);
  assert_int_equal(d.accepted, 0);
  finish();
}

/* --- what the connection gives ------------------------------------------------------------------------------------ */

static void both_ends_export_the_same_and_no_other_does(void **state) {
  (void)state;
  uint8_t a[32], b[32], c[32];
  rig_pair(&rig, &d, &dialler, acceptors);
  assert_int_equal(chaski_tls_stream_export(dialler.stream, "EXPORTER-chaski-test", a, 32), CHASKI_OK);
  assert_int_equal(chaski_tls_stream_export(acceptor->stream, "EXPORTER-chaski-test", b, 32), CHASKI_OK);
  assert_int_equal(chaski_tls_stream_export(acceptor->stream, "EXPORTER-chaski-other", c, 32), CHASKI_OK);
  assert_memory_equal(a, b, 32);
  assert_memory_not_equal(a, c, 32);
  side late = {0};
  side_dial(&late, &rig, d.port);
  assert_int_equal(chaski_tls_stream_export(late.stream, "EXPORTER-chaski-test", c, 32), CHASKI_EINVAL);
  rig_until(&rig, side_is_known, &late);
  assert_int_equal(chaski_tls_stream_export(late.stream, "EXPORTER-chaski-test", c, 32), CHASKI_OK);
  assert_memory_not_equal(a, c, 32);
  side_close(&late);
  finish();
}

static void the_peers_certificate_is_there(void **state) {
  (void)state;
  rig_pair(&rig, &d, &dialler, acceptors);
  unsigned char *der = NULL;
  int len = i2d_X509(rig.server_pair.certificate, &der);
  chaski_slice shown = chaski_tls_stream_peer_certificate(dialler.stream);
  assert_int_equal(shown.len, len);
  assert_memory_equal(shown.ptr, der, shown.len);
  assert_ptr_equal(chaski_tls_stream_peer_certificate(dialler.stream).ptr, shown.ptr);
  OPENSSL_free(der);
  finish();
}

static void rights_are_the_peers_or_our_own(void **state) {
  (void)state;
  const certs_what what = {.names = "URI:chaski://mesh/narrow", .rights = "publish=a*;subscribe=b"};
  certs_pair pair = certs_issue(&what, &rig.root);
  chaski_tls_context *narrow = tls_rig_context(&pair, &rig.root, NULL, NULL);
  chaski_slice a = chaski_slice_str("alfa"), b = chaski_slice_str("b");
  chaski_tls_layer_set_contexts(rig.layer, narrow, rig.server);
  chaski_tls_context_release(narrow);
  door_open(&d, &rig, acceptors);
  side_dial(&dialler, &rig, d.port);
  assert_false(tls->may(rig.layer, dialler.stream, CHASKI_RIGHT_PUBLISH, a));
  rig_until(&rig, side_is_known, &dialler);
  rig_until(&rig, side_is_known, acceptor);
  assert_true(tls->may(rig.layer, NULL, CHASKI_RIGHT_PUBLISH, a));
  assert_false(tls->may(rig.layer, NULL, CHASKI_RIGHT_PUBLISH, b));
  assert_true(tls->may(rig.layer, acceptor->stream, CHASKI_RIGHT_PUBLISH, a));
  assert_false(tls->may(rig.layer, acceptor->stream, CHASKI_RIGHT_PUBLISH, b));
  assert_true(tls->may(rig.layer, acceptor->stream, CHASKI_RIGHT_SUBSCRIBE, b));
  assert_false(tls->may(rig.layer, acceptor->stream, CHASKI_RIGHT_RELAY, a));
  assert_true(tls->may(rig.layer, dialler.stream, CHASKI_RIGHT_RELAY, a));
  finish();
  certs_free(&pair);
}

static void a_layer_lives_as_long_as_its_streams(void **state) {
  (void)state;
  rig_pair(&rig, &d, &dialler, acceptors);
  chaski_tls_layer_release(rig.layer);
  assert_int_equal(side_write(&dialler, block, 100), 100);
  rig_settle(&rig);
  assert_int_equal(acceptor->received, 100);
  rig.layer = NULL;
  finish();
}

/* --- lack of memory ----------------------------------------------------------------------------------------------- */

static size_t allowed = SIZE_MAX; /* allocations that still succeed */

static void *scarce(void *ptr, size_t size) {
  if (size == 0) {
    free(ptr);
    return NULL;
  }
  if (allowed == 0) return NULL;
  if (allowed != SIZE_MAX) allowed--;
  return realloc(ptr, size);
}

/* A conversation that may fail anywhere, but not crash or leak. True: nothing failed. */
static bool converse(size_t allocations) {
  const chaski_sim_link link = {.delay_ns = 1000000};
  void *state;
  assert_int_equal(setup_on(&state, &link), 0);
  door_open(&d, &rig, acceptors);
  allowed = allocations;
  bool whole = false;
  side_dial(&dialler, &rig, d.port);
  rig_settle(&rig);
  if (dialler.status == CHASKI_OK && dialler.connected && !dialler.ended) {
    int64_t taken = side_write(&dialler, block, 300000); /* more than the network takes at once */
    rig_settle(&rig);
    whole = taken > 0 && acceptor->received == 300000;
    if (acceptor->stream && !acceptor->ended) (void)chaski_tls_stream_peer_certificate(acceptor->stream);
  }
  allowed = SIZE_MAX;
  finish();
  assert_int_equal(teardown(&state), 0);
  return whole;
}

static void lack_of_memory_costs_a_stream_at_most(void **state) {
  (void)state;
  chaski_set_allocator(scarce);
  bool whole = false;
  size_t n = 4; /* before, connect() itself fails, which is tested below */
  while (!whole && n < 1000) whole = converse(n++);
  assert_true(whole);
  assert_true(n > 10);
  chaski_set_allocator(NULL);
}

static void without_memory_nothing_is_made(void **state) {
  (void)state;
  chaski_set_allocator(scarce);
  const chaski_sim_link link = {.delay_ns = 1000000};
  assert_int_equal(setup_on(state, &link), 0);
  allowed = 0;
  chaski_stream *stream = NULL;
  chaski_listener *listener = NULL;
  chaski_tls_layer *layer = NULL;
  chaski_tls_context *context = NULL;
  char why[CHASKI_TLS_WHY_MAX];
  chaski_stream_events events = {0};
  chaski_listener_events door_events = {0};
  assert_int_equal(tls->connect(rig.layer, "127.0.0.1", 9, &events, NULL, &stream), CHASKI_ENOMEM);
  assert_int_equal(tls->listen(rig.layer, "127.0.0.1", 0, &door_events, NULL, &listener), CHASKI_ENOMEM);
  assert_int_equal(chaski_tls_layer_new(rig.loop, rig.base->transport, rig.base->ctx, NULL, NULL, &layer),
                   CHASKI_ENOMEM);
  assert_int_equal(tls_rig_try(&rig.client_pair, &rig.root, NULL, NULL, &context, why), CHASKI_ENOMEM);
  for (allowed = 1; !context; allowed++) {
    size_t now = allowed;
    int rc = tls_rig_try(&rig.client_pair, &rig.root, NULL, NULL, &context, why);
    assert_true(rc == CHASKI_OK || rc == CHASKI_ENOMEM);
    allowed = now;
  }
  allowed = SIZE_MAX;
  chaski_tls_context_release(context);
  assert_int_equal(teardown(state), 0);
  chaski_set_allocator(NULL);
}

int main(void) {
  alarm(getenv("CHASKI_VALGRIND") ? 900 : 58);
  block = malloc(BLOCK);
  for (size_t i = 0; i < BLOCK; i++) block[i] = side_pattern(i);
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(an_end_without_close_notify_is_a_reset),
      TEST(an_end_in_the_middle_of_a_record_is_a_reset),
      TEST(a_cut_connection_says_so),
      TEST(close_notify_alone_is_an_end_in_order),
      TEST(an_orderly_close_sends_close_notify),
      TEST(a_close_with_data_unread_does_not),
      TEST(a_connection_that_ends_in_the_handshake_fails_the_dial),
      TEST(both_sides_may_close_at_once),
      TEST(both_sides_may_shut_down_at_once),
      TEST(a_pause_holds_back_what_is_inside),
      TEST(an_end_inside_waits_while_paused),
      TEST(pause_and_resume_within_data_lose_nothing),
      TEST(a_close_within_data_drops_what_is_inside),
      TEST(large_writes_cross_both_ways),
      TEST(a_little_more_than_full_records_leaves_with_them),
      TEST(a_long_write_leaves_in_batches),
      cmocka_unit_test_setup_teardown(large_writes_cross_both_ways, setup_tcp, teardown),
      TEST(a_write_before_the_handshake_is_complete_waits_for_it),
      TEST(a_write_before_a_handshake_that_fails_is_given_back),
      TEST(a_peer_may_change_its_keys),
      TEST(a_damaged_record_ends_the_stream),
      TEST(a_refusal_after_the_clients_handshake_tells_its_reason),
      cmocka_unit_test_setup_teardown(a_refusal_after_the_clients_handshake_tells_its_reason, setup_tcp, teardown),
      TEST(live_streams_keep_their_contexts),
      TEST(a_check_finds_what_has_expired),
      TEST(a_check_finds_what_was_revoked),
      TEST(a_layer_without_a_context_neither_dials_nor_listens),
      TEST(both_ends_export_the_same_and_no_other_does),
      TEST(the_peers_certificate_is_there),
      TEST(rights_are_the_peers_or_our_own),
      TEST(a_layer_lives_as_long_as_its_streams),
      cmocka_unit_test(lack_of_memory_costs_a_stream_at_most),
      cmocka_unit_test(without_memory_nothing_is_made),
  };
  int failed = cmocka_run_group_tests_name("filter", tests, NULL, NULL);
  certs_end();
  free(block);
  return failed;
}
