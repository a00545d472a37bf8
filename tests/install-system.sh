#!/bin/sh
# Install what the tests use from Debian, as root. Python, Rust and Go are taken to be there.
set -eu
missing=
need() { # PROGRAM PACKAGE
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need e2fsck e2fsprogs
need losetup mount
need qemu-img qemu-utils
need veritysetup cryptsetup-bin
need mmdebstrap mmdebstrap
need skopeo skopeo
need umoci umoci
need npm npm
need valgrind valgrind
need runc runc
need busybox busybox-static
need docker-registry docker-registry
need htpasswd apache2-utils
need igzip isal # with which containerd, the benchmarks' peer, inflates
need jq jq # of an example
need g++ g++ # the fuzzer's engine is C++
# The lists are needed in any case: the tests make a Debian root file system from the same mirror.
apt-get -qq update
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends $missing >/dev/null
fi
