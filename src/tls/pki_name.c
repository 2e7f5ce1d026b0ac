/* pki_name.c: subjects: six attributes as text, and X.501 names. See pki.h. SPDX-License-Identifier: MIT */
#include "pki_internal.h"

#include "../core/alloc.h"

#include <openssl/err.h>
#include <stdio.h>

#define TEXT_MAX 512 /* bytes of one attribute */

static const struct attribute {
  int nid;
  size_t at;
  const char *label;
} attributes[CHASKI__PKI_ATTRIBUTES] = {
    {NID_countryName, offsetof(chaski_pki_subject, country), "subject: C"},
    {NID_stateOrProvinceName, offsetof(chaski_pki_subject, state), "subject: ST"},
    {NID_localityName, offsetof(chaski_pki_subject, locality), "subject: L"},
    {NID_organizationName, offsetof(chaski_pki_subject, organisation), "subject: O"},
    {NID_organizationalUnitName, offsetof(chaski_pki_subject, unit), "subject: OU"},
    {NID_commonName, offsetof(chaski_pki_subject, common_name), "subject: CN"},
};

static const char *text_of(const chaski_pki_subject *subject, const struct attribute *a) {
  const char *text;
  memcpy(&text, (const char *)subject + a->at, sizeof text);
  return text;
}

static int add(X509_NAME *name, const struct attribute *a, const char *text, char *why) {
  size_t len = text ? strlen(text) : 0;
  if (!text) return CHASKI_OK;
  if (len > TEXT_MAX || !chaski__pki_plain(text, len))
    return chaski__pki_refuse(why, "%s: too long, or with control characters", a->label);
  if (X509_NAME_add_entry_by_NID(name, a->nid, MBSTRING_UTF8, (const unsigned char *)text, (int)len, -1, 0) == 1)
    return CHASKI_OK;
  return chaski__pki_broken(why, a->label);
}

int chaski__pki_name_new(const chaski_pki_subject *subject, X509_NAME **out, char *why) {
  X509_NAME *name = X509_NAME_new();
  int rc = name ? CHASKI_OK : chaski__pki_no_memory(why);
  for (size_t i = 0; rc == CHASKI_OK && i < CHASKI__PKI_ATTRIBUTES; i++)
    rc = add(name, &attributes[i], text_of(subject, &attributes[i]), why);
  if (rc == CHASKI_OK)
    *out = name;
  else
    X509_NAME_free(name);
  return rc;
}

static int keep(struct chaski_pki_request *request, size_t i, const char *text, size_t len, char *why) {
  if (len > TEXT_MAX || !chaski__pki_plain(text, len))
    return chaski__pki_refuse(why, "%s: too long, or with control characters", attributes[i].label);
  if (!(request->texts[i] = chaski__strndup(text, len))) return chaski__pki_no_memory(why);
  memcpy((char *)&request->subject + attributes[i].at, &request->texts[i], sizeof(char *));
  return CHASKI_OK;
}

static int read_one(const X509_NAME *name, size_t i, struct chaski_pki_request *request, char *why) {
  int at = X509_NAME_get_index_by_NID(name, attributes[i].nid, -1), len, rc;
  unsigned char *text = NULL;
  if (at < 0) return CHASKI_OK;
  if (X509_NAME_get_index_by_NID(name, attributes[i].nid, at) >= 0)
    return chaski__pki_refuse(why, "%s: more than one", attributes[i].label);
  len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
  if (len < 0) return chaski__pki_broken(why, attributes[i].label);
  rc = keep(request, i, (const char *)text, (size_t)len, why);
  OPENSSL_free(text);
  return rc;
}

int chaski__pki_name_read(const X509_NAME *name, struct chaski_pki_request *request, char *why) {
  int rc = CHASKI_OK;
  for (size_t i = 0; rc == CHASKI_OK && i < CHASKI__PKI_ATTRIBUTES; i++) rc = read_one(name, i, request, why);
  return rc;
}
