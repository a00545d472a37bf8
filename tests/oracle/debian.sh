#!/bin/sh
# Make the tar of a real Debian root file system: debian.sh OUT
# The mirror and the suite are those that this machine's apt is configured with (run `apt-get update` before).
set -eu
out=$1
suites=$(apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
    sort -u)
suite=$(printf '%s\n' "$suites" | sed -n 's/^deb [^ ]* \([a-z]*\) main$/\1/p' | head -n 1)
if [ -z "$suite" ]; then
    echo "apt knows no Debian suite here: run apt-get update" >&2
    exit 1
fi
printf '%s\n' "$suites" | grep " $suite main\$" |
    mmdebstrap --quiet --variant=important --include=python3,perl,libcap2-bin,iputils-ping,locales \
        "$suite" "$out.part.tar" -
mv "$out.part.tar" "$out"
