#!/bin/sh
# Count the Rust core's instructions on fixed layers and compare them with the baseline: callgrind.sh [--record]
# Needs cargo, valgrind and python3. Counts do not depend on what else the machine does, only on compiler and code.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --release --locked -p layerdisk-core --example convert_file
exec python3 -m benches.callgrind "$target/release/examples/convert_file" "$@"
