#!/usr/bin/env bash
# fetch.sh DIRECTORY SUITE: containerd of another Debian suite, unpacked into DIRECTORY without installing it.
# bookworm's own (1.6) does not know proxy differs; those of later suites need nothing that bookworm lacks.
set -euo pipefail
directory=$1 suite=$2
[ -x "$directory/usr/bin/containerd" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mirror=$(apt-cache policy base-files | sed -n 's/^ *[0-9]* \(http[^ ]*debian\) .*/\1/p' | head -n 1)
mkdir -p "$work"/{lists/partial,cache/archives/partial}
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:?no Debian mirror is configured} $suite main" > "$work/sources.list"
options=(-qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::State::Lists="$work/lists" -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$work/cache"
    -o APT::Sandbox::User=root)
apt-get "${options[@]}" update
(cd "$work" && apt-get "${options[@]}" download containerd)
dpkg-deb -x "$work"/containerd_*.deb "$work/root"
rm -f "$work/root/usr/bin/runc" "$work/root/usr/sbin/runc" # the system's own is used
mkdir -p "$(dirname "$directory")"
rm -rf "$directory"
mv "$work/root" "$directory"
