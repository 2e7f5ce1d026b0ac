/* pki_issue.c: making certificates. Every field and extension is built as an object and never from configuration
 * text, so that no name can smuggle one in. See pki.h. SPDX-License-Identifier: MIT */
#include "pki_internal.h"

#include <openssl/pem.h>

#define SERIAL 16 /* bytes */
#define RIGHTS_MAX sizeof(((chaski_pki_info *)0)->rights)
#define DNS_MAX 253
#define KEY_ID 20

/* What goes into one certificate; x509 is under construction. */
typedef struct issue {
  const chaski_pki_issue *what;
  const chaski_pki_key *public_key, *issuer_key;
  const chaski_pki_certificate *issuer; /* NULL: itself */
  X509 *x509;
  char *why;
} issue;

/* --- what may be asked for -------------------------------------------------------------------------------------- */
static bool visible(const char *text, size_t max) { /* ASCII without blanks, not empty, shorter than max */
  size_t len = strlen(text);
  for (size_t i = 0; i < len; i++)
    if (text[i] <= 0x20 || text[i] >= 0x7f) return false;
  return len > 0 && len < max;
}

static bool host_name(const char *text) { /* letters, digits, hyphens and dots: no wildcards */
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
  size_t len = strlen(text);
  return len > 0 && len <= DNS_MAX && strspn(text, allowed) == len && *text != '.' && *text != '-';
}

static bool numeric(const char *text) {
  ASN1_OCTET_STRING *address = a2i_IPADDRESS(text);
  ASN1_OCTET_STRING_free(address);
  return address != NULL;
}

static int check_names(const chaski_pki_issue *what, char *why) {
  if (what->uri && !visible(what->uri, CHASKI_PKI_URI_MAX))
    return chaski__pki_refuse(why, "uri: malformed or too long");
  for (size_t i = 0; i < CHASKI_PKI_NAMES_MAX && what->ip[i]; i++)
    if (!numeric(what->ip[i])) return chaski__pki_refuse(why, "ip: not a numeric address");
  for (size_t i = 0; i < CHASKI_PKI_NAMES_MAX && what->dns[i]; i++)
    if (!host_name(what->dns[i])) return chaski__pki_refuse(why, "dns: not a host name");
  if (what->rights && (strlen(what->rights) >= RIGHTS_MAX || !chaski__pki_plain(what->rights, strlen(what->rights))))
    return chaski__pki_refuse(why, "rights: too long, or with control characters");
  if (what->authority && (what->uri || what->rights || *what->ip || *what->dns))
    return chaski__pki_refuse(why, "authority: it has no identity, no other names and no rights");
  return CHASKI_OK;
}

static int check_what(const chaski_pki_issue *what, char *why) {
  if (what->not_before < 0 || what->not_after > CHASKI__PKI_TIME_MAX || what->not_before >= what->not_after)
    return chaski__pki_refuse(why, "not_before, not_after: no span of time between 1970 and 9999");
  if (what->client_only && what->server_only) return chaski__pki_refuse(why, "role: client only and server only");
  return check_names(what, why);
}

static int check_keys(const issue *i) {
  if (!i->public_key->strong) return chaski__pki_refuse(i->why, "key: too weak or of a kind that is not taken");
  if (!i->issuer && EVP_PKEY_eq(i->public_key->pkey, i->issuer_key->pkey) != 1)
    return chaski__pki_refuse(i->why, "issuer: without one the key signs for itself, and here are two keys");
  if (i->issuer && i->what->authority && X509_get_pathlen(i->issuer->x509) == 0)
    return chaski__pki_refuse(i->why, "issuer: its certificate allows no authorities below it");
  return chaski__pki_may_sign(i->issuer, i->issuer_key, KU_KEY_CERT_SIGN, i->why);
}

/* --- fields ----------------------------------------------------------------------------------------------------- */
static int set_serial(const issue *i) {
  unsigned char bytes[SERIAL];
  BIGNUM *number;
  bool good;
  if (chaski_pki_random(bytes, sizeof bytes) != CHASKI_OK) return chaski__pki_refuse(i->why, "serial: no random bytes");
  bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and always of the same length */
  number = BN_bin2bn(bytes, sizeof bytes, NULL);
  good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(i->x509));
  BN_free(number);
  return good ? CHASKI_OK : chaski__pki_broken(i->why, "serial");
}

static int set_subject(const issue *i) {
  X509_NAME *name = NULL;
  int rc = chaski__pki_name_new(&i->what->subject, &name, i->why);
  if (rc != CHASKI_OK) return rc;
  if (X509_NAME_entry_count(name) == 0 && (i->what->authority || !i->issuer || !i->what->uri))
    rc = chaski__pki_refuse(i->why, "subject: missing");
  else if (X509_set_subject_name(i->x509, name) != 1)
    rc = chaski__pki_broken(i->why, "subject");
  X509_NAME_free(name);
  return rc;
}

static int set_fields(const issue *i) {
  X509 *x = i->x509;
  int rc = set_subject(i);
  if (rc != CHASKI_OK || (rc = set_serial(i)) != CHASKI_OK) return rc;
  if (X509_set_version(x, X509_VERSION_3) == 1 &&
      X509_set_issuer_name(x, X509_get_subject_name(i->issuer ? i->issuer->x509 : x)) == 1 &&
      ASN1_TIME_set(X509_getm_notBefore(x), (time_t)i->what->not_before) &&
      ASN1_TIME_set(X509_getm_notAfter(x), (time_t)i->what->not_after) && X509_set_pubkey(x, i->public_key->pkey) == 1)
    return CHASKI_OK;
  return chaski__pki_broken(i->why, "certificate");
}

/* --- extensions: each returns false when OpenSSL failed ----------------------------------------------------------- */
static bool add(const issue *i, int nid, void *value, bool critical) {
  return value && X509_add1_ext_i2d(i->x509, nid, value, critical, X509V3_ADD_DEFAULT) == 1;
}

static bool add_constraints(const issue *i) {
  BASIC_CONSTRAINTS *c = BASIC_CONSTRAINTS_new();
  bool good = c != NULL;
  if (good && i->what->authority) {
    c->ca = 0xff;
    c->pathlen = ASN1_INTEGER_new();
    good = c->pathlen && ASN1_INTEGER_set(c->pathlen, 0) == 1;
  }
  good = good && add(i, NID_basic_constraints, c, true);
  BASIC_CONSTRAINTS_free(c);
  return good;
}

static bool add_usage(const issue *i) {
  enum { DIGITAL_SIGNATURE = 0, KEY_CERT_SIGN = 5, CRL_SIGN = 6 }; /* RFC 5280 4.2.1.3 */
  ASN1_BIT_STRING *bits = ASN1_BIT_STRING_new();
  bool good = bits && (i->what->authority ? ASN1_BIT_STRING_set_bit(bits, KEY_CERT_SIGN, 1) == 1 &&
                                                ASN1_BIT_STRING_set_bit(bits, CRL_SIGN, 1) == 1
                                          : ASN1_BIT_STRING_set_bit(bits, DIGITAL_SIGNATURE, 1) == 1);
  good = good && add(i, NID_key_usage, bits, true);
  ASN1_BIT_STRING_free(bits);
  return good;
}

static bool push_usage(EXTENDED_KEY_USAGE *usages, int nid) {
  return sk_ASN1_OBJECT_push(usages, OBJ_nid2obj(nid)) > 0;
}

static bool add_extended_usage(const issue *i) {
  EXTENDED_KEY_USAGE *usages;
  bool good;
  if (i->what->authority) return true;
  usages = EXTENDED_KEY_USAGE_new();
  good = usages && (i->what->client_only || push_usage(usages, NID_server_auth)) &&
         (i->what->server_only || push_usage(usages, NID_client_auth)) && add(i, NID_ext_key_usage, usages, false);
  EXTENDED_KEY_USAGE_free(usages);
  return good;
}

/* RFC 7093 2 (1): the leftmost 160 bits of the SHA-256 of the key. */
static ASN1_OCTET_STRING *key_id(const X509 *x509) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  ASN1_OCTET_STRING *id;
  if (X509_pubkey_digest(x509, EVP_sha256(), digest, NULL) != 1) return NULL;
  id = ASN1_OCTET_STRING_new();
  if (id && ASN1_OCTET_STRING_set(id, digest, KEY_ID) == 1) return id;
  ASN1_OCTET_STRING_free(id);
  return NULL;
}

static bool add_key_id(const issue *i) {
  ASN1_OCTET_STRING *id = key_id(i->x509);
  bool good = id && add(i, NID_subject_key_identifier, id, false);
  ASN1_OCTET_STRING_free(id);
  return good;
}

static bool add_authority_id(const issue *i) {
  X509 *issuer = i->issuer ? i->issuer->x509 : i->x509;
  AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
  bool good = authority && (authority->keyid = X509_get_ext_d2i(issuer, NID_subject_key_identifier, NULL, NULL)) &&
              add(i, NID_authority_key_identifier, authority, false);
  AUTHORITY_KEYID_free(authority);
  return good;
}

/* --- alternative names ------------------------------------------------------------------------------------------ */
static bool push_name(GENERAL_NAMES *names, int type, ASN1_STRING *value) { /* value is taken over */
  GENERAL_NAME *name = value ? GENERAL_NAME_new() : NULL;
  if (!name) {
    ASN1_STRING_free(value);
    return false;
  }
  GENERAL_NAME_set0_value(name, type, value);
  if (sk_GENERAL_NAME_push(names, name) > 0) return true;
  GENERAL_NAME_free(name);
  return false;
}

static bool push_text(GENERAL_NAMES *names, int type, const char *text) {
  ASN1_IA5STRING *value = ASN1_IA5STRING_new();
  if (value && ASN1_STRING_set(value, text, (int)strlen(text)) == 1) return push_name(names, type, value);
  ASN1_IA5STRING_free(value);
  return false;
}

static int fill_names(const issue *i, GENERAL_NAMES *names) {
  const chaski_pki_issue *what = i->what;
  if (what->uri && !push_text(names, GEN_URI, what->uri)) return chaski__pki_broken(i->why, "uri");
  for (size_t n = 0; n < CHASKI_PKI_NAMES_MAX && what->ip[n]; n++)
    if (!push_name(names, GEN_IPADD, a2i_IPADDRESS(what->ip[n]))) return chaski__pki_broken(i->why, "ip");
  for (size_t n = 0; n < CHASKI_PKI_NAMES_MAX && what->dns[n]; n++)
    if (!push_text(names, GEN_DNS, what->dns[n])) return chaski__pki_broken(i->why, "dns");
  return CHASKI_OK;
}

static int add_names(const issue *i) {
  GENERAL_NAMES *names = GENERAL_NAMES_new();
  bool alone = X509_NAME_entry_count(X509_get_subject_name(i->x509)) == 0; /* then RFC 5280 4.2.1.6 wants it critical */
  int rc = names ? fill_names(i, names) : chaski__pki_no_memory(i->why);
  if (rc == CHASKI_OK && sk_GENERAL_NAME_num(names) > 0 && !add(i, NID_subject_alt_name, names, alone))
    rc = chaski__pki_broken(i->why, "names");
  GENERAL_NAMES_free(names);
  return rc;
}

/* --- rights ----------------------------------------------------------------------------------------------------- */
/* DER of the text as UTF8String, in an octet string. */
static ASN1_OCTET_STRING *rights_value(const char *text) {
  ASN1_UTF8STRING *utf8 = ASN1_UTF8STRING_new();
  ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
  unsigned char *der = NULL;
  int len = utf8 && ASN1_STRING_set(utf8, text, (int)strlen(text)) == 1 ? i2d_ASN1_UTF8STRING(utf8, &der) : -1;
  bool good = value && len > 0 && ASN1_OCTET_STRING_set(value, der, len) == 1;
  OPENSSL_free(der);
  ASN1_UTF8STRING_free(utf8);
  if (good) return value;
  ASN1_OCTET_STRING_free(value);
  return NULL;
}

/* Not critical, or every other program would refuse the certificate; ours look for it. */
static bool add_rights(const issue *i) {
  ASN1_OBJECT *object;
  ASN1_OCTET_STRING *value;
  X509_EXTENSION *extension;
  bool good;
  if (!i->what->rights) return true;
  object = chaski__pki_rights_object();
  value = rights_value(i->what->rights);
  extension = object && value ? X509_EXTENSION_create_by_OBJ(NULL, object, 0, value) : NULL;
  good = extension && X509_add_ext(i->x509, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  ASN1_OCTET_STRING_free(value);
  ASN1_OBJECT_free(object);
  return good;
}

/* --- putting it together ---------------------------------------------------------------------------------------- */
static int set_extensions(const issue *i) {
  bool good = add_constraints(i) && add_usage(i) && add_extended_usage(i) && add_key_id(i) && add_authority_id(i) &&
              add_rights(i);
  return good ? add_names(i) : chaski__pki_broken(i->why, "extensions");
}

static int sign(const issue *i) {
  const EVP_MD *digest = chaski__pki_key_digest(i->issuer_key);
  return X509_sign(i->x509, i->issuer_key->pkey, digest) > 0 ? CHASKI_OK : chaski__pki_broken(i->why, "signature");
}

static int write_pem(const issue *i, chaski_pki_bytes *pem) {
  BIO *bio = BIO_new(BIO_s_mem());
  int rc;
  if (!bio) return chaski__pki_no_memory(i->why);
  rc = PEM_write_bio_X509(bio, i->x509) == 1 ? chaski__pki_drain(bio, pem, i->why)
                                             : chaski__pki_broken(i->why, "certificate");
  BIO_free(bio);
  return rc;
}

static int make(issue *i, chaski_pki_bytes *pem) {
  int rc;
  if (!(i->x509 = X509_new())) return chaski__pki_no_memory(i->why);
  rc = set_fields(i);
  if (rc == CHASKI_OK) rc = set_extensions(i);
  if (rc == CHASKI_OK) rc = sign(i);
  if (rc == CHASKI_OK) rc = write_pem(i, pem);
  X509_free(i->x509);
  return rc;
}

int chaski_pki_issue_certificate(const chaski_pki_issue *what, const chaski_pki_key *public_key,
                                 const chaski_pki_certificate *issuer, const chaski_pki_key *issuer_key,
                                 chaski_pki_bytes *pem, char *why) {
  issue i = {what, public_key, issuer_key, issuer, NULL, why};
  int rc;
  chaski__pki_begin(why);
  if ((rc = check_what(what, why)) != CHASKI_OK || (rc = check_keys(&i)) != CHASKI_OK) return rc;
  return make(&i, pem);
}
