#!/bin/sh
# check_ring.sh: dependencies point inwards only. Fails when a source of a ring includes, or a compiled object of it
# uses, what that ring must not know. The build runs it on every ring (chaski_check_ring in CMakeLists.txt).
# SPDX-License-Identifier: MIT
#
# usage: check_ring.sh RING FOLDER [--inner ARCHIVE]... OBJECT...
#   RING    core, sim, net, tls, lua or host: which rules
#   FOLDER  the sources
#   --inner a compiled ring further in, which this one may call
#   OBJECT  what FOLDER was compiled to (archives or object files)
# Environment: NM. Exit: 0 clean, 1 a rule is broken, 2 wrong usage.
set -u
export LC_ALL=C

usage() {
  echo "usage: check_ring.sh RING FOLDER [--inner ARCHIVE]... OBJECT..." >&2
  exit 2
}

[ $# -ge 3 ] || usage
ring=$1 folder=$2 nm=${NM:-nm}
shift 2
[ -d "$folder" ] || usage
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT

# defined FILE...: the names of the symbols that these objects define.
defined() { "$nm" -P --defined-only "$@" 2>/dev/null | awk 'NF >= 2 { print $1 }'; }

while [ "$1" = --inner ]; do
  [ $# -ge 3 ] || usage
  defined "$2" >>"$work/defined"
  shift 2
done

# Extended regular expressions: header names, symbols, folders whose headers may be included.
lua_headers='lua\.h|lua\.hpp|lauxlib\.h|lualib\.h|luaconf\.h|luv/.*|luv\.h|lua5.*'
lua_symbols='lua_.*|luaL_.*|luaopen_.*|luv_.*'
uv_headers='uv\.h|uv/.*'
uv_symbols='uv_.*'
ssl_headers='openssl/.*'
ssl_symbols='(SSL|EVP|X509|X509V3|BIO|BN|EC|RSA|PEM|ASN1|OBJ|RAND|ERR|CRYPTO|OPENSSL|OSSL|TLS|HMAC|SHA[0-9]*|d2i|i2d)_.*|SHA[0-9]+'
# The world itself, which core, sim and tls meet through env.h alone: sockets, clocks, chance, files, threads, plug-ins.
world_headers='sys/socket\.h|netinet/.*|net/.*|netdb\.h|time\.h|sys/time\.h|sys/random\.h|sys/epoll\.h|poll\.h|pthread\.h|dlfcn\.h'
world_calls='socket|socketpair|bind|listen|accept|accept4|connect|shutdown|send|sendto|sendmsg|sendmmsg'
world_calls="$world_calls|recv|recvfrom|recvmsg|recvmmsg|getaddrinfo|getnameinfo|poll|ppoll|select|epoll_.*"
world_calls="$world_calls|open|openat|fopen|read|pread|write|pwrite|readv|writev"
world_calls="$world_calls|time|clock|clock_gettime|clock_nanosleep|nanosleep|usleep|sleep|gettimeofday|timerfd_.*"
world_calls="$world_calls|rand|rand_r|srand|random|srandom|drand48|getrandom|getentropy|arc4random.*"
world_calls="$world_calls|pthread_create|dlopen|dlsym|fork|system|popen"
world_symbols="(__)?($world_calls)(64)?(_chk)?"

case $ring in
core) headers="$lua_headers|$uv_headers|$ssl_headers|$world_headers" symbols="$lua_symbols|$uv_symbols|$ssl_symbols|$world_symbols" folders=core ;;
sim) headers="$lua_headers|$uv_headers|$ssl_headers|$world_headers" symbols="$lua_symbols|$uv_symbols|$ssl_symbols|$world_symbols" folders='sim|core' ;;
net) headers="$lua_headers|$ssl_headers" symbols="$lua_symbols|$ssl_symbols" folders='net|core' ;;
tls) headers="$lua_headers|$uv_headers|sys/socket\.h|netinet/.*" symbols="$lua_symbols|$uv_symbols|socket|bind|listen|accept|accept4|connect" folders='tls|core' ;;
lua) headers="$ssl_headers" symbols="$ssl_symbols" folders='lua|core|sim|net|tls' ;;
host) headers="$ssl_headers" symbols="$ssl_symbols" folders='host|lua|core|sim|net|tls' ;;
*) usage ;;
esac

# Every include of the folder as "file:line:name"; one that is computed by a macro cannot be checked and is refused.
find "$folder" -name '*.[ch]' -exec grep -nHE '^[[:space:]]*#[[:space:]]*(include|import|include_next|embed)' {} + >"$work/lines"
sed -nE 's/^([^:]*:[0-9]+):[^<"]*(<([^>]*)>|"([^"]*)").*$/\1:\3\4/p' "$work/lines" >"$work/includes"
grep -vE '#[[:space:]]*[a-z_]+[[:space:]]*[<"]' "$work/lines" >"$work/broken_computed"

awk -v headers="^($headers)\$" -v folders="^(\\./)?(\\.\\./($folders)/)?[^/]*\$" '
  {
    where = $0; sub(/:[^:]*$/, "", where)
    name = $0; sub(/^.*:/, "", name); plain = name; sub(/^.*usr\/include\//, "", plain)
    if (name ~ headers || plain ~ headers) print where ": includes " name
    else if (name ~ /^\// || (name ~ /\.\./ && name !~ folders)) print where ": includes " name ", which lies further out"
  }' "$work/includes" >"$work/broken_includes"

# Every undefined symbol as "object symbol", and all that this ring and the inner ones define.
"$nm" -A -u "$@" >"$work/nm" 2>"$work/nm_errors" || { cat "$work/nm_errors" >&2; exit 2; }
sed -nE 's/^(.*\/)?([^/]*): +[Uwv] ([^ ]+)$/\2 \3/p' "$work/nm" | sort -u >"$work/used"
defined "$@" >>"$work/defined"

awk -v symbols="^($symbols)\$" -v defined_file="$work/defined" '
  BEGIN { while ((getline name < defined_file) > 0) defined[name] = 1 }
  $2 in defined { next }
  $2 ~ symbols { print $1 ": uses " $2 }
  $2 ~ /^chaski_/ { print $1 ": uses " $2 ", which neither this ring nor one further in defines" }
' "$work/used" >"$work/broken_symbols"

sed 's/$/ (a computed include)/' "$work/broken_computed" >"$work/broken"
cat "$work/broken_includes" "$work/broken_symbols" >>"$work/broken"
[ -s "$work/broken" ] || exit 0
{
  echo "ring '$ring' ($folder) reaches for what it must not know:"
  sed 's/^/  /' "$work/broken"
  echo "Dependencies point inwards only; the rules are in src/core/check_ring.sh."
} >&2
exit 1
