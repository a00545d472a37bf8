#!/usr/bin/env bash
# Build what is published: the platform wheel and the sdist (maturin), and the pure-Python wheel (hatchling).
#
#   packaging/build.sh PYTHON OUTDIR
#
# PYTHON's environment has maturin and hatchling. Nothing is downloaded but the crates that cargo does not have yet.
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

"$python" -m maturin build --release --interpreter "$python" --out "$out"
"$python" -m maturin sdist --out "$out"
"$python" packaging/pure.py "$out"
