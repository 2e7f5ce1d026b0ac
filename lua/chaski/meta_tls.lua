---@meta
-- meta_tls.lua: the types of chaski.tls and chaski.core.pki, for language servers. Never loaded.
-- SPDX-License-Identifier: MIT
-- luacheck: ignore

---@class chaski.tls.context Never changes; may be shared by nodes.
---@field identity string "chaski://MESH/ID", or "" without certificate
---@field id string "ID", or ""
---@field not_after integer seconds since 1970; 0 without certificate
local context = {}

--- What its own certificate allows.
---@param right "publish"|"subscribe"|"relay"
---@param topic string? not for "relay"
---@return boolean
function context:may(right, topic) end

--- The same with other revocation lists, each signed by a root of it.
---@param crl string PEM or DER
---@return chaski.tls.context?, chaski.error?
function context:with_crl(crl) end

---@class chaski.certificate_info What listeners of the event "certificate" get.
---@field not_after integer seconds since 1970: of the new certificate when it is renewed
---@field serial string? of the new one
---@field left number? seconds, of one that is expiring
---@field err chaski.error? why it could not be renewed
---@field again number? seconds until the next try

---@class chaski.pki.key A private key; closed by <close>.
local key = {}

--- PKCS #8. With a passphrase that is not empty it is encrypted.
---@param passphrase string?
---@return string? pem, chaski.error?
function key:pem(passphrase) end

---@return string hash of its public half: SHA-256 of the SubjectPublicKeyInfo in hex
function key:hash() end

---@class chaski.pki.subject
---@field C string? two letters
---@field ST string?
---@field L string?
---@field O string?
---@field OU string?
---@field CN string?

---@class chaski.pki.request A certificate request whose signature is good and whose key is strong.
local request = {}

---@return chaski.pki.subject
function request:subject() end

---@return string as key:hash
function request:key_hash() end

---@class chaski.pki.certificate
local certificate = {}

---@class chaski.pki.info
---@field serial string hex, upper case
---@field subject string as in RFC 2253
---@field issuer string
---@field uri string the first URI name, or ""
---@field uris string[] all of them: an identity is exactly one
---@field rights string? nil: no restriction
---@field not_before integer seconds since 1970
---@field not_after integer
---@field authority boolean
---@field key_hash string as key:hash
---@field hash string SHA-256 of the DER in hex

---@return chaski.pki.info
function certificate:info() end

---@class chaski.pki.certificate_options
---@field subject chaski.pki.subject?
---@field uri string? the identity
---@field ip string[]? numeric
---@field dns string[]?
---@field rights string?
---@field not_before number seconds since 1970
---@field not_after number
---@field authority boolean? a root, or a CA below one
---@field role "client"|"server"|"both"|nil
---@field key chaski.pki.key? either this or request
---@field request chaski.pki.request?
---@field issuer chaski.pki.certificate? nil: it signs for itself
---@field issuer_key chaski.pki.key? default without issuer: key

---@class chaski.pki.crl_options
---@field number integer from 0
---@field serials string[]? as in info, at most 4096
---@field this_update number seconds since 1970
---@field next_update number
---@field issuer chaski.pki.certificate
---@field issuer_key chaski.pki.key

---@class chaski.pki
local pki = {}

--- Suspends nothing: RSA keys take seconds.
---@param kind "p256"|"p384"|"ed25519"|"rsa3072"|"rsa4096"|nil default "p256"
---@return chaski.pki.key?, chaski.error?
function pki.key(kind) end

---@param pem string
---@param passphrase string?
---@return chaski.pki.key?, chaski.error?
function pki.read_key(pem, passphrase) end

---@param key chaski.pki.key
---@param subject chaski.pki.subject
---@return string? der, chaski.error?
function pki.request(key, subject) end

---@param bytes string DER or PEM, at most 16 KiB
---@return chaski.pki.request?, chaski.error?
function pki.read_request(bytes) end

---@param options chaski.pki.certificate_options
---@return string? pem, chaski.error?
function pki.certificate(options) end

---@param bytes string DER, or PEM of which the first is taken
---@return chaski.pki.certificate?, chaski.error?
function pki.read_certificate(bytes) end

---@param certificate chaski.pki.certificate
---@param options { roots: string, chain: string?, crl: string?, role: string?, at: number? } default: both roles, now
---@return true?, chaski.error?
function pki.verify(certificate, options) end

---@param options chaski.pki.crl_options
---@return string? der, chaski.error?
function pki.crl(options) end

---@param bytes string DER or PEM
---@param roots string PEM
---@return { number: integer, root_hash: string }?, chaski.error?
function pki.check_crl(bytes, roots) end

---@param bytes string
---@return string 32 bytes
function pki.sha256(bytes) end

---@param key string
---@param bytes string
---@return string 32 bytes, by SHA-256
function pki.hmac(key, bytes) end

---@param n integer 0..65536
---@return string
function pki.random(n) end

--- In a time that does not tell where they differ.
---@param a string
---@param b string
---@return boolean
function pki.equal(a, b) end

---@param bytes string
---@return string
function pki.hex(bytes) end

---@param text string
---@return string?, chaski.error?
function pki.unhex(text) end

---@param bytes string
---@return string without padding
function pki.base64url(bytes) end

---@param text string
---@return string?, chaski.error?
function pki.unbase64url(text) end

---@class chaski.ca.options
---@field location string its folder
---@field ip string? where it listens; default "127.0.0.1"
---@field port integer? default 0: any
---@field address string? as nodes reach it; default: where it listens
---@field passphrase string? of its keys
---@field keys boolean? default true; false: only what the ledger alone can do
---@field tries integer|false|nil connections a minute from one address; false: no limit
---@field on_alarm (fun(code: string, id: string?, message: string))|nil a token was used twice, say
---@field now (fun(): number)|nil seconds since 1970; default: the clock

---@class chaski.ca.invite_options
---@field id string of the node
---@field ip string[]? addresses that its certificate names
---@field dns string[]? names of hosts
---@field ttl number? seconds for which the string is good; default 900
---@field publish string[]? patterns of topics; default: all
---@field subscribe string[]? the same
---@field relay boolean? it may pass on what it may not publish
---@field life number? seconds of its certificate
---@field address string? of the CA, as this node reaches it
