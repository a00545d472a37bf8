#!/bin/sh
# Make the tar of a large npm tree: npm.sh OUT
# The registry is the one that this machine's npm is configured with; install scripts are not run.
set -eu
out=$1
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
cd "$directory"
mkdir app
cd app
npm init --yes >/dev/null
npm install --ignore-scripts --no-audit --no-fund --silent \
    typescript@5 webpack@5 eslint@9 @babel/preset-env@7 jest@29 next@15 date-fns@4 lodash@4 core-js@3
cd ..
tar --format=pax --sort=name --owner=0 --group=0 --numeric-owner -cf "$out.part" app
mv "$out.part" "$out"
