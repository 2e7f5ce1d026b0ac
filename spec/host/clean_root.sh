#!/bin/sh
# clean_root.sh PACKAGE FOLDER: makes a minimal Debian below FOLDER, which must not be there yet, installs the package in
# it, runs the two demos there with what the package has brought, removes the package, and says what it has left. For
# root; fetches packages. SPDX-License-Identifier: MIT
set -eu
package=$1 root=$2
here=$(cd "$(dirname "$0")/../.." && pwd)
say() { printf '%s\n' "$*"; }

in_root() { chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@"; }
# shellcheck disable=SC2016 # for dpkg-query
packages() { in_root dpkg-query -W -f '${Package}\n' | sort; }
files() { (cd "$root" && find etc usr -not -path 'usr/share/doc/*' | grep -i chaski | sort) || true; }
finish() {
  if mountpoint -q "$root/proc"; then umount "$root/proc"; fi
  rm -rf --one-file-system "$root"
}
trap finish EXIT

debootstrap --variant=minbase bookworm "$root" >"$root.log" 2>&1 || { tail -5 "$root.log" >&2; exit 1; }
rm -f "$root.log"
mount -t proc proc "$root/proc"
in_root apt-get -q update >/dev/null
packages >"$root/before"
cp "$package" "$root/package.deb"
in_root apt-get -q install -y --no-install-recommends /package.deb >/dev/null 2>&1
say "installed: $(in_root chaski-lua --version | cut -d ' ' -f 1-2), $(files | wc -l) files"

mkdir "$root/demo"
cp -R "$here/scripts" "$root/demo/scripts"
in_root env CHASKI_LUA=/usr/bin/chaski-lua /demo/scripts/demo --seconds 3 >"$root/demo.out"
say "demo: $(tail -1 "$root/demo.out")"
in_root env CHASKI_LUA=/usr/bin/chaski-lua /demo/scripts/secure_demo >"$root/demo.out"
say "secure demo: $(tail -1 "$root/demo.out")"

in_root apt-get -q purge -y chaski-lua >/dev/null
in_root apt-get -q autoremove --purge -y >/dev/null
say "left: $(files | wc -l) files, $(packages | comm -13 "$root/before" - | wc -l) packages"
