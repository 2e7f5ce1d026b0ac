/* identity.c: the one name of a certificate: exactly one URI among its subject alternative names, chaski://MESH/ID.
 * Other names of it say nothing. SPDX-License-Identifier: MIT */
#include "internal.h"

#include <openssl/x509v3.h>

#define SCHEME "chaski://"
#define SCHEME_LEN (sizeof SCHEME - 1)

/* Bytes of text that may be part of a name, from the start. */
static size_t name_len(const char *text) {
  return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
}

static bool parse(const ASN1_STRING *uri, chaski__tls_identity *out) {
  int len = ASN1_STRING_length(uri);
  if (len <= (int)SCHEME_LEN || len >= CHASKI_TLS_URI_MAX) return false;
  memcpy(out->uri, ASN1_STRING_get0_data(uri), (size_t)len);
  out->uri[len] = '\0';
  if (strlen(out->uri) != (size_t)len || strncmp(out->uri, SCHEME, SCHEME_LEN) != 0) return false;
  out->mesh_len = name_len(out->uri + SCHEME_LEN);
  const char *slash = out->uri + SCHEME_LEN + out->mesh_len;
  if (out->mesh_len == 0 || *slash != '/') return false;
  size_t id_len = name_len(slash + 1);
  return id_len > 0 && id_len < CHASKI__TLS_ID_MAX && slash[1 + id_len] == '\0';
}

static enum chaski__tls_fault only_uri(const GENERAL_NAMES *names, chaski__tls_identity *out) {
  const ASN1_STRING *uri = NULL;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_URI) continue;
    if (uri) return CHASKI__TLS_MANY_IDENTITIES;
    uri = name->d.uniformResourceIdentifier;
  }
  return uri && parse(uri, out) ? CHASKI__TLS_FINE : CHASKI__TLS_NO_IDENTITY;
}

enum chaski__tls_fault chaski__tls_identity_read(const X509 *certificate, chaski__tls_identity *out) {
  GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
  enum chaski__tls_fault fault = names ? only_uri(names, out) : CHASKI__TLS_NO_IDENTITY;
  GENERAL_NAMES_free(names);
  if (fault) *out = (chaski__tls_identity){.uri = ""};
  return fault;
}

const char *chaski__tls_identity_id(const chaski__tls_identity *identity) {
  return identity->mesh_len ? identity->uri + SCHEME_LEN + identity->mesh_len + 1 : "";
}

bool chaski__tls_same_mesh(const chaski__tls_identity *a, const chaski__tls_identity *b) {
  return a->mesh_len == b->mesh_len && memcmp(a->uri, b->uri, SCHEME_LEN + a->mesh_len) == 0;
}
