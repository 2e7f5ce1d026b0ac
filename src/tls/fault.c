/* fault.c: what may be wrong with a peer, in one table: the code, the alert, the counter, the text. And what OpenSSL's
 * errors and a peer's alerts mean in these terms. SPDX-License-Identifier: MIT */
#include "internal.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#define COUNTER(name) offsetof(chaski_tls_counters, name)

static const chaski__tls_fault_info faults[] = {
    [CHASKI__TLS_FINE] = {CHASKI_OK, X509_V_OK, 0, ""},
    [CHASKI__TLS_EXPIRED] = {CHASKI_ECERTIFICATE, X509_V_ERR_CERT_HAS_EXPIRED, COUNTER(expired),
                             "certificate has expired"},
    [CHASKI__TLS_NOT_YET_VALID] = {CHASKI_ECERTIFICATE, X509_V_ERR_CERT_NOT_YET_VALID, COUNTER(not_yet_valid),
                                   "certificate is not yet valid"},
    [CHASKI__TLS_UNKNOWN_CA] = {CHASKI_ECERTIFICATE, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, COUNTER(unknown_ca),
                                "certificate of an unknown authority"},
    [CHASKI__TLS_SELF_SIGNED] = {CHASKI_ECERTIFICATE, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, COUNTER(self_signed),
                                 "self-signed certificate"},
    [CHASKI__TLS_REVOKED] = {CHASKI_ECERTIFICATE, X509_V_ERR_CERT_REVOKED, COUNTER(revoked), "certificate was revoked"},
    [CHASKI__TLS_NO_IDENTITY] = {CHASKI_ECERTIFICATE, X509_V_ERR_CERT_REJECTED, COUNTER(no_identity),
                                 "certificate without a chaski:// name"},
    [CHASKI__TLS_MANY_IDENTITIES] = {CHASKI_ECERTIFICATE, X509_V_ERR_CERT_REJECTED, COUNTER(many_identities),
                                     "certificate with more than one name"},
    [CHASKI__TLS_OTHER_MESH] = {CHASKI_ECERTIFICATE, X509_V_ERR_CERT_REJECTED, COUNTER(other_mesh),
                                "certificate of another mesh"},
    [CHASKI__TLS_PURPOSE] = {CHASKI_ECERTIFICATE, X509_V_ERR_INVALID_PURPOSE, COUNTER(bad_purpose),
                             "certificate is not for this role"},
    [CHASKI__TLS_AUTHORITY] = {CHASKI_ECERTIFICATE, X509_V_ERR_INVALID_PURPOSE, COUNTER(bad_purpose),
                               "certificate of an authority, not of a node"},
    [CHASKI__TLS_NO_AUTHORITY] = {CHASKI_ECERTIFICATE, X509_V_ERR_INVALID_CA, COUNTER(unknown_ca),
                                  "certificate signed by one that may not sign"},
    [CHASKI__TLS_CHAIN_TOO_LONG] = {CHASKI_ECERTIFICATE, X509_V_ERR_CERT_CHAIN_TOO_LONG, COUNTER(other),
                                    "certificate with too long a chain"},
    [CHASKI__TLS_SIGNATURE] = {CHASKI_ECERTIFICATE, X509_V_ERR_CERT_SIGNATURE_FAILURE, COUNTER(bad_signature),
                               "certificate with a wrong signature"},
    [CHASKI__TLS_WEAK_KEY] = {CHASKI_ECERTIFICATE, X509_V_ERR_EE_KEY_TOO_SMALL, COUNTER(weak),
                              "certificate with a weak key"},
    [CHASKI__TLS_WEAK_SIGNATURE] = {CHASKI_ECERTIFICATE, X509_V_ERR_CA_MD_TOO_WEAK, COUNTER(weak),
                                    "certificate with a weak signature"},
    [CHASKI__TLS_RIGHTS] = {CHASKI_ECERTIFICATE, X509_V_ERR_CERT_REJECTED, COUNTER(other),
                            "certificate with malformed rights"},
    [CHASKI__TLS_BAD_CERTIFICATE] = {CHASKI_ECERTIFICATE, X509_V_ERR_CERT_REJECTED, COUNTER(other),
                                     "certificate is malformed"},
    [CHASKI__TLS_NO_CERTIFICATE] = {CHASKI_ECERTIFICATE, X509_V_OK, COUNTER(no_certificate),
                                    "no certificate was shown"},
    [CHASKI__TLS_VERSION] = {CHASKI_ETLS, X509_V_OK, COUNTER(version), "the peer speaks an older TLS"},
    [CHASKI__TLS_PLAIN] = {CHASKI_ETLS, X509_V_OK, COUNTER(plain), "the peer speaks no TLS"},
    [CHASKI__TLS_ALPN] = {CHASKI_ETLS, X509_V_ERR_APPLICATION_VERIFICATION, COUNTER(alpn), "no common protocol (ALPN)"},
    [CHASKI__TLS_OTHER] = {CHASKI_ETLS, X509_V_OK, COUNTER(other), "the TLS handshake failed"},
    [CHASKI__TLS_DAMAGED] = {CHASKI_ETLS, X509_V_OK, COUNTER(other), "a TLS record is damaged"},
    [CHASKI__TLS_BROKEN] = {CHASKI_ETLS, X509_V_OK, COUNTER(other), "the peer broke the rules of TLS"},
    [CHASKI__TLS_MEMORY] = {CHASKI_ENOMEM, X509_V_ERR_OUT_OF_MEM, 0, ""},
};

const chaski__tls_fault_info *chaski__tls_fault_info_of(enum chaski__tls_fault fault) {
  return &faults[fault];
}

enum chaski__tls_fault chaski__tls_fault_of_x509(int x509_error) {
  switch (x509_error) {
  case X509_V_OK:
    return CHASKI__TLS_FINE;
  case X509_V_ERR_OUT_OF_MEM:
    return CHASKI__TLS_MEMORY;
  case X509_V_ERR_CERT_HAS_EXPIRED:
    return CHASKI__TLS_EXPIRED;
  case X509_V_ERR_CERT_NOT_YET_VALID:
    return CHASKI__TLS_NOT_YET_VALID;
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
  case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
  case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
  case X509_V_ERR_CERT_UNTRUSTED:
  case X509_V_ERR_CERT_REJECTED:
    return CHASKI__TLS_UNKNOWN_CA;
  case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    return CHASKI__TLS_SELF_SIGNED;
  case X509_V_ERR_CERT_CHAIN_TOO_LONG:
    return CHASKI__TLS_CHAIN_TOO_LONG;
  case X509_V_ERR_CERT_SIGNATURE_FAILURE:
  case X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE:
    return CHASKI__TLS_SIGNATURE;
  case X509_V_ERR_INVALID_PURPOSE:
    return CHASKI__TLS_PURPOSE;
  case X509_V_ERR_INVALID_CA:
  case X509_V_ERR_PATH_LENGTH_EXCEEDED:
  case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
    return CHASKI__TLS_NO_AUTHORITY;
  case X509_V_ERR_EE_KEY_TOO_SMALL:
  case X509_V_ERR_CA_KEY_TOO_SMALL:
    return CHASKI__TLS_WEAK_KEY;
  case X509_V_ERR_CA_MD_TOO_WEAK:
    return CHASKI__TLS_WEAK_SIGNATURE;
  default:
    return CHASKI__TLS_BAD_CERTIFICATE;
  }
}

/* --- the queue of errors ------------------------------------------------------------------------------------------ */

static enum chaski__tls_fault of_reason(int reason) {
  switch (reason) {
  case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    return CHASKI__TLS_NO_CERTIFICATE;
  case SSL_R_UNSUPPORTED_PROTOCOL:
  case SSL_R_WRONG_SSL_VERSION:
  case SSL_R_VERSION_TOO_LOW:
    return CHASKI__TLS_VERSION;
  case SSL_R_WRONG_VERSION_NUMBER:
  case SSL_R_HTTP_REQUEST:
  case SSL_R_HTTPS_PROXY_REQUEST:
    return CHASKI__TLS_PLAIN;
  case SSL_R_NO_APPLICATION_PROTOCOL:
    return CHASKI__TLS_ALPN;
  case SSL_R_BAD_SIGNATURE:
    return CHASKI__TLS_SIGNATURE;
  case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
    return CHASKI__TLS_DAMAGED;
  case ERR_R_MALLOC_FAILURE:
    return CHASKI__TLS_MEMORY;
  default:
    return CHASKI__TLS_OTHER;
  }
}

/* The first entry that says something in particular is the cause; what follows it are consequences. */
enum chaski__tls_fault chaski__tls_fault_of_queue(int *alert) {
  enum chaski__tls_fault fault = CHASKI__TLS_OTHER;
  *alert = -1;
  for (unsigned long error; (error = ERR_get_error()) != 0;) {
    int reason = ERR_GET_REASON(error);
    if (fault != CHASKI__TLS_OTHER || *alert >= 0) continue;
    if (ERR_GET_LIB(error) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256)
      *alert = reason - SSL_AD_REASON_OFFSET;
    else
      fault = of_reason(reason);
  }
  return fault;
}

void chaski__tls_clear_errors(void) {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

/* --- alerts (RFC 8446 6.2) ---------------------------------------------------------------------------------------- */

#define REFUSED "the peer refused our certificate: "
static const chaski__tls_alert alerts[] = {
    {SSL_AD_BAD_CERTIFICATE, CHASKI_ECERTIFICATE, CHASKI__TLS_OTHER, REFUSED "bad certificate"},
    {SSL_AD_UNSUPPORTED_CERTIFICATE, CHASKI_ECERTIFICATE, CHASKI__TLS_OTHER, REFUSED "unsupported certificate"},
    {SSL_AD_CERTIFICATE_REVOKED, CHASKI_ECERTIFICATE, CHASKI__TLS_OTHER, REFUSED "certificate revoked"},
    {SSL_AD_CERTIFICATE_EXPIRED, CHASKI_ECERTIFICATE, CHASKI__TLS_OTHER, REFUSED "certificate expired"},
    {SSL_AD_CERTIFICATE_UNKNOWN, CHASKI_ECERTIFICATE, CHASKI__TLS_OTHER, REFUSED "certificate unknown"},
    {SSL_AD_UNKNOWN_CA, CHASKI_ECERTIFICATE, CHASKI__TLS_OTHER, REFUSED "unknown authority"},
    {SSL_AD_ACCESS_DENIED, CHASKI_ECERTIFICATE, CHASKI__TLS_OTHER, REFUSED "access denied"},
    {SSL_AD_DECRYPT_ERROR, CHASKI_ECERTIFICATE, CHASKI__TLS_OTHER, REFUSED "wrong signature"},
    {TLS13_AD_CERTIFICATE_REQUIRED, CHASKI_ECERTIFICATE, CHASKI__TLS_OTHER, REFUSED "certificate required"},
    {TLS1_AD_NO_APPLICATION_PROTOCOL, CHASKI_ETLS, CHASKI__TLS_ALPN, "no common protocol (ALPN)"},
    {SSL_AD_PROTOCOL_VERSION, CHASKI_ETLS, CHASKI__TLS_VERSION, "the peer speaks an older TLS"},
    {SSL_AD_HANDSHAKE_FAILURE, CHASKI_ETLS, CHASKI__TLS_OTHER, "the peer refused the connection: handshake failure"},
    {SSL_AD_INTERNAL_ERROR, CHASKI_ETLS, CHASKI__TLS_OTHER, "the peer refused the connection: internal error"},
    {SSL_AD_DECODE_ERROR, CHASKI_ETLS, CHASKI__TLS_OTHER, "the peer refused the connection: decode error"},
    {SSL_AD_BAD_RECORD_MAC, CHASKI_ETLS, CHASKI__TLS_OTHER, "the peer received a damaged TLS record"},
    {-1, CHASKI_ETLS, CHASKI__TLS_OTHER, "the peer refused the connection by an alert"}, /* any other */
};

const chaski__tls_alert *chaski__tls_alert_of(int number) {
  const chaski__tls_alert *alert = alerts;
  while (alert->number >= 0 && alert->number != number) alert++;
  return alert;
}
