#!/bin/sh
# check_ring_test.sh: the check of the rings finds what it is there for. It is fed tiny folders and archives, clean ones
# and ones that break each rule. Environment: CC, AR, NM. SPDX-License-Identifier: MIT
set -u

script=$(cd "$(dirname "$0")/../.." && pwd)/src/core/check_ring.sh
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
failed=0 number=0

# try EXPECTED RING PATTERN SOURCE [FLAG...]: compile SOURCE, check it as RING; PATTERN must be in what is said.
try() {
  expected=$1 ring=$2 pattern=$3 source=$4
  shift 4
  number=$((number + 1))
  folder=$work/$number
  mkdir -p "$folder" "$work/net" "$work/core"
  printf '%s\n' "$source" >"$folder/tiny.c"
  # The headers need not exist for the check: what is compiled is the source without its includes.
  grep -v include "$folder/tiny.c" >"$folder/tiny.i.c"
  "${CC:-cc}" -w "$@" -c "$folder/tiny.i.c" -o "$folder/tiny.o" && rm "$folder/tiny.i.c" &&
    "${AR:-ar}" rcs "$folder/libtiny.a" "$folder/tiny.o" || exit 2
  said=$(sh "$script" "$ring" "$folder" "$folder/libtiny.a" 2>&1)
  status=$?
  if [ $status -eq "$expected" ] && printf '%s\n' "$said" | grep -qF -- "$pattern"; then return; fi
  failed=$((failed + 1))
  printf 'case %d (%s): expected exit %d with "%s", got %d:\n%s\n' $number "$ring" "$expected" "$pattern" $status "$said"
}

clean='#include <string.h>
#include "frame.h"
unsigned long strlen(const char *); unsigned long chaski_ok(const char *s) { return strlen(s); }'
for ring in core sim net tls lua host; do try 0 $ring "" "$clean"; done

try 1 core "uses lua_gettop" 'int lua_gettop(void *); int f(void *l) { return lua_gettop(l); }'
try 1 core "uses luaL_ref" 'int luaL_ref(void *); int f(void *l) { return luaL_ref(l); }'
try 1 core "uses uv_run" 'int uv_run(void *); int f(void *l) { return uv_run(l); }'
try 1 core "uses SSL_read" 'int SSL_read(void *); int f(void *l) { return SSL_read(l); }'
try 1 core "uses EVP_sha256" 'int EVP_sha256(void); int f(void) { return EVP_sha256(); }'
try 1 core "uses clock_gettime" 'int clock_gettime(int, void *); int f(void) { return clock_gettime(0, 0); }'
try 1 core "uses socket" 'int socket(int, int, int); int f(void) { return socket(0, 0, 0); }'
try 1 core "uses uv_run" 'int uv_run(void *); int f(void *l) { return uv_run(l); }' -O2 -flto -ffat-lto-objects
try 1 core "uses chaski_net_open, which neither" 'int chaski_net_open(void); int f(void) { return chaski_net_open(); }'
try 1 core "tiny.c:1: includes uv.h" '#include <uv.h>'
try 1 core "tiny.c:1: includes lua.h" '  #  include "lua.h"'
try 1 core "includes lauxlib.h" '#include <lauxlib.h>'
try 1 core "includes /usr/include/uv.h" '#include "/usr/include/uv.h"'
try 1 core "includes openssl/ssl.h" '#include <openssl/ssl.h>'
try 1 core "includes ../net/net.h, which lies further out" '#include "../net/net.h"'
try 1 core "a computed include" '#define OTHER <uv.h>
#include OTHER'
try 1 sim "uses uv_now" 'int uv_now(void *); int f(void *l) { return uv_now(l); }'
try 1 sim "includes ../lua/codec.h" '#include "../lua/codec.h"'
try 0 sim "" '#include "../core/env.h"'
try 1 net "uses lua_gettop" 'int lua_gettop(void *); int f(void *l) { return lua_gettop(l); }'
try 1 net "includes luv/luv.h" '#include <luv/luv.h>'
try 0 net "" '#include <uv.h>
int uv_run(void *); int f(void *l) { return uv_run(l); }'
try 1 tls "includes uv.h" '#include <uv.h>'
try 1 lua "includes openssl/evp.h" '#include <openssl/evp.h>'
try 0 lua "" '#include <lua.h>
#include "../net/net.h"
int lua_gettop(void *); int f(void *l) { return lua_gettop(l); }'
try 2 nowhere "usage:" "$clean"

echo "$((number - failed)) of $number cases of the ring check are as expected"
[ $failed -eq 0 ]
