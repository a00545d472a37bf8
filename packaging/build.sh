#!/usr/bin/env bash
# Build what is published: the platform wheel and the sdist (maturin), and the pure-Python wheel (hatchling).
#
#   packaging/build.sh PYTHON OUTDIR
#
# PYTHON's environment has maturin and hatchling, on Linux also ziglang: its linker takes the symbols of an old C library,
# so that the wheel is one for manylinux_2_17 wherever it is built. Nothing is downloaded but the crates that cargo does
# not have yet. MATURIN_ARGUMENTS are added to those of `maturin build`, such as a `--target`.
set -euo pipefail

if [ $# -ne 2 ]; then
    echo "usage: packaging/build.sh PYTHON OUTDIR" >&2
    exit 2
fi
python=$(command -v -- "$1") || { echo "packaging/build.sh: there is no $1" >&2; exit 1; }
# A symbolic link is not followed: it is what tells a virtual environment from the Python below it.
[[ $python == /* ]] || python=$PWD/$python
mkdir -p -- "$2"
out=$(cd -- "$2" && pwd)
cd -- "$(dirname -- "$0")/.."

# The list of components in the platform wheel carries a time; without this it would be the clock's.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-315532800} # 1980-01-01, the first day that a zip knows

# No path of this machine gets into what a panic says. Separated by 0x1f, since a path may have spaces.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
export CARGO_ENCODED_RUSTFLAGS=--remap-path-prefix=$PWD=/layerdisk$'\x1f'--remap-path-prefix=$cargo_home=/cargo
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/wheel} # flags differ, and cargo would build all anew each time

portable=()
if [ "$(uname -s)" = Linux ]; then
    "$python" -c 'import ziglang' || { echo "packaging/build.sh: $1 has no ziglang" >&2; exit 1; }
    PATH=$(dirname -- "$python"):$PATH # where maturin looks for it
    portable=(--zig --compatibility manylinux_2_17)
fi

built=$(mktemp -d)
trap 'rm -rf -- "$built"' EXIT
# shellcheck disable=SC2086 # words
"$python" -m maturin build --release --interpreter "$python" --out "$built" "${portable[@]}" ${MATURIN_ARGUMENTS:-}
for wheel in "$built"/*.whl; do
    "$python" packaging/without_paths.py "$wheel"
done
mv -- "$built"/*.whl "$out"
"$python" -m maturin sdist --out "$out"
"$python" packaging/pure.py "$out"
